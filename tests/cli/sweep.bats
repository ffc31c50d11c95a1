#!/usr/bin/env bats
# search with a range of budgets, and with a second measurement of its best.

load 'helper'

setup_file() {
    make_fitted
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

@test "never worse also where each search is too short to find much" {
    for seed in 1 2 3 4 5; do
        sweep --latency-ms 0.008:0.03:9 --seed $seed --json --population 4 \
            --parents 2 --iterations 2 |
            jq -e '([.points[].predicted_accuracy] | . == sort)
                and (.points as $p | all($p[]; .constraints.latency_ms as $c
                    | .baselines.best_uniform8.predicted_accuracy as $a
                    | all($p[].baselines.best_uniform8; . == null
                        or .predicted_accuracy <= $a
                        or .cost.latency_ms > $c)))'
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

@test "--remeasure: the best measured network wins, and eval says the same" {
    cp -r "$RUN" run
    "$APQ" search --run run --latency-ms 0.02 --remeasure 6 --quiet >table.txt
    grep -q '^  the one found ' table.txt
    jq -e '.measured_accuracy as $m | .policy as $p
        | [.baselines[] | select(.meets_budget) | .policy] as $uniform
        | .measured | .qat_steps == 0 and (.networks | length) >= 6
        and ($uniform | length) > 0
        and ($uniform - [.networks[].policy] | length) == 0
        and $m == ([.networks[].measured_accuracy] | max)
        and all(.networks[]; .cost.latency_ms <= 0.02 and .meets_budget)
        and ([.networks[].policy] | unique | length) == (.networks | length)
        and any(.networks[]; .policy == $p and .measured_accuracy == $m)' \
        run/best.json
    jq -e '.predicted_accuracy as $a | .measured_accuracy as $m
        | [.measured.networks[] | select(.measured_accuracy == $m)
            | .predicted_accuracy] | max == $a' run/best.json
    # The measurement is that of `apq eval` on as many validation images.
    for i in 0 1; do
        jq -c ".measured.networks[$i].policy" run/best.json >p.json
        "$APQ" eval --run run --split val --limit 50 --bits policy \
            --policy p.json --json |
            jq -e --slurpfile b run/best.json \
                ".top1 == \$b[0].measured.networks[$i].measured_accuracy"
    done
    "$APQ" report --run run --json | jq -e '.search.measured_accuracy > 0'
}

@test "--remeasure: nothing is measured twice, by other steps it is" {
    cp -r "$RUN" run
    set -- --run run --latency-ms 0.02 --remeasure 4 --json --quiet
    "$APQ" search "$@" | jq 'del(.seconds)' >first.json
    before=$(cksum <run/best.json)
    # A value that no measurement gives shows where values come from.
    jq '.accuracy |= map_values(0.625)' run/remeasure.json >r.json
    mv r.json run/remeasure.json
    "$APQ" search "$@" | jq -e '.measured_accuracy == 0.625'
    [ "$before" = "$(cksum <run/best.json)" ]
    "$APQ" search "$@" --qat-steps 3 |
        jq -e '.measured.qat_steps == 3 and .measured_accuracy != 0.625'
    rm run/remeasure.json
    "$APQ" search "$@" | jq 'del(.seconds)' >again.json
    cmp first.json again.json
    "$APQ" search --run run search.remeasure=2 --latency-ms 0.02 --json \
        --quiet | jq -e '.measured.networks | length >= 2 and length < 6'
}

@test "--remeasure: kill -9 while measuring costs one measurement at most" {
    set -- --latency-ms 0.02 --remeasure 8 --qat-steps 200 --quiet
    cp -r "$RUN" whole
    cp -r "$RUN" cut
    "$APQ" search --run whole "$@" >/dev/null
    for n_kept in 1 3 5; do
        "$APQ" search --run cut "$@" >/dev/null 2>&1 &
        pid=$!
        wait_for jq -e ".accuracy | length >= $n_kept" cut/remeasure.json
        kill -9 "$pid"
        wait "$pid" || true
        [ ! -e cut/best.json ]
        jq -e ".accuracy | length >= $n_kept and length < 8" cut/remeasure.json
    done
    "$APQ" search --run cut "$@" >/dev/null
    for dir in whole cut; do
        sed 's/"seconds":[^,}]*//' "$dir/best.json" >"$dir.json"
    done
    cmp whole.json cut.json
    cmp whole/remeasure.json cut/remeasure.json
}

@test "--remeasure: Ctrl-C leaves the predicted best, as incomplete" {
    cp -r "$RUN" run
    "$APQ" search --run run --latency-ms 0.02 --remeasure 8 --qat-steps 400 \
        --quiet -o out.json >/dev/null 2>err &
    pid=$!
    wait_for jq -e '.accuracy | length >= 1' run/remeasure.json
    # A background job of a shell ignores SIGINT; SIGTERM is the same flag.
    kill "$pid"
    code=0
    wait "$pid" || code=$?
    [ "$code" -eq 130 ]
    for file in out.json run/best.json; do
        jq -e '.is_complete == false and .seconds > 0 and
            .cost.latency_ms <= 0.02' "$file"
    done
    grep -qx 'apq: search stopped, best so far in out.json' err
}

@test "--remeasure without what it takes" {
    run "$APQ" search --space tiny --predictor "$P" --remeasure 4
    expect_status 2
    expect_output 'remeasure needs .*--run'
    run "$APQ" search --run "$RUN" --remeasure 4 --latency-ms 0.01:0.02:3
    expect_status 2
    expect_output 'remeasure is of one budget'
    for k in 0 33 x; do
        run "$APQ" search --run "$RUN" --remeasure $k
        expect_status 2
        expect_output 'remeasure .* 1 \.\.\. 32'
    done
    run "$APQ" search --run "$RUN" --qat-steps 4
    expect_status 2
    expect_output '^apq search: --qat-steps needs --remeasure K \(see '
    [ "${#lines[@]}" -eq 1 ]
    cp -r "$RUN" run
    rm run/supernet.safetensors
    run "$APQ" search --run run --remeasure 4
    [ "$status" -ne 0 ]
    expect_output 'supernet\.safetensors'
    [ ! -e run/best.json ]
    cp "$RUN/supernet.safetensors" run
    run "$APQ" search --run run --remeasure 4 \
        --data 'builtin:shapes?train=600&test=200&size=16&seed=2'
    expect_status 6
    [ ! -e run/best.json ]
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
    [ "$(head -c 5 run/front.pdf)" = %PDF- ]
    jq -es 'map(select(.step == "sweep")) | length > 0' run/cost.jsonl
    "$APQ" report --run run --json | jq -e \
        'any(.search_cost.steps[]; .step == "sweep")'
    sweep --size-kb 10:20:3 --out o.json >/dev/null
    jq -e .points o.json
    [ -s o.svg ]
    [ -s o.png ]
}

# A sweep long enough to be killed, between its points and within them; in a
# process of its own.
long_sweep() {
    exec "$APQ" search --latency-ms 0.008:0.03:14 --population 200 \
        --iterations 600 "$@"
}

# is_new FILE: it is there, and not as it was `before`.
is_new() {
    [ -s "$1" ] && ! cmp -s "$1" before
}

# disturb SIGNAL: starts the sweep of cut/ and sends it this a little after one
# more point is kept.
disturb() {
    cp cut/sweep.checkpoint before 2>/dev/null || : >before
    long_sweep --run cut checkpoint_s=0.02 2>>note.txt >/dev/null &
    pid=$!
    wait_for is_new cut/sweep.checkpoint
    sleep "0.0$((RANDOM % 8))"
    kill "-$1" "$pid"
    status=0
    wait "$pid" || status=$?
}

@test "kill -9 and the same command: the sweep of an undisturbed one" {
    cp -r "$RUN" whole
    cp -r "$RUN" cut
    (long_sweep --run whole --quiet >/dev/null)
    for _ in 1 2 3; do
        disturb KILL
        expect_status 137
        [ ! -e cut/front.json ]
    done
    disturb INT
    expect_status 130
    jq -e '.is_complete == false and (.points | length) < 14' cut/front.json
    (long_sweep --run cut 2>>note.txt >/dev/null)
    # Each time after more points than the time before.
    grep -o 'going on after [0-9]* of 14 budgets' note.txt >on.txt
    [ "$(wc -l <on.txt)" -eq 4 ]
    sort -C -u -n -k 4,4 on.txt
    for dir in whole cut; do
        sed 's/"seconds": [^,]*,//' $dir/front.json >$dir.json
    done
    cmp whole.json cut.json
    cmp whole/front.svg cut/front.svg
    [ -z "$(find whole cut -name '*.checkpoint' -o -name '*.tmp')" ]
}

# starts KEPT TEXT ARGUMENT...: with these kept points it first says TEXT.
starts() {
    cp "$1" cut/sweep.checkpoint
    text=$2
    shift 2
    rm -f said.txt # the last one's would be taken for this one's
    long_sweep --run cut "$@" 2>said.txt >/dev/null &
    pid=$!
    wait_for grep -E 'going on|another sweep' said.txt
    kill -9 "$pid"
    wait "$pid" || true
    grep "$text" said.txt
}

@test "points kept of another sweep, or damaged, are not taken over" {
    cp -r "$RUN" cut
    disturb KILL
    cp cut/sweep.checkpoint kept
    starts kept 'going on after [1-9]'
    starts kept 'going on after [1-9]' --threads 2 checkpoint_s=7
    cp -r "$RUN" other
    "$APQ" predictor fit --run other predictor.epochs=3 --quiet
    sed 's/^clock_mhz: .*/clock_mhz: 501/' \
        "$ROOT/configs/targets/bitfusion.yaml" >bitfusion.yaml
    for input in '--seed 2' '--size-kb 12' '--iterations 601' --all-layers \
        '--strategy random' '--target bitfusion.yaml' \
        '--predictor other/predictor.safetensors' \
        '--latency-ms 0.008:0.03:9' '--latency-ms 0.008:0.0301:14'; do
        # shellcheck disable=SC2086
        starts kept 'cut/sweep.checkpoint: of another sweep' $input
    done
    head -c 1000 kept >short
    { head -c 500 kept && printf '????' && tail -c +505 kept; } >damaged
    starts short 'of another sweep'
    starts damaged 'of another sweep'
    # The answer is that of the new input alone, and what was kept is gone.
    cp -r "$RUN" fresh
    cp kept cut/sweep.checkpoint
    for dir in cut fresh; do
        (long_sweep --run $dir --iterations 20 --quiet --json) |
            jq 'del(.seconds, .points[].seconds)' >$dir.json
        [ ! -e $dir/sweep.checkpoint ]
    done
    cmp cut.json fresh.json
}
