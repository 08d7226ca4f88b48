"""An init script of SysV init or OpenRC: a stand-alone daemon on a host without systemd.

Taken off by taking it out of the boot and stopping it, by the script's own name. The script has to
say that the daemon runs: one that was started by hand would not be stopped by it. Nothing on such a
host can give a daemon a network of its own, so it cannot hang behind a terminator here.
"""

from __future__ import annotations

from typing import Optional, Tuple

from mailseal.model.host import HostFacts, UnitFact
from mailseal.model.ops import Op, UnitAction
from mailseal.starters.base import Change, Start, listeners_at
from mailseal.system.units import PARTLY, SCRIPTS


def find(facts: HostFacts, port: int) -> Optional[Start]:
    """The init script that started what listens on a port."""
    listeners = listeners_at(facts, port)
    units = {listener.unit for listener in listeners}
    if facts.init == "systemd" or len(units) != 1 or not next(iter(units)):
        return None
    unit = next(iter(units))
    script = SCRIPTS + unit[: -len(".service")]
    fact = next((each for each in facts.units if each.name == unit), None)
    boot: Tuple[Op, ...] = ()
    if fact is not None and fact.enabled == "enabled":
        boot = (UnitAction(unit, "disable", "enable"),)
    others = sorted({each.port for each in facts.listeners if each.unit == unit} - {port})
    return Start(
        starter="an init script",
        unit=unit,
        listeners=listeners,
        files=(script,),
        off=Change(boot, unit, "stop", "start", (script,)),
        problems=_problems(script, fact),
        fixed=("it is a daemon of its own, started by %s" % script,),
        tied=(_TIED % (script, ", ".join(map(str, others)), port),) if others else (),
    )


_TIED = (
    "%s also starts what serves port %s, which would go with it: take port %d out of its "
    "configuration"
)


def _problems(script: str, fact: Optional[UnitFact]) -> Tuple[str, ...]:
    if fact is None or fact.active != "active":
        return ("`%s status` does not say that it runs: stop the daemon by hand" % script,)
    if fact.enabled == PARTLY:
        words = "%s is started in some of the runlevels 2 to 5 and not in others: make them alike"
        return (words % script,)
    return ()
