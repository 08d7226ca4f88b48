"""Is a certificate fit to be served? Asked before it is, and answered by OpenSSL itself.

The terminator's handshake is played through in memory, with its certificate and key on one side and
a client that trusts its CA on the other. So what is found here is what a client will find: whether
the key matches, the chain leads to the CA, the name fits, the dates are right, the key is strong
enough.
"""

from __future__ import annotations

import ssl
from typing import List

from mailseal.probe import tls
from mailseal.probe.look import Layer


def problems(certificate: str, key: str, authority: str, name: str) -> List[str]:
    """What is wrong with the PEM files at these paths, each with what to do; empty where nothing.
    `authority` may be empty: then the system's roots count.
    """
    for path in (certificate, key, *([authority] if authority else [])):
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            return ["%s cannot be read: %s" % (path, error.strerror)]
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        server.load_cert_chain(certificate, key, password=_locked)
    except _Locked:
        return ["%s has a passphrase, and nobody types it when the service starts" % key]
    except ssl.SSLError as error:
        return [_loading(error, certificate, key)]
    try:
        client = tls.context(Layer.TLS_VERIFIED, authority)
    except ssl.SSLError:
        return ["%s holds no certificate: give the PEM file of the CA" % authority]
    try:
        _handshake(server, client, name)
    except ssl.SSLError as error:
        words, untrusted = tls.fault(error)
        hint = ": give one whose chain, name and dates fit" if untrusted else ""
        return ["%s is not fit for %s: %s%s" % (certificate, name, words, hint)]
    return []


class _Locked(Exception):
    """The key wants a passphrase."""


def _locked() -> str:
    raise _Locked


def _loading(error: ssl.SSLError, certificate: str, key: str) -> str:
    reason = (error.reason or str(error)).replace("_", " ").lower()
    if "mismatch" in reason:
        return "%s does not belong to %s: give the key of this certificate" % (key, certificate)
    return "%s and %s cannot be used: %s" % (certificate, key, reason)


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
    """Both sides of a handshake in memory. Raises ssl.SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    # TLS 1.3 takes three flights; ten rounds are more than any version needs.
    for _ in range(10):
        for side in list(sides):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            sides.remove(side)
        if not sides:
            return
    raise ssl.SSLError("the handshake does not end")
