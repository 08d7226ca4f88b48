"""Megabytes of a syslog a second: `mailseal logs` beside `grep -c` of one literal.

Strategy: a syslog of 300 MB for each daemon, made alike: one line in a hundred is of a login, the
others are what hosts log all day. grep has the literal that each of these logins has in it, and
counts; mailseal says who they were. Both by one processor, from the page cache, in turns; seconds
of processor, without the start of either. Each must count all logins. The last column is the same
with the daemon not named, so that lines of all of them are looked for.
"""

import datetime
import itertools
import statistics
import tempfile
import time
from pathlib import Path

from bench.process import BenchError, measured
from bench.table import Table
from mailseal.logs import Fronts, Options, Reader
from mailseal.workflow.opened import blocks

SIZE = 300_000_000
_EVERY = 100
"""One line in so many is of a login."""

_NOISE = (
    b"kernel: [%d.123456] [UFW BLOCK] IN=eth0 OUT= MAC=52:54:00:12:34:56 SRC=198.51.100.%d "
    b"DST=192.0.2.10 LEN=40 TOS=0x00 TTL=243 ID=54321 PROTO=TCP SPT=%d DPT=23 WINDOW=65535",
    b"CRON[%d]: (root) CMD (command -v debian-sa1 > /dev/null && debian-sa1 %d %d)",
    b"sshd[%d]: Failed password for invalid user admin from 198.51.100.%d port %d ssh2",
    b"systemd[%d]: Started session-%d.scope - Session %d of User root.",
    b"postfix/smtp[%d]: 4F1A2%d: to=<bob@mail.example>, relay=mx.example[198.51.100.7]:25, "
    b"delay=0.%d, delays=0.1/0/0.2/0.1, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 4F1B3)",
    b"postfix/qmgr[%d]: 4F1A2%d: from=<alice@mail.example>, size=%d, nrcpt=1 (queue active)",
    b"dhclient[%d]: DHCPREQUEST for 192.0.2.%d on eth0 to 192.0.2.1 port %d",
    b"named[%d]: client @0x7f3a 198.51.100.%d#%d (mail.example): query: mail.example IN MX + (1.1)",
)
_LOGINS = {
    "uw-imap": (
        b" host=",
        (b"ipop3d[%(pid)d]: Login user=user%(user)d host=pc.example [192.0.2.%(ip)d] nmsgs=0/3",),
    ),
    "dovecot": (
        b"imap-login: Login",
        (
            b"dovecot: imap-login: Login: user=<user%(user)d>, method=PLAIN, rip=192.0.2.%(ip)d, "
            b"lip=192.0.2.10, mpid=%(pid)d, session=<KnJybcVgUObAAAIL>",
        ),
    ),
    "cyrus": (
        b"User logged in",
        (
            b"cyrus/imap[%(pid)d]: login: [192.0.2.%(ip)d] user%(user)d plaintext User logged in "
            b"SESSIONID=<cyrus-%(pid)d-1>",
        ),
    ),
    "courier": (
        b"LOGIN, user=",
        (
            b"imapd[7]: LOGIN, user=user%(user)d, ip=[::ffff:192.0.2.%(ip)d], port=[%(pid)d], "
            b"protocol=IMAP",
            b"imapd[7]: DISCONNECTED, user=user%(user)d, ip=[::ffff:192.0.2.%(ip)d], "
            b"port=[%(pid)d], headers=0, body=0, rcvd=0, sent=16, time=0",
        ),
    ),
    "postfix": (
        b"sasl_username=",
        (
            b"postfix/smtpd[%(pid)d]: 4F1A2: client=pc.example[192.0.2.%(ip)d], "
            b"sasl_method=PLAIN, sasl_username=user%(user)d",
            b"postfix/smtpd[%(pid)d]: disconnect from pc.example[192.0.2.%(ip)d] ehlo=1 auth=1 "
            b"mail=1 commands=3",
        ),
    ),
    "exim": (
        b"P=esmtpa ",
        (
            b"exim[%(pid)d]: 1xUgod-00006M-0p <= a@mail.example H=(pc.example) [192.0.2.%(ip)d] "
            b"P=esmtpa A=plain:user%(user)d S=279",
        ),
    ),
    "popa3d": (
        b"Authentication passed",
        (
            b"popa3d[%(pid)d]: Session from 192.0.2.%(ip)d",
            b"popa3d[%(pid)d]: Authentication passed for user%(user)d",
        ),
    ),
    "qpopper": (
        b"POP login by user",
        (
            b'in.qpopper[%(pid)d]: (v4.0.9) POP login by user "user%(user)d" at (pc.example) '
            b"192.0.2.%(ip)d",
        ),
    ),
}
"""What grep looks for, and the lines of a login."""


def run(rounds: int) -> Table:
    """Raises BenchError where a login is missed."""
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (literal, lines) in _LOGINS.items():
            path = Path(folder, "made.log")
            logins = _write(path, lines)
            size = path.stat().st_size / 1e6
            turns = [
                (
                    _grep(path, literal, logins),
                    _ours(path, (name,), logins),
                    _ours(path, (), logins),
                )
                for _ in range(rounds)
            ]
            grep, alone, _ = (statistics.median(each) for each in zip(*turns, strict=True))
            # Of pairs: what slows the machine down for a while slows both of one.
            beside = [(grep / alone, grep / every) for grep, alone, every in turns]
            rows[name] = (
                size / grep,
                size / alone,
                *map(statistics.median, zip(*beside, strict=True)),
            )
            path.unlink()
    return Table(
        f"A syslog of {SIZE / 1e6:.0f} MB, 1 % lines of logins, one processor, "
        f"median of {rounds} (x: of pairs)",
        ("grep MB/s", "MB/s", "x grep", "all, x grep"),
        rows,
        ("grep: LC_ALL=C grep -c, of a literal that is in one line of each login.",),
    )


def _write(path: Path, login: tuple[bytes, ...]) -> int:
    """Writes the log; how many logins it has. A login of two lines is two in two hundred."""
    logins = written = 0
    clock = datetime.datetime(2026, 11, 21, 8, tzinfo=datetime.UTC)
    noise = itertools.cycle(_NOISE)
    with open(path, "wb") as stream:
        number = 0
        while written < SIZE:
            chunk = []
            for _ in range(100):
                number += 1
                moment = clock + datetime.timedelta(milliseconds=20 * number)
                head = moment.strftime("%b %d %H:%M:%S mail ").encode()
                who = {b"pid": number % 30000, b"user": number % 500, b"ip": number % 250}
                every = _EVERY * len(login)
                for each in login:
                    chunk.append(head + each % who)
                for at in range(every - len(login)):
                    chunk.append(head + next(noise) % (at, number % 250, number % 60000))
                logins += 1
            written += stream.write(b"\n".join(chunk) + b"\n")
    return logins


def _grep(path: Path, literal: bytes, logins: int) -> float:
    used = measured(["env", "LC_ALL=C", "grep", "-c", literal.decode(), str(path)], {0})
    if int(used.output) != logins:
        raise BenchError(f"grep counted {used.output.strip()} of {logins} logins")
    return used.cpu


def _ours(path: Path, dialects: tuple[str, ...], logins: int) -> float:
    started = time.process_time()
    fronts = Fronts()
    reader = Reader(Options(dialects, datetime.UTC), fronts)
    reader.begin(time.time())
    seen = []
    for block in blocks(str(path)):
        reader.feed(block)
    reader.end()
    seen = [*reader.drain(True), *fronts.placed()]
    used = time.process_time() - started
    counted = sum(each.count for each in seen)
    if counted != logins:
        raise BenchError(f"mailseal counted {counted} of {logins} logins of {dialects or 'all'}")
    return used
