"""The certificate inside TLS is one that a careful client must refuse.

Strategy: dates, key and signature are read from the leaf and held against the moment of the look;
whether the chain is trusted is OpenSSL's verdict, taken over in its words. OpenSSL stops at the
first fault it meets, so a wrong name is looked for here as well; but only where a name is known: a
look at a bare address does not show what name the clients use. The rating: an attacker on the path
(AC:H) stands in for the server before clients that had to be told to accept anything. 5.9.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mailseal.model.finding import Assessment, Severity
from mailseal.model.look import Observation, TlsFacts
from mailseal.rules.base import Rule

if TYPE_CHECKING:
    from mailseal.certs import Certificate

SMALLEST = {"RSA": 2048, "DSA": 2048, "EC": 224}
"""Bits of the smallest acceptable key (NIST SP 800-131A; RFC 9325 section 4.5 has 2048 for RSA)."""
WEAK_HASHES = ("md2", "md4", "md5", "sha1")
_NAME_WORDS = "mismatch"
_DATE_WORDS = ("expired", "not yet valid")


def check(observations: Sequence[Observation], assessment: Assessment) -> tuple[str, ...]:
    """Every complaint about the certificate of every look that found TLS."""
    return tuple(
        dict.fromkeys(
            complaint
            for observation in observations
            if observation.tls is not None
            for complaint in _complaints(observation, observation.tls)
        )
    )


def kept(observations: Sequence[Observation], assessment: Assessment, name: str) -> bool:
    """Only where a certificate was seen, under the same name: another name may have another."""
    return any(look.tls is not None and look.name == name for look in observations)


def _complaints(observation: Observation, tls: TlsFacts) -> Iterator[str]:
    if not tls.chain:
        yield "the server showed no certificate"
        return
    # Most looks meet no certificate, and the library that reads one takes long to import.
    from mailseal.certs import CertificateError, covers, describe

    try:
        leaf = describe(tls.chain[0])
    except CertificateError as error:
        yield str(error)
        return
    dates = tuple(_dates(leaf, observation.start))
    yield from dates
    if observation.name and not covers(leaf, observation.name):
        names = ", ".join(leaf.names[:8]) or "no name at all"
        yield f"wrong name: it is for {names}, not for {observation.name}"
    yield from _weaknesses(leaf)
    dated = bool(dates) and any(words in tls.trust for words in _DATE_WORDS)
    if tls.trust and _NAME_WORDS not in tls.trust and not dated:
        yield "untrusted: {} (issued by {})".format(tls.trust, leaf.issuer or "nobody named")


def _dates(leaf: Certificate, moment: str) -> Iterator[str]:
    # RFC 3339 in UTC with fixed fields sorts as text.
    if moment > leaf.not_after:
        yield f"expired on {leaf.not_after}"
    if moment < leaf.not_before:
        yield f"not valid before {leaf.not_before}"


def _weaknesses(leaf: Certificate) -> Iterator[str]:
    if leaf.bits < SMALLEST.get(leaf.key, 0):
        yield f"weak key: {leaf.key} with {leaf.bits} bits, {SMALLEST[leaf.key]} are the least"
    if leaf.signature_hash in WEAK_HASHES:
        yield f"weak signature: {leaf.signature_hash.upper()}"


RULE = Rule(
    id="tls-certificate",
    title="The TLS certificate must be refused by a careful client",
    severity=Severity.MEDIUM,
    cvss="CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:N/A:N",
    cwe=("CWE-295", "CWE-298", "CWE-297", "CWE-326"),
    standards=(
        "RFC 7817 (names in the certificates of mail servers)",
        "RFC 9325 (TLS recommendations)",
        "PCI DSS 4.0 requirement 4",
        "NIST SP 800-53 SC-8, SC-17",
    ),
    scanners=(
        "Nessus 15901: SSL Certificate Expiry",
        "Nessus 45411: SSL Certificate with Wrong Hostname",
        "Nessus 51192: SSL Certificate Cannot Be Trusted",
        "Nessus 57582: SSL Self-Signed Certificate",
        "Nessus 69551: SSL Certificate Chain Contains RSA Keys Less Than 2048 bits",
        "Nessus 35291: SSL Certificate Signed Using Weak Hashing Algorithm",
    ),
    advice=(
        "Give {endpoint} a certificate for the name its clients use, from a CA they trust. Where "
        "that CA is your own, name it: `mailseal scan --ca CA.pem --name NAME {endpoint}`."
    ),
    check=check,
    kept=kept,
)
