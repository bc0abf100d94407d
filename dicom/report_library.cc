/* The image library of a measurement report (TID 1600): one group per image with what its header tells (TID 1602, 1604).
 * Attributes that are absent or break their format are left out. SPDX-License-Identifier: Apache-2.0 */
#include "dicom/measurement.h"

#include <cstdlib>

static std::string value_of(const DcmDataset &from, const DcmTagKey &key, unsigned long position = 0)
{
    DcmDataset item(from); /* DCMTK's look-ups are not const */
    OFString value;
    item.findAndGetOFString(key, value, position);
    return value.c_str();
}

static void add_string(report_tree &t, size_t group, DSRTypes::E_ValueType type, const cot_code &name,
                       const std::string &value)
{
    if (!value.empty()) tree_item_string(t, group, DSRTypes::RT_hasAcqContext, type, name, value);
}

/* Study dates are copied into reports even where they are no dates; a content item is none of them then. */
static std::string checked(const std::string &value, bool date)
{
    const OFString text(value.c_str());
    const bool good = date ? DcmDate::checkStringValue(text, "1").good() : DcmTime::checkStringValue(text, "1").good();
    return good ? value : "";
}

static void add_number(report_tree &t, size_t group, const cot_code &name, const std::string &value,
                       const cot_code &unit)
{
    if (!value.empty() && std::strtod(value.c_str(), nullptr) > 0)
        tree_item_number(t, group, DSRTypes::RT_hasAcqContext, name, value, unit);
}

static void add_modality(report_tree &t, size_t group, const std::string &modality)
{
    static const char *const names[][2] = {{"CR", "Computed Radiography"},
                                           {"DX", "Digital Radiography"},
                                           {"RG", "Radiographic imaging"},
                                           {"OT", "Other Modality"}};
    for (const auto &name : names)
        if (modality == name[0]) {
            cot_code code = {"", "DCM", ""};
            snprintf(code.value, sizeof code.value, "%s", name[0]);
            snprintf(code.meaning, sizeof code.meaning, "%s", name[1]);
            tree_item_code(t, group, DSRTypes::RT_hasAcqContext, concept_of::modality, code);
        }
}

static void add_times(report_tree &t, size_t group, const report_source &source)
{
    const auto date = [&](const cot_code &name, const DcmDataset &from, const DcmTagKey &key) {
        add_string(t, group, DSRTypes::VT_Date, name, checked(value_of(from, key), true));
    };
    const auto time = [&](const cot_code &name, const DcmDataset &from, const DcmTagKey &key) {
        add_string(t, group, DSRTypes::VT_Time, name, checked(value_of(from, key), false));
    };
    date(concept_of::study_date, source.head, DCM_StudyDate);
    time(concept_of::study_time, source.head, DCM_StudyTime);
    date(concept_of::content_date, source.acquisition, DCM_ContentDate);
    time(concept_of::content_time, source.acquisition, DCM_ContentTime);
    date(concept_of::acquisition_date, source.acquisition, DCM_AcquisitionDate);
    time(concept_of::acquisition_time, source.acquisition, DCM_AcquisitionTime);
}

static void add_entry(report_tree &t, size_t library, const measured_image &image)
{
    const report_source &source = *image.source;
    const size_t group = tree_container(t, library, concept_of::image_library_group);
    add_modality(t, group, source.modality);
    if (image.measured) /* nothing else is read; what was refused may be anything */
        tree_item_code(t, group, DSRTypes::RT_hasAcqContext, concept_of::target_region, concept_of::chest);
    add_times(t, group, source);
    add_number(t, group, concept_of::rows, source.rows, concept_of::pixels);
    add_number(t, group, concept_of::columns, source.columns, concept_of::pixels);
    add_string(t, group, DSRTypes::VT_Text, concept_of::orientation_row,
               value_of(source.acquisition, DCM_PatientOrientation, 0));
    add_string(t, group, DSRTypes::VT_Text, concept_of::orientation_column,
               value_of(source.acquisition, DCM_PatientOrientation, 1));
    const DcmTagKey spacing =
        value_of(source.acquisition, DCM_ImagerPixelSpacing).empty() ? DCM_PixelSpacing : DCM_ImagerPixelSpacing;
    add_number(t, group, concept_of::spacing_horizontal, value_of(source.acquisition, spacing, 1),
               concept_of::millimetre);
    add_number(t, group, concept_of::spacing_vertical, value_of(source.acquisition, spacing, 0),
               concept_of::millimetre);
    tree_image(t, group, concept_of::original_source, source.sop_class, source.sop_instance);
}

void add_image_library(report_tree &t, size_t root, const std::vector<measured_image> &images)
{
    const size_t library = tree_container(t, root, concept_of::image_library);
    tree_template(t, library, "1600");
    for (const measured_image &image : images) add_entry(t, library, image);
}
