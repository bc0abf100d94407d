/* The WordPiece tokenizer of bert-base-uncased (Devlin et al. 2019): text -> numbers of tokens. Equal to the transformers
 * library's: clean-up, lower case, accents stripped, words split at white space, punctuation and CJK ideographs, each cut
 * greedily into pieces of the vocabulary.
 * Threads: read-only after open, any thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_WORDPIECE_H
#define COT_ENGINE_WORDPIECE_H
#include "config/base.h"

enum {
    WORDPIECE_TOKENS = 128,
    WORDPIECE_WORD_CHARS = 100
}; /* of a text with [CLS] and [SEP]; longer words are [UNK] */
enum { VOCABULARY_BYTES_MAX = 16 << 20, VOCABULARY_TOKENS_MAX = 1 << 20, VOCABULARY_TOKEN_BYTES = 512 };

typedef struct wordpiece wordpiece;
/* vocab.txt: a token per line, its number is the line's, from 0. Needs [UNK], [CLS], [SEP]; refuses empty and double
 * tokens and invalid UTF-8, by line. Caller closes. */
cot_status wordpiece_open(wordpiece **out, const char *path, cot_error *err);
/* Over a copy of `bytes`; `where` names them in errors. */
cot_status wordpiece_parse(wordpiece **out, cot_blob bytes, const char *where, cot_error *err);
void wordpiece_close(wordpiece *w); /* NULL is fine */
size_t wordpiece_count(const wordpiece *w);

/* ids [WORDPIECE_TOKENS] = [CLS] text [SEP], cut to that length; *n of them. `text` is UTF-8. */
cot_status wordpiece_encode(int64_t ids[WORDPIECE_TOKENS], size_t *n, const wordpiece *w, const char *text,
                            cot_error *err);

/* The words of a text as the vocabulary is asked for them: UTF-8, not terminated; of words of more than
 * WORDPIECE_WORD_CHARS characters only so many, but `chars` counts all. False: not UTF-8. */
typedef void wordpiece_word(void *ctx, const char *word, size_t bytes, size_t chars);
bool wordpiece_split(const char *text, size_t bytes, wordpiece_word *word, void *ctx);
#endif
