/* UTF-8 by the table of Unicode 3.9 (D92): no overlong forms, no surrogates, nothing above U+10FFFF.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/utf8.h"

#include <string.h>

size_t utf8_next(const char *s, uint32_t *code)
{
    const unsigned char *b = (const unsigned char *)s;
    const size_t n = b[0] < 0x80                   ? 1
                     : b[0] >= 0xc2 && b[0] < 0xe0 ? 2
                     : (b[0] & 0xf0) == 0xe0       ? 3
                     : b[0] >= 0xf0 && b[0] < 0xf5 ? 4
                                                   : 0;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (n <= 1) {
        *code = b[0];
        return n;
    }
    uint32_t c = b[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((b[i] & 0xc0) != 0x80) return 0; /* the NUL ends here too */
        c = c << 6 | (b[i] & 0x3fu);
    }
    if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) return 0;
    *code = c;
    return n;
}

bool utf8_valid(const char *s)
{
    uint32_t code;
    while (*s) {
        const size_t n = utf8_next(s, &code);
        if (!n) return false;
        s += n;
    }
    return true;
}

static bool is_control(uint32_t c)
{
    /* C0, DEL, C1, and the marks that reorder or hide text */
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2060 && c <= 0x2069) || c == 0xfeff;
}

void utf8_clean(char *to, size_t size, const char *from)
{
    size_t at = 0;
    uint32_t code;
    while (*from) {
        const size_t n = utf8_next(from, &code);
        const bool keep = n && !is_control(code);
        const size_t wanted = keep ? n : 1;
        if (at + wanted >= size) break;
        if (keep)
            memcpy(to + at, from, n);
        else
            to[at] = '?';
        at += wanted;
        from += n ? n : 1;
    }
    to[at] = 0;
}

static size_t columns_of(uint32_t c)
{
    if ((c >= 0x300 && c <= 0x36f) || (c >= 0x1ab0 && c <= 0x1aff) || (c >= 0x20d0 && c <= 0x20ff) ||
        (c >= 0xfe00 && c <= 0xfe0f) || (c >= 0xfe20 && c <= 0xfe2f))
        return 0;
    return (c >= 0x1100 && c <= 0x115f) || (c >= 0x2e80 && c <= 0xa4cf) || (c >= 0xac00 && c <= 0xd7a3) ||
                   (c >= 0xf900 && c <= 0xfaff) || (c >= 0xfe30 && c <= 0xfe6f) || (c >= 0xff00 && c <= 0xff60) ||
                   (c >= 0xffe0 && c <= 0xffe6) || (c >= 0x1f300 && c <= 0x1faff) || (c >= 0x20000 && c <= 0x3fffd)
               ? 2
               : 1;
}

size_t utf8_fit(const char *s, size_t columns, size_t *used)
{
    size_t at = 0;
    *used = 0;
    while (s[at]) {
        uint32_t code;
        size_t n = utf8_next(s + at, &code);
        if (!n) n = 1, code = '?';
        const size_t w = columns_of(code);
        if (*used + w > columns) break;
        *used += w;
        at += n;
    }
    return at;
}

size_t utf8_width(const char *s)
{
    size_t used;
    utf8_fit(s, SIZE_MAX / 2, &used);
    return used;
}
