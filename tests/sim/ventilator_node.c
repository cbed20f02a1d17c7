/* SPDX-License-Identifier: MPL-2.0 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/xalloc.h"
#include "tests/sim/cable.h"
#include "tests/sim/record.h"
#include "ventilator/core/dispatcher_state.h"

/* The ventilator's shell, with its gate and its source. */
enum { BATCHES_A_TURN = 64, ASK_EVERY = 16 /* turns */ };
#define ASKER UINT64_MAX /* a connection: of somebody who asks WHY */
#define CLAIM_NS (5 * NS_PER_S)
#define LIMIT_NS (3 * NS_PER_S)

/* What the ventilator sees of a worker's two connections. */
struct sight {
    const struct cable *control;
    const struct cable *lane;
    uint64_t life;     /* of its process */
    uint64_t apart_ns; /* since when both are closed; 0: they are not, or that was counted */
};

struct ventilator_node {
    struct node node; /* first */
    struct dispatcher *core;
    bool input_waits;
    uint64_t read; /* of the input, in this life */
    uint64_t lives;
    uint64_t turns;
    uint64_t
        judged_ns; /* when the last answer to WHY was made that was looked at; NEVER: there is none */
    struct sight *sights;
    size_t apart; /* sights with apart_ns */
};

static struct ventilator_node *of(struct node *node)
{
    return (struct ventilator_node *)node;
}

static void start(struct node *node)
{
    struct ventilator_node *v = of(node);
    const struct plan *plan = &node->sim->plan;
    free(v->sights);
    v->sights = xcalloc(node->sim->worker_max, sizeof *v->sights);
    v->apart = 0;
    v->read = 0;
    v->judged_ns = NEVER;
    if (v->lives++)
        tap_forget(&node->sim->tap, plan->task_count);
    /* Its clock may have been set back: the store knows better. */
    uint64_t clock = rng_chance(&node->sim->fate, 20) ? 500 : 1000;
    struct dispatcher_options options = {.incarnation = clock + v->lives,
                                         .retries = plan->retries,
                                         .retry_delay_ns = plan->retry_delay_ns,
                                         .hedge = plan->hedge,
                                         .random_seed = rng_next(&node->sim->fate),
                                         .queue_max_bytes = plan->queue_max_bytes,
                                         .task_inline_max = plan->task_inline_max,
                                         .task_piece_max = plan->task_piece_max,
                                         .heartbeat_ns = 500 * NS_PER_MS,
                                         .limit_ns = LIMIT_NS,
                                         .give_up_ns = 60 * NS_PER_S,
                                         .workers_max = 1000000,
                                         .lanes = "5557",
                                         .endpoint = "tcp://127.0.0.1:5556",
                                         .input = "standard input"};
    v->core = dispatcher_new(&options, node->sim->now_ns);
}

static void stop(struct node *node)
{
    dispatcher_destroy(&of(node)->core);
    free(of(node)->sights);
    of(node)->sights = NULL;
}

void ventilator_node_stop_job(struct node *node)
{
    if (!node->up)
        return;
    node->sim->interrupted = true;
    sim_trace(node->sim, node, "is interrupted");
    dispatcher_stop(of(node)->core, "interrupted by a signal", node->sim->now_ns);
    node_wake(node, node->sim->now_ns);
}

/* ---- connections ---- */

static struct sight *sight_of(struct ventilator_node *v, const struct cable *c)
{
    const struct node *client = c->ends[0].node;
    return client->role == ROLE_NODE_WORKER ? &v->sights[client->index] : NULL;
}

static void note_message(struct ventilator_node *v, const struct cable *c, struct bytes message)
{
    struct sight *sight = sight_of(v, c);
    if (!sight || !message.size || message.data[0] != KIND_JOIN)
        return;
    sight->control = c;
    sight->life = c->ends[0].life;
    v->apart -= sight->apart_ns != 0;
    sight->apart_ns = 0;
}

/* Who lives and is away for so long, with both connections closed, is as good as dead. */
static void count_the_missing(struct ventilator_node *v)
{
    struct sim *sim = v->node.sim;
    for (unsigned i = 0; v->apart && i < sim->worker_count; i++) {
        struct sight *sight = &v->sights[i];
        struct node *worker = sim->workers[i];
        if (!sight->apart_ns || sim->now_ns - sight->apart_ns + NS_PER_S / 100 < LIMIT_NS)
            continue;
        sight->apart_ns = 0;
        v->apart--;
        if (worker->up && worker->life == sight->life)
            model_death(&sim->model, worker_node_had(worker));
    }
}

static void note_closed(struct ventilator_node *v, const struct cable *c)
{
    struct sight *sight = sight_of(v, c);
    if (!sight || (sight->control != c && sight->lane != c))
        return; /* one of before, which TCP missed only now */
    if (sight->control == c)
        sight->control = NULL;
    if (sight->lane == c)
        sight->lane = NULL;
    if (sight->control || sight->lane)
        return;
    struct sim *sim = v->node.sim;
    v->apart += sight->apart_ns == 0;
    sight->apart_ns = sim->now_ns;
    if (sim->now_ns < c->ends[0].node->killed_ns + NS_PER_S)
        tap_death_is_seen(&sim->tap, sight->life, sim->plan.task_count);
}

static struct cable *find(struct sim *sim, uint64_t id)
{
    size_t low = 0, high = sim->cable_count; /* they are in the order of their numbers */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (sim->cables[middle]->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < sim->cable_count && sim->cables[low]->id == id ? sim->cables[low] : NULL;
}

static void unclaimed(void *context, uint64_t id)
{
    struct node *node = context;
    struct cable *c = find(node->sim, id);
    if (!node->up || c->claimed || c->ends[1].shut || c->ends[1].life != node->life)
        return;
    cable_close(c, node, false);
    node_tell(node, (struct news){NEWS_CLOSED, c, NULL});
}

static void opened(struct ventilator_node *v, struct cable *c)
{
    struct token token = {{0}};
    uint64_t number = rng_next(&v->node.sim->fate);
    memcpy(token.octets, &number, sizeof number);
    struct sight *sight = sight_of(v, c);
    if (sight)
        sight->lane = c;
    dispatcher_lane_opened(v->core, c->id, token, &(struct key){{0}}, v->node.sim->now_ns);
    sim_at(v->node.sim, CLAIM_NS, unclaimed, &v->node, c->id);
}

/* As the real one: the messages of control, its closed connections, the gate. */
static void take_news(struct ventilator_node *v)
{
    struct node *node = &v->node;
    uint64_t now_ns = node->sim->now_ns;
    count_the_missing(v);
    for (size_t i = 0; i < node->inbox_count; i++) {
        struct news *news = &node->inbox[i];
        if (news->kind != NEWS_MESSAGE || news->cable->kind != CABLE_CONTROL)
            continue;
        note_message(v, news->cable, block_bytes(news->block));
        struct origin from = {.connection = news->cable->id, .address = "127.0.0.1"};
        dispatcher_control_message(v->core, &from, block_bytes(news->block), now_ns);
    }
    for (size_t i = 0; i < node->inbox_count; i++)
        if (node->inbox[i].kind == NEWS_CLOSED && node->inbox[i].cable->kind == CABLE_CONTROL) {
            note_closed(v, node->inbox[i].cable);
            dispatcher_control_closed(v->core, node->inbox[i].cable->id, now_ns);
        }
    for (size_t i = 0; i < node->inbox_count; i++) {
        struct news *news = &node->inbox[i];
        if (news->kind == NEWS_OPENED) {
            opened(v, news->cable);
        } else if (news->kind == NEWS_CLOSED && news->cable->kind == CABLE_LANE) {
            note_closed(v, news->cable);
            dispatcher_lane_closed(v->core, news->cable->id, now_ns);
        }
        block_release(&news->block);
    }
    node->inbox_count = 0;
}

/* ---- the input ---- */

static uint64_t comes_ns(const struct ventilator_node *v)
{
    const struct plan *plan = &v->node.sim->plan;
    uint64_t after_ns =
        v->read < plan->task_count ? plan->tasks[v->read].comes_ns : plan->input_ends_ns;
    return v->node.sim->began_ns + after_ns;
}

/* Returns false when the source has nothing to give now. */
static bool take_tasks(struct ventilator_node *v, size_t tasks_max, size_t bytes_max)
{
    struct sim *sim = v->node.sim;
    struct model *model = &sim->model;
    struct buf *room = dispatcher_room(v->core);
    size_t taken = 0, begin = room->size;
    for (; taken < tasks_max && v->read < sim->plan.task_count && comes_ns(v) <= sim->now_ns;
         taken++) {
        const struct plan_task *task = &sim->plan.tasks[v->read];
        size_t size = record_size(task->size);
        bool in_pieces = sim->plan.task_inline_max && size > sim->plan.task_inline_max;
        if (taken && (task->nature == NATURE_TOO_LARGE || in_pieces ||
                      room->size - begin + size > bytes_max))
            break;
        if (++v->read > model->read)
            model->read = v->read;
        if (task->nature == NATURE_TOO_LARGE) {
            dispatcher_add_too_large(v->core, sim->now_ns);
            return true;
        }
        record_put(room, v->read, task->size);
        if (in_pieces)
            tasks_max = taken + 1; /* and nothing with it */
    }
    if (taken) {
        dispatcher_add_tasks(v->core, taken, sim->now_ns);
        return true;
    }
    v->input_waits = comes_ns(v) > sim->now_ns;
    if (!v->input_waits)
        dispatcher_input_ended(v->core, sim->now_ns);
    return false;
}

static void take_input(struct ventilator_node *v)
{
    size_t tasks_max, bytes_max;
    v->input_waits = false;
    for (int i = 0; i < BATCHES_A_TURN; i++)
        if (!dispatcher_wants_tasks(v->core, &tasks_max, &bytes_max) ||
            !take_tasks(v, tasks_max, bytes_max))
            return;
}

/* ---- actions ---- */

/* Every task that was read and is not stored must be in a group of the answer, and no other. */
static void check_answer(struct ventilator_node *v, const struct block *block)
{
    const struct ledger *ledger = &v->core->ledger;
    struct frame_head head;
    struct bytes body;
    struct because m = {0};
    struct seqset named = {0};
    uint64_t more = 0;
    if (frame_take(block_bytes(block), &head, &body) || because_take(body, &m))
        sim_violation(v->node.sim, "WHY is answered with what cannot be read");
    for (size_t i = 0; i < m.count; i++) {
        seqset_add_all(&named, &m.items[i].tasks);
        more += m.items[i].more;
    }
    for (size_t i = 0; i < named.count; i++)
        if (named.ranges[i].last > ledger->read ||
            seqset_count_in(&ledger->stored, named.ranges[i].first, named.ranges[i].last))
            sim_violation(v->node.sim, "WHY names task %llu, or one behind it, which is done",
                          (unsigned long long)named.ranges[i].first);
    if (named.members + more < ledger->read - ledger->stored.members)
        sim_violation(v->node.sim, "WHY names %llu tasks, and %llu are not stored",
                      (unsigned long long)(named.members + more),
                      (unsigned long long)(ledger->read - ledger->stored.members));
    seqset_free(&named);
    because_free(&m);
}

static void ask_why(struct ventilator_node *v)
{
    struct buf message = {0};
    wire_begin(&message, KIND_WHY, (struct frame_head){0});
    struct origin from = {.connection = ASKER, .address = ""};
    dispatcher_control_message(v->core, &from, buf_bytes(&message), v->node.sim->now_ns);
    buf_free(&message);
}

static void do_action(struct ventilator_node *v, struct dispatcher_action *action)
{
    struct node *node = &v->node;
    bool control = action->kind == DISPATCHER_SEND_CONTROL;
    if (control && action->connection == ASKER) {
        if (v->core->answer.at_ns != v->judged_ns) /* else it is an earlier answer again */
            check_answer(v, action->block);
        v->judged_ns = v->core->answer.at_ns;
        block_release(&action->block);
        return;
    }
    struct cable *c = find(node->sim, control ? action->connection : action->lane);
    switch (action->kind) {
    case DISPATCHER_SEND_CONTROL:
    case DISPATCHER_SEND_LANE:
        cable_send(c, node, action->block);
        break;
    case DISPATCHER_CLAIM_LANE:
        c->claimed = true;
        break;
    case DISPATCHER_CLOSE_LANE:
        cable_close(c, node, true);
        note_closed(v, c);
        break;
    case DISPATCHER_CUT_CONTROL: /* it has no keys */
        break;
    case DISPATCHER_SAY:
        sim_trace(node->sim, node, "says: %s", action->why.text);
        break;
    case DISPATCHER_EXIT:
        if (action->status == 255 && node->sim->store_forgot)
            node->sim->interrupted = node->sim->store_noticed = true;
        node_exit(node, action->status);
        break;
    }
}

/* Returns false when the process is gone. */
static bool do_actions(struct ventilator_node *v)
{
    struct dispatcher_action action;
    while (v->node.up && dispatcher_next_action(v->core, &action)) {
        if (action.kind == DISPATCHER_EXIT && action.why.text[0])
            sim_trace(v->node.sim, &v->node, "says: %s", action.why.text);
        do_action(v, &action);
    }
    return v->node.up;
}

static void turn(struct node *node)
{
    struct ventilator_node *v = of(node);
    uint64_t began_ns = node->sim->measured ? clock_now_ns() : 0;
    take_news(v);
    dispatcher_turn(v->core, node->sim->now_ns);
    take_input(v);
    if (node->sim->measured && v->read)
        node->sim->ventilator_cpu_ns += clock_now_ns() - began_ns;
    if (!node->sim->measured && ++v->turns % ASK_EVERY == 0)
        ask_why(v);
    if (!do_actions(v))
        return;
    ventilator_node_check(node);
    if (audit_holds(v->core, node->sim->now_ns))
        sim_disturb(node->sim, 0); /* nothing is handed out yet */
    node_wake(node, dispatcher_deadline(v->core) + rng_below(&node->sim->fate, NS_PER_MS));
    if (v->input_waits)
        node_wake(node, comes_ns(v) + rng_below(&node->sim->fate, NS_PER_MS));
}

/* ---- what is wrong with it ---- */

uint64_t ventilator_node_has_read(struct node *node)
{
    return of(node)->core->ledger.read;
}

bool ventilator_node_holds_back(struct node *node)
{
    const struct dispatcher *d = of(node)->core;
    return !seqset_empty(&d->pending.isolated) || !seqset_empty(&d->pending.loss_pending);
}

bool ventilator_node_has_tasks(struct node *node)
{
    const struct dispatcher *d = of(node)->core;
    const struct sim *sim = node->sim;
    bool may_read = d->sink.ready && !d->sink.says.order_full && !job_end_is_over(d) &&
                    d->ledger.bytes < d->options.queue_max_bytes;
    return (d->sink.ready && !seqset_empty(&d->pending.queue)) ||
           (may_read && of(node)->read < sim->plan.task_count && comes_ns(of(node)) <= sim->now_ns);
}

static size_t stories_bytes(const struct dispatcher *d)
{
    size_t stories = 0;
    for (size_t i = d->ledger.head; i < d->ledger.end; i++)
        if (d->ledger.places[i].entry)
            stories += d->ledger.places[i].entry->story_capacity;
    return stories * sizeof(struct story);
}

void ventilator_node_check(struct node *node)
{
    const struct dispatcher *d = of(node)->core;
    uint64_t most = d->options.queue_max_bytes + BATCH_BYTES_MAX + node->sim->plan.largest + 1024;
    uint64_t bytes = d->ledger.bytes - stories_bytes(d);
    if (bytes > most && !audit_reads(d) && of(node)->lives == 1)
        sim_violation(node->sim, "G4: the ledger has %llu bytes of %llu", (unsigned long long)bytes,
                      (unsigned long long)most);
    if (d->ledger.stored.members > d->ledger.read)
        sim_violation(node->sim, "G1: more is stored than was read");
}

static const struct node_class class = {start, turn, stop};

struct node *ventilator_node_new(struct sim *sim)
{
    struct ventilator_node *v = xcalloc(1, sizeof *v);
    v->node = (struct node){
        .sim = sim, .class = &class, .role = ROLE_NODE_VENTILATOR, .name = "V", .wake_ns = NEVER};
    return &v->node;
}
