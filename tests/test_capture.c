/* links: dicom config
 * The picture of a reading: what is drawn where, which object it becomes, and that hostile text only makes an odd picture.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "dicom/capture.h"
#include "report_cases.h"

static char folder[] = "/tmp/cot-capture-XXXXXX";
static char image_path[64], capture_path[64], second_path[64];
static cot_steps *steps;
static cot_error err;
static char output[1 << 18];

__attribute__((constructor)) static void set_up(void)
{
    cot_dicom_init();
    if (!mkdtemp(folder) || cot_steps_load(&steps, NULL, &err) != COT_OK) exit(1);
    snprintf(image_path, sizeof image_path, "%s/image.dcm", folder);
    snprintf(capture_path, sizeof capture_path, "%s/capture.dcm", folder);
    snprintf(second_path, sizeof second_path, "%s/second.dcm", folder);
    const case_image image = case_image_default();
    case_image_write(image_path, &image);
}

__attribute__((destructor)) static void tear_down(void)
{
    unlink(image_path);
    unlink(capture_path);
    unlink(second_path);
    rmdir(folder);
    cot_steps_destroy(steps);
}

static cot_report_options options(void)
{
    cot_report_options o = case_options();
    o.kind = COT_REPORT_CAPTURE;
    return o;
}

static cot_status write_to(cot_report_made *made, const char *path, const cot_chain *chain)
{
    const cot_report_options o = options();
    memset(made, 0, sizeof *made);
    return cot_capture_write(made, path, image_path, CASE_DIGEST, chain, steps, &o, CASE_NOW, &err);
}

static cot_chain *with_evidence(void)
{
    cot_chain *chain = case_chain(steps, true);
    case_evidence(chain);
    return chain;
}

static const char *dump(const char *path)
{
    case_run(output, sizeof output, (const char *const[]){"dcmdump", "+L", "-M", path, NULL});
    return output;
}

static void *file_of(const char *path, size_t *size)
{
    char *bytes = NULL;
    CHECK_OK(cot_file_read(&bytes, size, path, (size_t)1 << 28, &err));
    return bytes;
}

/* ---- the object ---- */
TEST(capture_is_a_secondary_capture_without_fault)
{
    cot_chain *chain = with_evidence();
    cot_report_made made;
    CHECK_OK(write_to(&made, capture_path, chain));
    CHECK_TEXT(made.sop_class, "1.2.840.10008.5.1.4.1.1.7");
    CHECK_TEXT(made.study, "1.2.826.0.1.3680043.10.999.3");
    CHECK_NUMBER(case_run(output, sizeof output, (const char *const[]){"dciodvfy", "-new", capture_path, NULL}), 0);
    CHECK_HAS(output, "SCImage");
    CHECK(!strstr(output, "Error"));
    dump(capture_path);
    CHECK_HAS(output, "[WSD]");
    CHECK_HAS(output, "[DERIVED\\SECONDARY\\OTHER]");
    CHECK_HAS(output, "(0028,0301) CS [YES]");
    CHECK_HAS(output, "Doe^Jane");
    CHECK_HAS(output, "ACC-7");
    CHECK_HAS(output, "1.2.826.0.1.3680043.10.999.1");
    CHECK_HAS(output, "Not for diagnosis");
    CHECK_HAS(output, "[9703]");
    cot_chain_destroy(chain);
}

TEST(capture_of_the_same_reading_is_the_same_file_and_of_another_another)
{
    cot_chain *chain = with_evidence();
    cot_report_made first, second, third;
    size_t sizes[2];
    CHECK_OK(write_to(&first, capture_path, chain));
    CHECK_OK(write_to(&second, second_path, chain));
    void *a = file_of(capture_path, &sizes[0]), *b = file_of(second_path, &sizes[1]);
    CHECK_NUMBER(sizes[0], sizes[1]);
    CHECK(a && b && !memcmp(a, b, sizes[0]));
    chain->answers[0].regions[0].points[0].column += 2;
    CHECK_OK(write_to(&third, second_path, chain));
    CHECK(strcmp(first.sop_instance, third.sop_instance) != 0);
    CHECK(strcmp(first.series, third.series) != 0);
    CHECK(strcmp(first.sop_instance, first.series) != 0);
    free(a);
    free(b);
    cot_chain_destroy(chain);
}

TEST(capture_burns_no_patient_into_its_pixels)
{
    cot_chain *chain = with_evidence();
    cot_report_made made[2];
    case_image image = case_image_default();
    CHECK_OK(write_to(&made[0], capture_path, chain));
    image.patient = "Someone^Else";
    image.patient_id = "OTHER";
    image.accession = "ACC-8";
    case_image_write(image_path, &image);
    CHECK_OK(write_to(&made[1], second_path, chain)); /* its UID follows from the pixels */
    CHECK_TEXT(made[0].sop_instance, made[1].sop_instance);
    CHECK_HAS(dump(second_path), "Someone^Else");
    image = case_image_default();
    case_image_write(image_path, &image);
    cot_chain_destroy(chain);
}

TEST(capture_of_an_image_that_says_nothing_of_its_patient_is_without_fault)
{
    cot_chain *chain = with_evidence();
    cot_report_made made;
    case_image image = case_image_default();
    image.bare = true;
    image.patient = image.patient_id = image.accession = image.birth = NULL;
    case_image_write(image_path, &image);
    CHECK_OK(write_to(&made, second_path, chain));
    CHECK_NUMBER(case_run(output, sizeof output, (const char *const[]){"dciodvfy", "-new", second_path, NULL}), 0);
    CHECK_HAS(output, "SCImage");
    CHECK(!strstr(output, "Error"));
    image = case_image_default();
    case_image_write(image_path, &image);
    cot_chain_destroy(chain);
}

TEST(capture_is_refused_where_nothing_was_measured)
{
    cot_report_made made;
    cot_chain *chains[2] = {case_refused(steps), case_forced(steps)};
    for (int i = 0; i < 2; i++) {
        CHECK_FAILS(write_to(&made, second_path, chains[i]), COT_E_REFUSED, "nothing was measured");
        cot_chain_destroy(chains[i]);
    }
    const cot_report_options o = options();
    cot_chain *chain = with_evidence();
    CHECK_FAILS(cot_report_write(&made, second_path, image_path, CASE_DIGEST, chain, steps, &o, CASE_NOW, &err),
                COT_E_BUG, "cot_capture_write");
    chain->rows = 15;
    CHECK_FAILS(write_to(&made, second_path, chain), COT_E_BUG, "");
    cot_chain_destroy(chain);
}

/* ---- the drawing ---- */
enum { COLS = 200, ROWS = 100 }; /* asymmetric on purpose */

static cot_status draw(capture_canvas *canvas, const cot_chain *chain, uint64_t drawn)
{
    static float grey[ROWS * COLS];
    const capture_picture picture = {grey, ROWS, COLS};
    for (size_t i = 0; i < ROWS * COLS; i++) grey[i] = 100 / 255.0F;
    return capture_draw(canvas, chain, steps, &picture, drawn, &err);
}

static const unsigned char *at(const capture_canvas *c, size_t row, size_t col)
{
    return c->rgb + (row * c->cols + col) * 3;
}

/* Where the image lies, by its grey: columns 28 to 927; *top its first row. */
static bool find_image(const capture_canvas *c, size_t *top)
{
    for (*top = 0; *top < c->rows; ++*top) {
        const unsigned char *p = at(c, *top, 30);
        if (p[0] == 100 && p[1] == 100 && p[2] == 100) return true;
    }
    return false;
}

/* Coloured pixels in a part of the image, given in pixels of the image. */
static size_t coloured(const capture_canvas *c, size_t left, size_t right, size_t upper, size_t lower)
{
    size_t n = 0, top;
    if (!find_image(c, &top)) return SIZE_MAX;
    for (size_t r = upper * 9 / 2; r < lower * 9 / 2; r++)
        for (size_t x = left * 9 / 2; x < right * 9 / 2; x++) {
            const unsigned char *p = at(c, top + r, 28 + x);
            n += abs(p[0] - p[2]) > 45 || abs(p[0] - p[1]) > 45;
        }
    return n;
}

static cot_chain *one_region(float column, float row)
{
    cot_chain *chain = case_chain(steps, true);
    cot_answer *a = &chain->answers[0];
    const cot_point points[4] = {{column, row}, {column + 30, row}, {column + 30, row + 20}, {column, row + 20}};
    chain->rows = ROWS;
    chain->cols = COLS;
    a->located = true;
    CHECK_OK(cot_answer_regions(a, 1, &err));
    CHECK_OK(cot_region_points(&a->regions[0], 4, &err));
    memcpy(a->regions[0].points, points, sizeof points);
    return chain;
}

TEST(capture_draws_a_region_where_it_is_and_nothing_elsewhere)
{
    capture_canvas c;
    cot_chain *chain = one_region(150, 10);
    REQUIRE_OK(draw(&c, chain, 0));
    CHECK(coloured(&c, 145, 185, 5, 35) > 1000);
    CHECK_NUMBER(coloured(&c, 0, 130, 0, 100), 0);
    CHECK_NUMBER(coloured(&c, 0, 200, 50, 100), 0);
    CHECK_NUMBER(coloured(&c, 155, 175, 13, 27), 0); /* an outline, not a patch over the finding */
    free(c.rgb);
    const size_t rows = c.rows;
    REQUIRE_OK(draw(&c, chain, 2)); /* only the regions of the second step, which has none */
    CHECK_NUMBER(coloured(&c, 0, 200, 0, 100), 0);
    CHECK(c.rows > rows + 15); /* a line at the foot tells of the one that was left out */
    free(c.rgb);
    REQUIRE_OK(draw(&c, chain, 1)); /* no region was left out */
    CHECK_NUMBER(c.rows, rows);
    free(c.rgb);
    cot_chain_destroy(chain);
}

TEST(capture_numbers_of_steps_at_one_place_do_not_cover_one_another)
{
    capture_canvas one, all;
    cot_chain *chain = one_region(80, 40);
    REQUIRE_OK(draw(&one, chain, 0));
    for (size_t s = 1; s < chain->n_steps; s++) {
        cot_answer *a = &chain->answers[s];
        a->located = true;
        CHECK_OK(cot_answer_regions(a, 1, &err));
        CHECK_OK(cot_region_points(&a->regions[0], 4, &err));
        memcpy(a->regions[0].points, chain->answers[0].regions[0].points, 4 * sizeof(cot_point));
    }
    REQUIRE_OK(draw(&all, chain, 0));
    CHECK(coloured(&all, 0, 200, 0, 100) >
          coloured(&one, 0, 200, 0, 100) + 4 * 700); /* a number has about 1100 pixels */
    free(one.rgb);
    free(all.rgb);
    cot_chain_destroy(chain);
}

TEST(capture_wraps_long_text_and_survives_hostile_text)
{
    capture_canvas plain, c;
    cot_chain *chain = one_region(10, 10);
    REQUIRE_OK(draw(&plain, chain, 0));
    CHECK_NUMBER(plain.unknown, 0);
    for (size_t s = 0; s < chain->n_steps; s++) memset(chain->answers[s].rationale, 'w', 1024);
    REQUIRE_OK(draw(&c, chain, 0));
    CHECK(c.rows > plain.rows + 500);
    CHECK_NUMBER(c.cols, plain.cols);
    free(c.rgb);
    memset(chain->answers[0].rationale, 0xff, 1024); /* no UTF-8 */
    case_copy(chain->answers[1].rationale, 1025, "<b>&amp; %s%n \x1b[31m\n\t</b>");
    case_copy(chain->answers[2].rationale, 1025,
              "\xe2\x80\xae reversed \xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d \xcc\x81\xcc\x81\xcc\x81");
    case_copy(chain->answers[3].rationale, 1025, "\xee\x84\xa3"); /* private use: in no font */
    REQUIRE_OK(draw(&c, chain, 0));
    CHECK(c.unknown >= 1);
    free(c.rgb);
    free(plain.rgb);
    cot_chain_destroy(chain);
}

TEST(shrinking_keeps_the_mean_and_a_thin_line)
{
    enum { N = 90, M = 40 };
    static float grey[N * N];
    unsigned char small[M * M];
    for (size_t r = 0; r < N; r++) grey[r * N + 31] = 1;
    REQUIRE(cot_grey_shrink(small, M, M, grey, N, N));
    for (size_t r = 0; r < M; r++) {
        unsigned sum = 0;
        for (size_t c = 0; c < M; c++) sum += small[r * M + c];
        CHECK_NEAR(sum, 255.0 * M / N, 1.0);
    }
}

CHECK_MAIN
