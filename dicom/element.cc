/* Checked access to data elements, see element.h. Invariant: nothing here trusts a VR, a multiplicity or a character set.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dicom/element.h"

#include <cmath>
#include <cstring>

DcmElement *element_find(DcmItem &item, const DcmTagKey &tag)
{
    DcmElement *element = nullptr;
    if (item.findAndGetElement(tag, element).bad() || !element) return nullptr;
    return element->getLength() > 0 ? element : nullptr;
}

cot_status element_us(size_t *out, DcmItem &item, const DcmTagKey &tag, size_t fallback, cot_error *err)
{
    *out = fallback;
    DcmElement *element = element_find(item, tag);
    if (!element) return COT_OK;
    Uint16 value = 0;
    DcmTag named(tag);
    if (element->ident() != EVR_US)
        return cot_fail(err, COT_E_INPUT, "%s (%04x,%04x) is encoded as %s, it must be US", named.getTagName(),
                        tag.getGroup(), tag.getElement(), DcmVR(element->ident()).getVRName());
    if (element->getUint16(value, 0).bad())
        return cot_fail(err, COT_E_INPUT, "%s (%04x,%04x) cannot be read", named.getTagName(), tag.getGroup(),
                        tag.getElement());
    *out = value;
    return COT_OK;
}

static bool is_decimal_string(const OFString &text)
{
    const size_t n = text.length();
    return n > 0 && n <= 16 && text.find_first_not_of("0123456789+-.eE") == OFString_npos &&
           text.find_first_of("0123456789") != OFString_npos;
}

static OFString trimmed(const OFString &text)
{
    const size_t first = text.find_first_not_of(OFString(" \t\0", 3));
    if (first == OFString_npos) return "";
    return text.substr(first, text.find_last_not_of(OFString(" \t\0", 3)) - first + 1);
}

bool element_number(double *out, DcmItem &item, const DcmTagKey &tag, unsigned long position)
{
    DcmElement *element = element_find(item, tag);
    if (!element || (element->ident() != EVR_DS && element->ident() != EVR_IS)) return false;
    OFString text;
    if (element->getOFString(text, position).bad()) return false;
    text = trimmed(text);
    OFBool read = OFFalse;
    const double value = is_decimal_string(text) ? OFStandard::atof(text.c_str(), &read) : 0;
    if (!read || !std::isfinite(value) || std::fabs(value) > 1e9) return false;
    *out = value;
    return true;
}

/* Copies at most size-1 bytes, never half a UTF-8 character; control characters become spaces. */
static void copy_utf8(char *to, size_t size, const OFString &text)
{
    size_t n = text.length() < size ? text.length() : size - 1;
    if (n < text.length())
        while (n > 0 && (static_cast<unsigned char>(text[n]) & 0xc0) == 0x80) n--;
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = static_cast<unsigned char>(text[i]);
        to[i] = c < 0x20 || c == 0x7f ? ' ' : static_cast<char>(c);
    }
    to[n] = 0;
}

/* A character set that cannot be converted still leaves the ASCII part readable. */
static OFString to_utf8(DcmItem &item, DcmElement &element, const OFString &text)
{
    bool ascii = true;
    for (const char c : text) ascii = ascii && static_cast<unsigned char>(c) < 0x80 && c != 0x1b;
    if (ascii) return text;
    DcmSpecificCharacterSet set;
    OFString converted;
    if (element.isAffectedBySpecificCharacterSet() && set.selectCharacterSet(item).good() &&
        set.convertString(text, converted).good())
        return converted;
    std::string japanese;
    if (element.isAffectedBySpecificCharacterSet() && japanese_text_to_utf8(japanese, item, text.c_str()))
        return OFString(japanese.c_str());
    converted = text;
    for (char &c : converted)
        if (static_cast<unsigned char>(c) >= 0x80) c = '?';
    return converted;
}

void element_text(char *to, size_t size, DcmItem &item, const DcmTagKey &tag, unsigned long position)
{
    to[0] = 0;
    DcmElement *element = element_find(item, tag);
    if (!element || !element->isaString()) return;
    OFString text;
    if (element->getOFStringArray(text).bad()) return;
    const bool shifted = text.find('\x1b') != OFString_npos; /* a backslash may be half a character then: one value */
    if (!shifted && element->getOFString(text, position).bad()) return;
    copy_utf8(to, size, trimmed(to_utf8(item, *element, text)));
}

DcmItem *element_item(DcmItem &item, const DcmTagKey &sequence)
{
    DcmElement *element = nullptr;
    if (item.findAndGetElement(sequence, element).bad() || !element || element->ident() != EVR_SQ) return nullptr;
    DcmSequenceOfItems *items = static_cast<DcmSequenceOfItems *>(element);
    return items->card() > 0 ? items->getItem(0) : nullptr;
}

size_t element_words(const Uint16 **words, DcmItem &item, const DcmTagKey &tag)
{
    DcmElement *element = element_find(item, tag);
    if (!element) return 0;
    const DcmEVR vr = element->getVR();
    if (vr != EVR_US && vr != EVR_SS && vr != EVR_OW && vr != EVR_xs && vr != EVR_lt) return 0;
    Uint16 *values = nullptr;
    if (vr == EVR_SS) {
        Sint16 *signed_values = nullptr;
        if (element->getSint16Array(signed_values).bad()) return 0;
        values = reinterpret_cast<Uint16 *>(signed_values);
    } else if (element->getUint16Array(values).bad()) {
        return 0;
    }
    *words = values;
    return values ? element->getLength() / 2 : 0;
}
