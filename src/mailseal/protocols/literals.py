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

_LITERAL = re.compile(rb"\{(\d{1,10})(\+?)\}\Z")
_WORD = re.compile(rb' *("(?:[^"\\\r\n]|\\["\\])*"|[^\s"(){%*\\]+)(?= |\Z)')


def quoted(text: bytes) -> bytes:
    """A quoted string: a backslash before each backslash and quote."""
    return b'"' + text.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def words(text: bytes) -> Optional[Tuple[bytes, ...]]:
    """The atoms and strings of a line, without quotes and escapes; None where it is not made of
    these alone: what stands there then may be anything, a secret too.
    """
    found: List[bytes] = []
    at, text = 0, text.rstrip(b" ")
    while at < len(text):
        match = _WORD.match(text, at)
        if match is None:
            return None
        word = match.group(1)
        if word[:1] == b'"':
            word = re.sub(rb"\\(.)", rb"\1", word[1:-1], flags=re.DOTALL)
        found.append(word)
        at = match.end()
    return tuple(found)


class _Literal:
    """A line of one side that goes on: what came before its literal, and the literal if kept.
    `waits`: the sender goes on only when it is told to (`{n}`, not `{n+}`).
    """

    __slots__ = ("begun", "kept", "text", "waits")

    def __init__(self) -> None:
        self.begun: Optional[bytes] = None
        self.kept = False
        self.text = b""
        self.waits = False


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
            whole = len(literal.begun) + len(text) < LINE_LIMIT
            # What is too long to be kept is no word: the line is not understood then.
            line = literal.begun + (quoted(text) if whole else b"(") + line
        found = _LITERAL.search(line) if line[-1:] == b"}" else None
        if found is None:
            literal.begun = None
            return super()._take(side, line)
        literal.begun = line[: found.start()]
        literal.kept = self._keeps(side, literal.begun)
        literal.waits = found.group(2) == b""
        buffer = self._server if side is Side.SERVER else self._client
        buffer.skip = int(found.group(1))
        return False

    def _spares(self, side: Side) -> bool:
        return not (self._of_server if side is Side.SERVER else self._of_client).kept

    def _forget(self, side: Side) -> None:
        literal = self._of_server if side is Side.SERVER else self._of_client
        literal.begun, literal.text = None, b""

    def _refused(self) -> bytes:
        """The server answers before the client's literal has come: it never will. What came of the
        line; empty where that is not so.
        """
        literal = self._of_client
        if literal.begun is None or not literal.waits or literal.text:
            return b""
        begun, literal.begun, self._client.skip = literal.begun, None, 0
        return begun

    def _counted(self, side: Side, data: bytes) -> None:
        literal = self._of_server if side is Side.SERVER else self._of_client
        if literal.kept:
            literal.text += data[: LINE_LIMIT - len(literal.text)]
