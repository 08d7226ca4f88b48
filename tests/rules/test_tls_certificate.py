"""Each complaint about a certificate, and what is none."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from mailseal.assess import assess
from mailseal.model.look import Endpoint, Observation, Reach, TlsFacts, Vantage
from mailseal.rules.tls_certificate import RULE
from tests.certs.make import certificate, with_sha1

MOMENT = "2026-01-15T12:00:00.000Z"
RSA_1024 = rsa.generate_private_key(65537, 1024)
RSA_2048 = rsa.generate_private_key(65537, 2048)
EC_192 = ec.generate_private_key(ec.SECP192R1())
GOOD = certificate("mail.example", issuer="Example CA")


def complaints(chain: tuple[bytes, ...], trust: str = "", name: str = "mail.example"):
    tls = TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384", 256, chain, trust, name or "192.0.2.7")
    look = Observation(
        Endpoint("192.0.2.7", 109), Vantage.REMOTE, MOMENT, MOMENT, Reach.OPEN,
        "pop2", "", tls, (), (), "0", (), name,
    )  # fmt: skip
    return RULE.check([look], assess([look]))


@pytest.mark.parametrize(
    ("der", "trust", "name", "said"),
    [
        (GOOD, "", "mail.example", ()),
        (certificate("mail.example", until="2026-01-14"), "certificate has expired",
         "mail.example", ("expired on 2026-01-14T00:00:00.000Z",)),
        (certificate("mail.example", since="2026-02-01"), "certificate is not yet valid",
         "mail.example", ("not valid before 2026-02-01T00:00:00.000Z",)),
        (certificate("a.example", "b.example"), "Hostname mismatch, certificate is not valid for "
         "'mail.example'.", "mail.example",
         ("wrong name: it is for a.example, b.example, not for mail.example",)),
        (certificate(), "", "mail.example",
         ("wrong name: it is for no name at all, not for mail.example",)),
        (GOOD, "unable to get local issuer certificate", "mail.example",
         ("untrusted: unable to get local issuer certificate (issued by CN=Example CA)",)),
        # Self-signed hides the wrong name from OpenSSL; both are said.
        (certificate("a.example"), "self-signed certificate", "mail.example",
         ("wrong name: it is for a.example, not for mail.example",
          "untrusted: self-signed certificate (issued by CN=mail.example)")),
        # An expired certificate of the CA is not an expired leaf.
        (GOOD, "certificate has expired", "mail.example",
         ("untrusted: certificate has expired (issued by CN=Example CA)",)),
        # Looked at by address: nobody knows the name its clients use.
        (GOOD, "IP address mismatch, certificate is not valid for '192.0.2.7'.", "", ()),
        (certificate("mail.example", key=RSA_1024), "", "mail.example",
         ("weak key: RSA with 1024 bits, 2048 are the least",)),
        (certificate("mail.example", key=EC_192), "", "mail.example",
         ("weak key: EC with 192 bits, 224 are the least",)),
        (certificate("mail.example", key=RSA_2048), "", "mail.example", ()),
        (with_sha1(certificate("mail.example", key=RSA_2048)), "", "mail.example",
         ("weak signature: SHA1",)),
    ],
    ids=["good", "expired", "not yet", "wrong name", "no name", "untrusted", "two faults",
         "expired CA", "by address", "RSA 1024", "EC 192", "RSA 2048", "SHA-1"],
)  # fmt: skip
def test_complaints(der: bytes, trust: str, name: str, said: tuple[str, ...]):
    assert complaints((der,), trust, name) == said


def test_what_cannot_be_read_is_a_complaint_too():
    (said,) = complaints((b"\x30\x03\x02\x01\x1b",))
    assert said.startswith("not a readable certificate")
    assert complaints(()) == ("the server showed no certificate",)
