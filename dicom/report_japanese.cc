/* Japanese text to UTF-8. DCMTK leaves this to iconv's ISO-IR-13, -87 and -159, which glibc does not have, so that Debian's
 * DCMTK cannot read a Japanese hospital's names. glibc's ISO-2022-JP-2 knows the same escape sequences (PS3.3 C.12.1.1.2,
 * PS3.5 H); only the half-width katakana in the upper half of JIS X 0201 are converted by hand.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dicom/element.h"
#include "dicom/report_internal.h"

#include <algorithm>
#include <iconv.h>

/* Values of Specific Character Set that this file can read: 0 another one, 1 ASCII (or none), 2 Japanese. */
static int kind_of_set(const std::string &name)
{
    static const char *const ascii[] = {"", "ISO_IR 6", "ISO 2022 IR 6"};
    static const char *const japanese[] = {"ISO_IR 13", "ISO 2022 IR 13", "ISO 2022 IR 87", "ISO 2022 IR 159"};
    for (const char *known : ascii)
        if (name == known) return 1;
    for (const char *known : japanese)
        if (name == known) return 2;
    return 0;
}

/* The most Japanese of the declared sets; 0 when one of them is not ours. */
static int kind_of_sets(DcmItem &item)
{
    OFString value;
    item.findAndGetOFStringArray(DCM_SpecificCharacterSet, value);
    const std::string sets = value.c_str();
    int kind = 1;
    for (size_t from = 0; from <= sets.size();) {
        const size_t to = std::min(sets.find('\\', from), sets.size());
        const int one = kind_of_set(text_line(sets.substr(from, to - from), SHORT_STRING_CHARACTERS));
        if (one == 0) return 0;
        kind = std::max(kind, one);
        from = to + 1;
    }
    return kind;
}

/* ISO-2022-JP-2 (7 bit) to UTF-8, appended; false when it is not that. */
static bool append_iso2022(std::string &out, std::string &in, iconv_t converter)
{
    char buffer[4096];
    char *from = in.data();
    size_t left = in.size();
    while (left) {
        char *to = buffer;
        size_t room = sizeof buffer;
        const size_t before = left;
        iconv(converter, &from, &left, &to, &room);
        out.append(buffer, sizeof buffer - room);
        if (left == before) return false;
    }
    in.clear();
    return true;
}

static bool convert(std::string &out, const std::string &bytes, iconv_t converter)
{
    std::string seven_bit;
    iconv(converter, nullptr, nullptr, nullptr, nullptr);
    for (size_t at = 0; at < bytes.size(); at++) {
        const auto c = static_cast<unsigned char>(bytes[at]);
        if (bytes.compare(at, 3, "\x1b)I") == 0) { /* katakana to the upper half: it is always there for us */
            at += 2;
        } else if (bytes.compare(at, 3, "\x1b(J") == 0) { /* JIS Roman as ASCII: a backslash stays a delimiter */
            seven_bit += "\x1b(B";
            at += 2;
        } else if (c < 0x80) {
            seven_bit += static_cast<char>(c);
        } else if (c >= 0xa1 && c <= 0xdf) { /* U+FF61 ... U+FF9F */
            if (!append_iso2022(out, seven_bit, converter)) return false;
            const unsigned code = 0xff61U + (c - 0xa1U);
            out += {static_cast<char>(0xe0 | code >> 12), static_cast<char>(0x80 | (code >> 6 & 0x3f)),
                    static_cast<char>(0x80 | (code & 0x3f))};
        } else {
            return false;
        }
    }
    return append_iso2022(out, seven_bit, converter);
}

static bool convert_element(DcmElement &element, iconv_t converter)
{
    char *bytes = nullptr;
    Uint32 size = 0;
    std::string text;
    if (!element.isAffectedBySpecificCharacterSet() || element.getString(bytes, size).bad() || !bytes) return true;
    return convert(text, std::string(bytes, size), converter) &&
           element.putString(text.c_str(), static_cast<Uint32>(text.size())).good();
}

/* Every text below `item`; nested declarations must be Japanese too and fall away. */
static bool convert_item(DcmItem &item, iconv_t converter)
{
    if (kind_of_sets(item) == 0) return false;
    delete item.remove(DCM_SpecificCharacterSet);
    for (unsigned long i = 0; i < item.card(); i++) {
        DcmElement *element = item.getElement(i);
        if (element->ident() == EVR_SQ) {
            auto *sequence = static_cast<DcmSequenceOfItems *>(element);
            for (unsigned long k = 0; k < sequence->card(); k++)
                if (!convert_item(*sequence->getItem(k), converter)) return false;
        } else if (!convert_element(*element, converter)) {
            return false;
        }
    }
    return true;
}

bool japanese_text_to_utf8(std::string &out, DcmItem &item, const std::string &bytes)
{
    DcmItem *declares = &item; /* items inherit the character set of what holds them */
    while (!declares->tagExists(DCM_SpecificCharacterSet) && declares->getParentItem())
        declares = declares->getParentItem();
    if (kind_of_sets(*declares) != 2) return false;
    const iconv_t converter = iconv_open("UTF-8", "ISO-2022-JP-2");
    if (converter == reinterpret_cast<iconv_t>(-1)) return false;
    out.clear();
    const bool good = convert(out, bytes, converter);
    iconv_close(converter);
    return good;
}

bool japanese_to_utf8(DcmItem &item)
{
    if (kind_of_sets(item) != 2) return false;
    const iconv_t converter = iconv_open("UTF-8", "ISO-2022-JP-2");
    if (converter == reinterpret_cast<iconv_t>(-1)) return false;
    const bool good = convert_item(item, converter);
    iconv_close(converter);
    return good;
}
