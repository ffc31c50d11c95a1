#!/bin/sh
# A negated command fails its bats test only as the last one; written
# `! command || false` it does so anywhere. The `||` may be on the next line.
# Likewise `[ a ] && [ b ]`, of which only b counts: write two lines.
#   negation.sh [ROOT]
set -u
cd "${1:-.}" || exit 1

set -- tests/cli/*.bats
[ -e "$1" ] || { echo 'lint.negation: no .bats file found'; exit 1; }

awk '
    function judge() {
        if (open != "") {
            print open ": write ! ... || false"
            bad = 1
        }
        open = ""
    }
    open != "" && /\|\|/ { open = "" }
    { judge() }
    /^ *! / && !/\|\|/ { open = FILENAME ":" FNR }
    /^ *\[ .*\] && \[ .*\]$/ {
        print FILENAME ":" FNR ": write two lines"
        bad = 1
    }
    END {
        judge()
        exit bad
    }
' "$@"
