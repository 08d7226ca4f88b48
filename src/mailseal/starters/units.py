"""What the files of a systemd unit say, and the drop-in of ours that changes it.

The unit's own file stays as it is: an upgrade of its package does not undo the drop-in.
"""

from __future__ import annotations

import posixpath
from typing import List, Mapping, Optional, Sequence, Tuple

from mailseal.configs import systemd
from mailseal.model.host import FileFact, HostFacts
from mailseal.model.ops import MakeDirectory, Op, WriteFile
from mailseal.starters.base import Change

DROP_IN = "zz-mailseal.conf"
"""Drop-ins count in the order of their names: behind the `override.conf` of `systemctl edit`."""

Options = Sequence[Tuple[str, str]]


def options(facts: HostFacts, unit: str) -> Mapping[str, Mapping[str, Tuple[str, ...]]]:
    """Section to key to values, over the unit file and its drop-ins; empty where none is known."""
    return systemd.effective([systemd.parse(fact.content or b"") for fact in files(facts, unit)])


def command(facts: HostFacts, unit: str) -> Optional[systemd.Command]:
    """The one command that ExecStart= comes to, over the unit file and its drop-ins."""
    lines = options(facts, unit).get("Service", {}).get("ExecStart", ())
    commands = [command for line in lines for command in systemd.split_exec(line) or ()]
    return commands[0] if len(commands) == 1 else None


def arguments(facts: HostFacts, unit: str) -> Tuple[str, ...]:
    """Those of that command; none where it is not known."""
    started = command(facts, unit)
    return started.argv[1:] if started else ()


def files(facts: HostFacts, unit: str) -> List[FileFact]:
    """The unit's own file and its drop-ins, in the order systemd applies them."""
    named = [fact for fact in facts.files if fact.content is not None]
    own = [fact for fact in named if fact.path.endswith("/" + unit)]
    drop_ins = [fact for fact in named if "/%s.d/" % unit in fact.path]
    return own + sorted(drop_ins, key=lambda fact: posixpath.basename(fact.path))


def drop_in(
    facts: HostFacts,
    unit: str,
    sections: Sequence[Tuple[str, Options]],
    forward: str,
    back: str,
    down: bool = False,
) -> Change:
    """The change that a drop-in with these sections makes."""
    directory = "/etc/systemd/system/%s.d" % unit
    path = "%s/%s" % (directory, DROP_IN)
    body = b"# Made by mailseal; `mailseal rollback` removes it.\n" + systemd.compose(sections)
    edit: Tuple[Op, ...] = (WriteFile(path, body, "root", "root", 0o644),)
    if facts.file(directory) is None:
        edit = (MakeDirectory(directory, "root", "root", 0o755), *edit)
    return Change(edit, unit, forward, back, (path,), down)
