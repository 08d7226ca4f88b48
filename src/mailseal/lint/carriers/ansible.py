"""Ansible's tasks: the modules that write a file, a line or a block of it, scripts of a shell, and
containers whose ports are published.

After the manuals of the modules. A task is any mapping with the name of such a module: in
plays, roles, blocks and handlers alike. `{{ item }}` alone is each item of the task's loop; other
expressions stay in the text as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from mailseal.lint.carriers import sed, shell
from mailseal.lint.carriers.base import Carried, Port, Taken
from mailseal.lint.carriers.compose import published
from mailseal.lint.carriers.nodes import Mapping, Node, Scalar, Sequence, Tree, mappings
from mailseal.lint.traced import Traced, joined, literal, whole

Arguments = Callable[[str], Traced | None]
"""The value of an argument; None where there is none."""

_PREFIX = re.compile(
    r"(?:(?:ansible\.(?:builtin|legacy)|community\.(?:general|docker)|containers\.podman)\.)?(\w+)"
)
_ITEM = re.compile(rb"\s*\{\{\s*item(?:\.(\w+)|\[['\"](\w+)['\"]\])?\s*\}\}\s*")
_PAIR = re.compile(rb"(?<!\S)(\w+)=(\"[^\"]*\"|'[^']*'|\S*)")
_LOOPS = ("loop", "with_items", "with_list")
_MOST = 200
"""Items of a loop that are looked at."""


def carried(tree: Tree) -> Iterator[Carried | Taken]:
    """What the tasks of a file write."""
    for task, module, value in _tasks(tree):
        maker = _MODULES.get(module)
        if maker and not isinstance(value, Sequence):
            for item in _items(task):
                yield from maker(_arguments(tree, value, item))


def ports(tree: Tree) -> Iterator[Port]:
    """The TCP ports of the containers that tasks start."""
    for _, module, value in _tasks(tree):
        for key in _CONTAINERS.get(module, ()):
            listed = value.get(key) if isinstance(value, Mapping) else None
            items = listed.items if isinstance(listed, Sequence) else [listed]
            for word in (each for each in items[:_MOST] if isinstance(each, Scalar)):
                for entry in word.text.split(","):
                    yield from published(tree.source.span(word), key, entry)


def _tasks(tree: Tree) -> Iterator[tuple[Mapping, str, Node]]:
    for task in mappings(tree.roots):
        for name, (_, value) in task.pairs.items():
            module = _PREFIX.fullmatch(name)
            if module:
                yield task, module[1], value


def _items(task: Mapping) -> list[Node | None]:
    for key in _LOOPS:
        listed = task.get(key)
        if isinstance(listed, Sequence):
            return [*listed.items[:_MOST]]
    return [None]


def _arguments(tree: Tree, value: Node, item: Node | None) -> Arguments:
    pairs: dict[str, Traced] = {}
    if isinstance(value, Scalar):
        text = tree.source.traced(value)
        pairs[""] = text
        for each in _PAIR.finditer(text.data):
            first, last = each.span(2)
            quoted = each[2][:1] in (b'"', b"'")
            pairs[each[1].decode()] = text.cut(first + quoted, last - quoted)

    def argument(name: str) -> Traced | None:
        found = pairs.get(name)
        if isinstance(value, Mapping):
            scalar = value.scalar(name)
            found = tree.source.traced(scalar) if scalar else None
        reference = _ITEM.fullmatch(found.data) if found else None
        if reference is None:
            return found
        key = (reference[1] or reference[2] or b"").decode()
        named = item.scalar(key) if isinstance(item, Mapping) and key else item
        return tree.source.traced(named) if isinstance(named, Scalar) else found

    return argument


def _word(argument: Arguments, *names: str) -> str:
    found = (argument(name) for name in names)
    return next((each.data.decode() for each in found if each), "")


def _path(argument: Arguments) -> str:
    return _word(argument, "path", "dest", "destfile", "name")


def _copy(argument: Arguments, folder: str = "files") -> Iterator[Carried | Taken]:
    content, path, source = argument("content"), _path(argument), _word(argument, "src")
    if content and path:
        yield Carried(path, content, False)
    elif source and path and "{{" not in source and _word(argument, "remote_src") != "true":
        if path.endswith("/"):
            path += source.rpartition("/")[2].removesuffix(".j2")
        places = (f"../{folder}/{source}", f"{folder}/{source}", source)
        yield Taken(places, path)


def _template(argument: Arguments) -> Iterator[Carried | Taken]:
    return _copy(argument, "templates")


def _lines(argument: Arguments) -> Iterator[Carried]:
    path = _path(argument)
    for name in ("line", "block", "content"):
        text = argument(name)
        if text and path and _word(argument, "state") != "absent":
            yield Carried(path, text, True)


def _replaced(argument: Arguments) -> Iterator[Carried]:
    path, new = _path(argument), argument("replace")
    text = sed.replacement(new, python=True) if new and path else None
    if text:
        yield Carried(path, text, True)


def _assigned(argument: Arguments) -> Iterator[Carried]:
    path, section, option = _path(argument), argument("section"), argument("option")
    value = argument("value")
    if not (path and option and value) or _word(argument, "state") == "absent":
        return
    named = section and section.data not in (b"", b"null", b"~")
    words = [(b"[", section), (b"]\n", option)] if section and named else [(b"", option)]
    pieces = [each for before, word in words for each in (literal(before, word.at[0]), word)]
    pieces += [literal(b" = ", value.at[0]), value, literal(b"\n", value.at[-1])]
    yield Carried(path, joined(pieces), True)


def _shell(argument: Arguments) -> Iterator[Carried]:
    script = argument("") or argument("cmd")
    return shell.carried(script if script else whole(b""))


_MODULES: dict[str, Callable[[Arguments], Iterator[Carried | Taken]]] = {
    "copy": _copy,
    "template": _template,
    "lineinfile": _lines,
    "blockinfile": _lines,
    "replace": _replaced,
    "ini_file": _assigned,
    "shell": _shell,
    "command": _shell,
}

_CONTAINERS = {
    "docker_container": ("published_ports", "ports"),
    "podman_container": ("publish", "published", "published_ports", "ports"),
}
"""Modules, and what they call the ports."""
