"""stunnel: the `accept` of each service, in the file that it was started with (stunnel(8))."""

from __future__ import annotations

from typing import Iterator, Sequence, Tuple

from mailseal.daemons.base import Daemon, source
from mailseal.model.local import Declared
from mailseal.system.reader import Reader

CONFIGS = "/etc/stunnel/*.conf"


def _declares(reader: Reader, argv: Sequence[str]) -> Tuple[Declared, ...]:
    named = [word for word in argv[1:] if word.startswith("/")]
    paths = named or reader.matching(CONFIGS)
    return tuple(each for path in paths for each in _file(reader, path))


def _file(reader: Reader, path: str) -> Iterator[Declared]:
    # Only who reads a host needs the parser.
    from mailseal.configs import stunnel
    from mailseal.configs.text import decode

    data = reader.read(path) or b""
    document = stunnel.parse(data)
    for item in document.items:
        if not isinstance(item, stunnel.Option) or item.key.text.lower() != "accept":
            continue
        where = stunnel.parse_address(item.value.text)
        if isinstance(where, stunnel.UnixPath):
            continue
        port = reader.port(where.service.strip())
        if port:
            line = decode(data[item.span.start : item.span.end])
            yield Declared(where.host or "0.0.0.0", port, source(path, item.span.line, line))


DAEMON = Daemon("stunnel", ("*/stunnel4", "*/stunnel"), _declares)
