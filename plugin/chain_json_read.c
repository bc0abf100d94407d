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
    }
done:
    return status;
}

static cot_status get_reader(cot_reader *r, const cJSON *root, cot_error *err)
{
    cot_status status;
    const cJSON *o;
    COT_TRY(get_object(&o, root, "reader", err));
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
    COT_TRY(get_reader(&chain->reader, root, err));
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
