/* Checked access to data elements (internal, C++): every read looks at the VR first, since a hostile file may encode
 * Rows as UL or a description as a sequence. Threads: one data set at a time.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_DICOM_ELEMENT_H
#define COT_DICOM_ELEMENT_H
#include "config/base.h"
#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dcpixel.h>
#include <dcmtk/dcmdata/dcpixseq.h>
#include <dcmtk/dcmdata/dcpxitem.h>
#include <dcmtk/dcmdata/dcspchrs.h>
#include <dcmtk/dcmdata/dctk.h>
#include <string>

/* The element with a value, else nullptr. */
DcmElement *element_find(DcmItem &item, const DcmTagKey &tag);
/* US value. Absent: *out = fallback. Another VR: COT_E_INPUT, the text names tag and VR. */
cot_status element_us(size_t *out, DcmItem &item, const DcmTagKey &tag, size_t fallback, cot_error *err);
/* DS or IS value number `position`; false when absent, of another VR or not a finite decimal string (PS3.5 6.2). */
bool element_number(double *out, DcmItem &item, const DcmTagKey &tag, unsigned long position);
/* Text value number `position` as UTF-8, trimmed, cut at a character boundary; "" when absent or not text. */
void element_text(char *to, size_t size, DcmItem &item, const DcmTagKey &tag, unsigned long position = 0);
/* Text of `item` in the Japanese character sets that it or what holds it declares; false: not so, or damaged
 * (report_japanese.cc). */
bool japanese_text_to_utf8(std::string &out, DcmItem &item, const std::string &bytes);
/* First item of a sequence, else nullptr. */
DcmItem *element_item(DcmItem &item, const DcmTagKey &sequence);
/* Up to `n` 16-bit words of a US, SS or OW element; 0 when absent or of another VR. *words borrowed. */
size_t element_words(const Uint16 **words, DcmItem &item, const DcmTagKey &tag);

#endif
