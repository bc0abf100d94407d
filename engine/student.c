/* The Step-CoT student (arXiv 2603.13878, appendix D): one image feature, a chain of step heads that write back.
 *     f      = ReLU(LayerNorm(W_p v + b_p))            img_proj, v: the encoder's feature
 *     l_s    = W_s f + b_s                             step_heads.s, s = 0 … steps-1
 *     f     <- f + tanh(l_s . W_s)                     what the step found becomes part of the feature
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/layers.h"

#include <stdlib.h>
#include <string.h>

static const float norm_eps = 1e-5f; /* torch.nn.LayerNorm's default */

/* ---- load ---- */
static cot_status load_vector(cot_buffer **out, cot_device *device, const cot_package *package, const char *prefix,
                              const char *part, size_t n, cot_error *err)
{
    cot_status status;
    float *v = NULL;
    COT_TRY(package_floats(&v, package, prefix, part, err));
    COT_TRY(cot_buffer_create(out, device, n, err));
    COT_TRY(cot_buffer_write(*out, 0, v, n, err));
done:
    free(v);
    return status;
}

/* [rows,cols] -> [cols,rows]; caller frees. NULL: no memory. */
static float *transposed(const float *w, size_t rows, size_t cols)
{
    float *t = malloc(rows * cols * sizeof *t + 1);
    if (!t) return NULL;
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++) t[c * rows + r] = w[r * cols + c];
    return t;
}

/* head: l = W f + b; write: l . W, which is a linear layer with the transposed weight and no bias. */
static cot_status load_head(student *m, size_t s, cot_device *device, const cot_package *package, cot_error *err)
{
    cot_status status;
    char prefix[48];
    float *w = NULL, *b = NULL, *t = NULL;
    snprintf(prefix, sizeof prefix, STUDENT_HEADS ".%zu", s);
    COT_TRY(package_floats(&w, package, prefix, "weight", err));
    COT_TRY(package_floats(&b, package, prefix, "bias", err));
    COT_TRY(cot_linear_prepare(&m->head[s], device, w, b, m->classes[s], m->dim, err));
    t = transposed(w, m->classes[s], m->dim);
    if (!t) {
        status = cot_fail(err, COT_E_MEMORY, "model: no memory for %s", prefix);
        goto done;
    }
    COT_TRY(cot_linear_prepare(&m->write[s], device, t, NULL, m->dim, m->classes[s], err));
done:
    free(w);
    free(b);
    free(t);
    return status;
}

static cot_status allocate_steps(student *m, const architecture *arch, cot_error *err)
{
    m->n_steps = arch->n_steps;
    m->classes = calloc(m->n_steps + 1, sizeof *m->classes);
    m->head = calloc(m->n_steps + 1, sizeof *m->head);
    m->write = calloc(m->n_steps + 1, sizeof *m->write);
    m->acts.logits = calloc(m->n_steps + 1, sizeof *m->acts.logits);
    if (!m->classes || !m->head || !m->write || !m->acts.logits)
        return cot_fail(err, COT_E_MEMORY, "model: no memory for %zu steps", m->n_steps);
    memcpy(m->classes, arch->classes, m->n_steps * sizeof *m->classes);
    return COT_OK;
}

cot_status student_init(student *m, cot_device *device, const cot_package *package, cot_error *err)
{
    cot_status status;
    const architecture *arch = &package_card(package)->arch;
    float *w = NULL, *b = NULL;
    m->dim = arch->dim;
    m->features = resnet18_features(arch->width);
    COT_TRY(allocate_steps(m, arch, err));
    COT_TRY(package_floats(&w, package, STUDENT_PROJECTION ".0", "weight", err));
    COT_TRY(package_floats(&b, package, STUDENT_PROJECTION ".0", "bias", err));
    COT_TRY(cot_linear_prepare(&m->projection, device, w, b, m->dim, m->features, err));
    COT_TRY(load_vector(&m->norm_scale, device, package, STUDENT_PROJECTION ".1", "weight", m->dim, err));
    COT_TRY(load_vector(&m->norm_shift, device, package, STUDENT_PROJECTION ".1", "bias", m->dim, err));
    for (size_t s = 0; s < m->n_steps; s++) COT_TRY(load_head(m, s, device, package, err));
done:
    free(w);
    free(b);
    return status;
}

void student_fini(student *m)
{
    for (size_t s = 0; s < m->n_steps; s++) {
        if (m->head) cot_weights_destroy(m->head[s]);
        if (m->write) cot_weights_destroy(m->write[s]);
    }
    cot_weights_destroy(m->projection);
    cot_buffer_destroy(m->norm_scale);
    cot_buffer_destroy(m->norm_shift);
    free(m->acts.logits);
    free(m->classes);
    free(m->head);
    free(m->write);
}

/* ---- plan ---- */
cot_status student_plan(student *m, cot_arena *arena, size_t max_batch, cot_error *err)
{
    cot_status status;
    student_acts *a = &m->acts;
    COT_TRY(cot_arena_reserve(arena, &a->projected, m->dim * max_batch, err));
    COT_TRY(cot_arena_reserve(arena, &a->feat, m->dim * max_batch, err));
    COT_TRY(cot_arena_reserve(arena, &a->written, m->dim * max_batch, err));
    for (size_t s = 0; s < m->n_steps; s++)
        COT_TRY(cot_arena_reserve(arena, &a->logits[s], m->classes[s] * max_batch, err));
done:
    return status;
}

/* ---- forward ---- */
cot_status student_forward(student *m, const cot_buffer *feature, size_t n, cot_error *err)
{
    cot_status status;
    student_acts *a = &m->acts;
    COT_TRY(cot_linear_forward(a->projected, feature, m->projection, n, NULL, COT_ACT_NONE, err));
    COT_TRY(cot_layer_norm_forward(a->feat, a->projected, m->norm_scale, m->norm_shift, n, m->dim, norm_eps,
                                   COT_ACT_RELU, err));
    for (size_t s = 0; s < m->n_steps; s++) {
        COT_TRY(cot_linear_forward(a->logits[s], a->feat, m->head[s], n, NULL, COT_ACT_NONE, err));
        if (s + 1 == m->n_steps) break; /* nothing reads the feature behind the last step */
        COT_TRY(cot_linear_forward(a->written, a->logits[s], m->write[s], n, NULL, COT_ACT_NONE, err));
        COT_TRY(cot_add_tanh_forward(a->feat, a->feat, a->written, n * m->dim, err));
    }
done:
    return status;
}
