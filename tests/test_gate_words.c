/* links: dicom config */
/* Gates: the words that departments write into headers, in the languages met so far. SPDX-License-Identifier: Apache-2.0 */
#include "dicom/dicom.h"
#include "tests/check.h"
#include "tests/gate_cases.h"

#define BODY(value)                                                                                                    \
    {                                                                                                                  \
        value, {CR, .body_part = value}, NULL, NULL                                                                    \
    }
#define NO_BODY(value)                                                                                                 \
    {                                                                                                                  \
        value, {CR, .body_part = value}, "body-part", value                                                            \
    }
#define STUDY(value)                                                                                                   \
    {                                                                                                                  \
        value, {CR, .study_description = value}, NULL, NULL                                                            \
    }
#define NO_CHEST(value)                                                                                                \
    {                                                                                                                  \
        value, {CR, .study_description = value}, "body-part", value                                                    \
    }
#define NO_SERIES(value)                                                                                               \
    {                                                                                                                  \
        value, {CR, .body_part = "CHEST", .series_description = value}, "not-frontal", value                           \
    }
#define NO_POSITION(value)                                                                                             \
    {                                                                                                                  \
        value, {CR, .view_position = value}, "not-frontal", "View Position (0018,5101) " value                         \
    }

TEST(body_part_that_says_how_and_not_what_is_no_evidence)
{
    static const gate_case cases[] = {
        BODY("PORTABLE"),
        BODY("PORT"),
        BODY("BEDSIDE"),
        BODY("BED 4"),
        BODY("ERECT"),
        BODY("SUPINE"),
        BODY("UPRIGHT"),
        BODY("MOBILE"),
        BODY("ICU AP"),
        BODY("PA"),
        BODY("ROUTINE"),
        BODY("N/A"),
        BODY("-"),
        BODY("XR"),
        BODY("AU LIT"),
        BODY("LIEGEND"),
        BODY("PECHO"),
        BODY("BRUST"),
        BODY("BRUSTKORB"),
        BODY("KLP"),
        BODY("TORAKS"),
        BODY("BETTLUNGE"),
        BODY("胸片"),
        BODY("CHX"),
        NO_BODY("PORTABLE XYZ"),
        NO_BODY("BRUSTWIRBEL"),
        NO_BODY("BRUSTBEIN"),
        NO_BODY("FACE"),
        NO_BODY("胸椎"),
        NO_BODY("0412"),
        {"remedy",
         {CR, .body_part = "XYZ"},
         "body-part",
         "XYZ is not known as a chest: set it to CHEST or leave it empty"},
    };
    CHECK_CASES(cases);
}

TEST(other_regions_are_known_in_the_words_departments_type)
{
    static const gate_case cases[] = {
        NO_CHEST("Kniegelenk rechts"),
        NO_CHEST("Sprunggelenk"),
        NO_CHEST("Handgelenk"),
        NO_CHEST("Beckenübersicht"),
        NO_CHEST("Abdomenübersicht"),
        NO_CHEST("COLUMNA LUMBAR"),
        NO_CHEST("Cheville"),
        NO_CHEST("Gril costal"),
        NO_CHEST("Lendenwirbelsäule"),
        NO_CHEST("Brustwirbelsäule"),
        NO_CHEST("Unterschenkel"),
        NO_CHEST("Vorfuß links"),
        NO_CHEST("Columna torácica"),
        NO_CHEST("Rachis thoracique"),
        NO_CHEST("膝関節"),
        NO_CHEST("腹部"),
        NO_CHEST("ASP DEBOUT"),
        NO_CHEST("Hüftgelenk"),
        STUDY("Thorax im Bett"),
        STUDY("RX PECHO"),
        STUDY("SHIP CREW"),
    };
    CHECK_CASES(cases);
}

TEST(chest_word_in_the_study_outweighs_doubtful_words_but_not_a_series_of_another_region)
{
    static const gate_case cases[] = {
        {"French frontal", {CR, .series_description = "FACE", .study_description = "RX THORAX"}, NULL, NULL},
        {"at the bed's foot", {CR, .protocol = "PIED DU LIT", .study_description = "POUMONS"}, NULL, NULL},
        {"C-arm", {CR, .series_description = "C-ARM", .study_description = "CHEST"}, NULL, NULL},
        {"face alone", {CR, .series_description = "FACE PA"}, "body-part", "FACE PA"},
        {"several regions", {CR, .study_description = "Thorax, Becken, Knie"}, NULL, NULL},
        {"the pelvis of several",
         {CR, .series_description = "Becken ap", .study_description = "Thorax, Becken, Knie"},
         "body-part",
         "Becken ap"},
        {"protocol says chest", {CR, .series_description = "Hand am Kopf", .protocol = "Chest AP"}, NULL, NULL},
    };
    CHECK_CASES(cases);
}

TEST(laterals_are_known_wherever_they_are_written)
{
    static const gate_case cases[] = {
        {"CHEST_LAT", {CR, .body_part = "CHEST_LAT"}, "not-frontal", "Body Part Examined (0018,0015) CHEST_LAT"},
        {"CHEST LATERAL", {CR, .body_part = "CHEST LATERAL"}, "not-frontal", "CHEST LATERAL"},
        {"CHESTLAT", {CR, .body_part = "CHESTLAT"}, "not-frontal", "CHESTLAT"},
        {"LATERAL", {CR, .body_part = "LATERAL"}, "not-frontal", "LATERAL"},
        {"PA in View Position", {CR, .body_part = "CHEST PA LAT", .view_position = "PA"}, NULL, NULL},
        {"PA in the body part", {CR, .body_part = "CHEST PA", .laterality = "R"}, NULL, NULL},
        {"series is nearer", {CR, .body_part = "CHEST PA", .series_description = "LAT"}, "not-frontal", "LAT"},
        NO_POSITION("ML"),
        NO_POSITION("LM"),
        NO_POSITION("MLO"),
        NO_POSITION("L.L."),
        NO_POSITION("TAN"),
        NO_SERIES("Thorax seitl."),
        NO_SERIES("胸部 側面"),
        NO_SERIES("胸部侧位"),
        NO_SERIES("Thorax schräg"),
        NO_SERIES("Thorax li anliegend"),
        NO_SERIES("Torace LL"),
        NO_SERIES("Thorax dwars"),
        NO_SERIES("AP DECUBITUS"),
        NO_SERIES("PA LORDOTIC"),
        NO_SERIES("Face couchée, oblique"),
        {"both sides", {CR, .body_part = "CHEST", .series_description = "両側肺"}, NULL, NULL},
        {"left, both views in the study",
         {CR, .study_description = "CHEST PA AND LATERAL", .image_laterality = "L"},
         "not-frontal",
         "Laterality"},
        {"study is one lateral", {CR, .study_description = "CHEST LATERAL"}, "not-frontal", "Study Description"},
    };
    CHECK_CASES(cases);
}

TEST(studies_of_several_views_say_nothing_about_one_image)
{
    static const gate_case cases[] = {
        STUDY("THORAX FACE ET PROFIL"),
        STUDY("Thorax p.a. und seitlich"),
        STUDY("RX TORAX FRENTE Y PERFIL"),
        STUDY("Thorax in 2 Ebenen, seitl."),
        STUDY("胸部正側"),
        STUDY("胸部正侧位"),
        STUDY("TORACE AP E LL"),
        STUDY("Chest PA, lateral, oblique"),
        STUDY("CHEST 2 VIEWS LATERAL"),
        STUDY("Thorax sag. + seitl."),
        STUDY("Rx thorax A.P."),
        STUDY("Lunge d.v."),
        {"A.P.", {CR, .laterality = "R", .series_description = "Thorax a.p."}, NULL, NULL},
        {"P-A", {CR, .laterality = "R", .view_position = "P-A"}, NULL, NULL},
        {"D.V.", {CR, .laterality = "R", .series_description = "d.v."}, NULL, NULL},
        {"FRONTALE", {CR, .laterality = "R", .protocol = "Frontale"}, NULL, NULL},
        {"FRENTE", {CR, .laterality = "R", .protocol = "TORAX FRENTE"}, NULL, NULL},
        {"FACE", {CR, .body_part = "CHEST", .laterality = "R", .series_description = "FACE"}, NULL, NULL},
        {"正位", {CR, .laterality = "R", .study_description = "胸部正位"}, NULL, NULL},
        {"series lateral all the same",
         {CR, .study_description = "THORAX FACE ET PROFIL", .series_description = "PROFIL"},
         "not-frontal",
         "PROFIL"},
    };
    CHECK_CASES(cases);
}

/* PS3.16 CID 4010 DX View: what is no AP or PA, in SNOMED CT and in the older SRT. */
TEST(every_view_code_of_the_standard_is_known)
{
    static const char *const frontal[] = {"399348003", "272479007", "399066004", "399033003",
                                          "R-10206",   "R-40888",   "R-10214",   "R-10202"};
    static const char *const other[] = {
        "399198007", "399173006", "399067008", "399260004", "399352003", "399368009", "399099002", "399182000",
        "399236003", "399184004", "399135007", "399356000", "399006002", "399038007", "399312000", "399059000",
        "399160007", "399061009", "30730003",  "R-10232",   "R-10236",   "R-102CD",   "R-10224",   "R-10228",
        "R-10226",   "R-10230",   "R-102C1",   "R-10234",   "R-10238",   "R-10220",   "R-40985",   "R-10212",
        "R-10210",   "R-10208",   "R-10216",   "R-10204",   "R-10241",   "G-A145"};
    for (size_t i = 0; i < sizeof frontal / sizeof *frontal; i++) {
        gate_case c = {frontal[i], {DX, .laterality = "R"}, NULL, NULL}; /* only the code speaks for it */
        snprintf(c.facts.view_code_value, sizeof c.facts.view_code_value, "%s", frontal[i]);
        check_cases(&c, 1);
    }
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        gate_case c = {other[i], {DX}, "not-frontal", other[i]};
        snprintf(c.facts.view_code_value, sizeof c.facts.view_code_value, "%s", other[i]);
        check_cases(&c, 1);
    }
}

CHECK_MAIN
