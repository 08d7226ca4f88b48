"""What a certificate says: `describe` turns DER into a frozen value of plain text and numbers.

Strategy: the octets come from a server nobody trusts, so everything is read inside one guard: what
the library cannot read becomes `CertificateError`, text is made harmless, lists are bounded. Trust
is no question for this room: the verdict on chain and name is OpenSSL's (`TlsFacts.trust`), because
a private CA that its clients accept is a good CA. `covers` answers for names where OpenSSL stopped
at another fault before it looked at them.
"""

from __future__ import annotations

import ipaddress
import warnings
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtensionOID

from mailseal.model.moment import rfc3339

NAMES_LIMIT = 256
"""Names that are kept of one certificate."""
TEXT_LIMIT = 512
"""Characters of a subject, an issuer or one name."""

_KEYS: tuple[tuple[type[Any], str, int], ...] = (
    (rsa.RSAPublicKey, "RSA", 0),
    (ec.EllipticCurvePublicKey, "EC", 0),
    (dsa.DSAPublicKey, "DSA", 0),
    (ed25519.Ed25519PublicKey, "Ed25519", 256),
    (ed448.Ed448PublicKey, "Ed448", 456),
)
"""Kind of key, its name, its bits (0: the key says)."""


class CertificateError(ValueError):
    """The octets are no readable certificate. `str()` says why."""


@dataclass(frozen=True)
class Certificate:
    """`names` are DNS names as written and addresses in their usual form, from subjectAltName alone
    (RFC 9525 6.3: the subject names nothing). `serial` is hexadecimal; times are RFC 3339 UTC.
    `key` is RSA, EC, DSA, Ed25519, Ed448 or unknown with its `bits` (0: unknown); `signature_hash`
    in lower case, empty where the signature has none (Ed25519). `sha256` is over the DER.
    """

    subject: str
    issuer: str
    names: tuple[str, ...]
    serial: str
    not_before: str
    not_after: str
    key: str
    bits: int
    signature_hash: str
    self_signed: bool
    sha256: str


def describe(der: bytes) -> Certificate:
    """Reads one certificate. Raises CertificateError, whatever the octets are."""
    try:
        with warnings.catch_warnings():
            # The library warns of what it will refuse one day (a negative serial); a warning here
            # would be the server writing on our terminal.
            warnings.simplefilter("ignore")
            return _describe(der)
    except Exception as error:  # Any parser fault is the server's doing, not ours.
        raise CertificateError("not a readable certificate: " + _harmless(str(error))) from None


def covers(certificate: Certificate, name: str) -> bool:
    """Whether the certificate is for `name`, a DNS name or an address (RFC 9525 6.3 and 6.4): a
    wildcard stands for the whole leftmost label and no more.
    """
    try:
        return str(ipaddress.ip_address(name)) in certificate.names
    except ValueError:
        pass
    wanted = name.rstrip(".").lower()
    _, _, parent = wanted.partition(".")
    patterns = {pattern.rstrip(".").lower() for pattern in certificate.names}
    return wanted in patterns or ("." in parent and "*." + parent in patterns)


def _describe(der: bytes) -> Certificate:
    read = x509.load_der_x509_certificate(der)
    key, bits = _key(read)
    return Certificate(
        subject=_harmless(read.subject.rfc4514_string()),
        issuer=_harmless(read.issuer.rfc4514_string()),
        names=_names(read),
        serial=f"{read.serial_number:x}",
        not_before=rfc3339(read.not_valid_before_utc.timestamp()),
        not_after=rfc3339(read.not_valid_after_utc.timestamp()),
        key=key,
        bits=bits,
        signature_hash=_signature_hash(read),
        self_signed=read.subject == read.issuer,
        sha256=read.fingerprint(hashes.SHA256()).hex(),
    )


def _key(read: x509.Certificate) -> tuple[str, int]:
    try:
        public = read.public_key()
    except Exception:  # A key of a kind the library does not know leaves the rest readable.
        return "unknown", 0
    for kind, name, bits in _KEYS:
        if isinstance(public, kind):
            return name, bits or int(getattr(public, "key_size", 0))
    return "unknown", 0


def _signature_hash(read: x509.Certificate) -> str:
    try:
        algorithm = read.signature_hash_algorithm
    except Exception:  # As above: an unknown algorithm is told by its number.
        return _harmless(read.signature_algorithm_oid.dotted_string)
    return algorithm.name.lower() if algorithm else ""


def _names(read: x509.Certificate) -> tuple[str, ...]:
    try:
        extension = read.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
    except x509.ExtensionNotFound:
        return ()
    found = []
    for name in list(extension.value)[:NAMES_LIMIT]:  # type: ignore[call-overload]
        if isinstance(name, x509.DNSName | x509.IPAddress):
            found.append(_harmless(str(name.value)))
    return tuple(found)


def _harmless(text: str) -> str:
    """No terminal escape and no bidirectional mark: what is not printable ASCII is written as such
    (an internationalised name stands in a certificate in ASCII anyway, RFC 9525 6.3).
    """
    cut = text[:TEXT_LIMIT] + ("..." if len(text) > TEXT_LIMIT else "")
    return "".join(
        char if " " <= char <= "~" else char.encode("unicode_escape").decode() for char in cut
    )
