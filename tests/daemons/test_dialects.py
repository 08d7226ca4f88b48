"""Each line of each dialect, by lines as the daemons write them.

Those of the daemons that the lab has were recorded there (tests/logs/recorded has more of them).
Those of UW, Qpopper, stunnel and of Cyrus' logfmt are built from the formats in their sources:
ipop2d.c, ipop3d.c, imapd.c and env_unix.c (UW IMAP 2007f); pop_log.c and pop_pass.c (Qpopper 4);
client.c and log.c (stunnel 5); imap/loginlog.c (Cyrus IMAP).
"""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from mailseal.daemons import DAEMONS
from mailseal.daemons.dialect import Dialect, Line, Says
from mailseal.model.login import LoginOutcome


class Example(NamedTuple):
    """`told` are the groups that must have a value."""

    daemon: str
    program: bytes
    message: bytes
    says: Says
    told: dict[str, bytes]
    outcome: LoginOutcome = LoginOutcome.ACCEPTED

    def __str__(self) -> str:
        return f"{self.daemon} {self.message.decode()}"


LOGIN, BEGINS, ENDS = Says.LOGIN, Says.BEGINS, Says.ENDS
TLS, FAILURE, REASON = Says.TLS, Says.FAILURE, Says.REASON
REJECTED, REFUSED, UNKNOWN = LoginOutcome.REJECTED, LoginOutcome.REFUSED, LoginOutcome.UNKNOWN
ALICE = {"user": b"alice", "client": b"192.0.2.11"}
LOCAL = {"local": b"192.0.2.10"}

EXAMPLES = (
    # -- UW
    Example("uw-imap", b"ipop2d", b"Login user=alice host=pc.example [192.0.2.11]", LOGIN,
            {**ALICE, "name": b"pc.example"}),
    Example("uw-imap", b"ipop3d", b"Login user=alice host=pc.example [192.0.2.11] nmsgs=0/3", LOGIN,
            ALICE),
    Example("uw-imap", b"ipop3d", b"Admin Login user=alice host=[192.0.2.11] no mailbox", LOGIN,
            ALICE),
    Example("uw-imap", b"ipop3d", b"Auth user=alice host=[192.0.2.11] nmsgs=0/3", LOGIN, ALICE),
    Example("uw-imap", b"ipop3d", b"APOP user=alice host=[192.0.2.11] nmsgs=0/3", LOGIN, ALICE),
    Example("uw-imap", b"imapd", b"Authenticated user=alice host=pc.example [192.0.2.11]"
            b" mech=PLAIN",
            LOGIN, {**ALICE, "mechanism": b"PLAIN"}),
    Example("uw-imap", b"ipop2d", b"IMAP login to host=mail.example user=alice host=[192.0.2.11]",
            LOGIN, ALICE),
    Example("uw-imap", b"imapd", b"Login failed user=alice auth=bob host=pc.example [192.0.2.11]",
            LOGIN, ALICE, REJECTED),
    Example("uw-imap", b"in.imapd", b"Login failure user=alice host=[192.0.2.11]", LOGIN, ALICE,
            REJECTED),
    Example("uw-imap", b"ipop3d", b"Excessive login failures user=alice host=[192.0.2.11]", LOGIN,
            ALICE, REJECTED),
    Example("uw-imap", b"imapd", b"AUTHENTICATE PLAIN failure host=pc.example [192.0.2.11]", LOGIN,
            {"mechanism": b"PLAIN", "client": b"192.0.2.11"}, REJECTED),
    Example("uw-imap", b"imapd", b"imaps SSL service init from 192.0.2.11", TLS, {}),
    Example("uw-imap", b"imapd", b"imap service init from 192.0.2.11", BEGINS, {}),
    Example("uw-imap", b"imapd", b"port 10143 service init from 192.0.2.11", BEGINS, {}),
    # -- Dovecot
    Example("dovecot", b"dovecot", b"imap-login: Login: user=<alice>, method=PLAIN, rip=192.0.2.11,"
            b" lip=192.0.2.10, mpid=92, session=<KnJybcVgUObAAAIL>", LOGIN,
            {**ALICE, **LOCAL, "service": b"imap", "mechanism": b"PLAIN", "tls": b""}),
    Example("dovecot", b"dovecot", b"pop3-login: Logged in: user=<alice>, method=PLAIN,"
            b" rip=192.0.2.11,"
            b" lip=192.0.2.10, mpid=102, TLS, session=<mU3QbcVgpOXAAAIL>", LOGIN,
            {**ALICE, "tls": b"TLS"}),
    Example("dovecot", b"dovecot", b"imap-login: Login: user=<alice>, method=PLAIN, rip=192.0.2.11,"
            b" lip=192.0.2.10, mpid=92, secured, session=<KnJybcVgUObAAAIL>", LOGIN,
            {**ALICE, "tls": b""}),
    Example("dovecot", b"dovecot", b"imap-login: Login: user=<alice>, method=PLAIN, rip=192.0.2.11,"
            b" lip=192.0.2.10, mpid=92, TSL, session=<KnJybcVgUObAAAIL>", LOGIN, {"tls": b"TSL"}),
    Example("dovecot", b"imap-login", b"Info: Login: user=<alice>, method=PLAIN, rip=192.0.2.11,"
            b" lip=192.0.2.10, mpid=92, session=<KnJybcVgUObAAAIL>", LOGIN, ALICE),
    Example("dovecot", b"dovecot", b"imap-login: Disconnected: Connection closed: SSL_accept()"
            b" failed:"
            b" error:0A0000C1:SSL routines::no shared cipher (no auth attempts in 0 secs): user=<>,"
            b" rip=192.0.2.11, lip=192.0.2.10, TLS handshaking: SSL_accept() failed:"
            b" error:0A0000C1:SSL routines::no shared cipher, session=<r7gvbsVgWJrAAAIL>", FAILURE,
            {"client": b"192.0.2.11",
             "reason": b"SSL_accept() failed: error:0A0000C1:SSL routines::no shared cipher"}),
    Example("dovecot", b"dovecot", b"imap-login: Disconnected: Connection closed (auth failed, 1"
            b" attempts in 0 secs): user=<>, method=PLAIN, rip=192.0.2.11, lip=192.0.2.10,"
            b" session=<x>", LOGIN, {"client": b"192.0.2.11", "mechanism": b"PLAIN", "user": b""},
            REFUSED),
    Example("dovecot", b"dovecot", b"pop3-login: Login aborted: Connection closed (auth failed, 1"
            b" attempts in 0 secs) (auth_failed): user=<alice>, rip=192.0.2.11, lip=192.0.2.10,"
            b" session=<x>", LOGIN, {**ALICE, "mechanism": b""}, REFUSED),
    Example("dovecot", b"dovecot", b"imap-login: Aborted login (tried to use disallowed plaintext"
            b" auth): user=<>, rip=192.0.2.11, lip=192.0.2.10, session=<x>", LOGIN,
            {"client": b"192.0.2.11"}, REFUSED),
    Example("dovecot", b"dovecot", b"imap-login: Login failed: Cleartext authentication disabled:"
            b" user=<>, rip=192.0.2.11, lip=192.0.2.10, session=<x>", LOGIN,
            {"client": b"192.0.2.11"}, REFUSED),
    Example("dovecot", b"dovecot", b"imap-login: Disconnected: Connection closed (auth failed, 1"
            b" attempts in 2 secs): user=<alice>, method=PLAIN, rip=192.0.2.11, lip=192.0.2.10,"
            b" TLS:"
            b" Connection closed, session=<x>", LOGIN, {**ALICE, "tls": b"TLS"}, REJECTED),
    Example("dovecot", b"dovecot", b"imap-login: Disconnected (client didn't finish SASL auth,"
            b" waited"
            b" 0 secs): user=<>, method=PLAIN, rip=192.0.2.11, lip=192.0.2.10, session=<x>", LOGIN,
            {"client": b"192.0.2.11", "mechanism": b"PLAIN"}, UNKNOWN),
    Example("dovecot", b"dovecot", b"imap-login: Disconnected: Connection closed (no auth attempts"
            b" in 0 secs): user=<>, rip=192.0.2.11, lip=192.0.2.10, TLS: SSL_read() failed:"
            b" error:0A000418:SSL routines::tlsv1 alert unknown ca: SSL alert number 48,"
            b" session=<x>",
            FAILURE, {"client": b"192.0.2.11"}),
    # -- Cyrus
    Example("cyrus", b"cyrus/imap", b"login: [192.0.2.11] alice plaintext User logged in"
            b" SESSIONID=<x>",
            LOGIN, {**ALICE, "mechanism": b"plaintext", "tls": b""}),
    Example("cyrus", b"imaps", b"login: pc.example [192.0.2.11] alice PLAIN+TLS User logged"
            b" in", LOGIN,
            {**ALICE, "mechanism": b"PLAIN", "tls": b"+TLS"}),
    Example("cyrus", b"cyrus/pop3", b"badlogin: [192.0.2.11] PLAIN (-notset-) [encryption needed to"
            b" use mechanism]", LOGIN, {"client": b"192.0.2.11", "mechanism": b"PLAIN"}, REFUSED),
    Example("cyrus", b"cyrus/sieve", b"badlogin: [192.0.2.11] LOGIN encryption needed to use"
            b" mechanism",
            LOGIN, {"client": b"192.0.2.11"}, REFUSED),
    Example("cyrus", b"cyrus/imap", b"badlogin: [192.0.2.11] plaintext (alice) [SASL(-13):"
            b" authentication failure: checkpass failed]", LOGIN, ALICE, REJECTED),
    Example("cyrus", b"cyrus/sieve", b"badlogin: [192.0.2.11] PLAIN authentication failure", LOGIN,
            {"client": b"192.0.2.11", "mechanism": b"PLAIN", "user": b""}, REJECTED),
    Example("cyrus", b"cyrus/imap", b'event=login.good session.id=x r.clienthost="pc.example'
            b' [192.0.2.11]" u.username=alice login.mech=plaintext login.tls=0'
            b' login.magic=""', LOGIN,
            {**ALICE, "mechanism": b"plaintext", "tls": b""}),
    Example("cyrus", b"cyrus/imap", b'event=login.good session.id=x r.clienthost=[192.0.2.11]'
            b' u.username="alice" login.mech=PLAIN login.tls=1', LOGIN, {**ALICE, "tls": b"1"}),
    Example("cyrus", b"cyrus/imap", b'event=login.bad r.clienthost=[192.0.2.11] u.username=alice'
            b' login.mech=plaintext login.scheme=x error="authentication failure"', LOGIN,
            {**ALICE, "mechanism": b"plaintext"}, REJECTED),
    Example("cyrus", b"cyrus/imap", b"starttls: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256"
            b" bits new) no authentication", TLS, {}),
    Example("cyrus", b"cyrus/imap", b"STARTTLS negotiation failed: [192.0.2.11]", FAILURE,
            {"client": b"192.0.2.11"}),
    Example("cyrus", b"cyrus/pop3", b"[pop3d] STARTTLS failed: [192.0.2.11]", FAILURE,
            {"client": b"192.0.2.11"}),
    # -- Courier
    Example("courier", b"imapd", b"LOGIN, user=alice, ip=[::ffff:192.0.2.11], port=[49706],"
            b" protocol=IMAP", LOGIN, {"user": b"alice", "session": b"49706", "tls": b""}),
    Example("courier", b"imapd", b"INFO: LOGIN, user=alice, ip=[::ffff:192.0.2.11], port=[49706],"
            b" protocol=IMAP, starttls=1", LOGIN, {"user": b"alice", "tls": b"starttls=1"}),
    Example("courier", b"pop3d", b"DISCONNECTED, user=alice, ip=[::ffff:192.0.2.11], port=[49706],"
            b" top=0, retr=0, rcvd=0, sent=16, time=0, stls=1", ENDS,
            {"session": b"49706", "told": b", top=0, retr=0, rcvd=0, sent=16, time=",
             "tls": b"stls=1"}),
    Example("courier", b"pop3d", b"Disconnected, ip=[::ffff:192.0.2.11], port=[49706]", ENDS,
            {"session": b"49706", "told": b""}),
    Example("courier", b"imapd", b"LOGIN FAILED, user=alice, ip=[::ffff:192.0.2.11],"
            b" port=[1]", LOGIN,
            {"user": b"alice"}, REJECTED),
    Example("courier", b"imapd", b"LOGIN FAILED, method=PLAIN, ip=[::ffff:192.0.2.11], port=[1]",
            LOGIN, {"mechanism": b"PLAIN"}, REJECTED),
    Example("courier", b"imapd-ssl", b"ip=[::ffff:192.0.2.11], No supported cipher suites have been"
            b" found.", FAILURE, {"reason": b"No supported cipher suites have been found."}),
    Example("courier", b"pop3d-ssl", b"couriertls: accept: error:1408F10B:SSL"
            b" routines:SSL3_GET_RECORD:wrong version number", FAILURE, {}),
    # -- Postfix
    Example("postfix", b"postfix/smtpd", b"4F1A2: client=pc.example[192.0.2.11], sasl_method=PLAIN,"
            b" sasl_username=alice", LOGIN, {**ALICE, "mechanism": b"PLAIN"}),
    Example("postfix", b"postfix/submission/smtpd", b"warning: unknown[192.0.2.11]: SASL LOGIN"
            b" authentication failed: authentication failure, sasl_username=alice", LOGIN,
            {**ALICE, "mechanism": b"LOGIN"}, REJECTED),
    Example("postfix", b"postfix/smtpd", b"warning: unknown[192.0.2.11]: SASL LOGIN authentication"
            b" failed: UGFzc3dvcmQ6", LOGIN, {"user": b"", "mechanism": b"LOGIN"}, REJECTED),
    Example("postfix", b"postfix/smtpd", b"disconnect from unknown[192.0.2.11] ehlo=2 starttls=1"
            b" auth=0/1 commands=3/4", ENDS, {"tls": b"1", "good": b"0", "tried": b"1"}),
    Example("postfix", b"postfix/smtpd", b"disconnect from unknown[192.0.2.11] ehlo=1 auth=1"
            b" commands=2", ENDS, {"tls": b"", "good": b"1", "tried": b""}),
    Example("postfix", b"postfix/smtpd", b"connect from unknown[192.0.2.11]", BEGINS, {}),
    Example("postfix", b"postfix/smtpd", b"Anonymous TLS connection established from"
            b" unknown[192.0.2.11]: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384", TLS, {}),
    Example("postfix", b"postfix/smtpd", b"SSL_accept error from unknown[192.0.2.11]: -1", FAILURE,
            {"client": b"192.0.2.11", "reason": b""}),
    Example("postfix", b"postfix/smtpd", b"SSL_accept error from unknown[192.0.2.11]: lost"
            b" connection",
            FAILURE, {"reason": b"lost connection"}),
    Example("postfix", b"postfix/smtpd", b"warning: TLS library problem: error:0A0000C1:SSL"
            b" routines::no shared cipher:../ssl/statem/statem_srvr.c:2226:", REASON, {}),
    # -- Exim
    Example("exim", b"exim", b"1xUgod-00006M-0p <= a@mail.example H=(client.example)"
            b" [192.0.2.11]:53"
            b" I=[192.0.2.10]:587 P=esmtpsa X=TLS1.3:ECDHE:256 CV=no A=plain:alice S=279", LOGIN,
            {**ALICE, **LOCAL, "port": b"587", "tls": b"s", "mechanism": b"plain"}),
    Example("exim", b"exim4", b"2026-11-21 08:51:15 1xUgod-00006M-0p <= a@mail.example H=pc.example"
            b" [192.0.2.11] P=esmtpa A=plain:alice S=279", LOGIN, {**ALICE, "tls": b""}),
    Example("exim", b"exim", b"no MAIL in SMTP connection from (client.example) [192.0.2.11]:52522"
            b" I=[192.0.2.10]:25 D=0s A=plain:alice X=TLS1.3:ECDHE:256 CV=no C=EHLO,AUTH", ENDS,
            {**ALICE, "tls": b"X", "session": b"52522"}),
    Example("exim", b"exim", b"plain authenticator failed for (client.example) [192.0.2.11]:58302"
            b" I=[192.0.2.10]:587: 535 Incorrect authentication data (set_id=alice)", LOGIN, ALICE,
            REJECTED),
    Example("exim", b"exim", b"TLS error on connection from (client.example) [192.0.2.11]:52568"
            b" I=[192.0.2.10]:25 (gnutls_handshake): No supported cipher suites have been found.",
            FAILURE, {"client": b"192.0.2.11"}),
    Example("exim", b"exim", b'SMTP protocol error in "AUTH PLAIN AGFsaWNlAHNlY3JldA=="'
            b' H=pc.example'
            b" [192.0.2.11] AUTH command used when not advertised", LOGIN,
            {"client": b"192.0.2.11"}, REFUSED),
    # -- popa3d, Qpopper
    Example("popa3d", b"popa3d", b"Authentication passed for alice", LOGIN, {"user": b"alice"}),
    Example("popa3d", b"popa3d", b"Authentication failed for alice", LOGIN, {"user": b"alice"},
            REJECTED),
    Example("popa3d", b"popa3d", b"Session from 192.0.2.11", BEGINS, {"client": b"192.0.2.11"}),
    Example("qpopper", b"in.qpopper", b'(v4.0.9) POP login by user "alice" at (pc.example)'
            b' 192.0.2.11'
            b" [pop_log.c:244]", LOGIN, ALICE),
    Example("qpopper", b"popper", b'alice at pc.example (192.0.2.11): -ERR [AUTH] Password supplied'
            b' for "alice" is incorrect. [pop_pass.c:1295]', LOGIN, ALICE, REJECTED),
    # -- stunnel
    Example("stunnel", b"stunnel", b"LOG5[12]: Service [pop2s] accepted connection from"
            b" 192.0.2.11:40000", BEGINS,
            {"service": b"pop2s", "client": b"192.0.2.11", "session": b"12"}),
    Example("stunnel", b"stunnel4", b"LOG3[12]: SSL_accept: 14094418: error:14094418:SSL"
            b" routines:ssl3_read_bytes:tlsv1 alert unknown ca", FAILURE, {"session": b"12"}),
    Example("stunnel", b"stunnel", b"LOG5[12]: Connection closed: 12 byte(s) sent to TLS, 9 byte(s)"
            b" sent to socket", ENDS, {"session": b"12"}),
    Example("stunnel", b"stunnel", b"LOG5[12]: Connection reset: 12 byte(s) sent to TLS", ENDS, {}),
)  # fmt: skip


def dialects(example: Example) -> Iterator[Dialect]:
    for daemon in DAEMONS:
        if daemon.name == example.daemon:
            yield from (each for each in daemon.logs if each.programs.fullmatch(example.program))


def line(example: Example) -> Line:
    """The first that fits, as the reader takes it."""
    (dialect,) = dialects(example)
    return next(each for each in dialect.lines if each.pattern.match(example.message))


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_a_line_says_what_it_says(example: Example):
    (dialect,) = dialects(example)
    assert any(anchor in example.message for anchor in dialect.anchors) or any(
        anchor in example.program + b"[" for anchor in dialect.anchors
    )
    found = line(example)
    assert (found.says, found.outcome) == (example.says, example.outcome)
    match = found.pattern.match(example.message)
    assert match
    groups = match.groupdict()
    assert {name: groups.get(name) or b"" for name in example.told} == example.told


def test_every_line_of_every_dialect_has_an_example():
    shown = {id(line(example)) for example in EXAMPLES}
    missing = [
        (daemon.name, each.pattern.pattern)
        for daemon in DAEMONS
        for dialect in daemon.logs
        for each in dialect.lines
        if id(each) not in shown
    ]
    assert missing == []


GROUPS = {
    *("user", "client", "name", "local", "port", "mechanism", "service", "session"),
    *("tls", "told", "reason", "good", "tried"),
}


def test_no_pattern_takes_over_anything_else():
    named = {
        name
        for daemon in DAEMONS
        for dialect in daemon.logs
        for each in dialect.lines
        for name in each.pattern.groupindex
    }
    assert named <= GROUPS


def test_no_pattern_has_a_group_without_a_name():
    for daemon in DAEMONS:
        for dialect in daemon.logs:
            for each in dialect.lines:
                assert each.pattern.groups == len(each.pattern.groupindex)
