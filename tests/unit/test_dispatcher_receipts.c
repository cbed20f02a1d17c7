/* SPDX-License-Identifier: MPL-2.0 */
#include "farm_fixture.h"

#include <string.h>

/* Lanes and results connections are judged by what has arrived on them (docs/protocol.md, 18). */
TestSuite(dispatcher_receipts, .timeout = 20);

static struct farm_peer *quiet(struct farm *f, struct farm_peer *p)
{
    farm_settle(f);
    buf_clear(&p->heard);
    return p;
}

Test(dispatcher_receipts,
     a_lane_on_which_nothing_arrives_is_closed_and_what_is_not_named_goes_elsewhere)
{
    struct farm f = {.input = 3, .receipts = true};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 1, 3);
    farm_expect(&f, w, "TASKS 1: 1-3#1 last");
    farm_pass(&f, 2500);
    farm_expect(&f, w, "RECEIVED batch=0 offset=0 flags=none");
    farm_pass(&f, 700);
    farm_expect(&f, w, "AGAIN 2 for 4");
    farm_expect_said(&f, "nothing that was sent down its lane has arrived there for 3.");
    struct farm_peer *other = quiet(&f, worker_up(&f, 1, 1));
    w->granted = (struct credit){0};
    w->got_tasks = w->got_bytes = 0;
    seqset_clear(&w->has);
    worker_join(&f, w, JOB, "", "");
    farm_expect(&f, other, "TASKS 1: 1#2 last");
    cr_assert_eq(f.d->charges.record_count, 0);
    worker_open_lane(&f, w);
    worker_claim(&f, w, w->token);
    worker_credit(&f, w, 1, 1000, 1);
    farm_expect(&f, w, "RECALL tasks=2; WELCOME epoch=1; HELLO; TASKS 1: 2#2 last");
    buf_clear(&f.said);
    farm_pass(&f, 5500); /* it is given twice the time */
    farm_expect(&f, w, "RECEIVED batch=0 offset=0 flags=none");
    farm_pass(&f, 700);
    farm_expect(&f, w, "AGAIN 4 for 4");
    farm_end(&f);
}

/* The lane of `w` is closed for silence, and its control connection closes before it has joined anew. */
static void go_with_the_lane(struct farm *f, struct farm_peer *w)
{
    farm_expect(f, w, "TASKS 1: 1-3#1 last");
    farm_pass(f, 3200);
    farm_expect(f, w, "RECEIVED batch=0 offset=0 flags=none; AGAIN 2 for 4");
    worker_control_dies(f, w);
    farm_settle(f);
    cr_assert_eq(f->d->sessions.count, 1); /* its JOIN is waited for */
    farm_pass(f, 3300);
    cr_assert_eq(f->d->sessions.count, 0);
}

Test(dispatcher_receipts, a_worker_that_is_gone_when_its_lane_was_closed_for_silence_is_charged)
{
    struct farm f = {.input = 3, .receipts = true};
    farm_begin(&f, 1);
    go_with_the_lane(&f, worker_up(&f, 2, 3));
    farm_expect(&f, worker_up(&f, 1, 1), "TASKS 1: 1#2 try2 last alone");
    cr_assert_eq(f.d->pending.isolated.members, 1);
    cr_assert_eq(f.d->pending.queue.members, 1);
    farm_end(&f);
}

Test(dispatcher_receipts,
     what_is_charged_to_a_worker_whose_lane_was_closed_is_taken_back_when_it_joins)
{
    struct farm f = {.input = 3, .receipts = true};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 3);
    go_with_the_lane(&f, w);
    worker_reconnect(&f, w);
    worker_join(&f, w, JOB, "2", "");
    farm_expect(&f, w, "WELCOME epoch=1");
    farm_expect(&f, worker_up(&f, 2, 2), "TASKS 1: 1#2 last 3#2 last");
    farm_end(&f);
}

static uint64_t passed_until_closed(struct farm *f)
{
    uint64_t passed_ms = 0;
    for (; f->d->sessions.items[0]->lane && passed_ms < 100000; passed_ms += 100)
        farm_pass(f, 100);
    return passed_ms;
}

static uint64_t passed_until_it_gets(struct farm *f, const struct farm_peer *w)
{
    uint64_t passed_ms = 0;
    for (; !w->got_tasks && passed_ms < 100000; passed_ms += 100)
        farm_pass(f, 100);
    return passed_ms;
}

/* Joins anew, and claims its lane. */
static void come_back(struct farm *f, struct farm_peer *w)
{
    w->granted = (struct credit){0};
    w->got_tasks = w->got_bytes = 0;
    seqset_clear(&w->has);
    worker_join(f, w, JOB, "", "");
    farm_settle(f);
    worker_open_lane(f, w);
    farm_settle(f);
    worker_claim(f, w, w->token);
    worker_credit(f, w, 1, 1000, 1);
    farm_settle(f);
}

/* Its worker idles each time, and is the first to get what was lost there. */
Test(dispatcher_receipts, a_lane_that_is_closed_again_and_again_gets_nothing_for_longer_each_time)
{
    static const uint64_t limits_ms[] = {3000, 6000, 12000, 12000};
    static const uint64_t rests_ms[] = {0, 6000, 12000, 24000};
    struct farm f = {.input = 1, .receipts = true};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 1, 1);
    farm_settle(&f);
    for (int i = 0; i < 4; i++) {
        uint64_t passed_ms = passed_until_closed(&f);
        cr_assert(passed_ms >= limits_ms[i] && passed_ms <= limits_ms[i] + 700, "%d", i);
        come_back(&f, w);
        passed_ms = passed_until_it_gets(&f, w);
        cr_assert(passed_ms + 100 >= rests_ms[i] && passed_ms <= rests_ms[i] + 700, "%d", i);
    }
    farm_end(&f);
}

Test(dispatcher_receipts, a_lane_that_moves_stays_and_so_does_one_of_a_worker_that_tells_nothing)
{
    struct farm f = {.input = 9, .receipts = true};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 1, 1);
    farm_expect(&f, w, "TASKS 1: 1#1 last");
    for (uint64_t batch = 1; batch < 5; batch++) {
        farm_pass(&f, 2500);
        w->lane_arrived = batch;
        worker_credit(&f, w, 1, 1000, 0);
        farm_pass(&f, 100);
    }
    buf_put_byte(&w->heard, '\0');
    cr_assert_null(strstr((char *)w->heard.data, "AGAIN"));
    f.receipts = false;
    struct farm_peer *plain = worker_up(&f, 1, 1);
    farm_pass(&f, 10000);
    buf_put_byte(&plain->heard, '\0');
    cr_assert_null(strstr((char *)plain->heard.data, "AGAIN"));
    farm_end(&f);
}

Test(dispatcher_receipts, what_the_sink_has_received_is_passed_on_with_a_heartbeat)
{
    struct farm f = {.input = 1, .receipts = true};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 1, 1);
    w->lane_arrived = 1;
    worker_credit(&f, w, 0, 1000, 0);
    farm_pass(&f, 100);
    farm_expect(&f, w, "RECEIVED batch=0 offset=0 flags=none; TASKS 1: 1#1 last");
    sink_received(&f, w, 3, 0);
    farm_expect(&f, w, "");
    farm_pass(&f, 100);
    farm_expect(&f, w, "RECEIVED batch=3 offset=0 flags=none");
    sink_received(&f, w, 3, STORED_NOT_READING);
    farm_pass(&f, 300);
    farm_expect(&f, w, "RECEIVED batch=3 offset=0 flags=not-reading");
    sink_received(&f, w, 3, 0);
    farm_pass(&f, 300);
    farm_expect(&f, w, "RECEIVED batch=3 offset=0 flags=none");
    f.sink->silent = true; /* that proves nothing against the worker */
    farm_pass(&f, 1700);
    farm_expect(&f, w, "RECEIVED batch=3 offset=0 flags=not-reading");
    farm_end(&f);
}

Test(dispatcher_receipts, a_sink_that_is_late_itself_proves_nothing_against_a_worker)
{
    struct farm f = {.input = 1, .receipts = true};
    farm_begin(&f, 1);
    struct farm_peer *w = quiet(&f, worker_up(&f, 1, 1));
    farm_pass(&f, 500);
    f.sink->silent = true;
    farm_pass(&f, 1400);
    quiet(&f, w);
    f.sink->silent = false;
    farm_pass(&f, 200);
    farm_expect(&f, w, "RECEIVED batch=0 offset=0 flags=not-reading");
    w->lane_arrived = 1;
    worker_credit(&f, w, 0, 1000, 0);
    farm_pass(&f, 10000); /* it is as ever again */
    farm_expect(&f, w, "RECEIVED batch=0 offset=0 flags=none");
    farm_end(&f);
}

/* A worker that has finished task 1 and cannot reach the sink, and another one that idles. */
static struct farm_peer *begin_stuck(struct farm *f, struct farm_peer **other)
{
    f->input = 1;
    f->receipts = true;
    farm_begin(f, 1);
    struct farm_peer *w = quiet(f, worker_up(f, 1, 1));
    w->lane_arrived = 1;
    worker_credit(f, w, 0, 1000, 0);
    worker_finished(f, w, "1", 0);
    *other = quiet(f, worker_up(f, 1, 1));
    farm_pass(f, 10000); /* the sink has been there for long */
    quiet(f, *other);
    w->stuck_ms = 3000;
    farm_pass(f, 100);
    farm_expect_said(f, "worker worker on here does not reach the sink");
    return quiet(f, w);
}

Test(dispatcher_receipts,
     what_a_worker_finished_that_does_not_reach_the_sink_is_run_elsewhere_when_that_lasts)
{
    struct farm f = {0};
    struct farm_peer *other, *w = begin_stuck(&f, &other);
    w->stuck_ms = 8900;
    farm_pass(&f, 100);
    farm_expect(&f, other, "");
    w->stuck_ms = 9000;
    farm_pass(&f, 100);
    farm_expect(&f, other, "TASKS 1: 1#2 last");
    farm_expect_said(&f, "what it has finished is run elsewhere");
    w->stuck_ms = 0; /* its results arrive again: it is to say what it keeps */
    farm_pass(&f, 100);
    farm_expect(&f, w, "AGAIN 2 for 5");
    sink_note(&f, "1");
    worker_join(&f, w, JOB, "", "1");
    farm_expect(&f, w, "WELCOME epoch=1 have=1");
    farm_end(&f);
}

Test(dispatcher_receipts, a_sink_that_does_not_read_is_no_reason_to_run_anything_again)
{
    struct farm f = {0};
    struct farm_peer *other, *w = begin_stuck(&f, &other);
    sink_received(&f, w, 0, STORED_NOT_READING);
    w->stuck_ms = 20000;
    farm_pass(&f, 5000);
    buf_put_byte(&other->heard, '\0');
    cr_assert_null(strstr((char *)other->heard.data, "TASKS"));
    farm_end(&f);
}
