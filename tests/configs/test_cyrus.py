"""imapd.conf: options and includes, and edits that leave all else alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.configs import cyrus
from mailseal.configs.text import Malformed, apply_splices
from tests.configs.common import check_laws, files, unchanged_around

SAMPLE = b"""\
# Cyrus
configdirectory: /var/lib/cyrus
  AllowPlaintext:yes  \t
admins: cyrus \\
root
# a comment that goes on \\
allowplaintext: no
@include: /etc/imapd-local.conf
imap_tls_required: 0
"""
tokens = st.sampled_from(
    [b"a: b\n", b"@include: ", b":", b"\\\n", b"# x", b"\n", b" ", b"imap_a: ", b"\\", b"/x"]
)


@given(st.one_of(files, st.lists(tokens, max_size=30).map(b"".join)))
def test_no_byte_is_lost(data):
    check_laws(cyrus.parse(data), data)


def test_a_file_is_read():
    document = cyrus.parse(SAMPLE)
    assert document.malformed == ()
    assert [(each.name, each.value.text) for each in document.options] == [
        ("configdirectory", "/var/lib/cyrus"),
        ("allowplaintext", "yes"),
        ("admins", "cyrus root"),
        ("imap_tls_required", "0"),
    ]
    assert document.includes == ("/etc/imapd-local.conf",)


@pytest.mark.parametrize(
    "data", [b"hello\n", b"a b: c\n", b"a:\n", b"a: \\", b"a: b\0\n", b": x\n", b"@exclude: x\n"]
)
def test_what_cyrus_does_not_read(data: bytes):
    (item,) = cyrus.parse(data).items
    assert isinstance(item, Malformed)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"a: yes\n", b"a: no\n"),
        (b"A:yes \r\n", b"A:no \r\n"),
        (b"a: ye\\\ns\nb: c\n", b"a: no\nb: c\n"),
        (b"a: no\n", b"a: no\n"),
    ],
)
def test_a_value_is_changed_where_it_stands(before: bytes, after: bytes):
    document = cyrus.parse(before)
    splices = cyrus.set_value(document, document.options[0], "no")
    assert apply_splices(before, splices) == after
    assert cyrus.parse(after).options[0].value.text == "no"


@pytest.mark.parametrize("data", [SAMPLE, b"", b"a: b"])
def test_options_are_added_at_the_end(data: bytes):
    splices = cyrus.add(cyrus.parse(data), (("pop3_allowplaintext", "no"), ("x", "1")))
    changed = apply_splices(data, splices)
    assert changed.endswith(b"pop3_allowplaintext: no\nx: 1\n")
    assert unchanged_around(splices, data, changed)
    assert [each.name for each in cyrus.parse(changed).options][-2:] == ["pop3_allowplaintext", "x"]
    with pytest.raises(ValueError, match="one word"):
        cyrus.add(cyrus.parse(data), (("a", "b c"),))


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "data",
    [b"a" * 100_000, b"a:" + b" " * 100_000, b"a: \\\n" * 40_000],
    ids=["name", "blanks", "lines"],
)
def test_a_hostile_line_takes_no_time(data: bytes):
    assert cyrus.parse(data).data == data
