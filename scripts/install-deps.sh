#!/bin/sh
# Installs what apq needs to build and test.
#   scripts/install-deps.sh           install what is missing (Debian, Ubuntu)
#   scripts/install-deps.sh --check   list what is missing; status 1 if any
#   scripts/install-deps.sh --tests   also what only tests use: a browser, other
#                                     shells, a compiler and emulator for Cortex-M,
#                                     a C++ compiler
# Does nothing, and needs no network, when everything is there. On other
# systems it prints the package names and exits with status 1.
set -eu

# One package a line; "a|b" means either will do (Debian's or Ubuntu's name).
debian_packages='
gcc
make
cmake
ninja-build
pkg-config|pkgconf
libdnnl-dev
libcmocka-dev
libjansson-dev
libyaml-dev
libsqlite3-dev
libturbojpeg0-dev
libjpeg62-turbo-dev|libjpeg-turbo8-dev
libspng-dev
libarchive-dev
libonnx-dev
libprotobuf-c-dev
protobuf-c-compiler
libcairo2-dev
libjs-chart.js
libzstd-dev
librandom123-dev
libxxhash-dev
zlib1g-dev
libopenmpi-dev
openmpi-bin
bats
clang-format
clang-tidy
jq
sqlite3
'

# Without these some tests skip, and say so.
test_packages='
groff
man-db
zsh
fish
chromium|chromium-browser
gcc-arm-none-eabi
libnewlib-arm-none-eabi
qemu-system-arm
python3-venv
g++
'

usage() {
    printf 'usage: %s [--check] [--tests]\n' "$0"
}

is_installed() {
    status=$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) || return 1
    [ "$status" = installed ]
}

# Prints the missing packages, one a line.
missing_debian() {
    for entry in $debian_packages; do
        found=no
        for name in $(printf '%s' "$entry" | tr '|' ' '); do
            if is_installed "$name"; then
                found=yes
                break
            fi
        done
        if [ "$found" = no ]; then
            printf '%s\n' "$entry"
        fi
    done
}

# Of the alternatives of one entry, the first that this system offers.
choose() {
    for name in $(printf '%s' "$1" | tr '|' ' '); do
        if apt-cache show "$name" >/dev/null 2>&1; then
            printf '%s\n' "$name"
            return
        fi
    done
    printf '%s\n' "${1%%|*}"
}

print_other_systems() {
    cat <<'TXT'
This script installs only on Debian and Ubuntu. Install these yourself:

Fedora:
  sudo dnf install gcc make cmake ninja-build pkgconf-pkg-config onednn-devel \
    libcmocka-devel jansson-devel libyaml-devel sqlite-devel \
    turbojpeg-devel libjpeg-turbo-devel libspng-devel libarchive-devel \
    cairo-devel libzstd-devel Random123-devel xxhash-devel zlib-devel \
    openmpi-devel protobuf-c-devel onnx-devel bats clang-tools-extra jq sqlite

Arch (random123 and libspng may come from the AUR):
  sudo pacman -S gcc make cmake ninja pkgconf onednn cmocka jansson libyaml \
    sqlite libjpeg-turbo libspng libarchive cairo zstd random123 xxhash zlib \
    openmpi protobuf-c bats clang jq

macOS (Homebrew; Random123 is header-only, copy it from its project):
  brew install cmake ninja pkg-config onednn cmocka jansson libyaml sqlite \
    jpeg-turbo libspng libarchive cairo zstd xxhash zlib open-mpi \
    protobuf-c bats-core clang-format llvm libomp jq
TXT
}

check_only=no
for option in "$@"; do
    case "$option" in
    --check) check_only=yes ;;
    --tests) debian_packages="$debian_packages$test_packages" ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
done

if ! command -v dpkg-query >/dev/null 2>&1 ||
    ! command -v apt-get >/dev/null 2>&1; then
    print_other_systems
    exit 1
fi

missing=$(missing_debian)
if [ -z "$missing" ]; then
    echo 'all dependencies are installed'
    exit 0
fi
if [ "$check_only" = yes ]; then
    echo 'missing:'
    printf '%s\n' "$missing" | sed 's/|/ or /; s/^/  /'
    exit 1
fi

as_root=
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo 'install-deps: needs root or sudo to install:' >&2
        printf '%s\n' "$missing" | sed 's/^/  /' >&2
        exit 1
    fi
    as_root=sudo
fi

$as_root apt-get update
packages=
for entry in $missing; do
    packages="$packages $(choose "$entry")"
done
# The list is meant to split into words.
# shellcheck disable=SC2086
$as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y --no-install-recommends $packages
