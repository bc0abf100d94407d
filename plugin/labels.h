/* Inside plugin/: label rules (config/rules.h) applied to one image. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_LABELS_H
#define COT_LABELS_H
#include "config/rules.h"

typedef struct label_box { /* in pixels of the images that the boxes were drawn on */
    size_t finding;        /* index in the rules' findings */
    double x, y, w, h;
} label_box;

/* label[s] = option of step s, or -1. `findings`: the image's, one bit each. */
void labels_derive(int *label, const cot_rules *rules, uint64_t findings, const label_box *boxes, size_t n);
/* "R" or "L", the patient's; and 0 upper, 1 middle, 2 lower: where the centre lies. */
char label_box_side(const cot_rules *rules, const label_box *box);
int label_box_zone(const cot_rules *rules, const label_box *box);
#endif
