/* What the library never does to the process that hosts it. */

#define _GNU_SOURCE

#include "kit.h"

#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

static int open_files(void)
{
    DIR *files = opendir("/proc/self/fd");
    int count = 0;
    while (files != NULL && readdir(files) != NULL) {
        count += 1;
    }
    if (files != NULL) {
        closedir(files);
    }
    return count;
}

static size_t environment_bytes(void)
{
    size_t bytes = 0;
    for (char **at = environ; *at != NULL; at += 1) {
        bytes = bytes * 31 + strlen(*at) + (size_t)(unsigned char)(*at)[0];
    }
    return bytes;
}

/* A short live session from creation to the end. */
static void a_session(void)
{
    echocart_session_config_t config = plain_config();
    static uint8_t pixels[128 * 96];
    echocart_frame_t frame;
    echocart_result_t result;
    handles_t handles;

    config.pace = ECHOCART_PACE_REAL;
    if (!CREATE(&config, &handles)) {
        return;
    }
    memset(&frame, 0, sizeof frame);
    frame.struct_size = sizeof frame;
    frame.format = ECHOCART_PIXEL_GRAY8;
    frame.width_px = 128;
    frame.height_px = 96;
    frame.row_stride_bytes = 128;
    frame.pixels = pixels;
    frame.pixel_bytes = sizeof pixels;
    for (int at = 0; at < 45; at += 1) {
        memset(pixels, at * 5, sizeof pixels);
        frame.capture_nanos = now_nanos();
        kit_seen(push(&handles, &frame));
        while (poll_result(&handles, &result) == ECHOCART_OK) {
        }
        nap_millis(20);
    }
    kit_seen(echocart_session_stop(handles.session, 1000000));
    destroy(&handles);
}

static void nothing_left(void)
{
    int threads;
    int files;
    int before = thread_count();
    int left = 0;

    a_session();
    files = open_files();
    threads = thread_count();
    a_session();
    for (int wait = 0; wait < 200 && (left = thread_count()) > before; wait += 1) {
        nap_millis(10);
    }
    if (left != before) {
        kit_fail(__LINE__, "threads: expected %d as before the session, found %d", before, left);
    }
    if (open_files() > files) {
        kit_fail(__LINE__, "open files: expected %d as after the first session, found %d", files,
                 open_files());
    }
    if (child_process() != 0) {
        kit_fail(__LINE__, "a process is left behind: %d", child_process());
    }
    kit_note("threads before %d, after the first session %d, after the second %d", before, threads,
             left);
}

static void no_signals(void)
{
    struct sigaction before[NSIG];
    struct sigaction after;
    sigset_t mask_before;
    sigset_t mask_after;

    memset(before, 0, sizeof before);
    pthread_sigmask(SIG_SETMASK, NULL, &mask_before);
    for (int number = 1; number < NSIG; number += 1) {
        sigaction(number, NULL, &before[number]);
    }
    a_session();
    pthread_sigmask(SIG_SETMASK, NULL, &mask_after);
    for (int number = 1; number < NSIG; number += 1) {
        memset(&after, 0, sizeof after);
        if (sigaction(number, NULL, &after) == 0
            && (after.sa_handler != before[number].sa_handler
                || after.sa_flags != before[number].sa_flags)) {
            kit_fail(__LINE__, "signal %d has another handler", number);
        }
        CHECK(sigismember(&mask_before, number) == sigismember(&mask_after, number));
    }
}

static void no_environment(void)
{
    size_t before = environment_bytes();
    a_session();
    CHECK(environment_bytes() == before && watched_environment() == 0);
}

static void no_network(void)
{
    a_session();
    CHECK(watched_sockets() == 0);
}

static void no_exit(void)
{
    a_session();
    CHECK(watched_exits() == 0);
}

static void no_output(void)
{
    a_session();
}

const rule_t process_rules[] = {
    {"process.nothing_left", "no thread, process or open file is left behind", nothing_left},
    {"process.signals", "no signal handler is installed", no_signals},
    {"process.environment", "the environment is not changed", no_environment},
    {"process.network", "no socket that has an address is opened", no_network},
    {"process.exit", "exit is not called", no_exit},
    {"process.output", "nothing is written to standard output or error", no_output},
    {NULL, NULL, NULL},
};
