"""One round: what is the matter, what is over, and what could not be told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mailseal.model.finding import Verdict
from mailseal.model.look import Endpoint
from mailseal.model.policy import SERVICE_GONE, State
from mailseal.report.result import ScanResult
from mailseal.workflow.rounds import PATIENCE, Outcome, Round, Standing, place_of
from mailseal.workflow.watchrequest import policy_of
from tests.store.make import AT, look, moment, result

LOGIN = "pop2-cleartext-login"
OTHER = Endpoint("192.0.2.8", 109)
FRESH = Standing()


def outcome(
    before: Standing,
    *results: ScanResult,
    told: tuple[str, ...] = (),
    policy: str | None = None,
) -> Outcome:
    this = Round(policy_of(policy), before, moment(1), set(told))
    this.take(results)
    return this.end()


def rules(made: Outcome) -> list[str]:
    return [each.rule for each in made.troubles]


def of(kind: str, **changes) -> ScanResult:
    return result(look(kind, **changes))


def nowhere(name: str) -> ScanResult:
    return ScanResult(name, None, Verdict.INCONCLUSIVE, "no such name", None, (), (), ())


def test_an_exposed_service_is_a_trouble_and_one_that_refuses_is_none():
    made = outcome(FRESH, of("exposed"), of("refused", endpoint=OTHER))
    assert rules(made) == [LOGIN]
    assert made.troubles[0].where == str(AT)
    assert made.states[State.NEW] == 1
    assert set(made.standing.served) == {AT, OTHER}
    assert outcome(made.standing, of("exposed")).states[State.UNCHANGED] == 1


@pytest.mark.parametrize("kind", ["refused", "closed"])
def test_what_a_look_found_mended_is_over(kind: str):
    before = outcome(FRESH, of("exposed")).standing
    made = outcome(before, of(kind), told=(str(AT),))
    assert LOGIN not in rules(made)
    assert made.undecided == frozenset()
    assert made.looked == {str(AT)}
    assert made.states[State.FIXED] == 1


@pytest.mark.parametrize("kind", ["filtered", "unroutable"])
def test_where_nothing_comes_back_from_anywhere_nothing_is_concluded(kind: str):
    before = outcome(FRESH, of("exposed"), of("refused", endpoint=OTHER)).standing
    made = outcome(before, of(kind), of(kind, endpoint=OTHER))
    assert made.lost
    assert made.troubles == ()
    assert made.standing == before


def test_where_one_is_filtered_and_another_answers_the_one_is_gone():
    before = outcome(FRESH, of("exposed"), of("refused", endpoint=OTHER)).standing
    made = outcome(before, of("filtered"), of("refused", endpoint=OTHER))
    assert not made.lost
    assert rules(made) == [SERVICE_GONE]
    assert made.undecided == {each.id for each in before.broken.values()}
    back = outcome(made.standing, of("exposed"), of("refused", endpoint=OTHER))
    assert rules(back) == [LOGIN]
    assert back.states[State.UNCHANGED] == 1


def test_ports_that_were_always_filtered_are_no_lost_network():
    made = outcome(FRESH, of("filtered"))
    assert (made.lost, made.troubles, made.standing.served) == ("", (), {})


def test_no_way_there_is_a_lost_network_from_the_first_round_on():
    assert outcome(FRESH, of("unroutable")).lost
    assert outcome(FRESH, nowhere("mail.example")).lost == "mail.example: no such name"
    assert not outcome(FRESH).lost


def test_an_answer_that_is_not_understood_is_neither_gone_nor_mended():
    before = outcome(FRESH, of("exposed")).standing
    made = outcome(before, of("silent"), told=(str(AT),))
    assert made.troubles == ()
    assert {each.id for each in before.broken.values()} <= made.undecided
    assert made.standing.broken == before.broken


def test_a_name_that_resolves_again_is_looked_at_by_its_name_too():
    found = replace(of("refused"), asked="mail.example")
    assert outcome(FRESH, found, told=("mail.example", "else")).looked == {"mail.example"}


def test_what_cannot_be_told_round_after_round_is_a_trouble_itself():
    standing = outcome(FRESH, of("exposed")).standing
    for count in range(1, PATIENCE + 2):
        made = outcome(standing, of("silent"))
        standing = made.standing
        assert ("inconclusive" in rules(made)) is (count >= PATIENCE)
    assert "inconclusive" not in rules(outcome(standing, of("refused")))


def test_another_service_in_its_place_is_a_service_gone():
    before = outcome(FRESH, of("refused")).standing
    made = outcome(before, of("another"))
    assert rules(made) == [SERVICE_GONE]
    assert "pop2 was served here, and now: " in made.troubles[0].text


def test_a_service_that_the_policy_names_may_be_excepted_when_it_is_gone(tmp_path: Path):
    path = tmp_path / "policy.toml"
    named = f'services = ["{AT}"]\n'
    path.write_text(named)
    before = outcome(FRESH, of("refused")).standing
    assert rules(outcome(before, of("closed"), policy=str(path))) == [SERVICE_GONE]
    path.write_text(
        named + f'[[exception]]\ntargets = ["{AT}"]\nrules = ["{SERVICE_GONE}"]\n'
        'until = 2999-01-01\nowner = "mail team"\nreason = "retired"\n'
    )
    assert rules(outcome(before, of("closed"), policy=str(path))) == []


def test_a_certificate_that_has_ended_is_a_trouble():
    (seen,) = of("refused", rule="tls-certificate").observations
    assert seen.tls is not None
    made = outcome(FRESH, result(replace(seen, start=moment(1e8), end=moment(1e8))))
    assert "tls-certificate" in rules(made)


def test_what_is_no_target_any_more_is_not_known_any_more_once_all_names_resolve():
    before = outcome(FRESH, of("exposed"), of("refused", endpoint=OTHER)).standing
    assert outcome(before, of("refused", endpoint=OTHER), nowhere("x")).standing.broken
    made = outcome(before, of("refused", endpoint=OTHER), told=(str(AT),))
    assert made.complete
    assert (set(made.standing.served), dict(made.standing.broken)) == ({OTHER}, {})
    assert made.looked == frozenset()


def test_one_closed_port_among_filtered_ones_is_a_network():
    before = outcome(FRESH, of("exposed")).standing
    made = outcome(before, of("filtered"), of("closed", endpoint=OTHER))
    assert not made.lost
    assert rules(made) == [SERVICE_GONE]


def test_places_name_their_site_where_it_is_not_the_usual_one():
    assert place_of(AT) == "192.0.2.7:109"
    assert place_of(Endpoint("2001:db8::7", 109, "lab")) == "[2001:db8::7]:109 in lab"
