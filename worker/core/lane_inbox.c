/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/core/slots_state.h"

/* The lane has reached `batch`: what was cancelled before it came goes now. */
static void apply_early(struct slots *s, uint64_t batch)
{
    struct early_cancel *e = &s->early;
    size_t left = 0;
    for (size_t i = 0; i < e->count; i++) {
        struct cancel_item item = e->items[i];
        if (item.batch > batch)
            e->items[left++] = item;
        else
            backlog_remove(&s->backlog, item.seq, item.seq, &item.attempt);
    }
    e->count = left;
}

/* Tasks whose final result is here already: the ventilator has missed that. */
static void drop_kept(struct slots *s, const struct seqset *kept, const struct task_run *run)
{
    struct range found;
    uint64_t at = run->first, last = run->first + run->count - 1;
    for (; at <= last && seqset_next(kept, at, last, &found); at = found.last + 1) {
        backlog_remove(&s->backlog, found.first, found.last, NULL);
        seqset_add(&s->report.finished, found.first, found.last);
    }
}

void lane_drop_pieces(struct slots *s)
{
    pieces_drop(&s->pieces);
    block_release(&s->whole);
}

/* The record that came in pieces is that of the run's task, and one that makes sense. */
static bool take_pieces(struct slots *s, uint64_t incarnation, struct task_run *run)
{
    struct attempt attempt = {incarnation, run->number};
    if (!s->whole || s->pieces.seq != run->first || !attempt_equal(s->pieces.attempt, attempt))
        return false;
    run->records = block_bytes(s->whole);
    struct bytes rest = run->records;
    struct task task;
    return !task_take(&rest, &task) && rest.size == 0;
}

/* Adds all runs to the backlog; returns false as soon as one makes no sense. */
static bool add_runs(struct slots *s, struct block *block, uint64_t incarnation, struct bytes runs)
{
    struct task_run run;
    while (runs.size > 0) {
        if (task_run_take(&runs, &run))
            return false;
        bool in_pieces = run.flags & TASK_PIECES;
        if (in_pieces && s->leaving != STAYING) { /* the pieces were not taken */
            seqset_add(&s->report.returned, run.first, run.first);
            continue;
        }
        if (in_pieces && !take_pieces(s, incarnation, &run))
            return false;
        struct backlog_run item = {.block = in_pieces ? s->whole : block,
                                   .records = run.records,
                                   .first = run.first,
                                   .count = run.count,
                                   .attempt = {incarnation, run.number},
                                   .tries = run.tries,
                                   .in_pieces = in_pieces,
                                   .last = run.flags & TASK_LAST,
                                   .alone = run.flags & TASK_ALONE};
        backlog_add(&s->backlog, &item);
        s->link.received += run.count;
        s->link.received_bytes += backlog_run_credit(&item);
        if (in_pieces)
            lane_drop_pieces(s);
        drop_kept(s, &s->kept.tasks, &run);
        drop_kept(s, &s->large.tasks, &run);
    }
    return true;
}

static void on_tasks(struct slots *s, struct bytes message, uint64_t now_ns)
{
    /* Copied once; from here to the slot the tasks are slices of this block. */
    struct block *block = block_copy(message);
    struct frame_head head;
    struct bytes body, runs;
    uint64_t batch;
    bool fine = !frame_take(block_bytes(block), &head, &body) && !tasks_take(body, &batch, &runs) &&
                batch > s->link.lane_batch && add_runs(s, block, head.incarnation, runs);
    block_release(&block);
    if (!fine) {
        /* What was in it is known to the ventilator only: a new session sorts that out. */
        s->counts.dropped++;
        slots_link_leave(s, now_ns);
        return;
    }
    s->link.lane_batch = batch;
    apply_early(s, batch);
    s->moved_ns = now_ns;
    if (s->leaving != STAYING)
        work_return(s, UINT64_MAX, work_return_reason(s));
}

/* There is no room for the task: it is given back when all of it has come, and nothing more is taken. */
static void slots_lane_no_room(struct slots *s, const struct piece *m, const struct why *cause,
                               uint64_t now_ns)
{
    struct why why;
    lane_drop_pieces(s);
    fail(&why, ERR_DISK_FULL, "cannot take in task %llu of %llu bytes: %s",
         (unsigned long long)m->seq, (unsigned long long)m->total, cause->text);
    slots_broken(s, why.text, now_ns);
}

/* Returns false when the piece makes no sense. */
static bool slots_lane_add_piece(struct slots *s, const struct piece *m, uint64_t now_ns)
{
    struct pieces_limits limits = {.memory_max = PIECES_MEMORY_MAX,
                                   .size_max = (uint64_t)TASK_SIZE_MAX * 2,
                                   .tmpdir = s->options.tmpdir};
    struct pieces_part part = {m->seq, m->attempt, m->offset, m->total, m->content};
    struct bytes record;
    struct why why;
    bool whole;
    if (s->whole)
        lane_drop_pieces(s);
    enum error error = pieces_add(&s->pieces, &limits, &part, &whole, &record, &why);
    if (error == ERR_DISK_FULL || error == ERR_IO) {
        slots_lane_no_room(s, m, &why, now_ns);
        return true;
    }
    if (error)
        return false;
    if (whole && !(s->whole = pieces_hold(&s->pieces)))
        s->whole = block_new(&s->pieces.memory);
    s->moved_ns = now_ns;
    return true;
}

static void on_piece(struct slots *s, struct bytes body, uint64_t now_ns)
{
    struct piece m;
    bool fine = !piece_take(body, &m) && m.worker.size == 0;
    if (fine)
        s->link.lane_offset += m.content.size;
    if (fine && m.total == 0)
        lane_drop_pieces(s);
    else if (fine && s->leaving == STAYING)
        fine = slots_lane_add_piece(s, &m, now_ns);
    if (!fine) { /* as with tasks that make no sense */
        s->counts.dropped++;
        slots_link_leave(s, now_ns);
    }
}

static void on_end(struct slots *s, struct bytes body, uint64_t now_ns)
{
    uint64_t batch;
    if (number_take(body, &batch)) {
        s->counts.dropped++;
        return;
    }
    s->link.lane_ended = true;
    lane_drop_pieces(s);
    s->moved_ns = now_ns;
    work_return(s, UINT64_MAX, RETURNED_LEAVING);
}

void slots_lane_message(struct slots *s, struct bytes message, uint64_t now_ns)
{
    struct frame_head head;
    struct bytes body;
    struct token token;
    enum error error = frame_take(message, &head, &body);
    bool joined = !s->gone && !error && s->link.state == LINK_JOINED && !s->link.lane_ended &&
                  slots_link_is_current(s, &head);
    if (joined && head.kind == KIND_TASKS)
        on_tasks(s, message, now_ns);
    else if (joined && head.kind == KIND_PIECE)
        on_piece(s, body, now_ns);
    else if (joined && head.kind == KIND_END)
        on_end(s, body, now_ns);
    else if (!s->gone && !error && s->link.state == LINK_WELCOMED && head.kind == KIND_HELLO &&
             !token_take(body, &token))
        slots_link_claim(s, &token, now_ns);
    else
        s->counts.dropped++;
}
