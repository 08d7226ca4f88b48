"""What becomes of a daemon behind a wrap, where every client seems to come from the host itself.

Strategy: a table by daemon's name, each row a function of the facts. It says why the daemon must
not stand there, what is to be told, and how it serves one session on its standard input: a daemon
that can do that needs no listening socket behind a terminator, and keeps the host's network. What
is read from files is read in the facts; `PATHS` are what `facts` takes for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Callable, Mapping, Optional, Tuple

from mailseal import daemons
from mailseal.configs import assignments
from mailseal.daemons.base import content
from mailseal.model.host import HostFacts, Server

_COURIER: Mapping[str, Tuple[str, ...]] = {
    "pop3": ("/etc/courier/pop3d", "/usr/lib/courier/etc/pop3d"),
    "imap": ("/etc/courier/imapd", "/usr/lib/courier/etc/imapd"),
}

PATHS: Mapping[str, Tuple[str, ...]] = {
    "courier": tuple(path for each in _COURIER.values() for path in each),
}
"""Files that count here, by daemon's name."""


@dataclass(frozen=True)
class Behind:
    """`refused` is why a wrap must not be (empty: it may), `enforce_refused` the same of stage
    enforce alone. `told` are what is lost. `session` serves one session on standard input, in place
    of a daemon that listens itself; `words` are the log's and the tools' names for the daemon.
    """

    refused: str = ""
    enforce_refused: str = ""
    told: Tuple[str, ...] = ()
    session: Optional[Server] = None
    words: Tuple[str, ...] = ()


def behind(facts: HostFacts, executable: str, protocol: str) -> Behind:
    """What becomes of the daemon whose program this is."""
    daemon = daemons.of(executable)
    row = _ROWS.get(daemon.name) if daemon else None
    return row(facts, executable, protocol) if row else Behind()


def _dovecot(facts: HostFacts, executable: str, protocol: str) -> Behind:
    return Behind(
        enforce_refused=(
            "Dovecot takes a client of its own host for safe, whatever its settings say, and behind"
            " stunnel every client is one. It can enforce TLS itself: --strategy native"
        ),
        told=(
            "Dovecot takes every client of stunnel's for a local one: disable_plaintext_auth, "
            "auth_allow_cleartext and ssl = required do not count for them, and "
            "mail_max_userip_connections counts them as one address",
        ),
        words=("dovecot",),
    )


def _cyrus(facts: HostFacts, executable: str, protocol: str) -> Behind:
    return Behind(
        enforce_refused=(
            "Cyrus' master serves all its protocols as one unit, which would go behind stunnel as "
            "a whole. It can refuse cleartext logins itself: --strategy native"
        ),
        told=(
            "Cyrus sees no TLS behind stunnel: with allowplaintext: 0 it refuses the logins that "
            "come out of it",
        ),
        words=("cyrus",),
    )


def _courier(facts: HostFacts, executable: str, protocol: str) -> Behind:
    """couriertcpd(8): -maxperip counts the connections of one address, -maxprocs those of all."""
    paths = _COURIER.get(protocol, ())
    path = next((each for each in paths if facts.file(each)), "")
    if not path:
        where = " or ".join(paths) or "its file for %s" % protocol
        return Behind(
            refused="couriertcpd limits the connections of one address, and behind stunnel all "
            "have one; its limit could not be read (%s)" % where,
            words=("courier",),
        )
    document = assignments.parse(content(facts, path) or b"")
    # What couriertcpd(8) takes where nothing is said.
    one, everybody = _number(document, "MAXPERIP", 4), _number(document, "MAXDAEMONS", 40)
    if one < everybody:
        return Behind(
            refused="couriertcpd takes %d connections of one address (MAXPERIP in %s), and behind "
            "stunnel the whole site has one: set MAXPERIP=%d as MAXDAEMONS is, restart it and plan "
            "again. Better, since Courier can enforce TLS itself: --strategy native"
            % (one, path, everybody),
            words=("courier",),
        )
    return Behind(
        told=(
            "couriertcpd's limit for one address (MAXPERIP=%d in %s): it counts the whole site as "
            "one" % (one, path),
        ),
        words=("courier",),
    )


def _number(document: assignments.Document, name: str, usual: int) -> int:
    value = document.value(name) or ""
    return int(value) if re.fullmatch(r"[0-9]{1,9}", value) else usual


def _popa3d(facts: HostFacts, executable: str, protocol: str) -> Behind:
    """popa3d(8): without -D it serves one session on standard input, and does not count those of
    one address (-D takes ten, MAX_SESSIONS_PER_SOURCE in params.h).
    """
    return Behind(session=Server(executable, ("popa3d",), "root", ""), words=("popa3d",))


def _words(*words: str) -> Callable[[HostFacts, str, str], Behind]:
    return lambda facts, executable, protocol: Behind(words=words)


_ROWS: Mapping[str, Callable[[HostFacts, str, str], Behind]] = {
    "dovecot": _dovecot,
    "cyrus": _cyrus,
    "courier": _courier,
    "popa3d": _popa3d,
    "uw-imap": _words("uwimap", "ipop3d", "ipop2d", "imapd"),
    "qpopper": _words("qpopper"),
}
