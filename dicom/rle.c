/* RLE Lossless, PS3.5 Annex G, in plain C: DCMTK 3.6.7's frame decoder has a known overflow (DCMTK issue 1213), and the
 * format is a page. Invariant: neither a read beyond the bytes nor a write beyond the frame, whatever the header says.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dicom/frame.h"

static size_t word_at(const unsigned char *p)
{
    return (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
}

/* PackBits into every `step`-th byte; false when input ends before n bytes are written. */
static bool unpack(unsigned char *to, size_t step, size_t n, const unsigned char *from, const unsigned char *end)
{
    size_t done = 0;
    while (done < n && from < end) {
        const unsigned control = *from++;
        if (control == 128) continue;
        const bool literal = control < 128;
        size_t run = literal ? control + 1u : 257u - control;
        if ((size_t)(end - from) < (literal ? run : 1)) return false;
        if (run > n - done) run = n - done; /* the last run may pad to an even length */
        for (size_t i = 0; i < run; i++) to[(done + i) * step] = literal ? from[i] : *from;
        from += literal ? control + 1u : 1u;
        done += run;
    }
    return done == n;
}

cot_status rle_decode(void *samples, const frame_header *h, cot_blob bytes, cot_error *err)
{
    const size_t width = h->allocated / 8, wanted = h->samples * width;
    if (bytes.size < 64)
        return cot_fail(err, COT_E_INPUT, "RLE: %zu bytes, the segment header alone needs 64", bytes.size);
    const size_t segments = word_at(bytes.data);
    if (segments != wanted)
        return cot_fail(err, COT_E_INPUT, "RLE: %zu segments, Samples per Pixel and Bits Allocated need %zu", segments,
                        wanted);
    for (size_t s = 0; s < segments; s++) {
        const size_t start = word_at(bytes.data + 4 + 4 * s);
        const size_t end = s + 1 < segments ? word_at(bytes.data + 8 + 4 * s) : bytes.size;
        if (start < 64 || start > end || end > bytes.size)
            return cot_fail(err, COT_E_INPUT, "RLE: segment %zu lies at bytes %zu to %zu of %zu", s + 1, start, end,
                            bytes.size);
        /* segments go from the most to the least significant byte of each sample; memory is little endian here */
        const size_t sample = s / width, byte = width - 1 - s % width;
        unsigned char *to = (unsigned char *)samples + sample * width + byte;
        if (!unpack(to, wanted, h->rows * h->cols, bytes.data + start, bytes.data + end))
            return cot_fail(err, COT_E_INPUT, "RLE: segment %zu ends before %zu x %zu pixels are filled", s + 1,
                            h->rows, h->cols);
    }
    return COT_OK;
}

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "rle.c writes little-endian samples"
#endif
