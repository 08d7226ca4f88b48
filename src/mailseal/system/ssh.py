"""Another machine by way of the OpenSSH client: programs run there, bytes go in and come out.

Strategy: the user's own `ssh` with the user's own configuration, so keys, agents, jump hosts and
host key checks are theirs and stay theirs. Each call is a connection of its own: what confirms a
change must not ride on a connection that was there before it. Standard error is passed on line by
line, so that progress is seen while it happens.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Callable, ContextManager, List, Sequence, Tuple

from mailseal.system import hold as holding
from mailseal.system.base import Completed
from mailseal.system.talk import talk

_TARGET = re.compile(
    r"ssh://(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]*)@)?"
    r"(?P<host>[A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d{1,5}))?/?"
)


@dataclass(frozen=True)
class Address:
    """Where to connect: `user` and `port` empty where ssh's configuration decides."""

    host: str
    user: str = ""
    port: str = ""

    def argv(self) -> Tuple[str, ...]:
        """The ssh command up to the remote command. The host can never be read as an option."""
        words = ["ssh", "-T", "-o", "ConnectTimeout=15", "-o", "ServerAliveInterval=5"]
        words += ["-p", self.port] if self.port else []
        words += ["-l", self.user] if self.user else []
        return (*words, "--", self.host)


def parse(target: str) -> Address:
    """`ssh://[user@]host[:port]`. Raises ValueError."""
    match = _TARGET.fullmatch(target)
    if match is None:
        raise ValueError("%r is not ssh://[user@]host[:port]" % target)
    return Address(match["host"].strip("[]"), match["user"] or "", match["port"] or "")


def run(
    address: Address,
    argv: Sequence[str],
    *,
    data: bytes = b"",
    timeout: float = 600.0,
    tell: Callable[[str], None] = lambda line: None,
) -> Completed:
    """Runs a program there to its end. `tell` gets each line of its standard error. A code of 255
    is ssh's own failure (no connection, no login).
    """
    done = talk(_command(address, argv), data, timeout, tell)
    return Completed(tuple(argv), done.code, done.out, done.err)


def hold(
    address: Address,
    argv: Sequence[str],
    tell: Callable[[str], None],
    first: float,
    last: float,
) -> ContextManager[Completed]:
    """A program there that stays for the time of the `with`: see `hold.hold`."""
    return holding.hold(_command(address, argv), tell, first, last)


def _command(address: Address, argv: Sequence[str]) -> List[str]:
    return [*address.argv(), " ".join(shlex.quote(word) for word in argv)]
