"""Each op in an administrator's words: what is done, how to see that it is, how it is taken back.

Strategy: one row an op, read by every form that people follow by hand. The commands shown here are
for reading; those that are run stand in the form itself.
"""

from __future__ import annotations

import difflib
import hashlib
import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from shlex import quote
from typing import Any

from mailseal.export.base import CannotExport, row
from mailseal.model import firewall, ops
from mailseal.model.look import Endpoint
from mailseal.model.ops import Listening, Op


@dataclass(frozen=True)
class Step:
    """One op in words; `what` is empty where it counts on the way back alone."""

    what: str
    check: str
    undo: str


_SCRIPTED = "/etc/mailseal/boot/"
"""What an init script of ours starts at boot."""


def step(op: Op, form: str) -> Step:
    """The words of an op. Raises CannotExport."""
    words = {op.do, op.undo} if isinstance(op, ops.UnitAction) else set()
    linked = isinstance(op, ops.MakeLink) and op.path.startswith(_SCRIPTED)
    if words & {"enable", "disable", "add"} or linked:
        raise CannotExport("%s is for systemd, and the plan is for an init script" % form)
    return row(_STEPS, op, form)(op)


def difference(op: ops.EditFile) -> list[str]:
    """What an edit changes, as diff(1) shows it with no lines around: these may hold passwords, so
    a plan has none of them, and tells octets for want of the lines before.
    """
    shown = ["--- " + op.path, "+++ " + op.path]
    for splice in sorted(op.splices, key=lambda splice: splice.offset):
        old, new = (
            each.decode("utf-8", "backslashreplace").splitlines()
            for each in (splice.old, splice.new)
        )
        lines = list(difflib.unified_diff(old, new, n=0, lineterm=""))[2:]
        shown.append("@@ octet %d @@" % splice.offset)
        shown += [line for line in lines if not line.startswith("@@")]
    return shown


def sha256(data: bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(data).hexdigest()


def issued(op: ops.IssueCertificate) -> tuple[str, str, str, str]:
    """Where the CA's certificate and key lie, and the service's."""
    names = ("ca.crt", "ca.key", op.name + ".crt", op.name + ".key")
    first, second, third, fourth = (posixpath.join(op.directory, name) for name in names)
    return first, second, third, fourth


def _install(op: ops.InstallPackage) -> Step:
    return Step(
        "install package %s, with none of its services started or enabled" % op.name,
        "dpkg-query -W %s || rpm -q %s" % (quote(op.name), quote(op.name)),
        "it stays; apt-get remove %s (dnf remove, yum remove) takes it away" % quote(op.name),
    )


def _directory(op: ops.MakeDirectory) -> Step:
    path = quote(op.path)
    return Step(
        "create directory %s (%s:%s %04o)" % (op.path, op.owner, op.group, op.mode),
        "stat -c '%%U:%%G %%a' %s" % path,
        "rmdir %s" % path,
    )


def _write(op: ops.WriteFile) -> Step:
    return Step(
        "create %s (%s:%s %04o)" % (op.path, op.owner, op.group, op.mode),
        "sha256sum %s gives %s" % (quote(op.path), sha256(op.content)),
        "rm %s" % quote(op.path),
    )


def _copy(op: ops.CopyFile) -> Step:
    return Step(
        "copy %s to %s (%s:%s %04o)" % (op.source, op.path, op.owner, op.group, op.mode),
        "cmp %s %s" % (quote(op.source), quote(op.path)),
        "rm %s" % quote(op.path),
    )


def _edit(op: ops.EditFile) -> Step:
    return Step(
        "change %s" % op.path,
        "sha256sum %s gives %s (before: %s)" % (quote(op.path), op.after, op.before),
        "put the backup of %s back" % op.path,
    )


def _link(op: ops.MakeLink) -> Step:
    path = quote(op.path)
    return Step("link %s to %s" % (op.path, op.target), "readlink %s" % path, "rm %s" % path)


def _issue(op: ops.IssueCertificate) -> Step:
    authority, authority_key, leaf, key = issued(op)
    return Step(
        "make a certificate for %s (%d days) under the host's private CA, made with it where there "
        "is none" % (", ".join(op.names), op.days),
        "openssl verify -CAfile %s %s" % (quote(authority), quote(leaf)),
        "rm %s %s, and %s %s if they were made here"
        % (quote(leaf), quote(key), quote(authority), quote(authority_key)),
    )


def _unit(op: ops.UnitAction) -> Step:
    return Step(
        _asked(op.do, op.unit),
        _sockets(op.after_do) or ("systemctl status %s" % quote(op.unit) if op.unit else ""),
        _asked(op.undo, op.unit),
    )


def _asked(word: str, unit: str) -> str:
    return ("systemctl %s %s" % (word, quote(unit)) if unit else "systemctl " + word) * bool(word)


def _sockets(wanted: tuple[Listening, ...]) -> str:
    return "ss -ltn shows " * bool(wanted) + ", ".join(
        "%s port %d%s %s%s"
        % (
            each.address,
            each.port,
            " (in the network of %s)" % each.unit if each.unit else "",
            "listening" if each.present else "gone",
            " (a new socket: ss -ltne numbers them)" * each.anew,
        )
        for each in wanted
    )


def _try(op: ops.TryTerminator) -> Step:
    return Step(
        "try stunnel on a free loopback port, before anything is switched",
        "the service's greeting comes through TLS with a certificate for %s" % op.name,
        "nothing of it stays",
    )


def _check(op: ops.CheckConfiguration) -> Step:
    command = " ".join(map(quote, op.argv))
    prints = " and ".join(op.prints)
    check = "it ends well" + (", and prints " + prints) * bool(prints)
    return Step("ask the daemon about its configuration: " + command, check, "nothing to undo")


def _open(op: ops.OpenPort) -> Step:
    return Step(
        "let everybody in to TCP port %d in the firewall (%s)" % (op.port, firewall.named(op)),
        firewall.typed(op),
        " && ".join(" ".join(map(quote, rule.take)) for rule in firewall.rules(op)),
    )


def _steer(op: ops.Steer) -> Step:
    return Step(
        _steered(op, op.do),
        "nft list tables shows inet mailseal_handover for that time alone",
        _steered(op, op.undo),
    )


def _steered(op: ops.Steer, word: str) -> str:
    """What begins or ends."""
    where = ", ".join(str(Endpoint(each.address, each.port)) for each in op.routes)
    return "%s leading new connections at %s to a second stunnel (nftables)" % (word, where)


_STEPS: Mapping[type[Any], Callable[[Any], Step]] = {
    ops.InstallPackage: _install,
    ops.MakeDirectory: _directory,
    ops.WriteFile: _write,
    ops.CopyFile: _copy,
    ops.EditFile: _edit,
    ops.MakeLink: _link,
    ops.IssueCertificate: _issue,
    ops.UnitAction: _unit,
    ops.TryTerminator: _try,
    ops.OpenPort: _open,
    ops.CheckConfiguration: _check,
    ops.Steer: _steer,
}
