#!/usr/bin/env python3
"""Golden values for tests/test_encoder_stage.c: three AdamW steps of ResNet-18 with the student's heads in plain PyTorch
(CPU, float64), from weights, pictures and labels that the test makes by the same formula.

    python3 generate.py OUT          writes OUT/expected.safetensors; needs torch and numpy

Of every tensor at most 64 values are kept, evenly spread. EPS of 1e-3: with AdamW's 1e-8 a gradient of nearly nothing moves its
weight by the whole rate either way, and after three steps PyTorch differs from itself (float32, float64) by 2 % in the
logits; with 1e-3 by 1e-5.  SPDX-License-Identifier: Apache-2.0"""
import json
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

WIDTH, SIZE, BATCH, DIM, CLASSES, STEPS = 8, 32, 4, 24, [3, 4, 2], 3
MEAN, STD, SMOOTHING, LR, DECAY, CLIP, EPS = 0.5, 0.25, 0.1, 1e-3, 0.05, 1.0, 1e-3
KEPT = 64


def fill(count, seed):
    """ref_fill of tests/reference.c: [-1, 1)."""
    s, out = (seed * 2654435761 + 1) & 0xFFFFFFFF, np.empty(count)
    for i in range(count):
        s = (s * 1664525 + 1013904223) & 0xFFFFFFFF
        out[i] = np.float32(np.float32(s >> 8) / np.float32(8388608)) - np.float32(1)
    return out


class Block(nn.Module):
    def __init__(self, inside, out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inside, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        if stride != 1:
            self.downsample = nn.Sequential(nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        shortcut = self.downsample(x) if hasattr(self, "downsample") else x
        return torch.relu(self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))) + shortcut)


class Cnn(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        inside = width
        for i in range(4):
            out = width << i
            setattr(self, f"layer{i + 1}", nn.Sequential(Block(inside, out, 2 if i else 1), Block(out, out, 1)))
            inside = out

    def forward(self, x):
        x = F.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        return self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3))


class Student(nn.Module):
    def __init__(self, features, dim, classes):
        super().__init__()
        self.img_proj = nn.Sequential(nn.Linear(features, dim), nn.LayerNorm(dim), nn.ReLU())
        self.step_heads = nn.ModuleList(nn.Linear(dim, c) for c in classes)

    def forward(self, x):
        feat, logits = self.img_proj(x), []
        for head in self.step_heads:
            logits.append(head(feat))
            feat = feat + torch.tanh(logits[-1] @ head.weight)
        return logits


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.cnn = Cnn(WIDTH)
        self.student = Student(8 * WIDTH, DIM, CLASSES)

    def forward(self, pictures):
        x = ((pictures - MEAN) / STD)[:, None].repeat(1, 3, 1, 1)
        return self.student(self.cnn(x))


def initial(name, shape, seed):
    """As test_encoder_stage.c makes them."""
    u = fill(int(np.prod(shape)), seed).reshape(shape)
    if name.endswith(("running_var", "bn1.weight", "bn2.weight", "downsample.1.weight", "img_proj.1.weight")):
        return 1 + u / 4
    if len(shape) == 1:
        return u / 16
    return u / np.sqrt(np.prod(shape[1:])) * 1.5


def save(path, tensors):
    header, blobs, at = {}, [], 0
    for name, a in tensors.items():
        raw = np.ascontiguousarray(a, np.float32).tobytes()
        header[name] = dict(dtype="F32", shape=list(np.shape(a)), data_offsets=[at, at + len(raw)])
        blobs.append(raw)
        at += len(raw)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text + b"".join(blobs))


def main():
    model = Model().double().train()
    state = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    for i, name in enumerate(sorted(state)):
        state[name].copy_(torch.from_numpy(initial(name, tuple(state[name].shape), i + 1).astype(np.float32)))
    optimiser = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=DECAY, eps=EPS)
    weights = [torch.tensor([1 + 0.5 * k for k in range(c)], dtype=torch.float64) for c in CLASSES]
    out = {}
    for step in range(STEPS):
        pictures = torch.from_numpy(fill(BATCH * SIZE * SIZE, 1000 + step).reshape(BATCH, SIZE, SIZE)) / 2 + 0.5
        labels = [[-1 if (i + s + step) % 4 == 3 or (step == 1 and s == 1) else (i * 5 + s + step) % CLASSES[s]
                   for s in range(len(CLASSES))] for i in range(BATCH)]
        labels = torch.tensor(labels)
        optimiser.zero_grad()
        losses = []
        for s, logits in enumerate(model(pictures)):
            valid = labels[:, s] >= 0
            losses.append(F.cross_entropy(logits[valid], labels[valid, s], weights[s], label_smoothing=SMOOTHING)
                          if valid.any() else torch.zeros((), dtype=torch.float64))
        sum(losses).backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimiser.step()
        out[f"losses.{step}"] = [float(v.detach()) for v in losses]
    for name in sorted(state):
        flat = model.state_dict()[name].detach().numpy().ravel()
        out["after." + name] = flat[::len(flat) // KEPT + 1]
    model.eval()
    with torch.no_grad():
        pictures = torch.from_numpy(fill(3 * SIZE * SIZE, 2000).reshape(3, SIZE, SIZE)) / 2 + 0.5
        out["logits"] = torch.cat(model(pictures), 1).numpy()
    save(os.path.join(sys.argv[1], "expected.safetensors"), out)
    print(out["losses.0"], out["losses.1"], out["losses.2"])


if __name__ == "__main__":
    main()
