#!/usr/bin/env bats
# A space of the user's: its run and its networks carry it, and are used from
# any folder.

load 'helper'

# own_space STRIDE: the tiny space under another name.
own_space() {
    sed "s/^name: .*/name: own/; s/stride: 2}\$/stride: $1}/" \
        "$ROOT/configs/spaces/tiny.yaml"
}

# The run is made beside space.yaml and then moved away from it.
setup_file() {
    export RUN=$BATS_FILE_TMPDIR/away/run
    cd "$BATS_FILE_TMPDIR"
    own_space 2 >space.yaml
    sed 's|^space: .*|space: ./space.yaml|' "$ROOT/recipes/tiny.yaml" >own.yaml
    "$APQ" run own.yaml --run run --quiet >/dev/null
    cmp space.yaml run/space.yaml
    mkdir away
    mv run away
    rm space.yaml
    export IMAGE=$RUN/search.png
}

# each_command: what reads a run. COMMAND: what to do with each.
each_command() {
    "$@" infer "$IMAGE"
    "$@" report
    "$@" eval --split test --bits policy --policy "$RUN/best.json" --quiet
    "$@" export --format c --out out --quiet
    "$@" predictor eval --quiet
    "$@" collect export --format jsonl --out records
    "$@" cost --range
    "$@" finetune finetune.epochs=1 --quiet
    "$@" search --latency-ms 1000 --quiet
}

# works ARGUMENT...: with a copy of the run.
works() {
    run "$APQ" "$@" --run copy
    expect_status 0
}

@test "every command works on a run that was moved" {
    cp -r "$RUN" copy
    each_command works
    works verify out --quiet
    jq -e '.space == "./space.yaml"' copy/run.json
    cmp "$RUN/space.yaml" copy/space.yaml
}

# refused ARGUMENT...: the space is not the one of the run.
refused() {
    run "$APQ" "$@" --run copy
    expect_status 6
    [ "${#lines[@]}" -eq 1 ]
}

@test "another space in its place is refused" {
    cp -r "$RUN" copy
    own_space 1 >copy/space.yaml
    each_command refused
    expect_output '^apq: copy/space\.yaml: run directory copy was made with spa'
    # The same of the file that the recipe names.
    cp "$RUN/space.yaml" copy
    own_space 1 >space.yaml
    refused report
    refused infer "$IMAGE"
    refused search --latency-ms 1000 --quiet
}

@test "a network alone" {
    cp "$RUN/network.safetensors" .
    "$APQ" infer --model network.safetensors "$IMAGE" --json >alone.json
    "$APQ" infer --run "$RUN" "$IMAGE" --json | cmp - alone.json
    run "$APQ" export --model network.safetensors --out out --quiet
    expect_status 0
    # A file that is named counts.
    own_space 1 >other.yaml
    run "$APQ" infer --model network.safetensors --space ./other.yaml "$IMAGE"
    expect_status 6
    run "$APQ" infer --model network.safetensors --space ./gone.yaml "$IMAGE"
    expect_status 3
    expect_output '^apq: \./gone\.yaml: cannot open'
}

@test "built-in spaces are not copied" {
    "$APQ" train "$ROOT/recipes/tiny.yaml" --run built-in --quiet >/dev/null
    [ ! -e built-in/space.yaml ]
    for kind in supernet network; do
        grep -aq '"space_text":"' "$RUN/$kind.safetensors"
    done
    ! grep -aq '"space_text":"' built-in/supernet.safetensors || false
}
