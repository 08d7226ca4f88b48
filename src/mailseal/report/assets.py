"""Software and updates, for people and tools: the words for an asset, and the list.

Strategy: the words are made here once, for `local`, `findings` and the report. None that is known
is said as that, and what could not be told is never an empty cell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mailseal import __version__
from mailseal.model.asset import Asset, PendingUpdate, Standing
from mailseal.report import records
from mailseal.report.layout import labelled
from mailseal.report.style import PLAIN, Style, harmless

_WORST = (Standing.ENDED, Standing.UNKNOWN, Standing.EXTENDED, Standing.SUPPORTED)
_WIDTHS = (24, 9, 22, 20, 10)
_KINDS = {True: "security", None: "security or not", False: "ordinary"}
_HEADER = ("ENDPOINT", "SUPPORT", "UPDATES", "DUE", "REVIEWED", "SOFTWARE")


class AssetSum:
    """Counts assets as they pass."""

    def __init__(self) -> None:
        self.assets = self.overdue = self.ended = self.unsure = 0

    def add(self, asset: Asset) -> None:
        """Takes one into account."""
        self.assets += 1
        self.overdue += asset.overdue
        self.ended += asset.ended
        self.unsure += asset.doubtful

    @property
    def exposed(self) -> bool:
        """Something is past its day, or nobody mends it."""
        return self.overdue > 0 or self.ended > 0

    @property
    def doubtful(self) -> bool:
        """Something could not be told, or nothing is known at all."""
        return self.unsure > 0 or self.assets == 0

    def __str__(self) -> str:
        if not self.assets:
            return "nothing is known there: no endpoint answered, and no host was asked"
        plural = "" if self.assets == 1 else "s"
        return (
            f"{self.assets} endpoint{plural}: {self.overdue} with an overdue update, {self.ended} "
            f"with software that nobody mends, {self.unsure} where not all could be told"
        )


@dataclass(frozen=True)
class Ranked:
    """The most urgent assets, how many there are in all, and the sum of all in words."""

    listed: tuple[Asset, ...]
    count: int
    sum: str


@dataclass(frozen=True)
class Assets:
    """Endpoints as assets, as one document."""

    mailseal: str
    assets: tuple[Asset, ...]


def standing(asset: Asset) -> Standing:
    """That of its worst product."""
    found = {each.support.standing for each in asset.products if each.support}
    return next((each for each in _WORST if each in found), Standing.UNKNOWN)


def updates(asset: Asset) -> str:
    """How many wait, of which kind."""
    counts = Counter(each.security for each in asset.updates)
    words = ", ".join(f"{counts[kind]} {word}" for kind, word in _KINDS.items() if counts[kind])
    return words or ("could not tell" if asset.gaps else "none known")


def due(asset: Asset) -> str:
    """The first day by which something is to be done."""
    first = min((each.due for each in asset.updates), default="-")
    return first + (" overdue" if asset.overdue else "")


def reviewed(asset: Asset) -> str:
    """The day of the last review."""
    return asset.review.at[:10] if asset.review else "never"


def software(asset: Asset) -> str:
    """Its products."""
    return "; ".join(dict.fromkeys(map(str, asset.products))) or "not known"


def facts(asset: Asset) -> Iterator[tuple[str, Sequence[str]]]:
    """Labels and lines, all that is to be told of the asset of an endpoint."""
    yield "software", tuple(f"{each} ({each.by})" for each in asset.products)
    yield from verdicts(asset)
    review = "never"
    if asset.review:
        review = f"{asset.review.at[:10]} by {asset.review.by}; next by {asset.review_due}"
    yield "reviewed", (review,)
    yield "not told", asset.gaps


def verdicts(asset: Asset) -> Iterator[tuple[str, Sequence[str]]]:
    """Those about support and updates alone."""
    supports = (each.support for each in asset.products if each.support)
    yield "support", tuple(dict.fromkeys(f"{s.standing.value}: {s.why}" for s in supports))
    none = f"none known, by package lists of {asset.fresh[:10]}"
    yield "updates", tuple(map(update, asset.updates)) or (() if asset.gaps else (none,))


def update(each: PendingUpdate) -> str:
    """One in a line."""
    late = "overdue since" if each.overdue else "due"
    blocked = f"; not by an upgrade: {each.blocked}" if each.blocked else ""
    what = f"{each.package} {each.installed} to {each.version}, {_KINDS[each.security]}"
    return f"{what}, {late} {each.due} (first seen {each.since[:10]}){blocked}"


def place(asset: Asset) -> str:
    """Where."""
    endpoint = asset.endpoint
    return str(endpoint) if endpoint.site == "default" else f"{endpoint} in {endpoint.site}"


def cells(asset: Asset) -> tuple[str, ...]:
    """As _HEADER."""
    about = (standing(asset).value, updates(asset), due(asset), reviewed(asset), software(asset))
    return (place(asset), *about)


TABLE = ("Endpoint", "Software", "Support", "Updates", "Last review")
"""Of a report."""


def row(asset: Asset) -> tuple[str, ...]:
    """As TABLE."""
    said = dict(verdicts(asset))
    doubts = (f"could not tell: {gap.removeprefix('updates: ')}" for gap in asset.gaps)
    waiting = (*said["updates"], *doubts)
    support = "; ".join(said["support"]) or "not known"
    return (place(asset), software(asset), support, "; ".join(waiting), reviewed(asset))


def ranked_words(ranked: Ranked) -> Iterator[str]:
    """Lines above the table."""
    yield ranked.sum[:1].upper() + ranked.sum[1:] + "."
    if ranked.count > len(ranked.listed):
        yield f"The {len(ranked.listed)} most urgent of them are listed."


def text(assets: Iterator[Asset], total: AssetSum, style: Style = PLAIN) -> Iterator[str]:
    """Lines: a header, one for each, and their sum, which grows with them."""
    yield style.paint(_row(_HEADER), "bold")
    for asset in assets:
        colour = "red" if asset.overdue or asset.ended else "yellow" if asset.doubtful else ""
        line = _row(cells(asset))
        yield style.paint(line, colour) if colour else line
    yield str(total)


def _row(values: Sequence[str]) -> str:
    padded = [harmless(cell).ljust(width) for cell, width in zip(values, _WIDTHS, strict=False)]
    return "  ".join([*padded, harmless(values[-1])])


def lines(asset: Asset, indent: str = "") -> Iterator[str]:
    """What is to be said of an asset below its finding."""
    for label, values in facts(asset):
        yield from (indent + line for line in labelled(label, values))


def _lines(assets: Iterator[Asset], total: AssetSum, style: Style) -> Iterator[str]:
    yield from map(records.line, assets)


def _document(assets: Iterator[Asset], total: AssetSum, style: Style) -> Iterator[str]:
    yield records.document(Assets(__version__, tuple(assets)))


FORMS: dict[str, Callable[[Iterator[Asset], AssetSum, Style], Iterator[str]]] = {
    "text": text,
    "json": _document,
    "ndjson": _lines,
}
