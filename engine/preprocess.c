/* Pictures of any size -> the model's input: stretched to a square by the package's filter and normalised, on the
 * device. The grey channel stays one channel; the stem stands for its repetition (convnorm.c).
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/model.h"

enum { PICTURE_SIDE_MAX = 1 << 16 };

cot_status model_preprocess(cot_model *model, const cot_picture *pictures, size_t n, cot_error *err)
{
    for (size_t i = 0; i < n; i++) {
        const cot_picture *p = &pictures[i];
        if (!p->grey || !p->rows || !p->cols || p->rows > PICTURE_SIDE_MAX || p->cols > PICTURE_SIDE_MAX)
            return cot_fail(err, COT_E_INPUT, "picture %zu has %zu rows and %zu columns; 1 to %d are read", i, p->rows,
                            p->cols, PICTURE_SIDE_MAX);
        if (cot_resampler_run(model->resampler, model->input, i, p->grey, p->rows, p->cols, err) != COT_OK)
            return cot_fail_in(err, "resample picture %zu", i);
    }
    return COT_OK;
}
