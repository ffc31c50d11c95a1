#!/bin/sh
# Every header compiles alone, so each includes what it uses. Left out are
# NAME_impl.h: bodies that one source includes with its own macros set (the
# kernels, once an instruction set); they are no interfaces. Public headers are
# C++ as well, which is checked where there is a C++ compiler.
#   headers.sh [ROOT]     CC, CXX name the compilers, default cc and c++
set -u
cd "${1:-.}" || exit 1

headers=$(find src include -name '*.h' ! -name '*_impl.h' | LC_ALL=C sort)
[ -n "$headers" ] || { echo 'lint.headers: no headers found'; exit 1; }

bad=0
for header in $headers; do
    # Public headers see only each other; the others see src as well.
    case $header in
    include/*) paths='-Iinclude' ;;
    *) paths='-Iinclude -Isrc' ;;
    esac
    # shellcheck disable=SC2086
    if ! errors=$(printf '#include "%s"\ntypedef int not_empty;\n' "$header" |
        "${CC:-cc}" -std=c17 -D_POSIX_C_SOURCE=200809L -Wall -Wextra \
            -pedantic -Werror -fsyntax-only -I. $paths -x c - 2>&1); then
        printf '%s\n' "$errors" | head -n 8
        echo "lint.headers: $header does not compile alone"
        bad=1
    fi
done

if command -v "${CXX:-c++}" >/dev/null 2>&1; then
    for header in $(find include -name '*.h' | LC_ALL=C sort); do
        if ! errors=$(printf '#include "%s"\n' "$header" |
            "${CXX:-c++}" -std=c++11 -Wall -Wextra -pedantic -Werror \
                -fsyntax-only -I. -Iinclude -x c++ - 2>&1); then
            printf '%s\n' "$errors" | head -n 8
            echo "lint.headers: $header is not C++"
            bad=1
        fi
    done
else
    echo 'skipped: public headers as C++ need a compiler for it (Debian: g++)'
fi
exit $bad
