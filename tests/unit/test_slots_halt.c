/* SPDX-License-Identifier: MPL-2.0 */
/* --halt with a count of 1: the worker itself begins nothing more at the first such result. */
#include "tests/unit/slots_rig.h"

static struct rig r;

static void begin(void)
{
    rig_begin(&r);
}

static void end(void)
{
    rig_end(&r);
}

TestSuite(slots_halt, .init = begin, .fini = end, .timeout = 60);

/* A session of four tasks, of which two are begun. */
static void join_with(enum halt_why why, uint64_t count)
{
    rig_start(&r);
    rig_turn(&r);
    slots_control_up(r.s, r.now_ns);
    v_welcome(&r, (struct worker_welcome){.halt = {.when = HALT_SOON, .why = why, .count = count}});
    v_hello(&r);
    rig_results_up(&r);
    v_tasks(&r, 1, 4, TASK_LAST);
    rig_forget(&r);
}

Test(slots_halt, at_the_first_failure_nothing_more_is_begun_and_what_runs_ends)
{
    join_with(HALT_FAIL, 1);
    x_ok(&r, 0, 1);
    rig_expect(&r, "START 0:3 FINISHED 1 RESULTS 1/1 1");
    x_fails(&r, 1, 2);
    rig_pass(&r, NS_PER_S);
    rig_expect(&r, "FINISHED 2 failed=1 RESULTS 2/1 2");
    x_ok(&r, 0, 3);
    rig_pass(&r, NS_PER_S);
    rig_expect(&r, "FINISHED 3 RESULTS 3/1 3");
}

Test(slots_halt, at_the_first_success)
{
    join_with(HALT_SUCCESS, 1);
    x_fails(&r, 0, 1);
    rig_expect(&r, "START 0:3 FINISHED 1 failed=1 RESULTS 1/1 1");
    x_ok(&r, 1, 2);
    rig_pass(&r, NS_PER_S);
    rig_expect(&r, "FINISHED 2 RESULTS 2/1 2");
}

Test(slots_halt, a_larger_count_is_the_sinks_to_count)
{
    join_with(HALT_FAIL, 2);
    x_fails(&r, 0, 1);
    x_fails(&r, 1, 2);
    rig_expect(&r, "START 0:3 START 1:4 FINISHED 1-2 failed=2 RESULTS 1/1 1-2");
}

Test(slots_halt, a_failure_that_did_not_count_is_released_and_then_it_goes_on)
{
    join_with(HALT_FAIL, 1);
    x_fails(&r, 0, 1);
    rig_pass(&r, NS_PER_S);
    rig_forget(&r);
    v_released(&r, 1, 1);
    rig_expect(&r, "");
    rig_pass(&r, NS_PER_S);
    rig_expect(&r, "START 0:3");
}
