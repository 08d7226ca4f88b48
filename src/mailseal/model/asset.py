"""What software answers at an endpoint, who still mends it, and what is to be done to it by when.

`Installed` is what a host's package manager says and what the store keeps; `KnownSoftware` all that
is known of an endpoint; `Asset` is what the room `assets` makes of that. Days are UTC.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import ClassVar, Mapping, NamedTuple, Optional, Tuple

from mailseal.model.local import Program, Software
from mailseal.model.look import Endpoint


class Terms(NamedTuple):
    """Days within which an update is to be installed since it was first seen, and an endpoint to be
    reviewed since it last was.
    """

    security: int = 14
    ordinary: int = 90
    review: int = 365


class Standing(str, enum.Enum):
    """Who still mends a product. Unknown is never counted as supported."""

    SUPPORTED = "supported"
    EXTENDED = "extended"
    """The makers have stopped; others go on, for a part of it or for money."""
    ENDED = "ended"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Support:
    """`why` is for people. `until` is the last day of this standing, or of ended the day it ended;
    empty where none is known. `source` is where that is from, `checked` the day it was read there.
    """

    standing: Standing
    why: str
    until: str = ""
    source: str = ""
    checked: str = ""


@dataclass(frozen=True)
class Product:
    """A product at an endpoint as one source tells it. `by` is package, program (a file of no
    package), banner or report. `support` is None where another source says it better.
    """

    name: str
    version: str
    by: str
    support: Optional[Support] = None

    def __str__(self) -> str:
        return ("%s %s" % (self.name, self.version)).strip()


@dataclass(frozen=True)
class Installed:
    """What a host said of the software behind one of its endpoints, at the moment `taken`. Of
    `software` only the packages of `programs` are kept. `since` is the moment when an update was
    first seen, by `since_key`. `gaps` could not be told, or is to be known.
    """

    endpoint: Endpoint
    host: str
    taken: str
    programs: Tuple[Program, ...]
    software: Software
    since: Mapping[str, str] = field(default_factory=dict)
    gaps: Tuple[str, ...] = ()


def hasty(security: Optional[bool]) -> bool:
    """Whether an update is due as a security update: what nobody tells apart may be one."""
    return security is not False


def since_key(package: str, security: bool) -> str:
    """The key in `Installed.since` of updates of one kind."""
    return "%s %s" % (package, "security" if security else "ordinary")


@dataclass(frozen=True)
class Review:
    """That somebody looked an endpoint over, and who."""

    at: str
    by: str


@dataclass(frozen=True)
class KnownSoftware:
    """All that is known of the software at an endpoint. `name` is what it was last asked for by;
    `banner` what it showed itself as; `reports` are tool and product.
    """

    endpoint: Endpoint
    name: str = ""
    banner: str = ""
    reports: Tuple[Tuple[str, str], ...] = ()
    installed: Optional[Installed] = None
    review: Optional[Review] = None


@dataclass(frozen=True)
class PendingUpdate:
    """An update that is not installed. `security` and `blocked` are its Package's. `since` is
    the moment when it was first seen, `due` the day by which it is to be installed.
    """

    package: str
    installed: str
    version: str
    security: Optional[bool]
    since: str
    due: str
    overdue: bool
    blocked: str = ""


@dataclass(frozen=True)
class Asset:
    """An endpoint as an asset. `host`, `taken` and `fresh` are empty where no host was asked;
    `fresh` is as of when its package lists are. `review_due` is the day of the next review, empty
    where there never was one. `gaps` are why something could not be told.
    """

    endpoint: Endpoint
    name: str
    products: Tuple[Product, ...]
    updates: Tuple[PendingUpdate, ...]
    review: Optional[Review]
    review_due: str
    host: str
    taken: str
    fresh: str
    gaps: Tuple[str, ...]

    RECORD: ClassVar[str] = "Asset"

    @property
    def ended(self) -> bool:
        """Whether some product of it has ended."""
        return any(p.support and p.support.standing is Standing.ENDED for p in self.products)

    @property
    def overdue(self) -> bool:
        """Whether an update is."""
        return any(each.overdue for each in self.updates)

    @property
    def doubtful(self) -> bool:
        """Whether something could not be told."""
        unsure = any(p.support and p.support.standing is Standing.UNKNOWN for p in self.products)
        return bool(self.gaps) or unsure or not self.products
