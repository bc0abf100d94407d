/* Grey floats to a smaller picture of bytes, each the mean of the area it stands for, fractions of pixels included: fine
 * lines get thinner and fainter, but do not vanish. Threads: any. SPDX-License-Identifier: Apache-2.0 */
#include "dicom/dicom.h"

#include <math.h>
#include <stdlib.h>

/* Means of `n` values over `m` <= n equal parts, added to `out` with `weight`. */
static void add_parts(double *out, size_t m, const float *in, size_t n, double weight)
{
    const double part = (double)n / (double)m;
    for (size_t i = 0; i < m; i++) {
        const double from = part * (double)i, to = part * (double)(i + 1);
        double sum = 0;
        for (size_t k = (size_t)from; k < n && (double)k < to; k++)
            sum += (double)in[k] * (fmin(to, (double)(k + 1)) - fmax(from, (double)k));
        out[i] += weight * sum / part;
    }
}

static unsigned char byte_of(double value)
{
    return (unsigned char)lround(255 * fmin(fmax(value, 0), 1));
}

bool cot_grey_shrink(unsigned char *out, size_t out_rows, size_t out_cols, const float *grey, size_t rows, size_t cols)
{
    const double part = (double)rows / (double)out_rows;
    double *line = malloc((out_cols ? out_cols : 1) * sizeof *line);
    if (!line) return false;
    for (size_t r = 0; r < out_rows; r++) {
        const double from = part * (double)r, to = part * (double)(r + 1);
        for (size_t c = 0; c < out_cols; c++) line[c] = 0;
        for (size_t k = (size_t)from; k < rows && (double)k < to; k++)
            add_parts(line, out_cols, grey + k * cols, cols,
                      (fmin(to, (double)(k + 1)) - fmax(from, (double)k)) / part);
        for (size_t c = 0; c < out_cols; c++) out[r * out_cols + c] = byte_of(line[c]);
    }
    free(line);
    return true;
}
