/* A drawn radiograph as a Part 10 file (bench_file.h): two dark lungs before a bright body, with grain, so that every
 * stage has its usual work. Written element by element, because plugin/ links no DICOM toolkit.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/bench_file.h"

#include <stdlib.h>
#include <string.h>

typedef struct part10 {
    unsigned char *data;
    size_t size, room;
} part10;

/* The room is reserved by bench_file_write and large enough for every element below. */
static void put(part10 *f, const void *data, size_t size)
{
    if (size > f->room - f->size) return;
    memcpy(f->data + f->size, data, size);
    f->size += size;
}

static void put_number(part10 *f, uint32_t value, size_t bytes)
{
    unsigned char le[4];
    for (size_t i = 0; i < bytes; i++) le[i] = (unsigned char)(value >> (8 * i));
    put(f, le, bytes);
}

static void put_head(part10 *f, uint32_t tag, const char *vr, size_t size)
{
    const bool wide = !strcmp(vr, "OW") || !strcmp(vr, "OB");
    put_number(f, tag >> 16, 2);
    put_number(f, tag & 0xffff, 2);
    put(f, vr, 2);
    if (wide) put_number(f, 0, 2);
    put_number(f, (uint32_t)size, wide ? 4 : 2);
}

static void put_text(part10 *f, uint32_t tag, const char *vr, const char *text)
{
    const size_t n = strlen(text);
    put_head(f, tag, vr, n + n % 2);
    put(f, text, n);
    if (n % 2) put(f, strcmp(vr, "UI") ? " " : "", 1);
}

static void put_short(part10 *f, uint32_t tag, size_t value)
{
    put_head(f, tag, "US", 2);
    put_number(f, (uint32_t)value, 2);
}

#define CR_STORAGE      "1.2.840.10008.5.1.4.1.1.1"
#define EXPLICIT_LITTLE "1.2.840.10008.1.2.1"
#define INSTANCE        "2.25.271828182845904523536028747135266249"

static void put_meta(part10 *f)
{
    static const char preamble[128];
    put(f, preamble, sizeof preamble);
    put(f, "DICM", 4);
    put_head(f, 0x00020000, "UL", 4);
    const size_t at = f->size;
    put_number(f, 0, 4);
    put_head(f, 0x00020001, "OB", 2);
    put_number(f, 0x0100, 2);
    put_text(f, 0x00020002, "UI", CR_STORAGE);
    put_text(f, 0x00020003, "UI", INSTANCE);
    put_text(f, 0x00020010, "UI", EXPLICIT_LITTLE);
    put_text(f, 0x00020012, "UI", "2.25.314159265358979323846264338327950288");
    const size_t end = f->size, length = end - at - 4;
    f->size = at;
    put_number(f, (uint32_t)length, 4);
    f->size = end;
}

static void put_header(part10 *f, size_t side)
{
    put_text(f, 0x00080008, "CS", "ORIGINAL\\PRIMARY");
    put_text(f, 0x00080016, "UI", CR_STORAGE);
    put_text(f, 0x00080018, "UI", INSTANCE);
    put_text(f, 0x00080020, "DA", "20200101");
    put_text(f, 0x00080030, "TM", "120000");
    put_text(f, 0x00080050, "SH", "");
    put_text(f, 0x00080060, "CS", "CR");
    put_text(f, 0x00080090, "PN", "");
    put_text(f, 0x00100010, "PN", "Drawn^Image");
    put_text(f, 0x00100020, "LO", "BENCH");
    put_text(f, 0x00100030, "DA", "");
    put_text(f, 0x00100040, "CS", "O");
    put_text(f, 0x00180015, "CS", "CHEST");
    put_text(f, 0x00185101, "CS", "PA");
    put_text(f, 0x0020000d, "UI", INSTANCE ".1");
    put_text(f, 0x0020000e, "UI", INSTANCE ".2");
    put_text(f, 0x00200010, "SH", "1");
    put_text(f, 0x00200011, "IS", "1");
    put_text(f, 0x00200013, "IS", "1");
    put_short(f, 0x00280002, 1);
    put_text(f, 0x00280004, "CS", "MONOCHROME2");
    put_short(f, 0x00280010, side);
    put_short(f, 0x00280011, side);
    put_short(f, 0x00280100, 16);
    put_short(f, 0x00280101, 12);
    put_short(f, 0x00280102, 11);
    put_short(f, 0x00280103, 0);
}

/* Grey of one pixel; u, v from 0 to 1 across and down. */
static uint32_t grey_at(double u, double v, size_t grain)
{
    const double right = (u - 0.32) / 0.14, left = (u - 0.68) / 0.14, down = (v - 0.47) / 0.32;
    const bool lung = right * right + down * down < 1.0 || left * left + down * down < 1.0;
    const bool rib = lung && (unsigned)(v * 40.0) % 4 == 0;
    return (uint32_t)(lung ? 900.0 + 500.0 * v : 2400.0 + 900.0 * v) + (rib ? 350u : 0u) + (uint32_t)(grain % 97);
}

cot_status bench_file_write(const char *path, size_t side, cot_error *err)
{
    part10 f = {NULL, 0, 4096 + side * side * 2};
    if (side < 1 || side > 8192) return cot_fail(err, COT_E_BUG, "draw an image of %zu pixels", side);
    f.data = malloc(f.room);
    if (!f.data) return cot_fail(err, COT_E_MEMORY, "draw an image: no memory");
    put_meta(&f);
    put_header(&f, side);
    put_head(&f, 0x7fe00010, "OW", side * side * 2);
    for (size_t r = 0; r < side; r++)
        for (size_t c = 0; c < side; c++)
            put_number(&f, grey_at((double)c / (double)side, (double)r / (double)side, r * 31 + c * 17), 2);
    const cot_status status = cot_file_write_durable(path, f.data, f.size, err);
    free(f.data);
    return status;
}
