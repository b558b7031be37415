/* What the rules share: the report, the checks, and sessions to try them on. */

#ifndef ECHOCART_KIT_H
#define ECHOCART_KIT_H

#include "echocart.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>

#define KIT_PATH_BYTES 1024
#define KIT_TOML_BYTES 16384

/* One promise of the contract and the function that tries it. */
typedef struct {
    const char *id;
    const char *promise;
    void (*run)(void);
} rule_t;

/* What the command line gave. */
typedef struct {
    const char *package;
    const char *library;
    const char *dump;
    const char *config;
    uint32_t isolation;
    int strict_timing;
    int realtime;
    double seconds;
} kit_options_t;

typedef struct {
    echocart_session_t *session;
    echocart_frame_port_t *frames;
    echocart_result_port_t *results;
} handles_t;

extern kit_options_t kit;

extern const rule_t call_rules[];
extern const rule_t create_rules[];
extern const rule_t frame_rules[];
extern const rule_t result_rules[];
extern const rule_t session_rules[];
extern const rule_t thread_rules[];
extern const rule_t process_rules[];
extern const rule_t host_rules[];
extern const rule_t timing_rules[];
extern const rule_t worker_rules[];
extern const rule_t commit_rules[];
extern const rule_t output_rules[];
extern const rule_t setting_rules[];
extern const rule_t format_rules[];
extern const rule_t told_rules[];
extern const rule_t trace_rules[];

/* The report of the rule that runs; kit.c. */
void kit_fail(int line, const char *format, ...) __attribute__((format(printf, 2, 3)));
void kit_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void kit_measure(const char *name, int64_t *nanos, size_t count, int64_t promise_p99_nanos);
uint32_t kit_expect(int line, uint32_t expected, uint32_t found);
uint32_t kit_seen(uint32_t code);

#define EXPECT(expected, call) kit_expect(__LINE__, expected, call)
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            kit_fail(__LINE__, "does not hold: %s", #condition);                                   \
        }                                                                                          \
    } while (0)

/* Sessions and configurations; session.c. */
echocart_session_config_t config_of(const char *package, const char *library);
echocart_session_config_t plain_config(void);
void set_toml(echocart_session_config_t *config, const char *toml);
const char *base_toml(void);
const char *toml_with(const char *key, const char *value);
uint32_t create(const echocart_session_config_t *config, handles_t *handles);
int create_or_fail(int line, const echocart_session_config_t *config, handles_t *handles);
void destroy(handles_t *handles);
uint32_t push(handles_t *handles, const echocart_frame_t *frame);
uint32_t push_patiently(handles_t *handles, const echocart_frame_t *frame);
uint32_t poll_result(handles_t *handles, echocart_result_t *result);
int wait_source_ended(handles_t *handles, void (*take)(const echocart_result_t *));
void nap_millis(int64_t millis);
int64_t now_nanos(void);
int error_says(const char *part);
uint64_t counted(const echocart_counters_t *counters);

#define CREATE(config, handles) create_or_fail(__LINE__, config, handles)

/* Broken packages in a folder of their own; fixtures.c. */
const char *scratch(const char *name);
const char *copy_package(const char *name);
void copy_file(const char *from, const char *to);
void write_text(const char *path, const char *text);
void replace_in_file(const char *path, const char *from, const char *to);
void remove_scratch(void);
void garble_first_graph(const char *package);
void flip_a_weight(const char *package);
int swap_golden_clips(const char *package);

/* What the library does to the process; watch.c and watch_files.c. */
typedef struct {
    int64_t allocations;
    int64_t waits;
} watched_t;

void watch_begin(void);
watched_t watch_end(void);
int watched_sockets(void);
int watched_exits(void);
int watched_environment(void);
int watched_writes(void);
const char *watched_written(void);
int watched_made(void);
const char *watched_last_made(void);
long watched_loading_bytes(void);
void break_clock(int broken);
void break_threads(int broken);
void break_dlopen(int broken);
int thread_count(void);
int child_process(void);

#endif
