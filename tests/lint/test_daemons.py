"""Where a login in cleartext begins: super-servers, systemd and the daemons' own files."""

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


BESIDE = "-o smtpd_sasl_auth_enable=yes -o smtpd_tls_auth_only=no -o smtpd_discard_ehlo_keywords="


@pytest.mark.parametrize(
    ("more", "count"),
    [
        ("-o smtpd_tls_auth_only=no", 1),
        ("-o { smtpd_tls_auth_only = no }", 1),
        ("-o smtpd_tls_auth_only=yes", 0),
        ("-o smtpd_tls_auth_only=no -o smtpd_tls_wrappermode=yes", 0),
        ("-o smtpd_tls_auth_only=no -o smtpd_tls_security_level=encrypt", 0),
        ("-o smtpd_tls_auth_only=no -o smtpd_sasl_auth_enable=yes", 1),
        (f"{BESIDE}chunking,AUTH", 0),
        (f"{BESIDE}chunking", 1),
        ("", 0),
    ],
)
def test_services_of_postfix(more: str, count: int):
    text = f"submission inet n - y - - smtpd\n  {more}\n"
    assert len(said("/etc/postfix/master.cf", text)) == count


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("smtpd_sasl_auth_enable = yes", 1),
        ("smtpd_sasl_auth_enable = yes\nsmtpd_tls_auth_only = yes", 0),
        ("smtpd_sasl_auth_enable = yes\nsmtpd_tls_auth_only = no", 1),
        ("smtpd_sasl_auth_enable = yes\nsmtpd_tls_auth_only = $unknown", 0),
        ("smtpd_sasl_auth_enable = yes\nsmtpd_tls_security_level = encrypt", 0),
        ("smtpd_tls_auth_only = no\nsmtpd_tls_security_level = encrypt", 0),
        ("smtpd_sasl_auth_enable = no", 0),
    ],
)
def test_settings_of_postfix(text: str, count: int):
    assert len(said("/etc/postfix/main.cf", text + "\n")) == count


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("allowplaintext: 1", 1), ("imap_allowplaintext: on", 1), ("AllowPlainText: t", 1),
        ("allowplaintext: no", 0), ("xallowplaintext: yes", 0), ("allowplaintext: off", 0),
    ],
)  # fmt: skip
def test_options_of_cyrus(text: str, count: int):
    assert len(said("/etc/imapd.conf", text + "\n")) == count


@pytest.mark.parametrize(
    ("service", "count"),
    [
        ('cmd="imapd -p 2" listen="imap"', 1), ('cmd="imapd -p128" listen="0.0.0.0:imap"', 1),
        ('cmd="imapd -p 1" listen="imap"', 0), ('cmd="imapd -p x" listen="imap"', 0),
        ('cmd="imapd -p 2" listen="127.0.0.1:1143"', 0), ('cmd="imapd -p 2" listen="/run/x"', 0),
        ('cmd="imapd -p 2" listen="[::1]:1143"', 0), ('cmd="imapd -p" listen="imap"', 0),
        ('cmd="imapd -p ' + "9" * 5000 + '" listen="imap"', 0), ("prefork=0", 0),
    ],
)  # fmt: skip
def test_services_of_cyrus(service: str, count: int):
    assert len(said("/etc/cyrus.conf", f"SERVICES {{\n  imap {service}\n}}\n")) == count


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("IMAP_TLS_REQUIRED=0", 1), ("POP3_TLS_REQUIRED=''", 1), ("IMAP_TLS_REQUIRED=1", 0),
        ("IMAP_TLS_REQUIRED=$X", 0), ("IMAP_TLS_REQUIRED=0\nIMAP_TLS_REQUIRED=1", 0), ("X=0", 0),
    ],
)  # fmt: skip
def test_variables_of_courier(line: str, count: int):
    assert len(said("/etc/courier/imapd-ssl", line + "\n")) == count


@pytest.mark.parametrize(
    ("path", "text", "count"),
    [
        ("exim4.conf.localmacros", "AUTH_SERVER_ALLOW_NOTLS_PASSWORDS = false", 1),
        ("exim4.conf.localmacros", "# AUTH_SERVER_ALLOW_NOTLS_PASSWORDS = yes", 0),
        ("exim4.conf.template", ".ifndef AUTH_SERVER_ALLOW_NOTLS_PASSWORDS", 0),
        ("exim4/conf.d/main/000_local", "x = y\nAUTH_SERVER_ALLOW_NOTLS_PASSWORDS=1", 1),
        ("exim4/conf.d/auth/x", "AUTH_SERVER_ALLOW_NOTLS_PASSWORDS=1", 0),
    ],
)
def test_macros_of_exim(path: str, text: str, count: int):
    assert len(said(f"/etc/{path}", text + "\n")) == count


@pytest.mark.parametrize(
    ("command", "count"),
    [
        ("/usr/sbin/dovecot -F -o disable_plaintext_auth=no", 1),
        ("-/usr/sbin/dovecot -oauth_allow_cleartext=yes", 1),
        ("/usr/sbin/dovecot -F", 0),
        ("/usr/bin/socat TCP-LISTEN:110,fork,reuseaddr TCP:192.0.2.7:110", 1),
        ("/usr/bin/socat TCP4-L:143,bind=0.0.0.0 EXEC:x", 1),
        ("/usr/bin/socat TCP6-LISTEN:143,bind=[::1],fork EXEC:x", 0),
        ("/usr/bin/socat OPENSSL-LISTEN:110,fork TCP:x:110", 0),
        ("/usr/bin/ncat -l 109 --exec /x", 1),
        ("/usr/bin/ncat --ssl -l 109", 0),
        ("/usr/bin/ncat -l 127.0.0.1 109", 0),
        ("/usr/bin/ncat mail.example 109", 0),
        ('/usr/sbin/dovecot "open', 0),
    ],
)
def test_commands_of_a_service_unit(command: str, count: int):
    assert len(said("mail.service", f"[Service]\nExecStart={command}\n")) == count


@pytest.mark.parametrize(
    ("more", "count"),
    [
        ("", 1), ("Restart=no\n", 1), ("Restart=always\n", 0), ("Restart=always\nRestart=\n", 1),
        ("Type=oneshot\n", 0),
    ],
)  # fmt: skip
def test_a_unit_of_stunnel_starts_it_again(more: str, count: int):
    text = f"[Service]\nExecStart=/usr/bin/stunnel4 x\nLimitNOFILE=4096\n{more}"
    assert len(said("x.service", text)) == count


@pytest.mark.parametrize(
    ("more", "count"),
    [
        ("", 1), ("LimitNOFILE=1024\n", 1), ("LimitNOFILE=1024:524288\n", 1),
        ("LimitNOFILE=65536\n", 0), ("LimitNOFILE=4096:65536\n", 0), ("LimitNOFILE=infinity\n", 0),
        ("LimitNOFILE=65536\nLimitNOFILE=256\n", 1), ("LimitNOFILE=%x\n", 0),
        ("LimitNOFILE=" + "9" * 5000 + "\n", 0), ("Type=oneshot\n", 0),
    ],
)  # fmt: skip
def test_a_unit_of_stunnel_has_files_for_its_clients(more: str, count: int):
    text = f"[Service]\nExecStart=/usr/bin/stunnel4 x\nRestart=always\n{more}"
    assert len(said("x.service", text)) == count
    assert not said("x.service", text.replace("stunnel4", "exim4"))


@pytest.mark.parametrize(
    ("line", "count"),
    [("ENABLED=0", 1), ("ENABLED=1", 1), ("#ENABLED=1", 0), ('OPTIONS=""', 0), ("ENABLED=$X", 1)],
)
def test_variables_of_debians_stunnel(line: str, count: int):
    assert len(said("/etc/default/stunnel4", line + "\n")) == count


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("inetd.conf", " # indented\npop2 stream\n"),
        ("/etc/xinetd.d/mail", "service pop3\n"),
        ("mail.socket", "[Socket\n"),
        ("dovecot.conf", "what\n"),
        ("master.cf", "smtp inet\n"),
        ("main.cf", "hello\n"),
        ("imapd.conf", "hello\n"),
        ("cyrus.conf", "hello\n"),
        ("courier/imapd-ssl", "$(x)\n"),
        ("mail.service", "[Service\n"),
    ],
)
def test_what_cannot_be_read_is_not_clean(path: str, text: str):
    assert lint(path, text.encode()).unread.startswith("line 1: ")
