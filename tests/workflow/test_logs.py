"""Whole logs: sets of files, what is missing, and logs that grow while they are read."""

import datetime
import gzip
import lzma
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from mailseal import logs as room
from mailseal.model.login import JudgedLogin, Meaning
from mailseal.report.logins import Logins
from mailseal.workflow import BadInput, logs
from mailseal.workflow.logs import Following, Request, read
from tests.logs.common import NOW, RECORDED

DOVECOT = (
    b"%s mail dovecot: imap-login: Login: user=<%s>, method=PLAIN, rip=192.0.2.11, "
    b"lip=192.0.2.10, mpid=7%s, session=<x>\n"
)


def line(user: bytes, tls: bytes = b"", stamp: bytes = b"Nov 21 08:40:20") -> bytes:
    return DOVECOT % (stamp, user, tls)


def nobody(size: int, logins: int) -> None:
    """Hears the progress and does not care."""


def told(*paths: Path | str, dialects: tuple[str, ...] = ()) -> Logins:
    request = Request(tuple(map(str, paths)), dialects, "UTC")
    return read(request, nobody, lambda: NOW)


def users(seen: Logins) -> set[str | None]:
    return {each.login.user for each in seen.logins}


def put(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_a_log_becomes_a_document(tmp_path: Path):
    data = line(b"alice") * 3 + line(b"bob", b", TLS") + b"noise\n"
    seen = told(put(tmp_path / "mail.log", data))
    assert {(each.login.user, each.meaning, each.login.count) for each in seen.logins} == {
        ("alice", Meaning.CLEARTEXT, 3), ("bob", Meaning.SAFE, 1),
    }  # fmt: skip
    assert seen.partial == ()
    assert seen.counts == {"octets": len(data), "lines of mail servers": 4, "logins": 4}


def test_all_that_was_recorded_is_read_at_once():
    paths = sorted(RECORDED.glob("*.log"))
    seen = told(*paths)
    assert seen.partial == ()
    assert seen.counts["logins"] == 152 + 152 + 144 + 96 + 56 + 46 + 4


def test_a_session_goes_on_in_the_next_file(tmp_path: Path):
    client = b"Nov 21 08:40:20 mail postfix/smtpd[7]: 4F1: client=a[192.0.2.11], sasl_method=PLAIN,"
    end = (
        b"Nov 21 08:40:21 mail postfix/smtpd[7]: disconnect from a[192.0.2.11] auth=1 commands=3\n"
    )
    put(tmp_path / "mail.log.2.gz", gzip.compress(client + b" sasl_username=alice\n"))
    put(tmp_path / "mail.log.1", end)
    put(tmp_path / "mail.log", line(b"bob"))
    seen = told(*(tmp_path / name for name in ("mail.log", "mail.log.1", "mail.log.2.gz")))
    assert users(seen) == {"alice", "bob"}
    assert all(each.meaning is Meaning.CLEARTEXT for each in seen.logins)
    # In the wrong order, or in files that are not one log, it does not.
    other = put(tmp_path / "other", end)
    apart = told(tmp_path / "mail.log.2.gz", other)
    assert {each.login.complete for each in apart.logins if each.login.user} == {False}


@pytest.mark.parametrize(
    "made", [gzip.compress, lzma.compress, zstandard.compress], ids=["gzip", "xz", "zstd"]
)
def test_compressed_logs(made: Callable[[bytes], bytes], tmp_path: Path):
    assert users(told(put(tmp_path / "x", made(line(b"alice"))))) == {"alice"}


def test_stunnel_s_log_beside_that_of_the_daemon(tmp_path: Path):
    there = b"Nov 21 08:40:20 mail ipop2d[7]: Login user=alice host=localhost [127.0.0.1]\n"
    front = b"2026.11.21 08:40:19 LOG5[0]: Service [pop2s] accepted connection from 192.0.2.11:40\n"
    seen = told(put(tmp_path / "mail.log", there), put(tmp_path / "stunnel.log", front))
    (each,) = seen.logins
    assert (each.login.client, each.meaning) == ("192.0.2.11", Meaning.SAFE)


def test_a_year_is_that_of_the_file_s_last_change(tmp_path: Path):
    path = put(tmp_path / "mail.log", line(b"alice", stamp=b"Dec 31 08:40:20"))
    then = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC).timestamp()
    os.utime(path, (then, then))
    (each,) = told(path).logins
    assert each.login.first == "2023-12-31T08:40:20.000Z"


def test_where_nobody_is_seen_it_is_said_why(tmp_path: Path):
    seen = told(put(tmp_path / "x", b"nothing of the kind\n" * 9))
    assert "no line of a mail server that speaks of logins" in seen.partial[0]
    assert "dovecot" in seen.partial[0]
    seen = told(put(tmp_path / "x", line(b"a")), dialects=("exim",))
    assert seen.partial[0].endswith("known: exim")


def test_what_cannot_be_read_is_said_beside_what_was(tmp_path: Path):
    rest = zlib.compressobj(wbits=31)
    cut = rest.compress(line(b"alice") * 2000) + rest.flush(zlib.Z_SYNC_FLUSH)
    seen = told(put(tmp_path / "mail.log.1.gz", cut), put(tmp_path / "mail.log", line(b"bob")))
    assert users(seen) == {"alice", "bob"}
    assert "is cut off" in seen.partial[0]
    seen = told(tmp_path / "none", tmp_path / "mail.log")
    assert "No such file" in seen.partial[0]


def test_where_nothing_can_be_read_it_is_bad_input(tmp_path: Path):
    with pytest.raises(BadInput, match=r"none cannot be read: No such file.*; .* Is a directory"):
        told(tmp_path / "none", tmp_path)


def test_lines_beyond_all_measure_are_counted(tmp_path: Path):
    data = line(b"alice")[:-1] + b"x" * 100_000 + b"\n" + line(b"bob")
    seen = told(put(tmp_path / "mail.log", data))
    assert users(seen) == {"bob"}
    assert "1 lines longer than any of a mail server's were not read" in seen.partial


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("zone", "Nowhere/Land", "is not known: write +02:00"),
        ("zone", "../../etc/passwd", "is not known"),
        ("zone", "+99:00", "is not known"),
        ("host", "mail.example", "is no address"),
        ("since", "yesterday", "--since 'yesterday': write a day"),
        ("until", "2026-13-01", "--until '2026-13-01': write a day"),
    ],
)
def test_bad_input(option: str, value: str, complaint: str):
    with pytest.raises(BadInput) as caught:
        Request(("x",), (), **{option: value}).options()
    assert complaint in str(caught.value)


def test_options_become_what_logs_wants():
    options = Request(
        ("x",), zone="+02:00", since="2026-11-21", until="2026-11-21T12:00Z"
    ).options()
    assert options.since == datetime.datetime(2026, 11, 20, 22, tzinfo=datetime.UTC).timestamp()
    assert options.until == datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC).timestamp()


def test_the_dialects_are_those_of_the_daemons():
    assert logs.DIALECTS == room.NAMES


# -- logs that grow --------------------------------------------------------------------------------


class Growing:
    """A log that somebody writes while it is followed: a step each time the reader waits."""

    def __init__(self, *steps: Callable[[], object]) -> None:
        self._steps = [*steps]
        self._ended = False

    def stop(self) -> bool:
        return self._ended

    def wait(self, seconds: float) -> None:
        assert seconds <= 1
        if self._steps:
            self._steps.pop(0)()
        else:
            self._ended = True


def follow(path: Path, *steps: Callable[[], object], more: tuple[Path, ...] = ()) -> Logins:
    growing = Growing(*steps)
    request = Request((str(path), *map(str, more)), zone="UTC")
    with Following(request, lambda: NOW) as following:
        seen = [
            each.login
            for new in following.sightings(growing.stop, nobody, growing.wait)
            for each in new
            if isinstance(each, JudgedLogin)
        ]
        document = following.seen.document()
    assert sum(login.count for login in seen) == document.counts["logins"]
    return document


def appended(path: Path, data: bytes) -> Callable[[], object]:
    def step() -> None:
        with path.open("ab") as stream:
            stream.write(data)

    return step


def counted(seen: Logins) -> dict[str | None, int]:
    return {each.login.user: each.login.count for each in seen.logins}


def test_a_log_is_read_on_as_it_grows(tmp_path: Path):
    path = put(tmp_path / "mail.log", line(b"alice"))
    whole = line(b"bob")
    seen = follow(
        path, appended(path, whole[:50]), appended(path, whole[50:]), appended(path, line(b"alice"))
    )
    assert counted(seen) == {"alice": 2, "bob": 1}


def test_a_log_that_is_rotated_while_it_is_followed(tmp_path: Path):
    path = put(tmp_path / "mail.log", line(b"alice"))
    old = tmp_path / "mail.log.1"

    def rotate() -> None:
        path.rename(old)

    seen = follow(
        path,
        rotate,
        appended(old, line(b"late")),
        lambda: put(path, line(b"bob")),
        appended(path, line(b"carol")),
        lambda: None,
    )
    assert counted(seen) == {"alice": 1, "late": 1, "bob": 1, "carol": 1}


def test_a_log_that_is_cut_short_while_it_is_followed(tmp_path: Path):
    path = put(tmp_path / "mail.log", line(b"alice") * 3)
    seen = follow(path, lambda: put(path, line(b"bob")), appended(path, line(b"carol")))
    assert counted(seen) == {"alice": 3, "bob": 1, "carol": 1}


def test_what_was_rotated_before_is_read_first(tmp_path: Path):
    older = put(tmp_path / "mail.log.1", line(b"alice"))
    path = put(tmp_path / "mail.log", line(b"bob"))
    assert counted(follow(path, more=(older,))) == {"alice": 1, "bob": 1}


def test_a_client_behind_stunnel_is_known_while_its_connection_lasts(tmp_path: Path):
    accepted = (
        b"2026.11.21 08:40:19 LOG5[0]: Service [pop2s] accepted connection from 192.0.2.11:4\n"
    )
    login = b"Nov 21 08:40:20 mail ipop2d[7]: Login user=alice host=localhost [127.0.0.1]\n"
    front = put(tmp_path / "stunnel.log", b"")
    path = put(tmp_path / "mail.log", line(b"bob"))
    seen = follow(path, appended(front, accepted), appended(path, login), more=(front,))
    (alice,) = [each for each in seen.logins if each.login.user == "alice"]
    assert (alice.login.client, alice.meaning) == ("192.0.2.11", Meaning.SAFE)


def test_a_session_that_is_open_at_the_end_is_told(tmp_path: Path):
    held = b"Nov 21 08:40:20 mail postfix/smtpd[7]: 4F1: client=a[192.0.2.11], sasl_method=PLAIN\n"
    path = put(tmp_path / "mail.log", held)
    (each,) = follow(path, lambda: None).logins
    assert (each.login.complete, each.meaning) == (False, Meaning.UNDECIDED)


def test_what_cannot_be_followed(tmp_path: Path):
    with pytest.raises(BadInput, match="stdin cannot be followed"):
        Following(Request(("-",)))
    with pytest.raises(BadInput, match="No such file"):
        follow(tmp_path / "none")
