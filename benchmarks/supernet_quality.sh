#!/bin/sh
# Accuracy of a supernet's sub-networks without retraining, recalibrated: the
# largest, the smallest, and the mean, worst and best of random ones.
#   supernet_quality.sh DATA [RUN [N_RANDOM [SPLIT]]]
# Without RUN, or with '', of the shipped supernet. SPLIT is val or test; test
# images are to be read once per finished supernet. APQ is the program.
set -eu

if [ $# -lt 1 ]; then
    echo 'usage: supernet_quality.sh DATA [RUN [N_RANDOM [SPLIT]]]' >&2
    exit 2
fi
apq=${APQ:-build/apq}
data=$1
run=${2-}
n=${3:-20}
split=${4:-val}

# top1 POLICY: a fraction.
top1() {
    "$apq" eval --data "$data" ${run:+--run "$run"} --policy "$1" \
        --bits float --split "$split" --json --quiet | jq .top1
}

printf '%-10s %8s\n' network top-1
for policy in largest smallest; do
    printf '%-10s %8.2f %%\n' "$policy" "$(top1 "$policy" | jq '100 * .')"
done
for seed in $(seq "$n"); do
    top1 "random:$seed"
done | jq -rs --arg n "$n" '
    "random     mean \(100 * add / length * 100 | round / 100) %, " +
    "worst \(min * 10000 | round / 100) %, " +
    "best \(max * 10000 | round / 100) %, \($n) networks"'
