"""SRV and MX, asked of a name server on loopback."""

import socket
import threading
from collections.abc import Iterator

import dns.message
import dns.rcode
import dns.rrset
import pytest

from mailseal.model.target import parse
from mailseal.probe import targets
from mailseal.probe.directory import Records, asker, records, resolver
from mailseal.probe.targets import Found, Unresolved

ZONE = {
    ("_imaps._tcp.example.", "SRV"): ["0 1 993 imap.example.", "10 1 1993 far.example."],
    ("_pop3._tcp.example.", "SRV"): ["0 0 0 ."],
    ("_sieve._tcp.example.", "SRV"): ["0 1 4191 example."],
    ("example.", "MX"): ["10 mx.example.", "20 gone.example."],
    ("null.example.", "MX"): ["0 ."],
}
SILENT = "_imap._tcp.silent.example."
BROKEN = "broken.example."
HOSTS = {
    "example": ["192.0.2.1"],
    "imap.example": ["192.0.2.2", "2001:db8::2"],
    "far.example": ["198.51.100.1"],
    "mx.example": ["192.0.2.3"],
    "null.example": ["192.0.2.9"],
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Records]:
    def addresses(name: str) -> list[str] | Unresolved:
        return HOSTS.get(name) or Unresolved(name, "the name does not resolve: not known")

    def serve() -> None:
        while True:
            data, peer = server.recvfrom(4096)
            if not data:
                return
            query = dns.message.from_wire(data)
            (question,) = query.question
            name, kind = question.name.to_text(), str(dns.rdatatype.to_text(question.rdtype))
            if name == SILENT:
                continue
            answer = dns.message.make_response(query)
            if name == BROKEN:
                answer.set_rcode(dns.rcode.SERVFAIL)
            elif (name, kind) in ZONE:
                answer.answer.append(dns.rrset.from_text(name, 60, "IN", kind, *ZONE[name, kind]))
            else:
                answer.set_rcode(dns.rcode.NXDOMAIN)
            server.sendto(answer.to_wire(), peer)

    monkeypatch.setattr(targets, "addresses", addresses)
    monkeypatch.setattr("mailseal.probe.directory.addresses", addresses)
    monkeypatch.setattr("mailseal.probe.directory.PATIENCE", 1.0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield records(resolver(("127.0.0.1",), server.getsockname()[1]))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", server.getsockname())
        thread.join(5)


def test_a_domains_services_are_found_by_srv(asked: Records):
    found = asker(asked, srv=True, mx=False)(parse("example", (109,)))
    assert found == [
        Found("192.0.2.1", (109,), ("example",)),
        Found("192.0.2.2", (993,), ("imap.example",)),
        Found("2001:db8::2", (993,), ("imap.example",)),
        Found("198.51.100.1", (1993,), ("far.example",)),
        Found("192.0.2.1", (4191,), ("example",)),
    ]


def test_mail_exchangers_are_looked_at_on_the_ports_asked_for(asked: Records):
    found = asker(asked, srv=False, mx=True)(parse("example", (25, 587)))
    assert found == [
        Found("192.0.2.1", (25, 587), ("example",)),
        Found("192.0.2.3", (25, 587), ("mx.example",)),
        Unresolved("gone.example", "example names it, but the name does not resolve: not known"),
    ]


def test_no_service_is_no_service(asked: Records):
    assert asked("_pop3._tcp.example", "SRV") == []
    assert asked("nothing.example", "MX") == []
    assert asker(asked, srv=False, mx=True)(parse("null.example", (25,))) == [
        Found("192.0.2.9", (25,), ("null.example",))
    ]


def test_a_target_that_names_its_port_is_no_domain(asked: Records):
    found = asker(asked, srv=True, mx=True)(parse("example:110"))
    assert found == [Found("192.0.2.1", (110,), ("example",))]


@pytest.mark.parametrize("name", [SILENT, BROKEN])
def test_a_name_server_without_an_answer_is_said(asked: Records, name: str):
    answer = asked(name.rstrip("."), "SRV")
    assert isinstance(answer, Unresolved)
    assert "could not be asked for" in answer.reason
    assert answer.reason.isprintable()
