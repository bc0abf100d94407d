/* A node's store and configuration in a folder of their own, images put in as the door would, and a process for each test:
 * for the tests of the worker. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_TESTS_WORKER_WORLD_H
#define COT_TESTS_WORKER_WORLD_H
#include "plugin/sandbox_parts.h"
#include "plugin/worker.h"
#include "tests/check.h"
#include "tests/cr_file.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64];
static cot_error err;
static cot_config_destination destinations[2];

/* A process that has opened a device must not fork, and opening a worker forks its sandbox: every test gets a process. */
static inline void alone(void (*test)(void))
{
    int wait_status = -1;
    fflush(NULL);
    const pid_t pid = fork();
    if (pid == 0) {
        check_failures = check_count = 0;
        test();
        fflush(NULL);
        _exit(check_failures || !check_count);
    }
    CHECK(waitpid(pid, &wait_status, 0) == pid);
    CHECK_NUMBER(wait_status, 0);
}

static inline cot_config config_named(const char *name)
{
    cot_config c;
    memset(&c, 0, sizeof c);
    snprintf(c.store, sizeof c.store, "%s/%s", folder, name);
    snprintf(c.cache, sizeof c.cache, "%s/cache", folder);
    snprintf(c.manufacturer, sizeof c.manufacturer, "step-cot");
    snprintf(c.station, sizeof c.station, "TEST");
    snprintf(c.gemm, sizeof c.gemm, "tile");
    c.title = (cot_code){"18748-4", "LN", "Diagnostic Imaging Report"};
    c.series_number = 9701;
    c.batch = 4;
    c.decode_timeout_s = 30;
    c.decode_memory_mib = 1024;
    c.n_destinations = 2;
    c.destinations = destinations;
    snprintf(destinations[0].name, sizeof destinations[0].name, "READINGS");
    snprintf(destinations[1].name, sizeof destinations[1].name, "EVERYTHING");
    destinations[1].refusals = true;
    return c;
}

/* As the door would: place, write, guard, receive. */
static inline void receive(const cot_config *config, const cr_options *cr, char job[COT_JOB_ID])
{
    cot_store *store = NULL;
    cot_dicom_head head;
    const cot_guard_limits limits = COT_GUARD_LIMITS_INIT;
    char path[1200];
    bool duplicate;
    CHECK_OK(cot_store_open(&store, config->store, &err));
    CHECK_OK(cot_store_place(store, 0, path, sizeof path, &err));
    CHECK(cr_write(path, cr) == 0);
    CHECK_OK(cot_dicom_guard(&head, path, &limits, &err));
    const cot_received object = {path, &head, "TEST", "127.0.0.1"};
    CHECK_OK(cot_store_receive(store, &object, job, &duplicate, &err));
    CHECK(!duplicate);
    cot_store_close(store);
}

typedef struct seen {
    cot_job job;
    size_t deliveries;
    char *json;
    const char *want;
} seen;

static inline bool look(void *ctx, const cot_job *job, const cot_delivery *deliveries, size_t n)
{
    seen *s = ctx;
    (void)deliveries;
    if (strcmp(job->id, s->want)) return true;
    s->deliveries = n;
    return false;
}

static inline seen look_at(const cot_config *config, const char *job)
{
    cot_store *store = NULL;
    seen s = {.want = job};
    CHECK_OK(cot_store_open(&store, config->store, &err));
    CHECK_OK(cot_store_job(store, job, &s.job, &s.json, &err));
    CHECK_OK(cot_store_each(store, NULL, look, &s, &err));
    cot_store_close(store);
    return s;
}

static inline void check_job(const cot_config *config, const char *job, cot_job_state state, const char *reason)
{
    seen s = look_at(config, job);
    CHECK_NUMBER(s.job.state, state);
    if (reason[0])
        CHECK_HAS(s.job.reason, reason);
    else
        CHECK_TEXT(s.job.reason, "");
    free(s.json);
}

__attribute__((constructor(101))) static void prepare(void)
{
    snprintf(folder, sizeof folder, "/tmp/cot-worker-XXXXXX");
    if (!mkdtemp(folder)) abort();
    cot_dicom_init();
}
static pid_t owner;
__attribute__((constructor)) static void remember(void)
{
    owner = getpid();
}
__attribute__((destructor)) static void clean(void)
{
    char command[128];
    if (getpid() != owner) return;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command) != 0) fprintf(stderr, "%s stays\n", folder);
}
#endif
