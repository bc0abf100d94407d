/* links: dicom config
 * tool_reports FOLDER: writes images and a report of every kind about them, for validators and viewers (tests/validators.sh).
 * The image is asymmetric: 640 columns, 480 rows, a bright disc upper right, a bright square lower left; the regions of the
 * abnormal reading lie on the two. SPDX-License-Identifier: Apache-2.0 */
#include "report_cases.h"

#include <dcmtk/config/osconfig.h>

#include <cmath>
#include <dcmtk/dcmdata/dctk.h>
#include <string>
#include <vector>

enum { COLUMNS = 640, ROWS = 480, DISC_COLUMN = 480, DISC_ROW = 120, DISC = 40, SQUARE = 60, SQUARE_ROW = 380 };

static void require(bool good, const char *what)
{
    if (good) return;
    fprintf(stderr, "tool_reports: %s\n", what);
    exit(1);
}

static Uint8 pixel(int column, int row)
{
    const int x = column - DISC_COLUMN, y = row - DISC_ROW;
    if (x * x + y * y < DISC * DISC) return 240;
    if (column >= SQUARE && column < 2 * SQUARE && row >= SQUARE_ROW && row < SQUARE_ROW + SQUARE) return 200;
    return static_cast<Uint8>(30 + 60 * row / ROWS + 30 * column / COLUMNS);
}

static void write_image(const std::string &path, const char *instance, const char *series, const char *study,
                        const char *patient)
{
    case_image image = case_image_default();
    image.sop_instance = instance;
    image.series = series;
    image.study = study;
    image.patient = patient;
    case_image_write(path.c_str(), &image);
    DcmFileFormat file;
    std::vector<Uint8> pixels;
    for (int row = 0; row < ROWS; row++)
        for (int column = 0; column < COLUMNS; column++) pixels.push_back(pixel(column, row));
    require(file.loadFile(path.c_str()).good(), "load the image");
    DcmDataset &data = *file.getDataset();
    require(data.putAndInsertUint16(DCM_Rows, ROWS).good() && data.putAndInsertUint16(DCM_Columns, COLUMNS).good() &&
                data.putAndInsertString(DCM_PatientOrientation, "L\\F").good() &&
                data.putAndInsertString(DCM_ImagerPixelSpacing, "0.5\\0.5").good() &&
                data.putAndInsertUint8Array(DCM_PixelData, pixels.data(), pixels.size()).good() &&
                file.saveFile(path.c_str(), EXS_LittleEndianExplicit).good(),
            "save the image");
}

static void set_text(DcmItem &item, const DcmTagKey &key, const char *text)
{
    require(item.putAndInsertString(key, text).good(), "set a text");
}

/* As a hospital sends it: names in three writings, a procedure code of its own, a request. */
static void dress_image(const std::string &path)
{
    DcmFileFormat file;
    DcmItem *code = nullptr, *request = nullptr;
    require(file.loadFile(path.c_str()).good() && file.loadAllDataIntoMemory().good(), "load the image");
    DcmDataset &data = *file.getDataset();
    require(data.findOrCreateSequenceItem(DCM_ProcedureCodeSequence, code, 0).good() &&
                data.findOrCreateSequenceItem(DCM_RequestAttributesSequence, request, 0).good(),
            "make sequences");
    set_text(data, DCM_SpecificCharacterSet, "\\ISO 2022 IR 87");
    set_text(data, DCM_PatientName,
             "Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B");
    set_text(data, DCM_StudyDescription, "Chest \x1b$B6;It\x1b(B PA");
    set_text(*code, DCM_CodeValue, "TX-2");
    set_text(*code, DCM_CodingSchemeDesignator, "99HOSPITAL");
    set_text(*code, DCM_CodeMeaning, "\x1b$B6;It\x1b(B");
    set_text(*request, DCM_RequestedProcedureID, "RP-1");
    set_text(*request, DCM_RequestedProcedureDescription, "\x1b$B6;It\x1b(B PA");
    set_text(*request, DCM_AccessionNumber, "ACC-7");
    require(file.saveFile(path.c_str(), EXS_LittleEndianExplicit).good(), "save the image");
}

static void add_region(cot_answer &answer, size_t r, const std::vector<cot_point> &points, float share)
{
    cot_error err = COT_ERROR_INIT;
    require(cot_region_points(&answer.regions[r], points.size(), &err) == COT_OK, err.text);
    std::copy(points.begin(), points.end(), answer.regions[r].points);
    answer.regions[r].share = share;
}

static std::vector<cot_point> disc(float radius)
{
    std::vector<cot_point> points;
    for (int i = 0; i < 16; i++) {
        const float angle = static_cast<float>(i) * 0.3926991F;
        points.push_back({DISC_COLUMN + radius * std::cos(angle), DISC_ROW + radius * std::sin(angle)});
    }
    return points;
}

static std::vector<cot_point> square()
{
    const float side = SQUARE;
    return {{side, SQUARE_ROW}, {2 * side, SQUARE_ROW}, {2 * side, SQUARE_ROW + side}, {side, SQUARE_ROW + side}};
}

/* Steps 1 and 7 on the disc, step 3 a little wider, step 4 disc and square, step 5 the square; 2 and 6 the whole image. */
static cot_chain *abnormal(const cot_steps *steps)
{
    cot_error err = COT_ERROR_INIT;
    cot_chain *chain = case_chain(steps, true);
    case_evidence(chain);
    chain->rows = ROWS;
    chain->cols = COLUMNS;
    const size_t regions[7] = {1, 0, 1, 2, 1, 0, 1};
    for (size_t s = 0; s < chain->n_steps; s++) {
        cot_answer &a = chain->answers[s];
        a.located = true;
        require(cot_answer_regions(&a, regions[s % 7], &err) == COT_OK, err.text);
        case_copy(a.place, sizeof a.place, regions[s % 7] ? "left upper zone" : "");
        if (a.n_regions) add_region(a, 0, s == 4 ? square() : disc(s == 2 ? 48.0F : 42.0F), 0.7F);
        if (a.n_regions > 1) add_region(a, 1, square(), 0.2F);
    }
    return chain;
}

static cot_chain *normal(const cot_steps *steps)
{
    cot_chain *chain = case_chain(steps, true);
    for (size_t s = 0; s < chain->n_steps; s++) {
        case_answer(chain, steps, s, 0, 0.95F);
        chain->answers[s].located = true;
    }
    return chain;
}

struct writer {
    std::string folder;
    cot_steps *steps;
    void write(const char *name, const std::vector<cot_report_image> &images, const cot_report_options &options) const
    {
        cot_error err = COT_ERROR_INIT;
        cot_report_made made;
        require(cot_report_write_study(&made, (folder + "/" + name).c_str(), images.data(), images.size(), steps,
                                       &options, CASE_NOW, &err) == COT_OK,
                err.text);
    }
    void capture(const char *name, const cot_report_image &image) const
    {
        cot_error err = COT_ERROR_INIT;
        cot_report_made made;
        cot_report_options options = case_options();
        options.kind = COT_REPORT_CAPTURE;
        require(cot_capture_write(&made, (folder + "/" + name).c_str(), image.source, image.dataset_sha256, image.chain,
                                  steps, &options, CASE_NOW, &err) == COT_OK,
                err.text);
    }
    void reading(const std::string &name, const std::vector<cot_report_image> &images, bool basic,
                 const char *predecessor = nullptr) const
    {
        cot_report_options options = case_options();
        options.basic_text = basic;
        options.predecessor = predecessor;
        write((name + (basic ? "-basic.dcm" : ".dcm")).c_str(), images, options);
    }
    void measurement(const std::string &name, const std::vector<cot_report_image> &images, int kind,
                     const char *predecessor) const
    {
        static const char *const names[4] = {"-3d.dcm", "-2d.dcm", "-3d-reference.dcm", "-2d-reference.dcm"};
        cot_report_options options = case_measurement();
        options.comprehensive = (kind & 1) != 0;
        options.by_reference = (kind & 2) != 0;
        options.predecessor = predecessor;
        write((name + names[kind]).c_str(), images, options);
    }
};

int main(int argc, char **argv)
{
    cot_error err = COT_ERROR_INIT;
    require(argc == 2, "usage: tool_reports FOLDER");
    writer w = {argv[1], nullptr};
    cot_dicom_init();
    require(cot_steps_load(&w.steps, nullptr, &err) == COT_OK, err.text);
    const std::string first = w.folder + "/image-1.dcm", second = w.folder + "/image-2.dcm",
                      third = w.folder + "/image-normal.dcm", fourth = w.folder + "/image-hospital.dcm";
    write_image(first, "2.25.1001", "2.25.1002", "2.25.1003", "Phantom^Disc");
    write_image(second, "2.25.1004", "2.25.1002", "2.25.1003", "Phantom^Disc");
    write_image(third, "2.25.2001", "2.25.2002", "2.25.2003", "Phantom^Normal");
    write_image(fourth, "2.25.3001", "2.25.3002", "2.25.3003", "");
    dress_image(fourth);
    cot_chain *chains[5] = {abnormal(w.steps), normal(w.steps), case_refused(w.steps), case_chain(w.steps, false),
                            case_forced(w.steps)};
    case_evidence(chains[3]);
    const cot_report_image on_disc = {first.c_str(), CASE_DIGEST, chains[0]};
    const cot_report_image of_hospital = {fourth.c_str(), CASE_DIGEST, chains[0]};
    for (int basic = 0; basic < 2; basic++) {
        w.reading("reading-hospital", {of_hospital}, basic != 0);
        w.reading("reading-study", {on_disc, {second.c_str(), CASE_DIGEST, chains[3]}}, basic != 0);
        w.reading("reading-partial", {{second.c_str(), CASE_DIGEST, chains[3]}}, basic != 0);
        w.reading("reading-abnormal", {on_disc}, basic != 0);
        w.reading("reading-normal", {{third.c_str(), CASE_DIGEST, chains[1]}}, basic != 0);
        w.reading("reading-refused", {{first.c_str(), CASE_DIGEST, chains[2]}}, basic != 0);
        w.reading("reading-forced", {{first.c_str(), CASE_DIGEST, chains[4]}}, basic != 0);
    }
    for (int kind = 0; kind < 4; kind++) {
        w.measurement("measurement-abnormal", {on_disc}, kind, nullptr);
        w.measurement("measurement-hospital", {of_hospital}, kind, nullptr);
        w.measurement("measurement-normal", {{third.c_str(), CASE_DIGEST, chains[1]}}, kind, nullptr);
        w.measurement("measurement-partial", {{second.c_str(), CASE_DIGEST, chains[3]}}, kind, nullptr);
        w.measurement("measurement-study", {on_disc, {second.c_str(), CASE_DIGEST, chains[3]}}, kind, nullptr);
    }
    w.capture("capture-abnormal.dcm", on_disc);
    w.capture("capture-hospital.dcm", of_hospital);
    w.capture("capture-normal.dcm", {third.c_str(), CASE_DIGEST, chains[1]});
    chains[3]->rows = ROWS;
    chains[3]->cols = COLUMNS;
    w.capture("capture-partial.dcm", {second.c_str(), CASE_DIGEST, chains[3]});
    case_copy(chains[0]->reader.version, sizeof chains[0]->reader.version, "2.0");
    w.measurement("measurement-again", {on_disc}, 0, (w.folder + "/measurement-abnormal-3d.dcm").c_str());
    w.reading("reading-again", {on_disc}, false, (w.folder + "/reading-abnormal.dcm").c_str());
    w.reading("reading-again", {on_disc}, true, (w.folder + "/reading-abnormal-basic.dcm").c_str());
    for (cot_chain *chain : chains) cot_chain_destroy(chain);
    cot_steps_destroy(w.steps);
    return 0;
}
