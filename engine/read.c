/* Pictures in, chains out: preprocess, encode once, answer every step that a reader was trained for; where two
 * read, compare them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/calibration.h"
#include "engine/model.h"

#include <string.h>

/* One step's logits as certainties are made of them: divided by the reader's temperature (calibration.h). */
static const float *calibrated(cot_model *m, const float *logits, const char *reader, size_t s)
{
    const model_card *card = package_card(m->package);
    const float temperature = calibration_temperature(card, reader, m->steps->steps[s].id);
    for (size_t c = 0; c < card->arch.classes[s]; c++) m->step[c] = logits[c] / temperature;
    return m->step;
}

/* Picture i of the batch. */
static cot_status make_chain(cot_chain **out, cot_model *m, size_t i, cot_error *err)
{
    const model_card *card = package_card(m->package);
    const bool *supervised = m->readers == COT_READ_TEACHER ? card->teacher.supervised : card->supervised;
    const char *reader = m->readers == COT_READ_TEACHER ? "teacher" : "student";
    const size_t first = i * m->n_logits;
    cot_status status;
    cot_chain *chain = NULL;
    COT_TRY(cot_chain_create(&chain, m->steps, err));
    chain->reader = m->reader;
    chain->has_other = m->readers == COT_READ_BOTH;
    if (chain->has_other) chain->other = m->other;
    chain->state = COT_CHAIN_COMPLETE;
    for (size_t s = 0, at = first; s < m->steps->n_steps; at += card->arch.classes[s], s++) {
        cot_answer *answer = &chain->answers[s];
        const cot_step *step = &m->steps->steps[s];
        if (supervised[s]) {
            answer_fill(answer, step, calibrated(m, m->logits + at, reader, s));
        } else {
            answer_unavailable(answer);
            chain->state = COT_CHAIN_PARTIAL;
        }
        if (chain->has_other && card->teacher.supervised[s])
            COT_TRY(answer_compare(answer, step, calibrated(m, m->other_logits + at, "teacher", s), m->steps,
                                   m->other.role, err));
    }
    chain->calibrated = calibration_there(card, reader);
    chain_summarise(chain, m->steps);
    *out = chain;
    chain = NULL;
done:
    cot_chain_destroy(chain);
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
    for (size_t i = 0; i < n; i++) COT_TRY(make_chain(&out[i], model, i, err));
done:
    for (size_t i = 0; status != COT_OK && i < n; i++) {
        cot_chain_destroy(out[i]);
        out[i] = NULL;
    }
    return status;
}
