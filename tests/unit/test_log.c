/* SPDX-License-Identifier: MPL-2.0 */
#include "common/base/log.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(log, .timeout = 60);

/* What a program that does `say` and ends has written to its stderr. */
static const char *said_by(void (*say)(void))
{
    static char text[4096];
    size_t size = 0;
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        log_init("program");
        say();
        unsetenv("BXFI_MAP"); /* LeakSanitizer writes to stderr, too: criterion_leak.c */
        exit(0);
    }
    close(ends[1]);
    for (ssize_t got; (got = read(ends[0], text + size, sizeof text - 1 - size)) > 0;)
        size += (size_t)got;
    close(ends[0]);
    waitpid(child, NULL, 0);
    text[size] = '\0';
    return text;
}

static void say_three_times_and_another(void)
{
    for (int i = 0; i < 3; i++)
        log_line("no room for task %d", 7);
    log_line("there is room");
    log_line("no room for task %d", 7);
}

Test(log, a_line_that_repeats_is_said_once_with_a_count_before_the_next)
{
    cr_assert_str_eq(said_by(say_three_times_and_another),
                     "program: no room for task 7\n"
                     "program: (the line before came 2 more times)\n"
                     "program: there is room\n"
                     "program: no room for task 7\n");
}

static void say_twice_and_end(void)
{
    log_line("no room");
    log_line("no room");
}

Test(log, the_count_is_said_at_the_end_if_no_other_line_comes)
{
    cr_assert_str_eq(said_by(say_twice_and_end), "program: no room\n"
                                                 "program: (the line before came 1 more time)\n");
}

static void say_for_long(void)
{
    for (int i = 0; i < 100000; i++)
        log_line("no room");
}

Test(log, however_often_a_line_comes_it_is_two_lines)
{
    cr_assert_str_eq(said_by(say_for_long), "program: no room\n"
                                            "program: (the line before came 99999 more times)\n");
}

static void say_what_differs_late(void)
{
    char text[3000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    log_line("%s", text);
    log_line("ab");
    log_line("abc");
    log_line("ab");
}

Test(log, lines_that_begin_alike_are_not_the_same)
{
    const char *said = said_by(say_what_differs_late);
    const char *end = "\nprogram: ab\nprogram: abc\nprogram: ab\n";
    cr_assert_geq(strlen(said), strlen(end));
    cr_assert_str_eq(said + strlen(said) - strlen(end), end);
}
