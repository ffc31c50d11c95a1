#!/usr/bin/env bats
# cost: explanations that add up, accounting, batches, exclusions, and the
# authors' policies where their files are.

load 'helper'

# Where the reference files of the authors may be.
REFERENCE=${APQ_REFERENCE_DIR:-$ROOT/../shared/reference}

setup() {
    cd "$BATS_TEST_TMPDIR" || return 1
    head -3 "$ROOT/tests/golden/apq_policies.jsonl" >policies.jsonl
}

# needs FILE: skips unless the reference folder has it.
needs() {
    [ -e "$REFERENCE/$1" ] ||
        skip "needs $1 of the authors' code (APQ_REFERENCE_DIR: its folder)"
}

# changed_target KEY VALUE: the built-in target with one value changed.
changed_target() {
    sed "s/^$1: [^ ]*/$1: $2/" "$ROOT/configs/targets/bitfusion.yaml" \
        >target.yaml
    grep -q "^$1: $2" target.yaml
}

@test "cost --explain: layers add up to the network" {
    "$APQ" cost --space imagenet-apq --specs policies.jsonl --explain --json \
        >explained.jsonl
    [ "$(wc -l <explained.jsonl)" -eq 3 ]
    jq -es 'def near(a; b): (a - b | fabs) <= 1e-9 * b;
        all(
        near([.layers[].latency_ms] | add; .latency_ms) and
        near([.layers[].energy_mj] | add; .energy_mj) and
        near([.layers[] | .compute_energy_mj, .sram_energy_mj,
            .dram_energy_mj, .leakage_energy_mj] | add; .energy_mj) and
        near([.layers[].latency_share] | add; 1) and
        near([.layers[].cycles | numbers] | add; .latency_ms * 5e5) and
        ([.layers[].macs] | add) == .macs and
        ([.layers[].activation_bytes] | max) == .peak_activation_bytes)' \
        explained.jsonl
    jq -es '[.[].layers[] | select(.is_counted | not) | .name] | unique ==
        ["classifier", "first.depthwise", "first.pointwise"]' explained.jsonl
    # The same without the layers as without --explain.
    "$APQ" cost --space imagenet-apq --specs policies.jsonl --json >plain.jsonl
    [ "$(jq -c 'del(.layers)' explained.jsonl)" = "$(jq -c . plain.jsonl)" ]
}

@test "cost --explain: the table names bound, tile and loops" {
    run "$APQ" cost --space imagenet-apq --specs policies.jsonl --explain
    expect_status 0
    expect_output '^policy 3 on bitfusion$'
    expect_output '^layer +shape +bits +ms +% +mJ .* cycles bound +tile +loops$'
    expect_output '^stem +3>32 k3 s2 @224 +W8A8 +0\.295904 .* 147952 dram '
    expect_output '^feature_mix .* 40804 compute '
    expect_output '^classifier .* not counted$'
    expect_output '^sum +[0-9]+\.[0-9]+ +100\.00 '
}

@test "cost --all-layers counts first block and classifier" {
    "$APQ" cost --space imagenet-apq --specs policies.jsonl --json >some.jsonl
    "$APQ" cost --space imagenet-apq --specs policies.jsonl --json \
        --all-layers --explain >all.jsonl
    jq -es --slurpfile s some.jsonl 'to_entries | all(
        (.value.latency_ms - $s[.key].latency_ms - 1.17974 | fabs) < 1e-6 and
        (.value.energy_mj - $s[.key].energy_mj - 1.35298 | fabs) < 2e-6 and
        .value.bitops == $s[.key].bitops)' all.jsonl
    jq -es '.[0].layers | map(select(.name == "first.depthwise" or
            .name == "first.pointwise" or .name == "classifier") | .cycles)
        == [452500, 83649, 53721]' all.jsonl
    # A space that counts everything already is not changed.
    "$APQ" cost --space tiny --range --json >some.json
    "$APQ" cost --space tiny --range --json --all-layers >all.json
    cmp some.json all.json
}

@test "searchable BitOps are part of all BitOps" {
    "$APQ" cost --space imagenet-apq --specs policies.jsonl --json |
        jq -es 'length == 3 and
            all(.searchable_bitops > 0 and .searchable_bitops < .bitops)'
}

@test "cost --batch: per image, no slower; batch 1 and the target's key" {
    "$APQ" cost --space imagenet-apq --specs policies.jsonl --json >one.jsonl
    "$APQ" cost --space imagenet-apq --specs policies.jsonl --json --batch 1 |
        cmp - one.jsonl
    "$APQ" cost --space imagenet-apq --specs policies.jsonl --json --batch 4 \
        >four.jsonl
    jq -es --slurpfile o one.jsonl 'to_entries | all(.value.batch == 4 and
        .value.latency_ms < $o[.key].latency_ms and
        .value.latency_ms * 4 == .value.batch_latency_ms)' four.jsonl
    jq -es 'all(has("batch") | not)' one.jsonl
    { cat "$ROOT/configs/targets/bitfusion.yaml"; echo 'batch: 4'; } >four.yaml
    "$APQ" cost --space imagenet-apq --target ./four.yaml \
        --specs policies.jsonl --json | cmp - four.jsonl
    for batch in 0 1025 x; do
        run "$APQ" cost --space tiny --range --batch $batch
        expect_status 2
        expect_output 'batch'
    done
}

@test "a table keeps the batch it was made with, and explains what it can" {
    { cat "$ROOT/configs/targets/bitfusion.yaml"; echo 'batch: 2'; } >two.yaml
    "$APQ" lut build --space tiny --target ./two.yaml --out two.jsonl --quiet
    "$APQ" cost --space tiny --target ./two.yaml --range --json >model.json
    "$APQ" cost --space tiny --target two.jsonl --range --json |
        jq -e --slurpfile m model.json '.low == $m[0].low'
    run "$APQ" cost --space tiny --target two.jsonl --range --batch 4
    expect_status 3
    expect_output 'always runs 2 images, not 4'
    "$APQ" policy convert --space tiny --specs - >policy.json <<'JSON'
{"depth":[1,2],"kernel":[3,3,5,3],"channels":[32,32,64,56],
 "bits":{"pw_weight":[4,4,6,8],"pw_act":[4,4,8,6],
         "dw_weight":[6,4,4,6],"dw_act":[6,4,8,6]}}
JSON
    "$APQ" cost --space tiny --target two.jsonl --specs policy.json --explain \
        --json | jq -e '.batch == 2 and (.layers | all(.latency_ms > 0 and
            .compute_energy_mj == null and (has("tile") | not))) and
            (([.layers[].energy_mj] | add) - .energy_mj | fabs) < 1e-12'
    run "$APQ" cost --space tiny --target two.jsonl --specs policy.json \
        --explain
    expect_status 0
    expect_output '^stem .* -  *-  *-  *-$'
}

@test "cost --range: all fields, and what is excluded" {
    "$APQ" cost --space imagenet-apq --range --json | jq -e '
        .excluded.by_space * 9 == .excluded.choices and
        .excluded.by_target == 0 and
        (.excluded.text | test("7x7 depthwise with 4-bit activations")) and
        (.low | to_entries | all(.value > 0)) and
        (.high.latency_ms - 46.792338 | fabs) < 1e-6'
    sed 's/^forbid_kernel7_dw_act4: .*/forbid_kernel7_dw_act4: false/' \
        "$ROOT/configs/spaces/cifar10.yaml" >free.yaml
    run "$APQ" cost --space free.yaml --range
    expect_status 0
    expect_output '^excluded: 0 by the space and [1-9][0-9]* by the target of'
}

@test "cost --range names the bits that capabilities leave no block" {
    sed '/^capabilities:/,$d' "$ROOT/configs/targets/bitfusion.yaml" >pairs.yaml
    cat >>pairs.yaml <<'YAML'
capabilities:
  conv: [{weight_bits: [8], act_bits: [8]}]
  pointwise: [{weight_bits: [4, 6], act_bits: [4]},
              {weight_bits: [6, 8], act_bits: [8]}]
  depthwise: [{weight_bits: [4, 6, 8], act_bits: [4, 6, 8]}]
  linear: [{weight_bits: [8], act_bits: [8]}]
YAML
    run "$APQ" cost --space tiny --target ./pairs.yaml --range
    expect_status 0
    expect_output 'choices of a block: 1x1 with 6-bit activations, 1x1 with W4 A8, 1x1 with W8 A4$'
}

@test "cost --bit-pairs: where fewer bits cost more" {
    "$APQ" cost --space imagenet-apq --bit-pairs --json | jq -e '
        .entries == 6567 and .pairs == 12690 and .slower == 36 and
        .dearer == 310 and ([.list[] | select(.latency_ratio > 1.00000001)] |
            length == 36 and all(.kind == "pointwise" and .to_bits[1] == 4))'
    run "$APQ" cost --space imagenet-apq --bit-pairs
    expect_status 0
    expect_output '36 slower \(up to 6\.5 %\), 310 dearer'
}

@test "cost: one question at a time" {
    for options in '' '--range --specs policies.jsonl' '--range --bit-pairs' \
        '--explain --range' '--explain --bit-pairs' '--explain'; do
        # Several words.
        # shellcheck disable=SC2086
        run "$APQ" cost --space tiny $options
        expect_status 2
        [ "${#lines[@]}" -eq 1 ]
    done
}

@test "a target too small for a layer is exit 3 before any search" {
    changed_target act_sram_bytes 16
    for command in 'cost --range' 'search --quiet'; do
        # A command and an option.
        # shellcheck disable=SC2086
        run "$APQ" $command --space tiny --target ./target.yaml
        expect_status 3
        expect_output 'cannot run space tiny: stem: no tile .* activation buff'
        [ "${#lines[@]}" -eq 1 ]
    done
    # Room for the fixed layers, but not where both operands have 4 bits.
    changed_target weight_sram_bytes 14000
    sed 's/^bits: .*/bits: [4]/' "$ROOT/configs/spaces/tiny.yaml" >narrow.yaml
    run "$APQ" search --space ./narrow.yaml --target ./target.yaml --quiet
    expect_status 3
    expect_output 'block0\.depthwise: .* weight buffer needs 9216 bytes of 7000'
    # With other bits to choose from it is an exclusion, said up front.
    run "$APQ" cost --space tiny --target ./target.yaml --range
    expect_status 0
    expect_output '^excluded: 0 by the space and [1-9][0-9]* by the target'
    changed_target weight_sram_bytes 2048
    # A policy that does not fit names its line.
    run "$APQ" cost --space imagenet-apq --target ./target.yaml \
        --specs policies.jsonl
    expect_status 3
    expect_output 'policies\.jsonl:1: .*no tile'
}

@test "policy convert: both forms, and back" {
    "$APQ" policy convert --space imagenet-apq --specs policies.jsonl \
        >native.jsonl
    "$APQ" policy convert --space imagenet-apq --specs native.jsonl --to apq \
        >apq.jsonl
    "$APQ" policy convert --space imagenet-apq --specs apq.jsonl |
        cmp - native.jsonl
    jq -es 'all(has("ks") and .wid == null and (.e | length) == 21)' apq.jsonl
    [ "$("$APQ" cost --space imagenet-apq --specs apq.jsonl --json)" = \
        "$("$APQ" cost --space imagenet-apq --specs policies.jsonl --json)" ]
    run "$APQ" policy convert --space tiny --specs native.jsonl
    expect_status 3
    run "$APQ" policy convert --specs native.jsonl --to xml
    expect_status 2
    run "$APQ" policy --specs native.jsonl
    expect_status 2
}

@test "policy show: named policies, and all their layers" {
    "$APQ" policy show largest random:7 smallest --space tiny >named.jsonl
    "$APQ" policy show random:7 --space tiny --to apq |
        "$APQ" policy convert --space tiny --specs - >again.jsonl
    [ "$(sed -n 2p named.jsonl)" = "$(cat again.jsonl)" ]
    jq -es 'length == 3 and .[0].depth >= .[2].depth and
        ([.[0, 2].bits[][]] | unique) == [8]' named.jsonl
    "$APQ" cost --space tiny --specs named.jsonl --explain --json \
        --all-layers >layers.jsonl
    jq -es '.[0].macs > .[1].macs and .[1].macs > .[2].macs' layers.jsonl
    # Blocks begin and end without ReLU6; a residual joins equal shapes.
    jq -es '[.[].layers | INDEX(.name) as $of | all(.[];
        .has_relu6 == (.name | test("project$|first.pointwise|classifier") | not)
        and (.residual_from == null or
            ($of[.residual_from] | [.out_channels, .out_size]) ==
            [.out_channels, .out_size]))] | all' layers.jsonl
    jq -es 'any(.[].layers[]; .residual_from != null)' layers.jsonl
    for wrong in 'show' 'convert' 'show largest --specs named.jsonl' 'hide'; do
        # The list is meant to split into words.
        # shellcheck disable=SC2086
        run "$APQ" policy $wrong --space tiny
        expect_status 2
    done
    for wrong in largets random: random:x random:-1; do
        run "$APQ" policy show "$wrong" --space tiny
        expect_status 3
        expect_output "policy $wrong: expected .*random:SEED"
    done
}

@test "the authors' policies: cost, encoding, prediction, conversion" {
    needs apq_policies.jsonl
    needs predictor_random.safetensors
    all=$REFERENCE/apq_policies.jsonl
    n=$(wc -l <"$all")
    "$APQ" cost --space imagenet-apq --specs "$all" --json >cost.jsonl
    jq -es --slurpfile r "$all" "length == $n and (to_entries | all(
        (.value.latency_ms - \$r[.key].latency_ms | fabs) <= 1e-9 and
        (.value.energy_mj - \$r[.key].energy_mj | fabs) <= 1e-9))" cost.jsonl
    "$APQ" encode --space imagenet-apq --specs "$all" >code.jsonl
    jq -es --slurpfile r "$all" "length == $n and (to_entries | all(
        .value.dim == 772 and .value.active == \$r[.key].active))" code.jsonl
    "$APQ" encode --space imagenet-apq --specs "$all" --float >code.jsonl
    jq -es --slurpfile r "$all" "length == $n and (to_entries | all(
        .value.dim == 520 and .value.active == \$r[.key].active_float))" \
        code.jsonl
    "$APQ" predict --space imagenet-apq --specs "$all" \
        --predictor "$REFERENCE/predictor_random.safetensors" >accuracy.jsonl
    jq -es --slurpfile r "$all" "length == $n and (to_entries | all(
        (.value.accuracy - \$r[.key].accuracy | fabs) <= 2e-5))" \
        accuracy.jsonl
    "$APQ" policy convert --space imagenet-apq --specs "$all" --to apq \
        >again.jsonl
    jq -es --slurpfile r "$all" "length == $n and (to_entries | all(
        .value.ks == \$r[.key].spec.ks))" again.jsonl
    # Their ratios lie beside whole steps of channels; the network is the same.
    "$APQ" encode --space imagenet-apq --specs again.jsonl --float |
        cmp - code.jsonl
    "$APQ" cost --space imagenet-apq --specs again.jsonl --json |
        cmp - cost.jsonl
}
