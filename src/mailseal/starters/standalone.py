"""A stand-alone daemon: a service of systemd that opens its listening sockets itself.

Its command line names them (`--listen 0.0.0.0:109`). It is moved by a drop-in that replaces the
command line, so the package's own unit file stays untouched and an upgrade does not undo it.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import replace
from typing import List, Optional, Tuple

from mailseal.configs import systemd
from mailseal.model.host import FileFact, HostFacts
from mailseal.model.ops import MakeDirectory, Op, WriteFile
from mailseal.starters.base import LOST, Change, Start, content, listeners_at

DROP_IN = "zz-mailseal.conf"
"""Drop-ins count in the order of their names: behind the `override.conf` of `systemctl edit`."""

_WORD = re.compile(
    r"(?P<option>-[-\w]+[= ]?)?(?P<address>\[[0-9a-fA-F:]+\]|[0-9.]*|\*)[:,](?P<port>\d+)"
)
"""A word of a command line that names a listening socket: `0.0.0.0:109`, `[::]:109`,
`--listen=:109`."""


def find(facts: HostFacts, port: int) -> Optional[Start]:
    """The service unit that owns the listening sockets of a port."""
    listeners = listeners_at(facts, port)
    units = {listener.unit for listener in listeners}
    if len(units) != 1 or not next(iter(units)).endswith(".service"):
        return None
    unit = next(iter(units))
    commands = _command(facts, unit)
    if commands is None:
        return None
    backend = _backend(facts)
    rebound, problem = _rebind(commands, port, backend)
    return Start(
        starter="systemd",
        unit=unit,
        listeners=listeners,
        files=tuple(fact.path for fact in _files(facts, unit)),
        # A condition that never holds: nothing starts it again, not even another unit.
        off=_drop_in(facts, unit, (("Unit", (("ConditionPathExists", "!/"),)),), "stop", "start"),
        rebound=None if rebound is None else _moved(facts, unit, rebound),
        backend=backend,
        lost=(
            *LOST,
            "other users of this host can still reach the service in cleartext on 127.0.0.1 port "
            "%d (they cannot take the port over)" % backend,
        ),
        fixed=(problem,) if problem else (),
    )


def _command(facts: HostFacts, unit: str) -> Optional[systemd.Command]:
    """The one command that ExecStart= comes to, over the unit file and its drop-ins."""
    documents = [systemd.parse(fact.content or b"") for fact in _files(facts, unit)]
    lines = systemd.effective(documents).get("Service", {}).get("ExecStart", ())
    commands = [command for line in lines for command in systemd.split_exec(line) or ()]
    return commands[0] if len(commands) == 1 else None


def _files(facts: HostFacts, unit: str) -> List[FileFact]:
    """The unit's own file and its drop-ins, in the order systemd applies them."""
    named = [fact for fact in facts.files if fact.content is not None]
    own = [fact for fact in named if fact.path.endswith("/" + unit)]
    drop_ins = [fact for fact in named if "/%s.d/" % unit in fact.path]
    return own + sorted(drop_ins, key=lambda fact: posixpath.basename(fact.path))


def _backend(facts: HostFacts) -> int:
    """A privileged loopback port that nobody listens on and /etc/services gives to nobody."""
    named = set(re.findall(rb"\s(\d+)/tcp", content(facts, "/etc/services") or b""))
    taken = {listener.port for listener in facts.listeners}
    return next(
        port for port in range(1009, 600, -1) if port not in taken and b"%d" % port not in named
    )


def _rebind(
    command: systemd.Command, port: int, backend: int
) -> Tuple[Optional[systemd.Command], str]:
    """The command with its listening sockets replaced by one on loopback, or why that fails."""
    argv: List[str] = []
    options: List[str] = []
    for word in command.argv:
        match = _WORD.fullmatch(word)
        if match is None or int(match.group("port")) != port:
            argv.append(word)
            continue
        # `--listen=ADDRESS`, or `--listen ADDRESS` in two words.
        before = argv[-1] + " " if len(argv) > 1 and argv[-1].startswith("-") else ""
        options.append(match.group("option") or before)
        if len(options) == 1:
            argv.append("%s127.0.0.1:%d" % (match.group("option") or "", backend))
        elif before and not match.group("option"):
            argv.pop()
    if len(set(options)) == 1:
        return replace(command, argv=tuple(argv)), ""
    what = "names port %d in several ways" if options else "does not name port %d"
    words = "the command line of the daemon " + what + ": %s"
    return None, words % (port, " ".join(command.argv))


def _moved(facts: HostFacts, unit: str, command: systemd.Command) -> Change:
    line = systemd.join_exec((command,))
    options = (("ExecStart", ""), ("ExecStart", line))
    return _drop_in(facts, unit, (("Service", options),), "restart", "restart")


def _drop_in(
    facts: HostFacts,
    unit: str,
    sections: Tuple[Tuple[str, Tuple[Tuple[str, str], ...]], ...],
    forward: str,
    back: str,
) -> Change:
    directory = "/etc/systemd/system/%s.d" % unit
    path = "%s/%s" % (directory, DROP_IN)
    body = b"# Made by mailseal; `mailseal rollback` removes it.\n" + systemd.compose(sections)
    edit: Tuple[Op, ...] = (WriteFile(path, body, "root", "root", 0o644),)
    if facts.file(directory) is None:
        edit = (MakeDirectory(directory, "root", "root", 0o755), *edit)
    return Change(edit, unit, forward, back, (path,))
