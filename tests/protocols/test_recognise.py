"""Who speaks here, by the first line."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mailseal.protocols.base import End
from mailseal.protocols.conversation import Conversation
from mailseal.protocols.recognise import is_tls, recognise

GREETINGS = (
    (b"+ POP2 [192.0.2.1] 2007f.75 server ready\r\n", "pop2"),
    (b"+ server ready\r\n", "pop2"),
    (b"- POP2 server disabled on this system\r\n", "pop2"),
    (b"+OK POP3 server ready <1.2@mail.example>\r\n", "pop3"),
    (b"+OK\r\n", "pop3"),
    (b"-ERR too many connections\r\n", "pop3"),
    (b"-ERR POP2 lives elsewhere\r\n", "pop3"),
    (b"* OK [CAPABILITY IMAP4rev1] ready\r\n", "imap"),
    (b"* PREAUTH welcome\r\n", "imap"),
    (b"* BYE overloaded\r\n", "imap"),
    (b"220 mail.example ESMTP\r\n", "smtp"),
    (b"220-mail.example ESMTP\r\n", "smtp"),
    (b"421 try later\r\n", "smtp"),
    (b"220 ftp.example FTP server ready\r\n", "ftp"),
    (b"220 (vsFTPd 3.0.3)\r\n", "ftp"),
    (b"220 ProFTPD Server ready.\r\n", "ftp"),
    (b"220 ftp.example ESMTP Postfix\r\n", "smtp"),
    (b"220-FileZilla Server 1.0\r\n", "ftp"),
    (b"200 news.example InterNetNews ready (posting ok)\r\n", "nntp"),
    (b'"IMPLEMENTATION" "Pigeonhole"\r\n', "managesieve"),
    (b"SSH-2.0-OpenSSH_9.2p1\r\n", "ssh"),
    (b"HTTP/1.1 400 Bad Request\r\n", "http"),
    (b"<!DOCTYPE html>\r\n", "http"),
    (b"RFB 003.008\n", "vnc"),
    (b"@RSYNCD: 31.0\n", "rsync"),
    (b"\x4a\x00\x00\x00\x0a8.0.36\x00", "mysql"),
    (b"\xff\xfd\x18\xff\xfd\x20", "telnet"),
    (b"hello\r\n", None),
    (b"- go away\r\n", None),
    (b"\r\n", None),
    (b"\x00\x00\x00\x00\n", None),
)


@pytest.mark.parametrize(("greeting", "protocol"), GREETINGS)
def test_greetings(greeting: bytes, protocol: str | None):
    assert recognise(greeting) == protocol


@pytest.mark.parametrize(("greeting", "protocol"), GREETINGS)
def test_a_conversation_names_them_too(greeting: bytes, protocol: str | None):
    conversation = Conversation()
    conversation.receive(greeting)
    conversation.end(End("timeout", "the server said nothing more in time"))
    assert conversation.protocol == protocol


@pytest.mark.parametrize(
    ("data", "tls"),
    [
        (b"\x16\x03\x01\x00", True),
        (b"\x15\x03\x03", True),
        (b"\x16\x03", False),
        (b"\x16\x02\x01", False),
        (b"\x17\x03\x03\x00", False),
        (b"+ POP2", False),
        (b"", False),
    ],
)
def test_tls_records(data: bytes, tls: bool):
    assert is_tls(data) is tls


@given(some.binary(max_size=4096))
def test_anything_has_an_answer(data: bytes):
    name = recognise(data)
    assert name is None or name.isalnum()
