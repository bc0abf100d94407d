/* For tests of evidence: a ResNet-18 made by hand that sees one thing, brightness, each cell of its last activation in the
 * middle of its tile of the picture; and steps whose answers follow from how much of it there is.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_TESTS_KNOWN_MODEL_H
#define COT_TESTS_KNOWN_MODEL_H
#include "engine/model.h"
#include "engine/package_write.h"
#include "tests/check.h"
#include "tests/tiny_model.h"

enum { KNOWN_SIDE = 224, KNOWN_CELLS = 7, KNOWN_DIM = 8, KNOWN_STEPS = 3 };

/* Three steps: nothing (negative) or bright. */
static inline const cot_steps *known_steps(void)
{
    static cot_steps steps;
    static cot_step step[KNOWN_STEPS];
    static cot_option option[2 * KNOWN_STEPS];
    if (steps.n_steps) return &steps;
    steps = *tiny_steps();
    for (size_t s = 0; s < KNOWN_STEPS; s++) {
        step[s] = tiny_steps()->steps[s];
        option[2 * s] = tiny_steps()->steps[0].options[0];
        option[2 * s + 1] = tiny_steps()->steps[0].options[1];
        option[2 * s].negative = true;
        step[s].n_options = 2;
        step[s].options = option + 2 * s;
    }
    steps.steps = step;
    return &steps;
}

static inline bool ends(const char *name, const char *with)
{
    const size_t n = strlen(name), k = strlen(with);
    return n >= k && !strcmp(name + n - k, with);
}

/* Norms pass everything; 3x3 convolutions give nothing, so that blocks are their shortcuts; stem and downsamples pass channel
 * 0. The projection raises its first half and lowers the other with brightness, against a constant; heads add the first
 * half up. */
static inline float known_value(const char *name, const tensor_spec *spec, size_t i)
{
    const size_t columns = spec->rank > 1 ? spec->shape[1] : 1;
    if (ends(name, "running_var")) return 1;
    if (ends(name, "running_mean")) return 0;
    if (strstr(name, "img_proj.0.weight")) return i % columns ? 0 : i / columns < KNOWN_DIM / 2 ? 40.0f : 0.0f;
    if (strstr(name, "img_proj.0.bias")) return i == KNOWN_DIM - 1 ? 1.0f : 0.0f;
    if (strstr(name, "img_proj.1.bias")) return 0.5f;
    if (strstr(name, "step_heads") && ends(name, ".weight"))
        return i / columns == 0 ? 0 : i % columns < KNOWN_DIM / 2 ? 0.6f : 0;
    if (strstr(name, "step_heads")) return i == 0 ? 2.2f : 0;
    if (strstr(name, "conv1.weight") && spec->shape[2] == 7) return i == 3 * 7 + 3 ? 1 : 0; /* the tap in the middle */
    if (strstr(name, "layer4.0.conv1.weight")) return i == 2 * 3 + 2; /* from the cell's corner to its middle */
    if (strstr(name, "layer4.0.conv2.weight")) return i == 1 * 3 + 1;
    if (strstr(name, "layer4.0.downsample.0.weight")) return 0;
    if (strstr(name, "downsample.0.weight")) return i == 0;
    if (spec->rank == 4) return 0;
    return ends(name, ".weight"); /* of norms */
}

/* The package's folder; its tensors are written by package_write. */
static inline cot_status known_package(const char *folder, cot_error *err)
{
    cot_status status;
    size_t classes[KNOWN_STEPS] = {2, 2, 2}, n = 0;
    const bool all[KNOWN_STEPS] = {true, true, true};
    const architecture arch = {
        .encoder = ENCODER_RESNET18, .width = 8, .dim = KNOWN_DIM, .n_steps = KNOWN_STEPS, .classes = classes};
    const package_words words = {"made by hand", "1", "a test", "not trained", "no data"};
    tensor_spec *specs = NULL;
    tensor *tensors = NULL;
    cJSON *card = package_card_new(&words, &arch, KNOWN_SIDE, COT_FILTER_BILINEAR, 0, 1, known_steps());
    COT_TRY(architecture_tensors(&specs, &n, &arch, err));
    tensors = calloc(n, sizeof *tensors);
    if (!tensors || !card || !package_card_supervised(card, "steps", all, known_steps())) {
        status = cot_fail(err, COT_E_MEMORY, "no memory");
        goto done;
    }
    for (size_t t = 0; t < n; t++) {
        tensors[t] = (tensor){.name = specs[t].name, .type = TENSOR_F32, .rank = specs[t].rank, .count = 1};
        for (size_t k = 0; k < specs[t].rank; k++) tensors[t].count *= tensors[t].shape[k] = specs[t].shape[k];
        tensors[t].bytes = tensors[t].count * sizeof(float);
        float *values = calloc(tensors[t].count + 1, sizeof *values);
        for (size_t i = 0; values && i < tensors[t].count; i++) values[i] = known_value(specs[t].name, &specs[t], i);
        tensors[t].data = (void *)values;
    }
    COT_TRY(package_write(folder, card, tensors, n, false, err));
done:
    for (size_t t = 0; tensors && t < n; t++) free((void *)(uintptr_t)tensors[t].data);
    free(tensors);
    free(specs);
    cJSON_Delete(card);
    return status;
}
#endif
