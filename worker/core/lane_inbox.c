/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/core/lane_inbox.h"

#include "worker/core/reports.h"
#include "worker/core/session.h"
#include "worker/core/slots_state.h"

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

/* Adds all runs to the backlog; returns false as soon as one makes no sense. */
static bool add_runs(struct slots *s, struct block *block, uint64_t incarnation, struct bytes runs)
{
    struct task_run run;
    while (runs.size > 0) {
        if (task_run_take(&runs, &run))
            return false;
        bool in_pieces = run.flags & TASK_PIECES;
        if (in_pieces && s->departure.leaving != STAYING) { /* the pieces were not taken */
            seqset_add(&s->report.returned, run.first, run.first);
            continue;
        }
        if (in_pieces && !worker_lane_whole(&s->lane, incarnation, &run))
            return false;
        struct backlog_run item = {.block = in_pieces ? s->lane.whole : block,
                                   .records = run.records,
                                   .first = run.first,
                                   .count = run.count,
                                   .attempt = {incarnation, run.number},
                                   .tries = run.tries,
                                   .in_pieces = in_pieces,
                                   .last = run.flags & TASK_LAST,
                                   .alone = run.flags & TASK_ALONE};
        backlog_add(&s->backlog, &item);
        s->lane.received += run.count;
        s->lane.received_bytes += backlog_run_credit(&item);
        if (in_pieces)
            worker_lane_drop_pieces(&s->lane);
        drop_kept(s, &s->results.kept.tasks, &run);
        drop_kept(s, &s->results.large.tasks, &run);
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
                batch > s->lane.batch && add_runs(s, block, head.incarnation, runs);
    block_release(&block);
    if (!fine) {
        /* What was in it is known to the ventilator only: a new session sorts that out. */
        s->counts.dropped++;
        session_leave(s, now_ns);
        return;
    }
    worker_lane_reached(&s->lane, batch, &s->backlog);
    s->moved_ns = now_ns;
    if (s->departure.leaving != STAYING)
        reports_return(s, UINT64_MAX, reports_return_reason(s));
}

/* There is no room for the task: it is given back when all of it has come, and nothing more is taken. */
static void lane_no_room(struct slots *s, const struct piece *m, const struct why *cause,
                         uint64_t now_ns)
{
    struct why why;
    worker_lane_drop_pieces(&s->lane);
    fail(&why, ERR_DISK_FULL, "cannot take in task %llu of %llu bytes: %s",
         (unsigned long long)m->seq, (unsigned long long)m->total, cause->text);
    slots_broken(s, why.text, now_ns);
}

/* Returns false when the piece makes no sense. */
static bool lane_take_piece(struct slots *s, const struct piece *m, uint64_t now_ns)
{
    struct why why;
    enum error error = worker_lane_add_piece(&s->lane, m, s->options.tmpdir, &why);
    if (error == ERR_DISK_FULL || error == ERR_IO)
        lane_no_room(s, m, &why, now_ns);
    else if (!error)
        s->moved_ns = now_ns;
    return !error || error == ERR_DISK_FULL || error == ERR_IO;
}

static void on_piece(struct slots *s, struct bytes body, uint64_t now_ns)
{
    struct piece m;
    bool fine = !piece_take(body, &m) && m.worker.size == 0;
    if (fine)
        s->lane.offset += m.content.size;
    if (fine && m.total == 0)
        worker_lane_drop_pieces(&s->lane);
    else if (fine && s->departure.leaving == STAYING)
        fine = lane_take_piece(s, &m, now_ns);
    if (!fine) { /* as with tasks that make no sense */
        s->counts.dropped++;
        session_leave(s, now_ns);
    }
}

static void on_end(struct slots *s, struct bytes body, uint64_t now_ns)
{
    uint64_t batch;
    if (number_take(body, &batch)) {
        s->counts.dropped++;
        return;
    }
    s->lane.ended = true;
    worker_lane_drop_pieces(&s->lane);
    s->moved_ns = now_ns;
    reports_return(s, UINT64_MAX, RETURNED_LEAVING);
}

void lane_inbox_message(struct slots *s, struct bytes message, uint64_t now_ns)
{
    struct frame_head head;
    struct bytes body;
    struct token token;
    enum error error = frame_take(message, &head, &body);
    bool joined = !s->gone && !error && s->control.member.state == MEMBER_JOINED &&
                  !s->lane.ended && member_is_current(&s->control.member, &head);
    if (joined && head.kind == KIND_TASKS)
        on_tasks(s, message, now_ns);
    else if (joined && head.kind == KIND_PIECE)
        on_piece(s, body, now_ns);
    else if (joined && head.kind == KIND_END)
        on_end(s, body, now_ns);
    else if (!s->gone && !error && s->control.member.state == MEMBER_WELCOMED &&
             head.kind == KIND_HELLO && !token_take(body, &token))
        session_claim(s, &token, now_ns);
    else
        s->counts.dropped++;
}
