#!/usr/bin/env bats
# docs/automation.md: what commands print with --json.

load 'helper'

setup_file() {
    make_run
}

# members ROW: those of a row of the table, sorted, a line each.
members() {
    sed 's/`//g' "$ROOT/docs/automation.md" | grep -F "| $1 |" | cut -d'|' -f3 |
        grep -o '[a-z0-9_]*' | sort
}

# same ROW FILE [FILTER]: the members of what jq finds in a command's output, of
# several objects those of any.
same() {
    members "$1" >documented
    [ -s documented ]
    jq -rs "[.[] | ${3:-.} | keys[]] | unique[]" "$2" | diff documented -
}

@test "commands print the members that are documented" {
    cp -r "$RUN" run
    "$APQ" policy show largest random:1 --space tiny --json >two.json
    jq -c .policy "$ROOT/models/cifar10/best.json" >found.json
    cost=("$APQ" cost --space tiny --target bitfusion --json)
    "${cost[@]}" --specs two.json >cost
    same 'apq cost --specs' cost
    "${cost[@]}" --specs two.json --explain >explained
    same 'apq cost --explain: layers' explained '.layers[]'
    "${cost[@]}" --range >range
    same 'apq cost --range' range
    "${cost[@]}" --bit-pairs >pairs
    same 'apq cost --bit-pairs' pairs
    same 'apq cost --bit-pairs: list' pairs '.list[]'
    "$APQ" eval --run run --policy largest --json --quiet >eval
    same 'apq eval' eval
    "$APQ" predict --space cifar10 --specs found.json --json >predict
    same 'apq predict' predict
    "$APQ" encode --space tiny --specs two.json --json >encode
    same 'apq encode' encode
    "$APQ" infer --image run/search.png --json >infer
    same 'apq infer' infer
    "$APQ" predictor eval --run run --json --quiet >judged
    same 'apq predictor eval' judged
    "$APQ" predictor curve --run run --seeds 1 --json --quiet >curve
    same 'apq predictor curve' curve
    same 'apq predictor curve: sizes' curve '.sizes[]'
    "$APQ" collect export --run run --format jsonl -o records
    "$APQ" collect import --run run --records records --json >import
    same 'apq collect import' import
    "$APQ" data check --data 'builtin:shapes?train=600&test=200&size=16&seed=1' \
        --json --quiet >data
    same 'apq data check' data
    "$APQ" list spaces --json >spaces
    same 'apq list' spaces '.[]'
    "$APQ" list targets --json >targets
    same 'apq list targets' targets '.[]'
    "$APQ" doctor --json >doctor
    same 'apq doctor' doctor
    same 'apq doctor: machine' doctor .machine
}

@test "tables: commands print the members that are documented" {
    "$APQ" lut build --space tiny --target bitfusion -o t.jsonl --json --quiet \
        >build
    same 'apq lut build' build
    "$APQ" lut show t.jsonl --json >show
    same 'apq lut show' show
    same 'apq lut show: kinds' show '.kinds[]'
    "$APQ" lut check t.jsonl --rows 3 --json --quiet >check
    same 'apq lut check' check
    "$APQ" lut build --space imagenet-apq --target bitfusion -o i.jsonl --quiet
    "$APQ" lut export --format apq-dict i.jsonl -o i.dict --json >export
    same 'apq lut import, apq lut export' export
    "$APQ" lut import i.dict -o again.jsonl --json >import
    same 'apq lut import, apq lut export' import
}

@test "benchmarks: commands print the members that are documented" {
    bench=("$APQ" bench --recipe "$ROOT/recipes/tiny.yaml" --threads 1 --json
        --quiet)
    "${bench[@]}" eval --dtype int8 >eval
    same 'apq bench train, apq bench eval' eval
    same 'apq bench train, apq bench eval: results' eval '.results[]'
    infer=("${bench[@]}" infer --dtype int8 --model "$RUN/network.safetensors")
    env -u APQ_ORT "${infer[@]}" >infer
    same 'apq bench infer' infer
    same 'apq bench infer: results' infer '.results[]'
    if [ -n "${APQ_ORT-}" ]; then
        "${infer[@]}" >beside
        same 'apq bench infer: results with a runtime' beside '.results[]'
    fi
    "${bench[@]}" search >search
    same 'apq bench search' search
    same 'apq bench search: results' search '.results[]'
    "${bench[@]}" cost >cost
    same 'apq bench cost' cost
    same 'apq bench cost: results' cost '.results[]'
    for kind in eval infer search cost; do
        same 'apq bench: machine' "$kind" .machine
    done
}

@test "every row of the table is compared" {
    sed -n 's/`//g; s/^| \(apq [^|]*\) |.*/\1/p' "$ROOT/docs/automation.md" |
        sort >rows
    [ "$(wc -l <rows)" -ge 30 ]
    sed -n "s/^ *same '\\([^']*\\)' .*/\\1/p" "$BATS_TEST_FILENAME" | sort -u |
        diff rows -
}

@test "exit statuses are those of the manual pages" {
    sed -n 's/^| \([0-9]*\) | \(.*\) |$/\1 \2/p' "$ROOT/docs/automation.md" \
        >documented
    sed -n 's/^    {"\([0-9]*\)", "\(.*\)"},$/\1 \2/p' "$ROOT/src/cli/manual.c" |
        diff documented -
}

# fails STATUS BEGIN WORD...: with it, and its last line begins so.
fails() {
    local status=0
    "$APQ" "${@:3}" >out 2>err || status=$?
    [ "$status" -eq "$1" ]
    [[ "$(tail -n 1 err)" == "$2"* ]]
}

@test "failures begin as the page says" {
    fails 3 'apq: ' report --run nowhere
    fails 2 'apq export: ' export --frobnicate
    fails 2 'apq lut build: ' lut build --frobnicate
    fails 2 'apq: ' frobnicate
    mkdir -p broken/a broken/b
    echo 'no picture' | tee broken/{a,b}/1.jpg >/dev/null
    fails 3 '' data check --data broken --quiet
    [ ! -s err ]
    grep -q '1\.jpg' out
    "$APQ" lut build --space tiny --target bitfusion -o t.jsonl --quiet >/dev/null
    sed -i '$d; 1s/"rows":500/"rows":499/' t.jsonl
    fails 5 '' lut check t.jsonl --rows 1 --quiet
    [ ! -s err ]
    mkdir -p data/configs/targets
    echo 'name: [' >data/configs/targets/cpu.yaml
    APQ_DATA_DIR=$PWD/data fails 1 'apq: 1 ' doctor
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
