#!/usr/bin/env bats
# Bad luck and bad input: one line, the right exit code, nothing written.

load 'helper'

# refused STATUS REGEX COMMAND...: one line on standard error, and no folder
# `out` where the command would have written.
refused() {
    local expected=$1 regex=$2
    shift 2
    run "$@" --quiet
    expect_status "$expected"
    expect_output "$regex"
    [ "${#lines[@]}" -eq 1 ]
    [ ! -e out ]
}

train() {
    refused 3 "$1" "$APQ" train --space tiny --data "$2" --run out
}

@test "a missing folder, an empty one, a class with no images" {
    train 'nowhere: ' nowhere
    mkdir empty
    train 'empty: ' empty
    mkdir -p classes/train/cat classes/train/dog
    train 'classes' classes
}

@test "a text file named .jpg and a truncated JPEG" {
    mkdir -p images/train/cat images/train/dog
    echo 'no picture' >images/train/cat/1.jpg
    echo 'no picture' >images/train/dog/1.jpg
    train 'images/train/cat/1\.jpg: ' images
    printf '\377\330\377\340\0\020JFIF\0\1\1' >images/train/cat/1.jpg
    train 'images/train/cat/1\.jpg: ' images
}

@test "a supernet file cut in half" {
    "$APQ" train "$ROOT/recipes/tiny.yaml" --run whole --quiet
    size=$(wc -c <whole/supernet.safetensors)
    mkdir half
    head -c $((size / 2)) whole/supernet.safetensors >half/supernet.safetensors
    refused 3 'half/supernet\.safetensors: ' \
        "$APQ" eval --space tiny --run half --policy largest --split val \
        --data 'builtin:shapes?train=60&test=20&size=16'
}

@test "a space whose networks read other channels than images have" {
    for channels in 1 4; do
        sed "s/^image_channels:.*/image_channels: $channels/" \
            "$ROOT/configs/spaces/tiny.yaml" >space.yaml
        refused 3 "image_channels $channels, images of the data have 3" \
            "$APQ" train --space ./space.yaml --run out \
            --data 'builtin:shapes?train=60&test=20&size=16'
    done
}

@test "a mistyped run directory is said to be none, and is not made" {
    echo x >file
    for command in collect 'predictor fit' finetune search 'export -o out' \
        'infer --image x.png' 'predict --specs x' 'eval --policy largest' \
        'predictor eval' 'predictor curve' 'collect export --format csv' \
        'collect import --records x' 'verify out' report 'bench infer' \
        'cost --range' 'lut build -o out' 'encode --specs x'; do
        for typo in typo file; do
            # A command and its options.
            # shellcheck disable=SC2086
            refused 3 "^apq: $typo: no such run directory$" \
                "$APQ" $command --run $typo
        done
        [ ! -e typo ]
    done
    # Not of what makes one, nor where help was asked for.
    refused 3 'nowhere: ' "$APQ" train --run typo --data nowhere
    run "$APQ" collect --run typo --help
    expect_status 0
}

@test "a folder that is no run is not made one by the steps of a run" {
    mkdir folder
    for command in collect 'predictor fit' finetune; do
        for recipe in '' "$ROOT/recipes/tiny.yaml"; do
            # shellcheck disable=SC2086
            refused 3 'folder: no run and no supernet' \
                "$APQ" $command $recipe --run folder
        done
    done
    [ -z "$(ls -A folder)" ]
}

# lacks FILE STEP COMMAND...: what the run lacks, and the step that makes it.
lacks() {
    local file=$1 step=$2
    shift 2
    refused 3 "^apq: half/$file is missing: run 'apq $step' first$" "$@" \
        --run half
}

@test "what a run has not yet got is named with the step that makes it" {
    # As a killed training leaves it, as far as the other steps look.
    mkdir half
    echo '{"version": 1, "bound": {}, "steps": {}}' >half/manifest.json
    cp "$ROOT/recipes/tiny.yaml" half/run.json
    for command in collect finetune 'eval --policy largest'; do
        # shellcheck disable=SC2086
        lacks supernet.safetensors train "$APQ" $command
    done
    for command in search 'predict --specs x' 'predictor eval'; do
        # shellcheck disable=SC2086
        lacks predictor.safetensors 'predictor fit' "$APQ" $command
    done
    for command in 'export -o out' 'infer --image x.png' 'bench infer'; do
        # shellcheck disable=SC2086
        lacks network.safetensors finetune "$APQ" $command
    done
    lacks run.db collect "$APQ" predictor curve
    "$APQ" train --run half --quiet >/dev/null
    lacks best.json search "$APQ" finetune
    refused 3 "^apq: half: no finished collection: run 'apq collect'$" \
        "$APQ" predictor fit --run half
}

@test "records labelled in another way do not mix" {
    "$APQ" run "$ROOT/recipes/tiny.yaml" --run r --quiet >/dev/null
    run "$APQ" collect "$ROOT/recipes/tiny.yaml" collect.qat_steps=9 \
        collect.quantised_records=30 --run r --quiet
    expect_status 6
    expect_output 'collect_labels .* 9 QAT steps'
    # More of the same are welcome.
    "$APQ" collect "$ROOT/recipes/tiny.yaml" collect.quantised_records=30 \
        --run r --quiet
}

@test "a run directory of another space, another seed, other data" {
    "$APQ" train "$ROOT/recipes/tiny.yaml" --run whole --quiet
    before=$(cat whole/*.json | cksum)
    refused 6 'space' "$APQ" train --space cifar10 --run whole \
        --data 'builtin:shapes?train=300&test=20&size=32'
    refused 6 'seed' "$APQ" train "$ROOT/recipes/tiny.yaml" --run whole \
        --seed 9
    refused 6 'data_hash' "$APQ" train "$ROOT/recipes/tiny.yaml" --run whole \
        --data 'builtin:shapes?train=300&test=20&size=16&seed=2'
    [ "$before" = "$(cat whole/*.json | cksum)" ]
}

@test "a full disk is exit 1 and leaves no half-written file" {
    # A limit on file size is a disk that is full for the supernet.
    run bash -c "trap '' XFSZ; ulimit -f 20
        exec '$APQ' train '$ROOT/recipes/tiny.yaml' --run out --quiet"
    expect_status 1
    expect_output 'cannot write'
    [ ! -e out/supernet.safetensors ]
    [ -z "$(find out -name '*.tmp')" ]
    # With room again, the same command finishes.
    "$APQ" train "$ROOT/recipes/tiny.yaml" --run out --quiet
    [ -s out/supernet.safetensors ]
    # The same for the records.
    run bash -c "trap '' XFSZ; ulimit -f 2
        exec '$APQ' collect --run out --quiet"
    expect_status 1
    "$APQ" collect --run out --quiet
}

@test "names with line feeds and escapes stay on one harmless line" {
    local odd=$'images/train/c\nat'
    mkdir -p "$odd" images/train/dog
    echo 'no picture' >"$odd/"$'\033[31m.jpg'
    cp "$odd"/* images/train/dog/1.jpg
    train 'images/train/c\?at/\?\[31m\.jpg: not a JPEG' images
    run "$APQ" data check --data images
    expect_status 3
    expect_output '^c\?at  '
    expect_output '^  train/c\?at/\?\[31m\.jpg: '
}

@test "JSON of names that are no UTF-8 is whole" {
    local odd=$'images/train/c\xff'
    mkdir -p "$odd" images/train/dog
    echo 'no picture' >"$odd/"$'\xfe.jpg'
    cp "$odd"/* images/train/dog/1.jpg
    run "$APQ" data check --data images --json --quiet
    expect_status 3
    printf '%s\n' "${lines[@]}" | jq -e '[.classes[].name] == ["c?", "dog"]
        and [.defects[].path] == ["train/c?/?.jpg", "train/dog/1.jpg"]'
    "$APQ" train "$ROOT/recipes/tiny.yaml" train.epochs=0 --quiet --json \
        --run $'r\xff' | jq -e '.run == "r?"'
    APQ_ORT=$'o\xff' "$APQ" doctor --json | jq -e '.version'
}

@test "a path that run.json cannot tell is refused by name" {
    refused 3 '^apq: data is not UTF-8' "$APQ" train \
        "$ROOT/recipes/tiny.yaml" --data $'im\xe9ges' --run out
    [ ! -e out ]
}

@test "more threads than cores are one a core" {
    "$APQ" train "$ROOT/recipes/tiny.yaml" --run out --quiet --threads 1000
    jq -es --argjson cores "$(nproc)" 'length > 0 and all(.threads <= $cores)' out/cost.jsonl
    "$APQ" data check --data builtin:shapes --threads 1000
}

@test "what the search left, cut in half, and no supernet to evaluate" {
    "$APQ" train "$ROOT/recipes/tiny.yaml" --run whole --quiet
    printf '{\n  "policy": {' >whole/best.json
    refused 3 'best\.json:[0-9]+: not JSON' "$APQ" finetune --run whole
    run "$APQ" eval --space tiny --policy largest \
        --data 'builtin:shapes?train=60&test=20&size=16'
    expect_output 'give --run$'
    run "$APQ" search --space tiny --latency-ms 1
    expect_output 'give --run or --predictor$'
}
