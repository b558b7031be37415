/* Breaks the contract of echocart.h on purpose, rule by rule, and checks what comes back.
 *
 *   contract PACKAGE LIBRARY FOLDER
 *
 * FOLDER holds what the test made: configurations (*.toml), broken packages, a second copy of the
 * library. Prints every code it was given, one a line, and gives 0 when all were as expected. */

#define _POSIX_C_SOURCE 200809L

#include "echocart.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WIDTH 64
#define HEIGHT 48
#define FRAME_NANOS 33333333
#define TEXT_BYTES 16384

static uint8_t pixels[WIDTH * HEIGHT * 3];
/* A frame begins anywhere in its first part, so that each shows another picture. */
static uint8_t noise[4096 + sizeof pixels];
static const char *package_dir;
static const char *library_path;
static uint32_t isolation;
static const char *folder;
static int failures;

static uint32_t expect_at(int line, uint32_t expected, uint32_t found)
{
    printf("code %" PRIu32 "\n", found);
    if (expected != found) {
        char text[512] = "";
        uint64_t bytes = 0;
        echocart_last_error(text, sizeof text, &bytes);
        fprintf(stderr, "line %d: expected %" PRIu32 ", found %" PRIu32 " %s\n", line, expected,
                found, text);
        failures += 1;
    }
    return found;
}

static void check_at(int line, int holds)
{
    if (!holds) {
        fprintf(stderr, "line %d does not hold\n", line);
        failures += 1;
    }
}

#define EXPECT(expected, call) expect_at(__LINE__, expected, call)
#define CHECK(condition) check_at(__LINE__, (condition) ? 1 : 0)

typedef struct {
    echocart_session_t *session;
    echocart_frame_port_t *frames;
    echocart_result_port_t *results;
} handles_t;

static uint32_t push(handles_t *handles, int64_t capture_nanos);

static void nap(long millis)
{
    struct timespec time;
    time.tv_sec = millis / 1000;
    time.tv_nsec = millis % 1000 * 1000000;
    nanosleep(&time, NULL);
}

static int error_says(const char *part)
{
    char text[2048] = "";
    uint64_t bytes = 0;
    uint32_t code = echocart_last_error(text, sizeof text, &bytes);
    return code == ECHOCART_OK && bytes == strlen(text) && strstr(text, part) != NULL;
}

static const char *in_folder(const char *name)
{
    static char paths[8][1024];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static const char *read_text(const char *name)
{
    static char text[TEXT_BYTES];
    FILE *file = fopen(in_folder(name), "rb");
    size_t bytes = file == NULL ? 0 : fread(text, 1, sizeof text - 1, file);
    CHECK(bytes > 0);
    text[bytes] = 0;
    if (file != NULL) {
        fclose(file);
    }
    return text;
}

static echocart_session_config_t config_of(const char *package, const char *library)
{
    echocart_session_config_t config;
    memset(&config, 0, sizeof config);
    config.struct_size = sizeof config;
    config.abi_version = ECHOCART_ABI_VERSION;
    config.pace = ECHOCART_PACE_MAX;
    config.allow_demonstration = 1;
    config.isolation = isolation;
    config.package_dir = package;
    config.package_dir_bytes = strlen(package);
    config.library_path = library;
    config.library_path_bytes = strlen(library);
    return config;
}

static void set_toml(echocart_session_config_t *config, const char *toml)
{
    config->config_toml = toml;
    config->config_toml_bytes = strlen(toml);
}

static uint32_t create(const echocart_session_config_t *config, handles_t *handles)
{
    uint32_t code;

    memset(handles, 0, sizeof *handles);
    code = echocart_session_create(config, &handles->session, &handles->frames, &handles->results);
    if (code == ECHOCART_OK) {
        CHECK(push(handles, 0) == ECHOCART_PAUSED);
        CHECK(echocart_session_resume(handles->session) == ECHOCART_BAD_STATE);
        code = echocart_session_start(handles->session);
    }
    return code;
}

static uint32_t create_fails(const echocart_session_config_t *config)
{
    handles_t handles;
    uint32_t code = create(config, &handles);
    CHECK(handles.session == NULL && handles.frames == NULL && handles.results == NULL);
    return code;
}

static void destroy(handles_t *handles)
{
    EXPECT(ECHOCART_OK, echocart_session_destroy(&handles->session));
    EXPECT(ECHOCART_OK, echocart_frame_port_destroy(&handles->frames));
    EXPECT(ECHOCART_OK, echocart_result_port_destroy(&handles->results));
    CHECK(handles->session == NULL && handles->frames == NULL && handles->results == NULL);
}

static echocart_frame_t frame_at(int64_t capture_nanos)
{
    echocart_frame_t frame;
    memset(&frame, 0, sizeof frame);
    frame.struct_size = sizeof frame;
    frame.format = ECHOCART_PIXEL_RGB24;
    frame.width_px = WIDTH;
    frame.height_px = HEIGHT;
    frame.row_stride_bytes = WIDTH * 3;
    frame.pixels = noise + ((uint64_t)capture_nanos / 1000 * 2654435761u >> 8) % 4096;
    frame.pixel_bytes = sizeof pixels;
    frame.capture_nanos = capture_nanos;
    return frame;
}

static uint32_t push(handles_t *handles, int64_t capture_nanos)
{
    echocart_frame_t frame = frame_at(capture_nanos);
    uint64_t number = 0;
    return echocart_frame_push(handles->frames, &frame, &number);
}

static uint32_t poll(handles_t *handles, echocart_result_t *result)
{
    return echocart_result_poll(handles->results, sizeof *result, result);
}

/* Pushes a frame at maximum pace and waits for room. The queue of results is long enough. */
static uint32_t push_patiently(handles_t *handles, int64_t capture_nanos)
{
    uint32_t code = push(handles, capture_nanos);
    while (code == ECHOCART_WOULD_BLOCK) {
        nap(1);
        code = push(handles, capture_nanos);
    }
    return code;
}

static void push_all(handles_t *handles, int count)
{
    int at;
    for (at = 0; at < count; at += 1) {
        CHECK(push_patiently(handles, (int64_t)at * FRAME_NANOS) == ECHOCART_OK);
    }
}

static void without_a_session(void)
{
    char small[4] = {'x', 'x', 'x', 'x'};
    uint64_t bytes = 0;
    int64_t earlier = -1;
    int64_t later = -1;
    handles_t none;
    echocart_result_t result;
    echocart_session_info_t info;
    echocart_frame_t frame = frame_at(0);

    CHECK(echocart_abi_version() == ECHOCART_ABI_VERSION);
    CHECK(echocart_abi_version() == (ECHOCART_ABI_MAJOR << 16 | ECHOCART_ABI_MINOR));
    CHECK(strcmp(echocart_code_text(ECHOCART_OK), "ok") == 0);
    CHECK(strcmp(echocart_code_text(4242), "unknown code") == 0);
    EXPECT(ECHOCART_OK, echocart_last_error(NULL, 0, &bytes));
    CHECK(bytes == 0);
    EXPECT(ECHOCART_OK, echocart_clock_now(&earlier));
    EXPECT(ECHOCART_OK, echocart_clock_now(&later));
    CHECK(earlier >= 0 && later >= earlier);
    EXPECT(ECHOCART_NULL_ARGUMENT, echocart_clock_now(NULL));
    CHECK(error_says("out_nanos"));
    EXPECT(ECHOCART_OK, echocart_last_error(small, sizeof small, &bytes));
    CHECK(bytes > sizeof small && strcmp(small, "exp") == 0);
    EXPECT(ECHOCART_NULL_ARGUMENT, echocart_last_error(NULL, 4, &bytes));
    EXPECT(ECHOCART_NULL_ARGUMENT, echocart_last_error(small, sizeof small, NULL));

    memset(&none, 0, sizeof none);
    EXPECT(ECHOCART_OK, echocart_session_destroy(NULL));
    EXPECT(ECHOCART_OK, echocart_frame_port_destroy(NULL));
    EXPECT(ECHOCART_OK, echocart_result_port_destroy(NULL));
    destroy(&none);
    EXPECT(ECHOCART_NULL_ARGUMENT, echocart_session_stop(NULL, 0));
    EXPECT(ECHOCART_NULL_ARGUMENT, echocart_session_info(NULL, sizeof info, &info));
    EXPECT(ECHOCART_NULL_ARGUMENT, echocart_frame_push(NULL, &frame, &bytes));
    EXPECT(ECHOCART_NULL_ARGUMENT, echocart_frame_port_close(NULL));
    EXPECT(ECHOCART_NULL_ARGUMENT, echocart_result_poll(NULL, sizeof result, &result));
    EXPECT(ECHOCART_NULL_ARGUMENT, echocart_result_label(NULL, 0, small, sizeof small, &bytes));
}

static void what_cannot_be_created(void)
{
    static const char bad_utf8[] = {'/', (char)0xFF, (char)0xFE};
    handles_t handles;
    echocart_session_config_t config = config_of(package_dir, library_path);

    memset(&handles, 0, sizeof handles);
    EXPECT(ECHOCART_NULL_ARGUMENT, create_fails(NULL));
    EXPECT(ECHOCART_NULL_ARGUMENT,
           echocart_session_create(&config, NULL, &handles.frames, &handles.results));
    EXPECT(ECHOCART_NULL_ARGUMENT,
           echocart_session_create(&config, &handles.session, NULL, &handles.results));
    EXPECT(ECHOCART_NULL_ARGUMENT,
           echocart_session_create(&config, &handles.session, &handles.frames, NULL));

    config.struct_size = 0;
    EXPECT(ECHOCART_BAD_STRUCT_SIZE, create_fails(&config));
    config.struct_size = sizeof config + 8;
    EXPECT(ECHOCART_BAD_STRUCT_SIZE, create_fails(&config));
    config.abi_version = ECHOCART_ABI_VERSION + 1;
    EXPECT(ECHOCART_ABI_MISMATCH, create_fails(&config));
    config = config_of(package_dir, library_path);
    config.abi_version = (ECHOCART_ABI_MAJOR + 1) << 16;
    EXPECT(ECHOCART_ABI_MISMATCH, create_fails(&config));
    config.abi_version = 0;
    EXPECT(ECHOCART_ABI_MISMATCH, create_fails(&config));

    config = config_of(package_dir, library_path);
    config.pace = 7;
    EXPECT(ECHOCART_BAD_ARGUMENT, create_fails(&config));
    config = config_of(package_dir, library_path);
    config.allow_demonstration = 2;
    EXPECT(ECHOCART_BAD_ARGUMENT, create_fails(&config));
    config = config_of(package_dir, library_path);
    config.package_dir = NULL;
    EXPECT(ECHOCART_NULL_ARGUMENT, create_fails(&config));
    config.package_dir_bytes = 0;
    EXPECT(ECHOCART_BAD_ARGUMENT, create_fails(&config));
    CHECK(error_says("package_dir"));
    config = config_of(package_dir, library_path);
    config.library_path = bad_utf8;
    config.library_path_bytes = sizeof bad_utf8;
    EXPECT(ECHOCART_BAD_TEXT, create_fails(&config));
    config.library_path_bytes = UINT64_MAX;
    EXPECT(ECHOCART_BAD_ARGUMENT, create_fails(&config));
    config = config_of(package_dir, "");
    EXPECT(ECHOCART_BAD_ARGUMENT, create_fails(&config));
    CHECK(error_says("absolute path of the ONNX Runtime library"));
    config = config_of(package_dir, "libonnxruntime.so");
    EXPECT(ECHOCART_BAD_ARGUMENT, create_fails(&config));

    config = config_of(package_dir, library_path);
    config.gpu_memory_bytes = 4096;
    EXPECT(ECHOCART_BAD_ARGUMENT, create_fails(&config));
    CHECK(error_says("expected 0 or at least 1048576, found 4096: gpu_memory_bytes"));
    config = config_of(package_dir, library_path);
    config.library_path_bytes += 1;
    EXPECT(ECHOCART_BAD_TEXT, create_fails(&config));
    CHECK(error_says("without NUL"));
    config = config_of(package_dir, library_path);
    set_toml(&config, "[engine]\nproviderz = 1\n");
    EXPECT(ECHOCART_CONFIG_INVALID, create_fails(&config));
    CHECK(error_says("providerz"));
    set_toml(&config, read_text("auto.toml"));
    EXPECT(ECHOCART_CONFIG_INVALID, create_fails(&config));
    CHECK(error_says("engine.policy: expected pinned, strict or degrade here, found auto"));
    set_toml(&config, read_text("signed-only.toml"));
    EXPECT(ECHOCART_PACKAGE_UNSIGNED, create_fails(&config));

    config = config_of(in_folder("no-such-package"), library_path);
    EXPECT(ECHOCART_PACKAGE_UNREADABLE, create_fails(&config));
    CHECK(error_says("no-such-package"));
    config = config_of(in_folder("invalid"), library_path);
    EXPECT(ECHOCART_PACKAGE_INVALID, create_fails(&config));
    config = config_of(in_folder("altered"), library_path);
    EXPECT(ECHOCART_PACKAGE_ALTERED, create_fails(&config));
    config = config_of(in_folder("many-labels"), library_path);
    EXPECT(ECHOCART_PACKAGE_UNSUPPORTED, create_fails(&config));
    config = config_of(package_dir, in_folder("no-such-library"));
    EXPECT(ECHOCART_LIBRARY_MISSING, create_fails(&config));
    config = config_of(package_dir, in_folder("signed-only.toml"));
    EXPECT(ECHOCART_LIBRARY_UNKNOWN, create_fails(&config));
    config = config_of(in_folder("bad-graph"), library_path);
    EXPECT(ECHOCART_ENGINE_FAILED, create_fails(&config));
    config.isolation = ECHOCART_ISOLATION_IN_PROCESS;
    EXPECT(ECHOCART_ENGINE_FAILED, create_fails(&config));
    config = config_of(package_dir, in_folder("libonnxruntime-copy.so"));
    config.isolation = ECHOCART_ISOLATION_IN_PROCESS;
    EXPECT(ECHOCART_LIBRARY_CONFLICT, create_fails(&config));
}

static void frames_that_are_not_taken(handles_t *handles)
{
    uint64_t number = 77;
    echocart_frame_t frame = frame_at(0);

    EXPECT(ECHOCART_NULL_ARGUMENT, echocart_frame_push(handles->frames, NULL, &number));
    EXPECT(ECHOCART_NULL_ARGUMENT, echocart_frame_push(handles->frames, &frame, NULL));
    frame.struct_size = 4;
    EXPECT(ECHOCART_BAD_STRUCT_SIZE, echocart_frame_push(handles->frames, &frame, &number));
    frame = frame_at(0);
    frame.pixels = NULL;
    EXPECT(ECHOCART_NULL_ARGUMENT, echocart_frame_push(handles->frames, &frame, &number));
    frame = frame_at(0);
    frame.width_px = 0;
    EXPECT(ECHOCART_BAD_FRAME_SIZE, echocart_frame_push(handles->frames, &frame, &number));
    frame = frame_at(0);
    frame.height_px = 0;
    EXPECT(ECHOCART_BAD_FRAME_SIZE, echocart_frame_push(handles->frames, &frame, &number));
    frame = frame_at(0);
    frame.row_stride_bytes -= 1;
    EXPECT(ECHOCART_BAD_FRAME_SIZE, echocart_frame_push(handles->frames, &frame, &number));
    CHECK(error_says("row_stride_bytes"));
    frame = frame_at(0);
    frame.pixel_bytes -= 1;
    EXPECT(ECHOCART_BAD_FRAME_SIZE, echocart_frame_push(handles->frames, &frame, &number));
    frame = frame_at(0);
    frame.width_px = UINT32_MAX;
    frame.height_px = UINT32_MAX;
    frame.row_stride_bytes = UINT32_MAX;
    EXPECT(ECHOCART_BAD_FRAME_SIZE, echocart_frame_push(handles->frames, &frame, &number));
    frame.format = ECHOCART_PIXEL_GRAY8;
    EXPECT(ECHOCART_BAD_FRAME_SIZE, echocart_frame_push(handles->frames, &frame, &number));
    frame = frame_at(0);
    frame.memory = ECHOCART_MEMORY_CUDA;
    EXPECT(ECHOCART_UNSUPPORTED, echocart_frame_push(handles->frames, &frame, &number));
    frame.memory = ECHOCART_MEMORY_DMABUF;
    EXPECT(ECHOCART_UNSUPPORTED, echocart_frame_push(handles->frames, &frame, &number));
    frame.memory = 3;
    EXPECT(ECHOCART_BAD_ARGUMENT, echocart_frame_push(handles->frames, &frame, &number));
    frame = frame_at(0);
    frame.flags = 32;
    EXPECT(ECHOCART_BAD_ARGUMENT, echocart_frame_push(handles->frames, &frame, &number));
    frame.flags = ECHOCART_FRAME_HAS_ECG;
    frame.ecg_millivolts = NAN;
    EXPECT(ECHOCART_BAD_ARGUMENT, echocart_frame_push(handles->frames, &frame, &number));
    frame.flags = ECHOCART_FRAME_HAS_DEPTH;
    EXPECT(ECHOCART_BAD_ARGUMENT, echocart_frame_push(handles->frames, &frame, &number));
    frame = frame_at(0);
    frame.format = ECHOCART_PIXEL_YUY2;
    frame.width_px = WIDTH - 1;
    EXPECT(ECHOCART_BAD_FRAME_SIZE, echocart_frame_push(handles->frames, &frame, &number));
    frame.format = ECHOCART_PIXEL_NV12;
    frame.width_px = WIDTH;
    frame.height_px = HEIGHT - 1;
    EXPECT(ECHOCART_BAD_FRAME_SIZE, echocart_frame_push(handles->frames, &frame, &number));
    frame.height_px = HEIGHT;
    frame.chroma_offset_bytes = 1;
    EXPECT(ECHOCART_BAD_FRAME_SIZE, echocart_frame_push(handles->frames, &frame, &number));
    frame.chroma_offset_bytes = UINT64_MAX;
    EXPECT(ECHOCART_BAD_FRAME_SIZE, echocart_frame_push(handles->frames, &frame, &number));
    frame = frame_at(0);
    frame.format = 0;
    EXPECT(ECHOCART_BAD_ARGUMENT, echocart_frame_push(handles->frames, &frame, &number));
    EXPECT(ECHOCART_BAD_TIME, push(handles, -1));
    EXPECT(ECHOCART_BAD_TIME, push(handles, INT64_MIN));
    EXPECT(ECHOCART_BAD_TIME, push(handles, INT64_MAX));
    CHECK(number == 77);
}

static void wrong_questions(handles_t *handles)
{
    char label[64];
    uint64_t bytes = 0;
    echocart_session_info_t info;
    echocart_result_t result;

    EXPECT(ECHOCART_BAD_STRUCT_SIZE, echocart_session_info(handles->session, 8, &info));
    EXPECT(ECHOCART_NULL_ARGUMENT, echocart_session_info(handles->session, sizeof info, NULL));
    EXPECT(ECHOCART_OK, echocart_session_info(handles->session, sizeof info, &info));
    CHECK(info.struct_size == sizeof info && info.trained == ECHOCART_TRAINED_NOTHING);
    CHECK(info.unsigned_package == 1 && strchr(info.package, '@') != NULL);
    CHECK(strcmp(info.provider, "CPU") == 0 && strstr(info.library, "onnxruntime") != NULL);
    EXPECT(ECHOCART_BAD_STRUCT_SIZE, echocart_result_poll(handles->results, 4, &result));
    EXPECT(ECHOCART_NULL_ARGUMENT, echocart_result_poll(handles->results, sizeof result, NULL));
    CHECK(info.label_count > 0 && info.label_count <= ECHOCART_MAX_LABELS);
    EXPECT(ECHOCART_OK, echocart_result_label(handles->results, info.label_count - 1, label,
                                              sizeof label, &bytes));
    CHECK(bytes > 0 && bytes == strlen(label));
    EXPECT(ECHOCART_OK, echocart_result_label(handles->results, 0, NULL, 0, &bytes));
    EXPECT(ECHOCART_BAD_ARGUMENT, echocart_result_label(handles->results, info.label_count, label,
                                                        sizeof label, &bytes));
}

static void a_stream_to_its_end(void)
{
    handles_t handles;
    echocart_session_config_t config = config_of(package_dir, library_path);
    echocart_result_t result;
    uint64_t estimates = 0;
    int source_ended = 0;

    if (EXPECT(ECHOCART_OK, create(&config, &handles)) != ECHOCART_OK) {
        return;
    }
    frames_that_are_not_taken(&handles);
    wrong_questions(&handles);
    EXPECT(ECHOCART_OK, poll(&handles, &result));
    CHECK(result.kind == ECHOCART_RESULT_STATE && result.state == ECHOCART_STATE_STARTED);
    EXPECT(ECHOCART_EMPTY, poll(&handles, &result));
    push_all(&handles, 90);
    EXPECT(ECHOCART_OK, push_patiently(&handles, 89 * (int64_t)FRAME_NANOS));
    EXPECT(ECHOCART_OK, push_patiently(&handles, 0));
    EXPECT(ECHOCART_OK, echocart_frame_port_close(handles.frames));
    EXPECT(ECHOCART_OK, echocart_frame_port_close(handles.frames));
    EXPECT(ECHOCART_CLOSED, push(&handles, 100 * (int64_t)FRAME_NANOS));
    while (!source_ended) {
        uint32_t code = poll(&handles, &result);
        if (code == ECHOCART_EMPTY) {
            nap(1);
            continue;
        }
        CHECK(code == ECHOCART_OK && result.struct_size == sizeof result);
        if (result.kind == ECHOCART_RESULT_ESTIMATE) {
            estimates += 1;
            CHECK(result.view.status == ECHOCART_STATUS_DEMONSTRATION);
            CHECK(result.view_label < result.view_probability_count && result.raw_view_count > 0);
            CHECK(result.view.segment_count == 1 && result.sent_nanos == ECHOCART_NO_TIME);
            CHECK(result.signal.status == ECHOCART_STATUS_OFF && isnan(result.signal_meter));
        }
        source_ended = result.kind == ECHOCART_RESULT_STATE
                       && result.state == ECHOCART_STATE_SOURCE_ENDED;
    }
    EXPECT(ECHOCART_OK, echocart_session_stop(handles.session, UINT64_MAX));
    EXPECT(ECHOCART_OK, echocart_session_stop(handles.session, 0));
    EXPECT(ECHOCART_OK, poll(&handles, &result));
    CHECK(result.kind == ECHOCART_RESULT_SUMMARY && result.counters.captured == 92);
    CHECK(result.counters.rejected[ECHOCART_REASON_BAD_TIMESTAMP] == 2);
    CHECK(result.counters.in_flight == 0 && result.results_dropped == 0);
    CHECK(result.counters.used + result.counters.unused == 90 && result.estimates >= estimates);
    EXPECT(ECHOCART_END, poll(&handles, &result));
    EXPECT(ECHOCART_END, poll(&handles, &result));
    destroy(&handles);
    destroy(&handles);
    EXPECT(ECHOCART_NULL_ARGUMENT, push(&handles, 0));
    EXPECT(ECHOCART_NULL_ARGUMENT, poll(&handles, &result));
    EXPECT(ECHOCART_NULL_ARGUMENT, echocart_session_stop(handles.session, 0));
}

static void nobody_polls(void)
{
    handles_t handles;
    echocart_session_config_t config = config_of(package_dir, library_path);
    echocart_result_t result;
    uint32_t code = ECHOCART_OK;
    uint32_t last_kind = 0;
    int at;
    int taken = 0;

    set_toml(&config, read_text("short-queue.toml"));
    EXPECT(ECHOCART_OK, create(&config, &handles));
    for (at = 0; at < 10000; at += 1) {
        code = push(&handles, (int64_t)taken * FRAME_NANOS);
        taken += code == ECHOCART_OK;
        CHECK(code == ECHOCART_OK || code == ECHOCART_WOULD_BLOCK);
    }
    while (code != ECHOCART_WOULD_BLOCK) {
        code = push(&handles, (int64_t)taken * FRAME_NANOS);
        taken += code == ECHOCART_OK;
    }
    nap(200);
    while (push(&handles, (int64_t)taken * FRAME_NANOS) == ECHOCART_OK) {
        taken += 1;
        nap(20);
    }
    EXPECT(ECHOCART_WOULD_BLOCK, push(&handles, (int64_t)taken * FRAME_NANOS));
    EXPECT(ECHOCART_TIMEOUT, echocart_session_stop(handles.session, 1));
    EXPECT(ECHOCART_CLOSED, push(&handles, (int64_t)taken * FRAME_NANOS));
    while ((code = poll(&handles, &result)) == ECHOCART_OK) {
        last_kind = result.kind;
    }
    EXPECT(ECHOCART_END, code);
    CHECK(last_kind == ECHOCART_RESULT_SUMMARY && result.counters.captured <= (uint64_t)taken);
    CHECK(result.counters.captured == result.counters.used + result.counters.unused
                                          + result.counters.in_flight);
    destroy(&handles);
}

/* Pushes frames, stops without having polled, and gives how many results there were. */
static int unpolled(int queue, uint64_t timeout_micros, uint32_t expected, uint64_t *out_dropped)
{
    handles_t handles;
    echocart_session_config_t config = config_of(package_dir, library_path);
    echocart_result_t result;
    char toml[TEXT_BYTES];
    char digits[16];
    char *number;
    int results = 0;

    memcpy(toml, read_text("demo.toml"), sizeof toml);
    snprintf(digits, sizeof digits, "%3d", queue);
    number = strstr(toml, "event_queue = 256");
    CHECK(number != NULL);
    memcpy(number + strlen("event_queue = "), digits, 3);
    set_toml(&config, toml);
    CHECK(create(&config, &handles) == ECHOCART_OK);
    push_all(&handles, 150);
    EXPECT(expected, echocart_session_stop(handles.session, timeout_micros));
    while (poll(&handles, &result) == ECHOCART_OK) {
        results += 1;
    }
    CHECK(result.kind == ECHOCART_RESULT_SUMMARY);
    EXPECT(ECHOCART_END, poll(&handles, &result));
    *out_dropped = result.results_dropped;
    destroy(&handles);
    return results;
}

/* Stopping does not wait for a reader, whether the queue has room for the summary or not. */
static void stopping_without_polling(void)
{
    uint64_t dropped = 77;
    int results = unpolled(256, 60000000, ECHOCART_OK, &dropped);

    CHECK(results > 17 && dropped == 0);
    CHECK(unpolled(results - 1, 4000000, ECHOCART_OK, &dropped) == results - 1 && dropped == 1);
    unpolled(results - 2, 1000000, ECHOCART_TIMEOUT, &dropped);
}

static void the_reader_goes_first(void)
{
    handles_t handles;
    echocart_session_config_t config = config_of(package_dir, library_path);

    EXPECT(ECHOCART_OK, create(&config, &handles));
    EXPECT(ECHOCART_OK, push(&handles, 0));
    EXPECT(ECHOCART_OK, echocart_result_port_destroy(&handles.results));
    EXPECT(ECHOCART_CLOSED, push(&handles, FRAME_NANOS));
    destroy(&handles);
}

/* Pushes live frames for the length of a clip and lets its result lie until it is too old. */
static int stale_results(handles_t *handles)
{
    echocart_result_t result;
    int64_t now = 0;
    int at;
    int stale = 0;

    for (at = 0; at < 75; at += 1) {
        EXPECT(ECHOCART_OK, echocart_clock_now(&now));
        EXPECT(ECHOCART_OK, push(handles, now));
        nap(FRAME_NANOS / 1000000);
    }
    nap(600);
    while (poll(handles, &result) == ECHOCART_OK) {
        if (result.kind == ECHOCART_RESULT_ESTIMATE && result.raw_view_count > 0) {
            stale += 1;
            CHECK(result.view.status == ECHOCART_STATUS_WITHHELD);
            CHECK(result.view.reason == ECHOCART_REASON_STALE);
            CHECK(result.view_label == ECHOCART_NO_LABEL && result.sent_nanos > 0);
            CHECK(result.view.valid_until_nanos == ECHOCART_NO_TIME);
            CHECK(result.view.age_newest_nanos > 300000000);
            CHECK(result.view.age_oldest_nanos > result.view.age_newest_nanos);
        }
    }
    return stale;
}

static void real_pace(void)
{
    handles_t handles;
    echocart_session_config_t config = config_of(package_dir, library_path);
    int64_t now = 0;
    int at;
    int stale = 0;
    uint32_t code = ECHOCART_OK;

    config.pace = ECHOCART_PACE_REAL;
    set_toml(&config, read_text("short-lived.toml"));
    EXPECT(ECHOCART_OK, create(&config, &handles));
    EXPECT(ECHOCART_OK, echocart_clock_now(&now));
    EXPECT(ECHOCART_BAD_TIME, push(&handles, now + 60000000000));
    for (at = 0; at < 5 && stale == 0; at += 1) {
        stale = stale_results(&handles);
    }
    CHECK(stale > 0);
    EXPECT(ECHOCART_OK, echocart_clock_now(&now));
    for (at = 0; at < 1000000 && code == ECHOCART_OK; at += 1) {
        code = push(&handles, now);
    }
    EXPECT(ECHOCART_DROPPED, code);
    echocart_session_stop(handles.session, 0);
    destroy(&handles);
}

static void demonstrations_stay_inside(void)
{
    handles_t handles;
    echocart_session_config_t config = config_of(package_dir, library_path);
    echocart_result_t result;
    int seen = 0;

    config.allow_demonstration = 0;
    EXPECT(ECHOCART_OK, create(&config, &handles));
    push_all(&handles, 66);
    EXPECT(ECHOCART_OK, echocart_session_stop(handles.session, 20000000));
    while (poll(&handles, &result) == ECHOCART_OK) {
        if (result.kind == ECHOCART_RESULT_ESTIMATE) {
            seen += 1;
            CHECK(result.view.status == ECHOCART_STATUS_DEMONSTRATION);
            CHECK(result.view_label == ECHOCART_NO_LABEL && isnan(result.view_probabilities[0]));
            CHECK(result.view.segments[0].view == ECHOCART_NO_LABEL);
            CHECK(result.raw_view_count == 0 && isnan(result.raw_view[0]));
            CHECK(isnan(result.lvef_percent) && result.raw_lvef_count == 0);
        }
    }
    CHECK(seen > 0);
    destroy(&handles);
}

static void *poll_for_a_while(void *argument)
{
    handles_t *handles = (handles_t *)argument;
    uintptr_t concurrent = 0;
    echocart_result_t result;
    int at;

    for (at = 0; at < 200000; at += 1) {
        uint32_t code = poll(handles, &result);
        concurrent += code == ECHOCART_CONCURRENT_USE;
        if (code != ECHOCART_CONCURRENT_USE && code != ECHOCART_EMPTY && code != ECHOCART_OK) {
            return NULL;
        }
    }
    return (void *)(concurrent + 1);
}

static void polls_from_two_threads(void)
{
    handles_t handles;
    echocart_session_config_t config = config_of(package_dir, library_path);
    uintptr_t concurrent = 0;
    int attempt;

    EXPECT(ECHOCART_OK, create(&config, &handles));
    for (attempt = 0; attempt < 100 && concurrent == 0; attempt += 1) {
        pthread_t other;
        void *theirs = NULL;
        void *ours;
        CHECK(pthread_create(&other, NULL, poll_for_a_while, &handles) == 0);
        ours = poll_for_a_while(&handles);
        CHECK(pthread_join(other, &theirs) == 0 && ours != NULL && theirs != NULL);
        concurrent = (uintptr_t)ours + (uintptr_t)theirs - 2;
    }
    EXPECT(ECHOCART_CONCURRENT_USE, concurrent > 0 ? ECHOCART_CONCURRENT_USE : ECHOCART_OK);
    destroy(&handles);
}

/* In a child, so that the second runtime is gone afterwards. */
static void another_runtime_is_mapped(void)
{
    int status = 0;
    pid_t child;

    fflush(stdout);
    child = fork();
    if (child == 0) {
        echocart_session_config_t config = config_of(package_dir, library_path);
        handles_t handles;
        const char *other = in_folder("libonnxruntime-copy.so");
        int right;
        config.isolation = ECHOCART_ISOLATION_IN_PROCESS;
        right = dlopen(other, RTLD_NOW | RTLD_LOCAL) != NULL;
        right = right && create(&config, &handles) == ECHOCART_LIBRARY_CONFLICT;
        _exit(right && error_says(other) && error_says("1.28") ? 0 : 1);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    EXPECT(ECHOCART_LIBRARY_CONFLICT, status == 0 ? ECHOCART_LIBRARY_CONFLICT : ECHOCART_OK);
}

static void what_a_session_may_be_asked_for(void)
{
    echocart_session_config_t config = config_of(package_dir, library_path);

    config.isolation = ECHOCART_ISOLATION_WORKER;
    config.worker_path = "/nowhere/echocart-worker";
    config.worker_path_bytes = strlen(config.worker_path);
    EXPECT(ECHOCART_WORKER_MISSING, create_fails(&config));
    CHECK(error_says("/nowhere/echocart-worker"));
    config = config_of(package_dir, library_path);
    config.isolation = 3;
    EXPECT(ECHOCART_BAD_ARGUMENT, create_fails(&config));
    config = config_of(package_dir, library_path);
    config.priority = 3;
    EXPECT(ECHOCART_BAD_ARGUMENT, create_fails(&config));
    config = config_of(package_dir, library_path);
    config.threads = 65;
    EXPECT(ECHOCART_BAD_ARGUMENT, create_fails(&config));
    config = config_of(package_dir, library_path);
    config.log_level = 4;
    EXPECT(ECHOCART_BAD_ARGUMENT, create_fails(&config));
    config = config_of(package_dir, library_path);
    config.reserve_frame_bytes = UINT64_MAX;
    EXPECT(ECHOCART_BAD_ARGUMENT, create_fails(&config));
    config = config_of(package_dir, library_path);
    config.cpu_set[ECHOCART_CPU_SET_WORDS - 1] = UINT64_C(1) << 63;
    EXPECT(ECHOCART_CPU_SET_REFUSED, create_fails(&config));
}

static void self_test(void)
{
    echocart_session_config_t config = config_of(package_dir, library_path);
    echocart_self_test_t report;

    EXPECT(ECHOCART_NULL_ARGUMENT, echocart_self_test(&config, sizeof report, NULL));
    EXPECT(ECHOCART_BAD_STRUCT_SIZE, echocart_self_test(&config, 4, &report));
    EXPECT(ECHOCART_OK, echocart_self_test(&config, sizeof report, &report));
    CHECK(report.clips == 2 && report.checks > 4 && report.failed == 0 && report.detail[0] != 0);
    config = config_of(in_folder("swapped"), library_path);
    EXPECT(ECHOCART_SELF_TEST_FAILED, echocart_self_test(&config, sizeof report, &report));
    CHECK(error_says("heart"));
}

static void pausing(void)
{
    handles_t handles;
    echocart_session_config_t config = config_of(package_dir, library_path);
    echocart_session_stats_t stats;
    echocart_session_memory_t memory;

    config.reserve_frame_bytes = sizeof pixels;
    EXPECT(ECHOCART_OK, create(&config, &handles));
    EXPECT(ECHOCART_OK, echocart_session_start(handles.session));
    EXPECT(ECHOCART_OK, push(&handles, 0));
    EXPECT(ECHOCART_OK, echocart_session_pause(handles.session));
    EXPECT(ECHOCART_OK, echocart_session_pause(handles.session));
    EXPECT(ECHOCART_BAD_STATE, echocart_session_start(handles.session));
    EXPECT(ECHOCART_PAUSED, push(&handles, FRAME_NANOS));
    EXPECT(ECHOCART_OK, echocart_session_stats(handles.session, sizeof stats, &stats));
    CHECK(stats.running == 0 && stats.push.count == 1);
    EXPECT(ECHOCART_OK, echocart_session_resume(handles.session));
    EXPECT(ECHOCART_OK, push(&handles, FRAME_NANOS));
    EXPECT(ECHOCART_BAD_STRUCT_SIZE, echocart_session_memory(handles.session, 4, &memory));
    EXPECT(ECHOCART_OK, echocart_session_memory(handles.session, sizeof memory, &memory));
    CHECK(memory.frame_buffer_bytes >= memory.frame_buffers * sizeof pixels);
    CHECK(memory.frame_buffer_limit_bytes >= memory.frame_buffer_bytes);
    CHECK(memory.process_bytes > 0);
    EXPECT(ECHOCART_OK, echocart_session_stop(handles.session, 20000000));
    EXPECT(ECHOCART_BAD_STATE, echocart_session_start(handles.session));
    EXPECT(ECHOCART_OK, echocart_session_stats(handles.session, sizeof stats, &stats));
    CHECK(stats.running == 0 && stats.counters.captured == 2 && stats.exams == 1);
    destroy(&handles);
}

static void recording(void)
{
    char toml[TEXT_BYTES + 128];
    handles_t handles;
    echocart_session_config_t config = config_of(package_dir, library_path);
    const char *path = in_folder("held.echorec");
    uint64_t records = 0;
    uint64_t frames = 0;

    remove(path);
    snprintf(toml, sizeof toml, "%s\n[recorder]\nbudget_mib = 8\nfolder = \"unused\"\n",
             read_text("demo.toml"));
    set_toml(&config, toml);
    EXPECT(ECHOCART_OK, create(&config, &handles));
    EXPECT(ECHOCART_OK, echocart_session_start(handles.session));
    EXPECT(ECHOCART_OK, push(&handles, 0));
    EXPECT(ECHOCART_OK, echocart_session_stop(handles.session, 20000000));
    EXPECT(ECHOCART_OK,
           echocart_session_save(handles.session, path, strlen(path), &records, &frames));
    CHECK(records > 0);
    EXPECT(ECHOCART_SAVE_FAILED,
           echocart_session_save(handles.session, path, strlen(path), &records, &frames));
    CHECK(error_says("held.echorec"));
    destroy(&handles);
}

static void leases(void)
{
    handles_t handles;
    echocart_session_config_t config = config_of(package_dir, library_path);
    echocart_frame_t frame = frame_at(0);
    uint8_t *lent = NULL;
    uint8_t *again = NULL;
    uint64_t number = 0;

    EXPECT(ECHOCART_OK, create(&config, &handles));
    EXPECT(ECHOCART_BAD_STATE, echocart_frame_commit(handles.frames, &frame, &number));
    EXPECT(ECHOCART_OK, echocart_frame_release(handles.frames));
    EXPECT(ECHOCART_NULL_ARGUMENT, echocart_frame_lease(handles.frames, sizeof pixels, NULL));
    EXPECT(ECHOCART_BAD_FRAME_SIZE, echocart_frame_lease(handles.frames, 0, &lent));
    EXPECT(ECHOCART_BAD_FRAME_SIZE, echocart_frame_lease(handles.frames, UINT64_MAX, &lent));
    EXPECT(ECHOCART_OK, echocart_frame_lease(handles.frames, sizeof pixels, &lent));
    EXPECT(ECHOCART_BAD_STATE, echocart_frame_lease(handles.frames, sizeof pixels, &again));
    EXPECT(ECHOCART_BAD_ARGUMENT, echocart_frame_commit(handles.frames, &frame, &number));
    memcpy(lent, pixels, sizeof pixels);
    frame.pixels = lent;
    frame.pixel_bytes = sizeof pixels + 1;
    EXPECT(ECHOCART_BAD_ARGUMENT, echocart_frame_commit(handles.frames, &frame, &number));
    frame.pixel_bytes = sizeof pixels;
    EXPECT(ECHOCART_OK, echocart_frame_commit(handles.frames, &frame, &number));
    CHECK(number == 0);
    EXPECT(ECHOCART_BAD_STATE, echocart_frame_commit(handles.frames, &frame, &number));
    EXPECT(ECHOCART_OK, push(&handles, FRAME_NANOS));
    EXPECT(ECHOCART_OK, echocart_frame_lease(handles.frames, sizeof pixels, &lent));
    EXPECT(ECHOCART_OK, echocart_frame_release(handles.frames));
    EXPECT(ECHOCART_OK, echocart_frame_lease(handles.frames, sizeof pixels, &lent));
    EXPECT(ECHOCART_OK, echocart_session_destroy(&handles.session));
    memset(lent, 1, sizeof pixels);
    frame.pixels = lent;
    EXPECT(ECHOCART_CLOSED, echocart_frame_commit(handles.frames, &frame, &number));
    destroy(&handles);
}

typedef struct {
    handles_t *handles;
    int results;
    int ended;
    uint32_t inside;
} listener_t;

static void ECHOCART_CALL listen(void *user_data, const echocart_result_t *result)
{
    listener_t *listener = (listener_t *)user_data;
    echocart_result_t other;

    listener->results += 1;
    listener->inside = poll(listener->handles, &other);
    __atomic_store_n(&listener->ended, result->kind == ECHOCART_RESULT_SUMMARY, __ATOMIC_RELEASE);
}

static void ECHOCART_CALL count_line(void *user_data, uint32_t level, const char *text,
                                     uint64_t text_bytes)
{
    CHECK(level >= ECHOCART_LOG_ERROR && level <= ECHOCART_LOG_INFO);
    CHECK(text_bytes == strlen(text) && text_bytes > 0);
    *(int *)user_data += 1;
}

static void callbacks(void)
{
    handles_t handles;
    echocart_session_config_t config = config_of(package_dir, library_path);
    echocart_result_t result;
    listener_t listener;
    int lines = 0;
    int at;

    config.log_callback = count_line;
    config.log_user_data = &lines;
    config.log_level = ECHOCART_LOG_INFO;
    memset(&listener, 0, sizeof listener);
    listener.handles = &handles;
    EXPECT(ECHOCART_OK, create(&config, &handles));
    EXPECT(ECHOCART_OK, echocart_result_wait(handles.results, 1000000, sizeof result, &result));
    CHECK(result.state == ECHOCART_STATE_STARTED);
    EXPECT(ECHOCART_EMPTY, echocart_result_wait(handles.results, 1000, sizeof result, &result));
    EXPECT(ECHOCART_NULL_ARGUMENT, echocart_result_subscribe(handles.results, NULL, NULL));
    EXPECT(ECHOCART_OK, echocart_result_subscribe(handles.results, listen, &listener));
    EXPECT(ECHOCART_BAD_STATE, echocart_result_subscribe(handles.results, listen, &listener));
    EXPECT(ECHOCART_BAD_STATE, poll(&handles, &result));
    push_all(&handles, 66);
    EXPECT(ECHOCART_OK, echocart_session_stop(handles.session, 20000000));
    for (at = 0; at < 5000 && !__atomic_load_n(&listener.ended, __ATOMIC_ACQUIRE); at += 1) {
        nap(1);
    }
    destroy(&handles);
    CHECK(listener.ended && listener.results > 2 && lines >= 3);
    EXPECT(ECHOCART_IN_CALLBACK, listener.inside);
}

static void check_segments(const echocart_output_t *output, uint64_t first_of_b)
{
    uint32_t at;
    for (at = 0; at < output->segment_count; at += 1) {
        const echocart_segment_t *segment = &output->segments[at];
        CHECK(segment->first_host_frame_id <= segment->last_host_frame_id);
        if (segment->exam_token[0] == 0xA) {
            CHECK(segment->last_host_frame_id < first_of_b);
        } else {
            CHECK(segment->exam_token[15] == 0xB && segment->first_host_frame_id >= first_of_b);
        }
    }
}

static void a_new_exam(void)
{
    handles_t handles;
    echocart_session_config_t config = config_of(package_dir, library_path);
    echocart_result_t result;
    uint64_t switched;
    uint64_t rejected = 0;
    int of_b = 0;

    for (switched = 30; switched < 120; switched += 29) {
        uint64_t at;
        EXPECT(ECHOCART_OK, create(&config, &handles));
        for (at = 0; at < 200; at += 1) {
            echocart_frame_t frame = frame_at((int64_t)at * FRAME_NANOS);
            uint64_t number = 0;
            frame.host_frame_id = at;
            frame.flags = ECHOCART_FRAME_HAS_SEQUENCE;
            frame.sequence = at * 2;
            memset(frame.exam_token, at < switched ? 0xA : 0xB, sizeof frame.exam_token);
            while (echocart_frame_push(handles.frames, &frame, &number) == ECHOCART_WOULD_BLOCK) {
                nap(1);
            }
        }
        EXPECT(ECHOCART_OK, echocart_session_stop(handles.session, 30000000));
        while (poll(&handles, &result) == ECHOCART_OK) {
            check_segments(&result.view, switched);
            check_segments(&result.lvef, switched);
            of_b += result.view.segment_count > 0 && result.view.segments[0].exam_token[0] == 0xB;
            if (result.kind == ECHOCART_RESULT_SUMMARY) {
                rejected += result.counters.rejected[ECHOCART_REASON_NEW_EXAM];
            }
        }
        destroy(&handles);
    }
    CHECK(rejected > 0 && of_b > 0);
}

int main(int count, char **arguments)
{
    int at;

    if (count != 5) {
        fprintf(stderr, "usage: contract PACKAGE LIBRARY FOLDER ISOLATION\n");
        return 2;
    }
    isolation = (uint32_t)strtoul(arguments[4], NULL, 10);
    package_dir = arguments[1];
    library_path = arguments[2];
    folder = arguments[3];
    for (at = 0; at < (int)sizeof pixels; at += 1) {
        pixels[at] = (uint8_t)(at * 7 % 251);
    }
    for (at = 0; at < (int)sizeof noise; at += 1) {
        noise[at] = (uint8_t)((uint32_t)at * (uint32_t)at * 2654435761u >> 24);
    }
    without_a_session();
    another_runtime_is_mapped();
    what_cannot_be_created();
    what_a_session_may_be_asked_for();
    self_test();
    pausing();
    recording();
    leases();
    callbacks();
    a_new_exam();
    a_stream_to_its_end();
    nobody_polls();
    stopping_without_polling();
    the_reader_goes_first();
    real_pace();
    demonstrations_stay_inside();
    polls_from_two_threads();
    return failures == 0 ? 0 : 1;
}
