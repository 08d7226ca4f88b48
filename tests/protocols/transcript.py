"""Transcripts as data: what both sides of a connection said, and what is to be understood of it.

A file begins with `# why`, then the header, one `key: value` a line: `verdict` the assessment's,
`login: mechanism user outcome [remote]` once for each login event, in order (blanks in a
mechanism's name as underscores), `offers` the mechanisms listed, `state` and `messages` of a POP2
session, `sealed: yes` where TLS begins behind the last line, `password` the secret that a prober is
to log in with and that must appear nowhere, `task` what the prober is to do (look, login, upgrade,
inside), `reads: observer` where no client of ours would have said that. Then the lines, `S: ` and
`C: `.
"""

from dataclasses import dataclass
from pathlib import Path

from mailseal.protocols.base import Credentials, Side, Task

FOLDER = Path(__file__).parent / "transcripts"
_SIDES = {"C": Side.CLIENT, "S": Side.SERVER}


@dataclass(frozen=True)
class Transcript:
    """`blocks` are the lines in order, those of one side in a row together."""

    protocol: str
    why: str
    verdict: str
    logins: tuple[str, ...]
    offers: tuple[str, ...]
    state: str
    messages: str
    sealed: bool
    password: str
    kind: str
    prober: bool
    blocks: tuple[tuple[Side, bytes], ...]

    def octets(self, side: Side) -> bytes:
        return b"".join(data for of, data in self.blocks if of is side)

    @property
    def task(self) -> Task:
        """What the transcript's client does."""
        if self.password:
            mechanism, user, _, *remote = self.logins[-1].split()
            credentials = Credentials(user, self.password, "".join(remote))
            return Task((mechanism.replace("_", " "),), credentials, inside=self.inside)
        return Task(upgrade=self.kind == "upgrade", inside=self.inside)

    @property
    def inside(self) -> bool:
        return self.kind == "inside"


def load(path: Path) -> Transcript:
    first, *lines = path.read_text(encoding="utf-8").splitlines()
    header: dict[str, list[str]] = {}
    blocks: list[tuple[Side, bytes]] = []
    for line in lines:
        key, _, value = line.partition(":")
        if key not in _SIDES:
            header.setdefault(key, []).append(value.strip())
            continue
        side, data = _SIDES[key], value[1:].encode() + b"\r\n"
        if blocks and blocks[-1][0] is side:
            data = blocks.pop()[1] + data
        blocks.append((side, data))
    known = {
        "verdict",
        "login",
        "offers",
        "state",
        "messages",
        "sealed",
        "password",
        "task",
        "reads",
    }
    assert first.startswith("# ")
    assert header.keys() <= known, path
    return Transcript(
        protocol=path.parent.name,
        why=first[2:],
        verdict=header["verdict"][0],
        logins=tuple(header.get("login", ())),
        offers=tuple(w.replace("_", " ") for w in header.get("offers", [""])[0].split()),
        state=header.get("state", [""])[0],
        messages=header.get("messages", ["None"])[0],
        sealed=header.get("sealed") == ["yes"],
        password=header.get("password", [""])[0],
        kind=header.get("task", ["look"])[0],
        prober=header.get("reads") != ["observer"],
        blocks=tuple(blocks),
    )


def everyone() -> list[Path]:
    """The files of all protocols."""
    return sorted(FOLDER.glob("*/*.txt"))
