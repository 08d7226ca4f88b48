"""What keeps a terminator's certificate fresh when mailseal has gone: a script, a service, a timer.

Strategy: one POSIX shell script for every source of certificates, run daily and by hand. Each time
it makes or fetches the next certificate and checks it, and puts it in place only when it is due: so
what stands in the way of a renewal is told the day it appears, and not years later. What is in
place and not served after a reload is taken back. Nothing is told to anybody but systemd: the unit
fails, with the reason in the journal.

Under the private CA the key stays, so one rename is the whole change. Root runs it, because the
CA's key is root's, but without the capabilities of root: what it writes, it owns.
"""

from __future__ import annotations

from shlex import quote
from typing import NamedTuple, Tuple

from mailseal.configs import openssl, systemd
from mailseal.model.ops import MakeLink, Op, UnitAction, WriteFile
from mailseal.terminators.stunnel import DIRECTORY, GROUP, HARDENING, is_address

SCRIPT = DIRECTORY + "/renew"
SERVICE = "/etc/systemd/system/mailseal-renew@.service"
TIMER = "/etc/systemd/system/mailseal-renew@.timer"
CRON = "/etc/cron.d/mailseal-%s"

HOOKS = "/etc/letsencrypt/renewal-hooks/deploy"
"""What certbot runs in it after it has renewed a certificate."""

_LINK = "/etc/systemd/system/timers.target.wants/"
_HEAD = "# Made by mailseal; `mailseal rollback` removes it.\n"


class Issued(NamedTuple):
    """The private CA of this host makes the next one, for these names and as many days."""

    names: Tuple[str, ...]
    days: int


class Copied(NamedTuple):
    """Somebody else puts the next one at these paths; `authority` is its CA's file, empty where the
    system's trusted roots know it.
    """

    certificate: str
    key: str
    authority: str


def unit(name: str, kind: str = "service") -> str:
    """The unit that renews the certificate of the terminator `name`."""
    return "mailseal-renew@%s.%s" % (name, kind)


def settings_path(name: str) -> str:
    """What the script reads of the terminator `name`."""
    return "%s/%s.renew" % (DIRECTORY, name)


def hook_path(name: str) -> str:
    """What certbot runs for the terminator `name`."""
    return "%s/mailseal-%s" % (HOOKS, name)


def script() -> WriteFile:
    """The op that puts in place what renews, of all services of a host."""
    return WriteFile(SCRIPT, _SCRIPT.encode(), "root", "root", 0o644)


def units() -> Tuple[WriteFile, ...]:
    """The ops that put in place what starts it under systemd, of all services of a host."""
    files = ((SERVICE, _service()), (TIMER, _timer()))
    return tuple(WriteFile(path, data, "root", "root", 0o644) for path, data in files)


def settings(name: str, host: str, source: "Issued | Copied") -> WriteFile:
    """The op that tells the script where the next certificate comes from; clients know it by the
    name `host`.
    """
    values = {"host": host, "check": "-verify_ip" if is_address(host) else "-verify_hostname"}
    if isinstance(source, Issued):
        request = openssl.configurations(source.names)["leaf.cnf"]
        values.update(authority=DIRECTORY + "/ca.crt", days=str(source.days), request=request)
    else:
        values.update(certificate=source.certificate, source=source.key)
        values.update(authority=source.authority)
    lines = ["%s=%s\n" % (key, quote(value)) for key, value in values.items()]
    text = _HEAD + "".join(lines)
    data = text.encode("utf-8", "surrogateescape")
    return WriteFile(settings_path(name), data, "root", "root", 0o644)


def hook(name: str, lineage: str) -> WriteFile:
    """The op that makes certbot start the renewal here as soon as it has renewed `lineage`."""
    text = _HOOK % (quote(lineage), quote(unit(name)), SCRIPT, quote(name))
    data = text.encode("utf-8", "surrogateescape")
    return WriteFile(hook_path(name), data, "root", "root", 0o755)


def begin(name: str) -> Tuple[Op, ...]:
    """The ops that try the renewal once, here and as the timer will, and then leave it to that."""
    timer = unit(name, "timer")
    return (
        UnitAction(unit(name), "start", "stop"),
        UnitAction(timer, "start", "stop"),
        MakeLink(_LINK + timer, TIMER),
    )


def by_cron(name: str) -> Tuple[Op, ...]:
    """The op that leaves it to cron(8), which mails root what the script says."""
    line = "17 3 * * * root /bin/sh %s %s\n" % (SCRIPT, name)
    return (WriteFile(CRON % name, (_HEAD + line).encode(), "root", "root", 0o644),)


def _service() -> bytes:
    about = (
        ("Description", "mailseal: the certificate of TLS in front of port %i is fresh and served"),
        ("Documentation", "man:openssl-x509(1)"),
        ("After", "network-online.target mailseal@%i.service"),
    )
    own = {
        # What its owner renews may lie in a home.
        "ProtectHome": "read-only",
        "ReadWritePaths": DIRECTORY,
        # Files of another owner can be read; nothing more of what root may.
        "CapabilityBoundingSet": "CAP_DAC_READ_SEARCH",
        # Its own files can be given to the group by who is in it.
        "SupplementaryGroups": GROUP,
        "UMask": "0077",
        "Slice": "system.slice",
        "TimeoutStartSec": "110",
    }
    service = (
        ("Type", "oneshot"),
        ("ExecStart", "/bin/sh %s %%i" % SCRIPT),
        *own.items(),
        *(each for each in HARDENING if each[0] not in own),
        ("SystemCallFilter", "@chown"),
    )
    return _HEAD.encode() + systemd.compose((("Unit", about), ("Service", service)))


def _timer() -> bytes:
    timer = (("OnActiveSec", "1h"), ("OnUnitInactiveSec", "24h"))
    sections = (
        ("Unit", (("Description", "mailseal: renewal of the certificate of port %i"),)),
        ("Timer", timer),
        ("Install", (("WantedBy", "timers.target"),)),
    )
    return _HEAD.encode() + systemd.compose(sections)


_HOOK = (
    "#!/bin/sh\n"
    + _HEAD
    + r"""# certbot runs this for every certificate that it has renewed.
[ "${RENEWED_LINEAGE:-}" = %s ] || exit 0
unit=%s
[ ! -e /etc/init.d/mailseal ] || exec /bin/sh %s %s
# A run that began before the renewal would have read the old one.
systemctl restart -- "$unit" && exit
echo "mailseal: the new certificate is not served: journalctl -u $unit tells why" >&2
exit 1
"""
)

_SCRIPT = (
    "#!/bin/sh\n"
    + _HEAD
    + r"""#
# renew NAME [now]: NAME.crt is fresh, and it is what is served. NAME.renew says where the next one
# comes from: the private CA here, whose key stays with the key, or files that somebody else renews.
#
# The next one is made or fetched, and checked, every time; it is put in place when it is due, or
# `now`. Exit status 0: all is well; else a line says what is not, and what was served is kept.
set -eu
umask 077
export LC_ALL=C
directory=/etc/mailseal owner=root group=stunnel4
name=$1 force=${2:-}
leaf=$directory/$name.crt key=$directory/$name.key
work=$directory/.issue-$name
days='' request='' certificate='' source='' authority=''
. "$directory/$name.renew"

# systemd takes the number for the priority, notice or error: sd-daemon(3).
tell() { printf '%s%s: %s\n' "${JOURNAL_STREAM:+<5>}" "$leaf" "$1"; }
die() {
    printf '%s%s: %s\n' "${JOURNAL_STREAM:+<3>}" "$leaf" "$1" >&2
    exit 1
}

# -- certificates --------------------------------------------------------------

ends() { date -d "$(openssl x509 -noout -enddate -in "$1" | cut -d = -f 2)" +%s; }
begins() { date -d "$(openssl x509 -noout -startdate -in "$1" | cut -d = -f 2)" +%s; }
# left FILE N: more than one Nth of its time is left
left() {
    end=$(ends "$1") begin=$(begins "$1")
    [ $(((end - $(date +%s)) * $2)) -gt $((end - begin)) ]
}
line='
'
# Which certificate is on standard input: a line with its serial number, and one with a hash.
which_one() { openssl x509 -noout -serial -fingerprint -sha256 2>/dev/null; }
# good FILE KEY: they belong together, and clients that trust the CA take them now
good() {
    public=$(openssl x509 -noout -pubkey -in "$1") || return
    [ "$public" = "$(openssl pkey -pubout -in "$2")" ] || { echo "not of its key" >&2; return 1; }
    openssl verify ${authority:+-CAfile "$authority"} -untrusted "$1" "$check" "$host" "$1"
}

issue() {
    lasts=$((($(ends "$authority") - $(date +%s)) / 86400))
    [ "$days" -le "$lasts" ] || days=$lasts
    # cat(1) says why it cannot write, printf(1) of some shells does not.
    printf '%s\n' "$request" | cat >"$work/leaf.cnf" &&
        openssl req -new -config "$work/leaf.cnf" -key "$key" -out "$work/leaf.csr" &&
        openssl x509 -req -in "$work/leaf.csr" -CA "$authority" -CAkey "$directory/ca.key" \
            -CAserial "$work/serial" -CAcreateserial -days "$days" \
            -extfile "$work/leaf.cnf" -extensions extensions -out "$work/leaf.crt" &&
        cat "$work/leaf.crt" "$authority" >"$work/new.crt" &&
        good "$work/new.crt" "$key"
}
fetch() {
    cat -- "$certificate" >"$work/new.crt" && cat -- "$source" >"$work/new.key" &&
        good "$work/new.crt" "$work/new.key"
}
due() {
    [ -z "$force" ] || return 0
    if [ -n "$days" ]; then
        ! { good "$leaf" "$key" && left "$leaf" 3; } >/dev/null 2>&1
    else
        ! { cmp -s "$work/new.crt" "$leaf" && cmp -s "$work/new.key" "$key"; }
    fi
}

# -- putting in place, and back --------------------------------------------------

# place FILE OWNER MODE TARGET: in one step, and on the disk
place() {
    chown "$2" "$1" && chmod "$3" "$1" && sync "$1" && mv -f -- "$1" "$4" && sync "$directory"
}
# pair WHICH: a certificate, and its key where that is another; one rename each
pair() {
    { [ ! -e "$work/$1.key" ] || place "$work/$1.key" "$owner:$group" 0640 "$key"; } &&
        place "$work/$1.crt" "$owner:" 0644 "$leaf"
}
keep() {
    { [ -n "$days" ] || cp -- "$key" "$work/old.key"; } && cp -- "$leaf" "$work/kept" &&
        sync "$work"/* "$work" &&
        # From here on a run that is cut off is taken back, at its end or by the next one.
        mv -- "$work/kept" "$work/old.crt" && sync "$work"
}
ended() {
    code=$?
    trap '' INT TERM HUP
    trap - EXIT
    if [ -e "$work/old.crt" ]; then
        pair old
        reload || :
    fi
    rm -rf -- "$work"
    exit "$code"
}

# -- what is served ----------------------------------------------------------------

reload_one() {
    # Where no systemd runs the host, this starts stunnel.
    if [ -e /etc/init.d/mailseal ]; then
        /etc/init.d/mailseal reload "$1"
    else
        systemctl reload -- "mailseal@$1.service"
    fi
}
reload() {
    for unit in $units; do
        reload_one "$unit" && continue
        why="mailseal@$unit.service cannot be reloaded"
        return 1
    done
}
# shown ADDRESS PORT: by the address of this host alone, and not who may have it now
shown() {
    case $1 in *:*) set -- "[$1]" "$2" ;; esac
    timeout 10 openssl s_client -bind "$1:0" -connect "$1:$2" </dev/null 2>/dev/null | which_one
}
# served: every address that answers shows the file, and one does
served() {
    file=$(which_one <"$leaf")
    for unit in $units; do
        answers=''
        for accept in $(value accept "$directory/$unit.conf"); do
            found=$(shown "${accept%:*}" "${accept##*:}") || continue
            answers=yes why="$accept still serves ${found%%$line*}, and not ${file%%$line*}"
            [ "$found" = "$file" ] || return 1
        done
        why="mailseal@$unit.service answers at no address of this host"
        [ -n "$answers" ] || return 1
    done
}
serve() {
    if served; then return; fi
    reload || return 1
    for round in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        if served; then return; fi
        sleep 0.5
    done
    return 1
}
value() { sed -n "s/^ *$1 *= *//p" "$2"; }

# reasons TEXT: without what openssl says of what is well, and of its own source
reasons() {
    fine='Certificate request|Signature ok|subject|Getting'
    printf '%s\n' "$1" | grep -vE "^($fine|[0-9A-F]+:error)" | head -n 3 | tr '\n' ' '
}

# -- the run -----------------------------------------------------------------------

exec 9<"$directory/$name.renew"
flock -w 60 9 || die "another run does not end"
units=''
for conf in "$directory"/*.conf; do
    case $conf in *-trial.conf) continue ;; esac
    if value cert "$conf" | grep -qxF -- "$leaf"; then
        units="$units $(basename "$conf" .conf)"
    fi
done
[ -n "$units" ] || die "no configuration in $directory serves it"

[ ! -e "$work/old.crt" ] || pair old
rm -rf -- "$work"
mkdir "$work" || die "there is no place for the next one"
trap ended EXIT
trap 'exit 143' INT TERM HUP

how=${days:+issue}
said=$("${how:=fetch}" 2>&1) || die "the next one cannot be had: $(reasons "$said")"
if due; then
    keep || die "there is no place for the next one"
    pair new || die "the next one cannot be put in place: the old one stays"
    serve || die "$why: the old one is back"
    rm -- "$work/old.crt"
    tell "renewed, and served: ${file%%$line*}"
else
    serve || die "$why"
fi
left "$leaf" 20 || die "it ends on $(date -d "@$(ends "$leaf")"), and no newer one is there"
[ -z "$days" ] || left "$authority" 20 ||
    die "its CA ends on $(date -d "@$(ends "$authority")"): seal anew, clients need the new CA"
"""
)
