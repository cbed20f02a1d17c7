/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/fake_executor.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/xalloc.h"
#include "tests/sim/fate.h"
#include "tests/sim/record.h"
#include "worker/core/slots_state.h"

enum { HOLDER = 4711 /* the process that holds late output */ };

static void begin_next(struct fake_executor *e, unsigned slot);
static void end_running(void *context, uint64_t serial);

void fake_init(struct fake_executor *e, struct node *node, struct slots **core, unsigned slots)
{
    uint64_t last_serial = e->last_serial; /* events of the process before may still come */
    *e = (struct fake_executor){
        .node = node, .core = core, .slot_count = slots, .last_serial = last_serial};
    e->slots = xcalloc(slots, sizeof *e->slots);
}

void fake_free(struct fake_executor *e)
{
    for (unsigned i = 0; i < e->slot_count; i++)
        seqset_free(&e->slots[i].out);
    free(e->slots);
    free(e->done);
    e->slots = NULL;
    e->done = NULL;
    e->slot_count = 0;
}

static const struct plan_task *task_of(const struct fake_executor *e, uint64_t seq)
{
    return &e->node->sim->plan.tasks[seq - 1];
}

static void note_done(struct fake_executor *e, struct fake_done done)
{
    if (e->done_count == e->done_capacity) {
        e->done_capacity = e->done_capacity ? e->done_capacity * 2 : 16;
        e->done = xrealloc(e->done, e->done_capacity * sizeof *e->done);
    }
    e->done[e->done_count++] = done;
    node_wake(e->node, e->node->sim->now_ns);
}

/* ---- a task runs ---- */

static uint64_t running(const struct fake_slot *s)
{
    return s->assignment.first + s->at;
}

/* A task has ended when its output has: until then its slot is busy. */
static bool begins_to_linger(struct fake_executor *e, struct fake_slot *s)
{
    struct sim *sim = e->node->sim;
    uint64_t lingers_ns = task_of(e, running(s))->lingers_ns;
    if (!lingers_ns || s->killed || s->lingers || (s->end != RUN_GOOD && s->end != RUN_BAD))
        return false;
    s->lingers = true;
    s->is_told = false;
    s->ended_ns = sim->now_ns;
    s->serial = ++e->last_serial;
    node_wake(e->node, sim->now_ns);
    sim_trace(sim, e->node, "task %llu has ended, and its output has not",
              (unsigned long long)running(s));
    sim_at(sim, lingers_ns, end_running, e, s->serial);
    return true;
}

static void end_running(void *context, uint64_t serial)
{
    struct fake_executor *e = context;
    struct sim *sim = e->node->sim;
    unsigned slot = 0;
    while (slot < e->slot_count && (!e->slots[slot].busy || e->slots[slot].serial != serial))
        slot++;
    if (slot == e->slot_count)
        return;
    struct fake_slot *s = &e->slots[slot];
    if (begins_to_linger(e, s))
        return;
    uint64_t seq = running(s);
    uint32_t left = s->assignment.count - s->at - 1;
    s->at++;
    if (s->killed) {
        model_kill_run(&sim->model, seq);
        note_done(e, (struct fake_done){.kind = DONE_CANCELLED, .slot = slot, .seq = seq});
        begin_next(e, slot);
        return;
    }
    model_end_run(&sim->model, seq, s->end);
    sim->run_ended_ns = sim->now_ns;
    if (s->end == RUN_KILLS_WORKER) {
        sim_trace(sim, e->node, "is killed by task %llu", (unsigned long long)seq);
        fate_kill_worker(e->node, false);
        return;
    }
    note_done(e, (struct fake_done){.kind = DONE_FINISHED,
                                    .slot = slot,
                                    .seq = seq,
                                    .end = s->end,
                                    .last = s->assignment.last,
                                    .duration_ns =
                                        (s->lingers ? s->ended_ns : sim->now_ns) - s->since_ns});
    if ((s->end == RUN_KILLS_SLOT || s->end == RUN_INTERRUPTED) && left) {
        s->at = s->assignment.count;
        note_done(e, (struct fake_done){
                         .kind = DONE_RETURNED, .slot = slot, .seq = seq + 1, .count = left});
    }
    begin_next(e, slot);
}

/* What has a result is no danger any more, though its run may go on until it is cancelled. */
static bool is_isolated(const struct fake_executor *e, const struct fake_slot *s)
{
    const struct sim *sim = e->node->sim;
    return s->busy && s->at < s->assignment.count && !s->killed &&
           attempt_equal(sim->tap.alone[running(s)], s->assignment.attempt) &&
           !sim->model.truths[running(s)].finals;
}

bool fake_is_dying(const struct fake_executor *e)
{
    for (unsigned i = 0; i < e->slot_count; i++)
        if (e->slots[i].busy && e->slots[i].killed)
            return true;
    return false;
}

bool fake_runs_alone(const struct fake_executor *e)
{
    for (unsigned i = 0; i < e->slot_count; i++)
        if (is_isolated(e, &e->slots[i]))
            return true;
    return false;
}

/* A task that must run alone does, and no task runs beside such a one. */
static void check_alone(struct fake_executor *e, unsigned slot)
{
    struct sim *sim = e->node->sim;
    const struct fake_slot *s = &e->slots[slot];
    bool alone = is_isolated(e, s);
    for (unsigned i = 0; i < e->slot_count; i++) {
        const struct fake_slot *other = &e->slots[i];
        if (i == slot || !other->busy || other->at >= other->assignment.count || other->killed ||
            sim->model.truths[running(other)].finals || sim->model.truths[running(s)].finals)
            continue;
        if (alone || is_isolated(e, other))
            sim_violation(sim, "task %llu runs beside %llu on %s, and %llu is to run alone",
                          (unsigned long long)running(s), (unsigned long long)running(other),
                          e->node->name, (unsigned long long)(alone ? running(s) : running(other)));
    }
}

/* What is run twice (--hedge) is so by two workers. */
static void check_twin(struct fake_executor *e, unsigned slot)
{
    struct sim *sim = e->node->sim;
    uint64_t seq = running(&e->slots[slot]);
    for (unsigned i = 0; i < e->slot_count; i++) {
        const struct fake_slot *other = &e->slots[i];
        if (i != slot && other->busy && !other->killed && other->at < other->assignment.count &&
            running(other) == seq && !sim->model.disturbed)
            sim_violation(sim, "task %llu runs twice on %s", (unsigned long long)seq,
                          e->node->name);
    }
}

static void begin_next(struct fake_executor *e, unsigned slot)
{
    struct sim *sim = e->node->sim;
    struct fake_slot *s = &e->slots[slot];
    while (s->at < s->assignment.count && seqset_has(&s->out, running(s))) {
        record_take(&s->rest, running(s), task_of(e, running(s))->size);
        s->at++;
    }
    if (s->at >= s->assignment.count)
        return;
    uint64_t seq = running(s);
    if (!record_take(&s->rest, seq, task_of(e, seq)->size))
        sim_violation(sim, "task %llu reached %s with other bytes", (unsigned long long)seq,
                      e->node->name);
    check_alone(e, slot);
    check_twin(e, slot);
    s->end = model_begin_run(&sim->model, seq);
    const char *wrong = model_company(&sim->model, seq);
    if (wrong)
        sim_violation(sim, "%s", wrong);
    e->node->runs++;
    s->killed = s->lingers = false;
    s->since_ns = sim->now_ns;
    s->serial = ++e->last_serial;
    uint64_t duration_ns = task_of(e, seq)->duration_ns * e->node->slowness;
    if (s->end == RUN_KILLS_WORKER)
        duration_ns = rng_below(&sim->fate, 30 * NS_PER_MS);
    sim_trace(sim, e->node, "runs task %llu/%u", (unsigned long long)seq,
              s->assignment.attempt.number);
    sim_at(sim, duration_ns, end_running, e, s->serial);
}

/* ---- --halt ---- */

/* By itself, so that its output may be late. */
static bool is_ended(enum run_end end)
{
    return end == RUN_GOOD || end == RUN_BAD;
}

/* With --halt and a count of 1 the first such result must end the job (G7). */
static void note_halting(struct fake_executor *e, const struct fake_done *done)
{
    const struct halt_rule *rule = &e->node->sim->plan.halt;
    bool is_ok = done->end == RUN_GOOD;
    bool counts = rule->why == HALT_DONE || (rule->why == HALT_SUCCESS) == is_ok;
    bool is_final = is_ok || (done->last && is_ended(done->end));
    if (rule->when && !rule->percent && rule->count == 1 && counts && is_final && !e->halting &&
        results_have(&(*e->core)->results, done->seq, done->seq))
        e->halting = done->seq;
}

static void check_halting(struct fake_executor *e, uint64_t seq)
{
    if (e->halting && !seqset_has(&e->node->sim->tap.told, e->halting))
        sim_violation(e->node->sim,
                      "G7: %s begins task %llu though its result of %llu halts the job",
                      e->node->name, (unsigned long long)seq, (unsigned long long)e->halting);
}

/* ---- the executor's interface ---- */

void fake_start(struct fake_executor *e, const struct assignment *assignment)
{
    struct fake_slot *s = &e->slots[assignment->slot];
    uint64_t now_ns = e->node->sim->now_ns;
    check_halting(e, assignment->first);
    if (s->busy)
        sim_violation(e->node->sim, "%s starts a task in a slot that is not free", e->node->name);
    if (e->broken) {
        slots_returned(*e->core, assignment->slot, assignment->first, assignment->count, now_ns);
        slots_broken(*e->core, "no processes to be had", now_ns);
        return;
    }
    seqset_clear(&s->out);
    s->assignment = *assignment;
    s->rest = assignment->records;
    s->at = 0;
    s->busy = true;
    begin_next(e, assignment->slot);
}

void fake_cancel(struct fake_executor *e, unsigned slot, uint64_t seq)
{
    struct fake_slot *s = &e->slots[slot];
    struct sim *sim = e->node->sim;
    uint64_t end = s->assignment.first + s->assignment.count;
    if (!s->busy || s->at >= s->assignment.count || seq < running(s) || seq >= end ||
        seqset_has(&s->out, seq))
        return;
    sim_trace(sim, e->node, "cancels task %llu", (unsigned long long)seq);
    if (seq == running(s)) {
        s->killed = true;
        s->serial = ++e->last_serial;
        uint64_t most_ns = rng_chance(&sim->fate, 10) ? 2 * NS_PER_S : 20 * NS_PER_MS;
        sim_at(sim, rng_below(&sim->fate, most_ns), end_running, e, s->serial);
        return;
    }
    seqset_add(&s->out, seq, seq);
    slots_cancelled(*e->core, slot, seq, sim->now_ns);
}

void fake_interrupt(struct fake_executor *e)
{
    struct sim *sim = e->node->sim;
    for (unsigned i = 0; i < e->slot_count; i++) {
        struct fake_slot *s = &e->slots[i];
        if (!s->busy || s->at >= s->assignment.count || s->killed)
            continue;
        sim_trace(sim, e->node, "interrupts task %llu", (unsigned long long)running(s));
        if (!s->lingers) /* else it has ended before, and only who holds its output is interrupted */
            s->end = RUN_INTERRUPTED;
        s->serial = ++e->last_serial;
        sim_at(sim, rng_below(&sim->fate, FAKE_INTERRUPT_NS), end_running, e, s->serial);
    }
}

/* How the process ended that the task had. */
static void set_end(struct sim *sim, enum run_end end, struct outcome *outcome)
{
    static const unsigned signals[] = {SIGTERM, SIGINT, SIGHUP, SIGXCPU, SIGKILL};
    outcome->own_end = true;
    outcome->status = end == RUN_GOOD  ? RESULT_OK
                      : end == RUN_BAD ? RESULT_EXITED
                                       : RESULT_SIGNALED;
    outcome->code = end == RUN_GOOD ? 0 : end == RUN_BAD ? 9 : SIGSEGV;
    if (end != RUN_INTERRUPTED)
        return;
    outcome->code = signals[rng_below(&sim->fate, sizeof signals / sizeof *signals)];
    if (rng_chance(&sim->fate, 30)) { /* it handled that, and says so as shells do */
        outcome->status = RESULT_EXITED;
        outcome->code += 128;
    }
}

static void tell_finished(struct fake_executor *e, const struct fake_done *done)
{
    struct sim *sim = e->node->sim;
    const struct plan_task *task = task_of(e, done->seq);
    struct buf out = {0};
    record_output(&out, done->seq, task->out_size);
    struct outcome outcome = {.slot = done->slot,
                              .seq = done->seq,
                              .duration_ns = done->duration_ns,
                              .cut = task->cut && is_ended(done->end),
                              .cut_by = HOLDER,
                              .out = {.bytes = buf_bytes(&out), .fd = -1},
                              .err = {.fd = -1}};
    set_end(sim, done->end, &outcome);
    if (task->out_in_file) {
        outcome.out.fd = memfd_create("zfarm-sim", MFD_CLOEXEC);
        if (outcome.out.fd < 0 || write(outcome.out.fd, out.data, out.size) != (ssize_t)out.size)
            sim_violation(sim, "the simulator cannot make a file");
        outcome.out.size = out.size;
    }
    slots_finished(*e->core, &outcome, sim->now_ns);
    note_halting(e, done);
    buf_free(&out);
}

/* Of the plugin's kind: it tells results in runs (outcome_run). */
static bool tells_runs(const struct fake_executor *e)
{
    return e->node->sim->plan.batch_max == PLAN_BATCH_OF_PLUGINS;
}

/* The result can be told together with those in `run`, which may be empty. */
static bool fits_run(const struct fake_executor *e, const struct outcome_run *run,
                     const struct fake_done *done)
{
    const struct plan_task *task = task_of(e, done->seq);
    return done->kind == DONE_FINISHED && done->end != RUN_INTERRUPTED && !task->out_in_file &&
           task->out_size < RESULT_INLINE_MAX / 2 &&
           (!run->count || (run->slot == done->slot && run->first + run->count == done->seq &&
                            run->final == (done->end == RUN_GOOD || done->last)));
}

static void add_to_run(struct fake_executor *e, struct outcome_run *run, struct buf *records,
                       const struct fake_done *done)
{
    const struct plan_task *task = task_of(e, done->seq);
    struct buf out = {0}, record = {0};
    record_output(&out, done->seq, task->out_size);
    record_put(&record, done->seq, task->size);
    struct bytes rest = buf_bytes(&record);
    struct task content;
    task_take(&rest, &content);
    bool ok = done->end == RUN_GOOD;
    struct result r = {.status = ok ? RESULT_OK : RESULT_EXITED,
                       .code = ok ? 0 : 9,
                       .final = ok || done->last,
                       .start_us = 1,
                       .duration_ns = done->duration_ns,
                       .task = buf_bytes(&record),
                       .has_hash = true,
                       .hash = task_hash(content),
                       .out = buf_bytes(&out)};
    if (!run->count)
        *run = (struct outcome_run){
            .slot = done->slot, .first = done->seq, .final = r.final, .wants = WANT_ALL};
    result_put(records, &r);
    run->count++;
    run->failed += !ok;
    run->duration_ns += done->duration_ns;
    buf_free(&out);
    buf_free(&record);
}

/* Tells what begins at the i-th of what is done; returns how many that is. */
static size_t tell_run(struct fake_executor *e, size_t i)
{
    struct outcome_run run = {0};
    struct buf records = {0};
    while (i + run.count < e->done_count && fits_run(e, &run, &e->done[i + run.count]))
        add_to_run(e, &run, &records, &e->done[i + run.count]);
    run.records = buf_bytes(&records);
    if (run.count)
        slots_finished_run(*e->core, &run, e->node->sim->now_ns);
    buf_free(&records);
    return run.count;
}

void fake_hurry(struct fake_executor *e)
{
    for (unsigned i = 0; i < e->slot_count; i++) {
        struct fake_slot *s = &e->slots[i];
        if (!s->busy || !s->killed || s->at >= s->assignment.count)
            continue;
        s->serial = ++e->last_serial;
        sim_at(e->node->sim, NS_PER_MS, end_running, e, s->serial);
    }
}

static void tell_held(struct fake_executor *e)
{
    for (unsigned i = 0; i < e->slot_count; i++)
        if (e->slots[i].busy && e->slots[i].lingers && !e->slots[i].is_told) {
            e->slots[i].is_told = true;
            slots_held(*e->core, i, HOLDER, "sleep");
        }
}

void fake_turn(struct fake_executor *e)
{
    uint64_t now_ns = e->node->sim->now_ns;
    tell_held(e);
    for (size_t i = 0; i < e->done_count; i++) {
        size_t told = tells_runs(e) ? tell_run(e, i) : 0;
        if (told) {
            i += told - 1;
            continue;
        }
        const struct fake_done done = e->done[i];
        if (done.kind == DONE_FINISHED)
            tell_finished(e, &done);
        else if (done.kind == DONE_CANCELLED)
            slots_cancelled(*e->core, done.slot, done.seq, now_ns);
        else
            slots_returned(*e->core, done.slot, done.seq, done.count, now_ns);
    }
    e->done_count = 0;
    for (unsigned i = 0; i < e->slot_count; i++)
        if (e->slots[i].busy && e->slots[i].at >= e->slots[i].assignment.count)
            e->slots[i].busy = false;
}
