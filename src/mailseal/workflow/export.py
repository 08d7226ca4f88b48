"""What `mailseal export` does: a plan file to files for another executor.

Strategy: reads nothing but the package's own data and writes nothing; gives the exporter what it is
to have from other rooms.
A draft is refused as `apply` refuses it: what was not read may be what matters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from importlib import resources
from importlib.resources.abc import Traversable

from mailseal import export as exporters
from mailseal.configs import openssl
from mailseal.export import CannotExport, File, Source
from mailseal.workflow import BadInput
from mailseal.workflow.plans import read_file

FORMS = (*exporters.EXPORTERS, *exporters.FLEETS)
KIT = "kit"
_ROLE = "role"


def export(texts: Sequence[bytes], form: str, trusted: bytes = b"") -> tuple[File, ...]:
    """The files of a form of FORMS, from the text of a plan file, or of several where the form is
    for several; `trusted` is the PEM file of the CA that clients are to trust. Raises BadInput,
    codec.CodecError, EditedPlan.
    """
    sources = [_source(text, trusted) for text in texts]
    try:
        if form in exporters.FLEETS:
            return exporters.FLEETS[form](sources)
        if len(sources) > 1:
            raise BadInput("%s is a form of one plan: export them one after the other" % form)
        return exporters.EXPORTERS[form](sources[0])
    except CannotExport as error:
        raise BadInput(str(error)) from None


def _source(text: bytes, trusted: bytes) -> Source:
    plan, payload = read_file(text)
    if plan.draft:
        raise BadInput(
            "this plan is a draft, it could not read %s: make it again as root" % plan.draft[0]
        )
    digest = hashlib.sha256(payload).hexdigest()
    return Source(plan, digest, openssl.configurations, trusted, role(), kit())


def kit() -> dict[str, bytes]:
    """What the exports for scanners have in common, by name; it is data of the package."""
    return dict(_within(resources.files(exporters).joinpath(KIT), ""))


def role() -> tuple[File, ...]:
    """The role for Ansible, as `roles/mailseal/...`; it is data of the package."""
    folder = resources.files(exporters).joinpath(_ROLE)
    return tuple(File("roles/mailseal/" + name, 0o600, data) for name, data in _within(folder, ""))


def _within(folder: Traversable, above: str) -> Iterator[tuple[str, bytes]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _within(entry, above + entry.name + "/")
        else:
            yield above + entry.name, entry.read_bytes()
