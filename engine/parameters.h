/* What a training changes: one table of parameters {name, rank, shape, decay} drives allocation, initial values, loading,
 * saving and the optimiser. Values, gradients and AdamW's two moments are one device allocation each, so that clearing,
 * the norm and the step are a few launches over everything, whatever the number of tensors.
 *
 * Names are those of the published state dicts behind a name of the model: "teacher.mem_gru.weight_ih". A state dict of one
 * model is loaded with `under` = "teacher.". Models add their parameters, then the table is committed, then value and grad
 * are valid: float32, row-major as the shape says, except that `channels_last` is [out,k,k,in] on the device.
 * Threads: the device's thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_PARAMETERS_H
#define COT_ENGINE_PARAMETERS_H
#include "engine/source.h"
#include "opencl/learning.h"

enum { PARAMETER_NAME_MAX = 128, PARAMETER_RANK_MAX = 4 };

typedef enum parameter_kind {
    PARAMETER_TRAINED,
    PARAMETER_FROZEN, /* loaded and saved, never changed: no gradient */
    PARAMETER_STATE   /* changed by the forward pass itself (running statistics): no gradient */
} parameter_kind;

/* torch's own: a Linear's weight and bias are uniform in ±1/sqrt(fan_in) */
typedef enum parameter_init {
    INIT_ZEROS,
    INIT_ONES,
    INIT_FAN_IN, /* uniform in ±1/sqrt(fan_in): torch.nn.Linear, its weight and its bias; GRUCell with its width */
    INIT_XAVIER, /* uniform in ±sqrt(6 / (fan_in + fan_out)) */
    INIT_KAIMING_FAN_OUT /* normal, deviation sqrt(2 / fan_out): torchvision's convolutions */
} parameter_init;

typedef struct parameter_spec {
    const char *name;
    size_t rank, shape[PARAMETER_RANK_MAX]; /* as in the state dict */
    parameter_kind kind;
    bool no_decay;      /* AdamW leaves the value where it is; the oracle decays everything */
    bool channels_last; /* rank 4 [out,in,k,k]: [out,k,k,in] on the device, as opencl/backward.h wants it */
    parameter_init init;
    size_t fan_in, fan_out; /* of init */
} parameter_spec;

typedef struct parameter {
    char name[PARAMETER_NAME_MAX];
    parameter_spec spec; /* spec.name is name */
    size_t count;        /* floats */
    cot_buffer *value;   /* after parameters_commit */
    cot_buffer *grad;    /* the same; NULL unless trained */
    cot_buffer *moment[2];
    size_t at, end;   /* floats of the allocations */
    uint64_t version; /* changes with the value */
    uint64_t steps;   /* AdamW's, of this one */
    bool idle;        /* no loss of this step reaches it: no decay either, as torch skips what has no gradient */
} parameter;

typedef struct parameters parameters;
cot_status parameters_create(parameters **out, cot_device *device, cot_error *err);
void parameters_destroy(parameters *p);
/* *out is borrowed and stays where it is. A name that is there already: COT_E_BUG. */
cot_status parameters_add(parameter **out, parameters *p, const parameter_spec *spec, cot_error *err);
/* Allocates; values are zero until loaded or initialised. */
cot_status parameters_commit(parameters *p, cot_error *err);
size_t parameters_count(const parameters *p);
parameter *parameters_at(const parameters *p, size_t i); /* in the order added */
parameter *parameters_find(const parameters *p, const char *name);
size_t parameters_floats(const parameters *p); /* trained ones */

/* Fills those whose name begins with `under` ("": all) by their init, from a counter: value i of a tensor depends on seed,
 * name and i alone. */
cot_status parameters_init(parameters *p, const char *under, uint64_t seed, cot_error *err);
/* The same from source.prefix + the name without `under`; missing or misshapen: COT_E_MODEL naming it. */
cot_status parameters_load(parameters *p, const char *under, const weight_source *source, cot_error *err);
/* Values of one parameter as the state dict has them: spec.shape, torch's order. to/from: count floats, host. */
cot_status parameter_read(const parameter *q, float *to, cot_error *err);
cot_status parameter_write(parameter *q, const float *from, cot_error *err);

/* ---- files ---- */
/* Tensors on their way into one safetensors file, with their data. Zero it before the first use. */
typedef struct tensor_list {
    tensor *items;
    size_t n, room;
} tensor_list;
/* A copy of data (shape[0]*…*4 or 8 bytes) under name. type: TENSOR_F32 or TENSOR_I64 */
cot_status tensor_list_add(tensor_list *list, const char *name, tensor_type type, const size_t *shape, size_t rank,
                           const void *data, cot_error *err);
void tensor_list_free(tensor_list *list);
/* Values of all whose name begins with `under`, named `prefix` + the name without it ("student.", "" gives a state dict). */
cot_status parameters_collect(tensor_list *list, const parameters *p, const char *under, const char *prefix,
                              cot_error *err);
/* For a resume that continues bit by bit: values, AdamW's moments (exp_avg.NAME, exp_avg_sq.NAME) and its steps, all behind
 * `prefix`; parameters_resume reads them back. */
cot_status parameters_checkpoint(tensor_list *list, const parameters *p, const char *prefix, cot_error *err);
cot_status parameters_resume(parameters *p, const weight_source *source, cot_error *err);

/* ---- optimiser ---- */
typedef struct optimiser_options {
    float lr, beta1, beta2, eps, weight_decay;
    float max_norm; /* gradients are clipped to this norm, as torch.nn.utils.clip_grad_norm_; 0: not */
} optimiser_options;
#define OPTIMISER_OPTIONS_INIT                                                                                         \
    {                                                                                                                  \
        1e-3f, 0.9f, 0.999f, 1e-8f, 0.01f, 1.0f                                                                        \
    }
/* One AdamW step over all trained parameters, as torch.optim.AdamW after clipping; clears the gradients behind it. Nothing
 * is read back: parameters_norm does that, when somebody wants to know. Idle ones are left alone, then no longer idle. */
cot_status parameters_step(parameters *p, const optimiser_options *options, cot_error *err);
/* Norm of all gradients before clipping, of the last step; waits for the device. */
cot_status parameters_norm(double *norm, const parameters *p, cot_error *err);
cot_status parameters_zero_gradients(parameters *p,
                                     cot_error *err); /* needed only where a backward was not followed by a step */
uint64_t parameters_steps(const parameters *p);       /* optimiser steps done */
#endif
