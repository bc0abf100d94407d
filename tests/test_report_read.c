/* links: dicom config
 * Round trip: 500 generated chains, extreme strings and shapes among them, written as measurement reports of every kind and
 * read back: strings and outlines exactly, numbers within the rounding of 0.01 %. SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "report_cases.h"

enum { CHAINS = 500 };

static char folder[] = "/tmp/cot-round-XXXXXX";
static char image_path[64], report_path[64];
static cot_steps *steps;
static cot_error err;
static uint64_t state = 20260301;

__attribute__((constructor)) static void set_up(void)
{
    cot_dicom_init();
    if (!mkdtemp(folder) || cot_steps_load(&steps, NULL, &err) != COT_OK) exit(1);
    snprintf(image_path, sizeof image_path, "%s/image.dcm", folder);
    snprintf(report_path, sizeof report_path, "%s/report.dcm", folder);
    const case_image image = case_image_default();
    case_image_write(image_path, &image);
}

__attribute__((destructor)) static void tear_down(void)
{
    unlink(image_path);
    unlink(report_path);
    rmdir(folder);
    cot_steps_destroy(steps);
}

/* ---- chance, the same in every run ---- */
static size_t chance(size_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(state >> 33) % n;
}
static float unit(void)
{
    return (float)chance(1 << 24) / (float)(1 << 24);
}

/* Pieces that have broken writers and readers before. No control characters but LF, none at the ends: DICOM pads with spaces. */
static const char *const pieces[] = {"a",
                                     "x y",
                                     "\\",
                                     "\\\\",
                                     "\"",
                                     "'",
                                     "<&>",
                                     "]]>",
                                     "%s%n",
                                     "^",
                                     "=",
                                     "\n",
                                     "\xc3\xa4\xc3\x9f",
                                     "\xe8\x82\xba\xe7\x82\x8e",
                                     "\xf0\x9f\xab\x81",
                                     "\xd7\xa9\xd7\x9c",
                                     "e\xcc\x81",
                                     "\xe2\x80\xae",
                                     "\xef\xbb\xbf",
                                     "1.5\\2.5",
                                     "^^^^",
                                     "{answer}",
                                     "not available: ",
                                     "Image 2: ",
                                     ": ",
                                     "\xf4\x8f\xbf\xbf"};

static void extreme(char *to, size_t size, bool lines)
{
    const size_t most = chance(4) == 0 ? size - 1 : chance(60);
    size_t n = 0;
    to[0] = 0;
    while (n < most) {
        const char *piece = pieces[chance(sizeof pieces / sizeof *pieces)];
        if ((!lines || n == 0) && *piece == '\n') continue;
        if (n + strlen(piece) + 1 > size - 1) break;
        n += (size_t)snprintf(to + n, size - n, "%s", piece);
    }
    while (n && (to[n - 1] == '\n' || to[n - 1] == ' ')) to[--n] = 0;
}

static void random_probabilities(float *probability, size_t n, size_t *answer)
{
    float sum = 0;
    *answer = 0;
    for (size_t o = 0; o < n; o++) sum += probability[o] = chance(5) ? unit() * unit() : 0;
    if (sum <= 0) sum = probability[0] = 1;
    for (size_t o = 0; o < n; o++) {
        probability[o] /= sum;
        if (probability[o] > probability[*answer]) *answer = o;
    }
}

static void random_evidence(cot_chain *chain, size_t s)
{
    cot_answer *a = &chain->answers[s];
    a->located = chance(4) != 0;
    CHECK_OK(cot_answer_regions(a, a->located ? chance(4) : 0, &err));
    for (size_t r = 0; r < a->n_regions; r++) {
        CHECK_OK(cot_region_points(&a->regions[r], 3 + chance(chance(20) ? 12 : 800), &err));
        for (size_t p = 0; p < a->regions[r].n_points; p++)
            a->regions[r].points[p] = (cot_point){unit() * 16, unit() * 16};
        a->regions[r].share = unit();
    }
    if (a->n_regions) extreme(a->place, sizeof a->place, false);
    a->weighed = chance(3) != 0;
    size_t earlier[64], n = 0;
    for (size_t k = 0; k < s; k++)
        if (chain->answers[k].available && chance(4)) earlier[n++] = k;
    if (!a->weighed) n = 0;
    CHECK_OK(cot_answer_influences(a, n, &err));
    for (size_t i = 0; i < n; i++) a->influences[i] = (cot_influence){earlier[n - 1 - i], 2 * unit() - 1};
    if (!chain->has_other || !chance(4)) return;
    CHECK_OK(cot_answer_other(a, &err));
    a->other.available = true;
    random_probabilities(a->other.probability, a->n_options, &a->other.answer);
    a->disagreement = a->other.answer != a->answer;
}

static cot_chain *random_chain(void)
{
    cot_chain *chain = NULL;
    CHECK_OK(cot_chain_create(&chain, steps, &err));
    if (!chain) return NULL;
    case_reader(&chain->reader);
    chain->has_other = chance(2);
    if (chain->has_other) {
        case_reader(&chain->other);
        extreme(chain->other.name + 1, sizeof chain->other.name - 1, false);
        chain->other.notice[0] = chain->other.training[0] = chain->other.device[0] = chain->other.program[0] = 0;
    }
    extreme(chain->reader.name + 1, sizeof chain->reader.name - 1, false);
    extreme(chain->reader.notice, sizeof chain->reader.notice, true);
    extreme(chain->reader.training, sizeof chain->reader.training, true);
    extreme(chain->summary, sizeof chain->summary, true);
    extreme(chain->rendering, sizeof chain->rendering, false);
    chain->range_from_pixels = chance(2);
    chain->calibrated = chance(2);
    for (size_t s = 0; s < chain->n_steps; s++) {
        cot_answer *a = &chain->answers[s];
        a->available = s == 0 || chance(6);
        if (!a->available) {
            extreme(a->reason, sizeof a->reason, false);
            if (!a->reason[0]) snprintf(a->reason, sizeof a->reason, "untrained");
            continue;
        }
        random_probabilities(a->probability, a->n_options, &a->answer);
        extreme(a->rationale, sizeof a->rationale, true);
        random_evidence(chain, s);
    }
    return chain;
}

/* ---- comparison ---- */
#define NEAR 0.5001e-4f /* half of 0.01 % */

/* An outline is the same wherever it begins: the writer begins where the label shall stand. */
static bool same_outline(const cot_region *a, const cot_region *b)
{
    const size_t n = a->n_points, size = sizeof *a->points;
    for (size_t first = 0; first < n; first++)
        if (!memcmp(a->points, b->points + first, (n - first) * size) &&
            !memcmp(a->points + n - first, b->points, first * size))
            return true;
    return false;
}

static void check_regions(const cot_answer *got, const cot_answer *want)
{
    CHECK_NUMBER(got->n_regions, want->n_regions);
    for (size_t r = 0; r < got->n_regions && r < want->n_regions; r++) {
        const cot_region *a = &got->regions[r], *b = &want->regions[r];
        REQUIRE(a->n_points == b->n_points);
        CHECK(same_outline(a, b));
        CHECK_NEAR(a->share, b->share, NEAR);
    }
    CHECK_TEXT(got->place, want->place);
    CHECK(got->located == want->located);
}

static void check_influences(const cot_chain *chain, size_t s, const cot_answer *got, const cot_answer *want)
{
    bool earlier = false;
    for (size_t k = 0; k < s; k++) earlier = earlier || chain->answers[k].available;
    REQUIRE(got->n_influences == want->n_influences);
    if (earlier) CHECK(got->weighed == want->weighed);
    for (size_t i = 0; i < want->n_influences; i++) {
        CHECK_NUMBER(got->influences[i].step, want->influences[i].step);
        CHECK_NEAR(got->influences[i].change, want->influences[i].change, NEAR);
    }
}

static void check_answer(const cot_chain *chain, size_t s, const cot_answer *got, const cot_answer *want)
{
    REQUIRE(got->available == want->available);
    if (!want->available) {
        CHECK_TEXT(got->reason, want->reason);
        return;
    }
    CHECK_NUMBER(got->answer, want->answer);
    CHECK_FLOATS(got->probability, want->probability, want->n_options, NEAR);
    CHECK_TEXT(got->rationale, want->rationale);
    check_regions(got, want);
    check_influences(chain, s, got, want);
    REQUIRE(got->other.available == want->other.available);
    if (!want->other.available) return;
    CHECK_NUMBER(got->other.answer, want->other.answer);
    CHECK_FLOATS(got->other.probability, want->other.probability, want->n_options, NEAR);
    CHECK(got->disagreement == want->disagreement);
}

static void check_reader(const cot_reader *got, const cot_reader *want, bool second)
{
    CHECK_TEXT(got->name, want->name);
    CHECK_TEXT(got->version, want->version);
    CHECK_TEXT(got->package_sha256, want->package_sha256);
    CHECK_TEXT(got->role, want->role);
    if (second) return;
    CHECK_TEXT(got->notice, want->notice);
    CHECK_TEXT(got->training, want->training);
    CHECK_TEXT(got->device, want->device);
    CHECK_TEXT(got->program, want->program);
}

static void check_chain(const cot_chain *got, const cot_chain *want)
{
    check_reader(&got->reader, &want->reader, false);
    CHECK(got->has_other == want->has_other);
    if (want->has_other) check_reader(&got->other, &want->other, true);
    CHECK_TEXT(got->summary, want->summary);
    CHECK_TEXT(got->rendering, want->rendering);
    CHECK(got->range_from_pixels == want->range_from_pixels);
    CHECK(got->calibrated == want->calibrated);
    for (size_t s = 0; s < want->n_steps; s++) check_answer(want, s, &got->answers[s], &want->answers[s]);
}

static void count_finding(void *ctx, const cot_lint_finding *finding)
{
    size_t *shown = ctx;
    if ((*shown)++ < 3) CHECK_FAIL_("lint: %s at %s: %s", finding->rule, finding->where, finding->what);
}

TEST(five_hundred_chains_come_back_as_they_were)
{
    cot_report_options options = case_measurement();
    cot_report_made made;
    const char *const paths[1] = {report_path};
    size_t findings, shown = 0;
    for (int i = 0; i < CHAINS && check_failures < 20; i++) {
        cot_chain *chain = random_chain(), *read = NULL;
        REQUIRE(chain);
        options.comprehensive = i & 1;
        options.by_reference = i & 2;
        REQUIRE_OK(
            cot_report_write(&made, report_path, image_path, CASE_DIGEST, chain, steps, &options, CASE_NOW, &err));
        REQUIRE_OK(cot_report_read(&read, report_path, steps, &err));
        check_chain(read, chain);
        CHECK_OK(cot_report_lint(paths, 1, count_finding, &shown, &findings, &err));
        cot_chain_destroy(chain);
        cot_chain_destroy(read);
    }
    CHECK_NUMBER(shown, 0);
}

TEST(other_reports_and_files_are_refused)
{
    cot_chain *chain = case_chain(steps, true), *read = NULL;
    cot_report_options options = case_options();
    cot_report_made made;
    char absent[80];
    snprintf(absent, sizeof absent, "%s/absent.dcm", folder);
    REQUIRE_OK(cot_report_write(&made, report_path, image_path, CASE_DIGEST, chain, steps, &options, CASE_NOW, &err));
    CHECK_FAILS(cot_report_read(&read, report_path, steps, &err), COT_E_INPUT, "no measurement report");
    CHECK_FAILS(cot_report_read(&read, image_path, steps, &err), COT_E_INPUT, "no measurement report");
    CHECK_FAILS(cot_report_read(&read, absent, steps, &err), COT_E_IO, "absent");
    CHECK(read == NULL);
    cot_chain_destroy(chain);
}

CHECK_MAIN
