/* The few elements of a command set this node needs, walked flat and bounded, and the file meta group (PS3.10 7.1).
 * Threads: any. SPDX-License-Identifier: Apache-2.0 */
#include "dicom/dimse.h"
#include <string.h>

static unsigned le16(const unsigned char *p)
{
    return (unsigned)p[1] << 8 | p[0];
}
static uint32_t le32(const unsigned char *p)
{
    return (uint32_t)le16(p + 2) << 16 | le16(p);
}

/* A UI value without its padding; left empty when it is no UID. */
static void keep_uid(char uid[65], const unsigned char *value, size_t n)
{
    while (n && (value[n - 1] == 0 || value[n - 1] == ' ')) n--;
    if (n > 64 || memchr(value, 0, n)) return;
    memcpy(uid, value, n);
    uid[n] = 0;
    if (!uid_valid(uid)) uid[0] = 0;
}

cot_status dimse_parse(dimse_command *out, const unsigned char *bytes, size_t size, cot_error *err)
{
    bool has_field = false, has_id = false, has_type = false;
    *out = (dimse_command){0};
    for (size_t at = 0; at < size;) {
        if (size - at < 8) return cot_fail(err, COT_E_INPUT, "command set: %zu stray bytes at its end", size - at);
        const unsigned group = le16(bytes + at), element = le16(bytes + at + 2);
        const size_t n = le32(bytes + at + 4);
        const unsigned char *value = bytes + at + 8;
        if (group != 0) return cot_fail(err, COT_E_INPUT, "command set: element of group %04x", group);
        if (n > size - at - 8)
            return cot_fail(err, COT_E_INPUT, "command set: (0000,%04x) claims %zu bytes of %zu", element, n,
                            size - at - 8);
        at += 8 + n;
        if (element == 0x0100 && n == 2) out->field = le16(value), has_field = true;
        if (element == 0x0110 && n == 2) out->message_id = le16(value), has_id = true;
        if (element == 0x0800 && n == 2) out->has_dataset = le16(value) != 0x0101, has_type = true;
        if (element == 0x0002) keep_uid(out->sop_class, value, n);
        if (element == 0x1000) keep_uid(out->sop_instance, value, n);
    }
    if (!has_field || !has_type || (!has_id && out->field != DIMSE_C_CANCEL))
        return cot_fail(err, COT_E_INPUT, "command set: Command Field, Message ID or Data Set Type is missing");
    return COT_OK;
}

/* One explicit little endian element, padded to even length. */
static size_t put(unsigned char *to, unsigned element, const char *vr, const void *value, size_t n, unsigned char pad)
{
    const bool wide = strcmp(vr, "OB") == 0;
    const size_t even = n + n % 2, header = wide ? 12 : 8;
    const unsigned char start[] = {2, 0, (unsigned char)element, 0, (unsigned char)vr[0], (unsigned char)vr[1]};
    memset(to, 0, header);
    memcpy(to, start, sizeof start);
    to[wide ? 8 : 6] = (unsigned char)even;
    memcpy(to + header, value, n);
    if (even > n) to[header + n] = pad;
    return header + even;
}

size_t dimse_file_meta(unsigned char out[META_BYTES_MAX_WRITTEN], const dimse_command *command, const char *syntax,
                       const char *calling)
{
    static const char version[] = "STEPCOT_" COT_VERSION;
    enum { GROUP = 128 + 4, FIRST = GROUP + 12 };
    char implementation[65];
    size_t n = FIRST;
    cot_uid_derive(implementation, NULL, "stepcot implementation class");
    memset(out, 0, 128);
    memcpy(out + 128, "DICM", 4);
    n += put(out + n, 0x01, "OB", "\0\1", 2, 0);
    n += put(out + n, 0x02, "UI", command->sop_class, strlen(command->sop_class), 0);
    n += put(out + n, 0x03, "UI", command->sop_instance, strlen(command->sop_instance), 0);
    n += put(out + n, 0x10, "UI", syntax, strlen(syntax), 0);
    n += put(out + n, 0x12, "UI", implementation, strlen(implementation), 0);
    n += put(out + n, 0x13, "SH", version, strlen(version), ' ');
    n += put(out + n, 0x16, "AE", calling, strlen(calling), ' ');
    const size_t bytes = n - FIRST; /* < 640 */
    put(out + GROUP, 0x00, "UL", (const unsigned char[]){(unsigned char)bytes, (unsigned char)(bytes >> 8), 0, 0}, 4,
        0);
    return n;
}
