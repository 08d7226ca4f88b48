"""JUnit against its schema, its mapping, and hostile text in it."""

import functools
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import xmlschema
from hypothesis import given, settings

from mailseal.model.finding import Severity
from tests.report.make import closed, hostile, lost, mixed, result, written
from tests.report.test_forms import texts

SCHEMA = Path(__file__).parent / "schemas" / "junit-10.xsd"


@functools.lru_cache
def schema() -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(SCHEMA)


def suites(results, fail_on: Severity | None = None) -> list[ElementTree.Element]:
    text = written("junit", results, fail_on)
    assert text.isascii()
    root = ElementTree.fromstring(text)
    schema().validate(root)
    for suite in root:
        cases = suite.findall("testcase")
        counts = [suite.get(name) for name in ("tests", "failures", "errors")]
        held = [len(suite.findall(f"testcase/{name}")) for name in ("failure", "error")]
        assert counts == [str(number) for number in (len(cases), *held)]
    return list(root)


def outcome(suite: ElementTree.Element) -> str:
    (case,) = suite.findall("testcase")
    return ", ".join(element.tag for element in case)


def test_the_validator_finds_faults():
    with pytest.raises(xmlschema.XMLSchemaValidationError):
        schema().validate("<testsuites><testsuite name='x'/></testsuites>")


def test_exposed_fails_undecided_is_an_error_and_the_rest_passes():
    assert [outcome(suite) for suite in suites(mixed())] == ["failure", "system-out", "error", ""]
    assert outcome(*suites([result("pop2-cleartext-login", "good")])) == ""


def test_it_fails_where_the_program_does():
    weak = result("tls-version")
    assert outcome(*suites([weak], Severity.MEDIUM)) == "failure"
    assert outcome(*suites([weak], Severity.HIGH)) == "system-out"
    assert outcome(*suites([lost("a", "b")], Severity.INFO)) == "error"


def test_a_case_has_the_same_name_in_every_run():
    names = {
        (case.get("classname"), case.get("name"))
        for seen in (result(), closed())
        for case in suites([seen])[0].iter("testcase")
    }
    assert names == {("mailseal.default", "192.0.2.7:109 (mail.example)")}


def test_the_failure_tells_the_whole_story():
    (suite,) = suites([result()])
    (failure,) = suite.iter("failure")
    assert failure.get("message", "").startswith("the login command was processed in cleartext")
    assert "next      mailseal plan 192.0.2.7:109 -o plan.json" in (failure.text or "")
    properties = {each.get("name"): each.get("value") for each in suite.iter("property")}
    assert properties["grade"] == "accepted"
    assert properties[f"finding.{result().findings[0].id}"] == "high pop2-cleartext-login"


@given(text=texts)
@settings(max_examples=100, deadline=None)
def test_hostile_text_is_text(text: str):
    seen, unseen = suites([hostile(text), lost(text, text)])
    assert (outcome(seen), outcome(unseen)) == ("failure", "error")
    for element in (*seen.iter(), *unseen.iter()):
        for words in (*element.attrib.values(), *(element.text or "").split("\n")):
            assert words.isprintable()
