/* What a session is told takes effect, and what it tells is so. */

#define _GNU_SOURCE

#include "kit.h"
#include "scanner.h"

#include <dirent.h>
#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define WIDTH 96
#define HEIGHT 80
#define STEP INT64_C(33333333)
#define SIX_BYTES UINT64_C(0xffffffffffff)
#define WINDOWS (ECHOCART_EXAM_TOKEN_BYTES - 5)

static const uint8_t TOKENS[2][ECHOCART_EXAM_TOKEN_BYTES] = {
    {201, 37, 149, 88, 230, 61, 174, 19, 243, 102, 7, 191, 133, 54, 216, 77},
    {98, 227, 41, 183, 12, 239, 156, 70, 205, 33, 118, 251, 84, 167, 29, 194}};

static echocart_frame_t frame_at(int64_t number, int exam)
{
    static uint8_t pixels[WIDTH * HEIGHT];
    echocart_frame_t frame;
    for (size_t at = 0; at < sizeof pixels; at += 1) {
        pixels[at] = (uint8_t)((at * (size_t)(number % 89 + 3)) % 253);
    }
    memset(&frame, 0, sizeof frame);
    frame.struct_size = sizeof frame;
    frame.format = ECHOCART_PIXEL_GRAY8;
    frame.width_px = WIDTH;
    frame.height_px = HEIGHT;
    frame.row_stride_bytes = WIDTH;
    frame.pixels = pixels;
    frame.pixel_bytes = sizeof pixels;
    frame.capture_nanos = number * STEP;
    memcpy(frame.exam_token, TOKENS[exam], sizeof frame.exam_token);
    return frame;
}

static void push_frames(handles_t *handles, int first, int end, int exam)
{
    for (int at = first; at < end; at += 1) {
        echocart_frame_t frame = frame_at(at, exam);
        EXPECT(ECHOCART_OK, push_patiently(handles, &frame));
    }
}

static const char *recorder_toml(void)
{
    static char toml[KIT_TOML_BYTES];
    snprintf(toml, sizeof toml, "%s\n[recorder]\nbudget_mib = 16\nfolder = \"unused\"\n",
             base_toml());
    return toml;
}

static int hex_digit(int byte)
{
    static const char DIGITS[] = "0123456789abcdef0123456789ABCDEF";
    const char *at = byte == 0 ? NULL : strchr(DIGITS, byte);
    return at == NULL ? -1 : (int)(at - DIGITS) % 16;
}

/* Six bytes in a row: raw, as hex digits or as decimal numbers, whatever stands between them. */
static int holds(const uint8_t *text, size_t bytes, uint64_t six)
{
    uint64_t raw = 0;
    uint64_t hex = 0;
    uint64_t decimals = 0;
    int number = -1;
    for (size_t at = 0; at <= bytes; at += 1) {
        int byte = at < bytes ? text[at] : 0;
        int prefix = byte == '0' && at + 1 < bytes && text[at + 1] == 'x';
        raw = (raw << 8 | (uint64_t)byte) & SIX_BYTES;
        if (hex_digit(byte) >= 0 && !prefix) {
            hex = (hex << 4 | (uint64_t)hex_digit(byte)) & SIX_BYTES;
        }
        if (byte >= '0' && byte <= '9') {
            number = ((number < 0 ? 0 : number) * 10 + byte - '0') % 1000;
        } else if (number >= 0) {
            decimals = (decimals << 8 | (uint64_t)(number & 0xff)) & SIX_BYTES;
            number = -1;
        }
        if (raw == six || hex == six || decimals == six) {
            return 1;
        }
    }
    return 0;
}

/* Whether a text has a part of a token, in its order or the other way round. */
static int tells_token(const void *text, size_t bytes)
{
    for (int at = 0; at < 2 * WINDOWS; at += 1) {
        const uint8_t *part = &TOKENS[at / WINDOWS][at % WINDOWS];
        uint64_t forth = 0;
        uint64_t back = 0;
        for (int byte = 0; byte < 6; byte += 1) {
            forth = forth << 8 | part[byte];
            back = back << 8 | part[5 - byte];
        }
        if (holds((const uint8_t *)text, bytes, forth)
            || holds((const uint8_t *)text, bytes, back)) {
            return 1;
        }
    }
    return 0;
}

static int log_lines;
static int log_tokens;

static void ECHOCART_CALL log_line(void *user_data, uint32_t level, const char *text,
                                   uint64_t bytes)
{
    (void)user_data;
    (void)level;
    __atomic_fetch_add(&log_lines, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&log_tokens, tells_token(text, (size_t)bytes), __ATOMIC_RELAXED);
}

static void check_detail(const echocart_result_t *result)
{
    CHECK(!tells_token(result->detail, sizeof result->detail));
}

/* Frames that are refused, so that there is a text about each. */
static void refused_frames(handles_t *handles)
{
    for (int fault = 0; fault < 5; fault += 1) {
        echocart_frame_t frame = frame_at(60, 1);
        char text[2048] = "";
        uint64_t bytes = 0;
        frame.struct_size += fault == 0;
        frame.width_px = fault == 1 ? 0 : WIDTH;
        frame.format = fault == 2 ? 4711 : ECHOCART_PIXEL_GRAY8;
        frame.capture_nanos = fault == 3 ? -1 : frame.capture_nanos;
        frame.memory = fault == 4 ? ECHOCART_MEMORY_CUDA : ECHOCART_MEMORY_HOST;
        CHECK(push(handles, &frame) != ECHOCART_OK);
        EXPECT(ECHOCART_OK, echocart_last_error(text, sizeof text, &bytes));
        CHECK(bytes > 0 && !tells_token(text, sizeof text));
    }
}

static uint8_t *read_file(const char *path, size_t *bytes)
{
    static uint8_t room[32 << 20];
    FILE *file = fopen(path, "rb");
    *bytes = file == NULL ? 0 : fread(room, 1, sizeof room, file);
    if (file != NULL) {
        fclose(file);
    }
    return room;
}

static void save_as(handles_t *handles, const char *path, uint64_t counts[2])
{
    EXPECT(ECHOCART_OK, echocart_session_save(handles->session, path, strlen(path), &counts[0],
                                              &counts[1]));
}

static void tokens(void)
{
    const char *path = scratch("tokens.echorec");
    echocart_session_config_t config = plain_config();
    uint64_t counts[2];
    size_t bytes = 0;
    const uint8_t *recording;
    handles_t handles;

    config.log_level = ECHOCART_LOG_INFO;
    config.log_callback = log_line;
    config.priority = ECHOCART_PRIORITY_INHERIT;
    set_toml(&config, recorder_toml());
    if (!CREATE(&config, &handles)) {
        return;
    }
    push_frames(&handles, 0, 30, 0);
    push_frames(&handles, 30, 60, 1);
    refused_frames(&handles);
    wait_source_ended(&handles, check_detail);
    save_as(&handles, path, counts);
    recording = read_file(path, &bytes);
    CHECK(bytes > 0 && !tells_token(recording, bytes));
    EXPECT(ECHOCART_OK, echocart_session_stop(handles.session, 10000000));
    destroy(&handles);
    CHECK(log_lines > 0 && log_tokens == 0);
    kit_note("%d lines of log, a recording of %zu bytes", log_lines, bytes);
}

static uint32_t word_at(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16
           | (uint32_t)bytes[3] << 24;
}

static uint32_t checksum(uint32_t sum, const uint8_t *bytes, size_t count)
{
    for (size_t at = 0; at < count; at += 1) {
        sum ^= bytes[at];
        for (int bit = 0; bit < 8; bit += 1) {
            sum = sum >> 1 ^ (0xedb88320u & (0u - (sum & 1)));
        }
    }
    return sum;
}

/* A magic and a version, then chunks: kind, bytes, checksum of all but itself, payload. */
static void check_recording(const char *path, const uint64_t counts[2])
{
    size_t bytes = 0;
    const uint8_t *file = read_file(path, &bytes);
    uint64_t kinds[5] = {0};
    size_t at = 12;
    CHECK(bytes > at && memcmp(file, "ECHOREC", 8) == 0 && word_at(file + 8) == 1);
    while (at + 12 <= bytes && word_at(file + at + 4) <= bytes - at - 12) {
        uint32_t kind = word_at(file + at);
        uint32_t payload = word_at(file + at + 4);
        uint32_t sum = checksum(checksum(~0u, file + at, 8), file + at + 12, payload);
        if (kind > 4 || ~sum != word_at(file + at + 8)) {
            break;
        }
        kinds[kind] += 1;
        at += 12 + payload;
    }
    if (at != bytes || kinds[1] != 1 || kinds[4] != 1 || kinds[2] != counts[0]
        || kinds[3] != counts[1]) {
        kit_fail(__LINE__,
                 "%zu of %zu bytes are whole; %" PRIu64 " records and %" PRIu64
                 " frames, told were %" PRIu64 " and %" PRIu64,
                 at, bytes, kinds[2], kinds[3], counts[0], counts[1]);
    }
}

/* Frames of a drawn beat, which has an imaging area; from the 90th on they are another exam's. */
static void record_beats(int frames, uint64_t counts[2])
{
    const char *path = scratch(frames > 90 ? "two.echorec" : "one.echorec");
    scanner_t scanner = {.pace = ECHOCART_PACE_MAX, .width_px = 320, .height_px = 240,
                         .frames_per_second = 30.0, .frames = frames};
    echocart_session_config_t config = plain_config();
    handles_t handles;

    config.priority = ECHOCART_PRIORITY_INHERIT;
    set_toml(&config, recorder_toml());
    if (scanner_script(&scanner, "exam@90") != 0 || !CREATE(&config, &handles)) {
        return;
    }
    CHECK(scanner_run(&scanner, handles.frames) == 0);
    wait_source_ended(&handles, NULL);
    save_as(&handles, path, counts);
    check_recording(path, counts);
    destroy(&handles);
}

static void recordings(void)
{
    uint64_t one[2] = {0, 0};
    uint64_t two[2] = {0, 0};
    record_beats(90, one);
    record_beats(110, two);
    CHECK(one[0] >= 90 && two[0] >= 20 && two[0] < one[0]);
    kit_note("%" PRIu64 " records and %" PRIu64 " frames; %" PRIu64 " and %" PRIu64
             " after a new exam",
             one[0], one[1], two[0], two[1]);
}

/* Compares every thread of a process with what was asked for. Who watches a worker, and what beats
 * in it, is as the creating thread. */
static int threads_placed(int pid, const cpu_set_t *cpus, int nice)
{
    char path[300];
    struct dirent *task;
    DIR *tasks;
    int seen = 0;
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    tasks = opendir(path);
    while (tasks != NULL && (task = readdir(tasks)) != NULL) {
        int id = atoi(task->d_name);
        char name[32] = "";
        cpu_set_t found;
        FILE *file;
        snprintf(path, sizeof path, "/proc/%d/task/%d/comm", pid, id);
        file = id == 0 || id == (int)getpid() ? NULL : fopen(path, "r");
        if (file == NULL) {
            continue;
        }
        if (fgets(name, sizeof name, file) != NULL && strstr(name, "-keeper") == NULL
            && strstr(name, "-beat") == NULL && sched_getaffinity(id, sizeof found, &found) == 0) {
            int there = getpriority(PRIO_PROCESS, (id_t)id);
            seen += 1;
            if (!CPU_EQUAL(&found, cpus) || there != nice) {
                kit_fail(__LINE__, "thread %s: expected %d CPUs and nice %d, found %d and %d",
                         name, CPU_COUNT(cpus), nice, CPU_COUNT(&found), there);
            }
        }
        fclose(file);
    }
    if (tasks != NULL) {
        closedir(tasks);
    }
    return seen;
}

static void try_placement(echocart_session_config_t *config, const cpu_set_t *cpus, int nice)
{
    echocart_session_info_t info;
    handles_t handles;
    if (!CREATE(config, &handles)) {
        return;
    }
    EXPECT(ECHOCART_OK, echocart_session_info(handles.session, sizeof info, &info));
    CHECK(info.threads == config->threads);
    CHECK(threads_placed((int)getpid(), cpus, nice) >= 2);
    CHECK(child_process() == 0 || threads_placed(child_process(), cpus, nice) >= 1);
    destroy(&handles);
}

static void placed(void)
{
    echocart_session_config_t config = plain_config();
    int nice = getpriority(PRIO_PROCESS, 0);
    cpu_set_t ours;
    cpu_set_t one;
    int last = 0;

    CHECK(sched_getaffinity(0, sizeof ours, &ours) == 0);
    for (int cpu = 0; cpu < 64 * ECHOCART_CPU_SET_WORDS; cpu += 1) {
        last = CPU_ISSET(cpu, &ours) ? cpu : last;
    }
    CPU_ZERO(&one);
    CPU_SET(last, &one);
    config.priority = ECHOCART_PRIORITY_INHERIT;
    config.threads = 3;
    try_placement(&config, &ours, nice);
    config.threads = 1;
    config.cpu_set[last / 64] = UINT64_C(1) << last % 64;
    config.priority = nice > 10 ? ECHOCART_PRIORITY_INHERIT : ECHOCART_PRIORITY_LOW;
    try_placement(&config, &one, nice > 10 ? nice : 10);
    if (CPU_COUNT(&ours) == 1 || nice > 10) {
        kit_note("one CPU, or nice %d: a smaller CPU set or priority LOW not tried", nice);
    }
}

static int files_seen;

static int count_file(const char *path, const struct stat *found, int kind, struct FTW *where)
{
    (void)path;
    (void)found;
    (void)where;
    files_seen += kind == FTW_F;
    return 0;
}

static int files_under(const char *folder)
{
    files_seen = 0;
    nftw(folder, count_file, 8, FTW_PHYS);
    return files_seen;
}

/* A session with a folder for proofs; gives how many files that has afterwards. */
static int proofs_in(const char *folder)
{
    echocart_session_config_t config = plain_config();
    handles_t handles;
    config.priority = ECHOCART_PRIORITY_INHERIT;
    config.cache_dir = folder;
    config.cache_dir_bytes = strlen(folder);
    if (CREATE(&config, &handles)) {
        destroy(&handles);
    }
    return files_under(folder);
}

static void proofs(void)
{
    echocart_session_config_t config = plain_config();
    echocart_self_test_t report;
    char folder[KIT_PATH_BYTES];
    char open_to_all[KIT_PATH_BYTES];

    if (kit_seen(echocart_self_test(&config, sizeof report, &report)) != ECHOCART_OK) {
        kit_note("not tried: the package cannot be proven here");
        return;
    }
    snprintf(folder, sizeof folder, "%s", scratch("cache"));
    snprintf(open_to_all, sizeof open_to_all, "%s", scratch("open"));
    CHECK(mkdir(open_to_all, 0700) == 0 && chmod(open_to_all, 0777) == 0);
    CHECK(proofs_in(folder) > 0);
    CHECK(watched_writes() == 0 || strncmp(watched_written(), folder, strlen(folder)) == 0);
    CHECK(proofs_in(open_to_all) == 0);
}

static int open_files(void)
{
    DIR *files = opendir("/proc/self/fd");
    int count = 0;
    while (files != NULL && readdir(files) != NULL) {
        count += 1;
    }
    if (files != NULL) {
        closedir(files);
    }
    return count;
}

/* No session comes of this, no output is written, and nothing is left. A thread that ends may take
 * a moment to be gone. */
static void fails(int line, uint32_t code, const echocart_session_config_t *config)
{
    static char there[3];
    handles_t handles = {(echocart_session_t *)&there[0], (echocart_frame_port_t *)&there[1],
                         (echocart_result_port_t *)&there[2]};
    int threads = thread_count();
    int files = open_files();
    echocart_session_config_t eager = *config;

    eager.priority = ECHOCART_PRIORITY_INHERIT;
    kit_expect(line, code, echocart_session_create(&eager, &handles.session, &handles.frames,
                                                   &handles.results));
    if ((void *)handles.session != &there[0] || (void *)handles.frames != &there[1]
        || (void *)handles.results != &there[2]) {
        kit_fail(line, "a handle was written without ECHOCART_OK");
    }
    for (int wait = 0; wait < 200; wait += 1) {
        if (thread_count() == threads && child_process() == 0) {
            break;
        }
        nap_millis(10);
    }
    if (thread_count() != threads || open_files() != files || child_process() != 0) {
        kit_fail(line, "left by a create that failed: threads %d, open files %d, process %d",
                 thread_count() - threads, open_files() - files, child_process());
    }
}

#define FAILS(code, config) fails(__LINE__, code, config)

static void nothing_left(void)
{
    char path[KIT_PATH_BYTES];
    echocart_session_config_t config = plain_config();
    echocart_session_config_t broken;
    handles_t handles;

    if (CREATE(&config, &handles)) {
        destroy(&handles);
    }
    broken = config;
    set_toml(&broken, "[engine]\nproviderz = 1\n");
    FAILS(ECHOCART_CONFIG_INVALID, &broken);
    broken = config;
    broken.cpu_set[ECHOCART_CPU_SET_WORDS - 1] = UINT64_C(1) << 63;
    FAILS(ECHOCART_CPU_SET_REFUSED, &broken);
    broken = config_of(scratch("none"), kit.library);
    FAILS(ECHOCART_PACKAGE_UNREADABLE, &broken);
    snprintf(path, sizeof path, "%s", copy_package("broken"));
    broken = config_of(path, kit.library);
    if (swap_golden_clips(path)) {
        FAILS(ECHOCART_SELF_TEST_FAILED, &broken);
    }
    garble_first_graph(path);
    FAILS(ECHOCART_ENGINE_FAILED, &broken);
    flip_a_weight(path);
    FAILS(ECHOCART_PACKAGE_ALTERED, &broken);
    broken = config_of(kit.package, scratch("none"));
    broken.isolation = ECHOCART_ISOLATION_WORKER;
    FAILS(ECHOCART_LIBRARY_MISSING, &broken);
    broken = config;
    broken.isolation = ECHOCART_ISOLATION_WORKER;
    broken.worker_path = path;
    broken.worker_path_bytes = strlen(path);
    FAILS(ECHOCART_WORKER_MISSING, &broken);
    break_threads(1);
    FAILS(ECHOCART_THREAD_FAILED, &config);
    break_threads(0);
}

const rule_t setting_rules[] = {
    {"session.tokens", "no form of an exam token is in the log, a text or a recording", tokens},
    {"session.recordings", "a recording is whole and as told, with nothing of an exam before",
     recordings},
    {"session.placed", "threads have the CPU set, priority and number asked for", placed},
    {"session.proofs", "proofs are kept in the folder given and only there", proofs},
    {"create.nothing_left", "a create that fails leaves nothing behind and writes no handle",
     nothing_left},
    {NULL, NULL, NULL},
};
