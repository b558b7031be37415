/* The report: for a person, and as JSON for a file. */

#define _GNU_SOURCE

#include "report.h"

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#define CODES 10000

static uint8_t seen[CODES];

static void keep(char **lines, int *count, const char *text)
{
    if (*count < MAX_LINES) {
        lines[*count] = strdup(text);
        *count += 1;
    }
}

void outcome_line(outcome_t *outcome, const char *line)
{
    if (strncmp(line, "fail ", 5) == 0) {
        keep(outcome->failures, &outcome->failure_count, line + 5);
    } else if (strncmp(line, "note ", 5) == 0) {
        keep(outcome->notes, &outcome->note_count, line + 5);
    } else if (strncmp(line, "measure ", 8) == 0) {
        keep(outcome->measures, &outcome->measure_count, line + 8);
    } else if (strncmp(line, "code ", 5) == 0) {
        unsigned long code = strtoul(line + 5, NULL, 10);
        if (code < CODES) {
            seen[code] = 1;
        }
    } else if (strncmp(line, "end ", 4) == 0) {
        outcome->ended = 1;
    }
}

int code_was_seen(uint32_t code)
{
    return code < CODES && seen[code];
}

static int is_known(uint32_t code)
{
    return strcmp(echocart_code_text(code), echocart_code_text(CODES - 1)) != 0;
}

int codes_not_seen(char *text, size_t bytes)
{
    int missing = 0;
    size_t used = 0;
    for (uint32_t code = 0; code < CODES; code += 1) {
        if (is_known(code) && !seen[code]) {
            int wrote = snprintf(text + used, bytes - used, "%" PRIu32 " (%s) ", code,
                                 echocart_code_text(code));
            used = wrote > 0 && (size_t)wrote < bytes - used ? used + (size_t)wrote : used;
            missing += 1;
        }
    }
    return missing;
}

/* Fields of a measured line: name, count, p50, p99, p99.9, greatest, promise; nanoseconds. */
typedef struct {
    char name[64];
    long long fields[6];
} measured_t;

static int measured(const char *line, measured_t *out)
{
    return sscanf(line, "%63s %lld %lld %lld %lld %lld %lld", out->name, &out->fields[0],
                  &out->fields[1], &out->fields[2], &out->fields[3], &out->fields[4],
                  &out->fields[5])
           == 7;
}

static void write_measure(FILE *out, const char *text)
{
    measured_t line;

    if (!measured(text, &line)) {
        return;
    }
    fprintf(out, "       - %s: p50 %.1f us, p99 %.1f us, p99.9 %.1f us, most %.1f us", line.name,
            (double)line.fields[1] / 1e3, (double)line.fields[2] / 1e3, (double)line.fields[3] / 1e3,
            (double)line.fields[4] / 1e3);
    if (line.fields[5] > 0) {
        fprintf(out, "; promised p99 %.0f us: %s", (double)line.fields[5] / 1e3,
                line.fields[2] <= line.fields[5] ? "met" : "NOT MET");
    }
    fprintf(out, " (%lld calls)\n", line.fields[0]);
}

void write_outcome(FILE *out, const outcome_t *outcome)
{
    fprintf(out, "%s %-28s %s\n", outcome->failure_count > 0 ? "BROKEN" : "holds ", outcome->rule->id,
            outcome->rule->promise);
    for (int n = 0; n < outcome->failure_count; n += 1) {
        fprintf(out, "         %s\n", outcome->failures[n]);
    }
    for (int n = 0; n < outcome->note_count; n += 1) {
        fprintf(out, "       - %s\n", outcome->notes[n]);
    }
    for (int n = 0; n < outcome->measure_count; n += 1) {
        write_measure(out, outcome->measures[n]);
    }
    fflush(out);
}

void write_sum(FILE *out, const outcome_t *outcomes, int count)
{
    int failed = 0;

    for (int at = 0; at < count; at += 1) {
        failed += outcomes[at].failure_count > 0;
    }
    fprintf(out, "%d rules, %d hold, %d broken\n", count, count - failed, failed);
}

static void text_json(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text != 0; text += 1) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            fprintf(out, "\\%c", c);
        } else if (c < 0x20) {
            fprintf(out, "\\u%04x", c);
        } else {
            fputc(c, out);
        }
    }
    fputc('"', out);
}

static void list_json(FILE *out, const char *key, char *const *lines, int count)
{
    fprintf(out, ", \"%s\": [", key);
    for (int at = 0; at < count; at += 1) {
        fputs(at > 0 ? ", " : "", out);
        text_json(out, lines[at]);
    }
    fputc(']', out);
}

static void measures_json(FILE *out, const outcome_t *outcome)
{
    const char *before = "";
    fputs(", \"measured\": [", out);
    for (int at = 0; at < outcome->measure_count; at += 1) {
        measured_t line;
        if (measured(outcome->measures[at], &line)) {
            fprintf(out, "%s{\"name\": \"%s\", \"calls\": %lld, \"p50_nanos\": %lld, \"p99_nanos\": %lld, "
                         "\"p999_nanos\": %lld, \"most_nanos\": %lld",
                    before, line.name, line.fields[0], line.fields[1], line.fields[2],
                    line.fields[3], line.fields[4]);
            if (line.fields[5] > 0) {
                fprintf(out, ", \"promised_p99_nanos\": %lld, \"met\": %s", line.fields[5],
                        line.fields[2] <= line.fields[5] ? "true" : "false");
            }
            fputc('}', out);
            before = ", ";
        }
    }
    fputc(']', out);
}

void write_json_report(FILE *out, const outcome_t *outcomes, int count)
{
    struct utsname machine;
    time_t now = time(NULL);
    char date[32] = "";
    struct tm parts;
    const char *before = "";
    int failed = 0;

    uname(&machine);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &parts));
    fprintf(out, "{\n\"kit\": 1,\n\"date\": \"%s\",\n\"machine\": ", date);
    text_json(out, machine.machine);
    fputs(",\n\"system\": ", out);
    text_json(out, machine.release);
    fprintf(out, ",\n\"abi_of_header\": %d,\n\"abi_of_library\": %" PRIu32 ",\n\"package\": ",
            ECHOCART_ABI_VERSION, echocart_abi_version());
    text_json(out, kit.package);
    fputs(",\n\"library\": ", out);
    text_json(out, kit.library);
    fputs(",\n\"codes\": [", out);
    for (uint32_t code = 0; code < CODES; code += 1) {
        if (is_known(code)) {
            fprintf(out, "%s{\"code\": %" PRIu32 ", \"provoked\": %s}", before, code,
                    seen[code] ? "true" : "false");
            before = ", ";
        }
    }
    fputs("],\n\"rules\": [", out);
    for (int at = 0; at < count; at += 1) {
        const outcome_t *outcome = &outcomes[at];
        failed += outcome->failure_count > 0;
        fprintf(out, "%s\n{\"id\": \"%s\", \"holds\": %s, \"promise\": ", at > 0 ? "," : "",
                outcome->rule->id, outcome->failure_count > 0 ? "false" : "true");
        text_json(out, outcome->rule->promise);
        list_json(out, "failures", outcome->failures, outcome->failure_count);
        list_json(out, "notes", outcome->notes, outcome->note_count);
        measures_json(out, outcome);
        fputc('}', out);
    }
    fprintf(out, "\n],\n\"holds\": %d,\n\"broken\": %d\n}\n", count - failed, failed);
}
