"""Hostile XML, streamed: the one door between expat and the readers of formats.

Strategy: a format hands in tables (element name to function), so that an element nobody asked for
costs one look into a dict. Text is collected only where a function asked for it. expat itself
copies a tag until its end has come, keeps every name it has met and a record for every open
element: all three are bounded here, as are texts. A document type is refused if it declares or
fetches anything, so no entity but XML's own five can exist (nmap writes a bare one).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

from mailseal.imports.base import Item, Unreadable, words

DEPTH = 64
"""Elements inside each other. GVM's reports, the deepest, have some 12."""
TOKEN = 1 << 20
"""Octets of one tag or comment. nmap puts a script's whole output into an attribute."""
NAMES = 4096
"""Different names of elements and attributes."""
TEXT = 4096
"""Characters of an element's text; what is longer is cut."""
PIECE = 1 << 16
"""Octets that are handed to expat at a time."""

AGAIN = "what stands before has been taken over; export the report again for the rest"
_ENDS_EARLY = {
    expat.errors.codes[message]
    for message in (
        expat.errors.XML_ERROR_NO_ELEMENTS,
        expat.errors.XML_ERROR_UNCLOSED_TOKEN,
        expat.errors.XML_ERROR_PARTIAL_CHAR,
        expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
    )
}

Attributes = Mapping[str, str]


@dataclass
class Tables:
    """What a format wants to know. `start` functions get attributes and depth (the root has 1) and
    say whether they want the element's text: what stands before its first child. `text` functions
    get that, bounded; `end` functions get the depth.
    """

    start: dict[str, Callable[[Attributes, int], bool]]
    text: dict[str, Callable[[str], None]]
    end: dict[str, Callable[[int], None]]
    found: list[Item] = field(default_factory=list)
    """Filled by the functions, emptied as it is handed on."""


def read(chunks: Iterable[bytes], roots: tuple[str, ...], tables: Tables) -> Iterator[Item]:
    """Drives the tables over a document whose root is one of `roots`. Raises Unreadable."""
    parser, parse = _parser(roots, tables)
    fed = 0
    for piece in _pieces(chunks):
        fed += len(piece)
        failure = parse(piece)
        yield from tables.found
        tables.found.clear()
        if failure is None and fed - max(parser.CurrentByteIndex, 0) > TOKEN + PIECE:
            failure = _refused(parser, f"a tag or comment of more than {TOKEN} octets")
        if failure is None and len(parser.intern) > NAMES:
            failure = _refused(parser, f"more than {NAMES} different names of elements")
        if failure is not None:
            raise failure


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        for start in range(0, len(chunk), PIECE):
            yield chunk[start : start + PIECE]
    yield b""


def _parser(
    roots: tuple[str, ...], tables: Tables
) -> tuple[expat.XMLParserType, Callable[[bytes], Unreadable | None]]:
    """The parser, and what feeds it (the empty piece is the end)."""
    parser = expat.ParserCreate()
    parser.buffer_text = True
    starts, ends, texts = tables.start, tables.end, tables.text
    depth, wanted, collected, length = 0, "", list[str](), 0

    def start(name: str, attributes: Attributes) -> None:
        nonlocal depth, wanted
        depth += 1
        if depth > DEPTH:
            raise _refused(parser, f"more than {DEPTH} elements inside each other")
        if depth == 1 and name not in roots:
            expected = " or ".join(f"<{root}>" for root in roots)
            raise Unreadable(
                _place(parser),
                f"the document is a <{words(name, 40)}>, not a {expected}",
                "name its format with --from, or leave --from away",
            )
        if wanted:
            deliver()
        function = starts.get(name)
        if function is not None and function(attributes, depth):
            wanted = name
            parser.CharacterDataHandler = text

    def end(name: str) -> None:
        nonlocal depth
        if wanted:
            deliver()
        function = ends.get(name)
        if function is not None:
            function(depth)
        depth -= 1

    def text(data: str) -> None:
        nonlocal length
        if length < TEXT:
            collected.append(data[: TEXT - length])
            length += len(data)

    def deliver() -> None:
        nonlocal wanted, length
        texts[wanted]("".join(collected))
        wanted, length = "", 0
        collected.clear()
        parser.CharacterDataHandler = None

    def doctype(name: str, system: str | None, public: str | None, subset: bool) -> None:
        if system or public or subset:
            what = "a document type that declares or fetches something (entities can be a bomb)"
            raise Unreadable(
                _place(parser), what, "no scanner's report needs it: look at its origin"
            )

    def parse(piece: bytes) -> Unreadable | None:
        try:
            parser.Parse(piece, not piece)
        except Unreadable as failure:
            return failure
        except expat.ExpatError as error:
            if not piece and error.code in _ENDS_EARLY:
                return Unreadable(_place(parser), "the report ends early", AGAIN)
            return Unreadable(_place(parser), f"no XML ({expat.ErrorString(error.code)})", AGAIN)
        except (ValueError, LookupError) as error:
            # Python's codecs, asked by expat for an encoding of which it knows nothing.
            return Unreadable(_place(parser), f"no XML ({words(str(error), 80)})", AGAIN)
        return None

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = doctype
    return parser, parse


def _place(parser: expat.XMLParserType) -> str:
    return f"line {parser.CurrentLineNumber}, byte {max(parser.CurrentByteIndex, 0)}"


def _refused(parser: expat.XMLParserType, what: str) -> Unreadable:
    return Unreadable(_place(parser), what, "no scanner writes that: look at its origin")
