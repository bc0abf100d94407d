/* The files of `stepcot infer` (infer.h). SPDX-License-Identifier: Apache-2.0 */
#include "plugin/infer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEEPEST = 16, FILES_MOST = 1000000 };

static cot_status add(infer_files *files, const char *path, cot_error *err)
{
    if (files->n == FILES_MOST)
        return cot_fail(err, COT_E_LIMIT, "more than %d files. Name smaller folders", FILES_MOST);
    if (files->n == files->room) {
        const size_t room = files->room ? 2 * files->room : 64;
        char **more = realloc(files->paths, room * sizeof *more);
        if (!more) return cot_fail(err, COT_E_MEMORY, "no memory for the list of files");
        files->paths = more;
        files->room = room;
    }
    char *copy = strdup(path);
    if (!copy) return cot_fail(err, COT_E_MEMORY, "no memory for the list of files");
    files->paths[files->n++] = copy;
    return COT_OK;
}

/* DICOM Part 10, PNG or JPEG by its first bytes; a DICOMDIR is an index, not an image. */
static bool is_image(const char *path, const char *name)
{
    unsigned char first[132] = {0};
    if (!strcmp(name, "DICOMDIR")) return false;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0) return true; /* named in the result, with the reason */
    const ssize_t n = read(fd, first, sizeof first);
    close(fd);
    return n >= 16 && ((n == (ssize_t)sizeof first && !memcmp(first + 128, "DICM", 4)) || cot_picture_is(first));
}

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Said at once and counted; the others are read all the same. */
static cot_status leave_out(infer_files *files, const char *path, const char *why)
{
    cot_error gone;
    cot_fail(&gone, COT_E_IO, "%.500s: %s", path, why);
    cli_failure("infer", &gone);
    files->failed++;
    return COT_OK;
}

static cot_status walk(infer_files *files, const char *folder, unsigned depth, cot_error *err);

static cot_status take_entry(infer_files *files, const char *folder, const char *name, unsigned depth, cot_error *err)
{
    char path[4096];
    struct stat st;
    const size_t n = strlen(folder);
    if (snprintf(path, sizeof path, "%s%s%s", folder, n && folder[n - 1] == '/' ? "" : "/", name) >= (int)sizeof path)
        return leave_out(files, folder, "a path in it is longer than 4095 bytes");
    if (lstat(path, &st) != 0) return COT_OK; /* gone since it was listed */
    if (S_ISDIR(st.st_mode)) return walk(files, path, depth + 1, err);
    if (S_ISREG(st.st_mode) && is_image(path, name)) return add(files, path, err);
    files->skipped += S_ISREG(st.st_mode);
    return COT_OK;
}

static cot_status walk(infer_files *files, const char *folder, unsigned depth, cot_error *err)
{
    cot_status status = COT_OK;
    struct dirent **entries = NULL;
    if (depth > DEEPEST) return leave_out(files, folder, "nested deeper than 16 folders. Name it by itself");
    const int n = scandir(folder, &entries, visible, by_bytes);
    if (n < 0) return leave_out(files, folder, strerror(errno));
    for (int i = 0; i < n; i++) {
        if (status == COT_OK) status = take_entry(files, folder, entries[i]->d_name, depth, err);
        free(entries[i]);
    }
    free(entries);
    return status;
}

cot_status infer_files_collect(infer_files *files, const char *const *words, size_t n, cot_error *err)
{
    cot_status status = COT_OK;
    for (size_t i = 0; i < n; i++) {
        struct stat st;
        if (stat(words[i], &st) != 0) {
            COT_TRY(leave_out(files, words[i], strerror(errno)));
        } else if (S_ISDIR(st.st_mode)) {
            COT_TRY(walk(files, words[i], 0, err));
        } else {
            COT_TRY(add(files, words[i], err)); /* what was named is tried, whatever it is */
        }
    }
done:
    return status;
}

void infer_files_fini(infer_files *files)
{
    for (size_t i = 0; i < files->n; i++) free(files->paths[i]);
    free(files->paths);
    memset(files, 0, sizeof *files);
}
