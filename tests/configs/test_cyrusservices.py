"""cyrus.conf: what its master starts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.configs import cyrusservices
from mailseal.configs.text import Malformed
from tests.configs.common import check_laws, files

SAMPLE = b"""\
# Cyrus
START { # first
  recover  cmd="ctl_cyrusdb -r"
}
SERVICES {
\timap\tcmd="imapd -U 30" Listen="imap" prefork=0
#\tpop3 cmd="pop3d" listen="pop3"
  lmtp cmd=lmtpd listen="/run/lmtp"
}
"""
tokens = st.sampled_from(
    [b"SERVICES {\n", b"}\n", b"a b=c", b' d="e f"', b"#", b"\n", b'"', b"=", b" ", b"\0"]
)


@given(st.one_of(files, st.lists(tokens, max_size=30).map(b"".join)))
def test_no_byte_is_lost(data):
    check_laws(cyrusservices.parse(data), data)


def test_services_are_those_of_their_section():
    document = cyrusservices.parse(SAMPLE)
    assert document.malformed == ()
    assert [
        (each.name.text, each.value("cmd"), each.value("listen")) for each in document.services
    ] == [("imap", "imapd -U 30", "imap"), ("lmtp", "lmtpd", "/run/lmtp")]
    place = document.services[0].values["cmd"].span
    assert SAMPLE[place.start : place.end] == b"imapd -U 30"


@pytest.mark.parametrize("line", [b"a b=c", b"}", b"SERVICES"])
def test_what_stands_in_no_section(line: bytes):
    (item,) = cyrusservices.parse(line).items
    assert isinstance(item, Malformed)


@pytest.mark.parametrize("line", [b'a b="c', b"a b", b"a =c", b"a b=c d", b"SERVICES {"])
def test_what_no_line_of_a_section_is(line: bytes):
    assert cyrusservices.parse(b"SERVICES {\n" + line + b"\n}\n").malformed
