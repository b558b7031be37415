/* Mutants of what a session is told, what it tells and what it leaves; a library of its own behind
 * the others. */

#include "mutant.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static echocart_session_config_t told;
static uint8_t token[ECHOCART_EXAM_TOKEN_BYTES];

static void *idle(void *unused)
{
    for (;;) {
        pause();
    }
    return unused;
}

static void nap(void)
{
    struct timespec wait = {0, 2000000};
    nanosleep(&wait, NULL);
}

/* A process that does nothing and holds none of the kit's pipes. */
static void leave_process(void)
{
    if (syscall(SYS_fork) == 0) {
        syscall(SYS_close_range, 0, ~0U, 0);
        alarm(20);
        idle(NULL);
    }
}

/* A worker loads this library as well. */
static int in_a_worker(void)
{
    return strcmp(program_invocation_short_name, "echocart-worker") == 0;
}

__attribute__((constructor)) static void begin_worker(void)
{
    char path[64];
    if (is("worker_writes_file") && in_a_worker()) {
        snprintf(path, sizeof path, "/tmp/echocart-mutant-worker-of-%d", (int)getppid());
        close(open(path, O_CREAT | O_WRONLY, 0600));
        unlink(path);
    }
    if (is("worker_child") && in_a_worker()) {
        leave_process();
    }
}

/* A worker closes all it was given before it begins: this socket comes after that. */
int close_range(unsigned first, unsigned last, int flags)
{
    int (*real)(unsigned, unsigned, int);
    int code;
    *(void **)&real = dlsym(RTLD_NEXT, "close_range");
    code = real(first, last, flags);
    if (is("worker_listens") && in_a_worker()) {
        struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
        int listener = socket(AF_INET, SOCK_STREAM, 0);
        if (bind(listener, (struct sockaddr *)&here, sizeof here) == 0) {
            listen(listener, 1);
        }
    }
    return code;
}

static void leave_after_failure(void)
{
    pthread_t thread;
    if (is("failed_create_leaves_thread")) {
        pthread_create(&thread, NULL, idle, NULL);
    }
    if (is("failed_create_leaves_file")) {
        open("/dev/null", O_RDONLY);
    }
    if (is("failed_create_leaves_process")) {
        leave_process();
    }
}

static void leave_traces(void)
{
    char path[64];
    snprintf(path, sizeof path, "/tmp/echocart-mutant-%d", (int)getpid());
    if (is("fopens_file")) {
        FILE *file = fopen(path, "w");
        if (file != NULL) {
            fclose(file);
            unlink(path);
        }
    }
    if (is("makes_folder") && mkdir(path, 0700) == 0) {
        rmdir(path);
    }
    if (is("writes_shm")) {
        close(shm_open(path + strlen("/tmp"), O_CREAT | O_RDWR, 0600));
        shm_unlink(path + strlen("/tmp"));
    }
    if (is("leaks_memory")) {
        size_t bytes = (size_t)8 << 20;
        void *volatile leaked = malloc(bytes);
        if (leaked != NULL) {
            explicit_bzero(leaked, bytes);
        }
    }
}

static void forget_settings(echocart_session_config_t *config)
{
    if (is("cpu_set_forgotten") && config->cpu_set[ECHOCART_CPU_SET_WORDS - 1] >> 63 == 0) {
        memset(config->cpu_set, 0, sizeof config->cpu_set);
    }
    if (is("priority_low_ignored") && config->priority == ECHOCART_PRIORITY_LOW) {
        config->priority = ECHOCART_PRIORITY_LOWEST;
    }
    if (is("threads_ignored")) {
        config->threads = 0;
    }
    if (is("cache_dir_ignored")) {
        config->cache_dir_bytes = 0;
    }
}

uint32_t echocart_session_create(const echocart_session_config_t *config,
                                 echocart_session_t **session, echocart_frame_port_t **frames,
                                 echocart_result_port_t **results)
{
    uint32_t code;
    REAL("echocart_session_create", const echocart_session_config_t *, echocart_session_t **,
         echocart_frame_port_t **, echocart_result_port_t **)
    if (config == NULL || config->struct_size != sizeof *config) {
        return real(config, session, frames, results);
    }
    told = *config;
    forget_settings(&told);
    code = real(&told, session, frames, results);
    if (code == ECHOCART_OK) {
        leave_traces();
    } else {
        leave_after_failure();
        if (is("create_nulls_on_failure") && session != NULL) {
            *session = NULL;
        }
    }
    return code;
}

static void log_text(const char *text)
{
    if (told.log_callback != NULL) {
        told.log_callback(told.log_user_data, ECHOCART_LOG_INFO, text, strlen(text));
    }
}

/* Writes the token's bytes, each in the given format, behind one another. */
static void write_token(char *out, size_t room, const char *format)
{
    size_t used = 0;
    for (int at = 0; at < ECHOCART_EXAM_TOKEN_BYTES; at += 1) {
        used += (size_t)snprintf(out + used, room - used, format, token[at]);
    }
}

uint32_t echocart_frame_push(echocart_frame_port_t *port, const echocart_frame_t *frame,
                             uint64_t *number)
{
    echocart_frame_t other;
    char text[128];
    REAL("echocart_frame_push", echocart_frame_port_t *, const echocart_frame_t *, uint64_t *)
    if (frame == NULL || number == NULL) {
        return real(port, frame, number);
    }
    if (frame->struct_size != sizeof other) {
        return real(port, frame, number);
    }
    other = *frame;
    if (memcmp(token, other.exam_token, sizeof token) != 0) {
        memcpy(token, other.exam_token, sizeof token);
        if (is("log_tells_token_bytes")) {
            write_token(text, sizeof text, "%d, ");
            log_text(text);
        }
        if (is("log_tells_token_debug_hex")) {
            write_token(text, sizeof text, "%02x ");
            log_text(text);
        }
    }
    if (is("recorder_keeps_exam")) {
        memset(other.exam_token, 0, sizeof other.exam_token);
    }
    return real(port, &other, number);
}

uint32_t echocart_last_error(char *buffer, uint64_t bytes, uint64_t *out_bytes)
{
    uint32_t code;
    REAL("echocart_last_error", char *, uint64_t, uint64_t *)
    code = real(buffer, bytes, out_bytes);
    if (is("error_tells_token") && code == ECHOCART_OK && buffer != NULL
        && *out_bytes + 64 < bytes) {
        write_token(buffer + *out_bytes, 64, "%02X");
    }
    return code;
}

static void spoil_recording(const char *path)
{
    static const uint8_t NOTHING[4096];
    FILE *file = fopen(path, is("save_garbage") ? "r+b" : "ab");
    if (file != NULL && is("save_garbage")) {
        fwrite(NOTHING, 1, sizeof NOTHING, file);
    } else if (file != NULL) {
        fwrite(token, 1, sizeof token, file);
    }
    if (file != NULL) {
        fclose(file);
    }
}

uint32_t echocart_session_save(echocart_session_t *session, const char *path, uint64_t bytes,
                               uint64_t *records, uint64_t *frames)
{
    char text[1024];
    uint32_t code;
    REAL("echocart_session_save", echocart_session_t *, const char *, uint64_t, uint64_t *,
         uint64_t *)
    if (is("null_crashes") && session != NULL && frames == NULL) {
        raise(SIGSEGV);
    }
    code = real(session, path, bytes, records, frames);
    if (code == ECHOCART_OK && bytes < sizeof text) {
        snprintf(text, sizeof text, "%.*s", (int)bytes, path);
        if (is("save_garbage") || is("save_writes_token")) {
            spoil_recording(text);
        }
        *frames += is("save_frames_lie") ? 1 : 0;
    }
    return code;
}

/* A size that is too large is taken for the right one. */
static uint32_t fitting(uint32_t bytes, size_t whole)
{
    return is("bigger_sizes_taken") && bytes > whole ? (uint32_t)whole : bytes;
}

uint32_t echocart_self_test(const echocart_session_config_t *config, uint32_t bytes,
                            echocart_self_test_t *out)
{
    REAL("echocart_self_test", const echocart_session_config_t *, uint32_t, echocart_self_test_t *)
    if (is("self_test_null_crashes") && out == NULL) {
        raise(SIGSEGV);
    }
    return real(config, fitting(bytes, sizeof *out), out);
}

uint32_t echocart_session_info(const echocart_session_t *session, uint32_t bytes,
                               echocart_session_info_t *out)
{
    uint32_t code;
    REAL("echocart_session_info", const echocart_session_t *, uint32_t, echocart_session_info_t *)
    if (is("stats_block")) {
        nap();
    }
    code = real(session, fitting(bytes, sizeof *out), out);
    if (code == ECHOCART_OK && is("trained_lies_only")) {
        out->trained = ECHOCART_TRAINED_CLINICAL;
    }
    if (code == ECHOCART_OK && is("info_nonsense")) {
        out->clip_frames = 1;
        out->sampling_hz = 0.0f;
        out->min_fps = 500.0f;
        out->variant[0] = 0;
    }
    return code;
}

uint32_t echocart_session_stats(const echocart_session_t *session, uint32_t bytes,
                                echocart_session_stats_t *out)
{
    uint32_t code;
    REAL("echocart_session_stats", const echocart_session_t *, uint32_t,
         echocart_session_stats_t *)
    code = real(session, fitting(bytes, sizeof *out), out);
    if (code == ECHOCART_OK && is("stats_nonsense")) {
        out->exams += 99;
        out->push.p90_nanos = 0;
        memset(&out->commit, 0, sizeof out->commit);
    }
    return code;
}

uint32_t echocart_session_memory(const echocart_session_t *session, uint32_t bytes,
                                 echocart_session_memory_t *out)
{
    uint32_t code;
    REAL("echocart_session_memory", const echocart_session_t *, uint32_t,
         echocart_session_memory_t *)
    code = real(session, fitting(bytes, sizeof *out), out);
    if (code == ECHOCART_OK && is("memory_nonsense")) {
        out->frame_buffers = 1;
        out->process_bytes = 0;
    }
    return code;
}

uint32_t echocart_session_pause(echocart_session_t *session)
{
    REAL("echocart_session_pause", echocart_session_t *)
    if (is("lifecycle_blocks")) {
        nap();
    }
    return real(session);
}

uint32_t echocart_result_poll(echocart_result_port_t *port, uint32_t bytes, echocart_result_t *out)
{
    REAL("echocart_result_poll", echocart_result_port_t *, uint32_t, echocart_result_t *)
    if (is("poll_allocates")) {
        void *volatile block = malloc(64);
        free(block);
    }
    if (is("poll_leaks")) {
        void *volatile leaked = malloc(4096);
        if (leaked != NULL) {
            memset(leaked, 1, 4096);
        }
    }
    return real(port, bytes, out);
}

uint32_t echocart_result_port_destroy(echocart_result_port_t **port)
{
    REAL("echocart_result_port_destroy", echocart_result_port_t **)
    if (is("destroy_does_not_wait") && port != NULL) {
        *port = NULL;
    }
    return real(port);
}

uint32_t echocart_session_resume(echocart_session_t *session)
{
    uint32_t code;
    REAL("echocart_session_resume", echocart_session_t *)
    code = real(session);
    return code == ECHOCART_IN_CALLBACK && is("log_may_call_in") ? ECHOCART_OK : code;
}
