/* stepcot calibrate: temperatures fitted on validation images, written into the package. Answers do not change, certainties
 * do. SPDX-License-Identifier: Apache-2.0 */
#include "engine/calibration.h"
#include "engine/package_write.h"
#include "plugin/evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char help[] =
    "Usage: stepcot calibrate PACKAGE --manifest FILE [OPTIONS]\n"
    "       stepcot calibrate PACKAGE --like PACKAGE [OPTIONS]\n\n"
    "Fits one temperature per step on the validation split, so that a certainty of 80 % is right in about 8 of 10 "
    "such\nimages, writes them into the package's model.json and prints likelihood (NLL) and calibration error (ECE) "
    "before and\n"
    "after, the likelihood also on patients that were left out of the fit, in 10 turns.\n"
    "Readings with the package then give calibrated certainties and say so; answers stay the same.\n"
    "PACKAGE: a folder, or default for the model in the program (with -o).\n\n"
    "      --manifest FILE  the labelled images (stepcot data import)\n"
    "      --model WORD     student (default) or teacher: whose certainties; each has its own temperatures\n"
    "      --split WORD     the images to fit on: validation (default), or train if it was not learnt\n"
    "      --like PACKAGE   no manifest: take the temperatures of a calibrated package of the same recipe; for a "
    "model\n"
    "                       that has learnt the validation images as well (train --refit yes)\n"
    "  -o, --output DIR     write the calibrated package there (must not exist) and leave PACKAGE as it is\n"
    "      --dry-run        print, write nothing\n"
    "      --images DIR     where the manifest's images are, when not where it says\n"
    "      --steps FILE     a step schema other than the embedded one\n"
    "      --device X       part of an OpenCL platform or device name, or cpu, or gpu (default: the best)\n\n"
    "Example:\n"
    "  stepcot calibrate run1/model --manifest chest.jsonl && stepcot evaluate chest.jsonl --package run1/model\n\n"
    "Exit codes: 0 done, 1 data not as they must be, 2 wrong usage, 3 step schema, 4 model or device, 5 file "
    "system.\n" COT_NOT_A_DEVICE "\n";

typedef struct calibrate_words {
    const char *package, *manifest, *like, *model, *split, *output;
    bool dry;
    cot_readers readers;
} calibrate_words;

static const char *reader_word(const calibrate_words *w)
{
    return w->readers == COT_READ_TEACHER ? "teacher" : "student";
}

enum { FOLDS = 10, ERROR_DRAWS = 1000 };
typedef struct calibrated {
    bool done;
    double temperature, ece_before, ece_after, nll_before, nll_after;
    double left_out; /* NLL of patients whose temperature was fitted on the others */
    calibration_error error;
} calibrated;

static cot_status fit_step(calibrated *out, const score_rows *rows, cot_error *err)
{
    cot_status status;
    score_interval scores[SCORES];
    *out = (calibrated){.done = true, .temperature = score_temperature(rows)};
    COT_TRY(scores_of(scores, rows, 1, 0, 1, err));
    out->ece_before = scores[SCORE_ECE].value;
    out->nll_before = scores[SCORE_NLL].value;
    COT_TRY(scores_of(scores, rows, out->temperature, 0, 1, err));
    out->ece_after = scores[SCORE_ECE].value;
    out->nll_after = scores[SCORE_NLL].value;
    COT_TRY(calibration_left_out(&out->left_out, rows, FOLDS, err));
    COT_TRY(calibration_error_of(&out->error, rows, out->temperature, ERROR_DRAWS, 1, err));
done:
    return status;
}

static cot_status fit(calibrated *out, const evaluation *v, cot_error *err)
{
    cot_status status = COT_OK;
    for (size_t s = 0; s < v->n_steps; s++)
        if (v->available[s]) COT_TRY(fit_step(&out[s], &v->rows[s], err));
done:
    return status;
}

/* ---- model.json ---- */
typedef struct figure {
    const char *key;
    size_t offset; /* of the double in a calibrated */
} figure;
static const figure figures[] = {
    {"temperature", offsetof(calibrated, temperature)}, {"ece_before", offsetof(calibrated, ece_before)},
    {"ece_after", offsetof(calibrated, ece_after)},     {"ece_by_chance", offsetof(calibrated, error.chance)},
    {"nll_before", offsetof(calibrated, nll_before)},   {"nll_after", offsetof(calibrated, nll_after)},
    {"nll_left_out", offsetof(calibrated, left_out)},
};

/* The figure of every calibrated step, by its id. */
static bool add_figure(cJSON *part, const figure *f, const evaluating *e, const evaluation *v, const calibrated *c)
{
    cJSON *by_step = cJSON_AddObjectToObject(part, f->key);
    for (size_t s = 0; by_step && s < v->n_steps; s++) {
        const double value = *(const double *)(const void *)((const char *)&c[s] + f->offset);
        if (c[s].done && isfinite(value) && !cJSON_AddNumberToObject(by_step, e->steps->steps[s].id, value))
            return false;
    }
    return by_step != NULL;
}

static cJSON *describe(const evaluating *e, const evaluation *v, const calibrated *c)
{
    cJSON *part = cJSON_CreateObject(), *bound = NULL;
    char on[100];
    snprintf(on, sizeof on, "%s split, %zu images of %zu patients", cot_split_name(e->split), e->manifest->n,
             e->patients);
    bool ok = part && cJSON_AddStringToObject(part, "on", on) &&
              cJSON_AddStringToObject(part, "manifest_sha256", e->manifest->sha256) &&
              (bound = cJSON_AddArrayToObject(part, "at_bound"));
    for (size_t i = 0; ok && i < sizeof figures / sizeof *figures; i++) ok = add_figure(part, &figures[i], e, v, c);
    for (size_t s = 0; ok && s < v->n_steps; s++)
        if (c[s].done && calibration_at_bound(c[s].temperature))
            ok = cJSON_AddItemToArray(bound, cJSON_CreateString(e->steps->steps[s].id));
    if (ok) return part;
    cJSON_Delete(part);
    return NULL;
}

/* calibration.READER of model.json, which `part` becomes; weights and everything else stay. */
static cot_status store(const calibrate_words *w, const cot_steps *steps, cJSON *part, cot_error *err)
{
    cot_status status;
    cot_package *package = NULL, *again = NULL;
    COT_TRY(cot_package_open(&package, w->package, steps, err));
    const safetensors *weights = package_source(package, "").file;
    cJSON *card = package_card(package)->json, *all = cJSON_GetObjectItemCaseSensitive(card, "calibration");
    if (!all) all = cJSON_AddObjectToObject(card, "calibration");
    cJSON *metrics = cJSON_GetObjectItemCaseSensitive(card, "metrics");
    const bool stored = all && package_card_set(all, reader_word(w), part);
    if (stored) part = NULL;
    if (!stored || (metrics && w->readers != COT_READ_TEACHER &&
                    !package_card_set(metrics, "certainty",
                                      cJSON_CreateString("softmax, calibrated by temperature where calibration has "
                                                         "one")))) {
        status = cot_fail(err, COT_E_MEMORY, "no memory for model.json");
        goto done;
    }
    if (w->output)
        COT_TRY(package_write(w->output, card, safetensors_at(weights, 0), safetensors_count(weights), false, err));
    else
        COT_TRY(package_write_card(w->package, card, err));
    COT_TRY(cot_package_open(&again, w->output ? w->output : w->package, steps, err));
done:
    cJSON_Delete(part);
    cot_package_close(package);
    cot_package_close(again);
    return status;
}

static void print(const evaluating *e, const evaluation *v, const calibrated *c)
{
    printf("%s %s (%s)\nfitted on the %s split: %zu images of %zu patients\n", v->reader.name, v->reader.version,
           v->reader_word, cot_split_name(e->split), e->manifest->n, e->patients);
    printf("%-12s %5s  %-11s  NLL: %-6s  %-6s  %-8s  ECE: %-6s  %-6s  by chance\n", "step", "n", "temperature",
           "before", "after", "left out", "before", "after");
    for (size_t s = 0; s < v->n_steps; s++)
        if (c[s].done)
            printf("%-12s %5zu  %-11.3f       %.3f   %.3f   %-8.3f       %.3f   %.3f   %.3f\n", e->steps->steps[s].id,
                   v->rows[s].n, c[s].temperature, c[s].nll_before, c[s].nll_after, c[s].left_out, c[s].ece_before,
                   c[s].ece_after, c[s].error.chance);
    printf("On the images it was fitted on; left out: on patients whose temperature was fitted on the others; by\n"
           "chance: of a perfectly calibrated model with these certainties.\n"
           "`%s evaluate --split test` says what it is worth.\n",
           COT_PROGRAM);
}

static void warn(const evaluating *e, const evaluation *v, const calibrated *c)
{
    for (size_t s = 0; s < v->n_steps; s++) {
        const char *id = e->steps->steps[s].id;
        if (!c[s].done || !calibration_at_bound(c[s].temperature)) continue;
        if (c[s].temperature > 1)
            fprintf(
                stderr,
                "%s calibrate: warning: %s: the temperature is at its bound of %g: on these images flat certainties "
                "are best, so the model's say nothing there. Train it further, or do not rely on this step\n",
                COT_PROGRAM, id, CALIBRATION_HIGH);
        else
            fprintf(stderr,
                    "%s calibrate: warning: %s: the temperature is at its bound of %g: all %zu images were answered "
                    "right, which cannot tell how sure is too sure. Calibrate on more images\n",
                    COT_PROGRAM, id, CALIBRATION_LOW, v->rows[s].n);
    }
}

/* Images that were learnt make a model look surer than it is. */
static cot_status refuse_learnt(const calibrate_words *w, const evaluating *e, cot_error *err)
{
    cot_status status;
    cot_package *package = NULL;
    COT_TRY(cot_package_open(&package, w->package, e->steps, err));
    const cJSON *recipe = cJSON_GetObjectItemCaseSensitive(package_card(package)->json, "recipe");
    const char *made = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(recipe, "manifest_sha256"));
    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(recipe, "refit")))
        status =
            cot_fail(err, COT_E_INPUT,
                     "%s has learnt the validation images (refit), on which it looks surer than it is. Calibrate a "
                     "run of the same recipe without --refit, then say --like with that package",
                     w->package);
    else if (e->split == COT_TRAIN && made && !strcmp(made, e->manifest->sha256))
        status = cot_fail(err, COT_E_INPUT,
                          "%s has learnt the training images of this manifest, on which it looks surer than it is. "
                          "Calibrate on the validation split",
                          w->package);
done:
    cot_package_close(package);
    return status;
}

static int run(const calibrate_words *w, evaluating *e)
{
    cot_status status;
    cot_error err = COT_ERROR_INIT;
    evaluation v = {0};
    calibrated *c = NULL;
    const evaluation_order order = {.package = w->package, .readers = w->readers};
    COT_TRY(evaluating_open(e, &err));
    COT_TRY(refuse_learnt(w, e, &err));
    COT_TRY(evaluation_run(&v, e, &order, &err));
    c = calloc(v.n_steps + 1, sizeof *c);
    if (!c) {
        status = cot_fail(&err, COT_E_MEMORY, "no memory");
        goto done;
    }
    COT_TRY(fit(c, &v, &err));
    if (!w->dry) COT_TRY(store(w, e->steps, describe(e, &v, c), &err));
    print(e, &v, c);
    warn(e, &v, c);
done:
    free(c);
    evaluation_fini(&v);
    evaluating_close(e);
    return status == COT_OK ? EXIT_SUCCESS : cli_failure("calibrate", &err);
}

/* ---- --like: temperatures of another package ---- */
static bool same_member(const cJSON *a, const cJSON *b, const char *key)
{
    const cJSON *x = cJSON_GetObjectItemCaseSensitive(a, key), *y = cJSON_GetObjectItemCaseSensitive(b, key);
    return (!x && !y) || cJSON_Compare(x, y, true);
}

/* What of a recipe can be the same when one run learnt the validation images and the other did not: numbers of epochs and
 * steps that are taught may differ. */
static cot_status refuse_unlike(const calibrate_words *w, const cJSON *like, const cot_steps *steps, cot_error *err)
{
    cot_status status;
    cot_package *package = NULL;
    COT_TRY(cot_package_open(&package, w->package, steps, err));
    const cJSON *card = package_card(package)->json;
    if (!same_member(card, like, "architecture") ||
        !same_member(cJSON_GetObjectItemCaseSensitive(card, "recipe"), cJSON_GetObjectItemCaseSensitive(like, "recipe"),
                     "stage"))
        status = cot_fail(err, COT_E_MODEL,
                          "%s is not of the recipe of %s (architecture or stage of the training): temperatures of the "
                          "one say nothing about the other. Calibrate it with --manifest",
                          w->package, w->like);
done:
    cot_package_close(package);
    return status;
}

static cot_status copy_of(cJSON **out, const calibrate_words *w, const cot_steps *steps, cot_error *err)
{
    cot_status status;
    cot_package *like = NULL;
    COT_TRY(cot_package_open(&like, w->like, steps, err));
    const cot_reader *who = cot_package_reader(like);
    const cJSON *all = cJSON_GetObjectItemCaseSensitive(package_card(like)->json, "calibration"),
                *part = cJSON_GetObjectItemCaseSensitive(all, reader_word(w));
    COT_TRY(refuse_unlike(w, package_card(like)->json, steps, err));
    cJSON *copy = part ? cJSON_Duplicate(part, true) : NULL, *from;
    if (!part) {
        status = cot_fail(err, COT_E_MODEL,
                          "%s: the %s of this package is not calibrated. Calibrate it first: %s "
                          "calibrate %s --manifest FILE",
                          w->like, reader_word(w), COT_PROGRAM, w->like);
        goto done;
    }
    cJSON_DeleteItemFromObjectCaseSensitive(copy, "like");
    if (!copy || !(from = cJSON_AddObjectToObject(copy, "like")) || !cJSON_AddStringToObject(from, "name", who->name) ||
        !cJSON_AddStringToObject(from, "version", who->version) ||
        !cJSON_AddStringToObject(from, "package_sha256", who->package_sha256)) {
        cJSON_Delete(copy);
        status = cot_fail(err, COT_E_MEMORY, "no memory for model.json");
        goto done;
    }
    *out = copy;
done:
    cot_package_close(like);
    return status;
}

static int run_like(const calibrate_words *w, const evaluating *e)
{
    cot_status status;
    cot_error err = COT_ERROR_INIT;
    cot_steps *steps = NULL;
    cJSON *copy = NULL;
    COT_TRY(cot_steps_load(&steps, e->steps_path, &err));
    COT_TRY(copy_of(&copy, w, steps, &err));
    const cJSON *t;
    cJSON_ArrayForEach(t, cJSON_GetObjectItemCaseSensitive(copy, "temperature"))
        printf("%-14s temperature %.3f\n", t->string, t->valuedouble);
    printf("Fitted for %s, not for this model: `%s evaluate --split test` says what it is worth.\n", w->like,
           COT_PROGRAM);
    if (!w->dry) {
        status = store(w, steps, copy, &err);
        copy = NULL;
    }
done:
    cJSON_Delete(copy);
    cot_steps_destroy(steps);
    return status == COT_OK ? EXIT_SUCCESS : cli_failure("calibrate", &err);
}

/* NULL, or what is wrong. */
static const char *take_words(calibrate_words *w, evaluating *e, const char *const *words, size_t n)
{
    struct stat st;
    if (n != 1 || !w->manifest == !w->like)
        return "name one PACKAGE, and --manifest FILE for the images to fit on, or --like PACKAGE";
    w->package = words[0];
    e->manifest_path = w->manifest;
    e->split = w->split && !strcmp(w->split, "train") ? COT_TRAIN : COT_VALIDATION;
    if (!cot_readers_named(&w->readers, w->model) || w->readers == COT_READ_BOTH)
        return "--model is student or teacher";
    if (w->split && strcmp(w->split, "train") != 0 && strcmp(w->split, "validation") != 0)
        return "--split is validation or train: the test split must stay unseen";
    if (w->like && (w->split || e->images || e->device_match))
        return "--like looks at no image: it goes without --split, --images and --device";
    if (!strcmp(w->package, "default") && !w->output && !w->dry)
        return "the model in the program cannot be changed: add -o DIR for a calibrated copy";
    if (w->output && lstat(w->output, &st) == 0) return "what -o names is there already";
    return NULL;
}

int cot_cmd_calibrate(int argc, char **argv)
{
    calibrate_words w = {.model = ""};
    evaluating e = {.command = "calibrate"};
    const cli_option options[] = {
        {"manifest", 0, "FILE", NULL, &w.manifest, NULL, 0},
        {"like", 0, "PACKAGE", NULL, &w.like, NULL, 0},
        {"model", 0, "student|teacher", NULL, &w.model, NULL, 0},
        {"split", 0, "validation|train", NULL, &w.split, NULL, 0},
        {"output", 'o', "DIR", NULL, &w.output, NULL, 0},
        {"dry-run", 0, NULL, &w.dry, NULL, NULL, 0},
        {"images", 0, "DIR", NULL, &e.images, NULL, 0},
        {"steps", 0, "FILE", NULL, &e.steps_path, NULL, 0},
        {"device", 0, "X", NULL, &e.device_match, NULL, 0},
    };
    size_t n;
    int code = EXIT_USAGE;
    const char **words = calloc((size_t)argc + 1, sizeof *words);
    if (words && cli_parse(argc, argv, options, sizeof options / sizeof *options, help, words, &n, &code)) {
        const char *wrong = take_words(&w, &e, words, n);
        code = wrong ? cli_usage("calibrate", "%s", wrong) : w.like ? run_like(&w, &e) : run(&w, &e);
    }
    free(words);
    return code;
}
