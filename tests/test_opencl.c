/* links: opencl config
 * Devices, memory and the program cache: choice and its errors, arenas, a damaged cache entry, the ledger.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/check.h"
#include "tests/reference.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

static cot_device *open_device(const char *cache_dir, cot_gemm_choice gemm)
{
    cot_error err = COT_ERROR_INIT;
    cot_device *device = NULL;
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    options.cache_dir = cache_dir;
    options.gemm = gemm;
    CHECK_OK(cot_device_open(&device, &options, &err));
    return device;
}

/* ---- devices ---- */
TEST(the_list_of_devices_says_what_each_is)
{
    cot_error err = COT_ERROR_INIT;
    cot_device_info *infos = NULL;
    size_t n = 0;
    CHECK_OK(cot_devices_list(&infos, &n, &err));
    REQUIRE(n > 0);
    for (size_t i = 0; i < n; i++) {
        CHECK(infos[i].platform[0] && infos[i].name[0] && infos[i].version[0]);
        CHECK(infos[i].usable == (infos[i].why_not[0] == 0));
        CHECK(infos[i].compute_units > 0);
        CHECK(infos[i].type != COT_DEVICE_ANY);
    }
    free(infos);
}

TEST(a_device_opens_by_nothing_by_type_and_by_part_of_its_name)
{
    cot_error err = COT_ERROR_INIT;
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    cot_device *device = NULL;
    char match[16];
    options.gemm = COT_GEMM_TILE;
    REQUIRE_OK(cot_device_open(&device, &options, &err));
    const cot_device_info about = *cot_device_about(device);
    cot_device_close(device);
    snprintf(match, sizeof match, "%.10s", about.platform);
    for (char *c = match; *c; c++) *c = (char)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c); /* case does not matter */
    const char *ways[] = {"", match, about.type == COT_DEVICE_GPU ? "gpu" : "CPU"};
    for (size_t i = 0; i < 3; i++) {
        options.match = ways[i];
        CHECK_OK(cot_device_open(&device, &options, &err));
        REQUIRE(device);
        CHECK_NUMBER(cot_device_about(device)->type, about.type);
        CHECK_OK(cot_device_finish(device, &err));
        cot_device_close(device);
    }
}

TEST(no_matching_device_names_those_that_are_there)
{
    cot_error err = COT_ERROR_INIT;
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    cot_device_info *infos = NULL;
    cot_device *device = NULL;
    size_t n = 0;
    options.match = "no such thing";
    CHECK_OK(cot_devices_list(&infos, &n, &err));
    REQUIRE(n > 0);
    CHECK_FAILS(cot_device_open(&device, &options, &err), COT_E_DEVICE, "no such thing");
    CHECK_HAS(err.text, infos[0].name);
    CHECK(device == NULL);
    free(infos);
}

/* ---- memory ---- */
TEST(buffers_start_with_zeros_and_keep_to_their_bounds)
{
    cot_error err = COT_ERROR_INIT;
    cot_device *device = open_device(NULL, COT_GEMM_TILE);
    REQUIRE(device);
    cot_buffer *b = NULL;
    float x[10], zero[10] = {0}, in[3] = {1, 2, 3};
    REQUIRE_OK(cot_buffer_create(&b, device, 10, &err));
    CHECK_NUMBER(cot_buffer_floats(b), 10);
    CHECK_OK(cot_buffer_read(b, 0, x, 10, &err));
    CHECK_FLOATS(x, zero, 10, 0);
    CHECK_OK(cot_buffer_write(b, 7, in, 3, &err));
    CHECK_OK(cot_buffer_read(b, 6, x, 4, &err));
    CHECK(x[0] == 0 && x[1] == 1 && x[2] == 2 && x[3] == 3);
    CHECK_FAILS(cot_buffer_write(b, 8, in, 3, &err), COT_E_BUG, "write to device");
    CHECK_FAILS(cot_buffer_read(b, SIZE_MAX, x, 3, &err), COT_E_BUG, "read from device");
    CHECK_OK(cot_buffer_zero(b, &err));
    CHECK_OK(cot_buffer_read(b, 0, x, 10, &err));
    CHECK_FLOATS(x, zero, 10, 0);
    CHECK_NUMBER(cot_device_ledger_read(device).bytes, 40);
    cot_buffer_destroy(b);
    cot_buffer_destroy(NULL);
    CHECK_NUMBER(cot_device_ledger_read(device).bytes, 0);
    CHECK_FAILS(cot_buffer_create(&b, device, SIZE_MAX / 2, &err), COT_E_LIMIT, "does not fit");
    CHECK_FAILS(cot_buffer_create(&b, device, SIZE_MAX / 64, &err), COT_E_LIMIT, "lower the batch");
    CHECK_NUMBER(cot_device_ledger_read(device).buffers, 0);
    cot_device_close(device);
}

TEST(pieces_of_an_arena_do_not_overlap)
{
    static const size_t sizes[] = {1, 1000, 7, 33, 4096, 2};
    cot_error err = COT_ERROR_INIT;
    cot_device *device = open_device(NULL, COT_GEMM_TILE);
    REQUIRE(device);
    cot_arena *arena = NULL;
    cot_buffer *pieces[6], *late = NULL;
    float x[4096], got[4096];
    REQUIRE_OK(cot_arena_create(&arena, device, &err));
    for (size_t i = 0; i < 6; i++) REQUIRE_OK(cot_arena_reserve(arena, &pieces[i], sizes[i], &err));
    CHECK_FAILS(cot_buffer_write(pieces[0], 0, x, 1, &err), COT_E_BUG, "not committed");
    CHECK_FAILS(cot_arena_reserve(arena, &late, SIZE_MAX / 4, &err), COT_E_LIMIT, "arena");
    REQUIRE_OK(cot_arena_commit(arena, &err));
    CHECK_NUMBER(cot_device_ledger_read(device).buffers, 1);
    for (size_t i = 0; i < 6; i++) {
        ref_fill(x, sizes[i], (uint32_t)i);
        CHECK_OK(cot_buffer_write(pieces[i], 0, x, sizes[i], &err));
    }
    for (size_t i = 0; i < 6; i++) {
        ref_fill(x, sizes[i], (uint32_t)i);
        CHECK_OK(cot_buffer_read(pieces[i], 0, got, sizes[i], &err));
        CHECK_FLOATS(got, x, sizes[i], 0);
    }
    CHECK_FAILS(cot_arena_reserve(arena, &late, 1, &err), COT_E_BUG, "after commit");
    CHECK_FAILS(cot_arena_commit(arena, &err), COT_E_BUG, "twice");
    cot_arena_destroy(arena);
    cot_arena_destroy(NULL);
    CHECK_NUMBER(cot_device_ledger_read(device).bytes, 0);
    cot_device_close(device);
}

/* ---- program cache ---- */
typedef struct cache_dir {
    char path[64];
    size_t programs, choices;
    char last[400]; /* a program's file */
} cache_dir;

static void cache_look(cache_dir *c)
{
    c->programs = c->choices = 0;
    DIR *dir = opendir(c->path);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (strstr(e->d_name, ".gemm")) c->choices++;
        if (!strstr(e->d_name, ".clbin")) continue;
        c->programs++;
        snprintf(c->last, sizeof c->last, "%s/%s", c->path, e->d_name);
    }
    if (dir) closedir(dir);
}

static void cache_remove(cache_dir *c)
{
    DIR *dir = opendir(c->path);
    char path[400];
    for (struct dirent *e; dir && (e = readdir(dir));) {
        snprintf(path, sizeof path, "%s/%s", c->path, e->d_name);
        if (e->d_name[0] != '.') unlink(path);
    }
    if (dir) closedir(dir);
    rmdir(c->path);
}

static void overwrite(const char *path, long at, const char *bytes)
{
    FILE *file = fopen(path, "r+b");
    CHECK(file != NULL);
    if (!file) return;
    fseek(file, at, SEEK_SET);
    fputs(bytes, file);
    fclose(file);
}

static void check_still_computes(cot_device *device)
{
    cot_error err = COT_ERROR_INIT;
    cot_buffer *b = NULL;
    const float x[2] = {0, 0};
    float y[2] = {0};
    REQUIRE(device);
    CHECK_OK(cot_buffer_create(&b, device, 2, &err));
    CHECK_OK(cot_buffer_write(b, 0, x, 2, &err));
    const size_t launches = cot_device_ledger_read(device).launches;
    CHECK_OK(cot_softmax_forward(b, b, 1, 2, &err));
    CHECK_OK(cot_buffer_read(b, 0, y, 2, &err));
    CHECK_NEAR(y[0], 0.5, 1e-6);
    CHECK_NUMBER(cot_device_ledger_read(device).launches - launches, 1);
    cot_buffer_destroy(b);
    cot_device_close(device);
}

TEST(programs_are_kept_and_a_damaged_one_is_rebuilt)
{
    cache_dir cache = {"/tmp/test_opencl_XXXXXX", 0, 0, ""};
    REQUIRE(mkdtemp(cache.path));
    check_still_computes(open_device(cache.path, COT_GEMM_TILE));
    cache_look(&cache);
    const size_t programs = cache.programs;
    CHECK(programs > 5);
    check_still_computes(open_device(cache.path, COT_GEMM_TILE));
    cache_look(&cache);
    CHECK_NUMBER(cache.programs, programs);

    DIR *dir = opendir(cache.path); /* every entry damaged, each in another way */
    char path[400];
    size_t i = 0;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", cache.path, e->d_name);
        if (i % 3 == 0) overwrite(path, 200, "damaged");
        if (i % 3 == 1) CHECK(truncate(path, 70) == 0);
        if (i % 3 == 2) CHECK(truncate(path, 0) == 0);
        i++;
    }
    closedir(dir);
    CHECK_NUMBER(i, programs);
    check_still_computes(open_device(cache.path, COT_GEMM_TILE));
    struct stat st;
    cache_look(&cache);
    CHECK_NUMBER(cache.programs, programs);
    CHECK(stat(cache.last, &st) == 0 && st.st_size > 100);
    cache_remove(&cache);
}

TEST(a_binary_the_driver_refuses_is_rebuilt)
{
    cache_dir cache = {"/tmp/test_opencl_XXXXXX", 0, 0, ""};
    REQUIRE(mkdtemp(cache.path));
    check_still_computes(open_device(cache.path, COT_GEMM_TILE));
    cache_look(&cache);
    char hex[65], file[65 + 16];
    const char nonsense[] = "not a program at";
    cot_sha256_of(hex, nonsense, 16);
    memcpy(file, hex, 64);
    memcpy(file + 64, nonsense, 16);
    FILE *f = fopen(cache.last, "wb"); /* whole by its digest, and yet no binary */
    REQUIRE(f);
    fwrite(file, 1, 80, f);
    fclose(f);
    check_still_computes(open_device(cache.path, COT_GEMM_TILE));
    struct stat st;
    CHECK(stat(cache.last, &st) == 0 && st.st_size > 100);
    cache_remove(&cache);
}

TEST(a_cache_that_cannot_be_is_no_failure)
{
    check_still_computes(open_device("/proc/no/such/folder", COT_GEMM_TILE));
}

TEST(the_choice_of_gemm_is_measured_once_and_remembered)
{
    cache_dir cache = {"/tmp/test_opencl_XXXXXX", 0, 0, ""};
    REQUIRE(mkdtemp(cache.path));
    cot_device *device = open_device(cache.path, COT_GEMM_AUTO);
    REQUIRE(device);
    const cot_gemm_choice choice = cot_device_gemm(device);
    CHECK(choice == COT_GEMM_TILE || choice == COT_GEMM_CLBLAST);
    CHECK(cot_device_ledger_read(device).launches > 0);
    CHECK_NUMBER(cot_device_ledger_read(device).buffers, 0);
    cot_device_close(device);
    cache_look(&cache);
    CHECK_NUMBER(cache.choices, 1);
    device = open_device(cache.path, COT_GEMM_AUTO);
    REQUIRE(device);
    CHECK_NUMBER(cot_device_gemm(device), choice);
    CHECK_NUMBER(cot_device_ledger_read(device).launches, 0);
    cot_device_close(device);
    cache_remove(&cache);
}

static void count_progress(void *ctx, const char *what, unsigned done, unsigned all)
{
    unsigned *calls = ctx;
    CHECK(what && what[0]);
    CHECK_NUMBER(done, *calls);
    CHECK(done <= all);
    (*calls)++;
}

TEST(building_reports_its_progress)
{
    cot_error err = COT_ERROR_INIT;
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    cot_device *device = NULL;
    unsigned calls = 0;
    options.gemm = COT_GEMM_TILE;
    options.progress = count_progress;
    options.progress_ctx = &calls;
    REQUIRE_OK(cot_device_open(&device, &options, &err));
    CHECK(calls > 5);
    cot_device_close(device);
}

TEST(the_peak_is_a_plausible_number)
{
    cot_error err = COT_ERROR_INIT;
    cot_device *device = open_device(NULL, COT_GEMM_TILE);
    REQUIRE(device);
    double gflops = 0;
    CHECK_OK(cot_device_peak(device, 0.05, &gflops, &err));
    CHECK(gflops > 0.001 && gflops < 1e6);
    CHECK_NUMBER(cot_device_ledger_read(device).buffers, 0);
    cot_device_close(device);
}
CHECK_MAIN
