#!/usr/bin/env python3
"""The networks of `apq bench` in PyTorch: their sizes, and images per second.

    torch_bench.py --check LAYERS    sizes beside those of apq; 1 if they differ
    torch_bench.py --serve LAYERS    measures what standard input asks for

LAYERS has one network a line, as `apq cost --explain --all-layers --json`
prints them. --serve reads jobs, one JSON object a line, and answers each with
one; compare.py keeps such a process for every way to set up the process.
"""
import argparse
import contextlib
import json
import os
import statistics
import sys
import time
import warnings

import torch
from load import Watch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

# As in `apq bench`, src/app/bench.c.
BATCH, SMOOTHING, MOMENTUM, LEARNING_RATE = 128, 0.1, 0.9, 1e-6
WEIGHT_DECAY = 5e-4
WARM_STEPS, MIN_STEPS = 3, 5


class Layer(nn.Module):
    """Convolution, batch norm and, where the layer has one, ReLU6."""

    def __init__(self, layer):
        super().__init__()
        groups = layer["in_channels"] if layer["kind"] == "depthwise" else 1
        self.conv = nn.Conv2d(
            layer["in_channels"], layer["out_channels"], layer["kernel"],
            layer["stride"], layer["kernel"] // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(layer["out_channels"])
        self.act = (nn.ReLU6(inplace=True) if layer["has_relu6"]
                    else nn.Identity())

    def forward(self, x):
        return self.act(self.norm(self.conv(x)))

    def fold(self):
        """Puts the batch norm into the convolution; for evaluation."""
        self.conv = fuse_conv_bn_eval(self.conv, self.norm)
        self.norm = nn.Identity()


class Network(nn.Module):
    """A chain of layers; some add the output of an earlier one."""

    def __init__(self, layers):
        super().__init__()
        *body, last = layers
        places = {layer["name"]: i for i, layer in enumerate(layers)}
        self.layers = nn.ModuleList(Layer(layer) for layer in body)
        self.sources = [places.get(layer["residual_from"]) for layer in body]
        self.kept = {source for source in self.sources if source is not None}
        self.classifier = nn.Linear(last["in_channels"], last["out_channels"])

    def forward(self, x):
        outputs = {}
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if self.sources[i] is not None:
                x = x + outputs[self.sources[i]]
            if i in self.kept:
                outputs[i] = x
        return self.classifier(x.mean((2, 3)))

    def fold(self):
        for layer in self.layers:
            layer.fold()


def image_shape(layers):
    return layers[0]["in_channels"], layers[0]["in_size"], layers[0]["in_size"]


def sizes(network, layers):
    """Multiply-accumulates of one image, counted while it passes, and
    parameters; as apq counts them, batch norms have two a channel."""
    macs = 0

    def count(module, _, output):
        nonlocal macs
        inputs = module.weight[0].numel()
        macs += output[0].numel() * inputs

    counted = [m for m in network.modules()
               if isinstance(m, (nn.Conv2d, nn.Linear))]
    handles = [m.register_forward_hook(count) for m in counted]
    with torch.no_grad():
        network.eval()(torch.zeros(1, *image_shape(layers)))
    for handle in handles:
        handle.remove()
    params = sum(p.numel() for p in network.parameters())
    return macs, params


def build(document):
    """The network in PyTorch; one of another size than apq's is an error."""
    torch.manual_seed(1)
    network = Network(document["layers"])
    macs, params = sizes(network, document["layers"])
    if (macs, params) != (document["macs"], document["params"]):
        raise ValueError(f"{macs} MACs and {params} parameters, apq has "
                         f"{document['macs']:.0f} and "
                         f"{document['params']:.0f}")
    return network


def arithmetic(job):
    """The context in which the steps of a job run."""
    if job["dtype"] == "autocast":
        return torch.autocast("cpu", dtype=torch.bfloat16)
    return contextlib.nullcontext()


def layout_of(job):
    return (torch.channels_last if job["layout"] == "channels_last"
            else torch.contiguous_format)


def train_step(network, images, job):
    network = network.train().to(memory_format=layout_of(job))
    optimizer = torch.optim.SGD(
        network.parameters(), LEARNING_RATE, MOMENTUM, nesterov=True,
        weight_decay=WEIGHT_DECAY, fused=True)
    loss_of = nn.CrossEntropyLoss(label_smoothing=SMOOTHING)
    labels = torch.arange(BATCH) % network.classifier.out_features
    forward = network
    if job["how"] == "compile":
        forward = torch.compile(network, dynamic=False)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with arithmetic(job):
            loss = loss_of(forward(images), labels)
        loss.backward()
        optimizer.step()

    return step


def eval_step(network, images, job):
    network = network.eval()
    if job["fold"]:
        network.fold()
    network = network.to(memory_format=layout_of(job))
    if job["dtype"] == "bfloat16":
        network, images = network.bfloat16(), images.bfloat16()
    forward = network
    if job["how"] == "compile":
        forward = torch.compile(network, dynamic=False,
                                options={"freezing": True})
    elif job["how"] == "jit":
        with torch.no_grad():
            traced = torch.jit.trace(network, images)
            forward = torch.jit.optimize_for_inference(
                torch.jit.freeze(traced))

    def step():
        with torch.inference_mode(), arithmetic(job):
            forward(images)

    return step


def measure(step, seconds):
    """Images per second by the median step, the spread of steps, and what
    other programs took meanwhile."""
    for _ in range(WARM_STEPS):
        step()
    times = []
    watch = Watch()
    start = time.perf_counter()
    while (len(times) < MIN_STEPS or
           time.perf_counter() - start < seconds):
        begin = time.perf_counter()
        step()
        times.append(time.perf_counter() - begin)
    others = watch.others()
    times.sort()
    n, median = len(times), statistics.median(times)
    return {"images_per_s": BATCH / median, "steps": n,
            "spread": (times[n * 9 // 10] - times[n // 10]) / median,
            "others": others}


class Server:
    """Answers jobs. Steps are kept, so that a network is compiled once."""

    def __init__(self, documents):
        self.documents = documents
        self.steps = {}

    def step_of(self, job):
        key = json.dumps({k: v for k, v in job.items() if k != "seconds"})
        if key not in self.steps:
            document = self.documents[job["network"]]
            network = build(document)
            images = torch.randn(BATCH, *image_shape(document["layers"]))
            images = images.to(memory_format=layout_of(job))
            make = train_step if job["mode"] == "train" else eval_step
            self.steps[key] = make(network, images, job)
        return self.steps[key]

    def answer(self, job):
        torch.backends.mkldnn.conv.fp32_precision = (
            "bf16" if job["dtype"] == "bf16-products" else "ieee")
        begin = time.perf_counter()
        step = self.step_of(job)
        step()  # compiles, where the job asks for it
        ready_s = time.perf_counter() - begin
        return {**measure(step, job["seconds"]), "ready_s": ready_s}


def serve(documents, threads):
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    torch.set_flush_denormal(True)
    # Answers go to the pipe; what libraries print goes to standard error.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    server = Server(documents)
    print(json.dumps({"torch": torch.__version__,
                      "threads": torch.get_num_threads(),
                      "onednn": torch.backends.mkldnn.is_available()}),
          file=answers)
    for line in sys.stdin:
        try:
            answer = server.answer(json.loads(line))
        # A setting that this release cannot run is a result as well.
        except Exception as error:  # pylint: disable=broad-except
            text = str(error).strip() or type(error).__name__
            answer = {"error": text.splitlines()[0][:200]}
        print(json.dumps(answer), file=answers)


def check(documents):
    """Prints the sizes of each network; the number of those that differ."""
    n_wrong = 0
    for i, document in enumerate(documents):
        network = Network(document["layers"])
        macs, params = sizes(network, document["layers"])
        same = (macs, params) == (document["macs"], document["params"])
        n_wrong += not same
        print(f"network {i + 1}: {macs} MACs, {params} parameters; apq "
              f"{document['macs']:.0f}, {document['params']:.0f}: "
              f"{'equal' if same else 'DIFFERENT'}")
    return n_wrong


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", metavar="LAYERS")
    what.add_argument("--serve", metavar="LAYERS")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    with open(options.check or options.serve, encoding="utf-8") as lines:
        documents = [json.loads(line) for line in lines if line.strip()]
    if not documents:
        parser.error("no networks in the file")
    if options.check:
        return 1 if check(documents) else 0
    serve(documents, options.threads)
    return 0


if __name__ == "__main__":
    sys.exit(main())
