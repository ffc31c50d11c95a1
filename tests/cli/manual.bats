#!/usr/bin/env bats
# Man pages and completions, made at build time of the option tables: complete,
# well formed, and working from the build folder.

load 'helper'

setup_file() {
    export SHARE=${APQ%/*}/apq-share
    # Every command and every part of one, a line each.
    "$APQ" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' \
        >"$BATS_FILE_TMPDIR/commands"
    while read -r command; do
        echo "$command"
        "$APQ" "$command" --help |
            sed -n '/^Commands:/,/^$/s/^  \([a-z]* [a-z]*\)  .*/\1/p'
    done <"$BATS_FILE_TMPDIR/commands" >"$BATS_FILE_TMPDIR/all"
    [ "$(wc -l <"$BATS_FILE_TMPDIR/all")" -ge 28 ]
}

# options COMMAND: those of its help, without dashes.
options() {
    # The name may be two words.
    # shellcheck disable=SC2086
    "$APQ" $1 --help | sed -n 's/^  --\([a-z-]*\).*/\1/p'
}

page() {
    echo "$SHARE/man/man1/apq-$(echo "$1" | tr ' ' '-').1"
}

@test "every page is free of warnings" {
    command -v man >/dev/null && command -v groff >/dev/null ||
        skip 'needs man and groff (Debian: man-db, groff)'
    for file in "$SHARE"/man/man1/*.1; do
        run env MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z "$file"
        expect_status 0
        if printf '%s\n' "$output" | grep -i 'warning'; then
            return 1
        fi
        run groff -man -ww -Tutf8 -z "$file"
        expect_status 0
        [ -z "$output" ] || {
            echo "$output"
            return 1
        }
    done
}

@test "every command has a page with its options, examples and exit codes" {
    command -v groff >/dev/null && command -v col >/dev/null ||
        skip 'needs groff and col (Debian: groff, bsdextrautils)'
    while read -r command; do
        groff -man -Tascii -P-c -rLL=200n "$(page "$command")" |
            col -bx >page.txt
        grep -q "^ *apq $command" page.txt
        for option in $(options "$command"); do
            grep -qE -- "--$option( |\$)" page.txt ||
                { echo "$command: --$option is not in its page" && return 1; }
        done
        # Examples letter by letter, quotes and backslashes included.
        # shellcheck disable=SC2086
        "$APQ" $command --help | sed -n '2,/^$/p' | sed '/^$/d' >examples
        while IFS= read -r example; do
            grep -qF -- "$example" page.txt ||
                { echo "$command: not in its page: $example" && return 1; }
        done <examples
        grep -q '^EXIT STATUS' page.txt
        grep -qE '^ +130 +interrupted' page.txt
    done <"$BATS_FILE_TMPDIR/all"
}

@test "every environment variable that apq reads is in its page" {
    names=$({
        grep -rhoE 'getenv\("[A-Z_]+"' "$ROOT/src"
        grep -E 'const names\[\] = ' "$ROOT/src/comm/comm.c"
    } | grep -oE '"[A-Z_]+"' | tr -d '"' | sort -u)
    [ "$(echo "$names" | wc -w)" -ge 8 ]
    for name in $names; do
        grep -q "^.fB$name" "$SHARE/man/man1/apq.1" ||
            { echo "$name is not in apq(1)" && return 1; }
    done
}

@test "a page is found in the build folder and refers to existing ones" {
    need man man-db
    run man -M "$SHARE/man" -w apq-lut-build
    expect_status 0
    sed -n 's/\\-/-/g; s/^\.BR \([a-z-]*\) .*/\1/p' "$SHARE"/man/man1/*.1 |
        sort -u >names
    [ "$(wc -l <names)" -ge 28 ]
    while read -r name; do
        [ -e "$SHARE/man/man1/$name.1" ] || { echo "no $name.1" && return 1; }
    done <names
}

# complete_bash WORD...: fills COMPREPLY as bash would for the last word.
complete_bash() {
    COMP_WORDS=("$@")
    COMP_CWORD=$(($# - 1))
    COMPREPLY=()
    _apq
}

# expect_reply WORD...: exactly these, in any order.
expect_reply() {
    diff <(printf '%s\n' "$@" | sort) <(printf '%s\n' "${COMPREPLY[@]}" | sort)
}

@test "bash completes commands, parts, options, choices, names and files" {
    # shellcheck disable=SC1091
    source "$SHARE/bash-completion/completions/apq"
    complete -p apq | grep -q 'complete -F _apq apq'
    complete_bash "$APQ" se
    expect_reply search
    complete_bash "$APQ" help pred
    expect_reply predict predictor
    complete_bash "$APQ" lut ''
    expect_reply build check show import export
    complete_bash "$APQ" policy ''
    expect_reply convert show
    complete_bash "$APQ" search --str
    expect_reply --strategy
    complete_bash "$APQ" search --strategy ''
    # shellcheck disable=SC2046
    expect_reply $("$APQ" list strategies | cut -d ' ' -f 1)
    complete_bash "$APQ" search --strategy = ran
    expect_reply random
    complete_bash "$APQ" export --format=q
    expect_reply --format=qonnx
    complete_bash "$APQ" lut build --space imag
    expect_reply imagenet-apq
    complete_bash "$APQ" collect export --kind q
    expect_reply quantised qat
    complete_bash "$APQ" lut export --format ''
    expect_reply apq-dict csv
    complete_bash "$APQ" train --dtype b
    expect_reply bfloat16
    mkdir folder
    touch 'fi le'
    complete_bash "$APQ" cost --specs f
    expect_reply folder 'fi le'
    complete_bash "$APQ" export --runtime f
    expect_reply folder 'fi le'
    complete_bash "$APQ" search --run f
    expect_reply folder
    complete_bash "$APQ" eval --policy sm
    expect_reply smallest
    complete_bash "$APQ" lut show 'fi'
    expect_reply 'fi le'
    complete_bash "$APQ" doctor ''
    [ "${#COMPREPLY[@]}" -eq 0 ]
    complete_bash "$APQ" search --parents ''
    [ "${#COMPREPLY[@]}" -eq 0 ]
}

@test "bash completes every option of every command" {
    # shellcheck disable=SC1091
    source "$SHARE/bash-completion/completions/apq"
    while read -r command; do
        # shellcheck disable=SC2086
        complete_bash "$APQ" $command --
        # shellcheck disable=SC2046
        expect_reply $(options "$command" | sed 's/^/--/')
    done <"$BATS_FILE_TMPDIR/all"
}

@test "zsh and fish know every option of every command" {
    zsh=$SHARE/zsh/site-functions/_apq
    fish=$SHARE/fish/vendor_completions.d/apq.fish
    head -n 1 "$zsh" | grep -q '^#compdef apq$'
    "$APQ" doctor --help | sed -n 's/^  --\([a-z]*\).*/\1/p' >common
    while read -r command; do
        sed -n "/^ *'$command')/,/;;/p" "$zsh" >zsh.part
        for option in $(options "$command" | grep -vxFf common); do
            grep -qE -- "--${option}[=[}]" zsh.part ||
                { echo "zsh: $command --$option" && return 1; }
            grep -q "__apq_is \"$command\"' .*-l $option " "$fish" ||
                { echo "fish: $command --$option" && return 1; }
        done
    done <"$BATS_FILE_TMPDIR/all"
    while read -r option; do
        grep -qE -- "--${option}[=[}]" "$zsh"
        grep -qE "^complete -c apq( -s h)? -l $option " "$fish"
    done <common
}

@test "zsh reads its completion" {
    need zsh
    zsh -n "$SHARE/zsh/site-functions/_apq"
}

@test "fish completes" {
    need fish
    # said LINE: what fish would offer, one a line.
    said() {
        fish --no-config -c \
            "source $SHARE/fish/vendor_completions.d/apq.fish
            complete -C '$1'" | cut -f 1
    }
    [ "$(said "$APQ se")" = search ]
    said "$APQ search --str" | grep -qx -- --strategy
    said "$APQ search --strategy " | grep -qx random
    [ "$(said "$APQ collect export --kind qa")" = qat ]
    said "$APQ export --format=q" | grep -qx -- --format=qonnx
    # Options are described, their values only by what they are.
    described() {
        fish --no-config -c \
            "source $SHARE/fish/vendor_completions.d/apq.fish
            complete -C '$1'"
    }
    described "$APQ export --form" | grep -q '^--format[[:space:]].*C99'
    described "$APQ export --format " >formats
    [ "$(wc -l <formats)" -ge 4 ]
    sed '/^[a-z]*[[:space:]]*$/d' formats | diff - /dev/null
    described "$APQ search --space " | grep -q '^tiny[[:space:]].*networks$'
}
