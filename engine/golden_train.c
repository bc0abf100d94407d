/* Golden training (golden_train.h): loads the folder's teacher, student and projections, makes the three joint steps each
 * way and compares losses and what the models then answer.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/golden_train.h"
#include "engine/card.h"
#include "engine/golden.h"
#include "engine/joint.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const cot_golden_loss_names[COT_GOLDEN_LOSSES] = {"teacher", "student", "ce", "kd", "ch"};
static const char *const align_names[COT_GOLDEN_ALIGNS] = {"paper", "published"};

enum { LOSS_STUDENT = 1 }; /* in cot_golden_loss_names */

typedef struct training_run {
    const cot_golden *golden;
    cot_device *device;
    size_t proj;
    float *features, *prompts; /* [batch,image_dim], [n_steps,teacher] */
    int *labels;               /* [batch,n_steps], -1: masked */
    float *logits;             /* [batch, sum of classes] */
} training_run;

/* ---- what the folder expects ---- */
static cot_status read_step_losses(double *want, const cJSON *step, const char *align, const char *where,
                                   cot_error *err)
{
    for (size_t k = 0; k < COT_GOLDEN_LOSSES; k++) {
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(step, cot_golden_loss_names[k]);
        if (!cJSON_IsNumber(v) || !isfinite(v->valuedouble))
            return cot_fail(err, COT_E_MODEL, "%s: \"losses\": \"%s\" of align %s must be a number", where,
                            cot_golden_loss_names[k], align);
        want[k] = v->valuedouble;
    }
    return COT_OK;
}

static cot_status read_losses(cot_golden_training *results, training_run *run, cot_error *err)
{
    cot_status status;
    char path[1200], *text = NULL;
    size_t size = 0;
    cJSON *json = NULL;
    snprintf(path, sizeof path, "%s/expected.json", run->golden->folder);
    COT_TRY(cot_file_read(&text, &size, path, CARD_BYTES_MAX, err));
    COT_TRY(json_object(&json, text, path, err));
    COT_TRY(json_size(&run->proj, cJSON_GetObjectItemCaseSensitive(json, "architecture"), "proj", 1, 8192, path, err));
    const cJSON *losses = cJSON_GetObjectItemCaseSensitive(json, "losses");
    for (size_t a = 0; a < COT_GOLDEN_ALIGNS; a++) {
        const cJSON *steps = cJSON_GetObjectItemCaseSensitive(losses, align_names[a]);
        if (!cJSON_IsArray(steps) || cJSON_GetArraySize(steps) != COT_GOLDEN_STEPS) {
            status = cot_fail(err, COT_E_MODEL, "%s: \"losses\" must have %d steps of align %s: make the folder again",
                              path, COT_GOLDEN_STEPS, align_names[a]);
            goto done;
        }
        for (int i = 0; i < COT_GOLDEN_STEPS; i++)
            COT_TRY(read_step_losses(results[a].want[i], cJSON_GetArrayItem(steps, i), align_names[a], path, err));
    }
done:
    cJSON_Delete(json);
    free(text);
    return status;
}

/* labels [batch,n_steps] of I64 and valid of BOOL, as one. */
static cot_status read_labels(training_run *run, cot_error *err)
{
    const cot_golden *g = run->golden;
    const size_t n = g->sizes.batch, steps = g->n_steps;
    const tensor *labels = safetensors_find(g->file[GOLDEN_EXPECTED], "labels");
    const tensor *valid = safetensors_find(g->file[GOLDEN_EXPECTED], "valid");
    if (!labels || !valid || labels->type != TENSOR_I64 || valid->type != TENSOR_BOOL || labels->rank != 2 ||
        valid->rank != 2 || labels->shape[0] != n || labels->shape[1] != steps || valid->shape[0] != n ||
        valid->shape[1] != steps)
        return cot_fail(err, COT_E_MODEL, "%s: labels (I64) and valid (BOOL) must be there, [%zu,%zu]",
                        g->where[GOLDEN_EXPECTED], n, steps);
    for (size_t i = 0; i < n * steps; i++) {
        int64_t label = 0;
        memcpy(&label, labels->data + i * sizeof label, sizeof label);
        if (label < 0 || (uint64_t)label >= g->classes[i % steps])
            return cot_fail(err, COT_E_MODEL, "%s: a label of step %zu is not one of its %zu classes",
                            g->where[GOLDEN_EXPECTED], i % steps, g->classes[i % steps]);
        run->labels[i] = valid->data[i] ? (int)label : -1;
    }
    return COT_OK;
}

static cot_status read_inputs(training_run *run, cot_error *err)
{
    cot_status status;
    const cot_golden *g = run->golden;
    const golden_sizes *z = &g->sizes;
    const weight_source source = golden_source(g, GOLDEN_EXPECTED);
    size_t all = 0;
    for (size_t s = 0; s < g->n_steps; s++) all += g->classes[s];
    COT_TRY(source_floats(&run->features, &source, "image_features", (const size_t[]){z->batch, z->image_dim}, 2, err));
    COT_TRY(source_floats(&run->prompts, &source, "prompt_features", (const size_t[]){g->n_steps, z->teacher}, 2, err));
    run->labels = calloc(z->batch * g->n_steps, sizeof *run->labels);
    run->logits = calloc(z->batch * all, sizeof *run->logits);
    if (!run->labels || !run->logits) return cot_fail(err, COT_E_MEMORY, "%s: no memory for labels", g->folder);
    COT_TRY(read_labels(run, err));
done:
    return status;
}

/* ---- the models ---- */
static cot_status load_file(parameters *table, const char *under, const training_run *run, const char *file,
                            cot_error *err)
{
    cot_status status;
    char path[1200];
    safetensors *f = NULL;
    snprintf(path, sizeof path, "%s/%s.safetensors", run->golden->folder, file);
    COT_TRY(safetensors_open(&f, path, err));
    const weight_source source = {.file = f, .prefix = "", .where = path};
    COT_TRY(parameters_load(table, under, &source, err));
done:
    safetensors_close(f);
    return status;
}

static cot_status load_models(joint **out, const training_run *run, joint_align align, cot_error *err)
{
    cot_status status;
    const cot_golden *g = run->golden;
    const golden_sizes *z = &g->sizes;
    const teacher_shape t = {z->image_dim, z->teacher, z->gat_heads, z->gat_layers, g->n_steps, g->classes};
    const student_shape s = {z->image_dim, z->student, g->n_steps, g->classes};
    joint_options options = JOINT_OPTIONS_INIT;
    options.max_batch = z->batch;
    options.proj_dim = run->proj;
    options.align = align;
    options.dropout = false;
    COT_TRY(joint_create(out, run->device, &t, &s, &options, err));
    COT_TRY(load_file(joint_teacher_parameters(*out), "teacher.", run, "teacher", err));
    COT_TRY(load_file(joint_teacher_parameters(*out), "proj_teacher.", run, "proj_teacher", err));
    COT_TRY(load_file(joint_student_parameters(*out), "student.", run, "student", err));
    COT_TRY(load_file(joint_student_parameters(*out), "proj_student.", run, "proj_student", err));
    COT_TRY(joint_prompts(*out, run->prompts, err));
done:
    return status;
}

/* ---- compare ---- */
/* The parts of the student's loss are measured over their sum: KD and CH of models that agree are small differences of
 * nearly equal numbers, which the oracle takes in float32. Its own CH is off by up to 6e-3 from float64 at small sizes, its
 * KD by 3e-4 (tests/golden/README.md). */
static void compare_losses(cot_golden_training *r, size_t step, const joint_losses *got)
{
    const double all[COT_GOLDEN_LOSSES] = {got->teacher, got->student, got->ce, got->kd, got->ch};
    for (size_t k = 0; k < COT_GOLDEN_LOSSES; k++) {
        const double want = r->want[step][k], difference = fabs(all[k] - want);
        const double scale = fabs(k > LOSS_STUDENT ? r->want[step][LOSS_STUDENT] : want);
        r->got[step][k] = all[k];
        const double error = scale > 0.0 ? difference / scale : difference;
        if (!(error <= r->loss_error)) r->loss_error = isfinite(error) ? error : (double)INFINITY;
    }
}

/* Of one step's logits, columns from `at` on of `all`. */
static cot_status compare_step(cot_golden_training *r, const training_run *run, const char *model, size_t s, size_t at,
                               size_t all, cot_error *err)
{
    cot_status status;
    char name[sizeof r->worst];
    const cot_golden *g = run->golden;
    const size_t n = g->sizes.batch, c = g->classes[s];
    const weight_source source = golden_source(g, GOLDEN_EXPECTED);
    float *expected = NULL;
    double most = 0.0, scale = 0.0;
    snprintf(name, sizeof name, "%s.%s_logits_after3.%zu", r->align, model, s);
    COT_TRY(source_floats(&expected, &source, name, (const size_t[]){n, c}, 2, err));
    for (size_t i = 0; i < n * c; i++) {
        const double d = fabs((double)run->logits[i / c * all + at + i % c] - (double)expected[i]);
        if (!(d <= most)) most = isfinite(d) ? d : (double)INFINITY;
        scale = fmax(scale, fabs((double)expected[i]));
    }
    const double error = most > 0 ? most / scale : 0;
    if (!r->worst[0] || error > r->logit_error) {
        r->logit_error = error;
        snprintf(r->worst, sizeof r->worst, "%s", name);
    }
done:
    free(expected);
    return status;
}

static cot_status compare_logits(cot_golden_training *r, joint *j, const training_run *run, bool of_teacher,
                                 cot_error *err)
{
    cot_status status;
    const cot_golden *g = run->golden;
    size_t all = 0;
    for (size_t s = 0; s < g->n_steps; s++) all += g->classes[s];
    COT_TRY(of_teacher ? joint_teacher_logits(j, run->logits, run->features, g->sizes.batch, err)
                       : joint_student_logits(j, run->logits, run->features, g->sizes.batch, err));
    for (size_t s = 0, at = 0; s < g->n_steps; at += g->classes[s++])
        COT_TRY(compare_step(r, run, of_teacher ? "teacher" : "student", s, at, all, err));
done:
    return status;
}

/* ---- the whole folder ---- */
static cot_status train(cot_golden_training *r, const training_run *run, joint_align align, cot_error *err)
{
    cot_status status;
    joint *j = NULL;
    const joint_batch batch = {run->golden->sizes.batch, run->features, run->labels};
    COT_TRY(load_models(&j, run, align, err));
    for (size_t i = 0; i < COT_GOLDEN_STEPS; i++) {
        joint_losses losses;
        COT_TRY(joint_step(j, &batch, &losses, err));
        compare_losses(r, i, &losses);
    }
    COT_TRY(compare_logits(r, j, run, true, err));
    COT_TRY(compare_logits(r, j, run, false, err));
done:
    joint_destroy(j);
    return status;
}

cot_status cot_golden_train(cot_golden_training results[COT_GOLDEN_ALIGNS], const cot_golden *golden,
                            cot_device *device, cot_error *err)
{
    cot_status status;
    training_run run = {.golden = golden, .device = device};
    memset(results, 0, COT_GOLDEN_ALIGNS * sizeof *results);
    COT_TRY(read_losses(results, &run, err));
    COT_TRY(read_inputs(&run, err));
    for (size_t a = 0; a < COT_GOLDEN_ALIGNS; a++) {
        snprintf(results[a].align, sizeof results[a].align, "%s", align_names[a]);
        COT_TRY(train(&results[a], &run, (joint_align)a, err));
    }
done:
    if (status == COT_E_IO) { /* as in golden.c: a file that is not there is a damaged folder */
        if (err) err->status = COT_E_MODEL;
        status = COT_E_MODEL;
    }
    free(run.features);
    free(run.prompts);
    free(run.labels);
    free(run.logits);
    return status;
}

bool cot_golden_training_passes(const cot_golden_training *r)
{
    return r->loss_error <= COT_GOLDEN_LOSS_BOUND && r->logit_error <= COT_GOLDEN_LOGIT_BOUND;
}
