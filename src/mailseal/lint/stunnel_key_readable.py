"""A key that users of this host can read who are neither its owner nor in its group.

A section without `key` has it in the file of `cert`.
"""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.lint.base import Here, Hit, Rule
from mailseal.lint.sections import named_paths, parts
from mailseal.model.finding import Severity


def check(here: Here) -> Iterator[Hit]:
    holders = {part.last("key") or part.last("cert") for part in parts(here.document)}
    for _, option, path in named_paths(here.document):
        found = here.there.paths.get(path)
        if option in holders and found and found.key and found.mode & 0o004:
            yield Hit(option.value.span, f"{path} has mode {found.mode:04o}")


RULE = Rule(
    id="stunnel-key-readable",
    title="Everybody on the host can read the key",
    severity=Severity.HIGH,
    kind="stunnel-here",
    why=(
        "Whoever has the key can take the server's place, and read what was recorded of TLS 1.2 "
        "with an RSA key exchange. stunnel only warns of it."
    ),
    fix=(
        "chmod 0600, or 0640 with the group that stunnel runs in. A key that was readable is to "
        "be replaced."
    ),
    check=check,
)
