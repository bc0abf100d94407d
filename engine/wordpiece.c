/* The vocabulary and the greedy cut into pieces (wordpiece.h).
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/wordpiece.h"

#include <stdlib.h>
#include <string.h>

typedef struct token {
    const char *text; /* in the vocabulary's copy, not terminated */
    size_t bytes;
} token;

enum { SPECIALS = 5 };
static const char *const special_names[SPECIALS] = {"[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"};
enum { UNK, CLS, SEP, NEEDED }; /* places in special_names */

struct wordpiece {
    char *text;
    token *tokens;
    size_t n, longest;
    size_t *slots;            /* [n_slots] number + 1 of a token, 0: free; open addressing */
    size_t n_slots;           /* a power of two */
    size_t special[SPECIALS]; /* number + 1, 0: not in the vocabulary */
};

/* ---- vocabulary ---- */
static size_t hash_of(const char *text, size_t bytes)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < bytes; i++) h = (h ^ (unsigned char)text[i]) * 1099511628211u;
    return (size_t)(h ^ h >> 32);
}

/* The slot of this token, or the free one where it belongs. */
static size_t *slot_of(const wordpiece *w, const char *text, size_t bytes)
{
    for (size_t i = hash_of(text, bytes) & (w->n_slots - 1);; i = (i + 1) & (w->n_slots - 1)) {
        size_t *slot = &w->slots[i];
        if (!*slot) return slot;
        const token *t = &w->tokens[*slot - 1];
        if (t->bytes == bytes && !memcmp(t->text, text, bytes)) return slot;
    }
}

static void no_word(void *ctx, const char *word, size_t bytes, size_t chars)
{
    (void)ctx, (void)word, (void)bytes, (void)chars;
}

static cot_status add_token(wordpiece *w, const char *line, size_t bytes, const char *where, cot_error *err)
{
    if (bytes && line[bytes - 1] == '\r') bytes--;
    if (!bytes || bytes > VOCABULARY_TOKEN_BYTES || !wordpiece_split(line, bytes, no_word, NULL))
        return cot_fail(err, COT_E_MODEL,
                        "%s: line %zu is empty, longer than %d bytes or not UTF-8: not a WordPiece vocabulary", where,
                        w->n + 1, VOCABULARY_TOKEN_BYTES);
    w->tokens[w->n++] = (token){line, bytes};
    size_t *slot = slot_of(w, line, bytes);
    if (*slot)
        return cot_fail(err, COT_E_MODEL, "%s: lines %zu and %zu have the same token: not a WordPiece vocabulary",
                        where, *slot, w->n);
    *slot = w->n;
    if (bytes > w->longest) w->longest = bytes;
    return COT_OK;
}

static cot_status add_lines(wordpiece *w, size_t size, const char *where, cot_error *err)
{
    cot_status status = COT_OK;
    for (const char *at = w->text, *end = w->text + size; at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop) stop = end;
        COT_TRY(add_token(w, at, (size_t)(stop - at), where, err));
        at = stop + 1;
    }
    for (size_t i = 0; i < SPECIALS; i++) {
        w->special[i] = *slot_of(w, special_names[i], strlen(special_names[i]));
        if (w->special[i] || i >= NEEDED) continue;
        status =
            cot_fail(err, COT_E_MODEL, "%s: token %s is missing: not a vocabulary of BERT", where, special_names[i]);
        goto done;
    }
done:
    return status;
}

cot_status wordpiece_parse(wordpiece **out, cot_blob bytes, const char *where, cot_error *err)
{
    cot_status status;
    size_t lines = 1;
    *out = NULL;
    for (size_t i = 0; i < bytes.size; i++) lines += bytes.data[i] == '\n';
    if (bytes.size > VOCABULARY_BYTES_MAX || lines > VOCABULARY_TOKENS_MAX)
        return cot_fail(err, COT_E_LIMIT, "%s: a vocabulary of %zu bytes and %zu lines, at most %d and %d are read",
                        where, bytes.size, lines, VOCABULARY_BYTES_MAX, VOCABULARY_TOKENS_MAX);
    wordpiece *w = calloc(1, sizeof *w);
    if (!w) return cot_fail(err, COT_E_MEMORY, "%s: no memory", where);
    for (w->n_slots = 16; w->n_slots < 2 * lines;) w->n_slots *= 2;
    w->text = malloc(bytes.size + 1);
    w->tokens = calloc(lines, sizeof *w->tokens);
    w->slots = calloc(w->n_slots, sizeof *w->slots);
    if (!w->text || !w->tokens || !w->slots) {
        status = cot_fail(err, COT_E_MEMORY, "%s: no memory for %zu tokens", where, lines);
        goto done;
    }
    if (bytes.size) memcpy(w->text, bytes.data, bytes.size);
    COT_TRY(add_lines(w, bytes.size, where, err));
    *out = w;
    w = NULL;
done:
    wordpiece_close(w);
    return status;
}

cot_status wordpiece_open(wordpiece **out, const char *path, cot_error *err)
{
    cot_status status;
    char *text = NULL;
    size_t size = 0;
    *out = NULL;
    COT_TRY(cot_file_read(&text, &size, path, VOCABULARY_BYTES_MAX, err));
    COT_TRY(wordpiece_parse(out, (cot_blob){(const unsigned char *)text, size}, path, err));
done:
    free(text);
    return status;
}

void wordpiece_close(wordpiece *w)
{
    if (!w) return;
    free(w->text);
    free(w->tokens);
    free(w->slots);
    free(w);
}

size_t wordpiece_count(const wordpiece *w)
{
    return w->n;
}

/* ---- pieces ---- */
typedef struct encoding {
    const wordpiece *w;
    int64_t *ids;
    size_t n; /* at most WORDPIECE_TOKENS - 1: the last place is [SEP]'s */
} encoding;

static void push(encoding *e, size_t number)
{
    if (e->n < WORDPIECE_TOKENS - 1) e->ids[e->n++] = (int64_t)number - 1;
}

/* The longest piece that the word has at `at`: its number + 1, 0: none. Pieces inside a word begin with ##. */
static size_t longest_piece(size_t *bytes, const wordpiece *w, const char *word, size_t at, size_t end)
{
    char piece[VOCABULARY_TOKEN_BYTES + 2] = "##";
    const size_t head = at ? 2 : 0;
    size_t n = end - at;
    if (n + head > w->longest) n = w->longest > head ? w->longest - head : 0;
    memcpy(piece + head, word + at, n);
    for (; n; n--) {
        if (at + n < end && ((unsigned char)word[at + n] & 0xc0) == 0x80) continue; /* inside a character */
        const size_t found = *slot_of(w, piece, n + head);
        *bytes = n;
        if (found) return found;
    }
    return 0;
}

static void encode_word(void *ctx, const char *word, size_t bytes, size_t chars)
{
    encoding *e = ctx;
    const size_t start = e->n;
    size_t used = 0;
    for (size_t at = 0; at < bytes && chars <= WORDPIECE_WORD_CHARS; at += used) {
        const size_t piece = longest_piece(&used, e->w, word, at, bytes);
        if (!piece) {
            chars = WORDPIECE_WORD_CHARS + 1; /* one part unknown: the whole word is */
            break;
        }
        push(e, piece);
    }
    if (chars <= WORDPIECE_WORD_CHARS) return;
    e->n = start;
    push(e, e->w->special[UNK]);
}

/* A special token spelt out in the text stands for itself, as in the library. Its index, SPECIALS: none here. */
static size_t special_at(const wordpiece *w, const char *text)
{
    size_t i = 0;
    while (i < SPECIALS && (!w->special[i] || strncmp(text, special_names[i], strlen(special_names[i])) != 0)) i++;
    return i;
}

cot_status wordpiece_encode(int64_t ids[WORDPIECE_TOKENS], size_t *n, const wordpiece *w, const char *text,
                            cot_error *err)
{
    encoding e = {.w = w, .ids = ids};
    push(&e, w->special[CLS]);
    for (const char *from = text, *at = text;; at++) {
        const size_t special = *at == '[' ? special_at(w, at) : SPECIALS;
        if (*at && special == SPECIALS) continue;
        if (!wordpiece_split(from, (size_t)(at - from), encode_word, &e))
            return cot_fail(err, COT_E_INPUT, "tokenizer: the text is not UTF-8");
        if (!*at) break;
        push(&e, w->special[special]);
        at += strlen(special_names[special]) - 1;
        from = at + 1;
    }
    ids[e.n++] = (int64_t)w->special[SEP] - 1;
    *n = e.n;
    return COT_OK;
}
