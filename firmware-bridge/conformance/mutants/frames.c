/* Mutants of frames; a library of its own behind the others. */

#include "mutant.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static uint32_t pace;
static uint64_t reserved;
static uint64_t paused;

static void nap(void)
{
    struct timespec time = {0, 300000000};
    nanosleep(&time, NULL);
}

uint32_t echocart_session_create(const echocart_session_config_t *config,
                                 echocart_session_t **session, echocart_frame_port_t **frames,
                                 echocart_result_port_t **results)
{
    REAL("echocart_session_create", const echocart_session_config_t *, echocart_session_t **,
         echocart_frame_port_t **, echocart_result_port_t **)
    if (config != NULL && config->struct_size == sizeof *config) {
        pace = config->pace;
        reserved = config->reserve_frame_bytes;
    }
    return real(config, session, frames, results);
}

/* Where a mutant draws what the library then sees instead of the caller's pixels. */
static uint8_t *spare(uint64_t bytes)
{
    static uint8_t *room;
    static uint64_t has;
    if (has < bytes) {
        free(room);
        room = (uint8_t *)malloc((size_t)bytes);
        has = room == NULL ? 0 : bytes;
    }
    return room;
}

static void draw_anew(echocart_frame_t *frame, uint8_t *room)
{
    for (uint64_t at = 0; at < frame->pixel_bytes; at += 1) {
        if (is("bgra_swapped")) {
            uint64_t from = at % 4 == 3 ? at : at - at % 4 + 2 - at % 4;
            room[at] = from < frame->pixel_bytes ? frame->pixels[from] : 0;
        } else if (is("rgb_black")) {
            room[at] = 0;
        } else {
            room[at] = (uint8_t)(rand() >> 8);
        }
    }
    frame->pixels = room;
}

/* A push may get other pixels; a lent buffer stays where it is. */
static void change_pixels(echocart_frame_t *frame)
{
    int draws = (is("bgra_swapped") && frame->format == ECHOCART_PIXEL_BGRA32)
                || (is("rgb_black") && frame->format == ECHOCART_PIXEL_RGB24)
                || (is("yuv_is_noise") && frame->format >= ECHOCART_PIXEL_YUY2);
    if (draws && frame->pixels != NULL && frame->pixel_bytes < 1 << 24) {
        uint8_t *room = spare(frame->pixel_bytes);
        if (room != NULL) {
            draw_anew(frame, room);
        }
    }
}

/* What a push and a commit would both get wrong. */
static void change(echocart_frame_t *frame)
{
    static const uint32_t PIXEL_BYTES[] = {0, 1, 3, 4};
    if (is("chroma_offset_ignored")) {
        frame->chroma_offset_bytes = 0;
    }
    if (is("unknown_flags_taken")) {
        frame->flags &= 2 * ECHOCART_FRAME_HAS_SEQUENCE - 1;
    }
    if (is("padding_read") && frame->format <= ECHOCART_PIXEL_BGRA32) {
        uint64_t row = (uint64_t)frame->width_px * PIXEL_BYTES[frame->format];
        if (row > 0 && row < frame->row_stride_bytes) {
            frame->row_stride_bytes = (uint32_t)row;
        }
    }
}

static void be_now(echocart_frame_t *frame)
{
    int64_t now = 0;
    if (pace == ECHOCART_PACE_REAL && echocart_clock_now(&now) == ECHOCART_OK
        && frame->capture_nanos > now && frame->capture_nanos < now + INT64_C(20000000000)) {
        frame->capture_nanos = now;
    }
}

uint32_t echocart_frame_push(echocart_frame_port_t *port, const echocart_frame_t *frame,
                             uint64_t *number)
{
    static int64_t pushes;
    echocart_frame_t other;
    uint32_t code;
    REAL("echocart_frame_push", echocart_frame_port_t *, const echocart_frame_t *, uint64_t *)
    if (port == NULL || frame == NULL || number == NULL || frame->struct_size < sizeof other
        || (frame->struct_size > sizeof other && !is("big_frame_struct_taken"))) {
        return real(port, frame, number);
    }
    other = *frame;
    other.struct_size = sizeof other;
    change(&other);
    change_pixels(&other);
    if (is("seconds_ahead_taken")) {
        be_now(&other);
    }
    for (int at = 0; at < 20 && is("push_system_calls"); at += 1) {
        syscall(SYS_getppid);
    }
    if (is("allocates_with_reserve") && reserved > 0 && (pushes += 1) <= 36) {
        void *volatile room = malloc(100000);
        free(room);
    }
    do {
        code = real(port, &other, number);
    } while (is("push_concurrent_waits") && code == ECHOCART_CONCURRENT_USE);
    paused += code == ECHOCART_PAUSED;
    if (is("number_with_dropped") && code >= ECHOCART_CLOSED && code <= ECHOCART_PAUSED) {
        *number = 0;
    }
    return code;
}

/* What the caller has instead of the lent buffer. */
static uint8_t *own;
static uint8_t *lent;

uint32_t echocart_frame_lease(echocart_frame_port_t *port, uint64_t bytes, uint8_t **out)
{
    static int64_t leases;
    uint32_t code;
    REAL("echocart_frame_lease", echocart_frame_port_t *, uint64_t, uint8_t **)
    if (is("lease_stalls") && (leases += 1) % 30 == 0) {
        nap();
    }
    code = real(port, bytes, out);
    if ((is("lease_while_paused") && code == ECHOCART_PAUSED)
        || (is("lease_when_closed") && code == ECHOCART_CLOSED)) {
        *out = spare(bytes);
        return ECHOCART_OK;
    }
    if (is("lease_copies") && code == ECHOCART_OK) {
        lent = *out;
        own = *out = spare(bytes);
    }
    return code;
}

uint32_t echocart_frame_commit(echocart_frame_port_t *port, const echocart_frame_t *frame,
                               uint64_t *number)
{
    echocart_frame_t other;
    uint32_t code;
    REAL("echocart_frame_commit", echocart_frame_port_t *, const echocart_frame_t *, uint64_t *)
    if (port == NULL || frame == NULL || number == NULL || frame->struct_size < sizeof other
        || (frame->struct_size > sizeof other && !is("big_frame_struct_taken"))) {
        return real(port, frame, number);
    }
    other = *frame;
    other.struct_size = sizeof other;
    change(&other);
    if (is("lease_copies") && own != NULL && other.pixels == own) {
        memcpy(lent, own, (size_t)other.pixel_bytes);
        other.pixels = lent;
    }
    if (is("commit_flags_ignored")) {
        other.flags = 0;
    }
    if (is("commit_exams_ignored")) {
        memset(other.exam_token, 0, sizeof other.exam_token);
    }
    if (is("commit_ids_lost")) {
        other.host_frame_id = 0;
    }
    if (is("commit_future_taken")) {
        be_now(&other);
    }
    code = real(port, &other, number);
    if (is("commit_number_lies") && code == ECHOCART_OK) {
        *number += 1000;
    }
    return code;
}

uint32_t echocart_frame_release(echocart_frame_port_t *port)
{
    REAL("echocart_frame_release", echocart_frame_port_t *)
    return is("release_ignored") && port != NULL ? ECHOCART_OK : real(port);
}

static void change_counters(echocart_counters_t *counters)
{
    if (is("used_is_unused")) {
        counters->unused += counters->used;
        counters->used = 0;
    }
    for (int at = 0; at < ECHOCART_REASONS; at += 1) {
        int late = at == ECHOCART_REASON_BAD_TIMESTAMP;
        if ((is("rejected_is_unused") && !late)
            || (is("live_bad_time_uncounted") && late && pace == ECHOCART_PACE_REAL)) {
            counters->unused += counters->rejected[at];
            counters->rejected[at] = 0;
        }
    }
    if (is("superseded_lies")) {
        counters->clips_superseded = 4711;
    }
    if (is("paused_counted")) {
        counters->captured += paused;
        counters->unused += paused;
    }
}

uint32_t echocart_session_stats(const echocart_session_t *session, uint32_t bytes,
                                echocart_session_stats_t *out)
{
    uint32_t code;
    REAL("echocart_session_stats", const echocart_session_t *, uint32_t,
         echocart_session_stats_t *)
    code = real(session, bytes, out);
    if (code == ECHOCART_OK) {
        change_counters(&out->counters);
    }
    return code;
}

uint32_t echocart_result_poll(echocart_result_port_t *port, uint32_t bytes,
                              echocart_result_t *out)
{
    uint32_t code;
    REAL("echocart_result_poll", echocart_result_port_t *, uint32_t, echocart_result_t *)
    code = real(port, bytes, out);
    if (code == ECHOCART_OK && out->kind == ECHOCART_RESULT_SUMMARY) {
        change_counters(&out->counters);
        if (is("results_dropped_hidden")) {
            out->results_dropped = 0;
        }
    }
    return code;
}
