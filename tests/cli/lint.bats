#!/usr/bin/env bats
# The lints fail on a tree that breaks their rule, and pass on one that does
# not: a check that cannot fail checks nothing.

load 'helper'

setup() {
    cd "$BATS_TEST_TMPDIR" || return 1
    mkdir -p src/base src/ir include
    printf 'base:\nir: base\n' >layers.txt
    printf '#ifndef A_H\n#define A_H\nint a(void);\n#endif\n' >src/base/a.h
    printf '#include "base/a.h"\n' >src/ir/b.c
    cp "$ROOT/.clang-format" .
}

lint() {
    run sh "$ROOT/tests/lint/$1.sh" "$PWD"
}

@test "layers: a downward include passes" {
    lint layers
    expect_status 0
}

@test "layers: an upward include fails with its place" {
    printf '#include "ir/b.h"\n' >src/base/a.c
    lint layers
    expect_status 1
    expect_output '^src/base/a.c:1: base may not include ir$'
}

@test "layers: a folder that layers.txt does not know fails" {
    mkdir src/extra
    printf '#include "base/a.h"\n' >src/extra/e.c
    lint layers
    expect_status 1
    expect_output 'module extra is not in layers.txt'
}

@test "layers: an include without its module fails" {
    printf '#include "a.h"\n' >src/base/a.c
    lint layers
    expect_status 1
    expect_output 'write the module, "base/a.h"'
}

@test "headers: a header that needs another first fails" {
    lint headers
    expect_status 0
    printf 'size_t c(void);\n' >src/ir/c.h
    lint headers
    expect_status 1
    expect_output 'src/ir/c.h does not compile alone'
}

@test "format: a badly indented file fails" {
    command -v clang-format >/dev/null ||
        skip 'needs clang-format (Debian: clang-format)'
    lint format
    expect_status 0
    printf 'int  f( void ) {return 1 ;}\n' >src/ir/f.c
    lint format
    [ "$status" -ne 0 ]
}

@test "links: a link to a missing file fails, others pass" {
    printf '[a](src/base/a.h) [b](https://example.org/x)\n' >README.md
    lint links
    expect_status 0
    printf '\n[c](docs/gone.md#part)\n' >>README.md
    lint links
    expect_status 1
    expect_output 'README.md:3: docs/gone.md#part does not exist'
}

@test "negation: one that fails nothing is found" {
    mkdir -p tests/cli
    printf '%s\n' '@test "a" {' '    ! false || false' '    ! grep a b ||' \
        '        false' '    ! false |' '        true || false' '}' \
        >tests/cli/a.bats
    lint negation
    expect_status 0
    printf '@test "b" {\n    ! true\n    true\n}\n' >>tests/cli/a.bats
    lint negation
    expect_status 1
    expect_output '^tests/cli/a.bats:9: write ! \.\.\. \|\| false$'
    printf '    [ a ] && [ b ]\n' >tests/cli/a.bats
    lint negation
    expect_status 1
    expect_output '^tests/cli/a.bats:1: write two lines$'
}
