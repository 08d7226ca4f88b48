"""Exim's main section: options with their conditions, and edits that leave all else alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.configs import exim
from mailseal.configs.exim import Include, Option, Sections
from mailseal.configs.text import Malformed, apply_splices
from tests.configs.common import check_laws, files, unchanged_around

SAMPLE = b"""\
# Exim
MAIN_TLS_ENABLE = yes
primary_hostname=mail.example
hostlist relay = 192.0.2.0/24
.ifdef MAIN_TLS_ENABLE
  tls_advertise_hosts = * : \\
    # between
    !192.0.2.1
.else
log_selector = +pid
.endif
hide mysql_servers = x/y/z
no_message_logs
.include_if_exists /etc/exim4/local
begin acl
auth_advertise_hosts = of another section
"""
tokens = st.sampled_from(
    [b"a = b\n", b".ifdef X\n", b".endif\n", b"\\\n", b"# x", b"\n", b" ", b"begin acl\n", b"\\"]
)


@given(st.one_of(files, st.lists(tokens, max_size=30).map(b"".join)))
def test_no_byte_is_lost(data):
    check_laws(exim.parse(data), data)


def test_a_file_is_read():
    document = exim.parse(SAMPLE)
    assert document.malformed == ()
    options = [item for item in document.items if isinstance(item, Option)]
    assert [(each.name, each.depth) for each in options] == [
        ("primary_hostname", 0),
        ("tls_advertise_hosts", 1),
        ("log_selector", 1),
        ("mysql_servers", 0),
    ]
    assert [each.value.text for each in options][::3] == ["mail.example", "x/y/z"]
    assert options[1].value.text.endswith("!192.0.2.1")
    assert [each.path for each in document.items if isinstance(each, Include)] == [
        "/etc/exim4/local"
    ]
    assert isinstance(document.items[-1], Sections)
    assert SAMPLE[document.end :].startswith(b"begin acl\n")


def test_a_nul_is_told():
    (item,) = exim.parse(b"a = \0\n").items
    assert isinstance(item, Malformed)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"a = b # c\n", b"a = ${if x {*}{}}\n"),
        (b"a=\nbegin acl\n", b"a=${if x {*}{}}\nbegin acl\n"),
        (b"a = b : \\\n  c\nd = e\n", b"a = ${if x {*}{}}\nd = e\n"),
        (b"d = e\nbegin acl\na = b\n", b"d = e\na = ${if x {*}{}}\nbegin acl\na = b\n"),
        (b"d = e", b"d = e\na = ${if x {*}{}}\n"),
        (b"", b"a = ${if x {*}{}}\n"),
        (b"a = ${if x {*}{}}\n", b"a = ${if x {*}{}}\n"),
    ],
)
def test_an_option_is_changed_where_it_stands_or_added(before: bytes, after: bytes):
    splices = exim.set_option(exim.parse(before), "a", "${if x {*}{}}")
    assert apply_splices(before, splices) == after
    assert before == after or unchanged_around(splices, before, after)
    assert exim.parse(after).options("a")[0].value.text == "${if x {*}{}}"


@pytest.mark.parametrize(
    ("data", "value"), [(b"a = b\na = c\n", "x"), (b"", "x\\"), (b"", '"x"'), (b"", "x\ny")]
)
def test_what_cannot_be_set(data: bytes, value: str):
    with pytest.raises(ValueError, match=r"plain value|line end"):
        exim.set_option(exim.parse(data), "a", value)


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "data",
    [b"a" * 100_000, b"a =" + b" " * 100_000, b"a = \\\n" * 40_000, b"hide " * 30_000],
    ids=["name", "blanks", "lines", "words"],
)
def test_a_hostile_line_takes_no_time(data: bytes):
    assert exim.parse(data).data == data
