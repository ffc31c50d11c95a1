#!/bin/sh
# What training by 64 to 1,024 processes should come to: the tables and the
# formulas of docs/scaling.md, computed.
#   scripts/scaling-model.sh [NAME=VALUE ...]
# Names and values as in the list below; "images=64" doubles what a process
# takes of a batch.
set -eu

awk -v settings="$*" '
function set_default(name, value) { v[name] = value }

# S bytes over p processes: latency a in seconds, bandwidth b in bytes/s.
function ring(S, p, a, b) { return 2 * (p - 1) * a + 2 * (p - 1) / p * S / b }
function tree(S, p, a, b) {
    return 2 * log(p) / log(2) * a + 2 * (p - 1) / p * S / b
}

function network(name, values, macs, cores, jpeg,    step, i, p, c, r, t) {
    # Forward 2 and backward 4 operations a multiply-accumulate.
    rate = v["gflops_core"] * 1e9 * cores / (6 * macs) # images/s a process
    step = v["images"] / rate
    printf "%s: %d values, %.3g MMAC an image and step; a process of %d cores" \
        " %.4g images/s, a step of %d images %.4g ms\n\n", name, values,
        macs / 1e6, cores, rate, v["images"], 1e3 * step
    print "| network | processes | ring | halving | efficiency |"
    print "|---|---|---|---|---|"
    for (i = 1; i <= 3; i++) {
        for (p = 64; p <= 1024; p *= 4) {
            r = ring(4 * values, p, alpha[i], beta[i])
            t = tree(4 * values, p, alpha[i], beta[i])
            # Before the gradients: a barrier that naps 50 us a round at worst,
            # and a sum of a few numbers.
            c = (r < t ? r : t) + log(p) / log(2) * (50e-6 + 3 * alpha[i])
            printf "| %s | %d | %.3g ms | %.3g ms | %.3f |\n", net[i], p,
                1e3 * r, 1e3 * t, step / (step + c)
        }
    }
    print ""
    if (jpeg) {
        printf "decoding: %.3g of %d cores; reading: %.3g MB/s a process," \
            " %.3g GB/s for 1,024\n", rate / v["decode_core"], cores,
            rate * v["jpeg_kb"] / 1e3, rate * v["jpeg_kb"] / 1e6 * 1024
    }
}

BEGIN {
    set_default("images", 32)       # of a batch, each process
    set_default("gflops_core", 92)  # sustained in training
    set_default("decode_core", 500) # JPEG images/s of a core
    set_default("jpeg_kb", 110)
    set_default("cores", 16)        # of a process on imagenet-apq
    n = split(settings, list, " ")
    for (i = 1; i <= n; i++) {
        split(list[i], pair, "=")
        if (!(pair[1] in v) || pair[2] + 0 <= 0) {
            printf "scaling-model: %s: no such setting\n", list[i] \
                >"/dev/stderr"
            exit 2
        }
        v[pair[1]] = pair[2]
    }
    net[1] = "10 Gbit/s Ethernet";    alpha[1] = 20e-6; beta[1] = 1.25e9
    net[2] = "25 Gbit/s Ethernet";    alpha[2] = 10e-6; beta[2] = 3.1e9
    net[3] = "100 Gbit/s InfiniBand"; alpha[3] = 2e-6;  beta[3] = 12.5e9
    # Values: the three arrays are padded to cache lines. Multiply-accumulates:
    # largest + smallest + the random ones of a step at their mean.
    network("cifar10", 242224, 11.47e6 + 2.84e6 + 5.79e6, 1, 0)
    network("imagenet-apq", 5118928, 606.6e6 + 191.5e6 + 2 * 353.6e6,
        v["cores"], 1)
}'
