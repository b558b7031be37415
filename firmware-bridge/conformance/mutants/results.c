/* Mutants of results; a library of its own behind the others. */

#include "mutant.h"

static int in_real_pace;
static int shows;

uint32_t echocart_session_create(const echocart_session_config_t *config,
                                 echocart_session_t **session, echocart_frame_port_t **frames,
                                 echocart_result_port_t **results)
{
    REAL("echocart_session_create", const echocart_session_config_t *, echocart_session_t **,
         echocart_frame_port_t **, echocart_result_port_t **)
    if (config != NULL && config->struct_size == sizeof *config) {
        in_real_pace = config->pace == ECHOCART_PACE_REAL;
        shows = config->allow_demonstration == 1;
    }
    return real(config, session, frames, results);
}

static int has_value(const echocart_output_t *output)
{
    return output->status == ECHOCART_STATUS_VALUE
           || output->status == ECHOCART_STATUS_DEMONSTRATION;
}

static void show(echocart_output_t *output)
{
    output->status = ECHOCART_STATUS_DEMONSTRATION;
    output->reason = ECHOCART_REASON_NONE;
}

/* Lets out what has been withheld. */
static void keep_withheld(echocart_result_t *out)
{
    if (out->view.reason == ECHOCART_REASON_NEW_EXAM && is("new_exam_shown")) {
        show(&out->view);
        show(&out->lvef);
        out->view_label = 1;
        out->lvef_percent = 61.0f;
    }
    if (out->view.reason != ECHOCART_REASON_ENGINE_DOWN) {
        return;
    }
    if (is("engine_down_lvef_kept")) {
        show(&out->lvef);
        out->lvef_percent = 61.0f;
    }
    if (is("engine_down_view_kept")) {
        out->view_label = 2;
        out->view_probability_count = 3;
        for (int at = 0; at < 3; at += 1) {
            out->view_probabilities[at] = 1.0f / 3.0f;
        }
    }
}

/* Lets out what the session may not show. */
static void leak(echocart_result_t *out)
{
    if (shows) {
        return;
    }
    if (is("hidden_probabilities_leak")) {
        out->view_probability_count = 2;
        out->view_probabilities[1] = 0.9f;
        out->raw_view[1] = 3.0f;
    }
    if (is("hidden_interval_leaks")) {
        out->lvef_low_percent = 50.0f;
        out->lvef_high_percent = 60.0f;
        out->lvef_calibration = ECHOCART_CALIBRATION_INSIDE;
    }
    if (is("hidden_label_in_lvef_segments")) {
        for (int at = 0; at < ECHOCART_MAX_SEGMENTS; at += 1) {
            out->lvef.segments[at].view = 3;
        }
    }
}

/* Times and frames that are not those that were pushed. */
static void change_evidence(echocart_result_t *out)
{
    if (has_value(&out->view) && is("valid_one_hour")) {
        out->view.valid_until_nanos += INT64_C(3600000000000);
    }
    if (has_value(&out->view) && in_real_pace && is("ages_zero")) {
        out->view.age_newest_nanos = 0;
        out->view.age_oldest_nanos = 0;
    }
    if (!in_real_pace && is("sent_at_max_pace")) {
        out->sent_nanos = 12345;
    }
    for (uint32_t at = 0; at < out->lvef.segment_count; at += 1) {
        if (is("segment_times_wrong")) {
            out->lvef.segments[at].first_capture_nanos -= 5000000;
        }
        if (is("segment_sector_wrong")) {
            out->lvef.segments[at].sector = 77;
        }
        if (is("segment_seam_wrong")) {
            out->lvef.segments[at].seam = 1;
        }
    }
}

static void change_numbers(echocart_result_t *out)
{
    float first = out->view_probabilities[0];

    if (has_value(&out->view) && is("probabilities_shuffled")) {
        out->view_probabilities[0] = out->view_probabilities[1];
        out->view_probabilities[1] = first;
    }
    if (out->lvef.status == ECHOCART_STATUS_DEMONSTRATION && is("lvef_is_value")) {
        out->lvef.status = ECHOCART_STATUS_VALUE;
    }
    if (has_value(&out->lvef)) {
        float percent = is("lvef_constant") ? 60.0f : out->lvef_percent;
        percent = is("lvef_clamped") && percent > 40.0f ? 40.0f : percent;
        out->lvef_percent = is("lvef_beyond_all") ? 200.0f : percent;
    }
    if (is("interval_invented")) {
        out->lvef_calibration = ECHOCART_CALIBRATION_INSIDE;
        out->lvef_low_percent = 54.0f;
        out->lvef_high_percent = 56.0f;
        out->lvef_coverage = 0.95f;
    }
    if (has_value(&out->signal) && is("signal_nonsense")) {
        out->signal_meter = -3.0f;
    }
    if (is("signal_invented")) {
        show(&out->signal);
        out->signal_meter = 9.0f;
    }
}

static void change_states(echocart_result_t *out)
{
    int screen = out->state == ECHOCART_STATE_SCREEN_CHANGED && is("screen_states_hidden");
    int sector = out->state == ECHOCART_STATE_SECTOR_CHANGED && is("sector_states_hidden");
    int started = out->state == ECHOCART_STATE_STARTED && is("started_hidden");

    if (screen || sector || started) {
        out->state = ECHOCART_STATE_LADDER_CHANGED;
    }
}

uint32_t echocart_result_poll(echocart_result_port_t *port, uint32_t bytes,
                              echocart_result_t *out)
{
    uint32_t code;
    REAL("echocart_result_poll", echocart_result_port_t *, uint32_t, echocart_result_t *)
    do {
        code = real(port, bytes, out);
    } while (code == ECHOCART_OK && out->state == ECHOCART_STATE_COUNTERS
             && is("counters_states_missing"));
    if (code != ECHOCART_OK) {
        return code;
    }
    change_states(out);
    if (out->kind == ECHOCART_RESULT_SUMMARY && is("totals_lie")) {
        out->values_lvef = 999;
        out->values_signal = 999;
    }
    if (out->kind == ECHOCART_RESULT_ESTIMATE) {
        keep_withheld(out);
        leak(out);
        change_evidence(out);
        change_numbers(out);
    }
    return code;
}

static void garble(echocart_result_t *out)
{
    out->view.status = ECHOCART_STATUS_VALUE;
    out->lvef.status = ECHOCART_STATUS_VALUE;
    out->lvef_percent = 99.0f;
    out->view_label = 3;
}

static int flowed;

uint32_t echocart_result_wait(echocart_result_port_t *port, uint64_t timeout, uint32_t bytes,
                              echocart_result_t *out)
{
    uint32_t code;
    REAL("echocart_result_wait", echocart_result_port_t *, uint64_t, uint32_t, echocart_result_t *)
    code = real(port, timeout, bytes, out);
    flowed = code > 1100 && code < 1200;
    if (code == ECHOCART_OK && is("wait_shows_garbage")) {
        garble(out);
    }
    if (flowed && is("wait_writes_on_empty")) {
        memset(out, 0, sizeof *out);
    }
    return code;
}

uint32_t echocart_last_error(char *buffer, uint64_t bytes, uint64_t *out_bytes)
{
    static const char TEXT[] = "no result is waiting";
    REAL("echocart_last_error", char *, uint64_t, uint64_t *)
    if (flowed && bytes > sizeof TEXT && is("flow_sets_error")) {
        memcpy(buffer, TEXT, sizeof TEXT);
        *out_bytes = sizeof TEXT - 1;
        return ECHOCART_OK;
    }
    return real(buffer, bytes, out_bytes);
}

static echocart_result_callback_t behind;

static void ECHOCART_CALL call_garbled(void *user_data, const echocart_result_t *result)
{
    echocart_result_t other = *result;
    garble(&other);
    behind(user_data, &other);
}

static void ECHOCART_CALL call_half(void *user_data, const echocart_result_t *result)
{
    if (result->kind != ECHOCART_RESULT_ESTIMATE || result->clip % 2 == 0) {
        behind(user_data, result);
    }
}

uint32_t echocart_result_subscribe(echocart_result_port_t *port,
                                   echocart_result_callback_t callback, void *user_data)
{
    REAL("echocart_result_subscribe", echocart_result_port_t *, echocart_result_callback_t, void *)
    behind = callback;
    if (callback != NULL && is("callback_shows_garbage")) {
        return real(port, call_garbled, user_data);
    }
    if (callback != NULL && is("callback_loses_half")) {
        return real(port, call_half, user_data);
    }
    return real(port, callback, user_data);
}

uint32_t echocart_result_label(const echocart_result_port_t *port, uint32_t index, char *buffer,
                               uint64_t bytes, uint64_t *out_bytes)
{
    uint32_t code;
    REAL("echocart_result_label", const echocart_result_port_t *, uint32_t, char *, uint64_t,
         uint64_t *)
    code = real(port, index, buffer, bytes, out_bytes);
    if (code != ECHOCART_OK || buffer == NULL) {
        return code;
    }
    if (*out_bytes >= bytes && bytes > 0 && is("label_without_nul")) {
        buffer[bytes - 1] = 'x';
    }
    if (bytes > 3 && is("labels_all_alike")) {
        memcpy(buffer, "A4C", 4);
        *out_bytes = 3;
    }
    return code;
}

const char *echocart_code_text(uint32_t code)
{
    const char *(*real)(uint32_t);
    *(void **)&real = dlsym(RTLD_NEXT, "echocart_code_text");
    return real(code == ECHOCART_DROPPED && is("text_missing") ? 9999 : code);
}
