"""The pace of a scan, with a clock of the test's own."""

import math
from collections.abc import Iterator
from dataclasses import replace

import pytest

from mailseal.model.look import Endpoint, Observation, Reach, Vantage
from mailseal.probe.look import Question
from mailseal.probe.loop import Pause
from mailseal.probe.pace import UNPACED, Rates
from mailseal.probe.scope import EXCLUDED, OUTSIDE
from mailseal.probe.targets import LeftOut, Resolved, Unresolved
from mailseal.workflow import seen, turns
from mailseal.workflow.turns import Feed, Turns, said_later, told_of


class Watch:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def place(host: int, port: int = 109, name: str = "") -> Resolved:
    return Resolved(Endpoint(f"192.0.2.{host}", port), name)


def question(of: Resolved) -> Question:
    return Question(of.endpoint, name=of.name)


def observation(asked: Question, *lines: str) -> Observation:
    return Observation(
        asked.endpoint, Vantage.REMOTE, "", "", Reach.OPEN, "smtp", "", None, (), lines, "", (),
        name=asked.name,
    )  # fmt: skip


LATER = ("-- clear", "S: 421 4.7.0 try again later")


def made(
    places: list[Resolved | None], clock: Watch, again: tuple[float, ...] = (60, 300)
) -> Turns:
    return Turns(iter(places), question, UNPACED, again, clock)


def test_who_says_later_is_looked_at_later_and_told_of_once():
    clock = Watch()
    line = made([place(1)], clock)
    asked = line.questions()
    first = next(asked)
    assert isinstance(first, Question)
    assert line.ended(observation(first, *LATER), True) is None
    assert (line.later, next(asked)) == (1, Pause(60.0))
    clock.now += 60
    second = next(asked)
    assert isinstance(second, Question)
    assert line.ended(observation(second, *LATER), True) is None
    assert next(asked) == Pause(300.0)
    clock.now += 300
    third = next(asked)
    assert isinstance(third, Question)
    assert line.ended(observation(third, *LATER), True) == place(1)
    assert list(asked) == []


def test_others_go_on_meanwhile_and_an_answer_settles_it():
    clock = Watch()
    line = made([place(1), place(2)], clock)
    asked = line.questions()
    first = next(asked)
    assert isinstance(first, Question)
    assert line.ended(observation(first, *LATER), True) is None
    second = next(asked)
    assert isinstance(second, Question)
    assert second.endpoint == place(2).endpoint
    assert line.ended(observation(second, "S: 220 hello"), True) == place(2)
    clock.now += 60
    third = next(asked)
    assert isinstance(third, Question)
    assert line.ended(observation(third, "S: 220 hello"), False) == place(1)
    assert list(asked) == []


def test_too_many_who_say_later_are_told_of_as_they_are(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(turns, "LATER", 2)
    line = made([place(host) for host in (1, 2, 3)], Watch())
    asked = line.questions()
    questions = [next(asked) for _ in range(3)]
    ended = [
        line.ended(observation(each, *LATER), True)
        for each in questions
        if isinstance(each, Question)
    ]
    assert ended == [None, None, place(3)]


@pytest.mark.parametrize(
    ("lines", "reach", "later"),
    [
        (("S: 421 busy",), Reach.OPEN, True),
        (("S: 450 4.2.0 Greylisted",), Reach.OPEN, True),
        (("S: -ERR [IN-USE] mailbox locked",), Reach.OPEN, True),
        (("S: -ERR [SYS/TEMP] too many connections",), Reach.OPEN, True),
        (("S: * BYE overloaded",), Reach.OPEN, True),
        (("S: * BYE go away",), Reach.OPEN, True),
        (("S: 220 mail.example", "C: 421 too many"), Reach.OPEN, False),
        (("S: +OK 1421 messages",), Reach.OPEN, False),
        (("S: 421 busy",), Reach.FILTERED, False),
        ((), Reach.OPEN, False),
    ],
)
def test_what_later_sounds_like(lines: tuple[str, ...], reach: Reach, later: bool):
    seen_ = replace(observation(question(place(1)), *lines), reach=reach)
    assert said_later(seen_) is later


def test_names_that_are_being_asked_for_are_waited_for():
    line = made([None, place(1)], Watch())
    asked = line.questions()
    first = next(asked)
    assert isinstance(first, Pause)
    assert 0 < first.seconds < 0.5
    assert isinstance(next(asked), Question)


def test_the_line_is_bounded():
    taken = 0

    def endless() -> Iterator[Resolved]:
        nonlocal taken
        while True:
            taken += 1
            yield place(1, taken % 65535 + 1)

    line = Turns(endless(), question, Rates(0, 0, 0, 1), (), Watch())
    asked = line.questions()
    assert isinstance(next(asked), Question)
    assert next(asked) == Pause(math.inf)
    assert taken <= turns.WINDOW + 2


def test_while_held_nothing_begins():
    line = made([place(1)], Watch())
    line.held = True
    asked = line.questions()
    assert next(asked) == Pause(math.inf)
    line.held = False
    assert isinstance(next(asked), Question)


def test_the_feed_drops_what_was_there_and_tells_what_is_not_looked_at():
    earlier = seen.Keys()
    earlier.add(seen.key(place(9).endpoint))
    earlier.add(seen.key(None, "old.example"))
    outside = Endpoint("198.51.100.1", 109)
    feed = Feed(
        iter(
            [
                place(1),
                None,
                place(1),
                place(9),
                place(1, name="mail.example"),
                Unresolved("gone.example", "no address"),
                Unresolved("gone.example", "no address"),
                Unresolved("old.example", "no address"),
                LeftOut("198.51.100.1", outside, OUTSIDE, 1),
                LeftOut("10.0.0.0/8", None, OUTSIDE, 7),
                LeftOut("10.0.0.0/8", None, EXCLUDED, 5),
            ]
        ),
        earlier,
    )
    assert list(feed) == [place(1), None, place(1, name="mail.example")]
    assert [(told.asked, told.endpoint, told.reason) for told in feed.take()] == [
        ("gone.example", None, "no address"),
        ("198.51.100.1", outside, "outside the scope, not contacted"),
        ("10.0.0.0/8", None, "outside the scope, not contacted: 7 endpoints of it"),
    ]
    assert feed.take() == []
    assert list(told_of(feed.left)) == [
        "left out: 8 endpoints (outside the scope)",
        "left out: 5 endpoints (excluded)",
    ]
