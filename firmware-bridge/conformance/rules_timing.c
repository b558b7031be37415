/* What calls cost: measured and reported; blocking and allocation are counted, not timed. */

#define _GNU_SOURCE

#include "kit.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WIDTH 1024
#define HEIGHT 768
#define RATE 60
#define MOST 8192

static int64_t monotonic(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static int64_t push_nanos[MOST];
static int64_t lease_nanos[MOST];
static int64_t both_nanos[MOST];
static int64_t poll_nanos[MOST];
static int64_t clock_nanos[MOST];
static int64_t nothing_nanos[MOST];
static int64_t read_nanos[MOST];

/* Few waits are allowed: a lock may be held by a slower thread for as long as a copy takes. */
static void check_waits(const char *call, watched_t all, size_t calls)
{
    kit_note("%s: %zu calls gave the processor away %" PRId64 " times and allocated %" PRId64 " times",
             call, calls, all.waits, all.allocations);
    if (all.waits * 20 > (int64_t)calls) {
        kit_fail(__LINE__, "%s blocks: %" PRId64 " waits in %zu calls", call, all.waits, calls);
    }
}

typedef struct {
    watched_t push;
    watched_t poll;
    size_t pushes;
    size_t polls;
} cost_t;

static void add(watched_t *sum, watched_t one)
{
    sum->allocations += one.allocations;
    sum->waits += one.waits;
}

/* One frame, copied or in a lent buffer: what the lease took, and what the push or the commit. */
static uint32_t push_one(handles_t *handles, echocart_frame_t *frame, int leased, int64_t nanos[2],
                         watched_t *watched)
{
    const uint8_t *drawn = frame->pixels;
    uint64_t number = 0;
    uint8_t *room = NULL;
    uint32_t code = ECHOCART_OK;
    int64_t start;

    nanos[0] = nanos[1] = 0;
    watch_begin();
    if (leased) {
        start = monotonic();
        code = echocart_frame_lease(handles->frames, frame->pixel_bytes, &room);
        nanos[0] = monotonic() - start;
        kit_seen(code);
        if (code != ECHOCART_OK) {
            *watched = watch_end();
            return code;
        }
        memcpy(room, drawn, (size_t)frame->pixel_bytes);
        frame->pixels = room;
    }
    start = monotonic();
    code = leased ? echocart_frame_commit(handles->frames, frame, &number)
                  : echocart_frame_push(handles->frames, frame, &number);
    nanos[1] = monotonic() - start;
    *watched = watch_end();
    frame->pixels = drawn;
    return kit_seen(code);
}

/* With --realtime the thread that pushes is scheduled as a scanner's image thread is. */
static void be_realtime(int on)
{
    struct sched_param low = {on ? 1 : 0};
    if (kit.realtime && sched_setscheduler(0, on ? SCHED_FIFO : SCHED_OTHER, &low) != 0) {
        kit_fail(__LINE__, "the system allows no real-time thread (--realtime)");
    }
}

/* What a frame's bytes take to be read once, and nothing else. */
static int64_t read_frame(const uint8_t *pixels)
{
    int64_t start = monotonic();
    for (size_t at = 0; at < (size_t)WIDTH * HEIGHT; at += 64) {
        (void)*(const volatile uint8_t *)(pixels + at);
    }
    return monotonic() - start;
}

/* Drives a live stream and measures each call; the first `warm` frames do not count. */
static int measure(cost_t *cost, size_t warm, int leased)
{
    echocart_session_config_t config = plain_config();
    uint8_t *pixels = (uint8_t *)calloc(WIDTH, HEIGHT);
    uint8_t *other = leased ? NULL : (uint8_t *)malloc((size_t)WIDTH * HEIGHT);
    size_t frames = warm + (size_t)(kit.seconds * RATE);
    echocart_frame_t frame;
    echocart_result_t result;
    handles_t handles;
    int64_t due;

    memset(cost, 0, sizeof *cost);
    config.pace = ECHOCART_PACE_REAL;
    if (pixels == NULL || (other == NULL && !leased) || !CREATE(&config, &handles)) {
        free(pixels);
        free(other);
        return 0;
    }
    if (other != NULL) {
        memset(other, 1, (size_t)WIDTH * HEIGHT);
    }
    memset(&frame, 0, sizeof frame);
    frame.struct_size = sizeof frame;
    frame.format = ECHOCART_PIXEL_GRAY8;
    frame.width_px = WIDTH;
    frame.height_px = HEIGHT;
    frame.row_stride_bytes = WIDTH;
    frame.pixels = pixels;
    frame.pixel_bytes = (uint64_t)WIDTH * HEIGHT;
    be_realtime(1);
    due = now_nanos();
    for (size_t at = 0; at < frames && cost->pushes < MOST; at += 1) {
        uint32_t code;
        int64_t start, nanos[2];
        watched_t watched = {0, 0};
        memset(pixels + at % HEIGHT * WIDTH, (int)at, WIDTH);
        due += 1000000000 / RATE;
        if (due > now_nanos()) {
            nap_millis((due - now_nanos()) / 1000000);
        }
        frame.capture_nanos = now_nanos();
        code = push_one(&handles, &frame, leased, nanos, &watched);
        CHECK(code == ECHOCART_OK || code == ECHOCART_DROPPED || code == ECHOCART_WOULD_BLOCK);
        if (at >= warm) {
            lease_nanos[cost->pushes] = nanos[0];
            push_nanos[cost->pushes] = nanos[1];
            both_nanos[cost->pushes] = nanos[0] + nanos[1];
            start = monotonic();
            echocart_abi_version();
            nothing_nanos[cost->pushes] = monotonic() - start;
            cost->pushes += 1;
            add(&cost->push, watched);
        }
        do {
            watch_begin();
            start = monotonic();
            code = echocart_result_poll(handles.results, sizeof result, &result);
            start = monotonic() - start;
            watched = watch_end();
            if (at >= warm && cost->polls < MOST) {
                poll_nanos[cost->polls] = start;
                cost->polls += 1;
                add(&cost->poll, watched);
            }
        } while (code == ECHOCART_OK);
        if (other != NULL && at >= warm) {
            read_nanos[cost->pushes - 1] = read_frame(other);
        }
    }
    be_realtime(0);
    free(pixels);
    free(other);
    kit_seen(echocart_session_stop(handles.session, 2000000));
    destroy(&handles);
    return 1;
}

static void push_and_poll(void)
{
    cost_t cost;
    size_t reads;
    if (!measure(&cost, 60, 0)) {
        return;
    }
    kit_measure("frame_push_1024x768_gray8", push_nanos, cost.pushes, 150000);
    kit_measure("read_of_1024x768_bytes", read_nanos, cost.pushes, 0);
    kit_measure("result_poll", poll_nanos, cost.polls, 0);
    for (reads = 0; reads < MOST; reads += 1) {
        int64_t now = 0;
        int64_t start = monotonic();
        echocart_clock_now(&now);
        clock_nanos[reads] = monotonic() - start;
    }
    kit_measure("clock_now", clock_nanos, reads, 0);
}

static void lease_and_commit(void)
{
    cost_t cost;
    if (!measure(&cost, 60, 1)) {
        return;
    }
    kit_measure("frame_lease_1024x768", lease_nanos, cost.pushes, 0);
    kit_measure("frame_commit_1024x768", push_nanos, cost.pushes, 5000);
    kit_measure("frame_lease_and_commit_1024x768", both_nanos, cost.pushes, 5000);
    kit_measure("abi_version_a_frame_apart", nothing_nanos, cost.pushes, 0);
    check_waits("a lease and a commit", cost.push, cost.pushes);
    if (cost.push.allocations > 0) {
        kit_fail(__LINE__, "a lease and a commit allocated %" PRId64 " times in %zu calls",
                 cost.push.allocations, cost.pushes);
    }
}

static void never_blocks(void)
{
    cost_t cost;
    if (measure(&cost, 60, 0)) {
        check_waits("echocart_frame_push", cost.push, cost.pushes);
        check_waits("echocart_result_poll", cost.poll, cost.polls);
    }
}

static void no_allocation(void)
{
    cost_t cost;
    if (!measure(&cost, 120, 0)) {
        return;
    }
    if (cost.push.allocations > 0) {
        kit_fail(__LINE__, "frame_push allocated %" PRId64 " times in %zu calls",
                 cost.push.allocations, cost.pushes);
    }
}

static void load(void)
{
    int64_t nanos[5];
    size_t at;
    for (at = 0; at < 5; at += 1) {
        echocart_session_config_t config = plain_config();
        handles_t handles;
        int64_t start = monotonic();
        if (!CREATE(&config, &handles)) {
            return;
        }
        nanos[at] = monotonic() - start;
        destroy(&handles);
    }
    kit_measure("session_create_warm", nanos + 1, at - 1, 1000000000);
}

const rule_t timing_rules[] = {
    {"timing.calls", "push of 1024x768 GRAY8 by copy: under 150 us at p99 (fails with --strict-timing)",
     push_and_poll},
    {"timing.leased", "a lent buffer of 1024x768 GRAY8 goes in under 5 us at p99, without waiting",
     lease_and_commit},
    {"timing.never_blocks", "push and poll do not wait", never_blocks},
    {"timing.no_allocation", "a push allocates nothing once its buffers have been used",
     no_allocation},
    {"timing.load", "a warm small package is ready in under 1 s (fails with --strict-timing)", load},
    {NULL, NULL, NULL},
};
