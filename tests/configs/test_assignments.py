"""Files of shell variables: what is one plain assignment, and what only a shell knows."""

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.configs import assignments
from mailseal.configs.assignments import Assignment
from mailseal.configs.text import Malformed, apply_splices
from tests.configs.common import check_laws, files, unchanged_around

SAMPLE = b"""\
##VERSION: $Id$
# a comment
PORT=143,10143
  TLS_CERTFILE="/etc/ssl/mail.pem" # whose
IMAP_CAPABILITY='IMAP4rev1 IDLE'
export EMPTY=
IMAP_CAPABILITY_TLS="$IMAP_CAPABILITY AUTH=PLAIN"
PORT=993
NAME=a"b c"'d'
"""
tokens = st.sampled_from(
    [b"A=", b"B='", b'"', b"'", b"$", b"${A}", b"$A", b"x", b" ", b"\n", b"#", b"\\", b"`", b";"]
)


@given(st.one_of(files, st.lists(tokens, max_size=30).map(b"".join)))
def test_no_byte_is_lost(data):
    check_laws(assignments.parse(data), data)


def test_a_file_is_read():
    document = assignments.parse(SAMPLE)
    assert document.malformed == ()
    assert {name: each.value.text for name, each in document.last.items() if not each.refers} == {
        "PORT": "993",
        "TLS_CERTFILE": "/etc/ssl/mail.pem",
        "IMAP_CAPABILITY": "IMAP4rev1 IDLE",
        "EMPTY": "",
        "NAME": "ab cd",
    }
    assert document.value("PORT") == "993"
    assert document.value("IMAP_CAPABILITY_TLS") is None
    assert document.value("NOTHING") is None


@pytest.mark.parametrize(
    "line",
    [
        b"A=1; B=2",
        b"A=1 command",
        b"A=$(date)",
        b"A=`date`",
        b'A="$(date)"',
        b"A=${B:-x}",
        b'A="${B:-x}"',
        b"A='open",
        b"A=1\\",
        b"A=1\r",
        b"A = 1",
        b". /etc/more",
        b"if true; then",
        b"A=\0",
        b"set -a",
    ],
)
def test_what_only_a_shell_knows(line: bytes):
    (item,) = assignments.parse(line + b"\n").items
    assert isinstance(item, Malformed)


words = st.text(st.sampled_from("ab1./:,=-_@ '\"#$~*?!{}"), max_size=12)


@given(words)
def test_what_is_read_is_what_the_shell_reads(word: str):
    """Against sh itself, for each line that counts as an assignment without references."""
    shell = shutil.which("sh")
    assert shell
    (item,) = assignments.parse(f"A={word}".encode()).items
    if not isinstance(item, Assignment) or item.refers:
        return
    script = f'cd / && HOME=/home\nA={word}\nprintf %s. "$A"'
    done = subprocess.run([shell, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == item.value.text + ".", done


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"A=0 # why\n", b"A=1 # why\n"),
        (b"A='0'\n", b"A=1\n"),
        (b"A=1\nA=0\nB=2\n", b"A=1\nA=1\nB=2\n"),
        (b"A=\n", b"A=1\n"),
        (b"B=0", b"B=0\nA=1\n"),
        (b"", b"A=1\n"),
        (b"A=1\n", b"A=1\n"),
    ],
)
def test_the_assignment_that_counts_is_changed(before: bytes, after: bytes):
    splices = assignments.set_value(assignments.parse(before), "A", "1")
    assert apply_splices(before, splices) == after
    assert before == after or unchanged_around(splices, before, after)
    assert assignments.parse(after).value("A") == "1"


def test_no_value_makes_two():
    with pytest.raises(ValueError, match="one word"):
        assignments.set_value(assignments.parse(b""), "A", "1 reboot")


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "data",
    [b"A=" + b"'" * 100_001, b'A="' + b"$A" * 50_000, b"A=1" + b" " * 100_000 + b"x"],
    ids=["quotes", "variables", "blanks"],
)
def test_a_hostile_line_takes_no_time(data: bytes):
    assert assignments.parse(data).data == data
