"""vocab.txt, a small vocabulary of our own, and vectors.json: texts and what BertTokenizer of the transformers library makes
of them. Also the digest of its words for every code point, so that the whole table of engine/wordpiece_unicode.c is checked.

    python3 generate.py .        # needs transformers; made with the versions that tests/golden/README.md names
"""
import hashlib
import json
import random
import sys

from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from transformers import BertTokenizer

WORDS = """the chest x ray shows no an is in of and with lung lungs heart size normal effusion pneumonia opacity left right lower
upper lobe bilateral distribution pattern which question detection un affable cafe naive resume strasse angstrom""".split()
PIECES = "##s ##ed ##ing ##able ##aff ##ity ##ly ##ion ##ray ##thorax ##lung".split()
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789αβγσςабвжйßøłđıæœµ"
OTHERS = list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~–—…“”‘’«»¿¡。、「」·°±²½€™") + list("胸部線片中文日本語") + list("ᄀ하ᅢᆫᆯ")

TEXTS = [
    "", " ", "The chest X-ray shows no effusion.", "the\tchest\nx\rray", "unaffable", "UNAFFABLE lungs", "lunging",
    "Café naïve résumé Ångström", "cafe\u0301 e\u0301\u0327\u0302", "\u0301", "a\u0301\u0301\u0301b", "ÀÉÎÕÜ Ñ Ç",
    "straße STRASSE ẞ", "İstanbul ıI", "ΑΣ ΣΑΣ σς", "Йод Ёж ЖАБА", "胸部X線片", "中文 chest 日本語", "한국어 흉부", "각 간 갛",
    "\u9fff\u3400\U00020000\U0002b920\U0002b820\uf900\ufa0e", "カタカナ ガ か\u3099", "emoji 😀 lung 🫁 👩\u200d⚕\ufe0f", "🇩🇪",
    "\x00lung".replace("\x00", ""), "lu\x01ng\x7f \x85heart\x9f", "soft\u00adhyphen zero\u200bwidth \ufefflung", "\ufffdlung\ufffd",
    "no\u00a0break\u2003em\u2028line\u2029par\u3000wide\u1680ogham", "don't (chest); \"x-ray\": $5.00 @#%^&*_+=~`|\\<>?/[]{}",
    "«lung» “lung” ‘lung’ … – — ¿lung? ¡lung!", "。、「lung」·lung", "°±²½€™ µ", "a" * 100, "a" * 101, "ß" * 100, "á" * 100, "á" * 101,
    "가" * 33, "가" * 34, "a" * 5000, "lung " * 200, ("lung " * 125).strip() + " unaffable", ("lung " * 126) + "😀", "x" * 60 + " " + "x" * 60,
    "[CLS] lung [SEP]", "[MASK]", "[UNK][PAD]lung", "[cls] [SEP", "a[SEP]b", "lung[MASK]s", "lungsed lungly xray pneumothorax",
    "zzzqqq ##s ##lung", "q\u0300\u0315\u0316", "\u1e9b\u0323 \u212b \u2126 \u212a", "ǅ Ǆ ǆ ﬁ ﬀ", "𝐀𝐁 ℌ Ⅷ ①", "ٱلصدر אֲנִי हिन्दी ไทย", "\U0001d15e\U0001d160",
    "٣٤٥ ０１２ ＡＢＣ", "x\u0600y \u070fz", "\ue000private \U000f0000", "\u0378unassigned", "\U0010ffff", "tab\tand  two   spaces ", "\u037e \u1fef \u2000x",
]


def main(to):
    tokens = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + list(LETTERS) + ["##" + c for c in LETTERS] + OTHERS
    tokens += ["##" + c for c in "ᅡᅢᆫᆯ"] + WORDS + PIECES
    tokens = list(dict.fromkeys(tokens))
    with open(f"{to}/vocab.txt", "w", encoding="utf-8", newline="\n") as f:
        f.write("\n".join(tokens) + "\n")
    tokenizer = BertTokenizer(f"{to}/vocab.txt", do_lower_case=True)
    pick = random.Random(3)
    alphabet = LETTERS + LETTERS.upper() + "  \t.,-éÀü中胸가한😀\u0301\u200d\x02[]#'" + "".join(WORDS)
    texts = TEXTS + ["".join(pick.choice(alphabet) for _ in range(pick.randint(1, 60))) for _ in range(150)]
    vectors = [dict(text=t, ids=tokenizer(t, truncation=True, max_length=128)["input_ids"]) for t in texts]
    normalise = BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True).normalize_str
    split, digest = BertPreTokenizer().pre_tokenize_str, hashlib.sha256()
    for c in range(1, 0x110000):
        if not 0xD800 <= c < 0xE000:
            words = [w for w, _ in split(normalise(f"a{chr(c)}B"))]
            digest.update(("|".join(words) + "\n").encode())
    with open(f"{to}/vectors.json", "w") as f:
        lines = ",\n".join(json.dumps(v) for v in vectors)
        f.write('{"every_code_point_sha256": "%s",\n"vectors": [\n%s\n]}\n' % (digest.hexdigest(), lines))
    print(len(tokens), "tokens,", len(vectors), "vectors")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else ".")
