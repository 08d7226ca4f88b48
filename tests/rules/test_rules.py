"""House rule 5 for every rule (one file, id, fixture pair and page), and ratings that add up."""

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from mailseal.assess import assess
from mailseal.model import codec
from mailseal.model.finding import Severity, finding_id
from mailseal.model.look import Observation
from mailseal.report.cvss import base_score
from mailseal.rules import BY_ID, RULES, findings, kept
from tests.project.tree import PACKAGE, ROOT

HERE = Path(__file__).parent
SECTIONS = ("What", "Why", "Before", "After", "How to fix", "Standards", "Scanners")
ids = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)


def looks(rule: str, kind: str) -> tuple[Observation, ...]:
    records = json.loads((HERE / rule / f"{kind}.json").read_text())
    return tuple(codec.from_record(Observation, record, lenient=False) for record in records)


def missing(rule: str) -> list[str]:
    """What house rule 5 asks for and is not there."""
    paths = [
        HERE / rule / "bad.json",
        HERE / rule / "good.json",
        ROOT / "docs/rules" / f"{rule}.md",
    ]
    return [str(path.relative_to(ROOT)) for path in paths if not path.is_file()]


def test_no_rule_lacks_anything():
    assert {rule.id: lack for rule in RULES if (lack := missing(rule.id))} == {}


def test_a_rule_without_anything_would_be_listed():
    assert len(missing("no-such-rule")) == 3


def test_every_file_is_a_rule_and_every_id_is_its_file():
    files = {path.stem.replace("_", "-") for path in (PACKAGE / "rules").glob("*.py")}
    assert files - {"--init--", "base"} == set(BY_ID)
    assert [rule for rule, count in Counter(rule.id for rule in RULES).items() if count > 1] == []


@ids
def test_the_bad_fixture_breaks_the_rule_and_the_good_one_keeps_it(rule):
    bad, good = looks(rule.id, "bad"), looks(rule.id, "good")
    (found,) = (f for f in findings(assess(bad), bad) if f.rule == rule.id)
    assert found.id == finding_id(rule.id, bad[0].endpoint)
    assert found.severity is rule.severity
    assert found.evidence
    assert all(found.evidence)
    assert str(bad[0].endpoint) in found.advice
    assert [f.rule for f in findings(assess(good), good) if f.rule == rule.id] == []


@ids
def test_the_page_has_its_sections_and_says_the_same_as_the_rule(rule):
    page = (ROOT / rule.page).read_text()
    assert page.startswith(f"# {rule.id}: {rule.title}\n")
    headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
    assert headings == list(SECTIONS)
    for words in (rule.cvss, rule.severity.value, *rule.cwe, *rule.standards, *rule.scanners):
        assert words in page, f"{rule.page} lacks {words}"


def test_the_names_scanners_give_to_the_finding():
    text = " ".join(BY_ID["pop2-cleartext-login"].scanners)
    assert "15854" in text
    assert "34896" in text
    assert "CWE-319" in BY_ID["pop2-cleartext-login"].cwe


# -- CVSS 3.1, specification section 5 ------------------------------------------------------------

RATINGS = ((0.0, Severity.INFO), (3.9, Severity.LOW), (6.9, Severity.MEDIUM), (8.9, Severity.HIGH))


def rating(score: float) -> Severity:
    return next((name for limit, name in RATINGS if score <= limit), Severity.CRITICAL)


@ids
def test_the_severity_is_the_rating_of_the_vector(rule):
    assert rating(base_score(rule.cvss)) is rule.severity


@pytest.mark.parametrize(
    ("rule", "score"),
    [
        ("pop2-cleartext-login", 7.4),
        ("pop2-remote-login", 5.8),
        ("pop3-cleartext-login", 7.4),
        ("imap-cleartext-login", 7.4),
        ("smtp-cleartext-login", 7.4),
        ("managesieve-cleartext-login", 7.4),
        ("imap-preauth", 9.1),
        ("starttls-missing", 5.9),
        ("starttls-injection", 6.5),
        ("weak-mechanism-only", 3.7),
        ("tls-certificate", 5.9),
        ("tls-version", 4.8),
    ],
)
def test_the_scores_that_the_rules_and_their_pages_name(rule: str, score: float):
    assert base_score(BY_ID[rule].cvss) == score
    assert str(score) in (ROOT / BY_ID[rule].page).read_text()


@ids
def test_a_look_that_saw_nothing_does_not_show_that_a_rule_is_kept(rule):
    bad = looks(rule.id, "bad")
    blind = [replace(each, tls=None, starttls=None, attempts=(), protocol=None) for each in bad]
    for name in ("", bad[0].name):
        assert not kept(rule.id, assess(blind), blind, name)


def test_the_good_fixtures_show_that_the_rule_is_kept_where_a_look_can():
    good = {rule.id: looks(rule.id, "good") for rule in RULES}
    silent = {
        name for name, seen in good.items() if not kept(name, assess(seen), seen, seen[0].name)
    }
    # That the server did not come, or did not answer, is no proof that it would not.
    assert silent == {"pop2-remote-login", "starttls-injection"}


def test_a_certificate_under_another_name_shows_nothing():
    good = looks("tls-certificate", "good")
    assert not kept("tls-certificate", assess(good), good, "other.example")


def test_of_a_rule_that_is_no_more_nothing_is_known():
    good = looks("pop2-cleartext-login", "good")
    assert not kept("no-such-rule", assess(good), good, "")
