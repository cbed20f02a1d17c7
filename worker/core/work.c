/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/core/work.h"

#include <stdio.h>

#include "worker/core/slots_state.h"

/* ---- tasks to slots ---- */

bool work_may_start(const struct slots *s)
{
    return !s->holds && s->departure.leaving == STAYING && !s->departure.stopping && !s->gone &&
           !s->lane.ended;
}

/* Above the limit of what is kept, one by one: re-queued tasks cannot be told from others. */
static uint32_t tasks_at_once(struct slots *s)
{
    if (results_full(&s->results) || halt_pause_at_one(&s->halt_pause))
        return 1;
    return meter_share(&s->meter, s->backlog.tasks, s->options.slots, s->options.batch_max);
}

static void start_in(struct slots *s, unsigned slot, uint64_t now_ns)
{
    struct backlog_run run;
    backlog_take(&s->backlog, tasks_at_once(s), &run);
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

void work_start(struct slots *s, uint64_t now_ns)
{
    if (!work_may_start(s) || halt_pause_is_on(&s->halt_pause))
        return;
    for (unsigned slot = 0; slot < s->running.count && s->backlog.tasks; slot++) {
        if (s->running.slots[slot].run.block)
            continue;
        if (!start_limit_allows(&s->start_limit, s->running.busy) || s->running.alone ||
            (s->running.busy && backlog_alone(&s->backlog)))
            return;
        start_in(s, slot, now_ns);
    }
}

void work_cancel(struct slots *s, unsigned slot, uint64_t seq)
{
    /* Else its end is known, and the turn looks whether it is wanted. */
    if (!interruptions_have(&s->interruptions, slot, seq))
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

static void evict_slot(struct slots *s, unsigned slot)
{
    uint64_t seq = 0;
    for (unsigned at = slot;
         (seq = running_wanted(&s->running, seq + 1, UINT64_MAX - 1, &at)) != 0 && at == slot;)
        work_cancel(s, slot, seq);
}

void work_evict(struct slots *s)
{
    for (unsigned slot = 0; slot < s->running.count; slot++)
        evict_slot(s, slot);
}

void work_forget(struct slots *s)
{
    work_cancel_range(s, 1, UINT64_MAX - 1);
    s->halt_pause.seq = 0;
    results_drop(&s->results);
    report_clear(&s->report);
}

/* ---- results of slots ---- */

/* The slot's assignment is over. */
static void settle_account(struct slots *s, unsigned slot, uint64_t now_ns)
{
    const struct slot *account = &s->running.slots[slot];
    meter_assignment(&s->meter, s->options.slots, account->finished, account->duration_ns,
                     now_ns - account->started_ns, now_ns);
}

/* The task has left its slot. */
static void end_task(struct slots *s, unsigned slot, uint64_t seq, uint64_t now_ns)
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
    halt_pause_result(&s->halt_pause, r);
    if (r->final)
        s->counts.finished++;
    else
        attempt_list_add(&s->report.failed, r->seq, r->attempt);
    results_put(&s->results, r, &outcome->out, &outcome->err, task->in_pieces ? task->block : NULL,
                &s->report);
}

/* What a task's end means; the outcome's files are taken over. */
static void finish_task(struct slots *s, const struct outcome *outcome, uint64_t now_ns)
{
    struct backlog_run task;
    bool wanted = false;
    bool found = running_find(&s->running, outcome->slot, outcome->seq, &task, &wanted);
    if (wanted && !s->gone && !results_have(&s->results, outcome->seq, outcome->seq)) {
        struct result r = result_of(s, &task, outcome);
        take_result(s, &r, outcome, &task);
    } else {
        outcome_discard(outcome);
        if (wanted) /* it ran twice here: the first result counts */
            seqset_add(&s->report.finished, outcome->seq, outcome->seq);
    }
    if (!found)
        return;
    s->running.slots[outcome->slot].duration_ns += outcome->duration_ns;
    s->running.slots[outcome->slot].finished++;
    start_limit_ended(&s->start_limit);
    end_task(s, outcome->slot, outcome->seq, now_ns);
}

/* ---- ends that may be interruptions ---- */

static void give_back(struct slots *s, const struct outcome *outcome, uint64_t now_ns)
{
    outcome_discard(outcome);
    seqset_add(&s->report.interrupted, outcome->seq, outcome->seq);
    end_task(s, outcome->slot, outcome->seq, now_ns);
}

/* True if the outcome was taken over: it may be an interruption. */
static bool wait_to_judge(struct slots *s, const struct outcome *outcome, uint64_t now_ns)
{
    struct backlog_run task;
    bool wanted;
    if (!interruptions_may_be(outcome) || s->gone ||
        !running_find(&s->running, outcome->slot, outcome->seq, &task, &wanted) || !wanted ||
        results_have(&s->results, outcome->seq, outcome->seq))
        return false;
    if (!s->departure.told)
        return interruptions_put(&s->interruptions, outcome, now_ns);
    give_back(s, outcome, now_ns);
    return true;
}

/* One that nobody wants any more has no result. */
static void judge_slot(struct slots *s, unsigned slot, uint64_t now_ns)
{
    struct backlog_run task;
    struct buf bytes;
    bool wanted = false;
    const struct interruption *at = interruptions_at(&s->interruptions, slot);
    if (!at)
        return;
    running_find(&s->running, at->outcome.slot, at->seq, &task, &wanted);
    if (wanted && now_ns < at->due_ns && !s->departure.told)
        return;
    struct outcome outcome = interruptions_take(&s->interruptions, slot, &bytes);
    if (wanted && s->departure.told)
        give_back(s, &outcome, now_ns);
    else
        finish_task(s, &outcome, now_ns);
    buf_free(&bytes);
}

void work_judge(struct slots *s, uint64_t now_ns)
{
    for (unsigned slot = 0; s->interruptions.count && slot < s->running.count; slot++)
        judge_slot(s, slot, now_ns);
}

/* ---- the executor's events ---- */

void slots_finished(struct slots *s, const struct outcome *outcome, uint64_t now_ns)
{
    if (!wait_to_judge(s, outcome, now_ns))
        finish_task(s, outcome, now_ns);
}

/* The records can be sent as they are. */
static bool run_fits(const struct slots *s, const struct outcome_run *run)
{
    return run->final && !s->gone && !halt_pause_at_one(&s->halt_pause) &&
           !(s->outlet.wants & ~(run->wants | WANT_COMMAND)) &&
           running_are_next(&s->running, run->slot, run->first, run->count) &&
           !results_have(&s->results, run->first, run->first + run->count - 1);
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
    results_put_run(&s->results, &records, run->failed, &s->report);
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
    if (work_may_start(s))
        put_back(s, slot, first, count);
    for (uint64_t seq = first; seq < first + count; seq++) {
        if (!running_find(&s->running, slot, seq, &task, &wanted))
            continue;
        if (wanted && !work_may_start(s))
            seqset_add(&s->report.returned, seq, seq);
        end_task(s, slot, seq, now_ns);
    }
}

void slots_cancelled(struct slots *s, unsigned slot, uint64_t seq, uint64_t now_ns)
{
    struct backlog_run task;
    bool wanted;
    if (!running_find(&s->running, slot, seq, &task, &wanted))
        return;
    if (wanted) /* it had to go for --grace: another worker may run it */
        seqset_add(&s->report.interrupted, seq, seq);
    end_task(s, slot, seq, now_ns);
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
