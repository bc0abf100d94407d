/* Images and readings to write reports about: small computed radiographs made byte by byte, chains over the embedded step
 * schema, and external programs run without a shell. For test_report.c and test_report_tree.cc.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_TESTS_REPORT_CASES_H
#define COT_TESTS_REPORT_CASES_H
#include "config/config.h"
#include "dicom/dicom.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CASE_NOW    ((int64_t)1772360100) /* 2026-03-01 10:15:00 UTC */
#define CASE_DIGEST "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

/* ---- images ---- */
typedef struct case_bytes {
    unsigned char data[16384];
    size_t size;
} case_bytes;

static inline void case_put(case_bytes *b, const void *data, size_t size)
{
    if (b->size + size > sizeof b->data) abort();
    memcpy(b->data + b->size, data, size);
    b->size += size;
}
static inline void case_put_number(case_bytes *b, unsigned long value, size_t bytes) /* little endian */
{
    for (size_t i = 0; i < bytes; i++) {
        const unsigned char byte = (unsigned char)(value >> (8 * i));
        case_put(b, &byte, 1);
    }
}
/* Explicit VR little endian, padded to even length. */
static inline void case_element(case_bytes *b, unsigned tag, const char *vr, const void *value, size_t size)
{
    const bool wide = strstr("OB OW SQ UN UT", vr) != NULL;
    case_put_number(b, tag >> 16, 2);
    case_put_number(b, tag & 0xffff, 2);
    case_put(b, vr, 2);
    if (wide) case_put_number(b, 0, 2);
    case_put_number(b, size + size % 2, wide ? 4 : 2);
    case_put(b, value, size);
    if (size % 2) case_put(b, strcmp(vr, "UI") && strcmp(vr, "OB") ? " " : "", 1);
}
static inline void case_text(case_bytes *b, unsigned tag, const char *vr, const char *value)
{
    if (value) case_element(b, tag, vr, value, strlen(value));
}
static inline void case_short(case_bytes *b, unsigned tag, unsigned value)
{
    const unsigned char bytes[2] = {(unsigned char)value, (unsigned char)(value >> 8)};
    case_element(b, tag, "US", bytes, 2);
}
static inline void case_sequence(case_bytes *b, unsigned tag, const case_bytes *item)
{
    case_bytes sequence;
    sequence.size = 0;
    case_put_number(&sequence, 0xfffe, 2);
    case_put_number(&sequence, 0xe000, 2);
    case_put_number(&sequence, item->size, 4);
    case_put(&sequence, item->data, item->size);
    case_element(b, tag, "SQ", sequence.data, sequence.size);
}

typedef struct case_image { /* NULL: the attribute is absent */
    const char *character_set, *patient, *patient_id, *id_vr, *accession, *time_zone, *description, *age, *birth;
    const char *sop_class, *sop_instance, *study, *series;
    bool bare; /* neither patient's sex nor anything of the study but its UID */
    bool rich; /* issuers, other IDs, requests, procedure code, de-identification */
} case_image;
static inline case_image case_image_default(void)
{
    case_image image;
    memset(&image, 0, sizeof image);
    image.patient = "Doe^Jane";
    image.patient_id = "PID-1";
    image.id_vr = "LO";
    image.accession = "ACC-7";
    image.birth = "19700102";
    image.sop_class = "1.2.840.10008.5.1.4.1.1.1";
    image.sop_instance = "1.2.826.0.1.3680043.10.999.1";
    image.series = "1.2.826.0.1.3680043.10.999.2";
    image.study = "1.2.826.0.1.3680043.10.999.3";
    return image;
}
static inline void case_code(case_bytes *b, unsigned tag, const char *value, const char *scheme, const char *meaning)
{
    case_bytes item;
    item.size = 0;
    case_text(&item, 0x00080100, "SH", value);
    case_text(&item, 0x00080102, "SH", scheme);
    case_text(&item, 0x00080104, "LO", meaning);
    case_sequence(b, tag, &item);
}
static inline void case_issuer(case_bytes *b, unsigned tag, const char *name)
{
    case_bytes item;
    item.size = 0;
    case_text(&item, 0x00400031, "UT", name);
    case_sequence(b, tag, &item);
}
static inline void case_patient(case_bytes *b, const case_image *image)
{
    case_text(b, 0x00100010, "PN", image->patient);
    case_text(b, 0x00100020, image->id_vr, image->patient_id);
    if (image->rich) case_text(b, 0x00100021, "LO", "General Hospital");
    case_text(b, 0x00100030, "DA", image->birth);
    case_text(b, 0x00100040, "CS", image->bare ? NULL : "F");
    case_text(b, 0x00101010, "AS", image->rich ? NULL : image->age);
    if (!image->rich) return;
    case_bytes other;
    other.size = 0;
    case_text(&other, 0x00100020, "LO", "OLD-ID-5");
    case_text(&other, 0x00100022, "CS", "TEXT");
    case_sequence(b, 0x00101002, &other);
    case_text(b, 0x00101010, "AS", "056Y");
    case_text(b, 0x00120062, "CS", "YES");
    case_text(b, 0x00120063, "LO", "Names replaced");
}
static inline void case_request(case_bytes *b)
{
    case_bytes item;
    item.size = 0;
    case_text(&item, 0x00400007, "LO", "Chest PA");
    case_text(&item, 0x00400009, "SH", "SPS-1");
    case_text(&item, 0x00401001, "SH", "RP-22");
    case_sequence(b, 0x00400275, &item);
}
/* Writes the image to `path`: a 16 x 16 computed radiograph. */
static inline void case_image_write(const char *path, const case_image *image)
{
    static const unsigned char pixels[256] = {1, 2, 3};
    case_bytes b, meta;
    cot_error err = COT_ERROR_INIT;
    b.size = meta.size = 0;
    case_element(&meta, 0x00020001, "OB", "\0\1", 2);
    case_text(&meta, 0x00020002, "UI", "1.2.840.10008.5.1.4.1.1.1");
    case_text(&meta, 0x00020003, "UI", "1.2.826.0.1.3680043.10.999.1");
    case_text(&meta, 0x00020010, "UI", "1.2.840.10008.1.2.1");
    case_text(&meta, 0x00020012, "UI", "1.2.826.0.1.3680043.10.999");
    for (int i = 0; i < 128; i++) case_put(&b, "", 1);
    case_put(&b, "DICM", 4);
    case_put_number(&b, 0x0002, 2);
    case_put_number(&b, 0x0000, 2);
    case_put(&b, "UL", 2);
    case_put_number(&b, 4, 2);
    case_put_number(&b, meta.size, 4);
    case_put(&b, meta.data, meta.size);
    case_text(&b, 0x00080005, "CS", image->character_set);
    case_text(&b, 0x00080008, "CS", "ORIGINAL\\PRIMARY");
    case_text(&b, 0x00080016, "UI", image->sop_class);
    case_text(&b, 0x00080018, "UI", image->sop_instance);
    case_text(&b, 0x00080020, "DA", image->bare ? NULL : "20260301");
    case_text(&b, 0x00080030, "TM", image->bare ? NULL : "101500");
    case_text(&b, 0x00080050, "SH", image->accession);
    if (image->rich) case_issuer(&b, 0x00080051, "Radiology desk");
    case_text(&b, 0x00080060, "CS", "CR");
    case_text(&b, 0x00080090, "PN", image->bare ? NULL : "");
    case_text(&b, 0x00080201, "SH", image->time_zone);
    case_text(&b, 0x00081030, "LO", image->description);
    if (image->rich) case_code(&b, 0x00081032, "36572-6", "LN", "XR Chest AP");
    case_patient(&b, image);
    case_text(&b, 0x00180015, "CS", "CHEST");
    case_text(&b, 0x00185101, "CS", "PA");
    case_text(&b, 0x0020000d, "UI", image->study);
    case_text(&b, 0x0020000e, "UI", image->series);
    case_text(&b, 0x00200010, "SH", image->bare ? NULL : "S1");
    case_text(&b, 0x00200011, "IS", "1");
    case_text(&b, 0x00200013, "IS", "1");
    case_short(&b, 0x00280002, 1);
    case_text(&b, 0x00280004, "CS", "MONOCHROME2");
    case_short(&b, 0x00280010, 16);
    case_short(&b, 0x00280011, 16);
    case_short(&b, 0x00280100, 8);
    case_short(&b, 0x00280101, 8);
    case_short(&b, 0x00280102, 7);
    case_short(&b, 0x00280103, 0);
    if (image->rich) case_request(&b);
    case_element(&b, 0x7fe00010, "OW", pixels, sizeof pixels);
    if (cot_file_write_durable(path, b.data, b.size, &err) != COT_OK) abort();
}

/* ---- readings ---- */
static inline void case_copy(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from);
}
static inline void case_reader(cot_reader *reader)
{
    case_copy(reader->name, sizeof reader->name, "Step-CoT student, ResNet-18 (demonstration)");
    case_copy(reader->version, sizeof reader->version, "1.0");
    memset(reader->package_sha256, 'a', 64);
    case_copy(reader->notice, sizeof reader->notice, "Demonstration model: it shows the program at work, no more.");
    case_copy(reader->training, sizeof reader->training,
              "NIH ChestX-ray14, 1,319 images; steps 1 and 7 supervised only.");
    case_copy(reader->role, sizeof reader->role, "student");
    case_copy(reader->device, sizeof reader->device, "Portable Computing Language, cpu");
    case_copy(reader->program, sizeof reader->program, "stepcot 0.1.0");
}
/* Step s gets `answer` with `certainty`; the rest goes to the others, most to the next option. */
static inline void case_answer(cot_chain *chain, const cot_steps *steps, size_t s, size_t answer, float certainty)
{
    cot_answer *a = &chain->answers[s];
    const size_t n = a->n_options, next = (answer + 1) % n;
    a->available = true;
    a->answer = answer;
    a->second = next;
    for (size_t o = 0; o < n; o++) a->probability[o] = (1 - certainty) * 0.4f / (float)(n > 2 ? n - 2 : 1);
    a->probability[next] = (1 - certainty) * (n > 2 ? 0.6f : 1.0f);
    a->probability[answer] = certainty;
    snprintf(a->rationale, sizeof a->rationale, "The model gives \"%s\" the highest probability, %.1f %%.",
             steps->steps[s].options[answer].label, (double)certainty * 100);
}
/* every: each step has an answer; else only the first and the last, as the demonstration model gives. */
static inline cot_chain *case_chain(const cot_steps *steps, bool every)
{
    cot_chain *chain = NULL;
    cot_error err = COT_ERROR_INIT;
    if (cot_chain_create(&chain, steps, &err) != COT_OK) abort();
    case_reader(&chain->reader);
    for (size_t s = 0; s < steps->n_steps; s++)
        if (every || s == 0 || s + 1 == steps->n_steps)
            case_answer(chain, steps, s, (s + 1) % steps->steps[s].n_options, 0.655f);
        else
            case_copy(chain->answers[s].reason, sizeof chain->answers[s].reason,
                      "the model was not trained on this step");
    chain->state = every ? COT_CHAIN_COMPLETE : COT_CHAIN_PARTIAL;
    case_copy(chain->summary, sizeof chain->summary, "Increased opacity; most probable diagnosis: nodule.");
    return chain;
}
static inline cot_chain *case_refused(const cot_steps *steps)
{
    cot_chain *chain = NULL;
    cot_error err = COT_ERROR_INIT;
    if (cot_chain_create(&chain, steps, &err) != COT_OK) abort();
    chain->state = COT_CHAIN_REFUSED;
    case_reader(&chain->reader);
    case_copy(chain->refusal_id, sizeof chain->refusal_id, "body-part");
    case_copy(chain->refusal, sizeof chain->refusal, "body part HIP is not a chest");
    return chain;
}
static inline cot_chain *case_forced(const cot_steps *steps)
{
    cot_chain *chain = case_chain(steps, true);
    case_copy(chain->forced_id, sizeof chain->forced_id, "body-part");
    case_copy(chain->forced, sizeof chain->forced, "body part HIP is not a chest");
    return chain;
}
/* A simple polygon within the 16 x 16 image; `n` moves and shapes it. */
static inline void case_region(cot_region *region, size_t n, float share)
{
    const float left = 1 + (float)(n % 5), top = 2 + (float)(n % 3), size = 3 + (float)(n % 7) * 0.75f;
    const cot_point points[5] = {{left, top},
                                 {left + size, top + 0.5f},
                                 {left + size + 0.25f, top + size},
                                 {left + size / 2, top + size + 1.125f},
                                 {left, top + size}};
    cot_error err = COT_ERROR_INIT;
    if (cot_region_points(region, 5, &err) != COT_OK) abort();
    memcpy(region->points, points, sizeof points);
    region->share = share;
}
/* Regions (step 0 two, step 1 none: whole image, step 2 not located), influences of all earlier steps, a second reader. */
static inline void case_evidence(cot_chain *chain)
{
    cot_error err = COT_ERROR_INIT;
    chain->rows = chain->cols = 16;
    chain->has_other = true;
    chain->other = chain->reader;
    case_copy(chain->other.name, sizeof chain->other.name, "Step-CoT teacher (demonstration)");
    case_copy(chain->other.role, sizeof chain->other.role, "teacher");
    memset(chain->other.package_sha256, 'b', 64);
    for (size_t s = 0; s < chain->n_steps; s++) {
        cot_answer *a = &chain->answers[s];
        if (!a->available) continue;
        a->located = s != 2;
        const size_t n_regions = s == 0 ? 2 : s == 1 || s == 2 ? 0 : 1;
        if (cot_answer_regions(a, n_regions, &err) != COT_OK) abort();
        for (size_t r = 0; r < n_regions; r++) case_region(&a->regions[r], s + 7 * r, r ? 0.125f : 0.6125f);
        if (n_regions) case_copy(a->place, sizeof a->place, "right lower zone");
        a->weighed = true;
        size_t n = 0;
        for (size_t k = 0; k < s; k++) n += chain->answers[k].available;
        if (cot_answer_influences(a, n, &err) != COT_OK) abort();
        for (size_t k = 0, i = 0; k < s; k++)
            if (chain->answers[k].available)
                a->influences[i] = (cot_influence){k, (i % 2 ? -0.4f : 0.4f) / (float)(i + 1)}, i++;
        if (cot_answer_other(a, &err) != COT_OK) abort();
        a->other.available = true;
        a->other.answer = s % 2 ? a->answer : a->second;
        memcpy(a->other.probability, a->probability, a->n_options * sizeof *a->probability);
        a->other.probability[a->answer] = a->probability[a->second];
        a->other.probability[a->second] = a->probability[a->answer];
        if (s % 2) memcpy(a->other.probability, a->probability, a->n_options * sizeof *a->probability);
        a->disagreement = a->other.answer != a->answer;
    }
}
static inline cot_report_options case_options(void)
{
    cot_report_options options;
    memset(&options, 0, sizeof options);
    case_copy(options.title.value, sizeof options.title.value, "18748-4");
    case_copy(options.title.scheme, sizeof options.title.scheme, "LN");
    case_copy(options.title.meaning, sizeof options.title.meaning, "Diagnostic Imaging Report");
    options.manufacturer = "Step-CoT node project";
    options.station = "STEPCOT";
    options.uid_root = "";
    options.program_version = "stepcot 0.1.0";
    options.series_number = 9701;
    return options;
}

static inline cot_report_options case_measurement(void)
{
    cot_report_options options = case_options();
    options.kind = COT_REPORT_MEASUREMENT;
    return options;
}

/* ---- external programs ---- */
/* Runs argv[0] from PATH with standard output and error into `text`; returns its exit status, -1 when it did not end by itself. */
static inline int case_run(char *text, size_t size, const char *const *argv)
{
    int ends[2], state = 0;
    size_t at = 0;
    if (pipe(ends) != 0) abort();
    const pid_t child = fork();
    if (child < 0) abort();
    if (child == 0) {
        dup2(ends[1], 1);
        dup2(ends[1], 2);
        close(ends[0]);
        close(ends[1]);
        execvp(argv[0], (char *const *)argv);
        _exit(127);
    }
    close(ends[1]);
    for (ssize_t n; (n = read(ends[0], text + at, size - 1 - at)) > 0;) at += (size_t)n;
    text[at] = 0;
    close(ends[0]);
    waitpid(child, &state, 0);
    return WIFEXITED(state) ? WEXITSTATUS(state) : -1;
}
#endif
