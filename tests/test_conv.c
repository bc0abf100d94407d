/* links: opencl config
 * Convolutions against their twin: every shape of ResNet-18 at widths 32 and 64, odd shapes,
 * both implementations, epilogues, batches.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/check.h"
#include "tests/reference.h"

static cot_device *open_with(cot_gemm_choice choice)
{
    cot_error err = COT_ERROR_INIT;
    cot_device *device = NULL;
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    options.gemm = choice;
    CHECK_OK(cot_device_open(&device, &options, &err));
    return device;
}

typedef struct conv_run {
    cot_conv_shape shape;
    size_t n, nx, nw, ny;
    float *x, *w, *scale, *shift, *residual, *y;
} conv_run;

static void conv_run_init(conv_run *r, const cot_conv_shape *s, size_t n)
{
    r->shape = *s;
    r->n = n;
    r->nx = n * s->in_h * s->in_w * s->in_c;
    r->nw = s->out_c * s->in_c * s->kernel * s->kernel;
    r->ny = n * cot_conv_out(s->in_h, s->kernel, s->stride, s->pad) *
            cot_conv_out(s->in_w, s->kernel, s->stride, s->pad) * s->out_c;
    r->x = malloc(r->nx * sizeof(float));
    r->w = malloc(r->nw * sizeof(float));
    r->scale = malloc(s->out_c * sizeof(float));
    r->shift = malloc(s->out_c * sizeof(float));
    r->residual = malloc(r->ny * sizeof(float));
    r->y = malloc(r->ny * sizeof(float));
    ref_fill(r->x, r->nx, 11);
    ref_fill(r->w, r->nw, 12);
    ref_fill(r->scale, s->out_c, 13);
    ref_fill(r->shift, s->out_c, 14);
    ref_fill(r->residual, r->ny, 15);
}

static void conv_run_fini(conv_run *r)
{
    free(r->x), free(r->w), free(r->scale), free(r->shift), free(r->residual), free(r->y);
}

static void conv_on_device(cot_device *device, conv_run *r, bool norm, bool residual, cot_activation act)
{
    cot_error err = COT_ERROR_INIT;
    cot_weights *weights = NULL;
    cot_buffer *x = NULL, *y = NULL, *more = NULL, *scratch = NULL;
    CHECK_OK(cot_conv_prepare(&weights, device, r->w, norm ? r->scale : NULL, norm ? r->shift : NULL, &r->shape, &err));
    REQUIRE(weights);
    const size_t need = cot_conv_scratch(weights, r->n);
    CHECK_OK(cot_buffer_create(&x, device, r->nx, &err));
    CHECK_OK(cot_buffer_create(&y, device, r->ny, &err));
    CHECK_OK(cot_buffer_create(&more, device, r->ny, &err));
    if (need) CHECK_OK(cot_buffer_create(&scratch, device, need, &err));
    CHECK_OK(cot_buffer_write(x, 0, r->x, r->nx, &err));
    CHECK_OK(cot_buffer_write(more, 0, r->residual, r->ny, &err));
    CHECK_OK(cot_conv_forward(y, x, weights, r->n, residual ? more : NULL, act, scratch, &err));
    CHECK_OK(cot_buffer_read(y, 0, r->y, r->ny, &err));
    cot_buffer_destroy(x);
    cot_buffer_destroy(y);
    cot_buffer_destroy(more);
    cot_buffer_destroy(scratch);
    cot_weights_destroy(weights);
}

/* Every float of the result; rounding grows with the number of products summed. */
static void conv_compare(const conv_run *r, bool norm, bool residual, cot_activation act)
{
    const double bound = 1e-6 * (double)(r->nw / r->shape.out_c) + 1e-5;
    float *want = malloc(r->ny * sizeof *want);
    ref_conv_forward(want, r->x, r->w, norm ? r->scale : NULL, norm ? r->shift : NULL, &r->shape, r->n,
                     residual ? r->residual : NULL, act);
    CHECK_FLOATS(r->y, want, r->ny, bound);
    free(want);
}

static void check_conv(cot_device *device, const cot_conv_shape *shape, size_t n, bool norm, bool residual,
                       cot_activation act)
{
    conv_run run;
    conv_run_init(&run, shape, n);
    const int before = check_failures;
    conv_on_device(device, &run, norm, residual, act);
    conv_compare(&run, norm, residual, act);
    if (check_failures != before)
        fprintf(stderr, "  in %zux%zu stride %zu pad %zu, %zu -> %zu channels on %zux%zux%zu\n", shape->kernel,
                shape->kernel, shape->stride, shape->pad, shape->in_c, shape->out_c, n, shape->in_h, shape->in_w);
    conv_run_fini(&run);
}

static void check_odd(cot_gemm_choice choice)
{
    static const cot_conv_shape shapes[] = {
        /* in_c, out_c, kernel, stride, pad, in_h, in_w */
        {1, 1, 1, 1, 0, 1, 1},   {1, 32, 7, 2, 3, 30, 23}, {1, 5, 3, 1, 1, 3, 4},   {3, 33, 3, 2, 1, 9, 11},
        {7, 31, 5, 1, 2, 6, 13}, {8, 32, 3, 1, 1, 7, 7},   {16, 48, 3, 2, 1, 8, 5}, {32, 32, 1, 1, 0, 5, 3},
        {9, 40, 1, 2, 0, 7, 9},  {4, 64, 3, 1, 0, 5, 6},   {13, 17, 3, 3, 4, 6, 2}, {64, 34, 2, 2, 1, 3, 3},
        {2, 64, 3, 1, 1, 1, 1},  {40, 96, 3, 1, 1, 2, 31},
    };
    cot_device *device = open_with(choice);
    REQUIRE(device);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        check_conv(device, &shapes[i], 1, false, false, COT_ACT_NONE);
        check_conv(device, &shapes[i], 3, true, i % 2, COT_ACT_RELU);
        check_conv(device, &shapes[i], 2, i % 2, true, COT_ACT_TANH + (cot_activation)(i % 5));
    }
    cot_device_close(device);
}

/* Into channels of wider rows: those beside them must stay as they were. */
static void check_into(cot_device *device, const cot_conv_shape *s, size_t n, cot_slice to, cot_activation act)
{
    cot_error err = COT_ERROR_INIT;
    conv_run r;
    cot_weights *weights = NULL;
    cot_buffer *x = NULL, *y = NULL, *scratch = NULL, *room = NULL;
    conv_run_init(&r, s, n);
    const size_t pixels = r.ny / s->out_c, floats = pixels * to.apart;
    float *want = malloc(floats * sizeof *want), *got = malloc(floats * sizeof *got);
    ref_fill(want, floats, 16);
    CHECK_OK(cot_conv_prepare(&weights, device, r.w, r.scale, r.shift, s, &err));
    REQUIRE(weights && want && got);
    CHECK_OK(cot_buffer_create(&x, device, r.nx, &err));
    CHECK_OK(cot_buffer_create(&y, device, floats, &err));
    if (cot_conv_scratch(weights, n)) CHECK_OK(cot_buffer_create(&scratch, device, cot_conv_scratch(weights, n), &err));
    if (cot_conv_room(weights, n)) CHECK_OK(cot_buffer_create(&room, device, cot_conv_room(weights, n), &err));
    CHECK_OK(cot_buffer_write(x, 0, r.x, r.nx, &err));
    CHECK_OK(cot_buffer_write(y, 0, want, floats, &err));
    CHECK_OK(cot_conv_forward_into(y, to, x, weights, n, act, scratch, room, &err));
    CHECK_OK(cot_buffer_read(y, 0, got, floats, &err));
    ref_conv_forward(r.y, r.x, r.w, r.scale, r.shift, s, n, NULL, act);
    for (size_t p = 0; p < pixels; p++)
        memcpy(want + p * to.apart + to.at, r.y + p * s->out_c, s->out_c * sizeof *want);
    CHECK_FLOATS(got, want, floats, 1e-6 * (double)(r.nw / s->out_c) + 1e-5);
    const cot_slice beside = {to.apart, to.apart - s->out_c + 1};
    CHECK_FAILS(cot_conv_forward_into(y, beside, x, weights, n, act, scratch, room, &err), COT_E_BUG, "of rows of");
    cot_buffer_destroy(x);
    cot_buffer_destroy(y);
    cot_buffer_destroy(scratch);
    cot_buffer_destroy(room);
    cot_weights_destroy(weights);
    conv_run_fini(&r);
    free(want), free(got);
}

TEST(convolutions_into_channels_of_wider_rows_equal_their_twin)
{
    static const cot_conv_shape shapes[] = {
        {128, 32, 3, 1, 1, 7, 7}, {8, 5, 3, 1, 1, 9, 4}, {1, 33, 7, 2, 3, 20, 23}, {40, 64, 1, 1, 0, 5, 5}};
    for (int choice = COT_GEMM_TILE; choice <= COT_GEMM_CLBLAST; choice++) {
        cot_device *device = open_with((cot_gemm_choice)choice);
        REQUIRE(device);
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            const size_t c = shapes[i].out_c;
            check_into(device, &shapes[i], 1, (cot_slice){c + 96, 64}, COT_ACT_NONE);
            check_into(device, &shapes[i], 3, (cot_slice){c + 11, 3}, COT_ACT_RELU);
            check_into(device, &shapes[i], 2, (cot_slice){c, 0}, COT_ACT_QUICK_GELU);
        }
        cot_device_close(device);
    }
}

TEST(odd_convolutions_equal_their_twin_with_the_tile_kernel)
{
    check_odd(COT_GEMM_TILE);
}
TEST(odd_convolutions_equal_their_twin_with_clblast)
{
    check_odd(COT_GEMM_CLBLAST);
}

/* The distinct convolutions of ResNet-18 on one grey channel; mostly with images of 56 pixels instead of 224, so that the
 * twin's time stays bearable. */
static void check_resnet(cot_gemm_choice choice, size_t width, size_t image, size_t n)
{
    cot_device *device = open_with(choice);
    REQUIRE(device);
    const cot_conv_shape stem = {1, width, 7, 2, 3, image, image};
    check_conv(device, &stem, n, true, false, COT_ACT_RELU);
    size_t size = image / 4, c = width;
    for (int stage = 0; stage < 4; stage++) {
        if (stage > 0) {
            const cot_conv_shape down = {c, c * 2, 3, 2, 1, size, size}, across = {c, c * 2, 1, 2, 0, size, size};
            check_conv(device, &down, n, true, false, COT_ACT_RELU);
            check_conv(device, &across, n, true, false, COT_ACT_NONE);
            size = cot_conv_out(size, 3, 2, 1);
            c *= 2;
        }
        const cot_conv_shape same = {c, c, 3, 1, 1, size, size};
        check_conv(device, &same, n, true, true, COT_ACT_RELU);
    }
    cot_device_close(device);
}

TEST(resnet18_of_width_32_equals_its_twin_at_full_size)
{
    check_resnet(COT_GEMM_TILE, 32, 224, 1);
}
TEST(resnet18_of_width_32_equals_its_twin_in_a_batch)
{
    check_resnet(COT_GEMM_TILE, 32, 56, 8);
}
TEST(resnet18_of_width_64_equals_its_twin)
{
    check_resnet(COT_GEMM_TILE, 64, 56, 3);
}
TEST(resnet18_of_width_32_equals_its_twin_with_clblast)
{
    check_resnet(COT_GEMM_CLBLAST, 32, 56, 2);
}
TEST(resnet18_of_width_64_equals_its_twin_with_clblast)
{
    check_resnet(COT_GEMM_CLBLAST, 64, 56, 1);
}

TEST(forward_passes_allocate_nothing_on_the_device_after_the_first)
{
    cot_error err = COT_ERROR_INIT;
    const cot_conv_shape shape = {3, 40, 3, 1, 1, 20, 20};
    for (int choice = COT_GEMM_TILE; choice <= COT_GEMM_CLBLAST; choice++) {
        cot_device *device = open_with((cot_gemm_choice)choice);
        REQUIRE(device);
        conv_run run;
        conv_run_init(&run, &shape, 2);
        cot_weights *weights = NULL;
        cot_buffer *x = NULL, *y = NULL, *scratch = NULL;
        CHECK_OK(cot_conv_prepare(&weights, device, run.w, NULL, NULL, &shape, &err));
        CHECK_OK(cot_buffer_create(&x, device, run.nx, &err));
        CHECK_OK(cot_buffer_create(&y, device, run.ny, &err));
        CHECK_OK(cot_buffer_create(&scratch, device, cot_conv_scratch(weights, 2), &err));
        CHECK_OK(cot_conv_forward(y, x, weights, 2, NULL, COT_ACT_RELU, scratch, &err));
        const cot_device_ledger first = cot_device_ledger_read(device);
        for (size_t n = 1; n <= 2; n++) CHECK_OK(cot_conv_forward(y, x, weights, n, NULL, COT_ACT_RELU, scratch, &err));
        const cot_device_ledger then = cot_device_ledger_read(device);
        CHECK_NUMBER(then.bytes, first.bytes);
        CHECK_NUMBER(then.buffers, first.buffers);
        CHECK(then.launches > first.launches);
        cot_buffer_destroy(x), cot_buffer_destroy(y), cot_buffer_destroy(scratch);
        cot_weights_destroy(weights);
        conv_run_fini(&run);
        cot_device_close(device);
    }
}

TEST(convolutions_that_cannot_be_are_refused)
{
    cot_error err = COT_ERROR_INIT;
    cot_device *device = open_with(COT_GEMM_TILE);
    REQUIRE(device);
    cot_weights *weights = NULL;
    const float w[9] = {0};
    const cot_conv_shape none = {0, 1, 3, 1, 1, 4, 4}, narrow = {1, 1, 3, 1, 0, 2, 4}, huge = {1, 1, 3, 1, 1, 40000, 4};
    CHECK_FAILS(cot_conv_prepare(&weights, device, w, NULL, NULL, &none, &err), COT_E_BUG, "zero");
    CHECK_FAILS(cot_conv_prepare(&weights, device, w, NULL, NULL, &narrow, &err), COT_E_BUG, "does not fit");
    CHECK_FAILS(cot_conv_prepare(&weights, device, w, NULL, NULL, &huge, &err), COT_E_LIMIT, "larger than");
    CHECK(weights == NULL);
    const cot_conv_shape stem = {1, 1, 3, 1, 1, 4, 4};
    cot_buffer *x = NULL;
    CHECK_OK(cot_conv_prepare(&weights, device, w, NULL, NULL, &stem, &err));
    CHECK_OK(cot_buffer_create(&x, device, 16, &err));
    CHECK(cot_conv_scratch(weights, 1) > 0);
    CHECK_FAILS(cot_conv_forward(x, x, weights, 1, NULL, COT_ACT_NONE, NULL, &err), COT_E_BUG, "scratch");
    cot_buffer_destroy(x);
    cot_weights_destroy(weights);
    CHECK_NUMBER(cot_device_ledger_read(device).bytes, 0);
    cot_device_close(device);
}
CHECK_MAIN
