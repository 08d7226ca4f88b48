"""What the package manager knows of updates, asked so that nothing on the host changes.

Strategy: one row a package manager. It is asked for what it has on disk already; no list is
fetched. Whatever may keep an update out of sight (no lists, old ones, no source of security
updates) is a gap with its reason, because no update that is known is not the same as none.

apt: `apt-get -s upgrade` names the candidate's archive alone. A point release on top of a security
update would look ordinary, so all versions above the installed one are read from the table of
`apt-cache policy` (apt-cache(8)). Without its two cache files named, apt would write them; and
`apt-get -s` writes /var/log/apt/eipp.log.xz.

dnf: `updateinfo list --updates` (dnf(8), dnf5-advisory(8)). It always writes logs, so they are
sent to a folder of ours and taken away.
"""

from __future__ import annotations

import email.utils
import posixpath
import re
from dataclasses import replace
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from mailseal.model.local import Package, Software
from mailseal.model.moment import rfc3339
from mailseal.system.base import Completed
from mailseal.system.reader import NOT_ROOT, Reader

SECONDS = 20.0
"""For one question."""
OLD_DAYS = 8
"""A security archive of Debian signs its lists anew within a week (Valid-Until)."""
LOGS = "/run/mailseal-dnf"
MAX_PACKAGES = 200

_APT_READS_ONLY = ("-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=")
_APT_LISTS = "/var/lib/apt/lists/"


def updates(reader: Reader, packages: Sequence[Tuple[str, str]]) -> Software:
    """The distribution, and of these packages (name and version) all that their manager knows."""
    release = _release(reader)
    base = Software(
        distribution=" ".join(filter(None, (release.get("ID"), release.get("VERSION_ID")))),
        title=release.get("PRETTY_NAME", ""),
        packages=tuple(Package(name, version) for name, version in packages[:MAX_PACKAGES]),
    )
    found = next((each for each in _MANAGERS if reader.matching(each.program)), None)
    if found is None:
        return replace(base, gaps=("updates: no package manager that is known here",))
    told = found.ask(reader, replace(base, manager=found.name), release)
    return replace(told, gaps=(*told.gaps, *_age(reader, told.fresh)))


def _release(reader: Reader) -> Dict[str, str]:
    """os-release(5): assignments, values perhaps in quotes."""
    text = (reader.read("/etc/os-release") or b"").decode("utf-8", "replace")
    found = re.findall(r"^([A-Z_]+)=[\"']?([^\"'\n]*)", text, re.MULTILINE)
    return {name: value.strip()[:100] for name, value in found}


def _age(reader: Reader, fresh: str) -> Iterator[str]:
    now = reader.system.now()
    if fresh and fresh < rfc3339(now - OLD_DAYS * 86400):
        yield "updates: the package lists are of %s, older than %d days" % (fresh[:10], OLD_DAYS)


def _run(reader: Reader, argv: Sequence[str], codes: Sequence[int] = (0,)) -> str:
    """What a program says; empty where it fails, which is told."""
    try:
        done = reader.system.run(argv, timeout=SECONDS)
    except OSError as error:
        done = Completed(tuple(argv), 1, b"", str(error).encode("utf-8", "replace"))
    if done.code in codes:
        return done.out.decode("utf-8", "replace")
    reader.unread[argv[0]] = "took longer than %g s" % SECONDS if done.code == 124 else done.words()
    return ""


# -- apt -------------------------------------------------------------------------------------------


class _Target(NamedTuple):
    """A list of packages that apt has on disk: as `apt-cache policy` names it, and whose it is."""

    name: str
    codename: str
    suite: str
    label: str
    origin: str
    component: str
    file: str

    @property
    def security(self) -> bool:
        """Debian and Ubuntu end the name of the suite so; Debian's had another name up to 10."""
        names = (self.codename, self.suite)
        return self.label == "Debian-Security" or any(each.endswith("-security") for each in names)


class _Version(NamedTuple):
    version: str
    targets: Tuple[_Target, ...]


class _Table(NamedTuple):
    """A package in `apt-cache policy`; `newer` than the installed version, newest first."""

    candidate: str
    newer: Tuple[_Version, ...]
    installed: Tuple[_Target, ...]
    others: Tuple[_Target, ...]


_FORMAT = "\t".join("$(%s)" % field for field in (
    "DESCRIPTION", "CODENAME", "SUITE", "LABEL", "ORIGIN", "COMPONENT", "FILENAME",
))  # fmt: skip


def _apt(reader: Reader, base: Software, release: Dict[str, str]) -> Software:
    said = _run(reader, ("apt-get", "indextargets", "--format", _FORMAT, "Created-By: Packages"))
    rows = (line.split("\t") for line in said.splitlines())
    # A field that its list does not have is left as it was written.
    targets = [
        _Target(*("" if cell.startswith("$(") else cell for cell in row))
        for row in rows
        if len(row) == len(_Target._fields)
    ]
    names = [each.name for each in base.packages]
    tables = _tables(
        _run(reader, ("apt-cache", *_APT_READS_ONLY, "policy", *names)) if names else "",
        {each.name: each for each in targets},
    )
    held = _held(reader, names)
    codename = release.get("VERSION_CODENAME", "")
    security = [each for each in targets if each.security]
    fresh, gaps = "", []
    if not targets:
        gaps.append("updates: apt has no package lists: run apt-get update")
    elif not security:
        gaps.append("updates: no source of security updates is among apt's package lists")
    else:
        fresh = _signed(reader, security)
        if not fresh:
            gaps.append("updates: how old the package lists are is not told")
    gaps += ["updates: %s" % reader.unread[name] for name in _APT_ASKED if name in reader.unread]
    return replace(
        base,
        fresh=fresh,
        gaps=tuple(gaps),
        packages=tuple(
            _judged(
                each,
                tables.get(each.name) or tables.get(each.name.partition(":")[0]),
                each.name in held,
                codename,
                frozenset(one.origin for one in security),
            )
            for each in base.packages
        ),
    )


_APT_ASKED = ("apt-get", "apt-cache")


def _tables(said: str, targets: Dict[str, _Target]) -> Dict[str, _Table]:
    """By the name that apt gives it: an architecture stands behind a colon where it is another."""
    found: Dict[str, _Table] = {}
    for block in re.split(r"^(?=\S)", said, flags=re.MULTILINE):
        name, _, body = block.partition(":\n")
        candidate = re.search(r"^  Candidate: (\S+)$", body, re.MULTILINE)
        newer: List[_Version] = []
        others: List[_Target] = []
        installed: Tuple[_Target, ...] = ()
        seen = False
        for mark, version, sources in _VERSION.findall(body):
            lines = (line.strip().partition(" ")[2] for line in sources.splitlines())
            of = tuple(targets[line] for line in lines if line in targets)
            seen = seen or bool(mark.strip())
            if mark.strip():
                installed = of
            elif not seen:
                newer.append(_Version(version, of))
            others += of
        if candidate and seen:
            found[name] = _Table(candidate[1], tuple(newer), installed, tuple(others))
    return found


_VERSION = re.compile(r"^( \*\*\*|    ) (\S+)[^\n]*\n((?:^        [^\n]*\n?)*)", re.MULTILINE)


def _judged(
    package: Package,
    table: Optional[_Table],
    held: bool,
    codename: str,
    telling: "frozenset[str]",
) -> Package:
    """`telling` are the origins that have an archive of security updates."""
    if table is None:
        return replace(package, unknown="apt tells nothing of it")
    # What was superseded is in no list any more: then whoever has other versions of it.
    sources = table.installed or table.others
    package = replace(
        package,
        vendor=sources[0].origin if sources else "",
        component=sources[0].component if sources else "",
        unknown="" if sources else "it is in no package list: nobody's updates reach it",
    )
    versions = [each.version for each in table.newer]
    at = versions.index(table.candidate) if table.candidate in versions else len(versions)
    ours = [
        each
        for each in table.newer[:at]
        if any(one.security and one.codename.startswith(codename) for one in each.targets)
    ]
    if ours:
        blocked = "apt's preferences keep it at %s" % table.candidate
        return replace(package, update=ours[0].version, security=True, blocked=blocked)
    if at == len(versions):
        return package
    security: Optional[bool] = any(o.security for each in table.newer[at:] for o in each.targets)
    if not security and any(o.origin not in telling for o in table.newer[at].targets):
        security = None
    blocked = "it is on hold" if held else ""
    return replace(package, update=table.candidate, security=security, blocked=blocked)


def _held(reader: Reader, names: Sequence[str]) -> "frozenset[str]":
    form = "-f=${binary:Package} ${db:Status-Want}\n"
    said = reader.ask("dpkg-query", "-W", form, *names, partial=True) if names else ""
    words = (line.split() for line in said.splitlines())
    return frozenset(each[0] for each in words if each[1:] == ["hold"])


def _signed(reader: Reader, targets: Sequence[_Target]) -> str:
    """The newest `Date` of the Release files of these lists; empty where there is none."""
    moments = []
    for path in reader.matching(_APT_LISTS + "*Release"):
        begins = re.sub(r"(In)?Release$", "", path)
        if any(each.file.startswith(begins) for each in targets):
            text = (reader.read(path) or b"").decode("utf-8", "replace")
            date = re.search(r"^Date: (.{1,60})$", text, re.MULTILINE)
            try:
                told = email.utils.parsedate_to_datetime(date[1] if date else "")
                moments.append(rfc3339(told.timestamp()))
            except (TypeError, ValueError, IndexError, OverflowError):
                continue
    return max(moments, default="")


# -- dnf -------------------------------------------------------------------------------------------


def _dnf(reader: Reader, base: Software, release: Dict[str, str]) -> Software:
    names = [each.name for each in base.packages]
    vendors = _vendors(reader, names)
    base = replace(
        base, packages=tuple(replace(p, vendor=vendors.get(p.name, "")) for p in base.packages)
    )
    if reader.system.uid() != 0:
        return replace(base, gaps=("updates: dnf's lists: " + NOT_ROOT,))
    fresh = _fetched(reader)
    if not fresh:
        return replace(base, gaps=("updates: dnf has no package lists: run dnf makecache",))
    if not names:
        return replace(base, fresh=fresh)
    try:
        newest = _newest(_run(reader, (*_DNF, "check-update", *names), (0, 100)), names)
        secure = _secure(_run(reader, (*_DNF, "updateinfo", "list", "--updates", *names)), names)
    finally:
        _swept(reader)
    gaps = ("updates: %s" % reader.unread["dnf"],) if "dnf" in reader.unread else ()
    return replace(
        base,
        fresh=fresh,
        gaps=gaps,
        packages=tuple(
            _waiting(reader, each, *newest[each.name], each.name in secure)
            if each.name in newest
            else each
            for each in base.packages
        ),
    )


def _waiting(reader: Reader, package: Package, version: str, source: str, secure: bool) -> Package:
    """Where its repository has no advisories, all its updates look like ordinary ones."""
    telling = any(
        reader.matching(posixpath.join(folder, "repodata/*updateinfo*"))
        for folder in _folders(reader)
        if posixpath.basename(folder).rpartition("-")[0] == source
    )
    return replace(package, update=version, security=secure or (False if telling else None))


_DNF = ("dnf", "--quiet", "--cacheonly", "--setopt=logdir=" + LOGS)


def _newest(said: str, names: Sequence[str]) -> Dict[str, Tuple[str, str]]:
    """Name to version and repository of `dovecot.x86_64  1:2.3.16-6.el9  baseos`, up to the list of
    what is obsoleted.
    """
    rows = (line.split() for line in said.partition("\nObsoleting")[0].splitlines())
    found = ((row[0].rpartition(".")[0], (row[1], row[2])) for row in rows if len(row) == 3)
    return {name: told for name, told in found if name in names}


def _secure(said: str, names: Sequence[str]) -> "frozenset[str]":
    """`RLSA-2026:1234 Important/Sec. dovecot-1:2.3.16-5.el9.x86_64`; dnf5 has the type in a column
    of its own, and the day behind it.
    """
    found: Set[str] = set()
    for words in map(str.split, said.splitlines()):
        if any(word.endswith("/Sec.") or word == "security" for word in words[1:3]):
            found.update(word.rsplit("-", 2)[0] for word in words[2:] if word.count("-") >= 2)
    return frozenset(found.intersection(names))


def _vendors(reader: Reader, names: Sequence[str]) -> Dict[str, str]:
    form = "%{NAME}\t%{VENDOR}\n"
    said = reader.ask("rpm", "-q", "--qf", form, *names, partial=True) if names else ""
    rows = (line.split("\t") for line in said.splitlines())
    return {row[0]: row[1] for row in rows if len(row) == 2 and row[1] != "(none)"}


def _fetched(reader: Reader) -> str:
    """When the newest of its lists was last found to be current."""
    moments = []
    for folder in _folders(reader):
        try:
            found = reader.system.stat(posixpath.join(folder, "repodata/repomd.xml"))
        except OSError:
            continue
        if found and found.meta.modified_ns:
            moments.append(rfc3339(found.meta.modified_ns / 1e9))
    return max(moments, default="")


def _folders(reader: Reader) -> Tuple[str, ...]:
    """Those of its lists: a repository's name, a dash and a hash each."""
    return (*reader.matching("/var/cache/dnf/*"), *reader.matching("/var/cache/libdnf5/*"))


def _swept(reader: Reader) -> None:
    system = reader.system
    try:
        for name in system.listdir(LOGS):
            system.remove(posixpath.join(LOGS, name))
        system.remove(LOGS)
    except OSError as error:
        reader.unread[LOGS] = "dnf's logs are left there: %s" % error


class _Manager(NamedTuple):
    name: str
    program: str
    ask: Callable[[Reader, Software, Dict[str, str]], Software]


_MANAGERS = (_Manager("apt", "/usr/bin/apt-cache", _apt), _Manager("dnf", "/usr/bin/dnf", _dnf))
"""The program that shows that a manager is there, and how it is asked."""
