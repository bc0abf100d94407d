/* A chain as one block (chain_pack.h). Both directions walk the answers in one order with one cursor, so that they cannot
 * disagree. SPDX-License-Identifier: Apache-2.0 */
#include "plugin/chain_pack.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGN = 16 };

typedef struct cursor { /* bytes NULL: only counts */
    char *bytes;
    size_t at, size;
    bool copies, good; /* copies: memory goes in; else pointers are set to what lies there */
} cursor;

/* The next n * each bytes: *pointer's content goes in, or *pointer comes to lie there. NULL pointers stay NULL. */
static void pass(cursor *c, void *pointer, size_t n, size_t each)
{
    void *content;
    size_t bytes, end;
    memcpy(&content, pointer, sizeof content);
    if (!c->good || !content || !n) return;
    c->good = cot_mul(&bytes, n, each) && cot_add(&end, c->at, bytes) && cot_add(&end, end, ALIGN - 1) &&
              (!c->bytes || c->at + bytes <= c->size);
    if (!c->good) return;
    if (c->bytes && c->copies) memcpy(c->bytes + c->at, content, bytes);
    if (c->bytes && !c->copies) {
        content = c->bytes + c->at;
        memcpy(pointer, &content, sizeof content);
    }
    c->at = end / ALIGN * ALIGN;
}

/* What answer `a` owns. When pointers are set, a region's points can be reached only after the regions themselves. */
static void pass_answer(cursor *c, cot_answer *a)
{
    a->map = NULL;
    a->map_rows = a->map_cols = 0;
    pass(c, &a->probability, a->n_options, sizeof *a->probability);
    pass(c, &a->regions, a->n_regions, sizeof *a->regions);
    pass(c, &a->influences, a->n_influences, sizeof *a->influences);
    pass(c, &a->other.probability, a->n_options, sizeof *a->other.probability);
    for (size_t r = 0; c->good && r < a->n_regions && a->regions; r++) {
        cot_region *region = &a->regions[r];
        pass(c, &region->points, region->n_points, sizeof *region->points);
    }
}

static void pass_chain(cursor *c, const cot_chain *chain)
{
    cot_answer *answers = chain->answers;
    pass(c, &answers, chain->n_steps, sizeof *answers);
    for (size_t s = 0; c->good && s < chain->n_steps; s++) {
        cot_answer answer = chain->answers[s]; /* its map is not the caller's loss */
        pass_answer(c, &answer);
    }
}

cot_status chain_pack(void **out, size_t *size, const cot_chain *chain, cot_error *err)
{
    const size_t n = chain->answers ? chain->n_steps : 0;
    cursor count = {.good = true};
    if (n) pass_chain(&count, chain);
    if (!count.good) return cot_fail(err, COT_E_LIMIT, "reading: too large to hand over");
    cursor copy = {.bytes = calloc(1, count.at ? count.at : 1), .size = count.at, .copies = true, .good = true};
    if (!copy.bytes) return cot_fail(err, COT_E_MEMORY, "reading: no memory to hand it over");
    if (n) pass_chain(&copy, chain);
    *out = copy.bytes;
    *size = count.at;
    return COT_OK;
}

bool chain_unpack(cot_chain *chain, void *bytes, size_t size)
{
    cursor c = {.bytes = bytes, .size = size, .good = true};
    if (!chain->answers) return true;
    pass(&c, &chain->answers, chain->n_steps, sizeof *chain->answers);
    for (size_t s = 0; c.good && s < chain->n_steps; s++) pass_answer(&c, &chain->answers[s]);
    return c.good;
}
