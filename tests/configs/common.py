"""What the tests of every format share: generators of hostile files, and the laws of a document."""

from collections.abc import Sequence

from hypothesis import strategies as st

from mailseal.configs.text import Document, Item, Splice, Trivia

# Pieces that mean something to some parser; random bytes alone would seldom reach past "malformed".
TOKENS = (
    b"\n", b"\r\n", b"\r", b"\0", b"\t", b"  ", b"=", b" = ", b" += ", b" -= ", b"[", b"]",
    b"{\n", b"}\n", b"#", b";", b"\\", b"\\\n", b"\xff", b"\xc3\xa9", b"\xef\xbb\xbf", b":",
    b'"', b"'", b"service pop2\n", b"defaults\n", b"includedir /etc/xinetd.d\n",
    b"\tdisable = no\n", b"[pop2]\n", b"accept = 109\n", b"ExecStart=/bin/a \\\n b\n",
    b"127.0.0.1:", b"pop2 stream tcp nowait root /x", b"\n\t", b"stream", b"word",
    b"[Service]\n", b"\x0b", b"\x0c",
)  # fmt: skip
files = st.one_of(
    st.binary(max_size=200),
    st.lists(st.one_of(st.sampled_from(TOKENS), st.binary(max_size=3)), max_size=30).map(b"".join),
)


def check_laws(document: Document[Item], data: bytes) -> None:
    """No byte is lost, positions are true, and no two neighbours are trivia."""
    assert document.data == data
    assert b"".join(document.pieces) == data
    at = 0
    for item in document.items:
        assert item.span.start == at
        assert item.span.end >= at
        at = item.span.end
    assert at == len(data)
    pairs = zip(document.items, document.items[1:], strict=False)
    assert not any(isinstance(a, Trivia) and isinstance(b, Trivia) for a, b in pairs)


def unchanged_around(splices: Sequence[Splice], before: bytes, after: bytes) -> bool:
    """Whether a single splice accounts for the whole difference of two files."""
    assert len(splices) == 1
    (splice,) = splices
    end = splice.offset + len(splice.old)
    return (
        before[: splice.offset] == after[: splice.offset]
        and before[end:] == after[splice.offset + len(splice.new) :]
    )
