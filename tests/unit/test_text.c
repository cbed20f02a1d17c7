/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/output/text.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

TestSuite(text, .timeout = 60);

/* Formats one result and compares both streams. `args` end with NULL. */
static void expect(struct text *text, struct result r, const char *const *args, const char *out,
                   const char *err)
{
    struct buf record = {0}, got_out = {0}, got_err = {0};
    struct bytes list[8];
    size_t count = 0;
    for (; args && args[count]; count++)
        list[count] = bytes_of(args[count]);
    if (count)
        task_put_args(&record, list, count);
    r.task = buf_bytes(&record);
    text_put(text, &r, &got_out, &got_err);
    cr_assert(bytes_equal(buf_bytes(&got_out), bytes_of(out)), "stdout: %.*s", (int)got_out.size,
              (char *)got_out.data);
    cr_assert(bytes_equal(buf_bytes(&got_err), bytes_of(err)), "stderr: %.*s", (int)got_err.size,
              (char *)got_err.data);
    buf_free(&record);
    buf_free(&got_out);
    buf_free(&got_err);
}

static struct result wrote(const char *out, const char *err)
{
    return (struct result){.seq = 7, .out = bytes_of(out), .err = bytes_of(err)};
}

Test(text, output_passes_as_it_is)
{
    struct text text = {0};
    expect(&text, wrote("a\nb", "e\n\n"), NULL, "a\nb", "e\n\n");
    expect(&text, wrote("", ""), NULL, "", "");
}

/* The expected bytes are what GNU parallel 20221122 prints. */
Test(text, a_tag_stands_before_each_line_as_with_gnu_parallel)
{
    struct text text = {.tag = true};
    const char *const one[] = {"x", NULL}, *const two[] = {"a", "c d", NULL},
                      *const none[] = {"", NULL};
    expect(&text, wrote("a\nb\n", "e\nf"), one, "x\ta\nx\tb\n", "x\te\nx\tf");
    expect(&text, wrote("\n\na", ""), one, "x\t\nx\t\nx\ta", "");
    expect(&text, wrote("", ""), one, "", "");
    expect(&text, wrote("hi\nho\n", ""), two, "a c d\thi\na c d\tho\n", "");
    expect(&text, wrote("hi\n", ""), none, "\thi\n", "");
}

Test(text, a_tag_goes_before_thousands_of_lines)
{
    struct text text = {.tag = true};
    struct buf record = {0}, lines = {0}, out = {0}, err = {0};
    task_put_line(&record, bytes_of("tag"));
    for (int i = 0; i < 10000; i++)
        buf_printf(&lines, "%d\n", i);
    struct result r = {.task = buf_bytes(&record), .out = buf_bytes(&lines)};
    text_put(&text, &r, &out, &err);
    buf_put_byte(&out, 0);
    char *at = (char *)out.data;
    for (int i = 0; i < 10000; i++) {
        char line[32];
        int size = snprintf(line, sizeof line, "tag\t%d\n", i);
        cr_assert_eq(strncmp(at, line, (size_t)size), 0);
        at += size;
    }
    cr_assert_eq(*at, 0);
    buf_free(&record);
    buf_free(&lines);
    buf_free(&out);
    buf_free(&err);
}

Test(text, an_exit_status_has_no_line_of_its_own)
{
    struct text text = {0};
    struct result r = wrote("o\n", "e\n");
    r.status = RESULT_EXITED;
    r.code = 3;
    expect(&text, r, NULL, "o\n", "e\n");
    cr_assert_eq(text.reasons, 0);
}

Test(text, a_failure_with_a_reason_has_one_line_on_stderr)
{
    struct text text = {0};
    struct result r = wrote("o\n", "no newline");
    r.status = RESULT_TIMED_OUT;
    expect(&text, r, NULL, "o\n",
           "no newline\nzfarm: task 7 failed: it ran longer than --timeout and was killed\n");
    r = wrote("", "");
    r.status = RESULT_SIGNALED;
    r.code = 9;
    expect(&text, r, NULL, "", "zfarm: task 7 failed: it was ended by SIGKILL\n");
    r.code = 40;
    expect(&text, r, NULL, "", "zfarm: task 7 failed: it was ended by signal 40\n");
    r.status = RESULT_LOST;
    expect(&text, r, NULL, "",
           "zfarm: task 7 failed: its workers died with it, or it was interrupted, as often as is "
           "allowed\n");
    cr_assert_eq(text.reasons, 4);
}

Test(text, what_the_ventilator_says_of_a_task_that_is_too_large_is_the_reason)
{
    struct text text = {.tag = true};
    struct result r = wrote("", "zfarm: the task is longer than --task-max, which is 9 bytes\n");
    r.status = RESULT_TASK_TOO_LARGE;
    expect(&text, r, NULL, "",
           "zfarm: task 7 failed: the task is longer than --task-max, which is 9 bytes\n");
    r = wrote("", "");
    r.status = RESULT_TASK_TOO_LARGE;
    expect(&text, r, NULL, "", "zfarm: task 7 failed: the task is longer than --task-max\n");
}

Test(text, many_reasons_are_only_counted)
{
    struct text text = {0};
    struct result r = {.seq = 1, .status = RESULT_LOST};
    struct buf err = {0};
    for (int i = 0; i < 1000; i++)
        text_put_reason(&text, &r, &err);
    size_t lines = 0;
    for (size_t i = 0; i < err.size; i++)
        lines += err.data[i] == '\n';
    cr_assert_eq(lines, TEXT_REASONS_MAX + 1);
    cr_assert_eq(text_reasons_hidden(&text), 1000 - TEXT_REASONS_MAX);
    buf_free(&err);
}

Test(text, a_cut_output_is_told_of_and_is_no_failure)
{
    struct text text = {0};
    struct result r = wrote("o", "e");
    r.cut = true;
    expect(
        &text, r, NULL, "o",
        "e\nzfarm: task 7: its output was cut: when --linger was over, a process that it had left "
        "running still held it\n");
    r.cut_pid = 123;
    expect(&text, r, NULL, "o",
           "e\nzfarm: task 7: its output was cut: when --linger was over, process 123 of the task "
           "still held it\n");
    cr_assert_eq(text.reasons, 0);
    struct buf err = {0};
    for (int i = 2; i < 1000; i++)
        text_put_reason(&text, &r, &err);
    size_t lines = 0;
    for (size_t i = 0; i < err.size; i++)
        lines += err.data[i] == '\n';
    cr_assert_eq(lines, TEXT_REASONS_MAX - 1);
    buf_free(&err);
}
