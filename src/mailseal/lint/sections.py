"""A service of stunnel.conf with all that is in force for it, as the rules ask for it.

Strategy: the global options are part of every service, so a fault among them would be told once for
each: whoever collects hits drops what stands at one place twice.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from mailseal.configs import stunnel
from mailseal.configs.stunnel import HostPort, Option, Service
from mailseal.configs.text import Span
from mailseal.lint.mail import loopback


class Part(NamedTuple):
    """One service. `options` are by lower-case key, the global ones first."""

    document: stunnel.Document
    service: Service | None
    options: Mapping[str, tuple[Option, ...]]

    def last(self, key: str) -> Option | None:
        """The assignment that counts of an option with one value."""
        return self.options.get(key, (None,))[-1]

    def value(self, key: str) -> str:
        """The value that counts; empty where there is none."""
        option = self.last(key)
        return option.value.text if option else ""

    def yes(self, key: str) -> bool:
        return self.value(key).lower() == "yes"

    def texts(self, key: str) -> list[str]:
        """All values of an option that adds up."""
        return [option.value.text for option in self.options.get(key, ())]

    @property
    def client(self) -> bool:
        return self.yes("client")

    @property
    def checks(self) -> bool:
        """Whether any check of the peer is asked for, be it enough or not."""
        levels = self.value("verify") in ("2", "3", "4")
        names = self.texts("checkhost") or self.texts("checkip")
        return levels or self.yes("verifychain") or self.yes("verifypeer") or bool(names)

    @property
    def name(self) -> str:
        return self.service.name if self.service else ""

    @property
    def place(self) -> Span:
        """Where the service begins."""
        if self.service:
            return self.service.section.name.span
        return next(iter(self.options.values()))[0].key.span

    def addresses(self, key: str) -> Iterator[tuple[Option, HostPort, int | None]]:
        """Each TCP address of `accept` or `connect`, with its port number where it is one."""
        for option in self.options.get(key, ()):
            address = stunnel.parse_address(option.value.text)
            if isinstance(address, HostPort):
                yield option, address, address.port({})

    @property
    def backends(self) -> Iterator[tuple[Option, HostPort, int | None]]:
        """What of `connect` is a port of this host."""
        return (each for each in self.addresses("connect") if loopback(each[1].host, True))

    @property
    def open_accepts(self) -> list[tuple[Option, HostPort, int | None]]:
        """What of `accept` other hosts reach."""
        return [each for each in self.addresses("accept") if not loopback(each[1].host, False)]


MOST = 200
"""Services that are looked at: what is global is asked of each."""


def every_option(document: stunnel.Document) -> list[Option]:
    """All options as they stand in the file, global ones and those of services."""
    return [item for item in document.items if isinstance(item, Option)]


def parts(document: stunnel.Document) -> list[Part]:
    """Each service; without any section the global options are one (inetd mode)."""
    above = _by_key(document.globals)
    services = document.services[:MOST]
    if not services:
        return [Part(document, None, above)] if above else []
    made = []
    for service in services:
        own = _by_key(service.options)
        both = {key: above.get(key, ()) + options for key, options in own.items()}
        made.append(Part(document, service, ChainMap(both, above)))
    return made


def _by_key(options: Iterable[Option]) -> dict[str, tuple[Option, ...]]:
    found: dict[str, list[Option]] = {}
    for option in options:
        found.setdefault(option.key.text.lower(), []).append(option)
    return {key: tuple(same) for key, same in found.items()}


def named_paths(document: stunnel.Document) -> Iterator[tuple[str, Option, str]]:
    """What a file names: the option's key in lower case, the option, and a path. Of a file that
    stunnel writes the path is that of its folder; `log` is the one of `output` itself. Only
    absolute ones, and none where stunnel runs in a root of its own: what they mean there is not
    known.
    """
    options = every_option(document)
    if any(option.key.text.lower() == "chroot" for option in options):
        return
    for option in options:
        key, path = option.key.text.lower(), option.value.text
        if path.startswith("/") and "\0" not in path:
            if key in ("cert", "key"):
                yield key, option, path
            elif key in ("pid", "output"):
                yield key, option, path.rpartition("/")[0] or "/"
            if key == "output":
                yield "log", option, path


def connects(document: stunnel.Document) -> dict[str, bool]:
    """The values of `connect` that can be tried, and whether the backend is not to speak first: it
    waits for the line of the PROXY protocol.
    """
    rooted = any(option.key.text.lower() == "chroot" for option in every_option(document))
    found: dict[str, bool] = {}
    for part in parts(document):
        silent = not part.client and part.value("protocol").lower() == "proxy"
        for option in part.options.get("connect", ()):
            value = option.value.text
            address = stunnel.parse_address(value)
            if isinstance(address, HostPort):
                known = address.port({}) and "{" not in value and address.host != ""
            else:
                known = not rooted
            if known:
                found[value] = found.get(value, False) or silent
    return found


def lets_go(document: stunnel.Document) -> str:
    """The account that stunnel becomes; empty where it stays who it is."""
    users = [part.value("setuid") for part in parts(document)]
    return next((each for each in users if each not in ("", "root", "0")), "")
