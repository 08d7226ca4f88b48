"""POP2's own: what its transcripts do not show."""

import pytest

from mailseal.protocols import pop2
from mailseal.protocols.base import HEAR, Answer, Credentials, Reply, Side, Task
from mailseal.protocols.conversation import Conversation
from mailseal.protocols.session import PIPELINE

GREETING = Reply(Answer.YES, b"+ POP2")


def test_no_secret_in_the_values_on_the_way():
    credentials = Credentials("somebody", "s3cret")
    session = pop2.Session()
    client = pop2.client(session, Task(login=credentials))
    assert next(client) is HEAR
    step = client.send(GREETING)
    assert "s3cret" not in repr(credentials) + repr(step) + str(step)
    session.feed(Side.SERVER, b"+ POP2\r\n")
    session.feed(Side.CLIENT, b"HELO somebody s3cret\r\n")
    assert "s3cret" not in repr(session._asked)


def test_a_password_s_octets_stay_whatever_their_encoding():
    octets = b"p\xe4ss"
    credentials = Credentials("somebody", octets.decode("utf-8", "surrogateescape"))
    client = pop2.client(pop2.Session(), Task(login=credentials))
    next(client)
    step = client.send(GREETING)
    assert getattr(step, "data") == b"HELO somebody p\xe4ss\r\n"  # noqa: B009


@pytest.mark.parametrize(
    ("user", "password", "remote"),
    [
        ("", "x", ""),
        ("a b", "x", ""),
        ("host:a", "x", ""),
        ("a\r\nQUIT", "x", ""),
        ("a", "x\r\nQUIT", ""),
        ("a", "x\x00", ""),
        ("a", "x", "host name"),
    ],
)
def test_credentials_that_would_say_something_else(user: str, password: str, remote: str):
    with pytest.raises(ValueError, match=r"one word|cannot be sent"):
        Credentials(user, password, remote)


def test_a_server_that_answers_before_it_is_asked_shows_nothing():
    conversation = Conversation()
    conversation.receive(b"+ POP2 server ready\r\n- Missing user or password\r\n")
    assert conversation.ended is not None
    assert conversation.ended.kind == "unsolicited"
    assert conversation.logins == ()


def test_commands_without_answers_are_not_collected():
    session = pop2.Session()
    session.feed(Side.CLIENT, b"HELO a b\r\n" * 10_000)
    assert len(session._asked) == PIPELINE
