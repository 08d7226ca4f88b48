"""Which package brought a file: dpkg-query(1), rpm(8).

Strategy: ask for all paths at once where the package manager can, and read only what it promises to
print. Debian records some paths by the names they had before /usr was merged, so both are asked.
"""

from __future__ import annotations

import re
from typing import Callable, Dict, Iterable, List, Mapping, Sequence, Tuple

from mailseal.system.reader import Reader

Package = Tuple[str, str]
"""Name and version."""

_MERGED = re.compile(r"/usr(/(?:bin|sbin|lib[^/]*)/)")


def owners(reader: Reader, paths: Iterable[str]) -> Mapping[str, Package]:
    """Path to package, of those that a package brought."""
    wanted = sorted(set(paths))
    for program, ask in _MANAGERS:
        if wanted and reader.matching(program):
            return ask(reader, wanted)
    return {}


def _dpkg(reader: Reader, paths: Sequence[str]) -> Dict[str, Package]:
    # What has a wildcard in its name would be taken for a pattern.
    plain = [path for path in paths if not re.search(r"[\\*?\[]", path)]
    asked = {_MERGED.sub(r"\1", path, count=1): path for path in plain}
    asked.update((path, path) for path in plain)
    said = reader.ask("dpkg-query", "-S", *sorted(asked), partial=True) if asked else ""
    names: Dict[str, str] = {}
    for line in said.splitlines():
        packages, colon, path = line.partition(": /")
        if colon and "/" + path in asked and not re.match(r"(?:local )?diversion ", packages):
            names[asked["/" + path]] = packages.split(", ")[0]
    form = "-f=${binary:Package} ${Version}\n"
    listed = sorted(set(names.values()))
    said = reader.ask("dpkg-query", "-W", form, *listed, partial=True) if listed else ""
    versions = dict(_pairs(said.splitlines()))
    return {path: (name, versions.get(name, "")) for path, name in names.items()}


def _rpm(reader: Reader, paths: Sequence[str]) -> Dict[str, Package]:
    found = {}
    for path in paths:
        said = reader.ask("rpm", "-qf", "--qf", "%{NAME} %{VERSION}-%{RELEASE}\n", path)
        for name, version in _pairs(said.splitlines()[:1]):
            found[path] = (name, version)
    return found


def _pairs(lines: Sequence[str]) -> List[Package]:
    """Lines of two words."""
    return [(words[0], words[1]) for words in map(str.split, lines) if len(words) == 2]


_MANAGERS: Tuple[Tuple[str, Callable[[Reader, Sequence[str]], Dict[str, Package]]], ...] = (
    ("/usr/bin/dpkg-query", _dpkg),
    ("/usr/bin/rpm", _rpm),
)
"""The program that shows that a manager is there, and how it is asked."""
