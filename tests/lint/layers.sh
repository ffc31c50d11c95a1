#!/bin/sh
# Every #include "module/file.h" under src/ must be allowed by layers.txt.
#   layers.sh [ROOT]      ROOT is the source root, default the current folder
set -u
cd "${1:-.}" || exit 1

includes=$(grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' src \
    --include='*.[ch]')
[ -n "$includes" ] || { echo 'lint.layers: no includes found'; exit 1; }

printf '%s\n' "$includes" | awk '
    BEGIN {
        bad = 0
        while ((getline line < "layers.txt") > 0) {
            if (line ~ /^[ \t]*(#|$)/) {
                continue
            }
            colon = index(line, ":")
            module = substr(line, 1, colon - 1)
            n = split(substr(line, colon + 1), names, " ")
            for (i = 1; i <= n; i++) {
                if (names[i] == "all") {
                    for (above in known) {
                        allowed[module, above] = 1
                    }
                } else if (!(names[i] in known)) {
                    printf "layers.txt: %s names %s, not a module above it\n",
                        module, names[i]
                    bad = 1
                } else {
                    allowed[module, names[i]] = 1
                }
            }
            known[module] = 1
            allowed[module, module] = 1
        }
    }
    {
        split($0, part, ":")
        split(part[1], folder, "/")
        from = folder[2]
        match($0, /"[^"]*"/)
        header = substr($0, RSTART + 1, RLENGTH - 2)
        to = header
        sub(/\/.*/, "", to)
        where = part[1] ":" part[2]
        if (!(from in known)) {
            printf "%s: module %s is not in layers.txt\n", where, from
            bad = 1
        } else if (header !~ /\//) {
            printf "%s: \"%s\": write the module, \"%s/%s\"\n", where, header,
                from, header
            bad = 1
        } else if (to != "apq" && !((from, to) in allowed)) {
            printf "%s: %s may not include %s\n", where, from, to
            bad = 1
        }
    }
    END { exit bad }
'
