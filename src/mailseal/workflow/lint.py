"""What `mailseal lint` does: files and folders to faults, and the safe fixes into the files.

Strategy: a file that is named is always answered for; of a folder only what has a known kind is.
Folders are walked in order and never through a link, so that no walk leaves what was named, and
everything has a bound. A fix replaces the file as a whole, beside which the new one was written
with the same owner and mode: whoever reads it meanwhile sees the one or the other.
"""

from __future__ import annotations

import base64
import os
import re
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mailseal import __version__
from mailseal.certs import CertificateError, describe
from mailseal.lint import RULES, lint, named, repaired
from mailseal.lint.base import Named
from mailseal.lint.kinds import LEFTOVER
from mailseal.model.lint import Linted, LintReference, LintReport
from mailseal.model.moment import rfc3339
from mailseal.workflow import BadInput

LARGEST = 1 << 22
"""Octets of a file. No configuration is so long."""
MOST = 200_000
"""Files and folders of one run."""
PASSED_FOLDERS = frozenset({".git", ".hg", ".svn", "node_modules", "__pycache__", ".venv"})
"""What holds no configuration of a service, and much else."""


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
    files: list[Linted] = []
    passed = 0
    for path, itself in _files(request.paths):
        data = _content(path)
        if isinstance(data, str):
            files.append(Linted(path, "", (), data))
            continue
        there = _there(named(path, data)) if request.here else None
        found = lint(path, data, there)
        if not found.kind and not itself:
            passed += 1
            continue
        if request.fix:
            after = repaired(path, data)
            if after != data and agree(path, data, after):
                _replace(path, data, after)
                found = lint(path, after, there)
        files.append(found)
    return LintReport(__version__, tuple(files), passed, _references(files))


def _references(files: Sequence[Linted]) -> tuple[LintReference, ...]:
    broken = {fault.rule for each in files for fault in each.faults}
    return tuple(
        LintReference(rule.id, rule.title, rule.severity, rule.why, rule.fix, rule.page)
        for rule in RULES
        if rule.id in broken
    )


def _files(paths: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Each file once, and whether it was named itself."""
    seen: set[str] = set()
    count = 0
    for path in paths:
        if not os.path.exists(path):
            raise BadInput(f"{path} is not there: name a file or a folder")
        for each, itself in _walked(path) if os.path.isdir(path) else ((path, True),):
            count += 1
            if count > MOST:
                raise BadInput(f"more than {MOST} files: name smaller folders")
            if each not in seen:
                seen.add(each)
                yield each, itself


def _walked(folder: str) -> Iterator[tuple[str, bool]]:
    # A folder that cannot be read is answered for as a file that cannot.
    shut: list[str] = []
    for where, folders, names in os.walk(folder, onerror=lambda error: shut.append(error.filename)):
        folders[:] = sorted(set(folders) - PASSED_FOLDERS)
        for name in sorted(names):
            path = os.path.join(where, name)
            if not (LEFTOVER.search(name) or os.path.islink(path)) and os.path.isfile(path):
                yield path, False
    for path in shut:
        yield path, True


def _content(path: str) -> bytes | str:
    """The octets of a file, or why there are none."""
    try:
        # A pipe without a writer would never answer.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return "not a file"
            data = file.read(LARGEST + 1)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return data if len(data) <= LARGEST else f"longer than {LARGEST >> 20} MiB"


def _there(paths: Sequence[str]) -> dict[str, Named | None]:
    """What is at the paths; what we may not look at is left out."""
    found: dict[str, Named | None] = {}
    for path in paths:
        try:
            status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            found[path] = None
        except OSError:
            continue
        else:
            ended = _ended(path) if stat.S_ISREG(status.st_mode) else ""
            found[path] = Named(stat.S_IMODE(status.st_mode), status.st_uid, ended)
    return found


_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")


def _ended(path: str) -> str:
    """When the first certificate of a file expired; empty where it has not, or cannot be read."""
    data = _content(path)
    first = _PEM.search(data) if isinstance(data, bytes) else None
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
        if _content(path) != before:
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
