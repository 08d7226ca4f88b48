"""SARIF against its schema, its mapping, and hostile text in it."""

import functools
import json
import re
from dataclasses import replace
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings

from mailseal.model.finding import Severity
from mailseal.report.result import Origin
from mailseal.report.sarif import LEVELS, plain
from mailseal.rules import RULES
from tests.report.make import closed, hostile, lost, mixed, page, result, written
from tests.report.test_forms import texts

SCHEMA = Path(__file__).parent / "schemas" / "sarif-2.1.0.json"


@functools.lru_cache
def validator():
    schema = json.loads(SCHEMA.read_text())
    return jsonschema.Draft4Validator(schema, format_checker=jsonschema.FormatChecker())


def run(results, code: int = 1) -> dict:
    log = json.loads(written("sarif", results, code=code))
    assert [error.message for error in validator().iter_errors(log)] == []
    only: dict
    (only,) = log["runs"]
    for each in only["results"]:
        assert only["tool"]["driver"]["rules"][each["ruleIndex"]]["id"] == each["ruleId"]
    return only


def test_the_validator_finds_faults():
    log = json.loads(written("sarif", mixed()))
    log["runs"][0]["results"][0]["kind"] = "maybe"
    log["runs"][0]["unheard-of"] = 1
    assert len(list(validator().iter_errors(log))) == 2


def test_findings_fail_what_is_undecided_is_open_and_the_rest_is_not_there():
    kinds = [(each["ruleId"], each["kind"], each["level"]) for each in run(mixed())["results"]]
    assert kinds == [
        ("pop2-cleartext-login", "fail", "error"),
        ("tls-version", "fail", "warning"),
        ("inconclusive", "open", "none"),
    ]
    assert run([closed(), result("pop2-cleartext-login", "good")], 0)["results"] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_brings_its_rating_and_its_page(rule):
    made = run([result(rule.id)])["tool"]["driver"]["rules"]
    (found,) = (each for each in made if each["id"] == rule.id)
    assert found["shortDescription"]["text"] == rule.title
    assert found["help"]["markdown"] == page(rule.id)
    assert found["fullDescription"]["text"].endswith((".", ":", ")"))
    assert found["properties"]["security-severity"] in page(rule.id)
    assert set(found["properties"]["tags"]) == {
        "security",
        *(f"external/cwe/{cwe.lower()}" for cwe in rule.cwe),
    }


def test_every_severity_has_a_level():
    assert set(LEVELS) == set(Severity)


def test_a_rule_stands_there_once():
    made = run([result(), result(), lost("a", "b"), lost("c", "d")])
    assert [rule["id"] for rule in made["tool"]["driver"]["rules"]] == [
        "pop2-cleartext-login",
        "inconclusive",
    ]


@pytest.mark.parametrize(
    ("file", "uri"),
    [
        ("hosts.txt", "hosts.txt"),
        ("a folder/h#1.txt", "a%20folder/h%231.txt"),
        ("/etc/mailseal/hosts", "file:///etc/mailseal/hosts"),
        ("c:x", "c%3Ax"),
        ("\ud800", "%ED%A0%80"),
    ],
)
def test_the_physical_location_is_the_line_of_the_list(file: str, uri: str):
    (found,) = run([replace(result(), origin=Origin(file, 3))])["results"]
    assert found["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": uri},
        "region": {"startLine": 3},
    }


def test_without_a_list_it_is_what_was_asked_for():
    (location,) = run([result()])["results"][0]["locations"]
    assert location["physicalLocation"]["artifactLocation"]["uri"] == "mail.example"
    assert location["logicalLocations"] == [
        {
            "name": "192.0.2.7:109",
            "fullyQualifiedName": "default/192.0.2.7:109",
            "kind": "endpoint",
        },
        {"name": "mail.example", "kind": "host"},
    ]


def test_fingerprints_are_the_findings_id_and_stay():
    first, second = (run([each])["results"][0] for each in (result(), hostile("x")))
    assert first["partialFingerprints"]["findingId/v1"] == result().findings[0].id
    assert first["partialFingerprints"] == second["partialFingerprints"]
    names = [run([lost(name, "why")])["results"][0]["partialFingerprints"] for name in "aab"]
    assert names[0] == names[1] != names[2]


def test_the_invocation_says_how_it_ended_and_not_what_was_typed():
    (invocation,) = run(mixed(), 1)["invocations"]
    assert invocation == {
        "executionSuccessful": True,
        "exitCode": 1,
        "startTimeUtc": "2026-01-15T12:00:00.000Z",
        "endTimeUtc": "2026-01-15T12:00:01.000Z",
    }
    assert run([], 2)["invocations"][0]["executionSuccessful"] is False


def test_text_of_others_makes_no_link_and_no_placeholder():
    assert plain("[click](https://192.0.2.9) {0}") == "[click] (https://192.0.2.9) {{0}}"


@given(text=texts)
@settings(max_examples=60, deadline=None)
def test_hostile_text_is_valid_and_plain(text: str):
    made = run([hostile(text), lost(text, text)])
    for each in made["results"]:
        message = each["message"]["text"]
        assert message.isprintable()
        assert "](" not in message
        assert not re.search(r"(?<!\{)\{(\{\{)*\d", message)
        assert re.fullmatch(
            r"[A-Za-z0-9%._~/:-]+",
            each["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
        )
