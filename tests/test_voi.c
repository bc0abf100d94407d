/* links: dicom config */
/* Stored values to grey, PS3.3 C.11, against numbers worked out by hand. SPDX-License-Identifier: Apache-2.0 */
#include "dicom/frame.h"
#include "dicom/voi.h"
#include "tests/check.h"

static float table[VOI_CODES];
static size_t counts[VOI_CODES];
static char text[161];

static voi_pipeline pipeline(unsigned bits, bool is_signed)
{
    voi_pipeline p = VOI_PIPELINE_INIT;
    p.bits = bits;
    p.is_signed = is_signed;
    memset(counts, 0, sizeof counts);
    return p;
}

static voi_pipeline window(unsigned bits, bool is_signed, voi_function function, double center, double width)
{
    voi_pipeline p = pipeline(bits, is_signed);
    p.function = function;
    p.center = center;
    p.width = width;
    return p;
}

/* ---- windows ---- */
TEST(linear_window_follows_the_standards_own_example)
{
    /* PS3.3 C.11.2.1.2.1 note 2: center 2048, width 4096 is 0 to 4095; center 2048, width 1 a threshold at 2048 */
    CHECK_NEAR(voi_window(VOI_LINEAR, 2048, 4096, 0), 0, 0);
    CHECK_NEAR(voi_window(VOI_LINEAR, 2048, 4096, 1), 1 / 4095.0, 1e-12);
    CHECK_NEAR(voi_window(VOI_LINEAR, 2048, 4096, 4094), 4094 / 4095.0, 1e-12);
    CHECK_NEAR(voi_window(VOI_LINEAR, 2048, 4096, 4095), 1, 1e-12);
    CHECK_NEAR(voi_window(VOI_LINEAR, 2048, 1, 2047), 0, 0);
    CHECK_NEAR(voi_window(VOI_LINEAR, 2048, 1, 2048), 1, 0);
    CHECK_NEAR(voi_window(VOI_LINEAR, 0, 100, -50), 0, 0);
    CHECK_NEAR(voi_window(VOI_LINEAR, 0, 100, 49), 1, 1e-12);
    CHECK_NEAR(voi_window(VOI_LINEAR, 0, 100, -0.5), 0.5, 1e-12);
}

TEST(linear_exact_window_has_no_half_pixel_offsets)
{
    CHECK_NEAR(voi_window(VOI_LINEAR_EXACT, 2048, 4096, 0), 0, 0);
    CHECK_NEAR(voi_window(VOI_LINEAR_EXACT, 2048, 4096, 1024), 0.25, 1e-12);
    CHECK_NEAR(voi_window(VOI_LINEAR_EXACT, 2048, 4096, 2048), 0.5, 1e-12);
    CHECK_NEAR(voi_window(VOI_LINEAR_EXACT, 2048, 4096, 4096), 1, 1e-12);
    CHECK_NEAR(voi_window(VOI_LINEAR_EXACT, 0, 0.5, 0.125), 0.75, 1e-12); /* widths below 1 are allowed here */
}

TEST(sigmoid_window_is_half_at_its_center_and_known_one_width_away)
{
    CHECK_NEAR(voi_window(VOI_SIGMOID, 500, 200, 500), 0.5, 1e-12);
    CHECK_NEAR(voi_window(VOI_SIGMOID, 500, 200, 700), 0.98201379003790845, 1e-12); /* 1/(1+exp(-4)) */
    CHECK_NEAR(voi_window(VOI_SIGMOID, 500, 200, 300), 0.01798620996209156, 1e-12);
    CHECK_NEAR(voi_window(VOI_SIGMOID, 500, 1e-3, -1e9), 0, 0);
    CHECK_NEAR(voi_window(VOI_SIGMOID, 500, 1e-3, 1e9), 1, 0);
}

TEST(windows_work_for_10_12_15_and_16_bits)
{
    cot_error err;
    const unsigned widths[] = {10, 12, 15, 16};
    for (size_t i = 0; i < 4; i++) {
        const double full = (double)(1u << widths[i]);
        voi_pipeline p = window(widths[i], false, VOI_LINEAR, full / 2, full);
        REQUIRE_OK(voi_table(table, text, sizeof text, &p, counts, &err));
        const size_t top = ((size_t)1 << widths[i]) - 1;
        CHECK_NEAR(table[0], 0, 0);
        CHECK_NEAR(table[top], 1, 0);
        CHECK_NEAR(table[top / 3], (double)(top / 3) / (double)top, 1e-7);
    }
}

TEST(rescale_comes_before_the_window_and_signed_codes_are_negative)
{
    cot_error err;
    voi_pipeline p = window(12, true, VOI_LINEAR_EXACT, -100, 400);
    p.slope = 2;
    p.intercept = -50;
    REQUIRE_OK(voi_table(table, text, sizeof text, &p, counts, &err));
    /* code 0xfe7 = -25 -> 2*-25-50 = -100 -> 0.5; code 25 -> 0 -> 0.75; code 0x800 = -2048 -> 0; 0x7ff -> 1 */
    CHECK_NUMBER(voi_value_of(0xfe7, 12, true), -25);
    CHECK_NEAR(table[0xfe7], 0.5, 1e-7);
    CHECK_NEAR(table[25], 0.75, 1e-7);
    CHECK_NEAR(table[0x800], 0, 0);
    CHECK_NEAR(table[0x7ff], 1, 0);
    CHECK_TEXT(text, "rescale, window -100/400 LINEAR_EXACT");
}

TEST(monochrome1_is_inverted_last)
{
    cot_error err;
    voi_pipeline p = window(8, false, VOI_LINEAR, 128, 256);
    p.invert = true;
    REQUIRE_OK(voi_table(table, text, sizeof text, &p, counts, &err));
    CHECK_NEAR(table[0], 1, 0);
    CHECK_NEAR(table[51], 0.8, 1e-7);
    CHECK_NEAR(table[255], 0, 0);
    CHECK_HAS(text, ", inverted");
}

TEST(windows_the_standard_forbids_are_refused)
{
    cot_error err;
    voi_pipeline p = window(12, false, VOI_LINEAR, 100, 0.5);
    CHECK_FAILS(voi_table(table, text, sizeof text, &p, counts, &err), COT_E_INPUT, "Window Width");
    p = window(12, false, VOI_SIGMOID, 100, 0);
    CHECK_FAILS(voi_table(table, text, sizeof text, &p, counts, &err), COT_E_INPUT, "Window Width");
    p = window(12, false, VOI_LINEAR_EXACT, NAN, 10);
    CHECK_FAILS(voi_table(table, text, sizeof text, &p, counts, &err), COT_E_INPUT, "Window");
    p.slope = 0;
    CHECK_FAILS(voi_table(table, text, sizeof text, &p, counts, &err), COT_E_INPUT, "Rescale Slope");
}

/* ---- tables ---- */
TEST(voi_lut_clamps_below_its_first_and_above_its_last_entry)
{
    cot_error err;
    const uint16_t descriptor[3] = {4, 100, 12}, data[4] = {0, 1000, 3000, 4095};
    voi_pipeline p = pipeline(12, false);
    p.function = VOI_TABLE;
    REQUIRE_OK(voi_lut_init(&p.table, descriptor, false, data, 4, &err));
    REQUIRE_OK(voi_table(table, text, sizeof text, &p, counts, &err));
    CHECK_NEAR(table[0], 0, 0);
    CHECK_NEAR(table[100], 0, 0);
    CHECK_NEAR(table[101], 1000 / 4095.0, 1e-7);
    CHECK_NEAR(table[102], 3000 / 4095.0, 1e-7);
    CHECK_NEAR(table[103], 1, 0);
    CHECK_NEAR(table[4095], 1, 0);
    CHECK_TEXT(text, "VOI LUT of 4 entries");
    voi_lut_fini(&p.table);
}

TEST(lut_descriptor_zero_means_65536_entries)
{
    cot_error err;
    const uint16_t descriptor[3] = {0, 0, 16};
    static uint16_t data[VOI_CODES];
    for (size_t i = 0; i < VOI_CODES; i++) data[i] = (uint16_t)(VOI_CODES - 1 - i);
    voi_pipeline p = pipeline(16, false);
    p.function = VOI_TABLE;
    REQUIRE_OK(voi_lut_init(&p.table, descriptor, false, data, VOI_CODES, &err));
    CHECK_NUMBER(p.table.n, 65536);
    REQUIRE_OK(voi_table(table, text, sizeof text, &p, counts, &err));
    CHECK_NEAR(table[0], 1, 0);
    CHECK_NEAR(table[65535], 0, 0);
    CHECK_NEAR(table[13107], 0.8, 1e-7);
    voi_lut_fini(&p.table);
}

TEST(lut_first_input_is_signed_when_the_values_are)
{
    cot_error err;
    const uint16_t descriptor[3] = {3, 0xffff, 8}, data[3] = {51, 102, 255}; /* first input -1 */
    voi_pipeline p = pipeline(16, true);
    p.function = VOI_TABLE;
    REQUIRE_OK(voi_lut_init(&p.table, descriptor, true, data, 3, &err));
    REQUIRE_OK(voi_table(table, text, sizeof text, &p, counts, &err));
    CHECK_NEAR(table[0x8000], 0.2, 1e-7); /* -32768 */
    CHECK_NEAR(table[0xffff], 0.2, 1e-7);
    CHECK_NEAR(table[0], 0.4, 1e-7);
    CHECK_NEAR(table[1], 1, 0);
    voi_lut_fini(&p.table);
}

TEST(eight_bit_entries_may_come_two_per_word)
{
    cot_error err;
    const uint16_t descriptor[3] = {5, 0, 8}, packed[3] = {0x3300, 0x9966, 0x00ff}, whole[5] = {0, 51, 102, 153, 255};
    voi_lut a = {0}, b = {0};
    REQUIRE_OK(voi_lut_init(&a, descriptor, false, packed, 3, &err));
    REQUIRE_OK(voi_lut_init(&b, descriptor, false, whole, 5, &err));
    CHECK(!memcmp(a.entries, b.entries, 5 * sizeof(uint16_t)));
    voi_lut_fini(&a);
    voi_lut_fini(&b);
}

TEST(lut_with_too_few_entries_or_absurd_bits_is_refused)
{
    cot_error err;
    const uint16_t data[4] = {0}, much[3] = {100, 0, 12}, odd[3] = {4, 0, 77};
    voi_lut lut;
    CHECK_FAILS(voi_lut_init(&lut, much, false, data, 4, &err), COT_E_INPUT, "announces 100");
    CHECK_FAILS(voi_lut_init(&lut, odd, false, data, 4, &err), COT_E_INPUT, "77 bits");
    CHECK(lut.entries == NULL);
}

TEST(modality_lut_feeds_the_window)
{
    cot_error err;
    const uint16_t descriptor[3] = {3, 10, 16}, data[3] = {100, 500, 60000};
    voi_pipeline p = window(8, false, VOI_LINEAR_EXACT, 500, 1000);
    REQUIRE_OK(voi_lut_init(&p.modality, descriptor, false, data, 3, &err));
    REQUIRE_OK(voi_table(table, text, sizeof text, &p, counts, &err));
    CHECK_NEAR(table[0], 0.1, 1e-7); /* clamped to the first entry, 100 */
    CHECK_NEAR(table[11], 0.5, 1e-7);
    CHECK_NEAR(table[12], 1, 0);
    CHECK_HAS(text, "Modality LUT, window");
    voi_lut_fini(&p.modality);
}

/* ---- no VOI ---- */
TEST(without_voi_wide_images_span_the_values_present)
{
    cot_error err;
    voi_pipeline p = pipeline(16, false);
    counts[1000] = 5, counts[2000] = 1, counts[5000] = 3;
    REQUIRE_OK(voi_table(table, text, sizeof text, &p, counts, &err));
    CHECK_NEAR(table[1000], 0, 0);
    CHECK_NEAR(table[2000], 0.25, 1e-7);
    CHECK_NEAR(table[5000], 1, 0);
    CHECK_TEXT(text, "no VOI: values present 1000 to 5000");
}

/* A ramp of 1000 … 2999, 100 pixels of each value, as an exposure without a window has. */
static voi_pipeline ramp(unsigned bits)
{
    const voi_pipeline p = pipeline(bits, false);
    for (size_t i = 1000; i < 3000; i++) counts[i] = 100;
    return p;
}

TEST(without_voi_a_hot_pixel_changes_nothing)
{
    cot_error err;
    static float clean[VOI_CODES];
    voi_pipeline p = ramp(16);
    REQUIRE_OK(voi_table(clean, text, sizeof text, &p, counts, &err));
    CHECK_TEXT(text, "no VOI: 0.5 to 99.5 percentile 1010 to 2990");
    counts[0] = counts[65535] = 1; /* a dead one too */
    REQUIRE_OK(voi_table(table, text, sizeof text, &p, counts, &err));
    CHECK_FLOATS(table, clean, VOI_CODES, 1e-3);
    CHECK_NEAR(table[2000], 0.5, 1e-3);
    CHECK_NEAR(table[0], 0, 0);
    CHECK_NEAR(table[65535], 1, 0);
}

TEST(without_voi_a_marker_of_3_in_1000_pixels_does_not_darken_the_lungs)
{
    cot_error err;
    voi_pipeline p = ramp(14);
    counts[16383] = 600; /* of 200,000 */
    REQUIRE_OK(voi_table(table, text, sizeof text, &p, counts, &err));
    CHECK_NEAR(table[2000], 0.5, 5e-3);
    CHECK_NEAR(table[16383], 1, 0);
    CHECK_HAS(text, "percentile 1010 to 299");
}

TEST(without_voi_an_image_of_one_grey_and_little_else_keeps_its_range)
{
    cot_error err;
    voi_pipeline p = pipeline(12, false);
    counts[100] = 100000, counts[300] = 10;
    REQUIRE_OK(voi_table(table, text, sizeof text, &p, counts, &err));
    CHECK_NEAR(table[200], 0.5, 1e-6);
    CHECK_TEXT(text, "no VOI: values present 100 to 300");
    p = pipeline(8, true); /* 8 bits: every value is meant */
    counts[10] = 100000, counts[50] = 100000, counts[90] = 1;
    REQUIRE_OK(voi_table(table, text, sizeof text, &p, counts, &err));
    CHECK_TEXT(text, "no VOI: values present 10 to 90");
}

TEST(padding_does_not_widen_the_range)
{
    cot_error err;
    voi_pipeline p = pipeline(16, true);
    counts[0x8000] = 1000, counts[10] = 1, counts[110] = 1;
    p.has_padding = true;
    p.padding_first = p.padding_last = -32768;
    REQUIRE_OK(voi_table(table, text, sizeof text, &p, counts, &err));
    CHECK_NEAR(table[10], 0, 0);
    CHECK_NEAR(table[60], 0.5, 1e-7);
    CHECK_NEAR(table[0x8000], 0, 0);
}

TEST(without_voi_8_bit_images_are_display_values)
{
    cot_error err;
    voi_pipeline p = pipeline(8, false);
    counts[100] = 5, counts[120] = 3;
    REQUIRE_OK(voi_table(table, text, sizeof text, &p, counts, &err));
    CHECK_NEAR(table[51], 0.2, 1e-7);
    CHECK_NEAR(table[255], 1, 0);
    CHECK_HAS(text, "display values");
}

TEST(processing_window_ignores_half_a_percent_at_each_end)
{
    cot_error err;
    voi_pipeline p = pipeline(14, false);
    p.function = VOI_PERCENTILE;
    counts[0] = 4;
    for (size_t i = 1000; i < 1992; i++) counts[i] = 1;
    counts[16000] = 4;
    REQUIRE_OK(voi_table(table, text, sizeof text, &p, counts, &err));
    CHECK_NEAR(table[0], 0, 0);
    CHECK_NEAR(table[1001], 0, 1e-3);
    CHECK_NEAR(table[1496], 0.5, 1e-3);
    CHECK_NEAR(table[1991], 1, 1e-3);
    CHECK_NEAR(table[16000], 1, 0);
    CHECK_HAS(text, "for processing");
}

TEST(detector_linear_data_is_taken_as_its_logarithm)
{
    cot_error err;
    voi_pipeline p = pipeline(16, false);
    p.function = VOI_PERCENTILE;
    p.logarithm = p.invert = true;
    counts[10] = counts[100] = counts[1000] = 100;
    REQUIRE_OK(voi_table(table, text, sizeof text, &p, counts, &err));
    CHECK_NEAR(table[10], 1, 1e-6);
    CHECK_NEAR(table[100], 0.5, 1e-6);
    CHECK_NEAR(table[1000], 0, 1e-6);
}

TEST(every_grey_is_finite_and_within_0_to_1)
{
    cot_error err;
    const voi_function functions[] = {VOI_RANGE, VOI_PERCENTILE, VOI_LINEAR, VOI_LINEAR_EXACT, VOI_SIGMOID};
    for (size_t f = 0; f < 5; f++)
        for (unsigned bits = 1; bits <= 16; bits++) {
            voi_pipeline p = window(bits, bits % 2, functions[f], 1e9, 1);
            counts[0] = counts[1] = 1;
            p.slope = -1e9;
            REQUIRE_OK(voi_table(table, text, sizeof text, &p, counts, &err));
            bool good = true;
            for (size_t i = 0; i < (size_t)1 << bits; i++) good = good && table[i] >= 0 && table[i] <= 1;
            CHECK(good);
        }
}

/* ---- samples to stored values ---- */
TEST(bits_outside_bits_stored_are_cut_and_lossy_overshoot_is_clamped)
{
    cot_error err;
    frame_header h = {.rows = 1, .cols = 4, .frames = 1, .samples = 1, .allocated = 16, .stored = 12, .high = 11};
    const uint16_t raw[4] = {0xf123, 0x0fff, 0x1000, 0x8000}; /* overlay planes in the upper bits */
    frame_stored out;
    REQUIRE_OK(frame_from_samples(&out, &h, raw, &err));
    CHECK_NUMBER(out.codes[0], 0x123);
    CHECK_NUMBER(out.codes[2], 0);
    frame_stored_fini(&out);
    h.lossy = true;
    REQUIRE_OK(frame_from_samples(&out, &h, raw, &err));
    CHECK_NUMBER(out.codes[0], 0xfff);
    CHECK_NUMBER(out.codes[1], 0xfff);
    frame_stored_fini(&out);
    h.lossy = false;
    h.high = 15;
    REQUIRE_OK(frame_from_samples(&out, &h, raw, &err));
    CHECK_NUMBER(out.codes[0], 0xf12);
    CHECK_NUMBER(out.codes[3], 0x800);
    frame_stored_fini(&out);
}

/* 4000 pixels of grey, `n` of them `off` levels away from it in one channel. */
static cot_status colour_case(unsigned off, size_t n, bool lossy)
{
    static uint8_t samples[3 * 4000];
    cot_error err;
    frame_stored out;
    const frame_header h = {.rows = 40,
                            .cols = 100,
                            .frames = 1,
                            .samples = 3,
                            .allocated = 8,
                            .stored = 8,
                            .high = 7,
                            .lossy = lossy,
                            .colour = FRAME_RGB};
    memset(samples, 60, sizeof samples);
    for (size_t i = 0; i < n; i++) samples[3 * i] = (uint8_t)(60 + off);
    const cot_status status = frame_from_samples(&out, &h, samples, &err);
    if (status == COT_OK) frame_stored_fini(&out);
    return status;
}

TEST(colour_is_tolerated_up_to_its_bounds_and_not_beyond)
{
    CHECK(colour_case(1, 4000, false) == COT_OK);
    CHECK(colour_case(2, 1, false) == COT_E_REFUSED);
    CHECK(colour_case(16, 4000, true) == COT_OK);
    CHECK(colour_case(17, 4000, true) == COT_E_REFUSED);
    CHECK(colour_case(100, 4, true) == COT_OK); /* 1 in 1000 */
    CHECK(colour_case(100, 5, true) == COT_E_REFUSED);
}

TEST(frame_size_arithmetic_does_not_overflow)
{
    size_t bytes = 7;
    frame_header h = {.rows = SIZE_MAX / 2, .cols = 3, .samples = 3, .allocated = 16};
    CHECK(!frame_bytes(&bytes, &h));
    h.rows = h.cols = 65535;
    CHECK(!frame_bytes(&bytes, &h));
    h.rows = 0;
    CHECK(!frame_bytes(&bytes, &h));
    CHECK_NUMBER(bytes, 7);
    h.rows = 4000, h.cols = 5000, h.samples = 1;
    CHECK(frame_bytes(&bytes, &h));
    CHECK_NUMBER(bytes, 40000000);
}
CHECK_MAIN
