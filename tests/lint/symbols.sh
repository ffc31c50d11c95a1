#!/bin/sh
# What a static libapq defines for the linker begins with apq_, so that no
# program's own names clash with it. Names with `_` or `.` are the compiler's.
#   symbols.sh LIBRARY
set -u
case $1 in
*.a) ;;
*) echo 'lint.symbols: a shared library hides its names'; exit 77 ;;
esac
command -v nm >/dev/null || { echo 'lint.symbols: needs nm'; exit 77; }

names=$(nm -g --defined-only "$1") || exit 1
printf '%s\n' "$names" | awk '
    NF == 3 { n++ }
    NF == 3 && $3 !~ /^(apq_|_|\.)/ {
        print "not apq_...: " $3
        bad = 1
    }
    END {
        if (n == 0) print "lint.symbols: no names found"
        exit bad || n == 0
    }
'
