/* Text that came from elsewhere, made safe to show: valid UTF-8, no control characters, known width.
 * Threads: any thread. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_UTF8_H
#define COT_UTF8_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length in bytes (1 to 4) of the character at s, *code its number; 0 when the bytes are not well-formed UTF-8. */
size_t utf8_next(const char *s, uint32_t *code);
bool utf8_valid(const char *s);
/* Copies what fits as whole characters; malformed bytes and control characters become '?'. */
void utf8_clean(char *to, size_t size, const char *from);
/* Terminal columns: 0 for combining marks, 2 for East Asian wide characters. */
size_t utf8_width(const char *s);
/* How many bytes of s fill at most `columns`; *used = the columns they take. */
size_t utf8_fit(const char *s, size_t columns, size_t *used);
#endif
