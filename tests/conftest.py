"""What every test may rely on, however pytest was started."""

from __future__ import annotations

import os
import signal

import pytest
from _pytest.terminal import TerminalReporter


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


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Tables that tests made of what they saw (`record_property("table", row)`), also where they
    ran in other processes.
    """
    reports = [
        each for kind in ("passed", "failed") for each in terminalreporter.stats.get(kind, ())
    ]
    rows = [
        str(value)
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == "table" and report.when == "call"
    ]
    if rows:
        terminalreporter.section("what was seen of real daemons")
        for row in rows:
            terminalreporter.write_line(row)
