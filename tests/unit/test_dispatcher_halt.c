/* SPDX-License-Identifier: MPL-2.0 */
#include "farm_fixture.h"

#include "ventilator/core/dispatcher.h"

/* HALT: the sink has seen enough. */
TestSuite(dispatcher_halt, .timeout = 20);

Test(dispatcher_halt, soon_lets_run_what_runs_and_begins_nothing_more)
{
    struct farm f = {.input = 100};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 6);
    farm_expect(&f, w, "TASKS 1: 1-6#1 last");
    sink_halts(&f, HALT_SOON, 1, 3);
    farm_expect(&f, w, "END batch=1");
    worker_returned(&f, w, "3-6", RETURNED_LEAVING);
    worker_finished(&f, w, "1-2", 1);
    farm_expect(&f, f.sink, "");
    sink_note(&f, "1-2");
    farm_expect(&f, f.sink, "DONE total=6 not_run=3-6 flags=input-cut workers=1");
    farm_expect(&f, w, "RELEASED tasks=1-2");
    farm_end(&f);
}

Test(dispatcher_halt, now_cancels_all_that_is_not_finished_and_waits_for_none_of_it)
{
    struct farm f = {.input = 100};
    farm_begin(&f, 3);
    struct farm_peer *w = worker_up(&f, 2, 6);
    farm_expect(&f, w, "TASKS 1: 1-6#1");
    worker_failed(&f, w, 2, 1);
    worker_credit(&f, w, 1, 1000, 1);
    farm_expect(&f, w, "TASKS 2: 2#2 try2");
    worker_finished(&f, w, "1,3", 0);
    farm_settle(&f);
    sink_halts(&f, HALT_NOW, 1, 3);
    farm_expect(&f, w, "END batch=2; CANCEL 2#2@2 4#1@1 5#1@1 6#1@1");
    farm_expect(&f, f.sink, "");
    sink_note(&f, "1,3");
    farm_expect(&f, f.sink, "DONE total=6 not_run=2,4-6 flags=input-cut workers=1");
    farm_end(&f);
}

Test(dispatcher_halt, a_result_that_was_made_all_the_same_counts_until_done)
{
    struct farm f = {.input = 2};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 2);
    farm_expect(&f, w, "TASKS 1: 1-2#1 last");
    worker_finished(&f, w, "1", 0);
    farm_settle(&f);
    sink_halts(&f, HALT_NOW, 1, 0);
    farm_settle(&f);
    worker_finished(&f, w, "2", 0); /* before CANCEL reached it; STOP lets it go */
    sink_note(&f, "1-2");
    farm_expect(&f, w, "END batch=1; CANCEL 2#1@1; RELEASED tasks=1");
    farm_expect(&f, f.sink, "DONE total=2 not_run=none flags=input-cut workers=1");
    farm_end(&f);
}

Test(dispatcher_halt, what_a_join_names_after_now_is_killed_and_its_results_are_taken)
{
    struct farm f = {.input = 3, .input_waits = true};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 3);
    farm_expect(&f, w, "TASKS 1: 1-3#1 last");
    worker_dies(&f, w);
    sink_halts(&f, HALT_NOW, 9, 1);
    farm_turn(&f);
    worker_reconnect(&f, w);
    worker_join(&f, w, JOB, "2-3", "1");
    farm_expect(&f, w, "WELCOME epoch=1 kill=2-3");
    buf_clear(&f.sink->heard);
    sink_note(&f, "1");
    farm_expect(&f, f.sink, "DONE total=3 not_run=2-3 flags=input-cut workers=1");
    farm_end(&f);
}

Test(dispatcher_halt, its_end_has_the_sinks_status_and_is_no_interruption_for_workers)
{
    struct farm f = {.input = 2};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 2);
    farm_expect(&f, w, "TASKS 1: 1-2#1 last");
    worker_finished(&f, w, "1-2", 1);
    sink_halts(&f, HALT_SOON, 1, 42);
    sink_note(&f, "1-2");
    farm_settle(&f);
    buf_clear(&w->heard);
    struct closed m = {.total = 2, .ok = 1, .failed = 1, .status = 42};
    struct buf to = peer_message(&f, f.sink, KIND_CLOSED);
    closed_put(&to, &m);
    peer_send(&f, f.sink, &to);
    worker_control_dies(&f, f.sink);
    farm_pass(&f, 30200);
    farm_expect(&f, w, "STOP");
    cr_assert(f.exited);
    cr_expect_eq(f.status, 42);
    cr_expect_eq(f.said.size, 1, "it says nothing");
    farm_end(&f);
}

Test(dispatcher_halt, a_sink_that_joins_later_is_told)
{
    struct farm f = {.input = 3, .input_waits = true};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 3);
    farm_expect(&f, w, "TASKS 1: 1-3#1 last");
    sink_halts(&f, HALT_SOON, 2, 7);
    farm_settle(&f);
    worker_control_dies(&f, f.sink);
    buf_clear(&f.sink->heard);
    sink_join(&f, sink_connect(&f, 501), JOB, 0, "");
    farm_expect(&f, f.sink, "WELCOME epoch=2");
    sink_note(&f, "");
    farm_expect(&f, f.sink, "HALT when=soon seq=2 status=7");
    farm_end(&f);
}

Test(dispatcher_halt, it_does_not_end_what_is_being_stopped_or_is_done)
{
    struct farm f = {.input = 2};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 2);
    farm_expect(&f, w, "TASKS 1: 1-2#1 last");
    dispatcher_stop(f.d, "interrupted by a signal", f.now_ns);
    sink_halts(&f, HALT_NOW, 1, 1);
    farm_expect(&f, w, "END batch=1");
    cr_expect_eq(f.d->end.halt.when, HALT_NEVER);
    farm_end(&f);
}

Test(dispatcher_halt, for_a_sink_that_wants_to_know_how_many_tasks_there_are_it_reads_ahead)
{
    struct farm f = {.input = 5000};
    struct dispatcher_options options = farm_options(1);
    options.queue_max_bytes = 1 << 20;
    farm_begin_bare(&f, &options);
    f.input_waits = f.input_begins_late = false;
    sink_join(&f, sink_connect(&f, 500), JOB, SINK_WANTS_TOTAL, "");
    farm_turn(&f);
    sink_note(&f, "");
    farm_settle(&f);
    cr_expect_eq(dispatcher_counts(f.d).read, 5000);
    cr_expect(f.d->reading.ended);
    struct farm_peer *w = worker_up(&f, 2, 0);
    worker_credit(&f, w, 3, 1000, 2);
    farm_expect(&f, w, "TASKS 1: 1-3#1 last");
    farm_end(&f);
}

Test(dispatcher_halt, it_reads_no_further_ahead_than_the_queue_is_long)
{
    struct farm f = {.input = 100000};
    struct dispatcher_options options = farm_options(1);
    options.queue_max_bytes = 1 << 17;
    farm_begin_bare(&f, &options);
    f.input_waits = f.input_begins_late = false;
    sink_join(&f, sink_connect(&f, 500), JOB, SINK_WANTS_TOTAL, "");
    farm_turn(&f);
    sink_note(&f, "");
    farm_settle(&f);
    cr_expect_geq(dispatcher_counts(f.d).ledger_bytes, 1 << 17);
    cr_expect_leq(dispatcher_counts(f.d).ledger_bytes, (1 << 17) + BATCH_BYTES_MAX + 1024);
    farm_end(&f);
}

Test(dispatcher_halt, a_malformed_one_is_dropped)
{
    struct farm f = {.input = 2};
    farm_begin(&f, 1);
    uint64_t dropped = dispatcher_counts(f.d).dropped;
    sink_halts(&f, HALT_NEVER, 1, 1);
    sink_halts(&f, (enum halt_when)9, 1, 1);
    sink_halts(&f, HALT_NOW, 0, 1);
    cr_expect_eq(dispatcher_counts(f.d).dropped, dropped + 3);
    cr_expect_not(f.d->end.stopping);
    farm_end(&f);
}
