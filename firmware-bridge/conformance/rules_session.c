/* Starting and pausing, leases, exams, the self-test, counts and memory. */

#include "kit.h"

#include <stdio.h>
#include <string.h>

#define WIDTH 96
#define HEIGHT 80
#define BYTES (WIDTH * HEIGHT)
#define STEP INT64_C(33333333)
#define EXAM_FRAMES 100

static uint8_t pixels[BYTES];

static void draw(uint8_t *out, int64_t number)
{
    for (size_t at = 0; at < BYTES; at += 1) {
        out[at] = (uint8_t)((at * (size_t)(number % 89 + 3)) % 253);
    }
}

static echocart_frame_t frame_at(int64_t number)
{
    echocart_frame_t frame;
    draw(pixels, number);
    memset(&frame, 0, sizeof frame);
    frame.struct_size = sizeof frame;
    frame.format = ECHOCART_PIXEL_GRAY8;
    frame.width_px = WIDTH;
    frame.height_px = HEIGHT;
    frame.row_stride_bytes = WIDTH;
    frame.pixels = pixels;
    frame.pixel_bytes = BYTES;
    frame.capture_nanos = number * STEP;
    frame.host_frame_id = (uint64_t)number + 1000;
    return frame;
}

static void states(void)
{
    echocart_session_config_t config = plain_config();
    echocart_frame_t frame = frame_at(0);
    handles_t handles;

    if (EXPECT(ECHOCART_OK, create(&config, &handles)) != ECHOCART_OK) {
        return;
    }
    EXPECT(ECHOCART_PAUSED, push(&handles, &frame));
    EXPECT(ECHOCART_BAD_STATE, echocart_session_pause(handles.session));
    EXPECT(ECHOCART_BAD_STATE, echocart_session_resume(handles.session));
    EXPECT(ECHOCART_OK, echocart_session_start(handles.session));
    EXPECT(ECHOCART_OK, echocart_session_start(handles.session));
    EXPECT(ECHOCART_OK, push(&handles, &frame));
    EXPECT(ECHOCART_OK, echocart_session_pause(handles.session));
    EXPECT(ECHOCART_OK, echocart_session_pause(handles.session));
    frame = frame_at(1);
    EXPECT(ECHOCART_PAUSED, push(&handles, &frame));
    EXPECT(ECHOCART_BAD_STATE, echocart_session_start(handles.session));
    EXPECT(ECHOCART_OK, echocart_session_resume(handles.session));
    EXPECT(ECHOCART_BAD_STATE, echocart_session_resume(handles.session));
    EXPECT(ECHOCART_OK, push(&handles, &frame));
    EXPECT(ECHOCART_OK, echocart_session_stop(handles.session, 10000000));
    EXPECT(ECHOCART_BAD_STATE, echocart_session_start(handles.session));
    EXPECT(ECHOCART_BAD_STATE, echocart_session_pause(handles.session));
    destroy(&handles);
}

static void formats(void)
{
    static uint8_t room[WIDTH * HEIGHT * 4];
    static const uint32_t BYTES_PX[] = {0, 1, 3, 4, 2, 1};
    echocart_session_config_t config = plain_config();
    echocart_frame_t frame = frame_at(0);
    handles_t handles;

    if (!CREATE(&config, &handles)) {
        return;
    }
    frame.pixels = room;
    for (uint32_t format = ECHOCART_PIXEL_GRAY8; format <= ECHOCART_PIXEL_NV12; format += 1) {
        frame.format = format;
        frame.row_stride_bytes = WIDTH * BYTES_PX[format];
        frame.pixel_bytes = (uint64_t)frame.row_stride_bytes * HEIGHT;
        frame.pixel_bytes += format == ECHOCART_PIXEL_NV12 ? frame.pixel_bytes / 2 : 0;
        frame.capture_nanos += STEP;
        EXPECT(ECHOCART_OK, push_patiently(&handles, &frame));
        frame.pixel_bytes -= 1;
        EXPECT(ECHOCART_BAD_FRAME_SIZE, push(&handles, &frame));
        if (format >= ECHOCART_PIXEL_YUY2) {
            frame.pixel_bytes += 1;
            frame.width_px = WIDTH - 1;
            EXPECT(ECHOCART_BAD_FRAME_SIZE, push(&handles, &frame));
            frame.width_px = WIDTH;
        }
    }
    destroy(&handles);
}

static uint64_t hash;
static int clips;
static int with_raw;

static void hash_result(const echocart_result_t *result)
{
    const uint8_t *bytes = (const uint8_t *)result->raw_view;
    clips += result->kind == ECHOCART_RESULT_ESTIMATE;
    with_raw += result->raw_view_count > 0;
    for (size_t at = 0; at < result->raw_view_count * sizeof(float); at += 1) {
        hash = (hash ^ bytes[at]) * UINT64_C(1099511628211);
    }
}

/* Pushes a frame from a lent buffer; at maximum pace, so that it waits for room. */
static uint32_t lend(handles_t *handles, int64_t number)
{
    echocart_frame_t frame = frame_at(number);
    uint8_t *room = NULL;
    uint64_t frame_number = 0;
    uint32_t code = ECHOCART_WOULD_BLOCK;

    for (int wait = 0; code == ECHOCART_WOULD_BLOCK && wait < 20000; wait += 1) {
        code = kit_seen(echocart_frame_lease(handles->frames, BYTES, &room));
        if (code == ECHOCART_WOULD_BLOCK) {
            nap_millis(1);
        }
    }
    if (code != ECHOCART_OK || room == NULL) {
        return code;
    }
    draw(room, number);
    frame.pixels = room;
    code = ECHOCART_WOULD_BLOCK;
    for (int wait = 0; code == ECHOCART_WOULD_BLOCK && wait < 20000; wait += 1) {
        code = kit_seen(echocart_frame_commit(handles->frames, &frame, &frame_number));
        if (code == ECHOCART_WOULD_BLOCK) {
            nap_millis(1);
        }
    }
    return code;
}

static uint64_t stream_hash(int leased)
{
    echocart_session_config_t config = plain_config();
    handles_t handles;

    hash = 0;
    clips = 0;
    with_raw = 0;
    if (!CREATE(&config, &handles)) {
        return 0;
    }
    for (int64_t number = 0; number < 90; number += 1) {
        echocart_frame_t frame = frame_at(number);
        EXPECT(ECHOCART_OK,
               leased ? lend(&handles, number) : push_patiently(&handles, &frame));
    }
    wait_source_ended(&handles, hash_result);
    destroy(&handles);
    CHECK(clips > 3);
    return hash;
}

static void leases(void)
{
    echocart_session_config_t config = plain_config();
    echocart_frame_t frame = frame_at(0);
    handles_t handles;
    uint64_t number = 77;
    uint8_t *room = NULL;
    uint8_t *second = NULL;
    uint64_t hashes[2];
    int counts[2];
    int answers[2];

    if (!CREATE(&config, &handles)) {
        return;
    }
    EXPECT(ECHOCART_BAD_STATE, echocart_frame_commit(handles.frames, &frame, &number));
    EXPECT(ECHOCART_OK, echocart_frame_release(handles.frames));
    EXPECT(ECHOCART_BAD_FRAME_SIZE, echocart_frame_lease(handles.frames, 0, &room));
    EXPECT(ECHOCART_BAD_FRAME_SIZE, echocart_frame_lease(handles.frames, UINT64_MAX, &room));
    EXPECT(ECHOCART_NULL_ARGUMENT, echocart_frame_lease(handles.frames, BYTES, NULL));
    EXPECT(ECHOCART_OK, echocart_frame_lease(handles.frames, BYTES, &room));
    EXPECT(ECHOCART_BAD_STATE, echocart_frame_lease(handles.frames, BYTES, &second));
    CHECK(room != NULL && second == NULL && number == 77);
    memset(room, 1, BYTES);
    frame.pixels = room;
    frame.pixel_bytes = BYTES + 1;
    CHECK(kit_seen(echocart_frame_commit(handles.frames, &frame, &number)) != ECHOCART_OK);
    frame.pixel_bytes = BYTES;
    EXPECT(ECHOCART_OK, push(&handles, &frame));
    frame.capture_nanos += STEP;
    EXPECT(ECHOCART_OK, echocart_frame_commit(handles.frames, &frame, &number));
    EXPECT(ECHOCART_BAD_STATE, echocart_frame_commit(handles.frames, &frame, &number));
    EXPECT(ECHOCART_OK, echocart_frame_lease(handles.frames, BYTES, &room));
    EXPECT(ECHOCART_OK, echocart_session_destroy(&handles.session));
    memset(room, 2, BYTES);
    destroy(&handles);
    for (int leased = 0; leased < 2; leased += 1) {
        hashes[leased] = stream_hash(leased);
        counts[leased] = clips;
        answers[leased] = with_raw;
    }
    if (hashes[0] != hashes[1]) {
        kit_fail(__LINE__, "by copy and lent: %d and %d clips, %d and %d of them with numbers, not the same", counts[0],
                 counts[1], answers[0], answers[1]);
    }
}

static int withheld_for[ECHOCART_REASONS];
static int values;

/* One clip may hold frames of one exam and without flags only; ids are those of its frames. */
static void check_segment(const echocart_segment_t *segment)
{
    uint8_t token = (uint8_t)(1 + segment->first_frame / EXAM_FRAMES);
    if (segment->first_frame / EXAM_FRAMES != segment->last_frame / EXAM_FRAMES) {
        kit_fail(__LINE__, "a clip holds the frames %" PRIu64 " to %" PRIu64 " of two exams",
                 segment->first_frame, segment->last_frame);
    }
    CHECK(segment->first_host_frame_id == segment->first_frame + 1000);
    CHECK(segment->last_host_frame_id == segment->last_frame + 1000);
    for (int at = 0; at < ECHOCART_EXAM_TOKEN_BYTES; at += 1) {
        CHECK(segment->exam_token[at] == token);
    }
}

static void check_exam(const echocart_result_t *result)
{
    static uint8_t newest;
    if (result->kind != ECHOCART_RESULT_ESTIMATE) {
        return;
    }
    withheld_for[result->view.reason % ECHOCART_REASONS] += 1;
    values += result->view.status == ECHOCART_STATUS_DEMONSTRATION
              || result->view.status == ECHOCART_STATUS_VALUE;
    for (uint32_t at = 0; at < result->view.segment_count; at += 1) {
        check_segment(&result->view.segments[at]);
        CHECK(result->view.segments[at].exam_token[0] >= newest);
        newest = result->view.segments[at].exam_token[0];
    }
    for (uint32_t at = 0; at < result->lvef.segment_count; at += 1) {
        check_segment(&result->lvef.segments[at]);
    }
}

static void exams(void)
{
    echocart_session_config_t config = plain_config();
    handles_t handles;

    if (!CREATE(&config, &handles)) {
        return;
    }
    for (int64_t number = 0; number < 4 * EXAM_FRAMES; number += 1) {
        echocart_frame_t frame = frame_at(number);
        memset(frame.exam_token, (int)(1 + number / EXAM_FRAMES), sizeof frame.exam_token);
        EXPECT(ECHOCART_OK, push_patiently(&handles, &frame));
    }
    wait_source_ended(&handles, check_exam);
    CHECK(values > 4);
    destroy(&handles);
}

static int64_t flagged_from;

static void check_flagged(const echocart_result_t *result)
{
    if (result->kind != ECHOCART_RESULT_ESTIMATE) {
        return;
    }
    withheld_for[result->view.reason % ECHOCART_REASONS] += 1;
    if (result->view.status == ECHOCART_STATUS_WITHHELD) {
        return;
    }
    values += 1;
    for (uint32_t at = 0; at < result->view.segment_count; at += 1) {
        CHECK((int64_t)result->view.segments[at].last_frame < flagged_from);
    }
}

static void flagged(uint32_t flag, uint32_t reason)
{
    echocart_session_config_t config = plain_config();
    echocart_result_t result;
    handles_t handles;

    values = 0;
    flagged_from = 100;
    memset(withheld_for, 0, sizeof withheld_for);
    memset(&result, 0, sizeof result);
    if (!CREATE(&config, &handles)) {
        return;
    }
    for (int64_t number = 0; number < 220; number += 1) {
        echocart_frame_t frame = frame_at(number);
        frame.flags = number >= flagged_from ? flag : 0;
        EXPECT(ECHOCART_OK, push_patiently(&handles, &frame));
    }
    wait_source_ended(&handles, check_flagged);
    EXPECT(ECHOCART_OK, echocart_session_stop(handles.session, 60000000));
    while (poll_result(&handles, &result) == ECHOCART_OK) {
    }
    CHECK(values > 0);
    CHECK(withheld_for[reason] > 0 || result.counters.rejected[reason] > 0);
    destroy(&handles);
}

static void flags(void)
{
    flagged(ECHOCART_FRAME_COLOUR_ON, ECHOCART_REASON_COLOUR_ON);
    flagged(ECHOCART_FRAME_FROZEN, ECHOCART_REASON_FROZEN);
}

static void self_test(void)
{
    echocart_session_config_t config = plain_config();
    echocart_self_test_t report;
    char path[KIT_PATH_BYTES];

    EXPECT(ECHOCART_BAD_STRUCT_SIZE, echocart_self_test(&config, 8, &report));
    EXPECT(ECHOCART_OK, echocart_self_test(&config, sizeof report, &report));
    CHECK(report.struct_size == sizeof report && report.clips > 0 && report.failed == 0);
    CHECK(report.checks >= report.clips && memchr(report.detail, 0, sizeof report.detail) != NULL);
    kit_note("%" PRIu32 " golden clips, %" PRIu32 " comparisons", report.clips, report.checks);
    snprintf(path, sizeof path, "%s", copy_package("swapped"));
    if (swap_golden_clips(path)) {
        config = config_of(path, kit.library);
        EXPECT(ECHOCART_SELF_TEST_FAILED, echocart_self_test(&config, sizeof report, &report));
    } else {
        kit_note("SELF_TEST_FAILED not tried: the package has fewer than two golden clips");
    }
}

static void cpu_sets(void)
{
    echocart_session_config_t config = plain_config();
    handles_t handles;

    config.cpu_set[ECHOCART_CPU_SET_WORDS - 1] = UINT64_C(1) << 63;
    EXPECT(ECHOCART_CPU_SET_REFUSED, create(&config, &handles));
    config = plain_config();
    config.priority = 9;
    EXPECT(ECHOCART_BAD_ARGUMENT, create(&config, &handles));
    config = plain_config();
    config.threads = 65;
    EXPECT(ECHOCART_BAD_ARGUMENT, create(&config, &handles));
}

static int log_lines;
static int log_tokens;

static void ECHOCART_CALL log_line(void *user_data, uint32_t level, const char *text, uint64_t bytes)
{
    (void)user_data;
    log_lines += level >= ECHOCART_LOG_ERROR && level <= ECHOCART_LOG_INFO && text[bytes] == 0;
    log_tokens += strstr(text, "SECRETTOKEN") != NULL || strstr(text, "5345435245545f") != NULL
                  || strstr(text, "53454352") != NULL;
}

static void logs(void)
{
    echocart_session_config_t config = plain_config();
    handles_t handles;

    config.log_level = ECHOCART_LOG_INFO;
    config.log_callback = log_line;
    if (!CREATE(&config, &handles)) {
        return;
    }
    for (int64_t number = 0; number < 60; number += 1) {
        echocart_frame_t frame = frame_at(number);
        memcpy(frame.exam_token, number < 30 ? "SECRETTOKEN 1234" : "SECRETTOKEN 5678", 16);
        EXPECT(ECHOCART_OK, push_patiently(&handles, &frame));
    }
    wait_source_ended(&handles, NULL);
    EXPECT(ECHOCART_OK, echocart_session_stop(handles.session, 10000000));
    destroy(&handles);
    CHECK(log_lines > 0 && log_tokens == 0);
    kit_note("%d lines of log", log_lines);
}

static void stats(void)
{
    echocart_session_config_t config = plain_config();
    echocart_session_stats_t stats;
    echocart_session_memory_t before;
    echocart_session_memory_t after;
    handles_t handles;

    config.reserve_frame_bytes = BYTES;
    if (!CREATE(&config, &handles)) {
        return;
    }
    EXPECT(ECHOCART_BAD_STRUCT_SIZE, echocart_session_stats(handles.session, 8, &stats));
    EXPECT(ECHOCART_BAD_STRUCT_SIZE, echocart_session_memory(handles.session, 8, &before));
    EXPECT(ECHOCART_OK, echocart_session_memory(handles.session, sizeof before, &before));
    for (int64_t number = 0; number < 90; number += 1) {
        echocart_frame_t frame = frame_at(number);
        frame.sequence = (uint64_t)number + (number >= 50 ? 7 : 0);
        frame.flags = ECHOCART_FRAME_HAS_SEQUENCE;
        EXPECT(ECHOCART_OK, push_patiently(&handles, &frame));
    }
    EXPECT(ECHOCART_OK, echocart_session_memory(handles.session, sizeof after, &after));
    wait_source_ended(&handles, NULL);
    EXPECT(ECHOCART_OK, echocart_session_stop(handles.session, 10000000));
    EXPECT(ECHOCART_OK, echocart_session_stats(handles.session, sizeof stats, &stats));
    CHECK(stats.struct_size == sizeof stats && stats.running == 0 && stats.frames_missing == 7);
    CHECK(stats.push.count == 90 && stats.push.p50_nanos <= stats.push.p99_nanos);
    CHECK(stats.push.min_nanos <= stats.push.p50_nanos && stats.push.p99_nanos > 0);
    CHECK(stats.inference.count > 0 && stats.counters.captured == 90);
    CHECK(counted(&stats.counters) == stats.counters.captured);
    CHECK(before.frame_buffers > 0 && before.frame_buffer_bytes >= BYTES);
    CHECK(after.frame_buffer_bytes == before.frame_buffer_bytes);
    CHECK(after.frame_buffer_bytes <= after.frame_buffer_limit_bytes);
    kit_note("frame buffers %" PRIu32 ", %" PRIu64 " bytes; creating took %" PRIu64 " bytes",
             after.frame_buffers, after.frame_buffer_bytes, after.create_bytes);
    destroy(&handles);
}

/* Saves what is held and gives how many records and frames that is. */
static uint32_t save(handles_t *handles, const char *path, uint64_t counts[2])
{
    return kit_seen(echocart_session_save(handles->session, path, strlen(path), &counts[0],
                                          &counts[1]));
}

/* Bytes of a file, -1 where there is none. */
static long file_bytes(const char *path)
{
    FILE *file = fopen(path, "rb");
    long bytes = -1;
    if (file != NULL) {
        fseek(file, 0, SEEK_END);
        bytes = ftell(file);
        fclose(file);
    }
    return bytes;
}

static void recording(void)
{
    static char toml[KIT_TOML_BYTES];
    char first[KIT_PATH_BYTES];
    char second[KIT_PATH_BYTES];
    echocart_session_config_t config = plain_config();
    uint64_t counts[2] = {7, 7};
    uint64_t again[2] = {7, 7};
    handles_t handles;
    long bytes;

    snprintf(first, sizeof first, "%s", scratch("first.echorec"));
    snprintf(second, sizeof second, "%s", scratch("second.echorec"));
    if (!CREATE(&config, &handles)) {
        return;
    }
    EXPECT(ECHOCART_BAD_STATE, save(&handles, first, counts));
    CHECK(error_says("[recorder]") && counts[0] == 7 && file_bytes(first) == -1);
    destroy(&handles);

    snprintf(toml, sizeof toml, "%s\n[recorder]\nbudget_mib = 16\nfolder = \"unused\"\n",
             base_toml());
    set_toml(&config, toml);
    if (!CREATE(&config, &handles)) {
        return;
    }
    for (int64_t number = 0; number < 90; number += 1) {
        echocart_frame_t frame = frame_at(number);
        EXPECT(ECHOCART_OK, push_patiently(&handles, &frame));
    }
    wait_source_ended(&handles, NULL);
    EXPECT(ECHOCART_NULL_ARGUMENT,
           echocart_session_save(handles.session, NULL, 4, &counts[0], &counts[1]));
    EXPECT(ECHOCART_NULL_ARGUMENT,
           echocart_session_save(handles.session, first, strlen(first), NULL, &counts[1]));
    EXPECT(ECHOCART_BAD_ARGUMENT, save(&handles, "", counts));
    EXPECT(ECHOCART_BAD_TEXT,
           echocart_session_save(handles.session, "\xff", 1, &counts[0], &counts[1]));
    EXPECT(ECHOCART_SAVE_FAILED, save(&handles, "/dev/null/no/such/folder", counts));
    CHECK(counts[0] == 7 && counts[1] == 7);
    EXPECT(ECHOCART_OK, save(&handles, first, counts));
    bytes = file_bytes(first);
    CHECK(counts[0] >= 90 && bytes > (long)counts[0]);
    EXPECT(ECHOCART_SAVE_FAILED, save(&handles, first, again));
    CHECK(error_says("first.echorec") && again[0] == 7 && file_bytes(first) == bytes);
    EXPECT(ECHOCART_OK, echocart_session_stop(handles.session, 10000000));
    EXPECT(ECHOCART_OK, save(&handles, second, again));
    CHECK(again[0] >= counts[0] && file_bytes(second) >= bytes);
    kit_note("%" PRIu64 " records and %" PRIu64 " frames, %ld bytes", counts[0], counts[1], bytes);
    destroy(&handles);
}

const rule_t session_rules[] = {
    {"session.states", "frames are taken only between start and stop, and not while paused", states},
    {"session.placement", "a CPU set, priority or thread count that cannot be had is refused",
     cpu_sets},
    {"frames.formats", "GRAY8, RGB24, BGRA32, YUY2 and NV12 are taken, each with its own size",
     formats},
    {"frames.leases", "a lent buffer goes in without a copy and gives the same numbers", leases},
    {"frames.flags", "what a frozen or coloured frame would be part of is withheld", flags},
    {"frames.exams", "no result of an exam holds a frame of another; ids are echoed", exams},
    {"session.self_test", "the self-test passes, and fails for a package with other numbers",
     self_test},
    {"session.log", "the log says something and never an exam token", logs},
    {"session.stats", "counts, times and memory are told and memory does not grow", stats},
    {"session.recording", "what the recorder holds is written to a new file, none is replaced",
     recording},
    {NULL, NULL, NULL},
};
