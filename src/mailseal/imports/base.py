"""What all readers of reports share: what they are asked, what they give, how they refuse.

Strategy: a reader takes chunks of bytes and gives values as they come, so that a report of any size
needs the same memory and what was read before a fault is with the caller already. What the report
names and no Reported can stand for is given as a LeftOut: nothing vanishes without a word. All text
of others passes `words`.
"""

from __future__ import annotations

import datetime
import ipaddress
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from mailseal.model.moment import rfc3339
from mailseal.model.reported import Reported
from mailseal.protocols.base import printable

MAIL_PORTS = (109, 110, 143, 25, 465, 587, 993, 995, 4190)
"""Where mail services listen by the IANA registry: POP2, POP3, IMAP, SMTP, ManageSieve."""
TLS_PORTS = (465, 993, 995)
"""Those whose TLS begins with the first octet (RFC 8314)."""
TEXT_LIMIT = 400
"""Octets of any text that is taken over."""


@dataclass(frozen=True)
class Options:
    """`ports` are those of mail services. `hosts` are the addresses of the host from which a list
    of sockets comes, for sockets that listen on every address.
    """

    ports: tuple[int, ...] = MAIL_PORTS
    hosts: tuple[str, ...] = ()
    site: str = "default"


@dataclass(frozen=True)
class LeftOut:
    """Something that the report names and that gives no Reported: `what` it is and why. `claim`:
    it says that a login in cleartext is permitted, so it must not be taken for clean.
    """

    what: str
    reason: str
    claim: bool


Item = Reported | LeftOut
Reader = Callable[[Iterable[bytes], Options], Iterator[Item]]
"""Gives what a report says as it is read. Raises Unreadable, after all that stood before."""


class Unreadable(ValueError):
    """The report cannot be read on. `place` is where ("line 3, byte 120"), `advice` what to do."""

    def __init__(self, place: str, what: str, advice: str) -> None:
        super().__init__(f"{place}: {what}; {advice}")
        self.place = place
        self.what = what
        self.advice = advice


def headed(chunks: Iterable[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """The first `size` octets or more, as far as there are any, and everything with them."""
    rest = iter(chunks)
    head = b""
    for chunk in rest:
        head += chunk
        if len(head) >= size:
            break
    return head, itertools.chain([head], rest)


def words(text: str, limit: int = TEXT_LIMIT) -> str:
    """Text of others on one line, printable ASCII and bounded; other octets (UTF-8) as `\\xNN`."""
    # A character has four octets at most: what lies behind them is not even looked at.
    bounded = " ".join(text[: limit * 4].split())
    return printable(bounded.encode("utf-8", "surrogatepass"), limit)


def address_of(text: str) -> str | None:
    """An IPv4 or IPv6 address in its usual form, without a zone; None where it is none. An IPv4
    address in IPv6 dress (RFC 4291 2.5.5.2) becomes itself.
    """
    try:
        found = ipaddress.ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(found)


def port_of(text: str) -> int | None:
    """A TCP port in decimal digits; None where it is none."""
    if not (text.isascii() and text.isdigit() and len(text) <= 5):
        return None
    return int(text) if 0 < int(text) < 65536 else None


def moment_of_epoch(text: str) -> str:
    """Seconds since 1970 in decimal digits as RFC 3339; empty where they are none."""
    known = text.isascii() and text.isdigit() and len(text) <= 10
    return rfc3339(int(text)) if known else ""


def moment_of_iso(text: str) -> str:
    """An ISO 8601 moment as RFC 3339 UTC; empty where it is none or names no zone."""
    try:
        read = datetime.datetime.fromisoformat(text.strip())
        return rfc3339(read.timestamp()) if read.tzinfo else ""
    except (ValueError, OverflowError, OSError):
        return ""
