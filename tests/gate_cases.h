/* A table of what headers say and which reason follows, for the tests of the gates. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_TESTS_GATE_CASES_H
#define COT_TESTS_GATE_CASES_H
#include "dicom/dicom.h"
#include "tests/check.h"

#define CR_CLASS "1.2.840.10008.5.1.4.1.1.1"
#define DX_CLASS "1.2.840.10008.5.1.4.1.1.1.1"
#define SC_CLASS "1.2.840.10008.5.1.4.1.1.7"

typedef struct gate_case {
    const char *what;
    cot_dicom_facts facts;
    const char *id, *part; /* NULL: accepted; part must be in the reason */
} gate_case;

/* What every case has unless it says otherwise. */
#pragma GCC diagnostic ignored "-Woverride-init"
#define CR .sop_class = CR_CLASS, .modality = "CR", .rows = 2000, .cols = 1800, .frames = 1
#define DX .sop_class = DX_CLASS, .modality = "DX", .rows = 2000, .cols = 1800, .frames = 1

static void check_cases(const gate_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const gate_case *c = &cases[i];
        cot_error err = COT_ERROR_INIT;
        char id[33] = "?";
        const cot_status status = cot_gate_facts(&c->facts, id, &err);
        const bool good =
            c->id ? status == COT_E_REFUSED && !strcmp(id, c->id) && strstr(err.text, c->part) : status == COT_OK;
        CHECK(good);
        if (!good) fprintf(stderr, "  %s: %s, id \"%s\", %s\n", c->what, cot_status_name(status), id, err.text);
    }
}
#define CHECK_CASES(cases) check_cases(cases, sizeof(cases) / sizeof *(cases))
#endif
