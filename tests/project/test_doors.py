"""Who may reach the network, processes, files and clocks: one table, held against every module.

ruff's banned-api bans for all or for none; these bans have doors. Imports are read from the syntax
tree, also those inside functions. Names that stand for a call (`open`, `.read_text`) are looked for
where the room is pure: there a value is handed in, and no file or clock is read.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.project.tree import PACKAGE, dotted, modules

# What is imported, and the rooms that may.
NETWORK = {"socket", "ssl", "select", "selectors", "asyncio", "socketserver", "http"}
PROCESS = {"subprocess", "pty", "multiprocessing", "ctypes"}
DOORS = (
    # Looks go through `probe` alone; `watch` sends notices and answers who asks for metrics.
    (NETWORK | {"urllib.request"}, {"probe", "system", "capture", "watch", "demo"}),
    # The demo brings a machine of its own, whose init it is.
    (PROCESS, {"system", "demo"}),
)
# Rooms that get bytes and values and give values: the same today as tomorrow, here as elsewhere.
PURE = {
    "model", "protocols", "configs", "imports", "logs", "assess", "rules", "lint", "assets", "plan",
    "export",
}  # fmt: skip
PURE_IMPORTS = {
    "time", "random", "secrets", "tempfile", "shutil", "glob", "io", "logging", "threading",
    "pathlib.Path", "os.environ", "os.urandom",
}  # fmt: skip
PURE_CALLS = {
    "open", "input", "print", "now", "utcnow", "today", "urandom", "getenv",
    "read_text", "read_bytes", "write_text", "write_bytes", "listdir", "scandir", "iterdir",
}  # fmt: skip


def violations(room: str, source: str) -> Iterator[str]:
    """What a module of the room uses that has another door."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.stmt | ast.expr):
            continue
        match node:
            case ast.Import(names=names):
                used = [alias.name for alias in names]
            case ast.ImportFrom(module=str(module), names=names):
                used = [module, *(f"{module}.{alias.name}" for alias in names)]
            case ast.Attribute(value=ast.Name(id=owner), attr=name):
                used = [f"{owner}.{name}"]
            case _:
                used = []
        for name in used:
            if any(room not in rooms and _within(name, doors) for doors, rooms in DOORS):
                yield f"line {node.lineno}: {name} belongs to another room"
            elif room in PURE and _within(name, PURE_IMPORTS):
                yield f"line {node.lineno}: {name} in a pure room"
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
                if room in PURE and name in PURE_CALLS:
                    yield f"line {node.lineno}: {name}() in a pure room"


def _within(name: str, modules: set[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


@pytest.mark.parametrize("path", list(modules(PACKAGE)), ids=dotted)
def test_everybody_uses_the_doors(path: Path):
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert list(violations(room, path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("prove", "import socket"),
        ("plan", "from ssl import SSLContext"),
        ("workflow", "def f():\n    from subprocess import run"),
        ("probe", "import subprocess"),
        ("apply", "import urllib.request"),
        ("watch", "import subprocess"),
        ("rules", "from pathlib import Path"),
        ("assess", "open('x')"),
        ("protocols", "import time"),
        ("plan", "datetime.now(UTC)"),
        ("configs", "where.read_text()"),
        ("plan", "os.environ['HOME']"),
    ],
)
def test_what_is_refused(room: str, source: str):
    assert list(violations(room, source))


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("probe", "import socket, ssl, time"),
        ("system", "import subprocess"),
        ("watch", "import http.client"),
        ("plan", "from pathlib import PurePosixPath"),
        ("model", "from datetime import datetime, timezone"),
        ("report", "from urllib.parse import quote"),
        ("apply", "import time"),
    ],
)
def test_what_is_taken(room: str, source: str):
    assert list(violations(room, source)) == []
