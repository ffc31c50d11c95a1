#!/usr/bin/env bats
# Shared bits from training to labels: one supernet for all bit-widths, started
# from a float one, labelled without training, and fine-tuned from its steps.

load 'helper'

setup() {
    cd "$BATS_TEST_TMPDIR" || return 1
    recipe=$ROOT/recipes/tiny.yaml
    settings=(train.largest_epochs=0 --threads 1 --quiet)
}

# A float run and one that goes on from it in shared bits, made once.
new_runs() {
    made=$BATS_FILE_TMPDIR
    if [ ! -d "$made/shared" ]; then
        "$APQ" train "$recipe" --run "$made/float" --threads 1 --quiet
        "$APQ" train "$recipe" --bits shared train.from="$made/float" \
            --run "$made/shared" "${settings[@]}"
    fi
    cp -r "$made/float" "$made/shared" .
}

@test "a shared supernet goes on from a float one and is a float one" {
    new_runs
    jq -e '.train.bits == "shared"' shared/run.json
    # The weights decide, not where they lay: a copy is the same training.
    cp float/supernet.safetensors copy.safetensors
    "$APQ" train "$recipe" --bits shared train.from=copy.safetensors \
        --run again "${settings[@]}"
    "$APQ" train "$recipe" --bits shared --run fresh "${settings[@]}"
    for run in shared again fresh; do
        for bits in float policy; do
            "$APQ" eval --run $run --policy random:1 --bits $bits --split val \
                --threads 1 --quiet --json | jq -c '[.top1, .loss]'
        done >$run.eval
    done
    cmp shared.eval again.eval
    run cmp shared.eval fresh.eval
    expect_status 1
    [ "$(sed -n 1p shared.eval)" != "$(sed -n 2p shared.eval)" ]
    # With --check: integers are what training simulated.
    "$APQ" eval --run shared --policy smallest --bits policy --split val \
        --check --quiet
    # From a shared one its float weights are taken.
    "$APQ" train "$recipe" train.from=shared train.epochs=1 --run back \
        "${settings[@]}"
    run "$APQ" collect collect.quantised=shared --run back --quiet
    expect_status 3
}

@test "labels without training, and fine-tuning from the steps" {
    new_runs
    "$APQ" collect --run shared collect.quantised=shared \
        collect.float_records=4 collect.quantised_records=6 \
        collect.active_records=0 --threads 1 --quiet
    "$APQ" collect export --run shared --format jsonl >records
    jq -es '(map(select(.kind == "quantised")) | length == 6)
        and (map(select(.kind == "qat")) == [])' records
    # A label is what eval says of the network.
    jq -c 'select(.kind == "quantised" and .seq == 4) | .policy' records >p.json
    loss=$(jq 'select(.kind == "quantised" and .seq == 4) | .loss' records)
    "$APQ" eval --run shared --policy p.json --bits policy --split val \
        --limit 50 --threads 1 --quiet --json |
        jq -e --argjson l "$loss" '(.loss - $l) | . < 1e-9 and . > -1e-9'
    # Labels of another kind do not mix with them.
    run "$APQ" collect --run shared collect.quantised=qat --quiet
    expect_status 6
    expect_output 'collect_labels'
    # No step from the shared steps is the network itself.
    for steps in 0 1; do
        "$APQ" eval --run shared --policy random:2 --bits policy --split val \
            --qat-steps $steps collect.quantiser=lsq \
            collect.qat_learning_rate=0 --threads 1 --quiet --json |
            jq -c .loss
    done >losses
    jq -es '(.[0] - .[1]) / .[0] | . < 0.05 and . > -0.05' losses
}

@test "what labels without training say of networks beside QAT: whole lines are kept" {
    new_runs
    export APQ
    RANK=$(command -v cat)
    export RANK
    compare=(sh "$ROOT/benchmarks/bit_sharing.sh")
    run "${compare[@]}" missing float shared 2 1
    [ "$status" -ne 0 ]
    expect_output 'missing'
    [ ! -s shared/bit_sharing.tsv ]
    run "${compare[@]}" 'builtin:shapes?train=600&test=200&size=16&seed=1' \
        float shared 2 1
    expect_known
    [ "$(grep -cE '^0\.[0-9]+ 0\.[0-9]+$' <<<"$output")" -eq 4 ]
    expect_output '^largest:4( +[0-9.]+ %){3}$'
    [ "$(cut -f 1 shared/bit_sharing.tsv | xargs)" = \
        'random:1 random:2 largest:8 largest:6 largest:4' ]
}

@test "labels a minute: of every kind there is, in one process and in several" {
    new_runs
    export APQ
    run sh "$ROOT/benchmarks/labels.sh" \
        'builtin:shapes?train=600&test=200&size=16&seed=1' shared out 1 \
        collect.qat_steps=1 collect.val_images=20 collect.recalibrate_images=50
    expect_known
    [ "$(cut -f 1 <<<"$output" | uniq | xargs)" = \
        'labels float quantised qat shared' ]
    [ "$(cut -f 8 <<<"$output" | grep -cx '[0-9][0-9.]*')" -eq 8 ]
    rmdir out
}

# refused STATUS REGEX RUN ...: one line, and no run directory.
refused() {
    local code=$1 regex=$2
    shift 2
    run "$APQ" train "$recipe" --run no --quiet "$@"
    expect_status "$code"
    [ "${#lines[@]}" -eq 1 ]
    expect_output "$regex"
    [ ! -e no ]
}

@test "wrong use is told in one line" {
    new_runs
    refused 3 'train\.bits "some" is not one of float, shared' --bits some
    refused 3 'shared is for train\.schedule sandwich, not alone' \
        --bits shared train.schedule=alone
    refused 3 'begins after 7 epochs of 2' --bits shared train.float_epochs=7
    refused 3 'shared needs train\.random_subnets of at least 1' \
        --bits shared train.random_subnets=0
    refused 3 'none' train.from=none
    refused 3 'run\.json' train.from=float/run.json
    refused 6 'made for space tiny' train.from=float --space cifar10 \
        --data 'builtin:shapes?train=300&test=20&size=32'
    run "$APQ" collect --run float collect.quantised=shared --quiet
    expect_status 3
    expect_output 'supernet\.safetensors: has no shared steps'
    [ ! -e float/run.db ]
    # What trains no supernet takes no --bits: it would not ask for labels.
    run "$APQ" collect --bits shared --run float --quiet
    expect_status 2
    expect_output 'unknown option --bits'
    # Which leaves the run to others.
    "$APQ" collect --run float collect.qat_steps=0 collect.float_records=4 \
        collect.quantised_records=4 collect.active_records=0 --quiet
}

@test "the same sub-networks and bits at any number of threads" {
    for n in 1 2; do
        "$APQ" train "$recipe" --bits shared train.largest_epochs=1 \
            --threads $n --run by$n --quiet
        jq -r .decisions by$n/train.jsonl >$n
    done
    cmp 1 2
    "$APQ" train "$recipe" --threads 1 --run float --quiet
    jq -r .decisions float/train.jsonl >float.txt
    # The first epoch is in float, the second is not.
    [ "$(sed -n 1p 1)" = "$(sed -n 1p float.txt)" ]
    [ "$(sed -n 2p 1)" != "$(sed -n 2p float.txt)" ]
}
