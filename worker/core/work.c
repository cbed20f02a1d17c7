/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>

#include "worker/core/slots_state.h"

bool work_kept_full(const struct slots *s)
{
    return kept_size_bytes(&s->kept) + s->large.size_bytes > s->options.kept_max_bytes ||
           large_full(&s->large);
}

bool work_all_stored(const struct slots *s)
{
    return kept_empty(&s->kept) && s->large.count == 0;
}

/* ---- tasks to slots ---- */

static bool may_start(const struct slots *s)
{
    return !s->holds && s->leaving == STAYING && !s->stopping && !s->gone && !s->link.lane_ended;
}

/* A rule that one result of this worker fulfils. */
static bool halts_at_one(const struct slots *s)
{
    return s->hold.rule.when != HALT_NEVER && s->hold.rule.count == 1;
}

static void hold_if_halting(struct slots *s, const struct result *r)
{
    enum halt_why why = s->hold.rule.why;
    bool is_ok = r->status == RESULT_OK;
    if (!halts_at_one(s) || s->hold.seq || !r->final || why == (is_ok ? HALT_FAIL : HALT_SUCCESS))
        return;
    s->hold.seq = r->seq;
    s->hold.until_ns = NEVER;
}

void work_start(struct slots *s, uint64_t now_ns)
{
    if (!may_start(s) || s->hold.seq)
        return;
    for (unsigned slot = 0; slot < s->running.count && s->backlog.tasks; slot++) {
        if (s->running.slots[slot].run.block)
            continue;
        if (!short_may_start(s))
            return;
        if (s->running.alone || (s->running.busy && backlog_alone(&s->backlog)))
            return;
        /* Above the limit of what is kept, one by one: re-queued tasks cannot be told from others.
         */
        uint32_t max =
            work_kept_full(s) || halts_at_one(s)
                ? 1
                : meter_share(&s->meter, s->backlog.tasks, s->options.slots, s->options.batch_max);
        struct backlog_run run;
        backlog_take(&s->backlog, max, &run);
        running_start(&s->running, slot, &run, now_ns);
        actions_start(&s->actions, &(struct assignment){.slot = slot,
                                                        .first = run.first,
                                                        .count = (uint32_t)run.count,
                                                        .attempt = run.attempt,
                                                        .tries = run.tries,
                                                        .last = run.last,
                                                        .wants = s->outlet.wants,
                                                        .records = run.records,
                                                        .block = run.block});
        s->moved_ns = now_ns;
    }
}

void work_cancel(struct slots *s, unsigned slot, uint64_t seq)
{
    if (!held_has(s, slot,
                  seq)) /* else its end is known, and the turn looks whether it is wanted */
        actions_cancel(&s->actions, slot, seq);
}

void work_cancel_range(struct slots *s, uint64_t first, uint64_t last)
{
    uint64_t seq;
    for (unsigned slot = 0; (seq = running_wanted(&s->running, first, last, &slot)) != 0;) {
        running_unwant(&s->running, seq, NULL, &slot);
        work_cancel(s, slot, seq);
    }
    if (s->backlog.tasks)
        backlog_remove(&s->backlog, first, last, NULL);
}

void work_forget(struct slots *s)
{
    work_cancel_range(s, 1, UINT64_MAX - 1);
    s->hold.seq = 0;
    kept_drop(&s->kept);
    large_free(&s->large);
    seqset_clear(&s->report.finished);
    seqset_clear(&s->report.returned);
    seqset_clear(&s->report.interrupted);
    s->report.failed.count = 0;
    s->report.not_ok = 0;
}

/* ---- results of slots ---- */

/* The slot's assignment is over. */
static void settle_account(struct slots *s, unsigned slot, uint64_t now_ns)
{
    const struct slot *account = &s->running.slots[slot];
    meter_assignment(&s->meter, s->options.slots, account->finished, account->duration_ns,
                     now_ns - account->started_ns, now_ns);
}

void work_end_task(struct slots *s, unsigned slot, uint64_t seq, uint64_t now_ns)
{
    if (running_end(&s->running, slot, seq, now_ns))
        settle_account(s, slot, now_ns);
    s->moved_ns = now_ns;
}

static struct result result_of(const struct slots *s, const struct backlog_run *task,
                               const struct outcome *outcome)
{
    uint64_t wants = s->outlet.wants;
    struct result r = {.seq = outcome->seq,
                       .attempt = task->attempt,
                       .tries = task->tries,
                       .status = outcome->status,
                       .final = outcome->status == RESULT_OK || task->last,
                       .code = outcome->code,
                       .cut = outcome->cut,
                       .cut_pid = (uint64_t)outcome->cut_by};
    if (wants & WANT_TIMES) {
        r.start_us = outcome->start_us;
        r.duration_ns = outcome->duration_ns;
    }
    if (wants & WANT_TASK)
        r.task = task->records;
    if (wants & WANT_COMMAND)
        r.command = outcome->command;
    if (wants & WANT_HASH) {
        struct bytes records = task->records;
        struct task content;
        r.has_hash = !task_take(&records, &content);
        r.hash = r.has_hash ? task_hash(content) : r.hash;
        if (task->in_pieces)
            block_cool(task->block, task->records);
    }
    return r;
}

static void take_result(struct slots *s, struct result *r, const struct outcome *outcome,
                        const struct backlog_run *task)
{
    hold_if_halting(s, r);
    if (r->final)
        s->counts.finished++;
    else
        attempt_list_add(&s->report.failed, r->seq, r->attempt);
    size_t inline_max = s->outlet.is_careful ? FRAME_CAREFUL : RESULT_INLINE_MAX;
    if (large_fits(r, &outcome->out, &outcome->err, inline_max)) {
        large_put(&s->large, r, &outcome->out, &outcome->err, task->in_pieces ? task->block : NULL);
        return;
    }
    r->out = outcome->out.bytes;
    r->err = outcome->err.bytes;
    if (kept_put(&s->kept, r))
        kept_close(&s->kept, &s->report.finished, &s->report.not_ok);
}

bool work_has_final(const struct slots *s, uint64_t first, uint64_t last)
{
    return kept_has(&s->kept, first, last) ||
           (s->large.count && seqset_count_in(&s->large.tasks, first, last));
}

void work_discard(const struct outcome *outcome)
{
    output_discard(&outcome->out);
    output_discard(&outcome->err);
}

void work_finish(struct slots *s, const struct outcome *outcome, uint64_t now_ns)
{
    struct backlog_run task;
    bool wanted = false;
    bool found = running_find(&s->running, outcome->slot, outcome->seq, &task, &wanted);
    if (wanted && !s->gone && !work_has_final(s, outcome->seq, outcome->seq)) {
        struct result r = result_of(s, &task, outcome);
        take_result(s, &r, outcome, &task);
    } else {
        work_discard(outcome);
        if (wanted) /* it ran twice here: the first result counts */
            seqset_add(&s->report.finished, outcome->seq, outcome->seq);
    }
    if (!found)
        return;
    s->running.slots[outcome->slot].duration_ns += outcome->duration_ns;
    s->running.slots[outcome->slot].finished++;
    short_note_end(s);
    work_end_task(s, outcome->slot, outcome->seq, now_ns);
}

void work_let_go(struct slots *s, uint64_t now_ns)
{
    struct hold *hold = &s->hold;
    if (hold->seq && hold->until_ns == NEVER && !work_has_final(s, hold->seq, hold->seq))
        hold->until_ns = now_ns + s->link.heartbeat_ns;
    if (hold->seq && now_ns >= hold->until_ns)
        hold->seq = 0;
}

void slots_finished(struct slots *s, const struct outcome *outcome, uint64_t now_ns)
{
    if (!held_take(s, outcome, now_ns))
        work_finish(s, outcome, now_ns);
}

/* The records can be sent as they are. */
static bool run_fits(const struct slots *s, const struct outcome_run *run)
{
    return run->final && !s->gone && !halts_at_one(s) &&
           !(s->outlet.wants & ~(run->wants | WANT_COMMAND)) &&
           running_are_next(&s->running, run->slot, run->first, run->count) &&
           !work_has_final(s, run->first, run->first + run->count - 1);
}

static void finish_one_by_one(struct slots *s, struct outcome_run run, uint64_t now_ns)
{
    struct outcome outcome;
    uint64_t duration_ns = run.duration_ns / run.count;
    while (outcome_run_next(&run, &outcome)) {
        outcome.duration_ns = outcome.duration_ns ? outcome.duration_ns : duration_ns;
        slots_finished(s, &outcome, now_ns);
    }
}

void slots_finished_run(struct slots *s, const struct outcome_run *run, uint64_t now_ns)
{
    if (!run_fits(s, run)) {
        finish_one_by_one(s, *run, now_ns);
        return;
    }
    struct slot *slot = &s->running.slots[run->slot];
    struct result_run records = {.first = run->first,
                                 .count = run->count,
                                 .attempt = slot->run.attempt,
                                 .tries = slot->run.tries,
                                 .records = run->records};
    s->counts.finished += run->count;
    if (kept_put_run(&s->kept, &records, run->failed))
        kept_close(&s->kept, &s->report.finished, &s->report.not_ok);
    slot->duration_ns += run->duration_ns;
    slot->finished += run->count;
    if (running_end_next(&s->running, run->slot, run->count, now_ns))
        settle_account(s, run->slot, now_ns);
    s->moved_ns = now_ns;
}

/* Back into the backlog, in front and in order: records that lie side by side become one run again.
 */
static void put_back(struct slots *s, unsigned slot, uint64_t first, uint32_t count)
{
    struct backlog_run task, run = {0};
    bool wanted;
    for (uint64_t seq = first + count; seq-- > first;) {
        if (!running_find(&s->running, slot, seq, &task, &wanted) || !wanted)
            continue;
        if (run.count && task.records.data + task.records.size == run.records.data) {
            run.records = (struct bytes){task.records.data, task.records.size + run.records.size};
            run.first = seq;
            run.count++;
            continue;
        }
        if (run.count)
            backlog_put_back(&s->backlog, &run);
        run = task;
    }
    if (run.count)
        backlog_put_back(&s->backlog, &run);
}

void slots_returned(struct slots *s, unsigned slot, uint64_t first, uint32_t count, uint64_t now_ns)
{
    struct backlog_run task;
    bool wanted;
    if (may_start(s))
        put_back(s, slot, first, count);
    for (uint64_t seq = first; seq < first + count; seq++) {
        if (!running_find(&s->running, slot, seq, &task, &wanted))
            continue;
        if (wanted && !may_start(s))
            seqset_add(&s->report.returned, seq, seq);
        work_end_task(s, slot, seq, now_ns);
    }
}

void work_interrupted(struct slots *s, uint64_t seq)
{
    seqset_add(&s->report.interrupted, seq, seq);
}

void slots_cancelled(struct slots *s, unsigned slot, uint64_t seq, uint64_t now_ns)
{
    struct backlog_run task;
    bool wanted;
    if (!running_find(&s->running, slot, seq, &task, &wanted))
        return;
    if (wanted) /* it had to go for --grace: another worker may run it */
        work_interrupted(s, seq);
    work_end_task(s, slot, seq, now_ns);
}

void slots_stopped(struct slots *s, unsigned slot, bool stopped)
{
    if (slot < s->running.count)
        s->running.slots[slot].stopped = stopped;
}

void slots_held(struct slots *s, unsigned slot, uint64_t pid, const char *command)
{
    if (slot >= s->running.count || !s->running.slots[slot].run.block)
        return;
    struct slot *at = &s->running.slots[slot];
    at->held = true;
    at->held_by = pid;
    snprintf(at->held_command, sizeof at->held_command, "%s", command);
}

/* ---- reports ---- */

static void say_returned(struct slots *s, struct seqset *tasks, enum returned_reason reason)
{
    struct returned m = {.tasks = *tasks, .reason = reason};
    struct buf message = say_begin(s, KIND_RETURNED);
    returned_put(&message, &m);
    say(s, &message);
    seqset_clear(tasks);
}

void work_say_interrupted(struct slots *s)
{
    if (seqset_empty(&s->report.interrupted))
        return;
    if (slots_link_in_session(s))
        say_returned(s, &s->report.interrupted, RETURNED_INTERRUPTED);
    else
        seqset_clear(&s->report.interrupted);
}

void work_return(struct slots *s, uint64_t max, enum returned_reason reason)
{
    backlog_give_back(&s->backlog, max, &s->report.returned);
    if (slots_link_in_session(s))
        say_returned(s, &s->report.returned, reason);
    else
        seqset_clear(&s->report.returned); /* the next JOIN does not name them */
}

enum returned_reason work_return_reason(const struct slots *s)
{
    return s->leaving == BROKEN ? RETURNED_NOT_STARTED : RETURNED_LEAVING;
}

static void say_finished(struct slots *s)
{
    struct finished m = {.tasks = s->report.finished, .failed = s->report.not_ok};
    struct buf message = say_begin(s, KIND_FINISHED);
    finished_put(&message, &m);
    say(s, &message);
    seqset_clear(&s->report.finished);
    s->report.not_ok = 0;
}

static void say_failed(struct slots *s)
{
    struct buf message = say_begin(s, KIND_FAILED);
    attempt_list_put(&message, &s->report.failed);
    say(s, &message);
    s->report.failed.count = 0;
}

static bool gives_back(const struct report *r)
{
    return !seqset_empty(&r->returned) || !seqset_empty(&r->interrupted);
}

static bool has_news(const struct slots *s)
{
    const struct report *r = &s->report;
    return slots_link_in_session(s) && (s->kept.open.results || !seqset_empty(&r->finished) ||
                                        r->failed.count || gives_back(r));
}

static uint64_t report_due_ns(const struct slots *s)
{
    const struct report *r = &s->report;
    uint64_t due_ns = r->flushed_ns + FLUSH_NS, idle_due_ns = r->idle_ns;
    if (idle_due_ns != NEVER && !r->failed.count && !gives_back(r))
        idle_due_ns += IDLE_FLUSH_NS;
    return idle_due_ns < due_ns ? idle_due_ns : due_ns;
}

bool work_report(struct slots *s, uint64_t now_ns)
{
    struct report *r = &s->report;
    if (s->running.busy)
        r->idle_ns = NEVER;
    else if (r->idle_ns == NEVER)
        r->idle_ns = now_ns;
    bool due = now_ns >= report_due_ns(s);
    bool reports = has_news(s) && due;
    if (s->running.busy == 0 || reports)
        kept_close(&s->kept, &r->finished, &r->not_ok);
    if (reports) {
        if (!seqset_empty(&r->finished))
            say_finished(s);
        if (r->failed.count)
            say_failed(s);
        if (!seqset_empty(&r->returned))
            say_returned(s, &r->returned, work_return_reason(s));
        work_say_interrupted(s);
        r->flushed_ns = now_ns;
    }
    outlet_send(s, now_ns);
    return reports;
}

/* ---- credit ---- */

static struct holding holding_of(const struct slots *s)
{
    bool open = s->link.state == LINK_JOINED && s->outlet.state == OUTLET_UP &&
                s->outlet.stuck_ns == NEVER && may_start(s) && !s->hold.seq;
    return (struct holding){.slots = s->options.slots,
                            .busy = s->running.busy,
                            .unstarted = s->backlog.tasks,
                            .held_bytes = s->backlog.size_bytes + s->running.size_bytes,
                            .received = s->link.received,
                            .received_bytes = s->link.received_bytes,
                            .ordinary = open && !work_kept_full(s),
                            .reserve = open};
}

static void say_credit(struct slots *s, struct credit credit)
{
    credit.received_batch = s->link.lane_batch;
    credit.received_offset = s->link.lane_offset;
    struct buf message = say_begin(s, KIND_CREDIT);
    credit_put(&message, &credit);
    say(s, &message);
    s->link.credit = credit;
}

void work_credit(struct slots *s, bool in_passing)
{
    if (s->link.state != LINK_JOINED)
        return;
    struct holding holding = holding_of(s);
    struct credit credit = credit_of(&s->meter, &holding, &s->link.credit);
    if (credit_is_due(&s->link.credit, &credit, &holding, in_passing))
        say_credit(s, credit);
}

void work_acknowledge(struct slots *s)
{
    const struct credit *told = &s->link.credit;
    if (s->link.state == LINK_JOINED && (told->received_batch != s->link.lane_batch ||
                                         told->received_offset != s->link.lane_offset))
        say_credit(s, *told);
}

uint64_t work_deadline(const struct slots *s)
{
    uint64_t due_ns = has_news(s) ? report_due_ns(s) : NEVER;
    return s->hold.seq && s->hold.until_ns < due_ns ? s->hold.until_ns : due_ns;
}
