"""How an init system starts a terminator, starts it again at boot, and has its certificate renewed.

Strategy: one row an init system, with the files that all terminators of a host share and what each
one needs. What they serve is the same everywhere (`stunnel.config`, `renewal`): only the options
that hang on who starts stunnel stand here.
"""

from __future__ import annotations

from typing import Callable, NamedTuple, Tuple

from mailseal.model.host import HostFacts
from mailseal.model.ops import MakeLink, Op, UnitAction, WriteFile
from mailseal.system import units
from mailseal.terminators import renewal, scripted, stunnel
from mailseal.terminators.stunnel import Options

_WANTS = "/etc/systemd/system/%s.target.wants/%s"


class Init(NamedTuple):
    """An init system. `template` is the file that starts every terminator, `write` the op for it,
    and `begin` has the ops by which it counts from then on. `reread` makes files count that were
    written, `reread_back` on the way back. `options` are stunnel's for a terminator, `boot` starts
    it at each boot. `backend` is the Unix socket of the service on a port; `sockets` tells whether
    there are units that open it. `renewing` are the files that renew all certificates, `renew` the
    ops that have one renewed, by `renewed`: empty where nobody is there who would.
    """

    template: str
    write: Callable[[str], WriteFile]
    options: Callable[[str], Options]
    boot: Callable[[str], Tuple[Op, ...]]
    backend: Callable[[int], str]
    sockets: bool
    renewing: Tuple[WriteFile, ...]
    renew: Callable[[str], Tuple[Op, ...]]
    renewed: str
    begin: Tuple[Op, ...] = ()
    reread: Tuple[Op, ...] = ()
    reread_back: Tuple[Op, ...] = ()
    told: Tuple[str, ...] = ()


def wanted(target: str, unit: str, template: str) -> MakeLink:
    """The link by which a target of systemd starts a unit."""
    return MakeLink(_WANTS % (target, unit), template)


def _unit_at_boot(name: str) -> Tuple[Op, ...]:
    return (wanted("multi-user", stunnel.instance(name), stunnel.TEMPLATE),)


SYSTEMD = Init(
    template=stunnel.TEMPLATE,
    write=stunnel.template,
    options=lambda name: stunnel.LINUX,
    boot=_unit_at_boot,
    backend=stunnel.backend_socket,
    sockets=True,
    renewing=(renewal.script(), *renewal.units()),
    renew=renewal.begin,
    renewed="A timer",
    reread=(UnitAction("", "daemon-reload", ""),),
    reread_back=(UnitAction("", "", "daemon-reload"),),
)

SYSV = Init(
    template=scripted.SCRIPT,
    write=scripted.script,
    options=scripted.options,
    boot=scripted.boot,
    backend=scripted.backend_socket,
    sockets=False,
    renewing=(renewal.script(),),
    renew=renewal.by_cron,
    renewed="cron",
    begin=(UnitAction(scripted.UNIT, "add", "remove"),),
    told=scripted.TOLD,
)

_CRON = ("cron.service", "crond.service")


def of(facts: HostFacts) -> Init:
    """That of a host. Raises LookupError where it is run by none of them."""
    if facts.init == "systemd":
        return SYSTEMD
    if facts.file(units.LEVELS[0]) is None or not stunnel.package(facts.manager).account:
        raise LookupError("this host is run by neither systemd nor Debian's SysV init")
    if any(each.name in _CRON and each.active == "active" for each in facts.units):
        return SYSV
    return SYSV._replace(renew=lambda name: (), renewed="")
