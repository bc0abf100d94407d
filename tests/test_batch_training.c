/* links: opencl config */
/* Batch norm with what stands behind it in one pass, residual and ReLU or ReLU and max pool, against the twins of the
 * single layers one after the other: forward within 2e-5, gradients within 2e-5 of the largest.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/gradients.h"

enum { RESIDUAL = 1, RELU = 2 };

/* p: in = x, gamma, beta, residual; size = n, h, w, channels, kernel, stride, pad, flags; kernel 0: no pool. */
static size_t rows_of(const twin_pass *p)
{
    return p->size[0] * p->size[1] * p->size[2];
}

static twin_pass norm_part(const twin_pass *p)
{
    twin_pass q = *p;
    q.size[0] = rows_of(p);
    q.size[1] = p->size[3];
    return q;
}

/* norm(x) (+ residual), and what ReLU makes of it; both for the caller to free. */
static void before_pool(const twin_pass *p, double **sum, double **result)
{
    const size_t n = rows_of(p) * p->size[3];
    twin_pass q = norm_part(p);
    q.y = *sum = calloc(n, sizeof(double));
    twin_batch_norm(&q);
    *result = calloc(n, sizeof(double));
    for (size_t i = 0; i < n; i++) {
        if (p->size[7] & RESIDUAL) (*sum)[i] += p->in[3][i];
        (*result)[i] = (p->size[7] & RELU) && (*sum)[i] < 0 ? 0 : (*sum)[i];
    }
}

static void fused(twin_pass *p)
{
    double *sum, *result;
    before_pool(p, &sum, &result);
    if (p->size[4]) {
        twin_pass q = *p;
        q.in[0] = result;
        twin_max_pool(&q);
    } else {
        memcpy(p->y, result, rows_of(p) * p->size[3] * sizeof *result);
    }
    free(sum), free(result);
}

static void fused_backward(twin_pass *p)
{
    const size_t n = rows_of(p) * p->size[3];
    double *sum, *result, *g = calloc(n, sizeof *g);
    before_pool(p, &sum, &result);
    if (p->size[4]) {
        twin_pass q = *p;
        q.in[0] = result;
        q.grad[0] = g;
        twin_max_pool_backward(&q);
    } else {
        memcpy(g, p->dy, n * sizeof *g);
    }
    for (size_t i = 0; i < n; i++) {
        if ((p->size[7] & RELU) && !(sum[i] > 0)) g[i] = 0;
        if (p->size[7] & RESIDUAL) p->grad[3][i] += g[i];
    }
    twin_pass q = norm_part(p);
    q.dy = g;
    twin_batch_norm_backward(&q);
    free(sum), free(result), free(g);
}

typedef struct fused_run {
    cot_buffer *y, *peak, *where, *dx, *saved, *mean, *var;
} fused_run;

static cot_status fused_make(fused_run *r, const twin_pass *p, size_t ny, cot_error *err)
{
    cot_status status = COT_OK;
    cot_device *device = gradient_device(COT_GEMM_TILE);
    const size_t c = p->size[3];
    float mean[64], var[64];
    for (size_t i = 0; i < c; i++) mean[i] = (float)p->mean[i], var[i] = (float)p->var[i];
    memset(r, 0, sizeof *r);
    r->mean = gradient_buffer(device, mean, c), r->var = gradient_buffer(device, var, c);
    COT_TRY(cot_buffer_create(&r->y, device, ny, err));
    COT_TRY(cot_buffer_create(&r->peak, device, ny, err));
    COT_TRY(cot_buffer_create(&r->where, device, ny, err));
    COT_TRY(cot_buffer_create(&r->dx, device, rows_of(p) * c, err));
    COT_TRY(cot_buffer_create(&r->saved, device, 2 * c, err));
done:
    return status;
}

static void fused_free(fused_run *r)
{
    cot_buffer_destroy(r->y), cot_buffer_destroy(r->peak), cot_buffer_destroy(r->where), cot_buffer_destroy(r->dx);
    cot_buffer_destroy(r->saved), cot_buffer_destroy(r->mean), cot_buffer_destroy(r->var);
}

/* The forward against its twin on the way. */
static cot_status fused_device(cot_buffer *const *grad, cot_buffer *dy, cot_buffer *const *in, const twin_pass *p,
                               cot_error *err)
{
    cot_status status = COT_OK;
    fused_run r;
    const size_t n = rows_of(p) * p->size[3], ny = cot_buffer_floats(dy);
    const bool residual = p->size[7] & RESIDUAL, relu = p->size[7] & RELU;
    const cot_pool_shape pool = {p->size[0], p->size[1], p->size[2], p->size[4], p->size[5], p->size[6]};
    float *got = calloc(ny, sizeof *got);
    COT_TRY(fused_make(&r, p, ny, err));
    const cot_norm norm = {p->size[3], in[1], in[2], r.mean, r.var, r.saved, (float)p->eps, 0.1f, p->train};
    if (pool.kernel) {
        COT_TRY(cot_norm_relu_pool_forward(r.y, r.peak, r.where, &norm, in[0], &pool, err));
        COT_TRY(
            cot_norm_relu_pool_backward(r.dx, grad[1], grad[2], dy, r.y, r.peak, r.where, &norm, in[0], &pool, err));
    } else {
        COT_TRY(cot_norm_forward(r.y, &norm, in[0], residual ? in[3] : NULL, relu, rows_of(p), err));
        COT_TRY(cot_norm_backward(r.dx, grad[1], grad[2], dy, residual && relu ? r.y : NULL, &norm, in[0], relu,
                                  rows_of(p), err));
        if (residual && grad[3]) COT_TRY(cot_accumulate(grad[3], dy, n, err));
    }
    if (grad[0]) COT_TRY(cot_accumulate(grad[0], r.dx, n, err));
    COT_TRY(cot_buffer_read(r.y, 0, got, ny, err));
    twin_pass q = *p;
    q.y = calloc(ny, sizeof(double));
    fused(&q);
    CHECK_FLOATS(got, q.y, ny, 2e-5);
    free(q.y);
done:
    fused_free(&r);
    free(got);
    return status;
}

static void run(const size_t (*size)[8], bool train)
{
    const size_t c = (*size)[3], rows = (*size)[0] * (*size)[1] * (*size)[2];
    double mean[64], var[64];
    twin_pass p = {.eps = (double)1e-5f, .train = train, .mean = mean, .var = var};
    memcpy(p.size, *size, sizeof *size);
    for (size_t i = 0; i < c; i++) mean[i] = (double)(float)(0.01 * (double)i), var[i] = 0.5 + 0.25 * (double)(i % 4);
    size_t ny = rows * c;
    if (p.size[4])
        ny = p.size[0] * c * cot_conv_out(p.size[1], p.size[4], p.size[5], p.size[6]) *
             cot_conv_out(p.size[2], p.size[4], p.size[5], p.size[6]);
    const layer l = {
        "fused norm", fused, fused_backward, fused_device, p.size[7] & RESIDUAL ? 4 : 3, {rows * c, c, c, rows * c},
        ny,           2e-5,  false,          false};
    check_layer(&l, &p, false);
}

TEST(batch_norm_with_residual_and_relu_has_the_gradients_of_finite_differences)
{
    static const size_t sizes[][8] = {{2, 1, 1, 1, 0, 0, 0, RELU},
                                      {3, 5, 3, 9, 0, 0, 0, RELU},
                                      {2, 7, 5, 33, 0, 0, 0, 0},
                                      {4, 3, 5, 16, 0, 0, 0, RESIDUAL | RELU},
                                      {2, 3, 9, 40, 0, 0, 0, RESIDUAL | RELU},
                                      {3, 2, 9, 5, 0, 0, 0, RESIDUAL},
                                      {5, 14, 10, 3, 0, 0, 0, RELU}};
    for (size_t i = 0; i < 2 * (sizeof sizes / sizeof *sizes); i++) run(&sizes[i / 2], i % 2);
}

TEST(batch_norm_with_relu_and_max_pool_has_the_gradients_of_finite_differences)
{
    static const size_t sizes[][8] = {{2, 6, 5, 4, 3, 2, 1, RELU},
                                      {1, 7, 9, 33, 3, 2, 1, RELU},
                                      {3, 4, 4, 16, 2, 2, 0, RELU},
                                      {2, 5, 6, 3, 3, 1, 1, RELU}};
    for (size_t i = 0; i < 2 * (sizeof sizes / sizeof *sizes); i++) run(&sizes[i / 2], i % 2);
}

TEST(fused_norms_refuse_what_they_cannot_do)
{
    cot_error err = COT_ERROR_INIT;
    float x[32] = {0};
    cot_device *device = gradient_device(COT_GEMM_TILE);
    cot_buffer *a = gradient_buffer(device, x, 32), *b = gradient_buffer(device, x, 32),
               *c = gradient_buffer(device, x, 4);
    const cot_norm norm = {2, c, c, c, c, c, 1e-5f, 0.1f, true}, wide = {5, c, c, c, c, b, 1e-5f, 0.1f, true};
    const cot_pool_shape none = {1, 2, 2, 0, 1, 0}, pool = {1, 2, 2, 2, 2, 0};
    CHECK_FAILS(cot_norm_forward(a, &norm, a, NULL, true, 2, &err), COT_E_BUG, "training needs");
    CHECK_FAILS(cot_norm_forward(a, &norm, b, NULL, true, 1, &err), COT_E_BUG, "no variance");
    CHECK_FAILS(cot_norm_forward(a, &wide, b, NULL, true, 2, &err), COT_E_BUG, "gamma");
    CHECK_FAILS(cot_norm_forward(c, &norm, b, NULL, true, 3, &err), COT_E_BUG, "result");
    CHECK_FAILS(cot_norm_backward(a, NULL, NULL, a, b, &norm, b, true, 2, &err), COT_E_BUG, "one of the inputs");
    CHECK_FAILS(cot_norm_relu_pool_forward(a, a, a, &norm, b, &none, &err), COT_E_BUG, "kernel 0");
    CHECK_FAILS(cot_norm_relu_pool_backward(a, NULL, NULL, b, b, b, b, &norm, a, &pool, &err), COT_E_BUG,
                "one of the inputs");
    cot_buffer_destroy(a), cot_buffer_destroy(b), cot_buffer_destroy(c);
}

TEST(the_devices_close)
{
    gradient_devices_close();
    CHECK(!gradient_devices[0] && !gradient_devices[1]);
}
CHECK_MAIN
