/* What a result says: numbers that fit each other, and nothing where there is nothing to say. */

#define _POSIX_C_SOURCE 200809L

#include "kit.h"
#include "scanner.h"

#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#define WIDTH 128
#define HEIGHT 96
#define SMALLER 96
#define MOST 2000
#define VALID_NANOS INT64_C(3000000000)

/* What was pushed, by the number that the library gives it. */
typedef struct {
    int64_t capture_nanos;
    uint32_t width;
    uint32_t flags;
    uint8_t exam;
} pushed_t;

/* What came out; states and estimates apart, whose order among each other is not promised. */
typedef struct {
    echocart_result_t estimates[MOST];
    echocart_result_t states[MOST];
    echocart_result_t summary;
    uint64_t estimate_count;
    size_t state_count;
    atomic_int source_ended;
    atomic_int over;
} taken_t;

typedef enum { BY_POLL, BY_WAIT, BY_CALLBACK } way_t;

static pushed_t pushed[MOST];
static size_t pushed_count;
static size_t part_frames;
static taken_t takes[3];
static echocart_session_info_t info;

/* No two pictures are alike: one that comes again is a stored loop. */
static uint32_t push_noise(handles_t *handles, size_t number, const pushed_t *frame)
{
    static uint8_t pixels[WIDTH * HEIGHT];
    uint64_t noise = (uint64_t)number * UINT64_C(0x9E3779B97F4A7C15);
    echocart_frame_t to = {.struct_size = sizeof to, .format = ECHOCART_PIXEL_GRAY8,
                           .width_px = frame->width, .height_px = HEIGHT,
                           .row_stride_bytes = WIDTH, .pixels = pixels,
                           .pixel_bytes = sizeof pixels, .flags = frame->flags,
                           .capture_nanos = frame->capture_nanos, .host_frame_id = 1000 + number};

    for (size_t at = 0; at < sizeof pixels; at += 1) {
        noise = noise * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        pixels[at] = (uint8_t)(noise >> 56);
    }
    memset(to.exam_token, frame->exam, sizeof to.exam_token);
    return push(handles, &to);
}

static int has_value(const echocart_output_t *output)
{
    return output->status == ECHOCART_STATUS_VALUE
           || output->status == ECHOCART_STATUS_DEMONSTRATION;
}

/* Counters of a state are of a moment, and the text of STARTED tells what loading was like. */
static void ECHOCART_CALL take(void *user_data, const echocart_result_t *result)
{
    taken_t *taken = (taken_t *)user_data;
    echocart_result_t *state = &taken->states[taken->state_count % MOST];

    if (result->kind == ECHOCART_RESULT_ESTIMATE) {
        taken->estimates[result->clip % MOST] = *result;
        taken->estimate_count += 1;
    } else if (result->kind == ECHOCART_RESULT_STATE) {
        *state = *result;
        memset(&state->counters, 0, sizeof state->counters);
        if (state->state == ECHOCART_STATE_STARTED) {
            memset(state->detail, 0, sizeof state->detail);
        }
        taken->state_count += 1;
        atomic_fetch_or(&taken->source_ended, state->state == ECHOCART_STATE_SOURCE_ENDED);
    } else {
        taken->summary = *result;
        atomic_store(&taken->over, 1);
    }
}

static void drain(handles_t *handles, way_t way, taken_t *taken)
{
    echocart_result_t result = {.struct_size = sizeof result};
    uint32_t code = way == BY_CALLBACK ? ECHOCART_EMPTY : ECHOCART_OK;

    while (code == ECHOCART_OK) {
        code = way == BY_POLL
                   ? echocart_result_poll(handles->results, sizeof result, &result)
                   : echocart_result_wait(handles->results, 1000, sizeof result, &result);
        if (code == ECHOCART_OK) {
            take(taken, &result);
        }
    }
    CHECK(result.struct_size == sizeof result);
}

static void drain_until(handles_t *handles, way_t way, taken_t *taken, atomic_int *flag)
{
    for (int idle = 0; idle < 30000 && atomic_load(flag) == 0; idle += 1) {
        drain(handles, way, taken);
        nap_millis(1);
    }
    CHECK(atomic_load(flag) == 1);
}

/* The same stream every time: an exam, another one, smaller frames, and a standstill. */
static void push_stream(handles_t *handles, way_t way, taken_t *taken)
{
    static const pushed_t PARTS[] = {{0, WIDTH, 0, 1}, {0, WIDTH, 0, 1}, {0, WIDTH, 0, 2},
                                     {0, SMALLER, 0, 2}, {0, SMALLER, ECHOCART_FRAME_FROZEN, 2}};
    double rate = fmin(fmax(30.0, (double)info.min_fps), (double)info.max_fps);
    double clip = rate * (double)info.clip_frames / (double)info.sampling_hz;

    part_frames = (size_t)(clip * 1.5);
    part_frames = part_frames * 5 < MOST ? part_frames : MOST / 5;
    for (pushed_count = 0; pushed_count < part_frames * 5; pushed_count += 1) {
        pushed_t *frame = &pushed[pushed_count];
        *frame = PARTS[pushed_count / part_frames];
        frame->capture_nanos = 1000000000 + (int64_t)((double)pushed_count * 1e9 / rate);
        uint32_t code = push_noise(handles, pushed_count, frame);
        for (int attempt = 0; attempt < 20000 && code == ECHOCART_WOULD_BLOCK; attempt += 1) {
            drain(handles, way, taken);
            nap_millis(1);
            code = push_noise(handles, pushed_count, frame);
        }
        EXPECT(ECHOCART_OK, code);
    }
}

/* Plays the stream at maximum pace; gives 1 when there was a session. */
static int play(way_t way, uint32_t allow_demonstration, taken_t *taken)
{
    echocart_session_config_t config = plain_config();
    handles_t handles;

    set_toml(&config, toml_with("valid_for_millis", "3000"));
    config.priority = ECHOCART_PRIORITY_INHERIT;
    config.allow_demonstration = allow_demonstration;
    if (EXPECT(ECHOCART_OK, create(&config, &handles)) != ECHOCART_OK) {
        return 0;
    }
    EXPECT(ECHOCART_OK, echocart_session_info(handles.session, sizeof info, &info));
    EXPECT(ECHOCART_BAD_STRUCT_SIZE, echocart_result_poll(handles.results, 4, &taken->summary));
    if (way == BY_CALLBACK) {
        EXPECT(ECHOCART_OK, echocart_result_subscribe(handles.results, take, taken));
    }
    EXPECT(ECHOCART_PAUSED, push_noise(&handles, 0, &(pushed_t){0, WIDTH, 0, 1}));
    EXPECT(ECHOCART_OK, echocart_session_start(handles.session));
    push_stream(&handles, way, taken);
    EXPECT(ECHOCART_OK, echocart_frame_port_close(handles.frames));
    drain_until(&handles, way, taken, &taken->source_ended);
    EXPECT(ECHOCART_OK, echocart_session_stop(handles.session, 60000000));
    drain_until(&handles, way, taken, &taken->over);
    drain(&handles, way, taken);
    CHECK(error_says("result_bytes"));
    destroy(&handles);
    CHECK(taken->estimate_count > 0 && taken->estimate_count < MOST && taken->state_count < MOST);
    return 1;
}

/* What an output without a value must not say all the same. */
static void check_blank(const echocart_result_t *result, int view, int lvef)
{
    uint32_t none = info.trained == ECHOCART_TRAINED_CLINICAL ? ECHOCART_STATUS_DEMONSTRATION
                                                              : ECHOCART_STATUS_VALUE;
    int inside = result->lvef_calibration == ECHOCART_CALIBRATION_INSIDE;

    CHECK(result->view.status != none && result->lvef.status != none);
    CHECK((result->view_label != ECHOCART_NO_LABEL) == view);
    CHECK(result->view_probability_count == (view ? info.label_count : 0));
    for (uint32_t at = 0; at < ECHOCART_MAX_LABELS; at += 1) {
        CHECK((isnan(result->view_probabilities[at]) == 0) == (view && at < info.label_count));
    }
    CHECK((isnan(result->lvef_percent) == 0) == lvef);
    CHECK(lvef || result->lvef_calibration == ECHOCART_CALIBRATION_NONE);
    CHECK((isnan(result->lvef_coverage) == 0) == inside);
    CHECK((isnan(result->lvef_low_percent) == 0) == inside);
    CHECK((isnan(result->lvef_high_percent) == 0) == inside);
    CHECK(!(result->lvef_percent < 0.0f) && !(result->lvef_percent > 100.0f));
    CHECK(!(result->lvef_percent < result->lvef_low_percent));
    CHECK(!(result->lvef_percent > result->lvef_high_percent));
}

/* A value has no frame of two exams or sizes, nor of a frozen image. */
static void check_segment(const echocart_segment_t *segment, int of_value)
{
    const pushed_t *first = &pushed[segment->first_frame % MOST];
    const pushed_t *last = &pushed[segment->last_frame % MOST];

    CHECK(segment->first_frame <= segment->last_frame && segment->last_frame < pushed_count);
    CHECK(segment->first_capture_nanos == first->capture_nanos);
    CHECK(segment->last_capture_nanos == last->capture_nanos);
    CHECK(segment->first_host_frame_id == 1000 + segment->first_frame);
    CHECK(segment->last_host_frame_id == 1000 + segment->last_frame);
    CHECK(segment->exam_token[0] == first->exam && segment->exam_token[15] == last->exam);
    CHECK(first->exam == last->exam && segment->seam == 0);
    CHECK(segment->view == ECHOCART_NO_LABEL || segment->view < info.label_count);
    CHECK(!of_value || (first->width == last->width && (first->flags | last->flags) == 0));
}

/* One geometry is behind a value; `sectors` are those of the larger and the smaller frames. */
static void check_evidence(const echocart_output_t *output, uint32_t sectors[2])
{
    int of_value = has_value(output);
    int64_t newest = -1;

    for (uint32_t at = 0; at < output->segment_count && at < ECHOCART_MAX_SEGMENTS; at += 1) {
        const echocart_segment_t *segment = &output->segments[at];
        check_segment(segment, of_value);
        CHECK(segment->last_capture_nanos > newest);
        newest = segment->last_capture_nanos;
        if (of_value) {
            uint32_t *sector = &sectors[pushed[segment->last_frame % MOST].width == SMALLER];
            CHECK(*sector >= UINT32_MAX - 1 || *sector == segment->sector);
            *sector = segment->sector;
            CHECK(sectors[0] != sectors[1]);
        }
    }
    CHECK(!of_value || output->valid_until_nanos == newest + VALID_NANOS);
}

/* A label that has just come up; one that is there already may stay for a while. */
static void check_label(const echocart_result_t *result, int of_one_clip)
{
    const float *mine = result->view_probabilities;

    CHECK(result->view_label < info.label_count);
    for (uint32_t at = 0; at < info.label_count && at < ECHOCART_MAX_LABELS; at += 1) {
        CHECK(mine[at] >= 0.0f && mine[at] <= mine[result->view_label % ECHOCART_MAX_LABELS]);
        for (uint32_t to = 0; of_one_clip && to < at; to += 1) {
            CHECK((mine[at] - mine[to]) * (result->raw_view[at] - result->raw_view[to]) >= 0.0f);
        }
    }
}

static void numbers(void)
{
    uint32_t sectors[2] = {UINT32_MAX - 1, UINT32_MAX};
    uint32_t label = ECHOCART_NO_LABEL;
    float percent = NAN;
    uint64_t totals[3] = {0, 0, 0};
    int clips = 0;
    int others = 0;

    if (!play(BY_POLL, 1, &takes[0])) {
        return;
    }
    for (size_t at = 0; at < takes[0].estimate_count; at += 1) {
        const echocart_result_t *result = &takes[0].estimates[at];
        CHECK(result->sent_nanos == ECHOCART_NO_TIME);
        check_blank(result, has_value(&result->view), has_value(&result->lvef));
        check_evidence(&result->view, sectors);
        check_evidence(&result->lvef, sectors);
        clips += result->raw_view_count > 0;
        if (has_value(&result->view) && result->view_label != label) {
            check_label(result, clips == 1);
        }
        label = result->view_label;
        if (has_value(&result->lvef)) {
            others += result->lvef_percent != percent;
            percent = result->lvef_percent;
        }
        totals[0] += (uint64_t)has_value(&result->view);
        totals[1] += (uint64_t)has_value(&result->lvef);
        totals[2] += (uint64_t)has_value(&result->signal);
    }
    /* No two readings are alike, so neither are all numbers. */
    CHECK(totals[1] < 4 || others > 1);
    CHECK(takes[0].summary.values_view == totals[0] && takes[0].summary.values_lvef == totals[1]);
    CHECK(takes[0].summary.values_signal == totals[2]);
    kit_note("%" PRIu64 " views, %" PRIu64 " ejection fractions", totals[0], totals[1]);
}

static void hidden(void)
{
    if (!play(BY_POLL, 0, &takes[0]) || info.trained == ECHOCART_TRAINED_CLINICAL) {
        kit_note("not tried: what is trained on patient images shows no demonstrations");
        return;
    }
    for (size_t at = 0; at < takes[0].estimate_count && at < MOST; at += 1) {
        const echocart_result_t *result = &takes[0].estimates[at];
        check_blank(result, 0, 0);
        CHECK(result->raw_view_count == 0 && isnan(result->raw_lvef));
        for (int label = 0; label < ECHOCART_MAX_LABELS; label += 1) {
            CHECK(isnan(result->raw_view[label]));
        }
        for (int segment = 0; segment < ECHOCART_MAX_SEGMENTS; segment += 1) {
            CHECK(result->view.segments[segment].view == ECHOCART_NO_LABEL);
            CHECK(result->lvef.segments[segment].view == ECHOCART_NO_LABEL);
        }
    }
}

static void signals(void)
{
    scanner_t scanner = {.pace = ECHOCART_PACE_MAX, .width_px = 320, .height_px = 240,
                         .frames_per_second = 30.0, .frames = 150};
    echocart_session_config_t config = plain_config();
    handles_t handles;
    int shown = 0;

    config.priority = ECHOCART_PRIORITY_INHERIT;
    if (!CREATE(&config, &handles)) {
        return;
    }
    CHECK(scanner_run(&scanner, handles.frames) == 0);
    EXPECT(ECHOCART_OK, echocart_frame_port_close(handles.frames));
    drain_until(&handles, BY_POLL, &takes[0], &takes[0].source_ended);
    for (size_t at = 0; at < takes[0].estimate_count && at < MOST; at += 1) {
        const echocart_result_t *result = &takes[0].estimates[at];
        CHECK(result->signal.status != ECHOCART_STATUS_DEMONSTRATION);
        CHECK(has_value(&result->signal) == !isnan(result->signal_meter));
        CHECK(!(result->signal_meter < 0.0f) && !(result->signal_meter > 1.0f));
        shown += has_value(&result->signal);
    }
    CHECK(shown > 0);
    destroy(&handles);
}

static void alike(void)
{
    for (way_t way = BY_POLL; way <= BY_CALLBACK; way += 1) {
        if (!play(way, 1, &takes[way])) {
            return;
        }
        CHECK(memcmp(takes[way].estimates, takes[0].estimates, sizeof takes[0].estimates) == 0);
        CHECK(memcmp(takes[way].states, takes[0].states, sizeof takes[0].states) == 0);
    }
}

/* States from this one of the pushed frames on. */
static int count_states(uint32_t state, size_t from)
{
    int count = 0;
    for (size_t at = 0; at < takes[0].state_count && at < MOST; at += 1) {
        count += takes[0].states[at].state == state
                 && takes[0].states[at].at_nanos >= pushed[from].capture_nanos;
    }
    return count;
}

static void states(void)
{
    int64_t span;

    if (!play(BY_POLL, 1, &takes[0])) {
        return;
    }
    CHECK(takes[0].states[0].state == ECHOCART_STATE_STARTED);
    CHECK(count_states(ECHOCART_STATE_SECTOR_CHANGED, part_frames * 3) == 1);
    CHECK(count_states(ECHOCART_STATE_SCREEN_CHANGED, part_frames * 4) > 0);
    /* A second ends with a frame, so that most are a little longer. */
    span = pushed[pushed_count - 1].capture_nanos - pushed[0].capture_nanos;
    CHECK(count_states(ECHOCART_STATE_COUNTERS, 0) <= span / 1000000000);
    CHECK(count_states(ECHOCART_STATE_COUNTERS, 0) >= span / 2000000000);
}

static void push_live(handles_t *handles, uint8_t exam)
{
    static size_t number;
    pushed_t frame = {now_nanos(), WIDTH, 0, exam};
    kit_seen(push_noise(handles, number++, &frame));
    nap_millis(20);
}

/* Ages count up to the poll, which was after `from`. */
static void check_ages(const echocart_result_t *result, int64_t from)
{
    const echocart_output_t *view = &result->view;
    const echocart_segment_t *clip = &view->segments[0];
    int64_t newest = clip->last_capture_nanos + view->age_newest_nanos;
    int64_t oldest = clip->first_capture_nanos + view->age_oldest_nanos;

    CHECK(newest >= from && newest <= now_nanos() && oldest == newest);
    CHECK(result->sent_nanos >= clip->last_capture_nanos && result->sent_nanos <= newest);
}

/* Pushes and polls until a view is shown, for at most half a minute. */
static int until_shown(handles_t *handles, uint8_t exam)
{
    echocart_result_t result;

    for (int at = 0; at < 3000; at += 1) {
        int64_t from = now_nanos();
        if (poll_result(handles, &result) != ECHOCART_OK) {
            push_live(handles, exam);
        } else if (has_value(&result.view)) {
            check_ages(&result, from);
            return 1;
        }
    }
    kit_note("not tried whole: this package shows no view of noise");
    return 0;
}

/* Polls everything; what is withheld for this reason has nothing, and how many there are. */
static int count_blank(handles_t *handles, uint32_t reason)
{
    echocart_result_t result;
    int count = 0;

    while (poll_result(handles, &result) == ECHOCART_OK) {
        CHECK(!has_value(&result.view) || reason != ECHOCART_REASON_NEW_EXAM);
        if (result.view.reason == reason) {
            CHECK(!has_value(&result.lvef) && result.raw_view_count == 0);
            check_blank(&result, 0, 0);
            count += 1;
        }
    }
    return count;
}

static void live(void)
{
    echocart_session_config_t config = plain_config();
    handles_t handles;
    uint8_t exam = 0;
    int shown = 1;
    int over = 0;
    int down = 0;

    config.pace = ECHOCART_PACE_REAL;
    config.isolation = ECHOCART_ISOLATION_WORKER;
    config.priority = ECHOCART_PRIORITY_INHERIT;
    set_toml(&config, toml_with("valid_for_millis", "60000"));
    if (!CREATE(&config, &handles)) {
        return;
    }
    EXPECT(ECHOCART_OK, echocart_session_info(handles.session, sizeof info, &info));
    for (; over == 0 && exam < 10 && shown; exam += 1) {
        shown = until_shown(&handles, exam);
        for (int at = 0; at < 50 && shown; at += 1) {
            push_live(&handles, exam);
        }
        push_live(&handles, exam + 1);
        over = count_blank(&handles, ECHOCART_REASON_NEW_EXAM);
    }
    CHECK(over > 0 || !shown);
    CHECK(child_process() != 0 && kill(child_process(), SIGKILL) == 0);
    for (int at = 0; at < 1500 && down == 0; at += 1) {
        push_live(&handles, exam);
        down = count_blank(&handles, ECHOCART_REASON_ENGINE_DOWN);
    }
    CHECK(down > 0);
    destroy(&handles);
}

static void texts(void)
{
    static const uint32_t LAST[] = {1012, 1106, 2006, 3010, 9002};
    static char labels[ECHOCART_MAX_LABELS][256];
    echocart_session_config_t config = plain_config();
    handles_t handles;
    char cut[2] = {'x', 'x'};
    uint64_t bytes = 0;

    for (size_t range = 0; range < sizeof LAST / sizeof *LAST; range += 1) {
        for (uint32_t code = LAST[range] / 100 * 100 + 1; code <= LAST[range]; code += 1) {
            CHECK(strcmp(echocart_code_text(code), echocart_code_text(9999)) != 0);
        }
    }
    if (!CREATE(&config, &handles)) {
        return;
    }
    EXPECT(ECHOCART_OK, echocart_session_info(handles.session, sizeof info, &info));
    for (uint32_t at = 0; at < info.label_count && at < ECHOCART_MAX_LABELS; at += 1) {
        EXPECT(ECHOCART_OK, echocart_result_label(handles.results, at, labels[at], 256, &bytes));
        EXPECT(ECHOCART_OK, echocart_result_label(handles.results, at, cut, sizeof cut, &bytes));
        CHECK(bytes > 0 && memchr(labels[at], 0, 256) != NULL && memchr(cut, 0, 2) != NULL);
        for (uint32_t before = 0; before < at; before += 1) {
            CHECK(strcmp(labels[before], labels[at]) != 0);
        }
    }
    destroy(&handles);
}

const rule_t output_rules[] = {
    {"values.numbers", "numbers fit each other, the frames pushed and the totals", numbers},
    {"values.hidden", "without leave no field tells what a demonstration would have been", hidden},
    {"values.signal", "the image signal is a value from 0 to 1 or is not there", signals},
    {"values.live", "ages count up to the poll; a new exam or a lost engine blanks all", live},
    {"results.alike", "poll, wait and callback give the same results and leave the last error",
     alike},
    {"results.states", "states begin with STARTED and tell what the frames did", states},
    {"results.texts", "every code and every label has a text, which ends with NUL", texts},
    {NULL, NULL, NULL},
};
