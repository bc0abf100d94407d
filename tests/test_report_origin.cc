/* links: dicom config
 * What a report takes over from its image, the same in reports of every kind: text of any character set as UTF-8, requests,
 * accession number, the procedure. The wanted UTF-8 is written by hand (PS3.5 annexes H to K print the names), so that no
 * converter judges itself. SPDX-License-Identifier: Apache-2.0 */
#include "lint_scene.h"

namespace
{
struct form {
    const char *name;
    cot_report_kind kind;
    bool basic, comprehensive, by_reference;
};
const form forms[] = {{"reading", COT_REPORT_READING, false, false, false},
                      {"Basic Text", COT_REPORT_READING, true, false, false},
                      {"measurement", COT_REPORT_MEASUREMENT, false, false, false},
                      {"measurement, Comprehensive", COT_REPORT_MEASUREMENT, false, true, false},
                      {"measurement, by reference", COT_REPORT_MEASUREMENT, false, false, true},
                      {"capture", COT_REPORT_CAPTURE, false, false, false}};
const size_t n_forms = sizeof forms / sizeof *forms;

/* The image of the scene with what `change` makes of it. */
void change_image(const scene &s, const case_image &image, const std::function<void(DcmDataset &)> &change)
{
    DcmFileFormat file;
    case_image_write(s.image.c_str(), &image);
    REQUIRE(file.loadFile(s.image.c_str()).good());
    file.loadAllDataIntoMemory();
    change(*file.getDataset());
    REQUIRE(file.saveFile(s.image.c_str(), EXS_LittleEndianExplicit).good());
}

void write(const scene &s, const form &f, DcmFileFormat &file)
{
    cot_error err = COT_ERROR_INIT;
    cot_report_made made;
    cot_report_options options = case_options();
    cot_chain *chain = case_chain(s.steps, true);
    case_evidence(chain);
    options.kind = f.kind;
    options.basic_text = f.basic;
    options.comprehensive = f.comprehensive;
    options.by_reference = f.by_reference;
    const auto writes = f.kind == COT_REPORT_CAPTURE ? cot_capture_write : cot_report_write;
    REQUIRE_OK(writes(&made, s.report.c_str(), s.image.c_str(), CASE_DIGEST, chain, s.steps, &options, CASE_NOW, &err));
    cot_chain_destroy(chain);
    REQUIRE(file.loadFile(s.report.c_str()).good());
    file.loadAllDataIntoMemory();
}

/* dciodvfy has no error, lint no finding. */
void check_valid(const scene &s, const form &f, const std::string &what)
{
    static char output[1 << 20];
    const char *const argv[] = {"dciodvfy", "-new", s.report.c_str(), nullptr};
    const int rc = case_run(output, sizeof output, argv);
    const char *error = !strncmp(output, "Error", 5) ? output : strstr(output, "\nError");
    check_count++;
    if (rc || error) CHECK_FAIL_("%s, %s: dciodvfy %d: %.300s", f.name, what.c_str(), rc, error ? error : "");
    check_clean((f.name + (", " + what)).c_str(), s.lint({s.report, s.image}));
}

void check_value(const form &f, const std::string &what, DcmItem &item, const DcmTagKey &key, const std::string &wanted)
{
    check_count++;
    const std::string got = text_at(item, key);
    if (got != wanted || !item.tagExists(key))
        CHECK_FAIL_("%s, %s, %s: [%s], wanted [%s]", f.name, what.c_str(), DcmTag(key).getTagName(), got.c_str(),
                    wanted.c_str());
}

DcmItem &item_of(DcmItem &parent, const DcmTagKey &sequence, signed long index)
{
    DcmItem *item = nullptr;
    if (parent.findOrCreateSequenceItem(sequence, item, index).bad()) abort();
    return *item;
}

void set_request(DcmItem &image, signed long index, const char *id, const char *description, const char *accession)
{
    DcmItem &request = item_of(image, DCM_RequestAttributesSequence, index);
    set(request, DCM_RequestedProcedureID, id);
    set(request, DCM_RequestedProcedureDescription, description);
    if (accession) set(request, DCM_AccessionNumber, accession);
}

/* The requests as this kind of report has them. */
const DcmTagKey &requests_of(const form &f)
{
    static const DcmTagKey referenced = DCM_ReferencedRequestSequence, attributes = DCM_RequestAttributesSequence;
    return f.kind == COT_REPORT_CAPTURE ? attributes : referenced;
}

/* ---- character sets ---- */
struct writing { /* NULL: Specific Character Set is absent */
    const char *set, *name, *name_utf8, *text, *text_utf8;
    const char *guess; /* NULL: the declared set fits */
};
const writing writings[] = {
    {"ISO_IR 100", "M\xfcller^J\xf6rg", "Müller^Jörg", "R\xf6ntgen Thorax \xb5\xdf", "Röntgen Thorax µß", nullptr},
    {"ISO_IR 192", "Wang^XiaoDong=\xe7\x8e\x8b^\xe5\xb0\x8f\xe4\xb8\x9c=", "Wang^XiaoDong=王^小东=",
     "Röntgen 胸部 \xf0\xa0\xae\xb7", "Röntgen 胸部 𠮷", nullptr},
    {"\\ISO 2022 IR 87", "Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
     "Yamada^Tarou=山田^太郎=やまだ^たろう", "Chest \x1b$B6;It\x1b(B PA", "Chest 胸部 PA", nullptr},
    {"ISO 2022 IR 13\\ISO 2022 IR 87",
     "\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
     "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう", "\xb7\xae\xb3\xcc\xde \x1b$B6;It\x1b(J", "ｷｮｳﾌﾞ 胸部", nullptr},
    {"\\ISO 2022 IR 87\\ISO 2022 IR 159", "Tei^K=\x1b$(D0!\x1b(B^\x1b$BB@\x1b(B==", "Tei^K=丂^太==", "\x1b$(D0!\x1b(B",
     "丂", nullptr},
    {"\\ISO 2022 IR 149",
     "Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
     "Hong^Gildong=洪^吉洞=홍^길동", "\x1b$)C\xc8\xe4\xba\xce PA", "흉부 PA", nullptr},
    {"GB18030", "Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab=", "Wang^XiaoDong=王^小东=",
     "\xd0\xd8\xb2\xbf \x95\x34\xb2\x35", "胸部 𠮷", nullptr},
    {"GB18030", "=\xcd\xf5^\xd0\xa1\xb6\xab", "=王^小东", "PA", "PA", nullptr},
    {"GBK", "Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab=", "Wang^XiaoDong=王^小东=", "\xd0\xd8\xb2\xbf", "胸部", nullptr},
    {"ISO_IR 101", "Wa\xb3\xeasa", "Wałęsa", "p\xb3uca", "płuca", nullptr},
    {"ISO_IR 126", "\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2", "Διονυσιος", "\xc4", "Δ", nullptr},
    {"ISO_IR 127", "\xe2\xc8\xc7\xe6\xea", "قباني", "\xe2", "ق", nullptr},
    {"ISO_IR 138", "\xf9\xf8\xe5\xef", "שרון", "\xf9", "ש", nullptr},
    {"ISO_IR 144", "\xbb\xee\xda\x63\x65\xdc\xd1yp\xd3", "Люкceмбypг", "\xd3", "г", nullptr},
    {"ISO_IR 148", "I\xfe\xfdk", "Işık", "\xfe", "ş", nullptr},
    {"ISO_IR 166", "\xca\xc1\xaa\xd2\xc2", "สมชาย", "\xca", "ส", nullptr},
    {"ISO 2022 IR 100\\ISO 2022 IR 144", "Andr\xe9\x3d\x1b-L\xbb\xee\xda", "André=Люк", "\xe9", "é", nullptr},
    {nullptr, "Doe^Jane", "Doe^Jane", "Chest", "Chest", nullptr},
    /* what does not fit: read as what it looks like, nothing lost, and said */
    {"NO SUCH SET", "Doe^John", "Doe^John", "Chest", "Chest", nullptr},
    {"NO SUCH SET", "M\xfcller^J\xf6rg", "Müller^Jörg", "\xe9", "é", "Latin-1"},
    {"UTF-8", "M\xc3\xbcller^J\xc3\xb6rg", "Müller^Jörg", "\xe8\x83\xb8", "胸", "UTF-8"},
    {nullptr, "M\xfcller^J\xf6rg", "Müller^Jörg", "\xe9", "é", "Latin-1"},
    {nullptr, "M\xc3\xbcller^J\xc3\xb6rg=\xe7\x8e\x8b", "Müller^Jörg=王", "\xe8\x83\xb8", "胸", "UTF-8"},
    {"ISO_IR 192", "M\xfcller^J\xf6rg", "Müller^Jörg", "\xc3\xa9", "Ã©", "Latin-1"},
    {"GB18030", "Wang=\xcd\xf5\xff\x21", "Wang=Íõÿ!", "PA", "PA", "Latin-1"},
    {"\\ISO 2022 IR 87", "Yamada=\x1b$B;3E", "Yamada=\x1b$B;3E", "PA", "PA", "Latin-1"},
};

void write_texts(DcmDataset &image, const writing &w)
{
    if (w.set)
        set(image, DCM_SpecificCharacterSet, w.set);
    else
        image.findAndDeleteElement(DCM_SpecificCharacterSet);
    for (const DcmTagKey &key : {DCM_PatientName, DCM_OtherPatientNames, DCM_ReferringPhysicianName})
        set(image, key, w.name);
    for (const DcmTagKey &key : {DCM_StudyDescription, DCM_PatientComments, DCM_ResponsibleOrganization})
        set(image, key, w.text);
    DcmItem &procedure = item_of(image, DCM_ProcedureCodeSequence, 0);
    set(procedure, DCM_CodeValue, "P-1");
    set(procedure, DCM_CodingSchemeDesignator, "99HOSPITAL");
    set(procedure, DCM_CodeMeaning, w.text);
    set_request(image, 0, "RP-1", w.text, nullptr);
}

/* Everything below the item that is said of the character set. */
bool says(DcmDataset &report, const std::string &words)
{
    const auto said = [&](DcmItem &item) { return text_at(item, DCM_TextValue).find(words) != std::string::npos; };
    return find(report, said).item || text_at(report, DCM_ImageComments).find(words) != std::string::npos;
}

void check_texts(const scene &s, const form &f, const writing &w)
{
    DcmFileFormat file;
    write(s, f, file);
    DcmDataset &report = *file.getDataset();
    const std::string what = std::string(w.set ? w.set : "no set") + " " + w.name_utf8;
    check_value(f, what, report, DCM_SpecificCharacterSet, "ISO_IR 192");
    for (const DcmTagKey &key : {DCM_PatientName, DCM_OtherPatientNames, DCM_ReferringPhysicianName})
        check_value(f, what, report, key, w.name_utf8);
    for (const DcmTagKey &key : {DCM_StudyDescription, DCM_PatientComments, DCM_ResponsibleOrganization})
        check_value(f, what, report, key, w.text_utf8);
    check_value(f, what, first(report, DCM_ProcedureCodeSequence), DCM_CodeMeaning, w.text_utf8);
    check_value(f, what, first(report, requests_of(f)), DCM_RequestedProcedureDescription, w.text_utf8);
    if (f.kind != COT_REPORT_CAPTURE)
        check_value(f, what, first(named(report, "121058"), DCM_ConceptCodeSequence), DCM_CodeMeaning, w.text_utf8);
    check_count++;
    if (says(report, "does not fit its declared character set") != (w.guess != nullptr) ||
        (w.guess && !says(report, std::string("were read as ") + w.guess)))
        CHECK_FAIL_("%s, %s: it says otherwise how names were read", f.name, what.c_str());
    if (!strchr(w.name, '\x1b') || !w.guess) check_valid(s, f, what);
}
} // namespace

TEST(text_of_every_character_set_arrives_in_every_kind_of_report_as_utf8)
{
    const scene s;
    for (const writing &w : writings) {
        const case_image image = case_image_default();
        change_image(s, image, [&](DcmDataset &data) { write_texts(data, w); });
        for (const form &f : forms) check_texts(s, f, w);
    }
}

/* ---- requests and accession number ---- */
TEST(each_request_of_the_image_is_referenced_with_its_own_or_the_study_s_accession_number)
{
    const scene s;
    change_image(s, case_image_default(), [](DcmDataset &data) {
        set_request(data, 0, "RP-1", "Chest", nullptr);
        set_request(data, 1, "RP-2", "Ribs", "ACC-8");
        set(item_of(data, DCM_RequestAttributesSequence, 1), DCM_StudyInstanceUID, "1.2.3.4");
        set(data, DCM_FillerOrderNumberImagingServiceRequest, "F-1");
    });
    for (const form &f : forms) {
        DcmFileFormat file;
        write(s, f, file);
        DcmDataset &report = *file.getDataset();
        check_value(f, "study", report, DCM_AccessionNumber, "ACC-7");
        DcmItem &one = item_of(report, requests_of(f), 0), &two = item_of(report, requests_of(f), 1);
        check_value(f, "first", one, DCM_RequestedProcedureID, "RP-1");
        check_value(f, "second", two, DCM_RequestedProcedureID, "RP-2");
        check_value(f, "second", two, DCM_AccessionNumber, "ACC-8");
        check_value(f, "second", two, DCM_StudyInstanceUID, "1.2.3.4");
        check_valid(s, f, "two requests");
        if (f.kind == COT_REPORT_CAPTURE) continue; /* has the image's own items; the rest is what a report must add */
        check_value(f, "first", one, DCM_AccessionNumber, "ACC-7");
        check_value(f, "first", one, DCM_StudyInstanceUID, "1.2.826.0.1.3680043.10.999.3");
        check_value(f, "first", one, DCM_FillerOrderNumberImagingServiceRequest, "F-1");
        check_value(f, "first", one, DCM_PlacerOrderNumberImagingServiceRequest, "");
        check_value(f, "first", one, DCM_RequestedProcedureCodeSequence, "");
        check_value(f, "first", one, DCM_ReferencedStudySequence, "");
        DcmSequenceOfItems *requests = nullptr;
        REQUIRE(report.findAndGetSequence(DCM_ReferencedRequestSequence, requests).good());
        CHECK_NUMBER(requests->card(), 2);
    }
}

TEST(an_image_without_accession_number_request_or_any_type_2_attribute_gets_valid_reports)
{
    const scene s;
    for (int c = 0; c < 4; c++) { /* nothing at all; empty; a request without accession number; an empty request */
        case_image image = case_image_default();
        image.accession = c == 1 ? "" : nullptr;
        image.bare = c == 0;
        if (c == 0) image.patient = image.patient_id = image.birth = nullptr;
        change_image(s, image, [c](DcmDataset &data) {
            if (c == 2) set_request(data, 0, "RP-1", "Chest", nullptr);
            if (c == 3) item_of(data, DCM_RequestAttributesSequence, 0);
        });
        for (const form &f : forms) {
            DcmFileFormat file;
            write(s, f, file);
            DcmDataset &report = *file.getDataset();
            const std::string what = "case " + std::to_string(c);
            for (const DcmTagKey &key : {DCM_AccessionNumber, DCM_ReferringPhysicianName})
                check_value(f, what, report, key, "");
            for (const DcmTagKey &key : {DCM_PatientName, DCM_PatientID, DCM_PatientBirthDate, DCM_PatientSex,
                                         DCM_StudyDate, DCM_StudyTime, DCM_StudyID})
                CHECK(report.tagExists(key));
            CHECK(report.tagExists(requests_of(f)) == (c >= 2));
            if (c >= 2 && f.kind != COT_REPORT_CAPTURE)
                check_value(f, what, first(report, requests_of(f)), DCM_AccessionNumber, "");
            check_valid(s, f, what);
        }
    }
}

/* ---- the procedure ---- */
TEST(the_procedure_is_the_image_s_code_else_follows_from_its_body_part_else_is_unspecified)
{
    static const struct {
        const char *modality, *body_part, *value, *scheme, *wanted;
    } cases[] = {
        {"CR", "CHEST", "36572-6", "LN", "36572-6"},
        {"CR", "CHEST", nullptr, nullptr, "30745-4"},
        {"DX", "THORAX", nullptr, nullptr, "30745-4"},
        {"CR", "CHEST", "36572-6", "", "30745-4"},
        {"CR", "CHEST", "MUCH-TOO-LONG-FOR-A-CODE", "99X", "30745-4"},
        {"CR", "", nullptr, nullptr, "43468-8"},
        {"CR", "HIP", nullptr, nullptr, "43468-8"},
        {"DX", "CHESTABDOMEN", nullptr, nullptr, "43468-8"},
        {"OT", "CHEST", nullptr, nullptr, "43468-8"},
        {"CR", "HIP", "", "LN", "43468-8"},
    };
    const scene s;
    for (const auto &c : cases) {
        change_image(s, case_image_default(), [&c](DcmDataset &data) {
            set(data, DCM_Modality, c.modality);
            set(data, DCM_BodyPartExamined, c.body_part);
            if (!c.value) return;
            DcmItem &code = item_of(data, DCM_ProcedureCodeSequence, 0);
            set(code, DCM_CodeValue, c.value);
            set(code, DCM_CodingSchemeDesignator, c.scheme);
            set(code, DCM_CodeMeaning, "XR Chest AP");
        });
        for (size_t f = 0; f + 1 < n_forms; f++) {
            DcmFileFormat file;
            write(s, forms[f], file);
            DcmItem &code = first(named(*file.getDataset(), "121058"), DCM_ConceptCodeSequence);
            check_value(forms[f], c.body_part, code, DCM_CodeValue, c.wanted);
            if (!strcmp(c.wanted, "30745-4"))
                check_value(forms[f], c.body_part, code, DCM_CodeMeaning, "XR Chest Views");
        }
    }
}

/* A hospital's own codes are the rule, and lint wants every private scheme identified. */
TEST(a_hospital_s_own_procedure_code_is_taken_over_with_what_the_image_says_of_its_scheme)
{
    const scene s;
    for (const char *scheme : {"99HOSPITAL", "L", "99STEPCOT"})
        for (int identified = 0; identified < 2; identified++) {
            change_image(s, case_image_default(), [&](DcmDataset &data) {
                DcmItem &code = item_of(data, DCM_ProcedureCodeSequence, 0);
                set(code, DCM_CodeValue, "TX-2");
                set(code, DCM_CodingSchemeDesignator, scheme);
                set(code, DCM_CodeMeaning, "Thorax stehend");
                if (!identified) return;
                set(item_of(data, DCM_CodingSchemeIdentificationSequence, 0), DCM_CodingSchemeDesignator, "99OTHER");
                DcmItem &own = item_of(data, DCM_CodingSchemeIdentificationSequence, 1);
                set(own, DCM_CodingSchemeDesignator, scheme);
                set(own, DCM_CodingSchemeUID, "1.2.3.99");
                set(own, DCM_CodingSchemeName, "Codes of the hospital");
            });
            for (size_t f = 0; f + 1 < n_forms; f++) {
                DcmFileFormat file;
                write(s, forms[f], file);
                check_value(forms[f], scheme, first(named(*file.getDataset(), "121058"), DCM_ConceptCodeSequence),
                            DCM_CodeValue, "TX-2");
                DcmSequenceOfItems *schemes = nullptr;
                REQUIRE(file.getDataset()->findAndGetSequence(DCM_CodingSchemeIdentificationSequence, schemes).good());
                size_t found = 0, named_so = 0;
                for (unsigned long i = 0; i < schemes->card(); i++) {
                    DcmItem &item = *schemes->getItem(i);
                    found += text_at(item, DCM_CodingSchemeDesignator) == scheme;
                    named_so += text_at(item, DCM_CodingSchemeName) == "Codes of the hospital" &&
                                text_at(item, DCM_CodingSchemeUID) == "1.2.3.99";
                }
                CHECK_NUMBER(found, 1);
                CHECK_NUMBER(named_so, identified && strcmp(scheme, "99STEPCOT"));
                check_valid(s, forms[f], scheme);
            }
        }
}

CHECK_MAIN
