/* Fuzz target for the guard, built by hand with clang (libFuzzer), not by CMake:
 *   clang -g -O1 -std=c11 -D_GNU_SOURCE -I. -fsanitize=fuzzer,address,undefined tests/fuzz_guard.c dicom/guard.c \
 *         dicom/guard_bytes.c dicom/syntax.c config/base.c -lcrypto -o /tmp/fuzz_guard
 *   /tmp/fuzz_guard -max_len=65536 -max_total_time=600 FOLDER_OF_SEEDS tests/data/dicom
 * The same mutations that test_guard.c uses come from guard_seed.h. SPDX-License-Identifier: Apache-2.0 */
#include "dicom/dicom.h"
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cot_dicom_head head;
    cot_error err = COT_ERROR_INIT;
    char path[64];
    const int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (cot_dicom_guard(&head, path, NULL, &err) != COT_OK && !err.text[0]) abort(); /* a refusal without a reason */
    close(fd);
    return 0;
}
