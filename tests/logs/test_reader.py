"""Lines in every form, joined lines, hostile ones; and no octet that may be a password gets out."""

import datetime
import itertools
import json
import time
import tracemalloc
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailseal.logs import NAMES, Options
from mailseal.logs.cutting import LINE_LIMIT
from mailseal.logs.fronts import GIVEN, LOCAL, SEVERAL
from mailseal.model.codec import dumps
from mailseal.model.login import LoginOutcome
from mailseal.model.look import Channel
from tests.daemons.test_dialects import EXAMPLES
from tests.logs.common import HEAD, NOW, RECORDED, UTC, added, failures, lines, logins, seen

MESSAGE = (
    b"imap-login: Login: user=<alice>, method=PLAIN, rip=192.0.2.11, lip=192.0.2.10, mpid=92, "
    b"session=<KnJybcVgUObAAAIL>"
)
WHEN = "2026-11-21T08:40:20.000Z"

# -- forms of lines --------------------------------------------------------------------------------

JOURNAL = {
    "MESSAGE": MESSAGE.decode(),
    "__REALTIME_TIMESTAMP": "1795250420000000",
    "_HOSTNAME": "mail",
    "SYSLOG_IDENTIFIER": "dovecot",
    "_PID": "78",
}
EXPORT = b"__CURSOR=s=1\n__REALTIME_TIMESTAMP=1795250420000000\n"
FORMS = {
    "RFC 3164": b"Nov 21 08:40:20 mail dovecot: " + MESSAGE,
    "RFC 3164, pid": b"Nov 21 08:40:20 mail dovecot[78]: " + MESSAGE,
    "RFC 3164, priority": b"<22>Nov 21 08:40:20 mail dovecot: " + MESSAGE,
    "RFC 3164, IPv6 host": b"Nov 21 08:40:20 2001:db8::1 dovecot: " + MESSAGE,
    "FreeBSD": b"Nov 21 08:40:20 mail <mail.info> dovecot[78]: " + MESSAGE,
    "Solaris": b"Nov 21 08:40:20 mail dovecot[78]: [ID 702911 mail.info] " + MESSAGE,
    "RFC 5424": b"<22>1 2026-11-21T08:40:20.000Z mail dovecot 78 - - " + MESSAGE,
    "RFC 5424, data": (
        b'<22>1 2026-11-21T09:40:20+01:00 mail dovecot - ID47 [a@1 b="\\"\\]"][c@1] \xef\xbb\xbf'
        + MESSAGE
    ),
    "RFC 3339": b"2026-11-21T08:40:20.000000+00:00 mail dovecot[78]: " + MESSAGE,
    "short-iso": b"2026-11-21T08:40:20+0000 mail dovecot[78]: " + MESSAGE,
    "short-precise": b"Nov 21 08:40:20.000000 mail dovecot[78]: " + MESSAGE,
    "own file": b"Nov 21 08:40:20 imap-login: Info: " + MESSAGE.partition(b": ")[2],
    "json": json.dumps(JOURNAL).encode(),
    "json, octets": json.dumps({**JOURNAL, "MESSAGE": [*MESSAGE]}, separators=(",", ":")).encode(),
    "export": EXPORT + b"_HOSTNAME=mail\nSYSLOG_IDENTIFIER=dovecot\nMESSAGE=" + MESSAGE + b"\n",
    "export, octets": (
        EXPORT
        + b"MESSAGE\n"
        + len(MESSAGE).to_bytes(8, "little")
        + MESSAGE
        + b"\n_HOSTNAME=mail\nSYSLOG_IDENTIFIER=dovecot\n"
    ),
    "line end of DOS": b"Nov 21 08:40:20 mail dovecot: " + MESSAGE + b"\r",
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_line_says_the_same(form: str):
    (login,) = logins(FORMS[form] + b"\n")
    assert (login.user, login.client, str(login.endpoint)) == (
        "alice", "192.0.2.11", "192.0.2.10:143",
    )  # fmt: skip
    assert login.first == login.last == WHEN
    host = {"own file": "", "RFC 3164, IPv6 host": "2001:db8::1"}.get(form, "mail")
    assert (login.host, login.protocol, login.mechanism) == (host, "imap", "PLAIN")
    assert (login.channel, login.outcome) == (Channel.CLEAR, LoginOutcome.ACCEPTED)


@pytest.mark.parametrize("form", FORMS)
def test_the_last_line_needs_no_end(form: str):
    assert added(seen(FORMS[form])) == added(seen(FORMS[form] + b"\n"))


def test_a_line_that_rsyslog_folded_counts_as_often_as_it_was():
    (login,) = logins(lines(b"dovecot: message repeated 3 times: [ " + MESSAGE + b"]"))
    assert login.count == 3


def test_exim_s_and_stunnel_s_own_files():
    exim = (
        b"2026-11-21 08:51:15 [358] no MAIL in SMTP connection from [192.0.2.11] D=0s A=plain:a\n"
    )
    (login,) = logins(exim)
    assert (login.first, login.mechanism, login.user) == ("2026-11-21T08:51:15.000Z", "PLAIN", "a")
    zoned = exim.replace(b"08:51:15 ", b"08:51:15 +0100 ")
    assert logins(zoned)[0].first == "2026-11-21T07:51:15.000Z"
    stunnel = (
        b"2026.11.21 08:51:15 LOG5[1]: Service [imaps] accepted connection from 192.0.2.11:4\n"
        b"2026.11.21 08:51:15 LOG3[1]: SSL_accept: error:0A000416:SSL routines::sslv3 alert"
        b" certificate unknown\n"
    )
    (failure,) = failures(stunnel)
    assert (failure.client, failure.protocol) == ("192.0.2.11", "imap")
    assert failure.reason == "a certificate that one side refuses"


# -- moments ---------------------------------------------------------------------------------------


def moment(*parts: int) -> float:
    return datetime.datetime(*parts, tzinfo=datetime.UTC).timestamp()  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("stamp", "now", "first"),
    [
        (b"Dec 31 23:59:59", moment(2027, 1, 2), "2026-12-31T23:59:59.000Z"),
        (b"Jan  1 00:00:01", moment(2027, 1, 2), "2027-01-01T00:00:01.000Z"),
        (b"Jan  3 00:00:01", moment(2027, 1, 2, 12), "2027-01-03T00:00:01.000Z"),
        (b"Jan  5 00:00:01", moment(2027, 1, 2), "2026-01-05T00:00:01.000Z"),
        (b"Feb 29 12:00:00", moment(2027, 1, 2), "2024-02-29T12:00:00.000Z"),
        (b"Feb 29 12:00:00", moment(2101, 1, 2), "2096-02-29T12:00:00.000Z"),
    ],
)
def test_a_moment_without_a_year_has_the_newest_that_fits(stamp: bytes, now: float, first: str):
    (login,) = logins(lines(b"mail dovecot: " + MESSAGE, head=stamp + b" "), now=now)
    assert login.first == first


def test_a_log_that_runs_over_new_year():
    data = b"".join(
        lines(b"mail dovecot: " + MESSAGE, head=stamp + b" ")
        for stamp in (
            b"Dec 30 10:00:00",
            b"Dec 31 23:59:59",
            b"Jan  1 00:00:00",
            b"Jan  2 09:00:00",
        )
    )
    (login,) = logins(data, now=moment(2027, 1, 2, 9))
    assert (login.count, login.first[:10], login.last[:10]) == (4, "2026-12-30", "2027-01-02")


def test_a_zone_is_that_of_moments_without_one():
    there = Options(zone=ZoneInfo("Europe/Berlin"))
    data = lines(b"mail dovecot: " + MESSAGE, head=b"Jul  1 12:00:00 ")
    assert logins(data, there)[0].first == "2026-07-01T10:00:00.000Z"
    assert logins(FORMS["RFC 3339"], there)[0].first == WHEN


def test_what_is_outside_of_the_time_asked_for_does_not_count():
    data = b"".join(
        lines(b"mail dovecot: " + MESSAGE, head=b"Nov %d 12:00:00 " % day) for day in (19, 20, 21)
    )
    some = Options(zone=datetime.UTC, since=moment(2026, 11, 20), until=moment(2026, 11, 21))
    (login,) = logins(data, some)
    assert (login.count, login.first[:10]) == (1, "2026-11-20")


def test_a_moment_that_is_none_counts_nothing():
    assert logins(lines(b"mail dovecot: " + MESSAGE, head=b"Foo 99 99:99:99 ")) == []


# -- lines joined ----------------------------------------------------------------------------------

PEER = b"pc.example[192.0.2.11]"
QUEUED = b": 4F1A2: client=" + PEER + b", sasl_method=PLAIN, sasl_username=alice"


def postfix(*messages: bytes, program: bytes = b"postfix/smtpd") -> bytes:
    return lines(*(b"%s[7]%s" % (program, message) for message in messages))


ENDED = b": disconnect from " + PEER + b" ehlo=1 auth=1 mail=1 commands=3"
STARTTLS = b": disconnect from " + PEER + b" ehlo=2 starttls=1 auth=1 mail=1 commands=5"


@pytest.mark.parametrize(
    ("data", "channel", "complete"),
    [
        (postfix(QUEUED, ENDED), Channel.CLEAR, True),
        (postfix(QUEUED, STARTTLS), Channel.TLS, True),
        (postfix(QUEUED, QUEUED, ENDED), Channel.CLEAR, True),
        (postfix(QUEUED), Channel.UNKNOWN, False),
        (postfix(QUEUED, b": disconnect from " + PEER), Channel.UNKNOWN, True),
        (postfix(QUEUED, ENDED, program=b"postfix/smtps/smtpd"), Channel.TLS, True),
        (postfix(QUEUED, ENDED, program=b"postfix/submission/smtpd"), Channel.CLEAR, True),
        # Whose TLS begins with the first octet does not show.
        (postfix(QUEUED, ENDED, program=b"postfix/own/smtpd"), Channel.UNKNOWN, True),
        (
            postfix(b": Anonymous TLS connection established from " + PEER + b": TLSv1.3 with",
                    QUEUED, ENDED, program=b"postfix/own/smtpd"),
            Channel.TLS, True,
        ),
        (
            postfix(b": Anonymous TLS connection established from " + PEER + b": TLSv1.3 with",
                    STARTTLS, b": connect from " + PEER, QUEUED, ENDED,
                    program=b"postfix/own/smtpd"),
            Channel.CLEAR, True,
        ),
    ],
)  # fmt: skip
def test_postfix_s_sessions(data: bytes, channel: Channel, complete: bool):
    found = [login for login in logins(data) if login.user]
    assert [(login.channel, login.count, login.complete) for login in found] == [
        (channel, 1, complete)
    ]
    assert bool(found[0].notes) == (channel is Channel.UNKNOWN)


def test_an_auth_that_neither_worked_nor_failed_was_refused():
    (login,) = logins(postfix(b": disconnect from " + PEER + b" ehlo=1 auth=0/2 commands=1/3"))
    assert (login.outcome, login.count, login.user) == (LoginOutcome.REFUSED, 2, None)


def test_the_reason_of_a_failure_comes_in_the_next_line():
    error = b": SSL_accept error from " + PEER + b": -1"
    why = b": warning: TLS library problem: error:0A000418:SSL routines::tlsv1 alert unknown ca:x:"
    (failure,) = failures(postfix(error, why, b": lost connection after STARTTLS from " + PEER))
    assert (failure.client, failure.reason[:20]) == ("192.0.2.11", "an unknown authority")
    (failure,) = failures(postfix(error, b": disconnect from " + PEER + b" ehlo=1 commands=1"))
    assert failure.reason == "the log does not say why"


def test_a_client_s_no_that_comes_after_the_handshake():
    connect = b": connect from " + PEER
    why = b": warning: TLS library problem: error:0A000418:SSL routines::tlsv1 alert unknown ca:x:"
    (failure,) = failures(postfix(connect, why, b": lost connection after STARTTLS from " + PEER))
    assert (failure.client, failure.reason[:20]) == ("192.0.2.11", "an unknown authority")
    assert failures(postfix(connect, b": warning: TLS library problem: error:x:other:")) == []


def test_a_line_of_uw_s_that_tells_of_tls_counts_for_its_process():
    login = b"imapd[%d]: Login user=alice host=[192.0.2.11]"
    init = b"imapd[7]: imaps SSL service init from 192.0.2.11"
    found = logins(
        lines(b"mail " + init, b"mail " + login % 7, b"mail " + login % 8, head=HEAD[:16])
    )
    assert {each.channel for each in found} == {Channel.TLS, Channel.UNKNOWN}


def test_ipop2d_knows_no_tls():
    (login,) = logins(lines(b"ipop2d[7]: Login user=alice host=pc.example [192.0.2.11]"))
    assert (login.channel, login.mechanism, login.protocol) == (Channel.CLEAR, "HELO", "pop2")


def test_a_starttls_of_cyrus_counts_for_one_login_that_failed():
    bad = b"cyrus/imap[7]: badlogin: [192.0.2.11] plaintext (alice) [SASL(-13): x]"
    found = logins(lines(b"cyrus/imap[7]: starttls: TLSv1.3 with cipher x", bad, bad))
    assert {each.channel for each in found} == {Channel.TLS, Channel.UNKNOWN}
    good = b"cyrus/imap[7]: login: [192.0.2.11] alice PLAIN+TLS User logged in"
    found = logins(lines(b"cyrus/imap[7]: starttls: TLSv1.3", good, bad))
    assert {(each.outcome, each.channel) for each in found} == {
        (LoginOutcome.ACCEPTED, Channel.TLS), (LoginOutcome.REJECTED, Channel.CLEAR),
    }  # fmt: skip


def test_stunnel_in_the_foreground_has_a_moment_of_its_own_inside_the_journal_s_line():
    line = b"2026-01-31T12:00:00+00:00 mail stunnel4[3]: 2026.01.31 12:00:00 LOG%d[1]: %s\n"
    begins = b"Service [pop2-1] accepted connection from 192.0.2.9:4000"
    (failure,) = failures(
        line % (5, begins) + line % (3, b"SSL_accept: error:0A000102:SSL::unsupported protocol")
    )
    assert (failure.client, failure.protocol) == ("192.0.2.9", "pop2")
    assert failure.reason == "too old a version of TLS"


# -- behind stunnel --------------------------------------------------------------------------------

POP2 = b"ipop2d[7]: Login user=alice host=localhost [127.0.0.1]"


def accepted(number: int, client: bytes, service: bytes = b"pop2s") -> bytes:
    return b"stunnel[3]: LOG5[%d]: Service [%s] accepted connection from %s:40000" % (
        number, service, client,
    )  # fmt: skip


def closed(number: int) -> bytes:
    return b"stunnel[3]: LOG5[%d]: Connection closed: 1 byte(s) sent to TLS" % number


def at(second: int, message: bytes) -> bytes:
    return lines(message, head=b"Nov 21 08:40:%02d mail " % second)


def test_stunnel_gives_back_the_client_that_the_daemon_lost():
    (login,) = logins(at(20, accepted(1, b"192.0.2.11")) + at(21, POP2) + at(29, closed(1)))
    assert (login.client, login.channel, login.notes) == ("192.0.2.11", Channel.TLS, (GIVEN,))


def test_the_two_logs_may_lie_in_different_files():
    front = at(20, accepted(1, b"2001:db8::7", b"pop3s")) + at(29, closed(1))
    there = b"dovecot: pop3-login: Login: user=<a>, method=PLAIN, rip=::1, lip=::1, secured"
    (login,) = logins(at(21, there) + front)
    assert (login.client, login.channel) == ("2001:db8::7", Channel.TLS)


@pytest.mark.parametrize(
    ("front", "note"),
    [
        (b"", LOCAL),
        (
            at(20, accepted(1, b"192.0.2.11"))
            + at(20, b"stunnel[3]: LOG3[1]: SSL_accept: error:x:no shared cipher"),
            LOCAL,
        ),
        (at(10, accepted(1, b"192.0.2.11")) + at(12, closed(1)), LOCAL),
        (at(20, accepted(1, b"192.0.2.11", b"imaps")), LOCAL),
        # Open for long: somebody who reads his mail, not somebody who logs in.
        (lines(accepted(1, b"192.0.2.11"), head=b"Nov 21 08:30:00 mail "), LOCAL),
        (lines(accepted(1, b"192.0.2.11"), head=b"Nov 21 08:40:20 other "), LOCAL),
        (at(20, accepted(1, b"192.0.2.11")) + at(20, accepted(2, b"192.0.2.12")), SEVERAL),
    ],
)
def test_nobody_is_guessed(front: bytes, note: str):
    (login,) = logins(front + at(21, POP2))
    assert (login.client, login.channel) == ("127.0.0.1", Channel.UNKNOWN)
    assert note in login.notes


# -- nothing but what a pattern names --------------------------------------------------------------

SECRET = b"hunter2-SECRET"
LEAKS = (
    b"dovecot: auth: Debug: passwd-file(alice,192.0.2.11): Password mismatch (given password: %s)",
    b"dovecot: auth-worker(7): sql(alice,192.0.2.11): Password mismatch (given password: %s)",
    b"dovecot: imap-login: Login: user=<alice>, method=PLAIN, rip=192.0.2.11, pass=%s, TLS",
    b"dovecot: imap-login: Disconnected (auth failed, 1 attempts in 2 secs, password=%s): user=<a>,"
    b" method=PLAIN, rip=192.0.2.11, lip=192.0.2.10",
    b'exim[7]: SMTP protocol error in "AUTH PLAIN %s" H=pc.example [192.0.2.11] AUTH command used'
    b" when not advertised",
    b"exim[7]: plain authenticator failed for (%s) [192.0.2.11]: 535 Incorrect authentication data",
    b"exim[7]: server_condition: ${if eq{%s}{secret}} authenticator failed for x",
    b"cyrus/imap[7]: event=login.good r.clienthost=[192.0.2.11] login.mech=anonymous login.tls=0"
    b" login.anonymous=1 login.password=%s",
    b"cyrus/imap[7]: badlogin: [192.0.2.11] plaintext (alice) [SASL(-13): %s]",
    b"imapd[7]: Login anonymous=%s host=[192.0.2.11]",
    b"imapd: LOGIN, user=alice, ip=[192.0.2.11], port=[7], password=%s",
    b"authdaemond: received auth request, authtype=login, user=alice, password=%s, ip=[192.0.2.11]",
    b"postfix/smtpd[7]: warning: pc.example[192.0.2.11]: SASL PLAIN authentication failed: %s",
    b"postfix/smtpd[7]: < pc.example[192.0.2.11]: AUTH PLAIN %s /smtpd",
    b'qpopper[7]: alice at pc (192.0.2.11): -ERR [AUTH] Password supplied for "alice" is %s.',
    b"stunnel: LOG3[1]: SSL_accept: %s alert",
)


@pytest.mark.parametrize("line", LEAKS)
def test_no_password_gets_out_of_a_line(line: bytes):
    for each in seen(lines(line % SECRET) + postfix(ENDED)):
        assert SECRET.decode() not in dumps(each)


def test_what_a_user_typed_as_his_name_is_his_name():
    (login,) = logins(lines(b"dovecot: " + MESSAGE.replace(b"alice", SECRET)))
    assert login.user == SECRET.decode()


FORGED = (
    b'sm-mta[7]: POP login by user "root" at (x) 198.51.100.1',
    b"dovecot: auth: x imap-login: Login: user=<root>, method=PLAIN, rip=198.51.100.1, lip=1.2.3.4",
    b"myapp[7]: imap-login: Login: user=<root>, method=PLAIN, rip=198.51.100.1, lip=192.0.2.10",
    b"cyrus/imap[7]: x login: [198.51.100.1] root plaintext User logged in",
    b"imapd[7]: Logout user=x Login user=root host=[198.51.100.1]",
)


@pytest.mark.parametrize("line", FORGED)
def test_what_a_client_writes_into_a_line_is_no_line(line: bytes):
    assert seen(lines(line)) == []


def test_a_user_s_name_cannot_bring_an_address():
    name = b"root>, method=PLAIN, rip=198.51.100.1, lip=198.51.100.2, TLS, session=<x"
    failed = MESSAGE.replace(b"Login:", b"Disconnected (auth failed, 1 attempts in 2 secs):")
    (login,) = logins(lines(b"dovecot: " + failed.replace(b"alice", name)))
    assert (login.client, login.channel) == ("192.0.2.11", Channel.CLEAR)


# -- hostile ---------------------------------------------------------------------------------------


def corpus() -> bytes:
    """Something of every dialect."""
    return b"".join(
        HEAD + each.program + b"[7]: " + each.message + b"\n" for each in EXAMPLES
    ) + b"".join(form + b"\n" for name, form in FORMS.items() if "export" not in name)


WHOLE = corpus()
EXPORTED = (RECORDED / "journal.export").read_bytes()[:20_000]


@given(st.lists(st.integers(0, len(WHOLE)), max_size=30))
def test_how_a_log_is_cut_into_blocks_makes_no_difference(cuts: list[int]):
    places = [0, *sorted(cuts), len(WHOLE)]
    blocks = [WHOLE[a:b] for a, b in itertools.pairwise(places)]
    assert added(seen(blocks)) == added(seen(WHOLE))


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("data", [WHOLE, EXPORTED])
def test_blocks_of_any_size(data: bytes, size: int):
    blocks = [data[at : at + size] for at in range(0, len(data), size)]
    assert added(seen(blocks)) == added(seen(data))


@pytest.mark.parametrize("extra", [-1, 0, 1])
@pytest.mark.parametrize("size", [4096, LINE_LIMIT + 7, 1 << 20])
def test_the_longest_line_is_the_same_in_blocks_of_any_size(extra: int, size: int):
    line = b"Nov 21 08:40:20 mail dovecot: " + MESSAGE
    long = line + b"x" * (LINE_LIMIT + extra - len(line))
    data = line + b"\n" + long + b"\n" + line + b"\n"
    blocks = [data[at : at + size] for at in range(0, len(data), size)]
    assert sum(each.count for each in logins(blocks)) == (3 if extra <= 0 else 2)


@given(st.binary(max_size=2000), st.sampled_from(("", *NAMES)))
def test_any_octets(data: bytes, name: str):
    options = Options((name,) if name else (), datetime.UTC)
    for start in (b"", b"__CURSOR=x\n", HEAD + b"dovecot: " + MESSAGE[:40]):
        for each in seen(start + data, options):
            check(each)


def check(each: object) -> None:
    text = dumps(each)
    assert text.isascii() or text.isprintable()
    assert len(text) < 4000


PIECES = st.sampled_from(
    [*(each.message for each in EXAMPLES), *(each.program for each in EXAMPLES), HEAD, b"\n", b": ",
     b"[7]: ", b"<22>1 ", b"{", b'"MESSAGE":"', b"message repeated 9 times: [ ", b"\0", b"\xff",
     b"user=<", b">, ", b"[", b"]", b" ", b"[" * 3000, b'{"a":' * 3000, b"\r\n", b"9" * 50]
)  # fmt: skip


@settings(max_examples=200)
@given(st.lists(PIECES, max_size=20).map(b"".join))
def test_any_pieces_of_lines(data: bytes):
    for each in seen(data):
        check(each)


def bounded(blocks: Iterator[bytes], most: int) -> int:
    """How many logins there were, in so much memory."""
    tracemalloc.start()
    try:
        count = sum(each.count for each in seen(blocks))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < most
    return count


def test_a_line_of_100_mb_takes_no_memory():
    line = HEAD + b"dovecot: " + MESSAGE
    piece = b": user=<x login: " * 4096

    def blocks() -> Iterator[bytes]:
        yield line + b"\n" + line
        for _ in range(100_000_000 // len(piece)):
            yield piece
        yield b"\n" + line

    assert bounded(blocks(), 10_000_000) == 2


@pytest.mark.slow
def test_ever_new_sessions_that_never_end_take_no_more_memory():
    def blocks() -> Iterator[bytes]:
        for start in range(0, 200_000, 1000):
            yield b"".join(
                HEAD + b"postfix/smtpd[%d]" % (start + number) + QUEUED + b"\n"
                for number in range(1000)
            )

    assert bounded(blocks(), 100_000_000) == 200_000


@pytest.mark.slow
def test_ever_new_users_are_given_away_as_they_come():
    def blocks() -> Iterator[bytes]:
        for number in range(30_000):
            yield HEAD + b"dovecot: " + MESSAGE.replace(b"alice", b"u%d" % number) + b"\n"

    assert bounded(blocks(), 100_000_000) == 30_000


def test_a_server_s_address_from_outside():
    here = Options(zone=datetime.UTC, address="192.0.2.7")
    (login,) = logins(lines(b"cyrus/pop3[7]: login: [192.0.2.11] a PLAIN User logged in"), here)
    assert str(login.endpoint) == "192.0.2.7:110"


def test_one_dialect_alone():
    assert logins(WHOLE, Options(("exim",), datetime.UTC), NOW)
    assert {each.daemon for each in logins(WHOLE, Options(("exim",), datetime.UTC))} == {"exim"}
    assert {each.daemon for each in logins(WHOLE, UTC)} == set(NAMES) - {"stunnel"}


PROGRAMS = sorted({each.program for each in EXAMPLES})
STARTS = [b"", b"imap-login: ", b"Login failed user=", b"LOGIN, user=", b"warning: ", b"badlogin: "]
REPEATED = [
    *(
        b"auth failed",
        b" auth=",
        b" host=",
        b", ip=[",
        b'" at (',
        b": user=<",
        b">, method=",
        b"]: ",
    ),
    *(b"sasl_username=", b" H=[", b" A=", b"x ", b"(", b"event=login.good a=", b": -ERR ", b"\\"),
]


@pytest.mark.parametrize("piece", REPEATED)
def test_no_line_takes_long(piece: bytes):
    """What backtracks without bound shows here as a time-out."""
    tail = b" service init from : user=< ip=[ /smtpd login: P=esmtp connection from "
    long = b"".join(
        HEAD + program + b"[7]: " + start + (piece * LINE_LIMIT)[: LINE_LIMIT - 200] + tail + b"\n"
        for program in PROGRAMS
        for start in STARTS
    )
    started = time.process_time()
    seen(long)
    assert time.process_time() - started < 2.0 * len(long) / 1e6
