/* The words behind the gates, see gate_words.h. A text is taken apart into words of letters, in capitals; P.A. and N/A become
 * PA and NA. Lists of parts match anywhere, as compounds and scripts without spaces need it; lists of starts match the first
 * letters of a word; lists of words match whole ones. SPDX-License-Identifier: Apache-2.0 */
#include "dicom/gate_words.h"

#include <string.h>

enum { TEXT_MOST = 130, WORD_MOST = 66 };

/* ---- taking a text apart ---- */
bool words_list_has(const char *const *list, const char *text)
{
    for (; *list; list++)
        if (!strcmp(*list, text)) return true;
    return false;
}

static void upper(char to[TEXT_MOST], const char *text)
{
    size_t i = 0;
    for (; text[i] && i + 1 < TEXT_MOST; i++) {
        const unsigned char c = (unsigned char)text[i];
        const bool latin1 = i && (unsigned char)text[i - 1] == 0xc3 && c >= 0xa0 && c <= 0xbe && c != 0xb7; /* à…þ */
        to[i] = (char)((c >= 'a' && c <= 'z') || latin1 ? c - 32 : c);
    }
    to[i] = 0;
}

static bool is_letter(char c) /* every byte of UTF-8 letters counts */
{
    return (unsigned char)c >= 0x80 || (c >= 'A' && c <= 'Z');
}

/* Next word, upper case; false at the end. Two single letters with nothing but . - / or a space between are one word. */
static bool next_word(char word[WORD_MOST], const char **at)
{
    size_t n = 0;
    const char *p = *at;
    while (*p && !is_letter(*p)) p++;
    for (; is_letter(*p); p++)
        if (n + 1 < WORD_MOST) word[n++] = *p;
    if (n == 1) {
        const char *q = p;
        while (*q && strchr(".-/ ", *q)) q++;
        if (q > p && is_letter(*q) && !is_letter(q[1])) {
            word[n++] = *q;
            p = q + 1;
        }
    }
    word[n] = 0;
    *at = p;
    return n > 0;
}

static bool starts(const char *word, const char *const *list)
{
    for (; *list; list++)
        if (!strncmp(word, *list, strlen(*list))) return true;
    return false;
}

typedef bool word_test(const char *const *list, const char *word);

static bool is_started(const char *const *list, const char *word)
{
    return starts(word, list);
}

static bool any_word(const char *text, word_test *test, const char *const *list)
{
    char capital[TEXT_MOST], word[WORD_MOST];
    upper(capital, text);
    const char *at = capital;
    while (next_word(word, &at))
        if (test(list, word)) return true;
    return false;
}

static bool has_word(const char *text, const char *const *list)
{
    return any_word(text, words_list_has, list);
}

static bool has_start(const char *text, const char *const *list)
{
    return any_word(text, is_started, list);
}

static bool has_part(const char *text, const char *const *list)
{
    char capital[TEXT_MOST];
    upper(capital, text);
    for (; *list; list++)
        if (strstr(capital, *list)) return true;
    return false;
}

/* ---- projection ---- */
static const char *const frontal_words[] = {
    "AP",    "PA",     "DV",       "FRONTAL",         "FRONTALE",        "FRONTAAL",
    "FACE",  "FRENTE", "FRONTE",   "POSTERO",         "ANTERO",          "DORSO",
    "APSUP", "SAG",    "SAGITTAL", "POSTEROANTERIOR", "ANTEROPOSTERIOR", "DORSOVENTRAL",
    NULL};
static const char *const frontal_parts[] = {"正面", "正位", "正側", "正侧", "後前", "后前位", "前后位", "前後像", NULL};
static const char *const lateral_words[] = {"LL",       "RL",        "LAT",     "LATERAL",  "LLAT",     "RLAT",
                                            "LATERALE", "LATERALIS", "LATÉRAL", "LATÉRALE", "LATERAAL", "LATERALT",
                                            "LATERO",   "PROFIL",    "PROFILE", "PROFILO",  "PERFIL",   "SEIT",
                                            "SEITE",    "DWARS",     "DWARSE",  "SIDOBILD", NULL};
static const char *const lateral_starts[] = {"SEITL", "ANLIEGEND", "TRANSVERS", "BOCZN", NULL};
static const char *const lateral_parts[] = {"側", "侧", "CHESTLAT", "LATCHEST", NULL};
static const char *const both_sides[] = {"両側", "兩側", "双側", "雙側", "双侧", "两侧", NULL};
static const char *const qualifier_words[] = {"LLD",     "RLD", "LLO",        "RLO",      "LAO",   "RAO",      "LPO",
                                              "RPO",     "OBL", "OBLIQUE",    "OBLICUA",  "DECUB", "LORDOTIC", "AXIAL",
                                              "OBLIQUA", "TAN", "TANGENTIAL", "SWIMMERS", NULL};
static const char *const qualifier_starts[] = {"DECUBIT", "DÉCUBIT", "SCHRÄG", "SCHRAEG", "LORDO", NULL};
static const char *const qualifier_parts[] = {"斜位", "側臥", "侧卧", NULL};
static const char *const breast_words[] = {"ML", "LM", "MLO", "LMO", "MEDIO", "MEDIOLATERAL", "LATEROMEDIAL", NULL};
/* words that join several views in one text */
static const char *const joining_words[] = {"AND", "ET",  "UND",  "Y",     "E",      "I",          "EN",
                                            "OG",  "OCH", "PLUS", "VIEWS", "EBENEN", "INCIDENCES", NULL};

static bool is_frontal(const char *text)
{
    return has_word(text, frontal_words) || has_part(text, frontal_parts);
}

static bool is_lateral(const char *text)
{
    return has_word(text, lateral_words) || has_start(text, lateral_starts) ||
           (has_part(text, lateral_parts) && !has_part(text, both_sides));
}

static bool is_qualified(const char *text)
{
    return has_word(text, qualifier_words) || has_start(text, qualifier_starts) || has_part(text, qualifier_parts);
}

word_view words_view_of_field(const char *text)
{
    if (is_lateral(text) || is_qualified(text) || has_word(text, breast_words)) return VIEW_OTHER;
    return is_frontal(text) ? VIEW_FRONTAL : VIEW_SILENT;
}

word_view words_view_of_description(const char *text, bool of_study)
{
    const bool frontal = is_frontal(text), lateral = is_lateral(text), qualified = is_qualified(text);
    const bool several = has_word(text, joining_words) || strpbrk(text, "+&") != NULL;
    if (!lateral && !qualified) return frontal ? VIEW_FRONTAL : VIEW_SILENT;
    if (several || (frontal && (of_study || !qualified))) return VIEW_SILENT;
    return VIEW_OTHER;
}

/* ---- region ---- */
static const char *const chest_parts[] = {"CHEST", "THORAX", "TORAX", "TÓRAX", "TORACE", "TORAKS", "KLATKA",
                                          "LUNGE", "胸部",   "胸片",  "胸X",   "胸写",   "肺",     NULL};
static const char *const chest_starts[] = {"LUNG", "PULM", "POUMON", "POITRINE", "BRUSTK", "HRUDN", "MELLKAS", NULL};
static const char *const chest_words[] = {"CXR", "CHX", "THX", "HEART", "MEDIASTINUM", "PECHO", "BRUST", "KLP", NULL};
/* a spine may be thoracic too, a vertebra 胸椎 */
static const char *const chest_adjectives[] = {"THORACIC", "THORAKAL", "THORACIQUE", NULL};
static const char *const chest_signs[] = {"胸", NULL};
/* how, where and on whom: nothing about the region */
static const char *const silent_words[] = {
    "OTHER",     "UNKNOWN",   "UNDEFINED", "UNSPECIFIED", "DEFAULT", "NONE",     "NA",       "NO",   "NOT",
    "SPECIFIED", "BODY",      "PART",      "REGION",      "MISC",    "GENERAL",  "STANDARD", "STD",  "ROUTINE",
    "STAT",      "EMERGENCY", "ERECT",     "SUPINE",      "UPRIGHT", "STANDING", "SITTING",  "SEMI", "PRONE",
    "LYING",     "MOBILE",    "MOBIL",     "ADULT",       "CHILD",   "INFANT",   "NEONATE",  "BABY", "ICU",
    "ITU",       "CCU",       "NICU",      "WARD",        "ER",      "ED",       "XR",       "XRAY", "RX",
    "RTG",       "RAY",       "CR",        "DX",          "DR",      "RADIO",    "IM",       "AU",   "LIT",
    "BETT",      "DEBOUT",    "COUCHÉ",    "ASSIS",       "LIEGEND", "STEHEND",  "SITZEND",  "X",    "A",
    "P",         "VIEW",      "VIEWS",     "INSP",        "EXP",     NULL};
static const char *const silent_starts[] = {"PORT", "BED", "PEDIATR", "PAEDIATR", "PÄDIATR", NULL};
static const char *const belly_parts[] = {"ABD", "PELV", "BABYGRAM", "胸腹", NULL};

static const char *const other_words[] = {
    "ABD",     "ABDO",      "KUB",       "ASP",      "HIP",    "HIPS",  "LEG",    "LEGS",    "TOE",     "TOES",
    "ARMS",    "CALF",      "HEEL",      "RADIUS",   "ULNA",   "SKULL", "NOSE",   "NASAL",   "SINUS",   "SINUSES",
    "SENOS",   "JAW",       "TEETH",     "DENTAL",   "NECK",   "SPINE", "CSPINE", "TSPINE",  "LSPINE",  "SSPINE",
    "CTSPINE", "TLSPINE",   "LSSPINE",   "SACRUM",   "COCCYX", "RIB",   "RIBS",   "ACJOINT", "SIJOINT", "SCJOINT",
    "BREAST",  "EXTREMITY", "FOOT",      "FEET",     "HWS",    "BWS",   "LWS",    "OPG",     "OPT",     "FACIAL",
    "MANO",    "MÃO",       "MAINS",     "PIE",      "PIEDE",  "CODO",  "COUDE",  "ANCA",    "POLS",    "POLSO",
    "VOET",    "ENKEL",     "HEUP",      "BUIK",     "FOT",    "BUK",   "BACIA",  "BARK",    "STAW",    "DORSAL",
    "DORSALE", "NASE",      "WHOLEBODY", "BABYGRAM", NULL};
static const char *const other_starts[] = {
    "ABDOM",    "ADDOM",    "BAUCH",    "PELVI",    "BECKEN",   "BEKKEN", "BASSIN",  "BACINO",    "MIEDNIC",
    "KNEE",     "KNIE",     "GENOU",    "RODILLA",  "GINOCCH",  "JOELHO", "KOLAN",   "PATELL",    "ROTULE",
    "FEMUR",    "FÉMUR",    "FEMOR",    "THIGH",    "CUISSE",   "TIBIA",  "FIBULA",  "JAMBE",     "ANKLE",
    "SPRUNG",   "CHEVILLE", "TOBILLO",  "CAVIGLI",  "TORNOZEL", "CALCAN", "FERSE",   "ZEHE",      "HAND",
    "HÅND",     "WRIST",    "POIGNET",  "MUÑECA",   "PUNHO",    "FINGER", "THUMB",   "DAUMEN",    "FOREARM",
    "UNTERARM", "OBERARM",  "ELBOW",    "ELLBOG",   "ELLENBOG", "ELLEBO", "GOMITO",  "COTOVELO",  "HUMER",
    "HUMÉR",    "SHOULDER", "SCHULTER", "SCHOUDER", "EPAULE",   "ÉPAULE", "HOMBRO",  "OMBRO",     "SPALLA",
    "CLAVIC",   "KLAVIK",   "SCAPUL",   "SCHÄDEL",  "SCHAEDEL", "CRANE",  "CRÂNE",   "CRANI",     "CRÂNI",
    "CRANEO",   "CRÁNEO",   "CZASZK",   "ORBIT",    "MANDIB",   "KIEFER", "ZAHN",    "ORTHOPANT", "HÜFT",
    "HUEFT",    "HUFTE",    "HANCHE",   "CADERA",   "QUADRIL",  "HOFTE",  "HÖFT",    "BIOD",      "COLUMN",
    "COLONN",   "COLUNA",   "RACHI",    "LUMB",     "LENDEN",   "HALSW",  "CERVIC",  "DORSOLUMB", "KREGOS",
    "KRĘGOS",   "BRUSTW",   "BRUSTB",   "RIPPE",    "COSTAL",   "CÔTES",  "COSTILL", "PARRILLA",  "STERN",
    "FUSS",     "KOPF",     NULL};
static const char *const other_parts[] = {"GELENK", "WIRBEL", "WERVEL", "SCHENKEL", "FUSS", "FUß",  "膝",   "股",
                                          "腰",     "腹",     "骨",     "椎",       "肩",   "肘",   "頸",   "颈",
                                          "踝",     "腕",     "頭部",   "头颅",     "手部", "手指", "手関", "足部",
                                          "足関",   "両手",   "双手",   "両足",     "双足", NULL};
/* French for frontal, the foot of a bed, a C-arm */
static const char *const doubtful_words[] = {"FACE", "PIED", "ARM", "HEAD", NULL};

static bool is_silent_word(const char *word)
{
    return words_list_has(silent_words, word) || starts(word, silent_starts) ||
           (!words_list_has(doubtful_words, word) && words_view_of_field(word) != VIEW_SILENT);
}

/* Says nothing of a region: no words but such. A number alone is somebody's code. */
static bool is_silent(const char *text)
{
    char capital[TEXT_MOST], word[WORD_MOST];
    size_t n = 0;
    upper(capital, text);
    const char *at = capital;
    for (; next_word(word, &at); n++)
        if (!is_silent_word(word)) return false;
    return n || !strpbrk(text, "0123456789");
}

word_region words_region(const char *text)
{
    if (has_part(text, chest_parts) || has_start(text, chest_starts) || has_word(text, chest_words))
        return REGION_CHEST;
    if (has_word(text, other_words) || has_start(text, other_starts) || has_part(text, other_parts))
        return REGION_OTHER;
    if (has_word(text, chest_adjectives) || has_part(text, chest_signs)) return REGION_CHEST;
    if (has_word(text, doubtful_words)) return REGION_DOUBTFUL;
    return is_silent(text) ? REGION_SILENT : REGION_UNKNOWN;
}

bool words_name_belly(const char *text)
{
    return has_part(text, belly_parts);
}
