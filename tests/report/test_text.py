"""What people read: golden texts, the next command for every verdict, and nothing hostile."""

from dataclasses import replace
from pathlib import Path

import pytest

from mailseal.model.finding import Severity, Verdict
from mailseal.model.look import Endpoint, Reach, Vantage
from mailseal.report import text
from mailseal.report.layout import bullets, labelled, table, unified_diff
from mailseal.report.result import FailOn, Recheck, Tally, fails
from mailseal.report.style import PLAIN, Style, harmless
from mailseal.rules import BY_ID
from tests.report.make import HOSTILE, REPORT, closed, hostile, lost, result

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("rule", BY_ID)
@pytest.mark.parametrize("kind", ["bad", "good"])
def test_the_text_of_a_result(rule: str, kind: str):
    golden = (GOLDEN / f"{rule}.{kind}.txt").read_text()
    assert "\n".join(text.result(result(rule, kind))) == golden


def test_what_others_report_stands_before_the_look_and_what_became_of_it_in_the_headline():
    shown = replace(result(), reported=(REPORT,), recheck=Recheck.CONFIRMED)
    lines = text.result(shown)
    assert lines[0].endswith("EXPOSED, accepted, confirmed")
    at = next(index for index, line in enumerate(lines) if line.startswith("  reported"))
    assert lines[at : at + 2] == [
        '  reported  nessus 15854: "POP2 Cleartext", there called mail.example, '
        "2026-01-07T11:58:20.000Z",
        "              + POP2 ready",
    ]
    assert lines[at + 2].startswith("  seen from")


def test_what_is_absent_is_one_line_and_in_a_sweep_only_counted():
    (line,) = text.result(closed())
    assert line == "192.0.2.7:109 (mail.example)  ABSENT: closed: connection refused"
    assert text.result(replace(closed(), swept=True)) == []


@pytest.mark.parametrize(
    ("shown", "command"),
    [
        (result(), "mailseal plan 192.0.2.7:109 -o plan.json"),
        (result(attempts=(), protocol=None), "mailseal scan --timeout 30 192.0.2.7:109"),
        (result(reach=Reach.UNROUTABLE, gaps=("no route",)), "mailseal scan 192.0.2.7:109, from a"),
        (
            result("pop2-cleartext-login", "good", vantage=Vantage.SELF),
            "mailseal scan 192.0.2.7:109, from another host",
        ),
        (lost("gone.example", "the name does not resolve"), "mend the name or give the address"),
        (
            replace(result(), observations=(), reported=(REPORT,)),
            "mailseal scan 192.0.2.7:109, from a host that reaches it",
        ),
        (
            lost("192.0.2.7", "the host's own", Endpoint("192.0.2.7", 109)),
            "mailseal scan --vantage remote 192.0.2.7:109, from another host",
        ),
    ],
)
def test_the_next_command(shown, command: str):
    (line,) = (line for line in text.result(shown) if line.startswith("  next"))
    assert command in line


def test_hostile_text_does_not_get_through_wherever_it_stands():
    for line in [*text.result(hostile(HOSTILE)), *text.result(lost(HOSTILE, HOSTILE))]:
        assert line.isprintable(), line


def test_harmless_leaves_readers_their_letters():
    assert harmless("Grüße, 日本語 \\x1b") == "Grüße, 日本語 \\x1b"
    assert harmless("\x1b\u202e\x9b") == "\\x1b\\u202e\\x9b"


def test_colour_is_for_a_style_that_has_it():
    coloured = text.result(result(), Style(True))
    assert coloured[0].endswith("\x1b[31mEXPOSED, accepted\x1b[0m")
    assert "\x1b" not in "\n".join(text.result(result(), PLAIN))


def test_the_tally_counts_and_keeps_the_worst():
    tally = Tally()
    assert not tally.reaches(Severity.INFO)
    for one in (result("tls-version"), result(), result("tls-version"), closed()):
        tally.add(one)
    assert (tally.total, tally.worst) == (4, Severity.HIGH)
    assert tally.reaches(Severity.HIGH)
    assert not tally.reaches(Severity.CRITICAL)
    assert tally.verdicts[Verdict.REFUSED] == 2
    assert text.summary(tally.counts()) == (
        "4 endpoints: 1 exposed, 2 refused, 1 absent, 0 inconclusive"
    )


def test_a_result_fails_where_it_is_exposed_or_has_a_finding_of_the_severity():
    assert fails(result(), FailOn())
    assert fails(result("tls-version"), FailOn(Severity.MEDIUM))
    assert not fails(result("tls-version"), FailOn(Severity.HIGH))
    assert not fails(result("tls-version"), FailOn())
    assert not fails(closed(), FailOn(Severity.INFO))
    assert fails(closed(), FailOn(absent=True))


# -- layout ----------------------------------------------------------------------------------------


def test_a_table_has_columns_as_wide_as_needed():
    assert table(("name", "n"), [("a", "1"), ("longer", "22"), ("\x1b", "")]) == [
        "name    n",
        "a       1",
        "longer  22",
        "\\x1b",
    ]


def test_lists_and_labels():
    assert bullets(["a", "b\x07"]) == ["  - a", "  - b\\x07"]
    assert labelled("why", ["a", "b"]) == ["  why       a", "            b"]
    assert labelled("why", []) == []


def test_a_difference_reads_as_diff_writes_it():
    old, new = b"a\nb\tc\nd\n", b"a\nb\tC\x1b\nd\nlast"
    assert list(unified_diff("/etc/inetd.conf", old, new)) == [
        "--- /etc/inetd.conf",
        "+++ /etc/inetd.conf",
        "@@ -1,3 +1,4 @@",
        " a",
        "-b\tc",
        "+b\tC\\x1b",
        " d",
        "+last [no line end]",
    ]


def test_a_new_file_and_one_that_goes():
    assert list(unified_diff("/x", b"", b"a\n"))[:2] == ["--- /dev/null", "+++ /x"]
    assert list(unified_diff("/x", b"a\n", b""))[:2] == ["--- /x", "+++ /dev/null"]
    assert list(unified_diff("/x", b"\xff\n", b"\xfe\n"))[-2:] == ["-\\xff", "+\\xfe"]
    coloured = list(unified_diff("/x", b"a\n", b"b\n", Style(True)))
    assert coloured[-1] == "\x1b[32m+b\x1b[0m"
