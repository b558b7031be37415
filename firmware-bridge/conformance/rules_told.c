/* What every call refuses, what a session tells of itself, and what its calls cost. */

#define _GNU_SOURCE

#include "kit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define WIDTH 96
#define HEIGHT 80
#define STEP INT64_C(33333333)
#define RING 24

static uint8_t pixels[WIDTH * HEIGHT];

static echocart_frame_t frame_at(int64_t number)
{
    echocart_frame_t frame;
    for (size_t at = 0; at < sizeof pixels; at += 1) {
        pixels[at] = (uint8_t)((at * (size_t)(number % 89 + 3)) % 253);
    }
    memset(&frame, 0, sizeof frame);
    frame.struct_size = sizeof frame;
    frame.format = ECHOCART_PIXEL_GRAY8;
    frame.width_px = WIDTH;
    frame.height_px = HEIGHT;
    frame.row_stride_bytes = WIDTH;
    frame.pixels = pixels;
    frame.pixel_bytes = sizeof pixels;
    frame.capture_nanos = number * STEP;
    return frame;
}

static void push_frames(handles_t *handles, int first, int end)
{
    for (int at = first; at < end; at += 1) {
        echocart_frame_t frame = frame_at(at);
        EXPECT(ECHOCART_OK, push_patiently(handles, &frame));
    }
}

#define NULL_REFUSED(call) EXPECT(ECHOCART_NULL_ARGUMENT, call)

/* Text with a length but without an address, one field at a time. */
static void null_texts(void)
{
    echocart_self_test_t report;
    handles_t handles;
    for (int field = 0; field < 5; field += 1) {
        echocart_session_config_t config = plain_config();
        config.worker_path_bytes = field == 0 ? 4 : 0;
        config.cache_dir_bytes = field == 1 ? 4 : 0;
        config.config_toml = field == 2 ? NULL : config.config_toml;
        config.library_path = field == 3 ? NULL : config.library_path;
        config.package_dir = field == 4 ? NULL : config.package_dir;
        NULL_REFUSED(create(&config, &handles));
        NULL_REFUSED(echocart_self_test(&config, sizeof report, &report));
    }
}

static void null_without_handle(void)
{
    echocart_session_config_t config = plain_config();
    echocart_self_test_t report;
    handles_t none = {NULL, NULL, NULL};
    uint64_t bytes = 0;
    char text[8];

    NULL_REFUSED(echocart_clock_now(NULL));
    NULL_REFUSED(echocart_last_error(NULL, sizeof text, &bytes));
    NULL_REFUSED(echocart_last_error(text, sizeof text, NULL));
    NULL_REFUSED(echocart_session_create(NULL, &none.session, &none.frames, &none.results));
    NULL_REFUSED(echocart_session_create(&config, NULL, &none.frames, &none.results));
    NULL_REFUSED(echocart_session_create(&config, &none.session, NULL, &none.results));
    NULL_REFUSED(echocart_session_create(&config, &none.session, &none.frames, NULL));
    NULL_REFUSED(echocart_self_test(NULL, sizeof report, &report));
    NULL_REFUSED(echocart_self_test(&config, sizeof report, NULL));
    EXPECT(ECHOCART_OK, echocart_session_destroy(NULL));
    EXPECT(ECHOCART_OK, echocart_frame_port_destroy(NULL));
    EXPECT(ECHOCART_OK, echocart_result_port_destroy(NULL));
    destroy(&none);
}

static void null_session(echocart_session_t *session)
{
    echocart_session_info_t info;
    echocart_session_stats_t stats;
    echocart_session_memory_t memory;
    uint64_t counts[2];

    NULL_REFUSED(echocart_session_start(NULL));
    NULL_REFUSED(echocart_session_pause(NULL));
    NULL_REFUSED(echocart_session_resume(NULL));
    NULL_REFUSED(echocart_session_stop(NULL, 0));
    NULL_REFUSED(echocart_session_info(NULL, sizeof info, &info));
    NULL_REFUSED(echocart_session_info(session, sizeof info, NULL));
    NULL_REFUSED(echocart_session_stats(NULL, sizeof stats, &stats));
    NULL_REFUSED(echocart_session_stats(session, sizeof stats, NULL));
    NULL_REFUSED(echocart_session_memory(NULL, sizeof memory, &memory));
    NULL_REFUSED(echocart_session_memory(session, sizeof memory, NULL));
    NULL_REFUSED(echocart_session_save(NULL, "/dev/null/x", 11, &counts[0], &counts[1]));
    NULL_REFUSED(echocart_session_save(session, NULL, 11, &counts[0], &counts[1]));
    NULL_REFUSED(echocart_session_save(session, "/dev/null/x", 11, NULL, &counts[1]));
    NULL_REFUSED(echocart_session_save(session, "/dev/null/x", 11, &counts[0], NULL));
}

static void ECHOCART_CALL take_none(void *user_data, const echocart_result_t *result)
{
    (void)user_data;
    (void)result;
}

static void null_ports(handles_t *handles)
{
    echocart_frame_t frame = frame_at(0);
    echocart_result_t result;
    uint64_t number = 0;
    uint8_t *room = NULL;
    char text[8];

    NULL_REFUSED(echocart_frame_push(NULL, &frame, &number));
    NULL_REFUSED(echocart_frame_push(handles->frames, NULL, &number));
    NULL_REFUSED(echocart_frame_push(handles->frames, &frame, NULL));
    NULL_REFUSED(echocart_frame_lease(NULL, sizeof pixels, &room));
    NULL_REFUSED(echocart_frame_lease(handles->frames, sizeof pixels, NULL));
    EXPECT(ECHOCART_OK, echocart_frame_lease(handles->frames, sizeof pixels, &room));
    frame.pixels = room;
    NULL_REFUSED(echocart_frame_commit(NULL, &frame, &number));
    NULL_REFUSED(echocart_frame_commit(handles->frames, NULL, &number));
    NULL_REFUSED(echocart_frame_commit(handles->frames, &frame, NULL));
    frame.pixels = NULL;
    NULL_REFUSED(echocart_frame_push(handles->frames, &frame, &number));
    NULL_REFUSED(echocart_frame_release(NULL));
    NULL_REFUSED(echocart_frame_port_close(NULL));
    NULL_REFUSED(echocart_result_poll(NULL, sizeof result, &result));
    NULL_REFUSED(echocart_result_poll(handles->results, sizeof result, NULL));
    NULL_REFUSED(echocart_result_wait(NULL, 0, sizeof result, &result));
    NULL_REFUSED(echocart_result_wait(handles->results, 0, sizeof result, NULL));
    NULL_REFUSED(echocart_result_subscribe(NULL, take_none, NULL));
    NULL_REFUSED(echocart_result_subscribe(handles->results, NULL, NULL));
    NULL_REFUSED(echocart_result_label(NULL, 0, text, sizeof text, &number));
    NULL_REFUSED(echocart_result_label(handles->results, 0, NULL, sizeof text, &number));
    NULL_REFUSED(echocart_result_label(handles->results, 0, text, sizeof text, NULL));
}

static void nulls(void)
{
    static char toml[KIT_TOML_BYTES];
    echocart_session_config_t config = plain_config();
    handles_t handles;

    null_without_handle();
    null_texts();
    snprintf(toml, sizeof toml, "%s\n[recorder]\nbudget_mib = 16\nfolder = \"unused\"\n",
             base_toml());
    set_toml(&config, toml);
    if (CREATE(&config, &handles)) {
        null_session(handles.session);
        null_ports(&handles);
        destroy(&handles);
    }
}

#define SIZE_REFUSED(call) EXPECT(ECHOCART_BAD_STRUCT_SIZE, call)

/* Every struct with one size; nothing of the room for the answers may be written. */
static void refuse_size(handles_t *handles, uint32_t off, int larger)
{
    static uint64_t room[1024];
    echocart_session_config_t config = plain_config();
    echocart_frame_t frame = frame_at(0);
    uint64_t number = 0;
    handles_t none;

#define SIZE(type) (larger ? (uint32_t)sizeof(type) + off : off)
    memset(room, 0x5a, sizeof room);
    SIZE_REFUSED(echocart_session_info(handles->session, SIZE(echocart_session_info_t),
                                       (echocart_session_info_t *)room));
    SIZE_REFUSED(echocart_session_stats(handles->session, SIZE(echocart_session_stats_t),
                                        (echocart_session_stats_t *)room));
    SIZE_REFUSED(echocart_session_memory(handles->session, SIZE(echocart_session_memory_t),
                                         (echocart_session_memory_t *)room));
    SIZE_REFUSED(echocart_self_test(&config, SIZE(echocart_self_test_t),
                                    (echocart_self_test_t *)room));
    SIZE_REFUSED(echocart_result_poll(handles->results, SIZE(echocart_result_t),
                                      (echocart_result_t *)room));
    SIZE_REFUSED(echocart_result_wait(handles->results, 0, SIZE(echocart_result_t),
                                      (echocart_result_t *)room));
    frame.struct_size = SIZE(echocart_frame_t);
    SIZE_REFUSED(echocart_frame_push(handles->frames, &frame, &number));
    SIZE_REFUSED(echocart_frame_commit(handles->frames, &frame, &number));
    config.struct_size = SIZE(echocart_session_config_t);
    SIZE_REFUSED(create(&config, &none));
#undef SIZE
    for (size_t at = 0; at < sizeof room / sizeof *room; at += 1) {
        if (room[at] != UINT64_C(0x5a5a5a5a5a5a5a5a)) {
            kit_fail(__LINE__, "something was written with the size refused");
            break;
        }
    }
}

static void sizes(void)
{
    static const uint32_t LARGER[] = {1, 8, 64, 1 << 16};
    echocart_session_config_t config = plain_config();
    handles_t handles;

    if (!CREATE(&config, &handles)) {
        return;
    }
    for (uint32_t at = 0; at < 4; at += 1) {
        refuse_size(&handles, LARGER[at], 1);
        refuse_size(&handles, at * 5, 0);
    }
    destroy(&handles);
}


static int estimates;
static int with_numbers;
static int values;
static int demonstrations;
static int64_t span_nanos;

static void count_output(const echocart_output_t *output)
{
    values += output->status == ECHOCART_STATUS_VALUE;
    demonstrations += output->status == ECHOCART_STATUS_DEMONSTRATION;
}

static void count_result(const echocart_result_t *result)
{
    const echocart_segment_t *segment = &result->view.segments[0];
    if (result->kind != ECHOCART_RESULT_ESTIMATE) {
        return;
    }
    estimates += 1;
    with_numbers += result->raw_view_count > 0;
    count_output(&result->view);
    count_output(&result->lvef);
    if (result->view.segment_count > 0) {
        span_nanos = segment->last_capture_nanos - segment->first_capture_nanos;
    }
}

static void check_order(const char *name, const echocart_histogram_t *histogram)
{
    const int64_t *nanos = &histogram->min_nanos;
    int64_t all[] = {nanos[0], histogram->p50_nanos, histogram->p90_nanos, histogram->p99_nanos,
                     histogram->p999_nanos, histogram->max_nanos};
    int wrong = all[0] < 0 || histogram->mean_nanos < all[0] || histogram->mean_nanos > all[5];
    for (int at = 0; at < 5; at += 1) {
        wrong |= all[at] > all[at + 1];
    }
    wrong |= histogram->count == 0 && (all[5] != 0 || histogram->mean_nanos != 0);
    if (wrong) {
        kit_fail(__LINE__, "%s: %" PRIu64 " times, from %" PRId64 " to %" PRId64
                 " ns, not in order", name, histogram->count, all[0], all[5]);
    }
}

static echocart_session_stats_t stats_of(handles_t *handles)
{
    echocart_session_stats_t stats;
    EXPECT(ECHOCART_OK, echocart_session_stats(handles->session, sizeof stats, &stats));
    check_order("push", &stats.push);
    check_order("commit", &stats.commit);
    check_order("clip_wait", &stats.clip_wait);
    check_order("inference", &stats.inference);
    check_order("event", &stats.event);
    return stats;
}

/* Puts a frame in through a lent buffer. */
static void lend(handles_t *handles, int64_t number)
{
    echocart_frame_t frame = frame_at(number);
    uint32_t code = ECHOCART_WOULD_BLOCK;
    uint64_t frame_number = 0;
    uint8_t *room = NULL;

    for (int wait = 0; wait < 20000 && code == ECHOCART_WOULD_BLOCK; wait += 1) {
        nap_millis(wait > 0);
        if (room == NULL) {
            code = kit_seen(echocart_frame_lease(handles->frames, sizeof pixels, &room));
            if (room == NULL) {
                continue;
            }
            memcpy(room, pixels, sizeof pixels);
            frame.pixels = room;
        }
        code = kit_seen(echocart_frame_commit(handles->frames, &frame, &frame_number));
    }
    EXPECT(ECHOCART_OK, code);
}

/* Three exams by copy and 20 lent frames of the last one; then every number is known. */
static void stats_told(void)
{
    echocart_session_config_t config = plain_config();
    echocart_session_stats_t stats;
    echocart_result_t result;
    uint64_t waiting;
    handles_t handles;

    config.priority = ECHOCART_PRIORITY_INHERIT;
    if (EXPECT(ECHOCART_OK, create(&config, &handles)) != ECHOCART_OK) {
        return;
    }
    CHECK(stats_of(&handles).running == 0);
    EXPECT(ECHOCART_OK, echocart_session_start(handles.session));
    CHECK(stats_of(&handles).running == 1 && stats_of(&handles).exams == 0);
    for (int64_t number = 0; number < 90; number += 1) {
        echocart_frame_t frame = frame_at(number);
        memset(frame.exam_token, number < 15 ? 9 : number < 30 ? 8 : 0, sizeof frame.exam_token);
        EXPECT(ECHOCART_OK, push_patiently(&handles, &frame));
    }
    for (int64_t number = 90; number < 110; number += 1) {
        lend(&handles, number);
    }
    EXPECT(ECHOCART_OK, echocart_session_pause(handles.session));
    CHECK(stats_of(&handles).running == 0);
    EXPECT(ECHOCART_OK, echocart_session_resume(handles.session));
    CHECK(stats_of(&handles).running == 1);
    wait_source_ended(&handles, count_result);
    EXPECT(ECHOCART_OK, echocart_session_stop(handles.session, 10000000));
    waiting = stats_of(&handles).results_waiting;
    memset(&result, 0, sizeof result);
    while (poll_result(&handles, &result) == ECHOCART_OK) {
        waiting -= 1;
    }
    CHECK(waiting == 0 && result.kind == ECHOCART_RESULT_SUMMARY);
    stats = stats_of(&handles);
    CHECK(stats.running == 0 && stats.results_waiting == 0 && stats.exams == 3);
    CHECK(stats.push.count == 90 && stats.commit.count == 20 && stats.counters.captured == 110);
    CHECK(stats.push.max_nanos > 0 && stats.commit.max_nanos > 0);
    CHECK(stats.inference.count >= (uint64_t)with_numbers);
    CHECK(stats.clip_wait.count == stats.inference.count && stats.event.count == 0);
    CHECK(memcmp(&stats.counters, &result.counters, sizeof stats.counters) == 0);
    kit_note("%" PRIu64 " clips inferred, %d estimates, exams %" PRIu64, stats.inference.count,
             estimates, stats.exams);
    destroy(&handles);
}

/* Before the first frame and, when there were clips, after the last. */
static void check_memory(handles_t *handles, int with_clips)
{
    echocart_session_memory_t memory;
    struct rusage usage;
    uint64_t most;

    EXPECT(ECHOCART_OK, echocart_session_memory(handles->session, sizeof memory, &memory));
    getrusage(RUSAGE_SELF, &usage);
    most = (uint64_t)usage.ru_maxrss * 1024 * 2;
    CHECK(memory.struct_size == sizeof memory && memory.frame_buffers == RING + 4);
    CHECK(!with_clips || (memory.clip_bytes > 0 && memory.frame_buffer_bytes >= sizeof pixels));
    CHECK(memory.frame_buffer_bytes <= memory.frame_buffer_limit_bytes);
    CHECK(memory.frame_buffer_limit_bytes % (RING + 4) == 0);
    if (!with_clips) {
        uint64_t too_much = memory.frame_buffer_limit_bytes / (RING + 4) + 1;
        uint8_t *room = NULL;
        EXPECT(ECHOCART_BAD_FRAME_SIZE, echocart_frame_lease(handles->frames, too_much, &room));
    }
    /* The system counts in batches of pages. */
    CHECK(memory.process_bytes > 0 && memory.process_bytes <= most);
    CHECK(memory.create_bytes <= most);
}

static int is_hex(const char *text, size_t digits)
{
    return strspn(text, "0123456789abcdef") == digits && strlen(text) == digits;
}

static void check_info(const echocart_session_info_t *info)
{
    const char *hash = strchr(info->package, '@');
    CHECK(info->struct_size == sizeof *info && info->unsigned_package <= 1);
    CHECK(hash != NULL && is_hex(hash + 1, 12) && is_hex(info->config, 12));
    CHECK(info->card[0] != 0 && info->model[0] != 0 && info->provider[0] != 0);
    CHECK(info->variant[0] != 0 && info->version[0] >= '0' && info->version[0] <= '9');
    CHECK(info->calibration[0] != 0 && memchr(info->degraded, 0, sizeof info->degraded) != NULL);
    CHECK(strncmp(info->library, "onnxruntime ", 12) == 0 && info->threads > 0);
    CHECK(isfinite(info->min_fps) && isfinite(info->max_fps) && info->min_fps > 0.0f);
    CHECK(info->min_fps <= info->max_fps && info->clip_frames > 0 && info->sampling_hz > 0.0f);
}

/* What a session says of its package is what its results are like. */
static void what_it_tells(void)
{
    echocart_session_config_t config = plain_config();
    echocart_session_info_t info;
    handles_t handles;
    double clip_nanos;

    config.priority = ECHOCART_PRIORITY_INHERIT;
    set_toml(&config, toml_with("ring_frames", "24"));
    if (!CREATE(&config, &handles)) {
        return;
    }
    EXPECT(ECHOCART_OK, echocart_session_info(handles.session, sizeof info, &info));
    check_info(&info);
    check_memory(&handles, 0);
    push_frames(&handles, 0, 180);
    wait_source_ended(&handles, count_result);
    if (span_nanos > 0) {
        check_memory(&handles, 1);
    }
    destroy(&handles);
    clip_nanos = 1e9 * (info.clip_frames - 1) / (double)info.sampling_hz;
    if (span_nanos > 0 && fabs((double)span_nanos - clip_nanos) > 0.1 * clip_nanos + 2.0 * STEP) {
        kit_fail(__LINE__, "a clip of %" PRIu32 " frames at %.1f Hz spans %" PRId64 " ms",
                 info.clip_frames, (double)info.sampling_hz, span_nanos / 1000000);
    }
    CHECK(info.trained == ECHOCART_TRAINED_CLINICAL ? demonstrations == 0 : values == 0);
    kit_note("%d values, %d demonstrations, clips of %" PRId64 " ms", values, demonstrations,
             span_nanos / 1000000);
}

/* Calls that tell something, and calls that begin and end something; the times they gave way. */
static void tell_and_turn(handles_t *handles, int64_t waits[2])
{
    echocart_session_info_t info;
    echocart_session_stats_t stats;
    echocart_session_memory_t memory;
    uint64_t bytes = 0;
    char text[64];

    watch_begin();
    echocart_session_info(handles->session, sizeof info, &info);
    echocart_session_stats(handles->session, sizeof stats, &stats);
    echocart_session_memory(handles->session, sizeof memory, &memory);
    echocart_result_label(handles->results, 0, text, sizeof text, &bytes);
    waits[0] += watch_end().waits;
    watch_begin();
    echocart_session_pause(handles->session);
    echocart_session_resume(handles->session);
    echocart_session_start(handles->session);
    echocart_frame_release(handles->frames);
    waits[1] += watch_end().waits;
}

static void light(void)
{
    echocart_session_config_t config = plain_config();
    echocart_result_t result;
    watched_t polls = {0, 0};
    int64_t waits[2] = {0, 0};
    handles_t handles;

    if (!CREATE(&config, &handles)) {
        return;
    }
    while (poll_result(&handles, &result) == ECHOCART_OK) {
    }
    for (int at = 0; at < 1000; at += 1) {
        watched_t one;
        watch_begin();
        echocart_result_poll(handles.results, sizeof result, &result);
        one = watch_end();
        polls.allocations += one.allocations;
        polls.waits += one.waits;
    }
    for (int at = 0; at < 200; at += 1) {
        tell_and_turn(&handles, waits);
    }
    kit_note("1000 polls: %" PRId64 " allocations, %" PRId64 " waits; 800 calls each: %" PRId64
             " and %" PRId64 " waits",
             polls.allocations, polls.waits, waits[0], waits[1]);
    CHECK(polls.allocations == 0 && polls.waits <= 100 && waits[0] <= 100 && waits[1] <= 100);
    destroy(&handles);
}

const rule_t told_rules[] = {
    {"session.nulls", "each pointer of each function may be NULL and is told so", nulls},
    {"session.sizes", "a size that no version of a struct has is refused by all functions", sizes},
    {"session.counts", "counts are those of the calls made, percentiles are in order", stats_told},
    {"session.told", "what is told of package and memory fits what is seen", what_it_tells},
    {"session.light", "polls do not allocate; telling, pausing and resuming do not wait", light},
    {NULL, NULL, NULL},
};
