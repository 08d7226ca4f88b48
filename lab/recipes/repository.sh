# Package repository of one suite: packages and everything they depend on, so that apt inside a
# host needs no network.  Runs inside the base system, writes to /srv/repo.
# Arguments: SUITE MIRROR PACKAGE...
set -eu
suite=$1 mirror=$2
shift 2
printf 'deb %s %s main\n' "$mirror" "$suite" >/etc/apt/sources.list
apt-get update
# An empty package database makes apt fetch the whole closure, whatever a layer already holds.
apt-get --yes --no-install-recommends --download-only \
    -o Dir::State::status=/dev/null -o Dir::Cache::archives=/srv/repo install "$@"
cd /srv/repo
rm -rf lock partial
for package in *.deb; do
    dpkg-deb --field "$package"
    printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$package" "$(stat -c %s "$package")" \
        "$(sha256sum "$package" | cut -d ' ' -f 1)"
done >Packages
