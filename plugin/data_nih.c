/* stepcot data import nih: NIH ChestX-ray14's published files (Data_Entry_2017*.csv, BBox_List_2017.csv, images*) to a
 * manifest. What a finding means for a step stands in the rules (config/nih-rules.xml), not here.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/csv.h"
#include "plugin/data_command.h"
#include "plugin/labels.h"
#include "plugin/utf8.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

enum { FILES_MOST = 2000000, BOXES_MOST = 1000000, BOXES_OF_IMAGE = 100 };

typedef struct image_file {
    char *stem; /* the name without folder and extension: the published name with .png is also served as .jpg */
    char *path; /* below the source folder */
    bool named; /* by a row of labels */
} image_file;

typedef struct listed_box {
    char *stem;
    label_box box;
    size_t line;
    bool used;
} listed_box;

typedef struct nih_source {
    data_import *import;
    cot_rules *rules;
    cot_manifest *manifest;
    char labels[1024], boxes_path[1024]; /* the CSV files */
    image_file *files;
    size_t n_files, files_room;
    listed_box *boxes; /* in order of stem, then line */
    size_t n_boxes, boxes_room;
    int *label;
} nih_source;

/* ---- growing lists ---- */
static cot_status grow(void **list, size_t n, size_t *room, size_t size, size_t most, cot_error *err)
{
    if (n < *room) return COT_OK;
    if (n >= most) return cot_fail(err, COT_E_LIMIT, "more than %zu entries in a list of the data set", most);
    const size_t more = *room ? 2 * *room : 1024;
    void *bigger = realloc(*list, more * size);
    if (!bigger) return cot_fail(err, COT_E_MEMORY, "no memory for the data set's lists");
    *list = bigger;
    *room = more;
    return COT_OK;
}

static char *stem_of(const char *name)
{
    const char *dot = strrchr(name, '.');
    return strndup(name, dot && dot != name ? (size_t)(dot - name) : strlen(name));
}

/* ---- image files: in the folder, in images*, in images* /images (the twelve published archives) ---- */
static bool is_image_name(const char *name)
{
    static const char *const ends[] = {".png", ".jpg", ".jpeg", ".dcm"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof ends / sizeof *ends; i++)
        if (!strcasecmp(dot, ends[i])) return name[0] != '.';
    return false;
}

static cot_status add_file(nih_source *s, const char *below, const char *name, cot_error *err)
{
    cot_status status;
    COT_TRY(grow((void **)&s->files, s->n_files, &s->files_room, sizeof *s->files, FILES_MOST, err));
    image_file file = {stem_of(name), NULL, false};
    if (asprintf(&file.path, "%s%s%s", below, *below ? "/" : "", name) < 0) file.path = NULL;
    if (!file.stem || !file.path) {
        free(file.stem);
        free(file.path);
        status = cot_fail(err, COT_E_MEMORY, "no memory for the list of images");
        goto done;
    }
    s->files[s->n_files++] = file;
done:
    return status;
}

static cot_status list_folder(nih_source *s, const char *below, int depth, cot_error *err)
{
    cot_status status = COT_OK;
    char path[2048], deeper[1024];
    snprintf(path, sizeof path, "%s%s%s", s->import->dir, *below ? "/" : "", below);
    DIR *folder = opendir(path);
    if (!folder && depth && errno == ENOTDIR) return COT_OK; /* a file or link whose name begins as a folder's */
    if (!folder) return cot_fail(err, COT_E_IO, "%s: %s", path, strerror(errno));
    for (const struct dirent *e; status == COT_OK && (e = readdir(folder));) {
        const bool branch = depth < 2 && (e->d_type == DT_DIR || e->d_type == DT_LNK || e->d_type == DT_UNKNOWN) &&
                            !fnmatch("images*", e->d_name, 0);
        if (is_image_name(e->d_name))
            status = add_file(s, below, e->d_name, err);
        else if (branch &&
                 snprintf(deeper, sizeof deeper, "%s%s%s", below, *below ? "/" : "", e->d_name) < (int)sizeof deeper)
            status = list_folder(s, deeper, depth + 1, err);
    }
    closedir(folder);
    return status;
}

static int by_stem(const void *a, const void *b)
{
    const image_file *left = a, *right = b;
    const int order = strcmp(left->stem, right->stem);
    return order ? order : strcmp(left->path, right->path);
}

static image_file *file_of(const nih_source *s, const char *stem)
{
    size_t low = 0, high = s->n_files;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (strcmp(s->files[middle].stem, stem) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->n_files && !strcmp(s->files[low].stem, stem) ? &s->files[low] : NULL;
}

/* The last name in the folder that fits: Data_Entry_2017_v2020.csv is the corrected edition of Data_Entry_2017.csv. */
static cot_status find_csv(char *to, size_t size, const char *dir, const char *pattern, bool needed, cot_error *err)
{
    char best[256] = "";
    DIR *folder = opendir(dir);
    to[0] = 0;
    if (!folder) return cot_fail(err, COT_E_IO, "%s: %s", dir, strerror(errno));
    for (const struct dirent *e; (e = readdir(folder));)
        if (!fnmatch(pattern, e->d_name, 0) && strcmp(e->d_name, best) > 0)
            snprintf(best, sizeof best, "%s", e->d_name);
    closedir(folder);
    if (!*best && needed)
        return cot_fail(err, COT_E_INPUT, "%s: no %s there: name the folder of the published files", dir, pattern);
    if (*best && snprintf(to, size, "%s/%s", dir, best) >= (int)size)
        return cot_fail(err, COT_E_INPUT, "%s: the folder's path is too long", dir);
    return COT_OK;
}

/* ---- boxes ---- */
static bool number_of(double *to, const char *text)
{
    char *end;
    if (!*text || strlen(text) > 32 || strspn(text, "0123456789.+-eE") != strlen(text)) return false;
    *to = strtod(text, &end);
    return !*end && *to >= -1e6 && *to <= 1e6;
}

static size_t box_finding(const cot_rules *rules, const char *word)
{
    size_t i = 0;
    while (i < rules->n_findings && strcmp(rules->findings[i].box, word)) i++;
    return i;
}

static cot_status add_box(nih_source *s, const csv_file *csv, size_t image, size_t finding, size_t first,
                          cot_error *err)
{
    data_log *const log = s->import->log;
    double v[4] = {0};
    listed_box box = {.line = csv->row};
    if (csv->n < first + 4 || image >= csv->n || finding >= csv->n || !number_of(&v[0], csv->field[first]) ||
        !number_of(&v[1], csv->field[first + 1]) || !number_of(&v[2], csv->field[first + 2]) ||
        !number_of(&v[3], csv->field[first + 3])) {
        data_say(log, DATA_BROKEN, csv->path, csv->row, "not an image, a finding and four numbers; box left out");
        return COT_OK;
    }
    box.box = (label_box){box_finding(s->rules, csv->field[finding]), v[0], v[1], v[2], v[3]};
    if (box.box.finding == s->rules->n_findings) {
        data_say(log, DATA_OPTION, csv->path, csv->row, "finding \"%.64s\" is not in the rules; box left out",
                 csv->field[finding]);
        return COT_OK;
    }
    if (!(v[0] >= 0 && v[1] >= 0 && v[2] > 0 && v[3] > 0 && v[0] + v[2] <= s->rules->width &&
          v[1] + v[3] <= s->rules->height)) {
        data_say(log, DATA_BOX, csv->path, csv->row, "box %g,%g,%g,%g is not within %g x %g pixels; left out", v[0],
                 v[1], v[2], v[3], s->rules->width, s->rules->height);
        return COT_OK;
    }
    const cot_status status = grow((void **)&s->boxes, s->n_boxes, &s->boxes_room, sizeof *s->boxes, BOXES_MOST, err);
    if (status != COT_OK) return status;
    box.stem = stem_of(csv->field[image]);
    if (!box.stem) return cot_fail(err, COT_E_MEMORY, "no memory for the boxes");
    s->boxes[s->n_boxes++] = box;
    return COT_OK;
}

static int by_box_stem(const void *a, const void *b)
{
    const listed_box *left = a, *right = b;
    const int order = strcmp(left->stem, right->stem);
    return order ? order : (left->line > right->line) - (left->line < right->line);
}

static cot_status read_boxes(nih_source *s, cot_error *err)
{
    cot_status status;
    csv_file csv = {0};
    bool more;
    if (!s->boxes_path[0]) return COT_OK;
    COT_TRY(csv_open(&csv, s->boxes_path, err));
    COT_TRY(csv_next(&csv, &more, err));
    const size_t image = csv_column(&csv, "Image Index"), finding = csv_column(&csv, "Finding Label");
    const size_t first = csv_column(&csv, "Bbox [x");
    if (first + 4 > csv.n || image == csv.n || finding == csv.n) {
        status = cot_fail(err, COT_E_INPUT,
                          "%s:1: the columns are not \"Image Index\", \"Finding Label\", \"Bbox [x,y,w,h]\"", csv.path);
        goto done;
    }
    for (;;) {
        COT_TRY(csv_next(&csv, &more, err));
        if (!more) break;
        COT_TRY(add_box(s, &csv, image, finding, first, err));
    }
    if (s->n_boxes) qsort(s->boxes, s->n_boxes, sizeof *s->boxes, by_box_stem);
done:
    csv_fini(&csv);
    return status;
}

/* Boxes of one image, and of findings that it has; *n at most BOXES_OF_IMAGE. */
static void boxes_of(nih_source *s, label_box *boxes, size_t *n, const char *stem, uint64_t findings)
{
    size_t low = 0, high = s->n_boxes;
    *n = 0;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (strcmp(s->boxes[middle].stem, stem) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < s->n_boxes && !strcmp(s->boxes[low].stem, stem); low++) {
        listed_box *b = &s->boxes[low];
        const bool twice = b->used;
        b->used = true;
        if (!(findings >> b->box.finding & 1)) {
            data_say(s->import->log, DATA_BOX, s->boxes_path, b->line,
                     "a box of %s, which is not among the image's findings; left out",
                     s->rules->findings[b->box.finding].name);
        } else if (*n == BOXES_OF_IMAGE) {
            data_say(s->import->log, DATA_BOX, s->boxes_path, b->line, "more than %d boxes of one image; left out",
                     BOXES_OF_IMAGE);
        } else if (!twice) { /* an image given again is left out, its boxes stay with the first */
            boxes[(*n)++] = b->box;
        }
    }
}

/* ---- label rows ---- */
typedef struct row_columns {
    size_t image, findings, patient, view, last;
} row_columns;

/* Bits of "A|B"; 0 with a message when one is unknown. */
static uint64_t findings_of(nih_source *s, const csv_file *csv, char *text)
{
    uint64_t bits = 0;
    char *rest = text;
    for (char *word; (word = strsep(&rest, "|"));) {
        size_t i = 0;
        while (i < s->rules->n_findings && strcmp(s->rules->findings[i].name, word)) i++;
        if (i == s->rules->n_findings) {
            data_say(s->import->log, DATA_OPTION, csv->path, csv->row,
                     "finding \"%.64s\" is not in the rules; image left out", word);
            return 0;
        }
        bits |= (uint64_t)1 << i;
    }
    return bits;
}

static cot_status add_image(nih_source *s, const csv_file *csv, const row_columns *col, const char *path,
                            const char *stem, uint64_t findings, cot_error *err)
{
    label_box boxes[BOXES_OF_IMAGE];
    cot_box kept[BOXES_OF_IMAGE];
    size_t n;
    boxes_of(s, boxes, &n, stem, findings);
    labels_derive(s->label, s->rules, findings, boxes, n);
    for (size_t b = 0; b < n; b++) {
        kept[b] = (cot_box){"", boxes[b].x, boxes[b].y, boxes[b].w, boxes[b].h};
        snprintf(kept[b].finding, sizeof kept[b].finding, "%s", s->rules->findings[boxes[b].finding].name);
    }
    const cot_case one = {.path = (char *)(uintptr_t)path,
                          .patient = csv->field[col->patient],
                          .label = s->label,
                          .view = col->view < csv->n ? csv->field[col->view] : NULL,
                          .n_boxes = n,
                          .boxes = kept,
                          .line = csv->row};
    cot_error why = COT_ERROR_INIT;
    const cot_status status = cot_manifest_add(s->manifest, &one, s->import->steps, &why);
    if (status != COT_E_INPUT) return status == COT_OK ? COT_OK : cot_fail(err, status, "%s", why.text);
    data_say(s->import->log, DATA_BROKEN, csv->path, csv->row, "%s; image left out", why.text);
    return COT_OK;
}

static bool row_is_text(const csv_file *csv)
{
    for (size_t i = 0; i < csv->n; i++)
        if (!utf8_valid(csv->field[i])) return false;
    return true;
}

static cot_status read_row(nih_source *s, const csv_file *csv, const row_columns *col, cot_error *err)
{
    data_log *const log = s->import->log;
    cot_status status = COT_OK;
    char *stem = NULL;
    s->import->rows++;
    if (csv->n <= col->last || !row_is_text(csv)) {
        data_say(log, DATA_BROKEN, csv->path, csv->row, "not a row of the header's %zu columns; image left out",
                 col->last + 1);
        return COT_OK;
    }
    if (!(stem = stem_of(csv->field[col->image]))) return cot_fail(err, COT_E_MEMORY, "no memory for a row");
    image_file *file = file_of(s, stem);
    const uint64_t findings = file ? findings_of(s, csv, csv->field[col->findings]) : 0;
    if (file) file->named = true;
    if (!file)
        data_say(log, DATA_MISSING, csv->path, csv->row, "image %s is not in the folder; left out",
                 csv->field[col->image]);
    else if (findings)
        status = add_image(s, csv, col, file->path, stem, findings, err);
    free(stem);
    return status;
}

static cot_status read_labels(nih_source *s, cot_error *err)
{
    cot_status status;
    csv_file csv = {0};
    bool more;
    COT_TRY(csv_open(&csv, s->labels, err));
    COT_TRY(csv_next(&csv, &more, err));
    const row_columns col = {csv_column(&csv, "Image Index"), csv_column(&csv, "Finding Labels"),
                             csv_column(&csv, "Patient ID"), csv_column(&csv, "View Position"), csv.n - 1};
    if (!more || col.image == csv.n || col.findings == csv.n || col.patient == csv.n) {
        status = cot_fail(err, COT_E_INPUT,
                          "%s:1: \"Image Index\", \"Finding Labels\" and \"Patient ID\" are not all columns", csv.path);
        goto done;
    }
    for (;;) {
        COT_TRY(csv_next(&csv, &more, err));
        if (!more) break;
        COT_TRY(read_row(s, &csv, &col, err));
    }
done:
    csv_fini(&csv);
    return status;
}

/* ---- what only the whole shows ---- */
static cot_status leave_out_twice(nih_source *s, cot_error *err)
{
    cot_manifest *m = s->manifest;
    bool *keep = calloc(m->n + 1, sizeof *keep);
    if (!keep) return cot_fail(err, COT_E_MEMORY, "no memory for %zu images", m->n);
    cot_manifest_sort(m);
    for (size_t i = 0, first = 0; i < m->n; i++) {
        keep[i] = !i || strcmp(m->cases[i].path, m->cases[first].path) != 0;
        if (keep[i])
            first = i;
        else
            data_say(s->import->log, DATA_TWICE, s->labels, m->cases[i].line,
                     "the image of line %zu is given again; left out", m->cases[first].line);
    }
    cot_manifest_keep(m, keep);
    free(keep);
    return COT_OK;
}

static void say_unused_boxes(nih_source *s)
{
    for (size_t b = 0; b < s->n_boxes; b++)
        if (!s->boxes[b].used)
            data_say(s->import->log, DATA_BOX, s->boxes_path, s->boxes[b].line,
                     "a box of an image without labels or without its file; left out");
}

static void say_unused_files(nih_source *s)
{
    for (size_t i = 0; i < s->n_files; i++) {
        const bool twice = i && !strcmp(s->files[i].stem, s->files[i - 1].stem);
        if (twice)
            data_say(s->import->log, DATA_TWICE, s->import->dir, 0, "%s has the name of %s; left out", s->files[i].path,
                     s->files[i - 1].path);
        else if (!s->files[i].named)
            data_say(s->import->log, DATA_UNLISTED, s->import->dir, 0, "no row of labels names %s; left out",
                     s->files[i].path);
    }
}

static void introduce(nih_source *s)
{
    cot_manifest *m = s->manifest;
    snprintf(m->path, sizeof m->path, "%s", s->labels);
    snprintf(m->images, sizeof m->images, "%s", s->import->dir);
    snprintf(m->title, sizeof m->title, "%s", s->rules->title);
    snprintf(m->attribution, sizeof m->attribution, "%s", s->rules->attribution);
    snprintf(m->terms, sizeof m->terms, "%s", s->rules->terms);
    snprintf(m->made, sizeof m->made, "import nih, rules %s %s, SHA-256 %s", s->rules->id, s->rules->version,
             s->rules->sha256);
}

static void fini(nih_source *s)
{
    for (size_t i = 0; i < s->n_files; i++) {
        free(s->files[i].stem);
        free(s->files[i].path);
    }
    for (size_t b = 0; b < s->n_boxes; b++) free(s->boxes[b].stem);
    free(s->files);
    free(s->boxes);
    free(s->label);
    cot_rules_destroy(s->rules);
}

cot_status data_nih_import(data_import *import, cot_manifest **out, cot_error *err)
{
    cot_status status;
    nih_source s = {.import = import, .label = calloc(import->steps->n_steps + 1, sizeof(int))};
    *out = NULL;
    if (!s.label) {
        status = cot_fail(err, COT_E_MEMORY, "no memory for an import");
        goto done;
    }
    COT_TRY(cot_rules_load(&s.rules, import->rules, import->steps, err));
    COT_TRY(cot_manifest_create(&s.manifest, import->steps, err));
    COT_TRY(find_csv(s.labels, sizeof s.labels, import->dir, "Data_Entry_2017*.csv", true, err));
    COT_TRY(find_csv(s.boxes_path, sizeof s.boxes_path, import->dir, "BBox_List_2017*.csv", false, err));
    COT_TRY(list_folder(&s, "", 0, err));
    if (s.n_files) qsort(s.files, s.n_files, sizeof *s.files, by_stem);
    COT_TRY(read_boxes(&s, err));
    COT_TRY(read_labels(&s, err));
    COT_TRY(leave_out_twice(&s, err));
    say_unused_boxes(&s);
    say_unused_files(&s);
    introduce(&s);
    COT_TRY(data_import_finish(s.manifest, import, s.rules->width, s.rules->height, err));
    *out = s.manifest;
    s.manifest = NULL;
done:
    cot_manifest_destroy(s.manifest);
    fini(&s);
    return status;
}
