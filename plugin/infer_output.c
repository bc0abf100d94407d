/* What `stepcot infer` prints and writes (infer.h). File names come from the input's own base name when that is a plain one,
 * never from what is inside the file. SPDX-License-Identifier: Apache-2.0 */
#include "plugin/infer.h"
#include "plugin/reporting.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

cot_status infer_output_init(infer_output *out, const char *folder, bool json, cot_error *err)
{
    struct stat st;
    memset(out, 0, sizeof *out);
    out->folder = folder;
    out->json = json;
    if (!folder) return COT_OK;
    if (mkdir(folder, 0750) != 0 && errno != EEXIST)
        return cot_fail(err, COT_E_IO, "make folder %s: %s", folder, strerror(errno));
    if (stat(folder, &st) != 0 || !S_ISDIR(st.st_mode))
        return cot_fail(err, COT_E_IO, "%s is not a folder. Name another with -o", folder);
    return COT_OK;
}

/* A reading whose report is that of its study. */
struct infer_kept {
    char *path;
    cot_chain *chain;
    char study[65], dataset_sha256[65];
    bool written;
};

void infer_output_fini(infer_output *out)
{
    for (size_t i = 0; i < out->n_kept; i++) {
        free(out->kept[i].path);
        cot_chain_destroy(out->kept[i].chain);
    }
    free(out->kept);
    out->kept = NULL;
    out->n_kept = 0;
    tdestroy(out->names, free);
    out->names = NULL;
}

/* ---- names ---- */
static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* false: the name was given before, or there is no memory. */
static bool name_is_new(infer_output *out, const char *name)
{
    char *copy = strdup(name);
    if (!copy) return false;
    char **kept = tsearch(copy, &out->names, by_name);
    const bool fresh = kept && *kept == copy;
    if (!fresh) free(copy);
    return fresh;
}

static void stem_of(char stem[101], const char *path)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dot = strrchr(base, '.');
    const size_t n = dot && dot > base && strlen(dot) <= 5 ? (size_t)(dot - base) : strlen(base);
    const bool plain = base[0] != '.' && base[0] != '-' && n > 0 && n <= 100 &&
                       strspn(base, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") >= n;
    snprintf(stem, 101, "%.*s", plain ? (int)n : 7, plain ? base : "reading");
}

static cot_status place(infer_output *out, char *to, size_t size, const char *path, const char *ending, cot_error *err)
{
    char stem[101], name[160];
    stem_of(stem, path);
    snprintf(name, sizeof name, "%s%s", stem, ending);
    for (unsigned k = 2; !name_is_new(out, name); k++) {
        if (k > 1000000) return cot_fail(err, COT_E_LIMIT, "no free name for the result of %s", path);
        snprintf(name, sizeof name, "%s-%u%s", stem, k, ending);
    }
    if (snprintf(to, size, "%s/%s", out->folder, name) >= (int)size)
        return cot_fail(err, COT_E_LIMIT, "%s: the path is too long. Name a shorter folder with -o", out->folder);
    return COT_OK;
}

/* ---- files ---- */
typedef struct output_form {
    cot_report_kind kind;
    const char *ending, *of_study;
} output_form;
static const output_form output_forms[] = {{COT_REPORT_READING, ".sr.dcm", ".study.sr.dcm"},
                                           {COT_REPORT_MEASUREMENT, ".measurements.dcm", ".study.measurements.dcm"},
                                           {COT_REPORT_CAPTURE, ".capture.dcm", NULL}};

/* What was written and failed lint is kept for people, under a name that no *.dcm catches. */
static void put_aside(const char *path)
{
    char aside[1200];
    snprintf(aside, sizeof aside, "%s.parked", path);
    rename(path, aside);
}

static cot_status write_one(infer_output *out, const output_form *form, const cot_report_order *what,
                            cot_sandbox *sandbox, cot_error *err)
{
    cot_status status;
    char to[1100];
    cot_report_order order = *what;
    order.options.kind = form->kind;
    order.options.capture_steps = out->capture_steps;
    order.path = to;
    COT_TRY(place(out, to, sizeof to, what->source, what->n_more ? form->of_study : form->ending, err));
    COT_TRY(cot_sandbox_reports(sandbox, &order, 1, err));
    if (order.error.status != COT_OK) {
        put_aside(to);
        return cot_fail(err, order.error.status, "%s", order.error.text);
    }
    out->written++;
done:
    return status;
}

static bool is_measured(const cot_report_order *what)
{
    bool any = cot_report_measurable(what->chain);
    for (size_t i = 0; i < what->n_more; i++) any = any || cot_report_measurable(what->more[i].chain);
    return any;
}

/* A study has no picture of its own, and an image whose study gets the reports has no other. */
static bool is_asked(const infer_output *out, const cot_report_order *what, const output_form *form, bool study)
{
    if (form->kind == COT_REPORT_CAPTURE ? !out->capture || study : out->per_study && !study) return false;
    return form->kind == COT_REPORT_READING || is_measured(what);
}

/* Each by itself: one that fails holds back no other. The first failure is the caller's, later ones are said here. */
static cot_status write_reports(infer_output *out, const cot_report_order *what, bool study, cot_sandbox *sandbox,
                                cot_error *err)
{
    cot_status status = COT_OK;
    for (size_t i = 0; i < sizeof output_forms / sizeof *output_forms; i++) {
        cot_error one = COT_ERROR_INIT;
        if (!is_asked(out, what, &output_forms[i], study)) continue;
        if (write_one(out, &output_forms[i], what, sandbox, &one) == COT_OK) continue;
        if (status == COT_OK) {
            status = cot_fail(err, one.status, "%s", one.text);
        } else {
            cot_fail_in(&one, "%s", what->source);
            cli_failure("infer", &one);
        }
    }
    return status;
}

/* ---- studies ---- */
static cot_status keep(infer_output *out, cot_chain **chain, const char *path, const cot_decoded *decoded,
                       cot_error *err)
{
    struct infer_kept *more = realloc(out->kept, (out->n_kept + 1) * sizeof *more);
    if (more) out->kept = more;
    char *copy = more ? strdup(path) : NULL;
    if (!copy) return cot_fail(err, COT_E_MEMORY, "no memory to keep a reading for the report of its study");
    struct infer_kept *k = &out->kept[out->n_kept++];
    *k = (struct infer_kept){.path = copy, .chain = *chain};
    memcpy(k->study, decoded->head.study, sizeof k->study);
    memcpy(k->dataset_sha256, decoded->head.dataset_sha256, sizeof k->dataset_sha256);
    *chain = NULL;
    return COT_OK;
}

/* All kept readings of the study of kept[first]. */
static cot_status write_study(infer_output *out, size_t first, const cot_config *config, cot_sandbox *sandbox,
                              cot_error *err)
{
    size_t n = 0;
    cot_report_image *images = calloc(out->n_kept, sizeof *images);
    if (!images) return cot_fail(err, COT_E_MEMORY, "no memory for a study of %zu images", out->n_kept);
    for (size_t i = first; i < out->n_kept; i++) {
        struct infer_kept *k = &out->kept[i];
        if (strcmp(k->study, out->kept[first].study) != 0) continue;
        images[n++] = (cot_report_image){k->path, k->dataset_sha256, k->chain};
        k->written = true;
    }
    const cot_report_order what = {.source = images[0].source,
                                   .dataset_sha256 = images[0].dataset_sha256,
                                   .chain = images[0].chain,
                                   .more = images + 1,
                                   .n_more = n - 1,
                                   .options = reporting_options(config),
                                   .now_utc = (int64_t)time(NULL)};
    const cot_status status = write_reports(out, &what, true, sandbox, err);
    free(images);
    return status;
}

cot_status infer_output_studies(infer_output *out, const cot_config *config, cot_sandbox *sandbox, size_t *failed,
                                cot_error *err)
{
    *failed = 0;
    for (size_t i = 0; i < out->n_kept; i++) {
        cot_error one = COT_ERROR_INIT;
        if (out->kept[i].written) continue;
        const cot_status status = write_study(out, i, config, sandbox, &one);
        if (status == COT_E_BUG || status == COT_E_MEMORY) return cot_fail(err, status, "%s", one.text);
        if (status == COT_OK) continue;
        ++*failed;
        cot_fail_in(&one, "the study of %s", out->kept[i].path);
        cli_failure("infer", &one);
    }
    return COT_OK;
}

static cot_status write_json(infer_output *out, const char *json, const char *path, cot_error *err)
{
    cot_status status;
    char to[1100];
    COT_TRY(place(out, to, sizeof to, path, ".json", err));
    COT_TRY(cot_file_write_durable(to, json, strlen(json), err));
    out->written++;
done:
    return status;
}

cot_status infer_output_put(infer_output *out, cot_chain **taken, const cot_steps *steps, const cot_config *config,
                            const char *path, const cot_decoded *decoded, cot_sandbox *sandbox, cot_error *err)
{
    cot_status status = COT_OK;
    char *json = NULL, shown[512];
    const cot_chain *chain = *taken;
    const bool as_report = out->folder && reporting_possible(decoded);
    COT_TRY(cot_chain_to_json(&json, chain, steps, path, err));
    if (out->json)
        puts(json);
    else
        cot_chain_print(chain, steps, path, stdout);
    fflush(stdout);
    if (!out->folder) goto done;
    if (as_report) {
        const cot_report_order what = {.source = path,
                                       .dataset_sha256 = decoded->head.dataset_sha256,
                                       .chain = chain,
                                       .options = reporting_options(config),
                                       .now_utc = (int64_t)time(NULL)};
        status = write_reports(out, &what, false, sandbox, err);
        if (out->per_study && keep(out, taken, path, decoded, err) != COT_OK) status = err->status;
        goto done;
    }
    fprintf(stderr, "stepcot infer: %s: JSON instead of a report: %s\n", cli_shown(shown, sizeof shown, path),
            decoded->dicom ? "the file did not pass the guard, so its patient and study are not trusted"
                           : "there is no patient or study to file one under (not DICOM)");
    COT_TRY(write_json(out, json, path, err));
done:
    free(json);
    return status;
}
