"""Logs read in tests, and what came of them."""

import datetime
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from mailseal.logs import Fronts, Options, Reader
from mailseal.model.login import Login, TlsFailure

RECORDED = Path(__file__).parent / "recorded"
NOW = datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC).timestamp()
UTC = Options(zone=datetime.UTC)
HEAD = b"Nov 21 08:40:20 mail "


def seen(
    blocks: bytes | Iterable[bytes], options: Options = UTC, now: float = NOW
) -> list[Login | TlsFailure]:
    """What one file says; `blocks` are its octets, whole or in portions."""
    fronts = Fronts()
    reader = Reader(options, fronts)
    reader.begin(now)
    for block in [blocks] if isinstance(blocks, bytes) else blocks:
        reader.feed(block)
    reader.end()
    return [*reader.drain(True), *fronts.placed()]


def logins(
    blocks: bytes | Iterable[bytes], options: Options = UTC, now: float = NOW
) -> list[Login]:
    return [each for each in seen(blocks, options, now) if isinstance(each, Login)]


def failures(blocks: bytes | Iterable[bytes]) -> list[TlsFailure]:
    return [each for each in seen(blocks) if isinstance(each, TlsFailure)]


def lines(*messages: bytes, head: bytes = HEAD) -> bytes:
    """Messages, each with its program, as syslog writes them."""
    return b"".join(head + message + b"\n" for message in messages)


def added(found: Iterable[Login | TlsFailure]) -> Counter[object]:
    """How often each kind, and when."""
    total: Counter[object] = Counter()
    for each in found:
        extra = (each.notes, each.complete) if isinstance(each, Login) else ()
        total[(each.kind, extra)] += each.count
    return total
