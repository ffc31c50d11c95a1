#!/bin/sh
# Each function that docs/paper-map.md names is in the file of its row.
#   paper-map.sh [ROOT]
set -u
cd "${1:-.}" || exit 1

# The backquotes are Markdown.
# shellcheck disable=SC2016
rows=$(sed -n 's/^|.*| `\(src[^`]*\)` | `\([a-z0-9_]*\)` |$/\2 \1/p' \
    docs/paper-map.md)
[ -n "$rows" ] || { echo 'lint.paper-map: no rows found'; exit 1; }

bad=0
while read -r name file; do
    # A definition starts its line and is no declaration.
    if ! grep -qE "^[a-z].*[ *]$name\(|^$name\(" "$file"; then
        echo "docs/paper-map.md: $name is not in $file"
        bad=1
    fi
done <<END
$rows
END
exit $bad
