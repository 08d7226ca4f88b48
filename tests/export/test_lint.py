"""What we tell others to lint is what we give them: in every stunnel.conf that the pages show, and
with its units in what plans write and exports hold, there is nothing to find.
"""

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from mailseal.lint import lint
from mailseal.lint.kinds import kind_of
from mailseal.model import ops
from mailseal.plan import make
from mailseal.terminators import elsewhere
from tests.export.make import STARTERS, plan
from tests.export.test_clientpack import pack
from tests.export.test_runbook import configuration
from tests.plan import test_gateway
from tests.project.tree import ROOT

KINDS = ("stunnel", "service", "socket")
FAULTY = {"lint", "reference"}
"""Folders of pages that show what is wrong, and what others ship."""
KNOWN = {
    # They start as root, let go of it, and say that stunnel is to be restarted, never reloaded.
    f"runbook {system}": {"stunnel-setuid-low-port"}
    for system in ("freebsd", "openbsd", "macos")
}
"""What there is to find, and why it is so all the same."""


def shown() -> Iterator[tuple[str, bytes]]:
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        if page.parent.name not in FAULTY:
            for text in re.findall(r"^```\w*\n(.*?)^```", page.read_text(), re.DOTALL | re.M):
                if kind_of("", text.encode()) == "stunnel":
                    yield page.name, text.encode()


def written() -> Iterator[tuple[str, bytes]]:
    plans = {each: plan(each) for each in STARTERS} | {"offer": plan(stage="offer")}
    facts = test_gateway.facts()
    for name in ("trusted", "inside"):
        backend = test_gateway.TRUSTED if name == "trusted" else test_gateway.INSIDE
        options = replace(test_gateway.OFFER, backend=backend)
        plans[f"gateway {name}"] = make(facts, 110, "pop3", options)
    for name, made in plans.items():
        for op in made.ops:
            if not isinstance(op, ops.WriteFile | ops.TryTerminator):
                continue
            if kind_of(op.path, op.content) in KINDS:
                yield f"{name}: {op.path}", op.content


def exported() -> Iterator[tuple[str, bytes]]:
    for name, content in pack().items():
        if kind_of(name, content) in KINDS:
            yield f"client pack {name}", content
    for system in elsewhere.SYSTEMS:
        yield f"runbook {system}", configuration(system).encode()


EVERY = [*shown(), *written(), *exported()]


def test_all_are_looked_at():
    names = {name for name, _ in EVERY}
    assert names >= {"close-the-finding.md", "client pack windows/stunnel.conf", "runbook windows"}
    assert sum("mailseal" in name for name in names) >= 6


@pytest.mark.parametrize(("name", "data"), [pytest.param(*each, id=each[0]) for each in EVERY])
def test_it_is_clean(name: str, data: bytes):
    path = name if kind_of(name, data) else "stunnel.conf"
    found = lint(path, data)
    assert found.unread == ""
    assert {each.rule for each in found.faults} == KNOWN.get(name, set())
