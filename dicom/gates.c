/* Gates: is this an image the models may read, a frontal radiograph of the chest with a picture in it? First on the
 * header, then on the grey pixels. A reason names what the radiographer can change, with its tag. Invariant: what the
 * header does not say is not held against the image; what it says against it is. Threads: pure functions.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dicom/dicom.h"
#include "dicom/gate_words.h"

#include <string.h>

#define LEAST_SIDE 128 /* pixels; below it the lung markings are gone */

static cot_status refuse(char id[33], const char *why, cot_error *err, const char *text)
{
    snprintf(id, 33, "%s", why);
    return cot_fail(err, COT_E_REFUSED, "%s", text);
}

/* ---- region ---- */
static word_region region_of_code(const cot_dicom_facts *f)
{
    static const char *const chest[] = {"51185008", "816094009", "43799004", "39607008", "86598002",
                                        "72410000", "80891009",  "T-D3000",  "T-28000",  "T-280A0",
                                        "T-D3300",  "T-32000",   NULL};
    if (!f->anatomic_code_value[0] && !f->anatomic_code_meaning[0]) return REGION_SILENT;
    if (words_list_has(chest, f->anatomic_code_value)) return REGION_CHEST;
    const word_region said = words_region(f->anatomic_code_meaning);
    return said == REGION_SILENT ? REGION_UNKNOWN : said;
}

static cot_status refuse_region(char id[33], cot_error *err, const char *label, const char *value, const char *remedy)
{
    char text[256];
    snprintf(text, sizeof text, "%s %s is not %sa chest%s", label, value, *remedy ? "known as " : "", remedy);
    return refuse(id, "body-part", err, text);
}

static cot_status refuse_unknown(const cot_dicom_facts *f, char id[33], cot_error *err)
{
    if (words_region(f->body_part) == REGION_UNKNOWN)
        return refuse_region(id, err, "Body Part Examined (0018,0015)", f->body_part,
                             ": set it to CHEST or leave it empty");
    return refuse_region(id, err, "Anatomic Region Sequence (0008,2218)",
                         f->anatomic_code_meaning[0] ? f->anatomic_code_meaning : f->anatomic_code_value,
                         ": send 816094009 SCT or leave it out");
}

/* Free text speaks only where the coded elements do not decide. Series and protocol speak of this image, the study of all
 * its images; in each a chest word outweighs the rest, and anywhere it outweighs a doubtful word. */
static cot_status gate_descriptions(const cot_dicom_facts *f, bool coded_unknown, char id[33], cot_error *err)
{
    const struct {
        const char *text, *label;
        word_region said;
    } from[] = {{f->series_description, "Series Description (0008,103e)", words_region(f->series_description)},
                {f->protocol, "Protocol Name (0018,1030)", words_region(f->protocol)},
                {f->study_description, "Study Description (0008,1030)", words_region(f->study_description)}};
    const size_t n = sizeof from / sizeof *from, own = n - 1;
    for (size_t i = 0; i < own; i++)
        if (from[i].said == REGION_CHEST) return COT_OK;
    for (size_t i = 0; i < own; i++)
        if (from[i].said == REGION_OTHER) return refuse_region(id, err, from[i].label, from[i].text, "");
    if (from[own].said == REGION_CHEST) return COT_OK;
    for (size_t i = 0; i < n; i++)
        if (from[i].said == REGION_OTHER || from[i].said == REGION_DOUBTFUL)
            return refuse_region(id, err, from[i].label, from[i].text, "");
    return coded_unknown ? refuse_unknown(f, id, err) : COT_OK;
}

static bool names_another(word_region said, const char *text)
{
    return said == REGION_OTHER || said == REGION_DOUBTFUL || (said == REGION_CHEST && words_name_belly(text));
}

static cot_status gate_region(const cot_dicom_facts *f, char id[33], cot_error *err)
{
    char text[256];
    const word_region part = words_region(f->body_part), code = region_of_code(f);
    if (names_another(part, f->body_part)) {
        snprintf(text, sizeof text, "body part %s is not a chest%s (Body Part Examined, 0018,0015)", f->body_part,
                 part == REGION_CHEST ? " alone" : "");
        return refuse(id, "body-part", err, text);
    }
    if (part == REGION_CHEST) return COT_OK;
    if (names_another(code, f->anatomic_code_meaning))
        return refuse_region(id, err, "Anatomic Region Sequence (0008,2218)", f->anatomic_code_meaning, "");
    if (code == REGION_CHEST) return COT_OK;
    return gate_descriptions(f, part == REGION_UNKNOWN || code == REGION_UNKNOWN, id, err);
}

/* ---- projection ---- */
static word_view view_of_code(const cot_dicom_facts *f)
{
    /* PS3.16 CID 4010 DX View */
    static const char *const frontal[] = {"399348003", "272479007", "399066004", "399033003", "R-10206",
                                          "R-40888",   "R-10214",   "R-10202",   NULL};
    static const char *const other[] = {
        "399198007", "399173006", "399067008", "399260004", "399352003", "399368009", "399099002", "399182000",
        "399236003", "399184004", "399135007", "399356000", "399006002", "399038007", "399312000", "399059000",
        "399160007", "399061009", "30730003",  "R-10232",   "R-10236",   "R-102CD",   "R-10224",   "R-10228",
        "R-10226",   "R-10230",   "R-102C1",   "R-10234",   "R-10238",   "R-10220",   "R-40985",   "R-10212",
        "R-10210",   "R-10208",   "R-10216",   "R-10204",   "R-10241",   "G-A145",    NULL};
    if (words_list_has(frontal, f->view_code_value)) return VIEW_FRONTAL;
    if (words_list_has(other, f->view_code_value)) return VIEW_OTHER;
    return words_view_of_field(f->view_code_meaning);
}

static cot_status refuse_view(char id[33], cot_error *err, const char *label, const char *value)
{
    char text[256];
    snprintf(text, sizeof text, "%s %s is not a frontal (AP or PA) view", label, value);
    return refuse(id, "not-frontal", err, text);
}

static bool is_one_side(const char *laterality)
{
    return !strcmp(laterality, "L") || !strcmp(laterality, "R");
}

/* The header's own statement, when it makes one. */
static word_view view_stated(const cot_dicom_facts *f, char id[33], cot_error *err)
{
    const word_view position = words_view_of_field(f->view_position), code = view_of_code(f);
    if (position == VIEW_OTHER)
        (void)refuse_view(id, err, "View Position (0018,5101)", f->view_position);
    else if (code == VIEW_OTHER)
        (void)refuse_view(id, err, "View Code Sequence (0054,0220)",
                          f->view_code_meaning[0] ? f->view_code_meaning : f->view_code_value);
    if (position == VIEW_OTHER || code == VIEW_OTHER) return VIEW_OTHER;
    return position == VIEW_FRONTAL || code == VIEW_FRONTAL ? VIEW_FRONTAL : VIEW_SILENT;
}

/* Patient Orientation: the row of a lateral runs from front to back (A, P); of an upright frontal
 * from the patient's right to the left. Nothing is turned back here: a report's positions must fit the image as sent. */
static cot_status gate_orientation(const cot_dicom_facts *f, char id[33], cot_error *err)
{
    char text[256], value[40];
    const char row = f->orientation_row[0], column = f->orientation_column[0];
    snprintf(value, sizeof value, "%s\\%s", f->orientation_row, f->orientation_column);
    if (row == 'A' || row == 'P' || column == 'A' || column == 'P')
        return refuse_view(id, err, "Patient Orientation (0020,0020)", value);
    const char *const how = row == 'H' || row == 'F' || column == 'H' ? "turned" : row == 'R' ? "mirrored" : NULL;
    if (how) {
        snprintf(text, sizeof text, "Patient Orientation (0020,0020) %s: the image is stored %s, send it as L\\F",
                 value, how);
        return refuse(id, "rotated", err, text);
    }
    return COT_OK;
}

/* Series and protocol speak of this image; a study of several views, or of views in unknown words, says nothing. Refused
 * texts are reported; VIEW_FRONTAL is the first that says so. */
static word_view view_described(const cot_dicom_facts *f, char id[33], cot_error *err)
{
    const struct {
        const char *text, *label;
        bool of_study;
    } from[] = {{f->series_description, "Series Description (0008,103e)", false},
                {f->protocol, "Protocol Name (0018,1030)", false},
                {f->study_description, "Study Description (0008,1030)", true}};
    for (size_t i = 0; i < sizeof from / sizeof *from; i++) {
        const word_view said = words_view_of_description(from[i].text, from[i].of_study);
        if (said == VIEW_OTHER) (void)refuse_view(id, err, from[i].label, from[i].text);
        if (said != VIEW_SILENT) return said;
    }
    return VIEW_SILENT;
}

static cot_status gate_view(const cot_dicom_facts *f, char id[33], cot_error *err)
{
    const word_view stated = view_stated(f, id, err);
    if (stated == VIEW_OTHER) return COT_E_REFUSED;
    const cot_status oriented = gate_orientation(f, id, err);
    if (oriented != COT_OK || stated == VIEW_FRONTAL) return oriented;
    const word_view part = words_view_of_field(f->body_part);
    if (part == VIEW_OTHER) return refuse_view(id, err, "Body Part Examined (0018,0015)", f->body_part);
    const word_view described = view_described(f, id, err);
    if (described == VIEW_OTHER) return COT_E_REFUSED;
    if (described == VIEW_FRONTAL || part == VIEW_FRONTAL) return COT_OK;
    /* a chest has no side: L or R without AP or PA means a lateral, or one half */
    if (is_one_side(f->image_laterality))
        return refuse_view(id, err, "Image Laterality (0020,0062)", f->image_laterality);
    if (is_one_side(f->laterality)) return refuse_view(id, err, "Laterality (0020,0060)", f->laterality);
    return COT_OK;
}

/* ---- modality ---- */
static cot_status gate_modality(const cot_dicom_facts *f, char id[33], cot_error *err)
{
    static const char *const modalities[] = {"CR", "DX", "DR", "RG", NULL}; /* DR, RG: old names still sent */
    static const char *const radiographs[] = {"1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1",
                                              "1.2.840.10008.5.1.4.1.1.1.1.1", NULL};
    static const char captures[] = "1.2.840.10008.5.1.4.1.1.7"; /* and its multi-frame relatives, .7.1 to .7.4 */
    char text[256];
    const bool radiograph = words_list_has(radiographs, f->sop_class);
    const bool capture = !strncmp(f->sop_class, captures, sizeof captures - 1) &&
                         (!f->sop_class[sizeof captures - 1] || f->sop_class[sizeof captures - 1] == '.');
    if (!radiograph && !capture) {
        snprintf(text, sizeof text, "SOP Class (0008,0016) %s is not CR/DX-like: CR, DX and Secondary Capture are read",
                 f->sop_class[0] ? f->sop_class : "(empty)");
        return refuse(id, "modality", err, text);
    }
    if (words_list_has(modalities, f->modality) || (radiograph && !f->modality[0])) return COT_OK;
    snprintf(text, sizeof text, "Modality (0008,0060) %s is not CR/DX-like: only radiographs are read",
             f->modality[0] ? f->modality : "(empty)");
    return refuse(id, "modality", err, text);
}

static cot_status gate_size(size_t rows, size_t cols, bool tags, char id[33], cot_error *err)
{
    char text[256];
    if (rows >= LEAST_SIDE && cols >= LEAST_SIDE) return COT_OK;
    snprintf(text, sizeof text, "the image has %zu x %zu pixels, a side needs at least %d%s", rows, cols, LEAST_SIDE,
             tags ? " (Rows, Columns 0028,0010/0011)" : "");
    return refuse(id, "too-small", err, text);
}

cot_status cot_gate_facts(const cot_dicom_facts *f, char id[33], cot_error *err)
{
    cot_status status;
    char text[256];
    id[0] = 0;
    COT_TRY(gate_modality(f, id, err));
    COT_TRY(gate_region(f, id, err));
    if (f->frames > 1) {
        snprintf(text, sizeof text, "the object has %zu frames, single images are read (Number of Frames 0028,0008)",
                 f->frames);
        return refuse(id, "multi-frame", err, text);
    }
    COT_TRY(gate_view(f, id, err));
    COT_TRY(gate_size(f->rows, f->cols, true, id, err));
done:
    return status;
}

/* ---- pixels ---- */
#define LEVELS 256

static size_t levels_used(const size_t *histogram, size_t least)
{
    size_t used = 0;
    for (size_t i = 0; i < LEVELS; i++) used += histogram[i] > least;
    return used;
}

static size_t level_below_which(const size_t *histogram, size_t part)
{
    size_t below = 0, i = 0;
    while (i + 1 < LEVELS && (below += histogram[i]) <= part) i++;
    return i;
}

static cot_status grey_histogram(size_t histogram[LEVELS], const float *grey, size_t n, cot_error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (!(grey[i] >= 0 && grey[i] <= 1)) return cot_fail(err, COT_E_BUG, "grey pixel %zu lies outside 0 to 1", i);
        histogram[(size_t)(grey[i] * (LEVELS - 1) + 0.5f)]++;
    }
    return COT_OK;
}

/* Real chest images spread over most of the range; thresholds leave room for wide collimation borders. */
static cot_status gate_histogram(const size_t *histogram, size_t n, bool tags, char id[33], cot_error *err)
{
    char text[256];
    const size_t used = levels_used(histogram, 0);
    const size_t spread = level_below_which(histogram, n - n / 100) - level_below_which(histogram, n / 100);
    const double ends = 100.0 * (double)(histogram[0] + histogram[LEVELS - 1]) / (double)n;
    if (used == 1) {
        snprintf(text, sizeof text, "the image is empty: every pixel%s has the same grey", tags ? " (7fe0,0010)" : "");
        return refuse(id, "empty", err, text);
    }
    if (ends > 95) {
        snprintf(text, sizeof text, "%.0f %% of the image is pure black or white: %s", ends,
                 tags ? "overexposed, empty, or its window (0028,1050/1051) is wrong" : "overexposed or empty");
        return refuse(id, "empty", err, text);
    }
    if (used < 16 || spread < 8) {
        snprintf(text, sizeof text,
                 "the image is almost constant: %zu grey levels, 98 %% of the pixels within %zu of 255", used, spread);
        return refuse(id, "constant", err, text);
    }
    return COT_OK;
}

cot_status cot_gate_pixels(const cot_dicom_facts *facts, const float *grey, size_t rows, size_t cols, char id[33],
                           cot_error *err)
{
    cot_status status;
    size_t histogram[LEVELS] = {0};
    const bool tags = facts && facts->sop_class[0];
    id[0] = 0;
    COT_TRY(gate_size(rows, cols, tags, id, err));
    COT_TRY(grey_histogram(histogram, grey, rows * cols, err));
    COT_TRY(gate_histogram(histogram, rows * cols, tags, id, err));
done:
    return status;
}
