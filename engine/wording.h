/* From facts to sentences: the schema's phrases with numbers and names put in their places (cot_phrases).
 * Threads: any. Text never overflows and is never cut inside a UTF-8 character.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_WORDING_H
#define COT_ENGINE_WORDING_H
#include "engine/engine.h"

typedef struct placeholder {
    const char *name, *value;
} placeholder;
enum { PERCENT_MAX = 48 };

void text_append(char *text, size_t size, const char *more);
/* Copies `phrase`, putting values in place of {names}; what is no known placeholder stays as it stands. */
void phrase_fill(char *text, size_t size, const char *phrase, const placeholder *places, size_t n);
/* The same behind what is there, a space between; nothing where the phrase is "". */
void phrase_append(char *text, size_t size, const char *phrase, const placeholder *places, size_t n);
/* "43.2%", with the table's one decimal; the ends are worded, since a softmax never says impossible or certain. */
void percent_text(char text[PERCENT_MAX], float probability, const cot_phrases *words);
/* What must be said in any case: the schema's phrase, or where it has none the English one. */
static inline const char *phrase_or(const char *phrase, const char *english)
{
    return phrase[0] ? phrase : english;
}

/* place.c: where a region lies in an image of rows x cols; "" where the schema has no word for it or the image is turned. */
void place_text(char *text, size_t size, const cot_region *region, size_t rows, size_t cols,
                cot_orientation orientation, const cot_phrases *words);
#endif
