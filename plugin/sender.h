/* Inside plugin/: the sender's loop in pieces that can be driven one by one, with another peer and another clock in tests.
 * Threads: one at a time. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_SENDER_H
#define COT_SENDER_H
#include "plugin/node.h"

#define SENDER_BATCH                                                                                                   \
    16 /* reports per association: what a kill in the middle can make arrive twice, as the same objects */

typedef cot_status (*sender_send)(const cot_scu_peer *peer, cot_scu_object *objects, size_t n, cot_error *err);
typedef struct sender {
    cot_store *store;
    const cot_config_destination *to;
    const char *calling_ae;
    char owner[65];
    sender_send send;
    int64_t (*now_ms)(void); /* monotonic */
    int64_t started_ms;
    int64_t gate_ms;   /* no association before this */
    unsigned failures; /* associations in a row that brought nothing forward */
    uint64_t random;
    bool said_measurement, said_capture; /* the log has been told that the peer takes none of them */
} sender;

void sender_init(sender *s, cot_store *store, const cot_config *config, const cot_config_destination *to);
/* One round: takes what is due, sends it, records what the peer said. *sent = how many were tried; 0: nothing is due, or the
 * gate is closed; then *pause_ms says for how long to rest. */
cot_status sender_turn(sender *s, size_t *sent, unsigned *pause_ms, cot_error *err);
/* Seconds before attempt n+1 after n failures: first, doubled each time, at most max; `jitter` 0..1 spreads it by ±20 %. */
double sender_back_off_s(double first_s, double max_s, unsigned failures, double jitter);
#endif
