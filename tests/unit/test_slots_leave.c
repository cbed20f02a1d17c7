/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

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

TestSuite(slots_leave, .init = begin, .fini = end, .timeout = 60);

Test(slots_leave, a_drain_gives_back_finishes_waits_for_the_sink_and_leaves_with_zero)
{
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 5, 0);
    rig_forget(&r);
    slots_drain(r.s, r.now_ns);
    rig_expect(&r, "RETURNED tasks=3-5 reason=leaving LEAVE");
    v_tasks(&r, 6, 1, 0); /* was on its way */
    v_end(&r);
    rig_expect(&r, "RETURNED tasks=6 reason=leaving RETURNED tasks=none reason=leaving");
    x_ok(&r, 0, 1);
    x_ok(&r, 1, 2);
    rig_expect(&r, "FINISHED 1-2 RESULTS 1/1 1-2");
    struct why why;
    cr_assert(slots_waits_for(r.s, r.now_ns, &why));
    cr_assert(strstr(why.text, "leaves when it has"), "%s", why.text);
    v_released(&r, 1, 2);
    rig_expect(&r, "BYE EXIT 0");
    cr_assert_eq(slots_deadline(r.s), NEVER);
}

Test(slots_leave, a_drain_before_joining_leaves_at_once)
{
    rig_start(&r);
    rig_turn(&r);
    slots_drain(r.s, r.now_ns);
    rig_expect(&r, "control+ EXIT 0");
}

Test(slots_leave, a_drain_without_a_session_joins_once_more_to_bring_its_results_home)
{
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 1, 0);
    rig_turn(&r);
    x_ok(&r, 0, 1);
    rig_turn(&r);
    slots_control_down(r.s, r.now_ns);
    slots_drain(r.s, r.now_ns);
    rig_forget(&r);
    rig_pass(&r, 200 * NS_PER_MS);
    slots_control_up(r.s, r.now_ns);
    rig_expect(&r, "control+ JOIN kept=1 of=1 leaving");
    struct worker_welcome m = {0};
    seqset_add(&m.have, 1, 1);
    v_welcome(&r, m);
    v_hello(&r);
    v_end(&r);
    rig_expect(&r,
               "lane+tcp://farm:5557 CLAIM RETURNED tasks=none reason=leaving LEAVE BYE EXIT 0");
}

Test(slots_leave, a_drain_gives_up_when_the_sink_never_stores)
{
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 1, 0);
    rig_turn(&r);
    x_ok(&r, 0, 1);
    slots_drain(r.s, r.now_ns);
    v_end(&r);
    rig_forget(&r);
    for (int i = 0; i < 59; i++) {
        rig_pass(&r, NS_PER_S);
        v_heartbeat(&r, r.session);
    }
    rig_expect(&r, "");
    rig_pass(&r, 1100 * NS_PER_MS);
    rig_expect(&r, "BYE EXIT 255");
    cr_assert(strstr(r.why.text, "1 results are not stored"), "%s", r.why.text);
}

Test(slots_leave, an_abort_kills_and_leaves_now)
{
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 3, 0);
    rig_forget(&r);
    slots_abort(r.s, r.now_ns);
    rig_expect(&r, "RETURNED tasks=3 reason=leaving RETURNED tasks=1-2 reason=interrupted CANCEL "
                   "0:1 CANCEL 1:2 BYE "
                   "EXIT 255");
    x_ok(&r, 0, 1);
    rig_expect(&r, "");
}

Test(slots_leave, a_broken_executor_gives_back_finishes_what_runs_and_ends_with_its_words)
{
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 4, 0);
    rig_forget(&r);
    slots_returned(r.s, 1, 2, 1, r.now_ns);
    slots_broken(r.s, "the program is gone", r.now_ns);
    rig_expect(&r, "RETURNED tasks=2-4 reason=not-started LEAVE");
    x_ok(&r, 0, 1);
    rig_expect(&r, "FINISHED 1 RESULTS 1/1 1");
    v_tasks(&r, 5, 1, 0);
    rig_expect(&r, "RETURNED tasks=5 reason=not-started");
    v_end(&r);
    v_released(&r, 1, 1);
    rig_expect(&r, "RETURNED tasks=none reason=leaving BYE EXIT 255");
    cr_assert_str_eq(r.why.text, "the program is gone");
}

Test(slots_leave, the_end_of_the_job_ends_the_worker_and_frees_what_it_kept)
{
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 1, 0);
    rig_turn(&r);
    x_ok(&r, 0, 1);
    rig_forget(&r);
    v_stop(&r, STOP_JOB_OVER);
    rig_expect(&r, "BYE EXIT 0");
}

Test(slots_leave, the_end_of_the_job_waits_for_a_killed_task)
{
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 1, 0);
    rig_forget(&r);
    v_stop(&r, STOP_JOB_OVER);
    rig_expect(&r, "CANCEL 0:1");
    slots_control_down(r.s, r.now_ns);
    rig_pass(&r, 5 * NS_PER_S);
    rig_expect(&r, "lane- control-");
    slots_cancelled(r.s, 0, 1, r.now_ns);
    rig_expect(&r, "EXIT 0");
}

/* It had woken for that in each turn, and done nothing. */
Test(slots_leave, the_grace_of_a_worker_holds_for_what_the_end_of_the_job_has_killed_too)
{
    r.options.grace_ns = NS_PER_S;
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 1, 0);
    rig_forget(&r);
    slots_drain(r.s, r.now_ns);
    v_stop(&r, STOP_JOB_OVER);
    rig_expect(&r, "RETURNED tasks=none reason=leaving CANCEL 0:1");
    rig_pass(&r, 1900 * NS_PER_MS);
    rig_expect(&r, "");
    rig_pass(&r, 200 * NS_PER_MS);
    rig_expect(&r, "HURRY");
    cr_assert_gt(slots_deadline(r.s), r.now_ns);
    slots_cancelled(r.s, 0, 1, r.now_ns);
    rig_expect(&r, "BYE EXIT 0");
}

Test(slots_leave, an_interrupted_ventilator_ends_the_worker_with_255)
{
    rig_start(&r);
    rig_join(&r);
    v_stop(&r, STOP_INTERRUPTED);
    rig_expect(&r, "BYE EXIT 255");
    cr_assert(strstr(r.why.text, "interrupted"), "%s", r.why.text);
}

Test(slots_leave, a_worker_that_stays_joins_again_for_the_next_job)
{
    r.options.stay = true;
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 1, 0);
    rig_turn(&r);
    x_ok(&r, 0, 1);
    rig_forget(&r);
    v_stop(&r, STOP_JOB_OVER);
    rig_expect(&r, "lane- control-");
    rig_pass(&r, 200 * NS_PER_MS);
    slots_control_up(r.s, r.now_ns);
    rig_expect(&r, "control+ JOIN");
}
