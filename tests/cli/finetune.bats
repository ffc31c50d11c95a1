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

@test "eval --model: what fine-tuning measured, and images from elsewhere" {
    "$APQ" run "$ROOT/recipes/tiny.yaml" train.epochs=1 finetune.epochs=1 \
        finetune.baseline=none --run run --quiet >/dev/null
    "$APQ" eval --run run --model run/network.safetensors --quiet --json >e.json
    jq -es '.[0].network.test_top1 == .[1].top1 and .[0].network.policy ==
        .[1].policy and .[1].count == 200' run/finetune.json e.json
    run "$APQ" eval --run run --model run/network.safetensors --check
    expect_status 0
    expect_output ': run/network\.safetensors in integers$'
    expect_output '^simulated top-1 '
    run "$APQ" eval --model run/network.safetensors --split test --json \
        --data 'builtin:shapes?train=60&test=40&size=16&seed=9' --quiet
    expect_status 0
    jq -e '.count == 40' <<<"$output"
    # What does not belong together.
    run "$APQ" eval --model run/network.safetensors --bits float
    expect_status 2
    expect_output '--model has its own policy and bits'
    run "$APQ" eval --run run --model run/supernet.safetensors
    expect_status 3
    run "$APQ" eval --model "$ROOT/models/cifar10/network.safetensors" \
        --data 'builtin:shapes?train=60&test=20&size=32' --quiet
    expect_status 6
    expect_output "its class 0 is 'airplane', that of the data 'circle'"
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

@test "another target prices what is done before, and trains nothing" {
    sed 's/^clock_mhz:.*/clock_mhz: 50/' "$ROOT/configs/targets/bitfusion.yaml" >slow.yaml
    "$APQ" run "$ROOT/recipes/tiny.yaml" train.epochs=1 finetune.epochs=1 \
        --run run --quiet
    cp run/finetune.json first
    cp run/network.safetensors .
    run "$APQ" finetune --run run --target slow.yaml
    expect_status 0
    expect_output 'finetune: done before'
    expect_output 'finetune\.json has the prices of slow\.yaml now'
    for name in network baseline; do
        jq -c ".$name.policy" run/finetune.json |
            "$APQ" cost --space tiny --target slow.yaml --specs - --json \
                >cost.json
        jq -e --arg name $name --slurpfile cost cost.json \
            --slurpfile first first '.[$name].cost as $now
            | ($now.latency_ms / $cost[0].latency_ms - 1 | fabs) < 1e-8
            and $now.latency_ms > 5 * $first[0][$name].cost.latency_ms
            and $now.macs == $first[0][$name].cost.macs' run/finetune.json
    done
    cmp network.safetensors run/network.safetensors
    # The manifest knows the new file, and with the target it was made for it
    # is the first again.
    [ "$(jq -r .steps.finetune.artefact run/manifest.json)" = \
        "$("$APQ" report --run run --json |
            jq -r '.files[] | select(.name == "finetune.json").hash')" ]
    run "$APQ" finetune --run run --target bitfusion
    expect_output 'prices of bitfusion now'
    cmp first run/finetune.json
    run "$APQ" finetune --run run --target bitfusion
    expect_status 0
    run grep -c prices <<<"$output"
    expect_output '^0$'
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

@test "a fine-tuning done before keeps the checkpoint of another one" {
    "$APQ" run "$ROOT/recipes/tiny.yaml" train.epochs=1 finetune.epochs=1 \
        finetune.baseline=none --run run --quiet
    tune_largest() { # to one log; $tuner is the process
        "$APQ" finetune --run run finetune.policy=largest \
            finetune.epochs=20000 checkpoint_s=0.05 2>log &
        tuner=$!
    }
    stop() {
        kill -9 "$tuner"
        wait "$tuner" || true
    }
    tune_largest
    wait_for test -e run/network.checkpoint
    stop
    cp run/network.checkpoint kept
    run "$APQ" finetune --run run
    expect_status 0
    expect_output 'finetune: done before'
    cmp kept run/network.checkpoint
    tune_largest
    wait_for grep 'network: resuming at step' log
    stop
    # Were it its own, from before its end, it would be of no more use.
    own=$(jq -r .steps.finetune.input run/manifest.json)
    LC_ALL=C sed "s/\"input\":\"[0-9a-f]*\"/\"input\":\"$own\"/" kept \
        >run/network.checkpoint
    "$APQ" finetune --run run --quiet
    [ ! -e run/network.checkpoint ]
}
