/* Runs the frames of a dump through a package and prints what comes out.
 *
 *   minimal DUMP PACKAGE LIBRARY
 *
 * DUMP is a file of `echocart run --dump-frames`; its format stands in runtime/core/src/dump.rs.
 * LIBRARY is the absolute path of the ONNX Runtime library. Raw numbers are printed as the eight
 * hex digits of their 32-bit patterns, so that they can be compared bit for bit.
 *
 * Compiles as C11 and as C++17. */

#define _POSIX_C_SOURCE 199309L

#include "echocart.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FILE_HEADER_BYTES 32
#define FRAME_HEADER_BYTES 40
#define MAX_PIXEL_BYTES ((uint64_t)1 << 30)
#define STOP_MICROS ((uint64_t)10000000)
/* Give up after this many polls in a row, one a millisecond, brought nothing. */
#define MAX_IDLE_POLLS 60000

typedef struct {
    echocart_session_t *session;
    echocart_frame_port_t *frames;
    echocart_result_port_t *results;
    int source_ended;
    int ended;
} run_t;

static void complain(const char *what, uint32_t code)
{
    char text[1024] = "";
    uint64_t text_bytes = 0;
    echocart_last_error(text, sizeof text, &text_bytes);
    fprintf(stderr, "%s: %" PRIu32 " %s; %s\n", what, code, echocart_code_text(code), text);
}

static uint64_t unsigned_le(const uint8_t *bytes, int count)
{
    uint64_t value = 0;
    while (count > 0) {
        count -= 1;
        value = (value << 8) | bytes[count];
    }
    return value;
}

static uint32_t bits_of(float number)
{
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    return bits;
}

static void nap(void)
{
    struct timespec millisecond;
    millisecond.tv_sec = 0;
    millisecond.tv_nsec = 1000000;
    nanosleep(&millisecond, NULL);
}

static void print_result(const echocart_result_t *result)
{
    const echocart_counters_t *counters = &result->counters;
    uint64_t rejected = 0;
    uint32_t at;

    switch (result->kind) {
    case ECHOCART_RESULT_ESTIMATE:
        printf("estimate clip %" PRIu64 " view", result->clip);
        for (at = 0; at < result->raw_view_count; at += 1) {
            printf(" %08" PRIx32, bits_of(result->raw_view[at]));
        }
        printf(" lvef");
        if (result->raw_lvef_count == 1) {
            printf(" %08" PRIx32, bits_of(result->raw_lvef));
        }
        printf(" status %" PRIu32 " %" PRIu32 " reason %" PRIu32 " %" PRIu32 " percent %.1f\n",
               result->view.status, result->lvef.status, result->view.reason,
               result->lvef.reason, (double)result->lvef_percent);
        break;
    case ECHOCART_RESULT_SUMMARY:
        for (at = 0; at < ECHOCART_REASONS; at += 1) {
            rejected += counters->rejected[at];
        }
        printf("summary captured %" PRIu64 " used %" PRIu64 " unused %" PRIu64
               " dropped %" PRIu64 " rejected %" PRIu64 " in_flight %" PRIu64
               " estimates %" PRIu64 " results_dropped %" PRIu64 "\n",
               counters->captured, counters->used, counters->unused,
               counters->dropped_ring_full, rejected, counters->in_flight, result->estimates,
               result->results_dropped);
        break;
    default:
        break;
    }
}

/* Prints everything that waits; gives how many results that were, or -1. */
static int drain(run_t *run)
{
    echocart_result_t result;
    int taken = 0;

    for (;;) {
        uint32_t code = echocart_result_poll(run->results, sizeof result, &result);
        if (code == ECHOCART_EMPTY) {
            return taken;
        }
        if (code == ECHOCART_END) {
            run->ended = 1;
            return taken;
        }
        if (code != ECHOCART_OK) {
            complain("cannot poll", code);
            return -1;
        }
        taken += 1;
        if (result.kind == ECHOCART_RESULT_STATE && result.state == ECHOCART_STATE_SOURCE_ENDED) {
            run->source_ended = 1;
        }
        print_result(&result);
    }
}

/* Drains, and naps when there was nothing; gives 0 when all is well. */
static int wait_a_little(run_t *run, int *idle_polls)
{
    int taken = drain(run);

    if (taken < 0) {
        return -1;
    }
    *idle_polls = taken > 0 ? 0 : *idle_polls + 1;
    if (*idle_polls > MAX_IDLE_POLLS) {
        fprintf(stderr, "no result for too long\n");
        return -1;
    }
    if (taken == 0) {
        nap();
    }
    return 0;
}

static int push(run_t *run, const echocart_frame_t *frame)
{
    uint64_t number = 0;
    int idle_polls = 0;

    for (;;) {
        uint32_t code = echocart_frame_push(run->frames, frame, &number);
        if (code == ECHOCART_OK) {
            return 0;
        }
        if (code != ECHOCART_WOULD_BLOCK) {
            complain("cannot push a frame", code);
            return -1;
        }
        if (wait_a_little(run, &idle_polls) != 0) {
            return -1;
        }
    }
}

/* Reads the next frame; gives 1, or 0 at the end of the file, or -1. */
static int read_frame(FILE *dump, echocart_frame_t *frame, uint8_t **pixels, uint64_t *room)
{
    uint8_t header[FRAME_HEADER_BYTES];
    size_t found = fread(header, 1, sizeof header, dump);

    if (found == 0 && feof(dump)) {
        return 0;
    }
    memset(frame, 0, sizeof *frame);
    frame->struct_size = sizeof *frame;
    frame->width_px = (uint32_t)unsigned_le(header, 4);
    frame->height_px = (uint32_t)unsigned_le(header + 4, 4);
    frame->format = (uint32_t)unsigned_le(header + 8, 4);
    frame->row_stride_bytes = (uint32_t)unsigned_le(header + 12, 4);
    frame->capture_nanos = (int64_t)unsigned_le(header + 16, 8);
    frame->pixel_bytes = unsigned_le(header + 24, 8);
    frame->pass = (uint32_t)unsigned_le(header + 32, 4);
    if (found != sizeof header || frame->pixel_bytes > MAX_PIXEL_BYTES) {
        fprintf(stderr, "the dump is cut off or damaged\n");
        return -1;
    }
    if (frame->pixel_bytes > *room) {
        free(*pixels);
        *pixels = (uint8_t *)malloc((size_t)frame->pixel_bytes);
        *room = *pixels == NULL ? 0 : frame->pixel_bytes;
    }
    if (*pixels == NULL
        || fread(*pixels, 1, (size_t)frame->pixel_bytes, dump) != frame->pixel_bytes) {
        fprintf(stderr, "the dump is cut off, or memory is short\n");
        return -1;
    }
    frame->pixels = *pixels;
    return 1;
}

static int push_all(run_t *run, FILE *dump)
{
    echocart_frame_t frame;
    uint8_t *pixels = NULL;
    uint64_t room = 0;
    int more = read_frame(dump, &frame, &pixels, &room);

    while (more == 1 && push(run, &frame) == 0) {
        more = read_frame(dump, &frame, &pixels, &room);
    }
    free(pixels);
    return more == 0 ? 0 : -1;
}

static int finish(run_t *run)
{
    int idle_polls = 0;
    uint32_t code = echocart_frame_port_close(run->frames);

    while (!run->source_ended) {
        if (wait_a_little(run, &idle_polls) != 0) {
            return -1;
        }
    }
    if (code == ECHOCART_OK) {
        code = echocart_session_stop(run->session, STOP_MICROS);
    }
    if (code != ECHOCART_OK) {
        complain("cannot stop", code);
        return -1;
    }
    return drain(run) >= 0 && run->ended ? 0 : -1;
}

static int serve(run_t *run, FILE *dump, const char *package, const char *library)
{
    echocart_session_config_t config;
    echocart_session_info_t info;
    uint32_t code;

    memset(&config, 0, sizeof config);
    config.struct_size = sizeof config;
    config.abi_version = ECHOCART_ABI_VERSION;
    config.pace = ECHOCART_PACE_MAX;
    config.allow_demonstration = 1;
    config.package_dir = package;
    config.package_dir_bytes = strlen(package);
    config.library_path = library;
    config.library_path_bytes = strlen(library);
    code = echocart_session_create(&config, &run->session, &run->frames, &run->results);
    if (code != ECHOCART_OK) {
        complain("cannot create a session", code);
        return -1;
    }
    code = echocart_session_start(run->session);
    if (code != ECHOCART_OK) {
        complain("cannot start the session", code);
        return -1;
    }
    code = echocart_session_info(run->session, sizeof info, &info);
    if (code != ECHOCART_OK) {
        complain("cannot tell what runs", code);
        return -1;
    }
    printf("package %s, %s on %s, %s\n", info.package, info.model, info.provider, info.library);
    return push_all(run, dump) == 0 ? finish(run) : -1;
}

int main(int count, char **arguments)
{
    run_t run;
    FILE *dump;
    uint8_t header[FILE_HEADER_BYTES];
    int failed = 1;

    if (count != 4) {
        fprintf(stderr, "usage: minimal DUMP PACKAGE LIBRARY\n");
        return 2;
    }
    memset(&run, 0, sizeof run);
    dump = fopen(arguments[1], "rb");
    if (dump == NULL) {
        perror(arguments[1]);
        return 2;
    }
    if (fread(header, 1, sizeof header, dump) != sizeof header
        || memcmp(header, "ECHODUMP", 8) != 0 || unsigned_le(header + 8, 4) != 1) {
        fprintf(stderr, "not a frame dump of version 1 (%s)\n", arguments[1]);
    } else {
        failed = serve(&run, dump, arguments[2], arguments[3]) != 0;
    }
    echocart_session_destroy(&run.session);
    echocart_frame_port_destroy(&run.frames);
    echocart_result_port_destroy(&run.results);
    fclose(dump);
    return failed;
}
