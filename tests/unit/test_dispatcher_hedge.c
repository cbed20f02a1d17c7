/* SPDX-License-Identifier: MPL-2.0 */
#include "farm_fixture.h"

#include <stdio.h>
#include <string.h>

#include "ventilator/core/dispatcher.h"

/* What runs long is run a second time where a slot idles: --hedge. */
TestSuite(dispatcher_hedge, .timeout = 20);

static void begin(struct farm *f, unsigned retries, bool hedge)
{
    struct dispatcher_options options = farm_options(retries);
    options.hedge = hedge;
    farm_begin_bare(f, &options);
    f->input_waits = false;
    sink_join(f, sink_connect(f, 500), JOB, 0, "");
    farm_settle(f);
    sink_note(f, "");
    farm_settle(f);
}

/* Time for the next look, without a heartbeat: what was said to run does so still. */
static void wait_a_beat(struct farm *f)
{
    f->now_ns += 500 * NS_PER_MS;
    farm_turn(f);
}

/* Task 1 runs at `slow`, and a second time at `fast`. */
static void hedged(struct farm *f, unsigned retries, struct farm_peer **slow,
                   struct farm_peer **fast)
{
    f->input = 1;
    begin(f, retries, true);
    *slow = worker_up(f, 1, 1);
    farm_expect(f, *slow, retries > 1 ? "TASKS 1: 1#1" : "TASKS 1: 1#1 last");
    *fast = worker_up(f, 1, 1);
    farm_expect(f, *fast, "");
    worker_runs(f, *slow, "1");
    wait_a_beat(f);
    farm_expect(f, *fast, "TASKS 1: 1#2");
}

Test(dispatcher_hedge, what_runs_is_run_again_where_a_slot_idles_and_the_slower_one_is_killed)
{
    struct farm f = {0};
    struct farm_peer *slow, *fast;
    hedged(&f, 1, &slow, &fast);
    worker_finished(&f, fast, "1", 0);
    farm_expect(&f, slow, "");
    sink_note(&f, "1");
    farm_expect(&f, fast, "RELEASED tasks=1");
    farm_expect(&f, slow, "CANCEL 1#1@1; RELEASED tasks=1");
    farm_end(&f);
}

Test(dispatcher_hedge, the_second_one_is_killed_when_the_first_wins)
{
    struct farm f = {0};
    struct farm_peer *slow, *fast;
    hedged(&f, 1, &slow, &fast);
    worker_finished(&f, slow, "1", 1);
    sink_note(&f, "1");
    farm_expect(&f, slow, "RELEASED tasks=1");
    farm_expect(&f, fast, "CANCEL 1#2@1; RELEASED tasks=1");
    farm_end(&f);
}

Test(dispatcher_hedge, not_without_the_option)
{
    struct farm f = {.input = 1};
    begin(&f, 1, false);
    struct farm_peer *slow = worker_up(&f, 1, 1);
    farm_expect(&f, slow, "TASKS 1: 1#1 last");
    struct farm_peer *fast = worker_up(&f, 1, 1);
    worker_runs(&f, slow, "1");
    wait_a_beat(&f);
    farm_expect(&f, fast, "");
    farm_end(&f);
}

Test(dispatcher_hedge, not_what_may_have_just_begun)
{
    struct farm f = {.input = 1};
    begin(&f, 1, true);
    struct farm_peer *slow = worker_up(&f, 1, 1);
    farm_expect(&f, slow, "TASKS 1: 1#1 last");
    struct farm_peer *fast = worker_up(&f, 1, 1);
    wait_a_beat(&f);
    farm_expect(&f, fast, "");
    farm_end(&f);
}

Test(dispatcher_hedge, never_at_the_same_worker_and_never_more_than_twice)
{
    struct farm f = {.input = 1};
    begin(&f, 1, true);
    struct farm_peer *slow = worker_up(&f, 4, 4);
    farm_expect(&f, slow, "TASKS 1: 1#1 last");
    worker_credit(&f, slow, 3, 1000, 3);
    worker_runs(&f, slow, "1");
    wait_a_beat(&f);
    farm_expect(&f, slow, "");
    struct farm_peer *second = worker_up(&f, 4, 4);
    wait_a_beat(&f);
    farm_expect(&f, second, "TASKS 1: 1#2");
    worker_runs(&f, second, "1");
    struct farm_peer *third = worker_up(&f, 4, 4);
    wait_a_beat(&f);
    worker_dies(&f, second);
    worker_runs(&f, slow, "1");
    wait_a_beat(&f);
    farm_expect(&f, third, "");
    farm_expect(&f, slow, "");
    farm_end(&f);
}

Test(dispatcher_hedge, not_before_the_input_is_at_its_end)
{
    struct farm f = {.input = 1};
    begin(&f, 1, true);
    f.input_waits = true;
    struct farm_peer *slow = worker_up(&f, 1, 1);
    farm_expect(&f, slow, "TASKS 1: 1#1 last");
    struct farm_peer *fast = worker_up(&f, 1, 1);
    worker_runs(&f, slow, "1");
    wait_a_beat(&f);
    farm_expect(&f, fast, "");
    f.input_waits = false;
    wait_a_beat(&f);
    farm_expect(&f, fast, "TASKS 1: 1#2");
    farm_end(&f);
}

Test(dispatcher_hedge, what_can_be_recalled_comes_first)
{
    struct farm f = {.input = 3};
    begin(&f, 1, true);
    struct farm_peer *slow = worker_up(&f, 1, 3);
    farm_expect(&f, slow, "TASKS 1: 1-3#1 last");
    struct farm_peer *fast = worker_up(&f, 3, 3);
    worker_runs(&f, slow, "1");
    farm_expect(&f, slow, "RECALL tasks=2");
    farm_expect(&f, fast, "");
    worker_returned(&f, slow, "3", RETURNED_RECALL);
    farm_expect(&f, fast, "TASKS 1: 3#2 last");
    farm_expect(&f, slow, "RECALL tasks=1");
    worker_returned(&f, slow, "", RETURNED_RECALL);
    wait_a_beat(&f);
    farm_expect(&f, fast, "TASKS 2: 1#2");
    farm_end(&f);
}

Test(dispatcher_hedge, the_oldest_goes_first_and_only_the_reserve_is_used)
{
    struct farm f = {.input = 3};
    begin(&f, 1, true);
    struct farm_peer *slow = worker_up(&f, 3, 3);
    farm_expect(&f, slow, "TASKS 1: 1-3#1 last");
    worker_runs(&f, slow, "2");
    f.now_ns += 100 * NS_PER_MS;
    worker_runs(&f, slow, "1-3");
    struct farm_peer *fast = worker_up(&f, 3, 0);
    worker_credit(&f, fast, 3, 1000, 0);
    farm_expect(&f, fast, "");
    worker_credit(&f, fast, 0, 0, 2);
    wait_a_beat(&f);
    farm_expect(&f, fast, "TASKS 1: 2#2; TASKS 2: 1#2");
    farm_end(&f);
}

Test(dispatcher_hedge, a_failure_of_one_costs_no_try_while_the_other_runs)
{
    struct farm f = {0};
    struct farm_peer *slow, *fast;
    hedged(&f, 2, &slow, &fast);
    worker_failed(&f, slow, 1, 1);
    worker_credit(&f, slow, 1, 1000, 1);
    struct farm_peer *third = worker_up(&f, 1, 1);
    farm_expect(&f, slow, "");
    farm_expect(&f, third, "");
    worker_failed(&f, fast, 1, 2);
    farm_expect(&f, third, "TASKS 1: 1#3 try2 last");
    worker_runs(&f, third, "1");
    wait_a_beat(&f);
    farm_expect(&f, slow, "");
    farm_end(&f);
}

Test(dispatcher_hedge, a_second_one_that_fails_leaves_the_first_to_decide_without_retries_too)
{
    struct farm f = {0};
    struct farm_peer *slow, *fast;
    hedged(&f, 1, &slow, &fast);
    worker_failed(&f, fast, 1, 2);
    worker_credit(&f, fast, 1, 1000, 1);
    farm_expect(&f, fast, "");
    worker_finished(&f, slow, "1", 0);
    sink_note(&f, "1");
    farm_expect(&f, slow, "RELEASED tasks=1");
    farm_end(&f);
}

Test(dispatcher_hedge, a_death_is_charged_and_the_other_one_runs_on)
{
    struct farm f = {0};
    struct farm_peer *slow, *fast;
    hedged(&f, 1, &slow, &fast);
    struct farm_peer *third = worker_up(&f, 1, 1);
    worker_dies(&f, slow);
    wait_a_beat(&f);
    farm_expect(&f, third, "");
    worker_dies(&f, fast);
    farm_expect(&f, third, "TASKS 1: 1#3 try3 last alone");
    farm_end(&f);
}

Test(dispatcher_hedge, a_task_with_a_loss_is_run_once_at_a_time)
{
    struct farm f = {.input = 1};
    begin(&f, 1, true);
    struct farm_peer *victim = worker_up(&f, 1, 1), *w = worker_up(&f, 1, 1);
    worker_dies(&f, victim);
    farm_expect(&f, w, "TASKS 1: 1#2 try2 last alone");
    struct farm_peer *idle = worker_up(&f, 1, 1);
    worker_runs(&f, w, "1");
    wait_a_beat(&f);
    farm_expect(&f, idle, "");
    farm_end(&f);
}

Test(dispatcher_hedge, nothing_is_begun_when_the_job_is_stopped)
{
    struct farm f = {.input = 1};
    begin(&f, 1, true);
    struct farm_peer *slow = worker_up(&f, 1, 1);
    farm_expect(&f, slow, "TASKS 1: 1#1 last");
    struct farm_peer *fast = worker_up(&f, 1, 1);
    dispatcher_stop(f.d, "interrupted", f.now_ns);
    worker_runs(&f, slow, "1");
    wait_a_beat(&f);
    farm_expect(&f, fast, "END batch=0");
    farm_end(&f);
}

Test(dispatcher_hedge, who_asks_why_is_told_of_both)
{
    struct farm f = {0};
    struct farm_peer *slow, *fast;
    struct why why;
    hedged(&f, 1, &slow, &fast);
    worker_runs(&f, fast, "1");
    f.now_ns += 200 * NS_PER_MS;
    struct farm_peer *asks = worker_connect(&f, 1);
    struct buf to = {0};
    wire_begin(&to, KIND_WHY, (struct frame_head){.kind = KIND_WHY});
    peer_send(&f, asks, &to);
    farm_turn(&f);
    snprintf(why.text, sizeof why.text, "%.*s", (int)asks->heard.size,
             (const char *)asks->heard.data);
    cr_assert(strstr(why.text, "1+0: running on worker@here for 1."), "%s", why.text);
    cr_assert(strstr(why.text, "1+0: running a second time, on worker@here for 1."), "%s",
              why.text);
    farm_end(&f);
}
