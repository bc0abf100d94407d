/* Writes a small chest radiograph as a Part 10 file (CR, explicit little endian, 12 bit in 16) with an invented patient:
 * a bright oval in front of a gradient, different for each seed. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_CR_FILE_H
#define COT_CR_FILE_H
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct cr_options {
    unsigned seed;         /* into UIDs and pixels */
    unsigned image;        /* further images of the study: 1, 2, … */
    unsigned pixels_seed;  /* other bytes under the same UIDs */
    unsigned side;         /* rows and columns, 0: 512 */
    const char *body_part; /* NULL: CHEST */
    const char *view;      /* NULL: PA */
} cr_options;

static inline void cr_element(FILE *f, unsigned group, unsigned element, const char *vr, const void *value, size_t size)
{
    const unsigned char tag[4] = {(unsigned char)group, (unsigned char)(group >> 8), (unsigned char)element,
                                  (unsigned char)(element >> 8)};
    const size_t padded = size + size % 2;
    const uint32_t bytes = (uint32_t)padded;
    const uint16_t bytes16 = (uint16_t)padded;
    fwrite(tag, 1, 4, f);
    fwrite(vr, 1, 2, f);
    if (!strcmp(vr, "OW") || !strcmp(vr, "OB")) {
        fwrite("\0", 1, 2, f);
        fwrite(&bytes, 4, 1, f);
    } else {
        fwrite(&bytes16, 2, 1, f);
    }
    fwrite(value, 1, size, f);
    if (size % 2) fputc(!strcmp(vr, "UI") || !strcmp(vr, "OB") ? 0 : ' ', f);
}
static inline void cr_text(FILE *f, unsigned group, unsigned element, const char *vr, const char *value)
{
    cr_element(f, group, element, vr, value, strlen(value));
}
static inline void cr_short(FILE *f, unsigned group, unsigned element, unsigned value)
{
    const uint16_t v = (uint16_t)value;
    cr_element(f, group, element, "US", &v, 2);
}

static inline void cr_pixels(FILE *f, unsigned side, unsigned seed)
{
    uint16_t *px = malloc((size_t)side * side * sizeof *px);
    if (!px) return;
    const double cx = side * (0.35 + 0.01 * (seed % 30)), cy = side * 0.5;
    for (unsigned r = 0; r < side; r++)
        for (unsigned c = 0; c < side; c++) {
            const double dx = (c - cx) / (side * 0.2), dy = (r - cy) / (side * 0.35);
            px[(size_t)r * side + c] =
                (uint16_t)(500 + 1500 * r / side + (dx * dx + dy * dy < 1 ? 1500 : 0) + (r * 7 + c * 13 + seed) % 64);
        }
    cr_element(f, 0x7fe0, 0x0010, "OW", px, (size_t)side * side * sizeof *px);
    free(px);
}

/* 0 when written. */
static inline int cr_write(const char *path, const cr_options *o)
{
    static const char cr_class[] = "1.2.840.10008.5.1.4.1.1.1";
    const unsigned side = o->side ? o->side : 512;
    char study[48], series[52], instance[64], number[12];
    snprintf(study, sizeof study, "1.2.826.0.1.3680043.10.1.%u", o->seed);
    snprintf(series, sizeof series, "%s.1", study);
    snprintf(number, sizeof number, "%u", o->image + 1);
    snprintf(instance, sizeof instance, "%s.%s", series, number);
    FILE *f = fopen(path, "wb");
    if (!f) return -1;
    char preamble[128] = {0};
    fwrite(preamble, 1, sizeof preamble, f);
    fwrite("DICM", 1, 4, f);
    const uint32_t group =
        (uint32_t)(12 + 2 + (8 + 26) + (8 + strlen(instance) + strlen(instance) % 2) + (8 + 20) + (8 + 20));
    cr_element(f, 2, 0, "UL", &group, 4);
    cr_element(f, 2, 1, "OB", "\0\1", 2);
    cr_text(f, 2, 2, "UI", cr_class);
    cr_text(f, 2, 3, "UI", instance);
    cr_text(f, 2, 0x10, "UI", "1.2.840.10008.1.2.1");
    cr_text(f, 2, 0x12, "UI", "1.2.826.0.1.3680043");
    cr_text(f, 8, 5, "CS", "ISO_IR 100");
    cr_text(f, 8, 8, "CS", "ORIGINAL\\PRIMARY");
    cr_text(f, 8, 0x16, "UI", cr_class);
    cr_text(f, 8, 0x18, "UI", instance);
    cr_text(f, 8, 0x20, "DA", "20200101");
    cr_text(f, 8, 0x30, "TM", "120000");
    cr_text(f, 8, 0x50, "SH", "");
    cr_text(f, 8, 0x60, "CS", "CR");
    cr_text(f, 8, 0x90, "PN", "");
    cr_text(f, 0x10, 0x10, "PN", "Invented^Patient");
    cr_text(f, 0x10, 0x20, "LO", "TEST-1");
    cr_text(f, 0x10, 0x30, "DA", "");
    cr_text(f, 0x10, 0x40, "CS", "O");
    cr_text(f, 0x18, 0x15, "CS", o->body_part ? o->body_part : "CHEST");
    cr_text(f, 0x18, 0x5101, "CS", o->view ? o->view : "PA");
    cr_text(f, 0x20, 0xd, "UI", study);
    cr_text(f, 0x20, 0xe, "UI", series);
    cr_text(f, 0x20, 0x10, "SH", "1");
    cr_text(f, 0x20, 0x11, "IS", "1");
    cr_text(f, 0x20, 0x13, "IS", number);
    cr_short(f, 0x28, 2, 1);
    cr_text(f, 0x28, 4, "CS", "MONOCHROME2");
    cr_short(f, 0x28, 0x10, side);
    cr_short(f, 0x28, 0x11, side);
    cr_short(f, 0x28, 0x100, 16);
    cr_short(f, 0x28, 0x101, 12);
    cr_short(f, 0x28, 0x102, 11);
    cr_short(f, 0x28, 0x103, 0);
    cr_pixels(f, side, o->seed + o->pixels_seed + 3 * o->image);
    const int bad = ferror(f);
    return fclose(f) != 0 || bad ? -1 : 0;
}
#endif
