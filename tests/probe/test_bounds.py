"""Time, memory, descriptors and connections: all bounded, whatever the other side does."""

import collections
import contextlib
import dataclasses
import gc
import itertools
import resource
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from mailseal.assess import assess
from mailseal.model.finding import Verdict
from mailseal.model.look import Endpoint, Reach
from mailseal.probe import loop
from mailseal.probe.look import Limits, Question
from tests.probe import peers
from tests.probe.conftest import Driver, descriptors

LIMITS = Limits(connect=0.4, answer=0.4, total=1.0)


def test_an_octet_now_and_then_ends_no_later_than_silence(observe: Driver):
    with peers.serving(peers.forever(b"+", 0.05)) as endpoint:
        started = time.monotonic()
        seen = observe(Question(endpoint, limits=LIMITS))
        took = time.monotonic() - started
    assert LIMITS.answer - 0.05 < took < 2 * LIMITS.answer + 0.3
    assert seen.gaps == ("clear: the server said nothing more in time",)
    assert assess([seen]).verdict is Verdict.INCONCLUSIVE


def test_a_silent_answer_to_the_login(observe: Driver):
    with peers.serving(peers.says(b"+ POP2 server ready\r\n")) as endpoint:
        started = time.monotonic()
        seen = observe(Question(endpoint, limits=LIMITS))
        took = time.monotonic() - started
    assert took < LIMITS.answer + 0.5
    assert assess([seen]).verdict is Verdict.INCONCLUSIVE


def test_a_handshake_octet_by_octet_ends_in_time(observe: Driver):
    def peer(connection: socket.socket) -> None:
        if connection.recv(4096):
            connection.sendall(b"\x16\x03\x03\x40\x00\x02")
            peers.forever(b"\x00", 0.05)(connection)

    with peers.serving(peer) as endpoint:
        started = time.monotonic()
        seen = observe(Question(endpoint, limits=LIMITS))
        took = time.monotonic() - started
    assert took < 2 * LIMITS.answer + LIMITS.connect + 0.5
    assert seen.gaps[1] == "TLS: the handshake did not end in time"


def test_a_connection_has_an_end_whatever_the_steps(observe: Driver):
    limits = Limits(connect=0.4, answer=10.0, total=0.6)
    with peers.serving(peers.says()) as endpoint:
        started = time.monotonic()
        observe(Question(endpoint, limits=limits))
        # Two connections: in cleartext, and with a ClientHello.
        assert time.monotonic() - started < 2 * (limits.connect + limits.total) + 0.5


@pytest.mark.parametrize("chunk", [b"x" * 65536, b"+ POP2\n" * 9000, b"\x00\n" * 30000])
def test_endless_streams_take_no_memory(observe: Driver, chunk: bytes):
    with peers.serving(peers.forever(chunk)) as endpoint:
        observe(Question(endpoint, limits=LIMITS))
        tracemalloc.start()
        try:
            for _ in range(5):
                observe(Question(endpoint, limits=LIMITS))
            # A read of 64 KiB, its lines, and what the peer in this process holds.
            assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
        finally:
            tracemalloc.stop()


def test_no_descriptor_is_lost():
    mixed = [peers.pop2, peers.reset, peers.close, peers.says(b"SSH-2.0-x\r\n")]
    with several(mixed) as endpoints:
        questions = [Question(e, limits=LIMITS) for e in itertools.islice(endpoints, 500)]
        gc.collect()
        settle = len(list(loop.Scan(concurrency=64).results(questions[:8])))
        before = descriptors()
        seen = list(loop.Scan(concurrency=64).results(questions))
        until(lambda: descriptors() <= before)
    assert (settle, len(seen)) == (8, 500)


def test_closing_early_closes_every_connection():
    with several([peers.says()]) as endpoints:
        gc.collect()
        before = descriptors()
        with peers.closed() as nobody:
            # One that is done at once, so that the iterator is on its way, and many that wait.
            questions = [Question(e, limits=LIMITS) for e in itertools.islice(endpoints, 50)]
            scan = loop.Scan(concurrency=64)
            results = scan.results([*questions, Question(nobody, limits=LIMITS)])
            next(results)
            results.close()
        # The peers are of this process and close when they see ours closed.
        until(lambda: descriptors() <= before)
        again = [Question(nobody, limits=LIMITS)]
        assert len(list(scan.results(again))) == 1


def test_a_failing_source_of_questions_closes_everything():
    def questions(endpoint: Endpoint) -> Iterator[Question]:
        yield Question(endpoint, limits=LIMITS)
        raise LookupError("no more")

    with peers.serving(peers.says()) as endpoint:
        gc.collect()
        before = descriptors()
        with pytest.raises(LookupError):
            list(loop.Scan().results(questions(endpoint)))
        until(lambda: descriptors() <= before)


def test_no_more_connections_than_asked_for():
    lock = threading.Lock()
    count: collections.Counter[str] = collections.Counter()

    def peer(connection: socket.socket) -> None:
        with lock:
            count["now"] += 1
            count["most"] = max(count["most"], count["now"])
        time.sleep(0.01)
        # Counted down before the client can know that it is over.
        with lock:
            count["now"] -= 1
        connection.sendall(b"SSH-2.0-x\r\n")

    with peers.serving(peer) as endpoint:
        questions = (Question(endpoint, limits=LIMITS) for _ in range(60))
        assert len(list(loop.Scan(concurrency=7).results(questions))) == 60
    assert 2 <= count["most"] <= 7


def test_no_more_connections_than_descriptors():
    """Ours is not the server's trouble: nothing is reported as out of reach for want of them."""
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.create_server(("127.0.0.1", 0), backlog=512) as nobody_accepts:
        endpoint = Endpoint("127.0.0.1", nobody_accepts.getsockname()[1])
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors() + 70, most))
        try:
            questions = [Question(endpoint, limits=Limits(0.1, 0.1, 0.2))] * 100
            seen = list(loop.Scan(concurrency=512).results(questions))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, most))
    assert {look.reach for look in seen} == {Reach.OPEN}


def test_questions_are_taken_as_there_is_room():
    taken = []

    def questions(endpoint: Endpoint) -> Iterator[Question]:
        for number in range(100):
            taken.append(number)
            yield Question(endpoint, limits=LIMITS)

    with peers.serving(peers.pop2) as endpoint:
        results = loop.Scan(concurrency=4).results(questions(endpoint))
        next(results)
        assert len(taken) < 20
        results.close()


def test_one_slow_server_does_not_hold_up_the_others():
    with peers.serving(peers.says()) as slow, peers.serving(peers.pop2) as quick:
        started = time.monotonic()
        order = []
        questions = [Question(slow, limits=LIMITS), *[Question(quick, limits=LIMITS)] * 20]
        for seen in loop.Scan(concurrency=4).results(questions):
            order.append((seen.endpoint, time.monotonic() - started))
    assert order[-1][0] == slow
    assert order[-2][1] < LIMITS.answer


def test_the_same_limits_with_more_patience():
    assert Limits(5, 8, 30).scaled(16) == Limits(5, 16, 60)
    assert Limits(5, 2, 10).scaled(4) == Limits(4, 4, 20)
    assert Limits(5, 8, 30).scaled(0.5) == Limits(0.5, 0.5, 30 / 16)
    assert dataclasses.astuple(Limits().scaled(8.0)) == dataclasses.astuple(Limits())


@contextlib.contextmanager
def several(served: list[peers.Peer]) -> Iterator[Iterator[Endpoint]]:
    """Serves several peers, and gives their endpoints again and again."""
    with contextlib.ExitStack() as stack:
        endpoints = [stack.enter_context(peers.serving(peer)) for peer in served]
        yield itertools.cycle(endpoints)


def until(condition: Callable[[], bool]) -> None:
    """Waits for the peers' threads to let go; fails after five seconds."""
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
