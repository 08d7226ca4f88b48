"""A status for tests, with a text wherever somebody else may have put one."""

from __future__ import annotations

from dataclasses import replace

from mailseal.model.asset import Asset, PendingUpdate, Product, Review, Standing, Support
from mailseal.model.change import Actor, Approval, ChangeEvent, ChangeHistory, ChangeLine
from mailseal.model.finding import Severity
from mailseal.model.known import (
    Appearance,
    FindingHistory,
    Interval,
    KnownFinding,
    LookPeriod,
    ReportPeriod,
    Undecided,
    VerdictPeriod,
)
from mailseal.model.login import JudgedLogin, Meaning
from mailseal.model.look import Endpoint
from mailseal.model.policy import Exemption
from mailseal.report.assets import Ranked
from mailseal.report.logins import Logins
from mailseal.report.result import Reference
from mailseal.report.status import Listed, People, Status
from mailseal.rules import BY_ID
from tests.report.make import REPORT, hostile
from tests.store.make import login, moment

FIRST, GONE, MADE = moment(0), moment(60 * 24 * 3), moment(60 * 24 * 9)


def history(text: str, fixed: bool) -> FindingHistory:
    """A finding that was there before, and its endpoint."""
    made = hostile(text)
    assert made.assessment is not None
    finding = replace(made.findings[0], assessment=made.assessment)
    known = KnownFinding(finding, FIRST, moment(5), GONE if fixed else None, (text,), 2)
    return FindingHistory(
        known=known,
        appearances=(
            Appearance(FIRST, moment(5), known.fixed),
            Appearance(moment(-99), moment(-9), moment(-8)),
        ),
        verdicts=(VerdictPeriod(text, FIRST, GONE, 2, made.assessment),),
        looks=(
            LookPeriod(text, GONE, GONE, 1, made.observations),
            LookPeriod(text, FIRST, moment(5), 1, made.observations),
        ),
        reports=(ReportPeriod(text, FIRST, GONE, 1, replace(REPORT, title=text)),),
    )


def asset(text: str) -> Asset:
    """With every kind of product, and an update that nothing brings."""
    support = Support(Standing.ENDED, text, text, text, text)
    return Asset(
        endpoint=Endpoint("192.0.2.7", 109),
        name=text,
        products=(Product(text, text, "package", support), Product(text, "", "banner")),
        updates=(PendingUpdate(text, text, text, True, FIRST, GONE[:10], True, text),),
        review=Review(FIRST, text),
        review_due=GONE[:10],
        host=text,
        taken=GONE,
        fresh=text,
        gaps=(text,),
    )


def status(text: str = "x", **changes) -> Status:
    """One of everything. `changes` are made to it at last."""
    open_one, fixed_one = history(text, False), history(text, True)
    rule = BY_ID["pop2-cleartext-login"]
    kind = login(text, client=text, mechanism=text, host=text, endpoint=None)
    actor = Actor(text, 7, text)
    line = ChangeLine(
        ChangeEvent.APPLIED, text, 1, FIRST, text, open_one.known.finding.endpoint, text, text,
        text, actor, text, (Approval(text, actor, text, text, FIRST, ""),),
    )  # fmt: skip
    made = Status(
        mailseal="0.1.0",
        made=MADE,
        since=moment(-60 * 24),
        site=text,
        endpoints=3,
        exposed=1,
        looked=(FIRST, GONE),
        open=Listed((open_one,), (open_one.known,), 5),
        open_by={Severity.HIGH: 4, Severity.LOW: 1},
        fixed=Listed((fixed_one,), (fixed_one.known,), 2),
        undecided=(Undecided(open_one.known.finding.endpoint, text, open_one.verdicts[0]),),
        undecided_count=2,
        intervals=(Interval(Severity.HIGH, FIRST, GONE), Interval(Severity.LOW, GONE, None)),
        people=People(
            listed=Logins("", (), (JudgedLogin(kind, Meaning.CLEARTEXT),), (), {}),
            kinds=3,
            users=2,
            rejected=1,
            undecided=1,
            unplaced=1,
        ),
        software=Ranked((asset(text),), 2, "2 endpoints"),
        references=(
            Reference(rule.id, rule.cvss, rule.cwe, rule.standards, rule.scanners, rule.page),
        ),
        hidden=("Users stand under pseudonyms.",),
        exceptions=(Exemption((text,), text, (text,), (text,), GONE[:10], text, text),),
        changes=ChangeHistory((line,), (text,), text),
    )
    return replace(made, **changes)
