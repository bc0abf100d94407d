/* Inside plugin/: the image that `stepcot bench` reads when none is named. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_BENCH_FILE_H
#define COT_BENCH_FILE_H
#include "config/base.h"

/* Writes a drawn chest radiograph of side x side pixels (CR, PA, 12 bits in 16, explicit little endian, an invented
 * patient) as a Part 10 file to `path`. */
cot_status bench_file_write(const char *path, size_t side, cot_error *err);
#endif
