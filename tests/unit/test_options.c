/* SPDX-License-Identifier: MPL-2.0 */
#include "common/cli/options.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"

TestSuite(options, .timeout = 60);

enum { TEST = 1, CHILD_VENTILATOR = 2, CHILD_WORKER = 4, ANOTHER = 8 };

struct target {
    struct words arg_files;
    struct jobs jobs;
    const char *output;
    bool null, keep_order;
    unsigned format, bar;
    uint64_t retries, task_max, timeout_ns;
    uint64_t grace_ns;
    const char *replacement, *tmpdir;
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
    {"arg-file", "a", TEST | CHILD_VENTILATOR, OPTION_WORDS, AT(arg_files), "FILE",
     .help = "read tasks from FILE"},
    {"jobs", "jP", TEST | CHILD_WORKER, OPTION_JOBS, AT(jobs), "N", .help = "how many at a time"},
    {"null", "0", TEST | CHILD_VENTILATOR, OPTION_FLAG, AT(null), NULL,
     .help = "tasks end with NUL"},
    {"keep-order", "k", TEST, OPTION_FLAG, AT(keep_order), NULL,
     .help = "print in the order of the input"},
    {"output", "o", TEST, OPTION_TEXT, AT(output), "FILE", .help = "print to FILE"},
    {"format", NULL, TEST, OPTION_CHOICE, AT(format), "text|jsonl", .help = "how to print",
     .default_value = "text", .choices = "text|jsonl"},
    {"bar", NULL, TEST, OPTION_SET, AT(bar), NULL, .help = "show progress", .number = 1},
    {"no-bar", NULL, TEST, OPTION_SET, AT(bar), NULL, .help = "show none", .brief = TEST,
     .number = 2},
    {"retries", NULL, TEST | CHILD_VENTILATOR, OPTION_COUNT, AT(retries), "N", .help = "how often",
     .brief = TEST, .default_value = "3", .min = 1, .max = 1000},
    {"task-max", NULL, TEST | CHILD_VENTILATOR, OPTION_SIZE, AT(task_max), "SIZE",
     .help = "how large", .brief = TEST, .min = 1},
    {"timeout", NULL, TEST | CHILD_WORKER, OPTION_SECONDS, AT(timeout_ns), "SECS",
     .help = "how long", .brief = TEST},
    {"grace", NULL, TEST, OPTION_SECONDS, AT(grace_ns), "SECS", .help = "how long after all",
     .brief = TEST, .min = 1},
    {"fruit", NULL, TEST, OPTION_PARSED, AT(parsed), "FRUIT", .help = "which", .brief = TEST,
     .parse = parse_fruit},
    {"replace", "I", TEST, OPTION_TEXT, AT(replacement), "STR", .help = "what", .brief = TEST,
     .optional = "{}"},
    {"tmpdir", NULL, TEST, OPTION_TEXT, AT(tmpdir), "DIR", .help = "where", .brief = TEST,
     .default_value = "/tmp", .default_variable = "TEST_DIRECTORY"},
    {"lanes", NULL, TEST, OPTION_RETIRED, 0, NULL, NULL, .instead = "lanes-at"},
    {"null", "k", ANOTHER, OPTION_TEXT, AT(output), "DIR", .help = "another program's"},
};

static const struct option_rule rules[] = {
    {TEST, "null", OPTION_EXCLUDES, "replace|tmpdir", "--null alone, please"},
    {TEST, "grace|fruit", OPTION_NEEDS, "output|format", "--grace and --fruit need a place"},
    {ANOTHER, "null", OPTION_NEEDS, "null", "never"},
};

static const struct option_table table = {rows, sizeof rows / sizeof *rows, rules,
                                          sizeof rules / sizeof *rules};
static const struct option_program program = {TEST, "zfarm-test",
                                              "usage: zfarm-test [OPTION]... COMMAND\n",
                                              "Example: zfarm-test -j4 true\n"};

struct result {
    enum options_outcome outcome;
    struct options options;
    struct target target;
    struct why why;
};

/* The result is there until the next, and so are its texts, which point into `line`'s copy. */
static struct result *take(const char *line)
{
    static struct result result;
    static char *argv[32], copy[1024];
    int argc = 0;
    result = (struct result){.outcome = OPTIONS_WRONG};
    snprintf(copy, sizeof copy, "zfarm-test %s", line);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    argv[argc] = NULL;
    result.outcome =
        options_take(&result.options, &table, &program, &result.target, argc, argv, &result.why);
    return &result;
}

static struct result *taken(const char *line)
{
    struct result *result = take(line);
    cr_assert_eq(result->outcome, OPTIONS_TAKEN, "%s: %s", line, result->why.text);
    return result;
}

static void expect_wrong(const char *line, const char *part)
{
    struct result *result = take(line);
    cr_assert_eq(result->outcome, OPTIONS_WRONG, "%s", line);
    cr_assert(strstr(result->why.text, part), "%s: %s", line, result->why.text);
    cr_assert_not(strchr(result->why.text, '\n'));
    options_free(&result->options);
}

Test(options, a_value_stands_behind_an_equals_sign_or_in_the_next_word)
{
    struct result *r = taken("--jobs=4 --output file --format=jsonl --fruit apple -o- ");
    cr_assert_eq(r->target.jobs.kind, JOBS_COUNT);
    cr_assert_eq(r->target.jobs.number, 4);
    cr_assert_str_eq(r->target.output, "-", "the last one counts");
    cr_assert_eq(r->target.format, 1);
    cr_assert_eq(r->target.parsed, 42);
    options_free(&r->options);
}

Test(options, an_optional_value_stands_behind_an_equals_sign_only)
{
    struct result *r = taken("--replace echo");
    cr_assert_str_eq(r->target.replacement, "{}");
    cr_assert_str_eq(r->options.words[0], "echo");
    options_free(&r->options);
    r = taken("--replace=X echo");
    cr_assert_str_eq(r->target.replacement, "X");
    options_free(&r->options);
    r = taken("-I X echo");
    cr_assert_str_eq(r->target.replacement, "X", "a letter takes a value");
    cr_assert_str_eq(r->options.words[0], "echo");
    options_free(&r->options);
}

Test(options, two_dashes_are_no_value)
{
    expect_wrong("--output -- cmd",
                 "--output needs a value, and -- ends the options: --output FILE");
    expect_wrong("-o -- cmd", "-o needs a value");
    struct result *r = taken("--output=-- -- cmd");
    cr_assert_str_eq(r->target.output, "--");
    options_free(&r->options);
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
    struct result *r = taken("-k0 -P 3");
    cr_assert(r->target.keep_order && r->target.null);
    cr_assert_eq(r->target.jobs.number, 3);
    options_free(&r->options);
    r = taken("-0kj7");
    cr_assert(r->target.keep_order && r->target.null);
    cr_assert_eq(r->target.jobs.number, 7);
    options_free(&r->options);
    r = taken("-j -1");
    cr_assert_eq(r->target.jobs.kind, JOBS_LESS);
    options_free(&r->options);
}

Test(options, they_end_at_the_first_word_that_is_none)
{
    struct result *r = taken("-k command -0 --unknown");
    cr_assert_not(r->target.null);
    cr_assert_eq(r->options.word_count, 3);
    cr_assert_str_eq(r->options.words[0], "command");
    cr_assert_null(r->options.words[3]);
    options_free(&r->options);
    r = taken("-k -- -0");
    cr_assert_eq(r->options.word_count, 1);
    cr_assert_str_eq(r->options.words[0], "-0");
    options_free(&r->options);
    r = taken("-k - x");
    cr_assert_eq(r->options.word_count, 2);
    options_free(&r->options);
    r = taken("-k ::: a b");
    cr_assert_eq(r->options.word_count, 3);
    options_free(&r->options);
    r = taken("");
    cr_assert_eq(r->options.word_count, 0);
    cr_assert_null(r->options.words[0]);
    options_free(&r->options);
}

Test(options, an_option_can_be_given_several_times)
{
    struct result *r = taken("-a x --arg-file=y -a -");
    cr_assert_eq(r->target.arg_files.count, 3);
    cr_assert_str_eq(r->target.arg_files.items[1], "y");
    cr_assert_null(r->target.arg_files.items[3]);
    options_free(&r->options);
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
        struct result *r = taken(line);
        cr_assert_eq(r->target.task_max, sizes[i].bytes, "%s", line);
        options_free(&r->options);
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
        struct result *r = taken(line);
        cr_assert_eq(r->target.timeout_ns, times[i].ms * NS_PER_MS, "%s", line);
        options_free(&r->options);
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
    struct result *r = taken("-a from-arguments --bar");
    cr_assert_eq(r->target.jobs.number, 8);
    cr_assert_eq(r->target.arg_files.count, 1);
    cr_assert_str_eq(r->target.arg_files.items[0], "from-arguments");
    cr_assert(r->target.null);
    cr_assert_not(r->target.keep_order);
    cr_assert_null(r->target.output, "an empty variable is none");
    cr_assert_eq(r->target.bar, 1, "--bar and --no-bar go to the same place");
    options_free(&r->options);

    r = taken("--null=no --retries 7");
    cr_assert_not(r->target.null);
    cr_assert_eq(r->target.bar, 2);
    options_free(&r->options);

    setenv("ZFARM_JOBS", "x", 1);
    expect_wrong("-k", "ZFARM_JOBS: 'x' is no number of slots");
}

Test(options, what_a_child_takes_too_is_passed_on_to_it)
{
    setenv("ZFARM_TIMEOUT", "5", 1);
    struct result *r = taken("-j4 -a x -k -0 --null=no --arg-file= cmd");
    struct words ventilator = {0}, worker = {0};
    options_pass_on(&r->options, CHILD_VENTILATOR, &ventilator);
    options_pass_on(&r->options, CHILD_WORKER, &worker);
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
    options_free(&r->options);
}

Test(options, children_can_be_kept_from_reading_the_options_variables)
{
    setenv("ZFARM_OUTPUT", "kept", 1);
    setenv("ZFARM_DEBUG", "1", 1);
    setenv("ZFARMER", "1", 1);
    struct result *r = taken("");
    options_clear_environment();
    cr_assert_str_eq(r->target.output, "kept");
    cr_assert_null(getenv("ZFARM_OUTPUT"));
    cr_assert_str_eq(getenv("ZFARM_DEBUG"), "1");
    cr_assert_str_eq(getenv("ZFARMER"), "1");
    cr_assert_not_null(getenv("PATH"));
    options_free(&r->options);
}

Test(options, help_fits_a_screen_and_names_every_option)
{
    struct result *r = take("-k --help --unknown");
    cr_assert_eq(r->outcome, OPTIONS_ANSWER);
    buf_put_byte(&r->options.answer, '\0');
    char *help = (char *)r->options.answer.data;
    for (size_t i = 0; i < table.count; i++) {
        if (!(rows[i].programs & TEST))
            continue;
        char name[64];
        snprintf(name, sizeof name, "--%s", rows[i].name);
        bool retired = rows[i].kind == OPTION_RETIRED;
        cr_assert_eq(!strstr(help, name), retired, "%s:\n%s", name, help);
    }
    cr_assert(strstr(help, "  -j, -P, --jobs N         how many at a time\n"), "%s", help);
    cr_assert(strstr(help, "Also: --no-bar, --retries N,"), "%s", help);
    cr_assert(strstr(help, "-I STR, --replace[=STR]"), "%s", help);
    cr_assert(strstr(help, "  --format text|jsonl      how to print (text)\n"), "%s", help);
    cr_assert(strstr(help, "Example: zfarm-test -j4 true\n"));
    unsigned lines = 0;
    for (char *line = strtok(help, "\n"); line; line = strtok(NULL, "\n"), lines++)
        cr_assert_leq(strlen(line), 80, "%s", line);
    cr_assert_leq(lines, 24);
    options_free(&r->options);
}

Test(options, what_is_not_given_has_the_value_of_the_table)
{
    struct result *r = taken("");
    cr_assert_eq(r->target.retries, 3);
    cr_assert_str_eq(r->target.tmpdir, "/tmp");
    cr_assert_null(r->target.output);
    options_free(&r->options);
    setenv("TEST_DIRECTORY", "/var/tmp", 1);
    r = taken("-k --retries=4");
    cr_assert_eq(r->target.retries, 4);
    cr_assert_str_eq(r->target.tmpdir, "/var/tmp");
    options_free(&r->options);
    r = taken("--tmpdir=here");
    cr_assert_str_eq(r->target.tmpdir, "here");
    options_free(&r->options);
    setenv("TEST_DIRECTORY", "", 1);
    r = taken("");
    cr_assert_str_eq(r->target.tmpdir, "/tmp");
    options_free(&r->options);
}

Test(options, no_time_that_is_given_is_that_of_an_option_that_is_not)
{
    struct result *r = taken("--grace 0 -o file");
    cr_assert_eq(r->target.grace_ns, 1);
    options_free(&r->options);
    r = taken("");
    cr_assert_eq(r->target.grace_ns, 0);
    options_free(&r->options);
}

Test(options, a_program_takes_its_own_rows)
{
    static const struct option_program another = {ANOTHER, "another", "", NULL};
    struct options options;
    struct target target = {.output = NULL};
    struct why why;
    char name[] = "another", letter[] = "-kx", other[] = "--nulls=x";
    char *argv[] = {name, letter, NULL};
    cr_assert_eq(options_take(&options, &table, &another, &target, 2, argv, &why), OPTIONS_TAKEN);
    cr_assert_str_eq(target.output, "x");
    cr_assert_eq(target.retries, 0, "a value of the table is for those who take the option");
    options_free(&options);
    argv[1] = other;
    cr_assert_eq(options_take(&options, &table, &another, &target, 2, argv, &why), OPTIONS_WRONG);
    cr_assert_str_eq(why.text, "unknown option --nulls; did you mean --null? See another --help");
    options_free(&options);
}

Test(options, a_rule_holds_for_what_is_given_on)
{
    static const char *const fine[] = {"-0",
                                       "--replace",
                                       "--replace --null=no",
                                       "-0 --replace --null=no",
                                       "-0 --tmpdir=/tmp",
                                       "-0 --tmpdir=here --tmpdir=/tmp",
                                       "--grace 1 -o file",
                                       "--fruit apple --format jsonl",
                                       ""};
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++)
        options_free(&taken(fine[i])->options);
    expect_wrong("--null --replace", "--null alone, please");
    expect_wrong("--tmpdir=here -0", "--null alone, please");
    expect_wrong("--fruit apple", "--grace and --fruit need a place");
    expect_wrong("--fruit apple --format text", "--grace and --fruit need a place");
    setenv("ZFARM_GRACE", "5", 1);
    expect_wrong("-k", "--grace and --fruit need a place");
}

Test(options, version_names_program_and_version)
{
    struct result *r = take("--version");
    cr_assert_eq(r->outcome, OPTIONS_ANSWER);
    cr_assert(
        bytes_equal(buf_bytes(&r->options.answer), bytes_of("zfarm-test " ZFARM_VERSION "\n")));
    options_free(&r->options);
}
