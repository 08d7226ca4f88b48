"""What holds of every form that tells the steps of a plan."""

from __future__ import annotations

from typing import Any

import pytest

from mailseal.export import EXPORTERS, CannotExport
from mailseal.model import ops
from tests.export.make import KINDS, STARTERS, plan, sample, source

TELLING = ("shell", "markdown")


@pytest.mark.parametrize("form", TELLING)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.KIND)
def test_each_kind_of_step_is_told_or_refused_by_its_name(form: str, kind: type[Any]) -> None:
    try:
        files = EXPORTERS[form](source(ops=(sample(kind),)))
    except CannotExport as refused:
        told = str(refused)
    else:
        told = b"".join(each.content for each in files).decode()
    assert kind.KIND in told or "/x" in told


def test_a_step_that_nobody_knows_is_refused_by_its_name() -> None:
    class Unheard:
        KIND = "unheard-of"

    for form in TELLING:
        with pytest.raises(CannotExport, match="unheard-of"):
            EXPORTERS[form](source(ops=(Unheard(),)))


@pytest.mark.parametrize("starter", STARTERS)
@pytest.mark.parametrize(("strategy", "stage"), [("wrap", "offer"), ("retire", "enforce")])
def test_every_path_of_a_plan_is_named(starter: str, strategy: str, stage: str) -> None:
    made = plan(starter, strategy, stage)
    for form in TELLING:
        told = b"".join(each.content for each in EXPORTERS[form](source(made))).decode()
        for op in made.ops:
            if not isinstance(op, ops.TryTerminator):
                assert getattr(op, "path", "") in told
