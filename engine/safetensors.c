/* Reader and writer of safetensors.h. The header is hostile until checked: its length, the number of values, every
 * name, type, shape and offset; data must tile the data area without overlap or hole, as the format demands.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/safetensors.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LENGTH_BYTES = 8, HEADER_MAX = 16 << 20, HEADER_VALUES_MAX = 1 << 20 };

struct safetensors {
    cot_blob bytes;
    void *map; /* NULL when the bytes are borrowed */
    cJSON *header;
    size_t n;
    tensor *tensors; /* in order of name; names live in header */
};

static const struct {
    const char *name;
    size_t bytes;
} types[] = {[TENSOR_F32] = {"F32", 4},
             [TENSOR_F16] = {"F16", 2},
             [TENSOR_BF16] = {"BF16", 2},
             [TENSOR_I64] = {"I64", 8},
             [TENSOR_BOOL] = {"BOOL", 1}};

const char *tensor_type_name(tensor_type type)
{
    return types[type].name;
}

void tensor_shape_text(char *text, size_t size, const size_t *shape, size_t rank)
{
    size_t at = 0;
    for (size_t i = 0; i <= rank && at < size; i++) {
        const int n = i < rank ? snprintf(text + at, size - at, "%s%zu", i ? "," : "[", shape[i])
                               : snprintf(text + at, size - at, "%s", rank ? "]" : "[]");
        at += n > 0 ? (size_t)n : 0;
    }
}

/* ---- header ---- */
/* A JSON number that is a size: whole, not negative, exact in a double. */
static bool size_of_json(size_t *out, const cJSON *json)
{
    if (!cJSON_IsNumber(json)) return false;
    const double v = json->valuedouble;
    if (!(v >= 0 && v <= 9007199254740992.0) || v != (double)(uint64_t)v) return false;
    *out = (size_t)v;
    return true;
}

static bool type_of_json(tensor_type *out, const cJSON *json)
{
    for (size_t i = 0; cJSON_IsString(json) && i < sizeof types / sizeof *types; i++)
        if (!strcmp(types[i].name, json->valuestring)) {
            *out = (tensor_type)i;
            return true;
        }
    return false;
}

static cot_status shape_of_json(tensor *t, const cJSON *json, const char *where, cot_error *err)
{
    if (!cJSON_IsArray(json))
        return cot_fail(err, COT_E_MODEL, "%s: tensor %s has no shape: write the file again", where, t->name);
    t->count = 1;
    const cJSON *dim;
    cJSON_ArrayForEach(dim, json)
    {
        size_t d;
        if (t->rank == TENSOR_RANK_MAX)
            return cot_fail(err, COT_E_MODEL, "%s: tensor %s has more than %d dimensions", where, t->name,
                            TENSOR_RANK_MAX);
        if (!size_of_json(&d, dim) || !cot_mul(&t->count, t->count, d))
            return cot_fail(err, COT_E_MODEL, "%s: the shape of tensor %s is not a list of sizes", where, t->name);
        t->shape[t->rank++] = d;
    }
    return COT_OK;
}

static cot_status offsets_of_json(tensor *t, const cJSON *json, cot_blob data, const char *where, cot_error *err)
{
    size_t begin, end;
    if (cJSON_GetArraySize(json) != 2 || !size_of_json(&begin, cJSON_GetArrayItem(json, 0)) ||
        !size_of_json(&end, cJSON_GetArrayItem(json, 1)) || begin > end)
        return cot_fail(err, COT_E_MODEL, "%s: the data_offsets of tensor %s are not [begin, end]", where, t->name);
    if (end > data.size)
        return cot_fail(err, COT_E_MODEL,
                        "%s: tensor %s ends at byte %zu of the data, but there are %zu: the file is cut", where,
                        t->name, end, data.size);
    if (!cot_mul(&t->bytes, t->count, types[t->type].bytes) || t->bytes != end - begin)
        return cot_fail(err, COT_E_MODEL, "%s: tensor %s has %zu bytes of data, its shape and type need %zu", where,
                        t->name, end - begin, t->bytes);
    t->data = data.data + begin;
    return COT_OK;
}

static cot_status tensor_of_json(tensor *t, const cJSON *json, cot_blob data, const char *where, cot_error *err)
{
    cot_status status;
    t->name = json->string;
    if (!t->name[0] || strlen(t->name) >= TENSOR_NAME_MAX)
        return cot_fail(err, COT_E_MODEL, "%s: a tensor's name is empty or longer than %d bytes", where,
                        TENSOR_NAME_MAX - 1);
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(json, "dtype");
    if (!type_of_json(&t->type, type))
        return cot_fail(err, COT_E_MODEL, "%s: tensor %s has type %.16s; F32, F16, BF16, I64 and BOOL are read", where,
                        t->name, cJSON_IsString(type) ? type->valuestring : "(none)");
    COT_TRY(shape_of_json(t, cJSON_GetObjectItemCaseSensitive(json, "shape"), where, err));
    COT_TRY(offsets_of_json(t, cJSON_GetObjectItemCaseSensitive(json, "data_offsets"), data, where, err));
done:
    return status;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const tensor *)a)->name, ((const tensor *)b)->name);
}

static int by_place(const void *a, const void *b)
{
    const tensor *x = a, *y = b;
    if (x->data != y->data) return x->data < y->data ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

/* The data area must be covered exactly once: what no tensor names, or two do, is damage or a hiding place. */
static cot_status check_tiling(safetensors *file, cot_blob data, const char *where, cot_error *err)
{
    const unsigned char *at = data.data;
    if (file->n) qsort(file->tensors, file->n, sizeof *file->tensors, by_place);
    for (size_t i = 0; i < file->n; at = file->tensors[i].data + file->tensors[i].bytes, i++)
        if (file->tensors[i].data != at)
            return cot_fail(err, COT_E_MODEL, "%s: the data of tensor %s %s", where, file->tensors[i].name,
                            file->tensors[i].data < at ? "overlaps that of another" : "leaves a hole before it");
    if (at != data.data + data.size)
        return cot_fail(err, COT_E_MODEL, "%s: %zu bytes behind the last tensor belong to none", where,
                        (size_t)(data.data + data.size - at));
    if (file->n) qsort(file->tensors, file->n, sizeof *file->tensors, by_name);
    for (size_t i = 1; i < file->n; i++)
        if (!strcmp(file->tensors[i - 1].name, file->tensors[i].name))
            return cot_fail(err, COT_E_MODEL, "%s: tensor %s is there twice", where, file->tensors[i].name);
    return COT_OK;
}

/* cJSON gets a NUL-terminated copy (its length-bounded entry reads past the end in 1.7.15), and only when the number
 * of values cannot exhaust memory. */
static cot_status parse_header(cJSON **out, cot_blob text, const char *where, cot_error *err)
{
    size_t values = 1;
    for (size_t i = 0; i < text.size; i++) values += text.data[i] == ',' || text.data[i] == '[' || text.data[i] == '{';
    if (values > HEADER_VALUES_MAX)
        return cot_fail(err, COT_E_MODEL, "%s: the header has more than %d values", where, HEADER_VALUES_MAX);
    char *copy = malloc(text.size + 1);
    if (!copy) return cot_fail(err, COT_E_MEMORY, "%s: no memory for the header", where);
    memcpy(copy, text.data, text.size);
    copy[text.size] = 0;
    const bool whole = !memchr(copy, 0, text.size);
    *out = whole ? cJSON_ParseWithOpts(copy, NULL, true) : NULL;
    free(copy);
    if (!cJSON_IsObject(*out))
        return cot_fail(err, COT_E_MODEL, "%s: the header is not a JSON object: not a safetensors file, or damaged",
                        where);
    return COT_OK;
}

static cot_status read_tensors(safetensors *file, cot_blob data, const char *where, cot_error *err)
{
    const cJSON *entry;
    size_t most = 0;
    cJSON_ArrayForEach(entry, file->header) most++;
    file->tensors = calloc(most + 1, sizeof *file->tensors);
    if (!file->tensors) return cot_fail(err, COT_E_MEMORY, "%s: no memory for %zu tensors", where, most);
    cJSON_ArrayForEach(entry, file->header)
    {
        if (!strcmp(entry->string, "__metadata__")) continue;
        const cot_status status = tensor_of_json(&file->tensors[file->n], entry, data, where, err);
        if (status != COT_OK) return status;
        file->n++;
    }
    return check_tiling(file, data, where, err);
}

cot_status safetensors_parse(safetensors **out, cot_blob bytes, const char *where, cot_error *err)
{
    cot_status status;
    *out = NULL;
    safetensors *file = calloc(1, sizeof *file);
    if (!file) return cot_fail(err, COT_E_MEMORY, "%s: no memory", where);
    file->bytes = bytes;
    if (bytes.size < LENGTH_BYTES) {
        status = cot_fail(err, COT_E_MODEL, "%s: %zu bytes are too few for a safetensors file", where, bytes.size);
        goto done;
    }
    uint64_t length = 0;
    for (size_t i = 0; i < LENGTH_BYTES; i++) length |= (uint64_t)bytes.data[i] << (8 * i);
    if (length > HEADER_MAX || length > bytes.size - LENGTH_BYTES) {
        status = cot_fail(err, COT_E_MODEL,
                          "%s: the header is said to have %llu bytes, the file has %zu and at most %d are read: "
                          "not a safetensors file, or cut",
                          where, (unsigned long long)length, bytes.size, HEADER_MAX);
        goto done;
    }
    const cot_blob text = {bytes.data + LENGTH_BYTES, (size_t)length};
    const cot_blob data = {text.data + text.size, bytes.size - LENGTH_BYTES - text.size};
    COT_TRY(parse_header(&file->header, text, where, err));
    COT_TRY(read_tensors(file, data, where, err));
    *out = file;
    file = NULL;
done:
    safetensors_close(file);
    return status;
}

static cot_status map_file(cot_blob *out, const char *path, cot_error *err)
{
    cot_status status = COT_OK;
    struct stat st;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return cot_fail(err, COT_E_MODEL, "open %s: %s", path, strerror(errno));
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size < LENGTH_BYTES) {
        status = cot_fail(err, COT_E_MODEL, "%s is not a regular file of at least %d bytes", path, LENGTH_BYTES);
        goto done;
    }
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED) {
        status = cot_fail(err, COT_E_IO, "map %s: %s", path, strerror(errno));
        goto done;
    }
    *out = (cot_blob){map, (size_t)st.st_size};
done:
    close(fd);
    return status;
}

cot_status safetensors_open(safetensors **out, const char *path, cot_error *err)
{
    cot_blob bytes = {NULL, 0};
    *out = NULL;
    cot_status status = map_file(&bytes, path, err);
    if (status != COT_OK) return status;
    status = safetensors_parse(out, bytes, path, err);
    if (status == COT_OK)
        (*out)->map = (void *)(uintptr_t)bytes.data;
    else
        munmap((void *)(uintptr_t)bytes.data, bytes.size);
    return status;
}

void safetensors_close(safetensors *file)
{
    if (!file) return;
    if (file->map) munmap(file->map, file->bytes.size);
    cJSON_Delete(file->header);
    free(file->tensors);
    free(file);
}

size_t safetensors_count(const safetensors *file)
{
    return file->n;
}
const tensor *safetensors_at(const safetensors *file, size_t i)
{
    return &file->tensors[i];
}
cot_blob safetensors_bytes(const safetensors *file)
{
    return file->bytes;
}

void safetensors_release(const safetensors *file, const tensor *t)
{
    if (!file->map) return; /* borrowed bytes may not come back */
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), map = (uintptr_t)file->map;
    const uintptr_t begin = t ? (uintptr_t)t->data : map, end = t ? begin + t->bytes : map + file->bytes.size;
    const uintptr_t from = begin - begin % page;      /* the map begins at a page */
    madvise((void *)from, end - from, MADV_DONTNEED); /* a private, unchanged map: read again from the file */
}

const tensor *safetensors_find(const safetensors *file, const char *name)
{
    const tensor key = {.name = name};
    return file->n ? bsearch(&key, file->tensors, file->n, sizeof *file->tensors, by_name) : NULL;
}

/* ---- values ---- */
static float float_of_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static float float_of_half(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = (h >> 10) & 31u, fraction = h & 1023u;
    if (exponent == 31) return float_of_bits(sign | 0x7f800000u | fraction << 13);
    if (exponent) return float_of_bits(sign | (exponent + 112u) << 23 | fraction << 13);
    const float tiny = (float)fraction * 0x1p-24f; /* subnormal or zero */
    return sign ? -tiny : tiny;
}

bool tensor_is_float(const tensor *t)
{
    return t->type == TENSOR_F32 || t->type == TENSOR_F16 || t->type == TENSOR_BF16;
}

bool tensor_floats(float *to, const tensor *t)
{
    if (!tensor_is_float(t)) return false;
    if (t->type == TENSOR_F32) {
        memcpy(to, t->data, t->bytes);
        return true;
    }
    for (size_t i = 0; i < t->count; i++) {
        const uint16_t v = (uint16_t)(t->data[2 * i] | t->data[2 * i + 1] << 8);
        to[i] = t->type == TENSOR_F16 ? float_of_half(v) : float_of_bits((uint32_t)v << 16);
    }
    return true;
}

/* ---- writer ---- */
static bool add_entry(cJSON *header, const tensor *t, size_t begin, size_t end)
{
    cJSON *entry = cJSON_AddObjectToObject(header, t->name), *shape, *offsets;
    if (!entry || !cJSON_AddStringToObject(entry, "dtype", types[t->type].name)) return false;
    if (!(shape = cJSON_AddArrayToObject(entry, "shape"))) return false;
    for (size_t i = 0; i < t->rank; i++)
        if (!cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)t->shape[i]))) return false;
    offsets = cJSON_AddArrayToObject(entry, "data_offsets");
    return offsets && cJSON_AddItemToArray(offsets, cJSON_CreateNumber((double)begin)) &&
           cJSON_AddItemToArray(offsets, cJSON_CreateNumber((double)end));
}

/* The header as text; *data = bytes of data it describes. NULL when memory or sizes run out. */
static char *header_text(size_t *data, const tensor *tensors, size_t n)
{
    char *text = NULL;
    cJSON *header = cJSON_CreateObject();
    *data = 0;
    for (size_t i = 0; header && i < n; i++) {
        const size_t begin = *data;
        if (!cot_add(data, begin, tensors[i].bytes) || !add_entry(header, &tensors[i], begin, *data)) goto done;
    }
    if (header) text = cJSON_PrintUnformatted(header);
done:
    cJSON_Delete(header);
    return text;
}

cot_status safetensors_build(unsigned char **out, size_t *size, const tensor *tensors, size_t n, cot_error *err)
{
    *out = NULL;
    size_t data = 0, total = 0;
    unsigned char *bytes = NULL;
    char *text = header_text(&data, tensors, n);
    const size_t used = text ? strlen(text) : 0, header = (used + 7) & ~(size_t)7; /* padded: data starts aligned */
    if (text && cot_add(&total, data, header + LENGTH_BYTES)) bytes = malloc(total);
    if (!bytes) {
        cJSON_free(text);
        return cot_fail(err, COT_E_MEMORY, "safetensors: no memory for %zu tensors", n);
    }
    for (size_t i = 0; i < LENGTH_BYTES; i++) bytes[i] = (unsigned char)(header >> (8 * i));
    memcpy(bytes + LENGTH_BYTES, text, used);
    memset(bytes + LENGTH_BYTES + used, ' ', header - used);
    unsigned char *at = bytes + LENGTH_BYTES + header;
    for (size_t i = 0; i < n; at += tensors[i].bytes, i++)
        if (tensors[i].bytes) memcpy(at, tensors[i].data, tensors[i].bytes);
    cJSON_free(text);
    *out = bytes;
    *size = total;
    return COT_OK;
}
