/* What a teacher's answer rests on (evidence.h), for a batch behind its reading. Both halves run all steps' questions side by
 * side, in blocks of the batch's images, so that the teacher's matrices are read once per step and not once per question.
 *   Influences: block 0 is the chain as it is; behind step t's answer a block joins that goes on from the nodes as they were
 *     before t was written into the memory. So step s runs for 1 + (answered steps before s) blocks, the last step for all.
 *   Gradients: backwards, from the last step to the first; the block of step s's chosen logit joins at s. Through the step's
 *     view of the image and, over memory and graph, through those of all steps before it: all ways by which a logit depends
 *     on the feature, so the gradient is whole, not one of a frozen chain.
 * Its matrices the other way are a second copy on the device, made only for this; activations are for CHUNK images at most.
 * Threads: the device's thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_TEACHER_EVIDENCE_H
#define COT_ENGINE_TEACHER_EVIDENCE_H
#include "config/chain.h"
#include "engine/teacher.h"

enum { TEACHER_EVIDENCE_CHUNK = 16 };

/* What a step of the chain as it is left behind, for the way back; [chunk,dim] unless said otherwise. */
typedef struct teacher_trace {
    cot_buffer **z, **sum, **out; /* [layers] of [chunk,nodes,dim]: the graph before this step; none before the first */
    cot_buffer *context_linear, *context, *image_linear, *image, *hidden_linear, *hidden, *fused_linear, *fused;
    cot_buffer *memory;  /* as the step found it */
    cot_buffer *gi, *gh; /* [chunk,3 dim] */
    cot_buffer *p;       /* [chunk,classes] */
} teacher_trace;

/* Layers from the gradient of what they give to that of what they read. */
typedef struct teacher_back {
    cot_weights **W, **proj; /* [layers] */
    cot_weights *fusion_proj, *hh;
    cot_weights **image, **head[2]; /* [n_steps] */
} teacher_back;

/* Gradients, [rows,dim] unless said otherwise; spread: of the trace, for every block. */
typedef struct teacher_grads {
    cot_buffer *nodes[2], *sum, *z, *spread;     /* [rows,nodes,dim] */
    cot_buffer *pair;                            /* [rows,2 dim] */
    cot_buffer *gi, *gh, *spread_gi, *spread_gh; /* [rows,3 dim] */
    cot_buffer *memory, *next, *row, *context, *image, *hidden, *fused, *linear, *spread_y, *spread_x;
    cot_buffer *p, *logits, *spread_p; /* [rows,most classes] */
    cot_buffer *feature;               /* [rows,image_dim] */
} teacher_grads;

typedef struct teacher_evidence {
    const teacher *model; /* borrowed */
    teacher rows;         /* the same weights with activations of its own, for `max_rows` */
    bool *available;      /* [n_steps] */
    size_t last;          /* the last available step */
    size_t n_available, chunk, max_rows, most_classes;
    teacher_trace *trace; /* [n_steps] */
    teacher_back back;
    teacher_grads grads;
    cot_arena *arena;
    cot_buffer *feature;                /* [chunk,image_dim] */
    float *logits;                      /* host: [n_available blocks][chunk][n_logits], of the last forward */
    float *host;                        /* [max_rows, most classes or image_dim] */
    double *given, *without;            /* [n_logits] */
    size_t n_logits, *classes, *column; /* [n_steps] */
} teacher_evidence;

/* available [n_steps]: which steps are answered. Zero *e before; fini in any case. m and source, whose weights it has, for
 * at most max_batch images. */
cot_status teacher_evidence_init(teacher_evidence *e, const teacher *m, const weight_source *source,
                                 const bool *available, size_t max_batch, cot_error *err);
void teacher_evidence_fini(teacher_evidence *e);
/* Influences on every available answer of n chains, whose answers are filled in, read from feature [n,image_dim], and unless
 * gradients is NULL the gradients of the chosen logits: [n, n_steps, image_dim], zeros for unavailable answers. temperature:
 * as evidence_weigh. */
cot_status teacher_evidence_weigh(teacher_evidence *e, cot_chain *const *chains, const cot_buffer *feature, size_t n,
                                  const float *temperature, float *gradients, cot_error *err);

/* ---- its two halves, for one chunk: teacher_evidence_forward.c, teacher_evidence_back.c ---- */
/* From e->feature into e->logits and the trace. Block b > 0 lacks the b-th available step's write. */
cot_status teacher_evidence_forward(teacher_evidence *e, size_t n, cot_error *err);
/* From the trace of n images; answers [n_steps, n]: which logit. gradients [n, n_steps, image_dim]. */
cot_status teacher_evidence_back(teacher_evidence *e, float *gradients, const size_t *answers, size_t n,
                                 cot_error *err);
#endif
