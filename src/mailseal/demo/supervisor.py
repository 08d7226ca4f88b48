"""The toy host's service manager: answers systemctl and its like, and really runs what units say.

Strategy: a unit means what its file on the toy host says, read by the same parser as a real one;
ExecStart's program is looked up in a table of the toy's programs, which gives the real command. Of
systemd it knows what the plans use: simple services, templates, sockets with `Accept=yes`, links in
`*.wants`, a transient timer. Programs do not outlive us (PR_SET_PDEATHSIG), whatever becomes of us.
Left out, and so not shown by the demo: restarts, dependencies, hardening other than user and
capabilities, what runs to its end (oneshot) and the timers that start it day by day.
"""

from __future__ import annotations

import contextlib
import json
import os
import posixpath
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import mailseal
from mailseal.configs import systemd
from mailseal.demo.signals import hold
from mailseal.demo.superserver import DIES_WITH_US
from mailseal.system.base import Completed

SECONDS = 10.0
DIRECTORIES = ("/etc/systemd/system", "/lib/systemd/system")

Options = Mapping[str, Mapping[str, Sequence[str]]]


def module(name: str, *words: str) -> tuple[str, ...]:
    """The command that runs one of the demo's modules as a process of its own."""
    return (sys.executable, "-P", "-m", "mailseal.demo." + name, *words)


def environment() -> dict[str, str]:
    """What such a process needs to find this very mailseal."""
    return {**os.environ, "PYTHONPATH": str(Path(mailseal.__file__).parent.parent)}


class Children:
    """Processes of ours, each known by its handle. `close` ends all of them."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[bytes]] = []

    def start(
        self, argv: Sequence[str], log: Path, prefix: Sequence[str] = (), say: bool = False
    ) -> subprocess.Popen[bytes]:
        """Starts a program. With `say` it is waited for until it says "ready"."""
        with log.open("ab") as errors, hold():
            process = subprocess.Popen(
                [*DIES_WITH_US, *prefix, *argv],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if say else errors,
                stderr=errors,
                env=environment(),
                cwd="/",
                start_new_session=True,  # a Ctrl-C is for us: we end them in order
            )
            self._running.append(process)
        if process.stdout is not None:
            with process.stdout as answers:
                ends = not answers.readline()
            # It closed its output without a word: its end is a moment away, and is to be seen.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(SECONDS if ends else 0)
        return process

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """Politely, then not."""
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._running.remove(process)

    def close(self) -> None:
        for process in list(reversed(self._running)):
            self.stop(process)


class Timer(threading.Thread):
    """Acts after `first` seconds, and again each time that `again` seconds have passed since."""

    def __init__(self, first: float, again: float, act: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._first, self._again, self._act = first, again, act
        self._stopped = threading.Event()

    def run(self) -> None:
        seconds = self._first
        while not self._stopped.wait(seconds):
            self._act()
            seconds = self._again

    def stop(self) -> None:
        """No more from now on. What is under way is waited for, unless it is what stops it."""
        self._stopped.set()
        if threading.current_thread() is not self:
            self.join(SECONDS)


@dataclass(frozen=True)
class Backstage:
    """What the toy host's units become in this world. `ids` gives the numbers
    of a user and a group; `programs` has a function from arguments to the real command for
    each program; `prefix` stands in front of what runs on the host; `scratch` is for logs.
    """

    root: Path
    scratch: Path
    prefix: tuple[str, ...]
    ids: Callable[[str, str], tuple[int, int]]
    programs: Mapping[str, Callable[[Sequence[str]], Sequence[str]]]
    separate_users: bool

    def real(self, path: str) -> Path:
        """Where a path of the toy host really is."""
        return self.root / path.lstrip("/")


class Supervisor:
    """Answers argument vectors as a host with systemd does."""

    def __init__(self, stage: Backstage, recover: Callable[[str], None]) -> None:
        self._stage = stage
        self._recover = recover
        self._children = Children()
        self._units: dict[str, subprocess.Popen[bytes]] = {}
        self._timers: dict[str, Timer] = {}

    def close(self) -> None:
        """Ends everything that was started."""
        for timer in list(self._timers.values()):
            timer.stop()
        self._children.close()

    def processes(self) -> Iterator[tuple[int, str, str]]:
        """Process, unit and program of every running unit."""
        for unit, process in list(self._units.items()):
            if process.poll() is None:
                command = _command(self._definition(unit) or {}, unit)
                # The listening socket of a socket unit is held by the manager itself.
                yield process.pid, unit, command.path or "/lib/systemd/systemd"

    # -- the programs it answers for -------------------------------------------------------------

    def systemctl(self, argv: Sequence[str]) -> Completed:
        word = argv[1] if len(argv) > 1 else ""
        unit = argv[-1]
        if word == "--version":
            return _answer(argv, "toy host of mailseal demo, no systemd 0\n")
        if word == "show":
            wanted = argv[2].partition("=")[2].split(",")
            properties = self._properties(unit)
            lines = ["%s=%s\n" % (name, properties.get(name, "")) for name in wanted]
            return _answer(argv, "".join(lines))
        if word == "daemon-reload":
            return _answer(argv)
        acts = {"start": self._start, "stop": self._stop, "restart": self._restart}
        act = {**acts, "reload": self._reload}.get(word)
        return act(argv, unit) if act else _answer(argv, "", "unknown command", 1)

    def systemd_run(self, argv: Sequence[str]) -> Completed:
        """A transient timer whose program is the executor's `recover`: it is called in here."""
        options = dict(word[2:].partition("=")[::2] for word in argv if word.startswith("--"))
        directory = argv[argv.index("recover") + 1]
        first, again = (float(options[name]) for name in ("on-active", "on-unit-inactive"))
        timer = Timer(first, again, lambda: self._recover(directory))
        timer.start()
        self._timers[options["unit"] + ".timer"] = timer
        return _answer(argv)

    def journalctl(self, argv: Sequence[str]) -> Completed:
        """The last lines of a unit's log; the kernel has none here."""
        if "-u" not in argv:
            return _answer(argv)
        log = self._log(argv[argv.index("-u") + 1])
        lines = log.read_text("utf-8", "replace").splitlines() if log.exists() else []
        return _answer(argv, "".join(line + "\n" for line in lines[-5:]))

    # -- units -----------------------------------------------------------------------------------

    def _start(self, argv: Sequence[str], unit: str) -> Completed:
        if self._missing(unit):
            return _answer(argv, "", f"Unit {unit} not found.", 5)
        if self._active(unit) == "active":
            return _answer(argv)
        options = self._definition(unit) or {}
        if unit.endswith(".timer") or _last(options.get("Service", {}), "Type", "") == "oneshot":
            return _answer(argv)
        if unit.endswith(".socket"):
            command, ready = self._listening(unit, options["Socket"]), True
        else:
            command, ready = self._running(unit, options), _command(options, unit).path in _SAY_SO
        process = self._children.start(command, self._log(unit), self._stage.prefix, say=ready)
        self._units[unit] = process
        if ready and process.poll() is not None:
            return _answer(argv, "", f"Job for {unit} failed.", 1)
        return _answer(argv)

    def _stop(self, argv: Sequence[str], unit: str) -> Completed:
        if unit.endswith(".timer"):
            if unit in self._timers:
                self._timers.pop(unit).stop()
            return _answer(argv)
        if self._missing(unit):
            return _answer(argv, "", f"Unit {unit} not loaded.", 5)
        if unit in self._units:
            self._children.stop(self._units.pop(unit))
        return _answer(argv)

    def _restart(self, argv: Sequence[str], unit: str) -> Completed:
        self._stop(argv, unit)
        return self._start(argv, unit)

    def _reload(self, argv: Sequence[str], unit: str) -> Completed:
        if self._active(unit) != "active":
            return _answer(argv, "", f"Unit {unit} is not active, cannot reload.", 1)
        self._units[unit].send_signal(signal.SIGHUP)
        return _answer(argv)

    def _running(self, unit: str, options: Options) -> tuple[str, ...]:
        """The real command of a service, as the user its unit names."""
        command = _command(options, unit)
        argv = tuple(self._stage.programs[command.path](command.argv))
        service = options["Service"]
        user = _last(service, "User", "root")
        if not self._stage.separate_users or user == "root":
            return argv
        words = ["setpriv", "--clear-groups", "--no-new-privs", "--pdeathsig", "KILL"]
        uid, gid = self._stage.ids(user, _last(service, "Group", user))
        words += ["--reuid=%d" % uid, "--regid=%d" % gid]
        kept = _last(service, "AmbientCapabilities", "").lower().replace("cap_", ",+").split()
        for kind in ("--inh-caps", "--ambient-caps", "--bounding-set"):
            words.append("%s=-all%s" % (kind, "".join(kept)))
        return (*words, "--", *argv)

    def _listening(self, unit: str, options: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
        """The command that is the socket unit: it starts the instance's ExecStart."""
        service = unit[: -len(".socket")] + "@.service"
        command = self._running(service, self._definition(service) or {})
        owner = [_last(options, key, "root") for key in ("SocketUser", "SocketGroup")]
        uid, gid = self._stage.ids(*owner) if self._stage.separate_users else (-1, -1)
        settings = {
            "unix": str(self._stage.real(_last(options, "ListenStream", ""))),
            "mode": int(_last(options, "SocketMode", "0666"), 8),
            "uid": uid,
            "gid": gid,
            "argv": command,
        }
        return module("superserver", json.dumps(settings))

    # -- what is known of a unit -----------------------------------------------------------------

    def _file(self, unit: str) -> str:
        """The unit's file on the toy host, of a template where it is an instance; else empty."""
        name, at, rest = unit.partition("@")
        template = name + "@" + rest[rest.rfind(".") :] if at else unit
        for directory in DIRECTORIES:
            for candidate in dict.fromkeys((unit, template)):
                path = posixpath.join(directory, candidate)
                if self._stage.real(path).is_file():
                    return path
        return ""

    def _definition(self, unit: str) -> Options | None:
        path = self._file(unit)
        if not path:
            return None
        return systemd.effective([systemd.parse(self._stage.real(path).read_bytes())])

    def _missing(self, unit: str) -> bool:
        return not self._file(unit) and unit not in self._units

    def _active(self, unit: str) -> str:
        if unit not in self._units:
            return "inactive"
        return "active" if self._units[unit].poll() is None else "failed"

    def _properties(self, unit: str) -> Mapping[str, str]:
        if unit in self._timers:
            return {"LoadState": "loaded", "ActiveState": "active"}
        path = self._file(unit)
        wants = self._stage.real(DIRECTORIES[0]).glob("*.wants/" + unit)
        return {
            "LoadState": "loaded" if path else "not-found",
            "ActiveState": self._active(unit),
            "UnitFileState": ("enabled" if any(wants) else "disabled") if path else "",
            "FragmentPath": path,
        }

    def _log(self, unit: str) -> Path:
        return self._stage.scratch / (unit + ".log")


_SAY_SO = ("/usr/sbin/inetd",)
"""Programs whose start is their readiness (they fork when they listen)."""


def _command(options: Options, unit: str) -> systemd.Command:
    """The command of a service; the unit's instance stands for %i. Of a socket: nothing."""
    line = _last(options.get("Service", {}), "ExecStart", "")
    instance = unit.partition("@")[2].rpartition(".")[0]
    found = systemd.split_exec(line.replace("%i", instance))
    return found[0] if found else systemd.Command("", "", ())


def _last(options: Mapping[str, Sequence[str]], key: str, default: str) -> str:
    values = options.get(key, ())
    return values[-1] if values else default


def _answer(argv: Sequence[str], out: str = "", err: str = "", code: int = 0) -> Completed:
    return Completed(tuple(argv), code, out.encode(), err.encode())


@contextlib.contextmanager
def supervising(stage: Backstage, recover: Callable[[str], None]) -> Iterator[Supervisor]:
    """A supervisor; everything that it started ends with the `with`."""
    supervisor = Supervisor(stage, recover)
    try:
        yield supervisor
    finally:
        supervisor.close()
