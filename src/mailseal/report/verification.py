"""What was verified, for people, for tickets, for programs and for pipelines.

Strategy: one function a form, from the whole document to lines. Evidence holds words of servers and
passes `harmless`, in Markdown as code. What was not looked at is told in every form: a short list
must not look like a long one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mailseal.model.plan import Proof, Result
from mailseal.model.verification import Verification
from mailseal.report import records
from mailseal.report.junit import attributes, escaped
from mailseal.report.markdown import code
from mailseal.report.style import PLAIN, Style, harmless

_COLOURS = {Result.PASS: "green", Result.FAIL: "red", Result.UNKNOWN: "yellow"}
_WORDS = {Result.PASS: "pass", Result.FAIL: "FAIL", Result.UNKNOWN: "could not tell"}


def _grouped(made: Verification) -> dict[str, list[Proof]]:
    """By endpoint, in the order in which they came."""
    found: dict[str, list[Proof]] = {}
    for proof in made.proofs:
        found.setdefault(str(proof.claim.endpoint), []).append(proof)
    return found


_SEEN = "seen from "


def _parts(proof: Proof) -> tuple[str, tuple[str, ...]]:
    """The vantage, and the evidence without it."""
    first, *rest = proof.evidence or ("",)
    if first.startswith(_SEEN):
        return first.removeprefix(_SEEN), tuple(rest)
    return proof.claim.vantage.value, proof.evidence


def text(made: Verification, style: Style = PLAIN) -> Iterator[str]:
    """A block an endpoint, a line for each claim, its evidence behind it."""
    for place, proofs in _grouped(made).items():
        yield style.paint(harmless(place), "bold")
        for proof in proofs:
            vantage, lines = _parts(proof)
            first, *rest = lines or ("",)
            word = style.paint("%-14s" % _WORDS[proof.result], _COLOURS[proof.result])
            kind = proof.claim.kind.value
            yield f"  {word}  {kind:<20}  {vantage:<6}  {harmless(first)}".rstrip()
            yield from (" " * 48 + harmless(line) for line in rest)
    for each in made.left_out:
        line = f"  not looked at   {each.kind.value:<28}  {each.reason} ({each.how})"
        yield style.paint(line, "dim")
    yield summary(made)


def summary(made: Verification) -> str:
    """The last line."""
    counts = dict.fromkeys(Result, 0)
    for proof in made.proofs:
        counts[proof.result] += 1
    where = f", seen from {made.source}" if made.source else ""
    passed, failed, untold = counts[Result.PASS], counts[Result.FAIL], counts[Result.UNKNOWN]
    told = f"{passed} pass, {failed} fail, {untold} could not be told"
    return harmless(f"{made.target}: {told}; {made.taken}{where}")


def json(made: Verification, style: Style = PLAIN) -> Iterator[str]:
    """One record of type `Verification`."""
    yield records.document(made)


def ndjson(made: Verification, style: Style = PLAIN) -> Iterator[str]:
    """A `Proof` a line."""
    yield from map(records.line, made.proofs)


def markdown(made: Verification, style: Style = PLAIN) -> Iterator[str]:
    """For a ticket: a table an endpoint."""
    yield f"# Verified: {code(made.target)}"
    yield ""
    yield code(summary(made))
    for place, proofs in _grouped(made).items():
        yield from ("", f"## {code(place)}", "")
        yield from ("| result | what | seen from | evidence |", "|---|---|---|---|")
        for proof in proofs:
            word = _WORDS[proof.result]
            shown = word if proof.result is Result.PASS else f"**{word}**"
            vantage, lines = _parts(proof)
            evidence = "<br>".join(filter(None, map(code, lines)))
            yield f"| {shown} | {proof.claim.kind.value} | {vantage} | {evidence} |"
    if made.left_out:
        yield from ("", "Not looked at:", "")
        for each in made.left_out:
            yield f"- {each.kind.value}: {each.reason} ({code(each.how)})"


def junit(made: Verification, style: Style = PLAIN) -> Iterator[str]:
    """A suite an endpoint, a case a claim. What could not be told is an error, since many pipelines
    show "skipped" as green; what was not looked at is in no suite but the last, as skipped.
    """
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield '<testsuites name="mailseal verify">'
    for place, proofs in _grouped(made).items():
        failures = sum(1 for each in proofs if each.result is Result.FAIL)
        errors = sum(1 for each in proofs if each.result is Result.UNKNOWN)
        counts = attributes(
            name=place, tests=str(len(proofs)), failures=str(failures), errors=str(errors)
        )
        yield f"<testsuite{counts}>"
        for proof in proofs:
            yield from _case(place, proof)
        yield "</testsuite>"
    if made.left_out:
        count = str(len(made.left_out))
        named = attributes(
            name="not looked at", tests=count, failures="0", errors="0", skipped=count
        )
        yield f"<testsuite{named}>"
        for each in made.left_out:
            named = attributes(classname="mailseal." + made.target, name=each.kind.value)
            why = attributes(message=f"{each.reason} ({each.how})")
            yield f"<testcase{named}><skipped{why}/></testcase>"
        yield "</testsuite>"
    yield "</testsuites>"


_ELEMENT = {Result.PASS: "system-out", Result.FAIL: "failure", Result.UNKNOWN: "error"}


def _case(place: str, proof: Proof) -> Iterator[str]:
    element = _ELEMENT[proof.result]
    said = "; ".join(proof.evidence)
    kind = proof.claim.kind.value
    more = "" if proof.result is Result.PASS else attributes(type=kind, message=said)
    yield f"<testcase{attributes(classname='mailseal.' + place, name=kind)}>"
    yield f"<{element}{more}>{escaped(said)}</{element}>"
    yield "</testcase>"


FORMS: dict[str, Callable[[Verification, Style], Iterator[str]]] = {
    "text": text,
    "json": json,
    "ndjson": ndjson,
    "markdown": markdown,
    "junit": junit,
}
