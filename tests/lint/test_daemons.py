"""Where a login in cleartext begins: inetd, xinetd, systemd, Dovecot and Postfix."""

import pytest

from mailseal.lint import lint


def said(path: str, text: str) -> list[str]:
    return [fault.said for fault in lint(path, text.encode()).faults]


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("pop2 stream tcp nowait root /usr/sbin/ipop2d", 1),
        ("109 stream tcp6 nowait root /usr/sbin/ipop2d", 1),
        ("192.0.2.10:pop3 stream tcp nowait root /usr/sbin/tcpd ipop3d", 1),
        ("127.0.0.1:pop3 stream tcp nowait root /usr/sbin/ipop3d", 0),
        ("127.0.0.1,192.0.2.10:pop3 stream tcp nowait root /usr/sbin/ipop3d", 1),
        ("[::1]:imap2 stream tcp nowait root /usr/sbin/imapd", 0),
        ("127.0.0.1:\nimap stream tcp nowait root /usr/sbin/imapd", 0),
        ("pop3s stream tcp nowait root /usr/bin/stunnel stunnel", 0),
        ("pop3 dgram udp wait root /usr/sbin/ipop3d", 0),
        ("smtp stream tcp nowait root /usr/sbin/in.smtpd", 0),
        ("# pop2 stream tcp nowait root /usr/sbin/ipop2d", 0),
        ("ftp stream tcp nowait root /usr/sbin/ftpd", 0),
    ],
)
def test_lines_of_inetd(line: str, count: int):
    assert len(said("inetd.conf", line + "\n")) == count


def test_a_line_of_inetd_names_its_program():
    text = "pop2 stream tcp nowait root /usr/sbin/tcpd ipop2d\n"
    assert said("inetd.conf", text) == ["pop2: POP2 by /usr/sbin/ipop2d"]


def service(name: str, *lines: str) -> str:
    own = "".join(f"\t{line}\n" for line in ("socket_type = stream", "wait = no", *lines))
    return f"service {name}\n{{\n{own}}}\n"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (service("pop3", "server = /usr/sbin/ipop3d"), 1),
        (service("x", "type = UNLISTED", "port = 109", "server = /x"), 1),
        (service("pop3", "disable = yes"), 0),
        (service("pop3", "bind = 127.0.0.1"), 0),
        (service("pop3", "interface = 192.0.2.10"), 1),
        (service("pop3", "protocol = udp"), 0),
        (service("pop3s", "server = /x"), 0),
        ("defaults\n{\n\tdisabled = pop3\n}\n" + service("pop3"), 0),
    ],
)
def test_services_of_xinetd(text: str, count: int):
    assert len(said("/etc/xinetd.d/mail", text)) == count


@pytest.mark.parametrize(
    ("value", "count"),
    [
        ("109", 1), ("192.0.2.10:110", 1), ("[::]:143", 1), ("0.0.0.0:4190", 1),
        ("127.0.0.1:109", 0), ("[::1]:109", 0), ("995", 0), ("/run/x:109", 0), ("@x", 0),
        ("vsock:2:109", 0), ("1" * 5000, 0), ("25", 0), ("\u0661", 0), ("109\nListenStream=", 0),
    ],
)  # fmt: skip
def test_streams_of_a_socket_unit(value: str, count: int):
    assert len(said("mail.socket", f"[Socket]\nListenStream={value}\n")) == count


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("disable_plaintext_auth = no\n", ["disable_plaintext_auth = no"]),
        ("disable_plaintext_auth = no\ndisable_plaintext_auth = yes\n", []),
        ("auth_allow_cleartext = yes\n", ["auth_allow_cleartext = yes"]),
        (
            "disable_plaintext_auth = yes\n"
            "remote 192.0.2.0/24 {\n  disable_plaintext_auth = no\n}\n",
            ["disable_plaintext_auth = no in remote 192.0.2.0/24"],
        ),
    ],
)
def test_settings_of_dovecot(text: str, words: list[str]):
    assert said("dovecot.conf", text) == words


@pytest.mark.parametrize(
    ("more", "count"),
    [
        ("-o smtpd_tls_auth_only=no", 1),
        ("-o { smtpd_tls_auth_only = no }", 1),
        ("-o smtpd_tls_auth_only=yes", 0),
        ("-o smtpd_tls_auth_only=no -o smtpd_tls_wrappermode=yes", 0),
        ("-o smtpd_tls_auth_only=no -o smtpd_tls_security_level=encrypt", 0),
        ("", 0),
    ],
)
def test_services_of_postfix(more: str, count: int):
    text = f"submission inet n - y - - smtpd\n  {more}\n"
    assert len(said("/etc/postfix/master.cf", text)) == count


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("inetd.conf", " # indented\npop2 stream\n"),
        ("/etc/xinetd.d/mail", "service pop3\n"),
        ("mail.socket", "[Socket\n"),
        ("dovecot.conf", "what\n"),
        ("master.cf", "smtp inet\n"),
    ],
)
def test_what_cannot_be_read_is_not_clean(path: str, text: str):
    assert lint(path, text.encode()).unread.startswith("line 1: ")
