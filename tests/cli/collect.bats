#!/usr/bin/env bats
# Collecting accuracies: by several processes, killed or not, the records are
# those of one; records in and out of a run; what is told about them.

load 'helper'

setup() {
    scratch=$BATS_TEST_TMPDIR
    cd "$ROOT" || return 1
}

# new_run DIR: with a supernet and nothing else.
new_run() {
    if [ ! -d "$BATS_FILE_TMPDIR/trained" ]; then
        "$APQ" train recipes/tiny.yaml --run "$BATS_FILE_TMPDIR/trained" \
            --threads 1 --quiet
    fi
    cp -r "$BATS_FILE_TMPDIR/trained" "$1"
}

# collect DIR ...: one process.
collect() {
    local dir=$1
    shift
    "$APQ" collect --run "$dir" --threads 1 "$@"
}

# start DIR ...: the same, to be put in the background: $! is its number.
start() {
    local dir=$1
    shift
    exec "$APQ" collect --run "$dir" --threads 1 "$@"
}

# labels DIR: what was measured, without times and order.
labels() {
    "$APQ" collect export --run "$1" --format jsonl |
        jq -c '[.kind, .seq, .policy, .policy_hash, .accuracy, .loss, .loss_sd,
                .count, .weights_hash]' | sort
}

# same_labels DIR DIR
same_labels() {
    labels "$1" >"$scratch/labels.1"
    labels "$2" >"$scratch/labels.2"
    [ -s "$scratch/labels.1" ]
    diff "$scratch/labels.1" "$scratch/labels.2"
}

# expect_sound DIR: a whole file, nobody at work, no record twice.
expect_sound() {
    [ "$(sqlite3 "$1/run.db" 'PRAGMA integrity_check')" = ok ]
    [ "$(sqlite3 "$1/run.db" 'SELECT count(*) FROM claims')" -eq 0 ]
    [ "$(sqlite3 "$1/run.db" 'SELECT count(*) FROM
        (SELECT DISTINCT kind, seq FROM records)')" -eq \
      "$(sqlite3 "$1/run.db" 'SELECT count(*) FROM records')" ]
}

@test "three processes killed 20 times leave the records of one" {
    need sqlite3
    settings=(collect.quantised_records=100 collect.repeats=5)
    new_run "$scratch/one"
    new_run "$scratch/three"
    collect "$scratch/one" --quiet "${settings[@]}"
    [ "$(labels "$scratch/one" | wc -l)" -eq 132 ]
    pids=()
    for i in 0 1 2; do
        start "$scratch/three" --quiet "${settings[@]}" &
        pids[i]=$!
    done
    kills=0
    for _ in $(seq 1 20); do
        sleep "0.$(printf %03d $((RANDOM % 100 + 50)))"
        i=$((RANDOM % 3))
        # A fast machine may be done before the last one.
        kill -9 "${pids[i]}" 2>/dev/null || break
        kills=$((kills + 1))
        wait "${pids[i]}" 2>/dev/null || true
        start "$scratch/three" --quiet "${settings[@]}" &
        pids[i]=$!
    done
    echo "killed $kills times"
    [ "$kills" -ge 5 ]
    for i in 0 1 2; do
        wait "${pids[i]}"
    done
    expect_sound "$scratch/three"
    same_labels "$scratch/one" "$scratch/three"
    [ "$(jq .steps.collect "$scratch/one/manifest.json")" = \
      "$(jq .steps.collect "$scratch/three/manifest.json")" ]
    for dir in one three; do
        sqlite3 "$scratch/$dir/run.db" 'SELECT kind, seq, accuracy, loss, count
            FROM repeats ORDER BY kind, seq' >"$scratch/$dir.repeats"
    done
    [ "$(wc -l <"$scratch/one.repeats")" -eq 10 ]
    cmp "$scratch/one.repeats" "$scratch/three.repeats"
}

@test "the processes of mpirun leave the records of one" {
    need_mpi
    need sqlite3
    new_run "$scratch/one"
    collect "$scratch/one" --quiet
    for n in 2 4; do
        new_run "$scratch/by$n"
        n_lines=$(wc -l <"$scratch/by$n/cost.jsonl")
        run "${mpi[@]}" -n $n "$APQ" collect --run "$scratch/by$n" --threads 1
        expect_status 0
        # One voice, one account.
        [ "$(printf '%s\n' "$output" | grep -c '^collect: done in')" -eq 1 ]
        tail -n +$((n_lines + 1)) "$scratch/by$n/cost.jsonl" |
            jq -es "length > 0 and all(.step == \"collect\" and .threads == $n)"
        expect_sound "$scratch/by$n"
        same_labels "$scratch/one" "$scratch/by$n"
    done
    # An error is told once.
    run "${mpi[@]}" -n 2 "$APQ" collect --run "$scratch/by2" \
        collect.val_images=40 collect.float_records=30
    expect_status 6
    [ "$(printf '%s\n' "$output" | grep -c '^apq: ')" -eq 1 ]
}

@test "an interrupted process gives its claim back; others wait for none" {
    need sqlite3
    new_run "$scratch/run"
    start "$scratch/run" collect.quantised_records=2000 \
        2>"$scratch/log" >/dev/null &
    pid=$!
    has_labels() {
        [ -e "$scratch/run/run.db" ] &&
            [ "$(sqlite3 -cmd '.timeout 9000' "$scratch/run/run.db" \
                'SELECT count(*) FROM records')" -gt 26 ]
    }
    wait_for has_labels
    # The run is in use by steps of its kind only.
    run "$APQ" train --run "$scratch/run" train.epochs=2
    expect_status 3
    expect_output 'in use by another process'
    kill -INT "$pid"
    status=0
    wait "$pid" || status=$?
    [ "$status" -eq 130 ]
    grep -E 'collect interrupted after [0-9]+ qat records, all saved' \
        "$scratch/log"
    expect_sound "$scratch/run"
}

@test "half of the quantised records share an architecture in groups" {
    new_run "$scratch/run"
    collect "$scratch/run" --quiet collect.policies_per_architecture=4 \
        collect.qat_steps=0 collect.active_records=0 \
        collect.quantised_records=32
    # In a group of odd number all differ, and in bits only.
    "$APQ" collect export --run "$scratch/run" --format jsonl \
        --kind quantised >"$scratch/r"
    jq -es 'length == 32 and
        (group_by(.seq / 4 | floor) | to_entries | map(
            (.value | map(.policy.bits | tojson) | unique | length) as $bits |
            (.value | map(.policy | del(.bits) | tojson) | unique | length)
                as $nets |
            if .key % 2 == 1 then $nets == 1 and $bits == 4 else $nets > 1 end
        ) | all)' "$scratch/r"
    # What is there stays; a plan with other groups is another one.
    run collect "$scratch/run" --quiet collect.policies_per_architecture=5 \
        collect.quantised_records=40
    expect_status 6
    expect_output 'collect_policies_per_architecture 4, now 5'
}

@test "labels a minute and their noise are told, and reported" {
    new_run "$scratch/run"
    run collect "$scratch/run" collect.repeats=6
    expect_known
    expect_output '^float labels: 24 records of 50 images, 6 repeats$'
    expect_output '^  top-1 s\.d\. .* noise .* \(images .*, repeats .*\), pairwise ceiling'
    expect_output '^  [0-9.e+]+ labels a minute \(float\)'
    expect_output '^qat labels: 32 records of 50 images, 6 repeats$'
    expect_output 'labels a minute \(quantised after QAT\)'
    "$APQ" report --run "$scratch/run" --json | jq -e '.labels |
        .quantised == null and .float.records == 24 and .qat.repeats == 6 and
        .float.loss.image_error > 0 and .qat.accuracy.pairwise_ceiling >= 0.5'
    run "$APQ" report --run "$scratch/run"
    expect_known
    expect_output '^## Labels$'
    # By the records themselves.
    "$APQ" collect export --run "$scratch/run" --format jsonl --kind float |
        jq -s '(map(.accuracy) | add / length) as $m |
               [(map(.accuracy - $m | . * .) | add / (length - 1) | sqrt),
                (map(.accuracy * (1 - .accuracy) / .count) | add / length | sqrt),
                (map(.loss_sd * .loss_sd / .count) | add / length | sqrt)]' \
            >"$scratch/by-hand"
    "$APQ" report --run "$scratch/run" --json | jq -es '
        .[0].labels.float as $f | [$f.accuracy.sd, $f.accuracy.image_error,
                                   $f.loss.image_error] as $said |
        [range(3) | $said[.] - $h[0][.] | . < 1e-9 and . > -1e-9] | all' \
        --slurpfile h "$scratch/by-hand"
    # Without repeats only the images are known.
    new_run "$scratch/plain"
    run collect "$scratch/plain" collect.qat_steps=0
    expect_known
    expect_output 'noise [0-9.]+ points \(images [0-9.]+\), pairwise'
    expect_output 'labels a minute \(quantised without QAT\)'
}

@test "how quantised records are made is settled by the first" {
    new_run "$scratch/run"
    settings=(--quiet collect.float_records=3 collect.active_records=0)
    collect "$scratch/run" "${settings[@]}" collect.quantised_records=0
    collect "$scratch/run" "${settings[@]}" collect.quantised_records=3 \
        collect.qat_steps=1
    run collect "$scratch/run" "${settings[@]}" collect.quantised_records=4 \
        collect.qat_steps=2
    expect_status 6
    expect_output 'collect_labels .* 1 QAT steps .*, now .* 2 QAT steps'
    # A training that diverges tells whose it was.
    new_run "$scratch/fast"
    run collect "$scratch/fast" "${settings[@]}" collect.quantised_records=6 \
        collect.qat_learning_rate=100
    expect_status 1
    expect_output '^apq: qat record [0-5]: '
    # Float ones by theirs.
    new_run "$scratch/float"
    collect "$scratch/float" "${settings[@]}" collect.quantised_records=0
    run collect "$scratch/float" "${settings[@]}" collect.quantised_records=0 \
        collect.val_images=40
    expect_status 6
    expect_output 'collect_float_labels 50 validation images.*, now 40'
}

@test "an attempt that is refused or fails does not claim the run" {
    new_run "$scratch/run"
    bare=$scratch/bare
    mkdir "$bare"
    settings=(--quiet recipes/tiny.yaml collect.float_records=2
        collect.quantised_records=2 collect.active_records=0)
    head -c 9000 "$scratch/run/supernet.safetensors" \
        >"$bare/supernet.safetensors"
    run collect "$bare" "${settings[@]}"
    expect_status 3
    cp "$scratch/run/supernet.safetensors" "$bare"
    run collect "$bare" "${settings[@]}" --space cifar10
    expect_status 6
    run "$APQ" finetune recipes/tiny.yaml --run "$bare" --space cifar10 \
        finetune.policy=largest
    expect_status 6
    run collect "$bare" "${settings[@]}" --seed 5 collect.quantised=shared
    expect_status 3
    expect_output 'has no shared steps'
    [ "$(jq -c .bound "$bare/manifest.json")" = '{}' ]
    # A training that diverges leaves its settings to be mended.
    run collect "$bare" "${settings[@]}" collect.qat_learning_rate=100 \
        collect.qat_steps=40 finetune.weight_decay=1
    expect_status 1
    expect_output '^apq: qat record 0: '
    collect "$bare" "${settings[@]}"
    run collect "$bare" "${settings[@]}" collect.qat_learning_rate=100 \
        collect.quantised_records=3
    expect_status 6
    # Of two rows in one place none is taken.
    "$APQ" collect export --run "$bare" --format jsonl >"$scratch/r"
    mkdir "$scratch/other"
    echo '{"version": 1, "bound": {}, "steps": {}}' \
        >"$scratch/other/manifest.json"
    sed 's/"weights_hash":"[0-9a-f]*"/"weights_hash":"00"/
         s/"seq":1/"seq":0/' "$scratch/r" >"$scratch/bad"
    import=("$APQ" collect import --space tiny --run "$scratch/other" --records)
    run "${import[@]}" "$scratch/bad"
    expect_status 6
    run "${import[@]}" "$scratch/r"
    expect_status 0
    expect_output '^4 records read, 4 added$'
}

@test "a choice without a policy is an error" {
    need sqlite3
    new_run "$scratch/run"
    settings=(--quiet collect.qat_steps=0 collect.float_records=2
        collect.quantised_records=2)
    collect "$scratch/run" "${settings[@]}" collect.active_records=0
    sqlite3 "$scratch/run/run.db" "DROP TABLE choices;
        CREATE TABLE choices (kind, seq, policy);
        INSERT INTO choices VALUES ('quantised', 2, NULL)"
    run collect "$scratch/run" "${settings[@]}" collect.active_records=1
    expect_status 3
    expect_output '^apq: run.db: policy: '
}

@test "what search finds to measure hangs on no clock" {
    settings=(--quiet collect.qat_steps=0 collect.active_records=4)
    new_run "$scratch/slow"
    new_run "$scratch/fast"
    collect "$scratch/slow" "${settings[@]}" search.time_limit_s=1e-9
    collect "$scratch/fast" "${settings[@]}"
    same_labels "$scratch/slow" "$scratch/fast"
}

@test "what is measured twice is one network, planned or not" {
    need sqlite3
    new_run "$scratch/run"
    settings=(--quiet collect.qat_steps=0 collect.float_records=4)
    collect "$scratch/run" "${settings[@]}" collect.quantised_records=4 \
        collect.active_records=4 collect.active_rounds=1
    # More are planned than were: those that search found stay in their place.
    collect "$scratch/run" "${settings[@]}" collect.quantised_records=10 \
        collect.active_records=0 collect.repeats=2
    "$APQ" collect export --run "$scratch/run" --format jsonl |
        jq -c 'select(.kind == "quantised" and .seq == 4) | .policy' \
            >"$scratch/p.json"
    twice=$(sqlite3 "$scratch/run/run.db" "SELECT loss FROM repeats
        WHERE kind = 'quantised' AND seq = 4")
    "$APQ" eval --run "$scratch/run" --policy "$scratch/p.json" --bits policy \
        --split val --limit 50 --seed 2 --threads 1 --quiet --json |
        jq -e --argjson l "$twice" '(.loss - $l) | . < 1e-9 and . > -1e-9'
}

@test "records come out as JSON lines, CSV and the authors' dictionary" {
    new_run "$scratch/run"
    collect "$scratch/run" --quiet collect.qat_steps=0
    export="$APQ collect export --run $scratch/run --format"
    $export jsonl -o "$scratch/r.jsonl"
    [ "$(wc -l <"$scratch/r.jsonl")" -eq 56 ]
    $export csv >"$scratch/r.csv"
    [ "$(wc -l <"$scratch/r.csv")" -eq 57 ]
    # The same numbers, and policies that read back.
    diff <(jq -r '[.kind, .seq, .accuracy] | @csv' "$scratch/r.jsonl" |
            tr -d '"') \
        <(sed -n 's/^[0-9]*,\([a-z]*,[0-9]*\),".*",[0-9a-f]\{16\},\([^,]*\),.*/\1,\2/p' \
            "$scratch/r.csv")
    run $export authors
    expect_status 3
    expect_output 'one kind, and there are 2'
    $export authors --kind quantised -o "$scratch/info.dict"
    jq -es 'map(select(.kind == "quantised")) | unique_by(.policy_hash) |
            length == ($d[0] | length)' --slurpfile d "$scratch/info.dict" \
        "$scratch/r.jsonl"
    # Keys are policies: the same predictor inputs; values are per cent.
    jq -r 'keys_unsorted[]' "$scratch/info.dict" >"$scratch/keys"
    jq -c 'select(.kind == "quantised") | .policy' "$scratch/r.jsonl" |
        head -20 >"$scratch/policies"
    head -20 "$scratch/keys" >"$scratch/first"
    cmp <("$APQ" encode --space tiny --specs "$scratch/first") \
        <("$APQ" encode --space tiny --specs "$scratch/policies")
    diff <(jq '.[] / 100 | . * 1e9 | round' "$scratch/info.dict" | head -20) \
        <(jq 'select(.kind == "quantised") | .accuracy * 1e9 | round' \
            "$scratch/r.jsonl" | head -20)
    "$APQ" predictor fit --run "$scratch/run" --quiet
    "$APQ" predictor eval --predictor "$scratch/run/predictor.safetensors" \
        --records "$scratch/r.jsonl" --json | jq -e '.count == 32'
    run $export yaml
    expect_status 2
    run "$APQ" collect export --run "$scratch/run"
    expect_status 2
    run "$APQ" collect export --run "$BATS_FILE_TMPDIR/trained" --format csv
    expect_status 3
    expect_output 'run.db: no records'
}

@test "JSON lines go into another run: all of them or none" {
    new_run "$scratch/a"
    new_run "$scratch/b"
    collect "$scratch/a" --quiet collect.qat_steps=0
    # b has measured some of them itself.
    collect "$scratch/b" --quiet collect.qat_steps=0 collect.float_records=5 \
        collect.quantised_records=3 collect.active_records=0
    "$APQ" collect export --run "$scratch/a" --format jsonl >"$scratch/r"
    import=("$APQ" collect import --run "$scratch/b" --records)
    # The last one is wrong: none is taken.
    (cat "$scratch/r"; tail -1 "$scratch/r" | sed 's/"count":50/"count":0/
        s/"seq":31/"seq":32/') >"$scratch/bad"
    run "${import[@]}" "$scratch/bad"
    expect_status 3
    expect_output 'bad:57: record count 0 below 1'
    [ "$(labels "$scratch/b" | wc -l)" -eq 8 ]
    run "${import[@]}" "$scratch/r"
    expect_status 0
    expect_output '^56 records read, 48 added$'
    same_labels "$scratch/a" "$scratch/b"
    run "${import[@]}" "$scratch/r"
    expect_output '^56 records read, 0 added$'
    # Nothing is left to measure.
    run collect "$scratch/b" recipes/tiny.yaml collect.qat_steps=0
    expect_status 0
    expect_output 'all measured before \(float\)'
    # Another accuracy in the place of one, other weights, no record.
    jq -c 'if .id == 3 then .accuracy = 0.999 else . end' "$scratch/r" \
        >"$scratch/other"
    run "${import[@]}" "$scratch/other"
    expect_status 6
    sed 's/"weights_hash":"[0-9a-f]*"/"weights_hash":"00"/' "$scratch/r" \
        >"$scratch/other"
    run "${import[@]}" "$scratch/other"
    expect_status 6
    expect_output 'other: measured with the supernet of hash 00, .*/supernet\.safetensors has'
    # Labelled in another way.
    sed 's/"count":50/"count":7/' "$scratch/r" >"$scratch/other"
    run "${import[@]}" "$scratch/other"
    expect_status 6
    expect_output 'float record 0 is of 7 images, those there are float ones of 50$'
    sed 's/"kind":"quantised"/"kind":"qat"/' "$scratch/r" >"$scratch/other"
    run "${import[@]}" "$scratch/other"
    expect_status 6
    expect_output 'qat record 0 is of 50 images, those there are quantised ones of 50$'
    # Of two supernets: the run is not bound to the first.
    sed '1s/"weights_hash":"[0-9a-f]*"/"weights_hash":"00"/' "$scratch/r" \
        >"$scratch/other"
    new_run "$scratch/c"
    run "$APQ" collect import --run "$scratch/c" --records "$scratch/other"
    expect_status 6
    expect_output 'other:2: weights_hash is [0-9a-f]+, the first record.s 00$'
    # Nor to those of another supernet, nor by what is refused.
    sed 's/"weights_hash":"[0-9a-f]*"/"weights_hash":"00"/' "$scratch/r" \
        >"$scratch/other"
    run "$APQ" collect import --run "$scratch/c" --records "$scratch/other"
    expect_status 6
    run "$APQ" collect import --run "$scratch/c" --records "$scratch/bad"
    expect_status 3
    [ "$(jq '.bound | has("collect_weights")' "$scratch/c/manifest.json")" = \
      false ]
    "$APQ" collect import --run "$scratch/c" --records "$scratch/r"
    echo '{"kind":"float","seq":0}' >"$scratch/other"
    run "${import[@]}" "$scratch/other"
    expect_status 3
    expect_output 'other:1: no "count"'
    # Whole numbers are not read through floating point.
    head -1 "$scratch/r" | sed 's/"seq":[0-9]*/"seq":9007199254740993/' \
        >"$scratch/other"
    run "${import[@]}" "$scratch/other"
    expect_status 0
    "$APQ" collect export --run "$scratch/b" --format jsonl |
        grep -q '"seq":9007199254740993,'
}

@test "a predictor is fitted anew to records imported since" {
    new_run "$scratch/a"
    new_run "$scratch/b"
    settings=(--quiet collect.qat_steps=0 collect.active_records=0)
    collect "$scratch/a" "${settings[@]}"
    collect "$scratch/b" "${settings[@]}" collect.float_records=6 \
        collect.quantised_records=12
    "$APQ" predictor fit --run "$scratch/b" --quiet
    "$APQ" collect export --run "$scratch/a" --format jsonl >"$scratch/r"
    "$APQ" collect import --run "$scratch/b" --records "$scratch/r"
    run "$APQ" predictor fit --run "$scratch/b"
    expect_status 0
    expect_output 'predictor on 24 quantised records'
    "$APQ" predictor eval --run "$scratch/b" --json | jq -e '.count == 3'
    run "$APQ" predictor fit --run "$scratch/b"
    expect_output 'predictor: done before'
}

@test "a finished collection whose records are lost begins anew" {
    new_run "$scratch/run"
    settings=(collect.qat_steps=0 collect.active_records=0
        collect.float_records=6 collect.quantised_records=6)
    collect "$scratch/run" --quiet "${settings[@]}"
    run collect "$scratch/run" "${settings[@]}"
    expect_output 'collect: done before'
    labels "$scratch/run" >"$scratch/all"
    "$APQ" collect export --run "$scratch/run" --format jsonl | head -2 \
        >"$scratch/r"
    rm "$scratch/run/run.db"
    "$APQ" collect import --run "$scratch/run" --records "$scratch/r"
    run collect "$scratch/run" "${settings[@]}"
    expect_status 0
    [[ $output != *'done before'* ]]
    diff "$scratch/all" <(labels "$scratch/run")
    # What decides a label is asked even where nothing is left to measure.
    run collect "$scratch/run" "${settings[@]}" finetune.batch=10
    expect_status 6
    expect_output 'collect_labels'
    # No database of records.
    : >"$scratch/run/run.db"
    run collect "$scratch/run" "${settings[@]}"
    expect_status 3
    expect_output 'run\.db: a database, but not of apq records'
}

@test "shipped records are exported as they are" {
    [ "$("$APQ" collect export --run models/cifar10 --format jsonl |
        wc -l)" -eq 398 ]
    cp models/cifar10/run.json "$scratch"
    run "$APQ" collect export --run "$scratch" --format jsonl
    expect_status 3
    expect_output 'no manifest\.json'
}

@test "records of version 1 are read, and taken up" {
    need sqlite3
    new_run "$scratch/run"
    collect "$scratch/run" --quiet collect.float_records=30
    db=$scratch/run/run.db
    sqlite3 "$db" 'DROP TABLE repeats; DROP TABLE choices; DROP TABLE claims;
        ALTER TABLE records DROP COLUMN loss_sd; PRAGMA user_version = 1;
        PRAGMA journal_mode = WAL' >/dev/null
    "$APQ" collect export --run "$scratch/run" --format jsonl |
        jq -es 'length == 62 and all(.loss_sd == null)'
    run "$APQ" report --run "$scratch/run"
    expect_known
    expect_output '^\| float, loss +\| +30 '
    [ "$(sqlite3 "$db" 'PRAGMA user_version')" -eq 1 ]
    collect "$scratch/run" --quiet collect.float_records=32
    [ "$(sqlite3 "$db" 'PRAGMA user_version')" -eq 2 ]
    [ "$(sqlite3 "$db" 'SELECT count(*), count(loss_sd) FROM records')" = \
      '64|2' ]
    sqlite3 "$db" 'PRAGMA user_version = 3'
    run "$APQ" collect export --run "$scratch/run" --format csv
    expect_status 3
    expect_output 'records of version 3, this program reads 2'
}
