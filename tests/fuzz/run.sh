#!/bin/sh
# Fuzzes every target in turn with libFuzzer, under ASan and UBSan.
#   tests/fuzz/run.sh SECONDS [TARGET ...]
# SECONDS for each target. Builds with clang into build-fuzz; the inputs that
# reach new code are kept in build-fuzz/corpus/TARGET and begun with the next
# time. A finding ends its target, is named with the file that shows it, and
# makes the status 1; `build-fuzz/tests/test_fuzz.TARGET FILE` shows it again.
set -u
cd "$(dirname "$0")/../.." || exit 1
if [ $# -lt 1 ]; then
    sed -n '2,4s/^# *//p' "$0" >&2
    exit 2
fi
seconds=$1
shift

command -v clang >/dev/null || { echo 'run.sh: needs clang' >&2; exit 1; }
CC=clang cmake -S . -B build-fuzz -G Ninja -DCMAKE_BUILD_TYPE=Debug \
    -DCMAKE_C_FLAGS_DEBUG='-O1 -g' -DAPQ_FUZZ=ON >/dev/null || exit 1
targets=${*:-$(sed -n 's/^apq_fuzz(\([a-z]*\) .*/\1/p' \
    tests/fuzz/CMakeLists.txt)}

bad=0
for target in $targets; do
    cmake --build build-fuzz --target "fuzz_$target" "test_fuzz.$target" \
        >/dev/null || exit 1
    corpus=build-fuzz/corpus/$target
    mkdir -p "$corpus"
    build-fuzz/tests/test_fuzz."$target" --seeds "$corpus" || exit 1
    echo "== $target, $seconds s =="
    # One thread: inputs are small, and sanitizers know OpenMP badly.
    OMP_NUM_THREADS=1 build-fuzz/"fuzz_$target" "$corpus" \
        -max_total_time="$seconds" -max_len=65536 -timeout=20 \
        -rss_limit_mb=4096 -print_final_stats=1 -verbosity=0 \
        -artifact_prefix="build-fuzz/finding-$target-" || bad=1
done
exit $bad
