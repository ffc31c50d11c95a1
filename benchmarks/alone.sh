#!/bin/sh
# Random sub-networks trained alone, each with the recipe of the supernet's
# largest, beside what the supernet gives for them without training: accuracies
# on validation images.
#   alone.sh DATA SUPERNET_RUN OUT [EPOCHS [POLICY_SEEDS]]
# SUPERNET_RUN '' is the shipped supernet, EPOCHS '' those of the recipe. Runs are
# kept in OUT and continued. APQ is the program, RECIPE the recipe.
set -eu

if [ $# -lt 3 ]; then
    echo 'usage: alone.sh DATA SUPERNET_RUN OUT [EPOCHS [POLICY_SEEDS]]' >&2
    exit 2
fi
apq=${APQ:-build/apq}
recipe=${RECIPE:-recipes/cifar10.yaml}
data=$1
supernet=$2
out=$3
epochs=${4-}
policies=${5:-'1 2 3'}
mkdir -p "$out"

# top1 RUN POLICY: in per cent.
top1() {
    "$apq" eval --data "$data" ${1:+--run "$1"} --policy "$2" --bits float \
        --split val --json --quiet | jq '100 * .top1'
}

for policy in $policies; do
    run=$out/alone-$policy
    "$apq" train "$recipe" --data "$data" --run "$run" \
        train.schedule=alone train.policy="random:$policy" \
        ${epochs:+train.epochs="$epochs"}
    printf 'random:%s  supernet %.2f %%  alone %.2f %%\n' "$policy" \
        "$(top1 "$supernet" "random:$policy")" "$(top1 "$run" "random:$policy")"
done
