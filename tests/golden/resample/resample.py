"""Makes resample.txt: what Pillow's Image.resize gives in mode F, the truth that test_resample compares with.
Run: python3 -m venv V && V/bin/pip install pillow==11.3.0 && V/bin/python resample.py > resample.txt
SPDX-License-Identifier: Apache-2.0"""
import struct
import sys

import PIL
from PIL import Image

CASES = [(50, 37, 24), (23, 61, 20), (8, 8, 21), (5, 9, 16), (64, 64, 32), (211, 97, 12), (1, 1, 5), (16, 33, 16), (301, 300, 7)]


def fill(n, seed):
    """The generator of tests/reference.c, ref_fill, moved to [0, 1)."""
    s = (seed * 2654435761 + 1) & 0xFFFFFFFF
    out = []
    for _ in range(n):
        s = (s * 1664525 + 1013904223) & 0xFFFFFFFF
        out.append(struct.unpack("f", struct.pack("f", (s >> 8) / 16777216.0))[0])
    return out


print(f"# Pillow {PIL.__version__}, mode F; rows cols size filter, then size*size numbers", file=sys.stdout)
for rows, cols, size in CASES:
    image = Image.frombytes("F", (cols, rows), struct.pack(f"{rows * cols}f", *fill(rows * cols, rows)))
    for name, method in (("bilinear", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)):
        result = struct.unpack(f"{size * size}f", image.resize((size, size), method).tobytes())
        print(rows, cols, size, name)
        for line in range(size):
            print(" ".join(f"{v:.7g}" for v in result[line * size:(line + 1) * size]))
