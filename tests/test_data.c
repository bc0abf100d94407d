/* links: plugin
 * `stepcot data` over small folders: what an import takes, and each thing that can be wrong with data, by its message.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/train_world.h"

static train_world w = {.folder = "/tmp/cot_data_XXXXXX"};
static char said[1 << 16]; /* by the last command, with its exit code */

__attribute__((constructor)) static void begin(void)
{
    if (!mkdtemp(w.folder)) exit(1);
    snprintf(w.output, sizeof w.output, "%s/output.txt", w.folder);
}

__attribute__((destructor)) static void end(void)
{
    world_end(&w);
}

/* ---- a folder, emptied for each test ---- */
static const char *at(const char *name)
{
    static char paths[8][256];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", w.folder, name);
    return path;
}

static void put(const char *name, const char *text)
{
    FILE *f = fopen(at(name), "wb");
    CHECK(f && fputs(text, f) >= 0);
    if (f) fclose(f);
}

static void picture(const char *name, size_t i)
{
    CHECK(world_draw(at(name), i));
}

static void empty_folder(void)
{
    char command[256];
    snprintf(command, sizeof command, "cd %s && rm -rf ./* && mkdir d d/images", w.folder);
    CHECK(system(command) == 0);
}

static void stepcot(int want, const char *words)
{
    const int code = world_run(&w, cot_cmd_data, words);
    char *text = world_said(&w);
    snprintf(said, sizeof said, "exit %d: %s\n%s", code, words, text);
    free(text);
    check_count++;
    if (code != want) CHECK_FAIL_("exit %d, wanted %d: %s", code, want, said);
}

static char *whole(const char *name)
{
    char *text = NULL;
    size_t size;
    cot_error ignored = COT_ERROR_INIT;
    return cot_file_read(&text, &size, at(name), 1 << 24, &ignored) == COT_OK ? text : strdup("(no such file)");
}

static void file_has(const char *name, const char *part)
{
    char *text = whole(name);
    CHECK_HAS(text, part);
    free(text);
}

/* ---- NIH ---- */
#define LABELS "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position\n"
#define BOXES  "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"

static void nih(const char *labels, const char *boxes)
{
    char text[8192];
    empty_folder();
    snprintf(text, sizeof text, LABELS "%s", labels);
    put("d/Data_Entry_2017_v2020.csv", text);
    snprintf(text, sizeof text, BOXES "%s", boxes);
    if (boxes) put("d/BBox_List_2017.csv", text);
}

TEST(nih_rows_become_a_manifest_that_passes_its_check)
{
    nih("a_0.png,Mass,0,1,50,M,PA\nb_0.png,No Finding,0,2,50,F,AP\nb_1.png,Effusion|Mass,1,2,50,F,AP\n",
        "a_0.png,Mass,204.8,102.4,102.4,102.4,,,\n");
    picture("d/images/a_0.png", 1);
    picture("d/images/b_0.png", 2);
    picture("d/b_1.png", 3);
    stepcot(0, "data import nih d -o m.jsonl");
    CHECK_HAS(said, "3 records read, 3 images taken");
    file_has("m.jsonl", "\"images\":\"d\",\"n\":3");
    file_has("m.jsonl", "{\"path\":\"images/a_0.png\",\"patient\":\"1\",");
    /* the box was drawn on 1024 pixels, the image has 40 */
    file_has("m.jsonl", "\"boxes\":[{\"finding\":\"Mass\",\"box\":[8,4,4,4]}]");
    file_has("m.jsonl", "\"distribution\":\"focal\",\"pattern\":null,\"location\":\"upper-zone\"");
    file_has("m.jsonl", "\"view\":\"AP\",\"labels\":{\"detection\":\"none\"");
    file_has("m.jsonl", "NIH Clinical Center");
    stepcot(0, "data check m.jsonl");
    CHECK_HAS(said, "3 images; labels and splits:");
    stepcot(0, "data check --json m.jsonl");
    CHECK_HAS(said, "\"missing_images\":0");
    CHECK_HAS(said, "\"mass\":{\"train\":");
    CHECK_HAS(said, "\"decoded\":true");
}

TEST(nih_what_is_left_out_is_named_and_counted)
{
    nih("a_0.png,Mass,0,1,50,M,PA\n"
        "b_0.png,Fracture,0,2,50,M,PA\n"
        "c_0.png,Mass,0,3,50,M,PA\n"
        "a_0.png,Nodule,0,1,50,M,PA\n"
        "d_0.png,Mass\n"
        "e_0.png,Mass,0,5,50,M,PA\n"
        "f_0.png,Mass,0,,50,M,PA\n"
        "../../etc/passwd,Mass,0,6,50,M,PA\n",
        "a_0.png,Mass,1,1,9\n"
        "a_0.png,Lump,1,1,9,9,,,\n"
        "a_0.png,Mass,1000,1,99,9,,,\n"
        "a_0.png,Nodule,1,1,9,9,,,\n"
        "g_0.png,Mass,1,1,9,9,,,\n");
    picture("d/images/a_0.png", 1);
    picture("d/images/b_0.png", 2);
    picture("d/images/f_0.png", 3);
    picture("d/images/g_0.png", 4);
    picture("d/a_0.png", 5);
    put("d/images/e_0.png", "\x89PNG\r\n\x1a\nno more");
    put("d/images.txt", "no folder");
    CHECK(!symlink("images.txt", at("d/images-link")));
    stepcot(1, "data import nih d -o m.jsonl");
    CHECK_HAS(said, "Data_Entry_2017_v2020.csv:3: finding \"Fracture\" is not in the rules; image left out");
    CHECK_HAS(said, "Data_Entry_2017_v2020.csv:4: image c_0.png is not in the folder; left out");
    CHECK_HAS(said, "Data_Entry_2017_v2020.csv:5: the image of line 2 is given again; left out");
    CHECK_HAS(said, "Data_Entry_2017_v2020.csv:6: not a row of the header's 7 columns; image left out");
    CHECK_HAS(said, "Data_Entry_2017_v2020.csv:7: image images/e_0.png: ");
    CHECK_HAS(said, "Data_Entry_2017_v2020.csv:8: the patient is empty");
    CHECK_HAS(said, "Data_Entry_2017_v2020.csv:9: image ../../etc/passwd is not in the folder; left out");
    CHECK_HAS(said, "BBox_List_2017.csv:2: not an image, a finding and four numbers; box left out");
    CHECK_HAS(said, "BBox_List_2017.csv:3: finding \"Lump\" is not in the rules; box left out");
    CHECK_HAS(said, "BBox_List_2017.csv:4: box 1000,1,99,9 is not within 1024 x 1024 pixels; left out");
    CHECK_HAS(said, "BBox_List_2017.csv:5: a box of Nodule, which is not among the image's findings; left out");
    CHECK_HAS(said, "BBox_List_2017.csv:6: a box of an image without labels or without its file; left out");
    CHECK_HAS(said, "d: no row of labels names images/g_0.png; left out");
    CHECK_HAS(said, "d: images/a_0.png has the name of a_0.png; left out");
    CHECK_HAS(said, "3 broken records, 2 unknown options or findings, 2 duplicates, ");
    CHECK_HAS(said, "2 missing images, 1 unreadable images, 1 images without a row");
    CHECK_HAS(said, "8 records read, 1 images taken");
}

TEST(nih_faults_of_a_whole_file_end_the_import)
{
    nih("\"a_0.png,Mass\n", NULL);
    stepcot(1, "data import nih d -o m.jsonl");
    CHECK_HAS(said, "Data_Entry_2017_v2020.csv:2: a quoted field without its closing quote");
    put("d/Data_Entry_2017_v2020.csv", "Image,Label\n");
    stepcot(1, "data import nih d -o m.jsonl");
    CHECK_HAS(said, ":1: \"Image Index\", \"Finding Labels\" and \"Patient ID\" are not all columns");
    put("d/Data_Entry_2017_v2020.csv", LABELS);
    put("d/BBox_List_2017.csv", "Image Index,Finding Label,x,y,w,h\n");
    stepcot(1, "data import nih d -o m.jsonl");
    CHECK_HAS(said, "BBox_List_2017.csv:1: the columns are not");
    unlink(at("d/BBox_List_2017.csv"));
    stepcot(1, "data import nih d -o m.jsonl");
    CHECK_HAS(said, "d: no image is left; nothing was written");
    CHECK(access(at("m.jsonl"), F_OK) != 0);
}

/* ---- Step-CoT ---- */
static const char *const ids[] = {"detection",  "distribution", "pattern",  "location",
                                  "morphology", "secondary",    "diagnosis"};

/* A record whose diagnosis is `answer` (JSON) and whose other answers are N/A. */
static void record(char *to, size_t size, const char *patient, const char *image, const char *answer)
{
    size_t n = (size_t)snprintf(to, size,
                                "{\"patient_id\": \"%s\", \"image_path\": \"%s\", \"origin\": \"here\",\n"
                                " \"report\": \"Clear.\", \"vqa_chain\": [",
                                patient, image);
    for (size_t s = 0; s < 7; s++)
        n += (size_t)snprintf(to + n, size - n, "%s{\"step\": \"%s\", \"question\": \"?\", %s, \"reasoning\": \"%s\"}",
                              s ? "," : "", ids[s], s == 6 ? answer : "\"answer\": \"N/A\"", s == 6 ? "so" : "");
    snprintf(to + n, size - n, "]}");
}

/* One record a picture, a to h, with these answers. */
static void chains(const char *const *answers, size_t n)
{
    char text[16384] = "[", image[32], patient[32];
    empty_folder();
    for (size_t i = 0; i < n; i++) {
        snprintf(image, sizeof image, "images/%zu.png", i);
        snprintf(patient, sizeof patient, "p%zu", i);
        const size_t used = strlen(text);
        if (i) strcat(text, ",\n");
        record(text + strlen(text), sizeof text - used - 2, patient, image, answers[i]);
        char name[64];
        snprintf(name, sizeof name, "d/%s", image);
        picture(name, i);
    }
    strcat(text, "]\n");
    put("d/data.json", text);
}

TEST(answers_are_taken_as_text_letter_or_not_at_all)
{
    static const char *const answers[] = {
        "\"answer\": \"Pneumonia\"",
        "\"options\": [\"Normal\", \"B. Mass\"], \"answer\": \"B\"",
        "\"options\": {\"A\": \"Normal\", \"I\": \"Pneumothorax\"}, \"answer\": \"(I)\"",
        "\"answer\": \"C. pneumonia.\"",
        "\"answer\": \"N/A\"",
        "\"answer\": null",
        "\"options\": [\"Normal\", \"N/A\"], \"answer\": \"B\"",
        "\"answer\": \"not applicable\"",
    };
    chains(answers, 8);
    stepcot(0, "data import step-cot d -o m.jsonl");
    CHECK_HAS(said, "8 records read, 8 images taken");
    file_has("m.jsonl", "\"title\":\"Step-CoT\"");
    static const char *const want[] = {"\"pneumonia\"", "\"mass\"", "\"pneumothorax\"", "\"pneumonia\"", "null", "null",
                                       "null",          "null"};
    char *text = whole("m.jsonl"), part[64];
    for (size_t i = 0; i < 8; i++) {
        snprintf(part, sizeof part, "images/%zu.png", i);
        const char *line = strstr(text, part);
        REQUIRE(line);
        const char *diagnosis = strstr(line, "\"diagnosis\":");
        CHECK(diagnosis && !strncmp(diagnosis + 12, want[i], strlen(want[i])));
    }
    CHECK_HAS(text, "\"origin\":\"here\"");
    CHECK_HAS(text, "\"reasoning\":{\"diagnosis\":\"so\"},\"report\":\"Clear.\"}");
    free(text);
    stepcot(0, "data check m.jsonl");
}

TEST(unknown_answers_are_masked_and_named_with_their_line)
{
    static const char *const answers[] = {
        "\"answer\": \"Pneumonia\"",
        "\"answer\": \"Fracture\"",
        "\"options\": [\"Normal\"], \"answer\": \"I\"",
        "\"answer\": 3",
        "\"options\": [\"Normal\", \"Fracture\"], \"answer\": \"B\"",
    };
    chains(answers, 5);
    stepcot(1, "data import step-cot d -o m.jsonl");
    CHECK_HAS(said, "d/data.json:3: step \"diagnosis\" has no option \"Fracture\"; masked");
    CHECK_HAS(said, "d/data.json:5: step \"diagnosis\": the answer is letter I, which its options do not have; masked");
    CHECK_HAS(said, "d/data.json:7: step \"diagnosis\": the answer is no text; masked");
    CHECK_HAS(said, "d/data.json:9: step \"diagnosis\" has no option \"Fracture\"; masked");
    CHECK_HAS(said, "5 records read, 5 images taken");
    CHECK_HAS(said, "1 broken records, 3 unknown options or findings");
    put("words.csv", "step,text,option\ndiagnosis,fracture,mass\n");
    stepcot(1, "data import step-cot d -o m.jsonl --words words.csv");
    CHECK_HAS(said, "1 broken records, 1 unknown options or findings");
    put("words.csv", "step,text,option\ndiagnosis,fracture,broken\n");
    stepcot(1, "data import step-cot d -o m.jsonl --words words.csv");
    CHECK_HAS(said, "words.csv:2: step \"diagnosis\" has no option \"broken\"");
    put("words.csv", "step,option\n");
    stepcot(1, "data import step-cot d -o m.jsonl --words words.csv");
    CHECK_HAS(said, "words.csv:1: the columns must be step,text,option");
}

TEST(records_that_cannot_be_used_are_named_with_their_line)
{
    char text[16384] = "[\n", *to;
    empty_folder();
    static const char *const images[] = {"images/0.png",      "../0.png",        "/etc/passwd",       "images/0.png",
                                         "images/absent.png", "images/link.png", "images/broken.png", "images"};
    for (size_t i = 0; i < 8; i++) {
        to = text + strlen(text);
        record(to, 1024, "p", images[i], "\"answer\": \"Mass\"");
        strcat(text, ",\n");
    }
    strcat(text,
           "{\"patient_id\": 1},\n"
           "{\"patient_id\": 1, \"image_path\": \"images/0.png\", \"vqa_chain\": []},\n"
           "{\"patient_id\": 1, \"image_path\": \"images/0.png\", \"vqa_chain\": [{},{},{},{},{},{},{\"step\": 1}]},\n"
           "{\"patient_id\" 1}\n]");
    put("d/data.json", text);
    picture("d/images/0.png", 0);
    picture("out.png", 1);
    put("d/images/broken.png", "this is no picture");
    CHECK(!symlink("../../out.png", at("d/images/link.png")));
    stepcot(1, "data import step-cot d -o m.jsonl");
    CHECK_HAS(said, "d/data.json:4: the path has an empty part, \".\" or \"..\"");
    CHECK_HAS(said, "d/data.json:6: the path is absolute");
    CHECK_HAS(said, "d/data.json:8: the image of line 2 is given again; left out");
    CHECK_HAS(said, "d/data.json:10: image images/absent.png is not there; left out");
    CHECK_HAS(said, "d/data.json:12: image images/link.png: the image of line 12 is a link out of the images folder");
    CHECK_HAS(said, "d/data.json:14: image images/broken.png: ");
    CHECK_HAS(said, "d/data.json:16: image images: not a regular file");
    CHECK_HAS(said, "d/data.json:18: no \"patient_id\" or no \"image_path\"; record left out");
    CHECK_HAS(said, "d/data.json:19: \"vqa_chain\" is no list of 7 steps; record left out");
    CHECK_HAS(said, "d/data.json:20: entry 7 of \"vqa_chain\" is an unknown step or one given twice");
    CHECK_HAS(said, "d/data.json:21: a record that is not JSON; left out");
    CHECK_HAS(said, "12 records read, 1 images taken");
    CHECK_HAS(said, "6 broken records, 1 duplicates, 1 missing images, 3 unreadable images");
}

static void refuses_json(const char *text, const char *part)
{
    put("d/data.json", text);
    stepcot(1, "data import step-cot d -o m.jsonl");
    CHECK_HAS(said, part);
    CHECK(access(at("m.jsonl"), F_OK) != 0);
}

TEST(what_is_no_list_of_records_is_refused)
{
    empty_folder();
    stepcot(1, "data import step-cot d -o m.jsonl");
    CHECK_HAS(said, "d: no data.json there");
    refuses_json("", "data.json:1: neither a list of records nor a record");
    refuses_json("\n\"hello\"", "data.json:2: neither a list of records nor a record");
    refuses_json("[1, 2]", "data.json:1: a record or the list's end is missing here");
    refuses_json("[\n{\"a\": [}", "data.json:2: a record that is not JSON");
    refuses_json("[\n{\"a\": {}", "data.json:2: the record that begins here does not end");
    refuses_json("[\n{},\n{}\n", "data.json:4: a record or the list's end is missing here");
    refuses_json("[{}] x", "data.json:1: text that is no record");
    refuses_json("{\"data\": [{\"patient_id\": 1}]}", "no \"patient_id\" or no \"image_path\"");
    refuses_json("[]", "d: no image is left; nothing was written");
    refuses_json("[\"\xff\"]", "data.json: not UTF-8 text");
}

/* 100 MB of a pattern: refused within a second or two, never with more memory than a few times the file. */
TEST(a_hundred_megabytes_of_nonsense_end_at_a_bound)
{
    static const char *const patterns[] = {"[", "{\"a\":", "x", "\"", "{\"patient_id\":\"aaaaaaaaaaaaaaaa\"}\n"};
    empty_folder();
    for (size_t p = 0; p < 5; p++) {
        FILE *f = fopen(at("d/data.json"), "wb");
        REQUIRE(f);
        const size_t n = strlen(patterns[p]);
        for (size_t i = 0; i < 100000000 / n; i++) fwrite(patterns[p], 1, n, f);
        fclose(f);
        stepcot(1, "data import step-cot d -o m.jsonl");
        char counted[64];
        snprintf(counted, sizeof counted, "%zu broken records", 100000000 / n);
        CHECK(p < 4 || strstr(said, counted));
        CHECK(p < 4 || strstr(said, "more broken records are counted, not named"));
        CHECK(strlen(said) < 8192);
    }
    CHECK(!rename(at("d/data.json"), at("m.jsonl")));
    stepcot(1, "data check m.jsonl");
    CHECK_HAS(said, "m.jsonl:1: \"schema\" must be a text");
    nih("", NULL);
    FILE *f = fopen(at("d/Data_Entry_2017_v2020.csv"), "ab");
    REQUIRE(f);
    for (size_t i = 0; i < 25000000; i++) fputs("a,b\n", f);
    fclose(f);
    stepcot(1, "data import nih d -o m.jsonl");
    CHECK_HAS(said, "25000000 broken records");
}

/* ---- check ---- */
static void sound_manifest(void)
{
    nih("a_0.png,Mass,0,1,50,M,PA\nb_0.png,No Finding,0,2,50,F,AP\nb_1.png,Effusion,1,2,50,F,AP\n", NULL);
    picture("d/images/a_0.png", 1);
    picture("d/images/b_0.png", 2);
    picture("d/images/b_1.png", 3);
    stepcot(0, "data import nih d -o m.jsonl");
}

TEST(check_names_missing_broken_and_changed_images)
{
    sound_manifest();
    CHECK(!unlink(at("d/images/a_0.png")));
    put("d/images/b_0.png", "no picture");
    picture("d/images/b_1.png", 4);
    stepcot(1, "data check m.jsonl");
    CHECK_HAS(said, "m.jsonl:2: image images/a_0.png is not there");
    CHECK_HAS(said, "m.jsonl:3: image images/b_0.png: ");
    CHECK_HAS(said, "m.jsonl:4: image images/b_1.png is another than when the manifest was made");
    CHECK_HAS(said, "1 missing images, 1 unreadable images, 1 changed images");
    stepcot(0, "data check --no-decode m.jsonl");
    stepcot(1, "data check --images d/images m.jsonl");
    CHECK_HAS(said, "3 missing images");
    CHECK(!unlink(at("d/images/b_0.png")) && !mkfifo(at("d/images/b_0.png"), 0600)); /* nobody waits for a writer */
    stepcot(1, "data check m.jsonl");
    CHECK_HAS(said, "m.jsonl:3: image images/b_0.png: not a regular file");
}

TEST(check_names_patients_in_two_splits_and_unknown_options)
{
    sound_manifest();
    char *text = whole("m.jsonl");
    char *line = strstr(text, "b_1.png"), *split = line ? strstr(line, "\"split\":\"") : NULL;
    REQUIRE(split);
    const bool trains = !strncmp(split + 9, "train", 5);
    char *rest = strchr(split + 9, '"');
    *split = 0;
    char *changed = malloc(strlen(text) + strlen(rest) + 64);
    sprintf(changed, "%s\"split\":\"%s%s", text, trains ? "test" : "train", rest);
    put("m.jsonl", changed);
    free(changed);
    free(text);
    stepcot(1, "data check m.jsonl");
    CHECK_HAS(said, "m.jsonl:4: the patient of line 3, there in ");
    CHECK_HAS(said, "split by patient");
    stepcot(1, "data split m.jsonl -o n.jsonl");
    CHECK_HAS(said, "m.jsonl:4: the patient of line 3");
    char command[256];
    snprintf(command, sizeof command, "cd %s && sed -i '2,$s/\"mass\"/\"lump\"/' m.jsonl", w.folder);
    CHECK(system(command) == 0);
    stepcot(1, "data check m.jsonl");
    CHECK_HAS(said, "m.jsonl:2: step \"diagnosis\" has no option \"lump\"");
}

TEST(the_same_image_twice_is_a_warning_within_a_patient_and_a_fault_beyond)
{
    nih("a_0.png,Mass,0,1,50,M,PA\nb_0.png,Mass,0,2,50,F,AP\nb_1.png,Mass,1,2,50,F,AP\n", NULL);
    picture("d/images/a_0.png", 1);
    picture("d/images/b_0.png", 2);
    picture("d/images/b_1.png", 2);
    stepcot(0, "data import nih d -o m.jsonl");
    CHECK_HAS(said, "m.jsonl:4: the same image as line 3, images/b_0.png\n");
    CHECK_HAS(said, "(a warning)");
    stepcot(0, "data check --json m.jsonl");
    CHECK_HAS(said, "\"same_image_of_one_patient\":1");
    picture("d/images/a_0.png", 2);
    stepcot(1, "data import nih d -o m.jsonl");
    CHECK_HAS(said, "m.jsonl:3: the same image as line 2, images/a_0.png, of another patient");
    stepcot(1, "data check m.jsonl");
    CHECK_HAS(said, "2 duplicates");
}

/* ---- split ---- */
TEST(split_shares_out_anew_by_seed_shares_and_list)
{
    sound_manifest();
    put("test.txt", " 2 \r\n\n");
    stepcot(0, "data split m.jsonl -o n.jsonl --test-list test.txt");
    file_has("n.jsonl", "test as listed, others 0.7:0.15, seed 1");
    file_has("n.jsonl", "\"patient\":\"2\",\"split\":\"test\"");
    file_has("n.jsonl", "\"patient\":\"1\",\"split\":\"train\"");
    CHECK(!strstr(said, "without an image"));
    put("test.txt", "2\nnobody\n\nnobody else\n");
    stepcot(0, "data split m.jsonl -o n.jsonl --test-list test.txt");
    CHECK_HAS(said, "test.txt:2: no image here is of this patient");
    CHECK_HAS(said, "test.txt:4: no image here is of this patient");
    CHECK_HAS(said, "2 listed test patients without an image (a warning)");
    CHECK(!strstr(said, "nobody"));                                      /* no name in what may become a log */
    stepcot(0, "data split n.jsonl -o n.jsonl --shares 1,0,0 --seed 5"); /* onto itself */
    file_has("n.jsonl", "; split by patient 1:0:0, seed 5\"");           /* what was said of the split before is gone */
    file_has("n.jsonl", "\"patient\":\"2\",\"split\":\"train\"");
    stepcot(0, "data check n.jsonl");
    CHECK(!mkdir(at("sub"), 0700));
    stepcot(0, "data split m.jsonl -o sub/n.jsonl"); /* the images are not below that folder */
    stepcot(0, "data check sub/n.jsonl");
    put("test.txt", "nobody\n");
    stepcot(1, "data split m.jsonl -o n.jsonl --test-list test.txt");
    CHECK_HAS(said, "test.txt: none of the 1 listed test patients has an image here");
    put("test.txt", "\n");
    stepcot(1, "data split m.jsonl -o n.jsonl --test-list test.txt");
    CHECK_HAS(said, "test.txt: names no patient");
}

/* ---- as a person uses it ---- */
TEST(an_output_that_cannot_be_written_is_said_before_the_work)
{
    sound_manifest();
    put("mine.txt", "my own notes");
    stepcot(2, "data import nih d -o mine.txt");
    CHECK_HAS(said, "mine.txt is there and is no manifest, so it is not replaced");
    file_has("mine.txt", "my own notes");
    stepcot(2, "data split m.jsonl -o d/Data_Entry_2017_v2020.csv");
    stepcot(2, "data split m.jsonl -o d");
    stepcot(5, "data import nih d -o nowhere/m.jsonl");
    CHECK_HAS(said, "nowhere/m.jsonl: cannot be written in nowhere/");
    CHECK(!strstr(said, "records read"));
    stepcot(5, "data import nih d -o /proc/m.jsonl");
    stepcot(0, "data import nih d -o m.jsonl"); /* a manifest is replaced */
}

TEST(wrong_usage_is_said_and_exits_with_two)
{
    empty_folder();
    stepcot(2, "data");
    CHECK_HAS(said, "say import step-cot|nih DIR, split MANIFEST or check MANIFEST");
    stepcot(2, "data import other d -o m.jsonl");
    CHECK_HAS(said, "import reads step-cot or nih, not other");
    stepcot(2, "data import nih d");
    CHECK_HAS(said, "import needs -o MANIFEST");
    stepcot(2, "data check m.jsonl other.jsonl");
    stepcot(2, "data split m.jsonl -o n.jsonl --shares 0.7,0.3,0.3");
    CHECK_HAS(said, "--shares is A,B,C with the sum 1");
    stepcot(2, "data split m.jsonl -o n.jsonl --seed 0");
    stepcot(5, "data check absent.jsonl");
    stepcot(1, "data import nih d -o m.jsonl");
    CHECK_HAS(said, "d: no Data_Entry_2017*.csv there");
    put("rules.xml", "<rules/>");
    stepcot(3, "data import nih d -o m.jsonl --rules rules.xml");
    CHECK_HAS(said, "rules.xml:1: ");
    stepcot(0, "data --help");
    CHECK_HAS(said, "Exit codes:");
}

CHECK_MAIN
