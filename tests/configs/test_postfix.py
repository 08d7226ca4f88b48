"""master.cf: the syntax of master(5), and settings of one service."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.configs import postfix
from mailseal.configs.text import Malformed, apply_splices
from tests.configs.common import check_laws, files, unchanged_around

SAMPLE = b"""\
# a comment
smtp      inet  n       -       y       -       -       smtpd
submission inet n       -       y       -       -       smtpd
  -o syslog_name=postfix/submission
# between
  -o { smtpd_tls_auth_only = no } -o smtpd_client_restrictions=

  -osmtpd_tls_security_level=encrypt
# behind
[2001:db8::1]:2525 inet n - n - - smtpd -v
pickup    unix  n       -       y       60      1       pickup
"""
PORTS = {"smtp": 25, "submission": 587}
tokens = st.sampled_from(
    [b"smtp inet n - y - - smtpd", b"\n", b"  ", b"-o ", b"a=b", b"{ a = b }", b"{", b"}", b"#x"]
)


@given(st.one_of(files, st.lists(tokens, max_size=30).map(b"".join)))
def test_no_byte_is_lost(data):
    check_laws(postfix.parse(data), data)


def test_a_file_is_read():
    document = postfix.parse(SAMPLE)
    assert document.malformed == ()
    assert [(each.host, each.port(PORTS), each.command) for each in document.services] == [
        ("", 25, "smtpd"),
        ("", 587, "smtpd"),
        ("2001:db8::1", 2525, "smtpd"),
        ("", None, "pickup"),
    ]
    submission = document.services[1]
    assert [(each.name, each.value.text) for each in submission.overrides] == [
        ("syslog_name", "postfix/submission"),
        ("smtpd_tls_auth_only", "no"),
        ("smtpd_client_restrictions", ""),
        ("smtpd_tls_security_level", "encrypt"),
    ]


def test_the_last_setting_of_a_service_counts():
    data = b"25 inet n - n - - smtpd -o a=b\n -o a=c\n"
    found = postfix.parse(data).services[0].override("a")
    assert found is not None
    assert found.value.text == "c"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"  -o a=b\n", "continues no service"),
        (b"smtp inet n - y - -\n", "7 words"),
        (b"smtp inet n - y - - smtpd -o { a =\n  b }\n", "braces"),
        (b"smtp inet n - y - - smtpd \0\n", "NUL"),
    ],
)
def test_what_postfix_or_we_cannot_read(data: bytes, reason: str):
    (item,) = postfix.parse(data).items
    assert isinstance(item, Malformed)
    assert reason in item.reason


@pytest.mark.parametrize(
    ("at", "new"),
    [
        (0, b"smtpd\n  -o smtpd_tls_auth_only=yes\nsubmission"),
        (1, b"{ smtpd_tls_auth_only = yes }"),
        (2, b"smtpd -v\n  -o smtpd_tls_auth_only=yes\npickup"),
    ],
)
def test_a_setting_of_one_service_is_changed_or_added(at: int, new: bytes):
    document = postfix.parse(SAMPLE)
    splices = postfix.set_override(document, document.services[at], "smtpd_tls_auth_only", "yes")
    changed = apply_splices(SAMPLE, splices)
    assert new in changed
    assert unchanged_around(splices, SAMPLE, changed)
    again = postfix.parse(changed)
    found = again.services[at].override("smtpd_tls_auth_only")
    assert found is not None
    assert found.value.text == "yes"
    assert postfix.set_override(again, again.services[at], "smtpd_tls_auth_only", "yes") == ()


def test_a_file_without_a_last_line_end_takes_a_line():
    data = b"25 inet n - n - - smtpd"
    document = postfix.parse(data)
    splices = postfix.set_override(document, document.services[0], "a", "b")
    assert apply_splices(data, splices) == data + b"\n  -o a=b\n"


def test_no_value_makes_two():
    document = postfix.parse(SAMPLE)
    with pytest.raises(ValueError, match="one word"):
        postfix.set_override(document, document.services[0], "a", "b c")


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "data",
    [b"a b c d e f g h -o {a =" + b" " * 100_000 + b"}", b"-o " * 50_000],
    ids=lambda data: str(len(data)),
)
def test_a_hostile_line_takes_no_time(data: bytes):
    assert postfix.parse(data).data == data
