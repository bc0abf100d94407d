/* Inside of a cot_model: encoder, student, teacher, plan. For model.c, preprocess.c, read.c and benchlayers.c.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_MODEL_H
#define COT_ENGINE_MODEL_H
#include "engine/encoder.h"
#include "engine/encoder_evidence.h"
#include "engine/evidence.h"
#include "engine/layers.h"
#include "engine/teacher.h"
#include "engine/teacher_evidence.h"

/* What cot_model_explain adds; zero while it is off. */
typedef struct model_evidence {
    bool on, keep_maps, ready;
    evidence student; /* of the one that is explained, the other is zero */
    teacher_evidence teacher;
    encoder_evidence encoder;
    float *features, *gradients,
        *maps; /* host: [max_batch,features], [max_batch,n_steps,features], and maps of all of these */
} model_evidence;

struct cot_model {
    cot_device *device;
    const cot_package *package;
    const cot_steps *steps;
    size_t max_batch, n_logits; /* n_logits: sum of all steps' options */
    cot_readers readers;
    cot_reader reader, other; /* the package's, with the device filled in; other: the second reader */
    encoder encoder;
    student student; /* not loaded where the teacher reads alone */
    teacher teacher; /* not loaded where the student reads alone */
    cot_resampler *resampler;
    cot_arena *arena;
    cot_buffer *input;   /* [max_batch,size,size,1] normalised */
    cot_buffer *feature; /* [max_batch,features] */
    float *logits;       /* host, [max_batch,n_logits], steps side by side, of the reader whose answers are the chain */
    float *other_logits; /* the same of the second reader */
    float *step;         /* host, [max_batch,n_logits], step behind step as the device has them */
    model_evidence evidence;
    bool timing;
    cot_model_times times;
};

/* preprocess.c: pictures -> model->input */
cot_status model_preprocess(cot_model *model, const cot_picture *pictures, size_t n, cot_error *err);
/* model.c: model->input -> model->logits and, with two readers, model->other_logits; times the stages when timing is on */
cot_status model_forward(cot_model *model, size_t n, cot_error *err);
/* The second half of it: model->feature -> logits of all readers */
cot_status model_heads(cot_model *model, size_t n, cot_error *err);
/* model->logits of the images that the last forward encoded, in the chain in which `step` writes nothing back: the
 * plain run on the device, against which influences are checked. */
cot_status model_without(cot_model *model, size_t n, size_t step, cot_error *err);
/* model_evidence.c: regions and influences of n chains whose answers, rows and cols are filled in, from what model_forward left
 * on the device. Nothing where explaining is off. */
cot_status model_evidence_fill(cot_model *model, cot_chain *const *chains, size_t n, cot_error *err);
void model_evidence_fini(cot_model *model);
/* Milliseconds of a clock that only runs forward; finishes the device first when timing is on. */
cot_status model_clock(double *ms, cot_model *model, cot_error *err);

/* explain.c: host only. `logits` has one step's options; temperature divides them, 0: raw (calibration.h). */
void answer_fill(cot_answer *answer, const cot_step *step, const cot_phrases *words, const float *logits,
                 float temperature);
void answer_unavailable(cot_answer *answer, const cot_phrases *words);
/* The second reader's answer to a step, and whether it disagrees with the first. */
cot_status answer_compare(cot_answer *answer, const cot_step *step, const float *logits, float temperature,
                          const cot_steps *steps, const char *reader, cot_error *err);
/* Writes the summary and says whether all certainties are calibrated. */
void chain_summarise(cot_chain *chain, const cot_steps *steps);
/* rationale.c: what the evidence of step s adds to its rationale, and its place. */
void answer_reason(cot_chain *chain, size_t s, const cot_steps *steps, cot_orientation orientation);
#endif
