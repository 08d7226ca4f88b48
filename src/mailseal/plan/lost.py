"""What a wrap takes away from a service, because all its clients seem to come from the host itself:
carried into stunnel where stunnel can do it, else told with the file that stops counting.

Strategy: one list of sentences, from the starter, the daemon's row in `daemons.behind`, and what
else of the host goes by the client's address (fail2ban). Rules of hosts_access(5) are asked by
stunnel instead, by the service's old name, so that the files stay as they are.
"""

from __future__ import annotations

import re

from mailseal.configs import fail2ban
from mailseal.plan.base import Request
from mailseal.terminators.stunnel import Rules

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""What may stand as the name of a section of stunnel.conf and as a daemon in hosts_access(5)."""

_PORTS = {
    "pop2": ("pop2",),
    "pop3": ("pop3",),
    "imap": ("imap", "imap2", "imap4"),
    "managesieve": ("sieve", "managesieve"),
}
"""Names in services(5)."""


def rules(request: Request) -> Rules:
    """The rules of hosts_access(5) that stunnel asks in the service's place."""
    name = request.start.guarded
    return Rules(name) if _NAME.fullmatch(name) else Rules()


def carried(request: Request) -> list[str]:
    """What goes on counting, and what that asks of the administrator."""
    name = rules(request).name
    if not name:
        return []
    return [
        "The rules of hosts.allow and hosts.deny for %s go on counting: stunnel asks them, for "
        "TLS clients too. The proof looks from this host's own addresses and from where mailseal "
        "runs: it fails where they keep these out." % name
    ]


def words(request: Request) -> list[str]:
    """What is lost, one sentence each."""
    start = request.start
    found = [*start.lost, *request.behind.told]
    if start.guarded and not rules(request).name:
        found.append("the rules of hosts.allow and hosts.deny no longer see the client")
    return found + [_jail(each) for each in _jails(request)]


def _jail(jail: fail2ban.Jail) -> str:
    return (
        "fail2ban's jail %s (filter %s, on by %s, line %d) no longer learns the client's address "
        "from the service's log, and bans nobody: stunnel's log has the address, and not whether "
        "the password was right" % (jail.name, jail.filter, jail.path, jail.line)
    )


def _jails(request: Request) -> list[fail2ban.Jail]:
    """Those that are on and watch this service, by its port or by the daemon's name."""
    contents = {fact.path: fact.content for fact in request.facts.files if fact.content}
    files = [(path, contents[path]) for path in fail2ban.ordered(list(contents))]
    ports = {str(request.port), *_PORTS.get(request.protocol, ())}
    return [
        jail
        for jail in fail2ban.jails(files)
        if ports & {*jail.ports}
        or any(word in each for word in request.behind.words for each in (jail.name, jail.filter))
    ]
