/* SPDX-License-Identifier: MPL-2.0 */
#include "farm_fixture.h"

#include <stdlib.h>

#include "ventilator/core/dispatcher.h"

/* Handing out: who gets what, how much, in which messages. */
TestSuite(dispatcher, .timeout = 20);

Test(dispatcher, nothing_is_read_or_handed_out_before_the_sinks_first_note)
{
    struct farm f = {.input = 3};
    struct dispatcher_options options = farm_options(1);
    farm_begin_bare(&f, &options);
    struct farm_peer *w = worker_connect(&f, 2);
    worker_join(&f, w, 0, "", "");
    farm_expect(&f, w, "WAIT");
    sink_join(&f, sink_connect(&f, 500), JOB, 0, "");
    farm_expect(&f, f.sink, "WELCOME epoch=1");
    cr_assert_eq(dispatcher_counts(f.d).read, 0);
    sink_note(&f, "");
    farm_expect(&f, w, "WELCOME epoch=1");
    worker_open_lane(&f, w);
    worker_claim(&f, w, w->token);
    worker_credit(&f, w, 2, 1000, 2);
    farm_expect(&f, w, "HELLO; TASKS 1: 1-2#1 last");
    farm_end(&f);
}

Test(dispatcher, new_tasks_travel_in_one_message_made_without_copying_them)
{
    struct farm f = {0};
    farm_begin(&f, 3);
    struct farm_peer *w = worker_up(&f, 4, 100);
    size_t tasks_max, bytes_max;
    dispatcher_turn(f.d, f.now_ns);
    cr_assert(dispatcher_wants_tasks(f.d, &tasks_max, &bytes_max));
    buf_reserve(dispatcher_room(f.d), 4096);
    const uint8_t *room = dispatcher_room(f.d)->data;
    struct bytes line = bytes_of("a task");
    for (int i = 0; i < 100; i++)
        task_put_line(dispatcher_room(f.d), line);
    dispatcher_add_tasks(f.d, 100, f.now_ns);
    struct dispatcher_action action;
    do
        cr_assert(dispatcher_next_action(f.d, &action));
    while (action.kind != DISPATCHER_SEND_LANE);
    cr_assert_eq(block_bytes(action.block).data, room);
    struct frame_head head;
    struct bytes body, runs;
    uint64_t batch;
    struct task_run run;
    cr_assert_eq(frame_take(block_bytes(action.block), &head, &body), ERR_NONE);
    cr_assert_eq(head.session, w->session);
    cr_assert_eq(tasks_take(body, &batch, &runs), ERR_NONE);
    cr_assert_eq(task_run_take(&runs, &run), ERR_NONE);
    cr_assert_eq(runs.size, 0);
    cr_assert_eq(run.count, 100);
    block_release(&action.block);
    farm_end(&f);
}

Test(dispatcher, credit_is_a_running_total_and_a_late_or_repeated_one_does_no_harm)
{
    struct farm f = {.input = 100};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 3);
    farm_expect(&f, w, "TASKS 1: 1-3#1 last");
    struct credit old = w->granted;
    struct buf to = peer_message(&f, w, KIND_CREDIT);
    credit_put(&to, &old);
    peer_send(&f, w, &to);
    farm_expect(&f, w, "");
    worker_credit(&f, w, 2, 1000, 0);
    to = peer_message(&f, w, KIND_CREDIT);
    credit_put(&to, &old);
    peer_send(&f, w, &to);
    farm_expect(&f, w, "TASKS 2: 4-5#1 last");
    farm_end(&f);
}

Test(dispatcher, credit_in_bytes_is_never_exceeded_by_new_tasks)
{
    struct farm f = {.input = 100};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 0);
    worker_credit(&f, w, 100, 35, 0);
    farm_expect(&f, w, "TASKS 1: 1-3#1 last");
    worker_credit(&f, w, 100, 10, 0);
    farm_expect(&f, w, "TASKS 2: 4#1 last");
    farm_end(&f);
}

Test(dispatcher, credit_in_bytes_is_overdrawn_by_one_requeued_task_at_most)
{
    struct farm f = {.input = 6};
    farm_begin(&f, 1);
    struct farm_peer *first = worker_up(&f, 2, 6);
    farm_expect(&f, first, "TASKS 1: 1-6#1 last");
    worker_returned(&f, first, "1-6", RETURNED_RECALL);
    worker_says(&f, first, KIND_BYE);
    struct farm_peer *w = worker_up(&f, 2, 0);
    worker_credit(&f, w, 6, 5, 0);
    farm_expect(&f, w, "TASKS 1: 1#2 last");
    worker_credit(&f, w, 6, 25, 0);
    farm_expect(&f, w, "TASKS 2: 2-3#2 last");
    farm_end(&f);
}

Test(dispatcher, runs_with_different_histories_are_not_counted_twice_against_the_credit)
{
    struct farm f = {.input = 4};
    farm_begin(&f, 3);
    struct farm_peer *first = worker_up(&f, 4, 4);
    farm_expect(&f, first, "TASKS 1: 1-4#1");
    worker_failed(&f, first, 2, 1);
    worker_failed(&f, first, 4, 1);
    worker_returned(&f, first, "1,3", RETURNED_LEAVING);
    worker_says(&f, first, KIND_BYE);
    struct farm_peer *w = worker_up(&f, 4, 0);
    worker_credit(&f, w, 4, 40, 0);
    farm_expect(&f, w, "TASKS 1: 1#2 2#2 try2 3#2 4#2 try2");
    farm_end(&f);
}

Test(dispatcher, a_session_that_has_nothing_takes_one_task_of_any_size)
{
    struct farm f = {.input = 3};
    farm_begin(&f, 1);
    ranges_of("1-3", &f.large);
    struct farm_peer *w = worker_up(&f, 2, 0);
    worker_credit(&f, w, 3, 100, 0);
    farm_expect(&f, w, "TASKS 1: 1#1 last");
    worker_finished(&f, w, "1", 0);
    farm_expect(&f, w, "");
    sink_note(&f, "1");
    farm_expect(&f, w, "RELEASED tasks=1; TASKS 2: 2#1 last");
    farm_end(&f);
}

Test(dispatcher, a_task_larger_than_thought_is_queued_for_whoever_has_room)
{
    struct farm f = {.input = 3};
    farm_begin(&f, 1);
    ranges_of("3", &f.large);
    struct farm_peer *w = worker_up(&f, 2, 0);
    worker_credit(&f, w, 3, 25, 3);
    farm_expect(&f, w, "TASKS 1: 1-2#1 last");
    struct farm_peer *other = worker_up(&f, 2, 0);
    worker_credit(&f, other, 1, 0, 0);
    farm_expect(&f, other, "TASKS 1: 3#1 last");
    farm_end(&f);
}

Test(dispatcher, small_new_tasks_do_not_overtake_a_large_one_for_ever)
{
    struct farm f = {.input = 8};
    farm_begin(&f, 1);
    ranges_of("3", &f.large);
    struct farm_peer *w = worker_up(&f, 2, 0);
    worker_credit(&f, w, 3, 25, 0);
    farm_expect(&f, w, "TASKS 1: 1-2#1 last");
    worker_credit(&f, w, 9, 30, 0);
    farm_expect(&f, w, "");
    sink_note(&f, "1-2");
    farm_expect(&f, w, "TASKS 2: 3#1 last; RELEASED tasks=1-2");
    farm_end(&f);
}

Test(dispatcher, who_is_least_busy_and_out_of_byte_credit_does_not_keep_others_idle)
{
    struct farm f = {.input = 20};
    farm_begin(&f, 1);
    ranges_of("1", &f.large);
    struct farm_peer *big = worker_up(&f, 64, 0);
    worker_credit(&f, big, 64, 100, 64);
    farm_expect(&f, big, "TASKS 1: 1#1 last");
    struct farm_peer *w = worker_up(&f, 1, 4);
    farm_expect(&f, w, "TASKS 1: 2-5#1 last");
    worker_credit(&f, w, 4, 1000, 1);
    farm_expect(&f, w, "TASKS 2: 6-9#1 last");
    farm_end(&f);
}

Test(dispatcher, the_reserve_is_for_tasks_that_were_handed_out_before)
{
    struct farm f = {.input = 2};
    farm_begin(&f, 1);
    struct farm_peer *first = worker_up(&f, 2, 2);
    farm_expect(&f, first, "TASKS 1: 1-2#1 last");
    struct farm_peer *full = worker_up(&f, 2, 0);
    worker_credit(&f, full, 0, 0, 1);
    f.input = 5;
    farm_expect(&f, full, "");
    worker_returned(&f, first, "1-2", RETURNED_LEAVING);
    worker_says(&f, first, KIND_BYE);
    farm_expect(&f, full, "TASKS 1: 1#2 last");
    worker_credit(&f, full, 0, 0, 1);
    farm_expect(&f, full, "TASKS 2: 2#2 last");
    farm_end(&f);
}

Test(dispatcher, the_idle_worker_is_served_before_the_one_that_reads_ahead)
{
    struct farm f = {.input = 2};
    farm_begin(&f, 1);
    struct farm_peer *a = worker_up(&f, 2, 2);
    farm_expect(&f, a, "TASKS 1: 1-2#1 last");
    worker_credit(&f, a, 10, 1000, 0);
    struct farm_peer *b = worker_up(&f, 2, 2);
    f.input = 2;
    farm_expect(&f, b, "TASKS 1: 3-4#1 last");
    farm_expect(&f, a, "");
    farm_end(&f);
}

Test(dispatcher, requeued_tasks_are_shared_between_those_who_have_room)
{
    struct farm f = {.input = 8};
    farm_begin(&f, 1);
    struct farm_peer *first = worker_up(&f, 1, 8);
    farm_expect(&f, first, "TASKS 1: 1-8#1 last");
    struct farm_peer *a = worker_up(&f, 4, 0), *b = worker_up(&f, 4, 0);
    worker_credit(&f, a, 8, 1000, 4);
    worker_credit(&f, b, 8, 1000, 4);
    worker_returned(&f, first, "1-8", RETURNED_LEAVING);
    worker_says(&f, first, KIND_BYE);
    farm_settle(&f);
    cr_assert_eq(a->has.members, 4);
    cr_assert_eq(b->has.members, 4);
    farm_end(&f);
}

Test(dispatcher, half_of_what_the_fullest_has_not_begun_is_asked_back_for_an_idle_one)
{
    struct farm f = {.input = 10, .input_waits = false};
    farm_begin(&f, 1);
    f.input_waits = false;
    struct farm_peer *rich = worker_up(&f, 2, 10);
    farm_expect(&f, rich, "TASKS 1: 1-10#1 last");
    struct farm_peer *idle = worker_up(&f, 2, 2);
    farm_expect(&f, rich, "RECALL tasks=4");
    worker_returned(&f, rich, "7-10", RETURNED_RECALL);
    farm_expect(&f, idle, "TASKS 1: 7-8#2 last");
    worker_credit(&f, idle, 2, 1000, 0);
    farm_expect(&f, idle, "TASKS 2: 9-10#2 last");
    farm_end(&f);
}

Test(dispatcher, a_recall_that_brings_nothing_is_not_repeated_at_once)
{
    struct farm f = {.input = 10, .input_waits = false};
    farm_begin(&f, 1);
    f.input_waits = false;
    struct farm_peer *rich = worker_up(&f, 2, 10);
    farm_expect(&f, rich, "TASKS 1: 1-10#1 last");
    worker_up(&f, 2, 2);
    farm_expect(&f, rich, "RECALL tasks=4");
    worker_returned(&f, rich, "", RETURNED_RECALL);
    farm_expect(&f, rich, "");
    farm_pass(&f, 100);
    farm_expect(&f, rich, "RECALL tasks=4");
    farm_end(&f);
}

Test(dispatcher, tasks_are_recalled_for_an_idle_worker_also_when_reading_is_held_up)
{
    struct farm f = {.input = 1000};
    farm_begin(&f, 1);
    struct farm_peer *rich = worker_up(&f, 2, 10);
    farm_expect(&f, rich, "TASKS 1: 1-10#1 last");
    sink_note_full(&f, "", true);
    struct farm_peer *idle = worker_up(&f, 2, 2);
    farm_expect(&f, idle, "");
    farm_expect(&f, rich, ""); /* what is read next may come soon */
    farm_pass(&f, 100);
    farm_expect(&f, rich, "RECALL tasks=4");
    farm_end(&f);
}

Test(dispatcher, a_worker_whose_tasks_all_fail_gets_one_at_a_time)
{
    struct farm f = {.input = 25};
    farm_begin(&f, 1);
    struct farm_peer *hole = worker_up(&f, 4, 25);
    farm_expect(&f, hole, "TASKS 1: 1-25#1 last");
    f.input = 100;
    struct farm_peer *good = worker_up(&f, 4, 4);
    farm_expect(&f, good, "TASKS 1: 26-29#1 last");
    worker_finished(&f, good, "26-29", 0);
    worker_finished(&f, hole, "1-25", 25);
    worker_credit(&f, hole, 10, 1000, 4);
    farm_expect(&f, hole, "TASKS 2: 30#1 last");
    worker_finished(&f, hole, "30", 0);
    farm_expect(&f, hole, "TASKS 3: 31-39#1 last");
    farm_end(&f);
}

Test(dispatcher, order_full_stops_the_reading_and_nothing_else)
{
    struct farm f = {.input = 100};
    farm_begin(&f, 1);
    struct farm_peer *a = worker_up(&f, 2, 2);
    farm_expect(&f, a, "TASKS 1: 1-2#1 last");
    sink_note_full(&f, "", true);
    struct farm_peer *b = worker_up(&f, 2, 2);
    farm_expect(&f, b, "");
    worker_returned(&f, a, "2", RETURNED_LEAVING);
    farm_expect(&f, b, "TASKS 1: 2#2 last");
    sink_note_full(&f, "", false);
    farm_expect(&f, b, "TASKS 2: 3#1 last");
    farm_end(&f);
}

Test(dispatcher, the_ledger_stays_below_its_bound_while_the_sink_stores_nothing)
{
    struct farm f = {.input = 1000000};
    struct dispatcher_options options = farm_options(1);
    options.queue_max_bytes = 100000;
    farm_begin_bare(&f, &options);
    f.task_size = 100;
    sink_join(&f, sink_connect(&f, 500), JOB, 0, "");
    farm_settle(&f);
    sink_note(&f, "");
    for (int i = 0; i < 10; i++)
        worker_credit(&f, worker_up(&f, 4, 0), 10000, 1 << 20, 4);
    farm_settle(&f);
    struct dispatcher_counts counts = dispatcher_counts(f.d);
    cr_assert_geq(counts.ledger_bytes, 100000);
    cr_assert_leq(counts.ledger_bytes, 100000 + BATCH_BYTES_MAX + 1000);
    farm_end(&f);
}

Test(dispatcher, the_end_of_the_input_is_seen_without_workers)
{
    struct farm f = {.input = 0};
    farm_begin(&f, 1);
    f.input_waits = false;
    farm_expect(&f, f.sink, "DONE total=0 not_run=none flags=none workers=0");
    farm_end(&f);
}

Test(dispatcher, one_task_is_read_ahead_of_the_first_worker_and_no_more)
{
    struct farm f = {.input = 5};
    farm_begin(&f, 1);
    f.input_begins_late = false;
    farm_settle(&f);
    cr_assert_eq(dispatcher_counts(f.d).read, 1);
    struct farm_peer *w = worker_up(&f, 4, 4);
    farm_expect(&f, w, "TASKS 1: 1#1 last; TASKS 2: 2-4#1 last");
    farm_end(&f);
}
