"""A small private CA on the mail host, made with its own openssl.

The CA exists to be trusted by the clients of one host, so it is bound to that host's names by
critical name constraints: whoever steals its key can impersonate this host, which they already
hold, and nobody else. Keys are made here and never leave; the CA's key is readable by root alone,
the service's key by the terminator's group. Only options that OpenSSL 1.1.1 knows are used, and
names stand in configuration files, not on command lines.
"""

from __future__ import annotations

import posixpath
from dataclasses import replace
from typing import List, Tuple

from mailseal.configs import openssl
from mailseal.model.ops import IssueCertificate
from mailseal.system.base import Meta, System

CA_DAYS = 3650


def files(directory: str, name: str) -> Tuple[str, ...]:
    """The paths of an issued set: CA certificate, CA key, certificate, key."""
    return tuple(
        posixpath.join(directory, part)
        for part in ("ca.crt", "ca.key", name + ".crt", name + ".key")
    )


def issue(system: System, op: IssueCertificate, meta: Meta) -> str:
    """Makes the set, under the CA that is there already or a new one. `meta` is for the service's
    key. Empty text, or what went wrong.
    """
    authority, authority_key, leaf, leaf_key = files(op.directory, op.name)
    work = _work(op)
    private = Meta(0o600, 0, 0)
    clean(system, op)
    try:
        system.mkdir(work, Meta(0o700, 0, 0))
        for name, text in openssl.configurations(op.names).items():
            system.write(posixpath.join(work, name), text.encode("ascii"), private)
        known = system.stat(authority) is not None and system.stat(authority_key) is not None
        if known:
            system.write(work + "/ca.crt", system.read(authority), private)
            system.write(work + "/ca.key", system.read(authority_key), private)
        for argv in _commands(work, op.days)[1 if known else 0 :]:
            done = system.run(argv, timeout=60)
            if not done.ok:
                return "openssl cannot make the certificate: " + done.words()
        chain = system.read(work + "/leaf.crt") + system.read(work + "/ca.crt")
        public = replace(private, mode=0o644)
        if not known:
            system.write(authority_key, system.read(work + "/ca.key"), private)
            system.write(authority, system.read(work + "/ca.crt"), public)
        system.write(leaf_key, system.read(work + "/leaf.key"), meta)
        system.write(leaf, chain, public)
        return ""
    finally:
        clean(system, op)


def clean(system: System, op: IssueCertificate) -> None:
    """Removes the working directory, keys included."""
    work = _work(op)
    for name in system.listdir(work):
        system.remove(posixpath.join(work, name))
    system.remove(work)


def is_ours(system: System, op: IssueCertificate) -> bool:
    """Whether the certificate that is there is the one that was issued (or none is, yet): it is
    written last, and ends with our CA's own.
    """
    authority, _, leaf, _ = files(op.directory, op.name)
    if system.stat(leaf) is None:
        return True
    return system.stat(authority) is not None and system.read(leaf).endswith(system.read(authority))


def _work(op: IssueCertificate) -> str:
    return posixpath.join(op.directory, ".issue-" + op.name)


def _commands(work: str, days: int) -> List[List[str]]:
    def new(what: str) -> List[str]:
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        keyout = ["-keyout", "%s/%s.key" % (work, what)]
        return ["openssl", "req", "-config", "%s/%s.cnf" % (work, what), *key, *keyout]

    return [
        [*new("ca"), "-x509", "-days", str(CA_DAYS), "-out", work + "/ca.crt"],
        [*new("leaf"), "-out", work + "/leaf.csr"],
        ["openssl", "x509", "-req", "-in", work + "/leaf.csr", "-CA", work + "/ca.crt"]
        + ["-CAkey", work + "/ca.key", "-CAcreateserial", "-days", str(days)]
        + ["-extfile", work + "/leaf.cnf", "-extensions", "extensions", "-out", work + "/leaf.crt"],
    ]
