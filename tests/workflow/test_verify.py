"""Every line of `mailseal verify`, broken by itself and noticed; real sockets on loopback."""

import dataclasses
import datetime
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from mailseal.model.look import Endpoint, Observation, Reach, Vantage
from mailseal.model.plan import ClaimKind, Proof, Result
from mailseal.model.target import BadTarget
from mailseal.plan import Options, make
from mailseal.probe.look import Question
from mailseal.protocols.base import Credentials
from mailseal.workflow import BadInput, verify, verifying
from mailseal.workflow.verifying import Request
from tests.plan.hosts import facts
from tests.probe import peers
from tests.probe.certificates import LAST_YEAR, NAME, server_context
from tests.prove.looks import SEALED, claim, look
from tests.workflow import services
from tests.workflow.conftest import Verify
from tests.workflow.lines import ALWAYS, evidence, failed, results, untold, wrong
from tests.workflow.services import PASSWORD, USER, Authority, sealed_pop2

ACCOUNT = Credentials(USER, PASSWORD)


# -- all is well -----------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_sealed_service_passes_every_line(ca: Authority, verified: Verify, host: str):
    leaf = ca.leaf()
    peer = peers.secured(server_context(leaf), services.pop2)
    with peers.closed(host) as shut, peers.serving(peer, host) as endpoint:
        made = verified(
            endpoint,
            certificate=ca.written(leaf, "served.pem"),
            account=ACCOUNT,
            intrusive=True,
            closed=(shut.port,),
        )
    assert wrong(made) == []
    more = {"certificate-planned", "login-works", "injection-ignored", "closed"}
    assert set(results(made)) == ALWAYS | more
    assert verify.exit_code(made.proofs) == 0
    left = {each.kind.value for each in made.left_out}
    assert left == {"wire-unreadable", "enabled-at-boot", "limits-fit", "reload-survived"}


def pop3(ca: Authority) -> peers.Peer:
    script = services.POP3_CLEAR, b"STLS", ca.context(), services.POP3_INSIDE
    return peers.scripted(b"+OK ready\r\n", *script)


def imap(ca: Authority) -> peers.Peer:
    return services.inside(b"* OK IMAP4rev1 ready\r\n", services.IMAP, ca.context())


def smtp(ca: Authority, **other: bytes) -> peers.Peer:
    answers = {**services.SMTP, **{key.replace("_", " ").encode(): v for key, v in other.items()}}
    return services.inside(b"220 mail.example ESMTP\r\n", answers, ca.context())


SERVICES: dict[str, tuple[Callable[[Authority], peers.Peer], tuple[str, ...]]] = {
    "pop2": (
        lambda ca: peers.secured(ca.context(), services.pop2),
        ("logged in by HELO", "1 messages", "message 1 fetched and left as it was"),
    ),
    "pop3": (pop3, ("logged in by USER", "2 messages", "message 2 fetched")),
    "imap": (imap, ("logged in by LOGIN command", "folders", "beginning of message 1 fetched")),
    "smtp": (smtp, ("logged in by PLAIN", "MAIL FROM its address", "taken back (RSET)")),
}


@pytest.mark.parametrize("protocol", SERVICES)
def test_a_real_account_goes_in_looks_around_and_leaves(
    ca: Authority, verified: Verify, protocol: str
):
    peer, words = SERVICES[protocol]
    with peers.serving(peer(ca)) as endpoint:
        made = verified(endpoint, protocol, account=ACCOUNT, intrusive=True)
    assert wrong(made) == []
    told = evidence(made, "login-works")
    assert all(each in told for each in words), told
    assert "editor@example.net" not in repr(made), "mail is somebody's"
    assert PASSWORD not in repr(made)


# -- each line broken ------------------------------------------------------------------------------

Peer = Callable[[Authority], peers.Peer]


def old_versions(ca: Authority) -> peers.Peer:
    context = ca.context()
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ECDHE+AES:@SECLEVEL=0")
    return sealed_pop2(context)


def no_authentication(ca: Authority) -> peers.Peer:
    context = ca.context()
    context.set_ciphers("ECDHE+AESGCM:aNULL:@SECLEVEL=0")
    return sealed_pop2(context)


def disabled(ca: Authority) -> peers.Peer:
    return peers.says(b"- POP2 server disabled on this system\r\n", stay=0.2)


NO_TLS = {
    "tls-versions", "tls-ciphers", "certificate-chain", "certificate-name", "certificate-dates",
    "certificate-key", "backend-answers", "login-rejected",
}  # fmt: skip

BROKEN: dict[str, tuple[Peer, set[str], set[str], str]] = {
    # what is broken: the service, the lines that fail, those that could not be told, a word of it
    "cleartext is served": (
        lambda ca: services.pop2,
        {"tls-alone", "cleartext-refused", "scanner-closes", *NO_TLS},
        set(),
        "without a way to TLS",
    ),
    "an eager client is answered": (
        lambda ca: services.eager(ca.context()),
        {"tls-alone", "cleartext-refused"},
        set(),
        "does not wait is answered",
    ),
    "only the scanner is left": (disabled, {"scanner-closes", *NO_TLS}, set(), "false positive"),
    "old versions": (old_versions, {"tls-versions"}, set(), "TLSv1.1 is accepted"),
    "weak ciphers": (no_authentication, {"tls-ciphers"}, set(), "ECDH_anon_WITH_AES"),
    "a chain that nobody trusts": (
        lambda ca: sealed_pop2(Authority(Path(ca.path).parent / "..").context()),
        {"certificate-chain"},
        set(),
        "unable to get local issuer",
    ),
    "another name": (
        lambda ca: sealed_pop2(ca.context(name="other.example")),
        {"certificate-name"},
        {"certificate-chain"},
        "it is for other.example, not for mail.example",
    ),
    "expired": (
        lambda ca: sealed_pop2(ca.context(until=LAST_YEAR)),
        {"certificate-dates"},
        set(),
        "2020-01-01",
    ),
    "a weak key": (
        lambda ca: sealed_pop2(ca.weak_key()),
        {"certificate-key"},
        {"certificate-chain"},
        "RSA with 1024 bits",
    ),
    "a dead backend": (
        lambda ca: peers.secured(ca.context(), lambda connection: None),
        {"backend-answers", "login-rejected"},
        set(),
        "inside TLS answers nothing known",
    ),
    "anybody is let in": (
        lambda ca: sealed_pop2(ca.context(), anybody=True),
        {"login-rejected"},
        set(),
        "ANYBODY IS LET IN",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken_is_noticed_and_nothing_else(ca: Authority, verified: Verify, case: str):
    peer, failing, doubtful, word = BROKEN[case]
    with peers.serving(peer(ca)) as endpoint:
        made = verified(endpoint)
    assert failed(made) == failing, wrong(made)
    assert untold(made) == doubtful, wrong(made)
    assert verify.exit_code(made.proofs) == 1
    assert any(word in line for proof in made.proofs for line in proof.evidence), wrong(made)


def test_a_mailbox_that_cannot_be_read(ca: Authority, verified: Verify):
    with peers.serving(sealed_pop2(ca.context(), broken=True)) as endpoint:
        made = verified(endpoint, account=ACCOUNT)
    assert failed(made) == {"login-works"}
    assert "READ 1: - No such message" in evidence(made, "login-works")


def test_a_wrong_password_is_told_and_not_shown(ca: Authority, verified: Verify):
    with peers.serving(sealed_pop2(ca.context())) as endpoint:
        made = verified(endpoint, account=Credentials(USER, "wrong horse"))
    assert failed(made) == {"login-works"}
    assert "HELO: - Bad login" in evidence(made, "login-works")
    assert "wrong horse" not in repr(made)


def test_no_password_leaves_where_the_certificate_does_not_verify(ca: Authority, verified: Verify):
    said: list[bytes] = []

    def listening(connection: socket.socket) -> None:
        connection.sendall(b"+ POP2 server ready\r\n")
        said.extend(peers.lines(connection))

    peer = peers.secured(ca.context(name="other.example"), listening)
    with peers.serving(peer) as endpoint:
        made = verified(endpoint, account=ACCOUNT)
    assert "not used: the certificate does not verify" in evidence(made, "login-works")
    assert said
    assert not any(PASSWORD.encode() in line or USER.encode() in line for line in said)


def test_an_old_certificate_that_was_never_reloaded(ca: Authority, verified: Verify):
    with peers.serving(sealed_pop2(ca.context())) as endpoint:
        made = verified(endpoint, certificate=ca.written(ca.leaf(), "renewed.pem"))
    assert failed(made) == {"certificate-planned"}
    assert evidence(made, "certificate-planned").count("serial") == 2


def test_a_certificate_that_ends_too_soon(ca: Authority, verified: Verify):
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=5)
    with peers.serving(sealed_pop2(ca.context(until=soon))) as endpoint:
        assert not failed(verified(endpoint))
        assert failed(verified(endpoint, valid_days=21)) == {"certificate-dates"}


def test_a_backend_that_can_be_reached(ca: Authority, verified: Verify):
    with (
        peers.serving(sealed_pop2(ca.context())) as endpoint,
        peers.serving(services.pop2) as backend,
    ):
        made = verified(endpoint, closed=(backend.port,))
    assert failed(made) == {"closed"}


def test_commands_injected_before_tls(ca: Authority, verified: Verify):
    with peers.serving(services.injectable(ca.context())) as endpoint:
        assert not failed(verified(endpoint, "pop3"))
        made = verified(endpoint, "pop3", intrusive=True)
    assert failed(made) == {"injection-ignored"}


@pytest.mark.parametrize(
    ("said", "result"),
    [
        (b"250 2.1.5 Ok\r\n", Result.FAIL),
        (b"451 4.3.0 Try again later\r\n", Result.UNKNOWN),
        (b"550 5.1.2 no\r\n", Result.PASS),
    ],
)
def test_an_open_relay(ca: Authority, verified: Verify, said: bytes, result: Result):
    with peers.serving(smtp(ca, **{"RCPT_TO:": said})) as endpoint:
        made = verified(endpoint, "smtp")
    assert results(made)["relay-refused"] is result
    assert failed(made) <= {"relay-refused"}


@pytest.mark.skipif(os.geteuid() != 0, reason="listening to an interface needs root")
def test_a_second_leg_in_cleartext_is_heard(ca: Authority, verified: Verify):
    with ExitStack() as stack:
        backend = stack.enter_context(peers.serving(services.pop2))
        gateway = services.forwarding(ca.context(), backend)
        endpoint = stack.enter_context(peers.serving(gateway))
        made = verified(endpoint, eavesdrop="lo")
    assert failed(made) == {"wire-unreadable"}
    assert "to 127.0.0.1 port %d" % backend.port in evidence(made, "wire-unreadable")


@pytest.mark.skipif(os.geteuid() != 0, reason="listening to an interface needs root")
def test_the_wire_of_a_sealed_service_is_unreadable(ca: Authority, verified: Verify):
    with peers.serving(sealed_pop2(ca.context())) as endpoint:
        made = verified(endpoint, eavesdrop="lo")
    assert not failed(made)
    assert "octets of ours heard on lo; neither" in evidence(made, "wire-unreadable")
    with peers.serving(services.pop2) as endpoint:
        made = verified(endpoint, eavesdrop="lo")
    assert results(made)["wire-unreadable"] is Result.FAIL
    with pytest.raises(BadInput, match="no interface nowhere"):
        verified(endpoint, eavesdrop="nowhere")


# -- addresses, and who looks ----------------------------------------------------------------------


def test_an_address_that_cannot_be_looked_at(monkeypatch: pytest.MonkeyPatch, verified: Verify):
    nowhere = look(Reach.UNROUTABLE, gaps=("no route to this network from here",))
    monkeypatch.setattr("mailseal.probe.blocking.observe", lambda question: nowhere)
    made = verified(Endpoint("2001:db8::10", 109))
    assert set(results(made).values()) == {Result.UNKNOWN}
    assert "no route to this network" in evidence(made, "all-addresses")
    assert verify.exit_code(made.proofs) == 3


def test_a_name_that_does_not_resolve_is_no_pass(verified: Verify):
    made = verify.verified(Request("nowhere.invalid:109"), print)
    assert made.proofs == ()
    assert "nowhere.invalid: the name does not resolve" in made.left_out[0].reason
    assert verify.exit_code(made.proofs) == 3


def test_the_claims_of_an_address_of_our_own_are_of_ourselves():
    request = Request("127.0.0.1:109", authority="/ca", name=NAME)
    (place,), lost = verifying.places_of(request)
    assert lost == []
    assert place.vantage is Vantage.SELF
    assert place.expected == {"protocol": "pop2", "name": NAME, "authority": "/ca"}
    ((far,), _) = verifying.places_of(dataclasses.replace(request, source="ssh://other"))
    assert far.vantage is Vantage.REMOTE


@pytest.mark.parametrize(
    ("port", "protocol"),
    [(109, "pop2"), (110, "pop3"), (995, "pop3"), (143, "imap"), (4190, "managesieve")],
)
def test_what_is_served_is_told_by_the_port_where_nobody_says_it(port: int, protocol: str):
    places, _ = verifying.places_of(Request("127.0.0.1:%d" % port))
    assert {each.expected["protocol"] for each in places} == {protocol}


def test_of_a_strange_port_it_has_to_be_said():
    with pytest.raises(BadTarget, match="port 10110 serves is not known: give --protocol"):
        verifying.places_of(Request("127.0.0.1:10110"))


PLAN = make(facts("inetd"), 109, "pop2", Options(name=NAME))


def test_a_plans_endpoints_are_those_that_another_host_can_look_at():
    places, _ = verifying.places_of(Request("plan.json", plan=PLAN, authority="/my/ca.crt"))
    assert {each.endpoint.address for each in places} == {"192.0.2.10", "2001:db8:1::10"}
    assert {each.expected["authority"] for each in places} == {"/my/ca.crt"}
    offer = make(facts("inetd"), 109, "pop2", Options(name=NAME, stage="offer"))
    places, _ = verifying.places_of(Request("plan.json", plan=offer))
    kinds = {each.endpoint.port: each.kinds for each in places}
    assert kinds[109] == (ClaimKind.CLEARTEXT_SERVED,)
    assert kinds[1109] == (ClaimKind.SERVICE_IN_TLS,)


def test_the_host_itself_proves_nothing_remote(monkeypatch: pytest.MonkeyPatch):
    looks: list[Question] = []

    def observe(question: Question) -> Observation:
        looks.append(question)
        return SEALED

    monkeypatch.setattr("mailseal.probe.blocking.observe", observe)
    verify.from_afar(Question(Endpoint("192.0.2.10", 109)))
    assert len(looks) == 1
    monkeypatch.setattr(verify, "is_own", lambda address: True)
    seen = verify.from_afar(Question(Endpoint("192.0.2.10", 109)))
    assert "run `mailseal verify` on another" in seen.gaps[0]
    assert len(looks) == 1


@pytest.mark.parametrize(
    ("told", "code"),
    [("", 3), ("p", 0), ("pp", 0), ("pu", 3), ("pf", 1), ("uf", 1)],
)
def test_the_exit_code(told: str, code: int):
    values = {"p": Result.PASS, "f": Result.FAIL, "u": Result.UNKNOWN}
    proofs = [Proof(claim(ClaimKind.TLS_ALONE), values[each], (), "") for each in told]
    assert verify.exit_code(proofs) == code
