"""/etc/inetd.conf of openbsd-inetd and of the classic inetds, and /etc/services beside it.

After inetd(8) of openbsd-inetd: words between blanks, `#` in the first column begins a comment, a
line that begins with a blank continues the entry above, `host:` alone sets the address of the
entries that follow. Continuation is why an edit works on whole entries: with its first line alone
commented out, the second would become an entry of its own.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import Dict, Iterator, List, Mapping, Optional, Tuple, Union

from mailseal.configs import text
from mailseal.configs.text import Malformed, Span, Splice, Trivia, Word

# openbsd-inetd reads lines into a buffer of 1024 bytes and takes what does not fit for the next
# line, be it the tail of a comment.
MAX_LINE = 1023

# Where tcpd looks for a server named without a path (REAL_DAEMON_DIR on Debian).
TCPD_DAEMONS = "/usr/sbin"

FIELDS = ("service", "type", "protocol", "wait", "user", "server")
SOCKET_TYPES = frozenset({"stream", "dgram", "rdm", "seqpacket", "raw", "tli"})

_WORD = re.compile(rb"[^ \t]+")
# The last colon parts host and service; brackets around the host are taken off.
_HOST = re.compile(r"(?:\[(?P<bracketed>.*)\]|(?P<plain>.*)):(?P<service>[^:]*)", re.DOTALL)


@dataclass(frozen=True)
class Entry:
    """One service.

    `words` are all words of the entry, `fields` those of FIELDS; where the address has a word of
    its own (`127.0.0.1: pop2 …`) the first field is the word after it. `address` is as written,
    None if there was none; `addresses` are those in force, "*" meaning all. `limit` is the number
    of starts a minute that was written behind `wait`. `argv` begins with the name of the program.
    """

    span: Span
    words: Tuple[Word, ...]
    fields: Tuple[Word, ...]
    address: Optional[str]
    addresses: Tuple[str, ...]
    service: str
    type: str
    protocol: str
    wait: bool
    limit: Optional[int]
    user: str
    group: Optional[str]
    server: str
    argv: Tuple[str, ...]

    @property
    def transport(self) -> str:
        """The protocol as /etc/services has it: `tcp` for tcp4, tcp6 and tcp46."""
        return self.protocol.rstrip("0123456789")

    @property
    def internal(self) -> bool:
        """True when inetd answers by itself."""
        return self.server == "internal"

    @property
    def wrapped_by_tcpd(self) -> bool:
        return behind_tcpd(self.server)

    @property
    def effective_server(self) -> str:
        """The program that speaks to the client: behind tcpd, the one tcpd starts."""
        return effective_server(self.server, self.argv)


@dataclass(frozen=True)
class DefaultAddress:
    """`host:` alone on a line: the addresses of the entries after it that name none."""

    span: Span
    addresses: Tuple[str, ...]


Items = Union[Trivia, Malformed, DefaultAddress, Entry]


@dataclass(frozen=True)
class Document(text.Document[Items]):
    """A parsed inetd.conf."""

    @property
    def entries(self) -> Tuple[Entry, ...]:
        return tuple(item for item in self.items if isinstance(item, Entry))


def behind_tcpd(server: str) -> bool:
    """Whether `server` is tcpd(8), which checks hosts.allow and then becomes its argv[0]."""
    return posixpath.basename(server) == "tcpd"


def effective_server(server: str, argv: Tuple[str, ...]) -> str:
    """The program that serves: `server`, or what tcpd(8) makes of `argv`, or "" for a bare tcpd."""
    if not behind_tcpd(server):
        return server
    name = argv[0] if argv else ""
    return posixpath.join(TCPD_DAEMONS, name) if name and not behind_tcpd(name) else ""


def parse(data: bytes) -> Document:
    """The document of an inetd.conf; never raises."""
    lines, rest = text.split_lines(data)
    return Document(data, text.tile([*_items(lines), *rest]))


def _items(lines: List[text.Line]) -> Iterator[Items]:
    default: Tuple[str, ...] = ("*",)
    for group in _groups(lines):
        item = _item(group, default)
        if isinstance(item, DefaultAddress):
            default = item.addresses
        yield item


def _groups(lines: List[text.Line]) -> Iterator[List[text.Line]]:
    """The lines of each comment, blank line or entry, an entry with what continues it."""
    group: List[text.Line] = []
    for line in lines:
        if group and not (line.text[:1] in (b" ", b"\t") and not _comment(group[0])):
            yield group
            group = []
        group.append(line)
    if group:
        yield group


def _comment(line: text.Line) -> bool:
    return line.text.startswith(b"#")


def _item(group: List[text.Line], default: Tuple[str, ...]) -> Items:
    span = text.cover(group[0], group[-1])
    if any(len(line.text) > MAX_LINE for line in group):
        return Malformed(span, f"longer than {MAX_LINE} bytes: inetd reads it as two lines")
    if _comment(group[0]):
        return Trivia(span)
    words = tuple(line.word(*match.span()) for line in group for match in _WORD.finditer(line.text))
    if not "".join(word.text for word in words).strip("\r"):
        return Trivia(span)
    if any("\0" in word.text for word in words):
        return Malformed(span, "a NUL inside: inetd cuts the line there")
    if words[0].text.startswith("#"):
        return Malformed(span, "an indented '#' begins no comment: inetd reads it as a service")
    return _entry(span, words, default)


def _entry(span: Span, words: Tuple[Word, ...], default: Tuple[str, ...]) -> Items:
    address: Optional[str] = None
    addresses, fields, service = default, words, words[0].text.rstrip("\r")
    host = _HOST.fullmatch(service)
    if host:
        address = host.group("bracketed") or host.group("plain") or ""
        addresses, service = tuple(address.split(",")), host.group("service")
        if not service:
            fields = words[1:]
            if not fields:
                return DefaultAddress(span, addresses)
            service = fields[0].text
    if len(fields) < len(FIELDS):
        return Malformed(span, f"{len(fields)} fields where inetd wants {len(FIELDS)} or more")
    _, kind, protocol, wait, user, server = (field.text.rstrip("\r") for field in fields[:6])
    if kind not in SOCKET_TYPES:
        return Malformed(span, "the second field is not a socket type")
    limit = re.fullmatch(r"(?:no)?wait[.:/]([0-9]{1,9}).*", wait)
    name, _, group = user.partition(":" if ":" in user else ".")
    argv = tuple(field.text.rstrip("\r") for field in fields[6:])
    return Entry(
        span=span,
        words=words,
        fields=fields[:6],
        address=address,
        addresses=addresses,
        service=service,
        type=kind,
        protocol=protocol.partition(",")[0],  # the rest are buffer sizes
        wait=re.match(r"wait(?:[.:/]|$)", wait) is not None,
        limit=int(limit.group(1)) if limit else None,
        user=name,
        group=group or None,
        server=server,
        argv=argv or (posixpath.basename(server),),
    )


def port(entry: Entry, services: Mapping[str, int]) -> Optional[int]:
    """The port an entry listens on; `services` are those of its transport (`parse_services`).

    None for an RPC service, a Unix socket, and a name that is not in `services`: such an entry is
    not served.
    """
    if entry.protocol == "unix" or entry.protocol.startswith("rpc/"):
        return None
    number = re.match(r"[0-9]{1,18}", entry.service)  # as atoi(3): what follows is ignored
    if number and int(number.group()) & 0xFFFF:
        return int(number.group()) & 0xFFFF
    return services.get(entry.service)


def parse_services(data: bytes, protocol: str = "tcp") -> Mapping[str, int]:
    """Name or alias to port for one protocol, from the bytes of /etc/services (services(5)).

    The first line that has a name wins, as in getservbyname(3). Lines that make no sense are
    passed over, as there.
    """
    found: Dict[str, int] = {}
    for line in data.split(b"\n"):
        words = text.decode(line.partition(b"#")[0]).split()
        number = re.fullmatch(r"([0-9]{1,5})/(\S+)", words[1]) if len(words) > 1 else None
        if number and number.group(2) == protocol and int(number.group(1)) <= 0xFFFF:
            for name in (words[0], *words[2:]):
                found.setdefault(name, int(number.group(1)))
    return found


# ---- edits ---------------------------------------------------------------------------------------


def comment_out(document: Document, entry: Entry, mark: str = "# mailseal: ") -> Tuple[Splice, ...]:
    """Turn each line of an entry into a comment. Raises ValueError if `mark` begins none."""
    if not re.fullmatch(r"#[^\n\r\0]*", mark):
        raise ValueError(f"no comment begins with {mark!r}")
    body = document.data[entry.span.start : entry.span.end]
    return tuple(
        Splice(entry.span.start + line.start(), b"", text.encode(mark))
        for line in re.finditer(rb"[^\n]*\n|[^\n]+", body)
    )


def set_field(document: Document, entry: Entry, field: str, value: str) -> Tuple[Splice, ...]:
    """Replace one of FIELDS; `service` takes the address with it (`127.0.0.1:10109`).

    Raises ValueError for a value that is not one word, and for an unknown field.
    """
    if not re.fullmatch(r"[^#\s\0][^\s\0]*", value):
        raise ValueError(f"not one word: {value!r}")
    word = entry.fields[FIELDS.index(field)]
    start = entry.words[0].span if field == "service" else word.span
    raw = document.data[word.span.start : word.span.end]
    span = Span(start.line, start.column, start.start, word.span.end - raw.endswith(b"\r"))
    splice = text.replace(document.data, span, text.encode(value))
    return (splice,) if splice.old != splice.new else ()


def at_socket(entry: Entry, path: str) -> bytes:
    """An entry that serves the same at the Unix socket `path` (openbsd-inetd), behind no tcpd:
    there is no address that it could ask for. Raises ValueError for a path that is not one word.
    """
    if not re.fullmatch(r"/[^\s\0]{1,100}", path):
        raise ValueError(f"not a path of one word: {path!r}")
    fields = [field.text.rstrip("\r") for field in entry.fields]
    words = [path, "stream", "unix", *fields[3:5], entry.effective_server, *entry.argv]
    line = text.encode(" ".join(words))
    return (line if len(line) <= MAX_LINE else text.encode("\n ".join(words))) + b"\n"
