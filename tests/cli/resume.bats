#!/usr/bin/env bats
# A run killed again and again ends as an undisturbed one does.

load helper

setup() {
    scratch=$BATS_TEST_TMPDIR
    cd "$ROOT" || return 1
    sed -e 's/^checkpoint_s: .*/checkpoint_s: 0.02/' \
        -e 's/^  epochs: 2$/  epochs: 30/' recipes/tiny.yaml >"$scratch/r.yaml"
}

# kill_until_done COMMAND...: starts it again and again, and kills it after a
# while that is drawn, until it ends by itself.
kill_until_done() {
    local kills=0 try ms pid
    for try in $(seq 1 200); do
        "$@" &
        pid=$!
        # Longer from try to try, and ever more so: a busy machine must get
        # through a start.
        ms=$((RANDOM % 250 + 50 + try * try))
        sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
        if kill -9 "$pid" 2>/dev/null; then
            kills=$((kills + 1))
        fi
        if wait "$pid"; then
            break
        fi
    done
    echo "killed $kills times"
    [ "$kills" -ge 3 ]
}

@test "kill -9 at any step: same policy, weights and records as undisturbed" {
    "$APQ" run "$scratch/r.yaml" --run "$scratch/whole" --threads 1 --quiet
    kill_until_done "$APQ" run "$scratch/r.yaml" --run "$scratch/cut" \
        --threads 1 --quiet
    [ -f "$scratch/cut/report.json" ]
    for key in .policy .predicted_accuracy; do
        [ "$(jq -c "$key" "$scratch/whole/best.json")" = \
          "$(jq -c "$key" "$scratch/cut/best.json")" ]
    done
    cmp "$scratch/whole/supernet.safetensors" "$scratch/cut/supernet.safetensors"
    for key in .network.test_top1 .network.test_loss .baseline.test_loss; do
        [ "$(jq -c "$key" "$scratch/whole/finetune.json")" = \
          "$(jq -c "$key" "$scratch/cut/finetune.json")" ]
    done
    # Nothing temporary is left behind.
    [ -z "$(find "$scratch/cut" -name '*.tmp' -o -name '*.checkpoint')" ]
}

@test "kill -9 in every phase of progressive training: the same weights" {
    train() { # DIR, in a process of its own
        exec "$APQ" train "$scratch/r.yaml" train.schedule=progressive \
            train.epochs=60 train.phase_kernel=0.3 --run "$1" --threads 1 \
            --quiet
    }
    (train "$scratch/whole")
    kill_until_done train "$scratch/cut"
    cmp "$scratch/whole/supernet.safetensors" "$scratch/cut/supernet.safetensors"
    [ ! -e "$scratch/cut/train.checkpoint" ]
}

@test "kill -9 with learned steps and a teacher: the same network" {
    settings=(finetune.quantiser=lsq finetune.distill=largest
        finetune.epochs=20 collect.quantiser=lsq collect.distill=largest
        collect.qat_steps=4)
    "$APQ" run "$scratch/r.yaml" train.epochs=1 "${settings[@]}" \
        --run "$scratch/whole" --threads 1 --quiet
    kill_until_done "$APQ" run "$scratch/r.yaml" train.epochs=1 \
        "${settings[@]}" --run "$scratch/cut" --threads 1 --quiet
    cmp "$scratch/whole/network.safetensors" "$scratch/cut/network.safetensors"
    cmp "$scratch/whole/baseline.safetensors" "$scratch/cut/baseline.safetensors"
    head -c 4000 "$scratch/whole/network.safetensors" |
        grep -q '"quantiser":"lsq"'
    # Records are not mixed with others.
    run "$APQ" collect "$scratch/r.yaml" train.epochs=1 --run "$scratch/cut" \
        --quiet
    expect_status 6
    expect_output 'lsq distilled'
}

@test "a kill while the baseline is tuned keeps the network's training" {
    dir=$scratch/run
    "$APQ" run "$scratch/r.yaml" train.epochs=1 finetune.epochs=0 \
        --run "$dir" --quiet
    tune() { # to one log, never an old one; $tuner is the process
        rm -f "$scratch/log"
        "$APQ" finetune --run "$dir" finetune.epochs=60 "$@" \
            --threads 1 2>"$scratch/log" &
        tuner=$!
    }
    stop() { # SIGNAL STATUS
        kill "-$1" "$tuner"
        status=0
        wait "$tuner" || status=$?
        [ "$status" -eq "$2" ]
    }
    tune
    wait_for test -e "$dir/baseline.checkpoint"
    stop KILL 137
    tune
    wait_for grep 'fine-tune baseline: epoch' "$scratch/log"
    stop INT 130
    grep -E 'network: resuming at step ([0-9]+) of \1$' "$scratch/log"
    grep 'baseline: resuming' "$scratch/log"
    # Another recipe: the checkpoints are of no use and are made anew.
    tune finetune.learning_rate=0.003
    wait_for grep 'fine-tune network: epoch' "$scratch/log"
    stop INT 130
    grep 'network.checkpoint: of another policy or recipe' "$scratch/log"
    run grep resuming "$scratch/log"
    expect_status 1
}

@test "what a killed step spent is kept and the resumed one adds to it" {
    # So long that it is certainly killed; an interval is 0.1 s.
    "$APQ" train "$scratch/r.yaml" train.epochs=2000 --run "$scratch/cost" \
        --threads 1 --quiet &
    pid=$!
    wait_for has_lines 4 "$scratch/cost/cost.jsonl"
    kill -9 "$pid"
    wait "$pid" || true
    lines=$(wc -l <"$scratch/cost/cost.jsonl")
    [ "$lines" -ge 4 ]
    before=$(jq -s 'map(.wall_s) | add' "$scratch/cost/cost.jsonl")
    jq -es 'all(.step == "train" and .core_s > 0 and .threads == 1
                and .gpu_s == 0)' "$scratch/cost/cost.jsonl"
    # Cut off in the middle of a line, then interrupted: both are harmless.
    printf '{"step":"tra' >>"$scratch/cost/cost.jsonl"
    "$APQ" train "$scratch/r.yaml" train.epochs=2000 --run "$scratch/cost" \
        --threads 1 --quiet &
    pid=$!
    wait_for has_lines $((lines + 2)) "$scratch/cost/cost.jsonl"
    kill -INT "$pid"
    wait "$pid" || true
    jq -es --argjson before "$before" --argjson lines "$lines" \
        'length > $lines + 2 and (map(.wall_s) | add) > $before + 0.2' \
        "$scratch/cost/cost.jsonl"
}

@test "what a finished step made is made again when it is gone" {
    "$APQ" run "$scratch/r.yaml" train.epochs=1 --run "$scratch/again" --quiet
    for file in supernet.safetensors predictor.safetensors finetune.json; do
        cp "$scratch/again/$file" "$scratch/kept"
        rm "$scratch/again/$file"
        run "$APQ" run "$scratch/r.yaml" train.epochs=1 --run "$scratch/again"
        expect_status 0
        expect_output ": again, .*/again/$file is gone"
        cmp "$scratch/kept" "$scratch/again/$file"
    done
}

@test "a predictor of other settings or a damaged one is fitted again" {
    dir=$scratch/fit
    "$APQ" train "$scratch/r.yaml" train.epochs=1 --run "$dir" --quiet
    "$APQ" collect --run "$dir" collect.qat_steps=0 collect.active_records=0 \
        --quiet
    "$APQ" predictor fit --run "$dir" --quiet
    cp "$dir/predictor.safetensors" "$dir/predictor.json" "$scratch"
    fit_again() { # REASON
        run "$APQ" predictor fit --run "$dir"
        expect_status 0
        expect_output "predictor: again, .*/fit/$1"
        for file in predictor.safetensors predictor.json; do
            cmp "$scratch/$file" "$dir/$file"
        done
        run "$APQ" predictor fit --run "$dir"
        expect_output 'predictor: done before'
    }
    # Fails when the weights are there.
    rm "$dir/predictor.json"
    mkdir "$dir/predictor.json"
    run "$APQ" predictor fit --run "$dir" predictor.hidden=8 --quiet
    expect_status 1
    rmdir "$dir/predictor.json"
    run cmp "$scratch/predictor.safetensors" "$dir/predictor.safetensors"
    expect_status 1
    fit_again 'predictor.safetensors changed since it was made'
    truncate -s 9000 "$dir/predictor.safetensors"
    fit_again 'predictor.safetensors changed since it was made'
    rm "$dir/predictor.json"
    fit_again 'predictor.json is gone'
}

@test "a supernet that changed is not taken for the one trained" {
    dir=$scratch/supernet
    "$APQ" train "$scratch/r.yaml" train.epochs=1 --run "$dir" --quiet
    cp "$dir/supernet.safetensors" "$scratch/kept"
    truncate -s 9000 "$dir/supernet.safetensors"
    run "$APQ" train "$scratch/r.yaml" train.epochs=1 --run "$dir" --quiet
    expect_status 6
    expect_output '/supernet.safetensors: changed since it was made: remove it'
    [ "${#lines[@]}" -eq 1 ]
    rm "$dir/supernet.safetensors"
    "$APQ" train "$scratch/r.yaml" train.epochs=1 --run "$dir" --quiet
    cmp "$scratch/kept" "$dir/supernet.safetensors"
}
