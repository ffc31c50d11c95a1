"""Take a few entries of a latency table in the authors' .dict format.

Usage: make_bitfusion_dict.py TABLE.dict [COUNT] > bitfusion_lut.dict

Entries are taken at even steps, in the file's order; `head` and `tail` are
always kept.
"""
import json
import sys

FIXED = ("head", "tail")


def main():
    table = json.load(open(sys.argv[1], encoding="utf-8"))
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 58
    keys = [k for k in table if k not in FIXED]
    step = max(1, len(keys) / count)
    chosen = [keys[int(i * step)] for i in range(min(count, len(keys)))]
    chosen += [k for k in FIXED if k in table]
    json.dump({k: table[k] for k in chosen}, sys.stdout, indent=0)
    print()


if __name__ == "__main__":
    main()
