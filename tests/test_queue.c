/* links: plugin dicom config */
/* `stepcot queue`: what it prints, what it refuses, its exit codes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/node.h"
#include "tests/store_fixture.h"

#include <fcntl.h>
#include <sys/wait.h>

static char out[65536]; /* what the command wrote to stdout and stderr */

/* Runs `queue WORDS… --store FOLDER` in a child; its exit code. */
static int queue(const char *words)
{
    char line[256], *argv[16], path[96];
    int argc = 0, result = 0;
    snprintf(path, sizeof path, "%s/out", folder);
    snprintf(line, sizeof line, "queue %s --store %s", words, folder);
    for (char *word = strtok(line, " "); word && argc < 15; word = strtok(NULL, " ")) argv[argc++] = word;
    argv[argc] = NULL;
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        dup2(fd, 1);
        dup2(fd, 2);
        const int code = cot_cmd_queue(argc, argv);
        fflush(NULL);
        _exit(code);
    }
    if (waitpid(child, &result, 0) != child || !WIFEXITED(result)) return -1;
    FILE *file = fopen(path, "r");
    out[file ? fread(out, 1, sizeof out - 1, file) : 0] = 0;
    if (file) fclose(file);
    return WEXITSTATUS(result);
}

/* Three jobs: delivered to none yet (dead), failed, received. */
static cot_store *fill(char dead[COT_JOB_ID], char failed[COT_JOB_ID], char fresh[COT_JOB_ID])
{
    cot_error err = COT_ERROR_INIT;
    cot_store *store = open_new();
    cot_job jobs[2];
    cot_delivery d[1];
    size_t n = 0;
    receive_ok(store, "1.2.840.999.1", "aa", "1.2.840.999.77", dead);
    fake_now++;
    receive_ok(store, "1.2.840.999.2", "bb", "1.2.840.999.77", failed);
    CHECK_OK(cot_store_claim(store, "w", 0, jobs, 2, &n, &err));
    CHECK_OK(report(store, dead, &err));
    CHECK_OK(cot_store_failed(store, failed, "the device was lost\x1b[31m", &err));
    CHECK_OK(cot_store_take(store, "s", "PACS", d, 1, &n, &err));
    CHECK_OK(cot_store_dead(store, d[0].id, 0xC000, "it cannot understand the object", &err));
    fake_now++;
    receive_ok(store, "1.2.840.999.3", "cc", "1.2.840.999.78", fresh);
    fake_now += 90000000;
    return store;
}

TEST(list_shows_states_and_causes_and_no_identity)
{
    char dead[COT_JOB_ID], failed[COT_JOB_ID], fresh[COT_JOB_ID], start[16];
    cot_store *store = fill(dead, failed, fresh);
    CHECK_NUMBER(queue("list"), 0);
    snprintf(start, sizeof start, "%.12s", dead);
    CHECK_HAS(out, start);
    CHECK_HAS(out, "PACS dead");
    CHECK_HAS(out, "it cannot understand the object");
    CHECK_HAS(out, "the device was lost?[31m");
    CHECK_HAS(out, "90s");
    CHECK_HAS(out, "Jobs: 1 received, 0 reading, 1 reported, 1 failed, 0 dropped. Deliveries: 0 waiting, 0 sending, 0 "
                   "delivered, 1 dead");
    CHECK(!strstr(out, "999") && !strstr(out, "MODALITY"));
    CHECK_NUMBER(queue("list --json"), 0);
    CHECK_HAS(out, "\"state\":\"dead\"");
    CHECK_HAS(out, "\"status\":\"0xC000\"");
    CHECK_HAS(out, failed);
    CHECK(!strstr(out, "999") && !strstr(out, "MODALITY"));
    CHECK(out[0] == '[' && strstr(out, "\n]\n"));
    CHECK_NUMBER(queue("list --state failed --json"), 0);
    CHECK(strstr(out, failed) && !strstr(out, fresh));
    CHECK_NUMBER(queue("list --state sending --json"), 0);
    CHECK_TEXT(out, "[]\n");
    CHECK_NUMBER(queue("list --state nowhere"), 2);
    CHECK_HAS(out, "no state \"nowhere\"");
    close_and_remove(store);
}

TEST(show_prints_everything_known_about_one_job)
{
    char dead[COT_JOB_ID], failed[COT_JOB_ID], fresh[COT_JOB_ID], words[64];
    cot_store *store = fill(dead, failed, fresh);
    snprintf(words, sizeof words, "show %.10s", dead);
    CHECK_NUMBER(queue(words), 0);
    CHECK_HAS(out, dead);
    CHECK_HAS(out, "1.2.840.999.1");
    CHECK_HAS(out, "MODALITY");
    CHECK_HAS(out, "0xC000");
    CHECK_HAS(out, "\"a\":\t1"); /* the reading */
    snprintf(words, sizeof words, "show %s --json", failed);
    CHECK_NUMBER(queue(words), 0);
    CHECK_HAS(out, "the device was lost");
    CHECK_HAS(out, "\"deliveries\":\t[]");
    CHECK_NUMBER(queue("show zzz"), 1);
    CHECK_HAS(out, "is no job id");
    close_and_remove(store);
}

TEST(retry_and_drop_move_what_they_say_and_refuse_the_rest)
{
    char dead[COT_JOB_ID], failed[COT_JOB_ID], fresh[COT_JOB_ID], words[64];
    cot_store *store = fill(dead, failed, fresh);
    snprintf(words, sizeof words, "retry %s", fresh);
    CHECK_NUMBER(queue(words), 1);
    CHECK_HAS(out, "is received: nothing of it can be retried");
    snprintf(words, sizeof words, "retry %s", dead);
    CHECK_NUMBER(queue(words), 0);
    CHECK_HAS(out, "1 to be tried again");
    CHECK_NUMBER(queue("retry --all"), 0);
    CHECK_HAS(out, "1 to be tried again");
    CHECK_NUMBER(number(store, "SELECT count(*) FROM job WHERE state=0"), 2);
    CHECK_NUMBER(queue("drop --all"), 0);
    CHECK_HAS(out, "0 dropped: no job has failed");
    snprintf(words, sizeof words, "drop %s", dead);
    CHECK_NUMBER(queue(words), 0);
    CHECK_NUMBER(number(store, "SELECT state FROM delivery"), COT_DELIVERY_DROPPED);
    close_and_remove(store);
}

TEST(wrong_usage_and_a_wrong_folder_are_told_apart)
{
    static const char *const wrong[] = {"",
                                        "list abc",
                                        "show",
                                        "retry",
                                        "retry --all abc",
                                        "drop a b",
                                        "show x --all",
                                        "list --all",
                                        "retry --all --json",
                                        "move x",
                                        "list --config x",
                                        "show x --state failed"};
    cot_store *store = open_new();
    char path[96];
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (queue(wrong[i]) != 2) CHECK_FAIL_("queue %s: %s", wrong[i], out);
        CHECK_HAS(out, "See: stepcot queue --help");
    }
    CHECK_NUMBER(queue("--help"), 0);
    CHECK_HAS(out, "Exit codes:");
    snprintf(path, sizeof path, "%s/db", folder);
    cot_store_close(store);
    CHECK(unlink(path) == 0);
    CHECK_NUMBER(queue("list"), 5);
    CHECK_HAS(out, "no store in");
    CHECK(access(path, F_OK) != 0);
    close_and_remove(NULL);
}

CHECK_MAIN
