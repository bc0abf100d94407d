/* One frame on its way from bytes to stored values (internal): what the header promises, the decoders that DCMTK does
 * not have (or not safely), and grey from samples. Threads: pure functions on the caller's memory.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_DICOM_FRAME_H
#define COT_DICOM_FRAME_H
#include "config/base.h"
#ifdef __cplusplus
extern "C" {
#endif

#define FRAME_MAX_PIXELS ((size_t)1 << 27) /* 134 million: three times the largest detector on sale */

typedef enum frame_colour { FRAME_GREY, FRAME_RGB, FRAME_YBR, FRAME_YBR_422 } frame_colour;

typedef struct frame_header { /* validated Image Pixel module */
    size_t rows, cols, frames;
    unsigned samples;   /* 1 or 3 */
    unsigned allocated; /* 8 or 16 */
    unsigned stored, high;
    bool is_signed, planar;
    bool lossy; /* values may overshoot Bits Stored; grey in colour is only nearly grey */
    frame_colour colour;
} frame_header;

typedef struct frame_stored { /* grey stored values */
    size_t rows, cols;
    unsigned bits;
    bool is_signed;
    uint16_t *codes; /* rows*cols, two's complement in the low `bits` bits */
} frame_stored;

/* Bytes of one decoded frame; false when it exceeds the limits above. */
bool frame_bytes(size_t *out, const frame_header *header);
/* Decodes frame 0 of a guarded file to stored values, before any look-up table (decode.cc). */
cot_status frame_decode(frame_stored *out, const char *path, cot_error *err);
void frame_stored_fini(frame_stored *frame);
/* Samples (8 or 16 bit, this machine's byte order) -> stored values; colour must be grey in disguise. */
cot_status frame_from_samples(frame_stored *out, const frame_header *header, const void *samples, cot_error *err);

/* PS3.5 Annex G: one frame's RLE bytes -> interleaved samples. */
cot_status rle_decode(void *samples, const frame_header *header, cot_blob bytes, cot_error *err);
/* PS3.5 A.4.4: one frame's codestream (raw or inside JP2) -> interleaved samples of *precision bits. */
cot_status jpeg2000_decode(void *samples, unsigned *precision, const frame_header *header, cot_blob bytes,
                           cot_error *err);
/* The SOF segment of a JPEG or JPEG-LS stream must say what the header says, before any decoder sees the stream. */
cot_status jpeg_check(unsigned *precision, const frame_header *header, cot_blob bytes, cot_error *err);

#ifdef __cplusplus
}
#endif
#endif
