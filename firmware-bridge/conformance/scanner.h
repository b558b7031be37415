/* A fake scanner: makes or replays frames and pushes them with faults from a script. */

#ifndef ECHOCART_SCANNER_H
#define ECHOCART_SCANNER_H

#include "echocart.h"

#include <stdio.h>

#define SCANNER_FAULTS 32

typedef enum {
    FAULT_LATE,
    FAULT_DUP,
    FAULT_REORDER,
    FAULT_DROP,
    FAULT_RESIZE,
    FAULT_FREEZE,
    FAULT_COLOUR,
    FAULT_EXAM,
    FAULT_NEGATIVE,
    FAULT_KINDS
} fault_kind_t;

/* One fault: `count` frames from number `first` on. */
typedef struct {
    fault_kind_t kind;
    int64_t first;
    int64_t count;
    int64_t amount;
    int64_t amount_2;
} fault_t;

/* What the scanner did, to be compared with what the library counted. */
typedef struct {
    uint64_t made;
    uint64_t withheld;
    uint64_t taken;
    uint64_t dropped;
    uint64_t refused;
    uint64_t not_later;
    uint64_t numbers_out_of_order;
    uint64_t unexpected;
    uint32_t unexpected_code;
    uint64_t faults[FAULT_KINDS];
} scanner_tally_t;

typedef struct {
    uint32_t pace;
    uint32_t width_px;
    uint32_t height_px;
    double frames_per_second;
    int64_t frames;
    FILE *dump;
    fault_t faults[SCANNER_FAULTS];
    int fault_count;
    /* Called once per frame, also while there is no room; may be NULL. */
    void (*between)(void *context);
    void *context;
    scanner_tally_t tally;
} scanner_t;

/* Reads a script: KIND@FRAME[+COUNT][=AMOUNT[xAMOUNT]], separated by commas.
 *
 * late@30=200 (milliseconds), dup@40, reorder@50, drop@60+5, resize@90+30=320x240, freeze@120+30,
 * colour@150+20, exam@180, negative@200. Gives 0, or -1 and says what it does not know. */
int scanner_script(scanner_t *scanner, const char *script);

/* Opens a dump of `echocart run --dump-frames`; gives 0 when that is what it is. */
int scanner_open_dump(scanner_t *scanner, const char *path);

/* Pushes every frame; gives 0 when no code came that the script does not explain. */
int scanner_run(scanner_t *scanner, echocart_frame_port_t *port);

#endif
