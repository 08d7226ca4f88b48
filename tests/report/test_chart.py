"""The chart of open findings: what it counts, and that it stays within its frame."""

import re
from math import isfinite

from hypothesis import given, settings
from hypothesis import strategies as st

from mailseal.model.finding import Severity
from mailseal.model.known import Interval
from mailseal.model.moment import rfc3339
from mailseal.report.chart import COLUMNS, HEIGHT, WIDTH, chart, legend, steps, top
from mailseal.report.markup import Element, written
from tests.store.make import moment

moments = st.one_of(st.floats(0, 4e9).map(rfc3339), st.integers(-99, 99).map(moment))
intervals = st.builds(Interval, st.sampled_from(Severity), moments, st.none() | moments)


def totals(*known: Interval, begin: float = 0, end: float = 9) -> list[int]:
    return [step.total for step in steps(known, moment(begin), moment(end))]


def test_a_finding_counts_from_its_first_look_until_the_look_that_found_it_gone():
    assert totals(Interval(Severity.HIGH, moment(2), moment(5))) == [0, 1, 0, 0]
    assert totals(Interval(Severity.HIGH, moment(2), None)) == [0, 1, 1]


def test_what_was_open_before_is_open_at_the_beginning():
    assert totals(Interval(Severity.HIGH, moment(-5), moment(-1))) == [0, 0]
    assert totals(Interval(Severity.HIGH, moment(-5), moment(3))) == [1, 0, 0]


def test_severities_are_counted_apart_the_worst_first():
    known = [Interval(Severity.LOW, moment(1), None), Interval(Severity.CRITICAL, moment(1), None)]
    assert steps(known, moment(0), moment(2))[-1].open == (1, 0, 0, 1, 0)


def test_many_changes_become_evenly_spaced_moments():
    known = [Interval(Severity.LOW, moment(n), moment(n + 7)) for n in range(999)]
    told = steps(known, moment(0), moment(999))
    assert len(told) == COLUMNS
    assert (told[0].total, told[COLUMNS // 2].total) == (1, 7)


def test_one_moment_is_a_chart_too():
    told = steps([Interval(Severity.LOW, moment(0), None)], moment(0), moment(0))
    assert "NaN" not in written(chart(told, "x"))


@given(st.integers(0, 10**9))
def test_the_scale_is_even_and_not_far_above_the_most(most: int):
    told = [steps([], moment(0), moment(1))[0]._replace(open=(most,))]
    assert top(told) % 2 == 0
    assert most <= top(told) <= most * 1.2 + 2


@given(st.lists(intervals, max_size=30), st.integers(0, 10**6), st.integers(0, 10**6))
@settings(max_examples=150, deadline=None)
def test_every_point_is_a_number_within_the_frame(known: list[Interval], begin: int, end: int):
    told = steps(known, moment(begin), moment(end))
    assert all(count >= 0 for step in told for count in step.open)
    tree = chart(told, "x")
    for path in _all(tree, "path"):
        numbers = re.findall(r"[^MLZ ]+", dict(path.attributes)["d"])
        points = [float(number) for number in numbers]
        assert all(map(isfinite, points))
        assert all(0 <= x <= WIDTH for x in points[::2])
        assert all(0 <= y <= HEIGHT for y in points[1::2])
    assert len(list(_all(legend(told), "span"))) == len(list(_all(tree, "path")))


def _all(tree, name: str):
    if isinstance(tree, Element):
        if tree.name == name:
            yield tree
        for child in tree.children:
            yield from _all(child, name)
