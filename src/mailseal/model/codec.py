"""JSON for the values of this package: strict, versioned, standard library only.

Strategy: the dataclass *is* the schema. `encode` walks a value, `decode` walks the type hints of
the class asked for and refuses anything that does not fit, naming the place (`plan.ops[3].path`).
Records that leave a process carry `type` and `version`. Results (looks, receipts) are read with
`lenient`: a newer writer may have added fields. Plans are read strictly: a field we do not know
could be an instruction we would silently not follow.

A union of dataclasses (the Ops, the Claims) is told apart by the key `kind`, the class's own
`KIND`. Bytes travel as base64 text.
"""

from __future__ import annotations

import base64
import collections.abc
import dataclasses
import enum
import functools
import hashlib
import json
import typing
from typing import Any, Dict, Mapping, Optional, Tuple, Type, TypeVar, Union

T = TypeVar("T")

VERSION = 1
"""Version of every record; raised when a reader of the old one would misunderstand the new one."""


class CodecError(ValueError):
    """The text is not the record that was asked for. `str()` names the place and the problem."""


@functools.lru_cache(maxsize=None)
def _hints(cls: type) -> Dict[str, Any]:
    return typing.get_type_hints(cls)


_SCALARS = frozenset((str, int, float, bool, type(None)))


@functools.lru_cache(maxsize=None)
def _fields(cls: type) -> Optional[Tuple[str, ...]]:
    """Names of a dataclass's fields, None for any other class."""
    if not dataclasses.is_dataclass(cls):
        return None
    return tuple(field.name for field in dataclasses.fields(cls))


def encode(value: Any) -> Any:
    """Turns a value into what `json.dumps` takes: dicts, lists, text, numbers, None.

    A scan encodes each of its results, so the commonest kinds are asked for first, by their exact
    type.
    """
    cls: Any = type(value)
    if cls in _SCALARS:
        return value
    fields = _fields(cls)
    if fields is not None:
        kind = getattr(cls, "KIND", None)
        out: Dict[str, Any] = {} if kind is None else {"kind": kind}
        for name in fields:
            out[name] = encode(getattr(value, name))
        return out
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, collections.abc.Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    raise CodecError("a %s cannot be written as JSON" % cls.__name__)


def decode(cls: Type[T], data: Any, *, lenient: bool, where: str = "") -> T:
    """Builds a `cls` from parsed JSON.

    Raises CodecError naming the place. `lenient` ignores unknown fields, else they are refused.
    """
    return typing.cast(T, _decode(cls, data, lenient, where or cls.__name__.lower()))


def _decode(hint: Any, data: Any, lenient: bool, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin is Union:
        return _decode_union(typing.get_args(hint), data, lenient, where)
    if origin is tuple:
        args = typing.get_args(hint)
        if not isinstance(data, list):
            raise CodecError("%s: a list is wanted" % where)
        if len(args) == 2 and args[1] is Ellipsis:
            kinds = [args[0]] * len(data)
        elif len(args) == len(data):
            kinds = list(args)
        else:
            raise CodecError("%s: %d items are wanted, not %d" % (where, len(args), len(data)))
        return tuple(
            _decode(kind, item, lenient, "%s[%d]" % (where, index))
            for index, (kind, item) in enumerate(zip(kinds, data))
        )
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(data, dict):
            raise CodecError("%s: an object is wanted" % where)
        value_hint = typing.get_args(hint)[1]
        return {
            key: _decode(value_hint, item, lenient, "%s[%r]" % (where, key))
            for key, item in data.items()
        }
    if dataclasses.is_dataclass(hint):
        return _decode_dataclass(typing.cast(type, hint), data, lenient, where)
    return _decode_scalar(hint, data, where)


def _decode_scalar(hint: Any, data: Any, where: str) -> Any:
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        try:
            return hint(data)
        except ValueError:
            known = ", ".join(str(member.value) for member in hint)
            raise CodecError("%s: %r is none of %s" % (where, data, known)) from None
    if hint is bytes:
        try:
            return base64.b64decode(data, validate=True)
        except (TypeError, ValueError):
            raise CodecError("%s: not base64" % where) from None
    if hint is float and type(data) is int:
        return float(data)
    # `type(...) is`: True is an int to isinstance, and would pass for a port number.
    if hint in (str, int, float, bool) and type(data) is hint:
        return data
    raise CodecError("%s: %s is wanted, not %s" % (where, _name(hint), type(data).__name__))


def _decode_union(members: Tuple[Any, ...], data: Any, lenient: bool, where: str) -> Any:
    if data is None and type(None) in members:
        return None
    members = tuple(member for member in members if member is not type(None))
    if len(members) == 1:
        return _decode(members[0], data, lenient, where)
    kind = data.get("kind") if isinstance(data, dict) else None
    for member in members:
        if getattr(member, "KIND", None) == kind and kind is not None:
            return _decode_dataclass(member, data, lenient, where)
    raise CodecError("%s: unknown kind %r" % (where, kind))


def _decode_dataclass(cls: type, data: Any, lenient: bool, where: str) -> Any:
    if not isinstance(data, dict):
        raise CodecError("%s: an object is wanted" % where)
    hints = _hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    kind = getattr(cls, "KIND", None)
    if kind is not None and data.get("kind") != kind:
        raise CodecError("%s: kind %r is wanted" % (where, kind))
    unknown = sorted(set(data) - set(fields) - {"kind"})
    if unknown and not lenient:
        raise CodecError("%s: unknown field %r" % (where, unknown[0]))
    values: Dict[str, Any] = {}
    for name, field in fields.items():
        if name in data:
            values[name] = _decode(hints[name], data[name], lenient, "%s.%s" % (where, name))
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise CodecError("%s: field %r is missing" % (where, name))
    try:
        return cls(**values)
    except ValueError as error:
        raise CodecError("%s: %s" % (where, error)) from None


def _name(hint: Any) -> str:
    return getattr(hint, "__name__", str(hint))


def record(value: Any) -> Dict[str, Any]:
    """The value as a record that may leave the process: `type` and `version` first."""
    return {"type": type(value).__name__, "version": VERSION, **encode(value)}


def from_record(cls: Type[T], data: Any, *, lenient: bool) -> T:
    """Reads what `record` wrote. Raises CodecError for another type or a newer version."""
    if not isinstance(data, dict):
        raise CodecError("%s: an object is wanted" % cls.__name__)
    if data.get("type") != cls.__name__:
        raise CodecError("a %s is wanted, not %r" % (cls.__name__, data.get("type")))
    if data.get("version") != VERSION:
        raise CodecError(
            "%s version %r is not understood by this mailseal (it reads %d)"
            % (cls.__name__, data.get("version"), VERSION)
        )
    body = {key: item for key, item in data.items() if key not in ("type", "version")}
    return decode(cls, body, lenient=lenient)


def dumps(value: Any) -> str:
    """One line of JSON, keys sorted: equal values give equal text, so it can be hashed."""
    return json.dumps(record(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def loads(cls: Type[T], text: Union[str, bytes], *, lenient: bool) -> T:
    """Reads one record. Raises CodecError, also for what is not JSON at all."""
    return from_record(cls, parse(text), lenient=lenient)


def parse(text: Union[str, bytes]) -> Any:
    """JSON text as plain values. Raises CodecError where it is not JSON, repeats a key or is
    nested too deep: a plan with two `ops` must not mean one thing to us and another to a reader.
    """

    def once(pairs: Any) -> Dict[str, Any]:
        out: Dict[str, Any] = {}
        for key, item in pairs:
            if key in out:
                raise CodecError("the key %r stands twice" % key)
            out[key] = item
        return out

    try:
        return json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        if isinstance(error, CodecError):
            raise
        raise CodecError("not JSON: %s" % error) from None


def digest(value: Any) -> str:
    """SHA-256 (hexadecimal) over the value's canonical JSON."""
    text = json.dumps(encode(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
