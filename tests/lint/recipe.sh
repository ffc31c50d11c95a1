#!/bin/sh
# Each key of a recipe is in a table of the documentation.
#   recipe.sh [ROOT]
set -u
cd "${1:-.}" || exit 1

# SECTION.KEY, of the top level .KEY; phases are named by their first and last.
keys=$(sed -n -e 's/^ *[A-Z]*(NULL, "\([a-z0-9_]*\)".*/.\1/p' \
    -e 's/^ *[A-Z]*("\([a-z]*\)", "\([a-z0-9_]*\)",.*/\1.\2/p' \
    src/app/recipe.c)
[ "$(printf '%s\n' "$keys" | wc -l)" -ge 80 ] ||
    { echo 'lint.recipe: too few keys found'; exit 1; }

bad=0
for path in $keys; do
    section=${path%%.*}
    case $section in
    train) pages='docs/training.md docs/training-options.md' ;;
    footprint) pages=docs/formats/report.md ;;
    *) pages='docs/formats/recipe.md docs/formats/records.md docs/predictor.md
            docs/quantisation.md' ;;
    esac
    # The list is meant to split into words.
    # shellcheck disable=SC2086
    if ! grep -qE "^\|.*\`($section\.)?${path#*.}\`" $pages; then
        echo "$path is in no table of $pages"
        bad=1
    fi
done
exit $bad
