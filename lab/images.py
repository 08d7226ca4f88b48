"""Base systems, system layers and package repositories on disk, built once and then only read.

Strategy: four kinds of build product (the fourth are programs that tests run on this machine),
each made by one shell recipe and cached under a name that holds the digest of everything that
decides its content (recipe, suite, packages, the product it stands on), so a changed recipe is a
new product and never a stale one.  A build runs in throwaway mount and process namespaces and ends
with one rename under a file lock: a reader sees a whole product or none, two builders wait for each
other, and a killed builder leaves a folder that the next one removes.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

RECIPES = Path(__file__).parent / "recipes"
DEFAULT_MIRROR = "http://deb.debian.org/debian"
"""The distribution's own name for "a mirror near you"."""

_BOOT = ("systemd", "systemd-sysv", "dbus", "iproute2", "netbase")
_MAIL_HOST = (
    *_BOOT,
    "adduser",
    "libcap2-bin",
    "nftables",
    "openssh-server",
    "openssl",
    "procps",
    "python3",
)
_MAIL_DAEMON = (*_BOOT, "openssl", "procps", "python3")
_SASL = ("libsasl2-modules", "sasl2-bin")
_MAIL_PROGRAMS = (
    *("curl", "fetchmail", "mpop", "mutt", "openssl", "python3", "sieve-connect", "swaks"),
    # What they take for TLS and SASL.
    *("ca-certificates", "libio-socket-ssl-perl", "libnet-ssleay-perl", "libsasl2-modules"),
)
REPOSITORY_PACKAGES = ("stunnel4",)
"""What a host can install without a network (with its dependencies)."""


class LabError(Exception):
    """The lab could not do its part: says what to install, free or look at."""


@dataclass(frozen=True)
class System:
    """A kind of host: a Debian suite and the packages on top of its base system."""

    suite: str
    packages: tuple[str, ...]


SYSTEMS: Mapping[str, System] = {
    "bookworm": System("bookworm", (*_MAIL_HOST, "openbsd-inetd")),
    "bullseye": System("bullseye", (*_MAIL_HOST, "xinetd")),
    # A mail host that can make a copy of itself.
    "rehearsal": System("bookworm", (*_MAIL_HOST, "openbsd-inetd", "systemd-container")),
    # A mail host that systemd does not run.
    "sysvinit": System(
        "bookworm",
        (
            "sysvinit-core",
            "sysv-rc",
            "initscripts",
            *_MAIL_HOST[len(_BOOT) :],
            "iproute2",
            "netbase",
            "openbsd-inetd",
            "cron",
            # Else stunnel4 brings systemd, which systemd-nspawn(1) would boot.
            "systemd-standalone-sysusers",
        ),
    ),
    "workstation": System("bookworm", (*_BOOT, "openssh-client", "openssl", "python3")),
    "trixie": System("trixie", (*_MAIL_HOST, "xinetd")),
    # Mail hosts with a firewall's manager: ufw keeps the others from being installed beside it.
    "ufw": System("bookworm", (*_MAIL_HOST, "openbsd-inetd", "ufw")),
    "firewalls": System(
        "bookworm", (*_MAIL_HOST, "openbsd-inetd", "firewalld", "iptables-persistent")
    ),
    # The mail daemons of lab.daemons: a system each, because their packages exclude each other.
    "dovecot23": System(
        "bookworm",
        (*_MAIL_DAEMON, "dovecot-imapd", "dovecot-pop3d", "dovecot-managesieved"),
    ),
    "dovecot24": System(
        "trixie",
        (*_MAIL_DAEMON, "dovecot-imapd", "dovecot-pop3d", "dovecot-managesieved"),
    ),
    "cyrus": System("bookworm", (*_MAIL_DAEMON, "cyrus-imapd", "cyrus-pop3d", *_SASL)),
    "courier": System(
        "bookworm",
        (*_MAIL_DAEMON, "nftables", "courier-imap", "courier-pop", "courier-authdaemon"),
    ),
    "popa3d": System("bookworm", (*_MAIL_DAEMON, "openbsd-inetd", "popa3d")),
    "postfix": System("bookworm", (*_MAIL_DAEMON, "nftables", "postfix", *_SASL)),
    "exim": System("bookworm", (*_MAIL_DAEMON, "exim4-daemon-heavy")),
    # Where the scanners and monitors of others run: on a mail host, and on a machine of their own.
    "audited": System("bookworm", (*_MAIL_HOST, "openbsd-inetd", "openscap-scanner")),
    "monitor": System(
        "bookworm",
        (*_BOOT, "openssh-client", "openssl", "python3", "openscap-scanner", "icinga2-bin")
        # Nagios wants a program that sends mail; this one serves nothing.
        + ("nagios4-core", "msmtp-mta"),
    ),
    # The mail programs of lab.clients, and the peers that list logins of a capture.
    "clients": System("bookworm", (*_BOOT, *_MAIL_PROGRAMS, "dsniff", "tshark")),
}
PROGRAMS: Mapping[str, tuple[str, str]] = {
    "promtool": ("prometheus", "usr/bin/promtool"),
    "negate": ("monitoring-plugins-common", "usr/lib/nagios/plugins/negate"),
}
"""What tests run on this machine of a package that would start services there: the package, and
where the program is in it.
"""
SELDOM = ("sysvinit", "ufw", "firewalls")
"""What script/soak alone boots: built when it does."""


@dataclass(frozen=True)
class Image:
    """What a host boots from: folders for overlayfs, topmost first, and its package repository."""

    layers: tuple[Path, ...]
    repository: Path


def cache_directory() -> Path:
    """Where products are kept: ``$MAILSEAL_LAB_CACHE``, else below the user's cache folder."""
    chosen = os.environ.get("MAILSEAL_LAB_CACHE")
    if chosen:
        return Path(chosen).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mailseal-lab"


def mirror() -> str:
    """The Debian mirror this machine's own apt uses, else the distribution's default."""
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        listing = subprocess.run(
            ["apt-get", "indextargets", "--format", "$(REPO_URI)"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for uri in listing.split():
            if re.fullmatch(r"https?://.*/debian/?", uri):
                return uri.rstrip("/")
    return DEFAULT_MIRROR


@dataclass(frozen=True)
class Product:
    """One folder of the cache: what it is called, and all that decides what is in it."""

    name: str
    recipe: str
    arguments: tuple[str, ...]
    """Suite, then packages.  The mirror is left out: all mirrors carry the same packages."""
    base: Product | None = None
    """The system its recipe runs in; without one it runs on this machine."""
    repository: Product | None = None

    @property
    def path(self) -> Path:
        """Where it is, or will be."""
        below = [other.path.name for other in (self.base, self.repository) if other]
        material = "\0".join([*self.arguments, *below]).encode()
        script = (RECIPES / self.recipe).read_bytes()
        digest = hashlib.sha256(script + b"\0" + material).hexdigest()[:16]
        return cache_directory() / f"{self.name}-{digest}"


def products(name: str) -> tuple[Product, Product, Product]:
    """Base system, repository and layer of the system ``name``.  LabError if there is none."""
    system = SYSTEMS.get(name)
    if system is None:
        raise LabError(f"no system {name!r}: choose from {', '.join(SYSTEMS)}")
    suite = system.suite
    base = Product(f"base-{suite}", "base.sh", (suite,))
    repository = Product(
        f"repository-{suite}", "repository.sh", (suite, *REPOSITORY_PACKAGES), base
    )
    layer = Product(f"layer-{name}", "layer.sh", (suite, *system.packages), base, repository)
    return base, repository, layer


def image(name: str) -> Image:
    """The image of the system ``name``, built now where it is missing (minutes, needs a mirror).

    Raises LabError for an unknown name or a failed build.
    """
    base, repository, layer = products(name)
    for product in (base, repository, layer):
        provide(product, build)
    return Image((layer.path, base.path), repository.path)


def program(name: str) -> Path:
    """One of `PROGRAMS`, to be run on this machine; fetched now where it is missing.

    Raises LabError for a failed build.
    """
    base, folder = _fetched(name)
    for product in () if folder.path.is_dir() else (base, folder):
        provide(product, build)
    return folder.path / PROGRAMS[name][1]


def _fetched(name: str) -> tuple[Product, Product]:
    """The base system in which a program is fetched, and the folder that it is in."""
    base, *_ = products("bookworm")
    return base, Product(f"program-{name}", "program.sh", (*base.arguments, *PROGRAMS[name]), base)


def build(product: Product, target: Path) -> None:
    """Make ``product`` in the empty folder ``target``; what it stands on is there."""
    script = RECIPES / product.recipe
    suite, *packages = product.arguments
    arguments = [suite, mirror(), *packages]
    if product.base is None:
        _command(["sh", str(script), *arguments, str(target)])
    elif product.repository is not None:
        binds = {product.repository.path: "/srv/repo"}
        _inside(product.base.path, target, script, arguments, binds)
    else:  # packages or a program: what the recipe does to the system is thrown away
        scratch = target.with_name(f"{target.name}.scratch")
        scratch.mkdir()
        try:
            _inside(product.base.path, scratch, script, arguments, {target: "/srv/repo"})
        finally:
            shutil.rmtree(scratch)


def provide(product: Product, build: Callable[[Product, Path], None]) -> None:
    """Call ``build`` for a product that is missing; whoever comes second waits and finds it."""
    path = product.path
    if path.is_dir():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.with_name(f"{product.name}.lock")):
        if path.is_dir():
            return
        for leftover in path.parent.glob(f"{product.name}-*.building*"):
            shutil.rmtree(leftover)
        unfinished = path.with_name(f"{path.name}.building")
        unfinished.mkdir()
        started = time.monotonic()
        _say(f"building {path.name}")
        build(product, unfinished)
        unfinished.rename(path)
        _say(f"built {path.name} in {time.monotonic() - started:.0f} s")


def prune() -> list[Path]:
    """Remove what the recipes of today would not use; the paths removed.

    Only for when no lab runs: hosts of another checkout may stand on an older product.
    """
    current = {product.path for name in SYSTEMS for product in products(name)}
    current |= {product.path for name in PROGRAMS for product in _fetched(name)}
    folders = (path for path in cache_directory().glob("*-*") if path.is_dir())
    outdated = sorted(path for path in folders if path not in current)
    for path in outdated:
        shutil.rmtree(path)
    return outdated


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock file ``path``; the children of a killed builder keep holding it."""
    with path.open("w") as handle:
        os.set_inheritable(handle.fileno(), True)
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


_ENTER = """
set -eu
lower=$1 upper=$2 work=$3 recipe=$4
shift 4
mkdir "$work/root" "$work/work"
mount -t overlay -o "lowerdir=$lower,upperdir=$upper,workdir=$work/work" overlay "$work/root"
cd "$work/root"
mount -t proc proc proc
touch etc/resolv.conf tmp/recipe
! test -e /etc/resolv.conf || mount --bind /etc/resolv.conf etc/resolv.conf
mount --bind "$recipe" tmp/recipe
while test "$1" != --; do
    mkdir -p ".$2"
    mount --bind "$1" ".$2"
    shift 2
done
shift
exec chroot . /usr/bin/env DEBIAN_FRONTEND=noninteractive LC_ALL=C \\
    PATH=/usr/sbin:/usr/bin:/sbin:/bin /bin/sh /tmp/recipe "$@"
"""


def _inside(
    lower: Path, upper: Path, recipe: Path, arguments: Sequence[str], binds: Mapping[Path, str]
) -> None:
    """Run a recipe as root of ``lower`` + ``upper``; what it writes stays in ``upper``.

    The mounts are gone with the namespace before anything is removed here: removing through a
    mount would empty what is mounted.
    """
    work = upper.with_name(f"{upper.name}.work")
    work.mkdir()
    folders = [str(path) for path in (lower, upper, work, recipe)]
    mounts = [text for source, target in binds.items() for text in (str(source), target)]
    try:
        _command(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
            + ["sh", "-c", _ENTER, "sh", *folders, *mounts, "--", *arguments]
        )
    finally:
        shutil.rmtree(work)
    (upper / "tmp/recipe").unlink()


def _command(argv: Sequence[str]) -> None:
    """Run a build step; its output goes where progress goes, and into the error if it fails."""
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        close_fds=False,
        env={**os.environ, **_proxies()},
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if os.environ.get("MAILSEAL_LAB_VERBOSE"):
                _say(line.rstrip("\n"))
    if process.returncode != 0:
        tail = "".join(lines[-30:])
        raise LabError(f"building the lab failed (status {process.returncode}):\n{tail}")


def _proxies() -> dict[str, str]:
    """The proxy of this machine's apt, for the tools of a build that do not read apt's settings."""
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        dump = subprocess.run(
            ["apt-config", "dump", "--format", "%f %v%n", "Acquire::http::Proxy"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        if len(dump) == 2:
            return {"http_proxy": dump[1]}
    return {}


def _say(line: str) -> None:
    print(f"lab: {line}", file=sys.stderr, flush=True)
