/* SPDX-License-Identifier: MPL-2.0 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "tests/unit/command_farm.h"
#include "worker/exec/drain.h"
#include "worker/exec/guard.h"

TestSuite(linger, .timeout = 120);

#define LONG_NS (1000 * NS_PER_S)

/* A farm of a shell whose tasks may leave something behind, with a guard and so a drain. */
static void farm_lingers_of(struct farm *farm, struct executor_options base)
{
    struct why why;
    *farm = farm_of(true, NO_WORDS);
    farm->options.linger_ns = base.linger_ns;
    farm->options.timeout = base.timeout;
    farm->options.output_max = base.output_max ? base.output_max : 16 << 20;
    farm->options.kill_after_ns = base.kill_after_ns ? base.kill_after_ns : 10 * NS_PER_S;
    cr_assert_eq(guard_new(&farm->options.guard, GUARD_PROGRAM, &why), ERR_NONE, "%s", why.text);
    cr_assert_eq(farm_open(farm), ERR_NONE, "%s", farm->why.text);
}

static void farm_lingers(struct farm *farm, uint64_t linger_ns, uint64_t timeout_ns)
{
    farm_lingers_of(
        farm, (struct executor_options){.linger_ns = linger_ns, .timeout = {.ns = timeout_ns}});
}

static void farm_ends(struct farm *farm)
{
    struct guard *guard = farm->options.guard;
    farm_close(farm);
    guard_destroy(&guard);
}

/* A pipe that what a task leaves behind holds open: its end says that all of it is gone. */
struct trace {
    int ends[2];
};

static struct trace trace_open(void)
{
    struct trace trace;
    cr_assert_eq(pipe2(trace.ends, 0), 0);
    return trace;
}

static bool trace_gone(struct trace *trace, int timeout_ms)
{
    struct pollfd end = {.fd = trace->ends[0], .events = POLLIN};
    return poll(&end, 1, timeout_ms) == 1;
}

static void await_file(const char *path, off_t size)
{
    struct stat status = {0};
    for (int i = 0; i < 6000 && (stat(path, &status) || status.st_size < size); i++)
        poll(NULL, 0, 10);
    cr_expect_geq(status.st_size, size, "%s", path);
}

static pid_t number_in(const struct buf *out)
{
    char text[32] = "";
    memcpy(text, out->data, out->size < sizeof text - 1 ? out->size : sizeof text - 1);
    return (pid_t)strtol(text, NULL, 10);
}

Test(linger, what_a_background_process_writes_is_the_tasks_output)
{
    struct farm farm;
    farm_lingers(&farm, LONG_NS, 0);
    struct ending *ending = farm_run(&farm, "(sleep 0.3; echo out; echo err >&2) & exit 3");
    expect_status(ending, RESULT_EXITED, 3);
    expect_out(ending, "out\n");
    expect_err(ending, "err\n");
    cr_expect_not(ending->outcome.cut);
    cr_expect_lt(ending->outcome.duration_ns, 300 * NS_PER_MS, "it is that of the process");
    expect_out(farm_run(&farm, "echo next"), "next\n");
    farm_ends(&farm);
}

Test(linger, a_slot_is_busy_while_the_output_is_held)
{
    struct farm farm;
    uint64_t since_ns;
    farm_lingers(&farm, LONG_NS, 0);
    farm_start(&farm, 0, "sleep 0.5 & :");
    farm_start(&farm, 1, "exit 0");
    farm_await(&farm, 1);
    if (farm.slots[1].finished)
        cr_expect_eq(executor_running(farm.executor, 0, &since_ns), 10);
    farm_await(&farm, 2);
    cr_expect_eq(executor_running(farm.executor, 0, &since_ns), 0);
    cr_expect_eq(executor_deadline(farm.executor), NEVER);
    farm_ends(&farm);
}

Test(linger, much_output_that_comes_late_comes_whole)
{
    struct farm farm;
    farm_lingers(&farm, LONG_NS, 0);
    struct ending *ending = farm_run(&farm, "(head -c 3000000 /dev/zero) & :");
    expect_status(ending, RESULT_OK, 0);
    cr_expect_eq(ending->out.size, 3000000);
    farm_ends(&farm);
}

Test(linger, when_it_is_over_the_output_is_cut_and_the_writer_lives_and_is_named)
{
    struct farm farm;
    char file[] = "/tmp/zfarm-linger-XXXXXX", task[200];
    close(mkstemp(file));
    farm_lingers(&farm, 200 * NS_PER_MS, 0);
    snprintf(task, sizeof task,
             "(trap 'echo pipe >>%s' PIPE; sleep 1; echo late; echo late; echo on >>%s) & echo $!",
             file, file);
    struct ending *ending = farm_run(&farm, task);
    expect_status(ending, RESULT_OK, 0);
    cr_expect(ending->outcome.cut);
    cr_expect_eq(number_in(&ending->out), ending->outcome.cut_by);
    await_file(file, 3);
    char text[8] = "";
    int fd = open(file, O_RDONLY);
    cr_expect_eq(read(fd, text, sizeof text - 1), 3);
    cr_expect_str_eq(text, "on\n");
    close(fd);
    unlink(file);
    farm_ends(&farm);
}

Test(linger, of_zero_does_not_wait_and_kills_nobody)
{
    struct farm farm;
    char file[] = "/tmp/zfarm-linger-XXXXXX", task[100];
    close(mkstemp(file));
    farm_lingers(&farm, 0, 0);
    snprintf(task, sizeof task, "(sleep 0.5; yes | head -c 200000; echo on >>%s) & echo x", file);
    struct ending *ending = farm_run(&farm, task);
    expect_status(ending, RESULT_OK, 0);
    expect_out(ending, "x\n");
    cr_expect(ending->outcome.cut);
    await_file(file, 3);
    unlink(file);
    farm_ends(&farm);
}

Test(linger, a_writer_outlives_executor_and_guard)
{
    struct farm farm;
    char file[] = "/tmp/zfarm-linger-XXXXXX", task[100];
    close(mkstemp(file));
    farm_lingers(&farm, 0, 0);
    snprintf(task, sizeof task, "(sleep 1; echo x; echo x; echo on >>%s) & :", file);
    farm_run(&farm, task);
    pid_t drain = drain_pid(guard_drain(farm.options.guard));
    cr_expect_gt(drain, 0);
    farm_ends(&farm);
    await_file(file, 3);
    unlink(file);
}

Test(linger, a_task_that_leaves_nobody_behind_starts_no_drain)
{
    struct farm farm;
    farm_lingers(&farm, LONG_NS, 0);
    farm_run(&farm, "echo x; (sleep 0.1; echo y) & :");
    cr_expect_eq(drain_pid(guard_drain(farm.options.guard)), 0);
    farm_ends(&farm);
}

Test(linger, the_timeout_counts_on_and_ends_who_holds_the_output)
{
    struct farm farm;
    struct trace trace = trace_open();
    farm_lingers(&farm, LONG_NS, NS_PER_S);
    farm_start(&farm, 0, "echo x; sleep 1000 & setsid sleep 1000 & :");
    close(trace.ends[1]);
    farm_await(&farm, 1);
    expect_status(&farm.slots[0], RESULT_TIMED_OUT, 0);
    expect_out(&farm.slots[0], "x\n");
    cr_expect(trace_gone(&trace, 10000));
    farm_ends(&farm);
}

Test(linger, who_ignores_term_is_killed_after_kill_after)
{
    struct farm farm;
    struct trace trace = trace_open();
    farm_lingers_of(&farm, (struct executor_options){.linger_ns = LONG_NS,
                                                     .timeout = {.ns = 300 * NS_PER_MS},
                                                     .kill_after_ns = 300 * NS_PER_MS});
    farm_start(&farm, 0, "trap '' TERM; (while :; do sleep 0.05; done) & :");
    close(trace.ends[1]);
    farm_await(&farm, 1);
    expect_status(&farm.slots[0], RESULT_TIMED_OUT, 0);
    cr_expect(trace_gone(&trace, 10000));
    farm_ends(&farm);
}

Test(linger, the_end_of_the_executor_kills_what_lingers)
{
    struct farm farm;
    uint64_t begin_ns = clock_now_ns();
    struct trace trace = trace_open();
    farm_lingers(&farm, LONG_NS, 0);
    farm_start(&farm, 0, "trap '' TERM; sleep 1000 & setsid sleep 1000 & :");
    close(trace.ends[1]);
    while (clock_now_ns() < begin_ns + 300 * NS_PER_MS)
        farm_turn(&farm);
    farm_ends(&farm);
    cr_expect(trace_gone(&trace, 10000));
}

Test(linger, a_cancelled_one_ends_at_once_and_is_discarded)
{
    struct farm farm;
    uint64_t since_ns, begin_ns = clock_now_ns();
    struct trace trace = trace_open();
    farm_lingers(&farm, LONG_NS, 0);
    farm_start(&farm, 0, "sleep 1000 & :");
    close(trace.ends[1]);
    while (clock_now_ns() < begin_ns + 500 * NS_PER_MS)
        farm_turn(&farm);
    cr_expect_eq(executor_running(farm.executor, 0, &since_ns), 10);
    executor_cancel(farm.executor, 0, 10, clock_now_ns());
    farm_turn(&farm);
    cr_expect_eq(farm.slots[0].cancelled, 1);
    cr_expect(trace_gone(&trace, 10000));
    farm_ends(&farm);
}

Test(linger, too_much_of_late_output_fails_the_task)
{
    struct farm farm;
    struct trace trace = trace_open();
    farm_lingers_of(&farm, (struct executor_options){.linger_ns = LONG_NS, .output_max = 100000});
    farm_start(&farm, 0, "(sleep 0.2; exec yes) & :");
    close(trace.ends[1]);
    farm_await(&farm, 1);
    expect_status(&farm.slots[0], RESULT_OUTPUT_TOO_LARGE, 0);
    cr_expect_eq(farm.slots[0].out.size, 100000);
    cr_expect(trace_gone(&trace, 10000));
    farm_ends(&farm);
}

Test(linger, beyond_what_the_drain_takes_the_slot_stays_busy)
{
    struct farm farm;
    uint64_t since_ns, begin_ns = clock_now_ns();
    farm_lingers(&farm, 0, 0);
    int fds[2];
    cr_assert_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    rlim_t most = files.rlim_cur / 4 < DRAIN_PIPES_MAX ? files.rlim_cur / 4 : DRAIN_PIPES_MAX;
    for (rlim_t taken = 0; taken < most;)
        if (drain_add(guard_drain(farm.options.guard), fds[0]))
            taken++;
        else
            poll(NULL, 0, 1); /* until it has read what was sent */
    cr_expect_not(drain_add(guard_drain(farm.options.guard), fds[0]));
    farm_start(&farm, 0, "sleep 1000 & :");
    while (clock_now_ns() < begin_ns + NS_PER_S)
        farm_turn(&farm);
    cr_expect_eq(executor_running(farm.executor, 0, &since_ns), 10);
    close(fds[1]); /* all of them end */
    farm_await(&farm, 1);
    cr_expect(farm.slots[0].outcome.cut);
    kill(farm.slots[0].outcome.cut_by, SIGKILL);
    farm_ends(&farm);
}

Test(linger, a_task_has_a_session_of_its_own_and_no_terminal)
{
    struct farm farm;
    farm_lingers(&farm, 0, 0);
    struct ending *ending =
        farm_run(&farm, "test $(cut -d' ' -f6 /proc/$$/stat) = $$ && echo own; read x </dev/tty");
    expect_out(ending, "own\n");
    cr_expect_eq(ending->outcome.status, RESULT_EXITED);
    farm_ends(&farm);
}

Test(linger, a_stopped_task_is_ended_by_its_timeout_at_once)
{
    struct farm farm;
    farm_lingers(&farm, 0, 300 * NS_PER_MS);
    struct ending *ending = farm_run(&farm, "kill -STOP $$; :");
    expect_status(ending, RESULT_TIMED_OUT, 0);
    cr_expect_lt(ending->outcome.duration_ns, 8 * NS_PER_S, "KILL would come after 10 s");
    farm_ends(&farm);
}

/* As `timeout` and shells with job control make them. */
Test(linger, a_timeout_ends_what_is_in_other_groups_and_sessions)
{
    struct farm farm;
    struct trace trace = trace_open();
    farm_lingers(&farm, LONG_NS, NS_PER_S);
    farm_start(&farm, 0, "timeout 1000 sleep 1000 & setsid -w sleep 1000 & wait");
    close(trace.ends[1]);
    farm_await(&farm, 1);
    expect_status(&farm.slots[0], RESULT_TIMED_OUT, 0);
    cr_expect(trace_gone(&trace, 10000));
    farm_ends(&farm);
}

Test(linger, who_holds_the_output_is_told)
{
    struct farm farm;
    farm_lingers(&farm, LONG_NS, 0);
    struct ending *ending = &farm.slots[0];
    farm_start(&farm, 0, "exec 3>&1; exec >&- 2>&-; sleep 60 & echo $! >&3");
    while (!ending->held_by)
        farm_turn(&farm);
    kill(ending->held_by, SIGKILL);
    farm_await(&farm, 1);
    cr_expect_eq(ending->held_by, number_in(&ending->out));
    cr_expect_str_eq(ending->held_name, "sleep");
    farm_ends(&farm);
}

Test(linger, a_stopped_task_is_told_and_goes_on)
{
    struct farm farm;
    farm_lingers(&farm, 0, 0);
    farm_start(&farm, 0, "echo $$ >&2; kill -STOP $$; echo on");
    while (!farm.slots[0].stopped)
        farm_turn(&farm);
    uint64_t begin_ns = clock_now_ns();
    executor_hold(farm.executor, begin_ns);
    executor_go(farm.executor, clock_now_ns());
    farm_await(&farm, 1);
    expect_out(&farm.slots[0], "on\n");
    cr_expect_not(farm.slots[0].stopped);
    farm_ends(&farm);
}

/* All of the session, also what is in another group: nothing of it moves while it is held. */
Test(linger, held_tasks_stand_still_and_that_time_does_not_count)
{
    struct farm farm;
    char file[] = "/tmp/zfarm-linger-XXXXXX", task[200];
    int fd = mkstemp(file);
    struct stat before, after;
    farm_lingers(&farm, LONG_NS, 1500 * NS_PER_MS);
    snprintf(
        task, sizeof task,
        "for g in 1 2; do setsid -w sh -c 'i=0; while [ $i -lt 30 ]; do i=$((i + 1)); echo x >>%s; "
        "sleep 0.02; done' & done; wait; echo done",
        file);
    farm_start(&farm, 0, task);
    await_file(file, 4);
    executor_hold(farm.executor, clock_now_ns());
    cr_expect_eq(executor_deadline(farm.executor), NEVER);
    poll(NULL, 0, 300); /* for what was being started when all were stopped */
    cr_assert_eq(fstat(fd, &before), 0);
    poll(NULL, 0, 1500);
    cr_assert_eq(fstat(fd, &after), 0);
    cr_expect_eq(before.st_size, after.st_size);
    executor_go(farm.executor, clock_now_ns());
    farm_await(&farm, 1);
    cr_expect_lt(farm.slots[0].outcome.duration_ns, 1800 * NS_PER_MS);
    close(fd);
    unlink(file);
    farm_ends(&farm);
}
