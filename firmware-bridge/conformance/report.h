/* What a rule's process told, and the report made of it. */

#ifndef ECHOCART_REPORT_H
#define ECHOCART_REPORT_H

#include "kit.h"

#include <stdio.h>

#define MAX_LINES 24

typedef struct {
    const rule_t *rule;
    char *failures[MAX_LINES];
    int failure_count;
    char *notes[MAX_LINES];
    int note_count;
    char *measures[MAX_LINES];
    int measure_count;
    int ended;
} outcome_t;

/* Runs one rule in a process of its own; kit.c. */
void run_rule(const rule_t *rule, outcome_t *outcome);

/* Takes one line of a rule's process: fail, note, measure, code or end, and the rest. */
void outcome_line(outcome_t *outcome, const char *line);

/* Whether a code was given to any rule. */
int code_was_seen(uint32_t code);

/* Every known code that no rule was given, as text; gives how many. */
int codes_not_seen(char *text, size_t bytes);

/* One rule, at once: a run that is stopped has said what it found. */
void write_outcome(FILE *out, const outcome_t *outcome);
void write_sum(FILE *out, const outcome_t *outcomes, int count);
void write_json_report(FILE *out, const outcome_t *outcomes, int count);

#endif
