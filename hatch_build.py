"""Builds the part that is written in C, where it can be built.

Strategy: one file, one call of the compiler that Python was built for. Whoever has no compiler, or
no headers of Python, gets a package that does the same more slowly (`capture/past.py`), and is told
so. A wheel with it serves every version from 3.11 on (the limited API) on one kind of machine.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = os.path.join("src", "mailseal", "capture", "_past.c")
BUILT = os.path.join("src", "mailseal", "capture", "_past.abi3.so")
TAG = "cp311-abi3"


class Builder(BuildHookInterface[Any]):
    """Compiles before the package is put together."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See hatchling's documentation of build hooks."""
        problem = _compile(self.root)
        if problem:
            self.app.display_warning(f"without its part in C, which is slower: {problem}")
            return
        build_data["artifacts"].append("/" + BUILT.replace(os.sep, "/"))
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"{TAG}-{platform}"


def _compile(root: str) -> str:
    """Why it could not be built; empty where it was. What was built before is replaced."""
    target = os.path.join(root, BUILT)
    if os.path.exists(target):
        os.remove(target)
    compiler = shlex.split(os.environ.get("CC", "") or "cc")
    headers = sysconfig.get_path("include")
    if not sys.platform.startswith("linux") or sys.implementation.name != "cpython":
        return "it is for Python itself, on Linux"
    if not shutil.which(compiler[0]):
        return f"there is no compiler {compiler[0]}"
    if not os.path.exists(os.path.join(headers, "Python.h")):
        return f"there is no Python.h in {headers}"
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-fstack-protector-strong"]
    draft = target + ".new"
    source = os.path.join(root, SOURCE)
    command = [*compiler, *flags, "-I", headers, "-o", draft, source]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return done.stderr[-2000:]
    os.replace(draft, target)
    return ""
