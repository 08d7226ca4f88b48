"""Both ways to search find the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.system.search import FindAll, by_library, plainly

FAST = by_library()
FEW = st.lists(st.sampled_from([b"a", b"b", b"\0", b"\n"])).map(b"".join)


@given(
    FEW,
    st.sampled_from([b"a", b"ab", b"aa", b"\0b", b"abab", b"a\0"]),
    st.integers(0, 9),
    st.integers(0, 99),
)
def test_the_library_finds_what_the_language_finds(
    data: bytes, literal: bytes, start: int, stop: int
):
    stop = min(stop, len(data))
    start = min(start, stop)
    assert FAST(data, start, stop, literal) == plainly(data, start, stop, literal)


@pytest.mark.parametrize("find", [plainly, FAST])
def test_nothing_behind_the_end_is_found(find: FindAll):
    assert find(b"x: y: z: ", 0, 5, b": ") == [1]
    assert find(b"x: ", 1, 3, b": ") == [1]
    assert find(b"x: ", 0, 2, b": ") == []
    assert find(b"", 0, 0, b": ") == []


def test_this_machine_has_the_fast_one():
    assert FAST is not plainly
