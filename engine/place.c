/* Where a region lies, in words (wording.h). A frontal image is taken as a lung field of fixed fractions: its columns are
 * those of the image, parted by a band of 1/10 about the middle; its zones part the rows from 1/10 (apices) to 85/100 (bases)
 * into equal thirds, above and below count to the outer zones. This is measured on the image, not on the patient's anatomy: a
 * rotated patient or a small cut shifts it. A region's middle says where it lies; one that reaches from deep in one side to
 * deep in the other, or over more than two thirds of the field's height, is said to.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/regions.h"
#include "engine/wording.h"

static const float midline_from = 0.45f, midline_to = 0.55f; /* of the columns */
static const float deep_right = 0.35f, deep_left = 0.65f; /* reaching from before one to behind the other: both sides */
static const float apex = 0.10f, base = 0.85f;            /* of the rows */

typedef struct extent {
    float left, right, top, bottom; /* fractions of the image */
} extent;

static extent extent_of(const cot_region *region, size_t rows, size_t cols)
{
    extent e = {1, 0, 1, 0};
    for (size_t i = 0; i < region->n_points; i++) {
        const float x = region->points[i].column / (float)cols, y = region->points[i].row / (float)rows;
        e.left = x < e.left ? x : e.left;
        e.right = x > e.right ? x : e.right;
        e.top = y < e.top ? y : e.top;
        e.bottom = y > e.bottom ? y : e.bottom;
    }
    return e;
}

void place_text(char *text, size_t size, const cot_region *region, size_t rows, size_t cols,
                cot_orientation orientation, const cot_phrases *words)
{
    text[0] = 0;
    if (orientation == COT_ORIENTATION_OTHER || !rows || !cols) return;
    const cot_point middle = region_centroid(region);
    const extent e = extent_of(region, rows, cols);
    const float x = middle.column / (float)cols, y = middle.row / (float)rows, third = (base - apex) / 3;
    const cot_side side = e.left < deep_right && e.right > deep_left ? COT_SIDE_SPAN
                          : x < midline_from                         ? COT_SIDE_RIGHT
                          : x > midline_to                           ? COT_SIDE_LEFT
                                                                     : COT_SIDE_MIDLINE;
    const cot_zone zone = e.bottom - e.top > 2 * third ? COT_ZONE_ALL
                          : y < apex + third           ? COT_ZONE_UPPER
                          : y < apex + 2 * third       ? COT_ZONE_MIDDLE
                                                       : COT_ZONE_LOWER;
    const char *place = words->place[side][zone];
    const placeholder places[] = {{"place", place}};
    if (!place[0]) return;
    phrase_fill(text, size, orientation == COT_ORIENTATION_STANDARD ? "{place}" : words->place_assumed, places, 1);
}
