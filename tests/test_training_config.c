/* links: config */
/* Hyper-parameters: the file, the options over it, their faults. SPDX-License-Identifier: Apache-2.0 */
#include "config/training.h"
#include "tests/check.h"

#include <unistd.h>

static cot_training t;
static cot_error err;

static cot_status load(const char *path, cot_stage stage, const char *name, const char *value)
{
    const cot_training_override o = {name, value};
    return cot_training_load(&t, path, stage, &o, name ? 1 : 0, &err);
}

static const char *file_of(const char *text)
{
    static char path[64];
    snprintf(path, sizeof path, "/tmp/cot-training-test-%d.xml", (int)getpid());
    const char *whole = "<training xmlns=\"urn:stepcot:training:1\">";
    FILE *f = fopen(path, "w");
    if (f) fprintf(f, "%s\n%s\n</training>\n", whole, text), fclose(f);
    return path;
}

TEST(the_embedded_file_has_the_papers_numbers_and_those_of_the_grammar)
{
    cot_training empty;
    REQUIRE_OK(load(NULL, COT_STAGE_DISTILL, NULL, NULL));
    const cot_training_stage *d = &t.stage[COT_STAGE_DISTILL];
    CHECK(d->lr == 1e-4 && d->teacher_lr == 5e-5 && d->kd == 0.5 && d->ch == 1 && d->temperature == 2 && d->clip == 1);
    CHECK(d->projection == 256 && !d->align_published && d->schedule == COT_SCHEDULE_PLATEAU);
    CHECK(t.stage[COT_STAGE_ENCODER].schedule == COT_SCHEDULE_ONE_CYCLE && t.stage[COT_STAGE_ENCODER].lr == 0.002);
    CHECK(t.size == 224 && t.width == 32 && t.seed == 1 && !t.best_auc);
    REQUIRE_OK(cot_training_load(&empty, file_of(""), COT_STAGE_ENCODER, NULL, 0, &err));
    CHECK(!memcmp(&empty, &t, sizeof t)); /* the XSD's defaults, one by one */
}

TEST(options_win_over_the_file_and_belong_to_their_stage)
{
    const char *path =
        file_of("<run seed=\"18446744073709551\"/><encoder lr=\"0.1\" epochs=\"3\"/><teacher lr=\"0.2\"/>");
    REQUIRE_OK(load(path, COT_STAGE_ENCODER, "lr", "3e-3"));
    CHECK(t.stage[COT_STAGE_ENCODER].lr == 3e-3 && t.stage[COT_STAGE_ENCODER].epochs == 3);
    CHECK(t.stage[COT_STAGE_TEACHER].lr == 0.2 && t.seed == 18446744073709551u);
    REQUIRE_OK(load(path, COT_STAGE_TEACHER, "schedule", "cosine"));
    CHECK(t.stage[COT_STAGE_TEACHER].schedule == COT_SCHEDULE_COSINE);
    CHECK(t.stage[COT_STAGE_ENCODER].schedule == COT_SCHEDULE_ONE_CYCLE);
    REQUIRE_OK(load(path, COT_STAGE_TEACHER, "best", "auc"));
    CHECK(t.best_auc);
}

TEST(faults_name_the_place_and_the_rule)
{
    CHECK_FAILS(load(NULL, COT_STAGE_ENCODER, "kd", "1"), COT_E_USAGE, "--kd is no option of --stage encoder");
    CHECK_FAILS(load(NULL, COT_STAGE_ENCODER, "lr", "fast"), COT_E_CONFIG, "Give a number from 0 to 10");
    CHECK_FAILS(load(NULL, COT_STAGE_ENCODER, "lr", "NaN"), COT_E_CONFIG, "lr");
    CHECK_FAILS(load(NULL, COT_STAGE_ENCODER, "lr", "INF"), COT_E_CONFIG, "lr");
    CHECK_FAILS(load(NULL, COT_STAGE_ENCODER, "lr", "0"), COT_E_CONFIG, "nothing would be learnt");
    CHECK_FAILS(load(NULL, COT_STAGE_ENCODER, "lr", "1\"/>"), COT_E_CONFIG, "--lr");
    CHECK_FAILS(load(NULL, COT_STAGE_ENCODER, "batch", "1"), COT_E_CONFIG, "from 2 to 1024");
    CHECK_FAILS(load(NULL, COT_STAGE_ENCODER, "size", "100"), COT_E_CONFIG, "multiple of 32");
    CHECK_FAILS(load(NULL, COT_STAGE_DISTILL, "align", "papr"), COT_E_CONFIG, "paper or published");
    CHECK_FAILS(load(file_of("<encoder learning-rate=\"1\"/>"), COT_STAGE_ENCODER, NULL, NULL), COT_E_CONFIG,
                ":2: <encoder> has no attribute \"learning-rate\"");
    CHECK_FAILS(load(file_of("<encoder epoch=\"1\"/>"), COT_STAGE_ENCODER, NULL, NULL), COT_E_CONFIG,
                "Did you mean epochs?");
    CHECK_FAILS(load(file_of("<teachr/>"), COT_STAGE_ENCODER, NULL, NULL), COT_E_CONFIG, "Did you mean <teacher>?");
    CHECK_FAILS(load("/nonexistent/training.xml", COT_STAGE_ENCODER, NULL, NULL), COT_E_CONFIG, "training.xml");
}

TEST(what_is_printed_loads_to_the_same_values)
{
    cot_training before;
    char path[] = "/tmp/cot-training-XXXXXX";
    const int fd = mkstemp(path);
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    REQUIRE(f);
    REQUIRE_OK(load(file_of("<run best=\"auc\"/><distill lr=\"0.1234567890123\" align=\"published\"/>"),
                    COT_STAGE_DISTILL, "kd", "0.3"));
    before = t;
    CHECK_OK(cot_training_print(&t, f, &err));
    fclose(f);
    CHECK_OK(load(path, COT_STAGE_ENCODER, NULL, NULL));
    CHECK(!memcmp(&before, &t, sizeof t));
    unlink(path);
}

TEST(every_name_is_listed_once_with_its_stages)
{
    cot_training_name names[64];
    const size_t n = cot_training_names(names, 64);
    bool lr = false, kd = false;
    CHECK(n > 30 && n < 64);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i; k++) CHECK(strcmp(names[i].name, names[k].name) != 0);
        if (!strcmp(names[i].name, "lr")) lr = names[i].in_stage[0] && names[i].in_stage[1] && names[i].in_stage[2];
        if (!strcmp(names[i].name, "kd")) kd = !names[i].in_stage[0] && !names[i].in_stage[1] && names[i].in_stage[2];
    }
    CHECK(lr && kd);
    unlink(file_of(""));
}

CHECK_MAIN
