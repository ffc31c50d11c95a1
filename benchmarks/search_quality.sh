#!/bin/sh
# Prints what each strategy finds with the same number of candidates: mean,
# worst and best predicted accuracy over seeds, and seconds of the search.
#   search_quality.sh PREDICTOR [LATENCY_MS] [SEEDS] [STRATEGY ...]
# APQ is the program (build/apq), SPACE and TARGET what it searches.
set -eu

if [ $# -lt 1 ]; then
    echo 'usage: search_quality.sh PREDICTOR [LATENCY_MS] [SEEDS] [STRATEGY ...]' >&2
    exit 2
fi
apq=${APQ:-build/apq}
predictor=$1
latency=${2:-8.40}
seeds=${3:-10}
if [ $# -gt 3 ]; then
    shift 3
else
    # Names have no blanks; the list is meant to split.
    # shellcheck disable=SC2046
    set -- $("$apq" list strategies --json | jq -r '.[].name')
fi

printf '%-12s %8s %8s %8s %10s %8s\n' strategy mean worst best latency seconds
for strategy in "$@"; do
    for seed in $(seq "$seeds"); do
        "$apq" search --space "${SPACE:-imagenet-apq}" \
            --target "${TARGET:-bitfusion}" --predictor "$predictor" \
            --latency-ms "$latency" --strategy "$strategy" --seed "$seed" \
            --json --quiet |
            jq -r '[.predicted_accuracy, .cost.latency_ms, .seconds] | @tsv'
    done | awk -v name="$strategy" '
        NR == 1 { worst = best = $1 }
        { sum += $1; seconds += $3 }
        $1 < worst { worst = $1 }
        $1 > best { best = $1 }
        $2 > latency { latency = $2 }
        END {
            if (NR == 0) {
                exit 1 # no search gave a result, and all said why
            }
            printf "%-12s %8.4f %8.4f %8.4f %10.4f %8.2f\n", name, sum / NR,
                worst, best, latency, seconds / NR
        }'
done
