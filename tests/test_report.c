/* links: dicom config
 * The reading report as a file: identity, what it takes over from the image, what validators say, what is refused.
 * What its content tree holds is test_report_tree.cc's. SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "report_cases.h"

#include <dirent.h>

static char folder[] = "/tmp/cot-report-XXXXXX";
static char image_path[64], report_path[64], html_path[64];
static cot_steps *steps;
static char output[1 << 20];

__attribute__((constructor)) static void set_up(void)
{
    cot_error err = COT_ERROR_INIT;
    cot_dicom_init();
    if (!mkdtemp(folder) || cot_steps_load(&steps, NULL, &err) != COT_OK) {
        fprintf(stderr, "cannot set up: %s\n", err.text);
        exit(1);
    }
    snprintf(image_path, sizeof image_path, "%s/image.dcm", folder);
    snprintf(report_path, sizeof report_path, "%s/report.dcm", folder);
    snprintf(html_path, sizeof html_path, "%s/report.html", folder);
    const case_image image = case_image_default();
    case_image_write(image_path, &image);
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

static void use_image(const case_image *image)
{
    case_image_write(image_path, image);
}
static void use_default_image(void)
{
    const case_image image = case_image_default();
    use_image(&image);
}

/* dcmdump of the report into `output`. */
static const char *dump(const char *path)
{
    const char *const argv[] = {"dcmdump", "-q", "+L", "-Un", path, NULL};
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

static bool has_error_line(const char *text)
{
    return !strncmp(text, "Error", 5) || strstr(text, "\nError");
}

static void check_by_validators(const char *what)
{
    const char *const dump_argv[] = {"dsrdump", report_path, NULL};
    const char *const html_argv[] = {"dsr2html", report_path, html_path, NULL};
    const char *const iod_argv[] = {"dciodvfy", "-new", report_path, NULL};
    const int dumped = case_run(output, sizeof output, dump_argv);
    if (dumped || complains(output)) CHECK_FAIL_("%s: dsrdump %d: %.2000s", what, dumped, output);
    const int rendered = case_run(output, sizeof output, html_argv);
    if (rendered || complains(output)) CHECK_FAIL_("%s: dsr2html %d: %.2000s", what, rendered, output);
    const int verified = case_run(output, sizeof output, iod_argv);
    if (verified || has_error_line(output)) CHECK_FAIL_("%s: dciodvfy %d: %.4000s", what, verified, output);
    check_count += 3;
}

static void check_both_kinds(const char *what, const cot_chain *chain)
{
    cot_error err = COT_ERROR_INIT;
    cot_report_made made;
    cot_report_options options = case_options();
    for (int basic = 0; basic < 2; basic++) {
        options.basic_text = basic;
        CHECK_OK(write_report(&made, chain, &options, &err));
        CHECK_TEXT(made.sop_class, basic ? "1.2.840.10008.5.1.4.1.1.88.11" : "1.2.840.10008.5.1.4.1.1.88.22");
        check_by_validators(what);
    }
}

TEST(complete_reading_satisfies_dsrdump_dsr2html_and_dciodvfy)
{
    cot_chain *chain = case_chain(steps, true);
    check_both_kinds("complete", chain);
    CHECK_HAS(dump(report_path), "CompletionFlag");
    CHECK_HAS(output, "[COMPLETE]");
    CHECK_HAS(output, "[UNVERIFIED]");
    CHECK_HAS(output, "[PRELIMINARY]");
    cot_chain_destroy(chain);
}

TEST(partial_reading_satisfies_the_validators_and_is_flagged_partial)
{
    cot_chain *chain = case_chain(steps, false);
    check_both_kinds("partial", chain);
    CHECK_HAS(dump(report_path), "[PARTIAL]");
    CHECK_HAS(output, "[2 of 7 steps; AI generated; not reviewed by a physician]");
    cot_chain_destroy(chain);
}

TEST(refused_image_gets_a_valid_report_that_says_why)
{
    cot_chain *chain = case_refused(steps);
    check_both_kinds("refused", chain);
    CHECK_HAS(dump(report_path), "[PARTIAL]");
    CHECK_HAS(output, "[Not analysed: body-part]");
    CHECK_HAS(output, "[body part HIP is not a chest]");
    CHECK(!strstr(output, "STEP1"));
    cot_chain_destroy(chain);
    CHECK(cot_chain_create(&chain, NULL, NULL) == COT_OK); /* refused before a model was asked: no reader, no steps */
    chain->state = COT_CHAIN_REFUSED;
    snprintf(chain->refusal_id, sizeof chain->refusal_id, "undecodable");
    check_both_kinds("refused without a reader", chain);
    cot_chain_destroy(chain);
}

TEST(forced_reading_satisfies_the_validators_and_has_its_own_series_description)
{
    cot_chain *chain = case_forced(steps);
    check_both_kinds("forced", chain);
    CHECK_HAS(dump(report_path), "[AI reading, forced on an image outside its scope, not verified]");
    CHECK_HAS(output, "[PARTIAL]");
    CHECK_HAS(output, "[Forced (body-part); not reviewed by a physician]");
    cot_chain_destroy(chain);
}

TEST(extreme_strings_give_a_valid_report)
{
    cot_chain *chain = case_chain(steps, true);
    memset(chain->answers[0].rationale, 'x', 1024);
    for (size_t i = 0; i + 3 <= 1024; i += 3) memcpy(chain->answers[1].rationale + i, "\xe8\x82\xba", 3);
    snprintf(chain->answers[2].rationale, sizeof chain->answers[2].rationale,
             "quotes \"'<>& umlauts \xc3\xa4\xc3\x96 controls \x01\x1b[31m\t\x7f\xc2\x85 lines\none\r\ntwo backslash "
             "\\ end");
    snprintf(chain->answers[3].rationale, sizeof chain->answers[3].rationale,
             "broken \xff\xfe \xc3( \xed\xa0\x80 \xf5\x80\x80\x80");
    snprintf(chain->summary, sizeof chain->summary, "%s", "\xe8\x82\xba\xe7\x82\x8e \xf0\x9f\xab\x81");
    snprintf(chain->reader.name, sizeof chain->reader.name, "Sch\xc3\xbcler\\\"model\" \x02");
    chain->answers[4].rationale[0] = 0;
    chain->reader.notice[0] = chain->reader.training[0] = 0;
    check_both_kinds("extreme", chain);
    cot_chain_destroy(chain);
}

/* ---- identity ---- */
TEST(same_reading_gives_the_same_file_and_the_series_is_never_shared)
{
    cot_error err = COT_ERROR_INIT;
    cot_report_made made, again;
    cot_chain *chain = case_chain(steps, true);
    const cot_report_options options = case_options();
    char *first = NULL, *second = NULL;
    size_t first_size = 0, second_size = 0;
    REQUIRE_OK(write_report(&made, chain, &options, &err));
    REQUIRE_OK(cot_file_read(&first, &first_size, report_path, 1 << 20, &err));
    REQUIRE_OK(write_report(&again, chain, &options, &err));
    REQUIRE_OK(cot_file_read(&second, &second_size, report_path, 1 << 20, &err));
    CHECK_NUMBER(first_size, second_size);
    CHECK(first_size == second_size && !memcmp(first, second, first_size));
    CHECK_TEXT(made.sop_instance, again.sop_instance);
    CHECK_TEXT(made.series, again.series);
    CHECK(strcmp(made.sop_instance, made.series) != 0);
    CHECK_TEXT(made.study, "1.2.826.0.1.3680043.10.999.3");
    CHECK_HAS(dump(report_path), made.sop_instance);
    CHECK_HAS(output, made.series);
    CHECK(strncmp(made.sop_instance, "2.25.", 5) == 0);
    free(first);
    free(second);
    cot_chain_destroy(chain);
}

/* Every thing that makes another object gives UIDs never seen before in this test. */
static char seen[64][65];
static size_t n_seen;
static void check_new(const char *uid)
{
    for (size_t i = 0; i < n_seen; i++)
        if (!strcmp(seen[i], uid)) CHECK_FAIL_("%s was given twice", uid);
    check_count++;
    if (n_seen < 64) snprintf(seen[n_seen++], 65, "%s", uid);
}
static void check_new_report(const cot_chain *chain, const cot_report_options *options, const char *digest)
{
    cot_error err = COT_ERROR_INIT;
    cot_report_made made;
    REQUIRE_OK(cot_report_write(&made, report_path, image_path, digest, chain, steps, options, CASE_NOW, &err));
    check_new(made.sop_instance);
    check_new(made.series);
}

TEST(another_image_model_schema_kind_option_or_refusal_gives_another_identity)
{
    cot_chain *chain = case_chain(steps, true), *refused = case_refused(steps);
    cot_report_options options = case_options();
    check_new_report(chain, &options, CASE_DIGEST);
    check_new_report(chain, &options, "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff");
    chain->reader.package_sha256[3] = 'b';
    check_new_report(chain, &options, CASE_DIGEST);
    snprintf(chain->reader.version, sizeof chain->reader.version, "1.1");
    check_new_report(chain, &options, CASE_DIGEST);
    options.basic_text = true;
    check_new_report(chain, &options, CASE_DIGEST);
    options.uid_root = "1.2.826.0.1.3680043.10.999";
    check_new_report(chain, &options, CASE_DIGEST);
    options = case_options();
    snprintf(options.title.value, sizeof options.title.value, "11528-7");
    check_new_report(chain, &options, CASE_DIGEST);
    options = case_options();
    options.manufacturer = "Another";
    check_new_report(chain, &options, CASE_DIGEST);
    options = case_options();
    options.station = "ANOTHER";
    check_new_report(chain, &options, CASE_DIGEST);
    options = case_options();
    options.series_number++;
    check_new_report(chain, &options, CASE_DIGEST);
    options = case_options();
    snprintf(chain->forced_id, sizeof chain->forced_id, "body-part");
    check_new_report(chain, &options, CASE_DIGEST);
    chain->forced_id[0] = 0;
    snprintf(chain->reader.device, sizeof chain->reader.device, "another device");
    check_new_report(chain, &options, CASE_DIGEST);
    snprintf(chain->reader.program, sizeof chain->reader.program, "stepcot 9.9");
    check_new_report(chain, &options, CASE_DIGEST);
    snprintf(chain->reader.role, sizeof chain->reader.role, "teacher");
    check_new_report(chain, &options, CASE_DIGEST);
    chain->has_other = true;
    check_new_report(chain, &options, CASE_DIGEST);
    check_new_report(refused, &options, CASE_DIGEST);
    snprintf(refused->refusal_id, sizeof refused->refusal_id, "not-frontal");
    check_new_report(refused, &options, CASE_DIGEST);
    const char digit = steps->sha256[0];
    steps->sha256[0] = chain->schema_sha256[0] = digit == '0' ? '1' : '0';
    check_new_report(chain, &options, CASE_DIGEST);
    steps->sha256[0] = digit;
    cot_chain_destroy(chain);
    cot_chain_destroy(refused);
}

TEST(report_names_its_predecessor_but_never_itself)
{
    cot_error err = COT_ERROR_INIT;
    cot_report_made old, made;
    cot_chain *chain = case_chain(steps, true);
    cot_report_options options = case_options();
    char old_path[64];
    snprintf(old_path, sizeof old_path, "%s/old.dcm", folder);
    REQUIRE_OK(write_report(&old, chain, &options, &err));
    REQUIRE(rename(report_path, old_path) == 0);
    options.predecessor = old_path;
    REQUIRE_OK(write_report(&made, chain, &options, &err));
    CHECK(!strstr(dump(report_path), "PredecessorDocumentsSequence"));
    snprintf(chain->reader.version, sizeof chain->reader.version, "2.0");
    REQUIRE_OK(write_report(&made, chain, &options, &err));
    CHECK(strcmp(made.sop_instance, old.sop_instance) != 0);
    const char *at = strstr(dump(report_path), "PredecessorDocumentsSequence");
    REQUIRE(at);
    CHECK_HAS(at, old.sop_instance);
    CHECK_HAS(at, old.series);
    check_by_validators("with a predecessor");
    options.predecessor = "/nonexistent/old.dcm";
    CHECK_FAILS(write_report(&made, chain, &options, &err), COT_E_IO, "earlier report");
    options.predecessor = html_path; /* not DICOM */
    REQUIRE_OK(cot_file_write_durable(html_path, "<html>", 6, &err));
    CHECK(write_report(&made, chain, &options, &err) != COT_OK);
    CHECK_HAS(err.text, "earlier report");
    cot_chain_destroy(chain);
}

/* ---- what the image brings along ---- */
static void check_character_set(const char *set, const char *patient, const char *utf8)
{
    cot_error err = COT_ERROR_INIT;
    cot_report_made made;
    cot_chain *chain = case_chain(steps, false);
    const cot_report_options options = case_options();
    case_image image = case_image_default();
    image.character_set = set;
    image.patient = patient;
    use_image(&image);
    CHECK_OK(write_report(&made, chain, &options, &err));
    CHECK_HAS(dump(report_path), "[ISO_IR 192]");
    CHECK_HAS(output, utf8);
    CHECK_NUMBER(strstr(output, "read as Latin-1") != NULL, !set);
    check_by_validators(set ? set : "no character set");
    use_default_image();
    cot_chain_destroy(chain);
}

TEST(names_in_any_character_set_arrive_as_utf8)
{
    check_character_set("ISO_IR 100", "M\xfcller^J\xf6rg", "[M\xc3\xbcller^J\xc3\xb6rg]");
    check_character_set("ISO_IR 192", "M\xc3\xbcller^\xe7\x8e\x8b", "[M\xc3\xbcller^\xe7\x8e\x8b]");
    check_character_set("\\ISO 2022 IR 87", "Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B",
                        "[Yamada^Tarou=\xe5\xb1\xb1\xe7\x94\xb0^\xe5\xa4\xaa\xe9\x83\x8e]");
    check_character_set("ISO 2022 IR 13\\ISO 2022 IR 87",
                        "\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J",
                        "[\xef\xbe\x94\xef\xbe\x8f\xef\xbe\x80\xef\xbe\x9e^\xef\xbe\x80\xef\xbe\x9b\xef\xbd\xb3="
                        "\xe5\xb1\xb1\xe7\x94\xb0^\xe5\xa4\xaa\xe9\x83\x8e]");
    check_character_set("\\ISO 2022 IR 149", "Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7",
                        "[Hong^Gildong=\xe6\xb4\xaa^\xe5\x90\x89\xe6\xb4\x9e]");
    check_character_set("NO SUCH SET", "Doe^John", "[Doe^John]"); /* ASCII: nothing to guess */
    check_character_set("GB18030", "Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab",
                        "[Wang^XiaoDong=\xe7\x8e\x8b^\xe5\xb0\x8f\xe4\xb8\x9c]");
    check_character_set(NULL, "M\xfcller^J\xf6rg", "[M\xc3\xbcller^J\xc3\xb6rg]"); /* undeclared: said in the limits */
}

TEST(patient_study_and_request_attributes_are_those_of_the_image)
{
    cot_error err = COT_ERROR_INIT;
    cot_report_made made;
    cot_chain *chain = case_chain(steps, true);
    const cot_report_options options = case_options();
    case_image image = case_image_default();
    image.rich = true;
    image.time_zone = "+0530";
    image.description = "Thorax";
    use_image(&image);
    REQUIRE_OK(write_report(&made, chain, &options, &err));
    dump(report_path);
    static const char *const wanted[] = {
        "(0010,0010) PN [Doe^Jane]",
        "(0010,0020) LO [PID-1]",
        "(0010,0021) LO [General Hospital]",
        "[OLD-ID-5]",
        "(0010,1010) AS [056Y]",
        "(0012,0062) CS [YES]",
        "(0012,0063) LO [Names replaced]",
        "(0008,0050) SH [ACC-7]",
        "UT [Radiology desk]",
        "(0008,1030) LO [Thorax]",
        "(0008,0201) SH [+0530]",
        "(0020,0010) SH [S1]",
        "(0008,0020) DA [20260301]",
        "(0040,1001) SH [RP-22]",
        "[36572-6]",
        "(0008,0023) DA [20260301]",
        "(0008,0033) TM [154500]" /* 10:15 UTC at +0530 */,
        "(0020,0011) IS [9701]",
        "(0008,0060) CS [SR]",
        "(0008,103e) LO [AI ",
        "(0040,a084) CS [DEV]",
        "(0008,1010) SH [STEPCOT]",
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) CHECK_HAS(output, wanted[i]);
    check_by_validators("rich header");
    use_default_image();
    cot_chain_destroy(chain);
}

TEST(patient_id_sent_as_another_kind_of_text_is_taken_over)
{
    cot_error err = COT_ERROR_INIT;
    cot_report_made made;
    cot_chain *chain = case_chain(steps, true);
    const cot_report_options options = case_options();
    case_image image = case_image_default();
    image.id_vr = "SH";
    use_image(&image);
    REQUIRE_OK(write_report(&made, chain, &options, &err));
    CHECK_HAS(dump(report_path), "(0010,0020) LO [PID-1]");
    use_default_image();
    cot_chain_destroy(chain);
}

TEST(malformed_age_is_left_out_instead_of_spoiling_the_report)
{
    cot_error err = COT_ERROR_INIT;
    cot_report_made made;
    cot_chain *chain = case_chain(steps, true);
    const cot_report_options options = case_options();
    case_image image = case_image_default();
    image.age = "62";
    use_image(&image);
    REQUIRE_OK(write_report(&made, chain, &options, &err));
    CHECK(!strstr(dump(report_path), "(0010,1010)"));
    check_by_validators("age 62");
    image.age = "062Y";
    use_image(&image);
    REQUIRE_OK(write_report(&made, chain, &options, &err));
    CHECK_HAS(dump(report_path), "(0010,1010) AS [062Y]");
    use_default_image();
    cot_chain_destroy(chain);
}

TEST(absent_attributes_stay_empty_and_mandatory_ones_are_there)
{
    cot_error err = COT_ERROR_INIT;
    cot_report_made made;
    cot_chain *chain = case_chain(steps, true);
    const cot_report_options options = case_options();
    case_image image = case_image_default();
    image.patient = image.patient_id = image.accession = NULL;
    use_image(&image);
    REQUIRE_OK(write_report(&made, chain, &options, &err));
    dump(report_path);
    CHECK_HAS(output, "(0008,0050) SH (no value available)");
    CHECK_HAS(output, "(0010,0010) PN (no value available)");
    CHECK_HAS(output, "ReferencedPerformedProcedureStepSequence");
    CHECK_HAS(output, "PerformedProcedureCodeSequence");
    CHECK(!strstr(output, "ReferencedRequestSequence"));
    check_by_validators("minimal header");
    use_default_image();
    cot_chain_destroy(chain);
}

/* ---- what is refused ---- */
static void check_image_refused(const case_image *image, const char *part)
{
    cot_error err = COT_ERROR_INIT;
    cot_report_made made;
    cot_chain *chain = case_chain(steps, true);
    const cot_report_options options = case_options();
    use_image(image);
    unlink(report_path);
    CHECK_FAILS(write_report(&made, chain, &options, &err), COT_E_INPUT, part);
    CHECK(access(report_path, F_OK) != 0);
    CHECK_TEXT(made.sop_instance, "");
    use_default_image();
    cot_chain_destroy(chain);
}

TEST(image_without_identity_is_refused_by_tag)
{
    case_image image = case_image_default();
    image.study = NULL;
    check_image_refused(&image, "StudyInstanceUID (0020,000d) is missing");
    image = case_image_default();
    image.series = "";
    check_image_refused(&image, "SeriesInstanceUID (0020,000e) is missing");
    image = case_image_default();
    image.sop_instance = NULL;
    check_image_refused(&image, "SOPInstanceUID (0008,0018) is missing");
    image = case_image_default();
    image.study = "1.2.x";
    check_image_refused(&image, "StudyInstanceUID (0020,000d) is not a valid UID");
    image = case_image_default();
    image.id_vr = "UN";
    check_image_refused(&image, "PatientID (0010,0020) has a wrong value representation");
}

TEST(contradictory_arguments_are_refused)
{
    cot_error err = COT_ERROR_INIT;
    cot_report_made made;
    cot_chain *chain = case_chain(steps, true);
    cot_report_options options = case_options();
    chain->answers[1].probability[0] = NAN;
    CHECK_FAILS(write_report(&made, chain, &options, &err), COT_E_BUG, "probability outside 0..1");
    chain->answers[1].probability[0] = 0;
    chain->answers[2].answer = 99;
    CHECK_FAILS(write_report(&made, chain, &options, &err), COT_E_BUG, "no answer among its options");
    chain->answers[2].answer = 0;
    chain->n_steps--;
    CHECK_FAILS(write_report(&made, chain, &options, &err), COT_E_BUG, "another number of steps");
    chain->n_steps++;
    chain->schema_sha256[0] = 'x';
    CHECK_FAILS(write_report(&made, chain, &options, &err), COT_E_BUG, "another step schema");
    chain->schema_sha256[0] = steps->sha256[0];
    snprintf(options.title.value, sizeof options.title.value, "126000");
    CHECK_FAILS(write_report(&made, chain, &options, &err), COT_E_CONFIG, "126000");
    options = case_options();
    CHECK_FAILS(
        cot_report_write(&made, report_path, "/nonexistent.dcm", CASE_DIGEST, chain, steps, &options, CASE_NOW, &err),
        COT_E_INPUT, "image header");
    CHECK_FAILS(cot_report_write(&made, "/nonexistent/report.dcm", image_path, CASE_DIGEST, chain, steps, &options,
                                 CASE_NOW, &err),
                COT_E_IO, "/nonexistent");
    cot_chain_destroy(chain);
}

CHECK_MAIN
