"""The comparison of a list of logins with what was done finds what was missed and what was made up;
no spelling of a password escapes it.
"""

import base64
import json
import string
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.sessions import KITS
from lab.truth import LOGS, WIRE, Truth, View, between, disagreements, leaks, matched, read, write

DONE = Truth(
    program="curl",
    protocol="smtp",
    server="192.0.2.10",
    port=25,
    client="192.0.2.11",
    user="alice",
    mechanism="PLAIN",
    channel="clear",
    outcome="accepted",
    says="client.example",
    message=True,
)
INSIDE = replace(DONE, channel="tls", says="")


def login(truth: Truth, count: int = 1, **other: Any) -> dict[str, Any]:
    """How a list that tells everything shows it."""
    said = {
        "endpoint": {"address": truth.server, "port": truth.port, "site": "default"},
        "protocol": truth.protocol,
        "client": truth.client,
        "user": truth.user,
        "mechanism": truth.mechanism,
        "channel": truth.channel,
        "outcome": truth.outcome,
        "count": count,
        "last": "2026-01-31T12:00:00Z",
        "software": ["EHLO " + truth.says] if truth.says else [],
    }
    return {"login": {**said, **other}}


def document(*logins: dict[str, Any], partial: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"logins": list(logins), "partial": list(partial)}


def test_a_list_of_what_was_done_agrees_with_it():
    other = replace(DONE, user="bob")
    truths = [DONE, other, DONE, INSIDE]
    assert disagreements(truths, document(login(DONE, 2), login(other)), WIRE) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("client", "192.0.2.12"),
        ("user", "bob"),
        ("user", None),
        ("mechanism", "LOGIN"),
        ("mechanism", ""),
        ("channel", "tls"),
        ("channel", "unknown"),
        ("outcome", "rejected"),
        ("outcome", "unknown"),
        ("protocol", "imap"),
        ("endpoint", {"address": "192.0.2.10", "port": 587}),
        ("endpoint", {"address": "192.0.2.9", "port": 25}),
        ("software", []),
        ("count", 2),
    ],
)
def test_on_the_wire_everything_must_be_told_and_be_so(field: str, value: Any):
    assert disagreements([DONE], document(login(DONE, **{field: value})), WIRE)


def test_what_is_left_out_and_what_is_made_up_are_named():
    bob = replace(DONE, user="bob")
    missed, invented = disagreements([DONE, bob], document(login(DONE, 2)), WIRE)
    assert missed.startswith("missed: Truth(program='curl'")
    assert "bob" in missed
    shown = "smtp 192.0.2.11 alice PLAIN clear accepted at 192.0.2.10:25"
    assert invented.startswith(f"invented: {shown}, last ")


def test_a_list_that_calls_itself_incomplete_does_not_agree():
    (said,) = disagreements([DONE], document(login(DONE), partial=("a packet",)), WIRE)
    assert said == "incomplete, though all was there: a packet"


def test_a_login_inside_tls_on_the_wire_is_made_up():
    (said,) = disagreements([INSIDE], document(login(INSIDE)), WIRE)
    assert said.startswith("invented")


def test_a_log_may_leave_out_what_it_is_known_not_to_tell_and_nothing_else():
    silent = replace(DONE, message=False)
    view = LOGS["postfix"]
    shown = login(silent, endpoint=None, user=None, mechanism="", software=[])
    assert disagreements([silent], document(shown), view) == []
    assert disagreements([DONE], document(shown), view)
    assert disagreements([silent], document(login(silent, channel="unknown")), view)
    # What it need not tell must be so where it tells it.
    assert disagreements([silent], document(login(silent, user="bob")), view)


def test_exim_shows_who_hands_in_a_message_and_not_who_only_logs_in():
    silent = replace(DONE, message=False)
    assert disagreements([DONE, silent], document(login(DONE)), LOGS["exim"]) == []


def test_dovecot_calls_the_commands_of_the_protocols_plain():
    done = replace(DONE, protocol="pop3", mechanism="USER", port=110)
    view = LOGS["dovecot-2.3"]
    assert disagreements([done], document(login(done, mechanism="PLAIN")), view) == []
    assert disagreements([done], document(login(done)), view)


def test_the_port_of_a_login_inside_tls_is_no_log_s_to_know():
    done = replace(INSIDE, port=465)
    said = login(done, endpoint={"address": done.server, "port": 25})
    assert disagreements([done], document(said), LOGS["postfix"]) == []
    assert disagreements([replace(DONE, port=587)], document(login(DONE)), LOGS["postfix"])


def test_there_is_a_view_for_the_log_of_each_daemon():
    assert LOGS.keys() == KITS.keys()


def test_a_log_must_not_tell_of_cleartext_that_was_not_on_the_wire():
    bob = login(replace(DONE, user="bob"), endpoint=None)
    sealed = login(INSIDE, endpoint=None)
    wire = document(login(DONE))
    assert between(document(login(DONE, endpoint=None), sealed), wire, LOGS["postfix"]) == []
    (said,) = between(document(bob), wire, LOGS["postfix"])
    assert said.startswith("not on the wire: smtp 192.0.2.11 bob PLAIN clear accepted at ?")


def test_a_vague_entry_does_not_take_the_place_of_a_definite_one():
    view = View(lambda truth: "")
    bob = replace(DONE, user="bob")
    vague = login(DONE, user=None)
    for listed in ([vague, login(DONE)], [login(DONE), vague]):
        assert disagreements([DONE, bob], document(*listed), view) == []


@given(
    st.integers(0, 6),
    st.integers(0, 6),
    st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5))),
)
def test_as_many_are_matched_as_can_be(left: int, right: int, pairs: set[tuple[int, int]]):
    def most(place: int, used: frozenset[int]) -> int:
        if place == left:
            return 0
        free = (n for n in range(right) if (place, n) in pairs and n not in used)
        return max(most(place + 1, used), *(1 + most(place + 1, used | {each}) for each in free), 0)

    alone, over = matched(range(left), range(right), lambda a, b: (a, b) in pairs)
    assert left - len(alone) == right - len(over) == most(0, frozenset())


def test_what_is_written_is_read_again():
    text = write([DONE, INSIDE], ['open "sesame'])
    assert read(text) == ([DONE, INSIDE], ['open "sesame'])
    assert len(text.splitlines()) == 5


WORDS = st.text(string.ascii_letters + string.digits + ' "\\%', min_size=8, max_size=40)


@given(WORDS, st.binary(max_size=20), st.binary(max_size=20))
def test_a_password_is_found_in_any_spelling(secret: str, before: bytes, behind: bytes):
    octets = secret.encode()
    texts = [
        f"PASS {secret}",
        json.dumps({"user": secret}),
        base64.b64encode(before + octets + behind).decode(),
        base64.b64encode(b"\0alice\0" + octets).decode(),
        octets.hex(),
        (b"\0" + octets).hex().upper(),
    ]
    for text in texts:
        assert leaks([secret], text), text


def test_what_holds_no_password_is_clean():
    text = "alice logs in from 192.0.2.11 by PLAIN: " + base64.b64encode(b"\0alice\0").decode()
    assert leaks(["open sesame", "wrong1234"], text) == []
