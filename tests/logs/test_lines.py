"""Lines with a literal in them; what is written twice does the same twice."""

import shutil
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailseal.logs.lines import Lines, lines, python_lines

BUILT = pytest.mark.skipif(
    lines is python_lines and not shutil.which("cc"),
    reason="the part in C was not built: no compiler here",
)
BOTH = pytest.mark.parametrize("find", [python_lines, pytest.param(lines, marks=BUILT)])
WORDS = st.sampled_from([b"a", b"ab", b"ip=[", b"login: ", b" ", b"\x00", b"\xff\xfe"])


@BUILT
def test_it_was_built():
    assert lines is not python_lines


@BOTH
def test_each_line_is_found_once_and_in_order(find: Lines):
    text = b"one\nuser=a, ip=[192.0.2.1], ip=[x]\n\nlogin: ip=[\ntwo\n"
    found = find(text, 0, len(text), (b"login: ", b"ip=["), b"\n")
    assert [text[start:end] for start, end in found] == [
        b"user=a, ip=[192.0.2.1], ip=[x]",
        b"login: ip=[",
    ]


@BOTH
def test_only_what_lies_between_is_looked_at(find: Lines):
    text = b"x\nab\nab"
    assert find(text, 2, 5, (b"ab",), b"\n") == [(2, 4)]
    assert find(text, 2, 3, (b"ab",), b"\n") == []
    assert find(text, 5, 7, (b"ab",), b"\n") == [(5, 7)]


@BUILT
@given(
    st.lists(st.one_of(WORDS, st.just(b"\n"), st.binary(max_size=90)), max_size=40),
    st.lists(st.one_of(WORDS, st.binary(min_size=1, max_size=70)), max_size=4),
    st.sampled_from([b"\n", b"\n\n"]),
    st.integers(0, 200),
    st.integers(0, 200),
)
@example([b"a"] * 256 + [b"ab"], [b"ab"], b"\n", 0, 0)
@example([b"c"] * 255 + [b"ab"] + [b"c"] * 300, [b"ab"], b"\n", 0, 0)
@example([b"c"] * 257 + [b"\nab\n"] + [b"c"] * 600 + [b"ip=["], [b"ab", b"ip=["], b"\n", 0, 0)
def test_both_find_the_same(
    parts: list[bytes], literals: list[bytes], separator: bytes, start: int, cut: int
):
    text = b"".join(parts)
    start, end = min(start, len(text)), max(len(text) - cut, min(start, len(text)))
    arguments = (text, start, end, tuple(literals), separator)
    assert lines(*arguments) == python_lines(*arguments)


@BUILT
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((b"abc", 0, 4, (b"a",), b"\n"), "not as large"),
        ((b"abc", -1, 2, (b"a",), b"\n"), "not as large"),
        ((b"abc", 2, 1, (b"a",), b"\n"), "not as large"),
        ((b"abc", 0, 3, (b"a",) * 300, b"\n"), "not as large"),
        ((b"abc", 0, 3, (b"",), b"\n"), "an empty literal"),
        ((b"abc", 0, 3, (b"a",), b""), "an empty literal"),
    ],
)
def test_promises_that_are_not_kept_are_refused(
    arguments: tuple[bytes, int, int, tuple[bytes, ...], bytes], says: str
):
    with pytest.raises(ValueError, match=says):
        lines(*arguments)


@BUILT
@pytest.mark.parametrize(
    "arguments",
    [
        ("abc", 0, 3, (b"a",), b"\n"),
        (b"abc", 0, 3, ("a",), b"\n"),
        (b"abc", 0, 3, (b"a",), "\n"),
        (b"abc", 0, 3, [b"a"], b"\n"),
    ],
)
def test_other_things_than_octets_are_refused(arguments: Any):
    with pytest.raises((TypeError, SystemError)):
        lines(*arguments)
