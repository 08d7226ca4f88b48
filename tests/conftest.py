"""What every test may rely on, however pytest was started."""

from __future__ import annotations

import os
import signal

import pytest


@pytest.fixture(scope="session", autouse=True)
def signals_as_usual() -> None:
    """A shell's background job ignores SIGINT, and so would every program that a test starts and
    then interrupts.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def a_store_of_our_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What tests find is not recorded where the user's own findings are."""
    os.environ["MAILSEAL_STORE"] = str(tmp_path_factory.mktemp("store") / "store.sqlite3")
