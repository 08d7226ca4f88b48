"""The store held against a plain model, whatever is recorded in whatever order."""

import contextlib
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mailseal.model.look import Vantage
from mailseal.store import Filter, Store
from tests.store.make import KINDS, look, moment, record, rows

VANTAGES = some.sampled_from([Vantage.REMOTE, Vantage.SELF, Vantage.VETH])
DECIDES = {"exposed": True, "refused": False, "closed": False, "another": False}
"""Whether the finding is there; the other kinds of look cannot tell."""


class _Stored(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.stack = contextlib.ExitStack()
        folder = self.stack.enter_context(tempfile.TemporaryDirectory())
        self.path = Path(folder, "store.sqlite3")
        self.store = self.stack.enter_context(Store.open(str(self.path)))

    def teardown(self) -> None:
        self.stack.close()

    def appearances(self) -> Iterator[tuple[str, str, str | None]]:
        """Oldest first."""
        for known in self.store.findings(Filter(fixed=True)):
            for each in reversed(self.store.history(known.finding.id).appearances):
                yield each.first, each.last, each.fixed


class InOrder(_Stored):
    """Time goes on, looks come from all vantages, and any of them may be recorded again."""

    def __init__(self) -> None:
        super().__init__()
        self.minute = 0
        self.past: list[tuple[str, int, Vantage]] = []
        self.times: list[list[str | None]] = []
        self.found_from: set[Vantage] = set()

    @rule(kind=some.sampled_from(sorted(KINDS)), vantage=VANTAGES)
    def looks(self, kind: str, vantage: Vantage) -> None:
        self.minute += 1
        now = moment(self.minute)
        record(self.store, look(kind, self.minute, vantage))
        self.past.append((kind, self.minute, vantage))
        is_open = bool(self.times) and self.times[-1][2] is None
        there = DECIDES.get(kind)
        if there and not is_open:
            self.times.append([now, now, None])
            self.found_from = {vantage}
        elif there:
            self.times[-1][1] = now
            self.found_from.add(vantage)
        elif there is False and is_open and (
            vantage is Vantage.REMOTE or self.found_from == {vantage}
        ):  # fmt: skip
            self.times[-1][2] = now

    @precondition(lambda self: self.past)
    @rule(data=some.data())
    def repeats(self, data) -> None:
        before = rows(self.path)
        kind, minute, vantage = data.draw(some.sampled_from(self.past))
        record(self.store, look(kind, minute, vantage))
        assert rows(self.path) == before

    @invariant()
    def the_same_as_the_model(self) -> None:
        assert list(self.appearances()) == [tuple(each) for each in self.times]


class AnyOrder(_Stored):
    """A stranger's looks, recorded in any order: the newest that can tell decides."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds = {0: "refused"}
        # An endpoint is kept from the first time that something was found there.
        record(self.store, look("refused", 0))

    @rule(kind=some.sampled_from(sorted(KINDS)), minute=some.integers(1, 30))
    def looks(self, kind: str, minute: int) -> None:
        kind = self.kinds.setdefault(minute, kind)
        before = list(self.appearances())
        record(self.store, look(kind, minute))
        if DECIDES.get(kind) is None:
            assert list(self.appearances()) == before

    @invariant()
    def the_newest_decides(self) -> None:
        newest = max(minute for minute, kind in self.kinds.items() if kind in DECIDES)
        times = list(self.appearances())
        assert any(fixed is None for _, _, fixed in times) == DECIDES[self.kinds[newest]]

    @invariant()
    def times_do_not_overlap_and_hold_every_sighting(self) -> None:
        times = list(self.appearances())
        for (_, _, fixed), (first, _, _) in itertools.pairwise(times):
            assert fixed is not None
            assert fixed < first
        assert all(first <= last and (not fixed or last < fixed) for first, last, fixed in times)
        for minute, kind in self.kinds.items():
            if kind == "exposed":
                assert any(first <= moment(minute) <= last for first, last, _ in times)


TestInOrder = InOrder.TestCase
TestAnyOrder = AnyOrder.TestCase
# Each step commits to a real disk.
TestInOrder.settings = TestAnyOrder.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None
)
