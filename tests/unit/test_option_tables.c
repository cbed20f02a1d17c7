/* SPDX-License-Identifier: MPL-2.0 */
/* What holds for every option of every program, whatever options there will be. */
#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/cli/farm_options.h"
#include "common/cli/options_help.h"
#include "common/cli/task_variable.h"

TestSuite(option_tables, .timeout = 120);

enum { WORD_MAX = 256, HELP_WIDTH = 80, HELP_COLUMN = 27 };

static const struct option_table *const table = &farm_option_table;

/* The next row of the program from `*at` on, or NULL. */
static const struct option_row *next(const struct option_program *program, size_t *at)
{
    while (*at < table->count)
        if (table->rows[(*at)++].programs & program->bit)
            return &table->rows[*at - 1];
    return NULL;
}

static const struct option_row *find(const struct option_program *program, const char *name,
                                     size_t size)
{
    const struct option_row *row;
    for (size_t at = 0; (row = next(program, &at));)
        if (strlen(row->name) == size && memcmp(row->name, name, size) == 0)
            return row;
    return NULL;
}

/* ---- a value that each option takes ---- */

static const char *sample_of(const struct option_row *row, char *room)
{
    static const char *const words[] = {
        "never", "1", "0", "n", "lr", "a", "0123456789abcdef0123456789abcdef"};
    static uint64_t scratch[256];
    struct why why;
    switch (row->kind) {
    case OPTION_FLAG:
    case OPTION_SET:
        return "1";
    case OPTION_TEXT:
    case OPTION_WORDS:
        return "text";
    case OPTION_CHOICE:
        snprintf(room, WORD_MAX, "%.*s", (int)strcspn(row->choices, "|"), row->choices);
        return room;
    case OPTION_COUNT:
    case OPTION_SIZE:
    case OPTION_LIMIT:
        snprintf(room, WORD_MAX, "%llu", (unsigned long long)(row->min ? row->min : 1));
        return room;
    case OPTION_SECONDS:
    case OPTION_JOBS:
        return "1";
    case OPTION_PARSED:
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            if (!row->parse(words[i], scratch, &why))
                return words[i];
        cr_assert_fail("no value that --%s takes is known here: add one", row->name);
    case OPTION_RETIRED:
        break;
    }
    return NULL;
}

static bool is_one_of(const char *name, const char *names)
{
    char list[2 * WORD_MAX], word[WORD_MAX];
    snprintf(list, sizeof list, "|%s|", names);
    snprintf(word, sizeof word, "|%s|", name);
    return strstr(list, word);
}

/* A value that counts as given. */
static const char *other_than_default(const struct option_row *row, char *room)
{
    const char *sample = sample_of(row, room);
    if (!row->default_value || strcmp(sample, row->default_value) != 0)
        return sample;
    return row->kind == OPTION_CHOICE ? strrchr(row->choices, '|') + 1 : "2";
}

static const char *variable_of(const struct option_row *row, char *room)
{
    size_t at = (size_t)snprintf(room, WORD_MAX, "ZFARM_");
    for (const char *from = row->name; *from; from++)
        room[at++] = (char)(*from == '-' ? '_' : toupper((unsigned char)*from));
    room[at] = '\0';
    return room;
}

/* ---- one option on the command line, one variable ---- */

static bool is_mate(const struct option_row *a, const struct option_row *b)
{
    return a == b || (a->kind == OPTION_SET && b->kind == OPTION_SET && a->offset == b->offset);
}

static bool is_about(const struct option_rule *rule, const struct option_row *row)
{
    return is_one_of(row->name, rule->option) || is_one_of(row->name, rule->others);
}

/* Whether no rule is about either of the two. */
static bool are_free(const struct option_program *program, const struct option_row *a,
                     const struct option_row *b)
{
    for (size_t i = 0; i < table->rule_count; i++)
        if (table->rules[i].programs & program->bit &&
            (is_about(&table->rules[i], a) || is_about(&table->rules[i], b)))
            return false;
    return true;
}

static void check_pair(const struct option_program *program, const struct option_row *given,
                       const struct option_row *variable)
{
    struct farm_options values = {0};
    char room[WORD_MAX], other_room[WORD_MAX], word[2 * WORD_MAX], name[WORD_MAX];
    const char *value = sample_of(given, room);
    snprintf(word, sizeof word, "--%s=%s", given->name, value);
    setenv(variable_of(variable, name), sample_of(variable, other_room), 1);
    char argv_0[] = "program", *argv[] = {argv_0, word, NULL};
    struct options options;
    struct why why = {""};
    enum options_outcome outcome = options_take(&options, table, program, &values, 2, argv, &why);
    if (are_free(program, given, variable))
        cr_expect_eq(outcome, OPTIONS_TAKEN, "%s %s, %s: %s", program->name, word, name, why.text);
    cr_expect_eq(options.given_count, is_mate(given, variable) ? 1 : 2, "%s %s, and %s",
                 program->name, word, name);
    cr_expect_eq(options.given[0].row, given);
    unsetenv(name);
    options_free(&options);
}

static const struct option_program *program_of(enum farm_program bit)
{
    for (size_t i = 0; i < FARM_PROGRAMS; i++)
        if (farm_programs[i].bit == bit)
            return &farm_programs[i];
    cr_assert_fail("no program has the bit %d", (int)bit);
    return NULL;
}

Test(option_tables, a_variable_gives_way_to_its_own_option_and_to_nothing_else)
{
    size_t pairs = 0;
    for (size_t i = 0; i < FARM_PROGRAMS; i++) {
        const struct option_program *program = &farm_programs[i];
        const struct option_row *a, *b;
        for (size_t at = 0; (a = next(program, &at));)
            for (size_t other = 0; (b = next(program, &other)); pairs++)
                if (a->kind != OPTION_RETIRED && b->kind != OPTION_RETIRED)
                    check_pair(program, a, b);
    }
    cr_assert_gt(pairs, 3000);
}

/* What a program starts with if nothing is given. */
static struct farm_options values_without_options(enum farm_program bit)
{
    struct farm_options values = {0};
    struct options options;
    struct why why = {""};
    char argv_0[] = "program", *argv[] = {argv_0, NULL};
    unsetenv("TMPDIR");
    cr_assert_eq(options_take(&options, table, program_of(bit), &values, 1, argv, &why),
                 OPTIONS_TAKEN, "%s", why.text);
    options_free(&options);
    return values;
}

Test(option_tables, what_is_not_given_is_what_the_manual_says)
{
    struct farm_options run = values_without_options(FARM_RUN),
                        ventilator = values_without_options(FARM_VENTILATOR),
                        worker = values_without_options(FARM_WORKER),
                        sink = values_without_options(FARM_SINK);
    cr_assert_eq(jobs_count(worker.jobs, 6, 250), 6, "one a core");
    cr_assert_eq(worker.kill_after_ns, 10 * NS_PER_S);
    cr_assert_eq(worker.linger_ns, 10 * NS_PER_S);
    cr_assert_eq(worker.give_up_ns, 60 * NS_PER_S);
    cr_assert_eq(worker.output_max_bytes, 16 << 20);
    cr_assert_eq(worker.grace_ns, 0);
    cr_assert_str_eq(worker.tmpdir, "/tmp");
    cr_assert_null(worker.replace);
    cr_assert_eq(ventilator.max_args, 1);
    cr_assert_eq(ventilator.retries, 1);
    cr_assert_eq(ventilator.heartbeat_ns, 500 * NS_PER_MS);
    cr_assert_eq(sink.spool_max_bytes, UINT64_C(10) << 30);
    cr_assert_str_neq(sink.bind, ventilator.bind);
    cr_assert_str_eq(sink.connect, ventilator.bind);
    cr_assert_str_eq(run.ssh, "ssh");
    cr_assert_null(run.bind, "run has no such option");
}

Test(option_tables, no_two_options_of_a_program_share_a_name_a_letter_or_a_field)
{
    for (size_t i = 0; i < FARM_PROGRAMS; i++) {
        const struct option_row *a, *b;
        for (size_t at = 0; (a = next(&farm_programs[i], &at));)
            for (size_t other = at; (b = next(&farm_programs[i], &other));) {
                cr_expect_str_neq(a->name, b->name);
                cr_expect_not(a->letters && b->letters && strpbrk(a->letters, b->letters),
                              "--%s, --%s", a->name, b->name);
                bool retired = a->kind == OPTION_RETIRED || b->kind == OPTION_RETIRED;
                cr_expect(retired || is_mate(a, b) || a->offset != b->offset, "--%s, --%s", a->name,
                          b->name);
            }
    }
}

Test(option_tables, a_tasks_variable_is_no_options)
{
    for (size_t i = 0; i < table->count; i++) {
        char name[WORD_MAX];
        cr_expect_not(task_variable_is(variable_of(&table->rows[i], name)), "%s", name);
    }
}

static void check_retired(const struct option_program *program, const struct option_row *row)
{
    struct farm_options values = {0};
    char word[WORD_MAX], name[WORD_MAX];
    char argv_0[] = "program", *argv[] = {argv_0, word, NULL, NULL};
    struct options options;
    struct why why;
    snprintf(word, sizeof word, "--%s", row->name);
    cr_expect_eq(options_take(&options, table, program, &values, 2, argv, &why), OPTIONS_WRONG);
    cr_expect(strstr(why.text, row->instead), "%s", why.text);
    options_free(&options);
    setenv(variable_of(row, name), "x", 1);
    argv[1] = NULL;
    cr_expect_eq(options_take(&options, table, program, &values, 1, argv, &why), OPTIONS_WRONG);
    cr_expect(strstr(why.text, name) && strstr(why.text, row->instead), "%s", why.text);
    cr_expect(find(program, row->instead, strlen(row->instead)), "%s", row->instead);
    unsetenv(name);
    options_free(&options);
}

Test(option_tables, a_retired_option_and_its_variable_are_refused_with_the_new_name)
{
    for (size_t i = 0; i < FARM_PROGRAMS; i++) {
        const struct option_row *row;
        for (size_t at = 0; (row = next(&farm_programs[i], &at));)
            if (row->kind == OPTION_RETIRED)
                check_retired(&farm_programs[i], row);
    }
}

/* Each of the names, separated by |, is an option of the program. */
static void check_names(const struct option_program *program, const char *names)
{
    for (size_t size; *names; names += size + (names[size] == '|')) {
        size = strcspn(names, "|");
        const struct option_row *row = find(program, names, size);
        cr_assert(row, "%s does not take --%.*s", program->usage, (int)size, names);
        cr_expect(row->kind != OPTION_SET && row->kind != OPTION_RETIRED);
    }
}

Test(option_tables, a_rule_is_about_options_that_its_programs_take)
{
    for (size_t i = 0; i < table->rule_count; i++) {
        const struct option_rule *rule = &table->rules[i];
        cr_expect(rule->programs && strlen(rule->sentence) > 20, "%s", rule->sentence);
        for (size_t j = 0; j < FARM_PROGRAMS; j++)
            if (rule->programs & farm_programs[j].bit) {
                check_names(&farm_programs[j], rule->option);
                check_names(&farm_programs[j], rule->others);
            }
    }
}

/* A rule that excludes does so for each pair of its options. */
static void check_excluded(const struct option_program *program, const struct option_rule *rule,
                           const struct option_row *a, const struct option_row *b)
{
    struct farm_options values = {0};
    char room[WORD_MAX], first[2 * WORD_MAX], second[2 * WORD_MAX], argv_0[] = "program";
    char *argv[] = {argv_0, first, second, NULL};
    struct options options;
    struct why why = {""};
    snprintf(first, sizeof first, "--%s=%s", a->name, other_than_default(a, room));
    snprintf(second, sizeof second, "--%s=%s", b->name, other_than_default(b, room));
    cr_expect_eq(options_take(&options, table, program, &values, 3, argv, &why), OPTIONS_WRONG,
                 "%s: %s %s", rule->sentence, first, second);
    options_free(&options);
}

Test(option_tables, what_a_rule_excludes_is_refused)
{
    size_t pairs = 0;
    for (size_t i = 0; i < table->rule_count; i++) {
        const struct option_rule *rule = &table->rules[i];
        for (size_t j = 0; j < FARM_PROGRAMS; j++) {
            const struct option_program *program = &farm_programs[j];
            const struct option_row *a, *b;
            if (rule->relation == OPTION_NEEDS || !(rule->programs & program->bit))
                continue;
            for (size_t at = 0; (a = next(program, &at));)
                for (size_t other = 0; (b = next(program, &other));)
                    if (is_one_of(a->name, rule->option) && is_one_of(b->name, rule->others)) {
                        check_excluded(program, rule, a, b);
                        pairs++;
                    }
        }
    }
    cr_assert_gt(pairs, 20);
}

Test(option_tables, every_option_has_a_help_line_that_fits)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct option_row *row = &table->rows[i];
        if (row->kind == OPTION_RETIRED)
            continue;
        cr_assert(row->help && *row->help, "--%s", row->name);
        cr_expect(HELP_COLUMN + strlen(row->help) +
                          (row->default_value ? strlen(row->default_value) + 3 : 0) <
                      HELP_WIDTH,
                  "--%s: %s", row->name, row->help);
        cr_expect_not(row->brief & ~row->programs, "--%s", row->name);
    }
}

Test(option_tables, every_help_fits_a_screen)
{
    for (size_t i = 0; i < FARM_PROGRAMS; i++) {
        struct buf help = {0};
        size_t lines = 0;
        options_help(table, &farm_programs[i], &help);
        buf_put_byte(&help, '\0');
        for (char *line = strtok((char *)help.data, "\n"); line; line = strtok(NULL, "\n"), lines++)
            cr_expect_leq(strlen(line), HELP_WIDTH, "%s", line);
        cr_expect_leq(lines, 50);
        buf_free(&help);
    }
}

/* What run takes with a program of the farm is handed on, so it has to mean the same there: one row. */
Test(option_tables, what_run_hands_on_the_child_takes)
{
    static const enum farm_program children[] = {FARM_VENTILATOR, FARM_WORKER, FARM_SINK};
    const struct option_program *run = program_of(FARM_RUN);
    size_t handed_on = 0;
    for (size_t i = 0; i < sizeof children / sizeof *children; i++) {
        const struct option_row *row;
        for (size_t at = 0; (row = next(run, &at));) {
            const struct option_row *theirs =
                find(program_of(children[i]), row->name, strlen(row->name));
            cr_expect(!theirs || theirs == row, "--%s is two options", row->name);
            handed_on += theirs == row;
        }
    }
    cr_assert_gt(handed_on, 40);
}
