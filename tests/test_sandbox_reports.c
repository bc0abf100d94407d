/* links: plugin dicom config
 * Many reports at once from the sandbox: what is on disk when it says so, and how often the disk is asked.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/sandbox_parts.h"
#include "tests/check.h"
#include "tests/report_cases.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static char folder[64], image[96];
static cot_steps *steps;
static cot_error err;

/* Seen by this program and by the sandbox's processes. */
typedef struct disk {
    atomic_int files, folders, children;
    atomic_bool folder_fails;
} disk;
static disk *asked;

/* In place of libc's: counts, then does it. */
int fsync(int fd)
{
    struct stat st;
    const bool of_folder = fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
    if (asked) (of_folder ? &asked->folders : &asked->files)[0]++;
    if (asked && of_folder && asked->folder_fails) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

static void count_child(const char *path)
{
    (void)path;
    asked->children++;
}

static cot_sandbox *open_sandbox(unsigned parallel)
{
    cot_sandbox *sandbox = NULL;
    const cot_sandbox_limits limits = {20, 512, parallel};
    sandbox_before_work = count_child;
    CHECK_OK(cot_sandbox_create(&sandbox, &limits, steps, &err));
    sandbox_before_work = NULL;
    asked->files = asked->folders = asked->children = 0;
    asked->folder_fails = false;
    return sandbox;
}

enum { ORDERS = 6 };
typedef struct orders {
    char path[ORDERS][128];
    cot_report_order of[ORDERS];
} orders;

/* Readings and measurements in turn about one image; the last two in a folder of their own. */
static void order_all(orders *all, const cot_chain *chain)
{
    char other[96];
    snprintf(other, sizeof other, "%s/other", folder);
    mkdir(other, 0700);
    for (size_t i = 0; i < ORDERS; i++) {
        snprintf(all->path[i], sizeof all->path[i], "%s/%zu.dcm", i < 4 ? folder : other, i);
        unlink(all->path[i]);
        all->of[i] = (cot_report_order){.path = all->path[i],
                                        .source = image,
                                        .dataset_sha256 = CASE_DIGEST,
                                        .chain = chain,
                                        .now_utc = CASE_NOW,
                                        .options = i % 2 ? case_measurement() : case_options()};
    }
}

TEST(a_folder_is_synced_once_for_all_its_reports)
{
    orders all;
    cot_chain *chain = case_chain(steps, true);
    cot_sandbox *sandbox = open_sandbox(2);
    REQUIRE(sandbox);
    order_all(&all, chain);
    CHECK_OK(cot_sandbox_reports(sandbox, all.of, ORDERS, &err));
    for (size_t i = 0; i < ORDERS; i++) {
        CHECK_TEXT(all.of[i].error.text, "");
        CHECK(access(all.path[i], R_OK) == 0);
    }
    CHECK_NUMBER(asked->files, ORDERS);
    CHECK_NUMBER(asked->folders, 2);
    cot_sandbox_destroy(sandbox);
    cot_chain_destroy(chain);
}

TEST(reports_whose_folder_cannot_be_synced_are_not_written)
{
    orders all;
    cot_chain *chain = case_chain(steps, true);
    cot_sandbox *sandbox = open_sandbox(2);
    REQUIRE(sandbox);
    order_all(&all, chain);
    asked->folder_fails = true;
    CHECK_OK(cot_sandbox_reports(sandbox, all.of, ORDERS, &err));
    for (size_t i = 0; i < ORDERS; i++) {
        CHECK_NUMBER(all.of[i].error.status, COT_E_IO);
        CHECK_HAS(all.of[i].error.text, "sync folder");
    }
    cot_sandbox_destroy(sandbox);
    cot_chain_destroy(chain);
}

__attribute__((constructor(101))) static void prepare(void)
{
    snprintf(folder, sizeof folder, "/tmp/test_sandbox_reports.XXXXXX");
    if (!mkdtemp(folder) || cot_steps_load(&steps, NULL, &err) != COT_OK) abort();
    asked = mmap(NULL, sizeof *asked, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (asked == MAP_FAILED) abort();
    snprintf(image, sizeof image, "%s/image.dcm", folder);
    const case_image about = case_image_default();
    case_image_write(image, &about);
    cot_dicom_init();
}
__attribute__((destructor)) static void clean(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command) != 0) fprintf(stderr, "%s stays\n", folder);
    cot_steps_destroy(steps);
}
CHECK_MAIN
