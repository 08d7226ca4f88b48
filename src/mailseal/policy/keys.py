"""How every policy file is read: TOML, a table of keys, and nothing besides.

Strategy: a key has the field it becomes, a reader, and what holds where it is left out. A reader
raises ValueError in words that say what is wanted; the name of the key is put before them here.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

LIMIT = 65536
"""Octets of a policy file, at most."""

T = TypeVar("T")


class BadPolicy(ValueError):
    """The text is no policy. `str()` says where and why."""


class Key(NamedTuple):
    """`read` raises ValueError. `default` holds where the key is left out; None where it may not
    be.
    """

    field: str
    read: Callable[[Any], Any]
    default: Any


Keys = Mapping[str, Key]


def parsed(text: bytes, source: str, keys: Keys, make: Callable[[dict[str, Any]], T]) -> T:
    """What `make` makes of the fields of a file, `source` and `sha256` among them. Raises
    BadPolicy, also where `make` does.
    """
    try:
        if len(text) > LIMIT:
            raise BadPolicy("longer than %d octets" % LIMIT)
        values = read(keys, tomllib.loads(text.decode("utf-8")), "")
        return make({"source": source, "sha256": hashlib.sha256(text).hexdigest(), **values})
    except RecursionError:
        raise BadPolicy("%s: nested too deep" % source) from None
    except UnicodeDecodeError as error:
        words = "%s: octet %d is not UTF-8: save it as UTF-8" % (source, error.start)
        raise BadPolicy(words) from None
    except (tomllib.TOMLDecodeError, BadPolicy) as error:
        raise BadPolicy("%s: %s" % (source, error)) from None


def read(keys: Keys, table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The values of a table by the names of their fields. Raises BadPolicy."""
    unknown = sorted(table.keys() - keys.keys())
    if unknown:
        known = ", ".join(keys)
        raise BadPolicy("%sunknown key %r; known are %s" % (where, unknown[0], known))
    values = {}
    for name, key in keys.items():
        try:
            values[key.field] = key.read(table[name]) if name in table else key.default
        except BadPolicy:
            raise  # It names its place itself.
        except ValueError as error:
            raise BadPolicy("%s%s: %s" % (where, name, error)) from None
        if values[key.field] is None:
            raise BadPolicy("%s%s is missing" % (where, name))
    return values


def possible(contradictions: Iterable[tuple[object, str]]) -> None:
    """Raises BadPolicy in the words of the first contradiction that is there."""
    for there, words in contradictions:
        if there:
            raise BadPolicy(words)


def tables(value: Any, name: str) -> list[tuple[str, Mapping[str, Any]]]:
    """The tables under lines `[[name]]`, each with the words that name it. Raises ValueError."""
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise ValueError("write each %s under a line [[%s]]" % (name, name))
    return [("%s %d, " % (name, number), each) for number, each in enumerate(value, start=1)]


def flag(value: Any) -> bool:
    """true or false."""
    if type(value) is not bool:
        raise ValueError("true or false is wanted")
    return value


def number(most: int, least: int = 0) -> Callable[[Any], int]:
    """A whole number."""

    def reader(value: Any) -> int:
        if type(value) is not int or not least <= value <= most:
            raise ValueError("a number from %d to %d is wanted" % (least, most))
        return value

    return reader


def texts(value: Any) -> bool:
    """Whether it is a list of text that is not empty."""
    return isinstance(value, list) and bool(value) and all(type(each) is str for each in value)
