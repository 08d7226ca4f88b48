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

from mailseal.model.host import FileFact, HostFacts, Listener, UnitFact
from mailseal.model.look import Endpoint, Observation, Reach, Vantage
from mailseal.model.plan import ClaimKind, Proof, Result
from mailseal.model.verification import Verification
from mailseal.plan import Options, make
from mailseal.probe.look import Question
from mailseal.probe.targets import BadTarget
from mailseal.protocols.base import Credentials
from mailseal.workflow import BadInput, verify, verifying
from mailseal.workflow.verifying import Request
from tests.plan.hosts import facts
from tests.probe import peers
from tests.probe.certificates import LAST_YEAR, NAME, server_context
from tests.prove.looks import SEALED, claim, look
from tests.workflow import services
from tests.workflow.services import PASSWORD, USER, Authority, sealed_pop2

ACCOUNT = Credentials(USER, PASSWORD)
ALWAYS = {
    "all-addresses", "tls-alone", "cleartext-refused", "tls-versions", "tls-ciphers",
    "certificate-chain", "certificate-name", "certificate-dates", "certificate-key",
    "backend-answers", "login-rejected", "scanner-closes",
}  # fmt: skip


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(autouse=True)
def nobody_else_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine that runs the tests is not the mail host, also for root."""
    monkeypatch.setattr(verify, "_mail_host", lambda *words: None)


def silent(line: str) -> None:
    pass


Verify = Callable[..., Verification]


@pytest.fixture
def verified(ca: Authority) -> Verify:
    def run(endpoint: Endpoint, protocol: str = "pop2", **more: object) -> Verification:
        values = {"authority": ca.path, "name": NAME, "timeout": 0.6, **more}
        request = Request(str(endpoint), protocol=protocol, **values)  # type: ignore[arg-type]
        return verify.verified(request, silent)

    return run


def results(made: Verification) -> dict[str, Result]:
    return {proof.claim.kind.value: proof.result for proof in made.proofs}


def failed(made: Verification) -> set[str]:
    """The lines that fail; of the others each passes or could not be told."""
    return {kind for kind, result in results(made).items() if result is Result.FAIL}


def untold(made: Verification) -> set[str]:
    return {kind for kind, result in results(made).items() if result is Result.UNKNOWN}


def wrong(made: Verification) -> list[tuple[str, tuple[str, ...]]]:
    return [
        (each.claim.kind.value, each.evidence)
        for each in made.proofs
        if each.result is not Result.PASS
    ]


def evidence(made: Verification, kind: str) -> str:
    (proof,) = (each for each in made.proofs if each.claim.kind.value == kind)
    return "; ".join(proof.evidence)


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
    made = verify.verified(Request("nowhere.invalid:109"), silent)
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


@pytest.mark.parametrize(
    ("reach", "result"), [(Reach.CLOSED, Result.PASS), (Reach.OPEN, Result.FAIL)]
)
def test_a_service_that_was_turned_off_is_to_be_closed_and_no_more(
    monkeypatch: pytest.MonkeyPatch, reach: Reach, result: Result
):
    retired = make(facts("inetd"), 109, "pop2", Options(name=NAME, strategy="retire"))
    seen = look(reach, protocol="pop2", banner="+ POP2")
    monkeypatch.setattr("mailseal.probe.blocking.observe", lambda question: seen)
    monkeypatch.setattr(verify, "_mail_host", lambda *words: MailHost(facts("inetd")))
    made = verify.verified(Request("plan.json", plan=retired), silent)
    assert results(made) == {"all-addresses": Result.PASS, "closed": result}
    assert made.left_out == ()


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


# -- what the mail host says -----------------------------------------------------------------------


class MailHost:
    """A mail host that can be asked: its facts, its files, its reload."""

    def __init__(self, facts: HostFacts, problem: str = "") -> None:
        self._facts = facts
        self.problem = problem
        self.reloaded: list[str] = []
        self.files: dict[str, bytes] = {}

    def facts(self, ports: object, paths: object = ()) -> HostFacts:
        return self._facts

    def certificate(self, path: str) -> bytes:
        if path not in self.files:
            raise FileNotFoundError(path)
        return self.files[path]

    def reload(self, unit: str) -> str:
        self.reloaded.append(unit)
        return self.problem


ENABLED = "mailseal@%d.service"


def sealed_host(port: int, **more: object) -> HostFacts:
    """A host with our terminator on the port, enabled, and its backend behind a socket unit."""
    unit, backend = ENABLED % port, "mailseal-backend-%d.socket" % port
    config = b"cert = /etc/mailseal/mail.crt\n[pop2]\naccept = 192.0.2.10:%d\n" % port
    values: dict[str, object] = {
        "listeners": (Listener("192.0.2.10", port, 7, "stunnel4", "/usr/bin/stunnel4", unit),),
        "units": tuple(UnitFact(name, "loaded", "active", "enabled") for name in (unit, backend)),
        "files": (
            file_fact("/etc/mailseal/%d.conf" % port, config),
            file_fact(UNITS + backend, b"[Socket]\nMaxConnections=512\n"),
        ),
        **more,
    }
    return dataclasses.replace(facts("inetd"), **values)  # type: ignore[arg-type]


UNITS = "/etc/systemd/system/"


def file_fact(path: str, content: bytes) -> FileFact:
    return FileFact(path, "file", 0o644, 0, 0, content=content)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[[MailHost], None]:
    """The mail host that can be asked. What it says of its addresses is of another network."""

    def there(host: MailHost) -> None:
        monkeypatch.setattr(verify, "_mail_host", lambda *words: host)
        monkeypatch.setattr(verifying, "served", lambda *words: ("127.0.0.1",))

    return there


Asked = Callable[[MailHost], None]


def test_the_mail_host_is_asked_for_what_it_alone_knows(
    ca: Authority, verified: Verify, asked: Asked
):
    leaf = ca.leaf()
    path = ca.written(leaf, "host.pem")
    peer = peers.secured(server_context(leaf), services.pop2)
    with peers.serving(peer) as endpoint:
        host = MailHost(sealed_host(endpoint.port))
        host.files["/etc/mailseal/mail.crt"] = Path(path).read_bytes()
        asked(host)
        made = verified(endpoint, reload=True)
        more = {"certificate-planned", "enabled-at-boot", "limits-fit", "reload-survived"}
        assert wrong(made) == []
        assert set(results(made)) == ALWAYS | more
        assert host.reloaded == [ENABLED % endpoint.port]
        host.problem = "Job failed"
        assert untold(verified(endpoint, reload=True)) == {"reload-survived"}


def test_a_reload_after_which_nobody_is_there(ca: Authority, verified: Verify, asked: Asked):
    peer = peers.secured(ca.context(), lambda connection: None)
    with peers.serving(peer) as endpoint:
        asked(MailHost(sealed_host(endpoint.port)))
        made = verified(endpoint, reload=True)
    assert "reload-survived" in failed(made)


def not_enabled(port: int, state: str) -> HostFacts:
    unit = ENABLED % port
    return sealed_host(port, units=(UnitFact(unit, "loaded", "active", state),))


def limited(port: int) -> HostFacts:
    known = sealed_host(port)
    backend = UNITS + "mailseal-backend-%d.socket.d/mine.conf" % port
    more = file_fact(backend, b"[Socket]\nMaxConnectionsPerSource=4\n")
    return dataclasses.replace(known, files=(*known.files, more))


def per_source(port: int) -> HostFacts:
    """Stage offer: stunnel goes on to xinetd, which counts by address."""
    text = b"service pop2\n{\n\tport = %d\n\tper_source = 10\n}\n" % port
    return sealed_host(port, files=(file_fact("/etc/xinetd.d/pop2", text),))


def courier(port: int) -> HostFacts:
    return sealed_host(port, files=(file_fact("/etc/courier/pop3d", b"MAXPERIP=4\n"),))


def unprivileged(port: int) -> HostFacts:
    return sealed_host(port, privileged=False)


HOSTS: dict[str, tuple[Callable[[int], HostFacts], str, Result, str]] = {
    "disabled": (lambda p: not_enabled(p, "disabled"), "enabled-at-boot", Result.FAIL, "disabled"),
    "unlinked": (lambda p: not_enabled(p, "static"), "enabled-at-boot", Result.FAIL, "static"),
    "an old script": (
        lambda p: not_enabled(p, "generated"), "enabled-at-boot", Result.UNKNOWN, "generated",
    ),
    "nobody listens": (
        lambda p: sealed_host(p, listeners=()), "enabled-at-boot", Result.FAIL, "nothing listens",
    ),
    "a limit by source": (limited, "limits-fit", Result.FAIL, "MaxConnectionsPerSource=4"),
    "xinetd": (per_source, "limits-fit", Result.FAIL, "per_source = 10"),
    "courier": (courier, "limits-fit", Result.FAIL, "MAXPERIP=4"),
    "not root": (unprivileged, "limits-fit", Result.UNKNOWN, "not root"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTS)
def test_what_the_mail_host_says(
    case: str, monkeypatch: pytest.MonkeyPatch, verified: Verify, asked: Asked
):
    known, kind, result, word = HOSTS[case]
    monkeypatch.setattr("mailseal.probe.blocking.observe", lambda question: SEALED)
    asked(MailHost(known(109)))
    made = verified(Endpoint("127.0.0.1", 109), "pop3" if case == "courier" else "pop2")
    assert results(made)[kind] is result
    assert word in evidence(made, kind)


def test_an_address_that_the_name_does_not_lead_to_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, ca: Authority, verified: Verify, asked: Asked
):
    with peers.serving(sealed_pop2(ca.context())) as endpoint:
        asked(MailHost(sealed_host(endpoint.port)))
        monkeypatch.setattr(verifying, "served", lambda *words: ("127.0.0.2",))
        monkeypatch.setattr(verifying, "loopback", lambda address: False)
        made = verified(endpoint)
    seen = {each.claim.endpoint.address for each in made.proofs}
    assert seen == {"127.0.0.1", "127.0.0.2"}
    # Nobody listens there: nothing is exposed, and nothing is served.
    assert "127.0.0.2:%d" % endpoint.port in evidence_of(made, ClaimKind.ALL_ADDRESSES)


def evidence_of(made: Verification, kind: ClaimKind) -> str:
    return "; ".join(next(each for each in made.proofs if each.claim.kind is kind).evidence)
