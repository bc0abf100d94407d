/* The list of what is wrong with a file (xml.h), kept in order of line.
 * SPDX-License-Identifier: Apache-2.0 */
#include "config/xml.h"

#include <stdlib.h>
#include <string.h>

void problem_add(problem_list *list, long line, const char *format, ...)
{
    problem p = {.line = line};
    va_list args;
    va_start(args, format);
    vsnprintf(p.text, sizeof p.text, format, args);
    va_end(args);
    if (!list->items) list->items = calloc(PROBLEMS_MAX, sizeof *list->items);
    if (!list->items || list->n == PROBLEMS_MAX) {
        if (!list->items) list->n = 1; /* without memory: still "not right" */
        return;
    }
    size_t at = list->n;
    for (size_t i = 0; i < list->n; i++)
        if (list->items[i].line == line && !strcmp(list->items[i].text, p.text)) return;
    while (at > 0 && list->items[at - 1].line > line) {
        list->items[at] = list->items[at - 1];
        at--;
    }
    list->items[at] = p;
    list->n++;
}

void problems_write(const problem_list *list, FILE *stream)
{
    for (size_t i = 0; list->items && i < list->n; i++)
        fprintf(stream, "%s:%ld: %s\n", list->file, list->items[i].line, list->items[i].text);
}

cot_status problems_fail(const problem_list *list, cot_error *err)
{
    char text[sizeof err->text] = "";
    size_t at = 0;
    if (!list->n) return COT_OK;
    if (!list->items) return cot_fail(err, COT_E_MEMORY, "%s: no memory for the list of problems", list->file);
    for (size_t i = 0; i < list->n; i++) {
        const int n = snprintf(text + at, sizeof text - at, "%s%s:%ld: %s", i ? "\n" : "", list->file,
                               list->items[i].line, list->items[i].text);
        if (n < 0 || (size_t)n >= sizeof text - at) {
            if (i > 0) text[at] = 0; /* whole problems only, but never none */
            break;
        }
        at += (size_t)n;
    }
    return cot_fail(err, COT_E_CONFIG, "%s", text);
}
