"""Who would be cut off: the logins that were seen at a service, as first lines of its plan.

Strategy: whoever logs in without TLS stops working, whether the mechanism hides the password or
not, so the channel counts here and not what a login means; where a service is turned off,
everybody stops. Names that were only ever rejected are guesses or typing errors: they are counted.
That nobody looked is said as plainly as who was seen, and never worded as "nobody logs in".
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from mailseal.model.excepted import within
from mailseal.model.login import Login, LoginOutcome
from mailseal.model.look import Channel

USERS = 50
"""Users that are named, those seen last first."""
CLIENTS = 3
"""Clients that are named of one user."""
SOFTWARE = 2
"""Programs that are named of one user."""


@dataclass(frozen=True)
class Seen:
    """Logins at the service since a moment. `ever`: logins there were recorded, at whatever time.
    `unread` is why that could not be looked up (empty: it could). Nobody may be cut off who was
    seen since `quiet` (empty: whoever is, is named).
    """

    since: str
    logins: tuple[Login, ...] = ()
    ever: bool = False
    unread: str = ""
    quiet: str = ""

    @property
    def unused(self) -> bool:
        """Somebody looked, and nobody came."""
        return self.ever and not self.logins and not self.unread


NETWORKS = 8
"""Networks that are suggested for an exception."""


def lines(
    seen: Seen, everybody: bool = False, networks: Sequence[str] = (), suggest: bool = False
) -> tuple[str, ...]:
    """For people, before anything is changed; `everybody`: those inside TLS are cut off too. Who
    comes from `networks` is excepted. `suggest`: an exception can be made.
    """
    day = seen.since[:10]
    if seen.unread:
        return ("Who logs in here could not be looked up: %s" % seen.unread,)
    if not seen.ever:
        return ("Nobody looked at who logs in here: `mailseal wire` and `mailseal logs` tell.",)
    if seen.unused:
        return ("Nobody was seen to log in here since %s." % day,)
    excepted, others = _parted(seen.logins, networks)
    kept = _kept(excepted)
    named, tried, untold = _cut_off(others, everybody)
    how = "" if everybody else " without TLS"
    if kept and not (named or tried or untold):
        return ("Nobody else was seen to log in%s here since %s." % (how, day), *kept)
    if not (named or tried or untold):
        count = _number(sum(login.count for login in seen.logins), "login")
        return ("Nobody was seen to log in%s here since %s, of %s in all." % (how, day, count),)
    told = []
    if named:
        told.append("%s logged in%s here since %s:" % (_number(len(named), "user"), how, day))
        told += ["  %s: %s" % (user, _words(logins)) for user, logins in _first(named)]
        if len(named) > USERS:
            told.append("  and %d more: mailseal findings --logins" % (len(named) - USERS))
    if untold:
        names = [user for user, _ in _first(untold)]
        if len(untold) > USERS:
            names.append("and %d more" % (len(untold) - USERS))
        words = "Of %s since %s it could not be told whether they use TLS: %s."
        told.append(words % (_number(len(untold), "user"), day, ", ".join(names)))
    if tried:
        words = "%s tried%s since %s and never let in."
        count = "1 name was" if len(tried) == 1 else "%d names were" % len(tried)
        told.append(words % (count, how, day))
    told += kept
    if suggest:
        told += _suggestion([each for logins in named.values() for each in logins])
    return tuple(told)


def _parted(
    logins: Sequence[Login], networks: Sequence[str]
) -> tuple[tuple[Login, ...], tuple[Login, ...]]:
    """Those from the networks, and the others."""
    parts: tuple[list[Login], list[Login]] = ([], [])
    for each in logins:
        parts[0 if within(each.client, networks) else 1].append(each)
    return tuple(parts[0]), tuple(parts[1])


def _kept(excepted: Sequence[Login]) -> tuple[str, ...]:
    """Who is still served in cleartext, from the excepted networks."""
    named, _, untold = _cut_off(excepted, False)
    users = {**named, **untold}
    if not users:
        return ()
    words = "Still served without TLS, from excepted networks: %s"
    return (
        words % _number(len(users), "user"),
        *("  %s: %s" % (user, _words(logins)) for user, logins in _first(users)),
        *(("  and %d more" % (len(users) - USERS),) if len(users) > USERS else ()),
    )


def _suggestion(logins: Sequence[Login]) -> tuple[str, ...]:
    """The networks of those who would be cut off, as options; what is redacted is no address."""
    found = list(dict.fromkeys(filter(None, (_network(each.client) for each in logins))))
    if not found:
        return ()
    options = " ".join("--except " + each for each in found[:NETWORKS])
    more = " (and %d networks more)" % (len(found) - NETWORKS) if len(found) > NETWORKS else ""
    words = "To let them stay for a while: %s --until DAY --owner NAME --reason TEXT%s"
    return (words % (options, more),)


def _network(client: str) -> str:
    """The /24 or /64 of a client; empty for what is no address."""
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return ""
    length = 24 if address.version == 4 else 64
    return str(ipaddress.ip_network("%s/%d" % (address, length), strict=False))


def noise(seen: Seen, everybody: bool = False, networks: Sequence[str] = ()) -> str:
    """Why it cannot be said that nobody whom the plan cuts off came since `seen.quiet`; empty where
    it can, or nobody asks. A login of any kind shows that somebody looked. Who comes from
    `networks` is not cut off.
    """
    if not seen.quiet:
        return ""
    recent = [login for login in seen.logins if login.last >= seen.quiet]
    day = seen.quiet[:10]
    if seen.unread:
        return "who logs in here could not be looked up: %s" % seen.unread
    if not recent:
        return (
            "nothing is known of logins here since %s, not even of one inside TLS: look first "
            "(`mailseal logs`, `mailseal wire`)" % day
        )
    named, _, untold = _cut_off(_parted(recent, networks)[1], everybody)
    users = [*named, *untold]
    if not users:
        return ""
    words = "%s logged in%s here since %s, or may have: %s%s; speak to them, or plan without it"
    how = "" if everybody else " without TLS"
    more = " and %d more" % (len(users) - USERS) if len(users) > USERS else ""
    return words % (_number(len(users), "user"), how, day, ", ".join(users[:USERS]), more)


_Users = dict[str, list[Login]]


def _first(users: _Users) -> list[tuple[str, list[Login]]]:
    return list(users.items())[:USERS]


def _cut_off(logins: Sequence[Login], everybody: bool) -> tuple[_Users, _Users, _Users]:
    """By user, newest first: who got in (or may have), who was only ever rejected, and of whom the
    channel is not known. Whom policy refused is cut off already.
    """
    named: _Users = defaultdict(list)
    tried: _Users = defaultdict(list)
    untold: _Users = defaultdict(list)
    for login in sorted(logins, key=lambda each: each.last, reverse=True):
        hit = everybody or login.channel is Channel.CLEAR
        if login.outcome is LoginOutcome.REFUSED or not (hit or login.channel is Channel.UNKNOWN):
            continue
        user = login.user or "a user whose name was not seen"
        if login.outcome is LoginOutcome.REJECTED:
            tried[user].append(login)
        else:
            (named if hit else untold)[user].append(login)
    tried = {user: those for user, those in tried.items() if user not in {**named, **untold}}
    return named, tried, {user: those for user, those in untold.items() if user not in named}


def _words(logins: Sequence[Login]) -> str:
    """One user's logins, newest first."""
    count = _number(sum(login.count for login in logins), "time")
    clients = list(dict.fromkeys(login.client for login in logins if login.client))
    whence = " from " + ", ".join(clients[:CLIENTS]) if clients else ""
    if len(clients) > CLIENTS:
        whence += " and %d more" % (len(clients) - CLIENTS)
    software = list(dict.fromkeys(each for login in logins for each in login.software))
    with_ = " (%s)" % ", ".join(software[:SOFTWARE]) if software else ""
    return "%s%s, last on %s%s" % (count, whence, logins[0].last[:10], with_)


def _number(count: int, what: str) -> str:
    return "%d %s" % (count, what if count == 1 else what + "s")
