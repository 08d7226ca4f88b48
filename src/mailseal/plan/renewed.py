"""What a wrap puts in place so that its certificate is renewed when mailseal has gone.

Strategy: whoever brings the certificate of an instance brings the renewal; who shows another
instance's has nothing to do. What all instances share is made by the first: a later run cannot
outlast it, for it has to be undone before.
"""

from __future__ import annotations

from mailseal.model.host import HostFacts
from mailseal.model.ops import Op
from mailseal.plan.base import Cannot, Given, Request
from mailseal.terminators import inits, renewal
from mailseal.terminators.renewal import Copied, Issued

Source = Issued | Copied | None
"""Where the next certificate comes from; None: another instance sees to that."""


def check(facts: HostFacts, given: Given) -> None:
    """Raises Cannot where certbot is named and does not have the certificate, or would not tell of
    the next one.
    """
    if not given.lineage:
        return
    if facts.file(given.certificate) is None:
        raise Cannot(
            "certbot has no certificate of that name, %s is not there: `certbot certificates` "
            "lists those it has" % given.certificate
        )
    if facts.file(renewal.HOOKS) is None:
        raise Cannot(
            "%s is not there: a certbot that runs no hooks of that folder (older than 0.20) would "
            "renew and nobody would hear of it" % renewal.HOOKS
        )


def ops(request: Request, name: str, source: Source) -> list[Op]:
    """The ops that put the renewal of the instance `name` in place; `Init.renew` has those that
    begin it.
    """
    if source is None:
        return []
    shared = inits.of(request.facts).renewing
    made: list[Op] = [op for op in shared if request.facts.file(op.path) is None]
    made.append(renewal.settings(name, request.name, source))
    lineage = _lineage(request)
    return [*made, renewal.hook(name, lineage)] if lineage else made


def paths(request: Request, name: str, source: Source) -> list[str]:
    """The files that this rests on."""
    if source is None:
        return []
    hook = [renewal.hook_path(name)] if _lineage(request) else []
    shared = (op.path for op in inits.of(request.facts).renewing)
    return [*shared, renewal.settings_path(name), *hook]


def _lineage(request: Request) -> str:
    return request.options.given.lineage if request.options.given else ""
