"""What words of a command line mean: days, spans of time, places."""

from __future__ import annotations

import ipaddress
import re

from mailseal.model.moment import rfc3339, seconds
from mailseal.store import Network
from mailseal.workflow import BadInput

_UNITS = {"h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}


def moment(words: str) -> str:
    """A day (its beginning, UTC) or a moment, in the form of the records; nothing of nothing.
    Raises BadInput.
    """
    if not words:
        return ""
    whole = f"{words}T00:00:00.000Z" if re.fullmatch(r"\d{4}-\d\d-\d\d", words) else words
    try:
        return rfc3339(seconds(whole))
    except ValueError:
        raise BadInput(f"{words!r} is no day: write 2026-01-31") from None


def ago(words: str, now: float) -> str:
    """The moment so long before `now` (30d, 12h, 4w), or since a day. Raises BadInput."""
    span = re.fullmatch(r"([0-9]{1,5})([hdw])", words)
    if span is None:
        try:
            return moment(words)
        except BadInput:
            raise BadInput(f"{words!r} is no time: write 30d, 12h, 4w or 2026-01-31") from None
    return rfc3339(max(0.0, now - int(span[1]) * _UNITS[span[2]]))


def where(words: str) -> tuple[Network | None, str]:
    """An address or a network, else a name; neither of nothing. Raises BadInput."""
    if not words:
        return None, ""
    try:
        return ipaddress.ip_network(words, strict=False), ""
    except ValueError:
        if re.fullmatch(r"[\d.:/]+", words):
            said = f"{words} is no address and no network: write 192.0.2.0/24"
            raise BadInput(said) from None
        return None, words
