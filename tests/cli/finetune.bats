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
