/* links: opencl config
 * The device's resize against Pillow: its algorithm as a twin, and its own results (tests/golden/resample, mode F).
 * The bound everywhere is a hundredth of an 8-bit grey level.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/check.h"
#include "tests/reference.h"

#define GREY_LEVEL_HUNDREDTH (1e-2 / 255.0)

static cot_device *open_device(void)
{
    cot_error err = COT_ERROR_INIT;
    cot_device *device = NULL;
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    options.gemm = COT_GEMM_TILE;
    CHECK_OK(cot_device_open(&device, &options, &err));
    return device;
}

TEST(resize_equals_the_twin_for_many_sizes)
{
    static const size_t sizes[][3] = {/* rows, cols, size */
                                      {1, 1, 8},    {2, 3, 16},    {8, 8, 8},       {50, 37, 64},     {64, 64, 63},
                                      {300, 5, 32}, {7, 1000, 48}, {511, 513, 224}, {2021, 1701, 224}};
    cot_error err = COT_ERROR_INIT;
    cot_device *device = open_device();
    REQUIRE(device);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int filter = COT_FILTER_BILINEAR; filter <= COT_FILTER_BICUBIC; filter++) {
            const size_t rows = sizes[i][0], cols = sizes[i][1], size = sizes[i][2], n = size * size;
            float *x = malloc(rows * cols * sizeof *x), *got = malloc(n * sizeof *got),
                  *want = malloc(n * sizeof *want);
            cot_resampler *r = NULL;
            cot_buffer *y = NULL;
            ref_fill(x, rows * cols, 1);
            for (size_t k = 0; k < rows * cols; k++) x[k] = x[k] * 0.5f + 0.5f;
            CHECK_OK(cot_resampler_create(&r, device, size, (cot_filter)filter, 0.5f, 0.25f, &err));
            CHECK_OK(cot_buffer_create(&y, device, n, &err));
            CHECK_OK(cot_resampler_run(r, y, 0, x, rows, cols, &err));
            CHECK_OK(cot_buffer_read(y, 0, got, n, &err));
            ref_resample(want, x, rows, cols, size, (cot_filter)filter, 0.5, 0.25);
            CHECK_FLOATS(got, want, n, GREY_LEVEL_HUNDREDTH / 0.25);
            cot_resampler_destroy(r);
            cot_buffer_destroy(y);
            free(x), free(got), free(want);
        }
    CHECK_NUMBER(cot_device_ledger_read(device).buffers, 0);
    cot_device_close(device);
}

TEST(one_resampler_takes_images_of_changing_size_into_a_batch)
{
    static const size_t sizes[][2] = {{40, 60}, {60, 40}, {40, 60}, {16, 16}, {61, 61}};
    enum { SIZE = 24, N = SIZE * SIZE };
    cot_error err = COT_ERROR_INIT;
    cot_device *device = open_device();
    REQUIRE(device);
    cot_resampler *r = NULL;
    cot_buffer *y = NULL;
    float x[61 * 61], got[5 * N], want[N];
    ref_fill(x, 61 * 61, 3);
    CHECK_OK(cot_resampler_create(&r, device, SIZE, COT_FILTER_BICUBIC, 0.0f, 1.0f, &err));
    CHECK_OK(cot_buffer_create(&y, device, 5 * N, &err));
    for (size_t i = 0; i < 5; i++) CHECK_OK(cot_resampler_run(r, y, i, x, sizes[i][0], sizes[i][1], &err));
    CHECK_OK(cot_buffer_read(y, 0, got, 5 * N, &err));
    for (size_t i = 0; i < 5; i++) {
        ref_resample(want, x, sizes[i][0], sizes[i][1], SIZE, COT_FILTER_BICUBIC, 0.0, 1.0);
        CHECK_FLOATS(got + i * N, want, N, GREY_LEVEL_HUNDREDTH);
    }
    const size_t bytes = cot_device_ledger_read(device).bytes;
    for (size_t i = 0; i < 5; i++) CHECK_OK(cot_resampler_run(r, y, i, x, sizes[i][0], sizes[i][1], &err));
    CHECK_NUMBER(cot_device_ledger_read(device).bytes, bytes);
    CHECK_FAILS(cot_resampler_run(r, y, 5, x, 40, 60, &err), COT_E_BUG, "resample: result");
    CHECK_FAILS(cot_resampler_run(r, y, 0, x, 0, 60, &err), COT_E_INPUT, "0x60");
    CHECK_FAILS(cot_resampler_run(r, y, 0, x, SIZE_MAX, 60, &err), COT_E_LIMIT, "more than");
    cot_resampler_destroy(r);
    CHECK_FAILS(cot_resampler_create(&r, device, 0, COT_FILTER_BICUBIC, 0.0f, 1.0f, &err), COT_E_LIMIT, "to 0 pixels");
    CHECK_FAILS(cot_resampler_create(&r, device, 8, COT_FILTER_BICUBIC, 0.0f, 0.0f, &err), COT_E_MODEL, "deviation");
    cot_buffer_destroy(y);
    cot_device_close(device);
}

/* One case of tests/golden/resample/resample.txt; `size`² numbers follow its line. */
static void check_golden(cot_device *device, FILE *file, size_t rows, size_t cols, size_t size, cot_filter filter)
{
    cot_error err = COT_ERROR_INIT;
    const size_t n = size * size;
    float *x = malloc(rows * cols * sizeof *x), *got = malloc(n * sizeof *got), *want = malloc(n * sizeof *want);
    cot_resampler *r = NULL;
    cot_buffer *y = NULL;
    ref_fill(x, rows * cols, (uint32_t)rows);
    for (size_t i = 0; i < rows * cols; i++) x[i] = x[i] * 0.5f + 0.5f;
    size_t read = 0;
    while (read < n && fscanf(file, "%f", &want[read]) == 1) read++;
    CHECK_NUMBER(read, n);
    CHECK_OK(cot_resampler_create(&r, device, size, filter, 0.0f, 1.0f, &err));
    CHECK_OK(cot_buffer_create(&y, device, n, &err));
    CHECK_OK(cot_resampler_run(r, y, 0, x, rows, cols, &err));
    CHECK_OK(cot_buffer_read(y, 0, got, n, &err));
    CHECK_FLOATS(got, want, read, GREY_LEVEL_HUNDREDTH);
    cot_resampler_destroy(r);
    cot_buffer_destroy(y);
    free(x), free(got), free(want);
}

TEST(resize_equals_pillow)
{
    cot_device *device = open_device();
    REQUIRE(device);
    FILE *file = fopen(COT_SOURCE_DIR "/tests/golden/resample/resample.txt", "r");
    REQUIRE(file);
    size_t rows, cols, size, cases = 0;
    char filter[16];
    REQUIRE(fscanf(file, "#%*[^\n]") == 0);
    while (fscanf(file, "%4zu %4zu %4zu %15s", &rows, &cols, &size, filter) == 4) {
        check_golden(device, file, rows, cols, size,
                     strcmp(filter, "bicubic") ? COT_FILTER_BILINEAR : COT_FILTER_BICUBIC);
        cases++;
    }
    CHECK_NUMBER(cases, 18);
    fclose(file);
    cot_device_close(device);
}
CHECK_MAIN
