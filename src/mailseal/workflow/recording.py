"""Results into the store on their way to the output.

Strategy: a Recorder stands between whoever makes results and whoever writes them. The store is
opened before the first packet, so that what is wrong with it is found then. What goes wrong later
(the disk fills up) ends the recording and not the scan: results are worth more than their memory.

Who logs in is personal data and is not kept for ever: whoever opens the store for writing forgets
what is older than the environment allows, and does not take it in anew from an old file either.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from mailseal import rules
from mailseal.assess import assess, meaning
from mailseal.model.finding import Assessment, Finding
from mailseal.model.login import JudgedLogin, Login, Meaning
from mailseal.model.look import Endpoint
from mailseal.model.moment import Clock, rfc3339
from mailseal.report.result import ScanResult
from mailseal.store import KEPT_DAYS, LoginFilter, Store, StoreError, kept_days, path_of
from mailseal.workflow import BadInput

Tell = Callable[[str], None]

DAY = 86400.0
"""Seconds."""


class Recorder:
    """Records into a store, or with None into nothing. `failed`: not all could be recorded, which
    `tell` has heard once; a command that would exit 0, 1 or 3 then exits 2. `days` is how long
    logins are kept.
    """

    def __init__(
        self, store: Store | None, tell: Tell, now: Clock = time.time, days: int = KEPT_DAYS
    ) -> None:
        self._store = store
        self._tell = tell
        self._now = now
        self._days = days
        self.failed = False

    @property
    def records(self) -> bool:
        """Whether there is still a store to record into."""
        return self._store is not None

    def take(self, result: ScanResult) -> None:
        """Records a result; before it is handed on, so that what was read is known."""
        with self._guarded():
            self._record(result)

    def take_logins(self, logins: Iterable[Login], source: str) -> None:
        """Records who logged in, and what that makes of the servers. `source` is the file or the
        interface, for people. Give all sightings of a kind added up (`gathering`), again and again
        if need be: what was recorded before counts once. Too old ones are left out, which `tell`
        hears.
        """
        if self._store is None:
            return
        now, oldest = rfc3339(self._now()), _oldest(self._now(), self._days)
        taken, too_old = list[JudgedLogin](), 0
        for login in logins:
            if login.last < oldest:
                too_old += login.count
                continue
            if login.last > now:
                # One in the future would outlast every look, and its own deletion.
                login = replace(login, first=min(login.first, now), last=now)
            taken.append(JudgedLogin(login, meaning(login)))
        if too_old:
            self._tell(f"not recorded: {too_old} logins from more than {self._days} days ago")
        with self._guarded():
            left_out = self._store.record_logins(taken, source)
            self._observe(taken)
            if left_out:
                self._tell(f"not kept: {left_out} kinds of logins, for which the store has no room")

    def _observe(self, taken: Iterable[JudgedLogin]) -> None:
        assert self._store is not None
        for each in observed(taken):
            self._store.record_observed(each.assessment, each.findings, each.moments)

    def finish(self) -> None:
        """Writes what is not written yet."""
        with self._guarded():
            if self._store is not None:
                self._store.flush()

    def recorded(self, results: Iterable[ScanResult]) -> Generator[ScanResult, None, None]:
        """The same results, each recorded before it is handed on. All is written when they end,
        also when this is closed early; `results` are closed then too.
        """
        try:
            for result in results:
                self.take(result)
                yield result
        finally:
            self.finish()
            close = getattr(results, "close", None)
            if close is not None:
                close()

    def _record(self, result: ScanResult) -> None:
        if self._store is None or result.assessment is None:
            return
        self._store.record(
            result.observations,
            result.assessment,
            result.findings,
            functools.partial(_kept, result),
            result.reported,
            rfc3339(self._now()),
        )

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except StoreError as error:
            self._store = None
            self.failed = True
            self._tell(f"{error}; what is found from here on is printed, and not recorded")


class Observed(NamedTuple):
    """A server that was seen to take logins in cleartext, at these moments."""

    assessment: Assessment
    findings: tuple[Finding, ...]
    moments: list[str]


def observed(logins: Iterable[JudgedLogin]) -> Iterator[Observed]:
    """What logins say of the servers whose address is known."""
    there: dict[Endpoint, list[Login]] = defaultdict(list)
    for judged in logins:
        login = judged.login
        if login.endpoint and judged.meaning is Meaning.CLEARTEXT:
            there[login.endpoint].append(login)
    for seen in there.values():
        assessment = assess((), (), seen)
        moments = {min(each.first for each in seen), max(each.last for each in seen)}
        yield Observed(assessment, rules.findings(assessment, ()), sorted(moments))


def _kept(result: ScanResult, rule: str, name: str) -> bool:
    assert result.assessment is not None
    return rules.kept(rule, result.assessment, result.observations, name)


@contextlib.contextmanager
def recorder(
    wanted: bool, option: str | None, environment: Mapping[str, str], tell: Tell
) -> Iterator[Recorder]:
    """A Recorder on the store that `--store` and the environment name, or on none. Raises BadInput
    where it cannot be opened.
    """
    if not wanted:
        yield Recorder(None, tell)
        return
    with contextlib.ExitStack() as stack:
        try:
            days = kept_days(environment)
            store = stack.enter_context(
                contextlib.closing(Store.open(path_of(option, environment)))
            )
            store.forget(LoginFilter(before=_oldest(time.time(), days)))
        except StoreError as error:
            raise BadInput(f"{error}; or go without one (--no-store)") from None
        except ValueError as error:
            raise BadInput(str(error)) from None
        for note in store.notes:
            tell(note)
        yield Recorder(store, tell, days=days)


def _oldest(now: float, days: int) -> str:
    """The moment before which logins are too old to be kept."""
    return rfc3339(max(0.0, now - days * DAY))
