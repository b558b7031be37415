/* A host with a thread for everything, over the session of the feature `trial`: one pushes copies and
 * leased buffers, one polls, one pauses, resumes and asks for numbers, one asks without a handle.
 * Then the session ends in an order that changes from cycle to cycle.
 *
 *   threads CYCLES
 *
 * For ThreadSanitizer and valgrind: `cargo xtask sanitize`. Gives 0 when the accounts are exact. */

#define _POSIX_C_SOURCE 200809L

#include "echocart.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SIDE 64
#define FRAMES 120

uint32_t echocart_trial_create(uint32_t pace, echocart_session_t **out_session,
                               echocart_frame_port_t **out_frame_port,
                               echocart_result_port_t **out_result_port);

typedef struct {
    echocart_session_t *session;
    echocart_frame_port_t *frames;
    echocart_result_port_t *results;
    uint32_t pace;
    uint64_t counted;
    uint64_t heard;
    int summaries;
    echocart_counters_t last;
} host_t;

static void need(int line, int holds)
{
    if (!holds) {
        fprintf(stderr, "threads.c line %d does not hold\n", line);
        exit(1);
    }
}

#define NEED(condition) need(__LINE__, (condition) ? 1 : 0)

static void nap_micros(long micros)
{
    struct timespec wait = {0, micros * 1000};
    nanosleep(&wait, NULL);
}

static uint32_t hand_in(host_t *host, echocart_frame_t *frame, int leased)
{
    uint64_t number = 0;
    uint8_t *lent = NULL;
    uint32_t code;
    if (!leased) {
        return echocart_frame_push(host->frames, frame, &number);
    }
    code = echocart_frame_lease(host->frames, frame->pixel_bytes, &lent);
    if (code != ECHOCART_OK) {
        return code;
    }
    memcpy(lent, frame->pixels, (size_t)frame->pixel_bytes);
    frame->pixels = lent;
    code = echocart_frame_commit(host->frames, frame, &number);
    if (code != ECHOCART_OK && code != ECHOCART_DROPPED) {
        NEED(echocart_frame_release(host->frames) == ECHOCART_OK);
    }
    return code;
}

static void *push_frames(void *data)
{
    host_t *host = (host_t *)data;
    uint8_t pixels[SIDE * SIDE];
    for (int at = 0; at < FRAMES; at += 1) {
        echocart_frame_t frame;
        uint32_t code;
        int attempts = 0;
        memset(pixels, at, sizeof pixels);
        do {
            memset(&frame, 0, sizeof frame);
            frame.struct_size = sizeof frame;
            frame.format = ECHOCART_PIXEL_GRAY8;
            frame.width_px = SIDE;
            frame.height_px = SIDE;
            frame.row_stride_bytes = SIDE;
            frame.pixels = pixels;
            frame.pixel_bytes = sizeof pixels;
            frame.exam_token[0] = (uint8_t)(at / 50);
            frame.capture_nanos = (int64_t)at * 40000000;
            if (host->pace == ECHOCART_PACE_REAL) {
                NEED(echocart_clock_now(&frame.capture_nanos) == ECHOCART_OK);
            }
            code = hand_in(host, &frame, at % 2);
            if (code == ECHOCART_WOULD_BLOCK || code == ECHOCART_PAUSED) {
                nap_micros(300);
            }
        } while ((code == ECHOCART_WOULD_BLOCK || code == ECHOCART_PAUSED) && ++attempts < 20000);
        if (code == ECHOCART_CLOSED) {
            break;
        }
        NEED(code == ECHOCART_OK || code == ECHOCART_DROPPED);
        host->counted += 1;
        nap_micros(host->pace == ECHOCART_PACE_REAL ? 1500 : 50);
    }
    return NULL;
}

static void hear(host_t *host, const echocart_result_t *result)
{
    host->heard += 1;
    if (result->kind == ECHOCART_RESULT_SUMMARY) {
        host->summaries += 1;
        host->last = result->counters;
    }
}

static void *poll_results(void *data)
{
    host_t *host = (host_t *)data;
    echocart_result_t result;
    uint32_t code;
    do {
        code = echocart_result_wait(host->results, 5000, sizeof result, &result);
        if (code == ECHOCART_OK) {
            hear(host, &result);
        }
    } while (code == ECHOCART_OK || code == ECHOCART_EMPTY);
    NEED(code == ECHOCART_END);
    return NULL;
}

static void *look_around(void *data)
{
    host_t *host = (host_t *)data;
    for (int at = 0; at < 40; at += 1) {
        echocart_session_stats_t stats;
        echocart_session_memory_t memory;
        echocart_session_info_t info;
        NEED(echocart_session_stats(host->session, sizeof stats, &stats) == ECHOCART_OK);
        NEED(echocart_session_memory(host->session, sizeof memory, &memory) == ECHOCART_OK);
        NEED(echocart_session_info(host->session, sizeof info, &info) == ECHOCART_OK);
        NEED(echocart_session_pause(host->session) == ECHOCART_OK);
        NEED(echocart_session_resume(host->session) == ECHOCART_OK);
        nap_micros(2000);
    }
    return NULL;
}

static void *ask_without_a_handle(void *unused)
{
    for (int at = 0; at < 500; at += 1) {
        char text[64];
        uint64_t bytes = 0;
        int64_t now = 0;
        NEED(echocart_clock_now(&now) == ECHOCART_OK);
        NEED(echocart_clock_now(NULL) == ECHOCART_NULL_ARGUMENT);
        NEED(echocart_last_error(text, sizeof text, &bytes) == ECHOCART_OK);
        NEED(echocart_code_text((uint32_t)at) != NULL);
    }
    return unused;
}

static uint64_t sum(const echocart_counters_t *counters)
{
    uint64_t frames = counters->used + counters->unused + counters->dropped_ring_full
                      + counters->in_flight;
    for (int at = 0; at < ECHOCART_REASONS; at += 1) {
        frames += counters->rejected[at];
    }
    return frames;
}

static void ECHOCART_CALL hear_callback(void *user_data, const echocart_result_t *result)
{
    hear((host_t *)user_data, result);
}

static void cycle(int number)
{
    void *(*const bodies[])(void *) = {push_frames, look_around, ask_without_a_handle,
                                       poll_results};
    int subscribed = number % 3 == 2;
    int threads = subscribed ? 3 : 4;
    pthread_t ids[4];
    host_t host;

    memset(&host, 0, sizeof host);
    host.pace = number % 2 == 0 ? ECHOCART_PACE_MAX : ECHOCART_PACE_REAL;
    NEED(echocart_trial_create(host.pace, &host.session, &host.frames, &host.results)
         == ECHOCART_OK);
    NEED(echocart_session_start(host.session) == ECHOCART_OK);
    if (subscribed) {
        NEED(echocart_result_subscribe(host.results, hear_callback, &host) == ECHOCART_OK);
    }
    for (int at = 0; at < threads; at += 1) {
        NEED(pthread_create(&ids[at], NULL, bodies[at], &host) == 0);
    }
    NEED(pthread_join(ids[1], NULL) == 0);
    if (number % 4 == 3) {
        /* The session ends while frames are still being pushed. */
        NEED(echocart_session_destroy(&host.session) == ECHOCART_OK);
        NEED(pthread_join(ids[0], NULL) == 0);
    } else {
        NEED(pthread_join(ids[0], NULL) == 0);
        NEED(echocart_session_stop(host.session, 30000000) == ECHOCART_OK);
        NEED(echocart_session_destroy(&host.session) == ECHOCART_OK);
    }
    for (int at = 2; at < threads; at += 1) {
        NEED(pthread_join(ids[at], NULL) == 0);
    }
    for (int at = 0; subscribed && at < 500; at += 1) {
        nap_micros(1000);
    }
    NEED(echocart_result_port_destroy(&host.results) == ECHOCART_OK);
    NEED(echocart_frame_port_destroy(&host.frames) == ECHOCART_OK);
    NEED(host.heard > 0 && host.summaries == 1);
    NEED(sum(&host.last) == host.last.captured && host.last.captured <= host.counted);
    if (number % 4 != 3) {
        NEED(host.last.captured == host.counted && host.last.in_flight == 0);
    }
}

int main(int count, char **arguments)
{
    int cycles = count == 2 ? atoi(arguments[1]) : 0;
    if (cycles < 1) {
        fputs("usage: threads CYCLES\n", stderr);
        return 2;
    }
    for (int at = 0; at < cycles; at += 1) {
        cycle(at);
    }
    printf("%d cycles\n", cycles);
    return 0;
}
