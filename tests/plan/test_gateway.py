"""Plans for a gateway: what stands there, what is promised of the backend, and what is refused."""

from dataclasses import replace

import pytest

from mailseal.configs import stunnel
from mailseal.facts.gather import gather
from mailseal.model import codec, ops
from mailseal.model.excepted import Excepted
from mailseal.model.host import FileFact, HostFacts
from mailseal.model.look import Endpoint, Vantage
from mailseal.model.plan import ClaimKind, Plan
from mailseal.plan import AlreadySealed, Backend, Cannot, Options, make
from mailseal.system.memory import MemorySystem
from tests.plan.hosts import listener

PLACE = Endpoint("192.0.2.5", 110)
OTHER = Endpoint("2001:db8:1::5", 110)
TRUSTED = Backend((PLACE,), trust="one cable")
INSIDE = Backend((Endpoint("192.0.2.5", 995), PLACE), "old.example", "/etc/ssl/old.crt")
OFFER = Options(strategy="gateway", stage="offer", name="mail.example", backend=TRUSTED)
ENFORCE = replace(OFFER, stage="enforce")


def facts() -> HostFacts:
    """Of a host where nothing listens but ssh."""
    system = MemorySystem()
    system.install("stunnel4")
    system.manager.boot()
    return gather(system, (110,))


def plan(options: Options = OFFER, of: HostFacts | None = None) -> Plan:
    return make(of or facts(), 110, "pop3", options)


def config(made: Plan) -> stunnel.Document:
    (written,) = [
        op.content for op in made.ops if isinstance(op, ops.WriteFile) and op.path.endswith(".conf")
    ]
    return stunnel.parse(written)


def test_tls_is_served_at_every_address_and_the_port_was_closed_before():
    made = plan()
    assert codec.loads(Plan, codec.dumps(made), lenient=False) == made
    places = {each.endpoint for each in made.claims if each.kind is ClaimKind.SERVICE_IN_TLS}
    assert {each.port for each in places} == {110, 995}
    assert {each.address for each in places} == {"192.0.2.10", "2001:db8:1::10"}
    refused = {e.endpoint for e in made.claims if e.kind is ClaimKind.CLEARTEXT_REFUSED}
    assert refused == places
    assert {each.kind for each in made.before} == {ClaimKind.CLOSED}
    assert {each.endpoint for each in made.before} == places
    assert {*made.scope.ports} == {110, 995}
    assert made.stage == "offer"


def test_a_trusted_leg_is_cleartext_and_its_reason_stands_in_the_plan():
    made = plan()
    found = {
        o.value.text for s in config(made).services for o in s.options if o.key.text == "connect"
    }
    assert found == {"192.0.2.5:110"}
    (line,) = made.declared
    assert line.endswith("is trusted: one cable")


def test_a_leg_in_tls_checks_chain_and_name():
    made = plan(replace(OFFER, backend=INSIDE))
    *fronts, leg = config(made).services
    options = {each.key.text: each.value.text for each in leg.options}
    assert options["connect"] == "192.0.2.5:995"
    assert options["client"] == options["verifyChain"] == "yes"
    assert options["checkHost"] == "old.example"
    assert options["CAfile"] == "/etc/ssl/old.crt"
    for front in fronts:
        own = {each.key.text: each.value.text for each in front.options}
        assert own["connect"] == options["accept"]
        assert own["connect"].startswith("/")
    assert made.declared == ()
    trial = next(op.content for op in made.ops if isinstance(op, ops.TryTerminator))
    assert b"verifyChain = yes\n" in trial
    named = replace(INSIDE, name="192.0.2.5")
    assert "checkIP" in {
        o.key.text for o in config(plan(replace(OFFER, backend=named))).services[-1].options
    }


def test_enforce_promises_that_every_place_of_the_backend_is_closed_to_others():
    backend = replace(TRUSTED, places=(PLACE, OTHER))
    made = plan(replace(ENFORCE, backend=backend))
    closed = [each for each in made.claims if each.kind is ClaimKind.CLOSED]
    assert [each.endpoint for each in closed] == [PLACE, OTHER]
    assert {each.vantage for each in closed} == {Vantage.REMOTE}
    assert not any(each.kind is ClaimKind.CLOSED for each in plan().claims)
    assert any("nft add rule" in risk and "saddr != { 192.0.2.10 }" in risk for risk in made.risks)


def standing(content: bytes | None = None) -> HostFacts:
    of = facts()
    ours = listener("192.0.2.10", 110, process="stunnel4", unit="mailseal@110.service")
    written = [op for op in plan().ops if isinstance(op, ops.WriteFile)]
    data = next(op.content for op in written if op.path.endswith(".conf"))
    fact = FileFact("/etc/mailseal/110.conf", "file", 0o640, 0, 0, "x", content or data)
    return replace(of, listeners=(*of.listeners, ours), files=(*of.files, fact))


def test_enforce_after_offer_changes_nothing_and_proves_the_backend_closed():
    made = plan(ENFORCE, standing())
    assert made.ops == ()
    assert {each.kind for each in made.before} == {
        ClaimKind.SERVICE_IN_TLS,
        ClaimKind.CLEARTEXT_REFUSED,
    }
    assert PLACE in {e.endpoint for e in made.claims if e.kind is ClaimKind.CLOSED}
    with pytest.raises(AlreadySealed, match="served by mailseal@110"):
        plan(OFFER, standing())


@pytest.mark.parametrize("stage", ["offer", "enforce"])
@pytest.mark.parametrize(
    "content", [b"[x]\ncert = /c\nconnect = 192.0.2.6:110\n", b"[broken", b"\n"]
)
def test_another_backend_is_not_mixed_up(stage: str, content: bytes):
    with pytest.raises(Cannot, match="in front of something else"):
        plan(replace(OFFER, stage=stage), standing(content))


def test_cleartext_and_tls_to_one_place_are_two_ways():
    inside = replace(INSIDE, places=(PLACE,))
    there = next(
        op.content
        for op in plan(replace(OFFER, backend=inside)).ops
        if isinstance(op, ops.WriteFile) and op.path.endswith(".conf")
    )
    assert plan(replace(ENFORCE, backend=inside), standing(there)).ops == ()
    with pytest.raises(Cannot, match="by another way"):
        plan(ENFORCE, standing(there))


def test_a_port_of_somebody_else_stays_his():
    of = facts()
    other = listener("0.0.0.0", 110, process="dovecot", unit="dovecot.service")
    with pytest.raises(Cannot, match="taken by dovecot: choose another with --port"):
        plan(OFFER, replace(of, listeners=(*of.listeners, other)))


@pytest.mark.parametrize("address", ["192.0.2.10", "127.0.0.1", "2001:db8:1::10", "::1"])
def test_the_gateway_itself_is_no_backend(address: str):
    backend = replace(TRUSTED, places=(Endpoint(address, 1110),))
    with pytest.raises(Cannot, match="--strategy wrap"):
        plan(replace(OFFER, backend=backend))


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "224.0.0.1", "fe80::5"])
def test_what_is_no_host_is_no_backend(address: str):
    backend = replace(TRUSTED, places=(Endpoint(address, 110),))
    with pytest.raises(Cannot, match="no address of a backend"):
        plan(replace(OFFER, backend=backend))


def test_a_family_that_the_gateway_has_not():
    of = facts()
    four = tuple(each for each in of.addresses if ":" not in each.address)
    backend = replace(TRUSTED, places=(OTHER,))
    with pytest.raises(Cannot, match="no address of the family"):
        plan(replace(OFFER, backend=backend), replace(of, addresses=four))


def test_smtp_and_a_strategy_without_its_backend_are_refused():
    with pytest.raises(Cannot, match="open relay"):
        make(facts(), 587, "smtp", OFFER)
    with pytest.raises(Cannot, match="go together"):
        plan(replace(OFFER, backend=None))
    with pytest.raises(Cannot, match="go together"):
        plan(replace(OFFER, strategy="wrap"))
    stay = Excepted("10.1.2.0/24", "2034-03-31", "postmaster", "old scanners")
    with pytest.raises(Cannot, match="excepts nobody"):
        plan(replace(ENFORCE, excepted=(stay,)))
    with pytest.raises(Cannot, match="not run by systemd"):
        plan(OFFER, replace(facts(), init="other"))
