/* The vocabulary every room shares: status, error text, checked sizes, digests, the log.
 * Threads: every function may be called from any thread; cot_log_to_stream once, at start.
 * SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#ifndef COT_BASE_H
#define COT_BASE_H
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define COT_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define COT_PRINTF(f, a)
#endif

/* What kind of failure: the caller decides by it, a person reads cot_error.text. */
typedef enum cot_status {
    COT_OK = 0,
    COT_E_USAGE,   /* the command line asks for something that does not exist */
    COT_E_CONFIG,  /* XML configuration or step schema */
    COT_E_INPUT,   /* a file or message is not what it must be */
    COT_E_REFUSED, /* understood, but outside what is read (gates, policy) */
    COT_E_MODEL,   /* model package: missing, misshapen, damaged */
    COT_E_DEVICE,  /* OpenCL: none found, build failed, device lost */
    COT_E_NETWORK, /* peer unreachable, association refused, time-out */
    COT_E_IO,      /* file system, database */
    COT_E_LIMIT,   /* a configured bound was hit (size, depth, time, disk) */
    COT_E_MEMORY,
    COT_E_BUG      /* an invariant of this program does not hold */
} cot_status;
const char *cot_status_name(cot_status status); /* "input", "model", … */

/* Says what happened, where (file, tag, host, tensor, XML line) and what to do. */
typedef struct cot_error {
    cot_status status;
    char text[1024];
} cot_error;
#define COT_ERROR_INIT { COT_OK, "" }

/* Fills *err (may be NULL) and returns status, so that `return cot_fail(...)` reads well. */
cot_status cot_fail(cot_error *err, cot_status status, const char *format, ...) COT_PRINTF(3, 4);
/* Puts "prefix: " before the text already in *err; keeps and returns its status. */
cot_status cot_fail_in(cot_error *err, const char *format, ...) COT_PRINTF(2, 3);

/* Needs a local `status` and a label `done`, on purpose in every fallible function. */
#define COT_TRY(call) do { if ((status = (call)) != COT_OK) goto done; } while (0)

/* Checked size arithmetic: false on overflow, *out untouched. */
bool cot_mul(size_t *out, size_t a, size_t b);
bool cot_add(size_t *out, size_t a, size_t b);

/* A read-only piece of bytes; owner said by the function that gives it. */
typedef struct cot_blob { const unsigned char *data; size_t size; } cot_blob;

/* Whole regular file into memory, refused above `limit` bytes. Caller frees *out. NUL added behind. */
cot_status cot_file_read(char **out, size_t *size, const char *path, size_t limit, cot_error *err);
/* Writes a temporary neighbour, fsyncs it, renames it over `path`, fsyncs the folder. */
cot_status cot_file_write_durable(const char *path, const void *data, size_t size, cot_error *err);
/* Removes what those have left in `folder` when they were killed (NAME.PID.part), of the names that ours() is true of; *n: how
 * many, or n NULL. Call where no other process writes these names. */
cot_status cot_drafts_remove(size_t *n, const char *folder, bool (*ours)(const char *name), cot_error *err);
/* In two parts, for many files of one folder: each but the folder; the folder that `path` lies in. */
cot_status cot_file_write_synced(const char *path, const void *data, size_t size, cot_error *err);
cot_status cot_folder_sync(const char *path, cot_error *err);

/* SHA-256 (FIPS 180-4). Hex digests are 64 characters + NUL. */
typedef struct cot_sha256 cot_sha256;
cot_status cot_sha256_create(cot_sha256 **out, cot_error *err);
void cot_sha256_add(cot_sha256 *sha, const void *data, size_t size);
void cot_sha256_hex(cot_sha256 *sha, char hex[65]); /* finishes; destroy afterwards */
void cot_sha256_destroy(cot_sha256 *sha);
void cot_sha256_of(char hex[65], const void *data, size_t size);

/* Log: one line per event, `event=NAME job=ID key=value …`; never a value of a data set.
 * Nothing is written until a stream is set (the libraries are silent by themselves). */
typedef enum cot_level { COT_DEBUG, COT_INFO, COT_WARN, COT_ERROR_LEVEL } cot_level;
void cot_log_to_stream(FILE *stream, cot_level lowest, const char *role); /* NULL: silence */
/* `job` may be NULL or "". `format`, under 400 characters, gives the further key=value pairs and the quotes around values
 * that may have spaces; quotes within values become apostrophes, control characters '?'. */
void cot_log(cot_level level, const char *event, const char *job, const char *format, ...) COT_PRINTF(4, 5);

#ifdef __cplusplus
}
#endif
#endif
