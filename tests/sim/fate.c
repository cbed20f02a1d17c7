/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/fate.h"

#include "tests/sim/err.h"
#include "tests/sim/stall.h"
#include "tests/sim/supervision.h"

enum fault {
    FAULT_CRASH,
    FAULT_POWER, /* a worker's machine is gone without a word */
    FAULT_CUT,
    FAULT_HALF, /* one end learns it late, or never */
    FAULT_FLAP, /* control and lane of a worker */
    FAULT_BLIP, /* all three */
    FAULT_LOSE_RESULTS,
    FAULT_NO_RESULTS, /* a worker reaches the ventilator and not the sink */
    FAULT_CUT_SINK,
    FAULT_FREEZE_WORKER,
    FAULT_FREEZE_VENTILATOR,
    FAULT_FREEZE_SINK,
    FAULT_DARK_WORKER,
    FAULT_DARK_SINK,
    FAULT_DARK_VENTILATOR,
    FAULT_DRAIN,
    FAULT_PREEMPT, /* of a worker and its tasks, together */
    FAULT_ABORT,
    FAULT_BREAK,
    FAULT_JOIN,
    FAULT_EXODUS, /* all workers are killed and new ones come */
    FAULT_SLOW,
    FAULT_ERR, /* a worker errs */
    FAULT_STALL_CONNECTION,
    FAULT_STALL_WAY, /* whatever connection uses it */
    FAULT_LOSE_LARGE,
    FAULT_CRASH_SINK,
    FAULT_CRASH_VENTILATOR,
    FAULT_CRASH_BOTH,
    FAULTS
};

static uint64_t some_ms(struct sim *sim, uint64_t low_ms, uint64_t high_ms)
{
    return rng_between(&sim->fate, low_ms * 1000, high_ms * 1000) * NS_PER_US;
}

static struct node *some_worker(struct sim *sim)
{
    return sim->workers[rng_below(&sim->fate, sim->worker_count)];
}

/* ---- processes ---- */

static void restart(void *context, uint64_t unused)
{
    (void)unused;
    struct node *node = context;
    if (!node->sim->ventilator->exited)
        node_start(node);
}

void fate_kill_worker(struct node *worker, bool silent)
{
    struct sim *sim = worker->sim;
    node_kill(worker, silent);
    if (supervision_has(sim, worker))
        return;
    if (sim->healed_ns || rng_chance(&sim->fate, 80))
        sim_at(sim, some_ms(sim, 50, 2500), restart, worker, 0);
}

/* Whoever watches them starts them again, unless the other one has ended the job. */
static void restart_server(void *context, uint64_t unused)
{
    (void)unused;
    struct node *node = context;
    struct sim *sim = node->sim;
    struct node *other = node == sim->sink ? sim->ventilator : sim->sink;
    if (node->up || node->exited)
        return;
    if (other->exited) {
        node->exited = true;
        node->status = other->status;
    } else {
        node_start(node);
    }
}

/* Whoever watches them knows that the job is over: a new life of the ventilator finds no sink. */
static void end_without_sink(void *context, uint64_t unused)
{
    (void)unused;
    struct sim *sim = context;
    if (sim->ventilator->up)
        node_exit(sim->ventilator, sim->sink->status);
}

void fate_sink_ended(struct sim *sim)
{
    if (sim->plan.has_store && !sim->supervision)
        sim_at(sim, 5 * NS_PER_S, end_without_sink, sim, 0);
}

static void kill_server(struct node *node)
{
    if (!node->up)
        return;
    bool silent = rng_chance(&node->sim->fate, 10);
    node_kill(node, silent);
    if (silent && node == node->sim->sink && rng_chance(&node->sim->fate, 50))
        sink_node_forget(node, rng_between(&node->sim->fate, 1, 20));
    if (!node->sim->supervision)
        sim_at(node->sim, some_ms(node->sim, 50, 2500), restart_server, node, 0);
}

static void exodus(struct sim *sim)
{
    unsigned count = sim->worker_count;
    for (unsigned i = 0; i < count; i++)
        node_kill(sim->workers[i], rng_chance(&sim->fate, 20));
    struct node *fresh = sim_add_worker(sim, (unsigned)rng_between(&sim->fate, 1, 3));
    if (fresh)
        sim_at(sim, some_ms(sim, 0, 5000), restart, fresh, 0);
}

static void kill_what_is_left(void *context, uint64_t life)
{
    struct node *worker = context;
    if (worker->up && worker->life == life)
        node_kill(worker, false);
}

/* Another one comes for it, as a scheduler sees to, which KILLs what has not gone after a while. */
static void preempt(struct sim *sim, struct node *worker)
{
    worker_node_preempt(worker);
    if (rng_chance(&sim->fate, 50))
        sim_at(sim, some_ms(sim, 1000, 6000), kill_what_is_left, worker, worker->life);
    struct node *fresh = sim_add_worker(sim, (unsigned)rng_between(&sim->fate, 1, 3));
    if (fresh)
        sim_at(sim, some_ms(sim, 0, 3000), restart, fresh, 0);
}

static bool add_worker(struct sim *sim)
{
    struct node *fresh = sim_add_worker(sim, (unsigned)rng_between(&sim->fate, 1, 3));
    if (fresh)
        node_start(fresh);
    return fresh;
}

/* ---- connections ---- */

/* Of the node, or of anybody: NULL. */
static struct cable *some_cable(struct sim *sim, const struct node *of)
{
    size_t live = 0;
    for (size_t i = 0; i < sim->cable_count; i++)
        live += cable_is_live(sim->cables[i]) && (!of || sim->cables[i]->ends[0].node == of);
    size_t which = rng_below(&sim->fate, live);
    for (size_t i = 0; i < sim->cable_count; i++)
        if (cable_is_live(sim->cables[i]) && (!of || sim->cables[i]->ends[0].node == of) &&
            which-- == 0)
            return sim->cables[i];
    return NULL;
}

static void cut_kinds(struct sim *sim, const struct node *node, unsigned kinds)
{
    for (size_t i = 0; i < sim->cable_count; i++) {
        struct cable *c = sim->cables[i];
        if (cable_is_live(c) && c->ends[0].node == node && (kinds >> c->kind & 1))
            cable_cut(c, some_ms(sim, 1, 30), some_ms(sim, 1, 30));
    }
}

/* The ventilator does not judge a silent sink: there TCP notices, some time. */
static void half_open(struct sim *sim)
{
    struct cable *c = some_cable(sim, NULL);
    if (!c)
        return;
    bool of_sink = c->ends[0].node == sim->sink;
    uint64_t late_ns = !of_sink && rng_chance(&sim->fate, 50) ? NEVER : some_ms(sim, 3000, 9000);
    if (rng_chance(&sim->fate, 50))
        cable_cut(c, late_ns, some_ms(sim, 1, 30));
    else
        cable_cut(c, some_ms(sim, 1, 30), late_ns);
    sim_disturb(sim, 9 * NS_PER_S);
    sim_falls_silent(sim);
}

static void stall_some_connection(struct sim *sim, const struct node *of)
{
    struct cable *c = some_cable(sim, of);
    if (c)
        stall_connection(sim, c);
}

static void cut_now(void *context, uint64_t unused)
{
    (void)unused;
    struct cable *c = context;
    cable_cut(c, 5 * NS_PER_MS, 5 * NS_PER_MS);
    sim_disturb(c->sim, 0);
}

static void lose_results(struct sim *sim, const struct node *worker)
{
    for (size_t i = 0; i < sim->cable_count; i++) {
        struct cable *c = sim->cables[i];
        if (!cable_is_live(c) || c->ends[0].node != worker || c->kind != CABLE_RESULTS)
            continue;
        cable_hold(c, sim->now_ns + 900 * NS_PER_MS);
        sim_at(sim, 600 * NS_PER_MS, cut_now, c, 0);
    }
}

static void keep_from_sink(struct sim *sim, struct node *worker)
{
    uint64_t for_ns = some_ms(sim, 1000, 8000);
    worker->no_results_until_ns = sim->now_ns + for_ns;
    sim_disturb(sim, for_ns);
    cut_kinds(sim, worker, 1 << CABLE_RESULTS);
}

/* What it keeps from the sink, or promises, is found out ten limits later. */
static void err(struct sim *sim, struct node *worker)
{
    uint64_t for_ns = some_ms(sim, 500, 5000);
    worker->err = (unsigned)rng_below(&sim->fate, ERR_WAYS);
    worker->errs_until_ns = sim->now_ns + for_ns;
    sim_trace(sim, worker, "errs: %s", err_name((enum err)worker->err));
    sim_disturb(sim, for_ns + 40 * NS_PER_S);
}

/* ---- faults ---- */

static const char *const names[FAULTS] = {
    [FAULT_CRASH] = "crash",
    [FAULT_POWER] = "power",
    [FAULT_CUT] = "cut",
    [FAULT_HALF] = "half-open",
    [FAULT_FLAP] = "flap",
    [FAULT_BLIP] = "blip",
    [FAULT_LOSE_RESULTS] = "lose-results",
    [FAULT_NO_RESULTS] = "no-results",
    [FAULT_CUT_SINK] = "cut-sink",
    [FAULT_FREEZE_WORKER] = "freeze-worker",
    [FAULT_FREEZE_VENTILATOR] = "freeze-ventilator",
    [FAULT_FREEZE_SINK] = "freeze-sink",
    [FAULT_DARK_WORKER] = "dark-worker",
    [FAULT_DARK_SINK] = "dark-sink",
    [FAULT_DARK_VENTILATOR] = "dark-ventilator",
    [FAULT_DRAIN] = "drain",
    [FAULT_PREEMPT] = "preempt",
    [FAULT_ABORT] = "abort",
    [FAULT_BREAK] = "break",
    [FAULT_JOIN] = "join",
    [FAULT_EXODUS] = "exodus",
    [FAULT_SLOW] = "slow",
    [FAULT_ERR] = "err",
    [FAULT_STALL_CONNECTION] = "stall-connection",
    [FAULT_STALL_WAY] = "stall-way",
    [FAULT_LOSE_LARGE] = "lose-large",
    [FAULT_CRASH_SINK] = "crash-sink",
    [FAULT_CRASH_VENTILATOR] = "crash-ventilator",
    [FAULT_CRASH_BOTH] = "crash-both",
};

static const enum fault choices[] = {
    FAULT_CRASH,         FAULT_CRASH,         FAULT_CRASH,       FAULT_POWER,
    FAULT_CUT,           FAULT_CUT,           FAULT_CUT,         FAULT_HALF,
    FAULT_HALF,          FAULT_FLAP,          FAULT_FLAP,        FAULT_BLIP,
    FAULT_LOSE_RESULTS,  FAULT_LOSE_RESULTS,  FAULT_CUT_SINK,    FAULT_CUT_SINK,
    FAULT_FREEZE_WORKER, FAULT_FREEZE_WORKER, FAULT_FREEZE_SINK, FAULT_FREEZE_VENTILATOR,
    FAULT_DARK_WORKER,   FAULT_DARK_SINK,     FAULT_DRAIN,       FAULT_DARK_VENTILATOR,
    FAULT_ABORT,         FAULT_BREAK,         FAULT_NO_RESULTS,  FAULT_JOIN,
    FAULT_EXODUS,        FAULT_SLOW,          FAULT_PREEMPT,     FAULT_PREEMPT,
    FAULT_ERR,           FAULT_ERR,           FAULT_STALL_WAY,   FAULT_STALL_CONNECTION,
    FAULT_LOSE_LARGE,
};

static enum fault choose(struct sim *sim)
{
    if (sim->plan.one_stall)
        return (enum fault)rng_between(&sim->fate, FAULT_STALL_CONNECTION, FAULT_LOSE_LARGE);
    if (sim->plan.supervised && rng_chance(&sim->fate, 3))
        return (enum fault)rng_between(&sim->fate, FAULT_CRASH_SINK, FAULT_CRASH_BOTH);
    if (sim->plan.has_store && rng_chance(&sim->fate, sim->plan.server_faults))
        return (enum fault)rng_between(&sim->fate, FAULT_CRASH_SINK, FAULT_CRASH_BOTH);
    return choices[rng_below(&sim->fate, sizeof choices / sizeof *choices)];
}

static enum cable_kind some_kind(struct sim *sim)
{
    return (enum cable_kind)rng_below(&sim->fate, CABLE_KINDS);
}

/* Of the sink there is one, so of it only a connection may stall for ever. */
static void stall(struct sim *sim, enum fault fault, struct node *worker)
{
    bool of_sink = !sim->plan.one_stall && rng_chance(&sim->fate, 30);
    struct node *node = of_sink ? sim->sink : worker;
    enum cable_kind kind = of_sink ? CABLE_CONTROL : some_kind(sim);
    if (fault == FAULT_STALL_WAY)
        stall_way(sim, node, kind, !of_sink);
    else if (fault == FAULT_LOSE_LARGE)
        stall_large(sim, node, kind, !of_sink);
    else
        stall_some_connection(sim, node);
    /* So the sink is told of sessions that end, for ever perhaps, whether it is heard or not. */
    if (of_sink && fault == FAULT_STALL_CONNECTION)
        stall_way(sim, worker, CABLE_LANE, true);
}

static void process_fault(struct sim *sim, enum fault fault, struct node *worker)
{
    if (fault == FAULT_CRASH || fault == FAULT_POWER)
        fate_kill_worker(worker, fault == FAULT_POWER);
    else if (fault == FAULT_FREEZE_WORKER)
        node_freeze(worker, some_ms(sim, 500, 7000));
    else if (fault == FAULT_FREEZE_VENTILATOR)
        node_freeze(sim->ventilator, some_ms(sim, 500, 7000));
    else if (fault == FAULT_FREEZE_SINK)
        node_freeze(sim->sink, some_ms(sim, 500, 7000));
    else if (fault == FAULT_DRAIN)
        worker_node_drain(worker);
    else if (fault == FAULT_PREEMPT)
        preempt(sim, worker);
    else if (fault == FAULT_ABORT)
        worker_node_abort(worker);
    else if (fault == FAULT_BREAK)
        worker_node_break(worker);
    else if (fault == FAULT_JOIN)
        add_worker(sim);
    else if (fault == FAULT_EXODUS)
        exodus(sim);
    if (fault == FAULT_CRASH_SINK || fault == FAULT_CRASH_BOTH)
        kill_server(sim->sink);
    if (fault == FAULT_CRASH_VENTILATOR || fault == FAULT_CRASH_BOTH)
        kill_server(sim->ventilator);
}

static void slow_down(struct sim *sim, uint64_t for_ns)
{
    sim->slow_until_ns = sim->now_ns + for_ns;
    sim_slows(sim, for_ns);
}

static void network_fault(struct sim *sim, enum fault fault, struct node *worker)
{
    struct cable *c = fault == FAULT_CUT ? some_cable(sim, NULL) : NULL;
    if (c)
        cable_cut(c, some_ms(sim, 1, 30), some_ms(sim, 1, 30));
    else if (fault == FAULT_HALF)
        half_open(sim);
    else if (fault == FAULT_FLAP)
        cut_kinds(sim, worker, 1 << CABLE_CONTROL | 1 << CABLE_LANE);
    else if (fault == FAULT_BLIP)
        cut_kinds(sim, worker, 1 << CABLE_CONTROL | 1 << CABLE_LANE | 1 << CABLE_RESULTS);
    else if (fault == FAULT_LOSE_RESULTS)
        lose_results(sim, worker);
    else if (fault == FAULT_NO_RESULTS)
        keep_from_sink(sim, worker);
    else if (fault == FAULT_CUT_SINK)
        cut_kinds(sim, sim->sink, 1 << CABLE_CONTROL);
    else if (fault == FAULT_DARK_WORKER)
        node_darken(worker, some_ms(sim, 1000, 8000));
    else if (fault == FAULT_DARK_SINK)
        node_darken(sim->sink, some_ms(sim, 1000, 8000));
    else if (fault == FAULT_DARK_VENTILATOR)
        node_darken(sim->ventilator, some_ms(sim, 1000, 8000));
    else if (fault == FAULT_ERR)
        err(sim, worker);
    else if (fault >= FAULT_STALL_CONNECTION && fault <= FAULT_LOSE_LARGE)
        stall(sim, fault, worker);
    else if (fault == FAULT_SLOW)
        slow_down(sim, some_ms(sim, 500, 4000));
}

/* What a worker does of its own will ends a job of `zfarm run`. */
static enum fault instead(const struct sim *sim, enum fault fault, const struct node *worker)
{
    bool ends_itself = fault == FAULT_DRAIN || fault == FAULT_PREEMPT || fault == FAULT_ABORT ||
                       fault == FAULT_BREAK;
    return ends_itself && supervision_has(sim, worker) ? FAULT_CRASH : fault;
}

static void strike(void *context, uint64_t unused)
{
    (void)unused;
    struct sim *sim = context;
    enum fault fault = choose(sim);
    struct node *worker = sim->plan.one_stall ? sim->workers[0] : some_worker(sim);
    if (sim->healed_ns)
        return;
    fault = instead(sim, fault, worker);
    sim_trace(sim, NULL, "*** %s (%s)", names[fault], worker->name);
    sim->model.disturbed = true;
    sim_disturb(sim, fault == FAULT_SLOW ? 4 * NS_PER_S : 0);
    if (sim->plan.one_stall)
        sim_stalls(sim, worker, fault == FAULT_LOSE_LARGE);
    process_fault(sim, fault, worker);
    network_fault(sim, fault, worker);
}

/* What stalls for ever does so behind the healing too, as long as another worker is there. */
static void heal(void *context, uint64_t unused)
{
    (void)unused;
    struct sim *sim = context;
    unsigned count = sim->worker_count;
    sim_trace(sim, NULL, "*** all is well from now on");
    sim->healed_ns = sim->now_ns;
    sim->slow_until_ns = 0;
    node_thaw(sim->ventilator);
    node_thaw(sim->sink);
    for (unsigned i = 0; i < count; i++)
        node_thaw(sim->workers[i]);
    bool others = sim->plan.one_stall || sim->ventilator->exited || add_worker(sim);
    stall_end(sim->sink, true);
    for (unsigned i = 0; i < count; i++)
        stall_end(sim->workers[i], !others);
}

static void interrupt(void *context, uint64_t unused)
{
    (void)unused;
    struct sim *sim = context;
    if (sim->supervision)
        supervision_interrupt(sim);
    else if (sim->plan.stop_at_sink)
        sink_node_stop_job(sim->sink);
    else
        ventilator_node_stop_job(sim->ventilator);
}

void fate_begin(struct sim *sim)
{
    if (sim->plan.stops_ns)
        sim_at(sim, sim->plan.stops_ns, interrupt, sim, 0);
    if (sim->plan.insists_ns)
        sim_at(sim, sim->plan.insists_ns, interrupt, sim, 0);
    if (sim->plan.faults == 0) {
        sim->healed_ns = sim->now_ns;
        return;
    }
    for (unsigned i = 0; i < sim->plan.faults; i++)
        sim_at(sim, rng_below(&sim->fate, sim->plan.faults_until_ns), strike, sim, 0);
    sim_at(sim, sim->plan.faults_until_ns, heal, sim, 0);
}
