#!/usr/bin/env python3
"""Writes train_curve.txt: losses of 200 joint steps of the oracle on the models of train_three, dropout off, rates 1e-3, four
rows in a fixed order: step i takes rows i, i+1, i+2 modulo 4.   python3 tests/golden/train_curve.py

SPDX-License-Identifier: Apache-2.0"""
import json
import os
import struct
import sys
import warnings

import numpy as np
import torch

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "oracle"))
import stepcot_reference as oracle  # noqa: E402

warnings.filterwarnings("ignore")
folder = os.path.join(here, "train_three")


def load(name):
    with open(os.path.join(folder, name + ".safetensors"), "rb") as f:
        raw = f.read()
    n = struct.unpack("<Q", raw[:8])[0]
    kinds = {"F32": np.float32, "I64": np.int64, "BOOL": np.bool_}
    return {k: torch.from_numpy(np.frombuffer(raw[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]],
                                              kinds[v["dtype"]]).reshape(v["shape"]).copy())
            for k, v in json.loads(raw[8:8 + n]).items()}


with open(os.path.join(folder, "expected.json")) as f:
    card = json.load(f)
a, classes, e = card["architecture"], card["step_classes"], load("expected")
teacher = oracle.Teacher(classes, a["image_dim"], a["teacher"], a["gat_heads"], a["gat_layers"])
student = oracle.Student(classes, a["image_dim"], a["student"])
trainer = oracle.Trainer(teacher, student, a["proj"], lr_t=1e-3, lr_s=1e-3, dropout=False)
for m, name in ((teacher, "teacher"), (student, "student"), (trainer.pt, "proj_teacher"), (trainer.ps, "proj_student")):
    m.load_state_dict(load(name))
with open(os.path.join(here, "train_curve.txt"), "w") as f:
    for i in range(200):
        rows = [(i + k) % 4 for k in range(3)]
        prompts = e["prompt_features"].expand(3, len(classes), -1)
        r = trainer.step(e["image_features"][rows], prompts, e["labels"][rows], e["valid"][rows])
        f.write(f"{r['teacher']:.7g} {r['student']:.7g}\n")
