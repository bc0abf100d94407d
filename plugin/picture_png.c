/* PNG by libpng: 1 to 16 bits, grey, colour, palette, alpha, interlaced. Its chunks are bounded, its text is not kept.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dicom/dicom.h"
#include "plugin/picture.h"

#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

typedef struct reader {
    picture *p;
    size_t at;
    png_structp png;
    png_infop info;
    png_bytep held;   /* the rows being decoded: one, or all of an interlaced picture */
    png_bytep *lines; /* [held rows] */
    size_t channels, bytes_per_sample;
    cot_error *err;
    cot_status status;
    jmp_buf away;
} reader;

static void on_error(png_structp png, png_const_charp message)
{
    reader *r = png_get_error_ptr(png);
    if (r->status == COT_OK) r->status = cot_fail(r->err, COT_E_INPUT, "damaged or truncated PNG: %.200s", message);
    longjmp(r->away, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png, (void)message;
}

static void on_read(png_structp png, png_bytep to, size_t n)
{
    reader *r = png_get_io_ptr(png);
    if (n > r->p->size - r->at) png_error(png, "the file ends too early");
    memcpy(to, r->p->data + r->at, n);
    r->at += n;
}

/* Everything becomes grey, grey+alpha, RGB or RGBA of 8 or 16 bits. */
static void set_up(reader *r)
{
    png_set_user_limits(r->png, 65535, 65535);
    png_set_chunk_cache_max(r->png, 64);
    png_set_chunk_malloc_max(r->png, (png_alloc_size_t)8 << 20);
    png_set_read_fn(r->png, r, on_read);
    png_read_info(r->png, r->info);
    const int colour = png_get_color_type(r->png, r->info);
    if (colour == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(r->png);
    if (colour == PNG_COLOR_TYPE_GRAY && png_get_bit_depth(r->png, r->info) < 8) png_set_expand_gray_1_2_4_to_8(r->png);
    if (png_get_valid(r->png, r->info, PNG_INFO_tRNS)) png_set_tRNS_to_alpha(r->png);
}

static void hold_rows(reader *r, bool interlaced)
{
    const size_t line = png_get_rowbytes(r->png, r->info), n = interlaced ? r->p->rows : 1;
    size_t bytes;
    r->channels = png_get_channels(r->png, r->info);
    r->bytes_per_sample = png_get_bit_depth(r->png, r->info) / 8u;
    if (cot_mul(&bytes, line, n)) r->held = malloc(bytes);
    r->lines = calloc(n, sizeof *r->lines);
    if (!r->held || !r->lines) {
        r->status = cot_fail(r->err, COT_E_MEMORY, "no memory for %zu rows of a PNG", n);
        longjmp(r->away, 1);
    }
    for (size_t i = 0; i < n; i++) r->lines[i] = r->held + i * line;
}

static float sample(const reader *r, const unsigned char *at)
{
    return r->bytes_per_sample == 2 ? (float)(at[0] << 8 | at[1]) / 65535.0f : (float)at[0] / 255.0f;
}

static void to_grey(reader *r, float *out, const unsigned char *line)
{
    const size_t b = r->bytes_per_sample, step = b * r->channels;
    const float tolerance = ((float)cot_colour_tolerance(false) + 0.5f) / 255.0f;
    for (size_t c = 0; c < r->p->cols; c++, line += step) {
        const float alpha = r->channels == 2 || r->channels == 4 ? sample(r, line + step - b) : 1;
        float v = sample(r, line);
        if (r->channels >= 3) {
            const float green = sample(r, line + b), blue = sample(r, line + 2 * b);
            const float most = fmaxf(v, fmaxf(green, blue)), least = fminf(v, fminf(green, blue));
            r->p->coloured += (most - least) * alpha > tolerance;
            v = 0.299f * v + 0.587f * green + 0.114f * blue;
        }
        out[c] = v * alpha;
    }
}

static void decode(reader *r)
{
    set_up(r);
    r->status =
        picture_allocate(r->p, png_get_image_height(r->png, r->info), png_get_image_width(r->png, r->info), r->err);
    if (r->status != COT_OK) longjmp(r->away, 1);
    const bool interlaced = png_set_interlace_handling(r->png) > 1;
    png_read_update_info(r->png, r->info);
    hold_rows(r, interlaced);
    if (interlaced) png_read_image(r->png, r->lines);
    for (size_t y = 0; y < r->p->rows; y++) {
        if (!interlaced) png_read_row(r->png, r->held, NULL);
        to_grey(r, r->p->grey + y * r->p->cols, r->lines[interlaced ? y : 0]);
    }
    png_read_end(r->png, NULL);
}

/* A function of its own: nothing that must survive the jump is a local of it. */
static void decode_guarded(reader *r)
{
    if (!setjmp(r->away)) decode(r);
}

cot_status picture_read_png(picture *p, cot_error *err)
{
    reader r = {.p = p, .err = err};
    r.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, on_error, on_warning);
    if (r.png) r.info = png_create_info_struct(r.png);
    if (!r.info) {
        png_destroy_read_struct(&r.png, NULL, NULL);
        return cot_fail(err, COT_E_MEMORY, "no memory for a PNG");
    }
    decode_guarded(&r);
    png_destroy_read_struct(&r.png, &r.info, NULL);
    free(r.held);
    free(r.lines);
    return r.status;
}
