/* SPDX-License-Identifier: MPL-2.0 */
#include "farm_fixture.h"

#include <inttypes.h>
#include <stdio.h>

#include "ventilator/core/dispatcher.h"
#include "ventilator/core/standing.h"

/* A million tasks, ten thousand sessions: memory stays bounded and a turn short. What takes a
 * square of either runs into the time limit. */
TestSuite(dispatcher_scale, .timeout = 60);

static void put_range(char text[64], uint64_t first, uint64_t last)
{
    snprintf(text, 64, "%" PRIu64 "-%" PRIu64, first, last);
}

Test(dispatcher_scale, a_million_tasks_behind_one_that_never_ends_take_bounded_memory)
{
    struct farm f = {.input = 1000000};
    struct dispatcher_options options = farm_options(1);
    options.queue_max_bytes = 1 << 20;
    farm_begin_bare(&f, &options);
    sink_join(&f, sink_connect(&f, 500), JOB, 0, "");
    farm_settle(&f);
    sink_note(&f, "");
    struct farm_peer *w = worker_up(&f, 4, 0);
    size_t most = 0;
    while (f.input) {
        worker_credit(&f, w, 4096, 1 << 20, 0);
        farm_turn(&f);
        struct dispatcher_counts counts = dispatcher_counts(f.d);
        most = counts.ledger_bytes > most ? counts.ledger_bytes : most;
        char text[64];
        put_range(text, 2, counts.read);
        if (counts.read > 1) {
            worker_finished(&f, w, text, 0);
            sink_note(&f, text);
        }
        buf_clear(&w->heard);
        cr_assert_eq(w->has.members, 1);
    }
    cr_assert_leq(most, (1 << 20) + BATCH_BYTES_MAX + 1000);
    cr_assert_leq(dispatcher_counts(f.d).ledger_bytes, 1000);
    cr_assert_leq(f.d->sessions.items[0]->order.capacity, 1024);
    cr_assert_leq(f.d->ledger.capacity, 1024);
    farm_check(&f);
    farm_end(&f);
}

Test(dispatcher_scale, the_ledger_is_bounded_also_when_all_of_it_is_handed_out_again)
{
    struct farm f = {.input = 1000000};
    struct dispatcher_options options = farm_options(1);
    options.queue_max_bytes = 1 << 20;
    farm_begin_bare(&f, &options);
    f.task_size = 2;
    sink_join(&f, sink_connect(&f, 500), JOB, 0, "");
    farm_settle(&f);
    sink_note(&f, "");
    struct farm_peer *w = worker_up(&f, 4, 0);
    worker_credit(&f, w, 16384, 8 << 20, 4);
    farm_settle(&f);
    uint64_t read = dispatcher_counts(f.d).read;
    worker_dies(&f, w);
    farm_settle(&f);
    struct farm_peer *other = worker_up(&f, 4, 0);
    for (int i = 0; i < 10 && other->has.members < 12000; i++) {
        worker_credit(&f, other, 16384, 8 << 20, 4);
        farm_turn(&f);
        sink_note(&f, "1-4");
    }
    cr_assert_geq(other->has.members, read - 8);
    cr_assert_leq(dispatcher_counts(f.d).ledger_bytes, read * 2 * sizeof(struct story));
    farm_end(&f);
}

/* Sessions without a peer in the fixture: what they are told is thrown away. */
struct crowd {
    struct farm farm;
    uint64_t size;
};

static uint64_t connection_of(uint64_t i)
{
    return 1000000 + i;
}

static uint64_t session_of(const struct crowd *c, uint64_t i)
{
    struct session *s = index_get(&c->farm.d->sessions.by_connection, connection_of(i));
    return s ? s->id : 0;
}

static void say(struct crowd *c, uint64_t i, enum wire_kind kind, struct buf *body)
{
    struct buf to = {0};
    wire_begin(&to, kind, (struct frame_head){kind, JOB, INCARNATION, session_of(c, i)});
    buf_put_bytes(&to, buf_bytes(body));
    struct origin from = {.connection = connection_of(i), .address = ""};
    dispatcher_control_message(c->farm.d, &from, buf_bytes(&to), c->farm.now_ns);
    buf_free(&to);
    buf_free(body);
}

static void come(struct crowd *c, uint64_t i)
{
    struct worker_join m = {.peer = {.instance = 1000000 + i}, .slots = 1};
    struct buf body = {0};
    worker_join_put(&body, &m);
    say(c, i, KIND_JOIN, &body);
    struct token token = {{(uint8_t)i, (uint8_t)(i >> 8), (uint8_t)(i >> 16), 1}};
    dispatcher_lane_opened(c->farm.d, connection_of(i), token, &(struct key){{0}}, c->farm.now_ns);
}

static void claim_and_ask(struct crowd *c, uint64_t i)
{
    struct token token = {{(uint8_t)i, (uint8_t)(i >> 8), (uint8_t)(i >> 16), 1}};
    struct buf body = {0};
    token_put(&body, &token);
    say(c, i, KIND_CLAIM, &body);
    struct credit m = {.tasks = 2, .size_bytes = 1000, .reserve = 1};
    credit_put(&body, &m);
    say(c, i, KIND_CREDIT, &body);
}

static void crowd_begin(struct crowd *c, uint64_t size)
{
    struct dispatcher_options options = farm_options(2);
    options.workers_max = 1000000;
    farm_begin_bare(&c->farm, &options);
    sink_join(&c->farm, sink_connect(&c->farm, 500), JOB, 0, "");
    farm_settle(&c->farm);
    sink_note(&c->farm, "");
    c->size = size;
    for (uint64_t i = 0; i < size; i++)
        come(c, i);
    for (uint64_t i = 0; i < size; i++)
        claim_and_ask(c, i);
    farm_turn(&c->farm);
}

Test(dispatcher_scale, ten_thousand_workers_join_work_and_die)
{
    struct crowd c = {0};
    crowd_begin(&c, 10000);
    struct farm *f = &c.farm;
    cr_assert_eq(dispatcher_counts(f->d).workers, c.size);
    f->input_begins_late = false;
    f->input = 2 * c.size;
    farm_turn(f);
    cr_assert_eq(dispatcher_counts(f->d).read, 2 * c.size);
    cr_assert_eq(dispatcher_counts(f->d).workers_seen, c.size);
    for (uint64_t i = 0; i < c.size; i++) {
        dispatcher_control_closed(f->d, connection_of(i), f->now_ns);
        dispatcher_lane_closed(f->d, connection_of(i), f->now_ns);
    }
    farm_turn(f);
    cr_assert_eq(dispatcher_counts(f->d).workers, 0);
    cr_assert_eq(f->d->pending.isolated.members, c.size);
    cr_assert_eq(f->d->pending.queue.members, c.size);
    farm_end(f);
}

Test(dispatcher_scale, two_thousand_workers_whose_tasks_all_fail_do_not_slow_down_a_turn)
{
    struct crowd c = {0};
    crowd_begin(&c, 2000);
    struct farm *f = &c.farm;
    for (size_t i = 0; i < f->d->sessions.count; i++) {
        f->d->sessions.items[i]->fails_in_a_row = 1000;
        standing_note(f->d, f->d->sessions.items[i]);
    }
    f->input_begins_late = false;
    f->input = 2 * c.size;
    farm_turn(f);
    cr_assert_eq(dispatcher_counts(f->d).read, 2 * c.size);
    for (int i = 0; i < 1000; i++) {
        f->now_ns += NS_PER_MS;
        farm_turn(f);
    }
    farm_end(f);
}

Test(dispatcher_scale, a_task_for_each_of_many_holes_is_stored_in_one_note)
{
    struct farm f = {.input = 200000};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 4, 0);
    worker_credit(&f, w, 200000, 8 << 20, 4);
    farm_turn(&f);
    uint64_t read = dispatcher_counts(f.d).read;
    cr_assert_eq(read, 200000);
    worker_returned(&f, w, "1-200000", RETURNED_LEAVING);
    worker_says(&f, w, KIND_BYE);
    struct stored_note m = {.epoch = 1};
    for (uint64_t seq = 1; seq < read; seq += 2)
        seqset_add(&m.tasks, seq, seq);
    struct buf to = peer_message(&f, f.sink, KIND_STORED);
    stored_note_put(&to, &m);
    peer_send(&f, f.sink, &to);
    stored_note_free(&m);
    cr_assert_eq(dispatcher_counts(f.d).stored, 100000);
    cr_assert_eq(f.d->pending.queue.members, 100000);
    farm_end(&f);
}
