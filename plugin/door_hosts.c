/* Where the door listens and whom it knows. Hosts are compared as numbers, never as text.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/door.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG 256

static cot_status bind_one(int *fd, const struct addrinfo *at, const char *shown, cot_error *err)
{
    const int yes = 1, no = 0;
    const int s = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s < 0) return cot_fail(err, COT_E_NETWORK, "listen on %s: socket: %s", shown, strerror(errno));
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (at->ai_family == AF_INET6) setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    if (bind(s, at->ai_addr, at->ai_addrlen) == 0 && listen(s, BACKLOG) == 0) {
        *fd = s;
        return COT_OK;
    }
    const int why = errno;
    close(s);
    const char *remedy = why == EADDRINUSE
                             ? ". Another program has this port: stop it or choose another port in <listen>"
                         : why == EACCES        ? ". Ports below 1024 need CAP_NET_BIND_SERVICE"
                         : why == EADDRNOTAVAIL ? ". This address is not one of this machine: correct bind in <listen>"
                                                : "";
    return cot_fail(err, COT_E_NETWORK, "listen on %s: %s%s", shown, strerror(why), remedy);
}

cot_status door_listen(int *fd, const cot_config *config, cot_error *err)
{
    cot_status status = COT_E_NETWORK;
    const bool any = !config->bind[0] || !strcmp(config->bind, "*");
    char port[16], shown[96];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV},
                    *found = NULL;
    *fd = -1;
    snprintf(port, sizeof port, "%u", config->port);
    snprintf(shown, sizeof shown, "%s port %u", any ? "all interfaces" : config->bind, config->port);
    const int bad = getaddrinfo(any                                 ? "::"
                                : strcmp(config->bind, "localhost") ? config->bind
                                                                    : "127.0.0.1",
                                port, &hints, &found);
    if (bad)
        return cot_fail(err, COT_E_CONFIG, "listen on %s: %s. bind in <listen> takes a numeric address", shown,
                        gai_strerror(bad));
    status = bind_one(fd, found, shown, err);
    freeaddrinfo(found);
    if (status != COT_OK && any) { /* a machine without IPv6 */
        cot_error again = COT_ERROR_INIT;
        if (getaddrinfo("0.0.0.0", port, &hints, &found) != 0) return status;
        if (bind_one(fd, found, shown, &again) == COT_OK) status = COT_OK;
        freeaddrinfo(found);
    }
    return status;
}

unsigned door_port(int fd)
{
    struct sockaddr_storage at = {0};
    socklen_t size = sizeof at;
    if (getsockname(fd, (struct sockaddr *)&at, &size) != 0) return 0;
    return ntohs(at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port
                                          : ((struct sockaddr_in *)&at)->sin_port);
}

/* ---- addresses as 16 bytes, IPv4 as ::ffff:a.b.c.d ---- */
static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

static bool read_address(unsigned char out[16], const char *text)
{
    if (inet_pton(AF_INET6, text, out) == 1) return true;
    memcpy(out, mapped, sizeof mapped);
    return inet_pton(AF_INET, text, out + 12) == 1;
}

void door_host_text(char host[64], const struct sockaddr_storage *address)
{
    const void *bytes = &((const struct sockaddr_in *)address)->sin_addr;
    int family = address->ss_family;
    if (family == AF_INET6) {
        bytes = &((const struct sockaddr_in6 *)address)->sin6_addr;
        if (!memcmp(bytes, mapped, sizeof mapped)) {
            bytes = (const unsigned char *)bytes + sizeof mapped;
            family = AF_INET;
        }
    }
    if (!inet_ntop(family, bytes, host, 64)) snprintf(host, 64, "?");
}

static bool same_bits(const unsigned char *a, const unsigned char *b, unsigned bits)
{
    if (memcmp(a, b, bits / 8) != 0) return false;
    return bits % 8 == 0 || ((a[bits / 8] ^ b[bits / 8]) & (0xff00 >> bits % 8)) == 0;
}

static bool host_matches(const char *rule, const char *host)
{
    unsigned char want[16], have[16];
    char block[64];
    if (!strcmp(rule, "*")) return true;
    if (!strcmp(rule, "localhost")) return host_matches("127.0.0.0/8", host) || host_matches("::1", host);
    const char *slash = strchr(rule, '/');
    const size_t n = slash ? (size_t)(slash - rule) : strlen(rule);
    if (n >= sizeof block || !read_address(have, host)) return false;
    memcpy(block, rule, n);
    block[n] = 0;
    if (!read_address(want, block)) return false;
    unsigned long bits = 128;
    if (slash) {
        char *end;
        const unsigned long most = strchr(block, ':') ? 128 : 32;
        bits = strtoul(slash + 1, &end, 10);
        if (end == slash + 1 || *end || bits > most) return false;
        bits += 128 - most;
    }
    return same_bits(want, have, (unsigned)bits);
}

bool door_admits_host(const cot_config *config, const char *host)
{
    for (size_t i = 0; i < config->n_accept; i++)
        if (host_matches(config->accept[i].host, host)) return true;
    return false;
}

bool door_admits(const cot_config *config, const char *ae, const char *host)
{
    for (size_t i = 0; i < config->n_accept; i++) {
        const cot_config_accept *a = &config->accept[i];
        if ((!strcmp(a->ae, "*") || !strcmp(a->ae, ae)) && host_matches(a->host, host)) return true;
    }
    return false;
}

/* ---- how often one host may come ---- */
bool door_bucket_take(door_bucket *buckets, size_t n, const char *host, int64_t now_ms, double per_second, double burst)
{
    door_bucket *b = NULL, *oldest = buckets;
    for (size_t i = 0; i < n && !b; i++) {
        if (!strcmp(buckets[i].host, host)) b = &buckets[i];
        if (buckets[i].at_ms < oldest->at_ms) oldest = &buckets[i];
    }
    if (!b) {
        b = oldest;
        snprintf(b->host, sizeof b->host, "%s", host);
        b->tokens = burst;
        b->at_ms = now_ms;
    }
    b->tokens += (double)(now_ms - b->at_ms) * per_second / 1000;
    if (b->tokens > burst) b->tokens = burst;
    b->at_ms = now_ms;
    if (b->tokens < 1) return false;
    b->tokens -= 1;
    return true;
}
