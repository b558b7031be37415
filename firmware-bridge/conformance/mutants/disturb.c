/* Mutants that break what the library promises of the process around it. */

#include "mutant.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char package[1024];

static void *idle(void *unused)
{
    (void)unused;
    for (;;) {
        pause();
    }
    return NULL;
}

static void *spin(void *unused)
{
    for (volatile int64_t at = 0; at >= 0; at += 1) {
    }
    return unused;
}

void nap_micros(long micros)
{
    struct timespec wait = {0, micros * 1000};
    nanosleep(&wait, NULL);
}

void allocate(void)
{
    void *volatile block = malloc(64);
    free(block);
}

/* What a session must not do to its process. */
void disturb(void)
{
    pthread_t thread;
    if (is("leaves_thread") && pthread_create(&thread, NULL, idle, NULL) == 0) {
        pthread_detach(thread);
    }
    if (is("spins") && pthread_create(&thread, NULL, spin, NULL) == 0) {
        pthread_detach(thread);
    }
    if (is("leaves_child") && fork() == 0) {
        sleep(5);
        _exit(0);
    }
    if (is("breaks_forks")) {
        pthread_atfork(NULL, NULL, abort);
    }
    if (is("writes_file")) {
        close(open("/tmp/echocart-mutant", O_CREAT | O_WRONLY, 0600));
        unlink("/tmp/echocart-mutant");
    }
    if (is("installs_signal")) {
        signal(SIGUSR1, SIG_IGN);
    }
    if (is("sets_environment")) {
        setenv("ECHOCART_WAS_HERE", "1", 1);
    }
    if (is("opens_socket")) {
        close(socket(AF_UNIX, SOCK_STREAM, 0));
    }
    if (is("prints")) {
        fputs("hello from the library\n", stderr);
    }
    if (is("leaves_file")) {
        (void)!dup(1);
    }
    if (is("exits")) {
        exit(0);
    }
    if (is("crashes")) {
        raise(SIGSEGV);
    }
}

/* Prints as ONNX Runtime does on a processor of a vendor that it does not know. No promise is broken. */
void *dlopen(const char *file, int flags)
{
    void *(*real)(const char *, int);
    *(void **)&real = dlsym(RTLD_NEXT, "dlopen");
    if (is("warns_while_loaded")) {
        fputs("onnxruntime cpuid_info warning\n", stderr);
    }
    return real(file, flags);
}

void remember_package(const char *path, uint64_t bytes)
{
    if (path != NULL && bytes < sizeof package) {
        memcpy(package, path, (size_t)bytes);
        package[bytes] = 0;
    }
}

int package_is_gone(void)
{
    return access(package, F_OK) != 0;
}

typedef int (*visit_t)(struct dl_phdr_info *, size_t, void *);

typedef struct {
    visit_t visit;
    void *data;
} hidden_t;

/* Shows a library without what keeps it mapped. */
static int hide(struct dl_phdr_info *library, size_t bytes, void *data)
{
    hidden_t *hidden = (hidden_t *)data;
    struct dl_phdr_info shown = *library;
    if (shown.dlpi_name != NULL && strstr(shown.dlpi_name, "libechocart") != NULL) {
        shown.dlpi_phnum = 0;
    }
    return hidden->visit(&shown, bytes, hidden->data);
}

/* Shows the C library as this one. */
static int rename_libc(struct dl_phdr_info *library, size_t bytes, void *data)
{
    hidden_t *hidden = (hidden_t *)data;
    struct dl_phdr_info shown = *library;
    if (shown.dlpi_name != NULL && strstr(shown.dlpi_name, "/libc.so") != NULL) {
        shown.dlpi_name = "libechocart.so";
    }
    return hidden->visit(&shown, bytes, hidden->data);
}

int dl_iterate_phdr(visit_t visit, void *data)
{
    static int (*real)(visit_t, void *);
    hidden_t hidden = {visit, data};
    if (real == NULL) {
        *(void **)&real = dlsym(RTLD_NEXT, "dl_iterate_phdr");
    }
    if (is("exports_more")) {
        return real(rename_libc, &hidden);
    }
    return is("can_be_unloaded") ? real(hide, &hidden) : real(visit, data);
}

/* A thread keeps the policy of the one that made it. Workers load this library as well. */
int sched_setscheduler(pid_t pid, int policy, const struct sched_param *param)
{
    int (*real)(pid_t, int, const struct sched_param *);
    *(void **)&real = dlsym(RTLD_NEXT, "sched_setscheduler");
    return policy == SCHED_OTHER && is("policy_kept") ? 0 : real(pid, policy, param);
}

int pthread_sigmask(int how, const sigset_t *set, sigset_t *before)
{
    int (*real)(int, const sigset_t *, sigset_t *);
    *(void **)&real = dlsym(RTLD_NEXT, "pthread_sigmask");
    return how == SIG_BLOCK && is("signals_taken") ? 0 : real(how, set, before);
}

int close_range(unsigned first, unsigned last, int flags)
{
    int (*real)(unsigned, unsigned, int);
    *(void **)&real = dlsym(RTLD_NEXT, "close_range");
    return is("descriptors_kept") ? 0 : real(first, last, flags);
}

/* In a worker, whose name tells it: a child of it that stays a while. */
__attribute__((constructor)) static void in_the_worker(void)
{
    if (is("leaves_grandchild") && strcmp(program_invocation_short_name, "echocart-worker") == 0
        && fork() == 0) {
        sleep(60);
        _exit(0);
    }
}
