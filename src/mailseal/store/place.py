"""Where the store lies, and who may read it.

Strategy: the file is made here, readable for its owner alone, before SQLite opens it: its two
companions (-wal, -shm) take over its mode. What others could read is closed to them and said.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Mapping

from mailseal.store.errors import StoreError

COMPANIONS = ("-wal", "-shm")
_OTHERS = 0o077


def path_of(option: str | None, environment: Mapping[str, str]) -> str:
    """The file of `--store`, else of MAILSEAL_STORE, else mailseal/store.sqlite3 in the user's data
    folder (XDG Base Directory Specification 0.8: a relative XDG_DATA_HOME does not count).
    """
    named = option or environment.get("MAILSEAL_STORE")
    return os.path.abspath(named) if named else os.path.join(folder(environment), "store.sqlite3")


def folder(environment: Mapping[str, str]) -> str:
    """mailseal's own in the user's data folder. Raises StoreError where the user has none."""
    data = environment.get("XDG_DATA_HOME", "")
    if not os.path.isabs(data):
        home = environment.get("HOME") or os.path.expanduser("~")
        if not os.path.isabs(home):
            raise StoreError(
                "in the home folder", "this user has no home folder: name a file (--store)"
            )
        data = os.path.join(home, ".local", "share")
    return os.path.join(data, "mailseal")


KEPT_DAYS = 90
"""Logins are kept for so long after they were last seen, unless the environment says otherwise."""


def kept_days(environment: Mapping[str, str]) -> int:
    """Days of MAILSEAL_KEEP_LOGINS, else `KEPT_DAYS`. Raises ValueError for what is no number."""
    words = environment.get("MAILSEAL_KEEP_LOGINS", "")
    if not words:
        return KEPT_DAYS
    if not re.fullmatch(r"[0-9]{1,5}", words):
        raise ValueError("MAILSEAL_KEEP_LOGINS is %r: write a number of days, as 90" % words)
    return int(words)


def prepare(path: str, make: bool) -> tuple[str, ...]:
    """Makes the file and its folder where `make` is set, and closes what others could read; what
    was mended, for people. Raises StoreError.
    """
    try:
        if make:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        # By its name: to close a descriptor of the file would drop SQLite's locks on it (fcntl(2)).
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise StoreError(path, "there is none yet: `mailseal scan` makes it") from None
    except OSError as error:
        words = f"it cannot be opened: {error.strerror}; mend that, or name another (--store)"
        raise StoreError(path, words) from None
    if not stat.S_ISREG(mode):
        raise StoreError(path, "it is no plain file: name another (--store)")
    for companion in COMPANIONS:
        with contextlib.suppress(OSError):  # It comes and goes with other processes.
            if os.stat(path + companion).st_mode & _OTHERS:
                os.chmod(path + companion, 0o600)
    if not mode & _OTHERS:
        return ()
    try:
        os.chmod(path, 0o600)
    except OSError as error:
        words = f"others can read it, and it cannot be closed to them: {error.strerror}"
        raise StoreError(path, words) from None
    return (f"the store {path} could be read by others: closed to them (mode 0600)",)
