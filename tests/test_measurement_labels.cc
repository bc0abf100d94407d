/* links: dicom config
 * Where the labels of a measurement report stand: on the image, clear of one another, by where OHIF 3.12 writes them: at the
 * right one of an outline's first two points and half-way down between them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "config/config.h"
#include "dicom/measurement.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace
{
cot_error err;

struct scene {
    cot_steps *steps = nullptr;
    cot_chain *chain = nullptr;
    scene()
    {
        if (cot_steps_load(&steps, nullptr, &err) != COT_OK || cot_chain_create(&chain, steps, &err) != COT_OK) abort();
    }
    ~scene()
    {
        cot_chain_destroy(chain);
        cot_steps_destroy(steps);
    }
    scene(const scene &) = delete;
    scene &operator=(const scene &) = delete;

    /* The answer of a step rests on this box, drawn from its left upper corner to the right. */
    void box(size_t step, float left, float top, float right, float bottom)
    {
        cot_answer &a = chain->answers[step];
        a.available = true;
        if (cot_answer_regions(&a, 1, &err) != COT_OK || cot_region_points(&a.regions[0], 4, &err) != COT_OK) abort();
        const cot_point corners[4] = {{left, top}, {right, top}, {right, bottom}, {left, bottom}};
        std::copy(corners, corners + 4, a.regions[0].points);
    }
    void frame(size_t step) { chain->answers[step].available = true; }

    /* As OHIF does. */
    cot_point anchor(size_t step, const measured_label &label) const
    {
        const cot_region &r = chain->answers[step].regions[0];
        const cot_point &a = r.points[label.first], &b = r.points[(label.first + 1) % r.n_points];
        return {std::max(a.column, b.column), (a.row + b.row) / 2};
    }
};
} // namespace

TEST(a_label_has_room_between_its_outline_and_the_border)
{
    scene s;
    s.box(0, 880, 300, 980, 420);
    const std::vector<measured_label> labels = choose_labels(*s.chain, 1000, 1000);
    CHECK(labels[0].shown);
    /* no edge of this box leaves room for it: the one that reaches least beyond, its left one */
    CHECK_NUMBER(labels[0].first, 3);
    s.box(0, 400, 300, 980, 420);
    CHECK_NEAR(s.anchor(0, choose_labels(*s.chain, 1000, 1000)[0]).column, 400, 0);
}

TEST(a_label_stands_right_of_an_outline_where_there_is_room)
{
    scene s;
    s.box(0, 100, 300, 400, 420);
    const cot_point at = s.anchor(0, choose_labels(*s.chain, 1000, 1000)[0]);
    CHECK_NEAR(at.column, 400, 0);
    /* beside an upright image a viewport has room too */
    s.box(0, 100, 300, 590, 420);
    CHECK_NEAR(s.anchor(0, choose_labels(*s.chain, 1000, 900)[0]).column, 100, 0);
    CHECK_NEAR(s.anchor(0, choose_labels(*s.chain, 1400, 1000)[0]).column, 100, 0);
    CHECK_NEAR(s.anchor(0, choose_labels(*s.chain, 1400, 1200)[0]).column, 590, 0);
}

TEST(a_label_has_room_below_its_outline_s_beginning)
{
    scene s;
    s.box(0, 100, 700, 500, 1000);
    cot_point *points = s.chain->answers[0].regions[0].points;
    points[1].column = 300; /* wider below: rightmost along the bottom and half-way up to it */
    CHECK_NEAR(s.anchor(0, choose_labels(*s.chain, 1000, 1000)[0]).row, 850, 0);
    points[0].row = points[1].row = 950; /* no edge leaves room: the one whose label is cut off least */
    CHECK_NEAR(s.anchor(0, choose_labels(*s.chain, 1000, 1000)[0]).row, 950, 0);
    points[0].row = points[1].row = 900;
    CHECK_NEAR(s.anchor(0, choose_labels(*s.chain, 1000, 1000)[0]).row, 900, 0);
}

TEST(labels_of_outlines_that_coincide_stand_at_other_edges)
{
    scene s;
    s.box(0, 100, 100, 400, 700);
    s.box(1, 100, 100, 400, 700);
    const std::vector<measured_label> labels = choose_labels(*s.chain, 1000, 1000);
    REQUIRE(labels[0].shown && labels[1].shown);
    const cot_point a = s.anchor(0, labels[0]), b = s.anchor(1, labels[1]);
    CHECK(std::fabs(a.row - b.row) >= 70 || std::fabs(a.column - b.column) >= 450);
}

TEST(a_label_that_would_cover_another_is_not_shown_and_the_first_always_is)
{
    scene s;
    s.box(0, 500, 500, 520, 510);
    s.box(1, 505, 505, 525, 515);
    s.box(2, 500, 700, 520, 710);
    const std::vector<measured_label> labels = choose_labels(*s.chain, 1000, 1000);
    CHECK(labels[0].shown);
    CHECK(!labels[1].shown);
    CHECK(labels[2].shown);
}

TEST(of_frames_of_the_whole_image_one_is_labelled_at_the_left_edge)
{
    scene s;
    for (size_t step = 0; step < 3; step++) s.frame(step);
    s.box(3, -0.5F, 480, 20, 520); /* there too */
    s.box(4, 500, 480, 520, 520);
    const std::vector<measured_label> labels = choose_labels(*s.chain, 1000, 1000);
    CHECK(labels[0].shown && !labels[1].shown && !labels[2].shown);
    CHECK(!labels[3].shown);
    CHECK(labels[4].shown);
    CHECK(!labels[5].shown); /* has no answer */
}

CHECK_MAIN
