/* What results hold, when a value may be shown, and how a stream ends. */

#define _GNU_SOURCE

#include "kit.h"
#include "scanner.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>

#define WIDTH 96
#define HEIGHT 80
#define STEP INT64_C(33333333)

static uint8_t pixels[WIDTH * HEIGHT];

static uint32_t push_at(handles_t *handles, int64_t number, int64_t capture_nanos)
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
    frame.capture_nanos = capture_nanos;
    return push_patiently(handles, &frame);
}

static void push_stream(handles_t *handles, int64_t count)
{
    for (int64_t number = 0; number < count; number += 1) {
        EXPECT(ECHOCART_OK, push_at(handles, number, number * STEP));
    }
}

static int has_value(const echocart_output_t *output)
{
    return output->status == ECHOCART_STATUS_VALUE
           || output->status == ECHOCART_STATUS_DEMONSTRATION;
}

static void check_output(const echocart_output_t *output)
{
    CHECK(output->status >= ECHOCART_STATUS_VALUE && output->status <= ECHOCART_STATUS_DEMONSTRATION);
    CHECK((output->status == ECHOCART_STATUS_WITHHELD) == (output->reason != ECHOCART_REASON_NONE));
    CHECK(output->segment_count <= ECHOCART_MAX_SEGMENTS && output->reserved == 0);
    if (!has_value(output)) {
        CHECK(output->valid_until_nanos == ECHOCART_NO_TIME);
        return;
    }
    CHECK(output->segment_count >= 1);
    for (uint32_t at = 0; at < output->segment_count && at < ECHOCART_MAX_SEGMENTS; at += 1) {
        const echocart_segment_t *segment = &output->segments[at];
        CHECK(segment->first_frame <= segment->last_frame && segment->reserved == 0);
        CHECK(segment->first_capture_nanos <= segment->last_capture_nanos);
        CHECK(output->valid_until_nanos > segment->last_capture_nanos);
    }
    CHECK(output->age_oldest_nanos >= output->age_newest_nanos);
}

static uint64_t next_clip;
static int shown;
static int kinds[4];

static void check_estimate(const echocart_result_t *result)
{
    double sum = 0.0;
    CHECK(result->clip == next_clip);
    next_clip = result->clip + 1;
    check_output(&result->view);
    check_output(&result->lvef);
    check_output(&result->signal);
    CHECK(isnan(result->signal_meter) || has_value(&result->signal));
    CHECK((isnan(result->lvef_percent) == 0) == has_value(&result->lvef));
    CHECK((result->view_label != ECHOCART_NO_LABEL) == has_value(&result->view));
    CHECK(result->view_probability_count <= ECHOCART_MAX_LABELS);
    for (uint32_t at = 0; at < ECHOCART_MAX_LABELS; at += 1) {
        CHECK((isnan(result->view_probabilities[at]) != 0) == (at >= result->view_probability_count));
        sum += at < result->view_probability_count ? (double)result->view_probabilities[at] : 0.0;
    }
    CHECK(!has_value(&result->view) || fabs(sum - 1.0) < 1e-3);
    shown += has_value(&result->view);
}

static void check_result(const echocart_result_t *result)
{
    CHECK(result->struct_size == sizeof *result && result->kind >= 1 && result->kind <= 3);
    kinds[result->kind % 4] += 1;
    if (result->kind == ECHOCART_RESULT_ESTIMATE) {
        check_estimate(result);
        return;
    }
    CHECK(isnan(result->lvef_percent) && isnan(result->signal_meter) && isnan(result->raw_lvef));
    CHECK(result->view_label == ECHOCART_NO_LABEL && result->view_probability_count == 0);
    CHECK(result->raw_view_count == 0 && isnan(result->raw_view[0]));
    CHECK(memchr(result->detail, 0, sizeof result->detail) != NULL);
    if (result->kind == ECHOCART_RESULT_SUMMARY || result->state != ECHOCART_STATE_STARTED) {
        CHECK(counted(&result->counters) == result->counters.captured);
    }
}

static void fields(void)
{
    echocart_session_config_t config = plain_config();
    handles_t handles;
    echocart_result_t result;

    if (!CREATE(&config, &handles)) {
        return;
    }
    push_stream(&handles, 120);
    wait_source_ended(&handles, check_result);
    EXPECT(ECHOCART_OK, echocart_session_stop(handles.session, 60000000));
    while (poll_result(&handles, &result) == ECHOCART_OK) {
        check_result(&result);
    }
    CHECK(kinds[ECHOCART_RESULT_ESTIMATE] > 3 && kinds[ECHOCART_RESULT_STATE] > 1);
    CHECK(kinds[ECHOCART_RESULT_SUMMARY] == 1 && shown > 0);
    CHECK(result.estimates == (uint64_t)kinds[ECHOCART_RESULT_ESTIMATE]);
    CHECK(result.values_view == (uint64_t)shown);
    destroy(&handles);
}

static int hidden;

static void check_hidden(const echocart_result_t *result)
{
    if (result->kind != ECHOCART_RESULT_ESTIMATE) {
        return;
    }
    hidden += result->view.status == ECHOCART_STATUS_DEMONSTRATION;
    CHECK(result->view.status != ECHOCART_STATUS_VALUE);
    CHECK(result->view_label == ECHOCART_NO_LABEL && isnan(result->view_probabilities[0]));
    CHECK(result->raw_view_count == 0 && isnan(result->raw_view[0]));
    CHECK(isnan(result->lvef_percent) && result->raw_lvef_count == 0 && isnan(result->raw_lvef));
    CHECK(result->view.segments[0].view == ECHOCART_NO_LABEL);
}

static void demonstrations(void)
{
    echocart_session_config_t config = plain_config();
    echocart_session_info_t info;
    handles_t handles;

    config.allow_demonstration = 0;
    if (!CREATE(&config, &handles)) {
        return;
    }
    EXPECT(ECHOCART_OK, echocart_session_info(handles.session, sizeof info, &info));
    if (info.trained == ECHOCART_TRAINED_CLINICAL) {
        kit_note("not tried: this package is trained on patient images and shows no demonstrations");
        destroy(&handles);
        return;
    }
    push_stream(&handles, 90);
    wait_source_ended(&handles, check_hidden);
    CHECK(hidden > 0);
    destroy(&handles);
}

static void stale(void)
{
    echocart_session_config_t config = plain_config();
    handles_t handles;
    echocart_result_t result;
    int found = 0;

    config.pace = ECHOCART_PACE_REAL;
    set_toml(&config, toml_with("valid_for_millis", "300"));
    if (!CREATE(&config, &handles)) {
        return;
    }
    for (int attempt = 0; attempt < 6 && found == 0; attempt += 1) {
        for (int64_t number = 0; number < 75; number += 1) {
            kit_seen(push_at(&handles, number, now_nanos()));
            nap_millis(STEP / 1000000);
        }
        nap_millis(800);
        while (poll_result(&handles, &result) == ECHOCART_OK) {
            if (result.kind == ECHOCART_RESULT_ESTIMATE && result.raw_view_count > 0) {
                found += 1;
                CHECK(result.view.status == ECHOCART_STATUS_WITHHELD);
                CHECK(result.view.reason == ECHOCART_REASON_STALE);
                CHECK(result.view_label == ECHOCART_NO_LABEL && result.sent_nanos > 0);
                CHECK(isnan(result.view_probabilities[0]) && isnan(result.lvef_percent));
                CHECK(result.view.age_newest_nanos > 300000000);
            }
        }
    }
    CHECK(found > 0);
    destroy(&handles);
}

/* What is polled in the first seconds of an exam; then nobody polls until the next one has begun. */
typedef struct {
    handles_t *handles;
    int64_t until_nanos;
    int signals;
} early_t;

static void poll_early(void *context)
{
    early_t *early = (early_t *)context;
    echocart_result_t result;
    while (now_nanos() < early->until_nanos && poll_result(early->handles, &result) == ECHOCART_OK) {
        early->signals += result.kind == ECHOCART_RESULT_ESTIMATE && has_value(&result.signal);
    }
}

static void exam_over(void)
{
    echocart_session_config_t config = plain_config();
    handles_t handles;
    echocart_result_t result;
    scanner_t scanner;
    early_t early = {&handles, 0, 0};
    int over = 0;

    config.pace = ECHOCART_PACE_REAL;
    if (!CREATE(&config, &handles)) {
        return;
    }
    memset(&scanner, 0, sizeof scanner);
    scanner.pace = ECHOCART_PACE_REAL;
    scanner.width_px = 640;
    scanner.height_px = 480;
    scanner.frames_per_second = 30.0;
    scanner.frames = 151;
    scanner.between = poll_early;
    scanner.context = &early;
    early.until_nanos = now_nanos() + INT64_C(4000000000);
    CHECK(scanner_script(&scanner, "exam@150") == 0 && scanner_run(&scanner, handles.frames) == 0);
    CHECK(early.signals > 0);
    nap_millis(20);
    while (poll_result(&handles, &result) == ECHOCART_OK) {
        if (result.kind == ECHOCART_RESULT_ESTIMATE) {
            over += result.signal.reason == ECHOCART_REASON_NEW_EXAM;
            CHECK(!has_value(&result.view) && !has_value(&result.lvef) && !has_value(&result.signal));
        }
    }
    CHECK(over > 0);
    destroy(&handles);
}

static void the_end(void)
{
    echocart_session_config_t config = plain_config();
    handles_t handles;
    echocart_result_t result;
    uint32_t last_kind = 0;

    if (!CREATE(&config, &handles)) {
        return;
    }
    push_stream(&handles, 60);
    wait_source_ended(&handles, NULL);
    EXPECT(ECHOCART_OK, echocart_session_stop(handles.session, 60000000));
    EXPECT(ECHOCART_OK, echocart_session_stop(handles.session, 0));
    while (poll_result(&handles, &result) == ECHOCART_OK) {
        last_kind = result.kind;
    }
    CHECK(last_kind == ECHOCART_RESULT_SUMMARY);
    CHECK(result.counters.captured == 60 && result.counters.in_flight == 0);
    EXPECT(ECHOCART_END, poll_result(&handles, &result));
    EXPECT(ECHOCART_END, poll_result(&handles, &result));
    EXPECT(ECHOCART_CLOSED, push_at(&handles, 60, 60 * STEP));
    destroy(&handles);
    destroy(&handles);
}

/* Destroys the handles in one of the six orders, with frames in the pipeline. */
static void in_order(int order)
{
    static const int ORDERS[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    echocart_session_config_t config = plain_config();
    handles_t handles;
    echocart_result_t result;

    if (!CREATE(&config, &handles)) {
        return;
    }
    push_stream(&handles, 20);
    for (int step = 0; step < 3; step += 1) {
        switch (ORDERS[order][step]) {
        case 0:
            EXPECT(ECHOCART_OK, echocart_session_destroy(&handles.session));
            CHECK(handles.session == NULL);
            break;
        case 1:
            EXPECT(ECHOCART_OK, echocart_frame_port_destroy(&handles.frames));
            CHECK(handles.frames == NULL);
            break;
        default:
            EXPECT(ECHOCART_OK, echocart_result_port_destroy(&handles.results));
            CHECK(handles.results == NULL);
            break;
        }
        if (handles.session == NULL && handles.frames != NULL) {
            EXPECT(ECHOCART_CLOSED, push_at(&handles, 20, 20 * STEP));
        }
        if (handles.session == NULL && handles.results != NULL) {
            while (poll_result(&handles, &result) == ECHOCART_OK) {
            }
            EXPECT(ECHOCART_END, poll_result(&handles, &result));
        }
    }
}

static void any_order(void)
{
    for (int order = 0; order < 6; order += 1) {
        in_order(order);
    }
}

static int64_t processor_micros(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return (int64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000
           + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

static void waiting(void)
{
    echocart_session_config_t config = plain_config();
    echocart_result_t result;
    handles_t handles;
    uint32_t code;
    int64_t before;
    int64_t spent;

    if (!CREATE(&config, &handles)) {
        return;
    }
    do {
        code = kit_seen(echocart_result_wait(handles.results, 300000, sizeof result, &result));
    } while (code == ECHOCART_OK);
    EXPECT(ECHOCART_EMPTY, code);
    before = now_nanos();
    spent = processor_micros();
    EXPECT(ECHOCART_EMPTY,
           echocart_result_wait(handles.results, 300000, sizeof result, &result));
    spent = processor_micros() - spent;
    CHECK(now_nanos() - before >= 290000000);
    if (spent > 100000) {
        kit_fail(__LINE__, "a wait of 300 ms used %" PRId64 " ms of the processor", spent / 1000);
    }
    EXPECT(ECHOCART_BAD_STRUCT_SIZE, echocart_result_wait(handles.results, 0, 4, &result));
    EXPECT(ECHOCART_OK, echocart_frame_port_close(handles.frames));
    EXPECT(ECHOCART_OK, echocart_session_stop(handles.session, 1000000));
    while ((code = kit_seen(echocart_result_wait(handles.results, 30000000, sizeof result, &result)))
           == ECHOCART_OK) {
    }
    EXPECT(ECHOCART_END, code);
    destroy(&handles);
}

typedef struct {
    handles_t *handles;
    char thread[32];
    atomic_int results;
    atomic_int at_once;
    atomic_int overlaps;
    atomic_uint inside;
    atomic_uint last_kind;
} taker_t;

static void ECHOCART_CALL take(void *user_data, const echocart_result_t *result)
{
    taker_t *taker = (taker_t *)user_data;
    if (atomic_fetch_add(&taker->at_once, 1) != 0) {
        atomic_fetch_add(&taker->overlaps, 1);
    }
    if (atomic_fetch_add(&taker->results, 1) == 0) {
        pthread_getname_np(pthread_self(), taker->thread, sizeof taker->thread);
        atomic_store(&taker->inside, push_at(taker->handles, 0, 0));
    }
    atomic_store(&taker->last_kind, result->kind);
    atomic_fetch_sub(&taker->at_once, 1);
}

static void callbacks(void)
{
    echocart_session_config_t config = plain_config();
    static taker_t taker;
    echocart_result_t result;
    handles_t handles;

    if (!CREATE(&config, &handles)) {
        return;
    }
    taker.handles = &handles;
    EXPECT(ECHOCART_NULL_ARGUMENT, echocart_result_subscribe(handles.results, NULL, &taker));
    EXPECT(ECHOCART_OK, echocart_result_subscribe(handles.results, take, &taker));
    EXPECT(ECHOCART_BAD_STATE, echocart_result_subscribe(handles.results, take, &taker));
    EXPECT(ECHOCART_BAD_STATE, poll_result(&handles, &result));
    EXPECT(ECHOCART_BAD_STATE, echocart_result_wait(handles.results, 0, sizeof result, &result));
    for (int wait = 0; wait < 2000 && atomic_load(&taker.results) == 0; wait += 1) {
        nap_millis(1);
    }
    push_stream(&handles, 90);
    EXPECT(ECHOCART_OK, echocart_session_stop(handles.session, 60000000));
    for (int wait = 0; wait < 5000 && atomic_load(&taker.last_kind) != ECHOCART_RESULT_SUMMARY;
         wait += 1) {
        nap_millis(1);
    }
    destroy(&handles);
    CHECK(atomic_load(&taker.last_kind) == ECHOCART_RESULT_SUMMARY && taker.overlaps == 0);
    CHECK(atomic_load(&taker.results) > 5);
    CHECK(atomic_load(&taker.inside) == ECHOCART_IN_CALLBACK);
    CHECK(strcmp(taker.thread, "echocart-result") == 0);
}

const rule_t result_rules[] = {
    {"results.fields", "what a result's kind does not set is empty; a value has its evidence",
     fields},
    {"results.demonstration", "a number without meaning leaves the library only with leave",
     demonstrations},
    {"results.stale", "in real pace a poll withholds a value that has become too old", stale},
    {"results.exam_over", "what nobody polled before a new exam has no value any more", exam_over},
    {"results.wait", "waiting ends with a result or at its timeout, and sleeps", waiting},
    {"results.callback", "a callback has a thread of its own, one call at a time, and may not call in",
     callbacks},
    {"results.end", "the summary is the last result, then END for ever", the_end},
    {"handles.any_order", "the three handles may be destroyed in any order, also while running",
     any_order},
    {NULL, NULL, NULL},
};
