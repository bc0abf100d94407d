/* links: engine config
 * Makes the package that is embedded as the default model: `tool_default_model SOURCE OUT`, where SOURCE holds
 * weights.safetensors and summary.json of the training run. The texts below end up in model.json and in every report.
 * SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"
#include "engine/engine.h"

static const char training[] =
    "ResNet-18 (width 32) and Step-CoT student, trained from scratch with PyTorch on NIH ChestX-ray14: 1,319 images, "
    "labels "
    "mined from the radiologists' reports. Steps 1 (radiodensity) and 7 (diagnosis) were supervised only; the answers "
    "to all "
    "other steps are untrained and not reported. AdamW, one-cycle to 2e-3, weight decay 0.05, batch 32, 24 epochs; "
    "augmentation by rotation, scale, shift, mirror and contrast. Validated on 293 images of other patients.";
static const char notice[] = "Demonstration model, not a medical device: not for diagnosis, treatment or triage. It "
                             "was trained on few images of one "
                             "hospital and is often wrong.";
static const char attribution[] = "NIH ChestX-ray14, provided by the NIH Clinical Center without restrictions on use: "
                                  "https://nihcc.app.box.com/v/ChestXray-NIHCC. X. Wang, Y. Peng, L. Lu, Z. Lu, M. "
                                  "Bagheri, R. M. Summers: ChestX-ray8: "
                                  "Hospital-scale Chest X-ray Database and Benchmarks on Weakly-Supervised "
                                  "Classification and Localization of Common Thorax "
                                  "Diseases, IEEE CVPR 2017.";

int main(int argc, char **argv)
{
    cot_error err = COT_ERROR_INIT;
    cot_steps *steps = NULL;
    if (argc != 3) {
        fprintf(stderr, "usage: %s SOURCE OUT\n", argv[0]);
        return 2;
    }
    const cot_import_options options = {.source = argv[1],
                                        .out = argv[2],
                                        .name = "Step-CoT student ResNet-18 (demonstration)",
                                        .version = "1.0",
                                        .training = training,
                                        .notice = notice,
                                        .attribution = attribution};
    cot_status status = cot_steps_load(&steps, NULL, &err);
    if (status == COT_OK) status = cot_package_import(&options, steps, &err);
    if (status != COT_OK) fprintf(stderr, "%s\n", err.text);
    cot_steps_destroy(steps);
    return status != COT_OK;
}
