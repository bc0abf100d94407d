/* A reading → JSON "urn:stepcot:reading:1": the one form for --json, the store and the sandbox. Probabilities are written
 * with nine digits, so that reading them back gives the same floats; texts are made valid UTF-8.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/chain_json.h"
#include "plugin/utf8.h"

#include <stdlib.h>
#include <string.h>

const char *const chain_state_names[] = {
    [COT_CHAIN_COMPLETE] = "complete", [COT_CHAIN_PARTIAL] = "partial", [COT_CHAIN_REFUSED] = "refused", NULL};

/* cJSON tells a lack of memory by NULL; the first one is remembered here, and the rest then does nothing. */
typedef struct writer {
    bool failed;
} writer;

static cJSON *put(writer *w, cJSON *parent, const char *name, cJSON *item)
{
    const bool ok =
        item && parent && (name ? cJSON_AddItemToObject(parent, name, item) : cJSON_AddItemToArray(parent, item));
    if (ok) return item;
    cJSON_Delete(item);
    w->failed = true;
    return NULL;
}

static void put_text(writer *w, cJSON *parent, const char *name, const char *text)
{
    char clean[4200];
    if (utf8_valid(text)) {
        put(w, parent, name, cJSON_CreateString(text));
        return;
    }
    utf8_clean(clean, sizeof clean, text);
    put(w, parent, name, cJSON_CreateString(clean));
}

static void put_number(writer *w, cJSON *parent, const char *name, float value)
{
    char text[32];
    snprintf(text, sizeof text, "%.9g", (double)value);
    put(w, parent, name, cJSON_CreateRaw(text));
}

static void put_code(writer *w, cJSON *parent, const char *name, const cot_code *code)
{
    if (!code->value[0]) return;
    cJSON *o = put(w, parent, name, cJSON_CreateObject());
    put_text(w, o, "value", code->value);
    put_text(w, o, "scheme", code->scheme);
    put_text(w, o, "meaning", code->meaning);
}

static void put_option(writer *w, cJSON *parent, const char *name, const cot_option *option)
{
    cJSON *o = put(w, parent, name, cJSON_CreateObject());
    put_text(w, o, "id", option->id);
    put_text(w, o, "label", option->label);
    put_code(w, o, "code", &option->code);
    put_code(w, o, "laterality", &option->laterality);
}

static void put_answer(writer *w, cJSON *o, const cot_answer *a, const cot_step *step)
{
    put_option(w, o, "answer", &step->options[a->answer]);
    put_number(w, o, "certainty", a->probability[a->answer]);
    put(w, o, "calibrated", cJSON_CreateBool(a->calibrated));
    put_option(w, o, "second", &step->options[a->second]);
    put_number(w, o, "second_certainty", a->probability[a->second]);
    put_text(w, o, "rationale", a->rationale);
    cJSON *options = put(w, o, "options", cJSON_CreateArray());
    for (size_t i = 0; i < a->n_options; i++) {
        put_option(w, options, NULL, &step->options[i]);
        put_number(w, cJSON_GetArrayItem(options, (int)i), "probability", a->probability[i]);
    }
}

/* ---- evidence ---- */
static void put_regions(writer *w, cJSON *parent, const cot_answer *a)
{
    cJSON *list = put(w, parent, "regions", cJSON_CreateArray());
    for (size_t r = 0; r < a->n_regions; r++) {
        const cot_region *region = &a->regions[r];
        cJSON *o = put(w, list, NULL, cJSON_CreateObject());
        put_number(w, o, "share", region->share);
        cJSON *points = put(w, o, "points", cJSON_CreateArray());
        for (size_t i = 0; i < region->n_points; i++) {
            cJSON *pair = put(w, points, NULL, cJSON_CreateArray());
            put_number(w, pair, NULL, region->points[i].column);
            put_number(w, pair, NULL, region->points[i].row);
        }
    }
}

static void put_evidence(writer *w, cJSON *o, const cot_answer *a, const cot_steps *steps)
{
    if (a->located) {
        cJSON *evidence = put(w, o, "evidence", cJSON_CreateObject());
        put_text(w, evidence, "place", a->place);
        put_regions(w, evidence, a);
    }
    if (!a->weighed) return;
    cJSON *list = put(w, o, "influences", cJSON_CreateArray());
    for (size_t i = 0; i < a->n_influences; i++) {
        cJSON *one = put(w, list, NULL, cJSON_CreateObject());
        put_text(w, one, "step", steps->steps[a->influences[i].step].id);
        put_number(w, one, "change", a->influences[i].change);
    }
}

static bool has_evidence(const cot_chain *chain)
{
    bool any = false;
    for (size_t s = 0; chain->answers && s < chain->n_steps; s++)
        any = any || chain->answers[s].located || chain->answers[s].weighed;
    return any;
}

static void put_other(writer *w, cJSON *parent, const cot_opinion *other, const cot_step *step)
{
    if (!other->available) return;
    cJSON *o = put(w, parent, "second_reader", cJSON_CreateObject());
    put_option(w, o, "answer", &step->options[other->answer]);
    put_number(w, o, "certainty", other->probability[other->answer]);
    put(w, o, "calibrated", cJSON_CreateBool(other->calibrated));
    cJSON *list = put(w, o, "probabilities", cJSON_CreateArray());
    for (size_t i = 0; i < step->n_options; i++) put_number(w, list, NULL, other->probability[i]);
}

static void put_step(writer *w, cJSON *parent, const cot_chain *chain, size_t s, const cot_steps *steps)
{
    const cot_answer *a = &chain->answers[s];
    const cot_step *step = &steps->steps[s];
    cJSON *o = put(w, parent, NULL, cJSON_CreateObject());
    put_text(w, o, "id", step->id);
    put_text(w, o, "title", step->title);
    put_text(w, o, "question", step->question);
    put_code(w, o, "code", &step->code);
    put_code(w, o, "concept", &step->concept);
    put(w, o, "available", cJSON_CreateBool(a->available));
    if (a->available)
        put_answer(w, o, a, step);
    else
        put_text(w, o, "reason", a->reason);
    put_evidence(w, o, a, steps);
    if (!chain->has_other) return;
    put_other(w, o, &a->other, step);
    put(w, o, "disagreement", cJSON_CreateBool(a->disagreement));
}

static void put_reader(writer *w, cJSON *parent, const char *name, const cot_reader *r)
{
    cJSON *o = put(w, parent, name, cJSON_CreateObject());
    put_text(w, o, "name", r->name);
    put_text(w, o, "version", r->version);
    put_text(w, o, "package_sha256", r->package_sha256);
    put_text(w, o, "notice", r->notice);
    put_text(w, o, "training", r->training);
    put_text(w, o, "role", r->role);
    put_text(w, o, "device", r->device);
    put_text(w, o, "program", r->program);
}

static void put_chain(writer *w, cJSON *root, const cot_chain *chain, const cot_steps *steps, const char *source)
{
    put_text(w, root, "schema", CHAIN_SCHEMA);
    put_text(w, root, "notice", COT_NOT_A_DEVICE);
    put_text(w, root, "source", source ? source : "");
    put_text(w, root, "state", chain_state_names[chain->state]);
    if (chain->state == COT_CHAIN_REFUSED) {
        cJSON *refusal = put(w, root, "refusal", cJSON_CreateObject());
        put_text(w, refusal, "id", chain->refusal_id);
        put_text(w, refusal, "text", chain->refusal);
    }
    if (chain->forced_id[0]) {
        cJSON *forced = put(w, root, "forced", cJSON_CreateObject());
        put_text(w, forced, "id", chain->forced_id);
        put_text(w, forced, "text", chain->forced);
    }
    put_text(w, root, "summary", chain->summary);
    if (chain->state != COT_CHAIN_REFUSED) put(w, root, "calibrated", cJSON_CreateBool(chain->calibrated));
    if (chain->rendering[0]) {
        put_text(w, root, "rendering", chain->rendering);
        put(w, root, "range_from_pixels", cJSON_CreateBool(chain->range_from_pixels));
    }
    cJSON *schema = put(w, root, "step_schema", cJSON_CreateObject());
    put_text(w, schema, "id", chain->schema_id);
    put_text(w, schema, "sha256", chain->schema_sha256);
    cJSON *list = put(w, root, "steps", cJSON_CreateArray());
    for (size_t s = 0; chain->answers && s < chain->n_steps; s++) put_step(w, list, chain, s, steps);
    if (chain->rows) {
        cJSON *image = put(w, root, "image", cJSON_CreateObject());
        put(w, image, "rows", cJSON_CreateNumber((double)chain->rows));
        put(w, image, "columns", cJSON_CreateNumber((double)chain->cols));
    }
    if (chain->has_other) put_reader(w, root, "second_reader", &chain->other);
    if (has_evidence(chain)) put_text(w, root, "evidence_of", chain->reader.role);
    put_reader(w, root, "reader", &chain->reader);
}

cot_status cot_chain_to_json(char **out, const cot_chain *chain, const cot_steps *steps, const char *source,
                             cot_error *err)
{
    cot_status status = COT_OK;
    writer w = {false};
    *out = NULL;
    cJSON *root = cJSON_CreateObject();
    COT_TRY(chain_consistent(chain, steps, err));
    put_chain(&w, root, chain, steps, source);
    if (root && !w.failed) *out = cJSON_PrintUnformatted(root);
    if (!*out) {
        status = cot_fail(err, COT_E_MEMORY, "reading: no memory for its JSON");
    } else if (strlen(*out) > CHAIN_JSON_MAX) {
        status = cot_fail(err, COT_E_LIMIT, "reading: its JSON has more than %zu bytes, which nobody reads back",
                          CHAIN_JSON_MAX);
        free(*out);
        *out = NULL;
    }
done:
    cJSON_Delete(root);
    return status;
}

cot_status cot_chain_refuse(cot_chain **out, const cot_steps *steps, const cot_reader *reader, const char *id,
                            const char *text, cot_error *err)
{
    cot_status status = COT_OK;
    COT_TRY(cot_chain_create(out, NULL, err));
    cot_chain *c = *out;
    c->state = COT_CHAIN_REFUSED;
    if (steps) {
        memcpy(c->schema_id, steps->id, sizeof c->schema_id);
        memcpy(c->schema_sha256, steps->sha256, sizeof c->schema_sha256);
    }
    if (reader) c->reader = *reader;
    snprintf(c->refusal_id, sizeof c->refusal_id, "%s", id && id[0] ? id : "undecodable");
    utf8_clean(c->refusal, sizeof c->refusal, text ? text : "");
    const size_t n = strlen(c->refusal);
    snprintf(c->summary, sizeof c->summary, "Not analysed: %s%s", c->refusal, n && c->refusal[n - 1] == '.' ? "" : ".");
done:
    return status;
}
