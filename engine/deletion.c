/* Masks, their copies elsewhere, and what fills them (deletion.h). SPDX-License-Identifier: Apache-2.0 */
#include "engine/deletion.h"
#include "engine/regions.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TRIES = 400, PASSES = 3 }; /* of a place for all copies; boxes that make a Gaussian */

const char *deletion_fill_name(deletion_fill fill)
{
    static const char *const names[DELETION_FILLS] = {"surroundings", "blur", "mean"};
    return names[fill];
}

bool deletion_fill_named(deletion_fill *out, const char *name)
{
    for (*out = 0; *out < DELETION_FILLS; (*out)++)
        if (!strcmp(name, deletion_fill_name(*out))) return true;
    return false;
}

cot_status deletion_init(deletion *d, size_t side, deletion_fill fill, cot_error *err)
{
    const size_t pixels = side * side;
    *d = (deletion){.side = side, .fill = fill};
    d->all.in = calloc(pixels + 1, 1);
    d->copy.in = calloc(pixels + 1, 1);
    d->grown = calloc(pixels + 1, 1);
    d->region = calloc(REGIONS_MAX, sizeof *d->region);
    d->blurred = calloc(2 * pixels + 1, sizeof *d->blurred);
    d->pyramid = calloc(2 * (2 * pixels + 8 * side + 64), sizeof *d->pyramid);
    bool ok = d->all.in && d->copy.in && d->grown && d->region && d->blurred && d->pyramid;
    for (size_t r = 0; ok && r < REGIONS_MAX; r++) ok = (d->region[r].in = calloc(pixels + 1, 1)) != NULL;
    return ok ? COT_OK : cot_fail(err, COT_E_MEMORY, "deletion: no memory");
}

void deletion_fini(deletion *d)
{
    for (size_t r = 0; d->region && r < REGIONS_MAX; r++) free(d->region[r].in);
    free(d->region);
    free(d->all.in);
    free(d->copy.in);
    free(d->grown);
    free(d->blurred);
    free(d->pyramid);
    *d = (deletion){.side = 0};
}

/* ---- where ---- */
static void raster(deletion_mask *mask, const cot_region *region, size_t side, size_t rows, size_t cols)
{
    const float per_row = (float)rows / (float)side, per_col = (float)cols / (float)side;
    mask->n = 0;
    for (size_t r = 0; r < side; r++)
        for (size_t c = 0; c < side; c++) {
            unsigned char *in = &mask->in[r * side + c];
            *in = region_contains(region, ((float)c + 0.5f) * per_col, ((float)r + 0.5f) * per_row);
            mask->n += *in;
        }
}

static bool covers(const deletion_mask *large, const deletion_mask *small, size_t pixels)
{
    if (large->n <= small->n) return false;
    for (size_t i = 0; i < pixels; i++)
        if (small->in[i] && !large->in[i]) return false;
    return true;
}

void deletion_take(deletion *d, const cot_region *regions, size_t n_regions, size_t rows, size_t cols)
{
    const size_t pixels = d->side * d->side;
    d->n_regions = n_regions < REGIONS_MAX ? n_regions : REGIONS_MAX;
    memset(d->all.in, 0, pixels);
    d->all.n = 0;
    for (size_t r = 0; r < d->n_regions; r++) raster(&d->region[r], &regions[r], d->side, rows, cols);
    for (size_t r = 0; r < d->n_regions;
         r++) /* what lies within another is deleted with it, and is no shape of its own */
        for (size_t q = 0; q < d->n_regions; q++)
            if (covers(&d->region[q], &d->region[r], pixels)) d->region[r].n = 0;
    for (size_t r = 0; r < d->n_regions; r++)
        for (size_t i = 0; i < pixels && d->region[r].n; i++) {
            d->all.n += d->region[r].in[i] && !d->all.in[i];
            d->all.in[i] |= d->region[r].in[i];
        }
}

/* SplitMix64 of a counter, in [0,1) */
static double uniform(uint64_t seed, uint64_t draw, uint64_t i)
{
    uint64_t x =
        seed * 0x9e3779b97f4a7c15u + draw * 0xd1342543de82ef95u + i * 0x2545f4914f6cdd1du + 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (double)((x ^ (x >> 31)) >> 11) * 0x1p-53;
}

typedef struct extent {
    size_t top, bottom, left, right; /* all inside */
} extent;

static extent extent_of(const deletion_mask *mask, size_t side)
{
    extent e = {side, 0, side, 0};
    for (size_t i = 0; i < side * side; i++) {
        if (!mask->in[i]) continue;
        const size_t r = i / side, c = i % side;
        if (r < e.top) e.top = r;
        if (r > e.bottom) e.bottom = r;
        if (c < e.left) e.left = c;
        if (c > e.right) e.right = c;
    }
    return e;
}

/* A copy with its border of one pixel, so that two copies do not grow together. */
static void grow(unsigned char *grown, size_t side, size_t r, size_t c)
{
    for (size_t y = r ? r - 1 : 0; y <= r + 1 && y < side; y++)
        for (size_t x = c ? c - 1 : 0; x <= c + 1 && x < side; x++) grown[y * side + x] = 1;
}

/* Adds one region, moved, to d->copy; false: it would touch a copy that is there. on: how many pixels lie on the regions */
static bool add_moved(deletion *d, const deletion_mask *region, const extent *e, double down, double right, size_t *on)
{
    const size_t side = d->side, height = e->bottom - e->top + 1, width = e->right - e->left + 1;
    const size_t top = (size_t)(down * (double)(side - height + 1)),
                 left = (size_t)(right * (double)(side - width + 1));
    for (size_t r = 0; r < height; r++)
        for (size_t c = 0; c < width; c++) {
            if (!region->in[(e->top + r) * side + e->left + c]) continue;
            const size_t at = (top + r) * side + left + c;
            if (d->grown[at]) return false;
            *on += d->all.in[at];
            d->copy.in[at] = 1;
        }
    for (size_t r = 0; r < height; r++)
        for (size_t c = 0; c < width; c++)
            if (region->in[(e->top + r) * side + e->left + c]) grow(d->grown, side, top + r, left + c);
    return true;
}

bool deletion_move(deletion *d, uint64_t seed, uint64_t draw)
{
    const size_t pixels = d->side * d->side;
    extent extents[REGIONS_MAX];
    uint64_t counter = 0;
    if (!d->all.n) return false;
    for (size_t r = 0; r < d->n_regions; r++) extents[r] = extent_of(&d->region[r], d->side);
    for (int i = 0; i < TRIES; i++) {
        size_t on = 0, placed = 0;
        memset(d->copy.in, 0, pixels);
        memset(d->grown, 0, pixels);
        for (; placed < d->n_regions; placed++) {
            const double down = uniform(seed, draw, counter++), right = uniform(seed, draw, counter++);
            if (!d->region[placed].n) continue;
            if (!add_moved(d, &d->region[placed], &extents[placed], down, right, &on)) break;
        }
        if (placed < d->n_regions || (double)on > DELETION_OVERLAP * (double)d->all.n) continue;
        d->copy.n = 0;
        for (size_t k = 0; k < pixels; k++) d->copy.n += d->copy.in[k];
        return true;
    }
    return false;
}

bool deletion_mirror(deletion *d)
{
    const size_t side = d->side;
    size_t on = 0;
    for (size_t r = 0; r < side; r++)
        for (size_t c = 0; c < side; c++) {
            const unsigned char in = d->all.in[r * side + side - 1 - c];
            d->copy.in[r * side + c] = in;
            on += in && d->all.in[r * side + c];
        }
    d->copy.n = d->all.n;
    return d->all.n && (double)on <= DELETION_OVERLAP * (double)d->all.n;
}

/* ---- by what ---- */
/* to = from through a box of 2 * reach + 1 along one axis, what lies outside being the nearest pixel */
static void box(float *to, const float *from, size_t side, size_t step, size_t across, size_t reach)
{
    for (size_t line = 0; line < side; line++) {
        const float *f = from + line * across;
        float *t = to + line * across;
        double sum = 0;
        for (size_t k = 0; k < 2 * reach + 1; k++) {
            const size_t at = k < reach ? 0 : k - reach;
            sum += (double)f[(at < side ? at : side - 1) * step];
        }
        for (size_t i = 0; i < side; i++) {
            t[i * step] = (float)(sum / (double)(2 * reach + 1));
            const size_t in = i + reach + 1, out = i < reach ? 0 : i - reach;
            sum += (double)f[(in < side ? in : side - 1) * step] - (double)f[out * step];
        }
    }
}

void deletion_picture(deletion *d, const float *picture)
{
    const size_t side = d->side, pixels = side * side;
    const size_t reach = side / 10; /* three boxes of 2 * reach + 1 have the deviation reach */
    float *other = d->blurred + pixels;
    double sum = 0;
    d->picture = picture;
    for (size_t i = 0; i < pixels; i++) sum += (double)picture[i];
    d->mean = (float)(sum / (double)pixels);
    if (d->fill != DELETION_BLUR) return;
    memcpy(d->blurred, picture, pixels * sizeof *picture);
    for (int i = 0; i < PASSES; i++) {
        box(other, d->blurred, side, 1, side, reach);
        box(d->blurred, other, side, side, 1, reach);
    }
}

typedef struct level {
    size_t side;
    float *value, *weight; /* [side*side] */
} level;

/* Each coarser pixel is the mean of what is known of its four. */
static void pull(level *to, const level *from)
{
    for (size_t r = 0; r < to->side; r++)
        for (size_t c = 0; c < to->side; c++) {
            float sum = 0, weight = 0;
            for (size_t k = 0; k < 4; k++) {
                const size_t y = 2 * r + k / 2, x = 2 * c + k % 2;
                if (y >= from->side || x >= from->side) continue;
                const float w = from->weight[y * from->side + x];
                sum += w * from->value[y * from->side + x];
                weight += w;
            }
            to->value[r * to->side + c] = weight > 0 ? sum / weight : 0;
            to->weight[r * to->side + c] = weight < 1 ? weight : 1;
        }
}

/* What is not known comes from the coarser level, bilinear. */
static void push(level *to, const level *from)
{
    const float last = (float)(from->side - 1);
    for (size_t r = 0; r < to->side; r++)
        for (size_t c = 0; c < to->side; c++) {
            const size_t at = r * to->side + c;
            if (to->weight[at] >= 1) continue;
            const float y = fminf(fmaxf((float)r / 2 - 0.25f, 0), last),
                        x = fminf(fmaxf((float)c / 2 - 0.25f, 0), last);
            const size_t y0 = (size_t)y, x0 = (size_t)x, y1 = y0 + 1 < from->side ? y0 + 1 : y0,
                         x1 = x0 + 1 < from->side ? x0 + 1 : x0;
            const float dy = y - (float)y0, dx = x - (float)x0, *v = from->value;
            const float upper = v[y0 * from->side + x0] * (1 - dx) + v[y0 * from->side + x1] * dx;
            const float lower = v[y1 * from->side + x0] * (1 - dx) + v[y1 * from->side + x1] * dx;
            to->value[at] = to->weight[at] * to->value[at] + (1 - to->weight[at]) * (upper * (1 - dy) + lower * dy);
        }
}

static void fill_from_rim(float *out, deletion *d, const deletion_mask *mask)
{
    enum { LEVELS = 16 };
    level levels[LEVELS];
    size_t n = 0, side = d->side;
    float *room = d->pyramid;
    for (;; side = (side + 1) / 2) {
        levels[n++] = (level){side, room, room + side * side};
        room += 2 * side * side;
        if (side <= 1 || n == LEVELS) break;
    }
    for (size_t i = 0; i < d->side * d->side; i++) {
        levels[0].value[i] = d->picture[i];
        levels[0].weight[i] = mask->in[i] ? 0 : 1;
    }
    for (size_t i = 1; i < n; i++) pull(&levels[i], &levels[i - 1]);
    for (size_t i = n - 1; i-- > 0;) push(&levels[i], &levels[i + 1]);
    memcpy(out, levels[0].value, d->side * d->side * sizeof *out);
}

void deletion_apply(float *out, deletion *d, const deletion_mask *mask)
{
    const size_t pixels = d->side * d->side;
    if (d->fill == DELETION_SURROUNDINGS && mask->n < pixels) {
        fill_from_rim(out, d, mask);
        return;
    }
    for (size_t i = 0; i < pixels; i++)
        out[i] = !mask->in[i] ? d->picture[i] : d->fill == DELETION_BLUR ? d->blurred[i] : d->mean;
}
