#!/usr/bin/env bats
# apq report: the contents of a run directory; what is missing is said, what
# is damaged or foreign is refused.

load 'helper'

setup_file() {
    make_run search.latency_ms=0.02
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return 1
    cp -r "$RUN" run
}

@test "JSON: what was asked, found and spent" {
    "$APQ" report --run run --json >r.json
    jq -e '.schema_version == 1 and .asked.target == "bitfusion"
        and .asked.constraints.latency_ms == 0.02 and .asked.seed == "1"
        and (.asked.data_hash | length) == 16' r.json
    jq -e --slurpfile best run/best.json --slurpfile tuned run/finetune.json \
        '.result.policy == $best[0].policy
        and .result.measured.test_top1 == $tuned[0].network.test_top1
        and (.result.is_measurement_stale | not)' r.json
    # Blocks and fixed layers together cost what the network costs.
    jq -e '(.result.rows | map(.latency_ms // 0) | add) as $sum
        | ($sum - .result.cost.latency_ms | fabs) < 1e-9
        and (.result.rows | map(.latency_share // 0) | add - 1 | fabs) < 1e-9
        and (.result.rows | map(.macs // 0) | add) == .result.cost.macs' r.json
    jq -e '.curves.train | length == 2' r.json
    jq -e '.predictor.float.pairwise_accuracy >= 0' r.json
    jq -e '.baselines | length == 4
        and ([.[] | select(.measured != null)] | length) == 1' r.json
    # The run left the same, under the name it had then.
    jq -es '(.[0] | del(.directory)) == (.[1] | del(.directory))' \
        run/report.json r.json
}

@test "texts of a run end with a line feed" {
    texts=$(find run -name '*.json*' -o -name '*.md' -o -name '*.html')
    [ "$(wc -w <<<"$texts")" -ge 10 ]
    for text in $texts; do
        echo "$text"
        [ "$(tail -c 1 "$text" | wc -l)" -eq 1 ]
    done
}

@test "JSON: search cost, one-off apart from per scenario" {
    "$APQ" report --run run --json >r.json
    jq -e '[.search_cost.steps[].step] == ["train", "collect", "predictor",
        "search", "finetune", "baseline"]' r.json
    jq -e '[.search_cost.steps[].group] == ["one_off", "one_off", "one_off",
        "per_scenario", "per_scenario", "other"]' r.json
    jq -e '.search_cost as $c | ["one_off", "per_scenario", "other"]
        | all(. as $g | ([$c.steps[] | select(.group == $g) | .core_hours]
            | add) - $c[$g].core_hours | fabs < 1e-12)' r.json
    jq -e --slurpfile lines run/cost.jsonl '.search_cost
        | (.total.wall_s - ($lines | map(.wall_s) | add) | fabs) < 1e-3
        and (.total.core_hours * 3600 - ($lines | map(.core_s) | add)
             | fabs) < 1e-3
        and .replaced.wall_s == 0' r.json
    jq -e '.search_cost as $c | ["kwh", "co2_lbs", "usd_high", "v100_hours"]
        | all(. as $k | ($c.one_off[$k] + $c.per_scenario[$k] + $c.other[$k]
            - $c.total[$k] | fabs) <= 1e-9 * $c.total[$k])' r.json
    # The formula, once more in full.
    jq -e '.search_cost | .rates as $r | .total
        | (.kwh - $r.pue * (.core_hours * $r.core_watts
            + .wall_s / 3600 * $r.dram_watts) / 1000 | fabs) <= 1e-9 * .kwh
        and (.co2_lbs - $r.grid_lbs_per_kwh * .kwh | fabs)
            <= 1e-9 * .co2_lbs' r.json ||
        [ -r /sys/class/powercap/intel-rapl:0/energy_uj ] # then measured
}

@test "the constants are settings" {
    "$APQ" report --run run --json footprint.pue=2 footprint.core_watts=500 |
        jq -e '.search_cost.rates.pue == 2
            and .search_cost.rates.core_watts == 500'
    run "$APQ" report --run run footprint.pue=0.5
    expect_status 3
    expect_output 'footprint\.pue=0\.5 is not a number in 1'
    run "$APQ" report --run run footprint.puee=2
    expect_status 3
    run "$APQ" report --run run train.epochs=3
    expect_status 3
    expect_output 'only footprint'
    printf 'space: tiny\nfootprint:\n  pue: 0.5\n' >r.yaml
    run "$APQ" train r.yaml --run other --quiet
    expect_status 3
    expect_output 'r\.yaml:3: '
}

@test "Markdown: sections, aligned tables, no exponents or NaN" {
    run "$APQ" report --run run
    expect_status 0
    for title in 'What was asked' 'Accuracy' 'Compared with other networks' \
        'The network' 'Predictor' 'Curves' 'Search cost' 'Provenance'; do
        expect_output "^## $title\$"
    done
    expect_output '^\*\*Result:\*\* top-1 [0-9.]+ % .* predicted [0-9.]+ %'
    # Intervals of 95 % wherever there is one, and what they are.
    expect_output "$(jq -r '1.96 * .result.measured.test_standard_error * 100 *
        100 | round / 100 | "top-1 .* % \\(± \(.)0* points\\) on 200 test images"' \
        run/report.json)"
    expect_output '^±: 95 % intervals\. .* 1\.96 standard errors by the choice'
    [[ $output != *'(standard error'* ]]
    expect_output 'latency ≤ 0\.02 ms'
    expect_output '^\| images +\| 500 to train, 100 to validate, 200 to test'
    ! printf '%s\n' "$output" | grep -qiE '\bnan\b|[0-9]e[-+][0-9]|null' ||
        false
    # Every line of a table is as long as its header.
    (
        export LC_ALL=C.UTF-8
        n=0
        for line in "${lines[@]}"; do
            [[ "$line" == '|'* ]] || n=0
            [[ "$line" != '|'* ]] || [ "$n" -eq 0 ] || [ "${#line}" -eq "$n" ]
            [[ "$line" != '|'* ]] || n=${#line}
        done
        [ "${#lines[@]}" -gt 60 ]
    )
}

# What a browser makes of a page, as its own text.
browse() {
    browser=$(command -v chromium || command -v google-chrome ||
        command -v chromium-browser) || skip 'needs chromium (Debian: chromium)'
    timeout 100 "$browser" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage \
        --user-data-dir="$BATS_TEST_TMPDIR/browser" \
        --virtual-time-budget=20000 "$@" 2>browser.log
}

@test "HTML: one page that needs nothing else" {
    "$APQ" report --run run -o r.html
    # The run left the same, under the name it had then.
    cmp <(sed 's/Report on [^<]*//g' r.html) \
        <(sed 's/Report on [^<]*//g' run/report.html)
    for title in 'What was asked' 'Accuracy and cost' 'The network' \
        'On other targets' 'Predictor' 'Cost model' 'Curves' 'Provenance'; do
        grep -q ">$title</h2>" r.html
    done
    [ "$(grep -c '<figure class="chart"' r.html)" -ge 8 ]
    grep -q '<figure class="layers">' r.html
    # Nothing is loaded: no address in an attribute, and the browser may not.
    ! grep -qiE '(src|href)="?(https?:)?//|@import|url\(["'"'"']?http' r.html ||
        false
    grep -q "default-src 'none'" r.html
    ! sed -n '/<main>/,/<\/main>/p' r.html | grep -qiE '\bnan\b|>null<' || false
    [ "$(stat -c %s r.html)" -lt 3000000 ]
}

@test "HTML: a name cannot become markup" {
    mv run '<img src=x>&"b"'
    "$APQ" report --run '<img src=x>&"b"' -o r.html
    grep -q 'Report on &lt;img src=x&gt;&amp;&quot;b&quot;' r.html
    ! grep -q '<img src=x' r.html || false
}

@test "HTML: in a browser every chart is drawn and nothing fails" {
    "$APQ" doctor --json | jq -e '.libraries["chart.js"] | startswith("3.")' ||
        skip 'this build has no Chart.js (Debian: libjs-chart.js)'
    "$APQ" report --run run -o r.html
    browse --enable-logging=stderr --dump-dom "file://$PWD/r.html" >dom.html
    charts=$(grep -c '<figure class="chart' r.html)
    [ "$(grep -oE 'data-drawn="[1-9][0-9]{2,}"' dom.html | wc -l)" -eq \
        "$charts" ]
    ! grep -q 'data-error=' dom.html || false
    ! grep 'CONSOLE' browser.log || false
}

# One message to a browser on pipes 8 (to it) and 9, and the answer to it.
ask() {
    printf '{"id":1,%s}\0' "$1" >&8
    while IFS= read -r -d '' -t 100 answer <&9; do
        [ "$(jq .id <<<"$answer")" != 1 ] || break
    done
    [ "$(jq .id <<<"$answer")" = 1 ]
}

@test "HTML: 10,000 candidates stay small and are drawn" {
    jq '.candidates = {budget: "latency_ms",
            cost: [range(10000) | 0.005 + 2e-6 * .],
            predicted_accuracy: [range(10000) | . * 7919 % 10000 / 10001]}
        ' run/best.json >b
    mv b run/best.json
    "$APQ" report --run run -o r.html
    [ "$(stat -c %s r.html)" -lt 3000000 ]
    "$APQ" doctor --json | jq -e '.libraries["chart.js"] | startswith("3.")' ||
        skip 'this build has no Chart.js (Debian: libjs-chart.js)'
    browser=$(command -v chromium || command -v google-chrome ||
        command -v chromium-browser) || skip 'needs chromium (Debian: chromium)'
    mkfifo to from
    "$browser" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --enable-logging=stderr \
        --user-data-dir="$BATS_TEST_TMPDIR/browser" --remote-debugging-pipe \
        about:blank 3<to 4>from 2>browser.log &
    child=$!
    exec 8>to 9<from
    ask '"method":"Target.createTarget","params":{"url":"file://'"$PWD"'/r.html"}'
    ask '"method":"Target.attachToTarget","params":{"flatten":true,"targetId":'"$(
        jq .result.targetId <<<"$answer")}"
    session=$(jq .result.sessionId <<<"$answer")
    page='(() => { const all = [...document.querySelectorAll("figure.chart")];
        return { charts: all.length,
            drawn: all.filter(f => f.querySelector("[data-drawn]") &&
                f.querySelector("[data-drawn]").dataset.drawn > 99).length,
            uneven: all.flatMap(f => Object.values(Chart.getChart(
                f.querySelector("canvas")).scales)).filter(s => {
                    const t = s.ticks.map(tick => tick.value);
                    const step = t[1] - t[0];
                    return !(t[0] - s.min < step && s.max - t.at(-1) < step)
                        || s.ticks.some(tick => tick.label === "")
                }).length,
            paint: performance.getEntriesByType("paint").map(e =>
                [e.name, Math.round(e.startTime)]) }; })()'
    for ((i = 0; i < 100; i++)); do
        ask '"method":"Runtime.evaluate","sessionId":'"$session"',"params":{
            "returnByValue":true,"expression":'"$(jq -Rs . <<<"$page")}"
        jq .result.result.value <<<"$answer" >seen.json
        ! jq -e '(.paint | length > 1) and .charts > 0
            and .drawn == .charts' seen.json || break
        sleep 1
    done
    kill "$child"
    exec 8>&- 9<&-
    # How long it took is told, not judged: the machine may be busy.
    jq -r '"# painted [ms]: \(.paint | tojson)"' seen.json >&3
    jq -e --arg n "$(grep -c '<figure class="chart"' r.html)" \
        '.charts == ($n | tonumber) and .drawn == .charts
        and .uneven == 0' seen.json
    ! grep 'CONSOLE' browser.log || false
}

@test "JSON: records beside predictions, other targets, files" {
    "$APQ" report --run run --json >r.json
    # The held-out records give the error that the fit reported.
    jq -e '[.records.rows[] | select(.is_held_out)] as $h
        | ($h | length) == .predictor.quantised.n_test
        and (($h | map((.accuracy - .predicted) | . * .) | add / length | sqrt)
            - .predictor.quantised.rmse | fabs) < 1e-5' r.json
    jq -e '.records.count == (.records.rows | length)
        and all(.records.rows[]; .latency_ms > 0 and (.network | length) > 9)
        ' r.json
    # A layer's share is of the network, and blocks are made of layers.
    jq -e '(.result.layers | map(.latency_ms) | add) as $sum
        | ($sum - .result.cost.latency_ms | fabs) < 1e-9
        and all(.result.layers[]; .bound == "memory" or .bound == "compute")
        ' r.json
    jq -e '.targets[0].target == "bitfusion" and .targets[0].batch == 1
        and .targets[0].networks[0].cost.latency_ms == .result.cost.latency_ms
        and .targets[1].batch == 16
        and ([.targets[] | select(.is_priced | not) | .target]
            == ["cpu", "cpu-float32"])' r.json
    for file in best.json supernet.safetensors; do
        jq -e --arg f $file --arg n "$(stat -c %s run/$file)" \
            '.files[] | select(.name == $f) | .bytes == ($n | tonumber)' r.json
    done
    jq -e '.search.front | length > 0 and all(.[]; .policy == null
        and (.network | test("^k[357] ")))' r.json
    jq -e '.search.candidates | (.cost | length) > 10
        and (.cost | length) == (.predicted_accuracy | length)' r.json
}

@test "curves are of the fine-tuning that ended, not of a later one killed" {
    "$APQ" report --run run --json | jq .curves.finetune >ended
    jq -e '(.network | length) == 1 and (.baseline | length) == 1' ended
    # What another policy leaves that is killed after two epochs.
    jq -c 'select(.network == "network")
        | .input = "0123456789abcdef" | ., (.epoch = 2)' run/finetune.jsonl >lines
    cat lines >>run/finetune.jsonl
    "$APQ" report --run run --json | jq .curves.finetune | cmp - ended
    # That is all there is to show where none has ended.
    jq 'del(.steps.finetune)' run/manifest.json >manifest
    cp manifest run/manifest.json
    "$APQ" report --run run --json | jq -e '.curves.finetune
        | (.network | length) == 2 and .baseline == null'
    # And one that ended without epochs has no curves.
    jq '.steps.finetune = {input: "00", artefact: "00"}' manifest \
        >run/manifest.json
    "$APQ" report --run run --json | jq -e '.curves.finetune == null'
}

@test "signal to quantisation noise of every layer's weights" {
    "$APQ" report --run run --json >tuned.json
    jq -e '.result.weights == "network.safetensors"
        and all(.result.layers[]; .sqnr_db > 3 and .sqnr_db < 60)' tuned.json
    # Eight bits lose less than four: 6 dB a bit.
    jq -e '[.result.layers[] | select(.weight_bits == 8) | .sqnr_db] as $eight
        | [.result.layers[] | select(.weight_bits == 4) | .sqnr_db] as $four
        | ($eight | length) > 0
        and all($four[]; . + 8 < ($eight | min))' tuned.json
    # Without the fine-tuned network, of the shared weights ...
    mv run/network.safetensors .
    "$APQ" report --run run --json >shared.json
    jq -e '.result.weights == "supernet.safetensors"
        and all(.result.layers[]; .sqnr_db > 3)' shared.json
    jq -se '([.[].result.layers | map(.sqnr_db)]) as $s
        | $s[0] != $s[1]' tuned.json shared.json
    # ... and so where it is of another policy.
    cp run/baseline.safetensors run/network.safetensors
    "$APQ" report --run run --json | jq -se '.[0].result == .[1].result' - \
        shared.json
    rm run/supernet.safetensors run/network.safetensors
    "$APQ" report --run run --json | jq -e '.result.weights == null
        and all(.result.layers[]; .sqnr_db == null)'
}

@test "weights, predictor and exports that are damaged are left out" {
    "$APQ" report --run run --json >whole.json
    jq -e '.problems == []' whole.json
    head -c 100 run/network.safetensors >cut
    mv cut run/network.safetensors
    "$APQ" report --run run --json 2>told >r.json
    grep -q '^run/network\.safetensors: .*: left out$' told
    jq -se '.[0].result.weights == "supernet.safetensors"
        and .[0].result.rows == .[1].result.rows
        and (.[0].problems | length == 1)' r.json whole.json
    for file in supernet predictor; do
        printf 'xxxxxxxxxxxxxxxx' >run/$file.safetensors
    done
    mkdir run/export
    echo '{' >run/export/manifest.json
    "$APQ" report --run run --json --quiet >r.json 2>told
    [ ! -s told ]
    jq -e '.result.weights == null and (.records.rows | length > 0)
        and all(.records.rows[]; .predicted == null) and .exports == null
        and all(.result.layers[]; .sqnr_db == null
            and (has("weight_sensitivity") | not))
        and ([.problems[] | split(":")[0]] | sort
            == ["run/export/manifest.json", "run/network.safetensors",
                "run/predictor.safetensors", "run/supernet.safetensors"])' r.json
    run "$APQ" report --run run --quiet
    expect_status 0
    expect_output '^\| *could not be read, and is left out'
    expect_output '^\| run/predictor\.safetensors: '
}

@test "sensitivity: what the predictor says of fewer bits in a layer" {
    "$APQ" report --run run --json >r.json
    # Once more by hand, block by block and gene by gene.
    for gene in pw_weight pw_act dw_weight dw_act; do
        jq -c --arg g $gene '.policy as $p | $p, (range($p.kernel | length)
            as $b | $p | .bits[$g][$b] |= ([4, . - 2] | max))' \
            run/best.json >specs
        "$APQ" predict --predictor run/predictor.safetensors --specs specs |
            jq -s '.[0].accuracy as $a | .[1:] | map(.accuracy - $a)' >$gene
    done
    jq -e --slurpfile pw_weight pw_weight --slurpfile pw_act pw_act \
        --slurpfile dw_weight dw_weight --slurpfile dw_act dw_act '
        def same($value; $bits; $expected): if $bits == 4 then $value == null
            else ($value - $expected | fabs) < 1e-6 end;
        [.result.layers[] | select(.block != null)] as $layers
        | ($layers | length) > 5 and any($layers[]; (.act_sensitivity // 0) != 0)
        and all($layers[]; .block as $b | if .kind == "depthwise"
            then same(.weight_sensitivity; .weight_bits; $dw_weight[0][$b])
                and same(.act_sensitivity; .act_bits; $dw_act[0][$b])
            else same(.weight_sensitivity; .weight_bits; $pw_weight[0][$b])
                and same(.act_sensitivity; .act_bits; $pw_act[0][$b]) end)
        and all(.result.layers[] | select(.block == null);
            has("weight_sensitivity") | not)' r.json
    # Another predictor knows nothing of this search.
    jq '.predictor_hash = "0123456789abcdef"' run/best.json >b
    mv b run/best.json
    "$APQ" report --run run --json |
        jq -e 'all(.result.layers[]; has("weight_sensitivity") | not)'
}

@test "more targets, a check of the table and exports are taken along" {
    cp "$ROOT/configs/targets/bitfusion.yaml" mine.yaml
    sed -i 's/^name: .*/name: mine/; s/^clock_mhz: .*/clock_mhz: 250/' mine.yaml
    "$APQ" report --run run --targets ./mine.yaml --json |
        jq -e '[.targets[] | select(.target == "mine")] | length == 2
            and .[0].networks[0].cost.latency_ms > 0'
    for list in nosuch , mine.yaml,,x; do
        run "$APQ" report --run run --targets "$list"
        expect_status 3
    done
    printf '{"networks": {"count": 7, "median_error": 0.02, "max_error": 0.1,
        "kendall_tau": 0.9}}' >run/lut-check.json
    echo '{"sizes": [{"quantised_records": 24}]}' >run/predictor-curve.json
    run "$APQ" report --run run
    expect_output 'None in the directory; .apq export -o DIR/exports/NAME'
    mkdir -p run/exports/onnx
    jq -n '{
        format: "onnx<b>", file: "f", source: {file: "network.safetensors"},
        verification: [{runtime: "ORT", agrees: true, images: 1000,
            other_class: 0, worst: 0.001}]}' >run/exports/onnx/manifest.json
    # Other folders have a manifest.json too.
    mkdir run/nested run/more
    cp run/manifest.json run/nested/
    echo '{"a": 1}' >run/more/manifest.json
    "$APQ" report --run run --json | jq -e '(.exports | length) == 1
        and .exports[0].folder == "exports/onnx"
        and .cost_model.check.networks.count == 7
        and .transfer.sizes[0].quantised_records == 24'
    "$APQ" report --run run -o r.html
    grep -q 'onnx&lt;b&gt;' r.html
    run "$APQ" report --run run
    expect_output '^\| exports/onnx .* ORT *\| *1000 \| *- *\| *0 \| *0\.00100 \| yes'
    [[ $output != *'None in the directory'* ]]
    printf '[' >run/exports/onnx/manifest.json
    run "$APQ" report --run run
    expect_status 0
    expect_output 'onnx/manifest\.json:.*: left out'
}

@test "prices of a table are sums, and tell what the table knows" {
    "$APQ" report --run run -o r.html
    grep -q 'legend">.*bound by arithmetic' r.html
    # The legend is hatched as the bars are.
    for style in pw dw fixed compute; do
        grep -q "class=\"key\"><rect class=\"$style\"" r.html
    done
    "$APQ" lut build --space tiny --target bitfusion -o t.jsonl --quiet
    jq '.target = "t.jsonl"' run/run.json >r
    mv r run/run.json
    jq '.cost.energy_mj = null | .baselines.best_uniform4.meets_budget = false' \
        run/best.json >r
    mv r run/best.json
    run "$APQ" report --run run
    expect_output '^\*\*Result:\*\* .*; [0-9.]+ ms on bitfusion \(summed over a table of layers\)\. '
    expect_output 'Fine-tuned alike, [^.]*4 bit.* at [0-9.]+ ms \(over budget\)\.'
    # What bounds a layer is no longer known.
    "$APQ" report --run run -o r.html
    grep -q 'rect class="unbound"' r.html
    ! grep -qE 'legend">.*bound by|rect class="(compute|memory)"' r.html || false
}

@test "without its target the network is told block by block, unpriced" {
    "$APQ" report --run run --json >priced.json
    jq '.target = "board.jsonl"' run/run.json >r
    mv r run/run.json
    jq '.target = "board"' run/best.json >b
    mv b run/best.json
    "$APQ" report --run run --json >r.json 2>err
    grep -q '^board\.jsonl: .*: left out$' err
    jq -e '(.problems | length) == 1
        and (.problems[0] | startswith("board.jsonl: "))' r.json
    # The same but for the prices.
    jq -es 'map(.result | [.rows, .layers] | map(map(delpaths([["latency_ms"],
            ["energy_mj"], ["latency_share"], ["energy_share"], ["bound"]]))))
        | .[0] == .[1] and (.[0][0] | length) > 4' r.json priced.json
    jq -e 'all(.result.rows[], .result.layers[]; .latency_ms == null
        and .latency_share == null)
        and all(.records.rows[]; .latency_ms == null and .size_kb > 0)' r.json
    run "$APQ" report --run run
    expect_known
    expect_output '^\| board\.jsonl: '
    expect_output '^\| *2 .* of .* - \|'
    "$APQ" report --run run -o r.html
    grep -q '<figure class="layers">' r.html
    # A search by hand, for another target than that of the run.
    jq '.target = "bitfusion"' run/run.json >r
    mv r run/run.json
    "$APQ" report --run run --json --quiet | jq -e '(.problems | length) == 1
        and (.problems[0] | contains("target board"))'
    # One that was changed and no longer executes the network.
    jq '.target = "./mine.yaml"' run/run.json >r
    mv r run/run.json
    sed 's/^name: .*/name: board/; s/^act_sram_bytes: .*/act_sram_bytes: 16/' \
        "$ROOT/configs/targets/bitfusion.yaml" >mine.yaml
    "$APQ" report --run run --json --quiet | jq -e '(.problems | length) == 1
        and (.result.rows | length) > 4'
}

@test "the network of three searches in turn is in the report" {
    "$APQ" search --run run --latency-ms 0.02 --sequential --quiet >/dev/null
    "$APQ" report --run run --json |
        jq -e '[.baselines[].name] | length == 5 and .[4] == "sequential"'
    run "$APQ" report --run run
    expect_output '^\| architecture, widths, bits in turn .* met '
    "$APQ" report --run run -o r.html
    grep -q 'searched in stages, predicted' r.html
}

@test "epochs of the fine-tuning, of the present policy only" {
    jq -s -e 'length == 2 and .[0].network == "network" and .[0].epoch == 1
        and .[1].network == "baseline"' run/finetune.jsonl
    # A torn line and one of another policy.
    sed -i '1i {"network":"network","input":"0","epoch":1,"loss":9}' \
        run/finetune.jsonl
    printf '{"network":"netw' >>run/finetune.jsonl
    "$APQ" report --run run --json | jq -e '.curves.finetune
        | (.network | length) == 1 and .network[0].loss < 9
        and (.baseline | length) == 1'
}

@test "-o writes Markdown and JSON; other forms are exit 2" {
    "$APQ" report --run run -o r.md
    "$APQ" report --run run --markdown | cmp - r.md
    # The run left the same, under the name it had then.
    "$APQ" report --run run -o run/r.md
    sed 1d run/r.md | cmp - <(sed 1d run/report.md)
    "$APQ" report --run run --out r.json
    jq -e '.schema_version == 1' r.json
    run "$APQ" report --run run -o r.pdf
    expect_status 2
    expect_output 'only HTML \(\.html\), Markdown \(\.md\) and JSON'
    [ ! -e r.pdf ]
    run "$APQ" report --run run --json -o r.html
    expect_status 2
    [ ! -e r.html ]
    run "$APQ" report --run run --json -o r2.md
    expect_status 2
    run "$APQ" report --run run --json --markdown
    expect_status 2
}

@test "a directory whose name is not UTF-8 is told as far as it is" {
    mkdir -p $'run/exports/\xfe'
    mv run $'r\xff'
    echo '{"format": "c", "file": "f"}' >$'r\xff/exports/\xfe/manifest.json'
    "$APQ" report --run $'r\xff' --json |
        jq -e '.directory == "r?" and .exports[0].folder == "exports/?"'
    run "$APQ" report --run $'r\xff'
    expect_status 0
    [ "${lines[0]}" = '# Report on r?' ]
    printf '[' >$'r\xff/exports/\xfe/manifest.json'
    "$APQ" report --run $'r\xff' --json --quiet |
        jq -e '.problems[0] | startswith("r?/exports/?/manifest.json")'
}

@test "Markdown links to the pictures from wherever it is written" {
    # links FILE: each is there as seen from the file's folder.
    links() {
        grep -o ']([^)]*svg)' "$1" |
            sed 's/^](//; s/)$//; s/%20/ /; s/%28/(/; s/%29/)/' >found
        [ "$(wc -l <found)" -eq 2 ]
        while read -r link; do
            (cd "$(dirname "$1")" && [ -e "$link" ])
        done <found
    }
    mkdir -p texts/of 'a (b)'
    mv run 'a (b)/run'
    for out in r.md texts/of/r.md 'a (b)/r.md' 'a (b)/run/r.md' "$PWD/r.md" \
        texts/../r.md; do
        "$APQ" report --run 'a (b)/run/' -o "$out"
        links "$out"
        "$APQ" report --run "$PWD/a (b)/run" -o "$out"
        links "$out"
    done
    "$APQ" report --run 'a (b)/run' >r.md
    links r.md
    grep -qF '[search.svg](a%20%28b%29/run/search.svg)' r.md
}

@test "missing, foreign and damaged run directories" {
    run "$APQ" report --run nowhere
    expect_status 3
    expect_output 'nowhere: no such run directory'
    [ ! -e nowhere ]
    mkdir empty
    run "$APQ" report --run empty
    expect_status 3
    expect_output 'not a run directory'
    for file in manifest.json best.json finetune.json predictor.json run.json; do
        cp "run/$file" keep
        head -c 40 keep >"run/$file"
        run "$APQ" report --run run
        expect_status 3
        expect_output "$file"
        [ "${#lines[@]}" -eq 1 ]
        mv keep "run/$file"
    done
    printf 'damaged\n' >>run/cost.jsonl
    run "$APQ" report --run run
    expect_status 3
    expect_output "cost\.jsonl:$(wc -l <run/cost.jsonl): not JSON"
    sed -i '$d' run/cost.jsonl
    printf '{"epoch":1\n' >>run/train.jsonl
    run "$APQ" report --run run --json
    expect_status 3
    expect_output 'train\.jsonl:3: '
}

@test "a run of another space is exit 6" {
    jq '.bound.space_hash = "0123456789abcdef"' run/manifest.json >m
    mv m run/manifest.json
    run "$APQ" report --run run
    expect_status 6
    expect_output 'made with space_hash 0123456789abcdef'
    cp -r "$RUN" other
    jq '.space = "cifar10"' other/best.json >b
    mv b other/best.json
    run "$APQ" report --run other
    expect_status 6
}

@test "steps that are not done are not recorded" {
    "$APQ" train "$ROOT/recipes/tiny.yaml" --run half --quiet >/dev/null
    run "$APQ" report --run half
    expect_status 0
    expect_output 'No result of a search is recorded here'
    expect_output '^Held-out quality: not recorded'
    "$APQ" report --run half --json | jq -e '.result == null
        and .search_cost.per_scenario.wall_s == 0
        and .search_cost.one_off.core_hours > 0'
    rm half/cost.jsonl half/run.json half/train.jsonl
    run "$APQ" report --run half
    expect_status 0
    expect_output 'What the steps spent: not recorded'
}

@test "a new search makes the fine-tuned network stale" {
    "$APQ" search --run run --latency-ms "$(tighter)" --quiet >/dev/null
    "$APQ" report --run run --json >r.json
    jq -e '.result.is_measurement_stale and .result.measured == null
        and .search_cost.replaced.wall_s > 0
        and ([.search_cost.steps[].step] | index("finetune")) == null' r.json
    run "$APQ" report --run run
    expect_output 'run `apq finetune` again'
}

@test "a network of the user's choice is reported beside the one found" {
    "$APQ" finetune --run run finetune.policy=smallest --quiet >/dev/null
    "$APQ" report --run run --json | jq -e '
        (.result.is_measurement_stale | not) and .result.measured == null
        and .result.own_choice.measured.test_count > 0
        and .result.own_choice.cost.latency_ms > 0'
    run "$APQ" report --run run
    expect_status 0
    expect_output 'Fine-tuned was another network, `finetune.policy`: top-1 '
    expect_output '^±: 95 % intervals\. .*Of a measured one 1\.96 standard errors'
    [[ $output != *'run `apq finetune` again'* ]]
}

@test "a repeated run and its report change nothing that was spent" {
    cp run/cost.jsonl before
    "$APQ" run --run run --quiet >/dev/null
    cmp before run/cost.jsonl
    # Nor does a repeated search that is long enough for several intervals.
    jq '.checkpoint_s = 0' run/run.json >r.json
    mv r.json run/run.json
    "$APQ" search --run run --iterations 1500 --quiet >/dev/null
    [ "$(wc -l <run/cost.jsonl)" -gt "$(wc -l <before)" ]
    cp run/cost.jsonl before
    "$APQ" search --run run --iterations 1500 --quiet >/dev/null
    cmp before run/cost.jsonl
    "$APQ" eval --run run --policy smallest --limit 20 --quiet >/dev/null
    "$APQ" report --run run --json |
        jq -e '[.search_cost.steps[].step] | index("eval") != null'
}

@test "run.json again: the files of which the report says so are the same" {
    "$APQ" run run/run.json --run again --quiet >/dev/null
    for run in run again; do
        "$APQ" report --run $run --json | jq -c .files >$run.json
    done
    jq -es '[.[0] - .[1] | .[].name] == ["run.db", "best.json"]' \
        run.json again.json
    jq -e 'length == 7' run.json
    run "$APQ" report --run run
    expect_output 'weights, predictor and `finetune.json` have the same hashes'
    expect_output '`run.db`, `best.json` and `front.json` hold times'
}

@test "eval: quantisation-aware steps change the accuracy of a copy only" {
    sum=$(sha256sum run/supernet.safetensors)
    for steps in 0 30; do
        "$APQ" eval --run run --policy random:4 --bits policy --split val \
            --qat-steps $steps --json --quiet | jq .loss >loss.$steps
    done
    ! cmp -s loss.0 loss.30 || false
    [ "$sum" = "$(sha256sum run/supernet.safetensors)" ]
    run "$APQ" eval --run run --policy random:4 --qat-steps 30
    expect_status 2
    expect_output '--bits policy'
}

@test "eval: --check counts images that integers class otherwise" {
    "$APQ" eval --run run --policy random:4 --bits policy --split val \
        --check --json --quiet |
        jq -e '.check.other_class <= 2 and
               (.check.simulated_top1 - .top1 | fabs) * .count <= 2'
    run "$APQ" eval --run run --policy random:4 --bits policy --check --quiet
    expect_status 0
    expect_output 'images of another class'
    run "$APQ" eval --run run --policy random:4 --check
    expect_status 2
    expect_output '--bits policy'
}

@test "eval: bfloat16 is close to float32, which is the default" {
    for dtype in '' '--dtype float32' '--dtype bfloat16'; do
        "$APQ" eval --run run --policy largest --split val $dtype \
            --json --quiet | jq .loss >"loss$dtype"
    done
    cmp loss 'loss--dtype float32'
    run "$APQ" eval --run run --policy largest --bits policy --dtype bfloat16
    expect_status 2
    expect_output '--bits float'
    [ -s 'loss--dtype bfloat16' ] || skip 'needs a processor with AVX512_BF16'
    jq -se '.[0] != .[1] and (.[0] - .[1] | fabs) < 0.02' \
        loss 'loss--dtype bfloat16'
}

@test "without --run: the shipped artefacts" {
    cd "$ROOT"
    "$APQ" report --json | jq -e '.is_shipped
        and .asked.space.name == "cifar10"
        and .asked.seed == (.asked.recipe.seed | tostring)
        and .predictor.float.n_train > 0'
    run "$APQ" report
    expect_status 0
    run "$APQ" report --space imagenet-apq
    expect_status 3
}
