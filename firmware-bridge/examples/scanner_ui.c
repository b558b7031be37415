/* A scanner's drawing loop at 60 Hz: how much later frames are with the AI on than with it off.
 *
 *   scanner_ui PACKAGE LIBRARY [SECONDS]
 *
 * One thread draws, pushes each frame and polls results, first without a session, then with one.
 * The lateness of a frame is the time from when it was due to when it was ready. Nothing is shown
 * on a screen; where a real cart would present the frame stands `present`. */

#define _POSIX_C_SOURCE 200809L

#include "echocart.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WIDTH 1024
#define HEIGHT 768
#define PERIOD_NANOS INT64_C(16666667)
#define WARM_FRAMES 60
#define MAX_FRAMES 36000

static uint8_t image[WIDTH * HEIGHT];
static uint8_t overlay[64];
static volatile uint8_t screen;
static int64_t lateness[MAX_FRAMES];
static int64_t pushes[MAX_FRAMES];

typedef struct {
    echocart_session_t *session;
    echocart_frame_port_t *frames;
    echocart_result_port_t *results;
    uint64_t taken;
    uint64_t dropped;
    uint64_t estimates;
    /* What stands on the screen, and until when it may. */
    float lvef_percent;
    int64_t valid_until_nanos;
} cart_t;

static int64_t now_nanos(void)
{
    int64_t nanos = 0;
    echocart_clock_now(&nanos);
    return nanos;
}

static void sleep_until(int64_t due)
{
    int64_t left = due - now_nanos();
    struct timespec time;
    if (left > 0) {
        time.tv_sec = (time_t)(left / 1000000000);
        time.tv_nsec = (long)(left % 1000000000);
        nanosleep(&time, NULL);
    }
}

/* Some milliseconds of work in place of scan conversion and smoothing. */
static void draw(int64_t frame)
{
    static uint32_t noise = 1;
    int64_t beat = frame % 60 < 30 ? frame % 30 : 29 - frame % 30;
    int64_t radius = 90 + 3 * beat;

    for (int64_t y = 0; y < HEIGHT; y += 1) {
        int64_t down = y - HEIGHT / 2;
        for (int64_t x = 0; x < WIDTH; x += 1) {
            int64_t across = x - WIDTH / 2;
            int64_t off = across * across + down * down - radius * radius;
            noise = noise * 1664525u + 1013904223u;
            image[y * WIDTH + x] = (uint8_t)((noise >> 27) + (llabs(off) < radius * 12 ? 170 : 25));
        }
    }
}

static void present(void)
{
    screen = (uint8_t)(image[0] + overlay[0]);
}

/* Takes what waits; blanks a number that may not stand any longer. */
static void take_results(cart_t *cart)
{
    echocart_result_t result;
    while (echocart_result_poll(cart->results, sizeof result, &result) == ECHOCART_OK) {
        if (result.kind != ECHOCART_RESULT_ESTIMATE) {
            continue;
        }
        cart->estimates += 1;
        cart->lvef_percent = result.lvef_percent;
        cart->valid_until_nanos = result.lvef.valid_until_nanos;
    }
    if (isnan(cart->lvef_percent) || now_nanos() > cart->valid_until_nanos) {
        memset(overlay, 0, sizeof overlay);
    } else {
        snprintf((char *)overlay, sizeof overlay, "EF %.0f %%", (double)cart->lvef_percent);
    }
}

static int push(cart_t *cart)
{
    echocart_frame_t frame;
    uint64_t number = 0;
    uint32_t code;

    memset(&frame, 0, sizeof frame);
    frame.struct_size = sizeof frame;
    frame.format = ECHOCART_PIXEL_GRAY8;
    frame.width_px = WIDTH;
    frame.height_px = HEIGHT;
    frame.row_stride_bytes = WIDTH;
    frame.pixels = image;
    frame.pixel_bytes = sizeof image;
    frame.capture_nanos = now_nanos();
    code = echocart_frame_push(cart->frames, &frame, &number);
    cart->taken += code == ECHOCART_OK;
    cart->dropped += code == ECHOCART_DROPPED;
    return code == ECHOCART_OK || code == ECHOCART_DROPPED ? 0 : -1;
}

static int by_size(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a;
    int64_t right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

/* Prints percentiles in milliseconds and gives the one of 99.9 %. */
static double report(const char *name, int64_t *nanos, int count)
{
    qsort(nanos, (size_t)count, sizeof *nanos, by_size);
    printf("%-22s p50 %.3f ms  p99 %.3f ms  p99.9 %.3f ms  most %.3f ms\n", name,
           (double)nanos[count / 2] / 1e6, (double)nanos[count * 99 / 100] / 1e6,
           (double)nanos[count * 999 / 1000] / 1e6, (double)nanos[count - 1] / 1e6);
    return (double)nanos[count * 999 / 1000] / 1e6;
}

/* Draws `frames` frames at 60 Hz, with the cart's AI where there is one. */
static int loop(cart_t *cart, int frames)
{
    int64_t start = now_nanos();

    for (int at = 0; at < frames + WARM_FRAMES; at += 1) {
        int64_t due = start + at * PERIOD_NANOS;
        int64_t before;
        sleep_until(due);
        draw(at);
        before = now_nanos();
        if (cart != NULL) {
            if (push(cart) != 0) {
                return -1;
            }
        }
        if (at >= WARM_FRAMES) {
            pushes[at - WARM_FRAMES] = now_nanos() - before;
        }
        if (cart != NULL) {
            take_results(cart);
        }
        present();
        if (at >= WARM_FRAMES) {
            lateness[at - WARM_FRAMES] = now_nanos() - due;
        }
    }
    return 0;
}

static int complain(const char *what, uint32_t code)
{
    char text[512] = "";
    uint64_t bytes = 0;
    echocart_last_error(text, sizeof text, &bytes);
    fprintf(stderr, "%s: %s %s\n", what, echocart_code_text(code), text);
    return 1;
}

static int open_cart(cart_t *cart, const char *package, const char *library)
{
    echocart_session_config_t config;
    uint32_t code;

    memset(&config, 0, sizeof config);
    config.struct_size = sizeof config;
    config.abi_version = ECHOCART_ABI_VERSION;
    config.pace = ECHOCART_PACE_REAL;
    config.allow_demonstration = 1;
    config.package_dir = package;
    config.package_dir_bytes = strlen(package);
    config.library_path = library;
    config.library_path_bytes = strlen(library);
    code = echocart_session_create(&config, &cart->session, &cart->frames, &cart->results);
    if (code == ECHOCART_OK) {
        code = echocart_session_start(cart->session);
    }
    return code == ECHOCART_OK ? 0 : complain("cannot start a session", code);
}

int main(int count, char **arguments)
{
    cart_t cart;
    double off;
    double on;
    int frames;
    int failed;

    if (count != 3 && count != 4) {
        fprintf(stderr, "usage: scanner_ui PACKAGE LIBRARY [SECONDS]\n");
        return 2;
    }
    frames = (int)(60.0 * (count == 4 ? atof(arguments[3]) : 20.0));
    if (frames < 1 || frames > MAX_FRAMES) {
        fprintf(stderr, "expected 0.1 to 600 seconds, found %s\n", arguments[count - 1]);
        return 2;
    }
    memset(&cart, 0, sizeof cart);
    loop(NULL, frames);
    off = report("AI off: lateness", lateness, frames);
    failed = open_cart(&cart, arguments[1], arguments[2]) != 0;
    if (!failed) {
        failed = loop(&cart, frames) != 0;
        on = report("AI on: lateness", lateness, frames);
        report("AI on: push", pushes, frames);
        printf("frames taken %" PRIu64 ", dropped %" PRIu64 ", estimates %" PRIu64 "\n", cart.taken,
               cart.dropped, cart.estimates);
        printf("on minus off at p99.9: %.3f ms\n", on - off);
    }
    echocart_session_destroy(&cart.session);
    echocart_frame_port_destroy(&cart.frames);
    echocart_result_port_destroy(&cart.results);
    return failed;
}
