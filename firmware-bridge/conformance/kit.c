/* Runs every rule in a process of its own and writes the report.
 *
 * A rule that crashes, exits, hangs or prints is a broken rule, not a broken kit. */

#define _GNU_SOURCE

#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RULE_SECONDS 120
#define LINE_BYTES 600

kit_options_t kit;

static int report_fd = -1;
static int failures;
static uint8_t codes_sent[10000];

static void say(const char *format, va_list arguments, const char *word, int line)
{
    char text[LINE_BYTES];
    char whole[LINE_BYTES + 64];
    int bytes;

    vsnprintf(text, sizeof text, format, arguments);
    for (char *at = text; *at != 0; at += 1) {
        *at = *at == '\n' ? ' ' : *at;
    }
    if (line > 0) {
        bytes = snprintf(whole, sizeof whole, "%s line %d: %s\n", word, line, text);
    } else {
        bytes = snprintf(whole, sizeof whole, "%s %s\n", word, text);
    }
    if (write(report_fd, whole, (size_t)bytes) != bytes) {
        _exit(3);
    }
}

void kit_fail(int line, const char *format, ...)
{
    va_list arguments;
    failures += 1;
    if (failures > 8) {
        return;
    }
    va_start(arguments, format);
    say(format, arguments, "fail", line);
    va_end(arguments);
}

void kit_note(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments, "note", 0);
    va_end(arguments);
}

static void tell(const char *word, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments, word, 0);
    va_end(arguments);
}

uint32_t kit_seen(uint32_t code)
{
    if (code < sizeof codes_sent && __atomic_exchange_n(&codes_sent[code], 1, __ATOMIC_RELAXED) == 0) {
        tell("code", "%" PRIu32, code);
    }
    return code;
}

uint32_t kit_expect(int line, uint32_t expected, uint32_t found)
{
    kit_seen(found);
    if (expected != found) {
        char text[256] = "";
        uint64_t bytes = 0;
        echocart_last_error(text, sizeof text, &bytes);
        kit_fail(line, "expected code %" PRIu32 ", found %" PRIu32 " %s %s", expected, found,
                 echocart_code_text(found), text);
    }
    return found;
}

static int by_size(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a;
    int64_t right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

/* Reports percentiles; a promise of 0 is none. Sorts the numbers. */
void kit_measure(const char *name, int64_t *nanos, size_t count, int64_t promise_p99_nanos)
{
    int64_t p99;
    if (count == 0) {
        kit_fail(__LINE__, "nothing was measured: %s", name);
        return;
    }
    qsort(nanos, count, sizeof *nanos, by_size);
    p99 = nanos[count * 99 / 100];
    tell("measure", "%s %zu %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64, name, count,
         nanos[count / 2], p99, nanos[count * 999 / 1000], nanos[count - 1], promise_p99_nanos);
    if (kit.strict_timing && promise_p99_nanos > 0 && p99 > promise_p99_nanos) {
        kit_fail(0, "%s: expected at most %" PRId64 " ns at p99, found %" PRId64, name,
                 promise_p99_nanos, p99);
    }
}

/* ONNX Runtime's file has code that runs while it is loaded and prints on some processors. No caller
 * can silence that, so the contract excepts it. */
static void check_silence(int printed)
{
    char text[400] = "";
    off_t bytes = lseek(printed, 0, SEEK_END);
    if (bytes > 0 && pread(printed, text, sizeof text - 1, 0) < 0) {
        kit_fail(0, "what was printed cannot be read");
    } else if (bytes > watched_loading_bytes()) {
        kit_fail(0, "the library printed: %s", text);
    } else if (bytes > 0) {
        kit_note("printed by a file of its own while it was loaded: %s", text);
    }
}

static void child(const rule_t *rule, int fd)
{
    char name[] = "/tmp/echocart-kit-XXXXXX";
    int printed = mkstemp(name);

    report_fd = fd;
    if (printed < 0 || dup2(printed, 1) < 0 || dup2(printed, 2) < 0) {
        _exit(3);
    }
    unlink(name);
    signal(SIGPIPE, SIG_IGN);
    rule->run();
    fflush(NULL);
    check_silence(printed);
    remove_scratch();
    tell("end", "%d", failures);
    _exit(failures == 0 ? 0 : 1);
}

/* Reads the child's lines until it closes the pipe; gives 0 when it took too long. */
static int read_lines(int fd, outcome_t *outcome)
{
    static char text[1 << 16];
    size_t held = 0;
    time_t until = time(NULL) + RULE_SECONDS;

    for (;;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        ssize_t bytes;
        char *line;
        char *end;
        if (time(NULL) > until) {
            return 0;
        }
        if (poll(&wait, 1, 1000) <= 0) {
            continue;
        }
        bytes = read(fd, text + held, sizeof text - 1 - held);
        if (bytes <= 0) {
            return bytes == 0 || errno != EINTR;
        }
        held += (size_t)bytes;
        text[held] = 0;
        line = text;
        while ((end = strchr(line, '\n')) != NULL) {
            *end = 0;
            outcome_line(outcome, line);
            line = end + 1;
        }
        held -= (size_t)(line - text);
        memmove(text, line, held + 1);
    }
}

void run_rule(const rule_t *rule, outcome_t *outcome)
{
    int ends[2];
    int status = 0;
    pid_t pid;

    outcome->rule = rule;
    if (pipe(ends) != 0 || (pid = fork()) < 0) {
        perror("conformance");
        exit(2);
    }
    if (pid == 0) {
        close(ends[0]);
        child(rule, ends[1]);
    }
    close(ends[1]);
    if (!read_lines(ends[0], outcome)) {
        kill(pid, SIGKILL);
        outcome_line(outcome, "fail the rule took longer than two minutes");
    }
    close(ends[0]);
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL) {
        char text[64];
        snprintf(text, sizeof text, "fail ended by signal %d", WTERMSIG(status));
        outcome_line(outcome, text);
    } else if (!outcome->ended && outcome->failure_count == 0) {
        outcome_line(outcome, "fail the process ended before the rule did");
    }
}
