"""What a workflow may refuse with, in one place for whoever turns refusals into exit codes."""

from __future__ import annotations

from mailseal.apply.executor import Refused
from mailseal.apply.journal import JournalDamaged
from mailseal.model.codec import CodecError
from mailseal.model.target import BadTarget
from mailseal.plan import AlreadySealed, Cannot
from mailseal.workflow import BadInput
from mailseal.workflow.hosts import HostUnreachable
from mailseal.workflow.plans import EditedPlan
from mailseal.workflow.seal import Unsettled

__all__ = [
    "AlreadySealed",
    "BadInput",
    "BadTarget",
    "Cannot",
    "CodecError",
    "EditedPlan",
    "HostUnreachable",
    "JournalDamaged",
    "Refused",
    "Unsettled",
]
