"""The store held against a plain model, whatever is recorded in whatever order."""

import contextlib
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mailseal.model.look import Vantage
from mailseal.model.moment import seconds
from mailseal.store import Filter, Store
from mailseal.workflow.recording import Recorder
from tests.store.make import KINDS, login, look, moment, record, rows

VANTAGES = some.sampled_from([Vantage.REMOTE, Vantage.SELF, Vantage.VETH])
DECIDES = {"exposed": True, "login": True, "refused": False, "closed": False, "another": False}
"""Whether the finding is there; the other kinds of look cannot tell."""
SEEN = sorted([*KINDS, "login"])


class _Stored(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.stack = contextlib.ExitStack()
        folder = self.stack.enter_context(tempfile.TemporaryDirectory())
        self.path = Path(folder, "store.sqlite3")
        self.store = self.stack.enter_context(Store.open(str(self.path)))

    def teardown(self) -> None:
        self.stack.close()

    def takes(self, kind: str, minute: int, vantage: Vantage = Vantage.REMOTE) -> None:
        """Records a look, or a login in cleartext."""
        if kind != "login":
            record(self.store, look(kind, minute, vantage))
            return
        taker = Recorder(self.store, pytest.fail, lambda: seconds(moment(100_000)))
        taker.take_logins([login(first=minute, last=minute, count=1)], "mail.log")

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

    @rule(kind=some.sampled_from(SEEN), vantage=VANTAGES)
    def looks(self, kind: str, vantage: Vantage) -> None:
        self.minute += 1
        now = moment(self.minute)
        vantage = Vantage.LOG if kind == "login" else vantage
        self.takes(kind, self.minute, vantage)
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
        # The endpoint's row is left aside: a look that was not kept may give it its name.
        before = rows(self.path)[1:]
        kind, minute, vantage = data.draw(some.sampled_from(self.past))
        self.takes(kind, minute, vantage)
        assert rows(self.path)[1:] == before

    @invariant()
    def the_same_as_the_model(self) -> None:
        assert list(self.appearances()) == [tuple(each) for each in self.times]


class AnyOrder(_Stored):
    """A stranger's looks, and logins, recorded in any order: the newest that can tell decides."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds = {0: "refused"}
        # An endpoint is kept from the first time that something was found there.
        self.takes("refused", 0)

    @rule(kind=some.sampled_from(SEEN), minute=some.integers(1, 30))
    def looks(self, kind: str, minute: int) -> None:
        kind = self.kinds.setdefault(minute, kind)
        before = list(self.appearances())
        self.takes(kind, minute)
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
            if DECIDES.get(kind):
                assert any(first <= moment(minute) <= last for first, last, _ in times)


TestInOrder = InOrder.TestCase
TestAnyOrder = AnyOrder.TestCase
# Each step commits to a real disk.
TestInOrder.settings = TestAnyOrder.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None
)
