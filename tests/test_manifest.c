/* links: engine config
 * The manifest: what is written is read again, each fault is named with its line, and no patient is in two splits.
 * SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"
#include "engine/data.h"
#include "engine/manifest.h"
#include "tests/check.h"

#include <sys/stat.h>
#include <unistd.h>

static cot_error err;
static cot_steps *steps;
static char folder[] = "/tmp/cot_manifest_XXXXXX", file[64];

__attribute__((constructor)) static void begin(void)
{
    if (!mkdtemp(folder) || cot_steps_load(&steps, NULL, &err) != COT_OK) exit(1);
    snprintf(file, sizeof file, "%s/m.jsonl", folder);
}

__attribute__((destructor)) static void end(void)
{
    unlink(file);
    rmdir(folder);
    cot_steps_destroy(steps);
}

static void put_file(const char *text, size_t n)
{
    FILE *f = fopen(file, "wb");
    CHECK(f && fwrite(text, 1, n, f) == n);
    if (f) fclose(f);
}

/* ---- a manifest of n images, of persons p%zu with `each` images; diagnosis by turns among the first three, or masked ---- */
static cot_manifest *made(size_t n, size_t each)
{
    cot_manifest *m = NULL;
    int label[16];
    char *none[16];
    CHECK_OK(cot_manifest_create(&m, steps, &err));
    for (size_t i = 0; m && i < n; i++) {
        char path[32], patient[32];
        cot_box box = {"Mass", 1.5, 2.25, 10, 20.0625};
        snprintf(path, sizeof path, "sub/%05zu.png", i);
        snprintf(patient, sizeof patient, "p%zu", i / each);
        for (size_t s = 0; s < steps->n_steps; s++) {
            label[s] = s % 2 ? COT_MASKED : (int)(i % 2);
            none[s] = (char *)(uintptr_t)(s == 1 && !i ? "because \"so\"\nand ü" : "");
        }
        label[steps->n_steps - 1] = i / each % 10 < 6 ? 0 : i / each % 10 < 8 ? 1 : i / each % 10 < 9 ? 2 : COT_MASKED;
        cot_case one = {.path = path, .patient = patient, .split = COT_TRAIN, .label = label, .rows = 100, .cols = 90};
        one.reasoning = none;
        one.report = (char *)(uintptr_t)(i ? "" : "line\tone\\");
        one.view = (char *)(uintptr_t) "PA";
        one.n_boxes = i == 0;
        one.boxes = &box;
        snprintf(one.sha256, sizeof one.sha256, "%064zx", i);
        CHECK_OK(cot_manifest_add(m, &one, steps, &err));
    }
    return m;
}

TEST(what_is_written_is_read_again)
{
    cot_manifest *m = made(5, 2), *again = NULL;
    snprintf(m->title, sizeof m->title, "A \"title\"");
    snprintf(m->images, sizeof m->images, "pictures");
    m->cases[3].split = m->cases[2].split = COT_TEST;
    REQUIRE_OK(cot_manifest_write(m, file, steps, &err));
    REQUIRE_OK(cot_manifest_open(&again, file, NULL, steps, NULL, &err));
    char image[256], want[256];
    CHECK_NUMBER(again->n, 5);
    CHECK_TEXT(again->title, "A \"title\"");
    CHECK_TEXT(again->sha256, m->sha256);
    CHECK_TEXT(again->cases[0].path, "sub/00000.png");
    CHECK_TEXT(again->cases[0].patient, "p0");
    CHECK_TEXT(again->cases[0].report, "line\tone\\");
    CHECK_TEXT(again->cases[0].view, "PA");
    CHECK_TEXT(again->cases[0].origin, "");
    CHECK_TEXT(again->cases[0].reasoning[1], "because \"so\"\nand ü");
    CHECK_TEXT(again->cases[4].reasoning[1], "");
    CHECK_TEXT(again->cases[4].sha256, m->cases[4].sha256);
    CHECK_NUMBER(again->cases[0].rows, 100);
    CHECK_NUMBER(again->cases[0].cols, 90);
    CHECK_NUMBER(again->cases[0].n_boxes, 1);
    CHECK_NEAR(again->cases[0].boxes[0].h, 20.0625, 5e-4); /* written in thousandths of a pixel */
    for (size_t i = 0; i < 5; i++) {
        CHECK(!memcmp(again->cases[i].label, m->cases[i].label, steps->n_steps * sizeof(int)));
        CHECK_NUMBER(again->cases[i].split, m->cases[i].split);
        CHECK_NUMBER(again->cases[i].line, i + 2);
    }
    CHECK_NUMBER(cot_manifest_count(again, COT_TEST, 0, 0), 1);
    CHECK_NUMBER(cot_manifest_count(again, COT_TRAIN, 1, COT_MASKED), 3);
    CHECK_OK(cot_manifest_image(image, sizeof image, again, 0, &err));
    snprintf(want, sizeof want, "%s/pictures/sub/00000.png", folder);
    CHECK_TEXT(image, want);
    cot_manifest_destroy(m);
    cot_manifest_destroy(again);
}

TEST(the_same_cases_give_the_same_bytes_in_whatever_order)
{
    cot_manifest *m = made(20, 2);
    CHECK_OK(cot_manifest_write(m, file, steps, &err));
    char first[65];
    memcpy(first, m->sha256, sizeof first);
    const cot_case swapped = m->cases[3];
    m->cases[3] = m->cases[11];
    m->cases[11] = swapped;
    CHECK_OK(cot_manifest_write(m, file, steps, &err));
    CHECK_TEXT(m->sha256, first);
    cot_manifest_destroy(m);
}

TEST(a_folder_of_images_may_be_named_anew)
{
    cot_manifest *m = made(1, 1), *again = NULL;
    char image[64];
    CHECK_OK(cot_manifest_write(m, file, steps, &err));
    CHECK_OK(cot_manifest_open(&again, file, "/elsewhere", steps, NULL, &err));
    CHECK_OK(cot_manifest_image(image, sizeof image, again, 0, &err));
    CHECK_TEXT(image, "/elsewhere/sub/00000.png");
    cot_manifest_destroy(m);
    cot_manifest_destroy(again);
}

TEST(a_link_out_of_the_images_folder_is_not_followed)
{
    cot_manifest *m = made(1, 1);
    char sub[96], link[128], path[256];
    snprintf(sub, sizeof sub, "%s/sub", folder);
    snprintf(link, sizeof link, "%s/00000.png", sub);
    CHECK_OK(cot_manifest_write(m, file, steps, &err));
    REQUIRE(!mkdir(sub, 0700) && !symlink("/etc/passwd", link));
    CHECK_FAILS(cot_manifest_image(path, sizeof path, m, 0, &err), COT_E_INPUT,
                "line 2 is a link out of the images folder");
    REQUIRE(!unlink(link) && !symlink("../m.jsonl", link));
    CHECK_OK(cot_manifest_image(path, sizeof path, m, 0, &err)); /* it stays below */
    unlink(link);
    rmdir(sub);
    cot_manifest_destroy(m);
}

/* ---- faults ---- */
static char heard[2048];
static void hear(void *ctx, size_t line, const char *text)
{
    (void)ctx;
    const size_t n = strlen(heard);
    snprintf(heard + n, sizeof heard - n, "%zu: %s\n", line, text);
}

/* A manifest of three images of two patients with `from` in line `line` replaced by `to`. */
static bool altered(size_t line, const char *from, const char *to)
{
    cot_manifest *m = made(3, 2);
    char *text = NULL, *at;
    size_t size = 0;
    if (cot_manifest_write(m, file, steps, &err) != COT_OK ||
        cot_file_read(&text, &size, file, 1 << 20, &err) != COT_OK)
        return false;
    cot_manifest_destroy(m);
    for (at = text; --line;) at = strchr(at, '\n') + 1;
    at = strstr(at, from);
    if (!at) {
        free(text);
        return false;
    }
    char *other = malloc(size + strlen(to) + 1);
    const size_t n = (size_t)sprintf(other, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    put_file(other, n);
    free(other);
    free(text);
    return true;
}

/* Alone it ends the reading; told to somebody it is told once, and `left` images remain. */
static void finds(size_t line, const char *from, const char *to, const char *part, size_t left)
{
    cot_manifest *m = NULL;
    cot_data_faults faults = {hear, NULL, 0};
    char where[256];
    CHECK(altered(line, from, to));
    snprintf(where, sizeof where, "%s:%zu: ", file, line);
    CHECK_FAILS(cot_manifest_open(&m, file, NULL, steps, NULL, &err), COT_E_INPUT, part);
    CHECK_HAS(err.text, where);
    CHECK(!m);
    if (line == 1) return;
    heard[0] = 0;
    REQUIRE_OK(cot_manifest_open(&m, file, NULL, steps, &faults, &err));
    snprintf(where, sizeof where, "%zu: ", line);
    CHECK(!strncmp(heard, where, strlen(where)));
    CHECK_HAS(heard, part);
    CHECK_NUMBER(faults.n, 1);
    CHECK_NUMBER(m->n, left);
    cot_manifest_destroy(m);
}

TEST(faults_of_a_line_are_named_with_it_and_leave_it_out)
{
    finds(2, "{\"path\"", "[\"path\"", "not a JSON object", 2);
    finds(2, "\"view\"", "\"colour\"", "unknown member \"colour\"", 2);
    finds(2, "\"view\":\"PA\"", "\"patient\":\"p0\"", "stands twice", 2);
    finds(2, "\"patient\":\"p0\"", "\"patient\":7", "\"patient\" must be a text", 2);
    finds(2, "\"patient\":\"p0\"", "\"patient\":\"\"", "patient is empty", 2);
    finds(2, "\"patient\":\"p0\"", "\"patient\":\"a\\u0007b\"", "control characters", 2);
    finds(2, "\"split\":\"train\"", "\"split\":\"Train\"", "neither train, validation nor test", 2);
    finds(2, "[100,90]", "[100]", "list of 2 numbers", 2);
    finds(2, "[100,90]", "[100,0]", "whole numbers from 1", 2);
    finds(2, "[100,90]", "[100.5,90]", "whole numbers from 1", 2);
    finds(3, "0000000000000001\"", "000000000000000x\"", "64 hexadecimal digits", 2);
}

TEST(faults_of_labels_and_boxes_are_named_with_their_line)
{
    finds(2, "\"diagnosis\":\"normal\"", "\"diagnosis\":\"Normal\"", "step \"diagnosis\" has no option \"Normal\"", 2);
    finds(2, "\"diagnosis\":\"normal\"", "\"diagnosis\":0", "id of an option, or null", 2);
    finds(2, ",\"diagnosis\":\"normal\"", "", "step \"diagnosis\" the id of an option, or null", 2);
    finds(2, "\"diagnosis\":\"normal\"", "\"diagnosis\":\"normal\",\"ninth\":null", "names 8 steps", 2);
    finds(2, "\"reasoning\":{\"distribution\"", "\"reasoning\":{\"ninth\"", "\"reasoning\" names a step", 2);
    finds(2, "[1.5,", "[85,", "is not within the image of 90 x 100 pixels", 2);
    finds(2, "[1.5,", "[-1,", "is not within the image", 2);
    finds(2, "10,20.06", "0,20.06", "is not within the image", 2);
    finds(2, "[1.5,", "[1e400,", "list of 4 numbers", 2);
    finds(2, "\"finding\":\"Mass\"", "\"finding\":\"\"", "finding of a box", 2);
}

TEST(paths_that_leave_the_folder_are_refused)
{
    finds(3, "sub/00001.png", "/etc/passwd", "is absolute", 2);
    finds(3, "sub/00001.png", "../00001.png", "stay below the images folder", 2);
    finds(3, "sub/00001.png", "sub/../../x.png", "stay below the images folder", 2);
    finds(3, "sub/00001.png", "sub//x.png", "stay below the images folder", 2);
    finds(3, "sub/00001.png", "", "the path is empty", 2);
}

TEST(what_only_all_lines_show_is_named_too)
{
    finds(3, "sub/00001.png", "sub/00000.png", "the image of line 2 is given again", 2);
    finds(3, "\"split\":\"train\"", "\"split\":\"test\"", "the patient of line 2, there in train, is here in test", 3);
    finds(1, "\"n\":3", "\"n\":1e9", "\"n\" must be the number", 0);
    cot_manifest *m = NULL;
    CHECK(altered(1, "\"n\":3", "\"n\":4"));
    CHECK_FAILS(cot_manifest_open(&m, file, NULL, steps, NULL, &err), COT_E_INPUT, "promises 4 images, here are 3");
}

TEST(a_wrong_header_ends_the_reading)
{
    finds(1, "urn:stepcot:manifest:1", "urn:stepcot:manifest:2", "this program reads \"urn:stepcot:manifest:1\"", 0);
    finds(1, "urn:stepcot:steps:cxr:1", "urn:other", "made for the step schema \"urn:other\"", 0);
    finds(1, "\"normal\"", "\"well\"", "option 1 of step \"diagnosis\" is \"well\"", 0);
    finds(1, "\"normal\",", "", "8 options", 0);
    finds(1, "\"schema\"", "\"scheme\"", "\"schema\" must be a text", 0);
    finds(1, "{", "", "first line is no JSON object", 0);
}

TEST(nonsense_of_any_size_ends_at_a_bound)
{
    cot_manifest *m = NULL;
    char *text = malloc(MANIFEST_LINE_MAX + 2);
    REQUIRE(text);
    memset(text, '{', MANIFEST_LINE_MAX + 2);
    put_file(text, MANIFEST_LINE_MAX + 2);
    CHECK_FAILS(cot_manifest_open(&m, file, NULL, steps, NULL, &err), COT_E_LIMIT, ":1: a line of more than");
    put_file("{\"schema\":\0}", 12);
    CHECK_FAILS(cot_manifest_open(&m, file, NULL, steps, NULL, &err), COT_E_INPUT, ":1: a zero byte");
    put_file("", 0);
    CHECK_FAILS(cot_manifest_open(&m, file, NULL, steps, NULL, &err), COT_E_INPUT, "begins with its header");
    CHECK_FAILS(cot_manifest_open(&m, folder, NULL, steps, NULL, &err), COT_E_IO, "Is a directory");
    free(text);
}

TEST(texts_that_would_not_fit_a_line_are_refused_when_they_are_added)
{
    cot_manifest *m = made(0, 1);
    int label[16];
    for (size_t s = 0; s < steps->n_steps; s++) label[s] = COT_MASKED;
    char *report = malloc(MANIFEST_TEXTS_MAX + 1);
    REQUIRE(report);
    memset(report, 1, MANIFEST_TEXTS_MAX); /* six bytes each as JSON */
    report[MANIFEST_TEXTS_MAX] = 0;
    char path[] = "a.png";
    const cot_case one = {.path = path, .patient = path, .label = label, .report = report, .rows = 1, .cols = 1};
    CHECK_FAILS(cot_manifest_add(m, &one, steps, &err), COT_E_INPUT, "texts together have more than");
    report[MANIFEST_TEXTS_MAX - 100] = 0;
    CHECK_OK(cot_manifest_add(m, &one, steps, &err));
    CHECK_OK(cot_manifest_write(m, file, steps, &err));
    free(report);
    cot_manifest_destroy(m);
}

/* ---- splits ---- */
static size_t images_in(const cot_manifest *m, cot_split split, int option)
{
    return cot_manifest_count(m, split, m->n_steps - 1, option);
}

TEST(splits_keep_patients_whole_and_the_shares_of_each_diagnosis)
{
    cot_manifest *m = made(3000, 3);
    const cot_split_options options = COT_SPLIT_OPTIONS_INIT;
    CHECK_OK(cot_manifest_split(m, steps, &options, &err));
    for (size_t i = 1; i < m->n; i++)
        if (!strcmp(m->cases[i].patient, m->cases[i - 1].patient))
            CHECK_NUMBER(m->cases[i].split, m->cases[i - 1].split);
    static const int strata[] = {0, 1, 2, COT_MASKED};
    for (size_t k = 0; k < 4; k++) {
        const double all = (double)(images_in(m, COT_TRAIN, strata[k]) + images_in(m, COT_VALIDATION, strata[k]) +
                                    images_in(m, COT_TEST, strata[k]));
        CHECK(all > 250);
        for (int s = 0; s < COT_SPLITS; s++) /* a patient's three images move together */
            CHECK_NEAR((double)images_in(m, (cot_split)s, strata[k]), options.share[s] * all, 3);
    }
    CHECK_OK(cot_manifest_write(m, file, steps, &err));
    cot_manifest *again = NULL;
    CHECK_OK(cot_manifest_open(&again, file, NULL, steps, NULL, &err)); /* which checks patients itself */
    cot_manifest_destroy(again);
    cot_manifest_destroy(m);
}

TEST(a_split_depends_on_seed_and_patients_not_on_order)
{
    cot_manifest *m = made(600, 2), *other = made(600, 2);
    cot_split_options options = COT_SPLIT_OPTIONS_INIT;
    size_t differ = 0;
    for (size_t i = 0; i < 300; i++) {
        const cot_case swapped = other->cases[i];
        other->cases[i] = other->cases[599 - i];
        other->cases[599 - i] = swapped;
    }
    CHECK_OK(cot_manifest_split(m, steps, &options, &err));
    CHECK_OK(cot_manifest_split(other, steps, &options, &err));
    cot_manifest_sort(other);
    for (size_t i = 0; i < m->n; i++) CHECK_NUMBER(m->cases[i].split, other->cases[i].split);
    options.seed = 2;
    CHECK_OK(cot_manifest_split(other, steps, &options, &err));
    for (size_t i = 0; i < m->n; i++) differ += m->cases[i].split != other->cases[i].split;
    CHECK(differ > 60);
    cot_manifest_destroy(m);
    cot_manifest_destroy(other);
}

TEST(listed_patients_are_the_test_split)
{
    cot_manifest *m = made(200, 2);
    static const char *const listed[] = {"p7", "p99", "elsewhere"};
    cot_split_options options = COT_SPLIT_OPTIONS_INIT;
    options.test_patients = listed;
    options.n_test_patients = 3;
    CHECK_OK(cot_manifest_split(m, steps, &options, &err));
    size_t n[COT_SPLITS] = {0};
    for (size_t i = 0; i < m->n; i++) {
        const bool is = !strcmp(m->cases[i].patient, "p7") || !strcmp(m->cases[i].patient, "p99");
        CHECK((m->cases[i].split == COT_TEST) == is);
        n[m->cases[i].split]++;
    }
    CHECK_NUMBER(n[COT_TEST], 4);
    CHECK_NEAR((double)n[COT_VALIDATION] / 196, 0.15 / 0.85, 0.03);
    options.test_patients = &listed[2];
    options.n_test_patients = 1;
    CHECK_FAILS(cot_manifest_split(m, steps, &options, &err), COT_E_INPUT, "none of the 1 listed test patients");
    cot_manifest_destroy(m);
}

TEST(a_patient_counts_under_his_rarest_diagnosis)
{
    cot_manifest *m = made(100, 1);
    const size_t last = m->n_steps - 1;
    for (size_t i = 0; i < m->n; i++) m->cases[i].label[last] = i < 4 ? 5 : 0;
    for (size_t i = 0; i < 4; i++) strcpy(m->cases[4 + i].patient, m->cases[i].patient); /* p0 to p3: one of each */
    cot_split_options options = {3, {0.5, 0.25, 0.25}, NULL, 0};
    CHECK_OK(cot_manifest_split(m, steps, &options, &err));
    CHECK_NUMBER(images_in(m, COT_TRAIN, 5), 2); /* four patients of two images: shared out by themselves */
    CHECK_NUMBER(images_in(m, COT_VALIDATION, 5), 1);
    CHECK_NUMBER(images_in(m, COT_TEST, 5), 1);
    cot_manifest_destroy(m);
}

TEST(shares_that_are_none_are_refused)
{
    cot_manifest *m = made(10, 1);
    cot_split_options options = {1, {0.7, 0.2, 0.2}, NULL, 0};
    CHECK_FAILS(cot_manifest_split(m, steps, &options, &err), COT_E_USAGE, "sum to 1");
    options = (cot_split_options){1, {0, 0.5, 0.5}, NULL, 0};
    CHECK_FAILS(cot_manifest_split(m, steps, &options, &err), COT_E_USAGE, "some to train");
    options = (cot_split_options){1, {NAN, 0.5, 0.5}, NULL, 0};
    CHECK_FAILS(cot_manifest_split(m, steps, &options, &err), COT_E_USAGE, "from 0 to 1");
    options = (cot_split_options){1, {1, 0, 0}, NULL, 0};
    CHECK_OK(cot_manifest_split(m, steps, &options, &err));
    for (size_t i = 0; i < m->n; i++) CHECK_NUMBER(m->cases[i].split, COT_TRAIN);
    cot_manifest_destroy(m);
}

CHECK_MAIN
