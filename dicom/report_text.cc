/* Text for Structured Reports: whatever comes in (model packages, schemas, headers) leaves as valid UTF-8 that fits its
 * value representation. Invalid bytes become U+FFFD, control characters a space; nothing is refused for its wording.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dicom/report_internal.h"

#include <cstdio>

/* Length of the well-formed UTF-8 sequence at s[at] (RFC 3629: no overlong forms, surrogates or beyond U+10FFFF), else 0. */
static size_t sequence_length(const std::string &s, size_t at)
{
    const auto byte = [&](size_t i) { return i < s.size() ? static_cast<unsigned char>(s[i]) : 0U; };
    const unsigned first = byte(at), second = byte(at + 1);
    if (first < 0x80) return 1;
    const size_t n = first >= 0xc2 && first <= 0xdf   ? 2
                     : (first & 0xf0) == 0xe0         ? 3
                     : first >= 0xf0 && first <= 0xf4 ? 4
                                                      : 0;
    if (n == 0 || (first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
        (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f))
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((byte(at + i) & 0xc0) != 0x80) return 0;
    return n;
}

bool text_utf8_valid(const std::string &bytes)
{
    for (size_t at = 0, n; at < bytes.size(); at += n)
        if (!(n = sequence_length(bytes, at))) return false;
    return true;
}

static std::string trimmed(const std::string &s)
{
    const size_t first = s.find_first_not_of(" \r\n"), last = s.find_last_not_of(" \r\n");
    return first == std::string::npos ? "" : s.substr(first, last - first + 1);
}

std::string text_clean(const std::string &bytes)
{
    std::string out;
    for (size_t at = 0, n; at < bytes.size(); at += n) {
        n = sequence_length(bytes, at);
        const auto c = static_cast<unsigned char>(bytes[at]);
        const bool c1 = n == 2 && c == 0xc2 && static_cast<unsigned char>(bytes[at + 1]) < 0xa0;
        if (n == 0) {
            out += "\xef\xbf\xbd";
            n = 1;
        } else if (c == '\n') {
            if (!out.empty() && out.back() == '\r') out.pop_back();
            out += "\r\n";
        } else if (c == '\r' && at + 1 < bytes.size() && bytes[at + 1] == '\n') {
            out += '\r';
        } else if (c < 0x20 || c == 0x7f || c1) {
            out += ' ';
        } else {
            out.append(bytes, at, n);
        }
    }
    return trimmed(out);
}

/* Byte offset behind the first `characters` characters of clean text. */
static size_t offset_after(const std::string &clean, size_t from, size_t characters)
{
    size_t at = from;
    for (size_t i = 0; i < characters && at < clean.size(); i++) at += sequence_length(clean, at);
    return at;
}

std::string text_line(const std::string &bytes, size_t characters)
{
    std::string line = text_clean(bytes);
    for (char &c : line)
        if (c == '\r' || c == '\n')
            c = ' ';
        else if (c == '\\')
            c = '/';
    return trimmed(line.substr(0, offset_after(line, 0, characters)));
}

std::vector<std::string> text_split(const std::string &clean, size_t characters)
{
    std::vector<std::string> pieces;
    for (size_t from = 0; from < clean.size();) {
        size_t to = offset_after(clean, from, characters);
        if (to < clean.size()) {
            const size_t space = clean.find_last_of(" \n", to);
            if (space != std::string::npos && space > from) to = space + (space < to);
        }
        const std::string piece = trimmed(clean.substr(from, to - from));
        if (!piece.empty()) pieces.push_back(piece);
        from = to;
    }
    return pieces;
}

std::string text_percent(double fraction)
{
    char text[32];
    snprintf(text, sizeof text, "%.1f", fraction * 100);
    return text;
}
