/* CSV (csv.h): fields are unquoted in place, so that a row costs no memory. SPDX-License-Identifier: Apache-2.0 */
#include "plugin/csv.h"

#include <stdlib.h>
#include <string.h>

cot_status csv_open(csv_file *csv, const char *path, cot_error *err)
{
    cot_status status;
    *csv = (csv_file){.path = path, .line = 1};
    COT_TRY(cot_file_read(&csv->text, &csv->size, path, CSV_MAX_BYTES, err));
    if (csv->size >= 3 && !memcmp(csv->text, "\xef\xbb\xbf", 3)) csv->at = 3;
    const char *zero = memchr(csv->text, 0, csv->size);
    if (zero)
        status =
            cot_fail(err, COT_E_INPUT, "%s: a zero byte at %zu: this is no CSV text", path, (size_t)(zero - csv->text));
done:
    if (status != COT_OK) csv_fini(csv);
    return status;
}

void csv_fini(csv_file *csv)
{
    free(csv->text);
    csv->text = NULL;
}

static bool ends_field(char c)
{
    return c == ',' || c == '\n' || c == '\r' || !c;
}

/* A quoted field at `from` (its opening quote), unquoted in place; NULL and a message when its end is missing or wrong. */
static char *quoted(csv_file *csv, char *from, cot_error *err)
{
    char *to = from, *c = from + 1;
    for (;; c++) {
        if (!*c) {
            cot_fail(err, COT_E_INPUT, "%s:%zu: a quoted field without its closing quote", csv->path, csv->row);
            return NULL;
        }
        if (*c == '"' && *++c != '"') break;
        csv->line += *c == '\n';
        *to++ = *c;
    }
    if (!ends_field(*c)) {
        cot_fail(err, COT_E_INPUT, "%s:%zu: text after the closing quote of a field", csv->path, csv->line);
        return NULL;
    }
    *to = 0; /* before c: two quotes are gone */
    return c;
}

cot_status csv_next(csv_file *csv, bool *more, cot_error *err)
{
    char *c = csv->text + csv->at;
    for (; *c == '\n' || *c == '\r'; c++) csv->line += *c == '\n';
    csv->row = csv->line;
    csv->n = 0;
    *more = *c != 0;
    while (*more) {
        if (csv->n == CSV_FIELDS_MAX)
            return cot_fail(err, COT_E_INPUT, "%s:%zu: more than %d fields", csv->path, csv->row, CSV_FIELDS_MAX);
        csv->field[csv->n++] = c;
        if (*c == '"') {
            c = quoted(csv, c, err);
            if (!c) return COT_E_INPUT;
        } else {
            while (!ends_field(*c)) c++;
        }
        const char end = *c;
        *c = 0;
        if (end) c++;
        if (end == ',') continue;
        if (end == '\r' && *c == '\n') c++;
        csv->line += end != 0;
        break;
    }
    csv->at = (size_t)(c - csv->text);
    return COT_OK;
}

size_t csv_column(const csv_file *csv, const char *name)
{
    size_t i = 0;
    while (i < csv->n && strcmp(csv->field[i], name)) i++;
    return i;
}
