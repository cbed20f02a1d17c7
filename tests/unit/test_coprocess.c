/* SPDX-License-Identifier: MPL-2.0 */
#include "plugin_fixture.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "worker/exec/coprocess.h"

TestSuite(coprocess, .timeout = 60);

static struct executor_options options;
static char *words[2];

/* A fixture for a coprocess that is this shell script; change `options`, then begin. */
static struct fixture *scripted(char *script)
{
    struct fixture *f = prepare(NULL);
    words[0] = script;
    options = f->options;
    options.words = words;
    options.shell = true;
    return f;
}

static void begin(struct fixture *f)
{
    struct why why = {""};
    cr_assert_eq(executor_new(&coprocess_kind, &options, &f->events, &f->executor, &why), ERR_NONE,
                 "%s", why.text);
}

static struct fixture *begun(char *script)
{
    struct fixture *f = scripted(script);
    begin(f);
    return f;
}

/* Answers <x> for x; `die` ends it with 3, `kill` by a signal, `end` with 0, `slow` takes a minute. */
static char moody[] =
    "while read -r x; do case $x in die) exit 3 ;; kill) kill -9 $$ ;; end) exit 0 ;; "
    "slow) sleep 60 ;; esac; echo \"<$x>\"; done";

static void assert_answer(const struct end *end, uint64_t seq, const char *text)
{
    assert_finished(end, seq, RESULT_OK, 0);
    cr_assert(is_text(&end->out, text), "%.*s", (int)end->out.size, (char *)end->out.data);
}

Test(coprocess, a_line_in_is_a_line_out_in_the_same_order)
{
    struct fixture *f = begun(moody);
    run(f, 1, "a\nb\n\nc d");
    assert_answer(&f->ends[0], 1, "<a>\n");
    assert_answer(&f->ends[1], 2, "<b>\n");
    assert_answer(&f->ends[2], 3, "<>\n");
    assert_answer(&f->ends[3], 4, "<c d>\n");
    finish(f);
}

Test(coprocess, it_is_started_once_for_many_tasks)
{
    struct fixture *f = begun("n=0; while read -r x; do n=$((n + 1)); echo $n; done");
    for (uint64_t first = 1; first < 3000; first += 1000) {
        char text[2001];
        for (size_t i = 0; i < 1000; i++)
            memcpy(text + 2 * i, "x\n", 3);
        run(f, first, text);
        for (uint64_t i = 0; i < 1000; i++)
            cr_assert_eq(f->ends[i].seq, first + i);
    }
    assert_answer(&f->ends[999], 3000, "3000\n");
    finish(f);
}

static void costs_one(const char *task, enum result_status status, unsigned code,
                      const char *words_of)
{
    struct fixture *f = begun(moody);
    char text[32];
    snprintf(text, sizeof text, "a\n%s\nb\nc", task);
    run(f, 1, text);
    assert_answer(&f->ends[0], 1, "<a>\n");
    assert_finished(&f->ends[1], 2, status, code);
    cr_assert(*words_of ? has_text(&f->ends[1].err, words_of) : f->ends[1].err.size == 0);
    assert_end(&f->ends[2], RETURNED, 3, 2);
    run(f, 3, "b\nc");
    assert_answer(&f->ends[1], 4, "<c>\n");
    finish(f);
}

Test(coprocess, one_that_ends_costs_the_task_that_it_was_at_and_is_started_anew)
{
    costs_one("die", RESULT_EXITED, 3, "");
    costs_one("kill", RESULT_SIGNALED, SIGKILL, "");
    costs_one("end", RESULT_EXITED, 255, "ended with status 0 before");
}

Test(coprocess, one_that_closes_its_output_is_killed_with_words)
{
    struct fixture *f = begun("read -r x; exec >&-; sleep 60");
    run(f, 1, "a");
    assert_finished(&f->ends[0], 1, RESULT_EXITED, 255);
    cr_assert(has_text(&f->ends[0].err, "closed its output"));
    finish(f);
}

Test(coprocess, a_task_that_it_never_read_is_given_back)
{
    char marker[] = "/tmp/zfarm-coprocess-XXXXXX", script[128];
    close(mkstemp(marker));
    snprintf(script, sizeof script, "read -r x; echo $x; exec <&-; rm %s; exec sleep 60", marker);
    struct fixture *f = begun(script);
    run(f, 1, "a");
    assert_answer(&f->ends[0], 1, "a\n");
    while (access(marker, F_OK) == 0)
        usleep(1000);
    run(f, 2, "b\nc");
    assert_end(&f->ends[0], RETURNED, 2, 2);
    finish(f);
}

Test(coprocess, a_task_past_its_time_is_killed_and_costs_no_other)
{
    struct fixture *f = scripted(moody);
    options.timeout.ns = 200 * NS_PER_MS;
    begin(f);
    run(f, 1, "a\nslow\nb");
    assert_answer(&f->ends[0], 1, "<a>\n");
    assert_finished(&f->ends[1], 2, RESULT_TIMED_OUT, 0);
    assert_end(&f->ends[2], RETURNED, 3, 1);
    run(f, 3, "b");
    assert_answer(&f->ends[0], 3, "<b>\n");
    finish(f);
}

Test(coprocess, a_cancelled_task_has_no_result_whether_it_runs_or_waits)
{
    struct fixture *f = begun(moody);
    assign(f, 1, "slow\na\nb");
    while (!executor_running(f->executor, 0, &(uint64_t){0}))
        turn(f);
    executor_cancel(f->executor, 0, 2, clock_now_ns());
    executor_cancel(f->executor, 0, 1, clock_now_ns());
    executor_cancel(f->executor, 0, 9, clock_now_ns());
    run_until_ended(f, 3);
    assert_end(&f->ends[0], CANCELLED, 1, 1);
    assert_end(&f->ends[1], CANCELLED, 2, 1);
    assert_end(&f->ends[2], RETURNED, 3, 1);
    run(f, 3, "b");
    assert_answer(&f->ends[0], 3, "<b>\n");
    finish(f);
}

Test(coprocess, what_stands_behind_a_long_task_is_given_back)
{
    struct fixture *f = scripted("while read -r x; do sleep 0.$x; echo $x; done");
    options.patience_ns = 50 * NS_PER_MS;
    begin(f);
    run(f, 1, "5\n0\n0");
    assert_end(&f->ends[0], RETURNED, 2, 2);
    assert_answer(&f->ends[1], 1, "5\n");
    finish(f);
}

Test(coprocess, a_task_of_two_lines_is_a_bad_one_unless_lines_end_with_nul)
{
    struct fixture *f = begun("cat");
    task_put_line(&f->records, bytes_of("one"));
    task_put_line(&f->records, bytes_of("two\nlines"));
    task_put_line(&f->records, bytes_of("three"));
    give(f, 0, 1, 3);
    run_until_ended(f, 3);
    assert_answer(&f->ends[0], 1, "one\n");
    assert_finished(&f->ends[1], 2, RESULT_BAD_TASK, 0);
    cr_assert(has_text(&f->ends[1].err, "see -0"));
    assert_answer(&f->ends[2], 3, "three\n");
    finish(f);
    f = scripted("cat");
    options.null = true;
    begin(f);
    task_put_line(&f->records, bytes_of("two\nlines"));
    give(f, 0, 1, 1);
    run_until_ended(f, 1);
    assert_answer(&f->ends[0], 1, "two\nlines\n");
    finish(f);
}

Test(coprocess, a_line_that_nobody_asked_for_ends_it)
{
    struct fixture *f = begun("while read -r x; do printf '%s\\nmore\\n' $x; done");
    run(f, 1, "a");
    assert_answer(&f->ends[0], 1, "a\n");
    run_until_broken(f);
    cr_assert(strstr(f->broken, "wrote a line that nobody had asked for"), "%s", f->broken);
    finish(f);
}

Test(coprocess, one_that_never_answers_is_given_up_with_words)
{
    struct fixture *f = begun("exit 7");
    run_until_broken(f);
    cr_assert(strstr(f->broken, "ended with status 7 before it had answered a task"), "%s",
              f->broken);
    finish(f);
}

Test(coprocess, a_long_answer_goes_to_a_file_and_too_long_a_one_fails)
{
    struct fixture *f = begun("while read -r x; do head -c $x /dev/zero | tr '\\0' x; echo; done");
    run(f, 1, "2000000");
    assert_finished(&f->ends[0], 1, RESULT_OK, 0);
    cr_assert(f->ends[0].out_in_file && f->ends[0].out.size == 2000001);
    run(f, 2, "5000000");
    assert_finished(&f->ends[0], 2, RESULT_OUTPUT_TOO_LARGE, 0);
    cr_assert_eq(f->ends[0].out.size, 4 << 20);
    run(f, 3, "5");
    assert_answer(&f->ends[0], 3, "xxxxx\n");
    finish(f);
}

Test(coprocess, without_a_command_or_a_program_it_is_refused)
{
    struct fixture *f = scripted(NULL);
    struct why why;
    cr_assert_eq(executor_new(&coprocess_kind, &options, &f->events, &f->executor, &why),
                 ERR_INVALID);
    words[0] = "no-such-program";
    options.shell = false;
    cr_assert_eq(executor_new(&coprocess_kind, &options, &f->events, &f->executor, &why),
                 ERR_NOT_FOUND);
    words[0] = "cat";
    begin(f);
    run(f, 1, "a");
    assert_answer(&f->ends[0], 1, "a\n");
    finish(f);
}

Test(coprocess, a_line_of_many_pipes_full_goes_in_whole_and_the_next_ones_behind_it)
{
    enum { LONG = 3 << 20 };
    struct fixture *f = begun("while read -r x; do echo ${#x}; done");
    char *tasks = malloc(LONG + sizeof "\nab\nabc");
    memset(tasks, 'x', LONG);
    strcpy(tasks + LONG, "\nab\nabc");
    run(f, 1, tasks);
    assert_answer(&f->ends[0], 1, "3145728\n");
    assert_answer(&f->ends[1], 2, "2\n");
    assert_answer(&f->ends[2], 3, "3\n");
    free(tasks);
    finish(f);
}

/* `last` is answered half a second after the process has ended, by what it left behind. Who that is, after `never`,
 * stands in the file $LEFT. */
static char late[] = "while read -r x; do case $x in last) (sleep 0.5; echo late) & exit 3 ;; "
                     "never) sleep 1000 & echo $! >$LEFT; exit 4 ;; esac; echo \"<$x>\"; done";

Test(coprocess, what_a_dead_one_left_behind_may_still_answer)
{
    struct fixture *f = scripted(late);
    options.linger_ns = 100 * NS_PER_S;
    begin(f);
    run(f, 1, "a\nlast");
    assert_answer(&f->ends[0], 1, "<a>\n");
    assert_answer(&f->ends[1], 2, "late\n");
    run(f, 3, "b");
    assert_answer(&f->ends[0], 3, "<b>\n");
    finish(f);
}

static pid_t read_pid(const char *path)
{
    pid_t pid = 0;
    FILE *file = fopen(path, "r");
    cr_assert(file && fscanf(file, "%d", &pid) == 1 && pid > 1);
    fclose(file);
    return pid;
}

/* Also true of one that nobody has reaped yet. */
static bool ends_within(pid_t pid, int timeout_ms)
{
    struct pollfd end = {.fd = pidfd_open(pid, 0), .events = POLLIN};
    bool ended = end.fd < 0 || poll(&end, 1, timeout_ms) == 1;
    if (end.fd >= 0)
        close(end.fd);
    return ended;
}

Test(coprocess, what_holds_its_output_and_does_not_answer_ends_with_the_linger_or_the_timeout)
{
    char left[] = "/tmp/zfarm-coprocess-XXXXXX";
    close(mkstemp(left));
    setenv("LEFT", left, 1);
    struct fixture *f = scripted(late);
    options.linger_ns = 200 * NS_PER_MS;
    begin(f);
    run(f, 1, "a\nnever");
    assert_finished(&f->ends[1], 2, RESULT_EXITED, 4);
    run(f, 3, "b");
    assert_answer(&f->ends[0], 3, "<b>\n");
    finish(f);
    pid_t left_alone = read_pid(left);
    cr_expect(!ends_within(left_alone, 0), "after the linger it runs on");
    kill(left_alone, SIGKILL);
    cr_assert(ends_within(left_alone, 10000));
    f = scripted(late);
    options.linger_ns = 100 * NS_PER_S;
    options.timeout.ns = 300 * NS_PER_MS;
    begin(f);
    run(f, 1, "a\nnever");
    assert_finished(&f->ends[1], 2, RESULT_TIMED_OUT, 0);
    run(f, 3, "b");
    assert_answer(&f->ends[0], 3, "<b>\n");
    finish(f);
    cr_assert(ends_within(read_pid(left), 10000), "the timeout has killed it");
    unlink(left);
}

Test(coprocess, the_time_that_it_is_held_does_not_count)
{
    struct fixture *f = scripted("while read -r x; do sleep 0.2; echo $x; done");
    options.timeout.ns = NS_PER_S;
    begin(f);
    executor_hold(f->executor, clock_now_ns());
    usleep(1200 * 1000);
    cr_expect_eq(executor_deadline(f->executor), NEVER);
    executor_go(f->executor, clock_now_ns());
    run(f, 1, "a");
    assert_answer(&f->ends[0], 1, "a\n");
    finish(f);
}
