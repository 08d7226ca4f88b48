"""What every test may rely on, however pytest was started."""

from __future__ import annotations

import signal

import pytest


@pytest.fixture(scope="session", autouse=True)
def signals_as_usual() -> None:
    """A shell's background job ignores SIGINT, and so would every program that a test starts and
    then interrupts.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
