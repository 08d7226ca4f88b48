"""Certificates are read, and nothing a server sends as one does harm."""

import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from mailseal.certs import Certificate, CertificateError, covers, describe
from tests.certs.make import certificate

PLAIN = certificate("mail.example", "192.0.2.7", "2001:db8::7")


def test_every_field():
    assert describe(PLAIN) == Certificate(
        subject="CN=mail.example",
        issuer="CN=mail.example",
        names=("mail.example", "192.0.2.7", "2001:db8::7"),
        serial="5ea1",
        not_before="2025-01-01T00:00:00.000Z",
        not_after="2027-01-01T00:00:00.000Z",
        key="EC",
        bits=256,
        signature_hash="sha256",
        self_signed=True,
        sha256=hashlib.sha256(PLAIN).hexdigest(),
    )


@pytest.mark.parametrize(
    ("key", "hashed", "expected"),
    [
        (rsa.generate_private_key(65537, 1024), hashes.SHA256(), ("RSA", 1024, "sha256")),
        (ec.generate_private_key(ec.SECP384R1()), hashes.SHA512(), ("EC", 384, "sha512")),
        (dsa.generate_private_key(1024), hashes.SHA256(), ("DSA", 1024, "sha256")),
        (ed25519.Ed25519PrivateKey.generate(), None, ("Ed25519", 256, "")),
        (ed448.Ed448PrivateKey.generate(), None, ("Ed448", 456, "")),
    ],
    ids=["RSA", "EC", "DSA", "Ed25519", "Ed448"],
)
def test_keys_and_signatures(key, hashed, expected):
    read = describe(certificate("mail.example", key=key, hashed=hashed))
    assert (read.key, read.bits, read.signature_hash) == expected


def test_another_issuer_is_not_self_signed():
    assert not describe(certificate("mail.example", issuer="Example CA")).self_signed


def test_a_certificate_without_names_has_none():
    assert describe(certificate()).names == ()


@pytest.mark.parametrize(
    ("names", "wanted", "fits"),
    [
        (["mail.example"], "mail.example", True),
        (["MAIL.example"], "mail.EXAMPLE.", True),
        (["mail.example"], "www.mail.example", False),
        (["*.mail.example"], "a.mail.example", True),
        (["*.mail.example"], "a.b.mail.example", False),
        (["*.mail.example"], "mail.example", False),
        (["*.example"], "mail.example", False),
        (["192.0.2.7"], "192.0.2.7", True),
        (["2001:db8::7"], "2001:0db8:0::7", True),
        (["192.0.2.7"], "192.0.2.8", False),
        ([], "mail.example", False),
    ],
)
def test_whom_a_certificate_covers(names: list[str], wanted: str, fits: bool):
    # The subject says mail.example throughout and counts for nothing.
    assert covers(describe(certificate(*names)), wanted) is fits


def test_hostile_names_are_made_harmless():
    read = describe(certificate(subject="a\x1b[2J\u202eb", issuer="c\nd"))
    assert (read.subject, read.issuer) == ("CN=a\\x1b[2J\\u202eb", "CN=c\\nd")


def test_a_long_subject_is_cut():
    assert len(describe(certificate(subject="x" * 64)).subject) < 100


@given(st.binary(max_size=600))
def test_any_octets_are_a_certificate_or_a_certificate_error(data: bytes):
    assert harmless(data)


@settings(max_examples=400)
@given(st.lists(st.tuples(st.integers(0, len(PLAIN) - 1), st.integers(0, 255)), min_size=1))
def test_a_damaged_certificate_too(changes: list[tuple[int, int]]):
    data = bytearray(PLAIN)
    for at, octet in changes:
        data[at] = octet
    assert harmless(bytes(data))


def harmless(data: bytes) -> bool:
    """Whether the octets give harmless text or a harmless CertificateError; all else raises."""
    try:
        read = describe(data)
    except CertificateError as refused:
        return str(refused).isprintable()
    texts = (read.subject, read.issuer, *read.names)
    return all(text.isascii() and text.isprintable() for text in texts)
