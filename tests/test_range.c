/* links: dicom config */
/* A DX image for presentation without a window, from file to grey: a hot pixel or a lead marker must not change how the rest
 * of it looks. SPDX-License-Identifier: Apache-2.0 */
#include "dicom/dicom.h"
#include "tests/check.h"
#include "tests/image_maker.h"

#define SIDE 200
#define N    (SIDE * SIDE)

__attribute__((constructor)) static void begin(void)
{
    cot_dicom_init();
}

static uint16_t stored[N];

static void expose(void) /* 800 … 3191 of 4095, every column alike */
{
    for (size_t i = 0; i < N; i++) stored[i] = (uint16_t)(800 + i % SIDE * 12 + i / SIDE % 4);
}

static void render(float grey[N], char rendering[161])
{
    static const maker_image header = {.sop_class = "1.2.840.10008.5.1.4.1.1.1.1",
                                       .photometric = "MONOCHROME2",
                                       .rows = SIDE,
                                       .cols = SIDE,
                                       .samples = 1,
                                       .allocated = 16,
                                       .stored = 12,
                                       .high = 11};
    cot_error err;
    cot_dicom_image *image = NULL;
    size_t rows, cols;
    REQUIRE(maker_native(in_folder("dx.dcm"), &header, stored, sizeof stored));
    REQUIRE_OK(cot_dicom_image_create(&image, in_folder("dx.dcm"), &err));
    const float *pixels = cot_dicom_image_pixels(image, &rows, &cols);
    REQUIRE(rows * cols == N);
    memcpy(grey, pixels, N * sizeof *grey);
    snprintf(rendering, 161, "%s", cot_dicom_image_facts(image)->rendering);
    cot_dicom_image_destroy(image);
}

/* Largest change of a pixel at or behind `from`. */
static double change(const float *a, const float *b, size_t from)
{
    double most = 0;
    for (size_t i = from; i < N; i++) most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

TEST(hot_pixel_and_marker_leave_a_dx_image_without_a_window_as_it_is)
{
    static float clean[N], marked[N];
    char rendering[161];
    expose();
    render(clean, rendering);
    CHECK_HAS(rendering, "no VOI: 0.5 to 99.5 percentile 8");
    CHECK(clean[0] == 0 && clean[SIDE - 1] == 1);
    stored[0] = 4095;
    render(marked, rendering);
    CHECK(change(clean, marked, 1) < 0.002);
    CHECK(marked[0] == 1);
    for (size_t i = 0; i < 120; i++) stored[i] = 4095; /* 0.3 % */
    render(marked, rendering);
    CHECK(change(clean, marked, 120) < 0.01);
}
CHECK_MAIN
