/* The gradients' kernels: a table of their own, built program by program when first used, scratch that grows to the
 * largest call, and the sums over rows that every parameter's gradient ends with. Sums are made in a fixed order, in
 * slices and without atomics: the same device gives the same bits. One thread per device.
 * SPDX-License-Identifier: Apache-2.0 */
#include "opencl/backward_device.h"

#include <stdlib.h>

typedef enum backward_family {
    BACK_MATMUL,
    BACK_PRODUCT,
    BACK_DROPOUT,
    BACK_LOSSES,
    BACK_ALIGNMENT,
    BACK_ADAMW,
    BACK_ELEMENTWISE,
    BACK_NORM,
    BACK_POOL,
    BACK_MOVES,
    BACK_ATTENTION,
    BACK_GRAPH,
    BACK_CONV,
    BACK_BATCH,
    BACK_AUGMENT,
    BACK_FAMILIES
} backward_family;

struct backward {
    cl_program programs[BACK_FAMILIES];
    cl_kernel kernels[BACKWARD_COUNT];
    size_t local[BACKWARD_COUNT];
    cot_buffer *scratch[SCRATCH_COUNT];
};

#define EMBEDDED(name)                                                                                                 \
    extern const unsigned char cot_kernels_##name[];                                                                   \
    extern const size_t cot_kernels_##name##_size;
EMBEDDED(matmul)
EMBEDDED(product_backward)
EMBEDDED(dropout)
EMBEDDED(losses)
EMBEDDED(alignment)
EMBEDDED(adamw)
EMBEDDED(elementwise_backward)
EMBEDDED(norm_backward)
EMBEDDED(pool_backward)
EMBEDDED(moves_backward)
EMBEDDED(attention_backward)
EMBEDDED(graph_backward)
EMBEDDED(conv_backward)
EMBEDDED(batch_training)
EMBEDDED(augment)

typedef struct family_text {
    const char *name;
    const unsigned char *text;
    const size_t *size;
    bool tiled;
} family_text;

#define FAMILY(name, tiled)                                                                                            \
    {                                                                                                                  \
#name, cot_kernels_##name, &cot_kernels_##name##_size, tiled                                                   \
    }
static const family_text families[BACK_FAMILIES] = {
    [BACK_MATMUL] = FAMILY(matmul, true),
    [BACK_PRODUCT] = FAMILY(product_backward, false),
    [BACK_DROPOUT] = FAMILY(dropout, false),
    [BACK_LOSSES] = FAMILY(losses, false),
    [BACK_ALIGNMENT] = FAMILY(alignment, false),
    [BACK_ADAMW] = FAMILY(adamw, false),
    [BACK_ELEMENTWISE] = FAMILY(elementwise_backward, false),
    [BACK_NORM] = FAMILY(norm_backward, false),
    [BACK_POOL] = FAMILY(pool_backward, false),
    [BACK_MOVES] = FAMILY(moves_backward, false),
    [BACK_ATTENTION] = FAMILY(attention_backward, false),
    [BACK_GRAPH] = FAMILY(graph_backward, false),
    [BACK_CONV] = FAMILY(conv_backward, true),
    [BACK_BATCH] = FAMILY(batch_training, false),
    [BACK_AUGMENT] = FAMILY(augment, false),
};

typedef struct kernel_entry {
    const char *name;
    backward_family family;
    bool alone; /* works in vectors by itself: on CPUs one work-item per group */
} kernel_entry;

static const kernel_entry table[BACKWARD_MATMUL] = {
    [BACKWARD_DOT] = {"dot_tile", BACK_PRODUCT, true},
    [BACKWARD_PLAIN] = {"product_plain", BACK_PRODUCT, false},
    [TRAINING_DROPOUT] = {"dropout", BACK_DROPOUT, false},
    [TRAINING_ACTIVATION_FROM] = {"activation_from", BACK_DROPOUT, true},
    [TRAINING_REPEAT] = {"repeat_item", BACK_DROPOUT, true},
    [TRAINING_CROSS_ENTROPY] = {"cross_entropy", BACK_LOSSES, false},
    [TRAINING_SOFT_KL] = {"soft_kl", BACK_LOSSES, false},
    [TRAINING_SOFTEN] = {"soften", BACK_ALIGNMENT, true},
    [TRAINING_ALIGNMENT_MEANS] = {"alignment_means", BACK_ALIGNMENT, false},
    [TRAINING_ALIGNMENT_GRAM] = {"alignment_gram", BACK_ALIGNMENT, true},
    [TRAINING_ALIGNMENT_FACTORS] = {"alignment_factors", BACK_ALIGNMENT, true},
    [TRAINING_ALIGNMENT_FEATURE] = {"alignment_feature", BACK_ALIGNMENT, true},
    [TRAINING_SQUARE_SUMS] = {"square_sums", BACK_ADAMW, true},
    [TRAINING_NORM] = {"norm_finish", BACK_ADAMW, true},
    [TRAINING_ADAMW] = {"adamw", BACK_ADAMW, true},
    [BACKWARD_COLUMNS] = {"column_sums", BACK_NORM, true},
    [BACKWARD_FOLD] = {"fold_slices", BACK_NORM, false},
    [BACKWARD_ACTIVATION_FORWARD] = {"activation_forward", BACK_ELEMENTWISE, true},
    [BACKWARD_ACTIVATION] = {"activation_backward", BACK_ELEMENTWISE, true},
    [BACKWARD_BIAS] = {"bias_forward", BACK_ELEMENTWISE, false},
    [BACKWARD_ADD] = {"accumulate", BACK_ELEMENTWISE, true},
    [BACKWARD_ADD_TANH] = {"add_tanh_backward", BACK_ELEMENTWISE, true},
    [BACKWARD_SOFTMAX] = {"softmax_backward", BACK_ELEMENTWISE, false},
    [BACKWARD_GRU] = {"gru_backward", BACK_ELEMENTWISE, true},
    [BACKWARD_LAYER_NORM] = {"layer_norm_backward", BACK_NORM, true},
    [BACKWARD_BATCH_SLICES] = {"batch_slices", BACK_NORM, true},
    [BACKWARD_BATCH_MERGE] = {"batch_merge", BACK_NORM, false},
    [BACKWARD_BATCH_RUNNING] = {"batch_running", BACK_NORM, false},
    [BACKWARD_BATCH_NORM_FORWARD] = {"batch_normalise", BACK_NORM, true},
    [BACKWARD_BATCH_NORM] = {"batch_norm_backward", BACK_NORM, true},
    [BACKWARD_MAX_POOL_WHERE] = {"max_pool_where", BACK_POOL, true},
    [BACKWARD_MAX_POOL] = {"max_pool_backward", BACK_POOL, true},
    [BACKWARD_MEAN_POOL] = {"mean_pool_backward", BACK_POOL, false},
    [BACKWARD_IM2COL] = {"im2col_rows", BACK_MOVES, true},
    [BACKWARD_COL2IM] = {"col2im", BACK_MOVES, true},
    [BACKWARD_PATCHES] = {"patches_backward", BACK_MOVES, false},
    [BACKWARD_BLOCK] = {"add_block", BACK_MOVES, false},
    [BACKWARD_ATTENTION_QUERIES] = {"attention_backward_queries", BACK_ATTENTION, true},
    [BACKWARD_ATTENTION_KEYS] = {"attention_backward_keys", BACK_ATTENTION, true},
    [BACKWARD_GRAPH_SCORES] = {"graph_backward_scores", BACK_GRAPH, true},
    [BACKWARD_GRAPH_NODES] = {"graph_backward_nodes", BACK_GRAPH, true},
    [BACKWARD_GRAPH_VECTORS] = {"graph_backward_vectors", BACK_GRAPH, false},
    [BACKWARD_PACK] = {"pack_weights", BACK_BATCH, true},
    [BACKWARD_FOLD_WEIGHTS] = {"fold_weights", BACK_BATCH, true},
    [BACKWARD_FOLD_TURNED] = {"fold_turned", BACK_BATCH, false},
    [BACKWARD_NORM_FORWARD] = {"norm_forward", BACK_BATCH, true},
    [BACKWARD_NORM_SUMS] = {"norm_sums", BACK_BATCH, true},
    [BACKWARD_NORM] = {"norm_backward", BACK_BATCH, true},
    [BACKWARD_NORM_POOL_FORWARD] = {"norm_pool_forward", BACK_BATCH, true},
    [BACKWARD_NORM_POOL] = {"norm_pool_backward", BACK_BATCH, true},
    [BACKWARD_AUGMENT] = {"augment", BACK_AUGMENT, true},
};

/* Those from MATMUL on: NAME_<height> for each height of the tile. */
static const kernel_entry tiled_table[] = {
    {"matmul", BACK_MATMUL, true}, {"conv_input", BACK_CONV, true}, {"conv_weights", BACK_CONV, true}};

static const kernel_entry *entry_of(backward_id id)
{
    return id < BACKWARD_MATMUL ? &table[id] : &tiled_table[(id - BACKWARD_MATMUL) / TILE_HEIGHTS_MAX];
}

static void name_of(char *name, size_t size, const cot_device *device, backward_id id)
{
    if (id < BACKWARD_MATMUL)
        snprintf(name, size, "%s", table[id].name);
    else
        snprintf(name, size, "%s_%u", entry_of(id)->name,
                 device->tile.heights[(id - BACKWARD_MATMUL) % TILE_HEIGHTS_MAX]);
}

void backward_destroy(struct backward *b)
{
    if (!b) return;
    for (unsigned i = 0; i < SCRATCH_COUNT; i++) cot_buffer_destroy(b->scratch[i]);
    for (unsigned i = 0; i < BACKWARD_COUNT; i++)
        if (b->kernels[i]) clReleaseKernel(b->kernels[i]);
    for (unsigned i = 0; i < BACK_FAMILIES; i++)
        if (b->programs[i]) clReleaseProgram(b->programs[i]);
    free(b);
}

static cot_status backward_of(struct backward **out, cot_device *device, cot_error *err)
{
    if (!device->backward && !(device->backward = calloc(1, sizeof *device->backward)))
        return cot_fail(err, COT_E_MEMORY, "gradients: no memory");
    *out = device->backward;
    return COT_OK;
}

/* Makes kernel `id`, and before it its program; both stay until the device closes. */
static cot_status kernel_need(cot_device *device, backward_id id, const char *name, cot_error *err)
{
    cot_status status = COT_OK;
    const kernel_entry *entry = entry_of(id);
    cl_int code = CL_SUCCESS;
    struct backward *b = NULL;
    const bool tiled = id >= BACKWARD_MATMUL;
    const backward_family family = entry->family;
    const family_text *f = &families[family];
    const bool cpu = device->info.type == COT_DEVICE_CPU;
    const size_t wish = tiled ? device->tile.local : !cpu ? 64 : entry->alone ? 1 : 16;
    COT_TRY(backward_of(&b, device, err));
    if (b->kernels[id]) goto done;
    if (!b->programs[family]) {
        status = program_build(&b->programs[family], device, f->name, f->text, f->size, f->tiled, err);
        if (status != COT_OK && b->programs[family]) { /* one that did not build is of no use later */
            clReleaseProgram(b->programs[family]);
            b->programs[family] = NULL;
        }
        COT_TRY(status);
    }
    cl_kernel kernel = clCreateKernel(b->programs[family], name, &code);
    if (code != CL_SUCCESS) {
        status = device_fail(err, code, "create kernel %s on %s", name, device->info.name);
        goto done;
    }
    b->kernels[id] = kernel;
    b->local[id] = kernel_local(kernel, device->id, wish);
done:
    return status;
}

cot_status backward_launch(cot_device *device, backward_id id, const kernel_arg *args, cl_uint n_args, size_t global0,
                           size_t global1, cot_error *err)
{
    char name[32];
    name_of(name, sizeof name, device, id);
    const cot_status status = kernel_need(device, id, name, err);
    if (status != COT_OK) return status;
    return kernel_enqueue(device, device->backward->kernels[id], name, device->backward->local[id], args, n_args,
                          global0, global1, err);
}

cot_status cot_backward_prepare(cot_device *device, cot_error *err)
{
    cot_status status = COT_OK;
    char name[32];
    for (unsigned id = 0; id < BACKWARD_COUNT; id++) {
        if (id >= BACKWARD_MATMUL && (id - BACKWARD_MATMUL) % TILE_HEIGHTS_MAX >= device->tile.n_heights) continue;
        name_of(name, sizeof name, device, (backward_id)id);
        COT_TRY(kernel_need(device, (backward_id)id, name, err));
    }
done:
    return status;
}

cot_status backward_scratch(cot_buffer **out, cot_device *device, scratch_id which, size_t floats, cot_error *err)
{
    cot_status status = COT_OK;
    struct backward *b = NULL;
    COT_TRY(backward_of(&b, device, err));
    if (!b->scratch[which] || b->scratch[which]->floats < floats) {
        COT_TRY(cot_device_finish(device, err));
        cot_buffer_destroy(b->scratch[which]);
        b->scratch[which] = NULL;
        COT_TRY(cot_buffer_create(&b->scratch[which], device, floats, err));
    }
    *out = b->scratch[which];
done:
    return status;
}

cot_status backward_count(size_t *floats, size_t a, size_t b, size_t c, size_t d, const char *what, cot_error *err)
{
    if (cot_mul(floats, a, b) && cot_mul(floats, *floats, c) && cot_mul(floats, *floats, d) && *floats <= FLOATS_MOST)
        return COT_OK;
    return cot_fail(err, COT_E_LIMIT, "%s: %zux%zux%zux%zu is more than one launch takes; lower the batch", what, a, b,
                    c, d);
}

/* ---- sums over rows ---- */
size_t backward_vectors(const cot_device *device, size_t floats)
{
    return (floats + device->tile.vector - 1) / device->tile.vector;
}

size_t backward_slices(const cot_device *device, size_t rows, size_t columns)
{
    const size_t units = device->info.compute_units ? device->info.compute_units : 1;
    const size_t wanted = units * (device->info.type == COT_DEVICE_CPU ? 4 : 512); /* work-items */
    const size_t blocks = backward_vectors(device, columns), most = (rows + 31) / 32;
    const size_t slices = blocks ? (wanted + blocks - 1) / blocks : 1;
    return slices < 1 || most < 1 ? 1 : slices < most ? slices : most;
}

cot_status backward_fold(cot_buffer *out, const cot_buffer *partial, size_t slices, size_t stride, size_t at, size_t n,
                         bool add, cot_error *err)
{
    if (!out) return COT_OK;
    const cl_int s = (cl_int)slices, step = (cl_int)stride, from = (cl_int)at, all = (cl_int)n, plus = add;
    const kernel_arg args[] = {ARG_BUFFER(out), ARG_BUFFER(partial), ARG_VALUE(s),   ARG_VALUE(step),
                               ARG_VALUE(from), ARG_VALUE(all),      ARG_VALUE(plus)};
    return BACKWARD_LAUNCH(out->device, BACKWARD_FOLD, args, n, 1, err);
}

cot_status backward_columns(cot_buffer **partial, size_t *slices, const cot_buffer *dy, const cot_buffer *x,
                            const cot_buffer *stats, bool by_row, size_t rows, size_t columns, cot_error *err)
{
    cot_status status = COT_OK;
    cot_device *device = dy->device;
    *slices = backward_slices(device, rows, columns);
    COT_TRY(backward_scratch(partial, device, SCRATCH_SUMS, *slices * columns * (x ? 2 : 1), err));
    const cl_int r = (cl_int)rows, c = (cl_int)columns, s = (cl_int)*slices, row = by_row, both = x != NULL;
    const kernel_arg args[] = {ARG_BUFFER(*partial), ARG_BUFFER(dy), ARG_BUFFER(x ? x : dy), ARG_BUFFER(x ? stats : dy),
                               ARG_VALUE(r),         ARG_VALUE(c),   ARG_VALUE(s),           ARG_VALUE(row),
                               ARG_VALUE(both)};
    COT_TRY(BACKWARD_LAUNCH(device, BACKWARD_COLUMNS, args, backward_vectors(device, columns), *slices, err));
done:
    return status;
}
