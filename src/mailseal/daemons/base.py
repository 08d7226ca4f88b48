"""What is known of a daemon: the record `Daemon`, and what the records share.

Strategy: a record says by which programs the daemon is known and which sockets its configuration
asks for, each with the line that does. It reads through a `Reader`, so what it may not see is told
there; it never says more than is written, and nothing it reads makes it raise. From outside, it
says how the daemon shows itself, what words of its own mean that `protocols.answers` must leave
undecided (another daemon means something else by them), and where a look misleads: `assess` asks
for that.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
from dataclasses import dataclass, field
from typing import (
    TYPE_CHECKING,
    Callable,
    Dict,
    Iterator,
    Mapping,
    NamedTuple,
    Optional,
    Pattern,
    Sequence,
    Tuple,
)

from mailseal.configs.inetd import parse_services
from mailseal.daemons.dialect import Dialect
from mailseal.model.excepted import Door
from mailseal.model.host import FileFact, HostFacts
from mailseal.model.local import Declared, Source
from mailseal.model.look import Outcome, Vantage
from mailseal.model.ops import CheckConfiguration, Splice

if TYPE_CHECKING:  # Who only asks what an answer means starts without the machine's door.
    from mailseal.system.reader import Reader

MAX_LINKS = 8
MAX_TEXT = 300
"""Characters of a line that are shown."""

Declares = Callable[["Reader", Sequence[str]], Tuple[Declared, ...]]
"""From a reader and the arguments of the running daemon (its name first) to its sockets."""


class Reading(NamedTuple):
    """The daemon's answer to a login command, where `pattern` is found in it: not what the words
    say to everybody (`general`), but `outcome`, because of `why`. `protocols` are those where it
    says so; `source` is where that is known from. `unlisted`: only of a mechanism that the server
    does not list.
    """

    protocols: tuple[str, ...]
    pattern: Pattern[str]
    general: Outcome
    outcome: Outcome
    why: str
    source: str
    unlisted: bool = False


class Sign(NamedTuple):
    """A text of the server's that shows who it is; the group `version` shows which."""

    protocols: tuple[str, ...]
    pattern: Pattern[str]


@dataclass(frozen=True)
class Enforcement:
    """What makes a daemon take no login before TLS at a port.

    `problems` are why that cannot be planned, each with what to do first; `already` says that its
    configuration does so. `splices` are by path, `checks` ask its own tools for the value in
    effect, `after` asks it once more when the daemon has taken the files. `ports` are all ports
    where cleartext logins end, `certificate` is the PEM file that it shows (empty: not known),
    `told` are lines for people, `paths` what all this rests on. `door` is how exceptions are told,
    where the files leave room for them, or are to; `side` is the daemon's own port that serves
    excepted clients, where it has one value for all clients of a port: they are to be taken there.
    """

    problems: Tuple[str, ...] = ()
    already: str = ""
    splices: Tuple[Tuple[str, Tuple[Splice, ...]], ...] = ()
    checks: Tuple[CheckConfiguration, ...] = ()
    after: Tuple[CheckConfiguration, ...] = ()
    ports: Tuple[int, ...] = ()
    certificate: str = ""
    told: Tuple[str, ...] = ()
    risks: Tuple[str, ...] = ()
    paths: Tuple[str, ...] = ()
    door: Optional[Door] = None
    side: int = 0


class Taken(NamedTuple):
    """What planning needs of a daemon's configuration: its files, and what its own tools answer, by
    their command line.
    """

    paths: Tuple[str, ...]
    answers: Mapping[str, str]


class Effect(NamedTuple):
    """How a change of its files reaches a daemon: by which word to its unit, whether its sockets
    are new ones then, and what its clients notice (with the daemon's title).
    """

    word: str
    anew: bool
    gap: str


RELOAD = Effect("reload", False, "none: %s reloads; sessions that are open go on as they are")
REOPEN = Effect(
    "reload", True, "a moment: %s opens its sockets anew; sessions that are open go on as they are"
)
RESTART = Effect(
    "restart", True, "a moment: %s restarts, which ends open sessions; clients connect anew"
)


@dataclass(frozen=True)
class Native:
    """A daemon that can enforce TLS itself. `units` are those of systemd that run its usual
    instance, to whose files `take` and `enforce` look; `enforce` is asked for a port and protocol.
    `effect` is how the unit takes its files. `excepting` is asked instead where networks are to be
    excepted; None: the daemon has no such setting, and `no_door` says so.
    """

    units: Tuple[str, ...]
    take: Callable[["Reader"], Taken]
    enforce: Callable[[HostFacts, int, str], Enforcement]
    effect: Effect = RELOAD
    excepting: Optional[Callable[[HostFacts, int, str], Enforcement]] = None
    no_door: str = ""


@dataclass(frozen=True)
class Daemon:
    """`executables` are patterns (fnmatch) of the path of the process that holds the sockets.

    `title` is its name for people. `signs` are looked for in the banner, then `words` in the
    transcript: what tells releases apart that do not name themselves, pattern to version. `traps`
    say how far a look from a vantage can be believed. `logs` are the dialects of its log lines.
    `native` is None where it cannot enforce TLS itself, or we do not know how.
    """

    name: str
    executables: Tuple[str, ...]
    declares: Declares
    title: str = ""
    signs: Tuple[Sign, ...] = ()
    words: Tuple[Tuple[Pattern[str], str], ...] = ()
    readings: Tuple[Reading, ...] = ()
    traps: Mapping[Vantage, str] = field(default_factory=dict)
    logs: Tuple[Dialect, ...] = ()
    native: Optional[Native] = None

    def runs(self, executable: str) -> bool:
        """Whether a program is this daemon's."""
        return any(fnmatch.fnmatchcase(executable, each) for each in self.executables)


def nothing(reader: Reader, argv: Sequence[str]) -> Tuple[Declared, ...]:
    """Of a daemon that is always started by another, which has the line."""
    return ()


def source(path: str, number: int, line: str) -> Source:
    """A line as it is shown: bounded, blanks made one."""
    return Source(path, number, " ".join(line.split())[:MAX_TEXT])


def default(path: str, words: str) -> Source:
    """The program's default, where the file that could say otherwise does not."""
    return Source(path, 0, words + " (default)")


def lines(data: Optional[bytes]) -> Iterator[Tuple[int, str]]:
    """Line numbers from 1, and lines without their ends; bytes that are no UTF-8 are replaced."""
    text = (data or b"").decode("utf-8", "replace")
    yield from enumerate(text.split("\n"), 1)


PortOf = Callable[[str], Optional[int]]
"""The number that a configuration means by a word: digits, or a name of /etc/services for TCP."""


def host_and_port(port_of: PortOf, word: str) -> Optional[Tuple[str, int]]:
    """`[::1]:109`, `192.0.2.1:imap`, `imap`: host (empty where there is none) and port. None for
    what names no port.
    """
    match = re.fullmatch(r"(?:\[(?P<v6>[^]]*)\]:|(?P<host>[^:]*):)?(?P<port>[\w-]+)", word)
    number = port_of(match.group("port")) if match else None
    if match is None or number is None:
        return None
    host = match.group("v6") or match.group("host") or ""
    return ("" if host == "*" else host), number


def port_of(facts: HostFacts) -> PortOf:
    """As `Reader.port`, from the facts."""
    names = parse_services(content(facts, "/etc/services") or b"")

    def number(word: str) -> Optional[int]:
        if word.isascii() and word.isdigit() and len(word) < 6:
            return int(word)
        return names.get(word)

    return number


def content(facts: HostFacts, path: str) -> Optional[bytes]:
    """The bytes of a file, None where it is not among the facts, or they are not."""
    fact = facts.file(path)
    return fact.content if fact else None


def matching(facts: HostFacts, pattern: str) -> Sequence[str]:
    """As `Reader.matching`, over the files that the facts have."""
    directory, name = posixpath.split(pattern)
    paths = [fact.path for fact in facts.files if posixpath.dirname(fact.path) == directory]
    return sorted(path for path in paths if fnmatch.fnmatch(posixpath.basename(path), name))


def pairs(said: str, by: str = "=") -> Dict[str, str]:
    """What a tool says in lines of `name = value`."""
    found = (line.partition(by) for line in said.splitlines())
    return {name.strip(): value.strip() for name, there, value in found if there}


def also_ports(title: str, what: str, ports: Sequence[int], port: int) -> Tuple[str, ...]:
    """The line that names the ports that a setting holds for besides `port`, if there are any."""
    more = ", ".join(str(each) for each in ports if each != port)
    words = "Port %s of the same %s is enforced with it: %s has one setting for all of them."
    return (words % (more, what, title),) if more else ()


def still_open(title: str, ports: Sequence[int]) -> Tuple[str, ...]:
    """The line that names the ports where the same daemon goes on as before, if there are any."""
    named = ", ".join(str(each) for each in sorted(set(ports)))
    words = "The same %s goes on taking logins in cleartext on port %s: plan for that too."
    return (words % (title, named),) if named else ()


def followed(facts: HostFacts, path: str) -> Optional[FileFact]:
    """The file at the end of the links that begin at `path`, as far as the facts tell."""
    for _ in range(MAX_LINKS):
        fact = facts.file(path)
        if fact is None or fact.kind != "link":
            return fact
        path = posixpath.normpath(posixpath.join(posixpath.dirname(path), fact.target))
    return None


def public(facts: HostFacts, path: str) -> str:
    """The certificate file at the end of `path`, where it is one and holds no private key: what a
    look can be held against. Empty otherwise.
    """
    fact = followed(facts, path)
    return fact.path if fact and b"BEGIN CERTIFICATE" in (fact.content or b"") else ""


def editable(facts: HostFacts, path: str) -> str:
    """Why a file of the configuration cannot be changed; empty where it can."""
    fact = facts.file(path)
    if fact is None:
        return "%s is not there, or could not be read" % path
    if fact.kind != "file":
        return "%s is a %s and no plain file: change what it points to by hand" % (path, fact.kind)
    return "" if fact.content is not None else "%s could not be read" % path


class Product(NamedTuple):
    """Who answers. `version` is empty where it does not show."""

    daemon: Daemon
    version: str

    def __str__(self) -> str:
        return (self.daemon.title + " " + self.version).strip()


def text(pattern: str) -> Pattern[str]:
    """A pattern over text, in any case of letters."""
    return re.compile(pattern, re.IGNORECASE)
