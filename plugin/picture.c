/* PNG and JPEG pictures → grey 0..1, for trying the reading without DICOM. Colour is taken only
 * when it is grey in disguise, by the rule for DICOM images. Both libraries report errors by longjmp: what must
 * survive it lives in a struct, and the function with setjmp has no other locals. Colour becomes luma (0.299 R + 0.587 G +
 * 0.114 B, as in ITU-R BT.601 and Pillow); transparent pixels are laid on black.
 * Threads: any thread; run it in a sandbox child all the same. SPDX-License-Identifier: Apache-2.0 */
#include "plugin/picture.h"
#include "plugin/node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const unsigned char png_first[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
static const unsigned char jpeg_first[3] = {0xff, 0xd8, 0xff};

bool cot_picture_is(const unsigned char *first16)
{
    return !memcmp(first16, png_first, sizeof png_first) || !memcmp(first16, jpeg_first, sizeof jpeg_first);
}

cot_status picture_allocate(picture *p, size_t rows, size_t cols, cot_error *err)
{
    size_t pixels, bytes;
    if (!rows || !cols || !cot_mul(&pixels, rows, cols) || pixels > PICTURE_MAX_PIXELS ||
        !cot_mul(&bytes, pixels, sizeof *p->grey))
        return cot_fail(err, COT_E_LIMIT, "%zu x %zu pixels; from 1 to %zu are read. Scale the picture down", rows,
                        cols, (size_t)PICTURE_MAX_PIXELS);
    p->grey = malloc(bytes);
    if (!p->grey) return cot_fail(err, COT_E_MEMORY, "no memory for %zu x %zu pixels", rows, cols);
    p->rows = rows;
    p->cols = cols;
    return COT_OK;
}

cot_status cot_picture_load(float **grey, size_t *rows, size_t *cols, const char *path, cot_error *err)
{
    cot_status status;
    picture p = {0};
    char *file = NULL;
    size_t size;
    *grey = NULL;
    COT_TRY(cot_file_read(&file, &size, path, PICTURE_MAX_BYTES, err));
    p.data = (const unsigned char *)file;
    p.size = size;
    if (size >= sizeof png_first && !memcmp(file, png_first, sizeof png_first))
        status = picture_read_png(&p, err);
    else if (size >= sizeof jpeg_first && !memcmp(file, jpeg_first, sizeof jpeg_first))
        status = picture_read_jpeg(&p, err);
    else
        status = cot_fail(err, COT_E_INPUT, "neither PNG nor JPEG");
    const bool lossy = size && file[0] == (char)jpeg_first[0];
    if (status == COT_OK) status = cot_gate_colour(p.coloured, p.rows * p.cols, lossy, err);
    if (status != COT_OK) {
        cot_fail_in(err, "%s", path);
        goto done;
    }
    *grey = p.grey;
    *rows = p.rows;
    *cols = p.cols;
    p.grey = NULL;
done:
    free(p.grey);
    free(file);
    return status;
}
