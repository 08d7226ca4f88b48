"""TLS inside the session, and what a careful look makes of a service that has it."""

import dataclasses
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from mailseal.assess import assess
from mailseal.model.finding import Grade, Verdict
from mailseal.model.look import Attempt, Channel, Observation, Outcome, Upgrade
from mailseal.probe.look import Limits, Question
from mailseal.protocols.base import Credentials
from tests.probe import peers
from tests.probe.certificates import LAST_YEAR, NAME, server_context
from tests.probe.conftest import DRIVERS

GREETING = b"+OK POP3 ready\r\n"
NO = b"-ERR [AUTH] Cleartext authentication disallowed on non-secure (SSL/TLS) connections.\r\n"
CLEAR = {
    b"CAPA": b"+OK\r\nSTLS\r\nSASL\r\n.\r\n",
    b"USER": NO,
    b"AUTH": NO,
    b"STLS": b"+OK Begin TLS negotiation now.\r\n",
    b"QUIT": b"+OK\r\n",
    b"*": b"-ERR unknown command\r\n",
}
INSIDE = {
    b"CAPA": b"+OK\r\nUSER\r\nSASL PLAIN\r\n.\r\n",
    b"USER": b"+OK\r\n",
    b"AUTH PLAIN": b"+ \r\n",
    b"AUTH": b"-ERR [AUTH] Unsupported authentication mechanism.\r\n",
    b"QUIT": b"+OK\r\n",
    b"*": b"-ERR\r\n",
}
LIMITS = Limits(connect=1.0, answer=1.0, total=4.0)

Look = Callable[..., Observation]


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def look(ca: trustme.CA, tmp_path: Path) -> Look:
    """Both drivers' look, which must be the same."""
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    def take(peer: peers.Peer, **more: object) -> Observation:
        with peers.serving(peer) as endpoint:
            question = Question(endpoint, name=NAME, limits=LIMITS)
            question = dataclasses.replace(question, **more)  # type: ignore[arg-type]
            first, second = (
                dataclasses.replace(
                    observe(question, authority=str(tmp_path / "ca.pem")), start="", end=""
                )
                for observe in DRIVERS.values()
            )
        assert first == second
        return first

    return take


def outcomes(seen: Observation, channel: Channel) -> dict[str, Outcome]:
    return {a.mechanism: a.outcome for a in seen.attempts if a.channel is channel}


REFUSED = dict.fromkeys(("USER", "PLAIN", "LOGIN"), Outcome.REFUSED)


def test_refused_in_cleartext_and_working_inside(look: Look, ca: trustme.CA, no_leak: None):
    context = server_context(ca.issue_cert(NAME))
    seen = look(peers.scripted(GREETING, CLEAR, b"STLS", context, INSIDE), versions=True)
    assert outcomes(seen, Channel.CLEAR) == REFUSED
    assert outcomes(seen, Channel.TLS) == {
        "USER": Outcome.ACCEPTED,
        "PLAIN": Outcome.ACCEPTED,
        "LOGIN": Outcome.REFUSED,
    }
    assert seen.starttls is not None
    assert (seen.starttls.advertised, seen.starttls.outcome) == (True, Upgrade.DONE)
    assert seen.tls is not None
    assert seen.tls.trust == ""
    assert seen.tls.accepted == ("TLSv1.3", "TLSv1.2")
    assert seen.tls.rejected == ("SSLv3", "TLSv1", "TLSv1.1")
    assert assess([seen]).verdict is Verdict.REFUSED
    assert seen.gaps == ()


def test_a_bad_certificate_is_read_inside_the_session(look: Look, ca: trustme.CA):
    leaf = ca.issue_cert(NAME, not_before=LAST_YEAR, not_after=LAST_YEAR)
    seen = look(peers.scripted(GREETING, CLEAR, b"STLS", server_context(leaf), INSIDE))
    assert seen.tls is not None
    assert "expired" in seen.tls.trust
    assert seen.starttls is not None
    assert seen.starttls.outcome is Upgrade.DONE
    assert outcomes(seen, Channel.TLS)["PLAIN"] is Outcome.ACCEPTED


def test_agreed_to_and_broken(look: Look):
    seen = look(peers.scripted(GREETING, CLEAR, b"STLS"))
    assert seen.starttls is not None
    assert seen.starttls.outcome is Upgrade.BROKEN
    assert seen.tls is None
    assert seen.gaps[0].startswith("TLS: ")
    assert assess([seen]).verdict is Verdict.REFUSED


def test_listed_and_refused(look: Look):
    answers = {**CLEAR, b"STLS": b"-ERR TLS is not configured\r\n"}
    seen = look(peers.scripted(GREETING, answers))
    assert seen.starttls is not None
    assert (seen.starttls.advertised, seen.starttls.outcome) == (True, Upgrade.REFUSED)
    assert "not configured" in seen.starttls.reason


def test_listed_and_not_now(look: Look):
    answers = {**CLEAR, b"STLS": b"-ERR [SYS/TEMP] TLS not available due to temporary reason\r\n"}
    seen = look(peers.scripted(GREETING, answers))
    assert seen.starttls is not None
    assert seen.starttls.outcome is Upgrade.UNCLEAR


def test_listed_and_never_answered(look: Look):
    seen = look(peers.scripted(GREETING, {**CLEAR, b"STLS": b""}))
    assert seen.starttls is not None
    assert seen.starttls.outcome is Upgrade.UNCLEAR
    assert "closed the connection" in seen.starttls.reason


def test_not_listed_and_not_there(look: Look):
    answers = {**CLEAR, b"CAPA": b"-ERR\r\n", b"STLS": b"-ERR unknown command\r\n"}
    seen = look(peers.scripted(GREETING, answers))
    assert seen.starttls is not None
    assert (seen.starttls.advertised, seen.starttls.outcome) == (False, Upgrade.REFUSED)
    assert seen.tls is None


def test_not_listed_and_there_all_the_same(look: Look, ca: trustme.CA):
    context = server_context(ca.issue_cert(NAME))
    answers = {**CLEAR, b"CAPA": b"-ERR\r\n"}
    seen = look(peers.scripted(GREETING, answers, b"STLS", context, INSIDE))
    assert seen.starttls is not None
    assert (seen.starttls.advertised, seen.starttls.outcome) == (False, Upgrade.DONE)


def test_a_server_that_hangs_up_after_each_no_is_asked_everything(look: Look):
    """One no a connection: the rest is asked for on new ones."""

    def peer(connection):
        connection.sendall(GREETING)
        for line in peers.lines(connection):
            if line.startswith(b"CAPA"):
                connection.sendall(b"+OK\r\n.\r\n")
            elif line.startswith((b"USER", b"AUTH PLAIN")):
                connection.sendall(b"-ERR [AUTH] mechanism not available, bye\r\n")
                return
            else:
                connection.sendall(b"+ VXNlcm5hbWU6\r\n")

    seen = look(peer)
    assert outcomes(seen, Channel.CLEAR) == {**REFUSED, "LOGIN": Outcome.ACCEPTED}
    assert assess([seen]).grade is Grade.ACCEPTED


def test_what_could_not_be_asked_is_not_called_refused(look: Look):
    """The server hangs up on the first word of AUTH, always."""
    answers = {**CLEAR, b"CAPA": b"+OK\r\n.\r\n", b"AUTH": b""}
    seen = look(peers.scripted(GREETING, answers))
    assert outcomes(seen, Channel.CLEAR)["PLAIN"] is Outcome.UNCLEAR
    assert assess([seen]).verdict is Verdict.INCONCLUSIVE


def test_a_refusal_behind_the_prompt_is_found_by_a_login(look: Look):
    answers = {
        **CLEAR,
        b"CAPA": b"-ERR\r\n",
        b"USER": b"+OK Password required.\r\n",
        b"PASS": b"-ERR TLS required to log in.\r\n",
    }
    peer = peers.scripted(GREETING, answers)
    careful = assess([look(peer)])
    assert (careful.verdict, careful.grade) == (Verdict.EXPOSED, Grade.ACCEPTED)
    login = Credentials("somebody", secrets.token_hex(8))
    assert assess([look(peer, login=login)]).verdict is Verdict.REFUSED


def test_a_login_goes_by_every_way_that_is_not_refused(look: Look):
    answers = {
        **CLEAR,
        b"USER": b"+OK\r\n",
        b"PASS": b"-ERR [AUTH] Authentication failed.\r\n",
        b"AUTH PLAIN": b"+ \r\n",
        b"AHNVBWVIB2R5": b"+OK Logged in.\r\n",
    }
    seen = look(peers.scripted(GREETING, answers), login=Credentials("somebody", "s3cret"))
    tried = [(a.mechanism, a.outcome) for a in seen.attempts if a.channel is Channel.CLEAR][3:]
    assert tried == [("USER", Outcome.ACCEPTED), ("PLAIN", Outcome.PROVEN)]
    assert assess([seen]).grade is Grade.PROVEN
    assert "s3cret" not in repr(seen)


def test_weak_mechanisms_are_told_apart_from_cleartext(look: Look):
    answers = {**CLEAR, b"CAPA": b"+OK\r\nSASL CRAM-MD5 SCRAM-SHA-256\r\n.\r\n"}
    seen = look(peers.scripted(GREETING, answers))
    reason = "CRAM-MD5 is listed"
    offered = Attempt("CRAM-MD5", Channel.CLEAR, True, Outcome.OFFERED, reason)
    assert offered in seen.attempts
    assert assess([seen]).verdict is Verdict.REFUSED


def test_tls_first_where_the_port_says_so_and_cleartext_all_the_same(
    look: Look, monkeypatch: pytest.MonkeyPatch
):
    """A cleartext server on a port of implicit TLS is found as fast as anywhere."""
    peer = peers.scripted(GREETING, {**CLEAR, b"USER": b"+OK\r\n"})
    with peers.serving(peer) as endpoint:
        monkeypatch.setattr("mailseal.probe.look.IMPLICIT_PORTS", (endpoint.port,))
        for observe in DRIVERS.values():
            seen = observe(Question(endpoint, limits=LIMITS))
            assert assess([seen]).grade is Grade.ACCEPTED


def test_implicit_tls_where_the_port_says_so(
    ca: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = server_context(ca.issue_cert(NAME))
    peer = peers.secured(context, peers.scripted(GREETING, INSIDE))
    with peers.serving(peer) as endpoint:
        monkeypatch.setattr("mailseal.probe.look.IMPLICIT_PORTS", (endpoint.port,))
        for observe in DRIVERS.values():
            question = Question(endpoint, name=NAME, limits=LIMITS)
            seen = observe(question, authority=str(tmp_path / "ca.pem"))
            assert assess([seen]).verdict is Verdict.REFUSED
            assert outcomes(seen, Channel.TLS)["PLAIN"] is Outcome.ACCEPTED
            assert "-- clear, eager" in seen.transcript
