#!/bin/sh
# The README's first command in a bare Debian 12: makes a minimal system with
# debootstrap in a temporary folder, clones the last commit into it, and does
# there what the README says. Needs root, debootstrap and a Debian mirror
# (the one this machine uses). Not part of continuous integration.
#   scripts/test-fresh.sh [FOLDER]     FOLDER is kept; default: temporary
set -eu
cd "$(dirname "$0")/.."

[ "$(id -u)" -eq 0 ] || { echo 'test-fresh: needs root' >&2; exit 1; }
command -v debootstrap >/dev/null || {
    echo 'test-fresh: debootstrap is missing' >&2
    exit 1
}

if [ $# -gt 0 ]; then
    root=$1
    keep=yes
    mkdir -p "$root"
else
    root=$(mktemp -d)
    keep=no
fi
finish() {
    umount "$root/proc" 2>/dev/null || true
    if [ "$keep" = no ]; then rm -rf "$root"; fi
}
trap finish EXIT

# The mirror of this machine's own sources, in either of apt's formats.
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
    sed -n -e 's/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\).*/\2/p' \
        -e 's/^URIs: *\([^ ]*\).*/\1/p' | grep '/debian/*$' | head -n 1)
[ -n "$mirror" ] || { echo 'test-fresh: no mirror in apt sources' >&2; exit 1; }

if [ ! -x "$root/usr/bin/apt-get" ]; then
    debootstrap --variant=minbase bookworm "$root" "$mirror"
    cp -a /etc/apt/apt.conf.d/. "$root/etc/apt/apt.conf.d/" 2>/dev/null || true
    cp /etc/resolv.conf "$root/etc/resolv.conf"
fi
mount -t proc proc "$root/proc"
rm -rf "$root/root/apq"
git clone -q . "$root/root/apq"
# The README: make is what a bare system lacks to begin with.
chroot "$root" sh -c 'apt-get update -qq && apt-get install -y -qq make'
chroot "$root" sh -c 'cd /root/apq && make demo'
echo 'test-fresh: the first command works on a bare Debian 12'
