"""Processes of our own that share a load: forked, fed with lines, read from by lines.

Strategy: a worker is a function that runs in a forked child with two pipes; nothing but lines
crosses them, so nothing is unpickled. All are forked at once, before any thread is started. A
worker that ends early is told of as such and never replaced: by then there may be threads. Children
keep no descriptor but their pipes: a file that the parent has locked is free as soon as the parent
is gone, and so is the other end of every sibling's pipe.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import sys
from typing import Callable, Dict, List, Optional, Tuple

READ = 1 << 16
QUEUED = 1 << 16
"""Octets that wait for a worker to read them; who has more is not sent more."""

Main = Callable[[int, int], None]
"""Runs in the child: reads lines from the first descriptor (which does not block), writes them to
the second. The end of the first means that the parent is gone."""


class Worker:
    """One child, seen from the parent."""

    def __init__(self, pid: int, source: int, sink: int) -> None:
        self.pid = pid
        self.source = source
        self.sink = sink
        self.unsent = bytearray()
        self.partial = b""
        self.status: Optional[int] = None


class Workers:
    """`count` children that run `main`. `with` ends them all, whatever they do."""

    def __init__(self, main: Main, count: int) -> None:
        self._poll = select.poll()
        self._workers: List[Worker] = []
        self._by_source: Dict[int, int] = {}
        self._by_sink: Dict[int, int] = {}
        sys.stdout.flush()
        sys.stderr.flush()
        for number in range(count):
            worker = _forked(main)
            self._workers.append(worker)
            self._by_source[worker.source] = number
            self._by_sink[worker.sink] = number
            self._poll.register(worker.source, select.POLLIN)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *error: object) -> None:
        """Ends what still runs, by its own process id."""
        for worker in self._workers:
            if worker.status is None:
                os.kill(worker.pid, signal.SIGKILL)
                self._end(worker)

    def pids(self) -> List[int]:
        """Process ids, by number."""
        return [worker.pid for worker in self._workers]

    def room(self, number: int) -> bool:
        """Whether a worker may be sent more."""
        worker = self._workers[number]
        return worker.status is None and len(worker.unsent) < QUEUED

    def send(self, number: int, line: bytes) -> None:
        """Sends a line, its end included, as soon as the worker reads. To one that has ended it is
        lost.
        """
        worker = self._workers[number]
        if worker.status is None:
            worker.unsent += line
            self._push(worker)

    def receive(self, seconds: float) -> List[Tuple[int, Optional[bytes]]]:
        """What came within this time: numbers with lines; None once a worker has ended."""
        came: List[Tuple[int, Optional[bytes]]] = []
        for descriptor, _ in self._poll.poll(max(0.0, seconds) * 1000):
            if descriptor in self._by_sink:
                self._push(self._workers[self._by_sink[descriptor]])
                continue
            number = self._by_source.get(descriptor, -1)
            if number < 0:
                continue  # The other pipe of a worker that has just ended.
            worker = self._workers[number]
            data = os.read(descriptor, READ)
            if not data:
                self._end(worker)
                came.append((number, None))
                continue
            *lines, worker.partial = (worker.partial + data).split(b"\n")
            came += [(number, line) for line in lines]
        return came

    def status(self, number: int) -> Optional[int]:
        """How a worker ended: its exit code, less than 0 for a signal; None while it runs."""
        return self._workers[number].status

    def _push(self, worker: Worker) -> None:
        try:
            while worker.unsent:
                del worker.unsent[: os.write(worker.sink, worker.unsent[:READ])]
        except BlockingIOError:
            self._poll.register(worker.sink, select.POLLOUT)
            return
        except BrokenPipeError:
            worker.unsent.clear()  # It has ended: its other pipe says so.
        try:
            self._poll.unregister(worker.sink)
        except KeyError:
            pass

    def _end(self, worker: Worker) -> None:
        for descriptor in (worker.source, worker.sink):
            try:
                self._poll.unregister(descriptor)
            except KeyError:
                pass
            os.close(descriptor)
        _, status = os.waitpid(worker.pid, 0)
        worker.status = os.waitstatus_to_exitcode(status)
        del self._by_source[worker.source], self._by_sink[worker.sink]


def _forked(main: Main) -> Worker:
    theirs, sink = os.pipe()
    source, back = os.pipe()
    pid = os.fork()
    if pid:
        os.close(theirs)
        os.close(back)
        os.set_blocking(sink, False)
        return Worker(pid, source, sink)
    code = 70
    try:
        # The parent ends its children itself; from a terminal the interrupt would come to all.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        gc.freeze()  # No finalizer of the parent's runs here.
        _close_but(theirs, back)
        os.set_blocking(theirs, False)
        main(theirs, back)
        code = 0
    except BrokenPipeError:
        pass  # The parent is gone.
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _close_but(*kept: int) -> None:
    first = 3
    for descriptor in sorted(kept):
        os.closerange(first, descriptor)
        first = descriptor + 1
    os.closerange(first, os.sysconf("SC_OPEN_MAX"))
