/* Memory of a reading (chain.h); no other behaviour.
 * SPDX-License-Identifier: Apache-2.0 */
#include "config/chain.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

cot_status cot_chain_create(cot_chain **out, const cot_steps *steps, cot_error *err)
{
    *out = NULL;
    cot_chain *chain = calloc(1, sizeof *chain);
    if (!chain) goto no_memory;
    if (steps) {
        memcpy(chain->schema_id, steps->id, sizeof chain->schema_id);
        memcpy(chain->schema_sha256, steps->sha256, sizeof chain->schema_sha256);
        chain->answers = calloc(steps->n_steps ? steps->n_steps : 1, sizeof *chain->answers);
        if (!chain->answers) goto no_memory;
        chain->n_steps = steps->n_steps;
        for (size_t s = 0; s < steps->n_steps; s++) {
            cot_answer *a = &chain->answers[s];
            a->probability = calloc(steps->steps[s].n_options ? steps->steps[s].n_options : 1, sizeof *a->probability);
            if (!a->probability) goto no_memory;
            a->n_options = steps->steps[s].n_options;
        }
    }
    *out = chain;
    return COT_OK;
no_memory:
    cot_chain_destroy(chain);
    return cot_fail(err, COT_E_MEMORY, "reading: no memory for its answers");
}

static void free_regions(cot_answer *a)
{
    for (size_t r = 0; r < a->n_regions; r++) free(a->regions[r].points);
    free(a->regions);
    a->regions = NULL;
    a->n_regions = 0;
}

void cot_chain_destroy(cot_chain *chain)
{
    if (!chain) return;
    for (size_t s = 0; chain->answers && s < chain->n_steps; s++) {
        cot_answer *a = &chain->answers[s];
        free(a->probability);
        free_regions(a);
        free(a->map);
        free(a->influences);
        free(a->other.probability);
    }
    free(chain->answers);
    free(chain);
}

/* ---- what an answer owns besides its probabilities ---- */
static cot_status allocate(void *out, size_t n, size_t each, const char *what, cot_error *err)
{
    void *memory = n ? calloc(n, each) : NULL;
    memcpy(out, &memory, sizeof memory);
    return memory || !n ? COT_OK : cot_fail(err, COT_E_MEMORY, "reading: no memory for %zu %s", n, what);
}

cot_status cot_answer_regions(cot_answer *answer, size_t n, cot_error *err)
{
    free_regions(answer);
    const cot_status status = allocate(&answer->regions, n, sizeof *answer->regions, "regions", err);
    if (status == COT_OK) answer->n_regions = n;
    return status;
}

cot_status cot_region_points(cot_region *region, size_t n, cot_error *err)
{
    free(region->points);
    region->n_points = 0;
    const cot_status status = allocate(&region->points, n, sizeof *region->points, "points of a region", err);
    if (status == COT_OK) region->n_points = n;
    return status;
}

cot_status cot_answer_influences(cot_answer *answer, size_t n, cot_error *err)
{
    free(answer->influences);
    answer->n_influences = 0;
    const cot_status status = allocate(&answer->influences, n, sizeof *answer->influences, "influences", err);
    if (status == COT_OK) answer->n_influences = n;
    return status;
}

cot_status cot_answer_other(cot_answer *answer, cot_error *err)
{
    free(answer->other.probability);
    answer->other = (cot_opinion){.available = false};
    return allocate(&answer->other.probability, answer->n_options, sizeof *answer->other.probability,
                    "answers of the second reader", err);
}

cot_status cot_answer_map(cot_answer *answer, size_t rows, size_t cols, cot_error *err)
{
    free(answer->map);
    answer->map = NULL;
    answer->map_rows = answer->map_cols = 0;
    if (cols && rows > SIZE_MAX / cols) return cot_fail(err, COT_E_MEMORY, "reading: a map of %zu x %zu", rows, cols);
    const cot_status status = allocate(&answer->map, rows * cols, sizeof *answer->map, "values of a map", err);
    if (status != COT_OK) return status;
    answer->map_rows = rows;
    answer->map_cols = cols;
    return COT_OK;
}

/* ---- in words ---- */
/* Where the schema has no words of its own. */
static const char english_uncalibrated[] = "Certainties are the model's raw probabilities, not calibrated.";
static const char english_calibrated[] =
    "Certainties were calibrated on validation images; on images of another origin they may be off.";
static const char english_partly_calibrated[] =
    "Certainties were calibrated on validation images, except those of {steps}, "
    "which are raw probabilities; on images of another origin they may be off.";
static const char *or_english(const char *phrase, const char *english)
{
    return phrase[0] ? phrase : english;
}

typedef struct raw_steps {
    size_t raw, calibrated;
    char titles[400]; /* of the raw ones; cut with "…" */
} raw_steps;

static void note_step(raw_steps *r, bool calibrated, const char *title, const char *reader)
{
    char one[sizeof r->titles];
    r->calibrated += calibrated;
    if (calibrated) return;
    snprintf(one, sizeof one, "%s%s%s%s%s", r->raw++ ? ", " : "", title, reader[0] ? " (" : "", reader,
             reader[0] ? ")" : "");
    if (strlen(r->titles) + strlen(one) + sizeof ", …" <= sizeof r->titles)
        strcat(r->titles, one);
    else if (!strstr(r->titles, ", …"))
        strcat(r->titles, ", …"); /* room for it is kept free above */
}

bool cot_chain_calibration(char *text, size_t size, const cot_chain *chain, const cot_steps *steps)
{
    raw_steps r = {0};
    for (size_t s = 0; s < chain->n_steps && chain->answers; s++) {
        const cot_answer *a = &chain->answers[s];
        if (a->available) note_step(&r, a->calibrated, steps->steps[s].title, "");
        if (a->other.available) note_step(&r, a->other.calibrated, steps->steps[s].title, chain->other.role);
    }
    const cot_phrases *words = &steps->phrases;
    const char *phrase = !r.calibrated ? or_english(words->uncalibrated, english_uncalibrated)
                         : r.raw       ? or_english(words->partly_calibrated, english_partly_calibrated)
                                       : or_english(words->calibrated, english_calibrated);
    const char *place = r.raw && r.calibrated ? strstr(phrase, "{steps}") : NULL;
    if (place)
        snprintf(text, size, "%.*s%s%s", (int)(place - phrase), phrase, r.titles, place + strlen("{steps}"));
    else
        snprintf(text, size, "%s", phrase);
    return r.calibrated && !r.raw;
}
