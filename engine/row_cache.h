/* Rows of numbers kept on disk so that they are not computed again: resized pictures, features of a frozen encoder. A file
 * says by its key what its rows were made from; a file with another key, cut or changed is no error but absent. The folder
 * is bounded: the files not used for longest go first.
 * Threads: any thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_ROW_CACHE_H
#define COT_ENGINE_ROW_CACHE_H
#include "config/base.h"

#define ROW_CACHE_FOLDER_BYTES ((size_t)8 << 30)

/* What rows were made from, as text parts in order; `key` is 64 hex characters. */
typedef struct row_key {
    char hex[65];
} row_key;
row_key row_key_of(const char *const *parts, size_t n);

/* n rows of row_bytes each into `to` (room for them); false: not there. dir NULL: never there. `kind`: "pictures", … */
bool row_cache_load(void *to, const char *dir, const char *kind, const row_key *key, size_t n, size_t row_bytes);
/* More than half of the bound is not kept; a full disk is no error either: *kept says. */
cot_status row_cache_save(bool *kept, const void *rows, const char *dir, const char *kind, const row_key *key, size_t n,
                          size_t row_bytes, cot_error *err);
#endif
