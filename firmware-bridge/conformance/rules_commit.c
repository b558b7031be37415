/* A leased buffer is taken, refused and counted as a copy is. */

#define _GNU_SOURCE

#include "kit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WIDTH 96
#define HEIGHT 80
#define BYTES (WIDTH * HEIGHT)
#define STEP INT64_C(33333333)
#define UNWRITTEN UINT64_C(0x5a5a5a5a5a5a5a5a)

static uint8_t pixels[BYTES];

/* Threads of the lowest priority, which is the default, would wait long on a busy machine. */
static echocart_session_config_t prompt_config(void)
{
    echocart_session_config_t config = plain_config();
    config.priority = ECHOCART_PRIORITY_INHERIT;
    return config;
}

static echocart_frame_t frame_at(int64_t number)
{
    echocart_frame_t frame;
    for (size_t at = 0; at < BYTES; at += 1) {
        pixels[at] = (uint8_t)((at * (size_t)(number % 89 + 3)) % 253);
    }
    memset(&frame, 0, sizeof frame);
    frame.struct_size = sizeof frame;
    frame.format = ECHOCART_PIXEL_GRAY8;
    frame.width_px = WIDTH;
    frame.height_px = HEIGHT;
    frame.row_stride_bytes = WIDTH;
    frame.pixels = pixels;
    frame.pixel_bytes = BYTES;
    frame.capture_nanos = number * STEP;
    return frame;
}

/* One frame by copy or in a lent buffer, without patience. */
static uint32_t give(handles_t *handles, echocart_frame_t frame, int lent, uint64_t *number)
{
    const uint8_t *drawn = frame.pixels;
    uint8_t *room = NULL;
    uint32_t code;

    if (!lent) {
        return kit_seen(echocart_frame_push(handles->frames, &frame, number));
    }
    code = kit_seen(echocart_frame_lease(handles->frames, frame.pixel_bytes, &room));
    if (code != ECHOCART_OK) {
        return code;
    }
    memcpy(room, drawn, (size_t)frame.pixel_bytes);
    frame.pixels = room;
    code = kit_seen(echocart_frame_commit(handles->frames, &frame, number));
    if (code != ECHOCART_OK) {
        EXPECT(ECHOCART_OK, echocart_frame_release(handles->frames));
    }
    return code;
}

/* At maximum pace: waits for room. Every frame taken has the next number. */
static void give_patiently(handles_t *handles, const echocart_frame_t *frame, int lent,
                           uint64_t expected)
{
    uint64_t number = UNWRITTEN;
    uint32_t code = give(handles, *frame, lent, &number);
    for (int wait = 0; code == ECHOCART_WOULD_BLOCK && wait < 20000; wait += 1) {
        CHECK(number == UNWRITTEN);
        nap_millis(1);
        code = give(handles, *frame, lent, &number);
    }
    EXPECT(ECHOCART_OK, code);
    CHECK(number == expected);
}

/* A stream with something of everything. Its exams are so long that the first and the third have
 * whole clips and the second has none. */
static int64_t exam_frames;

static int64_t script_frames(void)
{
    return 2 * exam_frames + 20;
}

static echocart_frame_t script_at(int64_t number)
{
    echocart_frame_t frame = frame_at(number);
    int64_t within = number < exam_frames ? number : number - exam_frames - 20;
    int exam = within >= 0 && number < exam_frames ? 1 : within < 0 ? 2 : 3;

    memset(frame.exam_token, exam, sizeof frame.exam_token);
    frame.host_frame_id = (uint64_t)number * 3 + 1000;
    frame.sequence = (uint64_t)number + (number >= 9 ? 7 : 0);
    frame.flags = ECHOCART_FRAME_HAS_SEQUENCE;
    if (within >= exam_frames - 5) {
        frame.flags |= exam == 1 ? ECHOCART_FRAME_COLOUR_ON : ECHOCART_FRAME_FROZEN;
    }
    frame.capture_nanos -= within == 7 ? STEP : 0;
    return frame;
}

/* What came of it. A hash is summed, since results may come in another order than clips. */
typedef struct {
    uint64_t hash;
    uint64_t estimates;
    uint64_t flagged;
    uint64_t clips;
    uint64_t apart;
    uint64_t covered;
    uint64_t next;
} outcome_of_t;

static outcome_of_t found;

static uint64_t hash_bytes(uint64_t hash, const void *from, size_t count)
{
    const uint8_t *bytes = (const uint8_t *)from;
    for (size_t at = 0; at < count; at += 1) {
        hash = (hash ^ bytes[at]) * UINT64_C(1099511628211);
    }
    return hash;
}

static uint64_t hash_output(uint64_t hash, const echocart_output_t *output)
{
    hash = hash_bytes(hash, &output->status, sizeof output->status);
    hash = hash_bytes(hash, &output->reason, sizeof output->reason);
    hash = hash_bytes(hash, &output->valid_until_nanos, sizeof output->valid_until_nanos);
    return hash_bytes(hash, output->segments, output->segment_count * sizeof *output->segments);
}

static uint64_t hash_numbers(uint64_t hash, const echocart_result_t *result)
{
    hash = hash_bytes(hash, result->raw_view, result->raw_view_count * sizeof(float));
    return hash_bytes(hash, &result->raw_lvef, result->raw_lvef_count * sizeof(float));
}

static void take(const echocart_result_t *result)
{
    const echocart_segment_t *clip;
    uint64_t hash = UINT64_C(14695981039346656037);
    if (result->kind != ECHOCART_RESULT_ESTIMATE) {
        return;
    }
    hash = hash_bytes(hash, &result->clip, sizeof result->clip);
    hash = hash_output(hash_output(hash, &result->view), &result->lvef);
    found.hash += hash_numbers(hash, result);
    found.estimates += 1;
    found.flagged += result->view.reason == ECHOCART_REASON_COLOUR_ON
                     || result->view.reason == ECHOCART_REASON_FROZEN;
    if (result->raw_view_count == 0 || result->view.segment_count == 0) {
        return;
    }
    clip = &result->view.segments[result->view.segment_count - 1];
    found.clips += 1;
    if (clip->first_frame >= found.next) {
        found.apart += 1;
        found.covered += clip->last_frame - clip->first_frame + 1;
        found.next = clip->last_frame + 1;
    } else if (clip->last_frame >= found.next) {
        found.covered += clip->last_frame - found.next + 1;
        found.next = clip->last_frame + 1;
    }
}

/* While paused nothing is taken, lent or counted. */
static void pause_between(handles_t *handles, const echocart_frame_t *frame)
{
    uint64_t number = UNWRITTEN;
    EXPECT(ECHOCART_OK, echocart_session_pause(handles->session));
    for (int at = 0; at < 10; at += 1) {
        EXPECT(ECHOCART_PAUSED, give(handles, *frame, at % 2, &number));
    }
    CHECK(number == UNWRITTEN);
    EXPECT(ECHOCART_OK, echocart_session_resume(handles->session));
}

/* Plays the stream; gives 0 when there is no session. */
static int play(int lent, echocart_session_info_t *info, echocart_session_stats_t *stats,
                echocart_result_t *summary)
{
    echocart_session_config_t config = prompt_config();
    handles_t handles;

    memset(&found, 0, sizeof found);
    if (!CREATE(&config, &handles)) {
        return 0;
    }
    EXPECT(ECHOCART_OK, echocart_session_info(handles.session, sizeof *info, info));
    exam_frames = 30 + (int64_t)((float)info->clip_frames / info->sampling_hz * 30.0f);
    for (int64_t number = 0; number < script_frames(); number += 1) {
        echocart_frame_t frame = script_at(number);
        if (number == 20) {
            pause_between(&handles, &frame);
        }
        give_patiently(&handles, &frame, lent, (uint64_t)number);
    }
    wait_source_ended(&handles, take);
    EXPECT(ECHOCART_OK, echocart_session_stop(handles.session, 60000000));
    memset(summary, 0, sizeof *summary);
    while (poll_result(&handles, summary) == ECHOCART_OK) {
        take(summary);
    }
    CHECK(summary->kind == ECHOCART_RESULT_SUMMARY);
    EXPECT(ECHOCART_OK, echocart_session_stats(handles.session, sizeof *stats, stats));
    destroy(&handles);
    return 1;
}

static void same_as_push(void)
{
    echocart_session_info_t info;
    echocart_session_stats_t stats[2];
    echocart_result_t summary[2];
    outcome_of_t copied;

    if (!play(0, &info, &stats[0], &summary[0])) {
        return;
    }
    copied = found;
    if (!play(1, &info, &stats[1], &summary[1])) {
        return;
    }
    CHECK(copied.clips > 1 && copied.flagged > 0);
    if (copied.hash != found.hash || copied.estimates != found.estimates) {
        kit_fail(__LINE__, "by copy %" PRIu64 " estimates, lent %" PRIu64 ", not the same",
                 copied.estimates, found.estimates);
    }
    CHECK(memcmp(&summary[0].counters, &summary[1].counters, sizeof summary[0].counters) == 0);
    CHECK(stats[0].exams == stats[1].exams);
    CHECK(stats[0].frames_missing == 7 && stats[1].frames_missing == 7);
    CHECK(stats[1].commit.count == (uint64_t)script_frames() && stats[1].push.count == 0);
}

static void check_fates(const echocart_counters_t *counters, const echocart_session_info_t *info)
{
    /* Where clips are sampled more slowly than frames come, a clip has no frame twice. */
    const uint64_t least = found.apart * (info->sampling_hz < 30.0f ? info->clip_frames : 2);

    CHECK(counters->captured == (uint64_t)script_frames());
    CHECK(counted(counters) == counters->captured);
    CHECK(counters->in_flight == 0 && counters->dropped_ring_full == 0);
    CHECK(counters->clips_superseded == 0);
    CHECK(counters->rejected[ECHOCART_REASON_BAD_TIMESTAMP] == 2);
    /* The second exam has no clip and ends with the third. */
    CHECK(counters->rejected[ECHOCART_REASON_NEW_EXAM] > 0);
    if (counters->used < least || counters->used > found.covered) {
        kit_fail(__LINE__, "%" PRIu64 " frames used, by the results %" PRIu64 " to %" PRIu64,
                 counters->used, least, found.covered);
    }
}

static void fates(void)
{
    echocart_session_info_t info;
    echocart_session_stats_t stats;
    echocart_result_t summary;

    if (play(0, &info, &stats, &summary)) {
        check_fates(&summary.counters, &info);
        check_fates(&stats.counters, &info);
        CHECK(found.clips > 1 && stats.exams >= 2);
    }
}

/* A commit of what must not be is refused as a push is, and the lease stays. */
static void refuse(int line, handles_t *handles, uint32_t expected, const echocart_frame_t *frame)
{
    uint64_t number = UNWRITTEN;
    kit_expect(line, expected, echocart_frame_commit(handles->frames, frame, &number));
    if (frame->pixels != pixels) {
        kit_expect(line, expected, echocart_frame_push(handles->frames, frame, &number));
    }
    if (number != UNWRITTEN) {
        kit_fail(line, "the frame's number was written without ECHOCART_OK");
    }
}

#define REFUSED(expected) refuse(__LINE__, handles, expected, &frame)

static void refuse_fields(handles_t *handles, uint8_t *room)
{
    echocart_frame_t frame = frame_at(0);

    REFUSED(ECHOCART_BAD_ARGUMENT);
    for (uint32_t flag = ECHOCART_FRAME_HAS_SEQUENCE << 1; flag != 0; flag <<= 1) {
        frame = frame_at(0);
        frame.pixels = room;
        frame.flags = flag;
        REFUSED(ECHOCART_BAD_ARGUMENT);
    }
    frame.flags = ECHOCART_FRAME_HAS_DEPTH;
    REFUSED(ECHOCART_BAD_ARGUMENT);
    frame.flags = ECHOCART_FRAME_HAS_ECG;
    frame.ecg_millivolts = (float)INFINITY;
    REFUSED(ECHOCART_BAD_ARGUMENT);
    frame.flags = 0;
    frame.chroma_offset_bytes = BYTES;
    REFUSED(ECHOCART_BAD_FRAME_SIZE);
    frame.chroma_offset_bytes = 0;
    frame.capture_nanos = -1;
    REFUSED(ECHOCART_BAD_TIME);
}

/* A struct of a later version is longer; what this one does not know may mean anything. */
static void refuse_sizes(handles_t *handles, uint8_t *room)
{
    static const uint32_t KNOWN = sizeof(echocart_frame_t);
    const uint32_t sizes[] = {0, 8, KNOWN - 8, KNOWN + 8, UINT32_MAX};
    struct {
        echocart_frame_t frame;
        uint64_t more[8];
    } longer;

    memset(&longer, 0, sizeof longer);
    longer.frame = frame_at(0);
    longer.frame.pixels = room;
    for (size_t at = 0; at < sizeof sizes / sizeof *sizes; at += 1) {
        longer.frame.struct_size = sizes[at];
        refuse(__LINE__, handles, ECHOCART_BAD_STRUCT_SIZE, &longer.frame);
    }
}

/* The clock goes on between a reading and the call, so that only what is still too far ahead
 * afterwards had to be refused. */
static void refuse_future(handles_t *handles, uint8_t **room)
{
    static const int64_t AHEAD[] = {INT64_C(150000000), INT64_C(1000000000), INT64_C(15000000000)};
    echocart_frame_t frame = frame_at(0);

    for (size_t at = 0; at < 6; at += 1) {
        int lent = at % 2 == 0;
        uint64_t number = UNWRITTEN;
        uint32_t code;
        frame.pixels = lent ? *room : pixels;
        frame.capture_nanos = now_nanos() + AHEAD[at / 2];
        code = lent ? echocart_frame_commit(handles->frames, &frame, &number)
                    : echocart_frame_push(handles->frames, &frame, &number);
        if (frame.capture_nanos - now_nanos() > 100000000) {
            EXPECT(ECHOCART_BAD_TIME, code);
        }
        if (lent && code == ECHOCART_OK) {
            EXPECT(ECHOCART_OK, echocart_frame_lease(handles->frames, BYTES, room));
        }
    }
}

static void refused(void)
{
    echocart_session_config_t config = prompt_config();
    handles_t handles;
    uint8_t *room = NULL;

    for (uint32_t pace = ECHOCART_PACE_REAL; pace <= ECHOCART_PACE_MAX; pace += 1) {
        echocart_frame_t frame = frame_at(0);
        uint64_t number = UNWRITTEN;
        config.pace = pace;
        if (!CREATE(&config, &handles)) {
            return;
        }
        EXPECT(ECHOCART_OK, echocart_frame_lease(handles.frames, BYTES, &room));
        memcpy(room, frame.pixels, BYTES);
        refuse_fields(&handles, room);
        refuse_sizes(&handles, room);
        if (pace == ECHOCART_PACE_REAL) {
            refuse_future(&handles, &room);
        }
        frame.pixels = room;
        frame.capture_nanos = now_nanos();
        EXPECT(ECHOCART_OK, echocart_frame_commit(handles.frames, &frame, &number));
        CHECK(number == 0);
        destroy(&handles);
    }
}

/* Where no frame is taken no buffer is lent, and a lease outlives a pause. */
static void leasing(void)
{
    echocart_session_config_t config = prompt_config();
    echocart_frame_t frame = frame_at(0);
    handles_t handles;
    uint8_t *room = NULL;
    uint64_t number = UNWRITTEN;

    if (EXPECT(ECHOCART_OK, create(&config, &handles)) != ECHOCART_OK) {
        return;
    }
    EXPECT(ECHOCART_PAUSED, echocart_frame_lease(handles.frames, BYTES, &room));
    EXPECT(ECHOCART_OK, echocart_session_start(handles.session));
    for (int at = 0; at < 100; at += 1) {
        EXPECT(ECHOCART_OK, echocart_frame_lease(handles.frames, BYTES, &room));
        EXPECT(ECHOCART_OK, echocart_frame_release(handles.frames));
        frame.pixels = room;
        EXPECT(ECHOCART_BAD_STATE, echocart_frame_commit(handles.frames, &frame, &number));
    }
    EXPECT(ECHOCART_OK, echocart_session_pause(handles.session));
    room = NULL;
    EXPECT(ECHOCART_PAUSED, echocart_frame_lease(handles.frames, BYTES, &room));
    CHECK(room == NULL);
    EXPECT(ECHOCART_OK, echocart_session_resume(handles.session));
    EXPECT(ECHOCART_OK, echocart_frame_lease(handles.frames, BYTES, &room));
    EXPECT(ECHOCART_OK, echocart_session_pause(handles.session));
    frame.pixels = room;
    EXPECT(ECHOCART_PAUSED, echocart_frame_commit(handles.frames, &frame, &number));
    CHECK(number == UNWRITTEN);
    EXPECT(ECHOCART_OK, echocart_session_resume(handles.session));
    memset(room, 3, BYTES);
    EXPECT(ECHOCART_OK, echocart_frame_commit(handles.frames, &frame, &number));
    CHECK(number == 0);
    EXPECT(ECHOCART_OK, echocart_frame_port_close(handles.frames));
    room = NULL;
    EXPECT(ECHOCART_CLOSED, echocart_frame_lease(handles.frames, BYTES, &room));
    CHECK(room == NULL);
    destroy(&handles);
}

static int64_t thread_nanos(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* A copy of 3 MiB takes a hundred times what a lease and a commit do. Both are told in the
 * processor's time, the least of many, so that a busy machine does not matter. */
static void no_copy(void)
{
    static uint8_t from[2048 * 1536];
    static uint8_t to[sizeof from];
    echocart_session_config_t config = prompt_config();
    echocart_frame_t frame = frame_at(0);
    int64_t least[2] = {INT64_MAX, INT64_MAX};
    watched_t sum = {0, 0};
    handles_t handles;

    memset(from, 1, sizeof from);
    config.reserve_frame_bytes = sizeof from;
    set_toml(&config, toml_with("ring_frames", "8"));
    if (!CREATE(&config, &handles)) {
        return;
    }
    frame.width_px = frame.row_stride_bytes = 2048;
    frame.height_px = 1536;
    frame.pixel_bytes = sizeof from;
    for (int at = 0; at < 300; at += 1) {
        uint64_t number = 0;
        uint8_t *room = NULL;
        watched_t watched;
        uint32_t code;
        int64_t start = thread_nanos();
        memcpy(to, from, sizeof from);
        from[at] = to[sizeof to - 1 - at];
        least[0] = thread_nanos() - start < least[0] ? thread_nanos() - start : least[0];
        watch_begin();
        start = thread_nanos();
        code = echocart_frame_lease(handles.frames, sizeof from, &room);
        frame.pixels = room;
        frame.capture_nanos += 1000000;
        if (code == ECHOCART_OK) {
            code = echocart_frame_commit(handles.frames, &frame, &number);
        }
        start = thread_nanos() - start;
        watched = watch_end();
        sum.waits += watched.waits;
        sum.allocations += watched.allocations;
        if (code == ECHOCART_OK) {
            least[1] = start < least[1] ? start : least[1];
        } else {
            EXPECT(ECHOCART_WOULD_BLOCK, code);
            EXPECT(ECHOCART_OK, echocart_frame_release(handles.frames));
            nap_millis(1);
        }
    }
    destroy(&handles);
    kit_note("a copy took %" PRId64 " ns of the processor, a lease and a commit %" PRId64
             "; they waited %" PRId64 " times", least[0], least[1], sum.waits);
    CHECK(least[1] < least[0] / 10);
    CHECK(sum.waits <= 3 && sum.allocations == 0);
}

const rule_t commit_rules[] = {
    {"commit.same_as_push", "a stream in lent buffers gives what its copies give",
     same_as_push},
    {"commit.refused", "a frame with a field that cannot be is refused, its lease stays",
     refused},
    {"commit.leasing", "a buffer is lent only while frames are taken, and may be given back",
     leasing},
    {"commit.no_copy", "a lease and a commit copy no pixel and do not wait", no_copy},
    {"counts.fates", "frames are counted as used, unused or refused as the results say", fates},
    {NULL, NULL, NULL},
};
