"""What is wrong with a configuration file: Fault, and the outcome for one file.

A fault is a rule broken at a place in a file. Unlike a finding it has no endpoint: the file may lie
on a build server, and the service may never have run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

from mailseal.model.finding import Severity


@dataclass(frozen=True)
class Fault:
    """`line` and `column` count from 1, the column in bytes. `stops`: the program does not start
    with it. `said` is what stands there and what comes of it, `fix` what to do; `fixable`: the
    safe fix is known and can be made.
    """

    rule: str
    severity: Severity
    stops: bool
    line: int
    column: int
    title: str
    said: str
    fix: str
    fixable: bool


@dataclass(frozen=True)
class Linted:
    """A file and its faults, in the order of the file. `kind` is what it was read as, empty where
    that is not known. `unread` is why nothing can be said of it, or of a part of it; empty where
    all of it was understood.
    """

    path: str
    kind: str
    faults: Tuple[Fault, ...]
    unread: str


@dataclass(frozen=True)
class LintReference:
    """What explains a rule: why it is one, and the page about it."""

    rule: str
    title: str
    severity: Severity
    why: str
    fix: str
    page: str


@dataclass(frozen=True)
class LintReport:
    """All files of one run as one document. `passed` counts the files of no known kind in folders,
    `mailseal` is the program's version.
    """

    mailseal: str
    files: Tuple[Linted, ...]
    passed: int
    rules: Tuple[LintReference, ...]
