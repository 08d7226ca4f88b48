"""The tables, and the way from each older form of them to the newest.

Strategy: `PRAGMA user_version` counts the migrations that a file has had; a migration is a tuple of
statements, and each file gets those it lacks in one transaction: it is wholly old or wholly new. A
published migration never changes; a new form is one more tuple. `application_id` tells our files
from those of other programs, which are left alone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from mailseal.store.errors import StoreError

APPLICATION = 0x4D53454C
"""`PRAGMA application_id` of our files: "MSEL"."""

MIGRATIONS: Sequence[Sequence[str]] = (
    (
        # `packed` is the address in 16 octets (IPv4 mapped as in RFC 4291, 2.5.5.2): networks are
        # ranges of it.
        """CREATE TABLE endpoint (
            id INTEGER PRIMARY KEY,
            site TEXT NOT NULL,
            address TEXT NOT NULL,
            port INTEGER NOT NULL,
            packed BLOB NOT NULL,
            name TEXT NOT NULL,
            UNIQUE (address, port, site)
        )""",
        "CREATE INDEX endpoint_packed ON endpoint (packed)",
        # `kind` is look, verdict or report. Of the same source nothing differed in `state` from
        # `first` to `last`; `record` is the newest, `digest` says whether it changed.
        """CREATE TABLE period (
            id INTEGER PRIMARY KEY,
            endpoint INTEGER NOT NULL REFERENCES endpoint,
            kind TEXT NOT NULL,
            source TEXT NOT NULL,
            state TEXT NOT NULL,
            first TEXT NOT NULL,
            last TEXT NOT NULL,
            seen INTEGER NOT NULL,
            clears INTEGER NOT NULL,
            digest TEXT NOT NULL,
            record TEXT NOT NULL
        )""",
        "CREATE INDEX period_newest ON period (endpoint, kind, source, last)",
        # A row for each time a finding appeared.
        """CREATE TABLE finding (
            row INTEGER PRIMARY KEY,
            id TEXT NOT NULL,
            endpoint INTEGER NOT NULL REFERENCES endpoint,
            rule TEXT NOT NULL,
            severity TEXT NOT NULL,
            protocol TEXT NOT NULL,
            exposed INTEGER NOT NULL,
            first TEXT NOT NULL,
            last TEXT NOT NULL,
            fixed TEXT,
            found_from TEXT NOT NULL,
            name TEXT NOT NULL,
            record TEXT NOT NULL
        )""",
        "CREATE INDEX finding_endpoint ON finding (endpoint, id, first)",
        "CREATE INDEX finding_id ON finding (id)",
    ),
    (
        # A row for each kind of login: `what` has those fields of Login that make the kind, `seen`
        # the others, `kind` is the hash of `what`. `endpoint` is NULL where no log told the
        # server's address, `packed` (of the client) where no address of the client is known.
        """CREATE TABLE login (
            id INTEGER PRIMARY KEY,
            kind BLOB NOT NULL UNIQUE,
            endpoint INTEGER REFERENCES endpoint,
            host TEXT NOT NULL,
            protocol TEXT NOT NULL,
            user TEXT,
            client TEXT NOT NULL,
            packed BLOB,
            meaning TEXT NOT NULL,
            accepted INTEGER NOT NULL,
            last TEXT NOT NULL,
            source TEXT NOT NULL,
            what TEXT NOT NULL,
            seen TEXT NOT NULL
        )""",
        "CREATE INDEX login_endpoint ON login (endpoint, meaning, last)",
        "CREATE INDEX login_last ON login (last)",
    ),
    (
        # What a host says of the software behind one of its endpoints, the newest word; it may be
        # of an endpoint that nobody has looked at, which has no row in `endpoint`.
        """CREATE TABLE installed (
            site TEXT NOT NULL,
            address TEXT NOT NULL,
            port INTEGER NOT NULL,
            packed BLOB NOT NULL,
            taken TEXT NOT NULL,
            record TEXT NOT NULL,
            PRIMARY KEY (address, port, site)
        )""",
        # A row for each time that somebody looked an endpoint over.
        """CREATE TABLE review (
            endpoint INTEGER NOT NULL REFERENCES endpoint,
            at TEXT NOT NULL,
            by TEXT NOT NULL
        )""",
        "CREATE INDEX review_newest ON review (endpoint, at)",
    ),
)


def migrate(connection: sqlite3.Connection, path: str, migrations: Sequence[Sequence[str]]) -> None:
    """Brings the file to the newest form. Raises StoreError for a file that is newer, or another
    program's; sqlite3.Error.
    """
    if _version(connection, path, len(migrations)) == len(migrations):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have done it while this one waited.
        for statements in migrations[_version(connection, path, len(migrations)) :]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _version(connection: sqlite3.Connection, path: str, newest: int) -> int:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION:
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables or version or application:
            raise StoreError(path, "it is another program's database: name another file (--store)")
    if not 0 <= version <= newest:
        words = f"written by a newer mailseal (form {version}, this one knows {newest}): update it"
        raise StoreError(path, words)
    return int(version)
