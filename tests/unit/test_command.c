/* SPDX-License-Identifier: MPL-2.0 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "tests/unit/command_farm.h"

TestSuite(command, .timeout = 120);

Test(command, runs_a_program_without_a_shell_and_captures_both_streams)
{
    OPEN_FARM(farm, false, WORDS("printf", "%s|", "{}", "a b", "$HOME"));
    uint64_t before_us = clock_realtime_us();
    struct ending *ending = farm_run(&farm, "x y");
    expect_status(ending, RESULT_OK, 0);
    expect_out(ending, "x y|a b|$HOME|");
    cr_expect_eq(ending->err.size, 1);
    cr_expect_eq(ending->outcome.seq, 10);
    cr_expect(
        bytes_equal(buf_bytes(&ending->command), bytes_of("printf '%s|' 'x y' 'a b' '$HOME'")));
    cr_expect_geq(ending->outcome.start_us, before_us);
    cr_expect_gt(ending->outcome.duration_ns, 0);
    cr_expect_lt(ending->outcome.duration_ns, DEADLINE_S * NS_PER_S);
    farm_close(&farm);
}

Test(command, runs_both_slots_at_once_and_again)
{
    OPEN_FARM(farm, true, WORDS("echo {}; echo err-{} >&2"));
    for (unsigned round = 1; round <= 20; round++) {
        farm_start(&farm, 0, "a");
        farm_start(&farm, 1, "b");
        farm_await(&farm, round * 2);
        expect_out(&farm.slots[0], "a\n");
        expect_out(&farm.slots[1], "b\n");
        expect_err(&farm.slots[1], "err-b\n");
    }
    cr_expect_eq(farm.slots[0].finished, 20);
    farm_close(&farm);
}

Test(command, with_a_shell_and_no_command_the_task_is_the_line)
{
    OPEN_FARM(farm, true, NO_WORDS);
    struct ending *ending = farm_run(&farm, "echo 'a  b' | tr a-z A-Z");
    expect_out(ending, "A  B\n");
    cr_expect(bytes_equal(buf_bytes(&ending->command), bytes_of("echo 'a  b' | tr a-z A-Z")));
    farm_close(&farm);
}

Test(command, no_command_line_is_made_when_none_is_wanted)
{
    OPEN_FARM(farm, false, WORDS("true"));
    farm.options.want_command = false;
    cr_expect_eq(farm_run(&farm, "x")->command.size, 0);
    farm_close(&farm);
}

Test(command, exit_statuses_and_signals_are_told)
{
    OPEN_FARM(farm, true, NO_WORDS);
    expect_status(farm_run(&farm, "exit 3"), RESULT_EXITED, 3);
    expect_status(farm_run(&farm, "kill -9 $$"), RESULT_SIGNALED, SIGKILL);
    expect_status(farm_run(&farm, "exit 0"), RESULT_OK, 0);
    farm_close(&farm);
}

Test(command, a_child_has_a_clean_environment_and_its_own_variables)
{
    setenv("ZFARM_CONNECT", "tcp://x", 1);
    setenv("KEPT", "yes", 1);
    OPEN_FARM(farm, true, NO_WORDS);
    farm_start(&farm, 1, "echo $ZFARM_SEQ $ZFARM_SLOT $ZFARM_ATTEMPT $ZFARM_WORKER $KEPT; env");
    farm_await(&farm, 1);
    buf_put_byte(&farm.slots[1].out, '\0');
    const char *out = (char *)farm.slots[1].out.data;
    cr_expect_eq(strncmp(out, "11 2 3 here yes\n", 16), 0, "%s", out);
    cr_expect_null(strstr(out, "ZFARM_CONNECT"));
    farm_close(&farm);
}

/* Signals 32 and 33 are the C library's own: its posix_spawn ignores them in whatever it starts, so
 * that this program may have inherited that. Descriptor 3 is the directory that is being read. */
Test(command, a_child_has_no_signal_blocked_or_ignored_and_no_descriptor_too_many)
{
    cr_assert_eq(close_range(3, ~0U, CLOSE_RANGE_CLOEXEC), 0); /* Criterion's */
    OPEN_FARM(farm, true, NO_WORDS);
    farm_start(&farm, 1, "sleep 1000");
    struct ending *ending = farm_run(
        &farm, "grep -E 'Sig(Blk|Ign)' /proc/self/status | sed s/00000001800/00000000000/");
    expect_out(ending, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    expect_out(farm_run(&farm, "cd /proc/self/fd; echo *"), "0 1 2 3\n");
    expect_out(farm_run(&farm, "test $(cut -d' ' -f5 /proc/$$/stat) = $$ && echo own"), "own\n");
    farm_close(&farm);
}

Test(command, a_command_that_reads_stdin_gets_its_end)
{
    OPEN_FARM(farm, false, WORDS("cat", "-", "{}"));
    struct ending *ending = farm_run(&farm, "/dev/null");
    expect_status(ending, RESULT_OK, 0);
    expect_out(ending, "");
    farm_close(&farm);
}

Test(command, children_left_behind_with_stdout_are_neither_waited_for_nor_killed)
{
    OPEN_FARM(farm, true, NO_WORDS);
    struct ending *ending = farm_run(&farm, "sleep 1000 & echo $!");
    expect_status(ending, RESULT_OK, 0);
    buf_put_byte(&ending->out, '\0');
    pid_t left = (pid_t)strtol((char *)ending->out.data, NULL, 10);
    cr_assert_gt(left, 0);
    cr_expect_eq(kill(left, 0), 0);
    kill(left, SIGKILL);
    farm_close(&farm);
}

Test(command, what_was_written_just_before_the_exit_is_not_lost)
{
    OPEN_FARM(farm, true, NO_WORDS);
    for (int i = 0; i < 20; i++)
        cr_expect_eq(
            farm_run(&farm, "head -c 65536 /dev/zero; exec head -c 60000 /dev/zero >&2")->out.size,
            65536);
    cr_expect_eq(farm.slots[0].err.size, 60001);
    farm_close(&farm);
}

Test(command, a_large_output_comes_in_a_file)
{
    OPEN_FARM(farm, true, NO_WORDS);
    struct ending *ending = farm_run(&farm, "head -c 3000000 /dev/zero; yes | head -c 2000000 >&2");
    expect_status(ending, RESULT_OK, 0);
    cr_expect_geq(ending->outcome.out.fd, 0);
    cr_expect_eq(ending->out.size, 3000000);
    cr_expect_eq(ending->err.size, 2000001);
    cr_expect_eq(memcmp(ending->err.data + 1999990, "y\ny\ny\ny\ny\n", 10), 0);
    cr_expect_eq(farm_run(&farm, "echo small")->outcome.out.fd, -1);
    expect_out(ending, "small\n");
    farm_close(&farm);
}

Test(command, a_task_that_writes_more_than_output_max_is_killed)
{
    struct farm farm = farm_of(true, NO_WORDS);
    farm.options.output_max = 100000;
    cr_assert_eq(farm_open(&farm), ERR_NONE);
    struct ending *ending = farm_run(&farm, "yes");
    expect_status(ending, RESULT_OUTPUT_TOO_LARGE, 0);
    cr_expect_eq(ending->out.size, 100000);
    expect_status(farm_run(&farm, "head -c 100000 /dev/zero"), RESULT_OK, 0);
    cr_expect_eq(ending->out.size, 100000);
    expect_status(farm_run(&farm, "head -c 100001 /dev/zero"), RESULT_OUTPUT_TOO_LARGE, 0);
    expect_status(farm_run(&farm, "yes >&2"), RESULT_OUTPUT_TOO_LARGE, 0);
    farm_close(&farm);
}

Test(command, output_that_finds_no_room_fails_the_task_with_words)
{
    struct farm farm = farm_of(true, NO_WORDS);
    farm.options.tmpdir = "/no/such/directory";
    cr_assert_eq(farm_open(&farm), ERR_NONE);
    struct ending *ending = farm_run(&farm, "echo mine >&2; yes");
    expect_status(ending, RESULT_OUTPUT_TOO_LARGE, 0);
    cr_expect_gt(ending->out.size, 900000);
    expect_err(ending,
               "mine\nzfarm: this task was killed, its output could not be kept in /no/such");
    expect_err(ending, "No such file");
    farm_close(&farm);
}

Test(command, on_a_full_disk_the_beginning_of_the_output_stays_and_the_words)
{
    signal(SIGXFSZ, SIG_IGN);
    OPEN_FARM(farm, true, NO_WORDS);
    struct rlimit limit = {2 << 20, 2 << 20};
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    struct ending *ending = farm_run(&farm, "yes >&2");
    expect_status(ending, RESULT_OUTPUT_TOO_LARGE, 0);
    cr_expect_gt(ending->err.size, 64 << 10);
    cr_expect_lt(ending->err.size, 65 << 10);
    const char *end = (char *)ending->err.data + ending->err.size - 2;
    cr_expect(memmem(end - 300, 300, "zfarm: this task was killed", 27));
    cr_expect_eq(*end, '\n');
    farm_close(&farm);
}

Test(command, a_task_that_closes_its_streams_goes_on_and_costs_no_turns)
{
    OPEN_FARM(farm, true, NO_WORDS);
    farm_start(&farm, 0, "echo out; exec >&- 2>&-; sleep 0.3; exit 4");
    unsigned turns = 0;
    for (; !farm.endings; turns++)
        farm_turn(&farm);
    expect_status(&farm.slots[0], RESULT_EXITED, 4);
    expect_out(&farm.slots[0], "out\n");
    cr_expect_leq(turns, 5);
    farm_close(&farm);
}

Test(command, a_task_that_runs_out_of_time_is_ended_with_its_group)
{
    struct farm farm = farm_of(true, NO_WORDS);
    farm.options.timeout.ns = 200 * NS_PER_MS;
    cr_assert_eq(farm_open(&farm), ERR_NONE);
    struct ending *ending = farm_run(&farm, "echo begun; sleep 1000 & echo $!; wait");
    expect_status(ending, RESULT_TIMED_OUT, 0);
    cr_expect_geq(ending->outcome.duration_ns, 200 * NS_PER_MS);
    cr_expect_eq(memcmp(ending->out.data, "begun\n", 6), 0);
    expect_status(farm_run(&farm, "true"), RESULT_OK, 0);
    farm_close(&farm);
}

Test(command, a_task_that_ignores_term_is_killed)
{
    struct farm farm = farm_of(true, NO_WORDS);
    farm.options.timeout.ns = 100 * NS_PER_MS;
    farm.options.kill_after_ns = 300 * NS_PER_MS;
    cr_assert_eq(farm_open(&farm), ERR_NONE);
    struct ending *ending = farm_run(&farm, "trap '' TERM; while :; do sleep 0.05; done");
    expect_status(ending, RESULT_TIMED_OUT, 0);
    cr_expect_geq(ending->outcome.duration_ns, 400 * NS_PER_MS);
    cr_expect_eq(executor_deadline(farm.executor), NEVER);
    farm_close(&farm);
}

/* The long one had begun before anybody knew how long tasks take. */
Test(command, a_task_that_takes_more_than_percent_of_the_median_is_ended)
{
    struct farm farm = farm_of(true, NO_WORDS);
    farm.options.timeout.percent = 400;
    cr_assert_eq(farm_open(&farm), ERR_NONE);
    farm_start(&farm, 1, "sleep 1000");
    cr_expect_eq(executor_deadline(farm.executor), NEVER);
    for (unsigned i = 0; i < 2; i++) {
        expect_status(farm_run(&farm, "sleep 0.1"), RESULT_OK, 0);
        expect_status(farm_run(&farm, "exit 3"), RESULT_EXITED, 3); /* does not count */
    }
    cr_expect_eq(executor_deadline(farm.executor), NEVER);
    farm_start(&farm, 0, "sleep 0.1");
    farm_await(&farm, 6);
    expect_status(&farm.slots[1], RESULT_TIMED_OUT, 0);
    cr_expect_geq(farm.slots[1].outcome.duration_ns, 390 * NS_PER_MS);
    expect_status(farm_run(&farm, "sleep 0.1"), RESULT_OK, 0);
    farm_close(&farm);
}

/* The pipe's end says that nobody of the group is left. */
Test(command, what_ignores_term_in_the_group_of_a_timed_out_task_dies_with_it)
{
    int held[2];
    cr_assert_eq(pipe2(held, 0), 0);
    struct farm farm = farm_of(true, NO_WORDS);
    farm.options.timeout.ns = 300 * NS_PER_MS;
    cr_assert_eq(farm_open(&farm), ERR_NONE);
    farm_start(&farm, 0, "(trap '' TERM; while :; do sleep 1; done) & wait");
    close(held[1]);
    farm_await(&farm, 1);
    expect_status(&farm.slots[0], RESULT_TIMED_OUT, 0);
    struct pollfd end = {.fd = held[0], .events = POLLIN};
    cr_expect_eq(poll(&end, 1, 10000), 1);
    farm_close(&farm);
}

Test(command, a_cancelled_task_has_no_result)
{
    OPEN_FARM(farm, true, NO_WORDS);
    uint64_t since_ns = 0, before_ns = clock_now_ns();
    farm_start(&farm, 0, "sleep 1000");
    cr_expect_eq(executor_running(farm.executor, 0, &since_ns), 10);
    cr_expect_geq(since_ns, before_ns);
    cr_expect_eq(executor_running(farm.executor, 1, &since_ns), 0);
    executor_cancel(farm.executor, 1, 10, clock_now_ns());
    executor_cancel(farm.executor, 0, 99, clock_now_ns());
    cr_expect_eq(executor_deadline(farm.executor), NEVER, "no such task: nothing happens");
    executor_cancel(farm.executor, 0, 10, clock_now_ns());
    farm_await(&farm, 1);
    cr_expect_eq(farm.slots[0].cancelled, 1);
    cr_expect_eq(farm.slots[0].finished, 0);
    cr_expect_eq(executor_running(farm.executor, 0, &since_ns), 0);
    farm_close(&farm);
}

Test(command, a_child_of_others_is_not_taken)
{
    OPEN_FARM(farm, true, NO_WORDS);
    cr_expect_not(executor_child_exited(farm.executor, getpid(), 0, clock_now_ns()));
    farm_close(&farm);
}

Test(command, destroying_kills_what_runs_without_a_word)
{
    int held[2];
    cr_assert_eq(pipe2(held, 0), 0);
    OPEN_FARM(farm, true, NO_WORDS);
    farm_start(&farm, 0, "trap '' TERM; sleep 1000; sleep 1000");
    close(held[1]);
    farm_close(&farm);
    struct pollfd end = {.fd = held[0], .events = POLLIN};
    cr_expect_eq(poll(&end, 1, 10000), 1);
    cr_expect_eq(farm.endings, 0);
}

Test(command, thousands_of_tasks_leave_no_descriptor_behind)
{
    OPEN_FARM(farm, false, WORDS("true"));
    int lowest = dup(0);
    close(lowest);
    for (int i = 0; i < 1000; i++)
        farm_run(&farm, "x");
    int again = dup(0);
    cr_expect_eq(again, lowest);
    cr_expect_eq(farm.slots[0].finished, 1000);
    farm_close(&farm);
}
