"""HTML and SVG as values, so that text can never become markup.

Strategy: a page is a tree of `Element`; whatever is a `str` in it is text, and is made harmless and
escaped when the tree is written, in one place. There is no way to hand in markup as text. Names of
elements and attributes come from our own calls alone.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass

from mailseal.report.style import harmless

LIMIT = 2000
"""Characters of one text that are shown; what the probe keeps of a server is shorter."""
_VOID = frozenset(("meta", "path", "line", "circle"))
"""Elements without content: HTML 13.1.2, and those of SVG that we use for shapes."""
_ROWS = frozenset(
    "header main section article figure div ul dl li dt dd table thead tbody tr p h1 h2 h3 pre svg "
    "footer nav samp kbd".split()
)
"""A line end follows: sources can be read, and a transcript has lines without a sheet, too."""


@dataclass(frozen=True)
class Element:
    """An element; attributes are pairs of name and value."""

    name: str
    attributes: tuple[tuple[str, str], ...]
    children: tuple[Node, ...]


Node = Element | str
Content = Node | Iterable[Node] | None


def e(name: str, *content: Content, **attributes: str) -> Element:
    """An element. `None` in the content is left out; a list of nodes stands for each. A trailing
    underscore of an attribute's name falls away (`class_`), the others become hyphens.
    """
    children: list[Node] = []
    for each in content:
        if isinstance(each, Element | str):
            children.append(each)
        elif each is not None:
            children += each
    named = tuple((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    return Element(name, named, tuple(children))


def written(node: Node) -> str:
    """The markup of a tree."""
    if isinstance(node, str):
        return html.escape(_bounded(harmless(node)), quote=True)
    attributes = "".join(
        f' {name}="{html.escape(_bounded(harmless(value)), quote=True)}"'
        for name, value in node.attributes
    )
    if node.name in _VOID:
        return f"<{node.name}{attributes} />"
    end = "\n" if node.name in _ROWS else ""
    return f"<{node.name}{attributes}>{''.join(map(written, node.children))}</{node.name}>{end}"


def _bounded(text: str) -> str:
    left = len(text) - LIMIT
    return text if left <= 0 else f"{text[:LIMIT]} ... ({left} more characters)"
