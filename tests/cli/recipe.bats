#!/usr/bin/env bats
# Recipes: unknown keys and values out of range are exit 3 with their line.

load 'helper'

@test "an unknown key names line and nearest key" {
    printf 'space: tiny\ntrain:\n  epoch: 3\n' >r.yaml
    run "$APQ" run r.yaml --run out --quiet
    expect_status 3
    expect_output 'r\.yaml:3: .*epoch.*epochs'
    [ ! -e out/run.json ]
}

@test "a value out of range names line and range" {
    printf 'space: tiny\nsearch:\n  mutation: 2\n' >r.yaml
    run "$APQ" run r.yaml --run out --quiet
    expect_status 3
    expect_output 'r\.yaml:3: '
    printf 'space: tiny\ncollect:\n  recalibrate_images: 0\n' >r.yaml
    run "$APQ" run r.yaml --run out --quiet
    expect_status 3
    expect_output 'r\.yaml:3: recalibrate_images: .0. is not an integer in 1\.\.10000000'
    printf 'finetune: {baseline: uniform5}\n' >r.yaml
    run "$APQ" run r.yaml --run out --quiet
    expect_status 3
    expect_output 'uniform5'
    printf 'train: 3\n' >r.yaml
    run "$APQ" run r.yaml --run out --quiet
    expect_status 3
}

@test "searches that there are not are refused when the recipe is read" {
    refused() { # LINE KEY... MESSAGE: the lines after "search:"
        printf '  %s\n' "${@:2:$#-2}" | cat <(printf 'search:\n') - >r.yaml
        # By a command that comes before the search, too.
        run "$APQ" train r.yaml --space tiny --run out --quiet
        expect_status 3
        expect_output "^apq: r\\.yaml:$1: ${*: -1}\$"
        [ "${#lines[@]}" -eq 1 ]
        [ ! -e out ]
    }
    refused 2 'population: 100001' "population: .* is not an integer in 2\\.\\.100000"
    refused 2 'iterations: 1000001' 'iterations: .* in 1\.\.1000000'
    refused 2 'mutation: 0' 'mutation: .* is not a number in 1e-06\.\.1'
    refused 3 'population: 20' 'parents: 21' \
        'search\.parents 21 is not in 1\.\.20, the population'
    refused 2 'population: 20' \
        'search\.parents 25 is not in 1\.\.20, the population'
    refused 2 'strategy: evolutoin' \
        'search\.strategy "evolutoin" is unknown, .*; did you mean evolution'
    refused 3 'strategy: random' 'as_released: 1' \
        'search\.as_released: random has no released form, only evolution has'
    # The last word decides, in any order.
    for setting in search.parents=6 search.mutation=0 search.strategy=nothing; do
        run "$APQ" train "$ROOT/recipes/tiny.yaml" search.population=5 \
            search.parents=5 "$setting" --run out --quiet
        expect_status 3
        expect_output '^apq: .*search\.'
        [ ! -e out ]
    done
    run "$APQ" search --space tiny search.population=5 --parents 5
    expect_output 'predictor' # is what it lacks
    run "$APQ" search --space tiny --population 5
    expect_status 3
    expect_output '^apq: recipe: search\.parents 25 is not in 1\.\.5, the population$'
}

@test "settings on the command line are checked alike" {
    run "$APQ" run "$ROOT/recipes/tiny.yaml" train.epoch=3 --run out --quiet
    expect_status 3
    expect_output 'train\.epochs'
    run "$APQ" run "$ROOT/recipes/tiny.yaml" train.epochs=1.5 --run out --quiet
    expect_status 3
    run "$APQ" run "$ROOT/recipes/tiny.yaml" --backend gpu --run out --quiet
    expect_status 3
}

@test "a run goes on with the largest seed" {
    set -- train.epochs=1 train.eval_epochs=0 --run run --quiet
    "$APQ" train "$ROOT/recipes/tiny.yaml" --seed 9223372036854775807 "$@"
    grep -q '"seed": 9223372036854775807' run/run.json
    "$APQ" eval --run run --policy smallest --limit 50 --quiet
    run "$APQ" train "$ROOT/recipes/tiny.yaml" seed=9223372036854775808 "$@"
    expect_status 3
    expect_output 'seed=.* is not an integer in 0 \.\.\. 9223372036854775807'
}

@test "an unknown training schedule is exit 3 and names the nearest" {
    run "$APQ" train "$ROOT/recipes/tiny.yaml" train.schedule=progresive \
        --run out --quiet
    expect_status 3
    expect_output 'train\.schedule "progresive".*did you mean progressive'
    [ ! -e out ]
}

@test "train.schedule=alone: one network by name or file, told apart" {
    "$APQ" policy show random:3 --space tiny --json >p.json
    set -- "$ROOT/recipes/tiny.yaml" train.schedule=alone train.epochs=1 --quiet
    "$APQ" train "$@" train.policy=random:3 --run name
    "$APQ" train "$@" train.policy=p.json --run file
    for run in name file; do
        "$APQ" eval --run $run --policy p.json --json | jq .loss >$run.loss
    done
    cmp name.loss file.loss
    # The same network from elsewhere is the same training, another is not.
    "$APQ" train "$@" train.policy=random:3 --run file
    run "$APQ" train "$@" train.policy=smallest --run file
    expect_status 6
    run "$APQ" train "$@" train.policy=none.json --run other
    expect_status 3
    expect_output 'none\.json'
    [ ! -e other ]
}

@test "missing recipe and missing data are exit 3" {
    run "$APQ" run missing.yaml --run out --quiet
    expect_status 3
    run "$APQ" train "$ROOT/recipes/tiny.yaml" --data missing --run out --quiet
    expect_status 3
    expect_output 'missing'
}

@test "data check: counts as JSON" {
    "$APQ" data check --data 'builtin:shapes?train=60&test=20&size=16' \
        --n-val 10 --json --quiet |
        jq -e '.counts == {train: 50, val: 10, test: 20} and .defects == []'
}

@test "training options: choices and truth values, with line and legal ones" {
    printf 'space: tiny\ntrain:\n  flip: sideways\n' >r.yaml
    run "$APQ" run r.yaml --run out --quiet
    expect_status 3
    expect_output 'r\.yaml:3: flip "sideways" is not one of random, alternating'
    printf 'space: tiny\ntrain:\n  crop_reflect: 2\n' >r.yaml
    run "$APQ" run r.yaml --run out --quiet
    expect_status 3
    expect_output 'r\.yaml:3: crop_reflect: .*true or false'
    run "$APQ" run "$ROOT/recipes/tiny.yaml" train.cutout=17 --run out --quiet
    expect_status 3
    expect_output 'cutout 17 is not in 0\.\.16'
}

@test "quantiser and teacher: other names are refused, with line and legal ones" {
    for section in collect finetune; do
        printf 'space: tiny\n%s:\n  quantiser: dorefa\n' $section >r.yaml
        run "$APQ" run r.yaml --run out --quiet
        expect_status 3
        expect_output '^apq: r\.yaml:3: quantiser "dorefa" is not one of apq, lsq$'
        run "$APQ" run "$ROOT/recipes/tiny.yaml" $section.distill=smallest \
            --run out --quiet
        expect_status 3
        expect_output "$section\\.distill \"smallest\" is not one of none, largest"
    done
    [ ! -e out ]
}

@test "each training option makes another supernet" {
    recipe=$ROOT/recipes/tiny.yaml
    train() { # NAME SETTING...
        "$APQ" train "$recipe" "${@:2}" --run "$1" --threads 1 \
            --quiet >"$1.out" || return 1
        # Without the header, which holds the recipe.
        header=$(od -An -tu8 -N8 "$1/supernet.safetensors")
        tail -c "+$((header + 9))" "$1/supernet.safetensors" | md5sum
    }
    usual=$(train usual)
    [ "$(train again)" = "$usual" ]
    all=()
    n=0
    for setting in flip=alternating crop_padding=1 crop_reflect=true cutout=4 distort=trivial \
        weight_average=0.5 residual_zero=true bias_rate=8 distill=alpha \
        lr_schedule=linear final_rate=0.5 stem=whitened stem_frozen_epochs=1; do
        n=$((n + 1))
        all+=("train.$setting")
        other=$(train "run$n" "train.$setting")
        [ "$other" != "$usual" ]
    done
    # All at once: many words, and none keeps another from working.
    other=$(train all "${all[@]}" train.epochs=3 train.batch=40 seed=2 \
        train.momentum=0.8)
    [ "$other" != "$usual" ]
}

@test "dtype: trained in bfloat16, kept in run.json, other names refused" {
    run "$APQ" train "$ROOT/recipes/tiny.yaml" --dtype float16 --run out --quiet
    expect_status 3
    expect_output 'train\.dtype "float16" is not one of float32, bfloat16'
    [ ! -e out ]
    run "$APQ" train "$ROOT/recipes/tiny.yaml" --dtype bfloat16 --backend ref \
        --run ref --quiet
    expect_status 1
    expect_output '"ref" computes in float32 only'
    [ ! -e ref/supernet.safetensors ]
    for dtype in float32 bfloat16; do
        "$APQ" train "$ROOT/recipes/tiny.yaml" --dtype $dtype --run $dtype \
            --threads 1 --quiet
        jq -e --arg d $dtype '.train.dtype == $d' $dtype/run.json
    done
    ! cmp float32/supernet.safetensors bfloat16/supernet.safetensors || false
}

@test "qat_dtype: refused before anything is done, where it cannot be" {
    run "$APQ" train "$ROOT/recipes/tiny.yaml" --backend ref --run out --quiet \
        collect.qat_dtype=bfloat16
    expect_status 1
    expect_output '"ref" computes in float32 only'
    run "$APQ" train "$ROOT/recipes/tiny.yaml" --run out --quiet \
        finetune.dtype=bfloat16 finetune.quantiser=lsq
    expect_status 1
    expect_output 'finetune\.dtype is bfloat16, but quantiser "lsq"'
    [ ! -e out ]
}

@test "qat_dtype: other labels, which a run does not mix; dtype: another network" {
    set -- "$ROOT/recipes/tiny.yaml" --run run --quiet
    "$APQ" run "$@" train.epochs=1 finetune.epochs=1 finetune.baseline=none
    cp run/network.safetensors float32
    "$APQ" finetune --run run --quiet finetune.dtype=bfloat16
    run cmp float32 run/network.safetensors
    expect_status 1
    jq -e '.network.test_count > 0' run/finetune.json
    run "$APQ" finetune --run run --quiet --backend ref finetune.dtype=bfloat16 \
        finetune.seed=7
    expect_status 1
    expect_output '"ref" computes in float32 only'
    "$APQ" eval --run run --quiet --backend ref finetune.dtype=bfloat16 \
        --policy smallest
    run "$APQ" collect --run run --quiet collect.qat_dtype=bfloat16
    expect_status 6
    expect_output 'bfloat16'
}

@test "bench eval: quantised networks in integers" {
    "$APQ" bench eval --space tiny --dtype int8 --threads 1 --json --quiet |
        jq -e '.int8_peak_gops > 0 and ([.results[].bits] == [8,8,8,4,4,4]) and
               all(.results[]; .dtype == "int8" and .images_per_s > 0 and
                               .peak_fraction > 0 and .peak_fraction < 1)'
}

@test "bench train: a table for people" {
    run "$APQ" bench train --space tiny --dtype float32 --threads 1 --quiet
    expect_status 0
    expect_output ', threads 1, batch 128; peak in GFLOP/s: [0-9.]+ in float32$'
    expect_output '^network +type +bits +M MACs +images/s +of the peak +spread$'
    for network in largest middle smallest; do
        expect_output "^$network +float32 +- +0.[0-9]+ +[0-9.]+ +[0-9.]+ +[0-9.]+\$"
    done
}

@test "bench: ends when it is interrupted" {
    run timeout --preserve-status -s INT 1 "$APQ" bench train --space tiny
    expect_status 130
    expect_output '^apq: interrupted$'
}

@test "bench: a dtype that is not there" {
    run "$APQ" bench train --space tiny --dtype int8
    expect_status 2
    expect_output 'int8'
    run "$APQ" bench train --space tiny --dtype bfloat16 --backend ref
    expect_status 1
    expect_output '"ref" computes in float32 only'
}

@test "later steps do not rewrite what the run was trained with" {
    "$APQ" run "$ROOT/recipes/tiny.yaml" train.epochs=1 --run run --quiet
    run "$APQ" predictor fit --run run train.epochs=3 predictor.epochs=2
    expect_status 0
    expect_output 'run/run\.json: not kept, the run is trained: train\.epochs 1, now 3'
    jq -e '.train.epochs == 1 and .predictor.epochs == 2' run/run.json
    run "$APQ" train --run run
    expect_status 0
    # With another momentum it is another network.
    run "$APQ" finetune --run run train.momentum=0.1
    expect_status 0
    [[ $output != *'finetune: done before'* ]]
}

@test "eval: no validation images that the run was trained on" {
    "$APQ" train "$ROOT/recipes/tiny.yaml" train.epochs=1 n_val=6 --run run --quiet
    run "$APQ" eval --run run --policy largest --split val n_val=30
    expect_status 6
    expect_output 'run: made with 6 validation images, not 30'
    "$APQ" eval --run run --policy largest --split val --quiet
    "$APQ" eval --run run --policy largest --split test n_val=30 --quiet
    "$APQ" eval --run run --policy largest --split val --quiet \
        --data 'builtin:shapes?train=100&test=20&seed=9'
}

@test "data check: an archive wrapped twice, with entries for its folders" {
    for class in a b; do
        mkdir -p "outer/inner/$class"
        for i in 1 2; do # one pixel
            base64 -d >"outer/inner/$class/$i.png" <<END
iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==
END
        done
    done
    tar -cf photos.tar outer
    [ "$(tar -tf photos.tar | grep -c '/$')" -eq 4 ]
    "$APQ" data check --data photos.tar --json >check.json || true
    jq -e '[.classes[].name] == ["a", "b"]' check.json
}

@test "--threads 0 is all cores, whatever the run was made with" {
    "$APQ" train "$ROOT/recipes/tiny.yaml" train.epochs=1 --threads 1 --run run --quiet
    jq -e '.threads == 1' run/run.json
    "$APQ" finetune --run run finetune.policy=smallest --threads 0 --quiet
    [ "$(jq -s 'last.threads' run/cost.jsonl)" -eq "$(nproc)" ]
}
