"""`scan` as a function: everything asked for comes back as a result, each with its reason."""

import socket
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from mailseal.model.finding import Grade, Verdict
from mailseal.model.look import Vantage
from mailseal.report.result import ScanResult
from mailseal.workflow import BadInput
from mailseal.workflow.scan import Request, Word, credentials, ports_of, scan
from tests.probe import peers
from tests.probe.certificates import server_context
from tests.probe.test_canary import free_port, goes_on


def request(*targets: str, **changes) -> Request:
    return replace(Request(tuple(map(Word, targets)), timeout=1.0), **changes)


def results(*targets: str, **changes) -> list[ScanResult]:
    return list(scan(request(*targets, **changes)))


def rules(result: ScanResult) -> list[str]:
    return [finding.rule for finding in result.findings]


def test_an_exposed_service_with_its_finding_and_reference():
    with peers.serving(peers.pop2) as endpoint:
        (result,) = results(str(endpoint))
    assert (result.verdict, result.endpoint) == (Verdict.EXPOSED, endpoint)
    assert result.assessment is not None
    assert result.assessment.grade is Grade.ACCEPTED
    assert rules(result) == ["pop2-cleartext-login"]
    assert [reference.rule for reference in result.references] == rules(result)
    assert not result.swept


def test_every_address_of_a_name_gets_its_own_result(monkeypatch: pytest.MonkeyPatch):
    rows = {
        "mail.example": [(0, 0, 0, "", (a, 0)) for a in ("127.0.0.1", "127.0.0.2")],
    }

    def resolver(name, *rest, **more):
        if name not in rows:
            raise socket.gaierror(-2, "Name or service not known")
        return rows[name]

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    with peers.serving(peers.pop2) as endpoint:
        found = results(f"mail.example:{endpoint.port}", "gone.example")
    assert {(r.asked, r.endpoint.address if r.endpoint else "", r.verdict) for r in found} == {
        ("mail.example", "127.0.0.1", Verdict.EXPOSED),
        ("mail.example", "127.0.0.2", Verdict.ABSENT),
        ("gone.example", "", Verdict.INCONCLUSIVE),
    }
    (lost,) = (r for r in found if r.endpoint is None)
    assert lost.reason == "the name does not resolve: Name or service not known"


def test_a_network_is_swept_and_its_named_addresses_are_looked_at_once():
    with peers.serving(peers.pop2) as endpoint:
        found = results("127.0.0.0/29", str(endpoint), ports=(endpoint.port,))
    assert len(found) == 6
    assert [(r.endpoint, r.swept) for r in found if r.verdict is Verdict.EXPOSED] == [
        (endpoint, False)
    ]
    assert all(r.swept for r in found if r.endpoint != endpoint)


@pytest.mark.parametrize(
    ("vantage", "seen"), [(None, (Vantage.SELF,)), (Vantage.SELF, (Vantage.SELF,))]
)
def test_the_host_itself_is_no_remote_vantage(vantage, seen):
    with peers.serving(peers.pop2) as endpoint:
        (result,) = results(str(endpoint), vantage=vantage)
    assert result.assessment is not None
    assert result.assessment.vantages == seen


def test_a_remote_look_at_ourselves_is_not_taken():
    with peers.serving(peers.pop2) as endpoint:
        found = results(
            str(endpoint), "127.0.0.4/30", vantage=Vantage.REMOTE, ports=(endpoint.port,)
        )
    assert len(found) == 3
    assert {(r.verdict, r.observations) for r in found} == {(Verdict.INCONCLUSIVE, ())}
    assert all("must be taken from another host" in r.reason for r in found)


def test_a_login_with_a_test_account_proves_it():
    def peer(connection: socket.socket) -> None:
        peers.pop2(connection, users={b"probe": b"geheim"})

    with peers.serving(peer) as endpoint:
        (result,) = results(str(endpoint), login=credentials("probe", "geheim"))
    assert result.assessment is not None
    assert result.assessment.grade is Grade.PROVEN
    assert "geheim" not in repr(result)


def test_a_certificate_is_held_against_the_name(tmp_path: Path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = server_context(authority.issue_cert("mail.example"))
    trusted = {"authority": str(tmp_path / "ca.pem")}
    with peers.serving(peers.secured(context, peers.pop2)) as endpoint:
        target = str(endpoint)
        (right,) = results(target, name="mail.example", **trusted)
        (wrong,) = results(target, name="www.example", **trusted)
        (unknown,) = results(target, name="mail.example")
        (nameless,) = results(target, **trusted)
    assert {r.verdict for r in (right, wrong, unknown, nameless)} == {Verdict.REFUSED}
    assert rules(right) == rules(nameless) == []
    assert wrong.findings[0].evidence == (
        "wrong name: it is for mail.example, not for www.example",
    )
    assert unknown.findings[0].evidence[0].startswith("untrusted: ")


def test_the_canary_finds_a_server_that_goes_on_and_not_the_other():
    port = free_port()
    with ExitStack() as stack:
        open_ = stack.enter_context(peers.serving(goes_on(port, "127.0.0.1", [])))
        plain = stack.enter_context(peers.serving(peers.pop2))
        off = stack.enter_context(
            peers.serving(peers.says(b"- POP2 server disabled on this system\r\n"))
        )
        found = results(*map(str, (open_, plain, off)), remote_login=True, canary_port=port)
    by_endpoint = {result.endpoint: result for result in found}
    assert rules(by_endpoint[open_]) == ["pop2-cleartext-login", "pop2-remote-login"]
    assert rules(by_endpoint[plain]) == ["pop2-cleartext-login"]
    assert len(by_endpoint[plain].observations) == 2
    assert by_endpoint[off].verdict is Verdict.REFUSED
    assert len(by_endpoint[off].observations) == 1


def test_a_canary_that_cannot_listen_says_so():
    with peers.serving(peers.close) as imap, peers.serving(peers.pop2) as endpoint:
        (result,) = results(str(endpoint), remote_login=True, canary_port=imap.port)
    assert rules(result) == ["pop2-cleartext-login"]
    (gap,) = (g for g in result.observations[0].gaps if "remote login" in g)
    assert gap.startswith("remote login not examined: cannot listen on 127.0.0.1 port")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"words": ()}, "there is no target"),
        ({"words": (Word("a b", "hosts.txt", 3),)}, "hosts.txt, line 3: 'a b' is no host"),
        ({"words": (Word("ftp://a"),)}, "the scheme is none of pop2"),
        ({"words": (Word("2001:db8::/64"),)}, "write smaller networks"),
        ({"words": (Word("10.0.0.0/7"),)}, "write smaller networks"),
        ({"login": credentials("a", "b"), "words": (Word("192.0.2.0/24"),)}, "name the hosts"),
        ({"authority": "/nonexistent/ca.pem"}, "ca.pem cannot be used: No such file"),
        ({"authority": __file__}, "it holds no certificate in PEM form"),
    ],
)
def test_a_bad_request_is_refused_before_anything_is_looked_at(changes, words: str):
    with pytest.raises(BadInput) as refused:
        scan(replace(request("127.0.0.1:1"), **changes))
    assert words in str(refused.value)


@pytest.mark.parametrize("text", ["", "0", "65536", "109,", "109;110", "-1", "abc", "3-1"])
def test_bad_ports(text: str):
    with pytest.raises(BadInput, match="109,110"):
        ports_of(text)


def test_ports_are_read_once_each():
    assert ports_of("109, 110,109,pop3,1000-1002") == (109, 110, 1000, 1001, 1002)


@pytest.mark.parametrize(
    ("user", "password"), [("", "x"), ("a b", "x"), ("a:b", "x"), ("a", "x\n")]
)
def test_an_account_that_helo_cannot_carry(user: str, password: str):
    with pytest.raises(BadInput, match="test account"):
        credentials(user, password)
