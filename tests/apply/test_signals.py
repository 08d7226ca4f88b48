"""What the agent makes of signals, and what the live lock says of its holder."""

import os
import signal
import threading

import pytest

from mailseal import agent
from mailseal.apply.executor import Stopped
from mailseal.system.live import LiveSystem


def handlers() -> list[object]:
    return [signal.getsignal(each) for each in agent.SIGNALS]


@pytest.mark.parametrize("number", agent.SIGNALS)
def test_the_first_stops_the_others_are_ignored_and_all_is_put_back(number):
    before = handlers()
    with agent.signals():
        with pytest.raises(Stopped, match=f"stopped by {signal.Signals(number).name}"):
            signal.raise_signal(number)
        for each in agent.SIGNALS:
            signal.raise_signal(each)
    assert handlers() == before


def test_behind_the_shield_nothing_stops():
    before = handlers()
    with agent.signals() as shield:
        shield()
        for each in agent.SIGNALS:
            signal.raise_signal(each)
        # The undo inside a run that failed shields itself again.
        with agent.signals() as inner:
            inner()
        for each in agent.SIGNALS:
            signal.raise_signal(each)
    assert handlers() == before


def test_other_threads_than_the_main_one_leave_the_handlers_alone():
    seen: list[list[object]] = []

    def elsewhere() -> None:
        with agent.signals() as shield:
            shield()
            seen.append(handlers())

    before = handlers()
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join(10)
    assert seen == [before]


def test_the_lock_names_the_process_that_holds_it(tmp_path):
    path = str(tmp_path / "lock")
    stat = (tmp_path / "/proc/self/stat").read_text()
    started = stat.rpartition(")")[2].split()[19]
    system = LiveSystem()
    with system.lock(path) as held:
        assert held
        said = system.read(path).decode("ascii").split()
        assert said == [str(os.getpid()), started]
        with LiveSystem().lock(path) as again:
            assert not again
        assert system.read(path).decode("ascii").split() == said
