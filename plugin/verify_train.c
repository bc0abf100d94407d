/* stepcot verify --train: the losses of each joint step beside the oracle's. SPDX-License-Identifier: Apache-2.0 */
#include "plugin/verify_train.h"

#include <math.h>

void verify_train_print(const cot_golden_training results[COT_GOLDEN_ALIGNS])
{
    for (size_t a = 0; a < COT_GOLDEN_ALIGNS; a++) {
        const cot_golden_training *r = &results[a];
        printf("\nJoint training, align %s: loss here (the oracle's)\n%-6s", r->align, "step");
        for (size_t k = 0; k < COT_GOLDEN_LOSSES; k++) printf("%-24s", cot_golden_loss_names[k]);
        printf("\n");
        for (size_t i = 0; i < COT_GOLDEN_STEPS; i++) {
            printf("%-6zu", i + 1);
            for (size_t k = 0; k < COT_GOLDEN_LOSSES; k++) {
                char text[64];
                snprintf(text, sizeof text, "%.6f (%.6f)", r->got[i][k], r->want[i][k]);
                printf("%-24s", text);
            }
            printf("\n");
        }
        printf("largest error of a loss %.2e, %.0e passes%s; ce, kd and ch measured over student, their sum\n",
               r->loss_error, COT_GOLDEN_LOSS_BOUND, r->loss_error <= COT_GOLDEN_LOSS_BOUND ? "" : "  TOO LARGE");
        printf("of a logit afterwards   %.2e, %.0e passes%s; in %s\n", r->logit_error, COT_GOLDEN_LOGIT_BOUND,
               r->logit_error <= COT_GOLDEN_LOGIT_BOUND ? "" : "  TOO LARGE", r->worst);
    }
}

/* JSON has no infinity: null. */
static bool add_number(cJSON *o, const char *name, double v)
{
    return isfinite(v) ? cJSON_AddNumberToObject(o, name, v) : cJSON_AddNullToObject(o, name);
}

static bool add_losses(cJSON *o, const char *name, const double losses[COT_GOLDEN_STEPS][COT_GOLDEN_LOSSES])
{
    cJSON *list = cJSON_AddArrayToObject(o, name);
    for (size_t i = 0; list && i < COT_GOLDEN_STEPS; i++) {
        cJSON *step = cJSON_CreateObject();
        if (!step || !cJSON_AddItemToArray(list, step)) {
            cJSON_Delete(step);
            return false;
        }
        for (size_t k = 0; k < COT_GOLDEN_LOSSES; k++)
            if (!add_number(step, cot_golden_loss_names[k], losses[i][k])) return false;
    }
    return list;
}

bool verify_train_json(cJSON *o, const cot_golden_training results[COT_GOLDEN_ALIGNS])
{
    cJSON *list = cJSON_AddArrayToObject(o, "training");
    for (size_t a = 0; list && a < COT_GOLDEN_ALIGNS; a++) {
        const cot_golden_training *r = &results[a];
        cJSON *item = cJSON_CreateObject();
        if (!item || !cJSON_AddItemToArray(list, item)) {
            cJSON_Delete(item);
            return false;
        }
        if (!cJSON_AddStringToObject(item, "align", r->align) || !add_losses(item, "losses", r->got) ||
            !add_losses(item, "expected", r->want) || !add_number(item, "loss_error", r->loss_error) ||
            !add_number(item, "logit_error", r->logit_error) || !cJSON_AddStringToObject(item, "worst", r->worst) ||
            !cJSON_AddBoolToObject(item, "within", cot_golden_training_passes(r)))
            return false;
    }
    return list;
}
