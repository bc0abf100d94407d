/* links: dicom config
 * Our own writer of data sets gives the bytes that DCMTK gives, for everything a report or a picture may hold.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "dicom/report_internal.h"

#include <dcmtk/config/osconfig.h>

#include <dcmtk/dcmdata/dcostrmb.h>
#include <dcmtk/dcmdata/dctk.h>
#include <string>
#include <vector>

namespace
{
void identify(DcmDataset &data)
{
    data.putAndInsertString(DCM_SOPClassUID, UID_EnhancedSRStorage);
    data.putAndInsertString(DCM_SOPInstanceUID, "2.25.1");
    data.putAndInsertString(DCM_SpecificCharacterSet, "ISO_IR 192");
    data.putAndInsertString(DCM_PatientName, "Odd^Length");
    data.putAndInsertString(DCM_PatientID, "");
    data.putAndInsertUint16(DCM_Rows, 300);
    data.putAndInsertFloat64(DCM_PixelAspectRatio, 1); /* another value representation than the dictionary's */
}

/* Four levels, items without content, a sequence without items, a private element. */
void nest(DcmItem &item, int depth)
{
    for (int i = 0; depth && i < 3; i++) {
        DcmItem *below = nullptr;
        if (item.findOrCreateSequenceItem(DCM_ContentSequence, below, -2).bad()) abort();
        if (i == 1) continue;
        below->putAndInsertString(DCM_TextValue, std::string(static_cast<size_t>(7 * depth + i), 'x').c_str());
        nest(*below, depth - 1);
    }
    item.insertEmptyElement(DCM_PerformedProcedureCodeSequence);
    item.putAndInsertString(DcmTag(0x0099, 0x1010, EVR_LO), "private");
}

std::string by_dcmtk(DcmFileFormat &file)
{
    std::vector<char> buffer(1 << 20);
    DcmOutputBufferStream stream(buffer.data(), static_cast<offile_off_t>(buffer.size()));
    void *piece = nullptr;
    offile_off_t size = 0;
    file.validateMetaInfo(EXS_LittleEndianExplicit, EWM_createNewMeta);
    file.transferInit();
    const OFCondition condition =
        file.write(stream, EXS_LittleEndianExplicit, EET_ExplicitLength, nullptr, EGL_recalcGL, EPD_withoutPadding);
    file.transferEnd();
    CHECK(condition.good());
    stream.flushBuffer(piece, size);
    return std::string(static_cast<const char *>(piece), static_cast<size_t>(size));
}
} // namespace

TEST(a_data_set_is_written_byte_by_byte_as_dcmtk_writes_it)
{
    DcmFileFormat file;
    cot_dicom_init();
    identify(*file.getDataset());
    nest(*file.getDataset(), 4);
    /* longer than the writer's buffer */
    file.getDataset()->putAndInsertString(DCM_EncapsulatedDocument, "");
    file.getDataset()->putAndInsertString(DCM_TextValue, std::string(200001, 't').c_str());
    const std::string ours = job_file(file), theirs = by_dcmtk(file);
    CHECK(ours.size() > 200000);
    CHECK_NUMBER(ours.size(), theirs.size());
    CHECK(ours == theirs);
}

TEST(pixels_are_written_as_dcmtk_writes_them)
{
    DcmFileFormat file;
    cot_dicom_init();
    identify(*file.getDataset());
    const std::vector<Uint8> pixels(300001, 77);
    CHECK(file.getDataset()->putAndInsertUint8Array(DCM_PixelData, pixels.data(), pixels.size()).good());
    const std::string ours = job_file(file), theirs = by_dcmtk(file);
    CHECK(ours.size() > 300000);
    CHECK(ours == theirs);
}

CHECK_MAIN
