/* The pointing game (Zhang et al., arXiv 1608.00507): does the place that the evidence points at lie in a box that a person
 * drew around a finding of that image? Places are shares of the image, 0,0 its upper left corner.
 * Threads: any; nothing is kept.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_POINTING_H
#define COT_ENGINE_POINTING_H
#include "config/chain.h"
#include "engine/data.h"

typedef struct pointing_place {
    bool known;
    double across, down;
} pointing_place;
/* The middle of the map's largest cell; not known without a map or with one that is 0 everywhere. */
pointing_place pointing_peak(const cot_answer *answer);
/* The centroid of the first region, in an image [rows, cols]. */
pointing_place pointing_centroid(const cot_answer *answer, size_t rows, size_t cols);
/* The place that lies in boxes of most images of a split: pointing without looking. Not known: no boxes there. */
pointing_place pointing_fixed(const cot_manifest *manifest, cot_split split);
bool pointing_hits(const cot_case *image, pointing_place place);
/* Share of the image that lies in its boxes: how often a place drawn at random hits. */
double pointing_chance(const cot_case *image);
#endif
