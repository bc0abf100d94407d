/* A manifest from disk, as hostile as any file: lines are bounded before they are parsed, members are known ones of the right
 * kind, options are found by name. What is wrong is said with its line; whether it ends the reading is the caller's choice.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/manifest.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct reader {
    cot_manifest *manifest;
    const cot_steps *steps;
    FILE *file;
    char *text;   /* [MANIFEST_LINE_MAX + 1] the line */
    size_t line;  /* its number */
    size_t cases; /* lines of images so far, good or not */
    double promised;
    cot_sha256 *sha;
    cot_data_faults *faults;
    cot_error *err;
} reader;

/* Said and COT_OK, or COT_E_INPUT where nobody listens. */
static cot_status fault(reader *r, size_t line, const char *format, ...) COT_PRINTF(3, 4);
static cot_status fault(reader *r, size_t line, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (!r->faults) return cot_fail(r->err, COT_E_INPUT, "%s:%zu: %s", r->manifest->path, line, text);
    r->faults->n++;
    r->faults->say(r->faults->ctx, line, text);
    return COT_OK;
}

/* ---- members of one line; false with the reason in `why` ---- */
enum { WHY = 384 };
static bool because(char why[WHY], const char *format, ...) COT_PRINTF(2, 3);
static bool because(char why[WHY], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(why, WHY, format, args);
    va_end(args);
    return false;
}

static bool known_members(const cJSON *object, const char *const *known, size_t n, char why[WHY])
{
    const cJSON *item;
    cJSON_ArrayForEach(item, object)
    {
        size_t k = 0;
        while (k < n && strcmp(item->string, known[k])) k++;
        if (k == n) return because(why, "unknown member \"%.64s\"", item->string);
        if (cJSON_GetObjectItemCaseSensitive(object, item->string) != item)
            return because(why, "member \"%.64s\" stands twice", item->string);
    }
    return true;
}

/* A text, "" when it is absent and may be. */
static bool text_of(const char **to, const cJSON *object, const char *key, bool needed, char why[WHY])
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    *to = "";
    if (!item && !needed) return true;
    if (!cJSON_IsString(item)) return because(why, "\"%s\" must be a text", key);
    *to = item->valuestring;
    return true;
}

static bool numbers_of(double *to, int n, const cJSON *object, const char *key, char why[WHY])
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(object, key), *item;
    int i = 0;
    cJSON_ArrayForEach(item, list)
    {
        if (i == n || !cJSON_IsNumber(item) || !(item->valuedouble >= -1e9 && item->valuedouble <= 1e9)) break;
        to[i++] = item->valuedouble;
    }
    if (i == n && cJSON_IsArray(list) && cJSON_GetArraySize(list) == n) return true;
    return because(why, "\"%s\" must be a list of %d numbers", key, n);
}

static bool split_of(cot_split *to, const cJSON *object, char why[WHY])
{
    const char *text;
    if (!text_of(&text, object, "split", true, why)) return false;
    for (int s = 0; s < COT_SPLITS; s++)
        if (!strcmp(text, cot_split_name((cot_split)s))) {
            *to = (cot_split)s;
            return true;
        }
    return because(why, "split \"%.32s\" is neither train, validation nor test", text);
}

static bool size_of_image(cot_case *c, const cJSON *object, char why[WHY])
{
    double size[2];
    if (!numbers_of(size, 2, object, "size", why)) return false;
    for (int i = 0; i < 2; i++)
        if (!(size[i] >= 1 && size[i] <= MANIFEST_SIDE_MAX) || size[i] != (double)(size_t)size[i])
            return because(why, "\"size\" must be rows and columns, whole numbers from 1 to %d", MANIFEST_SIDE_MAX);
    c->rows = (size_t)size[0];
    c->cols = (size_t)size[1];
    return true;
}

static bool digest_of(cot_case *c, const cJSON *object, char why[WHY])
{
    const char *text;
    if (!text_of(&text, object, "sha256", true, why)) return false;
    if (strlen(text) != 64 || strspn(text, "0123456789abcdef") != 64)
        return because(why, "\"sha256\" must be 64 hexadecimal digits");
    memcpy(c->sha256, text, 65);
    return true;
}

static bool labels_of(cot_case *c, const cJSON *object, const cot_steps *steps, char why[WHY])
{
    const cJSON *labels = cJSON_GetObjectItemCaseSensitive(object, "labels");
    if (!cJSON_IsObject(labels)) return because(why, "\"labels\" must be an object with an option or null per step");
    for (size_t s = 0; s < steps->n_steps; s++) {
        const cot_step *step = &steps->steps[s];
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(labels, step->id);
        c->label[s] = COT_MASKED;
        if (cJSON_IsNull(item)) continue;
        if (!cJSON_IsString(item))
            return because(why, "\"labels\" must give step \"%s\" the id of an option, or null", step->id);
        c->label[s] = manifest_option(step, item->valuestring);
        if (c->label[s] == COT_MASKED)
            return because(why, "step \"%s\" has no option \"%.64s\" in the step schema %s", step->id,
                           item->valuestring, steps->id);
    }
    if ((size_t)cJSON_GetArraySize(labels) != steps->n_steps)
        return because(why, "\"labels\" names %d steps, the step schema %s has %zu", cJSON_GetArraySize(labels),
                       steps->id, steps->n_steps);
    return true;
}

static bool reasons_of(cot_case *c, const cJSON *object, const cot_steps *steps, char why[WHY])
{
    const cJSON *reasons = cJSON_GetObjectItemCaseSensitive(object, "reasoning");
    int found = 0;
    if (!reasons) return true;
    if (!cJSON_IsObject(reasons)) return because(why, "\"reasoning\" must be an object with texts per step");
    for (size_t s = 0; s < steps->n_steps; s++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(reasons, steps->steps[s].id);
        if (item && !cJSON_IsString(item))
            return because(why, "\"reasoning\" must give step \"%s\" a text", steps->steps[s].id);
        if (!item) continue;
        c->reasoning[s] = item->valuestring;
        found++;
    }
    if (found != cJSON_GetArraySize(reasons))
        return because(why, "\"reasoning\" names a step that the step schema %s does not have", steps->id);
    return true;
}

static bool box_of(cot_box *to, const cot_case *c, const cJSON *item, char why[WHY])
{
    static const char *const members[] = {"finding", "box"};
    const char *finding;
    double v[4];
    if (!cJSON_IsObject(item)) return because(why, "each of \"boxes\" must be an object");
    if (!known_members(item, members, 2, why) || !text_of(&finding, item, "finding", true, why)) return false;
    if (!manifest_name_fits(finding, sizeof to->finding - 1))
        return because(why, "the finding of a box must have 1 to %zu characters", sizeof to->finding - 1);
    if (!numbers_of(v, 4, item, "box", why)) return false;
    /* a thousandth: boxes are rounded when they are written */
    if (!(v[0] >= -1e-3 && v[1] >= -1e-3 && v[2] > 0 && v[3] > 0 && v[0] + v[2] <= (double)c->cols + 2e-3 &&
          v[1] + v[3] <= (double)c->rows + 2e-3))
        return because(why, "box %g,%g,%g,%g (x, y, width, height) is not within the image of %zu x %zu pixels", v[0],
                       v[1], v[2], v[3], c->cols, c->rows);
    snprintf(to->finding, sizeof to->finding, "%s", finding);
    to->x = v[0];
    to->y = v[1];
    to->w = v[2];
    to->h = v[3];
    return true;
}

static bool boxes_of(cot_case *c, const cJSON *object, char why[WHY])
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(object, "boxes"), *item;
    if (!list) return true;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) > MANIFEST_BOXES_MAX)
        return because(why, "\"boxes\" must be a list of at most %d", MANIFEST_BOXES_MAX);
    c->boxes = calloc((size_t)cJSON_GetArraySize(list) + 1, sizeof *c->boxes);
    if (!c->boxes) return because(why, "no memory for its boxes");
    cJSON_ArrayForEach(item, list)
    {
        if (!box_of(&c->boxes[c->n_boxes], c, item, why)) return false;
        c->n_boxes++;
    }
    return true;
}

/* Texts point into the JSON. */
static bool case_of(cot_case *c, const cJSON *json, const cot_steps *steps, char why[WHY])
{
    static const char *const members[] = {"path",   "patient", "split", "size",   "sha256",   "view",
                                          "origin", "labels",  "boxes", "report", "reasoning"};
    const char *path, *patient, *view, *origin, *report;
    if (!known_members(json, members, sizeof members / sizeof *members, why)) return false;
    if (!text_of(&path, json, "path", true, why) || !text_of(&patient, json, "patient", true, why) ||
        !text_of(&view, json, "view", false, why) || !text_of(&origin, json, "origin", false, why) ||
        !text_of(&report, json, "report", false, why))
        return false;
    c->path = (char *)(uintptr_t)path; /* read only until they are copied */
    c->patient = (char *)(uintptr_t)patient;
    c->view = (char *)(uintptr_t)view;
    c->origin = (char *)(uintptr_t)origin;
    c->report = (char *)(uintptr_t)report;
    return split_of(&c->split, json, why) && size_of_image(c, json, why) && digest_of(c, json, why) &&
           labels_of(c, json, steps, why) && reasons_of(c, json, steps, why) && boxes_of(c, json, why);
}

/* ---- lines ---- */
/* The next line without its end; *more false at the end of the file. */
static cot_status next_line(reader *r, bool *more)
{
    size_t n = 0;
    int c = EOF;
    *more = false;
    while (n < MANIFEST_LINE_MAX && (c = getc_unlocked(r->file)) != EOF) {
        r->text[n++] = (char)c;
        if (c == '\n') break;
    }
    if (ferror(r->file)) return cot_fail(r->err, COT_E_IO, "%s: %s", r->manifest->path, strerror(errno));
    if (!n) return COT_OK;
    r->line++;
    if (n == MANIFEST_LINE_MAX && c != '\n') /* whatever follows cannot be trusted to be lines */
        return cot_fail(r->err, COT_E_LIMIT, "%s:%zu: a line of more than %d bytes: this is no manifest",
                        r->manifest->path, r->line, MANIFEST_LINE_MAX);
    cot_sha256_add(r->sha, r->text, n);
    if (r->text[n - 1] == '\n') n--;
    r->text[n] = 0;
    *more = true;
    if (memchr(r->text, 0, n))
        return cot_fail(r->err, COT_E_INPUT, "%s:%zu: a zero byte: this is no manifest", r->manifest->path, r->line);
    return COT_OK;
}

static cot_status read_case(reader *r, int *label, const char **reasoning)
{
    cot_status status = COT_OK;
    char why[WHY] = "";
    cot_case c = {.label = label, .reasoning = (char **)(uintptr_t)reasoning, .line = r->line};
    for (size_t s = 0; s < r->steps->n_steps; s++) reasoning[s] = "";
    cJSON *json = cJSON_ParseWithOpts(r->text, NULL, true);
    r->cases++;
    if (!cJSON_IsObject(json))
        status = fault(r, r->line, "not a JSON object: each line describes one image");
    else if (r->manifest->n >= MANIFEST_CASES_MAX)
        status = cot_fail(r->err, COT_E_LIMIT, "%s:%zu: more than %d images", r->manifest->path, r->line,
                          MANIFEST_CASES_MAX);
    else if (!case_of(&c, json, r->steps, why))
        status = fault(r, r->line, "%s", why);
    else {
        cot_error one = COT_ERROR_INIT;
        status = cot_manifest_add(r->manifest, &c, r->steps, &one);
        if (status == COT_E_INPUT)
            status = fault(r, r->line, "%s", one.text);
        else if (status != COT_OK)
            status = cot_fail(r->err, status, "%s:%zu: %s", r->manifest->path, r->line, one.text);
    }
    free(c.boxes);
    cJSON_Delete(json);
    return status;
}

/* ---- the header: without it nothing else means anything, so its faults always end the reading ---- */
static bool same_options(const cJSON *options, const cot_steps *steps, char why[WHY])
{
    if (!cJSON_IsObject(options) || (size_t)cJSON_GetArraySize(options) != steps->n_steps)
        return because(why, "\"options\" lists %d steps, the step schema %s has %zu", cJSON_GetArraySize(options),
                       steps->id, steps->n_steps);
    const cJSON *list = options->child;
    for (size_t s = 0; s < steps->n_steps; s++, list = list->next) {
        const cot_step *step = &steps->steps[s];
        if (strcmp(list->string, step->id) || (size_t)cJSON_GetArraySize(list) != step->n_options)
            return because(why, "\"options\" has step \"%.32s\" with %d options, the step schema \"%s\" with %zu",
                           list->string, cJSON_GetArraySize(list), step->id, step->n_options);
        const cJSON *item = list->child;
        for (size_t o = 0; o < step->n_options; o++, item = item->next)
            if (!cJSON_IsString(item) || strcmp(item->valuestring, step->options[o].id))
                return because(why, "option %zu of step \"%s\" is \"%.32s\", in the step schema \"%s\"", o + 1,
                               step->id, cJSON_IsString(item) ? item->valuestring : "(not a text)",
                               step->options[o].id);
    }
    return true;
}

static bool header_text(char *to, size_t size, const cJSON *json, const char *key, bool needed, char why[WHY])
{
    const char *text;
    if (!text_of(&text, json, key, needed, why)) return false;
    if (strlen(text) >= size) return because(why, "\"%s\" has more than %zu bytes", key, size - 1);
    memcpy(to, text, strlen(text) + 1);
    return true;
}

static bool header_of(reader *r, const cJSON *json, char why[WHY])
{
    static const char *const members[] = {"schema", "title", "attribution", "terms", "made", "images", "n", "steps"};
    cot_manifest *m = r->manifest;
    const cJSON *schema = cJSON_GetObjectItemCaseSensitive(json, "steps");
    const cJSON *n = cJSON_GetObjectItemCaseSensitive(json, "n");
    char kind[65];
    if (!header_text(kind, sizeof kind, json, "schema", true, why)) return false;
    if (strcmp(kind, COT_MANIFEST_SCHEMA))
        return because(why, "its schema is \"%s\", this program reads \"%s\"", kind, COT_MANIFEST_SCHEMA);
    if (!known_members(json, members, sizeof members / sizeof *members, why)) return false;
    if (!cJSON_IsNumber(n) || !(n->valuedouble >= 0 && n->valuedouble <= MANIFEST_CASES_MAX))
        return because(why, "\"n\" must be the number of images");
    r->promised = n->valuedouble;
    if (!header_text(m->title, sizeof m->title, json, "title", false, why) ||
        !header_text(m->attribution, sizeof m->attribution, json, "attribution", false, why) ||
        !header_text(m->terms, sizeof m->terms, json, "terms", false, why) ||
        !header_text(m->made, sizeof m->made, json, "made", false, why) ||
        !header_text(m->images, sizeof m->images, json, "images", false, why) ||
        !header_text(m->steps_id, sizeof m->steps_id, schema, "schema", true, why) ||
        !header_text(m->steps_sha256, sizeof m->steps_sha256, schema, "sha256", false, why))
        return false;
    if (strcmp(m->steps_id, r->steps->id))
        return because(why, "it was made for the step schema \"%s\", the program runs with \"%s\"", m->steps_id,
                       r->steps->id);
    return same_options(cJSON_GetObjectItemCaseSensitive(schema, "options"), r->steps, why);
}

static cot_status read_header(reader *r)
{
    cot_status status;
    bool more;
    char why[WHY] = "";
    cJSON *json = NULL;
    COT_TRY(next_line(r, &more));
    json = more ? cJSON_ParseWithOpts(r->text, NULL, true) : NULL;
    if (!cJSON_IsObject(json))
        status =
            cot_fail(r->err, COT_E_INPUT, "%s:1: the first line is no JSON object: a manifest begins with its header",
                     r->manifest->path);
    else if (!header_of(r, json, why))
        status = cot_fail(r->err, COT_E_INPUT, "%s:1: %s. Import the data again, or use the schema it was made for",
                          r->manifest->path, why);
done:
    cJSON_Delete(json);
    return status;
}

/* ---- what only all lines together show ---- */
static cot_status check_twice(reader *r)
{
    cot_manifest *m = r->manifest;
    cot_status status = COT_OK;
    bool *keep = calloc(m->n + 1, sizeof *keep);
    if (!keep) return cot_fail(r->err, COT_E_MEMORY, "%s: no memory", m->path);
    for (size_t i = 0, first = 0; status == COT_OK && i < m->n; i++) {
        keep[i] = !i || strcmp(m->cases[i].path, m->cases[first].path) != 0;
        if (keep[i])
            first = i;
        else
            status = fault(r, m->cases[i].line, "the image of line %zu is given again", m->cases[first].line);
    }
    if (status == COT_OK) cot_manifest_keep(m, keep);
    free(keep);
    return status;
}

static int by_patient_then_line(const void *a, const void *b)
{
    const cot_case *left = *(cot_case *const *)a, *right = *(cot_case *const *)b;
    const int order = strcmp(left->patient, right->patient);
    return order ? order : (left->line > right->line) - (left->line < right->line);
}

static cot_status check_patients(reader *r)
{
    cot_status status = COT_OK;
    const cot_manifest *m = r->manifest;
    const cot_case **order = calloc(m->n + 1, sizeof *order);
    if (!order) return cot_fail(r->err, COT_E_MEMORY, "%s: no memory", m->path);
    for (size_t i = 0; i < m->n; i++) order[i] = &m->cases[i];
    qsort((void *)order, m->n, sizeof *order, by_patient_then_line);
    for (size_t i = 1, first = 0; status == COT_OK && i < m->n; i++) {
        if (strcmp(order[i]->patient, order[first]->patient)) first = i;
        if (order[i]->split != order[first]->split) /* lines, not the name: this may end in a log */
            status = fault(r, order[i]->line, "the patient of line %zu, there in %s, is here in %s: split by patient",
                           order[first]->line, cot_split_name(order[first]->split), cot_split_name(order[i]->split));
    }
    free((void *)order);
    return status;
}

static cot_status read_all(reader *r)
{
    cot_status status;
    bool more = true;
    int *label = calloc(r->steps->n_steps + 1, sizeof *label);
    const char **reasoning = calloc(r->steps->n_steps + 1, sizeof *reasoning);
    if (!label || !reasoning) {
        status = cot_fail(r->err, COT_E_MEMORY, "%s: no memory", r->manifest->path);
        goto done;
    }
    COT_TRY(read_header(r));
    for (;;) {
        COT_TRY(next_line(r, &more));
        if (!more) break;
        COT_TRY(read_case(r, label, reasoning));
    }
    if ((double)r->cases != r->promised)
        COT_TRY(fault(r, r->line, "the header promises %.0f images, here are %zu: the file was cut off or changed",
                      r->promised, r->cases));
    cot_manifest_sort(r->manifest);
    COT_TRY(check_twice(r));
    COT_TRY(check_patients(r));
done:
    free(label);
    free(reasoning);
    return status;
}

cot_status cot_manifest_open(cot_manifest **out, const char *path, const char *images, const cot_steps *steps,
                             cot_data_faults *faults, cot_error *err)
{
    cot_status status;
    reader r = {.steps = steps, .faults = faults, .err = err};
    *out = NULL;
    COT_TRY(cot_manifest_create(&r.manifest, steps, err));
    if (strlen(path) >= sizeof r.manifest->path) {
        status =
            cot_fail(err, COT_E_INPUT, "the manifest's path is longer than %zu bytes", sizeof r.manifest->path - 1);
        goto done;
    }
    memcpy(r.manifest->path, path, strlen(path) + 1);
    COT_TRY(cot_sha256_create(&r.sha, err));
    r.text = malloc(MANIFEST_LINE_MAX + 1);
    r.file = r.text ? fopen(path, "rbe") : NULL;
    if (!r.file) {
        status = r.text ? cot_fail(err, COT_E_IO, "%s: %s", path, strerror(errno))
                        : cot_fail(err, COT_E_MEMORY, "%s: no memory", path);
        goto done;
    }
    COT_TRY(read_all(&r));
    cot_sha256_hex(r.sha, r.manifest->sha256);
    COT_TRY(manifest_find_images(r.manifest, images, err));
    *out = r.manifest;
    r.manifest = NULL;
done:
    if (r.file) fclose(r.file);
    free(r.text);
    cot_sha256_destroy(r.sha);
    cot_manifest_destroy(r.manifest);
    return status;
}
