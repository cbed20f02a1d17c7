/* SPDX-License-Identifier: MPL-2.0 */
#include "farm_fixture.h"

#include <string.h>

#include "ventilator/core/dispatcher.h"

/* Tasks that are too large for one message: here those of 10,000 bytes, in pieces of 4,000. */
TestSuite(dispatcher_pieces, .timeout = 20);

static void begin(struct farm *f, unsigned retries, const char *large)
{
    struct dispatcher_options options = farm_options(retries);
    options.task_inline_max = 5000;
    options.task_piece_max = 4000;
    options.hedge = true;
    farm_begin_bare(f, &options);
    ranges_of(large, &f->large);
    sink_join(f, sink_connect(f, 500), JOB, SINK_VOLATILE, "");
    farm_settle(f);
    sink_note(f, "");
    farm_settle(f);
    buf_clear(&f->sink->heard);
}

/* A worker that has got the first piece of task 1, and the connection takes no more. */
static struct farm_peer *got_one_piece(struct farm *f, uint64_t slots)
{
    struct farm_peer *w;
    f->input = 1;
    begin(f, 3, "1");
    f->d->options.task_piece_max = 2100; /* five pieces */
    f->slow_lanes = true;
    w = worker_up(f, slots, slots);
    farm_expect(f, w, "PIECE 1@0; PIECE 1@2100; PIECE 1@4200; PIECE 1@6300");
    return w;
}

Test(dispatcher_pieces, a_large_task_goes_in_pieces_and_is_there_with_the_batch_behind_them)
{
    struct farm f = {.input = 3};
    begin(&f, 1, "2");
    struct farm_peer *w = worker_up(&f, 3, 3);
    farm_expect(&f, w,
                "TASKS 1: 1#1 last; PIECE 2@0; PIECE 2@4000; PIECE 2@8000; "
                "TASKS 2: 2#1 last pieces; TASKS 3: 3#1 last");
    worker_finished(&f, w, "1-3", 0);
    sink_note(&f, "1-3");
    farm_expect(&f, w, "RELEASED tasks=1-3");
    farm_end(&f);
}

Test(dispatcher_pieces, a_piece_is_made_when_the_connection_has_taken_those_before)
{
    struct farm f = {0};
    struct farm_peer *w = got_one_piece(&f, 1);
    cr_assert_leq(dispatcher_deadline(f.d), f.now_ns + 10 * NS_PER_MS, "nobody tells, so it looks");
    farm_lanes_take(&f, 1);
    farm_expect(&f, w, "PIECE 1@8400; TASKS 1: 1#1 pieces");
    farm_lanes_take(&f, FARM_WAITING_MAX);
    farm_turn(&f);
    cr_assert_null(f.d->sessions.items[0]->transfer.sent[0], "what was taken is let go");
    cr_assert_gt(dispatcher_deadline(f.d), f.now_ns + 10 * NS_PER_MS);
    farm_end(&f);
}

Test(dispatcher_pieces, small_tasks_pass_one_that_is_on_its_way_and_no_large_one_does)
{
    struct farm f = {0};
    struct farm_peer *w = got_one_piece(&f, 3);
    ranges_of("2", &f.large);
    f.input = 1;
    farm_expect(&f, w, "");
    f.input = 1; /* nothing is read while something is queued */
    farm_expect(&f, w, "");
    struct farm_peer *other = worker_up(&f, 1, 1);
    farm_expect(&f, other, "PIECE 2@0; PIECE 2@2100; PIECE 2@4200; PIECE 2@6300");
    farm_expect(&f, w, "TASKS 1: 3#1");
    farm_lanes_take(&f, FARM_WAITING_MAX);
    farm_expect(&f, w, "PIECE 1@8400; TASKS 2: 1#1 pieces");
    farm_end(&f);
}

Test(dispatcher_pieces, it_counts_as_one_task_and_little_towards_the_credit)
{
    struct farm f = {.input = 4};
    begin(&f, 1, "1-4");
    struct farm_peer *w = worker_connect(&f, 4);
    worker_join(&f, w, JOB, "", "");
    worker_open_lane(&f, w);
    farm_settle(&f);
    worker_claim(&f, w, w->token);
    f.input_begins_late = false;
    worker_credit(&f, w, 3, 2 * 10001, 0);
    farm_settle(&f);
    cr_assert_eq(f.d->sessions.items[0]->out.members, 2,
                 "10,000 bytes is little: it counts as it is");
    cr_assert_eq(task_pieces_credit(1 << 30), 64 << 10);
    farm_end(&f);
}

Test(dispatcher_pieces, one_that_is_stored_on_its_way_is_cut_and_never_counted)
{
    struct farm f = {0};
    struct farm_peer *w = got_one_piece(&f, 1);
    sink_note(&f, "1"); /* by a worker of an earlier life, say */
    farm_expect(&f, w, "RELEASED tasks=1");
    farm_lanes_take(&f, 1);
    f.input = 1;
    farm_expect(&f, w, "CUT 1; TASKS 1: 2#1");
    farm_end(&f);
}

Test(dispatcher_pieces, who_dies_before_the_last_piece_has_not_begun_it)
{
    struct farm f = {0};
    struct farm_peer *w = got_one_piece(&f, 1);
    worker_dies(&f, w);
    farm_lanes_take(&f, FARM_WAITING_MAX);
    f.slow_lanes = false;
    struct farm_peer *other = worker_up(&f, 1, 1);
    farm_expect(&f, other,
                "PIECE 1@0; PIECE 1@2100; PIECE 1@4200; PIECE 1@6300; PIECE 1@8400; "
                "TASKS 1: 1#2 pieces"); /* no loss: no second try, and not alone */
    worker_dies(&f, other);
    struct farm_peer *third = worker_up(&f, 1, 1);
    farm_expect(&f, third,
                "PIECE 1@0; PIECE 1@2100; PIECE 1@4200; PIECE 1@6300; PIECE 1@8400; "
                "TASKS 1: 1#3 try2 alone pieces");
    farm_end(&f);
}

Test(dispatcher_pieces, one_that_is_on_its_way_is_not_asked_back)
{
    struct farm f = {0};
    struct farm_peer *w = got_one_piece(&f, 1);
    f.input_waits = false;
    struct farm_peer *idle = worker_up(&f, 1, 1);
    farm_pass(&f, 1000);
    farm_expect(&f, w, "");
    farm_expect(&f, idle, "");
    farm_end(&f);
}

Test(dispatcher_pieces, what_is_on_its_way_to_who_leaves_is_taken_back_before_the_end_of_the_lane)
{
    struct farm f = {0};
    struct farm_peer *w = got_one_piece(&f, 1);
    worker_says(&f, w, KIND_LEAVE);
    farm_expect(&f, w, "END batch=0");
    farm_lanes_take(&f, FARM_WAITING_MAX);
    farm_expect(&f, w, "");
    f.slow_lanes = false;
    farm_expect(&f, worker_up(&f, 1, 1),
                "PIECE 1@0; PIECE 1@2100; PIECE 1@4200; PIECE 1@6300; PIECE 1@8400; "
                "TASKS 1: 1#2 pieces");
    farm_end(&f);
}

Test(dispatcher_pieces, a_stopped_job_does_not_run_what_is_on_its_way)
{
    struct farm f = {0};
    struct farm_peer *w = got_one_piece(&f, 1);
    dispatcher_stop(f.d, "interrupted", f.now_ns);
    farm_expect(&f, w, "END batch=0");
    farm_expect(&f, f.sink, "DONE total=1 not_run=1 flags=input-cut workers=0");
    farm_end(&f);
}

Test(dispatcher_pieces, one_that_is_returned_before_it_is_there_is_cut)
{
    struct farm f = {0};
    struct farm_peer *w = got_one_piece(&f, 2);
    worker_returned(&f, w, "1", RETURNED_RECALL); /* by nobody that tells the truth */
    farm_lanes_take(&f, FARM_WAITING_MAX);
    f.slow_lanes = false;
    farm_expect(&f, w,
                "CUT 1; PIECE 1@0; PIECE 1@2100; PIECE 1@4200; PIECE 1@6300; PIECE 1@8400; "
                "TASKS 1: 1#2 pieces");
    farm_end(&f);
}

Test(dispatcher_pieces, a_second_attempt_on_its_way_is_cut_when_the_worker_of_the_first_dies)
{
    struct farm f = {.input = 1};
    begin(&f, 2, "1");
    f.input_waits = false;
    struct farm_peer *slow = worker_up(&f, 1, 1);
    farm_expect(&f, slow, "PIECE 1@0; PIECE 1@4000; PIECE 1@8000; TASKS 1: 1#1 pieces");
    f.d->options.task_piece_max = 2100;
    f.slow_lanes = true;
    struct farm_peer *fast = worker_up(&f, 1, 1);
    worker_runs(&f, slow, "1");
    f.now_ns += 500 * NS_PER_MS;
    farm_expect(&f, fast, "PIECE 1@0; PIECE 1@2100; PIECE 1@4200; PIECE 1@6300");
    worker_dies(&f, slow);
    farm_lanes_take(&f, FARM_WAITING_MAX);
    f.slow_lanes = false;
    farm_expect(&f, fast,
                "CUT 1; PIECE 1@0; PIECE 1@2100; PIECE 1@4200; PIECE 1@6300; PIECE 1@8400; "
                "TASKS 1: 1#3 try2 alone pieces");
    farm_end(&f);
}

Test(dispatcher_pieces, a_lost_one_is_judged_without_its_bytes)
{
    struct farm f = {.input = 1};
    begin(&f, 1, "1");
    for (int i = 0; i < 3; i++) {
        struct farm_peer *w = worker_up(&f, 1, 1);
        farm_settle(&f);
        worker_dies(&f, w);
    }
    farm_settle(&f);
    buf_clear(&f.sink->heard);
    farm_pass(&f, 3200);
    buf_put_byte(&f.sink->heard, '\0');
    cr_assert(strstr((char *)f.sink->heard.data, "VERDICT 1 lost"), "%s",
              (char *)f.sink->heard.data);
    farm_end(&f);
}
