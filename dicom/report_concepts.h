/* The concepts that reports use whatever the schema: from PS3.16 (context groups and templates named beside them), and our own
 * where the standard has no word. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_REPORT_CONCEPTS_H
#define COT_REPORT_CONCEPTS_H
#include "dicom/report_internal.h"

#include <string>

namespace concept_of
{
inline const cot_code language = {"121049", "DCM", "Language of Content Item and Descendants"};
inline const cot_code observer_type = {"121005", "DCM", "Observer Type"};
inline const cot_code device = {"121007", "DCM", "Device"};
inline const cot_code device_uid = {"121012", "DCM", "Device Observer UID"};
inline const cot_code device_name = {"121013", "DCM", "Device Observer Name"};
inline const cot_code device_manufacturer = {"121014", "DCM", "Device Observer Manufacturer"};
inline const cot_code device_model = {"121015", "DCM", "Device Observer Model Name"};
inline const cot_code device_serial = {"121016", "DCM", "Device Observer Serial Number"};
inline const cot_code procedure = {"121058", "DCM", "Procedure reported"};
inline const cot_code procedure_chest = {"30745-4", "LN", "XR Chest Views"}; /* LOINC: however many views */
inline const cot_code procedure_unknown = {"43468-8", "LN", "XR unspecified body region"}; /* CID 100 */
inline const cot_code summary = {"55112-7", "LN", "Document Summary"};
inline const cot_code impression = {"121073", "DCM", "Impression"};
inline const cot_code conclusion = {"121077", "DCM", "Conclusion"};
inline const cot_code certainty = {"111012", "DCM", "Certainty of Finding"};
inline const cot_code finding = {"121071", "DCM", "Finding"};
inline const cot_code finding_site = {"363698007", "SCT", "Finding Site"};
inline const cot_code laterality = {"272741003", "SCT", "Laterality"};
inline const cot_code algorithm_name = {"111001", "DCM", "Algorithm Name"};
inline const cot_code algorithm_version = {"111003", "DCM", "Algorithm Version"};
inline const cot_code algorithm_parameters = {"111002", "DCM", "Algorithm Parameters"};
inline const cot_code algorithm_family = {"111000", "DCM", "Algorithm Family"};
inline const cot_code artificial_intelligence = {"123110", "DCM", "Artificial Intelligence"};
inline const cot_code modality = {"121139", "DCM", "Modality"};
inline const cot_code original_source = {"111040", "DCM", "Original Source"};
/* our own: sections and items the standard has no word for */
inline const cot_code status = {"STATUS", COT_REPORT_SCHEME, "Result status"};
inline const cot_code steps_answered = {"STEPS_ANSWERED", COT_REPORT_SCHEME, "Steps answered"};
inline const cot_code model_notice = {"MODEL_NOTICE", COT_REPORT_SCHEME, "About the model"};
inline const cot_code training = {"TRAINING", COT_REPORT_SCHEME, "Training of the model"};
inline const cot_code question = {"QUESTION", COT_REPORT_SCHEME, "Question"};
inline const cot_code answer = {"ANSWER", COT_REPORT_SCHEME, "Answer"};
inline const cot_code rationale = {"RATIONALE", COT_REPORT_SCHEME, "Rationale"};
inline const cot_code options = {"OPTIONS", COT_REPORT_SCHEME, "Other answers, with their probabilities"};
inline const cot_code limits = {"LIMITS", COT_REPORT_SCHEME, "Limits of this reading"};
inline const cot_code limit = {"LIMIT", COT_REPORT_SCHEME, "Limit"};
inline const cot_code algorithm = {"ALGORITHM", COT_REPORT_SCHEME, "Algorithm"};
inline const cot_code image_analysed = {"IMAGES", COT_REPORT_SCHEME, "Images analysed"};
inline const cot_code image_received = {"RECEIVED", COT_REPORT_SCHEME, "Images received, not analysed"};
inline const cot_code images_of_study = {"STUDY_IMAGES", COT_REPORT_SCHEME, "Images of the study"};
inline const cot_code images_read = {"IMAGES_READ", COT_REPORT_SCHEME, "Images read"};
inline const cot_code not_analysed = {"NOT_ANALYSED", COT_REPORT_SCHEME, "Not analysed"};
inline const cot_code refusal = {"REFUSAL", COT_REPORT_SCHEME, "Reason code"};
inline const cot_code body_part = {"BODY_PART", COT_REPORT_SCHEME, "Body Part Examined"};
inline const cot_code view_position = {"VIEW_POSITION", COT_REPORT_SCHEME, "View Position"};
inline const cot_code object_kind = {"OBJECT", COT_REPORT_SCHEME, "Kind of object"};
/* ---- the measurement report ---- */
/* TID 1500, 1600, 1601, 1602, 1410 and what they include; CID 7021, 244 */
inline const cot_code measurement_report = {"126000", "DCM", "Imaging Measurement Report"};
inline const cot_code image_library = {"111028", "DCM", "Image Library"};
inline const cot_code image_library_group = {"126200", "DCM", "Image Library Group"};
inline const cot_code imaging_measurements = {"126010", "DCM", "Imaging Measurements"};
inline const cot_code measurement_group = {"125007", "DCM", "Measurement Group"};
inline const cot_code qualitative_evaluations = {"C0034375", "UMLS", "Qualitative Evaluations"};
inline const cot_code tracking_identifier = {"112039", "DCM", "Tracking Identifier"};
inline const cot_code tracking_uid = {"112040", "DCM", "Tracking Unique Identifier"};
inline const cot_code image_region = {"111030", "DCM", "Image Region"};
inline const cot_code region_purpose = {"130400", "DCM", "Geometric purpose of region"};
inline const cot_code bounded_by = {"75958009", "SCT", "Bounded by"};
inline const cot_code probability = {"122157", "DCM", "Probability"};
inline const cot_code percent = {"%", "UCUM", "Percent"};
/* TID 1602, 1604: image library descriptors; CID 29, 4031 */
inline const cot_code target_region = {"123014", "DCM", "Target Region"};
inline const cot_code chest = {"816094009", "SCT", "Chest"};
inline const cot_code study_date = {"111060", "DCM", "Study Date"};
inline const cot_code study_time = {"111061", "DCM", "Study Time"};
inline const cot_code content_date = {"111018", "DCM", "Content Date"};
inline const cot_code content_time = {"111019", "DCM", "Content Time"};
inline const cot_code acquisition_date = {"126201", "DCM", "Acquisition Date"};
inline const cot_code acquisition_time = {"126202", "DCM", "Acquisition Time"};
inline const cot_code rows = {"110910", "DCM", "Pixel Data Rows"};
inline const cot_code columns = {"110911", "DCM", "Pixel Data Columns"};
inline const cot_code pixels = {"{pixels}", "UCUM", "pixels"};
inline const cot_code orientation_row = {"111044", "DCM", "Patient Orientation Row"};
inline const cot_code orientation_column = {"111043", "DCM", "Patient Orientation Column"};
inline const cot_code spacing_horizontal = {"111026", "DCM", "Horizontal Pixel Spacing"};
inline const cot_code spacing_vertical = {"111066", "DCM", "Vertical Pixel Spacing"};
inline const cot_code millimetre = {"mm", "UCUM", "millimeter"};
/* our own */
inline const cot_code step = {"STEP", COT_REPORT_SCHEME, "Reasoning step"};
inline const cot_code region_basis = {"REGIONBASIS", COT_REPORT_SCHEME, "Basis of region"};
inline const cot_code basis_relevance = {"RELEVANCE", COT_REPORT_SCHEME, "Relevance map of the model, thresholded"};
inline const cot_code basis_whole = {"WHOLE_IMAGE", COT_REPORT_SCHEME, "Whole image: the relevance map has no region"};
inline const cot_code basis_none = {"NOT_LOCATED", COT_REPORT_SCHEME, "Whole image: no relevance map was made"};
inline const cot_code share = {"SHARE", COT_REPORT_SCHEME, "Share of the relevance inside the region"};
inline const cot_code place = {"PLACE", COT_REPORT_SCHEME, "Place of the region"};
inline const cot_code premise = {"PREMISE", COT_REPORT_SCHEME, "Rests on"};
inline const cot_code effect = {"EFFECT", COT_REPORT_SCHEME, "Change of probability that this step makes"};
inline const cot_code all_options = {"ALL_OPTIONS", COT_REPORT_SCHEME, "Probabilities of all answers"};
inline const cot_code option = {"OPTION", COT_REPORT_SCHEME, "Answer option"};
inline const cot_code other_answer = {"OTHER_ANSWER", COT_REPORT_SCHEME, "Answer of the second reader"};
inline const cot_code other_options = {"OTHER_OPTIONS", COT_REPORT_SCHEME, "Probabilities of the second reader"};
inline const cot_code other_certainty = {"OTHER_CERTAINTY", COT_REPORT_SCHEME, "Certainty of the second reader"};
inline const cot_code attention = {"ATTENTION", COT_REPORT_SCHEME, "Attention"};
inline const cot_code agreement = {"AGREEMENT", COT_REPORT_SCHEME, "The two readers"};
inline const cot_code agree = {"AGREE", COT_REPORT_SCHEME, "agree"};
inline const cot_code disagree = {"DISAGREE", COT_REPORT_SCHEME, "disagree: a person should look here first"};
} // namespace concept_of
#endif
