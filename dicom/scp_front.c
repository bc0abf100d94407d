/* The front door's look at a connection: the whole A-ASSOCIATE-RQ is peeked at within the time-out, checked, held against
 * the allow list, and either left in the socket for DCMTK or answered with A-ASSOCIATE-RJ or A-ABORT (PS3.8 9.3.4, 9.3.8)
 * from here; nothing of a refused request reaches DCMTK. Of later PDUs the lengths are checked in the same way. Threads: one per connection.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dicom/scp_front.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEADER = 6, PDU_MAX = HEADER + 64 * 1024, FAREWELL_MS = 1000, FAREWELL_BYTES = 1 << 20 };

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

/* Until fd has at least SO_RCVLOWAT bytes or has ended (*ended), a stop is asked, or time is over. */
static front_event wait_on(int fd, int stop_fd, int64_t until, bool *ended)
{
    for (;;) {
        struct pollfd on[] = {{.fd = fd, .events = POLLIN | POLLRDHUP}, {.fd = stop_fd, .events = POLLIN}};
        const int64_t left = until - now_ms();
        const int n = poll(on, 2, left > 0 ? (int)left : 0);
        if (n == 0) return FRONT_TIMEOUT;
        if (n < 0 && errno == EINTR) continue;
        if (n > 0 && on[1].revents) return FRONT_STOP;
        *ended = n < 0 || (on[0].revents & (POLLRDHUP | POLLHUP | POLLERR));
        return FRONT_READY;
    }
}

static void set_low_mark(int fd, size_t bytes)
{
    const int low = (int)bytes;
    setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof low);
}

/* The next `want` bytes into `to`, left unread in the socket; fewer when the event is not FRONT_READY. */
static front_event peek(int fd, int stop_fd, unsigned char *to, size_t want, int64_t until, size_t *got)
{
    front_event event = FRONT_READY;
    const struct timespec moment = {.tv_nsec = 1000000};
    bool ended = false, waited = false;
    *got = 0;
    for (;;) {
        const ssize_t n = recv(fd, to, want, MSG_PEEK | MSG_DONTWAIT);
        if (n > 0) *got = (size_t)n;
        if (*got >= want) break;
        if (n == 0 || ended || (n < 0 && errno != EAGAIN && errno != EINTR)) event = FRONT_CLOSED;
        if (event == FRONT_READY) {
            set_low_mark(fd, want);
            if (waited) nanosleep(&moment, NULL); /* where the kernel caps the mark, poll returns too early */
            waited = true;
            event = wait_on(fd, stop_fd, until, &ended);
            if (event == FRONT_READY && now_ms() >= until) event = FRONT_TIMEOUT; /* poll may always be early */
        }
        if (event != FRONT_READY) break;
    }
    set_low_mark(fd, 1);
    return event;
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

front_event front_next_pdu(int fd, int stop_fd, int timeout_ms, unsigned char *scratch, size_t pdu_max)
{
    enum { P_DATA = 4, RELEASE_RQ = 5, RELEASE_RP = 6, ABORT = 7, PDV_LENGTH = 4 };
    size_t got = 0, want = HEADER + PDV_LENGTH; /* the shortest PDU is as long */
    front_event event = peek(fd, stop_fd, scratch, want, now_ms() + timeout_ms, &got);
    if (event != FRONT_READY) return event;
    const unsigned type = scratch[0];
    const size_t length = be32(scratch + 2);
    if (type < P_DATA || type > ABORT || length > pdu_max) return FRONT_GARBAGE;
    if (type != P_DATA) return length == 4 ? FRONT_READY : FRONT_GARBAGE;
    if (length >= 6 && be32(scratch + HEADER) == length - PDV_LENGTH)
        return FRONT_READY; /* one PDV, as nearly always */
    want = HEADER + length; /* several: all of it must be looked at */
    event = peek(fd, -1, scratch, want, now_ms() + timeout_ms, &got);
    if (event != FRONT_READY) return event;
    return pdvs_add_up(scratch + HEADER, length) ? FRONT_READY : FRONT_GARBAGE;
}

void front_farewell(int fd, const unsigned char word[10])
{
    unsigned char rest[4096];
    const int64_t until = now_ms() + FAREWELL_MS;
    if (send(fd, word, 10, MSG_NOSIGNAL | MSG_DONTWAIT) != 10) return;
    shutdown(fd, SHUT_WR);
    for (size_t seen = 0; seen < FAREWELL_BYTES && now_ms() < until;) {
        bool ended = false;
        if (wait_on(fd, -1, until, &ended) != FRONT_READY) break;
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

void front_judge(int fd, int stop_fd, const char *host, const cot_scp_options *options, char calling[17], bool *pass)
{
    static const association_reject invalid = {0, 2, 6}, unexpected = {0, 2, 2};
    const int64_t until = now_ms() + (int64_t)options->acse_timeout_s * 1000;
    unsigned char *pdu = malloc(PDU_MAX);
    const char *reason = "malformed";
    char called[17] = "";
    size_t got = 0;
    cot_error err = COT_ERROR_INIT;
    association_reject why = {0};
    *pass = false;
    calling[0] = 0;
    if (!pdu) {
        log_refusal(host, "memory", "", "", "out of memory");
        return;
    }
    front_event event = peek(fd, stop_fd, pdu, HEADER, until, &got);
    if (got == 0) {
        log_refusal(host, name_of(event), "", "", "no byte was sent");
        goto done;
    }
    const size_t length = got < HEADER ? 0 : be32(pdu + 2);
    const bool is_request = got == HEADER && pdu[0] == 1 && length <= PDU_MAX - HEADER;
    if (is_request) event = peek(fd, stop_fd, pdu, HEADER + length, until, &got);
    if (is_request && event != FRONT_READY) {
        log_refusal(host, name_of(event), "", "", "the association request is not complete");
        answer(fd, unexpected);
        goto done;
    }
    if (aarq_check(pdu, got, calling, called, &why, &err) != COT_OK) {
        log_refusal(host, pdu[0] == 1 ? reason : "not-dicom", calling, called, err.text);
        answer(fd, why.result ? why : pdu[0] == 1 ? invalid : unexpected);
    } else if (!welcome(calling, called, host, options, &why, &reason)) {
        log_refusal(host, reason, calling, called, "see listen and accept in the configuration");
        answer(fd, why);
    } else
        *pass = true;
done:
    free(pdu);
}
