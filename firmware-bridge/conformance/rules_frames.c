/* What frames may be, and where every one of them goes. */

#include "kit.h"
#include "scanner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH 96
#define HEIGHT 80
#define STEP INT64_C(33333333)

/* Frames alternate, so that a pointer kept too long meets what the caller wrote meanwhile. */
static uint8_t buffers[2][WIDTH * HEIGHT];

static echocart_frame_t frame_at(int64_t number)
{
    uint8_t *pixels = buffers[number % 2];
    echocart_frame_t frame;
    for (size_t at = 0; at < sizeof buffers[0]; at += 1) {
        pixels[at] = (uint8_t)((at * (size_t)(number % 89 + 3)) % 253);
    }
    memset(&frame, 0, sizeof frame);
    frame.struct_size = sizeof frame;
    frame.format = ECHOCART_PIXEL_GRAY8;
    frame.width_px = WIDTH;
    frame.height_px = HEIGHT;
    frame.row_stride_bytes = WIDTH;
    frame.pixels = pixels;
    frame.pixel_bytes = sizeof buffers[0];
    frame.capture_nanos = number * STEP;
    return frame;
}

static void refuse(int line, handles_t *handles, uint32_t expected, const echocart_frame_t *frame)
{
    uint64_t number = 77;
    kit_expect(line, expected, echocart_frame_push(handles->frames, frame, &number));
    if (number != 77) {
        kit_fail(line, "the frame's number was written without ECHOCART_OK");
    }
}

#define REFUSED(expected) refuse(__LINE__, &handles, expected, &frame)

static void refused(void)
{
    static const int64_t TIMES[] = {-1, INT64_MIN, INT64_MAX, (INT64_C(1) << 62) + 1};
    echocart_session_config_t config = plain_config();
    handles_t handles;
    echocart_frame_t frame;

    if (!CREATE(&config, &handles)) {
        return;
    }
    frame = frame_at(0);
    frame.pixels = NULL;
    REFUSED(ECHOCART_NULL_ARGUMENT);
    frame = frame_at(0);
    frame.width_px = 0;
    REFUSED(ECHOCART_BAD_FRAME_SIZE);
    frame = frame_at(0);
    frame.height_px = 0;
    REFUSED(ECHOCART_BAD_FRAME_SIZE);
    frame = frame_at(0);
    frame.row_stride_bytes -= 1;
    REFUSED(ECHOCART_BAD_FRAME_SIZE);
    CHECK(error_says("row_stride_bytes"));
    frame = frame_at(0);
    frame.pixel_bytes -= 1;
    REFUSED(ECHOCART_BAD_FRAME_SIZE);
    frame = frame_at(0);
    frame.width_px = UINT32_MAX;
    frame.height_px = UINT32_MAX;
    frame.row_stride_bytes = UINT32_MAX;
    REFUSED(ECHOCART_BAD_FRAME_SIZE);
    frame = frame_at(0);
    frame.format = 0;
    REFUSED(ECHOCART_BAD_ARGUMENT);
    frame.format = 4711;
    REFUSED(ECHOCART_BAD_ARGUMENT);
    for (size_t at = 0; at < sizeof TIMES / sizeof *TIMES; at += 1) {
        frame = frame_at(0);
        frame.capture_nanos = TIMES[at];
        REFUSED(ECHOCART_BAD_TIME);
    }
    destroy(&handles);
}

static void unsupported(void)
{
    static const uint32_t LATER[] = {ECHOCART_MEMORY_CUDA, ECHOCART_MEMORY_DMABUF};
    echocart_session_config_t config = plain_config();
    handles_t handles;
    echocart_frame_t frame = frame_at(0);

    if (!CREATE(&config, &handles)) {
        return;
    }
    for (size_t at = 0; at < sizeof LATER / sizeof *LATER; at += 1) {
        frame.memory = LATER[at];
        REFUSED(ECHOCART_UNSUPPORTED);
    }
    destroy(&handles);
}

/* The raw numbers of a short stream as one hash, so that two streams can be compared. */
static uint64_t stream_hash;
static int stream_clips;

static void hash_result(const echocart_result_t *result)
{
    const uint8_t *bytes = (const uint8_t *)result->raw_view;
    if (result->kind != ECHOCART_RESULT_ESTIMATE) {
        return;
    }
    stream_clips += 1;
    for (size_t at = 0; at < result->raw_view_count * sizeof(float); at += 1) {
        stream_hash = (stream_hash ^ bytes[at]) * UINT64_C(1099511628211);
    }
}

static void stream(int scribble)
{
    echocart_session_config_t config = plain_config();
    handles_t handles;

    stream_hash = 0;
    stream_clips = 0;
    if (!CREATE(&config, &handles)) {
        return;
    }
    for (int64_t number = 0; number < 90; number += 1) {
        echocart_frame_t frame = frame_at(number);
        EXPECT(ECHOCART_OK, push_patiently(&handles, &frame));
        if (scribble) {
            memset(buffers[number % 2], (int)(number * 31 % 251), sizeof buffers[0]);
        }
    }
    wait_source_ended(&handles, hash_result);
    destroy(&handles);
}

static void borrowed(void)
{
    uint64_t first;
    stream(0);
    first = stream_hash;
    CHECK(stream_clips > 3);
    stream(1);
    CHECK(stream_hash == first);
}

static void repeatable(void)
{
    uint64_t first;
    stream(0);
    first = stream_hash;
    stream(0);
    CHECK(stream_hash == first && stream_clips > 3);
}

static handles_t *scanned;

static void drain(void *context)
{
    echocart_result_t *last = (echocart_result_t *)context;
    echocart_result_t result;
    while (poll_result(scanned, &result) == ECHOCART_OK) {
        *last = result;
    }
}

/* Plays a script and gives the summary; the tally is in the scanner. */
static int play(scanner_t *scanner, const char *script, const char *toml, echocart_result_t *last)
{
    echocart_session_config_t config = plain_config();
    handles_t handles;
    uint64_t timeout = scanner->pace == ECHOCART_PACE_REAL ? 2000000 : 60000000;

    config.pace = scanner->pace;
    set_toml(&config, toml);
    scanner->width_px = scanner->width_px == 0 ? 320 : scanner->width_px;
    scanner->height_px = scanner->height_px == 0 ? 240 : scanner->height_px;
    scanner->between = drain;
    scanner->context = last;
    if (scanner_script(scanner, script) != 0 || !CREATE(&config, &handles)) {
        return 0;
    }
    scanned = &handles;
    if (kit.dump != NULL && scanner_open_dump(scanner, kit.dump) != 0) {
        kit_fail(__LINE__, "not a frame dump: %s", kit.dump);
    }
    if (scanner_run(scanner, handles.frames) != 0) {
        kit_fail(__LINE__, "%" PRIu64 " frames got a code that no fault explains, the first %" PRIu32,
                 scanner->tally.unexpected, scanner->tally.unexpected_code);
    }
    if (scanner->pace == ECHOCART_PACE_MAX) {
        wait_source_ended(&handles, NULL);
    }
    kit_seen(echocart_session_stop(handles.session, timeout));
    drain(last);
    CHECK(last->kind == ECHOCART_RESULT_SUMMARY);
    destroy(&handles);
    return 1;
}

static void compare(const scanner_t *scanner, const echocart_result_t *last)
{
    const echocart_counters_t *counters = &last->counters;
    const scanner_tally_t *tally = &scanner->tally;

    if (counters->captured != tally->taken + tally->dropped) {
        kit_fail(__LINE__, "captured: expected %" PRIu64 ", found %" PRIu64,
                 tally->taken + tally->dropped, counters->captured);
    }
    if (counters->dropped_ring_full != tally->dropped) {
        kit_fail(__LINE__, "dropped: expected %" PRIu64 ", found %" PRIu64, tally->dropped,
                 counters->dropped_ring_full);
    }
    if (counted(counters) != counters->captured) {
        kit_fail(__LINE__, "the counters sum to %" PRIu64 " of %" PRIu64 " captured",
                 counted(counters), counters->captured);
    }
    CHECK(tally->numbers_out_of_order == 0);
    kit_note("made %" PRIu64 ", taken %" PRIu64 ", dropped %" PRIu64 ", refused %" PRIu64
             ", used %" PRIu64 ", unused %" PRIu64 ", bad time stamp %" PRIu64,
             tally->made, tally->taken, tally->dropped, tally->refused, counters->used,
             counters->unused, counters->rejected[ECHOCART_REASON_BAD_TIMESTAMP]);
}

static void accounting(void)
{
    scanner_t scanner = {.pace = ECHOCART_PACE_MAX, .frames_per_second = 60.0, .frames = 700};
    echocart_result_t last = {0};

    if (!play(&scanner,
              "dup@40,reorder@50,drop@60+5,resize@90+30=200x160,freeze@130+30,colour@170+40,exam@215,"
              "negative@220+3,drop@250+40,dup@300+4",
              base_toml(), &last)) {
        return;
    }
    compare(&scanner, &last);
    CHECK(scanner.tally.refused == 3 && scanner.tally.not_later == 6);
    CHECK(scanner.tally.dropped == 0 && last.counters.in_flight == 0 && last.results_dropped == 0);
    CHECK(last.counters.rejected[ECHOCART_REASON_BAD_TIMESTAMP] == scanner.tally.not_later);
}

static void live(double rate)
{
    scanner_t scanner = {.pace = ECHOCART_PACE_REAL, .frames_per_second = rate};
    echocart_result_t last = {0};

    scanner.frames = (int64_t)(kit.seconds * rate);
    if (play(&scanner, "late@30=60,dup@40,drop@50+3,freeze@70+10,negative@85", base_toml(), &last)) {
        compare(&scanner, &last);
        CHECK(last.counters.captured > 0);
    }
}

static void live_30(void)
{
    live(30.0);
}

static void live_60(void)
{
    live(60.0);
}

static void live_120(void)
{
    live(120.0);
}

static void full_ring(void)
{
    echocart_session_config_t config = plain_config();
    handles_t handles;
    echocart_frame_t frame = frame_at(0);
    echocart_result_t result;
    uint64_t taken = 0;
    uint64_t dropped = 0;
    uint64_t failed = 0;

    config.pace = ECHOCART_PACE_REAL;
    set_toml(&config, toml_with("ring_frames", "4"));
    if (!CREATE(&config, &handles)) {
        return;
    }
    frame.capture_nanos = now_nanos();
    for (int at = 0; at < 200000 && dropped < 50; at += 1) {
        uint32_t code = push(&handles, &frame);
        frame.capture_nanos += 1000;
        taken += code == ECHOCART_OK;
        dropped += code == ECHOCART_DROPPED;
        failed += code != ECHOCART_OK && code != ECHOCART_DROPPED;
    }
    CHECK(dropped > 0 && failed == 0);
    kit_seen(echocart_session_stop(handles.session, 2000000));
    memset(&result, 0, sizeof result);
    while (poll_result(&handles, &result) == ECHOCART_OK) {
    }
    CHECK(result.kind == ECHOCART_RESULT_SUMMARY && result.counters.dropped_ring_full == dropped);
    CHECK(result.counters.captured == taken + dropped);
    destroy(&handles);
}

static void would_block(void)
{
    echocart_session_config_t config = plain_config();
    handles_t handles;
    echocart_result_t result;
    uint64_t taken = 0;
    uint32_t code = ECHOCART_OK;

    set_toml(&config, toml_with("event_queue", "16"));
    if (!CREATE(&config, &handles)) {
        return;
    }
    for (int at = 0; at < 10000; at += 1) {
        echocart_frame_t frame = frame_at((int64_t)taken);
        code = push(&handles, &frame);
        taken += code == ECHOCART_OK;
        CHECK(code == ECHOCART_OK || code == ECHOCART_WOULD_BLOCK);
    }
    CHECK(taken < 10000);
    kit_note("10,000 pushes without a poll: %" PRIu64 " taken, the rest WOULD_BLOCK", taken);
    /* Until the results have filled their queue, and nothing moves any more. */
    for (int idle = 0; idle < 300 && taken < 10000; idle += 1) {
        echocart_frame_t frame = frame_at((int64_t)taken);
        code = push(&handles, &frame);
        if (code == ECHOCART_OK) {
            taken += 1;
            idle = 0;
        } else {
            nap_millis(1);
        }
    }
    EXPECT(ECHOCART_TIMEOUT, echocart_session_stop(handles.session, 1));
    memset(&result, 0, sizeof result);
    while ((code = poll_result(&handles, &result)) == ECHOCART_OK) {
    }
    EXPECT(ECHOCART_END, code);
    CHECK(result.kind == ECHOCART_RESULT_SUMMARY && result.counters.captured == taken);
    CHECK(counted(&result.counters) == taken && result.counters.dropped_ring_full == 0);
    destroy(&handles);
}

static void closed(void)
{
    echocart_session_config_t config = plain_config();
    handles_t handles;
    echocart_frame_t frame = frame_at(0);

    if (!CREATE(&config, &handles)) {
        return;
    }
    EXPECT(ECHOCART_OK, push(&handles, &frame));
    EXPECT(ECHOCART_OK, echocart_frame_port_close(handles.frames));
    EXPECT(ECHOCART_OK, echocart_frame_port_close(handles.frames));
    frame = frame_at(1);
    EXPECT(ECHOCART_CLOSED, push(&handles, &frame));
    destroy(&handles);

    if (CREATE(&config, &handles)) {
        EXPECT(ECHOCART_OK, echocart_result_port_destroy(&handles.results));
        frame = frame_at(0);
        EXPECT(ECHOCART_CLOSED, push(&handles, &frame));
        destroy(&handles);
    }
}

static void ahead_of_now(void)
{
    echocart_session_config_t config = plain_config();
    handles_t handles;
    echocart_frame_t frame = frame_at(0);

    config.pace = ECHOCART_PACE_REAL;
    if (!CREATE(&config, &handles)) {
        return;
    }
    frame.capture_nanos = now_nanos() + INT64_C(60000000000);
    REFUSED(ECHOCART_BAD_TIME);
    frame.capture_nanos = now_nanos() + 50000000;
    EXPECT(ECHOCART_OK, push(&handles, &frame));
    destroy(&handles);
}

const rule_t frame_rules[] = {
    {"frames.refused", "sizes, strides, formats and times that cannot be are refused and not counted",
     refused},
    {"frames.unsupported", "memory that this version does not have is UNSUPPORTED", unsupported},
    {"frames.borrowed", "pixels belong to the caller again when the push returns", borrowed},
    {"frames.repeatable", "at maximum pace the same frames give the same numbers", repeatable},
    {"frames.accounting", "every frame of a faulty stream is counted once and under its reason",
     accounting},
    {"frames.live_30", "a live stream of 30 frames/s is accounted for", live_30},
    {"frames.live_60", "a live stream of 60 frames/s is accounted for", live_60},
    {"frames.live_120", "a live stream of 120 frames/s is accounted for", live_120},
    {"frames.full_ring", "a full ring drops the frame, says so and counts it", full_ring},
    {"frames.would_block", "at maximum pace a push without room does nothing", would_block},
    {"frames.closed", "no frame is taken after the port or its reader has closed", closed},
    {"frames.ahead", "in real pace a frame may not be from the future", ahead_of_now},
    {NULL, NULL, NULL},
};
