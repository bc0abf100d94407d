/* `stepcot serve --check`: tries what the node will need, without being the node, and lists what it found. Faults decide the
 * exit code; a destination that does not answer now is a warning, because the queue waits for it anyway.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/door.h"
#include "plugin/serve.h"
#include "plugin/worker.h"

#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

typedef struct checklist {
    FILE *out;
    cot_status worst; /* the first fault */
} checklist;

static void COT_PRINTF(3, 4) say(const checklist *list, const char *mark, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(list->out, "%-5s", mark);
    vfprintf(list->out, format, args);
    fputc('\n', list->out);
    va_end(args);
}

static bool fault(checklist *list, cot_status status, const char *what, const cot_error *err)
{
    if (status == COT_OK) return false;
    say(list, "FAIL", "%-14s %s", what, err->text);
    if (list->worst == COT_OK) list->worst = status;
    return true;
}

static void check_reader(checklist *list, const cot_config *config)
{
    worker w;
    cot_error err = COT_ERROR_INIT;
    const cot_status status = worker_open_reader(&w, config, &err);
    if (w.steps) say(list, "ok", "%-14s %s, %zu steps", "step schema", w.steps->id, w.steps->n_steps);
    if (w.package)
        say(list, "ok", "%-14s %s, version %s; reads: %s", "model", cot_package_reader(w.package)->name,
            cot_package_reader(w.package)->version, cot_readers_name(w.readers));
    if (w.device && w.choice.refused) say(list, "warn", "%-14s %s", "device", w.choice.why);
    if (w.device)
        say(list, "ok", "%-14s %s / %s, computes as PyTorch does", "device", cot_device_about(w.device)->platform,
            cot_device_about(w.device)->name);
    if (w.model && status == COT_OK) say(list, "ok", "%-14s one picture read, batches of %zu", "self-check", w.batch);
    fault(list, status, !w.steps ? "step schema" : !w.package ? "model" : !w.device ? "device" : "self-check", &err);
    worker_close(&w);
}

/* Whether a node has run there; if not, the check leaves it at that. */
static bool is_made(const char *store)
{
    char path[1100];
    snprintf(path, sizeof path, "%s/db", store);
    return access(path, F_OK) == 0;
}

/* The nearest folder above that exists must let us make the rest. */
static void check_new_store(checklist *list, const cot_config *config)
{
    char above[sizeof config->store];
    cot_error err = COT_ERROR_INIT;
    snprintf(above, sizeof above, "%s", config->store);
    while (access(above, F_OK) != 0 && errno == ENOENT) {
        char *slash = strrchr(above, '/');
        if (!slash) break;
        slash[slash == above] = 0;
    }
    if (access(above, W_OK | X_OK) == 0) {
        say(list, "ok", "%-14s %s: will be made at the first start", "store", config->store);
        return;
    }
    cot_fail(&err, COT_E_IO, "%s cannot be made: %s: %s", config->store, above, strerror(errno));
    fault(list, COT_E_IO, "store", &err);
}

static void say_stray(void *ctx, const char *destination, size_t n)
{
    char text[256];
    serve_stray_text(text, sizeof text, destination, n);
    say(ctx, "warn", "%-14s %s", "destinations", text);
}

/* true: another node holds the store, and so probably the port. */
static bool check_store(checklist *list, const cot_config *config)
{
    cot_error err = COT_ERROR_INIT;
    cot_store *store = NULL;
    struct statvfs fs;
    bool running = false;
    if (!is_made(config->store)) {
        check_new_store(list, config);
        return false;
    }
    if (fault(list, cot_store_open(&store, config->store, &err), "store", &err)) return false;
    const cot_status asked = serve_strays(store, config, say_stray, list, &err);
    fault(list, asked, "store", &err);
    const uint64_t free_mib = statvfs(config->store, &fs) == 0 ? (uint64_t)fs.f_bavail * fs.f_frsize >> 20 : 0;
    const cot_status status = cot_store_lock(store, &err);
    if (access(config->store, W_OK) != 0) {
        cot_fail(&err, COT_E_IO, "%s cannot be written by this user", config->store);
        fault(list, COT_E_IO, "store", &err);
    } else if (free_mib < config->watermark_mib) {
        say(list, "warn", "%-14s %s: %llu MiB free, senders are refused below %zu MiB", "store", config->store,
            (unsigned long long)free_mib, config->watermark_mib);
    } else {
        say(list, "ok", "%-14s %s, %llu MiB free", "store", config->store, (unsigned long long)free_mib);
    }
    if (status == COT_E_REFUSED) {
        running = true;
        say(list, "warn", "%-14s %s", "store", err.text);
    } else {
        fault(list, status, "store lock", &err);
    }
    cot_store_close(store);
    return running;
}

static void check_port(checklist *list, const cot_config *config, bool running)
{
    cot_error err = COT_ERROR_INIT;
    int fd = -1;
    if (running) {
        say(list, "warn", "%-14s port %u not tried, a node is running", "listen", config->port);
        return;
    }
    if (fault(list, door_listen(&fd, config, &err), "listen", &err)) return;
    say(list, "ok", "%-14s %s on %s port %u", "listen", config->ae, config->bind[0] ? config->bind : "all interfaces",
        door_port(fd));
    close(fd);
    if (!config->n_accept) say(list, "warn", "%-14s no <accept>: nobody may send", "accept");
}

static void check_destinations(checklist *list, const cot_config *config)
{
    if (!config->n_destinations) say(list, "warn", "%-14s none: reports stay in the store", "destinations");
    for (size_t i = 0; i < config->n_destinations; i++) {
        const cot_config_destination *d = &config->destinations[i];
        cot_error err = COT_ERROR_INIT;
        const cot_scu_peer peer = {.host = d->host,
                                   .port = d->port,
                                   .called_ae = d->ae,
                                   .timeout_s = d->timeout_s,
                                   .pdu = d->pdu,
                                   .calling_ae = d->calling_ae[0] ? d->calling_ae : config->ae};
        if (cot_scu_echo(&peer, &err) == COT_OK)
            say(list, "ok", "%-14s %s: %s at %s port %u answers C-ECHO", "destination", d->name, d->ae, d->host,
                d->port);
        else
            say(list, "warn", "%-14s %s: %s", "destination", d->name, err.text);
    }
}

int serve_check(const char *config_path, FILE *out)
{
    checklist list = {out, COT_OK};
    cot_error err = COT_ERROR_INIT;
    cot_config *config = NULL;
    if (fault(&list, cot_config_load(&config, config_path, &err), "configuration", &err))
        return cot_exit_code(list.worst);
    say(&list, "ok", "%-14s %s", "configuration", config->path[0] ? config->path : "built in");
    const bool running = check_store(&list, config);
    check_port(&list, config, running);
    cot_dicom_init();
    check_destinations(&list, config);
    check_reader(&list, config);
    fprintf(out, "%s\n%s\n", list.worst == COT_OK ? "The node can run." : "The node cannot run like this.",
            COT_NOT_A_DEVICE);
    cot_config_destroy(config);
    return cot_exit_code(list.worst);
}
