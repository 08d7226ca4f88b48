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
    ! rpm -q "$1" >/dev/null 2>&1 || exit 0
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
manager=$(command -v apt-get || command -v dnf || command -v yum) || {
    echo "no package manager that is known here: install $1, and run this again" >&2
    exit 6
}
get() {
    case $manager in
    */apt-get)
        apt-get install --yes --no-install-recommends --no-remove --no-upgrade \
            -o Dpkg::Options::=--force-confold -o DPkg::Lock::Timeout=60 "$1" </dev/null ;;
    */dnf) dnf install --assumeyes --setopt=install_weak_deps=False "$1" </dev/null ;;
    */yum) yum install --assumeyes "$1" </dev/null ;;
    esac
}
refresh() {
    case $manager in
    */apt-get) apt-get update -o DPkg::Lock::Timeout=60 ;;
    *) "$manager" makecache ;;
    esac
}
get "$1" || { refresh && get "$1"; }
enabled | comm -13 "$2" - | while read -r unit; do
    systemctl disable --now -- "$unit"
done
rm "$2"
echo "mailseal: installed"
