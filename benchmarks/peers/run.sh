#!/bin/sh
# Images per second of apq beside those of PyTorch on the same networks.
#   run.sh [--quick | --check] [options of compare.py]
# Makes a virtual environment in build/peers on the first call (5 GB where pip
# finds no build of torch without CUDA). APQ is the program (build/apq),
# PYTHON what makes the environment (python3).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
out=build/peers
apq=${APQ:-build/apq}
venv=$out/venv

[ -x "$apq" ] || { echo "peers: $apq is missing: run make build" >&2; exit 1; }
mkdir -p "$out"
# A copy of what was installed marks an environment as whole.
if ! cmp -s "$here/requirements.txt" "$venv/requirements.txt"; then
    free_kib=$(df -Pk "$out" | awk 'NR == 2 { print $4 }')
    if [ "$free_kib" -lt 12000000 ]; then
        echo "peers: $out has $((free_kib / 1000)) MB free, PyTorch may need" \
            '12000 while it is installed' >&2
        exit 1
    fi
    "${PYTHON:-python3}" -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet -r "$here/requirements.txt"
    cp "$here/requirements.txt" "$venv/requirements.txt"
fi
exec "$venv/bin/python" "$here/compare.py" --apq "$apq" --out "$out" "$@"
