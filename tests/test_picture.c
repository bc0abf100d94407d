/* links: plugin */
/* PNG and JPEG: every kind the reader takes, against values computed here; and files that must be refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/node.h"
#include "tests/check.h"

#include <jpeglib.h>
#include <png.h>
#include <unistd.h>

static cot_error err;
static const char *const path = "picture-under-test";

/* ---- writing ---- */
typedef struct kind {
    int colour, depth, interlace;
    size_t bytes_per_row;
} kind;
enum { W = 5, H = 4 };

static void put(const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size) abort();
    fclose(f);
}

static size_t get(unsigned char *to, size_t size)
{
    FILE *f = fopen(path, "rb");
    if (!f) abort();
    const size_t n = fread(to, 1, size, f);
    fclose(f);
    return n;
}

/* Rows as libpng takes them: 16 bits big-endian, small depths packed. */
static void write_png(const kind *k, unsigned char *rows, size_t w, size_t h)
{
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    FILE *f = fopen(path, "wb");
    png_bytep lines[64];
    if (!f || !info || h > 64) abort();
    png_init_io(png, f);
    png_set_IHDR(png, info, (unsigned)w, (unsigned)h, k->depth, k->colour, k->interlace, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    if (k->colour == PNG_COLOR_TYPE_PALETTE) {
        const png_color colours[4] = {{0, 0, 0}, {76, 76, 76}, {150, 150, 150}, {255, 255, 255}};
        png_set_PLTE(png, info, colours, 4);
    }
    png_write_info(png, info);
    for (size_t y = 0; y < h; y++) lines[y] = rows + y * k->bytes_per_row;
    png_write_image(png, lines);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    fclose(f);
}

static void write_jpeg(J_COLOR_SPACE space, int components, const unsigned char *rows, unsigned w, unsigned h,
                       bool progressive)
{
    struct jpeg_compress_struct j;
    struct jpeg_error_mgr handlers;
    FILE *f = fopen(path, "wb");
    if (!f) abort();
    j.err = jpeg_std_error(&handlers);
    jpeg_create_compress(&j);
    jpeg_stdio_dest(&j, f);
    j.image_width = w;
    j.image_height = h;
    j.input_components = components;
    j.in_color_space = space;
    jpeg_set_defaults(&j);
    jpeg_set_quality(&j, 100, TRUE);
    if (progressive) jpeg_simple_progression(&j);
    jpeg_start_compress(&j, TRUE);
    for (unsigned y = 0; y < h; y++) {
        JSAMPROW line = (JSAMPROW)(uintptr_t)(rows + (size_t)y * w * (unsigned)components);
        jpeg_write_scanlines(&j, &line, 1);
    }
    jpeg_finish_compress(&j);
    jpeg_destroy_compress(&j);
    fclose(f);
}

/* ---- reading back ---- */
static void check_png(const kind *k, unsigned char *rows, const float *want)
{
    float *grey = NULL;
    size_t h = 0, w = 0;
    write_png(k, rows, W, H);
    REQUIRE_OK(cot_picture_load(&grey, &h, &w, path, &err));
    CHECK(h == H && w == W);
    CHECK_FLOATS(grey, want, W * H, 1e-6);
    free(grey);
    unlink(path);
}

TEST(png_grey_of_8_bits_plain_and_interlaced_gives_its_values)
{
    unsigned char rows[W * H];
    float want[W * H];
    for (size_t i = 0; i < W * H; i++) want[i] = (float)(rows[i] = (unsigned char)(i * 13)) / 255;
    check_png(&(kind){PNG_COLOR_TYPE_GRAY, 8, PNG_INTERLACE_NONE, W}, rows, want);
    check_png(&(kind){PNG_COLOR_TYPE_GRAY, 8, PNG_INTERLACE_ADAM7, W}, rows, want);
}

TEST(png_grey_of_16_bits_keeps_all_of_them)
{
    unsigned char rows[W * H * 2];
    float want[W * H];
    for (size_t i = 0; i < W * H; i++) {
        const unsigned v = (unsigned)(i * 3277 + 1);
        rows[2 * i] = (unsigned char)(v >> 8);
        rows[2 * i + 1] = (unsigned char)v;
        want[i] = (float)v / 65535;
    }
    check_png(&(kind){PNG_COLOR_TYPE_GRAY, 16, PNG_INTERLACE_NONE, W * 2}, rows, want);
    check_png(&(kind){PNG_COLOR_TYPE_GRAY, 16, PNG_INTERLACE_ADAM7, W * 2}, rows, want);
}

TEST(png_of_1_bit_is_black_and_white)
{
    unsigned char rows[H] = {0x50, 0xa8, 0, 0xff};
    const float want[W * H] = {0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1};
    check_png(&(kind){PNG_COLOR_TYPE_GRAY, 1, PNG_INTERLACE_NONE, 1}, rows, want);
}

TEST(png_grey_stored_as_colour_or_palette_is_read)
{
    unsigned char rows[W * H * 3], indices[W * H];
    float want[W * H];
    for (size_t i = 0; i < W * H; i++) {
        rows[3 * i] = rows[3 * i + 1] = rows[3 * i + 2] = (unsigned char)(i * 12);
        rows[3 * i + i % 3]++; /* one level off is still grey */
        want[i] = (0.299f * rows[3 * i] + 0.587f * rows[3 * i + 1] + 0.114f * rows[3 * i + 2]) / 255;
    }
    check_png(&(kind){PNG_COLOR_TYPE_RGB, 8, PNG_INTERLACE_NONE, W * 3}, rows, want);
    const float palette[4] = {0, 76 / 255.0f, 150 / 255.0f, 1};
    for (size_t i = 0; i < W * H; i++) want[i] = palette[indices[i] = (unsigned char)(i % 4)];
    check_png(&(kind){PNG_COLOR_TYPE_PALETTE, 8, PNG_INTERLACE_NONE, W}, indices, want);
}

TEST(png_transparency_lies_on_black)
{
    unsigned char rows[W * H * 2];
    float want[W * H];
    for (size_t i = 0; i < W * H; i++) {
        rows[2 * i] = 200;
        rows[2 * i + 1] = (unsigned char)(i * 10);
        want[i] = 200.0f / 255 * (float)(i * 10) / 255;
    }
    check_png(&(kind){PNG_COLOR_TYPE_GRAY_ALPHA, 8, PNG_INTERLACE_NONE, W * 2}, rows, want);
}

TEST(jpeg_grey_colour_and_progressive_are_read)
{
    unsigned char rows[16 * 16 * 3];
    float *grey = NULL;
    size_t h, w;
    for (size_t i = 0; i < 256; i++) rows[i] = (unsigned char)(i / 16 * 15);
    for (int progressive = 0; progressive < 2; progressive++) {
        write_jpeg(JCS_GRAYSCALE, 1, rows, 16, 16, progressive);
        REQUIRE_OK(cot_picture_load(&grey, &h, &w, path, &err));
        CHECK(h == 16 && w == 16);
        for (size_t i = 0; i < 256; i++) CHECK_NEAR(grey[i], rows[i] / 255.0, 3 / 255.0);
        free(grey);
    }
    for (size_t i = 0; i < 256; i++) rows[3 * i] = 110, rows[3 * i + 1] = 100, rows[3 * i + 2] = 105;
    write_jpeg(JCS_RGB, 3, rows, 16, 16, false);
    REQUIRE_OK(cot_picture_load(&grey, &h, &w, path, &err));
    CHECK_NEAR(grey[100], (0.299 * 110 + 0.587 * 100 + 0.114 * 105) / 255, 3 / 255.0);
    free(grey);
    unlink(path);
}

/* ---- refused ---- */
static cot_status load(void)
{
    float *grey = NULL;
    size_t h, w;
    const cot_status status = cot_picture_load(&grey, &h, &w, path, &err);
    if (status != COT_OK && grey) abort();
    free(grey);
    unlink(path);
    return status;
}

/* 64 x 64 pixels, of which `n` are red; as RGBA with `alpha`, else as RGB. */
static void write_red_pixels(size_t n, bool jpeg, int alpha)
{
    static unsigned char rows[64 * 64 * 4];
    const size_t c = alpha < 0 ? 3 : 4;
    for (size_t i = 0; i < 64 * 64; i++) {
        const bool red = i >= 64 * 64 - n;
        rows[c * i] = red ? 255 : 90;
        rows[c * i + 1] = rows[c * i + 2] = red ? 0 : 90;
        if (alpha >= 0) rows[c * i + 3] = red ? (unsigned char)alpha : 255;
    }
    if (jpeg)
        write_jpeg(JCS_RGB, 3, rows, 64, 64, false);
    else
        write_png(&(kind){alpha < 0 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_RGB_ALPHA, 8, PNG_INTERLACE_NONE, 64 * c},
                  rows, 64, 64);
}

TEST(a_picture_in_colour_is_refused_by_the_rule_for_dicom_images)
{
    write_red_pixels(1, false, -1);
    CHECK_FAILS(load(), COT_E_REFUSED, "in colour (1 of 4096 pixels)");
    write_red_pixels(1, false, 255);
    CHECK_FAILS(load(), COT_E_REFUSED, "in colour (1 of 4096 pixels)");
    write_red_pixels(1, false, 0); /* invisible */
    CHECK_OK(load());
    write_red_pixels(0, false, -1);
    CHECK_OK(load());
    write_red_pixels(0, true, -1);
    CHECK_OK(load());
    write_red_pixels(64 * 32, true, -1);
    CHECK_FAILS(load(), COT_E_REFUSED, "of 4096 pixels): a radiograph is grey");
    unsigned char rows[W * H * 6];
    for (size_t i = 0; i < W * H; i++)
        for (size_t c = 0; c < 3; c++) rows[6 * i + 2 * c] = 100, rows[6 * i + 2 * c + 1] = (unsigned char)(85 * c);
    const kind wide = {PNG_COLOR_TYPE_RGB, 16, PNG_INTERLACE_NONE, W * 6};
    write_png(&wide, rows, W, H); /* 170 of 65535 apart: less than one level of 255 */
    CHECK_OK(load());
    rows[0] = 104;
    write_png(&wide, rows, W, H);
    CHECK_FAILS(load(), COT_E_REFUSED, "in colour (1 of 20 pixels)");
}

TEST(a_cmyk_jpeg_is_refused_with_the_reason)
{
    static unsigned char rows[16 * 16 * 4];
    write_jpeg(JCS_CMYK, 4, rows, 16, 16, false);
    CHECK_FAILS(load(), COT_E_REFUSED, "CMYK");
}

/* An EXIF segment with this orientation, put behind the first two bytes of the JPEG at `path`. */
static void add_orientation(unsigned char value, bool little)
{
    unsigned char exif[] = {0xff, 0xe1, 0, 34,   'E', 'x', 'i', 'f', 0, 0, 'M', 'M',   0, 42, 0, 0, 0, 8,
                            0,    1,    1, 0x12, 0,   3,   0,   0,   0, 1, 0,   value, 0, 0,  0, 0, 0, 0};
    const unsigned char intel[] = {'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, value, 0};
    unsigned char file[8192], whole[8192 + sizeof exif];
    const size_t size = get(file, sizeof file);
    if (little) memcpy(exif + 10, intel, sizeof intel);
    memcpy(whole, file, 2);
    memcpy(whole + 2, exif, sizeof exif);
    memcpy(whole + 2 + sizeof exif, file + 2, size - 2);
    put(whole, size + sizeof exif);
}

TEST(a_jpeg_that_is_stored_turned_is_refused)
{
    static unsigned char rows[16 * 16];
    for (int little = 0; little < 2; little++)
        for (unsigned char value = 0; value < 9; value++) {
            write_jpeg(JCS_GRAYSCALE, 1, rows, 16, 16, false);
            add_orientation(value, little);
            if (value < 2)
                CHECK_OK(load());
            else
                CHECK_FAILS(load(), COT_E_REFUSED, "EXIF Orientation");
        }
}

TEST(every_truncated_png_is_refused)
{
    unsigned char rows[W * H], file[4096];
    for (size_t i = 0; i < W * H; i++) rows[i] = (unsigned char)(i * 13);
    write_png(&(kind){PNG_COLOR_TYPE_GRAY, 8, PNG_INTERLACE_NONE, W}, rows, W, H);
    const size_t size = get(file, sizeof file);
    for (size_t n = 8; n < size; n++) {
        put(file, n);
        CHECK_FAILS(load(), COT_E_INPUT, "PNG");
    }
}

TEST(every_jpeg_cut_within_its_image_is_refused)
{
    unsigned char rows[64 * 64], *file = malloc(65536);
    REQUIRE(file);
    for (size_t i = 0; i < sizeof rows; i++) rows[i] = (unsigned char)(i * 7 + i / 64);
    for (int progressive = 0; progressive < 2; progressive++) {
        write_jpeg(JCS_GRAYSCALE, 1, rows, 64, 64, progressive);
        const size_t size = get(file, 65536);
        for (size_t n = 4; n + 2 < size; n += 17) {
            put(file, n);
            CHECK_FAILS(load(), COT_E_INPUT, "JPEG");
        }
    }
    free(file);
}

TEST(flipped_bytes_never_crash)
{
    unsigned char rows[64 * 64], *file = malloc(65536), *copy = malloc(65536);
    unsigned seed = 7;
    REQUIRE(file && copy);
    for (size_t i = 0; i < sizeof rows; i++) rows[i] = (unsigned char)(i * 7 + i / 64);
    for (int jpeg = 0; jpeg < 2; jpeg++) {
        size_t refused = 0;
        if (jpeg)
            write_jpeg(JCS_GRAYSCALE, 1, rows, 64, 64, false);
        else
            write_png(&(kind){PNG_COLOR_TYPE_GRAY, 8, PNG_INTERLACE_ADAM7, 64}, rows, 64, 64);
        const size_t size = get(file, 65536);
        for (int round = 0; round < 400; round++) {
            memcpy(copy, file, size);
            for (int k = 0; k < 4; k++) {
                seed = seed * 1664525u + 1013904223u;
                copy[8 + (seed >> 8) % (size - 8)] ^= (unsigned char)(1u << (seed >> 29));
            }
            put(copy, size);
            refused += load() != COT_OK;
        }
        CHECK(refused > 0);
    }
    free(file);
    free(copy);
}

TEST(a_png_that_claims_more_than_64_megapixels_is_refused_before_memory_is_taken)
{
    unsigned char rows[W * H] = {0}, file[4096];
    write_png(&(kind){PNG_COLOR_TYPE_GRAY, 8, PNG_INTERLACE_NONE, W}, rows, W, H);
    const size_t size = get(file, sizeof file);
    const unsigned char ihdr[17] = {'I', 'H', 'D', 'R', 0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff, 8, 0, 0, 0, 0};
    memcpy(file + 12, ihdr, sizeof ihdr);
    unsigned long crc = 0xffffffff;
    for (size_t i = 0; i < sizeof ihdr; i++) {
        crc ^= ihdr[i];
        for (int k = 0; k < 8; k++) crc = crc & 1 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
    }
    crc ^= 0xffffffff;
    for (int i = 0; i < 4; i++) file[29 + i] = (unsigned char)(crc >> (24 - 8 * i));
    put(file, size);
    CHECK_FAILS(load(), COT_E_LIMIT, "65535 x 65535 pixels");
}

TEST(other_files_are_told_apart)
{
    CHECK(cot_picture_is((const unsigned char *)"\x89PNG\r\n\x1a\n01234567"));
    CHECK(cot_picture_is((const unsigned char *)"\xff\xd8\xff\xe0"
                                                "0123456789ab"));
    CHECK(!cot_picture_is((const unsigned char *)"GIF89a0123456789"));
    put("GIF89a", 6);
    CHECK_FAILS(load(), COT_E_INPUT, "neither PNG nor JPEG");
    put("", 0);
    CHECK_FAILS(load(), COT_E_INPUT, "neither PNG nor JPEG");
    CHECK_FAILS(load(), COT_E_IO, "No such file");
}

int main(int argc, char **argv)
{
    char folder[] = "/tmp/cot-picture-XXXXXX";
    int check_all(int, char **);
    if (!mkdtemp(folder) || chdir(folder) != 0) abort();
    const int bad = check_all(argc, argv);
    if (chdir("/") != 0 || rmdir(folder) != 0) return 1; /* a test left a file behind */
    return bad;
}
#define main check_all
CHECK_MAIN
