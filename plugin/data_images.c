/* Images of a manifest, looked at one after the other: they are hostile bytes, so children decode them (sandbox.h), a few at
 * a time. SPDX-License-Identifier: Apache-2.0 */
#include "plugin/data_command.h"
#include "plugin/node.h"
#include "plugin/picture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BATCH = 16 };

static void hash(data_image *image, const char *path)
{
    char *bytes = NULL;
    size_t size;
    cot_error err = COT_ERROR_INIT;
    if (cot_file_read(&bytes, &size, path, PICTURE_MAX_BYTES, &err) == COT_OK) {
        cot_sha256_of(image->sha256, bytes, size);
    } else {
        image->readable = false;
        snprintf(image->text, sizeof image->text, "%.512s", err.text);
    }
    free(bytes);
}

/* The path stands before the message already. */
static const char *without_path(const char *text, const char *path)
{
    const size_t n = strlen(path);
    return !strncmp(text, path, n) && !strncmp(text + n, ": ", 2) ? text + n + 2 : text;
}

/* What needs no decoder to be said; false: then there is nothing to decode. */
static bool find_image(data_image *image, const char *path)
{
    struct stat st;
    *image = (data_image){0};
    if (stat(path, &st) != 0) {
        image->missing = errno == ENOENT || errno == ENOTDIR;
        snprintf(image->text, sizeof image->text, "%s", strerror(errno));
        return false;
    }
    if (!S_ISREG(st.st_mode)) snprintf(image->text, sizeof image->text, "not a regular file");
    return S_ISREG(st.st_mode);
}

static void describe(data_image *image, const cot_decoded *decoded, const char *path)
{
    image->readable = decoded->grey != NULL;
    image->rows = decoded->rows;
    image->cols = decoded->cols;
    snprintf(image->text, sizeof image->text, "%.512s", without_path(decoded->text, path));
    if (image->readable) hash(image, path);
}

static cot_status look_at_some(const cot_manifest *m, size_t from, size_t n, cot_sandbox *sandbox,
                               data_image_seen *seen, void *ctx, cot_error *err)
{
    cot_status status = COT_OK;
    static char paths[BATCH][sizeof m->folder + 1100]; /* one at a time, as the sandbox */
    const char *names[BATCH] = {0};
    data_image images[BATCH] = {0};
    cot_decoded decoded[BATCH] = {0};
    size_t at[BATCH], there = 0;
    for (size_t i = 0; i < n; i++) {
        cot_error why = COT_ERROR_INIT;
        if (cot_manifest_image(paths[i], sizeof paths[i], m, from + i, &why) != COT_OK) {
            snprintf(images[i].text, sizeof images[i].text, "%.512s", why.text);
        } else if (find_image(&images[i], paths[i])) {
            names[there] = paths[i];
            at[there++] = i;
        }
    }
    if (there) COT_TRY(cot_sandbox_decode(sandbox, names, there, true, decoded, err));
    for (size_t i = 0; i < there; i++) describe(&images[at[i]], &decoded[i], names[i]);
    for (size_t i = 0; i < n; i++) seen(ctx, from + i, &images[i]);
done:
    for (size_t i = 0; i < there; i++) cot_decoded_fini(&decoded[i]);
    return status;
}

cot_status data_images_look(const cot_manifest *m, const cot_steps *steps, data_image_seen *seen, void *ctx,
                            cot_error *err)
{
    cot_status status;
    cot_config *config = NULL;
    cot_sandbox *sandbox = NULL;
    COT_TRY(cot_config_load(&config, NULL, err));
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const cot_sandbox_limits limits = {config->decode_timeout_s, config->decode_memory_mib,
                                       cores < 1       ? 1
                                       : cores > BATCH ? BATCH
                                                       : (unsigned)cores};
    COT_TRY(cot_sandbox_create(&sandbox, &limits, steps, err));
    for (size_t i = 0; i < m->n; i += BATCH) {
        data_progress("decoding images", i, m->n);
        COT_TRY(look_at_some(m, i, m->n - i < BATCH ? m->n - i : BATCH, sandbox, seen, ctx, err));
    }
    data_progress("", 1, 1);
done:
    cot_sandbox_destroy(sandbox);
    cot_config_destroy(config);
    return status;
}
