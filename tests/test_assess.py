"""Verdicts: the table of what one look amounts to, and how several weigh against each other."""

import dataclasses
import itertools

import pytest

from mailseal.assess import assess, meaning
from mailseal.model.codec import digest
from mailseal.model.finding import Grade, Verdict
from mailseal.model.login import Login, LoginOutcome, Meaning
from mailseal.model.look import (
    Attempt,
    Channel,
    Endpoint,
    Observation,
    Outcome,
    Reach,
    TlsFacts,
    Vantage,
)
from mailseal.model.reported import Claimed, Reported

ENDPOINT = Endpoint("192.0.2.1", 109)
TLS = TlsFacts("TLSv1.3", "some cipher", 256, (), "", "mail.example")


def attempt(
    outcome: Outcome, channel: Channel = Channel.CLEAR, reason: str = "", mechanism: str = "HELO"
) -> Attempt:
    return Attempt(mechanism, channel, True, outcome, reason or outcome.value)


def look(
    *attempts: Attempt,
    protocol: str | None = "pop2",
    reach: Reach = Reach.OPEN,
    tls: TlsFacts | None = None,
    gaps: tuple[str, ...] = (),
    vantage: Vantage = Vantage.REMOTE,
    endpoint: Endpoint = ENDPOINT,
    banner: str = "",
) -> Observation:
    return Observation(
        endpoint, vantage, "then", "later", reach, protocol, banner, tls, attempts, (), "0", gaps
    )


OFFERED, ACCEPTED = attempt(Outcome.OFFERED), attempt(Outcome.ACCEPTED)
PROVEN, REFUSED = attempt(Outcome.PROVEN), attempt(Outcome.REFUSED)
UNCLEAR = attempt(Outcome.UNCLEAR)
PLAIN = attempt(Outcome.REFUSED, mechanism="PLAIN", reason="no PLAIN")
DOUBTFUL = attempt(Outcome.UNCLEAR, mechanism="PLAIN", reason="PLAIN, perhaps")
DIGEST = attempt(Outcome.OFFERED, mechanism="CRAM-MD5")
SCRAM = attempt(Outcome.OFFERED, mechanism="SCRAM-SHA-256")
INSIDE = attempt(Outcome.PROVEN, Channel.TLS)
SOMEHOW = attempt(Outcome.PROVEN, Channel.UNKNOWN)
NOTHING = "closed: connection refused"

TABLE = (
    # the look, the verdict, the grade, the reasons
    (look(OFFERED), Verdict.EXPOSED, Grade.OFFERED, ["offered"]),
    (look(ACCEPTED), Verdict.EXPOSED, Grade.ACCEPTED, ["accepted"]),
    (look(ACCEPTED, PROVEN), Verdict.EXPOSED, Grade.PROVEN, ["proven"]),
    (look(REFUSED, ACCEPTED), Verdict.EXPOSED, Grade.ACCEPTED, ["accepted"]),
    (look(UNCLEAR, OFFERED), Verdict.EXPOSED, Grade.OFFERED, ["offered"]),
    (look(ACCEPTED, tls=TLS), Verdict.EXPOSED, Grade.ACCEPTED, ["accepted"]),
    (look(ACCEPTED, INSIDE, tls=TLS), Verdict.EXPOSED, Grade.ACCEPTED, ["accepted"]),
    (look(ACCEPTED, ACCEPTED), Verdict.EXPOSED, Grade.ACCEPTED, ["accepted"]),
    (look(REFUSED), Verdict.REFUSED, None, ["refused"]),
    (look(INSIDE, tls=TLS), Verdict.REFUSED, None, ["POP2 answers only inside TLSv1.3"]),
    (look(INSIDE, protocol="imap", tls=TLS), Verdict.REFUSED, None,
     ["IMAP answers only inside TLSv1.3"]),
    (look(UNCLEAR), Verdict.INCONCLUSIVE, None, ["unclear"]),
    # Of the same mechanism the answer that went further counts, of several every one.
    (look(UNCLEAR, REFUSED), Verdict.REFUSED, None, ["refused"]),
    (look(ACCEPTED, REFUSED), Verdict.REFUSED, None, ["refused"]),
    (look(ACCEPTED, UNCLEAR), Verdict.EXPOSED, Grade.ACCEPTED, ["accepted"]),
    (look(PROVEN, REFUSED), Verdict.EXPOSED, Grade.PROVEN, ["proven"]),
    (look(ACCEPTED, PLAIN), Verdict.EXPOSED, Grade.ACCEPTED, ["accepted"]),
    (look(REFUSED, PLAIN), Verdict.REFUSED, None, ["refused", "no PLAIN"]),
    (look(REFUSED, DOUBTFUL), Verdict.INCONCLUSIVE, None, ["PLAIN, perhaps"]),
    (look(REFUSED, DIGEST, SCRAM), Verdict.REFUSED, None, ["refused"]),
    (look(UNCLEAR, tls=TLS), Verdict.INCONCLUSIVE, None, ["unclear"]),
    (look(SOMEHOW), Verdict.INCONCLUSIVE, None,
     ["whether these logins travelled inside TLS is not known", "proven"]),
    (look(REFUSED, SOMEHOW), Verdict.INCONCLUSIVE, None,
     ["whether these logins travelled inside TLS is not known", "proven"]),
    (look(gaps=("clear: silent",)), Verdict.INCONCLUSIVE, None, ["clear: silent"]),
    (look(protocol=None, gaps=("clear: silent",)), Verdict.INCONCLUSIVE, None, ["clear: silent"]),
    (look(protocol=None, banner="hi"), Verdict.INCONCLUSIVE, None,
     ["what it says is not understood: hi"]),
    (look(protocol=None, tls=TLS, gaps=("tls: silent",)), Verdict.INCONCLUSIVE, None,
     ["TLS from the first octet, but no mail service answered inside it", "tls: silent"]),
    (look(reach=Reach.UNROUTABLE, protocol=None, gaps=("no route",)), Verdict.INCONCLUSIVE, None,
     ["no route"]),
    (look(reach=Reach.CLOSED, protocol=None, gaps=("connection refused",)), Verdict.ABSENT, None,
     [NOTHING]),
    (look(reach=Reach.FILTERED, protocol=None), Verdict.ABSENT, None, ["filtered"]),
    (look(protocol="ssh"), Verdict.ABSENT, None, ["another service answers: ssh"]),
    (look(protocol="ssh", tls=TLS), Verdict.ABSENT, None, ["another service answers: ssh"]),
    (look(REFUSED, vantage=Vantage.SELF), Verdict.REFUSED, None,
     ["refused", "seen from the host itself: a stranger may be treated otherwise"]),
    (look(INSIDE, tls=TLS, vantage=Vantage.SELF), Verdict.REFUSED, None,
     ["POP2 answers only inside TLSv1.3",
      "seen from the host itself: a stranger may be treated otherwise"]),
)  # fmt: skip


@pytest.mark.parametrize(("seen", "verdict", "grade", "reasons"), TABLE)
def test_one_look(seen: Observation, verdict: Verdict, grade: Grade | None, reasons: list[str]):
    judged = assess([seen])
    assert (judged.verdict, judged.grade, list(judged.reasons)) == (verdict, grade, reasons)
    assert judged.conflicts == ()
    assert judged.basis == ("0",)


RANKED = (
    look(PROVEN),
    look(ACCEPTED),
    look(OFFERED),
    look(UNCLEAR),
    look(REFUSED),
    look(reach=Reach.CLOSED, protocol=None),
)


@pytest.mark.parametrize(("strong", "weak"), list(itertools.combinations(RANKED, 2)))
def test_several_looks(strong: Observation, weak: Observation):
    alone = assess([strong])
    for order in ([strong, weak], [weak, strong]):
        judged = assess(order)
        assert (judged.verdict, judged.grade) == (alone.verdict, alone.grade)
        assert bool(judged.conflicts) is (alone.verdict is not assess([weak]).verdict)


def test_a_conflict_says_who_saw_what():
    (conflict,) = assess([look(ACCEPTED, vantage=Vantage.SELF), look(REFUSED)]).conflicts
    assert "exposed from self at then" in conflict
    assert "refused from remote at then" in conflict


def test_the_protocol_is_the_verdict_s():
    assert assess([look(ACCEPTED), look(protocol="ssh")]).protocol == "pop2"
    assert assess([look(protocol="ssh"), look(protocol=None, gaps=("x",))]).protocol == "ssh"
    assert assess([look(reach=Reach.CLOSED, protocol=None)]).protocol is None


def test_vantages_are_told_once_each():
    seen = [look(REFUSED), look(REFUSED, vantage=Vantage.SELF), look(REFUSED)]
    assert assess(seen).vantages == (Vantage.REMOTE, Vantage.SELF)


def test_a_session_logged_in_from_the_start_is_not_clean():
    seen = dataclasses.replace(look(protocol="imap"), preauth=True)
    judged = assess([seen])
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert "for logged in" in judged.reasons[0]


def test_inconclusive_never_becomes_clean():
    for seen, verdict, _, _ in TABLE:
        if verdict is Verdict.INCONCLUSIVE:
            assert assess([seen, look(REFUSED)]).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("seen", [[], [look(), look(endpoint=Endpoint("192.0.2.2", 109))]])
def test_one_endpoint_at_a_time(seen: list[Observation]):
    with pytest.raises(ValueError, match="one endpoint"):
        assess(seen)


def report(
    says: Claimed = Claimed.PERMITTED,
    source: str = "nessus",
    protocol: str | None = "pop2",
    endpoint: Endpoint = ENDPOINT,
) -> Reported:
    return Reported(endpoint, source, "15854", "POP2 Cleartext Logins Permitted", says, protocol)


LISTENS = report(Claimed.LISTENS, "ss", None)


def test_a_report_without_a_look_is_exposed_by_hearsay():
    judged = assess([], [report()])
    assert (judged.verdict, judged.grade) == (Verdict.EXPOSED, Grade.REPORTED)
    assert judged.reasons == ("nessus 15854 reports POP2 Cleartext Logins Permitted",)
    assert (judged.protocol, judged.vantages, judged.conflicts) == ("pop2", (), ())
    assert judged.basis == (digest(report()),)


def test_that_something_listens_decides_nothing():
    judged = assess([], [LISTENS])
    assert (judged.verdict, judged.grade, judged.protocol) == (Verdict.INCONCLUSIVE, None, None)
    assert "it listens, not looked at" in judged.reasons[0]
    assert assess([], [LISTENS, report()]).verdict is Verdict.EXPOSED


CLOSED = look(reach=Reach.CLOSED, protocol=None)
FILTERED = look(reach=Reach.FILTERED, protocol=None)
REPORTED_AND_SEEN = (
    # the look, the verdict and grade beside a report of cleartext logins, whether they disagree
    (look(ACCEPTED), Verdict.EXPOSED, Grade.ACCEPTED, False),
    (look(REFUSED), Verdict.REFUSED, None, True),
    (look(INSIDE, tls=TLS), Verdict.REFUSED, None, True),
    (CLOSED, Verdict.ABSENT, None, True),
    (look(protocol="ssh"), Verdict.ABSENT, None, True),
    (FILTERED, Verdict.EXPOSED, Grade.REPORTED, False),
    (look(reach=Reach.UNROUTABLE, protocol=None), Verdict.EXPOSED, Grade.REPORTED, False),
    (look(UNCLEAR), Verdict.EXPOSED, Grade.REPORTED, False),
    (look(protocol="pop3"), Verdict.EXPOSED, Grade.REPORTED, False),
)


@pytest.mark.parametrize(("seen", "verdict", "grade", "disagree"), REPORTED_AND_SEEN)
def test_a_look_that_decides_outranks_a_report_and_one_that_does_not_leaves_it(
    seen: Observation, verdict: Verdict, grade: Grade | None, disagree: bool
):
    judged = assess([seen], [report()])
    assert (judged.verdict, judged.grade) == (verdict, grade)
    assert [f"{verdict.value} by the look; nessus 15854" in c for c in judged.conflicts] == (
        [True] if disagree else []
    )
    assert judged.basis == ("0", digest(report()))
    assert judged.vantages == (Vantage.REMOTE,)


@pytest.mark.parametrize("seen", [look(ACCEPTED), look(REFUSED), look(UNCLEAR), CLOSED, FILTERED])
def test_that_something_listens_changes_no_verdict(seen: Observation):
    judged, alone = assess([seen], [LISTENS]), assess([seen])
    assert (judged.verdict, judged.grade, judged.reasons) == (
        alone.verdict,
        alone.grade,
        alone.reasons,
    )
    assert bool(judged.conflicts) is (seen is CLOSED)


def test_reports_of_other_endpoints_are_not_mixed():
    other = report(endpoint=Endpoint("192.0.2.2", 109))
    for looks, reports in (([], [report(), other]), ([look(ACCEPTED)], [other])):
        with pytest.raises(ValueError, match="one endpoint"):
            assess(looks, reports)


# -- logins ----------------------------------------------------------------------------------------


def at(day: int) -> str:
    return f"2026-01-{day:02d}T12:00:00.000Z"


def login(
    user: str | None = "alice",
    channel: Channel = Channel.CLEAR,
    outcome: LoginOutcome = LoginOutcome.ACCEPTED,
    first: int = 10,
    last: int = 20,
    mechanism: str = "PLAIN",
    client: str = "198.51.100.7",
    vantage: Vantage = Vantage.LOG,
    endpoint: Endpoint | None = ENDPOINT,
    count: int = 3,
) -> Login:
    return Login(
        endpoint, "pop2", client, user, mechanism, channel, outcome, count, at(first), at(last),
        vantage,
    )  # fmt: skip


def dated(seen: Observation, day: int) -> Observation:
    return dataclasses.replace(seen, start=at(day), end=at(day))


SAFE = login(channel=Channel.TLS)
TURNED_DOWN = login(outcome=LoginOutcome.REFUSED)
UNTOLD = login(channel=Channel.UNKNOWN)
SPAN = f"{at(10)} to {at(20)}"
SEEN = f"3 logins in cleartext, of 1 user, seen in a log, {SPAN}"


def test_a_login_in_cleartext_exposes_by_itself():
    judged = assess((), (), [login()])
    assert (judged.verdict, judged.grade) == (Verdict.EXPOSED, Grade.OBSERVED)
    assert (judged.protocol, judged.vantages) == ("pop2", (Vantage.LOG,))
    assert judged.reasons == (SEEN,)


def test_its_words_count_people_and_name_none():
    logins = [
        login("alice"),
        login("bob", vantage=Vantage.WIRE, last=21),
        login("carol", vantage=Vantage.WIRE, outcome=LoginOutcome.REJECTED, count=1),
        login(None, channel=Channel.TLS),
    ]
    judged = assess((), (), logins)
    assert judged.reasons == (
        SEEN,
        f"4 logins in cleartext, of 2 names, 1 of them let in, seen on the wire, "
        f"{at(10)} to {at(21)}",
    )
    for name in ("alice", "bob", "carol", "198.51.100.7"):
        assert name not in repr(judged)
    others = [dataclasses.replace(each, user="x", client="192.0.2.9") for each in logins]
    assert assess((), (), others[:1]).basis == assess((), (), logins[:1]).basis


@pytest.mark.parametrize("other", [SAFE, TURNED_DOWN, UNTOLD, login(mechanism="CRAM-MD5")])
def test_no_other_login_makes_an_endpoint_clean_or_exposed(other: Login):
    alone = assess((), (), [other])
    assert (alone.verdict, alone.grade) == (Verdict.INCONCLUSIVE, None)
    assert "which does not say that none is taken" in alone.reasons[0]
    assert assess([dated(look(REFUSED), 5)], (), [other]).verdict is Verdict.REFUSED
    assert assess([dated(look(ACCEPTED), 5)], (), [other]).verdict is Verdict.EXPOSED
    filtered = look(reach=Reach.FILTERED, protocol=None)
    assert assess([filtered], (), [other]).verdict is Verdict.INCONCLUSIVE


def test_what_the_host_says_to_itself_cannot_be_told():
    itself = ("127.0.0.1", "127.9.8.7", "::ffff:127.0.0.1", "::1", "localhost", ENDPOINT.address)
    inside = [login(client=client) for client in itself]
    judged = assess((), (), inside)
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert "from the host itself" in judged.reasons[1]
    assert {meaning(each) for each in inside} == {Meaning.UNDECIDED}
    assert assess((), (), [*inside, login(client="mail.example")]).grade is Grade.OBSERVED


@pytest.mark.parametrize(
    ("attempt", "grade", "first"),
    [(OFFERED, Grade.OBSERVED, SEEN), (ACCEPTED, Grade.OBSERVED, SEEN),
     (PROVEN, Grade.PROVEN, "proven")],
)  # fmt: skip
def test_a_look_and_logins_that_agree(attempt: Attempt, grade: Grade, first: str):
    judged = assess([dated(look(attempt), 5)], (), [login()])
    assert (judged.verdict, judged.grade, judged.conflicts) == (Verdict.EXPOSED, grade, ())
    assert judged.reasons[0] == first
    assert len(judged.reasons) == len(judged.basis) == 2
    assert judged.vantages == (Vantage.REMOTE, Vantage.LOG)


DENIALS = [look(REFUSED), CLOSED, look(protocol="ssh")]


@pytest.mark.parametrize("denial", DENIALS)
def test_a_login_after_a_look_that_denies_it_stands_and_both_are_shown(denial: Observation):
    judged = assess([dated(denial, 15)], (), [login()])
    assert (judged.verdict, judged.grade) == (Verdict.EXPOSED, Grade.OBSERVED)
    (conflict,) = judged.conflicts
    before = assess([denial]).verdict.value
    assert f"{before} from remote at {at(15)}; later {SEEN}" in conflict
    assert judged.protocol == "pop2"


@pytest.mark.parametrize("denial", DENIALS)
def test_a_look_after_the_last_login_stands_and_both_are_shown(denial: Observation):
    judged = assess([dated(denial, 25)], (), [login()])
    assert judged.verdict is assess([denial]).verdict
    (conflict,) = judged.conflicts
    assert f"{SEEN}; later {judged.verdict.value} from remote at {at(25)}" in conflict


def test_a_look_from_the_host_itself_undoes_no_login():
    seen = dated(look(REFUSED, vantage=Vantage.SELF), 25)
    judged = assess([seen], (), [login()])
    assert judged.verdict is Verdict.EXPOSED
    assert "refused from self" in judged.conflicts[0]


@pytest.mark.parametrize("undecided", [look(UNCLEAR), look(reach=Reach.FILTERED, protocol=None)])
def test_a_look_that_cannot_tell_denies_no_login(undecided: Observation):
    judged = assess([dated(undecided, 25)], (), [login()])
    assert (judged.verdict, judged.conflicts) == (Verdict.EXPOSED, ())


def test_a_refused_login_where_a_look_is_let_in_is_shown():
    judged = assess([dated(look(ACCEPTED), 25)], (), [TURNED_DOWN])
    assert judged.verdict is Verdict.EXPOSED
    assert "refused by policy" in judged.conflicts[0]


def test_reports_yield_to_logins_and_stand_without_any_in_cleartext():
    report = Reported(ENDPOINT, "nessus", "15854", "permitted", Claimed.PERMITTED, "pop2")
    assert assess((), [report], [login()]).grade is Grade.OBSERVED
    stands = assess((), [report], [SAFE])
    assert (stands.verdict, stands.grade) == (Verdict.EXPOSED, Grade.REPORTED)
    listens = dataclasses.replace(report, says=Claimed.LISTENS)
    judged = assess((), [listens], [login()])
    assert (judged.verdict, judged.conflicts) == (Verdict.EXPOSED, ())


def test_logins_of_several_endpoints_or_of_none_are_no_evidence_for_one():
    for logins in ([login(), login(endpoint=Endpoint("192.0.2.2", 109))], [login(endpoint=None)]):
        with pytest.raises(ValueError, match="one endpoint"):
            assess((), (), logins)
    with pytest.raises(ValueError, match="one endpoint"):
        assess([look(REFUSED)], (), [login(endpoint=Endpoint("192.0.2.2", 109))])


@pytest.mark.parametrize(
    ("seen", "means"),
    [
        (login(), Meaning.CLEARTEXT),
        (login(outcome=LoginOutcome.REJECTED), Meaning.CLEARTEXT),
        (login(outcome=LoginOutcome.UNKNOWN), Meaning.UNDECIDED),
        (TURNED_DOWN, Meaning.REFUSED),
        (UNTOLD, Meaning.UNDECIDED),
        (login(mechanism="CRAM-MD5"), Meaning.WEAK),
        (login(mechanism="SCRAM-SHA-256"), Meaning.SAFE),
        (login(mechanism=""), Meaning.CLEARTEXT),
        (SAFE, Meaning.SAFE),
    ],
)
def test_what_a_login_means(seen: Login, means: Meaning):
    assert meaning(seen) is means
