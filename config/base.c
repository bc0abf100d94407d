/* Status, errors, checked sizes, whole files, digests and the log (base.h). The only state is the log's sink, set once at start.
 * SPDX-License-Identifier: Apache-2.0 */
#include "config/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *const status_names[] = {
    [COT_OK] = "ok",           [COT_E_USAGE] = "usage",     [COT_E_CONFIG] = "config",
    [COT_E_INPUT] = "input",   [COT_E_REFUSED] = "refused", [COT_E_MODEL] = "model",
    [COT_E_DEVICE] = "device", [COT_E_NETWORK] = "network", [COT_E_IO] = "io",
    [COT_E_LIMIT] = "limit",   [COT_E_MEMORY] = "memory",   [COT_E_BUG] = "bug",
};

const char *cot_status_name(cot_status status)
{
    const size_t i = (size_t)status;
    return i < sizeof status_names / sizeof *status_names ? status_names[i] : "unknown";
}

cot_status cot_fail(cot_error *err, cot_status status, const char *format, ...)
{
    if (err) {
        err->status = status;
        va_list args;
        va_start(args, format);
        vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
    }
    return status;
}

cot_status cot_fail_in(cot_error *err, const char *format, ...)
{
    if (!err) return COT_E_BUG;
    char text[sizeof err->text];
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof text) {
        const size_t at = (size_t)n;
        snprintf(text + at, sizeof text - at, ": %.*s", (int)(sizeof text - at - 1), err->text);
    }
    memcpy(err->text, text, sizeof text);
    return err->status;
}

bool cot_mul(size_t *out, size_t a, size_t b)
{
    size_t product;
    if (__builtin_mul_overflow(a, b, &product)) return false;
    *out = product;
    return true;
}

bool cot_add(size_t *out, size_t a, size_t b)
{
    size_t sum;
    if (__builtin_add_overflow(a, b, &sum)) return false;
    *out = sum;
    return true;
}

/* ---- files ---- */
static cot_status read_all(int fd, char *to, size_t size, const char *path, cot_error *err)
{
    size_t at = 0;
    while (at < size) {
        const ssize_t n = read(fd, to + at, size - at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return cot_fail(err, COT_E_IO, "read %s: %s", path, strerror(errno));
        if (n == 0) return cot_fail(err, COT_E_IO, "read %s: the file became shorter while it was read", path);
        at += (size_t)n;
    }
    return COT_OK;
}

cot_status cot_file_read(char **out, size_t *size, const char *path, size_t limit, cot_error *err)
{
    cot_status status = COT_OK;
    char *data = NULL;
    *out = NULL;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return cot_fail(err, COT_E_IO, "open %s: %s", path, strerror(errno));
    struct stat st;
    if (fstat(fd, &st) != 0) {
        status = cot_fail(err, COT_E_IO, "stat %s: %s", path, strerror(errno));
        goto done;
    }
    if (!S_ISREG(st.st_mode)) {
        status = cot_fail(err, COT_E_INPUT, "%s is not a regular file", path);
        goto done;
    }
    if ((uint64_t)st.st_size > limit) {
        status =
            cot_fail(err, COT_E_LIMIT, "%s has %lld bytes, at most %zu are read", path, (long long)st.st_size, limit);
        goto done;
    }
    const size_t bytes = (size_t)st.st_size;
    data = malloc(bytes + 1);
    if (!data) {
        status = cot_fail(err, COT_E_MEMORY, "read %s: no memory for %zu bytes", path, bytes);
        goto done;
    }
    COT_TRY(read_all(fd, data, bytes, path, err));
    data[bytes] = 0;
    *out = data;
    *size = bytes;
    data = NULL;
done:
    free(data);
    close(fd);
    return status;
}

cot_status cot_folder_sync(const char *path, cot_error *err)
{
    char folder[1100];
    const char *slash = strrchr(path, '/');
    const size_t n = slash ? (slash == path ? 1 : (size_t)(slash - path)) : 1;
    if (n >= sizeof folder) return cot_fail(err, COT_E_IO, "%s: the path is too long", path);
    memcpy(folder, slash ? path : ".", n);
    folder[n] = 0;
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return cot_fail(err, COT_E_IO, "open folder %s: %s", folder, strerror(errno));
    const int bad = fsync(fd), why = errno;
    close(fd);
    return bad ? cot_fail(err, COT_E_IO, "sync folder %s: %s", folder, strerror(why)) : COT_OK;
}

static cot_status io_failure(cot_error *err, const char *what, const char *path)
{
    const bool full = errno == ENOSPC || errno == EDQUOT || errno == EFBIG;
    return cot_fail(err, full ? COT_E_LIMIT : COT_E_IO, "%s %s: %s%s", what, path, strerror(errno),
                    full ? ". Free space on that disk" : "");
}

cot_status cot_file_write_synced(const char *path, const void *data, size_t size, cot_error *err)
{
    cot_status status = COT_OK;
    char draft[1100];
    const char *bytes = data;
    if (snprintf(draft, sizeof draft, "%s.%ld.part", path, (long)getpid()) >= (int)sizeof draft)
        return cot_fail(err, COT_E_IO, "%s: the path is too long", path);
    int fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (fd < 0) return io_failure(err, "create", draft);
    for (size_t at = 0; at < size;) {
        const ssize_t n = write(fd, bytes + at, size - at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            status = io_failure(err, "write", draft);
            goto done;
        }
        at += (size_t)n;
    }
    if (fsync(fd) != 0) {
        status = io_failure(err, "sync", draft);
        goto done;
    }
    const int bad = close(fd);
    fd = -1;
    if (bad != 0 || rename(draft, path) != 0) {
        status = io_failure(err, "put in place", path);
        goto done;
    }
done:
    if (fd >= 0) close(fd);
    if (status != COT_OK) unlink(draft);
    return status;
}

cot_status cot_file_write_durable(const char *path, const void *data, size_t size, cot_error *err)
{
    const cot_status status = cot_file_write_synced(path, data, size, err);
    return status == COT_OK ? cot_folder_sync(path, err) : status;
}

/* Name of what a draft was to become; false: no draft. */
static bool draft_of(char *name, size_t size, const char *entry)
{
    const size_t n = strlen(entry), end = sizeof ".part" - 1;
    size_t at = n > end && !strcmp(entry + n - end, ".part") ? n - end : 0;
    const size_t digits = at;
    while (at && entry[at - 1] >= '0' && entry[at - 1] <= '9') at--;
    if (at == digits || at < 2 || entry[at - 1] != '.' || at - 1 >= size) return false;
    memcpy(name, entry, at - 1);
    name[at - 1] = 0;
    return true;
}

cot_status cot_drafts_remove(size_t *n, const char *folder, bool (*ours)(const char *name), cot_error *err)
{
    cot_status status = COT_OK;
    size_t removed = 0;
    DIR *all = opendir(folder);
    if (!all) return cot_fail(err, COT_E_IO, "open folder %s: %s", folder, strerror(errno));
    for (struct dirent *entry; status == COT_OK && (entry = readdir(all));) {
        char name[256];
        if (!draft_of(name, sizeof name, entry->d_name) || !ours(name)) continue;
        if (unlinkat(dirfd(all), entry->d_name, 0) == 0)
            removed++;
        else if (errno != ENOENT)
            status = cot_fail(err, COT_E_IO, "remove %s/%s: %s", folder, entry->d_name, strerror(errno));
    }
    closedir(all);
    if (n) *n = removed;
    return status;
}

/* ---- digests ---- */
struct cot_sha256 {
    EVP_MD_CTX *ctx;
};

cot_status cot_sha256_create(cot_sha256 **out, cot_error *err)
{
    *out = NULL;
    cot_sha256 *sha = calloc(1, sizeof *sha);
    if (!sha) return cot_fail(err, COT_E_MEMORY, "SHA-256: no memory");
    sha->ctx = EVP_MD_CTX_new();
    if (!sha->ctx || EVP_DigestInit_ex(sha->ctx, EVP_sha256(), NULL) != 1) {
        cot_sha256_destroy(sha);
        return cot_fail(err, COT_E_MEMORY, "SHA-256: libcrypto gives no context");
    }
    *out = sha;
    return COT_OK;
}

void cot_sha256_add(cot_sha256 *sha, const void *data, size_t size)
{
    EVP_DigestUpdate(sha->ctx, data, size);
}

static void hex_of(char *hex, const unsigned char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
}

void cot_sha256_hex(cot_sha256 *sha, char hex[65])
{
    unsigned char digest[EVP_MAX_MD_SIZE] = {0};
    EVP_DigestFinal_ex(sha->ctx, digest, NULL);
    hex_of(hex, digest, 32);
}

void cot_sha256_destroy(cot_sha256 *sha)
{
    if (!sha) return;
    EVP_MD_CTX_free(sha->ctx);
    free(sha);
}

void cot_sha256_of(char hex[65], const void *data, size_t size)
{
    unsigned char digest[EVP_MAX_MD_SIZE] = {0};
    EVP_Digest(data, size, digest, NULL, EVP_sha256(), NULL);
    hex_of(hex, digest, 32);
}

/* ---- log ---- */
static FILE *log_stream;
static cot_level log_lowest = COT_INFO;
static char log_role[33];

void cot_log_to_stream(FILE *stream, cot_level lowest, const char *role)
{
    log_stream = stream;
    log_lowest = lowest;
    snprintf(log_role, sizeof log_role, "%s", role ? role : "");
}

/* The pairs of a line. Quotes are the format's alone, so that no value ends early, whatever it quotes: they pass printf as a
 * control character, and those of values become apostrophes. When their number does not come out (a value had that
 * character, or the line is cut), the whole is one value. */
static void format_pairs(char *out, size_t size, const char *format, va_list args)
{
    enum { MARK = 1 };
    static const char lead[] = "text=\"";
    char marked[400];
    size_t wanted = 0, found = 0, n = 0;
    for (; format[n] && n < sizeof marked - 1; n++) {
        marked[n] = format[n];
        if (format[n] == '"') marked[n] = MARK, wanted++;
    }
    marked[n] = 0;
    vsnprintf(out, size, marked, args);
    for (char *p = out; *p; p++) {
        if (*p == '"') *p = '\'';
        found += *p == MARK;
    }
    const bool sound = found == wanted && !format[n];
    for (char *p = out; *p; p++)
        if (*p == MARK) *p = sound ? '"' : '\'';
    if (sound) return;
    n = strnlen(out, size - sizeof lead - 1);
    memmove(out + sizeof lead - 1, out, n);
    memcpy(out, lead, sizeof lead - 1);
    memcpy(out + sizeof lead - 1 + n, "\"", 2);
}

void cot_log(cot_level level, const char *event, const char *job, const char *format, ...)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    if (!log_stream || level < log_lowest) return;
    char line[1600], body[1300] = "";
    if (format) {
        va_list args;
        va_start(args, format);
        format_pairs(body, sizeof body, format, args);
        va_end(args);
    }
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    char stamp[32];
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    int n = snprintf(line, sizeof line, "%s.%03ldZ level=%s role=%s event=%s job=%s%s%s", stamp, now.tv_nsec / 1000000,
                     names[level], log_role[0] ? log_role : "-", event, job && job[0] ? job : "-", body[0] ? " " : "",
                     body);
    if (n < 0) return;
    if ((size_t)n > sizeof line - 2) n = (int)sizeof line - 2;
    for (int i = 0; i < n; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f) line[i] = '?';
    line[n] = '\n';
    /* one write per line, so that lines of several processes never mix */
    fflush(log_stream);
    ssize_t ignored = write(fileno(log_stream), line, (size_t)n + 1);
    (void)ignored;
}
