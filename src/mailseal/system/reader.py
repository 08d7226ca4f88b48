"""Reading a machine for an answer that may be partial: whatever cannot be read is told, not raised.

Strategy: each file, directory and program is asked once and remembered; files are bounded, and
links are followed by hand, because `System.read` follows none. The reasons stand in `unread`.
"""

from __future__ import annotations

import fnmatch
import os.path
from typing import TYPE_CHECKING, Dict, Mapping, Optional, Sequence, Tuple

if TYPE_CHECKING:  # A scan reads no machine, and should not wait for what does.
    from mailseal.system.base import System

MAX_FILE = 1024 * 1024
MAX_ENTRIES = 1000
MAX_LINKS = 8
SECONDS = 10.0

NOT_ROOT = "permission denied; run as root"


class Reader:
    """`system` read-only. `unread` is path or program to reason."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.unread: Dict[str, str] = {}
        self._files: Dict[str, Optional[bytes]] = {}
        self._services: Optional[Mapping[str, int]] = None

    def read(self, path: str) -> Optional[bytes]:
        """A file's bytes; None where there is none, or it cannot be read (then told)."""
        if path not in self._files:
            self._files[path] = self._read(path)
        return self._files[path]

    def _read(self, path: str) -> Optional[bytes]:
        place = path
        try:
            for _ in range(MAX_LINKS):
                found = self.system.stat(place)
                if not found or found.kind == "directory":
                    return None
                if found.kind != "link":
                    break
                place = os.path.normpath(os.path.join(os.path.dirname(place), found.target))
            data = self.system.read(place)
        except OSError as error:
            self.unread[path] = reason(error)
            return None
        if len(data) > MAX_FILE:
            self.unread[path] = "only the first %d bytes" % MAX_FILE
        return data[:MAX_FILE]

    def matching(self, pattern: str) -> Tuple[str, ...]:
        """The paths that fit a pattern whose last component alone has wildcards, sorted."""
        directory, name = os.path.split(pattern)
        try:
            names = self.system.listdir(directory)
        except OSError as error:
            self.unread[directory] = reason(error)
            return ()
        found = [os.path.join(directory, each) for each in names if fnmatch.fnmatch(each, name)]
        if len(found) > MAX_ENTRIES:
            self.unread[pattern] = "only the first %d of %d" % (MAX_ENTRIES, len(found))
        return tuple(found[:MAX_ENTRIES])

    def ask(self, *argv: str, partial: bool = False) -> str:
        """What a program says on standard output; empty where it fails (then told) or is missing.
        `partial`: it may fail for some of its arguments and answer for the others.
        """
        try:
            done = self.system.run(argv, timeout=SECONDS)
        except OSError as error:
            self.unread[argv[0]] = reason(error)
            return ""
        if not done.ok and not partial:
            if done.code != 127:
                self.unread[argv[0]] = done.words()
            return ""
        return done.out.decode("utf-8", "replace")

    def port(self, word: str) -> Optional[int]:
        """The number that a configuration means: digits, or a name of /etc/services for TCP."""
        if word.isascii() and word.isdigit() and len(word) < 6:
            return int(word) if 0 < int(word) < 65536 else None
        if self._services is None:
            from mailseal.configs.inetd import parse_services

            self._services = parse_services(self.read("/etc/services") or b"")
        return self._services.get(word)


def reason(error: OSError) -> str:
    """Why something could not be read, in words for the operator."""
    if isinstance(error, PermissionError):
        return NOT_ROOT if error.errno else str(error)
    return error.strerror or str(error)


def arguments(argv: Sequence[str], option: str) -> Tuple[str, ...]:
    """The values of an option with a letter of its own: `-c VALUE` or `-cVALUE`."""
    found = []
    for at, word in enumerate(argv):
        if word == option and at + 1 < len(argv):
            found.append(argv[at + 1])
        elif word.startswith(option) and len(word) > len(option):
            found.append(word[len(option) :])
    return tuple(found)
