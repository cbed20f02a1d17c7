/* SPDX-License-Identifier: MPL-2.0 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "plugin_fixture.h"

/* What the plugin executor does when the plugin, or what it is told, is not as it should be. */

TestSuite(plugin_trouble, .timeout = 60);

Test(plugin_trouble, a_crash_costs_the_task_it_was_at_and_no_other)
{
    struct fixture *f = launched(NULL);
    run(f, 1, "echo a\necho b\nabort\necho d\necho e");
    cr_assert_eq(f->end_count, 4);
    assert_finished(&f->ends[0], 1, RESULT_OK, 0);
    cr_assert(is_text(&f->ends[0].out, "echo a"));
    assert_finished(&f->ends[1], 2, RESULT_OK, 0);
    assert_finished(&f->ends[2], 3, RESULT_SIGNALED, SIGABRT);
    assert_end(&f->ends[3], RETURNED, 4, 2);
    run(f, 4, "count");
    cr_assert(is_text(&f->ends[0].out, "1"), "a fresh child runs it");
    run(f, 5, "kill\necho");
    assert_finished(&f->ends[0], 5, RESULT_SIGNALED, SIGKILL);
    assert_end(&f->ends[1], RETURNED, 6, 1);
    finish(f);
}

Test(plugin_trouble, crashes_one_after_the_other_do_not_break_it)
{
    struct fixture *f = launched(NULL);
    for (unsigned i = 0; i < 6; i++) {
        run(f, 1 + i, "abort");
        assert_finished(&f->ends[0], 1 + i, RESULT_SIGNALED, SIGABRT);
    }
    assert_works(f);
    cr_assert_eq(f->broken[0], 0);
    finish(f);
}

static void limit_descriptors(rlim_t most)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = most;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

Test(plugin_trouble, a_process_that_cannot_be_had_for_a_while_does_not_break_it)
{
    struct fixture *f = launched(NULL);
    struct rlimit before;
    getrlimit(RLIMIT_NOFILE, &before);
    int next = dup(0);
    close(next);
    limit_descriptors((rlim_t)next);
    run(f, 1, "abort");
    assert_finished(&f->ends[0], 1, RESULT_SIGNALED, SIGABRT);
    for (unsigned i = 0; i < 4; i++) { /* more than it is tried when a plugin dies */
        run(f, 2, "echo");
        assert_end(&f->ends[0], RETURNED, 2, 1);
        turn(f);
    }
    cr_assert_eq(f->broken[0], 0, "%s", f->broken);
    cr_assert_eq(f->held_up, 4);
    limit_descriptors(before.rlim_cur);
    do {
        turn(f);
        run(f, 2, "echo");
    } while (f->ends[0].how == RETURNED);
    assert_works(f);
    finish(f);
}

Test(plugin_trouble, a_plugin_that_calls_exit_is_a_failed_task_whatever_the_status)
{
    struct fixture *f = launched(NULL);
    run(f, 1, "exit 3\necho");
    assert_finished(&f->ends[0], 1, RESULT_EXITED, 3);
    assert_end(&f->ends[1], RETURNED, 2, 1);
    run(f, 1, "exit 0");
    assert_finished(&f->ends[0], 1, RESULT_EXITED, 255);
    cr_assert(has_text(&f->ends[0].err, "ended its process with status 0"));
    assert_works(f);
    finish(f);
}

Test(plugin_trouble, a_task_that_runs_too_long_is_killed_and_those_around_it_are_not)
{
    struct fixture *f = prepare(PLUGINS "/trouble.so");
    f->options.timeout.ns = 200 * NS_PER_MS;
    launch(f);
    run(f, 1, "echo\nsleep 3600\necho\necho");
    assert_finished(&f->ends[0], 1, RESULT_OK, 0);
    assert_finished(&f->ends[1], 2, RESULT_TIMED_OUT, 0);
    cr_assert_geq(f->ends[1].duration_ns, 200 * NS_PER_MS);
    assert_end(&f->ends[2], RETURNED, 3, 2);
    run(f, 3, "sleep 3600");
    assert_finished(&f->ends[0], 3, RESULT_TIMED_OUT, 0);
    assert_works(f);
    finish(f);
}

Test(plugin_trouble, a_task_that_takes_more_than_percent_of_the_median_is_killed)
{
    struct fixture *f = prepare(PLUGINS "/trouble.so");
    f->options.timeout.percent = 1000000; /* of some microseconds */
    launch(f);
    run(f, 1, "echo\necho\necho\nsleep 3600");
    assert_finished(&f->ends[2], 3, RESULT_OK, 0);
    assert_finished(&f->ends[3], 4, RESULT_TIMED_OUT, 0);
    run(f, 5, "sleep 3600");
    assert_finished(&f->ends[0], 5, RESULT_TIMED_OUT, 0);
    assert_works(f);
    finish(f);
}

Test(plugin_trouble, a_running_task_can_be_cancelled_and_the_rest_is_returned)
{
    struct fixture *f = launched(NULL);
    assign(f, 1, "echo\nsleep 3600\necho");
    run_until_ended(f, 1);
    executor_cancel(f->executor, 0, 2, clock_now_ns());
    executor_cancel(f->executor, 0, 9, clock_now_ns());
    run_until_ended(f, 3);
    assert_end(&f->ends[1], CANCELLED, 2, 1);
    assert_end(&f->ends[2], RETURNED, 3, 1);
    assert_works(f);
    cr_assert_eq(f->broken[0], 0);
    finish(f);
}

Test(plugin_trouble, a_waiting_task_can_be_cancelled_and_the_others_go_on)
{
    struct fixture *f = launched(NULL);
    assign(f, 1, "sleep 1\necho\necho\nsleep 3600\necho");
    executor_cancel(f->executor, 0, 2, clock_now_ns());
    executor_cancel(f->executor, 0, 4, clock_now_ns());
    run_until_ended(f, 5);
    assert_finished(&f->ends[0], 1, RESULT_OK, 0);
    assert_end(&f->ends[1], CANCELLED, 2, 1);
    assert_finished(&f->ends[2], 3, RESULT_OK, 0);
    assert_end(&f->ends[3], CANCELLED, 4, 1);
    assert_end(&f->ends[4], RETURNED, 5, 1);
    finish(f);
}

Test(plugin_trouble, what_was_cancelled_behind_a_long_task_is_not_returned)
{
    struct fixture *f = launched_impatient();
    assign(f, 1, "sleep 1\necho\necho\necho");
    executor_cancel(f->executor, 0, 3, clock_now_ns());
    run_until_ended(f, 3);
    assert_end(&f->ends[0], RETURNED, 2, 1);
    assert_end(&f->ends[1], CANCELLED, 3, 1);
    assert_end(&f->ends[2], RETURNED, 4, 1);
    run_until_ended(f, 4);
    assert_finished(&f->ends[3], 1, RESULT_OK, 0);
    assert_works(f);
    finish(f);
}

Test(plugin_trouble, a_cancel_while_the_plugin_is_still_starting_ends_the_assignment)
{
    struct fixture *f = launched((char *[]){"sleep", NULL});
    assign(f, 1, "echo\necho");
    executor_cancel(f->executor, 0, 2, clock_now_ns());
    cr_assert_eq(f->tasks_ended, 0);
    executor_cancel(f->executor, 0, 1, clock_now_ns());
    cr_assert_eq(f->tasks_ended, 2);
    assert_end(&f->ends[0], CANCELLED, 1, 1);
    assert_end(&f->ends[1], CANCELLED, 2, 1);
    finish(f);
}

Test(plugin_trouble, a_plugin_that_scribbles_on_shared_memory_is_killed_and_goes_on)
{
    struct fixture *f = launched(NULL);
    run(f, 1, "echo\necho\nscribble\necho");
    cr_assert_eq(f->end_count, 2);
    assert_finished(&f->ends[0], 1, RESULT_SIGNALED, SIGKILL);
    cr_assert(has_text(&f->ends[0].err, "wrote over"));
    assert_end(&f->ends[1], RETURNED, 2, 3);
    assert_works(f);
    finish(f);
}

Test(plugin_trouble, a_plugin_that_closes_our_link_is_killed_and_goes_on)
{
    struct fixture *f = launched(NULL);
    run(f, 1, "echo\nhang-up\necho");
    assert_finished(&f->ends[0], 1, RESULT_OK, 0);
    assert_finished(&f->ends[1], 2, RESULT_SIGNALED, SIGKILL);
    assert_end(&f->ends[2], RETURNED, 3, 1);
    assert_works(f);
    finish(f);
}

static void assert_refused(const char *file, enum error expected, const char *words)
{
    struct fixture *f = prepare(file);
    struct why why = {""};
    cr_assert_eq(executor_new(&plugin_kind, &f->options, &f->events, &f->executor, &why), expected,
                 "%s", file);
    cr_assert(strstr(why.text, words), "%s", why.text);
    cr_assert(strstr(why.text, file), "%s", why.text);
    cr_assert_null(f->executor);
    cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1, "no child is left behind");
    close(f->children);
    free(f);
}

Test(plugin_trouble, a_file_that_is_no_plugin_is_refused_with_words_before_any_task)
{
    assert_refused(__FILE__, ERR_INVALID, "cannot load the plugin");
    assert_refused("/nonexistent.so", ERR_INVALID, "No such file");
    assert_refused(PLUGINS "/no_plugin.so", ERR_INVALID, "is no zfarm plugin");
    assert_refused(PLUGINS "/other_abi.so", ERR_INVALID, "plugin interface 1000");
    assert_refused(PLUGINS "/no_handle.so", ERR_INVALID, "does not export zfarm_handle");
}

Test(plugin_trouble, without_a_program_to_start_it_is_refused_with_words)
{
    struct fixture *f = prepare(PLUGINS "/trouble.so");
    struct why why = {""};
    f->options.program = "/nonexistent";
    cr_assert_eq(executor_new(&plugin_kind, &f->options, &f->events, &f->executor, &why), ERR_IO);
    cr_assert(strstr(why.text, "cannot start a process"), "%s", why.text);
    close(f->children);
    free(f);
}

Test(plugin_trouble, an_init_that_fails_is_no_failed_task)
{
    struct fixture *f = launched((char *[]){"fail", NULL});
    assign(f, 1, "echo\necho");
    run_until_broken(f);
    cr_assert(strstr(f->broken, "its zfarm_init returned 7"), "%s", f->broken);
    cr_assert_eq(f->end_count, 1);
    assert_end(&f->ends[0], RETURNED, 1, 2);
    f->broken[0] = 0;
    run(f, 1, "echo");
    assert_end(&f->ends[0], RETURNED, 1, 1);
    finish(f);
}

Test(plugin_trouble, an_init_that_crashes_is_no_failed_task)
{
    struct fixture *f = launched((char *[]){"crash", NULL});
    run_until_broken(f);
    cr_assert(strstr(f->broken, "signal 6"), "%s", f->broken);
    cr_assert(strstr(f->broken, "zfarm_init"), "%s", f->broken);
    cr_assert_eq(f->end_count, 0);
    finish(f);
}

Test(plugin_trouble, an_init_that_crashes_once_is_tried_again)
{
    char file[] = "/tmp/zfarm-test-XXXXXX";
    close(mkstemp(file));
    unlink(file);
    struct fixture *f = launched((char *[]){"crash-once", file, NULL});
    assert_works(f);
    cr_assert_eq(access(file, F_OK), 0, "it has crashed before");
    finish(f);
    unlink(file);
}

Test(plugin_trouble, an_idle_child_that_is_killed_is_replaced)
{
    struct fixture *f = launched(NULL);
    run(f, 1, "pid");
    buf_put_byte(&f->ends[0].out, 0);
    pid_t pid = atoi((const char *)f->ends[0].out.data);
    cr_assert_gt(pid, 1);
    kill(pid, SIGKILL);
    assign(f, 5, "count");
    while (f->tasks_ended < 1)
        turn(f);
    if (f->ends[0].how == RETURNED) /* it was sent before the death was known */
        run(f, 5, "count");
    assert_finished(&f->ends[0], 5, RESULT_OK, 0);
    cr_assert(is_text(&f->ends[0].out, "1"), "a fresh child runs it");
    finish(f);
}

static void read_to_end(int fd, char *text, size_t most)
{
    size_t size = 0;
    for (ssize_t got; size < most && (got = read(fd, text + size, most - size)) > 0;)
        size += (size_t)got;
    text[size] = '\0';
    close(fd);
}

Test(plugin_trouble, what_a_forked_child_writes_after_the_call_comes_to_the_workers_stderr)
{
    char text[4096], file[] = "/tmp/zfarm-test-XXXXXX";
    int ends[2], before = dup(STDERR_FILENO), made = mkstemp(file);
    cr_assert(made >= 0 && unlink(file) == 0); /* the name is what is wanted */
    close(made);
    cr_assert_eq(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    struct fixture *f = launched((char *[]){"well", file, NULL});
    run(f, 1, "fork\nfork");
    assert_finished(&f->ends[0], 1, RESULT_OK, 0);
    assert_finished(&f->ends[1], 2, RESULT_OK, 0);
    cr_assert(is_text(&f->ends[0].out, "") && is_text(&f->ends[0].err, ""));
    assert_works(f);
    run(f, 9, "abort");
    made = open(file, O_CREAT | O_WRONLY, 0600); /* they write now */
    cr_assert_geq(made, 0);
    close(made);
    finish(f);
    dup2(before, STDERR_FILENO); /* from here on only those that were forked hold the pipe */
    close(before);
    read_to_end(ends[0], text, sizeof text - 1);
    size_t lines = 0;
    for (const char *at = text; (at = strstr(at, "late ")); at++)
        lines++;
    cr_assert_eq(lines, 4, "%s", text);
    unlink(file);
}
