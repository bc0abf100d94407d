/* The canvas of a reading's picture: the image to the left, the steps to the right, head and foot across. It is laid out
 * twice, first with a pen that only measures, so that it is as high as its text needs. Long sides stay near 1800 pixels:
 * shown in 1024, the smallest text is still 10 pixels high. SPDX-License-Identifier: Apache-2.0 */
#include "dicom/capture.h"
#include "dicom/dicom.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MARGIN = 28, IMAGE_WIDE = 900, IMAGE_HIGH = 1040, TABLE_WIDE = 830, CANVAS_HIGH_MOST = 6000 };

const capture_colour capture_white = {0.96, 0.96, 0.96}, capture_grey = {0.68, 0.70, 0.72},
                     capture_amber = {1.00, 0.76, 0.25};

bool capture_shows(uint64_t drawn, size_t step)
{
    return !drawn || (step < 64 && (drawn >> step & 1));
}

/* ---- the image ---- */
typedef struct placed { /* the image in canvas pixels */
    double cols, rows;
} placed;

static placed image_place(const capture_picture *p)
{
    const double cols = (double)p->cols, rows = (double)p->rows, scale = fmin(IMAGE_WIDE / cols, IMAGE_HIGH / rows);
    return (placed){fmax(round(cols * scale), 1), fmax(round(rows * scale), 1)};
}

/* At most as large as it is shown; cairo enlarges smaller ones. */
static cairo_surface_t *image_surface(const capture_picture *p, placed at)
{
    const size_t cols = p->cols < (size_t)at.cols ? p->cols : (size_t)at.cols,
                 rows = p->rows < (size_t)at.rows ? p->rows : (size_t)at.rows;
    unsigned char *grey = malloc(cols * rows);
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)cols, (int)rows);
    if (!grey || cairo_surface_status(surface) != CAIRO_STATUS_SUCCESS ||
        !cot_grey_shrink(grey, rows, cols, p->grey, p->rows, p->cols)) {
        cairo_surface_destroy(surface);
        free(grey);
        return NULL;
    }
    cairo_surface_flush(surface);
    unsigned char *data = cairo_image_surface_get_data(surface);
    const size_t stride = (size_t)cairo_image_surface_get_stride(surface);
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++) {
            const uint32_t pixel = grey[r * cols + c] * 0x010101U;
            memcpy(data + r * stride + c * 4, &pixel, sizeof pixel);
        }
    cairo_surface_mark_dirty(surface);
    free(grey);
    return surface;
}

static bool image_paint(const capture_pen *pen, const capture_picture *p, placed at)
{
    cairo_surface_t *surface = image_surface(p, at);
    if (!surface) return false;
    cairo_save(pen->cr);
    cairo_rectangle(pen->cr, pen->x, pen->y, at.cols, at.rows);
    cairo_clip(pen->cr);
    cairo_translate(pen->cr, pen->x, pen->y);
    cairo_scale(pen->cr, at.cols / cairo_image_surface_get_width(surface),
                at.rows / cairo_image_surface_get_height(surface));
    cairo_set_source_surface(pen->cr, surface, 0, 0);
    cairo_pattern_set_filter(cairo_get_source(pen->cr), CAIRO_FILTER_BILINEAR);
    cairo_pattern_set_extend(cairo_get_source(pen->cr), CAIRO_EXTEND_PAD);
    cairo_paint(pen->cr);
    cairo_restore(pen->cr);
    cairo_surface_destroy(surface);
    return true;
}

/* ---- the whole ---- */
typedef struct scene {
    const cot_chain *chain;
    const cot_steps *steps;
    const capture_picture *picture;
    uint64_t drawn;
    placed at;
    double cols; /* of the canvas */
} scene;

/* false: no memory. The pen ends at the bottom edge. */
static bool scene_draw(const scene *s, capture_pen *pen)
{
    pen->x = pen->y = MARGIN;
    pen->width = s->cols - 2 * MARGIN;
    capture_head(pen, s->chain);
    const double top = pen->y += 14;
    if (pen->draws && !image_paint(pen, s->picture, s->at)) return false;
    if (pen->draws) capture_regions(pen, s->chain, s->drawn, s->at.cols, s->at.rows);
    pen->x = 2 * MARGIN + s->at.cols;
    pen->width = TABLE_WIDE;
    capture_table(pen, s->chain, s->steps, CANVAS_HIGH_MOST);
    pen->x = MARGIN;
    pen->y = fmax(pen->y, top + s->at.rows) + 18;
    pen->width = s->cols - 2 * MARGIN;
    capture_foot(pen, s->chain, s->drawn);
    pen->y += MARGIN;
    return true;
}

static bool scene_on(const scene *s, cairo_surface_t *surface, capture_pen *pen)
{
    PangoFontMap *fonts = pango_cairo_font_map_new();
    PangoContext *context = pango_font_map_create_context(fonts);
    pen->cr = cairo_create(surface);
    pen->layout = pango_layout_new(context);
    pango_cairo_update_context(pen->cr, context);
    const bool good = scene_draw(s, pen) && cairo_status(pen->cr) == CAIRO_STATUS_SUCCESS;
    g_object_unref(pen->layout);
    g_object_unref(context);
    g_object_unref(fonts);
    cairo_destroy(pen->cr);
    return good;
}

static bool canvas_take(capture_canvas *out, cairo_surface_t *surface)
{
    cairo_surface_flush(surface);
    const unsigned char *data = cairo_image_surface_get_data(surface);
    const size_t stride = (size_t)cairo_image_surface_get_stride(surface);
    out->rgb = malloc(out->rows * out->cols * 3);
    if (!out->rgb) return false;
    for (size_t r = 0; r < out->rows; r++)
        for (size_t c = 0; c < out->cols; c++) {
            uint32_t pixel;
            memcpy(&pixel, data + r * stride + c * 4, sizeof pixel);
            for (size_t k = 0; k < 3; k++)
                out->rgb[(r * out->cols + c) * 3 + k] = (unsigned char)(pixel >> (16 - 8 * k));
        }
    return true;
}

cot_status capture_draw(capture_canvas *out, const cot_chain *chain, const cot_steps *steps,
                        const capture_picture *picture, uint64_t drawn, cot_error *err)
{
    memset(out, 0, sizeof *out);
    if (!picture->rows || !picture->cols) return cot_fail(err, COT_E_BUG, "capture: an image without pixels");
    scene s = {chain, steps, picture, drawn, image_place(picture), 0};
    s.cols = 3 * MARGIN + s.at.cols + TABLE_WIDE;
    cairo_surface_t *probe = cairo_image_surface_create(CAIRO_FORMAT_RGB24, 1, 1), *surface = NULL;
    capture_pen measuring = {0}, pen = {.draws = true};
    bool good = scene_on(&s, probe, &measuring);
    if (good) {
        out->cols = (size_t)s.cols;
        out->rows = (size_t)ceil(measuring.y);
        surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)out->cols, (int)out->rows); /* black */
        good = scene_on(&s, surface, &pen) && canvas_take(out, surface);
        out->unknown = pen.unknown;
    }
    cairo_surface_destroy(probe);
    cairo_surface_destroy(surface);
    return good ? COT_OK
                : cot_fail(err, COT_E_MEMORY, "capture: no memory to draw %zu x %zu pixels", out->cols, out->rows);
}
