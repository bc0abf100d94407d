/* The Step-CoT teacher (arXiv 2603.13878, appendix D): step prompts and a memory are nodes of a graph; each step hears the
 * graph, answers, and writes its answer into the memory. Image feature [n,image_dim] -> logits[s] [n,classes of step s].
 * Threads: the device's thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_TEACHER_H
#define COT_ENGINE_TEACHER_H
#include "engine/gat.h"
#include "engine/gru.h"
#include "engine/projection.h"

typedef struct teacher_shape {
    size_t image_dim, dim, heads, layers; /* heads and layers of the graph attention stack */
    size_t n_steps;
    const size_t *classes; /* [n_steps] */
} teacher_shape;

typedef struct step_model {
    size_t classes;
    projection img_proj;       /* image_dim -> dim */
    projection fusion_head[2]; /* 2 dim -> dim -> dim */
    cot_weights *classifier;   /* [classes,dim] logits = classifier(x) */
    cot_weights *write;        /* the same matrix the other way: p . W */
    cot_weights *gates;        /* [3 dim,classes] p -> W_ih (W_m (p . W) + b_m) + b_ih, made by teacher_prompts */
    cot_weights *gates_back;   /* [classes,3 dim] the same matrix the other way, for gradients */
} step_model;

typedef struct teacher_acts {
    /* of the first graph pass, which depends on no image: made once by teacher_prompts, for every item of a batch */
    cot_buffer *first; /* [max,nodes,dim]; forward writes the memory row, so that it is the second pass's input */
    cot_buffer *first_memory;  /* [max,dim] */
    cot_buffer *first_context; /* [max,dim] */
    cot_buffer *nodes;         /* [max,nodes,dim] */
    cot_buffer *memory, *node; /* [max,dim] rows of nodes: the memory, the current step's */
    cot_buffer *pair;          /* [max,2 dim] what goes into a fusion */
    cot_buffer *context;       /* [max,dim] */
    cot_buffer *image;         /* [max,dim] the step's view of the image */
    cot_buffer *hidden;        /* [max,dim] */
    cot_buffer *fused;         /* [max,dim] */
    cot_buffer *context_linear, *image_linear, *hidden_linear, *fused_linear; /* [max,dim] each before norm and ReLU */
    cot_buffer *p;              /* [max,most classes] softmax of the logits */
    cot_buffer *said, *written; /* [max,dim] p . W, and what the memory gets of it */
    cot_buffer **logits;        /* [n_steps] of [max,classes] */
} teacher_acts;

typedef struct teacher {
    cot_device *device;
    size_t image_dim, dim, n_steps, nodes; /* nodes: one per step, and the memory behind them */
    size_t max_batch;
    bool forgets;       /* an ablation: what a step found is not written into the memory */
    size_t without;     /* 0, or the step from 1 that is not written into the memory */
    step_model *step;   /* [n_steps] */
    float *memory_init; /* host, [dim] */
    gat_stack memory_gat;
    projection fusion_proj; /* 2 dim -> dim */
    gru_cell mem_gru;
    cot_weights *pred2mem;
    teacher_acts acts;
} teacher;

cot_status teacher_init(teacher *m, cot_device *device, const weight_source *source, const teacher_shape *shape,
                        cot_error *err);
void teacher_fini(teacher *m);
/* Reserves the activations for max_batch images. */
cot_status teacher_plan(teacher *m, cot_arena *arena, size_t max_batch, cot_error *err);
/* Once, after the arena is committed: prompts, host, [n_steps,dim]. Runs the first graph pass and
 * folds what leads from an answer to the memory's gates. */
cot_status teacher_prompts(teacher *m, const float *prompts, cot_error *err);
/* Into acts.logits; n <= max_batch. */
cot_status teacher_forward(teacher *m, const cot_buffer *feature, size_t n, cot_error *err);

/* Its parts, for teacher_evidence.h. acts.nodes -> acts.memory, acts.context */
cot_status teacher_context(teacher *m, size_t s, size_t n, cot_error *err);
/* The step's view of the image and its context -> acts.logits[s] */
cot_status teacher_answer(teacher *m, size_t s, const cot_buffer *image, const cot_buffer *context, size_t n,
                          cot_error *err);
/* What step s found becomes the memory node of `nodes`; memory: as it was; acts.memory: as it is then. */
cot_status teacher_write(cot_buffer *nodes, teacher *m, size_t s, const cot_buffer *memory, size_t n, cot_error *err);
#endif
