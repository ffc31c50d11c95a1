# Loaded by every .bats file: `load 'helper'`.
# APQ is the program under test; each test starts in an empty folder that bats
# removes afterwards. The source root is ROOT.

ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
APQ=${APQ:-$ROOT/build/apq}
export ROOT APQ
# Threads that spin while they wait starve the tests beside them.
export OMP_WAIT_POLICY=passive
# nproc obeys these, `--threads 0` does not.
unset OMP_NUM_THREADS OMP_THREAD_LIMIT

setup() {
    cd "$BATS_TEST_TMPDIR" || return 1
}

# make_run [KEY=VALUE ...]: for setup_file, a finished run of the tiny recipe,
# RUN, which all tests of the file share.
make_run() {
    export RUN=$BATS_FILE_TMPDIR/done
    "$APQ" run "$ROOT/recipes/tiny.yaml" "$@" --run "$RUN" --quiet >/dev/null
}

# make_fitted [KEY=VALUE ...]: for setup_file, a run of the tiny recipe up to its
# predictor, RUN; the settings are those of collecting. P is the predictor.
make_fitted() {
    export RUN=$BATS_FILE_TMPDIR/run
    export P=$RUN/predictor.safetensors
    "$APQ" train "$ROOT/recipes/tiny.yaml" --run "$RUN" --quiet || return 1
    "$APQ" collect --run "$RUN" --quiet "$@" || return 1
    "$APQ" predictor fit --run "$RUN" --quiet
}

# wait_for COMMAND...: until it succeeds, or for a minute.
wait_for() {
    local end=$((SECONDS + 60))
    until "$@" >/dev/null 2>&1; do
        if [ "$SECONDS" -ge "$end" ]; then
            echo "waited in vain for $*"
            return 1
        fi
        sleep 0.02
    done
}

# has_lines N FILE: at least so many.
has_lines() {
    [ -e "$2" ] && [ "$(wc -l <"$2")" -ge "$1" ]
}

# need TOOL [PACKAGE of Debian]: skips where it is not there.
need() {
    command -v "$1" >/dev/null || skip "needs $1 (Debian: ${2:-$1})"
}

# tighter: a latency in ms that the network of RUN misses.
tighter() {
    jq '.cost.latency_ms * 0.9' "$RUN/best.json"
}

# need_runtime: skips without ONNX Runtime.
need_runtime() {
    # The command is shown, not run.
    # shellcheck disable=SC2016
    [ -n "${APQ_ORT-}" ] ||
        skip 'needs ONNX Runtime (APQ_ORT=$(scripts/onnx-runtime.sh FOLDER))'
}

# name_classes NAMES.json FROM TO: a network file whose classes have other names.
name_classes() {
    local size
    size=$(od -An -tu8 -N8 "$2")
    tail -c +9 "$2" | head -c "$size" | jq -c --slurpfile names "$1" \
        '.__metadata__.class_names = ($names[0] | tojson)' >header
    # The data behind the header stay on a multiple of 8.
    while [ $(($(stat -c %s header) % 8)) -ne 0 ]; do
        printf ' ' >>header
    done
    local n
    n=$(stat -c %s header)
    # shellcheck disable=SC2059
    printf "$(printf '\\%03o\\%03o\\0\\0\\0\\0\\0\\0' $((n % 256)) $((n / 256)))" |
        cat - header <(tail -c +$((9 + size)) "$2") >"$3"
}

# need_mpi: skips without MPI; else mpi is the command that starts processes.
need_mpi() {
    command -v mpirun >/dev/null || skip 'needs mpirun (Debian: openmpi-bin)'
    [ -e "$(dirname "$APQ")/libapq_mpi.so" ] ||
        skip 'this build has no MPI (Debian: libopenmpi-dev)'
    # More processes than processors if need be; and a busy machine needs more
    # than the second that a stop is given. The program itself, no function, so
    # that $! is its number.
    mpi=(mpirun --oversubscribe --mca odls_base_sigkill_timeout 5)
    if [ "$(id -u)" -eq 0 ]; then
        mpi+=(--allow-run-as-root)
    fi
}

# expect_status N: the last `run` ended with N.
expect_status() {
    if [ "$status" -ne "$1" ]; then
        printf 'status %s, expected %s\noutput:\n%s\n' "$status" "$1" "$output"
        return 1
    fi
}

# expect_known: the last `run` was fine and printed no "nan".
expect_known() {
    expect_status 0
    if printf '%s\n' "$output" | grep -qiE '(^|[ +-])nan( |$)'; then
        printf 'nan in:\n%s\n' "$output"
        return 1
    fi
}

# expect_output REGEX: some line of the last `run` matches.
expect_output() {
    if ! printf '%s\n' "$output" | grep -qE -- "$1"; then
        printf 'no line matches %s in:\n%s\n' "$1" "$output"
        return 1
    fi
}
