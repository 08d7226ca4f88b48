"""How each op is done and undone.

One row an op: `before` notes what its undo will need (and refuses where the world is not as the
plan says), `act` does it and checks that it is done, `undo` takes it back. Each undo may run after
a crash at any point, so it asks what is there instead of trusting what should be; and it may run
twice. A file that somebody changed since is never overwritten, unless told so, and then kept aside.
"""

from __future__ import annotations

import base64
import hashlib
import posixpath
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, FrozenSet, Mapping, NamedTuple, Optional, Tuple, Type

from mailseal.apply import authority, firewall, steering, trial
from mailseal.apply.control import POLICY
from mailseal.model import ops
from mailseal.model.firewall import named
from mailseal.model.ops import Listening, Op
from mailseal.system import packages, units
from mailseal.system.base import Meta, Stat, System


class OpFailed(Exception):
    """The op could not be done; `str()` says why and, where we know, what helps."""


class UndoRefused(Exception):
    """Undoing would destroy what somebody else did since. The operator must decide."""


@dataclass(frozen=True)
class Context:
    """What operations work with. `backups` is a directory for the bytes of edited files. With
    `force` an undo overwrites what was changed since, and keeps a copy there.
    """

    system: System
    backups: str
    greets: trial.Greets
    force: bool = False


Undo = Dict[str, Any]


class Operation(NamedTuple):
    """One row. `before` returns JSON for the journal; `act` and `undo` return a line for people
    (empty where there was nothing to do in this direction)."""

    before: Callable[[Context, Any, int], Undo]
    act: Callable[[Context, Any], str]
    undo: Callable[[Context, Any, Undo], str]


# -- files -------------------------------------------------------------------------------------


def sha256(data: bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(data).hexdigest()


def _hash_at(system: System, path: str) -> Optional[str]:
    """The hash of a file's bytes, empty text for what is no file, None where nothing is."""
    found = system.stat(path)
    if found is None:
        return None
    return sha256(system.read(path)) if found.kind == "file" else ""


def _meta(context: Context, owner: str, group: str, mode: int) -> Meta:
    try:
        uid, gid = context.system.ids(owner, group)
    except LookupError as error:
        raise OpFailed("no such user or group: %s" % error) from None
    return Meta(mode, uid, gid)


def _must_be_absent(context: Context, path: str) -> None:
    if context.system.stat(path) is not None:
        raise OpFailed("%s exists already; it was not there when the plan was made" % path)


def _absent_before(context: Context, op: Any, index: int) -> Undo:
    _must_be_absent(context, op.path)
    return {}


def _make_directory(context: Context, op: ops.MakeDirectory) -> str:
    context.system.mkdir(op.path, _meta(context, op.owner, op.group, op.mode))
    return "created directory %s" % op.path


def _remove_directory(context: Context, op: ops.MakeDirectory, undo: Undo) -> str:
    if context.system.stat(op.path) is None:
        return "%s is not there" % op.path
    left = context.system.listdir(op.path)
    # The operator's own, and meant to outlive the change.
    if left == (posixpath.basename(POLICY),) and posixpath.dirname(POLICY) == op.path:
        return "left directory %s: it holds the policy of change control" % op.path
    if left:
        raise UndoRefused("%s is not empty: %s" % (op.path, ", ".join(left[:5])))
    context.system.remove(op.path)
    return "removed directory %s" % op.path


def _write_file(context: Context, op: ops.WriteFile) -> str:
    meta = _meta(context, op.owner, op.group, op.mode)
    context.system.write(op.path, op.content, meta)
    return "wrote %s" % op.path


def _written(context: Context, op: ops.WriteFile, undo: Undo) -> bool:
    return _hash_at(context.system, op.path) in (None, sha256(op.content), *op.later)


def _copy_before(context: Context, op: ops.CopyFile, index: int) -> Undo:
    _must_be_absent(context, op.path)
    return {"sha256": sha256(_follow(context.system, op.source))}


def _copy_file(context: Context, op: ops.CopyFile) -> str:
    data = _follow(context.system, op.source)
    context.system.write(op.path, data, _meta(context, op.owner, op.group, op.mode))
    return "copied %s to %s" % (op.source, op.path)


def _follow(system: System, path: str) -> bytes:
    """The bytes of a file the operator named; the usual ACME clients put links there."""
    for _ in range(8):
        found = system.stat(path)
        if found is None or found.kind != "link":
            break
        path = posixpath.normpath(posixpath.join(posixpath.dirname(path), found.target))
    return system.read(path)


def _copied(context: Context, op: ops.CopyFile, undo: Undo) -> bool:
    # What renews the source copies it again.
    try:
        now = sha256(_follow(context.system, op.source))
    except OSError:
        now = ""
    return _hash_at(context.system, op.path) in (None, undo["sha256"], now)


def _remove_file(context: Context, op: Any, undo: Undo) -> str:
    if context.system.stat(op.path) is None:
        return "%s is not there" % op.path
    ours = as_left(context, op, undo)
    kept = "" if ours else _keep_aside(context, op.path, "it is left as it is")
    context.system.remove(op.path)
    return "removed %s%s" % (op.path, kept)


def _keep_aside(context: Context, path: str, otherwise: str) -> str:
    """Somebody changed what is at `path` since: refuses, saying what is so `otherwise`; with force
    copies it into the run's directory and says where.
    """
    if not context.force:
        words = "%s was changed since; %s. Settle it by hand, or roll back with --force"
        raise UndoRefused(words % (path, otherwise))
    found = context.system.stat(path)
    if found is None or found.kind != "file":
        return ""
    copy = posixpath.join(context.backups, "changed" + path.replace("/", "-"))
    context.system.write(copy, context.system.read(path), Meta(0o600, 0, 0))
    return " (what it was changed to is in %s)" % copy


def _link_before(context: Context, op: ops.MakeLink, index: int) -> Undo:
    _must_be_absent(context, op.path)
    parent = posixpath.dirname(op.path)
    return {"parent": context.system.stat(parent) is not None}


def _make_link(context: Context, op: ops.MakeLink) -> str:
    parent = posixpath.dirname(op.path)
    if context.system.stat(parent) is None:
        context.system.mkdir(parent, Meta(0o755, 0, 0))
    context.system.symlink(op.path, op.target)
    return "linked %s" % op.path


def _linked(context: Context, op: ops.MakeLink, undo: Undo) -> bool:
    found = context.system.stat(op.path)
    return found is None or (found.kind == "link" and found.target == op.target)


def _remove_link(context: Context, op: ops.MakeLink, undo: Undo) -> str:
    ours = as_left(context, op, undo)
    kept = "" if ours else _keep_aside(context, op.path, "it is left as it is")
    context.system.remove(op.path)
    parent = posixpath.dirname(op.path)
    if not undo["parent"] and not context.system.listdir(parent):
        context.system.remove(parent)
    return "removed link %s%s" % (op.path, kept)


def _edit_before(context: Context, op: ops.EditFile, index: int) -> Undo:
    found = context.system.stat(op.path)
    if found is None or found.kind != "file":
        raise OpFailed("%s is not a plain file any more" % op.path)
    data = context.system.read(op.path)
    if sha256(data) != op.before:
        raise OpFailed("%s was changed since the plan was made; plan again" % op.path)
    backup = posixpath.join(context.backups, "backup-%02d" % index)
    context.system.write(backup, data, Meta(0o600, 0, 0))
    return {"backup": backup, "meta": _meta_json(found)}


def _edit_file(context: Context, op: ops.EditFile) -> str:
    found = context.system.stat(op.path)
    data = context.system.read(op.path)
    if found is None or sha256(data) != op.before:
        raise OpFailed("%s changed while the plan was being applied" % op.path)
    changed = spliced(data, op.splices)
    if changed is None or sha256(changed) != op.after:
        raise OpFailed("the plan's change does not fit %s" % op.path)
    context.system.write(op.path, changed, replace(found.meta, modified_ns=None))
    return "changed %s" % op.path


def spliced(data: bytes, splices: Tuple[ops.Splice, ...]) -> Optional[bytes]:
    """`data` with the splices done, None where one does not fit."""
    for splice in sorted(splices, key=lambda splice: splice.offset, reverse=True):
        end = splice.offset + len(splice.old)
        if data[splice.offset : end] != splice.old:
            return None
        data = data[: splice.offset] + splice.new + data[end:]
    return data


def _edited(context: Context, op: ops.EditFile, undo: Undo) -> bool:
    return _hash_at(context.system, op.path) in (op.before, op.after, *op.later)


def _restore_file(context: Context, op: ops.EditFile, undo: Undo) -> str:
    if _hash_at(context.system, op.path) == op.before:
        return "%s is as before" % op.path
    data = context.system.read(undo["backup"])
    if sha256(data) != op.before:
        raise UndoRefused("the backup %s is damaged" % undo["backup"])
    otherwise = "the bytes before are in " + undo["backup"]
    ours = as_left(context, op, undo)
    kept = "" if ours else _keep_aside(context, op.path, otherwise)
    context.system.write(op.path, data, _meta_from(undo["meta"]))
    return "restored %s%s" % (op.path, kept)


def _meta_json(found: Stat) -> Dict[str, Any]:
    meta = found.meta
    xattrs = [[name, base64.b64encode(value).decode("ascii")] for name, value in meta.xattrs]
    return {
        "mode": meta.mode,
        "uid": meta.uid,
        "gid": meta.gid,
        "xattrs": xattrs,
        "modified_ns": meta.modified_ns,
    }


def _meta_from(data: Mapping[str, Any]) -> Meta:
    xattrs = tuple((name, base64.b64decode(value)) for name, value in data["xattrs"])
    return Meta(data["mode"], data["uid"], data["gid"], xattrs, data["modified_ns"])


# -- packages ----------------------------------------------------------------------------------


def _package_before(context: Context, op: ops.InstallPackage, index: int) -> Undo:
    return {"version": packages.installed(context.system, op.name)}


def _install(context: Context, op: ops.InstallPackage) -> str:
    version = packages.installed(context.system, op.name)
    if version:
        return "package %s is installed (%s)" % (op.name, version)
    done = packages.install(context.system, op.name).done
    version = packages.installed(context.system, op.name)
    if not done.ok or not version:
        raise OpFailed("package %s cannot be installed: %s" % (op.name, done.words()))
    # dpkg syncs programs, but neither configuration files nor what maintainer scripts do.
    context.system.run(["sync"], timeout=120)
    return "installed package %s (%s)" % (op.name, version)


def _keep_package(context: Context, op: ops.InstallPackage, undo: Undo) -> str:
    """Without words where nothing of it stays: the receipt goes by that."""
    _await_package_manager(context.system)
    packages.forget_guard(context.system)
    now = "installed" if packages.installed(context.system, op.name) else ""
    now = now or packages.half(context.system, op.name)
    if undo["version"] or not now:
        return ""
    found = packages.manager(context.system)
    remove = found.remove.replace("{}", op.name) if found else "?"
    return "package %s stays %s (remove it with: %s)" % (op.name, now, remove)


_INSTALLERS = (b"apt-get", b"dpkg", b"dnf", b"dnf5", b"yum", b"rpm")


def _await_package_manager(system: System) -> None:
    """A package manager outlives a mailseal that was killed. The guard has to stand until it is
    done, else what it installs is started. Waits a minute at most.
    """
    for _ in range(60):
        if system.stat(packages.GUARD) is None or not _installing(system):
            return
        system.sleep(1.0)


def _installing(system: System) -> bool:
    for name in system.listdir("/proc"):
        try:
            if name.isdigit() and system.read("/proc/%s/comm" % name).strip() in _INSTALLERS:
                return True
        except OSError:
            continue  # it ended
    return False


# -- certificates ------------------------------------------------------------------------------


def _issue_before(context: Context, op: ops.IssueCertificate, index: int) -> Undo:
    """The CA may be there already, of another service; the service's own files may not."""
    *ca, certificate, key = authority.files(op.directory, op.name)
    _must_be_absent(context, certificate)
    _must_be_absent(context, key)
    return {"made": [certificate, key, *(p for p in ca if context.system.stat(p) is None)]}


def _issue(context: Context, op: ops.IssueCertificate) -> str:
    problem = authority.issue(context.system, op, _meta(context, "root", op.group, 0o640))
    if problem:
        raise OpFailed(problem)
    return "issued a certificate for %s" % ", ".join(op.names)


def _issued(context: Context, op: ops.IssueCertificate, undo: Undo) -> bool:
    return authority.is_ours(context.system, op)


def _remove_issued(context: Context, op: ops.IssueCertificate, undo: Undo) -> str:
    authority.clean(context.system, op)
    kept = ""
    if not as_left(context, op, undo):
        leaf = authority.files(op.directory, op.name)[2]
        kept = _keep_aside(context, leaf, "it is left as it is, with its key")
    for path in undo["made"]:
        context.system.remove(path)
    return "removed the certificate that was issued" + kept


# -- services ----------------------------------------------------------------------------------

_ROUND = 0.02

_Sockets = FrozenSet[Tuple[str, int, int]]
"""What listens in this network namespace: address, port, and the inode, which no other socket has
while it lives."""


def _nothing_before(context: Context, op: Any, index: int) -> Undo:
    return {}


def _unit_do(context: Context, op: ops.UnitAction) -> str:
    return _unit(context, op.unit, op.do, op.after_do, op.seconds)


def _unit_undo(context: Context, op: ops.UnitAction, undo: Undo) -> str:
    word = op.undo
    # It was active when the plan was made. A daemon with nothing left to serve may have ended, or
    # not have come up at a boot in between.
    if word == "reload" and units.state(context.system, op.unit).active != "active":
        word = "restart"
    said = _unit(context, op.unit, word, op.after_undo, op.seconds)
    if word == "stop":
        units.forget_failure(context.system, op.unit)
    return said


def _unit(
    context: Context, unit: str, word: str, wanted: Tuple[Listening, ...], seconds: float
) -> str:
    if not word:
        return ""
    system = context.system
    if word == "stop" and units.state(system, unit).load == "not-found":
        return "%s is not there" % unit
    old = _sockets(system) if any(want.anew for want in wanted) else frozenset()
    done = units.act(system, unit, word)
    if not done.ok:
        said = units.last_words(system, unit) if unit else ""
        words = done.words() + said + denials(system)
        raise OpFailed("%s %s failed: %s" % (word, unit, words))
    missing = await_listeners(system, wanted, seconds, old)
    if missing:
        raise OpFailed("after %s %s: %s%s" % (word, unit, missing, denials(system)))
    return "%s %s" % (word, unit) if unit else word


def _sockets(system: System) -> _Sockets:
    return frozenset(
        (each.address, each.port, each.inode) for each in system.sockets() if not each.namespace
    )


def await_listeners(
    system: System, wanted: Tuple[Listening, ...], seconds: float, old: _Sockets = frozenset()
) -> str:
    """Waits until every expectation holds. Empty text then, else what does not hold. `old` are
    those that do not count where a socket is wanted anew.
    """
    # A bound on rounds and not on time: the clock may jump. Short ones: while we wait, nobody may
    # be served.
    for _ in range(max(1, int(seconds / _ROUND))):
        there = {
            (each.address, each.port, unit, False)
            for unit in {want.unit for want in wanted if not want.anew}
            for each in system.listeners(unit)
        }
        if any(want.anew for want in wanted):
            new = _sockets(system) - old
            there |= {(address, port, "", True) for address, port, _ in new}
        missing = [
            _wording(want)
            for want in wanted
            if ((want.address, want.port, want.unit, want.anew) in there) is not want.present
        ]
        if not missing:
            return ""
        system.sleep(_ROUND)
    return "; ".join(missing)


def _wording(want: Listening) -> str:
    new = "new " if want.anew else ""
    state = "nothing %slistens" % new if want.present else "something still listens"
    where = " in the network namespace of %s" % want.unit if want.unit else ""
    return "%s on %s port %d%s" % (state, want.address, want.port, where)


def denials(system: System) -> str:
    """What SELinux or AppArmor forbade in the last two minutes, as the end of an error message."""
    done = system.run(["journalctl", "-k", "--since=-2min", "-o", "cat", "-n", "500"], timeout=10)
    lines = [
        line
        for line in done.out.decode("utf-8", "replace").splitlines()
        if ("avc:  denied" in line or 'apparmor="DENIED"' in line) and "stunnel" in line
    ]
    return "; the kernel's security module forbade: " + lines[-1][:300] if lines else ""


# -- the trial of the terminator ------------------------------------------------------------------


def _try(context: Context, op: ops.TryTerminator) -> str:
    meta = _meta(context, "root", op.group, 0o640)
    problem = trial.run(context.system, op, meta, context.greets)
    if problem:
        raise OpFailed(problem + denials(context.system))
    return "tried stunnel on a loopback port: the greeting came through TLS"


def _end_trial(context: Context, op: ops.TryTerminator, undo: Undo) -> str:
    trial.clean(context.system, op)
    return "the trial is gone"


# -- the firewall ----------------------------------------------------------------------------------


def _open_before(context: Context, op: ops.OpenPort, index: int) -> Undo:
    try:
        return {"there": firewall.there(context.system, op)}
    except firewall.Failed as failed:
        raise OpFailed("the firewall is not as when the plan was made: %s" % failed) from None


def _open(context: Context, op: ops.OpenPort) -> str:
    try:
        firewall.add(context.system, op)
    except firewall.Failed as failed:
        words = "%s does not let TCP port %d in: %s"
        raise OpFailed(words % (named(op), op.port, failed)) from None
    return "%s lets TCP port %d in" % (named(op), op.port)


def _close(context: Context, op: ops.OpenPort, undo: Undo) -> str:
    try:
        taken = firewall.take(context.system, op, undo["there"])
    except firewall.Failed as failed:
        words = "%s still lets TCP port %d in: %s"
        raise OpFailed(words % (named(op), op.port, failed)) from None
    if not taken:
        return "%s has no rule of ours for TCP port %d" % (named(op), op.port)
    return "%s no longer lets TCP port %d in" % (named(op), op.port)


# -- a daemon's own checker ------------------------------------------------------------------------


def _check_configuration(context: Context, op: ops.CheckConfiguration) -> str:
    command = " ".join(op.argv)
    done = context.system.run(op.argv, timeout=CHECK_SECONDS)
    if not done.ok:
        raise OpFailed("the daemon refuses this configuration: %s" % done.words())
    said = [" ".join(line.split()) for line in done.out.decode("utf-8", "replace").splitlines()]
    missing = [line for line in op.prints if line not in said]
    if missing:
        words = "the change has no effect: `%s` does not print %r. Something else overrides it"
        raise OpFailed(words % (command, missing[0]))
    return "checked: %s" % command


def _nothing_to_undo(context: Context, op: ops.CheckConfiguration, undo: Undo) -> str:
    return ""


CHECK_SECONDS = 60.0


# -- steering --------------------------------------------------------------------------------------


def _steer(context: Context, op: ops.Steer) -> str:
    try:
        return _turn(context, op, op.do)
    except steering.Failed as failed:
        raise OpFailed("%s; --handover plain plans without it" % failed) from None


def _steer_back(context: Context, op: ops.Steer, undo: Undo) -> str:
    """The way back needs no steering: where it cannot be, there is a short gap."""
    try:
        return _turn(context, op, op.undo)
    except (steering.Failed, OpFailed) as failed:
        if op.undo == "end":
            raise OpFailed(str(failed)) from None
        steering.end(context.system, op)
        return "not steered: %s" % failed


def _turn(context: Context, op: ops.Steer, word: str) -> str:
    if word == "end":
        return steering.end(context.system, op)
    meta = _meta(context, "root", op.group, 0o640)
    return steering.begin(context.system, op, meta, context.greets)


OPERATIONS: Dict[Type[Any], Operation] = {
    ops.InstallPackage: Operation(_package_before, _install, _keep_package),
    ops.MakeDirectory: Operation(_absent_before, _make_directory, _remove_directory),
    ops.WriteFile: Operation(_absent_before, _write_file, _remove_file),
    ops.CopyFile: Operation(_copy_before, _copy_file, _remove_file),
    ops.EditFile: Operation(_edit_before, _edit_file, _restore_file),
    ops.MakeLink: Operation(_link_before, _make_link, _remove_link),
    ops.IssueCertificate: Operation(_issue_before, _issue, _remove_issued),
    ops.UnitAction: Operation(_nothing_before, _unit_do, _unit_undo),
    ops.TryTerminator: Operation(_nothing_before, _try, _end_trial),
    ops.OpenPort: Operation(_open_before, _open, _close),
    ops.CheckConfiguration: Operation(_nothing_before, _check_configuration, _nothing_to_undo),
    ops.Steer: Operation(_nothing_before, _steer, _steer_back),
}


_AS_LEFT: Dict[Type[Any], Callable[[Context, Any, Undo], bool]] = {
    ops.WriteFile: _written,
    ops.CopyFile: _copied,
    ops.EditFile: _edited,
    ops.MakeLink: _linked,
    ops.IssueCertificate: _issued,
}


def as_left(context: Context, op: Op, undo: Undo) -> bool:
    """Whether what is at the op's path is what the op has left there, or was there before it."""
    known = _AS_LEFT.get(type(op))
    return known is None or known(context, op, undo)


_SECONDS: Dict[Type[Any], float] = {
    ops.InstallPackage: 3 * packages.INSTALL_SECONDS + 300.0,
    ops.IssueCertificate: 240.0,
    ops.UnitAction: 2 * units.SECONDS,
    ops.TryTerminator: 4 * units.SECONDS,
    ops.OpenPort: 10 * firewall.SECONDS,
    ops.CheckConfiguration: CHECK_SECONDS + 10.0,
    ops.Steer: steering.SECONDS,
}


def operation(op: Op) -> Operation:
    """The row for an op."""
    return OPERATIONS[type(op)]


def seconds(op: Op) -> float:
    """How long an op takes at the very most: what its programs are allowed, and more."""
    own = op.seconds if isinstance(op, (ops.UnitAction, ops.Steer)) else 0.0
    return _SECONDS.get(type(op), 10.0) + own


def writes(op: Op) -> Tuple[str, ...]:
    """The files that an op makes, replaces or removes; of a package the one that is ours."""
    if isinstance(op, ops.InstallPackage):
        return (packages.GUARD,)
    if isinstance(op, ops.IssueCertificate):
        # The CA may be another service's, and is then left as it is.
        return authority.files(op.directory, op.name)[-2:]
    if isinstance(op, ops.Steer):
        return (op.path, op.units)
    path = getattr(op, "path", "")
    return (path,) if path else ()


def directories(op: Op) -> Tuple[str, ...]:
    """Where an op writes files: where a kill may leave a temporary one."""
    return tuple(dict.fromkeys(map(posixpath.dirname, writes(op))))
