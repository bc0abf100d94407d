/* Reads what PS3.3 C.11 needs from a data set into a voi_pipeline. A wrong Modality LUT or rescale is refused, since
 * the values would be wrong; a wrong VOI LUT or window is skipped for the next best rule, which the rendering text names.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dicom/pixels.h"

#include <cmath>
#include <cstring>

static cot_status read_lut(voi_lut *out, DcmItem &item, bool domain_is_signed, cot_error *err)
{
    const Uint16 *descriptor = nullptr, *words = nullptr;
    if (element_words(&descriptor, item, DCM_LUTDescriptor) != 3)
        return cot_fail(err, COT_E_INPUT, "LUT Descriptor (0028,3002) has not three values");
    const DcmElement *element = element_find(item, DCM_LUTDescriptor);
    const size_t n = element_words(&words, item, DCM_LUTData);
    if (!n) return cot_fail(err, COT_E_INPUT, "LUT Data (0028,3006) is missing");
    return voi_lut_init(out, descriptor, element->getVR() == EVR_SS || domain_is_signed, words, n, err);
}

static cot_status read_modality(voi_pipeline *p, DcmDataset &data, cot_error *err)
{
    cot_status status = COT_OK;
    if (DcmItem *item = element_item(data, DCM_ModalityLUTSequence)) {
        status = read_lut(&p->modality, *item, p->is_signed, err);
        return status == COT_OK ? status : cot_fail_in(err, "Modality LUT Sequence (0028,3000)");
    }
    const bool slope = element_find(data, DCM_RescaleSlope), intercept = element_find(data, DCM_RescaleIntercept);
    if (slope && !element_number(&p->slope, data, DCM_RescaleSlope, 0))
        status = cot_fail(err, COT_E_INPUT, "Rescale Slope (0028,1053) is not a decimal string");
    else if (intercept && !element_number(&p->intercept, data, DCM_RescaleIntercept, 0))
        status = cot_fail(err, COT_E_INPUT, "Rescale Intercept (0028,1052) is not a decimal string");
    return status;
}

/* Smallest modality value: decides whether the VOI LUT's first input is signed when its VR leaves that open. */
static bool domain_is_signed(const voi_pipeline &p)
{
    if (p.modality.entries) return false;
    const double lowest = p.is_signed ? -std::ldexp(1.0, static_cast<int>(p.bits) - 1) : 0;
    const double highest = std::ldexp(1.0, static_cast<int>(p.bits) - (p.is_signed ? 1 : 0)) - 1;
    return lowest * p.slope + p.intercept < 0 || highest * p.slope + p.intercept < 0;
}

static bool read_table(voi_pipeline *p, DcmDataset &data)
{
    DcmItem *item = element_item(data, DCM_VOILUTSequence);
    if (!item || read_lut(&p->table, *item, domain_is_signed(*p), nullptr) != COT_OK) return false;
    p->function = VOI_TABLE;
    return true;
}

static bool read_window(voi_pipeline *p, DcmDataset &data)
{
    double center = 0, width = 0;
    char name[17];
    if (!element_number(&center, data, DCM_WindowCenter, 0) || !element_number(&width, data, DCM_WindowWidth, 0))
        return false;
    element_text(name, sizeof name, data, DCM_VOILUTFunction);
    voi_function function = VOI_LINEAR;
    if (!std::strcmp(name, "LINEAR_EXACT"))
        function = VOI_LINEAR_EXACT;
    else if (!std::strcmp(name, "SIGMOID"))
        function = VOI_SIGMOID;
    if (width < (function == VOI_LINEAR ? 1 : 1e-6)) return false; /* PS3.3 C.11.2.1.2.1, C.11.2.1.3 */
    p->function = function;
    p->center = center;
    p->width = width;
    return true;
}

static bool is_for_processing(DcmDataset &data)
{
    char intent[17], sop_class[65];
    element_text(intent, sizeof intent, data, DCM_PresentationIntentType);
    element_text(sop_class, sizeof sop_class, data, DCM_SOPClassUID);
    return !std::strcmp(intent, "FOR PROCESSING") || !std::strcmp(sop_class, UID_DigitalXRayImageStorageForProcessing);
}

static bool is_inverted(DcmDataset &data)
{
    char photometric[17], shape[17];
    element_text(photometric, sizeof photometric, data, DCM_PhotometricInterpretation);
    element_text(shape, sizeof shape, data, DCM_PresentationLUTShape);
    /* C.8.11.3.1.2: MONOCHROME1 and INVERSE say the same thing, so both together invert once */
    return !std::strcmp(photometric, "MONOCHROME1") || !std::strcmp(shape, "INVERSE");
}

/* Raw detector data: the relationship to the beam tells more than Photometric Interpretation (C.8.11.3.1.3). */
static void read_processing(voi_pipeline *p, DcmDataset &data)
{
    char relation[17];
    p->function = VOI_PERCENTILE;
    element_text(relation, sizeof relation, data, DCM_PixelIntensityRelationship);
    p->logarithm = !std::strcmp(relation, "LIN");
    DcmElement *sign = element_find(data, DCM_PixelIntensityRelationshipSign);
    Sint16 value = 0;
    if (sign && sign->ident() == EVR_SS && sign->getSint16(value, 0).good() && (value == 1 || value == -1))
        p->invert = value == 1; /* 1: more value, more beam, less tissue; dense tissue shall be white */
}

static void read_padding(voi_pipeline *p, DcmDataset &data)
{
    int32_t limits[2] = {0, 0};
    const DcmTagKey tags[2] = {DCM_PixelPaddingValue, DCM_PixelPaddingRangeLimit};
    for (size_t i = 0; i < 2; i++) {
        const Uint16 *words = nullptr;
        const bool found = element_words(&words, data, tags[i]) == 1;
        if (!i && !found) return;
        limits[i] = found ? (p->is_signed ? static_cast<Sint16>(words[0]) : words[0]) : limits[0];
    }
    p->has_padding = true;
    p->padding_first = limits[0] < limits[1] ? limits[0] : limits[1];
    p->padding_last = limits[0] < limits[1] ? limits[1] : limits[0];
}

cot_status pipeline_read(voi_pipeline *p, DcmDataset &data, const frame_stored &frame, cot_error *err)
{
    cot_status status;
    *p = VOI_PIPELINE_INIT;
    p->bits = frame.bits;
    p->is_signed = frame.is_signed;
    COT_TRY(read_modality(p, data, err));
    p->invert = is_inverted(data);
    read_padding(p, data);
    if (is_for_processing(data))
        read_processing(p, data);
    else if (!read_table(p, data))
        (void)read_window(p, data); /* else VOI_RANGE */
done:
    return status;
}
