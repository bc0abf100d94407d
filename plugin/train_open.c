/* Opens what a training run needs (train.h). The order matters: the sandbox is forked before a device is opened.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/train.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DECODE_TIMEOUT_S = 60, DECODE_MEMORY_MIB = 2048, CORES_MOST = 16 };

/* ---- files, before the device ---- */
static cot_status open_files(train_job *j, cot_error *err)
{
    cot_status status;
    const train_request *r = j->request;
    COT_TRY(cot_steps_load(&j->steps, r->steps[0] ? r->steps : NULL, err));
    COT_TRY(cot_manifest_open(&j->manifest, r->manifest, r->images[0] ? r->images : NULL, j->steps, NULL, err));
    if (r->init[0])
        COT_TRY(cot_package_open(&j->init, strcmp(r->init, "imported") ? r->init : NULL, j->steps, err));
    else if (r->stage != COT_STAGE_ENCODER)
        status = cot_fail(err, COT_E_USAGE,
                          "--stage %s needs --init PACKAGE: the frozen encoder whose features it learns from",
                          cot_stage_name(r->stage));
done:
    return status;
}

/* ---- what the package of --init settles ---- */
cot_training train_job_training(const train_job *job)
{
    cot_training t = job->request->training;
    const model_card *card = job->init ? package_card(job->init) : NULL;
    if (!card) return t;
    t.size = (unsigned)card->size;
    t.dim = (unsigned)card->arch.dim;
    t.bilinear = card->filter == COT_FILTER_BILINEAR;
    if (card->arch.encoder == ENCODER_RESNET18) t.width = (unsigned)card->arch.width;
    if (card->arch.teacher.dim && job->request->stage != COT_STAGE_ENCODER) {
        t.teacher_dim = (unsigned)card->arch.teacher.dim;
        t.teacher_heads = (unsigned)card->arch.teacher.heads;
        t.teacher_layers = (unsigned)card->arch.teacher.layers;
    }
    return t;
}

/* An option that would change nothing is a mistake of whoever gave it. */
static cot_status refuse_other_sizes(const train_job *j, cot_error *err)
{
    const cot_training asked = j->request->training, t = train_job_training(j);
    const struct {
        const char *name;
        bool same;
    } sizes[] = {{" size ", asked.size == t.size},
                 {" width ", asked.width == t.width},
                 {" dim ", asked.dim == t.dim},
                 {" filter ", asked.bilinear == t.bilinear},
                 {" teacher-dim ", asked.teacher_dim == t.teacher_dim},
                 {" teacher-heads ", asked.teacher_heads == t.teacher_heads},
                 {" teacher-layers ", asked.teacher_layers == t.teacher_layers}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (!sizes[i].same && strstr(j->request->given, sizes[i].name))
            return cot_fail(err, COT_E_CONFIG,
                            "training: another%sthan that of the package of --init, whose weights have theirs. Leave "
                            "the option out",
                            sizes[i].name);
    return COT_OK;
}

static cot_status open_device(train_job *j, cot_error *err)
{
    cot_status status;
    char cache[1024];
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const cot_sandbox_limits limits = {DECODE_TIMEOUT_S, DECODE_MEMORY_MIB,
                                       cores > 0 && cores <= CORES_MOST ? (unsigned)cores : 1};
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    COT_TRY(cot_sandbox_create(&j->sandbox, &limits, j->steps, err));
    options.match = j->request->device;
    options.cache_dir = cli_cache_folder(cache, sizeof cache) ? cache : NULL;
    COT_TRY(cot_device_open(&j->device, &options, err));
done:
    return status;
}

/* ---- data ---- */
static train_images_order images_order(const train_job *j)
{
    const cot_training *t = &j->request->training;
    const model_card *card = j->init ? package_card(j->init) : NULL;
    const cot_filter filter = card ? card->filter : t->bilinear ? COT_FILTER_BILINEAR : COT_FILTER_BICUBIC;
    return (train_images_order){j->manifest,    card ? card->size : t->size, filter,
                                t->store_float, j->request->cache,           "train"};
}

static cot_status load_pictures(train_job *j, cot_error *err)
{
    cot_status status;
    row_key key;
    const train_images_order order = images_order(j);
    COT_TRY(train_images_load(&j->pictures, &key, j->sandbox, j->device, &order, err));
    cot_sandbox_destroy(j->sandbox); /* no file is read any more */
    j->sandbox = NULL;
    if (j->init) {
        j->mean = (double)package_card(j->init)->mean;
        j->std = (double)package_card(j->init)->std;
    } else {
        picture_set_statistics(&j->mean, &j->std, &j->pictures, j->loop.train, j->loop.n_train);
    }
done:
    return status;
}

/* ---- what must be the same after a resume ---- */
static cot_status settings_digest(char hex[65], const train_request *r, cot_error *err)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    if (!stream) return cot_fail(err, COT_E_MEMORY, "training: no memory");
    cot_status status = cot_training_print(&r->training, stream, err);
    fprintf(stream, "%s", cot_stage_name(r->stage));
    fclose(stream);
    cot_sha256_of(hex, text, size);
    free(text);
    return status;
}

static cot_status fill_identity(train_job *j, cot_error *err)
{
    run_identity *id = &j->loop.identity;
    const train_images_order order = images_order(j);
    memcpy(id->digest[RUN_MANIFEST], j->manifest->sha256, 65);
    if (j->init)
        memcpy(id->digest[RUN_START], cot_package_reader(j->init)->package_sha256, 65);
    else
        cot_sha256_of(id->digest[RUN_START], "new", 3);
    memcpy(id->digest[RUN_STEPS], j->steps->sha256, 65);
    memcpy(id->digest[RUN_IMAGES], train_images_key(&order).hex, 65);
    return settings_digest(id->digest[RUN_SETTINGS], j->request, err);
}

/* Batch normalisation has no variance of one image; only pairs can leave one over (batch_begin). */
static cot_status refuse_lone_image(const train_job *j, cot_error *err)
{
    const train_request *r = j->request;
    if (r->stage != COT_STAGE_ENCODER || r->training.stage[r->stage].batch > 2 || j->loop.n_train % 2 == 0)
        return COT_OK;
    return cot_fail(err, COT_E_CONFIG,
                    "training: batches of 2 leave one of the %zu training images by itself, which batch normalisation "
                    "cannot use. Say --batch 3 or more",
                    j->loop.n_train);
}

/* ---- all ---- */
static cot_status make_learner(train_job *j, cot_error *err)
{
    j->data = (learner_data){.n = j->manifest->n,
                             .n_steps = j->steps->n_steps,
                             .classes = j->classes,
                             .labels = j->labels,
                             .pictures = &j->pictures,
                             .mean = (float)j->mean,
                             .std = (float)j->std,
                             .features = j->features,
                             .class_weights = j->class_weights,
                             .lesions = j->lesions,
                             .findings = j->n_findings,
                             .lesion_weight = j->lesion_weight};
    for (size_t s = 0; s < j->data.n_steps; s++) j->data.n_logits += j->classes[s];
    j->loop.data = &j->data;
    if (j->request->stage != COT_STAGE_ENCODER) {
        const cot_status status = train_features_load(j, err);
        if (status != COT_OK) return status;
        j->data.features = j->features;
        return learn_joint(&j->loop.learner, j->device, &j->request->training, j->request->stage, &j->data, &j->teacher,
                           j->prompts, j->init, err);
    }
    return learn_encoder(&j->loop.learner, j->device, &j->request->training, &j->data, j->init, err);
}

cot_status train_job_open(train_job *job, const train_request *request, cot_error *err)
{
    cot_status status;
    memset(job, 0, sizeof *job);
    job->request = request;
    job->loop.training = &request->training;
    job->loop.stage = request->stage;
    job->loop.dir = request->dir;
    COT_TRY(open_files(job, err));
    COT_TRY(refuse_other_sizes(job, err));
    COT_TRY(train_lineage_check(job, err));
    COT_TRY(train_labels_prepare(job, err));
    if (request->stage == COT_STAGE_ENCODER && request->training.stage[COT_STAGE_ENCODER].places > 0)
        COT_TRY(train_places_prepare(job, err));
    COT_TRY(refuse_lone_image(job, err));
    COT_TRY(fill_identity(job, err));
    COT_TRY(open_device(job, err));
    COT_TRY(load_pictures(job, err));
    COT_TRY(make_learner(job, err));
done:
    return status;
}

void train_job_close(train_job *job)
{
    if (job->loop.learner.destroy) job->loop.learner.destroy(job->loop.learner.self);
    picture_set_fini(&job->pictures);
    cot_device_close(job->device);
    cot_sandbox_destroy(job->sandbox);
    cot_package_close(job->init);
    cot_manifest_destroy(job->manifest);
    for (size_t s = 0; job->class_weights && s < job->steps->n_steps; s++) free(job->class_weights[s]);
    cot_steps_destroy(job->steps);
    free(job->class_weights);
    free(job->features);
    free(job->prompts);
    free(job->classes);
    free(job->rows);
    free(job->labels);
    free(job->draw);
    free(job->supervised);
    free(job->findings);
    free(job->lesions);
    free(job->boxes);
    memset(job, 0, sizeof *job);
}
