/* What a session and its worker leave or take: memory, files, sockets, processes. */

#define _GNU_SOURCE

#include "kit.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define WIDTH 96
#define HEIGHT 80
#define STEP INT64_C(33333333)
#define NAMES_MAX 256
#define MIB ((int64_t)1 << 20)

static uint8_t pixels[WIDTH * HEIGHT];

static echocart_frame_t frame_at(int64_t number)
{
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
    return frame;
}

static void push_frames(handles_t *handles, int first, int end)
{
    for (int at = first; at < end; at += 1) {
        echocart_frame_t frame = frame_at(at);
        EXPECT(ECHOCART_OK, push_patiently(handles, &frame));
    }
}

static int64_t resident_bytes(void)
{
    long long whole = 0;
    long long resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%lld %lld", &whole, &resident) != 2) {
        kit_fail(__LINE__, "the system does not tell the memory of this process");
    }
    if (file != NULL) {
        fclose(file);
    }
    return (int64_t)resident * sysconf(_SC_PAGESIZE);
}

/* Proofs are kept, so that golden clips do not run each time. The lowest priority would take long
 * on a busy machine. */
static void one_after_another(const char *proofs, int sessions)
{
    for (int at = 0; at < sessions; at += 1) {
        echocart_session_config_t config = plain_config();
        handles_t handles;
        config.priority = ECHOCART_PRIORITY_INHERIT;
        /* In this process ONNX Runtime keeps what it frees, some 40 MB, and that is not ours. */
        config.isolation = ECHOCART_ISOLATION_WORKER;
        config.cache_dir = proofs;
        config.cache_dir_bytes = strlen(proofs);
        if (!CREATE(&config, &handles)) {
            return;
        }
        push_frames(&handles, 0, 5);
        destroy(&handles);
    }
}

static int64_t poll_often(handles_t *handles, int times)
{
    echocart_result_t result;
    for (int at = 0; at < times; at += 1) {
        echocart_result_poll(handles->results, sizeof result, &result);
    }
    return resident_bytes();
}

/* What a freed block leaves behind in the allocator is not a leak: hence the first few. */
static void no_leaks(void)
{
    const char *proofs = scratch("proofs");
    echocart_session_config_t config = plain_config();
    handles_t handles;
    int64_t grown[2];

    one_after_another(proofs, 2);
    grown[0] = resident_bytes();
    one_after_another(proofs, 8);
    grown[0] = resident_bytes() - grown[0];
    if (!CREATE(&config, &handles)) {
        return;
    }
    grown[1] = poll_often(&handles, 1000);
    grown[1] = poll_often(&handles, 20000) - grown[1];
    destroy(&handles);
    kit_note("8 sessions: %" PRId64 " KiB more, 20000 polls: %" PRId64 " KiB", grown[0] / 1024,
             grown[1] / 1024);
    CHECK(grown[0] < 32 * MIB && grown[1] < 16 * MIB);
}

/* Names that something made or closed after writing. */
typedef struct {
    char names[NAMES_MAX][64];
    int count;
} written_t;

static int has_name(const written_t *written, const char *name)
{
    for (int at = 0; at < written->count; at += 1) {
        if (strncmp(written->names[at], name, sizeof written->names[at] - 1) == 0) {
            return 1;
        }
    }
    return 0;
}

static void read_names(int watch, written_t *written)
{
    static char room[1 << 16] __attribute__((aligned(8)));
    ssize_t bytes;
    while ((bytes = read(watch, room, sizeof room)) > 0) {
        for (char *at = room; at < room + bytes;) {
            const struct inotify_event *event = (const struct inotify_event *)at;
            const char *name = event->len > 0 ? event->name : "";
            if (name[0] != 0 && written->count < NAMES_MAX && !has_name(written, name)) {
                snprintf(written->names[written->count++], 64, "%.63s", name);
            }
            at += sizeof *event + event->len;
        }
    }
}

static void session_with_frames(void)
{
    echocart_session_config_t config = plain_config();
    handles_t handles;
    config.priority = ECHOCART_PRIORITY_INHERIT;
    if (CREATE(&config, &handles)) {
        push_frames(&handles, 0, 40);
        wait_source_ended(&handles, NULL);
        destroy(&handles);
    }
}

/* Other programs write there as well: what a session or its worker writes comes with every session
 * and not without one. */
static void no_traces(void)
{
    static const char *const FOLDERS[] = {"/tmp", "/dev/shm", "/var/tmp", "."};
    static written_t written[4];
    int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    int before = watched_made();

    if (watch < 0) {
        kit_note("the system watches no folder: files of the worker are not seen");
    }
    for (size_t at = 0; at < sizeof FOLDERS / sizeof *FOLDERS; at += 1) {
        inotify_add_watch(watch, FOLDERS[at], IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO);
    }
    for (int turn = 0; turn < 3; turn += 1) {
        session_with_frames();
        read_names(watch, &written[turn]);
    }
    nap_millis(1000);
    read_names(watch, &written[3]);
    close(watch);
    for (int at = 0; at < written[0].count; at += 1) {
        const char *name = written[0].names[at];
        if (has_name(&written[1], name) && has_name(&written[2], name)
            && !has_name(&written[3], name)) {
            kit_fail(__LINE__, "with every session a file is written: %s", name);
        }
    }
    if (watched_made() != before) {
        kit_fail(__LINE__, "%d files or folders were made, the last %s", watched_made() - before,
                 watched_last_made());
    }
}

/* Whether an inode is that of a socket with an address: a line of TCP's or UDP's tables. */
static int has_address(int pid, unsigned long inode)
{
    static const char *const TABLES[] = {"tcp", "tcp6", "udp", "udp6"};
    int found = 0;
    for (int table = 0; table < 4 && !found; table += 1) {
        char path[64];
        char line[512];
        FILE *file;
        snprintf(path, sizeof path, "/proc/%d/net/%s", pid, TABLES[table]);
        file = fopen(path, "r");
        while (file != NULL && !found && fgets(line, sizeof line, file) != NULL) {
            unsigned long there = 0;
            found = sscanf(line, "%*s %*s %*s %*s %*s %*s %*s %*s %*s %lu", &there) == 1
                    && there == inode;
        }
        if (file != NULL) {
            fclose(file);
        }
    }
    return found;
}

/* Descriptors of a process that are sockets with an address. */
static int sockets_with_address(int pid)
{
    char path[400];
    char target[128];
    struct dirent *entry;
    DIR *files;
    int found = 0;

    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    files = opendir(path);
    CHECK(files != NULL);
    while (files != NULL && (entry = readdir(files)) != NULL) {
        unsigned long inode = 0;
        ssize_t bytes;
        snprintf(path, sizeof path, "/proc/%d/fd/%s", pid, entry->d_name);
        bytes = readlink(path, target, sizeof target - 1);
        target[bytes < 0 ? 0 : bytes] = 0;
        found += sscanf(target, "socket:[%lu]", &inode) == 1 && has_address(pid, inode);
    }
    if (files != NULL) {
        closedir(files);
    }
    return found;
}

/* A child of any thread of a process, or 0; nothing where the system does not tell. */
static int child_of(int pid)
{
    char path[400];
    struct dirent *task;
    DIR *tasks;
    int child = 0;

    snprintf(path, sizeof path, "/proc/%d/task", pid);
    tasks = opendir(path);
    while (tasks != NULL && child == 0 && (task = readdir(tasks)) != NULL) {
        FILE *file;
        snprintf(path, sizeof path, "/proc/%d/task/%s/children", pid, task->d_name);
        file = task->d_name[0] == '.' ? NULL : fopen(path, "r");
        if (file != NULL && fscanf(file, "%d", &child) != 1) {
            child = 0;
        }
        if (file != NULL) {
            fclose(file);
        }
    }
    if (tasks != NULL) {
        closedir(tasks);
    }
    return child;
}

static void worker_alone(void)
{
    echocart_session_config_t config = plain_config();
    handles_t handles;
    int worker;

    config.isolation = ECHOCART_ISOLATION_WORKER;
    if (!CREATE(&config, &handles)) {
        return;
    }
    push_frames(&handles, 0, 30);
    worker = child_process();
    CHECK(worker != 0);
    if (worker != 0) {
        CHECK(sockets_with_address(worker) == 0);
        CHECK(child_of(worker) == 0);
        if (child_of((int)getpid()) != worker) {
            kit_note("the system does not tell children: those of the worker are not known");
        }
    }
    destroy(&handles);
}

const rule_t trace_rules[] = {
    {"process.memory", "memory does not grow with sessions nor with polls", no_leaks},
    {"process.traces", "no file or folder is made, by a session or by its worker", no_traces},
    {"process.worker", "a worker has no socket with an address and no child", worker_alone},
    {NULL, NULL, NULL},
};
