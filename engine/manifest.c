/* A manifest in memory (data.h): cases are copied into one block each, so that a hundred thousand of them are a hundred
 * thousand allocations and no more. SPDX-License-Identifier: Apache-2.0 */
#include "engine/manifest.h"

#include <stdlib.h>
#include <string.h>

const char *cot_split_name(cot_split split)
{
    static const char *const names[COT_SPLITS] = {"train", "validation", "test"};
    return (unsigned)split < COT_SPLITS ? names[split] : "unknown";
}

/* ---- what a case may say ---- */
bool manifest_name_fits(const char *name, size_t most)
{
    for (const unsigned char *c = (const unsigned char *)name; *c; c++)
        if (*c < 0x20 || *c == 0x7f) return false;
    return *name && strlen(name) <= most;
}

const char *manifest_path_fault(const char *path)
{
    if (!manifest_name_fits(path, 4 * (size_t)MANIFEST_NAME_MAX)) return "is empty, too long or has control characters";
    if (*path == '/') return "is absolute: paths start at the images folder";
    for (const char *part = path;; part++) {
        const size_t n = strcspn(part, "/");
        if (!n || (n == 1 && part[0] == '.') || (n == 2 && !strncmp(part, "..", 2)))
            return "has an empty part, \".\" or \"..\": paths stay below the images folder";
        part += n;
        if (!*part) return NULL;
    }
}

int manifest_option(const cot_step *step, const char *id)
{
    for (size_t o = 0; o < step->n_options; o++)
        if (!strcmp(step->options[o].id, id)) return (int)o;
    return COT_MASKED;
}

static cot_status check_case(const cot_case *c, const cot_steps *steps, cot_error *err)
{
    const char *const fault = manifest_path_fault(c->path);
    if (fault) return cot_fail(err, COT_E_INPUT, "the path %s", fault);
    if (!manifest_name_fits(c->patient, MANIFEST_NAME_MAX))
        return cot_fail(err, COT_E_INPUT, "the patient is empty, too long or has control characters");
    if ((unsigned)c->split >= COT_SPLITS) return cot_fail(err, COT_E_BUG, "split %d", (int)c->split);
    for (size_t s = 0; s < steps->n_steps; s++)
        if (c->label[s] < COT_MASKED || c->label[s] >= (int)steps->steps[s].n_options)
            return cot_fail(err, COT_E_INPUT, "step \"%s\" has no option number %d, only 0 to %zu", steps->steps[s].id,
                            c->label[s], steps->steps[s].n_options - 1);
    if (c->n_boxes > MANIFEST_BOXES_MAX)
        return cot_fail(err, COT_E_LIMIT, "%zu boxes; at most %d are taken", c->n_boxes, MANIFEST_BOXES_MAX);
    return COT_OK;
}

/* ---- copying ---- */
typedef struct packer {
    char *at; /* where the next text goes; NULL: only counting */
    size_t bytes;
} packer;

static char *pack(packer *p, const char *text)
{
    const size_t n = strlen(text ? text : "") + 1;
    char *const to = p->at;
    p->bytes += n;
    if (!to) return NULL;
    memcpy(to, text ? text : "", n);
    p->at += n;
    return to;
}

static void pack_texts(packer *p, cot_case *to, const cot_case *from, size_t n_steps)
{
    to->path = pack(p, from->path);
    to->patient = pack(p, from->patient);
    to->origin = pack(p, from->origin);
    to->view = pack(p, from->view);
    to->report = pack(p, from->report);
    for (size_t s = 0; s < n_steps; s++) {
        char *const text = pack(p, from->reasoning ? from->reasoning[s] : "");
        if (p->at) to->reasoning[s] = text;
    }
}

/* Boxes, then pointers, then labels, then texts: each aligned by what stands before it. */
static cot_status copy_case(cot_case *to, const cot_case *from, size_t n_steps, cot_error *err)
{
    packer count = {NULL, 0}, fill;
    const size_t boxes = from->n_boxes * sizeof *from->boxes;
    const size_t fixed = boxes + n_steps * (sizeof(char *) + sizeof(int));
    *to = *from;
    pack_texts(&count, to, from, n_steps);
    if (count.bytes > MANIFEST_TEXTS_MAX)
        return cot_fail(err, COT_E_INPUT, "report, reasoning and other texts together have more than %d bytes",
                        MANIFEST_TEXTS_MAX);
    char *const block = malloc(fixed + count.bytes);
    if (!block) return cot_fail(err, COT_E_MEMORY, "no memory for an image of the manifest");
    to->block = block;
    to->boxes = (cot_box *)(void *)block;
    to->reasoning = (char **)(void *)(block + boxes);
    to->label = (int *)(void *)(block + boxes + n_steps * sizeof(char *));
    if (boxes) memcpy(to->boxes, from->boxes, boxes);
    memcpy(to->label, from->label, n_steps * sizeof *to->label);
    fill = (packer){block + fixed, 0};
    pack_texts(&fill, to, from, n_steps);
    return COT_OK;
}

cot_status cot_manifest_create(cot_manifest **out, const cot_steps *steps, cot_error *err)
{
    *out = NULL;
    cot_manifest *m = calloc(1, sizeof *m);
    if (!m) return cot_fail(err, COT_E_MEMORY, "no memory for a manifest");
    m->n_steps = steps->n_steps;
    snprintf(m->steps_id, sizeof m->steps_id, "%s", steps->id);
    snprintf(m->steps_sha256, sizeof m->steps_sha256, "%s", steps->sha256);
    *out = m;
    return COT_OK;
}

void cot_manifest_destroy(cot_manifest *manifest)
{
    if (!manifest) return;
    for (size_t i = 0; i < manifest->n; i++) free(manifest->cases[i].block);
    free(manifest->cases);
    free(manifest);
}

cot_status cot_manifest_add(cot_manifest *m, const cot_case *one, const cot_steps *steps, cot_error *err)
{
    cot_status status;
    COT_TRY(check_case(one, steps, err));
    if (m->n == m->room) {
        const size_t room = m->room ? 2 * m->room : 256;
        cot_case *cases = room <= MANIFEST_CASES_MAX * 2 ? realloc(m->cases, room * sizeof *cases) : NULL;
        if (!cases) {
            status = cot_fail(err, COT_E_MEMORY, "no memory for more than %zu images", m->n);
            goto done;
        }
        m->cases = cases;
        m->room = room;
    }
    COT_TRY(copy_case(&m->cases[m->n], one, m->n_steps, err));
    m->n++;
done:
    return status;
}

void cot_manifest_keep(cot_manifest *manifest, const bool *keep)
{
    size_t n = 0;
    for (size_t i = 0; i < manifest->n; i++) {
        if (keep[i])
            manifest->cases[n++] = manifest->cases[i];
        else
            free(manifest->cases[i].block);
    }
    manifest->n = n;
}

/* ---- using ---- */
static int by_path(const void *a, const void *b)
{
    const cot_case *left = a, *right = b;
    const int order = strcmp(left->path, right->path);
    return order ? order : (left->line > right->line) - (left->line < right->line);
}

void cot_manifest_sort(cot_manifest *manifest)
{
    if (manifest->n) qsort(manifest->cases, manifest->n, sizeof *manifest->cases, by_path);
}

size_t cot_manifest_count(const cot_manifest *manifest, cot_split split, size_t step, int option)
{
    size_t n = 0;
    for (size_t i = 0; i < manifest->n; i++)
        n += manifest->cases[i].split == split && manifest->cases[i].label[step] == option;
    return n;
}

cot_status manifest_find_images(cot_manifest *m, const char *images, cot_error *err)
{
    const char *slash = strrchr(m->path, '/'), *from = images ? images : m->images;
    int n;
    if (images || *from == '/' || !slash)
        n = snprintf(m->folder, sizeof m->folder, "%s", *from ? from : ".");
    else
        n = snprintf(m->folder, sizeof m->folder, "%.*s%s%s", (int)(slash - m->path + (slash == m->path)), m->path,
                     *from ? "/" : "", from);
    if (n < 0 || (size_t)n >= sizeof m->folder)
        return cot_fail(err, COT_E_INPUT, "the path of the images folder is longer than %zu bytes: move it",
                        sizeof m->folder - 1);
    return COT_OK;
}

/* Whether links lead from the path out of the folder. What is missing leads nowhere: its opener will say so. */
static bool leads_out(const char *folder, const char *path)
{
    char *home = realpath(folder, NULL), *image = realpath(path, NULL);
    const size_t n = strlen(home ? home : "");
    const bool out = home && image && (strncmp(image, home, n) || (home[n - 1] != '/' && image[n] != '/'));
    free(home);
    free(image);
    return out;
}

cot_status cot_manifest_image(char *to, size_t size, const cot_manifest *manifest, size_t at, cot_error *err)
{
    const size_t line = manifest->cases[at].line;
    const int n = snprintf(to, size, "%s/%s", manifest->folder, manifest->cases[at].path);
    if (n < 0 || (size_t)n >= size)
        return cot_fail(err, COT_E_LIMIT, "the path of the image of line %zu is longer than %zu bytes", line, size - 1);
    if (leads_out(manifest->folder, to))
        return cot_fail(err, COT_E_INPUT,
                        "the image of line %zu is a link out of the images folder: only what lies in it is opened",
                        line);
    return COT_OK;
}
