"""`pid` or `output` where stunnel may not write.

Both are opened once stunnel has become the user of `setuid` (tried with 5.68): the log where it is
there already, the pid file always anew.
"""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.lint.base import Here, Hit, Rule
from mailseal.lint.sections import lets_go, named_paths
from mailseal.model.finding import Severity


def check(here: Here) -> Iterator[Hit]:
    user = lets_go(here.document)
    for key, option, folder in named_paths(here.document):
        if key not in ("pid", "output"):
            continue
        path = option.value.text if key == "output" else folder
        found = here.there.paths.get(path)
        if not found:
            path, found = folder, here.there.paths.get(folder)
        # Who else is in a group is not known.
        shut = user and found and found.owner == 0 and not found.mode & 0o022
        if found and (shut or found.read_only):
            yield Hit(option.value.span, f"{user or 'root'} cannot write {path}", stops=True)


RULE = Rule(
    id="stunnel-unwritable-file",
    title="A log or pid file that stunnel cannot write",
    severity=Severity.HIGH,
    kind="stunnel-here",
    why=(
        "stunnel opens its log and its pid file as the user of setuid, and does not start where "
        "it cannot."
    ),
    fix=(
        "Give the folder to that user (under systemd: LogsDirectory= or RuntimeDirectory= with "
        "User=), or write pid = and leave output out: systemd needs neither."
    ),
    check=check,
)
