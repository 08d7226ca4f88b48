"""Which init script started a daemon, on a host without systemd.

Strategy: nobody keeps a record of it there, so it is read from what the scripts say: nearly all put
the program that they start into a variable (DAEMON= of Debian's skeleton, command= of OpenRC's,
exec= and prog= of Red Hat's). The process that holds the socket, or one that it descends from, must
run that program. A daemon whose script starts it by way of another program (Postfix) is known by
the name in its record. What two scripts name is nobody's.
"""

from __future__ import annotations

import os.path
import posixpath
import re
from typing import Dict, FrozenSet, Iterator, List, Set, Tuple

from mailseal import daemons
from mailseal.model.host import Listener
from mailseal.system.base import System
from mailseal.system.reader import Reader
from mailseal.system.units import SCRIPTS

MAX_ANCESTORS = 8

_PROGRAM = re.compile(
    rb"^[ \t]*(?:export[ \t]+|:[ \t]+\$\{)?[a-z_]*(?:daemon|exec|prog|command|bin)[a-z_]*:?="
    rb"[\"']?(/[^\s\"';}]+)",
    re.IGNORECASE | re.MULTILINE,
)
_INTERPRETER = re.compile(r"(?:python|perl|ruby|sh|bash|dash)[0-9.]*")
_OURS = re.compile(r"/etc/mailseal/([A-Za-z0-9-]+)\.conf")
"""What our script hands to stunnel."""
_MERGED = re.compile(r"^/usr(?=/(?:s?bin|lib)/)")


class Scripts:
    """The init scripts of a host, and the processes that they started."""

    def __init__(self, system: System, reader: Reader, names: Tuple[str, ...]) -> None:
        self._system = system
        self._reader = reader
        self._names = names
        self._starts: Dict[str, Set[str]] = {}
        for name in names:
            for found in _PROGRAM.findall(reader.read(SCRIPTS + name) or b""):
                path = found.decode("utf-8", "replace")
                for each in {path, *self._behind(path)}:
                    self._starts.setdefault(_MERGED.sub("", each), set()).add(name)

    def unit(self, listener: Listener) -> str:
        """The script behind a socket, by the name that systemd would give to its unit; empty where
        that cannot be told.
        """
        words = self._proc(listener.pid, "cmdline").split(b"\0")
        ours = _OURS.fullmatch(_text(words[1])) if len(words) > 1 else None
        if ours and posixpath.basename(listener.executable).startswith("stunnel"):
            return "mailseal@%s.service" % ours[1] if "mailseal" in self._names else ""
        daemon = daemons.of(listener.executable)
        if daemon is not None and daemon.native is not None:
            usual = [
                each for each in daemon.native.units if each[: -len(".service")] in self._names
            ]
            if len(usual) == 1:
                return usual[0]
        for programs in self._chain(listener):
            found = {name for each in programs for name in self._starts.get(each, ())}
            if found:
                return "%s.service" % found.pop() if len(found) == 1 else ""
        return ""

    def _chain(self, listener: Listener) -> Iterator[FrozenSet[str]]:
        """What the process runs, what its parent does, and so on."""
        pid, executable = listener.pid, listener.executable
        for _ in range(MAX_ANCESTORS):
            if pid <= 1:
                return
            words = [_text(word) for word in self._proc(pid, "cmdline").split(b"\0")[:2]]
            if _INTERPRETER.fullmatch(os.path.basename(executable)):
                executable = ""
            else:
                del words[1:]
            yield frozenset(_MERGED.sub("", each) for each in (executable, *words) if each)
            # proc(5): "pid (name) state ppid", and the name may hold anything.
            after = self._proc(pid, "stat").rpartition(b")")[2].split()
            pid = int(after[1]) if len(after) > 1 and after[1].isdigit() else 0
            executable = self._executable(pid)

    def _proc(self, pid: int, name: str) -> bytes:
        try:
            return self._system.read("/proc/%d/%s" % (pid, name))
        except OSError:
            return b""  # it ended, or is none of ours to see

    def _executable(self, pid: int) -> str:
        try:
            found = self._system.stat("/proc/%d/exe" % pid)
        except OSError:
            return ""
        return found.target if found else ""

    def _behind(self, path: str) -> List[str]:
        """Where a link leads to."""
        try:
            found = self._system.stat(path)
        except OSError:
            return []
        if found is None or found.kind != "link":
            return []
        return [os.path.normpath(os.path.join(os.path.dirname(path), found.target))]


def _text(word: bytes) -> str:
    return word.decode("utf-8", "replace")
