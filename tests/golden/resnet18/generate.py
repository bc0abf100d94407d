"""Golden values for tests/test_student.c: ResNet-18 + Step-CoT student in plain PyTorch (CPU, float32).

    python3 generate.py PACKAGE IMAGE OUT

PACKAGE: folder with model.json and weights.safetensors (engine/default); IMAGE: one grey 8-bit radiograph;
OUT: this folder. Needs torch, numpy and Pillow; see ../README.md. Writes
    nih.pgm               the image as it is
    expected.safetensors  inputs and logits
    tiny/                 a randomly initialised model of another size, for another step schema, as a training run
                          would leave it: weights.safetensors (F16, BF16, F32, I64) and summary.json
"""
import json
import os
import struct
import sys

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

TINY = dict(width=8, dim=24, classes=[2, 3, 5], size=75, mean=0.45, std=0.3, filter="bilinear")
TYPES = dict(F32=np.dtype("<f4"), F16=np.dtype("<f2"), BF16=np.dtype("<u2"), I64=np.dtype("<i8"))


def uniform(seed, count):
    """splitmix64 of a counter, as floats in [-2,2): test_student.c makes the same numbers."""
    with np.errstate(over="ignore"):
        z = (np.arange(1, count + 1, dtype=np.uint64) + np.uint64(seed << 32)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return ((z >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-22)) - np.float32(2)


# ---------------------------------------------------------------- safetensors
def load(path):
    with open(path, "rb") as f:
        raw = f.read()
    n = struct.unpack("<Q", raw[:8])[0]
    out = {}
    for name, e in json.loads(raw[8:8 + n]).items():
        a, b = (8 + n + o for o in e["data_offsets"])
        out[name] = np.frombuffer(raw[a:b], TYPES[e["dtype"]]).reshape(e["shape"])
    return out


def save(path, tensors):
    """tensors: name -> array, or (array, "BF16") for raw upper halves of floats."""
    header, blobs, at = {}, [], 0
    for name, a in tensors.items():
        a, kind = a if isinstance(a, tuple) else (np.asarray(a), None)
        kind = kind or {"float32": "F32", "float16": "F16", "int64": "I64"}[str(a.dtype)]
        raw = a.tobytes()
        header[name] = dict(dtype=kind, shape=list(a.shape), data_offsets=[at, at + len(raw)])
        blobs.append(raw)
        at += len(raw)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


# ---------------------------------------------------------------- the model
def logits(w, x):
    """w: name -> float32 tensor; x [n,size,size] normalised grey -> [n, sum of classes]."""
    def norm(x, p):
        return F.batch_norm(x, w[p + ".running_mean"], w[p + ".running_var"], w[p + ".weight"], w[p + ".bias"])

    def block(x, p, stride):
        y = F.relu(norm(F.conv2d(x, w[p + ".conv1.weight"], stride=stride, padding=1), p + ".bn1"))
        y = norm(F.conv2d(y, w[p + ".conv2.weight"], padding=1), p + ".bn2")
        if p + ".downsample.0.weight" in w:
            x = norm(F.conv2d(x, w[p + ".downsample.0.weight"], stride=stride), p + ".downsample.1")
        return F.relu(x + y)

    x = x[:, None].repeat(1, 3, 1, 1)
    x = F.max_pool2d(F.relu(norm(F.conv2d(x, w["cnn.conv1.weight"], stride=2, padding=3), "cnn.bn1")), 3, 2, 1)
    for stage in range(1, 5):
        for b in range(2):
            x = block(x, f"cnn.layer{stage}.{b}", 2 if stage > 1 and b == 0 else 1)
    s = "student.img_proj."
    f = F.linear(x.mean((2, 3)), w[s + "0.weight"], w[s + "0.bias"])
    f = F.relu(F.layer_norm(f, f.shape[1:], w[s + "1.weight"], w[s + "1.bias"]))
    out, i = [], 0
    while f"student.step_heads.{i}.weight" in w:
        head = w[f"student.step_heads.{i}.weight"]
        out.append(F.linear(f, head, w[f"student.step_heads.{i}.bias"]))
        f, i = f + torch.tanh(out[-1] @ head), i + 1
    return torch.cat(out, 1)


def as_torch(w):
    return {k: torch.from_numpy(np.array(v, dtype=np.float32)) for k, v in w.items()}


def preprocess(grey, size, filter, mean, std):
    """grey [rows,cols] 0..1; Pillow in mode F, stretched."""
    how = dict(bicubic=Image.Resampling.BICUBIC, bilinear=Image.Resampling.BILINEAR)[filter]
    return (np.asarray(Image.fromarray(grey, "F").resize((size, size), how)) - np.float32(mean)) / np.float32(std)


# ---------------------------------------------------------------- the tiny model
def tiny_shapes():
    width, dim = TINY["width"], TINY["dim"]

    def conv(name, norm, o, i, k):
        yield f"cnn.{name}.weight", (o, i, k, k)
        for part in ("weight", "bias", "running_mean", "running_var"):
            yield f"cnn.{norm}.{part}", (o,)

    yield from conv("conv1", "bn1", width, 3, 7)
    for stage in range(4):
        o = width << stage
        for b in range(2):
            i = o if b or not stage else o // 2
            p = f"layer{stage + 1}.{b}."
            yield from conv(p + "conv1", p + "bn1", o, i, 3)
            yield from conv(p + "conv2", p + "bn2", o, o, 3)
            if i != o:
                yield from conv(p + "downsample.0", p + "downsample.1", o, i, 1)
    yield "student.img_proj.0.weight", (dim, width * 8)
    for part in ("0.bias", "1.weight", "1.bias"):
        yield f"student.img_proj.{part}", (dim,)
    for s, c in enumerate(TINY["classes"]):
        yield f"student.step_heads.{s}.weight", (c, dim)
        yield f"student.step_heads.{s}.bias", (c,)


def make_tiny(folder):
    stored, used = {}, {}
    for i, (name, shape) in enumerate(tiny_shapes()):
        v = uniform(100 + i, int(np.prod(shape))).reshape(shape) / 2  # [-1,1)
        if "running_var" in name:
            v = 1 + v / 2
        elif name.endswith("weight") and len(shape) == 1:
            v = 1 + v / 4
        elif len(shape) > 1:
            v = v * np.float32(np.sqrt(3 / np.prod(shape[1:])))
        v = v.astype(np.float32)
        if len(shape) == 4:
            stored[name] = v.astype(np.float16)
            used[name] = stored[name].astype(np.float32)
        elif name.startswith("student.step_heads") and len(shape) == 2:
            upper = (v.view(np.uint32) >> 16).astype(np.uint16)
            stored[name] = (upper, "BF16")
            used[name] = (upper.astype(np.uint32) << 16).view(np.float32)
        else:
            stored[name] = used[name] = v
    stored["cnn.bn1.num_batches_tracked"] = np.array(7, np.int64)
    stored["findings.weight"] = np.zeros((2, TINY["width"] * 8), np.float16)
    os.makedirs(folder, exist_ok=True)
    save(f"{folder}/weights.safetensors", stored)
    with open(f"{folder}/summary.json", "w") as f:
        json.dump(dict(name="Tiny random model", size=TINY["size"], width=TINY["width"], mean=TINY["mean"], std=TINY["std"],
                       filter=TINY["filter"], supervised_steps=[1, 3], split="none: random weights",
                       attribution="no data: random weights"), f, indent=1)
        f.write("\n")
    return as_torch(used)


def main(package, image, out):
    torch.set_num_threads(1)
    card = json.load(open(f"{package}/model.json"))["preprocessing"]
    w, size = as_torch(load(f"{package}/weights.safetensors")), card["size"]
    picture = Image.open(image).convert("L")
    picture.save(f"{out}/nih.pgm")
    grey = np.asarray(picture, np.float32) / np.float32(255)
    make = lambda g: preprocess(np.ascontiguousarray(g), size, card["filter"], card["mean"], card["std"])
    random = np.stack([uniform(seed, size * size).reshape(size, size) for seed in (1, 2, 3)])
    x, crop = make(grey), make(grey[:, 56:456])
    tiny, t = make_tiny(f"{out}/tiny"), TINY["size"]
    tiny_random = np.stack([uniform(seed, t * t).reshape(t, t) for seed in (1, 2, 3)])
    tiny_x = preprocess(grey, t, TINY["filter"], TINY["mean"], TINY["std"])
    run = lambda w, x: logits(w, torch.from_numpy(np.ascontiguousarray(x))).numpy()
    with torch.no_grad():
        save(f"{out}/expected.safetensors", {
            "nih.input": x, "nih.logits": run(w, x[None]), "nih.crop.logits": run(w, crop[None]),
            "random.logits": run(w, random), "tiny.random.logits": run(tiny, tiny_random),
            "tiny.nih.logits": run(tiny, tiny_x[None])})


if __name__ == "__main__":
    main(*sys.argv[1:])
