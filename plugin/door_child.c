/* One association in a process of its own: it may leak or crash without harm to the door. Also the short goodbye for
 * callers that are not served. Limits: address space, file size; cot_scp_serve adds a watchdog (SIGALRM) that ends a child
 * without progress, takes SIGTERM between objects, and logs what it refuses.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/door.h"
#include "plugin/node.h"
#include "plugin/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define MEMORY_MIB 512

typedef struct call {
    const cot_config *config;
    const char *host;
    cot_store *store; /* opened with the first object: a C-ECHO needs none */
    char ae[17];
    size_t objects, duplicates, refused;
    bool opened;
} call;

/* ---- limits ---- */
static uint64_t file_bytes(const char *folder, const char *name)
{
    char path[1100];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* The database grows in this process too, so that the limit on files must leave it room. */
static void limit(const cot_config *config)
{
    const uint64_t mib = (uint64_t)1 << 20, object = config->max_object_mib * mib + mib;
    const uint64_t db = file_bytes(config->store, "db") + file_bytes(config->store, "db-wal") + 256 * mib;
    process_limit(RLIMIT_CORE, 0);
    process_limit(RLIMIT_NOFILE, 64);
    process_limit(RLIMIT_FSIZE, object > db ? object : db);
    process_limit_memory(MEMORY_MIB);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* ---- what DCMTK's side asks (dicom.h) ---- */
static bool on_accept(void *ctx, const char *calling, const char *host)
{
    call *c = ctx;
    if (!door_admits(c->config, calling, host)) return false;
    snprintf(c->ae, sizeof c->ae, "%.16s", calling);
    for (char *p = c->ae; *p; p++)
        if (*p == ' ' || *p == '=' || *p == '"') *p = '_'; /* one key=value in the log */
    cot_log(COT_DEBUG, "association.open", NULL, "host=%s ae=%s", host, c->ae);
    c->opened = true;
    return true;
}

static cot_status on_place(void *ctx, char *path, size_t size, cot_error *err)
{
    call *c = ctx;
    cot_status status = COT_OK;
    if (!c->store) COT_TRY(cot_store_open(&c->store, c->config->store, err));
    COT_TRY(cot_store_place(c->store, c->config->watermark_mib, path, size, err));
done:
    c->refused += status != COT_OK;
    return status;
}

static cot_status on_store(void *ctx, const cot_received *object, cot_error *err)
{
    call *c = ctx;
    char job[COT_JOB_ID] = "";
    bool duplicate = false;
    const cot_status status = cot_store_receive(c->store, object, job, &duplicate, err);
    if (status != COT_OK) {
        c->refused++;
    } else if (duplicate) {
        c->duplicates++;
        cot_log(COT_INFO, "object.duplicate", job, "host=%s ae=%s bytes=%zu", c->host, c->ae, object->head->bytes);
    } else {
        c->objects++;
        cot_log(COT_INFO, "object.received", job, "host=%s ae=%s bytes=%zu", c->host, c->ae, object->head->bytes);
    }
    return status;
}

static void on_refused(void *ctx, const cot_received *object, const cot_error *why)
{
    call *c = ctx;
    (void)object;
    (void)why;
    c->refused++;
}

_Noreturn void door_serve_one(const cot_config *config, int fd, const char *host)
{
    const int64_t start = process_now_ms();
    cot_error err = COT_ERROR_INIT;
    call c = {.config = config, .host = host};
    const cot_scp_handler handler = {.ctx = &c, .place = on_place, .store = on_store, .refused = on_refused};
    cot_scp_options options = {.called_ae = config->ae,
                               .accept = on_accept,
                               .accept_ctx = &c,
                               .pdu = config->pdu,
                               .acse_timeout_s = config->acse_timeout_s,
                               .dimse_timeout_s = config->dimse_timeout_s,
                               .limits = COT_GUARD_LIMITS_INIT};
    if (config->max_object_mib) options.limits.max_bytes = config->max_object_mib << 20;
    limit(config);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    const cot_status status = cot_scp_serve(fd, host, &options, &handler, &err);
    cot_store_close(c.store);
    if (c.opened)
        cot_log(COT_DEBUG, "association.close", NULL, "host=%s ae=%s objects=%zu duplicates=%zu refused=%zu ms=%lld",
                host, c.ae, c.objects, c.duplicates, c.refused, (long long)(process_now_ms() - start));
    if (status != COT_OK) /* association.end has said how an association ended */
        cot_log(c.opened ? COT_DEBUG : COT_WARN, "association.failed", NULL, "host=%s reason=\"%s\"", host, err.text);
    _exit(0);
}

/* ---- goodbye ---- */
/* Up to `size` bytes before `until`; how many came. */
static size_t read_until(int fd, unsigned char *to, size_t size, int64_t until)
{
    size_t have = 0;
    while (have < size) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        const int64_t left = until - process_now_ms();
        if (left <= 0 || poll(&ready, 1, (int)left) <= 0) break;
        const ssize_t n = recv(fd, to + have, size - have, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (n <= 0) break;
        have += (size_t)n;
    }
    return have;
}

/* A-ASSOCIATE-RJ (PS3.8 9.3.4) after the request was read, so that the answer is not lost in a reset. */
_Noreturn void door_turn_away(int fd, door_rejection why)
{
    static const unsigned char answers[][3] = {
        [DOOR_BUSY] = {2, 3, 2},    /* transient; service provider (presentation); local limit exceeded */
        [DOOR_STRANGER] = {1, 1, 3} /* permanent; service user; calling AE title not recognized */
    };
    unsigned char pdu[10] = {3, 0, 0, 0, 0, 4, 0, answers[why][0], answers[why][1], answers[why][2]}, scrap[4096],
                  head[6];
    const int64_t until = process_now_ms() + 2000;
    if (read_until(fd, head, sizeof head, until) == sizeof head && head[0] == 1) {
        size_t left = (size_t)head[2] << 24 | (size_t)head[3] << 16 | (size_t)head[4] << 8 | head[5];
        while (left && left <= (size_t)1 << 20) {
            const size_t n = read_until(fd, scrap, left < sizeof scrap ? left : sizeof scrap, until);
            if (!n) break;
            left -= n;
        }
        if (!left && send(fd, pdu, sizeof pdu, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof pdu) {
            shutdown(fd, SHUT_WR);
            read_until(fd, scrap, sizeof scrap, process_now_ms() + 1000); /* until the peer closes */
        }
    }
    _exit(0);
}
