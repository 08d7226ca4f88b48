"""Deviations in every form: valid, whole, and harmless whatever servers say."""

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings

from mailseal.model import codec
from mailseal.model.finding import Severity
from mailseal.model.look import Endpoint
from mailseal.model.policy import Deviation, Exemption, SealPolicy, State
from mailseal.report.check import Check, Monitoring, Sum
from mailseal.report.checkforms import FORMS
from mailseal.report.checkmarkdown import ROWS
from mailseal.report.style import PLAIN
from mailseal.report.writer import Run
from tests.report.make import page
from tests.report.test_forms import texts
from tests.report.test_junit import schema
from tests.report.test_markdown import READER, Tags
from tests.report.test_sarif import validator

EXEMPTION = Exemption(
    ("192.0.2.7",), "", (), ("tls-version",), "2027-03-31", "mail team", "the archive"
)
HIGH = Deviation(
    id="08e6cf5320aa",
    rule="pop2-cleartext-login",
    state=State.NEW,
    severity=Severity.HIGH,
    endpoint=Endpoint("192.0.2.7", 109),
    text="POP2 takes logins in cleartext",
    advice="Plan it: `mailseal plan 192.0.2.7:109`.",
    name="mail.example",
)
FILE = replace(
    HIGH, id="1" * 12, endpoint=None, path="roles/a b/stunnel.conf", line=3, rule="stunnel-debug"
)
MIXED = [
    HIGH,
    replace(HIGH, id="2" * 12, state=State.UNCHANGED, rule="tls-version", severity=Severity.LOW),
    replace(HIGH, id="3" * 12, state=State.FIXED),
    replace(HIGH, id="4" * 12, state=State.EXEMPT, exemption=EXEMPTION),
    replace(HIGH, id="5" * 12, state=State.EXPIRED, exemption=EXEMPTION, rule="certificate-days"),
    replace(HIGH, id="6" * 12, state=State.UNDECIDED, rule="inconclusive", severity=Severity.INFO),
    replace(HIGH, id="7" * 12, endpoint=Endpoint("192.0.2.7", 110, "lab")),
    FILE,
]


def written(
    form: str, found: Iterable[Deviation] = MIXED, code: int = 1, endpoints: int = 9
) -> str:
    lines: list[str] = []
    total = Sum(SealPolicy("conf/mailseal.toml", "0" * 64))
    total.endpoints = endpoints
    described = lambda rule: page(rule) if rule.startswith(("pop2", "tls")) else ""  # noqa: E731
    writer = FORMS[form](
        Run(lines.append, "0.1.0", lambda: 1768478400.0, PLAIN, page=described), total
    )
    for each in found:
        total.add(each)
        writer.add(each)
    writer.end(code)
    assert not [line for line in lines if "\n" in line]
    return "".join(line + "\n" for line in lines)


def test_text_says_the_state_the_place_what_was_seen_and_what_to_do():
    lines = written("text").splitlines()
    assert lines[:3] == [
        "new        high      192.0.2.7:109 (mail.example)  pop2-cleartext-login  08e6cf5320aa",
        "  seen      POP2 takes logins in cleartext",
        "  do        Plan it: `mailseal plan 192.0.2.7:109`.",
    ]
    exempt = lines.index(next(line for line in lines if line.startswith("exempt")))
    assert lines[exempt + 2] == ("  exception let pass until 2027-03-31: the archive (mail team)")
    assert any("roles/a b/stunnel.conf:3  stunnel-debug" in line for line in lines)
    assert any("192.0.2.7:110 (mail.example) in lab" in line for line in lines)
    assert lines[-1] == (
        "9 endpoints checked: 3 new, 1 unchanged, 1 fixed, 1 exempt, 1 expired, 1 undecided"
    )


def test_a_check_of_nothing_says_so():
    assert written("text", [], 3, 0) == "nothing was checked: nothing is known\n"
    assert written("text", [], 0, 1) == "1 endpoint checked: nothing deviates\n"


def test_ndjson_is_read_back():
    lines = written("ndjson").splitlines()
    assert [codec.loads(Deviation, line, lenient=False) for line in lines] == MIXED


@pytest.mark.parametrize("count", [0, 1, len(MIXED)])
def test_json_is_one_document_written_as_it_grows(count: int):
    made = codec.loads(Check, written("json", MIXED[:count]), lenient=False)
    assert made.deviations == tuple(MIXED[:count])
    assert (made.policy, made.endpoints, made.files) == ("conf/mailseal.toml", 9, 0)
    assert sum(made.counts.values()) == count


# -- SARIF -----------------------------------------------------------------------------------------


def sarif(found: Iterable[Deviation] = MIXED, code: int = 1) -> dict:
    log = json.loads(written("sarif", found, code))
    assert [error.message for error in validator().iter_errors(log)] == []
    only: dict
    (only,) = log["runs"]
    for each in only["results"]:
        assert only["tool"]["driver"]["rules"][each["ruleIndex"]]["id"] == each["ruleId"]
    return only


def test_sarif_fails_what_deviates_suppresses_what_is_let_pass_and_leaves_out_what_is_fixed():
    made = sarif()["results"]
    assert [(each["kind"], each["properties"]["state"]) for each in made] == [
        ("fail", "new"),
        ("fail", "unchanged"),
        ("fail", "exempt"),
        ("fail", "expired"),
        ("open", "undecided"),
        ("fail", "new"),
        ("fail", "new"),
    ]
    suppressed = [each for each in made if each["suppressions"]]
    assert [each["properties"]["state"] for each in suppressed] == ["exempt"]
    assert suppressed[0]["suppressions"][0]["justification"] == "the archive (mail team)"


def test_sarif_points_at_the_file_or_at_the_policy():
    first, *_, last = sarif()["results"]
    places = [each["locations"][0]["physicalLocation"] for each in (first, last)]
    assert [each["artifactLocation"]["uri"] for each in places] == [
        "conf/mailseal.toml",
        "roles/a%20b/stunnel.conf",
    ]
    assert [each["region"]["startLine"] for each in places] == [1, 3]
    assert first["locations"][0]["logicalLocations"][0]["name"] == "192.0.2.7:109 (mail.example)"


def test_a_rule_brings_its_page_or_at_least_its_title():
    rules = {each["id"]: each for each in sarif()["tool"]["driver"]["rules"]}
    assert rules["tls-version"]["help"]["markdown"] == page("tls-version")
    title = rules["pop2-cleartext-login"]["shortDescription"]["text"]
    assert title == "POP2 takes logins in cleartext"
    assert "ends too soon" in rules["certificate-days"]["help"]["text"]


# -- JUnit -----------------------------------------------------------------------------------------


def junit(found: Iterable[Deviation] = MIXED, endpoints: int = 9) -> list[str]:
    text = written("junit", found, endpoints=endpoints)
    assert text.isascii()
    root = ElementTree.fromstring(text)
    schema().validate(root)
    outcomes = []
    for suite in root:
        (case,) = suite.findall("testcase")
        outcomes.append(case[0].tag)
        counts = [suite.get(name) for name in ("failures", "errors", "skipped")]
        held = [len(case.findall(name)) for name in ("failure", "error", "skipped")]
        assert counts == [str(number) for number in held]
    return outcomes


def test_junit_fails_skips_and_passes():
    assert junit() == [
        *("failure", "failure", "system-out", "skipped"),
        *("failure", "error", "failure", "failure"),
        "system-out",
    ]
    assert junit([]) == ["system-out"]
    assert junit([], endpoints=0) == ["error"]


# -- Markdown --------------------------------------------------------------------------------------


def test_markdown_has_the_worst_first_and_what_to_do():
    lines = written("markdown").splitlines()
    assert lines[0] == "### mailseal: the policy is broken"
    rows = [line.split(" | ")[0] for line in lines if line.startswith("| ")][2 - 1 :]
    assert rows == [
        *("| **new**",) * 3, "| **expired**", "| **unchanged**", "| undecided", "| exempt",
        "| fixed",
    ]  # fmt: skip
    assert lines[-1] == "- `Plan it: mailseal plan 192.0.2.7:109.`"
    assert written("markdown", [], 0).splitlines()[0] == "### mailseal: the policy is kept"
    assert written("markdown", [], 3).splitlines()[0] == "### mailseal: the policy is not decided"


def test_markdown_stays_short_and_says_what_it_left_out():
    low = [replace(HIGH, severity=Severity.LOW, text="x" * 9000, advice=str(n)) for n in range(500)]
    text = written("markdown", [*low, HIGH])
    assert len(text) < 16_000
    assert text.splitlines()[6].startswith("| **new** | high |")
    assert f"{501 - ROWS} more are not shown here" in text


# -- monitoring ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "endpoints", "code", "begins"),
    [
        ([], 9, 0, "MAILSEAL OK - 9 endpoints checked: nothing deviates | failing=0;0 endpoints=9"),
        ([MIXED[2], MIXED[3]], 9, 0, "MAILSEAL OK"),
        ([MIXED[1]], 9, 1, "MAILSEAL WARNING - 9 endpoints checked: 1 unchanged; 192.0.2.7:109"),
        (MIXED, 9, 2, "MAILSEAL CRITICAL"),
        ([MIXED[5]], 9, 3, "MAILSEAL UNKNOWN"),
        ([], 0, 3, "MAILSEAL UNKNOWN - nothing was checked"),
    ],
    ids=["ok", "excused", "warning", "critical", "undecided", "nothing"],
)
def test_monitoring_gets_one_line_and_its_codes(
    found: list[Deviation], endpoints: int, code: int, begins: str
):
    lines: list[str] = []
    total = Sum(SealPolicy("here", ""))
    total.endpoints = endpoints
    writer = Monitoring(Run(lines.append, "0.1.0", lambda: 0.0), total)
    for each in found:
        total.add(each)
        writer.add(each)
    writer.end(0)
    (line,) = lines
    assert line.startswith(begins)
    assert writer.code == code
    # Nagios Plugins Development Guidelines, 2.6: label=value[;warn[;crit]], blanks between.
    (_, data) = line.split("|")
    assert all(re.fullmatch(r"[a-z]+=\d+(;\d*){0,4}", pair) for pair in data.split())


# -- text of others --------------------------------------------------------------------------------


def hostile(text: str) -> list[Deviation]:
    made = replace(HIGH, text=text, name=text, advice=text, rule=text)
    excused = replace(EXEMPTION, reason=text, owner=text)
    return [
        made,
        replace(made, endpoint=None, path="x" + text, line=1),
        replace(made, endpoint=None),
        *(replace(made, state=state, exemption=excused) for state in State),
    ]


@given(text=texts)
@settings(max_examples=60, deadline=None)
def test_hostile_text_is_harmless_in_every_form(text: str):
    for form in FORMS:
        shown = written(form, hostile(text))
        assert all(line.isprintable() for line in shown.split("\n"))
    sarif(hostile(text))
    junit(hostile(text))
    assert written("nagios", hostile(text)).count("|") == 1
    tags = set(Tags(READER.render(written("markdown", hostile(text)))).tags)
    assert tags <= {
        "h3",
        "p",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "code",
        "br",
        "ul",
        "li",
        "strong",
    }
