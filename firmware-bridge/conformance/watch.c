/* Stands between the library and libc: counts what it must not do, and lets calls fail on demand.
 *
 * The functions below take the place of libc's for the whole process, since the dynamic linker
 * looks into the program first. Counting and failing apply to the calling thread only, except that
 * dlopen fails on every thread, since the library may load on one of its own. */

#define _GNU_SOURCE

#include "kit.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *old, size_t bytes);
extern void *__libc_memalign(size_t alignment, size_t bytes);

static _Thread_local int watching;
static _Thread_local int64_t allocations;
static _Thread_local int64_t waits_before;
static _Thread_local int clock_broken;
static _Thread_local int threads_broken;
static atomic_int dlopen_broken;
static atomic_int sockets;
static atomic_int exits;
static atomic_int environment;
static atomic_int writes_seen;
static atomic_long loading_bytes;
static char last_written[256];
static int (*real_clock)(clockid_t, struct timespec *);

void *malloc(size_t bytes)
{
    allocations += watching;
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    allocations += watching;
    return __libc_calloc(count, bytes);
}

void *realloc(void *old, size_t bytes)
{
    allocations += watching;
    return __libc_realloc(old, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    allocations += watching;
    return __libc_memalign(alignment, bytes);
}

int posix_memalign(void **out, size_t alignment, size_t bytes)
{
    void *made = aligned_alloc(alignment, bytes);
    if (made == NULL) {
        return ENOMEM;
    }
    *out = made;
    return 0;
}

/* libc's reads the clock without a system call, which would be most of what a lease costs. */
int clock_gettime(clockid_t clock, struct timespec *out)
{
    if (clock_broken) {
        errno = EINVAL;
        return -1;
    }
    if (real_clock == NULL) {
        return (int)syscall(SYS_clock_gettime, clock, out);
    }
    return real_clock(clock, out);
}

__attribute__((constructor)) static void find_clock(void)
{
    *(void **)&real_clock = dlsym(RTLD_NEXT, "clock_gettime");
}

static void note_open(const char *path, int flags)
{
    int writes = (flags & (O_WRONLY | O_RDWR | O_CREAT)) != 0;
    if (writes && strncmp(path, "/dev/", 5) != 0 && strncmp(path, "/proc/", 6) != 0) {
        atomic_fetch_add(&writes_seen, 1);
        snprintf(last_written, sizeof last_written, "%s", path);
    }
}

#define OPEN(name)                                                                                 \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        va_list rest;                                                                              \
        mode_t mode = 0;                                                                           \
        if ((flags & O_CREAT) != 0) {                                                              \
            va_start(rest, flags);                                                                 \
            mode = (mode_t)va_arg(rest, int);                                                      \
            va_end(rest);                                                                          \
        }                                                                                          \
        note_open(path, flags);                                                                    \
        return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);                              \
    }
OPEN(open)
OPEN(open64)

int socket(int domain, int type, int protocol)
{
    atomic_fetch_add(&sockets, 1);
    return (int)syscall(SYS_socket, domain, type, protocol);
}

void exit(int code)
{
    void (*real)(int);
    *(void **)&real = dlsym(RTLD_NEXT, "exit");
    atomic_fetch_add(&exits, 1);
    real(code);
    abort();
}

int setenv(const char *name, const char *value, int replace)
{
    int (*real)(const char *, const char *, int);
    *(void **)&real = dlsym(RTLD_NEXT, "setenv");
    atomic_fetch_add(&environment, 1);
    return real(name, value, replace);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                   void *argument)
{
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (threads_broken) {
        return EAGAIN;
    }
    if (real == NULL) {
        *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    }
    return real(thread, attributes, start, argument);
}

/* Also counts what a file prints while it is loaded, by code of its own that runs before its caller can
 * say anything to it. A file that is loaded by another one's code counts once, with that one. */
void *dlopen(const char *file, int flags)
{
    static _Thread_local int loading;
    void *(*real)(const char *, int);
    void *made;
    off_t from;
    *(void **)&real = dlsym(RTLD_NEXT, "dlopen");
    if (atomic_load(&dlopen_broken)) {
        file = "/dev/null";
    }
    from = lseek(2, 0, SEEK_CUR);
    loading += 1;
    made = real(file, flags);
    loading -= 1;
    if (loading == 0) {
        atomic_fetch_add(&loading_bytes, (long)(lseek(2, 0, SEEK_CUR) - from));
    }
    return made;
}

void break_clock(int broken)
{
    clock_broken = broken;
}

void break_threads(int broken)
{
    threads_broken = broken;
}

void break_dlopen(int broken)
{
    atomic_store(&dlopen_broken, broken);
}

static int64_t waits(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nvcsw;
}

/* From here on the thread's allocations and the times it gave the processor away count. */
void watch_begin(void)
{
    allocations = 0;
    waits_before = waits();
    watching = 1;
}

watched_t watch_end(void)
{
    watched_t found;
    watching = 0;
    found.allocations = allocations;
    found.waits = waits() - waits_before;
    return found;
}

int watched_sockets(void)
{
    return atomic_load(&sockets);
}

int watched_exits(void)
{
    return atomic_load(&exits);
}

int watched_environment(void)
{
    return atomic_load(&environment);
}

/* A child process of this one, or 0. */
int child_process(void)
{
    DIR *all = opendir("/proc");
    struct dirent *entry;
    int found = 0;
    if (all == NULL) {
        return 0;
    }
    while (found == 0 && (entry = readdir(all)) != NULL) {
        char path[300];
        char line[512] = "";
        const char *rest;
        int parent = 0;
        FILE *file;
        snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
        file = entry->d_name[0] < '1' || entry->d_name[0] > '9' ? NULL : fopen(path, "r");
        if (file == NULL) {
            continue;
        }
        rest = fgets(line, sizeof line, file) == NULL ? NULL : strrchr(line, ')');
        if (rest != NULL && sscanf(rest, ") %*c %d", &parent) == 1 && parent == (int)getpid()) {
            found = atoi(entry->d_name);
        }
        fclose(file);
    }
    closedir(all);
    return found;
}

/* What went to standard output or error while a file was loaded; only where that is a plain file. */
long watched_loading_bytes(void)
{
    return atomic_load(&loading_bytes);
}

int watched_writes(void)
{
    return atomic_load(&writes_seen);
}

const char *watched_written(void)
{
    return last_written;
}

int thread_count(void)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *task;
    int count = 0;
    if (tasks == NULL) {
        return -1;
    }
    while ((task = readdir(tasks)) != NULL) {
        count += task->d_name[0] != '.';
    }
    closedir(tasks);
    return count;
}
