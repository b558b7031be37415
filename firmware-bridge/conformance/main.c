/* Checks an installed libechocart against its contract.
 *
 *   conformance --package FOLDER --library FILE [--dump FILE] [--config FILE] [--json FILE]
 *               [--isolation worker|in_process] [--only RULE]... [--seconds N] [--strict-timing]
 *               [--realtime] [--list]
 *
 * Ends with 0 when every rule holds, 1 when one is broken, 2 when it cannot run. */

#define _GNU_SOURCE

#include "report.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_RULES 128

static const rule_t *const GROUPS[] = {call_rules,    create_rules, frame_rules,   result_rules,
                                       session_rules, thread_rules, process_rules, host_rules,
                                       timing_rules,  worker_rules, commit_rules,  output_rules,
                                       setting_rules, format_rules, told_rules,   trace_rules};

static const char *only[MAX_RULES];
static int only_count;

static const char USAGE[] =
    "usage: conformance --package FOLDER --library FILE [--dump FILE] [--config FILE]\n"
    "                   [--json FILE] [--isolation worker|in_process] [--only RULE]... [--seconds N]\n"
    "                   [--strict-timing] [--realtime] [--list]\n";

static int chosen(const char *id)
{
    if (only_count == 0) {
        return 1;
    }
    for (int at = 0; at < only_count; at += 1) {
        if (strcmp(only[at], id) == 0) {
            return 1;
        }
    }
    return 0;
}

static void list_rules(void)
{
    for (size_t group = 0; group < sizeof GROUPS / sizeof *GROUPS; group += 1) {
        for (const rule_t *rule = GROUPS[group]; rule->id != NULL; rule += 1) {
            printf("%-28s %s\n", rule->id, rule->promise);
        }
    }
    printf("%-28s every code that has a text was given to a rule\n", "codes.all_provoked");
}

static int is_absolute_file(const char *path)
{
    struct stat found;
    return path != NULL && path[0] == '/' && stat(path, &found) == 0;
}

static void every_code(outcome_t *outcome)
{
    static const rule_t RULE = {"codes.all_provoked", "every code that has a text was given to a rule",
                                NULL};
    char text[512] = "";
    char line[600];
    outcome->rule = &RULE;
    if (codes_not_seen(text, sizeof text) > 0) {
        snprintf(line, sizeof line, "fail never given: %s", text);
        outcome_line(outcome, line);
    }
}

static int run_all(outcome_t *outcomes)
{
    int count = 0;
    for (size_t group = 0; group < sizeof GROUPS / sizeof *GROUPS; group += 1) {
        for (const rule_t *rule = GROUPS[group]; rule->id != NULL; rule += 1) {
            if (chosen(rule->id) && count < MAX_RULES - 1) {
                run_rule(rule, &outcomes[count]);
                write_outcome(stdout, &outcomes[count]);
                count += 1;
            }
        }
    }
    if (only_count == 0) {
        every_code(&outcomes[count]);
        write_outcome(stdout, &outcomes[count]);
        count += 1;
    }
    return count;
}

static const char *take_arguments(int count, char **arguments)
{
    const char *json = NULL;
    kit.seconds = 3.0;
    for (int at = 1; at < count; at += 1) {
        const char *word = arguments[at];
        const char *value = at + 1 < count ? arguments[at + 1] : NULL;
        if (strcmp(word, "--list") == 0) {
            list_rules();
            exit(0);
        } else if (strcmp(word, "--strict-timing") == 0) {
            kit.strict_timing = 1;
            continue;
        } else if (strcmp(word, "--realtime") == 0) {
            kit.realtime = 1;
            continue;
        } else if (value == NULL) {
            fputs(USAGE, stderr);
            exit(2);
        } else if (strcmp(word, "--package") == 0) {
            kit.package = realpath(value, NULL);
        } else if (strcmp(word, "--library") == 0) {
            kit.library = realpath(value, NULL);
        } else if (strcmp(word, "--dump") == 0) {
            kit.dump = value;
        } else if (strcmp(word, "--config") == 0) {
            kit.config = value;
        } else if (strcmp(word, "--isolation") == 0 && strcmp(value, "worker") == 0) {
            kit.isolation = ECHOCART_ISOLATION_WORKER;
        } else if (strcmp(word, "--isolation") == 0 && strcmp(value, "in_process") == 0) {
            kit.isolation = ECHOCART_ISOLATION_IN_PROCESS;
        } else if (strcmp(word, "--json") == 0) {
            json = value;
        } else if (strcmp(word, "--seconds") == 0) {
            kit.seconds = atof(value);
        } else if (strcmp(word, "--only") == 0 && only_count < MAX_RULES) {
            only[only_count] = value;
            only_count += 1;
        } else {
            fputs(USAGE, stderr);
            exit(2);
        }
        at += 1;
    }
    return json;
}

int main(int count, char **arguments)
{
    static outcome_t outcomes[MAX_RULES];
    const char *json = take_arguments(count, arguments);
    int ran;
    int broken = 0;

    if (!is_absolute_file(kit.package) || !is_absolute_file(kit.library) || kit.seconds <= 0.0) {
        fprintf(stderr, "conformance: expected the folder of a package and the file of ONNX Runtime\n%s",
                USAGE);
        return 2;
    }
    ran = run_all(outcomes);
    write_sum(stdout, outcomes, ran);
    for (int at = 0; at < ran; at += 1) {
        broken += outcomes[at].failure_count > 0;
    }
    if (json != NULL) {
        FILE *file = fopen(json, "w");
        if (file == NULL) {
            perror(json);
            return 2;
        }
        write_json_report(file, outcomes, ran);
        if (fclose(file) != 0) {
            perror(json);
            return 2;
        }
    }
    if (ran == 0) {
        fputs("conformance: no rule has that name\n", stderr);
        return 2;
    }
    return broken == 0 ? 0 : 1;
}
