/* links: engine */
/* Scores against numpy and scikit-learn, intervals, temperature. SPDX-License-Identifier: Apache-2.0 */
#include "engine/scores.h"
#include "tests/check.h"

static cot_error err;

/* 40 rows of 3 options; expected values by numpy 1.26, scikit-learn 1.x and scipy. */
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

TEST(scores_are_those_of_numpy_and_scikit_learn)
{
    static const double want[SCORES] = {0.475,
                                        0.7225817700817702,
                                        0.4518518518518519,
                                        0.7328282828282827,
                                        0.4499245852187029,
                                        0.4504761904761905,
                                        0.29327634064030617,
                                        1.192173661004331};
    score_rows rows;
    score_interval got[SCORES];
    REQUIRE_OK(fill(&rows));
    CHECK_OK(scores_of(got, &rows, 1, 1000, 1, &err));
    for (int s = 0; s < SCORES; s++) {
        CHECK_NEAR(got[s].value, want[s], 1e-12);
        CHECK(got[s].low < got[s].high && got[s].high - got[s].low < 1);
    }
    CHECK(got[SCORE_ACCURACY].low < 0.475 && got[SCORE_ACCURACY].high > 0.475);
    CHECK_NEAR(score_temperature(&rows), 2.8708396849737596, 1e-4);
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
    for (int s = 0; s < SCORES; s++) CHECK(a[s].value == 0 && a[s].low == 0 && a[s].high == 0);
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
