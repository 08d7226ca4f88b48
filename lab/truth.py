"""What mail programs did in a session, login by login, and whether a list of logins agrees with it.

Strategy: a login done is a value. A view of it (the wire, a daemon's log) cannot tell everything:
what it must tell is a table, and whatever it tells besides must be true as well. Each login in a
list is matched with one that was done and that nothing in it contradicts, as many as can be matched
at once; what is left over on either side was missed or invented. Nothing of the program under test
is in here but the names in its JSON document.
"""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar


@dataclass(frozen=True)
class Truth:
    """A login that was done. `server` and `client` are addresses; `user` is None where the program
    was turned away before it had named one. `channel` is `clear` or `tls`; `outcome` is `accepted`,
    `rejected` (wrong password) or `refused` (by policy). `says` is what the program calls itself or
    its host, where it does. `message`: it handed in a message.
    """

    program: str
    protocol: str
    server: str
    port: int
    client: str
    user: str | None
    mechanism: str
    channel: str
    outcome: str
    says: str = ""
    message: bool = False


def write(truths: Iterable[Truth], secrets: Iterable[str]) -> str:
    """JSON, a login a line, and the passwords that must never be seen again."""
    logins = ",\n".join("  " + json.dumps(asdict(each)) for each in truths)
    return f'{{"secrets": {json.dumps(list(secrets))},\n "logins": [\n{logins}\n]}}\n'


def read(text: str) -> tuple[list[Truth], list[str]]:
    """What `write` wrote."""
    said = json.loads(text)
    return [Truth(**each) for each in said["logins"]], said["secrets"]


# -- what a view shows -----------------------------------------------------------------------------

Document = Mapping[str, Any]
"""What `mailseal wire` or `mailseal logs` gives with `--format json`."""
Said = Mapping[str, Any]
"""A `Login` in it."""
COMMANDS = frozenset({"HELO", "USER", "LOGIN command"})
"""Mechanisms that are commands of the protocols themselves."""
_FIELDS = ("client", "user", "mechanism", "channel", "outcome")
_UNTOLD = (None, "", "unknown")


@dataclass(frozen=True)
class View:
    """`tells` gives the fields that must be told of a login (None: it does not show at all);
    `names` is what the view calls a mechanism that is a command of the protocol.
    """

    tells: Callable[[Truth], str | None]
    names: str = ""

    def contradicts(self, said: Said, truth: Truth) -> bool:
        """Whether the list says of the login what is not so, or leaves out what it must tell."""
        if said["protocol"] != truth.protocol:
            return True
        endpoint = said["endpoint"]
        if endpoint and endpoint["address"] != truth.server:
            return True
        # No log tells the port. That of TLS from the first octet goes by the other's number.
        if endpoint and truth.channel == "clear" and endpoint["port"] != truth.port:
            return True
        true = asdict(truth)
        if self.names and truth.mechanism in COMMANDS:
            true["mechanism"] = self.names
        must = ("outcome " + (self.tells(truth) or "")).split()
        for field in _FIELDS:
            untold = said[field] in _UNTOLD and field not in must
            if said[field] != true[field] and not untold:
                return True
        return "says" in must and truth.says not in " ".join(said["software"])


def _wire(truth: Truth) -> str | None:
    """All of what is done in cleartext, and nothing of what is done inside TLS."""
    return "client user mechanism channel says" if truth.channel == "clear" else None


def _uw(truth: Truth) -> str:
    # What is said of a wrong password is the same whatever the way.
    return "client user mechanism" if truth.outcome == "accepted" else "client user"


def _dovecot(truth: Truth) -> str:
    return "client channel" if truth.outcome == "refused" else "client user mechanism channel"


def _cyrus(truth: Truth) -> str | None:
    if truth.outcome == "accepted":
        return "client user mechanism channel"
    if truth.outcome == "refused" and truth.mechanism in COMMANDS:
        return None
    # Who fails at SASL is named by some mechanisms, and if he is known. One process serves many
    # clients: whose a `starttls` was cannot always be told.
    return "client mechanism" if truth.outcome == "rejected" else "client mechanism channel"


def _courier(truth: Truth) -> str | None:
    if truth.outcome == "refused":
        return None
    # The channel stands where the session ends, which not all sessions do that fail.
    return "client user channel" if truth.outcome == "accepted" else "client"


def _popa3d(truth: Truth) -> str:
    return "client user" if truth.outcome == "accepted" else "client"


def _postfix(truth: Truth) -> str:
    if truth.outcome == "rejected":
        return "client user mechanism channel"
    return "client user mechanism channel" if truth.message else "client channel"


def _exim(truth: Truth) -> str | None:
    if truth.outcome == "rejected":
        return "client user"
    return "client user channel" if truth.message and truth.outcome == "accepted" else None


WIRE = View(_wire)
LOGS: Mapping[str, View] = {
    "dovecot-2.3": View(_dovecot, "PLAIN"),
    "dovecot-2.4": View(_dovecot, "PLAIN"),
    "cyrus": View(_cyrus),
    "courier": View(_courier),
    "popa3d": View(_popa3d),
    "postfix": View(_postfix),
    "exim": View(_exim),
    "pop2": View(_uw),
}
"""What the log of each daemon tells: docs/reference/who-logs-in.md says the same in words."""

_Left = TypeVar("_Left")
_Right = TypeVar("_Right")


def matched(
    left: Sequence[_Left], right: Sequence[_Right], fits: Callable[[_Left, _Right], bool]
) -> tuple[list[_Left], list[_Right]]:
    """What is left over on both sides when as many as can be are matched, each with one of the
    other side (augmenting paths).
    """
    partners: dict[int, int] = {}

    def find(place: int, tried: set[int]) -> bool:
        for other, candidate in enumerate(right):
            if other in tried or not fits(left[place], candidate):
                continue
            tried.add(other)
            if other not in partners or find(partners[other], tried):
                partners[other] = place
                return True
        return False

    alone = [each for place, each in enumerate(left) if not find(place, set())]
    return alone, [each for other, each in enumerate(right) if other not in partners]


def _each(document: Document) -> list[Said]:
    return [each["login"] for each in document["logins"] for _ in range(each["login"]["count"])]


def disagreements(truths: Iterable[Truth], document: Document, view: View) -> list[str]:
    """What the list missed of the truth or invented, in words; empty where it agrees."""
    shown = [truth for truth in truths if view.tells(truth) is not None]
    invented, missed = matched(
        _each(document), shown, lambda said, truth: not view.contradicts(said, truth)
    )
    return [
        *(f"missed: {truth}" for truth in missed),
        *(f"invented: {_short(said)}" for said in invented),
        *(f"incomplete, though all was there: {each}" for each in document["partial"]),
    ]


def between(logs: Document, wire: Document, view: View) -> list[str]:
    """Logins that the log says were in cleartext and the wire does not show, in words."""
    seen = [
        Truth(
            program="?",
            protocol=said["protocol"],
            server=said["endpoint"]["address"],
            port=said["endpoint"]["port"],
            client=said["client"],
            user=said["user"],
            mechanism=said["mechanism"],
            channel=said["channel"],
            outcome=said["outcome"],
        )
        for said in _each(wire)
    ]
    clear = [said for said in _each(logs) if said["channel"] == "clear"]
    alone, _ = matched(clear, seen, lambda said, truth: not view.contradicts(said, truth))
    return [f"not on the wire: {_short(said)}" for said in alone]


def _short(said: Said) -> str:
    endpoint = said["endpoint"]
    server = f"{endpoint['address']}:{endpoint['port']}" if endpoint else "?"
    words = (str(said[field] or "?") for field in ("protocol", *_FIELDS))
    return f"{' '.join(words)} at {server}, last {said['last']}"


# -- secrets ---------------------------------------------------------------------------------------


def spellings(secret: str) -> Iterator[str]:
    """Every form in which a secret could get out: as it is, as protocols, configuration files and
    records write it, in hexadecimal, and in base64 at whatever place in a longer text.
    """
    octets = secret.encode()
    yield secret
    yield json.dumps(secret)[1:-1]
    yield urllib.parse.quote(secret)
    yield secret.replace('"', '""')  # CSV
    yield octets.hex()
    yield octets.hex(" ")
    for lead in range(3):
        text = base64.b64encode(bytes(lead) + octets).decode()
        # What is before the secret and behind it decides the outer characters.
        first = (lead * 8 + 5) // 6
        yield text[first : (lead + len(octets)) * 8 // 6]


def leaks(secrets: Iterable[str], text: str) -> list[str]:
    """The spellings of secrets that are in the text, in any case of letters."""
    lower = text.lower()
    return [each for secret in secrets for each in spellings(secret) if each.lower() in lower]
