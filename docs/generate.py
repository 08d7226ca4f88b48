"""Writes the generated part of the docs: the help of every command as docs/reference/cli/*.md.

Strategy: a page is what `--help` prints, at a fixed width: docs and program cannot differ. With
`--check` nothing is written, and pages that are not as they would be written are named (exit 1); a
page whose command is gone is one of them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import click

from mailseal.cli.commands import COMMANDS, mailseal

ROOT = Path(__file__).resolve().parent
FOLDER = ROOT / "reference" / "cli"
WIDTH = 100
"""Columns of the help texts."""
NOTE = "<!-- Written by script/docs from the program's own help: change it there. -->"


def pages() -> dict[str, str]:
    """File name to content, of every generated page."""
    rows = [f"| [{name}]({name}.md) | {entry.short} |" for name, entry in COMMANDS.items()]
    parent = mailseal.make_context("mailseal", [], resilient_parsing=True)
    index = _page("mailseal", mailseal, parent)
    made = {"index.md": "\n".join([index, "| command | |", "|---|---|", *rows, ""])}
    for name in COMMANDS:
        command = mailseal.get_command(parent, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=parent)
        made[f"{name}.md"] = _page(f"mailseal {name}", command, context)
    return made


def _page(title: str, command: click.Command, context: click.Context) -> str:
    context.terminal_width = WIDTH
    lines = [line.rstrip() for line in command.get_help(context).splitlines()]
    return "\n".join([NOTE, "", f"# {title}", "", "```text", *lines, "```", ""])


def stale(folder: Path, wanted: dict[str, str]) -> list[str]:
    """Names of pages in `folder` that are missing, differ, or should not be there."""
    there = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.md")}
    return sorted(
        name for name in there.keys() | wanted.keys() if there.get(name) != wanted.get(name)
    )


def main(arguments: list[str] | None = None) -> int:
    """Writes the pages, or only checks them; the exit code."""
    parser = argparse.ArgumentParser(description="Write the generated part of docs/.")
    parser.add_argument("--check", action="store_true", help="only say what would change")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    wanted = pages()
    names = stale(options.folder, wanted)
    if options.check:
        for name in names:
            print(f"stale: {name}; run script/docs", file=sys.stderr)
        return 1 if names else 0
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = options.folder / name
        if name in wanted:
            path.write_text(wanted[name], encoding="utf-8")
        else:
            path.unlink()
        print(f"written: {name}" if name in wanted else f"removed: {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
