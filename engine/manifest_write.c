/* A manifest to disk: a header line, then a line per image, members always in the same order and empty ones left out, so that
 * the same cases give the same bytes. SPDX-License-Identifier: Apache-2.0 */
#include "engine/manifest.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* cJSON's adders give NULL without memory; they are counted, and the line is refused at the end. */
typedef struct line_maker {
    cJSON *root;
    bool failed;
} line_maker;

static void put_text(line_maker *line, cJSON *to, const char *key, const char *text)
{
    if (text && *text && !cJSON_AddStringToObject(to, key, text)) line->failed = true;
}

static cJSON *put_object(line_maker *line, cJSON *to, const char *key)
{
    cJSON *object = cJSON_AddObjectToObject(to, key);
    if (!object) line->failed = true;
    return object;
}

static void put_numbers(line_maker *line, cJSON *to, const char *key, const double *numbers, int n)
{
    cJSON *list = cJSON_CreateDoubleArray(numbers, n);
    if (!list || !cJSON_AddItemToObject(to, key, list)) line->failed = true;
}

static cot_status write_line(FILE *stream, line_maker *line, cot_error *err)
{
    cot_status status = COT_OK;
    char *text = line->failed ? NULL : cJSON_PrintUnformatted(line->root);
    if (!text)
        status = cot_fail(err, COT_E_MEMORY, "no memory for a line of the manifest");
    else if (strlen(text) + 1 >= MANIFEST_LINE_MAX)
        status = cot_fail(err, COT_E_LIMIT, "an image's line would have more than %d bytes: shorten its report",
                          MANIFEST_LINE_MAX);
    else if (fprintf(stream, "%s\n", text) < 0)
        status = cot_fail(err, COT_E_MEMORY, "no memory for the manifest");
    cJSON_free(text);
    return status;
}

static cot_status write_header(FILE *stream, const cot_manifest *m, const cot_steps *steps, cot_error *err)
{
    line_maker line = {cJSON_CreateObject(), false};
    put_text(&line, line.root, "schema", COT_MANIFEST_SCHEMA);
    put_text(&line, line.root, "title", m->title);
    put_text(&line, line.root, "attribution", m->attribution);
    put_text(&line, line.root, "terms", m->terms);
    put_text(&line, line.root, "made", m->made);
    put_text(&line, line.root, "images", m->images);
    if (!cJSON_AddNumberToObject(line.root, "n", (double)m->n)) line.failed = true;
    cJSON *schema = put_object(&line, line.root, "steps");
    put_text(&line, schema, "schema", m->steps_id);
    put_text(&line, schema, "sha256", m->steps_sha256);
    cJSON *options = put_object(&line, schema, "options");
    for (size_t s = 0; s < steps->n_steps; s++) {
        cJSON *list = cJSON_AddArrayToObject(options, steps->steps[s].id);
        if (!list) line.failed = true;
        for (size_t o = 0; o < steps->steps[s].n_options; o++)
            if (!cJSON_AddItemToArray(list, cJSON_CreateString(steps->steps[s].options[o].id))) line.failed = true;
    }
    const cot_status status = write_line(stream, &line, err);
    cJSON_Delete(line.root);
    return status;
}

/* A thousandth of a pixel is more than anyone drew. */
static void put_boxes(line_maker *line, const cot_case *c)
{
    cJSON *list = c->n_boxes ? cJSON_AddArrayToObject(line->root, "boxes") : NULL;
    for (size_t b = 0; list && b < c->n_boxes; b++) {
        const cot_box *box = &c->boxes[b];
        const double exact[4] = {box->x, box->y, box->w, box->h};
        double numbers[4];
        for (int i = 0; i < 4; i++) numbers[i] = round(exact[i] * 1000) / 1000;
        cJSON *one = cJSON_CreateObject();
        put_text(line, one, "finding", box->finding);
        put_numbers(line, one, "box", numbers, 4);
        if (!cJSON_AddItemToArray(list, one)) line->failed = true;
    }
    if (c->n_boxes && !list) line->failed = true;
}

static void put_labels(line_maker *line, const cot_case *c, const cot_steps *steps)
{
    cJSON *labels = put_object(line, line->root, "labels");
    bool reasons = false;
    for (size_t s = 0; s < steps->n_steps; s++) {
        const cot_step *step = &steps->steps[s];
        reasons = reasons || *c->reasoning[s];
        if (c->label[s] != COT_MASKED)
            put_text(line, labels, step->id, step->options[c->label[s]].id);
        else if (!cJSON_AddNullToObject(labels, step->id))
            line->failed = true;
    }
    cJSON *reasoning = reasons ? put_object(line, line->root, "reasoning") : NULL;
    for (size_t s = 0; reasons && s < steps->n_steps; s++)
        put_text(line, reasoning, steps->steps[s].id, c->reasoning[s]);
}

static cot_status write_case(FILE *stream, const cot_case *c, const cot_steps *steps, cot_error *err)
{
    line_maker line = {cJSON_CreateObject(), false};
    const double size[2] = {(double)c->rows, (double)c->cols};
    put_text(&line, line.root, "path", c->path);
    put_text(&line, line.root, "patient", c->patient);
    put_text(&line, line.root, "split", cot_split_name(c->split));
    put_numbers(&line, line.root, "size", size, 2);
    put_text(&line, line.root, "sha256", c->sha256);
    put_text(&line, line.root, "view", c->view);
    put_text(&line, line.root, "origin", c->origin);
    put_labels(&line, c, steps);
    put_boxes(&line, c);
    put_text(&line, line.root, "report", c->report);
    const cot_status status = write_line(stream, &line, err);
    cJSON_Delete(line.root);
    return status;
}

cot_status cot_manifest_write(cot_manifest *m, const char *path, const cot_steps *steps, cot_error *err)
{
    cot_status status = COT_OK;
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    if (!stream) return cot_fail(err, COT_E_MEMORY, "%s: no memory", path);
    cot_manifest_sort(m);
    COT_TRY(write_header(stream, m, steps, err));
    for (size_t i = 0; i < m->n; i++) {
        COT_TRY(write_case(stream, &m->cases[i], steps, err));
        m->cases[i].line = i + 2;
    }
    if (fflush(stream)) {
        status = cot_fail(err, COT_E_MEMORY, "%s: no memory for the manifest", path);
        goto done;
    }
    COT_TRY(cot_file_write_durable(path, text, size, err));
    cot_sha256_of(m->sha256, text, size);
    snprintf(m->path, sizeof m->path, "%s", path);
    COT_TRY(manifest_find_images(m, NULL, err));
done:
    fclose(stream);
    free(text);
    return status;
}
