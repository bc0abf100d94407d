/* links: dicom config */
/* Prints, as one JSON line per file, what the decoder makes of it: size, digest of the stored values (before any look-up
 * table), how they became grey, facts and the gates' verdict. Two files with the same picture have the same digest:
 * `tool_decode [--grey FOLDER] FILE…`; --grey also writes FOLDER/<n>.f32, the grey floats, to compare with other
 * decoders. Exit 1 when a file cannot be decoded. SPDX-License-Identifier: Apache-2.0 */
#include "dicom/dicom.h"
#include "dicom/frame.h"

#include <stdlib.h>
#include <string.h>

static void print_text(const char *name, const char *text)
{
    printf(",\"%s\":\"", name);
    for (const char *p = text; *p; p++) {
        if (*p == '"' || *p == '\\') putchar('\\');
        putchar(*p);
    }
    putchar('"');
}

static void print_facts(const cot_dicom_facts *f)
{
    print_text("transfer_syntax", f->transfer_syntax);
    print_text("modality", f->modality);
    print_text("body_part", f->body_part);
    print_text("view_position", f->view_position);
    print_text("orientation_row", f->orientation_row);
    print_text("photometric", f->photometric);
    print_text("rendering", f->rendering);
    printf(",\"samples\":%zu,\"allocated\":%zu,\"stored\":%zu,\"signed\":%s,\"frames\":%zu,\"spacing\":[%g,%g]",
           f->samples, f->bits_allocated, f->bits_stored, f->is_signed ? "true" : "false", f->frames, f->spacing_row,
           f->spacing_col);
}

static void print_stored(const frame_stored *frame)
{
    char hex[65];
    cot_sha256_of(hex, frame->codes, frame->rows * frame->cols * sizeof *frame->codes);
    printf(",\"rows\":%zu,\"cols\":%zu,\"stored_sha256\":\"%s\"", frame->rows, frame->cols, hex);
}

static cot_status write_grey(const cot_dicom_image *image, const char *folder, int number, cot_error *err)
{
    char path[1100];
    size_t rows, cols;
    const float *grey = cot_dicom_image_pixels(image, &rows, &cols);
    snprintf(path, sizeof path, "%s/%d.f32", folder, number);
    return cot_file_write_durable(path, grey, rows * cols * sizeof *grey, err);
}

static cot_status show(const char *path, const char *folder, int number, cot_error *err)
{
    cot_status status;
    frame_stored frame = {0};
    cot_dicom_image *image = NULL;
    char id[33];
    size_t rows, cols;
    COT_TRY(frame_decode(&frame, path, err));
    COT_TRY(cot_dicom_image_create(&image, path, err));
    print_stored(&frame);
    print_facts(cot_dicom_image_facts(image));
    if (folder) COT_TRY(write_grey(image, folder, number, err));
    cot_status gate = cot_gate_facts(cot_dicom_image_facts(image), id, err);
    if (gate == COT_OK) {
        const float *grey = cot_dicom_image_pixels(image, &rows, &cols);
        gate = cot_gate_pixels(cot_dicom_image_facts(image), grey, rows, cols, id, err);
    }
    print_text("gate", gate == COT_OK ? "pass" : id);
    if (gate != COT_OK) print_text("reason", err->text);
done:
    cot_dicom_image_destroy(image);
    frame_stored_fini(&frame);
    return status;
}

int main(int argc, char **argv)
{
    const char *folder = argc > 2 && !strcmp(argv[1], "--grey") ? argv[2] : NULL;
    int failed = 0;
    cot_dicom_init();
    for (int i = folder ? 3 : 1; i < argc; i++) {
        cot_error err = COT_ERROR_INIT;
        const char *slash = strrchr(argv[i], '/');
        printf("{\"number\":%d", i - (folder ? 2 : 0));
        print_text("file", slash ? slash + 1 : argv[i]);
        if (show(argv[i], folder, i - (folder ? 2 : 0), &err) != COT_OK) {
            print_text("status", cot_status_name(err.status));
            print_text("error", err.text);
            failed = 1;
        }
        puts("}");
    }
    return failed;
}
