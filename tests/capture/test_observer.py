"""What is heard of real sessions, and of the transcripts of every protocol, as packets."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailseal.capture.observer import READABLE, _as_meant
from mailseal.model.login import Login, LoginOutcome
from mailseal.model.look import Channel, Outcome, Vantage
from mailseal.protocols.base import Side
from mailseal.protocols.conversation import DIALOGUES
from mailseal.protocols.recognise import PORTS
from tests.capture import make
from tests.protocols.transcript import Transcript, everyone, load

C, S = Side.CLIENT, Side.SERVER
_OUTCOMES = {
    Outcome.PROVEN: LoginOutcome.ACCEPTED,
    Outcome.ACCEPTED: LoginOutcome.REJECTED,
    Outcome.REFUSED: LoginOutcome.REFUSED,
}
USUAL = {"pop2": 109, "pop3": 110, "imap": 143, "smtp": 25, "managesieve": 4190}


def expected(protocol: str, transcript: Transcript) -> list[tuple[str, str | None, LoginOutcome]]:
    """What the session itself says of it, fed whole."""
    session = DIALOGUES[protocol].session(False)
    for side, data in transcript.blocks:
        if session.feed(side, data) is not None:
            break
    meant = [
        _as_meant(protocol, session.banner, each) if each.outcome is Outcome.UNCLEAR else each
        for each in session.logins
    ]
    told = [each for each in meant if each.sent or each.outcome is Outcome.REFUSED]
    told += session.unanswered()
    return [
        (each.mechanism, each.user, _OUTCOMES.get(each.outcome, LoginOutcome.UNKNOWN))
        for each in told
    ]


def told(logins: list[Login]) -> list[tuple[str, str | None, LoginOutcome]]:
    return [(each.mechanism, each.user, each.outcome) for each in logins]


ALL = [path for path in everyone() if load(path).kind != "inside"]


@pytest.mark.parametrize("path", ALL, ids=lambda path: f"{path.parent.name}/{path.stem}")
@pytest.mark.parametrize("port", ["usual", "odd"])
def test_every_transcript_is_heard(path, port: str):
    """On a port of its own or any other, in segments of every size."""
    transcript = load(path)
    number = USUAL[transcript.protocol] if port == "usual" else 2525
    for size in (1460, 7):
        talk = make.conversation(transcript.blocks, number, size)
        found = make.heard(make.pcap(make.frames_of(talk)))
        seen, said = told(found.logins), expected(transcript.protocol, transcript)
        # Nobody who is logged in logs in (RFC 4954 section 4, RFC 1939 section 5, RFC 3501 section
        # 6.2): behind that it is not listened to.
        assert seen == said[: len(seen)]
        assert len(seen) == len(said) or seen[-1][2] is LoginOutcome.ACCEPTED
        assert {each.protocol for each in found.logins} <= {transcript.protocol}
        assert all(each.complete and each.channel is Channel.CLEAR for each in found.logins)
        if transcript.password:
            assert transcript.password not in repr(found.logins)


def pop3(*lines: str) -> list[tuple[Side, bytes]]:
    """`S +OK`, `C USER x`."""
    return [(Side(line[0]), line[2:].encode() + b"\r\n") for line in lines]


def logins(blocks, port: int = 110, drop=lambda piece: False) -> list[Login]:
    talk = make.conversation(blocks, port)
    frames = [talk.packet(piece) for piece in talk.pieces if not drop(piece)]
    return make.heard(make.pcap(frames)).logins


def test_a_login_says_who_where_when_and_how():
    [login] = logins(make.POP3)
    assert (str(login.endpoint), login.client) == ("192.0.2.10:110", "192.0.2.7")
    assert (login.protocol, login.vantage, login.count) == ("pop3", Vantage.WIRE, 1)
    # That of its answer, the seventh packet behind the first, a millisecond each.
    assert login.first == login.last == "2023-11-14T22:13:20.007Z"
    assert login.complete


def test_software_as_clients_name_it():
    imap = pop3(
        "S * OK ready", "C a LOGIN somebody s3cret", "S a OK in",
        'C b ID ("name" "Mailer" "version" "3.1" "os" "x")', "S * ID NIL", "S b OK", "C c LOGOUT",
    )  # fmt: skip
    assert [login.software for login in logins(imap, 143)] == [("Mailer 3.1",)]
    smtp = pop3(
        "S 220 mail.example ESMTP", "C EHLO [192.0.2.7]", "S 250-mail.example", "S 250 AUTH PLAIN",
        "C AUTH PLAIN AHNvbWVib2R5AHMzY3JldA==", "S 235 in", "C QUIT", "S 221 bye",
    )  # fmt: skip
    assert [login.software for login in logins(smtp, 587)] == [("EHLO [192.0.2.7]",)]


def test_what_goes_on_inside_tls_is_counted_and_not_read():
    talk = make.conversation(
        [*pop3("S +OK", "C STLS", "S +OK"), (C, b"\x16\x03\x01USER x\r\nPASS y\r\n")]
    )
    found = make.heard(make.pcap(make.frames_of(talk)))
    assert (found.logins, found.observer.counts.sealed) == ([], 1)
    talk = make.conversation([(C, b"\x16\x03\x01\x00\x04USER"), (S, b"\x16\x03\x03x")], 995)
    found = make.heard(make.pcap(make.frames_of(talk)))
    assert (found.logins, found.observer.counts.tls) == ([], 1)


def test_a_plain_session_on_a_port_of_tls_is_heard():
    assert len(logins(make.POP3, 995)) == 1


def test_other_services_are_not():
    ftp = pop3("S 220 FTP server ready", "C USER somebody", "S 331", "C PASS s3cret", "S 230 in")
    assert logins(ftp, 110) == []
    web = [(C, b"GET / HTTP/1.0\r\n\r\n"), (S, b"HTTP/1.0 200 OK\r\n\r\n")]
    assert logins(web, 110) == []


def test_a_look_of_ours_is_no_login():
    look = pop3(
        "S +OK", "C CAPA", "S +OK", "S SASL PLAIN", "S .", "C USER mailseal-nobody", "S +OK",
        "C AUTH PLAIN", "S + ", "C *", "S -ERR", "C QUIT", "S +OK",
    )  # fmt: skip
    assert logins(look) == []


def test_an_answer_that_was_not_seen_is_unknown():
    [login] = logins(make.POP3[:4])
    assert login.outcome is LoginOutcome.UNKNOWN
    assert login.user == "somebody"
    [login] = logins(make.POP3, drop=lambda piece: b"Logged in" in piece.data)
    assert (login.outcome, login.complete) == (LoginOutcome.UNKNOWN, False)


def test_a_name_that_was_not_seen_is_unknown():
    [login] = logins(make.POP3, drop=lambda piece: b"USER" in piece.data)
    assert (login.user, login.outcome, login.complete) == (None, LoginOutcome.ACCEPTED, False)


def test_picked_up_in_the_middle():
    """Of the first words nobody knows whether they are whole; what comes then is read."""
    blocks = [*pop3("S +OK", "C CAPA", "S +OK", "S SASL PLAIN", "S ."), *make.POP3[1:]]
    talk = make.conversation(blocks)
    found = make.heard(make.pcap(make.frames_of(talk)[4:]))
    [login] = found.logins
    assert (login.user, login.outcome, login.complete) == ("somebody", LoginOutcome.ACCEPTED, False)
    assert found.observer.counts.torn == 1


def test_a_password_that_was_sent_and_refused_could_be_read_all_the_same():
    refused = "S -ERR [AUTH] Plaintext authentication disallowed on non-secure connections."
    early = pop3("S +OK", "C AUTH PLAIN AHNvbWVib2R5AHMzY3JldA==", refused, "C QUIT", "S +OK")
    late = pop3("S +OK", "C AUTH PLAIN", refused, "C QUIT", "S +OK")
    [sent], [kept] = logins(early), logins(late)
    assert (sent.outcome, sent.notes) == (LoginOutcome.REFUSED, (READABLE,))
    assert (kept.outcome, kept.notes) == (LoginOutcome.REFUSED, ())


def test_somebody_s_message_is_no_login():
    """Also where its beginning was not seen."""
    mail = pop3(
        "S 220 mail.example ESMTP", "C EHLO x", "S 250 x", "C DATA", "S 354 go",
        "C AUTH PLAIN AHNvbWVib2R5AHMzY3JldA==", "C .", "S 250 taken", "C NOOP", "S 250 x",
    )  # fmt: skip
    assert logins(mail, 25) == []
    for lost in (b"DATA", b"354", b"EHLO"):
        assert logins(mail, 25, lambda piece, lost=lost: lost in piece.data) == []


def test_a_long_line_of_a_message_does_not_end_the_session():
    mail = pop3("S 220 mail.example ESMTP", "C EHLO x", "S 250 x", "C DATA", "S 354 go")
    rest = pop3(
        "C .", "S 250 taken", "C AUTH PLAIN AHNvbWVib2R5AHMzY3JldA==", "S 235 in", "C QUIT",
    )  # fmt: skip
    assert [each.user for each in logins([*mail, (C, b"x" * 50000 + b"\r\n"), *rest], 25)] == [
        "somebody"
    ]


# -- secrets ---------------------------------------------------------------------------------------

SECRETS = {
    b"s3cret", b"czNjcmV0", b"AHNvbWVib2R5AHMzY3JldA==", b"s3cret-words", b"pass-w0rd", b"L1teral!",
}  # fmt: skip
EXCHANGES: dict[int, list[tuple[Side, bytes]]] = {
    110: pop3(
        "S +OK", "C USER somebody", "S +OK", "C PASS s3cret-words", "S -ERR no", "C AUTH LOGIN",
        "S + VXNlcm5hbWU6", "C c29tZWJvZHk=", "S + UGFzc3dvcmQ6", "C czNjcmV0", "S -ERR no",
        "C AUTH PLAIN", "S + ", "C AHNvbWVib2R5AHMzY3JldA==", "S +OK",
    ),
    143: pop3(
        "S * OK ready", 'C a LOGIN "somebody" "pass-w0rd"', "S a NO", "C b LOGIN {8}", "S + ",
        "C somebody {8}", "S + ", "C L1teral!", "S b NO", "C c AUTHENTICATE LOGIN", "S + x",
        "C c29tZWJvZHk=", "S + y", "C czNjcmV0", "S c NO", "C d AUTHENTICATE PLAIN", "S + ",
        "C AHNvbWVib2R5AHMzY3JldA==", "S d OK",
    ),
    587: pop3(
        "S 220 x ESMTP", "C EHLO x", "S 250 AUTH PLAIN LOGIN", "C AUTH LOGIN", "S 334 VXNlcm5hbWU6",
        "C c29tZWJvZHk=", "S 334 UGFzc3dvcmQ6", "C czNjcmV0", "S 535 no",
        "C AUTH PLAIN AHNvbWVib2R5AHMzY3JldA==", "S 235 in", "C QUIT", "S 221",
    ),
    4190: pop3(
        'S "SASL" "PLAIN LOGIN"', "S OK", 'C AUTHENTICATE "LOGIN"', 'S "VXNlcm5hbWU6"',
        'C "c29tZWJvZHk="', 'S "UGFzc3dvcmQ6"', 'C "czNjcmV0"', 'S NO "czNjcmV0"',
        'C AUTHENTICATE "PLAIN" "AHNvbWVib2R5AHMzY3JldA=="', "S OK",
    ),
    109: pop3(
        "S + POP2 ready", "C HELO somebody s3cret-words", "S #1 messages", "C QUIT", "S + bye",
    ),
}  # fmt: skip


def leaks(found: list[Login]) -> list[bytes]:
    shown = repr(found).encode()
    return [secret for secret in SECRETS if secret in shown]


@pytest.mark.parametrize("port", EXCHANGES)
def test_no_secret_gets_out_whatever_is_missing(port: int):
    """Every pair of segments lost, in segments of every small size."""
    for size in (1460, 9):
        talk = make.conversation(EXCHANGES[port], port, size)
        spoken = [piece for piece in talk.pieces if piece.data]
        pairs = itertools.combinations(range(len(spoken)), 2)
        for first, second in itertools.islice(pairs, 0, None, 1 if size > 100 else 7):
            lost = (spoken[first], spoken[second])
            frames = [talk.packet(piece) for piece in talk.pieces if piece not in lost]
            assert leaks(make.heard(make.pcap(frames)).logins) == []


@pytest.mark.parametrize("port", EXCHANGES)
def test_no_secret_gets_out_wherever_it_is_picked_up(port: int):
    for size in (1460, 3):
        talk = make.conversation(EXCHANGES[port], port, size)
        frames = make.frames_of(talk)
        for start in range(len(frames)):
            assert leaks(make.heard(make.pcap(frames[start:])).logins) == []


@pytest.mark.parametrize("port", EXCHANGES)
def test_no_secret_gets_out_of_packets_that_are_cut_short(port: int):
    talk = make.conversation(EXCHANGES[port], port)
    for cut in range(54, 100):
        assert leaks(make.heard(make.pcap(make.frames_of(talk), cut=cut)).logins) == []


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(list(EXCHANGES)), st.data())
def test_any_order_and_repetition_hears_the_same_logins(port: int, data: st.DataObject):
    talk = make.conversation(EXCHANGES[port], port, data.draw(st.sampled_from([3, 20, 1460])))
    pieces = [*talk.pieces, *data.draw(st.lists(st.sampled_from(talk.pieces), max_size=6))]
    frames = [talk.packet(piece) for piece in data.draw(st.permutations(pieces))]
    whole = make.heard(make.pcap(make.frames_of(talk)))
    mixed = make.heard(make.pcap(frames))
    assert told(mixed.logins) == told(whole.logins)
    assert whole.logins
    assert all(login.complete for login in mixed.logins)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([C, S]), st.binary(max_size=80)), max_size=12),
       st.sampled_from(sorted(PORTS)))  # fmt: skip
def test_any_octets_of_both_sides_are_heard_to_an_end(blocks, port: int):
    greeting = {110: b"+OK\r\n", 143: b"* OK\r\n", 25: b"220 x ESMTP\r\n"}.get(port, b"+ POP2\r\n")
    make.heard(make.pcap(make.frames_of(make.conversation([(S, greeting), *blocks], port))))
