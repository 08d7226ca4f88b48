"""InSpec: a profile whose controls are a plan's claims.

Strategy: the controls are static Ruby (in the kit) that read the claims from a JSON file of the
profile, and make each by the same script that OpenSCAP runs. So no text of a plan is ever Ruby, and
a string of JSON is the only quoting there is; the profile's own file is JSON too, which is YAML.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from mailseal.export import checks
from mailseal.export.base import CannotExport, File, Source, plain

FORM = "inspec"
_CONTROLS = "inspec.rb"
_IMPACT = {"high": 0.7, "medium": 0.5, "low": 0.3}
"""InSpec's numbers for what XCCDF has words for."""


def export(sources: Sequence[Source]) -> tuple[File, ...]:
    """`inspec.yml`, `controls/mailseal.rb`, `files/`. Raises CannotExport."""
    host = checks.host_of(sources, FORM)
    found = checks.checks(sources)
    if not found:
        raise CannotExport("the plan claims nothing: there is nothing to check")
    profile = {
        "name": "mailseal",
        "title": "Mail services of %s take no login in cleartext" % plain(host),
        "version": "1.0.0",
        "summary": checks.about(sources),
        "license": "Apache-2.0",
        "supports": [{"platform": "linux"}],
    }
    claims = [
        {
            "id": each.id,
            "title": each.title,
            "why": checks.WHY,
            "impact": _IMPACT[each.severity],
            "cwe": checks.WEAKNESS,
            "standard": checks.STANDARD[0],
            "url": checks.STANDARD[1],
            "remote": each.remote,
            "values": dict(each.values),
        }
        for each in found
    ]
    kit = sources[0].kit
    return (
        File("inspec.yml", 0o644, _json(profile)),
        File("controls/mailseal.rb", 0o644, kit[_CONTROLS]),
        File("files/claims.json", 0o644, _json(claims)),
        File("files/" + checks.LOOK, 0o644, kit[checks.LOOK]),
    )


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=2).encode("ascii") + b"\n"
