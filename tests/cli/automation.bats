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

# results FILE: in it, sorted, what a run of the tiny recipe under a size prints.
results() {
    local networks='(network|best_uniform4): test top-1 [0-9.]+ % of 6 images'
    local n='[0-9]+ (float|quantised) records: held-out'
    # No order where all networks do alike.
    local scores='(pairwise accuracy [0-9.]+ %|RMSE [0-9.]+ points)'
    [ "$(grep -cE "^predictor on $n $scores.*[0-9] records.*\\)\$" "$1")" -eq 2 ]
    [ "$(grep -cE "^$networks at 0\\.[0-9]+ ms, .*, [0-9.]+ kB\$" "$1")" -eq 2 ]
    [ "$(grep -cE '^search: predicted top-1 [0-9.]+ % at .* kB$' "$1")" -eq 1 ]
    [ "$(grep -c '^budget: 12 kB$' "$1")" -eq 1 ]
}

@test "results go to standard output, and stay with --quiet" {
    for class in a b; do
        mkdir -p "photos/$class"
        for i in {1..30}; do # one pixel
            base64 -d >"photos/$class/$i.png" <<END
iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==
END
        done
    done
    "$APQ" run "$ROOT/recipes/tiny.yaml" n_val=20 collect.val_images=20 \
        train.batch=10 finetune.batch=10 search.size_kb=12 --data photos \
        --run run >out 2>err
    results out
    [ "$(wc -l <out)" -eq 7 ]
    # Each note once, and no result among them.
    [ "$(grep -c 'photos has no test images: 6 of its images' err)" -eq 1 ]
    [ "$(grep '^search: space tiny on bitfusion: ' err | sort | uniq -d)" = '' ]
    ! grep -E 'held-out|test top-1|predicted top-1|budget' err || false
    # Done before, and a step alone, the same.
    "$APQ" run --run run --quiet >again 2>err
    [ ! -s err ]
    diff <(sed '$d' out) <(sed '$d' again)
    for step in 'predictor fit' finetune; do
        # $step is two words.
        # shellcheck disable=SC2086
        "$APQ" $step --run run --quiet >>steps
    done
    diff <(grep -v '^search: ' out | sed '$d') <(grep -v ': done in ' steps)
    "$APQ" predictor fit --run run --json --quiet | jq -e --slurpfile fit \
        run/predictor.json '.predictor == $fit[0]'
}
