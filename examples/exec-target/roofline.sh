#!/bin/sh
# A stand-in for a device, for targets of `model: exec`: reads one JSON object
# a line, answers one. A layer takes the longer of its arithmetic and its
# memory traffic, and a start-up time; energy is a sum over both.
#   roofline.sh MACS_PER_US BYTES_PER_US START_NS
# Replace it by a program that runs the layer on your device and prints what
# it measured. All numbers here are integers, in nanoseconds and picojoules.
set -eu

macs_per_us=$1
bytes_per_us=$2
start_ns=$3
pj_per_mac=4
pj_per_byte=60

# field KEY TEXT: value of a number or a word in flat JSON, into $value.
field() {
    value=${2#*\""$1"\":}
    value=${value%%[,\}]*}
    value=${value#\"}
    value=${value%\"}
}

# cost LAYER: adds to $ns and $pj.
cost() {
    field macs "$1" && macs=$value
    field kernel "$1" && kernel=$value
    field in_channels "$1" && in=$value
    field out_channels "$1" && out=$value
    field in_size "$1" && in_size=$value
    field out_size "$1" && out_size=$value
    field weight_container_bits "$1" && weight_bits=$value
    field act_container_bits "$1" && act_bits=$value
    field kind "$1"
    weights=$((kernel * kernel * in * out))
    [ "$value" != depthwise ] || weights=$((kernel * kernel * in))
    acts=$((in * in_size * in_size + out * out_size * out_size))
    bytes=$(((weights * weight_bits + acts * act_bits) / 8))
    compute_ns=$((macs * 1000 / macs_per_us))
    memory_ns=$((bytes * 1000 / bytes_per_us))
    [ "$memory_ns" -le "$compute_ns" ] || compute_ns=$memory_ns
    ns=$((ns + compute_ns + start_ns))
    pj=$((pj + macs * pj_per_mac + bytes * pj_per_byte))
}

while read -r line; do
    ns=0
    pj=0
    case $line in
    '{"network":['*) # a whole network is the sum of its layers
        rest=${line#*\[}
        while [ "${rest#\{}" != "$rest" ]; do
            cost "${rest%%\}*}}"
            rest=${rest#*\}}
            rest=${rest#,}
        done
        ;;
    *) cost "$line" ;;
    esac
    printf '{"latency_ms":%d.%06d,"energy_mj":%d.%09d,"count":1}\n' \
        $((ns / 1000000)) $((ns % 1000000)) \
        $((pj / 1000000000)) $((pj % 1000000000))
done
