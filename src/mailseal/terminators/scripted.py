"""stunnel started by an init script: where no systemd runs the host.

Strategy: one script for all terminators, as systemd has one template. It drops all rights of root
but the one to low ports before stunnel begins (setpriv(1)), as the unit does, so that stunnel is
its own user from the start: with stunnel's `setuid` a HUP loses ports under 1024. stunnel goes into
the background by itself once it has its ports: until then what it says against its configuration
is the script's.
"""

from __future__ import annotations

from typing import Tuple

from mailseal.model.ops import MakeLink, Op, WriteFile
from mailseal.system.units import SCRIPTS
from mailseal.terminators.stunnel import DIRECTORY, GROUP, Options, config_path

UNIT = "mailseal.service"
SCRIPT = SCRIPTS + "mailseal"
BOOT = DIRECTORY + "/boot/"
"""A link for each terminator that starts at boot."""
RUN = "/run/mailseal"

TOLD = (
    "Without systemd nothing starts stunnel again when it ends by itself: `service mailseal start` "
    "does. It is held to its own account and the right to low ports, and not in the sandbox of a "
    "unit. It logs to the syslog.",
    "Where stunnel4 is not installed yet, apt may bring the package systemd with it (not as init): "
    "install systemd-standalone-sysusers first if that is not wanted.",
)


def options(name: str) -> Options:
    """stunnel's own, of a terminator that the script starts."""
    return (
        ("pid", "%s/%s.pid" % (RUN, name)),
        ("syslog", "yes"),
        # An address may appear late at boot, and one that is gone must not keep the others down.
        ("socket", "a:IP_FREEBIND=1"),
    )


def boot(name: str) -> Tuple[Op, ...]:
    """The op that starts a terminator at boot from now on."""
    return (MakeLink(BOOT + name, config_path(name)),)


def backend_socket(port: int) -> str:
    """Where the backend listens, in a folder that is closed to others: inetd opens its sockets to
    all. It is there when inetd starts at boot, before any script of ours.
    """
    return "%s/%d.sock" % (DIRECTORY, port)


def script(program: str) -> WriteFile:
    """The script, whose terminators run `program`."""
    words = {"program": program, "directory": DIRECTORY, "run": RUN, "user": GROUP}
    return WriteFile(SCRIPT, (_SCRIPT % words).encode(), "root", "root", 0o755)


_SCRIPT = r"""#!/bin/sh
### BEGIN INIT INFO
# Provides:          mailseal
# Required-Start:    $network $remote_fs
# Required-Stop:     $network $remote_fs
# Should-Start:      $named $syslog
# Should-Stop:       $named $syslog
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: TLS in front of mail services (stunnel)
### END INIT INFO
# Made by mailseal; `mailseal rollback` removes it.
#
# mailseal start|stop|restart|reload|status [NAME ...]: the terminators of those names; without any,
# all that start at boot.
set -u
stunnel=%(program)s directory=%(directory)s run=%(run)s user=%(user)s

# running NAME: known by its words, since the file with its number is for stunnel to write
running() {
    pid=$(cat "$run/$1.pid" 2>/dev/null) || return 1
    case $pid in '' | *[!0-9]*) return 1 ;; esac
    words=$({ tr '\0' ' ' <"/proc/$pid/cmdline"; } 2>/dev/null)
    [ "$words" = "$stunnel $directory/$1.conf " ]
}
# within SECONDS, COMMAND...: it comes to be true
within() {
    rounds=$(($1 * 10))
    shift
    until "$@"; do
        rounds=$((rounds - 1))
        [ "$rounds" -gt 0 ] || return 1
        sleep 0.1
    done
}
ended() { ! running "$1"; }

start() {
    ! running "$1" || return 0
    install -d -o root -g "$user" -m 0770 "$run" || return 1
    rm -f "$run/$1.pid"
    ulimit -n 65536 2>/dev/null
    umask 077
    # A file and no pipe: what it starts besides may keep that open.
    said=$(mktemp /run/mailseal-start.XXXXXX) || return 1
    setpriv --reuid="$user" --regid="$user" --init-groups --no-new-privs \
        --inh-caps=-all,+net_bind_service --ambient-caps=-all,+net_bind_service \
        --bounding-set=-all,+net_bind_service \
        "$stunnel" "$directory/$1.conf" </dev/null >"$said" 2>&1 && within 5 running "$1"
    code=$?
    why=$({ grep '^\[!\]' "$said" | grep -v 'error queue' || tail -n 1 "$said"; } | head -n 1)
    rm -f "$said"
    return "$code"
}
stop() {
    running "$1" || return 0
    kill "$pid"
    within 10 ended "$1" || { kill -KILL "$pid" && within 5 ended "$1"; } || return 1
    rm -f "$run/$1.pid"
    rmdir "$run" 2>/dev/null || :
}
reload() { running "$1" && kill -HUP "$pid"; }
restart() { stop "$1" && start "$1"; }
status() { running "$1" || return 3; }

word=${1:-}
case $word in
start | stop | restart | reload | status) shift ;;
force-reload) word=reload && shift ;;
*)
    echo "usage: $0 start|stop|restart|reload|status [NAME ...]" >&2
    exit 2
    ;;
esac
# shellcheck disable=SC2046
[ $# -gt 0 ] || set -- $(ls "$directory/boot" 2>/dev/null)
worst=0
for name do
    why=''
    "$word" "$name" && continue
    worst=$?
    echo "mailseal: $word $name: no${why:+: $why}" >&2
done
exit "$worst"
"""
