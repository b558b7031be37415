/* The fake scanner's frames and its loop. */

#define _POSIX_C_SOURCE 200809L

#include "scanner.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DUMP_HEADER 32
#define DUMP_FRAME 40
#define MAX_PIXEL_BYTES ((uint64_t)1 << 28)
#define FIRST_NANOS INT64_C(1000000000)

static const char *const NAMES[FAULT_KINDS] = {"late",   "dup",    "reorder", "drop",    "resize",
                                               "freeze", "colour", "exam",    "negative"};

/* A frame that is being made: its description, its room, and the last time given out. */
typedef struct {
    echocart_frame_t frame;
    uint8_t *pixels;
    uint64_t room;
    int64_t last_nanos;
    uint64_t next_number;
    int numbered;
    int64_t still;
    uint8_t exam;
} making_t;

int scanner_script(scanner_t *scanner, const char *script)
{
    while (script != NULL && *script != 0) {
        fault_t fault = {FAULT_KINDS, 0, 1, 0, 0};
        char name[16] = "";
        int used = 0;
        long long first = -1;
        long long number = 0;
        if (sscanf(script, "%15[a-z]@%lld%n", name, &first, &used) != 2 || first < 0) {
            fprintf(stderr, "scanner: expected KIND@FRAME, found %s\n", script);
            return -1;
        }
        script += used;
        for (int kind = 0; kind < FAULT_KINDS; kind += 1) {
            fault.kind = strcmp(name, NAMES[kind]) == 0 ? (fault_kind_t)kind : fault.kind;
        }
        fault.first = first;
        if (sscanf(script, "+%lld%n", &number, &used) == 1) {
            fault.count = number;
            script += used;
        }
        if (sscanf(script, "=%lld%n", &number, &used) == 1) {
            fault.amount = number;
            script += used;
        }
        if (sscanf(script, "x%lld%n", &number, &used) == 1) {
            fault.amount_2 = number;
            script += used;
        }
        if (fault.kind == FAULT_KINDS || scanner->fault_count == SCANNER_FAULTS
            || fault.count < 1 || (*script != 0 && *script != ',')) {
            fprintf(stderr, "scanner: no such fault, or one too many: %s %s\n", name, script);
            return -1;
        }
        if (fault.kind == FAULT_RESIZE
            && (fault.amount < 1 || fault.amount_2 < 1 || fault.amount > 8192
                || fault.amount_2 > 8192)) {
            fprintf(stderr, "scanner: expected resize@FRAME=WIDTHxHEIGHT\n");
            return -1;
        }
        scanner->faults[scanner->fault_count] = fault;
        scanner->fault_count += 1;
        script += *script == ',';
    }
    return 0;
}

static const fault_t *fault_at(scanner_t *scanner, fault_kind_t kind, int64_t frame)
{
    for (int at = 0; at < scanner->fault_count; at += 1) {
        const fault_t *fault = &scanner->faults[at];
        if (fault->kind == kind && frame >= fault->first && frame < fault->first + fault->count) {
            scanner->tally.faults[kind] += 1;
            return fault;
        }
    }
    return NULL;
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

int scanner_open_dump(scanner_t *scanner, const char *path)
{
    uint8_t header[DUMP_HEADER];
    scanner->dump = fopen(path, "rb");
    if (scanner->dump == NULL) {
        perror(path);
        return -1;
    }
    if (fread(header, 1, sizeof header, scanner->dump) != sizeof header
        || memcmp(header, "ECHODUMP", 8) != 0 || unsigned_le(header + 8, 4) != 1) {
        fprintf(stderr, "scanner: expected a frame dump of version 1 (%s)\n", path);
        fclose(scanner->dump);
        scanner->dump = NULL;
        return -1;
    }
    return 0;
}

static int reserve(making_t *making, uint64_t bytes)
{
    if (bytes > making->room) {
        free(making->pixels);
        making->pixels = bytes > MAX_PIXEL_BYTES ? NULL : (uint8_t *)malloc((size_t)bytes);
        making->room = making->pixels == NULL ? 0 : bytes;
    }
    making->frame.pixels = making->pixels;
    return making->pixels != NULL;
}

/* The next frame of the dump, which starts over at its end. */
static int replay(scanner_t *scanner, making_t *making)
{
    uint8_t header[DUMP_FRAME];
    echocart_frame_t *frame = &making->frame;

    if (fread(header, 1, sizeof header, scanner->dump) != sizeof header) {
        if (fseek(scanner->dump, DUMP_HEADER, SEEK_SET) != 0
            || fread(header, 1, sizeof header, scanner->dump) != sizeof header) {
            return 0;
        }
        frame->pass += 1;
    }
    frame->width_px = (uint32_t)unsigned_le(header, 4);
    frame->height_px = (uint32_t)unsigned_le(header + 4, 4);
    frame->format = (uint32_t)unsigned_le(header + 8, 4);
    frame->row_stride_bytes = (uint32_t)unsigned_le(header + 12, 4);
    frame->pixel_bytes = unsigned_le(header + 24, 8);
    return reserve(making, frame->pixel_bytes)
           && fread(making->pixels, 1, (size_t)frame->pixel_bytes, scanner->dump)
                  == frame->pixel_bytes;
}

/* A bright ring whose radius beats about once a second in a sector of speckle. */
static int draw(making_t *making, uint32_t width, uint32_t height, int64_t at, double rate, int colour)
{
    echocart_frame_t *frame = &making->frame;
    uint32_t bytes_px = colour ? 3 : 1;
    int64_t phase = (int64_t)((double)at * 256.0 / rate) % 256;
    int64_t beat = phase < 128 ? phase : 255 - phase;
    int64_t radius = (int64_t)height / 8 + (int64_t)height * beat / 1024;
    uint32_t noise = (uint32_t)at * 2654435761u + 12345u;

    frame->width_px = width;
    frame->height_px = height;
    frame->format = colour ? ECHOCART_PIXEL_RGB24 : ECHOCART_PIXEL_GRAY8;
    frame->row_stride_bytes = width * bytes_px;
    frame->pixel_bytes = (uint64_t)frame->row_stride_bytes * height;
    if (!reserve(making, frame->pixel_bytes)) {
        return 0;
    }
    for (uint32_t y = 0; y < height; y += 1) {
        for (uint32_t x = 0; x < width; x += 1) {
            int64_t across = (int64_t)x - width / 2;
            int64_t down = (int64_t)y - height / 2;
            int64_t from_ring = across * across + down * down - radius * radius;
            int64_t side = from_ring < 0 ? -from_ring : from_ring;
            uint8_t *pixel = making->pixels + (uint64_t)y * frame->row_stride_bytes + x * bytes_px;
            noise = noise * 1664525u + 1013904223u;
            pixel[0] = 0;
            if (across < 0 ? -across <= y : across <= y) {
                pixel[0] = (uint8_t)((noise >> 27) + (side < radius * 8 ? 180 : 30));
            }
            if (colour) {
                pixel[1] = from_ring < 0 ? 40 : pixel[0];
                pixel[2] = from_ring < 0 ? 220 : pixel[0];
            }
        }
    }
    return 1;
}

static int make(scanner_t *scanner, making_t *making, int64_t at)
{
    const fault_t *resize = fault_at(scanner, FAULT_RESIZE, at);
    int colour = fault_at(scanner, FAULT_COLOUR, at) != NULL;
    uint32_t width = resize == NULL ? scanner->width_px : (uint32_t)resize->amount;
    uint32_t height = resize == NULL ? scanner->height_px : (uint32_t)resize->amount_2;

    if (fault_at(scanner, FAULT_EXAM, at) != NULL) {
        making->exam += 1;
    }
    memset(making->frame.exam_token, making->exam, sizeof making->frame.exam_token);
    making->frame.host_frame_id = (uint64_t)at;
    making->frame.flags = colour ? ECHOCART_FRAME_COLOUR_ON : 0;
    if (fault_at(scanner, FAULT_FREEZE, at) == NULL) {
        making->still = at;
    } else {
        making->frame.flags |= ECHOCART_FRAME_FROZEN;
        if (scanner->dump != NULL && making->pixels != NULL) {
            return 1;
        }
    }
    if (scanner->dump != NULL && resize == NULL && !colour) {
        return replay(scanner, making);
    }
    return draw(making, width, height, making->still, scanner->frames_per_second, colour);
}

static void wait_until(int64_t nanos)
{
    int64_t now = 0;
    struct timespec time;
    if (echocart_clock_now(&now) != ECHOCART_OK || now >= nanos) {
        return;
    }
    time.tv_sec = (time_t)((nanos - now) / 1000000000);
    time.tv_nsec = (long)((nanos - now) % 1000000000);
    nanosleep(&time, NULL);
}

static void tally(scanner_t *scanner, making_t *making, uint32_t code, uint64_t number, int negative)
{
    scanner_tally_t *tally = &scanner->tally;
    int was_late = making->numbered && making->frame.capture_nanos <= making->last_nanos;

    if (negative) {
        tally->refused += code == ECHOCART_BAD_TIME;
        tally->unexpected += code != ECHOCART_BAD_TIME;
    } else if (code == ECHOCART_OK || code == ECHOCART_DROPPED) {
        tally->taken += code == ECHOCART_OK;
        tally->dropped += code == ECHOCART_DROPPED;
        if (code == ECHOCART_OK) {
            tally->numbers_out_of_order += number != making->next_number;
            tally->not_later += (uint64_t)was_late;
        }
        making->next_number += 1;
        if (code == ECHOCART_OK && !was_late) {
            making->last_nanos = making->frame.capture_nanos;
            making->numbered = 1;
        }
        return;
    } else {
        tally->unexpected += 1;
    }
    if (tally->unexpected == 1 && tally->unexpected_code == 0) {
        tally->unexpected_code = code;
    }
}

static void push_one(scanner_t *scanner, making_t *making, echocart_frame_port_t *port, int negative)
{
    uint64_t number = UINT64_MAX;
    uint32_t code = echocart_frame_push(port, &making->frame, &number);
    int attempts = 0;

    while (code == ECHOCART_WOULD_BLOCK && attempts < 30000) {
        struct timespec millisecond = {0, 1000000};
        if (scanner->between != NULL) {
            scanner->between(scanner->context);
        }
        nanosleep(&millisecond, NULL);
        attempts += 1;
        code = echocart_frame_push(port, &making->frame, &number);
    }
    tally(scanner, making, code, number, negative);
}

int scanner_run(scanner_t *scanner, echocart_frame_port_t *port)
{
    making_t making;
    int64_t start = FIRST_NANOS;
    int64_t step = (int64_t)(1e9 / scanner->frames_per_second);
    int made = 1;

    memset(&making, 0, sizeof making);
    making.frame.struct_size = sizeof making.frame;
    if (scanner->pace == ECHOCART_PACE_REAL) {
        echocart_clock_now(&start);
    }
    for (int64_t at = 0; at < scanner->frames && made; at += 1) {
        const fault_t *late = fault_at(scanner, FAULT_LATE, at);
        int negative = fault_at(scanner, FAULT_NEGATIVE, at) != NULL;
        int64_t due = start + at * step;
        made = make(scanner, &making, at);
        scanner->tally.made += 1;
        if (scanner->pace == ECHOCART_PACE_REAL) {
            wait_until(due + (late == NULL ? 0 : late->amount * 1000000));
        }
        if (fault_at(scanner, FAULT_DROP, at) != NULL) {
            scanner->tally.withheld += 1;
            continue;
        }
        making.frame.capture_nanos = negative ? -1 : due;
        if (fault_at(scanner, FAULT_DUP, at) != NULL && making.numbered) {
            making.frame.capture_nanos = making.last_nanos;
        } else if (fault_at(scanner, FAULT_REORDER, at) != NULL && making.numbered) {
            making.frame.capture_nanos = making.last_nanos - step / 2;
        }
        push_one(scanner, &making, port, negative);
        if (scanner->between != NULL) {
            scanner->between(scanner->context);
        }
    }
    free(making.pixels);
    return made && scanner->tally.unexpected == 0 ? 0 : -1;
}
