"""Turn a latency table in the authors' .dict format into a small CSV.

Usage: make_bitfusion_lut.py TABLE.dict [COUNT] > bitfusion_lut.csv

Layer entries are taken at even steps of the sorted keys, so every size,
kernel, stride and bit pair appears; `head` and `tail` are always kept.
Columns: in_channels,out_channels,in_size,kernel,stride,groups,weight_bits,
act_bits,cycles,energy_mj (cycles at 500 MHz). The head has in_channels 3.
"""
import json
import re
import sys

CYCLES_PER_MS = 500000
FIXED = {
    "head": (3, 32, 224, 3, 2, 1, 8, 8),
    "tail": (320, 1280, 7, 1, 1, 1, 8, 8),
}
KEY = re.compile(
    r"\((\d+), (\d+), (\d+), (\d+), (\d+), \d+, (\d+)\)-W(\d)A(\d)"
)


def parse(key):
    if key in FIXED:
        return FIXED[key]
    return tuple(int(x) for x in KEY.fullmatch(key).groups())


def main():
    table = json.load(open(sys.argv[1], encoding="utf-8"))
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 300
    keys = sorted((k for k in table if k not in FIXED), key=parse)
    step = max(1, len(keys) / count)
    chosen = [keys[int(i * step)] for i in range(min(count, len(keys)))]
    print("in_channels,out_channels,in_size,kernel,stride,groups,"
          "weight_bits,act_bits,cycles,energy_mj")
    for key in chosen + sorted(FIXED.keys() & table.keys()):
        cost = table[key]
        cycles = round(cost["latency"] * CYCLES_PER_MS)
        print(*parse(key), cycles, repr(cost["energy"]), sep=",")


if __name__ == "__main__":
    main()
