/* SPDX-License-Identifier: MPL-2.0 */
#include "farm_fixture.h"

#include <stdio.h>

/* The three budgets: failed tries, losses, and what was only given back. */
TestSuite(dispatcher_loss, .timeout = 20);

/* A worker takes what comes first, and dies of it. */
static void die_of(struct farm *f, const char *words)
{
    struct farm_peer *w = worker_up(f, 1, 1);
    farm_expect(f, w, words);
    worker_dies(f, w);
    w->instance = 0;
}

Test(dispatcher_loss, a_death_is_charged_to_the_oldest_unfinished_tasks_one_for_each_slot)
{
    struct farm f = {.input = 6};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 6), *other = worker_up(&f, 1, 0);
    farm_expect(&f, w, "TASKS 1: 1-6#1 last");
    worker_finished(&f, w, "1,3", 0);
    farm_settle(&f);
    worker_dies(&f, w);
    worker_credit(&f, other, 10, 1000, 1);
    farm_expect(&f, other, "TASKS 1: 2#2 try2 last alone");
    sink_note(&f, "2");
    farm_expect(&f, other, "TASKS 2: 4#2 try2 last alone; RELEASED tasks=2");
    sink_note(&f, "4");
    farm_expect(&f, other, "TASKS 3: 1#2 last 3#2 last 5-6#2 last; RELEASED tasks=4");
    farm_end(&f);
}

Test(dispatcher_loss, a_join_that_continues_the_session_takes_the_charges_back)
{
    struct farm f = {.input = 3};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 3);
    farm_expect(&f, w, "TASKS 1: 1-3#1 last");
    worker_dies(&f, w);
    farm_settle(&f);
    cr_assert_eq(f.d->pending.isolated.members, 2);
    worker_reconnect(&f, w);
    worker_join(&f, w, JOB, "2", "");
    farm_expect(&f, w, "WELCOME epoch=1");
    cr_assert_eq(f.d->pending.isolated.members, 0);
    struct farm_peer *other = worker_up(&f, 2, 2);
    farm_expect(&f, other, "TASKS 1: 1#2 last 3#2 last");
    farm_end(&f);
}

Test(dispatcher_loss, flaps_of_a_living_worker_never_make_a_task_lost)
{
    struct farm f = {.input = 1};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 1, 1);
    farm_expect(&f, w, "TASKS 1: 1#1 last");
    for (int i = 0; i < 10; i++) {
        worker_dies(&f, w);
        farm_pass(&f, 30);
        worker_reconnect(&f, w);
        worker_join(&f, w, JOB, "1", "");
        farm_expect(&f, w, "WELCOME epoch=1");
        worker_open_lane(&f, w);
        worker_claim(&f, w, w->token);
        farm_expect(&f, w, "HELLO");
    }
    farm_pass(&f, 10000);
    farm_expect(&f, f.sink,
                "ENDED session=2; ENDED session=3; ENDED session=4; ENDED session=5; ENDED "
                "session=6; ENDED session=7; ENDED session=8; "
                "ENDED session=9; ENDED session=10; ENDED session=11");
    farm_end(&f);
}

Test(dispatcher_loss, after_three_losses_and_the_limit_the_sink_gets_a_verdict)
{
    struct farm f = {.input = 1};
    farm_begin(&f, 1);
    die_of(&f, "TASKS 1: 1#1 last");
    die_of(&f, "TASKS 1: 1#2 try2 last alone");
    die_of(&f, "TASKS 1: 1#3 try3 last alone");
    struct farm_peer *w = worker_up(&f, 1, 1);
    buf_clear(&f.sink->heard);
    farm_pass(&f, 2900);
    farm_expect(&f, f.sink, "");
    farm_pass(&f, 200);
    farm_expect(
        &f, f.sink,
        "VERDICT 1 lost (workers that died with it: worker@here, worker@here, worker@here)");
    farm_pass(&f, 10000); /* it may be on its way for as long */
    farm_expect(&f, f.sink, "");
    sink_note(&f, "1");
    farm_pass(&f, 3000);
    farm_expect(&f, f.sink, "");
    farm_expect(&f, w, "");
    farm_end(&f);
}

Test(dispatcher_loss, a_verdict_is_given_again_to_a_new_sink)
{
    struct farm f = {.input = 1};
    farm_begin(&f, 1);
    die_of(&f, "TASKS 1: 1#1 last");
    die_of(&f, "TASKS 1: 1#2 try2 last alone");
    die_of(&f, "TASKS 1: 1#3 try3 last alone");
    farm_pass(&f, 3100);
    struct farm_peer *first = f.sink;
    worker_control_dies(&f, first);
    sink_join(&f, sink_connect(&f, 501), JOB, 0, "");
    farm_expect(&f, f.sink, "WELCOME epoch=2");
    sink_note(&f, "");
    farm_expect(
        &f, f.sink,
        "VERDICT 1 lost (workers that died with it: worker@here, worker@here, worker@here)");
    farm_end(&f);
}

/* Behind a slow line a frame of records takes longer than the sink waits for anything to be said. */
Test(dispatcher_loss, in_the_sinks_next_session_a_verdict_comes_again_without_a_large_record)
{
    struct farm f = {.input = 1};
    farm_begin(&f, 1);
    ranges_of("1", &f.large);
    die_of(&f, "TASKS 1: 1#1 last");
    die_of(&f, "TASKS 1: 1#2 try2 last alone");
    die_of(&f, "TASKS 1: 1#3 try3 last alone");
    farm_pass(&f, 3100);
    farm_settle(&f);
    cr_assert_geq(f.sink->verdict_bytes, 10000);
    for (int i = 0; i < 2; i++) {
        struct farm_peer *before = f.sink;
        worker_control_dies(&f, before);
        sink_connect(&f, before->instance)->session = before->session;
        sink_join(&f, f.sink, JOB, 0, "");
        farm_expect(&f, f.sink, "WELCOME epoch=1");
        sink_note(&f, "");
        farm_expect(
            &f, f.sink,
            "VERDICT 1 lost (workers that died with it: worker@here, worker@here, worker@here)");
        cr_assert_eq(f.sink->verdict_bytes, 0);
    }
    farm_end(&f);
}

Test(dispatcher_loss, a_worker_that_comes_back_in_time_saves_the_task_from_the_verdict)
{
    struct farm f = {.input = 1};
    farm_begin(&f, 1);
    die_of(&f, "TASKS 1: 1#1 last");
    die_of(&f, "TASKS 1: 1#2 try2 last alone");
    struct farm_peer *w = worker_up(&f, 1, 1);
    farm_expect(&f, w, "TASKS 1: 1#3 try3 last alone");
    worker_dies(&f, w);
    farm_pass(&f, 2000);
    worker_reconnect(&f, w);
    worker_join(&f, w, JOB, "1", "");
    farm_pass(&f, 5000);
    buf_clear(&f.sink->heard);
    farm_pass(&f, 3000);
    farm_expect(&f, f.sink, "");
    farm_end(&f);
}

Test(dispatcher_loss, a_task_that_was_given_up_is_not_run_on_and_its_kept_result_is_freed)
{
    struct farm f = {.input = 1};
    farm_begin(&f, 1);
    die_of(&f, "TASKS 1: 1#1 last");
    die_of(&f, "TASKS 1: 1#2 try2 last alone");
    struct farm_peer *w = worker_up(&f, 1, 1);
    farm_expect(&f, w, "TASKS 1: 1#3 try3 last alone");
    worker_dies(&f, w);
    farm_pass(&f, 4000);
    worker_reconnect(&f, w);
    worker_join(&f, w, JOB, "1", "");
    farm_expect(&f, w, "WELCOME epoch=1 kill=1");
    struct farm_peer *keeper = worker_connect(&f, 1);
    worker_join(&f, keeper, JOB, "", "1");
    farm_expect(&f, keeper, "WELCOME epoch=1");
    worker_dies(&f, w);
    sink_note(&f, "1");
    farm_expect(&f, keeper, "RELEASED tasks=1");
    farm_end(&f);
}

Test(dispatcher_loss, a_task_with_a_loss_travels_alone_and_its_worker_gets_nothing_else)
{
    struct farm f = {.input = 1};
    farm_begin(&f, 1);
    die_of(&f, "TASKS 1: 1#1 last");
    f.input = 10;
    struct farm_peer *w = worker_up(&f, 4, 4);
    farm_expect(&f, w, "TASKS 1: 1#2 try2 last alone");
    worker_credit(&f, w, 4, 1000, 4);
    farm_expect(&f, w, "");
    worker_finished(&f, w, "1", 0);
    farm_expect(&f, w, "TASKS 2: 2-5#1 last");
    farm_end(&f);
}

Test(dispatcher_loss, a_task_with_a_loss_is_alone_also_where_its_worker_has_joined_again)
{
    struct farm f = {.input = 1};
    farm_begin(&f, 1);
    die_of(&f, "TASKS 1: 1#1 last");
    struct farm_peer *w = worker_up(&f, 4, 4);
    farm_expect(&f, w, "TASKS 1: 1#2 try2 last alone");
    f.input = 10;
    worker_dies(&f, w);
    worker_reconnect(&f, w);
    worker_join(&f, w, JOB, "1", "");
    farm_expect(&f, w, "WELCOME epoch=1");
    worker_open_lane(&f, w);
    worker_claim(&f, w, w->token);
    worker_credit(&f, w, 3, 1000, 3);
    farm_expect(&f, w, "HELLO");
    farm_end(&f);
}

Test(dispatcher_loss, a_worker_is_kept_free_for_a_task_that_must_travel_alone)
{
    struct farm f = {.input = 1};
    farm_begin(&f, 1);
    die_of(&f, "TASKS 1: 1#1 last");
    farm_turn(&f);
    struct farm_peer *isolated = worker_up(&f, 2, 2);
    farm_expect(&f, isolated, "TASKS 1: 1#2 try2 last alone");
    f.input = 8;
    struct farm_peer *w = worker_up(&f, 2, 8);
    farm_expect(&f, w, "TASKS 1: 2-9#1 last");
    worker_dies(&f, isolated);
    farm_expect(&f, w, "RECALL tasks=6");
    f.input = 1;
    worker_returned(&f, w, "4-9", RETURNED_RECALL);
    worker_credit(&f, w, 2, 1000, 2);
    farm_expect(&f, w, "");
    worker_finished(&f, w, "2-3", 0);
    farm_expect(&f, w, "TASKS 2: 1#3 try3 last alone");
    farm_end(&f);
}

Test(dispatcher_loss, who_is_free_now_takes_the_isolated_task_before_who_is_kept_free)
{
    struct farm f = {.input = 1};
    farm_begin(&f, 1);
    struct farm_peer *victim = worker_up(&f, 1, 1);
    farm_expect(&f, victim, "TASKS 1: 1#1 last");
    f.input = 1;
    struct farm_peer *busy = worker_up(&f, 1, 1);
    farm_expect(&f, busy, "TASKS 1: 2#1 last");
    worker_dies(&f, victim);
    farm_expect(&f, busy, "");
    struct farm_peer *idle = worker_up(&f, 1, 1);
    farm_expect(&f, idle, "TASKS 1: 1#2 try2 last alone");
    farm_end(&f);
}

Test(dispatcher_loss, ordinary_credit_is_enough_for_a_isolated_task)
{
    struct farm f = {.input = 1};
    farm_begin(&f, 1);
    die_of(&f, "TASKS 1: 1#1 last");
    struct farm_peer *w = worker_up(&f, 1, 0);
    worker_credit(&f, w, 1, 5, 0);
    farm_expect(&f, w, "TASKS 1: 1#2 try2 last alone");
    farm_end(&f);
}

Test(dispatcher_loss, a_failed_try_goes_to_another_worker_if_one_could_take_it)
{
    struct farm f = {.input = 1};
    farm_begin(&f, 3);
    struct farm_peer *a = worker_up(&f, 2, 2);
    farm_expect(&f, a, "TASKS 1: 1#1");
    struct farm_peer *b = worker_up(&f, 2, 2);
    worker_failed(&f, a, 1, 1);
    farm_expect(&f, a, "");
    farm_expect(&f, b, "TASKS 1: 1#2 try2");
    worker_dies(&f, a);
    worker_failed(&f, b, 1, 2);
    farm_expect(&f, b, "TASKS 2: 1#3 try3 last");
    farm_end(&f);
}

Test(dispatcher_loss, a_failed_try_comes_back_when_all_others_are_busy)
{
    struct farm f = {.input = 3};
    farm_begin(&f, 3);
    struct farm_peer *a = worker_up(&f, 2, 2);
    farm_expect(&f, a, "TASKS 1: 1-2#1");
    struct farm_peer *b = worker_up(&f, 1, 10);
    farm_expect(&f, b, "TASKS 1: 3#1");
    worker_failed(&f, a, 1, 1);
    worker_credit(&f, a, 1, 1000, 1);
    farm_expect(&f, b, "");
    farm_expect(&f, a, "TASKS 2: 1#2 try2");
    farm_end(&f);
}

Test(dispatcher_loss, tries_are_exactly_as_many_as_retries_say)
{
    struct farm f = {.input = 1};
    farm_begin(&f, 3);
    struct farm_peer *w = worker_up(&f, 1, 10);
    farm_expect(&f, w, "TASKS 1: 1#1");
    worker_failed(&f, w, 1, 1);
    farm_expect(&f, w, "TASKS 2: 1#2 try2");
    worker_failed(&f, w, 1, 1);
    worker_failed(&f, w, 1, 7);
    farm_expect(&f, w, "");
    worker_failed(&f, w, 1, 2);
    farm_expect(&f, w, "TASKS 3: 1#3 try3 last");
    farm_end(&f);
}

Test(dispatcher_loss, what_was_given_back_costs_no_try_and_no_loss)
{
    struct farm f = {.input = 1};
    farm_begin(&f, 2);
    struct farm_peer *w = worker_up(&f, 1, 10);
    farm_expect(&f, w, "TASKS 1: 1#1");
    for (int i = 0; i < 5; i++) {
        worker_returned(&f, w, "1", RETURNED_RECALL);
        farm_settle(&f);
    }
    buf_clear(&w->heard);
    worker_failed(&f, w, 1, 6);
    farm_expect(&f, w, "TASKS 7: 1#7 try2 last");
    farm_end(&f);
}

Test(dispatcher_loss, a_task_without_a_last_try_left_is_handed_out_once_more)
{
    struct farm f = {.input = 1};
    farm_begin(&f, 2);
    struct farm_peer *a = worker_up(&f, 1, 1);
    farm_expect(&f, a, "TASKS 1: 1#1");
    a->silent = true;
    farm_pass(&f, 3200);
    struct farm_peer *b = worker_up(&f, 1, 1);
    farm_expect(&f, b, "TASKS 1: 1#2");
    buf_clear(&a->heard);
    a->silent = false;
    worker_reconnect(&f, a);
    worker_join(&f, a, JOB, "1", "");
    farm_expect(&f, a, "WELCOME epoch=1");
    worker_failed(&f, a, 1, 1);
    worker_failed(&f, b, 1, 2);
    worker_credit(&f, b, 1, 1000, 1);
    farm_expect(&f, b, "TASKS 2: 1#3 try3 last");
    farm_end(&f);
}

/* A worker takes the task and is preempted with it. */
static struct farm_peer *leave_with(struct farm *f, const char *words)
{
    struct farm_peer *w = worker_up(f, 1, 1);
    farm_expect(f, w, words);
    worker_returned(f, w, "1", RETURNED_INTERRUPTED);
    return w;
}

static void bid_farewell(struct farm *f, struct farm_peer *w)
{
    worker_says(f, w, KIND_BYE);
    worker_dies(f, w);
    w->instance = 0;
}

Test(dispatcher_loss, what_was_interrupted_is_handed_out_again_and_charged_nothing)
{
    struct farm f = {.input = 1};
    farm_begin(&f, 1);
    bid_farewell(&f, leave_with(&f, "TASKS 1: 1#1 last"));
    bid_farewell(&f, leave_with(&f, "TASKS 1: 1#2 last"));
    bid_farewell(&f, leave_with(&f, "TASKS 1: 1#3 last"));
    bid_farewell(&f, leave_with(&f, "TASKS 1: 1#4 last alone"));
    farm_end(&f);
}

Test(dispatcher_loss, a_task_that_takes_its_workers_with_it_for_ever_is_lost_the_twentieth_time)
{
    struct farm f = {.input = 1};
    char words[64];
    farm_begin(&f, 1);
    for (int i = 1; i <= 20; i++) {
        snprintf(words, sizeof words, "TASKS 1: 1#%d last%s", i, i > 3 ? " alone" : "");
        bid_farewell(&f, leave_with(&f, words));
    }
    struct farm_peer *w = worker_up(&f, 1, 1);
    farm_settle(&f);
    buf_put_byte(&f.sink->heard, '\0');
    cr_assert(strstr((char *)f.sink->heard.data,
                     "VERDICT 1 lost (it was interrupted each time by a signal that made its "
                     "worker leave, 20 times, last on worker@here: it may send them itself)"),
              "%s", (char *)f.sink->heard.data);
    farm_expect(&f, w, "");
    farm_end(&f);
}
