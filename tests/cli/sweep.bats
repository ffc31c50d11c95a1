#!/usr/bin/env bats
# search with a range of budgets, and with a second measurement of its best.

load 'helper'

setup_file() {
    export OMP_WAIT_POLICY=passive
    "$APQ" train "$BATS_TEST_DIRNAME/../../recipes/tiny.yaml" \
        --run "$BATS_FILE_TMPDIR/run" --quiet 3>&- || return 1
    for step in collect 'predictor fit'; do
        # The step is one or two words.
        # shellcheck disable=SC2086
        "$APQ" $step --run "$BATS_FILE_TMPDIR/run" --quiet || return 1
    done
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return 1
    RUN=$BATS_FILE_TMPDIR/run
    P=$RUN/predictor.safetensors
}

sweep() {
    "$APQ" search --space tiny --predictor "$P" --iterations 20 --quiet "$@"
}

@test "every budget is kept and a looser one is never worse" {
    for seed in 1 2 3; do
        for strategy in evolution evolution+ random; do
            sweep --latency-ms 0.008:0.03:7 --seed $seed --json \
                --strategy $strategy >s.json
            jq -e '(.points | length) == 7 and .is_complete
                and .points[0].constraints.latency_ms == 0.008
                and .points[6].constraints.latency_ms == 0.03
                and .sweep.skipped == []
                and all(.points[];
                    .cost.latency_ms <= .constraints.latency_ms)
                and ([.points[].predicted_accuracy] | . == sort)
                and all(.points[]; .history | length <= 22)
                and all(.points[]; .predicted_accuracy as $a
                    | all(.baselines[];
                        . == null or .predicted_accuracy <= $a))' s.json
        done
    done
}

@test "what a looser search finds helps the tighter budgets" {
    # No network of the document is better than the answer to its budget.
    sweep --energy-mj 0.01:0.03:5 --size-kb 12 --json >s.json
    jq -e '.front as $f | (.front | length) > 1 and all(.points[];
        .predicted_accuracy as $a | .constraints as $c
        | $c.size_kb == 12 and all($f[]; .predicted_accuracy <= $a
            or .cost.energy_mj > $c.energy_mj))' s.json
}

@test "the same seed gives the same sweep at any thread count" {
    for threads in 1 2; do
        sweep --bitops-g 0.004:0.015:4 --threads $threads --json |
            jq 'del(.seconds, .points[].seconds)' >$threads.json
    done
    cmp 1.json 2.json
}

@test "budgets that cannot be met are skipped, exit 4 when all are" {
    low=$("$APQ" cost --space tiny --range --json | jq .low.latency_ms)
    run "$APQ" search --space tiny --predictor "$P" --iterations 3 \
        --latency-ms "1e-6:0.03:3"
    expect_status 0
    expect_output 'latency_ms 1e-06 skipped: .*smallest possible'
    expect_output '1 budgets below the smallest possible'
    sweep --latency-ms 1e-6:0.03:3 --json | jq -e \
        '.sweep.skipped == [1e-6] and (.points | length) == 2'
    run "$APQ" search --space tiny --predictor "$P" \
        --latency-ms "1e-6:$(jq -n "$low / 2"):3"
    expect_status 4
    expect_output 'smallest possible'
}

@test "a bad range is wrong usage" {
    for text in 2:1:3 1:1:3 0:1:3 -1:1:3 1:2:1 1:2:201 1:2:2.5 1:2:x 1:2 1:2: \
        a:b:c nan:2:3 1:inf:3 1:2:3:4 :2:3; do
        run "$APQ" search --space tiny "--latency-ms=$text"
        expect_status 2
        expect_output '^apq search: --latency-ms "'
    done
    run "$APQ" search --space tiny --latency-ms 1:2:3 --size-kb 1:2:3
    expect_status 2
    expect_output 'size-kb .*one budget'
    run "$APQ" search --space tiny --predictor "$P" --latency-ms 0.01:0.02:3 \
        --as-released
    expect_status 3
    expect_output 'as_released'
}

@test "front.json and pictures in the run directory; best.json stays" {
    cp -r "$RUN" run
    "$APQ" search --run run --latency-ms 0.02 --quiet >/dev/null
    before=$(cksum <run/best.json)
    "$APQ" search --run run --latency-ms 0.01:0.03:3 --quiet >table.txt
    [ "$(grep -c '^0\.0[123] ' table.txt)" -eq 3 ]
    [ "$before" = "$(cksum <run/best.json)" ]
    jq -e '.points | length == 3' run/front.json
    grep -q '>budgets<' run/front.svg
    grep -q '>best, uniform 4 bit<' run/front.svg
    grep -q '>latency \[ms\]<' run/front.svg
    [ -s run/front.png ]
    jq -es 'map(select(.step == "sweep")) | length > 0' run/cost.jsonl
    "$APQ" report --run run --json | jq -e \
        'any(.search_cost.steps[]; .step == "sweep")'
    sweep --size-kb 10:20:3 --out o.json >/dev/null
    jq -e .points o.json
    [ -s o.svg ]
    [ -s o.png ]
}
