/* links: opencl config
 * The small kernels against their twins: batch norm, pooling, layer norm, softmax, the write-back; edge values.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/check.h"
#include "tests/reference.h"

/* One device for all tests of this file; the last one closes it. */
static cot_device *device;
static cot_device *shared(void)
{
    cot_error err = COT_ERROR_INIT;
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    options.gemm = COT_GEMM_TILE;
    if (!device) CHECK_OK(cot_device_open(&device, &options, &err));
    return device;
}

static cot_buffer *put(const float *x, size_t n)
{
    cot_error err = COT_ERROR_INIT;
    cot_buffer *b = NULL;
    CHECK_OK(cot_buffer_create(&b, shared(), n, &err));
    if (b && x) CHECK_OK(cot_buffer_write(b, 0, x, n, &err));
    return b;
}

static cot_buffer *fill(float *x, size_t n, uint32_t seed)
{
    ref_fill(x, n, seed);
    return put(x, n);
}

static void compare(const cot_buffer *got, const float *want, size_t n, double bound)
{
    cot_error err = COT_ERROR_INIT;
    float *x = malloc(n * sizeof *x);
    CHECK_OK(cot_buffer_read(got, 0, x, n, &err));
    CHECK_FLOATS(x, want, n, bound);
    free(x);
}

TEST(batch_norm_equals_its_twin)
{
    cot_error err = COT_ERROR_INIT;
    static const size_t sizes[][2] = {{1, 1}, {3, 7}, {49, 64}, {100, 33}};
    for (size_t i = 0; i < 4; i++) {
        const size_t rows = sizes[i][0], c = sizes[i][1], n = rows * c;
        float x[3400], scale[64], shift[64], want[3400];
        cot_buffer *bx = fill(x, n, 1), *bs = fill(scale, c, 2), *bh = fill(shift, c, 3), *y = put(NULL, n);
        for (int act = COT_ACT_NONE; act <= COT_ACT_SIGMOID; act++) {
            CHECK_OK(cot_batch_norm_forward(y, bx, bs, bh, rows, c, (cot_activation)act, &err));
            ref_batch_norm_forward(want, x, scale, shift, rows, c, (cot_activation)act);
            compare(y, want, n, 1e-6);
        }
        cot_buffer_destroy(bx), cot_buffer_destroy(bs), cot_buffer_destroy(bh), cot_buffer_destroy(y);
    }
}

/* Every float of y, also those beside the slice, which must stay. */
static void check_norm_pool(const size_t s[5], cot_slice to, cot_slice from, bool normed, cot_activation act)
{
    cot_error err = COT_ERROR_INIT;
    const size_t n = s[0], h = s[1], w = s[2], c = s[3], window = s[4];
    const size_t nx = n * h * w * from.apart, ny = n * (h / window) * (w / window) * to.apart;
    float *x = malloc(nx * sizeof *x), *want = malloc(ny * sizeof *want), scale[256], shift[256];
    cot_buffer *bx = fill(x, nx, 1), *y = fill(want, ny, 4), *bs = fill(scale, c, 2), *bh = fill(shift, c, 3);
    CHECK_OK(
        cot_norm_pool_forward(y, to, bx, from, normed ? bs : NULL, normed ? bh : NULL, n, h, w, c, window, act, &err));
    ref_norm_pool_forward(want, to, x, from, normed ? scale : NULL, shift, n, h, w, c, window, act);
    compare(y, want, ny, 2e-6);
    cot_buffer_destroy(bx), cot_buffer_destroy(y), cot_buffer_destroy(bs), cot_buffer_destroy(bh);
    free(x), free(want);
}

TEST(norm_and_pool_of_channel_slices_equals_its_twin)
{
    /* n, h, w, c, window: windows of one, of two with a rest at the edge, of the whole image */
    static const size_t cases[][5] = {{1, 1, 1, 1, 1},  {2, 9, 7, 33, 2},   {3, 4, 5, 64, 1},  {1, 7, 7, 100, 7},
                                      {2, 6, 6, 17, 3}, {1, 30, 30, 48, 1}, {5, 2, 3, 160, 2}, {1, 57, 56, 15, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const size_t c = cases[i][3];
        check_norm_pool(cases[i], (cot_slice){c, 0}, (cot_slice){c, 0}, true, COT_ACT_RELU);
        check_norm_pool(cases[i], (cot_slice){c, 0}, (cot_slice){c + 13, 5}, true, COT_ACT_RELU);
        check_norm_pool(cases[i], (cot_slice){c + 7, 7}, (cot_slice){c + 1, 0}, i % 2, COT_ACT_NONE);
    }
}

TEST(norm_and_pool_refuses_channels_beside_the_row)
{
    cot_error err = COT_ERROR_INIT;
    cot_buffer *x = put(NULL, 64), *y = put(NULL, 64);
    const cot_slice good = {8, 0}, beside = {8, 5};
    CHECK_FAILS(cot_norm_pool_forward(y, good, x, beside, NULL, NULL, 1, 2, 2, 4, 1, COT_ACT_NONE, &err), COT_E_BUG,
                "channels 5 to 9 of rows of 8");
    CHECK_FAILS(cot_norm_pool_forward(y, beside, x, good, NULL, NULL, 1, 2, 2, 4, 1, COT_ACT_NONE, &err), COT_E_BUG,
                "channels 5 to 9 of rows of 8");
    CHECK_FAILS(cot_norm_pool_forward(y, good, x, good, NULL, NULL, 1, 2, 2, 4, 3, COT_ACT_NONE, &err), COT_E_BUG,
                "window 3");
    CHECK_FAILS(cot_norm_pool_forward(y, good, x, good, NULL, NULL, 1, 4, 4, 4, 1, COT_ACT_NONE, &err), COT_E_BUG,
                "norm pool");
    cot_buffer_destroy(x), cot_buffer_destroy(y);
}

TEST(max_pool_equals_its_twin)
{
    cot_error err = COT_ERROR_INIT;
    /* n, h, w, c, kernel, stride, pad */
    static const size_t cases[][7] = {{1, 112, 112, 32, 3, 2, 1}, {2, 9, 7, 33, 3, 2, 1}, {3, 4, 5, 3, 2, 2, 0},
                                      {1, 1, 1, 1, 1, 1, 0},      {1, 6, 6, 17, 5, 3, 2}, {2, 3, 8, 64, 3, 1, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const size_t *s = cases[i];
        const size_t nx = s[0] * s[1] * s[2] * s[3];
        const size_t ny = s[0] * cot_conv_out(s[1], s[4], s[5], s[6]) * cot_conv_out(s[2], s[4], s[5], s[6]) * s[3];
        float *x = malloc(nx * sizeof *x), *want = malloc(ny * sizeof *want);
        cot_buffer *bx = fill(x, nx, 1), *y = put(NULL, ny);
        CHECK_OK(cot_max_pool_forward(y, bx, s[0], s[1], s[2], s[3], s[4], s[5], s[6], &err));
        ref_max_pool_forward(want, x, s[0], s[1], s[2], s[3], s[4], s[5], s[6]);
        compare(y, want, ny, 0);
        cot_buffer_destroy(bx), cot_buffer_destroy(y);
        free(x), free(want);
    }
}

TEST(max_pool_shows_a_nan_of_its_window)
{
    cot_error err = COT_ERROR_INIT;
    for (size_t c = 1; c <= 16; c += 15) { /* scalar tail and whole vector */
        float x[4 * 16], y[16];
        for (size_t i = 0; i < 4 * c; i++) x[i] = 1.0f;
        x[c] = NAN;
        cot_buffer *bx = put(x, 4 * c), *by = put(NULL, c);
        CHECK_OK(cot_max_pool_forward(by, bx, 1, 2, 2, c, 2, 2, 0, &err));
        CHECK_OK(cot_buffer_read(by, 0, y, c, &err));
        CHECK(isnan(y[0]));
        for (size_t i = 1; i < c; i++) CHECK_NEAR(y[i], 1.0, 0);
        cot_buffer_destroy(bx), cot_buffer_destroy(by);
    }
}

TEST(mean_pool_equals_its_twin)
{
    cot_error err = COT_ERROR_INIT;
    static const size_t cases[][3] = {{1, 1, 1}, {8, 49, 256}, {3, 50, 33}};
    for (size_t i = 0; i < 3; i++) {
        const size_t n = cases[i][0], pixels = cases[i][1], c = cases[i][2];
        float *x = malloc(n * pixels * c * sizeof *x), *want = malloc(n * c * sizeof *want);
        cot_buffer *bx = fill(x, n * pixels * c, 5), *y = put(NULL, n * c);
        CHECK_OK(cot_mean_pool_forward(y, bx, n, pixels, c, &err));
        ref_mean_pool_forward(want, x, n, pixels, c);
        compare(y, want, n * c, 1e-6);
        cot_buffer_destroy(bx), cot_buffer_destroy(y);
        free(x), free(want);
    }
}

TEST(layer_norm_equals_its_twin)
{
    cot_error err = COT_ERROR_INIT;
    static const size_t sizes[][2] = {{1, 2}, {8, 256}, {50, 77}};
    for (size_t i = 0; i < 3; i++) {
        const size_t rows = sizes[i][0], width = sizes[i][1], n = rows * width;
        float x[3850], gamma[256], beta[256], want[3850];
        cot_buffer *bx = fill(x, n, 1), *bg = fill(gamma, width, 2), *bb = fill(beta, width, 3), *y = put(NULL, n);
        for (int act = COT_ACT_NONE; act <= COT_ACT_SIGMOID; act++) {
            CHECK_OK(cot_layer_norm_forward(y, bx, bg, bb, rows, width, 1e-5f, (cot_activation)act, &err));
            ref_layer_norm_forward(want, x, gamma, beta, rows, width, 1e-5, (cot_activation)act);
            compare(y, want, n, 1e-5);
        }
        CHECK_OK(cot_layer_norm_forward(bx, bx, bg, bb, rows, width, 1e-5f, COT_ACT_SIGMOID, &err));
        compare(bx, want, n, 1e-5);
        cot_buffer_destroy(bx), cot_buffer_destroy(bg), cot_buffer_destroy(bb), cot_buffer_destroy(y);
    }
}

TEST(softmax_equals_its_twin)
{
    cot_error err = COT_ERROR_INIT;
    float x[100 * 9], want[100 * 9];
    ref_fill(x, 900, 1);
    for (size_t i = 0; i < 900; i++) x[i] *= 80.0f;
    cot_buffer *bx = put(x, 900), *y = put(NULL, 900);
    for (size_t classes = 1; classes <= 9; classes++) {
        CHECK_OK(cot_softmax_forward(y, bx, 100, classes, &err));
        ref_softmax_forward(want, x, 100, classes);
        compare(y, want, 100 * classes, 1e-6);
    }
    CHECK_OK(cot_softmax_forward(bx, bx, 100, 9, &err));
    compare(bx, want, 900, 1e-6);
    cot_buffer_destroy(bx), cot_buffer_destroy(y);
}

TEST(softmax_masked_logit_gives_exact_zero)
{
    cot_error err = COT_ERROR_INIT;
    const float x[] = {0, -INFINITY, 0}, expect[] = {0.5f, 0, 0.5f};
    float y[3];
    cot_buffer *bx = put(x, 3);
    CHECK_OK(cot_softmax_forward(bx, bx, 1, 3, &err));
    CHECK_OK(cot_buffer_read(bx, 0, y, 3, &err));
    CHECK_FLOATS(y, expect, 3, 1e-6);
    CHECK(y[1] == 0.0f);
    cot_buffer_destroy(bx);
}

TEST(the_write_back_adds_a_bounded_update)
{
    cot_error err = COT_ERROR_INIT;
    float a[1000], b[1000], want[1000];
    cot_buffer *ba = fill(a, 1000, 1), *bb = fill(b, 1000, 2), *y = put(NULL, 1000);
    ref_add_tanh_forward(want, a, b, 1000);
    CHECK_OK(cot_add_tanh_forward(y, ba, bb, 1000, &err));
    compare(y, want, 1000, 1e-6);
    CHECK_OK(cot_add_tanh_forward(ba, ba, bb, 1000, &err));
    compare(ba, want, 1000, 1e-6);
    cot_buffer_destroy(ba), cot_buffer_destroy(bb), cot_buffer_destroy(y);
}

TEST(small_kernels_refuse_buffers_that_do_not_fit)
{
    cot_error err = COT_ERROR_INIT;
    cot_buffer *a = put(NULL, 8), *b = put(NULL, 7);
    CHECK_FAILS(cot_batch_norm_forward(b, a, a, a, 2, 4, COT_ACT_NONE, &err), COT_E_BUG, "batch norm: result");
    CHECK_FAILS(cot_batch_norm_forward(a, a, a, NULL, 2, 4, COT_ACT_NONE, &err), COT_E_BUG, "missing");
    CHECK_FAILS(cot_max_pool_forward(a, b, 1, 2, 2, 2, 1, 1, 0, &err), COT_E_BUG, "max pool: input");
    CHECK_FAILS(cot_max_pool_forward(a, a, 1, 2, 2, 2, 2, 1, 2, &err), COT_E_BUG, "pad 2");
    CHECK_FAILS(cot_max_pool_forward(a, a, SIZE_MAX, 2, 2, 2, 2, 1, 0, &err), COT_E_LIMIT, "lower the batch");
    CHECK_FAILS(cot_mean_pool_forward(a, b, 2, 2, 2, &err), COT_E_BUG, "mean pool: input");
    CHECK_FAILS(cot_mean_pool_forward(a, a, 2, 0, 2, &err), COT_E_BUG, "no pixels");
    CHECK_FAILS(cot_layer_norm_forward(a, b, a, a, 1, 8, 1e-5f, COT_ACT_NONE, &err), COT_E_BUG, "layer norm: input");
    CHECK_FAILS(cot_softmax_forward(b, a, 2, 4, &err), COT_E_BUG, "softmax: result");
    CHECK_FAILS(cot_softmax_forward(a, a, 2, 0, &err), COT_E_BUG, "no classes");
    CHECK_FAILS(cot_add_tanh_forward(a, a, b, 8, &err), COT_E_BUG, "add tanh: update");
    cot_buffer_destroy(a), cot_buffer_destroy(b);
}

TEST(every_buffer_was_given_back)
{
    CHECK_NUMBER(cot_device_ledger_read(shared()).buffers, 0);
    CHECK_NUMBER(cot_device_ledger_read(shared()).bytes, 0);
    cot_device_close(device);
    device = NULL;
}
CHECK_MAIN
