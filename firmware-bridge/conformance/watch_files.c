/* Stands before libc's functions that make files other than by open, which watch.c sees. */

#define _GNU_SOURCE

#include "kit.h"

#include <dlfcn.h>
#include <stdio.h>
#include <sys/stat.h>

static int made;
static char last_made[256];

static void note_made(const char *path, int makes)
{
    if (makes) {
        __atomic_fetch_add(&made, 1, __ATOMIC_RELAXED);
        snprintf(last_made, sizeof last_made, "%s", path);
    }
}

#define MADE(type, name, makes, parameters, ...)                                                  \
    type name parameters                                                                          \
    {                                                                                             \
        type(*real) parameters;                                                                   \
        *(void **)&real = dlsym(RTLD_NEXT, #name);                                                \
        note_made(path, makes);                                                                   \
        return real(__VA_ARGS__);                                                                 \
    }
#define WRITES (mode[0] != 'r' || mode[1] == '+')
MADE(FILE *, fopen, WRITES, (const char *path, const char *mode), path, mode)
MADE(FILE *, fopen64, WRITES, (const char *path, const char *mode), path, mode)
MADE(int, mkdir, 1, (const char *path, mode_t mode), path, mode)
MADE(int, shm_open, flags != 0, (const char *path, int flags, mode_t mode), path, flags, mode)

int watched_made(void)
{
    return __atomic_load_n(&made, __ATOMIC_RELAXED);
}

const char *watched_last_made(void)
{
    return last_made;
}
