/* Makes DICOM bytes for tests: small Part 10 files and association requests, whole or broken on purpose.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_TESTS_DICOM_MAKER_H
#define COT_TESTS_DICOM_MAKER_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CR_CLASS          "1.2.840.10008.5.1.4.1.1.1"
#define SC_CLASS          "1.2.840.10008.5.1.4.1.1.7"
#define IMPLICIT          "1.2.840.10008.1.2"
#define EXPLICIT          "1.2.840.10008.1.2.1"
#define BIG_ENDIAN_SYNTAX "1.2.840.10008.1.2.2"
#define RLE               "1.2.840.10008.1.2.5"
#define UNDEFINED_LENGTH  0xffffffffu

typedef struct maker {
    unsigned char *at;
    size_t n, room;
    bool implicit, big; /* encoding of elements put from now on */
} maker;

static inline void put_bytes(maker *m, const void *data, size_t n)
{
    if (m->n + n > m->room) {
        m->room = (m->n + n) * 2;
        m->at = realloc(m->at, m->room);
        if (!m->at) abort();
    }
    if (n) memcpy(m->at + m->n, data, n);
    m->n += n;
}
static inline void put_number(maker *m, uint64_t v, int size)
{
    for (int i = 0; i < size; i++) {
        const int shift = 8 * (m->big ? size - 1 - i : i);
        put_bytes(m, &(unsigned char){(unsigned char)(v >> shift)}, 1);
    }
}
/* The header of an element; `vr` NULL or "" for items and delimiters. */
static inline void put_header(maker *m, unsigned group, unsigned element, const char *vr, uint32_t length)
{
    const bool wide = vr && vr[0] && strstr("OB OD OF OL OV OW SQ SV UC UN UR UT UV", vr);
    put_number(m, group, 2);
    put_number(m, element, 2);
    if (!m->implicit && vr && vr[0]) {
        put_bytes(m, vr, 2);
        if (wide) put_number(m, 0, 2);
        put_number(m, length, wide ? 4 : 2);
    } else
        put_number(m, length, 4);
}
static inline void put_text(maker *m, unsigned group, unsigned element, const char *vr, const char *text)
{
    const size_t n = strlen(text);
    put_header(m, group, element, vr, (uint32_t)(n + n % 2));
    put_bytes(m, text, n);
    if (n % 2) put_bytes(m, strcmp(vr, "UI") ? " " : "", 1);
}
static inline void put_us(maker *m, unsigned group, unsigned element, unsigned v)
{
    put_header(m, group, element, "US", 2);
    put_number(m, v, 2);
}
static inline void put_item(maker *m, uint32_t length)
{
    put_header(m, 0xfffe, 0xe000, NULL, length);
}
static inline void put_item_end(maker *m)
{
    put_header(m, 0xfffe, 0xe00d, NULL, 0);
}
static inline void put_sequence_end(maker *m)
{
    put_header(m, 0xfffe, 0xe0dd, NULL, 0);
}

/* Preamble and file meta group; leaves the maker in the data set's encoding. */
static inline void put_meta(maker *m, const char *sop_class, const char *instance, const char *syntax)
{
    maker meta = {0};
    static const unsigned char preamble[128];
    put_header(&meta, 2, 1, "OB", 2);
    put_bytes(&meta, "\0\1", 2);
    put_text(&meta, 2, 2, "UI", sop_class);
    put_text(&meta, 2, 3, "UI", instance);
    put_text(&meta, 2, 0x10, "UI", syntax);
    put_text(&meta, 2, 0x12, "UI", "2.25.1");
    m->implicit = m->big = false;
    put_bytes(m, preamble, 128);
    put_bytes(m, "DICM", 4);
    put_header(m, 2, 0, "UL", 4);
    put_number(m, meta.n, 4);
    put_bytes(m, meta.at, meta.n);
    free(meta.at);
    m->implicit = strcmp(syntax, IMPLICIT) == 0;
    m->big = strcmp(syntax, BIG_ENDIAN_SYNTAX) == 0;
}
/* What an image must have before its pixel data. */
static inline void put_head(maker *m, const char *sop_class, const char *instance, unsigned rows, unsigned columns)
{
    put_text(m, 0x0008, 0x0016, "UI", sop_class);
    put_text(m, 0x0008, 0x0018, "UI", instance);
    put_text(m, 0x0008, 0x0060, "CS", "CR");
    put_text(m, 0x0010, 0x0010, "PN", "Planted^Name");
    put_text(m, 0x0020, 0x000d, "UI", "1.2.3.1");
    put_text(m, 0x0020, 0x000e, "UI", "1.2.3.2");
    put_us(m, 0x0028, 0x0002, 1);
    put_text(m, 0x0028, 0x0004, "CS", "MONOCHROME2");
    put_us(m, 0x0028, 0x0010, rows);
    put_us(m, 0x0028, 0x0011, columns);
    put_us(m, 0x0028, 0x0100, 16);
    put_us(m, 0x0028, 0x0101, 12);
    put_us(m, 0x0028, 0x0102, 11);
    put_us(m, 0x0028, 0x0103, 0);
}
static inline void put_pixels(maker *m, size_t bytes)
{
    put_header(m, 0x7fe0, 0x0010, "OW", (uint32_t)bytes);
    for (size_t i = 0; i < bytes; i++) put_bytes(m, &(unsigned char){(unsigned char)(i * 37 & 0x0f)}, 1);
}
/* A whole CR image of 16 bits. */
static inline void put_image(maker *m, const char *sop_class, const char *instance, const char *syntax, unsigned rows,
                             unsigned columns)
{
    put_meta(m, sop_class, instance, syntax);
    put_head(m, sop_class, instance, rows, columns);
    put_pixels(m, (size_t)rows * columns * 2);
}
static inline bool maker_write(const maker *m, const char *path)
{
    FILE *f = fopen(path, "wb");
    const bool ok = f && fwrite(m->at, 1, m->n, f) == m->n;
    return f && fclose(f) == 0 && ok;
}
static inline void maker_free(maker *m)
{
    free(m->at);
    *m = (maker){0};
}

/* ---- A-ASSOCIATE-RQ, big endian ---- */
static inline void put_pdu_item(maker *m, int type, const void *data, size_t n)
{
    m->big = true;
    put_number(m, (unsigned)type, 1);
    put_number(m, 0, 1);
    put_number(m, n, 2);
    put_bytes(m, data, n);
}
static inline void put_context(maker *m, unsigned id, const char *abstract, const char *syntax)
{
    maker c = {.big = true};
    put_number(&c, (uint64_t)id << 24, 4);
    put_pdu_item(&c, 0x30, abstract, strlen(abstract));
    put_pdu_item(&c, 0x40, syntax, strlen(syntax));
    put_pdu_item(m, 0x20, c.at, c.n);
    free(c.at);
}
/* Everything before the variable items; finish with request_end. */
static inline void request_begin(maker *m, const char *called, const char *calling)
{
    char titles[64];
    *m = (maker){.big = true};
    put_bytes(m, "\x01\0\0\0\0\0", 6);
    put_number(m, 1, 2);
    put_number(m, 0, 2);
    snprintf(titles, sizeof titles, "%-16.16s%-16.16s", called, calling);
    put_bytes(m, titles, 32);
    put_bytes(m, (char[32]){0}, 32);
}
static inline void request_end(maker *m)
{
    for (int i = 0; i < 4; i++) m->at[2 + i] = (unsigned char)((m->n - 6) >> (8 * (3 - i)));
}
static inline void put_user(maker *m, const void *further, size_t n)
{
    maker u = {.big = true};
    put_pdu_item(&u, 0x51, "\0\0\x40\0", 4);
    put_pdu_item(&u, 0x52, "2.25.1", 6);
    put_bytes(&u, further, n);
    put_pdu_item(m, 0x50, u.at, u.n);
    free(u.at);
}
static inline void put_request(maker *m, const char *called, const char *calling)
{
    request_begin(m, called, calling);
    put_pdu_item(m, 0x10, "1.2.840.10008.3.1.1.1", 21);
    put_context(m, 1, "1.2.840.10008.1.1", IMPLICIT);
    put_context(m, 3, CR_CLASS, EXPLICIT);
    put_user(m, NULL, 0);
    request_end(m);
}
#endif
