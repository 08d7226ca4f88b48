"""What `mailseal export` does: a plan file to files for another executor.

Strategy: reads and writes nothing itself; gives the exporter what it is to have from other rooms.
A draft is refused as `apply` refuses it: what was not read may be what matters.
"""

from __future__ import annotations

import hashlib

from mailseal import export as exporters
from mailseal.apply import authority
from mailseal.export import CannotExport, File, Source
from mailseal.workflow import BadInput
from mailseal.workflow.plans import read_file

FORMS = tuple(exporters.EXPORTERS)


def export(text: bytes, form: str, trusted: bytes = b"") -> tuple[File, ...]:
    """The files of a form of FORMS, from a plan file's text; `trusted` is the PEM file of the CA
    that clients are to trust. Raises BadInput, codec.CodecError, EditedPlan.
    """
    plan, payload = read_file(text)
    if plan.draft:
        raise BadInput(
            "this plan is a draft, it could not read %s: make it again as root" % plan.draft[0]
        )
    digest = hashlib.sha256(payload).hexdigest()
    try:
        return exporters.EXPORTERS[form](Source(plan, digest, authority.configurations, trusted))
    except CannotExport as error:
        raise BadInput(str(error)) from None
