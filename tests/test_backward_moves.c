/* links: opencl config
 * Gradients of pools, of what only moves, of attention and graph attention; odd sizes, masks, strides. Bounds are of the
 * largest gradient: 2e-6 for pools and moves, 1e-5 for attention.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/gradients.h"

#define DEVICE(name)                                                                                                   \
    static cot_status name##_device(cot_buffer *const *g, cot_buffer *dy, cot_buffer *const *in, const twin_pass *p,   \
                                    cot_error *err)

DEVICE(max_pool)
{
    const size_t *s = p->size;
    return cot_max_pool_backward(g[0], dy, in[0], s[0], s[1], s[2], s[3], s[4], s[5], s[6], err);
}

TEST(max_pool_has_the_gradients_of_finite_differences)
{
    static const size_t cases[][7] = {{1, 1, 1, 1, 1, 1, 0},  {2, 9, 7, 3, 3, 2, 1}, {3, 4, 5, 3, 2, 2, 0},
                                      {1, 6, 6, 17, 5, 3, 2}, {2, 3, 8, 4, 3, 1, 1}, {1, 7, 7, 2, 2, 3, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const size_t *s = cases[i];
        const size_t n = s[0] * s[1] * s[2] * s[3];
        const size_t ny = s[0] * s[3] * cot_conv_out(s[1], s[4], s[5], s[6]) * cot_conv_out(s[2], s[4], s[5], s[6]);
        twin_pass p = {.size = {s[0], s[1], s[2], s[3], s[4], s[5], s[6]}};
        const layer l = {"max pool", twin_max_pool, twin_max_pool_backward, max_pool_device, 1, {n}, ny, 2e-6,
                         true,       false};
        check_layer(&l, &p, false);
    }
}

TEST(max_pool_gives_a_tie_to_the_first)
{
    cot_error err = COT_ERROR_INIT;
    const float x[4] = {0, 2, 2, 2}, one = 1.0f, want[4] = {0, 1, 0, 0};
    float got[4];
    cot_device *device = gradient_device(COT_GEMM_TILE);
    cot_buffer *bx = gradient_buffer(device, x, 4), *dy = gradient_buffer(device, &one, 1), *dx = NULL;
    CHECK_OK(cot_buffer_create(&dx, device, 4, &err));
    CHECK_OK(cot_max_pool_backward(dx, dy, bx, 1, 2, 2, 1, 2, 2, 0, &err));
    CHECK_OK(cot_buffer_read(dx, 0, got, 4, &err));
    CHECK_FLOATS(got, want, 4, 0);
    cot_buffer_destroy(bx), cot_buffer_destroy(dy), cot_buffer_destroy(dx);
}

DEVICE(mean_pool)
{
    (void)in;
    return cot_mean_pool_backward(g[0], dy, p->size[0], p->size[1], p->size[2], err);
}

DEVICE(patches)
{
    (void)in;
    return cot_patches_backward(g[0], dy, p->size[0], p->size[1], p->size[2], p->size[3], err);
}

DEVICE(tokens)
{
    (void)in;
    return cot_tokens_backward(g[0], g[1], g[2], dy, p->size[0], p->size[1], p->size[2], err);
}

DEVICE(row)
{
    (void)in;
    return cot_row_backward(g[0], dy, p->size[0], p->size[1], p->size[2], p->size[3], err);
}

DEVICE(row_write)
{
    cot_status status = COT_OK;
    (void)in;
    COT_TRY(cot_row_write_backward(dy, g[1], p->size[0], p->size[1], p->size[2], p->size[3], err));
    if (g[0]) COT_TRY(cot_accumulate(g[0], dy, p->size[0] * p->size[1] * p->size[3], err));
done:
    return status;
}

DEVICE(concat)
{
    (void)in;
    return cot_concat_backward(g[0], p->size[1], g[1], p->size[2], dy, p->size[0], err);
}

TEST(mean_pool_and_patches_have_the_gradients_of_finite_differences)
{
    static const size_t pools[][3] = {{1, 1, 1}, {3, 49, 5}, {2, 50, 33}};
    for (size_t i = 0; i < 3; i++) {
        const size_t n = pools[i][0], pixels = pools[i][1], c = pools[i][2];
        twin_pass p = {.size = {n, pixels, c}};
        const layer l = {
            "mean pool", twin_mean_pool, twin_mean_pool_backward, mean_pool_device, 1, {n * pixels * c}, n * c, 2e-6,
            true,        false};
        check_layer(&l, &p, false);
    }
    static const size_t cuts[][4] = {{1, 1, 1, 1}, {2, 3, 8, 4}, {2, 1, 11, 3}}; /* the last leaves a rest */
    for (size_t i = 0; i < 3; i++) {
        const size_t n = cuts[i][0], c = cuts[i][1], size = cuts[i][2], side = size / cuts[i][3] * cuts[i][3];
        twin_pass p = {.size = {n, c, size, cuts[i][3]}};
        const layer l = {"patches",
                         twin_patches,
                         twin_patches_backward,
                         patches_device,
                         1,
                         {n * c * size * size},
                         n * c * side * side,
                         2e-6,
                         true,
                         false};
        check_layer(&l, &p, false);
    }
}

TEST(tokens_rows_and_halves_have_the_gradients_of_finite_differences)
{
    static const size_t sizes[][3] = {{1, 1, 1}, {5, 16, 48}, {70, 3, 7}}; /* items, patches or rows, width */
    for (size_t i = 0; i < 3; i++) {
        const size_t n = sizes[i][0], rows = sizes[i][1], w = sizes[i][2], at = rows / 2;
        twin_pass tokens = {.size = {n, rows, w}};
        const layer lt = {"tokens",
                          twin_tokens,
                          twin_tokens_backward,
                          tokens_device,
                          3,
                          {n * rows * w, w, (rows + 1) * w},
                          n * (rows + 1) * w,
                          2e-6,
                          false,
                          false};
        check_layer(&lt, &tokens, false);
        twin_pass row = {.size = {n, rows, at, w}};
        const layer lr = {"row", twin_row, twin_row_backward, row_device, 1, {n * rows * w}, n * w, 2e-6, true, false};
        check_layer(&lr, &row, false);
        twin_pass written = {.size = {n, rows, at, w}};
        const layer lw = {"row write",
                          twin_row_write,
                          twin_row_write_backward,
                          row_write_device,
                          2,
                          {n * rows * w, n * w},
                          n * rows * w,
                          2e-6,
                          false,
                          false};
        check_layer(&lw, &written, false);
        twin_pass halves = {.size = {n, w, rows}};
        const layer lc = {
            "concat", twin_concat, twin_concat_backward, concat_device, 2, {n * w, n * rows}, n * (w + rows), 2e-6,
            false,    false};
        check_layer(&lc, &halves, false);
    }
}

/* ---- attention ---- */
static cot_buffer *attention_mask;

DEVICE(attention)
{
    return cot_attention_backward(g[0], g[1], dy, in[0], in[1], p->mask ? attention_mask : NULL, p->attention, err);
}

/* Masks about a third of the tokens, never an item's first. */
static void run_attention(const cot_attention_shape *s, bool masked, bool fused)
{
    const size_t n = s->items * s->tokens, nq = s->items * s->queries * s->q_stride, nkv = n * s->kv_stride;
    float *mask = malloc(n * sizeof *mask);
    for (size_t i = 0; i < n; i++) mask[i] = i % s->tokens % 3 == 1 ? 0.0f : 1.0f;
    double *dmask = doubles(mask, n);
    attention_mask = gradient_buffer(gradient_device(COT_GEMM_TILE), mask, n);
    twin_pass p = {.attention = s, .mask = masked ? dmask : NULL};
    const layer l = {"attention",   twin_attention, twin_attention_backward,          attention_device,
                     fused ? 1 : 2, {nq, nkv},      s->items * s->queries * s->width, 1e-5,
                     fused,         fused};
    check_layer(&l, &p, false);
    cot_buffer_destroy(attention_mask);
    free(mask), free(dmask);
}

TEST(attention_has_the_gradients_of_finite_differences_with_and_without_masks)
{
    static const cot_attention_shape shapes[] = {
        {1, 1, 1, 1, 1, 1, 0, 2, 0, 1},
        {2, 17, 17, 4, 48, 48, 0, 96, 0, 48},
        {3, 7, 1, 3, 15, 15, 0, 30, 0, 15},
        {2, 5, 3, 2, 14, 20, 3, 31, 16, 1},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        run_attention(&shapes[i], false, false);
        run_attention(&shapes[i], true, false);
    }
    const cot_attention_shape fused = {2, 9, 9, 3, 21, 63, 0, 63, 21, 42};
    run_attention(&fused, false, true);
    run_attention(&fused, true, true);
}

DEVICE(graph_attention)
{
    return cot_graph_attention_backward(g[0], g[1], g[2], g[3], dy, in[0], in[1], in[2], p->size[0], p->size[1],
                                        p->size[2], p->size[3], err);
}

TEST(graph_attention_has_the_gradients_of_finite_differences)
{
    static const size_t sizes[][4] = {{1, 1, 1, 1}, {5, 8, 4, 12}, {40, 3, 2, 7}, {2, 11, 3, 33}};
    for (size_t i = 0; i < 4; i++) {
        const size_t *s = sizes[i];
        const size_t columns = s[2] * s[3], n = s[0] * s[1] * columns;
        twin_pass p = {.size = {s[0], s[1], s[2], s[3]}};
        const layer l = {"graph attention",
                         twin_graph_attention,
                         twin_graph_attention_backward,
                         graph_attention_device,
                         4,
                         {n, columns, columns, columns},
                         n,
                         1e-5,
                         false,
                         false};
        check_layer(&l, &p, false);
    }
}

TEST(moves_and_attention_refuse_buffers_that_do_not_fit)
{
    cot_error err = COT_ERROR_INIT;
    float x[24] = {0};
    cot_device *device = gradient_device(COT_GEMM_TILE);
    cot_buffer *a = gradient_buffer(device, x, 24), *b = gradient_buffer(device, x, 24),
               *c = gradient_buffer(device, x, 7);
    const cot_attention_shape wrong = {1, 2, 2, 3, 4, 4, 0, 8, 0, 4}, right = {1, 2, 2, 2, 4, 4, 0, 8, 0, 4};
    CHECK_FAILS(cot_max_pool_backward(c, a, b, 1, 2, 4, 1, 1, 1, 0, &err), COT_E_BUG, "max pool backward: result");
    CHECK_FAILS(cot_max_pool_backward(a, a, b, 1, 2, 4, 1, 2, 1, 2, &err), COT_E_BUG, "pad 2");
    CHECK_FAILS(cot_mean_pool_backward(a, b, 1, 0, 4, &err), COT_E_BUG, "no pixels");
    CHECK_FAILS(cot_patches_backward(a, b, 1, 1, 2, 3, &err), COT_E_BUG, "patches of 3");
    CHECK_FAILS(cot_tokens_backward(NULL, c, NULL, a, 1, 2, 8, &err), COT_E_BUG, "class token");
    CHECK_FAILS(cot_row_backward(a, b, 1, 3, 3, 8, &err), COT_E_BUG, "row 3 of 3");
    CHECK_FAILS(cot_row_backward(a, c, 1, 3, 0, 8, &err), COT_E_BUG, "row backward");
    CHECK_FAILS(cot_row_write_backward(a, a, 1, 3, 0, 8, &err), COT_E_BUG, "the gradient itself");
    CHECK_FAILS(cot_concat_backward(c, 8, NULL, 16, a, 1, &err), COT_E_BUG, "concat backward: left");
    CHECK_FAILS(cot_attention_backward(a, b, a, a, b, NULL, &wrong, &err), COT_E_BUG, "3 heads of width 4");
    CHECK_FAILS(cot_attention_backward(c, b, a, a, b, NULL, &right, &err), COT_E_BUG, "queries' gradient");
    CHECK_FAILS(cot_graph_attention_backward(a, NULL, NULL, NULL, a, b, b, b, 1, 2, 2, 2, &err), COT_E_BUG, "inputs");
    CHECK_FAILS(cot_graph_attention_backward(c, NULL, NULL, NULL, a, b, b, b, 1, 2, 2, 2, &err), COT_E_BUG, "nodes'");
    CHECK_FAILS(cot_graph_attention_backward(a, NULL, NULL, NULL, b, b, b, b, 1, 0, 2, 2, &err), COT_E_BUG, "0 nodes");
    cot_buffer_destroy(a), cot_buffer_destroy(b), cot_buffer_destroy(c);
}

TEST(the_devices_close)
{
    gradient_devices_close();
    CHECK(!gradient_devices[0] && !gradient_devices[1]);
}
CHECK_MAIN
