/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/supervision.h"

#include <stdlib.h>

#include "common/base/xalloc.h"
#include "zfarm/run/supervisor.h"

#define GONE_NS (5 * NS_PER_S)

struct supervision {
    struct sim *sim;
    struct supervisor core;
    uint64_t wake_ns;
    bool is_interrupted;
    bool ends_now;
    bool has_exited;
};

static struct node *node_of(const struct sim *sim, enum member member)
{
    return member == MEMBER_VENTILATOR ? sim->ventilator
           : member == MEMBER_SINK     ? sim->sink
                                       : sim->workers[0];
}

static enum member member_of(const struct sim *sim, const struct node *node)
{
    enum member member = MEMBER_VENTILATOR;
    while (node_of(sim, member) != node)
        member++;
    return member;
}

bool supervision_has(const struct sim *sim, const struct node *node)
{
    return sim->supervision &&
           (node == sim->ventilator || node == sim->sink || node == sim->workers[0]);
}

/* ---- what it does ---- */

static void turn(struct supervision *v);

static void say_ready(void *context, uint64_t life)
{
    struct node *node = context;
    struct supervision *v = node->sim->supervision;
    if (!node->up || node->life != life || v->has_exited)
        return;
    supervisor_ready(&v->core, member_of(v->sim, node), v->sim->now_ns);
    turn(v);
}

static void start(struct supervision *v, enum member member)
{
    struct node *node = node_of(v->sim, member);
    if (v->is_interrupted)
        sim_violation(v->sim, "G8: %s is started after an interrupt", node->name);
    node->exited =
        node->exited && node->role != ROLE_NODE_WORKER; /* one that has left is followed */
    node_start(node);
    sim_at(v->sim, rng_between(&v->sim->fate, 1, 300) * NS_PER_MS, say_ready, node, node->life);
}

static void check_gone(void *context, uint64_t unused)
{
    (void)unused;
    struct supervision *v = context;
    if (!v->has_exited)
        sim_violation(v->sim, "G8: the farm is to end at once, and is there 5 s later");
}

static void end_now(struct supervision *v, struct node *node)
{
    if (!v->ends_now)
        sim_at(v->sim, GONE_NS, check_gone, v, 0);
    v->ends_now = v->sim->interrupted = v->sim->model.disturbed = true;
    if (!node->up || node->frozen)
        return; /* KILL comes next */
    if (node->role == ROLE_NODE_WORKER)
        worker_node_abort(node);
    else
        node_exit(node, 255);
}

static void stop(struct node *node)
{
    if (node->role == ROLE_NODE_VENTILATOR)
        ventilator_node_stop_job(node);
    else if (node->role == ROLE_NODE_SINK)
        sink_node_stop_job(node);
    else
        worker_node_drain(node);
}

static void send_signal(struct supervision *v, enum member member, enum order order)
{
    struct node *node = node_of(v->sim, member);
    if (order == ORDER_STOP)
        stop(node);
    else if (order == ORDER_END_NOW)
        end_now(v, node);
    else if (order == ORDER_KILL)
        node_kill(node, false);
}

/* Nobody is left: of who was killed the farm's status is all that is known. */
static void leave(struct supervision *v, int status)
{
    struct node *const both[] = {v->sim->ventilator, v->sim->sink};
    v->has_exited = true;
    if (status == 255)
        v->sim->interrupted = true;
    sim_trace(v->sim, NULL, "zfarm run ends with status %d", status);
    for (size_t i = 0; i < 2; i++) {
        if (both[i]->up)
            sim_violation(v->sim, "G8: zfarm run has ended, and %s is there", both[i]->name);
        if (both[i]->exited)
            continue;
        both[i]->exited = true;
        both[i]->status = status;
    }
}

static void do_action(struct supervision *v, const struct supervisor_action *action)
{
    switch (action->kind) {
    case SUPERVISOR_START:
        start(v, action->member);
        break;
    case SUPERVISOR_SIGNAL:
        send_signal(v, action->member, action->order);
        break;
    case SUPERVISOR_SAY:
        sim_trace(v->sim, NULL, "zfarm run says: %s", action->why.text);
        break;
    case SUPERVISOR_EXIT:
        leave(v, action->status);
        break;
    case SUPERVISOR_BEGIN_HOSTS:
    case SUPERVISOR_SIGNAL_HOSTS:
    case SUPERVISOR_NO_MORE:
    case SUPERVISOR_PAUSE:
        break;
    }
}

static void wake(void *context, uint64_t at_ns)
{
    struct supervision *v = context;
    if (v->wake_ns != at_ns)
        return;
    v->wake_ns = NEVER;
    turn(v);
}

static void turn(struct supervision *v)
{
    struct supervisor_action action;
    supervisor_turn(&v->core, v->sim->now_ns);
    while (supervisor_next_action(&v->core, &action))
        do_action(v, &action);
    uint64_t due_ns = supervisor_deadline(&v->core);
    if (v->has_exited || due_ns >= v->wake_ns)
        return;
    v->wake_ns = due_ns > v->sim->now_ns ? due_ns : v->sim->now_ns;
    agenda_add(&v->sim->agenda, v->wake_ns, wake, v, v->wake_ns);
}

/* ---- what happens ---- */

static void note_ended(void *context, uint64_t signal)
{
    struct node *node = context;
    struct supervision *v = node->sim->supervision;
    struct member_end end = {(int)signal, signal ? 0 : node->status};
    if (v->has_exited)
        return;
    supervisor_ended(&v->core, member_of(v->sim, node), end, v->sim->now_ns);
    turn(v);
}

void supervision_ended(struct node *node, unsigned signal)
{
    struct sim *sim = node->sim;
    sim_at(sim, rng_below(&sim->fate, 10 * NS_PER_MS), note_ended, node, signal);
}

void supervision_interrupt(struct sim *sim)
{
    static const char *const names[] = {"TERM", "INT", "HUP"};
    struct supervision *v = sim->supervision;
    size_t which = rng_below(&sim->fate, 3);
    if (v->has_exited)
        return;
    sim_trace(sim, NULL, "zfarm run gets %s", names[which]);
    sim->interrupted = sim->model.disturbed = true;
    v->is_interrupted = true;
    supervisor_interrupted(&v->core, names[which], which == 1, which != 2, sim->now_ns);
    turn(v);
}

struct supervision *supervision_new(struct sim *sim)
{
    bool has_store = sim->plan.has_store;
    struct supervisor_options options = {
        .has_worker = true, .restarts = {has_store, true, has_store}, .has_store = has_store};
    struct supervision *v = xcalloc(1, sizeof *v);
    v->sim = sim;
    v->wake_ns = NEVER;
    sim->supervision = v;
    supervisor_init(&v->core, &options, sim->now_ns);
    turn(v);
    return v;
}

bool supervision_is_over(const struct sim *sim)
{
    return !sim->supervision || sim->supervision->has_exited;
}

void supervision_free(struct supervision *v)
{
    free(v);
}
