/* What a host may do around a session: fork, unload, take the package away, run in real time. */

#define _GNU_SOURCE

#include "kit.h"

#include <dirent.h>
#include <fcntl.h>
#include <link.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WIDTH 128
#define HEIGHT 96
#define FRAME_NANOS 33333333

static int estimates;

static void count_estimate(const echocart_result_t *result)
{
    estimates += result->kind == ECHOCART_RESULT_ESTIMATE && result->raw_view_count > 0;
}

static int push_frames(handles_t *handles, int first, int end)
{
    static uint8_t pixels[WIDTH * HEIGHT];
    for (int at = first; at < end; at += 1) {
        echocart_frame_t frame;
        memset(&frame, 0, sizeof frame);
        frame.struct_size = sizeof frame;
        frame.format = ECHOCART_PIXEL_GRAY8;
        frame.width_px = WIDTH;
        frame.height_px = HEIGHT;
        frame.row_stride_bytes = WIDTH;
        frame.pixels = pixels;
        frame.pixel_bytes = sizeof pixels;
        frame.capture_nanos = (int64_t)at * FRAME_NANOS;
        for (size_t byte = 0; byte < sizeof pixels; byte += 1) {
            pixels[byte] = (uint8_t)((byte + (size_t)at) * 2654435761u >> 13);
        }
        if (EXPECT(ECHOCART_OK, push_patiently(handles, &frame)) != ECHOCART_OK) {
            return 0;
        }
    }
    return 1;
}

static void child(const char *program)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        if (program != NULL) {
            execl(program, program, (char *)NULL);
        }
        _exit(program == NULL ? 0 : 2);
    }
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void forks(void)
{
    echocart_session_config_t config = plain_config();
    handles_t handles;
    if (!CREATE(&config, &handles)) {
        return;
    }
    estimates = 0;
    if (push_frames(&handles, 0, 60)) {
        child(NULL);
        child("/bin/true");
        push_frames(&handles, 60, 120);
        wait_source_ended(&handles, count_estimate);
        CHECK(estimates > 3);
    }
    destroy(&handles);
}

typedef struct {
    int found;
    int stays;
} unload_t;

static int look(struct dl_phdr_info *library, size_t bytes, void *data)
{
    unload_t *unload = (unload_t *)data;
    (void)bytes;
    if (library->dlpi_name == NULL || strstr(library->dlpi_name, "libechocart") == NULL) {
        return 0;
    }
    unload->found += 1;
    for (int at = 0; at < library->dlpi_phnum; at += 1) {
        const ElfW(Phdr) *part = &library->dlpi_phdr[at];
        const ElfW(Dyn) *entry = (const ElfW(Dyn) *)(library->dlpi_addr + part->p_vaddr);
        while (part->p_type == PT_DYNAMIC && entry->d_tag != DT_NULL) {
            unload->stays |= entry->d_tag == DT_FLAGS_1 && (entry->d_un.d_val & DF_1_NODELETE) != 0;
            entry += 1;
        }
    }
    return 0;
}

static void stays_loaded(void)
{
    unload_t unload = {0, 0};
    dl_iterate_phdr(look, &unload);
    if (unload.found == 0) {
        kit_note("the library is linked statically: nothing to unload");
        return;
    }
    CHECK(unload.stays);
}

/* Names in a library's dynamic table: what it needs, and what it gives. */
typedef struct {
    int found;
    int given;
    int foreign;
    int needed;
} named_t;

static int is_foreign(const char *name)
{
    return strncmp(name, "echocart_", 9) != 0 && strcmp(name, "ECHOCART_0") != 0;
}

static int is_known(const char *library)
{
    static const char *const KNOWN[] = {"libc.so",  "libm.so",       "libgcc_s.so", "libdl.so",
                                        "librt.so", "libpthread.so", "ld-linux"};
    for (size_t at = 0; at < sizeof KNOWN / sizeof *KNOWN; at += 1) {
        if (strncmp(library, KNOWN[at], strlen(KNOWN[at])) == 0) {
            return 1;
        }
    }
    return 0;
}

/* Looks at the names that others can find: those of the hash table, from its first symbol to its last. */
static void read_given(const uint32_t *hash, const ElfW(Sym) *symbols, const char *names,
                       named_t *named)
{
    const uint32_t *buckets = (const uint32_t *)((const ElfW(Addr) *)(hash + 4) + hash[2]);
    const uint32_t *chain = buckets + hash[0];
    uint32_t last = 0;

    for (uint32_t at = 0; at < hash[0]; at += 1) {
        last = buckets[at] > last ? buckets[at] : last;
    }
    while (last >= hash[1] && (chain[last - hash[1]] & 1) == 0) {
        last += 1;
    }
    for (uint32_t at = hash[1]; at <= last; at += 1) {
        const char *name = names + symbols[at].st_name;
        named->given += 1;
        if (is_foreign(name)) {
            named->foreign += 1;
            if (named->foreign == 1) {
                kit_note("exports %s", name);
            }
        }
    }
}

static void read_names(const ElfW(Dyn) *first, named_t *named)
{
    const ElfW(Sym) *symbols = NULL;
    const uint32_t *hash = NULL;
    const char *names = NULL;

    for (const ElfW(Dyn) *entry = first; entry->d_tag != DT_NULL; entry += 1) {
        if (entry->d_tag == DT_SYMTAB) {
            symbols = (const ElfW(Sym) *)entry->d_un.d_ptr;
        } else if (entry->d_tag == DT_STRTAB) {
            names = (const char *)entry->d_un.d_ptr;
        } else if (entry->d_tag == DT_GNU_HASH) {
            hash = (const uint32_t *)entry->d_un.d_ptr;
        }
    }
    if (symbols == NULL || names == NULL || hash == NULL) {
        kit_note("the library has no GNU hash table: its names are not looked at");
        return;
    }
    for (const ElfW(Dyn) *entry = first; entry->d_tag != DT_NULL; entry += 1) {
        if (entry->d_tag == DT_NEEDED && !is_known(names + entry->d_un.d_val)) {
            named->needed += 1;
            kit_note("needs %s", names + entry->d_un.d_val);
        }
    }
    read_given(hash, symbols, names, named);
}

static int look_at_names(struct dl_phdr_info *library, size_t bytes, void *data)
{
    named_t *named = (named_t *)data;
    (void)bytes;
    if (library->dlpi_name == NULL || strstr(library->dlpi_name, "libechocart.so") == NULL) {
        return 0;
    }
    named->found += 1;
    for (int at = 0; at < library->dlpi_phnum; at += 1) {
        if (library->dlpi_phdr[at].p_type == PT_DYNAMIC) {
            read_names((const ElfW(Dyn) *)(library->dlpi_addr + library->dlpi_phdr[at].p_vaddr),
                       named);
        }
    }
    return 0;
}

static void names(void)
{
    named_t named = {0};
    dl_iterate_phdr(look_at_names, &named);
    if (named.found == 0) {
        kit_note("the library is linked statically: it exports nothing by itself");
        return;
    }
    CHECK(named.foreign == 0 && named.needed == 0 && (named.given == 0 || named.given >= 20));
}

static void no_files(void)
{
    echocart_session_config_t config = plain_config();
    handles_t handles;
    int before = watched_writes();
    if (!CREATE(&config, &handles)) {
        return;
    }
    push_frames(&handles, 0, 70);
    destroy(&handles);
    if (watched_writes() != before) {
        kit_fail(__LINE__, "%d files were opened to be written, the last %s",
                 watched_writes() - before, watched_written());
    }
}

/* Reads the name, nice value and scheduling policy of a thread of a process. */
static int read_thread(int pid, const char *id, char *name, size_t bytes, int *nice, int *policy)
{
    char path[64];
    char line[512];
    FILE *file;
    char *end;
    int fields[39] = {0};

    snprintf(path, sizeof path, "/proc/%d/task/%.20s/stat", pid, id);
    file = fopen(path, "r");
    if (file == NULL || fgets(line, sizeof line, file) == NULL) {
        if (file != NULL) {
            fclose(file);
        }
        return 0;
    }
    fclose(file);
    end = strrchr(line, ')');
    if (end == NULL) {
        return 0;
    }
    *end = 0;
    snprintf(name, bytes, "%s", strchr(line, '(') + 1);
    end = strtok(end + 2, " ");
    for (int at = 0; at < 39 && end != NULL; at += 1) {
        fields[at] = atoi(end);
        end = strtok(NULL, " ");
    }
    *nice = fields[16];
    *policy = fields[38];
    return 1;
}

/* Counts the threads of a process whose names begin so; all but `but` must have the lowest priority. */
static int lowest_of(int pid, const char *begins, const char *but)
{
    char path[64];
    DIR *tasks;
    struct dirent *task;
    int seen = 0;

    snprintf(path, sizeof path, "/proc/%d/task", pid);
    tasks = opendir(path);
    while (tasks != NULL && (task = readdir(tasks)) != NULL) {
        char name[32];
        int nice = 0;
        int policy = 0;
        if (task->d_name[0] == '.' || atoi(task->d_name) == (int)getpid()
            || !read_thread(pid, task->d_name, name, sizeof name, &nice, &policy)
            || strcmp(name, but) == 0) {
            continue;
        }
        seen += strncmp(name, begins, strlen(begins)) == 0;
        if (nice != 19 || policy != SCHED_OTHER) {
            kit_fail(__LINE__, "thread %s: expected nice 19 and policy %d, found %d and %d", name,
                     SCHED_OTHER, nice, policy);
        }
    }
    if (tasks != NULL) {
        closedir(tasks);
    }
    return seen;
}

/* The creating thread has another policy, as the thread of a scanner's images has. Who watches a
 * worker, and what beats in it, has it too: they must run in time. */
static void lowest(void)
{
    struct sched_param none = {0};
    echocart_session_config_t config = plain_config();
    handles_t handles;

    CHECK(sched_setscheduler(0, SCHED_BATCH, &none) == 0);
    if (!CREATE(&config, &handles)) {
        return;
    }
    CHECK(lowest_of((int)getpid(), "echocart-", "echocart-keeper") >= 2);
    if (child_process() != 0) {
        CHECK(lowest_of(child_process(), "echocart-worker", "echocart-beat") >= 1);
    }
    destroy(&handles);
}

/* What a thread of this process blocks; 0 for one that is gone. */
static int read_blocked(const char *id, uint64_t *signals)
{
    char path[64];
    char line[256];
    unsigned long long blocked = 0;
    int found = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/self/task/%.20s/status", id);
    file = fopen(path, "r");
    while (file != NULL && !found && fgets(line, sizeof line, file) != NULL) {
        found = sscanf(line, "SigBlk: %llx", &blocked) == 1;
    }
    if (file != NULL) {
        fclose(file);
    }
    *signals = blocked;
    return found;
}

static int has(uint64_t signals, int signal)
{
    return (signals >> (signal - 1) & 1) == 1;
}

/* Which signals the threads of the library leave to the host's own. A thread that has not run yet, or
 * is about to end, has all of them blocked. */
static void signals(void)
{
    echocart_session_config_t config = plain_config();
    handles_t handles;
    DIR *tasks;
    struct dirent *task;
    int seen = 0;

    if (!CREATE(&config, &handles)) {
        return;
    }
    tasks = opendir("/proc/self/task");
    while (tasks != NULL && (task = readdir(tasks)) != NULL) {
        uint64_t blocked = 0;
        int there;
        if (task->d_name[0] == '.' || atoi(task->d_name) == (int)getpid()) {
            continue;
        }
        there = read_blocked(task->d_name, &blocked);
        for (int wait = 0; wait < 3000 && there && has(blocked, SIGSEGV); wait += 1) {
            nap_millis(10);
            there = read_blocked(task->d_name, &blocked);
        }
        seen += there;
        if (there && (!has(blocked, SIGUSR1) || has(blocked, SIGSEGV))) {
            kit_fail(__LINE__, "thread %.20s: expected SIGUSR1 blocked and SIGSEGV not, found %" PRIx64,
                     task->d_name, blocked);
        }
    }
    if (tasks != NULL) {
        closedir(tasks);
    }
    CHECK(seen >= 2);
    destroy(&handles);
}

/* A worker has nothing of what the host has open. */
static void descriptors(void)
{
    echocart_session_config_t config = plain_config();
    handles_t handles;
    int ends[2] = {-1, -1};
    char path[64];
    struct stat ours;
    DIR *open_there;
    struct dirent *entry;
    int seen = 0;

    config.isolation = ECHOCART_ISOLATION_WORKER;
    CHECK(pipe(ends) == 0 && fstat(ends[0], &ours) == 0);
    if (CREATE(&config, &handles)) {
        snprintf(path, sizeof path, "/proc/%d/fd", child_process());
        open_there = opendir(path);
        while (open_there != NULL && (entry = readdir(open_there)) != NULL) {
            struct stat theirs;
            if (fstatat(dirfd(open_there), entry->d_name, &theirs, 0) == 0) {
                seen += 1;
                CHECK(theirs.st_ino != ours.st_ino || theirs.st_dev != ours.st_dev);
            }
        }
        if (open_there != NULL) {
            closedir(open_there);
        }
        CHECK(seen > 3);
        CHECK(getpgid(child_process()) == child_process());
        destroy(&handles);
    }
    close(ends[0]);
    close(ends[1]);
}

static int64_t processor_nanos(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void quiet(void)
{
    echocart_session_config_t config = plain_config();
    handles_t handles;
    int64_t used;
    config.pace = ECHOCART_PACE_REAL;
    if (!CREATE(&config, &handles)) {
        return;
    }
    used = processor_nanos();
    nap_millis(2000);
    used = processor_nanos() - used;
    kit_note("2 s without a frame took %" PRId64 " us of processor time", used / 1000);
    if (used > 100000000) {
        kit_fail(__LINE__, "something spins: %" PRId64 " ms of processor time in 2 s", used / 1000000);
    }
    destroy(&handles);
}

static void package_removed(void)
{
    echocart_session_config_t config = config_of(copy_package("removed"), kit.library);
    handles_t handles;
    if (!CREATE(&config, &handles)) {
        return;
    }
    estimates = 0;
    if (push_frames(&handles, 0, 60)) {
        remove_scratch();
        push_frames(&handles, 60, 120);
        wait_source_ended(&handles, count_estimate);
        CHECK(estimates > 3);
    }
    destroy(&handles);
}

const rule_t host_rules[] = {
    {"process.fork", "a fork, with exec or without, disturbs neither the session nor the child", forks},
    {"process.unload", "dlclose does not unload the library", stays_loaded},
    {"process.names", "the library exports echocart_* only and needs the C library only", names},
    {"process.files", "no file is written", no_files},
    {"session.lowest", "threads have the lowest priority, whatever the creating thread has", lowest},
    {"process.signal_mask", "the library's threads leave a host's signals to the host's threads", signals},
    {"process.descriptors", "a worker has no descriptor of the host's", descriptors},
    {"session.quiet", "a session without frames lets the processor sleep", quiet},
    {"session.package_removed", "a package that goes away while a session runs changes nothing",
     package_removed},
    {NULL, NULL, NULL},
};
