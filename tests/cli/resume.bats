#!/usr/bin/env bats
# A run killed again and again ends as an undisturbed one does.

load helper

setup() {
    scratch=$BATS_TEST_TMPDIR
    cd "$ROOT" || return 1
    sed -e 's/^checkpoint_s: .*/checkpoint_s: 0.02/' \
        -e 's/^  epochs: 2$/  epochs: 30/' recipes/tiny.yaml >"$scratch/r.yaml"
}

@test "kill -9 at any step: same policy, weights and records as undisturbed" {
    "$APQ" run "$scratch/r.yaml" --run "$scratch/whole" --threads 1 --quiet
    kills=0
    for try in $(seq 1 200); do
        "$APQ" run "$scratch/r.yaml" --run "$scratch/cut" --threads 1 \
            --quiet &
        pid=$!
        # Longer from try to try: a busy machine must get through a start.
        ms=$((RANDOM % 300 + 100 + 10 * try))
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
