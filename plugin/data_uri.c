/* Pictures inside a page: PNG by libpng, base64 (RFC 4648). SPDX-License-Identifier: Apache-2.0 */
#include "plugin/explain_page.h"

#include <png.h>
#include <stdlib.h>

static void put_base64(FILE *f, const unsigned char *bytes, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        const size_t left = n - i;
        const unsigned v =
            (unsigned)bytes[i] << 16 | (left > 1 ? (unsigned)bytes[i + 1] << 8 : 0) | (left > 2 ? bytes[i + 2] : 0);
        fputc(digits[v >> 18], f);
        fputc(digits[v >> 12 & 63], f);
        fputc(left > 1 ? digits[v >> 6 & 63] : '=', f);
        fputc(left > 2 ? digits[v & 63] : '=', f);
    }
}

cot_status data_uri_png(FILE *f, const unsigned char *pixels, size_t rows, size_t cols, size_t channels, cot_error *err)
{
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = (png_uint_32)cols,
                       .height = (png_uint_32)rows,
                       .format = channels == 4 ? PNG_FORMAT_RGBA : PNG_FORMAT_GRAY};
    png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
    unsigned char *bytes = malloc(size);
    if (!bytes || !png_image_write_to_memory(&image, bytes, &size, 0, pixels, 0, NULL)) {
        free(bytes);
        return cot_fail(err, COT_E_MEMORY, "a picture of %zu x %zu pixels cannot be made: %s", cols, rows,
                        image.message);
    }
    fputs("data:image/png;base64,", f);
    put_base64(f, bytes, size);
    free(bytes);
    return COT_OK;
}
