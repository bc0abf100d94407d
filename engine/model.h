/* Inside of a cot_model: encoder, student, plan. For model.c, preprocess.c, read.c and benchlayers.c.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_MODEL_H
#define COT_ENGINE_MODEL_H
#include "engine/encoder.h"
#include "engine/layers.h"

struct cot_model {
    cot_device *device;
    const cot_package *package;
    const cot_steps *steps;
    size_t max_batch, n_logits; /* n_logits: sum of all steps' options */
    cot_reader reader;          /* the package's, with the device filled in */
    encoder encoder;
    student student;
    cot_resampler *resampler;
    cot_arena *arena;
    cot_buffer *input;   /* [max_batch,size,size,1] normalised */
    cot_buffer *feature; /* [max_batch,features] */
    float *logits;       /* host, [max_batch,n_logits], steps side by side */
    float *step;         /* host, one step's logits as the device has them */
    bool timing;
    cot_model_times times;
};

/* preprocess.c: pictures -> model->input */
cot_status model_preprocess(cot_model *model, const cot_picture *pictures, size_t n, cot_error *err);
/* model.c: model->input -> model->logits; times the stages when timing is on */
cot_status model_forward(cot_model *model, size_t n, cot_error *err);
/* Milliseconds of a clock that only runs forward; finishes the device first when timing is on. */
cot_status model_clock(double *ms, cot_model *model, cot_error *err);

/* explain.c: host only. `logits` has one step's options. */
void answer_fill(cot_answer *answer, const cot_step *step, const float *logits);
void answer_unavailable(cot_answer *answer);
void chain_summarise(cot_chain *chain, const cot_steps *steps);
#endif
