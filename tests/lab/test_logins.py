"""Who logs in, as captures and logs show it, beside what real mail programs did.

Strategy: `lab.sessions` has every program log in to every daemon in every way, and knows each
login. `mailseal wire` of the packets and `mailseal logs` of the daemon's own log, in all the forms
it is kept in, must both agree with that, login by login, and with each other; and no output of
theirs may hold a password, in any spelling. How many tshark and dsniff list of the same packets
stands beside it.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from lab import missing
from lab.sessions import KITS, Session, make
from lab.truth import LOGS, WIRE, Truth, between, disagreements
from tests.lab.listing import listed

PAGE = Path(__file__).parents[2] / "docs/reference/who-logs-in.md"

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(400)]


def counts(document: dict[str, Any], inside: Iterable[Truth]) -> Counter[str]:
    """Logins by protocol, without those `inside` TLS."""
    logins = [each["login"] for each in document["logins"]]
    listed = Counter(login["protocol"] for login in logins for _ in range(login["count"]))
    return listed - Counter(truth.protocol for truth in inside)


def table(session: Session, wire: dict[str, Any], logs: dict[str, Any]) -> list[tuple[str, str]]:
    """A row a protocol, in two halves: how many logins without TLS there were, and how many each
    of our lists has; and how many those of others have.
    """
    clear = Counter(truth.protocol for truth in session.truths if truth.channel == "clear")
    inside = [truth for truth in session.truths if truth.channel == "tls"]
    logged = [truth for truth in inside if LOGS[session.name].tells(truth) is not None]
    ours = (clear, counts(wire, ()), counts(logs, logged))
    others = (session.peers["tshark"], session.peers["dsniff"])
    return [
        (
            _row(session.name, protocol, *(each[protocol] for each in ours)),
            _row(*(each[protocol] for each in others)),
        )
        for protocol in sorted(clear)
    ]


def _row(*cells: object) -> str:
    return " | ".join(map(str, cells))


@pytest.mark.parametrize("name", KITS)
def test_packets_and_logs_show_every_login_that_was_done_and_no_other(
    name: str, tmp_path: Path, record_property: Callable[[str, str], None]
):
    if reasons := missing():
        pytest.skip("; ".join(reasons))
    session = make(name)
    capture = tmp_path / "session.pcap"
    capture.write_bytes(session.capture)
    wire = listed(session.secrets, "wire", str(capture))
    wrong = disagreements(session.truths, wire, WIRE)
    for form, text in session.logs.items():
        log = tmp_path / form
        log.write_bytes(text)
        logs = listed(session.secrets, "logs", "--zone", "UTC", str(log))
        both = [*disagreements(session.truths, logs, LOGS[name]), *between(logs, wire, LOGS[name])]
        wrong += [f"{form}: {each}" for each in both]
    rows = table(session, wire, logs)
    for known, other in rows:
        record_property("table", f"| {known} | {other} |")
    assert not wrong, "\n".join(wrong)
    assert inside(wire) == len([truth for truth in session.truths if truth.channel == "tls"])
    page = PAGE.read_text()
    # What the others list may change with the moment at which a segment was sent.
    left = "\n".join(known for known, _ in rows if f"| {known} |" not in page)
    assert not left, f"not in {PAGE.name}:\n{left}"


def inside(wire: dict[str, Any]) -> int:
    """Sessions that went on, or began, inside TLS."""
    return sum(count for what, count in wire["counts"].items() if "TLS" in what)
