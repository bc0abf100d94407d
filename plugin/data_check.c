/* stepcot data check: everything that can be wrong with a manifest and its images, each with its line; and the class counts
 * that training will see. SPDX-License-Identifier: Apache-2.0 */
#include "plugin/cli.h"
#include "plugin/data_command.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

typedef struct checking {
    const cot_manifest *manifest;
    data_check *check;
} checking;

static void hear_fault(void *ctx, size_t line, const char *text)
{
    data_check *check = ctx;
    data_say(check->log, DATA_BROKEN, check->path, line, "%s", text);
}

static void look(void *ctx, size_t at, const data_image *image)
{
    checking *c = ctx;
    const cot_case *one = &c->manifest->cases[at];
    data_log *const log = c->check->log;
    const char *const file = c->check->path;
    if (image->missing)
        data_say(log, DATA_MISSING, file, one->line, "image %s is not there", one->path);
    else if (!image->readable)
        data_say(log, DATA_UNREADABLE, file, one->line, "image %s: %s", one->path, image->text);
    else if (image->rows != one->rows || image->cols != one->cols)
        data_say(log, DATA_CHANGED, file, one->line, "image %s has %zu x %zu pixels, the manifest says %zu x %zu",
                 one->path, image->cols, image->rows, one->cols, one->rows);
    else if (strcmp(image->sha256, one->sha256))
        data_say(log, DATA_CHANGED, file, one->line, "image %s is another than when the manifest was made", one->path);
}

static int by_digest(const void *a, const void *b)
{
    const cot_case *left = *(cot_case *const *)a, *right = *(cot_case *const *)b;
    const int order = strcmp(left->sha256, right->sha256);
    return order ? order : (left->line > right->line) - (left->line < right->line);
}

cot_status data_twins_say(const cot_manifest *m, data_log *log, cot_error *err)
{
    const cot_case **order = calloc(m->n + 1, sizeof *order);
    if (!order) return cot_fail(err, COT_E_MEMORY, "%s: no memory", m->path);
    for (size_t i = 0; i < m->n; i++) order[i] = &m->cases[i];
    qsort((void *)order, m->n, sizeof *order, by_digest);
    for (size_t i = 1, first = 0; i < m->n; i++) {
        const cot_case *one = order[i], *other = order[first];
        if (strcmp(one->sha256, other->sha256)) {
            first = i;
            continue;
        }
        const bool people = strcmp(one->patient, other->patient) != 0, splits = one->split != other->split;
        data_say(log, people || splits ? DATA_TWICE : DATA_SAME, m->path, one->line,
                 "the same image as line %zu, %s%s%s", other->line, other->path, people ? ", of another patient" : "",
                 splits ? ", in another split" : "");
    }
    free((void *)order);
    return COT_OK;
}

/* ---- what is said ---- */
void data_counts_print(const cot_manifest *m, const cot_steps *steps, FILE *stream)
{
    fprintf(stream, "%-14s %-18s %8s %11s %8s\n", "step", "option", "train", "validation", "test");
    for (size_t s = 0; s < steps->n_steps; s++)
        for (int o = 0; o <= (int)steps->steps[s].n_options; o++) {
            const bool masked = o == (int)steps->steps[s].n_options;
            const int option = masked ? COT_MASKED : o;
            fprintf(stream, "%-14s %-18s %8zu %11zu %8zu\n", o ? "" : steps->steps[s].id,
                    masked ? "(masked)" : steps->steps[s].options[o].id, cot_manifest_count(m, COT_TRAIN, s, option),
                    cot_manifest_count(m, COT_VALIDATION, s, option), cot_manifest_count(m, COT_TEST, s, option));
        }
}

static void put_counts(cJSON *to, const cot_manifest *m, const cot_step *step, size_t s)
{
    cJSON *options = cJSON_AddObjectToObject(to, step->id);
    for (int o = 0; o <= (int)step->n_options; o++) {
        const bool masked = o == (int)step->n_options;
        cJSON *splits = cJSON_AddObjectToObject(options, masked ? "(masked)" : step->options[o].id);
        for (int split = 0; split < COT_SPLITS; split++)
            cJSON_AddNumberToObject(splits, cot_split_name((cot_split)split),
                                    (double)cot_manifest_count(m, (cot_split)split, s, masked ? COT_MASKED : o));
    }
}

static cot_status print_json(const cot_manifest *m, const data_check *check, cot_error *err)
{
    cJSON *root = cJSON_CreateObject(), *faults = cJSON_AddObjectToObject(root, "faults");
    cJSON_AddStringToObject(root, "manifest", check->path);
    cJSON_AddStringToObject(root, "sha256", m->sha256);
    cJSON_AddNumberToObject(root, "images", (double)m->n);
    cJSON_AddBoolToObject(root, "decoded", !check->skip_images);
    cJSON *warnings = cJSON_AddObjectToObject(root, "warnings");
    for (int k = 0; k < DATA_KINDS; k++)
        cJSON_AddNumberToObject(k < DATA_FAULTS ? faults : warnings, data_kind_name((data_kind)k),
                                (double)check->log->n[k]);
    cJSON *counts = cJSON_AddObjectToObject(root, "counts");
    for (size_t s = 0; s < check->steps->n_steps; s++) put_counts(counts, m, &check->steps->steps[s], s);
    char *text = cJSON_PrintUnformatted(root);
    if (text) puts(text);
    cJSON_Delete(root);
    if (!text) return cot_fail(err, COT_E_MEMORY, "no memory for the result");
    cJSON_free(text);
    return COT_OK;
}

cot_status data_check_run(data_check *check, cot_error *err)
{
    cot_status status;
    char where[1024], title[512];
    cot_manifest *m = NULL;
    cot_data_faults faults = {hear_fault, check, 0};
    COT_TRY(cot_manifest_open(&m, check->path, check->images, check->steps, &faults, err));
    checking c = {m, check};
    COT_TRY(data_twins_say(m, check->log, err));
    if (!check->skip_images) COT_TRY(data_images_look(m, check->steps, look, &c, err));
    if (check->json) {
        COT_TRY(print_json(m, check, err));
    } else {
        printf("%s: %s\n%zu images; labels and splits:\n", cli_shown(where, sizeof where, check->path),
               cli_shown(title, sizeof title, m->title[0] ? m->title : "(no title)"), m->n);
        data_counts_print(m, check->steps, stdout);
        if (strcmp(m->steps_sha256, check->steps->sha256))
            puts("The step schema's wording has changed since this manifest was made; its steps and options have not.");
    }
done:
    cot_manifest_destroy(m);
    return status;
}
