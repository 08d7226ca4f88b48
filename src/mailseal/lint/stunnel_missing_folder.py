"""`pid` or `output` in a folder that this host does not have."""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.lint.base import Here, Hit, Rule
from mailseal.lint.sections import named_paths
from mailseal.model.finding import Severity


def check(here: Here) -> Iterator[Hit]:
    for key, option, path in named_paths(here.document):
        missing = path in here.there.paths and here.there.paths[path] is None
        if key in ("pid", "output") and missing:
            yield Hit(option.value.span, f"there is no folder {path}", stops=True)


RULE = Rule(
    id="stunnel-missing-folder",
    title="A folder that is not there",
    severity=Severity.HIGH,
    kind="stunnel-here",
    why="stunnel does not start where it cannot write its pid file or its log.",
    fix=(
        "Create the folder (under systemd: RuntimeDirectory= or LogsDirectory=), or write pid = "
        "and leave output out: systemd needs neither."
    ),
    check=check,
)
