"""fail2ban's jails: which are on, by which line, and what they watch."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.configs.fail2ban import LOCAL, MAIN, Jail, jails, ordered

DISTRIBUTED = b"""\
# Comments; [not a section]
[INCLUDES]
before = paths-debian.conf
[DEFAULT]
enabled = false
filter = %(__name__)s
port = 0:65535
logpath = /var/log/a
  /var/log/b
[dovecot]
port    = pop3,pop3s,imap,imaps,submission,465,sieve
logpath = %(dovecot_log)s
[courier-auth]
port = smtp, 465 imap
"""


def test_a_jail_is_on_where_the_last_word_says_so():
    local = b"[dovecot]\nenabled = true   ; since May\nfilter = dovecot[mode=aggressive]\n"
    ports = ("pop3", "pop3s", "imap", "imaps", "submission", "465", "sieve")
    found = jails([(MAIN, DISTRIBUTED), (LOCAL, local)])
    assert found == (Jail("dovecot", LOCAL, 2, ports, "dovecot"),)
    assert jails([(MAIN, DISTRIBUTED), (LOCAL, local + b"enabled: no\n")]) == ()


def test_what_a_jail_does_not_say_is_the_default():
    found = jails([(MAIN, DISTRIBUTED), (LOCAL, b"[DEFAULT]\nenabled = 1\n[mine]\nx = y\n")])
    assert [each.name for each in found] == ["INCLUDES", "courier-auth", "dovecot", "mine"]
    assert found[-1] == Jail("mine", LOCAL, 2, ("0:65535",), "mine")
    assert found[1].ports == ("smtp", "465", "imap")


def test_the_order_in_which_files_count():
    directory = "/etc/fail2ban/jail.d/"
    names = [LOCAL, directory + "b.local", directory + "b.conf", MAIN, directory + "a.conf"]
    assert ordered([*names, directory + "a.conf.bak", "/etc/inetd.conf"]) == [
        *(MAIN, directory + "a.conf", directory + "b.conf"),
        *(LOCAL, directory + "b.local"),
    ]


@given(st.binary(max_size=400))
def test_no_octets_are_too_strange(data: bytes):
    jails([(MAIN, b"[a]\nenabled = true\n" + data), (LOCAL, data)])


@pytest.mark.timeout(10)
def test_a_long_file_takes_no_time():
    assert jails([(MAIN, b"a" * 1_000_000), (LOCAL, b"[x\n" * 300_000)]) == ()
