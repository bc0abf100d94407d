/* DIMSE commands of the receiving side (PS3.7 9.3, annex E) without DCMTK's recursive parser, and the file meta group
 * written before a received data set. Threads: any. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_DICOM_DIMSE_H
#define COT_DICOM_DIMSE_H
#include "dicom/internal.h"
#ifdef __cplusplus
extern "C" {
#endif

enum { DIMSE_C_STORE = 0x0001, DIMSE_C_ECHO = 0x0030, DIMSE_C_CANCEL = 0x0fff };
enum { COMMAND_BYTES_MAX = 16 * 1024, META_BYTES_MAX_WRITTEN = 640 };

typedef struct dimse_command {
    unsigned field, message_id;
    bool has_dataset;
    char sop_class[65], sop_instance[65]; /* "" when absent or no UID */
} dimse_command;
/* Parses a complete command set: group 0000, implicit little endian, flat. */
cot_status dimse_parse(dimse_command *out, const unsigned char *bytes, size_t size, cot_error *err);

/* Preamble, DICM and file meta group for a data set in `syntax`; returns the number of bytes. */
size_t dimse_file_meta(unsigned char out[META_BYTES_MAX_WRITTEN], const dimse_command *command, const char *syntax,
                       const char *calling);

#ifdef __cplusplus
}
#endif
#endif
