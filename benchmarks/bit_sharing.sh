#!/bin/sh
# Labels without training beside accuracies after quantisation-aware training from
# the float supernet: from the steps of a supernet with shared bits, and from the
# float supernet, calibrated only. How well either orders random policies
# (Kendall's tau), and the largest network in each single bit-width; on
# validation images.
#   bit_sharing.sh DATA FLOAT_RUN SHARED_RUN [N [QAT_STEPS [KEY=VALUE ...]]]
# N random policies, 60; QAT_STEPS, 400, of FLOAT_RUN's collect section or of
# the settings. What is measured is kept in OUT (SHARED_RUN/bit_sharing.tsv) and
# not measured again; other steps or settings need another file. APQ is the
# program, RANK the target bench_rank.
set -eu

if [ $# -lt 3 ]; then
    echo 'usage: bit_sharing.sh DATA FLOAT_RUN SHARED_RUN [N [QAT_STEPS [KEY=VALUE ...]]]' >&2
    exit 2
fi
apq=${APQ:-build/apq}
rank=${RANK:-build/bench_rank}
data=$1
float=$2
shared=$3
n=${4:-60}
steps=${5:-400}
out=${OUT:-$shared/bit_sharing.tsv}
if [ $# -gt 5 ]; then
    shift 5
else
    shift $#
fi
if [ ! -x "$rank" ]; then
    echo "bit_sharing.sh: no $rank; cmake --build build --target bench_rank" >&2
    exit 1
fi
touch "$out"
policy=$(mktemp)
trap 'rm -f "$policy"' EXIT

# top1 RUN POLICY ...: a fraction.
top1() {
    run=$1
    name=$2
    shift 2
    "$apq" eval --data "$data" --run "$run" --policy "$name" --bits policy \
        --split val --json --quiet "$@" | jq -es '.[0].top1'
}

# measure NAME POLICY [KEY=VALUE ...]: a line of the file, unless it is there.
measure() {
    name=$1
    file=$2
    shift 2
    if ! cut -f 1 "$out" | grep -qxF "$name"; then
        a=$(top1 "$shared" "$file" "$@")
        b=$(top1 "$float" "$file" "$@")
        c=$(top1 "$float" "$file" --qat-steps "$steps" "$@")
        printf '%s\t%s\t%s\t%s\n' "$name" "$a" "$b" "$c" >>"$out"
    fi
}

# ranked COLUMN: how its labels order the random policies.
ranked() {
    awk -F '\t' -v n="$n" -v column="$1" '
        split($1, part, ":") == 2 && part[1] == "random" && part[2] + 0 <= n {
            print $column, $4
        }' "$out" | "$rank"
}

for seed in $(seq "$n"); do
    measure "random:$seed" "random:$seed" "$@"
done
echo 'shared steps against QAT:'
ranked 2
echo 'calibrated only against QAT:'
ranked 3

# No 7 x 7 kernels at 4 bits where the space has none of its bits 4 with them;
# then all ways without.
space=$(jq -r .space "$shared/run.json")
printf '%-20s %8s %10s %8s\n' network shared calibrated QAT
for bits in 8 6 4; do
    "$apq" policy show largest --space "$space" | jq -c --argjson b "$bits" '
        .bits |= map_values(map($b))
        | if $b == 4 then .kernel |= map([., 5] | min) else . end' >"$policy"
    measure "largest:$bits" "$policy" "$@"
    awk -F '\t' -v name="largest:$bits" '$1 == name {
        printf "%-20s %6.2f %% %8.2f %% %6.2f %%\n", name, 100 * $2, 100 * $3,
            100 * $4
    }' "$out"
done
