"""nmap: the output of `nmap -oX`, best with `-sV` and the scripts that ask for capabilities.

    nmaprun > host starttime=
        address addr= addrtype=, hostnames > hostname name=
        ports > port protocol= portid=  > state, service name= tunnel= method=, script id= output=

Strategy: nmap lists what a server offers. Where the scripts saw a login with a plain password among
it, outside TLS, the port says `permitted`; any other open port of a mail service says `listens`.
The scripts begin TLS themselves where a port wants it: what they saw there proves nothing, so ports
and names that mean TLS (995, `pop3s`, tunnel="ssl") never say `permitted`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from mailseal.imports import markup
from mailseal.imports.base import (
    TLS_PORTS,
    Item,
    LeftOut,
    Options,
    address_of,
    moment_of_epoch,
    port_of,
    words,
)
from mailseal.imports.markup import TEXT, Attributes, Tables
from mailseal.model.look import Endpoint
from mailseal.model.reported import Claimed, Reported
from mailseal.protocols.recognise import LOGIN_PROTOCOLS, recognise

_INSIDE_TLS = ("pop3s", "imaps", "smtps", "ssmtp", "submissions", "urd")
"""nmap-services' names of ports whose TLS begins with the first octet."""
_PLAIN = {"PLAIN", "LOGIN"}
"""SASL mechanisms that send the password as it is (RFC 4616, and LOGIN, which has no RFC)."""


def _pop3(output: str) -> bool:
    """`USER CAPA UIDL SASL(PLAIN LOGIN)`, in any order."""
    sasl = re.search(r"\bSASL\(([^()]*)\)", output)
    mechanisms = set(sasl[1].upper().split()) if sasl else set()
    outside = re.sub(r"\([^()]*\)", " ", output).upper().split()
    return "USER" in outside or bool(mechanisms & _PLAIN)


def _imap(output: str) -> bool:
    """`IMAP4rev1 LOGINDISABLED AUTH=PLAIN`, in any order; nmap glues its own tag to the last. A
    server that names its capabilities and not LOGINDISABLED takes LOGIN (RFC 3501 6.2.3).
    """
    tokens = {re.sub(r"A\d{4}\Z", "", token) for token in output.upper().split()}
    if tokens & {"AUTH=PLAIN", "AUTH=LOGIN"}:
        return True
    return bool(tokens & {"IMAP4", "IMAP4REV1", "IMAP4REV2"}) and "LOGINDISABLED" not in tokens


def _smtp(output: str) -> bool:
    """`host, SIZE 1000, AUTH PLAIN LOGIN, AUTH=LOGIN`, and on a second line the answer to HELP."""
    offers = re.findall(r", AUTH[ =]([^,]*)", output.upper().partition("\n")[0])
    return any(set(offer.replace("=", " ").split()) & _PLAIN for offer in offers)


def _pop2(output: str) -> bool:
    """A POP2 greeting: what works there works in cleartext (RFC 937); one with "-" says no."""
    return recognise(output.encode("utf-8", "replace")) == "pop2" and output.startswith("+")


_SCRIPTS: dict[str, tuple[str, Callable[[str], bool]]] = {
    "pop3-capabilities": ("pop3", _pop3),
    "imap-capabilities": ("imap", _imap),
    "smtp-commands": ("smtp", _smtp),
    "banner": ("pop2", _pop2),
}
"""A script's id, its protocol, and whether its output shows a login with a plain password."""


class _Report:
    """The host and the port that are being read."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._address: str | None = None
        self._name = self._when = ""
        self._port: Attributes = {}
        self._open = False
        self._service: Attributes = {}
        self._telling: tuple[str, str, str] | None = None
        self.tables = Tables(
            start={
                "host": self._start_host,
                "address": self._start_address,
                "hostname": self._start_hostname,
                "port": self._start_port,
                "state": self._start_state,
                "service": self._start_service,
                "script": self._start_script,
            },
            text={},
            end={"port": self._end_port},
        )

    def _start_host(self, attributes: Attributes, depth: int) -> bool:
        self._address, self._name = None, ""
        self._when = moment_of_epoch(attributes.get("starttime", ""))
        return False

    def _start_address(self, attributes: Attributes, depth: int) -> bool:
        if self._address is None and attributes.get("addrtype") != "mac":
            self._address = address_of(attributes.get("addr", ""))
        return False

    def _start_hostname(self, attributes: Attributes, depth: int) -> bool:
        self._name = self._name or words(attributes.get("name", ""))
        return False

    def _start_port(self, attributes: Attributes, depth: int) -> bool:
        self._port, self._service, self._open, self._telling = attributes, {}, False, None
        return False

    def _start_state(self, attributes: Attributes, depth: int) -> bool:
        self._open = attributes.get("state") == "open"
        return False

    def _start_service(self, attributes: Attributes, depth: int) -> bool:
        self._service = attributes
        return False

    def _start_script(self, attributes: Attributes, depth: int) -> bool:
        name, output = attributes.get("id", ""), attributes.get("output", "")[:TEXT]
        if self._telling is None and name in _SCRIPTS and _SCRIPTS[name][1](output):
            self._telling = (name, _SCRIPTS[name][0], output)
        return False

    def _end_port(self, depth: int) -> None:
        if self._open and self._port.get("protocol") == "tcp":
            port = port_of(self._port.get("portid", ""))
            if port is not None:
                self.tables.found.extend(self._reported(port))

    def _reported(self, port: int) -> Iterator[Item]:
        service = self._service.get("name", "")
        # "table" only repeats which service is usual on that port.
        probed = service if self._service.get("method") == "probed" else ""
        protocol = probed if probed in LOGIN_PROTOCOLS else None
        inside = self._service.get("tunnel") == "ssl" or service in _INSIDE_TLS or port in TLS_PORTS
        check, about, output = ("", protocol, "") if inside else self._telling or ("", protocol, "")
        if not (check or protocol or port in self._options.ports):
            return
        if self._address is None:
            what = f"port {port} at {self._name or 'no host'}"
            yield LeftOut(what, "the report gives no address", claim=bool(check))
            return
        yield Reported(
            Endpoint(self._address, port, self._options.site),
            source="nmap",
            check=check,
            title="offers a login with a plain password" if check else "open port",
            says=Claimed.PERMITTED if check else Claimed.LISTENS,
            protocol=about,
            name=self._name,
            when=self._when,
            text=words(output or self._service.get("product", "")),
            product=words(" ".join(self._service.get(each, "") for each in ("product", "version"))),
        )


def read(chunks: Iterable[bytes], options: Options) -> Iterator[Item]:
    """The open ports of mail services, as they come. Raises Unreadable."""
    return markup.read(chunks, ("nmaprun",), _Report(options).tables)
