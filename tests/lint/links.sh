#!/bin/sh
# Relative links of every Markdown file lead to a file or folder.
#   links.sh [ROOT]
set -u
cd "${1:-.}" || exit 1

files=$(find . -name '*.md' -not -path './build*' -not -path './.git/*' |
    LC_ALL=C sort)
[ -n "$files" ] || { echo 'lint.links: no Markdown found'; exit 1; }

# Link targets outside of code blocks, as "FILE:LINE:TARGET".
# shellcheck disable=SC2086
links=$(awk '
    FNR == 1 { in_code = 0 }
    /^[ \t]*```/ { in_code = !in_code }
    !in_code {
        rest = $0
        gsub(/`[^`]*`/, "", rest)
        while (match(rest, /\]\([^) ]+/)) {
            print FILENAME ":" FNR ":" substr(rest, RSTART + 2, RLENGTH - 2)
            rest = substr(rest, RSTART + RLENGTH)
        }
    }' $files)

bad=0
while IFS=: read -r file line target; do
    case $target in
    '' | '#'* | http:* | https:* | mailto:*) continue ;;
    esac
    path=${target%%#*}
    if [ ! -e "$(dirname "$file")/$path" ]; then
        echo "$file:$line: $target does not exist"
        bad=1
    fi
done <<END
$links
END
exit $bad
