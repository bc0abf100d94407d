/* Where evidence points, and whether that is in a box (pointing.h). SPDX-License-Identifier: Apache-2.0 */
#include "engine/pointing.h"
#include "engine/regions.h"

enum { GRID = 64, FINE_GRID = 512 }; /* places that are tried for pointing_fixed; places a box's share is counted in */

pointing_place pointing_peak(const cot_answer *answer)
{
    size_t best = 0;
    if (!answer->map) return (pointing_place){false, 0, 0};
    for (size_t i = 1; i < answer->map_rows * answer->map_cols; i++)
        if (answer->map[i] > answer->map[best]) best = i;
    return (pointing_place){answer->map[best] > 0, ((double)(best % answer->map_cols) + 0.5) / (double)answer->map_cols,
                            ((double)(best / answer->map_cols) + 0.5) / (double)answer->map_rows};
}

pointing_place pointing_centroid(const cot_answer *answer, size_t rows, size_t cols)
{
    if (!answer->n_regions || !rows || !cols) return (pointing_place){false, 0, 0};
    const cot_point p = region_centroid(&answer->regions[0]);
    return (pointing_place){true, (double)p.column / (double)cols, (double)p.row / (double)rows};
}

bool pointing_hits(const cot_case *image, pointing_place place)
{
    const double x = place.across * (double)image->cols, y = place.down * (double)image->rows;
    for (size_t b = 0; place.known && b < image->n_boxes; b++) {
        const cot_box *box = &image->boxes[b];
        if (x >= box->x && x < box->x + box->w && y >= box->y && y < box->y + box->h) return true;
    }
    return false;
}

static pointing_place at(size_t i, size_t grid)
{
    return (pointing_place){true, ((double)(i % grid) + 0.5) / (double)grid, ((double)(i / grid) + 0.5) / (double)grid};
}

double pointing_chance(const cot_case *image)
{
    size_t in = 0;
    for (size_t i = 0; i < FINE_GRID * FINE_GRID; i++) in += pointing_hits(image, at(i, FINE_GRID));
    return (double)in / (FINE_GRID * FINE_GRID);
}

pointing_place pointing_fixed(const cot_manifest *manifest, cot_split split)
{
    size_t best = 0, most = 0;
    for (size_t i = 0; i < GRID * GRID; i++) {
        size_t hits = 0;
        for (size_t k = 0; k < manifest->n; k++)
            hits += manifest->cases[k].split == split && pointing_hits(&manifest->cases[k], at(i, GRID));
        if (hits > most) most = hits, best = i;
    }
    pointing_place place = at(best, GRID);
    place.known = most > 0;
    return place;
}
