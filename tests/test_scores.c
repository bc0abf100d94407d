/* links: engine */
/* Scores against scikit-learn, intervals, temperature. SPDX-License-Identifier: Apache-2.0 */
#include "engine/calibration_error.h"
#include "engine/schedule.h"
#include "tests/check.h"

static cot_error err;

/* 40 rows of 3 options, rounded: some are equal. */
static const double z[] = {5.1,  -5.1, 0.8,  -1.1, -0.9, 0.6,  -4,   -0.5, -0.7, 6.6,  0.5,  0.3,  -0.6, -1.3, -1.1,
                           0.2,  1,    -0.5, 1.9,  0.6,  0,    3.1,  2.1,  -1,   -0.4, 1.1,  4.9,  -0.5, 0.5,  2,
                           -1.8, 0.4,  1.8,  2.2,  0.2,  1.3,  -5.7, 3,    -1.9, -3.3, 1.6,  1.4,  -0.9, -1.2, 0.1,
                           0.9,  2.8,  1.5,  0.4,  3.2,  -0.4, -1.9, 2.2,  1.2,  0.6,  -1.6, 0.5,  -5,   2.4,  1,
                           -3.3, 0.1,  -0.9, 2.5,  -4.1, -1.8, 1.4,  3.3,  -4.3, -1,   1.7,  -1.2, 3.2,  -2.4, 1.7,
                           -2.1, 3.8,  -0.0, 0.3,  -3.4, 3.4,  1.5,  1.5,  3.3,  0.7,  -1.3, -0.6, -0.6, 2.7,  -2.9,
                           -0.2, -0.6, 0.4,  2.2,  -2.5, -3.5, -0.0, 3.4,  1.5,  0.4,  0.4,  0.6,  -0.5, 2.6,  -1.6,
                           0.3,  0.8,  1.1,  0.4,  5.1,  4,    3,    -3.1, -0.7, -0.2, 1.1,  -4.6, 3.3,  2.1,  -2.6};
static const int labels[] = {0, 2, 2, 2, 2, 0, 1, 1, 2, 1, 1, 0, 1, 1, 1, 0, 1, 1, 0, 1,
                             2, 0, 1, 1, 2, 1, 0, 2, 2, 0, 0, 0, 1, 1, 1, 1, 2, 1, 0, 0};
enum { N = 40, K = 3 };

static cot_status fill(score_rows *rows)
{
    const cot_status status = score_rows_init(rows, N, K, &err);
    if (status != COT_OK) return status;
    rows->n = N;
    rows->patients = N / 2;
    memcpy(rows->logits, z, sizeof z);
    memcpy(rows->label, labels, sizeof labels);
    for (size_t i = 0; i < N; i++) rows->patient[i] = i / 2;
    return COT_OK;
}

/* ---- tests/golden/metrics: what numpy, scipy and scikit-learn make of the same rows ---- */
typedef struct golden_case {
    score_rows rows, other; /* other: a second model's answers to the same images */
} golden_case;

/* The next case's rows; false: there is none. */
static bool read_case(golden_case *g, FILE *f)
{
    char name[64];
    size_t n, classes, patients;
    int negative;
    if (fscanf(f, " case %63s %zu %zu %d %zu", name, &n, &classes, &negative, &patients) != 5) return false;
    if (score_rows_init(&g->rows, n, classes, &err) != COT_OK || score_rows_init(&g->other, n, classes, &err) != COT_OK)
        return false;
    g->rows.n = g->other.n = n;
    g->rows.patients = g->other.patients = patients;
    g->rows.negative = g->other.negative = negative;
    for (size_t i = 0; i < n; i++) {
        if (fscanf(f, "%d %zu", &g->rows.label[i], &g->rows.patient[i]) != 2) return false;
        g->other.label[i] = g->rows.label[i];
        g->other.patient[i] = g->rows.patient[i];
        for (size_t c = 0; c < 2 * classes; c++) {
            double *to = c < classes ? &g->rows.logits[i * classes + c] : &g->other.logits[i * classes + c - classes];
            if (fscanf(f, "%lf", to) != 1) return false;
        }
    }
    return true;
}

static score_kind kind_named(const char *name)
{
    score_kind kind = 0;
    while (kind < SCORES && strcmp(score_name(kind), name)) kind++;
    return kind;
}

/* Both bootstraps draw at random: their bounds agree within their noise, some hundredths of the interval's width. */
static bool compare_interval(const golden_case *g, FILE *f)
{
    char name[32];
    double low, high, difference_low, difference_high, above;
    score_interval one[SCORES], difference[SCORES];
    if (fscanf(f, "%31s %lf %lf %lf %lf %lf", name, &low, &high, &difference_low, &difference_high, &above) != 6)
        return false;
    const score_kind kind = kind_named(name);
    if (kind == SCORES) return false;
    CHECK_OK(scores_of(one, &g->rows, 1, 4000, 3, &err));
    CHECK_OK(scores_compare(difference, &g->rows, 1, &g->other, 1, 4000, 3, &err));
    CHECK_NEAR(one[kind].low, low, 0.08 * (high - low));
    CHECK_NEAR(one[kind].high, high, 0.08 * (high - low));
    CHECK_NEAR(difference[kind].low, difference_low, 0.08 * (difference_high - difference_low));
    CHECK_NEAR(difference[kind].high, difference_high, 0.08 * (difference_high - difference_low));
    CHECK_NEAR(difference[kind].above, above, 0.03);
    return true;
}

/* The draws of a calibrated model are random in both; the rest is arithmetic. */
static bool compare_errors(const golden_case *g, FILE *f, const char *name)
{
    double want[4];
    calibration_error got;
    const size_t n = !strcmp(name, "chance") ? 3 : 4;
    for (size_t i = 0; i < n; i++)
        if (fscanf(f, "%lf", &want[i]) != 1) return false;
    CHECK_OK(calibration_error_of(&got, &g->rows, 1, 4000, 3, &err));
    if (n == 3) {
        CHECK_NEAR(got.chance, want[0], 0.002);
        CHECK_NEAR(got.chance_high, want[1], 0.004);
        CHECK_NEAR(got.reached, want[2], 0.03);
        return true;
    }
    CHECK_NEAR(got.mass, want[0], 1e-12);
    CHECK_NEAR(got.square, want[1], 1e-12);
    CHECK_NEAR(got.rms, sqrt(fmax(want[1], 0)), 1e-12);
    CHECK_NEAR(got.rms_low, want[2], 1e-9);
    CHECK_NEAR(got.rms_high, want[3], 1e-9);
    return true;
}

static bool compare_left_out(const golden_case *g, FILE *f)
{
    double want, got;
    if (fscanf(f, "%lf", &want) != 1) return false;
    CHECK_OK(calibration_left_out(&got, &g->rows, 5, &err));
    CHECK_NEAR(got / want, 1, 1e-6);
    return true;
}

/* Lines "name value" up to "end"; how many scores were compared. */
static size_t compare_case(const golden_case *g, FILE *f)
{
    char name[32];
    double want;
    size_t compared = 0;
    score_interval got[SCORES];
    CHECK_OK(scores_of(got, &g->rows, 1, 0, 1, &err));
    while (fscanf(f, "%31s", name) == 1 && strcmp(name, "end")) {
        if (!strcmp(name, "interval")) {
            if (!compare_interval(g, f)) return 0;
            continue;
        }
        if (!strcmp(name, "chance") || !strcmp(name, "mass")) {
            if (!compare_errors(g, f, name)) return 0;
            continue;
        }
        if (!strcmp(name, "left_out_nll")) {
            if (!compare_left_out(g, f)) return 0;
            continue;
        }
        if (fscanf(f, "%lf", &want) != 1) return 0;
        if (!strcmp(name, "temperature")) {
            CHECK_NEAR(score_temperature(&g->rows) / want, 1, 1e-5);
        } else if (!strcmp(name, "left_out")) {
            CHECK_NUMBER(score_left_out(&g->rows), (size_t)want);
        } else {
            if (kind_named(name) == SCORES) return 0;
            CHECK_NEAR(got[kind_named(name)].value, want, 1e-12);
            compared++;
        }
    }
    return compared;
}

TEST(scores_intervals_and_temperature_are_those_of_scikit_learn)
{
    golden_case g = {0};
    size_t cases = 0;
    FILE *f = fopen(COT_SOURCE_DIR "/tests/golden/metrics/cases.txt", "r");
    REQUIRE(f);
    for (; read_case(&g, f); cases++) {
        CHECK_NUMBER(compare_case(&g, f), SCORES);
        score_rows_fini(&g.rows);
        score_rows_fini(&g.other);
    }
    CHECK_NUMBER(cases, 4);
    CHECK(feof(f));
    fclose(f);
}

/* ---- what few images do to a calibration error ---- */
/* Logits of two options whose certainties lie between 0.5 and 1; labels drawn from certainty less `off`. */
static cot_status draw_rows(score_rows *rows, size_t n, double off, uint64_t seed)
{
    const cot_status status = score_rows_init(rows, n, 2, &err);
    if (status != COT_OK) return status;
    rows->n = rows->patients = n;
    for (size_t i = 0; i < n; i++) {
        const double sure = 0.5 + 0.49 * ((double)i + 0.5) / (double)n;
        rows->logits[2 * i] = log(sure / (1 - sure));
        rows->label[i] = order_uniform(seed, 0, i) >= sure - off;
        rows->patient[i] = i;
    }
    return COT_OK;
}

TEST(a_calibrated_model_has_no_error_beyond_chance_and_the_interval_holds_the_truth)
{
    enum { MODELS = 200, IMAGES = 120 };
    static const double offs[] = {0, 0.1, 0.2};
    for (size_t o = 0; o < 3; o++) {
        double plain = 0, chance = 0, square = 0, held = 0, surprised = 0;
        for (uint64_t seed = 1; seed <= MODELS; seed++) {
            score_rows rows;
            score_interval scores[SCORES];
            calibration_error got;
            REQUIRE_OK(draw_rows(&rows, IMAGES, offs[o], seed));
            CHECK_OK(scores_of(scores, &rows, 1, 0, 1, &err));
            CHECK_OK(calibration_error_of(&got, &rows, 1, 100, seed, &err));
            plain += scores[SCORE_ECE].value / MODELS;
            chance += got.chance / MODELS;
            square += got.square / MODELS;
            surprised += (got.reached < 0.05) / (double)MODELS;
            held += (got.rms_low <= offs[o] + 1e-9 && offs[o] <= got.rms_high) / (double)MODELS;
            score_rows_fini(&rows);
        }
        CHECK_NEAR(square, offs[o] * offs[o], 0.0015); /* unbiased, where the plain error is not: */
        CHECK(held > 0.88);
        if (o) continue;
        CHECK(plain > 0.06 && fabs(plain - chance) < 0.005);
        CHECK(surprised < 0.1);
    }
}

TEST(images_of_one_patient_are_not_so_many_proofs_of_an_error)
{
    score_rows rows;
    calibration_error many, few;
    REQUIRE_OK(draw_rows(&rows, 120, 0.2, 1));
    CHECK_OK(calibration_error_of(&many, &rows, 1, 50, 1, &err));
    for (size_t i = 0; i < rows.n; i++) rows.patient[i] = 0;
    CHECK_OK(calibration_error_of(&few, &rows, 1, 50, 1, &err));
    CHECK(many.rms > 0.1 && few.rms == 0);
    CHECK(many.mass > 0 && !(many.mass < few.mass) && !(many.mass > few.mass));
    score_rows_fini(&rows);
}

TEST(a_plain_calibration_error_has_no_interval_but_a_difference_has)
{
    score_rows rows;
    score_interval got[SCORES];
    calibration_error error;
    double nll;
    REQUIRE_OK(fill(&rows));
    CHECK_OK(scores_of(got, &rows, 1, 100, 1, &err));
    CHECK(isnan(got[SCORE_ECE].low) && isnan(got[SCORE_ECE].high) && !isnan(got[SCORE_NLL].low));
    CHECK_OK(scores_compare(got, &rows, 1, &rows, 2, 100, 1, &err));
    CHECK(!isnan(got[SCORE_ECE].low));
    rows.n = 0;
    CHECK_OK(calibration_error_of(&error, &rows, 1, 10, 1, &err));
    CHECK(isnan(error.mass) && isnan(error.chance) && isnan(error.rms));
    CHECK_OK(calibration_left_out(&nll, &rows, 5, &err));
    CHECK(isnan(nll));
    score_rows_fini(&rows);
}

TEST(without_a_negative_option_nothing_is_said_of_it)
{
    score_rows rows;
    score_interval got[SCORES];
    REQUIRE_OK(fill(&rows));
    CHECK_OK(scores_of(got, &rows, 1, 10, 1, &err));
    CHECK(isnan(got[SCORE_AUC_NEGATIVE].value) && isnan(got[SCORE_AUC_NEGATIVE].low));
    score_rows_fini(&rows);
}

TEST(intervals_repeat_with_the_seed_and_a_model_equals_itself)
{
    score_rows rows;
    score_interval a[SCORES], b[SCORES];
    REQUIRE_OK(fill(&rows));
    CHECK_OK(scores_of(a, &rows, 1, 200, 5, &err));
    CHECK_OK(scores_of(b, &rows, 1, 200, 5, &err));
    CHECK(!memcmp(a, b, sizeof a));
    CHECK_OK(scores_compare(a, &rows, 1, &rows, 1, 200, 5, &err));
    for (int s = 0; s < SCORE_AUC_NEGATIVE; s++)
        CHECK(a[s].value == 0 && a[s].low == 0 && a[s].high == 0 && a[s].above == 0.5);
    CHECK_OK(scores_compare(a, &rows, 1, &rows, 2.87, 200, 5, &err)); /* calibration changes certainty, not answers */
    CHECK(a[SCORE_ACCURACY].high == 0 && a[SCORE_NLL].high < 0 && a[SCORE_ECE].value < 0);
    score_rows_fini(&rows);
}

TEST(an_interval_is_as_wide_as_patients_are_few)
{
    score_rows rows;
    score_interval many[SCORES], few[SCORES];
    REQUIRE_OK(fill(&rows));
    for (size_t i = 0; i < N; i++) rows.patient[i] = i;
    rows.patients = N;
    CHECK_OK(scores_of(many, &rows, 1, 2000, 1, &err));
    /* accuracy of 40 independent images: the normal interval is 0.475 ± 1.96 * 0.079 */
    CHECK_NEAR(many[SCORE_ACCURACY].low, 0.32, 0.04);
    CHECK_NEAR(many[SCORE_ACCURACY].high, 0.63, 0.04);
    for (size_t i = 0; i < N; i++) rows.patient[i] = 0;
    rows.patients = 1;
    CHECK_OK(scores_of(few, &rows, 1, 100, 1, &err));
    CHECK(isnan(few[SCORE_ACCURACY].low) &&
          few[SCORE_ACCURACY].value == 0.475); /* one patient says nothing about others */
    score_rows_fini(&rows);
}

TEST(nothing_and_one_kind_have_no_scores)
{
    score_rows rows;
    score_interval got[SCORES];
    double x[8], y[8];
    REQUIRE_OK(score_rows_init(&rows, 4, 2, &err));
    CHECK_OK(scores_of(got, &rows, 1, 50, 1, &err));
    CHECK(isnan(got[SCORE_ACCURACY].value) && isnan(got[SCORE_AUC].value) && score_temperature(&rows) == 1);
    rows.n = 4;
    rows.patients = 4;
    for (size_t i = 0; i < 4; i++) rows.patient[i] = i;
    CHECK_OK(scores_of(got, &rows, 1, 50, 1, &err));
    CHECK(got[SCORE_ACCURACY].value == 1 && isnan(got[SCORE_AUC].value));
    CHECK(isnan(got[SCORE_SPECIFICITY].value) && got[SCORE_SENSITIVITY].value == 1);
    CHECK_NUMBER(score_roc(x, y, &rows, 0, &err), 0);
    score_rows_fini(&rows);
}

TEST(figures_agree_with_the_scores)
{
    score_rows rows;
    score_interval got[SCORES];
    score_bin bins[SCORES_BINS];
    size_t counts[K * K], right = 0, all = 0;
    double x[N + 2], y[N + 2], ece = 0, area = 0;
    REQUIRE_OK(fill(&rows));
    CHECK_OK(scores_of(got, &rows, 1, 0, 1, &err));
    CHECK(isnan(got[SCORE_AUC].low));
    score_confusion(counts, &rows);
    for (size_t i = 0; i < K * K; i++) all += counts[i], right += i % (K + 1) ? 0 : counts[i];
    CHECK(all == N && (double)right / N == got[SCORE_ACCURACY].value);
    score_bins(bins, &rows, 1);
    for (size_t b = 0; b < SCORES_BINS; b++)
        if (bins[b].n) ece += (double)bins[b].n / N * fabs(bins[b].confidence - bins[b].accuracy);
    CHECK_NEAR(ece, got[SCORE_ECE].value, 1e-12);
    for (size_t c = 0; c < K; c++) {
        const size_t points = score_roc(x, y, &rows, c, &err);
        CHECK(points > 2 && x[points - 1] == 1 && y[points - 1] == 1);
        for (size_t i = 1; i < points; i++) area += (x[i] - x[i - 1]) * (y[i] + y[i - 1]) / 2;
    }
    CHECK_NEAR(area / K, got[SCORE_AUC].value, 1e-12);
    score_rows_fini(&rows);
}

CHECK_MAIN
