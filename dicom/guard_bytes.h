/* A file read once, forwards, through a buffer of fixed size; from a chosen offset on every byte also enters a SHA-256.
 * Owned by guard.c. Threads: one at a time. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_DICOM_GUARD_BYTES_H
#define COT_DICOM_GUARD_BYTES_H
#include "config/base.h"

enum { BYTES_BUFFER = 256 * 1024, BYTES_LOOKAHEAD = 512 };
typedef struct bytes_reader {
    int fd;
    const char *path;      /* borrowed, for messages */
    unsigned char *buffer; /* owned */
    size_t begin, end;     /* unread bytes in buffer */
    size_t offset, size;   /* of the first unread byte in the file; of the file */
    cot_sha256 *sha;       /* owned; NULL: not hashing */
} bytes_reader;

/* Opens a regular file of at most `limit` bytes. Fini also after a failure. */
cot_status bytes_open(bytes_reader *r, const char *path, size_t limit, cot_error *err);
void bytes_fini(bytes_reader *r);
/* Everything not yet read is hashed from now on; bytes_digest reads what is left. */
cot_status bytes_hash_from_here(bytes_reader *r, cot_error *err);
cot_status bytes_digest(bytes_reader *r, char hex[65], cot_error *err);
/* The next n <= BYTES_LOOKAHEAD bytes, which the file must have (see r->size), stay unread: *at is valid until the next call. */
cot_status bytes_peek(bytes_reader *r, const unsigned char **at, size_t n, cot_error *err);
/* Passes over n bytes, which the file must have. */
cot_status bytes_skip(bytes_reader *r, size_t n, cot_error *err);
#endif
