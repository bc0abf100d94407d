/* A data set as a Part 10 file in memory, explicit little endian with explicit lengths. DCMTK counts the length of a sequence
 * anew at every level around it, which was a quarter of a report's time; here each is filled in once what it holds is written.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dicom/report_internal.h"

static const E_TransferSyntax syntax = EXS_LittleEndianExplicit;

namespace
{
struct byte_writer {
    std::string bytes;
    std::vector<char> buffer = std::vector<char>(64 * 1024);
    DcmOutputBufferStream stream{buffer.data(), static_cast<offile_off_t>(buffer.size())};

    void drain()
    {
        void *piece = nullptr;
        offile_off_t size = 0;
        stream.flushBuffer(piece, size);
        bytes.append(static_cast<const char *>(piece), static_cast<size_t>(size));
    }
    /* What DCMTK writes in pieces as large as the buffer. */
    template <class write_piece> void all_of(DcmObject &object, write_piece piece)
    {
        OFCondition condition;
        object.transferInit();
        do {
            condition = piece();
            drain();
        } while (condition == EC_StreamNotifyClient);
        object.transferEnd();
        report_require(condition, "report: write the data set");
    }
    void number(size_t value, size_t size)
    {
        for (size_t i = 0; i < size; i++) bytes += static_cast<char>(value >> 8 * i & 0xff);
    }
    void tag(const DcmTagKey &key)
    {
        number(key.getGroup(), 2);
        number(key.getElement(), 2);
    }
    /* Room for a length of 32 bits, filled in by close. */
    size_t open()
    {
        number(0, 4);
        return bytes.size();
    }
    void close(size_t begin)
    {
        const size_t size = bytes.size() - begin;
        if (size > 0xfffffffeU) report_fail(COT_E_LIMIT, "report: a sequence is too long");
        for (size_t i = 0; i < 4; i++) bytes[begin - 4 + i] = static_cast<char>(size >> 8 * i & 0xff);
    }
};
} // namespace

static void put_item(byte_writer &to, DcmItem &item);

static void put_sequence(byte_writer &to, DcmSequenceOfItems &sequence)
{
    to.tag(sequence.getTag());
    to.bytes.append("SQ\0\0", 4);
    const size_t all = to.open();
    for (DcmObject *item = nullptr; (item = sequence.nextInContainer(item)) != nullptr;) {
        to.tag(DCM_Item);
        const size_t one = to.open();
        put_item(to, *static_cast<DcmItem *>(item));
        to.close(one);
    }
    to.close(all);
}

static void put_item(byte_writer &to, DcmItem &item)
{
    for (DcmObject *object = nullptr; (object = item.nextInContainer(object)) != nullptr;)
        if (object->ident() == EVR_SQ)
            put_sequence(to, *static_cast<DcmSequenceOfItems *>(object));
        else
            to.all_of(*object, [&] { return object->write(to.stream, syntax, EET_ExplicitLength, nullptr); });
}

std::string job_file(DcmFileFormat &file)
{
    byte_writer to;
    if (file.getDataset()->tagExists(DCM_PixelData)) /* it walks through everything, and text has one representation */
        report_require(file.chooseRepresentation(syntax, nullptr), "report: choose the transfer syntax");
    report_require(file.validateMetaInfo(syntax, EWM_createNewMeta), "report: file meta information");
    DcmMetaInfo &meta = *file.getMetaInfo();
    to.all_of(meta, [&] { return meta.write(to.stream, syntax, EET_ExplicitLength, nullptr); });
    put_item(to, *file.getDataset());
    return std::move(to.bytes);
}
