"""Transcripts as data: what both sides of a connection said, and what is to be understood of it.

A file begins with `# why`, then the header, one `key: value` a line: `state` the session's in the
end, `verdict` the assessment's, `login: user remote outcome` once for each login event, in order,
`messages` the count read, `password` the secret that a prober is to log in with and that must
appear nowhere, `reads: observer` where no client of ours would have said that. Then the lines,
`S: ` and `C: `.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mailseal.protocols.base import Credentials, Side

FOLDER = Path(__file__).parent / "transcripts"
_SIDES = {"C": Side.CLIENT, "S": Side.SERVER}


@dataclass(frozen=True)
class Transcript:
    """`blocks` are the lines in order, those of one side in a row together."""

    why: str
    state: str
    verdict: str
    logins: tuple[tuple[str, ...], ...]
    messages: str
    password: str
    prober: bool
    blocks: tuple[tuple[Side, bytes], ...]

    def octets(self, side: Side) -> bytes:
        return b"".join(data for of, data in self.blocks if of is side)

    def credentials(self) -> Credentials | None:
        """The login that the transcript's client makes."""
        if not self.password:
            return None
        user, remote, _ = self.logins[0]
        return Credentials(user, self.password, "" if remote == "None" else remote)


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
    known = {"state", "verdict", "login", "messages", "password", "reads"}
    assert first.startswith("# ")
    assert header.keys() <= known, path
    return Transcript(
        why=first[2:],
        state=header["state"][0],
        verdict=header["verdict"][0],
        logins=tuple(tuple(words.split()) for words in header.get("login", ())),
        messages=header.get("messages", ["None"])[0],
        password=header.get("password", [""])[0],
        prober=header.get("reads") != ["observer"],
        blocks=tuple(blocks),
    )


def of(protocol: str) -> Iterator[Path]:
    """The files of one protocol."""
    return iter(sorted((FOLDER / protocol).glob("*.txt")))
