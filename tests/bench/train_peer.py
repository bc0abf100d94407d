#!/usr/bin/env python3
"""A joint training step on cached features in PyTorch (the oracle's Trainer), timed as tests/tool_bench_train.c times ours.

    python3 tests/bench/train_peer.py [BATCH] [STEPS]      needs torch; two threads

SPDX-License-Identifier: Apache-2.0"""
import os
import sys
import time
import warnings

import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "oracle"))
import stepcot_reference as oracle  # noqa: E402

warnings.filterwarnings("ignore")
torch.set_num_threads(2)
batch = int(sys.argv[1]) if len(sys.argv) > 1 else 32
steps = int(sys.argv[2]) if len(sys.argv) > 2 else 9
for dropout in (False, True):
    torch.manual_seed(1)
    trainer = oracle.Trainer(oracle.Teacher(), oracle.Student(), dropout=dropout)
    feats, prompts = torch.randn(batch, 512), torch.randn(7, 768).expand(batch, 7, 768).contiguous()
    labels = torch.stack([torch.randint(0, c, (batch,)) for c in oracle.STEP_CLASSES], 1)
    valid = torch.ones(batch, 7, dtype=torch.bool)
    trainer.step(feats, prompts, labels, valid)
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        trainer.step(feats, prompts, labels, valid)
        times.append((time.perf_counter() - start) * 1e3)
    times.sort()
    print(f"torch {torch.__version__}, batch {batch}, dropout {'on' if dropout else 'off'}: "
          f"{times[len(times) // 2]:.1f} ms ({times[0]:.1f} to {times[-1]:.1f})")
