"""The base score of a CVSS 3.1 vector.

Strategy: the specification's weights (section 7.4) as a table, its equations (section 7.1) below.
"""

from __future__ import annotations

import math

WEIGHTS = {
    "AV": {"N": 0.85, "A": 0.62, "L": 0.55, "P": 0.2},
    "AC": {"L": 0.77, "H": 0.44},
    "PR": {"N": 0.85, "L": 0.62, "H": 0.27},
    "UI": {"N": 0.85, "R": 0.62},
    "S": {"U": 0.0, "C": 0.0},
    "C": {"H": 0.56, "L": 0.22, "N": 0.0},
    "I": {"H": 0.56, "L": 0.22, "N": 0.0},
    "A": {"H": 0.56, "L": 0.22, "N": 0.0},
}
"""The metrics in their usual order; the scope has no weight of its own."""
_CHANGED = {"L": 0.68, "H": 0.5}
"""Privileges weigh more where the scope changes."""


def base_score(vector: str) -> float:
    """0.0 to 10.0, in tenths. Raises ValueError for what is no CVSS 3.1 base vector with each
    metric once, in the usual order.
    """
    head, *parts = vector.split("/")
    metrics = dict(part.partition(":")[::2] for part in parts)
    known = all(value in WEIGHTS.get(name, ()) for name, value in metrics.items())
    if (
        head != "CVSS:3.1"
        or [part.partition(":")[0] for part in parts] != list(WEIGHTS)
        or not known
    ):
        raise ValueError(f"{vector!r} is no CVSS 3.1 base vector")
    weight = {name: WEIGHTS[name][value] for name, value in metrics.items()}
    changed = metrics["S"] == "C"
    if changed:
        weight["PR"] = _CHANGED.get(metrics["PR"], weight["PR"])
    sub = 1 - (1 - weight["C"]) * (1 - weight["I"]) * (1 - weight["A"])
    impact = 7.52 * (sub - 0.029) - 3.25 * (sub - 0.02) ** 15 if changed else 6.42 * sub
    exploitability = 8.22 * weight["AV"] * weight["AC"] * weight["PR"] * weight["UI"]
    if impact <= 0:
        return 0.0
    return _roundup(min((1.08 if changed else 1.0) * (impact + exploitability), 10.0))


def _roundup(number: float) -> float:
    """Up to one decimal, as appendix A has it: safe from floating point."""
    whole = round(number * 100_000)
    return whole / 100_000 if whole % 10_000 == 0 else (math.floor(whole / 10_000) + 1) / 10
