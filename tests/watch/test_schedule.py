"""When to look: clocks are handed in, and jump."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.watch.schedule import LOST_FIRST, REST, SET_BACK, Pace, Schedule, Stamps


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, at: float) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


def schedule(
    steady: Clock, jitter: float = 0.0, chance: float = 0.0, since: float | None = None
) -> Schedule:
    return Schedule(Pace(3600, jitter), steady, lambda: chance, since)


def test_the_first_round_is_due_at_once_and_the_next_an_interval_after_it_began():
    steady = Clock(50)
    machine = schedule(steady)
    assert machine.left() == 0
    machine.begin()
    steady.at += 100
    machine.end()
    assert machine.left() == 3500
    steady.at += 3500
    assert machine.left() == 0


def test_jitter_lets_a_round_come_earlier_and_never_later():
    steady = Clock(0)
    for chance, left in ((0.0, 3600), (0.5, 3420), (1.0, 3240)):
        machine = schedule(steady, 0.1, chance)
        machine.begin()
        machine.end()
        assert machine.left() == pytest.approx(left)


@pytest.mark.parametrize(
    ("since", "left"), [(None, 0), (0, 3600), (1000, 2600), (3600, 0), (1e9, 0), (-5, 0), (-1e9, 0)]
)
def test_after_a_restart_it_goes_on_where_it_was(since: float | None, left: float):
    assert schedule(Clock(7), since=since).left() == left


def test_a_lost_network_is_tried_again_soon_then_more_seldom_and_at_last_by_the_interval():
    steady = Clock(0)
    machine = schedule(steady)
    waits = []
    for _ in range(10):
        machine.begin()
        machine.end(lost=True)
        waits.append(machine.left())
        steady.at += machine.left()
    assert waits[:3] == [LOST_FIRST, 2 * LOST_FIRST, 4 * LOST_FIRST]
    assert waits[-1] == 3600
    assert machine.lost == 10
    machine.begin()
    machine.end()
    assert (machine.lost, machine.left()) == (0, 3600)
    machine.begin()
    machine.end(lost=True)
    assert machine.left() == LOST_FIRST


def test_a_network_that_is_lost_for_years_overflows_nothing():
    machine = schedule(Clock(0))
    for _ in range(3000):
        machine.begin()
        machine.end(lost=True)
    assert machine.left() == 3600


def test_a_round_that_takes_longer_than_the_interval_is_followed_by_a_rest_and_no_other_is_owed():
    steady = Clock(0)
    machine = schedule(steady)
    machine.begin()
    steady.at += 5 * 3600
    machine.end()
    assert machine.left() == REST * 3600
    steady.at += machine.left()
    machine.begin()
    machine.end()
    assert machine.left() == 3600


@given(st.lists(st.tuples(st.floats(0, 1e6), st.booleans()), max_size=50), st.integers())
def test_whatever_happens_the_wait_lies_within_one_interval(
    rounds: list[tuple[float, bool]], seed: int
):
    steady, chance = Clock(0), random.Random(seed)
    machine = Schedule(Pace(600, 0.3), steady, chance.random)
    for took, lost in rounds:
        steady.at += machine.left()
        machine.begin()
        steady.at += took
        machine.end(lost)
        assert 0 < machine.left() <= 600


def test_stamps_follow_the_wall_clock_forwards():
    wall, steady = Clock(1000), Clock(0)
    stamps = Stamps(wall, steady)
    assert stamps() == 1000
    wall.at, steady.at = 1e6, 1
    assert stamps() == 1e6
    assert stamps.ahead == 0


def test_stamps_go_on_where_the_wall_clock_is_set_back_until_it_has_caught_up():
    wall, steady = Clock(10000), Clock(0)
    stamps = Stamps(wall, steady)
    stamps()
    wall.at, steady.at = 7000, 10
    assert stamps() == 10010
    assert stamps.ahead == 3010
    wall.at, steady.at = 10100, 3110
    assert stamps() == 13110
    wall.at, steady.at = 13200, 3120
    assert stamps() == 13200


def test_a_wall_clock_that_was_wrong_by_days_is_followed_back():
    wall, steady = Clock(1e9), Clock(0)
    stamps = Stamps(wall, steady)
    stamps()
    wall.at = 1e9 - SET_BACK - 1
    assert stamps() == wall.at


def test_a_clock_that_was_set_back_while_nobody_ran_does_not_run_backwards_either():
    wall, steady = Clock(5000), Clock(0)
    assert Stamps(wall, steady, before=5600)() == 5600
    assert Stamps(wall, steady, before=5000 + SET_BACK + 1)() == 5000


@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(-8e4, 1e6))))
def test_stamps_never_run_backwards_but_for_days(moves: list[tuple[float, float]]):
    wall, steady = Clock(1e9), Clock(0)
    stamps = Stamps(wall, steady)
    last = stamps()
    for passed, jump in moves:
        steady.at += passed
        wall.at += passed + jump
        now = stamps()
        assert now >= last or wall.at == now
        last = now
