/* Files of rows (row_cache.h): a header of fixed size, then the bytes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/row_cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct row_header {
    char magic[8];
    uint64_t rows, row_bytes;
    char key[65], digest[65], filler[6];
} row_header;
static const char row_magic[8] = {'C', 'O', 'T', 'R', 'O', 'W', 'S', '1'};

row_key row_key_of(const char *const *parts, size_t n)
{
    row_key key;
    cot_sha256 *sha = NULL;
    memset(&key, 0, sizeof key);
    if (cot_sha256_create(&sha, NULL) != COT_OK) return key; /* no memory: a key that no file has */
    for (size_t i = 0; i < n; i++) cot_sha256_add(sha, parts[i], strlen(parts[i]) + 1);
    cot_sha256_hex(sha, key.hex);
    cot_sha256_destroy(sha);
    return key;
}

static bool file_path(char *path, size_t size, const char *dir, const char *kind, const row_key *key)
{
    const int n = key->hex[0] ? snprintf(path, size, "%s/%s-%.32s.rows", dir, kind, key->hex) : -1;
    return n > 0 && (size_t)n < size;
}

static bool read_all(int fd, void *to, size_t size)
{
    for (size_t at = 0; at < size;) {
        const ssize_t n = read(fd, (char *)to + at, size - at);
        if (n <= 0) return false;
        at += (size_t)n;
    }
    return true;
}

bool row_cache_load(void *to, const char *dir, const char *kind, const row_key *key, size_t n, size_t row_bytes)
{
    char path[1200], digest[65];
    row_header h;
    size_t size;
    if (!dir || !file_path(path, sizeof path, dir, kind, key) || !cot_mul(&size, n, row_bytes)) return false;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return false;
    bool good = read_all(fd, &h, sizeof h) && !memcmp(h.magic, row_magic, sizeof row_magic) && h.rows == n &&
                h.row_bytes == row_bytes && !memcmp(h.key, key->hex, sizeof h.key) && read_all(fd, to, size);
    if (good) {
        cot_sha256_of(digest, to, size);
        good = !memcmp(digest, h.digest, sizeof digest);
    }
    if (good) futimens(fd, NULL); /* used now: not the first to go */
    close(fd);
    return good;
}

/* ---- the bound ---- */
typedef struct old_file {
    char name[256];
    struct timespec used;
    size_t bytes;
} old_file;

static int by_use(const void *a, const void *b)
{
    const old_file *x = a, *y = b;
    if (x->used.tv_sec != y->used.tv_sec) return x->used.tv_sec < y->used.tv_sec ? -1 : 1;
    return (x->used.tv_nsec > y->used.tv_nsec) - (x->used.tv_nsec < y->used.tv_nsec);
}

static int is_rows(const struct dirent *entry)
{
    const size_t n = strlen(entry->d_name);
    return n > 5 && !strcmp(entry->d_name + n - 5, ".rows");
}

/* Removes the files not used for longest until `room` more bytes are within the bound. */
static void make_room(const char *dir, size_t room)
{
    struct dirent **entries = NULL;
    const int found = scandir(dir, &entries, is_rows, alphasort);
    old_file *files = found > 0 ? calloc((size_t)found, sizeof *files) : NULL;
    size_t total = room, n = 0;
    const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < found; i++) {
        struct stat st;
        if (files && fstatat(fd, entries[i]->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode)) {
            snprintf(files[n].name, sizeof files[n].name, "%s", entries[i]->d_name);
            files[n].used = st.st_mtim;
            files[n].bytes = (size_t)st.st_size;
            total += files[n++].bytes;
        }
        free(entries[i]);
    }
    free(entries);
    if (files) qsort(files, n, sizeof *files, by_use);
    for (size_t i = 0; i < n && total > ROW_CACHE_FOLDER_BYTES; i++)
        if (unlinkat(fd, files[i].name, 0) == 0) total -= files[i].bytes;
    if (fd >= 0) close(fd);
    free(files);
}

cot_status row_cache_save(bool *kept, const void *rows, const char *dir, const char *kind, const row_key *key, size_t n,
                          size_t row_bytes, cot_error *err)
{
    char path[1200];
    row_header h;
    size_t size, total;
    *kept = false;
    if (!dir || !file_path(path, sizeof path, dir, kind, key) || !cot_mul(&size, n, row_bytes) ||
        !cot_add(&total, size, sizeof h) || total > ROW_CACHE_FOLDER_BYTES / 2)
        return COT_OK;
    unsigned char *bytes = malloc(total);
    if (!bytes) return cot_fail(err, COT_E_MEMORY, "no memory to keep %zu rows of %s", n, kind);
    memset(&h, 0, sizeof h);
    memcpy(h.magic, row_magic, sizeof row_magic);
    h.rows = n;
    h.row_bytes = row_bytes;
    memcpy(h.key, key->hex, sizeof h.key);
    cot_sha256_of(h.digest, rows, size);
    memcpy(bytes, &h, sizeof h);
    memcpy(bytes + sizeof h, rows, size);
    make_room(dir, total);
    cot_error full = COT_ERROR_INIT;
    *kept = cot_file_write_durable(path, bytes, total, &full) == COT_OK;
    free(bytes);
    return COT_OK;
}
