/* Stands between a program and libechocart and breaks one promise, named by ECHOCART_MUTANT.
 *
 *   LD_PRELOAD=libmutant.so ECHOCART_MUTANT=drop_is_ok conformance ...
 *
 * mutants.txt lists every name with the rule that must notice it. */

#include "mutant.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

uint32_t echocart_clock_now(int64_t *out)
{
    static int64_t calls;
    uint32_t code;
    REAL("echocart_clock_now", int64_t *)
    code = real(out);
    if (is("clock_goes_back") && code == ECHOCART_OK && ++calls % 1000 == 0) {
        *out -= 1000000000;
    }
    return code;
}

const char *echocart_code_text(uint32_t code)
{
    const char *(*real)(uint32_t);
    *(void **)&real = dlsym(RTLD_NEXT, "echocart_code_text");
    return is("texts_repeat") && code == ECHOCART_END ? real(ECHOCART_EMPTY) : real(code);
}

uint32_t echocart_abi_version(void)
{
    REAL("echocart_abi_version", void)
    return real() + (is("abi_lies") ? 1 : 0);
}

uint32_t echocart_last_error(char *buffer, uint64_t bytes, uint64_t *out_bytes)
{
    uint32_t code;
    REAL("echocart_last_error", char *, uint64_t, uint64_t *)
    code = real(buffer, bytes, out_bytes);
    if (code == ECHOCART_OK && buffer != NULL && bytes > 0 && *out_bytes >= bytes) {
        if (is("error_without_nul")) {
            buffer[bytes - 1] = 'x';
        }
        if (is("error_cut_in_character") && bytes > 1) {
            char *whole = (char *)malloc((size_t)*out_bytes + 1);
            uint64_t again = 0;
            if (whole != NULL && real(whole, *out_bytes + 1, &again) == ECHOCART_OK) {
                memcpy(buffer, whole, (size_t)bytes - 1);
                buffer[bytes - 1] = 0;
            }
            free(whole);
        }
    }
    return code;
}

uint32_t echocart_session_create(const echocart_session_config_t *config,
                                 echocart_session_t **session, echocart_frame_port_t **frames,
                                 echocart_result_port_t **results)
{
    echocart_session_config_t other;
    uint32_t code;
    REAL("echocart_session_create", const echocart_session_config_t *, echocart_session_t **,
         echocart_frame_port_t **, echocart_result_port_t **)
    if (config == NULL || config->struct_size < 16) {
        return real(config, session, frames, results);
    }
    if (config->struct_size != sizeof other) {
        if (is("earlier_size_refused")) {
            return ECHOCART_BAD_STRUCT_SIZE;
        }
        if (!is("config_size_ignored")) {
            return real(config, session, frames, results);
        }
        memcpy(&other, config, sizeof other);
        other.struct_size = sizeof other;
    } else {
        other = *config;
    }
    if (is("abi_ignored")) {
        other.abi_version = ECHOCART_ABI_VERSION;
    }
    if (is("pace_ignored") && other.pace > 1) {
        other.pace = ECHOCART_PACE_MAX;
    }
    if (is("isolation_ignored") && other.isolation == ECHOCART_ISOLATION_WORKER) {
        other.isolation = ECHOCART_ISOLATION_IN_PROCESS;
    }
    if (is("demonstrations_shown")) {
        other.allow_demonstration = 1;
    }
    if (is("gpu_memory_ignored")) {
        other.gpu_memory_bytes = 0;
    }
    if (is("priority_kept")) {
        other.priority = ECHOCART_PRIORITY_INHERIT;
    }
    remember_package(other.package_dir, other.package_dir_bytes);
    if (is("future_taken")) {
        other.pace = ECHOCART_PACE_MAX;
    }
    code = real(&other, session, frames, results);
    if (is("cpu_set_ignored") && code == ECHOCART_CPU_SET_REFUSED) {
        memset(other.cpu_set, 0, sizeof other.cpu_set);
        code = real(&other, session, frames, results);
    }
    if (is("log_tells_tokens") && code == ECHOCART_OK && other.log_callback != NULL) {
        static const char TEXT[] = "exam SECRETTOKEN 1234";
        other.log_callback(other.log_user_data, ECHOCART_LOG_INFO, TEXT, sizeof TEXT - 1);
    }
    if (is("create_writes_on_failure") && code != ECHOCART_OK && session != NULL) {
        static uint64_t nothing[8];
        *session = (echocart_session_t *)nothing;
    }
    if (is("wrong_package_code") && code == ECHOCART_PACKAGE_ALTERED) {
        code = ECHOCART_PACKAGE_INVALID;
    }
    if (is("wrong_config_code") && code == ECHOCART_CONFIG_INVALID) {
        code = ECHOCART_BAD_ARGUMENT;
    }
    if (is("wrong_library_code") && code == ECHOCART_LIBRARY_CONFLICT) {
        code = ECHOCART_LIBRARY_FAILED;
    }
    if (is("wrong_worker_code") && code == ECHOCART_WORKER_MISSING) {
        code = ECHOCART_ENGINE_FAILED;
    }
    if (is("wrong_thread_code") && code == ECHOCART_THREAD_FAILED) {
        code = ECHOCART_ENGINE_FAILED;
    }
    if (code == ECHOCART_OK) {
        disturb();
        if (is("slow_load")) {
            sleep(2);
        }
    }
    return code;
}

uint32_t echocart_session_info(const echocart_session_t *session, uint32_t bytes,
                               echocart_session_info_t *out)
{
    uint32_t code;
    REAL("echocart_session_info", const echocart_session_t *, uint32_t, echocart_session_info_t *)
    if (is("info_writes_on_failure") && bytes != sizeof *out && out != NULL) {
        out->struct_size = 0;
    }
    code = real(session, bytes, out);
    if (is("info_lies") && code == ECHOCART_OK) {
        out->label_count = 0;
    }
    return code;
}

uint32_t echocart_session_stop(echocart_session_t *session, uint64_t timeout)
{
    static echocart_session_t *stopped;
    uint32_t code;
    REAL("echocart_session_stop", echocart_session_t *, uint64_t)
    if (is("slow_stop") && timeout > 0) {
        sleep(3);
    }
    code = real(session, timeout);
    if (is("second_stop_fails") && code == ECHOCART_OK && session == stopped) {
        code = ECHOCART_CLOSED;
    }
    stopped = session;
    return code;
}

uint32_t echocart_session_destroy(echocart_session_t **session)
{
    uint32_t code;
    echocart_session_t *before = session == NULL ? NULL : *session;
    REAL("echocart_session_destroy", echocart_session_t **)
    if (is("double_destroy_fails") && before == NULL) {
        return ECHOCART_NULL_ARGUMENT;
    }
    code = real(session);
    if (is("destroy_leaves_handle") && before != NULL) {
        *session = before;
    }
    return code;
}

uint32_t echocart_session_pause(echocart_session_t *session)
{
    uint32_t code;
    REAL("echocart_session_pause", echocart_session_t *)
    if (is("pause_ignored")) {
        return ECHOCART_OK;
    }
    code = real(session);
    return code == ECHOCART_POISONED && is("session_is_healed") ? ECHOCART_OK : code;
}

uint32_t echocart_session_stats(const echocart_session_t *session, uint32_t bytes,
                                echocart_session_stats_t *out)
{
    uint32_t code;
    REAL("echocart_session_stats", const echocart_session_t *, uint32_t, echocart_session_stats_t *)
    code = real(session, bytes, out);
    if (is("missing_not_counted") && code == ECHOCART_OK) {
        out->frames_missing = 0;
    }
    return code;
}

uint32_t echocart_session_memory(const echocart_session_t *session, uint32_t bytes,
                                 echocart_session_memory_t *out)
{
    static uint64_t more;
    uint32_t code;
    REAL("echocart_session_memory", const echocart_session_t *, uint32_t,
         echocart_session_memory_t *)
    code = real(session, bytes, out);
    if (is("memory_grows") && code == ECHOCART_OK) {
        out->frame_buffer_bytes += more += 4096;
    }
    return code;
}

uint32_t echocart_session_save(echocart_session_t *session, const char *path, uint64_t bytes,
                               uint64_t *records, uint64_t *frames)
{
    char text[1024];
    uint32_t code;
    REAL("echocart_session_save", echocart_session_t *, const char *, uint64_t, uint64_t *,
         uint64_t *)
    if (path == NULL || records == NULL || bytes >= sizeof text) {
        return real(session, path, bytes, records, frames);
    }
    memcpy(text, path, (size_t)bytes);
    text[bytes] = 0;
    if (is("save_replaces")) {
        unlink(text);
    }
    code = real(session, path, bytes, records, frames);
    if (is("save_writes_nothing") && code == ECHOCART_OK) {
        unlink(text);
    }
    return code;
}

uint32_t echocart_self_test(const echocart_session_config_t *config, uint32_t bytes,
                            echocart_self_test_t *out)
{
    uint32_t code;
    REAL("echocart_self_test", const echocart_session_config_t *, uint32_t, echocart_self_test_t *)
    code = real(config, bytes, out);
    return is("self_test_always_passes") && code == ECHOCART_SELF_TEST_FAILED ? ECHOCART_OK : code;
}

uint32_t echocart_frame_lease(echocart_frame_port_t *port, uint64_t bytes, uint8_t **out)
{
    static uint8_t spare[1 << 20];
    uint32_t code;
    REAL("echocart_frame_lease", echocart_frame_port_t *, uint64_t, uint8_t **)
    code = real(port, bytes, out);
    if (is("second_lease_taken") && code == ECHOCART_BAD_STATE) {
        *out = spare;
        return ECHOCART_OK;
    }
    return code;
}

uint32_t echocart_frame_commit(echocart_frame_port_t *port, const echocart_frame_t *frame,
                               uint64_t *number)
{
    REAL("echocart_frame_commit", echocart_frame_port_t *, const echocart_frame_t *, uint64_t *)
    if (is("commit_blocks")) {
        nap_micros(200);
    }
    if (is("commit_allocates")) {
        allocate();
    }
    if (is("commit_changes_pixels") && frame != NULL && frame->pixels != NULL) {
        memset((uint8_t *)(uintptr_t)frame->pixels, 9, (size_t)frame->pixel_bytes / 2);
    }
    return real(port, frame, number);
}

uint32_t echocart_result_wait(echocart_result_port_t *port, uint64_t timeout, uint32_t bytes,
                              echocart_result_t *out)
{
    uint32_t code = ECHOCART_EMPTY;
    REAL("echocart_result_wait", echocart_result_port_t *, uint64_t, uint32_t, echocart_result_t *)
    if (is("wait_returns_early")) {
        return real(port, 0, bytes, out);
    }
    if (is("wait_spins")) {
        struct timespec start;
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &start);
        do {
            code = real(port, 0, bytes, out);
            clock_gettime(CLOCK_MONOTONIC, &now);
        } while (code == ECHOCART_EMPTY
                 && (uint64_t)(now.tv_sec - start.tv_sec) * 1000000
                            + (uint64_t)(now.tv_nsec / 1000 - start.tv_nsec / 1000)
                        < timeout);
        return code;
    }
    return real(port, timeout, bytes, out);
}

uint32_t echocart_result_subscribe(echocart_result_port_t *port,
                                   echocart_result_callback_t callback, void *user_data)
{
    uint32_t code;
    REAL("echocart_result_subscribe", echocart_result_port_t *, echocart_result_callback_t, void *)
    code = real(port, callback, user_data);
    return is("second_subscription_taken") && code == ECHOCART_BAD_STATE ? ECHOCART_OK : code;
}

static int64_t copies;

/* Pushes the frame before with today's pixels, as a library that kept the pointer would. */
static uint32_t push_kept(uint32_t (*real)(echocart_frame_port_t *, const echocart_frame_t *,
                                           uint64_t *),
                          echocart_frame_port_t *port, const echocart_frame_t *frame,
                          uint64_t *number)
{
    static echocart_frame_t kept;
    static int have;
    echocart_frame_t now = *frame;
    uint32_t code = ECHOCART_OK;
    if (have && kept.capture_nanos < now.capture_nanos) {
        code = real(port, &kept, number);
        if (code != ECHOCART_OK) {
            return code;
        }
    }
    kept = now;
    have = 1;
    return code;
}

uint32_t echocart_frame_push(echocart_frame_port_t *port, const echocart_frame_t *frame,
                             uint64_t *number)
{
    echocart_frame_t other;
    uint32_t code;
    REAL("echocart_frame_push", echocart_frame_port_t *, const echocart_frame_t *, uint64_t *)
    if (port == NULL || frame == NULL || number == NULL) {
        return is("null_is_ok") ? ECHOCART_OK : real(port, frame, number);
    }
    if (is("push_writes_on_failure")) {
        *number = 0;
    }
    if (frame->struct_size != sizeof other) {
        return is("frame_size_ignored") ? ECHOCART_OK : real(port, frame, number);
    }
    other = *frame;
    if (is("exams_ignored")) {
        memset(other.exam_token, 1, sizeof other.exam_token);
    }
    if (is("flags_ignored")) {
        other.flags = 0;
    }
    if (is("host_ids_lost")) {
        other.host_frame_id = 0;
    }
    if (is("formats_refused") && other.format > ECHOCART_PIXEL_RGB24) {
        return ECHOCART_UNSUPPORTED;
    }
    if (is("negative_time_taken") && other.capture_nanos < 0) {
        other.capture_nanos = INT64_C(1) << 60;
    }
    if (is("stride_ignored") && other.row_stride_bytes < other.width_px) {
        return ECHOCART_OK;
    }
    if (is("blocks")) {
        nap_micros(200);
    }
    if (is("allocates")) {
        allocate();
    }
    if (is("slow_push")) {
        struct timespec start;
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &start);
        do {
            clock_gettime(CLOCK_MONOTONIC, &now);
        } while ((now.tv_sec - start.tv_sec) * 1000000000 + now.tv_nsec - start.tv_nsec < 1000000);
    }
    if (is("keeps_pixels")) {
        return push_kept(real, port, &other, number);
    }
    if (is("loses_frames") && ++copies % 20 == 0) {
        return ECHOCART_OK;
    }
    code = real(port, &other, number);
    if (is("skips_numbers") && code == ECHOCART_OK) {
        *number += *number > 10 ? 1 : 0;
    }
    if (is("drop_is_ok") && code == ECHOCART_DROPPED) {
        return ECHOCART_OK;
    }
    if (is("would_block_is_ok") && code == ECHOCART_WOULD_BLOCK) {
        return ECHOCART_OK;
    }
    if (is("closed_is_ok") && code == ECHOCART_CLOSED) {
        return ECHOCART_OK;
    }
    if (is("poison_forgotten") && code == ECHOCART_POISONED) {
        return ECHOCART_OK;
    }
    if (is("paused_is_ok") && code == ECHOCART_PAUSED) {
        return ECHOCART_OK;
    }
    if (is("callback_may_call_in") && code == ECHOCART_IN_CALLBACK) {
        return ECHOCART_OK;
    }
    if (is("unsupported_is_ok") && code == ECHOCART_UNSUPPORTED) {
        return ECHOCART_OK;
    }
    return code;
}

uint32_t echocart_result_poll(echocart_result_port_t *port, uint32_t bytes,
                              echocart_result_t *out)
{
    static int64_t estimates;
    uint32_t code;
    REAL("echocart_result_poll", echocart_result_port_t *, uint32_t, echocart_result_t *)
    if (is("poll_size_ignored") && out != NULL) {
        bytes = sizeof *out;
    }
    code = real(port, bytes, out);
    if (is("concurrent_is_empty") && code == ECHOCART_CONCURRENT_USE) {
        return ECHOCART_EMPTY;
    }
    if (is("end_is_empty") && code == ECHOCART_END) {
        return ECHOCART_EMPTY;
    }
    if (is("poll_writes_on_empty") && code == ECHOCART_EMPTY) {
        out->kind = 0;
    }
    if (is("poll_blocks") && code == ECHOCART_EMPTY) {
        nap_micros(1000);
    }
    if (code != ECHOCART_OK) {
        return code;
    }
    if (is("needs_package") && out->kind == ECHOCART_RESULT_ESTIMATE && package_is_gone()) {
        out->raw_view_count = 0;
    }
    if (is("counts_wrong") && out->kind == ECHOCART_RESULT_SUMMARY) {
        out->counters.captured += 1;
    }
    if (is("counts_dropped_wrong") && out->kind == ECHOCART_RESULT_SUMMARY) {
        out->counters.dropped_ring_full = 0;
    }
    if (is("stale_shown") && out->kind == ECHOCART_RESULT_ESTIMATE) {
        out->view.status = ECHOCART_STATUS_DEMONSTRATION;
        out->view.reason = ECHOCART_REASON_NONE;
    }
    if (is("old_signal_shown") && out->signal.reason == ECHOCART_REASON_NEW_EXAM) {
        out->signal.status = ECHOCART_STATUS_VALUE;
    }
    if (is("zero_without_value") && isnan(out->lvef_percent)) {
        out->lvef_percent = 0.0f;
    }
    if (is("valid_for_ever") && out->kind == ECHOCART_RESULT_ESTIMATE) {
        out->view.valid_until_nanos = 0;
    }
    if (is("numbers_vary") && out->kind == ECHOCART_RESULT_ESTIMATE) {
        out->raw_view[0] += (float)(estimates += 1);
    }
    if (is("engine_down_hidden") && out->state == ECHOCART_STATE_ENGINE_DOWN) {
        out->state = ECHOCART_STATE_COUNTERS;
    }
    if (is("clip_numbers_skip") && out->kind == ECHOCART_RESULT_ESTIMATE) {
        out->clip *= 2;
    }
    return code;
}
