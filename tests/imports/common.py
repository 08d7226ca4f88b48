"""What the tests of the readers share: the sample reports, and short words for what was read."""

from collections.abc import Iterable
from pathlib import Path

from mailseal import imports
from mailseal.imports.base import LeftOut, Options, Unreadable
from mailseal.model.reported import Reported

REPORTS = Path(__file__).parent / "reports"
OPTIONS = Options(hosts=("192.0.2.7", "2001:db8::7"))
SAMPLES = {path.name: path.read_bytes() for path in sorted(REPORTS.iterdir())}


def items(
    chunks: Iterable[bytes], options: Options = OPTIONS, form: str = ""
) -> tuple[list[Reported | LeftOut], Unreadable | None]:
    """All that a report gives, and the fault that ended it."""
    got: list[Reported | LeftOut] = []
    try:
        for item in imports.read(chunks, options, form):
            got.append(item)
    except Unreadable as fault:
        return got, fault
    return got, None


def whole(name: str, options: Options = OPTIONS) -> list[Reported | LeftOut]:
    """All that a sample gives, which has no fault."""
    got, fault = items([SAMPLES[name]], options)
    assert fault is None
    return got


def said(got: list[Reported | LeftOut]) -> list[tuple[str, str, str | None, str]]:
    """Endpoint, claim, protocol and check of every Reported."""
    return [
        (str(item.endpoint), item.says.value, item.protocol, item.check)
        for item in got
        if isinstance(item, Reported)
    ]


def left(got: list[Reported | LeftOut]) -> list[tuple[str, bool]]:
    """Reason and claim of every LeftOut."""
    return [(item.reason, item.claim) for item in got if isinstance(item, LeftOut)]
