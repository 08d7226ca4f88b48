"""Exceptions from enforcement as the operator words them: networks, the last day, an owner and a
reason.

Strategy: each network has its own three words, or all share one. What would leave the service open
to everybody, for ever or for nobody's account is refused.
"""

from __future__ import annotations

import datetime
import ipaddress
import time
from collections.abc import Sequence

from mailseal.model.excepted import Excepted
from mailseal.model.moment import Clock
from mailseal.workflow import BadInput

MOST = 50
"""Networks of one plan."""
YEARS = 10
WIDEST = {4: 8, 6: 16}
"""Prefix lengths by IP version: a wider network names nobody."""

_ALL = ("--until", "--owner", "--reason")


def excepted(
    networks: Sequence[str],
    until: Sequence[str],
    owner: Sequence[str],
    reason: Sequence[str],
    now: Clock = time.time,
) -> tuple[Excepted, ...]:
    """The exceptions: `until`, `owner` and `reason` once for all networks, or once for each in
    their order. Raises BadInput.
    """
    given = dict(zip(_ALL, (until, owner, reason), strict=True))
    if not networks:
        loose = next((option for option, values in given.items() if values), "")
        if loose:
            raise BadInput(f"{loose} is about an exception: name its network with --except")
        return ()
    if len(networks) > MOST:
        raise BadInput(f"{len(networks)} exceptions are too many for one plan: {MOST} at most")
    missing = [option for option, values in given.items() if not values]
    if missing:
        raise BadInput(
            f"--except needs {', '.join(missing)} too: when it ends, and for whom and why"
        )
    columns = []
    for option, values in given.items():
        if len(values) not in (1, len(networks)):
            words = "give %s once, or once for each --except (%d), not %d times"
            raise BadInput(words % (option, len(networks), len(values)))
        columns.append(list(values) * (len(networks) if len(values) == 1 else 1))
    # The host's own clock may be some hours apart: yesterday here may be today there.
    today = datetime.datetime.fromtimestamp(now(), datetime.UTC).date()
    rows = zip(networks, *columns, strict=True)
    found = [_one(_network(row[0]), row[1], row[2], row[3], today) for row in rows]
    _apart([ipaddress.ip_network(each.network) for each in found])
    return tuple(found)


_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _network(words: str) -> _Network:
    try:
        network = ipaddress.ip_network(words, strict=False)
    except ValueError:
        raise BadInput(
            f"--except {words}: not a network like 10.1.2.0/24 or 2001:db8::/32"
        ) from None
    whole = ipaddress.ip_interface(words).ip
    if whole != network.network_address:
        raise BadInput(
            f"--except {words}: that address is inside {network}; write that, or {whole}"
        )
    if network.prefixlen < WIDEST[network.version]:
        raise BadInput(
            f"--except {words}: too wide to be an exception; /{WIDEST[network.version]} or narrower"
        )
    if getattr(network.network_address, "ipv4_mapped", None) is not None:
        raise BadInput(f"--except {words}: write IPv4 networks like 10.1.2.0/24")
    return network


def _one(network: _Network, until: str, owner: str, reason: str, today: datetime.date) -> Excepted:
    try:
        day = datetime.date.fromisoformat(until)
    except ValueError:
        raise BadInput(f"--until {until}: not a day like 2027-03-31") from None
    if day < today:
        raise BadInput(f"--until {until}: that day is over")
    if day.year > today.year + YEARS:
        raise BadInput(f"--until {until}: more than {YEARS} years are no exception")
    try:
        return Excepted(str(network), day.isoformat(), owner.strip(), reason.strip())
    except ValueError as error:
        raise BadInput(f"--owner or --reason: {error}") from None


def _apart(networks: Sequence[_Network]) -> None:
    """One network in another could end, and be served all the same."""
    for index, one in enumerate(networks):
        for other in networks[:index]:
            if one.version == other.version and one.overlaps(other):
                raise BadInput(f"--except {other} and {one} overlap: name each address once")
