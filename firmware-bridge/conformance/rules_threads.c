/* One thread per handle, defects that stay inside, and the end of a session in time. */

#define _GNU_SOURCE

#include "kit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define PACES 400000

static handles_t shared;
static atomic_int concurrent;
static atomic_int others;

static void *poll_much(void *unused)
{
    echocart_result_t result;
    (void)unused;
    for (int at = 0; at < PACES && atomic_load(&concurrent) == 0; at += 1) {
        uint32_t code = poll_result(&shared, &result);
        if (code == ECHOCART_CONCURRENT_USE) {
            atomic_fetch_add(&concurrent, 1);
        } else if (code != ECHOCART_OK && code != ECHOCART_EMPTY) {
            atomic_fetch_add(&others, 1);
        }
    }
    return NULL;
}

static void two_pollers(void)
{
    echocart_session_config_t config = plain_config();

    if (!CREATE(&config, &shared)) {
        return;
    }
    for (int attempt = 0; attempt < 60 && atomic_load(&concurrent) == 0; attempt += 1) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, poll_much, NULL) == 0);
        poll_much(NULL);
        pthread_join(thread, NULL);
    }
    CHECK(atomic_load(&concurrent) > 0 && atomic_load(&others) == 0);
    destroy(&shared);
}

static void panics(void)
{
    echocart_session_config_t config = plain_config();
    echocart_frame_t frame;
    echocart_result_t result;
    static uint8_t pixels[64 * 64];
    handles_t handles;
    handles_t other;
    int64_t nanos = -7;

    break_clock(1);
    EXPECT(ECHOCART_PANIC, echocart_clock_now(&nanos));
    break_clock(0);
    CHECK(nanos == -7 && now_nanos() >= 0);

    config.pace = ECHOCART_PACE_REAL;
    if (!CREATE(&config, &handles) || !CREATE(&config, &other)) {
        return;
    }
    memset(&frame, 0, sizeof frame);
    frame.struct_size = sizeof frame;
    frame.format = ECHOCART_PIXEL_GRAY8;
    frame.width_px = 64;
    frame.height_px = 64;
    frame.row_stride_bytes = 64;
    frame.pixels = pixels;
    frame.pixel_bytes = sizeof pixels;
    frame.capture_nanos = now_nanos();
    break_clock(1);
    EXPECT(ECHOCART_PANIC, push(&handles, &frame));
    break_clock(0);
    EXPECT(ECHOCART_POISONED, push(&handles, &frame));
    EXPECT(ECHOCART_POISONED, echocart_frame_port_close(handles.frames));
    while (poll_result(&handles, &result) == ECHOCART_OK) {
    }
    EXPECT(ECHOCART_EMPTY, poll_result(&handles, &result));
    EXPECT(ECHOCART_OK, push(&other, &frame));
    destroy(&handles);
    frame.capture_nanos = now_nanos();
    EXPECT(ECHOCART_OK, push(&other, &frame));
    destroy(&other);
}

/* A session and a result port that meet a defect are out of use; the others go on. */
static void other_panics(void)
{
    echocart_session_config_t config = plain_config();
    echocart_result_t result;
    handles_t handles;
    uint32_t code;

    config.pace = ECHOCART_PACE_REAL;
    if (!CREATE(&config, &handles)) {
        return;
    }
    break_clock(1);
    code = kit_seen(echocart_result_wait(handles.results, 2000000, sizeof result, &result));
    break_clock(0);
    CHECK(code == ECHOCART_PANIC || code == ECHOCART_OK);
    if (code == ECHOCART_PANIC) {
        EXPECT(ECHOCART_POISONED, poll_result(&handles, &result));
    }
    EXPECT(ECHOCART_OK, echocart_session_pause(handles.session));
    break_clock(1);
    EXPECT(ECHOCART_PANIC, echocart_session_stop(handles.session, 0));
    break_clock(0);
    EXPECT(ECHOCART_POISONED, echocart_session_pause(handles.session));
    EXPECT(ECHOCART_OK, echocart_frame_port_close(handles.frames));
    destroy(&handles);
    CHECK(handles.session == NULL);
}

static void stop_in_time(void)
{
    echocart_session_config_t config = plain_config();
    static uint8_t pixels[256 * 256];
    echocart_frame_t frame;
    handles_t handles;
    int64_t before;
    int64_t took;

    if (!CREATE(&config, &handles)) {
        return;
    }
    memset(&frame, 0, sizeof frame);
    frame.struct_size = sizeof frame;
    frame.format = ECHOCART_PIXEL_GRAY8;
    frame.width_px = 256;
    frame.height_px = 256;
    frame.row_stride_bytes = 256;
    frame.pixels = pixels;
    frame.pixel_bytes = sizeof pixels;
    for (int at = 0; at < 200; at += 1) {
        frame.capture_nanos = at * INT64_C(33333333);
        kit_seen(push(&handles, &frame));
    }
    before = now_nanos();
    kit_seen(echocart_session_stop(handles.session, 100000));
    took = now_nanos() - before;
    /* Promised: 0.1 s and half a second. Twice that much is left to a busy machine. */
    CHECK(took < INT64_C(1800000000));
    kit_note("stop with a timeout of 100 ms took %" PRId64 " ms", took / 1000000);
    destroy(&handles);
}

static atomic_int inside;

static void ECHOCART_CALL slow_take(void *user_data, const echocart_result_t *result)
{
    (void)user_data;
    (void)result;
    atomic_store(&inside, 1);
    nap_millis(200);
    atomic_store(&inside, 0);
}

/* The first result, STARTED, comes at once. */
static void destroy_waits(void)
{
    echocart_session_config_t config = plain_config();
    handles_t handles;

    if (!CREATE(&config, &handles)) {
        return;
    }
    EXPECT(ECHOCART_OK, echocart_result_subscribe(handles.results, slow_take, NULL));
    for (int wait = 0; wait < 20000 && atomic_load(&inside) == 0; wait += 1) {
        nap_millis(1);
    }
    CHECK(atomic_load(&inside) == 1);
    EXPECT(ECHOCART_OK, echocart_result_port_destroy(&handles.results));
    CHECK(atomic_load(&inside) == 0 && handles.results == NULL);
    destroy(&handles);
}

typedef struct {
    handles_t handles;
    uint32_t code;
} logged_t;

static void ECHOCART_CALL call_in(void *user_data, uint32_t level, const char *text, uint64_t bytes)
{
    logged_t *logged = (logged_t *)user_data;
    (void)level;
    (void)text;
    (void)bytes;
    if (logged->code == ECHOCART_EMPTY) {
        logged->code = echocart_session_resume(logged->handles.session);
    }
}

/* A pause says so on the thread of the call. */
static void log_callback(void)
{
    static logged_t logged;
    echocart_session_config_t config = plain_config();

    config.log_callback = call_in;
    config.log_user_data = &logged;
    config.log_level = ECHOCART_LOG_INFO;
    if (!CREATE(&config, &logged.handles)) {
        return;
    }
    logged.code = ECHOCART_EMPTY;
    EXPECT(ECHOCART_OK, echocart_session_pause(logged.handles.session));
    kit_seen(logged.code);
    CHECK(logged.code == ECHOCART_IN_CALLBACK);
    EXPECT(ECHOCART_OK, echocart_session_resume(logged.handles.session));
    destroy(&logged.handles);
}

const rule_t thread_rules[] = {
    {"threads.concurrent", "two threads in one handle: one of them is told CONCURRENT_USE",
     two_pollers},
    {"threads.panic", "a defect inside a call is PANIC, its handle POISONED, all others go on",
     panics},
    {"threads.stop_in_time", "stop returns after its timeout and half a second", stop_in_time},
    {"threads.other_panics", "a panic of a session is told, and its ports go on", other_panics},
    {"threads.destroy_waits", "the result port's destroy waits for a callback in progress", destroy_waits},
    {"threads.log_callback", "inside a log callback a call with a handle is IN_CALLBACK", log_callback},
    {NULL, NULL, NULL},
};
