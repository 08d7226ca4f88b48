"""A runbook: the plan as the commands that an administrator would type, in two scripts.

Strategy: `runbook.sh` goes forward and `undo.sh` back, each a POSIX shell script that stands alone.
A step is a few lines of commands between marks in a directory of its own: begun, with what the undo
needs already noted, and done. So either script may be stopped anywhere and run again, and the undo
takes back what was begun and nothing else. A file that is not as the plan says is refused, never
overwritten. What `apply` does besides (it proves from the network, and undoes by itself) a runbook
cannot; its first lines say so.

Nothing of the plan reaches the shell unquoted: words through shlex.quote, whole files in quoted
here-documents or base64, what is shown through `plain`.
"""

from __future__ import annotations

import base64
import ipaddress
import math
import posixpath
from collections.abc import Callable, Iterator, Mapping
from shlex import quote
from typing import Any

from mailseal.export import firewall, steps
from mailseal.export.base import CannotExport, File, Source, plain, row, without_steering
from mailseal.model import ops
from mailseal.model.look import Vantage
from mailseal.model.ops import Listening, Op
from mailseal.model.plan import ClaimKind, Plan

FORM = "shell"
LOCK = "/run/mailseal.lock"
"""The lock of all changes of a host, so that no `mailseal apply` runs meanwhile."""

Lines = list[str]


def export(source: Source) -> tuple[File, ...]:
    """`runbook.sh` and `undo.sh`. Raises CannotExport."""
    source = without_steering(source)
    plan = source.plan
    forward: Lines = [*_head(source, _FORWARD), *_LIBRARY.splitlines(), *_preflight(plan)]
    back: Lines = [*_head(source, _BACK), *_LIBRARY.splitlines(), *_BEGIN_UNDO.splitlines()]
    back += _as_left(plan)
    for number, op in enumerate(plan.ops, 1):
        words = steps.step(op, FORM)
        title = "Step %d of %d: %s" % (number, len(plan.ops), plain(words.what or "nothing yet"))
        forward += ["", "# -- " + title, *_remark("Check", words.check)]
        forward += _remark("Undo", words.undo)
        forward += row(_DO, op, FORM)(source, number, op)
    for number, op in reversed(list(enumerate(plan.ops, 1))):
        lines = row(_UNDO, op, FORM)(number, op)
        title = plain(steps.step(op, FORM).what or "nothing, on the way forward")
        back += ["", "# -- Back from step %d: %s" % (number, title)]
        back += ["if begun %d; then" % number]
        back += ["    left_%d" % number] * (type(op) in _LEFT)
        back += ["    " + line for line in lines]
        back += ["    forget %d" % number, "fi"]
    forward += ["", *_END.splitlines(), *_to_verify(plan)]
    back += ["", *_END_UNDO.splitlines()]
    return tuple(
        File(name, 0o700, ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace"))
        for name, lines in (("runbook.sh", forward), ("undo.sh", back))
    )


# -- the frame -------------------------------------------------------------------------------------

_FORWARD = """\
# Run it as root on that host, with sh. It stops at the first thing that is not as the plan says.
# After that `sh undo.sh` takes back what was done, and `sh runbook.sh` goes on.
# Unlike `mailseal apply` it does not prove the result from the network and does not undo itself:
# keep a session open, and follow what it prints at its end.
# Files that it writes name `mailseal rollback`; here undo.sh is what takes them back."""
_BACK = """\
# Run it as root on that host, with sh: it takes back what runbook.sh began, in reverse order.
# Where somebody changed a file since, it refuses before it changes anything: settle that by hand
# and run it again."""


def _head(source: Source, about: str) -> Lines:
    plan = source.plan
    return [
        "#!/bin/sh",
        "# Plan for %s: %s, stage %s, %s on port %d"
        % (plain(plan.host), plain(plan.strategy), plain(plan.stage), plain(plan.protocol).upper(),
           plan.endpoint.port),
        "# made %s, SHA-256 %s" % (plain(plan.made), plain(source.sha256)),
        "#",
        *("# " + plain(line) for line in plan.headline),
        "# Without service: " + plain(plan.gap),
        *("# Risk: " + plain(risk) for risk in plan.risks),
        "#",
        *about.splitlines(),
        "set -eu",
        "umask 077",
        "export LC_ALL=C",
        "HOST=" + quote(plan.host),
        "MACHINE=" + quote(plan.machine),
        "STATE=/var/lib/mailseal/runbook-" + quote(source.sha256[:16]),
        "LOCK=" + LOCK,
    ]  # fmt: skip


_LIBRARY = r"""
STEP=0
say() { printf '%s\n' "$*"; }
refuse() { printf 'refused: %s\n' "$*" >&2; exit 6; }
begun() { [ -e "$STATE/$1.begun" ]; }
gone() { [ ! -e "$1" ] && [ ! -L "$1" ]; }
hash_of() { sha256sum <"$1" | cut -d ' ' -f 1; }
# has FILE HASH...: a plain file of one of these hashes
has() {
    [ -f "$1" ] && [ ! -L "$1" ] || return 1
    is=$(hash_of "$1")
    shift
    case " $* " in *" $is "*) ;; *) return 1 ;; esac
}
# new PATH: nothing is there, but for what this very step left when it was stopped
new() { begun "$STEP" || gone "$1" || refuse "$1 exists; it did not when the plan was made"; }
step() {
    STEP=$1
    if [ -e "$STATE/$1.done" ]; then say "step $1 is done"; return 1; fi
    say "step $1: $2"
}
begin() { : >"$STATE/$STEP.begun"; }
end() { : >"$STATE/$STEP.done"; }
forget() { rm -f -- "$STATE/$1.done"; rm -f -- "$STATE/$1.begun"; }
# sockets [UNIT]: where TCP listens, in the network of the unit's main process, each with a number
# that no other socket has
sockets() {
    if [ -n "$1" ]; then
        pid=$(systemctl show --property=MainPID --value -- "$1")
        nsenter --net="/proc/$pid/ns/net" ss -Hltne || true
    else
        ss -Hltne
    fi | awk '{ for (i = 5; i <= NF; i++) if ($i ~ /^ino:/) print $4, $i }'
}
OLD=
# listens ADDRESS PORT [UNIT]: a socket there is none of $OLD
listens() {
    case $1 in
        ::) wanted="[::]:$2 *:$2" ;;
        *:*) wanted="[$1]:$2" ;;
        *) wanted="$1:$2" ;;
    esac
    sockets "${3:-}" | grep -vxF -e "$OLD" | awk -v wanted="$wanted" '
        BEGIN { count = split(wanted, each, " ") }
        { for (i = 1; i <= count; i++) if ($1 == each[i]) found = 1 }
        END { exit !found }'
}
# await there|gone SECONDS ADDRESS PORT [UNIT]
await() {
    left=$(($2 * 10))
    while :; do
        if listens "$3" "$4" "${5:-}"; then is=there; else is=gone; fi
        [ "$is" != "$1" ] || return 0
        [ "$left" -gt 0 ] || refuse "port $4 of $3 ${5:+in the network of $5 }is $is, not $1"
        left=$((left - 1))
        sleep 0.1
    done
}
# What a step that is stopped half-way must not leave behind.
tidy() { :; }
ended() {
    code=$?
    trap - EXIT
    tidy
    if [ "$code" != 0 ] && [ "$STEP" != 0 ]; then
        say "stopped at step $STEP. sh undo.sh takes back what was done;" \
            "sh runbook.sh goes on from there." >&2
    fi
    exit "$code"
}
trap ended EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

[ "$(id -u)" = 0 ] || refuse "this needs root"
for tool in awk base64 cut flock nsenter openssl sha256sum ss systemctl; do
    command -v "$tool" >/dev/null || refuse "there is no $tool on this host: install it"
done
[ "$(cat /etc/machine-id)" = "$MACHINE" ] ||
    refuse "this was made for $HOST, and that is another machine"
exec 9>>"$LOCK"
flock -n 9 || refuse "another mailseal is changing this host: wait for it to end"
"""

_BEGIN_UNDO = """
if [ ! -d "$STATE" ]; then say "nothing was begun: nothing to undo"; exit 0; fi
"""

_END = """
STEP=0
sync
say "All steps are done. Now verify, and log in once through TLS."
"""

_END_UNDO = """
STEP=0
rm -r -- "$STATE"
rmdir --ignore-fail-on-non-empty /var/lib/mailseal
sync
say "Undone: the host is as before; packages that were installed stay."
"""


def _preflight(plan: Plan) -> Lines:
    """What must be so before anything changes; a run that goes on asks it step by step."""
    first: dict[str, Op] = {}
    for op in plan.ops:
        for path in _needs(op):
            first.setdefault(path, op)
    lines = ["", "# -- Before anything changes", 'if [ ! -d "$STATE" ]; then']
    for path, op in first.items():
        if isinstance(op, ops.EditFile):
            words = "%s was changed since the plan was made: plan again" % plain(path)
            lines.append(
                "    has %s %s || refuse %s" % (quote(path), quote(op.before), quote(words))
            )
        else:
            lines.append("    new %s" % quote(path))
    lines += ["fi", "[ -d /var/lib/mailseal ] || mkdir -m 700 /var/lib/mailseal"]
    return [*lines, '[ -d "$STATE" ] || mkdir -m 700 "$STATE"']


def _as_left(plan: Plan) -> Lines:
    """The same for the way back. A file that two steps changed is as the last of them left it."""
    lines = ["", "# -- Before anything changes"]
    known: set[str] = set()
    for number, op in reversed(list(enumerate(plan.ops, 1))):
        check = _LEFT.get(type(op))
        if check:
            lines += ["left_%d() {" % number, *("    " + line for line in check(number, op)), "}"]
            paths = _needs(op)
            lines += ["! begun %d || left_%d" % (number, number)] * known.isdisjoint(paths)
            known.update(paths)
    return lines


def _needs(op: Op) -> tuple[str, ...]:
    """The paths whose state the op rests on."""
    if isinstance(op, ops.IssueCertificate):
        return steps.issued(op)[2:]
    path = getattr(op, "path", "")
    return (path,) if path else ()


def _remark(label: str, words: str) -> Lines:
    return ["#    %s: %s" % (label, plain(words))] if words else []


def _to_verify(plan: Plan) -> Iterator[str]:
    """What to look at from another host, told at the end."""
    remote = [claim for claim in plan.claims if claim.vantage is Vantage.REMOTE]
    where = str(plan.endpoint)
    told = ["From another host:  mailseal verify %s" % where, "or by hand:"]
    for claim in remote:
        name, trusted = (claim.expected.get(key, "") for key in ("name", "authority"))
        if name:
            words = "%s:%d%s" % (name, plan.endpoint.port, " --ca FILE" * bool(trusted))
            told[0] = "From another host:  mailseal verify " + words
        if trusted:
            told[1] = "(FILE is a copy of %s) or by hand:" % trusted
        inside = STARTTLS.get(plan.protocol) if plan.strategy == "native" else None
        by_hand = (_BY_HAND_INSIDE if inside else _BY_HAND).get(claim.kind)
        if by_hand:
            at = {
                "at": str(claim.endpoint),
                "address": claim.endpoint.address,
                "port": claim.endpoint.port,
                "trust": "-CAfile FILE " * bool(trusted),
                "name": _verify(name) if name else "",
                "starttls": inside,
            }
            told.append("  " + by_hand % at)
    yield "cat <<'END_OF_WORDS'"
    yield from map(plain, told)
    yield "END_OF_WORDS"


_BY_HAND: Mapping[ClaimKind, str] = {
    ClaimKind.CLEARTEXT_REFUSED: "nc -w 8 %(address)s %(port)d  # must show no greeting",
    ClaimKind.CLEARTEXT_SERVED: "nc -w 8 %(address)s %(port)d  # must show the greeting",
    ClaimKind.SERVICE_IN_TLS: (
        "openssl s_client -quiet %(trust)s-verify_return_error %(name)s -connect %(at)s"
        "  # must show the greeting"
    ),
    ClaimKind.CLOSED: "nc -w 8 %(address)s %(port)d  # must not connect",
}
STARTTLS: Mapping[str, str] = {
    "pop3": "pop3",
    "imap": "imap",
    "managesieve": "sieve",
    "smtp": "smtp",
}
"""What s_client(1) calls the protocols in which TLS can begin inside the session."""
_BY_HAND_INSIDE: Mapping[ClaimKind, str] = {
    ClaimKind.CLEARTEXT_REFUSED: (
        "nc -C -w 8 %(address)s %(port)d"
        "  # a login typed there, with no real account, must be refused for want of TLS"
    ),
    # Not verified: the daemon's own certificate was left as it was found.
    ClaimKind.SERVICE_IN_TLS: (
        "openssl s_client -crlf -starttls %(starttls)s -connect %(at)s  # must take a command"
    ),
}


# -- how text is written -----------------------------------------------------------------------


def _here(commands: str, content: bytes) -> Lines:
    """`commands` (a pipe, or one) reading exactly these bytes."""
    try:
        text = content.decode("ascii")
    except UnicodeDecodeError:
        text = ""
    body = text.split("\n")
    readable = text.endswith("\n") and all(
        line.replace("\t", "").isprintable() and line != "END_OF_FILE" for line in body
    )
    if readable:
        first, pipe, rest = commands.partition(" | ")
        return ["%s <<'END_OF_FILE'%s%s" % (first, pipe, rest), *body[:-1], "END_OF_FILE"]
    coded = base64.encodebytes(content).decode("ascii").splitlines()
    return ["base64 -d <<'END_OF_FILE' | " + commands, *coded, "END_OF_FILE"]


def _printf(data: bytes) -> str:
    """The command that prints exactly these bytes (printf(1), octal escapes)."""
    kept = set(range(0x20, 0x7F)) - set(b"%\\'-")
    coded = "".join(
        chr(octet) if octet in kept else "\\n" if octet == 10 else "\\%03o" % octet
        for octet in data
    )
    return "printf '%s'" % coded


def _place(path: str, owner: str, group: str, mode: int) -> str:
    return "install -o %s -g %s -m %04o /dev/stdin %s" % (
        quote(owner), quote(group), mode, quote(path),
    )  # fmt: skip


def _within(number: int, title: str, lines: Lines) -> Lines:
    """A step's lines, skipped where it is done. Bodies of here-documents must stay unindented, so
    nothing is.
    """
    return ["if step %d %s; then" % (number, quote(plain(title))), *lines, "end", "fi"]


# -- forward -----------------------------------------------------------------------------------


def _install(source: Source, number: int, op: ops.InstallPackage) -> Lines:
    name = quote(op.name)
    return _within(number, "install " + op.name, [
        "begin",
        "if [ -e \"$STATE/%d.enabled\" ] ||" % number,
        "    ! { dpkg-query -W -f='${db:Status-Status}\\n' %s 2>/dev/null |" % name,
        "        grep -qx installed || rpm -q %s >/dev/null 2>&1; }; then" % name,
        *_INSTALL.replace("PACKAGE", name).strip("\n").split("\n"),
        "fi",
    ])  # fmt: skip


# invoke-rc.d asks policy-rc.d before it starts a service: 101 is "not allowed". An administrator's
# own is not touched: then they know how to install a package.
_INSTALL = r"""
manager=$(command -v apt-get || command -v dnf || command -v yum) ||
    refuse "install the package "PACKAGE", its services neither" \
        "started nor enabled, and run this again"
guard=/usr/sbin/policy-rc.d
gone $guard || grep -qs '^# mailseal runbook$' $guard || refuse "$guard is there: install the" \
    "package "PACKAGE", its services neither started nor enabled, and run this again"
enabled() {
    systemctl list-unit-files --state=enabled,generated --no-legend --plain |
        cut -d ' ' -f 1 | sort
}
if [ ! -e "$STATE/$STEP.enabled" ]; then
    enabled >"$STATE/$STEP.new"
    mv "$STATE/$STEP.new" "$STATE/$STEP.enabled"
fi
tidy() { rm -f /usr/sbin/policy-rc.d; }
install -m 0755 /dev/stdin $guard <<'END_OF_FILE'
#!/bin/sh
# mailseal runbook
exit 101
END_OF_FILE
export DEBIAN_FRONTEND=noninteractive APT_LISTCHANGES_FRONTEND=none NEEDRESTART_SUSPEND=1
get() {
    case $manager in
    */apt-get)
        apt-get install --yes --no-install-recommends --no-remove --no-upgrade \
            -o Dpkg::Options::=--force-confold -o DPkg::Lock::Timeout=60 PACKAGE </dev/null ;;
    */dnf) dnf install --assumeyes --setopt=install_weak_deps=False PACKAGE </dev/null ;;
    */yum) yum install --assumeyes PACKAGE </dev/null ;;
    esac
}
refresh() {
    case $manager in
    */apt-get) apt-get update -o DPkg::Lock::Timeout=60 ;;
    *) "$manager" makecache ;;
    esac
}
get || { refresh && get; }
tidy
tidy() { :; }
enabled | comm -13 "$STATE/$STEP.enabled" - | while read -r unit; do
    systemctl disable --now -- "$unit"
done
"""


def _directory(source: Source, number: int, op: ops.MakeDirectory) -> Lines:
    path, owner, group = quote(op.path), quote(op.owner), quote(op.group)
    return _within(number, "create directory " + op.path, [
        "new " + path,
        "begin",
        "install -d -o %s -g %s -m %04o %s" % (owner, group, op.mode, path),
    ])  # fmt: skip


def _hashes(made: str, op: ops.WriteFile | ops.EditFile) -> str:
    """What a file may have become: as it was `made`, or what a timer of the plan makes of it."""
    return " ".join(map(quote, (made, *op.later)))


def _write(source: Source, number: int, op: ops.WriteFile) -> Lines:
    path, digest = quote(op.path), _hashes(steps.sha256(op.content), op)
    lines = ["new " + path, "begin"]
    lines += _here(_place(op.path, op.owner, op.group, op.mode), op.content)
    refusal = quote("%s is not as it was to be written" % plain(op.path))
    return _within(number, "create " + op.path, lines) + [
        "has %s %s || refuse %s" % (path, digest, refusal)
    ]


def _copy(source: Source, number: int, op: ops.CopyFile) -> Lines:
    path, origin = quote(op.path), quote(op.source)
    owner, group = quote(op.owner), quote(op.group)
    return _within(number, "copy %s to %s" % (op.source, op.path), [
        "new " + path,
        'hash_of %s >"$STATE/%d.sha256"' % (origin, number),
        "begin",
        "install -o %s -g %s -m %04o %s %s" % (owner, group, op.mode, origin, path),
    ])  # fmt: skip


def _edit(source: Source, number: int, op: ops.EditFile) -> Lines:
    path, backup = quote(op.path), '"$STATE/%d.backup"' % number
    draft = quote(op.path + ".mailseal-new")
    stale = quote("%s was changed since the plan was made: plan again" % plain(op.path))
    misfit = quote("the plan's change does not fit %s" % plain(op.path))
    shown = ["#    " + plain(line) for line in steps.difference(op)]
    return shown + _within(number, "change " + op.path, [
        "if ! { begun %d && has %s %s; }; then" % (number, path, quote(op.after)),
        "has %s %s || refuse %s" % (path, quote(op.before), stale),
        "cp --preserve=all -- %s %s" % (path, backup),
        "begin",
        "cp --preserve=all -- %s %s" % (path, draft),
        "{",
        *_pieces(op, backup),
        "} >" + draft,
        "has %s %s || { rm -- %s; refuse %s; }" % (draft, quote(op.after), draft, misfit),
        "sync",
        "mv -- %s %s" % (draft, path),
        "fi",
    ])  # fmt: skip


def _pieces(op: ops.EditFile, backup: str) -> Iterator[str]:
    """Commands that print the changed file from the backup and the splices."""
    at = 0
    for splice in sorted(op.splices, key=lambda splice: splice.offset):
        if splice.offset > at:
            yield "tail -c +%d %s | head -c %d" % (at + 1, backup, splice.offset - at)
        if splice.new:
            yield _printf(splice.new)
        at = splice.offset + len(splice.old)
    yield "tail -c +%d %s" % (at + 1, backup)


def _link(source: Source, number: int, op: ops.MakeLink) -> Lines:
    path, parent = quote(op.path), quote(posixpath.dirname(op.path))
    return _within(number, "link " + op.path, [
        "new " + path,
        '[ -d %s ] || : >"$STATE/%d.parent"' % (parent, number),
        "begin",
        "[ -d %s ] || mkdir -m 0755 -- %s" % (parent, parent),
        "ln -sfn -- %s %s" % (quote(op.target), path),
    ])  # fmt: skip


def _issue(source: Source, number: int, op: ops.IssueCertificate) -> Lines:
    authority, authority_key, leaf, key = map(quote, steps.issued(op))
    texts = source.configurations(op.names)
    work = posixpath.join(op.directory, ".issue-" + op.name)

    def new(what: str) -> str:
        return (
            "openssl req -config %s -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
            "-keyout %s" % (quote("%s/%s.cnf" % (work, what)), quote("%s/%s.key" % (work, what)))
        )

    def at(name: str) -> str:
        return quote("%s/%s" % (work, name))

    lines = [
        "new " + leaf,
        "new " + key,
        "tidy() { rm -rf -- %s; }" % quote(work),
        "if [ ! -f %s ] || [ ! -f %s ]; then" % (authority, authority_key),
        "new " + authority,
        "new " + authority_key,
        ': >"$STATE/%d.authority"' % number,
        "fi",
        "begin",
        "tidy",
        "install -d -m 0700 " + quote(work),
    ]
    for name in ("ca.cnf", "leaf.cnf"):
        lines += _here(
            _place(posixpath.join(work, name), "root", "root", 0o600), texts[name].encode()
        )
    lines += [
        "if [ ! -f %s ] || [ ! -f %s ]; then" % (authority, authority_key),
        new("ca") + " -x509 -days 3650 -out " + at("ca.crt"),
        "install -m 0600 %s %s" % (at("ca.key"), authority_key),
        "install -m 0644 %s %s" % (at("ca.crt"), authority),
        "fi",
        new("leaf") + " -out " + at("leaf.csr"),
        "openssl x509 -req -in %s -CA %s -CAkey %s -CAserial %s -CAcreateserial -days %d "
        "-extfile %s -extensions extensions -out %s"
        % (
            at("leaf.csr"),
            authority,
            authority_key,
            at("serial"),
            op.days,
            at("leaf.cnf"),
            at("leaf.crt"),
        ),
        "install -o root -g %s -m 0640 %s %s" % (quote(op.group), at("leaf.key"), key),
        "cat %s %s | install -m 0644 /dev/stdin %s" % (at("leaf.crt"), authority, leaf),
        "tidy",
        "tidy() { :; }",
        'hash_of %s >"$STATE/%d.sha256"' % (leaf, number),
    ]
    title = "make a certificate for " + ", ".join(op.names)
    return [*_within(number, title, lines), "openssl verify -CAfile %s %s" % (authority, leaf)]


def _unit(source: Source, number: int, op: ops.UnitAction) -> Lines:
    if not op.do:
        return ["# Nothing now. It is noted for the way back.", "STEP=%d; begin; end" % number]
    lines = ["begin", *_await(_systemctl(op.do, op.unit), op.after_do, op.seconds)]
    return _within(number, steps.step(op, FORM).what, lines)


def _systemctl(word: str, unit: str) -> str:
    return "systemctl %s -- %s" % (quote(word), quote(unit)) if unit else "systemctl " + quote(word)


def _await(act: str, wanted: tuple[Listening, ...], seconds: float) -> Lines:
    """`act`, and what is waited for after it; a socket that must be new is none of those before."""
    anew = any(each.anew for each in wanted)
    waits = [
        "await %s %d %s %d%s"
        % (
            "there" if each.present else "gone",
            max(1, math.ceil(seconds)),
            quote(each.address),
            each.port,
            " " + quote(each.unit) if each.unit else "",
        )
        for each in wanted
    ]
    return ['OLD=$(sockets "")', act, *waits, "OLD="] if anew else [act, *waits]


GOODBYE: Mapping[str, tuple[str, str]] = {
    "pop2": ("+", "QUIT"),
    "pop3": ("+OK", "QUIT"),
    "imap": ("* OK", "a LOGOUT"),
    "managesieve": ('"IMPLEMENTATION"', "LOGOUT"),
    "smtp": ("220", "QUIT"),
}
"""How a protocol's greeting begins, and what ends a session."""


def _try(source: Source, number: int, op: ops.TryTerminator) -> Lines:
    if op.protocol not in GOODBYE:
        raise CannotExport(
            "the step %s cannot be exported to %s: how %s greets is not known"
            % (op.KIND, FORM, plain(op.protocol))
        )
    greeting, goodbye = GOODBYE[op.protocol]
    path, unit = quote(op.path), quote(op.unit)
    placeholder = ops.TryTerminator.PORT.decode("ascii")
    place = 'sed "s/%s/$port/g" | %s' % (placeholder, _place(op.path, "root", op.group, 0o640))
    trust = "-CAfile %s " % quote(op.authority) if op.authority else ""
    lines = [
        "begin",
        *_end_trial(unit, path),
        "tidy",
        "port=$(shuf -i 49152-60998 -n 1)",
        'while listens 127.0.0.1 "$port"; do port=$(shuf -i 49152-60998 -n 1); done',
        *_here(place, op.content),
        "systemctl start -- " + unit,
        'await there 10 127.0.0.1 "$port"',
        "said=$({ sleep 1; printf %s 2>&-; } | timeout 20 openssl s_client -quiet %s\\"
        % (quote(goodbye + "\\r\\n"), trust),
        "    -verify_return_error %s -connect \"127.0.0.1:$port\" 2>\"$STATE/%d.log\" || true)"
        % (_verify(op.name), number),
        "case $said in",
        "    %s*) ;;" % quote(greeting),
        '    *) tail -n 5 "$STATE/%d.log" >&2' % number,
        "       refuse 'the service does not greet through TLS' ;;",
        "esac",
        "tidy",
        "tidy() { :; }",
    ]  # fmt: skip
    return _within(number, "try stunnel on a loopback port", lines)


def _open(source: Source, number: int, op: ops.OpenPort) -> Lines:
    title = "let everybody in to TCP port %d" % op.port
    return _within(number, title, ["begin", *firewall.forward(op, "$STATE/%d" % number)])


def _check(source: Source, number: int, op: ops.CheckConfiguration) -> Lines:
    command = " ".join(map(quote, op.argv))
    lines = [
        "said=$(%s) || refuse %s"
        % (command, quote("the daemon refuses this configuration: %s" % plain(command)))
    ]
    for line in op.prints:
        words = "the change has no effect: %s does not print %s" % (plain(command), plain(line))
        lines += [
            "printf '%s\\n' \"$said\" | awk '{ $1 = $1; print }' | grep -qxF -- "
            + quote(line)
            + " ||",
            "    refuse " + quote(words),
        ]
    return _within(number, "check with " + command, ["begin", *lines])


def _verify(name: str) -> str:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return "-verify_hostname " + quote(name)
    return "-verify_ip " + quote(name)


def _end_trial(unit: str, path: str) -> Lines:
    return [
        "tidy() {",
        "    systemctl stop -- %s" % unit,
        "    systemctl reset-failed -- %s 2>/dev/null || true" % unit,
        "    rm -f -- %s" % path,
        "}",
    ]


_DO: Mapping[type[Any], Callable[[Source, int, Any], Lines]] = {
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
}


# -- what is as the runbook left it ----------------------------------------------------------------


def _changed(path: str) -> str:
    return quote("%s was changed since: settle it by hand, then run this again" % plain(path))


def _written(number: int, op: ops.WriteFile) -> Lines:
    path = quote(op.path)
    # A step that was stopped in the middle has left a file that is not whole.
    return [
        'gone %s || [ ! -e "$STATE/%d.done" ] || has %s %s || refuse %s'
        % (path, number, path, _hashes(steps.sha256(op.content), op), _changed(op.path)),
    ]


def _copied(number: int, op: ops.CopyFile) -> Lines:
    path = quote(op.path)
    return [
        'gone %s || [ ! -e "$STATE/%d.done" ] || has %s "$(cat "$STATE/%d.sha256")" ||'
        % (path, number, path, number),
        # What renews the source copies it again.
        "    cmp -s -- %s %s || refuse %s" % (quote(op.source), path, _changed(op.path)),
    ]


def _edited(number: int, op: ops.EditFile) -> Lines:
    path, known = quote(op.path), _hashes(op.after, op)
    return ["has %s %s %s || refuse %s" % (path, quote(op.before), known, _changed(op.path))]


def _linked(number: int, op: ops.MakeLink) -> Lines:
    path = quote(op.path)
    return [
        'gone %s || [ "$(readlink -- %s)" = %s ] || refuse %s'
        % (path, path, quote(op.target), _changed(op.path)),
    ]


def _issued(number: int, op: ops.IssueCertificate) -> Lines:
    authority, _, leaf, _ = map(quote, steps.issued(op))
    return [
        'gone %s || [ ! -e "$STATE/%d.done" ] || has %s "$(cat "$STATE/%d.sha256")" ||'
        % (leaf, number, leaf, number),
        # What renews it puts the same CA at its end.
        '    tail -c "$(stat -c %%s %s)" %s | cmp -s - %s || refuse %s'
        % (authority, leaf, authority, _changed(steps.issued(op)[2])),
    ]


_LEFT: Mapping[type[Any], Callable[[int, Any], Lines]] = {
    ops.WriteFile: _written,
    ops.CopyFile: _copied,
    ops.EditFile: _edited,
    ops.MakeLink: _linked,
    ops.IssueCertificate: _issued,
}
"""Stops with status 6 where it is not."""


# -- back ----------------------------------------------------------------------------------------


def _keep_package(number: int, op: ops.InstallPackage) -> Lines:
    return [
        "! grep -qs '^# mailseal runbook$' /usr/sbin/policy-rc.d || rm /usr/sbin/policy-rc.d",
        "say " + quote("package %s stays installed" % plain(op.name)),
    ]


def _remove_directory(number: int, op: ops.MakeDirectory) -> Lines:
    path = quote(op.path)
    return ["[ ! -d %s ] || rmdir -- %s" % (path, path)]


def _remove_written(number: int, op: ops.WriteFile | ops.CopyFile) -> Lines:
    return ["rm -f -- " + quote(op.path)]


def _restore(number: int, op: ops.EditFile) -> Lines:
    path, draft = quote(op.path), quote(op.path + ".mailseal-new")
    backup = '"$STATE/%d.backup"' % number
    return [
        "rm -f -- " + draft,
        "if ! has %s %s; then" % (path, quote(op.before)),
        "    cp --preserve=all -- %s %s" % (backup, draft),
        "    sync",
        "    mv -- %s %s" % (draft, path),
        "fi",
    ]


def _remove_link(number: int, op: ops.MakeLink) -> Lines:
    path, parent = quote(op.path), quote(posixpath.dirname(op.path))
    return [
        "rm -f -- " + path,
        '[ ! -e "$STATE/%d.parent" ] || [ ! -d %s ] || rmdir --ignore-fail-on-non-empty -- %s'
        % (number, parent, parent),
    ]


def _remove_issued(number: int, op: ops.IssueCertificate) -> Lines:
    authority, authority_key, leaf, key = map(quote, steps.issued(op))
    work = quote(posixpath.join(op.directory, ".issue-" + op.name))
    return [
        "rm -rf -- " + work,
        "rm -f -- %s %s" % (leaf, key),
        '[ ! -e "$STATE/%d.authority" ] || rm -f -- %s %s' % (number, authority, authority_key),
    ]


def _unit_back(number: int, op: ops.UnitAction) -> Lines:
    if not op.undo:
        return []
    unit, act = quote(op.unit), _systemctl(op.undo, op.unit)
    if op.undo == "reload":
        # A daemon with nothing left to serve may have ended.
        other = _systemctl("restart", op.unit)
        act = "if systemctl is-active --quiet -- %s; then %s; else %s; fi" % (unit, act, other)
    if op.undo == "stop":
        state = "$(systemctl show --property=LoadState --value -- %s)" % unit
        act = '[ "%s" = not-found ] || %s' % (state, act)
        act += "\nsystemctl reset-failed -- %s 2>/dev/null || true" % unit
    return _await(act, op.after_undo, op.seconds)


def _trial_back(number: int, op: ops.TryTerminator) -> Lines:
    return [*_end_trial(quote(op.unit), quote(op.path)), "tidy", "tidy() { :; }"]


_UNDO: Mapping[type[Any], Callable[[int, Any], Lines]] = {
    ops.InstallPackage: _keep_package,
    ops.MakeDirectory: _remove_directory,
    ops.WriteFile: _remove_written,
    ops.CopyFile: _remove_written,
    ops.EditFile: _restore,
    ops.MakeLink: _remove_link,
    ops.IssueCertificate: _remove_issued,
    ops.UnitAction: _unit_back,
    ops.TryTerminator: _trial_back,
    ops.OpenPort: lambda number, op: firewall.back(op, "$STATE/%d" % number),
    ops.CheckConfiguration: lambda number, op: [],
}
