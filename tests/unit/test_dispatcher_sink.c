/* SPDX-License-Identifier: MPL-2.0 */
#include "farm_fixture.h"

#include <string.h>

#include "ventilator/core/dispatcher.h"

/* The sink comes, stores, goes, comes back, and closes the job. */
TestSuite(dispatcher_sink, .timeout = 20);

Test(dispatcher_sink, stored_releases_a_task_and_stops_those_who_still_run_it)
{
    struct farm f = {.input = 2};
    farm_begin(&f, 2);
    struct farm_peer *a = worker_up(&f, 2, 2);
    farm_expect(&f, a, "TASKS 1: 1-2#1");
    a->silent = true;
    farm_pass(&f, 3200);
    struct farm_peer *b = worker_up(&f, 2, 2);
    farm_expect(&f, b, "TASKS 1: 1-2#2");
    a->silent = false;
    worker_reconnect(&f, a);
    buf_clear(&a->heard);
    worker_join(&f, a, JOB, "1", "2");
    farm_expect(&f, a, "WELCOME epoch=1");
    sink_note(&f, "1-2");
    farm_expect(&f, a, "CANCEL 1#1@0; RELEASED tasks=1-2");
    farm_expect(&f, b, "CANCEL 1#2@1 2#2@1; RELEASED tasks=1-2");
    farm_end(&f);
}

Test(dispatcher_sink, a_stored_task_leaves_the_queue)
{
    struct farm f = {.input = 3};
    farm_begin(&f, 1);
    struct farm_peer *a = worker_up(&f, 2, 3);
    farm_expect(&f, a, "TASKS 1: 1-3#1 last");
    worker_returned(&f, a, "1-3", RETURNED_LEAVING);
    worker_says(&f, a, KIND_BYE);
    sink_note(&f, "2");
    struct farm_peer *b = worker_up(&f, 2, 3);
    farm_expect(&f, b, "TASKS 1: 1#2 last 3#2 last");
    farm_end(&f);
}

Test(dispatcher_sink, finished_of_a_stored_task_is_answered_with_released)
{
    struct farm f = {.input = 3};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 3);
    farm_expect(&f, w, "TASKS 1: 1-3#1 last");
    sink_note(&f, "1");
    farm_expect(&f, w, "RELEASED tasks=1");
    worker_finished(&f, w, "1-2", 0);
    farm_expect(&f, w, "RELEASED tasks=1");
    farm_end(&f);
}

Test(dispatcher_sink, a_second_sink_is_refused_while_the_first_is_connected)
{
    struct farm f = {0};
    farm_begin(&f, 1);
    struct farm_peer *first = f.sink, *second = sink_connect(&f, 501);
    sink_join(&f, second, JOB, 0, "");
    farm_expect(&f, second, "REFUSE 3");
    f.sink = first;
    sink_note(&f, "");
    farm_expect(&f, first, "");
    farm_end(&f);
}

Test(dispatcher_sink, a_sink_that_opened_the_store_later_follows_one_that_is_still_connected)
{
    struct farm f = {0};
    struct dispatcher_options options = farm_options(1);
    farm_begin_bare(&f, &options);
    struct farm_peer *first = sink_connect(&f, 500);
    sink_join_opened(&f, first, JOB, 0, "", 1);
    farm_expect(&f, first, "WELCOME epoch=1");
    struct farm_peer *second = sink_connect(&f, 501);
    sink_join_opened(&f, second, JOB, 0, "", 2);
    farm_expect(&f, second, "WELCOME epoch=2");
    sink_join_opened(&f, first, JOB, 0, "", 1); /* it was under way for long */
    farm_expect(&f, first, "REFUSE 5");
    struct farm_peer *copy = sink_connect(&f, 502);
    sink_join_opened(&f, copy, JOB, 0, "", 2);
    farm_expect(&f, copy, "REFUSE 3");
    cr_assert_not(f.exited);
    farm_end(&f);
}

Test(dispatcher_sink, the_same_sink_keeps_its_epoch_over_a_new_connection)
{
    struct farm f = {.input = 2};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 2);
    farm_expect(&f, w, "TASKS 1: 1-2#1 last");
    sink_note(&f, "1");
    farm_settle(&f);
    buf_clear(&w->heard);
    worker_control_dies(&f, f.sink);
    worker_reconnect(&f, f.sink);
    sink_join(&f, f.sink, JOB, 0, "1");
    farm_expect(&f, f.sink, "WELCOME epoch=1");
    farm_expect(&f, w, "SINK");
    sink_note(&f, "1-2");
    farm_expect(&f, w, "RELEASED tasks=2");
    farm_end(&f);
}

Test(dispatcher_sink, nothing_is_handed_out_while_the_sink_is_away)
{
    struct farm f = {.input = 2};
    farm_begin(&f, 1);
    worker_control_dies(&f, f.sink);
    struct farm_peer *w = worker_up(&f, 2, 2);
    farm_expect(&f, w, "");
    worker_reconnect(&f, f.sink);
    sink_join(&f, f.sink, JOB, 0, "");
    farm_expect(&f, w, "SINK");
    sink_note(&f, "");
    farm_expect(&f, w, "TASKS 1: 1-2#1 last");
    farm_end(&f);
}

Test(dispatcher_sink, a_note_of_another_epoch_is_ignored)
{
    struct farm f = {.input = 2};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 2);
    farm_expect(&f, w, "TASKS 1: 1-2#1 last");
    f.epoch = 9;
    sink_note(&f, "1-2");
    farm_expect(&f, w, "");
    cr_assert_eq(dispatcher_counts(f.d).stored, 0);
    farm_end(&f);
}

Test(dispatcher_sink, a_new_sink_is_taken_before_anything_is_stored_and_workers_join_again)
{
    struct farm f = {.input = 2};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 2);
    farm_expect(&f, w, "TASKS 1: 1-2#1 last");
    worker_control_dies(&f, f.sink);
    sink_join(&f, sink_connect(&f, 501), JOB + 1, 0, "");
    farm_expect(&f, f.sink, "WELCOME epoch=2");
    farm_expect(&f, w, "AGAIN 2");
    sink_note(&f, "");
    struct farm_peer *other = worker_up(&f, 2, 2);
    farm_expect(&f, other, "TASKS 1: 1-2#2 last");
    farm_end(&f);
}

Test(dispatcher_sink, without_the_results_that_were_stored_the_run_ends)
{
    struct farm f = {.input = 2};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 2);
    farm_expect(&f, w, "TASKS 1: 1-2#1 last");
    sink_note(&f, "1");
    worker_control_dies(&f, f.sink);
    sink_join(&f, sink_connect(&f, 501), JOB + 1, 0, "");
    farm_expect(&f, f.sink, "REFUSE 5");
    cr_assert(f.exited);
    cr_assert_eq(f.status, 255);
    farm_expect_said(&f, "1 results with it");
    farm_end(&f);
}

Test(dispatcher_sink, a_sink_of_the_same_job_that_lacks_results_ends_the_run_and_they_are_named)
{
    struct farm f = {.input = 3};
    farm_begin(&f, 1);
    worker_up(&f, 3, 3);
    farm_settle(&f);
    sink_note(&f, "1-3");
    worker_control_dies(&f, f.sink);
    sink_join(&f, sink_connect(&f, 501), JOB, 0, "1,3");
    farm_expect(&f, f.sink, "REFUSE 5");
    cr_assert_eq(f.status, 255);
    farm_expect_said(&f, "lacks 1 results that it had stored, the first is task 2");
    farm_end(&f);
}

Test(dispatcher_sink, a_sink_with_results_of_another_run_is_refused)
{
    struct farm f = {0};
    struct dispatcher_options options = farm_options(1);
    farm_begin_bare(&f, &options);
    sink_join(&f, sink_connect(&f, 500), JOB, SINK_VOLATILE, "1-3");
    farm_expect(&f, f.sink, "REFUSE 4");
    sink_join(&f, sink_connect(&f, 501), JOB, SINK_VOLATILE, "");
    farm_expect(&f, f.sink, "WELCOME epoch=1");
    farm_end(&f);
}

Test(dispatcher_sink, without_a_sink_it_gives_up_with_words)
{
    struct farm f = {.input = 2};
    struct dispatcher_options options = farm_options(1);
    farm_begin_bare(&f, &options);
    farm_pass(&f, 59900);
    cr_assert_not(f.exited);
    farm_pass(&f, 200);
    cr_assert(f.exited);
    cr_assert_eq(f.status, 255);
    farm_expect_said(&f, "no sink has joined within 60 s; start one with: zfarm-sink");
    farm_end(&f);
}

Test(dispatcher_sink, a_sink_that_does_not_come_back_is_given_up_with_words)
{
    struct farm f = {.input = 2};
    farm_begin(&f, 1);
    farm_pass(&f, 61000);
    cr_assert_not(f.exited);
    worker_control_dies(&f, f.sink);
    farm_pass(&f, 61000);
    cr_assert_eq(f.status, 255);
    farm_expect_said(&f, "the sink is gone and did not come back");
    farm_end(&f);
}

Test(dispatcher_sink, a_too_large_task_is_judged_and_goes_to_no_worker)
{
    struct farm f = {.input = 3};
    farm_begin(&f, 1);
    ranges_of("2", &f.too_large);
    struct farm_peer *w = worker_up(&f, 2, 3);
    farm_expect(&f, w, "TASKS 1: 1#1 last; TASKS 2: 3#1 last");
    farm_expect(&f, f.sink, "VERDICT 2 too large");
    sink_note(&f, "1-3");
    f.input_waits = false;
    worker_credit(&f, w, 1, 10, 0);
    farm_expect(&f, f.sink, "DONE total=3 not_run=none flags=none workers=1");
    farm_end(&f);
}

Test(dispatcher_sink, many_verdicts_are_all_given_at_once_and_each_of_them_once)
{
    struct farm f = {.input = 2500};
    farm_begin(&f, 1);
    ranges_of("1-2500", &f.too_large);
    struct farm_peer *w = worker_up(&f, 2, 3);
    farm_settle(&f);
    size_t verdicts = 0;
    buf_put_byte(&f.sink->heard, '\0');
    for (const char *at = (char *)f.sink->heard.data; (at = strstr(at, "too large")); at++)
        verdicts++;
    cr_assert_eq(verdicts, 2500);
    farm_expect(&f, w, "");
    farm_end(&f);
}

Test(dispatcher_sink, a_job_ends_with_done_closed_bye_and_stop_in_this_order)
{
    struct farm f = {.input = 3};
    farm_begin(&f, 1);
    f.input_waits = false;
    struct farm_peer *w = worker_up(&f, 2, 4);
    farm_expect(&f, w, "TASKS 1: 1-3#1 last");
    sink_closed(&f, 0);
    farm_expect(&f, f.sink, "");
    worker_finished(&f, w, "1-3", 2);
    sink_note(&f, "1-3");
    farm_expect(&f, f.sink, "DONE total=3 not_run=none flags=none workers=1");
    farm_expect(&f, w, "RELEASED tasks=1-3");
    sink_closed(&f, 2);
    farm_expect(&f, f.sink, "BYE");
    farm_expect(&f, w, "");
    cr_assert_not(f.exited);
    worker_control_dies(&f, f.sink);
    farm_expect(&f, w, "STOP");
    cr_assert_not(f.exited);
    worker_dies(&f, w);
    farm_turn(&f);
    cr_assert(f.exited);
    cr_assert_eq(f.status, 2);
    farm_end(&f);
}

Test(dispatcher_sink, who_stays_after_the_end_is_not_waited_for_long)
{
    struct farm f = {0};
    farm_begin(&f, 1);
    f.input_waits = false;
    farm_expect(&f, f.sink, "DONE total=0 not_run=none flags=none workers=0");
    worker_up(&f, 1, 1);
    sink_closed(&f, 0);
    farm_pass(&f, 31200);
    cr_assert(f.exited);
    cr_assert_eq(f.status, 0);
    farm_end(&f);
}

Test(dispatcher_sink, who_is_silent_after_the_end_is_waited_for_until_the_limit)
{
    struct farm f = {0};
    farm_begin(&f, 1);
    f.input_waits = false;
    farm_expect(&f, f.sink, "DONE total=0 not_run=none flags=none workers=0");
    struct farm_peer *w = worker_up(&f, 1, 1);
    farm_pass(&f, 500);
    w->silent = true;
    sink_closed(&f, 0);
    worker_control_dies(&f, f.sink);
    farm_pass(&f, 2500);
    cr_assert_not(f.exited);
    farm_pass(&f, 1000);
    cr_assert(f.exited);
    farm_end(&f);
}

Test(dispatcher_sink, done_is_told_again_to_a_sink_that_joins_again)
{
    struct farm f = {0};
    farm_begin(&f, 1);
    f.input_waits = false;
    farm_expect(&f, f.sink, "DONE total=0 not_run=none flags=none workers=0");
    worker_control_dies(&f, f.sink);
    worker_reconnect(&f, f.sink);
    sink_join(&f, f.sink, JOB, SINK_CLOSED, "");
    farm_expect(&f, f.sink, "WELCOME epoch=1");
    sink_note(&f, "");
    farm_expect(&f, f.sink, "DONE total=0 not_run=none flags=none workers=0");
    farm_end(&f);
}

Test(dispatcher_sink, a_stop_lets_run_what_runs_and_counts_what_was_not_run)
{
    struct farm f = {.input = 100};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 6);
    farm_expect(&f, w, "TASKS 1: 1-6#1 last");
    dispatcher_stop(f.d, "interrupted", f.now_ns);
    worker_credit(&f, w, 10, 1000, 2);
    farm_expect(&f, w, "END batch=1");
    worker_returned(&f, w, "3-6", RETURNED_LEAVING);
    farm_expect(&f, f.sink, "");
    worker_finished(&f, w, "1-2", 0);
    sink_note(&f, "1-2");
    farm_expect(&f, w, "RELEASED tasks=1-2");
    farm_expect(&f, f.sink, "DONE total=6 not_run=3-6 flags=input-cut workers=1");
    struct farm_peer *late = worker_connect(&f, 1);
    worker_join(&f, late, 0, "", "");
    farm_expect(&f, late, "REFUSE 6");
    sink_closed(&f, 0);
    worker_control_dies(&f, f.sink);
    farm_pass(&f, 30200);
    cr_assert_eq(f.status, 255);
    farm_expect_said(&f, "interrupted");
    farm_end(&f);
}

Test(dispatcher_sink, what_done_called_not_run_stays_so_though_a_worker_comes_back_with_it)
{
    struct farm f = {.input = 2};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 2);
    farm_expect(&f, w, "TASKS 1: 1-2#1 last");
    dispatcher_stop(f.d, "interrupted", f.now_ns);
    w->silent = true;
    farm_pass(&f, 3200);
    farm_expect(&f, f.sink, "ENDED session=2; DONE total=2 not_run=1-2 flags=input-cut workers=1");
    w->silent = false;
    worker_reconnect(&f, w);
    buf_clear(&w->heard);
    worker_join(&f, w, JOB, "1", "2");
    farm_expect(&f, w, "WELCOME epoch=1 kill=1 have=2");
    sink_note(&f, "2"); /* the sink drops it and says so */
    worker_control_dies(&f, f.sink);
    f.sink = sink_connect(&f, f.sink->instance);
    sink_join(&f, f.sink, JOB, 0, "");
    cr_assert_not(f.exited);
    farm_end(&f);
}

Test(dispatcher_sink, a_stop_waits_for_a_worker_whose_connections_were_just_cut)
{
    struct farm f = {.input = 2};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 2);
    farm_expect(&f, w, "TASKS 1: 1-2#1 last");
    worker_dies(&f, w);
    dispatcher_stop(f.d, "interrupted", f.now_ns);
    farm_expect(&f, f.sink, "ENDED session=2");
    worker_reconnect(&f, w);
    worker_join(&f, w, JOB, "1", "2");
    farm_expect(&f, w, "WELCOME epoch=1");
    farm_pass(&f, 5000);
    farm_expect(&f, f.sink, "");
    sink_note(&f, "1-2");
    farm_expect(&f, f.sink, "DONE total=2 not_run=none flags=input-cut workers=1");
    farm_end(&f);
}

Test(dispatcher_sink, a_stop_before_a_sink_has_joined_ends_at_once)
{
    struct farm f = {0};
    struct dispatcher_options options = farm_options(1);
    farm_begin_bare(&f, &options);
    dispatcher_stop(f.d, "interrupted", f.now_ns);
    farm_turn(&f);
    cr_assert(f.exited);
    cr_assert_eq(f.status, 255);
    farm_end(&f);
}

Test(dispatcher_sink, an_input_that_fails_ends_like_an_interruption)
{
    struct farm f = {.input = 2};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 4);
    farm_expect(&f, w, "TASKS 1: 1-2#1 last");
    dispatcher_input_failed(f.d, "cannot read tasks.txt: an error", f.now_ns);
    farm_expect(&f, w, "END batch=1");
    sink_note(&f, "1-2");
    farm_expect(&f, f.sink, "DONE total=2 not_run=none flags=input-cut workers=1");
    sink_closed(&f, 0);
    worker_control_dies(&f, f.sink);
    farm_pass(&f, 30200);
    farm_expect_said(&f, "cannot read tasks.txt");
    cr_assert_eq(f.status, 255);
    farm_end(&f);
}

Test(dispatcher_sink, a_sink_that_leaves_stops_the_job)
{
    struct farm f = {.input = 2};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 2);
    farm_expect(&f, w, "TASKS 1: 1-2#1 last");
    worker_says(&f, f.sink, KIND_LEAVE);
    farm_expect(&f, w, "END batch=1");
    farm_end(&f);
}

static void sink_lacks(struct farm *f, uint64_t session, uint64_t batch)
{
    struct gap gaps[] = {{session, batch}, {4711, 1}};
    struct stored_note m = {.epoch = 1, .gaps = gaps, .gap_count = 2};
    struct buf to = peer_message(f, f->sink, KIND_STORED);
    stored_note_put(&to, &m);
    dispatcher_control_message(f->d, &(struct origin){f->sink->connection, "", {{0}}},
                               buf_bytes(&to), f->now_ns);
    buf_free(&to);
}

Test(dispatcher_sink, a_gap_that_the_sink_names_is_passed_on_to_its_worker)
{
    struct farm f = {0};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 2);
    sink_lacks(&f, w->session, 3);
    farm_expect(&f, w, "RESEND batch=3");
    farm_end(&f);
}

Test(dispatcher_sink, of_gaps_that_are_named_one_after_the_other_the_lowest_is_passed_on)
{
    static const uint64_t gaps[][2] = {{17, 22}, {22, 17}};
    for (size_t i = 0; i < sizeof gaps / sizeof *gaps; i++) {
        struct farm f = {0};
        farm_begin(&f, 1);
        struct farm_peer *w = worker_up(&f, 2, 2);
        sink_lacks(&f, w->session, gaps[i][0]);
        sink_lacks(&f, w->session, gaps[i][1]);
        farm_expect(&f, w, "RESEND batch=17");
        sink_lacks(&f, w->session, 30);
        farm_pass(&f, 20);
        farm_expect(&f, w, "RESEND batch=30");
        farm_end(&f);
    }
}
