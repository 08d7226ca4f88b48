"""The policy of change control: read whole, or refused by the name of what is wrong."""

import contextlib
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.model.change import ChangePolicy, Window
from mailseal.policy.change import BadPolicy, parse

WHOLE = b"""
approvals = 2
approvers = ["alice", "bob", "carol"]
approver-is-not-applier = false
ticket = true
notice-hours = 24
expires-hours = 168.5
zone = "Europe/Berlin"

[[window]]
days = ["Sat", "Mon"]
from = "22:00"
to = "04:30"

[[window]]
from = "00:00"
to = "24:00"
"""


def test_every_key_is_read():
    assert parse(WHOLE, "here") == ChangePolicy(
        source="here",
        sha256=hashlib.sha256(WHOLE).hexdigest(),
        approvals=2,
        approvers=("alice", "bob", "carol"),
        apart=False,
        ticket=True,
        notice_hours=24.0,
        expires_hours=168.5,
        zone="Europe/Berlin",
        windows=(Window((0, 5), 1320, 270), Window(tuple(range(7)), 0, 1440)),
    )


def test_an_empty_file_asks_for_one_approval_by_somebody_else():
    made = parse(b"", "here")
    assert (made.approvals, made.approvers, made.apart, made.windows) == (1, (), True, ())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("approval = 1", "unknown key 'approval'; known are approvals, approvers"),
        ("approvals = -1", "approvals: a number from 0"),
        ("approvals = true", "approvals: a number"),
        ("approvals = 1.0", "approvals: a number"),
        ('approvers = "alice"', "approvers: a list of names"),
        ("approvers = []", "approvers: a list of names"),
        ('approvers = [""]', "approvers: a list of names"),
        ("ticket = 1", "ticket: true or false"),
        ("notice-hours = nan", "notice-hours: hours from 0"),
        ("expires-hours = inf", "expires-hours: hours from 0"),
        ('zone = "Europe/Nowhere"', "zone: a time zone as Europe/Berlin is wanted"),
        ('zone = "../../etc/passwd"', "zone: a time zone"),
        ("window = []", "window: an empty list is no time at all"),
        ("window = 3", r"under a line \[\[window\]\]"),
        ('[[window]]\nfrom = "22:00"', "window 1, to is missing"),
        ('[[window]]\nfrom = "22:00"\nto = "22:00"', "00:00 to 24:00"),
        ('[[window]]\nfrom = "24:00"\nto = "02:00"', "00:00 to 24:00"),
        ('[[window]]\nfrom = "22"\nto = "24:01"', "window 1, from: a time as 22:00"),
        ('[[window]]\ndays = ["Sonntag"]\nfrom = "1:0"\nto = "2"', "days: a list of Mon"),
        ('[[window]]\nday = ["Sun"]', "window 1, unknown key 'day'"),
        ('approvals = 2\napprovers = ["alice"]', "approvers names only 1"),
        ("notice-hours = 24\nexpires-hours = 24", "would expire"),
        ("approvals = 0\nticket = true", "leaves nothing"),
        ("approvals", "here: Expected"),
        ("#" * 70000, "longer than"),
    ],
)
def test_what_is_wrong_or_could_never_be_met_is_refused_by_its_name(text: str, says: str):
    with pytest.raises(BadPolicy, match=says):
        parse(text.encode(), "here")


@given(st.binary(max_size=300) | st.text(alphabet="[]\"'={}.a1\n", max_size=300).map(str.encode))
def test_any_octets_are_a_policy_or_refused(text: bytes):
    with contextlib.suppress(BadPolicy):
        assert parse(text, "here").source == "here"


def test_a_nest_is_refused():
    with pytest.raises(BadPolicy):
        parse(b"a = " + b"[" * 30000, "here")
