/* links: opencl config
 * Products on plain weights and their gradients: matrices both ways round, linear layers, convolutions; odd sizes, the
 * tile kernels and CLBlast. Bounds are of the largest gradient: 2e-6, convolutions 5e-6.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/gradients.h"

static void run_product(cot_gemm_choice choice, size_t m, size_t n, size_t k, bool a_t, bool b_t, bool add)
{
    cot_error err = COT_ERROR_INIT;
    cot_device *device = gradient_device(choice);
    float *a = malloc((m * k + 1) * sizeof *a), *b = malloc((k * n + 1) * sizeof *b);
    float *c = malloc((m * n + GUARD) * sizeof *c), *got = malloc((m * n + GUARD) * sizeof *got);
    ref_fill(a, m * k, 1);
    ref_fill(b, k * n, 2);
    ref_fill(c, m * n + GUARD, 3);
    double *da = doubles(a, m * k), *db = doubles(b, k * n), *want = doubles(c, m * n + GUARD);
    cot_buffer *ba = gradient_buffer(device, a, m * k), *bb = gradient_buffer(device, b, k * n),
               *bc = gradient_buffer(device, c, m * n + GUARD);
    CHECK_OK(cot_matmul(bc, ba, a_t, bb, b_t, m, n, k, add, &err));
    CHECK_OK(cot_buffer_read(bc, 0, got, m * n + GUARD, &err));
    twin_matmul(want, da, a_t, db, b_t, m, n, k, add);
    CHECK_FLOATS(got, want, m * n + GUARD, 1e-6 * (double)k + 1e-6);
    cot_buffer_destroy(ba), cot_buffer_destroy(bb), cot_buffer_destroy(bc);
    free(a), free(b), free(c), free(got), free(da), free(db), free(want);
}

static void run_products(cot_gemm_choice choice)
{
    static const size_t sizes[][3] = {{1, 1, 1},    {1, 32, 5},   {3, 31, 7},   {14, 33, 16}, {32, 96, 64},
                                      {29, 65, 77}, {9, 100, 33}, {64, 40, 17}, {5, 7, 300},  {100, 64, 1}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (unsigned flags = 0; flags < 8; flags++)
            run_product(choice, sizes[i][0], sizes[i][1], sizes[i][2], flags & 1, flags & 2, flags & 4);
}

TEST(products_with_the_tile_equal_their_twin_all_ways_round)
{
    run_products(COT_GEMM_TILE);
}

TEST(products_with_clblast_equal_their_twin_all_ways_round)
{
    run_products(COT_GEMM_CLBLAST);
}

static cot_status linear_device(cot_buffer *const *grad, cot_buffer *dy, cot_buffer *const *in, const twin_pass *p,
                                cot_error *err)
{
    return cot_linear_backward(grad[0], grad[1], grad[2], dy, in[0], in[1], p->size[0], p->size[1], p->size[2], err);
}

TEST(linear_layers_have_the_gradients_of_finite_differences)
{
    static const size_t sizes[][3] = {{1, 1, 1}, {5, 9, 48}, {33, 7, 65}, {32, 64, 96}, {70, 33, 31}, {3, 40, 5}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const size_t rows = sizes[i][0], out = sizes[i][1], in = sizes[i][2];
        twin_pass p = {.size = {rows, out, in}};
        const layer l = {
            "linear", twin_linear, twin_linear_backward, linear_device, 3, {rows * in, out * in, out}, rows * out, 2e-6,
            false,    false};
        check_layer(&l, &p, i < 4);
    }
}

/* Forward on the device against the twin's; with and without bias. */
TEST(linear_forward_on_plain_weights_equals_its_twin)
{
    cot_error err = COT_ERROR_INIT;
    cot_device *device = gradient_device(COT_GEMM_TILE);
    enum { ROWS = 13, OUT = 37, IN = 41 };
    float x[ROWS * IN], w[OUT * IN], bias[OUT], got[ROWS * OUT], want[ROWS * OUT];
    ref_fill(x, ROWS * IN, 1);
    ref_fill(w, OUT * IN, 2);
    ref_fill(bias, OUT, 3);
    cot_buffer *bx = gradient_buffer(device, x, ROWS * IN), *bw = gradient_buffer(device, w, OUT * IN),
               *bb = gradient_buffer(device, bias, OUT), *y = gradient_buffer(device, got, 0);
    cot_buffer_destroy(y);
    CHECK_OK(cot_buffer_create(&y, device, ROWS * OUT, &err));
    for (int with = 0; with < 2; with++) {
        CHECK_OK(cot_linear_plain_forward(y, bx, bw, with ? bb : NULL, ROWS, OUT, IN, &err));
        CHECK_OK(cot_buffer_read(y, 0, got, ROWS * OUT, &err));
        ref_linear_forward(want, x, w, with ? bias : NULL, OUT, IN, ROWS, NULL, COT_ACT_NONE);
        CHECK_FLOATS(got, want, ROWS * OUT, 1e-5);
    }
    cot_buffer_destroy(bx), cot_buffer_destroy(bw), cot_buffer_destroy(bb), cot_buffer_destroy(y);
}

/* ---- convolutions ---- */
static const struct {
    size_t n;
    cot_conv_shape s;
} convolutions[] = {
    {1, {1, 1, 1, 1, 0, 1, 1}},   {2, {3, 5, 3, 1, 1, 5, 4}},   {2, {1, 33, 7, 2, 3, 11, 9}},
    {3, {8, 7, 1, 2, 0, 6, 5}},   {2, {5, 34, 3, 2, 1, 7, 7}},  {2, {4, 33, 1, 1, 0, 3, 4}},
    {1, {2, 3, 5, 3, 4, 4, 6}},   {1, {3, 4, 2, 2, 0, 5, 5}},   {2, {9, 33, 3, 2, 1, 7, 8}},
    {2, {33, 40, 3, 1, 1, 6, 5}}, {1, {32, 64, 3, 2, 1, 9, 8}}, {2, {32, 64, 1, 2, 0, 5, 6}},
    {1, {40, 20, 3, 3, 0, 8, 7}}, {1, {35, 6, 2, 2, 1, 5, 4}},  {1, {34, 3, 1, 3, 1, 4, 5}},
};
enum { CONVOLUTIONS = sizeof convolutions / sizeof *convolutions };

static cot_status conv_device(cot_buffer *const *grad, cot_buffer *dy, cot_buffer *const *in, const twin_pass *p,
                              cot_error *err)
{
    return cot_conv_backward(grad[0], grad[1], dy, in[0], in[1], p->conv, p->size[0], err);
}

static size_t conv_floats(const cot_conv_shape *s, size_t n)
{
    return n * cot_conv_out(s->in_h, s->kernel, s->stride, s->pad) *
           cot_conv_out(s->in_w, s->kernel, s->stride, s->pad) * s->out_c;
}

TEST(convolutions_have_the_gradients_of_finite_differences)
{
    for (size_t i = 0; i < CONVOLUTIONS; i++) {
        const cot_conv_shape *s = &convolutions[i].s;
        const size_t n = convolutions[i].n;
        twin_pass p = {.size = {n}, .conv = s};
        const layer l = {"convolution",
                         twin_plain_conv,
                         twin_plain_conv_backward,
                         conv_device,
                         2,
                         {n * s->in_h * s->in_w * s->in_c, s->out_c * s->kernel * s->kernel * s->in_c},
                         conv_floats(s, n),
                         5e-6,
                         false,
                         false};
        check_layer(&l, &p, true);
    }
}

static void run_conv_forward(cot_gemm_choice choice, size_t i)
{
    cot_error err = COT_ERROR_INIT;
    const cot_conv_shape *s = &convolutions[i].s;
    const size_t n = convolutions[i].n, nx = n * s->in_h * s->in_w * s->in_c,
                 nw = s->out_c * s->kernel * s->kernel * s->in_c, ny = conv_floats(s, n);
    float *x = malloc(nx * sizeof *x), *w = malloc(nw * sizeof *w), *got = malloc(ny * sizeof *got);
    ref_fill(x, nx, 1);
    ref_fill(w, nw, 2);
    twin_pass p = {.size = {n}, .conv = s, .in = {doubles(x, nx), doubles(w, nw)}, .y = doubles(NULL, ny)};
    cot_buffer *bx = gradient_buffer(gradient_device(choice), x, nx),
               *bw = gradient_buffer(gradient_device(choice), w, nw), *y = NULL;
    CHECK_OK(cot_buffer_create(&y, gradient_device(choice), ny, &err));
    CHECK_OK(cot_conv_plain_forward(y, bx, bw, s, n, &err));
    CHECK_OK(cot_buffer_read(y, 0, got, ny, &err));
    twin_plain_conv(&p);
    CHECK_FLOATS(got, p.y, ny, 1e-5 + 1e-7 * (double)(s->kernel * s->kernel * s->in_c));
    cot_buffer_destroy(bx), cot_buffer_destroy(bw), cot_buffer_destroy(y);
    free(x), free(w), free(got), free(p.in[0]), free(p.in[1]), free(p.y);
}

TEST(convolutions_on_plain_weights_equal_their_twin)
{
    for (size_t i = 0; i < CONVOLUTIONS; i++) {
        run_conv_forward(COT_GEMM_TILE, i);
        run_conv_forward(COT_GEMM_CLBLAST, i);
    }
}

/* So many pixels that the weights' gradient is summed in slices; too large for differences. */
static void run_large(const cot_conv_shape *s, size_t n)
{
    cot_error err = COT_ERROR_INIT;
    cot_device *device = gradient_device(COT_GEMM_TILE);
    const size_t nx = n * s->in_h * s->in_w * s->in_c, nw = s->out_c * s->kernel * s->kernel * s->in_c,
                 ny = conv_floats(s, n);
    float *x = malloc(nx * sizeof *x), *w = malloc(nw * sizeof *w), *dy = malloc(ny * sizeof *dy),
          *got = malloc((nx > nw ? nx : nw) * sizeof *got);
    ref_fill(x, nx, 1), ref_fill(w, nw, 2), ref_fill(dy, ny, 3);
    twin_pass p = {.size = {n}, .conv = s, .in = {doubles(x, nx), doubles(w, nw)}, .dy = doubles(dy, ny)};
    p.grad[0] = doubles(NULL, nx), p.grad[1] = doubles(w, nw); /* the device adds to w */
    cot_buffer *bx = gradient_buffer(device, x, nx), *bw = gradient_buffer(device, w, nw),
               *bdy = gradient_buffer(device, dy, ny), *dw = gradient_buffer(device, w, nw);
    twin_plain_conv_backward(&p);
    const double w_bound = 1e-6 * largest(p.grad[1], nw) + 1e-4, x_bound = 1e-6 * largest(p.grad[0], nx) + 1e-5;
    CHECK_OK(cot_conv_weights_backward(dw, bdy, bx, s, n, &err));
    CHECK_OK(cot_buffer_read(dw, 0, got, nw, &err));
    CHECK_FLOATS(got, p.grad[1], nw, w_bound);
    CHECK_OK(cot_conv_input_backward(bx, bdy, bw, s, n, false, &err)); /* over what was there */
    CHECK_OK(cot_buffer_read(bx, 0, got, nx, &err));
    CHECK_FLOATS(got, p.grad[0], nx, x_bound);
    cot_buffer_destroy(bx), cot_buffer_destroy(bw), cot_buffer_destroy(bdy), cot_buffer_destroy(dw);
    free(x), free(w), free(dy), free(got), free(p.in[0]), free(p.in[1]), free(p.dy), free(p.grad[0]), free(p.grad[1]);
}

TEST(the_shapes_of_resnet18_have_their_twins_gradients_in_slices_too)
{
    static const cot_conv_shape shapes[] = {{1, 32, 7, 2, 3, 96, 90},   {32, 32, 3, 1, 1, 40, 37},
                                            {32, 64, 3, 2, 1, 41, 40},  {32, 64, 1, 2, 0, 40, 39},
                                            {64, 128, 3, 2, 1, 15, 14}, {3, 40, 7, 2, 3, 50, 51}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) run_large(&shapes[i], 2);
}

TEST(products_refuse_buffers_that_do_not_fit)
{
    cot_error err = COT_ERROR_INIT;
    float x[8] = {0};
    cot_device *device = gradient_device(COT_GEMM_TILE);
    cot_buffer *a = gradient_buffer(device, x, 8), *b = gradient_buffer(device, x, 8),
               *c = gradient_buffer(device, x, 7);
    const cot_conv_shape big = {1, 1, 3, 1, 0, 2, 2}, one = {1, 1, 1, 1, 0, 8, 1};
    CHECK_FAILS(cot_matmul(c, a, false, b, false, 4, 2, 2, false, &err), COT_E_BUG, "product: result");
    CHECK_FAILS(cot_matmul(a, a, false, b, false, 2, 2, 2, false, &err), COT_E_BUG, "one of the factors");
    CHECK_FAILS(cot_matmul(a, b, false, c, false, 2, 4, 2, false, &err), COT_E_BUG, "product: right");
    CHECK_FAILS(cot_matmul(a, b, false, c, false, SIZE_MAX, 2, 2, false, &err), COT_E_LIMIT, "lower the batch");
    CHECK_FAILS(cot_linear_backward(NULL, NULL, c, a, b, b, 1, 8, 1, &err), COT_E_BUG, "bias");
    CHECK_FAILS(cot_conv_backward(a, NULL, b, a, b, &big, 1, &err), COT_E_BUG, "kernel 3");
    CHECK_FAILS(cot_conv_backward(c, NULL, a, b, b, &one, 1, &err), COT_E_BUG, "convolution: input");
    cot_buffer_destroy(a), cot_buffer_destroy(b), cot_buffer_destroy(c);
}

TEST(the_devices_close)
{
    gradient_devices_close();
    CHECK(!gradient_devices[0] && !gradient_devices[1]);
}
CHECK_MAIN
