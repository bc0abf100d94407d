/* links: engine opencl config */
/* Augmentation: what is drawn (ranges, by counter) and what the device makes of it, against a twin in double.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/augment.h"
#include "tests/check.h"
#include "tests/reference.h"

enum { N = 3, SIZE = 33, PIXELS = SIZE * SIZE };

static cot_device *device;
static cot_device *the_device(void)
{
    cot_error err = COT_ERROR_INIT;
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    options.gemm = COT_GEMM_TILE;
    if (!device) CHECK_OK(cot_device_open(&device, &options, &err));
    return device;
}

static double pixel(const float *x, int row, int column)
{
    return row >= 0 && row < SIZE && column >= 0 && column < SIZE ? (double)x[row * SIZE + column] : 0.0;
}

static void twin_augment(double *y, const float *x, const cot_augmentation *a, double mean, double std)
{
    const double centre = 0.5 * (SIZE - 1);
    for (int i = 0; i < PIXELS; i++) {
        const double row = i / SIZE - centre, column = i % SIZE - centre;
        const double r = (double)a->down[0] * row + (double)a->down[1] * column + (double)a->down[2] + centre;
        const double c = (double)a->across[0] * row + (double)a->across[1] * column + (double)a->across[2] + centre;
        double v = 0;
        if (r > -2 && r < SIZE + 1 && c > -2 && c < SIZE + 1) {
            const int top = (int)floor(r), left = (int)floor(c);
            for (int k = 0; k < 4; k++)
                v += pixel(x, top + k / 2, left + k % 2) * (k / 2 ? r - top : 1 - r + top) *
                     (k % 2 ? c - left : 1 - c + left);
        }
        y[i] = ((v - mean) * (double)a->gain + (double)a->offset) / std;
    }
}

static void run(float *y, const float *x, const cot_augmentation *drawn, float mean, float std)
{
    cot_error err = COT_ERROR_INIT;
    cot_buffer *bx = NULL, *by = NULL, *bd = NULL;
    float numbers[N * 8];
    memcpy(numbers, drawn, sizeof numbers);
    CHECK_OK(cot_buffer_create(&bx, the_device(), N * PIXELS, &err));
    CHECK_OK(cot_buffer_create(&by, the_device(), N * PIXELS, &err));
    CHECK_OK(cot_buffer_create(&bd, the_device(), N * 8, &err));
    CHECK_OK(cot_buffer_write(bx, 0, x, N * PIXELS, &err));
    CHECK_OK(cot_buffer_write(bd, 0, numbers, N * 8, &err));
    CHECK_OK(cot_augment(by, bx, bd, N, SIZE, mean, std, &err));
    CHECK_OK(cot_buffer_read(by, 0, y, N * PIXELS, &err));
    CHECK_FAILS(cot_augment(bx, bx, bd, N, SIZE, mean, std, &err), COT_E_BUG, "the result is the input");
    CHECK_FAILS(cot_augment(by, bx, bd, N + 1, SIZE, mean, std, &err), COT_E_BUG, "augmentation: result");
    CHECK_FAILS(cot_augment(by, bx, bd, N, SIZE, mean, 0.0f, &err), COT_E_BUG, "a deviation of 0");
    cot_buffer_destroy(bx), cot_buffer_destroy(by), cot_buffer_destroy(bd);
}

TEST(the_device_makes_of_what_was_drawn_what_the_twin_makes)
{
    static float x[N * PIXELS], y[N * PIXELS];
    static double want[N * PIXELS];
    augment_options options = {25.0f, 0.3f, 0.2f, 0.2f, 0.4f, true};
    ref_fill(x, N * PIXELS, 1);
    for (size_t i = 0; i < N * PIXELS; i++) x[i] = x[i] / 2 + 0.5f;
    for (uint64_t epoch = 0; epoch < 5; epoch++) {
        cot_augmentation drawn[N];
        for (uint64_t i = 0; i < N; i++) {
            drawn[i] = augment_draw(&options, SIZE, 3, epoch, i);
            twin_augment(want + i * PIXELS, x + i * PIXELS, &drawn[i], 0.5, 0.25);
        }
        run(y, x, drawn, 0.5f, 0.25f);
        CHECK_FLOATS(y, want, N * PIXELS, 1e-4 / 0.25);
    }
}

TEST(nothing_drawn_leaves_the_picture_as_it_is)
{
    static float x[N * PIXELS], y[N * PIXELS];
    const augment_options none = AUGMENT_OPTIONS_NONE;
    cot_augmentation drawn[N];
    ref_fill(x, N * PIXELS, 2);
    for (uint64_t i = 0; i < N; i++) drawn[i] = augment_draw(&none, SIZE, 1, 2, i);
    run(y, x, drawn, 0.0f, 1.0f);
    CHECK(memcmp(x, y, sizeof x) == 0);
}

/* A turn by 90 degrees and a mirror, whose results are pixels of the picture. */
TEST(turns_and_mirrors_go_the_way_they_are_said_to)
{
    static float x[N * PIXELS], y[N * PIXELS];
    const cot_augmentation drawn[N] = {
        {{0, 1, 0}, {-1, 0, 0}, 1, 0}, {{1, 0, 0}, {0, -1, 0}, 1, 0}, {{1, 0, 3}, {0, 1, -2}, 1, 0}};
    ref_fill(x, N * PIXELS, 3);
    run(y, x, drawn, 0.0f, 1.0f);
    for (int row = 0; row < SIZE; row++)
        for (int column = 0; column < SIZE; column++) {
            const int at = row * SIZE + column;
            CHECK(y[at] == x[column * SIZE + SIZE - 1 - row]);
            CHECK(y[PIXELS + at] == x[PIXELS + row * SIZE + SIZE - 1 - column]);
            CHECK((double)y[2 * PIXELS + at] == pixel(x + 2 * PIXELS, row + 3, column - 2));
        }
}

TEST(what_is_drawn_depends_on_seed_epoch_and_image_and_stays_in_range)
{
    const augment_options options = AUGMENT_OPTIONS_INIT;
    double most_angle = 0, most_zoom = 0, least_zoom = 9, most_shift = 0, most_gain = 0, most_offset = 0, turns = 0;
    int mirrored = 0;
    for (uint64_t i = 0; i < 4000; i++) {
        const cot_augmentation a = augment_draw(&options, 200, 1, i % 7, i),
                               again = augment_draw(&options, 200, 1, i % 7, i);
        CHECK(memcmp(&a, &again, sizeof a) == 0);
        const cot_augmentation others[3] = {augment_draw(&options, 200, 2, i % 7, i),
                                            augment_draw(&options, 200, 1, i % 7 + 1, i),
                                            augment_draw(&options, 200, 1, i % 7, i + 1)};
        for (int k = 0; k < 3; k++) CHECK(memcmp(&a, &others[k], sizeof a) != 0);
        const double zoom = 1 / hypot((double)a.down[0], (double)a.down[1]);
        const double angle = atan2((double)a.down[1], (double)a.down[0]) * 180 / 3.14159265358979;
        turns += angle / 4000;
        most_angle = fmax(most_angle, fabs(angle)), most_zoom = fmax(most_zoom, zoom);
        least_zoom = fmin(least_zoom, zoom);
        most_shift = fmax(most_shift, fmax(fabs((double)a.down[2]), fabs((double)a.across[2])));
        most_gain = fmax(most_gain, fabs((double)a.gain - 1)), most_offset = fmax(most_offset, fabs((double)a.offset));
        mirrored += a.across[1] < 0;
    }
    CHECK(most_angle > 9.9 && most_angle <= 10.0001 && fabs(turns) < 0.5);
    CHECK(most_zoom > 1.099 && most_zoom <= 1.10001 && least_zoom < 0.911 && least_zoom >= 1 / 1.10001);
    CHECK(most_shift > 9.9 && most_shift <= 10.0001);
    CHECK(most_gain > 0.198 && most_gain <= 0.20001 && most_offset > 0.099 && most_offset <= 0.10001);
    CHECK_NUMBER(mirrored, 0);
}

TEST(pictures_are_mirrored_only_where_that_is_asked_for)
{
    augment_options options = AUGMENT_OPTIONS_INIT;
    options.mirror = true;
    int mirrored = 0;
    for (uint64_t i = 0; i < 1000; i++) mirrored += augment_draw(&options, 200, 1, 1, i).across[1] < 0;
    CHECK(mirrored > 400 && mirrored < 600);
}

TEST(the_device_closes)
{
    cot_device_close(device);
    CHECK(device != NULL);
}
CHECK_MAIN
