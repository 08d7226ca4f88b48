"""Who answers, by what the server says; and what a daemon means by words of its own."""

from dataclasses import replace

import pytest

from mailseal.assess import assess
from mailseal.daemons import DAEMONS, recognise
from mailseal.model.finding import Grade, Verdict
from mailseal.model.look import (
    Attempt,
    Channel,
    Endpoint,
    Observation,
    Outcome,
    Reach,
    Vantage,
)

SEEN = Observation(
    Endpoint("192.0.2.1", 143), Vantage.REMOTE, "then", "later", Reach.OPEN, "imap", "", None,
    (), (), "0", (),
)  # fmt: skip

BANNERS = (
    ("pop2", "+ POP2 mail.example 2007f.75 server ready", "UW 2007f.75"),
    ("pop3", "+OK POP3 mail.example 2007f.104 server ready", "UW 2007f.104"),
    ("imap", "* OK [CAPABILITY IMAP4REV1] mail.example IMAP4rev1 2007e.404 at Sat", "UW 2007e.404"),
    ("imap", "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] Dovecot (Debian) ready.", "Dovecot"),
    ("managesieve", "Dovecot Pigeonhole", "Dovecot"),
    ("pop3", "+OK Dovecot ready.", "Dovecot"),
    (
        "imap",
        "* OK [CAPABILITY IMAP4rev1] mail Cyrus IMAP 3.6.1-Debian-3.6.1-4+deb12u4 server ready",
        "Cyrus IMAP 3.6.1",
    ),
    ("pop3", "+OK mail Cyrus POP3 2.4.17 server ready <1.2@mail>", "Cyrus IMAP 2.4.17"),
    ("managesieve", "Cyrus timsieved 3.6.1-Debian", "Cyrus IMAP 3.6.1"),
    ("imap", "* OK [CAPABILITY IMAP4rev1] Courier-IMAP ready. Copyright 1998-2022", "Courier"),
    ("pop3", "+OK Hello there.", "Courier"),
    ("pop3", "+OK", "popa3d (probably)"),
    ("pop3", "+OK Qpopper (version 4.0.9) at mail.example starting.", "Qpopper 4.0.9"),
    ("smtp", "220 mail.example ESMTP Postfix (Debian/GNU)", "Postfix"),
    ("smtp", "220 mail.example ESMTP Exim 4.96 Sat, 21 Nov 2026", "Exim 4.96"),
)


@pytest.mark.parametrize(("protocol", "banner", "product"), BANNERS)
def test_who_greets_so(protocol: str, banner: str, product: str):
    seen = replace(SEEN, protocol=protocol, banner=banner)
    assert str(recognise(seen)) == product
    assert assess([replace(seen, gaps=("x",))]).product == product


@pytest.mark.parametrize(
    ("protocol", "banner"),
    [("smtp", "220 mail.example ESMTP"), ("imap", "* OK ready"), ("smtp", "+OK Dovecot ready.")],
)
def test_who_does_not_say(protocol: str, banner: str):
    assert recognise(replace(SEEN, protocol=protocol, banner=banner)) is None


def test_every_daemon_has_a_banner_here():
    shown = " ".join(product for _, _, product in BANNERS)
    assert [daemon.title for daemon in DAEMONS if daemon.signs and daemon.title not in shown] == []


@pytest.mark.parametrize(("word", "version"), [("Plaintext", "2.3"), ("Cleartext", "2.4")])
def test_dovecot_is_told_apart_by_its_words(word: str, version: str):
    line = f"S: -ERR [AUTH] {word} authentication disallowed on non-secure (SSL/TLS) connections."
    seen = replace(SEEN, protocol="pop3", banner="+OK Dovecot ready.", transcript=(line,))
    assert str(recognise(seen)) == f"Dovecot {version}"


def attempt(outcome: Outcome, said: str, mechanism: str = "PLAIN") -> Attempt:
    return Attempt(mechanism, Channel.CLEAR, False, outcome, "words", said=said)


def test_cyrus_s_invalid_user_shows_nothing():
    cyrus = replace(SEEN, banner="* OK Cyrus IMAP 3.6.1 server ready")
    processed = attempt(Outcome.ACCEPTED, "NO Invalid user", "LOGIN command")
    assert assess([replace(cyrus, attempts=(processed,))]).verdict is Verdict.INCONCLUSIVE
    # Whoever else says so has processed the login.
    other = replace(SEEN, banner="* OK ready", attempts=(processed,))
    assert assess([other]).grade is Grade.ACCEPTED


def test_timsieved_s_bare_no_is_a_refusal_before_the_secret_and_not_after():
    said = 'NO "Authentication Error"'
    cyrus = replace(SEEN, protocol="managesieve", banner="Cyrus timsieved 3.6.1")
    before = attempt(Outcome.UNCLEAR, said)
    after = attempt(Outcome.ACCEPTED, said)
    listed = replace(after, offered=True)
    assert assess([replace(cyrus, attempts=(before,))]).verdict is Verdict.REFUSED
    assert assess([replace(cyrus, attempts=(after,))]).verdict is Verdict.INCONCLUSIVE
    assert assess([replace(cyrus, attempts=(listed,))]).verdict is Verdict.EXPOSED


def test_timsieved_knows_no_authenticate_before_tls_where_it_requires_tls():
    attempts = (attempt(Outcome.UNCLEAR, 'NO "Expected a command. Got something else."'),)
    cyrus = replace(SEEN, protocol="managesieve", banner="Cyrus timsieved 3.6.1")
    assert assess([replace(cyrus, attempts=attempts)]).verdict is Verdict.REFUSED
    other = replace(cyrus, banner="ready", attempts=attempts)
    assert assess([other]).verdict is Verdict.INCONCLUSIVE


def test_a_look_from_the_host_itself_names_the_trap():
    refused = attempt(Outcome.REFUSED, "NO [PRIVACYREQUIRED] no")
    seen = replace(SEEN, banner="* OK Dovecot ready.", attempts=(refused,), vantage=Vantage.SELF)
    assert "Dovecot trusts its own address" in " ".join(assess([seen]).reasons)
