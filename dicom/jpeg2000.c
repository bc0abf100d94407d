/* JPEG 2000 frame -> samples with OpenJPEG. The SIZ marker is read here first, so that a stream whose size, components,
 * tiles or precision disagree with the DICOM header never reaches the library; a JP2 wrapper is stepped over.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dicom/frame.h"

#include <openjpeg.h>
#include <string.h>

#define MAX_TILES 4096 /* OpenJPEG keeps some kilobytes for each */

static uint64_t big(const unsigned char *p, size_t n)
{
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++) value = value << 8 | p[i];
    return value;
}

/* ---- where the codestream is ---- */
static cot_status codestream_find(cot_blob *out, cot_blob bytes, cot_error *err)
{
    static const unsigned char soc[4] = {0xff, 0x4f, 0xff, 0x51}, jp2[8] = {0, 0, 0, 12, 'j', 'P', ' ', ' '};
    *out = bytes;
    if (bytes.size >= 4 && !memcmp(bytes.data, soc, 4)) return COT_OK;
    if (bytes.size < 12 || memcmp(bytes.data, jp2, 8))
        return cot_fail(err, COT_E_INPUT, "Pixel Data (7fe0,0010) does not begin with a JPEG 2000 codestream");
    size_t at = 0;
    while (bytes.size - at >= 8) {
        const unsigned char *box = bytes.data + at;
        size_t head = 8;
        uint64_t length = big(box, 4);
        if (length == 1 && bytes.size - at >= 16) length = big(box + 8, 8), head = 16;
        if (length == 0) length = bytes.size - at;
        if (length < head || length > bytes.size - at) break;
        if (!memcmp(box + 4, "jp2c", 4)) {
            *out = (cot_blob){box + head, (size_t)length - head};
            if (out->size >= 4 && !memcmp(out->data, soc, 4)) return COT_OK;
            break;
        }
        at += (size_t)length;
    }
    return cot_fail(err, COT_E_INPUT, "JP2 file in Pixel Data (7fe0,0010) holds no whole codestream");
}

static cot_status size_check(const frame_header *h, cot_blob stream, cot_error *err)
{
    if (stream.size < 45) return cot_fail(err, COT_E_INPUT, "JPEG 2000 stream ends inside its SIZ marker");
    const unsigned char *p = stream.data + 4; /* length, capabilities, then the sizes */
    const uint64_t x1 = big(p + 4, 4), y1 = big(p + 8, 4), x0 = big(p + 12, 4), y0 = big(p + 16, 4);
    const uint64_t tile_x = big(p + 20, 4), tile_y = big(p + 24, 4), off_x = big(p + 28, 4), off_y = big(p + 32, 4);
    const uint64_t components = big(p + 36, 2);
    if (x1 <= x0 || y1 <= y0 || x1 - x0 != h->cols || y1 - y0 != h->rows)
        return cot_fail(err, COT_E_INPUT,
                        "JPEG 2000 stream is %lld x %lld, Rows and Columns (0028,0010/0011) say %zu x %zu",
                        (long long)y1 - (long long)y0, (long long)x1 - (long long)x0, h->rows, h->cols);
    if (components != h->samples)
        return cot_fail(err, COT_E_INPUT, "JPEG 2000 stream has %u components, Samples per Pixel (0028,0002) says %u",
                        (unsigned)components, h->samples);
    if (!tile_x || !tile_y || off_x > x0 || off_y > y0)
        return cot_fail(err, COT_E_INPUT, "JPEG 2000 stream has no valid tiles");
    const uint64_t across = (x1 - off_x + tile_x - 1) / tile_x, down = (y1 - off_y + tile_y - 1) / tile_y;
    if (across > MAX_TILES || down > MAX_TILES || across * down > MAX_TILES)
        return cot_fail(err, COT_E_LIMIT, "JPEG 2000 stream has %llu x %llu tiles, at most %d are read",
                        (unsigned long long)across, (unsigned long long)down, MAX_TILES);
    return COT_OK;
}

/* ---- the bytes as OpenJPEG's stream ---- */
typedef struct reader {
    cot_blob bytes;
    size_t at;
} reader;

static OPJ_SIZE_T reader_read(void *to, OPJ_SIZE_T size, void *user)
{
    reader *r = user;
    const size_t left = r->bytes.size - r->at, n = size < left ? size : left;
    if (!n) return (OPJ_SIZE_T)-1;
    memcpy(to, r->bytes.data + r->at, n);
    r->at += n;
    return n;
}

static OPJ_OFF_T reader_skip(OPJ_OFF_T by, void *user)
{
    reader *r = user;
    const size_t left = r->bytes.size - r->at;
    if (by < 0) return -1;
    const size_t n = (uint64_t)by < left ? (size_t)by : left;
    r->at += n;
    return n || !by ? (OPJ_OFF_T)n : -1;
}

static OPJ_BOOL reader_seek(OPJ_OFF_T to, void *user)
{
    reader *r = user;
    if (to < 0 || (uint64_t)to > r->bytes.size) return OPJ_FALSE;
    r->at = (size_t)to;
    return OPJ_TRUE;
}

static void note(const char *message, void *user) /* keeps the library's first complaint, without its newline */
{
    char *text = user;
    if (!text[0]) snprintf(text, 128, "%.*s", (int)strcspn(message, "\r\n"), message);
}

/* ---- components -> samples ---- */
static cot_status component_check(const opj_image_comp_t *c, const frame_header *h, cot_error *err)
{
    if (!c->data || c->dx != 1 || c->dy != 1 || c->w != h->cols || c->h != h->rows)
        return cot_fail(err, COT_E_INPUT,
                        "JPEG 2000 components are subsampled or missing; each must have Rows x Columns samples");
    if (c->prec < 1 || c->prec > h->allocated || (c->sgnd && !h->is_signed))
        return cot_fail(err, COT_E_INPUT,
                        "JPEG 2000 stream has %s%u-bit samples, the header says %s%u-bit (0028,0101/0103)",
                        c->sgnd ? "signed " : "", (unsigned)c->prec, h->is_signed ? "signed " : "", h->stored);
    return COT_OK;
}

static void component_copy(void *samples, const frame_header *h, const opj_image_comp_t *c, size_t sample)
{
    const size_t n = h->rows * h->cols, step = h->samples;
    uint8_t *bytes = samples;
    uint16_t *words = samples;
    for (size_t i = 0; i < n; i++) {
        /* two's complement bits of the value: an unsigned stream with signed meaning passes unchanged */
        if (h->allocated == 8)
            bytes[i * step + sample] = (uint8_t)c->data[i];
        else
            words[i * step + sample] = (uint16_t)c->data[i];
    }
}

cot_status jpeg2000_decode(void *samples, unsigned *precision, const frame_header *h, cot_blob bytes, cot_error *err)
{
    cot_status status;
    char why[128] = "";
    reader source = {{NULL, 0}, 0};
    opj_dparameters_t parameters;
    opj_codec_t *codec = NULL;
    opj_stream_t *stream = NULL;
    opj_image_t *image = NULL;
    *precision = 0;
    COT_TRY(codestream_find(&source.bytes, bytes, err));
    COT_TRY(size_check(h, source.bytes, err));
    codec = opj_create_decompress(OPJ_CODEC_J2K);
    stream = opj_stream_create((OPJ_SIZE_T)1 << 16, OPJ_TRUE);
    if (!codec || !stream) {
        status = cot_fail(err, COT_E_MEMORY, "JPEG 2000: no memory");
        goto done;
    }
    opj_set_error_handler(codec, note, why);
    opj_set_default_decoder_parameters(&parameters);
    opj_stream_set_user_data(stream, &source, NULL);
    opj_stream_set_user_data_length(stream, source.bytes.size);
    opj_stream_set_read_function(stream, reader_read);
    opj_stream_set_skip_function(stream, reader_skip);
    opj_stream_set_seek_function(stream, reader_seek);
    if (!opj_setup_decoder(codec, &parameters) || !opj_decoder_set_strict_mode(codec, OPJ_TRUE) ||
        !opj_read_header(stream, codec, &image) || !opj_decode(codec, stream, image)) {
        status = cot_fail(err, COT_E_INPUT, "JPEG 2000 stream is damaged: %s", why[0] ? why : "no reason given");
        goto done;
    }
    if (image->numcomps != h->samples) {
        status = cot_fail(err, COT_E_INPUT, "JPEG 2000 stream has %u components", (unsigned)image->numcomps);
        goto done;
    }
    for (unsigned c = 0; c < h->samples; c++) {
        COT_TRY(component_check(&image->comps[c], h, err));
        component_copy(samples, h, &image->comps[c], c);
        if (image->comps[c].prec > *precision) *precision = image->comps[c].prec;
    }
done:
    if (image) opj_image_destroy(image);
    if (stream) opj_stream_destroy(stream);
    if (codec) opj_destroy_codec(codec);
    return status;
}
