"""Take the quantisers' vectors from those that the authors' code has made.

Usage: make_op_vectors_quant.py VECTORS.json > op_vectors_quant.json

Tensors are written to 9 digits, which tell any two float32 values apart; of
the clip searches the two with the fewest values are kept.
"""
import json
import sys

KEPT = ("normal_1000", "normal_60")


def text(value):
    """JSON without spaces, the numbers of lists to 9 digits."""
    if isinstance(value, dict):
        pairs = [f"{json.dumps(k)}:{text(v)}" for k, v in value.items()]
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list):
        value = [float(f"{x:.9g}") for x in value]
    return json.dumps(value, separators=(",", ":"))


def rows(values):
    return "[\n" + ",\n".join(map(text, values)) + "]"


def main():
    vectors = json.load(open(sys.argv[1], encoding="utf-8"))
    searches = [v for v in vectors["kl"] if v["name"] in KEPT]
    print('{\n"quant_input":' + text(vectors["quant_input"]) +
          ',\n"quant":' + rows(vectors["quant"]) +
          ',\n"kl":' + rows(searches) + "\n}")


if __name__ == "__main__":
    main()
