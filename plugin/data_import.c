/* What all imports do after their source has been read (data_command.h): look at every image, scale the boxes to it, leave
 * out and count what cannot be used, split by patient, write. SPDX-License-Identifier: Apache-2.0 */
#include "plugin/cli.h"
#include "plugin/data_command.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- images ---- */
typedef struct looking {
    cot_manifest *manifest;
    data_import *import;
    double width, height;
    bool *keep;
} looking;

static void scale_boxes(cot_case *c, double width, double height)
{
    const double x = (double)c->cols / width, y = (double)c->rows / height;
    for (size_t b = 0; b < c->n_boxes; b++) {
        c->boxes[b].x *= x;
        c->boxes[b].w *= x;
        c->boxes[b].y *= y;
        c->boxes[b].h *= y;
    }
}

static void take_image(void *ctx, size_t at, const data_image *image)
{
    looking *l = ctx;
    cot_case *c = &l->manifest->cases[at];
    l->keep[at] = image->readable;
    if (image->missing)
        data_say(l->import->log, DATA_MISSING, l->manifest->path, c->line, "image %s is not there; left out", c->path);
    else if (!image->readable)
        data_say(l->import->log, DATA_UNREADABLE, l->manifest->path, c->line, "image %s: %s; left out", c->path,
                 image->text);
    else {
        c->rows = image->rows;
        c->cols = image->cols;
        memcpy(c->sha256, image->sha256, sizeof c->sha256);
        if (l->width > 0) scale_boxes(c, l->width, l->height);
    }
}

/* ---- the list of test patients ---- */
static char *trimmed(char *line)
{
    line += strspn(line, " \t");
    size_t n = strlen(line);
    while (n && strchr(" \t\r", line[n - 1])) n--;
    line[n] = 0;
    return line;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Named by line, not by name: who is ill is nobody's business in a log. */
static cot_status name_absent(const cot_manifest *manifest, const data_import *import, const char *const *listed,
                              const size_t *lines, size_t n, cot_error *err)
{
    const char **here = calloc(manifest->n + 1, sizeof *here);
    if (!here) return cot_fail(err, COT_E_MEMORY, "no memory for %zu patients", manifest->n);
    for (size_t i = 0; i < manifest->n; i++) here[i] = manifest->cases[i].patient;
    qsort(here, manifest->n, sizeof *here, by_text);
    for (size_t i = 0; i < n; i++)
        if (!bsearch(&listed[i], here, manifest->n, sizeof *here, by_text))
            data_say(import->log, DATA_ABSENT, import->test_list, lines[i], "no image here is of this patient");
    free(here);
    return COT_OK;
}

static cot_status split_as_asked(cot_manifest *manifest, const data_import *import, cot_error *err)
{
    cot_status status = COT_OK;
    cot_split_options asked = import->split;
    const char *const test_list = import->test_list;
    char *text = NULL, *rest;
    const char **patients = NULL;
    size_t size = 0, lines = 1, *at = NULL;
    if (!test_list) return cot_manifest_split(manifest, import->steps, &asked, err);
    COT_TRY(cot_file_read(&text, &size, test_list, (size_t)64 << 20, err));
    for (size_t i = 0; i < size; i++) lines += text[i] == '\n';
    patients = calloc(lines, sizeof *patients);
    at = calloc(lines, sizeof *at);
    if (!patients || !at) {
        status = cot_fail(err, COT_E_MEMORY, "%s: no memory", test_list);
        goto done;
    }
    rest = text;
    lines = 0;
    for (char *line; (line = strsep(&rest, "\n"));) {
        lines++;
        if (!*(line = trimmed(line))) continue;
        at[asked.n_test_patients] = lines;
        patients[asked.n_test_patients++] = line;
    }
    asked.test_patients = patients;
    if (!asked.n_test_patients) {
        status = cot_fail(err, COT_E_INPUT, "%s: names no patient: one a line", test_list);
        goto done;
    }
    status = cot_manifest_split(manifest, import->steps, &asked, err);
    if (status == COT_OK)
        status = name_absent(manifest, import, patients, at, asked.n_test_patients, err);
    else
        cot_fail_in(err, "%s", test_list);
done:
    free(at);
    free(patients);
    free(text);
    return status;
}

/* ---- where the images are, as the manifest will say it ---- */
static void folder_of(char *to, size_t size, const char *file)
{
    const char *slash = strrchr(file, '/');
    snprintf(to, size, "%.*s", slash ? (int)(slash - file + 1) : 1, slash ? file : ".");
}

/* manifest->images is the folder as found; relative to the manifest's own folder when it is below that. */
static cot_status relate_images(cot_manifest *m, const char *out, cot_error *err)
{
    cot_status status = COT_OK;
    char folder[1024];
    folder_of(folder, sizeof folder, out);
    char *images = realpath(m->images, NULL), *home = realpath(folder, NULL);
    if (!images || !home) {
        status = cot_fail(err, COT_E_IO, "%s: cannot be found on disk", images ? folder : m->images);
        goto done;
    }
    const size_t n = strlen(home);
    const char *to = images;
    if (!strcmp(images, home))
        to = "";
    else if (!strncmp(images, home, n) && images[n] == '/')
        to = images + n + 1;
    if (snprintf(m->images, sizeof m->images, "%s", to) >= (int)sizeof m->images)
        status = cot_fail(err, COT_E_LIMIT, "the path of the images folder is too long");
done:
    free(images);
    free(home);
    return status;
}

/* Of the split before, only what stands before it is kept. */
static void note_split(cot_manifest *m, const data_import *import)
{
    char *before = strstr(m->made, "; split ");
    if (before) *before = 0;
    const size_t n = strlen(m->made);
    const double *share = import->split.share;
    if (import->test_list)
        snprintf(m->made + n, sizeof m->made - n, "; split by patient, test as listed, others %g:%g, seed %llu",
                 share[COT_TRAIN], share[COT_VALIDATION], (unsigned long long)import->split.seed);
    else
        snprintf(m->made + n, sizeof m->made - n, "; split by patient %g:%g:%g, seed %llu", share[COT_TRAIN],
                 share[COT_VALIDATION], share[COT_TEST], (unsigned long long)import->split.seed);
}

cot_status data_output_check(const char *out, cot_error *err)
{
    static const char begins[] = "{\"schema\":\"urn:stepcot:manifest:";
    char folder[1024], first[sizeof begins] = "";
    struct stat st;
    folder_of(folder, sizeof folder, out);
    if (access(folder, W_OK | X_OK) != 0)
        return cot_fail(err, COT_E_IO, "%s: cannot be written in %s: %s", out, folder, strerror(errno));
    if (stat(out, &st) != 0 || (S_ISREG(st.st_mode) && !st.st_size)) return COT_OK;
    FILE *there = S_ISREG(st.st_mode) ? fopen(out, "rbe") : NULL;
    const bool read = there && fread(first, 1, sizeof begins - 1, there) == sizeof begins - 1;
    if (there) fclose(there);
    if (read && !strcmp(first, begins)) return COT_OK;
    return cot_fail(err, COT_E_USAGE, "%s is there and is no manifest, so it is not replaced: name another file", out);
}

cot_status data_resplit(cot_manifest *m, const data_import *import, cot_error *err)
{
    cot_status status;
    COT_TRY(split_as_asked(m, import, err));
    note_split(m, import);
    snprintf(m->images, sizeof m->images, "%s", m->folder);
    COT_TRY(relate_images(m, import->out, err));
    COT_TRY(cot_manifest_write(m, import->out, import->steps, err));
done:
    return status;
}

cot_status data_import_finish(cot_manifest *m, data_import *import, double width, double height, cot_error *err)
{
    cot_status status;
    looking l = {m, import, width, height, calloc(m->n + 1, sizeof(bool))};
    if (!l.keep) {
        status = cot_fail(err, COT_E_MEMORY, "no memory for %zu images", m->n);
        goto done;
    }
    snprintf(m->folder, sizeof m->folder, "%s", m->images);
    COT_TRY(data_images_look(m, import->steps, take_image, &l, err));
    cot_manifest_keep(m, l.keep);
    if (!m->n) {
        status = cot_fail(err, COT_E_INPUT, "%s: no image is left; nothing was written", import->dir);
        goto done;
    }
    COT_TRY(data_resplit(m, import, err));
    COT_TRY(data_twins_say(m, import->log, err)); /* by the manifest's lines */
done:
    free(l.keep);
    return status;
}
