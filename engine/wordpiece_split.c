/* Text to words as BERT's pre-tokeniser has them. Each code point is cleaned, decomposed, stripped and lowered by itself,
 * from tables (wordpiece_unicode.c), so that the text is read once. Accents that the tables keep stay in the order they
 * have in the text; canonical reordering of those is not done.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/wordpiece.h"
#include "engine/wordpiece_unicode.h"

#include <string.h>

enum { UTF8_MAX = 4, PARTS_MAX = 3 };

/* ---- UTF-8 ---- */
/* Bytes of the code point at `s`, 0 when it is not well-formed UTF-8 (overlong, surrogate, cut, above 10FFFF). */
static size_t utf8_read(uint32_t *code, const unsigned char *s, size_t n)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const size_t need = s[0] < 0x80 ? 1 : s[0] >> 5 == 6 ? 2 : s[0] >> 4 == 14 ? 3 : s[0] >> 3 == 30 ? 4 : 0;
    if (!need || need > n) return 0;
    uint32_t c = need == 1 ? s[0] : s[0] & (0x7fu >> need);
    for (size_t i = 1; i < need; i++) {
        if (s[i] >> 6 != 2) return 0;
        c = c << 6 | (s[i] & 0x3fu);
    }
    if (c < least[need] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) return 0;
    *code = c;
    return need;
}

static size_t utf8_write(char *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    const size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n; i-- > 1; c >>= 6) to[i] = (char)(0x80 | (c & 0x3f));
    to[0] = (char)(c | (0xf00u >> n & 0xffu));
    return n;
}

/* ---- tables ---- */
static code_kind kind_of(uint32_t c)
{
    size_t low = 0, high = n_code_ranges;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (c < code_ranges[mid].first)
            high = mid;
        else if (c > code_ranges[mid].last)
            low = mid + 1;
        else
            return code_ranges[mid].kind;
    }
    return CODE_PLAIN;
}

/* Unicode 3.12: a syllable is a leading consonant, a vowel and maybe a trailing consonant. */
static size_t hangul(uint32_t to[PARTS_MAX], uint32_t c)
{
    enum { SYLLABLES = 0xac00, LEADING = 0x1100, VOWELS = 0x1161, TRAILING = 0x11a7, N_VOWELS = 21, N_TRAILING = 28 };
    const uint32_t i = c - SYLLABLES;
    to[0] = LEADING + i / (N_VOWELS * N_TRAILING);
    to[1] = VOWELS + i / N_TRAILING % N_VOWELS;
    to[2] = TRAILING + i % N_TRAILING;
    return to[2] == TRAILING ? 2 : 3;
}

/* Decomposed, stripped and lowered. */
static size_t lowered(uint32_t to[PARTS_MAX], uint32_t c)
{
    if (c >= 0xac00 && c <= 0xd7a3) return hangul(to, c);
    size_t low = 0, high = n_code_runs;
    while (low < high) { /* the last run that begins at c or before */
        const size_t mid = low + (high - low) / 2;
        if (code_runs[mid].from <= c)
            low = mid + 1;
        else
            high = mid;
    }
    const code_run *run = low ? &code_runs[low - 1] : NULL;
    to[0] = c;
    if (run && (c - run->from) % run->step == 0 && (c - run->from) / run->step < run->n)
        to[0] = run->to + (c - run->from) / run->step * run->to_step;
    for (size_t i = 0; i < n_code_longers; i++) {
        if (code_longers[i].from != c) continue;
        memcpy(to, code_longers[i].to, sizeof code_longers[i].to);
        return to[2] ? 3 : 2;
    }
    return 1;
}

/* ---- words ---- */
typedef struct splitting {
    wordpiece_word *word;
    void *ctx;
    char text[WORDPIECE_WORD_CHARS * UTF8_MAX];
    size_t bytes, chars;
} splitting;

static void end_word(splitting *s)
{
    if (s->chars) s->word(s->ctx, s->text, s->bytes, s->chars);
    s->bytes = s->chars = 0;
}

static void add_char(splitting *s, uint32_t c)
{
    const bool alone = kind_of(c) == CODE_PUNCTUATION;
    if (alone) end_word(s);
    if (s->chars < WORDPIECE_WORD_CHARS) s->bytes += utf8_write(s->text + s->bytes, c);
    s->chars++;
    if (alone) end_word(s);
}

bool wordpiece_split(const char *text, size_t bytes, wordpiece_word *word, void *ctx)
{
    splitting s = {.word = word, .ctx = ctx};
    uint32_t c, parts[PARTS_MAX];
    for (size_t at = 0, used; at < bytes; at += used) {
        used = utf8_read(&c, (const unsigned char *)text + at, bytes - at);
        if (!used) return false;
        const code_kind kind = kind_of(c);
        if (kind == CODE_DROP) continue;
        if (kind == CODE_SPACE || kind == CODE_IDEOGRAPH) end_word(&s);
        if (kind == CODE_SPACE) continue;
        const size_t n = lowered(parts, c);
        for (size_t i = 0; i < n; i++) add_char(&s, parts[i]);
        if (kind == CODE_IDEOGRAPH) end_word(&s);
    }
    end_word(&s);
    return true;
}
