/* links: engine config
 * Relevance of an image tower's patches: what the heads of the last block gathered explains the feature, the gradient is that
 * of central differences in double, and each map is what raising the attention to a patch does to the logit.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/clip_evidence.h"
#include "tests/encoder_world.h"

enum { BATCH = 2, PER_IMAGE = 3 };
static const double norm_eps = 1e-5;

typedef struct tower {
    cot_device *device;
    safetensors *file, *golden;
    clip clip;
    clip_evidence evidence;
    cot_arena *arena;
    cot_buffer *image, *feature;
    float *features, *gradients, *maps;
    /* of the last block, as in the file */
    float *out_w, *out_b, *norm_w, *norm_b, *fc1_w, *fc1_b, *fc2_w, *fc2_b, *post_w, *post_b, *projection;
} tower;

static float *weight(const tower *t, const char *part)
{
    char name[128];
    size_t n;
    if (strstr(part, "post") || strstr(part, "visual"))
        snprintf(name, sizeof name, "%s", part);
    else
        snprintf(name, sizeof name, "vision_model.encoder.layers.%zu.%s", t->clip.shape.layers - 1, part);
    return floats_of(t->file, name, &n);
}

static bool load_twin(tower *t)
{
    t->out_w = weight(t, "self_attn.out_proj.weight");
    t->out_b = weight(t, "self_attn.out_proj.bias");
    t->norm_w = weight(t, "layer_norm2.weight");
    t->norm_b = weight(t, "layer_norm2.bias");
    t->fc1_w = weight(t, "mlp.fc1.weight");
    t->fc1_b = weight(t, "mlp.fc1.bias");
    t->fc2_w = weight(t, "mlp.fc2.weight");
    t->fc2_b = weight(t, "mlp.fc2.bias");
    t->post_w = weight(t, "vision_model.post_layernorm.weight");
    t->post_b = weight(t, "vision_model.post_layernorm.bias");
    t->projection = weight(t, "visual_projection.weight");
    return t->out_w && t->out_b && t->norm_w && t->norm_b && t->fc1_w && t->fc1_b && t->fc2_w && t->fc2_b &&
           t->post_w && t->post_b && t->projection;
}

static cot_status load(tower *t, const char *folder, const char *model, size_t heads, cot_error *err)
{
    cot_status status;
    char path[512];
    clip_shape shape;
    snprintf(path, sizeof path, "%s%s", folder, model);
    COT_TRY(open_device(&t->device, err));
    COT_TRY(safetensors_open(&t->file, path, err));
    const weight_source source = {t->file, "", path};
    COT_TRY(clip_shape_find(&shape, t->file, path, "", heads, err));
    COT_TRY(clip_init(&t->clip, t->device, &source, &shape, NULL, err));
    COT_TRY(cot_arena_create(&t->arena, t->device, err));
    COT_TRY(clip_plan(&t->clip, t->arena, BATCH, err));
    COT_TRY(cot_arena_reserve(t->arena, &t->image, BATCH * 3 * shape.resolution * shape.resolution, err));
    COT_TRY(cot_arena_reserve(t->arena, &t->feature, BATCH * shape.features, err));
    COT_TRY(cot_arena_commit(t->arena, err));
    COT_TRY(clip_evidence_init(&t->evidence, t->device, &source, &t->clip, BATCH, PER_IMAGE, err));
    snprintf(path, sizeof path, "%sexpected.safetensors", folder);
    COT_TRY(safetensors_open(&t->golden, path, err));
done:
    return status;
}

static cot_status open_tower(tower *t, const char *folder, const char *model, size_t heads, cot_error *err)
{
    cot_status status;
    size_t n = 0;
    float *x = NULL;
    *t = (tower){0};
    COT_TRY(load(t, folder, model, heads, err));
    const clip_shape *z = &t->clip.shape;
    x = floats_of(t->golden, "images", &n);
    t->features = calloc(BATCH * z->features, sizeof *t->features);
    t->gradients = calloc(BATCH * PER_IMAGE * z->features, sizeof *t->gradients);
    t->maps = calloc(BATCH * PER_IMAGE * clip_patches(z), sizeof *t->maps);
    if (!x || !t->features || !t->gradients || !t->maps || !load_twin(t) ||
        n < BATCH * 3 * z->resolution * z->resolution) {
        status = cot_fail(err, COT_E_MODEL, "%s: golden tensors", folder);
        goto done;
    }
    for (size_t i = 0; i < BATCH * PER_IMAGE * z->features; i++) t->gradients[i] = sinf((float)(i * i % 101));
    COT_TRY(cot_buffer_write(t->image, 0, x, BATCH * 3 * z->resolution * z->resolution, err));
    COT_TRY(clip_forward(t->feature, &t->clip, t->image, BATCH, err));
    COT_TRY(cot_buffer_read(t->feature, 0, t->features, BATCH * z->features, err));
    COT_TRY(clip_evidence_maps(t->maps, &t->evidence, &t->clip, t->gradients, BATCH, PER_IMAGE, err));
done:
    free(x);
    return status;
}

static void close_tower(tower *t)
{
    float *const all[] = {t->features, t->gradients, t->maps,  t->out_w, t->out_b,  t->norm_w, t->norm_b,
                          t->fc1_w,    t->fc1_b,     t->fc2_w, t->fc2_b, t->post_w, t->post_b, t->projection};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    clip_evidence_fini(&t->evidence);
    clip_fini(&t->clip);
    cot_arena_destroy(t->arena);
    cot_device_close(t->device);
    safetensors_close(t->file);
    safetensors_close(t->golden);
}

/* ---- the twin: from what the heads gathered to the logit, in double ---- */
static void normalise(double *y, const double *x, const float *w, const float *b, size_t n)
{
    double mean = 0, square = 0;
    for (size_t i = 0; i < n; i++) mean += x[i] / (double)n;
    for (size_t i = 0; i < n; i++) square += (x[i] - mean) * (x[i] - mean) / (double)n;
    for (size_t i = 0; i < n; i++) y[i] = (x[i] - mean) / sqrt(square + norm_eps) * (double)w[i] + (double)b[i];
}

static void linear(double *y, const double *x, const float *w, const float *b, size_t out, size_t in)
{
    for (size_t o = 0; o < out; o++) {
        y[o] = b ? (double)b[o] : 0;
        for (size_t i = 0; i < in; i++) y[o] += (double)w[o * in + i] * x[i];
    }
}

/* feature [features] of an image whose heads gathered `more` [width] than they did */
static void feature_of(double *feature, const tower *t, size_t image, const double *more)
{
    const clip_shape *z = &t->clip.shape;
    double mid[512] = {0}, h[512] = {0}, inner[2048] = {0};
    linear(mid, more, t->out_w, NULL, z->width, z->width);
    for (size_t i = 0; i < z->width; i++) mid[i] += (double)t->evidence.mid[image * z->width + i];
    normalise(h, mid, t->norm_w, t->norm_b, z->width);
    linear(inner, h, t->fc1_w, t->fc1_b, z->inner, z->width);
    for (size_t i = 0; i < z->inner; i++) inner[i] /= 1 + exp(-1.702 * inner[i]);
    linear(h, inner, t->fc2_w, t->fc2_b, z->width, z->inner);
    for (size_t i = 0; i < z->width; i++) mid[i] += h[i];
    normalise(h, mid, t->post_w, t->post_b, z->width);
    linear(feature, h, t->projection, NULL, z->features, z->width);
}

/* What moving the gathered by +-step along `way` does to the logit of row r, per step. */
static double slope(const tower *t, size_t r, const double *way)
{
    const clip_shape *z = &t->clip.shape;
    const double step = 1e-4;
    double more[512] = {0}, high[2048], low[2048], change = 0;
    for (size_t i = 0; i < z->width; i++) more[i] = step * way[i];
    feature_of(high, t, r / PER_IMAGE, more);
    for (size_t i = 0; i < z->width; i++) more[i] = -step * way[i];
    feature_of(low, t, r / PER_IMAGE, more);
    for (size_t i = 0; i < z->features; i++) change += (high[i] - low[i]) * (double)t->gradients[r * z->features + i];
    return change / (2 * step);
}

static void check_gradient(const tower *t)
{
    const clip_shape *z = &t->clip.shape;
    const double none[512] = {0};
    double worst = 0, largest = 0, feature[2048];
    for (size_t i = 0; i < BATCH; i++) { /* the twin is the tower */
        feature_of(feature, t, i, none);
        for (size_t k = 0; k < z->features; k++) CHECK_NEAR(feature[k], t->features[i * z->features + k], 1e-4);
    }
    for (size_t r = 0; r < BATCH * PER_IMAGE; r++)
        for (size_t i = 0; i < z->width; i++) {
            double way[512] = {0};
            way[i] = 1;
            const double want = slope(t, r, way);
            worst = fmax(worst, fabs(want - (double)t->evidence.narrow[r * z->width + i]));
            largest = fmax(largest, fabs(want));
        }
    CHECK(largest > 0);
    CHECK_NEAR(worst / largest, 0, 1e-4);
}

/* ---- attention ---- */
/* a [tokens] of one head, in double */
static void attention_of(double *a, const tower *t, size_t image, size_t head)
{
    const size_t width = t->clip.shape.width, depth = width / t->clip.shape.heads;
    double sum = 0;
    for (size_t k = 0; k < t->clip.tokens; k++) {
        a[k] = 0;
        for (size_t d = 0; d < depth; d++)
            a[k] += (double)t->evidence.query[image * width + head * depth + d] *
                    (double)t->evidence.kv[(image * t->clip.tokens + k) * 2 * width + head * depth + d];
        sum += a[k] = exp(a[k] / sqrt((double)depth));
    }
    for (size_t k = 0; k < t->clip.tokens; k++) a[k] /= sum;
}

/* v of a token in the places of one head, zeros elsewhere, times a */
static void value_of(double *to, const tower *t, size_t image, size_t token, size_t head, double a)
{
    const size_t width = t->clip.shape.width, depth = width / t->clip.shape.heads, at = head * depth;
    for (size_t d = at; d < at + depth; d++)
        to[d] += a * (double)t->evidence.kv[(image * t->clip.tokens + token) * 2 * width + width + d];
}

static void check_maps(const tower *t)
{
    const clip_shape *z = &t->clip.shape;
    const size_t patches = clip_patches(z);
    double a[512], worst = 0, peak = 0;
    size_t positive = 0, cut = 0;
    for (size_t r = 0; r < BATCH * PER_IMAGE; r++)
        for (size_t p = 0; p < patches; p++) {
            double way[512] = {0};
            for (size_t h = 0; h < z->heads; h++) {
                attention_of(a, t, r / PER_IMAGE, h);
                value_of(way, t, r / PER_IMAGE, p + 1, h, a[p + 1]);
            }
            const double want = slope(t, r, way) / (double)z->heads, got = (double)t->maps[r * patches + p];
            positive += want > 0;
            cut += want <= 0;
            worst = fmax(worst, fabs(got - fmax(0, want)));
            peak = fmax(peak, want);
        }
    CHECK(positive && cut && peak > 0);
    CHECK_NEAR(worst / peak, 0, 1e-4);
}

/* What the heads gathered by this attention leads from what came into the block to what stands behind its attention. */
static void check_attention(tower *t)
{
    const clip_shape *z = &t->clip.shape;
    cot_error err = COT_ERROR_INIT;
    double a[512], gathered[512], out[512];
    float *x = calloc(BATCH * t->clip.tokens * z->width, sizeof *x);
    REQUIRE(x);
    CHECK_OK(cot_buffer_read(t->clip.acts.block.x, 0, x, BATCH * t->clip.tokens * z->width, &err));
    for (size_t i = 0; i < BATCH; i++) {
        memset(gathered, 0, sizeof gathered);
        for (size_t h = 0; h < z->heads; h++) {
            attention_of(a, t, i, h);
            for (size_t k = 0; k < t->clip.tokens; k++) value_of(gathered, t, i, k, h, a[k]);
        }
        linear(out, gathered, t->out_w, t->out_b, z->width, z->width);
        for (size_t k = 0; k < z->width; k++)
            CHECK_NEAR(out[k] + (double)x[i * t->clip.tokens * z->width + k], t->evidence.mid[i * z->width + k], 1e-4);
    }
    free(x);
}

static void check_tower(const char *folder, const char *model, size_t heads)
{
    cot_error err = COT_ERROR_INIT;
    tower t;
    REQUIRE_OK(open_tower(&t, folder, model, heads, &err));
    const clip_shape *z = &t.clip.shape; /* what the twin has room for */
    REQUIRE(z->width <= 512 && z->inner <= 2048 && z->features <= 2048 && t.clip.tokens <= 512);
    check_attention(&t);
    check_gradient(&t);
    check_maps(&t);
    close_tower(&t);
}

TEST(maps_of_the_oracles_tower_are_attention_times_central_differences)
{
    check_tower(TINY_GOLDEN, "clip.safetensors", 4);
}

TEST(maps_of_the_transformers_tower_are_attention_times_central_differences)
{
    check_tower(TRANSFORMERS, "clip/model.safetensors", 3);
}

TEST(more_images_or_steps_than_planned_are_refused)
{
    cot_error err = COT_ERROR_INIT;
    tower t;
    REQUIRE_OK(open_tower(&t, TINY_GOLDEN, "clip.safetensors", 4, &err));
    CHECK(clip_evidence_maps(t.maps, &t.evidence, &t.clip, t.gradients, BATCH, PER_IMAGE + 1, &err) == COT_E_BUG);
    CHECK(clip_evidence_maps(t.maps, &t.evidence, &t.clip, t.gradients, 0, PER_IMAGE, &err) == COT_E_BUG);
    close_tower(&t);
}
CHECK_MAIN
