/* SPDX-License-Identifier: MPL-2.0 */
#include "farm_fixture.h"

#include <string.h>

#include "ventilator/core/dispatcher.h"

/* Where a task that failed goes, and when: --retry-delay. */
TestSuite(dispatcher_retry, .timeout = 20);

enum { DELAY_MS = 10000 };

static void begin_with_delay(struct farm *f, unsigned retries)
{
    struct dispatcher_options options = farm_options(retries);
    options.retry_delay_ns = DELAY_MS * NS_PER_MS;
    farm_begin_bare(f, &options);
    sink_join(f, sink_connect(f, 500), JOB, 0, "");
    farm_settle(f);
    sink_note(f, "");
    farm_settle(f);
}

/* Until the worker is handed something, in ms. */
static unsigned waits_ms(struct farm *f, struct farm_peer *w)
{
    uint64_t since_ns = f->now_ns;
    farm_turn(f);
    while (w->heard.size == 0)
        farm_pass(f, 100);
    return (unsigned)((f->now_ns - since_ns) / NS_PER_MS);
}

Test(dispatcher_retry, each_further_try_waits_twice_as_long_half_to_all_of_it_by_chance)
{
    struct farm f = {.input = 1};
    begin_with_delay(&f, 4);
    struct farm_peer *w = worker_up(&f, 1, 10);
    farm_expect(&f, w, "TASKS 1: 1#1");
    for (unsigned fails = 1; fails <= 3; fails++) {
        worker_failed(&f, w, 1, fails);
        unsigned most_ms = DELAY_MS << (fails - 1), ms = waits_ms(&f, w);
        cr_expect_geq(ms, most_ms / 2, "after %u: %u ms", fails, ms);
        cr_expect_leq(ms, most_ms + 100, "after %u: %u ms", fails, ms);
        if (fails < 3)
            buf_clear(&w->heard);
    }
    farm_expect(&f, w, "TASKS 4: 1#4 try4 last");
    farm_end(&f);
}

Test(dispatcher_retry, a_try_that_had_failed_when_its_worker_joined_anew_is_counted)
{
    struct farm f = {.input = 1};
    farm_begin(&f, 2);
    struct farm_peer *w = worker_up(&f, 1, 1), *other = worker_up(&f, 1, 1);
    farm_expect(&f, w, "TASKS 1: 1#1");
    worker_dies(&f, w);
    worker_reconnect(&f, w);
    worker_join(&f, w, JOB, "1", ""); /* it runs until FAILED is told */
    farm_expect(&f, w, "WELCOME epoch=1");
    farm_expect(&f, other, "");
    worker_failed(&f, w, 1, 1);
    farm_expect(&f, other, "TASKS 1: 1#2 try2 last");
    farm_end(&f);
}

Test(dispatcher_retry, the_turn_comes_when_the_retry_is_due)
{
    struct farm f = {.input = 1};
    struct dispatcher_options options = farm_options(2);
    options.retry_delay_ns = 20 * NS_PER_MS;
    farm_begin_bare(&f, &options);
    sink_join(&f, sink_connect(&f, 500), JOB, 0, "");
    farm_settle(&f);
    sink_note(&f, "");
    farm_settle(&f);
    struct farm_peer *w = worker_up(&f, 1, 10);
    farm_expect(&f, w, "TASKS 1: 1#1");
    worker_failed(&f, w, 1, 1);
    farm_turn(&f);
    cr_expect_leq(dispatcher_deadline(f.d), f.now_ns + 20 * NS_PER_MS);
    cr_expect_geq(dispatcher_deadline(f.d), f.now_ns + 10 * NS_PER_MS);
    f.now_ns = dispatcher_deadline(f.d);
    farm_turn(&f);
    farm_expect(&f, w, "TASKS 2: 1#2 try2 last");
    farm_end(&f);
}

Test(dispatcher_retry, what_was_lost_or_given_back_does_not_wait)
{
    struct farm f = {.input = 2};
    begin_with_delay(&f, 3);
    struct farm_peer *a = worker_up(&f, 2, 2);
    farm_expect(&f, a, "TASKS 1: 1-2#1");
    worker_returned(&f, a, "2", RETURNED_RECALL);
    worker_dies(&f, a);
    struct farm_peer *b = worker_up(&f, 1, 1), *c = worker_up(&f, 1, 1);
    farm_turn(&f);
    cr_expect(b->heard.size && c->heard.size);
    cr_expect_eq(f.d->pending.delayed.count, 0);
    farm_end(&f);
}

Test(dispatcher_retry, others_are_handed_out_meanwhile_and_people_are_told_until_when)
{
    struct farm f = {.input = 1, .input_waits = true};
    begin_with_delay(&f, 2);
    struct farm_peer *w = worker_up(&f, 1, 10);
    farm_expect(&f, w, "TASKS 1: 1#1");
    worker_failed(&f, w, 1, 1);
    farm_settle(&f);
    struct why why;
    cr_assert(dispatcher_waits_for(f.d, f.now_ns, &why));
    cr_expect(strstr(why.text, "task 1: failed and waiting for the next try"), "%s", why.text);
    cr_expect(strstr(why.text, "the first of them for "), "%s", why.text);
    f.input = 1;
    farm_expect(&f, w, "TASKS 2: 2#1");
    farm_end(&f);
}

Test(dispatcher_retry, a_stop_does_not_wait_for_a_retry)
{
    struct farm f = {.input = 1};
    begin_with_delay(&f, 2);
    struct farm_peer *w = worker_up(&f, 1, 10);
    farm_expect(&f, w, "TASKS 1: 1#1");
    worker_failed(&f, w, 1, 1);
    farm_settle(&f);
    buf_clear(&f.sink->heard);
    dispatcher_stop(f.d, "interrupted by a signal", f.now_ns);
    farm_expect(&f, f.sink, "DONE total=1 not_run=1 flags=input-cut workers=1");
    farm_pass(&f, 2 * DELAY_MS);
    farm_expect(&f, w, "END batch=1");
    farm_end(&f);
}

Test(dispatcher_retry, a_result_that_comes_meanwhile_ends_the_wait)
{
    struct farm f = {.input = 1};
    begin_with_delay(&f, 3);
    struct farm_peer *w = worker_up(&f, 1, 10);
    farm_expect(&f, w, "TASKS 1: 1#1");
    worker_failed(&f, w, 1, 1);
    farm_turn(&f);
    cr_expect_eq(f.d->pending.delayed.count, 1);
    sink_note(&f, "1");
    cr_expect_eq(f.d->pending.delayed.count, 0);
    farm_pass(&f, 2 * DELAY_MS);
    farm_expect(&f, w, "");
    farm_end(&f);
}

Test(dispatcher_retry, it_goes_where_it_has_not_failed_and_then_where_that_was_longest_ago)
{
    struct farm f = {.input = 1};
    farm_begin(&f, 9);
    struct farm_peer *w[3];
    w[0] = worker_up(&f, 1, 10);
    farm_expect(&f, w[0], "TASKS 1: 1#1");
    w[1] = worker_up(&f, 1, 10);
    w[2] = worker_up(&f, 1, 10);
    unsigned at = 0, visits[3] = {1};
    for (unsigned number = 1; number < 6; number++) {
        worker_failed(&f, w[at], 1, number);
        farm_turn(&f);
        unsigned next = 0;
        while (next < 3 && w[next]->heard.size == 0)
            next++;
        cr_assert_lt(next, 3);
        cr_expect_neq(next, at, "try %u went where the last one failed", number + 1);
        visits[next]++;
        buf_clear(&w[next]->heard);
        at = next;
    }
    for (unsigned i = 0; i < 3; i++)
        cr_expect_eq(visits[i], 2, "worker %u had it %u times", i, visits[i]);
    farm_end(&f);
}

Test(dispatcher_retry, a_slot_that_what_was_cancelled_still_takes_is_no_better_place)
{
    struct farm f = {.input = 1};
    farm_begin(&f, 3);
    struct farm_peer *a = worker_up(&f, 1, 10);
    farm_expect(&f, a, "TASKS 1: 1#1");
    struct farm_peer *b = worker_up(&f, 1, 10);
    b->unusable = 1;
    farm_pass(&f, 100);
    worker_failed(&f, a, 1, 1);
    farm_expect(&f, b, "");
    farm_expect(&f, a, "TASKS 2: 1#2 try2");
    b->unusable = 0;
    farm_pass(&f, 100);
    worker_failed(&f, a, 1, 2);
    farm_expect(&f, b, "TASKS 1: 1#3 try3 last");
    farm_end(&f);
}

Test(dispatcher_retry, what_waits_for_such_a_slot_is_recalled_for_one_that_idles)
{
    struct farm f = {.input = 1};
    farm_begin(&f, 3);
    struct farm_peer *a = worker_up(&f, 1, 10);
    farm_expect(&f, a, "TASKS 1: 1#1");
    struct farm_peer *b = worker_up(&f, 1, 10);
    worker_failed(&f, a, 1, 1);
    farm_expect(&f, b, "TASKS 1: 1#2 try2"); /* nothing is known yet of what is there */
    b->unusable = 1;
    farm_pass(&f, 300);
    farm_expect(&f, b, "RECALL tasks=1");
    worker_returned(&f, b, "1", RETURNED_RECALL);
    farm_expect(&f, a, "TASKS 2: 1#3 try2");
    farm_pass(&f, 300);
    farm_expect(&f, b, "");
    farm_end(&f);
}

Test(dispatcher_retry, a_delay_is_at_most_an_hour_and_0_stays_0)
{
    uint64_t random = 7;
    cr_expect_eq(delay_after(0, 5, &random), 0);
    cr_expect_eq(delay_after(1, 1, &random), 1);
    for (int i = 0; i < 1000; i++) {
        uint64_t ns = delay_after(NS_PER_S, 1000000, &random);
        cr_expect_geq(ns, 1800 * NS_PER_S);
        cr_expect_leq(ns, 3600 * NS_PER_S);
        cr_expect_leq(delay_after(7200 * NS_PER_S, 4, &random), 7200 * NS_PER_S);
    }
}

Test(dispatcher_retry, delays_end_in_the_order_of_their_times)
{
    struct delays delays = {0};
    uint64_t random = 3;
    for (uint64_t seq = 1; seq <= 500; seq++)
        delays_add(&delays, seq, seq * 7919 % 503);
    delays_remove(&delays, 100, 199);
    delays_remove(&delays, 600, 700);
    cr_assert_eq(delays.count, 400);
    uint64_t last_ns = 0;
    for (int left = 400; left > 0; left--) {
        uint64_t due_ns = delays_next_ns(&delays);
        cr_assert_geq(due_ns, last_ns);
        cr_assert_eq(delays_take(&delays, due_ns - 1), 0);
        uint64_t seq = delays_take(&delays, due_ns);
        cr_assert_eq(seq * 7919 % 503, due_ns);
        cr_assert(seq < 100 || seq > 199);
        last_ns = due_ns;
    }
    cr_assert_eq(delays_next_ns(&delays), NEVER);
    cr_assert_neq(delay_after(NS_PER_S, 1, &random), delay_after(NS_PER_S, 1, &random));
    delays_free(&delays);
}

/* Gets tasks 2-21, all of which fail there; c has task 1, so somebody succeeds. */
static struct farm_peer *begin_with_fails(struct farm *f, unsigned retries)
{
    farm_begin(f, retries);
    struct farm_peer *c = worker_up(f, 1, 1);
    farm_turn(f);
    cr_assert_eq(c->got_tasks, 1);
    f->input = 20;
    struct farm_peer *w = worker_up(f, 2, 20);
    farm_turn(f);
    cr_assert_eq(w->got_tasks, 20);
    buf_clear(&w->heard);
    return w;
}

Test(dispatcher_retry, a_worker_on_which_all_fails_while_others_succeed_gets_one_task_at_a_time)
{
    struct farm f = {.input = 1};
    struct farm_peer *w = begin_with_fails(&f, 1);
    worker_finished(&f, w, "2-21", 20);
    f.input = 2;
    worker_credit(&f, w, 2, 1000, 2);
    farm_expect(&f, w, "TASKS 2: 22#1 last");
    farm_end(&f);
}

Test(dispatcher_retry, tasks_that_failed_elsewhere_before_say_nothing_of_a_worker)
{
    struct farm f = {.input = 1};
    struct farm_peer *a = begin_with_fails(&f, 2);
    for (uint64_t seq = 2; seq <= 21; seq++)
        worker_failed(&f, a, seq, 1);
    struct farm_peer *b = worker_up(&f, 2, 20);
    farm_turn(&f);
    cr_assert_eq(b->got_tasks, 20);
    buf_clear(&b->heard);
    worker_finished(&f, b, "2-21", 20);
    f.input = 2;
    worker_credit(&f, b, 2, 1000, 2);
    farm_expect(&f, b, "TASKS 2: 22-23#1");
    farm_end(&f);
}
