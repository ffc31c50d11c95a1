#!/usr/bin/env python3
"""Writes predictor_tiny.safetensors and predictor_tiny.jsonl beside this file.

An independent statement of the predictor in plain Python (double precision):
8 hidden units, space 'tiny', random weights, and the accuracy of policies
with and without the bit branch. Run it again only to change the cases.
"""
import array
import json
import os
import random
import struct

HERE = os.path.dirname(os.path.abspath(__file__))
HIDDEN = 8
KERNELS, BITS = [3, 5], [4, 6, 8]
STAGES = [(16, [1, 2]), (24, [1, 2])]  # width, depths
FIRST_CHANNELS, EXPAND = 8, (2, 4)
GENES = ["pw_weight", "pw_act", "dw_weight", "dw_act"]


def blocks():
    """(stage, position, middle channels) of every block slot."""
    out, channels = [], FIRST_CHANNELS
    for stage, (width, depths) in enumerate(STAGES):
        for position in range(depths[-1]):
            low, high = EXPAND[0] * channels, EXPAND[1] * channels
            out.append((stage, position, list(range(low, high + 1, 8))))
            channels = width
    return out


def random_policy(rng):
    slots = blocks()
    return {
        "space": "tiny",
        "depth": [rng.choice(depths) for _, depths in STAGES],
        "kernel": [rng.choice(KERNELS) for _ in slots],
        "channels": [rng.choice(legal) for _, _, legal in slots],
        "bits": {g: [rng.choice(BITS) for _ in slots] for g in GENES},
    }


def one_hot(policy):
    """Architecture part and bit part of the input."""
    slots = blocks()

    def part(values, legal_of):
        x = []
        for i, (stage, position, _) in enumerate(slots):
            active = position < policy["depth"][stage]
            x += [float(active and v == values[i]) for v in legal_of(i)]
        return x

    arch = part(policy["kernel"], lambda i: KERNELS)
    arch += part(policy["channels"], lambda i: slots[i][2])
    bits = []
    for gene in GENES:
        bits += part(policy["bits"][gene], lambda i: BITS)
    return arch, bits


def single(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def affine(weight, bias, x):
    return [sum(w * v for w, v in zip(row, x)) + b
            for row, b in zip(weight, bias)]


def relu(x):
    return [max(v, 0.0) for v in x]


def predict(t, policy, with_bits):
    arch, bits = one_hot(policy)
    h = relu(affine(t["layers.0.0.weight"], t["layers.0.0.bias"], arch))
    if with_bits:
        q = affine(t["quantize_fc.weight"], t["quantize_fc.bias"], bits)
        h = [a + b for a, b in zip(h, q)]
    h = relu(affine(t["layers.1.0.weight"], t["layers.1.0.bias"], h))
    h = relu(affine(t["layers.2.0.weight"], t["layers.2.0.bias"], h))
    return affine(t["regressor.weight"], t["regressor.bias"], h)[0]


def tensors(rng):
    arch, bits = one_hot(random_policy(rng))
    t = {}
    for name, out, inputs in [("layers.0.0", HIDDEN, len(arch)),
                              ("quantize_fc", HIDDEN, len(bits)),
                              ("layers.1.0", HIDDEN, HIDDEN),
                              ("layers.2.0", HIDDEN, HIDDEN),
                              ("regressor", 1, HIDDEN)]:
        t[name + ".weight"] = [[single(rng.gauss(0.0, 0.5))
                                for _ in range(inputs)] for _ in range(out)]
        t[name + ".bias"] = [single(rng.gauss(0.0, 0.5)) for _ in range(out)]
    return t


def write(path, t):
    header, data = {"__metadata__": {"space": "tiny"}}, b""
    for name, value in t.items():
        is_matrix = isinstance(value[0], list)
        shape = [len(value)] + ([len(value[0])] if is_matrix else [])
        flat = [v for row in value for v in row] if is_matrix else value
        raw = array.array("f", flat).tobytes()
        header[name] = {"dtype": "F32", "shape": shape,
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def main():
    rng = random.Random(20200613)
    t = tensors(rng)
    write(os.path.join(HERE, "predictor_tiny.safetensors"), t)
    with open(os.path.join(HERE, "predictor_tiny.jsonl"), "w") as f:
        for _ in range(60):
            policy = random_policy(rng)
            f.write(json.dumps({"policy": policy,
                                "float": predict(t, policy, False),
                                "quantised": predict(t, policy, True)},
                               separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
