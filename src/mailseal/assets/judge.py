"""One endpoint: all that is known of its software, made into an Asset.

Strategy: what its host's package manager says comes first. A banner of an endpoint whose host was
not asked can be a distribution's package of an old version, which is mended: that its makers have
given it up is then a doubt, with the command that settles it, and no verdict.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from mailseal.assets.support import is_of_distribution, of_distribution, of_makers
from mailseal.model.asset import (
    Asset,
    Installed,
    KnownSoftware,
    PendingUpdate,
    Product,
    Standing,
    Support,
    Terms,
    hasty,
    since_key,
)
from mailseal.model.local import Package, Program
from mailseal.model.moment import rfc3339, seconds

DAY = 86400.0
OLD_DAYS = 30
"""What a host said longer ago says nothing of its updates now."""


def judge(known: KnownSoftware, now: float, terms: Terms = Terms()) -> Asset:  # noqa: B008
    """The asset, at the moment `now` (seconds since the epoch)."""
    there = known.installed
    return Asset(
        endpoint=known.endpoint,
        name=known.name,
        products=tuple(_products(known, now)),
        updates=tuple(_updates(there, now, terms)) if there else (),
        review=known.review,
        review_due=_day(known.review.at, terms.review) if known.review else "",
        host=there.host if there else "",
        taken=there.taken if there else "",
        fresh=there.software.fresh if there else "",
        gaps=tuple(_gaps(there, now)),
    )


def urgency(asset: Asset) -> tuple[object, ...]:
    """A key to sort by: overdue, ended, security updates by their day, others, doubts, the rest."""
    updates = sorted((not hasty(each.security), each.due) for each in asset.updates)
    return (
        not asset.overdue,
        not asset.ended,
        updates[0] if updates else (True, "9"),
        not asset.doubtful,
        asset.endpoint.site,
        asset.endpoint.address,
        asset.endpoint.port,
    )


# -- products --------------------------------------------------------------------------------------


def _products(known: KnownSoftware, now: float) -> Iterator[Product]:
    there = known.installed
    if there:
        yield from (_product(program, there, known.banner, now) for program in there.programs)
    for by, words in (("banner", known.banner), *known.reports):
        if words:
            name, version = _parted(words)
            yield Product(name, version, by, _shown(name, version, there, now))


def _shown(name: str, version: str, there: Installed | None, now: float) -> Support | None:
    """Of a product that shows itself. Nothing where its package says it better."""
    support = of_makers(name, version, now)
    if there is None:
        return _unsure(support, "`mailseal local` asks the host")
    packages = [program.package for program in there.programs]
    brand = name.lower().partition(" ")[0]
    if any(brand in each for each in packages):
        return None
    if "" in packages:
        return support
    # What listens passes on to it: stunnel, a super-server whose line was not found.
    return _unsure(support, "which program answers was not told")


def _product(program: Program, there: Installed, banner: str, now: float) -> Product:
    if not program.package:
        support = None
        if not banner:
            support = Support(
                Standing.UNKNOWN, f"{program.path} is of no package, nobody's updates reach it"
            )
        return Product(program.path, "", "program", support)
    listed = {each.name: each for each in there.software.packages}
    package = listed.get(program.package, Package(program.package, program.version))
    if is_of_distribution(there.software, package):
        support = of_distribution(there.software, package, now)
    else:
        upstream = re.sub(r"^\d+:", "", package.version)
        support = of_makers(package.name, upstream, now)
        if support.standing is Standing.UNKNOWN:
            whose = package.vendor or "no archive that is known"
            why = f"{package.name} is from {whose}, not from {there.software.title or 'the system'}"
            support = replace(support, why=why)
    return Product(package.name, package.version, "package", support)


def _parted(words: str) -> tuple[str, str]:
    """`Dovecot 2.3.19`: name and version; the version is the last word that begins with a digit."""
    name, _, version = words.rpartition(" ")
    return (name, version) if name and version[:1].isdigit() else (words, "")


def _unsure(support: Support, hint: str) -> Support:
    """A distribution may mend what its makers do not, and not mend what they do."""
    why = f"{support.why} for its makers; a distribution may say otherwise: {hint}"
    known = support.standing is not Standing.UNKNOWN
    return replace(support, standing=Standing.UNKNOWN, why=why if known else support.why)


# -- updates ---------------------------------------------------------------------------------------


def _updates(there: Installed, now: float, terms: Terms) -> Iterator[PendingUpdate]:
    for package in there.software.packages:
        if not package.update:
            continue
        haste = hasty(package.security)
        since = there.since.get(since_key(package.name, haste), there.taken)
        due = _day(since, terms.security if haste else terms.ordinary)
        yield PendingUpdate(
            package=package.name,
            installed=package.version,
            version=package.update,
            security=package.security,
            since=since,
            due=due,
            overdue=rfc3339(now)[:10] > due,
            blocked=package.blocked,
        )


def _gaps(there: Installed | None, now: float) -> Iterator[str]:
    if there is None:
        yield "updates: its host was not asked (mailseal local)"
        return
    yield from there.software.gaps
    for package in there.software.packages:
        if package.unknown:
            yield f"updates of {package.name}: {package.unknown}"
    if there.taken < rfc3339(now - OLD_DAYS * DAY):
        yield f"updates: its host was last asked on {there.taken[:10]}"
    yield from there.gaps


def _day(moment: str, days: int) -> str:
    """The day so many days later. Raises ValueError for a moment that is none."""
    return rfc3339(seconds(moment) + days * DAY)[:10]
