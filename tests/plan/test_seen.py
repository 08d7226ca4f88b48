"""A plan names who would be cut off, and says so where nobody looked."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mailseal.model.login import Login, LoginOutcome
from mailseal.model.look import Channel
from mailseal.plan import Cannot, Options, make
from mailseal.plan.seen import USERS, Seen, lines, noise
from tests.plan.hosts import facts
from tests.store.make import login, moment

SINCE = moment(0)
DAY = SINCE[:10]
TLS = login("tess", channel=Channel.TLS)
UNTOLD = login("ulla", channel=Channel.UNKNOWN)
GUESS = login("guess", outcome=LoginOutcome.REJECTED)


def said(*logins: Login, everybody: bool = False) -> list[str]:
    return list(lines(Seen(SINCE, logins, ever=True), everybody))


def test_that_nobody_looked_is_said():
    assert lines(Seen(SINCE)) == (
        "Nobody looked at who logs in here: `mailseal wire` and `mailseal logs` tell.",
    )
    assert lines(Seen(SINCE, unread="the disk is gone")) == (
        "Who logs in here could not be looked up: the disk is gone",
    )


def test_that_nobody_came_lately_is_another_thing():
    assert said() == [f"Nobody was seen to log in here since {DAY}."]
    assert said(TLS) == [
        f"Nobody was seen to log in without TLS here since {DAY}, of 3 logins in all."
    ]
    assert said(login(outcome=LoginOutcome.REFUSED)) == [
        f"Nobody was seen to log in without TLS here since {DAY}, of 3 logins in all."
    ]


def test_each_user_without_tls_is_named_the_last_one_first():
    seen = [
        login("alice", 1, 2, software=("mutt 2.2",)),
        login("alice", 3, 1440 * 3, client="198.51.100.8", mechanism="CRAM-MD5", count=1),
        login("bob", 5, 6, outcome=LoginOutcome.UNKNOWN, client=""),
        login(None, 3, 4),
        TLS,
        UNTOLD,
        GUESS,
        login("bob", outcome=LoginOutcome.REJECTED),
    ]
    assert said(*seen) == [
        f"3 users logged in without TLS here since {DAY}:",
        "  alice: 4 times from 198.51.100.8, 198.51.100.7, last on 2026-01-18 (mutt 2.2)",
        "  bob: 3 times, last on 2026-01-15",
        "  a user whose name was not seen: 3 times from 198.51.100.7, last on 2026-01-15",
        f"Of 1 user since {DAY} it could not be told whether they use TLS: ulla.",
        f"1 name was tried without TLS since {DAY} and never let in.",
    ]


def test_where_a_service_is_turned_off_everybody_is_named():
    told = said(TLS, UNTOLD, GUESS, everybody=True)
    assert told[0] == f"2 users logged in here since {DAY}:"
    assert told[-1] == f"1 name was tried since {DAY} and never let in."
    assert not [line for line in told if "could not be told" in line]


def test_of_very_many_the_last_are_named():
    many = [login(f"user{number}", number, number) for number in range(USERS + 5)]
    untold = [
        login(f"x{number}", number, number, channel=Channel.UNKNOWN) for number in range(USERS + 5)
    ]
    told = said(*many, *untold)
    assert f"user{USERS + 4}:" in told[1]
    assert told[USERS + 1] == "  and 5 more: mailseal findings --logins"
    assert told[-1].endswith(", and 5 more.")


def test_of_many_clients_some_are_named():
    seen = [login(client=f"198.51.100.{number}", count=1) for number in range(9)]
    assert "and 6 more, last on" in said(*seen)[1]


CHOICES = some.builds(
    login,
    some.sampled_from(["a", "b", None]),
    channel=some.sampled_from(list(Channel)),
    outcome=some.sampled_from(list(LoginOutcome)),
)


@given(some.lists(CHOICES, max_size=8), some.booleans())
def test_whoever_would_be_cut_off_is_named(logins: list[Login], everybody: bool):
    told = "\n".join(said(*logins, everybody=everybody))
    got_in = (LoginOutcome.ACCEPTED, LoginOutcome.UNKNOWN)
    for each in logins:
        without = everybody or each.channel is not Channel.TLS
        if without and each.outcome in got_in:
            assert (f"  {each.user}:" in told or f": {each.user}" in told
                    or f", {each.user}" in told or each.user is None)  # fmt: skip
    assert told


@pytest.mark.parametrize("strategy", ["wrap", "retire"])
def test_they_stand_in_the_first_lines_behind_the_warning(strategy: str):
    options = Options(strategy=strategy, name="mail.example")
    before = make(facts("inetd"), 109, "pop2", options)
    made = make(facts("inetd"), 109, "pop2", options, Seen(SINCE, (login(),), ever=True))
    assert made.headline[: len(before.headline)] == before.headline
    assert "alice" in made.headline[-1]
    assert (made.ops, made.claims, made.facts_digest) == (
        before.ops, before.claims, before.facts_digest,
    )  # fmt: skip


def loud(*logins: Login, everybody: bool = False, quiet: str = SINCE) -> str:
    return noise(Seen(SINCE, logins, ever=True, quiet=quiet), everybody)


def test_it_is_quiet_where_somebody_looked_and_nobody_is_cut_off():
    assert loud(TLS, GUESS, login("rudi", outcome=LoginOutcome.REFUSED)) == ""
    assert loud(login(), quiet="") == ""


def test_it_is_not_quiet_where_somebody_is_or_may_be():
    assert f"1 user logged in without TLS here since {DAY}, or may have: alice;" in loud(login())
    assert ": ulla;" in loud(UNTOLD)
    assert f"1 user logged in here since {DAY}, or may have: tess;" in loud(TLS, everybody=True)


def test_that_nothing_is_known_is_not_quiet():
    assert "nothing is known of logins here" in loud()
    assert "nothing is known of logins here" in loud(TLS, quiet="2099-01-01T00:00:00.000Z")
    assert "could not be looked up: gone" in noise(Seen(SINCE, unread="gone", quiet=SINCE))


def test_who_came_before_does_not_count():
    early, late = login("old", 0, 1), login("tess", 0, 60, channel=Channel.TLS)
    assert ": old;" in loud(early, late)
    assert loud(early, late, quiet=moment(30)) == ""


@pytest.mark.parametrize("strategy", ["wrap", "retire"])
def test_a_plan_that_cuts_somebody_off_is_refused_where_quiet_is_required(strategy: str):
    options = Options(strategy=strategy, name="mail.example")
    seen = Seen(SINCE, (login(),), ever=True, quiet=SINCE)
    with pytest.raises(Cannot, match=r"it is not quiet, which was required: 1 user .*: alice;"):
        make(facts("inetd"), 109, "pop2", options, seen)


def test_the_offer_cuts_nobody_off():
    options = Options(strategy="wrap", stage="offer", name="mail.example")
    made = make(facts("inetd"), 109, "pop2", options, Seen(SINCE, (login(),), quiet=SINCE))
    assert made.stage == "offer"


def test_who_comes_from_an_excepted_network_is_still_served():
    seen = Seen(SINCE, (login("alice", client="10.1.2.3"), login("bob", client="192.0.2.7")), True)
    told = lines(seen, False, ["10.1.2.0/24"], True)
    assert told[0] == f"1 user logged in without TLS here since {DAY}:"
    assert told[1].startswith("  bob: ")
    assert told[2] == "Still served without TLS, from excepted networks: 1 user"
    assert told[3].startswith("  alice: ")
    assert told[4] == (
        "To let them stay for a while: --except 192.0.2.0/24 --until DAY --owner NAME --reason TEXT"
    )
    told = lines(seen, False, ["10.1.2.0/24", "192.0.2.0/24"], True)
    assert told[0].startswith("Nobody else was seen to log in without TLS here")
    assert not any("--except" in line for line in told)
    quiet = Seen(SINCE, seen.logins, True, quiet=SINCE)
    assert "bob" in noise(quiet, False, ["10.1.2.0/24"])
    assert noise(quiet, False, ["10.1.2.0/24", "192.0.2.0/24"]) == ""


def test_a_client_that_is_hidden_suggests_no_network():
    seen = Seen(SINCE, (login("alice", client="client-1"), login("eve", client="")), True)
    assert not any("--except" in line for line in lines(seen, suggest=True))
