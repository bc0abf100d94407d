/* What radiology departments write about region and projection, in the languages met so far (internal): the vocabulary behind
 * gates.c. Texts are UTF-8 of at most 64 bytes, in any case. Threads: pure functions. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_DICOM_GATE_WORDS_H
#define COT_DICOM_GATE_WORDS_H
#include <stdbool.h>

typedef enum word_region {
    REGION_SILENT,   /* empty, or only words about how and where: PORTABLE, ERECT, AP */
    REGION_UNKNOWN,  /* words that are in no list */
    REGION_CHEST,    /* a chest word, whatever else is named */
    REGION_OTHER,    /* another region */
    REGION_DOUBTFUL, /* FACE, ARM: a region or not, as the language and the device have it */
} word_region;
word_region words_region(const char *text);
bool words_name_belly(const char *text);

typedef enum word_view { VIEW_SILENT, VIEW_FRONTAL, VIEW_OTHER } word_view;
/* A field holds one view, whose second word qualifies the first: AP OBLIQUE, PA LORDOTIC, CHEST LAT are not frontal. */
word_view words_view_of_field(const char *text);
/* A description may name several views: then it is no evidence. `of_study`: it covers more than this image's series. */
word_view words_view_of_description(const char *text, bool of_study);

bool words_list_has(const char *const *list, const char *text); /* the very text; the list ends with NULL */
#endif
