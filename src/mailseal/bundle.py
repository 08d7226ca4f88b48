"""The agent as one file, `mailseal.pyz`: standard library only, for Python 3.9 and newer.

The same modules as the package, from wherever they are loaded now (a checkout, an installed
package, another bundle), so that a run can carry its own executor: an upgrade or removal of
mailseal does not orphan what is under way.
"""

from __future__ import annotations

import io
import pkgutil
import sys
import zipfile
from typing import Iterator, Tuple

PACKAGES = (
    "model", "protocols", "configs", "system", "daemons", "facts", "starters", "apply", "prove",
    "probe",
)  # fmt: skip
MODULES = ("__init__", "bundle", "agent")
LEFT_OUT = ("mailseal.system.memory", "mailseal.probe.directory")
"""What no run on a host needs: the simulated machine of the tests, and the records of domains."""

_MAIN = b"""\
import sys

if sys.version_info < (3, 9):
    sys.exit("mailseal's agent needs Python 3.9 or newer, this is %d.%d" % sys.version_info[:2])

if sys.argv[1:] == ["look"]:
    from mailseal.probe.asked import main

    sys.exit(main())

from mailseal.agent import main

sys.exit(main(sys.argv[1:]))
"""

_STAMP = (2020, 1, 1, 0, 0, 0)
"""Every entry's time: equal sources give equal bytes."""


def build() -> bytes:
    """The bytes of the bundle."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(_entries()):
            archive.writestr(zipfile.ZipInfo(name, _STAMP), data, zipfile.ZIP_DEFLATED)
    return memory.getvalue()


def _entries() -> Iterator[Tuple[str, bytes]]:
    import mailseal

    yield "__main__.py", _MAIN
    for name in MODULES:
        yield _entry("mailseal", name)
    for package in PACKAGES:
        module = __import__("mailseal." + package, fromlist=["__path__"])
        yield _entry("mailseal." + package, "__init__")
        for found in pkgutil.iter_modules(module.__path__, module.__name__ + "."):
            if found.name not in LEFT_OUT:
                yield _entry(*found.name.rsplit(".", 1))
    assert mailseal.__file__


def _entry(package: str, name: str) -> Tuple[str, bytes]:
    data = pkgutil.get_data(package, name + ".py")
    if data is None:
        raise OSError("%s.%s has no source to bundle" % (package, name))
    return "%s/%s.py" % (package.replace(".", "/"), name), data


def main() -> int:
    """`python -m mailseal.bundle FILE`: writes the bundle."""
    if len(sys.argv) != 2:
        print("usage: python -m mailseal.bundle FILE", file=sys.stderr)
        return 2
    with open(sys.argv[1], "wb") as file:
        file.write(b"#!/usr/bin/env python3\n" + build())
    return 0


if __name__ == "__main__":
    sys.exit(main())
