/* Inside plugin/: one picture being read from memory. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_PICTURE_H
#define COT_PICTURE_H
#include "config/base.h"

#define PICTURE_MAX_PIXELS ((size_t)64 << 20)
#define PICTURE_MAX_BYTES  ((size_t)256 << 20)

typedef struct picture {
    const unsigned char *data; /* the file */
    size_t size;
    float *grey; /* [rows*cols], the caller's to free */
    size_t rows, cols;
    size_t coloured; /* pixels further from grey than dicom.h tolerates */
} picture;
/* Bounds the size and allocates p->grey. */
cot_status picture_allocate(picture *p, size_t rows, size_t cols, cot_error *err);
cot_status picture_read_png(picture *p, cot_error *err);
cot_status picture_read_jpeg(picture *p, cot_error *err);
#endif
