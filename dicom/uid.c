/* Name-based UIDs: the same name gives the same UID on every machine, so that a report that is made again is the same
 * object. RFC 4122 version 5 (SHA-1 over a namespace and the name), written as PS3.5 B.2 says ("2.25." and the UUID as
 * one decimal number) or, under an organisation's own root, as that number's last digits, as many as 64 characters allow.
 * Threads: any. SPDX-License-Identifier: Apache-2.0 */
#include "dicom/dicom.h"
#include <openssl/evp.h>
#include <string.h>

enum { UUID_BYTES = 16, UUID_DIGITS = 39, UID_CHARACTERS = 64, FEWEST_DIGITS = 20 };

/* Namespace of this program's names: the UUID 6f0c4c52-5c07-5e9b-8d0a-3c1b6c1d7a55, drawn once. */
static const unsigned char name_space[UUID_BYTES] = {0x6f, 0x0c, 0x4c, 0x52, 0x5c, 0x07, 0x5e, 0x9b,
                                                     0x8d, 0x0a, 0x3c, 0x1b, 0x6c, 0x1d, 0x7a, 0x55};

/* False when libcrypto has no SHA-1 (a FIPS-only provider). */
static bool uuid5(unsigned char uuid[UUID_BYTES], const char *name)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha1(), NULL) == 1 &&
                    EVP_DigestUpdate(ctx, name_space, sizeof name_space) == 1 &&
                    EVP_DigestUpdate(ctx, name, strlen(name)) == 1 && EVP_DigestFinal_ex(ctx, digest, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    if (!ok) return false;
    memcpy(uuid, digest, UUID_BYTES);
    uuid[6] = (unsigned char)((uuid[6] & 0x0f) | 0x50);
    uuid[8] = (unsigned char)((uuid[8] & 0x3f) | 0x80);
    return true;
}

/* The 128-bit big-endian number as decimal digits without leading zeros; returns how many. */
static size_t decimal(char digits[UUID_DIGITS + 1], unsigned char number[UUID_BYTES])
{
    char reversed[UUID_DIGITS];
    size_t n = 0;
    bool rest = true;
    while (rest && n < UUID_DIGITS) {
        unsigned remainder = 0;
        rest = false;
        for (size_t i = 0; i < UUID_BYTES; i++) {
            const unsigned part = remainder << 8 | number[i];
            number[i] = (unsigned char)(part / 10);
            remainder = part % 10;
            rest = rest || number[i];
        }
        reversed[n++] = (char)('0' + remainder);
    }
    for (size_t i = 0; i < n; i++) digits[i] = reversed[n - 1 - i];
    digits[n] = 0;
    return n;
}

/* A root that leaves room for enough digits: components of digits without leading zeros, joined by single dots. */
static bool root_usable(const char *root)
{
    const size_t n = strlen(root);
    if (n == 0 || n + 1 + FEWEST_DIGITS > UID_CHARACTERS) return false;
    for (size_t i = 0; i < n; i++) {
        const bool digit = root[i] >= '0' && root[i] <= '9';
        const bool starts = i == 0 || root[i - 1] == '.';
        if (!digit && (root[i] != '.' || starts || i + 1 == n)) return false;
        if (starts && root[i] == '0' && i + 1 < n && root[i + 1] != '.') return false;
    }
    return true;
}

void cot_uid_derive(char uid[65], const char *root, const char *name)
{
    unsigned char uuid[UUID_BYTES];
    char digits[UUID_DIGITS + 1];
    if (!root || !root_usable(root)) root = "2.25";
    uid[0] = 0; /* an empty UID is refused wherever it would be written */
    if (!uuid5(uuid, name)) return;
    const size_t n = decimal(digits, uuid), room = UID_CHARACTERS - strlen(root) - 1;
    const char *from = n > room ? digits + n - room : digits;
    while (from[0] == '0' && from[1]) from++;
    snprintf(uid, 65, "%s.%s", root, from);
}
