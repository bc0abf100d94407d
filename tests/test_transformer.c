/* links: opencl config
 * The passes of transformers and graphs against their twins: attention in all shapes, patches, tokens, rows, graph
 * attention, GRU cell, activations; hostile sizes are refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/check.h"
#include "tests/reference_transformer.h"

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

/* A tensor here and on the device. */
typedef struct pair {
    float *host;
    cot_buffer *there;
    size_t n;
} pair;

static pair make(size_t n, uint32_t seed)
{
    cot_error err = COT_ERROR_INIT;
    pair p = {malloc((n + 1) * sizeof(float)), NULL, n};
    ref_fill(p.host, n, seed);
    CHECK_OK(cot_buffer_create(&p.there, shared(), n, &err));
    if (n) CHECK_OK(cot_buffer_write(p.there, 0, p.host, n, &err));
    return p;
}

static void scale(pair *p, float by)
{
    cot_error err = COT_ERROR_INIT;
    for (size_t i = 0; i < p->n; i++) p->host[i] *= by;
    CHECK_OK(cot_buffer_write(p->there, 0, p->host, p->n, &err));
}

static void drop(pair *p)
{
    cot_buffer_destroy(p->there);
    free(p->host);
}

/* What is on the device equals what is here. */
static void compare(const pair *p, double bound)
{
    cot_error err = COT_ERROR_INIT;
    float *x = malloc((p->n + 1) * sizeof *x);
    CHECK_OK(cot_buffer_read(p->there, 0, x, p->n, &err));
    CHECK_FLOATS(x, p->host, p->n, bound);
    free(x);
}

/* ---- attention ---- */
static void run_attention(const cot_attention_shape *s, const pair *mask, float spread)
{
    cot_error err = COT_ERROR_INIT;
    pair q = make(s->items * s->queries * s->q_stride, 1), kv = make(s->items * s->tokens * s->kv_stride, 2);
    pair y = make(s->items * s->queries * s->width, 3);
    scale(&q, spread);
    CHECK_OK(cot_attention_forward(y.there, q.there, kv.there, mask ? mask->there : NULL, s, &err));
    ref_attention_forward(y.host, q.host, kv.host, mask ? mask->host : NULL, s);
    compare(&y, 1e-5);
    drop(&q), drop(&kv), drop(&y);
}

/* items, tokens, queries, heads, width of a head */
static const size_t attention_cases[][5] = {
    {1, 50, 50, 12, 64}, {2, 50, 1, 12, 64}, {1, 1, 1, 1, 1},    {3, 17, 17, 4, 12}, {1, 7, 5, 3, 33},
    {2, 16, 16, 8, 16},  {1, 128, 4, 2, 48}, {1, 129, 3, 2, 16}, {1, 257, 6, 1, 80}, {2, 5, 9, 16, 7},
    {4, 2, 2, 1, 100},   {1, 300, 2, 5, 31}, {0, 3, 3, 1, 4},    {2, 3, 0, 1, 4},    {1, 31, 13, 16, 8}};

static cot_attention_shape separate(const size_t *c)
{
    const size_t width = c[3] * c[4];
    return (cot_attention_shape){.items = c[0],
                                 .tokens = c[1],
                                 .queries = c[2],
                                 .heads = c[3],
                                 .width = width,
                                 .q_stride = width + 3,
                                 .q_at = 2,
                                 .k_at = 5,
                                 .kv_stride = 2 * width + 9,
                                 .v_at = width + 7};
}

TEST(attention_equals_its_twin_in_all_shapes)
{
    for (size_t i = 0; i < sizeof attention_cases / sizeof *attention_cases; i++) {
        const cot_attention_shape s = separate(attention_cases[i]);
        run_attention(&s, NULL, 1.0f);
        run_attention(&s, NULL, 30.0f); /* sharp: nearly one token alone */
    }
}

TEST(attention_reads_a_fused_projection)
{
    cot_error err = COT_ERROR_INIT;
    for (size_t heads = 1; heads <= 16; heads++) {
        const size_t width = heads * 20;
        const cot_attention_shape s = {.items = 2,
                                       .tokens = 11,
                                       .queries = 11,
                                       .heads = heads,
                                       .width = width,
                                       .q_stride = 3 * width,
                                       .kv_stride = 3 * width,
                                       .k_at = width,
                                       .v_at = 2 * width};
        pair qkv = make(22 * 3 * width, 1), y = make(22 * width, 2);
        CHECK_OK(cot_attention_forward(y.there, qkv.there, qkv.there, NULL, &s, &err));
        ref_attention_forward(y.host, qkv.host, qkv.host, NULL, &s);
        compare(&y, 1e-5);
        drop(&qkv), drop(&y);
    }
}

/* Every shape with masks of a pattern; with one_always item i keeps token i % tokens always. */
static void run_masks_of(bool (*keep)(size_t item, size_t token), bool one_always)
{
    cot_error err = COT_ERROR_INIT;
    for (size_t i = 0; i < sizeof attention_cases / sizeof *attention_cases; i++) {
        const cot_attention_shape s = separate(attention_cases[i]);
        pair mask = make(s.items * s.tokens, 1);
        for (size_t m = 0; m < mask.n; m++) {
            const size_t item = m / s.tokens, token = m % s.tokens;
            mask.host[m] = (one_always && token == item * 131 % s.tokens) || keep(item, token);
        }
        if (mask.n) CHECK_OK(cot_buffer_write(mask.there, 0, mask.host, mask.n, &err));
        run_attention(&s, &mask, 4.0f);
        drop(&mask);
    }
}
static void run_masks(bool (*keep)(size_t item, size_t token))
{
    run_masks_of(keep, true);
}

static bool keep_some(size_t item, size_t token)
{
    return (item * 7 + token * 5) % 3 == 0;
}
static bool keep_none(size_t item, size_t token)
{
    (void)item, (void)token;
    return false;
}
static bool keep_late(size_t item, size_t token)
{
    return item + token >= 200; /* the first chunk has nothing, or little */
}

TEST(attention_leaves_masked_tokens_out)
{
    run_masks(keep_some);
    run_masks(keep_late);
}

/* As PyTorch has it where every score is the smallest number: the mean of all values. */
TEST(attention_with_all_tokens_masked_weighs_all_the_same)
{
    run_masks_of(keep_none, false);
}

TEST(attention_with_all_but_one_token_masked_is_that_token)
{
    run_masks(keep_none);
}

TEST(attention_shows_a_nan)
{
    cot_error err = COT_ERROR_INIT;
    const cot_attention_shape s = {
        .items = 1, .tokens = 3, .queries = 2, .heads = 1, .width = 16, .q_stride = 16, .kv_stride = 32, .v_at = 16};
    pair q = make(32, 1), kv = make(96, 2), y = make(32, 3);
    const float nan = NAN;
    float got[32];
    CHECK_OK(cot_buffer_write(q.there, 3, &nan, 1, &err));
    CHECK_OK(cot_attention_forward(y.there, q.there, kv.there, NULL, &s, &err));
    CHECK_OK(cot_buffer_read(y.there, 0, got, 32, &err));
    CHECK(isnan(got[0]) && isnan(got[15]));
    CHECK(!isnan(got[16]) && !isnan(got[31]));
    drop(&q), drop(&kv), drop(&y);
}

/* ---- copies ---- */
TEST(patches_equal_their_twin)
{
    cot_error err = COT_ERROR_INIT;
    static const size_t cases[][4] = {{1, 3, 224, 32}, {2, 1, 64, 16}, {3, 2, 21, 7}, {1, 5, 8, 1}, {2, 3, 9, 9}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const size_t *c = cases[i], n = c[0] * c[1] * c[2] * c[2];
        pair x = make(n, 1), y = make(n, 2);
        CHECK_OK(cot_patches_forward(y.there, x.there, c[0], c[1], c[2], c[3], &err));
        ref_patches_forward(y.host, x.host, c[0], c[1], c[2], c[3]);
        compare(&y, 0);
        drop(&x), drop(&y);
    }
}

TEST(tokens_equal_their_twin)
{
    cot_error err = COT_ERROR_INIT;
    static const size_t cases[][3] = {{1, 49, 768}, {3, 16, 48}, {2, 1, 1}, {5, 0, 7}, {2, 5, 33}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const size_t items = cases[i][0], n = cases[i][1], width = cases[i][2];
        pair patches = make(items * n * width, 1), cls = make(width, 2), position = make((1 + n) * width, 3);
        pair y = make(items * (1 + n) * width, 4);
        CHECK_OK(cot_tokens_forward(y.there, patches.there, cls.there, position.there, items, n, width, &err));
        ref_tokens_forward(y.host, patches.host, cls.host, position.host, items, n, width);
        compare(&y, 0);
        drop(&patches), drop(&cls), drop(&position), drop(&y);
    }
}

TEST(rows_are_read_and_written_alone)
{
    cot_error err = COT_ERROR_INIT;
    static const size_t cases[][3] = {{4, 50, 768}, {1, 1, 1}, {3, 7, 33}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const size_t items = cases[i][0], rows = cases[i][1], width = cases[i][2];
        for (size_t at = 0; at<rows; at += rows> 1 ? rows - 1 : 1) {
            pair x = make(items * rows * width, 1), y = make(items * width, 2);
            CHECK_OK(cot_row_forward(y.there, x.there, items, rows, at, width, &err));
            ref_row_forward(y.host, x.host, items, rows, at, width);
            compare(&y, 0);
            scale(&y, 2.0f);
            CHECK_OK(cot_row_write(x.there, y.there, items, rows, at, width, &err));
            ref_row_write(x.host, y.host, items, rows, at, width);
            compare(&x, 0);
            drop(&x), drop(&y);
        }
    }
}

TEST(parts_are_set_side_by_side)
{
    cot_error err = COT_ERROR_INIT;
    static const size_t cases[][3] = {{768, 768, 8}, {1, 1, 1}, {33, 5, 3}, {0, 4, 2}, {4, 0, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const size_t a_width = cases[i][0], b_width = cases[i][1], rows = cases[i][2];
        pair a = make(rows * a_width, 1), b = make(rows * b_width, 2), y = make(rows * (a_width + b_width), 3);
        CHECK_OK(cot_concat_forward(y.there, a.there, a_width, b.there, b_width, rows, &err));
        ref_concat_forward(y.host, a.host, a_width, b.host, b_width, rows);
        compare(&y, 0);
        drop(&a), drop(&b), drop(&y);
    }
}

/* ---- graphs ---- */
static void run_graph(size_t items, size_t nodes, size_t heads, size_t out, bool residual, float spread)
{
    cot_error err = COT_ERROR_INIT;
    const size_t width = heads * out;
    pair z = make(items * nodes * width, 1), src = make(width, 2), dst = make(width, 3), bias = make(width, 4);
    pair more = make(items * nodes * width, 5), y = make(items * nodes * width, 6);
    scale(&src, spread), scale(&dst, spread);
    CHECK_OK(cot_graph_attention_forward(y.there, z.there, src.there, dst.there, bias.there,
                                         residual ? more.there : NULL, items, nodes, heads, out, &err));
    ref_graph_attention_forward(y.host, z.host, src.host, dst.host, bias.host, residual ? more.host : NULL, items,
                                nodes, heads, out);
    compare(&y, 1e-5);
    drop(&z), drop(&src), drop(&dst), drop(&bias), drop(&more), drop(&y);
}

TEST(graph_attention_equals_its_twin)
{
    for (size_t nodes = 1; nodes <= 12; nodes++) {
        run_graph(1, nodes, 4, 192, true, 0.3f);
        run_graph(3, nodes, 3, 5, false, 3.0f);
        run_graph(2, nodes, 1, 33, true, 10.0f);
        run_graph(5, nodes, 16, 1, false, 1.0f);
    }
    run_graph(1, 64, 2, 20, true, 1.0f);
    run_graph(0, 8, 4, 12, true, 1.0f);
}

TEST(gru_cell_equals_its_twin)
{
    cot_error err = COT_ERROR_INIT;
    static const size_t cases[][2] = {{1, 768}, {32, 768}, {3, 7}, {1, 1}, {5, 33}, {2, 16}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const size_t n = cases[i][0], dim = cases[i][1];
        pair gi = make(n * 3 * dim, 1), gh = make(n * 3 * dim, 2), h = make(n * dim, 3), y = make(n * dim, 4);
        scale(&gi, 5.0f), scale(&gh, 5.0f);
        CHECK_OK(cot_gru_forward(y.there, gi.there, gh.there, h.there, n, dim, &err));
        ref_gru_forward(y.host, gi.host, gh.host, h.host, n, dim);
        compare(&y, 2e-6);
        CHECK_OK(cot_gru_forward(h.there, gi.there, gh.there, h.there, n, dim, &err)); /* in place */
        memcpy(h.host, y.host, h.n * sizeof *h.host);
        compare(&h, 2e-6);
        drop(&gi), drop(&gh), drop(&h), drop(&y);
    }
}

/* ---- activations ---- */
TEST(activations_are_exact_over_their_whole_range)
{
    enum { COUNT = 4001 };
    cot_error err = COT_ERROR_INIT;
    const float one = 1.0f, zero = 0.0f;
    pair x = make(COUNT, 1), y = make(COUNT, 2), gain = make(1, 3), shift = make(1, 4);
    float got[COUNT];
    for (size_t i = 0; i < COUNT; i++) x.host[i] = ((float)i - 2000.0f) / 100.0f; /* -20 to 20 */
    CHECK_OK(cot_buffer_write(x.there, 0, x.host, COUNT, &err));
    CHECK_OK(cot_buffer_write(gain.there, 0, &one, 1, &err));
    CHECK_OK(cot_buffer_write(shift.there, 0, &zero, 1, &err));
    for (int act = COT_ACT_NONE; act <= COT_ACT_SIGMOID; act++) {
        CHECK_OK(
            cot_batch_norm_forward(y.there, x.there, gain.there, shift.there, COUNT, 1, (cot_activation)act, &err));
        CHECK_OK(cot_buffer_read(y.there, 0, got, COUNT, &err));
        double worst = 0;
        for (size_t i = 0; i < COUNT; i++) {
            const double want = (double)ref_activate((double)x.host[i], (cot_activation)act);
            /* below 1e-10 an activation is zero to whatever adds it; exp's argument has no digits left there */
            const double off = fabs((double)got[i] - want) / fmax(fabs(want), 1e-10);
            if (!(off <= worst)) worst = off;
        }
        CHECK_NEAR(worst, 0, 2e-6);
    }
    drop(&x), drop(&y), drop(&gain), drop(&shift);
}

TEST(activations_of_extreme_values_are_their_limits)
{
    cot_error err = COT_ERROR_INIT;
    const float in[4] = {1e30f, -1e30f, NAN, 0.0f}, one = 1.0f;
    static const float want[][2] = {[COT_ACT_GELU] = {1e30f, 0.0f},
                                    [COT_ACT_QUICK_GELU] = {1e30f, 0.0f},
                                    [COT_ACT_ELU] = {1e30f, -1.0f},
                                    [COT_ACT_SIGMOID] = {1.0f, 0.0f}};
    cot_weights *w = NULL;
    CHECK_OK(cot_linear_prepare(&w, shared(), &one, NULL, 1, 1, &err));
    pair x = make(4, 1), y = make(4, 2);
    CHECK_OK(cot_buffer_write(x.there, 0, in, 4, &err));
    for (int act = COT_ACT_GELU; act <= COT_ACT_SIGMOID; act++) {
        float got[4];
        CHECK_OK(cot_linear_forward(y.there, x.there, w, 4, NULL, (cot_activation)act, &err));
        CHECK_OK(cot_buffer_read(y.there, 0, got, 4, &err));
        CHECK(got[0] == want[act][0] && got[1] == want[act][1] && isnan(got[2]));
        CHECK(got[3] == (act == COT_ACT_SIGMOID ? 0.5f : 0.0f));
    }
    cot_weights_destroy(w);
    drop(&x), drop(&y);
}

/* ---- refusals ---- */
TEST(attention_refuses_shapes_that_do_not_fit)
{
    cot_error err = COT_ERROR_INIT;
    pair a = make(64, 1), b = make(63, 2);
    const cot_attention_shape good = {
        .items = 2, .tokens = 4, .queries = 4, .heads = 2, .width = 8, .q_stride = 8, .kv_stride = 8};
    cot_attention_shape s = good;
    CHECK_OK(cot_attention_forward(a.there, a.there, a.there, NULL, &s, &err));
    CHECK_FAILS(cot_attention_forward(b.there, a.there, a.there, NULL, &s, &err), COT_E_BUG, "attention: result");
    CHECK_FAILS(cot_attention_forward(a.there, b.there, a.there, NULL, &s, &err), COT_E_BUG, "attention: queries");
    CHECK_FAILS(cot_attention_forward(a.there, a.there, b.there, NULL, &s, &err), COT_E_BUG, "attention: keys");
    s.heads = 3;
    CHECK_FAILS(cot_attention_forward(a.there, a.there, a.there, NULL, &s, &err), COT_E_BUG, "in 3 heads");
    s = good, s.tokens = 0;
    CHECK_FAILS(cot_attention_forward(a.there, a.there, a.there, NULL, &s, &err), COT_E_BUG, "0 tokens");
    s = good, s.v_at = 1;
    CHECK_FAILS(cot_attention_forward(a.there, a.there, a.there, NULL, &s, &err), COT_E_BUG, "floats 1 to 9");
    s = good, s.items = SIZE_MAX;
    CHECK_FAILS(cot_attention_forward(a.there, a.there, a.there, NULL, &s, &err), COT_E_LIMIT, "items");
    s = good, s.items = (size_t)1 << 40;
    CHECK_FAILS(cot_attention_forward(a.there, a.there, a.there, NULL, &s, &err), COT_E_LIMIT, "lower the batch");
    drop(&a), drop(&b);
}

TEST(copies_and_graphs_refuse_buffers_that_do_not_fit)
{
    cot_error err = COT_ERROR_INIT;
    pair big = make(8, 1), small = make(7, 2);
    cot_buffer *a = big.there, *b = small.there;
    CHECK_FAILS(cot_patches_forward(b, a, 1, 2, 2, 1, &err), COT_E_BUG, "patches: result");
    CHECK_FAILS(cot_patches_forward(a, a, 1, 2, 2, 3, &err), COT_E_BUG, "patches of 3");
    CHECK_FAILS(cot_patches_forward(a, a, SIZE_MAX, 2, 2, 1, &err), COT_E_LIMIT, "lower the batch");
    CHECK_FAILS(cot_tokens_forward(b, a, a, a, 2, 1, 2, &err), COT_E_BUG, "tokens: result");
    CHECK_FAILS(cot_tokens_forward(a, a, a, a, 2, SIZE_MAX, 2, &err), COT_E_LIMIT, "tokens");
    CHECK_FAILS(cot_row_forward(a, a, 2, 2, 2, 2, &err), COT_E_BUG, "row 2 of 2");
    CHECK_FAILS(cot_row_forward(a, b, 2, 2, 1, 2, &err), COT_E_BUG, "read rows");
    CHECK_FAILS(cot_row_write(b, a, 2, 2, 1, 2, &err), COT_E_BUG, "write rows");
    CHECK_FAILS(cot_concat_forward(b, a, 2, a, 2, 2, &err), COT_E_BUG, "concat: result");
    CHECK_FAILS(cot_concat_forward(a, a, SIZE_MAX, a, 2, 2, &err), COT_E_LIMIT, "concat");
    CHECK_FAILS(cot_graph_attention_forward(b, a, a, a, a, NULL, 1, 2, 2, 2, &err), COT_E_BUG,
                "graph attention: result");
    CHECK_FAILS(cot_graph_attention_forward(a, a, a, a, a, b, 1, 2, 2, 2, &err), COT_E_BUG, "residual");
    CHECK_FAILS(cot_graph_attention_forward(a, a, a, a, a, NULL, 1, 65, 2, 2, &err), COT_E_LIMIT, "65 nodes");
    CHECK_FAILS(cot_gru_forward(a, b, a, a, 1, 3, &err), COT_E_BUG, "gates of the input");
    CHECK_FAILS(cot_gru_forward(a, a, a, NULL, 1, 2, &err), COT_E_BUG, "missing");
    drop(&big), drop(&small);
}

TEST(every_buffer_was_given_back)
{
    CHECK_NUMBER(cot_device_ledger_read(shared()).buffers, 0);
    CHECK_NUMBER(cot_device_ledger_read(shared()).bytes, 0);
    cot_device_close(device);
    device = NULL;
}
CHECK_MAIN
