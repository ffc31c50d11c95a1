#!/usr/bin/env python3
"""Rebuilds a network exported by `apq export --format safetensors` in PyTorch.

    load_pytorch.py FOLDER IMAGES

IMAGES is a folder of folders, each with the name of a class, with images whose
shorter side is the network's or up to 1/7 longer, which takes Pillow; prints the
accuracy. Where the network knows no names, the folders are all its classes in the
order of theirs. Or a file of images, each (H, W, 3) RGB bytes, as `apq infer
--pixels FILE` makes of any image; prints the logits of each.
Tensors hold whole numbers; float64 adds their products up without an error.
"""
import json
import pathlib
import sys

import torch
from torch.nn.functional import conv2d

TYPES = {"F32": torch.float32, "I8": torch.int8, "I32": torch.int32}


def load(path):
    """The description of the network and its tensors by name."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = bytearray(file.read())
    network = json.loads(header.pop("__metadata__")["network"])
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        flat = torch.frombuffer(data[begin:end], dtype=TYPES[entry["dtype"]])
        tensors[name] = flat.reshape(entry["shape"])
    return network, tensors


def run(network, tensors, pixels):
    """pixels (N, H, W, 3) bytes -> logits (N, classes)."""
    layers, outputs = network["layers"], {}
    values = (pixels.float() / 255 - torch.tensor(network["mean"]))
    values = (values / torch.tensor(network["std"])).permute(0, 3, 1, 2)
    codes = (values / tensors["stem.input_step"]).round()
    codes = codes.clamp(*layers[0]["input_codes"])
    for layer in layers[:-1]:
        w, bias, rescale, table = (
            tensors.get(f"{layer['name']}.{part}")
            for part in ("weight", "bias", "rescale", "reround"))
        if table is not None:  # what it reads, rounded to fewer bits
            codes = table[codes.long() + 128]
        sums = conv2d(codes.double(), w.double(), bias.double(),
                      layer["stride"], layer["kernel"] // 2,
                      groups=codes.shape[1] // w.shape[1])
        codes = (sums.float() * rescale[:, None, None]).round()
        codes = codes.clamp(*layer["output_codes"])
        if layer["residual_from"]:
            codes = codes + outputs[layer["residual_from"]]
            codes = codes.clamp(*layer["output_codes"])
        outputs[layer["name"]] = codes
    pooled = codes.sum((2, 3)) * tensors["classifier.pool_rescale"]
    pooled = pooled.round().clamp(*layers[-1]["input_codes"]).double()
    sums = pooled @ tensors["classifier.weight"].double().T
    sums = sums + tensors["classifier.bias"].double()
    return sums.float() * tensors["classifier.logit_scale"]


def find(path, network):
    """Image files of class folders, each with its label."""
    folders = sorted(entry for entry in path.iterdir() if entry.is_dir())
    names = network.get("class_names") or [folder.name for folder in folders]
    for folder in folders:
        if folder.name not in names:
            sys.exit(f"{folder}: the network knows {', '.join(names)}")
    if len(names) != network["classes"]:
        sys.exit(f"{path}: {len(names)} classes, not {network['classes']}")
    files = [(file, names.index(folder.name))
             for folder in folders for file in sorted(folder.iterdir())
             if file.suffix.lower() in (".png", ".jpg", ".jpeg")]
    return files or sys.exit(f"{path}: no images in folders of classes")


def read(path, network):
    """Images (N, side, side, 3) of class folders and their labels."""
    from PIL import Image, ImageOps
    pixels, labels, side = bytearray(), [], network["resolution"]
    for file, label in find(path, network):
        image = ImageOps.exif_transpose(Image.open(file)).convert("RGB")
        if not side <= min(image.size) <= side * 8 // 7:
            sys.exit(f"{file}: {image.width} x {image.height}, the network reads "
                     f"{side} x {side}; what `apq infer --image {file} --pixels "
                     "FILE` writes is that, and read as IMAGES")
        left, top = ((length - side) // 2 for length in image.size)
        pixels += image.crop((left, top, left + side, top + side)).tobytes()
        labels.append(label)
    raw = torch.frombuffer(pixels, dtype=torch.uint8)
    return raw.reshape(-1, side, side, 3), torch.tensor(labels)


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: load_pytorch.py FOLDER IMAGES")
    name = sys.argv[1] + "/network.safetensors"
    try:
        net, tensors = load(name)
    except (OSError, ArithmeticError, AttributeError, LookupError, RuntimeError,
            TypeError, ValueError) as error:
        sys.exit(f"{name}: no exported network can be read: {error}")
    side, path = net["resolution"], pathlib.Path(sys.argv[2])
    if path.is_dir():
        pixels, labels = read(path, net)
        found = [run(net, tensors, part).argmax(1) for part in pixels.split(250)]
        right = int((torch.cat(found) == labels).sum())
        print(f"{100 * right / len(labels):.2f} % of {len(labels)} images")
        return
    try:
        data = bytearray(path.read_bytes())
    except OSError as error:
        sys.exit(str(error))
    if len(data) == 0 or len(data) % (side * side * 3) != 0:
        sys.exit(f"{path}: {len(data)} bytes, no images of {side} x {side} x 3")
    raw = torch.frombuffer(data, dtype=torch.uint8)
    for logits in run(net, tensors, raw.reshape(-1, side, side, 3)):
        print(*(f"{logit:.9g}" for logit in logits.tolist()))


if __name__ == "__main__":
    main()
