/* Memory of a reading (chain.h); no other behaviour.
 * SPDX-License-Identifier: Apache-2.0 */
#include "config/chain.h"

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

void cot_chain_destroy(cot_chain *chain)
{
    if (!chain) return;
    for (size_t s = 0; chain->answers && s < chain->n_steps; s++) free(chain->answers[s].probability);
    free(chain->answers);
    free(chain);
}
