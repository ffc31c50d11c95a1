#!/usr/bin/env bats
# Measured targets: refused without a table, built into one, and checked. The
# device is examples/exec-target/roofline.sh.

load 'helper'

PHONE=$ROOT/examples/exec-target/phone.yaml

# A target file in this folder: the phone with another command.
phone_with() {
    sed "s|^command:.*|command: $1|" "$PHONE" >phone.yaml
}

@test "a measured target is priced through a table, and says so" {
    run "$APQ" cost --space tiny --target cpu --range
    expect_status 3
    expect_output '^apq: target cpu is measured and needs a table first: apq lut build --space S --target cpu -o cpu.jsonl, then --target cpu.jsonl$'
    run "$APQ" search --space cifar10 --target "$PHONE" --latency-ms 1
    expect_status 3
    expect_output "lut build --space S --target $PHONE -o phone.jsonl"
}

@test "a device behind a command: table, check, price, search" {
    run "$APQ" lut build --space tiny --target "$PHONE" -o phone.jsonl --quiet
    expect_output '^0 layers of the space are interpolated; rows guessed from '
    expect_output '^  latency of [0-9]+ layers by [0-9.]+ % \(median\), '
    run "$APQ" lut build --space tiny --target "$PHONE" -o c.jsonl --quiet \
        --width-step 16
    expect_output '^[1-9][0-9]* layers of the space are interpolated; rows '
    run "$APQ" lut check phone.jsonl --target "$PHONE" --rows 0 \
        --networks 4 --json --quiet
    expect_status 0
    printf '%s\n' "$output" | jq -e '.disagrees.count == 0 and
        .missing.count == 0 and .networks.count == 4 and
        .networks.median_error < 1e-6 and .networks.kendall_tau == 1'
    "$APQ" cost --space tiny --target phone.jsonl --range --json |
        jq -e '.low.latency_ms > 0 and .low.energy_mj > 0 and
            .excluded.by_target == 0'
    # Fewer bits take the same time in the same container.
    jq -se '[.[] | select(.kind == "depthwise" and .kernel == 3) |
        [.in_channels, .size, .stride, .latency_ms]] | unique | length ==
        (map(.[:3]) | unique | length)' phone.jsonl
}

@test "bits that a device lacks are not in its table, nor in a range" {
    "$APQ" lut build --space tiny -o htp.jsonl --quiet \
        --target "$ROOT/examples/exec-target/qnn-htp.yaml"
    # Of 81 choices of bits two remain: depthwise W8 A8, pointwise W4 or 8 A8.
    "$APQ" cost --space tiny --target htp.jsonl --range --json | jq -e '
        .excluded.by_target * 81 == .excluded.choices * 79 and
        .excluded.text == ("1x1 with 6-bit weights, " +
            "1x1 with 4/6-bit activations, depthwise with 4/6-bit weights, " +
            "depthwise with 4/6-bit activations")'
    run "$APQ" lut check htp.jsonl --networks 3 --quiet \
        --target "$ROOT/examples/exec-target/qnn-htp.yaml"
    expect_status 0
    expect_output '^3 networks .* Kendall tau 1.000$'
}

@test "list targets shows capabilities of names and files" {
    "$APQ" list targets --json | jq -e 'length == 3 and
        .[1].name == "cpu" and
        .[1].capabilities.depthwise[0].container_bits == [8, 8] and
        (.[0].capabilities.conv[0] | has("container_bits") | not)'
    run "$APQ" list targets "$ROOT/examples/exec-target/cmsis-nn.yaml"
    expect_output '^  pointwise  weights 4, activations 8, executed as 4 8$'
    run "$APQ" list targets cpus
    expect_status 3
    expect_output "did you mean 'cpu'"
    run "$APQ" list spaces tiny
    expect_status 2
}

@test "list targets shows what rows a table has" {
    "$APQ" lut build --space tiny --target "$PHONE" -o phone.jsonl --quiet
    run "$APQ" list targets phone.jsonl
    expect_output '^phone: table of 500 layers of space tiny, '
    expect_output '^  conv       weights 8, activations 8$'
    expect_output '^  depthwise  weights 4 6 8, activations 4 6 8, executed as 8 8$'
    "$APQ" lut build --space tiny -o htp.jsonl --quiet \
        --target "$ROOT/examples/exec-target/qnn-htp.yaml"
    "$APQ" list targets htp.jsonl --json | jq -e '.capabilities |
        .pointwise == [{"weight_bits": [4, 8], "act_bits": [8]}] and
        .depthwise == [{"weight_bits": [8], "act_bits": [8]}]'
}

# build_fails STATUS REGEX: one line, and no table.
build_fails() {
    run "$APQ" lut build --space tiny --target ./phone.yaml -o t.jsonl --quiet
    expect_status "$1"
    expect_output "$2"
    [ "${#lines[@]}" -eq 1 ]
    [ ! -e t.jsonl ]
}

@test "a command that fails ends the build with one line" {
    phone_with '[./absent]'
    build_fails 3 '^apq: ./absent: command not found, from folder \.$'
    phone_with '[sh, -c, "exit 3"]'
    build_fails 1 '^apq: sh: ended with exit code 3 without an answer$'
    phone_with '[sleep, "5"]'
    sed -i 's/^timeout_s:.*/timeout_s: 0.1/' phone.yaml
    build_fails 1 '^apq: sleep: no answer within timeout_s 0.1$'
}

@test "answers that are no measurements end the build with one line" {
    phone_with '[tee, asked.txt]'
    build_fails 3 '^apq: tee: .*latency_ms is missing'
    jq -e '.kind == "conv" and .schema_version == 1' asked.txt
}

@test "a second line for one question is refused, not taken for the next" {
    printf '%s\n' '#!/bin/sh' 'while read -r line; do' \
        "printf '{\"latency_ms\":1}\\n{\"latency_ms\":2}\\n'" done >twice.sh
    chmod +x twice.sh
    phone_with '[./twice.sh]'
    build_fails 3 '^apq: ./twice.sh: more than one line for a question$'
}

@test "a build that ends early keeps its rows; Ctrl-C does not wait" {
    # Two answers, then a question and nothing for a minute.
    printf '%s\n' '#!/bin/sh' 'for i in 1 2; do' 'read -r line' \
        "echo '{\"latency_ms\":1}'" 'done' 'read -r line' 'touch asked' \
        'exec sleep 60' >slow.sh
    chmod +x slow.sh
    phone_with '[./slow.sh]'
    sed -i 's/^timeout_s:.*/timeout_s: 60/' phone.yaml
    # A background job of a shell ignores SIGINT; SIGTERM is the same flag.
    "$APQ" lut build --space tiny --target ./phone.yaml -o t.jsonl --quiet \
        2>errors 3>&- &
    pid=$!
    wait_for test -e asked
    start=$SECONDS
    kill -TERM "$pid"
    status=0
    wait "$pid" || status=$?
    [ "$status" -eq 130 ]
    [ $((SECONDS - start)) -lt 10 ]
    grep -q 'table stopped at layer 3 of 500, kept in t.jsonl.part' errors
    [ "$(wc -l <t.jsonl.part)" -eq 3 ]
    # So does one whose command dies.
    sed -i 's/^exec sleep.*//' slow.sh
    rm t.jsonl.part
    build_fails 1 'ended with exit code'
    [ "$(wc -l <t.jsonl.part)" -eq 3 ]
}

@test "devices that know no energy, or no time, print dashes and nulls" {
    printf '%s\n' '#!/bin/sh' 'while read -r line; do' \
        "echo '{\"latency_ms\":0}'" done >zero.sh
    chmod +x zero.sh
    phone_with '[./zero.sh]'
    "$APQ" lut build --space tiny --target ./phone.yaml -o t.jsonl --quiet
    "$APQ" lut check t.jsonl --target ./phone.yaml --networks 2 --quiet \
        --json | jq -e '.max_latency_difference == 0 and
            .max_energy_difference == null and .networks.count == 2 and
            .networks.median_error == null'
    run "$APQ" cost --space tiny --target t.jsonl --range
    expect_known
    run "$APQ" cost --space tiny --target t.jsonl --bit-pairs
    expect_known
    run "$APQ" lut show t.jsonl --rows
    expect_known
    run "$APQ" lut check t.jsonl --target ./phone.yaml --networks 2 --quiet
    expect_known
    expect_output 'median error -, largest -,'
    # A table that is there needs no device.
    rm zero.sh
    run "$APQ" lut build --space tiny --target ./phone.yaml -o t.jsonl
    expect_status 0
    expect_output 'built before'
}

@test "our own kernels make a table whose sums meet networks" {
    sed 's/^layer_seconds:.*/layer_seconds: 0.005/' \
        "$ROOT/configs/targets/cpu.yaml" >cpu.yaml
    # Machines that run tests are busy: the limit is wide, and one of five
    # tables and its networks must have met quiet minutes.
    meets() {
        rm -f cpu.jsonl
        "$APQ" lut build --space tiny --target ./cpu.yaml -o cpu.jsonl --quiet
        "$APQ" lut check cpu.jsonl --target ./cpu.yaml --rows 1 --tolerance 9 \
            --networks 5 --json --quiet | jq -e '.networks.median_error < 0.5'
    }
    meets || meets || meets || meets || meets
    jq -se 'all(.[1:][]; .weight_container_bits == 8 and .count >= 24 and
        .energy_mj == null)' cpu.jsonl
}
