"""What is written twice does the same twice."""

import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.capture import past
from mailseal.protocols.recognise import PORTS
from tests.capture import make
from tests.capture.test_frames import WRAPPED, other

FRAMES = [data for link, data in WRAPPED.values() if link == 1]
OTHERS = [
    make.ethernet(make.ipv4("192.0.2.1", "192.0.2.2", other(443))),
    make.ethernet(make.ipv6("2001:db8::1", "2001:db8::2", other(443))),
    make.ethernet(make.ipv6("2001:db8::1", "2001:db8::2", bytes(30), following=17)),
]
TABLE = past.ports(PORTS)
NUMBERS = past.bits([0], past.INTERFACES)
BUILT = pytest.mark.skipif(
    past.pcap is past.python_pcap and not shutil.which("cc"),
    reason="the part in C was not built: no compiler here",
)


@BUILT
def test_it_was_built():
    """Where there is a compiler; otherwise all tests of captures would be of the other part."""
    assert past.pcap is not past.python_pcap
    assert past.pcapng is not past.python_pcapng


@BUILT
@given(
    st.lists(st.sampled_from([*OTHERS, *OTHERS, *FRAMES]), max_size=8),
    st.binary(max_size=60),
    st.booleans(),
    st.integers(0, 400),
    st.integers(0, 100),
)
def test_both_pass_the_same(frames, noise: bytes, big: bool, at: int, cut: int):
    """Over whole records, from their beginning or anywhere, with noise behind and cut short."""
    order = ">" if big else "<"
    file, blocks = make.pcap(frames, order)[24:], make.pcapng(frames, order)[48:]
    for data, begin in ((file, 0), (blocks, 0), (file, at), (blocks, at), (noise + file, 0)):
        whole = data[: len(data) - cut] + noise
        padded, end = whole + bytes(past.SLACK), len(whole)
        for kind in (12, 14):
            arguments = (padded, min(begin, end), end, kind, big, TABLE)
            assert past.pcap(*arguments) == past.python_pcap(*arguments)
            found = past.pcapng(*arguments, NUMBERS)
            assert found == past.python_pcapng(*arguments, NUMBERS)


@BUILT
@pytest.mark.parametrize(
    "arguments",
    [
        (bytes(100), 0, 100, 12, False, TABLE),
        (bytes(100), -1, 20, 12, False, TABLE),
        (bytes(100), 0, 20, 99, False, TABLE),
        (bytes(100), 0, 20, 12, False, TABLE[:-1]),
        (b"", 0, 0, 12, False, TABLE),
    ],
)
def test_promises_that_are_not_kept_are_refused(
    arguments: tuple[bytes, int, int, int, bool, bytes],
):
    with pytest.raises(ValueError, match="not as large as was said"):
        past.pcap(*arguments)
    with pytest.raises(ValueError, match="not as large as was said"):
        past.pcapng(*arguments, NUMBERS)


@BUILT
def test_a_table_of_interfaces_that_is_too_short_is_refused():
    with pytest.raises(ValueError, match="not as large as was said"):
        past.pcapng(bytes(200), 0, 100, 12, False, TABLE, b"\xff")
