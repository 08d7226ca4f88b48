"""Which policies of change control a plan must meet, and what of it goes to the host.

Strategy: every policy that is found must be met: that of the host that is changed, that of this
machine, and the one that is given. None takes the place of another, so no option makes a rule void.
They are read here; the host judges, under its lock and by its clock.
"""

from __future__ import annotations

from collections.abc import Sequence

from mailseal.apply.control import POLICY
from mailseal.model.change import Approval, Control
from mailseal.policy.change import LIMIT, BadPolicy, parse
from mailseal.workflow import BadInput
from mailseal.workflow.hosts import Host


def control(
    host: Host, approvals: Sequence[Approval] = (), given: str | None = None, own: str = POLICY
) -> Control:
    """What goes with a plan for `host`. `given`: the path of a policy, or None; `own`: where this
    machine's lies. Raises BadInput, and what `host` raises.
    """
    found = [(given, _read(given))] if given is not None else []
    if host.remote:
        found.append((own, _read(own, missing=True)))
        found.append(("%s of %s" % (POLICY, host.names[0]), host.policy()))
    else:
        found.append((POLICY, host.policy()))
    try:
        policies = [parse(text, source) for source, text in found if text is not None]
    except BadPolicy as error:
        raise BadInput("the policy of change control %s" % error) from None
    return Control(tuple(approvals), tuple(policies))


def _read(path: str, missing: bool = False) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read(LIMIT + 1)
    except FileNotFoundError as error:
        if missing:
            return None
        raise BadInput("%s cannot be read: %s" % (path, error.strerror)) from None
    except OSError as error:
        raise BadInput("%s cannot be read: %s" % (path, error.strerror)) from None
