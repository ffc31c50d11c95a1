#!/usr/bin/env bats
# Several processes: the same decisions, weights and accuracies at any number
# of them, and an orderly end however they end.

load 'helper'

setup() {
    scratch=$BATS_TEST_TMPDIR
    cd "$ROOT" || return 1
    need_mpi
    # 48 can be divided by 1, 2 and 4; an epoch has 10 steps.
    sed 's/^  batch: 50$/  batch: 48/' recipes/tiny.yaml >"$scratch/r.yaml"
    sed 's/^  epochs: 2$/  epochs: 5000/' "$scratch/r.yaml" \
        >"$scratch/long.yaml"
}

# start N: a training that is certainly stopped, as $job; and waits until it
# has saved a state.
start() {
    set -m # or the shell would have it ignore SIGINT
    "${mpi[@]}" -n "$1" "$APQ" train "$scratch/long.yaml" checkpoint_s=0.1 \
        --run "$scratch/run" --threads 1 >"$scratch/log" 2>&1 &
    job=$!
    set +m
    wait_for test "$scratch/run/train.checkpoint" -nt "$scratch/long.yaml" ||
        {
            cat "$scratch/log"
            kill "$job"
            return 1
        }
}

finish() {
    status=0
    for _ in $(seq 1 900); do
        kill -0 "$job" 2>/dev/null || break
        sleep 0.1
    done
    if kill "$job" 2>/dev/null; then # too late
        sleep 2
        kill -9 "$job" 2>/dev/null || true
    fi
    wait "$job" || status=$?
    cat "$scratch/log"
}

@test "1, 2 and 4 processes see the same images and train the same sub-networks" {
    "$APQ" train "$scratch/r.yaml" --run "$scratch/alone" --threads 1 --quiet
    [ "$(wc -l <"$scratch/alone/train.jsonl")" -eq 2 ]
    for n in 1 2 4; do
        run "${mpi[@]}" -n $n "$APQ" train "$scratch/r.yaml" --run "$scratch/by$n" \
            --threads 1
        expect_status 0
        # One voice.
        [ "$(printf '%s\n' "$output" | grep -c '^epoch 2/2 ')" -eq 1 ]
        [ "$(printf '%s\n' "$output" | grep -c '^train: done')" -eq 1 ]
        [ "$(jq -r .decisions "$scratch/alone/train.jsonl")" = \
          "$(jq -r .decisions "$scratch/by$n/train.jsonl")" ]
        [ "$(jq -s '.[-1].threads' "$scratch/by$n/cost.jsonl")" -eq $n ]
    done
    cmp "$scratch/alone/supernet.safetensors" \
        "$scratch/by1/supernet.safetensors"
    # Another seed decides otherwise: the digest tells.
    "$APQ" train "$scratch/r.yaml" --run "$scratch/other" --seed 2 --quiet
    [ "$(jq -r .decisions "$scratch/alone/train.jsonl" | head -1)" != \
      "$(jq -r .decisions "$scratch/other/train.jsonl" | head -1)" ]
}

@test "shared bits: steps start alike, bits are drawn alike" {
    "$APQ" train "$scratch/r.yaml" --run "$scratch/float" --threads 1 --quiet
    settings=(train.from="$scratch/float" train.largest_epochs=1 --bits shared)
    for n in 1 2; do
        "${mpi[@]}" -n $n "$APQ" train "$scratch/r.yaml" "${settings[@]}" \
            --run "$scratch/by$n" --threads 1 --quiet
    done
    [ "$(jq -r .decisions "$scratch/by1/train.jsonl")" = \
      "$(jq -r .decisions "$scratch/by2/train.jsonl")" ]
    for n in 1 2; do
        "$APQ" eval --run "$scratch/by$n" --policy smallest --bits policy \
            --split val --threads 1 --json --quiet | jq .loss
    done | jq -es '(.[0] - .[1]) / .[0] | . < 0.05 and . > -0.05'
}

@test "more processes learn as one does" {
    for n in 1 4; do
        "${mpi[@]}" -n $n "$APQ" train "$scratch/r.yaml" train.epochs=12 \
            --run "$scratch/by$n" --threads 1 --quiet
    done
    # Statistics of a fourth of the batch: not equal, but no worse than this.
    jq -es '(.[0].largest_loss - .[1].largest_loss) | . < 0.2 and . > -0.2' \
        <(tail -1 "$scratch/by1/train.jsonl") \
        <(tail -1 "$scratch/by4/train.jsonl")
}

@test "an evaluation by several processes counts as one does" {
    "$APQ" train "$scratch/r.yaml" train.epochs=6 --run "$scratch/run" \
        --threads 1 --quiet
    for options in '--split test' '--split test --limit 3' \
        '--split val --bits policy'; do
        # shellcheck disable=SC2086
        "$APQ" eval --run "$scratch/run" $options --threads 1 --json --quiet \
            >"$scratch/one.json"
        for n in 2 4; do
            # shellcheck disable=SC2086
            "${mpi[@]}" -n $n "$APQ" eval --run "$scratch/run" $options --threads 1 \
                --json --quiet >"$scratch/many.json"
            jq -es '.[0].top1 == .[1].top1 and .[0].count == .[1].count
                    and .[0].policy == .[1].policy
                    and (.[0].loss - .[1].loss | . < 1e-5 and . > -1e-5)' \
                "$scratch/one.json" "$scratch/many.json"
        done
    done
}

@test "an interrupted training goes on with another number of processes" {
    start 2
    kill -INT "$job" # mpirun passes it on as SIGTERM
    finish
    [ "$status" -ne 0 ]
    [ "$(grep -c 'interrupted at step .*, state saved' "$scratch/log")" -eq 1 ]
    step=$(sed -n 's/.*interrupted at step \([0-9]*\),.*/\1/p' "$scratch/log")
    touch "$scratch/long.yaml"
    start 4
    grep "resuming training at step $step of" "$scratch/log"
    kill -USR1 "$job" # batch systems; no time limit
    finish
    [ "$status" -eq 130 ]
    step=$(sed -n 's/.*interrupted at step \([0-9]*\),.*/\1/p' "$scratch/log")
    # Alone as well.
    "$APQ" train "$scratch/long.yaml" checkpoint_s=0.1 --run "$scratch/run" \
        --threads 1 2>"$scratch/alone" &
    wait_for grep "resuming training at step $step of" "$scratch/alone"
    pid=$!
    kill -INT "$pid"
    status=0
    wait "$pid" || status=$?
    [ "$status" -eq 130 ]
}

@test "a resumed training by two processes repeats an undisturbed one" {
    sed -i 's/^  epochs: .*/  epochs: 60/' "$scratch/long.yaml"
    # Progressive training has a teacher in its checkpoint.
    for schedule in sandwich progressive; do
        sed -i -e '/^  schedule:/d' \
            -e "s/^train:/train:\n  schedule: $schedule/" "$scratch/long.yaml"
        rm -rf "$scratch/run"
        "${mpi[@]}" -n 2 "$APQ" train "$scratch/long.yaml" --threads 1 \
            --run "$scratch/$schedule" --quiet
        start 2
        kill -USR1 "$job"
        finish
        [ "$status" -eq 130 ]
        "${mpi[@]}" -n 2 "$APQ" train "$scratch/long.yaml" --threads 1 \
            --run "$scratch/run" --quiet
        cmp "$scratch/$schedule/supernet.safetensors" \
            "$scratch/run/supernet.safetensors"
    done
}

@test "a lost process ends the job; the last state is whole and of use" {
    need pgrep procps
    start 4
    victim=$(pgrep -P "$job" | tail -1)
    kill -9 "$victim"
    finish
    [ "$status" -eq 137 ]
    grep 'exited on signal 9' "$scratch/log"
    touch "$scratch/long.yaml"
    start 2
    grep 'resuming training at step' "$scratch/log"
    kill -USR1 "$job"
    finish
    [ "$status" -eq 130 ]
    # What the kill left of a write is gone.
    [ -z "$(find "$scratch/run" -name '*.tmp')" ]
}

@test "errors are told once, with the exit code of one process" {
    run "${mpi[@]}" -n 4 "$APQ" train recipes/tiny.yaml --run "$scratch/run"
    expect_status 3
    [ "$(printf '%s\n' "$output" | grep -c '^apq: ')" -eq 1 ]
    expect_output '^apq: train.batch 50 is not a multiple of the 4 processes$'
    [ ! -e "$scratch/run" ]
    run "${mpi[@]}" -n 2 "$APQ" train "$scratch/r.yaml" --data "$scratch/none" \
        --run "$scratch/run"
    expect_status 3
    [ "$(printf '%s\n' "$output" | grep -c '^apq: ')" -eq 1 ]
    [ ! -e "$scratch/run" ]
    run "${mpi[@]}" -n 2 "$APQ" train --no-such-option
    expect_status 2
    [ "$(printf '%s\n' "$output" | grep -c '^apq train: ')" -eq 1 ]
    run "${mpi[@]}" -n 2 "$APQ" eval --run "$scratch/run" --policy "$scratch/none"
    expect_status 3
    [ "$(printf '%s\n' "$output" | grep -c '^apq: ')" -eq 1 ]
}

@test "an error of one process is told with its number and ends all" {
    # shellcheck disable=SC2016
    run "${mpi[@]}" -n 2 sh -c '[ "$OMPI_COMM_WORLD_RANK" = 0 ] || set -- "$@" --data /dev/null/none
        exec "$@"' sh "$APQ" train "$scratch/r.yaml" --run "$scratch/run"
    expect_status 3
    expect_output '^apq: process 1: /dev/null/none'
}

# differing WHAT COMMAND...: process 1 of 2 gets the words in $extra, too, and
# WHAT is told to differ.
differing() {
    local text=$1
    shift
    # shellcheck disable=SC2016
    run timeout 60 "${mpi[@]}" -n 2 sh -c \
        '[ "$OMPI_COMM_WORLD_RANK" = 0 ] || set -- "$@" $extra
        exec "$@"' sh "$@"
    expect_status 3
    expect_output "^apq: process 1: its $text are not those of process 0\$"
}

@test "processes that would do different things are told apart" {
    train=("$APQ" train "$scratch/r.yaml" --run "$scratch/run" --threads 1)
    other='builtin:shapes?train=600&test=200&size=16&seed=2'
    export extra
    # Of the same number; others to validate with; another length.
    extra="--data $other" differing images "${train[@]}"
    extra=n_val=50 differing images "${train[@]}"
    extra=train.epochs=4 differing settings "${train[@]}"
    [ ! -e "$scratch/run" ]
    "${train[@]}" --quiet
    "${train[@]}" --quiet --run "$scratch/other" --seed 2
    evaluate=("$APQ" eval --run "$scratch/run" --threads 1)
    extra="--data $other" differing images "${evaluate[@]}"
    extra="--run $scratch/other" differing weights "${evaluate[@]}" --seed 1
}

@test "a plain apq does not load MPI" {
    run ldd "$APQ"
    expect_status 0
    if printf '%s\n' "$output" | grep libmpi; then
        false
    fi
    run env PMI_SIZE=2 "$APQ" train "$scratch/r.yaml" --run "$scratch/run"
    expect_status 1
    expect_output 'started as one of 2 processes, but MPI joined 1'
}
