/* The front door's look at a connection: the whole A-ASSOCIATE-RQ is peeked at within the time-out, checked, held against
 * the allow list, and either left in the socket for DCMTK or answered with A-ASSOCIATE-RJ or A-ABORT (PS3.8 9.3.4, 9.3.8)
 * from here. Nothing of a refused request reaches DCMTK. Threads: one per connection.
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

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int front_wait(int fd, int stop_fd, int timeout_ms)
{
    const int64_t until = now_ms() + timeout_ms;
    for (;;) {
        struct pollfd on[] = {{.fd = fd, .events = POLLIN}, {.fd = stop_fd, .events = POLLIN}};
        const int64_t left = until - now_ms();
        const int n = poll(on, 2, left > 0 ? (int)left : 0);
        if (n > 0 && on[1].revents) return -1;
        if (n > 0) return 1;
        if (n == 0) return 0;
        if (errno != EINTR) return 1; /* the read that follows says what is wrong */
    }
}

/* At least `want` bytes into `to`, left unread in the socket; fewer when the peer stopped there or time is over. */
static size_t peek(int fd, int stop_fd, unsigned char *to, size_t want, int64_t until, const char **why)
{
    const int low = (int)want;
    size_t got = 0;
    *why = "timeout";
    setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof low);
    for (int64_t left; got < want && (left = until - now_ms()) > 0;) {
        const int ready = front_wait(fd, stop_fd, (int)left);
        if (ready < 0) *why = "stop";
        if (ready <= 0) break;
        const ssize_t n = recv(fd, to, want, MSG_PEEK | MSG_DONTWAIT);
        if (n > 0 && (size_t)n > got) {
            got = (size_t)n; /* readable below the mark: an end may be near, or the buffer is small; ask again */
        } else if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) || (n > 0 && (size_t)n < want)) {
            *why = "closed";
            break;
        }
    }
    const int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof one);
    return got;
}

void front_farewell(int fd, const unsigned char word[10])
{
    unsigned char rest[4096];
    const int64_t until = now_ms() + FAREWELL_MS;
    if (send(fd, word, 10, MSG_NOSIGNAL | MSG_DONTWAIT) != 10) return;
    shutdown(fd, SHUT_WR);
    for (size_t seen = 0; seen < FAREWELL_BYTES && now_ms() < until;) {
        if (front_wait(fd, -1, (int)(until - now_ms())) <= 0) break;
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

void front_judge(int fd, int stop_fd, const char *host, const cot_scp_options *options, char calling[17], bool *pass)
{
    static const association_reject invalid = {0, 2, 6}, unexpected = {0, 2, 2};
    const int64_t until = now_ms() + (int64_t)options->acse_timeout_s * 1000;
    unsigned char *pdu = malloc(PDU_MAX);
    const char *reason = "malformed";
    char called[17] = "";
    cot_error err = COT_ERROR_INIT;
    association_reject why = {0};
    *pass = false;
    calling[0] = 0;
    if (!pdu) {
        log_refusal(host, "memory", "", "", "out of memory");
        return;
    }
    size_t got = peek(fd, stop_fd, pdu, HEADER, until, &reason);
    const size_t length = got < HEADER ? 0 : (size_t)pdu[2] << 24 | (size_t)pdu[3] << 16 | (size_t)pdu[4] << 8 | pdu[5];
    if (got == 0) {
        log_refusal(host, reason, "", "", "no byte was sent");
        goto done;
    }
    const bool is_request = got == HEADER && pdu[0] == 1 && length <= PDU_MAX - HEADER;
    if (is_request) got = peek(fd, stop_fd, pdu, HEADER + length, until, &reason);
    if (is_request && got < HEADER + length) {
        log_refusal(host, reason, "", "", "the association request is not complete");
        answer(fd, unexpected);
        goto done;
    }
    reason = "malformed";
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
