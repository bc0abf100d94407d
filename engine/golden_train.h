/* The joint training of a golden folder, computed again: does this device train as the oracle trained?
 * Threads: the device's thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_GOLDEN_TRAIN_H
#define COT_ENGINE_GOLDEN_TRAIN_H
#include "engine/engine.h"

enum { COT_GOLDEN_ALIGNS = 2, COT_GOLDEN_STEPS = 3, COT_GOLDEN_LOSSES = 5 };
#define COT_GOLDEN_LOSS_BOUND  1e-4
#define COT_GOLDEN_LOGIT_BOUND 1e-3

/* The three joint steps of one way to align. */
typedef struct cot_golden_training {
    char align[12];                                  /* paper, published */
    double got[COT_GOLDEN_STEPS][COT_GOLDEN_LOSSES]; /* teacher, student, ce, kd, ch */
    double want[COT_GOLDEN_STEPS][COT_GOLDEN_LOSSES];
    double loss_error;  /* largest |got - want| / |want|; of ce, kd and ch over the student's loss, their sum */
    double logit_error; /* of the logits after the three steps: largest difference over the largest expected value */
    char worst[80];     /* that tensor */
} cot_golden_training;
extern const char *const cot_golden_loss_names[COT_GOLDEN_LOSSES];

/* Needs proj_teacher.safetensors and proj_student.safetensors in the folder, "losses" in expected.json and the logits
 * afterwards in expected.safetensors; COT_E_MODEL names what is missing. Image and prompt features are the expected ones. */
cot_status cot_golden_train(cot_golden_training results[COT_GOLDEN_ALIGNS], const cot_golden *golden,
                            cot_device *device, cot_error *err);
bool cot_golden_training_passes(const cot_golden_training *result);
#endif
