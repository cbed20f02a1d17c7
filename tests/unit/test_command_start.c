/* SPDX-License-Identifier: MPL-2.0 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/command_farm.h"

TestSuite(command_start, .timeout = 120);

Test(command_start, a_nul_byte_makes_a_bad_task)
{
    OPEN_FARM(farm, false, WORDS("echo"));
    farm_start_task(&farm, 0, (struct bytes){(const uint8_t *)"a\0b", 3});
    cr_assert_eq(farm.endings, 1);
    expect_status(&farm.slots[0], RESULT_BAD_TASK, 0);
    expect_err(&farm.slots[0], "NUL byte");
    expect_out(farm_run(&farm, "next"), "next\n");
    farm_close(&farm);
}

Test(command_start, an_argument_that_is_too_long_makes_a_bad_task)
{
    OPEN_FARM(farm, false, WORDS("echo"));
    struct buf task = {0};
    memset(buf_reserve(&task, 1 << 20), 'x', 1 << 20);
    task.size = 1 << 20;
    farm_start_task(&farm, 0, buf_bytes(&task));
    cr_assert_eq(farm.endings, 1);
    expect_status(&farm.slots[0], RESULT_BAD_TASK, 0);
    expect_err(&farm.slots[0], "too long");
    buf_free(&task);
    farm_close(&farm);
}

static void expect_refused(char *const *words, enum error error, const char *part)
{
    struct farm farm = farm_of(false, words);
    cr_expect_eq(farm_open(&farm), error);
    cr_expect(strstr(farm.why.text, part), "%s", farm.why.text);
    cr_expect_null(farm.executor);
    close(farm.signals);
}

Test(command_start, a_command_that_is_not_there_is_refused_with_words)
{
    expect_refused(WORDS("no-such-program", "x"), ERR_NOT_FOUND, "no-such-program is not on PATH");
    expect_refused(WORDS("./no-such-program"), ERR_NOT_FOUND, "./no-such-program does not exist");
    expect_refused(WORDS("/etc/passwd"), ERR_ACCESS, "cannot be executed");
    expect_refused(WORDS("/etc"), ERR_ACCESS, "directory");
    expect_refused(NO_WORDS, ERR_INVALID, "COMMAND");
}

Test(command_start, a_command_line_in_one_word_is_refused_with_the_right_line)
{
    expect_refused(WORDS("echo a | wc"), ERR_INVALID, "write: zfarm run --shell 'echo a | wc'");
    expect_refused(WORDS("echo {}"), ERR_INVALID, "--shell 'echo {}' or zfarm run echo {}");
    expect_refused(WORDS("a;b"), ERR_INVALID, "zfarm run --shell 'a;b'");
}

/* A directory of its own for programs. */
static char *program_in(char directory[static 64], const char *name, const char *text)
{
    static char path[128];
    strcpy(directory, "/tmp/zfarm-test-XXXXXX");
    cr_assert(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "we");
    fputs(text, file);
    fclose(file);
    chmod(path, 0700);
    return path;
}

Test(command_start, one_word_with_blanks_that_is_a_program_is_run)
{
    char directory[64];
    char *path = program_in(directory, "my program", "#!/bin/sh\necho \"it ran with $1\"\n");
    OPEN_FARM(farm, false, WORDS(path));
    expect_out(farm_run(&farm, "x"), "it ran with x\n");
    unlink(path);
    rmdir(directory);
    farm_close(&farm);
}

Test(command_start, a_script_without_an_interpreter_line_is_run_by_sh)
{
    char directory[64];
    char *path = program_in(directory, "script", "echo \"ran $1 $2\"\n");
    OPEN_FARM(farm, false, WORDS(path, "a b", "{}"));
    expect_out(farm_run(&farm, "x"), "ran a b x\n");
    unlink(path);
    rmdir(directory);
    farm_close(&farm);
}

Test(command_start, a_program_that_goes_away_before_anything_ran_returns_the_task_and_is_broken)
{
    char directory[64];
    char *path = program_in(directory, "program", "#!/bin/sh\n");
    OPEN_FARM(farm, false, WORDS(path));
    unlink(path);
    rmdir(directory);
    farm_run(&farm, "x");
    cr_expect_eq(farm.slots[0].returned, 1);
    cr_expect_eq(farm.broken, 1);
    cr_expect(strstr(farm.why.text, path) && strstr(farm.why.text, "No such file"));
    uint64_t since_ns;
    cr_expect_eq(executor_running(farm.executor, 0, &since_ns), 0);
    farm_close(&farm);
}

Test(command_start, a_program_that_goes_away_after_it_ran_fails_its_tasks)
{
    char directory[64];
    char *path = program_in(directory, "program", "#!/bin/sh\n");
    OPEN_FARM(farm, false, WORDS(path));
    expect_status(farm_run(&farm, "x"), RESULT_OK, 0);
    unlink(path);
    rmdir(directory);
    expect_status(farm_run(&farm, "x"), RESULT_EXITED, 127);
    cr_expect_eq(farm.broken, 0);
    farm_close(&farm);
}

Test(command_start, no_descriptors_left_returns_the_task_and_is_broken)
{
    OPEN_FARM(farm, false, WORDS("true"));
    int lowest = dup(0);
    close(lowest);
    struct rlimit limit = {(rlim_t)lowest + 3, (rlim_t)lowest + 3};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    farm_run(&farm, "x");
    cr_expect_eq(farm.slots[0].returned, 1);
    cr_expect_eq(farm.broken, 1);
    cr_expect(strstr(farm.why.text, "Too many open files"), "%s", farm.why.text);
    int again = dup(0);
    cr_expect_eq(again, lowest, "nothing is left open");
    farm_close(&farm);
}

Test(command_start, a_program_named_by_the_task_is_looked_for_each_time)
{
    OPEN_FARM(farm, false, WORDS("{}", "x"));
    expect_out(farm_run(&farm, "echo"), "x\n");
    struct ending *ending = farm_run(&farm, "no-such-program");
    expect_status(ending, RESULT_EXITED, 127);
    expect_err(ending, "zfarm: the command no-such-program is not on PATH");
    expect_status(farm_run(&farm, "/etc/passwd"), RESULT_EXITED, 126);
    cr_expect_eq(farm.broken, 0);
    farm_close(&farm);
}
