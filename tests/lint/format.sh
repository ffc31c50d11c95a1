#!/bin/sh
# C files are formatted as .clang-format says; `make format` mends them.
# Status 77 (skipped) when clang-format is not installed.
#   format.sh [ROOT]
set -u
cd "${1:-.}" || exit 1

if ! command -v clang-format >/dev/null 2>&1; then
    echo 'skipped: needs clang-format (Debian: clang-format)'
    exit 77
fi
folders=
for folder in src include tests examples; do
    if [ -d "$folder" ]; then
        folders="$folders $folder"
    fi
done
# The list is meant to split into words; paths of this tree have no blanks.
# shellcheck disable=SC2086
files=$(find $folders -name '*.[ch]' | LC_ALL=C sort)
[ -n "$files" ] || { echo 'lint.format: no files found'; exit 1; }
# shellcheck disable=SC2086
clang-format --dry-run -Werror $files
