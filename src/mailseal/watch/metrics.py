"""Figures in the text form of Prometheus (exposition format 0.0.4).

Strategy: a family is a name, a kind, a line of help and its samples; `exposition` writes them.
Whoever counts, hands values in; what others say (the name of a host in a log) is a label's value,
escaped, bounded and one of few.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from mailseal.report.style import harmless

LABEL = 200
"""Characters of a label's value."""
TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""What it is, for HTTP."""


class Sample(NamedTuple):
    """A value and what it is of."""

    labels: Mapping[str, str]
    value: float


class Family(NamedTuple):
    """`kind` is gauge or counter; `help` is one line."""

    name: str
    kind: str
    help: str
    samples: tuple[Sample, ...]


def plain(name: str, kind: str, help: str, value: float) -> Family:
    """A family of one value that is of nothing in particular."""
    return Family(name, kind, help, (Sample({}, value),))


def exposition(families: Iterable[Family]) -> str:
    """The text, each family once, its samples in the order they have."""
    lines: list[str] = []
    for family in families:
        lines.append(f"# HELP {family.name} {_escaped(family.help)}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        # Of two samples with the same labels a reader refuses the whole text.
        once = {_labels(sample.labels): sample.value for sample in family.samples}
        lines += [f"{family.name}{labels} {_number(value)}" for labels, value in once.items()]
    return "".join(line + "\n" for line in lines)


def _labels(labels: Mapping[str, str]) -> str:
    pairs = ('%s="%s"' % (name, _value(value)) for name, value in labels.items())
    return "{%s}" % ",".join(pairs) if labels else ""


def _value(text: str) -> str:
    return _escaped(harmless(text)[:LABEL]).replace('"', '\\"')


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _number(value: float) -> str:
    if math.isfinite(value):
        return repr(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
