/* Shared by the files of the measurement report: one image with its reading, and where its items stand in the tree.
 * measurement.cc builds the document, measurement_group.cc a step's group, measurement_chain.cc what answers rest on,
 * measurement_labels.cc says which regions carry a label, report_library.cc describes the images.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_MEASUREMENT_H
#define COT_MEASUREMENT_H
#include "dicom/report_concepts.h"
#include "dicom/report_internal.h"

#include <string>
#include <vector>

struct measured_label {
    bool shown;   /* the region shows its certainty on the image */
    size_t first; /* the point at which its outline begins: the label stands there */
};

struct measured_image {
    const report_source *source;
    const cot_chain *chain;
    std::string dataset_sha256;
    size_t number; /* 1, 2, … of `of` */
    size_t of;
    bool measured;                      /* else only listed, with the reason */
    std::vector<measured_label> labels; /* [n_steps] */
    std::vector<size_t> answer_items;   /* [n_steps]: ids in the tree; 0: not available */
    std::vector<size_t> region_items;
    std::string label() const { return image_label(*source, number); }
    std::string prefix() const { return of > 1 ? label() + ": " : ""; }
};

/* Stable across re-readings by any model: the same place of the same image in the same question. */
std::string tracking_uid_of(const report_job &job, const measured_image &image, size_t step, size_t region);
/* Of the answer itself: another model or schema makes another observation. */
std::string observation_uid_of(const report_job &job, const measured_image &image, size_t step);

std::string measured_percent(double fraction); /* "92.13": two decimals */
std::vector<measured_label> choose_labels(const cot_chain &chain, double rows, double columns);
void add_group(report_tree &t, size_t measurements, const report_job &job, measured_image &image, size_t step);
/* The influences on an answer: their effects, and by value the premises restated. */
void add_premises(report_tree &t, const report_job &job, const measured_image &image, size_t step);
/* What is inferred by value from the answer of `step`: that answer once more, with the identity of the first. */
void add_restated(report_tree &t, size_t parent, const report_job &job, const measured_image &image, size_t step);
/* By reference: after everything else, because positions are counted when the document is written. */
void add_references(report_tree &t, const measured_image &image, size_t impression, size_t conclusion);
void add_image_library(report_tree &t, size_t root, const std::vector<measured_image> &images);
#endif
