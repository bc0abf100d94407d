/* JPEG by libjpeg: grey, YCbCr and RGB of 8 bits, baseline or progressive. Missing or damaged data, which libjpeg only warns
 * about and fills with grey, is an error here: an invented part of a radiograph must not be read.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dicom/dicom.h"
#include "plugin/picture.h"

#include <jpeglib.h>

#include <jerror.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

typedef struct reader {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr handlers;
    picture *p;
    cot_error *err;
    cot_status status;
    jmp_buf away;
} reader;

static void leave(j_common_ptr any)
{
    reader *r = any->client_data;
    char text[JMSG_LENGTH_MAX];
    any->err->format_message(any, text);
    if (r->status == COT_OK)
        r->status = cot_fail(r->err, COT_E_INPUT, "damaged, truncated or unsupported JPEG: %.180s", text);
    longjmp(r->away, 1);
}

static void on_message(j_common_ptr any, int level)
{
    const int code = any->err->msg_code;
    if (level < 0 && code != JWRN_EXTRANEOUS_DATA && code != JWRN_ADOBE_XFORM) leave(any);
}

static void on_output(j_common_ptr any)
{
    (void)any;
}

static void refuse(reader *r, const char *why)
{
    r->status = cot_fail(r->err, COT_E_REFUSED, "%s", why);
    longjmp(r->away, 1);
}

/* ---- orientation: EXIF tag 0x0112 in the first APP1 segment ---- */
typedef struct exif {
    const unsigned char *data;
    size_t size;
    bool little;
} exif;

/* `n` bytes as a number, or 0 beyond the end. */
static uint32_t exif_number(const exif *e, size_t at, size_t n)
{
    uint32_t v = 0;
    if (at > e->size || n > e->size - at) return 0;
    for (size_t i = 0; i < n; i++) v = v << 8 | e->data[e->little ? at + n - 1 - i : at + i];
    return v;
}

/* 1 (upright, also when nothing is said) to 8. */
static uint32_t orientation_of(const struct jpeg_decompress_struct *j)
{
    for (jpeg_saved_marker_ptr m = j->marker_list; m; m = m->next) {
        if (m->marker != JPEG_APP0 + 1 || m->data_length < 14 || memcmp(m->data, "Exif\0", 6) != 0) continue;
        const exif e = {m->data + 6, m->data_length - 6, m->data[6] == 'I'};
        const size_t folder = exif_number(&e, 4, 4), entries = exif_number(&e, folder, 2);
        for (size_t i = 0; i < entries; i++)
            if (exif_number(&e, folder + 2 + 12 * i, 2) == 0x0112) return exif_number(&e, folder + 10 + 12 * i, 2);
    }
    return 1;
}

/* One pixel's grey; of YCbCr the first component is the luma itself, and grey has Cb and Cr near 128. */
static float to_grey(picture *p, J_COLOR_SPACE space, const JSAMPLE *s)
{
    const int tolerance = (int)cot_colour_tolerance(true);
    if (space == JCS_YCbCr)
        p->coloured += abs(s[1] - 128) > tolerance || abs(s[2] - 128) > tolerance;
    else if (space == JCS_RGB)
        p->coloured += abs(s[0] - s[1]) > tolerance || abs(s[1] - s[2]) > tolerance || abs(s[0] - s[2]) > tolerance;
    return space == JCS_RGB ? (0.299f * (float)s[0] + 0.587f * (float)s[1] + 0.114f * (float)s[2]) / 255.0f
                            : (float)s[0] / 255.0f;
}

static void decode(reader *r)
{
    struct jpeg_decompress_struct *j = &r->jpeg;
    jpeg_create_decompress(j);
    j->mem->max_memory_to_use = 512l << 20;
    jpeg_mem_src(j, r->p->data, r->p->size);
    jpeg_save_markers(j, JPEG_APP0 + 1, 65533);
    jpeg_read_header(j, TRUE);
    if (orientation_of(j) > 1)
        refuse(r, "the picture is stored turned or mirrored (EXIF Orientation). Save it upright, without that tag");
    if (j->jpeg_color_space == JCS_CMYK || j->jpeg_color_space == JCS_YCCK)
        refuse(r, "a CMYK picture is for print: its grey values are not those of a radiograph. Save it as grey or RGB");
    if (j->jpeg_color_space == JCS_UNKNOWN) refuse(r, "a JPEG of unknown colour space. Save it as grey or RGB");
    j->out_color_space = j->jpeg_color_space;
    r->status = picture_allocate(r->p, j->image_height, j->image_width, r->err);
    if (r->status != COT_OK) longjmp(r->away, 1);
    jpeg_start_decompress(j);
    JSAMPARRAY line =
        j->mem->alloc_sarray((j_common_ptr)j, JPOOL_IMAGE, j->output_width * (unsigned)j->output_components, 1);
    while (j->output_scanline < j->output_height) {
        float *out = r->p->grey + (size_t)j->output_scanline * r->p->cols;
        jpeg_read_scanlines(j, line, 1);
        const JSAMPLE *s = line[0];
        for (size_t c = 0; c < r->p->cols; c++, s += j->output_components)
            out[c] = to_grey(r->p, j->out_color_space, s);
    }
    jpeg_finish_decompress(j);
}

/* A function of its own: nothing that must survive the jump is a local of it. */
static void decode_guarded(reader *r)
{
    if (!setjmp(r->away)) decode(r);
}

cot_status picture_read_jpeg(picture *p, cot_error *err)
{
    reader r = {.p = p, .err = err};
    r.jpeg.err = jpeg_std_error(&r.handlers);
    r.jpeg.client_data = &r;
    r.handlers.error_exit = leave;
    r.handlers.emit_message = on_message;
    r.handlers.output_message = on_output;
    decode_guarded(&r);
    jpeg_destroy_decompress(&r.jpeg);
    return r.status;
}
