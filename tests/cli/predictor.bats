#!/usr/bin/env bats
# predictor: options of the fit, eval with intervals and plots, curve, and the
# refusal of other spaces, supernets and records.

load 'helper'

setup_file() {
    make_fitted collect.qat_steps=0 collect.active_records=0
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return 1
    printf '%s\n' "$("$APQ" policy show --space tiny --json random:1)" |
        jq -c '.policy // .' >policy.jsonl
}

# fit NAME KEY=VALUE ...: a copy of the run with another predictor.
fit() {
    name=$1
    shift
    cp -r "$RUN" "$name"
    "$APQ" predictor fit --run "$name" --quiet "$@"
}

# Metadata and tensor names of a predictor.
header() {
    tail -c +9 "$1" | head -c "$(od -An -tu8 -N8 "$1" | tr -d ' ')"
}

@test "eval of a run: held-out records, intervals, the ceiling, a picture" {
    before=$(cksum <"$RUN/run.db")
    "$APQ" predictor eval --run "$RUN" --json --plot e.png >e.json
    jq -e '.count == 3
        and (.interval_95 | keys == ["kendall_tau", "pairwise_accuracy", "rmse"])
        and .interval_95.rmse[0] <= .rmse and .rmse <= .interval_95.rmse[1]
        and .label_noise.noise > 0 and .label_noise.pairwise_ceiling <= 1' \
        e.json
    # The fit reported the same records.
    jq -e --slurpfile e e.json '.quantised.n_test == 3
        and (.quantised.rmse - $e[0].rmse | fabs) < 1e-5' "$RUN/predictor.json"
    # Repeats tell of more noise, as the report does, and make no other records.
    cp -r "$RUN" twice
    "$APQ" collect --run twice --quiet collect.repeats=6
    "$APQ" report --run twice --json >report.json
    "$APQ" predictor eval --run twice --json | jq -e --slurpfile e e.json \
        --slurpfile r report.json '.rmse == $e[0].rmse and
        ($r[0].labels.quantised.accuracy.repeat_error as $repeat |
            $repeat > 0 and ((.label_noise.noise | . * .) -
                ($e[0].label_noise.noise | . * .) - $repeat * $repeat |
                . < 1e-9 and . > -1e-9))'
    grep -q 'measured top-1 accuracy \[%\]' e.svg
    grep -q 'predicted top-1 accuracy \[%\]' e.svg
    [ "$(stat -c %s e.png)" -gt 2000 ]
    "$APQ" predictor eval --run "$RUN" --float --json | jq -e '.count == 3'
    [ "$before" = "$(cksum <"$RUN/run.db")" ]
    run "$APQ" predictor eval --run "$RUN"
    expect_known
    expect_output '^RMSE [0-9.]+ points \[[0-9.]+, [0-9.]+\]$'
    expect_output '^labels: standard error'
}

@test "a predictor says what it was made of, and by which version" {
    version=$("$APQ" --version | awk '{ print $2; exit }')
    header "$RUN/predictor.safetensors" | jq -e --arg v "$version" \
        '.__metadata__ | .metric == "top1" and .tool_version == $v and
        .space == "tiny" and has("supernet_hash") and has("records_hash")'
    "$APQ" predictor import --predictor "$P" --space tiny --out i.safetensors
    header i.safetensors | jq -e --arg v "$version" '.__metadata__ |
        .metric == "top1" and .tool_version == $v and has("imported_hash")'
}

@test "eval of a file: the ceiling only where all image counts are known" {
    p=$(cat policy.jsonl)
    for a in 0.5 0.6 0.7; do
        printf '{"policy":%s,"accuracy":%s,"count":100}\n' "$p" $a
    done >all.jsonl
    sed '2s/,"count":100//' all.jsonl >some.jsonl
    "$APQ" predictor eval --predictor "$P" --records all.jsonl --json |
        jq -e '.count == 3 and .label_noise.noise > 0.04 and
            (.by_difference | map(.pairs) == [0, 0, 3]) and
            .by_difference[0].pairwise_accuracy == null and
            .by_difference[1].up_to == 2 * .label_noise.noise'
    # One network measured thrice: not told apart, half right. One record has
    # no order, and no interval.
    run "$APQ" predictor eval --predictor "$P" --records all.jsonl
    expect_output '^pairwise accuracy 50\.00 % \[50\.00, 50\.00\]$'
    head -1 all.jsonl >one.jsonl
    run "$APQ" predictor eval --predictor "$P" --records one.jsonl
    expect_output '^pairwise accuracy not known: no two records differ$'
    expect_output '^RMSE [0-9.]+ points$'
    "$APQ" predictor eval --predictor "$P" --records one.jsonl --json |
        jq -e '.pairwise_accuracy == null and
            .interval_95.rmse == [null, null] and .rmse >= 0'
    "$APQ" predictor eval --predictor "$P" --records some.jsonl --json |
        jq -e '.count == 3 and .label_noise == null and .by_difference == null'
    "$APQ" predictor eval --predictor "$P" --records all.jsonl --json --seed 4 \
        >1.json
    "$APQ" predictor eval --predictor "$P" --records all.jsonl --json --seed 4 \
        >2.json
    cmp 1.json 2.json
    # Records say of what they are: float ones are judged by themselves.
    (cat all.jsonl; sed '1s/{/{"kind":"float",/; 2s/{/{"kind":"qat",/; 3d' \
        all.jsonl) >kinds.jsonl
    for n in 4: '4:--float'; do
        "$APQ" predictor eval --predictor "$P" --records kinds.jsonl \
            ${n#*:} --json | jq -e ".count == ${n%:*}"
    done
    # Per cent are no fractions.
    sed 's/0\.6/60/' all.jsonl >percent.jsonl
    run "$APQ" predictor eval --predictor "$P" --records percent.jsonl
    expect_status 3
    expect_output 'percent.jsonl:2: accuracy 60, legal 0 \.\.\. 1'
    sed 's/100/0/' all.jsonl >none.jsonl
    run "$APQ" predictor eval --predictor "$P" --records none.jsonl
    expect_status 3
    expect_output 'none.jsonl:1: count'
}

@test "another supernet, other records and another space are exit 6" {
    cp -r "$RUN" other
    printf x >>other/supernet.safetensors
    run "$APQ" search --run other --predictor "$P" --iterations 3 --quiet
    expect_status 6
    expect_output "fitted to the supernet of hash .*, other/supernet"
    run "$APQ" search --run other --iterations 3 --quiet
    expect_status 6
    run "$APQ" predict --run other --specs policy.jsonl
    expect_status 6
    run "$APQ" predictor eval --run other
    expect_status 6
    expect_output 'fitted to the supernet of hash'
    # Without a run there is no supernet to compare with.
    "$APQ" search --space tiny --predictor "$P" --iterations 3 --quiet
    # Records of another supernet.
    printf '{"policy":%s,"accuracy":0.5,"weights_hash":"00ff"}\n' \
        "$(cat policy.jsonl)" >r.jsonl
    run "$APQ" predictor eval --predictor "$P" --records r.jsonl
    expect_status 6
    expect_output 'r.jsonl:1: measured with the supernet of hash 00ff'
    # An import keeps what the file was fitted to.
    "$APQ" predictor import --predictor "$P" --space tiny --out p.safetensors
    run "$APQ" predictor eval --predictor p.safetensors --records r.jsonl
    expect_status 6
    # Records that were added since.
    cp -r "$RUN" more
    "$APQ" collect --run more --quiet collect.quantised_records=26 \
        collect.qat_steps=0 collect.active_records=0
    run "$APQ" predictor eval --run more
    expect_status 6
    expect_output 'fitted to the records of hash'
    run "$APQ" predictor eval --run "$RUN" --space cifar10
    expect_status 6
    expect_output "made for space 'tiny' .*, used with 'cifar10'"
}

@test "predict --run: the run's space may be a file" {
    sed 's/^name:.*/name: mine/' "$ROOT/configs/spaces/tiny.yaml" >mine.yaml
    "$APQ" train "$ROOT/recipes/tiny.yaml" --space ./mine.yaml --run own --quiet
    "$APQ" collect --run own --quiet collect.qat_steps=0 \
        collect.float_records=6 collect.quantised_records=6 \
        collect.active_records=0
    "$APQ" predictor fit --run own --quiet
    "$APQ" policy show --space ./mine.yaml --json random:1 |
        jq -c '.policy // .' >own.jsonl
    "$APQ" predict --run own --specs own.jsonl | jq -e 'has("accuracy")'
    "$APQ" collect export --run own --format jsonl >records.jsonl
    set -- --run own --predictor own/predictor.safetensors
    "$APQ" predictor eval "$@" --records records.jsonl --json |
        jq -e '.count == 6'
    "$APQ" predictor import "$@" --out p.safetensors | jq -e .predictor
    run "$APQ" predict --run own --specs policy.jsonl
    expect_status 3
    expect_output "of space 'tiny', expected 'mine'"
}

@test "where none were held out no quality is told" {
    cp -r "$RUN" none
    run "$APQ" predictor fit --run none predictor.held_out=0
    expect_status 0
    expect_output '^predictor on 24 float records: none held out$'
    expect_output '^predictor on 24 quantised records: none held out$'
    [[ $output != *accuracy* ]]
    jq -e 'all(.float, .quantised; .n_train > 20 and .n_test == 0
        and has("rmse") and .rmse == null and .kendall_tau == null
        and .pairwise_accuracy == null)' none/predictor.json
    "$APQ" report --run none --json |
        jq -e 'all(.records.rows[]; .is_held_out == false)'
    # Also of a file that tells how the fit does on its own records.
    sed -i 's/null/0.5/' none/predictor.json
    "$APQ" report --run none >report.md
    grep -qE '^\| quantised \| +24 \| +0( \| +-){3} \|$' report.md
    grep -qE '^\| float +\| +24 \| +0( \| +-){3} \|$' report.md
}

@test "what was held out is the fit's: --seed draws only the intervals" {
    "$APQ" predictor eval --run "$RUN" --json >1.json
    "$APQ" predictor eval --run "$RUN" --json --seed 77 >2.json
    jq -e --slurpfile other 2.json '.rmse == $other[0].rmse' 1.json
    run "$APQ" predictor eval --run "$RUN" predictor.held_out=0.5
    expect_status 2
    cp -r "$RUN" other
    sed -i 's/"held_out": [0-9.]*/"held_out": 0.5/' other/run.json
    run "$APQ" predictor eval --run other
    expect_status 6
    expect_output 'fitted with another seed or other settings'
}

@test "an ensemble predicts the mean and says its deviation" {
    "$APQ" predict --predictor "$P" --specs policy.jsonl --json |
        jq -e 'has("accuracy_std") | not'
    fit three predictor.ensemble=3
    "$APQ" predict --run three --specs policy.jsonl --json |
        jq -e '.accuracy_std > 0 and .accuracy_std < 0.5'
    header three/predictor.safetensors | jq -e \
        '.__metadata__.ensemble == "3" and has("members.2.regressor.bias")
        and (has("members.3.regressor.bias") | not)'
    "$APQ" search --run three --iterations 3 --json --quiet >b.json
    jq -c .policy b.json >best.jsonl
    "$APQ" predict --run three --specs best.jsonl |
        jq -e --slurpfile b b.json \
            '(.accuracy - $b[0].predicted_accuracy) | fabs < 1e-7'
    "$APQ" predictor eval --run three --json | jq -e '.count == 3'
    run "$APQ" predictor fit --run three --quiet predictor.ensemble=0
    expect_status 3
}

@test "each option of the fit makes another predictor, the defaults the same" {
    fit same predictor.transfer=true predictor.width_code=onehot \
        predictor.loss=mse predictor.ensemble=1 predictor.frozen=false \
        predictor.bit_code=onehot
    cmp "$P" same/predictor.safetensors
    for setting in transfer=false width_code=ordinal loss=pairwise \
        frozen=true bit_code=shared; do
        rm -rf other
        fit other "predictor.$setting"
        if cmp "$P" other/predictor.safetensors; then
            return 1
        fi
        "$APQ" predictor eval --run other --json | jq -e '.rmse < 0.2'
    done
    fit scratch predictor.transfer=false
    jq -e '(has("float") | not) and .quantised.n_train > 0' \
        scratch/predictor.json
    run "$APQ" predictor fit --run scratch --quiet predictor.loss=hinge
    expect_status 3
    expect_output 'loss "hinge" is not one of mse, pairwise'
}

@test "curve: both arms on the same test records, JSON and pictures" {
    "$APQ" predictor curve --run "$RUN" --sizes 8,16 --seeds 2 --quiet \
        --threads 1 --json --out c.json --plot c >1.json
    jq -e '.seeds == 2 and .test_records == 6 and .pool_records == 18
        and [.sizes[].quantised_records] == [8, 16]
        and all(.sizes[]; .transfer.rmse.value > 0
            and (.transfer.kendall_tau.value - .scratch.kendall_tau.value
                - .difference.kendall_tau.value | fabs) < 1e-9)' 1.json
    jq -e '.sizes[0].scratch.rmse.interval_95 | length == 2' c.json
    for file in c.svg c.png c.pdf c-tau.svg c-tau.png c-rmse.svg c-rmse.png; do
        [ "$(stat -c %s $file)" -gt 2000 ]
    done
    "$APQ" predictor curve --run "$RUN" --sizes 8,16 --seeds 2 --quiet \
        --threads 2 --json >2.json
    cmp 1.json 2.json
    run "$APQ" predictor curve --run "$RUN" --sizes 8 --seeds 1 --quiet
    expect_known
    expect_output '^ +8 difference '
}

@test "curve: wrong sizes and missing records in one line" {
    run "$APQ" predictor curve --run "$RUN" --sizes 8,19 --quiet
    expect_status 3
    expect_output 'size 19 is not within 4\.\.18'
    for sizes in 8,x x 8,,9 -4; do
        run "$APQ" predictor curve --run "$RUN" "--sizes=$sizes" --quiet
        expect_status 3
        expect_output '^apq: --sizes: '
    done
    run "$APQ" predictor curve --quiet
    expect_status 2
    run "$APQ" predictor curve --run missing --quiet
    expect_status 3
    expect_output 'missing: no such run directory'
    [ ! -e missing ]
}

@test "the whole method by each way to a predictor: a row a budget" {
    need sqlite3
    compare=(sh "$ROOT/benchmarks/end_to_end.sh"
        'builtin:shapes?train=600&test=200&size=16&seed=1' "$RUN" out '0.008 0.012'
        '1 2' more="$RUN",predictor.hidden=20,predictor.ensemble=2)
    export APQ
    run "${compare[@]}"
    expect_known
    [ "$(cut -f 1,2 <<<"$output" | tail -n +2 | tr '\t\n' ': ')" = \
        'transfer:0.008 transfer:0.012 scratch:0.008 scratch:0.012 more:0.008 more:0.012 ' ]
    [ "$(cut -f 5 <<<"$output" | grep -cxE '[0-9.]+ [0-9.]+')" -eq 6 ]
    header out/more-0.012/predictor.safetensors |
        jq -e '.__metadata__.ensemble == "2"'
    # What is finished is not made again.
    before=$(stat -c %Y,%i out/more-0.012/tuned-2.json)
    run "${compare[@]}"
    expect_known
    [ "$before" = "$(stat -c %Y,%i out/more-0.012/tuned-2.json)" ]
}
