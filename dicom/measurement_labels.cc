/* Viewers write the numbers of a measurement group beside its region: OHIF at the right one of the outline's first two points
 * and half-way down between them, so that the labels of regions that begin close together would cover one another. Here it is
 * chosen which groups carry a number: the steps in order, each only where its label stays clear of those already placed. The
 * other groups still draw their region and keep their certainty below their answer. The first group always has its number:
 * in two looks at reports without one there, OHIF 3.12 drew nothing. SPDX-License-Identifier: Apache-2.0 */
#include "dicom/measurement.h"

#include <algorithm>
#include <cmath>

/* Room a label takes, as shares of the image's longer side: seen in OHIF 3.12 with a square image filling its viewport. */
static const double LABEL_WIDTH = 0.45, LABEL_HEIGHT = 0.07;

struct label_anchor {
    double column, row;
};

static label_anchor anchor_of(const cot_answer &answer, double rows)
{
    if (!answer.n_regions || answer.regions[0].n_points < 2)
        return {0, rows / 2}; /* the frame begins with the left edge */
    const cot_point &first = answer.regions[0].points[0], &second = answer.regions[0].points[1];
    return {static_cast<double>(std::max(first.column, second.column)),
            (static_cast<double>(first.row) + static_cast<double>(second.row)) / 2};
}

std::vector<bool> choose_labels(const cot_chain &chain, double rows, double columns)
{
    const double side = std::max(rows, columns);
    std::vector<bool> labelled(chain.n_steps, false);
    std::vector<label_anchor> placed;
    for (size_t s = 0; s < chain.n_steps; s++) {
        if (!chain.answers[s].available) continue;
        const label_anchor anchor = anchor_of(chain.answers[s], rows);
        labelled[s] = std::none_of(placed.begin(), placed.end(), [&](const label_anchor &other) {
            return std::fabs(other.row - anchor.row) < LABEL_HEIGHT * side &&
                   std::fabs(other.column - anchor.column) < LABEL_WIDTH * side;
        });
        if (labelled[s]) placed.push_back(anchor);
    }
    return labelled;
}
