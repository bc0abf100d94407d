/* Opening and closing what a worker needs, in the one order that works, and the self-check (worker.h).
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static cot_gemm_choice gemm_choice(const char *name)
{
    return !strcmp(name, "tile") ? COT_GEMM_TILE : !strcmp(name, "clblast") ? COT_GEMM_CLBLAST : COT_GEMM_AUTO;
}

static void say_progress(void *ctx, const char *what, unsigned done, unsigned all)
{
    (void)ctx;
    cot_log(COT_DEBUG, "device.build", NULL, "what=\"%s\" done=%u all=%u", what, done, all);
}

static cot_status open_device(worker *w, cot_error *err)
{
    char cache[1100];
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    if (w->config->cache[0])
        snprintf(cache, sizeof cache, "%s", w->config->cache);
    else
        snprintf(cache, sizeof cache, "%s/cache", w->config->store);
    if (w->store) mkdir(cache, 0700); /* else only a check, which leaves no folders behind */
    if (access(cache, W_OK) != 0 && w->store)
        cot_log(COT_WARN, "device.cache", NULL, "folder=%s reason=\"%s\"", cache, strerror(errno));
    options.match = w->config->device;
    options.cache_dir = access(cache, F_OK) == 0 ? cache : NULL;
    options.gemm = gemm_choice(w->config->gemm);
    options.progress = say_progress;
    const cot_status status = device_choose(&w->choice, &options, cot_device_check, err);
    w->device = w->choice.device;
    return status;
}

static void fill_reader(worker *w)
{
    const cot_device_info *about = cot_device_about(w->device);
    w->reader = *cot_package_reader_of(w->package, w->readers);
    if (!w->reader.device[0])
        snprintf(w->reader.device, sizeof w->reader.device, "%.60s / %.64s", about->platform, about->name);
    if (!w->reader.program[0]) snprintf(w->reader.program, sizeof w->reader.program, "%s %s", COT_PROGRAM, COT_VERSION);
}

/* A drawn picture must give a chain of the schema's length: kernels build, weights fit, the device answers. */
static cot_status self_check(worker *w, cot_error *err)
{
    enum { SIDE = 96 };
    static float grey[SIDE * SIDE];
    for (size_t i = 0; i < SIDE * SIDE; i++) grey[i] = (float)(i % SIDE) / SIDE;
    const cot_picture picture = {grey, SIDE, SIDE, COT_ORIENTATION_ASSUMED};
    cot_chain *chain = NULL;
    cot_status status = cot_model_read(w->model, &chain, &picture, 1, err);
    if (status == COT_OK && (chain->n_steps != w->steps->n_steps || chain->state == COT_CHAIN_REFUSED))
        status = cot_fail(err, COT_E_MODEL, "self-check: the model answers %zu of %zu steps", chain->n_steps,
                          w->steps->n_steps);
    cot_chain_destroy(chain);
    return status;
}

cot_status readers_of(cot_readers *out, const cot_package *package, const cot_config *config, cot_error *err)
{
    if (!cot_readers_named(out, config->reader))
        return cot_fail(err, COT_E_CONFIG, "reader=\"%s\": say student, teacher or both", config->reader);
    return cot_package_offers(package, *out, err);
}

static cot_status open_package(worker *w, cot_error *err)
{
    cot_status status;
    COT_TRY(cot_steps_load(&w->steps, w->config->steps[0] ? w->config->steps : NULL, err));
    COT_TRY(cot_package_open(&w->package, w->config->package[0] ? w->config->package : NULL, w->steps, err));
    COT_TRY(readers_of(&w->readers, w->package, w->config, err));
done:
    return status;
}

static cot_status open_model(worker *w, cot_error *err)
{
    cot_status status;
    COT_TRY(open_device(w, err));
    COT_TRY(cot_model_create_for(&w->model, w->device, w->package, w->steps, w->readers, w->batch, err));
    COT_TRY(cot_model_explain(w->model, true, false, err));
    fill_reader(w);
    COT_TRY(self_check(w, err));
done:
    return status;
}

static void prepare(worker *w, const cot_config *config, const char *owner)
{
    memset(w, 0, sizeof *w);
    w->config = config;
    w->owner = owner;
    w->batch = config->batch ? config->batch : 1;
}

cot_status worker_open_reader(worker *w, const cot_config *config, cot_error *err)
{
    cot_status status;
    prepare(w, config, "check");
    COT_TRY(open_package(w, err));
    COT_TRY(open_model(w, err));
done:
    return status;
}

static cot_status open_arrays(worker *w, cot_error *err)
{
    w->jobs = calloc(w->batch, sizeof *w->jobs);
    w->decoded = calloc(w->batch, sizeof *w->decoded);
    w->chains = calloc(w->batch, sizeof *w->chains);
    if (!w->jobs || !w->decoded || !w->chains)
        return cot_fail(err, COT_E_MEMORY, "worker: no memory for batches of %zu", w->batch);
    worker_choose_forms(w);
    return COT_OK;
}

static cot_status open_sandbox(worker *w, cot_error *err)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const size_t most = cores > 0 ? (size_t)cores : 1;
    w->parallel = w->batch < most ? w->batch : most;
    const cot_sandbox_limits limits = {w->config->decode_timeout_s, w->config->decode_memory_mib,
                                       (unsigned)w->parallel};
    return cot_sandbox_create(&w->sandbox, &limits, w->steps, err);
}

cot_status worker_open(worker *w, const cot_config *config, const char *owner, cot_error *err)
{
    cot_status status;
    prepare(w, config, owner);
    COT_TRY(open_package(w, err));
    COT_TRY(open_arrays(w, err));
    COT_TRY(open_sandbox(w, err));
    COT_TRY(cot_store_open(&w->store, config->store, err));
    COT_TRY(open_model(w, err));
done:
    return status;
}

void worker_close(worker *w)
{
    cot_model_destroy(w->model);
    cot_device_close(w->device);
    cot_store_close(w->store);
    cot_sandbox_destroy(w->sandbox);
    cot_package_close(w->package);
    cot_steps_destroy(w->steps);
    free(w->jobs);
    free(w->decoded);
    free(w->chains);
}
