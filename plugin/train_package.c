/* The package at a run's end (train.h): best weights, and a model.json that says how they came about.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/package_write.h"
#include "plugin/train.h"
#include "plugin/train_log.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char default_notice[] =
    "Demonstration model, not a medical device: not for diagnosis, treatment or triage. It is often wrong.";

/* ---- words ---- */
static size_t classes_taught(const train_job *j, char *text, size_t size)
{
    size_t n = 0, at = 0;
    text[0] = 0;
    for (size_t s = 0; s < j->steps->n_steps; s++)
        if (j->supervised[s] && at < size)
            at += (size_t)snprintf(text + at, size - at, "%s%s", n++ ? ", " : "", j->steps->steps[s].id);
    return n;
}

static void describe(char text[1025], const train_job *j, const run_state *state)
{
    char taught[300], start[140], data[110], kept[90];
    const cot_training *t = &j->request->training;
    const cot_training_stage *s = &t->stage[j->request->stage];
    classes_taught(j, taught, sizeof taught);
    if (j->init)
        snprintf(start, sizeof start, "further, from \"%.60s\" %.30s,", cot_package_reader(j->init)->name,
                 cot_package_reader(j->init)->version);
    else
        snprintf(start, sizeof start, "from scratch");
    if (t->refit) {
        snprintf(data, sizeof data, "%zu images, the %zu on which the recipe was chosen among them", j->loop.n_train,
                 j->loop.n_validation);
        snprintf(kept, sizeof kept, "the last of %u epochs", (unsigned)state->epoch);
    } else {
        snprintf(data, sizeof data, "%zu images, validated on %zu images of other patients", j->loop.n_train,
                 j->loop.n_validation);
        snprintf(kept, sizeof kept, "epoch %u of %u had the best mean validation %s",
                 (unsigned)state->schedule.best_epoch, (unsigned)state->epoch, t->best_auc ? "AUC" : "accuracy");
    }
    snprintf(
        text, 1025,
        "Stage %s, trained %s by %s %s on %.120s: %s. Taught steps: "
        "%s; the answers to all other steps are untrained and not reported. AdamW, %s to %g, weight decay %g, batch "
        "%u, seed %llu; %s.",
        cot_stage_name(j->request->stage), start, COT_PROGRAM, COT_VERSION,
        j->manifest->title[0] ? j->manifest->title : "a manifest without a title", data, taught,
        cot_schedule_name(s->schedule), s->lr, s->weight_decay, s->batch, (unsigned long long)t->seed, kept);
}

/* ---- numbers ---- */
/* Validation of the best epoch, from the log. */
static cJSON *metrics_of(const train_job *j, const cJSON *lines, const run_state *state)
{
    const cJSON *line = train_log_epoch(lines, (double)state->schedule.best_epoch);
    const cJSON *validation = cJSON_GetObjectItemCaseSensitive(line, "validation"),
                *steps = cJSON_GetObjectItemCaseSensitive(validation, "steps"), *step;
    const bool refit = j->request->training.refit;
    char how[200];
    cJSON *metrics = cJSON_CreateObject();
    snprintf(how, sizeof how,
             refit ? "none: its %zu images were learnt as well" : "%zu images of patients that are not in training",
             j->loop.n_validation);
    bool ok = metrics && cJSON_AddStringToObject(metrics, "validation", how);
    if (refit) steps = NULL; /* of images that were learnt */
    cJSON_ArrayForEach(step, steps)
    {
        static const char *const keys[] = {"accuracy", "auc"};
        for (size_t k = 0; ok && k < 2; k++) {
            char key[80];
            const cJSON *value = cJSON_GetObjectItemCaseSensitive(step, keys[k]);
            snprintf(key, sizeof key, "%s_%s", step->string, keys[k]);
            if (cJSON_IsNumber(value)) ok = cJSON_AddNumberToObject(metrics, key, value->valuedouble);
        }
    }
    ok =
        ok &&
        cJSON_AddStringToObject(metrics, "caveat",
                                refit ? "What the recipe is worth says a run of it without the validation images."
                                      : "Measured on the validation patients on whom the epoch was chosen: better than "
                                        "on new patients.") &&
        cJSON_AddStringToObject(metrics, "certainty", "raw softmax, not calibrated");
    if (ok) return metrics;
    cJSON_Delete(metrics);
    return NULL;
}

/* What is needed to make the same model again. */
static cJSON *recipe_of(const train_job *j, const run_state *state)
{
    char *xml = NULL;
    size_t size = 0;
    cot_error ignored = COT_ERROR_INIT;
    FILE *stream = open_memstream(&xml, &size);
    cJSON *recipe = stream ? cJSON_CreateObject() : NULL;
    if (!stream) return NULL;
    const cot_training training = train_job_training(j);
    bool ok = cot_training_print(&training, stream, &ignored) == COT_OK && recipe;
    fclose(stream);
    ok = ok && cJSON_AddStringToObject(recipe, "stage", cot_stage_name(j->request->stage)) &&
         cJSON_AddNumberToObject(recipe, "epochs", (double)state->epoch) &&
         cJSON_AddNumberToObject(recipe, "best_epoch", (double)state->schedule.best_epoch) &&
         cJSON_AddBoolToObject(recipe, "refit", training.refit) &&
         cJSON_AddStringToObject(recipe, "manifest_sha256", j->manifest->sha256) &&
         cJSON_AddStringToObject(recipe, "manifest", j->manifest->made) &&
         cJSON_AddStringToObject(recipe, "training_xml", xml) && train_lineage_add(recipe, j);
    free(xml);
    if (ok) return recipe;
    cJSON_Delete(recipe);
    return NULL;
}

/* ---- model.json ---- */
static cJSON *new_card(const train_job *j, const package_words *words)
{
    const cot_training *t = &j->request->training;
    const model_card *old = j->init ? package_card(j->init) : NULL;
    const architecture arch = {.encoder = ENCODER_RESNET18,
                               .width = old ? old->arch.width : t->width,
                               .dim = old ? old->arch.dim : t->dim,
                               .n_steps = j->steps->n_steps,
                               .classes = j->classes};
    const cot_filter filter = old ? old->filter : t->bilinear ? COT_FILTER_BILINEAR : COT_FILTER_BICUBIC;
    return package_card_new(words, &arch, j->pictures.size, filter, (double)j->data.mean, (double)j->data.std,
                            j->steps);
}

static cJSON *make_card(const train_job *j, const cJSON *lines, const run_state *state)
{
    char training[1025], attribution[1025];
    const train_request *r = j->request;
    describe(training, j, state);
    train_attribute(attribution, j);
    const package_words words = {r->name[0] ? r->name : "Step-CoT student ResNet-18", r->version[0] ? r->version : "1",
                                 r->notice[0] ? r->notice : default_notice, training, attribution};
    cJSON *card = new_card(j, &words);
    if (card && package_card_supervised(card, "steps", j->supervised, j->steps) &&
        package_card_set(card, "metrics", metrics_of(j, lines, state)) &&
        package_card_set(card, "recipe", recipe_of(j, state)))
        return card;
    cJSON_Delete(card);
    return NULL;
}

/* ---- stages on a frozen encoder: the package that they began with, teacher and student put in ---- */
static bool set_teacher(cJSON *card, const train_job *j, const char *training)
{
    const cJSON *old = cJSON_GetObjectItemCaseSensitive(card, "teacher"),
                *prompts = cJSON_GetObjectItemCaseSensitive(old, "prompts");
    char name[65], words[257], cut[757];
    snprintf(name, sizeof name, "%.55s, teacher", cot_package_reader(j->init)->name);
    snprintf(words, sizeof words, "%.256s",
             cJSON_IsString(prompts) ? prompts->valuestring : "fixed random unit vectors");
    snprintf(cut, sizeof cut, "%.756s", training);
    cJSON *part = cJSON_CreateObject();
    return part && cJSON_AddStringToObject(part, "name", name) && cJSON_AddStringToObject(part, "training", cut) &&
           cJSON_AddStringToObject(part, "prompts", words) &&
           cJSON_AddNumberToObject(part, "dim", (double)j->teacher.dim) &&
           cJSON_AddNumberToObject(part, "heads", (double)j->teacher.heads) &&
           cJSON_AddNumberToObject(part, "layers", (double)j->teacher.layers) &&
           package_card_set(card, "teacher", part) && package_card_supervised(card, "teacher", j->supervised, j->steps);
}

/* Temperatures belong to weights: the teacher's have changed, the student's only where the run has learnt any of them. */
static void drop_calibration(cJSON *card, const safetensors *best)
{
    cJSON *all = cJSON_GetObjectItemCaseSensitive(card, "calibration");
    bool student = false;
    for (size_t i = 0; i < safetensors_count(best); i++)
        student = student || strncmp(safetensors_at(best, i)->name, TEACHER_PREFIX, strlen(TEACHER_PREFIX)) != 0;
    cJSON_DeleteItemFromObjectCaseSensitive(all, "teacher");
    if (student) cJSON_DeleteItemFromObjectCaseSensitive(all, "student");
    if (all && !all->child) cJSON_DeleteItemFromObjectCaseSensitive(card, "calibration");
}

static cJSON *changed_card(const train_job *j, const cJSON *lines, const run_state *state, const safetensors *best)
{
    char training[1025], attribution[1025];
    const train_request *r = j->request;
    cJSON *card = cJSON_Duplicate(package_card(j->init)->json, true);
    describe(training, j, state);
    train_attribute(attribution, j);
    drop_calibration(card, best);
    bool ok = card && set_teacher(card, j, training) && package_card_set(card, "recipe", recipe_of(j, state)) &&
              package_card_set(card, "data_attribution", cJSON_CreateString(attribution));
    if (ok && r->name[0]) ok = package_card_set(card, "name", cJSON_CreateString(r->name));
    if (ok && r->version[0]) ok = package_card_set(card, "version", cJSON_CreateString(r->version));
    if (ok && r->notice[0]) ok = package_card_set(card, "notice", cJSON_CreateString(r->notice));
    if (ok && r->stage == COT_STAGE_DISTILL)
        ok = package_card_set(card, "training", cJSON_CreateString(training)) &&
             package_card_set(card, "metrics", metrics_of(j, lines, state)) &&
             package_card_supervised(card, "steps", j->supervised, j->steps);
    if (ok) return card;
    cJSON_Delete(card);
    return NULL;
}

/* Best weights, prompts, and what of the package they do not replace. Borrows all data; caller frees *out. */
static cot_status merge(tensor **out, size_t *n, const train_job *j, const safetensors *best, cot_error *err)
{
    const weight_source source = package_source(j->init, "");
    const size_t theirs = safetensors_count(source.file), ours = safetensors_count(best);
    *n = 0;
    *out = calloc(theirs + ours + 1, sizeof **out);
    if (!*out) return cot_fail(err, COT_E_MEMORY, "no memory for %zu tensors", theirs + ours);
    for (size_t i = 0; i < ours; i++) (*out)[(*n)++] = *safetensors_at(best, i);
    for (size_t i = 0; i < theirs; i++) {
        const tensor *t = safetensors_at(source.file, i);
        if (!safetensors_find(best, t->name) && strcmp(t->name, PROMPTS_NAME) != 0) (*out)[(*n)++] = *t;
    }
    (*out)[(*n)++] = (tensor){.name = PROMPTS_NAME,
                              .type = TENSOR_F32,
                              .rank = 2,
                              .shape = {j->steps->n_steps, j->teacher.dim},
                              .count = j->steps->n_steps * j->teacher.dim,
                              .bytes = j->steps->n_steps * j->teacher.dim * sizeof(float),
                              .data = (const unsigned char *)j->prompts};
    return COT_OK;
}

cot_status train_package(train_job *job, const run_state *state, cot_error *err)
{
    cot_status status;
    char path[1200];
    safetensors *best = NULL;
    cJSON *card = NULL, *lines = NULL;
    cot_package *made = NULL;
    tensor *merged = NULL;
    size_t n = 0;
    snprintf(path, sizeof path, "%s/best.safetensors", job->request->dir);
    COT_TRY(safetensors_open(&best, path, err));
    COT_TRY(train_log_read(&lines, job->request->dir, err));
    const bool whole = job->request->stage == COT_STAGE_ENCODER;
    card = whole ? make_card(job, lines, state) : changed_card(job, lines, state, best);
    if (!card) {
        status = cot_fail(err, COT_E_MEMORY, "no memory for model.json");
        goto done;
    }
    snprintf(path, sizeof path, "%s/model", job->request->dir);
    if (!whole) COT_TRY(merge(&merged, &n, job, best, err));
    COT_TRY(package_write(path, card, whole ? safetensors_at(best, 0) : merged, whole ? safetensors_count(best) : n,
                          !job->request->training.weights_f32, err));
    COT_TRY(cot_package_open(&made, path, job->steps, err)); /* as the node would */
done:
    free(merged);
    cot_package_close(made);
    cJSON_Delete(card);
    cJSON_Delete(lines);
    safetensors_close(best);
    return status;
}

/* ---- the end of a run ---- */
static bool opens(const char *path, const cot_steps *steps)
{
    cot_error ignored = COT_ERROR_INIT;
    cot_package *package = NULL;
    const bool there = cot_package_open(&package, path, steps, &ignored) == COT_OK;
    cot_package_close(package);
    return there;
}

cot_status train_finish(train_job *job, const run_state *state, bool finished, cot_error *err)
{
    cot_status status = COT_OK;
    char model[1200], report[1200];
    struct stat st;
    snprintf(model, sizeof model, "%s/model", job->request->dir);
    snprintf(report, sizeof report, "%s/report.html", job->request->dir);
    const bool has_model = finished && opens(model, job->steps), has_report = finished && stat(report, &st) == 0;
    if (!has_model) COT_TRY(train_package(job, state, err));
    if (!has_report) COT_TRY(train_report(job, state, err));
    if (finished && !(has_model && has_report))
        fprintf(stderr, "%s train: made again:%s%s\n", COT_PROGRAM, has_model ? "" : " model",
                has_report ? "" : " report.html");
done:
    return status;
}
