/* Two simulated hearts, one exam after the other: heart B begins while heart A's frames, clips or results
 * are at one stage of the pipeline.
 *
 *   exam_switch PACKAGE LIBRARY HEART_A HEART_B max FRAMES
 *   exam_switch PACKAGE LIBRARY HEART_A HEART_B ring|window|inference|waiting|unpolled|callback
 *
 * A heart is a file of RGB24 frames without anything between them. `max` pushes so many frames of A at
 * maximum pace with the engine in this process, then all of B. The others are live with a worker; that is
 * stopped for a moment where a clip is to be in inference or to wait. Prints each estimate of B with its
 * raw numbers' bits, unless one of its frames found the ring full. Gives 0 when the stage was reached and nothing of A was given as B's, nor at all
 * once B's first push had returned. */

#define _GNU_SOURCE

#include "echocart.h"

#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WIDTH 320
#define HEIGHT 240
#define ROW_BYTES (WIDTH * 3)
#define BYTES (ROW_BYTES * HEIGHT)
#define PERIOD_NANOS 41666667
#define TOKEN_A 0xA
#define TOKEN_B 0xB
/* Host ids of A are below, of B from here on. */
#define IDS_OF_B 100000
/* A new clip every 250 ms, six frames; a worker that says nothing for 400 ms is ended. */
#define FRAMES_OF_A_HOP 6

typedef struct {
    uint8_t *pixels;
    int frames;
} heart_t;

static echocart_session_t *session;
static echocart_frame_port_t *frames;
static echocart_result_port_t *results;
static int live;
static int64_t base_nanos;
/* Frames pushed of both hearts. */
static int pushed;

/* Written by the thread that takes results. */
static atomic_int estimates_of_a;
static atomic_int withheld_of_a;
static atomic_int estimates_of_b;
static atomic_int ended;
/* B's first push has returned. */
static atomic_int over;
/* The callback holds on to an estimate of A. */
static atomic_int held;
static int hold_one;
/* B's newest frame that found the ring full, or -1. */
static atomic_int newest_dropped = -1;

static void need(int line, const char *what, int holds)
{
    if (!holds) {
        fprintf(stderr, "exam_switch.c line %d does not hold: %s\n", line, what);
        _exit(1);
    }
}

#define NEED(condition) need(__LINE__, #condition, (condition) ? 1 : 0)

static void nap_micros(long micros)
{
    struct timespec wait = {micros / 1000000, micros % 1000000 * 1000};
    nanosleep(&wait, NULL);
}

static int64_t now_nanos(void)
{
    int64_t now = 0;
    NEED(echocart_clock_now(&now) == ECHOCART_OK);
    return now;
}

static heart_t read_heart(const char *path)
{
    heart_t heart = {NULL, 0};
    FILE *file = fopen(path, "rb");
    long bytes;
    NEED(file != NULL && fseek(file, 0, SEEK_END) == 0);
    bytes = ftell(file);
    rewind(file);
    heart.frames = (int)(bytes / BYTES);
    NEED(bytes % BYTES == 0);
    heart.pixels = (uint8_t *)malloc((size_t)bytes);
    NEED(heart.pixels != NULL && fread(heart.pixels, 1, (size_t)bytes, file) == (size_t)bytes);
    fclose(file);
    return heart;
}

static echocart_session_stats_t stats(void)
{
    echocart_session_stats_t found;
    NEED(echocart_session_stats(session, sizeof found, &found) == ECHOCART_OK);
    return found;
}

static int in_inference(void)
{
    echocart_session_stats_t found = stats();
    return found.clip_wait.count > found.inference.count;
}

/* Adds what an output's evidence has of each exam; a frame's id and its token must be of one heart. */
static void look(const echocart_output_t *output, int *of_a, int *of_b)
{
    for (uint32_t at = 0; at < output->segment_count; at += 1) {
        const echocart_segment_t *part = &output->segments[at];
        uint8_t token = part->exam_token[0];
        NEED(token == TOKEN_A || token == TOKEN_B);
        NEED((part->first_host_frame_id >= IDS_OF_B) == (token == TOKEN_B));
        NEED((part->last_host_frame_id >= IDS_OF_B) == (token == TOKEN_B));
        *of_a += token == TOKEN_A;
        *of_b += token == TOKEN_B;
    }
}

/* A clip that misses a frame, or begins with the neighbour of one, is another clip than the one of B alone. */
static int has_hole(const echocart_segment_t *clip)
{
    int at = atomic_load(&newest_dropped);
    uint64_t dropped = (uint64_t)at + IDS_OF_B;
    return at >= 0 && clip->first_host_frame_id <= dropped + 1;
}

static int has_value(const echocart_output_t *output)
{
    return output->status == ECHOCART_STATUS_VALUE || output->status == ECHOCART_STATUS_DEMONSTRATION;
}

static int for_new_exam(const echocart_output_t *output)
{
    return output->status == ECHOCART_STATUS_WITHHELD && output->reason == ECHOCART_REASON_NEW_EXAM;
}

static void print_bits(float number)
{
    uint32_t word;
    memcpy(&word, &number, sizeof word);
    printf(" %08" PRIx32, word);
}

static void hear(const echocart_result_t *result, int is_over)
{
    const echocart_segment_t *clip = &result->view.segments[0];
    int of_a = 0;
    int of_b = 0;
    if (result->kind == ECHOCART_RESULT_STATE && result->state == ECHOCART_STATE_SOURCE_ENDED) {
        atomic_store(&ended, 1);
    }
    if (result->kind != ECHOCART_RESULT_ESTIMATE) {
        return;
    }
    look(&result->view, &of_a, &of_b);
    look(&result->lvef, &of_a, &of_b);
    look(&result->signal, &of_a, &of_b);
    NEED(of_a == 0 || of_b == 0);
    if (of_a > 0 && is_over) {
        NEED(!has_value(&result->view) && !has_value(&result->lvef) && !has_value(&result->signal));
        NEED(result->raw_view_count == 0 && result->raw_lvef_count == 0);
        NEED(result->view_probability_count == 0 && result->view_label == ECHOCART_NO_LABEL);
        NEED(isnan(result->lvef_percent) && isnan(result->signal_meter));
        atomic_fetch_add(&withheld_of_a, for_new_exam(&result->view) || for_new_exam(&result->signal));
    }
    if (result->raw_view_count == 0) {
        return;
    }
    if (of_a > 0) {
        atomic_fetch_add(&estimates_of_a, 1);
        return;
    }
    NEED(of_b > 0);
    if (has_hole(clip)) {
        return;
    }
    atomic_fetch_add(&estimates_of_b, 1);
    printf("%" PRIu64 " %" PRIu64, clip->first_host_frame_id - IDS_OF_B,
           clip->last_host_frame_id - IDS_OF_B);
    for (uint32_t at = 0; at < result->raw_view_count; at += 1) {
        print_bits(result->raw_view[at]);
    }
    for (uint32_t at = 0; at < result->raw_lvef_count; at += 1) {
        print_bits(result->raw_lvef);
    }
    printf("\n");
}

static void poll_all(void)
{
    echocart_result_t result;
    int is_over = atomic_load(&over);
    while (echocart_result_poll(results, sizeof result, &result) == ECHOCART_OK) {
        hear(&result, is_over);
    }
}

/* On the library's thread. What begins before B's push has returned may be of A; it is held until after. */
static void ECHOCART_CALL on_result(void *unused, const echocart_result_t *result)
{
    int is_over = atomic_load(&over);
    (void)unused;
    hear(result, is_over);
    if (hold_one && !is_over && atomic_load(&estimates_of_a) > 0) {
        atomic_store(&held, 1);
        while (!atomic_load(&over)) {
            nap_micros(500);
        }
    }
}

/* Pushes the next frame when it is due, or as soon as there is room. */
static void push(const heart_t *heart, int number, int of_b)
{
    echocart_frame_t frame;
    uint64_t taken = 0;
    uint32_t code;
    memset(&frame, 0, sizeof frame);
    frame.struct_size = sizeof frame;
    frame.format = ECHOCART_PIXEL_RGB24;
    frame.width_px = WIDTH;
    frame.height_px = HEIGHT;
    frame.row_stride_bytes = ROW_BYTES;
    frame.pixels = heart->pixels + (size_t)number * BYTES;
    frame.pixel_bytes = BYTES;
    frame.capture_nanos = base_nanos + (int64_t)pushed * PERIOD_NANOS;
    frame.host_frame_id = (uint64_t)number + (of_b ? IDS_OF_B : 0);
    memset(frame.exam_token, of_b ? TOKEN_B : TOKEN_A, sizeof frame.exam_token);
    if (live && frame.capture_nanos > now_nanos()) {
        nap_micros((long)((frame.capture_nanos - now_nanos()) / 1000) + 1);
    }
    while ((code = echocart_frame_push(frames, &frame, &taken)) == ECHOCART_WOULD_BLOCK) {
        poll_all();
        nap_micros(1000);
    }
    NEED(code == ECHOCART_OK || (live && code == ECHOCART_DROPPED));
    if (of_b && code == ECHOCART_DROPPED) {
        atomic_store(&newest_dropped, number);
    }
    pushed += 1;
}

/* The child process that is the worker. */
static pid_t worker(void)
{
    DIR *all = opendir("/proc");
    struct dirent *entry;
    pid_t found = 0;
    NEED(all != NULL);
    while (found == 0 && (entry = readdir(all)) != NULL) {
        char path[300];
        char line[512] = "";
        const char *rest;
        int parent = 0;
        FILE *file;
        snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
        file = entry->d_name[0] < '1' || entry->d_name[0] > '9' ? NULL : fopen(path, "r");
        if (file == NULL) {
            continue;
        }
        rest = fgets(line, sizeof line, file) == NULL ? NULL : strrchr(line, ')');
        if (rest != NULL && sscanf(rest, ") %*c %d", &parent) == 1 && parent == (int)getpid()) {
            found = (pid_t)atoi(entry->d_name);
        }
        fclose(file);
    }
    closedir(all);
    NEED(found > 0);
    return found;
}

/* Looks for most of a frame's time whether a clip came into inference, and stops the worker under it. */
static pid_t stop_in_inference(void)
{
    for (int look_again = 0; look_again < 300; look_again += 1) {
        if (in_inference()) {
            pid_t pid = worker();
            NEED(kill(pid, SIGSTOP) == 0);
            nap_micros(2000);
            if (in_inference()) {
                return pid;
            }
            NEED(kill(pid, SIGCONT) == 0);
        }
        nap_micros(100);
    }
    return 0;
}

/* Pushes A until the pipeline is at the stage; gives the worker where that was stopped. */
static pid_t reach(const heart_t *a, const char *stage)
{
    int stop = strcmp(stage, "inference") == 0 || strcmp(stage, "waiting") == 0;
    int polls = strcmp(stage, "unpolled") != 0 && strcmp(stage, "callback") != 0;
    for (int at = 0; at < a->frames; at += 1) {
        pid_t pid;
        push(a, at, 0);
        if (polls) {
            poll_all();
        }
        if ((strcmp(stage, "ring") == 0 && at == 5) || (strcmp(stage, "window") == 0 && at == 24)
            || (strcmp(stage, "unpolled") == 0 && stats().inference.count >= 2)) {
            return 0;
        }
        if (atomic_load(&held) && stats().inference.count >= 3) {
            return 0;
        }
        pid = stop ? stop_in_inference() : 0;
        if (pid > 0 && strcmp(stage, "waiting") == 0) {
            for (int more = 0; more < FRAMES_OF_A_HOP && at + 1 < a->frames; more += 1) {
                at += 1;
                push(a, at, 0);
            }
        }
        if (pid > 0) {
            return pid;
        }
    }
    NEED(!"the stage was reached");
    return 0;
}

static void open_session(char **arguments)
{
    echocart_session_config_t config;
    memset(&config, 0, sizeof config);
    config.struct_size = sizeof config;
    config.abi_version = ECHOCART_ABI_VERSION;
    config.pace = live ? ECHOCART_PACE_REAL : ECHOCART_PACE_MAX;
    config.allow_demonstration = 1;
    config.priority = ECHOCART_PRIORITY_INHERIT;
    config.isolation = live ? ECHOCART_ISOLATION_WORKER : ECHOCART_ISOLATION_IN_PROCESS;
    config.package_dir = arguments[1];
    config.package_dir_bytes = strlen(arguments[1]);
    config.library_path = arguments[2];
    config.library_path_bytes = strlen(arguments[2]);
    NEED(echocart_session_create(&config, &session, &frames, &results) == ECHOCART_OK);
    if (hold_one) {
        NEED(echocart_result_subscribe(results, on_result, NULL) == ECHOCART_OK);
    }
    NEED(echocart_session_start(session) == ECHOCART_OK);
}

static void at_maximum_pace(const heart_t *a, const heart_t *b, int count)
{
    NEED(count <= a->frames);
    for (int at = 0; at < count; at += 1) {
        push(a, at, 0);
    }
    for (int at = 0; at < b->frames; at += 1) {
        push(b, at, 1);
    }
    NEED(echocart_frame_port_close(frames) == ECHOCART_OK);
    while (!atomic_load(&ended)) {
        poll_all();
        nap_micros(1000);
    }
}

static void one_stage(const heart_t *a, const heart_t *b, const char *stage)
{
    uint64_t rejected;
    int withheld_now;
    pid_t stopped;
    /* Frames that are six periods late can be pushed at once, before any of them is looked at. */
    int64_t late_nanos = strcmp(stage, "ring") == 0 ? 6 * (int64_t)PERIOD_NANOS : 0;
    while (now_nanos() < late_nanos) {
        nap_micros(1000);
    }
    base_nanos = now_nanos() - late_nanos;
    stopped = reach(a, stage);
    push(b, 0, 1);
    atomic_store(&over, 1);
    if (stopped > 0) {
        NEED(kill(stopped, SIGCONT) == 0);
    }
    for (int at = 1; at < b->frames && atomic_load(&estimates_of_b) < 3; at += 1) {
        push(b, at, 1);
        if (!hold_one) {
            poll_all();
        }
    }
    withheld_now = atomic_load(&withheld_of_a);
    rejected = stats().counters.rejected[ECHOCART_REASON_NEW_EXAM];
    /* Frames of clips that were inferred stay used; their results are what is withheld. */
    NEED(strcmp(stage, "unpolled") == 0 || strcmp(stage, "callback") == 0 ? withheld_now > 0
                                                                          : rejected > 0);
    fprintf(stderr, "%s: %d estimates of A before, %d withheld after, %" PRIu64 " frames of A refused\n",
            stage, atomic_load(&estimates_of_a), withheld_now, rejected);
}

int main(int count, char **arguments)
{
    heart_t a;
    heart_t b;
    if (count != 6 && count != 7) {
        fputs("usage: exam_switch PACKAGE LIBRARY HEART_A HEART_B max FRAMES | STAGE\n", stderr);
        return 2;
    }
    a = read_heart(arguments[3]);
    b = read_heart(arguments[4]);
    live = strcmp(arguments[5], "max") != 0;
    hold_one = strcmp(arguments[5], "callback") == 0;
    open_session(arguments);
    if (live) {
        one_stage(&a, &b, arguments[5]);
    } else {
        NEED(count == 7);
        at_maximum_pace(&a, &b, atoi(arguments[6]));
    }
    NEED(atomic_load(&estimates_of_b) > 0);
    echocart_session_destroy(&session);
    echocart_frame_port_destroy(&frames);
    echocart_result_port_destroy(&results);
    free(a.pixels);
    free(b.pixels);
    return 0;
}
