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
