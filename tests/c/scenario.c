/* The scenario of tests/scenario.rs through the C interface: pushes its frames at maximum pace and
 * prints every field of every result, floating-point numbers as their bits.
 *
 *   scenario PACKAGE LIBRARY */

#define _POSIX_C_SOURCE 200809L

#include "echocart.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define FRAMES 260
#define FRAME_NANOS 40000000

static echocart_session_t *session;
static echocart_frame_port_t *frames;
static echocart_result_port_t *results;
static uint8_t pixels[96 * 80];

static uint32_t bits(float number)
{
    uint32_t word;
    memcpy(&word, &number, sizeof word);
    return word;
}

static void print_floats(const char *name, const float *numbers, uint32_t count)
{
    printf(" %s", name);
    for (uint32_t at = 0; at < count; at += 1) {
        printf(" %08" PRIx32, bits(numbers[at]));
    }
}

static void print_output(const char *name, const echocart_output_t *output)
{
    printf(" %s %" PRIu32 " %" PRIu32 " %" PRId64 " %" PRId64 " %" PRId64, name, output->status,
           output->reason, output->valid_until_nanos, output->age_newest_nanos,
           output->age_oldest_nanos);
    for (uint32_t at = 0; at < output->segment_count; at += 1) {
        const echocart_segment_t *part = &output->segments[at];
        printf(" [%" PRIu64 " %" PRIu64 " %" PRId64 " %" PRId64 " %" PRIu32 " %" PRIu32 " %" PRIu32
               " %" PRIu64 " %" PRIu64 " %u]",
               part->first_frame, part->last_frame, part->first_capture_nanos,
               part->last_capture_nanos, part->sector, part->view, part->seam,
               part->first_host_frame_id, part->last_host_frame_id, part->exam_token[15]);
    }
}

static void print_counters(const echocart_counters_t *counters)
{
    printf(" counters %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64,
           counters->captured, counters->used, counters->unused, counters->dropped_ring_full,
           counters->in_flight, counters->clips_superseded);
    for (uint32_t at = 0; at < ECHOCART_REASONS; at += 1) {
        if (counters->rejected[at] != 0) {
            printf(" %" PRIu32 ":%" PRIu64, at, counters->rejected[at]);
        }
    }
}

static void print(const echocart_result_t *result)
{
    switch (result->kind) {
    case ECHOCART_RESULT_ESTIMATE:
        printf("estimate %" PRIu64 " %" PRId64, result->clip, result->sent_nanos);
        print_output("view", &result->view);
        print_output("lvef", &result->lvef);
        print_output("signal", &result->signal);
        printf(" values %" PRIu32 " %08" PRIx32 " %08" PRIx32 " %08" PRIx32 " %08" PRIx32
               " %" PRIu32 " %08" PRIx32,
               result->view_label, bits(result->lvef_percent), bits(result->lvef_low_percent),
               bits(result->lvef_high_percent), bits(result->lvef_coverage),
               result->lvef_calibration, bits(result->signal_meter));
        print_floats("probabilities", result->view_probabilities, result->view_probability_count);
        print_floats("raw", result->raw_view, result->raw_view_count);
        print_floats("", &result->raw_lvef, result->raw_lvef_count);
        break;
    case ECHOCART_RESULT_STATE:
        printf("state %" PRIu32 " %" PRId64 " %s", result->state, result->at_nanos, result->detail);
        print_counters(&result->counters);
        break;
    default:
        printf("summary %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64, result->estimates,
               result->values_view, result->values_lvef, result->values_signal,
               result->results_dropped);
        print_counters(&result->counters);
    }
    printf("\n");
}

static void take(void)
{
    echocart_result_t result;
    while (echocart_result_poll(results, sizeof result, &result) == ECHOCART_OK) {
        print(&result);
    }
}

static int push(int number)
{
    struct timespec moment = {0, 1000000};
    int small = number >= 200;
    echocart_frame_t frame;
    uint64_t taken = 0;
    uint32_t code;

    memset(&frame, 0, sizeof frame);
    frame.struct_size = sizeof frame;
    frame.format = ECHOCART_PIXEL_GRAY8;
    frame.width_px = small ? 64 : 96;
    frame.height_px = small ? 48 : 80;
    frame.row_stride_bytes = frame.width_px;
    frame.pixels = pixels;
    frame.pixel_bytes = (uint64_t)frame.width_px * frame.height_px;
    for (uint64_t at = 0; at < frame.pixel_bytes; at += 1) {
        pixels[at] = (uint8_t)((at * ((uint64_t)number % 89 + 3)) % 253);
    }
    frame.capture_nanos = (int64_t)(number == 100 ? 99 : number) * FRAME_NANOS;
    frame.host_frame_id = 1000 + (uint64_t)number;
    frame.flags |= number >= 60 && number < 70 ? ECHOCART_FRAME_COLOUR_ON : 0;
    frame.flags |= number >= 90 && number < 93 ? ECHOCART_FRAME_FROZEN : 0;
    memset(frame.exam_token, number < 150 ? 1 : 2, sizeof frame.exam_token);
    while ((code = echocart_frame_push(frames, &frame, &taken)) == ECHOCART_WOULD_BLOCK) {
        take();
        nanosleep(&moment, NULL);
    }
    return code == ECHOCART_OK ? 0 : 1;
}

int main(int count, char **arguments)
{
    echocart_session_config_t config;
    int failed = 0;

    if (count != 3) {
        fputs("usage: scenario PACKAGE LIBRARY\n", stderr);
        return 2;
    }
    memset(&config, 0, sizeof config);
    config.struct_size = sizeof config;
    config.abi_version = ECHOCART_ABI_VERSION;
    config.pace = ECHOCART_PACE_MAX;
    config.allow_demonstration = 1;
    config.isolation = ECHOCART_ISOLATION_IN_PROCESS;
    config.package_dir = arguments[1];
    config.package_dir_bytes = strlen(arguments[1]);
    config.library_path = arguments[2];
    config.library_path_bytes = strlen(arguments[2]);
    if (echocart_session_create(&config, &session, &frames, &results) != ECHOCART_OK
        || echocart_session_start(session) != ECHOCART_OK) {
        return 1;
    }
    for (int number = 0; number < FRAMES && !failed; number += 1) {
        if (number < 130 || number > 140) {
            failed = push(number);
        }
    }
    failed |= echocart_session_stop(session, 60000000) != ECHOCART_OK;
    take();
    echocart_session_destroy(&session);
    echocart_frame_port_destroy(&frames);
    echocart_result_port_destroy(&results);
    return failed;
}
