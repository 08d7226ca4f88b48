"""`setuid` beside a key that root alone may read."""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.lint.base import Here, Hit, Rule
from mailseal.lint.sections import lets_go, named_paths
from mailseal.model.finding import Severity


def check(here: Here) -> Iterator[Hit]:
    user = lets_go(here.document)
    for key, option, path in named_paths(here.document) if user else ():
        found = here.there.paths.get(path)
        if key == "key" and found and found.owner == 0 and not found.mode & 0o044:
            yield Hit(option.value.span, f"{user} cannot read {path} (mode {found.mode:04o})")


RULE = Rule(
    id="stunnel-setuid-key",
    title="A reload cannot read the key",
    severity=Severity.HIGH,
    kind="stunnel-here",
    why=(
        "stunnel reads the key again on SIGHUP, as the user of setuid. Where root alone may read "
        "it the reload fails, and the old certificate is served until it has expired."
    ),
    fix="Give the key to a group that stunnel runs in (setgid), with mode 0640.",
    check=check,
)
