"""The agent floor runs on a mail host as it is: Python 3.9, standard library, nothing to install.

Read from the syntax tree on whatever Python runs the tests, and imported by a real 3.9 where there
is one. The lab's Debian 11 host runs the whole agent.
"""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.project.tree import PACKAGE, SETTINGS, SRC, agent_floor, dotted

NEWER_THAN_3_9 = {"tomllib"}
STANDARD_LIBRARY = sys.stdlib_module_names - NEWER_THAN_3_9
FLOOR = ("mailseal", *(f"mailseal.{room}" for room in SETTINGS["mailseal"]["agent-floor"]))
EXCEPT = tuple(SETTINGS["mailseal"]["agent-floor-except"])
# Keywords the syntax allows and a 3.9 run time refuses.
NEW_KEYWORDS = {("dataclass", "slots"), ("dataclass", "kw_only"), ("zip", "strict")}


def violations(source: str) -> Iterator[str]:
    """What in a module would fail on Python 3.9 with the standard library alone."""
    try:
        tree = ast.parse(source, feature_version=(3, 9))
    except SyntaxError as error:
        yield f"line {error.lineno}: {error.msg}"
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.stmt | ast.expr):
            continue
        match node:
            case ast.Import(names=names):
                imported = [alias.name for alias in names]
            case ast.ImportFrom(module="mailseal", names=names, level=0):
                imported = [f"mailseal.{a.name}" for a in names if not a.name.startswith("__")]
            case ast.ImportFrom(module=str(module), level=0):
                imported = [module]
            case ast.ImportFrom():
                imported = []
                yield f"line {node.lineno}: relative import; write it out"
            case ast.ClassDef(body=body):
                imported = []
                # The codec evaluates the hints of fields, so a __future__ import does not help.
                yield from (
                    f"line {field.lineno}: write Optional or Union, not |"
                    for field in body
                    if isinstance(field, ast.AnnAssign)
                    and any(isinstance(part, ast.BitOr) for part in ast.walk(field.annotation))
                )
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), keywords=keywords):
                imported = []
                yield from (
                    f"line {node.lineno}: {name}({keyword.arg}=) is newer than 3.9"
                    for keyword in keywords
                    if (name, keyword.arg) in NEW_KEYWORDS
                )
            case _:
                imported = []
        for name in imported:
            if name.split(".")[0] not in STANDARD_LIBRARY and not on_the_floor(name):
                yield f"line {node.lineno}: {name} is not on the agent floor"


def on_the_floor(module: str) -> bool:
    if module == "mailseal":
        return True
    room = ".".join(module.split(".")[:2])
    return room in FLOOR and not module.startswith(EXCEPT or ("\0",))


@pytest.mark.parametrize("path", list(agent_floor()), ids=dotted)
def test_the_floor_needs_no_more_than_python_3_9(path: Path):
    assert list(violations(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("match x:\n    case 1: pass", "line 2: Pattern matching"),
        ("import rich", "rich is not on the agent floor"),
        ("from mailseal import cli", "mailseal.cli is not on the agent floor"),
        ("from mailseal.plan import wrap", "mailseal.plan is not on the agent floor"),
        ("import tomllib", "tomllib is not on the agent floor"),
        ("from . import look", "relative import"),
        ("class A:\n    b: int | None", "line 2: write Optional"),
        ("@dataclass(frozen=True, slots=True)\nclass A: pass", "dataclass(slots=)"),
        ("zip(a, b, strict=True)", "zip(strict=)"),
    ],
)
def test_what_the_floor_refuses(source: str, said: str):
    assert said in "".join(violations(source))


@pytest.mark.parametrize(
    "source",
    [
        "import os, ssl",
        "from mailseal import __version__",
        "from mailseal.model import Endpoint",
        "from mailseal import protocols",
        "flags = A | B",
        "from __future__ import annotations\ndef f(x: int | None): ...",
    ],
)
def test_what_the_floor_takes(source: str):
    assert list(violations(source)) == []


def test_ruff_reads_the_floor_as_python_3_9():
    patterns = SETTINGS["ruff"]["per-file-target-version"]
    listed = {
        name
        for pattern in patterns
        for name in pattern[pattern.index("{") + 1 : pattern.index("}")].split(",")
    }
    assert listed == set(SETTINGS["mailseal"]["agent-floor"])


def test_a_real_python_3_9_imports_the_floor():
    python = shutil.which("python3.9")
    if not python or subprocess.run([python, "-V"], capture_output=True).returncode:
        pytest.skip("no python3.9 here; the lab's Debian 11 host runs the agent")
    names = [dotted(path) for path in agent_floor()]
    code = f"import importlib\nfor name in {names!r}: importlib.import_module(name)"
    run = subprocess.run(
        [python, "-I", "-c", f"import sys; sys.path.insert(0, {str(SRC)!r})\n{code}"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr


def test_the_floor_is_found():
    assert PACKAGE / "model" / "__init__.py" in set(agent_floor())
