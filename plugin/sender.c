/* The sender of one destination: takes due deliveries from the store, sends up to SENDER_BATCH in one association, and
 * records what the peer answered. Nothing is "delivered" before the peer said so. A destination that cannot be reached is
 * tried once per back-off, whatever waits for it. Killed at any moment, it leaves deliveries in "sending", which go back to
 * "waiting" at the next start; sent twice they are the same object, for report UIDs derive from the image.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/sender.h"
#include "plugin/process.h"
#include "plugin/serve.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define IDLE_MS      250  /* between looks at an empty queue */
#define TROUBLE_MS   5000 /* after an error of the store */
#define RECORD_TRIES 30   /* seconds to insist on recording an answer */
#define REST_AT_MOST 60000

double sender_back_off_s(double first_s, double max_s, unsigned failures, double jitter)
{
    double delay = first_s;
    for (unsigned i = 1; i < failures && delay < max_s; i++) delay *= 2;
    if (delay > max_s) delay = max_s;
    delay *= 0.8 + 0.4 * jitter;
    return delay > max_s ? max_s : delay;
}

/* splitmix64: only spreads retries of several nodes over time */
static double next_jitter(sender *s)
{
    uint64_t z = s->random += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

static double back_off(sender *s, unsigned failures)
{
    return sender_back_off_s(s->to->retry_first_s, s->to->retry_max_s, failures, next_jitter(s));
}

void sender_init(sender *s, cot_store *store, const cot_config *config, const cot_config_destination *to)
{
    memset(s, 0, sizeof *s);
    s->store = store;
    s->to = to;
    s->calling_ae = to->calling_ae[0] ? to->calling_ae : config->ae;
    s->send = cot_scu_send;
    s->now_ms = process_now_ms;
    s->started_ms = s->now_ms();
    if (getrandom(&s->random, sizeof s->random, GRND_NONBLOCK) < 0) s->random = (uint64_t)getpid();
    serve_sender_owner(s->owner, sizeof s->owner, to->name);
}

/* The status of a response that was no success, for logs. */
typedef struct status_word {
    char text[8];
} status_word;

static status_word status_of(unsigned dimse)
{
    status_word w = {"none"}; /* the peer gave no answer */
    if (dimse) snprintf(w.text, sizeof w.text, "0x%04X", dimse & 0xffff);
    return w;
}

/* ---- recording ---- */
typedef enum outcome { DELIVERED, AGAIN, DEAD } outcome;

static cot_status record_once(sender *s, const cot_delivery *d, outcome what, int64_t next_us, unsigned dimse,
                              const char *text, cot_error *err)
{
    if (what == DELIVERED) return cot_store_delivered(s->store, d->id, dimse, text, err);
    if (what == AGAIN) return cot_store_again(s->store, d->id, next_us, dimse, text, err);
    return cot_store_dead(s->store, d->id, dimse, text, err);
}

/* The peer has answered and will not be asked again: a full disk or a busy database is waited out for a while. */
static cot_status record(sender *s, const cot_delivery *d, outcome what, int64_t next_us, unsigned dimse,
                         const char *text, cot_error *err)
{
    cot_status status = record_once(s, d, what, next_us, dimse, text, err);
    for (int i = 0; i < RECORD_TRIES && (status == COT_E_IO || status == COT_E_LIMIT) && !cot_stop_asked(); i++) {
        cot_log(COT_WARN, "send.record", d->job, "destination=%s reason=\"%s\"", s->to->name, err->text);
        cot_pause(1000);
        status = record_once(s, d, what, next_us, dimse, text, err);
    }
    return status;
}

/* Has the peer had its time? After a start it gets at least one whole back-off, however long the node was switched off. */
static bool is_over(const sender *s, const cot_delivery *d)
{
    const double limit_ms = s->to->retry_hours * 3600e3, longest_ms = s->to->retry_max_s * 1e3;
    const double up_ms = (double)(s->now_ms() - s->started_ms);
    return (double)(cot_now_us() - d->first_us) / 1e3 > limit_ms &&
           up_ms > (limit_ms < longest_ms ? limit_ms : longest_ms);
}

static cot_status put_off(sender *s, const cot_delivery *d, double delay_s, unsigned dimse, const char *why,
                          cot_error *err)
{
    cot_status status;
    char text[257];
    if (is_over(s, d)) {
        snprintf(text, sizeof text, "gave up after %.1f h and %u attempts; last: %.180s",
                 (double)(cot_now_us() - d->first_us) / 3600e6, d->attempts + 1, why);
        COT_TRY(record(s, d, DEAD, 0, dimse, text, err));
        cot_log(COT_ERROR_LEVEL, "send.dead", d->job, "destination=%s status=%s reason=\"%s\"", s->to->name,
                status_of(dimse).text, text);
    } else {
        COT_TRY(record(s, d, AGAIN, cot_now_us() + (int64_t)(delay_s * 1e6), dimse, why, err));
        cot_log(COT_WARN, "send.again", d->job, "destination=%s status=%s attempt=%u next_s=%.1f reason=\"%s\"",
                s->to->name, status_of(dimse).text, d->attempts + 1, delay_s, why);
    }
done:
    return status;
}

static cot_status give_up(sender *s, const cot_delivery *d, unsigned dimse, const char *why, cot_error *err)
{
    const cot_status status = record(s, d, DEAD, 0, dimse, why, err);
    if (status == COT_OK)
        cot_log(COT_ERROR_LEVEL, "send.dead", d->job, "destination=%s status=%s reason=\"%s\"", s->to->name,
                status_of(dimse).text, why);
    return status;
}

/* "both": the peer has the reading report, or will have it; measurements are only for those that take them. A capture always
 * comes beside a report. */
static bool is_unwanted(const sender *s, const cot_delivery *d, const cot_scu_object *o)
{
    if (!o->no_context) return false;
    return !strcmp(d->kind, "capture") ||
           (!strcmp(d->kind, "measurement") && strcmp(s->to->report, "measurement") != 0);
}

/* One line a process, at the first: a peer that takes none takes none of the next thousand either. */
static cot_status drop_unwanted(sender *s, const cot_delivery *d, const char *why, cot_error *err)
{
    const bool capture = !strcmp(d->kind, "capture");
    bool *said = capture ? &s->said_capture : &s->said_measurement;
    const cot_status status = cot_store_unwanted(s->store, d->id, why, err);
    if (status != COT_OK) return status;
    cot_log(*said ? COT_DEBUG : COT_WARN, "send.unwanted", d->job, "destination=%s kind=%s reason=\"%s\" advice=\"%s\"",
            s->to->name, d->kind, why,
            capture ? "enable Secondary Capture there, or set capture=false"
                    : "enable Comprehensive 3D or Comprehensive SR there, or set report=reading");
    *said = true;
    return status;
}

/* ---- a round ---- */
typedef struct round {
    cot_delivery delivery[SENDER_BATCH]; /* [i] belongs to object[i] */
    cot_scu_object object[SENDER_BATCH];
    size_t n;
    double ms;
} round;

/* Drops from the round what has no file any more: it can never be sent. */
static cot_status load(sender *s, round *r, size_t taken, cot_error *err)
{
    cot_status status = COT_OK;
    char text[257];
    r->n = 0;
    for (size_t i = 0; i < taken; i++) {
        const cot_delivery *d = &r->delivery[i];
        if (access(d->report, F_OK) != 0 && errno == ENOENT) {
            const char *name = strrchr(d->report, '/');
            snprintf(text, sizeof text,
                     "the report file %.80s is missing from the store: `stepcot queue retry %s` reads the image again, "
                     "or send it again",
                     name ? name + 1 : d->report, d->job);
            COT_TRY(give_up(s, d, 0, text, err));
            continue;
        }
        if (r->n != i) r->delivery[r->n] = *d;
        r->n++;
    }
    for (size_t i = 0; i < r->n; i++) {
        const cot_delivery *d = &r->delivery[i];
        r->object[i] = (cot_scu_object){.path = d->report, .path_fallback = d->fallback[0] ? d->fallback : NULL};
    }
done:
    return status;
}

/* The association did not stand: everything waits for the same moment. */
static cot_status put_off_all(sender *s, const round *r, const char *why, cot_error *err)
{
    cot_status status = COT_OK;
    const double delay_s = back_off(s, ++s->failures);
    s->gate_ms = s->now_ms() + (int64_t)(delay_s * 1e3);
    for (size_t i = 0; i < r->n; i++)
        if (r->object[i].sent == COT_SENT_DEAD)
            COT_TRY(give_up(s, &r->delivery[i], r->object[i].dimse, r->object[i].text, err));
        else
            COT_TRY(put_off(s, &r->delivery[i], delay_s, r->object[i].dimse, why, err));
done:
    return status;
}

static cot_status settle_one(sender *s, const round *r, size_t i, cot_error *err)
{
    const cot_scu_object *o = &r->object[i];
    const cot_delivery *d = &r->delivery[i];
    if (is_unwanted(s, d, o)) return drop_unwanted(s, d, o->text, err);
    if (o->sent == COT_SENT_DEAD) return give_up(s, d, o->dimse, o->text, err);
    if (o->sent == COT_SENT_RETRY) return put_off(s, d, back_off(s, d->attempts + 1), o->dimse, o->text, err);
    if (o->sent != COT_SENT_DELIVERED) return COT_OK; /* not tried: stays claimed, released at the end of the round */
    const cot_status status = record(s, d, DELIVERED, 0, o->dimse, o->text, err);
    if (status == COT_OK)
        cot_log(o->dimse ? COT_WARN : COT_INFO, "send.delivered", d->job, "destination=%s status=0x%04X ms=%.0f",
                s->to->name, o->dimse, r->ms / (double)r->n);
    return status;
}

/* The association stood: each object by its own answer. When none was answered for good, the destination rests, too. */
static cot_status settle(sender *s, const round *r, cot_error *err)
{
    cot_status status = COT_OK;
    size_t answered = 0, troubled = 0, untried = 0;
    for (size_t i = 0; i < r->n; i++) {
        const cot_sent sent = r->object[i].sent;
        answered += sent == COT_SENT_DELIVERED || sent == COT_SENT_DEAD;
        troubled += sent == COT_SENT_RETRY;
        untried += sent == COT_SENT_NOT_TRIED;
    }
    s->failures = answered ? 0 : s->failures + 1;
    if (untried || (troubled && !answered))
        s->gate_ms = s->now_ms() + (int64_t)(back_off(s, s->failures ? s->failures : 1) * 1e3);
    for (size_t i = 0; i < r->n; i++) COT_TRY(settle_one(s, r, i, err));
    if (untried) COT_TRY(cot_store_release(s->store, s->owner, NULL, err));
done:
    return status;
}

cot_status sender_turn(sender *s, size_t *sent, unsigned *pause_ms, cot_error *err)
{
    cot_status status = COT_OK;
    round r = {.n = 0};
    size_t taken = 0;
    const cot_config_destination *to = s->to;
    const cot_scu_peer peer = {.host = to->host,
                               .port = to->port,
                               .called_ae = to->ae,
                               .calling_ae = s->calling_ae,
                               .timeout_s = to->timeout_s,
                               .pdu = to->pdu};
    const int64_t closed_ms = s->gate_ms - s->now_ms();
    *sent = 0;
    *pause_ms = IDLE_MS;
    if (closed_ms > 0) {
        *pause_ms = closed_ms < REST_AT_MOST ? (unsigned)closed_ms : REST_AT_MOST;
        return COT_OK;
    }
    COT_TRY(cot_store_take(s->store, s->owner, to->name, r.delivery, SENDER_BATCH, &taken, err));
    COT_TRY(load(s, &r, taken, err));
    *sent = taken;
    if (r.n == 0) goto done;
    cot_error why = COT_ERROR_INIT;
    const int64_t begin_ms = s->now_ms();
    const cot_status stood = s->send(&peer, r.object, r.n, &why);
    r.ms = (double)(s->now_ms() - begin_ms);
    status = stood == COT_OK ? settle(s, &r, err) : put_off_all(s, &r, why.text, err);
done:
    return status;
}

/* After an error nothing may stay claimed: this process holds no delivery between rounds. */
static void recover(sender *s, const cot_error *why)
{
    cot_error err = COT_ERROR_INIT;
    cot_log(COT_ERROR_LEVEL, "send.error", NULL, "destination=%s reason=\"%s\"", s->to->name, why->text);
    if (cot_store_release(s->store, s->owner, NULL, &err) != COT_OK)
        cot_log(COT_ERROR_LEVEL, "send.release", NULL, "destination=%s reason=\"%s\"", s->to->name, err.text);
    cot_pause(TROUBLE_MS);
}

cot_status cot_sender_run(const cot_config *config, const cot_config_destination *to, cot_error *err)
{
    cot_status status;
    cot_store *store = NULL;
    sender s;
    cot_stop_on_signals();
    COT_TRY(cot_store_open(&store, config->store, err));
    sender_init(&s, store, config, to);
    COT_TRY(cot_store_release(store, s.owner, NULL, err)); /* of a sender that nobody saw die */
    cot_log(COT_INFO, "send.start", NULL, "destination=%s host=%s port=%u ae=\"%s\"", to->name, to->host, to->port,
            to->ae);
    while (!cot_stop_asked()) {
        size_t sent = 0;
        unsigned pause_ms = 0;
        status = sender_turn(&s, &sent, &pause_ms, err);
        if (status == COT_E_BUG) goto done;
        if (status != COT_OK)
            recover(&s, err);
        else if (sent == 0)
            cot_pause(pause_ms);
    }
    status = cot_store_release(store, s.owner, NULL, err);
    cot_log(COT_INFO, "send.stop", NULL, "destination=%s", to->name);
done:
    cot_store_close(store);
    return status;
}
