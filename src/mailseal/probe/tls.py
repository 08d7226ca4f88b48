"""TLS from the prober's side: two contexts, and what a handshake shows.

Building a context costs 20 ms, so there are two, shared: one verifies (its verdict on chain, name
and dates is OpenSSL's own, which is also what the clients of a private CA rely on), one takes any
certificate so that a bad one can be read. Both accept what a client of today accepts; older
versions are asked for with bare ClientHellos (`protocols.tlshello`).
"""

from __future__ import annotations

import functools
import socket
import ssl
from typing import Tuple

from mailseal.model.look import Reach, TlsFacts
from mailseal.probe import transport
from mailseal.probe.look import HANDSHAKE_TIMEOUT, Call, Dial, Layer, refused
from mailseal.protocols.base import End

_LEGACY_SERVER_CONNECT = 0x4
"""OpenSSL's option to talk to servers older than RFC 5746; Python names it from 3.12 on."""


@functools.lru_cache(maxsize=8)
def context(layer: Layer, authority: str = "") -> ssl.SSLContext:
    """The client context for a layer. `authority`: a PEM file trusted besides the system's roots.

    Raises OSError or ssl.SSLError where that file cannot be read.
    """
    made = ssl.create_default_context()
    made.sslsocket_class = _Socket
    # Python 3.13 adds VERIFY_X509_STRICT, which refuses chains that mail programs accept; a
    # verdict must not depend on which Python took the look.
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    # A client of today; Debian's Python leaves it to OpenSSL's configuration, others do not.
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    if layer is Layer.TLS_ANY:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
        # An old server's weak key or SHA-1 must be read before it can be reported.
        made.set_ciphers("ALL:@SECLEVEL=0")
        made.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        made.options |= _LEGACY_SERVER_CONNECT
    elif authority:
        made.load_verify_locations(cafile=authority)
    return made


def check_authority(authority: str) -> None:
    """Raises OSError or ssl.SSLError where the file cannot be used: its owner must act, and what
    would be seen without it says nothing of a server.
    """
    if authority:
        context(Layer.TLS_VERIFIED, authority)


class _Socket(ssl.SSLSocket):
    """Closes itself where the library gives up on it: a connection may end while it is wrapped, or
    the name be none, and the descriptor that was taken by then belongs to nobody else.
    """

    def __del__(self) -> None:
        self.close()


def wrap(sock: socket.socket, layer: Layer, authority: str, name: str) -> ssl.SSLSocket:
    """The connected socket in TLS, its handshake still to do: what ended meanwhile must not be
    taken for one. `sock` is spent, also after an error.

    Raises UnicodeError for a name that no certificate can have, OSError (ssl.SSLError is one) for
    the rest.
    """
    return context(layer, authority).wrap_socket(
        sock, server_hostname=name, do_handshake_on_connect=False
    )


def facts(secured: ssl.SSLSocket, name: str) -> TlsFacts:
    """What a finished handshake shows; `trust` is left to the caller (empty: it verified)."""
    cipher = secured.cipher() or ("unknown", "", 0)
    return TlsFacts(
        version=secured.version() or "unknown",
        cipher=cipher[0],
        bits=cipher[2] or 0,
        chain=_chain(secured),
        trust="",
        name_checked=name,
    )


def _chain(secured: ssl.SSLSocket) -> Tuple[bytes, ...]:
    """DER, leaf first. Before Python 3.13 the library gives the leaf alone."""
    whole = getattr(secured, "get_unverified_chain", None)
    if whole is not None:
        return tuple(bytes(der) for der in whole())
    leaf = secured.getpeercert(binary_form=True)
    return (leaf,) if leaf else ()


def fault(error: Exception) -> Tuple[str, bool]:
    """A failed handshake in words, and whether only the certificate was at fault."""
    if isinstance(error, socket.timeout):
        return HANDSHAKE_TIMEOUT, False
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message or "the certificate does not verify", True
    if isinstance(error, ssl.SSLEOFError):
        # Which words OpenSSL finds for this depends on where in the handshake it was.
        return transport.EOF.reason, False
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower(), False
    if isinstance(error, OSError):
        return transport.ended(error).reason, False
    return str(error), False


def ended(error: OSError) -> End:
    """A connection that broke in the middle of a dialogue, in TLS or not."""
    if isinstance(error, ssl.SSLError):
        return End("reset", "TLS ended: " + fault(error)[0])
    return transport.ended(error)


def broken(dial: Dial, error: Exception, answer: bytes = b"") -> Call:
    """The Call of a connection that was there and broke before its dialogue was over: in the
    handshake, or before the first octet. `answer` is what came of a RAW one.
    """
    if dial.before is not None and not dial.before.sealed:
        assert isinstance(error, OSError)
        dial.before.end(ended(error))
        return Call(Reach.OPEN, refused(dial.before))
    if dial.layer is Layer.RAW:
        assert isinstance(error, OSError)
        return Call(Reach.OPEN, ended(error).reason, answer=answer)
    if dial.layer is Layer.CLEAR:
        assert dial.conversation is not None
        assert isinstance(error, OSError)
        dial.conversation.end(ended(error))
        return Call(Reach.OPEN)
    words, untrusted = fault(error)
    return Call(Reach.OPEN, fault=words, untrusted=untrusted)
