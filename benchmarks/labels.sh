#!/bin/sh
# Labels a minute: float, quantised without training, after quantisation-aware
# training, and by shared steps where the supernet has them; of random networks
# in one process that uses all cores, and in one process a core.
#   labels.sh DATA RUN OUT [N [KEY=VALUE ...]]
# N labels of each kind and process, 8; keys as for apq collect, for example
# collect.qat_steps. Runs are made anew in OUT. APQ is the program.
set -eu

if [ $# -lt 3 ]; then
    echo 'usage: labels.sh DATA RUN OUT [N [KEY=VALUE ...]]' >&2
    exit 2
fi
apq=${APQ:-build/apq}
data=$1
run=$2
out=$3
n=${4:-8}
shift 3
[ $# -eq 0 ] || shift
cores=$(nproc)
# The first of a plan are corners of the space, no random networks.
corners=4

# measure KIND PROCESSES THREADS KEY=VALUE ...: a row.
measure() {
    kind=$1
    processes=$2
    threads=$3
    shift 3
    rm -rf "$out/run"
    mkdir -p "$out/run"
    cp "$run/supernet.safetensors" "$run/run.json" "$out/run"
    # Corners first, by a process of their own: they cost more.
    "$apq" collect --run "$out/run" --data "$data" --quiet "$@" \
        "$records=$corners" >/dev/null
    pids=
    for _ in $(seq "$processes"); do
        "$apq" collect --run "$out/run" --data "$data" --quiet \
            --threads "$threads" "$@" "$records=$((corners + n * processes))" \
            >/dev/null &
        pids="$pids $!"
    done
    for pid in $pids; do
        wait "$pid"
    done
    "$apq" collect export --run "$out/run" --format jsonl -o "$out/records"
    jq -rs --arg kind "$kind" --argjson p "$processes" --argjson t "$threads" \
        --argjson corners "$corners" '
        map(select(.seq >= $corners).seconds) | sort |
        [$kind, $p, $t, length, (.[0], .[length / 2 | floor], .[-1] | . * 100 | round / 100),
         (60 * $p * length / add * 10 | round / 10)] | @tsv' "$out/records"
    rm -rf "$out/run" "$out/records"
}

# rows KIND KEY=VALUE ...
rows() {
    kind=$1
    shift
    measure "$kind" 1 "$cores" "$@"
    measure "$kind" "$cores" 1 "$@"
}

printf 'labels\tprocesses\tthreads\tn\tleast s\tmedian s\tmost s\ta minute\n'
set -- "$@" collect.active_records=0 collect.repeats=0
records=collect.float_records
rows float "$@" collect.quantised_records=0
records=collect.quantised_records
set -- "$@" collect.float_records=0
rows quantised "$@" collect.qat_steps=0
rows qat "$@"
if jq -e '.train.bits == "shared"' "$run/run.json" >/dev/null; then
    rows shared "$@" collect.quantised=shared
fi
