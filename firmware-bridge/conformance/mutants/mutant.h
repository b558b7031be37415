/* What the parts of the mutant library share. */

#ifndef ECHOCART_MUTANT_H
#define ECHOCART_MUTANT_H

#define _GNU_SOURCE

#include "echocart.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC visibility push(hidden)

/* Whether ECHOCART_MUTANT names this one. */
static inline int is(const char *name)
{
    const char *wanted = getenv("ECHOCART_MUTANT");
    return wanted != NULL && strcmp(wanted, name) == 0;
}

/* The library's own function behind the one that breaks a promise. */
#define REAL(name, ...)                                                                            \
    static uint32_t (*real)(__VA_ARGS__);                                                          \
    if (real == NULL) {                                                                            \
        *(void **)&real = dlsym(RTLD_NEXT, name);                                                  \
    }

void nap_micros(long micros);
void allocate(void);
void disturb(void);
void remember_package(const char *path, uint64_t bytes);
int package_is_gone(void);

#pragma GCC visibility pop

#endif
