/* Viewers write the numbers of a measurement group beside its region, at the middle of its right edge (OHIF), so that the
 * labels of regions that coincide or lie close would cover one another. Here it is chosen which groups carry a number: the
 * steps in order, each only where its label stays clear of those already placed. The other groups still draw their region
 * and keep their certainty below their answer. The first group always has its number: in two looks at reports without one
 * there, OHIF 3.12 drew nothing. SPDX-License-Identifier: Apache-2.0 */
#include "dicom/measurement.h"

#include <algorithm>
#include <cmath>

/* Room a label takes, as shares of the image's longer side: seen in OHIF 3.12 with a square image filling its viewport. */
static const double LABEL_WIDTH = 0.45, LABEL_HEIGHT = 0.07;

struct label_anchor {
    double column, row;
};

static label_anchor anchor_of(const cot_answer &answer, double rows, double columns)
{
    if (!answer.n_regions) return {columns, rows / 2};
    const cot_region &region = answer.regions[0];
    double right = 0, top = rows, bottom = 0;
    for (size_t p = 0; p < region.n_points; p++) {
        right = std::max(right, static_cast<double>(region.points[p].column));
        top = std::min(top, static_cast<double>(region.points[p].row));
        bottom = std::max(bottom, static_cast<double>(region.points[p].row));
    }
    return {right, (top + bottom) / 2};
}

std::vector<bool> choose_labels(const cot_chain &chain, double rows, double columns)
{
    const double side = std::max(rows, columns);
    std::vector<bool> labelled(chain.n_steps, false);
    std::vector<label_anchor> placed;
    for (size_t s = 0; s < chain.n_steps; s++) {
        if (!chain.answers[s].available) continue;
        const label_anchor anchor = anchor_of(chain.answers[s], rows, columns);
        labelled[s] = std::none_of(placed.begin(), placed.end(), [&](const label_anchor &other) {
            return std::fabs(other.row - anchor.row) < LABEL_HEIGHT * side &&
                   std::fabs(other.column - anchor.column) < LABEL_WIDTH * side;
        });
        if (labelled[s]) placed.push_back(anchor);
    }
    return labelled;
}
