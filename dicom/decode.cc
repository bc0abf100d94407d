/* Data set -> stored values of frame 0. The header is validated and every size computed with checked arithmetic before
 * memory is taken; DCMTK decodes JPEG and JPEG-LS, OpenJPEG JPEG 2000, rle.c RLE. Run it in a child with limits.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dicom/pixels.h"
#include "dicom/translate.h"

#include <cstring>
#include <memory>
#include <new>
#include <vector>

/* ---- Image Pixel module ---- */
static cot_status read_colour(frame_header *h, DcmDataset &data, cot_error *err)
{
    static const struct {
        const char *name;
        unsigned samples;
        frame_colour colour;
    } known[] = {
        {"MONOCHROME1", 1, FRAME_GREY}, {"MONOCHROME2", 1, FRAME_GREY},     {"RGB", 3, FRAME_RGB},
        {"YBR_FULL", 3, FRAME_YBR},     {"YBR_FULL_422", 3, FRAME_YBR_422}, {"YBR_RCT", 3, FRAME_RGB},
        {"YBR_ICT", 3, FRAME_RGB},
    };
    char name[17];
    element_text(name, sizeof name, data, DCM_PhotometricInterpretation);
    for (const auto &k : known)
        if (!std::strcmp(name, k.name)) {
            h->colour = k.colour;
            if (h->samples == k.samples) return COT_OK;
            return cot_fail(err, COT_E_INPUT,
                            "Samples per Pixel (0028,0002) is %u, Photometric Interpretation %s needs %u", h->samples,
                            k.name, k.samples);
        }
    if (!name[0]) return cot_fail(err, COT_E_INPUT, "Photometric Interpretation (0028,0004) is missing");
    return cot_fail(err, COT_E_REFUSED,
                    "Photometric Interpretation (0028,0004) %s is not read: send MONOCHROME1, MONOCHROME2 or grey RGB",
                    name);
}

static cot_status check_bits(const frame_header *h, size_t representation, cot_error *err)
{
    if (h->allocated != 8 && h->allocated != 16)
        return cot_fail(err, COT_E_REFUSED, "Bits Allocated (0028,0100) is %u, 8 and 16 are read", h->allocated);
    if (h->stored < 1 || h->stored > h->allocated)
        return cot_fail(err, COT_E_INPUT, "Bits Stored (0028,0101) %u does not fit Bits Allocated (0028,0100) %u",
                        h->stored, h->allocated);
    if (h->high + 1 < h->stored || h->high >= h->allocated)
        return cot_fail(err, COT_E_INPUT, "High Bit (0028,0102) %u does not fit Bits Stored %u of %u", h->high,
                        h->stored, h->allocated);
    if (representation > 1)
        return cot_fail(err, COT_E_INPUT, "Pixel Representation (0028,0103) is %zu, 0 or 1 are defined",
                        representation);
    if (h->samples == 3 && (h->allocated != 8 || h->stored != 8 || h->is_signed))
        return cot_fail(err, COT_E_REFUSED, "colour images are read with 8 unsigned bits only (0028,0100/0101/0103)");
    return COT_OK;
}

static cot_status read_header(frame_header *h, DcmDataset &data, cot_error *err)
{
    cot_status status;
    cot_dicom_facts facts;
    size_t samples = 0, high = 0, planar = 0, representation = 0, bytes = 0;
    std::memset(h, 0, sizeof *h);
    COT_TRY(facts_from(&facts, data, err));
    samples = facts.samples;
    h->rows = facts.rows, h->cols = facts.cols, h->frames = facts.frames;
    h->allocated = static_cast<unsigned>(facts.bits_allocated), h->stored = static_cast<unsigned>(facts.bits_stored);
    h->is_signed = facts.is_signed;
    if (samples != 1 && samples != 3) {
        status = cot_fail(err, COT_E_REFUSED, "Samples per Pixel (0028,0002) is %zu, 1 and 3 are read", samples);
        goto done;
    }
    h->samples = static_cast<unsigned>(samples);
    COT_TRY(read_colour(h, data, err));
    COT_TRY(element_us(&high, data, DCM_HighBit, h->stored ? h->stored - 1 : 0, err));
    COT_TRY(element_us(&planar, data, DCM_PlanarConfiguration, 0, err));
    COT_TRY(element_us(&representation, data, DCM_PixelRepresentation, 0, err));
    h->high = static_cast<unsigned>(high);
    COT_TRY(check_bits(h, representation, err));
    if (h->samples == 3 && planar > 1)
        status = cot_fail(err, COT_E_INPUT, "Planar Configuration (0028,0006) is %zu, 0 or 1 are defined", planar);
    h->planar = h->samples == 3 && planar == 1;
    if (status == COT_OK && !frame_bytes(&bytes, h))
        status = cot_fail(err, COT_E_LIMIT, "Rows x Columns (0028,0010/0011) %zu x %zu: 1 to %zu pixels are read",
                          h->rows, h->cols, FRAME_MAX_PIXELS);
done:
    return status;
}

/* ---- uncompressed ---- */
static cot_status decode_native(void *samples, size_t bytes, frame_header *h, DcmElement &pixels, cot_error *err)
{
    if (h->colour == FRAME_YBR_422 && (h->cols % 2 || h->planar))
        return cot_fail(err, COT_E_INPUT, "YBR_FULL_422 needs an even number of Columns and Planar Configuration 0");
    size_t all = 0;
    if (!cot_mul(&all, bytes, h->frames) || pixels.getLength() < all)
        return cot_fail(
            err, COT_E_INPUT,
            "Pixel Data (7fe0,0010) has %lu bytes; Rows x Columns x Samples x Bits x Frames need %zu (%zu x %zu)",
            static_cast<unsigned long>(pixels.getLength()), all, h->rows, h->cols);
    const OFCondition got = pixels.getPartialValue(samples, 0, static_cast<Uint32>(bytes));
    return got.good() ? COT_OK : cot_fail(err, COT_E_INPUT, "read Pixel Data (7fe0,0010): %s", got.text());
}

/* ---- encapsulated ---- */
static Uint32 little(const Uint8 *p)
{
    return static_cast<Uint32>(p[0] | p[1] << 8 | p[2] << 16) | static_cast<Uint32>(p[3]) << 24;
}

/* Number of fragments of frame 0: all, one each, or as the Basic Offset Table says (PS3.5 A.4). */
static cot_status count_fragments(unsigned long *count, DcmPixelSequence &sequence, size_t frames, cot_error *err)
{
    const unsigned long fragments = sequence.card() > 0 ? sequence.card() - 1 : 0;
    *count = fragments;
    if (!fragments) return cot_fail(err, COT_E_INPUT, "Pixel Data (7fe0,0010) holds no fragment");
    if (frames == 1) return COT_OK;
    *count = 1;
    if (fragments == frames) return COT_OK;
    DcmPixelItem *table = nullptr, *item = nullptr;
    Uint8 *offsets = nullptr;
    if (sequence.getItem(table, 0).good() && table->getLength() >= 8 && table->getUint8Array(offsets).good() &&
        offsets) {
        size_t at = 0;
        const size_t next = little(offsets + 4);
        for (unsigned long i = 1; i <= fragments && sequence.getItem(item, i).good(); i++) {
            at += 8 + static_cast<size_t>(item->getLength());
            *count = i;
            if (at == next) return COT_OK;
        }
    }
    return cot_fail(err, COT_E_REFUSED,
                    "Pixel Data (7fe0,0010): no offset table says which fragments belong to frame 1 of %zu", frames);
}

static cot_status join_fragments(std::vector<unsigned char> &out, DcmPixelSequence &sequence, unsigned long count,
                                 cot_error *err)
{
    for (unsigned long i = 1; i <= count; i++) {
        DcmPixelItem *item = nullptr;
        Uint8 *bytes = nullptr;
        if (sequence.getItem(item, i).bad() || !item) return cot_fail(err, COT_E_BUG, "fragment %lu is not there", i);
        const size_t size = item->getLength();
        if (!size) continue;
        if (item->getUint8Array(bytes).bad() || !bytes)
            return cot_fail(err, COT_E_INPUT, "fragment %lu of Pixel Data (7fe0,0010) cannot be read", i);
        out.insert(out.end(), bytes, bytes + size);
    }
    return out.empty() ? cot_fail(err, COT_E_INPUT, "Pixel Data (7fe0,0010): all fragments are empty") : COT_OK;
}

/* JPEG and JPEG-LS; DCMTK reports the colour model it has converted to. */
static cot_status decode_dcmtk(void *samples, size_t bytes, frame_header *h, DcmPixelData &pixels, DcmDataset &data,
                               cot_error *err)
{
    Uint32 first = 0, wanted = 0;
    OFString colour;
    if (pixels.getUncompressedFrameSize(&data, wanted).bad() || wanted > bytes + bytes % 2)
        return cot_fail(err, COT_E_INPUT, "the decoder wants %lu bytes for a frame of %zu",
                        static_cast<unsigned long>(wanted), bytes);
    const unsigned long damage = codec_damage();
    const OFCondition got =
        pixels.getUncompressedFrame(&data, 0, first, samples, static_cast<Uint32>(bytes + bytes % 2), colour);
    if (got.bad()) return cot_fail(err, COT_E_INPUT, "decode Pixel Data (7fe0,0010): %s", got.text());
    if (codec_damage() != damage)
        return cot_fail(err, COT_E_INPUT,
                        "Pixel Data (7fe0,0010) is damaged: the JPEG data end early or have wrong codes, part of the "
                        "picture is lost. Send the image again from its source");
    if (h->samples == 3) h->colour = colour == "RGB" ? FRAME_RGB : FRAME_YBR;
    return COT_OK;
}

static bool is_jpeg(E_TransferSyntax xfer)
{
    switch (xfer) {
    case EXS_JPEGProcess1:
    case EXS_JPEGProcess2_4:
    case EXS_JPEGProcess14:
    case EXS_JPEGProcess14SV1:
    case EXS_JPEGLSLossless:
    case EXS_JPEGLSLossy: return true;
    default: return false;
    }
}

static bool is_lossy(E_TransferSyntax xfer)
{
    return xfer == EXS_JPEGProcess1 || xfer == EXS_JPEGProcess2_4 || xfer == EXS_JPEGLSLossy || xfer == EXS_JPEG2000;
}

static cot_status decode_encapsulated(void *samples, size_t bytes, frame_header *h, DcmPixelData &pixels,
                                      DcmDataset &data, cot_error *err)
{
    cot_status status;
    const E_TransferSyntax xfer = data.getOriginalXfer();
    DcmPixelSequence *sequence = nullptr;
    std::vector<unsigned char> joined;
    unsigned long fragments = 0;
    unsigned precision = 16;
    if (pixels.getEncapsulatedRepresentation(xfer, nullptr, sequence).bad() || !sequence)
        return cot_fail(err, COT_E_INPUT, "Pixel Data (7fe0,0010) is not encapsulated, its transfer syntax says it is");
    COT_TRY(count_fragments(&fragments, *sequence, h->frames, err));
    COT_TRY(join_fragments(joined, *sequence, fragments, err));
    if (xfer == EXS_RLELossless) {
        h->planar = false; /* rle_decode interleaves */
        COT_TRY(rle_decode(samples, h, {joined.data(), joined.size()}, err));
    } else if (xfer == EXS_JPEG2000 || xfer == EXS_JPEG2000LosslessOnly) {
        h->planar = false;
        COT_TRY(jpeg2000_decode(samples, &precision, h, {joined.data(), joined.size()}, err));
    } else if (is_jpeg(xfer)) {
        if (h->is_signed && (xfer == EXS_JPEGProcess1 || xfer == EXS_JPEGProcess2_4))
            return cot_fail(err, COT_E_INPUT,
                            "Pixel Representation (0028,0103) is signed, lossy JPEG is unsigned (PS3.5 8.2.1)");
        COT_TRY(jpeg_check(&precision, h, {joined.data(), joined.size()}, err));
        COT_TRY(decode_dcmtk(samples, bytes, h, pixels, data, err));
        if (precision <= 8) h->allocated = 8; /* as DCMTK writes them */
    } else {
        status = cot_fail(err, COT_E_REFUSED, "transfer syntax %s is not read", DcmXfer(xfer).getXferID());
    }
    if (precision <= h->stored) h->high = h->stored - 1; /* the encoder has moved the bits down */
done:
    return status;
}

/* ---- entry ---- */
cot_status dataset_load(DcmFileFormat &file, const char *path, cot_error *err)
{
    const OFCondition read = file.loadFile(path, EXS_Unknown, EGL_noChange, DCM_MaxReadLength, ERM_fileOnly);
    return read.good() ? COT_OK : cot_fail(err, COT_E_INPUT, "read the file: %s", read.text());
}

static cot_status find_pixels(DcmElement **out, DcmDataset &data, cot_error *err)
{
    *out = nullptr; /* not element_find: an encapsulated value has no length of its own */
    if (data.findAndGetElement(DCM_PixelData, *out).bad() || !*out)
        return cot_fail(err, COT_E_INPUT, "Pixel Data (7fe0,0010) is missing");
    const DcmEVR vr = (*out)->ident();
    if (vr == EVR_PixelData) return COT_OK;
    return cot_fail(err, COT_E_INPUT, "Pixel Data (7fe0,0010) is encoded as %s, it must be OB or OW",
                    DcmVR(vr).getVRName());
}

cot_status dataset_decode(frame_stored *out, DcmDataset &data, cot_error *err)
{
    cot_status status;
    frame_header h;
    DcmElement *element = nullptr;
    size_t bytes = 0;
    std::unique_ptr<unsigned char[]> samples;
    std::memset(out, 0, sizeof *out);
    COT_TRY(read_header(&h, data, err));
    COT_TRY(find_pixels(&element, data, err));
    {
        DcmPixelData &pixels = *static_cast<DcmPixelData *>(element);
        const DcmXfer xfer(data.getOriginalXfer());
        const bool packed = xfer.isEncapsulated();
        h.lossy = is_lossy(xfer.getXfer());
        frame_header whole = h; /* decoders give 4:2:2 as three full samples */
        if (packed && whole.colour == FRAME_YBR_422) whole.colour = h.colour = FRAME_YBR;
        if (!frame_bytes(&bytes, &whole)) return cot_fail(err, COT_E_LIMIT, "the image is too large");
        samples.reset(new unsigned char[bytes + 2]());
        COT_TRY(packed ? decode_encapsulated(samples.get(), bytes, &h, pixels, data, err)
                       : decode_native(samples.get(), bytes, &h, pixels, err));
    }
    COT_TRY(frame_from_samples(out, &h, samples.get(), err));
done:
    return status;
}

extern "C" cot_status frame_decode(frame_stored *out, const char *path, cot_error *err)
try {
    std::memset(out, 0, sizeof *out);
    DcmFileFormat file;
    const cot_status status = dataset_load(file, path, err);
    return status == COT_OK ? dataset_decode(out, *file.getDataset(), err) : status;
} catch (const std::bad_alloc &) {
    return cot_fail(err, COT_E_MEMORY, "decode frame: no memory");
} catch (...) {
    return cot_fail(err, COT_E_BUG, "decode frame: C++ exception");
}
