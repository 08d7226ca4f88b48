# Base system: the smallest Debian of one suite that can install packages.
# Runs on the building machine.  Arguments: SUITE MIRROR TARGET.
set -eu
debootstrap --variant=minbase "$1" "$3" "$2"
