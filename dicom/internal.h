/* What files of this folder share below dicom.h, in C: name tables, little helpers on bytes.
 * Threads: any. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_DICOM_INTERNAL_H
#define COT_DICOM_INTERNAL_H
#include "dicom/dicom.h"
#ifdef __cplusplus
extern "C" {
#endif

#define SYNTAX_IMPLICIT_LE "1.2.840.10008.1.2"
#define SYNTAX_EXPLICIT_LE "1.2.840.10008.1.2.1"
#define SYNTAX_EXPLICIT_BE "1.2.840.10008.1.2.2"
#define SYNTAX_DEFLATED    "1.2.840.10008.1.2.1.99"
#define CLASS_VERIFICATION "1.2.840.10008.1.1"

/* Is `uid` in a NULL-terminated list? */
bool uid_listed(const char *const *list, const char *uid);
/* Digits and single dots, 1 to 64 characters, as PS3.5 9.1 (leading zeros are tolerated: they occur). */
bool uid_valid(const char *uid);
/* An AE title as PS3.5 6.2 without its padding: copies up to 16 bytes, trims spaces; false when a character is not
 * printable ASCII or is a backslash, or when nothing is left. */
bool ae_copy(char title[17], const unsigned char *field, size_t size);

/* Why an A-ASSOCIATE-RQ is answered with A-ASSOCIATE-RJ (PS3.8 9.3.4); result 0: it is answered with A-ABORT. */
typedef struct association_reject {
    unsigned char result, source, reason;
} association_reject;
cot_status aarq_check(const unsigned char *pdu, size_t size, char calling[17], char called[17],
                      association_reject *reject, cot_error *err);

#ifdef __cplusplus
}
#endif
#endif
