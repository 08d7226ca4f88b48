"""main.cf: parameters, lines that go on, and what they refer to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.configs import postfixmain
from mailseal.configs.text import Malformed
from tests.configs.common import check_laws, files

SAMPLE = b"""\
# Postfix
smtpd_tls_auth_only = no
mynetworks = 127.0.0.0/8
  # in between
\t[::1]/128

smtpd_tls_auth_only=yes
empty =
"""
tokens = st.sampled_from([b"a = b\n", b" c\n", b"#x\n", b" # x\n", b"=", b"$a", b"\n", b"\0", b"a"])


@given(st.one_of(files, st.lists(tokens, max_size=30).map(b"".join)))
def test_no_byte_is_lost(data):
    check_laws(postfixmain.parse(data), data)


def test_the_last_setting_counts_and_lines_go_on():
    document = postfixmain.parse(SAMPLE)
    assert document.malformed == ()
    assert {name: each.value.text for name, each in document.last.items()} == {
        "smtpd_tls_auth_only": "yes",
        "mynetworks": "127.0.0.0/8 [::1]/128",
        "empty": "",
    }
    place = document.last["smtpd_tls_auth_only"].value.span
    assert (place.line, place.column, SAMPLE[place.start : place.end]) == (7, 21, b"yes")


@pytest.mark.parametrize("data", [b" a = b\n", b"hello\n", b"= b\n", b"a = b\0\n"])
def test_what_postfix_does_not_read(data: bytes):
    (item,) = postfixmain.parse(data).items
    assert isinstance(item, Malformed)


@pytest.mark.parametrize(
    ("value", "after"),
    [
        ("$a", "yes"), ("${a}", "yes"), ("$(a)", "yes"), ("$b", "yes"), ("x$a y", "xyes y"),
        ("$none", "$none"), ("$loop", "$loop"), ("$", "$"),
    ],
)  # fmt: skip
def test_references_are_followed_and_end(value: str, after: str):
    settings = {"a": "yes", "b": "$a", "loop": "$loop"}
    assert postfixmain.expanded(settings, value) == after


def test_references_do_not_grow_without_end():
    settings = {"a": "$a$a$a$a"}
    assert len(postfixmain.expanded(settings, "$a")) <= 10_000
