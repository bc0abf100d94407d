/* Loopback connections for tests of receiver and sender: sockets on port 0, PDUs as raw bytes, small images.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_TESTS_LOOPBACK_H
#define COT_TESTS_LOOPBACK_H
#include "dicom/dicom.h"
#include "tests/dicom_maker.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static inline int listen_anywhere(unsigned *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t size = sizeof at;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, 8) ||
        getsockname(fd, (struct sockaddr *)&at, &size))
        abort();
    *port = ntohs(at.sin_port);
    return fd;
}
static inline int connect_to(unsigned port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at)) abort();
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return fd;
}
static inline void send_all(int fd, const void *data, size_t n)
{
    const char *from = data;
    for (ssize_t sent; n > 0 && (sent = send(fd, from, n, MSG_NOSIGNAL)) > 0; n -= (size_t)sent) from += sent;
}
/* Up to n bytes, fewer when the peer closes or is silent for 20 s. */
static inline size_t receive(int fd, void *to, size_t n)
{
    size_t got = 0;
    while (got < n) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, 20000) <= 0) break;
        const ssize_t r = recv(fd, (char *)to + got, n - got, 0);
        if (r <= 0) break;
        got += (size_t)r;
    }
    return got;
}
/* A whole PDU; its type, or 0 when the connection ended. */
static inline int receive_pdu(int fd, unsigned char *body, size_t room, size_t *size)
{
    unsigned char head[6];
    if (receive(fd, head, 6) != 6) return 0;
    *size = (size_t)head[2] << 24 | (size_t)head[3] << 16 | (size_t)head[4] << 8 | head[5];
    if (*size > room || receive(fd, body, *size) != *size) return 0;
    return head[0];
}

/* One PDV in one P-DATA-TF PDU. */
static inline void send_pdv(int fd, unsigned context, unsigned flags, const void *data, size_t n)
{
    maker m = {.big = true};
    put_number(&m, 0x0400, 2);
    put_number(&m, n + 6, 4);
    put_number(&m, n + 2, 4);
    put_number(&m, context, 1);
    put_number(&m, flags, 1);
    put_bytes(&m, data, n);
    send_all(fd, m.at, m.n);
    maker_free(&m);
}
static inline void send_store_command(int fd, unsigned context, const char *sop_class, const char *instance)
{
    maker m = {.implicit = true};
    put_text(&m, 0, 0x0002, "UI", sop_class);
    put_us(&m, 0, 0x0100, 1);
    put_us(&m, 0, 0x0110, 7);
    put_us(&m, 0, 0x0700, 0);
    put_us(&m, 0, 0x0800, 1);
    put_text(&m, 0, 0x1000, "UI", instance);
    send_pdv(fd, context, 3, m.at, m.n);
    maker_free(&m);
}
/* Opens an association as SENDER with NODE, CR in context 3; -1 when it is not accepted. */
static inline int associate_with(unsigned port)
{
    unsigned char body[70000];
    size_t size = 0;
    maker m;
    const int fd = connect_to(port);
    put_request(&m, "NODE", "SENDER");
    send_all(fd, m.at, m.n);
    maker_free(&m);
    if (receive_pdu(fd, body, sizeof body, &size) == 2) return fd;
    close(fd);
    return -1;
}
/* Status and Error Comment of the C-STORE response; 0xffff when none comes. */
static inline unsigned store_status(int fd, char comment[65])
{
    unsigned char b[70000];
    size_t n = 0;
    unsigned status = 0xffff;
    comment[0] = 0;
    if (receive_pdu(fd, b, sizeof b, &n) != 4) return status;
    for (size_t at = 6; at + 8 <= n;) {
        const size_t size = (size_t)b[at + 4] | (size_t)b[at + 5] << 8;
        const unsigned element = (unsigned)b[at + 2] | (unsigned)b[at + 3] << 8;
        if (element == 0x0900) status = (unsigned)b[at + 8] | (unsigned)b[at + 9] << 8;
        if (element == 0x0902 && size <= 64) snprintf(comment, 65, "%.*s", (int)size, (const char *)b + at + 8);
        at += 8 + size;
    }
    return status;
}
/* Writes a CR image of 16 columns into a folder. */
static inline void make_image(const char *folder, char path[128], const char *name, const char *instance, unsigned rows)
{
    maker m = {0};
    snprintf(path, 128, "%s/%s", folder, name);
    put_image(&m, CR_CLASS, instance, EXPLICIT, rows, 16);
    if (!maker_write(&m, path)) abort();
    maker_free(&m);
}
static inline cot_scu_peer peer_of(unsigned port)
{
    return (cot_scu_peer){
        .host = "127.0.0.1", .port = port, .called_ae = "NODE", .calling_ae = "SENDER", .timeout_s = 10, .pdu = 65536};
}
/* Removes a flat folder. */
static inline void folder_clean(const char *folder)
{
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[1400];
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        unlink(path);
    }
    if (d) closedir(d);
    rmdir(folder);
}
#endif
