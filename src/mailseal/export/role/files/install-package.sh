#!/bin/sh
# install-package.sh NAME FILE: installs a package of the distribution, none of whose services is
# started or enabled. FILE holds the units that were enabled before, so that a run that was cut off
# can be gone on with.
set -eu
export LC_ALL=C
guard=/usr/sbin/policy-rc.d
enabled() {
    systemctl list-unit-files --state=enabled,generated --no-legend --plain |
        cut -d ' ' -f 1 | sort
}
if [ ! -e "$2" ]; then
    ! dpkg-query -W -f='${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed || exit 0
    enabled >"$2.new"
    mv "$2.new" "$2"
fi
# invoke-rc.d asks policy-rc.d before it starts a service: 101 is "not allowed".
if [ -e $guard ] && ! grep -qsx '# mailseal role' $guard; then
    echo "$guard is there: install $1, its services neither started nor enabled, and run this again" >&2
    exit 6
fi
trap 'rm -f $guard' EXIT
printf '#!/bin/sh\n# mailseal role\nexit 101\n' | install -m 0755 /dev/stdin $guard
export DEBIAN_FRONTEND=noninteractive APT_LISTCHANGES_FRONTEND=none NEEDRESTART_SUSPEND=1
get() {
    apt-get install --yes --no-install-recommends --no-remove --no-upgrade \
        -o Dpkg::Options::=--force-confold -o DPkg::Lock::Timeout=60 "$1" </dev/null
}
get "$1" || { apt-get update -o DPkg::Lock::Timeout=60 && get "$1"; }
enabled | comm -13 "$2" - | while read -r unit; do
    systemctl disable --now -- "$unit"
done
rm "$2"
echo "mailseal: installed"
