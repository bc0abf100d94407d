/* Which patient goes to which split (data.h): strata by the last step's label, patients of a stratum in an order drawn from
 * the seed, each to the split that lacks most images. The draw is a hash of seed and patient, so that neither the order of
 * the lines nor other patients' presence in other strata changes it. SPDX-License-Identifier: Apache-2.0 */
#include "engine/manifest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct person {
    const char *name;
    uint64_t draw;
    size_t first, n; /* his or her images in `order` */
    size_t stratum;
    bool listed; /* named as a test patient */
} person;

/* FNV-1a over seed and name, finished as in splitmix64. */
static uint64_t draw_of(uint64_t seed, const char *name)
{
    const uint64_t key = seed - 1; /* counted from the default */
    uint64_t h = 0xcbf29ce484222325u;
    for (int i = 0; i < 8; i++) h = (h ^ ((key >> (8 * i)) & 0xff)) * 0x100000001b3u;
    for (const unsigned char *c = (const unsigned char *)name; *c; c++) h = (h ^ *c) * 0x100000001b3u;
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9u;
    h = (h ^ (h >> 27)) * 0x94d049bb133111ebu;
    return h ^ (h >> 31);
}

static int by_patient(const void *a, const void *b)
{
    return strcmp((*(cot_case *const *)a)->patient, (*(cot_case *const *)b)->patient);
}

static int by_draw(const void *a, const void *b)
{
    const person *left = a, *right = b;
    if (left->stratum != right->stratum) return left->stratum < right->stratum ? -1 : 1;
    if (left->draw != right->draw) return left->draw < right->draw ? -1 : 1;
    return strcmp(left->name, right->name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The rarest of the person's labels at the last step; n_options: none has one. */
static size_t stratum_of(cot_case *const *images, size_t n, size_t step, const size_t *counts, size_t n_options)
{
    size_t best = n_options;
    for (size_t i = 0; i < n; i++) {
        const int label = images[i]->label[step];
        if (label == COT_MASKED) continue;
        const size_t o = (size_t)label;
        if (best == n_options || counts[o] < counts[best] || (counts[o] == counts[best] && o < best)) best = o;
    }
    return best;
}

/* The split that is furthest below its share once this person's images count. */
static cot_split neediest(const double share[COT_SPLITS], const size_t have[COT_SPLITS], size_t total)
{
    cot_split best = COT_TRAIN;
    double most = -INFINITY;
    for (int s = 0; s < COT_SPLITS; s++) {
        const double lack = share[s] * (double)total - (double)have[s];
        if (share[s] > 0 && lack > most + 1e-9) {
            most = lack;
            best = (cot_split)s;
        }
    }
    return best;
}

static void assign(cot_case **order, const person *people, size_t n, const double share[COT_SPLITS])
{
    size_t have[COT_SPLITS] = {0}, total = 0;
    for (size_t p = 0; p < n; p++) {
        const person *who = &people[p];
        if (p && who->stratum != people[p - 1].stratum) {
            memset(have, 0, sizeof have);
            total = 0;
        }
        cot_split split = COT_TEST;
        if (!who->listed) {
            total += who->n;
            split = neediest(share, have, total);
            have[split] += who->n;
        }
        for (size_t i = 0; i < who->n; i++) order[who->first + i]->split = split;
    }
}

static cot_status shares(double to[COT_SPLITS], const cot_split_options *options, cot_error *err)
{
    double sum = 0;
    for (int s = 0; s < COT_SPLITS; s++) {
        to[s] = options->share[s];
        if (!(to[s] >= 0 && to[s] <= 1)) return cot_fail(err, COT_E_USAGE, "shares of a split are from 0 to 1");
        sum += to[s];
    }
    if (fabs(sum - 1) > 1e-6 || !(to[COT_TRAIN] > 0))
        return cot_fail(err, COT_E_USAGE, "the shares of train, validation and test must sum to 1, with some to train");
    if (options->n_test_patients) {
        const double rest = to[COT_TRAIN] + to[COT_VALIDATION];
        to[COT_TRAIN] /= rest;
        to[COT_VALIDATION] /= rest;
        to[COT_TEST] = 0;
    }
    return COT_OK;
}

/* people[0..*n-1], one per patient, from images sorted by patient. */
static void meet(person *people, size_t *n, cot_case **order, const cot_manifest *m, const cot_steps *steps,
                 const size_t *counts, uint64_t seed)
{
    *n = 0;
    for (size_t i = 0, end; i < m->n; i = end) {
        for (end = i + 1; end < m->n && !strcmp(order[end]->patient, order[i]->patient);) end++;
        people[(*n)++] = (person){
            .name = order[i]->patient,
            .draw = draw_of(seed, order[i]->patient),
            .first = i,
            .n = end - i,
            .stratum = stratum_of(order + i, end - i, m->n_steps - 1, counts, steps->steps[m->n_steps - 1].n_options)};
    }
}

static cot_status mark_listed(person *people, size_t n, const cot_split_options *options, cot_error *err)
{
    const size_t listed = options->n_test_patients;
    size_t found = 0;
    if (!listed) return COT_OK;
    const char **names = malloc(listed * sizeof *names);
    if (!names) return cot_fail(err, COT_E_MEMORY, "no memory for the list of test patients");
    memcpy(names, options->test_patients, listed * sizeof *names);
    qsort(names, listed, sizeof *names, by_name);
    for (size_t p = 0; p < n; p++) {
        people[p].listed = bsearch(&people[p].name, names, listed, sizeof *names, by_name) != NULL;
        found += people[p].listed;
    }
    free(names);
    if (!found)
        return cot_fail(err, COT_E_INPUT,
                        "none of the %zu listed test patients has an image here: name them as the manifest does",
                        listed);
    return COT_OK;
}

cot_status cot_manifest_split(cot_manifest *m, const cot_steps *steps, const cot_split_options *options, cot_error *err)
{
    cot_status status;
    double share[COT_SPLITS];
    const size_t last = m->n_steps - 1;
    size_t n = 0, *counts = calloc(steps->steps[last].n_options + 1, sizeof *counts);
    cot_case **order = calloc(m->n + 1, sizeof *order);
    person *people = calloc(m->n + 1, sizeof *people);
    if (!counts || !order || !people) {
        status = cot_fail(err, COT_E_MEMORY, "no memory to split %zu images", m->n);
        goto done;
    }
    COT_TRY(shares(share, options, err));
    for (size_t i = 0; i < m->n; i++) {
        order[i] = &m->cases[i];
        if (m->cases[i].label[last] != COT_MASKED) counts[m->cases[i].label[last]]++;
    }
    qsort(order, m->n, sizeof *order, by_patient);
    meet(people, &n, order, m, steps, counts, options->seed);
    COT_TRY(mark_listed(people, n, options, err));
    qsort(people, n, sizeof *people, by_draw);
    assign(order, people, n, share);
done:
    free(counts);
    free(order);
    free(people);
    return status;
}
