/* Golden folders: weights, inputs and expected outputs as the oracle in PyTorch wrote them, of any sizes. The folder is
 * not trusted: expected.json is bounded, every size in it too, and every tensor must have the shape that the sizes give it
 * before memory is taken for it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/golden.h"
#include "engine/card.h"

#include <stdlib.h>
#include <string.h>

extern const unsigned char cot_golden_json[], cot_golden_clip[], cot_golden_bert[], cot_golden_teacher[],
    cot_golden_student[], cot_golden_expected[];
extern const size_t cot_golden_json_size, cot_golden_clip_size, cot_golden_bert_size, cot_golden_teacher_size,
    cot_golden_student_size, cot_golden_expected_size;

static const char *const file_names[GOLDEN_FILES] = {"clip.safetensors", "bert.safetensors", "teacher.safetensors",
                                                     "student.safetensors", "expected.safetensors"};
static const char embedded_name[] = "golden folder in the program";

/* ---- sizes ---- */
static const struct {
    const char *name;
    size_t offset, most;
} size_table[] = {
    {"resolution", offsetof(golden_sizes, resolution), 2048},
    {"patch", offsetof(golden_sizes, patch), 256},
    {"width", offsetof(golden_sizes, width), 8192},
    {"layers", offsetof(golden_sizes, layers), 128},
    {"heads", offsetof(golden_sizes, heads), 512},
    {"image_dim", offsetof(golden_sizes, image_dim), 8192},
    {"vocab", offsetof(golden_sizes, vocab), 1 << 20},
    {"bert_width", offsetof(golden_sizes, bert_width), 8192},
    {"bert_layers", offsetof(golden_sizes, bert_layers), 128},
    {"bert_heads", offsetof(golden_sizes, bert_heads), 512},
    {"positions", offsetof(golden_sizes, positions), 4096},
    {"tokens", offsetof(golden_sizes, tokens), 4096},
    {"teacher", offsetof(golden_sizes, teacher), 8192},
    {"gat_heads", offsetof(golden_sizes, gat_heads), 512},
    {"gat_layers", offsetof(golden_sizes, gat_layers), 128},
    {"student", offsetof(golden_sizes, student), 8192},
    {"batch", offsetof(golden_sizes, batch), 1024},
};

static cot_status read_classes(cot_golden *g, const cJSON *list, const char *where, cot_error *err)
{
    const cJSON *item;
    const int n = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;
    if (n < 1 || n > GOLDEN_STEPS_MAX)
        return cot_fail(err, COT_E_MODEL, "%s: \"step_classes\" must list 1 to %d numbers of classes", where,
                        GOLDEN_STEPS_MAX);
    cJSON_ArrayForEach(item, list)
    {
        const double v = cJSON_IsNumber(item) ? item->valuedouble : 0;
        if (!(v >= 1 && v <= GOLDEN_CLASSES_MAX) || v != (double)(size_t)v)
            return cot_fail(err, COT_E_MODEL, "%s: \"step_classes\": step %zu must have 1 to %d classes", where,
                            g->n_steps, GOLDEN_CLASSES_MAX);
        g->classes[g->n_steps++] = (size_t)v;
    }
    return COT_OK;
}

/* What the single bounds cannot say. */
static cot_status check_sizes(const golden_sizes *z, const char *where, cot_error *err)
{
    const struct {
        size_t heads, width;
        const char *heads_name, *width_name;
    } divided[] = {{z->heads, z->width, "heads", "width"},
                   {z->bert_heads, z->bert_width, "bert_heads", "bert_width"},
                   {z->gat_heads, z->teacher, "gat_heads", "teacher"}};
    for (size_t i = 0; i < sizeof divided / sizeof *divided; i++)
        if (divided[i].width % divided[i].heads)
            return cot_fail(err, COT_E_MODEL, "%s: \"%s\" %zu does not divide \"%s\" %zu", where, divided[i].heads_name,
                            divided[i].heads, divided[i].width_name, divided[i].width);
    if (z->teacher != z->bert_width)
        return cot_fail(err, COT_E_MODEL, "%s: \"teacher\" %zu must be \"bert_width\" %zu: prompts are its nodes",
                        where, z->teacher, z->bert_width);
    if (z->patch > z->resolution)
        return cot_fail(err, COT_E_MODEL, "%s: \"patch\" %zu is larger than \"resolution\" %zu", where, z->patch,
                        z->resolution);
    if (z->tokens > z->positions)
        return cot_fail(err, COT_E_MODEL, "%s: \"tokens\" %zu are more than \"positions\" %zu", where, z->tokens,
                        z->positions);
    return COT_OK;
}

static cot_status read_json(cot_golden *g, const char *text, cot_error *err)
{
    cot_status status;
    cJSON *json = NULL;
    char where[1200];
    snprintf(where, sizeof where, "%s/expected.json", g->folder);
    COT_TRY(json_object(&json, text, where, err));
    const cJSON *sizes = cJSON_GetObjectItemCaseSensitive(json, "architecture");
    if (!cJSON_IsObject(sizes)) {
        status =
            cot_fail(err, COT_E_MODEL, "%s: \"architecture\" must be an object of sizes: make the folder again", where);
        goto done;
    }
    for (size_t i = 0; i < sizeof size_table / sizeof *size_table; i++)
        COT_TRY(json_size((size_t *)(void *)((char *)&g->sizes + size_table[i].offset), sizes, size_table[i].name, 1,
                          size_table[i].most, where, err));
    COT_TRY(read_classes(g, cJSON_GetObjectItemCaseSensitive(json, "step_classes"), where, err));
    COT_TRY(check_sizes(&g->sizes, where, err));
done:
    cJSON_Delete(json);
    return status;
}

/* ---- open ---- */
static cot_status open_folder(cot_golden *g, const char *dir, cot_error *err)
{
    cot_status status;
    char path[1200], *json = NULL;
    size_t size = 0;
    if (strlen(dir) >= sizeof g->folder) return cot_fail(err, COT_E_MODEL, "the golden folder's path is too long");
    snprintf(g->folder, sizeof g->folder, "%s", dir);
    snprintf(path, sizeof path, "%s/expected.json", dir);
    COT_TRY(cot_file_read(&json, &size, path, CARD_BYTES_MAX, err));
    COT_TRY(read_json(g, json, err));
    for (size_t i = 0; i < GOLDEN_FILES; i++) {
        snprintf(g->where[i], sizeof g->where[i], "%s/%s", dir, file_names[i]);
        COT_TRY(safetensors_open(&g->file[i], g->where[i], err));
    }
done:
    free(json);
    if (status == COT_E_IO || status == COT_E_INPUT ||
        status == COT_E_LIMIT) { /* the same fault as a tensor that lacks */
        if (err) err->status = COT_E_MODEL;
        status = COT_E_MODEL;
    }
    return status;
}

static cot_status open_embedded(cot_golden *g, cot_error *err)
{
    cot_status status;
    const cot_blob files[GOLDEN_FILES] = {{cot_golden_clip, cot_golden_clip_size},
                                          {cot_golden_bert, cot_golden_bert_size},
                                          {cot_golden_teacher, cot_golden_teacher_size},
                                          {cot_golden_student, cot_golden_student_size},
                                          {cot_golden_expected, cot_golden_expected_size}};
    char json[8192]; /* a copy with a NUL behind */
    snprintf(g->folder, sizeof g->folder, "%s", embedded_name);
    if (cot_golden_json_size >= sizeof json)
        return cot_fail(err, COT_E_BUG, "%s: expected.json is too large", embedded_name);
    memcpy(json, cot_golden_json, cot_golden_json_size);
    json[cot_golden_json_size] = 0;
    COT_TRY(read_json(g, json, err));
    for (size_t i = 0; i < GOLDEN_FILES; i++) {
        snprintf(g->where[i], sizeof g->where[i], "%s/%s", embedded_name, file_names[i]);
        COT_TRY(safetensors_parse(&g->file[i], files[i], g->where[i], err));
    }
done:
    return status;
}

cot_status cot_golden_open(cot_golden **out, const char *dir, cot_error *err)
{
    *out = NULL;
    cot_golden *g = calloc(1, sizeof *g);
    if (!g) return cot_fail(err, COT_E_MEMORY, "golden folder: no memory");
    const cot_status status = dir ? open_folder(g, dir, err) : open_embedded(g, err);
    if (status == COT_OK)
        *out = g;
    else
        cot_golden_close(g);
    return status;
}

void cot_golden_close(cot_golden *golden)
{
    if (!golden) return;
    for (size_t i = 0; i < GOLDEN_FILES; i++) safetensors_close(golden->file[i]);
    free(golden);
}

weight_source golden_source(const cot_golden *golden, golden_file file)
{
    return (weight_source){.file = golden->file[file], .prefix = "", .where = golden->where[file]};
}

void cot_golden_describe(const cot_golden *golden, char *text, size_t size)
{
    const golden_sizes *z = &golden->sizes;
    snprintf(
        text, size,
        "image %zu in patches of %zu, width %zu, %zu layers; text width %zu, %zu layers; teacher %zu, student %zu; "
        "%zu steps; batch %zu",
        z->resolution, z->patch, z->width, z->layers, z->bert_width, z->bert_layers, z->teacher, z->student,
        golden->n_steps, z->batch);
}
