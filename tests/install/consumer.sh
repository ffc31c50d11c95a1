#!/bin/sh
# The installed tree serves programs through pkg-config and through
# find_package, from a folder other than the configured prefix, and finds its
# data there.
#   consumer.sh BUILD_DIR SOURCE_DIR     CC, CXX, SANITIZE: as the build's
set -eu
build=$1
source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# fail MESSAGE
fail() {
    echo "$1"
    exit 1
}

cmake --install "$build" --prefix "$work/prefix" >/dev/null
pc=$(find "$work/prefix" -name apq.pc)
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH
version=$(pkg-config --modversion apq)
LD_LIBRARY_PATH=$(pkg-config --variable=libdir apq)
export LD_LIBRARY_PATH
# No data from the environment or the current folder.
unset APQ_DATA_DIR
mkdir "$work/empty"
cd "$work/empty"

# compile OUT SOURCE: through pkg-config.
compile() {
    # The flags are meant to split into words.
    # shellcheck disable=SC2046,SC2086
    "${CC:-cc}" -std=c17 ${SANITIZE-} -o "$1" "$2" \
        $(pkg-config --cflags --libs apq)
}

cmake -S "$source/project" -B "$work/project" \
    -DCMAKE_PREFIX_PATH="$work/prefix" -DCMAKE_C_COMPILER="${CC:-cc}" \
    -DCMAKE_C_FLAGS="${SANITIZE-}" >/dev/null
cmake --build "$work/project" >/dev/null
compile "$work/consumer" "$source/consumer.c"
for program in "$work/consumer" "$work/project/consumer"; do
    said=$("$program")
    [ "$said" = "apq $version" ] ||
        fail "$program: '$said', expected 'apq $version'"
done

# Every public function is in the library: named here, so linked.
headers=$work/prefix/include/apq
names=$(cat "$headers"/*.h | tr '\n' ' ' | grep -oE 'APQ_API [^;]*;' |
    grep -oE 'apq_[a-z_]+\(' | tr -d '(' | sort -u)
[ -n "$names" ] || fail "no public function found in $headers"
{
    echo '#include <apq/apq.h>'
    echo 'typedef void any(void);'
    echo 'any *volatile all[] = {'
    printf '(any *)%s,\n' $names
    echo '};'
    echo 'int main(void) { return all[0] == (any *)0; }'
} >"$work/all.c"
compile "$work/all" "$work/all.c" || fail 'a public function is missing'
# A shared library shows nothing else.
shared=$(pkg-config --variable=libdir apq)/libapq.so
if [ -e "$shared" ]; then
    shown=$(nm -D --defined-only "$shared" | sed 's/.* //' | sort -u)
    [ "$shown" = "$names" ] || fail "libapq.so shows: $shown"
fi

# The installed program and the example agree. The example finds the data
# beside the library when that is shared, else by what the package says.
example=$source/../../examples/search.c
# Found through PATH, a program does not know its folder by its own name.
PATH=$work/prefix/bin:$PATH
expected=$(apq search --latency-ms 0.5 --quiet --json |
    jq -c .policy)
[ -n "$expected" ] || fail 'the installed apq found no policy'
compile "$work/search" "$example"
if [ ! -e "$shared" ]; then
    APQ_DATA_DIR=$(pkg-config --variable=datadir apq)
    export APQ_DATA_DIR
fi
for program in "$work/search" "$work/project/search"; do
    said=$("$program" | jq -c . 2>/dev/null | head -n 1) || true
    [ "$said" = "$expected" ] ||
        fail "$program: '$said', expected '$expected'"
done
# Installed beside apq it needs to be told nothing.
unset APQ_DATA_DIR
cp "$work/search" "$work/prefix/bin/search"
"$work/prefix/bin/search" >/dev/null || fail 'installed example: no data'

for file in bin/apq share/apq/configs/spaces/tiny.yaml \
    share/apq/recipes/tiny.yaml share/man/man1/apq.1 \
    share/man/man1/apq-lut-build.1 share/bash-completion/completions/apq \
    share/zsh/site-functions/_apq share/fish/vendor_completions.d/apq.fish; do
    [ -e "$work/prefix/$file" ] || fail "$file is not installed"
done

# The interface and the examples are C++ as well.
if command -v "${CXX:-c++}" >/dev/null 2>&1; then
    for example in search classify; do
        "${CXX:-c++}" -std=c++11 -Wall -Wextra -Wpedantic -Werror \
            -fsyntax-only "-I$work/prefix/include" -x c++ \
            "$source/../../examples/$example.c" ||
            fail "examples/$example.c is not C++"
    done
else
    echo 'skipped: examples as C++ need a compiler for it (Debian: g++)'
fi
