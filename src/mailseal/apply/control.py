"""Change control: whether the policies let this plan be applied here, now, by this account.

Strategy: policies are read where there is a reader for them and handed in as values; this judges.
What an approval is not worth is a reason in words, and so is a closed window. A policy of this host
that was not handed in is a refusal too: nobody passes it by with an older program, or with the
agent alone.
"""

from __future__ import annotations

import datetime
import hashlib
import zoneinfo
from typing import List, Optional, Sequence

from mailseal.model.change import DAYS, Actor, Approval, ChangePolicy, Control, Window
from mailseal.model.moment import rfc3339, seconds
from mailseal.system.base import System

POLICY = "/etc/mailseal/change.toml"

SKEW = 300.0
"""Seconds by which the clock of who approved may be ahead of ours."""

_HOUR = 3600.0


def policy_text(system: System) -> Optional[bytes]:
    """This host's policy; None where it has none. Raises OSError where that cannot be told."""
    try:
        return system.read(POLICY)
    except (FileNotFoundError, NotADirectoryError):
        return None


def problems(control: Control, sha: str, actor: Optional[Actor], system: System) -> List[str]:
    """Why the plan of this hash is not to be applied now; empty where it may be."""
    try:
        own = policy_text(system)
    except OSError as error:
        return ["the policy %s cannot be read: %s. Mend it." % (POLICY, error)]
    policies = {policy.sha256: policy for policy in control.policies}
    if own is not None and hashlib.sha256(own).hexdigest() not in policies:
        words = "this host has a policy of change control, %s, and it was not read as it is now: "
        return [words % POLICY + "apply the plan again, with `mailseal apply`."]
    now = system.now()
    return [
        "%s: %s" % (policy.source, problem)
        for policy in policies.values()
        for problem in unmet(policy, control.approvals, sha, actor, now)
    ]


def unmet(
    policy: ChangePolicy,
    approvals: Sequence[Approval],
    sha: str,
    actor: Optional[Actor],
    now: float,
) -> List[str]:
    """What of a policy is not met, and what to do. `now`: seconds since the epoch."""
    found = []
    good, worthless = set(), []
    for approval in approvals:
        reason = _worthless(policy, approval, sha, actor, now)
        if reason:
            worthless.append("that of %s %s" % (approval.actor.account, reason))
        else:
            good.add(approval.actor.account)
    if len(good) < policy.approvals:
        words = "wanted are approvals of %d, and %d count%s."
        words += " Write the plan with `mailseal plan -o`, have it approved with `mailseal approve`"
        words += ", and apply that file."
        why = " (%s)" % "; ".join(worthless) if worthless else ""
        found.append(words % (policy.approvals, len(good), why))
    return found + _closed(policy, now)


def _worthless(
    policy: ChangePolicy, approval: Approval, sha: str, actor: Optional[Actor], now: float
) -> str:
    """Why an approval does not count; empty where it does."""
    at, account = seconds(approval.at), approval.actor.account
    age = now - at
    if approval.plan_sha != sha:
        return "is for another plan"
    if policy.approvers and account not in policy.approvers:
        return "is of an account that may not approve"
    if policy.apart and (actor is None or actor.account == account):
        return "is of who applies it"
    if policy.ticket and not approval.ticket:
        return "names no ticket"
    if age < -SKEW:
        return "lies ahead of this host's clock, at %s" % approval.at
    if approval.until and seconds(approval.until) <= now:
        return "ended at %s" % approval.until
    if policy.expires_hours and age >= policy.expires_hours * _HOUR:
        return "is older than %g hours" % policy.expires_hours
    if age < policy.notice_hours * _HOUR and policy.notice_hours:
        return "counts from %s" % rfc3339(at + policy.notice_hours * _HOUR)
    return ""


def _closed(policy: ChangePolicy, now: float) -> List[str]:
    if not policy.windows:
        return []
    try:
        zone = zone_of(policy.zone)
    except ValueError as error:
        return ["%s on this host: install tzdata." % error]
    local = datetime.datetime.fromtimestamp(now, zone)
    if any(window.holds(local) for window in policy.windows):
        return []
    clock = "%s %s" % (DAYS[local.weekday()], local.strftime("%H:%M"))
    times = "; ".join(map(wording, policy.windows))
    words = "it is %s in %s, outside the change windows (%s). Apply it then."
    return [words % (clock, policy.zone, times)]


def zone_of(name: str) -> datetime.tzinfo:
    """A time zone of the tz database. Raises ValueError where it is not known."""
    if name == "UTC":
        return datetime.timezone.utc
    try:
        return zoneinfo.ZoneInfo(name)
    # A directory of the database is read as a file, and a path is no key.
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("the time zone %r is not known" % name) from None


def wording(window: Window) -> str:
    """`Sat, Sun 22:00-04:00`."""
    times = ("%02d:%02d" % divmod(minute, 60) for minute in (window.start, window.end))
    return "%s %s" % (", ".join(DAYS[day] for day in window.days), "-".join(times))
