"""What must hold before anything is changed. Each refusal says what to do next.

A refusal is a value: `problems` gives all of them, so that an operator meets them at once and not
one a run. What needs other rooms (the facts' digest, the certificate's health) is handed in.
"""

from __future__ import annotations

import posixpath
from typing import Callable, List, NamedTuple, Tuple

from mailseal.apply import deadman
from mailseal.apply.operations import writes
from mailseal.apply.runs import RUNS
from mailseal.model.plan import Plan
from mailseal.system import writable
from mailseal.system.base import System


class Questions(NamedTuple):
    """What preflight asks of other rooms: the digest of the facts the plan rests on, and what is
    wrong with the plan's certificate (empty where nothing is).
    """

    facts_digest: Callable[[Plan], str]
    certificate: Callable[[Plan], List[str]]


def problems(plan: Plan, system: System, questions: Questions) -> List[str]:
    """Why this plan is not to be applied here and now; empty where it may be."""
    if plan.draft:
        what = "; ".join(plan.draft)
        return ["the plan is a draft, it could not read: %s. Plan again as root." % what]
    if system.uid() != 0:
        return ["changing this host needs root: run it with sudo."]
    machine = _machine(system)
    if machine != plan.machine:
        return [
            "the plan was made for %s, machine %s; this is machine %s. Plan on this host, or for "
            "its facts." % (plan.host, plan.machine, machine or "unknown")
        ]
    found: List[str] = []
    if questions.facts_digest(plan) != plan.facts_digest:
        found.append(
            "the host has changed since the plan was made (a file, a listener or a version it "
            "rests on): the plan is stale. Plan again and read the difference."
        )
    found += writable.obstacles(system, _written(plan))
    return found + questions.certificate(plan)


def _written(plan: Plan) -> Tuple[str, ...]:
    """The files of the plan, then those of the run itself."""
    files = [path for op in plan.ops for path in writes(op)]
    return (*files, *(posixpath.join(each, "mailseal") for each in (deadman.UNITS, RUNS)))


def _machine(system: System) -> str:
    try:
        return system.read("/etc/machine-id").decode("ascii", "replace").strip()
    except OSError:
        return ""
