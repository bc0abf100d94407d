/* Inside dicom/: the picture of a reading, for viewers that show no Structured Reports. capture_draw.c makes the pixels,
 * capture_text.c and capture_regions.c what is on them, capture.cc the object around them. Plain C: no DCMTK here.
 * Threads: one picture at a time per process (fontconfig). SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_CAPTURE_H
#define COT_CAPTURE_H
#include "config/chain.h"

#include <pango/pangocairo.h>
#ifdef __cplusplus
extern "C" {
#endif

typedef struct capture_picture {
    const float *grey; /* [rows, cols] 0 black … 1 white */
    size_t rows, cols;
} capture_picture;
typedef struct capture_canvas {
    unsigned char *rgb; /* [rows, cols, 3]; the caller's to free */
    size_t rows, cols;
    size_t unknown; /* characters for which this machine has no font: boxes with their number stand there */
} capture_canvas;

/* `drawn`: bit s set: the regions of step s are drawn; 0: those of all steps. */
cot_status capture_draw(capture_canvas *out, const cot_chain *chain, const cot_steps *steps,
                        const capture_picture *picture, uint64_t drawn, cot_error *err);
bool capture_shows(uint64_t drawn, size_t step);

/* ---- between the drawing files ---- */
typedef struct capture_colour {
    double red, green, blue;
} capture_colour;
extern const capture_colour capture_white, capture_grey, capture_amber;
capture_colour capture_step_colour(size_t step);

/* Where text goes. Every line of text moves `y` down; a pen that only measures has no `draws`. */
typedef struct capture_pen {
    cairo_t *cr;
    PangoLayout *layout;
    double x, y, width;
    bool draws;
    size_t unknown;
} capture_pen;
typedef struct capture_style {
    double size; /* pixels */
    bool bold;
    capture_colour colour;
} capture_style;
/* Wrapped to the pen's width. */
void capture_text(capture_pen *pen, capture_style style, const char *format, ...) COT_PRINTF(3, 4);
/* A disc with the step's number around (x, y). */
void capture_badge(capture_pen *pen, double x, double y, size_t step, capture_colour colour);
enum { CAPTURE_BADGE = 19 }; /* its radius */

/* What is read beside the image; `bottom`: what would lie below it is left out, and said. */
void capture_head(capture_pen *pen, const cot_chain *chain);
void capture_table(capture_pen *pen, const cot_chain *chain, const cot_steps *steps, double bottom);
void capture_foot(capture_pen *pen, const cot_chain *chain, uint64_t drawn);
/* Outlines and numbers over the image, which lies at the pen's place in `cols` x `rows` pixels. */
void capture_regions(capture_pen *pen, const cot_chain *chain, uint64_t drawn, double cols, double rows);

#ifdef __cplusplus
}
#endif
#endif
