/* links: plugin engine dicom config opencl
 * The page of stepcot explain, from a made reading. SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "plugin/explain_page.h"
#include "report_cases.h"

enum { SIDE = 16 };
static float grey[SIDE * SIDE];
static cot_error err;

static char *page_of(cot_chain *chain, const cot_steps *steps)
{
    char *page = NULL;
    size_t size = 0;
    const explained e = {chain, steps, grey, SIDE, SIDE, "a<b>&\"c\".dcm"};
    CHECK_OK(explain_page(&page, &size, &e, &err));
    CHECK(page && strlen(page) == size);
    return page;
}

static size_t count(const char *text, const char *part)
{
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part)) n++;
    return n;
}

TEST(page_shows_maps_regions_bars_and_influences_and_fetches_nothing)
{
    cot_steps *steps = NULL;
    REQUIRE_OK(cot_steps_load(&steps, NULL, &err));
    cot_chain *chain = case_chain(steps, true);
    case_evidence(chain);
    size_t options = 0, arcs = 0, regions = 0;
    for (size_t s = 0; s < chain->n_steps; s++) {
        CHECK_OK(cot_answer_map(&chain->answers[s], 3, 5, &err));
        chain->answers[s].map[s] = 1;
        options += chain->answers[s].n_options;
        arcs += chain->answers[s].n_influences;
        regions += chain->answers[s].n_regions;
    }
    char *page = page_of(chain, steps);
    CHECK_NUMBER(count(page, "data:image/png;base64,iVBOR"),
                 1 + chain->n_steps); /* the image once, a map for each step */
    CHECK_NUMBER(count(page, "<use href=\"#xray\"/>"), 1 + chain->n_steps);
    CHECK_NUMBER(count(page, "<polygon"), 4 * regions); /* halo and line, in the image and in the map */
    CHECK_NUMBER(count(page, "class=\"bar"), options);
    CHECK_NUMBER(count(page, "points</title>"), arcs);
    CHECK_HAS(page, "Not a medical device");
    CHECK_HAS(page, "a&lt;b&gt;&amp;&quot;c&quot;.dcm");
    CHECK(!strstr(page, "http:") && !strstr(page, "https:") && !strstr(page, "<script") && !strstr(page, "url("));
    free(page);
    cot_chain_destroy(chain);
    cot_steps_destroy(steps);
}

TEST(page_escapes_hostile_text_and_shows_steps_without_answer)
{
    cot_steps *steps = NULL;
    REQUIRE_OK(cot_steps_load(&steps, NULL, &err));
    cot_chain *chain = case_chain(steps, false);
    chain->rows = chain->cols = SIDE;
    case_copy(chain->answers[0].rationale, 1025, "<script>alert(1)</script>");
    case_copy(chain->reader.name, sizeof chain->reader.name, "\"><img src=x>");
    case_copy(chain->summary, sizeof chain->summary, "<svg/onload=1>");
    char *page = page_of(chain, steps);
    CHECK(!strstr(page, "<script") && !strstr(page, "<img") && !strstr(page, "<svg/"));
    CHECK_HAS(page, "&lt;script&gt;");
    CHECK_HAS(page, "not available: the model was not trained on this step");
    free(page);
    cot_chain_destroy(chain);
    cot_steps_destroy(steps);
}

CHECK_MAIN
