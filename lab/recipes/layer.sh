# System layer: the packages of one kind of host, on top of a base system, ready to boot.
# Runs inside base + layer, with the repository at /srv/repo.  Arguments: SUITE MIRROR PACKAGE...
set -eu
suite=$1 mirror=$2
shift 2
printf 'deb %s %s main\n' "$mirror" "$suite" >/etc/apt/sources.list
# Nothing may start while the layer is built.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
apt-get update
apt-get --yes --no-install-recommends install "$@"
rm /usr/sbin/policy-rc.d
apt-get clean

# From here on the repository on disk is the only source.
rm -rf /var/lib/apt/lists/*
printf 'deb [trusted=yes] file:/srv/repo ./\n' >/etc/apt/sources.list
apt-get update

# Jobs that would wake up in the middle of a test, and log-ins on a console that is a pipe.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    e2scrub_reap.service fstrim.timer man-db.timer systemd-tmpfiles-clean.timer \
    console-getty.service getty.target; do
    ln -sf /dev/null "/etc/systemd/system/$unit"
done
# Every host gets an identity of its own when it is made.
: >/etc/machine-id
rm -f /var/lib/dbus/machine-id /etc/hostname
