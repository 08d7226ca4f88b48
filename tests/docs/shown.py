"""Every command line that the docs show, as it is to be typed.

Strategy: read from where people read it, the help texts and the pages. What a console block shows
behind a `$` is run page by page (tests/lab/test_docs.py); here are the examples of the help, and
the lines of other blocks that begin with a program's name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import click

from mailseal.cli.commands import COMMANDS, mailseal
from tests.project.tree import ROOT

_PROGRAMS = "mailseal|sudo|ssh|scp|sh|cp|export|systemctl|journalctl|tcpdump|inspec|script/"
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def examples() -> Mapping[str, list[str]]:
    """Each command to the lines under its `Examples:`, without what is said beside them."""
    context = click.Context(mailseal, info_name="mailseal")
    shown = {}
    for name in COMMANDS:
        command = mailseal.get_command(context, name)
        assert command is not None
        block = (command.epilog or "").partition("Example")[2].partition("\n\n")[0]
        lines = re.sub(r"\s*\\\n\s*", " ", block.partition("\n")[2]).splitlines()
        shown[name] = [re.split(r"\s{2,}", line.strip())[0] for line in lines]
    return shown


def loose() -> Mapping[str, list[str]]:
    """Each page to the commands in blocks that are no console."""
    found: dict[str, list[str]] = {}
    for page in sorted((ROOT / "docs").rglob("*.md")):
        if page.parent.name != "cli":
            lines = [
                line
                for kind, block in _BLOCK.findall(page.read_text())
                if kind in ("", "text", "sh")
                for line in block.splitlines()
                if re.match(rf"(?:{_PROGRAMS})\b", line)
            ]
            found.update({page.stem: lines} if lines else {})
    return found
