#!/bin/sh
# The installed library serves a program through pkg-config and through
# find_package, from a folder other than the configured prefix.
#   consumer.sh BUILD_DIR SOURCE_DIR     CC, SANITIZE: as the build's
set -eu
build=$1
source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/prefix" >/dev/null
pc=$(find "$work/prefix" -name apq.pc)
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH
version=$(pkg-config --modversion apq)

# The flags are meant to split into words.
# shellcheck disable=SC2046,SC2086
"${CC:-cc}" ${SANITIZE-} -o "$work/consumer" "$source/consumer.c" \
    $(pkg-config --cflags --libs apq)
LD_LIBRARY_PATH=$(pkg-config --variable=libdir apq)
export LD_LIBRARY_PATH
said=$("$work/consumer")
if [ "$said" != "apq $version" ]; then
    echo "through pkg-config: '$said', expected 'apq $version'"
    exit 1
fi

cmake -S "$source/project" -B "$work/project" \
    -DCMAKE_PREFIX_PATH="$work/prefix" -DCMAKE_C_COMPILER="${CC:-cc}" \
    -DCMAKE_C_FLAGS="${SANITIZE-}" >/dev/null
cmake --build "$work/project" >/dev/null
said=$("$work/project/consumer")
if [ "$said" != "apq $version" ]; then
    echo "through find_package: '$said', expected 'apq $version'"
    exit 1
fi

for file in bin/apq share/apq/configs/spaces/tiny.yaml \
    share/apq/recipes/tiny.yaml; do
    if [ ! -e "$work/prefix/$file" ]; then
        echo "$file is not installed"
        exit 1
    fi
done
