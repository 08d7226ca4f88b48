"""What deviates from a policy, and what became of it since before."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from mailseal.model.finding import Assessment, Finding, Severity, Verdict, finding_id
from mailseal.model.lint import Fault, Linted
from mailseal.model.look import Endpoint
from mailseal.model.policy import (
    FAILING,
    Deviation,
    Exemption,
    LeastVersion,
    Posture,
    Requirements,
    SealPolicy,
    Section,
    State,
    TlsPosture,
)
from mailseal.policy.compare import (
    as_of,
    compare,
    compare_files,
    nothing_before,
    remembered,
    unknown,
)

NOW = "2026-11-21T12:00:00.000Z"
SEEN = "2026-11-20T12:00:00.000Z"
AT = Endpoint("192.0.2.7", 109)
RULE = "pop2-cleartext-login"
POLICY = SealPolicy("here", "0" * 64, Requirements(rules=("tls-certificate",)))
TLS = TlsPosture(("TLSv1.2", "TLSv1.3"), ("SSLv3", "TLSv1", "TLSv1.1"), "2027-06-01T00:00:00.000Z")


def judged(verdict: Verdict, product: str = "") -> Assessment:
    return Assessment(AT, "pop2", verdict, None, ("because",), (), (), (), product)


def finding(rule: str = RULE, severity: Severity = Severity.HIGH) -> Finding:
    made = judged(Verdict.EXPOSED)
    return Finding(finding_id(rule, AT), rule, AT, severity, "title", ("said",), "do it", made)


def posture(verdict: Verdict = Verdict.REFUSED, **changes) -> Posture:
    made = Posture(AT, "mail.example", SEEN, judged(verdict), kept=(RULE,))
    return replace(made, **changes)


EXPOSED = posture(Verdict.EXPOSED, findings=(finding(),), kept=())
REFUSED = posture()


def told(
    known: Posture, policy: SealPolicy = POLICY, before: Iterable[Deviation] = (), now: str = NOW
) -> list[tuple[State, str]]:
    return [(each.state, each.rule) for each in compare(policy, [known], remembered(before), now)]


def broken(known: Posture = EXPOSED) -> list[Deviation]:
    return list(compare(POLICY, [known], nothing_before, NOW))


def exemption(**changes) -> Exemption:
    made = Exemption(("192.0.2.0/24",), "", (), (RULE,), "2026-11-21", "mail team", "archive")
    return replace(made, **changes)


def test_what_is_not_kept_has_the_id_of_the_finding_and_what_to_do():
    (only,) = broken()
    assert only == Deviation(
        id=finding_id(RULE, AT),
        rule=RULE,
        state=State.NEW,
        severity=Severity.HIGH,
        endpoint=AT,
        text="title: said",
        advice="do it",
        name="mail.example",
    )
    assert only.place == "192.0.2.7:109"


def test_a_policy_that_is_kept_tells_nothing():
    assert told(replace(REFUSED, tls=TLS)) == []


@pytest.mark.parametrize(
    ("known", "before", "expected"),
    [
        (EXPOSED, False, [State.NEW]),
        (EXPOSED, True, [State.UNCHANGED]),
        (REFUSED, True, [State.FIXED]),
        (REFUSED, False, []),
        (replace(REFUSED, kept=()), True, [State.UNDECIDED]),
    ],
    ids=["new", "unchanged", "fixed", "nothing", "not looked for again"],
)
def test_before_and_now(known: Posture, before: bool, expected: list[State]):
    assert [state for state, _ in told(known, before=broken() if before else ())] == expected


def test_what_was_known_at_a_moment_is_a_baseline():
    before = as_of(POLICY, lambda at: EXPOSED, SEEN)
    assert [each.state for each in compare(POLICY, [REFUSED], before, NOW)] == [State.FIXED]
    nothing = as_of(POLICY, lambda at: None, SEEN)
    assert list(compare(POLICY, [REFUSED], nothing, NOW)) == []


def test_of_what_is_no_longer_asked_nothing_is_said():
    free = replace(POLICY, asked=replace(POLICY.asked, cleartext=True))
    assert told(EXPOSED, free) == []
    assert told(replace(REFUSED, kept=()), free, broken()) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, State.EXEMPT),
        ({"until": "2026-11-20"}, State.EXPIRED),
        ({"targets": ("192.0.2.7:110",)}, State.NEW),
        ({"targets": ("mail.example",)}, State.EXEMPT),
        ({"targets": ("2001:db8::/32", "*.example")}, State.EXEMPT),
        ({"site": "lab"}, State.NEW),
        ({"rules": ("tls-version",)}, State.NEW),
    ],
    ids=str,
)
def test_an_exception_holds_where_it_says_and_until_its_day_is_over(
    changes: dict[str, object], expected: State
):
    policy = replace(POLICY, exceptions=(exemption(**changes),))
    (only,) = compare(policy, [EXPOSED], nothing_before, NOW)
    assert only.state is expected
    assert (only.state in FAILING) == (expected is not State.EXEMPT)
    assert (only.exemption is None) == (expected is State.NEW)


def test_of_several_exceptions_the_longest_holds():
    over = exemption(until="2026-01-01")
    for exceptions in ((over, exemption()), (exemption(), over)):
        assert told(EXPOSED, replace(POLICY, exceptions=exceptions)) == [(State.EXEMPT, RULE)]


def test_what_is_fixed_names_the_exception_that_can_go():
    policy = replace(POLICY, exceptions=(exemption(),))
    (only,) = compare(policy, [REFUSED], remembered(broken()), NOW)
    assert (only.state, only.exemption) == (State.FIXED, exemption())


# -- what cannot be told ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "says"),
    [
        (posture(Verdict.INCONCLUSIVE), "because"),
        (posture(assessment=None), "nobody looked"),
        (posture(seen="2026-11-01T12:00:00.000Z"), "more than 7 days ago"),
        (posture(Verdict.ABSENT, seen="2026-11-01T12:00:00.000Z"), "more than 7 days ago"),
    ],
    ids=["inconclusive", "nobody", "old", "old and absent"],
)
def test_what_could_not_be_told_is_never_clean(known: Posture, says: str):
    (only,) = compare(POLICY, [known], nothing_before, NOW)
    assert (only.state, only.rule) == (State.UNDECIDED, "inconclusive")
    assert says in only.text


def test_an_old_look_that_found_something_still_says_so():
    assert told(replace(EXPOSED, seen="2026-01-01T12:00:00.000Z")) == [(State.NEW, RULE)]


def test_an_exception_can_let_pass_what_cannot_be_told():
    policy = replace(POLICY, exceptions=(exemption(rules=("inconclusive",)),))
    doubtful = posture(Verdict.INCONCLUSIVE)
    assert told(doubtful, policy) == [(State.EXEMPT, "inconclusive")]
    over = replace(POLICY, exceptions=(exemption(rules=("inconclusive",), until="2026-01-01"),))
    assert told(doubtful, over) == [(State.UNDECIDED, "inconclusive")]
    assert told(REFUSED, policy, compare(policy, [doubtful], nothing_before, NOW)) == []


def test_what_could_not_be_looked_for_again_says_so_once():
    silent = posture(Verdict.INCONCLUSIVE, kept=())
    once = list(compare(POLICY, [silent], remembered(broken()), NOW))
    twice = [replace(each, state=State.UNCHANGED) for each in once]
    again = list(compare(POLICY, [silent], remembered(twice), NOW))
    assert [each.text for each in again] == [each.text for each in once]
    assert len(once) == 2


def test_what_was_asked_for_and_led_nowhere_is_undecided():
    assert unknown("mail.example", "no address").state is State.UNDECIDED
    assert unknown("mail.example", "x").id == unknown("mail.example", "y").id


# -- TLS and versions ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("least", "accepted", "rejected", "expected"),
    [
        ("1.2", "1.2 1.3", "1 1.1", []),
        ("1.2", "1.1 1.2", "1", [State.NEW]),
        ("1.2", "1.2", "1", [State.UNDECIDED]),
        ("1.0", "1 1.1", "", []),
        ("1.3", "1.2 1.3", "1 1.1", [State.NEW]),
        ("1.3", "1.3", "1 1.1", [State.UNDECIDED]),
        ("1.3", "1.3", "1 1.1 1.2", []),
        ("", "1", "", []),
    ],
)
def test_no_older_tls_version_is_accepted(
    least: str, accepted: str, rejected: str, expected: list[State]
):
    policy = replace(POLICY, asked=replace(POLICY.asked, tls_min_version=least))
    yes, no = (tuple(f"TLSv{each}" for each in text.split()) for text in (accepted, rejected))
    found = told(replace(REFUSED, tls=TlsPosture(yes, no, TLS.ends)), policy)
    assert found == [(state, "tls-version") for state in expected]


def test_sslv3_is_older_than_all():
    old = replace(TLS, accepted=("SSLv3", *TLS.accepted))
    assert told(replace(REFUSED, tls=old)) == [(State.NEW, "tls-version")]


@pytest.mark.parametrize(
    ("ends", "days", "expected", "severity"),
    [
        ("2026-12-13T12:00:00.000Z", 21, [], None),
        ("2026-12-12T11:00:00.000Z", 21, [State.NEW], Severity.MEDIUM),
        ("2026-11-21T11:00:00.000Z", 21, [State.NEW], Severity.HIGH),
        ("", 21, [State.UNDECIDED], Severity.INFO),
        ("2026-11-21T11:00:00.000Z", 0, [], None),
    ],
)
def test_a_certificate_lasts_as_long_as_is_asked(
    ends: str, days: int, expected: list[State], severity: Severity | None
):
    policy = replace(POLICY, asked=replace(POLICY.asked, certificate_days=days))
    known = replace(REFUSED, tls=replace(TLS, ends=ends))
    found = list(compare(policy, [known], nothing_before, NOW))
    assert [each.state for each in found] == expected
    assert [each.severity for each in found] == [severity] * len(expected)


def test_a_renewed_certificate_is_fixed():
    short = replace(REFUSED, tls=replace(TLS, ends="2026-11-25T12:00:00.000Z"))
    assert told(replace(REFUSED, tls=TLS), before=broken(short)) == [
        (State.FIXED, "certificate-days")
    ]
    assert told(REFUSED, before=broken(short)) == [(State.UNDECIDED, "certificate-days")]


@pytest.mark.parametrize(
    ("product", "expected"),
    [
        ("Dovecot 2.3.21", []),
        ("Dovecot 2.4", []),
        ("Dovecot 2.3.4.1", [State.NEW]),
        ("Dovecot 2.3", [State.UNDECIDED]),
        ("Dovecot", [State.UNDECIDED]),
        ("Dovecot 2.3.2x", [State.NEW]),
        ("Courier", []),
        ("", []),
    ],
)
def test_a_product_is_as_new_as_is_asked(product: str, expected: list[State]):
    asked = replace(POLICY.asked, least_versions=(LeastVersion("dovecot", "2.3.21"),))
    known = replace(REFUSED, assessment=judged(Verdict.REFUSED, product))
    found = told(known, replace(POLICY, asked=asked))
    assert found == [(state, "least-version") for state in expected]


@pytest.mark.parametrize(
    ("service", "verdict", "expected"),
    [
        ("192.0.2.7:109", Verdict.ABSENT, [(State.NEW, "service-gone")]),
        ("mail.example:109", Verdict.ABSENT, [(State.NEW, "service-gone")]),
        ("192.0.2.7:110", Verdict.ABSENT, []),
        ("192.0.2.7:109", Verdict.REFUSED, []),
        ("192.0.2.7:109", Verdict.INCONCLUSIVE, [(State.UNDECIDED, "inconclusive")]),
    ],
)
def test_a_service_must_answer(service: str, verdict: Verdict, expected: list[object]):
    policy = replace(POLICY, services=(service,))
    assert told(posture(verdict), policy) == expected
    gone = list(compare(policy, [posture(Verdict.ABSENT)], nothing_before, NOW))
    back = told(posture(Verdict.REFUSED), policy, gone)
    assert back == [(State.FIXED, "service-gone")] * len(gone)


def test_the_first_section_that_fits_says_what_is_asked():
    free = replace(POLICY.asked, cleartext=True)
    first = Section(("192.0.2.7:110", "2001:db8::1"), "", free)
    for sections, expected in (
        ((first,), 1),
        ((first, Section(("mail.example",), "", free)), 0),
        ((Section(("192.0.2.7",), "lab", free),), 1),
        ((Section(("192.0.2.7",), "", POLICY.asked), Section(("192.0.2.0/24",), "", free)), 1),
    ):
        assert len(told(EXPOSED, replace(POLICY, sections=sections))) == expected


def test_the_most_severe_comes_first():
    known = replace(
        EXPOSED, findings=(finding("tls-certificate", Severity.MEDIUM), finding()), tls=TLS
    )
    assert [rule for _, rule in told(known)] == [RULE, "tls-certificate"]


# -- files -----------------------------------------------------------------------------------------


def fault(said: str = "debug = 7", severity: Severity = Severity.HIGH, line: int = 1) -> Fault:
    return Fault("stunnel-debug", severity, False, line, 1, "loud", said, "less", True)


def linted(*faults: Fault, unread: str = "") -> Linted:
    return Linted("etc/stunnel.conf", "stunnel", faults, unread)


def files(known: Linted, policy: SealPolicy = POLICY, before: Iterable[Deviation] = ()):
    return list(compare_files(policy, [known], remembered(before), NOW))


def test_a_fault_deviates_at_its_line_and_is_known_again_where_it_moves():
    (only,) = files(linted(fault()))
    assert (only.state, only.place, only.endpoint) == (State.NEW, "etc/stunnel.conf:1", None)
    moved = files(linted(fault(line=9)), before=[only])
    assert [(each.state, each.line) for each in moved] == [(State.UNCHANGED, 9)]
    assert [each.state for each in files(linted(), before=[only])] == [State.FIXED]
    assert len({each.id for each in files(linted(fault(), fault(line=2)))}) == 2


def test_faults_count_from_the_severity_that_is_asked():
    assert files(linted(fault(severity=Severity.LOW))) == []


def test_an_exception_for_files_holds_by_pattern():
    for pattern, expected in (("etc/*", State.EXEMPT), ("roles/*", State.NEW)):
        made = exemption(targets=(), files=(pattern,), rules=("stunnel-debug",))
        policy = replace(POLICY, exceptions=(made,))
        for path in ("etc/stunnel.conf", "./etc//stunnel.conf"):
            (only,) = files(replace(linted(fault()), path=path), policy)
            assert (only.state, only.path) == (expected, "etc/stunnel.conf")


def test_a_file_that_was_not_understood_is_undecided_and_fixes_nothing():
    before = files(linted(fault()))
    found = files(linted(unread="line 3: what"), before=before)
    assert [each.state for each in found] == [State.UNDECIDED, State.UNDECIDED]
