#!/usr/bin/env bats
# apq infer: what images show, by the network of a run; apq bench infer: how
# fast.

load 'helper'

setup_file() {
    make_run
    # Any picture will do.
    export IMAGE=$RUN/search.png
    [ -s "$IMAGE" ]
}

@test "classes with probabilities, as text and as JSON" {
    run "$APQ" infer --run "$RUN" --image "$IMAGE"
    expect_status 0
    [ "${lines[0]}" = "$IMAGE" ]
    [ "${#lines[@]}" -eq 6 ]
    expect_output '^ +[0-9]+\.[0-9]{2} %  [a-z]+$'
    cp "$IMAGE" b.png
    "$APQ" infer --model "$RUN/network.safetensors" --image b.png "$IMAGE" \
        --json --top 3 >out.json
    jq -e --arg image "$IMAGE" '(.images | length) == 2
        and .images[0].image == "b.png" and .images[1].image == $image
        and .images[0].classes == .images[1].classes
        and ([.images[0].classes[].probability] | length == 3
            and . == (sort | reverse) and add <= 1 and .[0] >= 0.1)
        and (.images[0].classes | all(.label >= 0 and .label < 10
            and (.name | test("^[a-z]+$"))))' out.json
    # The first class is the text's.
    name=$(jq -r '.images[0].classes[0].name' out.json)
    [[ "${lines[1]}" == *" $name" ]]
}

@test "a name that is not UTF-8 is told as far as it is" {
    cp "$IMAGE" $'n\xff.png'
    "$APQ" infer --run "$RUN" --image $'n\xff.png' --json |
        jq -e '.images[0].image == "n?.png"'
}

@test "what is no space, and what ships nothing, is told" {
    run "$APQ" infer --space cifar "$IMAGE"
    expect_status 3
    expect_output "^apq: unknown space 'cifar', did you mean 'cifar10'"
    run "$APQ" export --space ./no.yaml --format c -o out
    expect_status 3
    expect_output '^apq: \./no\.yaml: cannot open: No such file or directory$'
    run "$APQ" infer --space imagenet-apq "$IMAGE"
    expect_status 3
    expect_output '^apq: no artefacts are shipped .*; give --run or --model$'
}

@test "networks of other versions are refused by name" {
    sed 's/apq network 2/apq network 1/' "$RUN/network.safetensors" >old
    run "$APQ" infer --model old "$IMAGE"
    expect_status 3
    expect_output '^apq: old: .* older apq, format 1, this one reads 2; fine-tune'
    sed 's/apq network 2/apq network 3/' "$RUN/network.safetensors" >new
    run "$APQ" infer --model new "$IMAGE"
    expect_status 3
    expect_output '^apq: new: .* newer apq, format 3, this one reads up to 2$'
}

@test "any number of images, and all classes" {
    mapfile -t many < <(yes "$IMAGE" | head -n 150)
    "$APQ" infer --run "$RUN" "${many[@]:1}" --image "$IMAGE" --json --top 11 |
        jq -e '(.images | length) == 150
            and all(.images[]; (.classes | length) == 10
                and ([.classes[].probability] | add - 1 | fabs < 1e-6))'
}

@test "no --image is dropped, and all are answered in their order" {
    cp "$IMAGE" a.png
    cp "$IMAGE" b.png
    "$APQ" infer --run "$RUN" --image a.png "$IMAGE" --image=b.png --json |
        jq -e --arg image "$IMAGE" \
            '[.images[].image] == ["a.png", $image, "b.png"]'
    run "$APQ" infer --run "$RUN" --image a.png --image no.png
    expect_status 3
    expect_output '^apq: no\.png: '
    run "$APQ" infer --run "$RUN" --image=
    expect_status 2
    expect_output '--image is empty'
}

@test "a network of another space than the run's" {
    shipped=$ROOT/models/cifar10/network.safetensors
    "$APQ" infer --model "$shipped" "$IMAGE" >alone
    "$APQ" infer --run "$RUN" --model "$shipped" "$IMAGE" | cmp - alone
}

@test "the names are those of the data" {
    "$APQ" infer --run "$RUN" "$IMAGE" --json |
        jq -r '.images[0].classes[] | .name' | sort >names
    "$APQ" data check --data 'builtin:shapes?train=600&test=200&size=16&seed=1' \
        --json | jq -r '.classes[].name' | sort >all
    [ "$(wc -l <names)" -eq 5 ]
    [ -z "$(comm -23 names all)" ]
}

@test "the example agrees" {
    example=${APQ%/*}/examples/example_classify
    [ -x "$example" ] || skip "needs $example (cmake --build)"
    run env APQ_DATA_DIR="$ROOT" "$example" "$RUN/network.safetensors" "$IMAGE"
    expect_status 0
    expect_output "^$IMAGE: $("$APQ" infer --run "$RUN" "$IMAGE" --json |
        jq -r '.images[0].classes[0].name') [0-9.]+ % "
    run env APQ_DATA_DIR="$ROOT" "$example" "$RUN/supernet.safetensors" "$IMAGE"
    expect_status 1
    expect_output '^classify: .*supernet.safetensors: not a fine-tuned network'
}

# refused STATUS REGEX ARGUMENT...: one line, nothing on standard output.
refused() {
    local expected=$1 regex=$2
    shift 2
    run --separate-stderr "$APQ" infer "$@"
    expect_status "$expected"
    [ -z "$output" ]
    output=$stderr
    expect_output "$regex"
    [ "${#stderr_lines[@]}" -eq 1 ]
}

@test "bad files are one line and exit 3" {
    bats_require_minimum_version 1.5.0
    echo 'no image' >a.jpg
    refused 3 '^apq: a\.jpg: not a JPEG or PNG image$' --run "$RUN" a.jpg
    : >empty.png
    refused 3 '^apq: empty\.png: zero bytes$' --run "$RUN" "$IMAGE" empty.png
    head -c 300 "$IMAGE" >half.png
    refused 3 '^apq: half\.png: truncated or damaged PNG' --run "$RUN" half.png
    refused 3 '^apq: gone\.png: cannot open' --run "$RUN" gone.png
    refused 3 '^apq: a\.jpg: .*safetensors file' --model a.jpg "$IMAGE"
    refused 3 '/supernet\.safetensors: not a fine-tuned network' \
        --model "$RUN/supernet.safetensors" "$IMAGE"
    head -c 3000 "$RUN/network.safetensors" >half.safetensors
    refused 3 '^apq: half\.safetensors: ' --model half.safetensors "$IMAGE"
    refused 6 'made for space tiny' --run "$RUN" --space cifar10 "$IMAGE"
    refused 2 '--image FILE is required' --run "$RUN"
    refused 2 'not an integer in 1 \.\.\. 1000' --run "$RUN" --top 0 "$IMAGE"
}

@test "bench infer: a row for each type and batch" {
    env -u APQ_ORT "$APQ" bench infer --run "$RUN" --threads 1 --json --quiet \
        >b.json
    jq -e '.runtime == null and .m_macs > 0 and .machine.threads >= 1
        and (.model | endswith("/network.safetensors"))
        and ([.results[] | [.runtime, .dtype, .threads, .batch]] ==
            [["apq", "int8", 1, 1], ["apq", "float32", 1, 1],
             ["apq", "int8", 1, 64], ["apq", "float32", 1, 64]])
        and all(.results[]; .network == "tiny" and .images_per_s > 0
            and .peak_fraction > 0 and .spread >= 0 and .ratio == null)' b.json
}

@test "bench infer: a table for people" {
    unset APQ_ORT
    run "$APQ" bench infer --run "$RUN" --threads 1 --quiet
    expect_status 0
    expect_output ", model $RUN/network.safetensors, M MACs 0\.[0-9]+\$"
    expect_output '^runtime +type +threads +batch +images/s '
    for type in int8 float32; do
        for batch in 1 64; do
            expect_output "^apq +$type +1 +$batch( +[0-9.]+){3}( +-){2}\$"
        done
    done
    [ "${#lines[@]}" -eq 6 ]
    ! grep -E '\(null\)|[{}]' <<<"$output" || false
}

@test "bench infer: beside ONNX Runtime, which runs the same network" {
    need_runtime
    "$APQ" bench infer --model "$RUN/network.safetensors" --threads 1 --json \
        --quiet >b.json
    jq -e '(.runtime | startswith("ONNX Runtime 1."))
        and ([.results[] | .runtime == "apq"] ==
            [range(4) | true, false])
        and all(.results[]; .ratio > 0)
        and all(.results[] | select(.runtime != "apq"); .ratio == 1)
        and ([.results[] | .worst | values] | length == 2 and max < 1e-6)' b.json
}

@test "bench infer: what it cannot run is one line" {
    unset APQ_ORT
    run "$APQ" bench infer --model gone.safetensors
    expect_status 3
    expect_output '^apq: gone\.safetensors: cannot open'
    run "$APQ" bench infer --model "$RUN/supernet.safetensors"
    expect_status 3
    expect_output 'supernet\.safetensors: not a fine-tuned network'
    run "$APQ" bench infer --run "$RUN" --runtime ./x.so
    expect_status 1
    expect_output '^apq: ONNX Runtime: \./x\.so: cannot open'
    [ "${#lines[@]}" -eq 1 ]
    run "$APQ" bench infer --run "$RUN" --dtype bfloat16
    expect_status 2
    run "$APQ" bench eval --model "$RUN/network.safetensors"
    expect_status 2
    expect_output 'of bench infer only'
}
