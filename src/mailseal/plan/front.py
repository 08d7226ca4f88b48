"""What stands in front of a service, whatever is behind it: stunnel's certificate, configuration,
unit and trial, as ops. Shared by the strategies `wrap` and `gateway`.
"""

from __future__ import annotations

from dataclasses import dataclass

from mailseal.model.ops import InstallPackage, Listening, MakeDirectory, Op, UnitAction
from mailseal.plan import lost, renewed
from mailseal.plan.base import Request
from mailseal.plan.renewed import Source
from mailseal.terminators import inits, renewal, stunnel
from mailseal.terminators.stunnel import Leg


@dataclass(frozen=True)
class Front:
    """What stands in front: the instance's name, its port, the certificate it shows, the ops that
    put that in place, and where the next one comes from (None: another instance sees to that).
    """

    name: str
    port: int
    certificate: str
    key: str
    authority: str
    ops: tuple[Op, ...]
    source: Source = None


def prepare(
    request: Request, front: Front, accepts: list[str], connect: str | Leg
) -> tuple[Op, ...]:
    """What can be put in place before anything is switched."""
    facts, init = request.facts, inits.of(request.facts)
    package = stunnel.package(facts.manager)
    ops: list[Op] = []
    if not facts.packages.get(package.name):
        ops.append(InstallPackage(package.name))
    ops += init.reread_back
    if not package.account and facts.file("/etc/systemd/system/" + stunnel.ACCOUNT) is None:
        ops += stunnel.account()
    if facts.file(stunnel.DIRECTORY) is None:
        ops.append(MakeDirectory(stunnel.DIRECTORY, "root", stunnel.GROUP, 0o750))
    ops += front.ops
    if facts.file(init.template) is None:
        ops += (init.write(package.program), *init.begin)
    content = stunnel.config(
        request.protocol,
        accepts,
        connect,
        front.certificate,
        front.key,
        lost.rules(request),
        init.options(front.name),
    )
    ops.append(stunnel.write_config(front.name, content))
    return (*ops, *renewed.ops(request, front.name, front.source))


def enable(request: Request, front: Front, accepts: list[tuple[str, int]]) -> tuple[Op, ...]:
    """The start, now and at every boot."""
    unit, init = stunnel.instance(front.name), inits.of(request.facts)
    here = tuple(Listening(address, port, True) for address, port in accepts)
    # The link comes last: what a boot in between would start by it has to be stopped by the undo,
    # which knows only what was begun.
    return (
        # stunnel listens at once or not at all, and meanwhile nobody is served. On the way back a
        # listener of somebody else's is none of our business.
        UnitAction(unit, "start", "stop", after_do=here, seconds=5.0),
        *init.boot(front.name),
        *(init.renew(front.name) if front.source else ()),
    )


def trial(request: Request, front: Front, connect: str | Leg) -> Op:
    """The same before it serves anybody."""
    return stunnel.trial(
        front.name,
        request.protocol,
        connect,
        front.certificate,
        front.key,
        front.authority,
        request.name,
        lost.rules(request),
        inits.of(request.facts).options(stunnel.trial_name(front.name)),
    )


def expected_of(request: Request, front: Front) -> dict[str, str]:
    """What its claims expect."""
    return {
        "protocol": request.protocol,
        "name": request.name,
        "certificate": front.certificate,
        "authority": front.authority,
    }


def rests_on(request: Request, front: Front) -> tuple[str, ...]:
    """The files that must still be as they are now, or still be absent."""
    given = request.options.given
    paths = [inits.of(request.facts).template, stunnel.config_path(front.name), front.certificate]
    paths += renewed.paths(request, front.name, front.source)
    return (*paths, given.certificate) if given else tuple(paths)


def renewal_told(request: Request) -> str:
    """Where the certificate comes from and who renews it."""
    given, who = request.options.given, inits.of(request.facts).renewed
    by_hand = "NOTHING RENEWS IT HERE, for there is no cron: run `/bin/sh %s %d` once a day."
    by_hand %= (renewal.SCRIPT, request.port)
    if given is None:
        return (
            "The certificate comes from a private CA made on this host (for its names alone): "
            "clients need %s/ca.crt. %s"
            % (stunnel.DIRECTORY, who + " renews it." if who else by_hand)
        )
    newer = "%s looks once a day whether there is a newer one, and copies and serves that." % who
    return "The certificate is a copy of %s. %s" % (given.certificate, newer if who else by_hand)
