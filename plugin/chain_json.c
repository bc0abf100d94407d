/* A reading → JSON "urn:stepcot:reading:1": the one form for --json, the store and the sandbox. Probabilities are written
 * with nine digits, so that reading them back gives the same floats; texts are made valid UTF-8.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/chain_json.h"
#include "plugin/utf8.h"

#include <math.h>
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
    put_option(w, o, "second", &step->options[a->second]);
    put_number(w, o, "second_certainty", a->probability[a->second]);
    put_text(w, o, "rationale", a->rationale);
    cJSON *options = put(w, o, "options", cJSON_CreateArray());
    for (size_t i = 0; i < a->n_options; i++) {
        put_option(w, options, NULL, &step->options[i]);
        put_number(w, cJSON_GetArrayItem(options, (int)i), "probability", a->probability[i]);
    }
}

static void put_step(writer *w, cJSON *parent, const cot_answer *a, const cot_step *step)
{
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
}

static void put_reader(writer *w, cJSON *parent, const cot_reader *r)
{
    cJSON *o = put(w, parent, "reader", cJSON_CreateObject());
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
    if (chain->rendering[0]) {
        put_text(w, root, "rendering", chain->rendering);
        put(w, root, "range_from_pixels", cJSON_CreateBool(chain->range_from_pixels));
    }
    cJSON *schema = put(w, root, "step_schema", cJSON_CreateObject());
    put_text(w, schema, "id", chain->schema_id);
    put_text(w, schema, "sha256", chain->schema_sha256);
    cJSON *list = put(w, root, "steps", cJSON_CreateArray());
    for (size_t s = 0; chain->answers && s < chain->n_steps; s++)
        put_step(w, list, &chain->answers[s], &steps->steps[s]);
    put_reader(w, root, &chain->reader);
}

cot_status chain_consistent(const cot_chain *chain, const cot_steps *steps, cot_error *err)
{
    size_t missing = 0;
    if ((unsigned)chain->state > COT_CHAIN_REFUSED)
        return cot_fail(err, COT_E_INPUT, "reading: unknown state %d", (int)chain->state);
    if ((chain->state == COT_CHAIN_REFUSED) != (chain->refusal_id[0] != 0))
        return cot_fail(err, COT_E_INPUT, "reading: state \"%s\" and refusal \"%s\" contradict each other",
                        chain_state_names[chain->state], chain->refusal_id);
    if (chain->state == COT_CHAIN_REFUSED && chain->forced_id[0])
        return cot_fail(err, COT_E_INPUT, "reading: refused, and yet read by force");
    if (chain->answers && (!steps || chain->n_steps != steps->n_steps))
        return cot_fail(err, COT_E_INPUT, "reading: it has %zu steps, the step schema %zu", chain->n_steps,
                        steps ? steps->n_steps : 0);
    if (!chain->answers && chain->state != COT_CHAIN_REFUSED)
        return cot_fail(err, COT_E_INPUT, "reading: no steps, and no refusal that says why");
    for (size_t s = 0; chain->answers && s < chain->n_steps; s++) {
        const cot_answer *a = &chain->answers[s];
        missing += !a->available;
        double sum = 0;
        if (!a->available) continue;
        if (a->n_options != steps->steps[s].n_options || !a->n_options || a->answer >= a->n_options ||
            a->second >= a->n_options)
            return cot_fail(err, COT_E_INPUT, "reading: step %s has other answers than the step schema",
                            steps->steps[s].id);
        for (size_t i = 0; i < a->n_options; i++) {
            const float p = a->probability[i];
            if (!(p >= 0 && p <= 1) || p > a->probability[a->answer] ||
                (i != a->answer && p > a->probability[a->second]))
                return cot_fail(err, COT_E_INPUT, "reading: step %s: the probabilities do not agree with the answer",
                                steps->steps[s].id);
            sum += (double)p;
        }
        if (fabs(sum - 1) > 1e-5 || (a->second == a->answer) != (a->n_options == 1))
            return cot_fail(err, COT_E_INPUT,
                            "reading: step %s: the probabilities sum to %.7g or the runner-up is wrong",
                            steps->steps[s].id, sum);
    }
    if (chain->state != COT_CHAIN_REFUSED && (chain->state == COT_CHAIN_PARTIAL) != (missing > 0))
        return cot_fail(err, COT_E_INPUT, "reading: it is called %s, and %zu of %zu steps are missing",
                        chain_state_names[chain->state], missing, chain->n_steps);
    return COT_OK;
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
    if (!*out) status = cot_fail(err, COT_E_MEMORY, "reading: no memory for its JSON");
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
