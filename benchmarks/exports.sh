#!/bin/sh
# Networks exported in every format that another program runs, and verified on
# all test images: classes that differ, the largest difference of logits in
# their range, accuracy there and of the network itself.
#   exports.sh DATA RUNTIME OUT NETWORK...
# RUNTIME is libonnxruntime.so, NETWORK a network.safetensors. C runs under
# sanitizers, 10 images a second. APQ is the program, RECIPE the recipe, FORMATS
# some of onnx, qonnx, scaled (QONNX of values) and c.
set -eu

if [ $# -lt 4 ]; then
    echo 'usage: exports.sh DATA RUNTIME OUT NETWORK...' >&2
    exit 2
fi
apq=${APQ:-build/apq}
recipe=${RECIPE:-recipes/cifar10.yaml}
data=$1
runtime=$2
out=$3
shift 3
status=0

for network; do
    for format in ${FORMATS:-onnx qonnx scaled c}; do
        case $format in
        scaled) set -- qonnx --scaled ;;
        *) set -- "$format" ;;
        esac
        "$apq" export "$recipe" --data "$data" --model "$network" --images 0 \
            --format "$@" --runtime "$runtime" -o "$out/$format" \
            --quiet --json >"$out.json" || status=$?
        jq -r --arg network "$network" --arg format "$format" '.verification[0] as $v
            | def percent: if . == null then "-" else 1e4 * . | round / 100 end;
            [$network, $format, $v.runtime, "\($v.images) images",
             "\($v.other_class // "-") of another class", "worst \($v.worst // "-")",
             "mean \($v.mean // "-")", "top-1 \($v.top1 | percent)",
             "network \($v.network_top1 | percent)",
             if $v.agrees then "agrees" else "DIFFERS" end] | join("  ")
            ' "$out.json"
        rm -rf "${out:?}/$format" "$out.json"
    done
done
exit "$status"
