"""Why a store cannot be used, in words that say who must act.

Strategy: SQLite's result codes (https://www.sqlite.org/rescode.html) are a table here, by their
primary code: the words for an operator do not depend on the words of the library.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

_MOVE = "move it away (mailseal then begins a new one), or put back a copy"
_HELD = "another program has held it for too long: wait until that ends, then try again"
_WORDS = {
    sqlite3.SQLITE_PERM: "access to it is not permitted: run as its owner, or use --store",
    sqlite3.SQLITE_BUSY: _HELD,
    sqlite3.SQLITE_LOCKED: _HELD,
    sqlite3.SQLITE_NOMEM: "there is not enough memory to use it",
    sqlite3.SQLITE_READONLY: "it cannot be written: make file and folder writable for this user, "
    "or name a copy elsewhere (--store)",
    sqlite3.SQLITE_IOERR: "the disk does not read or write it: look at the disk and its limits",
    sqlite3.SQLITE_CORRUPT: f"it is damaged: {_MOVE}",
    sqlite3.SQLITE_FULL: "the disk is full: make room, or name another place (--store)",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: its folder must be writable for this user, "
    "or name a copy elsewhere (--store)",
    sqlite3.SQLITE_NOTADB: f"it is no store of mailseal, or damaged: {_MOVE}",
    sqlite3.SQLITE_TOOBIG: "a record is too large for it",
}


class StoreError(Exception):
    """The store cannot be used. `str()` names it, says why and what to do."""

    def __init__(self, path: str, words: str) -> None:
        super().__init__(f"the store {path}: {words}")


@contextlib.contextmanager
def told(path: str) -> Iterator[None]:
    """SQLite's errors within become StoreError."""
    try:
        yield
    except (sqlite3.ProgrammingError, sqlite3.InterfaceError):
        raise  # Wrong use of the library is a fault of ours.
    except sqlite3.Error as error:
        # What Python itself finds wrong in a row (text that is no UTF-8) has no code.
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        words = _WORDS.get(code, f"it does not have the shape it should have: {_MOVE}")
        raise StoreError(path, f"{words} ({error})") from None
    except UnicodeDecodeError:
        # The library's own message quotes a damaged page, and is no text then.
        raise StoreError(path, _WORDS[sqlite3.SQLITE_CORRUPT]) from None


@contextlib.contextmanager
def read(path: str) -> Iterator[None]:
    """As `told`; and what was read is not what was written becomes StoreError too. A damaged page
    can hold anything, so anything that decoding complains of counts.
    """
    try:
        with told(path):
            yield
    except (ValueError, TypeError, OverflowError, KeyError, AttributeError) as error:
        raise StoreError(path, f"a row is damaged: {_MOVE} ({error})") from error
