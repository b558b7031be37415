/* What the contract says of fork and dlclose: a process that loads the library by hand, forks while
 * a session runs, "unloads" it and goes on.
 *
 *   process ECHOCART PACKAGE LIBRARY
 *
 * Gives 0 when everything went as promised; it is not linked with libechocart. */

#define _GNU_SOURCE

#include "echocart.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WIDTH 64
#define HEIGHT 48
#define FRAME_NANOS 33333333

#define FUNCTION(name) static __typeof__(echocart_##name) *echocart_##name##_at
FUNCTION(abi_version);
FUNCTION(session_create);
FUNCTION(session_start);
FUNCTION(session_stop);
FUNCTION(session_destroy);
FUNCTION(frame_push);
FUNCTION(frame_port_destroy);
FUNCTION(result_poll);
FUNCTION(result_port_destroy);
FUNCTION(code_text);

static echocart_session_t *session;
static echocart_frame_port_t *frames;
static echocart_result_port_t *results;
static uint8_t pixels[WIDTH * HEIGHT + 4096];

static void need(int line, int holds)
{
    if (!holds) {
        fprintf(stderr, "line %d does not hold\n", line);
        exit(1);
    }
}

#define NEED(condition) need(__LINE__, (condition) ? 1 : 0)

static void load(void *library)
{
#define LOAD(name)                                                                                 \
    *(void **)&echocart_##name##_at = dlsym(library, "echocart_" #name);                           \
    NEED(echocart_##name##_at != NULL)
    LOAD(abi_version);
    LOAD(session_create);
    LOAD(session_start);
    LOAD(session_stop);
    LOAD(session_destroy);
    LOAD(frame_push);
    LOAD(frame_port_destroy);
    LOAD(result_poll);
    LOAD(result_port_destroy);
    LOAD(code_text);
}

static void open_session(const char *package, const char *library)
{
    echocart_session_config_t config;
    memset(&config, 0, sizeof config);
    config.struct_size = sizeof config;
    config.abi_version = ECHOCART_ABI_VERSION;
    config.pace = ECHOCART_PACE_MAX;
    config.allow_demonstration = 1;
    config.isolation = ECHOCART_ISOLATION_IN_PROCESS;
    config.package_dir = package;
    config.package_dir_bytes = strlen(package);
    config.library_path = library;
    config.library_path_bytes = strlen(library);
    NEED(echocart_session_create_at(&config, &session, &frames, &results) == ECHOCART_OK);
    NEED(echocart_session_start_at(session) == ECHOCART_OK);
}

static void push_frames(int first, int end)
{
    for (int at = first; at < end; at += 1) {
        struct timespec moment = {0, 1000000};
        echocart_frame_t frame;
        uint64_t number = 0;
        uint32_t code;
        memset(&frame, 0, sizeof frame);
        frame.struct_size = sizeof frame;
        frame.format = ECHOCART_PIXEL_GRAY8;
        frame.width_px = WIDTH;
        frame.height_px = HEIGHT;
        frame.row_stride_bytes = WIDTH;
        frame.pixels = pixels + at * 37 % 4096;
        frame.pixel_bytes = WIDTH * HEIGHT;
        frame.capture_nanos = (int64_t)at * FRAME_NANOS;
        while ((code = echocart_frame_push_at(frames, &frame, &number)) == ECHOCART_WOULD_BLOCK) {
            nanosleep(&moment, NULL);
        }
        NEED(code == ECHOCART_OK && number == (uint64_t)at);
    }
}

/* Forks while the session's threads run; the child touches no handle. */
static void child(const char *program)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        if (program != NULL) {
            execl(program, program, (char *)NULL);
        }
        _exit(program == NULL ? 0 : 2);
    }
    NEED(pid > 0 && waitpid(pid, &status, 0) == pid);
    NEED(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static uint64_t take_results(void)
{
    echocart_result_t result;
    uint64_t captured = 0;
    while (echocart_result_poll_at(results, sizeof result, &result) == ECHOCART_OK) {
        captured = result.kind == ECHOCART_RESULT_SUMMARY ? result.counters.captured : captured;
    }
    return captured;
}

int main(int count, char **arguments)
{
    void *library;
    if (count != 4) {
        fputs("usage: process ECHOCART PACKAGE LIBRARY\n", stderr);
        return 2;
    }
    for (size_t at = 0; at < sizeof pixels; at += 1) {
        pixels[at] = (uint8_t)((uint32_t)at * (uint32_t)at * 2654435761u >> 24);
    }
    library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
    NEED(library != NULL);
    load(library);
    open_session(arguments[2], arguments[3]);
    push_frames(0, 70);
    child(NULL);
    child("/bin/true");
    push_frames(70, 90);

    NEED(dlclose(library) == 0);
    push_frames(90, 100);
    NEED(echocart_session_stop_at(session, 30000000) == ECHOCART_OK);
    NEED(take_results() == 100);
    NEED(echocart_session_destroy_at(&session) == ECHOCART_OK);
    NEED(echocart_frame_port_destroy_at(&frames) == ECHOCART_OK);
    NEED(echocart_result_port_destroy_at(&results) == ECHOCART_OK);

    NEED(dlopen(arguments[1], RTLD_NOW | RTLD_NOLOAD) != NULL);
    NEED(echocart_abi_version_at() == ECHOCART_ABI_VERSION);
    NEED(strcmp(echocart_code_text_at(ECHOCART_OK), "ok") == 0);
    return 0;
}
