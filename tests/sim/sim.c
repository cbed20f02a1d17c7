/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/xalloc.h"
#include "tests/sim/cable.h"
#include "tests/sim/digest.h"
#include "tests/sim/fate.h"
#include "tests/sim/node.h"
#include "tests/sim/supervision.h"

#define WATCH_NS (50 * NS_PER_MS)
#define CALM_NS (4 * NS_PER_S) /* after something went wrong, before idling is judged */
/* Where answers came late in the last seconds, silence is waited for up to ten limits (docs/protocol.md, 18.7). */
#define LATENESS_FADES_NS (10 * NS_PER_S)
#define LONGEST_SILENCE_NS (30 * NS_PER_S)
/* Within which a run without faults must end, besides its work. */
#define PEACE_NS (100 * NS_PER_S)
/* A worker that did not hear of the end looks for it so long. */
#define GIVE_UP_NS (70 * NS_PER_S)

enum { EVENTS_MAX = 1500000, EVENTS_MAX_A_TASK = 200, EVENTS_MAX_A_WORKER = 5000 };

void sim_at(struct sim *sim, uint64_t delay_ns, agenda_function *run, void *context,
            uint64_t argument)
{
    agenda_add(&sim->agenda, sim->now_ns + delay_ns, run, context, argument);
}

void sim_violation(struct sim *sim, const char *format, ...)
{
    if (sim->violation[0])
        return;
    va_list args;
    va_start(args, format);
    int size = snprintf(sim->violation, sizeof sim->violation,
                        "at %.6f s: ", (double)(sim->now_ns - sim->began_ns) / 1e9);
    vsnprintf(sim->violation + size, sizeof sim->violation - (size_t)size, format, args);
    va_end(args);
    sim_trace(sim, NULL, "VIOLATION %s", sim->violation);
}

void sim_trace(const struct sim *sim, const struct node *who, const char *format, ...)
{
    if (!sim->traced)
        return;
    va_list args;
    va_start(args, format);
    printf("%11.6f %-3s ", (double)(sim->now_ns - sim->began_ns) / 1e9, who ? who->name : "");
    vprintf(format, args);
    printf("\n");
    va_end(args);
}

void sim_disturb(struct sim *sim, uint64_t for_ns)
{
    if (sim->now_ns + for_ns > sim->disturbed_ns)
        sim->disturbed_ns = sim->now_ns + for_ns;
}

void sim_slows(struct sim *sim, uint64_t for_ns)
{
    if (sim->now_ns + for_ns > sim->late_ns)
        sim->late_ns = sim->now_ns + for_ns;
}

void sim_falls_silent(struct sim *sim)
{
    if (sim->now_ns < sim->late_ns + LATENESS_FADES_NS)
        sim_disturb(sim, (sim->late_ns > sim->now_ns ? sim->late_ns - sim->now_ns : 0) +
                             LONGEST_SILENCE_NS);
}

bool sim_is_calm(const struct sim *sim)
{
    return sim->now_ns > sim->disturbed_ns + CALM_NS && sim->ventilator->up && sim->sink->up;
}

struct node *sim_add_worker(struct sim *sim, unsigned slots)
{
    if (sim->worker_count == sim->worker_max)
        return NULL;
    struct node *worker = worker_node_new(sim, sim->worker_count, slots);
    sim->workers[sim->worker_count++] = worker;
    return worker;
}

/* ---- G5: one that stalls does not hold up the others ---- */

/* What a worker has is run elsewhere within that time, and nothing else takes longer than the work. */
#define STALL_NS (15 * NS_PER_S)
/* Where little gets through, its worker is trusted with tasks again, a few times. */
#define LARGE_STALL_NS (45 * NS_PER_S)

void sim_stalls(struct sim *sim, const struct node *worker, bool only_large)
{
    const struct plan *plan = &sim->plan;
    uint64_t left_ns = 0, longest_ns = 0, begins_ns = plan->input_ends_ns, slots = 0;
    for (size_t i = 0; i < plan->task_count; i++) {
        uint64_t duration_ns = plan->tasks[i].duration_ns + plan->tasks[i].lingers_ns;
        left_ns += sim->model.truths[i + 1].finals ? 0 : duration_ns;
        longest_ns = duration_ns > longest_ns ? duration_ns : longest_ns;
    }
    for (unsigned i = 0; i < plan->worker_count; i++) {
        slots += i == worker->index ? 0 : plan->workers[i].slots;
        if (plan->workers[i].starts_ns > begins_ns)
            begins_ns = plan->workers[i].starts_ns;
    }
    begins_ns += sim->began_ns + 3 * NS_PER_S; /* whoever came before the ventilator tries again */
    sim->due_ns = (begins_ns > sim->now_ns ? begins_ns : sim->now_ns) +
                  (only_large ? LARGE_STALL_NS : STALL_NS) + left_ns / slots + longest_ns;
}

static void judge_stall(struct sim *sim)
{
    /* The ventilator waits for the silent one a while longer, and all results are out then. */
    if (sim->due_ns && sim->now_ns > sim->due_ns && !sim->sink->exited)
        sim_violation(sim, "G5: a stalled connection holds up the job");
}

/* ---- G6: where nothing is wrong, each connection is made once ---- */

static void check_connections(struct sim *sim)
{
    if (sim->plan.byte_ns > PLAN_BYTE_NS) /* frames are too large there at first */
        return;
    for (unsigned i = 0; i < sim->worker_count; i++)
        for (unsigned kind = 0; kind < CABLE_KINDS; kind++)
            if (sim->workers[i]->connections[kind] > 1)
                sim_violation(sim, "G6: %s has made a connection %u times, and none was broken",
                              sim->workers[i]->name, sim->workers[i]->connections[kind]);
}

/* ---- G3: nobody idles while work waits elsewhere ---- */

static bool work_elsewhere(struct sim *sim, unsigned idler, const uint64_t *unstarted)
{
    for (unsigned i = 0; i < sim->worker_count; i++)
        if (i != idler && unstarted[i])
            return true;
    return ventilator_node_has_tasks(sim->ventilator);
}

static void judge_idling(struct sim *sim, unsigned i, bool idles)
{
    struct node *worker = sim->workers[i];
    if (!idles || worker->idle_runs != worker->runs) {
        worker->idle_since_ns = idles ? sim->now_ns : 0;
        worker->idle_runs = worker->runs;
        return;
    }
    if (worker->idle_since_ns == 0)
        worker->idle_since_ns = sim->now_ns;
    if (sim->now_ns - worker->idle_since_ns > NS_PER_S + 10 * sim->plan.delay_max_ns)
        sim_violation(sim, "G3: %s has had an idle slot for %.1f s while work waits elsewhere",
                      worker->name, (double)(sim->now_ns - worker->idle_since_ns) / 1e9);
}

/* What is stored is soon no worker's burden any more. */
static void judge_keeping(struct sim *sim, struct node *worker, bool calm)
{
    uint64_t leak = calm && worker->up ? worker_node_leak(worker) : 0;
    if (!leak || leak != worker->leak) {
        worker->leak = leak;
        worker->leak_since_ns = sim->now_ns;
    } else if (sim->now_ns - worker->leak_since_ns > 4 * NS_PER_S) {
        sim_violation(sim, "G4: %s keeps the result of task %llu, which is stored", worker->name,
                      (unsigned long long)leak);
    }
}

static void watch(void *context, uint64_t unused)
{
    (void)unused;
    struct sim *sim = context;
    uint64_t *unstarted = xcalloc(sim->worker_count, sizeof *unstarted);
    bool *idles = xcalloc(sim->worker_count, sizeof *idles);
    bool calm = sim_is_calm(sim) && sim->plan.byte_ns == PLAN_BYTE_NS;
    bool held_back = calm && ventilator_node_holds_back(sim->ventilator);
    for (unsigned i = 0; i < sim->worker_count; i++)
        idles[i] = worker_node_idles(sim->workers[i], &unstarted[i]);
    for (unsigned i = 0; i < sim->worker_count; i++)
        judge_idling(sim, i, calm && !held_back && idles[i] && work_elsewhere(sim, i, unstarted));
    for (unsigned i = 0; i < sim->worker_count; i++)
        judge_keeping(sim, sim->workers[i], calm);
    judge_stall(sim);
    free(unstarted);
    free(idles);
    if (!sim->ventilator->exited)
        sim_at(sim, WATCH_NS, watch, sim, 0);
}

/* ---- a run ---- */

static void begin(void *context, uint64_t unused)
{
    (void)unused;
    node_start(context);
}

/* The plan is made before. */
static void set_up(struct sim *sim)
{
    sim->began_ns = sim->now_ns = 1000 * NS_PER_S;
    rng_init(&sim->network, sim->seed, 2);
    rng_init(&sim->fate, sim->seed, 3);
    sim->worker_max = sim->plan.worker_count + SIM_MORE_WORKERS_MAX;
    sim->workers = xcalloc(sim->worker_max, sizeof(struct node *));
    model_init(&sim->model, &sim->plan);
    tap_init(&sim->tap, sim->plan.task_count);
    sim->ventilator = ventilator_node_new(sim);
    sim->sink = sink_node_new(sim);
    for (unsigned i = 0; i < sim->plan.worker_count; i++)
        sim_add_worker(sim, sim->plan.workers[i].slots);
    if (sim->plan.supervised) {
        supervision_new(sim);
    } else {
        sim_at(sim, sim->plan.ventilator_starts_ns, begin, sim->ventilator, 0);
        sim_at(sim, sim->plan.sink_starts_ns, begin, sim->sink, 0);
    }
    for (unsigned i = sim->plan.supervised; i < sim->plan.worker_count; i++)
        sim_at(sim, sim->plan.workers[i].starts_ns, begin, sim->workers[i], 0);
    fate_begin(sim);
    sim_at(sim, WATCH_NS, watch, sim, 0);
}

static void tear_down(struct sim *sim)
{
    node_free(sim->ventilator);
    node_free(sim->sink);
    for (unsigned i = 0; i < sim->worker_count; i++)
        node_free(sim->workers[i]);
    for (size_t i = 0; i < sim->cable_count; i++)
        cable_free(sim->cables[i]);
    free(sim->cables);
    free(sim->workers);
    supervision_free(sim->supervision);
    agenda_free(&sim->agenda);
    tap_free(&sim->tap);
    model_free(&sim->model);
    plan_free(&sim->plan);
}

static bool is_over(const struct sim *sim)
{
    if (!sim->ventilator->exited || !sim->sink->exited || !supervision_is_over(sim))
        return false;
    for (unsigned i = 0; i < sim->worker_count; i++)
        if (sim->workers[i]->up)
            return false;
    return true;
}

static uint64_t time_limit(const struct sim *sim)
{
    const struct plan *plan = &sim->plan;
    bool done = sim->ventilator->exited && sim->sink->exited;
    return (sim->healed_ns ? sim->healed_ns : sim->now_ns) + PEACE_NS + (done ? GIVE_UP_NS : 0) +
           plan->bytes * plan->byte_ns * (plan->retries + 2) + plan->work_ns * (plan->retries + 2) +
           plan->input_ends_ns + plan->deaf_until_ns +
           plan->task_count * ((plan->retry_delay_ns << plan->retries) + plan->delay_max_ns);
}

static bool may_end_with(const struct sim *sim, const struct node *server, int wanted)
{
    if (server->status == wanted || (sim->halted && server->status == sim->halted_status))
        return true;
    /* A sink that died when all was said finds in its store that the job was cut short, and not why. Whoever watches
     * them takes its status for the ventilator's, too. */
    bool cut = sim->plan.stops_ns || sim->store_noticed ||
               (sim->plan.supervised && sim->interrupted) ||
               (sim->halted && sim->sink->status == 255 && sim->plan.has_store);
    return cut && server->status == 255;
}

static void check_statuses(struct sim *sim)
{
    int wanted = model_status(&sim->model);
    const struct node *both[] = {sim->ventilator, sim->sink};
    for (size_t i = 0; i < 2; i++)
        if (!may_end_with(sim, both[i], wanted))
            sim_violation(sim, "G2: %s ended with %d instead of %d", both[i]->name, both[i]->status,
                          wanted);
    for (unsigned i = 0; i < sim->worker_count; i++)
        if (sim->workers[i]->exited && sim->workers[i]->status && sim->workers[i]->runs &&
            !sim->model.disturbed && !sim->interrupted)
            sim_violation(sim, "G2: %s ended with %d", sim->workers[i]->name,
                          sim->workers[i]->status);
}

static void check_end(struct sim *sim)
{
    if (sim->violation[0])
        return;
    if (!is_over(sim)) {
        sim_violation(sim, "G2: no end: V %s, S %s, %llu of %llu tasks have a result",
                      sim->ventilator->exited ? "ended" : "is there",
                      sim->sink->exited ? "ended" : "is there",
                      (unsigned long long)(sim->model.ok + sim->model.failed + sim->model.lost),
                      (unsigned long long)sim->plan.task_count);
        return;
    }
    const char *wrong = sim->interrupted ? NULL : model_end(&sim->model);
    if (wrong)
        sim_violation(sim, "G1: %s", wrong);
    if (!sim->model.disturbed && !sim->interrupted)
        check_connections(sim);
    check_statuses(sim);
}

static void run(struct sim *sim, struct sim_report *report)
{
    struct agenda_item item;
    set_up(sim);
    uint64_t most = EVENTS_MAX + sim->plan.task_count * EVENTS_MAX_A_TASK +
                    (uint64_t)sim->plan.worker_count * EVENTS_MAX_A_WORKER;
    while (!sim->violation[0] && !is_over(sim) && agenda_take(&sim->agenda, &item)) {
        if (item.at_ns > time_limit(sim))
            break;
        sim->now_ns = item.at_ns;
        item.run(item.context, item.argument);
        if (++sim->events == most)
            sim_violation(sim, "G2: a storm: %llu joins", (unsigned long long)sim->tap.joins);
    }
    check_end(sim);
    digest_end(&sim->digest, sim->now_ns, sim->violation);
    *report =
        (struct sim_report){.tasks = sim->plan.task_count,
                            .lost = sim->model.lost,
                            .innocent = sim->model.innocent,
                            .events = sim->events,
                            .digest = sim->digest,
                            .simulated_s = (double)(sim->now_ns - sim->began_ns) / 1e9,
                            .makespan_ns = sim->run_ended_ns - sim->began_ns - PLAN_PEACE_COMES_NS,
                            .ventilator_cpu_ns = sim->ventilator_cpu_ns};
    memcpy(report->violation, sim->violation, sizeof report->violation);
    tear_down(sim);
}

void sim_run(uint64_t seed, bool traced, struct sim_report *report)
{
    struct sim sim = {.seed = seed, .traced = traced};
    plan_make(&sim.plan, seed);
    run(&sim, report);
}

void sim_run_peace(const struct plan_peace *peace, bool traced, struct sim_report *report)
{
    struct sim sim = {.seed = 1, .traced = traced, .measured = true};
    plan_make_peace(&sim.plan, peace);
    run(&sim, report);
}
