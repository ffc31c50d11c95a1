#!/usr/bin/env bats
# docs/tutorial.md: every command of it, in order, and what it shows.

load 'helper'

PAGE=$ROOT/docs/tutorial.md

# fences INFO: the lines of all blocks that begin with ```INFO.
fences() {
    awk -v begin="\`\`\`$1" '$0 == "```" { is_in = 0 }
        is_in { print }
        $0 == begin { is_in = 1 }' "$PAGE"
}

setup_file() {
    cd "$BATS_FILE_TMPDIR" || return 1
    APQ_SOURCE=$ROOT
    APQ_BUILD=${APQ%/*}
    export APQ_SOURCE APQ_BUILD
    [ -x "$APQ_BUILD/examples/example_draw_photos" ] ||
        skip "needs $APQ_BUILD/examples (cmake --build)"
    { echo 'set -eu'; fences sh; } >tutorial.sh
    status=0
    sh tutorial.sh >out 2>err </dev/null || status=$?
    echo "$status" >status
}

setup() {
    cd "$BATS_FILE_TMPDIR" || return 1
}

@test "every command runs" {
    [ "$(grep -c '^apq ' tutorial.sh)" -ge 16 ]
    if [ "$(cat status)" -ne 0 ]; then
        tail -n 30 out err
        return 1
    fi
}

@test "what is promised to come out does" {
    fences 'text exact' | grep -v '^$' >promised
    [ "$(wc -l <promised)" -ge 20 ]
    while IFS= read -r line; do
        if ! grep -qxF -- "$line" out; then
            echo "not in the output: $line"
            tail -n 100 out
            return 1
        fi
    done <promised
}

@test "a network within its budget, which learned something" {
    cd tutorial
    jq -e '.network.cost.latency_ms <= 0.8 and .network.test_count == 120
        and .network.test_top1 >= 0.6 and .baseline_name == "best_uniform8"' \
        run/finetune.json
    jq -e '.cost.latency_ms <= 0.6' small.json
    jq -e '.points | length == 5' front.json
    jq -e '.format == "onnx"' run/exports/onnx/manifest.json
    jq -e '.verification[0].agrees' run/exports/c/manifest.json
    grep -q '</html>' report.html
    grep -q 'exports/c<' report.html
}
