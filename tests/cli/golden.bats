#!/usr/bin/env bats
# The golden files are what the scripts beside them make.

load 'helper'

GOLDEN=$ROOT/tests/golden
REFERENCE=${APQ_REFERENCE_DIR:-$ROOT/../shared/reference}

# made SCRIPT SOURCE FILE: the script makes the file from this of the folder.
made() {
    [ -e "$REFERENCE/$2" ] ||
        skip "needs $2 of the authors' code (APQ_REFERENCE_DIR: its folder)"
    python3 "$GOLDEN/$1" "$REFERENCE/$2" >made
    cmp made "$GOLDEN/$3"
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return 1
    need python3
}

@test "every golden file has a line that says which script makes it" {
    for file in "$GOLDEN"/*; do
        name=${file##*/}
        case $name in
        README.md) ;;
        predictor_tiny.jsonl) ;;
        *) grep "^| .*\`$name\`.* |" "$GOLDEN/README.md" ;;
        esac
    done
}

@test "predictor" {
    cp "$GOLDEN/make_predictor.py" .
    python3 make_predictor.py
    cmp predictor_tiny.safetensors "$GOLDEN/predictor_tiny.safetensors"
    cmp predictor_tiny.jsonl "$GOLDEN/predictor_tiny.jsonl"
}

@test "policies" {
    made make_policies.py apq_policies.jsonl apq_policies.jsonl
}

@test "costs of layers" {
    made make_bitfusion_lut.py bitfusion_lut_half.dict bitfusion_lut.csv
    made make_bitfusion_dict.py bitfusion_lut_half.dict bitfusion_lut.dict
}

@test "schedules of layers" {
    made make_schedules.py bitfusion_debug.csv bitfusion_schedules.csv
}

@test "quantisers" {
    made make_op_vectors_quant.py op_vectors.json op_vectors_quant.json
}
