/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/farm_fixture.h"

#include <string.h>

/* A new life of the ventilator, and a sink whose store has results of the one before (INCARNATION -
 * 1): the input is read again and compared before anything is handed out. */
TestSuite(audit, .timeout = 60);

static struct hash hash_of(uint64_t seq)
{
    uint8_t line[9] = {0}; /* as the fixture's put_task makes it */
    memcpy(line, &seq, sizeof seq);
    return task_hash((struct task){false, {line, sizeof line}});
}

/* The store's answer to CHECK from the first of these tasks on: their hashes, and no more behind
 * them. */
static void sink_hashes(struct farm *f, const char *tasks, uint64_t wrong)
{
    struct seqset set = {0};
    struct hashed_task items[32];
    struct hashes m = {.items = items, .last = true};
    ranges_of(tasks, &set);
    m.from = seqset_min(&set);
    for (size_t i = 0; i < set.count; i++)
        for (uint64_t seq = set.ranges[i].first; seq <= set.ranges[i].last; seq++)
            items[m.count++] =
                (struct hashed_task){seq, seq == wrong ? (struct hash){1, 2} : hash_of(seq)};
    struct buf to = peer_message(f, f->sink, KIND_HASHES);
    hashes_put(&to, &m);
    peer_send(f, f->sink, &to);
    seqset_free(&set);
}

static void store_joins(struct farm *f, const char *stored)
{
    struct sink_join m = {.peer = {.instance = f->sink->instance},
                          .results = bytes_of("tcp://:5558"),
                          .incarnation_max = INCARNATION - 1};
    ranges_of(stored, &m.stored);
    f->sink->job = JOB;
    struct buf to = peer_message(f, f->sink, KIND_JOIN);
    sink_join_put(&to, &m);
    peer_send(f, f->sink, &to);
    sink_join_free(&m);
}

/* `input` tasks, of which `stored` are stored; the sink has been welcomed and has answered. */
static void begin(struct farm *f, uint64_t input, const char *stored, bool is_first)
{
    struct dispatcher_options options = farm_options(1);
    options.is_first = is_first;
    f->input = input;
    farm_begin_bare(f, &options);
    f->input_waits = f->input_begins_late = false;
    sink_connect(f, 500);
    store_joins(f, stored);
    farm_expect(f, f->sink, "WELCOME epoch=1");
    sink_note(f, stored);
}

/* A worker of the life before, which runs one task (0: none) and keeps the results of others. */
static void old_worker_joins(struct farm *f, struct farm_peer *w, uint64_t runs, const char *kept)
{
    struct worker_join m = {.peer = {.instance = w->instance}, .slots = 2};
    if (runs)
        attempt_list_add(&m.running, runs, (struct attempt){INCARNATION - 1, 1});
    ranges_of(kept, &m.kept);
    struct buf to = {0};
    wire_begin(&to, KIND_JOIN, (struct frame_head){KIND_JOIN, JOB, INCARNATION - 1, 9});
    worker_join_put(&to, &m);
    peer_send(f, w, &to);
    worker_join_free(&m);
}

Test(audit, what_is_stored_is_compared_and_only_the_rest_is_handed_out)
{
    struct farm f = {0};
    begin(&f, 10, "1-3,5", true);
    farm_expect(&f, f.sink, "CHECK from=1");
    cr_assert_eq(dispatcher_counts(f.d).read, 0, "nothing is read before the hashes are here");
    sink_hashes(&f, "1-3,5", 0);
    farm_settle(&f);
    struct farm_peer *w = worker_up(&f, 4, 20);
    farm_expect(&f, w, "TASKS 1: 4#1 last 6-10#1 last");
    sink_note(&f, "4,6-10");
    farm_expect(&f, f.sink, "DONE total=10 not_run=none flags=none workers=1");
    farm_end(&f);
}

Test(audit, a_task_that_differs_ends_it_with_words)
{
    struct farm f = {0};
    begin(&f, 10, "1-3", true);
    farm_settle(&f);
    sink_hashes(&f, "1-3", 2);
    farm_settle(&f);
    cr_assert(f.exited && f.status == 255);
    farm_expect_said(&f, "task 2 of the input");
    farm_end(&f);
}

Test(audit, an_answer_without_any_hash_that_is_not_the_last_makes_no_sense)
{
    struct farm f = {0};
    begin(&f, 10, "1-3", true);
    farm_expect(&f, f.sink, "CHECK from=1");
    uint64_t dropped = dispatcher_counts(f.d).dropped;
    struct buf to = peer_message(&f, f.sink, KIND_HASHES);
    hashes_put(&to, &(struct hashes){.from = 1});
    peer_send(&f, f.sink, &to);
    cr_assert_eq(dispatcher_counts(f.d).dropped, dropped + 1);
    sink_hashes(&f, "1-3", 0);
    farm_settle(&f);
    cr_assert_geq(dispatcher_counts(f.d).read, 3, "the next answer is taken");
    farm_end(&f);
}

Test(audit, a_shorter_input_is_refused_with_words)
{
    struct farm f = {0};
    begin(&f, 4, "1-3,7", true);
    farm_settle(&f);
    sink_hashes(&f, "1-3,7", 0);
    farm_settle(&f);
    cr_assert(f.exited && f.status == 255);
    farm_expect_said(&f, "the input has 4 tasks, and a result of task 7 is stored");
    farm_end(&f);
}

Test(audit, a_closed_job_with_the_same_input_is_over_without_any_worker)
{
    struct farm f = {0};
    begin(&f, 3, "1-3", true);
    farm_expect(&f, f.sink, "CHECK from=1");
    sink_hashes(&f, "1-3", 0);
    farm_expect(&f, f.sink, "DONE total=3 not_run=none flags=none workers=0");
    sink_closed(&f, 0);
    farm_settle(&f);
    farm_pass(&f, 1500);
    cr_assert(f.exited && f.status == 0);
    farm_end(&f);
}

Test(audit, a_task_that_is_too_large_was_so_before)
{
    struct farm f = {0};
    begin(&f, 3, "1-2", true);
    ranges_of("2", &f.too_large);
    farm_settle(&f);
    struct hashed_task items[] = {{1, hash_of(1)}, {2, {0, 0}}};
    struct buf to = peer_message(&f, f.sink, KIND_HASHES);
    hashes_put(&to, &(struct hashes){1, items, 2, true});
    peer_send(&f, f.sink, &to);
    struct farm_peer *w = worker_up(&f, 1, 5);
    farm_expect(&f, w, "TASKS 1: 3#1 last");
    farm_end(&f);
}

Test(audit, a_worker_that_has_run_on_waits_and_then_keeps_what_it_runs)
{
    struct farm f = {0};
    begin(&f, 8, "1-2", false);
    struct farm_peer *w = worker_connect(&f, 2);
    worker_join(&f, w, JOB, "", "");
    farm_expect(&f, w, "WAIT");
    worker_control_dies(&f, w);
    worker_reconnect(&f, w);
    old_worker_joins(&f, w, 4, "3");
    sink_hashes(&f, "1-2", 0);
    farm_expect(&f, w, "WELCOME epoch=1");
    worker_open_lane(&f, w);
    worker_claim(&f, w, w->token);
    worker_credit(&f, w, 10, 1000, 2);
    farm_expect(&f, w, "HELLO"); /* others may still come and say what they have */
    farm_pass(&f, 3100);
    farm_expect(&f, w, "TASKS 1: 5-8#1 last");
    farm_end(&f);
}

Test(audit, what_a_worker_brought_is_stored_when_its_hash_is_proven)
{
    struct farm f = {0};
    begin(&f, 3, "1", true);
    farm_expect(&f, f.sink, "CHECK from=1");
    struct farm_peer *w = worker_connect(&f, 2);
    old_worker_joins(&f, w, 0, "3");
    sink_hashes(&f, "1", 0);
    farm_expect(&f, w, "WAIT; WELCOME epoch=1");
    sink_note(&f, "3");
    farm_expect(&f, f.sink, "CHECK from=3");
    cr_assert_eq(dispatcher_counts(f.d).stored, 1);
    sink_hashes(&f, "3", 0);
    farm_settle(&f);
    cr_assert_eq(dispatcher_counts(f.d).stored, 2);
    farm_expect(&f, w, "RELEASED tasks=3");
    farm_end(&f);
}

Test(audit, two_that_a_worker_brought_are_proven_together)
{
    struct farm f = {0};
    begin(&f, 3, "", true);
    struct farm_peer *w = worker_connect(&f, 2);
    old_worker_joins(&f, w, 0, "1-2");
    farm_settle(&f);
    farm_settle(&f);
    sink_note(&f, "1-2");
    farm_expect(&f, f.sink, "CHECK from=1");
    sink_hashes(&f, "1-2", 0);
    farm_settle(&f);
    cr_assert_eq(dispatcher_counts(f.d).stored, 2);
    farm_end(&f);
}

Test(audit, an_answer_to_another_question_is_not_taken_for_the_one_that_is_waited_for)
{
    struct farm f = {0};
    begin(&f, 3, "", true);
    struct farm_peer *w = worker_connect(&f, 2);
    old_worker_joins(&f, w, 0, "1-2");
    farm_settle(&f);
    sink_note(&f, "1");
    farm_expect(&f, f.sink, "CHECK from=1");
    sink_hashes(&f, "2", 0);
    farm_settle(&f);
    cr_assert_eq(dispatcher_counts(f.d).stored, 0);
    sink_hashes(&f, "1", 0);
    farm_settle(&f);
    cr_assert_eq(dispatcher_counts(f.d).stored, 1);
    farm_end(&f);
}

Test(audit, what_a_worker_brought_of_another_input_ends_it_with_words)
{
    struct farm f = {0};
    begin(&f, 3, "", true);
    struct farm_peer *w = worker_connect(&f, 2);
    old_worker_joins(&f, w, 0, "2");
    farm_settle(&f);
    sink_note(&f, "2");
    farm_settle(&f);
    sink_hashes(&f, "2", 2);
    farm_settle(&f);
    cr_assert(f.exited && f.status == 255);
    farm_expect_said(&f, "task 2 of the input");
    farm_end(&f);
}

Test(audit, a_sink_that_joins_again_in_the_middle_is_asked_again)
{
    struct farm f = {0};
    begin(&f, 5, "1-3", true);
    farm_expect(&f, f.sink, "CHECK from=1");
    worker_control_dies(&f, f.sink);
    worker_reconnect(&f, f.sink);
    store_joins(&f, "1-4");
    farm_expect(&f, f.sink, "WELCOME epoch=1");
    sink_note(&f, "1-4");
    farm_expect(&f, f.sink, "CHECK from=1");
    sink_hashes(&f, "1-4", 0);
    struct farm_peer *w = worker_up(&f, 1, 5);
    farm_expect(&f, w, "TASKS 1: 5#1 last");
    farm_end(&f);
}

/* A sink that loses its power after its note and before HASHES has lost the result, and gets it once more. */
Test(audit, what_another_sink_has_said_is_not_waited_for)
{
    struct farm f = {0};
    begin(&f, 3, "1", true);
    farm_expect(&f, f.sink, "CHECK from=1");
    struct farm_peer *w = worker_connect(&f, 2);
    old_worker_joins(&f, w, 0, "3");
    sink_hashes(&f, "1", 0);
    farm_expect(&f, w, "WAIT; WELCOME epoch=1");
    sink_took(&f, w->session, "3", "3", 0);
    farm_expect(&f, f.sink, "CHECK from=3");
    worker_control_dies(&f, f.sink);
    sink_connect(&f, 501);
    store_joins(&f, "1");
    farm_expect(&f, f.sink, "WELCOME epoch=2");
    sink_note(&f, "1");
    farm_expect(&f, f.sink, "");
    sink_took(&f, w->session, "3", "3", 0);
    farm_expect(&f, f.sink, "CHECK from=3");
    sink_hashes(&f, "3", 0);
    farm_expect(&f, w, "SINK; RELEASED tasks=3");
    cr_assert_eq(f.d->protests.strange.tasks, 0);
    farm_end(&f);
}

static uint64_t incarnation_of_a_life(uint64_t random_seed)
{
    struct farm f = {0};
    struct dispatcher_options options = farm_options(1);
    options.incarnation = 10;
    options.is_first = true;
    options.random_seed = random_seed;
    farm_begin_bare(&f, &options);
    sink_connect(&f, 500);
    store_joins(&f, "");
    farm_settle(&f);
    uint64_t incarnation = f.d->options.incarnation;
    farm_end(&f);
    return incarnation;
}

/* Two of them are not the same even if the store has forgotten the first, with its machine's power. */
Test(audit, a_store_that_knows_a_later_life_makes_this_one_later_still)
{
    uint64_t one = incarnation_of_a_life(1), other = incarnation_of_a_life(2);
    cr_assert_geq(one, INCARNATION);
    cr_assert_geq(other, INCARNATION);
    cr_assert_neq(one, other);
}
