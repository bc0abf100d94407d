/* links: dicom config */
/* Every transfer syntax and pixel layout from one generated image, through DCMTK's command line tools and OpenJPEG's
 * encoder; then the images that must be refused, each with its reason. SPDX-License-Identifier: Apache-2.0 */
#include "dicom/dicom.h"
#include "dicom/frame.h"
#include "tests/check.h"
#include "tests/image_maker.h"

#include <openjpeg.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROWS 70
#define COLS 91 /* odd on purpose */
#define N    (ROWS * COLS)

__attribute__((constructor)) static void begin(void)
{
    cot_dicom_init();
}

/* ---- the generated image ---- */
static uint16_t smooth(size_t i, unsigned bits)
{
    const double x = (double)(i % COLS), y = (double)(i / COLS), top = (double)((1u << bits) - 1);
    return (uint16_t)(top * (0.5 + 0.3 * sin(x / 9) * cos(y / 7) + 0.15 * x / COLS));
}

static uint16_t rough(size_t i, unsigned bits)
{
    return (uint16_t)((smooth(i, bits) ^ (i * 2654435761u >> 27)) & ((1u << bits) - 1));
}

static const maker_image grey12 = {
    .photometric = "MONOCHROME2", .rows = ROWS, .cols = COLS, .samples = 1, .allocated = 16, .stored = 12, .high = 11};
static const maker_image grey8 = {
    .photometric = "MONOCHROME2", .rows = ROWS, .cols = COLS, .samples = 1, .allocated = 8, .stored = 8, .high = 7};
static const maker_image rgb8 = {
    .photometric = "RGB", .rows = ROWS, .cols = COLS, .samples = 3, .allocated = 8, .stored = 8, .high = 7};

static bool write_grey12(const char *path, bool is_rough)
{
    uint16_t pixels[N];
    for (size_t i = 0; i < N; i++) pixels[i] = is_rough ? rough(i, 12) : smooth(i, 12);
    return maker_native(path, &grey12, pixels, sizeof pixels);
}

static bool write_grey8(const char *path)
{
    uint8_t pixels[N];
    for (size_t i = 0; i < N; i++) pixels[i] = (uint8_t)smooth(i, 8);
    return maker_native(path, &grey8, pixels, sizeof pixels);
}

/* Largest difference to the generated image; -1 when it cannot be decoded or has another shape. */
static long worst(const char *path, unsigned bits, bool is_rough)
{
    cot_error err;
    frame_stored frame;
    if (frame_decode(&frame, path, &err) != COT_OK) {
        fprintf(stderr, "%s: %s\n", path, err.text);
        return -1;
    }
    long most = frame.rows == ROWS && frame.cols == COLS && frame.bits == bits ? 0 : -1;
    for (size_t i = 0; most >= 0 && i < N; i++) {
        const long d = labs((long)frame.codes[i] - (long)(is_rough ? rough(i, bits) : smooth(i, bits)));
        if (d > most) most = d;
    }
    frame_stored_fini(&frame);
    return most;
}

static bool run(const char *const *argv)
{
    pid_t pid;
    int status = 0;
    if (posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)(uintptr_t)argv, environ) != 0) return false;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
#define RUN(...) run((const char *const[]){__VA_ARGS__, NULL})

/* ---- syntaxes ---- */
TEST(every_lossless_syntax_gives_identical_values)
{
    const char *from = in_folder("native.dcm"), *to = in_folder("other.dcm");
    static const struct {
        const char *tool, *option, *second;
    } tools[] = {{"dcmconv", "+ti", "-q"},  {"dcmconv", "+tb", "-q"},  {"dcmcrle", "-q", "-q"},
                 {"dcmcjpeg", "+el", "-q"}, {"dcmcjpeg", "+e1", "-q"}, {"dcmcjpls", "+el", "-q"}};
    for (int is_rough = 0; is_rough < 2; is_rough++) {
        REQUIRE(write_grey12(from, is_rough));
        CHECK_NUMBER(worst(from, 12, is_rough), 0);
        for (size_t i = 0; i < sizeof tools / sizeof *tools; i++) {
            REQUIRE(RUN(tools[i].tool, tools[i].option, tools[i].second, from, to));
            const long d = worst(to, 12, is_rough);
            CHECK_NUMBER(d, 0);
            if (d) fprintf(stderr, "  %s %s\n", tools[i].tool, tools[i].option);
        }
    }
}

TEST(every_lossless_syntax_gives_identical_8_bit_values)
{
    const char *from = in_folder("native.dcm"), *to = in_folder("other.dcm");
    REQUIRE(write_grey8(from));
    CHECK_NUMBER(worst(from, 8, false), 0);
    REQUIRE(RUN("dcmconv", "+ti", from, to));
    CHECK_NUMBER(worst(to, 8, false), 0);
    REQUIRE(RUN("dcmconv", "+tb", from, to));
    CHECK_NUMBER(worst(to, 8, false), 0);
    REQUIRE(RUN("dcmcrle", from, to));
    CHECK_NUMBER(worst(to, 8, false), 0);
    REQUIRE(RUN("dcmcjpeg", "+e1", from, to));
    CHECK_NUMBER(worst(to, 8, false), 0);
    REQUIRE(RUN("dcmcjpls", "+el", from, to));
    CHECK_NUMBER(worst(to, 8, false), 0);
}

TEST(lossy_syntaxes_stay_within_their_bound)
{
    const char *from = in_folder("native.dcm"), *to = in_folder("other.dcm");
    REQUIRE(write_grey12(from, false));
    REQUIRE(RUN("dcmcjpeg", "+ee", "+q", "95", "+sr", from, to)); /* Extended, 12 bit */
    CHECK(worst(to, 12, false) >= 0 && worst(to, 12, false) <= 40);
    REQUIRE(RUN("dcmcjpls", "+en", "+md", "3", from, to));
    CHECK(worst(to, 12, false) >= 0 && worst(to, 12, false) <= 3);
    REQUIRE(write_grey8(from));
    REQUIRE(RUN("dcmcjpeg", "+eb", "+q", "95", "+sr", from, to)); /* Baseline */
    CHECK(worst(to, 8, false) >= 0 && worst(to, 8, false) <= 4);
}

TEST(grey_in_colour_survives_every_codec_and_planar_configuration)
{
    const char *from = in_folder("native.dcm"), *to = in_folder("other.dcm");
    static uint8_t pixels[3 * N];
    for (unsigned planar = 0; planar < 2; planar++) {
        maker_image i = rgb8;
        i.planar = planar;
        for (size_t k = 0; k < 3 * N; k++) pixels[k] = (uint8_t)smooth(planar ? k % N : k / 3, 8);
        REQUIRE(maker_native(from, &i, pixels, sizeof pixels));
        CHECK_NUMBER(worst(from, 8, false), 0);
        REQUIRE(RUN("dcmcrle", from, to));
        CHECK_NUMBER(worst(to, 8, false), 0);
        REQUIRE(RUN("dcmcjpls", "+el", from, to));
        CHECK_NUMBER(worst(to, 8, false), 0);
        REQUIRE(RUN("dcmcjpeg", "+e1", from, to));
        CHECK_NUMBER(worst(to, 8, false), 0);
        REQUIRE(RUN("dcmcjpeg", "+eb", "+q", "95", from, to)); /* YBR_FULL_422 inside */
        CHECK(worst(to, 8, false) >= 0 && worst(to, 8, false) <= 4);
    }
}

TEST(signed_values_survive_every_lossless_codec)
{
    const char *from = in_folder("native.dcm"), *to = in_folder("other.dcm");
    static const char *const tools[][2] = {
        {"dcmcrle", "-q"}, {"dcmcjpeg", "+e1"}, {"dcmcjpls", "+el"}, {"dcmconv", "+tb"}};
    uint16_t pixels[N];
    maker_image i = grey12;
    i.is_signed = 1;
    for (size_t k = 0; k < N; k++) { /* sign extended, as PS3.5 8.1.1 leaves open */
        const uint16_t code = rough(k, 12);
        pixels[k] = (uint16_t)(code & 0x800 ? code | 0xf000 : code);
    }
    REQUIRE(maker_native(from, &i, pixels, sizeof pixels));
    CHECK_NUMBER(worst(from, 12, true), 0);
    for (size_t k = 0; k < 4; k++) {
        REQUIRE(RUN(tools[k][0], tools[k][1], from, to));
        CHECK_NUMBER(worst(to, 12, true), 0);
        if (worst(to, 12, true)) fprintf(stderr, "  %s\n", tools[k][0]);
    }
}

/* ---- JPEG 2000, encoded here ---- */
typedef struct memory {
    unsigned char bytes[1 << 17];
    size_t n, at;
} memory;

static OPJ_SIZE_T memory_write(void *data, OPJ_SIZE_T size, void *user)
{
    memory *m = user;
    if (size > sizeof m->bytes - m->at) return (OPJ_SIZE_T)-1;
    memcpy(m->bytes + m->at, data, size);
    m->at += size;
    if (m->at > m->n) m->n = m->at;
    return size;
}

static OPJ_BOOL memory_seek(OPJ_OFF_T to, void *user)
{
    memory *m = user;
    m->at = (size_t)to;
    return m->at <= sizeof m->bytes;
}

static OPJ_OFF_T memory_skip(OPJ_OFF_T by, void *user)
{
    return memory_seek((OPJ_OFF_T)((memory *)user)->at + by, user) ? by : -1;
}

typedef struct j2k_options {
    unsigned bits, components;
    int is_signed, offset; /* offset: added to every value */
    double rate;           /* 0: lossless */
    bool jp2;
} j2k_options;

static opj_image_t *j2k_image(const j2k_options *o)
{
    opj_image_cmptparm_t parameters[3] = {{0}};
    for (unsigned c = 0; c < 3; c++)
        parameters[c] = (opj_image_cmptparm_t){
            .dx = 1, .dy = 1, .w = COLS, .h = ROWS, .prec = o->bits, .sgnd = (OPJ_UINT32)o->is_signed};
    opj_image_t *image =
        opj_image_create(o->components, parameters, o->components == 3 ? OPJ_CLRSPC_SRGB : OPJ_CLRSPC_GRAY);
    image->x1 = COLS;
    image->y1 = ROWS;
    for (unsigned c = 0; c < o->components; c++)
        for (size_t i = 0; i < N; i++)
            image->comps[c].data[i] = (o->rate > 0 ? smooth(i, o->bits) : rough(i, o->bits)) + o->offset;
    return image;
}

static bool j2k_encode(memory *out, const j2k_options *o)
{
    opj_cparameters_t p;
    opj_set_default_encoder_parameters(&p);
    p.tcp_numlayers = 1;
    p.cp_disto_alloc = 1;
    p.irreversible = o->rate > 0;
    p.tcp_rates[0] = (float)o->rate;
    p.tcp_mct = o->components == 3;
    p.numresolution = 4;
    out->n = out->at = 0;
    opj_image_t *image = j2k_image(o);
    opj_codec_t *codec = opj_create_compress(o->jp2 ? OPJ_CODEC_JP2 : OPJ_CODEC_J2K);
    opj_stream_t *stream = opj_stream_create(4096, OPJ_FALSE);
    opj_stream_set_user_data(stream, out, NULL);
    opj_stream_set_write_function(stream, memory_write);
    opj_stream_set_seek_function(stream, memory_seek);
    opj_stream_set_skip_function(stream, memory_skip);
    const bool good = opj_setup_encoder(codec, &p, image) && opj_start_compress(codec, image, stream) &&
                      opj_encode(codec, stream) && opj_end_compress(codec, stream);
    opj_stream_destroy(stream);
    opj_destroy_codec(codec);
    opj_image_destroy(image);
    return good;
}

static maker_image j2k_header(bool lossless)
{
    maker_image i = grey12;
    i.syntax = lossless ? J2K_LOSSLESS : J2K_LOSSY;
    return i;
}

TEST(jpeg_2000_lossless_gives_identical_values_in_any_number_of_fragments)
{
    static memory stream;
    const char *path = in_folder("j2k.dcm");
    const maker_image header = j2k_header(true);
    REQUIRE(j2k_encode(&stream, &(j2k_options){.bits = 12, .components = 1}));
    const size_t pieces[] = {1 << 20, 1000, 2};
    for (size_t i = 0; i < 3; i++) {
        REQUIRE(maker_encapsulated(path, &header, stream.bytes, stream.n, pieces[i]));
        CHECK_NUMBER(worst(path, 12, true), 0);
    }
}

TEST(jpeg_2000_inside_a_jp2_file_is_found)
{
    static memory stream;
    const char *path = in_folder("j2k.dcm");
    const maker_image header = j2k_header(true);
    REQUIRE(j2k_encode(&stream, &(j2k_options){.bits = 12, .components = 1, .jp2 = true}));
    REQUIRE(maker_encapsulated(path, &header, stream.bytes, stream.n, 1 << 20));
    CHECK_NUMBER(worst(path, 12, true), 0);
}

TEST(jpeg_2000_lossy_stays_within_its_bound)
{
    static memory stream;
    const char *path = in_folder("j2k.dcm");
    const maker_image header = j2k_header(false);
    REQUIRE(j2k_encode(&stream, &(j2k_options){.bits = 12, .components = 1, .rate = 8}));
    CHECK(stream.n < N * 2 / 6);
    REQUIRE(maker_encapsulated(path, &header, stream.bytes, stream.n, 1 << 20));
    CHECK(worst(path, 12, false) >= 0 && worst(path, 12, false) <= 40);
}

TEST(jpeg_2000_signed_values_keep_their_sign)
{
    static memory stream;
    cot_error err;
    frame_stored frame;
    maker_image header = j2k_header(true);
    header.is_signed = 1;
    REQUIRE(j2k_encode(&stream, &(j2k_options){.bits = 12, .components = 1, .is_signed = 1, .offset = -2048}));
    REQUIRE(maker_encapsulated(in_folder("j2k.dcm"), &header, stream.bytes, stream.n, 1 << 20));
    REQUIRE_OK(frame_decode(&frame, in_folder("j2k.dcm"), &err));
    for (size_t i = 0; i < N; i += 97) CHECK_NUMBER(frame.codes[i], (rough(i, 12) - 2048) & 0xfff);
    frame_stored_fini(&frame);
    header.is_signed = 0;
    REQUIRE(maker_encapsulated(in_folder("j2k.dcm"), &header, stream.bytes, stream.n, 1 << 20));
    CHECK_FAILS(frame_decode(&frame, in_folder("j2k.dcm"), &err), COT_E_INPUT, "signed 12-bit samples");
}

TEST(jpeg_2000_grey_in_three_components_is_grey)
{
    static memory stream;
    maker_image header = rgb8;
    header.syntax = J2K_LOSSLESS;
    header.photometric = "YBR_RCT";
    REQUIRE(j2k_encode(&stream, &(j2k_options){.bits = 8, .components = 3}));
    REQUIRE(maker_encapsulated(in_folder("j2k.dcm"), &header, stream.bytes, stream.n, 1 << 20));
    CHECK_NUMBER(worst(in_folder("j2k.dcm"), 8, true), 0);
}

TEST(jpeg_2000_damage_is_refused)
{
    static memory stream;
    cot_error err;
    frame_stored frame;
    const char *path = in_folder("j2k.dcm");
    maker_image header = j2k_header(true);
    REQUIRE(j2k_encode(&stream, &(j2k_options){.bits = 12, .components = 1}));
    REQUIRE(maker_encapsulated(path, &header, stream.bytes, stream.n / 2, 1 << 20));
    CHECK_FAILS(frame_decode(&frame, path, &err), COT_E_INPUT, "JPEG 2000 stream is damaged");
    REQUIRE(maker_encapsulated(path, &header, stream.bytes, 30, 1 << 20));
    CHECK_FAILS(frame_decode(&frame, path, &err), COT_E_INPUT, "SIZ");
    REQUIRE(maker_encapsulated(path, &header, "no codestream", 13, 1 << 20));
    CHECK_FAILS(frame_decode(&frame, path, &err), COT_E_INPUT, "does not begin with a JPEG 2000");
    header.rows = ROWS + 1;
    REQUIRE(maker_encapsulated(path, &header, stream.bytes, stream.n, 1 << 20));
    CHECK_FAILS(frame_decode(&frame, path, &err), COT_E_INPUT, "say 71 x 91");
    header.rows = ROWS;
    stream.bytes[4 + 20] = stream.bytes[4 + 21] = stream.bytes[4 + 22] = 0,
                     stream.bytes[4 + 23] = 1; /* tiles 1 pixel wide */
    stream.bytes[4 + 24] = stream.bytes[4 + 25] = stream.bytes[4 + 26] = 0, stream.bytes[4 + 27] = 1;
    REQUIRE(maker_encapsulated(path, &header, stream.bytes, stream.n, 1 << 20));
    CHECK_FAILS(frame_decode(&frame, path, &err), COT_E_LIMIT, "tiles");
}

TEST(jpeg_2000_survives_a_flip_of_every_header_byte)
{
    static memory stream;
    cot_error err;
    size_t decoded = 0;
    unsigned precision;
    frame_header h = {.rows = ROWS, .cols = COLS, .frames = 1, .samples = 1, .allocated = 16, .stored = 12, .high = 11};
    static uint16_t samples[N];
    REQUIRE(j2k_encode(&stream, &(j2k_options){.bits = 12, .components = 1}));
    for (size_t i = 0; i < 200; i++)
        for (unsigned bit = 0; bit < 8; bit += 3) {
            stream.bytes[i] ^= (unsigned char)(1 << bit);
            decoded += jpeg2000_decode(samples, &precision, &h, (cot_blob){stream.bytes, stream.n}, &err) == COT_OK;
            stream.bytes[i] ^= (unsigned char)(1 << bit);
        }
    CHECK(decoded < 600); /* what matters is that a sanitizer stays silent */
    CHECK_OK(jpeg2000_decode(samples, &precision, &h, (cot_blob){stream.bytes, stream.n}, &err));
    CHECK_NUMBER(precision, 12);
}

/* ---- what else travels with the pixels ---- */
TEST(eight_bits_in_sixteen_allocated_survive_every_lossless_codec)
{
    const char *from = in_folder("native.dcm"), *to = in_folder("other.dcm");
    static const char *const tools[][2] = {
        {"dcmcrle", "-q"}, {"dcmcjpeg", "+e1"}, {"dcmcjpls", "+el"}, {"dcmconv", "+tb"}};
    uint16_t pixels[N];
    maker_image i = grey12;
    i.stored = 8, i.high = 7;
    for (size_t k = 0; k < N; k++) pixels[k] = rough(k, 8);
    REQUIRE(maker_native(from, &i, pixels, sizeof pixels));
    for (size_t k = 0; k < 4; k++) {
        REQUIRE(RUN(tools[k][0], tools[k][1], from, to));
        CHECK_NUMBER(worst(to, 8, true), 0);
    }
}

TEST(look_up_tables_survive_implicit_vr_and_big_endian)
{
    const char *from = in_folder("native.dcm"), *to = in_folder("other.dcm");
    const uint16_t lut[6] = {3, 0xffff, 10, 0, 1023, 341}, pixels[4] = {0xfff0, 0xffff, 0, 9};
    const float want[4] = {0, 0, 1, 341 / 1023.0f};
    maker_image i = {.photometric = "MONOCHROME2",
                     .rows = 2,
                     .cols = 2,
                     .samples = 1,
                     .allocated = 16,
                     .stored = 16,
                     .high = 15,
                     .is_signed = 1,
                     .voi_lut = lut};
    REQUIRE(maker_native(from, &i, pixels, 8));
    static const char *const options[] = {"+te", "+ti", "+tb"};
    for (size_t k = 0; k < 3; k++) {
        cot_error err;
        cot_dicom_image *image = NULL;
        size_t rows, cols;
        REQUIRE(RUN("dcmconv", options[k], from, to));
        REQUIRE_OK(cot_dicom_image_create(&image, to, &err));
        CHECK_TEXT(cot_dicom_image_facts(image)->rendering, "VOI LUT of 3 entries");
        CHECK_FLOATS(cot_dicom_image_pixels(image, &rows, &cols), want, 4, 1e-6);
        cot_dicom_image_destroy(image);
    }
}
/* ---- damage ---- */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* One to four bytes changed, half of them in the header; sometimes the end is missing. */
static cot_status decode_damaged(char *bytes, size_t n, uint64_t *state, bool *guarded)
{
    cot_error err;
    cot_dicom_head head;
    cot_dicom_image *image = NULL;
    const cot_guard_limits limits = COT_GUARD_LIMITS_INIT;
    char before[4];
    size_t at[4], flips = 1 + next_random(state) % 4;
    for (size_t i = 0; i < flips; i++) {
        at[i] = next_random(state) % 2 ? 400 + next_random(state) % 400 : 400 + next_random(state) % (n - 400);
        before[i] = bytes[at[i]];
        bytes[at[i]] = (char)next_random(state);
    }
    const size_t size = next_random(state) % 8 ? n : 400 + next_random(state) % (n - 400);
    maker m = {0};
    maker_raw(&m, bytes, size);
    const bool saved = maker_save(&m, in_folder("damaged.dcm"));
    for (size_t i = flips; i-- > 0;) bytes[at[i]] = before[i];
    if (!saved) return COT_E_IO;
    *guarded = cot_dicom_guard(&head, in_folder("damaged.dcm"), &limits, &err) == COT_OK;
    if (!*guarded) return COT_E_INPUT;
    const cot_status status = cot_dicom_image_create(&image, in_folder("damaged.dcm"), &err);
    cot_dicom_image_destroy(image);
    return status;
}

/* libjpeg only warns of this and fills the rest with grey: the picture is not what was taken. */
TEST(a_hole_in_a_jpeg_scan_is_refused_not_read_as_grey)
{
    static const char name[] = COT_SOURCE_DIR "/tests/data/dicom/siim_1.2.276.0.7230010.3.1.4.8323329.6904.dcm";
    cot_error err;
    cot_dicom_image *image = NULL;
    char *bytes = NULL;
    size_t n = 0;
    REQUIRE_OK(cot_file_read(&bytes, &n, name, 1 << 20, &err));
    CHECK_OK(cot_dicom_image_create(&image, name, &err));
    cot_dicom_image_destroy(image);
    memset(bytes + n / 2, 0, 20000);
    CHECK_OK(cot_file_write_durable(in_folder("hole.dcm"), bytes, n, &err));
    CHECK_FAILS(cot_dicom_image_create(&image, in_folder("hole.dcm"), &err), COT_E_INPUT,
                "part of the picture is lost");
    CHECK(!image);
    free(bytes);
}

TEST(damaged_files_are_decoded_or_refused_but_never_a_bug)
{
    static const char *const tools[][3] = {
        {"dcmcrle", "-q", NULL},   {"dcmcjpeg", "+e1", NULL}, {"dcmcjpeg", "+el", NULL}, {"dcmcjpeg", "+ee", NULL},
        {"dcmcjpls", "+el", NULL}, {"dcmcjpls", "+en", NULL}, {"dcmconv", "+ti", NULL},  {"dcmconv", "+tb", NULL}};
    uint64_t state = 88172645463325252u;
    size_t through = 0, decoded = 0;
    for (size_t k = 0; k < sizeof tools / sizeof *tools; k++) {
        cot_error err;
        char *bytes = NULL;
        size_t n = 0;
        REQUIRE(write_grey12(in_folder("native.dcm"), false));
        REQUIRE(RUN(tools[k][0], tools[k][1], in_folder("native.dcm"), in_folder("other.dcm")));
        REQUIRE_OK(cot_file_read(&bytes, &n, in_folder("other.dcm"), 1 << 20, &err));
        for (int i = 0; i < 60; i++) {
            bool guarded = false;
            const cot_status status = decode_damaged(bytes, n, &state, &guarded);
            CHECK(status == COT_OK || status == COT_E_INPUT || status == COT_E_REFUSED || status == COT_E_LIMIT);
            through += guarded;
            decoded += status == COT_OK;
        }
        free(bytes);
    }
    CHECK(through > 100 && decoded > 20 && decoded < through); /* the damage was neither total nor harmless */
}
CHECK_MAIN
