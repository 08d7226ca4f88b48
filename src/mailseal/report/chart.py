"""Open findings over time, as a chart: intervals in, SVG out.

Strategy: steps and no curves, because a finding is open or it is not; the most severe lie at the
bottom, where their height can be read. The shapes are stretched to whatever width there is, so the
labels are text of the page beside them and keep their size. Colours are classes: the sheet has
them, for light, dark and paper.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from mailseal.model.finding import Severity
from mailseal.model.known import Interval
from mailseal.model.moment import rfc3339, seconds
from mailseal.report.markup import Element, e

WIDTH, HEIGHT = 1000, 200
"""Of the view box, in its own units."""
COLUMNS = 250
"""Moments that are told apart where more happened."""
_ORDER = tuple(reversed(Severity))


class Step(NamedTuple):
    """From a moment (seconds since the epoch) on: open findings, by `Severity` from the worst."""

    at: float
    open: tuple[int, ...]

    @property
    def total(self) -> int:
        """Of every severity."""
        return sum(self.open)


def steps(intervals: Sequence[Interval], begin: str, end: str) -> tuple[Step, ...]:
    """How many were open from `begin` on until `end`, both RFC 3339 UTC: at `begin`, at each change
    (where there are more than COLUMNS, at evenly spaced moments), and at `end`. Raises
    ValueError for a moment that is none.
    """
    first, last = seconds(begin), seconds(end)
    last = max(first, last)
    changes: list[tuple[float, int, int]] = []
    for each in intervals:
        start, which = seconds(each.first), _ORDER.index(each.severity)
        changes.append((start, which, 1))
        if each.fixed is not None:
            changes.append((max(start, seconds(each.fixed)), which, -1))
    changes.sort(key=lambda change: change[0])
    moments = sorted({first, last, *(at for at, _, _ in changes if first < at < last)})
    if len(moments) > COLUMNS:
        moments = [first + (last - first) * n / (COLUMNS - 1) for n in range(COLUMNS)]
    counts = [0] * len(_ORDER)
    made, place = [], 0
    for moment in moments:
        while place < len(changes) and changes[place][0] <= moment:
            _, which, by = changes[place]
            counts[which] += by
            place += 1
        made.append(Step(moment, tuple(counts)))
    return tuple(made)


def top(told: Sequence[Step]) -> int:
    """The upper end of the scale: an even number, so that half of it is one too."""
    most = max((step.total for step in told), default=0)
    unit: int = 2 * 10 ** max(0, len(str(most)) - 2)
    return max(2, -(-most // unit) * unit)


def chart(told: Sequence[Step], label: str) -> Element:
    """The figure with its scales. At least one step."""
    scale, first, last = top(told), told[0].at, told[-1].at
    across = (last - first) or 1.0

    def x(at: float) -> float:
        return (at - first) / across * WIDTH

    def y(count: int) -> float:
        return HEIGHT - count / scale * HEIGHT

    shapes = [
        e("line", class_="grid", x1="0", x2=str(WIDTH), y1=_number(y(at)), y2=_number(y(at)))
        for at in (0, scale // 2, scale)
    ]
    for which, severity in enumerate(_ORDER):
        if not any(step.open[which] for step in told):
            continue
        floor = [sum(step.open[:which]) for step in told]
        roof = [sum(step.open[: which + 1]) for step in told]
        there = [
            (x(step.at), y(low), y(high)) for step, low, high in zip(told, floor, roof, strict=True)
        ]
        above = _stairs([(at, high) for at, _, high in there])
        below = _stairs([(at, low) for at, low, _ in there])
        points = [*above, *reversed(below)]
        path = "M" + "L".join(f"{_number(at)} {_number(high)}" for at, high in points) + "Z"
        shapes.append(e("path", class_=severity.value, d=path))
    picture = e(
        "svg",
        e("title", label),
        shapes,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        preserveAspectRatio="none",
        role="img",
    )
    days = [rfc3339(first + across * part)[:10] for part in (0, 0.5, 1)]
    days = list(dict.fromkeys(days))
    return e(
        "div",
        e("div", [e("span", str(at)) for at in (scale, scale // 2, 0)], class_="up"),
        picture,
        e("div", [e("span", each) for each in days], class_="along"),
        class_="chart",
    )


def legend(told: Sequence[Step]) -> Element:
    """Which colour is which, of those that are there."""
    shown = [each for n, each in enumerate(_ORDER) if any(step.open[n] for step in told)]
    return e("p", [e("span", each.value, class_=f"key {each.value}") for each in shown])


def _stairs(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Each height lasts until the next point."""
    made = [points[0]]
    for before, after in itertools.pairwise(points):
        made += [(after[0], before[1]), after]
    return made


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
