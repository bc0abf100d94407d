"""Golden values for tests/test_torchvision.c: torchvision's own ResNet-18 and DenseNet, small, with a Step-CoT student behind them.

    python3 generate.py OUT

OUT: this folder. Needs torch, torchvision and numpy; see ../README.md. Writes, for each of the two encoders,
    NAME.safetensors     torchvision's state dict as it is (bookkeeping and classifier too), half precision where it is large
    student.safetensors  heads for either: img_proj.* and step_heads.*, no prefix
    expected.safetensors features and logits on the inputs of seeds 1 to 3
The models' own forward passes give the features: classifiers replaced by the identity.
"""
import json
import os
import struct
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision
from torchvision.models.resnet import BasicBlock, ResNet

SIZE, SEEDS, DIM, CLASSES = 75, (1, 2, 3), 24, [2, 3, 5]


def uniform(seed, count):
    """splitmix64 of a counter, as floats in [-2,2): test_torchvision.c makes the same numbers."""
    with np.errstate(over="ignore"):
        z = (np.arange(1, count + 1, dtype=np.uint64) + np.uint64(seed << 32)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return ((z >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-22)) - np.float32(2)


def save(path, tensors):
    header, blobs, at = {}, [], 0
    for name, t in tensors.items():
        a = t.detach().numpy() if torch.is_tensor(t) else t
        kind = {"float32": "F32", "float16": "F16", "int64": "I64"}[str(a.dtype)]
        raw = np.ascontiguousarray(a).tobytes()
        header[name] = dict(dtype=kind, shape=list(a.shape), data_offsets=[at, at + len(raw)])
        blobs.append(raw)
        at += len(raw)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


class NarrowResNet(ResNet):
    """torchvision's ResNet-18 with fewer channels: its constructor fixes 64, so the number is set around it."""

    def __init__(self, width):
        made = ResNet._make_layer
        first = {}

        def make_layer(self, block, planes, blocks, stride=1, dilate=False):
            if not first:  # the stem is made by now, with 64 channels
                first[0] = True
                self.inplanes = width
                self.conv1, self.bn1 = nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width)
            return made(self, block, planes * width // 64, blocks, stride, dilate)

        ResNet._make_layer = make_layer
        super().__init__(BasicBlock, [2, 2, 2, 2], num_classes=3)
        ResNet._make_layer = made
        self.fc = nn.Linear(8 * width, 3)


def random_state(model, seed):
    """Norms and running statistics away from their neutral values, convolutions representable in half precision."""
    torch.manual_seed(seed)
    for m in model.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.weight.data.uniform_(0.7, 1.3)
            m.bias.data.uniform_(-0.3, 0.3)
            m.running_mean.uniform_(-0.3, 0.3)
            m.running_var.uniform_(0.5, 1.5)
            m.num_batches_tracked.fill_(7)
        if isinstance(m, nn.Conv2d):
            m.weight.data = m.weight.data.half().float()
    return model.eval()


def stored(model):
    return {k: (v.half() if v.dim() == 4 else v) for k, v in model.state_dict().items()}


def student(seed, features):
    torch.manual_seed(seed)
    w = {"img_proj.0.weight": torch.randn(DIM, features) / features**0.5, "img_proj.0.bias": torch.randn(DIM) / 5,
         "img_proj.1.weight": 1 + torch.randn(DIM) / 5, "img_proj.1.bias": torch.randn(DIM) / 5}
    for s, c in enumerate(CLASSES):
        w[f"step_heads.{s}.weight"], w[f"step_heads.{s}.bias"] = torch.randn(c, DIM) / 5, torch.randn(c) / 5
    return w


def logits(w, feature):
    f = F.linear(feature, w["img_proj.0.weight"], w["img_proj.0.bias"])
    f, out = F.relu(F.layer_norm(f, f.shape[1:], w["img_proj.1.weight"], w["img_proj.1.bias"])), []
    for s in range(len(CLASSES)):
        head = w[f"step_heads.{s}.weight"]
        out.append(F.linear(f, head, w[f"step_heads.{s}.bias"]))
        f = f + torch.tanh(out[-1] @ head)
    return torch.cat(out, 1)


def main(out):
    torch.set_num_threads(1)
    x = torch.from_numpy(np.stack([uniform(s, SIZE * SIZE).reshape(1, SIZE, SIZE) for s in SEEDS])).repeat(1, 3, 1, 1)
    resnet = random_state(NarrowResNet(5), 1)
    dense = random_state(torchvision.models.DenseNet(growth_rate=5, block_config=(2, 3, 1, 2), num_init_features=12,
                                                     bn_size=3, num_classes=3), 2)
    expected = {}
    for name, model, classifier in (("resnet18", resnet, "fc"), ("densenet", dense, "classifier")):
        os.makedirs(f"{out}/{name}", exist_ok=True)
        save(f"{out}/{name}/model.safetensors", stored(model))
        features = getattr(model, classifier).in_features
        setattr(model, classifier, nn.Identity())
        w = student(3, features)
        save(f"{out}/{name}/weights.safetensors", w)
        with open(f"{out}/{name}/summary.json", "w") as f:
            json.dump(dict(name=f"Tiny {name}", size=SIZE, mean=0.45, std=0.3, filter="bilinear",
                           supervised_steps=[1, 2, 3], split="none: random weights",
                           attribution="no data: random weights"), f, indent=1)
            f.write("\n")
        with torch.no_grad():
            feature = model(x)
            expected[f"{name}.features"], expected[f"{name}.logits"] = feature, logits(w, feature)
    save(f"{out}/expected.safetensors", expected)


if __name__ == "__main__":
    main(*sys.argv[1:])
