#!/usr/bin/env bats
# docs/automation.md: what commands print with --json.

load 'helper'

setup_file() {
    make_run
}

# members COMMAND: those of its row, sorted, a line each.
members() {
    grep -F "| \`$1\` |" "$ROOT/docs/automation.md" | cut -d'|' -f3 |
        grep -o '[a-z0-9_]*' | sort
}

@test "commands print the members that are documented" {
    "$APQ" policy show largest --space tiny --json >largest.json
    jq -c .policy "$ROOT/models/cifar10/best.json" >found.json
    "$APQ" cost --space tiny --target bitfusion --specs largest.json --json \
        >'apq cost --specs'
    "$APQ" cost --space tiny --target bitfusion --range --json >'apq cost --range'
    "$APQ" eval --run "$RUN" --policy largest --json --quiet >'apq eval'
    "$APQ" predict --space cifar10 --specs found.json --json >'apq predict'
    "$APQ" infer --image "$RUN/search.png" --json >'apq infer'
    for command in apq\ *; do
        members "$command" >documented
        [ -s documented ]
        jq -r 'keys[]' "$command" | sort | diff documented -
    done
}

@test "exit statuses are those of the manual pages" {
    sed -n 's/^| \([0-9]*\) | \(.*\) |$/\1 \2/p' "$ROOT/docs/automation.md" \
        >documented
    sed -n 's/^    {"\([0-9]*\)", "\(.*\)"},$/\1 \2/p' "$ROOT/src/cli/manual.c" |
        diff documented -
}
