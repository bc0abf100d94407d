/* The facts of a radiograph that gates and reports need, read from the top level of its data set (cot_dicom_facts_read).
 * Reading stops before Pixel Data. Invariant: every string is valid UTF-8 within its field.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dicom/pixels.h"

#include <cstring>

struct code_fields {
    char *value, *scheme, *meaning;
};

static void read_code(const code_fields &to, DcmItem &item, const DcmTagKey &sequence)
{
    DcmItem *code = element_item(item, sequence);
    if (!code) return;
    element_text(to.value, 17, *code, DCM_CodeValue);
    element_text(to.scheme, 17, *code, DCM_CodingSchemeDesignator);
    element_text(to.meaning, 65, *code, DCM_CodeMeaning);
}

static cot_status read_numbers(cot_dicom_facts *f, DcmItem &item, cot_error *err)
{
    cot_status status;
    size_t sign = 0;
    double frames = 1;
    COT_TRY(element_us(&f->rows, item, DCM_Rows, 0, err));
    COT_TRY(element_us(&f->cols, item, DCM_Columns, 0, err));
    COT_TRY(element_us(&f->samples, item, DCM_SamplesPerPixel, 1, err));
    COT_TRY(element_us(&f->bits_allocated, item, DCM_BitsAllocated, 0, err));
    COT_TRY(element_us(&f->bits_stored, item, DCM_BitsStored, f->bits_allocated, err));
    COT_TRY(element_us(&sign, item, DCM_PixelRepresentation, 0, err));
    f->is_signed = sign == 1;
    if (element_find(item, DCM_NumberOfFrames) &&
        (!element_number(&frames, item, DCM_NumberOfFrames, 0) || frames < 1 || frames > 1e6))
        status = cot_fail(err, COT_E_INPUT, "Number of Frames (0028,0008) is not a number from 1 to 1000000");
    f->frames = static_cast<size_t>(frames);
done:
    return status;
}

static void read_spacing(cot_dicom_facts *f, DcmItem &item)
{
    for (const DcmTagKey &tag : {DCM_ImagerPixelSpacing, DCM_PixelSpacing}) {
        double row = 0, col = 0;
        if (!element_number(&row, item, tag, 0) || !element_number(&col, item, tag, 1) || row <= 0 || col <= 0)
            continue;
        f->spacing_row = row;
        f->spacing_col = col;
        return;
    }
}

cot_status facts_from(cot_dicom_facts *f, DcmDataset &data, cot_error *err)
{
    std::memset(f, 0, sizeof *f);
    element_text(f->sop_class, sizeof f->sop_class, data, DCM_SOPClassUID);
    element_text(f->modality, sizeof f->modality, data, DCM_Modality);
    element_text(f->body_part, sizeof f->body_part, data, DCM_BodyPartExamined);
    element_text(f->view_position, sizeof f->view_position, data, DCM_ViewPosition);
    element_text(f->image_laterality, sizeof f->image_laterality, data, DCM_ImageLaterality);
    element_text(f->laterality, sizeof f->laterality, data, DCM_Laterality);
    element_text(f->orientation_row, sizeof f->orientation_row, data, DCM_PatientOrientation, 0);
    element_text(f->orientation_column, sizeof f->orientation_column, data, DCM_PatientOrientation, 1);
    read_code({f->view_code_value, f->view_code_scheme, f->view_code_meaning}, data, DCM_ViewCodeSequence);
    read_code({f->anatomic_code_value, f->anatomic_code_scheme, f->anatomic_code_meaning}, data,
              DCM_AnatomicRegionSequence);
    element_text(f->study_description, sizeof f->study_description, data, DCM_StudyDescription);
    element_text(f->series_description, sizeof f->series_description, data, DCM_SeriesDescription);
    element_text(f->protocol, sizeof f->protocol, data, DCM_ProtocolName);
    element_text(f->photometric, sizeof f->photometric, data, DCM_PhotometricInterpretation);
    std::snprintf(f->transfer_syntax, sizeof f->transfer_syntax, "%s", DcmXfer(data.getOriginalXfer()).getXferID());
    read_spacing(f, data);
    return read_numbers(f, data, err);
}

extern "C" cot_status cot_dicom_facts_read(cot_dicom_facts *out, const char *path, cot_error *err)
try {
    std::memset(out, 0, sizeof *out);
    DcmFileFormat file;
    const OFCondition read =
        file.loadFileUntilTag(path, EXS_Unknown, EGL_noChange, DCM_MaxReadLength, ERM_fileOnly, DCM_PixelData);
    if (read.bad()) return cot_fail(err, COT_E_INPUT, "read the header: %s", read.text());
    return facts_from(out, *file.getDataset(), err);
} catch (const std::bad_alloc &) {
    return cot_fail(err, COT_E_MEMORY, "read the header: no memory");
} catch (...) {
    return cot_fail(err, COT_E_BUG, "read the header: C++ exception");
}
