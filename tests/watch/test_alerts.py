"""What is told, to whom, and how often."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.model import codec
from mailseal.model.change import Window
from mailseal.model.finding import Severity
from mailseal.model.watching import Event, Ledger, Receiver, Trouble, WatchState
from mailseal.watch import alerts
from mailseal.watch.alerts import ROOM, TEXT, delivered, sentence, step
from tests.watch.receivers import HOSTILE, receiver, trouble

NOON = 1769860800.0
"""2026-01-31T12:00:00Z, a Saturday."""
HOUR = 3600.0
FRESH = Ledger({})


def after(
    ledger: Ledger,
    bad: Iterable[Trouble] = (),
    undecided: Collection[str] = (),
    now: float = NOON,
    to: Receiver | None = None,
) -> Ledger:
    return step(to or receiver(), ledger, {each.id: each for each in bad}, undecided, now, "here")


def events(ledger: Ledger) -> list[tuple[str, str]]:
    return [(each.event.value, each.trouble) for each in ledger.waiting]


def emptied(ledger: Ledger) -> Ledger:
    for each in ledger.waiting:
        ledger = delivered(ledger, each)
    return ledger


def test_drift_is_told_once_and_so_is_its_recovery():
    one = after(FRESH, [trouble()])
    assert events(one) == [("drift", "a1")]
    same = after(one, [trouble()], now=NOON + 100 * HOUR)
    assert same == one
    gone = after(emptied(same), now=NOON + 101 * HOUR)
    assert events(gone) == [("recovery", "a1")]
    assert gone.waiting[0].since == "2026-01-31T12:00:00.000Z"
    assert gone.waiting[0].at == "2026-02-04T17:00:00.000Z"
    assert after(emptied(gone)) == FRESH


def test_what_could_not_be_looked_at_is_neither_new_nor_over():
    told = emptied(after(FRESH, [trouble()]))
    assert after(told, undecided={"a1"}) == told
    assert after(FRESH, undecided={"a1"}) == FRESH


def test_a_drift_that_comes_back_is_another_notice():
    first = after(FRESH, [trouble()])
    over = after(emptied(first), now=NOON + HOUR)
    second = after(emptied(over), [trouble()], now=NOON + 2 * HOUR)
    ids = [each.waiting[0].id for each in (first, over, second)]
    assert len(set(ids)) == 3
    assert {each.waiting[0].trouble for each in (first, over, second)} == {"a1"}


def test_reminders_come_at_their_interval():
    to = receiver(reminder_hours=24)
    ledger = emptied(after(FRESH, [trouble()], to=to))
    for hours, told in ((23, []), (24, ["reminder"]), (47, []), (48, ["reminder"])):
        ledger = after(ledger, [trouble()], now=NOON + hours * HOUR, to=to)
        assert [event for event, _ in events(ledger)] == told
        ledger = emptied(ledger)


@pytest.mark.parametrize(
    ("wants", "told"),
    [
        ({}, 1),
        ({"severity": Severity.HIGH}, 1),
        ({"severity": Severity.CRITICAL}, 0),
        ({"rules": ("pop2-cleartext-login",)}, 1),
        ({"rules": ("tls-version",)}, 0),
    ],
)
def test_a_receiver_hears_what_it_wants_to_hear(wants: dict[str, Any], told: int):
    assert len(after(FRESH, [trouble()], to=receiver(**wants)).waiting) == told


def test_in_quiet_hours_nothing_is_told_and_then_what_is_still_the_case():
    to = receiver(quiet=(Window(tuple(range(7)), 22 * 60, 6 * 60),), zone="Europe/Berlin")
    night = NOON + 10 * HOUR  # 23:00 in Berlin
    assert after(FRESH, [trouble("a1"), trouble("b2")], now=night, to=to) == FRESH
    morning = after(FRESH, [trouble("b2")], now=night + 8 * HOUR, to=to)
    assert events(morning) == [("drift", "b2")]


def test_where_there_is_no_room_the_worst_is_told_first_and_the_rest_later():
    many = [trouble(f"low{n}", severity=Severity.LOW) for n in range(ROOM)]
    bad = [*many, trouble("worst", severity=Severity.CRITICAL)]
    full = after(FRESH, bad)
    assert len(full.waiting) == ROOM
    assert full.waiting[0].trouble == "worst"
    assert after(full, bad) == full
    some = delivered(delivered(full, full.waiting[0]), full.waiting[1])
    later = after(some, bad)
    assert len(later.told) == ROOM + 1
    # Recoveries too wait until there is room, and are not forgotten.
    over = after(later)
    assert len(over.waiting) == ROOM
    assert len(over.told) == len(later.told) - (ROOM - len(later.waiting))
    assert after(emptied(over)).told == {}


def test_words_of_others_become_one_harmless_line():
    (made,) = after(FRESH, [trouble(text=HOSTILE * 100, where=HOSTILE)]).waiting
    for text in (made.text, made.where, sentence(made)):
        assert text.isprintable()
    assert len(made.text) == TEXT


def test_a_sentence_says_it_all():
    (made,) = after(FRESH, [trouble()]).waiting
    words = "pop2-cleartext-login at 192.0.2.7:109 [high]"
    assert sentence(made) == f"drift: {words}: POP2 takes a login in cleartext"
    ((over,)) = after(Ledger(after(FRESH, [trouble()]).told)).waiting
    assert sentence(over).startswith(f"recovery: {words} (since 2026-01-31T12:00:00.000Z): ")


_ROUND = st.tuples(st.sets(st.sampled_from("abc")), st.sets(st.sampled_from("abc")), st.booleans())


@given(st.lists(_ROUND, max_size=30))
def test_drift_and_recovery_alternate_whatever_happens_and_however_it_is_restarted(rounds):
    ledger, heard = FRESH, dict[str, list[Event]]()
    for number, (bad, undecided, restart) in enumerate(rounds):
        ledger = after(ledger, map(trouble, bad), undecided - bad, NOON + number * HOUR)
        for each in ledger.waiting:
            heard.setdefault(each.trouble, []).append(each.event)
        ledger = emptied(ledger)
        assert bad <= ledger.told.keys() <= bad | undecided
        if restart:
            state = WatchState(ledgers={"desk": ledger})
            ledger = codec.loads(WatchState, codec.dumps(state), lenient=True).ledgers["desk"]
    for told in heard.values():
        assert told == [(Event.DRIFT, Event.RECOVERY)[n % 2] for n in range(len(told))]


def test_quiet_hours_of_a_zone_that_has_summer_time():
    to = receiver(quiet=(Window(tuple(range(7)), 0, 60),), zone="Europe/Berlin")
    summer, winter = 1782853200.0, 1769900400.0  # 2026-06-30T21:00Z, 2026-01-31T23:00Z
    assert not alerts.quiet(to, summer)
    assert alerts.quiet(to, summer + HOUR)
    assert alerts.quiet(to, winter)
