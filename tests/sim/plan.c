/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/plan.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/xalloc.h"
#include "tests/sim/rng.h"

/* The kinds of runs; most are ordinary, the others push one thing to its limit. */
enum flavour { ORDINARY, TINY, BULKY, LARGE_OUTPUT, LONG };

static enum flavour flavour_of(struct rng *rng)
{
    uint64_t x = rng_below(rng, 100);
    return x < 78 ? ORDINARY : x < 86 ? LONG : x < 93 ? TINY : x < 97 ? LARGE_OUTPUT : BULKY;
}

static size_t count_of(struct rng *rng, enum flavour flavour)
{
    if (rng_chance(rng, 3))
        return rng_below(rng, 2);
    if (flavour == TINY)
        return rng_between(rng, 200, 3000);
    if (flavour == BULKY)
        return rng_between(rng, 10, 24);
    return rng_between(rng, 3, 60);
}

static enum nature nature_of(struct rng *rng, bool nasty)
{
    uint64_t x = rng_below(rng, 1000);
    if (!nasty)
        return x < 900 ? NATURE_GOOD : x < 950 ? NATURE_BAD : NATURE_FLAKY;
    return x < 820   ? NATURE_GOOD
           : x < 870 ? NATURE_BAD
           : x < 940 ? NATURE_FLAKY
           : x < 960 ? NATURE_CRASHER
           : x < 985 ? NATURE_POISON
                     : NATURE_TOO_LARGE;
}

static unsigned times_of(struct rng *rng, enum nature nature)
{
    static const unsigned kills[] = {1, 1, 2, 3, PLAN_TIMES_ALWAYS};
    if (nature == NATURE_POISON)
        return kills[rng_below(rng, 5)];
    return (unsigned)rng_between(rng, 1, 3);
}

static uint64_t duration_of(struct rng *rng, enum flavour flavour)
{
    if (flavour == TINY)
        return rng_between(rng, 2 * NS_PER_US, 3 * NS_PER_MS);
    if (flavour == LONG)
        return rng_between(rng, 500 * NS_PER_MS, 6 * NS_PER_S);
    if (rng_chance(rng, 10))
        return rng_between(rng, 1 * NS_PER_S, 5 * NS_PER_S);
    return rng_between(rng, 1 * NS_PER_MS, 400 * NS_PER_MS);
}

static size_t size_of(struct rng *rng, enum flavour flavour)
{
    if (flavour == BULKY)
        return (size_t)rng_between(rng, 500 << 10, 1 << 20);
    return (size_t)(rng_chance(rng, 3) ? rng_between(rng, 8, 60 << 10) : rng_between(rng, 8, 120));
}

static void make_task(struct plan_task *task, struct rng *rng, enum flavour flavour, bool nasty)
{
    task->nature = nature_of(rng, nasty && flavour != TINY);
    task->times = times_of(rng, task->nature);
    task->duration_ns = duration_of(rng, flavour);
    task->size = size_of(rng, flavour);
    task->out_size = (size_t)(rng_chance(rng, 5) ? rng_between(rng, 8, 30000) : 8);
    if (flavour == LARGE_OUTPUT && rng_chance(rng, 20)) {
        task->out_size = (size_t)rng_between(rng, 8, 5 << 19);
        task->out_in_file = task->out_size > 1 << 20 || rng_chance(rng, 50);
    }
}

static void make_tasks(struct plan *plan, struct rng *rng, enum flavour flavour)
{
    plan->task_count = count_of(rng, flavour);
    plan->tasks = xcalloc(plan->task_count + 1, sizeof *plan->tasks);
    bool nasty = rng_chance(rng, 60), slow = rng_chance(rng, 25);
    uint64_t comes_ns = 0;
    for (size_t i = 0; i < plan->task_count; i++) {
        make_task(&plan->tasks[i], rng, flavour, nasty);
        plan->work_ns += plan->tasks[i].duration_ns;
        if (plan->tasks[i].size > plan->largest)
            plan->largest = plan->tasks[i].size;
        if (slow && rng_chance(rng, 20))
            comes_ns += rng_between(rng, 1 * NS_PER_MS, 1500 * NS_PER_MS);
        plan->tasks[i].comes_ns = comes_ns;
    }
    plan->input_ends_ns = comes_ns + (slow ? rng_below(rng, 2 * NS_PER_S) : 0);
}

static uint64_t limit_of(struct rng *rng, uint64_t low, uint64_t high)
{
    return rng_chance(rng, 70) ? 16 << 20 : rng_between(rng, low, high);
}

static void make_options(struct plan *plan, struct rng *rng, enum flavour flavour)
{
    plan->retries = rng_chance(rng, 40) ? 1 : (unsigned)rng_between(rng, 2, 4);
    plan->queue_max_bytes = limit_of(rng, 500, 64 << 10);
    plan->kept_max_bytes = limit_of(rng, 300, 64 << 10);
    plan->window_max_bytes = limit_of(rng, 50, 64 << 10);
    plan->batch_max = rng_chance(rng, 60) ? 1 : rng_chance(rng, 50) ? 4 : PLAN_BATCH_OF_PLUGINS;
    plan->output_a_turn =
        rng_chance(rng, 70) || flavour == LARGE_OUTPUT ? 0 : rng_between(rng, 200, 4000);
    plan->output_pauses = rng_chance(rng, 80) ? 0 : (unsigned)rng_between(rng, 1, 10);
    plan->order_max = rng_chance(rng, 70) ? 0 : rng_between(rng, 1, 20);
    plan->mixed_inbox = rng_chance(rng, 50);
    plan->has_store = rng_chance(rng, 50);
    plan->server_faults = rng_chance(rng, 50) ? 20 : 70;
    if (plan->retries > 1 && rng_chance(rng, 40))
        plan->retry_delay_ns = rng_between(rng, 1, flavour == TINY ? 30 * NS_PER_MS : 3 * NS_PER_S);
}

static void make_network(struct plan *plan, struct rng *rng)
{
    static const uint64_t delays_us[][2] = {{20, 200}, {50, 5000}, {5000, 40000}, {100, 200000}};
    const uint64_t *pair = delays_us[rng_below(rng, 4)];
    plan->delay_min_ns = pair[0] * NS_PER_US;
    plan->delay_max_ns = pair[1] * NS_PER_US;
    plan->byte_ns = PLAN_BYTE_NS;
}

static void make_members(struct plan *plan, struct rng *rng)
{
    uint64_t spread_ns = rng_chance(rng, 50) ? 0 : 3 * NS_PER_S;
    plan->worker_count = (unsigned)rng_between(rng, 1, 4);
    plan->workers = xcalloc(plan->worker_count, sizeof *plan->workers);
    plan->ventilator_starts_ns = rng_below(rng, spread_ns + 1);
    plan->sink_starts_ns = rng_below(rng, spread_ns + 1);
    for (unsigned i = 0; i < plan->worker_count; i++) {
        plan->workers[i].slots = (unsigned)rng_between(rng, 1, 3);
        plan->workers[i].slowness = 1;
        plan->workers[i].starts_ns = rng_below(rng, spread_ns + 1);
    }
}

static void make_faults(struct plan *plan, struct rng *rng)
{
    uint64_t span_ns = plan->work_ns / (2 * plan->worker_count) + plan->input_ends_ns;
    span_ns += rng_between(rng, 1 * NS_PER_S, 6 * NS_PER_S);
    plan->faults_until_ns = span_ns < 30 * NS_PER_S ? span_ns : 30 * NS_PER_S;
    plan->faults = rng_chance(rng, 10)   ? 0
                   : rng_chance(rng, 80) ? (unsigned)rng_between(rng, 1, 10)
                                         : (unsigned)rng_between(rng, 10, 30);
    if (rng_chance(rng, 4))
        plan->stops_ns = rng_between(rng, 1, plan->faults_until_ns);
    plan->stop_at_sink = rng_chance(rng, 50);
    if (rng_chance(rng, 8))
        plan->halt = (struct halt_rule){.when = rng_chance(rng, 50) ? HALT_NOW : HALT_SOON,
                                        .why = (enum halt_why)rng_below(rng, 3),
                                        .count = rng_between(rng, 1, 1 + plan->task_count / 3)};
    if (plan->halt.when && rng_chance(rng, 30)) {
        plan->halt.percent = true;
        plan->halt.count = rng_between(rng, 1, 100);
    }
}

/* Some runs have tasks that travel in pieces: many, or where there are thousands a few. */
static void make_pieces(struct plan *plan, struct rng *rng)
{
    enum { PIECES_MOST = 12, MANY = 100 };
    unsigned percent = plan->task_count > MANY ? 1 : 40;
    if (!rng_chance(rng, 25))
        return;
    plan->task_inline_max = rng_between(rng, plan->task_count > MANY ? 130 : 16, 400);
    plan->task_piece_max = rng_between(rng, 20, 2000);
    size_t most = PIECES_MOST * plan->task_piece_max;
    for (size_t i = 0; i < plan->task_count; i++) {
        struct plan_task *task = &plan->tasks[i];
        if (task->size > most || rng_chance(rng, percent))
            task->size = (size_t)rng_between(rng, 8, most);
        if (task->size > plan->largest)
            plan->largest = task->size;
    }
}

/* So it is known when the others must be through (sim_stalls). */
static void make_one_stall(struct plan *plan, struct rng *rng)
{
    plan->one_stall = true;
    for (size_t i = 0; i < plan->task_count; i++)
        if (plan->tasks[i].nature != NATURE_BAD)
            plan->tasks[i].nature = NATURE_GOOD;
    plan->retries = 1;
    plan->retry_delay_ns = 0;
    plan->queue_max_bytes = plan->kept_max_bytes = plan->window_max_bytes = 16 << 20;
    plan->output_a_turn = plan->output_pauses = 0;
    plan->order_max = 0;
    plan->task_inline_max = plan->task_piece_max = 0;
    plan->stops_ns = 0;
    plan->halt = (struct halt_rule){0};
    plan->faults = 1;
    if (plan->worker_count > 1)
        return;
    plan->worker_count = 2;
    plan->workers = xrealloc(plan->workers, 2 * sizeof *plan->workers);
    plan->workers[1] = plan->workers[0];
    plan->workers[1].slots = (unsigned)rng_between(rng, 1, 3);
}

/* Nothing goes wrong, but whoever reads the output pauses: `| less`, a full disk. */
static void make_deaf(struct plan *plan, struct rng *rng)
{
    plan->faults = 0;
    plan->stops_ns = 0;
    plan->halt = (struct halt_rule){0};
    plan->deaf_from_ns =
        rng_below(rng, plan->work_ns / plan->worker_count + plan->input_ends_ns + 1);
    plan->deaf_until_ns = plan->deaf_from_ns + rng_between(rng, 1 * NS_PER_S, 60 * NS_PER_S);
    plan->order_max = 0; /* else a spool takes it */
    if (rng_chance(rng, 70))
        plan->window_max_bytes = rng_between(rng, 50, 1000);
}

/* Of commands: what runs in a batch is called, and leaves nobody behind. */
static void make_late_output(struct plan *plan, struct rng *rng)
{
    if (plan->batch_max > 1 || !rng_chance(rng, 40))
        return;
    for (size_t i = 0; i < plan->task_count; i++) {
        struct plan_task *task = &plan->tasks[i];
        if (!rng_chance(rng, 30))
            continue;
        task->lingers_ns = rng_below(rng, rng_chance(rng, 80) ? 300 * NS_PER_MS : 3 * NS_PER_S);
        task->cut = rng_chance(rng, 20);
        plan->work_ns += task->lingers_ns;
    }
}

/* Nothing goes wrong, but the lines are slow: 64 kbit a second each way of each connection. With a store, half of
 * the time, sink or ventilator is killed once. */
static void make_slow(struct plan *plan, struct rng *rng)
{
    plan->faults = plan->has_store && rng_chance(rng, 50);
    plan->server_faults = 100;
    plan->faults_until_ns = rng_between(rng, 1 * NS_PER_S, 100 * NS_PER_S);
    plan->stops_ns = 0;
    plan->halt = (struct halt_rule){0};
    plan->byte_ns = 125 * NS_PER_US;
}

/* Half of the interrupts come while the farm starts. */
static void make_supervised(struct plan *plan, struct rng *rng)
{
    plan->supervised = true;
    if (!rng_chance(rng, 40))
        return;
    plan->stops_ns =
        rng_between(rng, 1, rng_chance(rng, 50) ? 1200 * NS_PER_MS : plan->faults_until_ns);
    if (rng_chance(rng, 40))
        plan->insists_ns = plan->stops_ns + rng_below(rng, 3 * NS_PER_S);
}

void plan_make(struct plan *plan, uint64_t seed)
{
    struct rng rng;
    rng_init(&rng, seed, 1);
    *plan = (struct plan){0};
    enum flavour flavour = flavour_of(&rng);
    make_tasks(plan, &rng, flavour);
    make_options(plan, &rng, flavour);
    make_network(plan, &rng);
    make_members(plan, &rng);
    make_faults(plan, &rng);
    plan->hedge = rng_chance(&rng, 30);
    make_pieces(plan, &rng);
    make_late_output(plan, &rng);
    for (size_t i = 0; i < plan->task_count; i++)
        plan->bytes += plan->tasks[i].size + plan->tasks[i].out_size + 500;
    if (rng_chance(&rng, 50))
        plan->grace_ns = rng_between(&rng, 200 * NS_PER_MS, 4 * NS_PER_S);
    uint64_t quiet = rng_below(&rng, 100);
    if (quiet < 10)
        make_one_stall(plan, &rng);
    else if (quiet < 15)
        make_deaf(plan, &rng);
    else if (quiet < 17 && flavour != BULKY && flavour != LARGE_OUTPUT)
        make_slow(plan, &rng);
    else if (quiet < 37)
        make_supervised(plan, &rng);
}

void plan_make_peace(struct plan *plan, const struct plan_peace *peace)
{
    *plan = (struct plan){.task_count = peace->tasks,
                          .largest = 8,
                          .work_ns = peace->tasks * peace->duration_ns,
                          .retries = 1,
                          .queue_max_bytes = 16 << 20,
                          .kept_max_bytes = 16 << 20,
                          .window_max_bytes = 16 << 20,
                          .batch_max = 4096,
                          .worker_count = peace->workers,
                          .delay_min_ns = 50 * NS_PER_US,
                          .delay_max_ns = 100 * NS_PER_US,
                          .byte_ns = PLAN_BYTE_NS,
                          .input_ends_ns = PLAN_PEACE_COMES_NS};
    plan->tasks = xcalloc(peace->tasks + 1, sizeof *plan->tasks);
    for (size_t i = 0; i < peace->tasks; i++)
        plan->tasks[i] = (struct plan_task){.duration_ns = peace->duration_ns,
                                            .size = 8,
                                            .out_size = 8,
                                            .comes_ns = PLAN_PEACE_COMES_NS};
    plan->workers = xcalloc(peace->workers, sizeof *plan->workers);
    for (unsigned i = 0; i < peace->workers; i++) {
        plan->workers[i] =
            (struct plan_worker){.slots = 1, .slowness = peace->slowness ? peace->slowness[i] : 1};
        if (plan->workers[i].slowness > 1)
            plan->work_ns += peace->tasks * peace->duration_ns * plan->workers[i].slowness;
    }
}

void plan_free(struct plan *plan)
{
    free(plan->tasks);
    free(plan->workers);
    *plan = (struct plan){0};
}
