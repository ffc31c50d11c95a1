#!/usr/bin/env bats
# apq export and apq verify: files, refusals and, where APQ_ORT names ONNX
# Runtime's library, what it computes.

load 'helper'

setup_file() {
    make_run search.latency_ms=0.02
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return 1
    "$APQ" doctor --json | jq -e '.export.onnx' >/dev/null ||
        skip 'this build has no ONNX (Debian: libonnx-dev, protobuf-c-compiler)'
}

@test "a file and its manifest; without a runtime it says so" {
    run env -u APQ_ORT "$APQ" export --run "$RUN" -o out --quiet
    expect_status 0
    expect_output 'out/network.onnx \([0-9a-f]{16}\)'
    expect_output '^not verified: .*apq verify'
    jq -e --slurpfile tuned "$RUN/finetune.json" '.schema_version == 1
        and .format == "onnx" and .file == "network.onnx"
        and .verification == [] and .input.shape[0] == null
        and (.input.mean | length) == 3
        and (.widths | map(.weight_bits) | unique | all(. >= 4 and . <= 8))
        and .expected.test_top1 == $tuned[0].network.test_top1
        and .policy == $tuned[0].network.policy' out/manifest.json
    grep -q 'apq.normalisation' out/network.onnx
    # The same again, by the name of the file.
    cp -r out before
    env -u APQ_ORT "$APQ" export --run "$RUN" -o out/network.onnx --quiet
    cmp before/network.onnx out/network.onnx
    cmp before/manifest.json out/manifest.json
}

@test "formats differ in what they hold" {
    unset APQ_ORT
    "$APQ" export --run "$RUN" --format qonnx -o q --quiet
    "$APQ" export --run "$RUN" --format qonnx --no-function -o n --quiet
    grep -q magnitude_bits q/network.onnx
    ! grep -q magnitude_bits n/network.onnx || false
    "$APQ" export --run "$RUN" --format qonnx --quant-op Quant -o old --quiet
    grep -q IntQuant q/network.onnx
    ! grep -q IntQuant old/network.onnx || false
    grep -q Quant old/network.onnx
    "$APQ" export --run "$RUN" --format qonnx --scaled -o scaled --quiet
    grep -q stem.units q/network.onnx
    ! grep -q stem.units scaled/network.onnx || false
    jq -e '.has_codes' q/manifest.json
    jq -e '.has_codes == false' scaled/manifest.json
    run "$APQ" export --run "$RUN" --storage packed -o p
    expect_status 0
    n=$(jq '[.widths[] | select(.weight_bits <= 4)] | length' p/manifest.json)
    expect_output "^weights of $n of [0-9]+ layers are packed, .* storage only"
    jq -e '.is_packed' p/manifest.json
}

@test "packing of a network that has nothing to pack says so" {
    unset APQ_ORT
    cp -r "$RUN" run
    "$APQ" finetune --run run finetune.policy=largest finetune.epochs=1 --quiet
    run "$APQ" export --run run --storage packed -o p
    expect_status 0
    expect_output '^none of [0-9]+ layers has weights of up to 4 bits: none is'
    [[ $output != *storage* ]]
}

@test "names of classes and how images are made, in the metadata" {
    unset APQ_ORT
    jq -n '["say \"hi\"", "back\\slash\\n0", "two\nlines", "Zo\u00eb \u5317",
        "4", "5", "6", "7", "8", "9"]' >names.json
    name_classes names.json "$RUN/network.safetensors" named.safetensors
    for format in onnx qonnx; do
        "$APQ" export --model named.safetensors --space tiny --quiet \
            --format "$format" -o "$format"
        grep -aqF "$(jq -c . names.json)" "$format/network.onnx"
        grep -aqF "$(jq -c .preprocessing "$format/manifest.json")" \
            "$format/network.onnx"
        jq -e --slurpfile names names.json '.classes == $names[0]
            and .preprocessing.resize.shorter_side == [16, 18]
            ' "$format/manifest.json"
    done
    sed 's/"class_names"/"other_names"/' named.safetensors >old.safetensors
    "$APQ" export --model old.safetensors --space tiny --quiet -o old
    ! grep -q apq.classes old/network.onnx || false
    jq -e '.classes == null' old/manifest.json
}

@test "what does not fit the format is wrong usage" {
    for wrong in '--format qonnx --storage packed' '--format onnx --no-function' \
        '--format onnx --quant-op Quant' '--format qonnx --quant-op quant' \
        '--format c --scaled' '--format tflite' '--images -1'; do
        # shellcheck disable=SC2086
        run "$APQ" export --run "$RUN" -o out $wrong
        expect_status 2
    done
    run "$APQ" export --run "$RUN"
    expect_status 2
    run "$APQ" verify
    expect_status 2
    [ ! -e out ]
}

@test "another manifest is not overwritten" {
    cp -r "$RUN" run
    cp run/manifest.json before
    run "$APQ" export --run run -o run
    expect_status 3
    expect_output 'run/manifest.json: is of no export'
    cmp before run/manifest.json
    [ ! -e run/network.onnx ]
    env -u APQ_ORT "$APQ" export --run run -o a/one.onnx --quiet
    run "$APQ" export --run run -o a/two.onnx
    expect_status 3
    expect_output 'is of one.onnx; give this export a folder of its own'
    [ ! -e a/two.onnx ]
}

@test "names that are not UTF-8" {
    unset APQ_ORT
    mkdir $'m\xff'
    cp "$RUN/network.safetensors" $'m\xff/n\xfe.safetensors'
    "$APQ" export --model $'m\xff/n\xfe.safetensors' --space tiny --quiet \
        -o $'out\xff/net.onnx' --json >answer.json
    jq -e '.path == "out?/net.onnx" and .source.file == "n?.safetensors"
        and .file == "net.onnx"' answer.json
    jq -e '.source.file == "n?.safetensors"' $'out\xff/manifest.json'
    # Of the file itself, apq verify must find it by the manifest.
    run "$APQ" export --run "$RUN" -o $'other\xff/b\xfe.onnx' --quiet
    expect_status 3
    expect_output 'the file has a name that is not UTF-8$'
    [ "${#lines[@]}" -eq 1 ]
    [ ! -e $'other\xff' ]
}

@test "bad networks and exports" {
    unset APQ_ORT
    run "$APQ" export --model "$RUN/supernet.safetensors" --space tiny -o out
    expect_status 3
    expect_output 'not a fine-tuned network'
    head -c 3000 "$RUN/network.safetensors" >cut.safetensors
    run "$APQ" export --model cut.safetensors --space tiny -o out
    expect_status 3
    [ ! -e out ]
    # Ranges of 0, in a file that is whole otherwise.
    sed 's/"xxh3"/"none"/' "$RUN/network.safetensors" >zero.safetensors
    length=$(od -An -tu8 -N8 zero.safetensors)
    begin=$(tail -c +9 zero.safetensors | head -c "$length" |
        jq '.act_range.data_offsets[0]')
    dd if=/dev/zero of=zero.safetensors bs=1 count=4 conv=notrunc \
        seek=$((8 + length + begin)) 2>dd.log
    for command in 'export -o out' 'bench infer'; do
        # shellcheck disable=SC2086
        run "$APQ" $command --model zero.safetensors --space tiny --quiet
        expect_status 3
        expect_output '^apq: zero\.safetensors: stem: activation range 0, legal'
    done
    [ ! -e out ]
    run "$APQ" export --run "$RUN" --data nowhere -o out
    expect_status 3
    [ ! -e out ]
    run "$APQ" verify nothing --run "$RUN" --runtime x.so
    expect_status 3
    "$APQ" export --run "$RUN" -o out --quiet
    run "$APQ" verify out --run "$RUN"
    expect_status 1
    expect_output '^apq: out/manifest\.json: cannot be run: apq verify needs .*APQ_ORT$'
    run "$APQ" verify out --model "$RUN/baseline.safetensors" --space tiny \
        --runtime x.so
    expect_status 6
    run "$APQ" verify out --run "$RUN" --runtime ./x.so
    expect_status 1
    expect_output 'ONNX Runtime: ./x.so'
    run "$APQ" export --run "$RUN" -o other --runtime ./x.so --quiet
    expect_status 1
    expect_output '^apq: ONNX Runtime: ./x.so.* \(other/network.onnx is written, but'
    jq -e '.verification == []' other/manifest.json
    cp out/manifest.json sound.json
    for change in '.verification = 3' '.verification = [3]' \
        'del(.verification)' '.schema_version = 0' 'del(.schema_version)'; do
        jq "$change" sound.json >out/manifest.json
        run "$APQ" verify out --run "$RUN" --runtime x.so
        expect_status 3
        expect_output '^apq: out/manifest\.json: (verification|schema_version) is'
        [ "${#lines[@]}" -eq 1 ]
    done
    # Its format may be one that this version does not know.
    jq '.schema_version = 2 | .format = "later"' sound.json >out/manifest.json
    for command in 'verify out' 'export -o out'; do
        # shellcheck disable=SC2086
        run "$APQ" $command --run "$RUN" --runtime x.so --quiet
        expect_status 3
        [ "$output" = 'apq: out/manifest.json: an export of a newer apq, schema_version 2, this one reads 1' ]
    done
    echo '{}' >out/manifest.json
    run "$APQ" verify out --run "$RUN" --runtime x.so
    expect_status 3
}

@test "ONNX Runtime agrees with every format" {
    need_runtime
    for options in '--format onnx' '--storage packed' '--format qonnx' \
        '--format qonnx --scaled'; do
        # shellcheck disable=SC2086
        run "$APQ" export --run "$RUN" -o out $options --images 100 --quiet
        expect_status 0
        expect_output '^agrees in ONNX Runtime 1\.[0-9.]+: 100 images, 0 of'
        rm -r out
    done
    "$APQ" export --model "$RUN/network.safetensors" --space tiny --quiet \
        -o out/net.onnx --json >drawn.json
    jq -e '.verification[0].images == 1000 and .verification[0].agrees
        and .verification[0].worst < 1e-6 and (.input.mean | length) == 3
        and (.verification[0] | has("top1") | not)' drawn.json
    APQ_ORT='' "$APQ" verify out/net.onnx --run "$RUN" --runtime "$APQ_ORT" \
        --images 0 --quiet --json >run.json
    jq -e '.verification | length == 1 and .[0].images == 200' run.json
    # Accuracy there is what fine-tuning has measured.
    jq -e --slurpfile tuned "$RUN/finetune.json" '.verification[0] |
        .top1 == $tuned[0].network.test_top1 and .network_top1 == .top1' run.json
    # As many classes of other names are not the network's.
    jq -n '[range(10) | "class \(.)"]' >names.json
    name_classes names.json "$RUN/network.safetensors" named.safetensors
    "$APQ" export --model named.safetensors --run "$RUN" --images 10 --quiet \
        -o named --json | jq -e '.verification[0]
            | .agrees and .images == 10 and (has("top1") | not)'
    # Without names the images of the training are.
    sed 's/"class_names"/"other_names"/' named.safetensors >old.safetensors
    "$APQ" export --model old.safetensors --run "$RUN" --images 10 --quiet \
        -o old --json | jq -e '.verification[0] | has("top1")'
}

@test "without the definition of IntQuant there is nothing to run" {
    need_runtime
    run "$APQ" export --run "$RUN" --format qonnx --no-function -o out --quiet
    expect_status 0
    expect_output '^not verified: without the definition of IntQuant'
    run "$APQ" verify out --run "$RUN"
    expect_status 1
    expect_output '^apq: out/manifest\.json: cannot be run: without the defin'
}

@test "a changed weight is found, with its layer" {
    need_runtime
    "$APQ" export --run "$RUN" -o out --quiet --images 10
    name=first.pointwise.weight_codes
    # The last place of the name is the tensor's; its bytes follow.
    at=$(grep -obUa "$name" out/network.onnx | tail -n 1 | cut -d: -f1)
    printf '\001\001\001\001\001\001\001\001' |
        dd of=out/network.onnx bs=1 seek=$((at + ${#name} + 6)) conv=notrunc \
            2>/dev/null
    run "$APQ" verify out --run "$RUN"
    expect_status 5
    expect_output '^changed or gone since exported: network\.onnx$'
    [ "$(grep -c 'since' <<<"$output")" -eq 1 ]
    expect_output '^first layer that differs: first.pointwise,'
    jq -e '.verification | length == 1 and (.[0].agrees | not)
        and .[0].first_layer == "first.pointwise"' out/manifest.json
    echo rubbish >out/network.onnx
    for quiet in '' --quiet; do
        # shellcheck disable=SC2086
        run "$APQ" verify out --run "$RUN" $quiet
        expect_status 3
        expect_output '^apq: out/network\.onnx: ONNX Runtime: .* \(changed or gone since exported: network\.onnx\)$'
        [ "$(grep -c 'since' <<<"$output")" -eq 1 ]
    done
}

@test "the file of another network is a mismatch, though no layer can be named" {
    need_runtime
    for policy in smallest largest; do
        cp -r "$RUN" "$policy"
        "$APQ" finetune --run "$policy" "finetune.policy=$policy" --quiet \
            finetune.epochs=1
        "$APQ" export --run "$policy" -o "$policy-export" --quiet --images 20
        jq -e '.verification[0].agrees' "$policy-export/manifest.json"
    done
    mkdir -p smallest/exports/onnx
    cp smallest-export/network.onnx small.onnx
    cp largest-export/network.onnx smallest-export/
    mv small.onnx largest-export/network.onnx
    for policy in smallest largest; do
        run "$APQ" verify "$policy-export" --run "$policy" --images 20 --quiet
        expect_status 5
        expect_output '^does not agree in ONNX Runtime .*: 20 images, '
        expect_output '^first layer that differs: cannot be named: .*block'
        jq -e '.verification | length == 1 and (.[0] | (.agrees | not)
            and .far > 0 and .no_first_layer != null
            and (has("first_layer") | not))' "$policy-export/manifest.json"
    done
    cp smallest-export/manifest.json smallest/exports/onnx/
    run "$APQ" report --run smallest --quiet
    expect_output '\| \*\*no\*\*: the first layer that differs cannot be named: '
}

@test "a changed file that the runtime cannot run is damaged, with what it says" {
    need_runtime
    "$APQ" export --run "$RUN" -o out --quiet --images 10
    cp -r out whole
    # refuses CHANGE MESSAGE: of a sed of the file.
    refuses() {
        cp whole/network.onnx out/
        LC_ALL=C sed -z -i "$1" out/network.onnx
        run "$APQ" verify out --run "$RUN" --images 10 --quiet
        expect_status 3
        expect_output "^apq: out/network\.onnx: ONNX Runt.*$2.* \(changed or"
        [ "${#lines[@]}" -eq 1 ]
        diff whole/manifest.json out/manifest.json
    }
    # Names of the input and the output; its sides, two dimensions of 16.
    refuses 's/image/IMAGE/g' 'image'
    refuses 's/logits/LOGITS/g' 'logits'
    refuses 's/\n\x02\x08\x10\n\x02\x08\x10/\n\x02\x08\x18\n\x02\x08\x18/' \
        'index: 2 Got: 16 Expected: 24'
}
