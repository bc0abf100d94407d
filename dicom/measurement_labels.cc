/* Viewers write the numbers of a measurement group beside its region: OHIF at the right one of the outline's first two points
 * and half-way down between them, and on to the right. So where an outline begins says where its label stands. Here both are
 * chosen: which groups carry a number, and at which point their outline begins; the steps in order, each as far right as its
 * label stays on the image and clear of those already placed. Groups without such a place still draw their region and keep
 * their certainty below their answer. The first group always has its number: in two looks at reports without one there,
 * OHIF 3.12 drew nothing. SPDX-License-Identifier: Apache-2.0 */
#include "dicom/measurement.h"

#include <algorithm>
#include <cmath>

/* Room a label takes, and how far below its place it reaches, as shares of the image's longer side: seen in OHIF 3.12 with a
 * square image filling its viewport. */
static const double LABEL_WIDTH = 0.45, LABEL_HEIGHT = 0.07, LABEL_BELOW = 0.06;

namespace
{
struct label_anchor {
    double column, row;
};

struct label_page {
    double side, last_column, last_row; /* the image's longer side; the last column and row where a label fits */
    std::vector<label_anchor> placed;

    /* A viewport is at least as wide as high: beside an upright image there is room. */
    label_page(double rows, double columns)
        : side(std::max(rows, columns)), last_column((columns + side) / 2 - LABEL_WIDTH * side),
          last_row(rows - LABEL_BELOW * side)
    {
    }
    bool clear(const label_anchor &anchor) const
    {
        return std::none_of(placed.begin(), placed.end(), [&](const label_anchor &other) {
            return std::fabs(other.row - anchor.row) < LABEL_HEIGHT * side &&
                   std::fabs(other.column - anchor.column) < LABEL_WIDTH * side;
        });
    }
    /* More is better: as far right as fits, else as little of the label cut off as can be. */
    double worth(const label_anchor &anchor) const
    {
        const double lost = std::max(0.0, anchor.column - last_column) / LABEL_WIDTH +
                            std::max(0.0, anchor.row - last_row) / LABEL_BELOW;
        return lost > 0 ? -lost : 1 + anchor.column; /* a column may be -0.5 */
    }
};
} // namespace

static label_anchor anchor_at(const cot_region &region, size_t first)
{
    const cot_point &a = region.points[first], &b = region.points[(first + 1) % region.n_points];
    return {static_cast<double>(std::max(a.column, b.column)),
            (static_cast<double>(a.row) + static_cast<double>(b.row)) / 2};
}

static measured_label label_of_region(label_page &page, const cot_region &region)
{
    measured_label label = {false, 0};
    label_anchor best = {};
    for (size_t p = 0; p < region.n_points; p++) {
        const label_anchor anchor = anchor_at(region, p);
        if (!page.clear(anchor) || (label.shown && page.worth(anchor) <= page.worth(best))) continue;
        label = {true, p};
        best = anchor;
    }
    if (label.shown) page.placed.push_back(best);
    return label;
}

/* The frame of the whole image begins with the left edge. */
static measured_label label_of_frame(label_page &page, double rows)
{
    const label_anchor anchor = {0, rows / 2};
    const bool shown = page.clear(anchor);
    if (shown) page.placed.push_back(anchor);
    return {shown, 0};
}

std::vector<measured_label> choose_labels(const cot_chain &chain, double rows, double columns)
{
    label_page page(rows, columns);
    std::vector<measured_label> labels(chain.n_steps, measured_label{false, 0});
    for (size_t s = 0; s < chain.n_steps; s++) {
        const cot_answer &answer = chain.answers[s];
        if (!answer.available) continue;
        labels[s] = answer.n_regions ? label_of_region(page, answer.regions[0]) : label_of_frame(page, rows);
    }
    return labels;
}
