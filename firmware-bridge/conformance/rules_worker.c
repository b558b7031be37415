/* The process that inference runs in: where it is found, and what its end does. */

#define _POSIX_C_SOURCE 200809L

#include "kit.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Size of the configuration in ABI 0.1. */
#define CONFIG_BYTES_0_1 offsetof(echocart_session_config_t, worker_path)

static void missing(void)
{
    char path[KIT_PATH_BYTES];
    echocart_session_config_t config = plain_config();
    handles_t handles;

    strncpy(path, scratch("no-worker"), sizeof path - 1);
    path[sizeof path - 1] = 0;
    config.isolation = ECHOCART_ISOLATION_WORKER;
    config.worker_path = path;
    config.worker_path_bytes = strlen(path);
    EXPECT(ECHOCART_WORKER_MISSING, create(&config, &handles));
    CHECK(error_says("no-worker") && handles.session == NULL);
    config.isolation = 3;
    EXPECT(ECHOCART_BAD_ARGUMENT, create(&config, &handles));
}

static void isolations(void)
{
    static const uint32_t BOTH[] = {ECHOCART_ISOLATION_WORKER, ECHOCART_ISOLATION_IN_PROCESS};
    echocart_session_config_t config = plain_config();
    echocart_session_info_t info;
    handles_t handles;

    for (size_t at = 0; at < sizeof BOTH / sizeof *BOTH; at += 1) {
        config.isolation = BOTH[at];
        if (!CREATE(&config, &handles)) {
            return;
        }
        EXPECT(ECHOCART_OK, echocart_session_info(handles.session, sizeof info, &info));
        CHECK(info.isolation == BOTH[at]);
        CHECK((child_process() != 0) == (BOTH[at] == ECHOCART_ISOLATION_WORKER));
        destroy(&handles);
        CHECK(child_process() == 0);
    }
}

static void earlier_size(void)
{
    echocart_session_config_t config = plain_config();
    handles_t handles;

    config.struct_size = CONFIG_BYTES_0_1;
    config.abi_version = ECHOCART_ABI_MAJOR << 16 | 1;
    /* What the earlier struct had not must not be read. */
    memset((char *)&config + CONFIG_BYTES_0_1, 0x5a, sizeof config - CONFIG_BYTES_0_1);
    if (CREATE(&config, &handles)) {
        destroy(&handles);
    }
}

/* The exam that the frames belong to. */
static uint8_t exam = 1;

/* One frame in real pace, then the results so far; tells what they say of the engine. */
typedef struct {
    int down;
    int withheld;
    int ready;
    int values_while_down;
    int numbers;
} seen_t;

static void a_frame(handles_t *handles, int number, seen_t *seen)
{
    static uint8_t pixels[128 * 96];
    echocart_frame_t frame;
    echocart_result_t result;

    memset(&frame, 0, sizeof frame);
    frame.struct_size = sizeof frame;
    frame.format = ECHOCART_PIXEL_GRAY8;
    frame.width_px = 128;
    frame.height_px = 96;
    frame.row_stride_bytes = 128;
    frame.pixels = pixels;
    frame.pixel_bytes = sizeof pixels;
    /* No two pictures are alike: one that comes again is a stored loop. */
    uint64_t noise = (uint64_t)(number + 1) * UINT64_C(0x9E3779B97F4A7C15) | 1;
    for (size_t at = 0; at < sizeof pixels; at += 1) {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        pixels[at] = (uint8_t)(noise >> 24);
    }
    frame.capture_nanos = now_nanos();
    memset(frame.exam_token, exam, sizeof frame.exam_token);
    kit_seen(push(handles, &frame));
    while (poll_result(handles, &result) == ECHOCART_OK) {
        int estimate = result.kind == ECHOCART_RESULT_ESTIMATE;
        int state = result.kind == ECHOCART_RESULT_STATE;
        seen->down += state && result.state == ECHOCART_STATE_ENGINE_DOWN;
        seen->ready += state && result.state == ECHOCART_STATE_ENGINE_READY;
        seen->withheld += estimate && result.view.reason == ECHOCART_REASON_ENGINE_DOWN;
        seen->numbers += estimate && result.raw_view_count > 0;
        seen->values_while_down +=
            estimate && result.raw_view_count > 0 && seen->down > seen->ready;
    }
    nap_millis(20);
}

/* Takes the worker away by a signal and waits until another one serves. */
static void lost_by(int signal)
{
    echocart_session_config_t config = plain_config();
    handles_t handles;
    seen_t seen;
    int64_t from;
    int64_t told = 0;
    int worker;
    int number = 0;

    config.pace = ECHOCART_PACE_REAL;
    config.isolation = ECHOCART_ISOLATION_WORKER;
    if (!CREATE(&config, &handles)) {
        return;
    }
    memset(&seen, 0, sizeof seen);
    while (number < 3000 && seen.numbers == 0) {
        a_frame(&handles, number++, &seen);
    }
    CHECK(seen.numbers > 0 && seen.down == 0);
    worker = child_process();
    CHECK(worker != 0);
    if (worker != 0) {
        memset(&seen, 0, sizeof seen);
        from = now_nanos();
        CHECK(kill(worker, signal) == 0);
        for (int last = number + 3000; number < last && !(seen.ready && seen.numbers); number += 1) {
            a_frame(&handles, number, &seen);
            told = told == 0 && seen.withheld ? now_nanos() - from : told;
        }
        CHECK(seen.down == 1 && seen.withheld > 0 && seen.ready == 1 && seen.numbers > 0);
        CHECK(seen.values_while_down == 0);
        CHECK(child_process() != 0 && child_process() != worker);
        kit_note("ENGINE_DOWN after %" PRId64 " ms", told / 1000000);
    }
    destroy(&handles);
    CHECK(child_process() == 0);
}

static void killed(void)
{
    lost_by(SIGKILL);
}

static void stopped(void)
{
    lost_by(SIGSTOP);
}

/* Pushes frames until there is a worker, or none, for so many of them at most. */
static int frames_until(handles_t *handles, int there, int most)
{
    static int number;
    seen_t seen = {0};
    for (int at = 0; at < most && (child_process() != 0) != there; at += 1) {
        a_frame(handles, number++, &seen);
    }
    return (child_process() != 0) == there;
}

/* Two are replaced, the third is not until another exam begins. */
static void gives_up(void)
{
    echocart_session_config_t config = plain_config();
    handles_t handles;

    config.pace = ECHOCART_PACE_REAL;
    config.isolation = ECHOCART_ISOLATION_WORKER;
    config.priority = ECHOCART_PRIORITY_INHERIT;
    if (!CREATE(&config, &handles)) {
        return;
    }
    for (int death = 0; death < 3; death += 1) {
        int worker = child_process();
        CHECK(worker != 0 && kill(worker, SIGKILL) == 0);
        CHECK(frames_until(&handles, 0, 400));
        CHECK(frames_until(&handles, 1, death < 2 ? 3000 : 150) == (death < 2));
    }
    exam += 1;
    CHECK(frames_until(&handles, 1, 3000));
    destroy(&handles);
}

/* Whether a process group has a process besides the one it is named after. */
static int has_others(int group)
{
    DIR *all = opendir("/proc");
    struct dirent *entry;
    int found = 0;
    while (all != NULL && !found && (entry = readdir(all)) != NULL) {
        int pid = atoi(entry->d_name);
        found = pid > 0 && pid != group && getpgid(pid) == group;
    }
    if (all != NULL) {
        closedir(all);
    }
    return found;
}

/* Whether the only process of a group is one that nobody has waited for yet. */
static int is_dead(int pid)
{
    char path[64];
    char line[512] = "";
    char state = 0;
    const char *rest;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    file = fopen(path, "r");
    rest = file == NULL || fgets(line, sizeof line, file) == NULL ? NULL : strrchr(line, ')');
    if (file != NULL) {
        fclose(file);
    }
    return rest != NULL && sscanf(rest, ") %c", &state) == 1 && state == 'Z' && !has_others(pid);
}

/* Makes a session, tells its worker, and is never heard of again. */
static void lost_host(int told)
{
    echocart_session_config_t config = plain_config();
    handles_t handles;
    int worker = 0;

    config.isolation = ECHOCART_ISOLATION_WORKER;
    if (create(&config, &handles) == ECHOCART_OK) {
        worker = child_process();
    }
    if (write(told, &worker, sizeof worker) == (ssize_t)sizeof worker) {
        pause();
    }
    _exit(2);
}

/* The worker has a process group of its own, in which nothing is left. */
static void host_killed(void)
{
    int ends[2] = {-1, -1};
    int worker = 0;
    pid_t host;

    CHECK(pipe(ends) == 0);
    host = fork();
    if (host == 0) {
        lost_host(ends[1]);
    }
    CHECK(host > 0 && read(ends[0], &worker, sizeof worker) == (ssize_t)sizeof worker);
    CHECK(worker > 0 && kill(-worker, 0) == 0);
    CHECK(kill(host, SIGKILL) == 0 && waitpid(host, NULL, 0) == host);
    for (int wait = 0; wait < 3000 && worker > 0 && kill(-worker, 0) == 0 && !is_dead(worker);
         wait += 1) {
        nap_millis(10);
    }
    CHECK(worker > 0 && (kill(-worker, 0) != 0 || is_dead(worker)));
}

/* A host that lets nobody wait for its children. */
static void reaped(void)
{
    echocart_session_config_t config = plain_config();
    handles_t handles;

    config.isolation = ECHOCART_ISOLATION_WORKER;
    CHECK(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
    if (CREATE(&config, &handles)) {
        echocart_session_info_t info;
        CHECK(waitpid(-1, NULL, WNOHANG) == 0);
        EXPECT(ECHOCART_OK, echocart_session_info(handles.session, sizeof info, &info));
        CHECK(info.isolation == ECHOCART_ISOLATION_WORKER);
        destroy(&handles);
    }
    CHECK(waitpid(-1, NULL, WNOHANG) == -1);
}

const rule_t worker_rules[] = {
    {"worker.missing", "without echocart-worker there is no session, and it is named", missing},
    {"worker.isolation", "a session runs where it was asked to, and leaves no process", isolations},
    {"worker.earlier_size", "the configuration of ABI 0.1 is taken as it was", earlier_size},
    {"worker.killed", "a killed worker is ENGINE_DOWN at once and is replaced by itself", killed},
    {"worker.stopped", "so is one that is stopped and says nothing any more", stopped},
    {"worker.gives_up", "after three failures it stays off until another exam begins", gives_up},
    {"worker.host_killed", "a worker ends with its host, however that ends", host_killed},
    {"worker.reaped", "a host may ignore SIGCHLD, and no child of the session is left", reaped},
    {NULL, NULL, NULL},
};
