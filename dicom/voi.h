/* Stored values to grey, PS3.3 C.11 (internal): Modality LUT or rescale, VOI LUT or window, inversion. Plain C without
 * DCMTK, so that it runs under sanitizers and is tested with numbers worked out by hand. Threads: pure functions.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_DICOM_VOI_H
#define COT_DICOM_VOI_H
#include "config/base.h"
#ifdef __cplusplus
extern "C" {
#endif

#define VOI_CODES 65536 /* stored values have at most 16 bits */

typedef struct voi_lut { /* Modality or VOI LUT; entries NULL: there is none */
    uint16_t *entries;
    size_t n;      /* 1…65536 */
    int32_t first; /* input that maps to entries[0]; inputs outside take the first or last entry */
    unsigned bits; /* of an entry, 8…16 */
} voi_lut;

typedef enum voi_function {
    VOI_RANGE,      /* nothing in the file: 0…2^bits-1 up to 8 bits, else 0.5 % … 99.5 % of the pixels */
    VOI_PERCENTILE, /* "for processing" images have no VOI: 0.5 % … 99.5 % of the pixels */
    VOI_LINEAR,
    VOI_LINEAR_EXACT,
    VOI_SIGMOID,
    VOI_TABLE
} voi_function;

typedef struct voi_pipeline {
    unsigned bits; /* Bits Stored */
    bool is_signed;
    voi_lut modality;
    double slope, intercept; /* used when there is no Modality LUT */
    bool logarithm;          /* detector-linear "for processing" data: log before the percentile window */
    voi_function function;
    voi_lut table;
    double center, width;
    bool has_padding;
    int32_t padding_first, padding_last; /* stored values left out of range and percentiles */
    bool invert;                         /* MONOCHROME1 or Presentation LUT Shape INVERSE; last step */
} voi_pipeline;
#define VOI_PIPELINE_INIT                                                                                              \
    {                                                                                                                  \
        0, false, {NULL, 0, 0, 0}, 1.0, 0.0, false, VOI_RANGE, {NULL, 0, 0, 0}, 0, 0, false, 0, 0, false               \
    }

/* LUT Descriptor (PS3.3 C.11.1.1 / C.11.2.1.1) as raw 16-bit words plus LUT Data as little-endian words.
 * 0 entries mean 65536; 8-bit entries may come two per word. Owned by the caller: voi_lut_fini. */
cot_status voi_lut_init(voi_lut *out, const uint16_t descriptor[3], bool first_is_signed, const uint16_t *words,
                        size_t n_words, cot_error *err);
void voi_lut_fini(voi_lut *lut);
/* Two's complement code of `bits` bits -> value. */
int32_t voi_value_of(uint16_t code, unsigned bits, bool is_signed);
/* The window functions of PS3.3 C.11.2.1.2/3 on one modality value, 0…1. */
double voi_window(voi_function function, double center, double width, double x);
/* Nothing in the file says which values are black and white, and they are no display values either. */
bool voi_range_is_from_pixels(const voi_pipeline *p);
/* Grey 0…1 of every code (2^bits of them) into table; counts[code] pixels have each code. `text` says which rule. */
cot_status voi_table(float *table, char *text, size_t text_size, const voi_pipeline *p, const size_t *counts,
                     cot_error *err);

#ifdef __cplusplus
}
#endif
#endif
