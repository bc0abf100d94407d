/* The concepts that reports use whatever the schema: from PS3.16 (context groups and templates named beside them), and our own
 * where the standard has no word. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_REPORT_CONCEPTS_H
#define COT_REPORT_CONCEPTS_H
#include "dicom/report_internal.h"

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
inline const cot_code procedure_unknown = {"43468-8", "LN", "XR unspecified body region"};
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
inline const cot_code not_analysed = {"NOT_ANALYSED", COT_REPORT_SCHEME, "Not analysed"};
inline const cot_code refusal = {"REFUSAL", COT_REPORT_SCHEME, "Reason code"};
inline const cot_code body_part = {"BODY_PART", COT_REPORT_SCHEME, "Body Part Examined"};
inline const cot_code view_position = {"VIEW_POSITION", COT_REPORT_SCHEME, "View Position"};
inline const cot_code object_kind = {"OBJECT", COT_REPORT_SCHEME, "Kind of object"};
} // namespace concept_of
#endif
