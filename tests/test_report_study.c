/* links: dicom config
 * One report of several images: each chain under a name people know, refused images with their reason, the same object in
 * whatever order; and reports that replace others, of every kind. SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "report_cases.h"

enum { IMAGES = 3 };
static char folder[] = "/tmp/cot-study-XXXXXX";
static char image_path[IMAGES][64], report_path[64], second_path[64], old_path[64];
static cot_steps *steps;
static cot_error err;
static char output[1 << 20];
static cot_chain *chains[IMAGES]; /* two that were read, one that was refused */

static void write_images(void)
{
    static const char *const instances[IMAGES] = {"2.25.11", "2.25.12", "2.25.13"};
    for (int i = 0; i < IMAGES; i++) {
        case_image image = case_image_default();
        image.sop_instance = instances[i];
        snprintf(image_path[i], sizeof image_path[i], "%s/image%d.dcm", folder, i);
        case_image_write(image_path[i], &image);
    }
}

__attribute__((constructor)) static void set_up(void)
{
    cot_dicom_init();
    if (!mkdtemp(folder) || cot_steps_load(&steps, NULL, &err) != COT_OK) exit(1);
    snprintf(report_path, sizeof report_path, "%s/report.dcm", folder);
    snprintf(second_path, sizeof second_path, "%s/second.dcm", folder);
    snprintf(old_path, sizeof old_path, "%s/old.dcm", folder);
    write_images();
    chains[0] = case_chain(steps, true);
    chains[1] = case_chain(steps, false);
    chains[2] = case_refused(steps);
    for (int i = 0; i < 2; i++) case_evidence(chains[i]);
}

__attribute__((destructor)) static void tear_down(void)
{
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command) != 0) perror(command);
    for (int i = 0; i < IMAGES; i++) cot_chain_destroy(chains[i]);
    cot_steps_destroy(steps);
}

static cot_report_image image(int i)
{
    return (cot_report_image){image_path[i], CASE_DIGEST, chains[i]};
}

static cot_status write_of(cot_report_made *made, const char *path, const int *which, size_t n,
                           const cot_report_options *options)
{
    cot_report_image images[IMAGES];
    for (size_t i = 0; i < n; i++) images[i] = image(which[i]);
    return cot_report_write_study(made, path, images, n, steps, options, CASE_NOW, &err);
}

static const char *dump(const char *path)
{
    case_run(output, sizeof output, (const char *const[]){"dsrdump", "+Pl", path, NULL});
    return output;
}

static bool same_bytes(const char *a, const char *b)
{
    char *bytes[2] = {NULL, NULL};
    size_t size[2] = {0, 0};
    CHECK_OK(cot_file_read(&bytes[0], &size[0], a, 1 << 25, &err));
    CHECK_OK(cot_file_read(&bytes[1], &size[1], b, 1 << 25, &err));
    const bool same = size[0] && size[0] == size[1] && !memcmp(bytes[0], bytes[1], size[0]);
    free(bytes[0]);
    free(bytes[1]);
    return same;
}

static void complain(void *ctx, const cot_lint_finding *f)
{
    CHECK_FAIL_("%s: %s at %s: %s", (const char *)ctx, f->rule, f->where, f->what);
}

static void check_accepted(const char *what)
{
    const char *paths[1 + IMAGES] = {report_path, image_path[0], image_path[1], image_path[2]};
    size_t n = 0;
    CHECK_OK(cot_report_lint(paths, 1 + IMAGES, complain, (void *)(uintptr_t)what, &n, &err));
    CHECK_NUMBER(n, 0);
    CHECK_NUMBER(case_run(output, sizeof output, (const char *const[]){"dciodvfy", "-new", report_path, NULL}), 0);
    if (strstr(output, "Error")) CHECK_FAIL_("%s: %s", what, strstr(output, "Error"));
}

static const cot_report_kind kinds[2] = {COT_REPORT_READING, COT_REPORT_MEASUREMENT};

/* ---- what it says ---- */
TEST(reading_report_of_a_study_has_each_image_in_a_section_that_names_it)
{
    const int all[IMAGES] = {2, 0, 1};
    cot_report_made made;
    for (int basic = 0; basic < 2; basic++) {
        cot_report_options options = case_options();
        options.basic_text = basic;
        CHECK_OK(write_of(&made, report_path, all, IMAGES, &options));
        check_accepted(basic ? "basic" : "enhanced");
        dump(report_path);
        CHECK_HAS(output, "\"Image 1 (PA, series 1, instance 1)\"");
        CHECK_HAS(output, "\"Image 3 (PA, series 1, instance 1)\"");
        CHECK_HAS(output, "Image 3 (PA, series 1, instance 1): not analysed: body part HIP is not a chest");
        CHECK_HAS(output, "2 of 3; each was read by itself");
        size_t sections = 0, images = 0;
        for (const char *at = output; (at = strstr(at, "\"Impression\")")); at++) sections++;
        for (const char *at = output; (at = strstr(at, "contains IMAGE:")); at++) images++;
        CHECK_NUMBER(sections, 2); /* none for the image that was refused */
        CHECK_NUMBER(images, 3);
    }
}

TEST(measurement_report_of_a_study_lists_an_image_that_was_not_read)
{
    const int all[IMAGES] = {2, 0, 1};
    cot_report_made made;
    for (int kind = 0; kind < 4; kind++) {
        cot_report_options options = case_measurement();
        options.comprehensive = kind & 1;
        options.by_reference = kind & 2;
        CHECK_OK(write_of(&made, report_path, all, IMAGES, &options));
        check_accepted("measurements");
        dump(report_path);
        size_t libraries = 0, groups = 0;
        for (const char *at = output; (at = strstr(at, "\"Image Library Group\"")); at++) libraries++;
        for (const char *at = output; (at = strstr(at, "\"Measurement Group\"")); at++) groups++;
        CHECK_NUMBER(libraries, 3);
        CHECK_NUMBER(groups, 7 + 1 + 2 + 1);
        CHECK_HAS(output, "Image 3 (PA, series 1, instance 1): not analysed: body part HIP is not a chest");
    }
    const int refused[1] = {2};
    const cot_report_options options = case_measurement();
    CHECK_FAILS(write_of(&made, report_path, refused, 1, &options), COT_E_REFUSED, "nothing was measured");
}

/* ---- which object it is ---- */
TEST(report_of_a_study_follows_from_the_set_of_its_images_not_from_their_order)
{
    static const int orders[3][IMAGES] = {{0, 1, 2}, {2, 1, 0}, {1, 2, 0}};
    cot_report_made made[3], fewer;
    for (size_t k = 0; k < 2; k++) {
        cot_report_options options = case_options();
        options.kind = kinds[k];
        for (int i = 0; i < 3; i++) {
            CHECK_OK(write_of(&made[i], i ? second_path : report_path, orders[i], IMAGES, &options));
            CHECK_TEXT(made[i].sop_instance, made[0].sop_instance);
            if (i) CHECK(same_bytes(report_path, second_path));
        }
        CHECK_OK(write_of(&fewer, report_path, orders[0], 2, &options));
        CHECK(strcmp(fewer.sop_instance, made[0].sop_instance) != 0);
        CHECK(strcmp(fewer.series, made[0].series) != 0);
    }
}

TEST(report_of_a_study_of_one_image_is_the_report_of_that_image)
{
    const int one[1] = {0};
    const cot_report_options options = case_options();
    cot_report_made made[2];
    CHECK_OK(write_of(&made[0], report_path, one, 1, &options));
    CHECK_OK(cot_report_write(&made[1], second_path, image_path[0], CASE_DIGEST, chains[0], steps, &options, CASE_NOW,
                              &err));
    CHECK(same_bytes(report_path, second_path));
}

/* ---- what it replaces ---- */
/* Of one image, of a study, and a picture. */
static cot_status write_kind(cot_report_made *made, const char *path, int kind, const char *predecessor)
{
    static const int all[IMAGES] = {0, 1, 2};
    cot_report_options options = case_options();
    options.kind = kind == 4 ? COT_REPORT_CAPTURE : kinds[kind & 1];
    options.predecessor = predecessor;
    if (kind == 4)
        return cot_capture_write(made, path, image_path[0], CASE_DIGEST, chains[0], steps, &options, CASE_NOW, &err);
    return write_of(made, path, all, kind < 2 ? 1 : IMAGES, &options);
}

static const char *predecessor_in(const char *path)
{
    case_run(output, sizeof output, (const char *const[]){"dcmdump", "-M", path, NULL});
    const char *at = strstr(output, "(0040,a360) SQ");
    if (!at) at = strstr(output, "(0008,1140) SQ");
    return at ? at : "";
}

static void set_version(const char *version)
{
    for (int i = 0; i < IMAGES; i++) case_copy(chains[i]->reader.version, sizeof chains[i]->reader.version, version);
}

TEST(re_reading_replaces_the_former_report_of_its_kind_and_going_back_replaces_again)
{
    cot_report_made first, second, third, again;
    for (int kind = 0; kind < 5; kind++) {
        set_version("1.0");
        chains[0]->answers[0].rationale[0] = 'A'; /* pictures follow from what is drawn */
        CHECK_OK(write_kind(&first, report_path, kind, NULL));
        CHECK_TEXT(predecessor_in(report_path), "");
        CHECK_OK(write_kind(&again, second_path, kind, report_path)); /* itself, made earlier */
        CHECK(same_bytes(report_path, second_path));
        set_version("2.0");
        chains[0]->answers[0].rationale[0] = 'B';
        CHECK_OK(write_kind(&second, second_path, kind, report_path));
        CHECK(strcmp(second.sop_instance, first.sop_instance) != 0);
        CHECK_HAS(predecessor_in(second_path), first.sop_instance);
        CHECK_OK(write_kind(&again, old_path, kind, second_path));
        CHECK(same_bytes(second_path, old_path));
        set_version("1.0"); /* the first model again: another report, for it replaces the second's */
        chains[0]->answers[0].rationale[0] = 'A';
        CHECK_OK(write_kind(&third, old_path, kind, second_path));
        CHECK(strcmp(third.sop_instance, first.sop_instance) != 0);
        CHECK(strcmp(third.sop_instance, second.sop_instance) != 0);
        CHECK_HAS(predecessor_in(old_path), second.sop_instance);
        CHECK_NUMBER(case_run(output, sizeof output, (const char *const[]){"dciodvfy", "-new", old_path, NULL}), 0);
        if (strstr(output, "Error")) CHECK_FAIL_("kind %d: %s", kind, strstr(output, "Error"));
        const char *paths[2] = {old_path, image_path[0]};
        size_t n = 0;
        CHECK_OK(cot_report_lint(paths, 2, complain, (void *)(uintptr_t) "again", &n, &err));
    }
}

CHECK_MAIN
