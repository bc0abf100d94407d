/* Text pieces (wording.h). SPDX-License-Identifier: Apache-2.0 */
#include "engine/wording.h"

#include <string.h>

static void append(char *text, size_t size, const char *more, size_t n)
{
    const size_t at = strlen(text);
    if (at + n >= size) {
        n = size - 1 - at;
        while (n && ((unsigned char)more[n] & 0xc0) == 0x80) n--;
    }
    memcpy(text + at, more, n);
    text[at + n] = 0;
}

void text_append(char *text, size_t size, const char *more)
{
    append(text, size, more, strlen(more));
}

static void fill_behind(char *text, size_t size, const char *phrase, const placeholder *places, size_t n)
{
    while (*phrase) {
        const size_t plain = strcspn(phrase, "{");
        append(text, size, phrase, plain);
        phrase += plain;
        if (!*phrase) break;
        const char *end = strchr(phrase, '}'), *value = NULL;
        const size_t length = end ? (size_t)(end - phrase) - 1 : 0;
        for (size_t i = 0; end && i < n; i++)
            if (strlen(places[i].name) == length && !strncmp(places[i].name, phrase + 1, length))
                value = places[i].value;
        if (value) {
            text_append(text, size, value);
            phrase = end + 1;
        } else {
            append(text, size, phrase++, 1);
        }
    }
}

void phrase_fill(char *text, size_t size, const char *phrase, const placeholder *places, size_t n)
{
    text[0] = 0;
    fill_behind(text, size, phrase, places, n);
}

void phrase_append(char *text, size_t size, const char *phrase, const placeholder *places, size_t n)
{
    if (!phrase[0]) return;
    if (text[0]) text_append(text, size, " ");
    fill_behind(text, size, phrase, places, n);
}

void percent_text(char text[PERCENT_MAX], float probability, const cot_phrases *words)
{
    const double p = 100.0 * (double)probability;
    char number[32];
    if (p < 1 || p > 99) {
        phrase_fill(text, PERCENT_MAX,
                    p < 1 ? phrase_or(words->percent_under, "under 1%") : phrase_or(words->percent_over, "over 99%"),
                    NULL, 0);
        return;
    }
    snprintf(number, sizeof number, "%d%s%d", (int)(p * 10 + 0.5) / 10, phrase_or(words->decimal_mark, "."),
             (int)(p * 10 + 0.5) % 10);
    const placeholder places[] = {{"number", number}};
    phrase_fill(text, PERCENT_MAX, phrase_or(words->percent, "{number}%"), places, 1);
}
