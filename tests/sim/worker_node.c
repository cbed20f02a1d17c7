/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/xalloc.h"
#include "tests/sim/err.h"
#include "tests/sim/stall.h"
#include "tests/sim/fake_executor.h"
#include "worker/core/slots_state.h"

/* A worker's shell. */
enum { RESULTS_UNDER_WAY_MAX = 16 };

struct worker_node {
    struct node node; /* first */
    unsigned slots;
    struct slots *core;
    struct fake_executor executor;
    struct cable *control;
    struct cable *lane;
    struct cable *results;
    struct block **outbox; /* results that wait to be sent */
    size_t outbox_first;
    size_t outbox_count;
    size_t outbox_capacity;
    uint64_t outbox_bytes;
    struct seqset had;
    uint64_t asked_session; /* in which it last asked for so many tasks */
    uint64_t asked_tasks;
    bool is_asked_to_leave; /* by a signal that waits for its turn */
};

static struct worker_node *of(struct node *node)
{
    return (struct worker_node *)node;
}

struct seqset *worker_node_had(struct node *node)
{
    return &of(node)->had;
}

static void start(struct node *node)
{
    struct worker_node *w = of(node);
    struct sim *sim = node->sim;
    seqset_clear(&w->had);
    w->is_asked_to_leave = false;
    struct slots_options options = {.slots = w->slots,
                                    .batch_max = sim->plan.batch_max,
                                    .peer = {.instance = node->life,
                                             .name = bytes_of(node->name),
                                             .host = bytes_of("here"),
                                             .release = bytes_of("0.1.0")},
                                    .kept_max_bytes = sim->plan.kept_max_bytes,
                                    .tmpdir = "/tmp",
                                    .give_up_ns = 60 * NS_PER_S,
                                    .grace_ns = sim->plan.grace_ns,
                                    .connect = "tcp://127.0.0.1:5556",
                                    .random_seed = rng_next(&sim->fate)};
    w->core = slots_new(&options, sim->now_ns);
    fake_init(&w->executor, node, &w->core, w->slots);
}

static void clear_outbox(struct worker_node *w)
{
    for (size_t i = 0; i < w->outbox_count; i++)
        block_release(&w->outbox[w->outbox_first + i]);
    w->outbox_first = w->outbox_count = 0;
    w->outbox_bytes = 0;
}

static void stop(struct node *node)
{
    struct worker_node *w = of(node);
    clear_outbox(w);
    free(w->outbox);
    w->outbox = NULL;
    w->outbox_capacity = 0;
    w->control = w->lane = w->results = NULL;
    fake_free(&w->executor);
    slots_destroy(&w->core);
}

void worker_node_drain(struct node *node)
{
    if (!node->up)
        return;
    sim_trace(node->sim, node, "is asked to leave");
    slots_drain(of(node)->core, node->sim->now_ns);
    node_wake(node, node->sim->now_ns);
}

static void ask_to_leave(void *context, uint64_t life)
{
    struct node *node = context;
    if (node->life != life || !node->up)
        return;
    of(node)->is_asked_to_leave = true;
    node_wake(node, node->sim->now_ns);
}

/* Whoever owns its machine signals the worker and all that runs there: who notices first is chance. */
void worker_node_preempt(struct node *node)
{
    struct sim *sim = node->sim;
    if (!node->up)
        return;
    sim_trace(sim, node, "is preempted");
    fake_interrupt(&of(node)->executor);
    sim_at(sim, rng_below(&sim->fate, FAKE_INTERRUPT_NS), ask_to_leave, node, node->life);
}

void worker_node_abort(struct node *node)
{
    if (!node->up || node->frozen)
        return;
    sim_trace(node->sim, node, "is asked to leave at once");
    slots_abort(of(node)->core, node->sim->now_ns);
    node_wake(node, node->sim->now_ns);
}

void worker_node_break(struct node *node)
{
    sim_trace(node->sim, node, "can start nothing any more");
    of(node)->executor.broken = true;
}

/* ---- what comes in ---- */

static void hear_control(struct worker_node *w, const struct news *news)
{
    uint64_t now_ns = w->node.sim->now_ns;
    if (news->kind == NEWS_ACCEPTED) {
        slots_control_accepted(w->core, now_ns);
    } else if (news->kind == NEWS_UP) {
        slots_control_up(w->core, now_ns);
    } else if (news->kind == NEWS_MESSAGE) {
        slots_control_message(w->core, block_bytes(news->block), now_ns);
    } else {
        w->control = NULL;
        slots_control_down(w->core, now_ns);
    }
}

static void hear_lane(struct worker_node *w, const struct news *news)
{
    uint64_t now_ns = w->node.sim->now_ns;
    if (news->kind == NEWS_ACCEPTED || news->kind == NEWS_UP) {
        slots_lane_accepted(w->core, now_ns);
    } else if (news->kind == NEWS_MESSAGE) {
        slots_lane_message(w->core, block_bytes(news->block), now_ns);
    } else if (news->kind == NEWS_CLOSED) {
        w->lane = NULL;
        slots_lane_down(w->core, now_ns);
    }
}

static void hear_results(struct worker_node *w, const struct news *news)
{
    uint64_t now_ns = w->node.sim->now_ns;
    if (news->kind == NEWS_ACCEPTED) {
        slots_results_accepted(w->core, now_ns);
    } else if (news->kind == NEWS_UP) {
        slots_results_up(w->core, now_ns);
    } else {
        w->results = NULL;
        clear_outbox(w);
        slots_results_down(w->core, now_ns);
    }
}

static void hear(struct worker_node *w, const struct news *news)
{
    if (news->cable == w->control)
        hear_control(w, news);
    else if (news->cable == w->lane)
        hear_lane(w, news);
    else if (news->cable == w->results)
        hear_results(w, news);
}

/* In order of arrival, or connection by connection as a poll loop does. */
static void take_news(struct worker_node *w)
{
    struct node *node = &w->node;
    bool mixed = node->sim->plan.mixed_inbox;
    for (unsigned kind = mixed ? CABLE_RESULTS : CABLE_CONTROL; kind <= CABLE_RESULTS; kind++)
        for (size_t i = 0; i < node->inbox_count; i++)
            if (mixed || node->inbox[i].cable->kind == kind)
                hear(w, &node->inbox[i]);
    for (size_t i = 0; i < node->inbox_count; i++)
        block_release(&node->inbox[i].block);
    node->inbox_count = 0;
}

/* ---- what goes out ---- */

static void put_results(struct worker_node *w, struct block *block)
{
    if (!w->results) {
        block_release(&block);
        return;
    }
    if (w->outbox_first + w->outbox_count == w->outbox_capacity) {
        w->outbox_capacity = w->outbox_capacity ? w->outbox_capacity * 2 : 16;
        w->outbox = xrealloc(w->outbox, w->outbox_capacity * sizeof(struct block *));
    }
    w->outbox[w->outbox_first + w->outbox_count++] = block;
    w->outbox_bytes += block_bytes(block).size;
}

/* The sink takes so much and not more before it has read. */
static void send_results(struct worker_node *w, size_t most)
{
    while (w->results && w->outbox_count && w->results->unread < most) {
        struct block *block = w->outbox[w->outbox_first++];
        if (--w->outbox_count == 0)
            w->outbox_first = 0;
        w->outbox_bytes -= block_bytes(block).size;
        block = err_spoil(&w->node, block);
        if (!block)
            continue;
        w->results->unread++;
        cable_send(w->results, &w->node, block);
    }
}

static struct cable *drop(struct worker_node *w, struct cable *cable)
{
    if (cable)
        cable_close(cable, &w->node, true);
    return NULL;
}

static void do_action(struct worker_node *w, struct slots_action *action)
{
    struct node *node = &w->node;
    struct sim *sim = node->sim;
    switch (action->kind) {
    case SLOTS_OPEN_CONTROL:
        w->control = cable_open(node, sim->ventilator, CABLE_CONTROL);
        break;
    case SLOTS_CLOSE_CONTROL:
        w->control = drop(w, w->control);
        break;
    case SLOTS_SEND_CONTROL:
        if (w->control)
            action->block = err_spoil(node, action->block);
        if (w->control && action->block)
            cable_send(w->control, node, action->block);
        else
            block_release(&action->block);
        break;
    case SLOTS_OPEN_LANE:
        w->lane = cable_open(node, sim->ventilator, CABLE_LANE);
        break;
    case SLOTS_CLOSE_LANE:
        w->lane = drop(w, w->lane);
        break;
    case SLOTS_OPEN_RESULTS:
        w->results = cable_open(node, sim->sink, CABLE_RESULTS);
        break;
    case SLOTS_CLOSE_RESULTS:
        clear_outbox(w);
        w->results = drop(w, w->results);
        break;
    case SLOTS_SEND_RESULTS:
        put_results(w, action->block);
        break;
    case SLOTS_START:
        fake_start(&w->executor, &action->assignment);
        break;
    case SLOTS_CANCEL:
        fake_cancel(&w->executor, action->slot, action->seq);
        break;
    case SLOTS_SAY:
        sim_trace(sim, node, "says: %s", action->why.text);
        break;
    case SLOTS_HURRY:
        fake_hurry(&w->executor);
        break;
    case SLOTS_EXIT:
        if (action->why.text[0])
            sim_trace(sim, node, "says: %s", action->why.text);
        send_results(w, SIZE_MAX);
        node_exit(node, action->status);
        break;
    }
}

static void turn(struct node *node)
{
    struct worker_node *w = of(node);
    bool asked_first = rng_chance(&node->sim->fate, 50);
    take_news(w);
    if (w->is_asked_to_leave && asked_first)
        worker_node_drain(node);
    fake_turn(&w->executor);
    if (w->is_asked_to_leave && !asked_first)
        worker_node_drain(node);
    w->is_asked_to_leave = false;
    slots_results_pending(w->core, w->outbox_bytes);
    slots_turn(w->core, node->sim->now_ns);
    struct slots_action action;
    while (node->up && slots_next_action(w->core, &action))
        do_action(w, &action);
    if (!node->up)
        return;
    send_results(w, RESULTS_UNDER_WAY_MAX);
    worker_node_check(node);
    uint64_t deadline_ns = slots_deadline(w->core);
    if (deadline_ns != NEVER)
        node_wake(node, deadline_ns + rng_below(&node->sim->fate, NS_PER_MS));
}

/* ---- what is wrong with it ---- */

bool worker_node_idles(struct node *node, uint64_t *unstarted)
{
    const struct slots *s = of(node)->core;
    *unstarted = 0;
    if (!node->up || stall_is_for_ever(node))
        return false;
    bool waits_alone = backlog_alone(&s->backlog) && fake_is_dying(&of(node)->executor);
    *unstarted = waits_alone ? 0 : s->backlog.tasks;
    return s->control.member.state == MEMBER_JOINED && s->outlet.state == OUTLET_UP &&
           s->departure.leaving == STAYING && !s->departure.stopping && !s->gone &&
           !s->lane.ended && !results_full(&s->results) && s->backlog.tasks == 0 &&
           !s->lane.pieces.open && s->running.busy < s->options.slots &&
           !fake_runs_alone(&of(node)->executor);
}

/* Above the limit of what it keeps it asks for nothing new, only for what others had. */
void worker_node_check(struct node *node)
{
    struct worker_node *w = of(node);
    const struct slots *s = w->core;
    bool same_session = s->control.member.head.session == w->asked_session;
    uint64_t before = same_session ? w->asked_tasks : 0;
    if (results_full(&s->results) && s->lane.told.tasks > before &&
        s->lane.told.tasks > s->lane.received)
        sim_violation(node->sim, "G4: %s keeps %llu bytes of %llu and asks for new tasks",
                      node->name, (unsigned long long)kept_size_bytes(&s->results.kept),
                      (unsigned long long)s->options.kept_max_bytes);
    w->asked_session = s->control.member.head.session;
    w->asked_tasks = s->lane.told.tasks;
}

uint64_t worker_node_leak(struct node *node)
{
    const struct slots *s = of(node)->core;
    const struct seqset *kept = &s->results.kept.tasks;
    struct range r;
    for (size_t i = 0; i < kept->count && !stall_is_for_ever(node); i++)
        if (seqset_next(&node->sim->tap.told, kept->ranges[i].first, kept->ranges[i].last, &r))
            return r.first;
    return 0;
}

/* With batches the ventilator cannot tell what was begun; nor does it know of what was not told. */
void worker_node_note_death(struct node *node)
{
    struct worker_node *w = of(node);
    struct sim *sim = node->sim;
    uint64_t under_way_ns = sim->plan.delay_max_ns + 50 * NS_PER_MS;
    if (sim->plan.batch_max > 1 || w->executor.done_count ||
        !seqset_empty(&w->core->report.finished) || w->core->results.kept.open.results ||
        sim->now_ns < node->reported_ns + under_way_ns ||
        w->core->control.member.state != MEMBER_JOINED || !w->control || !w->lane ||
        !cable_is_live(w->control) || !cable_is_live(w->lane))
        return;
    node->killed_ns = sim->now_ns;
    for (unsigned i = 0; i < w->slots; i++) {
        const struct fake_slot *slot = &w->executor.slots[i];
        if (slot->busy && !slot->killed && slot->at < slot->assignment.count)
            sim->tap.died_with[slot->assignment.first] = node->life;
    }
}

static const struct node_class class = {start, turn, stop};

struct node *worker_node_new(struct sim *sim, unsigned index, unsigned slots)
{
    struct worker_node *w = xcalloc(1, sizeof *w);
    w->node =
        (struct node){.sim = sim, .class = &class, .role = ROLE_NODE_WORKER, .wake_ns = NEVER};
    snprintf(w->node.name, sizeof w->node.name, "W%u", index);
    w->node.index = index;
    w->node.slowness = index < sim->plan.worker_count ? sim->plan.workers[index].slowness : 1;
    w->slots = slots;
    return &w->node;
}
