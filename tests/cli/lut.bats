#!/usr/bin/env bats
# lut: tables stand in for their targets, survive kills, and are refused when
# they do not fit. Exit codes of docs/automation.md.

load 'helper'

setup_file() {
    cd "$BATS_FILE_TMPDIR" || return 1
    "$APQ" lut build --space tiny --target bitfusion -o tiny.jsonl --quiet
    "$APQ" lut build --space cifar10 --target bitfusion -o cifar10.jsonl --quiet
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return 1
    TINY=$BATS_FILE_TMPDIR/tiny.jsonl
    CIFAR=$BATS_FILE_TMPDIR/cifar10.jsonl
    GOLDEN=$ROOT/tests/golden/bitfusion_lut.dict
}

@test "costs from the table equal those of the model" {
    for target in bitfusion "$CIFAR"; do
        "$APQ" cost --space cifar10 --target "$target" --range --json \
            >"$(basename "$target").range"
        "$APQ" search --space cifar10 --target "$target" --latency-ms 0.4 \
            --iterations 15 --json --quiet |
            jq 'del(.seconds, .history[].seconds)' \
                >"$(basename "$target").search"
        jq -c .policy "$(basename "$target").search" >policy.jsonl
        "$APQ" cost --space cifar10 --target "$target" --specs policy.jsonl \
            --json >"$(basename "$target").cost"
    done
    for what in range search cost; do
        [ -s "bitfusion.$what" ]
        cmp "bitfusion.$what" "cifar10.jsonl.$what"
    done
}

@test "bench takes a table" {
    "$APQ" bench cost --space tiny --target "$TINY" --json --quiet |
        jq -e '.results | length == 4'
}

@test "a table of another space is exit 6 wherever a target is taken" {
    run "$APQ" cost --space cifar10 --target "$TINY" --range
    expect_status 6
    expect_output 'is of space tiny .* not of cifar10'
    run "$APQ" search --space cifar10 --target "$TINY" --latency-ms 1
    expect_status 6
    run "$APQ" bench cost --space cifar10 --target "$TINY"
    expect_status 6
    run "$APQ" lut build --space cifar10 --target "$TINY" -o x.jsonl
    expect_status 6
    run "$APQ" run "$ROOT/recipes/tiny.yaml" --run r --target "$CIFAR" --quiet
    expect_status 6
    [ ! -e r ]
    run "$APQ" lut check "$TINY" --space cifar10
    expect_status 6
    [ ! -e x.jsonl ]
}

@test "a file that is not there is exit 3, whatever it is called" {
    run "$APQ" lut show write.jsonl
    expect_status 3
}

@test "a table cut short, or not there, is exit 3" {
    head -c 100000 "$TINY" >cut.jsonl
    run "$APQ" cost --space tiny --target cut.jsonl --range
    expect_status 3
    expect_output '^apq: cut.jsonl:[0-9]+: .*file cut short'
    head -n 100 "$TINY" >cut.jsonl
    for command in check show; do
        run "$APQ" lut "$command" cut.jsonl
        expect_status 3
        expect_output 'cut.jsonl:100: 99 rows, but the header says 500'
    done
    run "$APQ" cost --space tiny --target missing.jsonl --range
    expect_status 3
    sed '1s/"target":"bitfusion"/"target":"bit\\nfusion"/' "$TINY" >odd.jsonl
    run "$APQ" lut show odd.jsonl
    expect_status 3
    expect_output "^apq: odd.jsonl:1: 'target' has a control character$"
    sed 's/"is_complete":true/"is_complete":false/' "$TINY" >part.jsonl
    run "$APQ" cost --space tiny --target part.jsonl --range
    expect_status 3
    expect_output 'unfinished'
}

@test "killed with kill -9 and started again: the same file" {
    # Writing the part after every layer makes the build slow enough to hit.
    "$APQ" lut build --space cifar10 -o t.jsonl --save-every 0 --quiet \
        >/dev/null 3>&- &
    pid=$!
    wait_for has_lines 21 t.jsonl.part
    kill -9 "$pid"
    wait "$pid" || true
    [ ! -e t.jsonl ]
    run "$APQ" cost --space cifar10 --target t.jsonl.part --range
    expect_status 3
    n=$("$APQ" lut build --space cifar10 -o t.jsonl --json --quiet |
        jq .resumed)
    [ "$n" -gt 10 ]
    [ "$n" -lt 2983 ]
    [ ! -e t.jsonl.part ]
    sed 's/"date":"[^"]*"//' t.jsonl >resumed
    sed 's/"date":"[^"]*"//' "$CIFAR" >whole
    cmp resumed whole
}

@test "the part of another build is exit 6 and stays" {
    sed '1s/"is_complete":true/"is_complete":false/' "$TINY" >t.jsonl.part
    run "$APQ" lut build --space cifar10 -o t.jsonl
    expect_status 6
    expect_output 't.jsonl.part is of target bitfusion .*space tiny'
    [ -s t.jsonl.part ]
    [ ! -e t.jsonl ]
}

@test "a finished table is built once, and never replaced by another" {
    cp "$TINY" t.jsonl
    run "$APQ" lut build --space tiny -o t.jsonl
    expect_status 0
    expect_output '^t\.jsonl: built before, 500 layers, 0 of them not executed'
    "$APQ" lut build --space tiny -o t.jsonl --json | jq -e .built_before
    for other in '--space cifar10' '--space tiny --width-step 16' \
        "--space tiny --target $TINY"; do
        # Options and their values.
        # shellcheck disable=SC2086
        run "$APQ" lut build $other -o t.jsonl
        expect_status 6
        expect_output '^apq: t\.jsonl .*; remove it to build another table$'
        [ "${#lines[@]}" -eq 1 ]
    done
    echo 'my notes' >notes
    run "$APQ" lut build --space tiny -o notes
    expect_status 3
    expect_output '^apq: notes:1: .*; remove it to build a table in its place$'
    cmp "$TINY" t.jsonl
    [ "$(cat notes)" = 'my notes' ]
    [ ! -e t.jsonl.part ]
}

@test "a table that cannot be written is refused at once" {
    run "$APQ" lut build --space tiny -o missing/t.jsonl
    expect_status 3
    expect_output 'missing/t.jsonl.part: cannot create'
}

@test "a coarse table reports its error and prices between its widths" {
    "$APQ" lut build --space cifar10-small --width-step 16 -o c.jsonl --json \
        --quiet | jq -e '.rows < 1700 and .interpolation.latency_ms.layers > 1000
        and .interpolation.latency_ms.median < 0.01
        and .interpolation.latency_ms.p95 <= .interpolation.latency_ms.max
        and .interpolation.energy_mj.max < 0.25'
    full=$("$APQ" cost --space cifar10 --target "$CIFAR" --range --json |
        jq .high.latency_ms)
    "$APQ" cost --space cifar10 --target c.jsonl --range --json |
        jq -e ".high.latency_ms / $full | . > 0.9 and . < 1.1"
    run "$APQ" lut build --space tiny --width-step 16 -o d.jsonl --quiet
    expect_output '^interpolated latency of [0-9]+ layers is off by '
    run "$APQ" lut build --space cifar10 --width-step 12 -o d.jsonl
    expect_status 3
    expect_output 'width step 12 is not a multiple of 8'
}

@test "import and export keep every key and value" {
    "$APQ" lut import --format apq-dict "$GOLDEN" -o t.jsonl --quiet
    "$APQ" lut export --format apq-dict t.jsonl -o t.dict --quiet
    jq -c . "$GOLDEN" >theirs
    jq -c . t.dict >ours
    cmp theirs ours
    # Half a table cannot price the space, and says which layer it lacks.
    for what in --range "--specs $ROOT/tests/golden/apq_policies.jsonl"; do
        # An option and its value.
        # shellcheck disable=SC2086
        run "$APQ" cost --space imagenet-apq --target t.jsonl $what
        expect_status 6
        expect_output '^apq: .*pointwise .*not in the table of bitfusion'
        [ "${#lines[@]}" -eq 1 ]
    done
    run "$APQ" lut check t.jsonl --rows 0 --json --quiet
    expect_status 5
    jq -e '.asked == 60 and .disagrees.count == 0 and .missing.count > 0' \
        <<<"$output"
    "$APQ" lut export --format csv t.jsonl -o t.csv --quiet
    [ "$(wc -l <t.csv)" -eq 61 ]
    [ "$(cut -d, -f1-3 t.csv | head -n 1)" = kind,input_image,act_signed ]
}

@test "a whole table in the authors' format prices as the model" {
    "$APQ" lut build --space imagenet-apq -o a.jsonl --quiet
    "$APQ" lut export --format apq-dict a.jsonl -o a.dict --quiet
    jq -e 'length == 6569' a.dict
    "$APQ" lut import --format apq-dict a.dict -o b.jsonl --quiet
    policies=$ROOT/tests/golden/apq_policies.jsonl
    for target in bitfusion b.jsonl; do
        "$APQ" cost --space imagenet-apq --target "$target" \
            --specs "$policies" --json >"$target.cost"
    done
    cmp bitfusion.cost b.jsonl.cost
}

@test "a bad .dict is exit 3 and leaves nothing" {
    printf '{"(8, 16, 7, 3, 1, 0, 1)-W4A4": {"energy": 1, "latency": 1}}' >bad
    run "$APQ" lut import bad -o t.jsonl
    expect_status 3
    expect_output "^apq: bad: key '\(8, 16, 7, 3, 1, 0, 1\)-W4A4' is not"
    head -c 500 "$GOLDEN" >bad
    run "$APQ" lut import bad -o t.jsonl
    expect_status 3
    expect_output '^apq: bad:[0-9]+: not JSON'
    run "$APQ" lut import missing -o t.jsonl
    expect_status 3
    run "$APQ" lut export --format apq-dict "$CIFAR" -o t.dict
    expect_status 3
    expect_output 'holds convolutions only'
    [ -z "$(find . -name 't.*')" ]
}

@test "check: values that changed are exit 5" {
    "$APQ" lut check "$TINY" --rows 0 --json --quiet | jq -e '.asked == 500
        and .disagrees.count == 0 and .missing.count == 0'
    # Row 100 costs a hundredth more.
    jq -c 'if input_line_number == 101 then .latency_ms *= 1.01 else . end' \
        "$TINY" >t.jsonl
    run "$APQ" lut check t.jsonl --rows 0
    expect_status 5
    expect_output '^1 rows that differ beyond the spread'
    run "$APQ" lut check t.jsonl --rows 0 --tolerance 0.02
    expect_status 0
    # A spread that covers the difference is no disagreement.
    jq -c 'if input_line_number == 101 then
        .latency_spread_ms = .latency_ms / 100 else . end' t.jsonl >s.jsonl
    run "$APQ" lut check s.jsonl --rows 0
    expect_status 0
    # Energy that the table does not know cannot disagree.
    sed -E 's/"energy_(spread_)?mj":[0-9.e+-]+/"energy_\1mj":null/g' "$TINY" \
        >n.jsonl
    run "$APQ" lut check n.jsonl --rows 0 --quiet
    expect_status 0
    expect_output 'difference 0 % in latency, - in energy$'
    jq -c 'if input_line_number == 101 then .latency_ms *= 2 else . end' \
        n.jsonl >m.jsonl
    run "$APQ" lut check m.jsonl --rows 0 --quiet
    expect_status 5
    expect_output ': [0-9.e-]+ ms and [0-9.e-]+ mJ, the table says [0-9.e-]+ ms$'
    for command in 'lut show n.jsonl --rows' \
        'cost --space tiny --target n.jsonl --range' \
        'cost --space tiny --target n.jsonl --bit-pairs'; do
        # Several words.
        # shellcheck disable=SC2086
        run "$APQ" $command
        expect_known
    done
    run "$APQ" search --space tiny --target n.jsonl --energy-mj 1
    expect_status 3
    expect_output 'gives no energy_mj'
    "$APQ" cost --space tiny --target n.jsonl --range --json |
        jq -e '.low.energy_mj == null and .low.latency_ms > 0'
    # One table against another.
    run "$APQ" lut check "$TINY" --target t.jsonl --rows 0
    expect_status 5
}

@test "--run: the space of a table may be the run's file" {
    sed 's/^name:.*/name: mine/' "$ROOT/configs/spaces/imagenet-apq.yaml" \
        >mine.yaml
    mkdir r
    echo '{"space": "./mine.yaml"}' >r/run.json
    "$APQ" lut import "$GOLDEN" -o t.jsonl --run r --quiet
    head -1 t.jsonl | jq -e '.space == "mine"'
    run "$APQ" lut check t.jsonl --rows 1 --quiet --run r
    expect_status 5
    expect_output '^[1-9][0-9]* layers of the space that are missing$'
    "$APQ" lut check t.jsonl --rows 1 --quiet # not looked for
}

@test "show: summary, filters and rows" {
    # With the layers that the target cannot run.
    sed 's/^forbid_kernel7_dw_act4: .*/forbid_kernel7_dw_act4: false/' \
        "$ROOT/configs/spaces/cifar10.yaml" >free.yaml
    "$APQ" lut build --space free.yaml --target bitfusion -o free.jsonl --quiet
    CIFAR=free.jsonl
    run "$APQ" lut show "$CIFAR"
    expect_status 0
    expect_output '^target bitfusion .*space cifar10'
    expect_output '^depthwise +4861 +540 '
    "$APQ" lut show "$CIFAR" --kind depthwise --kernel 5 --rows --json |
        jq -e '.rows == 7636 and (.kinds | length) == 1
            and .kinds[0].kind == "depthwise"
            and (.layers | length) == .kinds[0].rows
            and all(.layers[]; .kernel == 5 and .latency_ms > 0)'
    "$APQ" lut show "$CIFAR" --kernel 7 --act-bits 4 --rows --json |
        jq -e 'all(.layers[]; .supported == false) and (.layers | length) == 540'
}

@test "wrong usage is exit 2" {
    run "$APQ" lut
    expect_status 2
    expect_output 'one of build, check, show, import, export'
    run "$APQ" lut biuld
    expect_status 2
    run "$APQ" lut build --space tiny
    expect_status 2
    expect_output '^apq lut build: --out FILE is required \(see apq lut build'
    run "$APQ" lut show
    expect_status 2
    run "$APQ" lut export --format csv -o x
    expect_status 2
    run "$APQ" lut show "$TINY" --kind dense
    expect_status 2
    for part in build check show import export; do
        run "$APQ" lut "$part" --help
        expect_status 0
        [[ "${lines[1]}" == "  apq lut $part "* ]]
    done
}
