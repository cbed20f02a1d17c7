/* SPDX-License-Identifier: MPL-2.0 */
#include "farm_fixture.h"

#include <string.h>

#include "ventilator/core/dispatcher.h"

/* What the peers of farm_fixture.h say. */

static struct farm_peer *new_peer(struct farm *f, uint64_t instance)
{
    for (size_t i = 0; i < FARM_PEERS; i++)
        if (!f->peers[i].instance) {
            struct farm_peer *p = &f->peers[i];
            buf_free(&p->heard);
            seqset_free(&p->has);
            *p = (struct farm_peer){.instance = instance, .connection = ++f->last_number};
            return p;
        }
    cr_assert_fail("no room for another peer");
    return NULL;
}

struct buf peer_message(const struct farm *f, const struct farm_peer *p, enum wire_kind kind)
{
    (void)f;
    struct buf to = {0};
    wire_begin(&to, kind, (struct frame_head){kind, p->job, INCARNATION, p->session});
    return to;
}

void peer_send(struct farm *f, struct farm_peer *p, struct buf *message)
{
    struct origin from = {p->connection, "127.0.0.1", p->key};
    dispatcher_control_message(f->d, &from, buf_bytes(message), f->now_ns);
    buf_free(message);
}

/* ---- the sink ---- */

struct farm_peer *sink_connect(struct farm *f, uint64_t instance)
{
    struct farm_peer *p = new_peer(f, instance);
    p->is_sink = true;
    f->sink = p;
    return p;
}

void sink_join(struct farm *f, struct farm_peer *p, uint64_t job, uint64_t flags,
               const char *stored)
{
    sink_join_opened(f, p, job, flags, stored, 0);
}

void sink_join_opened(struct farm *f, struct farm_peer *p, uint64_t job, uint64_t flags,
                      const char *stored, uint64_t opening)
{
    struct sink_join m = {.peer = {.instance = p->instance},
                          .flags = flags,
                          .results = bytes_of("tcp://:5558"),
                          .wants = 1,
                          .opening = opening,
                          .features = (f->receipts ? FEATURE_RECEIPTS : 0) |
                                      (f->strict ? FEATURE_HANDED : 0)};
    ranges_of(stored, &m.stored);
    p->job = job;
    struct buf to = peer_message(f, p, KIND_JOIN);
    sink_join_put(&to, &m);
    peer_send(f, p, &to);
    sink_join_free(&m);
}

void sink_received(struct farm *f, const struct farm_peer *worker, uint64_t batch, uint64_t flags)
{
    struct arrival arrival = {.session = worker->session, .batch = batch};
    struct stored_note m = {
        .epoch = f->epoch, .flags = flags, .received = &arrival, .received_count = 1};
    struct buf to = peer_message(f, f->sink, KIND_STORED);
    stored_note_put(&to, &m);
    peer_send(f, f->sink, &to);
}

void sink_note_full(struct farm *f, const char *stored, bool order_full)
{
    struct stored_note m = {.epoch = f->epoch, .flags = order_full ? STORED_ORDER_FULL : 0};
    ranges_of(stored, &m.tasks);
    seqset_add_all(&f->stored, &m.tasks);
    for (size_t i = 0; i < FARM_PEERS; i++)
        seqset_remove_all(&f->peers[i].has, &m.tasks);
    struct buf to = peer_message(f, f->sink, KIND_STORED);
    stored_note_put(&to, &m);
    peer_send(f, f->sink, &to);
    stored_note_free(&m);
}

void sink_note(struct farm *f, const char *stored)
{
    sink_note_full(f, stored, false);
}

void sink_took(struct farm *f, uint64_t session, const char *tasks, const char *stored,
               uint64_t flags)
{
    struct session_tasks origin = {session, {0}};
    struct stored_note m = {
        .epoch = f->epoch, .origins = &origin, .origin_count = 1, .flags = flags};
    struct buf to = peer_message(f, f->sink, KIND_STORED);
    ranges_of(tasks, &origin.tasks);
    ranges_of(stored, &m.tasks);
    stored_note_put(&to, &m);
    peer_send(f, f->sink, &to);
    seqset_free(&origin.tasks);
    seqset_free(&m.tasks);
}

void sink_halts(struct farm *f, enum halt_when when, uint64_t seq, uint64_t status)
{
    struct halt m = {when, seq, status};
    struct buf to = peer_message(f, f->sink, KIND_HALT);
    halt_put(&to, &m);
    peer_send(f, f->sink, &to);
}

void sink_closed(struct farm *f, uint64_t failed)
{
    struct closed m = {.failed = failed, .status = failed};
    struct buf to = peer_message(f, f->sink, KIND_CLOSED);
    closed_put(&to, &m);
    peer_send(f, f->sink, &to);
}

/* ---- workers ---- */

struct farm_peer *worker_connect(struct farm *f, uint64_t slots)
{
    struct farm_peer *p = new_peer(f, 10000 + f->last_number);
    p->slots = slots;
    return p;
}

void worker_reconnect(struct farm *f, struct farm_peer *p)
{
    p->connection = ++f->last_number;
    p->lane = 0;
    p->granted = (struct credit){0};
    p->got_tasks = p->got_bytes = 0;
    seqset_clear(&p->has);
}

void worker_join(struct farm *f, struct farm_peer *p, uint64_t job, const char *running,
                 const char *kept)
{
    struct worker_join m = {
        .peer = {.instance = p->instance, .name = bytes_of("worker"), .host = bytes_of("here")},
        .slots = p->slots,
        .flags = p->flags,
        .features = f->receipts ? FEATURE_RECEIPTS : 0};
    struct seqset set = {0};
    ranges_of(running, &set);
    ranges_of(kept, &m.kept);
    for (size_t i = 0; i < set.count; i++)
        for (uint64_t seq = set.ranges[i].first; seq <= set.ranges[i].last; seq++)
            attempt_list_add(&m.running, seq, (struct attempt){INCARNATION, 1});
    seqset_add_all(&p->has, &set);
    seqset_add_all(&p->has, &m.kept);
    p->job = job;
    struct buf to = peer_message(f, p, KIND_JOIN);
    worker_join_put(&to, &m);
    peer_send(f, p, &to);
    worker_join_free(&m);
    seqset_free(&set);
}

void worker_open_lane(struct farm *f, struct farm_peer *p)
{
    struct token token = {{0}};
    p->lane = ++f->last_number;
    memcpy(token.octets, &p->lane, sizeof p->lane);
    dispatcher_lane_opened(f->d, p->lane, token, &p->key, f->now_ns);
    farm_turn(f);
}

void worker_claim(struct farm *f, struct farm_peer *p, struct token token)
{
    struct buf to = peer_message(f, p, KIND_CLAIM);
    token_put(&to, &token);
    peer_send(f, p, &to);
}

void worker_credit(struct farm *f, struct farm_peer *p, uint64_t tasks, uint64_t size_bytes,
                   uint64_t reserve)
{
    struct credit m = {.tasks = p->got_tasks + tasks,
                       .size_bytes = p->got_bytes + size_bytes,
                       .reserve = p->got_tasks + reserve,
                       .received_batch = p->lane_arrived};
    struct credit *g = &p->granted;
    f->input_begins_late = false;
    g->tasks = m.tasks > g->tasks ? m.tasks : g->tasks;
    g->size_bytes = m.size_bytes > g->size_bytes ? m.size_bytes : g->size_bytes;
    g->reserve = m.reserve > g->reserve ? m.reserve : g->reserve;
    struct buf to = peer_message(f, p, KIND_CREDIT);
    credit_put(&to, &m);
    peer_send(f, p, &to);
}

struct farm_peer *worker_up(struct farm *f, uint64_t slots, uint64_t tasks)
{
    struct farm_peer *p = worker_connect(f, slots);
    worker_join(f, p, 0, "", "");
    farm_turn(f);
    worker_open_lane(f, p);
    worker_claim(f, p, p->token);
    buf_clear(&p->heard);
    if (tasks)
        worker_credit(f, p, tasks, 1 << 20, tasks < slots ? tasks : slots);
    return p;
}

void worker_finished(struct farm *f, struct farm_peer *p, const char *tasks, uint64_t not_ok)
{
    struct finished m = {.failed = not_ok};
    ranges_of(tasks, &m.tasks);
    struct buf to = peer_message(f, p, KIND_FINISHED);
    finished_put(&to, &m);
    peer_send(f, p, &to);
    finished_free(&m);
}

void worker_failed(struct farm *f, struct farm_peer *p, uint64_t seq, uint32_t number)
{
    struct attempt_list m = {0};
    attempt_list_add(&m, seq, (struct attempt){INCARNATION, number});
    seqset_remove(&p->has, seq, seq);
    struct buf to = peer_message(f, p, KIND_FAILED);
    attempt_list_put(&to, &m);
    peer_send(f, p, &to);
    attempt_list_free(&m);
}

void worker_returned(struct farm *f, struct farm_peer *p, const char *tasks,
                     enum returned_reason reason)
{
    struct returned m = {.reason = reason};
    ranges_of(tasks, &m.tasks);
    seqset_remove_all(&p->has, &m.tasks);
    struct buf to = peer_message(f, p, KIND_RETURNED);
    returned_put(&to, &m);
    peer_send(f, p, &to);
    returned_free(&m);
}

void worker_runs(struct farm *f, struct farm_peer *p, const char *tasks)
{
    struct heartbeat m = {.clock_ns = f->now_ns};
    ranges_of(tasks, &m.running);
    struct buf to = peer_message(f, p, KIND_HEARTBEAT);
    heartbeat_put(&to, &m);
    peer_send(f, p, &to);
    heartbeat_free(&m);
}

void worker_says(struct farm *f, struct farm_peer *p, enum wire_kind kind)
{
    struct buf to = peer_message(f, p, kind);
    peer_send(f, p, &to);
}

void worker_lane_dies(struct farm *f, struct farm_peer *p)
{
    dispatcher_lane_closed(f->d, p->lane, f->now_ns);
    p->lane = 0;
}

void worker_control_dies(struct farm *f, struct farm_peer *p)
{
    dispatcher_control_closed(f->d, p->connection, f->now_ns);
    p->connection = 0;
}

void worker_dies(struct farm *f, struct farm_peer *p)
{
    worker_control_dies(f, p);
    worker_lane_dies(f, p);
}
