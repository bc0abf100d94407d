/* Features of a frozen encoder for the stages teacher and distill (train.h): computed once per image by the package's encoder,
 * kept on disk under what they follow from. SPDX-License-Identifier: Apache-2.0 */
#include "engine/model.h"
#include "engine/prompts.h"
#include "plugin/train.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH = 16 };

static cot_status encode_all(train_job *j, cot_model *model, cot_error *err)
{
    cot_status status = COT_OK;
    const model_card *card = package_card(j->init);
    const size_t pixels = j->pictures.size * j->pictures.size, width = j->data.width;
    float *input = calloc(BATCH * pixels, sizeof *input);
    float *logits = calloc(BATCH * cot_model_logit_count(model), sizeof *logits);
    if (!input || !logits) {
        status = cot_fail(err, COT_E_MEMORY, "no memory for a batch of pictures");
        goto done;
    }
    for (size_t at = 0; at < j->pictures.n; at += BATCH) {
        const size_t n = j->pictures.n - at < BATCH ? j->pictures.n - at : BATCH;
        for (size_t i = 0; i < n; i++) picture_set_get(&j->pictures, at + i, input + i * pixels);
        for (size_t i = 0; i < n * pixels; i++) input[i] = (input[i] - card->mean) / card->std;
        COT_TRY(cot_model_logits(model, logits, input, n, err));
        COT_TRY(cot_buffer_read(model->feature, 0, j->features + at * width, n * width, err));
    }
done:
    free(input);
    free(logits);
    return status;
}

static cot_status load_features(train_job *j, cot_error *err)
{
    cot_status status = COT_OK;
    cot_model *model = NULL;
    bool kept;
    const model_card *card = package_card(j->init);
    char how[64];
    snprintf(how, sizeof how, "features 1, mean %.9g, deviation %.9g", (double)card->mean, (double)card->std);
    const char *parts[] = {how, j->loop.identity.digest[RUN_IMAGES], card->weights_sha256};
    const row_key key = row_key_of(parts, 3);
    const size_t bytes = j->data.width * sizeof *j->features;
    j->features = calloc(j->manifest->n + 1, bytes);
    if (!j->features) return cot_fail(err, COT_E_MEMORY, "no memory for the features of %zu images", j->manifest->n);
    if (row_cache_load(j->features, j->request->cache, "features", &key, j->manifest->n, bytes)) goto done;
    COT_TRY(cot_model_create(&model, j->device, j->init, j->steps, BATCH, err));
    COT_TRY(encode_all(j, model, err));
    COT_TRY(row_cache_save(&kept, j->features, j->request->cache, "features", &key, j->manifest->n, bytes, err));
done:
    cot_model_destroy(model);
    return status;
}

/* The package's, or of a new teacher fixed random ones. */
static cot_status load_prompts(train_job *j, cot_error *err)
{
    const model_card *card = package_card(j->init);
    const weight_source source = package_source(j->init, "");
    j->teacher = card->arch.teacher;
    if (j->teacher.dim)
        return source_floats(&j->prompts, &source, PROMPTS_NAME, (const size_t[]){j->steps->n_steps, j->teacher.dim}, 2,
                             err);
    j->teacher = (teacher_arch){j->request->training.teacher_dim, j->request->training.teacher_heads,
                                j->request->training.teacher_layers};
    return prompts_random(&j->prompts, j->steps->n_steps, j->teacher.dim, err);
}

cot_status train_features_load(train_job *job, cot_error *err)
{
    cot_status status;
    job->data.width = architecture_features(&package_card(job->init)->arch);
    COT_TRY(load_features(job, err));
    COT_TRY(load_prompts(job, err));
done:
    return status;
}
