"""Builds the parts that are written in C, where they can be built.

Strategy: a file each, one call of the compiler that Python was built for. Whoever has no compiler,
or no headers of Python, gets a package that does the same more slowly (`capture/past.py`,
`logs/lines.py`), and is told so. A wheel with them serves every version from 3.11 on (the limited
API) on one kind of machine.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PARTS = tuple(
    os.path.join("src", "mailseal", *each) for each in (("capture", "_past"), ("logs", "_lines"))
)
"""Without what follows the name: `.c`, and `.abi3.so` where it was built."""
TAG = "cp311-abi3"


class Builder(BuildHookInterface[Any]):
    """Compiles before the package is put together."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See hatchling's documentation of build hooks."""
        problem = _problem() or next(filter(None, map(_compile, self._paths())), "")
        if problem:
            self.app.display_warning(f"without its parts in C, which is slower: {problem}")
            return
        built = (f"/{part}.abi3.so".replace(os.sep, "/") for part in PARTS)
        build_data["artifacts"].extend(built)
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"{TAG}-{platform}"

    def _paths(self) -> Iterator[str]:
        """Those of PARTS; what was built before is taken away first."""
        paths = [os.path.join(self.root, part) for part in PARTS]
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                os.remove(path + ".abi3.so")
        return iter(paths)


def _compiler() -> list[str]:
    return shlex.split(os.environ.get("CC", "") or "cc")


def _headers() -> str:
    return sysconfig.get_path("include")


def _problem() -> str:
    """Why nothing can be built; empty where it can."""
    if not sys.platform.startswith("linux") or sys.implementation.name != "cpython":
        return "it is for Python itself, on Linux"
    if not shutil.which(_compiler()[0]):
        return f"there is no compiler {_compiler()[0]}"
    if not os.path.exists(os.path.join(_headers(), "Python.h")):
        return f"there is no Python.h in {_headers()}"
    return ""


def _compile(part: str) -> str:
    """Why it could not be built; empty where it was."""
    flags = ["-O3", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-fstack-protector-strong"]
    draft = part + ".abi3.so.new"
    command = [*_compiler(), *flags, "-I", _headers(), "-o", draft, part + ".c"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return done.stderr[-2000:]
    os.replace(draft, part + ".abi3.so")
    return ""
