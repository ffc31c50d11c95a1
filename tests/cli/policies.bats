#!/usr/bin/env bats
# cost and encode: order, both policy forms, and what is refused.

load 'helper'

setup() {
    cd "$BATS_TEST_TMPDIR" || return 1
    cat >good.json <<'JSON'
{"space":"tiny","depth":[1,2],"kernel":[3,3,5,3],"channels":[32,32,64,56],
 "bits":{"pw_weight":[4,4,6,8],"pw_act":[4,4,8,6],
         "dw_weight":[6,4,4,6],"dw_act":[6,4,8,6]}}
JSON
    jq -c . good.json >good.jsonl
    jq -c '.bits.pw_weight = [8,8,8,8]' good.json >>good.jsonl
}

# All that these commands read of a run.
make_run_json() {
    mkdir "$1"
    echo "$2" >"$1/run.json"
}

@test "--run: space and target are those of the run, unless they are given" {
    sed 's/^clock_mhz:.*/clock_mhz: 250/; s/^name:.*/name: slow/' \
        "$ROOT/configs/targets/bitfusion.yaml" >slow.yaml
    make_run_json r '{"space": "tiny", "target": "./slow.yaml"}'
    run "$APQ" cost --run r --range
    expect_output '^space tiny, target slow$'
    run "$APQ" cost --run r --range --target bitfusion
    expect_output '^space tiny, target bitfusion$'
    run "$APQ" cost --run r --range --space cifar10
    expect_output '^space cifar10, target slow$'
    run "$APQ" cost --range
    expect_output '^space cifar10, target bitfusion$'
    "$APQ" cost --run r --specs good.jsonl --json >run.jsonl
    "$APQ" cost --space tiny --target ./slow.yaml --specs good.jsonl --json |
        cmp - run.jsonl
    "$APQ" encode --run r --specs good.jsonl | jq -es 'length == 2'
    "$APQ" policy show largest --run r | jq -e '.space == "tiny"'
    "$APQ" policy convert --run r --specs good.jsonl | jq -es 'length == 2'
    "$APQ" lut build --run r -o t.jsonl --quiet
    head -1 t.jsonl | jq -e '.space == "tiny" and .target == "slow"'
}

@test "--run: layers that its search prices are priced" {
    make_run_json all \
        '{"space": "imagenet-apq", "search": {"all_layers": true}}'
    "$APQ" cost --run all --range --json >run.json
    "$APQ" cost --space imagenet-apq --range --all-layers --json | cmp - run.json
    "$APQ" lut build --run all -o t.jsonl --json | jq -e '.rows > 6569'
}

@test "--run: a folder without a run.json names no space" {
    mkdir empty
    for command in 'cost --range' 'encode --specs good.jsonl' \
        'policy show largest' 'lut build -o t.jsonl'; do
        # A command and its options.
        # shellcheck disable=SC2086
        run "$APQ" $command --run empty
        expect_status 3
        expect_output "^apq: empty/run\.json is missing: run 'apq train' first$"
    done
    [ ! -e t.jsonl ]
}

@test "cost: one JSON object a line, in order" {
    run "$APQ" cost --space tiny --target bitfusion --specs good.jsonl --json
    expect_status 0
    [ "${#lines[@]}" -eq 2 ]
    first=$(jq .weight_bytes <<<"${lines[0]}")
    second=$(jq .weight_bytes <<<"${lines[1]}")
    jq -en "$second > $first and $first > 0"
    jq -e '[.latency_ms, .energy_mj, .bitops, .macs, .params, .weight_bytes,
            .peak_activation_bytes] | all(type == "number" and . > 0)' \
        <<<"${lines[0]}"
}

@test "cost: standard input, and a document spread over lines" {
    run sh -c '"$APQ" cost --space tiny --specs - --json <good.json'
    expect_status 0
    [ "$output" = "$("$APQ" cost --space tiny --specs good.jsonl --json |
        head -1)" ]
}

@test "cost: a row that carries its policy beside other members" {
    jq -c '{id: 7, policy: .}' good.json >row.jsonl
    run "$APQ" cost --space tiny --specs row.jsonl --json
    expect_status 0
    [ "$output" = "$("$APQ" cost --space tiny --specs good.json --json)" ]
}

@test "cost --range holds every policy's cost" {
    "$APQ" cost --space tiny --range --json >range.json
    "$APQ" cost --space tiny --specs good.jsonl --json | jq -es \
        --slurpfile r range.json 'all(
            .latency_ms >= $r[0].low.latency_ms and
            .latency_ms <= $r[0].high.latency_ms and
            .energy_mj >= $r[0].low.energy_mj and
            .energy_mj <= $r[0].high.energy_mj)'
}

@test "encode: dimension and ascending indices; --float is its beginning" {
    run "$APQ" encode --space tiny --specs good.json
    expect_status 0
    jq -e '.active == (.active | sort) and (.active | max) < .dim' \
        <<<"$output"
    bits=$output
    run "$APQ" encode --space tiny --specs good.json --float
    expect_status 0
    jq -en --argjson f "$output" --argjson b "$bits" \
        '$f.active == $b.active[:($f.active | length)] and $f.dim < $b.dim'
}

@test "illegal policies are exit 3 and name file, line and gene" {
    for change in '.kernel[0] = 4' '.channels[0] = 33' '.depth = [9,9]' \
        '.bits.dw_act[0] = 5' '.space = "cifar10"' 'del(.kernel)' \
        '.kernel = [3]' '.kernel[0] = "x"'; do
        jq -c . good.json >bad.jsonl
        jq -c "$change" good.json >>bad.jsonl
        for command in cost encode; do
            run "$APQ" "$command" --space tiny --specs bad.jsonl
            expect_status 3
            expect_output 'bad\.jsonl:2: '
        done
    done
}

@test "text that is not JSON is exit 3 with its line" {
    printf '\n\n{"a":' >bad.jsonl
    run "$APQ" encode --space tiny --specs bad.jsonl
    expect_status 3
    expect_output 'bad\.jsonl:3: not JSON'
    : >empty.jsonl
    run "$APQ" encode --space tiny --specs empty.jsonl
    expect_status 3
}

@test "missing files, spaces and targets are exit 3" {
    run "$APQ" cost --space tiny --specs missing.jsonl
    expect_status 3
    run "$APQ" cost --space tinny --specs good.json
    expect_status 3
    expect_output 'tiny'
    run "$APQ" cost --space tiny --target bitfusoin --specs good.json
    expect_status 3
    expect_output 'bitfusion'
    run "$APQ" data check --data missing --quiet
    expect_status 3
}
