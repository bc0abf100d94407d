/* Forward reading with one buffer and a running digest. Invariant: buffer[begin..end) are the file's bytes from `offset`
 * on, and all of them are in the digest once hashing has begun. Threads: one at a time.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dicom/guard_bytes.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

cot_status bytes_open(bytes_reader *r, const char *path, size_t limit, cot_error *err)
{
    struct stat about;
    *r = (bytes_reader){.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), .path = path};
    if (r->fd < 0) return cot_fail(err, COT_E_IO, "%s: cannot be opened: %s", path, strerror(errno));
    if (fstat(r->fd, &about) != 0) return cot_fail(err, COT_E_IO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(about.st_mode)) return cot_fail(err, COT_E_INPUT, "%s: not a regular file", path);
    r->size = (size_t)about.st_size;
    if (r->size > limit)
        return cot_fail(err, COT_E_LIMIT, "%s: %zu bytes, the limit is %zu; raise the limit or send smaller objects",
                        path, r->size, limit);
    r->buffer = malloc(BYTES_BUFFER);
    if (!r->buffer) return cot_fail(err, COT_E_MEMORY, "%s: no memory for the read buffer", path);
    return COT_OK;
}

void bytes_fini(bytes_reader *r)
{
    if (r->fd >= 0) close(r->fd);
    free(r->buffer);
    cot_sha256_destroy(r->sha);
}

/* Moves what is unread to the front and reads behind it, at least one byte. */
static cot_status refill(bytes_reader *r, cot_error *err)
{
    memmove(r->buffer, r->buffer + r->begin, r->end - r->begin);
    r->end -= r->begin;
    r->begin = 0;
    ssize_t n = 0;
    do n = read(r->fd, r->buffer + r->end, BYTES_BUFFER - r->end);
    while (n < 0 && errno == EINTR);
    if (n < 0) return cot_fail(err, COT_E_IO, "%s: reading at offset %zu: %s", r->path, r->offset, strerror(errno));
    if (n == 0) return cot_fail(err, COT_E_IO, "%s: became shorter while it was read", r->path);
    if (r->sha) cot_sha256_add(r->sha, r->buffer + r->end, (size_t)n);
    r->end += (size_t)n;
    return COT_OK;
}

cot_status bytes_hash_from_here(bytes_reader *r, cot_error *err)
{
    const cot_status status = cot_sha256_create(&r->sha, err);
    if (status == COT_OK) cot_sha256_add(r->sha, r->buffer + r->begin, r->end - r->begin);
    return status;
}

cot_status bytes_digest(bytes_reader *r, char hex[65], cot_error *err)
{
    const cot_status status = bytes_skip(r, r->size - r->offset, err);
    if (status == COT_OK) cot_sha256_hex(r->sha, hex);
    return status;
}

cot_status bytes_peek(bytes_reader *r, const unsigned char **at, size_t n, cot_error *err)
{
    while (r->end - r->begin < n) {
        const cot_status status = refill(r, err);
        if (status != COT_OK) return status;
    }
    *at = r->buffer + r->begin;
    return COT_OK;
}

/* Nobody wants these bytes: the file's position moves past them. */
static cot_status seek_over(bytes_reader *r, size_t n, cot_error *err)
{
    const off_t further = (off_t)(n - (r->end - r->begin));
    r->begin = r->end = 0;
    return lseek(r->fd, further, SEEK_CUR) >= 0
               ? COT_OK
               : cot_fail(err, COT_E_IO, "%s: going to offset %zu: %s", r->path, r->offset, strerror(errno));
}

cot_status bytes_skip(bytes_reader *r, size_t n, cot_error *err)
{
    r->offset += n;
    if (!r->sha && n > r->end - r->begin + BYTES_BUFFER) return seek_over(r, n, err);
    while (n > r->end - r->begin) {
        n -= r->end - r->begin;
        r->begin = r->end = 0;
        const cot_status status = refill(r, err);
        if (status != COT_OK) return status;
    }
    r->begin += n;
    return COT_OK;
}
