"""Take a few policies that the authors' code has priced and scored.

Usage: make_policies.py POLICIES.jsonl > apq_policies.jsonl

The file has two lists, each numbered from 0: policies of the space, and
policies whose expansion ratios lie between the space's widths. The first 24
are taken, the last 4 of the first list, and the first 12 of the second.
"""
import json
import sys


def main():
    lines = open(sys.argv[1], encoding="utf-8").read().splitlines()
    seam = [json.loads(line)["id"] for line in lines].index(0, 1)
    print(*lines[:24], *lines[seam - 4:seam + 12], sep="\n")


if __name__ == "__main__":
    main()
