/* links: opencl config
 * Linear layers against their twin: both implementations, odd sizes, epilogues, hostile surroundings of the buffers.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/check.h"
#include "tests/reference.h"

typedef struct linear_case {
    size_t rows, out, in;
} linear_case;

static cot_device *open_with(cot_gemm_choice choice)
{
    cot_error err = COT_ERROR_INIT;
    cot_device *device = NULL;
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    options.gemm = choice;
    CHECK_OK(cot_device_open(&device, &options, &err));
    return device;
}

/* sum over |x·w| bounds the rounding; with values in [-1, 1) it is at most `in`. */
static double bound_for(size_t in)
{
    return 1e-6 * (double)in + 1e-6;
}

static void run_linear(cot_device *device, const linear_case *c, bool bias, bool residual, cot_activation act)
{
    cot_error err = COT_ERROR_INIT;
    const size_t nx = c->rows * c->in, nw = c->out * c->in, ny = c->rows * c->out;
    float *x = malloc(nx * sizeof *x), *w = malloc(nw * sizeof *w), *b = malloc(c->out * sizeof *b);
    float *r = malloc(ny * sizeof *r), *y = malloc(ny * sizeof *y), *want = malloc(ny * sizeof *want);
    cot_weights *weights = NULL;
    cot_buffer *bx = NULL, *by = NULL, *br = NULL;
    ref_fill(x, nx, 1);
    ref_fill(w, nw, 2);
    ref_fill(b, c->out, 3);
    ref_fill(r, ny, 4);
    CHECK_OK(cot_linear_prepare(&weights, device, w, bias ? b : NULL, c->out, c->in, &err));
    CHECK_OK(cot_buffer_create(&bx, device, nx, &err));
    CHECK_OK(cot_buffer_create(&by, device, ny, &err));
    CHECK_OK(cot_buffer_create(&br, device, ny, &err));
    CHECK_OK(cot_buffer_write(bx, 0, x, nx, &err));
    CHECK_OK(cot_buffer_write(br, 0, r, ny, &err));
    CHECK_OK(cot_linear_forward(by, bx, weights, c->rows, residual ? br : NULL, act, &err));
    CHECK_OK(cot_buffer_read(by, 0, y, ny, &err));
    ref_linear_forward(want, x, w, bias ? b : NULL, c->out, c->in, c->rows, residual ? r : NULL, act);
    CHECK_FLOATS(y, want, ny, bound_for(c->in));
    cot_buffer_destroy(bx);
    cot_buffer_destroy(by);
    cot_buffer_destroy(br);
    cot_weights_destroy(weights);
    free(x), free(w), free(b), free(r), free(y), free(want);
}

static void run_all(cot_gemm_choice choice)
{
    static const linear_case cases[] = {{1, 42, 256},  {1, 1, 1},    {2, 33, 7},   {3, 31, 5},    {5, 64, 64},
                                        {7, 4, 512},   {8, 42, 512}, {9, 97, 33},  {11, 32, 100}, {13, 32, 1},
                                        {49, 256, 96}, {50, 65, 77}, {196, 40, 3}, {400, 96, 64}};
    cot_device *device = open_with(choice);
    if (!device) return;
    CHECK_NUMBER(cot_device_gemm(device), choice);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run_linear(device, &cases[i], true, false, COT_ACT_NONE);
        run_linear(device, &cases[i], i % 2, true, COT_ACT_RELU);
        for (int act = COT_ACT_TANH; act <= COT_ACT_SIGMOID; act++)
            run_linear(device, &cases[i], i % 3, i % 2, (cot_activation)act);
    }
    CHECK(cot_device_ledger_read(device).buffers <= (choice == COT_GEMM_CLBLAST ? 1 : 0));
    cot_device_close(device);
}

TEST(linear_layers_equal_their_twin_with_the_tile_kernel)
{
    run_all(COT_GEMM_TILE);
}
TEST(linear_layers_equal_their_twin_with_clblast)
{
    run_all(COT_GEMM_CLBLAST);
}

TEST(rows_beyond_the_result_stay_untouched)
{
    cot_error err = COT_ERROR_INIT;
    cot_device *device = open_with(COT_GEMM_TILE);
    REQUIRE(device);
    cot_weights *weights = NULL;
    cot_buffer *x = NULL, *y = NULL;
    float w[33 * 3], in[20 * 3], out[20 * 33];
    ref_fill(w, 33 * 3, 1);
    ref_fill(in, 20 * 3, 2);
    for (size_t i = 0; i < 20 * 33; i++) out[i] = 7.0f;
    for (size_t i = 13 * 3; i < 20 * 3; i++) in[i] = NAN; /* rows that are not asked for */
    CHECK_OK(cot_linear_prepare(&weights, device, w, NULL, 33, 3, &err));
    CHECK_OK(cot_buffer_create(&x, device, 20 * 3, &err));
    CHECK_OK(cot_buffer_create(&y, device, 20 * 33, &err));
    CHECK_OK(cot_buffer_write(x, 0, in, 20 * 3, &err));
    for (size_t rows = 1; rows <= 13; rows++) {
        CHECK_OK(cot_buffer_write(y, 0, out, 20 * 33, &err));
        CHECK_OK(cot_linear_forward(y, x, weights, rows, NULL, COT_ACT_NONE, &err));
        float got[20 * 33], want[20 * 33];
        CHECK_OK(cot_buffer_read(y, 0, got, 20 * 33, &err));
        for (size_t i = 0; i < 20 * 33; i++) want[i] = 7.0f;
        ref_linear_forward(want, in, w, NULL, 33, 3, rows, NULL, COT_ACT_NONE);
        CHECK_FLOATS(got, want, 20 * 33, 1e-5);
    }
    cot_buffer_destroy(x);
    cot_buffer_destroy(y);
    cot_weights_destroy(weights);
    cot_device_close(device);
}

TEST(a_residual_may_be_the_result_itself)
{
    cot_error err = COT_ERROR_INIT;
    for (int choice = COT_GEMM_TILE; choice <= COT_GEMM_CLBLAST; choice++) {
        cot_device *device = open_with((cot_gemm_choice)choice);
        REQUIRE(device);
        cot_weights *weights = NULL;
        cot_buffer *x = NULL, *y = NULL;
        float w[40 * 6], in[15 * 6], more[15 * 40], got[15 * 40], want[15 * 40];
        ref_fill(w, 40 * 6, 1), ref_fill(in, 15 * 6, 2), ref_fill(more, 15 * 40, 3);
        CHECK_OK(cot_linear_prepare(&weights, device, w, NULL, 40, 6, &err));
        CHECK_OK(cot_buffer_create(&x, device, 15 * 6, &err));
        CHECK_OK(cot_buffer_create(&y, device, 15 * 40, &err));
        CHECK_OK(cot_buffer_write(x, 0, in, 15 * 6, &err));
        CHECK_OK(cot_buffer_write(y, 0, more, 15 * 40, &err));
        CHECK_OK(cot_linear_forward(y, x, weights, 15, y, COT_ACT_RELU, &err));
        CHECK_OK(cot_buffer_read(y, 0, got, 15 * 40, &err));
        ref_linear_forward(want, in, w, NULL, 40, 6, 15, more, COT_ACT_RELU);
        CHECK_FLOATS(got, want, 15 * 40, 1e-5);
        cot_buffer_destroy(x);
        cot_buffer_destroy(y);
        cot_weights_destroy(weights);
        cot_device_close(device);
    }
}

TEST(relu_keeps_a_nan_visible)
{
    cot_error err = COT_ERROR_INIT;
    for (int choice = COT_GEMM_TILE; choice <= COT_GEMM_CLBLAST; choice++) {
        cot_device *device = open_with((cot_gemm_choice)choice);
        REQUIRE(device);
        cot_weights *weights = NULL;
        cot_buffer *x = NULL, *y = NULL;
        const float w[2] = {1.0f, -1.0f}, in[2] = {NAN, 3.0f};
        float out[4] = {0};
        CHECK_OK(cot_linear_prepare(&weights, device, w, NULL, 2, 1, &err));
        CHECK_OK(cot_buffer_create(&x, device, 2, &err));
        CHECK_OK(cot_buffer_create(&y, device, 4, &err));
        CHECK_OK(cot_buffer_write(x, 0, in, 2, &err));
        CHECK_OK(cot_linear_forward(y, x, weights, 2, NULL, COT_ACT_RELU, &err));
        CHECK_OK(cot_buffer_read(y, 0, out, 4, &err));
        CHECK(isnan(out[0]) && isnan(out[1]));
        CHECK_NEAR(out[2], 3.0, 0);
        CHECK_NEAR(out[3], 0.0, 0);
        cot_buffer_destroy(x);
        cot_buffer_destroy(y);
        cot_weights_destroy(weights);
        cot_device_close(device);
    }
}

TEST(a_buffer_that_is_too_small_is_refused)
{
    cot_error err = COT_ERROR_INIT;
    cot_device *device = open_with(COT_GEMM_TILE);
    REQUIRE(device);
    cot_weights *weights = NULL;
    cot_buffer *x = NULL, *y = NULL;
    const float w[4] = {1, 2, 3, 4};
    CHECK_OK(cot_linear_prepare(&weights, device, w, NULL, 2, 2, &err));
    CHECK_OK(cot_buffer_create(&x, device, 4, &err));
    CHECK_OK(cot_buffer_create(&y, device, 3, &err));
    CHECK_FAILS(cot_linear_forward(y, x, weights, 2, NULL, COT_ACT_NONE, &err), COT_E_BUG, "linear: result");
    CHECK_FAILS(cot_linear_forward(x, y, weights, 2, NULL, COT_ACT_NONE, &err), COT_E_BUG, "linear: input");
    CHECK_FAILS(cot_linear_forward(y, x, weights, SIZE_MAX, NULL, COT_ACT_NONE, &err), COT_E_LIMIT, "lower the batch");
    CHECK_FAILS(cot_conv_forward(y, x, weights, 1, NULL, COT_ACT_NONE, NULL, &err), COT_E_BUG, "linear layer's");
    cot_weights_destroy(weights);
    CHECK_FAILS(cot_linear_prepare(&weights, device, w, NULL, 0, 2, &err), COT_E_BUG, "0 x 2");
    CHECK(weights == NULL);
    cot_buffer_destroy(x);
    cot_buffer_destroy(y);
    cot_device_close(device);
}
CHECK_MAIN
