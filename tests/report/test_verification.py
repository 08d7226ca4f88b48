"""The forms of a verification: harmless, whole, and none of them hides what was not looked at."""

import json
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailseal.model import codec
from mailseal.model.plan import ClaimKind, Proof, Result
from mailseal.model.verification import NotAsked, Verification
from mailseal.report.style import PLAIN, Style
from mailseal.report.verification import FORMS
from tests.prove.looks import claim
from tests.report.make import HOSTILE
from tests.report.test_junit import schema

NOW = "2026-01-15T12:00:00.000Z"


def made(*evidence: str, target: str = "mail.example:109") -> Verification:
    """One line of each result, and one that was left out."""
    proofs = tuple(
        Proof(claim(kind), result, ("seen from remote", *evidence), NOW)
        for kind, result in zip(ClaimKind, Result, strict=False)
    )
    left = NotAsked(ClaimKind.LOGIN_WORKS, "it takes a real account", "--login USER")
    return Verification("0.1.0", target, "ssh://other", NOW, proofs, (left,))


def test_people_read_the_result_the_vantage_and_the_evidence():
    assert list(FORMS["text"](made("it says no", "twice"), PLAIN)) == [
        "192.0.2.10:109",
        "  pass            cleartext-refused     remote  it says no",
        " " * 48 + "twice",
        "  FAIL            service-in-tls        remote  it says no",
        " " * 48 + "twice",
        "  could not tell  cleartext-served      remote  it says no",
        " " * 48 + "twice",
        "  not looked at   login-works                   it takes a real account (--login USER)",
        "mail.example:109: 1 pass, 1 fail, 1 could not be told; %s, seen from ssh://other" % NOW,
    ]


@pytest.mark.parametrize("form", FORMS)
@given(text=st.text(st.one_of(st.sampled_from(HOSTILE + "|`<>&'\""), st.characters()), max_size=30))
@settings(max_examples=40, deadline=None)
def test_no_form_obeys_a_server(form: str, text: str):
    for style in (PLAIN, Style(False)):
        for line in FORMS[form](made(text, target=text), style):
            assert all(part.isprintable() for part in line.split("\n")), line


@pytest.mark.parametrize("form", sorted(FORMS.keys() - {"ndjson"}))
def test_what_was_not_looked_at_is_told(form: str):
    assert "login" in "\n".join(FORMS[form](made("yes"), PLAIN))


def test_json_is_a_record_that_is_read_back():
    text = "\n".join(FORMS["json"](made("yes"), PLAIN))
    assert codec.loads(Verification, text, lenient=False) == made("yes")
    lines = list(FORMS["ndjson"](made("yes"), PLAIN))
    assert [json.loads(line)["result"] for line in lines] == ["pass", "fail", "unknown"]


@pytest.mark.parametrize("evidence", ["yes", HOSTILE, "]]> <&'\""])
def test_junit_is_valid(evidence: str):
    text = "\n".join(FORMS["junit"](made(evidence), PLAIN))
    document = ElementTree.fromstring(text)
    schema().validate(document)
    found = [len(document.findall(".//" + name)) for name in ("failure", "error", "skipped")]
    assert found == [1, 1, 1]


def test_markdown_keeps_its_cells():
    rows = [row for row in FORMS["markdown"](made("a | b `c` <i>"), PLAIN) if row.startswith("|")]
    assert all(row.count("|") == 5 for row in rows), rows
