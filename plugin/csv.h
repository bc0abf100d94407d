/* Inside plugin/: a CSV file (RFC 4180, with or without a byte order mark, any line ends), row by row, under bounds.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_CSV_H
#define COT_CSV_H
#include "config/base.h"

enum { CSV_FIELDS_MAX = 64 };
#define CSV_MAX_BYTES ((size_t)512 << 20)

typedef struct csv_file {
    const char *path;
    char *text; /* the whole file; fields are cut in it */
    size_t size, at;
    size_t line; /* where the next row begins */
    size_t row;  /* where the last one began */
    char *field[CSV_FIELDS_MAX];
    size_t n;
} csv_file;

cot_status csv_open(csv_file *csv, const char *path, cot_error *err);
void csv_fini(csv_file *csv);
/* The next row into field[0..n-1], empty lines left out; *more false at the end. Broken quotes end the reading: what follows
 * them cannot be told apart. */
cot_status csv_next(csv_file *csv, bool *more, cot_error *err);
/* Column of the current row (the header) with this name, or n. */
size_t csv_column(const csv_file *csv, const char *name);
#endif
