"""Take a few of the schedules that the reference of the model has found.

Usage: make_schedules.py TABLE.csv [COUNT] > bitfusion_schedules.csv

Rows are taken at even steps, in the file's order, below its heading.
"""
import sys


def main():
    heading, *rows = open(sys.argv[1], encoding="utf-8").read().splitlines()
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 60
    step = max(1, len(rows) / count)
    chosen = [rows[int(i * step)] for i in range(min(count, len(rows)))]
    print(heading, *chosen, sep="\n")


if __name__ == "__main__":
    main()
