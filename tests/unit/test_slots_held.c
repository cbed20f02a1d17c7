/* SPDX-License-Identifier: MPL-2.0 */
#include <signal.h>
#include <string.h>

#include "tests/unit/slots_rig.h"

/* Ends by signals that are none of ours: failures, or interruptions of the whole worker. */
static struct rig r;

enum { HOLD_MS = 250 };
static const unsigned interrupting[] = {SIGTERM, SIGINT, SIGHUP, SIGXCPU, SIGKILL};
enum { INTERRUPTING = sizeof interrupting / sizeof *interrupting };

static void begin(void)
{
    rig_begin(&r);
}

static void end(void)
{
    rig_end(&r);
}

TestSuite(slots_held, .init = begin, .fini = end, .timeout = 60);

static void two_run(void)
{
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 2, TASK_LAST);
    rig_turn(&r);
    rig_forget(&r);
}

static void again(void)
{
    rig_end(&r);
    rig_begin(&r);
}

Test(slots_held, a_task_that_is_signaled_with_its_worker_is_given_back_in_either_order)
{
    for (size_t i = 0; i < 2 * INTERRUPTING; i++, again()) {
        unsigned number = interrupting[i / 2];
        two_run();
        if (i % 2)
            x_signaled(&r, 0, 1, number);
        else
            x_exits(&r, 0, 1, 128 + number);
        rig_expect(&r, "");
        rig_pass(&r, (HOLD_MS - 1) * NS_PER_MS);
        rig_expect(&r, "");
        slots_drain(r.s, r.now_ns);
        rig_expect(&r,
                   "RETURNED tasks=none reason=leaving RETURNED tasks=1 reason=interrupted LEAVE");
        x_signaled(&r, 1, 2, number); /* it held out for longer */
        rig_expect(&r, "RETURNED tasks=2 reason=interrupted");
        v_end(&r);
        rig_expect(&r, "RETURNED tasks=none reason=leaving BYE EXIT 0");
    }
}

Test(slots_held, a_task_that_is_signaled_alone_has_failed_and_its_slot_was_busy_until_that_is_known)
{
    for (size_t i = 0; i < INTERRUPTING; i++, again()) {
        two_run();
        x_ok(&r, 1, 2);
        x_signaled(&r, 0, 1, interrupting[i]);
        v_tasks(&r, 3, 2, TASK_LAST);
        rig_expect(&r, "START 1:3 FINISHED 2 RESULTS 1/1 2");
        rig_pass(&r, (HOLD_MS - 1) * NS_PER_MS);
        rig_expect(&r, "");
        rig_pass(&r, NS_PER_MS);
        rig_expect(&r, "START 0:4 FINISHED 1 failed=1 RESULTS 2/1 1");
    }
}

Test(slots_held, what_else_ends_a_task_is_its_own_also_in_a_worker_that_leaves)
{
    two_run();
    slots_drain(r.s, r.now_ns);
    x_signaled(&r, 0, 1, SIGSEGV);
    x_exits(&r, 1, 2, 1);
    rig_expect(&r,
               "RETURNED tasks=none reason=leaving FINISHED 1-2 failed=2 RESULTS 1/1 1-2 LEAVE");
    again();
    two_run();
    x_exits(&r, 0, 1, 128 + SIGPIPE);
    x_ends(&r, 1, 2, RESULT_TIMED_OUT, "");
    rig_expect(&r, "FINISHED 1-2 failed=2 RESULTS 1/1 1-2");
}

Test(slots_held, a_signal_of_ours_is_judged_at_once)
{
    struct outcome outcome = {
        .seq = 1, .status = RESULT_SIGNALED, .code = SIGKILL, .out.fd = -1, .err.fd = -1};
    two_run();
    slots_finished(r.s, &outcome, r.now_ns);
    rig_pass(&r, 20 * NS_PER_MS);
    rig_expect(&r, "FINISHED 1 failed=1 RESULTS 1/1 1");
}

Test(slots_held, its_output_is_there_when_it_was_a_failure)
{
    two_run();
    x_signaled(&r, 0, 1, SIGTERM);
    rig_pass(&r, (HOLD_MS + 20) * NS_PER_MS);
    rig_expect(&r, "FINISHED 1 failed=1 RESULTS 1/1 1");
    struct bytes message = block_bytes(r.results);
    cr_assert(memmem(message.data, message.size, "written before", strlen("written before")));
}

Test(slots_held, a_turn_that_is_late_waits_once_more_since_it_may_be_late_for_the_signal_too)
{
    two_run();
    x_signaled(&r, 0, 1, SIGTERM);
    rig_turn(&r);
    r.now_ns += 2 * NS_PER_S;
    rig_turn(&r);
    rig_expect(&r, "");
    rig_pass(&r, 100 * NS_PER_MS);
    slots_drain(r.s, r.now_ns);
    rig_expect(&r, "RETURNED tasks=none reason=leaving RETURNED tasks=1 reason=interrupted LEAVE");
}

Test(slots_held, turns_that_are_always_late_put_it_off_four_times)
{
    int late = 0;
    two_run();
    x_signaled(&r, 0, 1, SIGTERM);
    rig_turn(&r);
    while (late < 10 && r.said.size == 0) {
        v_heartbeat(&r, r.session);
        r.now_ns = slots_deadline(r.s) + 60 * NS_PER_MS;
        rig_turn(&r);
        late++;
    }
    cr_assert(r.said.size && late >= 5 && late < 10, "%d", late);
}

Test(slots_held, what_is_cancelled_meanwhile_ends_without_a_result)
{
    two_run();
    x_signaled(&r, 0, 1, SIGTERM);
    v_cancel(&r, 1, 1);
    rig_pass(&r, NS_PER_S);
    rig_expect(&r, "");
    v_tasks(&r, 3, 1, TASK_LAST);
    rig_expect(&r, "START 0:3");
}

Test(slots_held, a_worker_that_is_broken_and_told_to_leave_gives_it_back_too)
{
    two_run();
    slots_broken(r.s, "the program is gone", r.now_ns);
    x_signaled(&r, 0, 1, SIGTERM);
    rig_forget(&r);
    rig_turn(&r);
    slots_drain(r.s, r.now_ns);
    rig_expect(&r, "RETURNED tasks=1 reason=interrupted");
}

Test(slots_held, a_worker_that_is_away_names_it_in_its_next_join_until_it_is_judged)
{
    two_run();
    x_signaled(&r, 0, 1, SIGTERM);
    slots_control_down(r.s, r.now_ns);
    rig_forget(&r);
    rig_pass(&r, 200 * NS_PER_MS);
    slots_control_up(r.s, r.now_ns);
    rig_expect(&r, "control+ JOIN run=1,2 of=1");
}

Test(slots_held, what_still_runs_when_the_grace_is_over_is_killed_and_given_back)
{
    r.options.grace_ns = 5 * NS_PER_S;
    two_run();
    v_tasks(&r, 3, 1, TASK_LAST);
    slots_drain(r.s, r.now_ns);
    v_end(&r);
    rig_forget(&r);
    for (int i = 0; i < 49; i++) {
        rig_pass(&r, 100 * NS_PER_MS);
        v_heartbeat(&r, r.session);
    }
    rig_expect(&r, "");
    rig_pass(&r, 100 * NS_PER_MS);
    rig_expect(&r, "CANCEL 0:1 CANCEL 1:2");
    slots_cancelled(r.s, 0, 1, r.now_ns);
    rig_pass(&r, 900 * NS_PER_MS);
    rig_expect(&r, "RETURNED tasks=1 reason=interrupted");
    rig_pass(&r, 100 * NS_PER_MS);
    rig_expect(&r, "HURRY");
    slots_cancelled(r.s, 1, 2, r.now_ns);
    rig_expect(&r, "RETURNED tasks=2 reason=interrupted BYE EXIT 0");
}

Test(slots_held, who_ends_in_time_has_a_result_as_ever)
{
    r.options.grace_ns = 5 * NS_PER_S;
    two_run();
    slots_drain(r.s, r.now_ns);
    v_end(&r);
    rig_forget(&r);
    rig_pass(&r, 2 * NS_PER_S);
    x_ok(&r, 0, 1);
    x_ok(&r, 1, 2);
    rig_expect(&r, "FINISHED 1-2 RESULTS 1/1 1-2");
    v_released(&r, 1, 2);
    rig_expect(&r, "BYE EXIT 0");
}
