"""Certificates for tests: any key, any dates, any names, as DER."""

import datetime
import ipaddress
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

UTC = datetime.UTC
SHA256 = hashes.SHA256()


def day(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=UTC)


def certificate(
    *names: str,
    subject: str = "mail.example",
    issuer: str = "",
    since: str = "2025-01-01",
    until: str = "2027-01-01",
    key: Any = None,
    hashed: Any = SHA256,
) -> bytes:
    """A certificate that `key` signs itself, whoever is named as its issuer."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer or subject))
        .public_key(key.public_key())
        .serial_number(0x5EA1)
        .not_valid_before(day(since))
        .not_valid_after(day(until))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(map(_general, names)), False)
    return builder.sign(key, hashed).public_bytes(Encoding.DER)


def with_sha1(der: bytes) -> bytes:
    """An RSA certificate that says SHA-1 (RFC 8017 A.2.4): the library signs none any more."""
    return der.replace(bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010105"))


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
