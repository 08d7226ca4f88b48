"""Reports that leave the house: users and clients under other names, the same in every report.

Strategy: a pseudonym is a keyed hash (HMAC-SHA-256, RFC 2104), so nobody without the key can try
names against it, and the same user is the same pseudonym today and next month. The key is made on
first use and lies beside the store, for its owner alone; who deletes it cuts the link to earlier
reports. Values go in and values come out, before any report is written. A name also stands in the
client's name, in what its software says of itself, in a note or a file's name: what holds one is
left out as a whole, because a pseudonym amid known words would tell what it stands for.
Everything else that is known of an endpoint (verdicts, findings, looks) holds counts and no names.
"""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
import os
import re
import secrets
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from mailseal.model.known import FindingHistory
from mailseal.model.login import Login, TlsFailure
from mailseal.report.logins import Logins
from mailseal.store import StoreError, folder
from mailseal.workflow import BadInput

DIGITS = 8
"""Hexadecimal digits of a pseudonym: of ten thousand users two share one once in 86 reports."""
OCTETS = 32
"""Of the key."""
PREFIXES = {4: 24, 6: 64}
"""What stays of a client's address, in bits, by IP version."""


@dataclass(frozen=True)
class Redaction:
    """What to hide, and the key of the pseudonyms. With neither `users` nor `clients` everything
    passes unchanged.
    """

    key: bytes = b""
    users: bool = False
    clients: bool = False

    def login(self, login: Login) -> Login:
        """One login."""
        if self == NOTHING:
            return login
        names = self._names(login)
        return replace(
            login,
            user=self._name("user", login.user) if self.users and login.user else login.user,
            client=self._client(login.client, names),
            software=tuple(
                each
                for each in login.software
                if not (_holds(each, names) or self._names_it(login, each))
            ),
            notes=tuple(_LEFT_OUT if _holds(each, names) else each for each in login.notes),
        )

    def failure(self, failure: TlsFailure) -> TlsFailure:
        """A client that fails at TLS; no user is known of it."""
        return replace(failure, client=self._client(failure.client, ()))

    def history(self, history: FindingHistory) -> FindingHistory:
        """A finding with the logins at its endpoint."""
        if self == NOTHING:
            return history
        names = self._all_names(each.login for each in history.logins)
        return replace(
            history,
            logins=tuple(
                replace(
                    each,
                    login=self._cleaned(each.login, names),
                    source="" if _holds(each.source, names) else each.source,
                )
                for each in history.logins
            ),
        )

    def document(self, seen: Logins) -> Logins:
        """What `mailseal wire` and `mailseal logs` give. A name may also stand in a note about
        another login, or in the name of a file.
        """
        if self == NOTHING:
            return seen
        names = self._all_names(each.login for each in seen.logins)
        if self.clients:
            names |= {failure.client.casefold() for failure in seen.failures if failure.client}
        return replace(
            seen,
            sources=tuple(
                "source %d" % number if _holds(each, names) else each
                for number, each in enumerate(seen.sources, 1)
            ),
            logins=tuple(
                replace(each, login=self._cleaned(each.login, names)) for each in seen.logins
            ),
            failures=tuple(map(self.failure, seen.failures)),
            partial=tuple(_LEFT_OUT if _holds(each, names) else each for each in seen.partial),
        )

    def _cleaned(self, login: Login, names: set[str]) -> Login:
        """A login among others, whose names are looked for word by word: there may be many."""
        hidden = self.login(login)
        if _words(hidden.client) & names:
            hidden = replace(hidden, client=self._name("client", login.client))
        return replace(
            hidden,
            software=tuple(each for each in hidden.software if not _words(each) & names),
            notes=tuple(_LEFT_OUT if _words(each) & names else each for each in hidden.notes),
        )

    def _all_names(self, logins: Iterable[Login]) -> set[str]:
        return {name.casefold() for login in logins for name in self._names(login)}

    def _names(self, login: Login) -> tuple[str, ...]:
        """What may stand nowhere: the user with and without the domain, the client."""
        names = [login.user, login.user.partition("@")[0]] if self.users and login.user else []
        return tuple(filter(None, [*names, login.client if self.clients else ""]))

    def _client(self, client: str, names: Iterable[str]) -> str:
        if not client or not (self.clients or _holds(client, names)):
            return client
        try:
            address = ipaddress.ip_address(client.partition("%")[0])
        except ValueError:
            return self._name("client", client)
        return str(ipaddress.ip_network((address, PREFIXES[address.version]), strict=False))

    def _names_it(self, login: Login, software: str) -> bool:
        """Whether this is a name of the client: in SMTP programs greet with that of their machine
        (RFC 5321, 4.1.1.1), a program's own has a blank or a slash elsewhere.
        """
        one_word = not re.search(r"[\s/]", software)
        return self.clients and one_word and (login.protocol == "smtp" or "." in software)

    def _name(self, what: str, name: str) -> str:
        text = f"{what}\0{name}".encode("utf-8", "backslashreplace")
        return f"{what}-{hmac.digest(self.key, text, 'sha256').hex()[:DIGITS]}"


NOTHING = Redaction()
"""Hides nothing."""

_LEFT_OUT = "left out: it holds a name"


def _holds(text: str, names: Iterable[str]) -> bool:
    """Whether one of the names stands in a text, as a part of a word too; one of two letters stands
    in nearly every word, so it must be a word by itself.
    """
    folded, words = text.casefold(), _words(text)
    return any(name.casefold() in (folded if len(name) > 2 else words) for name in names)


def _words(text: str) -> set[str]:
    """Its words, also those that hold dots and the like: names of users and hosts."""
    folded = text.casefold()
    long = {word.strip(".:") for word in re.findall(r"[^\s'\"<>(),;=/]+", folded)}
    return {*long, *re.findall(r"\w+", folded)}


# -- the key ---------------------------------------------------------------------------------------


def redaction(users: bool, clients: bool, environment: Mapping[str, str]) -> Redaction:
    """What `--redact-users` and `--redact-clients` ask for; the key is made where there is none.
    Raises BadInput where it cannot be used.
    """
    if not (users or clients):
        return NOTHING
    try:
        return Redaction(_key(os.path.join(folder(environment), "redaction.key")), users, clients)
    except StoreError as error:
        raise BadInput(str(error)) from None


def _key(path: str) -> bytes:
    try:
        if not os.path.exists(path):
            _make(path)
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                os.fchmod(file.fileno(), 0o600)
            text = file.read(OCTETS * 2 + 2)
        key = bytes.fromhex(text.decode("ascii"))
    except OSError as error:
        raise BadInput(
            f"the key of the pseudonyms, {path}, cannot be used: {error.strerror}"
        ) from None
    except ValueError:
        key = b""
    if len(key) != OCTETS:
        words = f"{path} is no key of pseudonyms: put back a copy, or delete it for a new one"
        raise BadInput(words)
    return key


def _make(path: str) -> None:
    """Whole or not at all, and of two who make it at once the first one's counts."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    draft = f"{path}.{secrets.token_hex(8)}"
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_hex(OCTETS).encode("ascii") + b"\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)
