/* Which option a text of a data set names: the schema's id or label, or a further wording from a file, whatever case and
 * punctuation. SPDX-License-Identifier: Apache-2.0 */
#include "plugin/csv.h"
#include "plugin/data_command.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 256, WORDS_MAX = 100000 };
typedef struct wording {
    size_t step;
    int option;
    char text[TEXT_MAX]; /* plain */
} wording;
struct data_words {
    const cot_steps *steps;
    wording *list;
    size_t n, room;
};

/* Letters and digits in lower case, one space for anything between them; bytes above ASCII stay. */
static void plain(char to[TEXT_MAX], const char *text)
{
    size_t n = 0;
    for (const unsigned char *c = (const unsigned char *)text; *c && n + 2 < TEXT_MAX; c++) {
        if (*c >= 0x80 || isalnum(*c))
            to[n++] = (char)(*c < 0x80 ? tolower(*c) : *c);
        else if (n && to[n - 1] != ' ')
            to[n++] = ' ';
    }
    if (n && to[n - 1] == ' ') n--;
    to[n] = 0;
}

bool data_words_same(const char *a, const char *b)
{
    char left[TEXT_MAX], right[TEXT_MAX];
    plain(left, a);
    plain(right, b);
    return !strcmp(left, right);
}

int data_words_option(const data_words *words, size_t step, const char *text)
{
    const cot_step *s = &words->steps->steps[step];
    char asked[TEXT_MAX];
    plain(asked, text);
    if (!*asked) return -1;
    for (size_t o = 0; o < s->n_options; o++)
        if (data_words_same(asked, s->options[o].label) || data_words_same(asked, s->options[o].id)) return (int)o;
    for (size_t w = 0; w < words->n; w++)
        if (words->list[w].step == step && !strcmp(words->list[w].text, asked)) return words->list[w].option;
    return -1;
}

static cot_status add_wording(data_words *words, const csv_file *csv, cot_error *err)
{
    const cot_steps *steps = words->steps;
    wording w = {.option = -1};
    if (csv->n != 3) return cot_fail(err, COT_E_INPUT, "%s:%zu: not step, text and option", csv->path, csv->row);
    while (w.step < steps->n_steps && strcmp(steps->steps[w.step].id, csv->field[0])) w.step++;
    if (w.step == steps->n_steps)
        return cot_fail(err, COT_E_INPUT, "%s:%zu: no step \"%.64s\" in the step schema", csv->path, csv->row,
                        csv->field[0]);
    for (size_t o = 0; o < steps->steps[w.step].n_options; o++)
        if (!strcmp(steps->steps[w.step].options[o].id, csv->field[2])) w.option = (int)o;
    if (w.option < 0)
        return cot_fail(err, COT_E_INPUT, "%s:%zu: step \"%s\" has no option \"%.64s\"", csv->path, csv->row,
                        csv->field[0], csv->field[2]);
    plain(w.text, csv->field[1]);
    if (words->n == words->room) {
        const size_t room = words->room ? 2 * words->room : 64;
        wording *list = room <= WORDS_MAX ? realloc(words->list, room * sizeof *list) : NULL;
        if (!list) return cot_fail(err, COT_E_MEMORY, "%s: no memory for more wordings", csv->path);
        words->list = list;
        words->room = room;
    }
    words->list[words->n++] = w;
    return COT_OK;
}

static cot_status read_wordings(data_words *words, const char *path, cot_error *err)
{
    cot_status status;
    csv_file csv = {0};
    bool more;
    COT_TRY(csv_open(&csv, path, err));
    COT_TRY(csv_next(&csv, &more, err));
    if (!more || csv.n != 3 || strcmp(csv.field[0], "step") || strcmp(csv.field[1], "text") ||
        strcmp(csv.field[2], "option")) {
        status = cot_fail(err, COT_E_INPUT, "%s:1: the columns must be step,text,option", path);
        goto done;
    }
    for (;;) {
        COT_TRY(csv_next(&csv, &more, err));
        if (!more) break;
        COT_TRY(add_wording(words, &csv, err));
    }
done:
    csv_fini(&csv);
    return status;
}

cot_status data_words_load(data_words **out, const char *path, const cot_steps *steps, cot_error *err)
{
    cot_status status = COT_OK;
    *out = NULL;
    data_words *words = calloc(1, sizeof *words);
    if (!words) return cot_fail(err, COT_E_MEMORY, "no memory for wordings");
    words->steps = steps;
    if (path) COT_TRY(read_wordings(words, path, err));
    *out = words;
    words = NULL;
done:
    data_words_destroy(words);
    return status;
}

void data_words_destroy(data_words *words)
{
    if (!words) return;
    free(words->list);
    free(words);
}
