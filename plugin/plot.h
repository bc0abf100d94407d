/* Inside plugin/: figures as inline SVG, and the page around them: one HTML file without any other resource, for a phone, a
 * screen and paper. Text is escaped here; numbers are short. Errors of the stream are the caller's to look at.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_PLOT_H
#define COT_PLOT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* ---- the page ---- */
void page_begin(FILE *f, const char *title);
void page_end(FILE *f, const char *foot);
void page_text(FILE *f, const char *text);             /* escaped */
void page_number(FILE *f, double value, int decimals); /* "–" when not finite */

/* ---- curves ---- */
typedef struct plot {
    const char *title, *x_label, *y_label;
    double x_low, x_high, y_low, y_high; /* low < high */
    bool square;                         /* as high as wide: probabilities against probabilities */
} plot;
enum { PLOT_COLOURS = 8 };
void plot_begin(FILE *f, const plot *p);
/* Points that are not finite interrupt the line. Colours repeat with another dash. */
void plot_line(FILE *f, const plot *p, const double *x, const double *y, size_t n, unsigned colour);
void plot_diagonal(FILE *f, const plot *p);
/* A bar from y_low to y over x ± half a width. */
void plot_bar(FILE *f, const plot *p, double x, double width, double y, unsigned colour);
void plot_dot(FILE *f, const plot *p, double x, double y, double radius, unsigned colour, const char *tip);
void plot_end(FILE *f);
/* One entry of the list under a figure; begin and end of the list. */
void legend_begin(FILE *f);
void legend_entry(FILE *f, unsigned colour, const char *text);
void legend_end(FILE *f);
/* Bounds for a curve: finite values of y with a margin; 0 … 1 when there are none. */
void plot_bounds(double *low, double *high, const double *y, size_t n);

/* ---- tables ---- */
/* counts [n,n]: rows what was true, columns what was answered; names [n]. Shaded by the share of the row. */
void page_confusion(FILE *f, const size_t *counts, const char *const *names, size_t n);
#endif
