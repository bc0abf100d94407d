/* stepcot calibrate: temperatures fitted on validation images, written into the package. Answers do not change, certainties
 * do. SPDX-License-Identifier: Apache-2.0 */
#include "engine/package_write.h"
#include "plugin/evaluate.h"

#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: stepcot calibrate MANIFEST --package DIR [OPTIONS]\n\n"
    "Fits one temperature per step on the validation split, so that a certainty of 80 % is right in about 8 of 10 "
    "such\n"
    "images, writes them into DIR/model.json and prints the calibration error (ECE) before and after. Readings with "
    "the\n"
    "package then give calibrated certainties and say so; answers stay the same.\n\n"
    "      --package DIR   the package to change\n"
    "      --model WORD    student (default) or teacher\n"
    "      --split WORD    the images to fit on: validation (default) or train\n"
    "      --dry-run       print, change nothing\n"
    "      --images DIR    where the manifest's images are, when not where it says\n"
    "      --steps FILE    a step schema other than the embedded one\n"
    "      --device X      part of an OpenCL platform or device name, or cpu, or gpu (default: the best)\n\n"
    "Example:\n"
    "  stepcot calibrate chest.jsonl --package run1/model && stepcot evaluate chest.jsonl --package run1/model\n\n"
    "Exit codes: 0 done, 1 data not as they must be, 2 wrong usage, 3 step schema, 4 model or device, 5 file "
    "system.\n" COT_NOT_A_DEVICE "\n";

typedef struct calibrated {
    bool done;
    double temperature, before, after; /* ECE */
} calibrated;

static cot_status fit(calibrated *out, const evaluation *v, cot_error *err)
{
    cot_status status = COT_OK;
    score_interval scores[SCORES];
    for (size_t s = 0; s < v->n_steps; s++) {
        if (!v->available[s]) continue;
        out[s] = (calibrated){true, score_temperature(&v->rows[s]), 0, 0};
        COT_TRY(scores_of(scores, &v->rows[s], 1, 0, 1, err));
        out[s].before = scores[SCORE_ECE].value;
        COT_TRY(scores_of(scores, &v->rows[s], out[s].temperature, 0, 1, err));
        out[s].after = scores[SCORE_ECE].value;
    }
done:
    return status;
}

static cJSON *describe(const evaluating *e, const evaluation *v, const calibrated *c)
{
    cJSON *part = cJSON_CreateObject(), *t = NULL, *before = NULL, *after = NULL;
    char on[100];
    snprintf(on, sizeof on, "%s split, %zu images", cot_split_name(e->split), e->manifest->n);
    bool ok = part && cJSON_AddStringToObject(part, "on", on) &&
              cJSON_AddStringToObject(part, "manifest_sha256", e->manifest->sha256) &&
              (t = cJSON_AddObjectToObject(part, "temperature")) &&
              (before = cJSON_AddObjectToObject(part, "ece_before")) &&
              (after = cJSON_AddObjectToObject(part, "ece_after"));
    for (size_t s = 0; ok && s < v->n_steps; s++) {
        const char *id = e->steps->steps[s].id;
        if (c[s].done)
            ok = cJSON_AddNumberToObject(t, id, c[s].temperature) && cJSON_AddNumberToObject(before, id, c[s].before) &&
                 cJSON_AddNumberToObject(after, id, c[s].after);
    }
    if (ok) return part;
    cJSON_Delete(part);
    return NULL;
}

/* calibration.READER of model.json; weights and everything else stay. */
static cot_status store(const char *folder, const evaluating *e, const evaluation *v, const calibrated *c,
                        cot_error *err)
{
    cot_status status;
    cot_package *package = NULL, *again = NULL;
    COT_TRY(cot_package_open(&package, folder, e->steps, err));
    cJSON *card = package_card(package)->json, *all = cJSON_GetObjectItemCaseSensitive(card, "calibration");
    if (!all) all = cJSON_AddObjectToObject(card, "calibration");
    cJSON *metrics = cJSON_GetObjectItemCaseSensitive(card, "metrics");
    if (!all || !package_card_set(all, v->reader_word, describe(e, v, c)) ||
        (metrics &&
         !package_card_set(metrics, "certainty", cJSON_CreateString("softmax, calibrated by temperature")))) {
        status = cot_fail(err, COT_E_MEMORY, "no memory for model.json");
        goto done;
    }
    COT_TRY(package_write_card(folder, card, err));
    COT_TRY(cot_package_open(&again, folder, e->steps, err));
done:
    cot_package_close(package);
    cot_package_close(again);
    return status;
}

static void print(const evaluating *e, const evaluation *v, const calibrated *c)
{
    printf("%s %s (%s), fitted on the %s split: %zu images of %zu patients\n", v->reader.name, v->reader.version,
           v->reader_word, cot_split_name(e->split), e->manifest->n, e->patients);
    printf("%-14s %5s  %-11s  %-10s  %s\n", "step", "n", "temperature", "ECE before", "ECE after");
    for (size_t s = 0; s < v->n_steps; s++)
        if (c[s].done)
            printf("%-14s %5zu  %-11.3f  %-10.3f  %.3f\n", e->steps->steps[s].id, v->rows[s].n, c[s].temperature,
                   c[s].before, c[s].after);
    printf("On the images it was fitted on; `%s evaluate --split test` says what it is worth on others.\n",
           COT_PROGRAM);
}

static int run(const char *folder, cot_readers readers, bool dry, evaluating *e)
{
    cot_status status;
    cot_error err = COT_ERROR_INIT;
    evaluation v = {0};
    calibrated *c = NULL;
    const evaluation_order order = {.package = folder, .readers = readers};
    COT_TRY(evaluating_open(e, &err));
    COT_TRY(evaluation_run(&v, e, &order, &err));
    c = calloc(v.n_steps + 1, sizeof *c);
    if (!c) {
        status = cot_fail(&err, COT_E_MEMORY, "no memory");
        goto done;
    }
    COT_TRY(fit(c, &v, &err));
    if (!dry) COT_TRY(store(folder, e, &v, c, &err));
    print(e, &v, c);
done:
    free(c);
    evaluation_fini(&v);
    evaluating_close(e);
    return status == COT_OK ? EXIT_SUCCESS : cli_failure("calibrate", &err);
}

int cot_cmd_calibrate(int argc, char **argv)
{
    const char *package = NULL, *model = "", *split = "validation";
    bool dry = false;
    evaluating e = {.command = "calibrate"};
    const cli_option options[] = {
        {"package", 0, "DIR", NULL, &package, NULL, 0},          {"model", 0, "student|teacher", NULL, &model, NULL, 0},
        {"split", 0, "validation|train", NULL, &split, NULL, 0}, {"dry-run", 0, NULL, &dry, NULL, NULL, 0},
        {"images", 0, "DIR", NULL, &e.images, NULL, 0},          {"steps", 0, "FILE", NULL, &e.steps_path, NULL, 0},
        {"device", 0, "X", NULL, &e.device_match, NULL, 0},
    };
    size_t n;
    int code = EXIT_USAGE;
    cot_readers readers;
    const char **words = calloc((size_t)argc + 1, sizeof *words);
    if (words && cli_parse(argc, argv, options, sizeof options / sizeof *options, help, words, &n, &code)) {
        e.split = !strcmp(split, "train") ? COT_TRAIN : COT_VALIDATION;
        if (n != 1 || !package)
            code = cli_usage("calibrate", "name one MANIFEST, and --package DIR for the package to change");
        else if (!cot_readers_named(&readers, model) || readers == COT_READ_BOTH)
            code = cli_usage("calibrate", "--model is student or teacher");
        else if (strcmp(split, "train") != 0 && strcmp(split, "validation") != 0)
            code = cli_usage("calibrate", "--split is validation or train: the test split must stay unseen");
        else {
            e.manifest_path = words[0];
            code = run(package, readers, dry, &e);
        }
    }
    free(words);
    return code;
}
