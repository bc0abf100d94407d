/* Outlines by marching squares over the upsampled map with a border of nothing around it: every outline closes, and those of
 * different components never touch. What a component surrounds belongs to its outline.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/regions.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FINE = REGIONS_FINE, GRID = REGIONS_FINE + 2, CELLS = (GRID - 1) * (GRID - 1), POINTS_MAX = 2 * CELLS };
#define SIMPLIFY 0.35f /* samples of the fine map: what an outline may move when it is made of fewer points */

typedef struct outline_work {
    float fine[FINE * FINE];
    float grid[GRID * GRID];           /* fine with the border */
    unsigned short label[FINE * FINE]; /* component + 1; 0: below the cut */
    size_t stack[FINE * FINE];
    cot_point point[POINTS_MAX], kept[POINTS_MAX];
    bool keep[POINTS_MAX];
    float level;
} outline_work;

typedef struct component {
    unsigned short label;
    size_t top; /* its first sample in reading order: on the outer outline */
    float share;
} component;

/* ---- upsample ---- */
static void taps(size_t *low, size_t *high, float *weight, size_t i, size_t n)
{
    float at = ((float)i + 0.5f) * (float)n / FINE - 0.5f;
    if (at < 0) at = 0;
    if (at > (float)(n - 1)) at = (float)(n - 1);
    *low = (size_t)at;
    *high = *low + 1 < n ? *low + 1 : *low;
    *weight = at - (float)*low;
}

void regions_upsample(float *fine, const float *map, size_t map_rows, size_t map_cols)
{
    size_t r0, r1, c0, c1;
    float wr, wc;
    for (size_t r = 0; r < FINE; r++) {
        taps(&r0, &r1, &wr, r, map_rows);
        for (size_t c = 0; c < FINE; c++) {
            taps(&c0, &c1, &wc, c, map_cols);
            const float a = map[r0 * map_cols + c0], b = map[r0 * map_cols + c1];
            const float d = map[r1 * map_cols + c0], e = map[r1 * map_cols + c1];
            fine[r * FINE + c] = (a + (b - a) * wc) * (1 - wr) + (d + (e - d) * wc) * wr;
        }
    }
}

/* ---- components ---- */
static float flood(outline_work *w, size_t start, unsigned short label)
{
    size_t n = 0;
    double sum = 0;
    w->stack[n++] = start;
    w->label[start] = label;
    while (n) {
        const size_t at = w->stack[--n], r = at / FINE, c = at % FINE;
        const size_t next[] = {r ? at - FINE : at, r + 1 < FINE ? at + FINE : at, c ? at - 1 : at,
                               c + 1 < FINE ? at + 1 : at};
        sum += (double)w->fine[at];
        for (size_t i = 0; i < 4; i++)
            if (!w->label[next[i]] && w->fine[next[i]] > w->level) {
                w->label[next[i]] = label;
                w->stack[n++] = next[i];
            }
    }
    return (float)sum;
}

static int larger_share(const void *a, const void *b)
{
    const component *x = a, *y = b;
    if (x->share != y->share) return x->share < y->share ? 1 : -1;
    return x->top < y->top ? -1 : 1;
}

/* The largest components, by share of `total`; returns how many. */
static size_t find_components(component out[REGIONS_MAX], outline_work *w, double total)
{
    size_t n = 0;
    unsigned short label = 0;
    for (size_t i = 0; i < FINE * FINE; i++) {
        if (w->label[i] || !(w->fine[i] > w->level)) continue;
        const component found = {++label, i, (float)((double)flood(w, i, label) / total)};
        if (found.share < REGIONS_SHARE_MIN) continue;
        if (n < REGIONS_MAX)
            out[n++] = found;
        else if (found.share > out[n - 1].share)
            out[n - 1] = found;
        qsort(out, n, sizeof *out, larger_share);
    }
    return n;
}

/* ---- outline ---- */
typedef enum side { TOP, RIGHT, BOTTOM, LEFT } side;

/* Point on a side of the cell whose upper left corner is grid[r][c], where the level is passed; in samples of the fine map. */
static cot_point crossing(const outline_work *w, size_t r, size_t c, side on)
{
    static const size_t from[4][2] = {{0, 0}, {0, 1}, {1, 0}, {0, 0}}, to[4][2] = {{0, 1}, {1, 1}, {1, 1}, {1, 0}};
    const float *g = w->grid;
    const float a = g[(r + from[on][0]) * GRID + c + from[on][1]], b = g[(r + to[on][0]) * GRID + c + to[on][1]];
    const float t = a == b ? 0.5f : (w->level - a) / (b - a);
    const float row = (float)(r + from[on][0]) + t * (float)(to[on][0] - from[on][0]);
    const float col = (float)(c + from[on][1]) + t * (float)(to[on][1] - from[on][1]);
    return (cot_point){col - 0.5f, row - 0.5f}; /* grid sample 1 is fine sample 0, whose centre lies at 0.5 */
}

/* The side through which the outline leaves a cell entered by `in`, inside on its right hand. Samples that touch only at a
 * corner are apart, as in flood(). */
static side leave(const outline_work *w, size_t r, size_t c, side in)
{
    const float *g = w->grid + r * GRID + c;
    const bool tl = g[0] > w->level, tr = g[1] > w->level, bl = g[GRID] > w->level, br = g[GRID + 1] > w->level;
    switch ((tl ? 8 : 0) | (tr ? 4 : 0) | (br ? 2 : 0) | (bl ? 1 : 0)) {
    case 1:
    case 14: return in == LEFT ? BOTTOM : LEFT;
    case 2:
    case 13: return in == BOTTOM ? RIGHT : BOTTOM;
    case 3:
    case 12: return in == LEFT ? RIGHT : LEFT;
    case 4:
    case 11: return in == TOP ? RIGHT : TOP;
    case 6:
    case 9: return in == TOP ? BOTTOM : TOP;
    case 7:
    case 8: return in == TOP ? LEFT : TOP;
    case 5: /* upper right and lower left inside */
        if (in == TOP) return RIGHT;
        if (in == RIGHT) return TOP;
        return in == BOTTOM ? LEFT : BOTTOM;
    default: /* 10: upper left and lower right inside */
        if (in == TOP) return LEFT;
        if (in == LEFT) return TOP;
        return in == BOTTOM ? RIGHT : BOTTOM;
    }
}

/* The outline through the upper side of the component's first sample; returns the number of points. */
static size_t trace(outline_work *w, size_t top)
{
    static const int down[4] = {-1, 0, 1, 0}, right[4] = {0, 1, 0, -1};
    static const side opposite[4] = {BOTTOM, LEFT, TOP, RIGHT};
    const size_t r0 = top / FINE, c0 = top % FINE + 1; /* the cell whose left side runs from above the sample to it */
    size_t r = r0, c = c0, n = 0;
    side in = LEFT;
    do {
        w->point[n++] = crossing(w, r, c, in);
        const side out = leave(w, r, c, in);
        r = (size_t)((long)r + down[out]);
        c = (size_t)((long)c + right[out]);
        in = opposite[out];
    } while (n < POINTS_MAX && !(r == r0 && c == c0 && in == LEFT));
    return n;
}

/* ---- fewer points ---- */
static float distance(cot_point p, cot_point a, cot_point b)
{
    const float dx = b.column - a.column, dy = b.row - a.row, length = hypotf(dx, dy);
    if (length <= 0) return hypotf(p.column - a.column, p.row - a.row);
    return fabsf(dx * (p.row - a.row) - dy * (p.column - a.column)) / length;
}

/* Douglas-Peucker between points from and to (to may be n: the first again), with its own stack of intervals. */
static void keep_between(outline_work *w, size_t from, size_t to, size_t n)
{
    size_t used = 0;
    w->stack[used++] = from;
    w->stack[used++] = to;
    while (used) {
        const size_t b = w->stack[--used], a = w->stack[--used];
        size_t far = 0;
        float most = SIMPLIFY;
        for (size_t i = a + 1; i < b; i++) {
            const float d = distance(w->point[i], w->point[a], w->point[b % n]);
            if (d > most) most = d, far = i;
        }
        if (!far) continue;
        w->keep[far] = true;
        w->stack[used++] = a;
        w->stack[used++] = far;
        w->stack[used++] = far;
        w->stack[used++] = b;
    }
}

static bool cross(cot_point a, cot_point b, cot_point c, cot_point d)
{
    const float abc = (b.column - a.column) * (c.row - a.row) - (b.row - a.row) * (c.column - a.column);
    const float abd = (b.column - a.column) * (d.row - a.row) - (b.row - a.row) * (d.column - a.column);
    const float cda = (d.column - c.column) * (a.row - c.row) - (d.row - c.row) * (a.column - c.column);
    const float cdb = (d.column - c.column) * (b.row - c.row) - (d.row - c.row) * (b.column - c.column);
    return (abc > 0) != (abd > 0) && (cda > 0) != (cdb > 0);
}

static bool simple(const cot_point *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = i + 2; j < n; j++)
            if ((j + 1) % n != i && cross(p[i], p[i + 1], p[j], p[(j + 1) % n])) return false;
    return true;
}

/* point -> kept; returns how many. An outline that would cross itself with fewer points keeps all of them. */
static size_t simplify(outline_work *w, size_t n)
{
    size_t far = n / 2, kept = 0;
    for (size_t i = 1; i < n; i++)
        if (hypotf(w->point[i].column - w->point[0].column, w->point[i].row - w->point[0].row) >
            hypotf(w->point[far].column - w->point[0].column, w->point[far].row - w->point[0].row))
            far = i;
    memset(w->keep, 0, sizeof w->keep);
    w->keep[0] = w->keep[far] = true;
    keep_between(w, 0, far, n);
    keep_between(w, far, n, n);
    for (size_t i = 0; i < n; i++)
        if (w->keep[i]) w->kept[kept++] = w->point[i];
    if (kept >= 3 && simple(w->kept, kept)) return kept;
    memcpy(w->kept, w->point, n * sizeof *w->point);
    return n;
}

/* ---- all of it ---- */
static float clamp(float value, float most)
{
    return value < 0 ? 0 : value > most ? most : value;
}

static cot_status outline(cot_region *region, outline_work *w, const component *found, size_t rows, size_t cols,
                          cot_error *err)
{
    cot_status status;
    const size_t n = simplify(w, trace(w, found->top));
    COT_TRY(cot_region_points(region, n, err));
    for (size_t i = 0; i < n; i++)
        region->points[i] = (cot_point){clamp(w->kept[i].column * (float)cols / FINE, (float)cols),
                                        clamp(w->kept[i].row * (float)rows / FINE, (float)rows)};
    region->share = found->share;
done:
    return status;
}

static bool prepare(outline_work *w, double *total, const float *map, size_t map_rows, size_t map_cols)
{
    float low = INFINITY, peak = 0;
    *total = 0;
    regions_upsample(w->fine, map, map_rows, map_cols);
    for (size_t i = 0; i < FINE * FINE; i++) {
        const float v = w->fine[i];
        if (v < low) low = v;
        if (v > peak) peak = v;
        *total += (double)v;
    }
    w->level = peak * REGIONS_CUT;
    for (size_t r = 0; r < FINE; r++) memcpy(w->grid + (r + 1) * GRID + 1, w->fine + r * FINE, FINE * sizeof *w->fine);
    return peak > 0 && low < w->level && isfinite(peak) && isfinite(*total);
}

cot_status regions_find(cot_answer *answer, const float *map, size_t map_rows, size_t map_cols, size_t rows,
                        size_t cols, cot_error *err)
{
    cot_status status;
    component found[REGIONS_MAX];
    double total;
    outline_work *w = NULL;
    COT_TRY(cot_answer_regions(answer, 0, err));
    if (!map_rows || !map_cols || map_rows > FINE || map_cols > FINE)
        return cot_fail(err, COT_E_BUG, "regions: a map of %zu x %zu", map_rows, map_cols);
    w = calloc(1, sizeof *w);
    if (!w) return cot_fail(err, COT_E_MEMORY, "regions: no memory");
    if (!prepare(w, &total, map, map_rows, map_cols)) goto done;
    const size_t n = find_components(found, w, total);
    COT_TRY(cot_answer_regions(answer, n, err));
    for (size_t i = 0; i < n; i++) COT_TRY(outline(&answer->regions[i], w, &found[i], rows, cols, err));
done:
    free(w);
    return status;
}

cot_point region_centroid(const cot_region *region)
{
    double area = 0, column = 0, row = 0;
    const cot_point *p = region->points;
    for (size_t i = 0; i < region->n_points; i++) {
        const cot_point a = p[i], b = p[(i + 1) % region->n_points];
        const double k = (double)a.column * (double)b.row - (double)b.column * (double)a.row;
        area += k;
        column += ((double)a.column + (double)b.column) * k;
        row += ((double)a.row + (double)b.row) * k;
    }
    if (area == 0) return region->n_points ? p[0] : (cot_point){0, 0};
    return (cot_point){(float)(column / (3 * area)), (float)(row / (3 * area))};
}

bool region_contains(const cot_region *region, float column, float row)
{
    bool inside = false;
    for (size_t i = 0, j = region->n_points - 1; i < region->n_points; j = i++) {
        const cot_point a = region->points[i], b = region->points[j];
        if ((a.row > row) != (b.row > row) &&
            column < (b.column - a.column) * (row - a.row) / (b.row - a.row) + a.column)
            inside = !inside;
    }
    return inside;
}
