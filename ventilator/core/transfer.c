/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/core/transfer.h"

#include <assert.h>

#include "ventilator/core/dispatcher_actions.h"
#include "ventilator/core/dispatcher_state.h"
#include "ventilator/core/liveness.h"
#include "ventilator/core/pending.h"
#include "ventilator/core/sessions.h"
#include "ventilator/core/standing.h"

/* Tasks that are too large for one message (docs/protocol.md, 14).
 *
 * A piece is made when the connection has taken those before, which shows in that nobody holds their
 * blocks any more: so of a large task there is little in memory besides the task itself. */

bool transfer_is_needed(const struct dispatcher *d, const struct session *s, size_t record_size)
{
    return record_size > liveness_frame_max(s, d->options.task_inline_max);
}

/* Lets go of the pieces that were taken; returns how many are left. */
static size_t drop_taken(struct transfer *t)
{
    size_t left = 0;
    for (size_t i = 0; i < TRANSFER_WINDOW; i++) {
        if (t->sent[i] && !block_is_shared(t->sent[i]))
            block_release(&t->sent[i]);
        left += t->sent[i] != NULL;
    }
    return left;
}

static void send_piece(struct dispatcher *d, struct session *s, const struct piece *piece)
{
    struct transfer *t = &s->transfer;
    struct buf m = {0};
    wire_begin(&m, KIND_PIECE, dispatcher_head(d, KIND_PIECE, s->id));
    piece_put(&m, piece);
    struct block *block = block_new(&m);
    t->sent[t->next] = block_hold(block);
    t->next = (t->next + 1) % TRANSFER_WINDOW;
    dispatcher_send_lane(d, s->lane, block);
}

static void send_cut(struct dispatcher *d, struct session *s)
{
    send_piece(d, s, &(struct piece){.seq = s->transfer.cut});
    s->transfer.cut = 0;
}

static void send_next(struct dispatcher *d, struct session *s)
{
    struct transfer *t = &s->transfer;
    size_t left = t->record.size - (size_t)t->offset;
    size_t most = liveness_frame_max(s, d->options.task_piece_max);
    size_t size = left < most ? left : most;
    struct piece piece = {.seq = t->run.first,
                          .attempt = {d->options.incarnation, t->run.number},
                          .tries = t->run.tries,
                          .offset = t->offset,
                          .total = t->record.size,
                          .content = {t->record.data + t->offset, size}};
    send_piece(d, s, &piece);
    s->lane_state.offset += size;
    t->offset += size;
}

/* It is a task like others from here on. */
static void send_end(struct dispatcher *d, struct session *s)
{
    uint64_t seq = s->transfer.run.first;
    struct task_run run = s->transfer.run;
    run.flags |= TASK_PIECES;
    struct buf m = {0};
    wire_begin(&m, KIND_TASKS, dispatcher_head(d, KIND_TASKS, s->id));
    tasks_begin(&m, ++s->batch);
    task_run_put(&m, &run);
    dispatcher_send_lane(d, s->lane, block_new(&m));
    struct holder *holder = story_holder(entry_story(ledger_find(&d->ledger, seq), seq), s);
    assert(holder); /* what is on its way to a session is out at it */
    holder->batch = s->batch;
    sessions_note_use(d, s);
    session_transferred(s);
    standing_note(d, s);
}

/* Sends what the lane takes. */
static void transfer_push(struct dispatcher *d, struct session *s, uint64_t now_ns)
{
    struct transfer *t = &s->transfer;
    drop_taken(t);
    while (s->lane && (t->cut || t->block) && !t->sent[t->next]) {
        if (t->cut) {
            send_cut(d, s);
            continue;
        }
        send_next(d, s);
        dispatcher_moved(d, now_ns);
        if (t->offset == t->record.size)
            send_end(d, s);
    }
}

void transfer_begin(struct dispatcher *d, struct session *s, const struct entry *entry,
                    struct bytes record, const struct task_run *run, uint64_t now_ns)
{
    session_transfer(s, entry->block, record, run);
    standing_note(d, s);
    seqset_add(&d->transfers, s->id, s->id);
    transfer_push(d, s, now_ns);
}

void transfer_take_back(struct dispatcher *d, struct session *s)
{
    if (!s->transfer.block)
        return;
    pending_take_back(d, s, s->transfer.run.first);
    standing_note(d, s);
}

void transfer_cut(struct dispatcher *d, const struct story *story)
{
    for (unsigned i = story->holder_count; i-- > 0;) {
        struct session *s = story->holders[i].session;
        if (session_transfers(s, story->seq)) {
            pending_take_back(d, s, story->seq);
            standing_note(d, s);
        }
    }
}

void transfer_turn(struct dispatcher *d, uint64_t now_ns)
{
    struct range r;
    for (uint64_t id = 1; seqset_next(&d->transfers, id, UINT64_MAX - 1, &r); id = r.first + 1) {
        struct session *s = index_get(&d->sessions.by_id, r.first);
        if (s)
            transfer_push(d, s, now_ns);
        if (!s || (!s->transfer.block && !s->transfer.cut && !drop_taken(&s->transfer)))
            seqset_remove(&d->transfers, r.first, r.first);
    }
}
