#!/usr/bin/env bats
# Fine-tuning of what a search found.

load 'helper'

@test "finetune.seed tunes the same policy with other draws" {
    "$APQ" run "$ROOT/recipes/tiny.yaml" train.epochs=1 finetune.epochs=2 \
        finetune.baseline=none --run run --quiet
    tune() {
        "$APQ" finetune --run run finetune.seed="$1" --quiet
        cp run/network.safetensors "seed$1"
        jq -c .network.policy run/finetune.json >>policies
    }
    cp run/network.safetensors default
    tune 2
    tune 1
    cmp default seed1
    run cmp default seed2
    expect_status 1
    [ "$(sort -u policies | wc -l)" -eq 1 ]
    run "$APQ" finetune --run run finetune.seed=-2 --quiet
    expect_status 3
    expect_output 'finetune\.seed.*-1'
}

@test "a baseline that no budget allows is left out" {
    "$APQ" run "$ROOT/recipes/tiny.yaml" train.epochs=1 finetune.epochs=1 \
        finetune.baseline=best_uniform8 --run run --quiet
    jq -e '.baseline.test_count > 0' run/finetune.json
    run "$APQ" search --run run --latency-ms 0.0075
    expect_status 0
    jq -e '.baselines.best_uniform8 == null' run/best.json
    run "$APQ" finetune --run run finetune.baseline=best_uniform8
    expect_status 0
    expect_output 'no best_uniform8 under its budget'
    jq -e '.baseline == null and .network.test_count > 0' run/finetune.json
}

@test "finetune.policy tunes a network that no search has named" {
    "$APQ" train "$ROOT/recipes/tiny.yaml" train.epochs=1 --run run --quiet
    "$APQ" policy show random:5 --space tiny --json >mine.json
    "$APQ" finetune --run run finetune.epochs=1 finetune.policy=mine.json --quiet
    jq -e --slurpfile mine mine.json '.network.policy == $mine[0]
        and .network.test_count > 0
        and .baseline == null and .baseline_name == "none"' run/finetune.json
    [ ! -e run/baseline.safetensors ]
    # What it is counts, not where it is from: nothing is left to do.
    cp run/network.safetensors first
    "$APQ" finetune --run run finetune.policy=random:5 --quiet
    [ "$(jq -s 'map(select(.step == "finetune")) | length' run/cost.jsonl)" -eq 1 ]
    cmp first run/network.safetensors
    run "$APQ" finetune --run run finetune.policy=none.json --quiet
    expect_status 3
    expect_output 'none\.json'
    run "$APQ" finetune --run run finetune.policy= --quiet
    expect_status 3
    expect_output 'no policy named: largest, smallest,'
    run "$APQ" finetune --run run finetune.policy=found --quiet
    expect_status 3
    expect_output 'best\.json'
    cmp first run/network.safetensors
}

@test "a fine-tuning that another one has overwritten is made again" {
    "$APQ" run "$ROOT/recipes/tiny.yaml" train.epochs=1 finetune.epochs=1 \
        finetune.baseline=none --run run --quiet
    cp run/network.safetensors first
    # As a later one leaves it that is killed before its end.
    printf x >>run/network.safetensors
    run env -u APQ_ORT "$APQ" export --run run --model first -o out --json --quiet
    expect_status 0
    run "$APQ" finetune --run run
    expect_status 0
    expect_output 'again, run/network\.safetensors is not of finetune\.json'
    cmp first run/network.safetensors
    run "$APQ" finetune --run run
    expect_output 'finetune: done before'
}

@test "checkpoints that a kill after the end has left are removed" {
    "$APQ" run "$ROOT/recipes/tiny.yaml" train.epochs=1 finetune.epochs=1 \
        finetune.baseline=none --run run --quiet
    touch run/train.checkpoint run/network.checkpoint run/baseline.checkpoint
    run "$APQ" run --run run
    expect_status 0
    expect_output 'finetune: done before'
    [ -z "$(find run -name '*.checkpoint')" ]
}
