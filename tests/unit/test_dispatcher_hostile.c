/* SPDX-License-Identifier: MPL-2.0 */
#include "farm_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ventilator/core/dispatcher.h"

/* What makes no sense, is not theirs, or is meant to hurt. */
TestSuite(dispatcher_hostile, .timeout = 60);

static const char everything[] = "1-1152921504606846976";

Test(dispatcher_hostile, ranges_as_large_as_they_can_be_touch_only_what_the_worker_has)
{
    struct farm f = {.input = 4};
    farm_begin(&f, 1);
    struct farm_peer *a = worker_up(&f, 2, 2), *b = worker_up(&f, 2, 0);
    farm_expect(&f, a, "TASKS 1: 1-2#1 last");
    worker_credit(&f, b, 2, 1000, 0);
    farm_expect(&f, b, "TASKS 1: 3-4#1 last");
    worker_finished(&f, a, everything, 0);
    farm_expect(&f, a, "");
    cr_assert_eq(f.d->sessions.items[0]->finished.members, 2);
    cr_assert_eq(f.d->sessions.items[1]->finished.members, 0);
    worker_returned(&f, a, everything, RETURNED_RECALL);
    farm_expect(&f, b, "");
    cr_assert_eq(f.d->pending.queue.members, 0);
    sink_note(&f, "1");
    farm_expect(&f, a, "RELEASED tasks=1");
    worker_finished(&f, a, everything, 0);
    farm_expect(&f, a, "RELEASED tasks=1");
    farm_end(&f);
}

Test(dispatcher_hostile, stored_beyond_what_was_read_stores_what_was_read)
{
    struct farm f = {.input = 2};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 2);
    farm_expect(&f, w, "TASKS 1: 1-2#1 last");
    sink_note(&f, everything);
    farm_expect(&f, w, "RELEASED tasks=1-2");
    f.input = 2;
    worker_credit(&f, w, 2, 1000, 0);
    farm_expect(&f, w, "TASKS 2: 3-4#1 last");
    farm_end(&f);
}

Test(dispatcher_hostile, a_join_that_names_tasks_never_read_has_them_killed_or_let_go)
{
    struct farm f = {.input = 1};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_connect(&f, 2);
    worker_join(&f, w, JOB, "7,1000000000000", "2-1152921504606846976");
    farm_expect(&f, w, "WELCOME epoch=1 kill=7,1000000000000 have=2-1152921504606846976");
    struct farm_peer *other = worker_up(&f, 1, 1);
    farm_expect(&f, other, "TASKS 1: 1#1 last");
    farm_end(&f);
}

Test(dispatcher_hostile, a_task_without_bytes_is_never_handed_out_whoever_claims_it)
{
    struct farm f = {.input = 1};
    farm_begin(&f, 1);
    ranges_of("1", &f.too_large);
    struct farm_peer *w = worker_up(&f, 1, 1);
    farm_expect(&f, w, "");
    struct farm_peer *liar = worker_connect(&f, 1), *keeper = worker_connect(&f, 1);
    worker_join(&f, liar, JOB, "1", "");
    farm_expect(&f, liar, "WELCOME epoch=1 kill=1");
    worker_join(&f, keeper, JOB, "", "1");
    farm_expect(&f, keeper, "WELCOME epoch=1");
    worker_says(&f, keeper, KIND_BYE);
    farm_expect(&f, w, "");
    sink_note(&f, "1");
    farm_expect(&f, w, "");
    cr_assert_eq(dispatcher_counts(f.d).ledger_bytes, 0);
    farm_end(&f);
}

Test(dispatcher_hostile, the_fourth_holder_of_a_task_is_told_to_let_it_go)
{
    struct farm f = {.input = 1};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 1, 1);
    farm_expect(&f, w, "TASKS 1: 1#1 last");
    for (int i = 0; i < 2; i++)
        worker_join(&f, worker_connect(&f, 1), JOB, "1", "");
    struct farm_peer *fourth = worker_connect(&f, 1);
    worker_join(&f, fourth, JOB, "1", "");
    farm_expect(&f, fourth, "WELCOME epoch=1 kill=1");
    worker_reconnect(&f, fourth);
    worker_join(&f, fourth, JOB, "", "1");
    farm_expect(&f, fourth, "WELCOME epoch=1 have=1");
    farm_end(&f);
}

/* Every prefix of every message, and the whole with a byte behind it. */
Test(dispatcher_hostile, messages_cut_anywhere_do_no_harm)
{
    static const enum wire_kind kinds[] = {KIND_HEARTBEAT, KIND_CREDIT, KIND_CLAIM,
                                           KIND_FINISHED,  KIND_FAILED, KIND_RETURNED,
                                           KIND_JOIN,      KIND_STORED, KIND_CLOSED};
    struct farm f = {.input = 2};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 2);
    farm_expect(&f, w, "TASKS 1: 1-2#1 last");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (size_t size = 0; size < 60; size++) {
            struct farm_peer *from = i < 6 ? w : f.sink;
            struct buf to = peer_message(&f, from, kinds[i]);
            memset(buf_reserve(&to, 60), kinds[i] == KIND_JOIN ? 2 : 255, 60);
            to.size = size;
            peer_send(&f, from, &to);
            farm_turn(&f);
            farm_check(&f);
        }
    cr_assert_geq(dispatcher_counts(f.d).dropped, 500);
    cr_assert_eq(dispatcher_counts(f.d).workers, 1);
    cr_assert_eq(f.d->sessions.items[0]->out.members, 2);
    cr_assert_not(f.exited);
    farm_end(&f);
}

Test(dispatcher_hostile, a_message_of_another_job_or_life_is_not_believed)
{
    struct farm f = {.input = 2};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 2);
    farm_expect(&f, w, "TASKS 1: 1-2#1 last");
    w->job = JOB + 1;
    worker_says(&f, w, KIND_BYE);
    worker_returned(&f, w, "1-2", RETURNED_RECALL);
    farm_settle(&f);
    cr_assert_eq(dispatcher_counts(f.d).workers, 1);
    cr_assert_eq(f.d->sessions.items[0]->out.members, 2);
    farm_end(&f);
}

Test(dispatcher_hostile, an_attempt_that_nobody_was_given_is_not_believed)
{
    struct farm f = {.input = 1};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 1, 1);
    farm_expect(&f, w, "TASKS 1: 1#1 last");
    worker_failed(&f, w, 1, 1);
    worker_says(&f, w, KIND_BYE);
    farm_settle(&f);
    f.input = 1;
    struct farm_peer *other = worker_up(&f, 1, 1);
    worker_returned(&f, other, "2", RETURNED_RECALL);
    worker_says(&f, other, KIND_BYE);
    struct farm_peer *liar = worker_connect(&f, 1);
    struct worker_join m = {.peer = {.instance = 1}, .slots = 1};
    attempt_list_add(&m.running, 2, (struct attempt){INCARNATION, 2});
    liar->job = JOB;
    struct buf to = peer_message(&f, liar, KIND_JOIN);
    worker_join_put(&to, &m);
    peer_send(&f, liar, &to);
    worker_join_free(&m);
    farm_expect(&f, liar, "WELCOME epoch=1 kill=2");
    farm_end(&f);
}

/* ---- too much of it ---- */

static unsigned lines_in(const struct farm *f)
{
    unsigned lines = 0;
    for (size_t i = 0; i < f->said.size; i++)
        lines += f->said.data[i] == '\n';
    return lines;
}

Test(dispatcher_hostile, joins_that_come_too_fast_are_cut_off_and_later_ones_are_not)
{
    struct dispatcher_options options = farm_options(1);
    struct farm f = {.input = 1};
    options.workers_max = 10;
    farm_begin_bare(&f, &options);
    sink_join(&f, sink_connect(&f, 500), JOB, SINK_VOLATILE, "");
    farm_expect(&f, f.sink, "WELCOME epoch=1");
    sink_note(&f, "");
    struct farm_peer *honest = worker_up(&f, 1, 1), *w = worker_connect(&f, 1);
    for (int i = 0; i < 500; i++) {
        worker_reconnect(&f, w);
        worker_join(&f, w, 0, "", "");
        cr_assert(f.cut == 0 || i >= 200, "of %d joins", i);
        farm_turn(&f);
    }
    cr_assert_eq(f.cut, w->connection);
    cr_assert_eq(dispatcher_counts(f.d).workers, 2);
    farm_expect(&f, honest, "TASKS 1: 1#1 last");
    farm_pass(&f, 100);
    f.cut = 0;
    worker_reconnect(&f, w);
    worker_join(&f, w, 0, "", "");
    farm_turn(&f);
    cr_assert_eq(f.cut, 0, "its time has come");
    farm_end(&f);
}

Test(dispatcher_hostile, peers_of_another_version_are_ten_lines_a_minute)
{
    struct farm f = {0};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_connect(&f, 1);
    for (int i = 0; i < 1000; i++) {
        struct buf to = peer_message(&f, w, i % 2 ? KIND_JOIN : KIND_WHY);
        to.data[1] = 99;
        peer_send(&f, w, &to);
    }
    farm_turn(&f);
    cr_assert_eq(lines_in(&f), 10);
    buf_clear(&f.said);
    farm_pass(&f, 6000);
    struct buf to = peer_message(&f, w, KIND_WHY);
    to.data[1] = 99;
    peer_send(&f, w, &to);
    farm_turn(&f);
    farm_expect_said(&f, "version=99; 990 more were left out");
    farm_end(&f);
}

Test(dispatcher_hostile, workers_that_join_and_are_silent_are_sixty_lines_a_minute)
{
    struct farm f = {0};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_connect(&f, 1);
    for (int i = 0; i < 100; i++) {
        worker_reconnect(&f, w);
        w->instance = 0; /* each is a process of its own */
        worker_join(&f, w, 0, "", "");
    }
    w->silent = true;
    farm_pass(&f, 31000); /* nobody waits for whoever has nothing */
    cr_assert_eq(dispatcher_counts(f.d).workers, 0);
    cr_assert_eq(lines_in(&f), 60);
    farm_end(&f);
}

Test(dispatcher_hostile, a_name_cannot_write_lines_of_its_own)
{
    struct farm f = {0};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_connect(&f, 1);
    char long_name[1000];
    memset(long_name, 'n', sizeof long_name);
    struct worker_join m = {.peer = {.instance = 1,
                                     .name = bytes_of("eve\nzfarm-ventilator: \033[2Jall is well"),
                                     .host = {(uint8_t *)long_name, sizeof long_name}},
                            .slots = 1};
    struct buf to = peer_message(&f, w, KIND_JOIN);
    worker_join_put(&to, &m);
    peer_send(&f, w, &to);
    w->silent = true;
    farm_pass(&f, 31000); /* nobody waits for whoever has nothing */
    cr_assert_eq(lines_in(&f), 1);
    cr_assert_lt(f.said.size, 400);
    farm_expect_said(&f, "worker eve zfarm-ventilator: ?[2Jall is well on nnn");
    farm_end(&f);
}

/* The largest lie that fits a frame, in the order that would cost most. */
Test(dispatcher_hostile, a_join_with_all_the_tasks_that_fit_costs_no_time)
{
    struct farm f = {.input = 1};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_connect(&f, 1);
    for (uint64_t job = JOB; job <= JOB + 1; job++) {
        struct worker_join m = {.peer = {.instance = 1}, .slots = 1};
        for (uint64_t i = 150000; i > 0; i--)
            attempt_list_add(&m.running, 1000 + 2 * i, (struct attempt){INCARNATION, 1});
        worker_reconnect(&f, w);
        w->job = job;
        struct buf to = peer_message(&f, w, KIND_JOIN);
        worker_join_put(&to, &m);
        cr_assert_lt(to.size, (size_t)FRAME_MAX);
        worker_join_free(&m);
        uint64_t began_ns = clock_now_ns();
        peer_send(&f, w, &to);
        cr_assert_lt(clock_now_ns() - began_ns, 2 * NS_PER_S);
    }
    farm_end(&f);
}

Test(dispatcher_hostile, joins_that_wait_for_a_sink_are_kept_up_to_a_size)
{
    struct dispatcher_options options = farm_options(1);
    struct farm f = {0};
    farm_begin_bare(&f, &options);
    struct farm_peer *first = worker_connect(&f, 1), *w = worker_connect(&f, 1);
    worker_join(&f, first, 0, "", "");
    farm_expect(&f, first, "WAIT");
    for (int i = 0; i < 30; i++) {
        struct worker_join m = {.peer = {.instance = 0}, .slots = 1};
        for (uint64_t seq = 1; seq <= 100000; seq++)
            attempt_list_add(&m.running, seq, (struct attempt){INCARNATION, 1});
        worker_reconnect(&f, w);
        struct buf to = peer_message(&f, w, KIND_JOIN);
        worker_join_put(&to, &m);
        worker_join_free(&m);
        peer_send(&f, w, &to);
    }
    cr_assert_leq(f.d->waiting.size_bytes, (size_t)16 << 20);
    cr_assert_gt(f.d->waiting.size_bytes, (size_t)14 << 20);
    cr_assert_lt(f.d->waiting.count, 20);
    buf_clear(&w->heard);
    worker_reconnect(&f, w);
    struct worker_join m = {.peer = {.instance = 0}, .slots = 1};
    for (uint64_t seq = 1; seq <= 170000; seq++)
        attempt_list_add(&m.running, seq, (struct attempt){INCARNATION, 1});
    struct buf to = peer_message(&f, w, KIND_JOIN);
    worker_join_put(&to, &m);
    worker_join_free(&m);
    peer_send(&f, w, &to);
    farm_turn(&f);
    cr_assert(strstr((char *)w->heard.data, "REFUSE 2"), "%s", (char *)w->heard.data);
    worker_control_dies(&f, first);
    sink_join(&f, sink_connect(&f, 500), JOB, SINK_VOLATILE, "");
    farm_turn(&f);
    sink_note(&f, "");
    farm_turn(&f);
    cr_assert_eq(f.d->waiting.size_bytes, 0);
    farm_end(&f);
}

/* ---- a random walk ---- */

struct walk {
    struct farm farm;
    uint64_t seed;
    struct farm_peer *workers[6];
    char text[64];
};

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t below(struct walk *k, uint64_t limit)
{
    uint64_t z = (k->seed += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (z ^ (z >> 31)) % limit;
}

/* Some range, which mostly touches what was read. */
static const char *some_range(struct walk *k)
{
    uint64_t first = 1 + below(k, dispatcher_counts(k->farm.d).read + 2), last = first;
    if (below(k, 3))
        last = first + below(k, below(k, 50) ? 5 : UINT64_C(1) << 60);
    snprintf(k->text, sizeof k->text, "%llu-%llu", (unsigned long long)first,
             (unsigned long long)last);
    return k->text;
}

/* A part of what the peer has. */
static const char *some_of_its_own(struct walk *k, const struct farm_peer *w)
{
    if (seqset_empty(&w->has) || below(k, 20) == 0)
        return some_range(k);
    struct range r = w->has.ranges[below(k, w->has.count)];
    uint64_t last = r.first + below(k, r.last - r.first + 1);
    snprintf(k->text, sizeof k->text, "%llu-%llu", (unsigned long long)r.first,
             (unsigned long long)last);
    return k->text;
}

static void come_or_go(struct walk *k, struct farm_peer **w)
{
    struct farm *f = &k->farm;
    char running[32] = "", kept[32] = "";
    if (!*w) {
        *w = worker_connect(f, 1 + below(k, 3));
        (*w)->connection = 0;
    } else if (below(k, 2)) {
        snprintf(running, sizeof running, "%.31s", below(k, 2) ? some_of_its_own(k, *w) : "");
        snprintf(kept, sizeof kept, "%.31s", below(k, 2) ? some_of_its_own(k, *w) : "");
    }
    if ((*w)->connection && below(k, 3))
        worker_control_dies(f, *w);
    if ((*w)->lane && below(k, 3))
        worker_lane_dies(f, *w);
    if (below(k, 3) == 0)
        return;
    if (strlen(running) > 12)
        running[0] = '\0'; /* each is one attempt: not the largest range */
    worker_reconnect(f, *w);
    worker_join(f, *w, below(k, 20) ? JOB : JOB + 1, running, kept);
    farm_turn(f);
    worker_open_lane(f, *w);
    worker_claim(f, *w, (*w)->token);
}

static void sink_step(struct walk *k)
{
    struct farm *f = &k->farm;
    if (!f->sink->connection || below(k, 20) == 0) {
        if (f->sink->connection && below(k, 2))
            worker_control_dies(f, f->sink);
        worker_reconnect(f, f->sink);
        char stored[32] = "";
        struct seqset *had = &f->d->ledger.stored;
        f->sink->job = JOB;
        if (had->count <= 1) { /* else its text is too long: it comes back when it is whole */
            if (had->count)
                snprintf(stored, sizeof stored, "1-%llu", (unsigned long long)seqset_max(had));
            sink_join(f, f->sink, JOB, SINK_VOLATILE, stored);
        } else {
            struct sink_join m = {.peer = {.instance = f->sink->instance},
                                  .flags = SINK_VOLATILE,
                                  .results = bytes_of("tcp://:5558"),
                                  .stored = *had};
            struct buf to = peer_message(f, f->sink, KIND_JOIN);
            sink_join_put(&to, &m);
            peer_send(f, f->sink, &to);
        }
        farm_turn(f);
        sink_note(f, "");
    } else if (below(k, 3)) {
        struct farm_peer *w = k->workers[below(k, 6)];
        sink_note_full(f, w ? some_of_its_own(k, w) : "", below(k, 20) == 0);
    } else if (below(k, 30) == 0) {
        sink_note(f, some_range(k));
    }
}

static void step(struct walk *k)
{
    struct farm *f = &k->farm;
    struct farm_peer **w = &k->workers[below(k, 6)];
    uint64_t what = below(k, 100);
    if (what < 10)
        farm_pass(f, 1 + below(k, below(k, 30) ? 50 : 4000));
    else if (what < 15)
        f->input += below(k, 30);
    else if (what < 30)
        sink_step(k);
    else if (!*w || !(*w)->connection || what < 34)
        come_or_go(k, w);
    else if (what < 55)
        worker_credit(f, *w, below(k, 8), below(k, 100), below(k, 3));
    else if (what < 70)
        worker_finished(f, *w, some_of_its_own(k, *w), below(k, 3));
    else if (what < 80)
        worker_failed(f, *w, 1 + below(k, dispatcher_counts(f->d).read + 1),
                      (uint32_t)(1 + below(k, 3)));
    else if (what < 92)
        worker_returned(f, *w, some_of_its_own(k, *w), (enum returned_reason)below(k, 2));
    else if (what < 93)
        worker_says(f, *w, KIND_BYE);
    else if (what < 94)
        worker_says(f, *w, KIND_LEAVE);
    else if (what < 96)
        (*w)->silent = below(k, 4) == 0;
    else
        worker_says(f, *w, (enum wire_kind)below(k, 60));
    farm_turn(f);
    farm_check(f);
}

/* Honest workers end what is left: nothing may have been lost on the way. */
static void end_well(struct walk *k)
{
    struct farm *f = &k->farm;
    f->input = 0;
    f->input_waits = false;
    for (size_t i = 0; i < 6; i++)
        if (k->workers[i]) {
            if (k->workers[i]->connection)
                worker_control_dies(f, k->workers[i]);
            if (k->workers[i]->lane)
                worker_lane_dies(f, k->workers[i]);
        }
    if (f->sink->connection)
        worker_control_dies(f, f->sink);
    while (!f->sink->connection || !f->d->sink.ready)
        sink_step(k);
    farm_pass(f, 4000);
    struct farm_peer *w = worker_up(f, 2, 0);
    for (int i = 0; i < 20000 && !f->d->end.done_sent; i++) {
        worker_credit(f, w, 4, 1000, 2);
        farm_turn(f);
        struct seqset done = {0};
        seqset_add_all(&done, &w->has);
        seqset_add_all(&done, &f->d->pending.loss_reported);
        for (size_t j = 0; j < done.count; j++) {
            snprintf(k->text, sizeof k->text, "%llu-%llu", (unsigned long long)done.ranges[j].first,
                     (unsigned long long)done.ranges[j].last);
            sink_note(f, k->text);
        }
        seqset_free(&done);
        farm_pass(f, 100);
        farm_check(f);
    }
    cr_assert(f->d->end.done_sent, "%llu of %llu tasks are stored",
              (unsigned long long)dispatcher_counts(f->d).stored,
              (unsigned long long)dispatcher_counts(f->d).read);
}

static void walk(uint64_t seed)
{
    struct walk k = {.seed = seed};
    fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
    farm_begin(&k.farm, 1 + (unsigned)below(&k, 3));
    k.farm.input = 10;
    for (uint64_t i = 0; i < 30; i++)
        seqset_add(&k.farm.too_large, 20 + i * 37, 20 + i * 37);
    for (int i = 0; i < 1500 && !k.farm.exited; i++)
        step(&k);
    cr_assert_not(k.farm.exited, "it ended with %d", k.farm.status);
    end_well(&k);
    farm_end(&k.farm);
}

Test(dispatcher_hostile, random_messages_good_and_bad_lose_no_task_and_break_no_credit)
{
    const char *seed = getenv("ZFARM_TEST_SEED");
    if (seed)
        walk(strtoull(seed, NULL, 10));
    static const uint64_t once_failed[] = {1006394, 1008952, 1009754};
    for (size_t i = 0; !seed && i < sizeof once_failed / sizeof *once_failed; i++)
        walk(once_failed[i]);
    for (uint64_t i = 1; !seed && i <= 60; i++)
        walk(i);
    for (uint64_t i = 0; !seed && i < 20; i++)
        walk(clock_realtime_us() + i * 1000003);
}
