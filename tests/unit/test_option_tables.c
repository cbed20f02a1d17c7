/* SPDX-License-Identifier: MPL-2.0 */
/* What holds for every option of every program, whatever options there will be. */
#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/cli/cli.h"
#include "common/cli/option_value.h"
#include "common/cli/task_variable.h"
#include "zfarm/keys.h"
#include "zfarm/run/run.h"
#include "zfarm/verify.h"
#include "zfarm/why.h"

TestSuite(option_tables, .timeout = 120);

/* The programs' mains, under the names that meson.build gives them here. */
int ventilator_main(int argc, char **argv);
int worker_main(int argc, char **argv);
int sink_main(int argc, char **argv);

enum { SETTINGS_MAX = 16384, WORD_MAX = 256 };

static void check(const struct option_table *table);

/* Every program gives its table to cli_main: to this one here, which runs no program. */
int cli_main(const struct option_table *table, void *settings, int argc, char **argv,
             cli_run_fn *run)
{
    (void)settings;
    (void)argc;
    (void)argv;
    (void)run;
    check(table);
    return 0;
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

static void check_pair(const struct option_table *table, const struct option_row *given,
                       const struct option_row *variable)
{
    static uint64_t settings[SETTINGS_MAX / sizeof(uint64_t)];
    char room[WORD_MAX], other_room[WORD_MAX], word[2 * WORD_MAX], name[WORD_MAX];
    const char *value = sample_of(given, room);
    snprintf(word, sizeof word, "--%s=%s", given->name, value);
    setenv(variable_of(variable, name), sample_of(variable, other_room), 1);
    char program[] = "program", *argv[] = {program, word, NULL};
    struct options options;
    struct why why;
    memset(settings, 0, sizeof settings);
    enum options_outcome outcome = options_take(&options, table, settings, 2, argv, &why);
    cr_assert_eq(outcome, OPTIONS_TAKEN, "%s %s, %s: %s", table->program, word, name, why.text);
    cr_expect(options_has(&options, given->name), "%s %s: lost", table->program, word);
    cr_expect_eq(options.given_count, is_mate(given, variable) ? 1 : 2, "%s %s, and %s",
                 table->program, word, name);
    unsetenv(name);
    options_free(&options);
}

/* Whether the row's field is that of another row, or a part of it. */
static void check_field(const struct option_table *table, const struct option_row *row)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct option_row *other = &table->rows[i];
        if (other->kind != OPTION_RETIRED && !is_mate(row, other))
            cr_expect_neq(row->offset, other->offset, "%s: --%s and --%s share a field",
                          table->program, row->name, other->name);
    }
}

static void check_retired(const struct option_table *table, const struct option_row *row)
{
    static uint64_t settings[SETTINGS_MAX / sizeof(uint64_t)];
    char word[WORD_MAX], name[WORD_MAX];
    char program[] = "program", *argv[] = {program, word, NULL, NULL};
    struct options options;
    struct why why;
    snprintf(word, sizeof word, "--%s", row->name);
    cr_expect_eq(options_take(&options, table, settings, 2, argv, &why), OPTIONS_WRONG);
    cr_expect(strstr(why.text, row->instead), "%s", why.text);
    options_free(&options);
    setenv(variable_of(row, name), "x", 1);
    argv[1] = NULL;
    cr_expect_eq(options_take(&options, table, settings, 1, argv, &why), OPTIONS_WRONG);
    cr_expect(strstr(why.text, name) && strstr(why.text, row->instead), "%s", why.text);
    unsetenv(name);
    options_free(&options);
}

static size_t tables, pairs;

static void check(const struct option_table *table)
{
    tables++;
    for (size_t i = 0; i < table->count; i++) {
        const struct option_row *row = &table->rows[i];
        char name[WORD_MAX];
        cr_expect_not(task_variable_is(variable_of(row, name)),
                      "%s: %s is a task's variable, and so it can be no option's", table->program,
                      name);
        if (row->kind == OPTION_RETIRED) {
            check_retired(table, row);
            continue;
        }
        check_field(table, row);
        for (size_t j = 0; j < table->count; j++, pairs++)
            if (table->rows[j].kind != OPTION_RETIRED)
                check_pair(table, row, &table->rows[j]);
    }
}

Test(option_tables, a_variable_gives_way_to_its_own_option_and_to_nothing_else)
{
    static int (*const mains[])(int, char **) = {ventilator_main, worker_main, sink_main, run_main,
                                                 verify_main,     why_main,    keys_main};
    char program[] = "program", *argv[] = {program, NULL};
    for (size_t i = 0; i < sizeof mains / sizeof *mains; i++)
        mains[i](1, argv);
    cr_assert_eq(tables, sizeof mains / sizeof *mains);
    cr_assert_gt(pairs, 3000);
}
