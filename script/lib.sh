# What the scripts share; each sources it. Strategy: look first and do nothing when nothing is missing,
# so that a second run costs no time; results go to stdout, talk to stderr.
# Needs bash alone: Python, pip and the rest are what it brings.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PIP_DISABLE_PIP_VERSION_CHECK=1
[ -e /dev/fd/0 ] || exec </dev/null    # a closed stdin would hand its number to the next file opened

say() { printf '%s\n' "$*" >&2; }
die() { say "${0##*/}: $*"; exit 1; }
is_root() { [ "$(id -u)" -eq 0 ]; }

# quietly LABEL COMMAND...: says LABEL, and shows what the command printed only if it fails.
quietly() {
    local label=$1 log status=0
    shift
    say "$label ..."
    log=$(mktemp)
    "$@" >"$log" 2>&1 </dev/null || status=$?
    if [ "$status" -ne 0 ]; then
        cat "$log" >&2
        say "$label: failed with status $status. The command was: $*"
    fi
    rm -f "$log"
    return "$status"
}

# as_root COMMAND...: runs it as root. Asks for a password only where there is somebody to answer.
as_root() {
    if is_root; then
        "$@"
    elif [ -t 2 ]; then
        sudo "$@"
    else
        sudo -n "$@"
    fi
}

# packages GROUP...: the packages of the groups in packages.txt, and the lab's for the group `lab`.
packages() {
    awk -v wanted=" $* " '
        { sub(/#.*/, "") }
        $1 ~ /:$/ { group = $1; sub(/:$/, "", group); $1 = "" }
        $1 !~ /:$/ && FILENAME ~ /lab\/packages.txt$/ { group = "lab" }
        index(wanted, " " group " ") { for (i = 1; i <= NF; i++) if ($i != "") print $i }
    ' "$root/script/packages.txt" $([ ! -f "$root/lab/packages.txt" ] || echo "$root/lab/packages.txt") |
        sort -u
}

# missing PACKAGE...: those that are not installed.
missing() {
    local package
    for package; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
            printf '%s\n' "$package"
    done
}

# Installs without starting a service: policy-rc.d answers 101 (forbidden) meanwhile, and one that stood
# there before is put back. Runs as root, in a shell of its own that ends with it.
install_unstarted() {
    set -eu
    export DEBIAN_FRONTEND=noninteractive
    guard=/usr/sbin/policy-rc.d
    # One of ours is left only by a kill; it must not be taken for what stood there before.
    [ ! -e "$guard" ] || grep -q mailseal "$guard" || mv "$guard" "$guard.before"
    trap 'rm -f "$guard"; [ ! -e "$guard.before" ] || mv "$guard.before" "$guard"' EXIT
    printf '#!/bin/sh\n# mailseal is installing packages\nexit 101\n' >"$guard"
    chmod 755 "$guard"
    apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"
}

# need PACKAGE...: installs what is missing; the package lists are fetched only if apt cannot do without.
need() {
    local wanted
    mapfile -t wanted < <(missing "$@")
    [ "${#wanted[@]}" -gt 0 ] || return 0
    command -v apt-get >/dev/null ||
        die "install by hand, this system has no apt-get: ${wanted[*]}"
    is_root || command -v sudo >/dev/null ||
        die "neither root nor sudo. As root run: apt-get install ${wanted[*]}"
    local fetch=(as_root apt-get install -y --no-install-recommends --download-only
        -o DPkg::Lock::Timeout=300 "${wanted[@]}")
    say "Fetching ${wanted[*]} ..."
    if ! "${fetch[@]}" >/dev/null 2>&1 </dev/null; then
        quietly "Fetching the package lists" as_root apt-get update ||
            die "no package lists. Check the network and /etc/apt/sources.list"
        quietly "Fetching again with current lists" "${fetch[@]}" ||
            die "apt has not got all of: ${wanted[*]}"
    fi
    quietly "Installing ${wanted[*]} (their services are not started)" \
        as_root bash -c "$(declare -f install_unstarted); install_unstarted \"\$@\"" - "${wanted[@]}" ||
        die "apt could not install: ${wanted[*]}"
}

# Prints a Python of at least 3.11 that can make virtual environments, if there is one.
find_python() {
    local python
    for python in python3 python3.13 python3.12 python3.11 /usr/bin/python3; do
        if "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
            2>/dev/null </dev/null; then
            command -v "$python"
            return
        fi
    done
    return 1
}

# Where the system's own python3 is too old, a newer one stands beside it.
need_python() {
    find_python >/dev/null && return
    case "$(. /etc/os-release && echo "$ID:${VERSION_ID:-}")" in
        debian:11 | ubuntu:20.04) die "needs Python 3.11 or later, which this release has not. Use Debian 12 or Ubuntu 22.04" ;;
        ubuntu:22.04) need python3.11 python3.11-venv ;;
        *) need python3 python3-venv ;;
    esac
    find_python >/dev/null ||
        die "needs Python 3.11 or later with venv and ensurepip; found none after installing"
}

# environment: .venv with what requirements/dev.txt locks, and this checkout in it. The stamp
# says what it was made from; it is written last, so an interrupted run is made good by the next.
environment() {
    local python stamp
    stamp=$(cat "$root"/{requirements/dev.txt,pyproject.toml,hatch_build.py,src/mailseal/*/_*.c} |
        sha256sum)$(command -v cc || :)
    if [ "$(cat "$root/.venv/stamp" 2>/dev/null)" = "$stamp $root" ] &&
        "$root/.venv/bin/python" -c '' 2>/dev/null; then
        return
    fi
    need_python
    python=$(find_python)
    if ! "$root/.venv/bin/python" -m pip --version >/dev/null 2>&1; then
        quietly "Making .venv with $("$python" --version)" "$python" -m venv --clear "$root/.venv" ||
            die "could not make $root/.venv"
    fi
    quietly "Installing the locked requirements" "$root/.venv/bin/python" -m pip install \
        --no-deps --require-hashes -r "$root/requirements/dev.txt" ||
        die "pip could not install requirements/dev.txt. Check the network (pip reads PIP_INDEX_URL, PIP_CERT)"
    quietly "Installing mailseal from this checkout" "$root/.venv/bin/python" -m pip install \
        --no-deps --no-build-isolation --no-index --editable "$root" ||
        die "pip could not install $root"
    printf '%s\n' "$stamp $root" >"$root/.venv/stamp"
}
