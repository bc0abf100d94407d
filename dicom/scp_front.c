/* The front door's look at a connection: PDUs are received here, whole, each within its time-out, and checked before DCMTK
 * is served. The A-ASSOCIATE-RQ is held against the allow list and, when refused, answered with A-ASSOCIATE-RJ or A-ABORT
 * (PS3.8 9.3.4, 9.3.8) from here; nothing of it reaches DCMTK. Of later PDUs types and lengths are checked. Nothing waits
 * in the socket: peeking at a PDU until it is whole can stall a healthy sender, whose window a few unread bytes keep shut.
 * Threads: one per connection. SPDX-License-Identifier: Apache-2.0 */
#include "dicom/scp_front.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { REQUEST_MAX = 64 * 1024, FAREWELL_MS = 1000, FAREWELL_BYTES = 1 << 20 };

static size_t be32(const unsigned char *p)
{
    return (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Until fd has bytes or has ended, a stop is asked, or time is over, whatever trickles in. */
static front_event wait_on(int fd, int stop_fd, int64_t until)
{
    for (;;) {
        struct pollfd on[] = {{.fd = fd, .events = POLLIN}, {.fd = stop_fd, .events = POLLIN}};
        const int64_t left = until - now_ms();
        const int n = left > 0 ? poll(on, 2, (int)left) : 0;
        if (n == 0) return FRONT_TIMEOUT;
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return FRONT_CLOSED;
        return on[1].revents ? FRONT_STOP : FRONT_READY;
    }
}

/* ---- the buffer ---- */
bool front_open(front *f, int fd)
{
    *f = (front){.fd = fd, .buffer = malloc(FRONT_BUFFER)};
    return f->buffer != NULL;
}

void front_close(front *f)
{
    free(f->buffer);
    f->buffer = NULL;
}

/* Until the next `want` bytes, at most half a buffer, are at `begin`; takes along what else has come. */
static front_event fill(front *f, size_t want, int stop_fd, int64_t until)
{
    if (FRONT_BUFFER - f->begin < want) {
        memmove(f->buffer, f->buffer + f->begin, f->end - f->begin);
        f->end -= f->begin;
        f->begin = 0;
    }
    while (f->end - f->begin < want) {
        const front_event event = wait_on(f->fd, stop_fd, until);
        if (event != FRONT_READY) return event;
        const ssize_t n = recv(f->fd, f->buffer + f->end, FRONT_BUFFER - f->end, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (n <= 0) return FRONT_CLOSED;
        f->end += (size_t)n;
    }
    return FRONT_READY;
}

size_t front_take(front *f, void *to, size_t size)
{
    const size_t n = size < f->left ? size : f->left;
    memcpy(to, f->buffer + f->begin, n);
    f->begin += n;
    f->left -= n;
    if (f->begin == f->end) f->begin = f->end = 0;
    return n;
}

/* Do the PDVs of a P-DATA-TF body (PS3.8 9.3.5) have room for their header, and fill the body? */
static bool pdvs_add_up(const unsigned char *body, size_t size)
{
    size_t at = 0;
    while (size - at >= 6) {
        const size_t n = be32(body + at);
        if (n < 2 || n > size - at - 4) return false;
        at += 4 + n;
    }
    return at == size && size > 0;
}

front_event front_next_pdu(front *f, int stop_fd, int timeout_ms, size_t pdu_max)
{
    enum { P_DATA = 4, RELEASE_RQ = 5, RELEASE_RP = 6, ABORT = 7 };
    f->begin += f->left; /* DCMTK takes whole PDUs; what it left would be no header */
    f->left = 0;
    front_event event = fill(f, FRONT_HEADER, stop_fd, now_ms() + timeout_ms);
    if (event != FRONT_READY) return event;
    const unsigned type = f->buffer[f->begin];
    const size_t length = be32(f->buffer + f->begin + 2);
    if (type < P_DATA || type > ABORT || length > pdu_max || length > FRONT_PDU_MAX) return FRONT_GARBAGE;
    if (type != P_DATA && length != 4) return FRONT_GARBAGE;
    event = fill(f, FRONT_HEADER + length, -1, now_ms() + timeout_ms);
    if (event != FRONT_READY) return event;
    if (type == P_DATA && !pdvs_add_up(f->buffer + f->begin + FRONT_HEADER, length)) return FRONT_GARBAGE;
    f->left = FRONT_HEADER + length;
    return FRONT_READY;
}

void front_farewell(int fd, const unsigned char word[10])
{
    unsigned char rest[4096];
    const int64_t until = now_ms() + FAREWELL_MS;
    if (send(fd, word, 10, MSG_NOSIGNAL | MSG_DONTWAIT) != 10) return;
    shutdown(fd, SHUT_WR);
    for (size_t seen = 0; seen < FAREWELL_BYTES && now_ms() < until;) {
        if (wait_on(fd, -1, until) != FRONT_READY) break;
        const ssize_t n = recv(fd, rest, sizeof rest, MSG_DONTWAIT);
        if (n <= 0) break;
        seen += (size_t)n;
    }
}

void front_printable(char out[17], const char *title)
{
    size_t n = 0;
    for (; title[n] && n < 16; n++) out[n] = title[n] == '"' || title[n] < 0x20 || title[n] > 0x7e ? '?' : title[n];
    out[n] = 0;
}

static void answer(int fd, association_reject why)
{
    unsigned char word[10] = {why.result ? 3 : 7, 0, 0, 0, 0, 4, 0, why.result, why.source, why.reason};
    front_farewell(fd, word);
}

/* Does the request fit this node? Fills *why and *reason when not. */
static bool welcome(const char *calling, const char *called, const char *host, const cot_scp_options *options,
                    association_reject *why, const char **reason)
{
    if (strcmp(called, options->called_ae) != 0) {
        *why = (association_reject){1, 1, 7};
        *reason = "called-ae";
        return false;
    }
    if (options->accept && !options->accept(options->accept_ctx, calling, host)) {
        *why = (association_reject){1, 1, 3};
        *reason = "calling-ae-or-host";
        return false;
    }
    return true;
}

static void log_refusal(const char *host, const char *reason, const char *calling, const char *called, const char *text)
{
    char from[17], to[17];
    front_printable(from, calling);
    front_printable(to, called);
    cot_log(COT_WARN, "association.reject", NULL, "reason=%s host=%s calling=\"%s\" called=\"%s\" text=\"%s\"", reason,
            host, from, to, text);
}

static const char *name_of(front_event event)
{
    return event == FRONT_TIMEOUT  ? "timeout"
           : event == FRONT_STOP   ? "stop"
           : event == FRONT_CLOSED ? "closed"
                                   : "malformed";
}

/* The whole request into the buffer; *size is what there is of it. */
static front_event receive_request(front *f, int stop_fd, int64_t until, size_t *size, bool *is_request)
{
    front_event event = fill(f, FRONT_HEADER, stop_fd, until);
    *size = f->end < FRONT_HEADER ? f->end : FRONT_HEADER;
    const size_t length = event == FRONT_READY ? be32(f->buffer + 2) : 0;
    *is_request = event == FRONT_READY && f->buffer[0] == 1 && length <= REQUEST_MAX;
    if (!*is_request) return event;
    event = fill(f, FRONT_HEADER + length, stop_fd, until);
    *size = f->end < FRONT_HEADER + length ? f->end : FRONT_HEADER + length;
    return event;
}

void front_judge(front *f, int stop_fd, const char *host, const cot_scp_options *options, char calling[17], bool *pass)
{
    static const association_reject invalid = {0, 2, 6}, unexpected = {0, 2, 2};
    const int64_t until = now_ms() + (int64_t)options->acse_timeout_s * 1000;
    const char *reason = "malformed";
    char called[17] = "";
    size_t size = 0;
    bool is_request = false;
    cot_error err = COT_ERROR_INIT;
    association_reject why = {0};
    *pass = false;
    calling[0] = 0;
    const front_event event = receive_request(f, stop_fd, until, &size, &is_request);
    const unsigned char *pdu = f->buffer;
    if (size == 0) {
        log_refusal(host, name_of(event), "", "", "no byte was sent");
    } else if (is_request && event != FRONT_READY) {
        log_refusal(host, name_of(event), "", "", "the association request is not complete");
        answer(f->fd, unexpected);
    } else if (aarq_check(pdu, size, calling, called, &why, &err) != COT_OK) {
        log_refusal(host, pdu[0] == 1 ? reason : "not-dicom", calling, called, err.text);
        answer(f->fd, why.result ? why : pdu[0] == 1 ? invalid : unexpected);
    } else if (!welcome(calling, called, host, options, &why, &reason)) {
        log_refusal(host, reason, calling, called, "see listen and accept in the configuration");
        answer(f->fd, why);
    } else {
        f->left = size;
        *pass = true;
    }
}
