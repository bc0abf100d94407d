/* JSON → reading. The text may come from a crashed or hostile process: size and depth are bounded before cJSON sees it, every
 * member is checked against the step schema, and what is not exactly a reading is refused with the member's name.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/chain_json.h"
#include "plugin/utf8.h"

#include <stdlib.h>
#include <string.h>

/* cJSON recurses per level: count levels first (brackets outside strings), and refuse NUL and "\u0000". */
static cot_status check_shape(const char *json, size_t size, cot_error *err)
{
    size_t depth = 0;
    bool in_string = false;
    if (size > CHAIN_JSON_MAX)
        return cot_fail(err, COT_E_LIMIT, "reading: JSON of %zu bytes, at most %zu are read", size, CHAIN_JSON_MAX);
    for (size_t i = 0; i < size; i++) {
        const char c = json[i];
        if (!c) return cot_fail(err, COT_E_INPUT, "reading: a NUL byte in the JSON at offset %zu", i);
        if (in_string) {
            if (c == '\\' && size - i > 5 && !memcmp(json + i, "\\u0000", 6))
                return cot_fail(err, COT_E_INPUT, "reading: a NUL character in a string at offset %zu", i);
            if (c == '\\') i++;
            if (c == '"') in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > CHAIN_JSON_DEEP)
                return cot_fail(err, COT_E_INPUT, "reading: JSON nested deeper than %d", CHAIN_JSON_DEEP);
        } else if ((c == '}' || c == ']') && depth) {
            depth--;
        }
    }
    return COT_OK;
}

static cot_status parse(cJSON **out, const char *json, size_t size, cot_error *err)
{
    cot_status status = COT_OK;
    const char *end = NULL;
    *out = NULL;
    COT_TRY(check_shape(json, size, err));
    *out = cJSON_ParseWithLengthOpts(json, size, &end, 0);
    if (!*out) {
        status = cot_fail(err, COT_E_INPUT, "reading: the text is not JSON (stopped at offset %zu of %zu)",
                          end ? (size_t)(end - json) : 0, size);
        goto done;
    }
    while (end < json + size && strchr(" \t\r\n", *end)) end++;
    if (end != json + size)
        status = cot_fail(err, COT_E_INPUT, "reading: text after the JSON, from offset %zu on", (size_t)(end - json));
done:
    return status;
}

/* ---- members ---- */
static cot_status get_object(const cJSON **out, const cJSON *parent, const char *name, cot_error *err)
{
    *out = cJSON_GetObjectItemCaseSensitive(parent, name);
    return cJSON_IsObject(*out) ? COT_OK : cot_fail(err, COT_E_INPUT, "reading: \"%s\" is missing or no object", name);
}

static cot_status get_text(char *to, size_t size, const cJSON *parent, const char *name, cot_error *err)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(parent, name);
    if (!cJSON_IsString(item)) return cot_fail(err, COT_E_INPUT, "reading: \"%s\" is missing or no string", name);
    const size_t n = strlen(item->valuestring);
    if (n >= size)
        return cot_fail(err, COT_E_INPUT, "reading: \"%s\" has %zu bytes, at most %zu fit", name, n, size - 1);
    if (!utf8_valid(item->valuestring)) return cot_fail(err, COT_E_INPUT, "reading: \"%s\" is not UTF-8", name);
    memcpy(to, item->valuestring, n + 1);
    return COT_OK;
}

static cot_status expect_text(const cJSON *parent, const char *name, const char *want, cot_error *err)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(parent, name);
    if (cJSON_IsString(item) && !strcmp(item->valuestring, want)) return COT_OK;
    return cot_fail(err, COT_E_INPUT,
                    "reading: \"%s\" is not \"%s\". It was made by another version or with another step schema", name,
                    want);
}

static cot_status get_number(float *out, const cJSON *parent, const char *name, cot_error *err)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(parent, name);
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= 1))
        return cot_fail(err, COT_E_INPUT, "reading: \"%s\" is missing or no number from 0 to 1", name);
    *out = (float)item->valuedouble;
    return COT_OK;
}

/* The option that "answer" or "second" names; its certainty must be the option's probability. */
static cot_status get_choice(size_t *out, const cJSON *step, const char *name, const char *certainty,
                             const cot_answer *a, const cot_step *schema, cot_error *err)
{
    cot_status status;
    const cJSON *choice;
    char id[33];
    float p = 0;
    COT_TRY(get_object(&choice, step, name, err));
    COT_TRY(get_text(id, sizeof id, choice, "id", err));
    COT_TRY(get_number(&p, step, certainty, err));
    for (size_t i = 0; i < schema->n_options; i++) {
        if (strcmp(schema->options[i].id, id) != 0) continue;
        *out = i;
        if (p >= a->probability[i] && p <= a->probability[i]) return COT_OK;
        return cot_fail(err, COT_E_INPUT, "reading: \"%s\" differs from the probability of \"%s\"", certainty, id);
    }
    status =
        cot_fail(err, COT_E_INPUT, "reading: \"%s\" names \"%s\", which step %s does not have", name, id, schema->id);
done:
    return status;
}

/* Not there: of a reading made before there was calibration. */
static cot_status get_calibrated(bool *out, const cJSON *o, const char *step, cot_error *err)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, "calibrated");
    *out = cJSON_IsTrue(item);
    if (!item || cJSON_IsBool(item)) return COT_OK;
    return cot_fail(err, COT_E_INPUT, "reading: \"calibrated\" of step %s is neither true nor false", step);
}

static cot_status get_answer(cot_answer *a, const cJSON *step, const cot_step *schema, cot_error *err)
{
    cot_status status;
    const cJSON *options = cJSON_GetObjectItemCaseSensitive(step, "options"), *option;
    size_t i = 0;
    if (!cJSON_IsArray(options) || (size_t)cJSON_GetArraySize(options) != schema->n_options)
        return cot_fail(err, COT_E_INPUT, "reading: \"options\" of step %s are not the %zu of the step schema",
                        schema->id, schema->n_options);
    cJSON_ArrayForEach(option, options)
    {
        COT_TRY(expect_text(option, "id", schema->options[i].id, err));
        COT_TRY(get_number(&a->probability[i], option, "probability", err));
        i++;
    }
    COT_TRY(get_choice(&a->answer, step, "answer", "certainty", a, schema, err));
    COT_TRY(get_choice(&a->second, step, "second", "second_certainty", a, schema, err));
    COT_TRY(get_text(a->rationale, sizeof a->rationale, step, "rationale", err));
    COT_TRY(get_calibrated(&a->calibrated, step, schema->id, err));
done:
    return status;
}

/* ---- evidence ---- */
/* A list of at most `most` items; *n = its length. */
static cot_status get_list(const cJSON **out, size_t *n, const cJSON *parent, const char *name, size_t most,
                           cot_error *err)
{
    *out = cJSON_GetObjectItemCaseSensitive(parent, name);
    *n = cJSON_IsArray(*out) ? (size_t)cJSON_GetArraySize(*out) : SIZE_MAX;
    if (*n <= most) return COT_OK;
    return cot_fail(err, COT_E_INPUT, "reading: \"%s\" is missing, no list, or longer than %zu", name, most);
}

/* A finite number of any size; chain_check.c knows which are right. */
static cot_status get_float(float *out, const cJSON *item, const char *what, cot_error *err)
{
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= -1e9 && item->valuedouble <= 1e9))
        return cot_fail(err, COT_E_INPUT, "reading: \"%s\" is missing or no number", what);
    *out = (float)item->valuedouble;
    return COT_OK;
}

static cot_status get_region(cot_region *region, const cJSON *o, cot_error *err)
{
    cot_status status;
    const cJSON *points, *pair;
    size_t n, i = 0;
    COT_TRY(get_number(&region->share, o, "share", err));
    COT_TRY(get_list(&points, &n, o, "points", CHAIN_POINTS_MAX, err));
    COT_TRY(cot_region_points(region, n, err));
    cJSON_ArrayForEach(pair, points)
    {
        const cJSON *column = cJSON_IsArray(pair) ? pair->child : NULL, *row = column ? column->next : NULL;
        COT_TRY(get_float(&region->points[i].column, column, "points", err));
        COT_TRY(get_float(&region->points[i++].row, row, "points", err));
        if (row->next) status = cot_fail(err, COT_E_INPUT, "reading: a point of \"points\" has more than two numbers");
        if (status != COT_OK) goto done;
    }
done:
    return status;
}

static cot_status get_evidence(cot_answer *a, const cJSON *step, cot_error *err)
{
    cot_status status = COT_OK;
    const cJSON *o, *list, *region;
    size_t n, r = 0;
    if (!cJSON_HasObjectItem(step, "evidence")) return COT_OK;
    COT_TRY(get_object(&o, step, "evidence", err));
    COT_TRY(get_text(a->place, sizeof a->place, o, "place", err));
    COT_TRY(get_list(&list, &n, o, "regions", CHAIN_REGIONS_MAX, err));
    COT_TRY(cot_answer_regions(a, n, err));
    a->located = true;
    cJSON_ArrayForEach(region, list) COT_TRY(get_region(&a->regions[r++], region, err));
done:
    return status;
}

static cot_status get_step_index(size_t *out, const cJSON *o, const cot_steps *steps, cot_error *err)
{
    char id[33];
    const cot_status status = get_text(id, sizeof id, o, "step", err);
    if (status != COT_OK) return status;
    for (*out = 0; *out < steps->n_steps; (*out)++)
        if (!strcmp(steps->steps[*out].id, id)) return COT_OK;
    return cot_fail(err, COT_E_INPUT, "reading: \"influences\" names step \"%s\", which the step schema does not have",
                    id);
}

static cot_status get_influences(cot_answer *a, const cJSON *step, const cot_steps *steps, cot_error *err)
{
    cot_status status = COT_OK;
    const cJSON *list, *o;
    size_t n, i = 0;
    if (!cJSON_HasObjectItem(step, "influences")) return COT_OK;
    COT_TRY(get_list(&list, &n, step, "influences", steps->n_steps, err));
    COT_TRY(cot_answer_influences(a, n, err));
    a->weighed = true;
    cJSON_ArrayForEach(o, list)
    {
        COT_TRY(get_step_index(&a->influences[i].step, o, steps, err));
        COT_TRY(get_float(&a->influences[i++].change, cJSON_GetObjectItemCaseSensitive(o, "change"), "change", err));
    }
done:
    return status;
}

/* ---- the second reader ---- */
static cot_status get_other(cot_answer *a, const cJSON *step, const cot_step *schema, cot_error *err)
{
    cot_status status;
    const cJSON *o, *list, *item, *choice, *differs = cJSON_GetObjectItemCaseSensitive(step, "disagreement");
    char id[33];
    float certainty = 0;
    size_t n, i = 0;
    if (!cJSON_IsBool(differs))
        return cot_fail(err, COT_E_INPUT, "reading: \"disagreement\" of step %s is missing or neither true nor false",
                        schema->id);
    a->disagreement = cJSON_IsTrue(differs);
    if (!cJSON_HasObjectItem(step, "second_reader")) return COT_OK;
    COT_TRY(get_object(&o, step, "second_reader", err));
    COT_TRY(get_object(&choice, o, "answer", err));
    COT_TRY(get_text(id, sizeof id, choice, "id", err));
    COT_TRY(get_number(&certainty, o, "certainty", err));
    COT_TRY(get_list(&list, &n, o, "probabilities", schema->n_options, err));
    COT_TRY(cot_answer_other(a, err));
    COT_TRY(get_calibrated(&a->other.calibrated, o, schema->id, err));
    cJSON_ArrayForEach(item, list) COT_TRY(get_float(&a->other.probability[i++], item, "probabilities", err));
    for (a->other.answer = 0; a->other.answer < schema->n_options; a->other.answer++)
        if (!strcmp(schema->options[a->other.answer].id, id)) break;
    a->other.available = true;
    if (n != schema->n_options || a->other.answer == schema->n_options ||
        certainty < a->other.probability[a->other.answer] || certainty > a->other.probability[a->other.answer])
        status =
            cot_fail(err, COT_E_INPUT,
                     "reading: step %s: \"second_reader\" does not fit the step's answers, or its own probabilities",
                     schema->id);
done:
    return status;
}

static cot_status get_steps(cot_chain *chain, const cJSON *list, const cot_steps *steps, cot_error *err)
{
    cot_status status = COT_OK;
    const cJSON *step;
    size_t s = 0;
    cJSON_ArrayForEach(step, list)
    {
        const cot_step *schema = &steps->steps[s];
        cot_answer *a = &chain->answers[s++];
        const cJSON *available = cJSON_GetObjectItemCaseSensitive(step, "available");
        COT_TRY(expect_text(step, "id", schema->id, err));
        if (!cJSON_IsBool(available)) {
            status = cot_fail(err, COT_E_INPUT,
                              "reading: \"available\" of step %s is missing or neither true nor false", schema->id);
            goto done;
        }
        a->available = cJSON_IsTrue(available);
        if (a->available)
            COT_TRY(get_answer(a, step, schema, err));
        else
            COT_TRY(get_text(a->reason, sizeof a->reason, step, "reason", err));
        COT_TRY(get_evidence(a, step, err));
        COT_TRY(get_influences(a, step, steps, err));
        if (chain->has_other) COT_TRY(get_other(a, step, schema, err));
    }
done:
    return status;
}

static cot_status get_reader(cot_reader *r, const cJSON *root, const char *name, cot_error *err)
{
    cot_status status;
    const cJSON *o;
    COT_TRY(get_object(&o, root, name, err));
    COT_TRY(get_text(r->name, sizeof r->name, o, "name", err));
    COT_TRY(get_text(r->version, sizeof r->version, o, "version", err));
    COT_TRY(get_text(r->package_sha256, sizeof r->package_sha256, o, "package_sha256", err));
    COT_TRY(get_text(r->notice, sizeof r->notice, o, "notice", err));
    COT_TRY(get_text(r->training, sizeof r->training, o, "training", err));
    COT_TRY(get_text(r->role, sizeof r->role, o, "role", err));
    COT_TRY(get_text(r->device, sizeof r->device, o, "device", err));
    COT_TRY(get_text(r->program, sizeof r->program, o, "program", err));
done:
    return status;
}

static cot_status get_side(size_t *out, const cJSON *image, const char *name, cot_error *err)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(image, name);
    const double v = cJSON_IsNumber(item) ? item->valuedouble : 0;
    if (!(v >= 1 && v <= CHAIN_SIDE_MAX) || v != (double)(size_t)v)
        return cot_fail(err, COT_E_INPUT, "reading: \"%s\" of the image is missing or no number from 1 to %d", name,
                        CHAIN_SIDE_MAX);
    *out = (size_t)v;
    return COT_OK;
}

static cot_status get_image_and_second(cot_chain *chain, const cJSON *root, cot_error *err)
{
    cot_status status = COT_OK;
    const cJSON *image;
    if (cJSON_HasObjectItem(root, "image")) {
        COT_TRY(get_object(&image, root, "image", err));
        COT_TRY(get_side(&chain->rows, image, "rows", err));
        COT_TRY(get_side(&chain->cols, image, "columns", err));
    }
    chain->has_other = cJSON_HasObjectItem(root, "second_reader");
    if (chain->has_other) COT_TRY(get_reader(&chain->other, root, "second_reader", err));
done:
    return status;
}

/* Members that earlier readings do not have. */
static cot_status get_later_members(cot_chain *chain, const cJSON *root, cot_error *err)
{
    cot_status status = COT_OK;
    if (cJSON_GetObjectItemCaseSensitive(root, "forced")) {
        const cJSON *o;
        COT_TRY(get_object(&o, root, "forced", err));
        COT_TRY(get_text(chain->forced_id, sizeof chain->forced_id, o, "id", err));
        COT_TRY(get_text(chain->forced, sizeof chain->forced, o, "text", err));
        if (!chain->forced_id[0]) status = cot_fail(err, COT_E_INPUT, "reading: \"forced\" names no gate");
        if (status != COT_OK) goto done;
    }
    if (cJSON_GetObjectItemCaseSensitive(root, "rendering")) {
        const cJSON *range = cJSON_GetObjectItemCaseSensitive(root, "range_from_pixels");
        COT_TRY(get_text(chain->rendering, sizeof chain->rendering, root, "rendering", err));
        if (!cJSON_IsBool(range))
            return cot_fail(err, COT_E_INPUT, "reading: \"range_from_pixels\" is missing or neither true nor false");
        chain->range_from_pixels = cJSON_IsTrue(range);
    }
    if (chain->state != COT_CHAIN_REFUSED) {
        const cJSON *calibrated = cJSON_GetObjectItemCaseSensitive(root, "calibrated");
        if (!cJSON_IsBool(calibrated))
            return cot_fail(err, COT_E_INPUT, "reading: \"calibrated\" is missing or neither true nor false");
        chain->calibrated = cJSON_IsTrue(calibrated);
    }
    COT_TRY(get_image_and_second(chain, root, err));
done:
    return status;
}

static cot_status get_head(cot_chain *chain, const cJSON *root, const cot_steps *steps, cot_error *err)
{
    cot_status status;
    const cJSON *o;
    char word[17];
    COT_TRY(get_text(word, sizeof word, root, "state", err));
    size_t state = 0;
    while (chain_state_names[state] && strcmp(word, chain_state_names[state]) != 0) state++;
    if (!chain_state_names[state]) return cot_fail(err, COT_E_INPUT, "reading: \"state\" is \"%s\"", word);
    chain->state = (cot_chain_state)state;
    if (chain->state == COT_CHAIN_REFUSED) {
        COT_TRY(get_object(&o, root, "refusal", err));
        COT_TRY(get_text(chain->refusal_id, sizeof chain->refusal_id, o, "id", err));
        COT_TRY(get_text(chain->refusal, sizeof chain->refusal, o, "text", err));
    }
    COT_TRY(get_later_members(chain, root, err));
    COT_TRY(get_text(chain->summary, sizeof chain->summary, root, "summary", err));
    COT_TRY(get_object(&o, root, "step_schema", err));
    COT_TRY(get_text(chain->schema_id, sizeof chain->schema_id, o, "id", err));
    COT_TRY(get_text(chain->schema_sha256, sizeof chain->schema_sha256, o, "sha256", err));
    if (steps) {
        COT_TRY(expect_text(o, "id", steps->id, err));
        COT_TRY(expect_text(o, "sha256", steps->sha256, err));
    }
    COT_TRY(get_reader(&chain->reader, root, "reader", err));
done:
    return status;
}

cot_status cot_chain_from_json(cot_chain **out, const char *json, size_t size, const cot_steps *steps, cot_error *err)
{
    cot_status status;
    cJSON *root = NULL;
    cot_chain *chain = NULL;
    *out = NULL;
    COT_TRY(parse(&root, json, size, err));
    COT_TRY(expect_text(root, "schema", CHAIN_SCHEMA, err));
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(root, "steps");
    const size_t n = cJSON_IsArray(list) ? (size_t)cJSON_GetArraySize(list) : SIZE_MAX;
    if (n != 0 && (!steps || n != steps->n_steps)) {
        status = cot_fail(err, COT_E_INPUT, "reading: \"steps\" is missing or not as long as the step schema");
        goto done;
    }
    COT_TRY(cot_chain_create(&chain, n ? steps : NULL, err));
    COT_TRY(get_head(chain, root, steps, err));
    if (n) COT_TRY(get_steps(chain, list, steps, err));
    COT_TRY(chain_consistent(chain, steps, err));
    *out = chain;
    chain = NULL;
done:
    cot_chain_destroy(chain);
    cJSON_Delete(root);
    return status;
}
