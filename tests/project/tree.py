"""The project's own files, for tests that hold house rules against all of them.

Walks the folders rather than asking git: a file counts before it is added, and a copy without a
repository is judged the same. Run as a program it prints the modules of the agent floor,
for script/check.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src"
PACKAGE = SRC / "mailseal"
FOLDERS = (".ci", "bench", "docs", "lab", "requirements", "script", "src", "tests")
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]


def files() -> Iterator[Path]:
    """Every file of the project, generated ones left out; sorted, so that test ids are stable."""
    yield from sorted(path for path in ROOT.iterdir() if path.is_file() and path.name != ".git")
    for folder in FOLDERS:
        yield from (
            path
            for path in sorted((ROOT / folder).rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts
        )


def texts() -> Iterator[tuple[Path, str]]:
    """Those of the files that are UTF-8 text, with it. Captures and transcripts may be neither."""
    for path in files():
        try:
            yield path, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def rooms(names: list[str]) -> Iterator[Path]:
    """The folder or the single file of each named room that exists."""
    for name in names:
        for path in (PACKAGE / name, PACKAGE / f"{name}.py"):
            if path.exists():
                yield path


def modules(room: Path) -> Iterator[Path]:
    """The Python files of a room."""
    yield from sorted(room.rglob("*.py")) if room.is_dir() else (room,)


def dotted(path: Path) -> str:
    """`src/mailseal/probe/tls.py` is `mailseal.probe.tls`; a package goes by its folder's name."""
    return ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__")


def agent_floor() -> Iterator[Path]:
    """The modules that must run on Python 3.9 with nothing but the standard library."""
    settings = SETTINGS["mailseal"]
    for room in rooms(settings["agent-floor"]):
        for path in modules(room):
            if dotted(path) not in settings["agent-floor-except"]:
                yield path


if __name__ == "__main__":
    print(*(path.relative_to(ROOT) for path in agent_floor()))
