/* Outlines of what the answers rest on, each in its step's colour and with its step's number, on a dark halo so that they
 * stand out on bone and air alike. Steps often look at one place: outlines are dashed in turns, numbers step aside.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dicom/capture.h"

#include <math.h>

enum { BADGES_MOST = 128 };

typedef struct board {                     /* the image's place on the canvas, and the numbers that stand there */
    double x, y, cols, rows, across, down; /* across, down: canvas pixels per image pixel */
    double taken[BADGES_MOST][2];
    size_t n_taken;
} board;

static size_t steps_with_regions(const cot_chain *chain, uint64_t drawn)
{
    size_t n = 0;
    for (size_t s = 0; s < chain->n_steps; s++)
        n += capture_shows(drawn, s) && chain->answers[s].available && chain->answers[s].n_regions;
    return n;
}

static void outline(const capture_pen *pen, const board *b, const cot_region *region)
{
    for (size_t i = 0; i < region->n_points; i++)
        cairo_line_to(pen->cr, b->x + (double)region->points[i].column * b->across,
                      b->y + (double)region->points[i].row * b->down);
    cairo_close_path(pen->cr);
}

static void halo(const capture_pen *pen, bool main)
{
    cairo_set_source_rgba(pen->cr, 0, 0, 0, 0.7);
    cairo_set_line_width(pen->cr, main ? 8 : 6);
    cairo_stroke(pen->cr);
}

/* Faint all around, strong in this step's dashes: outlines that lie on one another are all seen. */
static void line(const capture_pen *pen, capture_colour colour, size_t turn, size_t turns, bool main)
{
    const double dashes[2] = {14, 14 * (double)(turns - 1)};
    cairo_set_source_rgba(pen->cr, colour.red, colour.green, colour.blue, turns > 1 ? 0.5 : 1);
    cairo_set_line_width(pen->cr, main ? 3.5 : 2.5);
    cairo_stroke_preserve(pen->cr);
    if (turns > 1) {
        cairo_set_dash(pen->cr, dashes, 2, -14 * (double)turn);
        cairo_set_source_rgb(pen->cr, colour.red, colour.green, colour.blue);
        cairo_stroke_preserve(pen->cr);
        cairo_set_dash(pen->cr, dashes, 0, 0);
    }
    cairo_new_path(pen->cr);
}

static bool is_free(const board *b, double x, double y)
{
    const double edge = CAPTURE_BADGE + 2;
    if (x < b->x + edge || y < b->y + edge || x > b->x + b->cols - edge || y > b->y + b->rows - edge) return false;
    for (size_t i = 0; i < b->n_taken; i++)
        if (hypot(x - b->taken[i][0], y - b->taken[i][1]) < 2 * CAPTURE_BADGE + 3) return false;
    return true;
}

/* A canvas point beside the outline's point `i`, away from the region's middle, so that the number hides none of it. */
static void beside(double to[2], const board *b, const cot_region *region, size_t i)
{
    double middle[2] = {0, 0}, away[2];
    for (size_t k = 0; k < region->n_points; k++) {
        middle[0] += (double)region->points[k].column / (double)region->n_points;
        middle[1] += (double)region->points[k].row / (double)region->n_points;
    }
    away[0] = ((double)region->points[i].column - middle[0]) * b->across;
    away[1] = ((double)region->points[i].row - middle[1]) * b->down;
    const double length = fmax(hypot(away[0], away[1]), 1e-6);
    to[0] = b->x + middle[0] * b->across + away[0] * (1 + (CAPTURE_BADGE + 3) / length);
    to[1] = b->y + middle[1] * b->down + away[1] * (1 + (CAPTURE_BADGE + 3) / length);
}

/* Beside the outline, at its first free point from `turn` on; else in a growing circle around the first point. */
static void number(capture_pen *pen, board *b, const cot_region *region, size_t step, size_t turn, size_t turns)
{
    const size_t n = region->n_points, from = n * turn / turns;
    double at[2], x, y;
    bool found = false;
    beside(at, b, region, from);
    x = at[0], y = at[1];
    for (size_t i = 0; i < n && !found; i++) {
        beside(at, b, region, (from + i) % n);
        if ((found = is_free(b, at[0], at[1]))) x = at[0], y = at[1];
    }
    const double x0 = x, y0 = y;
    for (int i = 1; i < 400 && !found; i++) {
        const double angle = 0.7 * i, radius = 3.0 * i;
        if ((found = is_free(b, x0 + radius * cos(angle), y0 + radius * sin(angle))))
            x = x0 + radius * cos(angle), y = y0 + radius * sin(angle);
    }
    if (b->n_taken < BADGES_MOST) {
        b->taken[b->n_taken][0] = x;
        b->taken[b->n_taken++][1] = y;
    }
    capture_badge(pen, x, y, step, capture_step_colour(step));
}

void capture_regions(capture_pen *pen, const cot_chain *chain, uint64_t drawn, double cols, double rows)
{
    const size_t turns = steps_with_regions(chain, drawn);
    if (!turns || !chain->cols || !chain->rows) return;
    board b = {.x = pen->x, .y = pen->y, .cols = cols, .rows = rows};
    b.across = cols / (double)chain->cols;
    b.down = rows / (double)chain->rows;
    cairo_save(pen->cr);
    cairo_rectangle(pen->cr, b.x, b.y, cols, rows);
    cairo_clip(pen->cr);
    cairo_set_line_join(pen->cr, CAIRO_LINE_JOIN_ROUND);
    for (int layer = 0; layer < 3; layer++) /* all halos below all outlines, all numbers over them */
        for (size_t s = 0, turn = 0; s < chain->n_steps; s++) {
            const cot_answer *a = &chain->answers[s];
            if (!capture_shows(drawn, s) || !a->available || !a->n_regions) continue;
            for (size_t r = 0; r < a->n_regions; r++) {
                if (layer < 2) outline(pen, &b, &a->regions[r]);
                if (layer == 0) halo(pen, r == 0);
                if (layer == 1) line(pen, capture_step_colour(s), turn, turns, r == 0);
                if (layer == 2) number(pen, &b, &a->regions[r], s, turn, turns);
            }
            turn++;
        }
    cairo_restore(pen->cr);
}
