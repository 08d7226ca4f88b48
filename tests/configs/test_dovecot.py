"""dovecot.conf: settings in sections, includes, and edits that leave all else alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.configs import dovecot
from mailseal.configs.dovecot import Begin, Include, Setting
from mailseal.configs.text import Malformed, apply_splices
from tests.configs.common import check_laws, files, unchanged_around

SAMPLE = b"""\
# Dovecot
!include_try /usr/share/dovecot/protocols.d/*.protocol
listen = *, ::   # all of them
ssl_cert = </etc/ssl/mail.pem
login_greeting = "a # b"
protocol imap {
  ssl=yes
  mail_plugins = $mail_plugins \\
    imap_quota
}
local 192.0.2.1 {
  protocol "pop3" {
    ssl = no
  }
}
!include conf.d/*.conf
"""
tokens = st.sampled_from(
    [b"protocol imap {\n", b"}\n", b"ssl = no\n", b"# x\n", b" \\\n", b'"', b"!include a\n", b" #"]
)


@given(st.one_of(files, st.lists(tokens, max_size=30).map(b"".join)))
def test_no_byte_is_lost(data):
    check_laws(dovecot.parse(data), data)


def test_a_file_is_read():
    document = dovecot.parse(SAMPLE)
    assert document.malformed == ()
    settings = [
        (sections, item.key.text, " ".join(item.value.text.split()))
        for sections, item in dovecot.nested(document)
        if isinstance(item, Setting)
    ]
    assert settings == [
        ((), "listen", "*, ::"),
        ((), "ssl_cert", "</etc/ssl/mail.pem"),
        ((), "login_greeting", "a # b"),
        ((("protocol", "imap"),), "ssl", "yes"),
        ((("protocol", "imap"),), "mail_plugins", "$mail_plugins imap_quota"),
        ((("local", "192.0.2.1"), ("protocol", "pop3")), "ssl", "no"),
    ]
    includes = [item for item in document.items if isinstance(item, Include)]
    assert [(each.pattern, each.must) for each in includes] == [
        ("/usr/share/dovecot/protocols.d/*.protocol", False),
        ("conf.d/*.conf", True),
    ]


def test_sections_have_a_kind_and_sometimes_a_name():
    document = dovecot.parse(b"protocols {\n}\nlocal_name a.example b.example {\n}\npassdb {\n}\n")
    found = [(item.kind, item.name) for item in document.items if isinstance(item, Begin)]
    assert found == [("protocols", ""), ("local_name", "a.example b.example"), ("passdb", "")]


@pytest.mark.parametrize("data", [b"hello\n", b"ssl = \0\n", b"= x\n", b"a b c\n", b"ssl = no \\"])
def test_what_dovecot_does_not_read(data: bytes):
    (item,) = dovecot.parse(data).items
    assert isinstance(item, Malformed)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"ssl = yes # why\n", b"ssl = required # why\n"),
        (b'ssl="yes"\n', b"ssl=required\n"),
        (b"\tssl =\n", b"\tssl = required\n"),
        (b"ssl = required\n", b"ssl = required\n"),
    ],
)
def test_a_value_is_changed_and_its_comment_stays(before: bytes, after: bytes):
    document = dovecot.parse(before)
    (setting,) = document.items
    assert isinstance(setting, Setting)
    assert apply_splices(before, dovecot.set_value(document, setting, "required")) == after


@pytest.mark.parametrize("data", [SAMPLE, b"", b"ssl = yes"])
def test_a_section_is_added_at_the_end(data: bytes):
    document = dovecot.parse(data)
    lines = dovecot.section("protocol", "imap", (("ssl", "required"),))
    splices = dovecot.add_lines(document, lines)
    changed = apply_splices(data, splices)
    assert changed.endswith(b"protocol imap {\n  ssl = required\n}\n")
    assert unchanged_around(splices, data, changed)
    with pytest.raises(ValueError, match="one word"):
        dovecot.section("protocol", "imap {", ())


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "data",
    [b"a" + b" " * 100_000 + b"b", b"\"a' " * 50_000, b"a \\\n" * 40_000],
    ids=lambda data: str(len(data)),
)
def test_a_hostile_line_takes_no_time(data: bytes):
    assert dovecot.parse(data).data == data
