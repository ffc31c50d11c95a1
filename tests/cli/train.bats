#!/usr/bin/env bats
# What a training tells: the log and TensorBoard's events.

load 'helper'

setup() {
    cd "$BATS_TEST_TMPDIR" || return 1
    cp "$ROOT/recipes/tiny.yaml" r.yaml
}

@test "an epoch a line, with accuracies as often as asked for" {
    "$APQ" train r.yaml train.epochs=5 train.eval_epochs=2 --run run --quiet
    jq -es 'map(.epoch) == [1, 2, 3, 4, 5]
        and (map(has("largest_val_top1")) == [false, true, false, true, true])
        and all(.[]; .lr > 0 and .images_per_s > 0 and .seconds > 0)
        and (.[4] | .largest_val_top1, .smallest_val_top1, .random1_val_top1,
             .random2_val_top1 | . >= 0 and . <= 1)' run/train.jsonl
    [ -s run/events.out.tfevents.apq ]
    "$APQ" train r.yaml train.eval_epochs=0 --run never --quiet
    jq -es 'length == 2 and all(.[]; has("largest_val_top1") | not)' \
        never/train.jsonl
}

@test "measuring changes no weight" {
    "$APQ" train r.yaml train.eval_epochs=0 --run a --threads 1 --quiet
    "$APQ" train r.yaml train.eval_epochs=1 --run b --threads 1 --quiet
    # The recipe is in the file, so the tensors are compared.
    for run in a b; do
        "$APQ" eval --run $run --policy smallest --limit 50 --threads 1 \
            --quiet --json | jq -c '[.top1, .loss]' >$run.json
    done
    cmp a.json b.json
}

@test "an interrupted training may be measured otherwise afterwards" {
    "$APQ" train r.yaml train.epochs=3000 --run run --quiet &
    pid=$!
    wait_for has_lines 1 run/train.jsonl
    kill -INT "$pid"
    status=0
    wait "$pid" || status=$?
    [ "$status" -eq 130 ]
    n=$(wc -l <run/train.jsonl)
    printf '{"epoch":' >>run/train.jsonl # of a line that was never finished
    printf 'torn' >>run/events.out.tfevents.apq
    "$APQ" train r.yaml train.epochs=3000 train.eval_epochs=7 \
        --run run --quiet &
    pid=$!
    wait_for has_lines $((n + 9)) run/train.jsonl
    kill -INT "$pid"
    status=0
    wait "$pid" || status=$?
    [ "$status" -eq 130 ]
    jq -es --argjson n "$n" '(map(.epoch) | . == sort) and length > $n + 8
        and (.[$n + 1:] | all(.[]; (.epoch % 7 == 0)
                                   == has("largest_val_top1")))' \
        run/train.jsonl
    run grep -c torn run/events.out.tfevents.apq
    expect_status 1
    # Another learning rate is another training.
    run "$APQ" train r.yaml train.epochs=3000 train.learning_rate=0.1 \
        --run run --quiet
    expect_status 6
}

@test "a chart on a terminal, no escapes elsewhere" {
    need script bsdutils
    train() { # RUN, on a terminal of 80 x 24
        TERM=xterm script -qec "stty cols 80 rows 24; '$APQ' train r.yaml \
            train.epochs=60 --run $1 $2" /dev/null </dev/null
    }
    train run "" >screen
    grep -q 'largest val %' screen
    grep -qF "$(printf '\033[7A')" screen
    [ -s run/supernet.safetensors ]
    TERM=dumb "$APQ" train r.yaml train.epochs=60 --run plain 2>log
    grep -q 'epoch 60/60  largest: loss' log
    run grep -c "$(printf '\033')" log
    expect_status 1
    train quiet --quiet >screen
    run grep -c "$(printf '\033')" screen
    expect_status 1
}

@test "a training that was refused does not claim the run directory" {
    run "$APQ" train "$ROOT/recipes/tiny.yaml" --run out --quiet train.batch=60000
    expect_status 3
    expect_output 'larger than the .* training images'
    "$APQ" train "$ROOT/recipes/tiny.yaml" --run out --quiet train.epochs=1
    run "$APQ" train "$ROOT/recipes/tiny.yaml" --run out --quiet train.epochs=2
    expect_status 6
    expect_output 'was made with train.epochs 1, now 2$'
    # What the recipe does not tell.
    rm out/run.json
    run "$APQ" train "$ROOT/recipes/tiny.yaml" --run out --quiet train.epochs=2
    expect_status 6
    expect_output 'was made with train_input [0-9a-f]*, now'
}

@test "a run keeps to its validation images" {
    "$APQ" train r.yaml --run run --quiet
    for step in train collect; do
        run "$APQ" "$step" r.yaml --run run --quiet n_val=50
        expect_status 6
        expect_output 'was made with n_val 100, now 50$'
    done
    [ ! -e run/run.db ]
    "$APQ" train r.yaml --run run --quiet n_val=100
}

@test "a training that was killed needs no recipe to go on" {
    "$APQ" train r.yaml train.epochs=3000 checkpoint_s=0.1 --run run --quiet &
    pid=$!
    wait_for test -e run/train.checkpoint
    kill -KILL "$pid"
    wait "$pid" || true
    run "$APQ" train --run run train.epochs=2 --quiet
    expect_status 6
    expect_output 'was made with train.epochs 3000, now 2$'
    run timeout -s INT 5 "$APQ" train --run run
    expect_output 'resuming training at step'
    run "$APQ" eval --run run
    expect_status 3
    expect_output "^apq: run/supernet.safetensors is missing: run 'apq train' first$"
}
