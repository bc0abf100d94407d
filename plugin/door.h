/* The front door's pieces: the accept loop (door.c), who may come in (door_hosts.c), one association (door_child.c).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_DOOR_H
#define COT_DOOR_H
#include "config/config.h"

#include <sys/socket.h>

/* Binds and listens as <listen> says; the caller closes *fd. Port 0: any; door_port tells which. */
cot_status door_listen(int *fd, const cot_config *config, cot_error *err);
unsigned door_port(int fd);
/* Numeric; an IPv4 peer of an IPv6 socket is given as IPv4. */
void door_host_text(char host[64], const struct sockaddr_storage *address);
/* Does <accept> know this host at all, and together with this title? */
bool door_admits_host(const cot_config *config, const char *host);
bool door_admits(const cot_config *config, const char *ae, const char *host);

/* New connections of one host: `burst` at once, then `per_second`. Static memory, oldest host forgotten. */
typedef struct door_bucket {
    char host[64];
    double tokens;
    int64_t at_ms;
} door_bucket;
bool door_bucket_take(door_bucket *buckets, size_t n, const char *host, int64_t now_ms, double per_second,
                      double burst);

/* Run in a child of their own, signals held; never return. */
_Noreturn void door_serve_one(const cot_config *config, int fd, const char *host);
typedef enum door_rejection { DOOR_BUSY, DOOR_STRANGER } door_rejection;
_Noreturn void door_turn_away(int fd, door_rejection why);
#endif
