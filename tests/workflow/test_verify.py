"""Which claims are proven from here, and what is not claimed from the host itself."""

import pytest

from mailseal.model.look import Vantage
from mailseal.model.plan import Proof, Result
from mailseal.plan import Options, make
from mailseal.probe.targets import BadTarget
from mailseal.workflow import verify
from tests.plan.hosts import facts
from tests.prove.looks import SEALED, Looker, claim

PLAN = make(facts("inetd"), 109, "pop2", Options(name="mail.example"))


def test_the_claims_of_an_address_of_our_own_are_of_ourselves():
    claims, lost = verify.claims_of("127.0.0.1:109", "pop2", "/ca", "mail.example")
    assert lost == ()
    assert [each.kind for each in claims] == list(verify.KINDS)
    assert {each.vantage for each in claims} == {Vantage.SELF}
    assert claims[0].expected == {"protocol": "pop2", "name": "mail.example", "authority": "/ca"}


@pytest.mark.parametrize(
    ("port", "protocol"),
    [(109, "pop2"), (110, "pop3"), (995, "pop3"), (143, "imap"), (4190, "managesieve")],
)
def test_what_is_served_is_told_by_the_port_where_nobody_says_it(port: int, protocol: str):
    claims, _ = verify.claims_of("127.0.0.1:%d" % port, "", "", "mail.example")
    assert {each.expected["protocol"] for each in claims} == {protocol}


def test_of_a_strange_port_it_has_to_be_said():
    with pytest.raises(BadTarget, match="port 10110 serves is not known: give --protocol"):
        verify.claims_of("127.0.0.1:10110", "", "", "")


def test_a_plans_claims_are_those_that_another_host_can_prove():
    claims = verify.claims_of_plan(PLAN, "/my/ca.crt")
    assert {each.endpoint.address for each in claims} == {"192.0.2.10", "2001:db8:1::10"}
    assert {each.expected["authority"] for each in claims} == {"/my/ca.crt"}
    assert {each.expected["authority"] for each in verify.claims_of_plan(PLAN, "")} == {""}


def test_the_host_itself_proves_nothing_remote(monkeypatch: pytest.MonkeyPatch):
    looker = Looker(SEALED)
    monkeypatch.setattr("mailseal.probe.blocking.observe", looker)
    claims = [claim(kind) for kind in verify.KINDS]
    assert {proof.result for proof in verify.verify(claims)} == {Result.PASS}
    assert len(looker.asked) == 1
    monkeypatch.setattr(verify, "is_own", lambda address: True)
    proofs = verify.verify(claims)
    assert {proof.result for proof in proofs} == {Result.UNKNOWN}
    assert any("run `mailseal verify` on another" in line for line in proofs[0].evidence)
    assert len(looker.asked) == 1


@pytest.mark.parametrize(
    ("results", "code"),
    [("", 3), ("p", 0), ("pp", 0), ("pu", 3), ("pf", 1), ("uf", 1)],
)
def test_the_exit_code(results: str, code: int):
    values = {"p": Result.PASS, "f": Result.FAIL, "u": Result.UNKNOWN}
    proofs = [Proof(claim(verify.KINDS[0]), values[each], (), "") for each in results]
    assert verify.exit_code(proofs) == code
