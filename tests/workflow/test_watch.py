"""`watch` over real services on loopback: restarts, flaps, peers that do not take a notice."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mailseal.model.look import Endpoint
from mailseal.model.watching import Notice
from mailseal.policy.alerts import parse
from mailseal.watch.keep import StateError, StateInUse, load
from mailseal.watch.schedule import LOST_FIRST, Pace
from mailseal.workflow import BadInput, logs, scan
from mailseal.workflow.watch import Watch, watch
from mailseal.workflow.watchrequest import Clocks, Request, policy_of, rules_of
from tests.probe import peers
from tests.watch import promtool
from tests.watch.exposition import value
from tests.watch.test_sinks import ANSWER, peer, request

LOGIN = "pop2-cleartext-login"
DISABLED = peers.says(b"- POP2 server disabled on this system\r\n")


class World:
    """A place to watch from: its request, what was printed and said."""

    def __init__(self, folder: Path, endpoint: Endpoint, **changes: Any) -> None:
        self.notices: list[Notice] = []
        self.said: list[str] = []
        self.request = Request(
            scan=scan.Request((scan.Word(str(endpoint)),), timeout=0.5, again=()),
            policy=policy_of(None),
            rules=rules_of(None),
            pace=Pace(3600, 0.0),
            state=str(folder / "state" / "watch.json"),
            store=(str(folder / "store.sqlite3"), {}),
            once=True,
            host="here",
        )
        self.request = replace(self.request, **changes)

    def run(self, stop: Callable[[], bool] = lambda: False, clocks: Clocks | None = None) -> Watch:
        return watch(self.request, self.notices.append, self.said.append, stop, clocks)

    def told(self) -> list[tuple[str, str]]:
        """What a round in a process of its own tells."""
        self.notices.clear()
        self.run()
        return [(each.event.value, each.rule) for each in self.notices]


@pytest.fixture
def free() -> Endpoint:
    """A port on which somebody may serve, and nobody else will."""
    with peers.closed() as endpoint:
        pass
    return endpoint


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_drift_and_recovery_are_told_once_each_though_every_round_is_a_restart(
    tmp_path: Path, free: Endpoint
):
    world = World(tmp_path, free)
    assert world.told() == []
    with peers.serving(peers.pop2, port=free.port):
        assert world.told() == [("drift", LOGIN)]
        assert world.told() == []
        assert world.notices == []
    with peers.serving(DISABLED, port=free.port):
        assert world.told() == [("recovery", LOGIN)]
        assert world.told() == []
    with peers.serving(peers.pop2, port=free.port):
        assert world.told() == [("drift", LOGIN)]


def test_a_service_that_stops_is_told_and_that_it_is_back(tmp_path: Path, free: Endpoint):
    world = World(tmp_path, free)
    with peers.serving(peers.pop2, port=free.port):
        world.told()
    assert world.told() == [("recovery", LOGIN), ("drift", "service-gone")]
    gone = world.notices[1]
    assert "pop2 was served here, and now: " in gone.text
    assert gone.where == str(free)
    with peers.serving(DISABLED, port=free.port):
        assert world.told() == [("recovery", "service-gone")]


def test_an_exception_of_the_policy_is_no_drift_until_it_ends(tmp_path: Path, free: Endpoint):
    text = '[[exception]]\ntargets = ["127.0.0.1"]\nrules = ["%s"]\nuntil = %s\n'
    text += 'owner = "mail team"\nreason = "the archive"\n'
    path = tmp_path / "policy.toml"
    path.write_text(text % (LOGIN, "2999-01-01"))
    world = World(tmp_path, free, policy=policy_of(str(path)))
    with peers.serving(peers.pop2, port=free.port):
        assert world.told() == []
        path.write_text(text % (LOGIN, "2020-01-01"))
        world.request = replace(world.request, policy=policy_of(str(path)))
        assert world.told() == [("drift", LOGIN)]
        path.write_text(text % (LOGIN, "2999-01-01"))
        world.request = replace(world.request, policy=policy_of(str(path)))
        assert world.told() == [("recovery", LOGIN)]


def test_what_is_no_target_any_more_is_forgotten_and_is_no_recovery(tmp_path: Path, free: Endpoint):
    world = World(tmp_path, free)
    with peers.serving(peers.pop2, port=free.port), peers.closed() as other:
        world.told()
        words = (scan.Word(str(other)),)
        world.request = replace(world.request, scan=replace(world.request.scan, words=words))
        assert world.told() == []
    assert f"not looked at any more: {LOGIN} at {free}" in world.said
    state = load(world.request.state)
    assert (state.served, state.broken, dict(state.ledgers["output"].told)) == ((), (), {})


def test_a_name_that_does_not_resolve_today_is_neither_drift_nor_recovery(
    tmp_path: Path, free: Endpoint, monkeypatch: pytest.MonkeyPatch
):
    known = {"mail.example": [(0, 0, 0, "", ("127.0.0.1", 0))]}

    def resolver(name, *rest, **more):
        if name not in known:
            raise socket.gaierror(-2, "Name or service not known")
        return known[name]

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    world = World(tmp_path, free)
    words = (scan.Word(f"mail.example:{free.port}"),)
    world.request = replace(world.request, scan=replace(world.request.scan, words=words))
    with peers.serving(peers.pop2, port=free.port):
        assert world.told() == [("drift", LOGIN)]
        rows = known.pop("mail.example")
        assert world.told() == []
        assert any("nothing could be reached: mail.example" in words for words in world.said)
        known["mail.example"] = rows
        assert world.told() == []
    assert ("recovery", LOGIN) in world.told()


def test_a_lost_network_is_tried_again_soon_and_told_after_some_rounds_and_when_it_is_back(
    tmp_path: Path, free: Endpoint, monkeypatch: pytest.MonkeyPatch
):
    there = [False]

    def resolver(name, *rest, **more):
        if not there[0]:
            raise socket.gaierror(-3, "Temporary failure in name resolution")
        return [(0, 0, 0, "", ("127.0.0.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    world = World(tmp_path, free, once=False)
    words = (scan.Word(f"mail.example:{free.port}"),)
    world.request = replace(world.request, scan=replace(world.request.scan, words=words))
    clock = Moving()

    def stop() -> bool:
        there[0] = bool(world.notices)
        return clock.at > 5000 or len(world.notices) == 2

    done = world.run(stop, clock.clocks())
    looked = value(done.text, "mailseal_watch_looked_timestamp_seconds")
    assert looked == value(done.text, "mailseal_watch_round_timestamp_seconds")
    blind, back = world.notices
    assert (blind.event.value, blind.rule, blind.where) == ("drift", "watch-blind", "this watch")
    assert (back.event.value, back.rule) == ("recovery", "watch-blind")
    # Three rounds, 30 and 60 seconds apart; the next one 120 seconds later.
    assert 7 * LOST_FIRST <= clock.at < 8 * LOST_FIRST


class Moving:
    """Clocks that are moved by who sleeps, and jump where they are told to."""

    def __init__(self) -> None:
        self.at = 0.0
        self.wall = 1.8e9

    def clocks(self) -> Clocks:
        return Clocks(lambda: self.wall, lambda: self.at, self.sleep, lambda: 0.5)

    def sleep(self, seconds: float) -> None:
        self.at += seconds
        self.wall += seconds


@pytest.mark.parametrize("jump", [-40000.0, -1e9, 1e9])
def test_a_clock_that_jumps_stops_no_watch(tmp_path: Path, free: Endpoint, jump: float):
    world = World(tmp_path, free, once=False, pace=Pace(60, 0.0))
    clock = Moving()
    with contextlib.ExitStack() as stack:

        def stop() -> bool:
            if clock.at >= 30 and clock.wall < 1.85e9 and clock.wall > 1.79e9 and not seen:
                seen.append("jumped")
                clock.wall += jump
            if clock.at >= 90 and seen == ["jumped"]:
                seen.append("served")
                stack.enter_context(peers.serving(peers.pop2, port=free.port))
            return clock.at > 1000 or bool(world.notices)

        seen: list[str] = []
        world.run(stop, clock.clocks())
    assert [each.rule for each in world.notices] == [LOGIN]
    # Within one interval: it began to be served at 90, and the round after that is at 120.
    assert clock.at < 125


def test_a_webhook_that_does_not_take_notices_gets_all_of_them_later_and_in_order(
    tmp_path: Path, free: Endpoint
):
    got: list[dict[str, Any]] = []
    answer = [500]

    def talk(connection: socket.socket) -> None:
        body = request(connection).partition(b"\r\n\r\n")[2]
        if answer[0] == 200:
            got.append(json.loads(body))
        if answer[0] == 0:
            time.sleep(1.2)
            return
        connection.sendall(ANSWER % answer[0])

    with peer(talk) as hook:
        text = '[[receiver]]\nname = "hook"\nkind = "webhook"\ntimeout-seconds = 1\n'
        text += f'url = "http://127.0.0.1:{hook.port}/"\n'
        world = World(tmp_path, free, rules=parse(text.encode(), "here"))
        with peers.serving(peers.pop2, port=free.port):
            # The printed one is told; the hook's waits, over restarts too.
            assert world.told() == [("drift", LOGIN)]
            answer[0] = 0
            assert world.told() == []
        answer[0] = 503
        assert ("recovery", LOGIN) in world.told()
        assert len(load(world.request.state).ledgers["hook"].waiting) == 3
        assert got == []
        answer[0] = 200
        done = world.run()
        assert [(each["event"], each["rule"]) for each in got] == [
            ("drift", LOGIN),
            ("recovery", LOGIN),
            ("drift", "service-gone"),
        ]
        assert load(world.request.state).ledgers["hook"].waiting == ()
        assert value(done.text, "mailseal_watch_alerts_sent_total", receiver="hook") == 3
    assert any("hook does not take a notice (it answered 500)" in words for words in world.said)


def test_metrics_say_what_is_known(tmp_path: Path, free: Endpoint):
    textfile = tmp_path / "mailseal.prom"
    world = World(tmp_path, free, textfile=str(textfile))
    with peers.serving(peers.pop2, port=free.port):
        done = world.run()
    text = textfile.read_text()
    assert text == done.text
    port = str(free.port)
    assert value(text, "mailseal_endpoint_verdict", port=port, verdict="exposed") == 1
    look = value(text, "mailseal_endpoint_look_timestamp_seconds", port=port, protocol="pop2")
    assert abs(look - time.time()) < 60
    assert value(text, "mailseal_deviations", state="new") == 1
    assert value(text, "mailseal_watch_rounds_total", outcome="done") == 1
    assert value(text, "mailseal_watch_alerts_waiting", receiver="output") == 0
    assert value(text, "mailseal_watch_interval_seconds") == 3600
    looked = value(text, "mailseal_watch_looked_timestamp_seconds")
    assert looked == value(text, "mailseal_watch_round_timestamp_seconds")
    assert textfile.stat().st_mode & 0o777 == 0o644


def test_a_watch_raises_the_alerts_of_what_it_sees(tmp_path: Path, free: Endpoint):
    world = World(tmp_path, free)
    for server, fire in ((peers.pop2, {"MailsealCleartextLogin"}), (DISABLED, set())):
        with peers.serving(server, port=free.port):
            text = world.run().text
        assert promtool.alerts(tmp_path, text, now=time.time(), fire=fire) == ""
    text = world.run().text
    assert promtool.alerts(tmp_path, text, now=time.time(), fire={"MailsealServiceGone"}) == ""


FAILS = (
    "{moment} mailhost stunnel: LOG5[{n}]: Service [pop2] accepted connection from"
    " 192.0.2.{n}:4000\n"
    "{moment} mailhost stunnel: LOG3[{n}]: SSL_accept: error:0A000102:SSL routines::"
    "unsupported protocol\n"
    "{moment} mailhost stunnel: LOG5[{n}]: Connection reset: 0 byte(s) sent to TLS\n"
)


def grown(path: Path, clients: range, offset: float = 0.0) -> None:
    moment = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() + offset))
    with path.open("a") as stream:
        stream.write("".join(FAILS.format(moment=moment, n=n) for n in clients))


def test_clients_that_fail_to_get_into_tls_are_told_and_counted(tmp_path: Path, free: Endpoint):
    log = tmp_path / "mail.log"
    grown(log, range(20, 40), offset=-3600)
    world = World(
        tmp_path, free, once=False, logs=logs.Request((str(log),), zone="UTC"), pace=Pace(10, 0.0)
    )
    clock = Moving()
    clock.wall = time.time()
    steps = iter([
        (5, range(1, 4)),
        (15, range(1, 8)),
        (25, range(0)),
    ])  # fmt: skip
    after, clients = next(steps)

    def stop() -> bool:
        nonlocal after, clients
        if clock.at >= after:
            grown(log, clients)
            after, clients = next(steps, (10000, range(0)))
        return clock.at > 100 or len(world.notices) == 2

    done = world.run(stop, clock.clocks())
    drift, over = world.notices
    assert (drift.event.value, drift.rule) == ("drift", "tls-clients-failing")
    assert drift.text.startswith("7 clients did not get into TLS since the last round: too old")
    assert (over.event.value, over.trouble) == ("recovery", drift.trouble)
    # What was there before it began does not count.
    assert value(done.text, "mailseal_tls_client_failures_total") == 10


def test_a_second_watch_with_the_same_state_is_refused(tmp_path: Path, free: Endpoint):
    world = World(tmp_path, free, once=False)

    def stop() -> bool:
        with pytest.raises(StateInUse):
            World(tmp_path, free).run()
        return True

    world.run(stop)


def test_a_damaged_state_is_said_and_kept(tmp_path: Path, free: Endpoint):
    world = World(tmp_path, free)
    os.mkdir(tmp_path / "state")
    Path(world.request.state).write_text("{")
    with pytest.raises(StateError, match="is damaged"):
        world.run()
    assert Path(world.request.state).read_text() == "{"


def test_what_is_wrong_at_the_beginning_is_said_and_later_it_is_a_trouble(
    tmp_path: Path, free: Endpoint
):
    targets = tmp_path / "targets"
    world = World(tmp_path, free)
    world.request = replace(
        world.request, scan=replace(world.request.scan, words=(), lists=(str(targets),))
    )
    with pytest.raises(BadInput, match="cannot be read"):
        world.run()
    targets.write_text(f"{free}\n")
    with peers.serving(peers.pop2, port=free.port):
        assert world.told() == [("drift", LOGIN)]
        targets.unlink()
        assert world.told() == [("drift", "watch-blind")]
        targets.write_text(f"{free}\n")
        assert world.told() == [("recovery", "watch-blind")]


def test_a_store_that_cannot_be_used_is_said(tmp_path: Path, free: Endpoint):
    (tmp_path / "store.sqlite3").write_bytes(b"no database" * 1000)
    with pytest.raises(BadInput, match="store"):
        World(tmp_path, free).run()


def test_a_state_that_cannot_be_written_is_said_once_and_the_watch_goes_on(
    tmp_path: Path, free: Endpoint
):
    world = World(tmp_path, free, once=False, pace=Pace(10, 0.0))
    clock = Moving()
    blocker = tmp_path / "state" / ".watch.json.new"

    def stop() -> bool:
        if not blocker.exists():
            blocker.mkdir(parents=True)
        return clock.at > 200

    with peers.serving(peers.pop2, port=free.port):
        done = world.run(stop, clock.clocks())
    assert [each.rule for each in world.notices] == [LOGIN]
    assert sum("cannot be written" in words for words in world.said) == 1
    assert 2 < value(done.text, "mailseal_watch_state_failures_total") < 10
    assert value(done.text, "mailseal_watch_rounds_total", outcome="done") > 15


_CHILD = """
import sys
from pathlib import Path
from mailseal.model.look import Endpoint
from tests.workflow.test_watch import World
world = World(Path(sys.argv[1]), Endpoint("127.0.0.1", int(sys.argv[2])))
class Printing(list):
    def append(self, notice):
        print(notice.id, notice.event.value, notice.rule, flush=True)
world.notices = Printing()
print("ready", flush=True)
world.run()
"""


@pytest.mark.slow
def test_killed_at_any_moment_it_tells_every_drift_and_forgets_no_recovery(
    tmp_path: Path, free: Endpoint
):
    root = Path(__file__).parents[2]
    heard: list[list[str]] = []

    def child(seconds: float | None) -> None:
        command = [sys.executable, "-c", _CHILD, str(tmp_path), str(free.port)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root, text=True) as process:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            if seconds is not None:
                time.sleep(seconds)
                process.send_signal(signal.SIGKILL)
            heard.extend(line.split() for line in process.stdout)
            process.wait()

    with peers.serving(peers.pop2, port=free.port):
        began = time.monotonic()
        child(None)
        whole = time.monotonic() - began
    assert [each[1:] for each in heard] == [["drift", LOGIN]]
    heard.clear()
    for step in range(4):
        child(whole * step / 4)
    child(None)
    # A kill between a delivery and its record repeats that notice, with the same id.
    assert {tuple(each[1:]) for each in heard} == {
        ("recovery", LOGIN),
        ("drift", "service-gone"),
    }
    assert len({each[0] for each in heard}) == 2
    with sqlite3.connect(tmp_path / "store.sqlite3") as store:
        assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    store.close()
