/* links: dicom config */
/* Pixel layouts, colour, header faults, damaged streams, facts and the way to grey: every image is written here byte by
 * byte, so that the wrong ones are wrong in one way only. SPDX-License-Identifier: Apache-2.0 */
#include "dicom/dicom.h"
#include "dicom/frame.h"
#include "tests/check.h"
#include "tests/image_maker.h"

__attribute__((constructor)) static void begin(void)
{
    cot_dicom_init();
}

static const maker_image four = {
    .photometric = "MONOCHROME2", .rows = 2, .cols = 2, .samples = 1, .allocated = 16, .stored = 16, .high = 15};
static const maker_image colour = {
    .photometric = "RGB", .rows = 2, .cols = 2, .samples = 3, .allocated = 8, .stored = 8, .high = 7};

static cot_status decode(frame_stored *out, const maker_image *i, const void *pixels, size_t bytes, cot_error *err)
{
    const char *path = in_folder("native.dcm");
    if (!maker_native(path, i, pixels, bytes)) return cot_fail(err, COT_E_IO, "cannot write %s", path);
    return frame_decode(out, path, err);
}

static void check_codes(const maker_image *i, const void *pixels, size_t bytes, const uint16_t want[4])
{
    cot_error err;
    frame_stored frame;
    REQUIRE_OK(decode(&frame, i, pixels, bytes, &err));
    for (size_t k = 0; k < 4; k++) CHECK_NUMBER(frame.codes[k], want[k]);
    frame_stored_fini(&frame);
}

static void check_refused(const maker_image *i, const void *pixels, size_t bytes, cot_status want, const char *part)
{
    cot_error err;
    frame_stored frame;
    CHECK_FAILS(decode(&frame, i, pixels, bytes, &err), want, part);
    CHECK(frame.codes == NULL);
}

/* ---- layouts ---- */
TEST(any_bits_stored_and_high_bit_are_cut_out)
{
    const uint16_t pixels[4] = {0xffff, 0x8001, 0x7ffe, 0x0400};
    maker_image i = four;
    check_codes(&i, pixels, 8, pixels);
    i.stored = 10, i.high = 9;
    check_codes(&i, pixels, 8, (const uint16_t[]){0x3ff, 1, 0x3fe, 0});
    i.stored = 15, i.high = 14;
    check_codes(&i, pixels, 8, (const uint16_t[]){0x7fff, 1, 0x7ffe, 0x400});
    i.stored = 12, i.high = 15;
    check_codes(&i, pixels, 8, (const uint16_t[]){0xfff, 0x800, 0x7ff, 0x40});
}

TEST(pixel_data_longer_than_the_image_is_read_from_its_start)
{
    const uint16_t pixels[6] = {1, 2, 3, 4, 5, 6};
    check_codes(&four, pixels, sizeof pixels, pixels);
    maker_image i = four;
    i.frames = "2";
    check_refused(&i, pixels, sizeof pixels, COT_E_INPUT, "need 16");
}

/* ---- colour ---- */
TEST(grey_in_rgb_is_read_with_both_planar_configurations)
{
    const uint8_t by_pixel[12] = {10, 10, 10, 20, 20, 20, 30, 30, 30, 255, 255, 255};
    const uint8_t by_plane[12] = {10, 20, 30, 255, 10, 20, 30, 255, 10, 20, 30, 255};
    const uint16_t want[4] = {10, 20, 30, 255};
    maker_image i = colour;
    check_codes(&i, by_pixel, 12, want);
    i.planar = 1;
    check_codes(&i, by_plane, 12, want);
    check_refused(&i, by_pixel, 12, COT_E_REFUSED, "in colour");
}

TEST(grey_in_ybr_is_its_luminance)
{
    const uint8_t full[12] = {10, 128, 128, 20, 128, 128, 30, 128, 129, 255, 128, 128};
    const uint8_t half[8] = {10, 20, 128, 128, 30, 255, 128, 127};
    const uint16_t want[4] = {10, 20, 30, 255};
    maker_image i = colour;
    i.photometric = "YBR_FULL";
    check_codes(&i, full, 12, want);
    i.photometric = "YBR_FULL_422";
    check_codes(&i, half, 8, want);
    check_refused(&i, half, 6, COT_E_INPUT, "Pixel Data (7fe0,0010) has 6 bytes");
}

TEST(grey_ycbcr_behind_an_rgb_header_is_read_when_lossy)
{
    cot_error err;
    frame_stored frame;
    const uint8_t ybr[12] = {10, 128, 128, 20, 127, 128, 30, 128, 129, 255, 128, 128};
    frame_header h = {
        .rows = 2, .cols = 2, .samples = 3, .allocated = 8, .stored = 8, .high = 7, .lossy = true, .colour = FRAME_RGB};
    REQUIRE_OK(frame_from_samples(&frame, &h, ybr, &err));
    CHECK_NUMBER(frame.codes[0], 10);
    CHECK_NUMBER(frame.codes[3], 255);
    frame_stored_fini(&frame);
    h.lossy = false;
    CHECK_FAILS(frame_from_samples(&frame, &h, ybr, &err), COT_E_REFUSED, "in colour");
}

TEST(colour_and_palette_are_refused)
{
    const uint8_t red[12] = {10, 10, 10, 20, 20, 20, 200, 10, 10, 255, 255, 255};
    const uint16_t pixels[4] = {0};
    check_refused(&colour, red, 12, COT_E_REFUSED, "in colour (1 of 4 pixels)");
    maker_image i = four;
    i.photometric = "PALETTE COLOR";
    check_refused(&i, pixels, 8, COT_E_REFUSED, "PALETTE COLOR is not read");
    i.photometric = "RGB";
    check_refused(&i, pixels, 8, COT_E_INPUT, "RGB needs 3");
    i = colour;
    i.planar = 2;
    check_refused(&i, red, 12, COT_E_INPUT, "Planar Configuration");
}

/* ---- headers that lie ---- */
TEST(pixel_data_must_be_as_long_as_rows_and_columns_say)
{
    const uint16_t pixels[4] = {0};
    maker_image i = four;
    i.rows = 3;
    check_refused(&i, pixels, 8, COT_E_INPUT, "need 12 (3 x 2)");
    i.rows = i.cols = 65535;
    check_refused(&i, pixels, 8, COT_E_LIMIT, "65535 x 65535");
    i.rows = 8000, i.cols = 8000;
    check_refused(&i, pixels, 8, COT_E_INPUT, "need 128000000");
    i.cols = 0;
    check_refused(&i, pixels, 8, COT_E_LIMIT, "8000 x 0");
}

TEST(rows_with_another_vr_is_refused_by_name)
{
    const uint16_t pixels[4] = {0};
    maker_image i = four;
    i.rows_as_ul = true;
    check_refused(&i, pixels, 8, COT_E_INPUT, "Rows (0028,0010) is encoded as UL, it must be US");
}

TEST(bits_that_do_not_fit_are_refused)
{
    static const struct {
        unsigned allocated, stored, high, sign;
        cot_status status;
        const char *part;
    } cases[] = {{32, 32, 31, 0, COT_E_REFUSED, "Bits Allocated"},
                 {1, 1, 0, 0, COT_E_REFUSED, "Bits Allocated"},
                 {8, 12, 11, 0, COT_E_INPUT, "Bits Stored"},
                 {16, 0, 0, 0, COT_E_INPUT, "Bits Stored"},
                 {16, 12, 10, 0, COT_E_INPUT, "High Bit"},
                 {16, 12, 16, 0, COT_E_INPUT, "High Bit"},
                 {16, 12, 11, 2, COT_E_INPUT, "Pixel Representation"}};
    const uint16_t pixels[4] = {0};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        maker_image i = four;
        i.allocated = cases[k].allocated, i.stored = cases[k].stored, i.high = cases[k].high,
        i.is_signed = cases[k].sign;
        check_refused(&i, pixels, 8, cases[k].status, cases[k].part);
    }
    maker_image i = four;
    i.samples = 2;
    check_refused(&i, pixels, 8, COT_E_REFUSED, "Samples per Pixel");
    i = four;
    i.photometric = NULL;
    check_refused(&i, pixels, 8, COT_E_INPUT, "Photometric Interpretation (0028,0004) is missing");
    i = four;
    i.frames = "-3";
    check_refused(&i, pixels, 8, COT_E_INPUT, "Number of Frames");
}

TEST(pixel_data_must_be_there_and_be_pixels)
{
    cot_error err;
    frame_stored frame;
    maker m = {0};
    maker_header(&m, &four);
    REQUIRE(maker_save(&m, in_folder("none.dcm")));
    CHECK_FAILS(frame_decode(&frame, in_folder("none.dcm"), &err), COT_E_INPUT, "Pixel Data (7fe0,0010) is missing");
    maker_header(&m, &four);
    maker_tag(&m, 0x7fe00010, "SQ", 0);
    REQUIRE(maker_save(&m, in_folder("none.dcm")));
    CHECK(frame_decode(&frame, in_folder("none.dcm"), &err) == COT_E_INPUT);
    CHECK_FAILS(frame_decode(&frame, in_folder("absent.dcm"), &err), COT_E_INPUT, "read the file");
}

/* ---- damaged streams ---- */
static void check_stream(const maker_image *i, const void *bytes, size_t n, const char *part)
{
    cot_error err;
    frame_stored frame;
    REQUIRE(maker_encapsulated(in_folder("stream.dcm"), i, bytes, n, 1 << 20));
    CHECK_FAILS(frame_decode(&frame, in_folder("stream.dcm"), &err), COT_E_INPUT, part);
    CHECK(frame.codes == NULL);
}

TEST(rle_is_bounded_by_its_bytes_and_its_image)
{
    unsigned char rle[80] = {1};
    maker_image i = four;
    i.syntax = RLE_LOSSLESS;
    i.allocated = i.stored = 8, i.high = 7;
    rle[4] = 64;
    memcpy(rle + 64, "\x03\x01\x02\x03\x04", 5); /* four literal bytes */
    cot_error err;
    frame_stored frame;
    REQUIRE(maker_encapsulated(in_folder("rle.dcm"), &i, rle, 69, 1 << 20));
    REQUIRE_OK(frame_decode(&frame, in_folder("rle.dcm"), &err));
    CHECK_NUMBER(frame.codes[3], 4);
    frame_stored_fini(&frame);
    check_stream(&i, rle, 68, "segment 1 ends before"); /* the last literal is missing */
    check_stream(&i, rle, 62, "the segment header alone needs 64");
    memcpy(rle + 64, "\x7f\x01", 2); /* 128 literals announced, 14 there */
    check_stream(&i, rle, 80, "segment 1 ends before");
    memset(rle + 64, 0x80, 16); /* nothing but no-ops */
    check_stream(&i, rle, 80, "segment 1 ends before");
    rle[4] = 0xff, rle[7] = 0xff;
    check_stream(&i, rle, 80, "segment 1 lies at bytes");
    rle[0] = 15;
    check_stream(&i, rle, 80, "15 segments");
}

TEST(empty_fragments_are_refused_in_every_encapsulated_syntax)
{
    static const char *const syntaxes[] = {RLE_LOSSLESS,
                                           JPEG_BASELINE,
                                           J2K_LOSSLESS,
                                           J2K_LOSSY,
                                           "1.2.840.10008.1.2.4.51",
                                           "1.2.840.10008.1.2.4.57",
                                           "1.2.840.10008.1.2.4.70",
                                           "1.2.840.10008.1.2.4.80",
                                           "1.2.840.10008.1.2.4.81"};
    for (size_t k = 0; k < sizeof syntaxes / sizeof *syntaxes; k++) {
        maker_image i = four;
        i.syntax = syntaxes[k];
        check_stream(&i, "", 0, "all fragments are empty");
    }
}

/* A real JPEG from a file of tests/data, whose bytes can then be spoilt. */
static size_t real_jpeg(unsigned char **bytes, char **file)
{
    cot_error err;
    size_t n = 0;
    const char *path = COT_SOURCE_DIR "/tests/data/dicom/siim_1.2.276.0.7230010.3.1.4.8323329.6904.dcm";
    if (cot_file_read(file, &n, path, 1 << 20, &err) != COT_OK) return 0;
    for (size_t at = 0; at + 4 < n; at++)
        if (!memcmp(*file + at, "\xff\xd8\xff\xdb", 4)) {
            *bytes = (unsigned char *)*file + at;
            return n - at - 8; /* less the sequence delimiter */
        }
    return 0;
}

TEST(jpeg_streams_are_checked_before_and_while_they_are_decoded)
{
    char *file = NULL;
    unsigned char *jpeg = NULL;
    const size_t n = real_jpeg(&jpeg, &file);
    REQUIRE(n > 100000);
    maker_image i = {.syntax = JPEG_BASELINE,
                     .photometric = "MONOCHROME2",
                     .rows = 1024,
                     .cols = 1024,
                     .samples = 1,
                     .allocated = 8,
                     .stored = 8,
                     .high = 7};
    cot_error err;
    frame_stored frame;
    REQUIRE(maker_encapsulated(in_folder("jpeg.dcm"), &i, jpeg, n, 40000));
    REQUIRE_OK(frame_decode(&frame, in_folder("jpeg.dcm"), &err));
    frame_stored_fini(&frame);
    check_stream(&i, jpeg, n / 2, "decode Pixel Data (7fe0,0010)");
    check_stream(&i, jpeg, 10, "damaged before its frame header");
    check_stream(&i, jpeg + 2, n - 2, "does not begin with a JPEG stream");
    i.rows = 1000;
    check_stream(&i, jpeg, n, "JPEG stream is 1024 x 1024");
    i.rows = 1024, i.allocated = i.stored = 16, i.high = 15;
    check_stream(&i, jpeg, n, "JPEG stream has 8 bits");
    i.is_signed = 1;
    check_stream(&i, jpeg, n, "lossy JPEG is unsigned");
    i.is_signed = 0, i.stored = 8, i.high = 7; /* still 16 allocated: sound */
    REQUIRE(maker_encapsulated(in_folder("jpeg.dcm"), &i, jpeg, n, 40000));
    REQUIRE_OK(frame_decode(&frame, in_folder("jpeg.dcm"), &err));
    CHECK_NUMBER(frame.bits, 8);
    frame_stored_fini(&frame);
    i.allocated = 8, i.samples = 3, i.photometric = "YBR_FULL_422";
    check_stream(&i, jpeg, n, "JPEG stream has 1 components");
    i.samples = 1, i.photometric = "MONOCHROME2";
    jpeg[3] = 0x01; /* TEM, which DCMTK would look at for ever */
    check_stream(&i, jpeg, n, "damaged before its frame header (byte 2");
    free(file);
}

/* ---- facts ---- */
TEST(facts_are_utf_8_cut_between_characters)
{
    cot_error err;
    cot_dicom_facts facts;
    maker_image i = four;
    i.charset = "ISO_IR 100";
    i.description = "Thorax \xfc"
                    "ber: eine Beschreibung, die im Umlaut abbricht, hier..\xe4\xe4";
    REQUIRE(maker_native(in_folder("facts.dcm"), &i, "12345678", 8));
    REQUIRE_OK(cot_dicom_facts_read(&facts, in_folder("facts.dcm"), &err));
    CHECK_TEXT(facts.series_description, "Thorax über: eine Beschreibung, die im Umlaut abbricht, hier..");
    CHECK_TEXT(facts.body_part, "CHEST");
    CHECK_TEXT(facts.transfer_syntax, EXPLICIT_LE);
    CHECK_NUMBER(facts.rows, 2);
    i.charset = "NO SUCH SET";
    REQUIRE(maker_native(in_folder("facts.dcm"), &i, "12345678", 8));
    REQUIRE_OK(cot_dicom_facts_read(&facts, in_folder("facts.dcm"), &err));
    CHECK_HAS(facts.series_description, "Thorax ?ber");
}

TEST(japanese_descriptions_are_read_and_reach_the_gates)
{
    static const char *const sets[] = {"\\ISO 2022 IR 87", "ISO 2022 IR 13\\ISO 2022 IR 87",
                                       "ISO 2022 IR 6\\ISO 2022 IR 87"};
    cot_error err;
    cot_dicom_facts facts;
    char id[33];
    maker_image i = four;
    i.description = "\x1b$B6;ItB&LL\x1b(B";
    for (size_t k = 0; k < 3; k++) {
        i.charset = sets[k];
        REQUIRE(maker_native(in_folder("facts.dcm"), &i, "12345678", 8));
        REQUIRE_OK(cot_dicom_facts_read(&facts, in_folder("facts.dcm"), &err));
        CHECK_TEXT(facts.series_description, "胸部側面");
        CHECK_FAILS(cot_gate_facts(&facts, id, &err), COT_E_REFUSED, "胸部側面 is not a frontal");
    }
    i.description = "\x1b$BB\\\x1b(B PA"; /* its second byte is a backslash */
    REQUIRE(maker_native(in_folder("facts.dcm"), &i, "12345678", 8));
    REQUIRE_OK(cot_dicom_facts_read(&facts, in_folder("facts.dcm"), &err));
    CHECK_TEXT(facts.series_description, "腿 PA");
    i.description = "\x1b$B\xff\xff"; /* damaged: what is ASCII stays, nothing crashes */
    REQUIRE(maker_native(in_folder("facts.dcm"), &i, "12345678", 8));
    REQUIRE_OK(cot_dicom_facts_read(&facts, in_folder("facts.dcm"), &err));
    CHECK_HAS(facts.series_description, "??");
}

TEST(a_description_that_is_a_sequence_is_no_text)
{
    cot_error err;
    cot_dicom_facts facts;
    maker_image i = four;
    i.description_as_sequence = true;
    REQUIRE(maker_native(in_folder("facts.dcm"), &i, "12345678", 8));
    REQUIRE_OK(cot_dicom_facts_read(&facts, in_folder("facts.dcm"), &err));
    CHECK_TEXT(facts.series_description, "");
}

/* ---- to grey ---- */
static void check_grey(const maker_image *i, const uint16_t pixels[4], const float want[4], const char *rendering)
{
    cot_error err;
    cot_dicom_image *image = NULL;
    size_t rows, cols;
    REQUIRE(maker_native(in_folder("grey.dcm"), i, pixels, 8));
    REQUIRE_OK(cot_dicom_image_create(&image, in_folder("grey.dcm"), &err));
    CHECK_FLOATS(cot_dicom_image_pixels(image, &rows, &cols), want, 4, 1e-6);
    CHECK_NUMBER(rows * cols, 4);
    CHECK_TEXT(cot_dicom_image_facts(image)->rendering, rendering);
    cot_dicom_image_destroy(image);
}

TEST(window_and_rescale_of_the_header_are_applied)
{
    const uint16_t pixels[4] = {0, 100, 200, 400};
    maker_image i = four;
    i.center = "100\\900", i.width = "400\\2000", i.function = "LINEAR_EXACT", i.slope = "2", i.intercept = "-100";
    check_grey(&i, pixels, (const float[]){0, 0.5f, 1, 1}, "rescale, window 100/400 LINEAR_EXACT");
    i.photometric = "MONOCHROME1";
    check_grey(&i, pixels, (const float[]){1, 0.5f, 0, 0}, "rescale, window 100/400 LINEAR_EXACT, inverted");
    i.function = NULL;
    i.center = "0.5", i.width = "1e1";
    check_grey(&i, pixels, (const float[]){1, 0, 0, 0}, "rescale, window 0.5/10 LINEAR, inverted");
}

TEST(signed_pixels_are_negative_before_the_window)
{
    const uint16_t pixels[4] = {0xff38, 0, 0xff9c, 200}; /* -200 0 -100 200 */
    maker_image i = four;
    i.is_signed = 1;
    i.center = "0", i.width = "400", i.function = "LINEAR_EXACT";
    check_grey(&i, pixels, (const float[]){0, 0.5f, 0.25f, 1}, "window 0/400 LINEAR_EXACT");
}

TEST(voi_lut_goes_before_a_window)
{
    const uint16_t pixels[4] = {0, 1, 2, 9}, lut[6] = {3, 1, 10, 0, 1023, 341};
    maker_image i = four;
    i.center = "100", i.width = "10", i.voi_lut = lut;
    check_grey(&i, pixels, (const float[]){0, 0, 1, 341 / 1023.0f}, "VOI LUT of 3 entries");
}

TEST(wrong_windows_give_the_range_and_wrong_rescale_is_refused)
{
    const uint16_t pixels[4] = {100, 200, 300, 500};
    const float range[4] = {0, 0.25f, 0.5f, 1};
    static const char *const widths[] = {"0", "-5", "nan", "1e400", "", "12,5", "0x10"};
    cot_error err;
    cot_dicom_image *image = NULL;
    maker_image i = four;
    i.center = "100";
    for (size_t k = 0; k < sizeof widths / sizeof *widths; k++) {
        i.width = widths[k];
        check_grey(&i, pixels, range, "no VOI: values present 100 to 500");
    }
    i.slope = "zero";
    REQUIRE(maker_native(in_folder("grey.dcm"), &i, pixels, 8));
    CHECK_FAILS(cot_dicom_image_create(&image, in_folder("grey.dcm"), &err), COT_E_INPUT, "Rescale Slope (0028,1053)");
    i.slope = "0";
    REQUIRE(maker_native(in_folder("grey.dcm"), &i, pixels, 8));
    CHECK_FAILS(cot_dicom_image_create(&image, in_folder("grey.dcm"), &err), COT_E_INPUT, "Rescale Slope (0028,1053)");
    CHECK(image == NULL);
}

TEST(modality_lut_goes_before_the_window)
{
    const uint16_t pixels[4] = {0, 1, 2, 9}, lut[6] = {3, 0, 16, 1000, 1500, 2000};
    maker_image i = four;
    i.center = "1500", i.width = "2000", i.function = "LINEAR_EXACT", i.modality_lut = lut;
    check_grey(&i, pixels, (const float[]){0.25f, 0.5f, 0.75f, 0.75f}, "Modality LUT, window 1500/2000 LINEAR_EXACT");
}

TEST(monochrome1_and_inverse_shape_invert_once)
{
    const uint16_t pixels[4] = {0, 1, 2, 4};
    maker_image i = four;
    i.shape = "INVERSE";
    check_grey(&i, pixels, (const float[]){1, 0.75f, 0.5f, 0}, "no VOI: values present 0 to 4, inverted");
    i.photometric = "MONOCHROME1";
    check_grey(&i, pixels, (const float[]){1, 0.75f, 0.5f, 0}, "no VOI: values present 0 to 4, inverted");
    i.photometric = "MONOCHROME2", i.shape = "IDENTITY";
    check_grey(&i, pixels, (const float[]){0, 0.25f, 0.5f, 1}, "no VOI: values present 0 to 4");
}

TEST(for_processing_images_use_percentiles_and_the_beam)
{
    const uint16_t pixels[4] = {10, 100, 1000, 1000};
    maker_image i = four;
    i.sop_class = "1.2.840.10008.5.1.4.1.1.1.1.1";
    i.center = "5", i.width = "10"; /* not of this kind of image: ignored */
    i.relationship = "LIN", i.sign = 1;
    check_grey(&i, pixels, (const float[]){1, 0.5f, 0, 0},
               "for processing: 0.5 to 99.5 percentile 2.30259 to 6.90776 of the logarithm, inverted");
    i.relationship = "LOG", i.sign = -1;
    check_grey(&i, pixels, (const float[]){0, 1 / 11.0f, 1, 1}, "for processing: 0.5 to 99.5 percentile 10 to 1000");
}

TEST(a_window_that_is_a_sequence_is_no_window)
{
    const uint16_t pixels[4] = {100, 200, 300, 500};
    maker_image i = four;
    i.window_as_sequence = true, i.width = "10";
    check_grey(&i, pixels, (const float[]){0, 0.25f, 0.5f, 1}, "no VOI: values present 100 to 500");
}

/* ---- several frames ---- */
TEST(the_offset_table_says_where_frame_1_ends)
{
    static const unsigned char head[64] = {1, 0, 0, 0, 64};
    unsigned char bytes[3 * 68];
    for (size_t k = 0; k < 3; k++) {
        memcpy(bytes + 68 * k, head, 64);
        memcpy(bytes + 68 * k + 64, k ? "\xfd\x09\x80\x80" : "\xfd\x07\x80\x80", 4); /* four 9s, four 7s in frame 1 */
    }
    cot_error err;
    frame_stored frame;
    maker_image i = four;
    i.syntax = RLE_LOSSLESS, i.frames = "3", i.allocated = i.stored = 8, i.high = 7;
    REQUIRE(maker_encapsulated(in_folder("frames.dcm"), &i, bytes, sizeof bytes, 68)); /* one fragment each */
    REQUIRE_OK(frame_decode(&frame, in_folder("frames.dcm"), &err));
    CHECK_NUMBER(frame.codes[3], 7);
    frame_stored_fini(&frame);
    maker m = {0};
    maker_header(&m, &i);
    maker_fragments(&m, (const unsigned[]){0, 2 * (34 + 8), 4 * (34 + 8)}, 3, bytes, sizeof bytes, 34); /* two each */
    REQUIRE(maker_save(&m, in_folder("frames.dcm")));
    REQUIRE_OK(frame_decode(&frame, in_folder("frames.dcm"), &err));
    CHECK_NUMBER(frame.codes[3], 7);
    frame_stored_fini(&frame);
    maker_header(&m, &i);
    maker_fragments(&m, (const unsigned[]){0, 77}, 2, bytes, sizeof bytes, 34); /* points between fragments */
    REQUIRE(maker_save(&m, in_folder("frames.dcm")));
    CHECK_FAILS(frame_decode(&frame, in_folder("frames.dcm"), &err), COT_E_REFUSED, "no offset table");
}

CHECK_MAIN
