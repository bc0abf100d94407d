/* Pictures in, chains out: preprocess, encode once, answer every step that the model was trained for.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/model.h"

#include <string.h>

static cot_status make_chain(cot_chain **out, const cot_model *m, const float *logits, cot_error *err)
{
    const bool *supervised = package_card(m->package)->supervised;
    cot_status status;
    cot_chain *chain = NULL;
    COT_TRY(cot_chain_create(&chain, m->steps, err));
    chain->reader = m->reader;
    chain->state = COT_CHAIN_COMPLETE;
    for (size_t s = 0; s < m->steps->n_steps; logits += m->student.classes[s], s++) {
        if (supervised[s]) {
            answer_fill(&chain->answers[s], &m->steps->steps[s], logits);
        } else {
            answer_unavailable(&chain->answers[s]);
            chain->state = COT_CHAIN_PARTIAL;
        }
    }
    chain_summarise(chain, m->steps);
    *out = chain;
done:
    return status;
}

cot_status cot_model_read(cot_model *model, cot_chain **out, const cot_picture *pictures, size_t n, cot_error *err)
{
    cot_status status;
    double start, end;
    if (!n || n > model->max_batch)
        return cot_fail(err, COT_E_BUG, "model: %zu pictures, planned for 1 to %zu", n, model->max_batch);
    memset(out, 0, n * sizeof *out);
    COT_TRY(model_clock(&start, model, err));
    COT_TRY(model_preprocess(model, pictures, n, err));
    COT_TRY(model_clock(&end, model, err));
    if (model->timing) model->times.preprocess = end - start;
    COT_TRY(model_forward(model, n, err));
    for (size_t i = 0; i < n; i++) COT_TRY(make_chain(&out[i], model, model->logits + i * model->n_logits, err));
done:
    for (size_t i = 0; status != COT_OK && i < n; i++) {
        cot_chain_destroy(out[i]);
        out[i] = NULL;
    }
    return status;
}
