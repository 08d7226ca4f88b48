"""What the ordinary run tells of the matrix: every pair of daemon, start and strategy."""

import itertools
from collections.abc import Iterable

import pytest

from tests.lab.test_matrix import ELSEWHERE, MATRIX, QUICK
from tests.project.tree import ROOT


def pairs(rows: Iterable[tuple[str, str, str]]) -> set[tuple[str, ...]]:
    """A daemon is never called like a start or a strategy."""
    return {pair for row in rows for pair in itertools.combinations(row, 2)}


def test_no_pair_is_left_to_the_soak():
    every = {(row.daemon, row.starter, row.strategy) for row in MATRIX}
    told = {(row.daemon, row.starter, row.strategy) for row in QUICK}
    assert pairs({*told, *ELSEWHERE}) == pairs(every)
    assert {*told, *ELSEWHERE} <= every


@pytest.mark.parametrize("place", sorted(set(ELSEWHERE.values())))
def test_the_story_that_is_said_to_be_told_elsewhere_is_there(place: str):
    file, _, name = place.partition("::")
    text = (ROOT / "tests" / "lab" / file).read_text()
    assert f"def {name}(" in text
    before = text[: text.index(f"def {name}(")].rpartition("\n\n")[2]
    assert "mark.soak\n" not in before
