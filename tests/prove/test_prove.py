"""What a look proves, what it disproves, and what it leaves open."""

import pytest

from mailseal.model.host import Listener
from mailseal.model.look import (
    Endpoint,
    Errand,
    Observation,
    Outcome,
    Reach,
    StartTls,
    Upgrade,
    Vantage,
)
from mailseal.model.plan import Claim, ClaimKind, Result
from mailseal.probe.transport import EOF
from mailseal.prove import prover
from mailseal.system import datagrams
from mailseal.system.base import Completed
from mailseal.system.memory import MemorySystem
from tests.plan.hosts import inetd, listener
from tests.prove import looks
from tests.prove.looks import CLEARTEXT, DEAD, EAGER, SEALED, SILENT, Looker, claim, look, read

REFUSED, IN_TLS = ClaimKind.CLEARTEXT_REFUSED, ClaimKind.SERVICE_IN_TLS
SERVED, CLOSED = ClaimKind.CLEARTEXT_SERVED, ClaimKind.CLOSED
PASS, FAIL, UNKNOWN = Result.PASS, Result.FAIL, Result.UNKNOWN
NOWHERE, SHUT, FILTERED = (look(r) for r in (Reach.UNROUTABLE, Reach.CLOSED, Reach.FILTERED))
UNTRUSTED = look(tls=looks.tls("expired"), protocol="pop2")
OTHER = look(tls=looks.tls(chain=(b"other", looks.LEAF)), protocol="pop2")
SSH = look(tls=looks.tls(), protocol="ssh")


def at_once(seconds: float) -> None:
    """No pause between two looks."""


TABLE: list[tuple[ClaimKind, Observation, Result]] = [
    (REFUSED, SEALED, PASS), (REFUSED, CLEARTEXT, FAIL), (REFUSED, EAGER, FAIL),
    (REFUSED, SHUT, PASS), (REFUSED, NOWHERE, UNKNOWN), (REFUSED, SILENT, UNKNOWN),
    (IN_TLS, SEALED, PASS), (IN_TLS, CLEARTEXT, FAIL), (IN_TLS, DEAD, FAIL),
    (IN_TLS, UNTRUSTED, FAIL), (IN_TLS, OTHER, FAIL), (IN_TLS, SSH, FAIL),
    (IN_TLS, SHUT, FAIL), (IN_TLS, FILTERED, FAIL), (IN_TLS, NOWHERE, UNKNOWN),
    (SERVED, CLEARTEXT, PASS), (SERVED, SEALED, FAIL), (SERVED, SHUT, FAIL),
    (SERVED, NOWHERE, UNKNOWN),
    (CLOSED, SHUT, PASS), (CLOSED, FILTERED, PASS), (CLOSED, CLEARTEXT, FAIL),
    (CLOSED, SILENT, FAIL), (CLOSED, NOWHERE, UNKNOWN),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "seen", "result"), TABLE)
def test_a_look_from_where_the_claim_is_about(kind, seen, result):
    (proof,) = prover({Vantage.REMOTE: Looker(seen)}, read, None, lambda: 0.0, sleep=at_once)(
        [claim(kind)]
    )
    assert proof.result is result
    assert proof.evidence[0] == "seen from remote"
    assert proof.taken.startswith("1970-01-01T")


@pytest.mark.parametrize(("kind", "seen", "result"), TABLE)
def test_a_look_from_a_throwaway_namespace_disproves_alone(kind, seen, result):
    """And only where something answered: the real client meets other firewall rules."""
    (proof,) = prover({Vantage.VETH: Looker(seen)}, read, None, sleep=at_once)([claim(kind)])
    disproven = result is FAIL and seen.reach is Reach.OPEN
    assert proof.result is (FAIL if disproven else UNKNOWN)


def test_without_a_look_nothing_is_known():
    (proof,) = prover({Vantage.SELF: Looker(SEALED)}, read, None)([claim(REFUSED)])
    assert proof.result is UNKNOWN
    assert proof.evidence == ("no look from remote here",)


def test_one_look_serves_all_claims_about_an_endpoint():
    looker = Looker(SEALED)
    proofs = prover({Vantage.REMOTE: looker}, read, None)([claim(REFUSED), claim(IN_TLS)])
    assert [proof.result for proof in proofs] == [PASS, PASS]
    (asked,) = looker.asked
    assert (asked.name, asked.authority, asked.eager) == ("mail.example", "/a", True)


def test_a_certificate_that_is_not_at_hand_counts_by_chain_and_name_alone():
    where = claim(IN_TLS, protocol="pop2", certificate="/elsewhere")
    (proof,) = prover({Vantage.REMOTE: Looker(SEALED)}, read, None)([where])
    assert proof.result is PASS


@pytest.mark.parametrize(
    ("mode", "owner", "group", "result"),
    [
        (0o660, "root", "stunnel4", PASS),
        (0o600, "root", "root", PASS),
        (0o666, "root", "stunnel4", FAIL),
        (0o664, "root", "stunnel4", FAIL),
        (0o660, "nobody", "stunnel4", FAIL),
        (0o660, "root", "mail", FAIL),
    ],
)
def test_the_backends_socket(mode: int, owner: str, group: str, result: Result):
    system = MemorySystem()
    system.install("stunnel4")
    system.put("/run/x.sock", b"", mode, owner, group)
    guarded = claim(ClaimKind.BACKEND_GUARDED, Vantage.SELF, path="/run/x.sock", group="stunnel4")
    (proof,) = prover({}, system.read, system)([guarded])
    assert proof.result is result
    (proof,) = prover({}, system.read, None)([guarded])
    assert proof.result is UNKNOWN


def test_a_backend_that_is_not_there():
    system = MemorySystem()
    guarded = claim(ClaimKind.BACKEND_GUARDED, Vantage.SELF, path="/run/x.sock", group="stunnel4")
    (proof,) = prover({}, system.read, system)([guarded])
    assert (proof.result, proof.evidence) == (FAIL, ("/run/x.sock is not there",))


def upgraded(*outcomes: Outcome) -> Observation:
    """A look at a service that knows STARTTLS, and took logins in cleartext so."""
    attempts = tuple(looks.attempt(each) for each in outcomes)
    begun = StartTls(True, Upgrade.DONE)
    return look(tls=looks.tls(), protocol="imap", starttls=begun, attempts=attempts)


NO, LISTED, UNASKED = upgraded(Outcome.REFUSED), upgraded(Outcome.OFFERED), upgraded()


@pytest.mark.parametrize(("seen", "result"), [(NO, PASS), (LISTED, FAIL), (UNASKED, UNKNOWN)])
def test_where_tls_begins_inside_the_session_a_refusal_was_heard(seen, result):
    (proof,) = prover({Vantage.REMOTE: Looker(seen)}, read, None, lambda: 0.0)([claim(REFUSED)])
    assert proof.result is result


@pytest.mark.parametrize(
    ("seen", "certificate", "result"),
    [(UNTRUSTED, "/c", PASS), (UNTRUSTED, "", UNKNOWN), (OTHER, "/c", FAIL), (SEALED, "", PASS)],
)
def test_of_a_certificate_that_was_there_it_counts_that_it_is_the_same(seen, certificate, result):
    expected = {"protocol": "pop2", "certificate": certificate, "pinned": "yes"}
    wanted = claim(IN_TLS, **expected)
    (proof,) = prover({Vantage.REMOTE: Looker(seen)}, read, None, lambda: 0.0)([wanted])
    assert proof.result is result


@pytest.mark.parametrize(("port", "result"), [(25, PASS), (587, FAIL)])
def test_where_mail_is_handed_over_nobody_needs_a_login(port: int, result: Result):
    tried = Errand("dummy-login", Outcome.REFUSED, ("AUTH is not available",))
    seen = look(tls=looks.tls(), protocol="smtp", errands=(tried,))
    wanted = Claim(ClaimKind.LOGIN_REJECTED, Endpoint("192.0.2.10", port), Vantage.REMOTE, {})
    (proof,) = prover({Vantage.REMOTE: Looker(seen)}, read, None, lambda: 0.0)([wanted])
    assert proof.result is result


@pytest.mark.parametrize(
    ("listening", "result"), [("0.0.0.0:109", PASS), ("0.0.0.0:109 [::]:25", FAIL)]
)
def test_the_services_beside_it_still_listen(listening: str, result: Result):
    wanted = claim(ClaimKind.NEIGHBOURS_KEPT, Vantage.SELF, listening=listening)
    (proof,) = prover({}, read, inetd(), lambda: 0.0)([wanted])
    assert proof.result is result
    assert ("[::]:25" in proof.evidence[0]) is (result is FAIL)


BESIDE = {
    "listening": "0.0.0.0:22",
    "units": "ssh.service",
    "allowed": "0.0.0.0:22 0.0.0.0:109 192.0.2.10:109",
    "touched": "inetd.service mailseal@109.service",
    "udp": "inetd.service=0.0.0.0:9 inetd.service=[::]:40000",
}
SSH_HERE = listener("0.0.0.0", 22, unit="ssh.service")
DATAGRAMS = """\
UNCONN 0 0    0.0.0.0:9  0.0.0.0:* users:(("inetd",pid=7,fd=4))
UNCONN 0 0          *:53       *:* users:(("named",pid=9,fd=4),("named",pid=8,fd=4))
UNCONN 0 0 [fe80::1]%eth0:546 [::]:*
UNCONN 0 0 nonsense:7 [::]:*
ESTAB 0 0 nonsense
"""


class Listens(MemorySystem):
    """A host with these TCP listeners, and what ss says of UDP."""

    def __init__(self, *found: Listener, udp: str = DATAGRAMS) -> None:
        super().__init__()
        self.found = found
        self.put("/proc/7/cgroup", b"0::/system.slice/inetd.service\n")
        self.programs["ss"] = lambda argv, data: Completed(argv, 0, udp.encode(), b"")

    def listeners(self, unit: str = "") -> tuple[Listener, ...]:
        return self.found


@pytest.mark.parametrize(
    ("beside", "says"),
    [
        ([], ""),
        ([listener("0.0.0.0", 109)], ""),
        ([listener("192.0.2.10", 109, unit="mailseal@109.service")], ""),
        # A host lives.
        ([listener("0.0.0.0", 8080, unit="web.service")], ""),
        ([listener("0.0.0.0", 40123)], ""),
        ([listener("0.0.0.0", 995)], ""),
        ([listener("127.0.0.1", 10109, unit="mailseal-relay.service")], ""),
        ([listener("0.0.0.0", 23)], "inetd.service listens at 0.0.0.0:23, where nothing did"),
        ([listener("::", 109, unit="x.service")], "x.service listens at [::]:109, where nothing"),
        ([listener("::", 143, unit="", process="")], "an unseen process listens at [::]:143"),
    ],
)
def test_a_new_listener_counts_at_a_port_of_logins_or_of_a_unit_that_was_touched(beside, says):
    wanted = claim(ClaimKind.NEIGHBOURS_KEPT, Vantage.SELF, **BESIDE)
    (proof,) = prover({}, read, Listens(SSH_HERE, *beside), lambda: 0.0)([wanted])
    assert proof.result is (FAIL if says else PASS), proof.evidence
    assert says in proof.evidence[0]


@pytest.mark.parametrize(("unit", "result"), [("", PASS), ("other.service", FAIL)])
def test_another_unit_behind_the_same_address(unit: str, result: Result):
    wanted = claim(ClaimKind.NEIGHBOURS_KEPT, Vantage.SELF, **BESIDE)
    there = Listens(listener("0.0.0.0", 22, unit=unit))
    (proof,) = prover({}, read, there, lambda: 0.0)([wanted])
    assert proof.result is result
    if result is FAIL:
        assert proof.evidence == ("other.service listens at 0.0.0.0:22, which was ssh.service",)


def test_datagrams_that_a_touched_unit_takes_no_more():
    wanted = claim(ClaimKind.NEIGHBOURS_KEPT, Vantage.SELF, **BESIDE)
    there = Listens(SSH_HERE, udp=DATAGRAMS.replace(":9 ", ":7 "))
    (proof,) = prover({}, read, there, lambda: 0.0)([wanted])
    assert proof.result is FAIL
    # Port 40000 was drawn by chance.
    assert proof.evidence == ("inetd.service takes no datagrams at 0.0.0.0:9 any more",)


def test_the_sockets_of_udp_and_who_holds_them():
    found = datagrams.bound(Listens())
    assert found == (
        Listener("0.0.0.0", 9, 7, "inetd", "", "inetd.service"),
        Listener("::", 53, 8, "named", "", "", True),
        Listener("fe80::1", 546, 0, "", "", ""),
    )
    assert datagrams.bound(MemorySystem()) == ()


NETWORKS = "192.0.2.0/28 2001:db8::/32"
INSIDE, OUTSIDE = "192.0.2.7", "192.0.2.77"


@pytest.mark.parametrize(
    ("kind", "seen", "source", "result"),
    [
        (REFUSED, SEALED, OUTSIDE, PASS),
        (REFUSED, CLEARTEXT, OUTSIDE, FAIL),
        (REFUSED, CLEARTEXT, INSIDE, UNKNOWN),
        (REFUSED, SEALED, INSIDE, UNKNOWN),
        (REFUSED, CLEARTEXT, "", UNKNOWN),
        (REFUSED, look(gaps=("clear: " + EOF.reason,)), OUTSIDE, PASS),
        (REFUSED, SILENT, OUTSIDE, UNKNOWN),
        (SERVED, CLEARTEXT, INSIDE, PASS),
        (SERVED, SEALED, INSIDE, FAIL),
        (SERVED, SEALED, OUTSIDE, UNKNOWN),
        (SERVED, CLEARTEXT, "", UNKNOWN),
    ],
)
def test_of_excepted_networks_a_look_tells_what_its_own_address_can(kind, seen, source, result):
    prove = prover(
        {Vantage.REMOTE: Looker(seen)},
        read,
        None,
        lambda: 0.0,
        sources={Vantage.REMOTE: lambda endpoint: source},
    )
    (proof,) = prove([claim(kind, networks=NETWORKS, name="mail.example")])
    assert proof.result is result, proof.evidence
