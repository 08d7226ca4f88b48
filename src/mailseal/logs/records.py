"""What a line and its session say, as records: a Login, a TlsFailure, without counts and moments.

Strategy: a Login is made once for each kind; what stands for a kind is cheap to make and compare.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Hashable

from mailseal.daemons.dialect import COMMAND, Service
from mailseal.logs.header import Message
from mailseal.logs.reasons import reason
from mailseal.logs.rule import Rule
from mailseal.logs.sessions import Session
from mailseal.model.login import Login, TlsFailure
from mailseal.model.look import Endpoint, Vantage
from mailseal.protocols import sasl
from mailseal.protocols.base import printable

_COMMANDS = {"pop2": "HELO", "pop3": "USER", "imap": "LOGIN command"}
_COMMAND_WORDS = {COMMAND, "plaintext"}
"""What a record, or Cyrus, calls a protocol's own command."""
_NAMED = re.compile("|".join(sorted(sasl.KNOWN - {"HELO", "USER"}, key=len, reverse=True)), re.I)


class Records:
    """`at` is the server's address where a log has none."""

    def __init__(self, at: str) -> None:
        self._at = at
        self._logins: dict[Hashable, Login] = {}
        self._services: dict[tuple[Rule, bytes], Service | None] = {}

    def forget(self, most: int) -> None:
        """Keeps no more than `most` of what would be made again."""
        for known in (self._logins, self._services):
            if len(known) > most:
                known.clear()

    def failure(
        self, rule: Rule, found: re.Match[bytes], line: Message, session: Session | None
    ) -> TlsFailure | None:
        service = self.service(rule, found, line, session)
        if service is None:
            return None
        return TlsFailure(
            self._endpoint(rule, found, service),
            service.protocol,
            self._client(rule, found, session),
            reason(rule(found, "reason")),
            0,
            "",
            "",
            Vantage.LOG,
            text(line.host),
            rule.daemon,
        )

    def service(
        self,
        rule: Rule,
        found: re.Match[bytes],
        line: Message,
        session: Session | None,
    ) -> Service | None:
        name = (rule.named and found[rule.named]) or (session and session.service)
        if not name:
            return rule.service
        key = (rule, name)
        if key not in self._services:
            self._services[key] = rule.dialect.service(name)
        return self._services[key]

    def login(
        self,
        rule: Rule,
        found: re.Match[bytes],
        line: Message,
        service: Service,
        session: Session | None,
    ) -> tuple[Hashable, Login]:
        """The login without what other lines tell, and what stands for it."""
        client = session.client if session else b""
        key = (rule, line.host, client, rule.who(found))
        known = self._logins.get(key)
        if known is not None:
            return key, known
        user = rule(found, "user")
        mechanism = rule(found, "mechanism").decode("latin-1") or rule.line.mechanism
        login = self._logins[key] = Login(
            self._endpoint(rule, found, service),
            service.protocol,
            self._client(rule, found, session),
            printable(user) if user else None,
            _mechanism(mechanism, service.protocol),
            rule.line.channel,
            rule.line.outcome,
            0,
            "",
            "",
            Vantage.LOG,
            host=text(line.host),
            daemon=rule.daemon,
        )
        return key, login

    def _client(self, rule: Rule, found: re.Match[bytes], session: Session | None) -> str:
        told = rule(found, "client") or (session.client if session else b"")
        return address(told) or text(rule(found, "name"))

    def _endpoint(self, rule: Rule, found: re.Match[bytes], service: Service) -> Endpoint | None:
        at = address(rule(found, "local")) or self._at
        port = rule(found, "port")
        if not at:
            return None
        known = int(port) if port and 0 < int(port[:9]) < 65536 else service.port
        return Endpoint(at, known)


def text(octets: bytes) -> str:
    return printable(octets) if octets else ""


def address(octets: bytes) -> str:
    """An address in its usual form; empty for what is none."""
    try:
        found = ipaddress.ip_address(octets.decode("ascii").partition("%")[0])
    except ValueError:
        return ""
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)


def _mechanism(word: str, protocol: str) -> str:
    """A mechanism's name as `sasl` knows it; empty where the word is none. Exim gives the name of
    an authenticator, which as a rule has the mechanism's in it.
    """
    if word in _COMMAND_WORDS:
        return _COMMANDS.get(protocol, "")
    if word.upper() in sasl.KNOWN:
        return word.upper()
    found = _NAMED.search(word.replace("_", "-"))
    return found[0].upper() if found else ""
