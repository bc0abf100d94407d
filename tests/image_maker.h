/* Writes small DICOM images for tests, explicit little endian, element by element: also the wrong ones that no library
 * would write. A maker is a byte buffer; elements must be added in ascending tag order. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_TESTS_IMAGE_MAKER_H
#define COT_TESTS_IMAGE_MAKER_H
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPLICIT_LE   "1.2.840.10008.1.2.1"
#define RLE_LOSSLESS  "1.2.840.10008.1.2.5"
#define JPEG_BASELINE "1.2.840.10008.1.2.4.50"
#define J2K_LOSSLESS  "1.2.840.10008.1.2.4.90"
#define J2K_LOSSY     "1.2.840.10008.1.2.4.91"

/* A folder for this process, removed with its files at the end. */
static char maker_folder[64];

__attribute__((constructor)) static void maker_folder_make(void)
{
    snprintf(maker_folder, sizeof maker_folder, "/tmp/stepcot_test.XXXXXX");
    if (!mkdtemp(maker_folder)) abort();
}

static inline const char *in_folder(const char *name) /* the last four stay valid */
{
    static char paths[4][400];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", maker_folder, name);
    return path;
}

__attribute__((destructor)) static void maker_folder_remove(void)
{
    DIR *d = opendir(maker_folder);
    for (struct dirent *e; d && (e = readdir(d));) unlink(in_folder(e->d_name));
    if (d) closedir(d);
    rmdir(maker_folder);
}

typedef struct maker {
    unsigned char *bytes;
    size_t n, room;
} maker;

static inline void maker_raw(maker *m, const void *data, size_t n)
{
    if (m->n + n > m->room) {
        m->room = 2 * (m->n + n) + 4096;
        m->bytes = realloc(m->bytes, m->room);
        if (!m->bytes) abort();
    }
    if (n) memcpy(m->bytes + m->n, data, n);
    m->n += n;
}

static inline void maker_number(maker *m, unsigned long value, size_t n) /* little endian */
{
    for (size_t i = 0; i < n; i++) {
        const unsigned char byte = (unsigned char)(value >> (8 * i));
        maker_raw(m, &byte, 1);
    }
}

static inline void maker_tag(maker *m, unsigned tag, const char *vr, size_t length)
{
    maker_number(m, tag >> 16, 2);
    maker_number(m, tag & 0xffff, 2);
    maker_raw(m, vr, 2);
    const bool wide = strstr("OB OW SQ UN UT", vr) != NULL;
    if (wide) maker_number(m, 0, 2);
    maker_number(m, length, wide ? 4 : 2);
}

static inline void maker_bytes(maker *m, unsigned tag, const char *vr, const void *data, size_t n)
{
    maker_tag(m, tag, vr, n + n % 2);
    maker_raw(m, data, n);
    if (n % 2) maker_raw(m, "", 1);
}

static inline void maker_text(maker *m, unsigned tag, const char *vr, const char *text)
{
    const size_t n = strlen(text);
    maker_tag(m, tag, vr, n + n % 2);
    maker_raw(m, text, n);
    if (n % 2) maker_raw(m, strcmp(vr, "UI") ? " " : "", 1);
}

static inline void maker_us(maker *m, unsigned tag, unsigned value)
{
    maker_tag(m, tag, "US", 2);
    maker_number(m, value, 2);
}

/* Encapsulated Pixel Data: `table` as Basic Offset Table (may be empty), then the bytes in pieces of at most `piece`. */
static inline void maker_fragments(maker *m, const unsigned *table, size_t entries, const void *data, size_t n,
                                   size_t piece)
{
    const unsigned char *bytes = data;
    maker_tag(m, 0x7fe00010, "OB", 0xffffffff);
    maker_number(m, 0xe000fffe, 4);
    maker_number(m, 4 * entries, 4);
    for (size_t i = 0; i < entries; i++) maker_number(m, table[i], 4);
    for (size_t at = 0; at < n || !at; at += piece) {
        const size_t size = n - at < piece ? n - at : piece;
        maker_number(m, 0xe000fffe, 4);
        maker_number(m, size + size % 2, 4);
        maker_raw(m, bytes + at, size);
        if (size % 2) maker_raw(m, "", 1);
        if (!n) break;
    }
    maker_number(m, 0xe0ddfffe, 4);
    maker_number(m, 0, 4);
}

static inline void maker_begin(maker *m, const char *syntax)
{
    static const unsigned char preamble[128] = {0};
    maker meta = {0};
    maker_bytes(&meta, 0x00020001, "OB", "\0\1", 2);
    maker_text(&meta, 0x00020002, "UI", "1.2.840.10008.5.1.4.1.1.1");
    maker_text(&meta, 0x00020003, "UI", "2.25.1");
    maker_text(&meta, 0x00020010, "UI", syntax);
    maker_raw(m, preamble, sizeof preamble);
    maker_raw(m, "DICM", 4);
    maker_tag(m, 0x00020000, "UL", 4);
    maker_number(m, meta.n, 4);
    maker_raw(m, meta.bytes, meta.n);
    free(meta.bytes);
}

static inline bool maker_save(maker *m, const char *path) /* and empties the maker */
{
    FILE *f = fopen(path, "wb");
    bool good = f && fwrite(m->bytes, 1, m->n, f) == m->n;
    good = f && fclose(f) == 0 && good;
    free(m->bytes);
    memset(m, 0, sizeof *m);
    return good;
}

/* The elements of an image; zero or NULL leaves one out where it may be left out. */
typedef struct maker_image {
    const char *sop_class, *syntax, *photometric, *description, *charset, *intercept, *slope, *center, *width,
        *function, *frames;
    const char *relationship, *shape; /* Pixel Intensity Relationship, Presentation LUT Shape */
    int sign;                         /* Pixel Intensity Relationship Sign */
    unsigned rows, cols, samples, planar, allocated, stored, high, is_signed;
    bool rows_as_ul, description_as_sequence, window_as_sequence;
    const uint16_t *voi_lut, *modality_lut; /* 3 words descriptor, then the entries */
} maker_image;

static inline void maker_lut(maker *m, unsigned tag, const uint16_t *lut)
{
    maker item = {0};
    maker_bytes(&item, 0x00283002, "US", lut, 6);
    maker_bytes(&item, 0x00283006, "OW", lut + 3, 2 * (size_t)lut[0]);
    maker_tag(m, tag, "SQ", item.n + 8);
    maker_number(m, 0xe000fffe, 4);
    maker_number(m, item.n, 4);
    maker_raw(m, item.bytes, item.n);
    free(item.bytes);
}

static inline void maker_optional(maker *m, unsigned tag, const char *vr, const char *text)
{
    if (text) maker_text(m, tag, vr, text);
}

static inline void maker_grey(maker *m, const maker_image *i) /* what leads from stored values to grey */
{
    maker_optional(m, 0x00281040, "CS", i->relationship);
    if (i->sign) {
        maker_tag(m, 0x00281041, "SS", 2);
        maker_number(m, (unsigned long)i->sign, 2);
    }
    if (i->window_as_sequence)
        maker_tag(m, 0x00281050, "SQ", 0);
    else
        maker_optional(m, 0x00281050, "DS", i->center);
    maker_optional(m, 0x00281051, "DS", i->width);
    maker_optional(m, 0x00281052, "DS", i->intercept);
    maker_optional(m, 0x00281053, "DS", i->slope);
    maker_optional(m, 0x00281056, "CS", i->function);
    if (i->modality_lut) maker_lut(m, 0x00283000, i->modality_lut);
    if (i->voi_lut) maker_lut(m, 0x00283010, i->voi_lut);
    maker_optional(m, 0x20500020, "CS", i->shape);
}

/* Everything before Pixel Data. */
static inline void maker_header(maker *m, const maker_image *i)
{
    maker_begin(m, i->syntax ? i->syntax : EXPLICIT_LE);
    maker_optional(m, 0x00080005, "CS", i->charset);
    maker_text(m, 0x00080016, "UI", i->sop_class ? i->sop_class : "1.2.840.10008.5.1.4.1.1.1");
    maker_text(m, 0x00080018, "UI", "2.25.1");
    maker_text(m, 0x00080060, "CS", "CR");
    if (i->description_as_sequence)
        maker_tag(m, 0x0008103e, "SQ", 0);
    else
        maker_optional(m, 0x0008103e, "LO", i->description);
    maker_text(m, 0x00180015, "CS", "CHEST");
    maker_text(m, 0x0020000d, "UI", "2.25.2");
    maker_text(m, 0x0020000e, "UI", "2.25.3");
    maker_us(m, 0x00280002, i->samples);
    maker_optional(m, 0x00280004, "CS", i->photometric);
    if (i->samples > 1) maker_us(m, 0x00280006, i->planar);
    maker_optional(m, 0x00280008, "IS", i->frames);
    if (i->rows_as_ul) {
        maker_tag(m, 0x00280010, "UL", 4);
        maker_number(m, i->rows, 4);
    } else {
        maker_us(m, 0x00280010, i->rows);
    }
    maker_us(m, 0x00280011, i->cols);
    maker_us(m, 0x00280100, i->allocated);
    maker_us(m, 0x00280101, i->stored);
    maker_us(m, 0x00280102, i->high);
    maker_us(m, 0x00280103, i->is_signed);
    maker_grey(m, i);
}

static inline bool maker_native(const char *path, const maker_image *i, const void *pixels, size_t bytes)
{
    maker m = {0};
    maker_header(&m, i);
    maker_bytes(&m, 0x7fe00010, i->allocated > 8 ? "OW" : "OB", pixels, bytes);
    return maker_save(&m, path);
}

static inline bool maker_encapsulated(const char *path, const maker_image *i, const void *bytes, size_t n, size_t piece)
{
    maker m = {0};
    maker_header(&m, i);
    maker_fragments(&m, NULL, 0, bytes, n, piece);
    return maker_save(&m, path);
}
#endif
