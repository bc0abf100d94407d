/* Reads the frame header (SOF) of a JPEG or JPEG-LS stream and compares it with the DICOM header before DCMTK's codecs
 * see the bytes: they trust the size in the stream. Refuses the TEM marker, which DCMTK 3.6.7 loops on (issue 1190).
 * SPDX-License-Identifier: Apache-2.0 */
#include "dicom/frame.h"

static size_t pair_at(const unsigned char *p)
{
    return (size_t)p[0] << 8 | p[1];
}

/* SOF0…SOF15 without DHT, JPG, DAC; SOF55 is JPEG-LS. */
static bool is_frame_header(unsigned marker)
{
    return marker == 0xf7 || (marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc);
}

static cot_status compare(unsigned *precision, const frame_header *h, const unsigned char *sof, cot_error *err)
{
    const unsigned components = sof[5];
    *precision = sof[0];
    const size_t rows = pair_at(sof + 1), cols = pair_at(sof + 3);
    if (rows != h->rows || cols != h->cols)
        return cot_fail(err, COT_E_INPUT, "JPEG stream is %zu x %zu, Rows and Columns (0028,0010/0011) say %zu x %zu",
                        rows, cols, h->rows, h->cols);
    if (components != h->samples)
        return cot_fail(err, COT_E_INPUT, "JPEG stream has %u components, Samples per Pixel (0028,0002) says %u",
                        components, h->samples);
    /* 8-bit samples in 16 allocated bits are sound as long as 8 hold all Bits Stored */
    if (*precision < 2 || *precision > h->allocated || (*precision <= 8 && h->stored > 8))
        return cot_fail(err, COT_E_INPUT,
                        "JPEG stream has %u bits, Bits Allocated (0028,0100) %u, Bits Stored (0028,0101) %u",
                        *precision, h->allocated, h->stored);
    return COT_OK;
}

cot_status jpeg_check(unsigned *precision, const frame_header *h, cot_blob bytes, cot_error *err)
{
    const unsigned char *p = bytes.data;
    if (bytes.size < 4 || p[0] != 0xff || p[1] != 0xd8)
        return cot_fail(err, COT_E_INPUT, "Pixel Data (7fe0,0010) does not begin with a JPEG stream");
    size_t at = 2;
    while (bytes.size - at >= 4) {
        if (p[at] != 0xff) break;
        const unsigned marker = p[at + 1];
        if (marker == 0xff) { /* fill byte */
            at++;
            continue;
        }
        if (marker <= 0x01 || (marker >= 0xd0 && marker <= 0xda))
            break; /* none of these stands before the frame header */
        const size_t length = pair_at(p + at + 2);
        if (length < 2 || length > bytes.size - at - 2) break;
        if (is_frame_header(marker) && length >= 8) return compare(precision, h, p + at + 4, err);
        at += 2 + length;
    }
    return cot_fail(err, COT_E_INPUT, "JPEG stream is damaged before its frame header (byte %zu of %zu)", at,
                    bytes.size);
}
