/* links: plugin config
 * Findings and boxes to answers: hand-made images under the rules in the program (NIH ChestX-ray14), and conditions that these
 * do not use under rules of the test. SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"
#include "plugin/labels.h"
#include "tests/check.h"

#include <unistd.h>

static cot_error err;
static cot_steps *steps;
static cot_rules *nih;

__attribute__((constructor)) static void open_rules(void)
{
    if (cot_steps_load(&steps, NULL, &err) != COT_OK || cot_rules_load(&nih, NULL, steps, &err) != COT_OK) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
}

__attribute__((destructor)) static void close_rules(void)
{
    cot_rules_destroy(nih);
    cot_steps_destroy(steps);
}

static size_t finding(const char *name)
{
    for (size_t i = 0; i < nih->n_findings; i++)
        if (!strcmp(nih->findings[i].name, name)) return i;
    CHECK_FAIL_("the rules know no %s", name);
    return 0;
}

static uint64_t findings(const char *list) /* "A|B" */
{
    char copy[256], *rest = copy;
    uint64_t bits = 0;
    snprintf(copy, sizeof copy, "%s", list);
    for (char *word; (word = strsep(&rest, "|"));) bits |= (uint64_t)1 << finding(word);
    return bits;
}

/* Answers in the order of the steps, "-" where masked. */
static const char *derive_by(const cot_rules *rules, uint64_t bits, const label_box *boxes, size_t n)
{
    static char text[512];
    int label[16];
    size_t at = 0;
    labels_derive(label, rules, bits, boxes, n);
    for (size_t s = 0; s < steps->n_steps; s++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s", s ? " " : "",
                               label[s] < 0 ? "-" : steps->steps[s].options[label[s]].id);
    return text;
}

static const char *derive(const char *list, const label_box *boxes, size_t n)
{
    return derive_by(nih, findings(list), boxes, n);
}

static label_box box_at(const char *name, double x, double y) /* a small one with this centre */
{
    return (label_box){finding(name), x - 50, y - 50, 100, 100};
}

TEST(the_right_side_of_the_patient_is_on_the_left_of_the_image)
{
    const label_box right = box_at("Mass", 300, 500), left = box_at("Mass", 700, 500),
                    middle = box_at("Mass", 512, 500);
    CHECK_NUMBER(label_box_side(nih, &right), 'R');
    CHECK_NUMBER(label_box_side(nih, &left), 'L');
    CHECK_NUMBER(label_box_side(nih, &middle), 'L');
}

TEST(zones_are_thirds_of_the_lung_field)
{
    /* the field is from 10 % to 80 % of 1024: 102.4 to 819.2, thirds end at 341.3 and 580.3 */
    const double y[] = {50, 341, 342, 580, 581, 1000};
    const int zone[] = {0, 0, 1, 1, 2, 2};
    for (size_t i = 0; i < 6; i++) {
        const label_box box = box_at("Mass", 300, y[i]);
        CHECK_NUMBER(label_box_zone(nih, &box), zone[i]);
    }
}

TEST(no_finding_is_normal_everywhere_but_in_morphology)
{
    CHECK_TEXT(derive("No Finding", NULL, 0), "none none none none - none normal");
}

TEST(a_single_label_without_a_box_has_no_place)
{
    CHECK_TEXT(derive("Mass", NULL, 0), "increased - - - - - mass");
    CHECK_TEXT(derive("Nodule", NULL, 0), "increased - nodular - - - nodule");
    CHECK_TEXT(derive("Emphysema", NULL, 0), "decreased - - - - - -"); /* the schema has no such diagnosis */
    CHECK_TEXT(derive("Atelectasis", NULL, 0), "increased - - - - volume-loss atelectasis");
}

TEST(a_box_gives_the_place)
{
    const label_box upper = box_at("Mass", 300, 200), middle = box_at("Mass", 300, 450),
                    lower = box_at("Mass", 700, 700);
    CHECK_TEXT(derive("Mass", &upper, 1), "increased focal - upper-zone - - mass");
    CHECK_TEXT(derive("Mass", &middle, 1), "increased focal - middle-zone - - mass");
    CHECK_TEXT(derive("Mass", &lower, 1), "increased focal - lower-zone - - mass");
}

TEST(several_boxes_are_one_lesion_in_one_field_and_several_in_more)
{
    const label_box same[] = {box_at("Nodule", 300, 200), box_at("Nodule", 350, 250)};
    const label_box far[] = {box_at("Nodule", 300, 200), box_at("Nodule", 300, 700)};
    const label_box both[] = {box_at("Nodule", 300, 200), box_at("Nodule", 700, 200)};
    CHECK_TEXT(derive("Nodule", same, 2), "increased focal nodular upper-zone - - nodule");
    CHECK_TEXT(derive("Nodule", far, 2), "increased multifocal nodular - - - nodule"); /* no answer for two zones */
    CHECK_TEXT(derive("Nodule", both, 2), "increased multifocal nodular both-lungs - - nodule");
}

TEST(boxes_over_two_fifths_of_the_lung_field_are_diffuse)
{
    const double field = 0.7 * 0.88 * 1024 * 1024, side = sqrt(field * 0.41);
    const label_box large = {finding("Infiltration"), 20, 150, side, side};
    const label_box less = {finding("Infiltration"), 20, 150, sqrt(field * 0.39), sqrt(field * 0.39)};
    CHECK_TEXT(derive("Infiltration", &large, 1), "increased diffuse - middle-zone - - infiltration");
    CHECK_TEXT(derive("Infiltration", &less, 1), "increased focal - middle-zone - - infiltration");
}

TEST(several_labels_mask_the_diagnosis_and_what_they_leave_open)
{
    const label_box box = box_at("Mass", 300, 200);
    CHECK_TEXT(derive("Mass|Nodule", &box, 1), "increased - nodular - - - -"); /* the nodule may be anywhere */
    CHECK_TEXT(derive("Effusion|Atelectasis", NULL, 0), "increased - - - - - -");
    CHECK_TEXT(derive("Effusion|Pneumothorax", NULL, 0), "mixed - - pleura-chest-wall - - -");
    CHECK_TEXT(derive("Consolidation|Fibrosis", NULL, 0), "increased - - - - - -");
}

TEST(pleura_heart_and_mediastinum_follow_from_the_finding)
{
    CHECK_TEXT(derive("Effusion", NULL, 0), "increased - - pleura-chest-wall - pleural-effusion effusion");
    CHECK_TEXT(derive("Pneumothorax", NULL, 0), "decreased - - pleura-chest-wall - pneumothorax pneumothorax");
    CHECK_TEXT(derive("Cardiomegaly", NULL, 0), "increased - - mediastinum - - cardiomegaly");
    CHECK_TEXT(derive("Hernia", NULL, 0), "increased - - mediastinum - - -");
    const label_box heart = {finding("Cardiomegaly"), 300, 400, 400, 300}; /* its box is no lesion of the lung */
    CHECK_TEXT(derive("Cardiomegaly", &heart, 1), "increased - - mediastinum - - cardiomegaly");
}

TEST(what_is_contradictory_or_empty_is_masked)
{
    CHECK_TEXT(derive("No Finding|Mass", NULL, 0), "- - - - - - -");
    CHECK_TEXT(derive_by(nih, 0, NULL, 0), "- - - - - - -");
}

TEST(conditions_on_numbers_and_sides_hold_only_where_they_are_met)
{
    char path[] = "/tmp/cot_rules_XXXXXX";
    const int fd = mkstemp(path);
    FILE *f = fdopen(fd, "w");
    REQUIRE(f);
    fprintf(
        f,
        "<rules xmlns=\"urn:cot:rules:1\" id=\"urn:test\" version=\"1\" schema=\"%s\">"
        "<source title=\"t\" attribution=\"a\" terms=\"b\" width=\"100\" height=\"100\"/>"
        "<lung-field top=\"0\" bottom=\"1\" left=\"0\" right=\"1\"/>"
        "<finding name=\"A\"/><finding name=\"B\"/>"
        "<step id=\"detection\"><when labels=\"2-\" answer=\"mixed\"/><when boxes=\"0\" answer=\"none\"/>"
        "<when has=\"A\" boxes=\"2-3\" answer=\"increased\"/></step>"
        "<step id=\"location\"><when side=\"right\" answer=\"upper-zone\"/><when side=\"left\" answer=\"lower-zone\"/>"
        "<when sides=\"both\" zone=\"middle\" answer=\"both-lungs\"/></step>"
        "<step id=\"distribution\"><when of=\"B\" sides=\"one\" answer=\"focal\"/></step></rules>",
        steps->id);
    fclose(f);
    cot_rules *rules = NULL;
    CHECK_OK(cot_rules_load(&rules, path, steps, &err));
    unlink(path);
    REQUIRE(rules);
    const label_box right = {0, 10, 45, 10, 10}, left = {0, 80, 45, 10, 10}, high = {0, 80, 5, 10, 10};
    const label_box two[] = {right, left}, apart[] = {right, high}, four[] = {right, right, right, right};
    const label_box other = {1, 10, 45, 10, 10};
    CHECK_TEXT(derive_by(rules, 1, NULL, 0), "none - - - - - -");
    CHECK_TEXT(derive_by(rules, 3, NULL, 0), "mixed - - - - - -");
    CHECK_TEXT(derive_by(rules, 1, &right, 1), "- - - upper-zone - - -");
    CHECK_TEXT(derive_by(rules, 1, &left, 1), "- - - lower-zone - - -");
    CHECK_TEXT(derive_by(rules, 1, two, 2), "increased - - both-lungs - - -");
    CHECK_TEXT(derive_by(rules, 1, apart, 2), "increased - - - - - -");
    CHECK_TEXT(derive_by(rules, 1, four, 4), "- - - upper-zone - - -");
    CHECK_TEXT(derive_by(rules, 2, &other, 1), "- focal - upper-zone - - -");
    cot_rules_destroy(rules);
}

CHECK_MAIN
