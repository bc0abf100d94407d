/* The teacher's part of a package's tensors: the published names behind "teacher.", and the prompts that it hears.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/architecture.h"
#include "engine/naming.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { OWN_TENSORS = 1 + 1 + 4 + 4 + 2, LAYER_TENSORS = 4 + 2 + 2, STEP_TENSORS = 4 + 4 + 4 + 2 };

size_t teacher_tensor_count(const architecture *arch)
{
    if (!arch->teacher.dim) return 0;
    return OWN_TENSORS + LAYER_TENSORS * arch->teacher.layers + STEP_TENSORS * arch->n_steps;
}

/* ---- the table ---- */
/* One tensor of rank 1 (cols 0) or 2, its name as printf makes it. */
COT_PRINTF(4, 5) static tensor_spec *add(tensor_spec *at, size_t rows, size_t cols, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(at->name, sizeof at->name, format, list);
    va_end(list);
    at->rank = cols ? 2 : 1;
    at->shape[0] = rows;
    at->shape[1] = cols;
    return at + 1;
}

static tensor_spec *add_linear(tensor_spec *at, const char *name, size_t i, size_t out, size_t in)
{
    at = add(at, out, in, "%s.%zu.weight", name, i);
    return add(at, out, 0, "%s.%zu.bias", name, i);
}

/* torch.nn.Linear and torch.nn.LayerNorm behind it: projection.h */
static tensor_spec *add_projection(tensor_spec *at, const char *name, size_t i, size_t out, size_t in)
{
    at = add_linear(at, name, i, out, in);
    at = add(at, out, 0, "%s.%zu.weight", name, i + 1);
    return add(at, out, 0, "%s.%zu.bias", name, i + 1);
}

static tensor_spec *add_graph_layer(tensor_spec *at, const teacher_arch *t, size_t i)
{
    const char *const gat = TEACHER_PREFIX "memory_gat";
    at = add(at, t->dim, t->dim, "%s.layers.%zu.W.weight", gat, i);
    at = add(at, t->heads, t->dim / t->heads, "%s.layers.%zu.a_src", gat, i);
    at = add(at, t->heads, t->dim / t->heads, "%s.layers.%zu.a_dst", gat, i);
    at = add(at, t->dim, 0, "%s.layers.%zu.bias", gat, i);
    at = add_linear(at, TEACHER_PREFIX "memory_gat.projs", i, t->dim, t->dim);
    at = add(at, t->dim, 0, "%s.norms.%zu.weight", gat, i);
    return add(at, t->dim, 0, "%s.norms.%zu.bias", gat, i);
}

static tensor_spec *add_step(tensor_spec *at, const architecture *arch, size_t s)
{
    const size_t dim = arch->teacher.dim;
    char name[64];
    snprintf(name, sizeof name, TEACHER_PREFIX "step_models.%zu.img_proj", s);
    at = add_projection(at, name, 0, dim, architecture_features(arch));
    snprintf(name, sizeof name, TEACHER_PREFIX "step_models.%zu.fusion_head", s);
    at = add_projection(at, name, 0, dim, 2 * dim);
    at = add_projection(at, name, 4, dim, dim);
    at = add(at, arch->classes[s], dim, TEACHER_PREFIX "step_models.%zu.classifier.weight", s);
    return add(at, arch->classes[s], 0, TEACHER_PREFIX "step_models.%zu.classifier.bias", s);
}

tensor_spec *teacher_tensors(tensor_spec *at, const architecture *arch)
{
    const teacher_arch *t = &arch->teacher;
    if (!t->dim) return at;
    at = add(at, arch->n_steps, t->dim, PROMPTS_NAME);
    at = add(at, 1, t->dim, TEACHER_PREFIX "memory_init");
    for (size_t i = 0; i < t->layers; i++) at = add_graph_layer(at, t, i);
    at = add_projection(at, TEACHER_PREFIX "fusion_proj", 0, t->dim, 2 * t->dim);
    at = add(at, 3 * t->dim, t->dim, TEACHER_PREFIX "mem_gru.weight_ih");
    at = add(at, 3 * t->dim, t->dim, TEACHER_PREFIX "mem_gru.weight_hh");
    at = add(at, 3 * t->dim, 0, TEACHER_PREFIX "mem_gru.bias_ih");
    at = add(at, 3 * t->dim, 0, TEACHER_PREFIX "mem_gru.bias_hh");
    at = add(at, t->dim, t->dim, TEACHER_PREFIX "pred2mem.weight");
    at = add(at, t->dim, 0, TEACHER_PREFIX "pred2mem.bias");
    for (size_t s = 0; s < arch->n_steps; s++) at = add_step(at, arch, s);
    return at;
}

/* ---- sizes from the tensors ---- */
static cot_status find_matrix(const tensor **out, const safetensors *file, const char *where, const char *name,
                              cot_error *err)
{
    char shape[96];
    const tensor *t = *out = safetensors_find(file, name);
    if (!t)
        return cot_fail(err, COT_E_MODEL,
                        "%s: tensor %s of the teacher is missing: the checkpoint is cut, or of another kind", where,
                        name);
    tensor_shape_text(shape, sizeof shape, t->shape, t->rank);
    if (t->rank != 2 || !t->shape[0] || !t->shape[1] || t->shape[0] > TEACHER_DIM_MAX || t->shape[1] > TEACHER_DIM_MAX)
        return cot_fail(err, COT_E_MODEL, "%s: tensor %s has shape %s; the teacher's has two sizes from 1 to %d", where,
                        name, shape, TEACHER_DIM_MAX);
    return COT_OK;
}

cot_status teacher_arch_find(teacher_arch *out, const safetensors *file, const char *where, const char *prefix,
                             cot_error *err)
{
    cot_status status;
    char name[TENSOR_NAME_MAX];
    const tensor *t;
    teacher_arch found = {0, 0, 0};
    snprintf(name, sizeof name, "%smemory_init", prefix);
    COT_TRY(find_matrix(&t, file, where, name, err));
    found.dim = t->shape[1];
    snprintf(name, sizeof name, "%smemory_gat.layers.0.a_src", prefix);
    COT_TRY(find_matrix(&t, file, where, name, err));
    found.heads = t->shape[0];
    if (found.heads * t->shape[1] != found.dim) {
        status = cot_fail(err, COT_E_MODEL, "%s: tensor %s has %zu heads of %zu, the memory is %zu wide", where, name,
                          found.heads, t->shape[1], found.dim);
        goto done;
    }
    for (found.layers = 1; found.layers < ENCODER_LAYERS_MAX; found.layers++) {
        snprintf(name, sizeof name, "%smemory_gat.layers.%zu.a_src", prefix, found.layers);
        if (!safetensors_find(file, name)) break;
    }
    *out = found;
done:
    return status;
}
