/* The fake scanner as a program: pushes frames, polls results, and compares both sides' counts.
 *
 *   scanner --package FOLDER --library FILE [--config FILE] [--dump FILE] [--rate HZ]
 *           [--seconds N] [--size WxH] [--faults SCRIPT] [--max-pace]
 *
 * Ends with 0 when every frame is accounted for. */

#define _POSIX_C_SOURCE 200809L

#include "kit.h"
#include "scanner.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static handles_t handles;
static uint64_t results;
static uint64_t estimates;
static echocart_result_t last;
static int ended;

kit_options_t kit;

/* The rules' reporting, here straight to standard error. */
void kit_fail(int line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "scanner: line %d: ", line);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

uint32_t kit_seen(uint32_t code)
{
    return code;
}

uint32_t kit_expect(int line, uint32_t expected, uint32_t found)
{
    if (expected != found) {
        char text[512] = "";
        uint64_t bytes = 0;
        echocart_last_error(text, sizeof text, &bytes);
        kit_fail(line, "expected code %" PRIu32 ", found %" PRIu32 " %s", expected, found, text);
    }
    return found;
}

static void drain(void *context)
{
    echocart_result_t result;
    uint32_t code;
    (void)context;
    while ((code = poll_result(&handles, &result)) == ECHOCART_OK) {
        results += 1;
        estimates += result.kind == ECHOCART_RESULT_ESTIMATE;
        last = result;
    }
    ended = code == ECHOCART_END;
}

static int usage(void)
{
    fputs("usage: scanner --package FOLDER --library FILE [--config FILE] [--dump FILE]\n"
          "               [--rate HZ] [--seconds N] [--size WxH] [--faults SCRIPT] [--max-pace]\n",
          stderr);
    return 2;
}

static int compare(const scanner_t *scanner)
{
    const scanner_tally_t *tally = &scanner->tally;
    const echocart_counters_t *counters = &last.counters;
    int exact = last.kind == ECHOCART_RESULT_SUMMARY
                && counters->captured == tally->taken + tally->dropped
                && counters->dropped_ring_full == tally->dropped
                && counters->rejected[ECHOCART_REASON_BAD_TIMESTAMP] >= tally->not_later
                && counters->captured == counted(counters) && tally->numbers_out_of_order == 0;

    printf("frames made %" PRIu64 ", kept back %" PRIu64 ", taken %" PRIu64 ", dropped %" PRIu64
           ", refused %" PRIu64 ", not later %" PRIu64 ", unexpected %" PRIu64 " (code %" PRIu32 ")\n",
           tally->made, tally->withheld, tally->taken, tally->dropped, tally->refused,
           tally->not_later, tally->unexpected, tally->unexpected_code);
    printf("library captured %" PRIu64 ", used %" PRIu64 ", unused %" PRIu64 ", dropped %" PRIu64
           ", bad time stamp %" PRIu64 ", in flight %" PRIu64 "\n",
           counters->captured, counters->used, counters->unused, counters->dropped_ring_full,
           counters->rejected[ECHOCART_REASON_BAD_TIMESTAMP], counters->in_flight);
    printf("results %" PRIu64 ", estimates %" PRIu64 "\naccounting %s\n", results, estimates,
           exact ? "exact" : "NOT EXACT");
    return exact;
}

int main(int count, char **arguments)
{
    scanner_t scanner;
    echocart_session_config_t config;
    double seconds = 5.0;
    int pushed;
    int exact;

    memset(&scanner, 0, sizeof scanner);
    scanner.pace = ECHOCART_PACE_REAL;
    scanner.width_px = 640;
    scanner.height_px = 480;
    scanner.frames_per_second = 60.0;
    scanner.between = drain;
    for (int at = 1; at < count; at += 1) {
        const char *word = arguments[at];
        const char *value = at + 1 < count ? arguments[at + 1] : NULL;
        if (strcmp(word, "--max-pace") == 0) {
            scanner.pace = ECHOCART_PACE_MAX;
            continue;
        }
        if (value == NULL) {
            return usage();
        }
        if (strcmp(word, "--package") == 0) {
            kit.package = value;
        } else if (strcmp(word, "--library") == 0) {
            kit.library = value;
        } else if (strcmp(word, "--config") == 0) {
            kit.config = value;
        } else if (strcmp(word, "--rate") == 0) {
            scanner.frames_per_second = atof(value);
        } else if (strcmp(word, "--seconds") == 0) {
            seconds = atof(value);
        } else if (strcmp(word, "--size") == 0
                   && sscanf(value, "%" SCNu32 "x%" SCNu32, &scanner.width_px, &scanner.height_px)
                          == 2) {
        } else if (strcmp(word, "--faults") == 0) {
            if (scanner_script(&scanner, value) != 0) {
                return 2;
            }
        } else if (strcmp(word, "--dump") == 0) {
            if (scanner_open_dump(&scanner, value) != 0) {
                return 2;
            }
        } else {
            return usage();
        }
        at += 1;
    }
    if (kit.package == NULL || kit.library == NULL || scanner.frames_per_second < 1.0
        || scanner.frames_per_second > 1000.0 || scanner.width_px < 1 || scanner.height_px < 1
        || scanner.width_px > 8192 || scanner.height_px > 8192 || seconds <= 0.0) {
        return usage();
    }
    scanner.frames = (int64_t)(seconds * scanner.frames_per_second);
    config = plain_config();
    config.pace = scanner.pace;
    if (!CREATE(&config, &handles)) {
        return 1;
    }
    pushed = scanner_run(&scanner, handles.frames) == 0;
    if (scanner.pace == ECHOCART_PACE_MAX) {
        echocart_frame_port_close(handles.frames);
        while (!(last.kind == ECHOCART_RESULT_STATE && last.state == ECHOCART_STATE_SOURCE_ENDED)) {
            drain(NULL);
            nap_millis(1);
        }
    }
    echocart_session_stop(handles.session, 10000000);
    while (!ended) {
        drain(NULL);
    }
    exact = compare(&scanner);
    destroy(&handles);
    return pushed && exact ? 0 : 1;
}
