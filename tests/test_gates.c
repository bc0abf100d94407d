/* links: dicom config */
/* Gates: a table of what headers say -> which reason, then pictures that are none. SPDX-License-Identifier: Apache-2.0 */
#include "dicom/dicom.h"
#include "tests/check.h"
#include "tests/gate_cases.h"

TEST(modality_and_class_must_be_those_of_a_radiograph)
{
    static const gate_case cases[] = {
        {"CR", {CR}, NULL, NULL},
        {"DX", {DX}, NULL, NULL},
        {"capture with modality CR", {CR, .sop_class = SC_CLASS}, NULL, NULL},
        {"capture, true colour class", {DX, .sop_class = SC_CLASS ".4"}, NULL, NULL},
        {"CR class without modality", {CR, .modality = ""}, NULL, NULL},
        {"old name DR", {CR, .modality = "DR"}, NULL, NULL},
        {"capture without modality", {CR, .sop_class = SC_CLASS, .modality = ""}, "modality", "(empty)"},
        {"capture of something else",
         {CR, .sop_class = SC_CLASS, .modality = "OT"},
         "modality",
         "OT is not CR/DX-like"},
        {"mammogram", {DX, .modality = "MG"}, "modality", "(0008,0060) MG"},
        {"CT class", {CR, .sop_class = "1.2.840.10008.5.1.4.1.1.2", .modality = "CT"}, "modality", "(0008,0016)"},
        {"class that only begins alike", {CR, .sop_class = "1.2.840.10008.5.1.4.1.1.77.1.1"}, "modality", "SOP Class"},
        {"nothing at all", {.rows = 0}, "modality", "(empty)"},
    };
    CHECK_CASES(cases);
}

TEST(region_must_be_the_chest_or_unknown)
{
    static const gate_case cases[] = {
        {"nothing known", {CR}, NULL, NULL},
        {"CHEST", {CR, .body_part = "CHEST"}, NULL, NULL},
        {"chest, small", {CR, .body_part = "Chest"}, NULL, NULL},
        {"portable", {CR, .body_part = "PORT CHEST"}, NULL, NULL},
        {"THORAX", {CR, .body_part = "THORAX"}, NULL, NULL},
        {"LUNG", {CR, .body_part = "LUNG"}, NULL, NULL},
        {"Spanish", {CR, .body_part = "TORAX"}, NULL, NULL},
        {"hip", {CR, .body_part = "HIP"}, "body-part", "body part HIP is not a chest"},
        {"abdomen", {CR, .body_part = "ABDOMEN"}, "body-part", "body part ABDOMEN is not a chest"},
        {"ribs", {CR, .body_part = "RIB"}, "body-part", "(Body Part Examined, 0018,0015)"},
        {"thoracic spine", {CR, .body_part = "THORACIC SPINE"}, "body-part", "SPINE"},
        {"TSPINE", {CR, .body_part = "TSPINE"}, "body-part", "TSPINE"},
        {"babygram", {CR, .body_part = "CHESTABDOMEN"}, "body-part", "not a chest alone"},
        {"a code of their own", {CR, .body_part = "XYZ"}, "body-part", "XYZ"},
        {"their own, but text says chest", {CR, .body_part = "XYZ", .study_description = "Chest PA"}, NULL, NULL},
        {"hip, though text says chest", {CR, .body_part = "HIP", .study_description = "CHEST"}, "body-part", "HIP"},
        {"OTHER says nothing", {CR, .body_part = "OTHER"}, NULL, NULL},
        {"empty, text says hip",
         {CR, .study_description = "HIP JOINT"},
         "body-part",
         "Study Description (0008,1030) HIP JOINT"},
        {"empty, text says ship", {CR, .study_description = "SHIP CREW SCREENING"}, NULL, NULL},
        {"empty, text neutral", {CR, .study_description = "No Finding"}, NULL, NULL},
        {"German, position of the body",
         {CR, .series_description = "Handaufnahme, Darstellung Hand"},
         "body-part",
         "Hand"},
        {"German chest", {CR, .series_description = "Lunge p.a."}, NULL, NULL},
        {"German hip, Umlaut", {CR, .series_description = "Hüfte links"}, "body-part", "Hüfte"},
        {"Chinese chest", {CR, .study_description = "胸部正位"}, NULL, NULL},
        {"study of two, this series the chest",
         {CR, .study_description = "PELVIS", .series_description = "CHEST AP"},
         NULL,
         NULL},
        {"protocol", {CR, .protocol = "Knee AP"}, "body-part", "Protocol Name (0018,1030) Knee AP"},
        {"anatomic code", {DX, .anatomic_code_value = "51185008", .anatomic_code_scheme = "SCT"}, NULL, NULL},
        {"anatomic code, old", {DX, .anatomic_code_value = "T-D3000", .anatomic_code_scheme = "SRT"}, NULL, NULL},
        {"anatomic hip",
         {DX, .anatomic_code_value = "29836001", .anatomic_code_meaning = "Hip"},
         "body-part",
         "(0008,2218) Hip"},
        {"anatomic spine",
         {DX, .anatomic_code_value = "122495006", .anatomic_code_meaning = "Thoracic spine"},
         "body-part",
         "spine"},
        {"chest and abdomen",
         {DX, .anatomic_code_value = "416550000", .anatomic_code_meaning = "Chest and Abdomen"},
         "body-part",
         "Abdomen"},
        {"code nobody knows", {DX, .anatomic_code_value = "12345"}, "body-part", "12345"},
    };
    CHECK_CASES(cases);
}

TEST(view_must_be_frontal_or_unknown)
{
    static const gate_case cases[] = {
        {"PA", {CR, .view_position = "PA"}, NULL, NULL},
        {"AP", {CR, .view_position = "AP"}, NULL, NULL},
        {"AP supine", {CR, .view_position = "AP_SUPINE"}, NULL, NULL},
        {"LL", {CR, .view_position = "LL"}, "not-frontal", "View Position (0018,5101) LL"},
        {"RL", {CR, .view_position = "RL"}, "not-frontal", "RL"},
        {"LATERAL", {CR, .view_position = "LATERAL"}, "not-frontal", "LATERAL"},
        {"decubitus", {CR, .view_position = "LLD"}, "not-frontal", "LLD"},
        {"oblique", {CR, .view_position = "AP OBLIQUE"}, "not-frontal", "OBLIQUE"},
        {"lordotic", {CR, .view_position = "AP LORDOTIC"}, "not-frontal", "LORDOTIC"},
        {"code PA", {DX, .view_code_value = "R-10214", .view_code_scheme = "SRT"}, NULL, NULL},
        {"code left lateral",
         {DX, .view_code_value = "399173006", .view_code_scheme = "SCT"},
         "not-frontal",
         "(0054,0220)"},
        {"old code", {DX, .view_code_value = "R-10232"}, "not-frontal", "R-10232"},
        {"meaning only",
         {DX, .view_code_value = "9", .view_code_meaning = "right lateral"},
         "not-frontal",
         "right lateral"},
        {"row to the back", {CR, .orientation_row = "P", .orientation_column = "F"}, "not-frontal", "P\\F"},
        {"row to the front", {CR, .orientation_row = "A", .orientation_column = "F"}, "not-frontal", "A\\F"},
        {"upright frontal", {CR, .orientation_row = "L", .orientation_column = "F"}, NULL, NULL},
        {"tilted frontal", {CR, .orientation_row = "LF", .orientation_column = "FR"}, NULL, NULL},
        {"turned", {CR, .orientation_row = "F", .orientation_column = "R"}, "rotated", "stored turned"},
        {"seen from behind", {CR, .orientation_row = "R", .orientation_column = "F"}, "rotated", "stored mirrored"},
        {"head down", {CR, .orientation_row = "R", .orientation_column = "H"}, "rotated", "R\\H"},
        {"PA, but stored sideways",
         {CR, .view_position = "PA", .orientation_row = "H", .orientation_column = "L"},
         "rotated",
         "H\\L"},
        {"series says lateral", {CR, .series_description = "CHEST LAT"}, "not-frontal", "Series Description"},
        {"study of both views", {CR, .study_description = "CHEST PA AND LATERAL"}, NULL, NULL},
        {"study of both, series lateral",
         {CR, .study_description = "CHEST PA AND LATERAL", .series_description = "Lateral"},
         "not-frontal",
         "Lateral"},
        {"header says PA, text lateral", {CR, .view_position = "PA", .series_description = "CHEST LAT"}, NULL, NULL},
        {"one side", {CR, .image_laterality = "L"}, "not-frontal", "Image Laterality (0020,0062) L"},
        {"one side of the series", {CR, .laterality = "R"}, "not-frontal", "Laterality (0020,0060) R"},
        {"unpaired", {DX, .image_laterality = "U"}, NULL, NULL},
        {"PA with a side marked", {CR, .view_position = "PA", .laterality = "R"}, NULL, NULL},
    };
    CHECK_CASES(cases);
}

TEST(size_and_frames_must_be_those_of_one_radiograph)
{
    static const gate_case cases[] = {
        {"127 rows", {CR, .rows = 127}, "too-small", "127 x 1800"},
        {"128 by 128", {CR, .rows = 128, .cols = 128}, NULL, NULL},
        {"no columns", {CR, .cols = 0}, "too-small", "2000 x 0"},
        {"cine", {CR, .frames = 40}, "multi-frame", "40 frames"},
    };
    CHECK_CASES(cases);
}

/* ---- pixels ---- */
#define SIDE 256
static const cot_dicom_facts dicom = {CR};
static float picture[SIDE * SIDE];

static void fill(float low, float high) /* a diagonal ramp */
{
    for (size_t i = 0; i < SIDE * SIDE; i++)
        picture[i] = low + (high - low) * (float)(i / SIDE + i % SIDE) / (float)(2 * SIDE - 2);
}

TEST(picture_with_a_full_range_passes)
{
    cot_error err;
    char id[33];
    fill(0, 1);
    CHECK_OK(cot_gate_pixels(&dicom, picture, SIDE, SIDE, id, &err));
    fill(0.4f, 0.6f); /* flat, but a picture */
    CHECK_OK(cot_gate_pixels(&dicom, picture, SIDE, SIDE, id, &err));
}

TEST(picture_between_wide_black_borders_passes)
{
    cot_error err;
    char id[33];
    fill(0.1f, 0.9f);
    for (size_t i = 0; i < SIDE * SIDE; i++)
        if (i % SIDE < 90 || i % SIDE > 166) picture[i] = 0; /* 70 % collimated away */
    CHECK_OK(cot_gate_pixels(&dicom, picture, SIDE, SIDE, id, &err));
}

TEST(one_grey_is_empty)
{
    cot_error err;
    char id[33];
    fill(0.3f, 0.3f);
    CHECK_FAILS(cot_gate_pixels(&dicom, picture, SIDE, SIDE, id, &err), COT_E_REFUSED, "every pixel");
    CHECK_TEXT(id, "empty");
}

TEST(saturated_picture_is_empty_and_the_window_suspected)
{
    cot_error err;
    char id[33];
    fill(0, 1);
    for (size_t i = 0; i < SIDE * SIDE; i++)
        if (i % 64) picture[i] = picture[i] > 0.5f; /* 98 % pure black or white */
    CHECK_FAILS(cot_gate_pixels(&dicom, picture, SIDE, SIDE, id, &err), COT_E_REFUSED, "window (0028,1050/1051)");
    CHECK_TEXT(id, "empty");
}

TEST(almost_constant_picture_is_refused)
{
    cot_error err;
    char id[33];
    fill(0.50f, 0.52f);
    CHECK_FAILS(cot_gate_pixels(&dicom, picture, SIDE, SIDE, id, &err), COT_E_REFUSED, "almost constant");
    CHECK_TEXT(id, "constant");
    fill(0.50f, 0.51f);
    for (size_t i = 0; i < 256; i++) picture[i * 256] = (float)i / 255; /* a thin burned-in scale does not help */
    CHECK_FAILS(cot_gate_pixels(&dicom, picture, SIDE, SIDE, id, &err), COT_E_REFUSED, "almost constant");
}

TEST(small_picture_and_impossible_grey_are_refused)
{
    cot_error err;
    char id[33];
    fill(0, 1);
    CHECK_FAILS(cot_gate_pixels(&dicom, picture, 100, SIDE, id, &err), COT_E_REFUSED, "100 x 256");
    CHECK_TEXT(id, "too-small");
    picture[77] = NAN;
    CHECK_FAILS(cot_gate_pixels(&dicom, picture, SIDE, SIDE, id, &err), COT_E_BUG, "pixel 77");
}
/* `n` levels from 0.5 on, the same number of pixels each; pixels beyond keep their value. */
static void fill_levels(size_t n, size_t step)
{
    for (size_t i = 0; i < SIDE * SIDE; i++) picture[i] = (float)(100 + i % n * step) / 255;
}

TEST(sixteen_grey_levels_are_a_picture_and_fifteen_are_not)
{
    cot_error err;
    char id[33];
    fill_levels(16, 4);
    CHECK_OK(cot_gate_pixels(&dicom, picture, SIDE, SIDE, id, &err));
    fill_levels(15, 4);
    CHECK_FAILS(cot_gate_pixels(&dicom, picture, SIDE, SIDE, id, &err), COT_E_REFUSED, "15 grey levels");
}

TEST(spread_of_8_levels_is_a_picture_and_7_are_not)
{
    cot_error err;
    char id[33];
    for (size_t spread = 7; spread <= 8; spread++) {
        fill_levels(spread + 1, 1);
        for (size_t i = 0; i < 20; i++) picture[i] = (float)i / 255; /* enough levels, in too few pixels */
        const cot_status status = cot_gate_pixels(&dicom, picture, SIDE, SIDE, id, &err);
        CHECK(status == (spread == 8 ? COT_OK : COT_E_REFUSED));
    }
    CHECK_TEXT(id, "");
}

TEST(two_percent_of_the_pixels_make_a_spread_and_half_a_percent_does_not)
{
    cot_error err;
    char id[33];
    for (size_t way = 0; way < 4; way++) {
        const size_t every = way / 2 ? 200 : 50, first = way % 2 ? 70 : 120; /* darker, brighter than the rest */
        fill_levels(4, 1);
        for (size_t i = 0; i < SIDE * SIDE; i += every) picture[i] = (float)(first + i / every % 20) / 255;
        const cot_status status = cot_gate_pixels(&dicom, picture, SIDE, SIDE, id, &err);
        CHECK(status == (every == 50 ? COT_OK : COT_E_REFUSED));
    }
}

TEST(reasons_about_a_picture_file_quote_no_tags)
{
    const cot_dicom_facts none = {.sop_class = ""};
    cot_error err;
    char id[33];
    fill(0, 1);
    CHECK_FAILS(cot_gate_pixels(&none, picture, 100, SIDE, id, &err), COT_E_REFUSED, "100 x 256");
    CHECK(!strchr(err.text, '('));
    for (size_t i = 0; i < SIDE * SIDE; i++) picture[i] = picture[i] > 0.5f;
    CHECK_FAILS(cot_gate_pixels(NULL, picture, SIDE, SIDE, id, &err), COT_E_REFUSED, "pure black or white");
    CHECK(!strchr(err.text, '(') && !strstr(err.text, "window"));
    fill(0.3f, 0.3f);
    CHECK_FAILS(cot_gate_pixels(&none, picture, SIDE, SIDE, id, &err), COT_E_REFUSED, "same grey");
    CHECK(!strchr(err.text, '('));
    CHECK_FAILS(cot_gate_pixels(&dicom, picture, SIDE, SIDE, id, &err), COT_E_REFUSED, "(7fe0,0010)");
}

/* ---- real files, see tests/data/dicom/README.md ---- */
static cot_status gate(const char *name, char id[33], char rendering[161], cot_error *err)
{
    cot_status status;
    char path[400];
    cot_dicom_image *image = NULL;
    size_t rows, cols;
    snprintf(path, sizeof path, COT_SOURCE_DIR "/tests/data/dicom/%s.dcm", name);
    COT_TRY(cot_dicom_image_create(&image, path, err));
    snprintf(rendering, 161, "%s", cot_dicom_image_facts(image)->rendering);
    const float *grey = cot_dicom_image_pixels(image, &rows, &cols);
    COT_TRY(cot_gate_facts(cot_dicom_image_facts(image), id, err));
    COT_TRY(cot_gate_pixels(cot_dicom_image_facts(image), grey, rows, cols, id, err));
done:
    cot_dicom_image_destroy(image);
    return status;
}

__attribute__((constructor)) static void begin(void)
{
    cot_dicom_init();
}

TEST(real_chests_pass_and_the_real_hip_does_not)
{
    cot_error err;
    char id[33], rendering[161];
    CHECK_OK(gate("RG1_J2KI", id, rendering, &err));
    CHECK_TEXT(rendering, "window 15000/30000 LINEAR, inverted");
    CHECK_OK(gate("gdcm-CR-MONO1-10-chest", id, rendering, &err));
    CHECK_TEXT(rendering, "window 550/1024 LINEAR, inverted");
    CHECK_OK(gate("siim_1.2.276.0.7230010.3.1.4.8323329.6904", id, rendering, &err));
    CHECK_TEXT(rendering, "no VOI: display values 0 to 255");
    CHECK_FAILS(gate("RG2_JPLY", id, rendering, &err), COT_E_REFUSED, "body part HIP is not a chest");
    CHECK_TEXT(id, "body-part");
    CHECK_FAILS(gate("RG2_J2KI", id, rendering, &err), COT_E_REFUSED, "body part HIP is not a chest");
    CHECK_TEXT(rendering, "window 511/1024 LINEAR");
}
CHECK_MAIN
