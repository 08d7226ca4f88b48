"""Sealed services to verify, on loopback, each with one thing that a test can break."""

import contextlib
import datetime
import functools
import socket
import ssl
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from mailseal.model.look import Endpoint
from tests.probe import peers
from tests.probe.certificates import NAME, server_context

USER, PASSWORD = "alice", "correct horse"
MAIL = b"From: editor@example.net\r\nSubject: RFC 1081\r\n\r\nPOP3 it is.\r\n"


class Authority:
    """A CA, and what it issues; `path` is its PEM file."""

    def __init__(self, folder: Path) -> None:
        self._ca = trustme.CA(key_type=trustme.KeyType.RSA)
        self.path = str(folder / "ca.pem")
        self._ca.cert_pem.write_to_path(self.path)
        self._folder = folder

    def leaf(self, name: str = NAME, until: datetime.datetime | None = None) -> trustme.LeafCert:
        return self._ca.issue_cert(name, not_after=until)

    def context(self, **more: object) -> ssl.SSLContext:
        return server_context(self.leaf(**more))  # type: ignore[arg-type]

    def written(self, leaf: trustme.LeafCert, name: str) -> str:
        """The certificate as a file."""
        path = self._folder / name
        leaf.cert_chain_pems[0].write_to_path(str(path))
        return str(path)

    def weak_key(self) -> ssl.SSLContext:
        """Issued for a key of 1024 bits, which trustme does not make."""
        issuer = x509.load_pem_x509_certificate(self._ca.cert_pem.bytes())
        signer = serialization.load_pem_private_key(self._ca.private_key_pem.bytes(), None)
        assert isinstance(signer, rsa.RSAPrivateKey)
        key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
        now = datetime.datetime.now(datetime.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)]))
            .issuer_name(issuer.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=90))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
            .sign(signer, hashes.SHA256())
        )
        path = self._folder / "weak.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + made.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.load_cert_chain(path)
        return context


def pop2(connection: socket.socket, anybody: bool = False, broken: bool = False) -> None:
    """POP2 with one message in the mailbox. `broken`: it cannot be read."""
    connection.sendall(b"+ POP2 mail.example v1.0 server ready\r\n")
    for line in peers.lines(connection):
        verb, _, argument = line.rstrip(b"\r\n").partition(b" ")
        known = argument == f"{USER} {PASSWORD}".encode()
        if verb == b"HELO" and (known or (anybody and argument)):
            said = b"#1 messages\r\n"
        elif verb == b"HELO":
            wrong = b"Bad login" if argument else b"Missing user or password"
            connection.sendall(b"- %s\r\n+ Sayonara\r\n" % wrong)
            return
        elif verb == b"READ":
            said = b"- No such message\r\n" if broken else b"=%d characters\r\n" % len(MAIL)
        elif verb == b"RETR":
            said = MAIL
        elif verb == b"NACK":
            said = b"=%d characters\r\n" % len(MAIL)
        else:
            connection.sendall(b"+ Sayonara\r\n")
            return
        connection.sendall(said)


def eager(context: ssl.SSLContext) -> peers.Peer:
    """Speaks TLS to whoever begins it, and cleartext to whoever does not wait to be greeted."""

    def peer(connection: socket.socket) -> None:
        if connection.recv(1, socket.MSG_PEEK) == b"\x16":
            peers.secured(context, pop2)(connection)
        else:
            pop2(connection)

    return peer


def forwarding(context: ssl.SSLContext, backend: Endpoint) -> peers.Peer:
    """A terminator that goes on to its backend in cleartext."""

    def peer(connection: socket.socket) -> None:
        with (
            context.wrap_socket(connection, server_side=True) as inner,
            socket.create_connection((backend.address, backend.port)) as outer,
        ):
            inner.settimeout(0.05)
            outer.settimeout(0.05)
            while True:
                for source, target in ((inner, outer), (outer, inner)):
                    with contextlib.suppress(TimeoutError):
                        data = source.recv(4096)
                        if not data:
                            return
                        target.sendall(data)

    return peer


# -- protocols with STARTTLS, and SMTP -------------------------------------------------------------

POP3_CLEAR = {
    b"CAPA": b"+OK\r\nSTLS\r\nSASL\r\n.\r\n",
    b"USER": b"-ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS).\r\n",
    b"AUTH": b"-ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS).\r\n",
    b"STLS": b"+OK Begin TLS\r\n",
    b"*": b"-ERR unknown command\r\n",
}
POP3_INSIDE = {
    b"CAPA": b"+OK\r\nUSER\r\n.\r\n",
    b"AUTH": b"-ERR unknown command\r\n",
    b"USER": b"+OK\r\n",
    b"PASS CORRECT HORSE": b"+OK logged in\r\n",
    b"PASS": b"-ERR [AUTH] Authentication failed.\r\n",
    b"LIST": b"+OK 2 messages\r\n1 120\r\n2 60\r\n.\r\n",
    b"RETR 2": b"+OK 60 octets\r\n" + MAIL + b".\r\n",
    b"QUIT": b"+OK\r\n",
    b"*": b"-ERR\r\n",
}
IMAP = {
    b"M1 CAPABILITY": b"* CAPABILITY IMAP4rev1\r\nm1 OK done\r\n",
    b'M2 LOGIN "ALICE" "CORRECT HORSE"': b"m2 OK [CAPABILITY IMAP4rev1] Logged in\r\n",
    b"M2 LOGIN": b"m2 NO [AUTHENTICATIONFAILED] Authentication failed.\r\n",
    b"M2 AUTH": b"m2 BAD unknown command\r\n",
    b"M3 AUTH": b"m3 BAD unknown command\r\n",
    b"M4 LOGIN": b"m4 NO [AUTHENTICATIONFAILED] Authentication failed.\r\n",
    b"V1 LIST": b'* LIST () "/" INBOX\r\nv1 OK listed\r\n',
    b"V2 EXAMINE": b"* 1 EXISTS\r\n* 0 RECENT\r\nv2 OK [READ-ONLY] done\r\n",
    b"V3 FETCH 1 BODY.PEEK[]<0.1024>": (
        b"* 1 FETCH (BODY[]<0> {%d}\r\n%s)\r\nv3 OK fetched\r\n" % (len(MAIL), MAIL)
    ),
    b"M3 LOGOUT": b"* BYE\r\nm3 OK\r\n",
    b"M5 LOGOUT": b"* BYE\r\nm5 OK\r\n",
}
SMTP = {
    b"EHLO": b"250-mail.example\r\n250 AUTH PLAIN\r\n",
    b"AUTH PLAIN": b"334 \r\n",
    b"AUTH LOGIN": b"504 5.5.4 Unrecognized authentication type\r\n",
    b"*\r\n": b"501 5.7.0 Authentication aborted\r\n",
    b"AGFSAWNLAGNVCNJLY3QGAG9YC2U=": b"235 2.7.0 Authentication successful\r\n",
    b"MAIL FROM:": b"250 2.1.0 Ok\r\n",
    b"RCPT TO:": b"554 5.7.1 Relay access denied\r\n",
    b"RSET": b"250 2.0.0 Ok\r\n",
    b"QUIT": b"221 2.0.0 Bye\r\n",
    b"*": b"535 5.7.8 Error: authentication failed\r\n",
}


def inside(greeting: bytes, answers: dict[bytes, bytes], context: ssl.SSLContext) -> peers.Peer:
    """A scripted service inside TLS from the first octet."""
    return peers.secured(context, peers.scripted(greeting, answers))


def injectable(context: ssl.SSLContext) -> peers.Peer:
    """POP3 that keeps what came behind STLS, and answers it inside TLS (CVE-2011-0411)."""

    def peer(connection: socket.socket) -> None:
        connection.sendall(b"+OK ready\r\n")
        line = b""
        while octet := connection.recv(1):
            line += octet
            if octet != b"\n":
                continue
            if not line.startswith(b"STLS"):
                word = next((key for key in POP3_CLEAR if line.startswith(key)), b"*")
                connection.sendall(POP3_CLEAR[word])
                line = b""
                continue
            connection.setblocking(False)
            kept = b""
            with contextlib.suppress(BlockingIOError):
                # The ClientHello waits for our yes.
                kept = connection.recv(64)
            connection.settimeout(peers.LONGEST)
            connection.sendall(POP3_CLEAR[b"STLS"])
            with context.wrap_socket(connection, server_side=True) as secure:
                if kept:
                    secure.sendall(POP3_INSIDE[b"CAPA"])
                peers.talk(secure, POP3_INSIDE, b"")
            return

    return peer


def sealed_pop2(context: ssl.SSLContext, anybody: bool = False, broken: bool = False) -> peers.Peer:
    """POP2 inside TLS."""
    return peers.secured(context, functools.partial(pop2, anybody=anybody, broken=broken))
