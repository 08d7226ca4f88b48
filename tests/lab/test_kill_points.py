"""SIGKILL at the points of wrap/inetd on booted hosts: the dead-man alone brings everything back.

Strategy: the agent dies before a change of its own (which is after the one before), or half-way
through a journal record. Nobody helps: the timer that systemd holds finds the journal and undoes.
Then the host is compared with what it was: files, sockets, units, a login in cleartext. It is as
before, or the test ends, so one host serves many points; several hosts work side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab import Client, Host, Lab
from mailseal.model.plan import Plan, RunState
from tests.lab import dying

HOSTS = 4
SAMPLE = 10
"""Of the points that are not between two ops, script/test takes each that many-th."""


def between_ops(listed: Sequence[tuple[str, str]]) -> set[int]:
    """The points at which one op is done and nothing of the next has begun; the last is the end."""
    done = [
        number for number, point in enumerate(listed) if dying.recorded(point).get("what") == "done"
    ]
    return {number + 1 for number in done}


def fatal_points(listed: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """The points between ops, and all others."""
    ops = between_ops(listed)
    first = [f"{number}:before" for number in sorted(ops)]
    rest = [f"{number}:before" for number in range(len(listed)) if number not in ops]
    rest += [f"{number}:during" for number, (name, _) in enumerate(listed) if name == "append"]
    return first, rest


def dies_and_comes_back(host: Host, client: Client, made: Plan, fatal: Sequence[str]) -> None:
    before = dying.state(host)
    for point in fatal:
        runs = len(dying.receipts(host))
        # Killed after the very last record it is applied and waits for a word that never comes.
        done = dying.dying(host, point, made, hold=5)
        assert done.returncode == 255 or done.returncode == 137, (point, done.stderr)
        dying.await_rest(host)
        states = [receipt.state for receipt in dying.receipts(host)[runs:]]
        assert states in ([], [RunState.UNDONE]), point
        left = dying.differences(before, dying.state(host))
        if not states:
            # The looks are made ready before there is a run; the next run clears them away.
            left = {name: what for name, what in left.items() if name not in dying.LOOKS}
        assert left == {}, point
        assert dying.in_cleartext(client, host), point


def _all_die(lab: Lab, chosen: str, capsys: pytest.CaptureFixture[str]) -> None:
    net = lab.network()
    client = lab.client(net, "client")

    def prepare(number: int) -> tuple[Host, Plan]:
        host = dying.prepared(lab, f"mailhost{number}", net)
        return host, dying.plan(host)

    with ThreadPoolExecutor(HOSTS) as pool:
        ready = list(pool.map(prepare, range(HOSTS)))
        host, made = ready[0]
        # Held for a second and never confirmed: the dead-man undoes this as well.
        assert dying.dying(host, "list", made, hold=1).returncode == 0
        dying.await_rest(host)
        first, rest = fatal_points(dying.points(host))
        assert len(first) == len(made.ops)
        take = first + (rest if chosen == "all" else rest[::SAMPLE])
        with capsys.disabled():
            left = len(first) + len(rest) - len(take)
            print(
                f"\n    {len(take)} kill points on booted hosts, {left} left to script/soak", end=""
            )
        list(
            pool.map(
                lambda each: dies_and_comes_back(
                    each[1][0], client, each[1][1], take[each[0] :: HOSTS]
                ),
                enumerate(ready),
            )
        )


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_between_all_ops_and_at_a_sample_of_the_other_points(lab, capsys):
    _all_die(lab, "sample", capsys)


@pytest.mark.lab
@pytest.mark.slow
def test_asked_to_end_while_the_port_is_switched_it_undoes_at_once_by_itself(lab):
    net = lab.network()
    client = lab.client(net, "client")
    host = dying.prepared(lab, "mailhost", net)
    made = dying.plan(host)
    assert dying.dying(host, "list", made, hold=1).returncode == 0
    dying.await_rest(host)
    before = dying.state(host)
    switched = max(
        number
        for number, (name, text) in enumerate(dying.points(host))
        if name == "run" and text.startswith("systemctl start")
    )
    for name in ("SIGTERM", "SIGHUP", "SIGINT"):
        # The dead-man looks again in ten minutes: it is not he who undoes.
        done = dying.dying(host, f"{switched}:{name}", made, period=600)
        assert done.returncode == 4, done.stderr
        assert f"stopped by {name}".encode() in done.stderr
        assert dying.differences(before, dying.state(host)) == {}
        assert dying.in_cleartext(client, host)


@pytest.mark.lab
@pytest.mark.soak
def test_killed_at_every_point(lab, capsys):
    _all_die(lab, "all", capsys)
