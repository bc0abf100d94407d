/* Evidence in a reading: what each answer rests on, for a whole batch behind its forward pass (evidence.h). The plain path
 * does none of this. SPDX-License-Identifier: Apache-2.0 */
#include "engine/calibration.h"
#include "engine/model.h"

#include <stdlib.h>
#include <string.h>

static cot_status allocate(cot_model *m, cot_error *err)
{
    model_evidence *e = &m->evidence;
    const size_t rows = m->max_batch * m->steps->n_steps;
    e->features = calloc(m->max_batch * m->encoder.features + 1, sizeof *e->features);
    e->gradients = calloc(rows * m->encoder.features + 1, sizeof *e->gradients);
    e->maps = calloc(rows * e->encoder.side * e->encoder.side + 1, sizeof *e->maps);
    return e->features && e->gradients && e->maps ? COT_OK
                                                  : cot_fail(err, COT_E_MEMORY, "model: no memory for evidence");
}

/* Of the reader whose answers are the chain. */
static cot_status prepare_reader(cot_model *m, cot_error *err)
{
    const model_card *card = package_card(m->package);
    const bool taught = m->readers == COT_READ_TEACHER;
    const weight_source source = package_source(m->package, taught ? TEACHER_PREFIX : STUDENT_PREFIX);
    const student_shape shape = {m->encoder.features, card->arch.dim, card->arch.n_steps, card->arch.classes};
    if (!taught) return evidence_init(&m->evidence.student, &source, &shape, err);
    return teacher_evidence_init(&m->evidence.teacher, &m->teacher, &source, card->teacher.supervised, m->max_batch,
                                 err);
}

static cot_status prepare(cot_model *m, cot_error *err)
{
    cot_status status;
    model_evidence *e = &m->evidence;
    const architecture *arch = &package_card(m->package)->arch;
    model_evidence_fini(m); /* of an attempt that failed */
    COT_TRY(prepare_reader(m, err));
    COT_TRY(encoder_evidence_init(&e->encoder, &m->encoder, m->device, m->package, m->max_batch, arch->n_steps, err));
    COT_TRY(allocate(m, err));
    e->ready = true;
done:
    return status;
}

void model_evidence_fini(cot_model *m)
{
    model_evidence *e = &m->evidence;
    evidence_fini(&e->student);
    teacher_evidence_fini(&e->teacher);
    encoder_evidence_fini(&e->encoder);
    free(e->features);
    free(e->gradients);
    free(e->maps);
    memset(e, 0, sizeof *e);
}

cot_status cot_model_explain(cot_model *m, bool on, bool keep_maps, cot_error *err)
{
    cot_status status = COT_OK;
    if (on && !m->evidence.ready) COT_TRY(prepare(m, err));
    m->evidence.on = on;
    m->evidence.keep_maps = keep_maps;
done:
    return status;
}

/* Influences into the chains; e->gradients. */
static cot_status weigh(cot_model *m, cot_chain *const *chains, size_t n, cot_error *err)
{
    cot_status status;
    model_evidence *e = &m->evidence;
    const size_t features = m->encoder.features, n_steps = m->steps->n_steps;
    const bool taught = m->readers == COT_READ_TEACHER;
    const float *temperature = calibration_of(package_card(m->package), taught);
    if (taught) return teacher_evidence_weigh(&e->teacher, chains, m->feature, n, temperature, e->gradients, err);
    COT_TRY(cot_buffer_read(m->feature, 0, e->features, n * features, err));
    for (size_t i = 0; i < n; i++)
        COT_TRY(evidence_weigh(&e->student, chains[i], e->features + i * features, temperature,
                               e->gradients + i * n_steps * features, err));
done:
    return status;
}

static cot_status fill(cot_model *m, cot_chain *const *chains, size_t n, cot_error *err)
{
    cot_status status;
    model_evidence *e = &m->evidence;
    const size_t n_steps = m->steps->n_steps, cells = e->encoder.side * e->encoder.side;
    COT_TRY(weigh(m, chains, n, err));
    COT_TRY(encoder_evidence_maps(e->maps, &e->encoder, &m->encoder, e->gradients, n, err));
    for (size_t i = 0; i < n; i++) {
        const evidence_maps maps = {e->maps + i * n_steps * cells, e->encoder.side, e->keep_maps};
        COT_TRY(evidence_locate(chains[i], m->steps, &maps, err));
    }
done:
    return status;
}

cot_status model_evidence_fill(cot_model *m, cot_chain *const *chains, size_t n, cot_error *err)
{
    cot_status status = COT_OK;
    double start, end;
    m->times.evidence = 0;
    if (!m->evidence.on) return COT_OK;
    COT_TRY(model_clock(&start, m, err));
    COT_TRY(fill(m, chains, n, err));
    COT_TRY(model_clock(&end, m, err));
    if (m->timing) m->times.evidence = end - start;
done:
    return status;
}
