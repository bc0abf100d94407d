/* links: opencl config
 * Losses, dropout and the optimiser: values and gradients against the twins, gradients of the twins against finite
 * differences; masked rows, class weights, smoothing, a step with one valid row; the same masks each time.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/gradients.h"
#include "tests/reference_training.h"

#define DEVICE(name)                                                                                                   \
    static cot_status name##_device(cot_buffer *const *g, cot_buffer *dy, cot_buffer *const *in, const twin_pass *p,   \
                                    cot_error *err)

static cot_device *the_device(void)
{
    return gradient_device(COT_GEMM_TILE);
}

/* Doubles that are floats, onto the device. */
static cot_buffer *upload(const double *x, size_t n)
{
    float *f = calloc(n + 1, sizeof *f);
    for (size_t i = 0; i < n; i++) f[i] = (float)x[i];
    cot_buffer *b = gradient_buffer(the_device(), f, n);
    free(f);
    return b;
}

/* Sum of a loss's rows against the twin's one number. */
static void check_loss(const char *name, const cot_buffer *loss, size_t rows, void (*twin)(twin_pass *), twin_pass p,
                       double bound)
{
    cot_error err = COT_ERROR_INIT;
    float *got = calloc(rows, sizeof *got);
    double sum = 0, want = 0;
    p.y = &want;
    twin(&p);
    CHECK_OK(cot_buffer_read(loss, 0, got, rows, &err));
    for (size_t i = 0; i < rows; i++) sum += (double)got[i];
    check_count++;
    if (!(fabs(sum - want) <= bound * fmax(1, fabs(want)))) CHECK_FAIL_("%s: loss %.9g, wanted %.9g", name, sum, want);
    free(got);
}

static void fill(double *x, size_t n, uint32_t seed, double scale)
{
    float *f = calloc(n + 1, sizeof *f);
    ref_fill(f, n, seed);
    for (size_t i = 0; i < n; i++) x[i] = (double)(f[i] * (float)scale);
    free(f);
}

/* ---- moves ---- */
DEVICE(repeat)
{
    cot_status status;
    const size_t all = p->size[0] * p->size[1];
    float *got = calloc(all, sizeof *got);
    cot_buffer *y = NULL;
    COT_TRY(cot_buffer_create(&y, the_device(), all, err));
    COT_TRY(cot_repeat(y, in[0], p->size[0], p->size[1], err));
    COT_TRY(cot_buffer_read(y, 0, got, all, err));
    for (size_t i = 0; i < all; i++) CHECK(fabs((double)got[i] - p->in[0][i % p->size[1]]) <= 0);
    status = cot_repeat_backward(g[0], dy, p->size[0], p->size[1], err);
done:
    cot_buffer_destroy(y);
    free(got);
    return status;
}

TEST(what_is_repeated_has_the_gradients_of_finite_differences)
{
    static const size_t shapes[][2] = {{1, 1}, {7, 33}, {3, 512}};
    for (size_t i = 0; i < 3; i++) {
        twin_pass p = {.size = {shapes[i][0], shapes[i][1]}};
        const layer l = {.name = "repeat",
                         .forward = twin_repeat,
                         .backward = twin_repeat_backward,
                         .device = repeat_device,
                         .n_in = 1,
                         .n = {shapes[i][1]},
                         .n_y = shapes[i][0] * shapes[i][1],
                         .bound = 1e-6};
        check_layer(&l, &p, false);
    }
}

DEVICE(activation_from)
{
    twin_pass forward = *p; /* no x comes to the device: y of the twin, anew, as differences were taken since */
    forward.y = calloc(p->size[0], sizeof *forward.y);
    twin_activation_from(&forward);
    cot_buffer *y = upload(forward.y, p->size[0]);
    free(forward.y);
    (void)in;
    const cot_status status = cot_activation_backward_from(g[0], dy, y, p->size[0], p->act, (float)p->eps, err);
    cot_buffer_destroy(y);
    return status;
}

TEST(an_activation_has_its_gradient_from_its_result)
{
    static const cot_activation acts[] = {COT_ACT_RELU, COT_ACT_ELU};
    static const double scales[] = {1, 1 / 0.7};
    cot_error err = COT_ERROR_INIT;
    for (size_t i = 0; i < 4; i++) {
        twin_pass p = {.size = {301}, .act = acts[i % 2], .eps = scales[i / 2]};
        const layer l = {.name = "activation from its result",
                         .forward = twin_activation_from,
                         .backward = twin_activation_from_backward,
                         .device = activation_from_device,
                         .n_in = 1,
                         .n = {301},
                         .n_y = 301,
                         .bound = 2e-6};
        check_layer(&l, &p, false);
    }
    cot_buffer *b = gradient_buffer(the_device(), (const float[]){1}, 1);
    CHECK_FAILS(cot_activation_backward_from(b, b, b, 1, COT_ACT_GELU, 1, &err), COT_E_BUG, "cannot be told");
    cot_buffer_destroy(b);
}

/* ---- cross-entropy and softened KL ---- */
enum { ROWS = 9, CLASSES = 7 };
static double labels[ROWS] = {0, 3, -1, 6, 2, 2, -1, 5, 1}, class_weights[CLASSES], teacher[ROWS * CLASSES];

DEVICE(cross_entropy)
{
    cot_status status;
    cot_buffer *y = upload(twin_target.labels, p->size[0]), *loss = gradient_buffer(the_device(), NULL, 0);
    cot_buffer *w = twin_target.weights ? upload(twin_target.weights, p->size[1]) : NULL;
    (void)dy;
    cot_buffer_destroy(loss);
    COT_TRY(cot_buffer_create(&loss, the_device(), p->size[0], err));
    COT_TRY(cot_cross_entropy(loss, g[0], in[0], y, w, (float)twin_target.smoothing, (float)p->dy[0], p->size[0],
                              p->size[1], err));
    check_loss("cross-entropy", loss, p->size[0], twin_cross_entropy, *p, 2e-6);
done:
    cot_buffer_destroy(y);
    cot_buffer_destroy(loss);
    cot_buffer_destroy(w);
    return status;
}

TEST(cross_entropy_has_the_gradients_of_finite_differences)
{
    fill(class_weights, CLASSES, 5, 0.5);
    for (size_t i = 0; i < CLASSES; i++) class_weights[i] += 1;
    for (int way = 0; way < 4; way++) {
        twin_pass p = {.size = {ROWS, CLASSES}};
        twin_target = (twin_targets){
            .labels = labels, .weights = way & 1 ? class_weights : NULL, .smoothing = way & 2 ? 0.125 : 0.0};
        const layer l = {"cross-entropy",
                         twin_cross_entropy,
                         twin_cross_entropy_backward,
                         cross_entropy_device,
                         1,
                         {ROWS * CLASSES},
                         1,
                         1e-6,
                         false,
                         false};
        check_layer(&l, &p, false);
    }
}

TEST(a_step_without_a_valid_row_has_no_loss_and_no_gradient)
{
    static double none[ROWS] = {-1, -1, -1, -1, -1, -1, -1, -1, -1};
    cot_error err = COT_ERROR_INIT;
    float got[ROWS * CLASSES], x[ROWS * CLASSES];
    ref_fill(x, ROWS * CLASSES, 3);
    cot_buffer *bx = gradient_buffer(the_device(), x, ROWS * CLASSES), *y = upload(none, ROWS), *loss = NULL,
               *dx = NULL;
    REQUIRE_OK(cot_buffer_create(&loss, the_device(), ROWS, &err));
    REQUIRE_OK(cot_buffer_create(&dx, the_device(), ROWS * CLASSES, &err));
    CHECK_OK(cot_cross_entropy(loss, dx, bx, y, NULL, 0.1f, 1.0f, ROWS, CLASSES, &err));
    CHECK_OK(cot_soft_kl(loss, dx, bx, bx, y, 2.0f, 1.0f, ROWS, CLASSES, &err));
    CHECK_OK(cot_buffer_read(loss, 0, got, ROWS, &err));
    for (size_t i = 0; i < ROWS; i++) CHECK(got[i] == 0.0f);
    CHECK_OK(cot_buffer_read(dx, 0, got, ROWS * CLASSES, &err));
    for (size_t i = 0; i < ROWS * CLASSES; i++) CHECK(got[i] == 0.0f);
    CHECK_FAILS(cot_cross_entropy(loss, dx, bx, y, NULL, 0, 1, ROWS + 1, CLASSES, &err), COT_E_BUG, "loss");
    cot_buffer_destroy(bx), cot_buffer_destroy(y), cot_buffer_destroy(loss), cot_buffer_destroy(dx);
}

DEVICE(soft_kl)
{
    cot_status status;
    cot_buffer *y = upload(twin_target.labels, p->size[0]), *t = upload(twin_target.teacher, p->size[0] * p->size[1]);
    cot_buffer *loss = NULL;
    (void)dy;
    COT_TRY(cot_buffer_create(&loss, the_device(), p->size[0], err));
    COT_TRY(cot_soft_kl(loss, g[0], in[0], t, y, (float)twin_target.temperature, (float)p->dy[0], p->size[0],
                        p->size[1], err));
    check_loss("softened KL", loss, p->size[0], twin_soft_kl, *p, 2e-6);
done:
    cot_buffer_destroy(y);
    cot_buffer_destroy(t);
    cot_buffer_destroy(loss);
    return status;
}

TEST(softened_kl_has_the_gradients_of_finite_differences)
{
    fill(teacher, ROWS * CLASSES, 8, 3.0);
    for (int t = 1; t < 4; t++) {
        twin_pass p = {.size = {ROWS, CLASSES}};
        twin_target = (twin_targets){.labels = labels, .teacher = teacher, .temperature = t};
        const layer l = {
            "softened KL", twin_soft_kl, twin_soft_kl_backward, soft_kl_device, 1, {ROWS * CLASSES}, 1, 1e-6,
            false,         false};
        check_layer(&l, &p, false);
    }
}

/* ---- alignment ---- */
enum { STEPS = 3, ITEMS = 6, WIDTH = 21 };
static double step_labels[STEPS * ITEMS] = {0, 1, -1, 2, 0, 3, -1, -1, 4, -1, -1, -1, 1, 1, 1, 0, 2, 2};
static double features[STEPS * ITEMS * WIDTH];

DEVICE(alignment)
{
    cot_status status;
    const cot_alignment_shape shape = {p->size[0], p->size[1], p->size[2], (float)twin_target.temperature};
    cot_buffer *y = upload(twin_target.labels, shape.steps * shape.rows), *loss = NULL;
    cot_buffer *t = upload(twin_target.teacher, shape.steps * shape.rows * shape.width);
    (void)dy;
    COT_TRY(cot_buffer_create(&loss, the_device(), shape.steps, err));
    COT_TRY(cot_alignment(loss, g[0], t, in[0], y, (float)p->dy[0], &shape, err));
    check_loss("alignment", loss, shape.steps, twin_alignment, *p, 1e-5);
done:
    cot_buffer_destroy(y);
    cot_buffer_destroy(t);
    cot_buffer_destroy(loss);
    return status;
}

/* The second step has a single valid row: no alignment. */
TEST(alignment_has_the_gradients_of_finite_differences)
{
    fill(features, STEPS * ITEMS * WIDTH, 4, 2.0);
    for (int t = 1; t < 3; t++) {
        twin_pass p = {.size = {STEPS, ITEMS, WIDTH}};
        twin_target = (twin_targets){.labels = step_labels, .teacher = features, .temperature = t};
        const layer l = {
            "alignment", twin_alignment, twin_alignment_backward, alignment_device, 1, {ITEMS * WIDTH}, 1, 1e-5,
            false,       false};
        check_layer(&l, &p, false);
    }
}

/* ---- dropout ---- */
TEST(philox_gives_the_published_numbers)
{
    static const uint32_t in[3][6] = {{0, 0, 0, 0, 0, 0},
                                      {~0u, ~0u, ~0u, ~0u, ~0u, ~0u},
                                      {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0}};
    static const uint32_t out[3][4] = {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
                                       {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
                                       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}};
    for (size_t i = 0; i < 3; i++) {
        uint32_t got[4];
        twin_philox(got, in[i], in[i] + 4);
        CHECK(memcmp(got, out[i], sizeof got) == 0);
    }
}

TEST(dropout_drops_what_the_twin_drops_and_backward_knows_it_again)
{
    enum { N = 4001 };
    cot_error err = COT_ERROR_INIT;
    const cot_dropout drop = {0x123456789abcdefu, 0x100000007u, 42, 0.3f}, none = {1, 1, 1, 0.0f};
    static float x[N], y[N], dx[N];
    size_t dropped = 0;
    ref_fill(x, N, 2);
    cot_buffer *bx = gradient_buffer(the_device(), x, N), *by = gradient_buffer(the_device(), x, N);
    CHECK_OK(cot_dropout_forward(by, bx, N, &drop, &err));
    CHECK_OK(cot_buffer_read(by, 0, y, N, &err));
    for (size_t i = 0; i < N; i++) {
        const double f = twin_dropout(&drop, i);
        CHECK_NEAR(y[i], (double)x[i] * f, 1e-6);
        dropped += f == 0.0;
    }
    CHECK(dropped > N * 27 / 100 && dropped < N * 33 / 100);
    CHECK_OK(cot_buffer_write(by, 0, x, N, &err));
    CHECK_OK(cot_dropout_backward(by, bx, N, &drop, &err)); /* added to x */
    CHECK_OK(cot_buffer_read(by, 0, dx, N, &err));
    for (size_t i = 0; i < N; i++) CHECK_NEAR(dx[i], (double)x[i] * (1 + twin_dropout(&drop, i)), 1e-6);
    CHECK_OK(cot_dropout_forward(by, bx, N, &none, &err));
    CHECK_OK(cot_buffer_read(by, 0, y, N, &err));
    CHECK(memcmp(y, x, sizeof x) == 0);
    cot_buffer_destroy(bx), cot_buffer_destroy(by);
}

/* ---- graph attention with dropout on alpha: of the twin, by factors of its own ---- */
static const cot_dropout alpha_drop = {77, 3, 5, 0.25f};
static void dropped_attention(twin_pass *p)
{
    const size_t items = p->size[0], nodes = p->size[1], heads = p->size[2], out = p->size[3], row = heads * out;
    const double *z = p->in[0], *bias = p->in[3];
    for (size_t i = 0; i < items * nodes * row; i++) {
        const size_t item = i / row / nodes, node = i / row % nodes, head = i % row / out;
        double alpha[16], all = 0, top = -INFINITY;
        for (size_t j = 0; j < nodes; j++) {
            double e = 0;
            for (size_t c = 0; c < out; c++)
                e += p->in[1][head * out + c] * z[(item * nodes + node) * row + head * out + c] +
                     p->in[2][head * out + c] * z[(item * nodes + j) * row + head * out + c];
            alpha[j] = e > 0 ? e : 0.2 * e;
            top = fmax(top, alpha[j]);
        }
        for (size_t j = 0; j < nodes; j++) all += alpha[j] = exp(alpha[j] - top);
        p->y[i] = bias[i % row];
        for (size_t j = 0; j < nodes; j++)
            p->y[i] += alpha[j] / all * twin_dropout(&alpha_drop, ((item * heads + head) * nodes + node) * nodes + j) *
                       z[(item * nodes + j) * row + i % row];
    }
}

/* Gradients by central differences of the twin: the closed form is the device's. */
static void dropped_attention_backward(twin_pass *p)
{
    const size_t row = p->size[2] * p->size[3], n[4] = {p->size[0] * p->size[1] * row, row, row, row};
    for (size_t k = 0; k < 4; k++)
        for (size_t i = 0; i < n[k]; i++) {
            const double x = p->in[k][i], h = 1e-5;
            for (int side = 1; side >= -1; side -= 2) {
                p->in[k][i] = x + side * h;
                dropped_attention(p);
                for (size_t o = 0; o < n[0]; o++) p->grad[k][i] += side * p->y[o] * p->dy[o] / (2 * h);
            }
            p->in[k][i] = x;
        }
}

DEVICE(dropped_attention)
{
    return cot_graph_attention_training_backward(g[0], g[1], g[2], g[3], dy, in[0], in[1], in[2], p->size[0],
                                                 p->size[1], p->size[2], p->size[3], &alpha_drop, err);
}

TEST(graph_attention_with_dropout_has_the_gradients_of_finite_differences)
{
    enum { N = 2 * 4 * 3 * 5 };
    cot_error err = COT_ERROR_INIT;
    twin_pass p = {.size = {2, 4, 3, 5}};
    const layer l = {"graph attention with dropout",
                     dropped_attention,
                     dropped_attention_backward,
                     dropped_attention_device,
                     4,
                     {N, 15, 15, 15},
                     N,
                     1e-5,
                     false,
                     false};
    check_layer(&l, &p, false);
    float in[N], y[N];
    double din[4][N], want[N];
    cot_buffer *b[5];
    for (size_t k = 0; k < 4; k++) {
        ref_fill(in, k ? 15 : N, (uint32_t)k + 1);
        b[k] = gradient_buffer(the_device(), in, k ? 15 : N);
        for (size_t i = 0; i < (k ? 15 : N); i++) din[k][i] = (double)in[i];
    }
    b[4] = gradient_buffer(the_device(), in, 15);
    cot_buffer_destroy(b[4]);
    REQUIRE_OK(cot_buffer_create(&b[4], the_device(), N, &err));
    twin_pass q = {.size = {2, 4, 3, 5}, .in = {din[0], din[1], din[2], din[3]}, .y = want};
    dropped_attention(&q);
    CHECK_OK(cot_graph_attention_training_forward(b[4], b[0], b[1], b[2], b[3], NULL, 2, 4, 3, 5, &alpha_drop, &err));
    CHECK_OK(cot_buffer_read(b[4], 0, y, N, &err));
    CHECK_FLOATS(y, want, N, 1e-5);
    for (size_t k = 0; k < 5; k++) cot_buffer_destroy(b[k]);
}

/* ---- optimiser ---- */
TEST(adamw_makes_torchs_steps_and_clips_by_the_norm)
{
    enum { N = 3001, FROM = 7, STEPS_MADE = 4 };
    cot_error err = COT_ERROR_INIT;
    static float value[N], g[N], zero[N], got[N];
    static double want[N], m[N], v[N], dg[N];
    cot_buffer *b[4], *norm = NULL;
    float read[2];
    ref_fill(value, N, 1);
    for (size_t k = 0; k < 4; k++) b[k] = gradient_buffer(the_device(), k ? zero : value, N);
    REQUIRE_OK(cot_buffer_create(&norm, the_device(), 2, &err));
    for (size_t i = 0; i < N; i++) want[i] = (double)value[i];
    for (uint64_t step = 1; step <= STEPS_MADE; step++) {
        const cot_adamw_options o = {0.01f, 0.9f, 0.999f, 1e-8f, 0.1f, step, step == 2};
        double squares = 0;
        ref_fill(g, N, (uint32_t)step + 5);
        for (size_t i = 0; i < N; i++) g[i] *= step == 3 ? 1e-4f : 1.0f, dg[i] = (double)g[i], squares += dg[i] * dg[i];
        CHECK_OK(cot_buffer_write(b[1], 0, g, N, &err));
        CHECK_OK(cot_gradient_norm(norm, b[1], N, 1.0f, &err));
        CHECK_OK(cot_adamw(b[0], b[1], b[2], b[3], FROM, N - FROM - 3, norm, &o, &err));
        CHECK_OK(cot_buffer_read(norm, 0, read, 2, &err));
        CHECK_NEAR((double)read[0] / sqrt(squares), 1, 1e-6);
        CHECK((step == 3) == (read[1] == 1.0f)); /* short gradients stay as they are */
        twin_adamw(want + FROM, m + FROM, v + FROM, dg + FROM, N - FROM - 3, (double)read[1], &o);
        CHECK_OK(cot_buffer_read(b[0], 0, got, N, &err));
        CHECK_FLOATS(got, want, N, 2e-6);
        CHECK_OK(cot_buffer_read(b[1], 0, got, N, &err));
        CHECK(got[FROM + 5] == (step == 2 ? 0.0f : g[FROM + 5]) && got[FROM - 1] == g[FROM - 1]);
    }
    CHECK_FAILS(cot_adamw(b[0], b[1], b[2], b[3], FROM, N, norm, &(cot_adamw_options){.step = 1}, &err), COT_E_BUG,
                "AdamW");
    for (size_t k = 0; k < 4; k++) cot_buffer_destroy(b[k]);
    cot_buffer_destroy(norm);
}

/* ---- weights that change ---- */
TEST(packed_weights_follow_the_plain_ones)
{
    enum { OUT = 70, IN = 33, R = 11 };
    cot_error err = COT_ERROR_INIT;
    static float w[OUT * IN], x[R * IN], bias[OUT], plain[R * OUT], packed[R * OUT];
    cot_weights *p = NULL;
    cot_buffer *y = NULL, *bw, *bx, *bb;
    ref_fill(x, R * IN, 1), ref_fill(bias, OUT, 2), ref_fill(w, OUT * IN, 3);
    bw = gradient_buffer(the_device(), w, OUT * IN), bx = gradient_buffer(the_device(), x, R * IN);
    bb = gradient_buffer(the_device(), bias, OUT);
    REQUIRE_OK(cot_buffer_create(&y, the_device(), R * OUT, &err));
    for (uint32_t again = 0; again < 2; again++) {
        ref_fill(w, OUT * IN, 3 + again);
        CHECK_OK(cot_buffer_write(bw, 0, w, OUT * IN, &err));
        CHECK_OK(cot_linear_pack(&p, bw, bb, OUT, IN, &err));
        CHECK_OK(cot_linear_forward(y, bx, p, R, NULL, COT_ACT_NONE, &err));
        CHECK_OK(cot_buffer_read(y, 0, packed, R * OUT, &err));
        CHECK_OK(cot_linear_plain_forward(y, bx, bw, bb, R, OUT, IN, &err));
        CHECK_OK(cot_buffer_read(y, 0, plain, R * OUT, &err));
        for (size_t i = 0; i < R * OUT; i++) CHECK_NEAR(packed[i], (double)plain[i], 1e-5);
    }
    CHECK_FAILS(cot_linear_pack(&p, bw, bb, OUT - 1, IN, &err), COT_E_BUG, "pack");
    cot_weights_destroy(p);
    cot_buffer_destroy(y), cot_buffer_destroy(bw), cot_buffer_destroy(bx), cot_buffer_destroy(bb);
}

TEST(the_devices_close)
{
    gradient_devices_close();
}

CHECK_MAIN
