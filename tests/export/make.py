"""Plans and sources for the tests of the exporters."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import replace
from typing import Any

from mailseal.configs import openssl
from mailseal.export import Source
from mailseal.model.ops import Firewall, Op, Splice
from mailseal.model.plan import Plan
from mailseal.plan import Options, make
from tests.plan.hosts import facts

STARTERS = ("inetd", "xinetd", "systemd", "socket")
KINDS: tuple[type[Any], ...] = typing.get_args(Op)


def plan(starter: str = "inetd", strategy: str = "wrap", stage: str = "enforce") -> Plan:
    """The planner's own."""
    options = Options(strategy=strategy, stage=stage, name="mail.example")
    return make(facts(starter), 109, "pop2", options)


def source(made: Plan | None = None, authority_file: bytes = b"", /, **changes: object) -> Source:
    """What an exporter is handed, for a plan with these changes."""
    changed = replace(made or plan(), **changes)  # type: ignore[arg-type]
    return Source(changed, "0" * 64, openssl.configurations, authority_file)


def sample(kind: type[Any], words: str = "/x") -> Op:
    """Some op of a kind, whatever its fields are; `words` is each of its texts."""
    plain: dict[object, object] = {str: words, int: 1, float: 1.0, bool: True}
    plain[bytes] = words.encode()
    plain[tuple[str, ...]] = plain[typing.Tuple[str, ...]] = (words,)  # noqa: UP006
    plain[tuple[Splice, ...]] = (Splice(0, b"", words.encode()),)
    plain[Firewall] = Firewall.NFTABLES
    hints = typing.get_type_hints(kind)
    values = {
        field.name: plain.get(hints[field.name], ())
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING
    }
    made: Op = kind(**values)
    return made
