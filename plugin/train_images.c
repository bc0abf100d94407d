/* Images of a training run (train_images.h): read once, kept as rows. Gates are not asked: who labelled an image meant it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/train_images.h"
#include "plugin/cli.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { AT_ONCE = 16 };
#define IMAGE_BYTES_MAX ((size_t)1 << 30)

row_key train_images_key(const train_images_order *order)
{
    const cot_manifest *m = order->manifest;
    row_key key = {""};
    char how[128];
    const char **parts = calloc(m->n + 1, sizeof *parts);
    if (!parts) return key;
    snprintf(how, sizeof how, "pictures 1, %zu, %s, %s", order->size,
             order->filter == COT_FILTER_BICUBIC ? "bicubic" : "bilinear", order->floats ? "float" : "8bit");
    parts[0] = how;
    for (size_t i = 0; i < m->n; i++) parts[i + 1] = m->cases[i].sha256;
    key = row_key_of(parts, m->n + 1);
    free(parts);
    return key;
}

/* The labels were given to the image with this digest, not to another that took its name. */
static cot_status check_digest(const char *path, const cot_case *one, cot_error *err)
{
    char *bytes = NULL, hex[65];
    size_t size = 0;
    const cot_status status = cot_file_read(&bytes, &size, path, IMAGE_BYTES_MAX, err);
    if (status == COT_OK) cot_sha256_of(hex, bytes, size);
    free(bytes);
    if (status != COT_OK) return cot_fail_in(err, "line %zu of the manifest", one->line);
    if (!strcmp(hex, one->sha256)) return COT_OK;
    return cot_fail(err, COT_E_INPUT,
                    "%s (line %zu of the manifest): the file has changed since it was imported. Import the data again",
                    path, one->line);
}

typedef struct loading {
    picture_set *set;
    cot_sandbox *sandbox;
    const train_images_order *order;
    cot_resampler *resampler;
    cot_buffer *resized; /* one picture */
    float *picture;      /* host, the same */
} loading;

static cot_status resize_one(loading *w, size_t at, const cot_decoded *d, const char *path, cot_error *err)
{
    cot_status status;
    if (!d->grey) return cot_fail(err, COT_E_INPUT, "%s: %s. See: %s data check", path, d->text, COT_PROGRAM);
    COT_TRY(cot_resampler_run(w->resampler, w->resized, 0, d->grey, d->rows, d->cols, err));
    COT_TRY(cot_buffer_read(w->resized, 0, w->picture, w->order->size * w->order->size, err));
    picture_set_put(w->set, at, w->picture);
done:
    return status;
}

static cot_status load_some(loading *w, size_t from, size_t n, cot_error *err)
{
    cot_status status = COT_OK;
    char paths[AT_ONCE][2200];
    const char *list[AT_ONCE] = {NULL};
    cot_decoded decoded[AT_ONCE];
    memset(decoded, 0, sizeof decoded);
    for (size_t i = 0; i < n; i++) {
        COT_TRY(cot_manifest_image(paths[i], sizeof paths[i], w->order->manifest, from + i, err));
        COT_TRY(check_digest(paths[i], &w->order->manifest->cases[from + i], err));
        list[i] = paths[i];
    }
    COT_TRY(cot_sandbox_decode(w->sandbox, list, n, true, decoded, err));
    for (size_t i = 0; i < n; i++) COT_TRY(resize_one(w, from + i, &decoded[i], paths[i], err));
done:
    for (size_t i = 0; i < n; i++) cot_decoded_fini(&decoded[i]);
    return status;
}

static cot_status load_all(loading *w, cot_error *err)
{
    cot_status status = COT_OK;
    const size_t n = w->order->manifest->n;
    const bool shown = isatty(STDERR_FILENO);
    for (size_t i = 0; i < n; i += AT_ONCE) {
        COT_TRY(load_some(w, i, n - i < AT_ONCE ? n - i : AT_ONCE, err));
        if (shown) fprintf(stderr, "\r\033[Kreading images: %zu of %zu", i, n);
    }
done:
    if (shown) fputs("\r\033[K", stderr);
    return status;
}

cot_status train_images_load(picture_set *out, row_key *key, cot_sandbox *sandbox, cot_device *device,
                             const train_images_order *order, cot_error *err)
{
    cot_status status;
    bool kept;
    const size_t pixels = order->size * order->size;
    loading w = {out, sandbox, order, NULL, NULL, malloc(pixels * sizeof(float))};
    *key = train_images_key(order);
    COT_TRY(picture_set_init(out, order->manifest->n, order->size, order->floats, err));
    if (!w.picture) {
        status = cot_fail(err, COT_E_MEMORY, "no memory for a picture");
        goto done;
    }
    if (order->cache) mkdir(order->cache, 0700); /* where that fails, nothing is kept */
    if (row_cache_load(out->rows, order->cache, "pictures", key, out->n, out->row_bytes)) goto done;
    COT_TRY(cot_resampler_create(&w.resampler, device, order->size, order->filter, 0, 1, err));
    COT_TRY(cot_buffer_create(&w.resized, device, pixels, err));
    COT_TRY(load_all(&w, err));
    COT_TRY(row_cache_save(&kept, out->rows, order->cache, "pictures", key, out->n, out->row_bytes, err));
    fprintf(stderr, "%s %s: %zu images read%s\n", COT_PROGRAM, order->command, out->n,
            kept ? "; their resized pictures are kept in the cache folder" : "");
done:
    cot_buffer_destroy(w.resized);
    cot_resampler_destroy(w.resampler);
    free(w.picture);
    return status;
}
