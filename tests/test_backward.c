/* links: opencl config
 * Gradients of activations, the write-back, softmax, the GRU, both norms, pools and moves; odd sizes. Bounds are of the
 * largest gradient: 2e-6 float by float, 1e-5 for norms.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/gradients.h"

#define DEVICE(name)                                                                                                   \
    static cot_status name##_device(cot_buffer *const *g, cot_buffer *dy, cot_buffer *const *in, const twin_pass *p,   \
                                    cot_error *err)

DEVICE(activation)
{
    return cot_activation_backward(g[0], dy, in[0], p->size[0], p->act, err);
}

TEST(activations_have_the_gradients_of_finite_differences)
{
    static const size_t sizes[] = {1, 77, 1000};
    for (size_t i = 0; i < 3; i++)
        for (int act = COT_ACT_NONE; act <= COT_ACT_SIGMOID; act++) {
            twin_pass p = {.size = {sizes[i]}, .act = (cot_activation)act};
            const layer l = {"activation",
                             twin_activation,
                             twin_activation_backward,
                             activation_device,
                             1,
                             {sizes[i]},
                             sizes[i],
                             2e-6,
                             true,
                             false};
            check_layer(&l, &p, false);
        }
}

/* Far from zero, where GELU's and ELU's tails are; and in place, where dx replaces dy. */
TEST(activations_keep_their_tails_and_replace_in_place)
{
    cot_error err = COT_ERROR_INIT;
    enum { N = 201 };
    float x[N], ones[N], got[N], y[N];
    double dx[N], g[N], value[N];
    for (size_t i = 0; i < N; i++) x[i] = ((float)i - 100.0f) * 0.1f, ones[i] = 1.0f, g[i] = 1.0;
    cot_buffer *bx = gradient_buffer(gradient_device(COT_GEMM_TILE), x, N);
    for (int act = COT_ACT_NONE; act <= COT_ACT_SIGMOID; act++) {
        cot_buffer *dy = gradient_buffer(gradient_device(COT_GEMM_TILE), ones, N);
        double *xs = doubles(x, N);
        twin_pass p = {.size = {N}, .act = (cot_activation)act, .in = {xs}, .grad = {dx}, .dy = g, .y = value};
        memset(dx, 0, sizeof dx);
        twin_activation(&p);
        twin_activation_backward(&p);
        CHECK_OK(cot_activation_backward(dy, dy, bx, N, (cot_activation)act, &err));
        CHECK_OK(cot_buffer_read(dy, 0, got, N, &err));
        CHECK_FLOATS(got, dx, N, 1e-6);
        CHECK_OK(cot_activation_forward(dy, bx, N, (cot_activation)act, &err));
        CHECK_OK(cot_buffer_read(dy, 0, y, N, &err));
        CHECK_FLOATS(y, value, N, 2e-6);
        cot_buffer_destroy(dy);
        free(xs);
    }
    cot_buffer_destroy(bx);
}

DEVICE(add_tanh)
{
    return cot_add_tanh_backward(g[0], g[1], dy, in[1], p->size[0], err);
}

TEST(the_write_back_has_the_gradients_of_finite_differences)
{
    twin_pass p = {.size = {333}};
    const layer l = {"add tanh", twin_add_tanh, twin_add_tanh_backward, add_tanh_device, 2, {333, 333}, 333, 2e-6,
                     false,      false};
    check_layer(&l, &p, false);
}

DEVICE(softmax)
{
    cot_status status = COT_OK;
    cot_buffer *y = NULL;
    COT_TRY(cot_buffer_create(&y, gradient_device(COT_GEMM_TILE), p->size[0] * p->size[1], err));
    COT_TRY(cot_softmax_forward(y, in[0], p->size[0], p->size[1], err));
    COT_TRY(cot_softmax_backward(g[0], dy, y, p->size[0], p->size[1], err));
done:
    cot_buffer_destroy(y);
    return status;
}

TEST(softmax_has_the_gradients_of_finite_differences)
{
    static const size_t sizes[][2] = {{1, 1}, {5, 9}, {33, 4}, {7, 77}};
    for (size_t i = 0; i < 4; i++) {
        const size_t n = sizes[i][0] * sizes[i][1];
        twin_pass p = {.size = {sizes[i][0], sizes[i][1]}};
        const layer l = {"softmax", twin_softmax, twin_softmax_backward, softmax_device, 1, {n}, n, 2e-6, true, false};
        check_layer(&l, &p, false);
    }
}

DEVICE(gru)
{
    return cot_gru_backward(g[0], g[1], g[2], dy, in[0], in[1], in[2], p->size[0], p->size[1], err);
}

TEST(the_gru_has_the_gradients_of_finite_differences)
{
    static const size_t sizes[][2] = {{1, 1}, {5, 48}, {3, 37}};
    for (size_t i = 0; i < 3; i++) {
        const size_t n = sizes[i][0] * sizes[i][1];
        twin_pass p = {.size = {sizes[i][0], sizes[i][1]}};
        const layer l = {"gru", twin_gru, twin_gru_backward, gru_device, 3, {3 * n, 3 * n, n}, n, 2e-6, false, false};
        check_layer(&l, &p, false);
    }
}

/* ---- norms ---- */
DEVICE(layer_norm)
{
    return cot_layer_norm_backward(g[0], g[1], g[2], dy, in[0], in[1], p->size[0], p->size[1], (float)p->eps, err);
}

TEST(layer_norm_has_the_gradients_of_finite_differences)
{
    static const size_t sizes[][2] = {{1, 2}, {5, 48}, {40, 77}, {300, 33}};
    for (size_t i = 0; i < 4; i++) {
        const size_t rows = sizes[i][0], width = sizes[i][1];
        twin_pass p = {.size = {rows, width}, .eps = (double)1e-5f};
        const layer l = {"layer norm",
                         twin_layer_norm,
                         twin_layer_norm_backward,
                         layer_norm_device,
                         3,
                         {rows * width, width, width},
                         rows * width,
                         1e-5,
                         false,
                         false};
        check_layer(&l, &p, false);
    }
}

/* Running statistics for eval: not those of the rows. */
static void running_fill(float *mean, float *var, size_t n)
{
    ref_fill(mean, n, 31);
    ref_fill(var, n, 32);
    for (size_t i = 0; i < n; i++) var[i] = 1.5f + var[i];
}

/* The forward first: the backward needs what it saved. */
DEVICE(batch_norm)
{
    cot_status status = COT_OK;
    cot_device *device = gradient_device(COT_GEMM_TILE);
    const size_t rows = p->size[0], c = p->size[1];
    float mean[64], var[64];
    cot_buffer *y = NULL, *saved = NULL, *m, *v;
    running_fill(mean, var, c);
    m = gradient_buffer(device, mean, c), v = gradient_buffer(device, var, c);
    COT_TRY(cot_buffer_create(&y, device, rows * c, err));
    COT_TRY(cot_buffer_create(&saved, device, 2 * c, err));
    COT_TRY(cot_batch_norm_training_forward(y, saved, m, v, in[0], in[1], in[2], rows, c, (float)p->eps, 0.1f, p->train,
                                            err));
    COT_TRY(cot_batch_norm_backward(g[0], g[1], g[2], dy, in[0], in[1], saved, rows, c, p->train, err));
done:
    cot_buffer_destroy(y), cot_buffer_destroy(saved), cot_buffer_destroy(m), cot_buffer_destroy(v);
    return status;
}

TEST(batch_norm_has_the_gradients_of_finite_differences_in_training_and_after)
{
    static const size_t sizes[][2] = {{2, 1}, {5, 9}, {49, 33}, {1000, 3}};
    for (size_t i = 0; i < 8; i++) {
        const size_t rows = sizes[i / 2][0], c = sizes[i / 2][1];
        float mean[64], var[64];
        running_fill(mean, var, c);
        double *dm = doubles(mean, c), *dv = doubles(var, c);
        twin_pass p = {.size = {rows, c}, .eps = (double)1e-5f, .train = i % 2, .mean = dm, .var = dv};
        const layer l = {"batch norm",
                         twin_batch_norm,
                         twin_batch_norm_backward,
                         batch_norm_device,
                         3,
                         {rows * c, c, c},
                         rows * c,
                         1e-5,
                         false,
                         false};
        check_layer(&l, &p, false);
        free(dm), free(dv);
    }
}

TEST(batch_norm_keeps_running_statistics_as_torch_does)
{
    cot_error err = COT_ERROR_INIT;
    enum { ROWS = 700, C = 5 };
    cot_device *device = gradient_device(COT_GEMM_TILE);
    float x[ROWS * C], gamma[C], beta[C], mean[C], var[C], want_mean[C], want_var[C], got[ROWS * C];
    ref_fill(x, ROWS * C, 1);
    for (size_t i = 0; i < ROWS * C; i++) x[i] += 100.0f; /* a mean that would drown the variance */
    ref_fill(gamma, C, 2);
    ref_fill(beta, C, 3);
    running_fill(mean, var, C);
    double *dx = doubles(x, ROWS * C), *dg = doubles(gamma, C), *db = doubles(beta, C), *y = doubles(NULL, ROWS * C);
    twin_pass p = {.size = {ROWS, C}, .eps = (double)1e-5f, .train = true, .in = {dx, dg, db}, .y = y};
    for (size_t c = 0; c < C; c++) {
        double m = 0, v = 0;
        for (size_t r = 0; r < ROWS; r++) m += dx[r * C + c] / ROWS;
        for (size_t r = 0; r < ROWS; r++) v += (dx[r * C + c] - m) * (dx[r * C + c] - m) / (ROWS - 1);
        want_mean[c] = (float)(0.9 * (double)mean[c] + 0.1 * m);
        want_var[c] = (float)(0.9 * (double)var[c] + 0.1 * v);
    }
    cot_buffer *bx = gradient_buffer(device, x, ROWS * C), *bg = gradient_buffer(device, gamma, C),
               *bb = gradient_buffer(device, beta, C), *m = gradient_buffer(device, mean, C),
               *v = gradient_buffer(device, var, C), *by = NULL, *saved = NULL;
    CHECK_OK(cot_buffer_create(&by, device, ROWS * C, &err));
    CHECK_OK(cot_buffer_create(&saved, device, 2 * C, &err));
    CHECK_OK(cot_batch_norm_training_forward(by, saved, m, v, bx, bg, bb, ROWS, C, 1e-5f, 0.1f, true, &err));
    CHECK_OK(cot_buffer_read(by, 0, got, ROWS * C, &err));
    CHECK_OK(cot_buffer_read(m, 0, mean, C, &err));
    CHECK_OK(cot_buffer_read(v, 0, var, C, &err));
    twin_batch_norm(&p);
    CHECK_FLOATS(got, y, ROWS * C, 5e-5);
    CHECK_FLOATS(mean, want_mean, C, 1e-5);
    CHECK_FLOATS(var, want_var, C, 1e-5);
    CHECK_FAILS(cot_batch_norm_training_forward(by, saved, m, v, bx, bg, bb, 1, C, 1e-5f, 0.1f, true, &err), COT_E_BUG,
                "no variance");
    CHECK_FAILS(cot_batch_norm_training_forward(bx, saved, m, v, bx, bg, bb, 2, C, 1e-5f, 0.1f, true, &err), COT_E_BUG,
                "training needs");
    cot_buffer_destroy(bx), cot_buffer_destroy(bg), cot_buffer_destroy(bb), cot_buffer_destroy(m);
    cot_buffer_destroy(v), cot_buffer_destroy(by), cot_buffer_destroy(saved);
    free(dx), free(dg), free(db), free(y);
}

TEST(small_gradients_refuse_buffers_that_do_not_fit)
{
    cot_error err = COT_ERROR_INIT;
    float x[24] = {0};
    cot_device *device = gradient_device(COT_GEMM_TILE);
    cot_buffer *a = gradient_buffer(device, x, 24), *b = gradient_buffer(device, x, 24),
               *c = gradient_buffer(device, x, 7);
    CHECK_FAILS(cot_activation_backward(c, a, b, 8, COT_ACT_RELU, &err), COT_E_BUG, "result");
    CHECK_FAILS(cot_softmax_backward(a, b, c, 2, 4, &err), COT_E_BUG, "probabilities");
    CHECK_FAILS(cot_softmax_backward(a, b, c, 2, 0, &err), COT_E_BUG, "no classes");
    CHECK_FAILS(cot_gru_backward(a, NULL, NULL, c, a, b, b, 2, 4, &err), COT_E_BUG, "gru backward: gradient");
    CHECK_FAILS(cot_gru_backward(a, NULL, NULL, b, a, b, b, 2, 4, &err), COT_E_BUG, "one of the inputs");
    CHECK_FAILS(cot_layer_norm_backward(a, NULL, NULL, a, b, b, 2, 4, 1e-5f, &err), COT_E_BUG, "one of the inputs");
    CHECK_FAILS(cot_layer_norm_backward(NULL, c, NULL, a, b, b, 2, 8, 1e-5f, &err), COT_E_BUG, "gamma's gradient");
    CHECK_FAILS(cot_batch_norm_backward(NULL, c, NULL, a, b, b, b, 2, 8, true, &err), COT_E_BUG, "gamma's gradient");
    CHECK_FAILS(cot_activation_forward(a, b, SIZE_MAX, COT_ACT_RELU, &err), COT_E_LIMIT, "lower the batch");
    CHECK_FAILS(cot_add_tanh_backward(NULL, a, a, b, 8, &err), COT_E_BUG, "is dy");
    CHECK_FAILS(cot_accumulate(a, c, 8, &err), COT_E_BUG, "addend");
    cot_buffer_destroy(a), cot_buffer_destroy(b), cot_buffer_destroy(c);
}

TEST(the_devices_close)
{
    gradient_devices_close();
    CHECK(!gradient_devices[0] && !gradient_devices[1]);
}
CHECK_MAIN
