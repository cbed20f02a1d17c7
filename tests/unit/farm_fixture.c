/* SPDX-License-Identifier: MPL-2.0 */
#include "farm_fixture.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/farm_check.h"
#include "tests/unit/said.h"
#include "ventilator/core/liveness.h"
#include "ventilator/core/transfer.h"

void ranges_of(const char *text, struct seqset *set)
{
    while (*text) {
        char *end;
        uint64_t first = strtoull(text, &end, 10), last = first;
        if (*end == '-')
            last = strtoull(end + 1, &end, 10);
        seqset_add(set, first, last);
        text = *end == ',' ? end + 1 : end;
    }
}

static size_t record_size(const struct farm *f, uint64_t seq)
{
    return seqset_has(&f->large, seq) ? 10000 : f->task_size;
}

/* ---- what peers hear ---- */

static void put_set(struct buf *to, const char *name, const struct seqset *set)
{
    buf_put_text(to, seqset_empty(set) ? "" : name);
    said_ranges(to, set);
}

static void hear_welcome(struct farm *f, struct farm_peer *p, struct bytes body)
{
    buf_put_text(&p->heard, "WELCOME");
    if (p->is_sink) {
        struct sink_welcome m;
        cr_assert_eq(sink_welcome_take(body, &m), ERR_NONE);
        buf_printf(&p->heard, " epoch=%" PRIu64, m.epoch);
        f->epoch = m.epoch;
        return;
    }
    struct worker_welcome m = {0};
    cr_assert_eq(worker_welcome_take(body, &m), ERR_NONE);
    buf_printf(&p->heard, " epoch=%" PRIu64, m.epoch);
    if (!key_is_none(&m.sink))
        buf_printf(&p->heard, " sink=%u", m.sink.octets[0]);
    put_set(&p->heard, " kill=", &m.kill);
    put_set(&p->heard, " have=", &m.have);
    seqset_remove_all(&p->has, &m.kill);
    seqset_remove_all(&p->has, &m.have);
    seqset_remove(&p->has, dispatcher_counts(f->d).read + 1, UINT64_MAX - 1);
    worker_welcome_free(&m);
}

static void hear_cancel(struct farm_peer *p, struct bytes body)
{
    struct cancel m = {0};
    cr_assert_eq(cancel_take(body, &m), ERR_NONE);
    buf_put_text(&p->heard, "CANCEL");
    for (size_t i = 0; i < m.count; i++)
        buf_printf(&p->heard, " %" PRIu64 "#%u@%" PRIu64, m.items[i].seq, m.items[i].attempt.number,
                   m.items[i].batch);
    cancel_free(&m);
}

static void hear_verdict(const struct farm *f, struct farm_peer *p, struct bytes body)
{
    struct verdict m = {0};
    cr_assert_eq(verdict_take(body, &m), ERR_NONE);
    buf_put_text(&p->heard, "VERDICT");
    p->verdict_bytes = 0;
    for (size_t i = 0; i < m.count; i++) {
        buf_printf(&p->heard, " %" PRIu64 "%s", m.items[i].first,
                   m.items[i].status == RESULT_LOST ? " lost" : " too large");
        if (m.items[i].status == RESULT_LOST && m.items[i].workers.size)
            buf_printf(&p->heard, " (%.*s)", (int)m.items[i].workers.size,
                       (const char *)m.items[i].workers.data);
        size_t most = liveness_sink_frame_max(f->d, f->d->options.task_inline_max);
        bool has_bytes =
            m.items[i].status == RESULT_LOST && record_size(f, m.items[i].first) <= most;
        cr_assert_eq(m.items[i].task.size > 0, has_bytes);
        p->verdict_bytes += m.items[i].task.size;
    }
    verdict_free(&m);
}

static void hear_because(struct farm_peer *p, struct bytes body)
{
    struct because m = {0};
    cr_assert_eq(because_take(body, &m), ERR_NONE);
    cr_assert_leq(m.count, BECAUSE_ITEMS_MAX);
    for (size_t i = 0; i < m.count; i++) {
        const struct because_item *item = &m.items[i];
        put_set(&p->heard, "", &item->tasks);
        buf_printf(&p->heard, "+%" PRIu64 ": %.*s\n", item->more, (int)item->sentence.size,
                   (const char *)item->sentence.data);
    }
    because_free(&m);
}

static void hear_again(struct farm_peer *p, struct bytes body)
{
    struct again m;
    cr_assert_eq(again_take(body, &m), ERR_NONE);
    buf_printf(&p->heard, "AGAIN %" PRIu64, m.session);
    if (m.reason != AGAIN_UNKNOWN_SESSION)
        buf_printf(&p->heard, " for %" PRIu64, m.reason);
}

static void hear_protest(struct farm_peer *p, struct bytes body)
{
    struct protest m;
    cr_assert_eq(protest_take(body, &m), ERR_NONE);
    buf_printf(&p->heard, "PROTEST %s@%" PRIu64 " about %" PRIu64, wire_kind_name((unsigned)m.kind),
               m.offset, m.session);
}

/* The rule of credit, task by task (docs/protocol.md, 6). */
static void check_credit(struct farm_peer *p, const struct task_run *run, uint64_t size_bytes)
{
    const struct credit *c = &p->granted;
    p->got_tasks++;
    p->got_bytes += size_bytes;
    bool ordinary =
        p->got_tasks <= c->tasks && (p->got_bytes <= c->size_bytes || seqset_empty(&p->has));
    bool reserve = run->number > 1 && p->got_tasks <= c->reserve;
    cr_assert(ordinary || reserve,
              "task %" PRIu64 " exceeds the credit: %" PRIu64 " tasks of %" PRIu64 ", %" PRIu64
              " bytes of %" PRIu64 ", reserve %" PRIu64,
              run->first, p->got_tasks, c->tasks, p->got_bytes, c->size_bytes, c->reserve);
}

static void hear_piece(struct farm_peer *p, struct bytes body)
{
    struct piece m;
    cr_assert_eq(piece_take(body, &m), ERR_NONE);
    if (m.offset == 0)
        buf_clear(&p->pieces);
    cr_assert_eq(m.offset, p->pieces.size);
    buf_put_bytes(&p->pieces, m.content);
    if (m.total)
        buf_printf(&p->heard, "PIECE %" PRIu64 "@%" PRIu64, m.seq, m.offset);
    else
        buf_printf(&p->heard, "CUT %" PRIu64, m.seq);
}

static void hear_run(struct farm_peer *p, const struct task_run *run)
{
    bool in_pieces = run->flags & TASK_PIECES;
    struct bytes rest = in_pieces ? buf_bytes(&p->pieces) : run->records;
    uint64_t last = run->first + run->count - 1;
    for (uint64_t seq = run->first; seq <= last; seq++) {
        struct bytes record = rest;
        struct task task;
        cr_assert_eq(task_take(&rest, &task), ERR_NONE);
        record.size -= rest.size;
        uint64_t number = 0;
        if (task.body.size >= sizeof number)
            memcpy(&number, task.body.data, sizeof number);
        cr_assert(!number || number == seq, "the bytes of task %" PRIu64 " came as %" PRIu64,
                  number, seq);
        check_credit(p, run, in_pieces ? task_pieces_credit(record.size) : record.size);
        seqset_add(&p->has, seq, seq);
    }
    struct seqset set = {0};
    seqset_add(&set, run->first, last);
    put_set(&p->heard, " ", &set);
    seqset_free(&set);
    buf_printf(&p->heard, "#%u", run->number);
    if (run->tries > 1)
        buf_printf(&p->heard, " try%u", run->tries);
    buf_put_text(&p->heard, run->flags & TASK_LAST ? " last" : "");
    buf_put_text(&p->heard, run->flags & TASK_ALONE ? " alone" : "");
    buf_put_text(&p->heard, in_pieces ? " pieces" : "");
}

static void hear_tasks(struct farm_peer *p, struct bytes body)
{
    uint64_t batch;
    struct bytes runs;
    struct task_run run;
    cr_assert_eq(tasks_take(body, &batch, &runs), ERR_NONE);
    buf_printf(&p->heard, "TASKS %" PRIu64 ":", batch);
    while (runs.size) {
        cr_assert_eq(task_run_take(&runs, &run), ERR_NONE);
        hear_run(p, &run);
    }
}

static bool is_written_whole(enum wire_kind kind)
{
    static const enum wire_kind kinds[] = {KIND_CHECK,  KIND_DONE,     KIND_END,    KIND_ENDED,
                                           KIND_HALT,   KIND_HANDED,   KIND_RECALL, KIND_RECEIVED,
                                           KIND_RESEND, KIND_RELEASED, KIND_STRANGE};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i] == kind)
            return true;
    return false;
}

static void hear(struct farm *f, struct farm_peer *p, struct block *block)
{
    struct frame_head head;
    struct bytes body;
    cr_assert_eq(frame_take(block_bytes(block), &head, &body), ERR_NONE);
    bool beat = head.kind == KIND_HEARTBEAT && head.session != 0;
    if (beat || head.kind == KIND_STATUS)
        return;
    buf_put_text(&p->heard, p->heard.size ? "; " : "");
    struct refuse refuse;
    if (head.kind == KIND_WELCOME) {
        p->session = head.session;
        if (!p->is_sink && p->job != head.job)
            seqset_clear(&p->has); /* of another job: the worker drops it */
        p->job = head.job;
        hear_welcome(f, p, body);
    } else if (head.kind == KIND_REFUSE) {
        cr_assert_eq(refuse_take(body, &refuse), ERR_NONE);
        buf_printf(&p->heard, "REFUSE %" PRIu64, refuse.reason);
    } else if (head.kind == KIND_HEARTBEAT) {
        buf_put_text(&p->heard, "WAIT");
    } else if (head.kind == KIND_CANCEL) {
        hear_cancel(p, body);
    } else if (head.kind == KIND_VERDICT) {
        hear_verdict(f, p, body);
    } else if (head.kind == KIND_BECAUSE) {
        hear_because(p, body);
    } else if (head.kind == KIND_TASKS) {
        hear_tasks(p, body);
    } else if (head.kind == KIND_PIECE) {
        hear_piece(p, body);
    } else if (head.kind == KIND_HELLO) {
        cr_assert_eq(token_take(body, &p->token), ERR_NONE);
        buf_put_text(&p->heard, "HELLO");
    } else if (head.kind == KIND_AGAIN) {
        hear_again(p, body);
    } else if (head.kind == KIND_PROTEST) {
        hear_protest(p, body);
    } else if (is_written_whole(head.kind)) {
        wire_print_body(&p->heard, head.kind, body);
    } else {
        buf_put_text(&p->heard, wire_kind_name(head.kind));
    }
}

/* ---- turns ---- */

static struct farm_peer *whose(struct farm *f, uint64_t connection, uint64_t lane)
{
    for (size_t i = 0; i < FARM_PEERS; i++)
        if ((connection && f->peers[i].connection == connection) ||
            (lane && f->peers[i].lane == lane))
            return &f->peers[i];
    return NULL;
}

static void act(struct farm *f, struct dispatcher_action *action)
{
    struct farm_peer *p = whose(f, action->connection, action->lane);
    if (action->kind == DISPATCHER_SAY || action->kind == DISPATCHER_EXIT)
        buf_printf(&f->said, "%s\n", action->why.text);
    if (action->kind == DISPATCHER_EXIT) {
        cr_assert_not(f->exited, "it ends twice");
        f->exited = true;
        f->status = action->status;
    }
    if (action->block && p)
        hear(f, p, action->block);
    bool waits = f->slow_lanes && action->block && block_bytes(action->block).data[0] == KIND_PIECE;
    cr_assert(!waits || f->waiting_count < FARM_WAITING_MAX);
    if (waits)
        f->waiting[f->waiting_count++] = action->block;
    else
        block_release(&action->block);
    if (action->kind == DISPATCHER_CLOSE_LANE && p)
        p->lane = 0;
    if (action->kind == DISPATCHER_CUT_CONTROL)
        f->cut = action->connection;
}

void farm_lanes_take(struct farm *f, size_t most)
{
    size_t taken = most < f->waiting_count ? most : f->waiting_count;
    for (size_t i = 0; i < taken; i++)
        block_release(&f->waiting[i]);
    f->waiting_count -= taken;
    memmove(f->waiting, f->waiting + taken, f->waiting_count * sizeof *f->waiting);
}

static void put_task(struct farm *f, uint64_t seq)
{
    static const uint8_t zeros[20000];
    size_t size = record_size(f, seq) - (record_size(f, seq) > 127 ? 2 : 1);
    struct buf line = {0};
    buf_put(&line, zeros, size);
    if (size >= sizeof seq)
        memcpy(line.data, &seq, sizeof seq);
    task_put_line(dispatcher_room(f->d), buf_bytes(&line));
    buf_free(&line);
}

static bool take_input(struct farm *f, size_t tasks_max, size_t bytes_max)
{
    uint64_t next = dispatcher_counts(f->d).read + 1;
    if (f->input == 0 && !f->input_waits)
        dispatcher_input_ended(f->d, f->now_ns);
    if (f->input == 0 || f->input_begins_late)
        return false;
    if (seqset_has(&f->too_large, next)) {
        f->input--;
        dispatcher_add_too_large(f->d, f->now_ns);
        return true;
    }
    size_t tasks = 0, size_bytes = 0;
    for (; tasks < tasks_max && f->input && !seqset_has(&f->too_large, next + tasks); f->input--) {
        size_t size = record_size(f, next + tasks);
        bool in_pieces = transfer_is_needed(f->d, NULL, size);
        size_bytes += size;
        if (tasks && (in_pieces || size_bytes > bytes_max))
            break;
        put_task(f, next + tasks++);
        if (in_pieces)
            tasks_max = tasks; /* nothing with it */
    }
    dispatcher_add_tasks(f->d, tasks, f->now_ns);
    return true;
}

void farm_turn(struct farm *f)
{
    size_t tasks_max, bytes_max;
    struct dispatcher_action action;
    dispatcher_turn(f->d, f->now_ns);
    while (dispatcher_wants_tasks(f->d, &tasks_max, &bytes_max) &&
           take_input(f, tasks_max, bytes_max))
        ;
    while (dispatcher_next_action(f->d, &action))
        act(f, &action);
}

static void beat(struct farm *f, struct farm_peer *p)
{
    if (!p->connection || !p->session || p->silent)
        return;
    struct heartbeat m = {
        .clock_ns = f->now_ns, .results_stuck_ms = p->stuck_ms, .unusable = p->unusable};
    struct buf to = peer_message(f, p, KIND_HEARTBEAT);
    heartbeat_put(&to, &m);
    peer_send(f, p, &to);
}

void farm_pass(struct farm *f, uint64_t ms)
{
    for (uint64_t end_ns = f->now_ns + ms * NS_PER_MS; f->now_ns < end_ns;) {
        uint64_t left_ns = end_ns - f->now_ns;
        f->now_ns += left_ns < 100 * NS_PER_MS ? left_ns : 100 * NS_PER_MS;
        for (size_t i = 0; i < FARM_PEERS; i++)
            beat(f, &f->peers[i]);
        farm_turn(f);
    }
}

void farm_settle(struct farm *f)
{
    farm_turn(f);
    f->now_ns += 21 * NS_PER_MS;
    farm_turn(f);
    farm_turn(f);
}

void farm_check(const struct farm *f)
{
    farm_check_dispatcher(f->d);
}

void farm_expect(struct farm *f, struct farm_peer *p, const char *words)
{
    farm_settle(f);
    farm_check(f);
    buf_put_byte(&p->heard, '\0');
    cr_assert_str_eq((char *)p->heard.data, words);
    buf_clear(&p->heard);
}

void farm_expect_said(struct farm *f, const char *part)
{
    farm_settle(f);
    buf_put_byte(&f->said, '\0');
    cr_assert(strstr((char *)f->said.data, part), "said: %s", (char *)f->said.data);
    buf_clear(&f->said);
}

/* ---- beginning and end ---- */

struct dispatcher_options farm_options(unsigned retries)
{
    return (struct dispatcher_options){.incarnation = INCARNATION,
                                       .retries = retries,
                                       .queue_max_bytes = 16 << 20,
                                       .task_max_bytes = 1000,
                                       .heartbeat_ns = 500 * NS_PER_MS,
                                       .limit_ns = 3 * NS_PER_S,
                                       .give_up_ns = 60 * NS_PER_S,
                                       .workers_max = 1000,
                                       .lanes = "5557",
                                       .endpoint = "tcp://127.0.0.1:5556",
                                       .input = "standard input"};
}

void farm_begin_bare(struct farm *f, const struct dispatcher_options *options)
{
    f->now_ns = 3600 * NS_PER_S;
    f->task_size = 10;
    f->input_waits = f->input_begins_late = true;
    f->d = dispatcher_new(options, f->now_ns);
}

void farm_begin(struct farm *f, unsigned retries)
{
    struct dispatcher_options options = farm_options(retries);
    farm_begin_bare(f, &options);
    sink_join(f, sink_connect(f, 500), JOB, SINK_VOLATILE, "");
    farm_expect(f, f->sink, "WELCOME epoch=1");
    sink_note(f, "");
}

void farm_end(struct farm *f)
{
    dispatcher_destroy(&f->d);
    farm_lanes_take(f, FARM_WAITING_MAX);
    for (size_t i = 0; i < FARM_PEERS; i++) {
        buf_free(&f->peers[i].heard);
        buf_free(&f->peers[i].pieces);
        seqset_free(&f->peers[i].has);
    }
    buf_free(&f->said);
    seqset_free(&f->stored);
    seqset_free(&f->large);
    seqset_free(&f->too_large);
}
