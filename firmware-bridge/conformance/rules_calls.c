/* Calls without a session, and how every call answers what it must not be given. */

#define _GNU_SOURCE

#include "kit.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define SENTINEL UINT64_C(0x5a5a5a5a5a5a5a5a)

static void null_pointers(void)
{
    echocart_session_config_t config = plain_config();
    echocart_session_info_t info;
    echocart_result_t result;
    echocart_frame_t frame;
    handles_t handles;
    uint64_t number = SENTINEL;
    char text[8];

    memset(&frame, 0, sizeof frame);
    memset(&handles, 0, sizeof handles);
    frame.struct_size = sizeof frame;
    EXPECT(ECHOCART_NULL_ARGUMENT, echocart_clock_now(NULL));
    CHECK(error_says("out_nanos"));
    EXPECT(ECHOCART_NULL_ARGUMENT, echocart_last_error(NULL, 4, &number));
    EXPECT(ECHOCART_NULL_ARGUMENT, echocart_last_error(text, sizeof text, NULL));
    EXPECT(ECHOCART_NULL_ARGUMENT, echocart_session_create(NULL, &handles.session, &handles.frames,
                                                           &handles.results));
    EXPECT(ECHOCART_NULL_ARGUMENT,
           echocart_session_create(&config, NULL, &handles.frames, &handles.results));
    EXPECT(ECHOCART_NULL_ARGUMENT,
           echocart_session_create(&config, &handles.session, NULL, &handles.results));
    EXPECT(ECHOCART_NULL_ARGUMENT,
           echocart_session_create(&config, &handles.session, &handles.frames, NULL));
    EXPECT(ECHOCART_NULL_ARGUMENT, echocart_session_stop(NULL, 0));
    EXPECT(ECHOCART_NULL_ARGUMENT, echocart_session_info(NULL, sizeof info, &info));
    EXPECT(ECHOCART_NULL_ARGUMENT, echocart_frame_push(NULL, &frame, &number));
    EXPECT(ECHOCART_NULL_ARGUMENT, echocart_frame_port_close(NULL));
    EXPECT(ECHOCART_NULL_ARGUMENT, echocart_result_poll(NULL, sizeof result, &result));
    EXPECT(ECHOCART_NULL_ARGUMENT, echocart_result_label(NULL, 0, text, sizeof text, &number));
    if (!CREATE(&config, &handles)) {
        return;
    }
    EXPECT(ECHOCART_NULL_ARGUMENT, echocart_session_info(handles.session, sizeof info, NULL));
    EXPECT(ECHOCART_NULL_ARGUMENT, echocart_frame_push(handles.frames, NULL, &number));
    EXPECT(ECHOCART_NULL_ARGUMENT, echocart_frame_push(handles.frames, &frame, NULL));
    EXPECT(ECHOCART_NULL_ARGUMENT, echocart_result_poll(handles.results, sizeof result, NULL));
    EXPECT(ECHOCART_NULL_ARGUMENT, echocart_result_label(handles.results, 0, text, 8, NULL));
    destroy(&handles);
}

static void destroying_nothing(void)
{
    handles_t none;
    memset(&none, 0, sizeof none);
    EXPECT(ECHOCART_OK, echocart_session_destroy(NULL));
    EXPECT(ECHOCART_OK, echocart_frame_port_destroy(NULL));
    EXPECT(ECHOCART_OK, echocart_result_port_destroy(NULL));
    destroy(&none);
    destroy(&none);
}

static void struct_sizes(void)
{
    echocart_session_config_t config = plain_config();
    echocart_session_info_t info;
    echocart_result_t result;
    handles_t handles;
    echocart_frame_t frame;
    uint64_t number = SENTINEL;

    config.struct_size = 0;
    EXPECT(ECHOCART_BAD_STRUCT_SIZE, create(&config, &handles));
    config.struct_size = sizeof config + 8;
    EXPECT(ECHOCART_BAD_STRUCT_SIZE, create(&config, &handles));
    CHECK(handles.session == NULL && handles.frames == NULL && handles.results == NULL);
    config = plain_config();
    if (!CREATE(&config, &handles)) {
        return;
    }
    memset(&frame, 0, sizeof frame);
    frame.struct_size = 4;
    EXPECT(ECHOCART_BAD_STRUCT_SIZE, echocart_frame_push(handles.frames, &frame, &number));
    EXPECT(ECHOCART_BAD_STRUCT_SIZE, echocart_session_info(handles.session, 8, &info));
    EXPECT(ECHOCART_BAD_STRUCT_SIZE, echocart_result_poll(handles.results, 4, &result));
    EXPECT(ECHOCART_BAD_STRUCT_SIZE,
           echocart_result_poll(handles.results, sizeof result + 8, &result));
    destroy(&handles);
}

static void abi_versions(void)
{
    static const uint32_t WRONG[] = {0, ECHOCART_ABI_VERSION + 1, (ECHOCART_ABI_MAJOR + 1) << 16,
                                     UINT32_MAX};
    handles_t handles;

    CHECK(echocart_abi_version() == ECHOCART_ABI_VERSION);
    for (size_t at = 0; at < sizeof WRONG / sizeof *WRONG; at += 1) {
        echocart_session_config_t config = plain_config();
        if (WRONG[at] == 0 && ECHOCART_ABI_VERSION == 0) {
            continue;
        }
        config.abi_version = WRONG[at];
        EXPECT(ECHOCART_ABI_MISMATCH, create(&config, &handles));
        CHECK(handles.session == NULL);
    }
}

static void outputs_stay(void)
{
    echocart_session_config_t config = plain_config();
    echocart_session_info_t info;
    echocart_result_t result;
    echocart_frame_t frame;
    handles_t handles;
    uint64_t number = SENTINEL;
    unsigned char *bytes = (unsigned char *)&result;

    memset(&frame, 0, sizeof frame);
    frame.struct_size = sizeof frame;
    if (!CREATE(&config, &handles)) {
        return;
    }
    kit_seen(echocart_frame_push(handles.frames, &frame, &number));
    CHECK(number == SENTINEL);
    memset(&info, 0x5a, sizeof info);
    EXPECT(ECHOCART_BAD_STRUCT_SIZE, echocart_session_info(handles.session, 8, &info));
    CHECK(info.struct_size == 0x5a5a5a5a);
    EXPECT(ECHOCART_BAD_ARGUMENT,
           echocart_result_label(handles.results, ECHOCART_NO_LABEL, NULL, 0, &number));
    CHECK(number == SENTINEL);
    while (poll_result(&handles, &result) == ECHOCART_OK) {
        CHECK(result.struct_size == sizeof result);
    }
    memset(&result, 0x5a, sizeof result);
    EXPECT(ECHOCART_EMPTY, poll_result(&handles, &result));
    for (size_t at = 0; at < sizeof result; at += 1) {
        if (bytes[at] != 0x5a) {
            kit_fail(__LINE__, "poll wrote byte %zu of the result without ECHOCART_OK", at);
            break;
        }
    }
    destroy(&handles);
}

static void code_texts(void)
{
    const char *unknown = echocart_code_text(9999);
    const char *texts[256];
    int known = 0;

    CHECK(unknown != NULL && strlen(unknown) > 0);
    for (uint32_t code = 0; code < 9999; code += 1) {
        const char *text = echocart_code_text(code);
        CHECK(text != NULL);
        if (text == NULL || strcmp(text, unknown) == 0 || known == 256) {
            continue;
        }
        for (const char *at = text; *at != 0; at += 1) {
            CHECK(*at >= ' ' && *at <= '~');
        }
        for (int before = 0; before < known; before += 1) {
            if (strcmp(texts[before], text) == 0) {
                kit_fail(__LINE__, "two codes share the text %s", text);
            }
        }
        texts[known] = text;
        known += 1;
    }
    CHECK(known > 20);
    kit_note("%d codes have a text", known);
}

static void *other_thread(void *out)
{
    uint64_t *bytes = (uint64_t *)out;
    echocart_last_error(NULL, 0, bytes);
    return NULL;
}

static void last_error(void)
{
    char small[4] = {'x', 'x', 'x', 'x'};
    char whole[2048] = "";
    uint64_t bytes = 0;
    uint64_t theirs = SENTINEL;
    pthread_t thread;

    EXPECT(ECHOCART_OK, echocart_last_error(NULL, 0, &bytes));
    CHECK(bytes == 0);
    EXPECT(ECHOCART_NULL_ARGUMENT, echocart_clock_now(NULL));
    EXPECT(ECHOCART_OK, echocart_last_error(whole, sizeof whole, &bytes));
    CHECK(bytes > sizeof small && bytes == strlen(whole));
    EXPECT(ECHOCART_OK, echocart_last_error(small, sizeof small, &bytes));
    CHECK(small[3] == 0 && strncmp(small, whole, 3) == 0 && bytes == strlen(whole));
    (void)now_nanos();
    CHECK(error_says(whole));
    CHECK(pthread_create(&thread, NULL, other_thread, &theirs) == 0);
    pthread_join(thread, NULL);
    CHECK(theirs == 0);
}

static void error_text_is_utf8(void)
{
    char path[KIT_PATH_BYTES];
    char text[2048];
    char cut[2048];
    uint64_t bytes = 0;
    handles_t handles;
    echocart_session_config_t config;

    snprintf(path, sizeof path, "%s", scratch("no-such-\xc3\xa4\xe2\x82\xac-package"));
    config = config_of(path, kit.library);
    EXPECT(ECHOCART_PACKAGE_UNREADABLE, create(&config, &handles));
    EXPECT(ECHOCART_OK, echocart_last_error(text, sizeof text, &bytes));
    CHECK(bytes < sizeof text && strstr(text, "\xc3\xa4\xe2\x82\xac") != NULL);
    for (uint64_t room = 1; room <= bytes && room < sizeof cut; room += 1) {
        uint64_t again = 0;
        size_t length;
        memset(cut, 'x', sizeof cut);
        EXPECT(ECHOCART_OK, echocart_last_error(cut, room, &again));
        length = strnlen(cut, sizeof cut);
        CHECK(again == bytes && length < room && strncmp(cut, text, length) == 0);
        if (((unsigned char)text[length] & 0xc0) == 0x80) {
            kit_fail(__LINE__, "the text is cut inside a character at %zu bytes", length);
        }
        CHECK(room - length <= 3);
    }
}

static void the_clock(void)
{
    int64_t before = now_nanos();
    CHECK(before >= 0);
    for (int at = 0; at < 100000; at += 1) {
        int64_t after = now_nanos();
        if (after < before) {
            kit_fail(__LINE__, "the clock went back by %" PRId64 " ns", before - after);
            return;
        }
        before = after;
    }
}

const rule_t call_rules[] = {
    {"calls.null", "every pointer is checked for NULL before use", null_pointers},
    {"calls.destroy_nothing", "destroying NULL, or a variable that is NULL, does nothing",
     destroying_nothing},
    {"calls.struct_size", "a struct size the library does not know is refused", struct_sizes},
    {"calls.abi_version", "another major or a later minor version is refused", abi_versions},
    {"calls.outputs_stay", "an output is written only with OK", outputs_stay},
    {"calls.code_texts", "every code has a text of its own, ASCII, never NULL", code_texts},
    {"calls.last_error", "the last error is per thread, ends with NUL, and success leaves it",
     last_error},
    {"calls.last_error_utf8", "texts are UTF-8 and cut between two characters", error_text_is_utf8},
    {"calls.clock", "the clock is monotonic and never negative", the_clock},
    {NULL, NULL, NULL},
};
