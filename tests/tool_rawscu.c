/* links: config
 * A C-STORE user that sends exactly the bytes it is told to, however broken: what storescu refuses to send.
 *   tool_rawscu PORT CALLED FILE.dcm [--cut BYTES] [--nest LEVELS] [--rows-ul] [--class UID] [--instance UID] [--syntax UID]
 * Takes class, instance and syntax from FILE's meta group unless given. Prints one line: "store 0xSTATUS comment",
 * "context refused", "rejected R S D", "aborted" or "closed". Exit status 0 when the peer gave any such answer.
 * SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

typedef struct bytes {
    unsigned char *at;
    size_t n, room;
} bytes;

static void put(bytes *b, const void *data, size_t n)
{
    if (b->n + n > b->room) {
        b->room = (b->n + n) * 2;
        b->at = realloc(b->at, b->room);
        if (!b->at) exit(9);
    }
    if (n) memcpy(b->at + b->n, data, n);
    b->n += n;
}
static void put_be(bytes *b, uint64_t v, int size)
{
    for (int i = size - 1; i >= 0; i--) put(b, &(unsigned char){(unsigned char)(v >> (8 * i))}, 1);
}
static void put_le(bytes *b, uint64_t v, int size)
{
    for (int i = 0; i < size; i++) put(b, &(unsigned char){(unsigned char)(v >> (8 * i))}, 1);
}
static uint32_t be32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static uint32_t le32(const unsigned char *p)
{
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

/* ---- what to send ---- */
typedef struct request {
    char class_uid[65], instance[65], syntax[65];
    bytes data;
} request;

static void read_file(request *r, const char *path)
{
    FILE *f = fopen(path, "rb");
    bytes all = {0};
    unsigned char block[65536];
    if (!f) exit(9);
    for (size_t n; (n = fread(block, 1, sizeof block, f)) > 0;) put(&all, block, n);
    fclose(f);
    size_t at = 132, end = all.n;
    while (at + 8 <= end && all.at[at] == 2 && all.at[at + 1] == 0) { /* the meta group: explicit little endian */
        const unsigned element = (unsigned)all.at[at + 2] | (unsigned)all.at[at + 3] << 8;
        const int is_long = all.at[at + 4] == 'O' || (all.at[at + 4] == 'U' && all.at[at + 5] == 'N');
        const size_t head = is_long ? 12 : 8;
        const size_t n = is_long ? le32(all.at + at + 8) : (size_t)(all.at[at + 6] | all.at[at + 7] << 8);
        char *to = element == 2 ? r->class_uid : element == 3 ? r->instance : element == 0x10 ? r->syntax : NULL;
        if (to && !to[0] && n < 65) snprintf(to, 65, "%.*s", (int)n, (const char *)all.at + at + head);
        at += head + n;
    }
    if (at > end) exit(9);
    put(&r->data, all.at + at, end - at);
    free(all.at);
}

/* Rows (0028,0010) re-encoded as UL: the tag stays, the value grows by two bytes (explicit little endian only). */
static void rows_as_ul(request *r)
{
    static const unsigned char us[] = {0x28, 0, 0x10, 0, 'U', 'S', 2, 0}, ul[] = {0x28, 0, 0x10, 0, 'U', 'L', 4, 0};
    for (size_t i = 0; i + 10 <= r->data.n; i++) {
        if (memcmp(r->data.at + i, us, 8) != 0) continue;
        bytes out = {0};
        put(&out, r->data.at, i);
        put(&out, ul, 8);
        put(&out, r->data.at + i + 8, 2);
        put_le(&out, 0, 2);
        put(&out, r->data.at + i + 10, r->data.n - i - 10);
        free(r->data.at);
        r->data = out;
        return;
    }
    exit(9);
}

static void nest(request *r, unsigned long levels)
{
    const int implicit = strcmp(r->syntax, "1.2.840.10008.1.2") == 0;
    for (unsigned long i = 0; i < levels; i++) { /* (fffc,0001): behind everything else, undefined lengths */
        put(&r->data, "\xfc\xff\x01\x00", 4);
        if (!implicit) put(&r->data, "SQ\0\0", 4);
        put(&r->data, "\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff", 12);
    }
}

/* ---- the upper layer, PS3.8 ---- */
static void put_item(bytes *b, int type, const void *data, size_t n)
{
    put_be(b, (uint64_t)type, 1);
    put_be(b, 0, 1);
    put_be(b, n, 2);
    put(b, data, n);
}
static void send_pdu(int fd, int type, const bytes *body)
{
    bytes pdu = {0};
    put_be(&pdu, (uint64_t)type, 1);
    put_be(&pdu, 0, 1);
    put_be(&pdu, body->n, 4);
    put(&pdu, body->at, body->n);
    for (size_t at = 0; at < pdu.n;) {
        const ssize_t n = send(fd, pdu.at + at, pdu.n - at, MSG_NOSIGNAL);
        if (n <= 0) break; /* the peer has closed: its answer, if any, is still read */
        at += (size_t)n;
    }
    free(pdu.at);
}
static int read_exact(int fd, void *to, size_t n)
{
    for (size_t at = 0; at < n;) {
        const ssize_t got = recv(fd, (char *)to + at, n - at, 0);
        if (got <= 0) return 0;
        at += (size_t)got;
    }
    return 1;
}
/* Type of the next PDU, 0 when the connection ended; *body is the caller's. */
static int read_pdu(int fd, bytes *body)
{
    unsigned char head[6];
    if (!read_exact(fd, head, 6)) return 0;
    const uint32_t n = be32(head + 2);
    if (n > 1u << 20) return 0;
    body->at = realloc(body->at, n + 1u);
    body->n = body->room = n;
    return body->at && read_exact(fd, body->at, n) ? head[0] : 0;
}

static void associate(int fd, const char *called, const request *r)
{
    bytes b = {0}, context = {0}, user = {0};
    char titles[33];
    snprintf(titles, sizeof titles, "%-16.16s%-16.16s", called, "RAWSCU");
    put_be(&b, 1, 2);
    put_be(&b, 0, 2);
    put(&b, titles, 32);
    put(&b, (char[32]){0}, 32);
    put_item(&b, 0x10, "1.2.840.10008.3.1.1.1", 21);
    put(&context, "\x01\0\0\0", 4);
    put_item(&context, 0x30, r->class_uid, strlen(r->class_uid));
    put_item(&context, 0x40, r->syntax, strlen(r->syntax));
    put_item(&b, 0x20, context.at, context.n);
    put_item(&user, 0x51, "\0\0\x40\0", 4);
    put_item(&user, 0x52, "2.25.1", 6);
    put_item(&b, 0x50, user.at, user.n);
    send_pdu(fd, 1, &b);
    free(b.at);
    free(context.at);
    free(user.at);
}

static void command_element(bytes *b, unsigned element, const void *value, size_t n)
{
    put_le(b, 0, 2);
    put_le(b, element, 2);
    put_le(b, n + (n & 1), 4);
    put(b, value, n);
    if (n & 1) put_le(b, 0, 1);
}
static void send_pdv(int fd, int flags, const unsigned char *data, size_t n)
{
    bytes b = {0};
    put_be(&b, n + 2, 4);
    put_be(&b, 1, 1);
    put_be(&b, (uint64_t)flags, 1);
    put(&b, data, n);
    send_pdu(fd, 4, &b);
    free(b.at);
}
static void store(int fd, const request *r)
{
    bytes c = {0}, group = {0};
    command_element(&c, 0x0002, r->class_uid, strlen(r->class_uid));
    command_element(&c, 0x0100, "\x01\0", 2);
    command_element(&c, 0x0110, "\x01\0", 2);
    command_element(&c, 0x0700, "\0\0", 2);
    command_element(&c, 0x0800, "\x02\0", 2);
    command_element(&c, 0x1000, r->instance, strlen(r->instance));
    put_le(&group, 0, 4);
    put_le(&group, 4, 4);
    put_le(&group, c.n, 4);
    put(&group, c.at, c.n);
    send_pdv(fd, 3, group.at, group.n);
    for (size_t at = 0; at < r->data.n || at == 0; at += 16000) {
        const size_t left = r->data.n - at, n = left < 16000 ? left : 16000;
        send_pdv(fd, at + n >= r->data.n ? 2 : 0, r->data.at + at, n);
        if (r->data.n == 0) break;
    }
    free(c.at);
    free(group.at);
}

/* Status and Error Comment of a C-STORE response in one P-DATA. */
static void print_response(const bytes *b)
{
    unsigned status = 0xffff;
    char comment[65] = "";
    for (size_t at = 6; at + 8 <= b->n;) {
        const unsigned char *p = b->at + at;
        const size_t n = le32(p + 4);
        if (n > b->n - at - 8) break;
        const unsigned element = (unsigned)p[2] | (unsigned)p[3] << 8;
        if (element == 0x0900 && n == 2) status = (unsigned)p[8] | (unsigned)p[9] << 8;
        if (element == 0x0902 && n < sizeof comment)
            snprintf(comment, sizeof comment, "%.*s", (int)n, (const char *)p + 8);
        at += 8 + n;
    }
    printf("store 0x%04X %s\n", status, comment);
}

static int talk(int fd, const char *called, const request *r)
{
    bytes b = {0};
    associate(fd, called, r);
    int type = read_pdu(fd, &b);
    int accepted = 0;
    if (type == 2)
        for (size_t at = 68; at + 8 <= b.n; at += 4 + ((size_t)b.at[at + 2] << 8 | b.at[at + 3]))
            if (b.at[at] == 0x21) accepted = b.at[at + 6] == 0;
    if (type == 3 && b.n >= 4)
        printf("rejected %u %u %u\n", b.at[1], b.at[2], b.at[3]);
    else if (type == 2 && !accepted)
        printf("context refused\n");
    else if (type == 2) {
        store(fd, r);
        type = read_pdu(fd, &b);
        if (type == 4) {
            print_response(&b);
            bytes four = {0};
            put_le(&four, 0, 4);
            send_pdu(fd, 5, &four);
            free(four.at);
        }
    }
    if (type == 7) printf("aborted\n");
    if (type == 0) printf("closed\n");
    free(b.at);
    return 0;
}

int main(int argc, char **argv)
{
    request r = {0};
    if (argc < 4) return fprintf(stderr, "usage: tool_rawscu PORT CALLED FILE.dcm [options]\n"), 2;
    for (int i = 4; i + 1 < argc; i++) {
        char *to = !strcmp(argv[i], "--class")      ? r.class_uid
                   : !strcmp(argv[i], "--instance") ? r.instance
                   : !strcmp(argv[i], "--syntax")   ? r.syntax
                                                    : NULL;
        if (to) snprintf(to, 65, "%s", argv[i + 1]);
    }
    read_file(&r, argv[3]);
    for (int i = 4; i < argc; i++) {
        if (!strcmp(argv[i], "--rows-ul")) rows_as_ul(&r);
        if (!strcmp(argv[i], "--nest") && i + 1 < argc) nest(&r, strtoul(argv[i + 1], NULL, 10));
        if (!strcmp(argv[i], "--cut") && i + 1 < argc) r.data.n -= strtoul(argv[i + 1], NULL, 10) % (r.data.n + 1);
    }
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    const struct timeval patience = {.tv_sec = 60};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at) != 0) return perror("connect"), 5;
    const int rc = talk(fd, argv[2], &r);
    close(fd);
    free(r.data.at);
    return rc;
}
