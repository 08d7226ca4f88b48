"""The client pack: its configurations as stunnel reads them, and the real stunnel run with them."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from mailseal.configs import stunnel as config
from mailseal.export import CannotExport, clientpack
from mailseal.model.plan import Plan
from tests.export.make import plan, source

STUNNEL = shutil.which("stunnel4") or shutil.which("stunnel")
GREETING = b"+ POP2 mail.example ready\r\n"
PEM = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def pack(made: Plan | None = None, authority: bytes = PEM) -> dict[str, bytes]:
    files = clientpack.export(source(made, authority))
    assert {each.mode for each in files} == {0o644}
    return {each.name: each.content for each in files}


@pytest.mark.parametrize("system", ["unix", "windows"])
def test_the_client_listens_on_loopback_and_verifies_chain_and_name(system: str) -> None:
    document = config.parse(pack()[f"{system}/stunnel.conf"])
    assert document.malformed == ()
    (service,) = document.services
    found = config.effective(document, service)
    values = {key: each[-1].value.text for key, each in found.items()}
    assert values["client"] == "yes"
    assert "client" not in {option.key.text for option in document.globals}
    assert values["accept"] == "127.0.0.1:109"
    assert values["connect"] == "mail.example:109"
    assert values["verifychain"] == "yes"
    assert values["checkhost"] == "mail.example"
    assert values["cafile"].endswith("ca.crt")
    assert values["sslversionmin"] == "TLSv1.2"
    assert not {"options", "protocol", "setuid"} & values.keys()
    # These are Unix's alone: with them stunnel does not start on Windows.
    assert bool({"foreground", "pid", "syslog"} & values.keys()) == (system == "unix")


def test_in_stage_offer_clients_reach_the_port_of_tls() -> None:
    document = config.parse(pack(plan(stage="offer"))["unix/stunnel.conf"])
    values = {option.key.text: option.value.text for option in document.services[0].options}
    assert (values["accept"], values["connect"]) == ("127.0.0.1:109", "mail.example:1109")


def test_an_address_is_checked_as_an_address() -> None:
    made = plan()
    claims = tuple(
        replace(claim, expected={**claim.expected, "name": "192.0.2.10"}) for claim in made.claims
    )
    assert b"checkIP = 192.0.2.10" in pack(replace(made, claims=claims))["unix/stunnel.conf"]


def test_only_certificates_are_taken_from_the_file_of_the_ca() -> None:
    key = b"-----BEGIN PRIVATE KEY-----\nBBBB\n-----END PRIVATE KEY-----\n"
    files = pack(authority=key + PEM.replace(b"\n", b"\r\n"))
    assert files["ca.crt"] == files["windows/mailseal-ca.crt"] == PEM


def test_nothing_is_left_to_fill_in_and_windows_has_its_line_ends() -> None:
    for name, content in pack().items():
        assert not re.search(rb"@[A-Z]+@", content), name
        if name.startswith("windows/") and not name.endswith(".crt"):
            assert content.count(b"\n") == content.count(b"\r\n")


@pytest.mark.parametrize(
    ("changes", "authority", "says"),
    [
        ({}, b"", "with --ca"),
        ({}, b"no certificate", "holds no certificate"),
        ({"strategy": "native"}, PEM, "inside the session"),
        ({"claims": ()}, PEM, "no service answers in TLS"),
        ({"protocol": "pop2\nclient = no"}, PEM, "names no protocol"),
    ],
)
def test_what_is_refused(changes: dict[str, object], authority: bytes, says: str) -> None:
    with pytest.raises(CannotExport, match=says):
        clientpack.export(source(None, authority, **changes))


@pytest.mark.parametrize("name", ["", "x\naccept = 0.0.0.0:109", "x y"])
def test_a_name_that_is_none_never_reaches_a_configuration(name: str) -> None:
    made = plan()
    claims = tuple(
        replace(claim, expected={**claim.expected, "name": name}) for claim in made.claims
    )
    with pytest.raises(CannotExport, match="plan with --name"):
        pack(replace(made, claims=claims))


# -- the real stunnel ------------------------------------------------------------------------------


class Server:
    """Greets a few clients inside TLS."""

    def __init__(self, authority: trustme.CA, name: str) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(self._context)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(20)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        try:
            raw, _ = self._listener.accept()
        except OSError:
            return
        raw.settimeout(10)
        try:
            with self._context.wrap_socket(raw, server_side=True) as wire:
                wire.sendall(GREETING)
                wire.recv(1)
        except OSError:
            raw.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(20)


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def greeted(folder: Path, system: str, authority: trustme.CA, name: str, trusted: bytes) -> bytes:
    """What a program without TLS is told through stunnel with the pack's configuration."""
    server = Server(authority, name)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        local = probe.getsockname()[1]
    (folder / "ca.crt").write_bytes(trusted)
    text = pack(authority=trusted)[f"{system}/stunnel.conf"].decode()
    # mail.example is nowhere, and its port is root's.
    text = text.replace("accept = 127.0.0.1:109", f"accept = 127.0.0.1:{local}")
    text = text.replace("connect = mail.example:109", f"connect = 127.0.0.1:{server.port}")
    text = re.sub(r"CAfile = \S+", f"CAfile = {folder / 'ca.crt'}", text)
    if system == "windows":
        text = "foreground = yes\r\npid =\r\n" + text
    (folder / "stunnel.conf").write_text(text, newline="")
    assert STUNNEL is not None
    words = [STUNNEL, str(folder / "stunnel.conf")]
    with (folder / "log").open("wb") as log, subprocess.Popen(words, stderr=log) as process:
        try:
            with connected(local, process) as wire:
                wire.settimeout(10)
                try:
                    return wire.recv(100)
                except ConnectionError:
                    return b""
        finally:
            process.terminate()
            process.wait(10)
            server.close()


def connected(port: int, process: subprocess.Popen[bytes]) -> socket.socket:
    for _ in range(200):
        assert process.poll() is None, "stunnel ended"
        try:
            return socket.create_connection(("127.0.0.1", port), 5)
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise AssertionError("stunnel does not listen")


needs_stunnel = pytest.mark.skipif(STUNNEL is None, reason="no stunnel here")


@needs_stunnel
@pytest.mark.parametrize("system", ["unix", "windows"])
def test_a_program_without_tls_is_served(
    tmp_path: Path, system: str, authority: trustme.CA
) -> None:
    trusted = authority.cert_pem.bytes()
    assert greeted(tmp_path, system, authority, "mail.example", trusted) == GREETING


@needs_stunnel
def test_a_server_of_another_name_gets_nothing(tmp_path: Path, authority: trustme.CA) -> None:
    trusted = authority.cert_pem.bytes()
    assert greeted(tmp_path, "unix", authority, "other.example", trusted) == b""


@needs_stunnel
def test_a_server_of_another_authority_gets_nothing(tmp_path: Path, authority: trustme.CA) -> None:
    trusted = trustme.CA().cert_pem.bytes()
    assert greeted(tmp_path, "unix", authority, "mail.example", trusted) == b""
