"""A plan and a receipt for people.

Strategy: the first lines say who is cut off, before anything else. Then each step in a line, with
the difference it makes to a file; then the gap, the risks, the claims, and how to go back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from mailseal.model import firewall, ops
from mailseal.model.look import Endpoint
from mailseal.model.plan import STAGED, Plan, Proof, Receipt, Result, RunState
from mailseal.report.layout import bullets, unified_diff
from mailseal.report.style import PLAIN, Style, harmless


def plan(made: Plan, contents: Mapping[str, bytes], style: Style = PLAIN) -> Iterator[str]:
    """The plan's lines. `contents`: bytes of the files it edits, where they are known."""
    yield style.paint("Plan for %s: %s" % (harmless(made.host), _what(made)), "bold")
    for line in made.headline:
        yield style.paint(harmless(line), "red" if line.isupper() or "STOPS" in line else "bold")
    if made.draft:
        yield style.paint("A DRAFT: it cannot be applied. It could not read:", "yellow")
        yield from bullets(made.draft)
    yield ""
    yield "Steps"
    for number, op in enumerate((op for op in made.ops if _WORDING[type(op)](op)), 1):
        yield "  %2d. %s" % (number, harmless(_WORDING[type(op)](op)))
        yield from ("        " + line for line in _change(op, contents, style))
    yield ""
    yield "Without service:  " + harmless(made.gap)
    for line in made.declared:
        yield "Declared:         " + harmless(line)
    for risk in made.risks:
        yield "Risk:             " + harmless(risk)
    yield "Proven after it:  " + "; ".join(
        "%s at %s (%s)" % (claim.kind.value, claim.endpoint, claim.vantage.value)
        for claim in made.claims
    )
    yield "Undo:             every step is journaled; any failure undoes them all, as does"
    yield "                  `mailseal rollback`, and the old service is proven to be back"


def _what(made: Plan) -> str:
    stage = ", stage " + made.stage if made.strategy in STAGED else ""
    words = "%s%s, %s on port %d"
    return words % (made.strategy, stage, made.protocol.upper(), made.endpoint.port)


def _unit(op: ops.UnitAction) -> str:
    if not op.do:
        return ""
    return "%s %s" % (op.do, op.unit) if op.unit else "systemctl " + op.do


_WORDING: dict[type[Any], Callable[[Any], str]] = {
    ops.InstallPackage: lambda op: "install package %s, nothing of it started" % op.name,
    ops.MakeDirectory: lambda op: (
        "create directory %s (%s:%s %04o)" % (op.path, op.owner, op.group, op.mode)
    ),
    ops.WriteFile: lambda op: "create %s (%s:%s %04o)" % (op.path, op.owner, op.group, op.mode),
    ops.CopyFile: lambda op: "copy %s to %s" % (op.source, op.path),
    ops.EditFile: lambda op: "change %s" % op.path,
    ops.MakeLink: lambda op: "link %s" % op.path,
    ops.IssueCertificate: lambda op: (
        "make a private CA and a certificate for %s (%d days)" % (", ".join(op.names), op.days)
    ),
    ops.UnitAction: _unit,
    ops.TryTerminator: lambda op: (
        "try stunnel on a loopback port: the service's greeting must come through TLS"
    ),
    ops.OpenPort: lambda op: (
        "let everybody in to TCP port %d in the firewall: %s" % (op.port, firewall.typed(op))
    ),
    ops.CheckConfiguration: lambda op: (
        "ask the daemon itself: %s%s"
        % (
            " ".join(op.argv),
            ", which must print: " + "; ".join(op.prints) if op.prints else "",
        )
    ),
    ops.Steer: lambda op: (
        "%s leading new connections at %s to a second stunnel (nftables)"
        % (op.do, ", ".join(str(Endpoint(each.address, each.port)) for each in op.routes))
    ),
}
"""An op in one line; empty for one that counts on the way back alone."""


def _change(op: ops.Op, contents: Mapping[str, bytes], style: Style) -> Iterable[str]:
    if isinstance(op, ops.WriteFile):
        return unified_diff(op.path, b"", op.content, style)
    if not isinstance(op, ops.EditFile):
        return ()
    before = contents.get(op.path)
    if before is None:
        return (
            line
            for splice in op.splices
            for line in unified_diff(op.path, splice.old, splice.new, style)
        )
    after = before
    for splice in sorted(op.splices, key=lambda splice: splice.offset, reverse=True):
        after = after[: splice.offset] + splice.new + after[splice.offset + len(splice.old) :]
    return unified_diff(op.path, before, after, style)


_STATE: dict[RunState, tuple[str, str]] = {
    RunState.COMMITTED: ("done and confirmed", "green"),
    RunState.HELD: ("done, waiting to be confirmed", "yellow"),
    RunState.UNDONE: ("undone: the host is as before", "yellow"),
    RunState.UNDO_FAILED: ("NOT WHOLLY UNDONE: a person must look", "red"),
    RunState.APPLYING: ("not finished", "red"),
    RunState.UNDOING: ("undoing was not finished", "red"),
}

_RESULT = {Result.PASS: "green", Result.FAIL: "red", Result.UNKNOWN: "yellow"}


def receipt(made: Receipt, style: Style = PLAIN) -> Iterator[str]:
    """What became of a run."""
    words, how = _STATE[made.state]
    yield "Run %s on %s: %s" % (made.run, harmless(made.host), style.paint(words, how))
    if made.reason:
        yield "  reason    " + harmless(made.reason)
    if made.deadline:
        yield "  until     %s, then it is undone" % made.deadline
    for excepted in made.excepted:
        yield "  cleartext " + harmless(str(excepted))
    for line in made.declared:
        yield "  declared  " + harmless(line)
    for name in made.exceptions:
        yield "  stays     package %s, which this run installed, with its user" % harmless(name)


def proofs(made: Iterable[Proof], style: Style = PLAIN) -> Iterator[str]:
    """Proofs, one a line."""
    for proof in made:
        claim = proof.claim
        words = "%-18s %-28s %s" % (claim.kind.value, claim.endpoint, "; ".join(proof.evidence))
        yield "  %s  %s" % (
            style.paint("%-7s" % proof.result.value, _RESULT[proof.result]),
            harmless(words),
        )
