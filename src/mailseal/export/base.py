"""What exporters get and give: a Source, and files.

Strategy: an exporter is a pure function from one to the other, so that a test can read all that it
would write. What needs another room (the configuration of a private CA) is handed in. Text of a
plan may come from elsewhere (names of users stand in log files), so everything that is shown passes
`plain`, and everything that is run is quoted where it is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from mailseal.model.ops import Op, Steer
from mailseal.model.plan import Plan

T = TypeVar("T")

HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
"""What is safe as the name of a host: of a file, in an inventory, in a monitor's configuration."""
SERVER = re.compile(r"[A-Za-z0-9_.:-]{1,255}")
"""What is safe as a name or address that a certificate is for."""


class CannotExport(Exception):
    """This plan has no such form. `str()` says why and what would help."""


@dataclass(frozen=True)
class File:
    """`name` is relative, with `/` between folders; `mode` as in chmod(2)."""

    name: str
    mode: int
    content: bytes


@dataclass(frozen=True)
class Source:
    """A plan, the hash of its payload, and what it does not hold: `authority` is the PEM file that
    clients are to trust (empty: not given), `configurations` gives openssl.cnf(5) for the CA
    ("ca.cnf") and the certificate ("leaf.cnf") of these names, `role` is the role for Ansible,
    `kit` has by name the files that are the same for every plan in the forms for scanners.
    """

    plan: Plan
    sha256: str
    configurations: Callable[[tuple[str, ...]], Mapping[str, str]]
    authority: bytes = b""
    role: tuple[File, ...] = ()
    kit: Mapping[str, bytes] = field(default_factory=dict)


Exporter = Callable[[Source], tuple[File, ...]]
FleetExporter = Callable[[Sequence[Source]], tuple[File, ...]]


_LEFT_OUT = (
    "%s (the step steer, by which `mailseal apply` leads new connections past that, is left out)"
)


def without_steering(source: Source) -> Source:
    """For forms that others execute: what leads connections elsewhere for a moment, and must not
    stay, is for who looks after it. The gap is then told as it is.
    """
    plan = source.plan
    gap = next((_LEFT_OUT % op.without for op in plan.ops if isinstance(op, Steer)), plan.gap)
    ops = tuple(op for op in plan.ops if not isinstance(op, Steer))
    return replace(source, plan=replace(plan, ops=ops, gap=gap))


def row(table: Mapping[type[Any], T], op: Op, form: str) -> T:
    """What a form's table says of an op. Raises CannotExport with the op's name where it has no
    row: a step that is left out in silence would be a host half sealed.
    """
    found = table.get(type(op))
    if found is None:
        raise CannotExport(
            "a plan with the step %s cannot be exported to %s: use `mailseal apply`"
            % (op.KIND, form)
        )
    return found


def plain(text: str) -> str:
    """Text on one line that can do nothing to a terminal or end a comment: what is not printable
    becomes its number.
    """
    return "".join(
        char if char.isprintable() else ("\\x%02x" if ord(char) < 0x100 else "\\u%04x") % ord(char)
        for char in text
    )
