"""The table of a comparison: medians of undisturbed numbers, as Markdown."""
import statistics

from load import TOLERATED, is_disturbed
from ways import MODES, describe, width_of


def sample(row):
    """Images per second, and whether other work disturbed them."""
    return row["images_per_s"], is_disturbed(row.get("others"))


def valid(samples):
    """The rates that nothing disturbed; all, where there are none."""
    quiet = [rate for rate, disturbed in samples if not disturbed]
    return quiet or [rate for rate, _ in samples]


def median(samples):
    return statistics.median(valid(samples))


def spread(samples):
    rates = valid(samples)
    return (max(rates) - min(rates)) / statistics.median(rates)


def is_doubtful(samples):
    """Whether every one of them was disturbed."""
    return all(disturbed for _, disturbed in samples)


def compare(network, mode, dtype, ours, theirs):
    """A row of the table. Sides without a number are None."""
    row = {"network": network, "mode": mode, "dtype": dtype,
           "apq_images_per_s": None, "apq_spread": None,
           "torch_images_per_s": None, "torch_spread": None,
           "torch_setting": None, "ratio": None, "is_disturbed": False}
    if ours:
        row["apq_images_per_s"] = median(ours)
        row["apq_spread"] = spread(ours)
    if theirs:
        row["torch_images_per_s"] = median(theirs[0])
        row["torch_spread"] = spread(theirs[0])
        row["torch_setting"] = theirs[1]
    row["is_disturbed"] = any(
        is_doubtful(side) for side in (ours, theirs and theirs[0]) if side)
    if ours and theirs:
        row["ratio"] = row["apq_images_per_s"] / row["torch_images_per_s"]
    return row


def apq_samples(rounds, mode, network):
    """The samples of all rounds, by dtype."""
    rates = {}
    for number in rounds:
        for row in number["apq"]:
            if (row["mode"], row["network"]) == (mode, network):
                rates.setdefault(row["dtype"], []).append(sample(row))
    return rates


def torch_samples(rounds, mode, network):
    """The samples of all rounds of the best setting, by dtype, and what
    the setting is."""
    rates = {}
    for number in rounds:
        for row in number["torch"]:
            if ((row["way"]["mode"], row["network"]) == (mode, network) and
                    "images_per_s" in row):
                setting = f"{row['environment']}; {describe(row['way'])}"
                rates.setdefault((width_of(row["way"]), setting),
                                 []).append(sample(row))
    best = {}
    for (width, setting), values in rates.items():
        if width not in best or median(values) > median(best[width][0]):
            best[width] = (values, setting)
    return best


def table(rounds, names):
    """One row a network, mode and dtype; dtype "best" compares the
    fastest of either side."""
    rows = []
    for network in names:
        for mode in MODES:
            ours = apq_samples(rounds, mode, network)
            theirs = torch_samples(rounds, mode, network)
            dtypes = sorted({*ours, *theirs}, key=lambda d: (
                d != "float32", d))
            if ours:
                ours["best"] = max(ours.values(), key=median)
            if theirs:
                theirs["best"] = max(
                    theirs.values(), key=lambda pair: median(pair[0]))
            for dtype in [*dtypes, "best"]:
                rows.append(compare(network, mode, dtype, ours.get(dtype),
                                    theirs.get(dtype)))
    return rows


def number_text(value, form):
    return "-" if value is None else format(value, form)


def markdown(document):
    lines = [
        f"Images per second, batch {document['batch']}, "
        f"{document['threads']} threads; medians and spreads "
        f"((largest - smallest) / median) of {document['rounds']} rounds.",
        "",
        "| network | mode | dtype | apq | PyTorch, best | ratio "
        "| spread apq, PyTorch | setting |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in document["table"]:
        cells = [row["network"], row["mode"], row["dtype"],
                 number_text(row["apq_images_per_s"], ",.0f"),
                 number_text(row["torch_images_per_s"], ",.0f"),
                 number_text(row["ratio"], ".2f") +
                 (" disturbed" if row["is_disturbed"] else ""),
                 number_text(row["apq_spread"], ".2f") + ", " +
                 number_text(row["torch_spread"], ".2f"),
                 row["torch_setting"] or "-"]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "All settings of PyTorch, one short measurement each:", "",
              "| network | mode | environment | way | images/s | spread |",
              "|---|---|---|---|---|---|"]
    for row in document["tried"]:
        way = row.get("way")
        cells = [row.get("network", "-"), way["mode"] if way else "-",
                 row["environment"], describe(way) if way else "-",
                 number_text(row.get("images_per_s"), ",.0f")
                 if "error" not in row else row["error"].replace("|", "/"),
                 number_text(row.get("spread"), ".2f")]
        lines.append("| " + " | ".join(cells) + " |")
    versions = ", ".join(f"{key} {value}" for key, value in
                         document["versions"].items())
    machine = document["machine"]
    lines += ["", f"Machine: {machine.get('cpu')}, {machine.get('threads')} "
              f"processors, {machine.get('isa')}. Versions: {versions}.",
              f"Load average {document['load_before']:.2f} before and "
              f"{document['load_after']:.2f} after, this program included. "
              f"\"disturbed\": other work took more than {TOLERATED} "
              f"processors in every round, so that the ratio is worthless. "
              f"{document['seconds']:.0f} s in all.", ""]
    return "\n".join(lines)
