/* Between the C++ files that read an image (internal, C++): data set -> facts, stored values, grey pipeline.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_DICOM_PIXELS_H
#define COT_DICOM_PIXELS_H
#include "dicom/dicom.h"
#include "dicom/element.h"
#include "dicom/frame.h"
#include "dicom/voi.h"
#include <dcmtk/dcmdata/dctk.h>

/* facts.cc */
cot_status facts_from(cot_dicom_facts *out, DcmDataset &data, cot_error *err);
/* decode.cc: loads a guarded file; frame 0 as stored values. */
cot_status dataset_load(DcmFileFormat &file, const char *path, cot_error *err);
cot_status dataset_decode(frame_stored *out, DcmDataset &data, cot_error *err);
/* grey_read.cc: what the data set says about the way from stored values to grey. voi_lut_fini both tables afterwards. */
cot_status pipeline_read(voi_pipeline *out, DcmDataset &data, const frame_stored &frame, cot_error *err);

#endif
