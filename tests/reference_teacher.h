/* The teacher in double, loop by loop from the oracle's equations (engine/teacher.h), for finite differences and for removing a
 * step by hand. Knows nothing of batches, devices or folded matrices.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_TESTS_REFERENCE_TEACHER_H
#define COT_TESTS_REFERENCE_TEACHER_H
#include "engine/source.h"
#include "engine/teacher.h"
#include "tests/check.h"

enum { REF_PARTS = 256, REF_WIDE = 4096 };

typedef struct ref_teacher {
    const weight_source *source;
    teacher_shape shape;
    const float *prompts;
    char name[REF_PARTS][128]; /* tensors read so far */
    float *part[REF_PARTS];
    size_t n_parts;
} ref_teacher;

/* A tensor of `count` values, whatever its shape; NULL when it is not there. */
static inline const float *ref_part(ref_teacher *m, size_t count, const char *name)
{
    for (size_t i = 0; i < m->n_parts; i++)
        if (!strcmp(m->name[i], name)) return m->part[i];
    const tensor *t = source_find(m->source, name);
    float *v = t && t->count == count && m->n_parts < REF_PARTS ? malloc(count * sizeof *v) : NULL;
    if (!v || !tensor_floats(v, t)) {
        fprintf(stderr, "reference: %s\n", name);
        abort();
    }
    snprintf(m->name[m->n_parts], sizeof m->name[0], "%s", name);
    return m->part[m->n_parts++] = v;
}

static inline void ref_teacher_close(ref_teacher *m)
{
    for (size_t i = 0; i < m->n_parts; i++) free(m->part[i]);
    m->n_parts = 0;
}

/* y = W x (+ b); names are those of weight and bias, bias NULL: none */
static inline void ref_linear(ref_teacher *m, double *y, const double *x, const char *weight, const char *bias,
                              size_t out, size_t in)
{
    const float *w = ref_part(m, out * in, weight), *b = bias ? ref_part(m, out, bias) : NULL;
    for (size_t o = 0; o < out; o++) {
        y[o] = b ? (double)b[o] : 0;
        for (size_t i = 0; i < in; i++) y[o] += (double)w[o * in + i] * x[i];
    }
}

static inline void ref_norm(ref_teacher *m, double *y, const char *name, size_t width)
{
    char part[128];
    double mean = 0, square = 0;
    snprintf(part, sizeof part, "%s.weight", name);
    const float *scale = ref_part(m, width, part);
    snprintf(part, sizeof part, "%s.bias", name);
    const float *shift = ref_part(m, width, part);
    for (size_t d = 0; d < width; d++) mean += y[d] / (double)width;
    for (size_t d = 0; d < width; d++) square += (y[d] - mean) * (y[d] - mean) / (double)width;
    for (size_t d = 0; d < width; d++) y[d] = (double)scale[d] * (y[d] - mean) / sqrt(square + 1e-5) + (double)shift[d];
}

/* y = ReLU(norm(W x + b)), layers at and at + 1 of `name` */
static inline void ref_projection(ref_teacher *m, double *y, const double *x, const char *name, size_t at, size_t out,
                                  size_t in)
{
    char weight[96], bias[96], norm[96];
    snprintf(weight, sizeof weight, "%s.%zu.weight", name, at);
    snprintf(bias, sizeof bias, "%s.%zu.bias", name, at);
    snprintf(norm, sizeof norm, "%s.%zu", name, at + 1);
    ref_linear(m, y, x, weight, bias, out, in);
    ref_norm(m, y, norm, out);
    for (size_t d = 0; d < out; d++) y[d] = y[d] > 0 ? y[d] : 0;
}

static inline void ref_softmax_double(double *p, const double *l, size_t n)
{
    double top = l[0], sum = 0;
    for (size_t k = 0; k < n; k++) top = fmax(top, l[k]);
    for (size_t k = 0; k < n; k++) sum += p[k] = exp(l[k] - top);
    for (size_t k = 0; k < n; k++) p[k] /= sum;
}

/* One layer of the graph; x [nodes,dim] in place */
static inline void ref_graph_layer(ref_teacher *m, double *x, size_t layer)
{
    static double z[REF_WIDE], y[REF_WIDE];
    char name[4][64];
    const size_t dim = m->shape.dim, nodes = m->shape.n_steps + 1, out = dim / m->shape.heads;
    snprintf(name[0], 64, "memory_gat.layers.%zu.W.weight", layer);
    snprintf(name[1], 64, "memory_gat.projs.%zu.weight", layer);
    snprintf(name[2], 64, "memory_gat.projs.%zu.bias", layer);
    for (size_t i = 0; i < nodes; i++) {
        ref_linear(m, z + i * dim, x + i * dim, name[0], NULL, dim, dim);
        ref_linear(m, y + i * dim, x + i * dim, name[1], name[2], dim, dim);
    }
    snprintf(name[0], 64, "memory_gat.layers.%zu.a_src", layer);
    snprintf(name[1], 64, "memory_gat.layers.%zu.a_dst", layer);
    snprintf(name[2], 64, "memory_gat.layers.%zu.bias", layer);
    snprintf(name[3], 64, "memory_gat.norms.%zu", layer);
    const float *a_src = ref_part(m, dim, name[0]), *a_dst = ref_part(m, dim, name[1]), *b = ref_part(m, dim, name[2]);
    for (size_t i = 0; i < nodes; i++)
        for (size_t h = 0; h < m->shape.heads; h++) {
            double e[64], alpha[64];
            for (size_t j = 0; j < nodes; j++) {
                e[j] = 0;
                for (size_t d = h * out; d < (h + 1) * out; d++)
                    e[j] += (double)a_src[d] * z[i * dim + d] + (double)a_dst[d] * z[j * dim + d];
                e[j] = e[j] > 0 ? e[j] : 0.2 * e[j];
            }
            ref_softmax_double(alpha, e, nodes);
            for (size_t j = 0; j < nodes; j++)
                for (size_t d = h * out; d < (h + 1) * out; d++) y[i * dim + d] += alpha[j] * z[j * dim + d];
        }
    for (size_t i = 0; i < nodes; i++) {
        for (size_t d = 0; d < dim; d++) y[i * dim + d] += (double)b[d];
        ref_norm(m, y + i * dim, name[3], dim);
        for (size_t d = 0; d < dim; d++) x[i * dim + d] = y[i * dim + d] > 0 ? y[i * dim + d] : expm1(y[i * dim + d]);
    }
}

static inline double ref_sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* The memory row of the nodes after step s answered l */
static inline void ref_write(ref_teacher *m, double *memory, size_t s, const double *l)
{
    static double said[REF_WIDE], written[REF_WIDE], gi[REF_WIDE], gh[REF_WIDE];
    char name[64];
    double p[64];
    const size_t dim = m->shape.dim, classes = m->shape.classes[s];
    snprintf(name, sizeof name, "step_models.%zu.classifier.weight", s);
    const float *w = ref_part(m, classes * dim, name);
    ref_softmax_double(p, l, classes);
    for (size_t d = 0; d < dim; d++) {
        said[d] = 0;
        for (size_t k = 0; k < classes; k++) said[d] += p[k] * (double)w[k * dim + d];
    }
    ref_linear(m, written, said, "pred2mem.weight", "pred2mem.bias", dim, dim);
    ref_linear(m, gi, written, "mem_gru.weight_ih", "mem_gru.bias_ih", 3 * dim, dim);
    ref_linear(m, gh, memory, "mem_gru.weight_hh", "mem_gru.bias_hh", 3 * dim, dim);
    for (size_t d = 0; d < dim; d++) {
        const double r = ref_sigmoid(gi[d] + gh[d]), u = ref_sigmoid(gi[dim + d] + gh[dim + d]);
        memory[d] = (1 - u) * tanh(gi[2 * dim + d] + r * gh[2 * dim + d]) + u * memory[d];
    }
}

/* logits [sum of classes] of one image's feature; without: the step that is not written into the memory, n_steps: all are,
 * SIZE_MAX: none is */
static inline void ref_teacher_forward(ref_teacher *m, double *logits, const double *feature, size_t without)
{
    static double nodes[REF_WIDE], pair[REF_WIDE], heard[REF_WIDE], hidden[REF_WIDE], fused[REF_WIDE];
    char name[64], bias[64];
    const size_t dim = m->shape.dim, steps = m->shape.n_steps, last = steps * dim;
    const float *memory = ref_part(m, dim, "memory_init");
    for (size_t i = 0; i < last; i++) nodes[i] = (double)m->prompts[i];
    for (size_t d = 0; d < dim; d++) nodes[last + d] = (double)memory[d];
    for (size_t s = 0; s < steps; logits += m->shape.classes[s++]) {
        for (size_t l = 0; l < m->shape.layers; l++) ref_graph_layer(m, nodes, l);
        memcpy(pair, nodes + s * dim, dim * sizeof *pair);
        memcpy(pair + dim, nodes + last, dim * sizeof *pair);
        ref_projection(m, heard + dim, pair, "fusion_proj", 0, dim, 2 * dim);
        snprintf(name, sizeof name, "step_models.%zu.img_proj", s);
        ref_projection(m, heard, feature, name, 0, dim, m->shape.image_dim);
        snprintf(name, sizeof name, "step_models.%zu.fusion_head", s);
        ref_projection(m, hidden, heard, name, 0, dim, 2 * dim);
        ref_projection(m, fused, hidden, name, 4, dim, dim);
        snprintf(name, sizeof name, "step_models.%zu.classifier.weight", s);
        snprintf(bias, sizeof bias, "step_models.%zu.classifier.bias", s);
        ref_linear(m, logits, fused, name, bias, m->shape.classes[s], dim);
        if (s != without && without != SIZE_MAX) ref_write(m, nodes + last, s, logits);
    }
}
#endif
