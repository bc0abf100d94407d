/* Bounds a DICOM Part 10 file (PS3.10 7, PS3.5 7) before DCMTK sees it, whose parser recurses per nested item and can be
 * made to exhaust the stack. One pass, forwards, with an explicit stack of at most 2*32+1 levels; memory use does not
 * depend on the file. Strict about structure (lengths, delimiters, value representations, depth), tolerant where nothing
 * later depends on it: odd lengths, order of elements, group lengths, non-zero reserved bytes. Implicit encoding does not
 * say what is a sequence: a value that begins with an item tag is walked as one, because a parser with a dictionary may.
 * Texts name tag and offset, never a value. Threads: any. SPDX-License-Identifier: Apache-2.0 */
#include "dicom/guard_bytes.h"
#include "dicom/internal.h"
#include <stdlib.h>
#include <string.h>

#define UNDEFINED    0xffffffffu
#define TAG(g, e)    ((uint32_t)(g) << 16 | (uint32_t)(e))
#define VR(a, b)     ((unsigned)(a) << 8 | (unsigned)(b))
#define VR_NONE      0u
#define ITEM         TAG(0xfffe, 0xe000)
#define ITEM_END     TAG(0xfffe, 0xe00d)
#define SEQUENCE_END TAG(0xfffe, 0xe0dd)
#define PIXEL_DATA   TAG(0x7fe0, 0x0010)
#define SEND_AGAIN   "; the object is damaged: send it again from its source"

enum { DEPTH_MAX = 32, META_BYTES_MAX = 64 * 1024 };

typedef enum fact_id {
    SOP_CLASS,
    SOP_INSTANCE,
    STUDY,
    SERIES,
    SAMPLES,
    FRAMES,
    ROWS,
    COLUMNS,
    ALLOCATED,
    FACTS
} fact_id;
static const struct {
    uint32_t tag;
    unsigned vr;
    const char *name;
} facts[FACTS] = {
    [SOP_CLASS] = {TAG(0x0008, 0x0016), VR('U', 'I'), "SOP Class UID"},
    [SOP_INSTANCE] = {TAG(0x0008, 0x0018), VR('U', 'I'), "SOP Instance UID"},
    [STUDY] = {TAG(0x0020, 0x000d), VR('U', 'I'), "Study Instance UID"},
    [SERIES] = {TAG(0x0020, 0x000e), VR('U', 'I'), "Series Instance UID"},
    [SAMPLES] = {TAG(0x0028, 0x0002), VR('U', 'S'), "Samples per Pixel"},
    [FRAMES] = {TAG(0x0028, 0x0008), VR('I', 'S'), "Number of Frames"},
    [ROWS] = {TAG(0x0028, 0x0010), VR('U', 'S'), "Rows"},
    [COLUMNS] = {TAG(0x0028, 0x0011), VR('U', 'S'), "Columns"},
    [ALLOCATED] = {TAG(0x0028, 0x0100), VR('U', 'S'), "Bits Allocated"},
};

typedef struct level {
    size_t end;     /* no byte of it at or behind this offset */
    bool undefined; /* ends with a delimiter */
    bool items;     /* a sequence; else a list of elements */
    bool implicit, big;
    uint32_t tag;
} level;
typedef struct guard {
    bytes_reader in;
    cot_guard_limits limits;
    level stack[2 * DEPTH_MAX + 1];
    size_t levels, elements;
    unsigned depth;
    bool encapsulated; /* by the transfer syntax */
    bool seen[FACTS], has_pixels;
    char text[FACTS][65]; /* UI and IS facts */
    size_t number[FACTS]; /* US and IS facts */
    size_t pixel_bytes, pixel_offset;
} guard;
typedef struct element {
    uint32_t tag, length;
    unsigned vr;       /* VR_NONE: implicit */
    size_t at, header; /* offset of the tag, bytes before the value */
} element;

/* ---- refusing ---- */
static cot_status refuse(const guard *g, cot_error *err, cot_status status, uint32_t tag, size_t at, const char *what)
{
    return cot_fail(err, status, "%s: (%04x,%04x) at offset %zu: %s", g->in.path, tag >> 16, tag & 0xffff, at, what);
}
static cot_status damaged(const guard *g, cot_error *err, const element *e, const char *what)
{
    return cot_fail(err, COT_E_INPUT, "%s: (%04x,%04x) at offset %zu: %s" SEND_AGAIN, g->in.path, e->tag >> 16,
                    e->tag & 0xffff, e->at, what);
}

/* ---- bytes ---- */
static unsigned get16(const unsigned char *p, bool big)
{
    return big ? (unsigned)p[0] << 8 | p[1] : (unsigned)p[1] << 8 | p[0];
}
static uint32_t get32(const unsigned char *p, bool big)
{
    return big ? (uint32_t)get16(p, big) << 16 | get16(p + 2, big) : (uint32_t)get16(p + 2, big) << 16 | get16(p, big);
}
static uint32_t get_tag(const unsigned char *p, bool big)
{
    return TAG(get16(p, big), get16(p + 2, big));
}

/* 0: not a value representation of PS3.5 6.2; else the bytes of its explicit header (table 7.1-1 and 7.1-2). */
static size_t header_size(unsigned vr)
{
    static const char with_16[] = "AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US ";
    static const char with_32[] = "OB OD OF OL OV OW SQ SV UC UN UR UT UV ";
    const char name[] = {(char)(vr >> 8), (char)(vr & 0xff)};
    for (const char *p = with_16; *p; p += 3)
        if (p[0] == name[0] && p[1] == name[1]) return 8;
    for (const char *p = with_32; *p; p += 3)
        if (p[0] == name[0] && p[1] == name[1]) return 12;
    return 0;
}

/* ---- the stack ---- */
static level *top_of(guard *g)
{
    return &g->stack[g->levels - 1];
}

static cot_status push(guard *g, const element *e, bool items, bool implicit, bool big, cot_error *err)
{
    const level *top = top_of(g);
    if (items && ++g->depth > g->limits.max_depth)
        return cot_fail(err, COT_E_LIMIT,
                        "%s: (%04x,%04x) at offset %zu: sequences nested deeper than %u; such an object is refused, "
                        "flatten it at its source",
                        g->in.path, e->tag >> 16, e->tag & 0xffff, e->at, g->limits.max_depth);
    level next = {.end = top->end,
                  .undefined = e->length == UNDEFINED,
                  .items = items,
                  .implicit = implicit,
                  .big = big,
                  .tag = e->tag};
    if (!next.undefined) next.end = e->at + e->header + e->length; /* within top->end: read_header saw to it */
    g->stack[g->levels++] = next;
    return COT_OK;
}
static void pop(guard *g)
{
    if (top_of(g)->items) g->depth--;
    g->levels--;
}

static cot_status count_element(guard *g, const element *e, cot_error *err)
{
    if (++g->elements <= g->limits.max_elements) return COT_OK;
    return refuse(g, err, COT_E_LIMIT, e->tag, e->at,
                  "more elements than the limit allows; raise max_elements or send less");
}

/* Tag, VR and length of what comes next in a level; its value, where the length is defined, ends within the level. */
static cot_status read_header(guard *g, element *e, const level *in, cot_error *err)
{
    cot_status status;
    const unsigned char *p = NULL;
    *e = (element){.at = g->in.offset, .header = 8};
    const size_t left = in->end - e->at;
    if (left < 8)
        return cot_fail(err, COT_E_INPUT, "%s: truncated at offset %zu: %zu bytes are no element" SEND_AGAIN,
                        g->in.path, e->at, left);
    COT_TRY(bytes_peek(&g->in, &p, 8, err));
    e->tag = get_tag(p, in->big);
    if (in->items && e->tag != ITEM && e->tag != SEQUENCE_END)
        return damaged(g, err, e, "neither an item nor the delimiter of the sequence around it");
    if (in->implicit || e->tag >> 16 == 0xfffe)
        e->length = get32(p + 4, in->big);
    else {
        e->vr = VR(p[4], p[5]);
        e->header = header_size(e->vr);
        if (e->header == 0) return damaged(g, err, e, "unknown value representation");
        if (left < e->header) return damaged(g, err, e, "truncated header");
        COT_TRY(bytes_peek(&g->in, &p, e->header, err));
        e->length = e->header == 12 ? get32(p + 8, in->big) : get16(p + 6, in->big);
    }
    if (e->length != UNDEFINED && e->length > left - e->header)
        return cot_fail(
            err, COT_E_INPUT,
            "%s: (%04x,%04x) at offset %zu: length %lu, but only %zu bytes are left of what holds it" SEND_AGAIN,
            g->in.path, e->tag >> 16, e->tag & 0xffff, e->at, (unsigned long)e->length, left - e->header);
    status = count_element(g, e, err);
done:
    return status;
}

/* ---- facts ---- */
/* Without the padding PS3.5 allows (NUL for UI, spaces for IS) and what is seen in its place. */
static bool copy_text(char to[65], const unsigned char *from, size_t n)
{
    while (n && (from[n - 1] == 0 || from[n - 1] == ' ')) n--;
    while (n && *from == ' ') from++, n--;
    if (n > 64 || memchr(from, 0, n)) return false;
    memcpy(to, from, n);
    to[n] = 0;
    return true;
}

static bool whole_number(size_t *out, const char *text)
{
    char *end = NULL;
    if (*text == '+') text++;
    if (*text < '0' || *text > '9' || strlen(text) > 10) return false;
    *out = strtoul(text, &end, 10);
    return *end == 0;
}

static cot_status keep_fact(guard *g, fact_id f, const element *e, bool big, cot_error *err)
{
    cot_status status;
    const unsigned char *p = NULL;
    const unsigned vr = facts[f].vr;
    const char *why = NULL;
    if (g->seen[f]) return damaged(g, err, e, "occurs twice");
    if (e->vr != VR_NONE && e->vr != vr)
        why = vr == VR('U', 'S') ? "its VR must be US" : "its VR is not the standard's";
    else if (vr == VR('U', 'S') && e->length != 2)
        why = "must be one US value of 2 bytes";
    else if (e->length > 66)
        why = "too long";
    if (why) goto refused;
    COT_TRY(bytes_skip(&g->in, e->header, err));
    COT_TRY(bytes_peek(&g->in, &p, e->length, err));
    if (vr == VR('U', 'S'))
        g->number[f] = get16(p, big);
    else if (!copy_text(g->text[f], p, e->length))
        why = "not a text of its VR";
    else if (vr == VR('I', 'S') && g->text[f][0] && !whole_number(&g->number[f], g->text[f]))
        why = "not a whole number";
    else if (vr == VR('U', 'I') && !uid_valid(g->text[f]))
        why = "missing or malformed UID";
    if (why) goto refused;
    g->seen[f] = vr != VR('I', 'S') || g->text[f][0];
    return bytes_skip(&g->in, e->length, err);
refused:
    return cot_fail(err, COT_E_INPUT, "%s: (%04x,%04x) %s at offset %zu: %s; correct it at its source", g->in.path,
                    e->tag >> 16, e->tag & 0xffff, facts[f].name, e->at, why);
done:
    return status;
}

/* ---- pixel data ---- */
/* Items of an encapsulated value (PS3.5 A.4): an offset table, then fragments, then the delimiter. */
static cot_status walk_fragments(guard *g, const element *pixels, size_t end, cot_error *err)
{
    cot_status status;
    element e;
    size_t items = 0, bytes = 0;
    const level value = {.end = end, .items = true};
    COT_TRY(bytes_skip(&g->in, pixels->header, err));
    for (;;) {
        COT_TRY(read_header(g, &e, &value, err));
        COT_TRY(bytes_skip(&g->in, e.header, err));
        if (e.tag == SEQUENCE_END) break;
        if (e.length == UNDEFINED) return damaged(g, err, &e, "not a fragment of encapsulated pixel data");
        if (items++ > 0) bytes += e.length;
        COT_TRY(bytes_skip(&g->in, e.length, err));
    }
    if (e.length != 0) return damaged(g, err, &e, "sequence delimiter with a length");
    if (bytes == 0) return damaged(g, err, pixels, "encapsulated pixel data without a fragment");
done:
    return status;
}

static cot_status walk_pixels(guard *g, const element *e, const level *top, cot_error *err)
{
    const bool outermost = g->levels == 1, fragments = e->length == UNDEFINED;
    if (e->vr != VR_NONE && e->vr != VR('O', 'B') && e->vr != VR('O', 'W'))
        return damaged(g, err, e, "Pixel Data must be OB or OW");
    if (fragments && !g->encapsulated) return damaged(g, err, e, "fragments in an uncompressed transfer syntax");
    if (outermost && !fragments && g->encapsulated)
        return damaged(g, err, e, "no fragments in a compressed transfer syntax");
    if (outermost && g->has_pixels) return damaged(g, err, e, "occurs twice");
    if (outermost) {
        g->has_pixels = true;
        g->pixel_bytes = fragments ? 0 : e->length;
        g->pixel_offset = e->at;
    }
    return fragments ? walk_fragments(g, e, top->end, err) : bytes_skip(&g->in, e->header + e->length, err);
}

/* ---- elements and items ---- */
/* A value in implicit encoding that a dictionary may call a sequence. */
static cot_status begins_with_item(guard *g, const element *e, bool *yes, cot_error *err)
{
    static const unsigned char item[4] = {0xfe, 0xff, 0x00, 0xe0};
    const unsigned char *p = NULL;
    *yes = false;
    if (e->vr != VR_NONE || e->length < 8 || e->length == UNDEFINED) return COT_OK;
    const cot_status status = bytes_peek(&g->in, &p, e->header + 4, err);
    if (status == COT_OK) *yes = memcmp(p + e->header, item, 4) == 0;
    return status;
}

static fact_id fact_of(const guard *g, uint32_t tag)
{
    fact_id f = g->levels == 1 ? SOP_CLASS : FACTS; /* only outside sequences */
    while (f < FACTS && facts[f].tag != tag) f++;
    return f;
}

static cot_status walk_element(guard *g, cot_error *err)
{
    cot_status status;
    const level top = *top_of(g);
    element e;
    bool sequence = false;
    COT_TRY(read_header(g, &e, &top, err));
    if (e.tag == ITEM_END && top.undefined) {
        if (e.length != 0) return damaged(g, err, &e, "item delimiter with a length");
        pop(g);
        return bytes_skip(&g->in, e.header, err);
    }
    if (e.tag >> 16 == 0xfffe) return damaged(g, err, &e, "item or delimiter where an element must be");
    if (e.tag >> 16 < 0x0008 && e.tag >> 16 != 0x0004)
        return damaged(g, err, &e, "this group does not belong in a data set");
    if (e.tag == PIXEL_DATA) return walk_pixels(g, &e, &top, err);
    const fact_id f = fact_of(g, e.tag);
    if (f < FACTS) return keep_fact(g, f, &e, top.big, err);
    COT_TRY(begins_with_item(g, &e, &sequence, err));
    const bool unknown = e.vr == VR('U', 'N') && e.length == UNDEFINED; /* PS3.5 6.2.2: implicit little endian inside */
    if (e.vr == VR('S', 'Q') || unknown || sequence || (e.vr == VR_NONE && e.length == UNDEFINED)) {
        COT_TRY(push(g, &e, true, top.implicit || unknown, top.big && !unknown, err));
        return bytes_skip(&g->in, e.header, err);
    }
    if (e.length == UNDEFINED) return damaged(g, err, &e, "undefined length for a value that is no sequence");
    if (e.length > g->limits.max_value)
        return refuse(g, err, COT_E_LIMIT, e.tag, e.at,
                      "value longer than the limit allows; raise max_value or remove it");
    return bytes_skip(&g->in, e.header + e.length, err);
done:
    return status;
}

static cot_status walk_item(guard *g, cot_error *err)
{
    cot_status status;
    const level top = *top_of(g);
    element e;
    COT_TRY(read_header(g, &e, &top, err));
    if (e.tag == SEQUENCE_END && top.undefined) {
        if (e.length != 0) return damaged(g, err, &e, "sequence delimiter with a length");
        pop(g);
    } else if (e.tag == SEQUENCE_END)
        return damaged(g, err, &e, "delimiter in a sequence of defined length");
    else
        COT_TRY(push(g, &e, false, top.implicit, top.big, err));
    return bytes_skip(&g->in, e.header, err);
done:
    return status;
}

static cot_status walk_dataset(guard *g, bool implicit, bool big, cot_error *err)
{
    cot_status status = COT_OK;
    g->stack[0] = (level){.end = g->in.size, .implicit = implicit, .big = big};
    g->levels = 1;
    for (;;) {
        while (g->levels > 1 && !top_of(g)->undefined && top_of(g)->end == g->in.offset) pop(g);
        const level *top = top_of(g);
        if (top->end == g->in.offset) {
            if (g->levels == 1) break;
            return cot_fail(err, COT_E_INPUT, "%s: (%04x,%04x): its delimiter is missing at offset %zu" SEND_AGAIN,
                            g->in.path, top->tag >> 16, top->tag & 0xffff, g->in.offset);
        }
        COT_TRY(top->items ? walk_item(g, err) : walk_element(g, err));
    }
done:
    return status;
}

/* ---- file meta group, always explicit little endian ---- */
static cot_status meta_value(guard *g, const element *e, char syntax[65], cot_error *err)
{
    cot_status status;
    const unsigned char *p = NULL;
    COT_TRY(bytes_skip(&g->in, e->header, err));
    if (e->tag == TAG(2, 0x0010)) {
        if (syntax[0]) return damaged(g, err, e, "occurs twice");
        if (e->vr != VR('U', 'I') || e->length > 66) return damaged(g, err, e, "Transfer Syntax UID malformed");
        COT_TRY(bytes_peek(&g->in, &p, e->length, err));
        if (!copy_text(syntax, p, e->length) || !uid_valid(syntax))
            return damaged(g, err, e, "Transfer Syntax UID malformed");
    }
    status = bytes_skip(&g->in, e->length, err);
done:
    return status;
}

static cot_status walk_meta(guard *g, char syntax[65], cot_error *err)
{
    cot_status status;
    const unsigned char *p = NULL;
    element e;
    syntax[0] = 0;
    if (g->in.size < 132 + 12)
        return cot_fail(err, COT_E_INPUT, "%s: %zu bytes are no DICOM file" SEND_AGAIN, g->in.path, g->in.size);
    COT_TRY(bytes_peek(&g->in, &p, 132, err));
    if (memcmp(p + 128, "DICM", 4) != 0)
        return cot_fail(err, COT_E_INPUT, "%s: not a DICOM Part 10 file: no DICM at offset 128", g->in.path);
    COT_TRY(bytes_skip(&g->in, 132, err));
    COT_TRY(read_header(g, &e, &(level){.end = g->in.size}, err));
    if (e.tag != TAG(2, 0) || e.vr != VR('U', 'L') || e.length != 4)
        return damaged(g, err, &e, "the file meta group must begin with its length (0002,0000)");
    COT_TRY(bytes_peek(&g->in, &p, 12, err));
    const size_t bytes = get32(p + 8, false);
    COT_TRY(bytes_skip(&g->in, 12, err));
    if (bytes > META_BYTES_MAX || bytes > g->in.size - g->in.offset)
        return damaged(g, err, &e, "the file meta group is longer than the file or than 64 KiB");
    const level group = {.end = g->in.offset + bytes};
    while (g->in.offset < group.end) {
        COT_TRY(read_header(g, &e, &group, err));
        if (e.tag >> 16 != 2) return damaged(g, err, &e, "not an element of the file meta group, whose length says so");
        if (e.length == UNDEFINED || e.vr == VR('S', 'Q'))
            return damaged(g, err, &e, "a sequence in the file meta group");
        COT_TRY(meta_value(g, &e, syntax, err));
    }
    if (!syntax[0])
        status = refuse(g, err, COT_E_INPUT, TAG(2, 0x0010), g->in.offset, "Transfer Syntax UID is missing" SEND_AGAIN);
done:
    return status;
}

/* ---- what must be true of the whole ---- */
static cot_status check_syntax(const guard *g, const char *syntax, cot_error *err)
{
    if (uid_listed(cot_dicom_syntaxes(), syntax)) return COT_OK;
    const bool registered = strncmp(syntax, "1.2.840.10008.", 14) == 0; /* public: may be named in a log */
    return cot_fail(err, COT_E_REFUSED, "%s: (0002,0010): transfer syntax %s%s is not read here; send it uncompressed",
                    g->in.path, registered ? syntax : "(a private one)",
                    strcmp(syntax, SYNTAX_DEFLATED) == 0 ? " (deflated)" : "");
}

static cot_status check_pixels(const guard *g, cot_error *err)
{
    static const fact_id needed[] = {ROWS, COLUMNS, ALLOCATED};
    size_t bits = g->seen[SAMPLES] ? g->number[SAMPLES] : 1;
    const size_t frames = g->seen[FRAMES] ? g->number[FRAMES] : 1;
    if (!g->has_pixels) return COT_OK;
    for (size_t i = 0; i < 3; i++) {
        const fact_id f = needed[i];
        if (!g->seen[f] || g->number[f] == 0)
            return cot_fail(err, COT_E_INPUT,
                            "%s: (%04x,%04x) %s is missing or 0, but there is Pixel Data at offset %zu" SEND_AGAIN,
                            g->in.path, facts[f].tag >> 16, facts[f].tag & 0xffff, facts[f].name, g->pixel_offset);
    }
    if (frames == 0 || bits == 0)
        return cot_fail(err, COT_E_INPUT, "%s: %s is 0, but there is Pixel Data at offset %zu" SEND_AGAIN, g->in.path,
                        frames ? facts[SAMPLES].name : facts[FRAMES].name, g->pixel_offset);
    const bool fits = cot_mul(&bits, bits, g->number[ROWS]) && cot_mul(&bits, bits, g->number[COLUMNS]) &&
                      cot_mul(&bits, bits, g->number[ALLOCATED]) && cot_mul(&bits, bits, frames) &&
                      cot_add(&bits, bits, 7);
    if (fits && (g->encapsulated || bits / 8 <= g->pixel_bytes)) return COT_OK;
    return cot_fail(
        err, COT_E_INPUT,
        "%s: (7fe0,0010) at offset %zu: %zu bytes of Pixel Data, but %zu rows of %zu columns, %zu bits, %zu frames "
        "need more" SEND_AGAIN,
        g->in.path, g->pixel_offset, g->pixel_bytes, g->number[ROWS], g->number[COLUMNS], g->number[ALLOCATED], frames);
}

static cot_status check_identity(const guard *g, cot_error *err)
{
    for (int f = SOP_CLASS; f <= SERIES; f++)
        if (!g->seen[f])
            return cot_fail(err, COT_E_INPUT, "%s: (%04x,%04x) %s is missing; correct it at its source", g->in.path,
                            facts[f].tag >> 16, facts[f].tag & 0xffff, facts[f].name);
    return COT_OK;
}

cot_status cot_dicom_guard(cot_dicom_head *head, const char *path, const cot_guard_limits *limits, cot_error *err)
{
    cot_status status;
    guard g = {.limits = COT_GUARD_LIMITS_INIT};
    *head = (cot_dicom_head){0};
    if (limits) g.limits = *limits;
    if (g.limits.max_depth > DEPTH_MAX) g.limits.max_depth = DEPTH_MAX;
    COT_TRY(bytes_open(&g.in, path, g.limits.max_bytes, err));
    COT_TRY(walk_meta(&g, head->transfer_syntax, err));
    COT_TRY(check_syntax(&g, head->transfer_syntax, err));
    if (!g.limits.no_digest) COT_TRY(bytes_hash_from_here(&g.in, err));
    const bool implicit = strcmp(head->transfer_syntax, SYNTAX_IMPLICIT_LE) == 0;
    const bool big = strcmp(head->transfer_syntax, SYNTAX_EXPLICIT_BE) == 0;
    g.encapsulated = !implicit && !big && strcmp(head->transfer_syntax, SYNTAX_EXPLICIT_LE) != 0;
    COT_TRY(walk_dataset(&g, implicit, big, err));
    COT_TRY(check_identity(&g, err));
    COT_TRY(check_pixels(&g, err));
    if (!g.limits.no_digest) COT_TRY(bytes_digest(&g.in, head->dataset_sha256, err));
    memcpy(head->sop_class, g.text[SOP_CLASS], 65);
    memcpy(head->sop_instance, g.text[SOP_INSTANCE], 65);
    memcpy(head->study, g.text[STUDY], 65);
    memcpy(head->series, g.text[SERIES], 65);
    head->rows = g.number[ROWS];
    head->cols = g.number[COLUMNS];
    head->bytes = g.in.size;
done:
    bytes_fini(&g.in);
    return status;
}
