"""Each daemon's sockets and the lines that ask for them, from configurations as distributions ship
them; and no bytes of a file that make a record raise or run long.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal import daemons
from mailseal.daemons.base import Daemon
from mailseal.model.local import Declared
from mailseal.system.memory import MemorySystem
from mailseal.system.reader import Reader

SERVICES = b"""\
smtp 25/tcp mail
pop3 110/tcp pop-3
imap2 143/tcp imap
submission 587/tcp
imaps 993/tcp
pop3s 995/tcp
sieve 4190/tcp
"""


def record(name: str) -> Daemon:
    return next(each for each in daemons.DAEMONS if each.name == name)


def declared(name: str, files: dict[str, str], *argv: str) -> tuple[Declared, ...]:
    system = MemorySystem()
    system.put("/etc/services", SERVICES)
    for path, content in files.items():
        system.put(path, content.encode())
    reader = Reader(system)
    found = record(name).declares(reader, argv or (name,))
    assert reader.unread == {}
    return found


def lines(found: tuple[Declared, ...]) -> list[tuple[str, int, str, int, str]]:
    """Host, port, file name, line, text."""
    return [
        (d.host, d.port, d.source.file.rpartition("/")[2], d.source.line, d.source.text)
        for d in found
    ]


@pytest.mark.parametrize(
    ("executable", "name"),
    [
        ("/usr/sbin/dovecot", "dovecot"),
        ("/usr/lib/dovecot/imap-login", "dovecot"),
        ("/usr/lib/postfix/sbin/master", "postfix"),
        ("/usr/libexec/postfix/master", "postfix"),
        ("/usr/sbin/exim4", "exim"),
        ("/usr/sbin/exim", "exim"),
        ("/usr/sbin/cyrmaster", "cyrus"),
        ("/usr/libexec/cyrus-imapd/master", "cyrus"),
        ("/usr/sbin/couriertcpd", "courier"),
        ("/usr/sbin/popa3d", "popa3d"),
        ("/usr/sbin/ipop2d", "uw-imap"),
        ("/usr/bin/stunnel4", "stunnel"),
    ],
)
def test_a_daemon_is_known_by_its_program(executable: str, name: str):
    found = daemons.of(executable)
    assert found
    assert found.name == name


@pytest.mark.parametrize("executable", ["", "/usr/sbin/inetd", "/usr/sbin/nginx", "/opt/master"])
def test_what_is_no_mail_daemon(executable: str):
    assert daemons.of(executable) is None


# -- Dovecot ---------------------------------------------------------------------------------------

DEBIAN_DOVECOT = {
    "/etc/dovecot/dovecot.conf": """\
## Dovecot configuration file
# Enable installed protocols
!include_try /usr/share/dovecot/protocols.d/*.protocol
#listen = *, ::
dict {
  #quota = mysql:/etc/dovecot/dovecot-dict-sql.conf.ext
}
!include conf.d/*.conf
!include_try local.conf
""",
    "/usr/share/dovecot/protocols.d/imapd.protocol": "protocols = $protocols imap\n",
    "/usr/share/dovecot/protocols.d/pop3d.protocol": "protocols = $protocols pop3\n",
    "/etc/dovecot/conf.d/10-master.conf": """\
service imap-login {
  inet_listener imap {
    #port = 143
  }
  inet_listener imaps {
    port = 994  # moved
    #ssl = yes
  }
}
service pop3-login {
  inet_listener pop3 {
    port = 0
  }
}
service auth {
  unix_listener auth-userdb {
    mode = 0666
  }
  inet_listener {
    address = 127.0.0.1
    port = 12345
  }
}
""",
}


def test_dovecot_s_protocols_and_listeners():
    imap = ("", 143, "imapd.protocol", 1, "protocols = $protocols imap")
    pop3s = ("", 995, "pop3d.protocol", 1, "protocols = $protocols pop3")
    assert lines(declared("dovecot", DEBIAN_DOVECOT)) == [
        imap,
        ("", 994, "10-master.conf", 6, "port = 994 # moved"),
        pop3s,
        ("127.0.0.1", 12345, "10-master.conf", 21, "port = 12345"),
    ]


def test_a_later_file_of_dovecot_s_counts_more():
    local = "protocols = pop3\nlisten = 192.0.2.10, ::1\n"
    found = lines(declared("dovecot", {**DEBIAN_DOVECOT, "/etc/dovecot/local.conf": local}))
    assert ("192.0.2.10", 995, "local.conf", 1, "protocols = pop3") in found
    assert ("::1", 995, "local.conf", 1, "protocols = pop3") in found
    assert 143 not in {each[1] for each in found}


def test_dovecot_s_defaults_are_told_as_such():
    found = lines(declared("dovecot", {"/x/d.conf": "ssl = yes\n"}, "dovecot", "-c", "/x/d.conf"))
    assert ("", 143, "d.conf", 0, "protocols = imap pop3 lmtp (default)") in found


def test_dovecot_2_4_s_protocols_section():
    conf = "protocols {\n  imap = yes\n  pop3 = no\n}\nlisten = *\n"
    found = lines(declared("dovecot", {"/etc/dovecot/dovecot.conf": conf}))
    assert found[0] == ("0.0.0.0", 143, "dovecot.conf", 2, "imap = yes")
    assert {each[1] for each in found} == {143, 993}


def test_a_dovecot_that_includes_itself_ends():
    system = MemorySystem()
    system.put("/etc/dovecot/dovecot.conf", b"!include *.conf\n!include dovecot.conf\n")
    reader = Reader(system)
    record("dovecot").declares(reader, ("dovecot",))
    assert "included too deep" in reader.unread["/etc/dovecot/dovecot.conf"]


# -- the others ------------------------------------------------------------------------------------


def test_postfix_s_master_cf():
    conf = """\
# service type  private unpriv  chroot  wakeup  maxproc command + args
smtp      inet  n       -       y       -       -       smtpd
#smtps     inet  n       -       y       -       -       smtpd
submission inet n       -       y       -       -       smtpd
  -o syslog_name=postfix/submission
  465 inet n - y - - smtpd
127.0.0.1:10026 inet n - n - - smtpd
[::1]:2525 inet n - n - - smtpd
pickup    unix  n       -       y       60      1       pickup
unknown-name inet n - n - - smtpd
"""
    assert lines(declared("postfix", {"/etc/postfix/master.cf": conf})) == [
        ("", 25, "master.cf", 2, "smtp inet n - y - - smtpd"),
        ("", 587, "master.cf", 4, "submission inet n - y - - smtpd"),
        ("127.0.0.1", 10026, "master.cf", 7, "127.0.0.1:10026 inet n - n - - smtpd"),
        ("::1", 2525, "master.cf", 8, "[::1]:2525 inet n - n - - smtpd"),
    ]


EXIM = "/etc/exim4/exim4.conf"


@pytest.mark.parametrize(
    ("conf", "argv", "expected"),
    [
        ("daemon_smtp_ports = 25 : 587\n", (), [("", 25, 1), ("", 587, 1)]),
        ("daemon_smtp_ports = <; smtp ; 465\n", (), [("", 25, 1), ("", 465, 1)]),
        ("PORTS = 26\ndaemon_smtp_port = PORTS\n", (), [("", 26, 2)]),
        ("\n", (), [("", 25, 0)]),
        ("begin acl\ndaemon_smtp_ports = 99\n", (), [("", 25, 0)]),
        (
            "local_interfaces = <; 127.0.0.1 ; ::1.587 ; [192.0.2.1]:26\n",
            (),
            [("127.0.0.1", 25, 0), ("::1", 587, 1), ("192.0.2.1", 26, 1)],
        ),
        ("local_interfaces = 127.0.0.1 : ::::1\n", (), [("127.0.0.1", 25, 0), ("::1", 25, 0)]),
        ("local_interfaces = <; ::0 ; 0.0.0.0\n", (), [("::", 25, 0), ("0.0.0.0", 25, 0)]),
        ("\n", ("-bd", "-oX", "587:2525"), [("", 587, 2), ("", 2525, 2)]),
        ("\n", ("-bd", "-oX", "192.0.2.1.26"), [("192.0.2.1", 26, 2)]),
    ],
)
def test_exim_s_ports(conf: str, argv: tuple[str, ...], expected: list[tuple[str, int, int]]):
    files = {EXIM: conf, "/etc/default/exim4": "# -oX\nSMTPLISTENEROPTIONS='-oX 587:2525'\n"}
    found = declared("exim", files, "exim4", *argv)
    assert [(each.host, each.port, each.source.line) for each in found] == expected


def test_cyrus_s_services():
    conf = """\
START {
  recover cmd="/usr/sbin/cyrus ctl_cyrusdb -r"
}
SERVICES {
  imap cmd="imapd -U 30" listen="imap" prefork=0 maxchild=100
  # pop3 cmd="pop3d" listen="pop3"
  sieve cmd="timsieved" listen="localhost:sieve" prefork=0
  v6 cmd="imapd" listen=[::1]:1143
  lmtpunix cmd="lmtpd" listen="/run/cyrus/socket/lmtp" prefork=0
}
EVENTS {
  x cmd="x" listen="99"
}
"""
    assert [each[:4] for each in lines(declared("cyrus", {"/etc/cyrus.conf": conf}))] == [
        ("", 143, "cyrus.conf", 5),
        ("localhost", 4190, "cyrus.conf", 7),
        ("::1", 1143, "cyrus.conf", 8),
    ]


def test_courier_s_files():
    files = {
        "/etc/courier/imapd": "ADDRESS=0\nPORT=143\nPORT=143,192.0.2.1.1143\nMAXDAEMONS=40\n",
        "/etc/courier/imapd-ssl": "SSLPORT=993\nSSLADDRESS=127.0.0.1\n",
        "/etc/courier/pop3d": "#PORT=1\nPORT=pop3 # usual\n",
    }
    assert lines(declared("courier", files)) == [
        ("", 143, "imapd", 3, "PORT=143,192.0.2.1.1143"),
        ("192.0.2.1", 1143, "imapd", 3, "PORT=143,192.0.2.1.1143"),
        ("127.0.0.1", 993, "imapd-ssl", 1, "SSLPORT=993"),
        ("", 110, "pop3d", 2, "PORT=pop3 # usual"),
    ]


def test_stunnel_s_accepts():
    conf = "pid =\n[pop2s]\naccept = 109\n[six]\naccept = :::995\n[path]\naccept = /run/x\n"
    path = "/etc/mailseal/pop2.conf"
    assert lines(declared("stunnel", {path: conf}, "stunnel4", path)) == [
        ("0.0.0.0", 109, "pop2.conf", 3, "accept = 109"),
        ("::", 995, "pop2.conf", 5, "accept = :::995"),
    ]


def test_popa3d_has_its_port_compiled_in():
    (found,) = declared("popa3d", {}, "/usr/sbin/popa3d", "-D")
    assert (found.port, found.source.file, found.source.line) == (110, "/usr/sbin/popa3d", 0)


# -- hostile ---------------------------------------------------------------------------------------

FILES = {
    "dovecot": "/etc/dovecot/dovecot.conf",
    "postfix": "/etc/postfix/master.cf",
    "exim": EXIM,
    "cyrus": "/etc/cyrus.conf",
    "courier": "/etc/courier/imapd",
    "stunnel": "/etc/stunnel/x.conf",
}
PIECES = st.sampled_from(
    [b"port = ", b"143", b"99999", b"{", b"}", b"\n", b" ", b"=", b"service imap-login", b"[::1]:",
     b"inet_listener imap {\n", b"protocols = $protocols imap\n", b"!include *.conf\n", b"#", b"A",
     b"SERVICES {\n", b'listen="imap"', b"smtp inet n - y - - smtpd\n", b"daemon_smtp_ports = ",
     b"local_interfaces = ", b"<;", b"PORT=", b"accept = ", b"\0", b"\xff", b":", b".",
     b"A = A A\n"]
)  # fmt: skip


@given(st.sampled_from(sorted(FILES)), st.one_of(st.binary(), st.lists(PIECES).map(b"".join)))
def test_any_bytes_are_read(name: str, data: bytes):
    system = MemorySystem()
    system.put(FILES[name], data)
    for each in record(name).declares(Reader(system), (name,)):
        assert 0 < each.port < 65536
        assert len(each.source.text) <= 400


def test_a_macro_of_exim_s_that_names_itself_ends():
    conf = "A = A A A A A A A A\ndaemon_smtp_ports = A\n"
    assert declared("exim", {EXIM: conf}) == ()
