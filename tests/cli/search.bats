#!/usr/bin/env bats
# search: budgets kept, documents complete, exit codes.

load 'helper'

setup_file() {
    make_fitted
}

@test "the document is complete and the policy keeps the budget" {
    "$APQ" search --space tiny --target bitfusion --predictor "$P" \
        --latency-ms 0.015 --iterations 20 --json --quiet >best.json
    jq -e '.schema_version == 1 and .constraints == {latency_ms: 0.015}
        and .cost.latency_ms <= 0.015 and .evaluations > 20
        and (.history | length) > 0 and .seconds > 0
        and .range.latency_ms.low < .range.latency_ms.high
        and .history[-1].best == .predicted_accuracy
        and all(.history[]; .feasible > 0 and .feasible <= 1
            and .diversity > 0 and .diversity < 1)
        and .history[0].feasible < 1
        and .top[0].predicted_accuracy == .predicted_accuracy
        and .baselines.largest_uniform8.meets_budget == false' best.json
    # cost and predict say the same of the policy.
    jq -c .policy best.json >policy.jsonl
    "$APQ" cost --space tiny --specs policy.jsonl --json | jq -e \
        --slurpfile b best.json '.latency_ms == $b[0].cost.latency_ms'
    "$APQ" predict --predictor "$P" --specs policy.jsonl | jq -e \
        --slurpfile b best.json \
        '(.accuracy - $b[0].predicted_accuracy) | fabs < 1e-7'
}

@test "the same seed gives the same document, byte by byte, at any thread count" {
    names=$("$APQ" list strategies --json | jq -r '.[].name')
    [ "$(wc -w <<<"$names")" -ge 3 ]
    for name in $names; do
        for threads in 1 2; do
            "$APQ" search --space tiny --predictor "$P" --latency-ms 0.02 \
                --iterations 12 --seed 5 --strategy "$name" --json --quiet \
                --threads $threads | sed 's/"seconds":[^,}]*//' >$threads.json
            grep -q '"front":' $threads.json
        done
        cmp 1.json 2.json
    done
}

@test "an impossible budget is exit 4 and names the nearest value" {
    run "$APQ" search --space tiny --predictor "$P" --latency-ms 0.0001
    expect_status 4
    expect_output 'latency_ms 0\.0001; the smallest possible is 0\.00'
    # What is possible is said first, before the refusal.
    low=$("$APQ" cost --space tiny --range --json | jq .low.latency_ms)
    first=${lines[0]}
    [[ $first =~ ^search:\ space\ tiny\ on\ bitfusion:\ ([0-9.]+)\ to ]]
    jq -en "($low - ${BASH_REMATCH[1]}) | fabs < 1e-5"
    run "$APQ" search --space tiny --predictor "$P" --size-kb 0.5
    expect_status 4
    expect_output 'size_kb'
}

@test "the smallest feasible budget is met" {
    low=$("$APQ" cost --space tiny --range --json | jq .low.energy_mj)
    "$APQ" search --space tiny --predictor "$P" --iterations 3 --json --quiet \
        --energy-mj "$low" | jq -e ".cost.energy_mj <= $low * 1.000000001"
}

@test "a predictor of another space is exit 6" {
    run "$APQ" search --space cifar10 --predictor "$P"
    expect_status 6
    expect_output 'tiny'
}

@test "a missing or broken predictor is exit 3" {
    run "$APQ" search --space tiny --predictor missing.safetensors
    expect_status 3
    head -c 1000 "$P" >cut.safetensors
    run "$APQ" search --space tiny --predictor cut.safetensors
    expect_status 3
}

@test "an unknown strategy is refused with the nearest one" {
    run "$APQ" search --space tiny --predictor "$P" --strategy evolutoin
    expect_status 3
    expect_output 'evolution'
}

@test "--run keeps best.json and pictures; --out writes its own" {
    cp -r "$RUN" run
    "$APQ" search --run run --latency-ms 0.02 --quiet >table.txt
    grep -q 'found, mixed' table.txt
    for file in best.json search.svg search.png search-policy.svg; do
        [ -s "run/$file" ]
    done
    before=$(cksum <run/best.json)
    "$APQ" search --run run --latency-ms 0.02 --quiet >/dev/null
    [ "$before" = "$(cksum <run/best.json)" ]
    "$APQ" search --run run --latency-ms 0.02 --out o.json --quiet >/dev/null
    jq -e .policy o.json
    [ -s o.svg ]
}

@test "a document that cannot be written is refused before the search" {
    for budget in 0.02 0.008:0.03:3; do
        run timeout 20 "$APQ" search --space tiny --predictor "$P" \
            --latency-ms $budget --iterations 1000000 -o gone/b.json
        expect_status 3
        expect_output '^apq: gone/b.json: cannot create: No such file'
    done
    [ ! -e gone ]
}

@test "a run directory of another space is exit 6" {
    cp -r "$RUN" run
    run "$APQ" train --run run --space cifar10 --quiet
    expect_status 6
    expect_output 'run directory .* space'
}

@test "predictor import and eval" {
    "$APQ" predictor import --predictor "$P" --space tiny --out p.safetensors
    "$APQ" search --space tiny --predictor "$P" --latency-ms 0.02 \
        --iterations 5 --json --quiet >b.json
    jq -c '.top[] | {policy, accuracy: .predicted_accuracy}' b.json >r.jsonl
    "$APQ" predictor eval --predictor p.safetensors --records r.jsonl --json |
        jq -e '.rmse < 1e-6 and .kendall_tau > 0.99 and .count > 3'
    "$APQ" predictor import --predictor "$P" --space tiny --out 'a"b' |
        jq -e '.predictor == "a\"b"'
}

@test "bench cost and bench search give rows" {
    "$APQ" bench cost --space tiny --json --quiet |
        jq -e '.results | length == 4 and all(.[:3][]; .policies_per_s > 0)
            and .[2].asked_policies_per_s == 2e6 and .[3].layers > 400
            and .[3].asked_seconds == 0.08'
    "$APQ" bench search --space tiny search.iterations=5 --json --quiet |
        jq -e '.gemm_peak_gflops > 0 and .results[0].evaluations > 0 and
            ([.results[] | select(.case == "predictor")] | length == 3) and
            all(.results[] | select(.by != null);
                .policies_per_s > 0 and .peak_fraction > 0) and
            all(.results[]; .case != "process")'
}

# table_of KIND [OPTION ...]: `run`s bench without --json and looks for what no
# table has.
table_of() {
    run "$APQ" bench "$@" --threads 1 --quiet
    expect_status 0
    ! grep -E '\(null\)|[{}]| $' <<<"$output" || false
}

@test "bench cost and bench search: tables for people" {
    table_of cost --space tiny
    expect_output ', space tiny, target bitfusion, threads 1$'
    expect_output '^pricing +policies +filled in s +policies/s +asked$'
    expect_output '^cold +256 +- +[0-9]+ +-$'
    expect_output '^warm +[0-9]+ +- +[0-9]+ +-$'
    expect_output '^price from table +[0-9]+ +[0-9.e-]+ +[0-9]+ +2000000$'
    expect_output '^table +layers +runs +median s +least s +asked s$'
    expect_output '^build table +[0-9]+ +[0-9]+ +[0-9.e-]+ +[0-9.e-]+ +0\.08$'
    # This space and target have rows for whole processes as well.
    table_of search --space imagenet-apq --target bitfusion search.iterations=2
    expect_output ', threads 1; peak in GFLOP/s: [0-9.]+ in float32$'
    expect_output '^evolution +imagenet-apq +[0-9]+ +[0-9]+ +[0-9.]+ +[0-9]+ '
    for batch in 50 100 1000; do
        expect_output "^predictor +apq +400 +$batch +[0-9]+ +[0-9.]+ "
        expect_output "^products +apq +400 +$batch +[0-9]+ +[0-9.]+ "
        expect_output "^products +[^ ]+ +400 +$batch +[0-9]+ +[0-9.]+ "
    done
    expect_output '^imagenet-apq +bitfusion +8\.40 +5 +[0-9.]+ +[0-9.]+ '
    expect_output '^imagenet-apq +bitfusion +6\.11 +5 +[0-9.]+ +[0-9.]+ '
}

@test "--all-layers and search.all_layers price the whole network" {
    sed 's/^accounting: .*/accounting: authors/' \
        "$ROOT/configs/spaces/tiny.yaml" >authors.yaml
    search() {
        "$APQ" search "$@" --predictor "$P" --iterations 3 --json --quiet
    }
    search --space ./authors.yaml >some.json
    search --space ./authors.yaml --all-layers >all.json
    search --space ./authors.yaml search.all_layers=1 >setting.json
    search --space tiny >tiny.json
    for file in all setting; do
        jq -e --slurpfile t tiny.json '.range == $t[0].range and
            .cost == $t[0].cost and .policy == $t[0].policy' $file.json
    done
    jq -e --slurpfile a all.json '.range.latency_ms.low <
        $a[0].range.latency_ms.low and
        .range.bitops_g == $a[0].range.bitops_g' some.json
    run "$APQ" search --space tiny search.all_layers=2
    expect_status 3
    expect_output 'search\.all_layers'
}

@test "what the target cannot run is said before the search" {
    run "$APQ" search --space cifar10 --latency-ms 0.6 --iterations 2
    expect_status 0
    expect_output '5859 of 52731 .*: 7x7 depthwise with 4-bit activations$'
}

@test "run: an impossible search is refused before the training" {
    run "$APQ" run "$ROOT/recipes/tiny.yaml" search.latency_ms=1e-9 \
        --run out --quiet
    expect_status 4
    expect_output 'smallest possible'
    sed 's/^act_sram_bytes: [0-9]*/act_sram_bytes: 16/' \
        "$ROOT/configs/targets/bitfusion.yaml" >small.yaml
    run "$APQ" run "$ROOT/recipes/tiny.yaml" --target ./small.yaml \
        --run out --quiet
    expect_status 3
    expect_output 'stem: no tile'
    [ ! -e out ]
}

@test "every listed strategy keeps the budget and gives a front" {
    names=$("$APQ" list strategies --json | jq -r '.[].name')
    [ "$(wc -w <<<"$names")" -ge 3 ]
    for name in $names; do
        "$APQ" search --space tiny --predictor "$P" --latency-ms 0.02 \
            --strategy "$name" --iterations 8 --json --quiet |
            jq -e --arg s "$name" '.strategy == $s and .is_complete
                and .cost.latency_ms <= 0.02 and (.front | length) >= 1
                and all(.front[]; .cost.latency_ms <= 0.02)'
    done
}

@test "--as-released is another search, and of evolution only" {
    for flag in '' --as-released; do
        # The empty flag is meant to vanish.
        # shellcheck disable=SC2086
        "$APQ" search --space tiny --predictor "$P" --iterations 20 \
            --latency-ms 0.02 --json --quiet $flag | jq -c .top[0] >"top$flag"
    done
    ! cmp -s top top--as-released || false
    run "$APQ" search --space tiny --predictor "$P" --strategy local \
        --as-released
    expect_status 3
    expect_output 'only evolution'
}

@test "--sequential: architecture, widths and bits searched in turn" {
    for flag in '' --sequential; do
        # shellcheck disable=SC2086
        "$APQ" search --space tiny --predictor "$P" --iterations 50 \
            --latency-ms 0.015 --json --quiet $flag >"r$flag"
    done
    jq -e '.baselines | has("sequential") | not' r
    jq -e '.baselines.sequential.meets_budget
        and .baselines.sequential.cost.latency_ms <= 0.015
        and .baselines.sequential.predicted_accuracy
            <= .predicted_accuracy' r--sequential
    jq -se '.[0].evaluations < .[1].evaluations
        and .[0].predicted_accuracy <= .[1].predicted_accuracy' r r--sequential
    # Where no budget binds, the first stage has the best of all architectures
    # at full width and 8 bits.
    "$APQ" search --space tiny --predictor "$P" --latency-ms 1 --sequential \
        --iterations 200 --json --quiet >wide
    jq -c '.baselines | .largest_uniform8.policy as $p | .sequential.policy
        as $s | ($p | .depth = $s.depth | .kernel = $s.kernel),
        (range(64) as $i | $p
        | .depth = [1 + $i % 2, 1 + ($i / 2 | floor) % 2]
        | .kernel = [range(4) as $b
            | [3, 5][($i / pow(2; 2 + $b) | floor) % 2]])' wide >specs
    "$APQ" predict --predictor "$P" --specs specs | jq -se 'map(.accuracy)
        | length == 65 and .[0] == max and (min < max)'
    run "$APQ" search --space tiny --predictor "$P" --latency-ms 0.015 \
        --iterations 20 --quiet --sequential
    expect_status 0
    expect_output '^sequential +[0-9.]+ %'
}

@test "--time-limit-s ends the search with the best so far" {
    "$APQ" search --space tiny --predictor "$P" --latency-ms 0.02 \
        --population 1000 --iterations 1000000 --time-limit-s 0.2 --json \
        --strategy random --quiet | jq -e '.is_complete == false and .policy'
}

@test "tables end their lines without blanks, sentences without a break" {
    for budget in 0.02 0.001:0.02:3; do
        run "$APQ" search --space tiny --predictor "$P" --latency-ms $budget \
            --iterations 20 --quiet
        expect_status 0
        expect_output '(^|\. )[0-9]+ networks scored, [0-9.]+ s in all\.$'
        ! grep -n ' $' <<<"$output" || false
    done
    expect_output '^networks of one bit-width\. 1 budgets .* were skipped\.$'
}

# interrupted ARGUMENT...: stops a search without end; its output, notes in err.
interrupted() {
    local seconds
    for seconds in 2 10; do # a busy machine finds nothing in 2
        status=0
        output=$(timeout --preserve-status -s INT "$seconds" "$APQ" search \
            --strategy random --population 1000 --iterations 1000000 \
            --latency-ms 0.02 "$@" 2>err) || status=$?
        expect_status 130
        [ -z "$output" ] || return 0
    done
}

@test "Ctrl-C ends the search with the best so far, too" {
    interrupted --space tiny --predictor "$P"
    expect_output '^found, mixed +[0-9.]+ %'
    expect_output '[0-9]+ networks scored, [0-9.]+ s in all\.$'
    grep -qE '^apq: search stopped after [0-9]+ evaluations$' err
    interrupted --space tiny --predictor "$P" --json --quiet -o best.json
    jq -e '.is_complete == false and .policy' <<<"$output"
    diff best.json <(echo "$output")
    [ "$(cat err)" = 'apq: search stopped, best so far in best.json' ]
    cp -r "$RUN" run
    interrupted --run run --json --quiet
    diff run/best.json <(echo "$output")
    grep -qE '^apq: search stopped after .*, best so far in run/best\.json$' err
    # Of several budgets alike.
    interrupted --space tiny --predictor "$P" --latency-ms 0.01:0.03:3
    expect_output '^[0-9.]+ +[0-9.]+ % '
    grep -qE '^apq: search stopped after 1 of 3 budgets$' err
    interrupted --run run --latency-ms 0.01:0.03:3 --json --quiet
    diff run/front.json <(echo "$output")
    grep -qE '^apq: .* 1 of 3 budgets, best so far in run/front\.json$' err
}

@test "kill -9 and the same command: the document of an undisturbed search" {
    set -- --latency-ms 0.02 --strategy evolution+ --iterations 600 \
        --population 400 checkpoint_s=0.02
    cp -r "$RUN" whole
    cp -r "$RUN" cut
    "$APQ" search --run whole --quiet "$@" >/dev/null
    for _ in 1 2 3 4; do
        touch started
        "$APQ" search --run cut --quiet "$@" >/dev/null 2>&1 &
        pid=$!
        wait_for test cut/search.checkpoint -nt started
        sleep "0.0$((RANDOM % 10))"
        kill -9 "$pid"
        wait "$pid" || true
        [ -s cut/search.checkpoint ]
    done
    "$APQ" search --run cut "$@" 2>note.txt >/dev/null
    grep -q 'going on after [1-9]' note.txt
    for dir in whole cut; do
        jq 'del(.seconds)' "$dir/best.json" >"$dir.json"
    done
    cmp whole.json cut.json
    [ ! -e cut/search.checkpoint ]
}

@test "a search that was cut short does not pass for the finished one" {
    cp -r "$RUN" run
    "$APQ" search --run run --latency-ms 0.02 --quiet >/dev/null
    cp run/best.json first.json
    "$APQ" search --run run --latency-ms 0.012 --time-limit-s 0.001 \
        --iterations 100000 --strategy random --quiet >/dev/null
    jq -e '.is_complete | not' run/best.json
    run "$APQ" search --run run --latency-ms 0.02
    expect_status 0
    [[ $output != *'up to date'* ]]
    for file in first.json run/best.json; do
        jq 'del(.seconds)' $file >$file.fixed
    done
    cmp first.json.fixed run/best.json.fixed
    run "$APQ" search --run run --latency-ms 0.02
    expect_output 'run/best\.json is up to date'
}

@test "networks measured after other training are measured anew" {
    cp -r "$RUN" run
    set -- --run run --latency-ms 0.02 --remeasure 2 --qat-steps 1
    "$APQ" search "$@" --quiet >/dev/null
    run "$APQ" search "$@"
    expect_output 'up to date'
    run "$APQ" search "$@" collect.qat_learning_rate=5
    expect_status 0
    [[ $output != *'up to date'* ]]
}

@test "a run that another process is writing is refused before the search" {
    cp -r "$RUN" run
    exec 8<>run/lock
    flock -n 8
    run "$APQ" search --run run --latency-ms 0.02
    exec 8>&-
    expect_status 3
    expect_output 'in use by another process'
    [[ $output != *'networks scored'* ]]
    # A folder that is no run stays one until there is a result.
    mkdir folder
    run "$APQ" search --space tiny --predictor "$P" --latency-ms 0.02 \
        --run folder --strategy nosuch
    expect_status 3
    [ -z "$(ls -A folder)" ]
    "$APQ" search --space tiny --predictor "$P" --latency-ms 0.02 --run folder \
        --quiet >/dev/null
    [ -s folder/best.json ]
}

@test "a run is priced with the classes of its data" {
    sed 's/^classes: .*/classes: 3/' "$ROOT/configs/spaces/tiny.yaml" >own.yaml
    "$APQ" run "$ROOT/recipes/tiny.yaml" --space ./own.yaml --run run \
        train.epochs=1 finetune.epochs=1 --quiet >/dev/null
    "$APQ" search --run run --json --quiet >again.json
    [ "$(jq -cs 'map(.cost) | unique | length' run/best.json again.json)" = 1 ]
    jq -es '(.[0].cost.weight_bytes - .[1].network.cost.weight_bytes) == 0' \
        run/best.json run/finetune.json
    "$APQ" cost --run run --specs run/best.json --json >priced.json
    jq -es '.[0].cost.weight_bytes == .[1].weight_bytes' run/best.json priced.json
    # A table knows the classes that it was made for.
    "$APQ" lut build --run run --target bitfusion -o run.jsonl --quiet
    "$APQ" search --run run --target run.jsonl --quiet
    "$APQ" lut build --space ./own.yaml --target bitfusion -o three.jsonl --quiet
    run "$APQ" search --run run --target three.jsonl --quiet
    expect_status 6
    "$APQ" lut build --space tiny --target bitfusion -o ten.jsonl --quiet
    "$APQ" search --run run --target ten.jsonl --quiet
}
