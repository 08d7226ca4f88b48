"""Literals, as IMAP (RFC 3501 section 4.3) and ManageSieve (RFC 5804 section 1.2) have them.

Strategy: a line that ends in `{n}` or `{n+}` goes on with n octets and another line.
`LiteralSession` puts such a line together before the protocol sees it, each literal as the quoted
string that it could have been, so that a protocol needs one grammar alone. Literals that nobody
asked to keep (mail, scripts) are let go as they come; kept ones are bounded.
"""

from __future__ import annotations

import re
from typing import List, Optional, Tuple

from mailseal.protocols.base import LINE_LIMIT, Side
from mailseal.protocols.session import TextSession

_LITERAL = re.compile(rb"\{(\d{1,10})\+?\}\Z")
_WORD = re.compile(rb'\s*("(?:[^"\\]|\\.)*"|[^\s"]+)')


def quoted(text: bytes) -> bytes:
    """A quoted string: a backslash before each backslash and quote."""
    return b'"' + text.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def words(text: bytes, limit: int) -> Tuple[bytes, ...]:
    """The first `limit` atoms and quoted strings of a line, without quotes and escapes."""
    found: List[bytes] = []
    at = 0
    while len(found) < limit:
        match = _WORD.match(text, at)
        if match is None:
            break
        word = match.group(1)
        if word[:1] == b'"':
            word = re.sub(rb"\\(.)", rb"\1", word[1:-1], flags=re.DOTALL)
        found.append(word)
        at = match.end()
    return tuple(found)


class _Literal:
    """A line of one side that goes on: what came before its literal, and the literal if kept."""

    __slots__ = ("begun", "kept", "text")

    def __init__(self) -> None:
        self.begun: Optional[bytes] = None
        self.kept = False
        self.text = b""


class LiteralSession(TextSession):
    """A session whose lines may hold literals."""

    __slots__ = ("_of_client", "_of_server")

    def __init__(self, inside: bool = False) -> None:
        super().__init__(inside)
        self._of_client = _Literal()
        self._of_server = _Literal()

    def _keeps(self, side: Side, line: bytes) -> bool:
        """Whether the literals of a line that begins so are needed."""
        raise NotImplementedError

    def _take(self, side: Side, line: bytes) -> bool:
        literal = self._of_server if side is Side.SERVER else self._of_client
        if literal.begun is not None:
            text, literal.text = literal.text, b""
            whole = len(literal.begun) < LINE_LIMIT
            line = literal.begun + quoted(text) + line if whole else literal.begun
        found = _LITERAL.search(line) if line[-1:] == b"}" else None
        if found is None:
            literal.begun = None
            return super()._take(side, line)
        literal.begun = line[: found.start()]
        literal.kept = self._keeps(side, literal.begun)
        buffer = self._server if side is Side.SERVER else self._client
        buffer.skip = int(found.group(1))
        return False

    def _counted(self, side: Side, data: bytes) -> None:
        literal = self._of_server if side is Side.SERVER else self._of_client
        if literal.kept:
            literal.text += data[: LINE_LIMIT - len(literal.text)]
