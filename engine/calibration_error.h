/* What a calibration error on few images is worth. The plain one (SCORE_ECE, 15 bins of equal width: Naeini 2015, Guo 2017) is
 * what papers print, but a sum of absolute differences is above 0 by chance alone, and a bootstrap adds that chance once more:
 * on 122 images a perfectly calibrated model measures about 0.1, and the middle 95 % of its bootstrap never hold the 0 that is
 * true. Hence beside it: what a perfectly calibrated model with the same certainties would measure (drawn: Bröcker and
 * Smith 2007), bins of equal mass, and the root mean square error without that bias (Ferro and Fricker 2012; Kumar, Liang and
 * Ma 2019), with an interval that holds. A mean square is never below the square of a mean: a root of at most 0.05 says that
 * the error in absolute values, over the same bins, is no larger.
 * Threads: any thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_CALIBRATION_ERROR_H
#define COT_ENGINE_CALIBRATION_ERROR_H
#include "engine/scores.h"

typedef struct calibration_error { /* NaN: not defined on these rows */
    double mass;                   /* ECE over bins of equal mass */
    double chance, chance_high,
        reached; /* plain ECE of a calibrated model with these certainties: mean, its 95 % point,
                                             share of the draws that are at least as large as what was measured */
    double rms, rms_low, rms_high,
        square; /* root of `square`, 0 below; its 95 % interval. square is unbiased, perhaps < 0 */
} calibration_error;
/* `draws` calibrated models, at least 1. Same rows, seed and draws: the same numbers. */
cot_status calibration_error_of(calibration_error *out, const score_rows *rows, double temperature, size_t draws,
                                uint64_t seed, cot_error *err);

/* Negative log-likelihood of the rows when each fold's temperature is fitted without its patients: below that of
 * temperature 1 only if a temperature helps on others. NaN with less than `folds` patients. */
cot_status calibration_left_out(double *nll, const score_rows *rows, size_t folds, cot_error *err);
#endif
