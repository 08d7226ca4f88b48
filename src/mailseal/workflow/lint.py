"""What `mailseal lint` does: files and folders to faults, and the safe fixes into the files.

Strategy: a file that is named is always answered for; of a folder only what has a known kind is, by
its name or by that of the place that another file copies it to. A fix replaces the file as a whole,
beside which the new one was written with the same owner and mode: whoever reads it meanwhile sees
the one or the other.
"""

from __future__ import annotations

import base64
import os
import re
import stat
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from mailseal import __version__
from mailseal.certs import CertificateError, describe
from mailseal.configs import stunnel
from mailseal.lint import NO_KIND, RULES, look, named, repaired
from mailseal.lint.base import Answer, Named, Names, There
from mailseal.model.lint import Linted, LintReference, LintReport
from mailseal.model.moment import rfc3339
from mailseal.probe import backends
from mailseal.workflow import BadInput
from mailseal.workflow.linttree import Tree, content, walked


@dataclass(frozen=True)
class Request:
    """`fix`: make the safe fixes of those files that `agree` says yes to; it is shown the path and
    the octets before and after. `here`: the files are in force on this host, so that what they name
    is looked at too.
    """

    paths: tuple[str, ...]
    fix: bool = False
    here: bool = False


Agree = Callable[[str, bytes, bytes], bool]


def run(request: Request, agree: Agree) -> LintReport:
    """Looks at all that is named. Raises BadInput for what is not there, and for a fix that cannot
    be written.
    """
    tree = Tree(request.paths)
    files: dict[str, Linted] = {}
    taken: dict[str, str] = {}
    passed: set[str] = set()
    for path, itself in walked(request.paths):
        # What another file included was linted with that.
        if os.path.realpath(path) in files:
            continue
        looked, copies = _look(request, tree, path, path, agree)
        taken.update(copies)
        if looked[0].kind or looked[0].unread != NO_KIND or itself:
            for each in looked:
                # A file may include itself: what was said of it first counts.
                if each is looked[0] or not os.path.samefile(each.path, path):
                    files[os.path.realpath(each.path)] = each
        else:
            passed.add(path)
    for path, name in taken.items():
        # A file whose own name says nothing is what it is copied to.
        if os.path.realpath(path) not in files:
            looked, _ = _look(replace(request, fix=False), tree, path, name, agree)
            if looked[0].kind:
                files[os.path.realpath(path)] = looked[0]
                passed.discard(path)
    found = tuple(files.values())
    return LintReport(__version__, found, len(passed), _references(found))


def _look(
    request: Request, tree: Tree, path: str, name: str, agree: Agree
) -> tuple[tuple[Linted, ...], dict[str, str]]:
    """What was found in the file at a path that is called `name` where it is used, and what it
    copies: where each lies, and the path that it gets.
    """
    data = content(path)
    if isinstance(data, str):
        return (Linted(path, "", (), data),), {}
    there = _there(named(name, data)) if request.here else None
    beside = partial(tree.beside, path)
    looked = look(name, data, there, beside)
    if request.fix:
        after = repaired(path, data)
        if after != data and agree(path, data, after):
            _replace(path, data, after)
            looked = look(path, after, there, beside)
    copies = {tree.find(path, each.sources): each.path for each in looked.taken}
    copies.pop("", None)
    files = (replace(looked.files[0], path=path), *looked.files[1:])
    return files, copies


def _references(files: Sequence[Linted]) -> tuple[LintReference, ...]:
    broken = {fault.rule for each in files for fault in each.faults}
    return tuple(
        LintReference(rule.id, rule.title, rule.severity, rule.why, rule.fix, rule.page)
        for rule in RULES
        if rule.id in broken
    )


def _there(names: Names) -> There:
    """What is at the paths, and behind what is connected to; what could not be looked at is left
    out.
    """
    places = {value: _place(value, waits) for value, waits in names.connects.items()}
    asked = backends.ask(tuple(places.values()))
    answers = {
        value: Answer(asked[place].resolves, asked[place].taken, asked[place].greets)
        for value, place in places.items()
        if place in asked
    }
    return There(_at(names.paths), answers)


def _place(value: str, waits: bool) -> backends.Place:
    address = stunnel.parse_address(value)
    if isinstance(address, stunnel.UnixPath):
        return backends.Place("", path=address.path, waits=waits)
    return backends.Place(address.host or "localhost", address.port({}) or 0, waits=waits)


def _at(paths: Sequence[str]) -> dict[str, Named | None]:
    found: dict[str, Named | None] = {}
    for path in paths:
        try:
            status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            found[path] = None
        except OSError:
            continue
        else:
            data = content(path) if stat.S_ISREG(status.st_mode) else b""
            pem = data if isinstance(data, bytes) else b""
            found[path] = Named(
                stat.S_IMODE(status.st_mode),
                status.st_uid,
                _ended(pem),
                key=_KEY.search(pem) is not None,
                # To anybody else the answer would say nothing of who starts stunnel.
                read_only=os.geteuid() == 0 and not os.access(path, os.W_OK),
            )
    return found


_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")


_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")


def _ended(pem: bytes) -> str:
    """When the first certificate of a file expired; empty where it has not, or cannot be read."""
    first = _PEM.search(pem)
    try:
        after = describe(base64.b64decode(first[1])).not_after if first else ""
    except (CertificateError, ValueError):
        return ""
    return after if after < rfc3339(time.time()) else ""


def _replace(path: str, before: bytes, after: bytes) -> None:
    """The new content in the place of the old. Raises BadInput where the file has changed since it
    was read, and where it cannot be written.
    """
    path = os.path.realpath(path)
    try:
        if content(path) != before:
            raise BadInput(f"{path} has changed since it was read: run it again")
        there = os.stat(path)
        descriptor, beside = tempfile.mkstemp(prefix=".mailseal-", dir=os.path.dirname(path))
        try:
            with open(descriptor, "wb") as file:
                file.write(after)
                if (there.st_uid, there.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(descriptor, there.st_uid, there.st_gid)
                os.fchmod(descriptor, stat.S_IMODE(there.st_mode))
                file.flush()
                os.fsync(descriptor)
            os.replace(beside, path)
        except BaseException:
            os.unlink(beside)
            raise
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}") from None
