#!/usr/bin/env python3
"""Images per second of apq and PyTorch in turn, on the same networks.

PyTorch gets its best: ways to set up the process are tried first, then ways
to run the network in the best of those, and the fastest few are measured in
rounds, alternating with `apq bench`. Writes peers.json and peers.md into the
folder given and prints the table. run.sh calls it; it needs no package.
"""
import argparse
import contextlib
import json
import math
import os
import platform
import select
import subprocess
import sys
import time

from load import Watch, is_disturbed
from table import markdown, table
from ways import MODES, describe, environments, options, width_of

HERE = os.path.dirname(os.path.abspath(__file__))
# Names of `apq bench`, and of `apq policy show` for the same networks.
POLICIES = {"largest": "largest", "middle": "random:1", "smallest": "smallest"}
BATCH = 128
JOB_LIMIT_S = 240
# A way slower than this share of the best on the largest network is not tried
# on the others; one within CLOSE of the best may be a finalist.
HOPELESS, CLOSE, MAX_FINALISTS = 0.7, 0.9, 2
MAX_ROUNDS = 5
# Of the time, for trying; what then is left untried is said.
TRY_SHARE = 0.5


def log(text):
    print(text, file=sys.stderr, flush=True)


def clean_environment():
    """Ours without what steers threads and memory, so that both programs
    start from their own defaults."""
    steering = ("OMP_", "GOMP_", "KMP_", "MALLOC_", "GLIBC_TUNABLES",
                "LD_PRELOAD", "THP_MEM", "TORCH", "ATEN_", "DNNL_", "ONEDNN_")
    return {key: value for key, value in os.environ.items()
            if not key.startswith(steering)}


class Worker:
    """A PyTorch process with one environment, which answers jobs."""

    def __init__(self, name, extra, setup):
        self.log = open(os.path.join(setup.out, "torch.log"), "a",
                        encoding="utf-8")
        self.process = subprocess.Popen(
            [sys.executable, os.path.join(HERE, "torch_bench.py"), "--serve",
             setup.layers, "--threads", str(setup.threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
            env={**clean_environment(), "PYTHONWARNINGS": "ignore",
                 "OMP_NUM_THREADS": str(setup.threads),
                 "TORCHINDUCTOR_CACHE_DIR":
                     os.path.join(os.path.abspath(setup.out), "inductor"),
                 **extra})
        self.name = name
        self.hello = self.read()

    def read(self):
        """The next answer; one that does not come ends the process."""
        answered, _, _ = select.select([self.process.stdout], [], [],
                                       JOB_LIMIT_S)
        line = self.process.stdout.readline() if answered else b""
        if line:
            return json.loads(line)
        self.process.kill()
        self.process.wait()
        return {"error": "the process ended" if answered
                else f"no answer in {JOB_LIMIT_S} s"}

    def run(self, job):
        try:
            self.process.stdin.write((json.dumps(job) + "\n").encode())
            self.process.stdin.flush()
        except OSError as error:
            return {"error": str(error)}
        return self.read()

    def close(self):
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(JOB_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def run_apq(setup, *words, text=None):
    """Standard output of apq; its message when it fails."""
    done = subprocess.run([setup.apq, *words], input=text, text=True,
                          capture_output=True, check=False,
                          env=clean_environment())
    if done.returncode != 0:
        sys.exit(f"compare: apq {words[0]} failed: {done.stderr.strip()}")
    return done.stdout


def write(path, text):
    """The whole file or none of it."""
    with open(path + ".part", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".part", path)


def export_layers(setup):
    """Writes the layers of the networks; their documents by name."""
    policies = run_apq(setup, "policy", "show", *POLICIES.values(), "--space",
                       setup.space)
    layers = run_apq(setup, "cost", "--space", setup.space, "--specs", "-",
                     "--explain", "--all-layers", "--json", text=policies)
    write(setup.layers, layers)
    return dict(zip(POLICIES, map(json.loads, layers.splitlines())))


class Comparison:
    """All numbers of one run, and the processes that give them."""

    def __init__(self, setup, documents):
        self.setup = setup
        self.documents = documents
        self.names = list(POLICIES)[:1] if setup.quick else list(POLICIES)
        self.start = time.monotonic()
        self.workers = {}
        self.tried = []   # one row a setting, network and mode
        self.rounds = []  # rates of apq and of the finalists
        self.machine, self.torch = {}, {}

    def elapsed(self):
        return time.monotonic() - self.start

    def worker(self, name):
        """The process of an environment; a new one where it has ended."""
        old = self.workers.get(name)
        if old is not None and old.process.poll() is not None:
            self.workers.pop(name).close()
        if name not in self.workers:
            extra = environments(self.setup.quick)[name]
            self.workers[name] = Worker(name, extra, self.setup)
        return self.workers[name]

    def close(self, kept=()):
        for name in list(self.workers):
            if name not in kept:
                self.workers.pop(name).close()

    def ask(self, environment, way, network, seconds):
        job = {**way, "network": list(POLICIES).index(network),
               "seconds": seconds}
        return self.worker(environment).run(job)

    def try_out(self, environment, way, network):
        """One setting, once; filed and shown. Its images per second, or 0."""
        answer = self.ask(environment, way, network, self.setup.try_s)
        self.tried.append({"environment": environment, "way": way,
                           "network": network, **answer})
        rate = answer.get("images_per_s", 0)
        log(f"{self.elapsed():4.0f} s  {way['mode']:5} {network:8} "
            f"{answer.get('error') or round(rate):>6}  "
            f"{environment}; {describe(way)}"
            f"{' (disturbed)' if is_disturbed(answer.get('others')) else ''}")
        return rate

    def try_environments(self):
        """The best environment of each mode, by the geometric mean."""
        scores = {mode: {} for mode in MODES}
        ends = {self.names[0], self.names[-1]}
        for name, extra in environments(self.setup.quick).items():
            if extra is None:
                log(f"        {name}: not installed")
                self.tried.append({"environment": name,
                                   "error": "not installed"})
                continue
            self.torch = self.torch or self.worker(name).hello
            for mode in MODES:
                way = options(mode, self.setup.quick)[0]
                rates = [self.try_out(name, way, network)
                         for network in self.names if network in ends]
                scores[mode][name] = math.prod(rates)
            self.close()
        return {mode: max(scores[mode], key=scores[mode].get)
                for mode in MODES}

    def try_way(self, environment, way):
        for network in self.names:
            if self.elapsed() > TRY_SHARE * self.setup.limit_s:
                log(f"        out of time: {describe(way)}, {network}")
                self.tried.append({"environment": environment, "way": way,
                                   "network": network,
                                   "error": "not tried, out of time"})
                return
            if not self.is_tried(environment, way, network):
                self.try_out(environment, way, network)
            if (network == self.names[0] and
                    self.is_hopeless(environment, way, network)):
                return

    def try_options(self, best):
        """All ways of both modes, those that compile at the end: they take
        minutes where nothing is compiled yet."""
        ways = [way for mode in MODES
                for way in options(mode, self.setup.quick)]
        for way in sorted(ways, key=lambda way: way["how"] == "compile"):
            self.try_way(best[way["mode"]], way)

    def is_tried(self, environment, way, network):
        return any(row["environment"] == environment and
                   row["way"] == way and row["network"] == network
                   for row in self.tried if "way" in row)

    def ranking(self, mode, network, width):
        """Rows that gave a number, the fastest first."""
        rows = [row for row in self.tried if "images_per_s" in row and
                row["way"]["mode"] == mode and row["network"] == network and
                width_of(row["way"]) == width]
        return sorted(rows, key=lambda row: -row["images_per_s"])

    def is_hopeless(self, environment, way, network):
        best = self.ranking(way["mode"], network, width_of(way))
        mine = [row["images_per_s"] for row in best
                if row["environment"] == environment and row["way"] == way]
        return not mine or mine[0] < HOPELESS * best[0]["images_per_s"]

    def finalists(self):
        chosen = []
        for mode in MODES:
            for network in self.names:
                for width in ("float32", "bfloat16"):
                    rows = self.ranking(mode, network, width)
                    chosen += [row for row in rows[:MAX_FINALISTS]
                               if row["images_per_s"] >=
                               CLOSE * rows[0]["images_per_s"]]
        return chosen

    def bench_apq(self, mode):
        """Images per second by network and dtype (where a dtype has several
        rows, of the fastest), and what other programs took meanwhile."""
        watch = Watch()
        document = json.loads(run_apq(
            self.setup, "bench", mode, "--space", self.setup.space,
            "--threads", str(self.setup.threads), "--json", "--quiet"))
        self.machine = document.get("machine", {})
        rates = {}
        for row in document["results"]:
            name = row.get("network")
            if (name not in self.names or row.get("batch", BATCH) != BATCH
                    or row.get("dtype") == "int8"):  # PyTorch's are floats
                continue
            macs = self.documents[name]["macs"] * 1e-6
            if abs(row.get("m_macs", macs) - macs) > 1e-3 * macs:
                sys.exit(f"compare: apq bench has {row['m_macs']} M MACs for "
                         f"{name}, its layers {macs}")
            key = (name, row.get("dtype", "float32"))
            rates[key] = max(rates.get(key, 0), row["images_per_s"])
        return rates, watch.others()

    def play_round(self, finalists):
        begin = self.elapsed()
        number = {"load": os.getloadavg()[0], "apq": [], "torch": []}
        for mode in MODES:
            rates, others = self.bench_apq(mode)
            number["apq"] += [
                {"mode": mode, "network": name, "dtype": dtype,
                 "images_per_s": rate, "others": others}
                for (name, dtype), rate in rates.items()]
            for row in finalists:
                if row["way"]["mode"] == mode:
                    answer = self.ask(row["environment"], row["way"],
                                      row["network"], self.setup.round_s)
                    number["torch"].append(
                        {key: row[key] for key in
                         ("environment", "way", "network")} | answer)
        self.rounds.append(number)
        rows = number["apq"] + number["torch"]
        n_disturbed = sum(is_disturbed(row.get("others")) for row in rows)
        log(f"{self.elapsed():4.0f} s  round {len(self.rounds)}, "
            f"{n_disturbed} of {len(rows)} numbers disturbed by other work")
        return self.elapsed() - begin

    def run(self):
        try:
            self.try_options(self.try_environments())
            finalists = self.finalists()
            if not finalists:
                sys.exit("compare: PyTorch gave no number, see "
                         f"{self.setup.out}/torch.log")
            self.close({row["environment"] for row in finalists})
            last_s = 0.0
            while (len(self.rounds) < self.setup.min_rounds or
                   (len(self.rounds) < self.setup.max_rounds and
                    self.elapsed() + last_s <= self.setup.limit_s)):
                last_s = self.play_round(finalists)
        finally:
            self.close()


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--apq", default="build/apq", help="the program")
    parser.add_argument("--space", default="cifar10")
    parser.add_argument("--out", default="build/peers", help="folder")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit-s", type=float, default=600,
                        help="no round begins that would end after it")
    parser.add_argument("--quick", action="store_true",
                        help="largest network, few settings, one round")
    parser.add_argument("--check", action="store_true",
                        help="only compare the sizes of the networks")
    setup = parser.parse_args()
    setup.layers = os.path.join(setup.out, "layers.jsonl")
    setup.try_s, setup.round_s = (0.5, 1.0) if setup.quick else (1.0, 2.0)
    setup.min_rounds, setup.max_rounds = ((1, 1) if setup.quick
                                          else (2, MAX_ROUNDS))
    return setup


def main():
    setup = parse()
    os.makedirs(setup.out, exist_ok=True)
    documents = export_layers(setup)
    checked = subprocess.run(
        [sys.executable, os.path.join(HERE, "torch_bench.py"), "--check",
         setup.layers], env={**os.environ, "PYTHONWARNINGS": "ignore"},
        stdout=None if setup.check else sys.stderr, check=False)
    if checked.returncode != 0:
        sys.exit("compare: the networks in PyTorch are not those of apq")
    if setup.check:
        return
    load = os.getloadavg()[0]
    comparison = Comparison(setup, documents)
    comparison.run()
    document = {
        "space": setup.space, "batch": BATCH, "threads": setup.threads,
        "is_quick": setup.quick, "rounds": len(comparison.rounds),
        "seconds": comparison.elapsed(), "machine": comparison.machine,
        "versions": {
            "apq": run_apq(setup, "--version").split()[-1],
            "torch": comparison.torch.get("torch"),
            "Python": platform.python_version(),
            "libc": " ".join(platform.libc_ver()),
            "Linux": platform.release()},
        "load_before": load, "load_after": os.getloadavg()[0],
        "table": table(comparison.rounds, comparison.names),
        "tried": comparison.tried, "raw_rounds": comparison.rounds}
    text = markdown(document)
    write(os.path.join(setup.out, "peers.json"),
          json.dumps(document, indent=1) + "\n")
    write(os.path.join(setup.out, "peers.md"), text)
    print(text, end="")


if __name__ == "__main__":
    main()
