"""What `mailseal approve` does: somebody's yes to exactly this plan, put into the plan's file.

Strategy: the approval names the hash of the plan's exact bytes and is put beside them; the bytes
stay as they are. What approves is the account that runs this; a name that is given is recorded and
decides nothing. The file is replaced in one step, so that it is never half a plan.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
from dataclasses import dataclass, replace

from mailseal.apply.executor import Refused
from mailseal.model import codec
from mailseal.model.change import Actor, Approval
from mailseal.model.moment import Clock, rfc3339
from mailseal.model.plan import Plan, PlanFile
from mailseal.system import account
from mailseal.workflow import BadInput
from mailseal.workflow.plans import read_approved
from mailseal.workflow.words import moment

LIMIT = 200
"""Characters of a ticket or a name, at most."""


@dataclass(frozen=True)
class Request:
    """An approval in the words of the command line; empty where nothing was said."""

    ticket: str = ""
    by: str = ""
    until: str = ""


@dataclass(frozen=True)
class Approved:
    """The plan, all its approvals with the new one last, and the text of the file with them."""

    plan: Plan
    approvals: tuple[Approval, ...]
    text: str


def approve(
    text: bytes, request: Request, actor: Actor | None = None, now: Clock = time.time
) -> Approved:
    """Approves the plan of a file's text. Raises BadInput, EditedPlan, codec.CodecError, and
    Refused of a draft.
    """
    filed = read_approved(text)
    if filed.plan.draft:
        words = "the plan is a draft, it could not read: %s. Plan again as root."
        raise Refused([words % "; ".join(filed.plan.draft)])
    actor = actor or account.who()
    at, until = rfc3339(now()), moment(request.until)
    if until and until <= at:
        raise BadInput("--until %s is over: give a later day or moment" % request.until)
    sha = hashlib.sha256(filed.payload).hexdigest()
    made = Approval(
        plan_sha=sha,
        actor=actor,
        by=_words("--by", request.by) or actor.account,
        ticket=_words("--ticket", request.ticket),
        at=at,
        until=until,
    )
    envelope = codec.loads(PlanFile, text, lenient=False)
    approvals = (*envelope.approvals, made)
    return Approved(
        filed.plan, approvals, codec.dumps(replace(envelope, approvals=approvals)) + "\n"
    )


def _words(option: str, words: str) -> str:
    if len(words) > LIMIT or not words.isprintable():
        raise BadInput("%s: at most %d printable characters" % (option, LIMIT))
    return words.strip()


def approve_file(path: str, request: Request) -> Approved:
    """Approves the plan in a file, which keeps its mode, and its owner where we may give it back.
    Raises as `approve`, and BadInput where the file cannot be read or written.
    """
    try:
        with open(path, "rb") as file:
            text, found = file.read(), os.fstat(file.fileno())
        done = approve(text, request)
        where = os.path.realpath(path)
        descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(where), prefix=".mailseal-")
        try:
            with open(descriptor, "w", encoding="ascii") as file_:
                file_.write(done.text)
                file_.flush()
                with contextlib.suppress(PermissionError):
                    os.fchown(descriptor, found.st_uid, found.st_gid)
                os.fchmod(descriptor, found.st_mode & 0o7777)
                os.fsync(descriptor)
            os.replace(temporary, where)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise BadInput("%s cannot be approved: %s" % (path, error.strerror)) from None
    return done
