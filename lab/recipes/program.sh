# One program out of a package, without what the package would install or start beside it.
# Runs inside the base system, writes to /srv/repo.  Arguments: SUITE MIRROR PACKAGE PATH.
set -eu
printf 'deb %s %s main\n' "$2" "$1" >/etc/apt/sources.list
apt-get update
cd /tmp
apt-get download "$3"
dpkg-deb --fsys-tarfile "$3"_*.deb | tar --extract --directory /srv/repo "./$4"
