/* Every format means what it says, and what a push promises beside taking the frame. */

#define _GNU_SOURCE

#include "kit.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>

#define WIDTH 96
#define HEIGHT 80
#define STEP INT64_C(33333333)
#define UNWRITTEN UINT64_C(0x5a5a5a5a5a5a5a5a)
#define MOST_BYTES (2 * WIDTH * HEIGHT * 4)

static uint8_t pixels[MOST_BYTES];

/* Threads of the lowest priority, which is the default, would wait long on a busy machine. */
static echocart_session_config_t prompt_config(void)
{
    echocart_session_config_t config = plain_config();
    config.priority = ECHOCART_PRIORITY_INHERIT;
    return config;
}

/* A way to write the same picture down. */
typedef struct {
    const char *name;
    uint32_t format;
    uint32_t padding;
    uint32_t gap;
    /* Forms of a set give the same numbers. */
    int set;
} form_t;

static const form_t FORMS[] = {
    {"RGB24", ECHOCART_PIXEL_RGB24, 0, 0, 0},
    {"RGB24 with padding", ECHOCART_PIXEL_RGB24, 7, 0, 0},
    {"BGRA32", ECHOCART_PIXEL_BGRA32, 0, 0, 0},
    {"BGRA32 with padding", ECHOCART_PIXEL_BGRA32, 12, 0, 0},
    {"YUY2", ECHOCART_PIXEL_YUY2, 0, 0, 0},
    {"YUY2 with padding", ECHOCART_PIXEL_YUY2, 20, 0, 0},
    {"NV12", ECHOCART_PIXEL_NV12, 0, 0, 0},
    {"NV12 with padding and its colour further behind", ECHOCART_PIXEL_NV12, 10, 1000, 0},
    {"GRAY8", ECHOCART_PIXEL_GRAY8, 0, 0, 1},
    {"GRAY8 with padding", ECHOCART_PIXEL_GRAY8, 32, 0, 1},
};
#define FORM_COUNT ((int)(sizeof FORMS / sizeof *FORMS))

static int luma(int x, int y, int64_t number)
{
    return (x * 5 + y * 3 + (int)(number % 89) * 7) % 256;
}

/* Two by two pixels share a colour, as NV12 has it. */
static int blue_ness(int x, int y)
{
    return 40 + (x / 2 * 11 + y / 2 * 5) % 176;
}

static int red_ness(int x, int y)
{
    return 40 + (x / 2 * 3 + y / 2 * 17) % 176;
}

static uint8_t cut(int sum)
{
    return (uint8_t)(sum < 0 ? 0 : sum / 256 > 255 ? 255 : sum / 256);
}

/* Red, green and blue by the contract's formula. */
static void colours(int x, int y, int64_t number, uint8_t out[3])
{
    int c = 298 * (luma(x, y, number) - 16) + 128;
    int d = blue_ness(x, y) - 128;
    int e = red_ness(x, y) - 128;
    out[0] = cut(c + 409 * e);
    out[1] = cut(c - 100 * d - 208 * e);
    out[2] = cut(c + 516 * d);
}

static void draw_pixel(uint8_t *row, uint32_t format, int x, int y, int64_t number)
{
    uint8_t rgb[3];
    colours(x, y, number, rgb);
    switch (format) {
    case ECHOCART_PIXEL_RGB24:
        memcpy(row + 3 * x, rgb, 3);
        break;
    case ECHOCART_PIXEL_BGRA32:
        row[4 * x] = rgb[2];
        row[4 * x + 1] = rgb[1];
        row[4 * x + 2] = rgb[0];
        break;
    case ECHOCART_PIXEL_YUY2:
        row[2 * x] = (uint8_t)luma(x, y, number);
        row[2 * x + 1] = (uint8_t)(x % 2 == 0 ? blue_ness(x, y) : red_ness(x, y));
        break;
    default:
        row[x] = (uint8_t)luma(x, y, number);
        break;
    }
}

/* What no pixel is stored in differs from frame to frame. */
static echocart_frame_t frame_of(const form_t *form, int64_t number)
{
    static const uint32_t PIXEL_BYTES[] = {0, 1, 3, 4, 2, 1};
    uint32_t stride = WIDTH * PIXEL_BYTES[form->format] + form->padding;
    size_t chroma = (size_t)stride * HEIGHT + form->gap;
    echocart_frame_t frame;

    memset(pixels, (int)(number * 37 % 251), sizeof pixels);
    for (int y = 0; y < HEIGHT; y += 1) {
        for (int x = 0; x < WIDTH; x += 1) {
            draw_pixel(pixels + (size_t)y * stride, form->format, x, y, number);
            if (form->format == ECHOCART_PIXEL_NV12) {
                pixels[chroma + (size_t)(y / 2) * stride + (size_t)x] =
                    (uint8_t)(x % 2 == 0 ? blue_ness(x, y) : red_ness(x, y));
            }
        }
    }
    memset(&frame, 0, sizeof frame);
    frame.struct_size = sizeof frame;
    frame.format = form->format;
    frame.width_px = WIDTH;
    frame.height_px = HEIGHT;
    frame.row_stride_bytes = stride;
    frame.pixels = pixels;
    frame.pixel_bytes = chroma;
    frame.pixel_bytes += form->format == ECHOCART_PIXEL_NV12 ? (size_t)stride * HEIGHT / 2 : 0;
    frame.chroma_offset_bytes = form->gap == 0 ? 0 : chroma;
    frame.capture_nanos = number * STEP;
    return frame;
}

/* The numbers of each form's clips; a form is an exam of its own. */
static uint64_t hashes[FORM_COUNT];
static int clips[FORM_COUNT];

static uint64_t hash_floats(uint64_t hash, const float *from, uint32_t count)
{
    const uint8_t *bytes = (const uint8_t *)from;
    for (size_t at = 0; at < count * sizeof *from; at += 1) {
        hash = (hash ^ bytes[at]) * UINT64_C(1099511628211);
    }
    return hash;
}

static void take_form(const echocart_result_t *result)
{
    int form = result->view.segments[0].exam_token[0] - 1;
    uint64_t hash = UINT64_C(14695981039346656037);
    if (result->kind != ECHOCART_RESULT_ESTIMATE || result->raw_view_count == 0 || form < 0
        || form >= FORM_COUNT) {
        return;
    }
    hash = hash_floats(hash, result->raw_view, result->raw_view_count);
    hashes[form] += hash_floats(hash, &result->raw_lvef, result->raw_lvef_count);
    clips[form] += 1;
}

static void conversion(void)
{
    echocart_session_config_t config = prompt_config();
    echocart_session_info_t info;
    handles_t handles;
    int64_t frames;

    if (!CREATE(&config, &handles)) {
        return;
    }
    EXPECT(ECHOCART_OK, echocart_session_info(handles.session, sizeof info, &info));
    frames = 20 + (int64_t)((float)info.clip_frames / info.sampling_hz * 30.0f);
    for (int form = 0; form < FORM_COUNT; form += 1) {
        for (int64_t number = 0; number < frames; number += 1) {
            echocart_frame_t frame = frame_of(&FORMS[form], number);
            frame.capture_nanos = (form * frames + number) * STEP;
            memset(frame.exam_token, form + 1, sizeof frame.exam_token);
            EXPECT(ECHOCART_OK, push_patiently(&handles, &frame));
        }
    }
    wait_source_ended(&handles, take_form);
    destroy(&handles);
    for (int form = 0, first = 0; form < FORM_COUNT; form += 1) {
        first = FORMS[form].set == FORMS[first].set ? first : form;
        if (clips[form] != clips[first] || clips[form] == 0 || hashes[form] != hashes[first]) {
            kit_fail(__LINE__, "%s: %d clips, other numbers than %d clips of %s", FORMS[form].name,
                     clips[form], clips[first], FORMS[first].name);
        }
    }
    if (hashes[0] == hashes[FORM_COUNT - 1]) {
        kit_note("the package gives colour and gray the same numbers");
    }
}

static echocart_frame_t gray_at(int64_t number)
{
    echocart_frame_t frame = frame_of(&FORMS[FORM_COUNT - 2], 0);
    frame.capture_nanos = number * STEP;
    return frame;
}

/* One frame by copy or, drawn anew, in a lent buffer. */
static uint32_t give(handles_t *handles, echocart_frame_t frame, int lent, uint64_t *number)
{
    uint8_t *room = NULL;
    uint32_t code;
    if (!lent) {
        return kit_seen(echocart_frame_push(handles->frames, &frame, number));
    }
    code = kit_seen(echocart_frame_lease(handles->frames, frame.pixel_bytes, &room));
    if (code != ECHOCART_OK) {
        CHECK(room == NULL);
        return code;
    }
    memset(room, 5, (size_t)frame.pixel_bytes);
    frame.pixels = room;
    code = kit_seen(echocart_frame_commit(handles->frames, &frame, number));
    if (code != ECHOCART_OK) {
        EXPECT(ECHOCART_OK, echocart_frame_release(handles->frames));
    }
    return code;
}

/* Gives frames until `wanted` comes; the number is there with OK, and only then. */
static void give_until(handles_t *handles, uint32_t wanted, int lent, int64_t captured)
{
    uint32_t code = ECHOCART_OK;
    for (int at = 0; code != wanted && at < 100000; at += 1) {
        uint64_t number = UNWRITTEN;
        echocart_frame_t frame = gray_at(0);
        frame.capture_nanos = captured < 0 ? now_nanos() : captured + at * STEP;
        code = give(handles, frame, lent, &number);
        CHECK((number == UNWRITTEN) == (code != ECHOCART_OK));
    }
    CHECK(code == wanted);
}

static void number_stays(void)
{
    echocart_session_config_t config = prompt_config();
    handles_t handles;

    set_toml(&config, toml_with("ring_frames", "4"));
    for (int lent = 0; lent < 2; lent += 1) {
        config.pace = ECHOCART_PACE_MAX;
        if (EXPECT(ECHOCART_OK, create(&config, &handles)) != ECHOCART_OK) {
            return;
        }
        give_until(&handles, ECHOCART_PAUSED, lent, 0);
        EXPECT(ECHOCART_OK, echocart_session_start(handles.session));
        give_until(&handles, ECHOCART_WOULD_BLOCK, lent, 0);
        give_until(&handles, ECHOCART_BAD_TIME, lent, INT64_MAX / 2 + 2);
        EXPECT(ECHOCART_OK, echocart_frame_port_close(handles.frames));
        give_until(&handles, ECHOCART_CLOSED, lent, 0);
        destroy(&handles);
        config.pace = ECHOCART_PACE_REAL;
        if (!CREATE(&config, &handles)) {
            return;
        }
        give_until(&handles, ECHOCART_DROPPED, lent, -1);
        destroy(&handles);
    }
}

/* With the buffers' bytes reserved the first push costs what every other does. */
static void reserves(void)
{
    echocart_session_config_t config = prompt_config();
    handles_t handles;
    int64_t allocations = 0;

    config.reserve_frame_bytes = WIDTH * HEIGHT;
    if (!CREATE(&config, &handles)) {
        return;
    }
    for (int64_t number = 0, taken = 0; number < 20000 && taken < 120; number += 1) {
        echocart_frame_t frame = gray_at(taken);
        uint64_t out = 0;
        uint32_t code;
        watch_begin();
        code = echocart_frame_push(handles.frames, &frame, &out);
        allocations += watch_end().allocations;
        CHECK(code == ECHOCART_OK || code == ECHOCART_WOULD_BLOCK);
        taken += code == ECHOCART_OK;
        if (code == ECHOCART_WOULD_BLOCK) {
            nap_millis(1);
        }
    }
    destroy(&handles);
    if (allocations > 0) {
        kit_fail(__LINE__, "pushes allocated %" PRId64 " times", allocations);
    }
}

static handles_t shared;
static atomic_int concurrent;
static atomic_int others;

static void *push_much(void *unused)
{
    echocart_frame_t frame = gray_at(0);
    (void)unused;
    for (int at = 0; at < 100000 && atomic_load(&concurrent) == 0; at += 1) {
        uint32_t code = push(&shared, &frame);
        if (code == ECHOCART_CONCURRENT_USE) {
            atomic_fetch_add(&concurrent, 1);
        } else if (code != ECHOCART_OK && code != ECHOCART_WOULD_BLOCK) {
            atomic_fetch_add(&others, 1);
        }
    }
    return NULL;
}

static void two_pushers(void)
{
    echocart_session_config_t config = prompt_config();

    if (!CREATE(&config, &shared)) {
        return;
    }
    for (int attempt = 0; attempt < 40 && atomic_load(&concurrent) == 0; attempt += 1) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, push_much, NULL) == 0);
        push_much(NULL);
        pthread_join(thread, NULL);
    }
    CHECK(atomic_load(&concurrent) > 0 && atomic_load(&others) == 0);
    destroy(&shared);
}

/* In real pace: frames that are not later, fewer than the ring holds, so that none is dropped. */
static void live_not_later(void)
{
    echocart_session_config_t config = prompt_config();
    echocart_frame_t frame = gray_at(0);
    echocart_result_t last;
    handles_t handles;

    config.pace = ECHOCART_PACE_REAL;
    if (!CREATE(&config, &handles)) {
        return;
    }
    frame.capture_nanos = now_nanos();
    for (uint64_t at = 0; at < 8; at += 1) {
        uint64_t number = UNWRITTEN;
        EXPECT(ECHOCART_OK, give(&handles, frame, at % 2 == 1, &number));
        CHECK(number == at);
    }
    EXPECT(ECHOCART_OK, echocart_session_stop(handles.session, 20000000));
    memset(&last, 0, sizeof last);
    while (poll_result(&handles, &last) == ECHOCART_OK) {
    }
    CHECK(last.kind == ECHOCART_RESULT_SUMMARY && counted(&last.counters) == 8);
    CHECK(last.counters.rejected[ECHOCART_REASON_BAD_TIMESTAMP] == 7);
    destroy(&handles);
}

/* Frames whose size changes each time give a result each, of which a short queue holds few. */
static void lost_results(void)
{
    echocart_session_config_t config = prompt_config();
    echocart_result_t last;
    handles_t handles;
    uint64_t estimates = 0;

    config.pace = ECHOCART_PACE_REAL;
    set_toml(&config, toml_with("event_queue", "16"));
    if (!CREATE(&config, &handles)) {
        return;
    }
    for (int at = 0; at < 300; at += 1) {
        echocart_frame_t frame = gray_at(0);
        frame.width_px -= at % 2 == 0 ? 0 : WIDTH / 2;
        frame.capture_nanos = now_nanos();
        kit_seen(push(&handles, &frame));
        nap_millis(1);
    }
    kit_seen(echocart_session_stop(handles.session, 500000));
    memset(&last, 0, sizeof last);
    while (poll_result(&handles, &last) == ECHOCART_OK) {
        estimates += last.kind == ECHOCART_RESULT_ESTIMATE;
    }
    CHECK(last.kind == ECHOCART_RESULT_SUMMARY && last.estimates > estimates);
    CHECK(last.results_dropped >= last.estimates - estimates);
    destroy(&handles);
}

#if defined(__x86_64__) && defined(PR_SET_SYSCALL_USER_DISPATCH)

static volatile char dispatch;
static volatile sig_atomic_t called;

/* Lets the thread's system calls through from here on and does the one that was stopped again: its
 * instruction has two bytes. Where the clock is one, reading it is not held against a push. */
static void on_system_call(int signal, siginfo_t *info, void *context)
{
    ucontext_t *thread = (ucontext_t *)context;
    (void)signal;
    called = called || info->si_syscall != SYS_clock_gettime;
    dispatch = SYSCALL_DISPATCH_FILTER_ALLOW;
    thread->uc_mcontext.gregs[REG_RIP] -= 2;
}

static int can_stop_system_calls(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_system_call;
    action.sa_flags = SA_SIGINFO;
    dispatch = SYSCALL_DISPATCH_FILTER_ALLOW;
    return sigaction(SIGSYS, &action, NULL) == 0
           && prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, 0, &dispatch) == 0;
}

/* Whether a push made one. */
static int push_watched(handles_t *handles, const echocart_frame_t *frame)
{
    uint64_t number = 0;
    uint32_t code;
    called = 0;
    dispatch = SYSCALL_DISPATCH_FILTER_BLOCK;
    code = echocart_frame_push(handles->frames, frame, &number);
    dispatch = SYSCALL_DISPATCH_FILTER_ALLOW;
    CHECK(code == ECHOCART_OK || code == ECHOCART_DROPPED);
    return called;
}

#else

static int can_stop_system_calls(void)
{
    return 0;
}

static int push_watched(handles_t *handles, const echocart_frame_t *frame)
{
    kit_seen(push(handles, frame));
    return 0;
}

#endif

/* Pushes count only where the one before was not long ago; a few are left to a busy machine. */
static void no_system_call(void)
{
    echocart_session_config_t config = plain_config();
    int64_t before = 0;
    int pushes = 0;
    int with_call = 0;
    handles_t handles;

    config.pace = ECHOCART_PACE_REAL;
    config.reserve_frame_bytes = WIDTH * HEIGHT;
    if (!CREATE(&config, &handles)) {
        return;
    }
    if (!can_stop_system_calls()) {
        kit_note("not tried: this system cannot tell a thread's system calls");
        destroy(&handles);
        return;
    }
    for (int at = 0; at < 90; at += 1) {
        echocart_frame_t frame = gray_at(0);
        int called_now;
        frame.capture_nanos = now_nanos();
        called_now = push_watched(&handles, &frame);
        if (at >= 20 && frame.capture_nanos - before < 150000000) {
            pushes += 1;
            with_call += called_now;
        }
        before = frame.capture_nanos;
        nap_millis(20);
    }
    destroy(&handles);
    kit_note("%d of %d pushes made a system call", with_call, pushes);
    CHECK(with_call * 10 <= pushes);
}

const rule_t format_rules[] = {
    {"frames.conversion", "the same picture gives the same numbers in every format, padded or not",
     conversion},
    {"frames.number_stays", "a frame's number is written only with OK, also not with a flow code",
     number_stays},
    {"frames.reserved", "with reserve_frame_bytes no push allocates, the first neither", reserves},
    {"frames.concurrent", "two threads in one frame port: one of them is told CONCURRENT_USE",
     two_pushers},
    {"frames.no_system_call", "while live frames come a push makes no system call",
     no_system_call},
    {"counts.not_later", "in real pace, too, a frame that is not later is counted as that",
     live_not_later},
    {"counts.lost_results", "results that nobody polled in time are counted", lost_results},
    {NULL, NULL, NULL},
};
