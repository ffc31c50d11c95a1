#!/bin/sh
# Puts ONNX Runtime, which Debian does not package, from its Python wheel into
# a virtual environment in FOLDER and prints the path of the library, for
# $APQ_ORT. Only tests and comparisons need it. Needs python3-venv and pip's
# package index; status 1 and a line on standard error without.
#   export APQ_ORT=$(scripts/onnx-runtime.sh FOLDER)
set -eu

version=1.31.1

[ $# -eq 1 ] || { echo "usage: $0 FOLDER" >&2; exit 2; }

fail() {
    echo "onnx-runtime: $1" >&2
    exit 1
}

mkdir -p "$1"
folder=$(cd "$1" && pwd)
library() {
    find "$folder" -name 'libonnxruntime.so.*' 2>/dev/null | head -n 1
}

if [ -z "$(library)" ]; then
    python3 -m venv "$folder" >/dev/null 2>&1 ||
        fail 'cannot make a virtual environment (Debian: python3-venv)'
    "$folder/bin/pip" install --quiet --disable-pip-version-check --no-deps \
        "onnxruntime==$version" >&2 || fail "cannot install onnxruntime $version"
fi
[ -n "$(library)" ] || fail "no libonnxruntime.so in onnxruntime $version"
library
