/* Sessions and configurations for the rules. */

#define _POSIX_C_SOURCE 200809L

#include "kit.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* The configuration of the kit's sessions unless --config names another: CPU, unsigned packages. */
static const char TOML[] = "[engine]\n"
                           "providers = [\"CPU\"]\n"
                           "policy = \"degrade\"\n"
                           "intra_op_threads = 2\n"
                           "\n[package]\n"
                           "allow_unsigned = true\n"
                           "trusted_keys = []\n"
                           "\n[pipeline]\n"
                           "ring_frames = 32\n"
                           "max_frame_bytes = 33554432\n"
                           "valid_for_millis = 3000\n"
                           "max_segment_gap_millis = 2000\n"
                           "event_queue = 256\n"
                           "\n[screen]\n"
                           "apex = \"any\"\n"
                           "marker = \"any\"\n"
                           "\n[serve]\n"
                           "address = \"127.0.0.1:8787\"\n"
                           "jpeg_quality = 85\n";

const char *base_toml(void)
{
    static char text[KIT_TOML_BYTES];
    FILE *file;
    size_t bytes;

    if (kit.config == NULL) {
        return TOML;
    }
    file = fopen(kit.config, "rb");
    bytes = file == NULL ? 0 : fread(text, 1, sizeof text - 1, file);
    CHECK(bytes > 0);
    text[bytes] = 0;
    if (file != NULL) {
        fclose(file);
    }
    return text;
}

/* The base configuration with another value for one key. */
const char *toml_with(const char *key, const char *value)
{
    static char text[KIT_TOML_BYTES];
    const char *base = base_toml();
    char line[128];
    const char *at;
    const char *end;

    snprintf(line, sizeof line, "\n%s = ", key);
    at = strstr(base, line);
    if (at == NULL) {
        kit_fail(__LINE__, "the configuration has no key %s", key);
        return base;
    }
    at += strlen(line);
    end = strchr(at, '\n');
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - base), base, value, end == NULL ? "" : end);
    return text;
}

echocart_session_config_t config_of(const char *package, const char *library)
{
    echocart_session_config_t config;
    memset(&config, 0, sizeof config);
    config.struct_size = sizeof config;
    config.abi_version = ECHOCART_ABI_VERSION;
    config.pace = ECHOCART_PACE_MAX;
    config.allow_demonstration = 1;
    config.isolation = kit.isolation;
    config.package_dir = package;
    config.package_dir_bytes = strlen(package);
    config.library_path = library;
    config.library_path_bytes = strlen(library);
    set_toml(&config, base_toml());
    return config;
}

echocart_session_config_t plain_config(void)
{
    return config_of(kit.package, kit.library);
}

void set_toml(echocart_session_config_t *config, const char *toml)
{
    config->config_toml = toml;
    config->config_toml_bytes = strlen(toml);
}

uint32_t create(const echocart_session_config_t *config, handles_t *handles)
{
    memset(handles, 0, sizeof *handles);
    return echocart_session_create(config, &handles->session, &handles->frames, &handles->results);
}

/* Creates and starts; gives 1 when there is a session. */
int create_or_fail(int line, const echocart_session_config_t *config, handles_t *handles)
{
    if (kit_expect(line, ECHOCART_OK, create(config, handles)) != ECHOCART_OK) {
        return 0;
    }
    return kit_expect(line, ECHOCART_OK, echocart_session_start(handles->session)) == ECHOCART_OK;
}

void destroy(handles_t *handles)
{
    EXPECT(ECHOCART_OK, echocart_session_destroy(&handles->session));
    EXPECT(ECHOCART_OK, echocart_frame_port_destroy(&handles->frames));
    EXPECT(ECHOCART_OK, echocart_result_port_destroy(&handles->results));
    CHECK(handles->session == NULL && handles->frames == NULL && handles->results == NULL);
}

uint32_t push(handles_t *handles, const echocart_frame_t *frame)
{
    uint64_t number = 0;
    return kit_seen(echocart_frame_push(handles->frames, frame, &number));
}

/* At maximum pace: waits for room. The queue of results must be long enough. */
uint32_t push_patiently(handles_t *handles, const echocart_frame_t *frame)
{
    int attempts = 0;
    uint32_t code = push(handles, frame);
    while (code == ECHOCART_WOULD_BLOCK && attempts < 20000) {
        nap_millis(1);
        attempts += 1;
        code = push(handles, frame);
    }
    return code;
}

uint32_t poll_result(handles_t *handles, echocart_result_t *result)
{
    return kit_seen(echocart_result_poll(handles->results, sizeof *result, result));
}

/* Closes the frame port and takes every result up to SOURCE_ENDED; gives 1 when that came. */
int wait_source_ended(handles_t *handles, void (*take)(const echocart_result_t *))
{
    echocart_result_t result;
    int idle = 0;

    EXPECT(ECHOCART_OK, echocart_frame_port_close(handles->frames));
    while (idle < 30000) {
        uint32_t code = poll_result(handles, &result);
        if (code == ECHOCART_EMPTY) {
            idle += 1;
            nap_millis(1);
            continue;
        }
        if (code != ECHOCART_OK) {
            break;
        }
        idle = 0;
        if (take != NULL) {
            take(&result);
        }
        if (result.kind == ECHOCART_RESULT_STATE && result.state == ECHOCART_STATE_SOURCE_ENDED) {
            return 1;
        }
    }
    kit_fail(__LINE__, "the state SOURCE_ENDED did not come");
    return 0;
}

void nap_millis(int64_t millis)
{
    struct timespec time;
    time.tv_sec = (time_t)(millis / 1000);
    time.tv_nsec = (long)(millis % 1000 * 1000000);
    nanosleep(&time, NULL);
}

int64_t now_nanos(void)
{
    int64_t nanos = 0;
    EXPECT(ECHOCART_OK, echocart_clock_now(&nanos));
    return nanos;
}

int error_says(const char *part)
{
    char text[2048] = "";
    uint64_t bytes = 0;
    uint32_t code = echocart_last_error(text, sizeof text, &bytes);
    return code == ECHOCART_OK && bytes == strlen(text) && strstr(text, part) != NULL;
}

/* Where the counters say that frames went. */
uint64_t counted(const echocart_counters_t *counters)
{
    uint64_t sum = counters->used + counters->unused + counters->dropped_ring_full
                   + counters->in_flight;
    for (int at = 0; at < ECHOCART_REASONS; at += 1) {
        sum += counters->rejected[at];
    }
    return sum;
}
