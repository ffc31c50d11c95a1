#!/usr/bin/env bats
# The shell scripts that users meet first.

load 'helper'

@test "install-deps --check names what is missing or says all is there" {
    run "$ROOT/scripts/install-deps.sh" --check
    if [ "$status" -eq 0 ]; then
        expect_output '^all dependencies are installed$'
    else
        expect_status 1
        expect_output '^(missing:|Fedora:)$'
    fi
}

@test "install-deps refuses an unknown option" {
    run "$ROOT/scripts/install-deps.sh" --frobnicate
    expect_status 2
    expect_output '^usage:'
}

@test "install-deps names packages of other systems where dpkg is missing" {
    mkdir bin
    ln -s "$(command -v cat)" bin/cat
    run env PATH="$PWD/bin" /bin/sh "$ROOT/scripts/install-deps.sh"
    expect_status 1
    expect_output 'dnf install'
    expect_output 'pacman -S'
    expect_output 'brew install'
}

@test "install-deps --tests asks for more than without" {
    mkdir bin
    printf '#!/bin/sh\nexit 1\n' >bin/dpkg-query
    cp bin/dpkg-query bin/apt-get
    chmod +x bin/*
    PATH="$PWD/bin:$PATH" run "$ROOT/scripts/install-deps.sh" --check
    expect_status 1
    expect_output '^  libsqlite3-dev$'
    [[ $output != *qemu-system-arm* ]]
    PATH="$PWD/bin:$PATH" run "$ROOT/scripts/install-deps.sh" --check --tests
    expect_status 1
    expect_output '^  libsqlite3-dev$'
    expect_output '^  qemu-system-arm$'
}

@test "onnx-runtime says in one line why there is none" {
    touch file
    run "$ROOT/scripts/onnx-runtime.sh"
    expect_status 2
    run "$ROOT/scripts/onnx-runtime.sh" file/folder
    expect_status 1
}
