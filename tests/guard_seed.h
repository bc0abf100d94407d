/* A small file with everything the guard walks, and mutations of it: shared by test_guard.c and fuzz_guard.c.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_TESTS_GUARD_SEED_H
#define COT_TESTS_GUARD_SEED_H
#include "tests/dicom_maker.h"

/* Sequences of defined and undefined length, private ones, UN of undefined length, a group length, 4 by 4 pixels. */
static inline void put_seed(maker *m, const char *syntax)
{
    put_meta(m, CR_CLASS, "1.2.3.4", syntax);
    put_header(m, 0x0008, 0x0000, "UL", 4);
    put_number(m, 44, 4);
    put_head(m, CR_CLASS, "1.2.3.4", 4, 4);
    put_header(m, 0x0040, 0xa730, "SQ", UNDEFINED_LENGTH);
    put_item(m, UNDEFINED_LENGTH);
    put_header(m, 0x0040, 0xa168, "SQ", 8 + 10);
    put_item(m, 10);
    put_text(m, 0x0008, 0x0100, "SH", "T1");
    put_item_end(m);
    put_item(m, 0);
    put_sequence_end(m);
    put_text(m, 0x0041, 0x0010, "LO", "OURS");
    put_header(m, 0x0041, 0x1001, "UN", UNDEFINED_LENGTH);
    const bool implicit = m->implicit, big = m->big;
    m->implicit = true;
    m->big = false;
    put_item(m, 10);
    put_text(m, 0x0008, 0x0100, "SH", "T2");
    put_sequence_end(m);
    m->implicit = implicit;
    m->big = big;
    put_header(m, 0x0041, 0x1002, "UN", 6);
    put_bytes(m, "opaque", 6);
    put_pixels(m, 32);
}

/* The n-th of a fixed series of damaged copies: one to four changes of bytes, or a cut. */
static inline void put_mutant(maker *m, const maker *seed, unsigned n)
{
    static const unsigned char telling[] = {0x00, 0xff, 0xfe, 0xe0, 0x7f, 0x80, 0x01, 'S', 'Q', 'U', 'N'};
    uint64_t state = (n + 1) * 0x9e3779b97f4a7c15u;
    put_bytes(m, seed->at, seed->n);
    for (unsigned i = 0; i <= n % 4; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        const size_t at = 128 + (size_t)(state >> 33) % (seed->n - 128);
        m->at[at] = i % 2 ? (unsigned char)(state >> 20) : telling[(state >> 25) % sizeof telling];
    }
    if (n % 16 == 15) m->n = (size_t)(state >> 33) % seed->n;
}
#endif
