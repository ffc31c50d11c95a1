#!/bin/sh
# Builds and runs every test and sums the counts.
#   scripts/test.sh [--add PASSED FAILED]
# Release build: all CTest cases (unit, contract, golden, lint, cli, ...).
# Sanitizer build (ASan, UBSan, warnings are errors): the label "unit".
# --add counts cases run by the caller. The last line of the output is always
# "N passed, N failed"; the status is 0 only when nothing failed.
set -u
cd "$(dirname "$0")/.." || exit 1

passed=0
failed=0
if [ "${1-}" = --add ]; then
    passed=$2
    failed=$3
fi
# Threads that spin while they wait starve the tests beside them.
export OMP_WAIT_POLICY=passive
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)

# count FILE: adds the totals of one JUnit file written by CTest.
count() {
    head=$(tr '\n\t' '  ' <"$1" | sed 's/<testcase.*//')
    attribute() {
        value=$(printf '%s' "$head" | sed -n "s/.* $1=\"\([0-9]*\)\".*/\1/p")
        printf '%s' "${value:-0}"
    }
    total=$(attribute tests)
    bad=$(attribute failures)
    skipped=$(($(attribute skipped) + $(attribute disabled)))
    if [ "$total" -eq 0 ]; then
        echo "test.sh: $1 holds no tests" >&2
        failed=$((failed + 1))
        return
    fi
    passed=$((passed + total - bad - skipped))
    failed=$((failed + bad))
    if [ "$skipped" -gt 0 ]; then
        echo "$skipped skipped, see the reasons above"
    fi
}

# reasons LOG: what was skipped and why, also cases of programs that passed.
reasons() {
    sed -n -e '/^skipped: /p' \
        -e 's/^ok [0-9]* \(.*\) # skip \(.*\)/skipped: \2: \1/p' "$1" | sort -u
}

# suite PRESET FOLDER [ctest options]: builds, runs, counts.
suite() {
    preset=$1
    folder=$2
    shift 2
    echo "== $preset =="
    if ! cmake --preset "$preset" >/dev/null ||
        ! cmake --build "$folder" -j "$jobs"; then
        echo "test.sh: the $preset build failed" >&2
        failed=$((failed + 1))
        return
    fi
    results=$PWD/$folder/test-results.xml
    rm -f "$results"
    before=$failed
    status=0
    ctest --test-dir "$folder" --output-on-failure -j "$jobs" \
        --no-tests=error --output-junit "$results" "$@" || status=$?
    reasons "$folder/Testing/Temporary/LastTest.log"
    if [ -f "$results" ]; then
        count "$results"
    fi
    # CTest can fail without a failed case, for example when it is killed.
    if [ "$status" -ne 0 ] && [ "$failed" -eq "$before" ]; then
        failed=$((failed + 1))
    fi
}

suite release build
suite dev build-dev -L '^unit$'

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
