"""JSON for tools: readable back, harmless, and documented field by field."""

import dataclasses
import json
import re

import pytest

from mailseal.model import codec
from mailseal.model.asset import Asset, PendingUpdate, Product, Review, Support
from mailseal.model.change import Actor, Approval, ChangeLine
from mailseal.model.finding import Assessment, Finding
from mailseal.model.host import AddressFact, FileFact, HostFacts, Listener, UnitFact
from mailseal.model.known import (
    Appearance,
    FindingHistory,
    KnownFinding,
    KnownFindings,
    KnownLogin,
    LookPeriod,
    ReportPeriod,
    VerdictPeriod,
)
from mailseal.model.lint import Fault, Linted, LintReference, LintReport
from mailseal.model.local import (
    Holder,
    LocalHost,
    LocalListener,
    Package,
    Program,
    Software,
    Source,
)
from mailseal.model.login import JudgedLogin, Login, TlsFailure
from mailseal.model.look import Attempt, Endpoint, Errand, Observation, StartTls, TlsFacts
from mailseal.model.plan import Claim, Plan, PlanFile, Proof, Receipt
from mailseal.model.policy import Deviation, Exemption
from mailseal.model.reported import Reported
from mailseal.model.verification import NotAsked, Verification
from mailseal.model.watching import Notice
from mailseal.report import records
from mailseal.report.assets import Assets
from mailseal.report.check import Check
from mailseal.report.local import Local
from mailseal.report.logins import Logins
from mailseal.report.result import Origin, Reference, Scan, ScanResult
from tests.project.tree import ROOT
from tests.report.make import mixed, result, written

PAGE = (ROOT / "docs/reference/records.md").read_text()
DOCUMENTED = (
    Scan, ScanResult, Origin, Endpoint, Assessment, Finding, Reference, Observation, StartTls,
    Attempt, TlsFacts, Errand, Reported,
    Local, LocalHost, LocalListener, Holder, Program, Source, Software, Package,
    Assets, Asset, Product, Support, PendingUpdate, Review,
    KnownFindings, KnownFinding, FindingHistory, Appearance, VerdictPeriod, LookPeriod,
    ReportPeriod, KnownLogin, Logins, JudgedLogin, Login, TlsFailure,
    HostFacts, FileFact, Listener, UnitFact, AddressFact, PlanFile, Approval, Actor, Plan, Claim,
    Proof, Receipt, ChangeLine,
    LintReport, Linted, Fault, LintReference, Verification, NotAsked,
    Notice, Check, Deviation, Exemption,
)  # fmt: skip


@pytest.mark.parametrize("cls", DOCUMENTED, ids=lambda cls: cls.__name__)
def test_the_page_names_every_field(cls):
    _, _, rest = PAGE.partition(f"\n## {cls.__name__}\n")
    table = rest.partition("\n## ")[0]
    named = [
        name
        for row in re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    ]
    assert named == [field.name for field in dataclasses.fields(cls)]


def test_the_page_names_the_version():
    assert f"The version is {codec.VERSION}." in PAGE


def test_a_line_is_one_record_and_reads_back():
    line = records.line(result())
    assert "\n" not in line
    assert line.startswith('{"type":"ScanResult","version":1,')
    assert codec.loads(ScanResult, line, lenient=False) == result()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_document_is_one_record_written_as_it_grows(count: int):
    results = tuple(mixed()[:count])
    scan = codec.loads(Scan, written("json", results), lenient=False)
    assert scan.results == results
    assert (scan.mailseal, scan.started, scan.ended) == (
        "0.1.0",
        "2026-01-15T12:00:00.000Z",
        "2026-01-15T12:00:01.000Z",
    )
    assert sum(scan.counts.values()) == count


def test_a_document_that_was_cut_short_has_no_reader():
    lines = written("json", mixed()).splitlines()
    for end in range(1, len(lines)):
        with pytest.raises(codec.CodecError):
            codec.loads(Scan, "\n".join(lines[:end]), lenient=False)


def test_no_control_character_and_nothing_but_ascii():
    everything = "".join(map(chr, [*range(0x100), 0x202E, 0x2028, 0xFEFF]))
    text = records.line(dataclasses.replace(result(), asked=everything))
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text)["asked"] == everything
