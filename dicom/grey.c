/* Samples as decoded -> grey stored values: bits outside Bits Stored are cut away (old files keep overlays there), lossy
 * overshoot is clamped instead, and colour is taken only when it is grey in disguise. Plain C without DCMTK.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dicom/dicom.h"
#include "dicom/frame.h"

#include <stdlib.h>
#include <string.h>

bool frame_bytes(size_t *out, const frame_header *header)
{
    size_t pixels, bytes;
    if (!cot_mul(&pixels, header->rows, header->cols) || pixels == 0 || pixels > FRAME_MAX_PIXELS) return false;
    const size_t samples = header->colour == FRAME_YBR_422 ? 2 : header->samples; /* Y Y Cb Cr for two pixels */
    return cot_mul(&bytes, pixels, samples) && cot_mul(out, bytes, header->allocated / 8);
}

void frame_stored_fini(frame_stored *frame)
{
    free(frame->codes);
    memset(frame, 0, sizeof *frame);
}

static void codes_from_grey(uint16_t *codes, const frame_header *h, const void *samples, size_t n)
{
    const unsigned shift = h->high + 1 - h->stored;
    const unsigned mask = (1u << h->stored) - 1;
    const bool clamp = h->lossy && !h->is_signed;
    const uint8_t *bytes = samples;
    const uint16_t *words = samples;
    for (size_t i = 0; i < n; i++) {
        const unsigned raw = (unsigned)(h->allocated == 8 ? bytes[i] : words[i]) >> shift;
        codes[i] = (uint16_t)(clamp && raw > mask ? mask : raw & mask);
    }
}

/* ---- colour ---- */
/* Offsets of one pixel's three samples. In 4:2:2 two pixels share Cb and Cr: Y1 Y2 Cb Cr. */
static void sample_at(size_t at[3], const frame_header *h, size_t i, size_t n)
{
    if (h->colour == FRAME_YBR_422) {
        const size_t pair = i / 2 * 4;
        at[0] = pair + i % 2, at[1] = pair + 2, at[2] = pair + 3;
    } else if (h->planar) {
        at[0] = i, at[1] = n + i, at[2] = 2 * n + i;
    } else {
        at[0] = 3 * i, at[1] = 3 * i + 1, at[2] = 3 * i + 2;
    }
}

static unsigned distance(unsigned a, unsigned b)
{
    return a > b ? a - b : b - a;
}

/* How far from grey, and the grey itself (weights of PS3.3 C.7.6.3.1.2 for RGB; Y as it is). */
static unsigned colourfulness(uint16_t *grey, const frame_header *h, unsigned a, unsigned b, unsigned c)
{
    if (h->colour != FRAME_RGB) {
        *grey = (uint16_t)a;
        return distance(b, 128) > distance(c, 128) ? distance(b, 128) : distance(c, 128);
    }
    *grey = (uint16_t)((299 * a + 587 * b + 114 * c + 500) / 1000);
    const unsigned ab = distance(a, b), bc = distance(b, c), ac = distance(a, c);
    return ab > bc ? (ab > ac ? ab : ac) : (bc > ac ? bc : ac);
}

static size_t count_coloured(uint16_t *codes, const frame_header *h, const uint8_t *samples, size_t n,
                             unsigned tolerance)
{
    size_t coloured = 0;
    for (size_t i = 0; i < n; i++) {
        size_t at[3];
        sample_at(at, h, i, n);
        coloured += colourfulness(&codes[i], h, samples[at[0]], samples[at[1]], samples[at[2]]) > tolerance;
    }
    return coloured;
}

/* Lossy streams often hold YCbCr under a header that says RGB: grey has Cb and Cr near 128 then, which no RGB radiograph has. */
static cot_status codes_from_colour(uint16_t *codes, const frame_header *h, const uint8_t *samples, size_t n,
                                    cot_error *err)
{
    const unsigned tolerance = cot_colour_tolerance(h->lossy);
    const size_t coloured = count_coloured(codes, h, samples, n, tolerance);
    frame_header other = *h;
    other.colour = FRAME_YBR;
    if (cot_gate_colour(coloured, n, h->lossy, err) == COT_OK) return COT_OK;
    if (h->lossy && h->colour == FRAME_RGB &&
        cot_gate_colour(count_coloured(codes, &other, samples, n, tolerance), n, true, NULL) == COT_OK)
        return COT_OK;
    return cot_fail_in(err, "Photometric Interpretation (0028,0004)");
}

cot_status frame_from_samples(frame_stored *out, const frame_header *h, const void *samples, cot_error *err)
{
    cot_status status = COT_OK;
    memset(out, 0, sizeof *out);
    const size_t n = h->rows * h->cols; /* frame_bytes has bounded it */
    uint16_t *codes = malloc(n * sizeof *codes);
    if (!codes) {
        status = cot_fail(err, COT_E_MEMORY, "stored values: no memory for %zu pixels", n);
        goto done;
    }
    if (h->samples == 1)
        codes_from_grey(codes, h, samples, n);
    else
        COT_TRY(codes_from_colour(codes, h, samples, n, err));
    *out = (frame_stored){h->rows, h->cols, h->stored, h->is_signed, codes};
    codes = NULL;
done:
    free(codes);
    return status;
}
