/* stepcot data import step-cot: the published layout, data.json with a list of records {patient_id, image_path, origin,
 * report, vqa_chain}. Records are cut out of the file one by one, so that a fault has a line and memory stays one record's.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/data_command.h"
#include "plugin/utf8.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DATA_JSON_MAX ((size_t)2 << 30)
enum { RECORD_MAX = 1 << 20, OWN_OPTIONS_MAX = 64 };

typedef struct chain_source {
    data_import *import;
    data_words *words;
    cot_manifest *manifest;
    char path[1024]; /* data.json */
    size_t line;     /* of the record's beginning */
    int *label;
    const char **reasoning;
    bool *seen;
} chain_source;

#define SAY(s, kind, ...) data_say((s)->import->log, kind, (s)->path, (s)->line, __VA_ARGS__)

/* ---- answers ---- */
/* "A", "b.", "(C)": its position; -1: not a letter. *rest = what follows "A." in "A. Focal", or NULL. */
static int letter_of(const char *text, const char **rest)
{
    *rest = NULL;
    text += strspn(text, " \t(");
    if (!isalpha((unsigned char)*text)) return -1;
    const int letter = toupper((unsigned char)*text) - 'A';
    const char *c = text + 1;
    if (!*c) return letter;
    if (!strchr(".):", *c)) return -1;
    c += strspn(c, ".): \t");
    if (*c) *rest = c;
    return letter;
}

static const char *without_letter(const char *text)
{
    const char *rest;
    letter_of(text, &rest);
    return rest ? rest : text;
}

/* The entry's own option number `letter`, from a list or from an object {"A": …}; NULL: it has none. */
static const char *own_option(const cJSON *entry, int letter)
{
    const cJSON *options = cJSON_GetObjectItemCaseSensitive(entry, "options"), *item = NULL;
    const char name[2] = {(char)('A' + letter), 0};
    if (cJSON_IsArray(options) && letter < OWN_OPTIONS_MAX) item = cJSON_GetArrayItem(options, letter);
    if (cJSON_IsObject(options)) item = cJSON_GetObjectItem(options, name);
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

static bool says_nothing(const char *answer)
{
    return data_words_same(answer, "") || data_words_same(answer, "n/a") || data_words_same(answer, "na") ||
           data_words_same(answer, "not applicable");
}

static void take_answer(chain_source *s, size_t step, const cJSON *entry)
{
    const cot_step *const mine = &s->import->steps->steps[step];
    const cJSON *answer = cJSON_GetObjectItemCaseSensitive(entry, "answer");
    const char *rest, *text;
    if (!answer || cJSON_IsNull(answer)) return;
    if (!cJSON_IsString(answer)) {
        SAY(s, DATA_BROKEN, "step \"%s\": the answer is no text; masked", mine->id);
        return;
    }
    text = answer->valuestring;
    if (says_nothing(text)) return;
    s->label[step] = data_words_option(s->words, step, text);
    const int letter = letter_of(text, &rest);
    if (s->label[step] < 0 && rest) s->label[step] = data_words_option(s->words, step, rest);
    if (s->label[step] < 0 && letter >= 0 && !rest) {
        text = own_option(entry, letter);
        if (!text) {
            SAY(s, DATA_OPTION, "step \"%s\": the answer is letter %c, which its options do not have; masked", mine->id,
                'A' + letter);
            return;
        }
        if (says_nothing(without_letter(text))) return;
        s->label[step] = data_words_option(s->words, step, without_letter(text));
    }
    if (s->label[step] < 0)
        SAY(s, DATA_OPTION, "step \"%s\" has no option \"%.64s\"; masked (--words FILE adds wordings)", mine->id, text);
}

/* ---- chains ---- */
/* A step's number, id or title; its place in the chain where it says nothing. */
static size_t step_of(const chain_source *s, const cJSON *entry, size_t place)
{
    const cJSON *step = cJSON_GetObjectItemCaseSensitive(entry, "step");
    const cot_steps *steps = s->import->steps;
    if (!step || cJSON_IsNull(step)) return place;
    if (cJSON_IsNumber(step))
        return step->valuedouble >= 1 && step->valuedouble <= (double)steps->n_steps ? (size_t)step->valuedouble - 1
                                                                                     : steps->n_steps;
    const char *text = cJSON_IsString(step) ? step->valuestring : "";
    for (size_t i = 0; i < steps->n_steps; i++)
        if (data_words_same(text, steps->steps[i].id) || data_words_same(text, steps->steps[i].title)) return i;
    text += strcspn(text, "0123456789"); /* "Step 3", "3", "Step 3: …" */
    const unsigned long number = strtoul(text, NULL, 10);
    return number >= 1 && number <= steps->n_steps ? number - 1 : steps->n_steps;
}

/* False when the record cannot be used. */
static bool take_chain(chain_source *s, const cJSON *record)
{
    const cot_steps *steps = s->import->steps;
    const cJSON *chain = cJSON_GetObjectItemCaseSensitive(record, "vqa_chain"), *entry;
    size_t place = 0;
    if (!cJSON_IsArray(chain) || (size_t)cJSON_GetArraySize(chain) != steps->n_steps) {
        SAY(s, DATA_BROKEN, "\"vqa_chain\" is no list of %zu steps; record left out", steps->n_steps);
        return false;
    }
    for (size_t i = 0; i < steps->n_steps; i++) {
        s->label[i] = COT_MASKED;
        s->reasoning[i] = "";
        s->seen[i] = false;
    }
    cJSON_ArrayForEach(entry, chain)
    {
        const size_t step = cJSON_IsObject(entry) ? step_of(s, entry, place) : steps->n_steps;
        if (step == steps->n_steps || s->seen[step]) {
            SAY(s, DATA_BROKEN, "entry %zu of \"vqa_chain\" is an unknown step or one given twice; record left out",
                place + 1);
            return false;
        }
        s->seen[step] = true;
        take_answer(s, step, entry);
        const cJSON *reasoning = cJSON_GetObjectItemCaseSensitive(entry, "reasoning");
        if (cJSON_IsString(reasoning)) s->reasoning[step] = reasoning->valuestring;
        place++;
    }
    return true;
}

/* ---- records ---- */
static char *text_in(const cJSON *record, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(record, key);
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

static cot_status take_record(chain_source *s, const cJSON *record, cot_error *err)
{
    char number[32];
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(record, "patient_id");
    char *patient = text_in(record, "patient_id"), *path = text_in(record, "image_path");
    if (cJSON_IsNumber(id)) snprintf(patient = number, sizeof number, "%.15g", id->valuedouble);
    if (!patient || !path) {
        SAY(s, DATA_BROKEN, "no \"patient_id\" or no \"image_path\"; record left out");
        return COT_OK;
    }
    if (!take_chain(s, record)) return COT_OK;
    while (!strncmp(path, "./", 2)) path += 2;
    const cot_case one = {.path = path,
                          .patient = patient,
                          .label = s->label,
                          .origin = text_in(record, "origin"),
                          .report = text_in(record, "report"),
                          .reasoning = (char **)(uintptr_t)s->reasoning,
                          .line = s->line};
    cot_error why = COT_ERROR_INIT;
    const cot_status status = cot_manifest_add(s->manifest, &one, s->import->steps, &why);
    if (status == COT_E_INPUT) SAY(s, DATA_BROKEN, "%s; record left out", why.text);
    return status == COT_OK || status == COT_E_INPUT ? COT_OK : cot_fail(err, status, "%s", why.text);
}

/* Length of the object at `c` ('{'), 0: it does not end. *lines = newlines within. */
static size_t object_length(const char *c, size_t *lines)
{
    size_t depth = 0;
    bool string = false;
    *lines = 0;
    for (size_t n = 0; c[n]; n++) {
        *lines += c[n] == '\n';
        if (string) {
            if (c[n] == '\\' && c[n + 1])
                n++;
            else if (c[n] == '"')
                string = false;
        } else if (c[n] == '"') {
            string = true;
        } else if (c[n] == '{') {
            depth++;
        } else if (c[n] == '}' && --depth == 0) {
            return n + 1;
        }
    }
    return 0;
}

static cot_status read_record(chain_source *s, const char *text, size_t size, cot_error *err)
{
    cot_status status = COT_OK;
    s->import->rows++;
    if (size > RECORD_MAX) {
        SAY(s, DATA_BROKEN, "a record of more than %d bytes; left out", RECORD_MAX);
        return COT_OK;
    }
    cJSON *record = cJSON_ParseWithLength(text, size);
    if (!record)
        SAY(s, DATA_BROKEN, "a record that is not JSON; left out");
    else
        status = take_record(s, record, err);
    cJSON_Delete(record);
    return status;
}

static const char *after_space(const char *c, size_t *line)
{
    for (; *c && strchr(" \t\r\n", *c); c++) *line += *c == '\n';
    return c;
}

/* A list of objects, or objects one after the other. What else stands there ends the reading: a file that was cut off must
 * not pass for a smaller one. */
static cot_status read_records(chain_source *s, const char *text, cot_error *err)
{
    cot_status status = COT_OK;
    size_t line = 1, lines;
    const char *c = after_space(strncmp(text, "\xef\xbb\xbf", 3) ? text : text + 3, &line);
    const bool list = *c == '[';
    if (!list && *c != '{')
        return cot_fail(err, COT_E_INPUT, "%s:%zu: neither a list of records nor a record", s->path, line);
    if (list) c = after_space(c + 1, &line);
    while (*c == '{') {
        const size_t n = object_length(c, &lines);
        if (!n) return cot_fail(err, COT_E_INPUT, "%s:%zu: the record that begins here does not end", s->path, line);
        s->line = line;
        COT_TRY(read_record(s, c, n, err));
        line += lines;
        c = after_space(c + n, &line);
        if (!list) continue;
        if (*c != ',') break;
        c = after_space(c + 1, &line);
    }
    if (list && *c == ']')
        c = after_space(c + 1, &line);
    else if (list)
        return cot_fail(err, COT_E_INPUT, "%s:%zu: a record or the list's end is missing here: the file was cut off?",
                        s->path, line);
    if (*c) status = cot_fail(err, COT_E_INPUT, "%s:%zu: text that is no record", s->path, line);
done:
    return status;
}

static cot_status leave_out_twice(chain_source *s, cot_error *err)
{
    cot_manifest *m = s->manifest;
    bool *keep = calloc(m->n + 1, sizeof *keep);
    if (!keep) return cot_fail(err, COT_E_MEMORY, "no memory for %zu images", m->n);
    cot_manifest_sort(m);
    for (size_t i = 0, first = 0; i < m->n; i++) {
        keep[i] = !i || strcmp(m->cases[i].path, m->cases[first].path) != 0;
        if (keep[i]) {
            first = i;
            continue;
        }
        s->line = m->cases[i].line;
        SAY(s, DATA_TWICE, "the image of line %zu is given again; left out", m->cases[first].line);
    }
    cot_manifest_keep(m, keep);
    free(keep);
    return COT_OK;
}

static cot_status open_source(chain_source *s, char **text, cot_error *err)
{
    cot_status status;
    size_t size = 0;
    const size_t n = s->import->steps->n_steps + 1;
    if (snprintf(s->path, sizeof s->path, "%s/data.json", s->import->dir) >= (int)sizeof s->path)
        return cot_fail(err, COT_E_INPUT, "%s: the folder's path is too long", s->import->dir);
    if (access(s->path, F_OK) != 0)
        return cot_fail(err, COT_E_INPUT, "%s: no data.json there: name the folder of the published files",
                        s->import->dir);
    s->label = calloc(n, sizeof *s->label);
    s->reasoning = calloc(n, sizeof *s->reasoning);
    s->seen = calloc(n, sizeof *s->seen);
    if (!s->label || !s->reasoning || !s->seen) return cot_fail(err, COT_E_MEMORY, "no memory for an import");
    COT_TRY(data_words_load(&s->words, s->import->words, s->import->steps, err));
    COT_TRY(cot_manifest_create(&s->manifest, s->import->steps, err));
    COT_TRY(cot_file_read(text, &size, s->path, DATA_JSON_MAX, err));
    if (memchr(*text, 0, size) || !utf8_valid(*text))
        status = cot_fail(err, COT_E_INPUT, "%s: not UTF-8 text", s->path);
    snprintf(s->manifest->path, sizeof s->manifest->path, "%s", s->path);
    snprintf(s->manifest->images, sizeof s->manifest->images, "%s", s->import->dir);
    snprintf(s->manifest->title, sizeof s->manifest->title, "Step-CoT");
    snprintf(s->manifest->made, sizeof s->manifest->made, "import step-cot");
done:
    return status;
}

cot_status data_chain_import(data_import *import, cot_manifest **out, cot_error *err)
{
    cot_status status;
    chain_source s = {.import = import};
    char *text = NULL;
    *out = NULL;
    COT_TRY(open_source(&s, &text, err));
    COT_TRY(read_records(&s, text, err));
    COT_TRY(leave_out_twice(&s, err));
    COT_TRY(data_import_finish(s.manifest, import, 0, 0, err));
    *out = s.manifest;
    s.manifest = NULL;
done:
    cot_manifest_destroy(s.manifest);
    data_words_destroy(s.words);
    free(s.label);
    free((void *)s.reasoning);
    free(s.seen);
    free(text);
    return status;
}
