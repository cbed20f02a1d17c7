/* SPDX-License-Identifier: MPL-2.0 */
#include "farm_fixture.h"

#include <stdio.h>
#include <string.h>

#include "ventilator/core/dispatcher.h"

/* Workers come, name what they have, go, and come back. */
TestSuite(dispatcher_workers, .timeout = 20);

Test(dispatcher_workers, workers_wait_while_there_is_no_sink_and_are_comforted)
{
    struct farm f = {0};
    struct dispatcher_options options = farm_options(1);
    farm_begin_bare(&f, &options);
    struct farm_peer *a = worker_connect(&f, 2), *b = worker_connect(&f, 2);
    worker_join(&f, a, 0, "", "");
    farm_expect(&f, a, "WAIT");
    worker_join(&f, b, 0, "", "");
    farm_pass(&f, 600);
    farm_expect(&f, a, "WAIT");
    farm_expect(&f, b, "WAIT");
    worker_control_dies(&f, b);
    sink_join(&f, sink_connect(&f, 500), JOB, 0, "");
    farm_settle(&f);
    sink_note(&f, "");
    farm_expect(&f, a, "WELCOME epoch=1");
    cr_assert_eq(dispatcher_counts(f.d).workers, 1);
    farm_end(&f);
}

Test(dispatcher_workers, of_two_waiting_joins_of_one_process_the_later_counts)
{
    struct farm f = {0};
    struct dispatcher_options options = farm_options(1);
    farm_begin_bare(&f, &options);
    struct farm_peer *old = worker_connect(&f, 2), *new = worker_connect(&f, 2);
    new->instance = old->instance;
    worker_join(&f, old, 0, "", "");
    worker_join(&f, new, 0, "", "");
    sink_join(&f, sink_connect(&f, 500), JOB, 0, "");
    farm_settle(&f);
    sink_note(&f, "");
    farm_settle(&f);
    cr_assert_eq(dispatcher_counts(f.d).workers, 1);
    cr_assert_eq(f.d->sessions.items[0]->connection, new->connection);
    farm_end(&f);
}

Test(dispatcher_workers, what_a_join_names_stays_with_it_and_the_rest_is_queued)
{
    struct farm f = {.input = 6};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 6);
    farm_expect(&f, w, "TASKS 1: 1-6#1 last");
    uint64_t old = w->session;
    worker_reconnect(&f, w);
    worker_join(&f, w, JOB, "2", "1");
    farm_expect(&f, w, "WELCOME epoch=1");
    cr_assert_neq(w->session, old);
    worker_open_lane(&f, w);
    worker_claim(&f, w, w->token);
    worker_credit(&f, w, 10, 1000, 1);
    farm_expect(&f, w, "HELLO; TASKS 1: 3-6#2 last");
    sink_note(&f, "1-2");
    farm_expect(&f, w, "RELEASED tasks=1-2");
    farm_end(&f);
}

Test(dispatcher_workers, welcome_says_what_nobody_needs_and_what_is_stored)
{
    struct farm f = {.input = 6};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 6);
    farm_expect(&f, w, "TASKS 1: 1-6#1 last");
    sink_note(&f, "1-3");
    farm_settle(&f);
    worker_dies(&f, w);
    worker_reconnect(&f, w);
    buf_clear(&w->heard);
    worker_join(&f, w, JOB, "3-4,99", "1-2,5");
    farm_expect(&f, w, "WELCOME epoch=1 kill=3,99 have=1-2");
    farm_end(&f);
}

Test(dispatcher_workers, the_truth_of_another_job_is_nothing_that_welcome_has_to_name)
{
    struct farm f = {.input = 6};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_connect(&f, 2);
    worker_join(&f, w, JOB + 1, "1-2", "3-4");
    farm_expect(&f, w, "WELCOME epoch=1");
    farm_end(&f);
}

Test(dispatcher_workers, a_join_cannot_end_the_session_of_another_process)
{
    struct farm f = {.input = 2};
    farm_begin(&f, 1);
    struct farm_peer *victim = worker_up(&f, 2, 2), *thief = worker_connect(&f, 2);
    farm_expect(&f, victim, "TASKS 1: 1-2#1 last");
    thief->session = victim->session;
    worker_join(&f, thief, JOB, "", "");
    farm_expect(&f, thief, "WELCOME epoch=1");
    cr_assert_eq(dispatcher_counts(f.d).workers, 2);
    cr_assert_eq(f.d->pending.queue.members, 0);
    farm_end(&f);
}

Test(dispatcher_workers, again_names_the_session_that_is_not_known)
{
    struct farm f = {0};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 0);
    uint64_t real = w->session;
    w->session = 4711;
    worker_finished(&f, w, "1", 0);
    farm_expect(&f, w, "AGAIN 4711");
    w->session = real;
    worker_says(&f, w, KIND_BYE);
    worker_says(&f, w, KIND_BYE);
    farm_expect(&f, w, "");
    farm_end(&f);
}

Test(dispatcher_workers, a_session_speaks_over_its_own_connection_only)
{
    struct farm f = {.input = 2};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 2), *stranger = worker_connect(&f, 1);
    farm_expect(&f, w, "TASKS 1: 1-2#1 last");
    stranger->session = w->session;
    stranger->job = JOB;
    worker_returned(&f, stranger, "1-2", RETURNED_RECALL);
    worker_says(&f, stranger, KIND_BYE);
    farm_settle(&f);
    cr_assert_eq(dispatcher_counts(f.d).workers, 1);
    cr_assert_eq(f.d->pending.queue.members, 0);
    farm_end(&f);
}

Test(dispatcher_workers, a_claim_with_a_wrong_token_gets_no_lane)
{
    struct farm f = {.input = 2};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_connect(&f, 2);
    worker_join(&f, w, 0, "", "");
    farm_expect(&f, w, "WELCOME epoch=1");
    worker_claim(&f, w, (struct token){{1, 2, 3}});
    char again[32];
    snprintf(again, sizeof again, "AGAIN %llu", (unsigned long long)w->session);
    worker_credit(&f, w, 2, 1000, 2);
    farm_expect(&f, w, again);
    farm_end(&f);
}

Test(dispatcher_workers, a_lane_is_claimed_once)
{
    struct farm f = {.input = 4};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 2), *other = worker_connect(&f, 2);
    farm_expect(&f, w, "TASKS 1: 1-2#1 last");
    worker_join(&f, other, 0, "", "");
    farm_turn(&f);
    buf_clear(&other->heard);
    worker_claim(&f, other, w->token);
    farm_settle(&f);
    cr_assert_eq(index_get(&f.d->sessions.by_lane, w->lane), f.d->sessions.items[0]);
    cr_assert_eq(f.d->sessions.items[1]->lane, 0);
    farm_end(&f);
}

Test(dispatcher_workers, a_session_has_one_lane_and_claims_no_second)
{
    struct farm f = {.input = 4};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 0), *other = worker_connect(&f, 2);
    uint64_t lane = w->lane;
    worker_open_lane(&f, other);
    worker_claim(&f, w, other->token);
    farm_expect(&f, w, "PROTEST CLAIM@26 about 0");
    cr_assert_null(index_get(&f.d->sessions.by_lane, other->lane));
    cr_assert_eq(index_get(&f.d->sessions.by_lane, lane), f.d->sessions.items[0]);
    farm_end(&f);
}

Test(dispatcher_workers, who_goes_before_its_lane_is_claimed_is_charged_nothing)
{
    struct farm f = {.input = 2};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 2);
    farm_expect(&f, w, "TASKS 1: 1-2#1 last");
    worker_reconnect(&f, w);
    worker_join(&f, w, JOB, "1-2", "");
    farm_expect(&f, w, "WELCOME epoch=1");
    worker_control_dies(&f, w);
    struct farm_peer *other = worker_up(&f, 2, 2);
    farm_expect(&f, other, "TASKS 1: 1-2#2 last");
    farm_end(&f);
}

Test(dispatcher_workers, another_version_is_refused_with_words)
{
    struct farm f = {0};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_connect(&f, 2);
    struct buf to = peer_message(&f, w, KIND_JOIN);
    to.data[1] = 9;
    peer_send(&f, w, &to);
    farm_expect(&f, w, "REFUSE 1");
    farm_expect_said(&f, "version=9");
    farm_end(&f);
}

Test(dispatcher_workers, there_are_no_more_workers_than_may_be)
{
    struct farm f = {0};
    struct dispatcher_options options = farm_options(1);
    options.workers_max = 2;
    farm_begin_bare(&f, &options);
    sink_join(&f, sink_connect(&f, 500), JOB, 0, "");
    farm_settle(&f);
    sink_note(&f, "");
    struct farm_peer *a = worker_up(&f, 1, 0);
    worker_up(&f, 1, 0);
    struct farm_peer *c = worker_connect(&f, 1);
    worker_join(&f, c, 0, "", "");
    farm_expect(&f, c, "REFUSE 2");
    worker_reconnect(&f, a);
    worker_join(&f, a, JOB, "", "");
    farm_expect(&f, a, "WELCOME epoch=1");
    worker_says(&f, a, KIND_BYE);
    worker_join(&f, c, 0, "", "");
    farm_expect(&f, c, "WELCOME epoch=1");
    farm_end(&f);
}

Test(dispatcher_workers, both_connections_closed_gives_the_tasks_to_others_at_once)
{
    struct farm f = {.input = 4};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 4), *other = worker_up(&f, 2, 0);
    farm_expect(&f, w, "TASKS 1: 1-4#1 last");
    worker_credit(&f, other, 4, 1000, 2);
    worker_dies(&f, w);
    farm_expect(&f, other, "TASKS 1: 1#2 try2 last alone");
    cr_assert_eq(f.d->pending.isolated.members, 1);
    cr_assert_eq(f.d->pending.queue.members, 2);
    farm_end(&f);
}

Test(dispatcher_workers, one_connection_closed_is_waited_for_and_nothing_is_charged)
{
    struct farm f = {.input = 2};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 2), *other = worker_up(&f, 2, 2);
    farm_expect(&f, w, "TASKS 1: 1-2#1 last");
    worker_lane_dies(&f, w);
    farm_pass(&f, 2900);
    farm_expect(&f, other, "");
    farm_pass(&f, 300);
    farm_expect(&f, other, "TASKS 1: 1-2#2 last");
    farm_end(&f);
}

Test(dispatcher_workers, silence_ends_a_session_after_the_limit_and_is_not_charged)
{
    struct farm f = {.input = 2};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 2), *other = worker_up(&f, 2, 2);
    farm_expect(&f, w, "TASKS 1: 1-2#1 last");
    w->silent = true;
    farm_pass(&f, 2900);
    farm_expect(&f, other, "");
    farm_pass(&f, 300);
    farm_expect(&f, other, "TASKS 1: 1-2#2 last");
    farm_expect_said(&f, "is silent");
    worker_finished(&f, w, "1", 0);
    char again[32];
    snprintf(again, sizeof again, "AGAIN %llu", (unsigned long long)w->session);
    farm_expect(&f, w, again);
    farm_end(&f);
}

/* `late` of three workers let 1.5 s go by before each heartbeat; then the first is silent for ever. */
static void be_late(struct farm *f, struct farm_peer *w[3], int late)
{
    farm_begin(f, 1);
    for (int i = 0; i < 3; i++)
        w[i] = worker_up(f, 1, 1);
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < late; i++)
            w[i]->silent = true;
        farm_pass(f, 1500);
        for (int i = 0; i < late; i++)
            w[i]->silent = false;
        farm_pass(f, 100);
    }
    w[0]->silent = true;
}

Test(dispatcher_workers, where_all_are_late_silence_takes_longer_to_mean_anything)
{
    struct farm f = {.input = 3};
    struct farm_peer *w[3];
    be_late(&f, w, 3);
    farm_pass(&f, 4000);
    cr_assert_eq(dispatcher_counts(f.d).workers, 3);
    farm_pass(&f, 6000);
    cr_assert_eq(dispatcher_counts(f.d).workers, 2);
    farm_end(&f);
}

Test(dispatcher_workers, one_that_is_late_gives_more_time_to_itself_and_not_to_others)
{
    struct farm f = {.input = 3};
    struct farm_peer *w[3];
    be_late(&f, w, 1);
    w[1]->silent = true;
    farm_pass(&f, 3000);
    farm_pass(&f, 1300);
    cr_assert_eq(dispatcher_counts(f.d).workers, 2);
    farm_pass(&f, 6000);
    cr_assert_eq(dispatcher_counts(f.d).workers, 1);
    farm_end(&f);
}

Test(dispatcher_workers, who_has_come_and_has_no_task_may_take_ten_limits_to_say_something)
{
    struct farm f = {0};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_connect(&f, 1);
    w->silent = true;
    worker_join(&f, w, 0, "", "");
    farm_pass(&f, 29000);
    cr_assert_eq(dispatcher_counts(f.d).workers, 1);
    farm_pass(&f, 1200);
    cr_assert_eq(dispatcher_counts(f.d).workers, 0);
    farm_end(&f);
}

Test(dispatcher_workers, an_own_freeze_is_nobodys_silence)
{
    struct farm f = {.input = 2};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 2);
    farm_expect(&f, w, "TASKS 1: 1-2#1 last");
    w->silent = true;
    farm_pass(&f, 1000);
    f.now_ns += 3600 * NS_PER_S;
    farm_turn(&f);
    cr_assert_eq(dispatcher_counts(f.d).workers, 1);
    farm_pass(&f, 1000);
    cr_assert_eq(dispatcher_counts(f.d).workers, 1);
    farm_pass(&f, 3000);
    cr_assert_eq(dispatcher_counts(f.d).workers, 0);
    farm_end(&f);
}

Test(dispatcher_workers, after_an_own_freeze_who_has_just_spoken_has_no_more_time_than_others)
{
    struct farm f = {.input = 2};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 2);
    farm_expect(&f, w, "TASKS 1: 1-2#1 last");
    f.now_ns += 3600 * NS_PER_S;
    worker_finished(&f, w, "1", 0);
    worker_control_dies(&f, f.sink);
    farm_turn(&f);
    struct why why;
    cr_assert(dispatcher_waits_for(f.d, f.now_ns, &why));
    cr_assert_not_null(strstr(why.text, "gone for 0.0 s"), "%s", why.text);
    w->silent = true;
    farm_pass(&f, 3200);
    cr_assert_eq(dispatcher_counts(f.d).workers, 0);
    farm_end(&f);
}

Test(dispatcher_workers, who_leaves_gets_the_end_of_its_lane_and_no_more_tasks)
{
    struct farm f = {.input = 3};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 3);
    farm_expect(&f, w, "TASKS 1: 1-3#1 last");
    worker_says(&f, w, KIND_LEAVE);
    struct farm_peer *other = worker_up(&f, 2, 1);
    worker_credit(&f, w, 5, 1000, 2);
    farm_expect(&f, w, "END batch=1; RECALL tasks=1");
    worker_returned(&f, w, "3", RETURNED_LEAVING);
    farm_expect(&f, other, "TASKS 1: 3#2 last");
    worker_finished(&f, w, "1-2", 0);
    sink_note(&f, "1-2");
    farm_expect(&f, w, "RELEASED tasks=1-2");
    worker_says(&f, w, KIND_BYE);
    farm_expect(&f, other, "");
    cr_assert_eq(dispatcher_counts(f.d).workers, 1);
    farm_end(&f);
}

Test(dispatcher_workers, who_could_not_start_a_task_gets_no_more)
{
    struct farm f = {.input = 1};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 5);
    farm_expect(&f, w, "TASKS 1: 1#1 last");
    worker_returned(&f, w, "1", RETURNED_NOT_STARTED);
    farm_expect(&f, w, "");
    struct farm_peer *other = worker_up(&f, 2, 1);
    farm_expect(&f, other, "TASKS 1: 1#2 last");
    farm_end(&f);
}
