"""Results into the store on their way to the output.

Strategy: a Recorder stands between whoever makes results and whoever writes them. The store is
opened before the first packet, so that what is wrong with it is found then. What goes wrong later
(the disk fills up) ends the recording and not the scan: results are worth more than their memory.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

from mailseal import rules
from mailseal.model.moment import Clock, rfc3339
from mailseal.report.result import ScanResult
from mailseal.store import Store, StoreError, path_of
from mailseal.workflow import BadInput

Tell = Callable[[str], None]


class Recorder:
    """Records into a store, or with None into nothing. `failed`: not all could be recorded, which
    `tell` has heard once; a command that would exit 0, 1 or 3 then exits 2.
    """

    def __init__(self, store: Store | None, tell: Tell, now: Clock = time.time) -> None:
        self._store = store
        self._tell = tell
        self._now = now
        self.failed = False

    @property
    def records(self) -> bool:
        """Whether there is still a store to record into."""
        return self._store is not None

    def take(self, result: ScanResult) -> None:
        """Records a result; before it is handed on, so that what was read is known."""
        with self._guarded():
            self._record(result)

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
    try:
        store = Store.open(path_of(option, environment))
    except StoreError as error:
        raise BadInput(f"{error}; or go without one (--no-store)") from None
    with contextlib.closing(store):
        for note in store.notes:
            tell(note)
        yield Recorder(store, tell)
