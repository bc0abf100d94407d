/* cot_dicom_image: a guarded file becomes grey floats and facts. Reading order: decode.cc (stored values), grey_read.cc
 * and voi.c (stored values -> grey), then here one table look-up per pixel.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dicom/pixels.h"

#include <memory>
#include <new>
#include <vector>

struct cot_dicom_image {
    size_t rows, cols;
    cot_dicom_facts facts;
    std::unique_ptr<float[]> pixels;
};

namespace
{
struct owned_frame { /* frees on every way out */
    frame_stored frame{};
    owned_frame() = default;
    owned_frame(const owned_frame &) = delete;
    owned_frame &operator=(const owned_frame &) = delete;
    ~owned_frame() { frame_stored_fini(&frame); }
};
struct owned_pipeline {
    voi_pipeline p = VOI_PIPELINE_INIT;
    owned_pipeline() = default;
    owned_pipeline(const owned_pipeline &) = delete;
    owned_pipeline &operator=(const owned_pipeline &) = delete;
    ~owned_pipeline()
    {
        voi_lut_fini(&p.modality);
        voi_lut_fini(&p.table);
    }
};
} // namespace

static cot_status render(cot_dicom_image *image, DcmDataset &data, const frame_stored &frame, cot_error *err)
{
    cot_status status;
    owned_pipeline pipeline;
    std::vector<size_t> counts(VOI_CODES, 0);
    std::vector<float> table(VOI_CODES, 0.0f);
    const size_t n = frame.rows * frame.cols;
    COT_TRY(pipeline_read(&pipeline.p, data, frame, err));
    for (size_t i = 0; i < n; i++) counts[frame.codes[i]]++;
    COT_TRY(voi_table(table.data(), image->facts.rendering, sizeof image->facts.rendering, &pipeline.p, counts.data(),
                      err));
    image->facts.range_from_pixels = voi_range_is_from_pixels(&pipeline.p);
    image->rows = frame.rows;
    image->cols = frame.cols;
    image->pixels.reset(new float[n]);
    for (size_t i = 0; i < n; i++) image->pixels[i] = table[frame.codes[i]];
done:
    return status;
}

static cot_status create(cot_dicom_image **out, const char *path, cot_error *err)
{
    cot_status status;
    DcmFileFormat file;
    owned_frame stored;
    std::unique_ptr<cot_dicom_image> image(new cot_dicom_image());
    COT_TRY(dataset_load(file, path, err));
    COT_TRY(facts_from(&image->facts, *file.getDataset(), err));
    COT_TRY(dataset_decode(&stored.frame, *file.getDataset(), err));
    COT_TRY(render(image.get(), *file.getDataset(), stored.frame, err));
    *out = image.release();
done:
    return status;
}

extern "C" cot_status cot_dicom_image_create(cot_dicom_image **out, const char *path, cot_error *err)
try {
    *out = nullptr;
    return create(out, path, err);
} catch (const std::bad_alloc &) {
    return cot_fail(err, COT_E_MEMORY, "decode the image: no memory");
} catch (...) {
    return cot_fail(err, COT_E_BUG, "decode the image: C++ exception");
}

extern "C" void cot_dicom_image_destroy(cot_dicom_image *image)
{
    delete image;
}

extern "C" const float *cot_dicom_image_pixels(const cot_dicom_image *image, size_t *rows, size_t *cols)
{
    *rows = image->rows;
    *cols = image->cols;
    return image->pixels.get();
}

extern "C" const cot_dicom_facts *cot_dicom_image_facts(const cot_dicom_image *image)
{
    return &image->facts;
}
