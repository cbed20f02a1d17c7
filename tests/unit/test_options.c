/* SPDX-License-Identifier: MPL-2.0 */
#include "common/cli/options.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"

TestSuite(options, .timeout = 60);

enum { CHILD_VENTILATOR = 1, CHILD_WORKER = 2 };

struct target {
    struct words arg_files;
    struct jobs jobs;
    const char *output;
    bool null, keep_order;
    unsigned format, bar;
    uint64_t retries, task_max, timeout_ns;
    const char *replacement;
    int parsed;
};

static enum error parse_fruit(const char *text, void *target, struct why *why)
{
    if (strcmp(text, "apple") != 0)
        return fail(why, ERR_INVALID, "'%s' is no apple", text);
    *(int *)target = 42;
    return ERR_NONE;
}

#define AT(member) offsetof(struct target, member)

static const struct option_row rows[] = {
    {"arg-file", "a", OPTION_WORDS, AT(arg_files), "FILE", .help = "read tasks from FILE",
     .children = CHILD_VENTILATOR},
    {"jobs", "jP", OPTION_JOBS, AT(jobs), "N", .help = "how many at a time",
     .children = CHILD_WORKER},
    {"null", "0", OPTION_FLAG, AT(null), NULL, .help = "tasks end with NUL",
     .children = CHILD_VENTILATOR},
    {"keep-order", "k", OPTION_FLAG, AT(keep_order), NULL,
     .help = "print in the order of the input"},
    {"output", "o", OPTION_TEXT, AT(output), "FILE", .help = "print to FILE"},
    {"format", NULL, OPTION_CHOICE, AT(format), "text|jsonl", .help = "how to print",
     .choices = "text|jsonl"},
    {"bar", NULL, OPTION_SET, AT(bar), NULL, .help = "show progress", .number = 1},
    {"no-bar", NULL, OPTION_SET, AT(bar), NULL, NULL, .number = 2},
    {"retries", NULL, OPTION_COUNT, AT(retries), "N", NULL, .min = 1, .max = 1000,
     .children = CHILD_VENTILATOR},
    {"task-max", NULL, OPTION_SIZE, AT(task_max), "SIZE", NULL, .min = 1,
     .children = CHILD_VENTILATOR},
    {"timeout", NULL, OPTION_SECONDS, AT(timeout_ns), "SECS", NULL, .children = CHILD_WORKER},
    {"fruit", NULL, OPTION_PARSED, AT(parsed), "FRUIT", NULL, .parse = parse_fruit},
    {"replace", "I", OPTION_TEXT, AT(replacement), "STR", NULL, .optional = "{}"},
    {"lanes", NULL, OPTION_RETIRED, 0, NULL, NULL, .instead = "lanes-at"},
};

static const struct option_table table = {"zfarm-test", "usage: zfarm-test [OPTION]... COMMAND\n",
                                          "Example: zfarm-test -j4 true\n", rows,
                                          sizeof rows / sizeof *rows};

struct result {
    enum options_outcome outcome;
    struct options options;
    struct target target;
    struct why why;
};

/* The texts of the result point into `line`'s copy, which the process keeps to its end. */
static struct result take(const char *line)
{
    struct result result = {.outcome = OPTIONS_WRONG};
    static char *argv[32], copy[1024];
    int argc = 0;
    snprintf(copy, sizeof copy, "zfarm-test %s", line);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    argv[argc] = NULL;
    result.outcome = options_take(&result.options, &table, &result.target, argc, argv, &result.why);
    return result;
}

static struct result taken(const char *line)
{
    struct result result = take(line);
    cr_assert_eq(result.outcome, OPTIONS_TAKEN, "%s: %s", line, result.why.text);
    return result;
}

static void expect_wrong(const char *line, const char *part)
{
    struct result result = take(line);
    cr_assert_eq(result.outcome, OPTIONS_WRONG, "%s", line);
    cr_assert(strstr(result.why.text, part), "%s: %s", line, result.why.text);
    cr_assert_not(strchr(result.why.text, '\n'));
    options_free(&result.options);
    words_free(&result.target.arg_files);
}

Test(options, a_value_stands_behind_an_equals_sign_or_in_the_next_word)
{
    struct result r = taken("--jobs=4 --output file --format=jsonl --fruit apple -o- ");
    cr_assert_eq(r.target.jobs.kind, JOBS_COUNT);
    cr_assert_eq(r.target.jobs.number, 4);
    cr_assert_str_eq(r.target.output, "-", "the last one counts");
    cr_assert_eq(r.target.format, 1);
    cr_assert_eq(r.target.parsed, 42);
    cr_assert(options_has(&r.options, "jobs"));
    cr_assert_not(options_has(&r.options, "null"));
    options_free(&r.options);
}

Test(options, an_optional_value_stands_behind_an_equals_sign_only)
{
    struct result r = taken("--replace echo");
    cr_assert_str_eq(r.target.replacement, "{}");
    cr_assert_str_eq(r.options.words[0], "echo");
    options_free(&r.options);
    r = taken("--replace=X echo");
    cr_assert_str_eq(r.target.replacement, "X");
    options_free(&r.options);
    r = taken("-I X echo");
    cr_assert_str_eq(r.target.replacement, "X", "a letter takes a value");
    cr_assert_str_eq(r.options.words[0], "echo");
    options_free(&r.options);
}

Test(options, two_dashes_are_no_value)
{
    expect_wrong("--output -- cmd",
                 "--output needs a value, and -- ends the options: --output FILE");
    expect_wrong("-o -- cmd", "-o needs a value");
    struct result r = taken("--output=-- -- cmd");
    cr_assert_str_eq(r.target.output, "--");
    options_free(&r.options);
}

Test(options, a_retired_option_is_refused_with_its_new_name)
{
    expect_wrong("--lanes x", "--lanes: it is called --lanes-at now");
    expect_wrong("--lanes=x", "--lanes: it is called --lanes-at now");
    expect_wrong("--lane=x", "unknown option --lane; see");
    setenv("ZFARM_LANES", "x", 1);
    expect_wrong("-k", "ZFARM_LANES: it is called --lanes-at now");
}

Test(options, letters_can_be_bundled_and_have_aliases)
{
    struct result r = taken("-k0 -P 3");
    cr_assert(r.target.keep_order && r.target.null);
    cr_assert_eq(r.target.jobs.number, 3);
    options_free(&r.options);
    r = taken("-0kj7");
    cr_assert(r.target.keep_order && r.target.null);
    cr_assert_eq(r.target.jobs.number, 7);
    options_free(&r.options);
    r = taken("-j -1");
    cr_assert_eq(r.target.jobs.kind, JOBS_LESS);
    options_free(&r.options);
}

Test(options, they_end_at_the_first_word_that_is_none)
{
    struct result r = taken("-k command -0 --unknown");
    cr_assert_not(r.target.null);
    cr_assert_eq(r.options.word_count, 3);
    cr_assert_str_eq(r.options.words[0], "command");
    cr_assert_null(r.options.words[3]);
    options_free(&r.options);
    r = taken("-k -- -0");
    cr_assert_eq(r.options.word_count, 1);
    cr_assert_str_eq(r.options.words[0], "-0");
    options_free(&r.options);
    r = taken("-k - x");
    cr_assert_eq(r.options.word_count, 2);
    options_free(&r.options);
    r = taken("-k ::: a b");
    cr_assert_eq(r.options.word_count, 3);
    options_free(&r.options);
    r = taken("");
    cr_assert_eq(r.options.word_count, 0);
    cr_assert_null(r.options.words[0]);
    options_free(&r.options);
}

Test(options, an_option_can_be_given_several_times)
{
    struct result r = taken("-a x --arg-file=y -a -");
    cr_assert_eq(r.target.arg_files.count, 3);
    cr_assert_str_eq(r.target.arg_files.items[1], "y");
    cr_assert_null(r.target.arg_files.items[3]);
    options_free(&r.options);
    words_free(&r.target.arg_files);
}

Test(options, sizes_have_the_units_of_gnu_parallel)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } sizes[] = {{"1", 1},
                 {"64K", 65536},
                 {"64k", 64000},
                 {"1.5M", 1572864},
                 {"2G", 1ULL << 31},
                 {"1T", 1ULL << 40},
                 {"16383P", 16383ULL << 50},
                 {"0.5K", 512}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char line[64];
        snprintf(line, sizeof line, "--task-max %s", sizes[i].text);
        struct result r = taken(line);
        cr_assert_eq(r.target.task_max, sizes[i].bytes, "%s", line);
        options_free(&r.options);
    }
    expect_wrong("--task-max 16384P", "number of bytes");
    expect_wrong("--task-max 99999999999999999999", "number of bytes");
    expect_wrong("--task-max 1Kx", "number of bytes");
    expect_wrong("--task-max K", "number of bytes");
    expect_wrong("--task-max -1", "number of bytes");
    expect_wrong("--task-max=", "number of bytes");
    expect_wrong("--task-max=0", "1 or more");
}

Test(options, seconds_have_fractions_and_units)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } times[] = {{"1", 1000},
                 {"1.5", 1500},
                 {".25", 250},
                 {"90s", 90000},
                 {"10m", 600000},
                 {"1h30m", 5400000},
                 {"1d3.5h16.6m4s", 100000000},
                 {"0", 0}};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        char line[64];
        snprintf(line, sizeof line, "--timeout %s", times[i].text);
        struct result r = taken(line);
        cr_assert_eq(r.target.timeout_ns, times[i].ms * NS_PER_MS, "%s", line);
        options_free(&r.options);
    }
    static const char *const bad[] = {"--timeout x",  "--timeout 1x",   "--timeout .",
                                      "--timeout -1", "--timeout inf",  "--timeout 1.5.5",
                                      "--timeout=",   "--timeout 0x10", "--timeout 999999999999d"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_wrong(bad[i], "1h30m");
}

Test(options, a_bad_value_names_option_value_and_what_it_takes)
{
    expect_wrong("--retries many", "--retries: 'many' is not one of its values: it takes a whole");
    expect_wrong("--retries 1.5", "whole number");
    expect_wrong("--retries 0", "--retries: '0' is too small: it takes 1 or more");
    expect_wrong("--retries 1001", "1000 at most");
    expect_wrong("-j x", "-j: 'x' is no number of slots");
    expect_wrong("--format xml", "it takes one of text|jsonl");
    expect_wrong("--format tex", "it takes one of text|jsonl");
    expect_wrong("--fruit pear", "--fruit: 'pear' is no apple");
    expect_wrong("--null=maybe", "yes or no");
    expect_wrong("--jobs", "--jobs needs a value: --jobs N");
    expect_wrong("-ka", "-a needs a value: -a FILE");
}

Test(options, an_unknown_option_is_refused_and_the_nearest_is_named)
{
    expect_wrong("--arg-fiel x", "unknown option --arg-fiel; did you mean --arg-file?");
    expect_wrong("--job=4", "did you mean --jobs?");
    expect_wrong("--halp", "did you mean --help?");
    expect_wrong("--zzzzzz", "unknown option --zzzzzz; see zfarm-test --help");
    expect_wrong("-x", "unknown option -x");
    expect_wrong("-kx", "unknown option -x");
    expect_wrong("--a-name-that-is-longer-than-any-of-the-options-could-be=1", "unknown option");
}

Test(options, the_environment_counts_where_the_command_line_is_silent)
{
    setenv("ZFARM_JOBS", "8", 1);
    setenv("ZFARM_ARG_FILE", "from-environment", 1);
    setenv("ZFARM_NULL", "yes", 1);
    setenv("ZFARM_KEEP_ORDER", "0", 1);
    setenv("ZFARM_OUTPUT", "", 1);
    setenv("ZFARM_NO_BAR", "1", 1);
    struct result r = taken("-a from-arguments --bar");
    cr_assert_eq(r.target.jobs.number, 8);
    cr_assert_eq(r.target.arg_files.count, 1);
    cr_assert_str_eq(r.target.arg_files.items[0], "from-arguments");
    cr_assert(r.target.null);
    cr_assert_not(r.target.keep_order);
    cr_assert_null(r.target.output, "an empty variable is none");
    cr_assert_eq(r.target.bar, 1, "--bar and --no-bar go to the same place");
    options_free(&r.options);
    words_free(&r.target.arg_files);

    r = taken("--null=no --retries 7");
    cr_assert_not(r.target.null);
    cr_assert_eq(r.target.bar, 2);
    options_free(&r.options);
    words_free(&r.target.arg_files);

    setenv("ZFARM_JOBS", "x", 1);
    expect_wrong("-k", "ZFARM_JOBS: 'x' is no number of slots");
}

Test(options, what_a_child_takes_too_is_passed_on_to_it)
{
    setenv("ZFARM_TIMEOUT", "5", 1);
    struct result r = taken("-j4 -a x -k -0 --null=no --arg-file= cmd");
    struct words ventilator = {0}, worker = {0};
    options_pass_on(&r.options, CHILD_VENTILATOR, &ventilator);
    options_pass_on(&r.options, CHILD_WORKER, &worker);
    cr_assert_eq(ventilator.count, 4);
    cr_assert_str_eq(ventilator.items[0], "--arg-file=x");
    cr_assert_str_eq(ventilator.items[1], "--null");
    cr_assert_str_eq(ventilator.items[2], "--null=no");
    cr_assert_str_eq(ventilator.items[3], "--arg-file=");
    cr_assert_eq(worker.count, 2);
    cr_assert_str_eq(worker.items[0], "--jobs=4");
    cr_assert_str_eq(worker.items[1], "--timeout=5");
    words_free(&ventilator);
    words_free(&worker);
    words_free(&r.target.arg_files);
    options_free(&r.options);
}

Test(options, children_can_be_kept_from_reading_the_options_variables)
{
    setenv("ZFARM_OUTPUT", "kept", 1);
    setenv("ZFARM_DEBUG", "1", 1);
    setenv("ZFARMER", "1", 1);
    struct result r = taken("");
    options_clear_environment();
    cr_assert_str_eq(r.target.output, "kept");
    cr_assert_null(getenv("ZFARM_OUTPUT"));
    cr_assert_str_eq(getenv("ZFARM_DEBUG"), "1");
    cr_assert_str_eq(getenv("ZFARMER"), "1");
    cr_assert_not_null(getenv("PATH"));
    options_free(&r.options);
}

Test(options, help_fits_a_screen_and_names_every_option)
{
    struct result r = take("-k --help --unknown");
    cr_assert_eq(r.outcome, OPTIONS_ANSWER);
    buf_put_byte(&r.options.answer, '\0');
    char *help = (char *)r.options.answer.data;
    for (size_t i = 0; i < table.count; i++) {
        char name[64];
        snprintf(name, sizeof name, "--%s", rows[i].name);
        bool retired = rows[i].kind == OPTION_RETIRED;
        cr_assert_eq(!strstr(help, name), retired, "%s:\n%s", name, help);
    }
    cr_assert(strstr(help, "  -j, -P, --jobs N         how many at a time\n"), "%s", help);
    cr_assert(strstr(help, "Also: --no-bar, --retries N,"), "%s", help);
    cr_assert(strstr(help, "-I STR, --replace[=STR]"), "%s", help);
    cr_assert(strstr(help, "Example: zfarm-test -j4 true\n"));
    unsigned lines = 0;
    for (char *line = strtok(help, "\n"); line; line = strtok(NULL, "\n"), lines++)
        cr_assert_leq(strlen(line), 80, "%s", line);
    cr_assert_leq(lines, 24);
    options_free(&r.options);
}

Test(options, version_names_program_and_version)
{
    struct result r = take("--version");
    cr_assert_eq(r.outcome, OPTIONS_ANSWER);
    cr_assert(
        bytes_equal(buf_bytes(&r.options.answer), bytes_of("zfarm-test " ZFARM_VERSION "\n")));
    options_free(&r.options);
}
