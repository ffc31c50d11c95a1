#!/bin/sh
# The whole method at several budgets: for each latency and each way to get an
# accuracy predictor a search, and its winner fine-tuned with several seeds.
# Each network reads the test images once.
#   end_to_end.sh DATA RUN OUT [LATENCIES [SEEDS [WAY=RUN[,KEY=VALUE...]...]]]
# RUN has a supernet and its records (apq run, apq collect). The ways are
# `transfer` and `scratch`, predictors of RUN's records with and without
# transfer from float ones; WAY=RUN adds another run with records of the same
# space, for example one whose quantised labels come from a bit-shared
# supernet, and keys for its predictor. Runs are kept in OUT, a finished one is not repeated. APQ is the
# program.
set -eu

if [ $# -lt 3 ]; then
    echo 'usage: end_to_end.sh DATA RUN OUT [LATENCIES [SEEDS [WAY=RUN[,KEY=VALUE...]...]]]' >&2
    exit 2
fi
apq=${APQ:-build/apq}
data=$1
run=$2
out=$3
latencies=${4:-'0.4 0.7 1.2'}
seeds=${5:-'1 2'}
shift 3
[ $# -eq 0 ] || shift
[ $# -eq 0 ] || shift
mkdir -p "$out"

# prepare RUN DIR: a run directory with all that comes before the predictor.
prepare() {
    [ -d "$2" ] && return
    rm -rf "$2.part"
    mkdir "$2.part"
    sqlite3 "$1/run.db" "vacuum into '$2.part/run.db'"
    cp "$1/supernet.safetensors" "$1/manifest.json" "$1/run.json" "$2.part"
    mv "$2.part" "$2"
}

# way NAME RUN KEY=VALUE...
way() {
    name=$1
    from=$2
    shift 2
    for latency in $latencies; do
        dir=$out/$name-$latency
        prepare "$from" "$dir"
        "$apq" predictor fit --run "$dir" --data "$data" "$@" --quiet \
            >"$dir/fit.txt"
        "$apq" search --run "$dir" --data "$data" "$@" \
            --latency-ms "$latency" --quiet >"$dir/search.txt"
        for seed in $seeds; do
            [ -f "$dir/tuned-$seed.json" ] && continue
            "$apq" finetune --run "$dir" --data "$data" "$@" \
                search.latency_ms="$latency" finetune.baseline=none \
                finetune.seed="$seed" --quiet >"$dir/tune.txt"
            cp "$dir/finetune.json" "$dir/tuned-$seed.json"
        done
        row "$name" "$latency" "$dir"
    done
}

# Core-seconds are of the predictor and the search alone.
row() {
    jq -rn --arg name "$1" --arg latency "$2" --slurpfile best "$3/best.json" \
        --slurpfile cost "$3/cost.jsonl" '
        [inputs.network.test_top1 * 100] as $top1 |
        ($cost | map(select(.step == "predictor" or .step == "search").core_s)
            | add) as $core |
        [$name, $latency, ($best[0].cost.latency_ms * 1e4 | round / 1e4),
         ($best[0].predicted_accuracy * 1e4 | round / 100),
         ($top1 | map(. * 100 | round / 100 | tostring) | join(" ")),
         ($top1 | add / length * 100 | round / 100),
         ($core * 10 | round / 10)] | @tsv' "$3"/tuned-*.json
}

printf 'way\tbudget ms\tms\tpredicted %%\ttest %%\tmean %%\tsearch core-s\n'
way transfer "$run" predictor.transfer=true
way scratch "$run" predictor.transfer=false
for more in "$@"; do
    run_and_keys=${more#*=}
    run=${run_and_keys%%,*}
    keys=$(printf %s "${run_and_keys#"$run"}" | tr , ' ')
    # Keys have no spaces.
    # shellcheck disable=SC2086
    way "${more%%=*}" "$run" predictor.transfer=true $keys
done
