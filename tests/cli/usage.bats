#!/usr/bin/env bats
# Wrong usage is exit 2 with the nearest match; help begins with examples.

load 'helper'

@test "no command: help on standard error, exit 2" {
    run "$APQ"
    expect_status 2
    expect_output '^Usage: apq COMMAND'
}

@test "an unknown command names the nearest one" {
    run "$APQ" serach
    expect_status 2
    expect_output 'unknown command "serach"; did you mean search\?'
}

@test "an unknown option names the nearest one" {
    run "$APQ" search --latency-sm 1
    expect_status 2
    expect_output 'unknown option --latency-sm; did you mean --latency-ms\?'
}

@test "what is no slip gets no hint" {
    run "$APQ" apq
    expect_status 2
    expect_output '^apq: unknown command "apq" \(see apq --help\)$'
    run "$APQ" list --foo
    expect_status 2
    expect_output '^apq list: unknown option --foo \(see'
    run "$APQ" cost --range --target nope
    expect_status 3
    expect_output "unknown target 'nope'; a file needs"
    run "$APQ" bench cost --backend foo
    expect_status 3
    expect_output 'backend "foo" is not one of auto, cpu, ref$'
}

@test "values are checked against their range" {
    run "$APQ" search --population 1
    expect_status 2
    expect_output '"1" is not an integer in 2 \.\.\. 100000'
    run "$APQ" search --latency-ms nan
    expect_status 2
    run "$APQ" search --latency-ms 1x
    expect_status 2
    run "$APQ" search --seed -1
    expect_status 2
    run "$APQ" search --latency-ms
    expect_status 2
    expect_output 'needs a value'
}

@test "missing required options and stray words are refused" {
    run "$APQ" encode --space tiny
    expect_status 2
    expect_output '--specs FILE is required'
    run "$APQ" doctor now
    expect_status 2
    run "$APQ" list
    expect_status 2
    run "$APQ" bench nothing
    expect_status 2
    run "$APQ" bench cost --space tiny --dtype float32
    expect_status 2
    expect_output '--dtype: of bench train, eval and infer only'
    run "$APQ" bench eval --space tiny --dtype float16
    expect_status 2
    expect_output 'float32, bfloat16'
    run "$APQ" train recipes/tiny.yaml
    expect_status 2
    expect_output '--run DIR is required'
}

@test "every command's help begins with examples" {
    for command in search cost encode policy predict run train collect \
        predictor finetune eval report bench data list doctor lut export \
        verify; do
        run "$APQ" "$command" --help
        expect_status 0
        [ "${lines[0]}" = 'Examples:' ]
        [[ "${lines[1]}" == "  apq $command"* ]] ||
            [[ "${lines[1]}" == "  jq"* ]]
    done
}

@test "parts of commands have a help of their own" {
    for part in 'lut build' 'lut check' 'lut show' 'lut import' 'lut export' \
        'predictor fit' 'predictor eval' 'predictor curve' \
        'predictor import' 'collect export' 'collect import'; do
        # The name is two words.
        # shellcheck disable=SC2086
        run "$APQ" $part --help
        expect_status 0
        expect_output "^Usage: apq $part"
        run "$APQ" "${part% *}" --help
        expect_output "^  $part +[a-z]"
    done
    run "$APQ" predictor eval --sizes 1
    expect_status 2
    expect_output '^apq predictor eval: unknown option --sizes'
    for command in lut predictor; do
        run "$APQ" "$command" frobnicate
        expect_status 2
        expect_output "^apq $command: $command what\\? one of [a-z]+, "
    done
}

@test "help and version are told, and work" {
    for words in '--help' 'help'; do
        run "$APQ" $words
        expect_status 0
        expect_output '^ +apq help \[COMMAND\]$'
        expect_output '^ +apq version \| --version$'
    done
    [ "$("$APQ" version)" = "$("$APQ" --version)" ]
    diff <("$APQ" help lut) <("$APQ" lut --help)
}

@test "a full disk behind standard output is exit 1" {
    [ -w /dev/full ] || skip 'needs a writable /dev/full'
    run sh -c '"$APQ" list spaces >/dev/full'
    expect_status 1
    expect_output '^apq: cannot write to standard output: No space left on device$'
    # More than fits in a buffer.
    run sh -c '"$APQ" report --json >/dev/full'
    expect_status 1
    expect_output ': No space left on device$'
}

@test "a reader that has seen enough ends a command quietly" {
    # A pipe that nobody reads from.
    mkfifo pipe
    exec 8<>pipe 9>pipe 8<&-
    for words in 'list spaces' 'report --json' --help; do
        # $words are several.
        # shellcheck disable=SC2086
        status=0
        "$APQ" $words >&9 2>err || status=$?
        [ "$status" -eq 141 ] # as of SIGPIPE
        [ ! -s err ]
    done
    # What a run has come to is saved first.
    status=0
    "$APQ" run "$ROOT/recipes/tiny.yaml" --run run --quiet >&9 2>err || status=$?
    [ "$status" -eq 141 ]
    [ ! -s err ]
    exec 9>&-
    [ -s run/report.html ]
}

@test "doctor and list print valid JSON" {
    "$APQ" doctor --json | jq -e '.machine.threads >= 1 and .backends.ref'
    for kind in spaces targets strategies datasets backends; do
        "$APQ" list "$kind" --json | jq -e 'length > 0 and .[0].name != ""'
    done
}
