#!/bin/sh
# Compares the training schedules at equal compute: the same recipe with each,
# then the accuracy of sub-networks on validation images and the processor time
# that the training took.
#   schedules.sh DATA OUT [EPOCHS [SEEDS]]
# EPOCHS are those of sandwich, a quarter of them with the largest network
# alone; progressive gets 1.07 times as many, which costs the same on the space
# cifar10. Runs are kept in OUT and continued. APQ is the program, RECIPE the
# recipe.
set -eu

if [ $# -lt 2 ]; then
    echo 'usage: schedules.sh DATA OUT [EPOCHS [SEEDS]]' >&2
    exit 2
fi
apq=${APQ:-build/apq}
recipe=${RECIPE:-recipes/cifar10.yaml}
data=$1
out=$2
epochs=${3:-50}
seeds=${4:-'1 2'}
here=$(dirname "$0")
mkdir -p "$out"

# train NAME SEED KEY=VALUE...
train() {
    run=$out/$1-$2
    seed=$2
    shift 2
    "$apq" train "$recipe" --data "$data" --run "$run" --seed "$seed" "$@"
    printf '\n%s: %s core-hours\n' "${run##*/}" "$(jq -s '
        map(select(.step == "train").core_s) | add / 3.6 | round / 1000
        ' "$run/cost.jsonl")"
    APQ=$apq "$here/supernet_quality.sh" "$data" "$run" 20 val
}

for seed in $seeds; do
    train sandwich "$seed" train.epochs="$epochs" \
        train.largest_epochs=$((epochs / 4))
    train progressive "$seed" train.schedule=progressive \
        train.epochs=$((epochs * 107 / 100))
done
