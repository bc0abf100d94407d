/* links: dicom config
 * The measurement report as a file: what validators say of each kind of it, identity, several images, what is refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "report_cases.h"

#include <dirent.h>

static char folder[] = "/tmp/cot-measure-XXXXXX";
static char image_path[64], second_path[64], report_path[64], html_path[64];
static cot_steps *steps;
static char output[1 << 21];

static void write_image(const char *path, const char *instance, const char *study, const char *patient)
{
    case_image image = case_image_default();
    image.sop_instance = instance;
    image.study = study;
    image.patient_id = patient;
    case_image_write(path, &image);
}

__attribute__((constructor)) static void set_up(void)
{
    cot_error err = COT_ERROR_INIT;
    cot_dicom_init();
    if (!mkdtemp(folder) || cot_steps_load(&steps, NULL, &err) != COT_OK) {
        fprintf(stderr, "cannot set up: %s\n", err.text);
        exit(1);
    }
    snprintf(image_path, sizeof image_path, "%s/image.dcm", folder);
    snprintf(second_path, sizeof second_path, "%s/second.dcm", folder);
    snprintf(report_path, sizeof report_path, "%s/report.dcm", folder);
    snprintf(html_path, sizeof html_path, "%s/report.html", folder);
    write_image(image_path, "1.2.826.0.1.3680043.10.999.1", "1.2.826.0.1.3680043.10.999.3", "PID-1");
    write_image(second_path, "1.2.826.0.1.3680043.10.999.8", "1.2.826.0.1.3680043.10.999.3", "PID-1");
}

__attribute__((destructor)) static void tear_down(void)
{
    DIR *dir = opendir(folder);
    char path[512];
    for (struct dirent *e; dir && (e = readdir(dir));) {
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (e->d_name[0] != '.') unlink(path);
    }
    if (dir) closedir(dir);
    rmdir(folder);
    cot_steps_destroy(steps);
}

static cot_status write_report(cot_report_made *made, const cot_chain *chain, const cot_report_options *options,
                               cot_error *err)
{
    memset(made, 0, sizeof *made);
    return cot_report_write(made, report_path, image_path, CASE_DIGEST, chain, steps, options, CASE_NOW, err);
}

static const char *dump(void)
{
    const char *const argv[] = {"dcmdump", "-q", "+L", "-Un", report_path, NULL};
    CHECK_NUMBER(case_run(output, sizeof output, argv), 0);
    return output;
}

/* A line "W:" or "E:" other than DCMTK 3.6.7's remark that its VR checker does not know UTF-8. */
static bool complains(const char *text)
{
    for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if ((!strncmp(line, "W:", 2) || !strncmp(line, "E:", 2)) && strncmp(line, "W: DcmSpecificCharacterSet", 26) &&
            !strstr(line, "VR checker"))
            return true;
    return false;
}

static void check_by_validators(const char *what)
{
    const char *const dump_argv[] = {"dsrdump", report_path, NULL};
    const char *const html_argv[] = {"dsr2html", report_path, html_path, NULL};
    const char *const iod_argv[] = {"dciodvfy", "-new", report_path, NULL};
    const char *const entity_argv[] = {"dcentvfy", image_path, report_path, NULL};
    const int dumped = case_run(output, sizeof output, dump_argv);
    if (dumped || complains(output)) CHECK_FAIL_("%s: dsrdump %d: %.2000s", what, dumped, output);
    const int rendered = case_run(output, sizeof output, html_argv);
    if (rendered || complains(output)) CHECK_FAIL_("%s: dsr2html %d: %.2000s", what, rendered, output);
    const int verified = case_run(output, sizeof output, iod_argv);
    if (verified || !strncmp(output, "Error", 5) || strstr(output, "\nError"))
        CHECK_FAIL_("%s: dciodvfy %d: %.4000s", what, verified, output);
    const int consistent = case_run(output, sizeof output, entity_argv);
    if (consistent || strstr(output, "Error")) CHECK_FAIL_("%s: dcentvfy %d: %.2000s", what, consistent, output);
    check_count += 4;
}

static void check_all_kinds(const char *what, const cot_chain *chain)
{
    cot_error err = COT_ERROR_INIT;
    cot_report_made made;
    cot_report_options options = case_measurement();
    for (int k = 0; k < 4; k++) {
        options.comprehensive = k & 1;
        options.by_reference = k & 2;
        REQUIRE_OK(write_report(&made, chain, &options, &err));
        CHECK_TEXT(made.sop_class, k & 1 ? "1.2.840.10008.5.1.4.1.1.88.33" : "1.2.840.10008.5.1.4.1.1.88.34");
        check_by_validators(what);
    }
}

TEST(complete_reading_with_regions_influences_and_second_reader_satisfies_the_validators)
{
    cot_chain *chain = case_chain(steps, true);
    case_evidence(chain);
    check_all_kinds("with evidence", chain);
    cot_chain_destroy(chain);
}

TEST(reading_without_evidence_satisfies_the_validators)
{
    cot_chain *chain = case_chain(steps, true);
    check_all_kinds("without evidence", chain);
    cot_chain_destroy(chain);
    chain = case_chain(steps, false);
    check_all_kinds("two steps", chain);
    CHECK_HAS(dump(), "[PARTIAL]");
    CHECK_HAS(output, "not available: the model was not trained on this step");
    cot_chain_destroy(chain);
}

TEST(normal_image_satisfies_the_validators)
{
    cot_chain *chain = case_chain(steps, true);
    for (size_t s = 0; s < steps->n_steps; s++) {
        case_answer(chain, steps, s, 0, 0.95f);
        chain->answers[s].located = true;
    }
    check_all_kinds("normal", chain);
    CHECK_HAS(dump(), "[Whole image: the relevance map has no region]");
    cot_chain_destroy(chain);
}

TEST(measurement_report_of_two_images_has_groups_and_evidence_of_both)
{
    cot_error err = COT_ERROR_INIT;
    cot_report_made made;
    cot_chain *first = case_chain(steps, true), *second = case_chain(steps, false);
    case_evidence(first);
    case_evidence(second);
    cot_report_options options = case_measurement();
    const cot_report_image images[2] = {
        {image_path, CASE_DIGEST, first},
        {second_path, "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", second}};
    for (int by_reference = 0; by_reference < 2; by_reference++) {
        options.by_reference = by_reference;
        REQUIRE_OK(cot_report_write_study(&made, report_path, images, 2, steps, &options, CASE_NOW, &err));
        check_by_validators("two images");
        size_t groups = 0;
        for (const char *at = dump(); (at = strstr(at, "[Measurement Group]")); at++) groups++;
        CHECK_NUMBER(groups, 7 + 1 + 2 + 1); /* a further region of the first step each */
        CHECK_HAS(output, "[1.2.826.0.1.3680043.10.999.8]");
        CHECK_HAS(output, "Image 2 (PA, series 1, instance 1)");
    }
    CHECK_FAILS(cot_report_write_study(&made, report_path, images, 0, steps, &options, CASE_NOW, &err), COT_E_BUG,
                "1 to 64");
    CHECK_FAILS(cot_report_write_study(&made, report_path, images, 65, steps, &options, CASE_NOW, &err), COT_E_LIMIT,
                "1 to 64");
    const cot_report_image twice[2] = {images[0], images[0]};
    CHECK_FAILS(cot_report_write_study(&made, report_path, twice, 2, steps, &options, CASE_NOW, &err), COT_E_INPUT,
                "given twice");
    write_image(second_path, "1.2.826.0.1.3680043.10.999.8", "1.2.826.0.1.3680043.10.999.4", "PID-1");
    CHECK_FAILS(cot_report_write_study(&made, report_path, images, 2, steps, &options, CASE_NOW, &err), COT_E_INPUT,
                "different studies");
    write_image(second_path, "1.2.826.0.1.3680043.10.999.8", "1.2.826.0.1.3680043.10.999.3", "PID-2");
    CHECK_FAILS(cot_report_write_study(&made, report_path, images, 2, steps, &options, CASE_NOW, &err), COT_E_INPUT,
                "different patients");
    write_image(second_path, "1.2.826.0.1.3680043.10.999.8", "1.2.826.0.1.3680043.10.999.3", "PID-1");
    memset(second->reader.package_sha256, 'c', 64);
    CHECK_FAILS(cot_report_write_study(&made, report_path, images, 2, steps, &options, CASE_NOW, &err), COT_E_BUG,
                "different models");
    cot_chain_destroy(first);
    cot_chain_destroy(second);
}

/* The tracking identifiers of the report, in order, joined. */
static void tracking(char *to, size_t size)
{
    to[0] = 0;
    for (const char *at = dump(); (at = strstr(at, "[112040]"));) {
        const char *uid = strstr(at, " UI [2.25.");
        at++;
        if (!uid) break;
        const size_t n = strlen(to);
        snprintf(to + n, size - n, "%.*s\n", (int)strcspn(uid + 5, "]"), uid + 5);
    }
}

TEST(another_model_reads_another_object_but_tracks_the_same_places)
{
    cot_error err = COT_ERROR_INIT;
    cot_report_made old, made, again;
    char old_path[64], before[16384], after[16384];
    cot_report_options options = case_measurement();
    cot_chain *chain = case_chain(steps, true);
    case_evidence(chain);
    REQUIRE_OK(write_report(&old, chain, &options, &err));
    tracking(before, sizeof before);
    CHECK(strlen(before) > 500);
    snprintf(old_path, sizeof old_path, "%s/old.dcm", folder);
    REQUIRE(rename(report_path, old_path) == 0);
    REQUIRE_OK(write_report(&again, chain, &options, &err));
    CHECK_TEXT(again.sop_instance, old.sop_instance);
    CHECK_TEXT(again.series, old.series);
    options.predecessor = old_path;
    case_copy(chain->reader.version, sizeof chain->reader.version, "2.0");
    REQUIRE_OK(write_report(&made, chain, &options, &err));
    check_by_validators("re-reading");
    CHECK(strcmp(made.sop_instance, old.sop_instance) != 0);
    tracking(after, sizeof after);
    CHECK_TEXT(after, before);
    CHECK_HAS(strstr(dump(), "PredecessorDocumentsSequence"), old.sop_instance);
    cot_chain_destroy(chain);
}

TEST(kinds_of_one_reading_differ_in_instance_and_series)
{
    cot_error err = COT_ERROR_INIT;
    cot_chain *chain = case_chain(steps, true);
    cot_report_made made[5];
    cot_report_options options = case_options();
    REQUIRE_OK(write_report(&made[4], chain, &options, &err));
    options = case_measurement();
    for (int k = 0; k < 4; k++) {
        options.comprehensive = k & 1;
        options.by_reference = k & 2;
        REQUIRE_OK(write_report(&made[k], chain, &options, &err));
    }
    for (int i = 0; i < 5; i++)
        for (int k = 0; k < i; k++) {
            CHECK(strcmp(made[i].sop_instance, made[k].sop_instance) != 0);
            CHECK(strcmp(made[i].series, made[k].series) != 0);
        }
    cot_chain_destroy(chain);
}

TEST(nothing_is_measured_in_refused_forced_or_unanswered_images)
{
    cot_error err = COT_ERROR_INIT;
    cot_report_made made;
    const cot_report_options options = case_measurement();
    cot_chain *chains[3] = {case_refused(steps), case_forced(steps), case_chain(steps, false)};
    for (size_t s = 0; s < steps->n_steps; s++) chains[2]->answers[s].available = false;
    for (int i = 0; i < 3; i++) {
        CHECK(!cot_report_measurable(chains[i]));
        CHECK_FAILS(write_report(&made, chains[i], &options, &err), COT_E_REFUSED, "nothing was measured");
        cot_chain_destroy(chains[i]);
    }
}

/* Each change to a good chain is named and no file is left changed. */
TEST(contradictory_evidence_is_refused)
{
    cot_error err = COT_ERROR_INIT;
    cot_report_made made;
    const cot_report_options options = case_measurement();
    cot_chain *chain = case_chain(steps, true);
    case_evidence(chain);
    cot_answer *a = &chain->answers[4];
    CHECK_OK(write_report(&made, chain, &options, &err));
    a->regions[0].points[2].column = 16.5f;
    CHECK_FAILS(write_report(&made, chain, &options, &err), COT_E_BUG, "outside its image");
    a->regions[0].points[2].column = NAN;
    CHECK_FAILS(write_report(&made, chain, &options, &err), COT_E_BUG, "no number");
    a->regions[0].points[2].column = 9;
    a->regions[0].share = 1.5f;
    CHECK_FAILS(write_report(&made, chain, &options, &err), COT_E_BUG, "no polygon");
    a->regions[0].share = 0.5f;
    a->located = false;
    CHECK_FAILS(write_report(&made, chain, &options, &err), COT_E_BUG, "was not made");
    a->located = true;
    a->influences[0].step = 4;
    CHECK_FAILS(write_report(&made, chain, &options, &err), COT_E_BUG, "no earlier answer");
    a->influences[0].step = a->influences[1].step;
    CHECK_FAILS(write_report(&made, chain, &options, &err), COT_E_BUG, "no earlier answer");
    a->influences[0].step = 0;
    a->influences[0].change = NAN;
    CHECK_FAILS(write_report(&made, chain, &options, &err), COT_E_BUG, "no earlier answer");
    a->influences[0].change = 0.1f;
    a->other.probability[0] = -1;
    CHECK_FAILS(write_report(&made, chain, &options, &err), COT_E_BUG, "second reader");
    cot_chain_destroy(chain);
}

CHECK_MAIN
