"""Plans: a pure function; every change has its way back; every address that was served counts."""

import itertools
import random
from dataclasses import replace

import pytest

from mailseal.apply.operations import OPERATIONS
from mailseal.facts.gather import gather
from mailseal.facts.scope import digest
from mailseal.model import codec, ops
from mailseal.model.host import FileFact, HostFacts
from mailseal.model.look import Vantage
from mailseal.model.plan import ClaimKind, Plan
from mailseal.plan import AlreadySealed, Cannot, Given, Options, make
from mailseal.plan.base import served
from tests.plan import hosts
from tests.plan.hosts import SYSTEMS, facts, listener, listening

NAMED = Options(name="mail.example")
WISHES = {
    "enforce": NAMED,
    "offer": replace(NAMED, stage="offer"),
    "retire": replace(NAMED, strategy="retire"),
    "given": replace(NAMED, given=Given("/tls/a.crt", "/tls/a.key", "/tls/ca.crt")),
}
EVERY = [(starter, wish) for starter in SYSTEMS for wish in WISHES]


def plan(starter: str, wish: str) -> Plan:
    return make(facts(starter), 109, "pop2", WISHES[wish])


@pytest.mark.parametrize(("starter", "wish"), EVERY)
def test_the_same_facts_give_the_same_plan_in_whatever_order(starter: str, wish: str):
    of = facts(starter)
    chance = random.Random(7)
    made = make(of, 109, "pop2", WISHES[wish])
    assert make(of, 109, "pop2", WISHES[wish]) == made
    shuffled = replace(of, files=tuple(chance.sample(of.files, len(of.files))))
    assert make(shuffled, 109, "pop2", WISHES[wish]) == made


@pytest.mark.parametrize(("starter", "wish"), EVERY)
def test_a_plan_is_whole_as_text(starter: str, wish: str):
    made = plan(starter, wish)
    assert codec.loads(Plan, codec.dumps(made), lenient=False) == made
    assert made.draft == ()


@pytest.mark.parametrize(("starter", "wish"), EVERY)
def test_every_step_has_its_way_back(starter: str, wish: str):
    """An action on a unit counts both ways at once, or a second one does it behind the change."""
    steps = plan(starter, wish).ops
    assert {type(op) for op in steps} <= OPERATIONS.keys()
    actions = [op for op in steps if isinstance(op, ops.UnitAction)]
    forward = [op.unit for op in actions if op.do and not op.undo]
    back = [op.unit for op in actions if op.undo and not op.do]
    assert sorted(forward) == sorted(back)
    for unit in set(back):
        single = [op for op in actions if op.unit == unit and not (op.do and op.undo)]
        ahead = itertools.accumulate(-1 if op.do else 1 for op in single)
        assert min(ahead) >= 0  # the one that counts on the way back stands before


@pytest.mark.parametrize(("starter", "wish"), EVERY)
def test_nothing_is_written_over_and_nothing_twice(starter: str, wish: str):
    of = facts(starter)
    made = make(of, 109, "pop2", WISHES[wish])
    new = (ops.WriteFile, ops.CopyFile, ops.MakeDirectory, ops.MakeLink)
    paths = [op.path for op in made.ops if isinstance(op, new)]
    assert len(set(paths)) == len(paths)
    assert not [path for path in paths if of.file(path)]
    for op in made.ops:
        if isinstance(op, ops.EditFile):
            fact = of.file(op.path)
            assert fact is not None
            assert fact.sha256 == op.before


@pytest.mark.parametrize("starter", SYSTEMS)
def test_what_a_plan_rests_on(starter: str):
    """Any change of the files that say how the service starts makes the plan stale."""
    system = SYSTEMS[starter]()
    made = make(gather(system), 109, "pop2", NAMED)
    path = {
        "inetd": "/etc/inetd.conf",
        "xinetd": "/etc/xinetd.d/pop2",
        "systemd": "/lib/systemd/system/" + hosts.NAME,
        "socket": "/lib/systemd/system/pop2@.service",
    }[starter]
    assert digest(gather(system), made.scope) == made.facts_digest
    system.put(path, system.read(path) + b"\n# a word\n")
    assert digest(gather(system), made.scope) != made.facts_digest


def test_all_is_proven_at_every_address_and_the_backend_once():
    made = plan("inetd", "enforce")
    kinds = (ClaimKind.CLEARTEXT_REFUSED, ClaimKind.SERVICE_IN_TLS)
    where = {"192.0.2.10": Vantage.REMOTE, "2001:db8:1::10": Vantage.REMOTE}
    where |= {"127.0.0.1": Vantage.SELF, "::1": Vantage.SELF}
    *promised, beside = made.claims
    assert beside.kind is ClaimKind.NEIGHBOURS_KEPT
    seen = {(c.kind, c.endpoint.address, c.vantage) for c in promised}
    looks = {(kind, address, vantage) for kind in kinds for address, vantage in where.items()}
    assert seen == looks | {(ClaimKind.BACKEND_GUARDED, "127.0.0.1", Vantage.SELF)}
    assert [claim.endpoint.address for claim in made.before] == list(where)


@pytest.mark.parametrize(
    ("listeners", "addresses"),
    [
        ([listener("0.0.0.0")], ("192.0.2.10", "127.0.0.1")),
        ([listener("::")], ("2001:db8:1::10", "::1")),
        (
            [listener("::", dual=True)],
            ("192.0.2.10", "2001:db8:1::10", "127.0.0.1", "::1"),
        ),
        (
            [listener("0.0.0.0"), listener("::")],
            ("192.0.2.10", "2001:db8:1::10", "127.0.0.1", "::1"),
        ),
        ([listener("192.0.2.10")], ("192.0.2.10",)),
        ([listener("192.0.2.10"), listener("0.0.0.0")], ("192.0.2.10", "127.0.0.1")),
        ([listener("127.0.0.1")], ("127.0.0.1",)),
        ([listener("fe80::1%eth0")], ()),
    ],
)
def test_the_addresses_that_are_served(listeners, addresses: tuple[str, ...]):
    assert served(listening(facts("inetd"), *listeners), listeners) == addresses


def test_link_local_addresses_are_told():
    wide = listening(facts("inetd"), listener("0.0.0.0"), listener("::"))
    for stage, words in (("enforce", "are not any more"), ("offer", "are not served inside TLS")):
        made = make(wide, 109, "pop2", replace(NAMED, stage=stage))
        assert [words in risk for risk in made.risks if "fe80::" in risk] == [True]
    narrow = make(listening(facts("inetd"), listener("192.0.2.10")), 109, "pop2", NAMED)
    assert not any("fe80::" in risk for risk in narrow.risks)


OURS = listener("192.0.2.10", process="stunnel4", unit="mailseal@109.service")
OFFER = listener("192.0.2.10", 1109, process="stunnel4", unit="mailseal@1109.service")
OFFERED = (
    b"cert = /etc/mailseal/1109.crt\nkey = /etc/mailseal/1109.key\n[pop2-1]\n"
    b"accept = 192.0.2.10:1109\nconnect = 127.0.0.1:109\n"
)


def offered(authority: bool = True) -> HostFacts:
    base = listening(facts("inetd"), listener("0.0.0.0"), OFFER)
    more = [FileFact("/etc/mailseal/1109.conf", "file", 0o640, 0, 0, "x", OFFERED)]
    more += [FileFact("/etc/mailseal", "directory", 0o750, 0, 0)]
    if authority:
        more += [FileFact("/etc/mailseal/ca.crt", "file", 0o644, 0, 0, "x", b"")]
    return replace(base, files=(*base.files, *more))


def test_enforcing_after_an_offer_keeps_its_certificate_and_moves_it_to_the_backend():
    made = make(offered(), 109, "pop2", NAMED)
    assert not [op for op in made.ops if isinstance(op, (ops.IssueCertificate, ops.CopyFile))]
    (edit,) = [op for op in made.ops if isinstance(op, ops.EditFile) and "1109" in op.path]
    assert [splice.new for splice in edit.splices] == [b"connect = /run/mailseal-109.sock\n"]
    front = next(op for op in made.ops if getattr(op, "path", "") == "/etc/mailseal/109.conf")
    assert isinstance(front, ops.WriteFile)
    assert b"cert = /etc/mailseal/1109.crt\n" in front.content
    assert {claim.endpoint.port for claim in made.claims} == {109, 1109}
    assert "/etc/mailseal/1109.conf" in made.scope.paths


def shared() -> HostFacts:
    """A daemon that serves another port besides."""
    of = facts("systemd")
    return replace(of, listeners=(*of.listeners, replace(of.listeners[0], port=110)))


def test_beside_a_daemon_of_several_ports_tls_can_be_offered():
    assert make(shared(), 109, "pop2", WISHES["offer"]).ops


@pytest.mark.parametrize(
    ("of", "options", "error", "says"),
    [
        (listening(facts("inetd"), OURS), NAMED, AlreadySealed, "served by mailseal@109"),
        (
            listening(facts("inetd"), OURS, listener("192.0.2.99")),
            NAMED,
            Cannot,
            "at other addresses, by inetd",
        ),
        (listening(facts("inetd"), OURS), WISHES["retire"], Cannot, "undo that first"),
        (offered(), WISHES["offer"], AlreadySealed, "offered beside port 109"),
        (offered(), WISHES["retire"], Cannot, "undo that first"),
        (offered(authority=False), NAMED, Cannot, "give it again with --cert"),
        (listening(facts("inetd")), NAMED, Cannot, "nothing listens on port 109 of mail"),
        (listening(facts("inetd"), listener("fe80::1%eth0")), NAMED, Cannot, "no address"),
        (
            listening(facts("inetd"), listener("0.0.0.0", process="nginx", unit="")),
            NAMED,
            Cannot,
            "port 109 is served by nginx",
        ),
        (replace(facts("inetd"), init="other"), NAMED, Cannot, "--strategy retire"),
        (replace(facts("inetd"), tools={}), NAMED, Cannot, "not known here"),
        (
            replace(facts("inetd"), tools={"stunnel4": "stunnel 4.57 on x"}),
            NAMED,
            Cannot,
            "5.50 or newer",
        ),
        (facts("inetd"), replace(NAMED, strategy="hope"), Cannot, "wrap, retire"),
        (shared(), NAMED, Cannot, "also serves port 110, which would go with it"),
        (shared(), WISHES["retire"], Cannot, "take port 109 out of its configuration"),
        (facts("inetd"), replace(NAMED, stage="later"), Cannot, "offer, enforce"),
        (facts("inetd"), replace(NAMED, name="a,DNS:b"), Cannot, "give --name"),
        (facts("inetd"), replace(NAMED, also=("*.example",)), Cannot, "give --name"),
        (facts("inetd"), replace(NAMED, given=Given("a.crt", "/k")), Cannot, "absolute path"),
        (facts("inetd"), replace(WISHES["offer"], tls_port=109), Cannot, "--tls-port"),
    ],
)
def test_what_cannot_be_planned(of: HostFacts, options: Options, error: type[Cannot], says: str):
    with pytest.raises(Cannot, match=says.replace("*", r"\*")) as raised:
        make(of, 109, "pop2", options)
    assert raised.type is error


def test_without_root_the_plan_is_a_draft():
    system = hosts.inetd()
    system.user = 65534
    made = make(gather(system), 109, "pop2", NAMED)
    assert made.ops == plan("inetd", "enforce").ops
    assert "which process owns each listening socket" in made.draft[-1]


@pytest.mark.parametrize(
    ("strategy", "stage"), [("wrap", "enforce"), ("wrap", "offer"), ("retire", "enforce")]
)
def test_what_systemd_runs_besides_must_go_on(strategy: str, stage: str):
    base = facts("inetd")
    beside = (
        listener("192.0.2.10", 22, unit="ssh.service"),
        listener("::", 79),
        listener("127.0.0.1", 6010, unit="session-3.scope"),
        listener("0.0.0.0", 8080, unit=""),
    )
    options = Options(strategy=strategy, stage=stage, name="mail.example")
    made = make(replace(base, listeners=(*base.listeners, *beside)), 109, "pop2", options)
    (claim,) = (each for each in made.claims if each.kind is ClaimKind.NEIGHBOURS_KEPT)
    assert claim.expected["listening"] == "192.0.2.10:22 [::]:79"
    assert claim.expected["units"] == "ssh.service inetd.service"


def test_what_may_listen_afterwards_is_what_did_and_what_the_plan_opens():
    base = facts("inetd")
    mine, other = (listener("0.0.0.0", 9, unit=unit) for unit in ("inetd.service", "ntp.service"))
    options = Options(strategy="wrap", name="mail.example")
    made = make(replace(base, datagrams=(mine, other)), 109, "pop2", options)
    (claim,) = (each for each in made.claims if each.kind is ClaimKind.NEIGHBOURS_KEPT)
    before = {"0.0.0.0:109", "[::]:109"}
    opened = {"192.0.2.10:109", "[2001:db8:1::10]:109", "127.0.0.1:109", "[::1]:109"}
    assert set(claim.expected["allowed"].split()) == before | opened
    assert {"inetd.service", "mailseal@109.service"} <= set(claim.expected["touched"].split())
    assert claim.expected["udp"] == "inetd.service=0.0.0.0:9"
