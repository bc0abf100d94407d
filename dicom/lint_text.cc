/* R16: text in valid UTF-8, of the length its value representation allows, without control characters. What was taken over
 * from the image keeps the image's lengths: it must be equal to the image's (R17). SPDX-License-Identifier: Apache-2.0 */
#include "dicom/lint.h"

#include <unordered_map>

static const char advice[] = "shorten or clean the text where it is made";

static bool is_valid(const std::string &text)
{
    return text.find('\0') == std::string::npos && text_utf8_valid(text);
}

static bool has_control(const std::string &text, bool lines)
{
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte == 0x7f || (byte < 0x20 && !(lines && (c == '\r' || c == '\n')))) return true;
    }
    return false;
}

static size_t longest_component(const std::string &text)
{
    size_t longest = 0, n = 0;
    for (const char c : text) {
        if (c == '\\')
            n = 0;
        else if ((static_cast<unsigned char>(c) & 0xc0) != 0x80)
            n++;
        longest = n > longest ? n : longest;
    }
    return longest;
}

struct text_walk {
    lint_session &s;
    const lint_report &report;
    std::unordered_map<DcmItem *, const lint_item *> items;
};

static void check_text(const text_walk &w, const lint_item *item, DcmElement &element, bool taken_over)
{
    char *bytes = nullptr;
    Uint32 size = 0;
    if (element.getString(bytes, size).bad() || !bytes) return;
    const std::string text(bytes, size);
    const DcmEVR vr = element.ident();
    const auto say = [&](const std::string &what) { /* the name is looked up for a finding only */
                                                    w.s.say("R16", w.report, item,
                                                            DcmTag(element.getTag()).getTagName() + what, advice);
    };
    if (!is_valid(text)) say(" is not valid UTF-8");
    if (taken_over) return;
    if (has_control(text, vr == EVR_ST || vr == EVR_LT || vr == EVR_UT)) say(" has control characters");
    const size_t most = vr == EVR_SH ? SHORT_STRING_CHARACTERS : vr == EVR_LO ? LONG_STRING_CHARACTERS : 0;
    if (most && text.size() > most && longest_component(text) > most)
        say(" is longer than " + std::to_string(most) + " characters");
}

static void walk(const text_walk &w, const lint_item *item, DcmItem &data, bool taken_over)
{
    const auto known = w.items.find(&data);
    if (known != w.items.end()) item = known->second;
    for (DcmObject *object = nullptr; (object = data.nextInContainer(object)) != nullptr;) {
        auto &element = static_cast<DcmElement &>(*object);
        const bool ours = !taken_over && !(item == nullptr && source_takes_over(element.getTag()));
        if (element.ident() == EVR_SQ) {
            for (DcmObject *of = nullptr; (of = element.nextInContainer(of)) != nullptr;)
                walk(w, item, *static_cast<DcmItem *>(of), !ours);
        } else if (element.isaString()) {
            check_text(w, item, element, !ours);
        }
    }
}

void lint_text(lint_session &s, lint_report &report)
{
    if (lint_string(report.data(), DCM_SpecificCharacterSet) != "ISO_IR 192")
        s.say("R16", report, nullptr, "Specific Character Set is not ISO_IR 192", "write UTF-8 and say so");
    text_walk w = {s, report, {}};
    for (const lint_item *item : report.items)
        if (item->parent) w.items[item->data] = item;
    walk(w, nullptr, report.data(), false);
}
