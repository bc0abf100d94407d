/* Answers of a package to labelled images (evaluate.h). Pictures are read as the node reads them, through the sandbox and the
 * device's resampler, and kept as floats: what is measured is what a reading would say.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/evaluate.h"
#include "engine/calibration.h"
#include "engine/model.h"
#include "engine/prompts.h"
#include "plugin/train_images.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BATCH = 16, DECODE_TIMEOUT_S = 60, DECODE_MEMORY_MIB = 2048, CORES_MOST = 16 };

/* ---- once ---- */
typedef struct who {
    const char *patient;
    size_t at;
} who;
static int by_patient(const void *a, const void *b)
{
    return strcmp(((const who *)a)->patient, ((const who *)b)->patient);
}

static cot_status number_patients(evaluating *e, cot_error *err)
{
    const size_t n = e->manifest->n;
    who *list = calloc(n + 1, sizeof *list);
    e->patient = calloc(n + 1, sizeof *e->patient);
    if (!list || !e->patient) {
        free(list);
        return cot_fail(err, COT_E_MEMORY, "no memory for %zu images", n);
    }
    for (size_t i = 0; i < n; i++) list[i] = (who){e->manifest->cases[i].patient, i};
    qsort(list, n, sizeof *list, by_patient);
    for (size_t i = 0; i < n; i++) {
        e->patients += !i || strcmp(list[i].patient, list[i - 1].patient) != 0;
        e->patient[list[i].at] = e->patients - 1;
    }
    free(list);
    return COT_OK;
}

static cot_status keep_split(evaluating *e, cot_error *err)
{
    bool *keep = calloc(e->manifest->n + 1, sizeof *keep);
    if (!keep) return cot_fail(err, COT_E_MEMORY, "no memory for %zu images", e->manifest->n);
    for (size_t i = 0; i < e->manifest->n; i++) keep[i] = e->manifest->cases[i].split == e->split;
    cot_manifest_keep(e->manifest, keep);
    free(keep);
    if (e->manifest->n) return number_patients(e, err);
    return cot_fail(err, COT_E_INPUT, "%s: no image is in the %s split", e->manifest_path, cot_split_name(e->split));
}

cot_status evaluating_open_data(evaluating *e, cot_error *err)
{
    cot_status status;
    COT_TRY(cot_steps_load(&e->steps, e->steps_path, err));
    COT_TRY(cot_manifest_open(&e->manifest, e->manifest_path, e->images, e->steps, NULL, err));
    COT_TRY(keep_split(e, err));
done:
    return status;
}

cot_status evaluating_open(evaluating *e, cot_error *err)
{
    cot_status status;
    char cache[1024];
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const cot_sandbox_limits limits = {DECODE_TIMEOUT_S, DECODE_MEMORY_MIB,
                                       cores > 0 && cores <= CORES_MOST ? (unsigned)cores : 1};
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    COT_TRY(evaluating_open_data(e, err));
    COT_TRY(cot_sandbox_create(&e->sandbox, &limits, e->steps, err));
    options.match = e->device_match;
    options.cache_dir = cli_cache_folder(cache, sizeof cache) ? cache : NULL;
    COT_TRY(cot_device_open(&e->device, &options, err));
done:
    return status;
}

void evaluating_close(evaluating *e)
{
    cot_device_close(e->device);
    cot_sandbox_destroy(e->sandbox);
    cot_manifest_destroy(e->manifest);
    cot_steps_destroy(e->steps);
    free(e->patient);
    picture_set_fini(&e->pictures);
    e->device = NULL;
    e->sandbox = NULL;
    e->manifest = NULL;
    e->steps = NULL;
    e->patient = NULL;
}

/* ---- one package ---- */
static cot_status run_model(float *logits, cot_model *model, const model_card *card, const picture_set *pictures,
                            cot_error *err)
{
    cot_status status = COT_OK;
    const size_t pixels = pictures->size * pictures->size, count = cot_model_logit_count(model);
    float *input = calloc(BATCH * pixels, sizeof *input);
    if (!input) return cot_fail(err, COT_E_MEMORY, "no memory for a batch of pictures");
    for (size_t at = 0; at < pictures->n; at += BATCH) {
        const size_t n = pictures->n - at < BATCH ? pictures->n - at : BATCH;
        for (size_t i = 0; i < n; i++) picture_set_get(pictures, at + i, input + i * pixels);
        for (size_t i = 0; i < n * pixels; i++) input[i] = (input[i] - card->mean) / card->std;
        COT_TRY(cot_model_logits(model, logits + at * count, input, n, err));
    }
done:
    free(input);
    return status;
}

/* Random directions, each as long as the prompt it stands for; others than a package without BERT has. */
static cot_status set_random_prompts(teacher *t, const cot_package *package, cot_error *err)
{
    cot_status status;
    float *own = NULL, *drawn = NULL;
    const weight_source source = package_source(package, "");
    COT_TRY(source_floats(&own, &source, PROMPTS_NAME, (const size_t[]){t->n_steps, t->dim}, 2, err));
    COT_TRY(prompts_random(&drawn, 2 * t->n_steps, t->dim, err));
    for (size_t s = 0; s < t->n_steps; s++) {
        double squares = 0;
        for (size_t i = 0; i < t->dim; i++) squares += (double)own[s * t->dim + i] * (double)own[s * t->dim + i];
        for (size_t i = 0; i < t->dim; i++)
            own[s * t->dim + i] = (float)(sqrt(squares) * (double)drawn[(t->n_steps + s) * t->dim + i]);
    }
    COT_TRY(teacher_prompts(t, own, err));
done:
    free(own);
    free(drawn);
    return status;
}

static cot_status ablate(evaluation *out, cot_model *model, const cot_package *package, const evaluation_order *order,
                         cot_error *err)
{
    model->teacher.forgets = order->without_memory;
    if (order->without_memory)
        snprintf(out->ablation, sizeof out->ablation, "without memory: answers are not written back");
    if (!order->without_text) return COT_OK;
    snprintf(out->ablation, sizeof out->ablation, "without text: prompts are fixed random vectors of the same lengths");
    return set_random_prompts(&model->teacher, package, err);
}

static cot_status take_rows(evaluation *v, const evaluating *e, const cot_package *package,
                            const evaluation_order *order, const float *logits, cot_error *err)
{
    cot_status status = COT_OK;
    const model_card *card = package_card(package);
    const bool *taught = order->readers == COT_READ_TEACHER ? card->teacher.supervised : card->supervised;
    const float *temperature = calibration_of(card, order->readers == COT_READ_TEACHER);
    size_t count = 0, at = 0;
    for (size_t s = 0; s < v->n_steps; s++) count += card->arch.classes[s];
    for (size_t s = 0; s < v->n_steps; at += card->arch.classes[s++]) {
        score_rows *r = &v->rows[s];
        COT_TRY(score_rows_init(r, e->manifest->n, card->arch.classes[s], err));
        r->patients = e->patients;
        for (size_t c = 0; c < r->classes; c++)
            if (e->steps->steps[s].options[c].negative) r->negative = (int)c;
        for (size_t i = 0; i < e->manifest->n; i++) {
            if (e->manifest->cases[i].label[s] == COT_MASKED) continue;
            r->label[r->n] = e->manifest->cases[i].label[s];
            r->patient[r->n] = e->patient[i];
            for (size_t c = 0; c < r->classes; c++)
                r->logits[r->n * r->classes + c] = (double)logits[i * count + at + c];
            r->n++;
        }
        v->available[s] = taught[s] && r->n;
        v->calibrated[s] = temperature[s] > 0;
        v->temperature[s] = v->calibrated[s] ? (double)temperature[s] : 1;
    }
done:
    return status;
}

/* Two packages that are compared mostly want the same pictures: these are decoded once. */
static cot_status want_pictures(evaluating *e, const model_card *card, cot_error *err)
{
    row_key key;
    const train_images_order order = {e->manifest, card->size, card->filter, true, NULL, e->command};
    if (e->pictures.rows && e->pictures.size == card->size && e->filter == card->filter) return COT_OK;
    picture_set_fini(&e->pictures);
    e->filter = card->filter;
    const cot_status status = train_images_load(&e->pictures, &key, e->sandbox, e->device, &order, err);
    if (status != COT_OK) picture_set_fini(&e->pictures);
    return status;
}

cot_status evaluation_run(evaluation *out, evaluating *e, const evaluation_order *order, cot_error *err)
{
    cot_status status;
    cot_package *package = NULL;
    cot_model *model = NULL;
    float *logits = NULL;
    memset(out, 0, sizeof *out);
    out->n_steps = e->steps->n_steps;
    COT_TRY(cot_package_open(&package, order->package, e->steps, err));
    COT_TRY(cot_package_offers(package, order->readers, err));
    out->reader = *cot_package_reader_of(package, order->readers);
    snprintf(out->reader_word, sizeof out->reader_word, "%s", cot_readers_name(order->readers));
    const model_card *card = package_card(package);
    if (!order->pictures) COT_TRY(want_pictures(e, card, err));
    COT_TRY(cot_model_create_for(&model, e->device, package, e->steps, order->readers, BATCH, err));
    if (order->readers == COT_READ_TEACHER) COT_TRY(ablate(out, model, package, order, err));
    logits = calloc(e->manifest->n * cot_model_logit_count(model) + 1, sizeof *logits);
    out->available = calloc(out->n_steps + 1, sizeof *out->available);
    out->rows = calloc(out->n_steps + 1, sizeof *out->rows);
    out->temperature = calloc(out->n_steps + 1, sizeof *out->temperature);
    out->calibrated = calloc(out->n_steps + 1, sizeof *out->calibrated);
    if (!logits || !out->available || !out->rows || !out->temperature || !out->calibrated) {
        status = cot_fail(err, COT_E_MEMORY, "no memory for the answers");
        goto done;
    }
    COT_TRY(run_model(logits, model, card, order->pictures ? order->pictures : &e->pictures, err));
    COT_TRY(take_rows(out, e, package, order, logits, err));
done:
    free(logits);
    cot_model_destroy(model);
    cot_package_close(package);
    return status;
}

void evaluation_fini(evaluation *v)
{
    for (size_t s = 0; v->rows && s < v->n_steps; s++) score_rows_fini(&v->rows[s]);
    free(v->rows);
    free(v->available);
    free(v->temperature);
    free(v->calibrated);
    free(v->errors);
    memset(v, 0, sizeof *v);
}
