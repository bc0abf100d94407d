/* The names this node negotiates: transfer syntaxes it can decode and storage classes it takes, and the forms of UIDs and
 * AE titles. Threads: any. SPDX-License-Identifier: Apache-2.0 */
#include "dicom/internal.h"
#include <string.h>

/* In order of preference where the choice is ours. */
static const char *const syntaxes[] = {
    SYNTAX_EXPLICIT_LE,
    SYNTAX_IMPLICIT_LE,
    SYNTAX_EXPLICIT_BE,
    "1.2.840.10008.1.2.5",    /* RLE Lossless */
    "1.2.840.10008.1.2.4.70", /* JPEG Lossless, Process 14, selection value 1 */
    "1.2.840.10008.1.2.4.57", /* JPEG Lossless, Process 14 */
    "1.2.840.10008.1.2.4.80", /* JPEG-LS lossless */
    "1.2.840.10008.1.2.4.90", /* JPEG 2000 lossless */
    "1.2.840.10008.1.2.4.81", /* JPEG-LS near-lossless */
    "1.2.840.10008.1.2.4.91", /* JPEG 2000 */
    "1.2.840.10008.1.2.4.51", /* JPEG Extended */
    "1.2.840.10008.1.2.4.50", /* JPEG Baseline */
    NULL,
};
static const char *const storage_classes[] = {
    "1.2.840.10008.5.1.4.1.1.1",     /* Computed Radiography Image Storage */
    "1.2.840.10008.5.1.4.1.1.1.1",   /* Digital X-Ray Image Storage - For Presentation */
    "1.2.840.10008.5.1.4.1.1.1.1.1", /* Digital X-Ray Image Storage - For Processing */
    "1.2.840.10008.5.1.4.1.1.7",     /* Secondary Capture Image Storage */
    NULL,
};

const char *const *cot_dicom_syntaxes(void)
{
    return syntaxes;
}
const char *const *cot_dicom_storage_classes(void)
{
    return storage_classes;
}

bool uid_listed(const char *const *list, const char *uid)
{
    while (*list && strcmp(*list, uid) != 0) list++;
    return *list != NULL;
}

bool uid_valid(const char *uid)
{
    size_t n = 0;
    for (; uid[n]; n++) {
        const bool digit = uid[n] >= '0' && uid[n] <= '9';
        if (!digit && (uid[n] != '.' || n == 0 || uid[n - 1] == '.')) return false;
    }
    return n > 0 && n <= 64 && uid[n - 1] != '.';
}

bool ae_copy(char title[17], const unsigned char *field, size_t size)
{
    if (size > 16) size = 16;
    while (size && field[size - 1] == ' ') size--;
    while (size && *field == ' ') field++, size--;
    for (size_t i = 0; i < size; i++)
        if (field[i] < 0x20 || field[i] > 0x7e || field[i] == '\\') return false;
    memcpy(title, field, size);
    title[size] = 0;
    return size > 0;
}
