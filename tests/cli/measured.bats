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
    "$APQ" lut build --space tiny --target "$PHONE" -o phone.jsonl --quiet
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
        .excluded.by_target * 81 == .excluded.choices * 79'
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

@test "our own kernels make a table whose sums meet networks" {
    sed 's/^layer_seconds:.*/layer_seconds: 0.005/' \
        "$ROOT/configs/targets/cpu.yaml" >cpu.yaml
    "$APQ" lut build --space tiny --target ./cpu.yaml -o cpu.jsonl --quiet
    # Machines that run tests are busy, so the limit is wide.
    "$APQ" lut check cpu.jsonl --target ./cpu.yaml --rows 1 --tolerance 9 \
        --networks 5 --json --quiet | jq -e '.networks.median_error < 0.5'
    jq -se 'all(.[1:][]; .weight_container_bits == 8 and .count >= 24 and
        .energy_mj == null)' cpu.jsonl
}
