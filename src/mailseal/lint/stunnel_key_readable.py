"""A key that users of this host can read who are neither its owner nor in its group.

Without `key` it is in the file of `cert`.
"""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.lint.base import Here, Hit, Rule
from mailseal.lint.sections import named_paths, parts
from mailseal.model.finding import Severity


def check(here: Here) -> Iterator[Hit]:
    both = {part.value("cert") for part in parts(here.document) if not part.value("key")}
    for key, option, path in named_paths(here.document):
        found = here.there.get(path)
        if found and found.mode & 0o004 and (key == "key" or (key == "cert" and path in both)):
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
