/* Evidence put to the test, a batch of images at a time (faithfulness.h). SPDX-License-Identifier: Apache-2.0 */
#include "engine/faithfulness.h"
#include "engine/calibration.h"
#include "engine/model.h"
#include "engine/regions.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef enum taken { REGION, ELSEWHERE, MIRRORED } taken;
typedef struct job { /* a picture that waits in the batch, and the rows that it answers */
    faith_drops *drops;
    size_t first, n;
    taken what;
} job;

struct faith {
    cot_model *model;
    size_t max_batch, pixels, count; /* count: logits of an image */
    faith_options options;
    const float *temperature; /* the model's, [n_steps] */
    deletion deletion;
    float *input, *logits;    /* [max_batch, pixels], [max_batch, count] */
    float *without;           /* [n_steps, max_batch, count] */
    const float **without_of; /* [n_steps] */
    cot_chain **chains;       /* [max_batch] */
    cot_picture *pictures;    /* [max_batch] */
    job *jobs;                /* [max_batch] */
    size_t waiting;
};

void faith_found_fini(faith_found *found)
{
    free(found->regions.rows);
    free(found->boxes.rows);
    free(found->points);
    memset(found, 0, sizeof *found);
}

void faith_close(faith *f)
{
    if (!f) return;
    cot_model_explain(f->model, false, false, NULL);
    deletion_fini(&f->deletion);
    free(f->input);
    free(f->logits);
    free(f->without);
    free(f->without_of);
    free(f->chains);
    free(f->pictures);
    free(f->jobs);
    free(f);
}

cot_status faith_open(faith **out, cot_model *model, size_t max_batch, const faith_options *options, cot_error *err)
{
    cot_status status;
    const size_t side = cot_model_input_size(model), steps = model->steps->n_steps;
    faith *f = calloc(1, sizeof *f);
    *out = NULL;
    if (!f) return cot_fail(err, COT_E_MEMORY, "faithfulness: no memory");
    *f = (faith){.model = model, .max_batch = max_batch, .pixels = side * side, .options = *options};
    f->count = cot_model_logit_count(model);
    f->temperature = calibration_of(package_card(model->package), model->readers == COT_READ_TEACHER);
    f->input = calloc(max_batch * f->pixels + 1, sizeof *f->input);
    f->logits = calloc(max_batch * f->count + 1, sizeof *f->logits);
    f->without = calloc(steps * max_batch * f->count + 1, sizeof *f->without);
    f->without_of = calloc(steps + 1, sizeof *f->without_of);
    f->chains = calloc(max_batch + 1, sizeof(cot_chain *));
    f->pictures = calloc(max_batch + 1, sizeof *f->pictures);
    f->jobs = calloc(max_batch + 1, sizeof *f->jobs);
    if (!f->input || !f->logits || !f->without || !f->without_of || !f->chains || !f->pictures || !f->jobs) {
        status = cot_fail(err, COT_E_MEMORY, "faithfulness: no memory");
        goto done;
    }
    COT_TRY(deletion_init(&f->deletion, side, options->fill, err));
    COT_TRY(cot_model_explain(model, true, true, err));
    *out = f;
    f = NULL;
done:
    faith_close(f);
    return status;
}

/* ---- probabilities ---- */
static double temperature_of(const float *temperature, size_t step)
{
    return temperature && temperature[step] > 0 ? (double)temperature[step] : 1;
}

static double probability(const float *logits, size_t classes, size_t of, double temperature)
{
    double sum = 0;
    for (size_t k = 0; k < classes; k++) sum += exp(((double)logits[k] - (double)logits[of]) / temperature);
    return 1 / sum;
}

/* ---- influences ---- */
static void note(faith_influences *to, double difference, size_t image, size_t step, size_t from)
{
    to->n++;
    if (difference <= to->worst) return; /* what is not a number is noted */
    *to = (faith_influences){to->n, isnan(difference) ? (double)INFINITY : difference, image, step, from};
}

static void compare_answer(faith_influences *to, const cot_chain *chain, size_t step, size_t at, const float *whole,
                           const float *const *without, double temperature, size_t image)
{
    const cot_answer *a = &chain->answers[step];
    const double given = probability(whole + at, a->n_options, a->answer, temperature);
    for (size_t t = 0; t < step; t++) {
        size_t found = 0;
        double said = 0;
        for (size_t i = 0; i < a->n_influences; i++)
            if (a->influences[i].step == t) said = (double)a->influences[i].change, found++;
        if (!chain->answers[t].available && !found) continue;
        if (found != 1 || !without[t]) {
            note(to, (double)INFINITY, image, step, t);
            continue;
        }
        const double again = given - probability(without[t] + at, a->n_options, a->answer, temperature);
        note(to, fabs(said - again), image, step, t);
    }
}

void faith_compare(faith_influences *to, const cot_chain *chain, const float *whole, const float *const *without,
                   const float *temperature, size_t image)
{
    for (size_t s = 0, at = 0; s < chain->n_steps; at += chain->answers[s++].n_options)
        if (chain->answers[s].available)
            compare_answer(to, chain, s, at, whole, without, temperature_of(temperature, s), image);
}

static cot_status run_again(faith_found *found, faith *f, size_t first, size_t n, cot_error *err)
{
    cot_status status = COT_OK;
    const cot_steps *steps = f->model->steps;
    const size_t bytes = n * f->count * sizeof *f->logits, each = f->max_batch * f->count;
    memcpy(f->logits, f->model->logits, bytes);
    for (size_t t = 0; t < steps->n_steps; t++) {
        if (!f->chains[0]->answers[t].available) continue;
        COT_TRY(model_without(f->model, n, t, err));
        memcpy(f->without + t * each, f->model->logits, bytes);
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t t = 0; t < steps->n_steps; t++)
            f->without_of[t] = f->chains[i]->answers[t].available ? f->without + t * each + i * f->count : NULL;
        faith_compare(&found->influences, f->chains[i], f->logits + i * f->count, f->without_of, f->temperature,
                      first + i);
    }
done:
    return status;
}

/* ---- deletion ---- */
static void take_probability(faith_drop *to, taken what, const faith *f, const float *logits)
{
    const cot_steps *steps = f->model->steps;
    size_t at = 0;
    for (size_t s = 0; s < to->step; s++) at += steps->steps[s].n_options;
    const double p = probability(logits + at, steps->steps[to->step].n_options, to->answer,
                                 temperature_of(f->temperature, to->step));
    if (what == REGION) to->region = p;
    if (what == MIRRORED) to->mirrored = p;
    if (what == ELSEWHERE) to->elsewhere = (to->copies++ ? to->elsewhere : 0) + p;
}

static cot_status flush(faith *f, cot_error *err)
{
    if (!f->waiting) return COT_OK;
    const cot_status status = cot_model_logits(f->model, f->logits, f->input, f->waiting, err);
    for (size_t i = 0; status == COT_OK && i < f->waiting; i++)
        for (size_t k = 0; k < f->jobs[i].n; k++)
            take_probability(&f->jobs[i].drops->rows[f->jobs[i].first + k], f->jobs[i].what, f,
                             f->logits + i * f->count);
    f->waiting = 0;
    return status;
}

/* The picture without a mask joins the batch. */
static cot_status ask(faith *f, const job *j, const deletion_mask *mask, cot_error *err)
{
    const model_card *card = package_card(f->model->package);
    float *input = f->input + f->waiting * f->pixels;
    deletion_apply(input, &f->deletion, mask);
    for (size_t p = 0; p < f->pixels; p++) input[p] = (input[p] - card->mean) / card->std;
    f->jobs[f->waiting++] = *j;
    return f->waiting < f->max_batch ? COT_OK : flush(f, err);
}

static cot_status add_drop(faith_drops *drops, const faith *f, const cot_answer *a, faith_drop drop, cot_error *err)
{
    if (drops->n == drops->room) {
        const size_t room = 2 * drops->room + 64;
        faith_drop *more = realloc(drops->rows, room * sizeof *more);
        if (!more) return cot_fail(err, COT_E_MEMORY, "faithfulness: no memory for %zu answers", room);
        drops->rows = more;
        drops->room = room;
    }
    drop.answer = a->answer;
    drop.share = (double)f->deletion.all.n / (double)f->pixels;
    drop.before = (double)a->probability[a->answer];
    drop.region = drop.elsewhere = drop.mirrored = (double)NAN;
    drops->rows[drops->n++] = drop;
    return COT_OK;
}

/* What deletion_take took, for the last n rows. The places follow from image and step, whatever else is run. */
static cot_status delete_all(faith *f, faith_drops *drops, size_t n, uint64_t image, uint64_t step, cot_error *err)
{
    cot_status status;
    deletion *d = &f->deletion;
    job j = {drops, drops->n - n, n, REGION};
    COT_TRY(ask(f, &j, &d->all, err));
    j.what = MIRRORED;
    if (deletion_mirror(d)) COT_TRY(ask(f, &j, &d->copy, err));
    j.what = ELSEWHERE;
    for (size_t k = 0; k < f->options.copies; k++)
        if (deletion_move(d, f->options.seed, (image * 64 + step) * 1024 + k)) COT_TRY(ask(f, &j, &d->copy, err));
done:
    return status;
}

static cot_status delete_regions(faith_found *found, faith *f, const cot_chain *chain, faith_drop drop, cot_error *err)
{
    cot_status status = COT_OK;
    for (drop.step = 0; drop.step < chain->n_steps; drop.step++) {
        const cot_answer *a = &chain->answers[drop.step];
        found->answers += a->available;
        if (!a->n_regions) continue;
        deletion_take(&f->deletion, a->regions, a->n_regions, chain->rows, chain->cols);
        if (!f->deletion.all.n) continue; /* thinner than a pixel of the model's picture */
        COT_TRY(add_drop(&found->regions, f, a, drop, err));
        COT_TRY(delete_all(f, &found->regions, 1, drop.image, drop.step, err));
    }
done:
    return status;
}

static bool says_something(const faith *f, const cot_chain *chain, size_t step)
{
    const cot_answer *a = &chain->answers[step];
    return a->available && !f->model->steps->steps[step].options[a->answer].negative;
}

/* One picture without the boxes serves the answers of all steps. */
static cot_status delete_boxes(faith_found *found, faith *f, const cot_chain *chain, const cot_case *one,
                               faith_drop drop, cot_error *err)
{
    cot_status status = COT_OK;
    cot_point corners[REGIONS_MAX][4];
    cot_region boxes[REGIONS_MAX];
    const size_t before = found->boxes.n, n = one->n_boxes < REGIONS_MAX ? one->n_boxes : REGIONS_MAX;
    for (size_t b = 0; b < n; b++) {
        const cot_box *box = &one->boxes[b];
        const float left = (float)box->x, top = (float)box->y, right = (float)(box->x + box->w),
                    bottom = (float)(box->y + box->h);
        memcpy(corners[b], (const cot_point[4]){{left, top}, {right, top}, {right, bottom}, {left, bottom}},
               sizeof corners[b]);
        boxes[b] = (cot_region){4, corners[b], 0};
    }
    deletion_take(&f->deletion, boxes, n, one->rows, one->cols);
    if (!f->deletion.all.n) return COT_OK;
    for (drop.step = 0; drop.step < chain->n_steps; drop.step++)
        if (says_something(f, chain, drop.step))
            COT_TRY(add_drop(&found->boxes, f, &chain->answers[drop.step], drop, err));
    if (found->boxes.n > before)
        COT_TRY(delete_all(f, &found->boxes, found->boxes.n - before, drop.image, chain->n_steps, err));
done:
    return status;
}

static void divide(faith_drops *drops, size_t from)
{
    for (size_t k = from; k < drops->n; k++)
        if (drops->rows[k].copies) drops->rows[k].elsewhere /= (double)drops->rows[k].copies;
}

static cot_status delete_image(faith_found *found, faith *f, const cot_chain *chain, const cot_case *one,
                               faith_drop drop, cot_error *err)
{
    cot_status status = COT_OK;
    const size_t regions = found->regions.n, boxes = found->boxes.n;
    COT_TRY(delete_regions(found, f, chain, drop, err));
    if (one->n_boxes) COT_TRY(delete_boxes(found, f, chain, one, drop, err));
    COT_TRY(flush(f, err)); /* rows are whole when an image is */
    divide(&found->regions, regions);
    divide(&found->boxes, boxes);
done:
    return status;
}

/* ---- pointing ---- */
static cot_status point_image(faith_found *found, const faith *f, const cot_chain *chain, const cot_case *one,
                              faith_point point, cot_error *err)
{
    if (!one->n_boxes) return COT_OK;
    point.chance = pointing_chance(one);
    point.fixed = pointing_hits(one, f->options.fixed);
    for (point.step = 0; point.step < chain->n_steps; point.step++) {
        const cot_answer *a = &chain->answers[point.step];
        if (!a->available) continue;
        if (!says_something(f, chain, point.step)) {
            found->silent++;
            continue;
        }
        point.peak = pointing_hits(one, pointing_peak(a));
        point.centroid = pointing_hits(one, pointing_centroid(a, chain->rows, chain->cols));
        if (found->n_points == found->room_points) {
            const size_t room = 2 * found->room_points + 64;
            faith_point *more = realloc(found->points, room * sizeof *more);
            if (!more) return cot_fail(err, COT_E_MEMORY, "faithfulness: no memory for %zu answers", room);
            found->points = more;
            found->room_points = room;
        }
        found->points[found->n_points++] = point;
    }
    return COT_OK;
}

/* ---- all of it ---- */
cot_status faith_judge(faith_found *found, faith *f, cot_chain *const *chains, const float *pictures,
                       const cot_case *images, const size_t *patients, size_t first, size_t n, cot_error *err)
{
    cot_status status = COT_OK;
    f->waiting = 0; /* of an attempt that failed */
    for (size_t i = 0; i < n; i++) {
        const faith_point point = {.image = first + i, .patient = patients[i]};
        const faith_drop drop = {.image = first + i, .patient = patients[i]};
        COT_TRY(point_image(found, f, chains[i], &images[i], point, err));
        deletion_picture(&f->deletion, pictures + i * f->pixels);
        COT_TRY(delete_image(found, f, chains[i], &images[i], drop, err));
    }
done:
    return status;
}

cot_status faith_measure(faith_found *found, faith *f, const float *pictures, const cot_case *images,
                         const size_t *patients, size_t first, size_t n, cot_error *err)
{
    cot_status status;
    const size_t side = cot_model_input_size(f->model);
    for (size_t i = 0; i < n && i < f->max_batch; i++) /* stretched already: one pixel stays one */
        f->pictures[i] = (cot_picture){pictures + i * f->pixels, side, side, COT_ORIENTATION_ASSUMED};
    COT_TRY(cot_model_read(f->model, f->chains, f->pictures, n, err));
    COT_TRY(run_again(found, f, first, n, err));
    COT_TRY(faith_judge(found, f, f->chains, pictures, images, patients, first, n, err));
done:
    for (size_t i = 0; i < n && i < f->max_batch; i++) {
        cot_chain_destroy(f->chains[i]);
        f->chains[i] = NULL;
    }
    return status;
}
