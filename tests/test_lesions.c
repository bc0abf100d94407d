/* links: engine opencl config */
/* Places of lesions: boxes through augmentations into cells; loss and gradients against a twin in doubles and its finite
 * differences; an encoder stage that learns them, and one without that is not touched by them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/encoder_stage.h"
#include "engine/lesion_train.h"
#include "tests/check.h"
#include "tests/reference.h"

static const cot_augmentation as_it_is = COT_AUGMENTATION_INIT;

/* ---- boxes into cells ---- */
static bool targets_are(const lesion_picture *p, const cot_augmentation *a, size_t size, const char *want)
{
    float labels[16];
    char got[17] = "";
    lesion_targets(labels, p, a, size, 4);
    for (size_t i = 0; i < 16; i++) got[i] = labels[i] < 0 ? '?' : (char)('0' + (int)labels[i]);
    if (strcmp(got, want) != 0) printf("    got %s, want %s\n", got, want);
    return !strcmp(got, want);
}

TEST(a_box_marks_the_cells_that_it_covers_by_half)
{
    const lesion_box quarter = {2, 0.0f, 0.5f, 0.5f, 1.0f}, wide = {1, 0.25f, 0.0f, 0.5f, 0.40f};
    const lesion_picture known = {&quarter, 1, true}, unknown = {&quarter, 1, false}, partly = {&wide, 1, true};
    CHECK(targets_are(&known, &as_it_is, 64, "0022002200000000"));
    CHECK(targets_are(&unknown, &as_it_is, 64, "??22??22????????"));
    CHECK(
        targets_are(&partly, &as_it_is, 64, "0000110000000000")); /* 0.25..0.40 is more than half of the second cell */
}

TEST(a_small_box_marks_the_cell_it_lies_in_and_leaves_what_it_touches_unknown)
{
    const lesion_box nodule = {3, 0.55f, 0.55f, 0.65f, 0.65f}, corner = {3, 0.45f, 0.45f, 0.60f, 0.60f};
    const lesion_picture one = {&nodule, 1, true}, four = {&corner, 1, true}, none = {NULL, 0, true},
                         silent = {NULL, 0, false};
    CHECK(targets_are(&one, &as_it_is, 64, "0000000000300000"));
    CHECK(targets_are(&four, &as_it_is, 64, "00000??00?300000"));
    CHECK(targets_are(&none, &as_it_is, 64, "0000000000000000"));
    CHECK(targets_are(&silent, &as_it_is, 64, "????????????????"));
}

TEST(of_two_boxes_the_one_that_covers_more_names_the_cell)
{
    const lesion_box two[2] = {{1, 0.0f, 0.0f, 0.5f, 0.5f}, {2, 0.0f, 0.0f, 0.25f, 0.15f}};
    const lesion_picture p = {two, 2, true};
    CHECK(targets_are(&p, &as_it_is, 64, "1100110000000000"));
}

TEST(boxes_go_where_the_augmentation_puts_their_pixels)
{
    /* the kernel reads result pixel (row, column) at down·, across·: here columns are mirrored, then a quarter turn, a
     * shift by a cell, and half the size */
    const lesion_box box = {1, 0.0f, 0.75f, 0.25f, 1.0f};
    const lesion_picture p = {&box, 1, true};
    const cot_augmentation mirrored = {{1, 0, 0}, {0, -1, 0}, 1, 0}, turned = {{0, 1, 0}, {-1, 0, 0}, 1, 0},
                           shifted = {{1, 0, -16}, {0, 1, 16}, 1, 0}, half = {{2, 0, 0}, {0, 2, 0}, 1, 0};
    CHECK(targets_are(&p, &as_it_is, 64, "0001000000000000"));
    CHECK(targets_are(&p, &mirrored, 64, "1000000000000000"));
    CHECK(targets_are(&p, &turned, 64, "1000000000000000"));
    CHECK(targets_are(&p, &shifted, 64, "0000001000000000"));
    CHECK(targets_are(&p, &half, 64, "0000001000000000")); /* a quarter of its cell, the one it lies in */
}

/* The picture itself, through the kernel, lies where the targets say: a bright box on black. */
TEST(the_kernel_moves_a_bright_box_to_the_cells_that_are_marked)
{
    enum { SIZE = 64, SIDE = 8, CELL = SIZE / SIDE };
    cot_error err = COT_ERROR_INIT;
    cot_device *device = NULL;
    cot_buffer *y = NULL, *x = NULL, *drawn = NULL;
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    static float picture[SIZE * SIZE], got[SIZE * SIZE];
    float labels[SIDE * SIDE];
    const lesion_box box = {1, 8.0f / SIZE, 40.0f / SIZE, 32.0f / SIZE, 56.0f / SIZE};
    const lesion_picture p = {&box, 1, true};
    CHECK_OK(cot_device_open(&device, &options, &err));
    for (int r = 8; r < 32; r++)
        for (int c = 40; c < 56; c++) picture[r * SIZE + c] = 1.0f;
    CHECK_OK(cot_buffer_create(&y, device, SIZE * SIZE, &err));
    CHECK_OK(cot_buffer_create(&x, device, SIZE * SIZE, &err));
    CHECK_OK(cot_buffer_create(&drawn, device, 8, &err));
    REQUIRE(y && x && drawn);
    CHECK_OK(cot_buffer_write(x, 0, picture, SIZE * SIZE, &err));
    for (uint64_t image = 0; image < 20; image++) {
        const augment_options strong = {30.0f, 0.3f, 0.1f, 0.0f, 0.0f, image % 2 == 1};
        const cot_augmentation a = augment_draw(&strong, SIZE, 1, 0, image);
        int wrong = 0, marked = 0;
        CHECK_OK(cot_buffer_write(drawn, 0, (const float *)&a, 8, &err));
        CHECK_OK(cot_augment(y, x, drawn, 1, SIZE, 0.0f, 1.0f, &err));
        CHECK_OK(cot_buffer_read(y, 0, got, SIZE * SIZE, &err));
        lesion_targets(labels, &p, &a, SIZE, SIDE);
        for (int i = 0; i < SIDE * SIDE; i++) {
            float sum = 0;
            for (int k = 0; k < CELL * CELL; k++)
                sum += got[(i / SIDE * CELL + k / CELL) * SIZE + i % SIDE * CELL + k % CELL];
            sum /= CELL * CELL;
            /* the grid of samples and the kernel's soft edges leave a margin */
            wrong += (sum > 0.65f && labels[i] != 1.0f) || (sum < 0.25f && labels[i] == 1.0f) ||
                     (sum > 0.12f && labels[i] == 0.0f) || (sum <= 0.0f && labels[i] != 0.0f);
            marked += labels[i] == 1.0f;
        }
        CHECK(wrong == 0);
        CHECK(marked >= 2);
    }
    cot_buffer_destroy(y);
    cot_buffer_destroy(x);
    cot_buffer_destroy(drawn);
    cot_device_close(device);
}

/* ---- loss and gradients ---- */
enum { N = 3, SIDE = 4, CHANNELS = 7, FINDINGS = 2, CLASSES = FINDINGS + 1, CELLS = SIDE * SIDE, ROWS = N * CELLS };
static const double share = 0.7, weight = 3.0;

/* lambda * sum of w_y * -log p_y over known cells, over the sum of their w. */
static double twin_loss(const double *a, const double *w, const double *b, const float *labels)
{
    double sum = 0, all = 0;
    for (int r = 0; r < ROWS; r++) {
        double logit[CLASSES], z = 0;
        const int y = (int)labels[r];
        if (y < 0) continue;
        for (int c = 0; c < CLASSES; c++) {
            logit[c] = b[c];
            for (int k = 0; k < CHANNELS; k++) logit[c] += w[c * CHANNELS + k] * a[r * CHANNELS + k];
            z += exp(logit[c]);
        }
        sum += (y ? weight : 1) * (log(z) - logit[y]);
        all += y ? weight : 1;
    }
    return share * sum / all;
}

static void check_gradient(double *x, size_t n, const float *got, const double *a, const double *w, const double *b,
                           const float *labels)
{
    double worst = 0, scale = 0;
    for (size_t i = 0; i < n; i++) {
        const double was = x[i];
        x[i] = was + 1e-5;
        const double up = twin_loss(a, w, b, labels);
        x[i] = was - 1e-5;
        const double down = twin_loss(a, w, b, labels);
        x[i] = was;
        worst = fmax(worst, fabs((up - down) / 2e-5 - (double)got[i]));
        scale = fmax(scale, fabs((up - down) / 2e-5));
    }
    CHECK(scale > 1e-4);
    CHECK(worst <= 1e-4 * scale);
}

TEST(loss_and_gradients_are_the_twins)
{
    cot_error err = COT_ERROR_INIT;
    cot_device *device = NULL;
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    parameters *table = NULL;
    cot_arena *arena = NULL;
    cot_buffer *activation = NULL, *gradient = NULL;
    lesion_train m;
    float a[ROWS * CHANNELS], w[CLASSES * CHANNELS], b[CLASSES], labels[ROWS], got[ROWS * CHANNELS];
    double da[ROWS * CHANNELS], dw[CLASSES * CHANNELS], db[CLASSES], loss = 0;
    const lesion_box box[2] = {{1, 0.1f, 0.1f, 0.6f, 0.6f}, {2, 0.5f, 0.4f, 0.9f, 0.8f}};
    const lesion_picture pictures[N] = {{box, 1, true}, {box + 1, 1, false}, {NULL, 0, true}};
    const cot_augmentation drawn[N] = {as_it_is, as_it_is, as_it_is};
    CHECK_OK(cot_device_open(&device, &options, &err));
    CHECK_OK(parameters_create(&table, device, &err));
    CHECK_OK(lesion_train_init(&m, table, FINDINGS, CHANNELS, SIDE, (float)share, (float)weight, &err));
    CHECK_OK(parameters_commit(table, &err));
    CHECK_OK(parameters_init(table, "", 5, &err));
    CHECK_OK(cot_arena_create(&arena, device, &err));
    CHECK_OK(lesion_train_plan(&m, arena, N, &err));
    CHECK_OK(cot_arena_reserve(arena, &activation, ROWS * CHANNELS, &err));
    CHECK_OK(cot_arena_reserve(arena, &gradient, ROWS * CHANNELS, &err));
    CHECK_OK(cot_arena_commit(arena, &err));
    ref_fill(a, ROWS * CHANNELS, 3);
    CHECK_OK(cot_buffer_write(activation, 0, a, ROWS * CHANNELS, &err));
    CHECK_OK(cot_buffer_zero(gradient, &err));
    CHECK_OK(lesion_train_step(gradient, &m, activation, pictures, drawn, 64, N, &err));
    CHECK_OK(lesion_train_loss(&loss, &m, N, &err));
    CHECK_OK(parameter_read(m.place.weight, w, &err));
    CHECK_OK(parameter_read(m.place.bias, b, &err));
    for (size_t i = 0; i < N; i++) lesion_targets(labels + i * CELLS, &pictures[i], &drawn[i], 64, SIDE);
    for (size_t i = 0; i < ROWS * CHANNELS; i++) da[i] = (double)a[i];
    for (size_t i = 0; i < CLASSES * CHANNELS; i++) dw[i] = (double)w[i];
    for (size_t i = 0; i < CLASSES; i++) db[i] = (double)b[i];
    const double want = twin_loss(da, dw, db, labels);
    CHECK(want > 0 && fabs(loss - want) <= 1e-5 * want);
    CHECK_OK(cot_buffer_read(gradient, 0, got, ROWS * CHANNELS, &err));
    check_gradient(da, ROWS * CHANNELS, got, da, dw, db, labels);
    CHECK_OK(cot_buffer_read(m.place.weight->grad, 0, got, CLASSES * CHANNELS, &err));
    check_gradient(dw, CLASSES * CHANNELS, got, da, dw, db, labels);
    CHECK_OK(cot_buffer_read(m.place.bias->grad, 0, got, CLASSES, &err));
    check_gradient(db, CLASSES, got, da, dw, db, labels);
    CHECK_FAILS(lesion_train_step(gradient, &m, activation, pictures, drawn, 64, N + 1, &err), COT_E_BUG,
                "planned for 3");
    lesion_train_fini(&m);
    cot_arena_destroy(arena);
    parameters_destroy(table);
    cot_device_close(device);
}

/* ---- a stage that learns places ---- */
static encoder_stage *stage_open(cot_device *device, size_t findings)
{
    static const size_t classes[1] = {2};
    cot_error err = COT_ERROR_INIT;
    encoder_stage *stage = NULL;
    const encoder_stage_options options = {.size = 64,
                                           .width = 8,
                                           .dim = 16,
                                           .n_steps = 1,
                                           .classes = classes,
                                           .max_batch = 4,
                                           .mean = 0.5f,
                                           .std = 0.25f,
                                           .seed = 3,
                                           .findings = findings,
                                           .place_share = 1.0f,
                                           .place_weight = 2.0f};
    CHECK_OK(encoder_stage_create(&stage, device, &options, &err));
    if (stage) CHECK_OK(parameters_init(encoder_stage_parameters(stage), "", 3, &err));
    return stage;
}

/* A disc in one quarter of each picture, boxed; no label at all: only the boxes can teach. */
TEST(boxes_alone_teach_the_convolutions_where_a_disc_is)
{
    cot_error err = COT_ERROR_INIT;
    cot_device *device = NULL;
    cot_device_options open = COT_DEVICE_OPTIONS_INIT;
    static float pictures[4 * 64 * 64];
    const int labels[4] = {-1, -1, -1, -1};
    const uint64_t image[4] = {0, 1, 2, 3};
    lesion_box box[4];
    lesion_picture lesions[4];
    double losses[2] = {0, 0}, first = 0;
    for (int i = 0; i < 4; i++) {
        const float top = i / 2 ? 0.5f : 0.0f, left = i % 2 ? 0.5f : 0.0f;
        box[i] = (lesion_box){1, top, left, top + 0.5f, left + 0.5f};
        lesions[i] = (lesion_picture){&box[i], 1, true};
        for (int r = 0; r < 32; r++)
            for (int c = 0; c < 32; c++)
                pictures[(i * 64 + r + (i / 2) * 32) * 64 + c + (i % 2) * 32] =
                    (r - 16) * (r - 16) + (c - 16) * (c - 16) < 100 ? 1.0f : 0.3f;
    }
    CHECK_OK(cot_device_open(&device, &open, &err));
    encoder_stage *stage = stage_open(device, 1);
    REQUIRE(stage);
    const parameter *conv = parameters_find(encoder_stage_parameters(stage), "cnn.layer1.0.conv1.weight");
    float *before = malloc(conv->count * sizeof *before), *after = malloc(conv->count * sizeof *after);
    CHECK_OK(parameter_read(conv, before, &err));
    encoder_batch batch = {4, pictures, labels, image, 0, lesions};
    const optimiser_options adamw = {3e-3f, 0.9f, 0.999f, 1e-8f, 0.0f, 1.0f};
    for (int i = 0; i < 30; i++) {
        CHECK_OK(encoder_stage_step(losses, stage, &batch, &adamw, &err));
        CHECK(losses[0] == 0.0);
        if (i == 0) first = losses[1];
    }
    CHECK(first > 0.3 && losses[1] < 0.5 * first);
    CHECK_OK(parameter_read(conv, after, &err));
    CHECK(memcmp(before, after, conv->count * sizeof *before) != 0);
    batch.lesions = NULL;
    CHECK_FAILS(encoder_stage_step(losses, stage, &batch, &adamw, &err), COT_E_BUG, "places of lesions");
    free(before);
    free(after);
    encoder_stage_destroy(stage);
    cot_device_close(device);
}
CHECK_MAIN
