# Loaded by every .bats file: `load 'helper'`.
# APQ is the program under test; each test starts in an empty folder that bats
# removes afterwards. The source root is ROOT.

ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
APQ=${APQ:-$ROOT/build/apq}
export ROOT APQ

setup() {
    cd "$BATS_TEST_TMPDIR" || return 1
}

# make_run [KEY=VALUE ...]: for setup_file, a finished run of the tiny recipe,
# RUN, which all tests of the file share.
make_run() {
    export RUN=$BATS_FILE_TMPDIR/done
    "$APQ" run "$ROOT/recipes/tiny.yaml" "$@" --run "$RUN" --quiet >/dev/null
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
