"""A plan's claims as checks that other people's scanners make: what the forms for them share.

Strategy: the look itself is one script (`kit/look.sh`), the same for every plan; a check is the
values that it is told, and words for people. So nothing of a plan ever becomes a program. What the
plan's stage leaves in cleartext is checked as everything else is, and fails: the finding is open
until stage `enforce`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mailseal.export.base import CannotExport, Source, plain
from mailseal.model import ops
from mailseal.model.look import Vantage
from mailseal.model.plan import Claim, ClaimKind, Plan

LOOK = "look.sh"
"""The script, as the kit calls it."""
EXPECTED = (
    *("protocol", "name", "authority", "certificate", "pinned"),
    *("path", "group", "listening"),
)
"""What the script reads of a claim's expectations."""
WEAKNESS = "CWE-319"
WHY = (
    "Whoever is on the path of a login without TLS reads user name and password. RFC 8314 declares "
    "cleartext access to mail obsolete."
)
STANDARD = ("RFC 8314", "https://www.rfc-editor.org/rfc/rfc8314")


@dataclass(frozen=True)
class Check:
    """`id` is of letters, digits, dots and dashes. `remote`: another host can make it; the others
    only the host itself. `severity` is high, medium or low. `values` are what the script is told.
    """

    id: str
    title: str
    severity: str
    remote: bool
    values: Mapping[str, str]


@dataclass(frozen=True)
class Written:
    """A file that the plan makes, as it must stay: SHA-256 of its bytes, and its mode."""

    path: str
    sha256: str
    mode: int


@dataclass(frozen=True)
class _Kind:
    """How a kind of claim is told; `title` has the places of `_words`."""

    asked: ClaimKind
    severity: str
    title: str


_REFUSED = _Kind(
    ClaimKind.CLEARTEXT_REFUSED, "high", "%(protocol)s at %(at)s takes no login in cleartext"
)
_KINDS: Mapping[ClaimKind, _Kind] = {
    ClaimKind.CLEARTEXT_REFUSED: _REFUSED,
    ClaimKind.CLEARTEXT_SERVED: _REFUSED,
    ClaimKind.SERVICE_IN_TLS: _Kind(
        ClaimKind.SERVICE_IN_TLS,
        "medium",
        "%(protocol)s at %(at)s answers inside TLS with its certificate",
    ),
    ClaimKind.CLOSED: _Kind(ClaimKind.CLOSED, "high", "nothing accepts a connection at %(at)s"),
    ClaimKind.BACKEND_GUARDED: _Kind(
        ClaimKind.BACKEND_GUARDED, "medium", "only %(group)s and root open %(path)s"
    ),
    ClaimKind.NEIGHBOURS_KEPT: _Kind(
        ClaimKind.NEIGHBOURS_KEPT, "low", "the other services of the host listen (%(at)s)"
    ),
}


def checks(sources: Sequence[Source]) -> tuple[Check, ...]:
    """The checks of all plans, each once, in the plans' order."""
    found = [
        _check(claim, source.plan)
        for source in sources
        for claim in source.plan.claims
        # Of a host on which nothing else listens there is nothing to check.
        if claim.expected.get("listening") != ""
    ]
    return tuple({each.id: each for each in found}.values())


def _check(claim: Claim, plan: Plan) -> Check:
    kind = _KINDS[claim.kind]
    where = claim.endpoint
    values = {"protocol": plan.protocol}
    # A name of a value becomes a variable of a shell: those that the script knows, and no other.
    values |= {name: claim.expected[name] for name in EXPECTED if name in claim.expected}
    values |= {"kind": kind.asked.value, "address": where.address, "port": str(where.port)}
    words = {"group": "", "path": "", **values}
    words |= {"protocol": plan.protocol.upper(), "at": str(where)}
    # Two plans may claim the same kind of the same endpoint, and expect another thing.
    digest = hashlib.sha256(repr(sorted(values.items())).encode("utf-8", "backslashreplace"))
    name = "%s-%s-%d" % (kind.asked.value, where.address, where.port)
    return Check(
        re.sub("[^A-Za-z0-9.-]", "-", name) + "-" + digest.hexdigest()[:8],
        plain(kind.title % words),
        kind.severity,
        claim.vantage is Vantage.REMOTE,
        values,
    )


def written(sources: Sequence[Source]) -> tuple[Written, ...]:
    """The files that the plans make, each once."""
    return tuple(dict.fromkeys(each for source in sources for each in _files(source.plan)))


def _files(plan: Plan) -> Iterator[Written]:
    for op in plan.ops:
        if isinstance(op, ops.WriteFile):
            yield Written(op.path, hashlib.sha256(op.content).hexdigest(), op.mode)


def host_of(sources: Sequence[Source], form: str) -> str:
    """The one host of all plans. Raises CannotExport."""
    hosts = hosts_of(sources)
    if len(hosts) > 1:
        told = ", ".join(map(plain, hosts))
        raise CannotExport(
            "plans of several hosts (%s) cannot be exported to %s together: a folder for each"
            % (told, form)
        )
    return hosts[0]


def hosts_of(sources: Sequence[Source]) -> list[str]:
    """The hosts of all plans, each once. Raises CannotExport where two have one name."""
    machines: dict[str, str] = {}
    for source in sources:
        host = source.plan.host
        if machines.setdefault(host, source.plan.machine) != source.plan.machine:
            raise CannotExport("two machines are called %s: a folder for each" % plain(host))
    return list(machines)


def about(sources: Sequence[Source]) -> str:
    """Which plans these are of, in a sentence."""
    told = (
        "%s, stage %s, %s on port %d (made %s, SHA-256 %s)"
        % (plan.strategy, plan.stage, plan.protocol.upper(), plan.endpoint.port, plan.made, digest)
        for plan, digest in ((source.plan, source.sha256) for source in sources)
    )
    return plain("The promises of mailseal's plans: %s." % "; ".join(told))
