/* stepcot queue: what the node has in hand, and what people can do about it. Lists show job ids, states and causes, no
 * identity of an image; only `show` names UIDs.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/cli.h"
#include "plugin/serve.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SHORT_ID 12 /* characters shown in the table; 48 random bits tell jobs apart */

static const char help[] =
    "Usage: stepcot queue list [--state STATE] [--json]   what is in the store, oldest first\n"
    "       stepcot queue show ID [--json]                one job: times, causes, deliveries, the reading\n"
    "       stepcot queue retry ID | --all                failed -> received, dead -> waiting;\n"
    "                                                 reported, its report file gone -> received\n"
    "       stepcot queue redo ID | --all                 read again by the model now configured, and send the new "
    "reports,\n"
    "                                                 which name the former; --all: every image that is still here\n"
    "       stepcot queue drop ID | --all                 never read or send it: received, failed, waiting, dead -> "
    "dropped\n"
    "Each with --config FILE or --store DIR; neither: the embedded configuration.\n\n"
    "A job is one received image, or a study that gets one report (per=\"study\"):\n"
    "                                  received -> reading -> reported, or failed (parked with its reason).\n"
    "A delivery is its report to one destination: waiting -> sending -> delivered, or dead (given up, can be "
    "retried).\n"
    "ID may be any unique beginning of a job's id. --all means every failed job and every dead delivery, nothing "
    "else.\n"
    "STATE is any of the words above, or dropped. The node may run meanwhile.\n\n"
    "Examples:\n"
    "  stepcot queue list --state dead --config stepcot.xml\n"
    "  stepcot queue retry --all --config stepcot.xml\n\n"
    "Exit codes: 0 done, 1 no such job or nothing to move, 2 wrong usage, 3 configuration, 5 store.\n";

/* ---- words and times ---- */
static void show_time(char out[32], int64_t us)
{
    const time_t seconds = (time_t)(us / 1000000);
    struct tm utc;
    if (!gmtime_r(&seconds, &utc) || strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0) snprintf(out, 32, "?");
}

static void show_span(char out[16], int64_t us)
{
    static const struct {
        int64_t seconds;
        char unit;
    } units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    const int64_t s = us > 0 ? us / 1000000 : 0;
    for (size_t i = 0; i < 4; i++)
        if (s >= 2 * units[i].seconds || i == 3) {
            snprintf(out, 16, "%lld%c", (long long)(s / units[i].seconds), units[i].unit);
            return;
        }
}

/* ---- JSON ---- */
static void add_time(cJSON *object, const char *name, int64_t us)
{
    char text[32];
    show_time(text, us);
    cJSON_AddStringToObject(object, name, text);
}

static void add_text(cJSON *object, const char *name, const char *text)
{
    char clean[1024];
    if (text[0]) cJSON_AddStringToObject(object, name, cli_shown(clean, sizeof clean, text));
}

static cJSON *delivery_json(const cot_delivery *d)
{
    char status[16];
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "destination", d->destination);
    cJSON_AddStringToObject(o, "report", d->kind);
    cJSON_AddStringToObject(o, "state", cot_delivery_state_name(d->state));
    cJSON_AddNumberToObject(o, "attempts", d->attempts);
    add_time(o, "made", d->first_us);
    add_time(o, "changed", d->changed_us);
    if (d->state == COT_DELIVERY_WAITING) add_time(o, "next", d->next_us);
    snprintf(status, sizeof status, "0x%04X", d->dimse);
    if (d->attempts) cJSON_AddStringToObject(o, "status", status);
    add_text(o, "owner", d->owner);
    add_text(o, "text", d->text);
    return o;
}

static cJSON *job_json(const cot_job *job, const cot_delivery *deliveries, size_t n)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "id", job->id);
    cJSON_AddStringToObject(o, "state", cot_job_state_name(job->state));
    add_time(o, "received", job->received_us);
    add_time(o, "changed", job->changed_us);
    cJSON_AddNumberToObject(o, "attempts", job->attempts);
    add_text(o, "owner", job->owner);
    if (job->images) cJSON_AddNumberToObject(o, "images", (double)job->images);
    if (job->turn) cJSON_AddNumberToObject(o, "read_again", job->turn);
    add_text(o, "predecessor", job->predecessor);
    add_text(o, "reason", job->reason);
    cJSON *list = cJSON_AddArrayToObject(o, "deliveries");
    for (size_t i = 0; i < n; i++) cJSON_AddItemToArray(list, delivery_json(&deliveries[i]));
    return o;
}

static bool print_json(const cJSON *o, bool pretty)
{
    char *text = pretty ? cJSON_Print(o) : cJSON_PrintUnformatted(o);
    if (text) fputs(text, stdout);
    cJSON_free(text);
    return text != NULL;
}

/* ---- list ---- */
typedef struct listing {
    bool json, failed;
    size_t n;
    int64_t now_us;
} listing;

static bool list_as_json(listing *l, const cot_job *job, const cot_delivery *deliveries, size_t n)
{
    cJSON *o = job_json(job, deliveries, n);
    fputs(l->n++ ? ",\n" : "[\n", stdout);
    l->failed = !print_json(o, false);
    cJSON_Delete(o);
    return !l->failed;
}

/* What last happened to it, the trouble first. */
static const char *last_text(const cot_job *job, const cot_delivery *deliveries, size_t n)
{
    if (job->state == COT_JOB_FAILED) return job->reason;
    for (size_t i = 0; i < n; i++)
        if (deliveries[i].state == COT_DELIVERY_DEAD) return deliveries[i].text;
    for (size_t i = 0; i < n; i++)
        if (deliveries[i].state == COT_DELIVERY_WAITING && deliveries[i].text[0]) return deliveries[i].text;
    return job->reason;
}

static bool list_one(void *ctx, const cot_job *job, const cot_delivery *deliveries, size_t n)
{
    listing *l = ctx;
    char age[16], sent[256] = "-", clean[1024];
    size_t at = 0;
    if (l->json) return list_as_json(l, job, deliveries, n);
    if (l->n++ == 0)
        printf("%-*s  %-8s %5s %5s  %-24s %s\n", SHORT_ID, "JOB", "STATE", "AGE", "READS", "DELIVERIES", "LAST");
    show_span(age, l->now_us - job->received_us);
    for (size_t i = 0; i < n && at < sizeof sent - 1; i++) {
        const bool reading = !strcmp(deliveries[i].kind, "reading");
        const int k = snprintf(sent + at, sizeof sent - at, "%s%s%s%s %s", i ? ", " : "", deliveries[i].destination,
                               reading ? "" : "/", reading ? "" : deliveries[i].kind,
                               cot_delivery_state_name(deliveries[i].state));
        at += k > 0 ? (size_t)k : 0;
        if (deliveries[i].attempts > 1 && at < sizeof sent)
            at += (size_t)snprintf(sent + at, sizeof sent - at, " (%u tries)", deliveries[i].attempts);
    }
    printf("%.*s  %-8s %5s %5u  %-24s %s\n", SHORT_ID, job->id, cot_job_state_name(job->state), age, job->attempts,
           sent, cli_shown(clean, sizeof clean, last_text(job, deliveries, n)));
    return true;
}

static void print_counts(const cot_store_counts *c)
{
    printf("Jobs:");
    for (int s = 0; s < COT_JOB_STATES; s++)
        printf("%s %zu %s", s ? "," : "", c->job[s], cot_job_state_name((cot_job_state)s));
    printf(". Deliveries:");
    for (int s = 0; s < COT_DELIVERY_STATES; s++)
        printf("%s %zu %s", s ? "," : "", c->delivery[s], cot_delivery_state_name((cot_delivery_state)s));
    printf(".\n");
}

static void print_stray(void *ctx, const char *destination, size_t n)
{
    char text[256];
    (void)ctx;
    serve_stray_text(text, sizeof text, destination, n);
    printf("Warning: %s.\n", text);
}

/* `config` may be NULL: then nothing is known about destinations. */
static cot_status list(cot_store *store, const cot_config *config, const char *state, bool json, cot_error *err)
{
    cot_status status;
    listing l = {.json = json, .now_us = cot_now_us()};
    cot_store_counts counts;
    COT_TRY(cot_store_each(store, state, list_one, &l, err));
    if (l.failed) return cot_fail(err, COT_E_MEMORY, "no memory for JSON");
    if (json) {
        puts(l.n ? "\n]" : "[]");
        return COT_OK;
    }
    COT_TRY(cot_store_count(store, &counts, err));
    print_counts(&counts);
    if (config) status = serve_strays(store, config, print_stray, NULL, err);
done:
    return status;
}

/* ---- show ---- */
static bool make_json(void *ctx, const cot_job *job, const cot_delivery *deliveries, size_t n)
{
    *(cJSON **)ctx = job_json(job, deliveries, n);
    return true;
}

static void add_identity(cJSON *o, const cot_job *job)
{
    add_text(o, "sop_class", job->sop_class);
    add_text(o, "sop_instance", job->sop_instance);
    add_text(o, "study", job->study);
    add_text(o, "series", job->series);
    add_text(o, "dataset_sha256", job->dataset_sha256);
    add_text(o, "calling_ae", job->calling);
    add_text(o, "host", job->host);
    add_text(o, "object", job->object);
    add_text(o, "report", job->report);
    add_text(o, "predecessor_report", job->predecessor_report);
}

/* `name: value` lines; one level of lists. */
static void print_fields(const cJSON *o, const char *indent)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, o)
    {
        const char *name = item->string ? item->string : "";
        if (cJSON_IsString(item))
            printf("%s%-18s %s\n", indent, name, item->valuestring);
        else if (cJSON_IsNumber(item))
            printf("%s%-18s %.0f\n", indent, name, item->valuedouble);
    }
}

static void print_shown(const cJSON *o)
{
    const cJSON *delivery, *reading = cJSON_GetObjectItemCaseSensitive(o, "reading");
    print_fields(o, "");
    cJSON_ArrayForEach(delivery, cJSON_GetObjectItemCaseSensitive(o, "deliveries"))
    {
        printf("delivery\n");
        print_fields(delivery, "  ");
    }
    if (!reading) return;
    printf("reading\n");
    print_json(reading, true);
    printf("\n");
}

static cot_status show(cot_store *store, const char *id, bool json, cot_error *err)
{
    cot_status status;
    cot_job job;
    char *chain = NULL;
    cJSON *o = NULL;
    COT_TRY(cot_store_job(store, id, &job, &chain, err));
    COT_TRY(cot_store_one(store, job.id, make_json, &o, err));
    if (!o) {
        status = cot_fail(err, COT_E_MEMORY, "no memory for JSON");
        goto done;
    }
    add_identity(o, &job);
    cJSON *reading = chain ? cJSON_Parse(chain) : NULL;
    if (reading) cJSON_AddItemToObject(o, "reading", reading);
    if (json)
        puts(print_json(o, true) ? "" : "null");
    else
        print_shown(o);
done:
    cJSON_Delete(o);
    free(chain);
    return status;
}

/* ---- retry, drop ---- */
static cot_status redo(cot_store *store, const char *id, cot_error *err)
{
    size_t n = 0;
    const cot_status status = cot_store_redo(store, id, &n, err);
    if (status == COT_OK) printf("%zu to be read again\n", n);
    return status;
}

static cot_status move(cot_store *store, const char *id, bool retry, cot_error *err)
{
    size_t n = 0;
    const cot_status status = retry ? cot_store_retry(store, id, &n, err) : cot_store_drop(store, id, &n, err);
    if (status == COT_OK)
        printf("%zu %s%s\n", n, retry ? "to be tried again" : "dropped",
               n ? "" : ": no job has failed, no delivery is dead");
    return status;
}

/* ---- the command ---- */
typedef struct options {
    const char *config, *store, *state;
    bool json, all;
} options;

/* Only looks where a store already is: a mistyped folder must not become an empty queue. */
static cot_status open_store(cot_store **store, cot_config **config, const options *o, cot_error *err)
{
    cot_status status = COT_OK;
    char path[1100];
    if (!o->store) COT_TRY(cot_config_load(config, o->config, err));
    const char *folder = o->store ? o->store : (*config)->store;
    snprintf(path, sizeof path, "%s/db", folder);
    if (access(path, F_OK) != 0)
        status = cot_fail(err, COT_E_IO,
                          "no store in %s (%s): name the node's --config or --store; `stepcot serve` makes it at "
                          "its first start",
                          folder, strerror(errno));
    else
        status = cot_store_open(store, folder, err);
done:
    return status;
}

static const char *misuse(const char *verb, size_t n_ids, const options *o)
{
    const bool moves = !strcmp(verb, "retry") || !strcmp(verb, "drop") || !strcmp(verb, "redo"),
               shows = !strcmp(verb, "show"), lists = !strcmp(verb, "list");
    if (!moves && !shows && !lists) return "say list, show, retry, redo or drop";
    if (o->config && o->store) return "give --config or --store, not both";
    if (o->state && !lists) return "--state belongs to list";
    if (o->all && !moves) return "--all belongs to retry, redo and drop";
    if (o->json && moves) return "--json belongs to list and show";
    if (lists && n_ids) return "list takes no ID; see show";
    if (shows && n_ids != 1) return "show takes one ID, as list shows them";
    if (moves && (n_ids != 1) == !o->all) return "retry, redo and drop take one ID, or --all";
    if (moves && n_ids && o->all) return "an ID or --all, not both";
    return NULL;
}

int cot_cmd_queue(int argc, char **argv)
{
    options o = {0};
    const char *words[16];
    const cli_option known[] = {{.name = "config", .letter = 'c', .value = "FILE", .text = &o.config},
                                {.name = "store", .value = "DIR", .text = &o.store},
                                {.name = "state", .value = "STATE", .text = &o.state},
                                {.name = "json", .flag = &o.json},
                                {.name = "all", .flag = &o.all}};
    cot_error err = COT_ERROR_INIT;
    cot_store *store = NULL;
    cot_config *config = NULL;
    size_t n;
    int code;
    if (argc > 15) return cli_usage("queue", "too many arguments");
    if (!cli_parse(argc, argv, known, sizeof known / sizeof *known, help, words, &n, &code)) return code;
    const char *verb = n ? words[0] : "", *id = n > 1 ? words[1] : NULL, *wrong = misuse(verb, n ? n - 1 : 0, &o);
    if (wrong) return cli_usage("queue", "%s", wrong);
    cot_status status = open_store(&store, &config, &o, &err);
    if (status == COT_OK) {
        if (!strcmp(verb, "list"))
            status = list(store, config, o.state, o.json, &err);
        else if (!strcmp(verb, "show"))
            status = show(store, id, o.json, &err);
        else if (!strcmp(verb, "redo"))
            status = redo(store, id, &err);
        else
            status = move(store, id, !strcmp(verb, "retry"), &err);
    }
    cot_store_close(store);
    cot_config_destroy(config);
    return status == COT_OK ? EXIT_SUCCESS : cli_failure("queue", &err);
}
