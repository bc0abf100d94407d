/* Pictures in, chains out: preprocess, encode once, answer every step that a reader was trained for; where two
 * read, compare them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/calibration.h"
#include "engine/model.h"

#include <string.h>

/* The answers to picture i of the batch, not yet what is said about them. */
static cot_status begin_chain(cot_chain **out, cot_model *m, const cot_picture *picture, size_t i, cot_error *err)
{
    const model_card *card = package_card(m->package);
    const bool *supervised = m->readers == COT_READ_TEACHER ? card->teacher.supervised : card->supervised;
    const float *temperature = calibration_of(card, m->readers == COT_READ_TEACHER);
    const size_t first = i * m->n_logits;
    cot_status status;
    COT_TRY(cot_chain_create(out, m->steps, err));
    cot_chain *chain = *out;
    chain->reader = m->reader;
    chain->has_other = m->readers == COT_READ_BOTH;
    if (chain->has_other) chain->other = m->other;
    chain->state = COT_CHAIN_COMPLETE;
    chain->rows = picture->rows;
    chain->cols = picture->cols;
    for (size_t s = 0, at = first; s < m->steps->n_steps; at += card->arch.classes[s], s++) {
        if (supervised[s]) {
            answer_fill(&chain->answers[s], &m->steps->steps[s], &m->steps->phrases, m->logits + at, temperature[s]);
        } else {
            answer_unavailable(&chain->answers[s], &m->steps->phrases);
            chain->state = COT_CHAIN_PARTIAL;
        }
    }
done:
    return status;
}

/* Everything that is said of picture i's answers. */
static cot_status end_chain(cot_chain *chain, cot_model *m, const cot_picture *picture, size_t i, cot_error *err)
{
    const model_card *card = package_card(m->package);
    const float *temperature = calibration_of(card, true);
    cot_status status = COT_OK;
    for (size_t s = 0, at = i * m->n_logits; s < m->steps->n_steps; at += card->arch.classes[s], s++) {
        answer_reason(chain, s, m->steps, picture->orientation);
        if (chain->has_other && card->teacher.supervised[s])
            COT_TRY(answer_compare(&chain->answers[s], &m->steps->steps[s], m->other_logits + at, temperature[s],
                                   m->steps, m->other.role, err));
    }
    chain_summarise(chain, m->steps);
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
    for (size_t i = 0; i < n; i++) COT_TRY(begin_chain(&out[i], model, &pictures[i], i, err));
    COT_TRY(model_evidence_fill(model, out, n, err));
    for (size_t i = 0; i < n; i++) COT_TRY(end_chain(out[i], model, &pictures[i], i, err));
done:
    for (size_t i = 0; status != COT_OK && i < n; i++) {
        cot_chain_destroy(out[i]);
        out[i] = NULL;
    }
    return status;
}
