"""What only the mail host can tell, and what a plan says of it."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from mailseal.model.host import FileFact, HostFacts, Listener, UnitFact
from mailseal.model.look import Endpoint, Reach
from mailseal.model.plan import ClaimKind, Result
from mailseal.model.verification import Verification
from mailseal.plan import Options, make
from mailseal.workflow import verify, verifying
from mailseal.workflow.verifying import Request
from tests.plan.hosts import facts
from tests.probe import peers
from tests.probe.certificates import NAME, server_context
from tests.prove.looks import SEALED, look
from tests.workflow import services
from tests.workflow.conftest import Verify
from tests.workflow.lines import ALWAYS, evidence, failed, results, untold, wrong
from tests.workflow.services import Authority, sealed_pop2


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


def defaulted(port: int) -> HostFacts:
    """A limit for every service of xinetd."""
    files = (
        file_fact("/etc/xinetd.conf", b"defaults\n{\n\tper_source = 5\n}\n"),
        file_fact("/etc/xinetd.d/pop2", b"service pop2\n{\n\tport = %d\n}\n" % port),
    )
    return sealed_host(port, files=files)


def switched_off(port: int) -> HostFacts:
    """A block of xinetd that serves nothing limits nothing."""
    text = b"service pop2\n{\n\tport = %d\n\tper_source = 10\n\tdisable = yes\n}\n" % port
    return sealed_host(port, files=(file_fact("/etc/xinetd.d/pop2", text),))


def contested(port: int, unit: str, path: str, text: bytes, state: str = "enabled") -> HostFacts:
    """A super-server has the port in its configuration, and another program serves it."""
    known = sealed_host(port)
    return dataclasses.replace(
        known,
        files=(*known.files, file_fact(path, text % port)),
        units=(*known.units, UnitFact(unit, "loaded", "active", state)),
    )


INETD = "inetd.service", "/etc/inetd.conf", b"%d stream tcp nowait root /usr/sbin/ipop2d ipop2d\n"
XINETD = (
    *("xinetd.service", "/etc/xinetd.d/pop2"),
    b"service pop2\n{\n\tport = %d\n\tserver = /usr/sbin/ipop2d\n}\n",
)


def served_by_inetd(port: int, unit: str) -> HostFacts:
    listener = Listener("0.0.0.0", port, 7, "inetd", "/usr/sbin/inetd", unit)
    return dataclasses.replace(contested(port, *INETD), listeners=(listener,))


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
    "inetd has the port as well": (
        lambda p: contested(p, *INETD), "enabled-at-boot", Result.FAIL, "/etc/inetd.conf starts",
    ),
    "xinetd has the port as well": (
        lambda p: contested(p, *XINETD), "enabled-at-boot", Result.FAIL, "xinetd.d/pop2 starts",
    ),
    "inetd does not start": (
        lambda p: contested(p, *INETD, "disabled"), "enabled-at-boot", Result.PASS, "is enabled",
    ),
    "inetd has another port": (
        lambda p: contested(p, *INETD[:2], b"1%d stream tcp nowait root /usr/sbin/ipop2d ipop2d\n"),
        "enabled-at-boot", Result.PASS, "is enabled",
    ),
    "inetd itself serves it": (
        lambda p: served_by_inetd(p, "inetd.service"), "enabled-at-boot", Result.PASS,
        "inetd.service is enabled",
    ),
    "inetd serves it, by no unit": (
        lambda p: served_by_inetd(p, ""), "enabled-at-boot", Result.PASS, "is enabled",
    ),
    "xinetd's defaults": (defaulted, "limits-fit", Result.FAIL, "per_source = 5"),
    "xinetd's block is off": (switched_off, "limits-fit", Result.PASS, "no limit was found"),
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
    made = verify.verified(Request("plan.json", plan=retired), print)
    assert results(made) == {"all-addresses": Result.PASS, "closed": result}
    assert made.left_out == ()
