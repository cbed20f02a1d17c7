/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/node.h"

#include <signal.h>
#include <stdlib.h>

#include "common/base/xalloc.h"
#include "tests/sim/cable.h"
#include "tests/sim/fate.h"
#include "tests/sim/supervision.h"

static void clear_inbox(struct node *node)
{
    for (size_t i = 0; i < node->inbox_count; i++)
        block_release(&node->inbox[i].block);
    node->inbox_count = 0;
}

void node_free(struct node *node)
{
    if (!node)
        return;
    if (node->up)
        node->class->stop(node);
    if (node->role == ROLE_NODE_WORKER)
        seqset_free(worker_node_had(node));
    if (node->role == ROLE_NODE_SINK)
        sink_node_free_disk(node);
    clear_inbox(node);
    free(node->inbox);
    free(node);
}

void node_start(struct node *node)
{
    if (node->up || node->exited)
        return;
    node->up = true;
    node->frozen = false;
    node->life = ++node->sim->last_id;
    node->wake_ns = NEVER;
    sim_trace(node->sim, node, "starts");
    node->class->start(node);
    node_wake(node, node->sim->now_ns);
}

static void end_process(struct node *node, bool abrupt, bool silent)
{
    struct sim *sim = node->sim;
    /* Nobody judges the sink by its heartbeats: TCP notices, some time. */
    uint64_t late_ns = node->role == ROLE_NODE_SINK ? 6 * NS_PER_S : NEVER;
    node->class->stop(node);
    for (size_t i = 0; i < sim->cable_count; i++) {
        struct cable *c = sim->cables[i];
        for (size_t end = 0; end < 2; end++) {
            if (c->ends[end].node != node || c->ends[end].life != node->life)
                continue;
            if (silent && !c->ends[end].shut) {
                cable_cut(c, late_ns, late_ns);
                c->ends[end].shut = true;
            }
            cable_close(c, node, abrupt);
        }
    }
    node->up = false;
    clear_inbox(node);
}

void node_kill(struct node *node, bool silent)
{
    if (!node->up)
        return;
    if (node->role == ROLE_NODE_WORKER && !silent && sim_is_calm(node->sim))
        worker_node_note_death(node);
    sim_trace(node->sim, node, silent ? "loses its power" : "is killed");
    sim_disturb(node->sim, 0);
    if (silent && node->role == ROLE_NODE_VENTILATOR)
        sim_falls_silent(node->sim);
    if (node->role == ROLE_NODE_WORKER)
        model_death(&node->sim->model, worker_node_had(node));
    end_process(node, true, silent);
    if (supervision_has(node->sim, node))
        supervision_ended(node, SIGKILL);
}

void node_exit(struct node *node, int status)
{
    sim_trace(node->sim, node, "ends with status %d", status);
    if (node->role == ROLE_NODE_WORKER && status) /* at once: its goodbye may be lost */
        model_death(&node->sim->model, worker_node_had(node));
    node->exited = true;
    node->status = status;
    end_process(node, false, false);
    if (node->role == ROLE_NODE_SINK)
        fate_sink_ended(node->sim);
    if (supervision_has(node->sim, node))
        supervision_ended(node, 0);
}

/* ---- turns ---- */

static void take_turn(void *context, uint64_t life)
{
    struct node *node = context;
    if (node->life != life || !node->up || node->wake_ns > node->sim->now_ns)
        return;
    node->wake_ns = NEVER;
    if (!node->frozen)
        node->class->turn(node);
}

void node_wake(struct node *node, uint64_t at_ns)
{
    struct sim *sim = node->sim;
    if (!node->up || at_ns >= node->wake_ns)
        return;
    node->wake_ns = at_ns < sim->now_ns ? sim->now_ns : at_ns;
    agenda_add(&sim->agenda, node->wake_ns, take_turn, node, node->life);
}

/* As a rule a process gets its turn at once; now and then somebody else has the processor. */
static uint64_t latency(struct sim *sim)
{
    if (!sim->measured && rng_chance(&sim->fate, 1))
        return rng_below(&sim->fate, 20 * NS_PER_MS);
    return rng_below(&sim->fate, 200 * NS_PER_US);
}

void node_tell(struct node *node, struct news news)
{
    if (node->inbox_count == node->inbox_capacity) {
        node->inbox_capacity = node->inbox_capacity ? node->inbox_capacity * 2 : 16;
        node->inbox = xrealloc(node->inbox, node->inbox_capacity * sizeof *node->inbox);
    }
    node->inbox[node->inbox_count++] = news;
    node_wake(node, node->sim->now_ns + latency(node->sim));
}

/* ---- standing still ---- */

static void thaw(void *context, uint64_t life)
{
    struct node *node = context;
    if (node->life != life || !node->frozen || node->frozen_until_ns > node->sim->now_ns)
        return;
    node->frozen = false;
    sim_trace(node->sim, node, "goes on");
    sim_disturb(node->sim, 0);
    node_wake(node, node->sim->now_ns);
}

void node_freeze(struct node *node, uint64_t for_ns)
{
    struct sim *sim = node->sim;
    if (!node->up || node->frozen)
        return;
    node->frozen = true;
    node->frozen_until_ns = sim->now_ns + for_ns;
    sim->model.disturbed = true;
    sim_disturb(sim, for_ns);
    if (node->role == ROLE_NODE_VENTILATOR)
        sim_slows(sim, for_ns);
    sim_trace(sim, node, "freezes for %.3f s", (double)for_ns / 1e9);
    sim_at(sim, for_ns, thaw, node, node->life);
}

void node_darken(struct node *node, uint64_t for_ns)
{
    struct sim *sim = node->sim;
    node->dark_until_ns = sim->now_ns + for_ns;
    sim->model.disturbed = true;
    sim_disturb(sim, for_ns);
    if (node->role != ROLE_NODE_SINK)
        sim_slows(sim, for_ns);
    sim_trace(sim, node, "cannot be reached for %.3f s", (double)for_ns / 1e9);
    for (size_t i = 0; i < sim->cable_count; i++) {
        struct cable *c = sim->cables[i];
        if (c->ends[0].node == node || c->ends[1].node == node)
            cable_hold(c, node->dark_until_ns);
    }
}

void node_thaw(struct node *node)
{
    struct sim *sim = node->sim;
    node->frozen_until_ns = node->no_results_until_ns = sim->now_ns;
    thaw(node, node->life);
    if (node->dark_until_ns > sim->now_ns)
        node->dark_until_ns = sim->now_ns;
    for (size_t i = 0; i < sim->cable_count; i++)
        cable_let_go(sim->cables[i]);
}
