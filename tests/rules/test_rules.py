"""House rule 5 for every rule (one file, id, fixture pair and page), and ratings that add up."""

import json
import math
import re
from collections import Counter
from pathlib import Path

import pytest

from mailseal.assess import assess
from mailseal.model import codec
from mailseal.model.finding import Severity, finding_id
from mailseal.model.look import Observation
from mailseal.rules import BY_ID, RULES, findings
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


# -- CVSS 3.1, specification section 7 --------------------------------------------------------

WEIGHTS = {
    "AV": {"N": 0.85, "A": 0.62, "L": 0.55, "P": 0.2},
    "AC": {"L": 0.77, "H": 0.44},
    "PR": {"N": 0.85, "L": 0.62, "H": 0.27},
    "UI": {"N": 0.85, "R": 0.62},
    "S": {"U": 0.0, "C": 0.0},
    "C": {"H": 0.56, "L": 0.22, "N": 0.0},
    "I": {"H": 0.56, "L": 0.22, "N": 0.0},
    "A": {"H": 0.56, "L": 0.22, "N": 0.0},
}
CHANGED = {"L": 0.68, "H": 0.5}  # privileges weigh more where the scope changes
RATINGS = ((0.0, Severity.INFO), (3.9, Severity.LOW), (6.9, Severity.MEDIUM), (8.9, Severity.HIGH))


def base_score(vector: str) -> float:
    head, *parts = vector.split("/")
    assert head == "CVSS:3.1"
    metrics = dict(part.split(":") for part in parts)
    assert [part.split(":")[0] for part in parts] == list(WEIGHTS), "each metric once, in order"
    weight = {name: WEIGHTS[name][value] for name, value in metrics.items()}
    changed = metrics["S"] == "C"
    if changed:
        weight["PR"] = CHANGED.get(metrics["PR"], weight["PR"])
    sub = 1 - (1 - weight["C"]) * (1 - weight["I"]) * (1 - weight["A"])
    impact = 7.52 * (sub - 0.029) - 3.25 * (sub - 0.02) ** 15 if changed else 6.42 * sub
    exploitability = 8.22 * weight["AV"] * weight["AC"] * weight["PR"] * weight["UI"]
    if impact <= 0:
        return 0.0
    return roundup(min((1.08 if changed else 1.0) * (impact + exploitability), 10.0))


def roundup(number: float) -> float:
    """Up to one decimal, as appendix A has it: safe from floating point."""
    whole = round(number * 100_000)
    return whole / 100_000 if whole % 10_000 == 0 else (math.floor(whole / 10_000) + 1) / 10


def rating(score: float) -> Severity:
    return next((name for limit, name in RATINGS if score <= limit), Severity.CRITICAL)


@pytest.mark.parametrize(
    ("vector", "score"),
    [
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 6.1),
        ("CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:C/C:H/I:H/A:H", 9.9),
        ("CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 7.8),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", 0.0),
    ],
)
def test_the_formula_against_well_known_scores(vector: str, score: float):
    assert base_score(vector) == score


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
