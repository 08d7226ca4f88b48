"""Compose files: the ports that services publish, and the configurations that they are given.

After the Compose specification: `ports` in the short form [[ADDRESS:]HOST:]CONTAINER[/PROTOCOL] or
the long one; `configs` with `content` or `file`; a file among `volumes`. What speaks at a port is
the container's, so its port says which protocol.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mailseal.configs.text import Span
from mailseal.lint.carriers.base import Carried, Port, Taken
from mailseal.lint.carriers.nodes import Mapping, Node, Scalar, Sequence, Tree

_VARIABLE = re.compile(r"\$\{[^}]*\}|\$\w+")
_RANGE = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")


def services(root: Node) -> dict[str, Mapping]:
    """The services of a compose file; none where it is another one."""
    found = root.get("services") if isinstance(root, Mapping) else None
    if not isinstance(found, Mapping):
        return {}
    named = {name: value for name, (_, value) in found.pairs.items()}
    return {name: value for name, value in named.items() if isinstance(value, Mapping)}


def ports(tree: Tree) -> Iterator[Port]:
    """The TCP ports that services publish."""
    for root in tree.roots:
        for service in services(root).values():
            listed = service.get("ports")
            for each in listed.items if isinstance(listed, Sequence) else ():
                yield from _published(tree, each)


def _published(tree: Tree, entry: Node) -> Iterator[Port]:
    if isinstance(entry, Scalar):
        yield from published(tree.source.span(entry), "ports", entry.text)
    elif isinstance(entry, Mapping) and (target := entry.scalar("target")):
        inside, host = target.text, entry.word("host_ip")
        written = f"ports: {host}:{inside}" if host else f"ports: {inside}"
        yield from _port(tree.source.span(target), written, host, inside, entry.word("protocol"))


def published(place: Span, key: str, written: str) -> Iterator[Port]:
    """The ports of an entry in the short form, under the key that it stands under."""
    shown, _, protocol = _VARIABLE.sub("$", written.strip()).partition("/")
    rest, _, inside = shown.rpartition(":")
    yield from _port(place, f"{key}: {written.strip()}", rest.rpartition(":")[0], inside, protocol)


def _port(place: Span, written: str, host: str, inside: str, protocol: str) -> Iterator[Port]:
    numbers = _RANGE.fullmatch(inside.strip())
    if numbers is None or protocol.strip() not in ("", "tcp") or "$" in host:
        return
    first, last = int(numbers[1]), int(numbers[2] or numbers[1])
    yield Port(place, written, host, range(first, last + 1))


def carried(tree: Tree) -> Iterator[Carried | Taken]:
    """The configurations that services are given."""
    for root in tree.roots:
        known = root.get("configs") if isinstance(root, Mapping) else None
        for service in services(root).values():
            given = service.get("configs")
            for each in given.items if isinstance(given, Sequence) else ():
                name = each.text if isinstance(each, Scalar) else ""
                target = f"/{name}"
                if isinstance(each, Mapping):
                    name = each.word("source")
                    target = each.word("target") or f"/{name}"
                made = known.get(name) if isinstance(known, Mapping) else None
                if isinstance(made, Mapping):
                    content, file = made.scalar("content"), made.word("file")
                    if content:
                        yield Carried(target, tree.source.traced(content), False)
                    if file:
                        yield Taken((file,), target)
            yield from _mounted(service)


def _mounted(service: Mapping) -> Iterator[Taken]:
    listed = service.get("volumes")
    for each in listed.items if isinstance(listed, Sequence) else ():
        if isinstance(each, Scalar):
            source, _, rest = each.text.partition(":")
            target = rest.partition(":")[0]
        elif isinstance(each, Mapping):
            source, target = each.word("source"), each.word("target")
        else:
            continue
        if source.startswith(".") and target and "$" not in source:
            yield Taken((source,), target)
