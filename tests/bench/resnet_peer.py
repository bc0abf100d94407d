#!/usr/bin/env python3
"""PyTorch's time for one training step of the encoder stage: ResNet-18 (torchvision's, given width, grey images) with
the student's heads, forward, cross-entropy, backward, AdamW. Random images: only time is measured. Prints one JSON line
per memory format. Needs torch. SPDX-License-Identifier: Apache-2.0"""
import argparse
import json
import statistics
import time

import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, inside, out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inside, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.downsample = None
        if stride != 1:
            self.downsample = nn.Sequential(nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = torch.relu_(self.bn1(self.conv1(x)))
        return torch.relu_(self.bn2(self.conv2(x)) + shortcut)


class ResNet18(nn.Module):
    def __init__(self, width, dim, classes, channels=1):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(channels, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width),
                                  nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1))
        blocks, inside = [], width
        for i in range(4):
            out = width << i
            blocks += [Block(inside, out, 1 if i == 0 else 2), Block(out, out, 1)]
            inside = out
        self.blocks = nn.Sequential(*blocks)
        self.project = nn.Linear(inside, dim)
        self.heads = nn.ModuleList(nn.Linear(dim, c) for c in classes)

    def forward(self, x):
        feat = self.project(self.blocks(self.stem(x)).mean((2, 3)))
        logits = []
        for head in self.heads:
            logits.append(head(feat))
            feat = feat + torch.tanh(logits[-1] @ head.weight)
        return logits


def measure(args, layout):
    torch.manual_seed(1)
    classes = [4, 4, 6, 7, 5, 7, 9]
    model = ResNet18(args.width, 512, classes).to(memory_format=layout).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05, foreach=True)
    x = torch.randn(args.batch, 1, args.size, args.size).to(memory_format=layout)
    labels = [torch.randint(c, (args.batch,)) for c in classes]
    times = []
    end = time.monotonic() + args.seconds
    while time.monotonic() < end or len(times) < 3:
        start = time.monotonic()
        optimiser.zero_grad()
        loss = sum(nn.functional.cross_entropy(a, b) for a, b in zip(model(x), labels))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        times.append(time.monotonic() - start)
    times = times[1:]
    return {"peer": "torch " + torch.__version__, "layout": str(layout).split(".")[-1], "batch": args.batch,
            "width": args.width, "size": args.size, "threads": torch.get_num_threads(), "runs": len(times),
            "median_ms": round(1e3 * statistics.median(times), 1), "best_ms": round(1e3 * min(times), 1),
            "images_per_s": round(args.batch / statistics.median(times), 1)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (("batch", 32), ("width", 32), ("size", 224), ("threads", 2), ("seconds", 20)):
        parser.add_argument("--" + name, type=int, default=value)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for layout in (torch.contiguous_format, torch.channels_last):
        print(json.dumps(measure(args, layout)), flush=True)


if __name__ == "__main__":
    main()
