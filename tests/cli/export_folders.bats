#!/usr/bin/env bats
# apq export --format c and --format safetensors.

load 'helper'

setup_file() {
    make_run search.latency_ms=0.02
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return 1
    ORT=${APQ_ORT-}
    unset APQ_ORT
}

@test "C source computes what the network computes" {
    run "$APQ" export --run "$RUN" --format c --prefix shapes -o out --quiet \
        --images 50
    expect_status 0
    expect_output 'out/network.c \([0-9a-f]{16}\)'
    expect_output '^agrees in C99 compiled by cc: 50 images, 0 of another'
    grep -q 'int shapes_classify(const uint8_t \*image);' out/network.h
    make -s -C out check CFLAGS='-std=c99 -Wall -Wextra -pedantic -Werror' |
        grep -qx '4 of 4 images as expected'
    # A program in C++ links with it.
    echo '#include "out/network.h"
        int main() {
            static uint8_t image[SHAPES_IMAGE_BYTES];
            return shapes_classify(image) < 0;
        }' >main.cc
    cc -std=c99 -c out/network.c out/weights.c
    c++ -Wall -Wextra -pedantic -Werror main.cc network.o weights.o -o main
    ./main
    jq -e '.format == "c" and .file == "network.c" and .input.layout == "HWC"
        and .verification[0].agrees and .files["network.c"] == .hash
        and (.files | keys) == ["Makefile", "README.md", "arith.h",
            "main_test.c", "network.c", "network.h", "weights.c", "weights.h"]
        ' out/manifest.json
    # Where it is from, and on which terms.
    hash=$(jq -r .source.hash out/manifest.json)
    for file in network.h network.c weights.h weights.c; do
        head -n 1 "out/$file" |
            grep -qx "/\* Made by apq .* of the space tiny, hash $hash\."
    done
    percent=$(jq '.network.test_top1 * 100' "$RUN/finetune.json")
    grep -q "hash $hash .* classed ${percent%.*}\.[0-9]* % of 200 test images" \
        out/README.md
    tail -n "$(wc -l <"$ROOT/LICENSE")" out/README.md | cmp - "$ROOT/LICENSE"
    head -n 1 out/arith.h | grep -q 'SPDX-License-Identifier: MIT'
    # Codes of the first layer: found later, with the layer.
    sed -i '/shapes_stem_w\[/ { n; s/[-0-9][0-9]*/1/g; }' out/weights.c
    rm out/README.md
    run "$APQ" verify out --run "$RUN"
    expect_status 5
    expect_output '^does not agree in C99 .* differs is stem'
    expect_output '^changed or gone since exported: README\.md, weights\.c$'
    [ "$(grep -c 'since' <<<"$output")" -eq 1 ]
    jq -e '.verification | length == 1 and (.[0].agrees | not)
        and .[0].first_layer == "stem" and .[0].images == 1
        and all(.[0] | .other_class, .far, .worst, .mean; . == null)
        ' out/manifest.json
    mkdir -p run/exports
    cp "$RUN"/*.json run/
    cp -r out run/exports/c
    "$APQ" report --run run --quiet |
        grep -qE 'by cc *\| *1 \|.*shapes[^|]*\| *- \| *- \| \*\*no\*\*: image 0'
    run "$APQ" verify out --model "$RUN/baseline.safetensors" --space tiny
    expect_status 6
    [[ $output != *--model* ]]
    # Without either, the shipped network is meant.
    run "$APQ" verify out --quiet
    expect_status 6
    expect_output '^apq: out/manifest\.json: made from .*; name .* with --run or --model \(changed or gone '
}

@test "the shipped network on an emulated Cortex-M4" {
    "$APQ" export --space cifar10 --format c -o out --quiet --images 1
    cd "$ROOT"
    run sh tests/unit/export/cortex/run.sh "$BATS_TEST_TMPDIR/out" cortex-m4 \
        mps2-an386
    [ "$status" -ne 77 ] || skip "${output#skipped: }"
    expect_status 0
    expect_output '^4 of 4 images as expected'
}

@test "names of classes survive, and the manifest tells how images are made" {
    jq -n '["say \"hi\"", "back\\slash\\n0", "two\nlines\t", "??/??(",
        "Zo\u00eb \u5317\u4eac \ud83d\ude00", "\u00017", "%d%s", "", "a/b",
        "plain"]' >names.json
    name_classes names.json "$RUN/network.safetensors" named.safetensors
    for format in c safetensors; do
        run "$APQ" export --model named.safetensors --space tiny --quiet \
            --format "$format" -o "$format" --images 5
        expect_status 0
        expect_output '^agrees in'
        jq -e --slurpfile names names.json '.classes == $names[0]
            and (.input as $in | .preprocessing | .mean == $in.mean
                and .std == $in.std and .resolution == $in.shape[1]
                and .resize == {shorter_side: [16, 18], filter: "triangle"}
                and .crop == "centre" and .colours == "RGB")
            ' "$format/manifest.json"
    done
    jq -e --slurpfile names names.json --slurpfile c c/manifest.json \
        '.class_names == $names[0] and .classes == 10
        and .preprocessing == $c[0].preprocessing' safetensors/network.json
    cat >print.c <<'END'
#include "c/network.h"
#include <stdio.h>
int main(void)
{
    for (int k = 0; k < NETWORK_CLASSES; k++) {
        printf("%s%c", network_class_names[k], 0);
    }
    return 0;
}
END
    # ISO C has trigraphs.
    cc -std=c99 -Wall -Wextra -pedantic -Werror print.c c/network.c \
        c/weights.c -o print
    ./print | cmp - <(jq -j '.[] + "\u0000"' names.json)
    grep -q 'below 16 or above 18' c/README.md
    grep -q 'network_class_names\[label\]' c/README.md
}

@test "a network that knows no names of classes" {
    sed 's/"class_names"/"other_names"/' "$RUN/network.safetensors" >old.safetensors
    for format in c safetensors; do
        "$APQ" export --model old.safetensors --space tiny --quiet \
            --format "$format" -o "$format" --images 5
        jq -e 'has("classes") and .classes == null' "$format/manifest.json"
    done
    jq -e '.class_names == null and .classes == 10' safetensors/network.json
    ! grep -r class_names c || false
}

@test "an export that cannot be run is bad input; no compiler is a failure" {
    "$APQ" export --run "$RUN" --format c -o out --quiet --images 4
    cp out/manifest.json verified.json
    echo 'nonsense;' >>out/network.c
    run "$APQ" verify out --run "$RUN"
    expect_status 3
    expect_output '^apq: out: .*error.* \(changed or gone since exported: network\.c\)$'
    [ "$(grep -c 'since' <<<"$output")" -eq 1 ]
    rm out/main_test.c
    run "$APQ" verify out --run "$RUN" --quiet
    expect_status 3
    [ "${#lines[@]}" -eq 1 ]
    expect_output '^apq: out: .*main_test\.c.* \(changed or gone since exported: main_test\.c, network\.c\)$'
    cmp verified.json out/manifest.json
    # A whole export that the compiler refuses: not its fault.
    "$APQ" export --run "$RUN" --format c -o out --quiet --images 4
    mkdir bin
    printf '#!/bin/sh\n[ "$1" = --version ] || { echo error: no; exit 1; } >&2\n' \
        >bin/cc
    chmod +x bin/cc
    PATH=$PWD/bin:$PATH run "$APQ" verify out --run "$RUN" --quiet
    expect_status 1
    expect_output '^apq: out: error: no$'
    PATH=/nowhere run "$APQ" verify out --run "$RUN" --quiet
    expect_status 1
    expect_output '^apq: out/manifest\.json: cannot be run: apq verify needs a C compiler cc$'
    # The same of weights.
    "$APQ" export --run "$RUN" --format safetensors -o weights --quiet
    rm weights/network.safetensors
    run "$APQ" verify weights --run "$RUN" --quiet
    expect_status 3
}

@test "main_test gives of pixels what apq infer gives of the images" {
    "$APQ" export --run "$RUN" --format c -o out --quiet --images 1
    "$APQ" infer --run "$RUN" --image "$RUN/search.png" \
        "$RUN/search-policy.png" --pixels images.rgb --top 10 --json >infer.json
    [ "$(stat -c %s images.rgb)" -eq $((2 * 16 * 16 * 3)) ]
    make -s -C out main_test
    out/main_test images.rgb >lines
    [ "$(wc -l <lines)" -eq 2 ]
    mantissa=$(awk '$2 ~ /UNIT_MANTISSA/ { print $3 }' out/network.h)
    exponent=$(awk '$2 ~ /UNIT_EXPONENT/ { print $3 }' out/network.h | tr -d '()')
    # A line is the class, ten sums, ten logits.
    jq -e --argjson unit "$mantissa" --argjson exponent "$exponent" \
        --slurpfile numbers <(tr '\n' ' ' <lines) '
        .images | length == 2 and all(range(2) as $i | .[$i].classes as $c
            | $numbers[21 * $i:21 * ($i + 1)]
            | (.[11:] | map(. * $unit * pow(2; $exponent) | exp)) as $e
            | .[0] == $c[0].label and all($c[];
                (.probability - $e[.label] / ($e | add)) | fabs < 1e-6); .)
        ' infer.json
    # Nothing is written of a bad image, nor where it cannot be.
    echo none >bad.png
    run "$APQ" infer --run "$RUN" "$RUN/search.png" bad.png --pixels bad.rgb
    expect_status 3
    [ ! -e bad.rgb ]
    run "$APQ" infer --run "$RUN" "$RUN/search.png" --pixels no/where.rgb
    expect_status 3
    expect_output '^apq: no/where\.rgb: '
    [ "${#lines[@]}" -eq 1 ]
}

@test "weights and their description" {
    run "$APQ" export --run "$RUN" --format safetensors -o out --quiet
    expect_status 0
    expect_output '^agrees in apq, read back: '
    jq -e '.verification[0] | .agrees and .images > 0' out/manifest.json
    jq -e --slurpfile tuned "$RUN/finetune.json" '.layers[0].name == "stem"
        and .policy == $tuned[0].network.policy and (.mean | length) == 3
        and ([.layers[].weight_bits] | all(. >= 4 and . <= 8))' out/network.json
    "$APQ" verify out --run "$RUN" --images 7
    jq -e '.verification | length == 1 and .[0].images == 7' out/manifest.json
    truncate -s -1 out/network.safetensors
    run "$APQ" verify out --run "$RUN"
    expect_status 3
    expect_output '^apq: out/network\.safetensors: .* \(changed or gone since exported: network\.safetensors\)$'
}

@test "memory and weights go where they are told to" {
    "$APQ" export --run "$RUN" --format c --prefix shapes -o out --images 1 --quiet
    sections() { # SOURCE [FLAG...]: "NAME SECTION" of its data
        cc -std=c99 -Wall -Wextra -pedantic -Werror -c "out/$1.c" "${@:2}" -o o.o
        objdump -t o.o | awk '$3 == "O" { print $6, $4 }
            $4 == "O" { print $7, $5 }'
    }
    sections network '-DSHAPES_ARENA_ATTRIBUTE=__attribute__((section(".fast")))' |
        grep -qx 'memory \.fast'
    sections weights \
        '-DSHAPES_WEIGHTS_ATTRIBUTE=__attribute__((section(".store")))' >placed
    [ "$(grep -c '^shapes_.* \.store$' placed)" -gt 30 ]
    ! grep -v ' \.store$' placed || false
    sections network | grep -qx 'memory \.bss'
}

@test "an int of 16 bits is refused by the compiler" {
    "$APQ" export --run "$RUN" --format c -o out --images 1 --quiet
    printf '#include <stdint.h>\n#define int short\n#include "out/arith.h"\n' \
        >narrow.c
    run cc -std=c99 -c narrow.c
    [ "$status" -ne 0 ]
    expect_output 'int_has_32_bits'
}

@test "a folder whose name begins like an option" {
    run "$APQ" export --run "$RUN" --format c -o -out --images 4 --quiet
    expect_status 0
    expect_output '^agrees in C99 '
}

@test "load_pytorch.py finds classes by their names" {
    need python3
    # What finds files and labels computes nothing: an empty PyTorch will do.
    mkdir -p lib/torch/nn images/boat images/cat
    echo 'float32 = int8 = int32 = None' >lib/torch/__init__.py
    : >lib/torch/nn/__init__.py
    echo 'conv2d = None' >lib/torch/nn/functional.py
    find_images() { # NETWORK: labels of the files in images/
        PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=lib:$ROOT/examples run python3 -c "
import load_pytorch, pathlib
for file, label in load_pytorch.find(pathlib.Path('images'), $1):
    print(file.name, label)"
    }
    network='{"classes": 3, "class_names": ["cat", "dog", "boat"]}'
    find_images "$network"
    expect_status 1
    expect_output '^images: no images in folders of classes$'
    touch images/boat/a.png images/boat/notes.txt images/cat/b.JPG images/list
    find_images "$network"
    expect_status 0
    [ "$output" = $'a.png 2\nb.JPG 0' ]
    find_images '{"classes": 2, "class_names": None}'
    [ "$output" = $'a.png 0\nb.JPG 1' ]
    find_images '{"classes": 3}'
    expect_status 1
    expect_output '^images: 2 classes, not 3$'
    mkdir images/bird
    find_images "$network"
    expect_status 1
    expect_output '^images/bird: the network knows cat, dog, boat$'
}

@test "load_pytorch.py takes images that need no resizing as apq makes them" {
    python=${APQ_PYTHON:-python3}
    "$python" -c 'import torch, PIL' 2>/dev/null ||
        skip 'needs PyTorch and Pillow in python3 (APQ_PYTHON names another)'
    side=$(jq .asked.space.resolution "$RUN/report.json")
    mkdir -p images/a images/b
    # Lossless; the second is to be turned, which is in its EXIF.
    "$python" - "$side" <<'END'
import random, sys
from PIL import Image
side = int(sys.argv[1])
random.seed(1)
def draw(w, h):
    return Image.frombytes("RGB", (w, h), random.randbytes(3 * w * h))
draw(side + 3, side).save("images/a/1.png")
exif = Image.Exif()
exif[0x112] = 6
draw(side * 8 // 7, side + 5).save("images/b/2.png", exif=exif)
END
    "$APQ" infer --run "$RUN" --image images/a/1.png images/b/2.png \
        --pixels pixels >/dev/null
    read_images() {
        PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$ROOT/examples run "$python" -c "
import load_pytorch, pathlib, sys
pixels, _ = load_pytorch.read(pathlib.Path('images'),
    {'classes': 2, 'resolution': $side})
open('read', 'wb').write(bytes(pixels.flatten().tolist()))"
    }
    read_images
    expect_status 0
    cmp pixels read
    "$python" -c "
from PIL import Image
Image.new('RGB', (70, 90)).save('images/b/3.png')"
    read_images
    expect_status 1
    expect_output '^images/b/3\.png: 70 x 90, .*`apq infer --image .* --pixels'
}

@test "a compiler that has no place to work in is not taken for none" {
    TMPDIR=/nowhere run "$APQ" export --run "$RUN" --format c -o out --quiet
    expect_status 3
    expect_output '/nowhere'
}

@test "a full disk is exit 1 and leaves no half of an export" {
    # A limit on file size is a disk that is full for the weights.
    full() {
        run bash -c "trap '' XFSZ; ulimit -f $1
            exec '$APQ' export --run '$RUN' --format $2 -o '$3' --quiet"
        expect_status 1
        expect_output "^apq: $3/\\.apq-export-[A-Za-z0-9]*/$4: cannot write: "
        [ "${#lines[@]}" -eq 1 ]
    }
    for limit in 1 4 8; do
        full "$limit" c out '[a-z._]*'
        [ ! -e out ]
    done
    full 4 safetensors deep/out 'network.safetensors'
    [ ! -e deep ]
    mkdir old
    full 4 c old/new//deep/out '[a-z._]*'
    [ -d old ]
    [ ! -e old/new ]
    # No folder can have such a name.
    run "$APQ" export --run "$RUN" -o "deep/$(printf '%0300d' 0)" --quiet
    expect_output 'cannot make folder'
    [ ! -e deep ]
    full 4 onnx deep/out 'network.onnx'
    [ ! -e deep ]
    # What was there before stays, and is another network's to the last file.
    for format in c safetensors onnx; do
        "$APQ" export --model "$RUN/baseline.safetensors" --space tiny \
            --format "$format" -o own --images 10 --quiet
        echo kept >own/notes
        cp -r own before
        # The first file and a later one.
        for limit in 4 16; do
            full "$limit" "$format" own '[a-z._]*'
            diff -r before own
        done
        "$APQ" export --run "$RUN" --format "$format" -o own --quiet --images 10
        [ "$(cat own/notes)" = kept ]
        rm own/notes
        "$APQ" export --run "$RUN" --format "$format" -o new --quiet --images 10
        diff -r new own
        rm -r before own new
    done
}

@test "what a killed export has left goes with the next one, not what is in use" {
    mkdir -p out/.apq-export-killed out/.apq-export-busy42 elsewhere \
        out/.apq-export-set.up out/.apq-export-setting
    echo half | tee out/.apq-export-killed/network.c.old \
        out/.apq-export-busy42/network.c out/.apq-export-set.up/users \
        >elsewhere/kept
    ln -s ../elsewhere out/.apq-export-links1
    # A failed one removes nothing but its own.
    mkdir out/network.c
    run "$APQ" export --run "$RUN" --format c -o out --quiet
    expect_status 3
    [ -e out/.apq-export-killed ]
    rmdir out/network.c
    flock out/.apq-export-busy42 "$APQ" export --run "$RUN" --format c -o out \
        --images 10 --quiet
    [ "$(cd out && echo .apq-export-*)" = ".apq-export-busy42 \
.apq-export-links1 .apq-export-set.up .apq-export-setting" ]
    [ -s out/.apq-export-busy42/network.c ]
    [ -s elsewhere/kept ]
    [ -s out/.apq-export-set.up/users ]
    [ -s out/network.c ]
    [ -s out/manifest.json ]
}

@test "a folder in the place of a file is refused, the others stay" {
    "$APQ" export --model "$RUN/baseline.safetensors" --space tiny --format c \
        -o out --images 10 --quiet
    rm out/weights.c
    mkdir out/weights.c
    cp -r out before
    run "$APQ" export --run "$RUN" --format c -o out --quiet
    expect_status 3
    expect_output '^apq: out/weights.c: in the way of the export, and no file$'
    diff -r before out
}

# refuses FILE OPTION...: an export that would replace the file changes nothing.
refuses() {
    local file=$1
    shift
    rm -rf before
    cp -r "$(dirname "$file")" before
    run "$APQ" export --space tiny --quiet --images 4 "$@"
    expect_status 3
    [ "${#lines[@]}" -eq 1 ]
    [[ $output == "apq: $file: "* ]]
    diff -r "$(dirname "$file")" before
}

@test "files that no export has written stay" {
    mkdir own
    cp "$RUN/network.safetensors" own/
    model=own/network.safetensors
    refuses "$model" --model "$model" --format safetensors -o own
    expect_output 'is the network that is exported'
    ln -s own/network.safetensors link
    refuses "$model" --model link --format safetensors -o own
    for name in Makefile README.md network.c; do
        mkdir "of-$name"
        echo mine >"of-$name/$name"
        refuses "of-$name/$name" --model "$model" --format c -o "of-$name"
        expect_output 'of no earlier export'
    done
    # A link that leads nowhere is the user's, too.
    mkdir linked
    ln -s nowhere linked/manifest.json
    run "$APQ" export --run "$RUN" --format c -o linked --quiet
    expect_status 3
    [ "$(ls linked)" = manifest.json ]
    [ -L linked/manifest.json ]
    # Nor do those become an export's that have the manifest of one beside them.
    "$APQ" export --model "$model" --space tiny --format safetensors -o weights \
        --quiet --images 4
    jq 'del(.files["network.json"])' weights/manifest.json >cut.json
    cp cut.json weights/manifest.json
    echo mine >weights/network.json
    refuses weights/network.json --model "$model" --format safetensors -o weights
    rm weights/network.json
    cp "$model" weights/network.safetensors
    refuses weights/network.safetensors --model weights/network.safetensors \
        --format safetensors -o weights
}

@test "an export goes where a killed one has left its files" {
    "$APQ" export --run "$RUN" --format c -o new --quiet --images 4
    "$APQ" export --model "$RUN/baseline.safetensors" --space tiny --format c \
        -o killed --quiet --images 4
    # In the midst of moving: some are old, some new, some in between.
    mkdir killed/.apq-export-killed
    for name in manifest.json network.c network.h weights.h; do
        mv "killed/$name" "killed/.apq-export-killed/$name.old"
    done
    cp new/manifest.json new/network.h killed/.apq-export-killed/
    cp new/network.c killed/
    "$APQ" export --run "$RUN" --format c -o killed --quiet --images 4
    diff -r new killed
    rm -r killed
    # There was none before.
    mkdir -p killed/.apq-export-killed
    cp new/manifest.json new/network.h killed/.apq-export-killed/
    cp new/network.c new/weights.c killed/
    "$APQ" export --model "$RUN/baseline.safetensors" --space tiny --format c \
        -o killed --quiet --images 4
    rm -r killed
    # One that was killed before it could look what is there.
    mkdir -p killed/.apq-export-killed
    cp new/* killed/.apq-export-killed/
    echo mine >killed/network.c
    refuses killed/network.c --model "$RUN/baseline.safetensors" --format c \
        -o killed
}

@test "one export or verification at a time is at work in a folder" {
    mkdir out
    for format in c onnx safetensors; do
        run flock out "$APQ" export --run "$RUN" --format "$format" -o out --quiet
        expect_status 3
        [ "$output" = 'apq: out: in use by another export or verification of this folder' ]
        [ -z "$(ls -A out)" ]
    done
    "$APQ" export --run "$RUN" --format c -o out --quiet --images 4
    cp -r out before
    run flock out "$APQ" verify out/network.c --run "$RUN" --quiet --images 5
    expect_status 3
    [ "$output" = 'apq: out: in use by another export or verification of this folder' ]
    diff -r before out
    # Also while it is run.
    (
        slow_tools program
        "$APQ" verify out --run "$RUN" --quiet 2>log &
        pid=$!
        wait_for test -e "$PIDS"
        run "$APQ" export --run "$RUN" --format c -o out --quiet
        expect_status 3
        expect_output '^apq: out: in use'
        kill -INT "$pid"
        wait "$pid" || [ $? -eq 130 ]
    )
    diff -r before out
    # Two at once: the manifest is of what is there.
    for i in 1 2 3; do
        "$APQ" export --run "$RUN" --format safetensors -o "two$i" --quiet \
            --images 4 2>log &
        pid=$!
        run "$APQ" export --model "$RUN/baseline.safetensors" --space tiny \
            --format safetensors -o "two$i" --quiet --images 4
        wait "$pid" || [ $? -eq 3 ]
        [ "$status" -eq 0 ] || expect_status 3
        source=$(jq -r .source.file "two$i/manifest.json")
        run "$APQ" verify "two$i" --model "$RUN/$source" --space tiny --quiet \
            --images 4
        expect_status 0
        [[ $output != *changed* ]]
    done
}

@test "a finetune.json that does not tell the accuracy is noted" {
    mkdir run
    cp "$RUN/network.safetensors" "$RUN/baseline.safetensors" run/
    export_it() { # NETWORK
        run "$APQ" export --model "run/$1" --space tiny --format c -o out \
            --images 4
        expect_status 0
    }
    export_it network.safetensors
    [[ $output != *finetune.json* ]]
    cp "$RUN/finetune.json" run/
    for network in network baseline; do
        export_it "$network.safetensors"
        [[ $output != *finetune.json* ]]
        jq -e --slurpfile tuned run/finetune.json --arg of "$network" \
            '.expected.test_top1 == $tuned[0][$of].test_top1' out/manifest.json
    done
    cp run/network.safetensors run/copy.safetensors
    export_it copy.safetensors
    expect_output '^run/finetune\.json: has no accuracy of run/copy\.safetensors; the'
    for change in 'del(.network)' '.network.hash = "0"' '[]' \
        '.network.test_top1 = "high"' '.network.test_count = null'; do
        jq "$change" "$RUN/finetune.json" >run/finetune.json
        export_it network.safetensors
        expect_output '^run/finetune\.json: .*; the export tells no'
        jq -e '.expected == null' out/manifest.json
    done
    head -c 100 "$RUN/finetune.json" >run/finetune.json
    export_it network.safetensors
    expect_output '^run/finetune\.json:[0-9]+: not JSON: .*; the export tells no accuracy$'
    [ "$(grep -c finetune.json <<<"$output")" -eq 1 ]
}

# bound COMMAND...: permissions hold for root, too.
bound() {
    if [ "$(id -u)" -eq 0 ]; then
        setpriv --bounding-set=-dac_override "$@"
    else
        "$@"
    fi
}

@test "an export in a folder that cannot be written gets its verdict" {
    for format in c safetensors onnx; do
        [ "$format" != onnx ] || [ -n "$ORT" ] || continue
        "$APQ" export --run "$RUN" --format "$format" -o out --quiet --images 4
        cp -r out before
        chmod a-w out
        ! bound touch out/file 2>log || skip 'needs setpriv, and a right to use it'
        run bound env APQ_ORT="$ORT" "$APQ" verify out --run "$RUN" --images 5 \
            --quiet
        expect_status 0
        expect_output '^agrees in .*: 5 images, 0 of another class'
        expect_output '^out/manifest\.json: cannot create: Permission denied; the manifest does not have the verdict$'
        # The runtime's accuracy is a line of its own.
        [ "${#lines[@]}" -eq 4 ] || [ "$format ${#lines[@]}" = 'onnx 5' ]
        bound env APQ_ORT="$ORT" "$APQ" verify out --run "$RUN" --images 5 \
            --quiet --json 2>log >answer.json
        jq -e '.verification[0].images == 5' answer.json
        chmod u+w out
        diff -r before out
        rm -r before out
    done
    # A full disk, too; and what does not agree is told as ever.
    "$APQ" export --run "$RUN" --format safetensors -o out --quiet --images 4
    cp out/manifest.json before
    sed -i 's/shorter_side/longest_side/' out/network.safetensors
    run bash -c "trap '' XFSZ; ulimit -f 0
        exec '$APQ' verify out --run '$RUN' --quiet | cat; exit \${PIPESTATUS[0]}"
    expect_status 5
    expect_output '^does not agree in '
    expect_output '^out/manifest\.json: cannot write: .*; the manifest does not have'
    expect_output '^apq: out/network\.safetensors: not what the network computes$'
    cmp before out/manifest.json
}

# says_stale COMMAND...: once, on standard error.
says_stale() {
    "$APQ" "$@" --run run >out.txt 2>note.txt
    [ "$(grep -c 'earlier search' note.txt)" -eq 1 ]
    grep -q '^run/network\.safetensors: of an earlier search than run/best\.json' \
        note.txt
    ! grep -q 'earlier search' out.txt || false
}

# says_nothing_stale COMMAND...
says_nothing_stale() {
    run "$APQ" "$@" --run run
    expect_status 0
    [[ $output != *'earlier search'* ]]
}

@test "a network of an earlier search is exported, verified and used with a note" {
    cp -r "$RUN" run
    export_it=(export --format c -o out --images 10)
    verify_it=(verify out --images 10)
    says_nothing_stale "${export_it[@]}"
    says_nothing_stale "${verify_it[@]}"
    says_nothing_stale infer run/search.png
    "$APQ" search --run run --latency-ms "$(tighter)" --quiet
    says_stale "${export_it[@]}"
    says_stale "${export_it[@]}" --quiet
    jq -e '.verification[0].agrees' out/manifest.json
    says_stale "${verify_it[@]}"
    says_stale "${verify_it[@]}" --quiet --json
    says_stale infer run/search.png
    says_stale infer run/search.png --quiet --json
    # Not where another network was asked for.
    says_nothing_stale infer --model run/network.safetensors run/search.png
    "$APQ" finetune --run run finetune.policy=smallest finetune.epochs=1 --quiet
    says_nothing_stale "${export_it[@]}"
    says_nothing_stale infer run/search.png
}

@test "what does not fit these formats" {
    for wrong in '--format onnx --prefix x' '--format c --prefix 2x' \
        '--format c --storage packed' '--format safetensors --no-function'; do
        # shellcheck disable=SC2086
        run "$APQ" export --run "$RUN" -o out $wrong
        expect_status 2
    done
    [ ! -e out ]
}

@test "normalisation is the network's, whatever images verify" {
    "$APQ" export --run "$RUN" --format safetensors -o own --quiet
    "$APQ" export --run "$RUN" --format safetensors -o other --quiet \
        --data 'builtin:shapes?train=300&test=20&size=32&seed=9'
    cmp own/network.json other/network.json
}

@test "where the images are gone, drawn ones verify, however few" {
    cp -r "$RUN" run
    jq '.data = "nowhere"' "$RUN/run.json" >run/run.json
    run "$APQ" export --run run --format c -o out --images 3
    expect_status 0
    expect_output '^agrees in C99 compiled by cc: 3 images'
    expect_output '^images: drawn \(nowhere: no such dataset'
    run "$APQ" verify out --run run --images 1 --quiet
    expect_status 0
    expect_output ': 1 images'
    expect_output '^images: drawn \(nowhere: no such dataset'
    # A dataset that nobody has named is not complained about.
    run "$APQ" verify out --model run/network.safetensors --space tiny --images 1
    expect_status 0
    expect_output '^images: drawn \(no data are named\)$'
    [[ $output != *cifar10* ]]
}

# rows FILTER: of the manifest of out, as one line of JSON.
rows() {
    jq -c "[.verification[] | $1]" out/manifest.json
}

@test "a row says what its images were; drawn ones replace none of data" {
    for class in {a..j}; do
        mkdir -p "photos/train/$class" "photos/test/$class"
        cp "$RUN/search.png" "photos/train/$class/1.png"
        cp "$RUN/search.png" "photos/test/$class/2.png"
    done
    verify=(verify out --model "$RUN/network.safetensors" --space tiny --quiet)
    "$APQ" export --run "$RUN" --format safetensors -o out --quiet --images 5
    [ "$(rows '.data, (.data_hash | length)')" = \
        "[$(jq .data "$RUN/run.json"),16]" ]
    run "$APQ" "${verify[@]}" --images 7 --data "$PWD/photos/"
    expect_status 0
    expect_output '^images: /.*/photos/ \([0-9a-f]{16}\)$'
    [ "$(rows '.data, .images')" = '["photos",7]' ]
    run "$APQ" "${verify[@]}" --images 9 --json
    [ "$(rows '.data, .images, has("data_hash")')" = \
        '["photos",7,true,"drawn",9,false]' ]
    "$APQ" "${verify[@]}" --images 8
    [ "$(rows '.data, .images')" = '["photos",7,"drawn",8]' ]
    mkdir -p run/exports
    cp "$RUN"/*.json run/
    cp -r out run/exports/weights
    run "$APQ" report --run run --quiet
    expect_output 'read back *\| *7 \| photos *\|'
    expect_output 'read back *\| *8 \| drawn *\|'
    # Of older versions, which did not tell.
    jq 'del(.verification[0] | .data, .data_hash)' out/manifest.json >old.json
    cp old.json out/manifest.json
    "$APQ" "${verify[@]}" --images 8
    [ "$(rows '.data, .images')" = '[null,7,"drawn",8]' ]
    # What was found of other files is no longer true.
    echo >>out/network.json
    "$APQ" "${verify[@]}" --images 6
    [ "$(rows '.data, .images')" = '["drawn",6]' ]
    "$APQ" "${verify[@]}" --images 5 --data photos
    [ "$(rows '.data, .images')" = '["photos",5]' ]
}

@test "verify takes the file of the manifest, no other beside it" {
    "$APQ" export --run "$RUN" --format c -o out --quiet --images 10
    cp out/network.c out/other.c
    run "$APQ" verify out/other.c --run "$RUN" --quiet
    expect_status 3
    expect_output 'out/other.c: out/manifest.json is of network.c, not of this'
    (cd out && "$APQ" verify network.c --run "$RUN" --images 10 --quiet)
}

# slow_tools KIND: a compiler cc first in PATH that takes a minute, or whose
# programs do; each leaves its number, and that of what it has started, in pids.
slow_tools() {
    mkdir -p "bin-$1" "tmp-$1"
    cat >"bin-$1/slow" <<'END'
#!/bin/sh
[ -z "$DEAF" ] || trap '' TERM
sleep 60 &
echo "$$ $!" >"$PIDS.new" && mv "$PIDS.new" "$PIDS"
wait
END
    cat >"bin-$1/cc" <<END
#!/bin/sh
[ "\$1" != --version ] || exit 0
case $1 in compiler*) exec "$PWD/bin-$1/slow" ;; esac
while [ "\$1" != -o ]; do shift; done
cp "$PWD/bin-$1/slow" "\$2"
END
    chmod +x "bin-$1/slow" "bin-$1/cc"
    export PIDS=$PWD/pids-$1 TMPDIR=$PWD/tmp-$1 PATH=$PWD/bin-$1:$PATH
}

# is_gone PID: or a zombie that nobody waits for.
is_gone() {
    ! grep -qs '^State:[[:space:]]*[^Z[:space:]]' "/proc/$1/status" || false
}

# interrupt COMMAND...: once its tool works. 130, and nothing of it is left.
interrupt() {
    "$@" >out.txt 2>log &
    local pid=$! status=0 started pids
    wait_for test -e "$PIDS"
    started=$SECONDS
    kill -INT "$pid"
    wait "$pid" || status=$?
    cat log
    [ "$status" -eq 130 ]
    [ $((SECONDS - started)) -le 20 ]
    [[ $(cat log) =~ ^'apq: verification interrupted'(' (out-'[a-z-]+'/network.c is written, but not verified)')?$ ]]
    [ ! -s out.txt ]
    read -r -a pids <"$PIDS"
    wait_for is_gone "${pids[0]}"
    wait_for is_gone "${pids[1]}"
    rm "$PIDS"
    [ -z "$(ls -A "$TMPDIR")" ]
}

@test "an interrupted verification is exit 130, its processes gone" {
    "$APQ" export --run "$RUN" --format c -o before --quiet --images 4
    jq '.verification = []' before/manifest.json >unverified.json
    for kind in compiler compiler-deaf program; do
        (
            slow_tools "$kind"
            [ "$kind" != compiler-deaf ] || export DEAF=1
            interrupt "$APQ" export --run "$RUN" --format c -o "out-$kind" \
                --quiet
            interrupt "$APQ" verify before --run "$RUN" --quiet
        )
        # The export is whole, and what it was verified with before is kept.
        diff -r -x manifest.json before "out-$kind"
        jq . "out-$kind/manifest.json" | cmp - <(jq . unverified.json)
        jq -e '.verification[0].agrees' before/manifest.json
    done
}

@test "a verdict on changed files names them" {
    "$APQ" export --run "$RUN" --format c -o out --quiet --images 4
    cp -r out whole
    echo '/* mine */' >>out/network.c
    rm out/README.md
    "$APQ" verify out --run "$RUN" --images 4 --quiet --json >answer.json
    jq -e '.verification[0] | .agrees
        and .changed == ["README.md", "network.c"]' answer.json
    run "$APQ" verify out --run "$RUN" --images 4 --quiet
    expect_status 0
    expect_output '^changed or gone since exported: README\.md, network\.c$'
    [[ $output != *$(jq -r .hash out/manifest.json)* ]]
    mkdir -p run/exports
    cp "$RUN"/*.json run/
    cp -r out run/exports/c
    "$APQ" report --run run --quiet | grep -q '| yes, of changed files *|'
    # Once it is whole again nothing is left of that.
    cp whole/network.c whole/README.md out/
    "$APQ" verify out --run "$RUN" --images 4 --quiet --json |
        jq -e '.verification | length == 1 and (.[0] | has("changed") | not)'
}

@test "what is verified, and is not what it should be, is named" {
    "$APQ" export --run "$RUN" --format c -o c --quiet --images 4
    # As with another number of classes.
    sed -i 's/printf(" %ld", (long)logits\[k\]);/(void)logits;/' c/main_test.c
    run "$APQ" verify c --run "$RUN" --quiet
    expect_status 3
    expect_output '^apq: c: main_test prints no class, 10 sums and 10 logits of image 0'
    "$APQ" export --run "$RUN" --format safetensors -o w --quiet --images 4
    cp "$RUN/network.safetensors" w/
    run "$APQ" verify w --run "$RUN" --quiet
    expect_status 3
    expect_output '^apq: w/network\.safetensors: not an integer network of apq \(changed or '
    for other in w some.onnx; do
        run "$APQ" verify c "$other" --run "$RUN" --quiet
        expect_status 2
        expect_output "^apq verify: $other: one export is verified at a time"
    done
}
