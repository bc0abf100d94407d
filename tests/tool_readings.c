/* links: plugin
 * tool_readings FOLDER: writes a reading of every kind as JSON, as --json and the store have it, for tests/readings.sh.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/node.h"
#include "report_cases.h"

#include <stdio.h>

static cot_error err;

static void require(bool good, const char *what)
{
    if (good) return;
    fprintf(stderr, "tool_readings: %s: %s\n", what, err.text);
    exit(1);
}

static void write_json(const char *folder, const char *name, const cot_chain *chain, const cot_steps *steps,
                       const char *source)
{
    char path[512], *json = NULL;
    snprintf(path, sizeof path, "%s/%s.json", folder, name);
    require(cot_chain_to_json(&json, chain, steps, source, &err) == COT_OK, name);
    require(cot_file_write_durable(path, json, strlen(json), &err) == COT_OK, path);
    free(json);
}

static void write_plain(const char *folder, const cot_steps *steps)
{
    cot_chain *complete = case_chain(steps, true), *partial = case_chain(steps, false), *refused = case_refused(steps),
              *forced = case_forced(steps), *bare = NULL;
    complete->calibrated = partial->answers[0].calibrated = true;
    for (size_t s = 0; s < complete->n_steps; s++) complete->answers[s].calibrated = true;
    case_copy(forced->rendering, sizeof forced->rendering, "values between the 0.5 and 99.5 percentile");
    forced->range_from_pixels = true;
    require(cot_chain_refuse(&bare, NULL, NULL, "undecodable", "no image", &err) == COT_OK, "refuse");
    write_json(folder, "complete", complete, steps, "/images/a.dcm");
    write_json(folder, "stored", complete, steps, NULL);
    write_json(folder, "partial", partial, steps, "a.dcm");
    write_json(folder, "refused", refused, steps, "a.dcm");
    write_json(folder, "refused-before-all", bare, NULL, "a.dcm");
    write_json(folder, "forced", forced, steps, "a.dcm");
    cot_chain *const all[] = {complete, partial, refused, forced, bare};
    for (size_t i = 0; i < 5; i++) cot_chain_destroy(all[i]);
}

/* Every step: as many regions as there may be, one of them with as many points. */
static void many_regions(cot_chain *chain)
{
    chain->rows = chain->cols = 65536;
    cot_answer *a = &chain->answers[0];
    require(cot_answer_regions(a, 64, &err) == COT_OK, "regions");
    a->located = true;
    for (size_t r = 0; r < 64; r++) {
        const size_t n = r ? 3 : 4096;
        require(cot_region_points(&a->regions[r], n, &err) == COT_OK, "points");
        a->regions[r].share = 1.0f / 64;
        for (size_t i = 0; i < n; i++) a->regions[r].points[i] = (cot_point){65536.0f / (float)(i + 1), (float)(r + i)};
    }
}

static void write_evidence(const char *folder, const cot_steps *steps)
{
    cot_chain *chain = case_chain(steps, true), *partial = case_chain(steps, false), *silent = case_chain(steps, true);
    case_evidence(chain);
    write_json(folder, "two-readers", chain, steps, "a.dcm");
    case_evidence(partial);
    write_json(folder, "two-readers-partial", partial, steps, "a.dcm");
    silent->has_other = true; /* a second reader that answered nothing */
    write_json(folder, "second-reader-silent", silent, steps, "a.dcm");
    cot_chain_destroy(silent);
    silent = case_chain(steps, true);
    many_regions(silent);
    write_json(folder, "many-regions", silent, steps, "a.dcm");
    cot_chain_destroy(chain);
    cot_chain_destroy(partial);
    cot_chain_destroy(silent);
}

/* Fields filled to the last byte; what JSON must escape; what is no UTF-8; probabilities of 0 and 1. */
static void write_extremes(const char *folder, const cot_steps *steps)
{
    cot_chain *chain = case_chain(steps, true);
    cot_reader *r = &chain->reader;
    char *const full[] = {r->name, r->version, r->notice, r->training, r->role, r->device, r->program, chain->summary};
    const size_t sizes[] = {sizeof r->name, sizeof r->version, sizeof r->notice,  sizeof r->training,
                            sizeof r->role, sizeof r->device,  sizeof r->program, sizeof chain->summary};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) memset(full[i], i % 2 ? '"' : '\\', sizes[i] - 1);
    case_copy(chain->answers[0].rationale, sizeof chain->answers[0].rationale, "\x01\x1f\t\r\n\x7f </script> \"\\/");
    case_copy(chain->answers[1].rationale, sizeof chain->answers[1].rationale, "broken \xff\xc3( \xed\xa0\x80");
    for (size_t i = 0; i + 3 <= 1024; i += 3) memcpy(chain->answers[2].rationale + i, "\xe8\x82\xba", 3);
    chain->answers[2].rationale[1023] = 0;
    case_copy(chain->answers[3].rationale, sizeof chain->answers[3].rationale,
              "\xf0\x9f\xab\x81\xe2\x80\xae\xef\xbf\xbf");
    for (size_t s = 0; s < chain->n_steps; s++) {
        case_answer(chain, steps, s, 0, s % 2 ? 1 : 0.9999999f);
        if (s < 4) continue;
        chain->answers[s].rationale[0] = 0;
    }
    write_json(folder, "extreme", chain, steps, "b\xc3\xa4r \xe8\x82\xba \"\\\n\xff.dcm");
    cot_chain_destroy(chain);
}

/* An answer need not have a standard code: the key of the schema's own scheme is none of the JSON's business then. */
static void write_without_codes(const char *folder, cot_steps *steps)
{
    for (size_t s = 0; s < steps->n_steps; s++)
        for (size_t o = 0; o < steps->steps[s].n_options; o++)
            steps->steps[s].options[o].code.value[0] = steps->steps[s].options[o].laterality.value[0] = 0;
    cot_chain *chain = case_chain(steps, true);
    case_evidence(chain);
    write_json(folder, "without-codes", chain, steps, "a.dcm");
    cot_chain_destroy(chain);
}

int main(int argc, char **argv)
{
    cot_steps *steps = NULL, *german = NULL;
    if (argc != 2) return fprintf(stderr, "usage: tool_readings FOLDER\n"), 2;
    require(cot_steps_load(&steps, NULL, &err) == COT_OK && cot_steps_load(&german, "de", &err) == COT_OK, "steps");
    write_plain(argv[1], steps);
    write_evidence(argv[1], steps);
    write_extremes(argv[1], steps);
    cot_chain *chain = case_chain(german, true);
    case_evidence(chain);
    write_json(argv[1], "german", chain, german, "a.dcm");
    cot_chain_destroy(chain);
    write_without_codes(argv[1], steps);
    cot_steps_destroy(steps);
    cot_steps_destroy(german);
    return 0;
}
