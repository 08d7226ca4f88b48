"""A first line that waits unread until its session ends changes nothing of what is told."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailseal.logs import reader as reading
from mailseal.logs.sessions import Session, Sessions
from tests.logs.common import added, lines, seen

_COURIER = (
    b"imapd[7]: LOGIN, user=a, ip=[::ffff:192.0.2.1], port=[%d], protocol=IMAP",
    b"imapd[7]: LOGIN, user=b, ip=[::ffff:127.0.0.1], port=[%d], protocol=IMAP, starttls=1",
    b"imapd[7]: LOGIN, user=a, ip=[::ffff:192.0.2.1], port=[%d], protocol=IMAP, starttls=1",
    b"imapd[7]: LOGIN FAILED, user=a, ip=[::ffff:192.0.2.1], port=[%d]",
    b"imapd[7]: DISCONNECTED, user=a, ip=[::ffff:192.0.2.1], port=[%d], headers=0, time=0",
    b"imapd[7]: LOGOUT, user=a, ip=[::ffff:192.0.2.1], port=[%d], sent=1, time=0, starttls=1",
    b"pop3d-ssl[7]: LOGIN, user=a, ip=[::ffff:192.0.2.1], port=[%d]",
)
_POSTFIX = (
    b"%s[%%d]: 4F1A2: client=pc[192.0.2.1], sasl_method=PLAIN, sasl_username=a",
    b"%s[%%d]: 4F1A2: client=pc[127.0.0.1], sasl_method=LOGIN, sasl_username=b",
    b"%s[%%d]: Anonymous TLS connection established from pc[192.0.2.1]: TLSv1.3 with x",
    b"%s[%%d]: disconnect from pc[192.0.2.1] ehlo=1 auth=1 mail=1 commands=3",
    b"%s[%%d]: disconnect from pc[192.0.2.1] ehlo=1 auth=1/2 commands=3",
    b"%s[%%d]: disconnect from pc[192.0.2.1] ehlo=2 starttls=1 auth=1/2 commands=3",
    b"%s[%%d]: warning: pc[192.0.2.1]: SASL PLAIN authentication failed: x",
)
_EXIM = (
    b"exim[%d]: 1xUgod-00006M-0p <= a@mail.example H=(pc) [192.0.2.1] P=esmtpa A=plain:a S=2",
    b"exim[%d]: 1xUgoe-00006M-0q <= a@mail.example H=(pc) [192.0.2.1] P=esmtpsa A=plain:a S=2",
    b"exim[%d]: 1xUgof-00006M-0r <= b@mail.example H=(pc) [127.0.0.1] P=esmtpa A=login:b S=2",
    b"exim[%d]: plain authenticator failed for (pc) [192.0.2.1]: 535 Wrong (set_id=a)",
    b"exim[%d]: no MAIL in SMTP connection from (pc) [192.0.2.1] D=0s A=plain:a C=EHLO,AUTH,QUIT",
    b"exim[%d]: no MAIL in SMTP connection from (pc) [192.0.2.1] D=0s X=TLS1.3:A C=EHLO,AUTH,QUIT",
    b"exim[%d]: SMTP connection from (pc) [192.0.2.1] D=0s closed by QUIT",
)
_POPA3D = (
    b"popa3d[%d]: Session from 192.0.2.1",
    b"popa3d[%d]: Session from 127.0.0.1",
    b"popa3d[%d]: Authentication passed for a",
    b"popa3d[%d]: Authentication failed for UNKNOWN USER",
)
_UW = (
    b"ipop3d[%d]: pop3 service init from 192.0.2.1",
    b"ipop3d[%d]: pop3s SSL service init from 192.0.2.2",
    b"ipop3d[%d]: Login user=a host=pc.example [192.0.2.1] nmsgs=0/0",
    b"ipop3d[%d]: Auth user=b host=pc.example [192.0.2.1] nmsgs=0/0",
)
_DAEMONS = (
    _COURIER,
    tuple(message % b"postfix/smtpd" for message in _POSTFIX),
    # Of this name TLS is sure to be told only where it once was.
    tuple(message % b"outside/smtpd" for message in _POSTFIX),
    _EXIM,
    _POPA3D,
    _UW,
)


_Said = list[tuple[bytes, int, bool]]


def _flat(parts: list[_Said]) -> _Said:
    return [line for part in parts for line in part]


def _said(messages: tuple[bytes, ...]) -> st.SearchStrategy[_Said]:
    """Lines of a daemon, folded or not, some of them two by two in one session."""
    message, number = st.sampled_from(messages), st.integers(1, 2)
    one = st.tuples(message, number, st.integers(0, 9).map(bool)).map(lambda line: [line])
    two = st.tuples(message, message, number).map(
        lambda pair: [(pair[0], pair[2], True), (pair[1], pair[2], True)]
    )
    return st.lists(st.one_of(one, two, two), max_size=16).map(_flat)


def _check(data: bytes) -> None:
    waiting = seen(data)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(reading, "_act", lambda _, line: reading._SAYS[line.says])
        assert added(waiting) == added(seen(data))


_MAIL, _, _TLS, _END, _HALF, _ENDED_IN_TLS, _ = _DAEMONS[2]


@pytest.mark.parametrize(
    "session",
    [
        (_COURIER[0], _COURIER[4], _COURIER[0], _COURIER[5]),
        (_COURIER[0], _COURIER[4], _COURIER[2], _COURIER[4]),
        (_MAIL, _END, _MAIL, _ENDED_IN_TLS),
        (_MAIL, _END, _MAIL, _HALF),
        (_MAIL, _END, _TLS, _END, _MAIL, _END),
    ],
    ids=["end in TLS", "login in TLS", "starttls", "a refused one beside", "TLS is told by now"],
)
def test_what_makes_two_sessions_unlike(session: tuple[bytes, ...]):
    data = lines(*(message % 1 for message in session))
    assert len(added(seen(data))) > 1
    _check(data)


@settings(max_examples=300)
@given(st.sampled_from(_DAEMONS).flatmap(_said))
def test_the_same_is_told_as_when_each_line_is_read_at_once(said: _Said):
    folded = b"Nov 21 08:40:20 mail %s: message repeated 2 times: [ %s]\n"
    data = b""
    for message, number, once in said:
        line = message % number
        program, _, text = line.partition(b": ")
        data += lines(line) if once else folded % (program, text)
    _check(data)


def test_the_oldest_goes_where_there_is_no_room_and_is_read_first():
    told: list[object] = []

    def read(first: tuple[object, ...]) -> None:
        session = sessions.get(first[0])
        assert session is not None
        session.client = b"192.0.2.1"

    sessions = Sessions(lambda session: told.append(session.client), read, most=2)
    sessions.wait("a", ("a",))
    sessions.wait("b", ("b",))
    sessions.wait("c", ("c",))
    assert (told, list(sessions.open)) == ([b"192.0.2.1"], ["b", "c"])
    assert sessions.take("b") == ("b",)
    assert sessions.take("b") is None
    assert isinstance(sessions.get("c"), Session)
    assert sessions.take("c") is None, "it was read"
    assert [each.client for each in sessions.all()] == [b"192.0.2.1"]
    assert sessions.pop("c") is None


def test_what_lies_aside_is_read_when_asked_for_and_goes_without_a_word():
    read: list[object] = []
    ended: list[Session] = []
    sessions = Sessions(ended.append, lambda first: read.append(first[0]), most=2)
    for name in ("a", "b", "c"):
        sessions.put_aside(name, (name,))
    assert ("a" in sessions, "b" in sessions) == (False, True), "there was no room"
    assert isinstance(sessions.get("b"), Session)
    assert sessions.get("b") is sessions.open["b"]
    assert read == ["b"]
    sessions.begin("c")
    assert (read, ended) == (["b"], []), "nothing was held back"
    assert len(list(sessions.all())) == 2
    assert not sessions
