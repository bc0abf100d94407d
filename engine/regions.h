/* From a relevance map to polygons in the source image: upsampled, cut at a share of its peak, split into connected
 * components, outlined. The map lies over the whole image (the preprocessing stretches it to a square, without crop or
 * border), so a point of the map is a point of the image by one factor per axis.
 * Threads: any; nothing is kept.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_REGIONS_H
#define COT_ENGINE_REGIONS_H
#include "config/chain.h"

enum { REGIONS_FINE = 112, REGIONS_MAX = 4 }; /* samples per axis of the upsampled map; regions kept */
#define REGIONS_CUT       0.5f                /* of the map's peak: what lies above belongs to a region */
#define REGIONS_SHARE_MIN 0.05f               /* of the whole relevance: smaller components are left out */

/* Fills regions of `answer` from map [map_rows, map_cols] of values >= 0, in pixels of an image [rows, cols]; each side of
 * the map 1 to REGIONS_FINE. A map without any relevance, or with the same everywhere, gives none. */
cot_status regions_find(cot_answer *answer, const float *map, size_t map_rows, size_t map_cols, size_t rows,
                        size_t cols, cot_error *err);
/* The map at REGIONS_FINE x REGIONS_FINE points, bilinear between the centres of its cells; fine: that many floats. */
void regions_upsample(float *fine, const float *map, size_t map_rows, size_t map_cols);
/* Middle of a polygon's area. */
cot_point region_centroid(const cot_region *region);
bool region_contains(const cot_region *region, float column, float row);
#endif
