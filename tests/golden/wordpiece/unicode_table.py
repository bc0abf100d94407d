"""Writes engine/wordpiece_unicode.c: what bert-base-uncased's normalisation does to each code point, asked of the library.

    python3 unicode_table.py ../../../engine/wordpiece_unicode.c      # needs the tokenizers library

Each code point is given to the tokenizers library by itself (clean-up, NFD, accents stripped, lower case; punctuation and
white space of its BERT pre-tokeniser): the table equals the library by construction, whatever Unicode version it has.
Hangul syllables and CJK ranges are left out: the program computes them.
"""
import sys

import tokenizers
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

normalise = BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True).normalize_str
split = BertPreTokenizer().pre_tokenize_str
HANGUL = range(0xAC00, 0xD7A4)


def survey():
    """-> kind of each code point that is not plain, and what each that changes becomes."""
    kinds, maps = {}, {}
    for c in range(0x110000):
        if 0xD800 <= c < 0xE000:
            continue
        ch = chr(c)
        middle = normalise(f"a{ch}b")[1:-1]
        if middle == "":
            kinds[c] = "DROP"
            continue
        if len(middle) >= 3 and middle[0] == middle[-1] == " ":
            kinds[c] = "IDEOGRAPH"
            middle = middle[1:-1]
        words = [w for w, _ in split(f"a{ch}b")]
        if middle == " " or words == ["a", "b"]:
            kinds[c] = "SPACE"
            continue
        if words == ["a", ch, "b"]:
            kinds[c] = "PUNCTUATION"
        if middle != ch and c not in HANGUL:
            maps[c] = [ord(x) for x in middle]
    return kinds, maps


def ranges(kinds):
    out = []
    for c, kind in sorted(kinds.items()):
        if out and out[-1][1] == c - 1 and out[-1][2] == kind:
            out[-1][1] = c
        else:
            out.append([c, c, kind])
    return out


def runs(maps):
    """Single code points: first, last, step, to, step of to; greedy."""
    items, out, i = sorted((c, m[0]) for c, m in maps.items() if len(m) == 1), [], 0
    while i < len(items):
        n = 1
        while i + n < len(items) and n < 255:
            step, up = items[i + 1][0] - items[i][0], items[i + 1][1] - items[i][1]
            if not (0 < step < 8 and 0 <= up < 8) or items[i + n] != (items[i][0] + n * step, items[i][1] + n * up):
                break
            n += 1
        step = items[i + 1][0] - items[i][0] if n > 1 else 1
        up = items[i + 1][1] - items[i][1] if n > 1 else 0
        out.append((items[i][0], items[i][1], n, step, up))
        i += n
    return out


def rows(f, texts):
    line = "   "
    for t in texts:
        if len(line) + len(t) + 2 > 119:
            f.write(line + "\n")
            line = "   "
        line += f" {t},"
    f.write(line + "\n};\n")


def main(path):
    kinds, maps = survey()
    longer = {c: m for c, m in maps.items() if len(m) > 1}
    assert max(len(m) for m in maps.values()) <= 3
    with open(path, "w") as f:
        f.write("/* What bert-base-uncased's normalisation does to each code point; written by tests/golden/wordpiece/unicode_table.py from\n"
                f" * the tokenizers library {tokenizers.__version__}. Derived from the Unicode Character Database, (c) Unicode, Inc., Unicode License v3.\n"
                " * SPDX-License-Identifier: Apache-2.0 */\n/* clang-format off */\n"
                '#include "engine/wordpiece_unicode.h"\n\n'
                "#define D CODE_DROP\n#define S CODE_SPACE\n#define P CODE_PUNCTUATION\n#define I CODE_IDEOGRAPH\n\n")
        f.write("const code_range code_ranges[] = {\n")
        r = ranges(kinds)
        rows(f, (f"{{0x{a:x}, 0x{b:x}, {k[0]}}}" for a, b, k in r))
        f.write("const size_t n_code_ranges = sizeof code_ranges / sizeof *code_ranges;\n\n")
        f.write("const code_run code_runs[] = {\n")
        rows(f, ("{" + f"0x{a:x}, 0x{to:x}, {n}, {step}, {up}" + "}" for a, to, n, step, up in runs(maps)))
        f.write("const size_t n_code_runs = sizeof code_runs / sizeof *code_runs;\n\n")
        f.write("const code_longer code_longers[] = {\n")
        rows(f, ("{0x%x, {%s}}" % (c, ", ".join(f"0x{x:x}" for x in m)) for c, m in sorted(longer.items())))
        f.write("const size_t n_code_longers = sizeof code_longers / sizeof *code_longers;\n")


if __name__ == "__main__":
    main(sys.argv[1])
