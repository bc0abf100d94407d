/* What lies in a golden folder's files and belongs to nothing: a tensor that no model of these sizes has would be weights that
 * verify says it has checked and has not.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/architecture.h"
#include "engine/golden.h"
#include "engine/naming.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static cot_status fail_extra(const cot_golden *g, golden_file file, const char *name, cot_error *err)
{
    return cot_fail(err, COT_E_MODEL,
                    "%s: tensor %s belongs to nothing of these sizes: correct expected.json or make the folder again",
                    g->where[file], name);
}

static bool listed(const tensor_spec *table, size_t n, const char *prefix, const char *name)
{
    const size_t skip = strlen(prefix);
    for (size_t i = 0; i < n; i++)
        if (!strncmp(table[i].name, prefix, skip) && !strcmp(table[i].name + skip, name)) return true;
    return false;
}

/* Every tensor of a file is in the package's table under `prefix`. */
static cot_status check_listed(const cot_golden *g, golden_file file, const tensor_spec *table, size_t n,
                               const char *prefix, cot_error *err)
{
    for (size_t i = 0; i < safetensors_count(g->file[file]); i++) {
        const char *name = safetensors_at(g->file[file], i)->name;
        if (!listed(table, n, prefix, name)) return fail_extra(g, file, name, err);
    }
    return COT_OK;
}

static cot_status check_models(const cot_golden *g, cot_error *err)
{
    cot_status status;
    const golden_sizes *z = &g->sizes;
    tensor_spec *table = NULL;
    size_t n = 0;
    const architecture arch = {
        .encoder = ENCODER_CLIP,
        .clip = {z->resolution, z->patch, z->width, z->layers, z->heads, 4 * z->width, z->image_dim},
        .dim = z->student,
        .teacher = {z->teacher, z->gat_heads, z->gat_layers},
        .n_steps = g->n_steps,
        .classes = (size_t *)(uintptr_t)g->classes}; /* read only */
    COT_TRY(architecture_tensors(&table, &n, &arch, err));
    COT_TRY(check_listed(g, GOLDEN_CLIP, table, n, CLIP_PREFIX, err));
    COT_TRY(check_listed(g, GOLDEN_TEACHER, table, n, TEACHER_PREFIX, err));
    COT_TRY(check_listed(g, GOLDEN_STUDENT, table, n, STUDENT_PREFIX, err));
done:
    free(table);
    return status;
}

static cot_status check_bert(const cot_golden *g, cot_error *err)
{
    cot_status status;
    const safetensors *file = g->file[GOLDEN_BERT];
    named_tensors list = {NULL, 0, NULL, NULL};
    bert_shape shape;
    naming_claim *claims = calloc(safetensors_count(file) + 1, sizeof *claims);
    if (!claims) return cot_fail(err, COT_E_MEMORY, "%s: no memory", g->folder);
    COT_TRY(naming_bert(&list, &shape, claims, file, g->where[GOLDEN_BERT], "", g->sizes.bert_heads, err));
    for (size_t i = 0; i < safetensors_count(file); i++)
        if (claims[i] != NAMING_TAKEN) {
            status = fail_extra(g, GOLDEN_BERT, safetensors_at(file, i)->name, err);
            goto done;
        }
done:
    named_tensors_fini(&list);
    free(claims);
    return status;
}

/* "prefix.N" of one of the steps. */
static bool is_step(const cot_golden *g, const char *name, const char *prefix)
{
    const size_t n = strlen(prefix);
    char *end = NULL;
    if (strncmp(name, prefix, n) || name[n] != '.' || !isdigit((unsigned char)name[n + 1])) return false;
    return strtoul(name + n + 1, &end, 10) < g->n_steps && !*end;
}

static cot_status check_expected(const cot_golden *g, cot_error *err)
{
    static const char *const names[] = {"images",         "ids", "mask", "labels", "valid", "image_features",
                                        "prompt_features"};
    static const char *const steps[] = {"teacher_logits",
                                        "student_logits",
                                        "paper.teacher_logits_after3",
                                        "paper.student_logits_after3",
                                        "published.teacher_logits_after3",
                                        "published.student_logits_after3"};
    for (size_t i = 0; i < safetensors_count(g->file[GOLDEN_EXPECTED]); i++) {
        const char *name = safetensors_at(g->file[GOLDEN_EXPECTED], i)->name;
        bool known = false;
        for (size_t k = 0; k < sizeof names / sizeof *names; k++) known = known || !strcmp(name, names[k]);
        for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) known = known || is_step(g, name, steps[k]);
        if (!known) return fail_extra(g, GOLDEN_EXPECTED, name, err);
    }
    return COT_OK;
}

cot_status golden_refuse_extra(const cot_golden *golden, cot_error *err)
{
    cot_status status;
    COT_TRY(check_models(golden, err));
    COT_TRY(check_bert(golden, err));
    COT_TRY(check_expected(golden, err));
done:
    return status;
}
