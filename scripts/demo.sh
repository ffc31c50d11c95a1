#!/bin/sh
# Searches CIFAR-10 networks with the shipped predictor, at a latency budget
# in the (geometric) middle of what the space can reach, and leaves the result in demo-out.
#   scripts/demo.sh [APQ [OUT]]
set -eu
cd "$(dirname "$0")/.."
apq=${1:-build/apq}
out=${2:-demo-out}

[ -x "$apq" ] || { echo "demo: $apq is missing: run make build" >&2; exit 1; }
predictor=models/cifar10/predictor.safetensors
[ -f "$predictor" ] || {
    echo "demo: $predictor is missing: this copy comes without the shipped" \
        "artefacts" >&2
    exit 1
}

mkdir -p "$out"
# "latency_ms LOW HIGH" of the table; the budget is their geometric mean.
budget=$("$apq" cost --space cifar10 --target bitfusion --range |
    awk '$1 == "latency_ms" { printf "%.4g", sqrt($2 * $3) }')
echo "Budget: $budget ms an image on bitfusion."
echo
"$apq" search --space cifar10 --target bitfusion --latency-ms "$budget" \
    --out "$out/best.json"
echo
echo "Written: $out/best.json, best.svg (the search), best-policy.svg (the" \
    "network)."
