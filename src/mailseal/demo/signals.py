"""A signal to end, as an exception that comes at no bad moment.

Strategy: handlers are the process's own, so this is a module with one state. The first signal
raises Interrupted in the main thread; where `hold` protects a step (a process is made but not noted
yet), right behind it. From `ignore` on no more come through: cleaning up is not broken off.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence

from mailseal.system.base import Completed
from mailseal.system.live import LiveSystem

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """A signal asked us to end. No handler of errors on the way may keep it."""


class _State:
    depth = 0
    pending = False


_state = _State()


@contextlib.contextmanager
def caught() -> Iterator[None]:
    """For this time a signal raises Interrupted. In other threads than the main one: nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _state.depth, _state.pending = 0, False
    before = {number: signal.signal(number, _first) for number in NUMBERS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _first(number: int, frame: object) -> None:
    if _state.depth:
        _state.pending = True
        return
    ignore()
    raise Interrupted


def ignore() -> None:
    """From now on signals do nothing, until `caught` is over."""
    _state.pending = False
    if threading.current_thread() is threading.main_thread():
        for number in NUMBERS:
            if signal.getsignal(number) is _first:
                signal.signal(number, _nothing)


def _nothing(number: int, frame: object) -> None:
    # A function and not SIG_IGN, which programs started meanwhile would inherit.
    return


@contextlib.contextmanager
def hold() -> Iterator[None]:
    """A signal that comes within waits until its end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _state.depth += 1
    try:
        yield
    finally:
        _state.depth -= 1
        if _state.pending and not _state.depth:
            ignore()
            raise Interrupted


class Machine(LiveSystem):
    """This machine; a program is run to its end before a signal interrupts us."""

    def run(
        self,
        argv: Sequence[str],
        *,
        data: bytes = b"",
        timeout: float = 60.0,
        env: Mapping[str, str] | None = None,
    ) -> Completed:
        with hold():
            return super().run(argv, data=data, timeout=timeout, env=env)
